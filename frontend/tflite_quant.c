/* Quantized elementwise operators in integers. See tflite_quant.h.
 *
 * An operator of one operand of 8 bits has 256 answers: the float function of its row is folded over them, or the
 * reference's integer arithmetic is done here, and the result is a table that is looked up.
 */
#include "tflite_quant.h"

#include <math.h>

/* The composite round_away; of a table's values, which are constants, at once. */
static struct value *round_away(struct graph *g, struct value *x)
{
    if (!x || !value_const(x)) return graph_unary(g, OP_round_away, x);
    struct value *whole = graph_unary(g, OP_trunc, x);
    struct value *rest = build_abs(g, build_sub(g, x, whole)), *is_up = build_le(g, build_number(g, x, 0.5), rest);
    struct value *sign = graph_unary(g, OP_sign, x), *y = build_add(g, whole, graph_select(g, is_up, sign, build_number(g, x, 0)));
    struct value *is_nan = graph_unary(g, OP_is_nan, y);
    return graph_select(g, is_nan, build_number(g, y, -INFINITY), y); /* of a logarithm: the least */
}

struct value *tflite_quantized(struct tflite_call *c, const struct tflite_tensor *tensor, struct value *real)
{
    struct graph *g = c->graph;
    double scale;
    int64_t zero;
    if (!real || !tflite_scale(c, tensor, &scale, &zero)) return NULL;
    struct value *y = round_away(g, build_with(g, OP_div, real, scale));
    enum dtype dt = tensor->type.dt;
    y = build_clamp(g, build_with(g, OP_add, y, (double)zero), (double)dtype_int_min(dt), (double)dtype_int_max(dt));
    return graph_cast(g, y, dt);
}

/* The answers for all values of 8 bits in turn, looked up. */
static struct value *look_up(struct tflite_call *c, struct value *table)
{
    struct graph *g = c->graph;
    struct value *x = c->in[0], *at = graph_cast(g, x, DT_i32);
    return graph_gather(g, table, build_with(g, OP_sub, at, (double)dtype_int_min(x->type.dt)), 0, 0);
}

/* Integer answers of a function of the centred value, limited to the result's range. */
static struct value *look_up_integers(struct tflite_call *c, int64_t (*answer)(void *ctx, int64_t x), void *ctx)
{
    enum dtype dt = c->out_tensor[0]->type.dt;
    double scale, from;
    int64_t zero, from_zero, least = dtype_int_min(dt), most = (int64_t)dtype_int_max(dt);
    int8_t list[256];
    if (dtype_bytes(c->in[0]->type.dt) != 1 || dtype_bytes(dt) != 1)
        return tflite_refuse(c, "quantized type %s", dtype_name(c->in[0]->type.dt));
    if (!tflite_scale(c, c->in_tensor[0], &from, &from_zero) || !tflite_scale(c, c->out_tensor[0], &scale, &zero))
        return NULL;
    for (int i = 0; i < 256; i++) {
        int64_t y = answer(ctx, dtype_int_min(c->in[0]->type.dt) + i - from_zero) + zero;
        list[i] = (int8_t)(uint8_t)(y < least ? least : y > most ? most : y);
    }
    return look_up(c, tflite_list(c->graph, dt, 256, list));
}

static const struct tflite_row *own_row(enum tflite_op op)
{
    const struct tflite_row *row = tflite_math_rows;
    while (row->op != op || !row->build) row++;
    return row;
}

struct value *quant_table(struct tflite_call *c)
{
    struct graph *g = c->graph;
    struct value *x = c->in[0];
    double scale;
    int64_t zero;
    float numbers[256];
    if (dtype_bytes(x->type.dt) != 1) return quant_through_floats(c);
    if (!tflite_scale(c, c->in_tensor[0], &scale, &zero)) return NULL;
    for (int i = 0; i < 256; i++) numbers[i] = (float)scale * (float)(dtype_int_min(x->type.dt) + i - zero);
    c->in[0] = tflite_list(g, DT_f32, 256, numbers);
    struct value *table = tflite_quantized(c, c->out_tensor[0], own_row(c->op)->build(c));
    c->in[0] = x;
    return table ? look_up(c, table) : NULL;
}

