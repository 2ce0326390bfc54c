/* Windows that slide over the spatial axes of [N, C, ...]: what convolutions and pools of all formats share. */
#ifndef TENON_WINDOW_H
#define TENON_WINDOW_H
#include "../ir/graph.h"

/* n spatial axes, the axes of x from 2 on. after: padding behind, which may be more than declared_after where a last
 * partial window counts too (ONNX's ceil_mode). */
struct window {
    int n;
    dim kernel[RANK_MOST], before[RANK_MOST], after[RANK_MOST], declared_after[RANK_MOST];
    int64_t stride[RANK_MOST], dilation[RANK_MOST];
};

/* The extent that a window covers along spatial axis i. */
dim window_span(struct dims *dims, const struct window *window, int i);
/* SAME over an axis of this extent: as many outputs as strides fit, the padding split evenly, the odd one behind
 * (upper) or before. */
void window_pad_same(struct dims *dims, struct window *window, int i, dim extent, bool is_upper);
/* OP_conv, OP_pool_max or OP_pool_sum over that window (weight and group: of a convolution). */
struct value *window_node(struct graph *graph, enum op op, struct value *x, struct value *weight,
                          const struct window *window, int64_t group);
/* Elements that each window over x counts: of the input, or of input and declared padding; [1, 1, ...]. */
struct value *window_counts(struct graph *graph, const struct value *x, const struct window *window, bool with_pads);

#endif
