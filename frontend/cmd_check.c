/* tenon check: a table of a model's layers, what they cost, and what makes the peak of its memory.
 *
 * A row is a value that is stored after fusion: the operators fused into it are named with it and their operations
 * counted with it. Parameters count once, at the first layer that uses them. Named dimensions stand for the sizes
 * printed above the table (--dim pins others).
 */
#define _POSIX_C_SOURCE 200809L
#include "cmd.h"

#include <stdlib.h>
#include <string.h>

struct layer {
    const struct value *value;
    const char *name, *ops, *shape;
    double flops;
    int64_t parameters;
};
struct table {
    struct graph *graph;
    struct arena *arena;
    const int64_t *symbols;
    bool *counted; /* by value id */
    LIST(struct layer) layers;
    double flops;
    int64_t parameters;
};

static double elements_of(const struct table *table, const struct type *type)
{
    double n = 1;
    for (int i = 0; i < type->rank; i++) n *= (double)dim_eval(table->graph->dims, type->dim[i], table->symbols);
    return n;
}

static double dim_number(const struct table *table, dim d)
{
    return (double)dim_eval(table->graph->dims, d, table->symbols);
}

/* Products that make up one element of a contraction's result. */
static double contraction_terms(const struct table *table, const struct node *node)
{
    const struct type *x = &node->in[0]->type, *w = node->n_in > 1 ? &node->in[1]->type : NULL;
    double each = op_dot_terms(node->op) ? op_dot_terms(node->op) : 1; /* a word's */
    enum shape_rule rule = op_row(node->op)->shape;
    if (node->op == OP_matmul || rule == SHAPE_matmul_packed || rule == SHAPE_matmul_narrow) return each * dim_number(table, x->dim[x->rank - 1]);
    if (node->op == OP_conv) return elements_of(table, w) / dim_number(table, w->dim[0]);
    if (op_row(node->op)->shape == SHAPE_conv_last)
        return each * elements_of(table, w) / dim_number(table, w->dim[0]) / dim_number(table, w->dim[w->rank - 1]);
    if (node->op == OP_conv_depth) return elements_of(table, w) / dim_number(table, w->dim[w->rank - 1]);
    return 0.5; /* index notation: at least one operation each */
}

/* Multiplies and adds count one each; a comparison or a function counts one. */
static double node_flops(const struct table *table, const struct node *node)
{
    const struct op_row *row = op_row(node->op);
    double out = node->n_out ? elements_of(table, &node->out[0].type) : 0;
    const struct type *x = node->n_in > 0 ? &node->in[0]->type : NULL;
    switch (row->kind) {
    case OP_MAP: return out;
    case OP_REDUCE: return x ? elements_of(table, x) : 0;
    case OP_CONTRACT: return 2 * out * contraction_terms(table, node);
    case OP_LEAF:
    case OP_MOVE:
    case OP_COMPOSITE:
    case OP_CONTROL:
    case OP_EXTERN: return 0;
    }
    return 0;
}

static const char *layer_name(const struct table *table, const struct value *value)
{
    if (value->name) return value->name;
    if (value->node->place.path) return value->node->place.path;
    return arena_printf(table->arena, "v%d", value->id);
}

static bool worth_naming(const struct node *node)
{
    enum op_kind kind = op_row(node->op)->kind;
    return kind != OP_LEAF && node->op != OP_reshape && node->op != OP_broadcast;
}

/* Adds the cost of node and of what is fused into it to the layer. */
static void gather_layer(struct table *table, const struct node *node, struct layer *layer, struct text *ops, int depth)
{
    layer->flops += node_flops(table, node);
    for (int i = 0; i < node->n_in && depth < 1000; i++) {
        const struct value *in = node->in[i];
        bool is_const = in->node->op == OP_const;
        if ((!is_const && !in->fused) || table->counted[in->id]) continue;
        table->counted[in->id] = true;
        if (is_const) layer->parameters += (int64_t)elements_of(table, &in->type);
        else gather_layer(table, in->node, layer, ops, depth + 1);
    }
    if (worth_naming(node) && ops->n < 60) text_printf(ops, "%s%s", ops->n ? "+" : "", op_row(node->op)->name);
}

static void make_table(struct table *table)
{
    struct graph *graph = table->graph;
    table->counted = NEW_ARRAY(table->arena, bool, graph->next_value + 1);
    for (int i = 0; i < graph->nodes.n; i++) {
        const struct node *node = graph->nodes.at[i];
        if (op_row(node->op)->kind == OP_LEAF || node->n_out == 0 || node->out[0].fused) continue;
        struct text ops = {.arena = table->arena};
        struct layer layer = {.value = &node->out[0]};
        gather_layer(table, node, &layer, &ops, 0);
        layer.name = layer_name(table, &node->out[0]);
        layer.ops = ops.n ? text_string(&ops) : op_row(node->op)->name;
        layer.shape = type_string(graph->dims, table->arena, &node->out[0].type);
        table->flops += layer.flops;
        table->parameters += layer.parameters;
        LIST_PUSH(table->arena, &table->layers, layer);
    }
}

