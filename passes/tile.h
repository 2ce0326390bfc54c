/* Generating a nest from its parameter record: loop order, register tile, lanes, unrolling. */
#ifndef TENON_TILE_H
#define TENON_TILE_H
#include "loopnest.h"
#include "../ir/target.h"

enum { UNROLL_USUAL = 180, UNROLL_SMALL = 8, UNROLL_MOST = 512 };
struct tile_plan {
    int order[AXES_MOST];  /* the chain's axes, outermost loop first */
    int copies[AXES_MOST]; /* by axis: copies of the body per iteration (vectors, on the vector axis) */
    int vector_axis;       /* -1: none */
    int lanes;
    int inner_lanes;       /* lanes along the loops inside the body; 1: none */
    int unroll_size;       /* statements an unrolled innermost reduction may have */
};
/* The nest as new statements; the nest is left as it was. */
struct stmt *tile_nest(const struct loopnest *nest, const struct tile_plan *plan, const struct target *target);

/* Loops of a list that only reduce into registers: lanes become partial results, combined after the loop. */
struct stmt *reduce_vectorize(struct prog *prog, struct stmt *list, int lanes, bool masks);
/* Innermost loops of reductions unrolled while they stay within `size` statements. In place. */
struct stmt *reduce_unroll(struct prog *prog, struct stmt *list, int size);
/* Sums of integers at the top of the list that start with what is added to them at the end. In place. */
void sums_start(struct prog *prog, struct stmt *list);
/* Reduction loops of a nest's body reordered: large strides outside. In place. */
void reduce_order(const struct loopnest *nest, struct stmt *list);
/* A loop that does nothing but reduce into registers defined outside it. */
bool reduce_is_pure(const struct stmt *loop);

#endif
