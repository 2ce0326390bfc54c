/* What tests/opencl_faults.c, a shared library, counts and is told. */
#ifndef TENON_OPENCL_FAULTS_H
#define TENON_OPENCL_FAULTS_H

struct faults {
    int fail_at, n_calls; /* the call to fail, from 1; those so far */
    int lost;             /* all calls behind it fail, too */
    int n_objects;        /* made or retained, and not given back */
    const char *failed;   /* the function that was the first to fail */
};
struct faults *faults_state(void);

#endif
