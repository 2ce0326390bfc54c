/* tenon quantize: the whole model's loss on the samples held back, and which layers have to be float for the bound on it.
 *
 * Where the loss is above the bound, every layer is tried alone on bytes in the float model, and the layers that cost it most go
 * back to float, as few as suffice: 1, 2, 4 ... until the bound holds, then by halving. See cmd_quantize_inside.h.
 */
#include "cmd_quantize_inside.h"

#include <math.h>
#include <string.h>

static bool is_held_back(const struct quantization *q, int sample)
{
    return q->narrowing || q->samples.list.n == 1 || sample % 2 == 1; /* only ranges want samples of their own */
}

static bool see_loss(struct quantization *q, int sample, const struct tensor *out)
{
    const int64_t *labels = q->labels.at ? q->labels.at + q->label_at[sample] : NULL;
    for (int k = 0; k < q->graph->outputs.n; k++) loss_add(&q->measured, &out[k], &q->answers[sample][k], k == 0, labels);
    return true;
}

/* The graph's loss on the samples held back; below zero after a message. */
static double measure(struct quantization *q, struct graph *graph, struct arena *unit)
{
    int n_out = 0;
    struct engine_run *run = quantize_compile(q, graph, unit, &n_out);
    q->measured = (struct loss){0};
    bool ok = run && quantize_run(q, run, n_out, "loss", is_held_back, see_loss);
    if (run) engine_close(run);
    return ok ? loss_number(&q->measured, q->options.metric) : -1;
}

struct graph *quantize_model(struct quantization *q, struct arena *unit)
{
    return q->narrowing ? quantize_narrow_rewrite(q->narrowing, unit) : quantize_rewrite(q->plan, unit);
}

/* The loss of the plan as it is. */
static double loss_now(struct quantization *q)
{
    struct arena *unit = arena_new();
    double loss = measure(q, quantize_model(q, unit), unit);
    arena_free(unit);
    return loss;
}

/* The loss with the n layers that lose most in float. */
static double loss_without(struct quantization *q, int n)
{
    for (int i = 0; i < q->n_order; i++)
        q->plan->layers.at[q->order[i]].why_float = i < n ? "loses most: float for the bound on the loss" : NULL;
    return loss_now(q);
}

/* The outputs' error in one run with only this layer on bytes. */
static bool add_alone(struct quantization *q, struct engine_run *run, int layer, int sample, struct loss *loss)
{
    int n_in = q->graph->inputs.n, n_layers = q->plan->layers.n, n_out = q->graph->outputs.n;
    struct arena *scratch = arena_new();
    struct tensor *in = NEW_ARRAY(scratch, struct tensor, n_in + n_layers), *out = NEW_ARRAY(scratch, struct tensor, n_out);
    float *on = NEW_ARRAY(scratch, float, n_layers);
    on[layer] = 1;
    memcpy(in, q->samples.list.at[sample].in, (size_t)n_in * sizeof *in);
    for (int i = 0; i < n_layers; i++) in[n_in + i] = (struct tensor){.type = {.dt = DT_f32}, .data = &on[i], .n_bytes = sizeof *on};
    bool ok = engine_call(q->session, run, in, q->samples.list.at[sample].symbols, scratch, out);
    for (int k = 0; k < n_out && ok; k++) loss_add(loss, &out[k], &q->answers[sample][k], k == 0, NULL);
    arena_free(scratch);
    return ok;
}

/* What each layer alone costs the whole model, on some samples of the ranges; then the order is by that. */
static bool measure_alone(struct quantization *q)
{
    struct arena *unit = arena_new();
    int n_out = 0;
    struct engine_run *run = quantize_compile(q, quantize_switch(q->plan, unit), unit, &n_out);
    bool ok = run != NULL;
    for (int i = 0; i < q->n_order && ok; i++) {
        struct loss loss = {0};
        progress_show(q->session, "one layer in bytes: %d of %d", i + 1, q->n_order);
        for (int s = 0; s < q->samples.list.n && !loss_is_enough(&loss, q->options.metric) && ok; s++)
            if (quantize_is_for_ranges(q, s)) ok = add_alone(q, run, q->order[i], s, &loss);
        q->plan->layers.at[q->order[i]].alone = loss_risk(&loss, q->options.metric);
    }
    if (run) engine_close(run);
    arena_free(unit);
    if (ok) quantize_order(q);
    return ok;
}

bool quantize_meet_bound(struct quantization *q, double bound)
{
    int low = 0, high = 1; /* low: too few in float; high: enough */
    double loss = q->loss_all = q->loss = loss_without(q, 0), least = loss;
    if (loss < 0) return false;
    if (loss <= bound) return true;
    if (!q->narrowing && !measure_alone(q)) return false; /* weights alone: by the error that each layer has */
    for (;; low = high, high *= 2) {
        if (high >= q->n_order) high = q->n_order - 1;
        if (high <= low) break;
        if ((loss = loss_without(q, high)) < 0) return false;
        least = fmin(least, loss);
        if (loss <= bound) break;
    }
    if (loss > bound)
        return diag_error(q->session->diag, (struct place){.path = q->options.paths[0]},
                          "the loss is %.4g with every layer in bytes and %.4g at best with fewer, above the bound %.4g (--max-loss): nothing was written", q->loss_all, least, bound);
    while (high - low > 1) {
        int middle = (low + high) / 2;
        double at = loss_without(q, middle);
        if (at < 0) return false;
        if (at <= bound) high = middle;
        else low = middle;
    }
    q->loss = loss_without(q, high);
    return q->loss >= 0;
}

bool quantize_leave_slow_again(struct quantization *q)
{
    int n = q->plan->layers.n;
    const char **why = NEW_ARRAY(q->session->arena, const char *, n + 1);
    bool changed = false;
    if (q->loss_all <= q->options.max_loss) return true; /* the bound took no layer */
    for (int i = 0; i < n; i++) why[i] = q->plan->layers.at[i].why_float;
    if (!quantize_leave_slow(q)) return false;
    for (int i = 0; i < n; i++) changed |= why[i] != q->plan->layers.at[i].why_float;
    if (!changed) return true;
    double loss = loss_now(q);
    if (loss > q->options.max_loss) { /* errors had cancelled one another: as it was */
        for (int i = 0; i < n; i++) q->plan->layers.at[i].why_float = why[i];
        loss = loss_now(q);
    }
    q->loss = loss;
    return loss >= 0;
}
