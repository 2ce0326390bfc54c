/* Weights alone as integers: the layers that gain, their integers and scales, and the graph.
 *
 *     y = matmul(x, w)   ->   y = matmul(x, dequantize(wq, s, 0))                                          8 bits, or one block
 *                             y = matmul(x, reshape(dequantize(wq[parts, part, n], s[parts, 1, n], 0)))    blocks of the sum
 *
 * Pass narrow reads such weights as they are where a product has few rows; a product of more is left float here, as are
 * convolutions. Numbers of 4 bits lie in an i8 each, from -8 to 7: no element type is needed for them, and pass narrow packs
 * what fits. 16-bit floats are quantize_half.c's. Eight bits are symmetric, the largest weight 127. With four, a block's weight of largest magnitude becomes -8
 * times a scale (of either sign, so that all sixteen numbers are used), or less of it where that loses less: of a few
 * such scales, the one with the least sum of squares of errors. */
#include "narrow_weight.h"
#include "quantize_weights.h"

#include <math.h>

/* What is written does not depend on the machine: vectors of AVX2 decide what gains. */
enum { LANES = 8, FMAS = 2, TRIED = 8 };
#define TRIED_STEP 0.04f

static float quantized(float v, float scale, float least, float most)
{
    float q = rintf(v / scale);
    return q < least ? least : q > most ? most : q;
}

/* Sum of squares of what n weights, n_apart elements from each other, lose. */
static double lost(const float *w, int64_t n, int64_t apart, float scale, float least, float most)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = (double)w[i * apart] - (double)(quantized(w[i * apart], scale, least, most) * scale);
        sum += d * d;
    }
    return sum;
}

static float scale_of(const float *w, int64_t n, int64_t apart, int bits)
{
    float far = 0, best;
    for (int64_t i = 0; i < n; i++)
        if (fabsf(w[i * apart]) > fabsf(far)) far = w[i * apart];
    if (fabsf(far) < 1e-30f) return 1;
    if (bits == 8) return fabsf(far) / 127;
    double least = INFINITY;
    best = far / -8;
    for (int i = 0; i < TRIED; i++) {
        float scale = far / -8 * (1 - TRIED_STEP * (float)i);
        double loses = lost(w, n, apart, scale, -8, 7);
        if (loses < least) least = loses, best = scale;
    }
    return best;
}

static void narrow_layer(const struct quantize_narrowing *narrowing, struct quantize_layer *layer, struct quantize_narrowed *to)
{
    struct arena *arena = narrowing->plan->arena;
    const float *w = value_const(layer->weights)->data;
    int64_t n = layer->channels, k = type_count(&layer->weights->type) / n;
    float most = narrowing->bits == 8 ? 127 : 7, least = narrowing->bits == 8 ? -127 : -8;
    to->part = narrowing->block && narrowing->block < k ? narrowing->block : k;
    to->parts = (k + to->part - 1) / to->part;
    to->q = NEW_ARRAY(arena, int8_t, to->parts * to->part * n);
    to->scale = NEW_ARRAY(arena, float, to->parts * n);
    for (int64_t h = 0; h < to->parts; h++)
        for (int64_t c = 0; c < n; c++) {
            int64_t first = h * to->part, rows = first + to->part > k ? k - first : to->part;
            const float *block = w + first * n + c;
            float scale = scale_of(block, rows, n, narrowing->bits);
            to->scale[h * n + c] = scale;
            for (int64_t i = 0; i < rows; i++) {
                to->q[(first + i) * n + c] = (int8_t)quantized(block[i * n], scale, least, most);
                layer->signal += (double)block[i * n] * (double)block[i * n];
            }
            layer->error += lost(block, rows, n, scale, least, most);
        }
}

static const char *refuse(const struct graph *graph, const struct quantize_layer *layer, int bits)
{
    if (layer->node->op == OP_conv) return "a convolution";
    double rows = narrow_rows(graph, &layer->node->in[0]->type);
    return narrow_pays(LANES, FMAS, rows, bits / 8.0) ? NULL : "many rows: arithmetic takes longer than reading weights";
}

