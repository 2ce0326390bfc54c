/* Reductions: the ReduceX family, ArgMax and ArgMin, running sums, top-k, soft and hard maxima.
 *
 * Axes are an attribute up to opset 12 (ReduceSum) or 17 (the others) and an input after; an absent or empty list means
 * all axes, or none where noop_with_empty_axes says so.
 */
#include "onnx_build.h"

struct reduction {
    struct value *x;
    const int64_t *axes;
    int n;
    bool keep, is_noop;
};

static bool read_reduction(struct onnx_call *c, struct reduction *r)
{
    const int64_t *list;
    *r = (struct reduction){.x = c->in[0], .keep = onnx_int(c, "keepdims", 1) != 0};
    if (!r->x) return onnx_error(c, "no input"), false;
    int n = onnx_ints_or_input(c, "axes", 1, &list), rank = r->x->type.rank;
    if (n < 0) return false;
    if (n == 0) {
        r->is_noop = onnx_int(c, "noop_with_empty_axes", 0) != 0;
        r->n = rank;
        r->axes = build_axes_from(c->graph, 0, rank);
        return true;
    }
    r->n = n;
    r->axes = onnx_axes(c, n, list, rank);
    return r->axes != NULL;
}

static struct value *reduce(struct onnx_call *c, const struct reduction *r, enum op op, struct value *x)
{
    return r->is_noop || r->n == 0 ? x : graph_reduce(c->graph, op, x, r->n, r->axes, r->keep);
}

/* before(x), then the reduction. */
static struct value *plain(struct onnx_call *c, enum op op, struct value *(*before)(struct graph *, struct value *))
{
    struct reduction r;
    if (!read_reduction(c, &r)) return NULL;
    return reduce(c, &r, op, before ? before(c->graph, r.x) : r.x);
}

static struct value *build_reduce_sum(struct onnx_call *c)
{
    return plain(c, OP_sum, NULL);
}
static struct value *build_reduce_prod(struct onnx_call *c)
{
    return plain(c, OP_prod, NULL);
}
static struct value *build_reduce_l1(struct onnx_call *c)
{
    return plain(c, OP_sum, build_abs);
}
static struct value *build_reduce_sum_square(struct onnx_call *c)
{
    return plain(c, OP_sum_square, NULL);
}
static struct value *build_reduce_log_sum(struct onnx_call *c)
{
    return build_log(c->graph, plain(c, OP_sum, NULL));
}

static struct value *build_reduce_l2(struct onnx_call *c)
{
    struct value *sum = plain(c, OP_sum_square, NULL);
    if (!sum || dtype_is_float(sum->type.dt)) return build_sqrt(c->graph, sum);
    return graph_cast(c->graph, build_sqrt(c->graph, graph_cast(c->graph, sum, DT_f64)), sum->type.dt);
}

/* bool maxima and minima are taken over u8. */
static struct value *extreme(struct onnx_call *c, enum op op)
{
    struct reduction r;
    if (!read_reduction(c, &r)) return NULL;
    if (r.x->type.dt != DT_bool) return reduce(c, &r, op, r.x);
    struct value *y = reduce(c, &r, op, graph_cast(c->graph, r.x, DT_u8));
    return build_not(c->graph, build_with(c->graph, OP_eq, y, 0));
}
static struct value *build_reduce_max(struct onnx_call *c)
{
    return extreme(c, OP_reduce_max);
}
static struct value *build_reduce_min(struct onnx_call *c)
{
    return extreme(c, OP_reduce_min);
}

static struct value *build_reduce_mean(struct onnx_call *c)
{
    struct reduction r;
    if (!read_reduction(c, &r)) return NULL;
    return r.is_noop || r.n == 0 ? r.x : build_mean(c->graph, r.x, r.n, r.axes, r.keep);
}

