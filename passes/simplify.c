/* Pass simplify: scales move into weights.
 *
 *     y = mul(conv(x, w), broadcast(s))            y = conv(x, mul(w, s))
 *     y = mul(add(conv(x, w), b), broadcast(s))    y = add(conv(x, mul(w, s)), mul(b, s))
 *
 * so that an inference batch norm after a convolution or product costs nothing. The weight, the scale and the
 * shift must be constants and the scale one number per output channel; the convolution must have no other use.
 * Multiplication distributes over the sum only up to rounding: like every compiler that folds batch norms we accept
 * that (a relative error of a few units in the last place); -O0 does not.
 *
 *     y = matmul(cast(eq(x, [0, 1, .. n-1]), f32), w)      y = gather(w, x)
 *
 * A product with rows of one 1 takes rows of a constant weight: nothing is multiplied, and an x that is none of the numbers
 * gives zeros in both. Everything else is copied through the
 * builder, which folds constants and drops transposes and reshapes that cancel (ir/graph_identity.c).
 * Source: Jacob et al., Quantization and Training of Neural Networks (2017), section 3.2. */
#include "passes.h"

#include <math.h>
#include <string.h>

struct simplification {
    struct graph *to;
    struct value **map;
    int *uses; /* of old values */
};

static void count_uses(const struct graph *graph, int *uses)
{
    for (int i = 0; i < graph->nodes.n; i++)
        for (int k = 0; k < graph->nodes.at[i]->n_in; k++) uses[graph->nodes.at[i]->in[k]->id]++;
    for (int i = 0; i < graph->outputs.n; i++) uses[graph->outputs.at[i]->id]++;
}

/* The constant of shape [C] that `value` repeats along every axis but `axis`; NULL where it is none. */
static struct value *channel_constant(struct graph *graph, const struct value *value, int axis, dim channels)
{
    const struct node *node = value->node;
    struct value *source = node->op == OP_broadcast ? node->in[0] : NULL;
    if (value_const(value)) source = node->out;
    if (!source || !value_const(source) || !dtype_is_float(source->type.dt)) return NULL;
    for (int i = 0; i < source->type.rank; i++)
        if (i == axis ? source->type.dim[i] != channels && source->type.dim[i] != 1 : source->type.dim[i] != 1) return NULL;
    if (source->type.rank <= axis) return NULL;
    struct value *flat = graph_reshape(graph, source, 1, &source->type.dim[axis]);
    return graph_broadcast(graph, flat, 1, &channels);
}

/* conv or matmul with a constant weight, used once; its output channels' axis. */
static bool takes_scale(const struct simplification *s, const struct value *old, int *axis)
{
    const struct node *node = old->node;
    if (s->uses[old->id] != 1 || (node->op != OP_conv && node->op != OP_matmul)) return false;
    const struct value *weight = s->map[node->in[1]->id];
    if (!weight || !value_const(weight) || (node->op == OP_matmul && weight->type.rank != 2)) return false;
    *axis = node->op == OP_conv ? 1 : old->type.rank - 1;
    return true;
}

static struct value *scaled(struct simplification *s, const struct node *node, struct value *scale)
{
    struct graph *g = s->to;
    struct value *x = s->map[node->in[0]->id], *w = s->map[node->in[1]->id];
    dim shape[RANK_MOST];
    for (int i = 0; i < w->type.rank; i++) shape[i] = 1;
    shape[node->op == OP_conv ? 0 : w->type.rank - 1] = scale->type.dim[0];
    struct value *in[] = {x, graph_binary(g, OP_mul, w, graph_reshape(g, scale, w->type.rank, shape))};
    return graph_node(g, node->op, 2, in, node->n_attrs, node->attrs);
}

