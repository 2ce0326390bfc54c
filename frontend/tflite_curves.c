/* Logistic and tanh of 16-bit fixed-point numbers, as TensorFlow Lite's integer LSTM has them (the arithmetic is
 * gemmlowp's, public.fixedpoint): values are i32 in the graph, of which 16 bits are in use; a number with b bits before
 * the point has 15 - b behind it.
 *
 * exp of a negative number: the part within a quarter by a polynomial around -1/8, the rest as a product of the powers
 * that its bits stand for. 1/(1 + x) by three steps of Newton's from 48/17 - 32/17*(1 + x)/2.
 */
#include "tflite_quant.h"

enum { ONE = INT16_MAX, TWO_BITS_ONE = 1 << 13 };

/* (a*b + 2^14) >> 15 */
static struct value *product(struct graph *g, struct value *a, struct value *b)
{
    return build_with(g, OP_shr, build_with(g, OP_add, build_mul(g, a, b), 1 << 14), 15);
}
static struct value *product_with(struct graph *g, struct value *a, int32_t b)
{
    return product(g, a, graph_int(g, DT_i32, b));
}
/* x shifted to the left, saturated. */
static struct value *shift_saturated(struct graph *g, struct value *x, int bits)
{
    return build_clamp(g, build_with(g, OP_mul, x, 1 << bits), INT16_MIN, INT16_MAX);
}
static struct value *where_zero(struct graph *g, struct value *x, int32_t v, struct value *otherwise)
{
    struct value *is_zero = build_with(g, OP_eq, x, 0);
    return graph_select(g, is_zero, graph_int(g, DT_i32, v), otherwise);
}

/* exp of x <= 0 with `bits` bits before the point, 5 at most. */
static struct value *exp_negative(struct graph *g, struct value *x, int bits)
{
    enum { EXP_EIGHTH = 28918, THIRD = 10923 };                              /* exp(-1/8), 1/3 */
    static const int32_t powers[] = {25520, 19875, 12055, 4435, 600, 11, 0}; /* exp(-2^e), e from -2 on */
    int quarter = 1 << (13 - bits);
    struct value *below = graph_binary(g, OP_and, x, graph_int(g, DT_i32, quarter - 1));
    below = build_with(g, OP_sub, below, quarter);
    struct value *a = build_with(g, OP_add, build_with(g, OP_mul, below, 1 << bits), 1 << 12);
    struct value *a2 = product(g, a, a), *a3 = product(g, a2, a), *a4 = product(g, a2, a2);
    struct value *tail = product_with(g, build_add(g, tflite_shift_rounded(g, a4, 2), a3), THIRD);
    tail = tflite_shift_rounded(g, build_add(g, tail, a2), 1);
    struct value *y = build_with(g, OP_add, product_with(g, build_add(g, a, tail), EXP_EIGHTH), EXP_EIGHTH);
    y = build_clamp(g, y, INT16_MIN, INT16_MAX);
    struct value *rest = build_sub(g, below, x);
    for (int e = -2; e < bits; e++) {
        struct value *bit = graph_binary(g, OP_and, rest, graph_int(g, DT_i32, (int64_t)1 << (15 - bits + e)));
        struct value *is_clear = build_with(g, OP_eq, bit, 0);
        y = graph_select(g, is_clear, y, product_with(g, y, powers[e + 2]));
    }
    return where_zero(g, x, ONE, y);
}

/* 2/(1 + x) with two bits before the point, 0 <= x <= 1. */
static struct value *reciprocal(struct graph *g, struct value *x)
{
    enum { START = 23130, SLOPE = -15420 }; /* 48/17, -32/17 */
    struct value *half = build_with(g, OP_shr, build_with(g, OP_add, x, ONE + 1), 1);
    struct value *y = build_with(g, OP_add, product_with(g, half, SLOPE), START);
    for (int i = 0; i < 3; i++) {
        struct value *off = product(g, half, y);
        off = build_sub(g, graph_int(g, DT_i32, TWO_BITS_ONE), off);
        y = build_add(g, y, shift_saturated(g, product(g, y, off), 2));
    }
    return y;
}

static struct value *negative_of(struct graph *g, struct value *x)
{
    return build_neg(g, build_abs(g, x));
}

struct value *tflite_logistic_16(struct graph *g, struct value *x)
{
    struct value *y = shift_saturated(g, reciprocal(g, exp_negative(g, negative_of(g, x), 3)), 1);
    struct value *below = build_sub(g, graph_int(g, DT_i32, ONE), y);
    return where_zero(g, x, 1 << 14, graph_select(g, build_with(g, OP_lt, x, 0), below, y));
}

struct value *tflite_tanh_16(struct graph *g, struct value *x, int bits)
{
    struct value *y = reciprocal(g, exp_negative(g, negative_of(g, x), bits + 1)); /* exp(-2|x|): one bit more before */
    y = shift_saturated(g, build_with(g, OP_sub, y, TWO_BITS_ONE), 2);
    return where_zero(g, x, 0, build_where_below(g, x, 0, build_neg(g, y), y));
}
