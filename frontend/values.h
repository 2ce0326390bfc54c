/* Short names for building values in a graph: what importers of all formats share, so that an operator that is a
 * formula reads as one. NULL (an error told before) goes through all of them silently.
 */
#ifndef TENON_VALUES_H
#define TENON_VALUES_H
#include "../ir/graph.h"

static inline struct value *build_add(struct graph *g, struct value *x, struct value *z)
{
    return graph_binary(g, OP_add, x, z);
}
static inline struct value *build_sub(struct graph *g, struct value *x, struct value *z)
{
    return graph_binary(g, OP_sub, x, z);
}
static inline struct value *build_mul(struct graph *g, struct value *x, struct value *z)
{
    return graph_binary(g, OP_mul, x, z);
}
static inline struct value *build_div(struct graph *g, struct value *x, struct value *z)
{
    return graph_binary(g, OP_div, x, z);
}
static inline struct value *build_min(struct graph *g, struct value *x, struct value *z)
{
    return graph_binary(g, OP_min, x, z);
}
static inline struct value *build_max(struct graph *g, struct value *x, struct value *z)
{
    return graph_binary(g, OP_max, x, z);
}
static inline struct value *build_pow(struct graph *g, struct value *x, struct value *z)
{
    return graph_binary(g, OP_pow, x, z);
}
static inline struct value *build_lt(struct graph *g, struct value *x, struct value *z)
{
    return graph_binary(g, OP_lt, x, z);
}
static inline struct value *build_le(struct graph *g, struct value *x, struct value *z)
{
    return graph_binary(g, OP_le, x, z);
}
static inline struct value *build_eq(struct graph *g, struct value *x, struct value *z)
{
    return graph_binary(g, OP_eq, x, z);
}
static inline struct value *build_and(struct graph *g, struct value *x, struct value *z)
{
    return graph_binary(g, OP_and, x, z);
}
static inline struct value *build_or(struct graph *g, struct value *x, struct value *z)
{
    return graph_binary(g, OP_or, x, z);
}
static inline struct value *build_neg(struct graph *g, struct value *x)
{
    return graph_unary(g, OP_neg, x);
}
static inline struct value *build_abs(struct graph *g, struct value *x)
{
    return graph_unary(g, OP_abs, x);
}
static inline struct value *build_exp(struct graph *g, struct value *x)
{
    return graph_unary(g, OP_exp, x);
}
static inline struct value *build_log(struct graph *g, struct value *x)
{
    return graph_unary(g, OP_log, x);
}
static inline struct value *build_sqrt(struct graph *g, struct value *x)
{
    return graph_unary(g, OP_sqrt, x);
}
static inline struct value *build_tanh(struct graph *g, struct value *x)
{
    return graph_unary(g, OP_tanh, x);
}
static inline struct value *build_sigmoid(struct graph *g, struct value *x)
{
    return graph_unary(g, OP_sigmoid, x);
}
static inline struct value *build_not(struct graph *g, struct value *x)
{
    return graph_unary(g, OP_not, x);
}
static inline struct value *build_round(struct graph *g, struct value *x)
{
    return graph_unary(g, OP_round, x);
}
static inline struct value *build_floor(struct graph *g, struct value *x)
{
    return graph_unary(g, OP_floor, x);
}
/* v as a scalar of x's element type. */
static inline struct value *build_number(struct graph *g, const struct value *x, double v)
{
    return x ? graph_scalar(g, x->type.dt, v) : NULL;
}
/* Operator with a number on the right. */
static inline struct value *build_with(struct graph *g, enum op op, struct value *x, double v)
{
    return graph_binary(g, op, x, build_number(g, x, v));
}
static inline struct value *build_clamp(struct graph *g, struct value *x, double lo, double hi)
{
    return build_with(g, OP_min, build_with(g, OP_max, x, lo), hi);
}
/* y where x < bound, otherwise z. */
static inline struct value *build_where_below(struct graph *g, struct value *x, double bound, struct value *y, struct value *z)
{
    return graph_select(g, build_with(g, OP_lt, x, bound), y, z);
}
/* a*x + b*z. */
static inline struct value *build_mul_add(struct graph *g, struct value *a, struct value *x, struct value *b, struct value *z)
{
    struct value *first = build_mul(g, a, x);
    return build_add(g, first, build_mul(g, b, z));
}
/* x*a + z*b. */
static inline struct value *build_mix(struct graph *g, struct value *x, double a, struct value *z, double b)
{
    struct value *first = build_with(g, OP_mul, x, a);
    return build_add(g, first, build_with(g, OP_mul, z, b));
}
/* log(1 + exp(x)) without overflow: max(x, 0) + log(1 + exp(-|x|)). */
struct value *build_softplus(struct graph *g, struct value *x);
/* Reduction over one axis; keep as graph_reduce. */
static inline struct value *build_reduce(struct graph *g, enum op op, struct value *x, int64_t axis, bool keep)
{
    return graph_reduce(g, op, x, 1, &axis, keep);
}
struct value *build_mean(struct graph *g, struct value *x, int n, const int64_t *axes, bool keep);
/* The axes first .. rank-1 as a list in the graph's arena. */
const int64_t *build_axes_from(struct graph *g, int first, int rank);
/* x with rank axes in all: 1s added at the end (or front). */
struct value *build_unsqueeze_end(struct graph *g, struct value *x, int rank);
/* x (rank 1, of C) shaped so that it lies along axis 1 of a tensor of this rank: [C, 1, 1]. */
struct value *build_per_channel(struct graph *g, struct value *x, int rank);
/* y plus the bias of each channel (axis 1), if there is one. */
struct value *build_channel_bias(struct graph *g, struct value *y, struct value *bias);
/* x seen as [outer, inner] split before axis. */
struct value *build_flatten(struct graph *g, struct value *x, int axis);
/* A product of dims from..to-1 of x. */
dim build_extent(struct graph *g, const struct value *x, int from, int to);
/* An extent as a scalar of type dt; symbolic ones are computed through i64. */
struct value *build_extent_value(struct graph *g, dim d, enum dtype dt);
/* x with axes a and b exchanged. */
struct value *build_swap(struct graph *g, struct value *x, int a, int b);
/* x reversed along axis. */
struct value *build_reverse(struct graph *g, struct value *x, int axis);
/* x with one axis of size 1 put before axis / taken away. */
struct value *build_unsqueeze(struct graph *g, struct value *x, int axis);
struct value *build_squeeze(struct graph *g, struct value *x, int axis);
/* Tensor of v's element type with these dims filled with scalar v. */
struct value *build_fill(struct graph *g, struct value *v, int rank, const dim *dims);
/* 0, 1, .. n-1 along one axis, of type dt. */
struct value *build_range(struct graph *g, enum dtype dt, dim n);
/* x repeated along every axis; NULL without a message where too many axes are. */
struct value *build_tile(struct graph *g, struct value *x, const int64_t *repeats);

#endif
