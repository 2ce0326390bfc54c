/* Attention and what stands around it: rotary embedding, caches, gated units.
 *
 * Scores get an additive bias (mask, causality, a window, the length that is valid), 0 or minus infinity where it comes
 * from truth values. A row in which everything is masked gives 0, not NaN.
 */
#include "onnx_build.h"

#include <math.h>
#include <string.h>

struct attention {
    struct onnx_call *call;
    struct value *q, *k, *v; /* [batch, heads, length, size] */
    struct value *bias;      /* to broadcast against the scores; NULL: none */
    bool may_mask_rows;
    enum dtype dt;
};

/* [batch, length, heads * size] to [batch, heads, length, size]. */
static struct value *split_heads(struct onnx_call *c, struct value *x, int64_t heads)
{
    struct graph *g = c->graph;
    dim size;
    if (!x || x->type.rank == 4) return x;
    if (heads < 1 || x->type.rank != 3 || !dim_divides(g->dims, x->type.dim[2], heads, &size))
        return onnx_error(c, "%lld heads of %s", (long long)heads, type_string(g->dims, g->arena, &x->type));
    return build_swap(g, graph_reshape(g, x, 4, (dim[]){x->type.dim[0], x->type.dim[1], heads, size}), 1, 2);
}

static struct value *join_heads(struct graph *g, struct value *x)
{
    x = build_swap(g, x, 1, 2);
    return x ? graph_reshape(g, x, 3,
                             (dim[]){x->type.dim[0], x->type.dim[1], dim_mul(g->dims, x->type.dim[2], x->type.dim[3])})
             : NULL;
}

/* Each head `times` in a row: query heads share key and value heads. */
static struct value *repeat_heads(struct graph *g, struct value *x, dim times)
{
    if (!x || times == 1) return x;
    dim dims[5] = {x->type.dim[0], x->type.dim[1], times, x->type.dim[2], x->type.dim[3]};
    dim joined[4] = {dims[0], dim_mul(g->dims, dims[1], times), dims[3], dims[4]};
    return graph_reshape(g, graph_broadcast(g, build_unsqueeze(g, x, 2), 5, dims), 4, joined);
}

static void add_bias(struct attention *a, struct value *more)
{
    struct graph *g = a->call->graph;
    a->bias = a->bias ? build_add(g, a->bias, more) : more;
}

/* 0 where allowed, minus infinity elsewhere. */
static struct value *bias_of(struct attention *a, struct value *allowed)
{
    struct graph *g = a->call->graph;
    struct value *nothing = graph_scalar(g, a->dt, 0), *masked = graph_scalar(g, a->dt, -(double)INFINITY);
    return graph_select(g, allowed, nothing, masked);
}

/* The mask made as long as the keys: what is not there is masked. */
static void add_mask(struct attention *a, struct value *mask)
{
    struct graph *g = a->call->graph;
    int last = mask->type.rank - 1;
    dim before[RANK_MOST] = {0}, after[RANK_MOST] = {0}, length = a->k->type.dim[2];
    if (last >= 0 && mask->type.dim[last] != length &&
        dim_lo(g->dims, dim_sub(g->dims, length, mask->type.dim[last])) > 0) {
        after[last] = dim_sub(g->dims, length, mask->type.dim[last]);
        struct value *fill =
            mask->type.dt == DT_bool ? graph_int(g, DT_bool, 0) : graph_scalar(g, mask->type.dt, -(double)INFINITY);
        struct attr attrs[] = {ATTR_L("before", before, last + 1), ATTR_L("after", after, last + 1)};
        mask = graph_node(g, OP_pad, 2, (struct value *[]){mask, fill}, 2, attrs);
    }
    if (!mask) return;
    add_bias(a, mask->type.dt == DT_bool ? bias_of(a, mask) : graph_cast(g, mask, a->dt));
    a->may_mask_rows = true;
}

