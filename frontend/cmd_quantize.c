/* tenon quantize: a float model and samples of its inputs become a model of bytes, after training.
 *
 * Half of the samples, every other one, give the ranges of values and each layer's own error; on the other half the whole
 * model's loss is measured. Where it is above the bound, the layers that cost it most, each alone on bytes, go back to float, as few as
 * suffice: 1, 2, 4 ... until it holds, then by halving. A model above the bound is never written. Programs for all that are compiled
 * and run in this process (cmd_engine.c); what is done to the graph is in passes/quantize.h. With
 * --weights only weights become integers or 16-bit floats (passes/quantize_weights.h): no ranges, and without samples no loss.
 */
#include "../ir/graph_print.h"
#include "cmd_quantize_inside.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool quantize_is_for_ranges(const struct quantization *q, int sample)
{
    return q->samples.list.n == 1 || sample % 2 == 0;
}

/* ---- running ---- */

struct engine_run *quantize_compile(struct quantization *q, struct graph *graph, struct arena *arena, int *n_out)
{
    struct unit unit = {.graph = graph};
    if (!graph || !model_lower(q->session, &q->options, arena, &unit)) return NULL;
    *n_out = unit.prog->outputs.n;
    return engine_open(q->session, &q->options, q->options.engine, &unit);
}

bool quantize_run(struct quantization *q, struct engine_run *run, int n_out, const char *what, bool (*takes)(const struct quantization *, int),
                        bool (*see)(struct quantization *, int, const struct tensor *))
{
    for (int i = 0; i < q->samples.list.n; i++) {
        const struct sample *sample = &q->samples.list.at[i];
        if (takes && !takes(q, i)) continue;
        progress_show(q->session, "%s: sample %d of %d", what, i + 1, q->samples.list.n);
        struct arena *scratch = arena_new();
        struct tensor *out = NEW_ARRAY(scratch, struct tensor, n_out + 1);
        bool ok = engine_call(q->session, run, sample->in, sample->symbols, scratch, out);
        if (!ok) diag_note(q->session->diag, (struct place){.path = sample->path}, "on the sample here");
        ok = ok && see(q, i, out);
        arena_free(scratch);
        if (!ok) return false;
    }
    return true;
}

/* ---- ranges ---- */

static void keep_answers(struct quantization *q, int sample, const struct tensor *out)
{
    int n = q->graph->outputs.n;
    struct tensor *kept = arena_copy(q->session->arena, out, (size_t)n * sizeof *out);
    for (int i = 0; i < n; i++) kept[i].data = arena_copy(q->session->arena, out[i].data, (size_t)out[i].n_bytes);
    q->answers[sample] = kept;
}

/* The sample's rows have labels, and each is the place of one of a row's elements. */
static bool see_labels(struct quantization *q, int sample)
{
    const struct labels *labels = &q->labels;
    const struct tensor *answer = &q->answers[sample][0];
    struct place place = {.path = labels->path};
    int64_t rows = loss_rows(answer), first = q->n_rows, row = answer->type.rank ? answer->type.dim[answer->type.rank - 1] : 1;
    q->label_at[sample] = first;
    q->n_rows += rows;
    if (q->n_rows > labels->n)
        return diag_error(q->session->diag, place, "has %lld labels, too few for the %lld rows of the first output up to sample %d (%s)", (long long)labels->n,
                          (long long)q->n_rows, sample + 1, q->samples.list.at[sample].path);
    for (int64_t i = first; i < q->n_rows; i++)
        if (labels->at[i] < 0 || labels->at[i] >= row)
            return diag_error(q->session->diag, place, "label %lld is %lld, a row of the first output has the places 0 to %lld", (long long)i, (long long)labels->at[i],
                              (long long)row - 1);
    bool last = sample == q->samples.list.n - 1;
    if (last && q->n_rows < labels->n && !q->options.limit)
        return diag_error(q->session->diag, place, "has %lld labels, the samples have %lld rows of the first output", (long long)labels->n, (long long)q->n_rows);
    return true;
}

/* Gives every point its values of a run. */
static void see_points(struct quantization *q, int sample, const struct tensor *out, void (*take)(struct quantize_point *, const struct tensor *))
{
    int at = q->graph->outputs.n;
    for (int i = 0; i < q->plan->points.n; i++) {
        struct quantize_point *point = &q->plan->points.at[i];
        const struct tensor *t = NULL;
        for (int k = 0; k < q->graph->inputs.n; k++)
            if (q->graph->inputs.at[k] == point->value) t = &q->samples.list.at[sample].in[k];
        if (!t) t = &out[at++];
        take(point, t);
    }
}

