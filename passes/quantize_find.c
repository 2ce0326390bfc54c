/* What of a float graph can be bytes: its layers, and the values whose ranges are wanted. See quantize.h.
 *
 * A layer is a conv or matmul with constant weights, the bias added to it and the relu, max or min with a number that only
 * it leads to. Its left input is a point at the value behind reshapes, transposes and the like (they move bytes as well).
 * A point is wanted where a layer on bytes reads it; of an addition of two layers' results, which leads to bytes again, the
 * earlier one is wanted too, since the addition can be computed with only one of them. */
#include "quantize.h"

#include <math.h>

enum { NOTES_MOST = 5 };

/* Below this a layer's time is that of calling it. */
#define WORK_LEAST 20000.0

bool layer_is_bytes(const struct quantize_layer *layer)
{
    return layer->why_float == NULL;
}

double layer_loss(const struct quantize_layer *layer)
{
    return layer->signal > 0 ? sqrt(layer->error / layer->signal) : 0;
}

bool point_is_watched(const struct quantize_point *point)
{
    return point->value->node->op != OP_input && !value_const(point->value);
}

bool quantize_moves(const struct node *node)
{
    switch (node->op) {
    case OP_reshape: case OP_transpose: case OP_slice: case OP_repeat: case OP_pool_max: return true;
    default: return false;
    }
}

const struct value *quantize_source(const struct value *value)
{
    while (quantize_moves(value->node)) value = value->node->in[0];
    return value;
}

static int *count_uses(const struct graph *graph, struct arena *arena)
{
    int *uses = NEW_ARRAY(arena, int, graph->next_value + 1);
    bool *live = graph_live(graph, arena);
    for (int i = 0; i < graph->nodes.n; i++)
        for (int k = 0; live[i] && k < graph->nodes.at[i]->n_in; k++) uses[graph->nodes.at[i]->in[k]->id]++;
    for (int i = 0; i < graph->outputs.n; i++) uses[graph->outputs.at[i]->id]++;
    return uses;
}

/* By value id: the last node that reads it, which is the only one where it has one use. */
static const struct node **find_readers(const struct graph *graph, struct arena *arena)
{
    const struct node **reader = NEW_ARRAY(arena, const struct node *, graph->next_value + 1);
    bool *live = graph_live(graph, arena);
    for (int i = 0; i < graph->nodes.n; i++)
        for (int k = 0; live[i] && k < graph->nodes.at[i]->n_in; k++) reader[graph->nodes.at[i]->in[k]->id] = graph->nodes.at[i];
    return reader;
}

static const struct value *before_broadcast(const struct value *value)
{
    while (value->node->op == OP_broadcast) value = value->node->in[0];
    return value;
}

static int channel_axis(const struct quantize_layer *layer)
{
    return layer->node->op == OP_conv ? 1 : layer->node->out[0].type.rank - 1;
}

/* A constant with one number per output channel, or one for all. */
static const struct tensor *bias_of(const struct quantize_layer *layer, const struct value *operand)
{
    const struct value *source = before_broadcast(operand);
    const struct tensor *t = value_const(source);
    if (!t || t->is_dims || t->type.dt != DT_f32) return NULL;
    int64_t n = type_count(&t->type);
    int axis = channel_axis(layer) - (layer->node->out[0].type.rank - t->type.rank);
    bool one_each = axis >= 0 && n == layer->channels && t->type.dim[axis] == n;
    return n == 1 || one_each ? t : NULL;
}

/* relu, or max or min with a number. */
static bool is_bound(const struct node *node)
{
    double number;
    if (node->op == OP_relu) return true;
    if (node->op != OP_max && node->op != OP_min) return false;
    return value_number(before_broadcast(node->in[0]), &number) || value_number(before_broadcast(node->in[1]), &number);
}