/* Causality and the sliding window: key j against the query's place i + offset. */
static void add_position_bias(struct attention *a, struct value *offset, int64_t left, int64_t right)
{
    struct onnx_call *c = a->call;
    struct graph *g = c->graph;
    bool is_causal = onnx_int(c, "is_causal", 0) != 0;
    struct type type = {.dt = DT_i64, .rank = 2, .dim = {a->q->type.dim[2], a->k->type.dim[2]}};
    struct value *i = graph_iota(g, &type, 0, 0, 1), *j = graph_iota(g, &type, 1, 0, 1);
    if (offset) i = build_add(g, i, offset);
    if (is_causal) add_bias(a, bias_of(a, build_le(g, j, i)));
    if (left >= 0) add_bias(a, bias_of(a, build_with(g, OP_le, build_sub(g, i, j), (double)left)));
    if (right >= 0) add_bias(a, bias_of(a, build_with(g, OP_le, build_sub(g, j, i), (double)right)));
    a->may_mask_rows |= left >= 0 || right >= 0;
}

static void add_all_bias(struct attention *a)
{
    struct onnx_call *c = a->call;
    struct graph *g = c->graph;
    struct value *length = c->in[6], *offset = NULL;
    int64_t left = onnx_int(c, "left_window_size", -1), right = onnx_int(c, "right_window_size", -1);
    if (c->in[3]) add_mask(a, c->in[3]);
    if (length) {
        length = graph_reshape(g, graph_cast(g, length, DT_i64), 4, (dim[]){a->q->type.dim[0], 1, 1, 1});
        offset = build_sub(g, length, build_extent_value(g, a->q->type.dim[2], DT_i64));
        a->may_mask_rows = true;
    } else if (c->in[4]) {
        offset = build_extent_value(g, c->in[4]->type.dim[2], DT_i64);
    }
    if (onnx_int(c, "is_causal", 0) || left >= 0 || right >= 0) add_position_bias(a, offset, left, right);
    if (length) add_bias(a, bias_of(a, build_lt(g, build_range(g, DT_i64, a->k->type.dim[2]), length)));
}

static bool read_attention(struct onnx_call *c, struct attention *a)
{
    struct graph *g = c->graph;
    *a = (struct attention){.call = c};
    a->q = split_heads(c, c->in[0], onnx_int(c, "q_num_heads", 0));
    a->k = split_heads(c, c->in[1], onnx_int(c, "kv_num_heads", 0));
    a->v = split_heads(c, c->in[2], onnx_int(c, "kv_num_heads", 0));
    if (!a->q || !a->k || !a->v) return false;
    if (a->q->type.rank != 4 || a->k->type.rank != 4 || a->v->type.rank != 4)
        return onnx_error(c, "needs tensors of rank 3 or 4"), false;
    a->dt = a->q->type.dt;
    if (c->in[4]) a->k = graph_concat(g, 2, (struct value *[]){c->in[4], a->k}, 2);
    if (c->in[5]) a->v = graph_concat(g, 2, (struct value *[]){c->in[5], a->v}, 2);
    c->out[1] = a->k;
    c->out[2] = a->v;
    dim times;
    if (!a->k || !a->v) return false;
    if (!dim_divides(g->dims, a->q->type.dim[1], a->k->type.dim[1], &times))
        return onnx_error(c, "the query's heads are no multiple of the key's"), false;
    a->k = repeat_heads(g, a->k, times);
    a->v = repeat_heads(g, a->v, times);
    return a->k && a->v;
}

