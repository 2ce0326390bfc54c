/* Pools: maxima, averages and p-norms over windows or over everything.
 *
 * Averages divide a windowed sum by how many elements each window holds; where windows reach outside, that number is
 * itself a windowed sum, over ones.
 */
#include "onnx_build.h"

#include <string.h>

static struct value *build_average_pool(struct onnx_call *c)
{
    struct window w;
    struct graph *g = c->graph;
    struct value *x = c->in[0];
    bool with_pads = onnx_int(c, "count_include_pad", 0) != 0, is_even = true;
    double count = 1;
    if (!onnx_read_window(c, x, NULL, &w)) return NULL;
    for (int i = 0; i < w.n; i++) {
        count *= (double)w.kernel[i];
        if (w.after[i] != w.declared_after[i] || (!with_pads && (w.before[i] != 0 || w.after[i] != 0))) is_even = false;
    }
    struct value *sum = window_node(g, OP_pool_sum, x, NULL, &w, 0);
    return is_even ? build_with(g, OP_div, sum, count) : build_div(g, sum, window_counts(g, x, &w, with_pads));
}

/* Position of the maximum in the input, flattened: offsets of the window are compared one after the other, the first
 * maximum stays. Only where the second output is asked for. */
static struct value *max_positions(struct onnx_call *c, struct value *x, const struct window *w,
                                   const struct type *out)
{
    struct graph *g = c->graph;
    struct dims *s = g->dims;
    int rank = w->n + 2;
    int64_t many = 1, step[RANK_MOST] = {1, 1};
    dim before[RANK_MOST] = {0}, after[RANK_MOST] = {0}, start[RANK_MOST] = {0};
    for (int i = 0; i < w->n; i++) {
        many *= w->kernel[i];
        if (many > 1024) return onnx_refuse(c, "positions for windows above 1024 elements");
        before[i + 2] = w->before[i], after[i + 2] = dim_max(s, 0, w->after[i]), step[i + 2] = w->stride[i];
    }
    struct type type = x->type;
    type.dt = DT_i64;
    struct value *at = build_number(g, x, 0), *best = NULL, *where = NULL;
    at = graph_cast(g, at, DT_i64);
    for (int i = 0; i < rank; i++) {
        bool is_column = onnx_int(c, "storage_order", 0) != 0 && i >= 2;
        dim stride = is_column ? build_extent(g, x, 2, i) : build_extent(g, x, i + 1, rank);
        struct value *along = graph_iota(g, &type, i, 0, 1);
        at = build_add(g, at, build_mul(g, along, build_extent_value(g, stride, DT_i64)));
    }
    struct attr pads[] = {ATTR_L("before", before, rank), ATTR_L("after", after, rank)};
    double least = dtype_is_float(x->type.dt) ? -__builtin_inf() : (double)dtype_int_min(x->type.dt);
    x = graph_node(g, OP_pad, 2, (struct value *[]){x, build_number(g, x, least)}, 2, pads);
    at = graph_node(g, OP_pad, 2, (struct value *[]){at, graph_int(g, DT_i64, 0)}, 2, pads);
    for (int64_t k = 0; k < many; k++) {
        int64_t rest = k;
        for (int i = w->n - 1; i >= 0; rest /= w->kernel[i], i--) start[i + 2] = rest % w->kernel[i] * w->dilation[i];
        struct value *v = graph_slice(g, x, start, step, out->dim), *p = graph_slice(g, at, start, step, out->dim);
        struct value *is_more = best ? build_lt(g, best, v) : NULL;
        best = best ? graph_select(g, is_more, v, best) : v;
        where = where ? graph_select(g, is_more, p, where) : p;
    }
    return where;
}

static struct value *build_max_pool(struct onnx_call *c)
{
    struct window w;
    struct value *x = c->in[0];
    if (!onnx_read_window(c, x, NULL, &w)) return NULL;
    struct value *y = window_node(c->graph, OP_pool_max, x, NULL, &w, 0);
    if (y && c->n_out > 1) c->out[1] = max_positions(c, x, &w, &y->type);
    return y;
}