static void follow(struct quantize_layer *layer, const int *uses, const struct node *const *reader)
{
    const struct value *at = &layer->node->out[0];
    const struct node *next = uses[at->id] == 1 ? reader[at->id] : NULL;
    if (next && next->op == OP_add) {
        layer->bias = bias_of(layer, next->in[next->in[0] == at]);
        if (layer->bias) layer->sum = next, at = &next->out[0];
        next = layer->bias && uses[at->id] == 1 ? reader[at->id] : NULL;
    }
    while (next && is_bound(next) && layer->n_chain < QUANTIZE_CHAIN_MOST) {
        layer->chain[layer->n_chain++] = next;
        at = &next->out[0];
        next = uses[at->id] == 1 ? reader[at->id] : NULL;
    }
    layer->result = at;
}

/* A dimension as in the first sample; without one, its least. */
static double extent_of(const struct graph *graph, const int64_t *symbols, dim d)
{
    return (double)(symbols ? dim_eval(graph->dims, d, symbols) : dim_lo(graph->dims, d));
}

static double work_of(const struct graph *graph, const int64_t *symbols, const struct node *node)
{
    double n = 1;
    const struct type *y = &node->out[0].type, *w = &node->in[1]->type;
    for (int i = 0; i < y->rank; i++) n *= extent_of(graph, symbols, y->dim[i]);
    if (node->op == OP_matmul) return n * extent_of(graph, symbols, w->dim[w->rank - 2]);
    for (int i = 1; i < w->rank; i++) n *= extent_of(graph, symbols, w->dim[i]);
    return n;
}

/* Why the product cannot be one of bytes; NULL: it can. */
static const char *refuse(const struct node *node)
{
    const struct type *w = &node->in[1]->type;
    const struct value *source = before_broadcast(node->in[1]);
    const struct tensor *t = value_const(source);
    int64_t group = node_int(node, "group", 1);
    if (node->out[0].type.dt != DT_f32) return "not in f32";
    if (!t || t->is_dims) return "its weights are not constants";
    if (value_const(quantize_source(node->in[0]))) return "its input is a constant";
    for (int i = 0; i < source->type.rank - 2 && node->op == OP_matmul; i++)
        if (source->type.dim[i] != 1) return "it has other weights for every batch";
    if (source->type.rank < 2 || (node->op == OP_conv && source != node->in[1])) return "its weights are no matrix";
    if (node->op == OP_conv && group > 1 && w->dim[1] != 1) return "a convolution in groups";
    if (type_count(&t->type) == 0) return "has no weights";
    return NULL;
}

static int add_point(struct quantize_plan *plan, const struct value *value)
{
    if (plan->point_of[value->id] < 0) {
        struct quantize_point point = {.value = value};
        plan->point_of[value->id] = plan->points.n;
        LIST_PUSH(plan->arena, &plan->points, point);
    }
    return plan->point_of[value->id];
}

static const char *name_of(struct arena *arena, const struct quantize_layer *layer)
{
    const struct node *parts[] = {layer->node, layer->sum, layer->n_chain ? layer->chain[layer->n_chain - 1] : NULL};
    for (int i = 0; i < 3; i++)
        if (parts[i] && parts[i]->out[0].name) return parts[i]->out[0].name;
    const struct place *place = &layer->node->place;
    if (place->path) return place->path;
    return arena_printf(arena, "%s%d", op_row(layer->node->op)->name, layer->node->id);
}

static void add_layer(struct quantize_plan *plan, const struct node *node, const int64_t *symbols, const int *uses, const struct node *const *reader)
{
    const struct type *w = &node->in[1]->type;
    struct quantize_layer layer = {.node = node, .why_float = refuse(node), .input = -1, .output = -1, .result = &node->out[0], .alone = -1,
                                   .weights = before_broadcast(node->in[1])};
    layer.work = work_of(plan->graph, symbols, node);
    if (!layer.why_float) {
        layer.channels = (int)w->dim[node->op == OP_conv ? 0 : w->rank - 1];
        follow(&layer, uses, reader);
        if (layer.work < WORK_LEAST && !plan->all) layer.why_float = "too little work to gain from bytes";
        else if (node->in[0]->node->op == OP_dilate && !plan->all) layer.why_float = "a transposed convolution: floats leave out the zeros between, integers would not";
    }
    layer.name = name_of(plan->arena, &layer);
    if (!layer.why_float) {
        layer.input = add_point(plan, quantize_source(node->in[0]));
        layer.output = add_point(plan, layer.result);
    }
    LIST_PUSH(plan->arena, &plan->layers, layer);
}

