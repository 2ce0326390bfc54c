/* Convolutions and matrix products.
 *
 * ConvTranspose is a convolution of the input with zeros put between its elements (dilate), by the flipped weight.
 * Those of integers are in onnx_quant_product.c.
 */
#include "onnx_build.h"

#include <string.h>

/* A list attribute of n numbers, each `otherwise` where absent. */
static bool window_list(struct onnx_call *c, const char *name, int n, int64_t least, int64_t otherwise, int64_t *list)
{
    const int64_t *given;
    int many = onnx_ints(c, name, &given);
    if (many >= 0 && many != n)
        return onnx_error(c, "%s has %d elements, the input %d spatial axes", name, many, n), false;
    for (int i = 0; i < n; i++) {
        list[i] = many < 0 ? otherwise : given[i];
        if (list[i] < least || list[i] > (1 << 30))
            return onnx_error(c, "%s[%d] is %lld", name, i, (long long)list[i]), false;
    }
    return true;
}

/* ceil_mode: a last window may reach past the padding, but must start inside the input or the padding before it. */
static void pad_ceil(struct dims *s, const struct value *x, struct window *w, int i)
{
    dim extent = dim_add(s, x->type.dim[i + 2], w->before[i]), span = window_span(s, w, i);
    dim room = dim_sub(s, dim_add(s, extent, w->after[i]), span);
    dim out = dim_add(s, dim_ceil_div(s, room, w->stride[i]), 1);
    out = dim_min(s, out, dim_ceil_div(s, extent, w->stride[i]));
    w->after[i] = dim_sub(s, dim_add(s, dim_mul(s, dim_sub(s, out, 1), w->stride[i]), span), extent);
}

bool onnx_read_window(struct onnx_call *c, const struct value *x, const struct value *weight, struct window *w)
{
    struct dims *s = c->graph->dims;
    int64_t list[2 * RANK_MOST];
    if (!x || x->type.rank < 3) return onnx_error(c, "needs an input of rank 3 or more"), false;
    *w = (struct window){.n = x->type.rank - 2};
    if (weight && weight->type.rank != x->type.rank)
        return onnx_error(c, "input of rank %d, weight of rank %d", x->type.rank, weight->type.rank), false;
    if (!window_list(c, "strides", w->n, 1, 1, w->stride) || !window_list(c, "dilations", w->n, 1, 1, w->dilation))
        return false;
    if (!weight && (!onnx_has(c, "kernel_shape") || !window_list(c, "kernel_shape", w->n, 1, 1, list)))
        return onnx_error(c, "needs kernel_shape"), false;
    for (int i = 0; i < w->n; i++) w->kernel[i] = weight ? weight->type.dim[i + 2] : list[i];
    const char *how = onnx_string(c, "auto_pad", "NOTSET");
    bool is_set = strcmp(how, "NOTSET") != 0, is_valid = !strcmp(how, "VALID"), is_upper = !strcmp(how, "SAME_UPPER");
    if (is_set && !is_valid && !is_upper && strcmp(how, "SAME_LOWER") != 0)
        return onnx_error(c, "auto_pad \"%s\"", how), false;
    if (!window_list(c, "pads", 2 * w->n, 0, 0, list)) return false;
    for (int i = 0; i < w->n; i++) {
        if (is_set && !is_valid) window_pad_same(s, w, i, x->type.dim[i + 2], is_upper);
        else if (!is_set) w->before[i] = list[i], w->after[i] = list[i + w->n];
        w->declared_after[i] = w->after[i];
        if (onnx_int(c, "ceil_mode", 0)) pad_ceil(s, x, w, i);
    }
    return true;
}

static bool check_kernel_shape(struct onnx_call *c, const struct value *w)
{
    const int64_t *list;
    int n = onnx_ints(c, "kernel_shape", &list);
    for (int i = 0; i < n && i + 2 < w->type.rank; i++)
        if (w->type.dim[i + 2] != list[i])
            return onnx_error(c, "kernel_shape[%d] is %lld, the weight has %lld", i, (long long)list[i],
                              (long long)w->type.dim[i + 2]),
                   false;
    return true;
}

struct value *onnx_convolve(struct onnx_call *c, struct value *x, struct value *w)
{
    struct window window;
    int64_t group = onnx_int(c, "group", 1);
    if (!w || !onnx_read_window(c, x, w, &window) || !check_kernel_shape(c, w)) return NULL;
    if (group < 1 || group > (1 << 30)) return onnx_error(c, "group %lld", (long long)group);
    dim needs = dim_mul(c->graph->dims, w->type.dim[1], group);
    if (needs != x->type.dim[1] && dim_is_const(needs) && dim_is_const(x->type.dim[1]))
        return onnx_input_error(c, 1, "channels %lld, weight expects %lld", (long long)x->type.dim[1],
                                (long long)needs);
    return window_node(c->graph, OP_conv, x, w, &window, group);
}

/* A product of 16-bit floats with a bias is rounded once, as one node: its operands as f32 from here on. Returns the type that
 * the result is rounded to. */
static enum dtype widen_operands(struct onnx_call *c)
{
    enum dtype dt = c->in[0] ? c->in[0]->type.dt : DT_f32;
    for (int i = 0; i < 3; i++)
        if (dtype_compute(dt) == dt || !c->in[i] || c->in[i]->type.dt != dt) return dt;
    for (int i = 0; i < 3; i++) c->in[i] = graph_node(c->graph, OP_widen, 1, &c->in[i], 0, NULL);
    return dt;
}

