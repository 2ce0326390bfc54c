/* Elementwise operators of ONNX that are no row of ops.def by themselves: formulas over such rows, variadic ones,
 * casts, shifts, clipping.  Rows in alphabetical order at the end.
 */
#include "onnx_narrow.h"

#include <math.h>
#include <string.h>

/* min, max, sum and mean of any number of inputs */
static struct value *fold_inputs(struct onnx_call *c, enum op op)
{
    struct value *y = c->in[0];
    if (c->n_in < 1) return onnx_error(c, "no inputs");
    for (int i = 1; i < c->n_in; i++) y = graph_binary(c->graph, op, y, c->in[i]);
    return y;
}
static struct value *build_max_of(struct onnx_call *c)
{
    return fold_inputs(c, OP_max);
}
static struct value *build_min_of(struct onnx_call *c)
{
    return fold_inputs(c, OP_min);
}
static struct value *build_sum_of(struct onnx_call *c)
{
    return fold_inputs(c, OP_add);
}
static struct value *build_mean_of(struct onnx_call *c)
{
    return build_with(c->graph, OP_div, fold_inputs(c, OP_add), c->n_in);
}

static struct value *build_greater(struct onnx_call *c)
{
    return build_lt(c->graph, c->in[1], c->in[0]);
}
static struct value *build_greater_equal(struct onnx_call *c)
{
    return build_le(c->graph, c->in[1], c->in[0]);
}

static struct value *build_identity(struct onnx_call *c)
{
    return c->in[0];
}

/* alpha * (exp(x) - 1) below zero, x above: exp of a positive x may overflow, which select leaves aside. */
static struct value *exp_below(struct onnx_call *c, struct value *x, double alpha, double divisor)
{
    struct graph *g = c->graph;
    struct value *e = build_exp(g, divisor == 1 ? x : build_with(g, OP_div, x, divisor));
    return build_with(g, OP_mul, build_with(g, OP_sub, e, 1), alpha);
}
static struct value *build_elu(struct onnx_call *c)
{
    struct value *x = c->in[0];
    return build_where_below(c->graph, x, 0, exp_below(c, x, onnx_float(c, "alpha", 1), 1), x);
}
static struct value *build_celu(struct onnx_call *c)
{
    struct value *x = c->in[0];
    double alpha = onnx_float(c, "alpha", 1);
    struct value *above = build_with(c->graph, OP_max, x, 0);
    return build_add(c->graph, above, build_with(c->graph, OP_min, exp_below(c, x, alpha, alpha), 0));
}
static struct value *build_selu(struct onnx_call *c)
{
    struct value *x = c->in[0];
    double alpha = onnx_float(c, "alpha", 1.67326319217681884765625),
           gamma = onnx_float(c, "gamma", 1.05070102214813232421875);
    struct value *is_low = build_with(c->graph, OP_le, x, 0);
    struct value *y = graph_select(c->graph, is_low, exp_below(c, x, alpha, 1), x);
    return build_with(c->graph, OP_mul, y, gamma);
}
static struct value *leaky(struct onnx_call *c, struct value *slope)
{
    struct value *x = c->in[0];
    return build_where_below(c->graph, x, 0, build_mul(c->graph, x, slope), x);
}
static struct value *build_leaky_relu(struct onnx_call *c)
{
    return leaky(c, build_number(c->graph, c->in[0], onnx_float(c, "alpha", 0.01)));
}
static struct value *build_prelu(struct onnx_call *c)
{
    return leaky(c, c->in[1]);
}
static struct value *build_thresholded_relu(struct onnx_call *c)
{
    struct value *x = c->in[0], *alpha = build_number(c->graph, x, onnx_float(c, "alpha", 1));
    struct value *is_high = build_lt(c->graph, alpha, x);
    return graph_select(c->graph, is_high, x, build_number(c->graph, x, 0));
}
static struct value *hard_sigmoid(struct onnx_call *c, double alpha, double beta)
{
    return build_clamp(c->graph, build_with(c->graph, OP_add, build_with(c->graph, OP_mul, c->in[0], alpha), beta), 0,
                       1);
}
static struct value *build_hard_sigmoid(struct onnx_call *c)
{
    return hard_sigmoid(c, onnx_float(c, "alpha", 0.2), onnx_float(c, "beta", 0.5));
}
static struct value *build_hard_swish(struct onnx_call *c)
{
    return build_mul(c->graph, c->in[0], hard_sigmoid(c, 1.0 / 6, 0.5));
}
static struct value *build_softplus_of(struct onnx_call *c)
{
    return build_softplus(c->graph, c->in[0]);
}
static struct value *build_mish(struct onnx_call *c)
{
    return build_mul(c->graph, c->in[0], build_tanh(c->graph, build_softplus(c->graph, c->in[0])));
}
static struct value *build_swish(struct onnx_call *c)
{
    struct value *x = c->in[0];
    return build_mul(c->graph, x, build_sigmoid(c->graph, build_with(c->graph, OP_mul, x, onnx_float(c, "alpha", 1))));
}
static struct value *build_shrink(struct onnx_call *c)
{
    struct graph *g = c->graph;
    struct value *x = c->in[0];
    double bias = onnx_float(c, "bias", 0), lambda = onnx_float(c, "lambd", 0.5);
    struct value *zero = build_number(g, x, 0), *high = build_with(g, OP_sub, x, bias);
    struct value *low = build_where_below(g, x, -lambda, build_with(g, OP_add, x, bias), zero);
    return graph_select(g, build_lt(g, build_number(g, x, lambda), x), high, low);
}
static struct value *build_gelu(struct onnx_call *c)
{
    return graph_node(c->graph, OP_gelu, 1, c->in, 1,
                      (struct attr[]){ATTR_S("approximate", onnx_string(c, "approximate", "none"))});
}

