/* The inside of a contraction's kernel by groups (group_tile.c), for what else makes one (group_slices.c). */
#ifndef TENON_GROUP_INSIDE_H
#define TENON_GROUP_INSIDE_H
#include "group.h"
#include "loops.h"

enum { UNROLL = 128, PARTS_MOST = 128 };
struct tiler {
    const struct contraction *c;
    const struct group_plan *plan;
    struct prog *prog;
    struct var *lane, *lane_row, *lane_column, *first_row, *first_vector, *batch[AXES_MOST], *sum[AXES_MOST];
    struct var *row, *vector, *across, *term;  /* of the body written once: in the tile; in a vector; in the step */
    struct var *narrow[GROUP_REGISTERS], *wide[GROUP_REGISTERS]; /* registers of one column, of a vector */
    struct buffer *shared[STAGED_MOST];
    struct rewriter *part[PARTS_MOST];         /* by row and vector of a lane */
    int n_parts, n_lanes;
    struct var *slice;                         /* of the sums; NULL: they are not divided */
    struct stmt *head;                         /* lets at the beginning of a lane */
};

/* Index arithmetic. */
ex tiler_number(struct tiler *t, int64_t v);
ex tiler_plus(struct tiler *t, ex a, ex b);
ex tiler_times(struct tiler *t, ex a, int64_t b);
ex tiler_of(struct tiler *t, struct var *var);
/* Binds the chain's axes and registers for the body that is written once; vector: which one of all columns'. */
struct rewriter *tiler_body(struct tiler *t, ex vector);
/* The list for a vector of columns; NULL where that cannot be. */
struct stmt *tiler_vector(struct tiler *t, struct stmt *list, ex count);
/* The list for all rows and vectors of a lane. */
struct stmt *tiler_jam(struct tiler *t, struct stmt *list);
/* group_slices.c: the sums by slices, put together; NULL where there are no lanes. */
struct stmt *slices_sums(struct tiler *t);

#endif