static bool see_bounds(struct quantization *q, int sample, const struct tensor *out)
{
    keep_answers(q, sample, out);
    if (q->labels.at && !see_labels(q, sample)) return false;
    if (!quantize_is_for_ranges(q, sample)) return true;
    see_points(q, sample, out, point_bound);
    for (int i = 0; i < q->plan->points.n; i++)
        if (q->plan->points.at[i].n_bad) {
            const struct quantize_point *point = &q->plan->points.at[i];
            return diag_error(q->session->diag, (struct place){.path = q->samples.list.at[sample].path}, "makes values that are no numbers, or infinite, in the model: first in \"%s\"",
                              point->value->name ? point->value->name : op_row(point->value->node->op)->name);
        }
    return true;
}

static bool see_counts(struct quantization *q, int sample, const struct tensor *out)
{
    see_points(q, sample, out, point_count);
    return true;
}

/* ---- each layer's own error ---- */

static bool see_local(struct quantization *q, int sample, const struct tensor *out)
{
    (void)sample;
    for (int i = 0; i < q->plan->layers.n; i++) {
        struct quantize_layer *layer = &q->plan->layers.at[i];
        if (!layer_is_bytes(layer)) continue;
        layer->error += tensor_number(out++, 0);
        layer->signal += tensor_number(out++, 0);
        for (int c = 0; c < layer->channels; c++) layer->correction[c] += tensor_number(out, c);
        out++;
    }
    return true;
}

/* Elements per channel that the calibration has seen. */
static double elements_seen(const struct quantization *q, const struct quantize_layer *layer)
{
    double all = 0;
    for (int i = 0; i < q->samples.list.n; i++) {
        double n = 1;
        const struct type *type = &layer->node->out[0].type;
        for (int k = 0; k < type->rank; k++) n *= (double)dim_eval(q->graph->dims, type->dim[k], q->samples.list.at[i].symbols);
        if (quantize_is_for_ranges(q, i)) all += n;
    }
    return all / layer->channels;
}

static int compare_losses(const void *a, const void *b)
{
    const struct quantize_layer *x = *(const struct quantize_layer *const *)a, *y = *(const struct quantize_layer *const *)b;
    double p = x->alone < 0 ? layer_loss(x) : x->alone, q = y->alone < 0 ? layer_loss(y) : y->alone;
    return p < q ? 1 : p > q ? -1 : x->node->id - y->node->id;
}

void quantize_order(struct quantization *q)
{
    const struct quantize_layer **layers = NEW_ARRAY(q->session->arena, const struct quantize_layer *, q->plan->layers.n);
    q->n_order = 0;
    for (int i = 0; i < q->plan->layers.n; i++)
        if (layer_is_bytes(&q->plan->layers.at[i])) layers[q->n_order++] = &q->plan->layers.at[i];
    qsort(layers, (size_t)q->n_order, sizeof(layers[0]), compare_losses);
    if (!q->order) q->order = NEW_ARRAY(q->session->arena, int, q->n_order);
    for (int i = 0; i < q->n_order; i++) q->order[i] = (int)(layers[i] - q->plan->layers.at);
}

/* Every layer's error, alone, with the ranges as they are. */
static bool measure_layers(struct quantization *q)
{
    struct arena *unit = arena_new();
    int n_out = 0;
    for (int i = 0; i < q->plan->layers.n; i++) q->plan->layers.at[i].correction = NULL;
    struct engine_run *run = quantize_compile(q, quantize_local(q->plan, unit), unit, &n_out);
    for (int i = 0; i < q->plan->layers.n; i++) {
        struct quantize_layer *layer = &q->plan->layers.at[i];
        layer->error = layer->signal = 0;
        if (layer_is_bytes(layer)) layer->correction = NEW_ARRAY(q->session->arena, double, layer->channels);
    }
    bool ok = run && quantize_run(q, run, n_out, "layers", quantize_is_for_ranges, see_local);
    for (int i = 0; i < q->plan->layers.n; i++) {
        struct quantize_layer *layer = &q->plan->layers.at[i];
        double n = layer->correction ? elements_seen(q, layer) : 0;
        for (int c = 0; n > 0 && c < layer->channels; c++) layer->correction[c] /= n;
    }
    if (run) engine_close(run);
    arena_free(unit);
    return ok;
}

