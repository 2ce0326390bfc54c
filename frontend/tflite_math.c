/* Elementwise operators, softmax, and casts.
 *
 * Quantized operators of one input are tables of all their 256 answers (tflite_quant.c, quant_table), but for those
 * with a formula of their own there; rows say which.
 */
#include "tflite_quant.h"

#include <math.h>

/* Operators that are one of the graph's. */
static const struct {
    enum tflite_op op;
    enum op row;
} same_rows[] = {
    {TFL_ABS, OP_abs},       {TFL_CEIL, OP_ceil},       {TFL_COS, OP_cos},          {TFL_EXP, OP_exp},
    {TFL_FLOOR, OP_floor},   {TFL_LOG, OP_log},         {TFL_LOGISTIC, OP_sigmoid}, {TFL_NEG, OP_neg},
    {TFL_RELU, OP_relu},     {TFL_ROUND, OP_round},     {TFL_SIGN, OP_sign},        {TFL_SIN, OP_sin},
    {TFL_SQRT, OP_sqrt},     {TFL_TANH, OP_tanh},       {TFL_LOGICAL_NOT, OP_not},  {TFL_LOGICAL_AND, OP_and},
    {TFL_LOGICAL_OR, OP_or}, {TFL_BITWISE_XOR, OP_xor}, {TFL_RIGHT_SHIFT, OP_shr},  {TFL_ADD, OP_add},
    {TFL_SUB, OP_sub},       {TFL_MUL, OP_mul},         {TFL_DIV, OP_div},          {TFL_MAXIMUM, OP_max},
    {TFL_MINIMUM, OP_min},   {TFL_FLOOR_MOD, OP_mod},   {TFL_POW, OP_pow},          {TFL_EQUAL, OP_eq},
    {TFL_LESS, OP_lt},       {TFL_LESS_EQUAL, OP_le},
};

static enum op same_row(enum tflite_op op)
{
    size_t i = 0;
    while (same_rows[i].op != op) i++;
    return same_rows[i].row;
}

static struct value *build_unary(struct tflite_call *c)
{
    return graph_unary(c->graph, same_row(c->op), c->in[0]);
}
static struct value *build_binary(struct tflite_call *c)
{
    return graph_binary(c->graph, same_row(c->op), c->in[0], c->in[1]);
}
/* ADD, SUB, MUL, DIV: the activation is the first option. */
static struct value *build_activated(struct tflite_call *c)
{
    return tflite_activate(c, 0, build_binary(c));
}

static struct value *build_not_equal(struct tflite_call *c)
{
    return build_not(c->graph, build_eq(c->graph, c->in[0], c->in[1]));
}
static struct value *build_greater(struct tflite_call *c)
{
    return build_lt(c->graph, c->in[1], c->in[0]);
}
static struct value *build_greater_equal(struct tflite_call *c)
{
    return build_le(c->graph, c->in[1], c->in[0]);
}
static struct value *build_squared_difference(struct tflite_call *c)
{
    struct value *d = build_sub(c->graph, c->in[0], c->in[1]);
    return build_mul(c->graph, d, d);
}
static struct value *build_square(struct tflite_call *c)
{
    return build_mul(c->graph, c->in[0], c->in[0]);
}
static struct value *build_rsqrt(struct tflite_call *c)
{
    return graph_unary(c->graph, OP_reciprocal, build_sqrt(c->graph, c->in[0]));
}
static struct value *build_floor_div(struct tflite_call *c)
{
    struct graph *g = c->graph;
    struct value *x = c->in[0], *z = c->in[1];
    if (dtype_is_float(x->type.dt)) return build_floor(g, build_div(g, x, z));
    return build_div(g, build_sub(g, x, graph_binary(g, OP_mod, x, z)), z);
}
static struct value *build_zeros_like(struct tflite_call *c)
{
    return build_fill(c->graph, build_number(c->graph, c->in[0], 0), c->in[0]->type.rank, c->in[0]->type.dim);
}
static struct value *build_add_n(struct tflite_call *c)
{
    struct value *y = c->in[0];
    for (int i = 1; i < c->n_in; i++) y = build_add(c->graph, y, c->in[i]);
    return y;
}