/* max + log(sum(exp(x - max))); where max is not finite it is taken as 0, so that inf - inf does not arise. */
static struct value *build_reduce_log_sum_exp(struct onnx_call *c)
{
    struct reduction r;
    struct graph *g = c->graph;
    if (!read_reduction(c, &r)) return NULL;
    if (r.is_noop || r.n == 0) return r.x;
    struct value *most = graph_reduce(g, OP_reduce_max, r.x, r.n, r.axes, true);
    struct value *is_inf = graph_unary(g, OP_is_inf, most);
    most = graph_select(g, is_inf, build_number(g, most, 0), most);
    struct value *sum = graph_reduce(g, OP_sum, build_exp(g, build_sub(g, r.x, most)), r.n, r.axes, r.keep);
    if (!r.keep && sum && most) most = graph_reshape(g, most, sum->type.rank, sum->type.dim);
    return build_add(g, build_log(g, sum), most);
}

/* Index of the extreme along one axis: where the value equals the reduced value, first or last. */
static struct value *arg_extreme(struct onnx_call *c, enum op op)
{
    struct graph *g = c->graph;
    struct value *x = c->in[0];
    int axis;
    if (!x || !onnx_axis(c, onnx_int(c, "axis", 0), x->type.rank, &axis)) return NULL;
    struct value *best = build_reduce(g, op, x, axis, false);
    enum op find = onnx_int(c, "select_last_index", 0) ? OP_find_last : OP_find_first;
    struct value *y = graph_node(g, find, 2, (struct value *[]){x, best}, 1, (struct attr[]){ATTR_I("axis", axis)});
    return onnx_int(c, "keepdims", 1) ? build_unsqueeze(g, y, axis) : y;
}
static struct value *build_arg_max(struct onnx_call *c)
{
    return arg_extreme(c, OP_reduce_max);
}
static struct value *build_arg_min(struct onnx_call *c)
{
    return arg_extreme(c, OP_reduce_min);
}

static struct value *running(struct onnx_call *c, enum op op)
{
    const int64_t *list;
    struct graph *g = c->graph;
    struct value *x = c->in[0];
    int axis, n = onnx_input_ints(c, 1, "axis", &list);
    if (n < 0) return NULL;
    if (n != 1 || !x) return onnx_error(c, "needs a tensor and one axis");
    if (!onnx_axis(c, list[0], x->type.rank, &axis)) return NULL;
    bool is_reverse = onnx_int(c, "reverse", 0) != 0;
    struct attr attrs[] = {ATTR_I("axis", axis), ATTR_I("inclusive", !onnx_int(c, "exclusive", 0))};
    if (is_reverse) x = build_reverse(g, x, axis);
    struct value *y = graph_node(g, op, 1, &x, 2, attrs);
    return is_reverse ? build_reverse(g, y, axis) : y;
}
static struct value *build_cumsum(struct onnx_call *c)
{
    return running(c, OP_cumsum);
}
static struct value *build_cumprod(struct onnx_call *c)
{
    return running(c, OP_cumprod);
}

/* Before opset 13 softmax works on the tensor seen as a matrix, split before the axis. */
static struct value *soft(struct onnx_call *c, enum op op)
{
    struct graph *g = c->graph;
    struct value *x = c->in[0];
    int axis;
    if (!x || !onnx_axis(c, onnx_int(c, "axis", c->version < 13 ? 1 : -1), x->type.rank, &axis)) return NULL;
    if (c->version >= 13 || axis == x->type.rank - 1)
        return graph_node(g, op, 1, &x, 1, (struct attr[]){ATTR_I("axis", axis)});
    struct value *flat = build_flatten(g, x, axis);
    return graph_reshape(g, graph_node(g, op, 1, &flat, 1, (struct attr[]){ATTR_I("axis", 1)}), x->type.rank,
                         x->type.dim);
}
static struct value *build_softmax(struct onnx_call *c)
{
    return soft(c, OP_softmax);
}
static struct value *build_log_softmax(struct onnx_call *c)
{
    return soft(c, OP_log_softmax);
}

