/* Counting a kernel's floating-point operations. */
#ifndef TENON_FLOPS_H
#define TENON_FLOPS_H
#include "../ir/prog.h"

/* Float operations of the statements over their loops, by expr_row's costs, symbols at their lower bound. What is
 * selected among cases counts with all of them until schedules have told the cases apart. */
double flops_of(const struct prog *prog, const struct stmt *list);

#endif