struct quantize_narrowing *quantize_narrow(struct quantize_plan *plan, int bits, enum dtype half, int64_t block)
{
    struct quantize_narrowing *narrowing = NEW(plan->arena, struct quantize_narrowing);
    *narrowing = (struct quantize_narrowing){plan, bits, half, block, NEW_ARRAY(plan->arena, struct quantize_narrowed, plan->layers.n)};
    bool any = false;
    for (int i = 0; i < plan->layers.n; i++) {
        struct quantize_layer *layer = &plan->layers.at[i];
        if (!layer->why_float) layer->why_float = refuse(plan->graph, layer, bits);
        if (!layer->why_float && bits == 16) layer->why_float = quantize_half_layer(narrowing, layer, &narrowing->layers[i]);
        else if (!layer->why_float) narrow_layer(narrowing, layer, &narrowing->layers[i]);
        any |= !layer->why_float;
    }
    if (any) return narrowing;
    diag_error(plan->graph->diag, plan->graph->place, "has no matrix product that gains from weights of %d bits", bits);
    quantize_note_refused(plan);
    return NULL;
}

static struct value *constant_of(struct graph *to, enum dtype dt, int rank, const dim *dims, const void *data)
{
    struct type type = {.dt = dt, .rank = rank};
    for (int i = 0; i < rank; i++) type.dim[i] = dims[i];
    return graph_data(to, &type, data);
}

/* The layer's weights in the shape that its product wants. */
static struct value *weights_of(const struct quantize_narrowing *narrowing, struct graph *to, const struct quantize_layer *layer, const struct quantize_narrowed *from)
{
    if (from->half) return quantize_half_weights(narrowing, to, layer, from);
    const struct type *spread = &layer->node->in[1]->type;
    int64_t n = layer->channels, k = type_count(&layer->weights->type) / n;
    bool blocks = from->parts > 1;
    dim dims[] = {from->parts, from->part, n}, scales[] = {from->parts, 1, n}, rows[] = {from->parts * from->part, n};
    struct value *in[] = {
        constant_of(to, DT_i8, blocks ? 3 : 2, blocks ? dims : dims + 1, from->q),
        constant_of(to, DT_f32, blocks ? 3 : 1, blocks ? scales : scales + 2, from->scale),
        graph_int(to, DT_i8, 0),
    };
    struct value *w = graph_node(to, OP_dequantize, 3, in, 0, NULL);
    if (blocks) w = graph_reshape(to, w, 2, rows);
    if (rows[0] != k) w = graph_slice_axis(to, w, 0, 0, k);
    return graph_broadcast(to, w, spread->rank, spread->dim);
}

struct graph *quantize_narrow_rewrite(const struct quantize_narrowing *narrowing, struct arena *unit)
{
    const struct quantize_plan *plan = narrowing->plan;
    const struct graph *graph = plan->graph;
    struct graph *to = graph_like(graph, unit, graph->name);
    struct value **map = NEW_ARRAY(unit, struct value *, graph->next_value + 1);
    const struct quantize_layer **layer_of = NEW_ARRAY(unit, const struct quantize_layer *, graph->next_value + 1);
    bool *live = graph_live(graph, unit);
    for (int i = 0; i < plan->layers.n; i++)
        if (layer_is_bytes(&plan->layers.at[i])) layer_of[plan->layers.at[i].node->out[0].id] = &plan->layers.at[i];
    for (int i = 0; i < graph->nodes.n; i++) {
        const struct node *node = graph->nodes.at[i];
        const struct quantize_layer *layer = node->n_out ? layer_of[node->out[0].id] : NULL;
        if (!live[i]) continue;
        to->place = node->place;
        if (!layer) {
            if (!graph_copy_node(to, node, map)) return NULL;
            continue;
        }
        struct value *in[] = {map[node->in[0]->id], weights_of(narrowing, to, layer, &narrowing->layers[layer - plan->layers.at])};
        struct value *y = graph_node(to, node->op, 2, in, node->n_attrs, node->attrs);
        if (!y) return NULL;
        map[node->out[0].id] = node->out[0].name ? graph_name(to, y, node->out[0].name) : y;
    }
    to->place = graph->place;
    for (int i = 0; i < graph->outputs.n; i++) graph_output(to, graph->output_names.at[i], map[graph->outputs.at[i]->id]);
    return to;
}
