/* Normalizations: batch, layer, instance, group, RMS, Lp, mean-variance, local response.
 *
 * Statistics of f16 and bf16 tensors are taken in f32 (stash_type), and results cast back.
 */
#include "onnx_build.h"

/* scale / sqrt(variance + epsilon), and what it leaves to add: y = x * slope + offset. */
static struct value *build_batch_norm(struct onnx_call *c)
{
    struct graph *g = c->graph;
    struct value *x = c->in[0], *mean = c->in[3], *variance = c->in[4];
    if (!x || !c->in[1] || !c->in[2] || !mean || !variance) return onnx_error(c, "needs five inputs");
    int rank = x->type.rank;
    enum dtype dt = x->type.dt;
    if (onnx_int(c, "training_mode", 0)) {
        int64_t axes[RANK_MOST];
        int n = 0;
        for (int i = 0; i < rank; i++)
            if (i != 1) axes[n++] = i;
        struct value *m = build_mean(g, x, n, axes, true), *off = build_sub(g, x, m);
        struct value *v = build_mean(g, build_mul(g, off, off), n, axes, false);
        double momentum = onnx_float(c, "momentum", 0.9);
        m = m ? graph_reshape(g, m, 1, &x->type.dim[1]) : NULL;
        c->out[1] = build_mix(g, mean, momentum, m, 1 - momentum);
        c->out[2] = build_mix(g, variance, momentum, v, 1 - momentum);
        mean = m, variance = v;
        if (!m || !v) return NULL;
    } else if (c->n_out > 1) {
        return onnx_refuse(c, "running statistics without training_mode");
    }
    enum dtype wide = variance->type.dt;
    struct value *slope = graph_cast(g, c->in[1], wide);
    slope = build_div(g, slope, build_sqrt(g, build_with(g, OP_add, variance, onnx_float(c, "epsilon", 1e-5))));
    struct value *offset = graph_cast(g, c->in[2], wide);
    offset = build_sub(g, offset, build_mul(g, graph_cast(g, mean, wide), slope));
    struct value *y = graph_cast(g, x, wide);
    y = build_mul(g, y, build_per_channel(g, slope, rank));
    return graph_cast(g, build_add(g, y, build_per_channel(g, offset, rank)), dt);
}

struct moments {
    struct value *off, *mean, *inverse; /* x - mean, mean, 1 / sqrt(variance + epsilon); axes kept */
};
static struct moments moments(struct graph *g, struct value *x, int n, const int64_t *axes, double epsilon)
{
    struct moments m;
    m.mean = build_mean(g, x, n, axes, true);
    m.off = build_sub(g, x, m.mean);
    struct value *variance = build_mean(g, build_mul(g, m.off, m.off), n, axes, true);
    m.inverse = graph_unary(g, OP_reciprocal, build_sqrt(g, build_with(g, OP_add, variance, epsilon)));
    return m;
}

static struct value *wide(struct graph *g, struct value *x)
{
    return x ? graph_cast(g, x, dtype_compute(x->type.dt)) : NULL;
}

static struct value *build_layer_norm(struct onnx_call *c)
{
    struct graph *g = c->graph;
    struct value *x = c->in[0], *scale = c->in[1], *bias = c->in[2];
    int axis;
    double epsilon = onnx_float(c, "epsilon", 1e-5);
    if (!x || !scale) return onnx_error(c, "needs an input and a scale");
    if (!onnx_axis(c, onnx_int(c, "axis", -1), x->type.rank, &axis)) return NULL;
    int n = x->type.rank - axis;
    if (c->n_out == 1 && scale->type.rank == n && x->type.dt != DT_f16 && x->type.dt != DT_bf16) {
        if (!bias) bias = build_fill(g, build_number(g, x, 0), n, x->type.dim + axis);
        struct attr attrs[] = {ATTR_I("axis", axis), ATTR_F("epsilon", epsilon)};
        return graph_node(g, OP_layer_norm, 3, (struct value *[]){x, scale, bias}, 2, attrs);
    }
    struct moments m = moments(g, wide(g, x), n, build_axes_from(g, axis, x->type.rank), epsilon);
    c->out[1] = m.mean;
    c->out[2] = m.inverse;
    struct value *y = build_mul(g, graph_cast(g, build_mul(g, m.off, m.inverse), x->type.dt), scale);
    return bias ? build_add(g, y, bias) : y;
}

