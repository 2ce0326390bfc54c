/* Scaling of integers by multipliers and shifts, and sums of products brought to a result's scale. See tflite_quant.h.
 *
 * The product of x and a multiplier is (x*m + 2^30) >> 31 for both signs; the shift behind it rounds halves away from
 * zero: (t + half - (t < 0)) >> shift. Facts: MultiplyByQuantizedMultiplier, its variant of two roundings.
 */
#include "tflite_quant.h"

#include <math.h>

enum { SHIFT_MOST = 31 };

struct tflite_fixed tflite_fixed_of(double scale)
{
    int shift;
    double fraction = frexp(scale, &shift);
    int64_t m = (int64_t)llround(fraction * 2147483648.0);
    if (m == (int64_t)1 << 31) m /= 2, shift++;
    if (shift < -SHIFT_MOST) m = 0, shift = 0;
    if (shift > SHIFT_MOST - 1) m = INT32_MAX, shift = SHIFT_MOST - 1;
    return (struct tflite_fixed){(int32_t)m, shift};
}

static struct value *shift_right(struct graph *g, struct value *x, struct value *bits)
{
    return graph_binary(g, OP_shr, x, bits);
}

/* t >> shift, rounded; half: 2^shift/2; minus: 1 where shift > 0. */
static struct value *divide_rounded(struct graph *g, struct value *t, struct value *shift, struct value *half,
                                    struct value *minus)
{
    struct value *less = build_where_below(g, t, 0, minus, build_number(g, minus, 0));
    return shift_right(g, build_sub(g, build_add(g, t, half), less), shift);
}

struct value *tflite_shift_rounded(struct graph *g, struct value *x, int shift)
{
    if (shift == 0) return x;
    struct value *by = graph_int(g, DT_i32, shift), *half = graph_int(g, DT_i32, (int64_t)1 << (shift - 1));
    return divide_rounded(g, x, by, half, graph_int(g, DT_i32, 1));
}

struct value *tflite_high_product(struct graph *g, struct value *x, struct value *multiplier)
{
    struct value *product = graph_cast(g, x, DT_i64);
    product = build_mul(g, product, graph_cast(g, multiplier, DT_i64));
    product = build_add(g, product, graph_int(g, DT_i64, (int64_t)1 << 30));
    return graph_cast(g, shift_right(g, product, graph_int(g, DT_i64, 31)), DT_i32);
}

struct value *tflite_scaled(struct graph *g, struct value *x, struct tflite_fixed fixed)
{
    if (fixed.shift > 0) x = graph_binary(g, OP_shl, x, graph_int(g, DT_i32, fixed.shift));
    struct value *y = tflite_high_product(g, x, graph_int(g, DT_i32, fixed.multiplier));
    return tflite_shift_rounded(g, y, fixed.shift < 0 ? -fixed.shift : 0);
}

/* One number as a scalar, several as a list. */
static struct value *numbers(struct graph *g, int n, const int32_t *list)
{
    return n == 1 ? graph_int(g, DT_i32, list[0]) : tflite_list(g, DT_i32, n, list);
}

struct value *tflite_scaled_once(struct graph *g, struct value *x, int n, const struct tflite_fixed *fixed)
{
    int32_t *multiplier = NEW_ARRAY(g->arena, int32_t, 2 * n), *shift = multiplier + n;
    for (int i = 0; i < n; i++) multiplier[i] = fixed[i].multiplier, shift[i] = 31 - fixed[i].shift;
    struct value *in[] = {x, numbers(g, n, multiplier), numbers(g, n, shift)};
    return graph_node(g, OP_requantize_fixed, 3, in, 0, NULL);
}

struct value *tflite_scaled_each(struct graph *g, struct value *x, int n, const struct tflite_fixed *fixed)
{
    int32_t *list = NEW_ARRAY(g->arena, int32_t, 5 * n), *multiplier = list, *left = list + n, *right = list + 2 * n,
            *half = list + 3 * n, *minus = list + 4 * n;
    bool any_left = false, any_right = false;
    for (int i = 0; i < n; i++) {
        multiplier[i] = fixed[i].multiplier;
        left[i] = fixed[i].shift > 0 ? fixed[i].shift : 0;
        right[i] = fixed[i].shift < 0 ? -fixed[i].shift : 0;
        half[i] = right[i] ? (int32_t)1 << (right[i] - 1) : 0;
        minus[i] = right[i] ? 1 : 0;
        any_left |= left[i] > 0;
        any_right |= right[i] > 0;
    }
    if (any_left) x = graph_binary(g, OP_shl, x, tflite_list(g, DT_i32, n, left));
    struct value *y = tflite_high_product(g, x, tflite_list(g, DT_i32, n, multiplier));
    if (!any_right) return y;
    struct value *by = tflite_list(g, DT_i32, n, right), *halves = tflite_list(g, DT_i32, n, half);
    return divide_rounded(g, y, by, halves, tflite_list(g, DT_i32, n, minus));
}