void quantize_note_refused(const struct quantize_plan *plan)
{
    for (int i = 0; i < plan->layers.n && i < NOTES_MOST; i++)
        diag_note(plan->graph->diag, plan->layers.at[i].node->place, "\"%s\": %s", plan->layers.at[i].name, plan->layers.at[i].why_float);
}

struct quantize_plan *quantize_find(const struct graph *graph, bool all, const int64_t *symbols, struct arena *arena)
{
    struct quantize_plan *plan = NEW(arena, struct quantize_plan);
    *plan = (struct quantize_plan){.graph = graph, .arena = arena, .all = all, .point_of = NEW_ARRAY(arena, int, graph->next_value + 1),
                                   .is_sum = NEW_ARRAY(arena, bool, graph->next_value + 1)};
    for (int i = 0; i <= graph->next_value; i++) plan->point_of[i] = -1;
    int *uses = count_uses(graph, arena);
    const struct node **reader = find_readers(graph, arena);
    bool *live = graph_live(graph, arena);
    for (int i = 0; i < graph->nodes.n; i++) {
        const struct node *node = graph->nodes.at[i];
        if (!live[i]) continue;
        if (node->op == OP_quantize || node->op == OP_dequantize) {
            diag_error(graph->diag, node->place, "the model is quantized already: it has operator %s", op_row(node->op)->name);
            return NULL;
        }
        if (node->op == OP_conv || node->op == OP_matmul) add_layer(plan, node, symbols, uses, reader);
    }
    for (int i = 0; i < plan->layers.n; i++)
        if (layer_is_bytes(&plan->layers.at[i])) return plan;
    diag_error(graph->diag, graph->place, "has no convolution or matrix product that can be one of bytes");
    quantize_note_refused(plan);
    return NULL;
}

/* A layer's result, or what is bytes already; -1: neither. */
static int sum_operand(const struct quantize_plan *plan, const struct value *value)
{
    int point = plan->point_of[quantize_source(value)->id];
    return point >= 0 && value->node->op != OP_input ? point : -1;
}

/* The addition of two such values that leads to bytes reads bytes: the earlier of the two, where neither is read elsewhere, as
 * the addition can be computed with only one of them. */
static void demand_sum(struct quantize_plan *plan, const struct value *result)
{
    const struct value *value = result;
    while (is_bound(value->node)) value = value->node->in[value_const(before_broadcast(value->node->in[0])) != NULL];
    if (value->node->op != OP_add) return;
    int a = sum_operand(plan, value->node->in[0]), b = sum_operand(plan, value->node->in[1]);
    if (a < 0 || b < 0) return;
    for (const struct value *v = result; v != value; v = v->node->in[value_const(before_broadcast(v->node->in[0])) != NULL]) plan->is_sum[v->id] = true;
    plan->is_sum[value->id] = true;
    if (plan->points.at[a].wanted || plan->points.at[b].wanted) return;
    bool first = plan->points.at[a].value->node->id < plan->points.at[b].value->node->id;
    plan->points.at[first ? a : b].wanted = true;
}

void quantize_demand(struct quantize_plan *plan)
{
    for (int i = 0; i < plan->points.n; i++) plan->points.at[i].wanted = false;
    for (int i = 0; i < plan->graph->next_value; i++) plan->is_sum[i] = false;
    for (int i = 0; i < plan->layers.n; i++)
        if (layer_is_bytes(&plan->layers.at[i])) plan->points.at[plan->layers.at[i].input].wanted = true;
    for (int i = 0; i < plan->layers.n; i++)
        if (layer_is_bytes(&plan->layers.at[i])) demand_sum(plan, plan->points.at[plan->layers.at[i].input].value);
}
