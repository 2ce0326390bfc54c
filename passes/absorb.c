/* Pass absorb: products of dequantized values become products of integers.
 *
 *     x = dequantize(xq, sx, zx)           a = conv(i32(xq) - zx, i32(wq) - zw)        exact sums
 *     w = dequantize(wq, sw, zw)     ->    y = f32(a)*(sx*sw)                          for whoever wants the floats
 *     y = conv(x, w)                       q = u8(round(f32(a)*(sx*sw/s)) + z)         where y is quantized again
 *     q = quantize(y, s, z)
 *
 * Two facts are carried along the graph, by value: that it is (q - zero)*scale of an integer (what only moves elements
 * keeps that, so that it reaches the products behind), and that it is sums*scale + shift within bounds (a bias, relu and
 * clip on top of a product keep that, so that one multiplication quantizes them). A bias that was quantized with the
 * product's own scale is added to the integers. This is ONNX's QLinearConv and QLinearMatMul, and what quantized models
 * mean: the sums are the exact ones, where floats would round.
 *
 * Scales and zero points are constants; a product's left side has one of each, its right side is constant, with a scale
 * for each output or one. Everything else stays as it is. i8 between two such products is kept as u8 with its zero moved
 * by 128, which instructions want. Needs: composites, which say what is quantized; so it comes before pass compose. */
#include "passes.h"

#include <math.h>
#include <string.h>

struct view { /* (q - zero)*scale */
    struct value *q, *scale, *zero;
};
struct sums { /* min(max(f32(integer)*scale + shift, low), high); integer NULL: is no such thing */
    struct value *integer, *scale, *shift;
    double low, high;
};
struct absorption {
    struct graph *to;
    struct value **map;  /* old id -> new value */
    struct view *view;   /* old id */
    struct sums *sums;   /* old id */
};

static bool is_single(const struct value *constant)
{
    const struct tensor *t = constant ? value_const(constant) : NULL;
    return t && !t->is_dims && type_count(&t->type) == 1;
}

static bool is_constant(const struct value *value)
{
    const struct tensor *t = value ? value_const(value) : NULL;
    return t && !t->is_dims;
}

static bool is_zero(const struct value *constant)
{
    const struct tensor *t = value_const(constant);
    for (int64_t i = 0; t && !t->is_dims && i < t->n_bytes; i++)
        if (((const char *)t->data)[i]) return false;
    return t && !t->is_dims;
}

static struct value *scalar_of(struct graph *to, struct value *constant)
{
    return graph_reshape(to, constant, 0, NULL);
}

/* Whether a reshape changes nothing but the number of 1s in front. */
static bool adds_leading_ones(const struct type *from, const struct type *to)
{
    int r = from->rank < to->rank ? from->rank : to->rank;
    for (int i = 0; i < from->rank || i < to->rank; i++) {
        dim a = i < from->rank ? from->dim[from->rank - 1 - i] : 1, b = i < to->rank ? to->dim[to->rank - 1 - i] : 1;
        if (a != b || (i >= r && a != 1)) return false;
    }
    return true;
}

/* The scale (or zero point) behind an operator that moves elements; NULL where it does not follow. */
static struct value *move_scale(struct graph *to, const struct node *node, struct value *scale)
{
    const struct type *x = &node->in[0]->type;
    if (is_single(scale)) return scalar_of(to, scale);
    if (node->op == OP_transpose && scale->type.rank == x->rank) return graph_transpose(to, scale, node_attr(node, "perm")->ints);
    if (node->op == OP_broadcast) return scale;
    if (node->op != OP_reshape) return NULL;
    if (adds_leading_ones(x, &node->out[0].type) && scale->type.rank <= node->out[0].type.rank) return scale;
    return type_count(&scale->type) == type_count(x) ? graph_reshape(to, scale, node->out[0].type.rank, node->out[0].type.dim) : NULL;
}

