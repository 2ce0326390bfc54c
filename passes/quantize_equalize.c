/* Channels evened out before they become bytes, so that small ones keep more than a few steps of a scale that all share.
 *
 *     xq = quantize(x, s, z)         xq = quantize(x*f, s, z)            f: a number per channel
 *     y  = conv(xq.., w)       ->    y  = conv(xq.., w/f)
 *
 * With f = small^a / large^a, the channel's size by the power a, what was hard for the input becomes hard for the weights;
 * these have a scale for each output already, so a depthwise convolution pays nothing. How far to go, if at all, is tried for each
 * point (frontend/cmd_quantize.c). Behind a product of bytes the factors join its scale (pass absorb), in floats they are one
 * multiplication more. A point has channels where all of its readers on bytes see them along one axis, and no sum in bytes.
 * Sources: Nagel et al., Data-Free Quantization Through Weight Equalization (2019); Xiao et al., SmoothQuant (2023). */
#include "quantize.h"

#include <math.h>

/* Behind pooling of the largest, which keeps channels and the order of numbers times a positive one. */
static const struct value *behind_pooling(const struct value *value)
{
    while (value->node->op == OP_pool_max) value = value->node->in[0];
    return value;
}

static void meet_layer(const struct quantize_layer *layer, struct quantize_point *point)
{
    const struct value *in = layer->node->in[0];
    bool conv = layer->node->op == OP_conv;
    int axis = conv ? 1 : in->type.rank - 1;
    dim n = in->type.dim[axis];
    bool fits = (conv ? behind_pooling(in) : in) == point->value && dim_is_const(n) && n > 1 && (point->channels < 0 || point->axis == axis);
    point->axis = axis;
    point->channels = fits ? (int)n : 0;
}

void quantize_channels(struct quantize_plan *plan)
{
    quantize_demand(plan);
    bool *live = graph_live(plan->graph, plan->arena), *met = NEW_ARRAY(plan->arena, bool, plan->points.n);
    for (int i = 0; i < plan->points.n; i++) plan->points.at[i].channels = -1;
    for (int i = 0; i < plan->layers.n; i++) {
        const struct quantize_layer *layer = &plan->layers.at[i];
        if (!layer_is_bytes(layer) || (met[layer->input] && plan->points.at[layer->input].channels == 0)) continue;
        met[layer->input] = true;
        meet_layer(layer, &plan->points.at[layer->input]);
    }
    for (int i = 0; i < plan->graph->nodes.n; i++) {
        const struct node *node = plan->graph->nodes.at[i];
        if (!live[i] || node->n_out != 1 || !plan->is_sum[node->out[0].id]) continue;
        for (int k = 0; k < node->n_in; k++) {
            int read = plan->point_of[quantize_source(node->in[k])->id];
            if (read >= 0) plan->points.at[read].channels = 0;
        }
    }
    for (int i = 0; i < plan->points.n; i++) {
        struct quantize_point *point = &plan->points.at[i];
        if (point->channels < 0) point->channels = 0;
        point->channel_low = NEW_ARRAY(plan->arena, double, point->channels + 1);
        point->channel_high = NEW_ARRAY(plan->arena, double, point->channels + 1);
    }
}

/* The input's channel that element k of an output's n weights goes with. */
static int64_t input_channel(const struct quantize_layer *layer, int channels, int64_t n, int64_t c, int64_t k)
{
    if (layer->node->op == OP_matmul) return k;
    int64_t group = node_int(layer->node, "group", 1);
    return group > 1 ? c / (layer->channels / group) : k / (n / channels);
}

/* Every channel's largest weight in the layer, by the largest of the output that it is for. */
static void see_weights(const struct quantize_layer *layer, int channels, double *most)
{
    int64_t n = type_count(&layer->weights->type) / layer->channels;
    const float *w = value_const(layer->weights)->data;
    for (int64_t c = 0; c < layer->channels; c++) {
        float all = 0;
        for (int64_t k = 0; k < n; k++) all = fmaxf(all, fabsf(w[quantize_weight_at(layer, n, c, k)]));
        for (int64_t k = 0; k < n && all > 0; k++) {
            double part = (double)(fabsf(w[quantize_weight_at(layer, n, c, k)]) / all);
            int64_t from = input_channel(layer, channels, n, c, k);
            most[from] = fmax(most[from], part);
        }
    }
}

static const float *weights_over(struct arena *arena, const struct quantize_layer *layer, const struct quantize_point *point)
{
    int64_t n = type_count(&layer->weights->type) / layer->channels;
    const float *w = value_const(layer->weights)->data;
    float *over = NEW_ARRAY(arena, float, n * layer->channels);
    for (int64_t c = 0; c < layer->channels; c++)
        for (int64_t k = 0; k < n; k++) {
            int64_t at = quantize_weight_at(layer, n, c, k);
            over[at] = w[at] / point->factor[input_channel(layer, point->channels, n, c, k)];
        }
    return over;
}

/* Channels of which nothing was seen: as far from their weights' bounds as the others at most. */
static void fill_unseen(const double *most, double *size, int channels, double largest)
{
    double weights = 0;
    for (int c = 0; c < channels; c++) weights = fmax(weights, most[c] * size[c]);
    for (int c = 0; c < channels; c++)
        if (size[c] <= 0) size[c] = most[c] > 0 ? fmin(largest, weights / most[c]) : largest;
}

static float *find_factors(const struct quantize_plan *plan, const struct quantize_point *point, double power)
{
    double *size = NEW_ARRAY(plan->arena, double, point->channels), *most = NEW_ARRAY(plan->arena, double, point->channels), largest = 0;
    float *factor = NEW_ARRAY(plan->arena, float, point->channels);
    for (int i = 0; i < plan->layers.n; i++) {
        const struct quantize_layer *layer = &plan->layers.at[i];
        if (layer_is_bytes(layer) && &plan->points.at[layer->input] == point) see_weights(layer, point->channels, most);
    }
    for (int c = 0; c < point->channels; c++) {
        double seen = fmax(-point->channel_low[c], point->channel_high[c]);
        size[c] = seen > 0 && most[c] > 0 ? pow(seen, power) / pow(most[c], 1 - power) : 0;
        largest = fmax(largest, size[c]);
    }
    if (!(largest > 0)) return NULL;
    fill_unseen(most, size, point->channels, largest);
    for (int c = 0; c < point->channels; c++) factor[c] = (float)(largest / fmax(size[c], 1e-6 * largest));
    return factor;
}

void quantize_equalize(struct quantize_plan *plan, double power)
{
    for (int i = 0; i < plan->points.n; i++) {
        struct quantize_point *point = &plan->points.at[i];
        if (!point->channels) continue;
        point->factor = power > 0 ? find_factors(plan, point, power) : NULL;
        point->low = point->high = 0;
        for (int c = 0; c < point->channels; c++) {
            double factor = point->factor ? (double)point->factor[c] : 1;
            point->low = fmin(point->low, point->channel_low[c] * factor);
            point->high = fmax(point->high, point->channel_high[c] * factor);
        }
    }
    for (int i = 0; i < plan->layers.n; i++) {
        struct quantize_layer *layer = &plan->layers.at[i];
        if (!layer_is_bytes(layer)) continue;
        const struct quantize_point *point = &plan->points.at[layer->input];
        layer->numbers = point->factor ? weights_over(plan->arena, layer, point) : value_const(layer->weights)->data;
    }
}