static struct value *build_hardmax(struct onnx_call *c)
{
    struct graph *g = c->graph;
    struct value *x = c->in[0];
    int axis;
    if (!x || !onnx_axis(c, onnx_int(c, "axis", c->version < 13 ? 1 : -1), x->type.rank, &axis)) return NULL;
    struct type whole = x->type;
    if (c->version < 13) x = build_flatten(g, x, axis), axis = 1;
    if (!x) return NULL;
    struct value *in[2] = {x, build_reduce(g, OP_reduce_max, x, axis, false)};
    struct value *first =
        build_unsqueeze(g, graph_node(g, OP_find_first, 2, in, 1, (struct attr[]){ATTR_I("axis", axis)}), axis);
    struct type index = {.dt = DT_i64, .rank = x->type.rank};
    for (int i = 0; i < index.rank; i++) index.dim[i] = x->type.dim[i];
    struct value *y = graph_cast(g, build_eq(g, graph_iota(g, &index, axis, 0, 1), first), x->type.dt);
    return graph_reshape(g, y, whole.rank, whole.dim);
}

static struct value *build_det(struct onnx_call *c)
{
    return graph_unary(c->graph, OP_det, c->in[0]);
}

static struct value *build_top_k(struct onnx_call *c)
{
    const int64_t *list;
    struct graph *g = c->graph;
    struct value *x = c->in[0];
    int axis;
    int64_t k = onnx_int(c, "k", 0);
    if (c->version >= 10) {
        int n = onnx_input_ints(c, 1, "k", &list);
        if (n < 0) return NULL;
        if (n != 1) return onnx_error(c, "k needs one element");
        k = list[0];
    }
    if (!x || !onnx_axis(c, onnx_int(c, "axis", -1), x->type.rank, &axis)) return NULL;
    int last = x->type.rank - 1;
    x = build_swap(g, x, axis, last);
    struct attr attrs[] = {ATTR_I("k", k), ATTR_I("largest", onnx_int(c, "largest", 1)),
                           ATTR_I("sorted", onnx_int(c, "sorted", 1))};
    struct value *y = graph_node(g, OP_top_k, 1, &x, 3, attrs);
    if (!y) return NULL;
    c->out[1] = build_swap(g, &y->node->out[1], axis, last);
    return build_swap(g, &y->node->out[0], axis, last);
}

const struct onnx_row onnx_reduce_rows[] = {
    {"ArgMax", 1, 0, 1, build_arg_max},
    {"ArgMin", 1, 0, 1, build_arg_min},
    {"CumProd", 26, 0, 2, build_cumprod},
    {"CumSum", 11, 0, 2, build_cumsum},
    {"Det", 11, 0, 1, build_det},
    {"Hardmax", 1, 0, 1, build_hardmax},
    {"LogSoftmax", 1, 0, 1, build_log_softmax},
    {"ReduceL1", 1, 0, 1, build_reduce_l1},
    {"ReduceL2", 1, 0, 1, build_reduce_l2},
    {"ReduceLogSum", 1, 0, 1, build_reduce_log_sum},
    {"ReduceLogSumExp", 1, 0, 1, build_reduce_log_sum_exp},
    {"ReduceMax", 1, 0, 1, build_reduce_max},
    {"ReduceMean", 1, 0, 1, build_reduce_mean},
    {"ReduceMin", 1, 0, 1, build_reduce_min},
    {"ReduceProd", 1, 0, 1, build_reduce_prod},
    {"ReduceSum", 1, 0, 1, build_reduce_sum},
    {"ReduceSumSquare", 1, 0, 1, build_reduce_sum_square},
    {"Softmax", 1, 0, 1, build_softmax},
    {"TopK", 1, 0, 1, build_top_k},
    {NULL, 0, 0, 0, NULL},
};
