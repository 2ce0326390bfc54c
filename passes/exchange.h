/* What dealing calls out costs beside their work: values that one core made and another reads, weights that several
 * read, shares that are not even. Pass parallel chooses by it how each kernel is dealt out. */
#ifndef TENON_EXCHANGE_H
#define TENON_EXCHANGE_H
#include "partition.h"

enum { WAYS_MOST = 3 };
struct ways { /* how a kernel's work may be dealt out: by loops at different depths */
    struct kernel *kernel;
    int n; /* 0: not at all, one worker computes it */
    struct partition way[WAYS_MOST];
    int chosen;
};
/* Chooses a way for each of the kernels, of which prog's main calls some, so that `workers` workers wait least. Returns
 * what goes from core to core in a run then, in operations (partition.h) of the worker that gets most. */
double exchange_choose(struct prog *prog, int workers, int l2_bytes, struct ways *kernels, int n);

#endif