/* 1234567 as "1.23 M". */
static const char *human(struct arena *arena, double v)
{
    static const char units[] = " KMGTP";
    int unit = 0;
    while (v >= 999.5 && unit < 5) v /= 1000, unit++;
    if (unit == 0) return arena_printf(arena, "%.0f", v);
    return arena_printf(arena, v < 9.995 ? "%.2f %c" : v < 99.95 ? "%.1f %c" : "%.0f %c", v, units[unit]);
}

static const char *clip(struct arena *arena, const char *s, size_t most)
{
    size_t n = strlen(s);
    return n <= most ? s : arena_printf(arena, "..%s", s + (n - most + 2));
}

static void print_symbols(const struct table *table)
{
    const struct dims *dims = table->graph->dims;
    for (int i = 0; i < dims_n_symbols(dims); i++) {
        const struct symbol *symbol = dims_symbol(dims, i);
        printf("%s%s = %lld (%lld..%lld)", i ? ", " : "dimensions: ", symbol->name, (long long)table->symbols[i],
               (long long)symbol->lo, (long long)symbol->hi);
    }
    if (dims_n_symbols(dims)) printf("; --dim NAME=N pins one\n");
}

static void print_table(const struct table *table)
{
    struct arena *arena = table->arena;
    print_symbols(table);
    for (int i = 0; i < table->graph->inputs.n; i++)
        printf("input  %s: %s\n", layer_name(table, table->graph->inputs.at[i]),
               type_string(table->graph->dims, arena, &table->graph->inputs.at[i]->type));
    for (int i = 0; i < table->graph->outputs.n; i++)
        printf("output %s: %s\n", table->graph->output_names.at[i],
               type_string(table->graph->dims, arena, &table->graph->outputs.at[i]->type));
    printf("\n%-34s %-30s %-26s %10s %10s\n", "layer", "operators", "result", "params", "FLOPs");
    for (int i = 0; i < table->layers.n; i++) {
        const struct layer *layer = &table->layers.at[i];
        printf("%-34s %-30s %-26s %10s %10s\n", clip(arena, layer->name, 34), clip(arena, layer->ops, 30), layer->shape,
               human(arena, (double)layer->parameters), human(arena, layer->flops));
    }
}

/* Buffers of the arena in use at main's step, the largest first. */
struct holder {
    const struct buffer *buf;
    int64_t bytes;
};
static int compare_holders(const void *a, const void *b)
{
    const struct holder *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    return x->buf->id - y->buf->id;
}

static void print_peak(const struct table *table, const struct prog *prog, const struct totals *totals)
{
    const struct buffer **live = NEW_ARRAY(table->arena, const struct buffer *, prog->buffers.n + 1);
    int n = program_live(prog, table->symbols, totals->live_step, table->arena, live);
    struct holder *holders = NEW_ARRAY(table->arena, struct holder, n + 1);
    for (int i = 0; i < n; i++) {
        int64_t elements = dim_eval(prog->dims, live[i]->elements, table->symbols);
        holders[i] = (struct holder){live[i], elements * dtype_bytes(live[i]->dt)};
    }
    qsort(holders, (size_t)n, sizeof *holders, compare_holders);
    if (n) printf("peak at step %d, made of:\n", totals->live_step);
    for (int i = 0; i < n && i < 5; i++)
        printf("  %12lld bytes  %s: %s\n", (long long)holders[i].bytes, holders[i].buf->name,
               type_string(prog->dims, table->arena, &holders[i].buf->type));
    if (n > 5) printf("  and %d smaller ones\n", n - 5);
}

/* What of the graph and its subgraphs is not on the device although nobody asked for that. */
static void print_reasons(const struct table *table, const struct graph *graph)
{
    for (int i = 0; i < graph->nodes.n; i++) {
        const struct node *node = graph->nodes.at[i];
        bool decides = op_row(node->op)->kind == OP_CONTROL;
        const char *why = decides ? "what decides is read by main, on the host" : node->why;
        if (node->n_out && !node->out[0].fused && why)
            printf("  %s (%s): %s\n", clip(table->arena, layer_name(table, node->out), 34), op_row(node->op)->name, why);
        for (int k = 0; k < node->n_attrs; k++)
            if (node->attrs[k].kind == ATTR_GRAPH) print_reasons(table, node->attrs[k].graph);
    }
}

