/* Dividing a kernel's work among workers. Used by pass parallel. */
#ifndef TENON_PARTITION_H
#define TENON_PARTITION_H
#include "access.h"

/* Rough operations of one execution of the list; a vector's count as one. Of a call of the kernel: with its memory's. */
double work_of(const struct prog *prog, const struct kernel *kernel);
double list_work(const struct prog *prog, struct arena *scratch, const struct stmt *list);
/* Iterations of a loop, a guess where its bounds are not plain. */
double trips_of(const struct prog *prog, const struct stmt *loop);

/* A kernel's body that computes the pieces which begin in from..to, of 0..units. */
struct partition {
    struct stmt *body;
    struct var *from, *to;
    dim units;
};
/* Loops and sequences of the kernel's body cut into pieces that can be computed by anyone in any order, into at least
 * as many as `workers` can share evenly where there are so many; `depth` loops around them are run by everyone. False
 * where the body cannot be cut so. The kernel stays as it is. Pieces count by their work; alike: each is one unit. */
bool partition_kernel(struct prog *prog, const struct kernel *kernel, int workers, int depth, bool alike, struct partition *made);
/* The kernel becomes that: it takes two more scalars, from and to. */
void partition_apply(struct prog *prog, struct kernel *kernel, const struct partition *made);

#endif
