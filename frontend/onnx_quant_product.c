/* Products of quantized operands: ONNX's own, and those that ONNX Runtime's tools write (domain com.microsoft).
 *
 * Where results are quantized again and scales and the right side are constants, they are products of dequantized values,
 * which pass absorb makes exact integer kernels of, like those of QuantizeLinear and DequantizeLinear. Otherwise zero points
 * are subtracted in i32, and the sums multiplied by the scales.
 */
#include "onnx_build.h"

/* x - zero in i32; zero may be absent or lie along one axis. */
static struct value *centred(struct graph *g, struct value *x, struct value *zero, int axis)
{
    x = graph_cast(g, x, DT_i32);
    if (!zero || !x) return x;
    zero = graph_cast(g, build_single(g, zero), DT_i32);
    return build_sub(g, x, zero && zero->type.rank == 1 ? build_unsqueeze_end(g, zero, x->type.rank - axis) : zero);
}

static struct value *build_conv_integer(struct onnx_call *c)
{
    struct value *x = centred(c->graph, c->in[0], c->in[2], 0);
    return onnx_convolve(c, x, centred(c->graph, c->in[1], c->in[3], 0));
}

struct operand {
    struct value *q, *scale, *zero; /* zero NULL: 0 */
};
static struct operand operand_at(const struct onnx_call *c, int i)
{
    return (struct operand){c->in[i], c->in[i + 1], c->in[i + 2]};
}

static struct value *integer_product(struct onnx_call *c, const struct operand *a, const struct operand *b)
{
    if (!a->q || !b->q) return onnx_error(c, "needs two matrices");
    struct value *x = centred(c->graph, a->q, a->zero, a->q->type.rank - 2);
    return graph_matmul(c->graph, x, centred(c->graph, b->q, b->zero, b->q->type.rank - 1));
}
static struct value *build_matmul_integer(struct onnx_call *c)
{
    return integer_product(c, &(struct operand){c->in[0], NULL, c->in[2]}, &(struct operand){c->in[1], NULL, c->in[3]});
}

static bool is_constant(const struct value *value)
{
    const struct tensor *t = value ? value_const(value) : NULL;
    return !value || (t && !t->is_dims);
}

/* Whether a product of a and b that is quantized as y is one that pass absorb takes. */
static bool is_absorbed(const struct operand *a, const struct operand *b, const struct operand *y)
{
    const struct value *constants[] = {a->scale, a->zero, b->q, b->scale, b->zero, y->scale, y->zero};
    const struct value *singles[] = {a->scale, a->zero, y->scale, y->zero};
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
        if (!is_constant(constants[i])) return false;
    for (size_t i = 0; i < sizeof singles / sizeof *singles; i++)
        if (singles[i] && type_count(&singles[i]->type) != 1) return false;
    return a->q && dtype_bytes(a->q->type.dt) == 1 && dtype_bytes(b->q->type.dt) == 1;
}

/* A scale of one element as a scalar, of several along `axes_behind` axes from the end. */
static struct value *lay_scale(struct graph *g, struct value *scale, int axes_behind)
{
    scale = build_single(g, scale);
    return scale && scale->type.rank == 1 ? build_unsqueeze_end(g, scale, 1 + axes_behind) : scale;
}

/* q*scale, its scale (and zero point) along the axis before the last `axes_behind`. */
static struct value *real_operand(struct graph *g, const struct operand *x, int axes_behind)
{
    struct value *scale = lay_scale(g, x->scale, axes_behind);
    return build_dequantized(g, x->q, scale, lay_scale(g, x->zero, axes_behind));
}

/* The product of two matrices as numbers. */
static struct value *real_product(struct graph *g, const struct operand *a, const struct operand *b)
{
    struct value *left = real_operand(g, a, 1);
    return graph_matmul(g, left, real_operand(g, b, 0));
}

/* i32 sums times scale, rounded, moved by the zero point and saturated to its type. */
static struct value *requantize(struct onnx_call *c, struct value *sum, struct value *scale, struct value *zero)
{
    struct graph *g = c->graph;
    if (!sum || !zero) return NULL;
    enum dtype dt = zero->type.dt;
    struct value *y = graph_cast(g, sum, DT_f32);
    y = build_round(g, build_mul(g, y, graph_cast(g, scale, DT_f32)));
    y = build_add(g, y, graph_cast(g, build_single(g, zero), DT_f32));
    return graph_cast(g, build_clamp(g, y, (double)dtype_int_min(dt), (double)dtype_int_max(dt)), dt);
}

/* Of both operands and of the result. */
static bool scales_are_positive(struct onnx_call *c)
{
    return onnx_scale_is_positive(c, 1) && onnx_scale_is_positive(c, 4) && onnx_scale_is_positive(c, 6);
}

static struct value *build_qlinear_matmul(struct onnx_call *c)
{
    struct graph *g = c->graph;
    struct operand a = operand_at(c, 0), b = operand_at(c, 3), y = {NULL, c->in[6], c->in[7]};
    if (!scales_are_positive(c)) return NULL;
    if (is_absorbed(&a, &b, &y)) {
        return build_quantized(g, real_product(g, &a, &b), y.scale, y.zero, a.q->type.dt);
    }
    struct value *scale = lay_scale(g, a.scale, 1);
    scale = build_mul(g, scale, lay_scale(g, b.scale, 0));
    scale = build_div(g, scale, lay_scale(g, y.scale, 0));
    return requantize(c, integer_product(c, &a, &b), scale, y.zero);
}