static struct value *build_attention(struct onnx_call *c)
{
    struct attention a;
    struct graph *g = c->graph;
    int64_t mode = onnx_int(c, "qk_matmul_output_mode", 0);
    double softcap = onnx_float(c, "softcap", 0), scale = onnx_float(c, "scale", 0);
    const char *name = "";
    enum dtype precision;
    if (!read_attention(c, &a)) return NULL;
    precision = a.dt;
    if (onnx_int(c, "softmax_precision", 0) &&
        !onnx_dtype((int32_t)onnx_int(c, "softmax_precision", 0), &precision, &name))
        return onnx_refuse(c, "element type %s", name);
    add_all_bias(&a);
    struct value *factor = build_sqrt(g, build_extent_value(g, a.q->type.dim[3], DT_f64));
    factor = onnx_has(c, "scale") ? graph_scalar(g, a.dt, scale)
                                  : graph_cast(g, graph_unary(g, OP_reciprocal, factor), a.dt);
    struct value *scores = build_mul(g, a.q, factor);
    scores = graph_matmul(g, scores, build_swap(g, a.k, 2, 3));
    if (mode == 0) c->out[3] = scores;
    if (softcap > 0) scores = build_with(g, OP_mul, build_tanh(g, build_with(g, OP_div, scores, softcap)), softcap);
    if (mode == 1) c->out[3] = scores;
    if (a.bias) scores = build_add(g, scores, a.bias);
    if (mode == 2) c->out[3] = scores;
    struct value *wide = graph_cast(g, scores, precision);
    struct value *weights = graph_node(g, OP_softmax, 1, &wide, 1, (struct attr[]){ATTR_I("axis", 3)});
    weights = graph_cast(g, weights, a.dt);
    if (a.may_mask_rows && a.bias) {
        struct value *most = build_reduce(g, OP_reduce_max, a.bias, a.bias->type.rank - 1, true);
        struct value *is_masked = build_eq(g, most, graph_scalar(g, a.dt, -(double)INFINITY));
        weights = graph_select(g, is_masked, graph_scalar(g, a.dt, 0), weights);
    }
    if (mode == 3) c->out[3] = weights;
    struct value *y = graph_matmul(g, weights, a.v);
    return c->in[0]->type.rank == 3 ? join_heads(g, y) : y;
}

/* Pairs (x1, x2) of the first `size` elements of the last axis turned by the angles of the caches. */
static struct value *rotate(struct graph *g, struct value *x, struct value *cosine, struct value *sine, dim size,
                            bool is_interleaved)
{
    dim half = dim_div(g->dims, size, 2), start[4] = {0}, dims[4], pair[5];
    int64_t step[4] = {1, 1, 1, is_interleaved ? 2 : 1};
    for (int i = 0; i < 4; i++) dims[i] = pair[i] = x->type.dim[i];
    dims[3] = pair[3] = half, pair[4] = 1;
    struct value *x1 = graph_slice(g, x, start, step, dims);
    start[3] = is_interleaved ? 1 : half;
    struct value *x2 = graph_slice(g, x, start, step, dims);
    struct value *parts[2] = {build_mul(g, cosine, x1)};
    parts[0] = build_sub(g, parts[0], build_mul(g, sine, x2));
    parts[1] = build_mul_add(g, sine, x1, cosine, x2);
    if (!is_interleaved) return graph_concat(g, 2, parts, 3);
    for (int i = 0; i < 2; i++) parts[i] = graph_reshape(g, parts[i], 5, pair);
    dims[3] = size;
    return graph_reshape(g, graph_concat(g, 2, parts, 4), 4, dims);
}

static struct value *build_rotary_embedding(struct onnx_call *c)
{
    struct graph *g = c->graph;
    struct value *x = split_heads(c, c->in[0], onnx_int(c, "num_heads", 0)), *cache[2] = {c->in[1], c->in[2]};
    if (!x || !cache[0] || !cache[1]) return onnx_error(c, "needs an input and two caches");
    dim size = onnx_int(c, "rotary_embedding_dim", 0) ? onnx_int(c, "rotary_embedding_dim", 0) : x->type.dim[3];
    for (int i = 0; i < 2; i++) {
        if (c->in[3]) cache[i] = graph_gather(g, cache[i], graph_cast(g, c->in[3], DT_i64), 0, 0);
        cache[i] = build_unsqueeze(g, cache[i], 1); /* [batch, 1, length, half]: the same for all heads */
    }
    struct value *part = graph_slice_axis(g, x, 3, 0, size);
    if (!part) return NULL;
    struct value *y = rotate(g, part, cache[0], cache[1], size, onnx_int(c, "interleaved", 0) != 0);
    if (size != x->type.dim[3]) {
        struct value *rest = graph_slice_axis(g, x, 3, size, dim_sub(g->dims, x->type.dim[3], size));
        y = graph_concat(g, 2, (struct value *[]){y, rest}, 3);
    }
    return c->in[0]->type.rank == 3 ? join_heads(g, y) : y;
}

