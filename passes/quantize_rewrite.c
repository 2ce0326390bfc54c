/* The graphs of quantization: the float one with more outputs, and the quantized one. See quantize.h.
 *
 *     y = relu(conv(x, w) + b)      xq = quantize(x, sx, zx)
 *                              ->   y = relu(conv(dequantize(xq, sx, zx), dequantize(wq, sw, 0)) + dequantize(bq, sx*sw, 0))
 *
 * wq is i8, symmetric, with a scale for each output channel; bq is i32. Where y is read by a layer on bytes, or by a sum that
 * leads to one, it is quantized and dequantized for these; all others, and the model's outputs, get the floats. Pass absorb
 * makes integers of that. */
#include "quantize.h"

#include <math.h>

struct rewriting {
    struct quantize_plan *plan;
    struct graph *to;
    struct value **map;   /* float id -> what is computed with bytes reads: dequantized where it is quantized */
    struct value **exact; /* float id -> what everything else reads */
    const struct quantize_layer **layer_of; /* float id of a product, or of its sum */
};

static struct value *constant(struct graph *to, enum dtype dt, int rank, const dim *dims, const void *data)
{
    struct type type = {.dt = dt, .rank = rank};
    for (int i = 0; i < rank; i++) type.dim[i] = dims[i];
    return graph_data(to, &type, data);
}

static struct value *times_factors(struct graph *to, struct value *x, const struct quantize_point *point)
{
    dim dims[RANK_MOST] = {point->channels};
    int rank = x->type.rank - point->axis;
    for (int i = 1; i < rank; i++) dims[i] = 1;
    return graph_binary(to, OP_mul, x, constant(to, DT_f32, rank, dims, point->factor));
}

static struct value *pair(struct graph *to, struct value *x, const struct quantize_point *point)
{
    if (point->factor) x = times_factors(to, x, point);
    struct value *scale = graph_scalar(to, DT_f32, (double)point->scale), *zero = graph_scalar(to, DT_u8, point->zero);
    struct value *q = graph_node(to, OP_quantize, 3, (struct value *[]){x, scale, zero}, 0, NULL);
    return graph_node(to, OP_dequantize, 3, (struct value *[]){q, scale, zero}, 0, NULL);
}

int64_t quantize_weight_at(const struct quantize_layer *layer, int64_t n, int64_t c, int64_t k)
{
    return layer->node->op == OP_conv ? c * n + k : k * layer->channels + c;
}

/* The bias with what quantization would shift it by, in floats; 0 where the layer has neither. */
static double bias_number(const struct quantize_layer *layer, int c)
{
    double bias = 0;
    if (layer->bias) bias = (double)((const float *)layer->bias->data)[type_count(&layer->bias->type) == 1 ? 0 : c];
    return bias + (layer->correction ? layer->correction[c] : 0);
}

/* One scale per channel: the largest weight becomes 127, but that the bias in steps of it must fit 30 bits. */
static float *weight_scales(const struct rewriting *r, const struct quantize_layer *layer)
{
    float *scales = NEW_ARRAY(r->to->session, float, layer->channels);
    const struct tensor *w = value_const(layer->weights);
    int64_t n = type_count(&w->type) / layer->channels;
    double input = (double)r->plan->points.at[layer->input].scale;
    for (int c = 0; c < layer->channels; c++) {
        float most = 0;
        for (int64_t k = 0; k < n; k++) most = fmaxf(most, fabsf(layer->numbers[quantize_weight_at(layer, n, c, k)]));
        double scale = fmax((double)most / 127, fabs(bias_number(layer, c)) / input / 0x1p30);
        scales[c] = scale > 1e-30 ? (float)scale : 1;
    }
    return scales;
}