static struct value *build_clip(struct onnx_call *c)
{
    struct graph *g = c->graph;
    struct value *x = c->in[0];
    struct value *lo = c->in[1], *hi = c->in[2];
    if (c->version < 11) {
        lo = onnx_has(c, "min") ? build_number(g, x, onnx_float(c, "min", 0)) : NULL;
        hi = onnx_has(c, "max") ? build_number(g, x, onnx_float(c, "max", 0)) : NULL;
    }
    if (lo) x = build_max(g, x, lo);
    if (hi) x = build_min(g, x, hi);
    return x;
}

/* Pow's result has the base's type; the exponent may have another. */
static struct value *build_power(struct onnx_call *c)
{
    struct graph *g = c->graph;
    struct value *x = c->in[0], *z = c->in[1];
    double n;
    if (!x || !z) return onnx_error(c, "needs two inputs");
    if (value_number(z, &n) && z->type.rank <= x->type.rank && type_count(&z->type) == 1) {
        if (n == 2) return build_mul(g, x, x);
        if (n == 0.5 && dtype_is_float(x->type.dt)) return build_sqrt(g, x);
        if (n == 1) return graph_binary(g, OP_mul, x, build_number(g, x, 1));
    }
    if (dtype_is_int(x->type.dt) && dtype_is_float(z->type.dt)) {
        struct value *base = graph_cast(g, x, DT_f64);
        return graph_cast(g, build_pow(g, base, graph_cast(g, z, DT_f64)), x->type.dt);
    }
    return build_pow(g, x, graph_cast(g, z, x->type.dt));
}

static struct value *build_mod(struct onnx_call *c)
{
    return graph_binary(c->graph, onnx_int(c, "fmod", 0) ? OP_rem : OP_mod, c->in[0], c->in[1]);
}

static struct value *build_bit_shift(struct onnx_call *c)
{
    bool is_left = !strcmp(onnx_string(c, "direction", ""), "LEFT");
    return graph_binary(c->graph, is_left ? OP_shl : OP_shr, c->in[0], c->in[1]);
}

static struct value *cast_to(struct onnx_call *c, enum dtype dt)
{
    if (!c->in[0]) return onnx_error(c, "no input");
    /* Float to narrow integers is left open by ONNX outside the range; the graph's cast saturates. */
    if (dt == DT_bool && c->in[0]->type.dt != DT_bool)
        return build_not(c->graph, build_with(c->graph, OP_eq, c->in[0], 0));
    return graph_cast(c->graph, c->in[0], dt);
}
/* to: what bytes of the result stand for, NULL: it is of type dt. */
static struct value *cast_between(struct onnx_call *c, const struct narrow *to, enum dtype dt)
{
    c->in[0] = narrow_open(c->graph, c->narrow_in[0], c->in[0]);
    c->narrow_out[0] = to;
    if (!to) return cast_to(c, dt);
    return narrow_close(c, to, c->in[0], onnx_int(c, "saturate", 1) != 0, onnx_string(c, "round_mode", "up"));
}
/* Weights that a file has as 16-bit floats and a Cast makes f32: pass narrow may read them as they are. */
static bool is_weight(const struct onnx_call *c)
{
    enum { ELEMENTS_LEAST = 4096 };
    const struct value *x = c->in[0];
    return x && value_const(x) && dtype_compute(x->type.dt) != x->type.dt && type_count(&x->type) >= ELEMENTS_LEAST;
}

static struct value *build_cast(struct onnx_call *c)
{
    enum dtype dt = DT_f32;
    const char *name;
    const struct narrow *to;
    if (!onnx_element((int32_t)onnx_int(c, "to", 0), &dt, &to, &name)) return onnx_refuse(c, "element type %s", name);
    if (!to && dt == DT_f32 && is_weight(c)) return graph_node(c->graph, OP_widen, 1, c->in, 0, NULL);
    return cast_between(c, to, dt);
}
static struct value *build_cast_like(struct onnx_call *c)
{
    if (!c->in[1]) return onnx_error(c, "needs two inputs");
    return cast_between(c, c->narrow_in[1], c->in[1]->type.dt);
}