/* The same operator on the integers, where it only moves elements or picks the largest. */
static bool move(struct absorption *a, const struct node *node, struct view *view)
{
    switch (node->op) {
    case OP_reshape: case OP_transpose: case OP_broadcast: case OP_slice: case OP_repeat: case OP_gather: case OP_pad_edge:
    case OP_pad_reflect: case OP_pad_wrap: case OP_pool_max: break;
    default: return false;
    }
    const struct view *from = &a->view[node->in[0]->id];
    if (!from->q) return false;
    *view = (struct view){.scale = move_scale(a->to, node, from->scale), .zero = move_scale(a->to, node, from->zero)};
    if (!view->scale || !view->zero) return false;
    struct value *in[2] = {from->q, node->n_in > 1 ? a->map[node->in[1]->id] : NULL};
    view->q = graph_node(a->to, node->op, node->n_in, in, node->n_attrs, node->attrs);
    return view->q != NULL;
}

/* i32(q) - zero; of a constant in several batches, the constant is what is computed with. */
static struct value *centred(struct graph *to, const struct view *view)
{
    if (view->q->node->op == OP_broadcast && view->zero->type.rank <= view->q->node->in[0]->type.rank) {
        struct view once = {view->q->node->in[0], view->scale, view->zero};
        return graph_broadcast(to, centred(to, &once), view->q->type.rank, view->q->type.dim);
    }
    struct value *x = graph_cast(to, view->q, DT_i32);
    if (is_zero(view->zero)) return x;
    return graph_binary(to, OP_sub, x, graph_cast(to, view->zero, DT_i32));
}

/* The right side's scale as it lies along the result; NULL where one result has several. */
static struct value *output_scale(struct graph *to, const struct node *node, struct value *scale)
{
    const struct type *w = &node->in[1]->type;
    int rank = scale->type.rank;
    if (is_single(scale)) return scalar_of(to, scale);
    for (int i = 1; i <= rank; i++) { /* all 1 but the output's axis */
        bool output = node->op == OP_conv ? w->rank - i == 0 : i == 1;
        if (!output && scale->type.dim[rank - i] != 1) return NULL;
    }
    dim n = type_count(&scale->type), dims[RANK_MOST] = {n};
    for (int i = 2; i < w->rank; i++) dims[i - 1] = 1;
    return node->op == OP_conv ? graph_reshape(to, scale, w->rank - 1, dims) : graph_reshape(to, scale, 1, dims);
}

static bool product(struct absorption *a, const struct node *node, struct sums *sums)
{
    struct graph *to = a->to;
    if (node->op != OP_conv && node->op != OP_matmul) return false;
    const struct view *x = &a->view[node->in[0]->id], *w = &a->view[node->in[1]->id];
    if (!x->q || !w->q || !is_constant(value_before_spreading(w->q)) || !is_single(x->scale) || !is_single(x->zero)) return false;
    if (dtype_bytes(x->q->type.dt) != 1 || dtype_bytes(w->q->type.dt) != 1) return false;
    struct value *scale = output_scale(to, node, w->scale);
    if (!scale) return false;
    struct value *in[] = {centred(to, x), centred(to, w)};
    scale = graph_binary(to, OP_mul, scalar_of(to, x->scale), scale);
    *sums = (struct sums){graph_node(to, node->op, 2, in, node->n_attrs, node->attrs), scale, NULL, -INFINITY, INFINITY};
    return sums->integer != NULL;
}

/* Whether two constants of f32 are the same numbers, but for how they were rounded. */
static bool same_numbers(struct value *p, struct value *q)
{
    const struct tensor *a = value_const(value_before_spreading(p)), *b = value_const(value_before_spreading(q));
    if (!a || !b || a->is_dims || b->is_dims || a->type.dt != DT_f32 || b->type.dt != DT_f32) return false;
    int64_t n = type_count(&a->type), m = type_count(&b->type), most = n > m ? n : m;
    if (n != m && n != 1 && m != 1) return false;
    for (int64_t i = 0; i < most; i++) {
        float u = ((const float *)a->data)[n == 1 ? 0 : i], v = ((const float *)b->data)[m == 1 ? 0 : i];
        if (!(fabsf(u - v) <= 1e-6f * fabsf(u))) return false;
    }
    return true;
}

/* A constant on top of a product: added to the integers where it was quantized so. */
static bool add_constant(struct absorption *a, const struct node *node, struct sums *sums)
{
    for (int side = 0; side < 2; side++) {
        const struct sums *from = &a->sums[node->in[side]->id];
        const struct view *view = &a->view[node->in[1 - side]->id];
        struct value *other = a->map[node->in[1 - side]->id];
        if (!from->integer || from->shift || from->low > -INFINITY || from->high < INFINITY) continue;
        if (!is_constant(value_before_spreading(view->q ? view->q : other))) continue;
        *sums = *from;
        bool whole = view->q && view->q->type.dt == DT_i32 && is_zero(view->zero);
        if (whole && same_numbers(view->scale, from->scale)) sums->integer = graph_binary(a->to, OP_add, from->integer, view->q);
        else sums->shift = other;
        return true;
    }
    return false;
}

