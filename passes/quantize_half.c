/* Weights alone as 16-bit floats, for the layers whose products have few rows: twice as fast as their weights come from memory.
 *
 *     y = matmul(x, w)   ->   y = matmul(x, widen(wh))      wh: f16 or bf16, rounded to nearest
 *
 * No scale and no samples. A layer with weights beyond what f16 holds (65504) stays float; what lies below its least numbers rounds
 * to 0, which the layer's loss counts. Pass narrow reads such weights as they are. */
#include "quantize_weights.h"

#include <math.h>

static uint16_t rounded(enum dtype half, float v)
{
    return half == DT_f16 ? f16_from_float(v) : bf16_from_float(v);
}

static float number_of(enum dtype half, uint16_t bits)
{
    return half == DT_f16 ? f16_to_float(bits) : bf16_to_float(bits);
}

const char *quantize_half_layer(const struct quantize_narrowing *narrowing, struct quantize_layer *layer, struct quantize_narrowed *to)
{
    int64_t count = type_count(&layer->weights->type);
    const float *w = value_const(layer->weights)->data;
    to->half = NEW_ARRAY(narrowing->plan->arena, uint16_t, count);
    to->parts = 1;
    to->part = count / layer->channels;
    for (int64_t i = 0; i < count; i++) {
        to->half[i] = rounded(narrowing->half, w[i]);
        float v = number_of(narrowing->half, to->half[i]);
        if (isfinite(w[i]) && !isfinite(v)) return "weights beyond what 16 bits hold";
        layer->signal += (double)w[i] * (double)w[i];
        layer->error += ((double)w[i] - (double)v) * ((double)w[i] - (double)v);
    }
    return NULL;
}

struct value *quantize_half_weights(const struct quantize_narrowing *narrowing, struct graph *to, const struct quantize_layer *layer, const struct quantize_narrowed *from)
{
    struct type type = layer->weights->type;
    const struct type *spread = &layer->node->in[1]->type;
    type.dt = narrowing->half;
    struct value *w = graph_data(to, &type, from->half);
    return graph_broadcast(to, graph_node(to, OP_widen, 1, &w, 0, NULL), spread->rank, spread->dim);
}
