/* The time of every call of main, in its place: weights as cold and neighbours as they are in a real run.
 *
 *     options.pipeline.pass.profile = true;       before model_lower: pass profile puts marks between the calls
 *     run = engine_open(...);
 *     profile_take(session, run, prog, &trial, 20, 0, arena, &profile);
 *     profile.sites[i].median, .least             i: number of the call, see prog_calls of ir/prog.h
 *
 * Where several workers share a call, its time is that of the worker that takes longest. The marks' own clock (some 20 ns
 * each) is taken off. A program with marks runs as fast as one without, to a few ns a call, where none is taking times.
 */
#ifndef TENON_CMD_PROFILE_H
#define TENON_CMD_PROFILE_H
#include "cmd.h"

struct profile_site {
    const struct stmt *call;   /* in the unit's program; NULL: `rest` and `wait` below */
    const char *kernel;        /* its name, or that of the extern function */
    const char *layers;        /* the kernel's, of all its calls, as identifiers; call->origin has this call's own */
    bool dealt;                /* stands in a loop that workers share (passes/profile.h) */
    double calls;              /* in a run, the mean */
    double least, median;      /* seconds of a run: all its calls in a loop together */
    double total;              /* seconds of all runs */
};
struct profile_event { /* of the last run */
    int site;          /* number of the call, or PROFILE_REST, PROFILE_WAIT */
    double start, end; /* seconds from the start of the run */
};
struct profile {
    int runs, n_sites, workers;
    struct profile_site *sites;
    struct profile_site rest, wait; /* main's own statements; waiting at barriers: the worker that waits longest */
    double least, median;           /* seconds of a whole run, marks and clocks included */
    double peak_alone, peak;        /* FLOP/s of one thread and of `processors`, medians of measurements between the runs; 0: not asked for */
    struct profile_events {
        struct profile_event *at;
        int n;
    } *events; /* by worker; the first PROFILE_EVENTS_MOST of them */
};
enum { PROFILE_EVENTS_MOST = 1 << 14 };

/* Runs the program `runs` times after one that does not count. processors > 0: the peak is measured too. The unit behind run was lowered with pass.profile.
 * False after a message: a run failed, or the program has no marks. */
bool profile_take(struct session *session, struct engine_run *run, const struct prog *prog, const struct trial *trial,
                  int runs, int processors, struct arena *arena, struct profile *profile);

#endif