static struct value *build_conv(struct onnx_call *c)
{
    enum dtype dt = widen_operands(c);
    return graph_cast(c->graph, build_channel_bias(c->graph, onnx_convolve(c, c->in[0], c->in[1]), c->in[2]), dt);
}

/* Weight [C, M/g, k..] as that of the equal convolution: [M, C/g, flipped k..]. */
static struct value *flip_weight(struct graph *g, struct value *w, int64_t group)
{
    dim dims[RANK_MOST];
    int rank = w->type.rank;
    dim in = w->type.dim[0], per = w->type.dim[1], in_per;
    if (!dim_divides(g->dims, in, group, &in_per) || rank + 1 > RANK_MOST) return NULL;
    for (int axis = 2; axis < rank; axis++) w = build_reverse(g, w, axis);
    if (!w) return NULL;
    dims[0] = group, dims[1] = in_per;
    for (int i = 1; i < rank; i++) dims[i + 1] = w->type.dim[i];
    w = build_swap(g, graph_reshape(g, w, rank + 1, dims), 1, 2);
    dims[0] = dim_mul(g->dims, per, group), dims[1] = in_per;
    for (int i = 2; i < rank; i++) dims[i] = dims[i + 1];
    return graph_reshape(g, w, rank, dims);
}

/* Paddings of the transposed convolution turned into those of the plain one over the dilated input. */
static bool transpose_pads(struct onnx_call *c, const struct value *x, struct window *w)
{
    struct dims *s = c->graph->dims;
    int64_t more[RANK_MOST];
    const int64_t *shape;
    const char *how = onnx_string(c, "auto_pad", "NOTSET");
    bool is_same = !strncmp(how, "SAME", 4), is_upper = !strcmp(how, "SAME_UPPER");
    int n_shape = onnx_ints(c, "output_shape", &shape);
    if (!window_list(c, "output_padding", w->n, 0, 0, more)) return false;
    if (n_shape >= 0 && n_shape != w->n && n_shape != w->n + 2)
        return onnx_error(c, "output_shape has %d elements", n_shape), false;
    if (n_shape == w->n + 2) shape += 2;
    for (int i = 0; i < w->n; i++) {
        dim reach = dim_sub(s, window_span(s, w, i), 1), extent = x->type.dim[i + 2];
        if (n_shape >= 0 || is_same) {
            dim wanted = n_shape >= 0 ? shape[i] : dim_mul(s, extent, w->stride[i]);
            dim full =
                dim_add(s, dim_add(s, dim_mul(s, dim_sub(s, extent, 1), w->stride[i]), more[i]), dim_add(s, reach, 1));
            dim total = dim_sub(s, full, wanted), half = dim_div(s, total, 2), rest = dim_sub(s, total, half);
            w->before[i] = is_upper ? half : rest;
            w->after[i] = is_upper ? rest : half;
        }
        w->before[i] = dim_sub(s, reach, w->before[i]);
        w->after[i] = dim_add(s, dim_sub(s, reach, w->after[i]), more[i]);
    }
    return true;
}

static struct value *build_conv_transpose(struct onnx_call *c)
{
    struct window w;
    struct graph *g = c->graph;
    enum dtype dt = widen_operands(c);
    struct value *x = c->in[0], *weight = c->in[1];
    int64_t group = onnx_int(c, "group", 1), spread[RANK_MOST];
    if (!weight || !onnx_read_window(c, x, weight, &w) || !check_kernel_shape(c, weight)) return NULL;
    if (group < 1 || group > (1 << 30) || weight->type.dim[0] != x->type.dim[1])
        return onnx_input_error(c, 1, "channels %lld, weight expects %lld", (long long)x->type.dim[1],
                                (long long)weight->type.dim[0]);
    if (!transpose_pads(c, x, &w)) return NULL;
    spread[0] = spread[1] = 1;
    for (int i = 0; i < w.n; i++) spread[i + 2] = w.stride[i], w.stride[i] = 1;
    x = graph_node(g, OP_dilate, 1, &x, 1, (struct attr[]){ATTR_L("stride", spread, w.n + 2)});
    weight = flip_weight(g, weight, group);
    return graph_cast(g, build_channel_bias(g, window_node(g, OP_conv, x, weight, &w, group), c->in[2]), dt);
}

static struct value *build_gemm(struct onnx_call *c)
{
    struct graph *g = c->graph;
    enum dtype dt = widen_operands(c);
    struct value *a = c->in[0], *b = c->in[1];
    double alpha = onnx_float(c, "alpha", 1), beta = onnx_float(c, "beta", 1);
    if (!a || !b || a->type.rank != 2 || b->type.rank != 2) return onnx_error(c, "needs two matrices");
    if (onnx_int(c, "transA", 0)) a = build_swap(g, a, 0, 1);
    if (onnx_int(c, "transB", 0)) b = build_swap(g, b, 0, 1);
    struct value *y = graph_matmul(g, a, b);
    if (alpha != 1) y = build_with(g, OP_mul, y, alpha);
    if (c->in[2] && beta != 0) y = build_add(g, y, beta != 1 ? build_with(g, OP_mul, c->in[2], beta) : c->in[2]);
    return graph_cast(g, y, dt);
}

static struct value *build_matmul(struct onnx_call *c)
{
    return graph_matmul(c->graph, c->in[0], c->in[1]);
}

const struct onnx_row onnx_conv_rows[] = {
    {"Conv", 1, 0, 2, build_conv},
    {"ConvTranspose", 1, 0, 2, build_conv_transpose},
    {"Gemm", 7, 0, 2, build_gemm},
    {"MatMul", 1, 0, 2, build_matmul},
    {NULL, 0, 0, 0, NULL},
};
