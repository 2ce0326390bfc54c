/* Building blocks that several operator families share. See values.h. */
#include "values.h"

struct value *build_softplus(struct graph *g, struct value *x)
{
    struct value *small = build_log(g, build_with(g, OP_add, build_exp(g, build_neg(g, build_abs(g, x))), 1));
    return build_add(g, build_with(g, OP_max, x, 0), small);
}

struct value *build_extent_value(struct graph *g, dim d, enum dtype dt)
{
    struct value *list = graph_dims(g, 1, &d);
    return dt == DT_i64 ? graph_reshape(g, list, 0, NULL) : graph_cast(g, graph_reshape(g, list, 0, NULL), dt);
}

struct value *build_mean(struct graph *g, struct value *x, int n, const int64_t *axes, bool keep)
{
    if (!x) return NULL;
    dim count = 1;
    for (int i = 0; i < n; i++) count = dim_mul(g->dims, count, x->type.dim[axes[i]]);
    struct value *sum = graph_reduce(g, OP_sum, x, n, axes, keep);
    return build_div(g, sum, build_extent_value(g, count, x->type.dt));
}

const int64_t *build_axes_from(struct graph *g, int first, int rank)
{
    int64_t *axes = NEW_ARRAY(g->arena, int64_t, rank + 1);
    for (int i = first; i < rank; i++) axes[i - first] = i;
    return axes;
}

struct value *build_unsqueeze_end(struct graph *g, struct value *x, int rank)
{
    dim dims[RANK_MOST];
    if (!x) return NULL;
    for (int i = 0; i < rank && i < RANK_MOST; i++) dims[i] = i < x->type.rank ? x->type.dim[i] : 1;
    return graph_reshape(g, x, rank, dims);
}

struct value *build_per_channel(struct graph *g, struct value *x, int rank)
{
    if (!x || x->type.rank != 1) return x;
    return build_unsqueeze_end(g, x, rank > 1 ? rank - 1 : 1);
}

struct value *build_channel_bias(struct graph *g, struct value *y, struct value *bias)
{
    return bias && y ? build_add(g, y, build_per_channel(g, bias, y->type.rank)) : y;
}

dim build_extent(struct graph *g, const struct value *x, int from, int to)
{
    dim n = 1;
    for (int i = from; i < to; i++) n = dim_mul(g->dims, n, x->type.dim[i]);
    return n;
}

struct value *build_flatten(struct graph *g, struct value *x, int axis)
{
    if (!x) return NULL;
    dim dims[2] = {build_extent(g, x, 0, axis), build_extent(g, x, axis, x->type.rank)};
    return graph_reshape(g, x, 2, dims);
}

struct value *build_swap(struct graph *g, struct value *x, int a, int b)
{
    int64_t perm[RANK_MOST];
    if (!x || a == b) return x;
    for (int i = 0; i < x->type.rank; i++) perm[i] = i == a ? b : i == b ? a : i;
    return graph_transpose(g, x, perm);
}

struct value *build_reverse(struct graph *g, struct value *x, int axis)
{
    dim start[RANK_MOST] = {0};
    int64_t step[RANK_MOST];
    if (!x) return NULL;
    for (int i = 0; i < x->type.rank; i++) step[i] = 1;
    start[axis] = dim_sub(g->dims, x->type.dim[axis], 1);
    step[axis] = -1;
    return graph_slice(g, x, start, step, x->type.dim);
}

struct value *build_unsqueeze(struct graph *g, struct value *x, int axis)
{
    dim dims[RANK_MOST + 1];
    if (!x) return NULL;
    for (int i = 0; i <= x->type.rank; i++) dims[i] = i < axis ? x->type.dim[i] : i == axis ? 1 : x->type.dim[i - 1];
    return graph_reshape(g, x, x->type.rank + 1, dims);
}

struct value *build_squeeze(struct graph *g, struct value *x, int axis)
{
    dim dims[RANK_MOST];
    int rank = 0;
    if (!x) return NULL;
    for (int i = 0; i < x->type.rank; i++)
        if (i != axis) dims[rank++] = x->type.dim[i];
    return graph_reshape(g, x, rank, dims);
}

struct value *build_fill(struct graph *g, struct value *v, int rank, const dim *dims)
{
    return graph_broadcast(g, v, rank, dims);
}

struct value *build_range(struct graph *g, enum dtype dt, dim n)
{
    struct type type = {.dt = dt, .rank = 1, .dim = {n}};
    return graph_iota(g, &type, 0, 0, 1);
}

/* Each repeated axis becomes [repeats, extent], broadcast, and is joined again. */
struct value *build_tile(struct graph *g, struct value *x, const int64_t *repeats)
{
    dim split[2 * RANK_MOST], spread[2 * RANK_MOST], joined[RANK_MOST];
    int rank = 0, n = x->type.rank;
    for (int i = 0; i < n; i++) {
        if (repeats[i] != 1) split[rank] = 1, spread[rank++] = repeats[i];
        split[rank] = spread[rank] = x->type.dim[i];
        rank++;
        joined[i] = dim_mul(g->dims, x->type.dim[i], repeats[i]);
    }
    if (rank > RANK_MOST) return NULL;
    return graph_reshape(g, graph_broadcast(g, graph_reshape(g, x, rank, split), rank, spread), n, joined);
}