static struct value *build_rms_norm(struct onnx_call *c)
{
    struct graph *g = c->graph;
    struct value *x = c->in[0];
    int axis;
    if (!x || !c->in[1]) return onnx_error(c, "needs an input and a scale");
    if (!onnx_axis(c, onnx_int(c, "axis", -1), x->type.rank, &axis)) return NULL;
    struct value *w = wide(g, x);
    struct value *square =
        build_mean(g, build_mul(g, w, w), x->type.rank - axis, build_axes_from(g, axis, x->type.rank), true);
    struct value *root = build_sqrt(g, build_with(g, OP_add, square, onnx_float(c, "epsilon", 1e-5)));
    return build_mul(g, graph_cast(g, build_div(g, w, root), c->in[1]->type.dt), c->in[1]);
}

/* Normalizes x over groups of channels: [N, G, the rest]. */
static struct value *normalize_groups(struct onnx_call *c, int64_t groups, double epsilon)
{
    struct graph *g = c->graph;
    struct value *x = wide(g, c->in[0]);
    dim per;
    if (x->type.rank < 2 || groups < 1 || !dim_divides(g->dims, x->type.dim[1], groups, &per))
        return onnx_error(c, "%lld groups of %s", (long long)groups, type_string(g->dims, g->arena, &x->type));
    dim dims[3] = {x->type.dim[0], groups, dim_mul(g->dims, per, build_extent(g, x, 2, x->type.rank))};
    struct moments m = moments(g, graph_reshape(g, x, 3, dims), 1, (int64_t[]){2}, epsilon);
    return graph_reshape(g, build_mul(g, m.off, m.inverse), x->type.rank, x->type.dim);
}

static struct value *scale_shift(struct onnx_call *c, struct value *y, struct value *scale, struct value *bias)
{
    struct graph *g = c->graph;
    if (!y || !scale || !bias) return NULL;
    int rank = y->type.rank;
    enum dtype dt = y->type.dt;
    y = build_mul(g, y, graph_cast(g, build_per_channel(g, scale, rank), dt));
    return graph_cast(g, build_add(g, y, graph_cast(g, build_per_channel(g, bias, rank), dt)), c->in[0]->type.dt);
}

static struct value *build_instance_norm(struct onnx_call *c)
{
    if (!c->in[0] || c->in[0]->type.rank < 3) return onnx_error(c, "needs an input of rank 3 or more");
    dim channels = c->in[0]->type.dim[1];
    if (!dim_is_const(channels)) return onnx_refuse(c, "a dynamic number of channels");
    return scale_shift(c, normalize_groups(c, channels, onnx_float(c, "epsilon", 1e-5)), c->in[1], c->in[2]);
}

/* Up to opset 20 scale and bias are per group, then per channel. */
static struct value *build_group_norm(struct onnx_call *c)
{
    struct graph *g = c->graph;
    struct value *x = c->in[0], *part[2] = {c->in[1], c->in[2]};
    int64_t groups = onnx_int(c, "num_groups", 1);
    if (!x || !part[0] || !part[1] || x->type.rank < 3)
        return onnx_error(c, "needs an input of rank 3 or more, scale and bias");
    struct value *y = normalize_groups(c, groups, onnx_float(c, "epsilon", 1e-5));
    dim per;
    if (!y || !dim_divides(g->dims, x->type.dim[1], groups, &per)) return NULL;
    for (int i = 0; i < 2 && c->version < 21; i++)
        part[i] = graph_reshape(g, graph_broadcast(g, build_unsqueeze(g, part[i], 1), 2, (dim[]){groups, per}), 1,
                                &x->type.dim[1]);
    return scale_shift(c, y, part[0], part[1]);
}

