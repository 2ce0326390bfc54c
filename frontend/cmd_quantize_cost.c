/* tenon quantize: which layers are faster on bytes on the CPU that the model is for; the others stay float.
 *
 * The model is compiled for that CPU, up to code, in floats and on bytes, and both programs are priced call by call
 * (passes/estimate.h): a function of the model and the CPU alone. Main's calls are shared out among layers by the node that
 * each is for: a layer has its own and all up to the next layer's. Layers that gain nothing go back to float together, and the rest
 * is priced again, as conversions between floats and bytes now stand elsewhere; then those that gain little are tried
 * without, one by one, by the whole model's price. Where what is best gains next to nothing, all stay float.
 */
#include "../passes/estimate.h"
#include "cmd_quantize_inside.h"

#include <string.h>

enum { ROUNDS_MOST = 6, TRIES_MOST = 24 };
#define GAIN_LEAST 0.97   /* of a layer's cycles in floats: more gains nothing */
#define GAIN_DOUBTFUL 0.8 /* more is tried without */
#define GAIN_WHOLE 0.97   /* of the model's cycles: more is not worth the loss */

struct price {
    double whole;
    double *layer; /* cycles of a run, by layer of the plan */
};
struct pricing {
    struct quantization *q;
    struct options options; /* for the CPU */
    const int64_t *symbols;
    const char *why;        /* what does not pay */
    struct price exact, best;
    bool *on;               /* by layer: the cheapest found */
};

static bool place_equal(const struct place *a, const struct place *b)
{
    bool path = a->path == b->path || (a->path && b->path && !strcmp(a->path, b->path));
    return path && a->source == b->source && a->line == b->line && a->column == b->column;
}

/* The last layer that begins no later than the last node with this place; -1: before all layers, or unknown. */
static int layer_at(const struct quantize_plan *plan, const struct place *place)
{
    int i = plan->graph->nodes.n - 1, layer = plan->layers.n - 1;
    while (i >= 0 && !place_equal(&plan->graph->nodes.at[i]->place, place)) i--;
    while (layer >= 0 && (i < 0 || plan->layers.at[layer].node->id > plan->graph->nodes.at[i]->id)) layer--;
    return layer;
}

static bool price_graph(const struct pricing *pricing, struct graph *graph, struct arena *unit, struct price *price)
{
    struct quantization *q = pricing->q;
    struct unit made = {.graph = graph};
    int n = 0;
    *price = (struct price){.layer = NEW_ARRAY(q->session->arena, double, q->plan->layers.n + 1)};
    if (!graph || !model_lower(q->session, &pricing->options, unit, &made)) return false;
    const struct stmt **calls = prog_calls(made.prog, unit, &n);
    double *cycles = NEW_ARRAY(unit, double, n + 1);
    price->whole = estimate_cycles(made.prog, q->cpu, pricing->symbols, unit, cycles);
    for (int i = 0; i < n; i++) {
        int layer = layer_at(q->plan, &calls[i]->place);
        if (layer >= 0) price->layer[layer] += cycles[i];
    }
    return true;
}

/* The price of the model with these layers on bytes. */
static bool price_layers(const struct pricing *pricing, const bool *on, struct price *price)
{
    struct quantize_plan *plan = pricing->q->plan;
    struct arena *unit = arena_new();
    for (int i = 0; i < plan->layers.n; i++)
        if (pricing->on[i] || on[i]) plan->layers.at[i].why_float = on[i] ? NULL : pricing->why;
    bool ok = price_graph(pricing, quantize_model(pricing->q, unit), unit, price);
    arena_free(unit);
    return ok;
}

static bool any_layer(const struct quantize_plan *plan, const bool *on)
{
    for (int i = 0; i < plan->layers.n; i++)
        if (on[i]) return true;
    return false;
}

/* Without all layers that gain nothing, again and again. */
static bool drop_slow(struct pricing *pricing)
{
    int n = pricing->q->plan->layers.n;
    bool *on = arena_copy(pricing->q->session->arena, pricing->on, (size_t)n * sizeof *on);
    struct price now = pricing->best;
    for (int round = 0; round < ROUNDS_MOST; round++) {
        bool dropped = false;
        for (int i = 0; i < n; i++)
            if (on[i] && now.layer[i] > GAIN_LEAST * pricing->exact.layer[i]) on[i] = false, dropped = true;
        if (!dropped || !any_layer(pricing->q->plan, on)) break;
        if (!price_layers(pricing, on, &now)) return false;
        if (now.whole >= pricing->best.whole) continue;
        pricing->best = now;
        memcpy(pricing->on, on, (size_t)n * sizeof *on);
    }
    return true;
}

/* Without each of the layers that gain little, while that makes the whole cheaper. */
static bool try_without(struct pricing *pricing)
{
    struct quantization *q = pricing->q;
    int n = q->plan->layers.n, tries = 0;
    for (int i = n - 1; i >= 0 && tries < TRIES_MOST; i--) {
        if (!pricing->on[i] || pricing->best.layer[i] <= GAIN_DOUBTFUL * pricing->exact.layer[i]) continue;
        bool *on = arena_copy(q->session->arena, pricing->on, (size_t)n * sizeof *on);
        struct price now;
        on[i] = false;
        tries++;
        progress_show(q->session, "cost: layer %d of %d", i + 1, n);
        if (!price_layers(pricing, on, &now)) return false;
        if (now.whole < pricing->best.whole) pricing->best = now, pricing->on[i] = false;
    }
    return true;
}

bool quantize_leave_slow(struct quantization *q)
{
    struct quantize_plan *plan = q->plan;
    struct pricing pricing = {.q = q, .options = q->options, .on = NEW_ARRAY(q->session->arena, bool, plan->layers.n + 1),
                              .symbols = q->samples.list.at[0].symbols, .why = arena_printf(q->session->arena, "int8 does not pay on %s", q->cpu->name)};
    pricing.options.pipeline.pass.target = q->cpu;
    pricing.options.threads = pricing.options.pipeline.pass.threads = 1;
    for (int i = 0; i < plan->layers.n; i++) pricing.on[i] = layer_is_bytes(&plan->layers.at[i]);
    struct arena *unit = arena_new();
    progress_show(q->session, "cost: in floats and on bytes");
    bool ok = price_graph(&pricing, q->graph, unit, &pricing.exact);
    arena_free(unit);
    bool *on = arena_copy(q->session->arena, pricing.on, (size_t)(plan->layers.n + 1) * sizeof *on);
    if (!ok || !price_layers(&pricing, on, &pricing.best) || !drop_slow(&pricing) || !try_without(&pricing)) return false;
    bool pays = pricing.best.whole <= GAIN_WHOLE * pricing.exact.whole;
    for (int i = 0; i < plan->layers.n; i++) {
        struct quantize_layer *layer = &plan->layers.at[i];
        if (!on[i]) continue;
        layer->why_float = pays && pricing.on[i] ? NULL : pricing.why;
        layer->cycles_float = pricing.exact.layer[i];
        layer->cycles_bytes = pricing.on[i] ? pricing.best.layer[i] : 0;
    }
    q->cycles_float = pricing.exact.whole;
    q->cycles = pays ? pricing.best.whole : pricing.exact.whole;
    quantize_order(q);
    return true;
}
