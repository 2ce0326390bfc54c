/* Dividing a kernel's work among workers. Used by pass parallel. */
#ifndef TENON_PARTITION_H
#define TENON_PARTITION_H
#include "access.h"

/* Rough operations of one execution of the list; a vector's count as one. */
double work_of(const struct prog *prog, const struct stmt *list);
/* Loops and sequences of the kernel's body cut into pieces that can be computed by anyone in any order, into at least
 * as many as `workers` can share evenly where there are so many. The kernel then takes two more scalars, from and to,
 * and computes the pieces that begin in from..to; *units: the whole range. False, and nothing changes, where the body
 * cannot be cut. */
bool partition_kernel(struct prog *prog, struct kernel *kernel, int workers, dim *units);

#endif
