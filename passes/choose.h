/* Choosing a nest's parameter record by a cost model. */
#ifndef TENON_CHOOSE_H
#define TENON_CHOOSE_H
#include "tile.h"

/* The best record found for a parallel nest, with its estimated cycles. only: the one variable considered for lanes,
 * or NULL. False where nothing beats the plain loops as a whole: the loops inside the body are then to be scheduled
 * one by one. */
bool choose_plan(const struct loopnest *nest, const struct target *target, const struct var *only, struct tile_plan *plan,
                 double *cost);
/* Lanes for the elements a nest computes with; 1: scalars. */
int choose_lanes(const struct loopnest *nest, const struct target *target);
/* Whether lanes along the nest's innermost loops would mostly load contiguous elements. */
bool choose_inner(const struct loopnest *nest);
/* The record as text, in the program's arena. */
const char *choose_text(const struct loopnest *nest, const struct tile_plan *plan);

#endif
