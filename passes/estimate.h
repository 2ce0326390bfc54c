/* Cycles that a planned program should take on its target: for choosing between programs that compute the same. */
#ifndef TENON_ESTIMATE_H
#define TENON_ESTIMATE_H
#include "../ir/prog.h"
#include "../ir/target.h"

/* Of a run, symbols at these values; by_call, where not NULL, gets each call's part, by its number (prog_calls). */
double estimate_cycles(const struct prog *prog, const struct target *target, const int64_t *symbols, struct arena *arena, double *by_call);

#endif
