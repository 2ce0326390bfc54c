/* Reductions over axes that the second input names, positions of extremes, running sums. */
#include "tflite_quant.h"

enum { REDUCE_KEEP };
enum { CUMSUM_EXCLUSIVE, CUMSUM_REVERSE };

struct reduction {
    int n;
    const int64_t *axes;
    bool keep;
};

static bool read_reduction(struct tflite_call *c, struct reduction *r)
{
    r->keep = tflite_option(c, REDUCE_KEEP, 1, 0) != 0;
    r->n = tflite_axes(c, 1, c->in[0]->type.rank, &r->axes);
    return r->n >= 0;
}

static struct value *reduce_as(struct tflite_call *c, enum op op)
{
    struct reduction r;
    return read_reduction(c, &r) ? graph_reduce(c->graph, op, c->in[0], r.n, r.axes, r.keep) : NULL;
}

static struct value *build_sum(struct tflite_call *c)
{
    return reduce_as(c, OP_sum);
}
static struct value *build_prod(struct tflite_call *c)
{
    return reduce_as(c, OP_prod);
}
static struct value *build_reduce_max(struct tflite_call *c)
{
    return tflite_keeps_scale(c) ? reduce_as(c, OP_reduce_max) : NULL;
}
static struct value *build_reduce_min(struct tflite_call *c)
{
    return tflite_keeps_scale(c) ? reduce_as(c, OP_reduce_min) : NULL;
}
static struct value *build_mean_of(struct tflite_call *c)
{
    struct reduction r;
    return read_reduction(c, &r) ? build_mean(c->graph, c->in[0], r.n, r.axes, r.keep) : NULL;
}

/* On bool: any is the largest, all the smallest. */
static struct value *build_logical(struct tflite_call *c)
{
    struct graph *g = c->graph;
    if (c->in[0]->type.dt != DT_bool) return tflite_error(c, "needs bool, not %s", dtype_name(c->in[0]->type.dt));
    c->in[0] = graph_cast(g, c->in[0], DT_u8);
    struct value *y = reduce_as(c, c->op == TFL_REDUCE_ANY ? OP_reduce_max : OP_reduce_min);
    return build_not(g, build_with(g, OP_eq, y, 0));
}

/* How many elements each result is made of; 0 where none are. */
static int64_t count_of(const struct tflite_call *c, const struct reduction *r)
{
    int64_t n = 1;
    for (int i = 0; i < r->n; i++)
        if (!size_mul(n, c->in[0]->type.dim[r->axes[i]], &n)) return 0;
    return n;
}

/* The scale of a sum with the division by how many it sums taken in. */
static struct tflite_fixed mean_scale(struct tflite_fixed fixed, int64_t count)
{
    int shift = 63 - __builtin_clzll((unsigned long long)count);
    if (shift > 31 + fixed.shift) shift = 31 + fixed.shift;
    return (struct tflite_fixed){(int32_t)((int64_t)fixed.multiplier * ((int64_t)1 << shift) / count),
                                 fixed.shift - shift};
}

/* The sum of x - zero, scaled to the result. */
static struct value *quant_sum(struct tflite_call *c)
{
    struct reduction r;
    struct graph *g = c->graph;
    double from, to;
    int64_t zero, to_zero;
    if (!read_reduction(c, &r) || !tflite_scale(c, c->in_tensor[0], &from, &zero) ||
        !tflite_scale(c, c->out_tensor[0], &to, &to_zero))
        return NULL;
    int64_t count = count_of(c, &r);
    if (count < 1 || count > 1 << 22) return tflite_refuse(c, "%lld elements in a sum", (long long)count);
    struct value *sum = graph_reduce(g, OP_sum, graph_cast(g, c->in[0], DT_i32), r.n, r.axes, r.keep);
    sum = build_with(g, OP_sub, sum, (double)(zero * count));
    struct tflite_fixed fixed = tflite_fixed_of(from / to);
    if (c->op == TFL_MEAN) return tflite_finish(c, tflite_scaled(g, sum, mean_scale(fixed, count)), -1);
    return tflite_finish(c, tflite_scaled_once(g, sum, 1, &fixed), -1);
}

/* The one axis that the second input names. */
static bool read_axis(struct tflite_call *c, int *axis)
{
    const int64_t *list;
    int n = tflite_ints(c, 1, "axis", &list);
    if (n < 0) return false;
    if (n != 1) return tflite_error(c, "axis has %d elements", n);
    return tflite_axis(c, list[0], c->in[0]->type.rank, axis);
}

static struct value *build_arg(struct tflite_call *c)
{
    struct graph *g = c->graph;
    int axis;
    if (!read_axis(c, &axis)) return NULL;
    struct value *best = build_reduce(g, c->op == TFL_ARG_MAX ? OP_reduce_max : OP_reduce_min, c->in[0], axis, false);
    struct value *at =
        graph_node(g, OP_find_first, 2, (struct value *[]){c->in[0], best}, 1, (struct attr[]){ATTR_I("axis", axis)});
    return graph_cast(g, at, c->out_tensor[0]->type.dt);
}

static struct value *build_cumsum(struct tflite_call *c)
{
    struct graph *g = c->graph;
    int axis;
    if (!read_axis(c, &axis)) return NULL;
    bool reverse = tflite_option(c, CUMSUM_REVERSE, 1, 0) != 0;
    int64_t inclusive = tflite_option(c, CUMSUM_EXCLUSIVE, 1, 0) ? 0 : 1;
    struct value *x = reverse ? build_reverse(g, c->in[0], axis) : c->in[0];
    struct value *y =
        graph_node(g, OP_cumsum, 1, &x, 2, (struct attr[]){ATTR_I("axis", axis), ATTR_I("inclusive", inclusive)});
    return reverse ? build_reverse(g, y, axis) : y;
}

const struct tflite_row tflite_reduce_rows[] = {
    {TFL_ARG_MAX, 2, build_arg, build_arg},
    {TFL_ARG_MIN, 2, build_arg, build_arg},
    {TFL_CUMSUM, 2, build_cumsum, NULL},
    {TFL_MEAN, 2, build_mean_of, quant_sum},
    {TFL_REDUCE_ALL, 2, build_logical, NULL},
    {TFL_REDUCE_ANY, 2, build_logical, NULL},
    {TFL_REDUCE_MAX, 2, build_reduce_max, build_reduce_max},
    {TFL_REDUCE_MIN, 2, build_reduce_min, build_reduce_min},
    {TFL_REDUCE_PROD, 2, build_prod, NULL},
    {TFL_SUM, 2, build_sum, quant_sum},
    {0},
};