bool tflite_sum_scales(struct tflite_call *c, double input_scale, const struct tflite_tensor *weight,
                       struct tflite_sums *sums)
{
    double out_scale;
    int64_t out_zero;
    if (!tflite_is_quantized(weight)) return tflite_error(c, "tensor \"%s\" has no scale", weight->name);
    if (!tflite_scale(c, c->out_tensor[0], &out_scale, &out_zero)) return false;
    sums->n = weight->quant.n;
    sums->weight_zero = weight->quant.zero[0];
    double *scale = NEW_ARRAY(c->graph->arena, double, sums->n);
    for (int i = 0; i < sums->n; i++) {
        double product = input_scale * weight->quant.scale[i];
        if (weight->quant.zero[i] != sums->weight_zero) return tflite_refuse(c, "weights with several zero points");
        if (sums->is_dense && sums->n == 1) product = (double)(float)product;
        scale[i] = product / out_scale;
    }
    sums->scale = scale;
    return true;
}

struct value *tflite_finish_sums(struct tflite_call *c, const struct tflite_sums *sums)
{
    struct graph *g = c->graph;
    struct value *y = sums->sum;
    if (sums->bias && sums->bias->type.dt != DT_i32)
        return tflite_refuse(c, "a bias of type %s", dtype_name(sums->bias->type.dt));
    if (sums->bias) y = build_add(g, y, sums->bias);
    if (!y) return NULL;
    if (sums->n > 1 && (y->type.rank < 1 || y->type.dim[y->type.rank - 1] != sums->n))
        return tflite_error(c, "%d scales of the weight, %lld channels", sums->n,
                            (long long)y->type.dim[y->type.rank - 1]);
    struct tflite_fixed *fixed = NEW_ARRAY(g->arena, struct tflite_fixed, sums->n);
    for (int i = 0; i < sums->n; i++) fixed[i] = tflite_fixed_of(sums->scale[i]);
    if (sums->is_dense) y = tflite_scaled_once(g, y, sums->n, fixed);
    else y = sums->n == 1 ? tflite_scaled(g, y, fixed[0]) : tflite_scaled_each(g, y, sums->n, fixed);
    return tflite_finish(c, y, sums->activation);
}

int64_t tflite_integer_of(const struct tflite_tensor *tensor, double number)
{
    float steps = (float)number / (float)tensor->quant.scale[0];
    return tensor->quant.zero[0] + (int64_t)llroundf(fminf(fmaxf(steps, -0x1p32f), 0x1p32f));
}

/* The activation's range in integers of the first result; false after a message. */
static bool activation_range(struct tflite_call *c, int field, int64_t *low, int64_t *high)
{
    const struct tflite_tensor *out = c->out_tensor[0];
    double scale;
    int64_t zero, activation = field < 0 ? ACT_NONE : tflite_option(c, field, 1, ACT_NONE), from, to;
    *low = dtype_int_min(out->type.dt);
    *high = (int64_t)dtype_int_max(out->type.dt);
    if (!tflite_scale(c, out, &scale, &zero)) return false;
    if (activation == ACT_NONE) return true;
    if (activation != ACT_RELU && activation != ACT_RELU6 && activation != ACT_RELU_N1_TO_1)
        return tflite_refuse(c, "activation %lld on quantized tensors", (long long)activation);
    from = tflite_integer_of(out, activation == ACT_RELU_N1_TO_1 ? -1 : 0);
    to = activation == ACT_RELU ? *high : tflite_integer_of(out, activation == ACT_RELU6 ? 6 : 1);
    *low = from > *low ? from : *low;
    *high = to < *high ? to : *high;
    return true;
}

struct value *tflite_limit(struct tflite_call *c, struct value *x, int field)
{
    int64_t low, high;
    if (!x || !activation_range(c, field, &low, &high)) return NULL;
    if (low > dtype_int_min(x->type.dt)) x = build_with(c->graph, OP_max, x, (double)low);
    if (high < (int64_t)dtype_int_max(x->type.dt)) x = build_with(c->graph, OP_min, x, (double)high);
    return x;
}

struct value *tflite_finish(struct tflite_call *c, struct value *x, int field)
{
    struct graph *g = c->graph;
    const struct tflite_tensor *out = c->out_tensor[0];
    double scale;
    int64_t zero;
    if (!x || !tflite_scale(c, out, &scale, &zero)) return NULL;
    if (zero) x = build_with(g, OP_add, x, (double)zero);
    return graph_cast(g, tflite_limit(c, x, field), out->type.dt);
}