/* The first form takes whole rows where the condition has one axis only. */
static struct value *build_select(struct tflite_call *c)
{
    struct value *condition = c->in[0];
    int rank = c->in[1]->type.rank;
    if (c->op == TFL_SELECT && condition->type.rank == 1 && rank > 1)
        condition = build_unsqueeze_end(c->graph, condition, rank);
    return graph_select(c->graph, condition, c->in[1], c->in[2]);
}

static struct value *build_relu_6(struct tflite_call *c)
{
    return build_clamp(c->graph, c->in[0], 0, 6);
}
static struct value *build_relu_n1_to_1(struct tflite_call *c)
{
    return build_clamp(c->graph, c->in[0], -1, 1);
}
static struct value *build_relu_0_to_1(struct tflite_call *c)
{
    return build_clamp(c->graph, c->in[0], 0, 1);
}
static struct value *build_elu(struct tflite_call *c)
{
    struct graph *g = c->graph;
    struct value *x = c->in[0], *below = build_with(g, OP_sub, build_exp(g, x), 1);
    return graph_select(g, build_with(g, OP_lt, x, 0), below, x);
}
static struct value *build_gelu(struct tflite_call *c)
{
    const char *how = tflite_option(c, 0, 1, 0) ? "tanh" : "none";
    return graph_node(c->graph, OP_gelu, 1, c->in, 1, (struct attr[]){ATTR_S("approximate", how)});
}
static struct value *build_hard_swish(struct tflite_call *c)
{
    struct graph *g = c->graph;
    struct value *gate = build_clamp(g, build_with(g, OP_add, c->in[0], 3), 0, 6);
    return build_with(g, OP_mul, build_mul(g, c->in[0], gate), 1.0 / 6);
}
static struct value *sloped(struct tflite_call *c, struct value *slope)
{
    struct value *x = c->in[0];
    return build_where_below(c->graph, x, 0, build_mul(c->graph, x, slope), x);
}
static struct value *build_leaky_relu(struct tflite_call *c)
{
    double alpha = flat_float(&c->options, 0, 0);
    if (!isfinite(alpha)) return tflite_error(c, "alpha is %g", alpha);
    return sloped(c, build_number(c->graph, c->in[0], alpha));
}
static struct value *build_prelu(struct tflite_call *c)
{
    return sloped(c, c->in[1]);
}

static struct value *build_softmax(struct tflite_call *c)
{
    double beta = flat_float(&c->options, 0, 0);
    struct value *x = c->in[0];
    if (!isfinite(beta)) return tflite_error(c, "beta is %g", beta);
    if (x->type.rank < 1) return tflite_error(c, "needs rank 1 or more");
    if (beta != 1) x = build_with(c->graph, OP_mul, x, beta);
    return graph_node(c->graph, OP_softmax, 1, &x, 1, (struct attr[]){ATTR_I("axis", c->in[0]->type.rank - 1)});
}
static struct value *build_log_softmax(struct tflite_call *c)
{
    if (c->in[0]->type.rank < 1) return tflite_error(c, "needs rank 1 or more");
    return graph_node(c->graph, OP_log_softmax, 1, c->in, 1, (struct attr[]){ATTR_I("axis", c->in[0]->type.rank - 1)});
}
/* x over its norm along the last axis, which is at least 1e-6. */
static struct value *build_l2_normalization(struct tflite_call *c)
{
    struct graph *g = c->graph;
    struct value *x = c->in[0];
    if (x->type.rank < 1) return tflite_error(c, "needs rank 1 or more");
    struct value *norm = build_sqrt(g, build_reduce(g, OP_sum, build_mul(g, x, x), x->type.rank - 1, true));
    return tflite_activate(c, 0, build_div(g, x, build_with(g, OP_max, norm, 1e-6)));
}

static struct value *build_cast(struct tflite_call *c)
{
    enum dtype dt = c->out_tensor[0]->type.dt;
    if (dt == DT_bool && c->in[0]->type.dt != DT_bool)
        return build_not(c->graph, build_with(c->graph, OP_eq, c->in[0], 0));
    return graph_cast(c->graph, c->in[0], dt);
}