struct value *quant_through_floats(struct tflite_call *c)
{
    for (int i = 0; i < c->n_in; i++)
        if (c->in[i]) c->in[i] = tflite_real(c, c->in_tensor[i], c->in[i]);
    return tflite_quantized(c, c->out_tensor[0], own_row(c->op)->build(c));
}

static struct value *centred(struct tflite_call *c, int i, double *scale)
{
    int64_t zero;
    if (!tflite_scale(c, c->in_tensor[i], scale, &zero)) return NULL;
    struct value *x = graph_cast(c->graph, c->in[i], DT_i32);
    return zero ? build_with(c->graph, OP_sub, x, (double)zero) : x;
}

/* Both operands, less their zero points, at twice the larger scale with this many bits behind the point; *twice is that
 * scale. False after a message. */
static bool common_scale(struct tflite_call *c, int bits, struct value **x, double *twice)
{
    double scale[2];
    for (int i = 0; i < 2; i++)
        if (!(x[i] = centred(c, i, &scale[i]))) return false;
    *twice = 2 * (scale[0] > scale[1] ? scale[0] : scale[1]);
    for (int i = 0; i < 2; i++)
        x[i] = tflite_scaled(c->graph, build_with(c->graph, OP_mul, x[i], (double)(1 << bits)),
                             tflite_fixed_of(scale[i] / *twice));
    return true;
}

struct value *quant_add(struct tflite_call *c)
{
    struct graph *g = c->graph;
    struct value *x[2];
    double twice, out;
    int64_t zero;
    int bits = dtype_bytes(c->in[0]->type.dt) > 1 ? 15 : 20;
    if (!common_scale(c, bits, x, &twice) || !tflite_scale(c, c->out_tensor[0], &out, &zero)) return NULL;
    struct value *sum = c->op == TFL_SUB ? build_sub(g, x[0], x[1]) : build_add(g, x[0], x[1]);
    return tflite_finish(c, tflite_scaled(g, sum, tflite_fixed_of(twice / ((double)(1 << bits) * out))), 0);
}

struct value *quant_squared_difference(struct tflite_call *c)
{
    enum { BITS = 7 };
    struct graph *g = c->graph;
    struct value *x[2];
    double twice, out;
    int64_t zero;
    if (dtype_bytes(c->in[0]->type.dt) != 1) return quant_through_floats(c);
    if (!common_scale(c, BITS, x, &twice) || !tflite_scale(c, c->out_tensor[0], &out, &zero)) return NULL;
    struct value *d = build_sub(g, x[0], x[1]);
    double scale = twice * twice / ((double)(1 << 2 * BITS) * out);
    return tflite_finish(c, tflite_scaled(g, build_mul(g, d, d), tflite_fixed_of(scale)), -1);
}

struct value *quant_mul(struct tflite_call *c)
{
    double scale[2], out;
    int64_t zero;
    struct value *x = centred(c, 0, &scale[0]), *z = centred(c, 1, &scale[1]);
    if (!x || !z || !tflite_scale(c, c->out_tensor[0], &out, &zero)) return NULL;
    float product = (float)scale[0] * (float)scale[1] / (float)out; /* as the kernels do: not in doubles */
    struct value *y = tflite_scaled(c->graph, build_mul(c->graph, x, z), tflite_fixed_of((double)product));
    return tflite_finish(c, y, 0);
}

/* The numbers themselves are compared, with 8 bits behind the point: what is closer counts as equal. */
struct value *quant_compare(struct tflite_call *c)
{
    struct value *x[2];
    double scale;
    for (int i = 0; i < 2; i++) {
        if (!(x[i] = centred(c, i, &scale))) return NULL;
        x[i] = tflite_scaled(c->graph, build_with(c->graph, OP_mul, x[i], 1 << 8), tflite_fixed_of(scale));
    }
    c->in[0] = x[0], c->in[1] = x[1];
    return own_row(c->op)->build(c);
}

struct value *quant_extreme(struct tflite_call *c)
{
    for (int i = 0; i < 2; i++) c->in[i] = tflite_requantized(c, c->in_tensor[i], c->in[i]);
    return own_row(c->op)->build(c);
}