static struct value *build_lp_norm(struct onnx_call *c)
{
    struct graph *g = c->graph;
    struct value *x = c->in[0], *norm;
    int axis;
    if (!x || !onnx_axis(c, onnx_int(c, "axis", -1), x->type.rank, &axis)) return NULL;
    int64_t p = onnx_int(c, "p", 2);
    if (p != 1 && p != 2) return onnx_error(c, "p is %lld", (long long)p);
    norm = build_reduce(g, OP_sum, p == 1 ? build_abs(g, x) : build_mul(g, x, x), axis, true);
    if (p == 2) norm = build_sqrt(g, norm);
    struct value *is_zero = build_with(g, OP_eq, norm, 0), *zero = build_number(g, x, 0);
    return graph_select(g, is_zero, zero, build_div(g, x, norm));
}

static struct value *build_mean_variance_norm(struct onnx_call *c)
{
    const int64_t *list, usual[] = {0, 2, 3};
    struct graph *g = c->graph;
    struct value *x = c->in[0];
    int n = onnx_ints(c, "axes", &list);
    if (!x) return onnx_error(c, "no input");
    const int64_t *axes = onnx_axes(c, n < 0 ? 3 : n, n < 0 ? usual : list, x->type.rank);
    if (!axes) return NULL;
    n = n < 0 ? 3 : n;
    struct value *off = build_sub(g, x, build_mean(g, x, n, axes, true));
    struct value *deviation = build_sqrt(g, build_mean(g, build_mul(g, off, off), n, axes, true));
    return build_div(g, off, build_with(g, OP_add, deviation, 1e-9));
}

/* x / (bias + alpha/size * sum of squares over `size` channels around)^beta. */
static struct value *build_lrn(struct onnx_call *c)
{
    struct graph *g = c->graph;
    struct value *x = c->in[0];
    int64_t size = onnx_int(c, "size", 0);
    if (!x || x->type.rank < 3 || size < 1 || size > (1 << 20)) return onnx_error(c, "size %lld", (long long)size);
    dim dims[4] = {x->type.dim[0], 1, x->type.dim[1], build_extent(g, x, 2, x->type.rank)};
    struct window w = {.n = 2,
                            .kernel = {size, 1},
                            .stride = {1, 1},
                            .dilation = {1, 1},
                            .before = {(size - 1) / 2},
                            .after = {size / 2}};
    struct value *sum = window_node(c->graph, OP_pool_sum, graph_reshape(g, build_mul(g, x, x), 4, dims), NULL, &w, 0);
    sum = build_with(g, OP_mul, graph_reshape(g, sum, x->type.rank, x->type.dim),
                     onnx_float(c, "alpha", 0.0001) / (double)size);
    return build_div(
        g, x, build_with(g, OP_pow, build_with(g, OP_add, sum, onnx_float(c, "bias", 1)), onnx_float(c, "beta", 0.75)));
}

const struct onnx_row onnx_norm_rows[] = {
    {"BatchNormalization", 7, 0, 5, build_batch_norm},
    {"GroupNormalization", 18, 0, 3, build_group_norm},
    {"InstanceNormalization", 6, 0, 3, build_instance_norm},
    {"LRN", 1, 0, 1, build_lrn},
    {"LayerNormalization", 17, 0, 2, build_layer_norm},
    {"LpNormalization", 1, 0, 1, build_lp_norm},
    {"MeanVarianceNormalization", 9, 0, 1, build_mean_variance_norm},
    {"RMSNormalization", 23, 0, 2, build_rms_norm},
    {NULL, 0, 0, 0, NULL},
};