/* ---- how each point becomes bytes ---- */

/* By point and layer: the way that was best so far. */
struct choice {
    struct quantize_point *points;
    const float **numbers;
    double *cost; /* below 0: none so far */
};

/* Takes over how a point is now, where what reads it errs less than by other ways: with factors, clearly less. */
static void keep_better(const struct quantization *q, struct choice *best)
{
    const struct quantize_plan *plan = q->plan;
    for (int i = 0; i < plan->points.n; i++) {
        double cost = 0, worth = plan->points.at[i].factor ? 0.8 : 1;
        for (int k = 0; k < plan->layers.n; k++) {
            const struct quantize_layer *layer = &plan->layers.at[k];
            if (layer_is_bytes(layer) && layer->input == i) cost += layer->error / fmax(layer->signal, 1e-300);
        }
        if (best->cost[i] >= 0 && !(cost < worth * best->cost[i])) continue;
        best->cost[i] = cost;
        best->points[i] = plan->points.at[i];
        for (int k = 0; k < plan->layers.n; k++)
            if (layer_is_bytes(&plan->layers.at[k]) && plan->layers.at[k].input == i) best->numbers[k] = plan->layers.at[k].numbers;
    }
}

/* Every way with channels evened out by one power: histograms, and each layer's error with the ranges they give. */
static bool try_power(struct quantization *q, double power, struct engine_run *run, int n_out, struct choice *best)
{
    struct quantize_plan *plan = q->plan;
    enum quantize_method asked = (enum quantize_method)q->options.range;
    quantize_equalize(plan, power);
    for (int i = 0; i < plan->points.n; i++) plan->points.at[i].bins = NEW_ARRAY(q->session->arena, double, QUANTIZE_BINS);
    if (!quantize_run(q, run, n_out, "histograms", quantize_is_for_ranges, see_counts)) return false;
    static const enum quantize_method tried[] = {QUANTIZE_MINMAX, QUANTIZE_MSE};
    for (int i = 0; i < (asked == QUANTIZE_BEST ? 2 : 1); i++) {
        for (int k = 0; k < plan->points.n; k++) point_choose(&plan->points.at[k], asked == QUANTIZE_BEST ? tried[i] : asked, q->options.percentile);
        if (!measure_layers(q)) return false;
        keep_better(q, best);
    }
    return true;
}

static bool see_answers(struct quantization *q, int sample, const struct tensor *out)
{
    keep_answers(q, sample, out);
    return true;
}

/* --weights: nothing is measured but what the float model answers, where there are samples. */
static bool find_answers(struct quantization *q)
{
    struct arena *unit = arena_new();
    int n_out = 0;
    struct engine_run *run = q->samples.list.n ? quantize_compile(q, q->graph, unit, &n_out) : NULL;
    bool ok = !q->samples.list.n || (run && quantize_run(q, run, n_out, "answers", NULL, see_answers));
    if (run) engine_close(run);
    arena_free(unit);
    quantize_order(q);
    return ok;
}

static bool find_ranges(struct quantization *q)
{
    static const double powers[] = {0, 0.25, 0.5, 1};
    struct quantize_plan *plan = q->plan;
    struct arena *unit = arena_new();
    int n_out = 0;
    struct choice best = {NEW_ARRAY(unit, struct quantize_point, plan->points.n), NEW_ARRAY(unit, const float *, plan->layers.n), NEW_ARRAY(unit, double, plan->points.n)};
    for (int i = 0; i < plan->points.n; i++) best.cost[i] = -1;
    quantize_channels(plan);
    struct engine_run *run = quantize_compile(q, quantize_watch(plan, unit), unit, &n_out);
    bool ok = run && quantize_run(q, run, n_out, "ranges", NULL, see_bounds);
    for (int i = 0; i < 4 && ok; i++) ok = try_power(q, powers[i], run, n_out, &best);
    if (run) engine_close(run);
    for (int i = 0; i < plan->points.n && ok; i++) plan->points.at[i] = best.points[i];
    for (int i = 0; i < plan->layers.n && ok; i++) plan->layers.at[i].numbers = best.numbers[i];
    arena_free(unit);
    if (!ok || !measure_layers(q)) return false;
    quantize_order(q);
    return true;
}

/* ---- the command ---- */