struct slopes { /* of what is above zero, and below */
    struct tflite_fixed above, below;
};

static int64_t shift_rounded(int64_t x, int shift)
{
    int64_t half = shift ? (int64_t)1 << (shift - 1) : 0;
    return (x + half - (shift && x < 0)) >> shift;
}

/* As tflite_scaled, whose shift to the left wraps at 32 bits. */
static int64_t scaled(int64_t x, struct tflite_fixed fixed)
{
    int64_t wide = fixed.shift > 0 ? (int32_t)(uint32_t)((uint64_t)x << fixed.shift) : x;
    return shift_rounded((wide * fixed.multiplier + ((int64_t)1 << 30)) >> 31, fixed.shift < 0 ? -fixed.shift : 0);
}

static int64_t sloped(void *ctx, int64_t x)
{
    const struct slopes *slopes = ctx;
    return scaled(x, x < 0 ? slopes->below : slopes->above);
}

/* in over out, each a float; the quotient a double or, `single`, a float. */
static bool scale_ratio(struct tflite_call *c, bool single, double *ratio)
{
    double from, to;
    int64_t zero;
    if (!tflite_scale(c, c->in_tensor[0], &from, &zero) || !tflite_scale(c, c->out_tensor[0], &to, &zero)) return false;
    *ratio = single ? (double)((float)from / (float)to) : from / to;
    return true;
}

/* Limits of the number, in the result's integers. */
struct value *quant_relu(struct tflite_call *c)
{
    double ratio, low = c->op == TFL_RELU_N1_TO_1 ? -1 : 0, high = c->op == TFL_RELU6 ? 6 : 1;
    if (!scale_ratio(c, true, &ratio)) return NULL;
    struct slopes slopes = {tflite_fixed_of(ratio), tflite_fixed_of(ratio)};
    struct value *y = look_up_integers(c, sloped, &slopes);
    if (!y) return NULL;
    int64_t least = tflite_integer_of(c->out_tensor[0], low), most = tflite_integer_of(c->out_tensor[0], high);
    int64_t type_least = dtype_int_min(y->type.dt), type_most = (int64_t)dtype_int_max(y->type.dt);
    if (least > type_least) y = build_with(c->graph, OP_max, y, (double)(least < type_most ? least : type_most));
    return c->op == TFL_RELU || most >= type_most ? y : build_with(c->graph, OP_min, y, (double)most);
}

static int64_t magnitude(void *ctx, int64_t x)
{
    return sloped(ctx, x < 0 ? -x : x);
}

struct value *quant_abs(struct tflite_call *c)
{
    double ratio;
    if (!scale_ratio(c, true, &ratio)) return NULL;
    struct slopes slopes = {tflite_fixed_of(ratio), tflite_fixed_of(ratio)};
    return look_up_integers(c, magnitude, &slopes);
}

/* Rounded towards zero; of what is below zero, which the kernels refuse when they run, the root of zero. */
static int64_t root(void *ctx, int64_t x)
{
    const float *scale = ctx; /* of the operand, of the result */
    float y = sqrtf(scale[0] * (float)(x > 0 ? x : 0)) / scale[1];
    return (int64_t)fminf(y, 0x1p32f);
}

struct value *quant_sqrt(struct tflite_call *c)
{
    double from, to;
    int64_t zero;
    if (!tflite_scale(c, c->in_tensor[0], &from, &zero) || !tflite_scale(c, c->out_tensor[0], &to, &zero)) return NULL;
    return look_up_integers(c, root, (float[]){(float)from, (float)to});
}

struct value *quant_leaky_relu(struct tflite_call *c)
{
    double ratio, alpha = flat_float(&c->options, 0, 0);
    if (!scale_ratio(c, true, &ratio)) return NULL;
    if (!(alpha > 0) || !isfinite(alpha)) return tflite_refuse(c, "alpha %g", alpha);
    struct slopes slopes = {tflite_fixed_of(ratio), tflite_fixed_of((double)((float)alpha * (float)ratio))};
    return look_up_integers(c, sloped, &slopes);
}