/* Where layers are computed; of those that the device cannot run, why. */
static void print_places(const struct table *table)
{
    int there = 0, here = 0, transfers = 0;
    double bytes = 0;
    for (int i = 0; i < table->layers.n; i++) {
        const struct value *value = table->layers.at[i].value;
        bool moves = value->node->op == OP_transfer;
        transfers += moves;
        if (moves) bytes += elements_of(table, &value->type) * (double)dtype_bytes(value->type.dt);
        else if (value->node->home == HOME_CPU) here++;
        else there++;
    }
    printf("places: %d layers on the device, %d on its host, %d transfers of %s bytes\n", there, here, transfers,
           human(table->arena, bytes));
    print_reasons(table, table->graph);
}

static void print_json(const struct table *table, const char *path, const struct totals *totals)
{
    struct text json = {.arena = table->arena};
    text_add(&json, "{\"model\": ");
    json_string(&json, path);
    text_printf(&json,
                ", \"parameters\": %lld, \"flops\": %.0f, \"arena_bytes\": %lld, \"live_bytes\": %lld, "
                "\"weight_bytes\": %lld, \"layers\": [",
                (long long)table->parameters, table->flops, (long long)totals->arena_bytes,
                (long long)totals->live_bytes, (long long)totals->weight_bytes);
    for (int i = 0; i < table->layers.n; i++) {
        const struct layer *layer = &table->layers.at[i];
        text_printf(&json, "%s\n  {\"name\": ", i ? "," : "");
        json_string(&json, layer->name);
        text_add(&json, ", \"operators\": ");
        json_string(&json, layer->ops);
        text_add(&json, ", \"result\": ");
        json_string(&json, layer->shape);
        text_printf(&json, ", \"parameters\": %lld, \"flops\": %.0f", (long long)layer->parameters, layer->flops);
        if (table->graph->placed) {
            const struct node *node = layer->value->node;
            text_printf(&json, ", \"place\": \"%s\", \"why\": ", home_name(node->home));
            json_string(&json, node->why ? node->why : "");
        }
        text_add(&json, "}");
    }
    text_add(&json, "\n]}\n");
    fputs(text_string(&json), stdout);
}

static bool check_model(struct session *session, const struct options *options, const char *path)
{
    struct arena *arena = session->arena;
    struct unit unit;
    struct options upto = *options;
    if (!model_open(session, options, path, arena, &unit)) return false;
    if (!unit_verify(&unit, session->diag)) return false;
    if (options->pipeline.stop_after || options->pipeline.passes || unit.prog) {
        bool ok = options->pipeline.stop_after && !strcmp(options->pipeline.stop_after, "build");
        ok = ok || model_lower(session, options, arena, &unit);
        struct text text = {.arena = arena};
        if (ok && options->pipeline.stop_after) unit_print(&unit, &text);
        progress_show(session, NULL);
        fputs(text_string(&text), stdout);
        return ok;
    }
    struct unit improved = unit;
    upto.pipeline.stop_after = "fuse";
    if (upto.pipeline.pass.level < 1) upto.pipeline.pass.level = 1; /* the table shows fused layers at any level */
    upto.pipeline.eval_each = upto.pipeline.print_changed = upto.pipeline.time_passes = false;
    upto.pipeline.print_after = NULL;
    if (!model_lower(session, &upto, arena, &improved)) return false;
    if (!model_lower(session, options, arena, &unit)) return false;
    struct table table = {.graph = improved.graph, .arena = arena, .symbols = trial_symbols(session->dims, arena)};
    struct totals totals;
    make_table(&table);
    program_totals(unit.prog, table.symbols, arena, &totals);
    progress_show(session, NULL);
    if (options->json) {
        print_json(&table, path, &totals);
        return true;
    }
    print_table(&table);
    printf("\n%s: %s parameters, %s FLOPs a run\n", path, human(arena, (double)table.parameters),
           human(arena, table.flops));
    printf("weights %lld bytes; arena %lld bytes, largest live set %lld bytes\n", (long long)totals.weight_bytes,
           (long long)totals.arena_bytes, (long long)totals.live_bytes);
    print_peak(&table, unit.prog, &totals);
    if (table.graph->placed) print_places(&table);
    return true;
}

int command_check(struct session *session, const struct options *options)
{
    int bad = 0;
    for (int i = 0; i < options->n_paths; i++) {
        if (i && !options->json) printf("\n");
        if (!check_model(session, options, options->paths[i])) bad++;
    }
    return bad ? STATUS_INPUT : STATUS_OK;
}