static bool prepare(struct quantization *q)
{
    struct session *session = q->session;
    bool all = q->options.pipeline.pass.integer; /* a wish about the result, not about the model that is read */
    q->options.pipeline.pass.integer = false;
    struct unit unit = {.graph = model_read(session, &q->options, q->options.paths[0], session->arena)};
    struct options simplify = q->options;
    simplify.pipeline.passes = "simplify";
    if (!unit.graph || !model_lower(session, &simplify, session->arena, &unit)) return false;
    q->graph = unit.graph;
    q->graph->place = (struct place){.path = q->options.paths[0]};
    if (q->options.data) progress_show(session, "reading %s", q->options.data);
    if (q->options.data && !samples_read(session, q->graph, q->options.data, q->options.limit, &q->samples)) return false;
    if (q->options.labels && !labels_read(session, q->options.labels, &q->labels)) return false;
    q->label_at = NEW_ARRAY(session->arena, int64_t, q->samples.list.n + 1);
    q->plan = quantize_find(q->graph, all, q->samples.list.n ? q->samples.list.at[0].symbols : NULL, session->arena);
    q->answers = NEW_ARRAY(session->arena, struct tensor *, q->samples.list.n + 1);
    if (q->plan && q->options.weight_bits) q->narrowing = quantize_narrow(q->plan, q->options.weight_bits, q->options.weight_half, q->options.weight_block);
    return q->plan != NULL && (!q->options.weight_bits || q->narrowing != NULL);
}

static int64_t constant_bytes(const struct graph *graph, struct arena *arena)
{
    int64_t n = 0;
    bool *live = graph_live(graph, arena);
    for (int i = 0; i < graph->nodes.n; i++)
        if (live[i] && graph->nodes.at[i]->op == OP_const) n += graph->nodes.at[i]->tensor->n_bytes;
    return n;
}

static bool write_results(struct quantization *q)
{
    struct session *session = q->session;
    struct graph *graph = quantize_model(q, session->arena);
    if (!graph || !graph_write(graph, q->options.out, session->diag)) return false;
    const char *slash = strrchr(q->options.paths[0], '/');
    int n = q->samples.list.n;
    struct quantize_result result = {
        .model = slash ? slash + 1 : q->options.paths[0],
        .plan = q->plan,
        .n_samples = n,
        .n_held_back = n == 1 || q->narrowing ? n : n / 2,
        .narrowing = q->narrowing,
        .same_samples = n == 1 && !q->narrowing,
        .loss = q->loss,
        .loss_all = q->loss_all,
        .measured = q->measured,
        .bound = q->options.max_loss,
        .weight_bytes_float = constant_bytes(q->graph, session->arena),
        .weight_bytes = constant_bytes(graph, session->arena),
        .cpu = q->cpu,
        .cycles_float = q->cycles_float,
        .cycles = q->cycles,
        .options = &q->options,
    };
    progress_show(session, NULL);
    quantize_print(session, &result);
    bool ok = true;
    for (int i = 0; i < q->options.reports.n; i++) ok = quantize_report(session, &result, q->options.reports.at[i]) && ok;
    return ok;
}

int command_quantize(struct session *session, const struct options *options)
{
    struct quantization q = {.session = session, .options = *options, .cpu = options->target};
    bool weights = options->weight_bits != 0;
    if (!options->out || (!options->data && !weights) || !has_suffix(options->out, ".tn")) {
        fputs("tenon: quantize needs -o OUT.tn, and --data=FOLDER|FILE.npz or --weights=int8|int4|f16|bf16\n", stderr);
        return STATUS_USAGE;
    }
    if (quantize_needs_labels(options->metric) != (options->labels != NULL)) {
        fputs("tenon: --metric=accuracy and --labels=FILE.npy go together\n", stderr);
        return STATUS_USAGE;
    }
    q.options.target = q.options.pipeline.pass.target = q.options.cpus.at[0] = host_target(); /* samples run here */
    if (!options->engine_given) q.options.engine = llvm_is_built_in() ? ENGINE_LLVM : ENGINE_C;
    bool ok = prepare(&q) && (weights ? find_answers(&q) : find_ranges(&q));
    bool chooses = ok && !weights && !q.plan->all;
    ok = ok && (!chooses || quantize_leave_slow(&q));
    ok = ok && (q.samples.list.n == 0 || quantize_meet_bound(&q, options->max_loss)) && (!chooses || quantize_leave_slow_again(&q)) && write_results(&q);
    return ok ? STATUS_OK : STATUS_INPUT;
}