/* Below zero the product with the slope, above the number itself, each brought to the result's scale. */
struct value *quant_prelu(struct tflite_call *c)
{
    struct graph *g = c->graph;
    double ratio, scale[2], out;
    int64_t zero;
    struct value *x = centred(c, 0, &scale[0]), *slope = centred(c, 1, &scale[1]);
    if (!x || !slope || !scale_ratio(c, false, &ratio) || !tflite_scale(c, c->out_tensor[0], &out, &zero)) return NULL;
    struct value *above = tflite_scaled(g, x, tflite_fixed_of(ratio));
    struct value *below = tflite_scaled(g, build_mul(g, x, slope), tflite_fixed_of(scale[0] * scale[1] / out));
    return tflite_finish(c, graph_select(g, build_with(g, OP_lt, x, 0), below, above), -1);
}

struct value *tflite_requantized(struct tflite_call *c, const struct tflite_tensor *tensor, struct value *value)
{
    const struct tflite_tensor *out = c->out_tensor[0];
    double from, to;
    int64_t zero, out_zero;
    if (!value || !tflite_is_quantized(out) || tflite_same_scale(tensor, out)) return value;
    if (!tflite_scale(c, tensor, &from, &zero) || !tflite_scale(c, out, &to, &out_zero)) return NULL;
    struct value *x = build_with(c->graph, OP_sub, graph_cast(c->graph, value, DT_i32), (double)zero);
    return tflite_finish(c, tflite_scaled(c->graph, x, tflite_fixed_of(from / to)), -1);
}

struct value *quant_quantize(struct tflite_call *c)
{
    if (tflite_is_quantized(c->in_tensor[0])) return tflite_requantized(c, c->in_tensor[0], c->in[0]);
    return tflite_quantized(c, c->out_tensor[0], graph_cast(c->graph, c->in[0], DT_f32));
}

struct value *quant_dequantize(struct tflite_call *c)
{
    return tflite_real(c, c->in_tensor[0], c->in[0]);
}

/* Hard swish in 16 bits: x on a scale 128 times finer, times a gate that is 32768 where x is 3 or more. */
struct hard_swish {
    int64_t out_multiplier, gate_multiplier; /* of 15 bits */
    int out_shift, gate_shift;               /* to the left */
};

static int64_t within_16(int64_t x)
{
    return x < INT16_MIN ? INT16_MIN : x > INT16_MAX ? INT16_MAX : x;
}

/* (a*b + 2^14) >> 15, as tflite_high_product in half the width. */
static int64_t high_product_16(int64_t a, int64_t b)
{
    return within_16((a * b + (1 << 14)) >> 15);
}

static int64_t multiplier_16(struct tflite_fixed fixed)
{
    return fixed.multiplier >= INT32_MAX - (1 << 15) ? INT16_MAX : (fixed.multiplier + (1 << 15)) >> 16;
}

static int64_t hard_swish(void *ctx, int64_t x)
{
    const struct hard_swish *h = ctx;
    int64_t fine = x * 128, value = high_product_16(fine, h->out_multiplier), gate = fine;
    if (h->gate_shift > 0) gate = within_16(gate * ((int64_t)1 << (h->gate_shift - 1)));
    gate = high_product_16(gate, h->gate_multiplier);
    if (h->gate_shift > 0) gate = within_16(gate * 2);
    if (h->gate_shift < 0) gate = shift_rounded(gate, -h->gate_shift);
    gate = (gate + (1 << 15)) >> 1;
    return shift_rounded(gate * value / (1 << 15), -h->out_shift);
}

struct value *quant_hard_swish(struct tflite_call *c)
{
    double ratio, from;
    int64_t zero;
    if (!scale_ratio(c, true, &ratio) || !tflite_scale(c, c->in_tensor[0], &from, &zero)) return NULL;
    float fine = (float)from / 128;
    struct tflite_fixed out = tflite_fixed_of((double)(fine / (float)c->out_tensor[0]->quant.scale[0]));
    struct tflite_fixed gate = tflite_fixed_of((double)(fine / (3.0f / 32768.0f)));
    if (out.shift > 0) return tflite_refuse(c, "a result of a scale %g times finer", ratio);
    struct hard_swish h = {multiplier_16(out), multiplier_16(gate), out.shift, gate.shift};
    return look_up_integers(c, hard_swish, &h);
}