/* mul(conv, s) and mul(add(conv, b), s), operands in either order; NULL where the node is neither. */
static struct value *fold_scale(struct simplification *s, const struct node *node)
{
    struct graph *g = s->to;
    if (node->op != OP_mul) return NULL;
    for (int side = 0; side < 2; side++) {
        const struct value *inner = node->in[side];
        struct value *factor = s->map[node->in[1 - side]->id];
        const struct node *sum = inner->node;
        int axis;
        if (takes_scale(s, inner, &axis)) {
            struct value *scale = channel_constant(g, factor, axis, inner->type.dim[axis]);
            if (scale) return scaled(s, sum, scale);
        }
        if ((sum->op != OP_add && sum->op != OP_sub) || s->uses[inner->id] != 1) continue;
        for (int k = 0; k < (sum->op == OP_add ? 2 : 1); k++) {
            if (!takes_scale(s, sum->in[k], &axis)) continue;
            dim channels = inner->type.dim[axis];
            struct value *scale = channel_constant(g, factor, axis, channels);
            struct value *shift = channel_constant(g, s->map[sum->in[1 - k]->id], axis, channels);
            if (!scale || !shift) continue;
            dim shape[RANK_MOST];
            for (int i = 0; i < inner->type.rank; i++) shape[i] = i == axis ? channels : 1;
            shift = graph_reshape(g, graph_binary(g, OP_mul, shift, scale), inner->type.rank, shape);
            return graph_binary(g, sum->op, scaled(s, sum->in[k]->node, scale), shift);
        }
    }
    return NULL;
}

enum { DIVISORS_MOST = 65536 };

/* x / c for constant c is x * (1/c): a multiplication costs a processor a twentieth of a division. One rounding more, half
 * a unit in the last place. Only where every 1/c is a normal number. */
static struct value *multiply_instead(struct simplification *s, const struct node *node)
{
    if (node->op != OP_div || node->out[0].type.dt != DT_f32) return NULL;
    struct value *divisor = s->map[node->in[1]->id];
    struct value *source = divisor->node->op == OP_broadcast ? divisor->node->in[0] : divisor;
    const struct tensor *t = value_const(source);
    if (!t || t->is_dims || t->type.dt != DT_f32 || type_count(&t->type) > DIVISORS_MOST) return NULL;
    for (int64_t i = 0; i < type_count(&t->type); i++)
        if (!isnormal(((const float *)t->data)[i]) || !isnormal(1 / ((const float *)t->data)[i])) return NULL;
    struct value *inverse = graph_binary(s->to, OP_div, graph_scalar(s->to, DT_f32, 1), source);
    return graph_binary(s->to, OP_mul, s->map[node->in[0]->id], graph_broadcast(s->to, inverse, node->out[0].type.rank, node->out[0].type.dim));
}

/* What is computed from numbers that are spread over a tensor is computed once and spread. */
static struct value *number_instead(struct simplification *s, const struct node *node)
{
    struct value *in[3];
    if (op_row(node->op)->kind != OP_MAP || node->out[0].type.rank == 0) return NULL;
    for (int i = 0; i < node->n_in; i++) {
        struct value *x = value_before_spreading(s->map[node->in[i]->id]);
        const struct tensor *t = value_const(x);
        if (!t || t->is_dims || type_count(&t->type) != 1) return NULL;
        in[i] = graph_reshape(s->to, x, 0, NULL);
    }
    struct value *number = graph_node(s->to, node->op, node->n_in, in, node->n_attrs, node->attrs);
    return graph_broadcast(s->to, number, node->out[0].type.rank, node->out[0].type.dim);
}

/* The operand [.., 1], of a one's place in rows of n, where value compares it with 0 to n - 1 along the last axis; NULL: it does not. */
static struct value *place_of_one(struct graph *graph, const struct value *value)
{
    const struct node *eq = value->node;
    int last = value->type.rank - 1;
    for (int side = 0; side < 2 && eq->op == OP_eq && last >= 0; side++) {
        struct value *classes = eq->in[side], *place = eq->in[1 - side];
        if (classes->node->op == OP_broadcast) classes = classes->node->in[0];
        if (place->node->op == OP_broadcast) place = place->node->in[0];
        const int64_t *numbers;
        int n = dtype_is_int(classes->type.dt) ? value_ints(graph, classes, &numbers) : -1, k = 0;
        if (n < 1 || classes->type.rank < 1 || classes->type.dim[classes->type.rank - 1] != value->type.dim[last]) continue;
        while (k < n && numbers[k] == k % value->type.dim[last]) k++;
        if (k < n) continue;
        bool alike = place->type.rank == last + 1 && place->type.dim[last] == 1;
        for (int a = 0; a < last && alike; a++) alike = place->type.dim[a] == value->type.dim[a];
        if (alike) return place;
    }
    return NULL;
}