/* Of one size, the last axis stays as it is; bool counts as a byte. */
static struct value *build_bitcast(struct onnx_call *c)
{
    enum dtype dt;
    const char *name;
    if (!onnx_dtype((int32_t)onnx_int(c, "to", 0), &dt, &name)) return onnx_refuse(c, "element type %s", name);
    struct value *x = c->in[0]->type.dt == DT_bool ? graph_cast(c->graph, c->in[0], DT_u8) : c->in[0];
    if (dt == DT_bool || dtype_bytes(dt) != dtype_bytes(x->type.dt) || dtype_compute(dt) != dt || dtype_compute(x->type.dt) != x->type.dt)
        return onnx_refuse(c, "from %s to %s", dtype_name(c->in[0]->type.dt), name);
    return graph_bitcast(c->graph, x, dt);
}

static struct value *build_is_inf(struct onnx_call *c)
{
    struct graph *g = c->graph;
    struct value *x = c->in[0];
    bool positive = onnx_int(c, "detect_positive", 1) != 0, negative = onnx_int(c, "detect_negative", 1) != 0;
    struct value *inf = graph_unary(g, OP_is_inf, x), *zero = build_number(g, x, 0);
    if (positive && negative) return inf;
    if (positive) return build_and(g, inf, build_lt(g, zero, x));
    if (negative) return build_and(g, inf, build_lt(g, x, zero));
    return build_and(g, inf, build_not(g, inf));
}

/* Inference: the input passes; the mask, where asked for, is all true. */
static struct value *build_dropout(struct onnx_call *c)
{
    double training = 0, ratio = 0.5;
    struct value *x = c->in[0];
    if (c->version >= 12 && c->in[2] && !value_number(c->in[2], &training))
        return onnx_must_know(c, 2, "training_mode");
    if (c->version >= 12 && c->in[1] && training != 0) value_number(c->in[1], &ratio);
    if (training != 0 && ratio != 0) return onnx_refuse(c, "training mode is random");
    if (c->n_out > 1 && x) {
        enum dtype dt = c->version >= 10 ? DT_bool : x->type.dt;
        c->out[1] = build_fill(c->graph, graph_int(c->graph, dt, 1), x->type.rank, x->type.dim);
    }
    return x;
}

static struct value *bit_row(struct onnx_call *c, enum op op)
{
    return graph_binary(c->graph, op, c->in[0], c->in[1]);
}
static struct value *build_bit_and(struct onnx_call *c)
{
    return bit_row(c, OP_and);
}
static struct value *build_bit_or(struct onnx_call *c)
{
    return bit_row(c, OP_or);
}
static struct value *build_bit_xor(struct onnx_call *c)
{
    return bit_row(c, OP_xor);
}

const struct onnx_row onnx_math_rows[] = {
    {"BitCast", 26, 0, 1, build_bitcast},
    {"BitShift", 11, 0, 2, build_bit_shift},
    {"BitwiseAnd", 18, 0, 2, build_bit_and},
    {"BitwiseOr", 18, 0, 2, build_bit_or},
    {"BitwiseXor", 18, 0, 2, build_bit_xor},
    {"Cast", 6, 0, 1, build_cast},
    {"CastLike", 15, 0, 2, build_cast_like},
    {"Celu", 12, 0, 1, build_celu},
    {"Clip", 6, 0, 1, build_clip},
    {"Dropout", 7, 0, 1, build_dropout},
    {"Elu", 6, 0, 1, build_elu},
    {"Gelu", 20, 0, 1, build_gelu},
    {"Greater", 7, 0, 2, build_greater},
    {"GreaterOrEqual", 12, 0, 2, build_greater_equal},
    {"HardSigmoid", 6, 0, 1, build_hard_sigmoid},
    {"HardSwish", 14, 0, 1, build_hard_swish},
    {"Identity", 1, 0, 1, build_identity},
    {"IsInf", 10, 0, 1, build_is_inf},
    {"LeakyRelu", 6, 0, 1, build_leaky_relu},
    {"Max", 6, 0, 1, build_max_of},
    {"Mean", 6, 0, 1, build_mean_of},
    {"Min", 6, 0, 1, build_min_of},
    {"Mish", 18, 0, 1, build_mish},
    {"Mod", 10, 0, 2, build_mod},
    {"PRelu", 7, 0, 2, build_prelu},
    {"Pow", 7, 0, 2, build_power},
    {"Selu", 6, 0, 1, build_selu},
    {"Shrink", 9, 0, 1, build_shrink},
    {"Softplus", 1, 0, 1, build_softplus_of},
    {"Sum", 6, 0, 1, build_sum_of},
    {"Swish", 24, 0, 1, build_swish},
    {"ThresholdedRelu", 10, 0, 1, build_thresholded_relu},
    {NULL, 0, 0, 0, NULL},
};