/* relu, and min and max with a number. */
static bool bound(struct absorption *a, const struct node *node, struct sums *sums)
{
    double number = 0;
    int side = 0;
    if (node->op == OP_max || node->op == OP_min)
        while (side < 2 && !(value_number(value_before_spreading(node->in[1 - side]), &number) && a->sums[node->in[side]->id].integer)) side++;
    else if (node->op != OP_relu) return false;
    if (side == 2 || !a->sums[node->in[side]->id].integer) return false;
    *sums = a->sums[node->in[side]->id];
    if (node->op == OP_min) sums->high = fmin(sums->high, number), sums->low = fmin(sums->low, sums->high);
    else sums->low = fmax(sums->low, number), sums->high = fmax(sums->high, sums->low);
    return true;
}

/* A constant of positive f32 numbers that lies along a result as `scale` does; NULL: the value is none. */
static struct value *factors_along(struct value *value, const struct value *scale)
{
    while (value->node->op == OP_broadcast || (value->node->op == OP_reshape && adds_leading_ones(&value->node->in[0]->type, &value->type)))
        value = value->node->in[0];
    const struct tensor *t = value_const(value);
    if (!t || t->is_dims || t->type.dt != DT_f32 || !adds_leading_ones(&t->type, &scale->type)) return NULL;
    for (int64_t i = 0; i < type_count(&t->type); i++)
        if (!(((const float *)t->data)[i] > 0)) return NULL;
    return value;
}

/* Factors per channel, on what is bounded by nothing but zero. */
static bool scale_sums(struct absorption *a, const struct node *node, struct sums *sums)
{
    for (int side = 0; side < 2; side++) {
        const struct sums *from = &a->sums[node->in[side]->id];
        if (!from->integer || from->high < INFINITY || (from->low != 0 && from->low > -INFINITY)) continue;
        struct value *factors = factors_along(a->map[node->in[1 - side]->id], from->scale);
        if (!factors) continue;
        *sums = *from;
        sums->scale = graph_binary(a->to, OP_mul, from->scale, factors);
        if (from->shift) sums->shift = graph_binary(a->to, OP_mul, from->shift, factors);
        return true;
    }
    return false;
}

static bool find_sums(struct absorption *a, const struct node *node, struct sums *sums)
{
    if (node->op == OP_add) return add_constant(a, node, sums);
    if (node->op == OP_mul) return scale_sums(a, node, sums);
    return product(a, node, sums) || bound(a, node, sums);
}

static struct value *clamped(struct graph *to, struct value *y, double low, double high)
{
    if (low > -INFINITY) y = graph_binary(to, OP_max, y, graph_scalar(to, DT_f32, low));
    return high < INFINITY ? graph_binary(to, OP_min, y, graph_scalar(to, DT_f32, high)) : y;
}

/* What the sums stand for. */
static struct value *real_value(struct graph *to, const struct sums *sums)
{
    struct value *y = graph_binary(to, OP_mul, graph_cast(to, sums->integer, DT_f32), sums->scale);
    if (sums->shift) y = graph_binary(to, OP_add, y, sums->shift);
    return clamped(to, y, sums->low, sums->high);
}

/* The same in steps of `scale`, around `zero`; rounding keeps the order of numbers, so bounds may be rounded alone. */
static struct value *requantized(struct graph *to, const struct sums *sums, struct value *scale, struct value *zero)
{
    double step;
    scale = scalar_of(to, scale);
    if (!value_number(scale, &step)) return NULL;
    struct value *y = graph_cast(to, sums->integer, DT_f32);
    y = graph_binary(to, OP_mul, y, graph_binary(to, OP_div, sums->scale, scale));
    if (sums->shift) y = graph_binary(to, OP_add, y, graph_binary(to, OP_div, sums->shift, scale));
    y = clamped(to, graph_unary(to, OP_round, y), rint(sums->low / step), rint(sums->high / step));
    if (!is_zero(zero)) y = graph_binary(to, OP_add, y, graph_cast(to, zero, DT_f32));
    return graph_cast(to, y, zero->type.dt);
}