/* A bias in steps of the product's own scale. */
static struct value *real_bias(struct graph *g, struct value *bias, struct value *scale)
{
    return bias ? build_dequantized(g, bias, build_single(g, scale), NULL) : NULL;
}

static struct value *build_qlinear_conv(struct onnx_call *c)
{
    struct graph *g = c->graph;
    struct operand x = operand_at(c, 0), w = operand_at(c, 3), y = {NULL, c->in[6], c->in[7]};
    if (!x.q || !w.q) return onnx_error(c, "needs an input and a weight");
    if (!scales_are_positive(c)) return NULL;
    if (is_absorbed(&x, &w, &y) && is_constant(c->in[8])) {
        struct value *real = real_operand(g, &x, 0);
        struct value *product = onnx_convolve(c, real, real_operand(g, &w, w.q->type.rank - 1));
        struct value *bias = real_bias(g, c->in[8], build_mul(g, build_single(g, x.scale), w.scale));
        return build_quantized(g, build_channel_bias(g, product, bias), y.scale, y.zero, x.q->type.dt);
    }
    int behind = x.q->type.rank - 2;
    struct value *sum = centred(g, x.q, x.zero, 0), *scale = lay_scale(g, x.scale, behind);
    sum = build_channel_bias(g, onnx_convolve(c, sum, centred(g, w.q, w.zero, 0)), c->in[8]);
    scale = build_mul(g, scale, lay_scale(g, w.scale, behind));
    return requantize(c, sum, build_div(g, scale, lay_scale(g, y.scale, behind)), y.zero);
}

/* com.microsoft: Gemm; of floats where no scale of the result is given. alpha belongs to the bias as well. */
static struct value *build_qgemm(struct onnx_call *c)
{
    struct graph *g = c->graph;
    struct operand a = operand_at(c, 0), b = operand_at(c, 3), y = {NULL, c->in[7], c->in[8]};
    double alpha = onnx_float(c, "alpha", 1);
    if (!a.q || !b.q || a.q->type.rank != 2 || b.q->type.rank != 2) return onnx_error(c, "needs two matrices");
    if (onnx_int(c, "transA", 0)) a.q = build_swap(g, a.q, 0, 1);
    if (onnx_int(c, "transB", 0)) b.q = build_swap(g, b.q, 0, 1);
    if (alpha != 1) b.scale = build_with(g, OP_mul, b.scale, alpha);
    struct value *scale = build_single(g, a.scale), *product;
    scale = build_mul(g, scale, build_single(g, b.scale));
    if (is_absorbed(&a, &b, &y) && is_constant(c->in[6])) {
        product = real_product(g, &a, &b);
        struct value *bias = real_bias(g, c->in[6], scale);
        product = bias ? build_add(g, product, bias) : product;
        return y.scale ? build_quantized(g, product, y.scale, y.zero, a.q->type.dt) : product;
    }
    product = integer_product(c, &a, &b);
    if (c->in[6]) product = build_add(g, product, c->in[6]);
    if (!y.scale) return build_mul(g, graph_cast(g, product, DT_f32), scale);
    if (!y.zero) y.zero = graph_scalar(g, a.q->type.dt, 0);
    return requantize(c, product, build_div(g, scale, build_single(g, y.scale)), y.zero);
}

/* The sums times both scales, plus a bias of floats. */
static struct value *scaled_product(struct onnx_call *c, const struct operand *a, const struct operand *b, struct value *bias)
{
    struct graph *g = c->graph;
    struct value *scale = build_single(g, a->scale);
    scale = build_mul(g, scale, build_single(g, b->scale));
    struct value *y = build_mul(g, graph_cast(g, integer_product(c, a, b), DT_f32), scale);
    return bias ? build_add(g, y, bias) : y;
}
static struct value *build_matmul_integer_to_float(struct onnx_call *c)
{
    return scaled_product(c, &(struct operand){c->in[0], c->in[2], c->in[4]}, &(struct operand){c->in[1], c->in[3], c->in[5]}, c->in[6]);
}
static struct value *build_dynamic_quantize_matmul(struct onnx_call *c)
{
    struct operand a = {0}, b = operand_at(c, 1);
    if (c->in[0]->type.dt != DT_f32) return onnx_input_error(c, 0, "must be of type f32");
    a.q = build_dynamically_quantized(c->graph, c->in[0], &a.scale, &a.zero);
    return scaled_product(c, &a, &b, c->in[4]);
}

const struct onnx_row onnx_quant_product_rows[] = {
    {"ConvInteger", 10, 0, 2, build_conv_integer},
    {"MatMulInteger", 10, 0, 2, build_matmul_integer},
    {"QLinearConv", 10, 0, 8, build_qlinear_conv},
    {"QLinearMatMul", 10, 0, 8, build_qlinear_matmul},
    {"com.microsoft.DynamicQuantizeMatMul", 1, 0, 3, build_dynamic_quantize_matmul},
    {"com.microsoft.MatMulIntegerToFloat", 1, 0, 4, build_matmul_integer_to_float},
    {"com.microsoft.QGemm", 1, 0, 6, build_qgemm},
    {NULL, 0, 0, 0, NULL},
};