static struct value *power_sum_root(struct onnx_call *c,
                                    struct value *(*sum)(struct onnx_call *, struct value *,
                                                         const struct window *),
                                    const struct window *w)
{
    struct graph *g = c->graph;
    double p = (double)onnx_int(c, "p", 2);
    struct value *x = build_abs(g, c->in[0]);
    if (p < 1) return onnx_error(c, "p is %g", p);
    x = p == 1 ? x : p == 2 ? build_mul(g, x, x) : build_with(g, OP_pow, x, p);
    x = sum(c, x, w);
    return p == 1 ? x : p == 2 ? build_sqrt(g, x) : build_with(g, OP_pow, x, 1 / p);
}
static struct value *sum_window(struct onnx_call *c, struct value *x, const struct window *w)
{
    return window_node(c->graph, OP_pool_sum, x, NULL, w, 0);
}
static struct value *reduce_spatial(struct onnx_call *c, enum op op, struct value *x)
{
    if (!x || x->type.rank < 3) return onnx_error(c, "needs an input of rank 3 or more");
    return graph_reduce(c->graph, op, x, x->type.rank - 2, build_axes_from(c->graph, 2, x->type.rank), true);
}
static struct value *sum_spatial(struct onnx_call *c, struct value *x, const struct window *w)
{
    (void)w;
    return reduce_spatial(c, OP_sum, x);
}
static struct value *build_lp_pool(struct onnx_call *c)
{
    struct window w;
    return onnx_read_window(c, c->in[0], NULL, &w) ? power_sum_root(c, sum_window, &w) : NULL;
}
static struct value *build_global_lp_pool(struct onnx_call *c)
{
    return power_sum_root(c, sum_spatial, NULL);
}
static struct value *build_global_max_pool(struct onnx_call *c)
{
    return reduce_spatial(c, OP_reduce_max, c->in[0]);
}
static struct value *build_global_average_pool(struct onnx_call *c)
{
    struct value *x = c->in[0];
    if (!x || x->type.rank < 3) return onnx_error(c, "needs an input of rank 3 or more");
    return build_mean(c->graph, x, x->type.rank - 2, build_axes_from(c->graph, 2, x->type.rank), true);
}

/* The inverse of MaxPool with positions: values are put back where they came from. */
static struct value *build_max_unpool(struct onnx_call *c)
{
    struct window w;
    struct graph *g = c->graph;
    struct dims *s = g->dims;
    struct value *x = c->in[0], *at = c->in[1];
    const int64_t *shape = NULL;
    dim dims[RANK_MOST];
    int n = onnx_input_ints(c, 2, "output_shape", &shape);
    if (n < 0 || !at || !onnx_read_window(c, x, NULL, &w)) return NULL;
    if (shape && n != x->type.rank) return onnx_error(c, "output_shape has %d elements", n);
    dims[0] = x->type.dim[0], dims[1] = x->type.dim[1];
    for (int i = 0; i < w.n; i++) {
        dim reach = dim_add(s, dim_mul(s, dim_sub(s, x->type.dim[i + 2], 1), w.stride[i]), w.kernel[i]);
        dims[i + 2] = dim_sub(s, reach, dim_add(s, w.before[i], w.declared_after[i]));
    }
    for (int i = 0; shape && i < n; i++) {
        if (i >= 2 && dims[i] != shape[i] && !dim_is_const(dims[i]))
            return onnx_refuse(c, "dynamic dimensions with output_shape");
    }
    /* Positions count in the tensor without output_shape's extra rows: they are taken apart and joined again. */
    struct value *row = graph_cast(g, at, DT_i64), *joined = NULL;
    for (int i = 0; i < x->type.rank; i++) {
        dim behind = 1, behind_out = 1;
        for (int k = i + 1; k < x->type.rank; k++) {
            behind = dim_mul(s, behind, dims[k]);
            behind_out = dim_mul(s, behind_out, shape ? shape[k] : dims[k]);
        }
        struct value *part = build_div(g, row, build_extent_value(g, behind, DT_i64));
        row = build_sub(g, row, build_mul(g, part, build_extent_value(g, behind, DT_i64)));
        part = build_mul(g, part, build_extent_value(g, behind_out, DT_i64));
        joined = joined ? build_add(g, joined, part) : part;
    }
    dim all = 1, many = type_elements(s, &x->type);
    for (int i = 0; i < x->type.rank; i++) all = dim_mul(s, all, shape ? shape[i] : dims[i]);
    struct value *in[3] = {build_fill(g, build_number(g, x, 0), 2, (dim[]){all, 1}), graph_reshape(g, joined, 1, &many),
                           graph_reshape(g, x, 2, (dim[]){many, 1})};
    struct value *y = graph_node(g, OP_scatter, 3, in, 1, (struct attr[]){ATTR_S("mode", "set")});
    return graph_reshape(g, y, x->type.rank, shape ? shape : dims);
}

const struct onnx_row onnx_pool_rows[] = {
    {"AveragePool", 1, 0, 1, build_average_pool},
    {"GlobalAveragePool", 1, 0, 1, build_global_average_pool},
    {"GlobalLpPool", 2, 0, 1, build_global_lp_pool},
    {"GlobalMaxPool", 1, 0, 1, build_global_max_pool},
    {"LpPool", 2, 0, 1, build_lp_pool},
    {"MaxPool", 1, 0, 1, build_max_pool},
    {"MaxUnpool", 9, 0, 2, build_max_unpool},
    {NULL, 0, 0, 0, NULL},
};