static bool same_constants(const struct value *p, const struct value *q)
{
    double a, b;
    return p == q || (value_number(p, &a) && value_number(q, &b) && a == b);
}

/* quantize: the integers and, as `view`, what a dequantize of them finds. */
static struct value *quantized(struct absorption *a, const struct node *node, struct view *view)
{
    struct graph *to = a->to;
    const struct view *from = &a->view[node->in[0]->id];
    const struct sums *sums = &a->sums[node->in[0]->id];
    struct value *scale = a->map[node->in[1]->id], *zero = a->map[node->in[2]->id];
    double z;
    bool single = is_single(scale) && is_single(zero) && value_number(zero, &z);
    if (from->q && from->q->type.dt == zero->type.dt && single && same_constants(from->scale, scale) && same_constants(from->zero, zero)) {
        *view = *from;
        return from->q;
    }
    bool moved = single && zero->type.dt == DT_i8;
    if (single) zero = moved ? graph_scalar(to, DT_u8, z + 128) : scalar_of(to, zero);
    struct value *x = a->map[node->in[0]->id];
    struct value *q = single && sums->integer ? requantized(to, sums, scale, zero) : graph_node(to, OP_quantize, 3, (struct value *[]){x, scale, zero}, 0, NULL);
    if (!q) return NULL;
    *view = (struct view){q, scale, zero};
    if (!moved) return q;
    q = graph_cast(to, q, DT_i32);
    q = graph_binary(to, OP_sub, q, graph_scalar(to, DT_i32, 128));
    return graph_cast(to, q, DT_i8);
}

/* What a dequantize opens; i8 that is kept as u8 is found as that. */
static bool opened(struct absorption *a, const struct node *node, struct view *view)
{
    struct value *scale = a->map[node->in[1]->id], *zero = a->map[node->in[2]->id];
    const struct view *known = &a->view[node->in[0]->id];
    double z;
    if (!is_constant(scale) || !is_constant(zero)) return false;
    bool moved = known->q && known->q->type.dt != node->in[0]->type.dt && is_single(zero) && value_number(zero, &z);
    *view = moved ? (struct view){known->q, scale, graph_scalar(a->to, DT_u8, z + 128)} : (struct view){a->map[node->in[0]->id], scale, zero};
    return true;
}

/* What is known of the integers behind a quantized value follows the value itself; a dequantize reads it. */
static bool convert(struct absorption *a, const struct node *node, struct arena *unit, const struct pass_options *options)
{
    const struct value *out = &node->out[0];
    struct view *view = &a->view[out->id];
    struct sums *sums = &a->sums[out->id];
    struct value *made;
    if (node->op == OP_quantize) made = quantized(a, node, view);
    else if (out->type.dt != DT_f32) return pass_copy_node(a->to, node, a->map, pass_absorb, unit, options);
    else if (node->op == OP_dequantize ? opened(a, node, view) : move(a, node, view))
        made = graph_node(a->to, OP_dequantize, 3, (struct value *[]){view->q, view->scale, view->zero}, 0, NULL);
    else if (find_sums(a, node, sums)) made = real_value(a->to, sums);
    else return pass_copy_node(a->to, node, a->map, pass_absorb, unit, options);
    a->map[out->id] = made;
    if (made && out->name && node->op != OP_dequantize) graph_name(a->to, made, out->name);
    return made != NULL;
}

struct graph *pass_absorb(const struct graph *graph, struct arena *unit, const struct pass_options *options)
{
    struct absorption a = {.to = graph_like(graph, unit, graph->name), .map = NEW_ARRAY(unit, struct value *, graph->next_value + 1),
                           .view = NEW_ARRAY(unit, struct view, graph->next_value + 1), .sums = NEW_ARRAY(unit, struct sums, graph->next_value + 1)};
    bool *live = graph_live(graph, unit);
    for (int i = 0; i < graph->nodes.n; i++) {
        if (!live[i]) continue;
        graph_at(a.to, graph->nodes.at[i]);
        if (!convert(&a, graph->nodes.at[i], unit, options)) return NULL;
    }
    pass_copy_outputs(a.to, graph, a.map);
    return a.to;
}
