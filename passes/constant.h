/* Constants prepared for kernels: see constant.c. */
#ifndef TENON_CONSTANT_H
#define TENON_CONSTANT_H
#include "../ir/graph.h"

/* The constant without f32 denormals: zeros in their place; itself where it has none. */
struct value *constant_normal(struct graph *graph, struct value *constant);
/* The constant [.., n] or [n, ..] with zeros appended along `axis` up to `size` elements; f32. */
struct value *constant_extend(struct graph *graph, struct value *constant, int axis, int64_t size);
/* The weight [c, 1, k..] of a depthwise convolution as conv_depth reads it, [k.., c]. */
struct value *constant_depthwise(struct graph *graph, struct value *constant);

#endif