/* A product of rows with one 1 and a finite constant weight takes rows of the weight. */
static struct value *rows_instead(struct simplification *s, const struct node *node)
{
    if (node->op != OP_matmul || node->out[0].type.dt != DT_f32) return NULL;
    const struct node *cast = s->map[node->in[0]->id]->node;
    struct value *w = s->map[node->in[1]->id];
    const struct tensor *t = value_const(w);
    struct value *place = cast->op == OP_cast && t && !t->is_dims && w->type.rank >= 2 ? place_of_one(s->to, cast->in[0]) : NULL;
    if (!place) return NULL;
    struct type rows = {.dt = DT_f32, .rank = 2, .dim = {w->type.dim[w->type.rank - 2], w->type.dim[w->type.rank - 1]}};
    int64_t size = type_count(&rows);
    for (int64_t i = size; i < type_count(&t->type); i += size) /* of a batch: all the same */
        if (memcmp((const float *)t->data + i, t->data, (size_t)size * sizeof(float)) != 0) return NULL;
    for (int64_t i = 0; i < size; i++)
        if (!isfinite(((const float *)t->data)[i])) return NULL;
    place = graph_reshape(s->to, place, place->type.rank - 1, place->type.dim);
    if (place->type.dt == DT_u8) place = graph_cast(s->to, place, DT_i32); /* passes take bytes as subscripts for tables of functions */
    struct value *taken = graph_gather(s->to, w->type.rank == 2 ? w : graph_data(s->to, &rows, t->data), place, 0, 0);
    return taken && type_equal(&taken->type, &node->out[0].type) ? taken : NULL; /* a batch of weights only: the product is larger */
}

/* pad of bytes made wider, with or without a zero point taken off, is the padded bytes made wider: a quarter of the memory. v: what
 * the border holds. NULL: x is not so, or no byte stands for v. */
static struct value *pad_bytes(struct graph *to, struct value *x, const struct node *pad, double v)
{
    const struct node *node = x->node;
    struct value *from = node->n_in > 0 ? node->in[0] : NULL;
    double zero;
    if (node->op == OP_sub && value_number(value_before_spreading(node->in[1]), &zero)) {
        struct value *padded = pad_bytes(to, from, pad, v + zero);
        return padded ? graph_binary(to, OP_sub, padded, graph_scalar(to, x->type.dt, zero)) : NULL;
    }
    if (node->op != OP_cast || (from->type.dt != DT_i8 && from->type.dt != DT_u8)) return NULL;
    if (v < (double)dtype_int_min(from->type.dt) || v > (double)dtype_int_max(from->type.dt)) return NULL;
    struct value *in[] = {from, graph_scalar(to, from->type.dt, v)};
    return graph_cast(to, graph_node(to, OP_pad, 2, in, pad->n_attrs, pad->attrs), x->type.dt);
}

/* The same for a node of the old graph, for microcontrollers: others have vectors to convert, and would repeat that. */
static struct value *pad_narrow(struct simplification *s, const struct node *node, const struct pass_options *options)
{
    double v;
    if (node->op != OP_pad || !options->target || !options->target->is_small) return NULL;
    struct value *x = s->map[node->in[0]->id];
    bool whole = dtype_is_int(x->type.dt) && dtype_bytes(x->type.dt) > 1;
    return whole && value_number(s->map[node->in[1]->id], &v) ? pad_bytes(s->to, x, node, v) : NULL;
}

struct graph *pass_simplify(const struct graph *graph, struct arena *unit, const struct pass_options *options)
{
    struct graph *to = graph_like(graph, unit, graph->name);
    struct simplification s = {.to = to, .map = NEW_ARRAY(unit, struct value *, graph->next_value + 1)};
    bool *live = graph_live(graph, unit);
    s.uses = NEW_ARRAY(unit, int, graph->next_value + 1);
    count_uses(graph, s.uses);
    for (int i = 0; i < graph->nodes.n; i++) {
        const struct node *node = graph->nodes.at[i];
        if (!live[i]) continue;
        graph_at(to, node);
        struct value *folded = fold_scale(&s, node);
        if (!folded) folded = number_instead(&s, node);
        if (!folded) folded = multiply_instead(&s, node);
        if (!folded) folded = rows_instead(&s, node);
        if (!folded) folded = pad_narrow(&s, node, options);
        if (folded) {
            s.map[node->out[0].id] = folded;
            if (node->out[0].name) graph_name(to, folded, node->out[0].name);
            continue;
        }
        if (!pass_copy_node(to, node, s.map, pass_simplify, unit, options)) return NULL;
    }
    pass_copy_outputs(to, graph, s.map);
    return to;
}
