/* Calls after one another become one kernel of several stages. Used by pass bind. */
#ifndef TENON_STAGES_H
#define TENON_STAGES_H
#include "access.h"

struct stage_kernel {
    bool joins;     /* may be part of a kernel of stages */
    bool divided;   /* takes two more scalars than its calls pass, a range of units (partition.c) */
    dim units, items; /* of it; groups that share them */
    struct reaches reaches; /* of its body, before it was divided */
    int n_calls; /* found by stages_join */
};
/* In main's lists: neighbours that join become one call. kernels: by number, of all that the program has. */
void stages_join(struct prog *prog, struct stage_kernel *kernels, struct arena *scratch);

#endif