/* Of 16-bit floats, as weights are stored. */
static struct value *build_dequantize(struct tflite_call *c)
{
    return graph_cast(c->graph, c->in[0], c->out_tensor[0]->type.dt);
}

const struct tflite_row tflite_math_rows[] = {
    {TFL_ABS, 1, build_unary, quant_abs},
    {TFL_ADD, 2, build_activated, quant_add},
    {TFL_ADD_N, 1, build_add_n, NULL},
    {TFL_BITWISE_XOR, 2, build_binary, NULL},
    {TFL_CAST, 1, build_cast, build_cast},
    {TFL_CEIL, 1, build_unary, NULL},
    {TFL_COS, 1, build_unary, quant_table},
    {TFL_DEQUANTIZE, 1, build_dequantize, quant_dequantize},
    {TFL_DIV, 2, build_activated, quant_through_floats},
    {TFL_ELU, 1, build_elu, quant_table},
    {TFL_EQUAL, 2, build_binary, quant_compare},
    {TFL_EXP, 1, build_unary, quant_table},
    {TFL_FLOOR, 1, build_unary, NULL},
    {TFL_FLOOR_DIV, 2, build_floor_div, NULL},
    {TFL_FLOOR_MOD, 2, build_binary, NULL},
    {TFL_GELU, 1, build_gelu, quant_table},
    {TFL_GREATER, 2, build_greater, quant_compare},
    {TFL_GREATER_EQUAL, 2, build_greater_equal, quant_compare},
    {TFL_HARD_SWISH, 1, build_hard_swish, quant_hard_swish},
    {TFL_L2_NORMALIZATION, 1, build_l2_normalization, quant_through_floats},
    {TFL_LEAKY_RELU, 1, build_leaky_relu, quant_leaky_relu},
    {TFL_LESS, 2, build_binary, quant_compare},
    {TFL_LESS_EQUAL, 2, build_binary, quant_compare},
    {TFL_LOG, 1, build_unary, quant_table},
    {TFL_LOGICAL_AND, 2, build_binary, NULL},
    {TFL_LOGICAL_NOT, 1, build_unary, NULL},
    {TFL_LOGICAL_OR, 2, build_binary, NULL},
    {TFL_LOGISTIC, 1, build_unary, quant_table},
    {TFL_LOG_SOFTMAX, 1, build_log_softmax, quant_through_floats},
    {TFL_MAXIMUM, 2, build_binary, quant_extreme},
    {TFL_MINIMUM, 2, build_binary, quant_extreme},
    {TFL_MUL, 2, build_activated, quant_mul},
    {TFL_NEG, 1, build_unary, quant_table},
    {TFL_NOT_EQUAL, 2, build_not_equal, quant_compare},
    {TFL_POW, 2, build_binary, NULL},
    {TFL_PRELU, 2, build_prelu, quant_prelu},
    {TFL_QUANTIZE, 1, NULL, quant_quantize},
    {TFL_RELU, 1, build_unary, quant_relu},
    {TFL_RELU6, 1, build_relu_6, quant_relu},
    {TFL_RELU_0_TO_1, 1, build_relu_0_to_1, quant_relu},
    {TFL_RELU_N1_TO_1, 1, build_relu_n1_to_1, quant_relu},
    {TFL_RIGHT_SHIFT, 2, build_binary, NULL},
    {TFL_ROUND, 1, build_unary, NULL},
    {TFL_RSQRT, 1, build_rsqrt, quant_table},
    {TFL_SELECT, 3, build_select, NULL},
    {TFL_SELECT_V2, 3, build_select, NULL},
    {TFL_SIGN, 1, build_unary, NULL},
    {TFL_SIN, 1, build_unary, quant_table},
    {TFL_SOFTMAX, 1, build_softmax, quant_through_floats},
    {TFL_SQRT, 1, build_unary, quant_sqrt},
    {TFL_SQUARE, 1, build_square, quant_table},
    {TFL_SQUARED_DIFFERENCE, 2, build_squared_difference, quant_squared_difference},
    {TFL_SUB, 2, build_activated, quant_add},
    {TFL_TANH, 1, build_unary, quant_table},
    {TFL_ZEROS_LIKE, 1, build_zeros_like, NULL},
    {0},
};