/* x * sigmoid(alpha * x) * gate */
static struct value *build_swiglu(struct onnx_call *c)
{
    struct graph *g = c->graph;
    struct value *x = c->in[0];
    struct value *gate = build_sigmoid(g, build_with(g, OP_mul, x, onnx_float(c, "alpha", 1)));
    return build_mul(g, build_mul(g, x, gate), c->in[1]);
}

static struct value *build_causal_conv(struct onnx_call *c)
{
    struct graph *g = c->graph;
    struct value *x = c->in[0], *w = c->in[1], *past = c->in[3];
    const char *activation = onnx_string(c, "activation", "none");
    if (!x || !w || x->type.rank != 3 || w->type.rank != 3)
        return onnx_error(c, "needs an input and a weight of rank 3");
    if (!dim_is_const(x->type.dim[1])) return onnx_refuse(c, "a dynamic number of channels");
    dim kept = dim_sub(g->dims, w->type.dim[2], 1);
    if (!past) past = build_fill(g, build_number(g, x, 0), 3, (dim[]){x->type.dim[0], x->type.dim[1], kept});
    struct value *padded = graph_concat(g, 2, (struct value *[]){past, x}, 2);
    struct window window = {.n = 1, .stride = {1}, .dilation = {1}};
    struct value *y = window_node(c->graph, OP_conv, padded, w, &window, x->type.dim[1]);
    if (c->in[2]) y = build_add(g, y, build_per_channel(g, c->in[2], 3));
    if (strcmp(activation, "none") != 0) y = build_mul(g, y, build_sigmoid(g, y));
    if (padded) c->out[1] = graph_slice_axis(g, padded, 2, x->type.dim[2], kept);
    return y;
}

/* A cache with rows written at each batch entry's own position, along one axis. */
static struct value *build_tensor_scatter(struct onnx_call *c)
{
    struct graph *g = c->graph;
    struct value *past = c->in[0], *update = c->in[1];
    int axis;
    if (!past || !update || update->type.rank != past->type.rank ||
        !onnx_axis(c, onnx_int(c, "axis", -2), past->type.rank, &axis))
        return NULL;
    if (axis == 0) return onnx_error(c, "axis 0 is the batch");
    dim length = past->type.dim[axis], rows = update->type.dim[axis], dims[RANK_MOST];
    struct type type = {.dt = DT_i64, .rank = 2, .dim = {past->type.dim[0], length}};
    struct value *at = graph_iota(g, &type, 1, 0, 1);
    if (c->in[2]) at = build_sub(g, at, build_unsqueeze(g, graph_cast(g, c->in[2], DT_i64), 1));
    if (!strcmp(onnx_string(c, "mode", "linear"), "circular"))
        at = graph_binary(g, OP_mod, at, build_extent_value(g, length, DT_i64));
    struct value *n = build_extent_value(g, rows, DT_i64), *zero = graph_int(g, DT_i64, 0);
    struct value *inside = build_le(g, zero, at);
    inside = build_and(g, inside, build_lt(g, at, n));
    at = build_max(g, zero, build_min(g, at, build_with(g, OP_sub, n, 1)));
    struct value *picked = build_swap(g, graph_gather(g, build_swap(g, update, 1, axis), at, 1, 1), 1, axis);
    for (int i = 0; i < past->type.rank; i++) dims[i] = i == 0 || i == axis ? past->type.dim[i] : 1;
    return graph_select(g, graph_reshape(g, inside, past->type.rank, dims), picked, past);
}

const struct onnx_row onnx_attention_rows[] = {
    {"Attention", 23, 0, 3, build_attention},
    {"CausalConvWithState", 27, 0, 2, build_causal_conv},
    {"RotaryEmbedding", 23, 0, 3, build_rotary_embedding},
    {"SwiGLU", 28, 0, 2, build_swiglu},
    {"TensorScatter", 24, 0, 2, build_tensor_scatter},
    {NULL, 0, 0, 0, NULL},
};