static struct value *quantized_weights(const struct rewriting *r, const struct quantize_layer *layer, const float *scales)
{
    struct graph *to = r->to;
    const struct tensor *w = value_const(layer->weights);
    const struct type *type = &layer->weights->type, *spread = &layer->node->in[1]->type;
    int64_t n = type_count(&w->type) / layer->channels;
    int8_t *q = NEW_ARRAY(to->session, int8_t, type_count(&w->type));
    for (int c = 0; c < layer->channels; c++)
        for (int64_t k = 0; k < n; k++) {
            int64_t at = quantize_weight_at(layer, n, c, k);
            float v = rintf(layer->numbers[at] / scales[c]);
            q[at] = (int8_t)(v < -127 ? -127 : v > 127 ? 127 : v);
        }
    dim shape[RANK_MOST] = {layer->channels};
    bool conv = layer->node->op == OP_conv;
    for (int i = 1; i < type->rank; i++) shape[i] = 1;
    struct value *in[] = {
        constant(to, DT_i8, type->rank, type->dim, q),
        constant(to, DT_f32, conv ? type->rank : 1, shape, scales),
        graph_int(to, DT_i8, 0),
    };
    return graph_broadcast(to, graph_node(to, OP_dequantize, 3, in, 0, NULL), spread->rank, spread->dim);
}

static struct value *quantized_bias(const struct rewriting *r, const struct quantize_layer *layer, const float *scales)
{
    struct graph *to = r->to;
    int32_t *q = NEW_ARRAY(to->session, int32_t, layer->channels);
    float *steps = NEW_ARRAY(to->session, float, layer->channels);
    for (int c = 0; c < layer->channels; c++) {
        steps[c] = r->plan->points.at[layer->input].scale * scales[c];
        q[c] = (int32_t)rint(bias_number(layer, c) / (double)steps[c]);
    }
    dim shape[RANK_MOST] = {layer->channels};
    int rank = layer->node->op == OP_conv ? layer->node->out[0].type.rank - 1 : 1;
    for (int i = 1; i < rank; i++) shape[i] = 1;
    struct value *in[] = {
        constant(to, DT_i32, rank, shape, q),
        constant(to, DT_f32, rank, shape, steps),
        graph_int(to, DT_i32, 0),
    };
    return graph_node(to, OP_dequantize, 3, in, 0, NULL);
}

/* The layer's product and sum on x, which is dequantized; *product is the sum without the bias. */
static struct value *layer_sum(const struct rewriting *r, const struct quantize_layer *layer, struct value *x, struct value **product)
{
    const float *scales = weight_scales(r, layer);
    struct value *in[] = {x, quantized_weights(r, layer, scales)};
    *product = graph_node(r->to, layer->node->op, 2, in, layer->node->n_attrs, layer->node->attrs);
    if (!layer->bias && !layer->correction) return *product;
    return graph_binary(r->to, OP_add, *product, quantized_bias(r, layer, scales));
}

/* What bounds the layer's result, on y. */
static struct value *bounded(const struct rewriting *r, const struct quantize_layer *layer, struct value *y)
{
    const struct value *before = layer->sum ? &layer->sum->out[0] : &layer->node->out[0];
    for (int i = 0; i < layer->n_chain; i++) {
        const struct node *node = layer->chain[i];
        struct value *in[2] = {y, NULL};
        for (int k = 0; k < node->n_in; k++) in[k] = node->in[k] == before ? y : r->map[node->in[k]->id];
        y = graph_node(r->to, node->op, node->n_in, in, node->n_attrs, node->attrs);
        before = &node->out[0];
    }
    return y;
}

static struct rewriting start(struct quantize_plan *plan, struct arena *unit)
{
    const struct graph *graph = plan->graph;
    struct rewriting r = {
        .plan = plan,
        .to = graph_like(graph, unit, graph->name),
        .map = NEW_ARRAY(unit, struct value *, graph->next_value + 1),
        .exact = NEW_ARRAY(unit, struct value *, graph->next_value + 1),
        .layer_of = NEW_ARRAY(unit, const struct quantize_layer *, graph->next_value + 1),
    };
    for (int i = 0; i < plan->layers.n; i++) {
        const struct quantize_layer *layer = &plan->layers.at[i];
        if (layer_is_bytes(layer)) r.layer_of[layer->node->out[0].id] = layer;
    }
    return r;
}

static void copy_outputs(const struct rewriting *r, struct value *const *map)
{
    const struct graph *graph = r->plan->graph;
    r->to->place = graph->place;
    for (int i = 0; i < graph->outputs.n; i++) graph_output(r->to, graph->output_names.at[i], map[graph->outputs.at[i]->id]);
}

struct graph *quantize_watch(const struct quantize_plan *plan, struct arena *unit)
{
    const struct graph *graph = plan->graph;
    struct graph *to = graph_like(graph, unit, graph->name);
    struct value **map = NEW_ARRAY(unit, struct value *, graph->next_value + 1);
    bool *live = graph_live(graph, unit);
    for (int i = 0; i < graph->nodes.n; i++)
        if (live[i] && !graph_copy_node(to, graph->nodes.at[i], map)) return NULL;
    for (int i = 0; i < graph->outputs.n; i++) graph_output(to, graph->output_names.at[i], map[graph->outputs.at[i]->id]);
    for (int i = 0; i < plan->points.n; i++) {
        const struct quantize_point *point = &plan->points.at[i];
        if (point_is_watched(point)) graph_output(to, arena_printf(unit, "point %d", i), map[point->value->id]);
    }
    return to;
}

static struct value *sum_all(struct graph *to, enum op op, struct value *x, int but)
{
    int64_t axes[RANK_MOST];
    int n = 0;
    for (int i = 0; i < x->type.rank; i++)
        if (i != but) axes[n++] = i;
    return graph_node(to, op, 1, &x, 1, (struct attr[]){ATTR_L("axes", axes, n)});
}

static void local_outputs(struct rewriting *r, const struct quantize_layer *layer)
{
    struct graph *to = r->to;
    struct value *product, *x = pair(to, r->map[layer->node->in[0]->id], &r->plan->points.at[layer->input]);
    struct value *y = bounded(r, layer, layer_sum(r, layer, x, &product)), *exact = r->map[layer->result->id];
    struct value *lost = graph_binary(to, OP_sub, r->map[layer->node->out[0].id], product);
    int axis = layer->node->op == OP_conv ? 1 : lost->type.rank - 1;
    graph_output(to, "error", sum_all(to, OP_sum_square, graph_binary(to, OP_sub, y, exact), -1));
    graph_output(to, "signal", sum_all(to, OP_sum_square, exact, -1));
    graph_output(to, "lost", sum_all(to, OP_sum, lost, axis));
}

struct graph *quantize_local(struct quantize_plan *plan, struct arena *unit)
{
    struct rewriting r = start(plan, unit);
    bool *live = graph_live(plan->graph, unit);
    for (int i = 0; i < plan->graph->nodes.n; i++)
        if (live[i] && !graph_copy_node(r.to, plan->graph->nodes.at[i], r.map)) return NULL;
    for (int i = 0; i < plan->layers.n; i++)
        if (layer_is_bytes(&plan->layers.at[i])) local_outputs(&r, &plan->layers.at[i]);
    for (int i = 0; i < r.to->outputs.n; i++)
        if (!r.to->outputs.at[i]) return NULL;
    return r.to;
}

/* Floats where the switch is 0, and the layer on bytes where it is 1. */
static struct value *switched(struct rewriting *r, const struct quantize_layer *layer, struct value *on)
{
    struct graph *to = r->to;
    struct value *product, *x = pair(to, r->map[layer->node->in[0]->id], &r->plan->points.at[layer->input]);
    struct value *exact = r->map[layer->result->id], *y = bounded(r, layer, layer_sum(r, layer, x, &product));
    return graph_binary(to, OP_add, exact, graph_binary(to, OP_mul, on, graph_binary(to, OP_sub, y, exact)));
}

struct graph *quantize_switch(struct quantize_plan *plan, struct arena *unit)
{
    struct rewriting r = start(plan, unit);
    const struct graph *graph = plan->graph;
    const struct type scalar = {.dt = DT_f32};
    bool *live = graph_live(graph, unit);
    const struct quantize_layer **ends = NEW_ARRAY(unit, const struct quantize_layer *, graph->next_value + 1);
    struct value **on = NEW_ARRAY(unit, struct value *, plan->layers.n + 1);
    for (int i = 0; i < graph->inputs.n; i++) r.map[graph->inputs.at[i]->id] = graph_input(r.to, graph->inputs.at[i]->name, &graph->inputs.at[i]->type);
    for (int i = 0; i < plan->layers.n; i++) {
        on[i] = graph_input(r.to, arena_printf(unit, "layer %d", i), &scalar);
        if (layer_is_bytes(&plan->layers.at[i])) ends[plan->layers.at[i].result->id] = &plan->layers.at[i];
    }
    for (int i = 0; i < graph->nodes.n; i++) {
        const struct node *node = graph->nodes.at[i];
        if (!live[i] || node->op == OP_input) continue;
        if (!graph_copy_node(r.to, node, r.map)) return NULL;
        const struct quantize_layer *layer = node->n_out ? ends[node->out[0].id] : NULL;
        if (layer) r.map[node->out[0].id] = switched(&r, layer, on[layer - plan->layers.at]);
        if (layer && !r.map[node->out[0].id]) return NULL;
    }
    copy_outputs(&r, r.map);
    return r.to;
}

/* The node in the quantized graph, for both kinds of readers; false after an error. */
static bool convert(struct rewriting *r, const struct node *node)
{
    const struct quantize_layer *layer = node->n_out ? r->layer_of[node->out[0].id] : NULL;
    if (layer) {
        struct value *product, *y = layer_sum(r, layer, r->map[node->in[0]->id], &product);
        const struct node *sum = layer->sum ? layer->sum : node;
        if (y && sum->out[0].name) graph_name(r->to, y, sum->out[0].name);
        r->map[sum->out[0].id] = r->exact[sum->out[0].id] = r->exact[node->out[0].id] = y;
        return y != NULL;
    }
    bool sum = node->n_out == 1 && r->plan->is_sum[node->out[0].id];
    if (!graph_copy_node(r->to, node, sum ? r->map : r->exact)) return false;
    if (sum) {
        r->exact[node->out[0].id] = r->map[node->out[0].id];
        return true;
    }
    for (int k = 0; k < node->n_out; k++) r->map[node->out[k].id] = r->exact[node->out[k].id];
    bool both = quantize_moves(node) && r->map[node->in[0]->id] != r->exact[node->in[0]->id];
    return !both || graph_copy_node(r->to, node, r->map);
}

struct graph *quantize_rewrite(struct quantize_plan *plan, struct arena *unit)
{
    struct rewriting r = start(plan, unit);
    bool *live = graph_live(plan->graph, unit);
    quantize_demand(plan);
    for (int i = 0; i < plan->graph->nodes.n; i++) {
        const struct node *node = plan->graph->nodes.at[i];
        if (!live[i]) continue;
        r.to->place = node->place;
        bool done = node->n_out && r.exact[node->out[0].id]; /* a sum, with its product */
        if (!done && !convert(&r, node)) return NULL;
        for (int k = 0; k < node->n_out; k++) {
            int id = node->out[k].id, point = plan->point_of[id];
            if (point < 0 || !plan->points.at[point].wanted) continue;
            r.map[id] = pair(r.to, r.exact[id], &plan->points.at[point]);
        }
    }
    copy_outputs(&r, r.exact);
    return r.to;
}
