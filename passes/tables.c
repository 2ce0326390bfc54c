/* Pass tables: costly functions of one byte are looked up.
 *
 *     x = f32(i32(q) - 128)*0.1
 *     y = x*0.5*(erf(x*0.70710677) + 1)      ->     r = gather(table, q)           table: u8[256], computed here
 *     r = u8(round(y*12.5) + 14)
 *
 * A value is a function of a byte where it is made by elementwise operators of that byte and of constants that are one
 * number; what quantized models put around their activations is. Such a function of 256 arguments is a table, worth it
 * where computing costs more than a lookup, which has no lanes: exponentials and their like. The table is what the
 * builder folds the same operators to on all bytes. Only results that are bytes are looked up: where more is made of one
 * (the product behind subtracts its zero), that is computed from it.
 * A quantized GELU of 128 by 1,536 values: 0.6 ms computed, 0.13 looked up (AVX-512). */
#include "passes.h"

#include <string.h>

enum { COST_LEAST = 20, BYTES = 256 };

struct tables {
    struct graph *to;
    struct value **map;          /* old id -> new value */
    const struct value **source; /* old id -> the byte it is a function of */
    int *cost;                   /* old id -> operations from there */
    bool *wanted;                /* old id: used by something that is no function of the same byte */
};

/* The constant that a value is, spread or not, where it is one number; NULL where it is none. */
static const struct tensor *number_of(const struct value *value)
{
    const struct tensor *t = value_const(value_before_spreading(value));
    return t && !t->is_dims && type_count(&t->type) == 1 ? t : NULL;
}

static int cost_of(const struct node *node)
{
    enum expr_op op;
    return expr_from_name(op_row(node->op)->name, &op) ? expr_row(op)->cost : 2;
}

/* The byte that the node's result is a function of, or NULL. */
static const struct value *source_of(const struct tables *t, const struct node *node, int *cost)
{
    const struct value *source = NULL;
    *cost = cost_of(node);
    if (op_row(node->op)->kind != OP_MAP) return NULL;
    for (int i = 0; i < node->n_in; i++) {
        const struct value *x = node->in[i];
        if (number_of(node->in[i])) continue;
        const struct value *own = t->source[x->id] ? t->source[x->id] : x->type.dt == DT_u8 ? x : NULL;
        if (!own || (source && source != own)) return NULL;
        source = own;
        if (t->source[x->id]) *cost += t->cost[x->id];
    }
    return source;
}

/* The last byte on the way from the source to a value that is a function of it; NULL where there are several ways. */
static const struct value *last_byte(const struct tables *t, const struct value *value)
{
    const struct value *source = t->source[value->id];
    while (value && value->type.dt != DT_u8) {
        const struct value *from = NULL;
        for (int i = 0; i < value->node->n_in; i++) {
            const struct value *x = value->node->in[i];
            if (number_of(x) || x == from) continue;
            if (from) return NULL;
            from = x;
        }
        value = from;
    }
    return value && t->source[value->id] == source ? value : NULL;
}

static void find_sources(struct tables *t, const struct graph *graph, const bool *live)
{
    for (int i = 0; i < graph->nodes.n; i++) {
        const struct node *node = graph->nodes.at[i];
        if (live[i] && node->n_out == 1) t->source[node->out->id] = source_of(t, node, &t->cost[node->out->id]);
    }
    for (int i = 0; i < graph->nodes.n; i++) {
        const struct node *node = graph->nodes.at[i];
        for (int k = 0; live[i] && k < node->n_in; k++)
            t->wanted[node->in[k]->id] |= node->n_out != 1 || t->source[node->out->id] != t->source[node->in[k]->id];
    }
    for (int i = 0; i < graph->outputs.n; i++) t->wanted[graph->outputs.at[i]->id] = true;
    for (int i = 0; i < graph->nodes.n; i++) {
        const struct value *out = graph->nodes.at[i]->out, *byte = NULL;
        if (live[i] && graph->nodes.at[i]->n_out == 1 && t->source[out->id] && t->wanted[out->id]) byte = last_byte(t, out);
        if (byte) t->wanted[byte->id] = true;
    }
}

/* The old value for all 256 values of its source, which `known` has at its id. */
static struct value *all_results(struct tables *t, const struct value *value, struct value **known)
{
    struct value *in[3] = {NULL};
    const struct tensor *number = number_of(value);
    if (known[value->id]) return known[value->id];
    if (number) {
        struct value *one = graph_reshape(t->to, graph_const(t->to, number), 0, NULL);
        return graph_broadcast(t->to, one, 1, (dim[]){BYTES});
    }
    const struct node *node = value->node;
    for (int i = 0; i < node->n_in; i++) in[i] = all_results(t, node->in[i], known);
    return known[value->id] = graph_node(t->to, node->op, node->n_in, in, node->n_attrs, node->attrs);
}

static struct value *look_up(struct tables *t, const struct graph *graph, const struct value *value)
{
    const struct value *source = t->source[value->id];
    struct value **known = NEW_ARRAY(t->to->arena, struct value *, graph->next_value + 1);
    uint8_t *bytes = arena_alloc(t->to->session, BYTES);
    for (int i = 0; i < BYTES; i++) bytes[i] = (uint8_t)i;
    known[source->id] = graph_data(t->to, &(struct type){.dt = DT_u8, .rank = 1, .dim = {BYTES}}, bytes);
    struct value *table = all_results(t, value, known);
    if (!table || !value_const(table)) return NULL;
    return graph_gather(t->to, table, t->map[source->id], 0, 0);
}

struct graph *pass_tables(const struct graph *graph, struct arena *unit, const struct pass_options *options)
{
    int n = graph->next_value + 1;
    struct tables t = {.to = graph_like(graph, unit, graph->name), .map = NEW_ARRAY(unit, struct value *, n),
                       .source = NEW_ARRAY(unit, const struct value *, n), .cost = NEW_ARRAY(unit, int, n), .wanted = NEW_ARRAY(unit, bool, n)};
    bool *live = graph_live(graph, unit);
    find_sources(&t, graph, live);
    for (int i = 0; i < graph->nodes.n; i++) {
        const struct node *node = graph->nodes.at[i];
        if (!live[i]) continue;
        graph_at(t.to, node);
        const struct value *out = node->out;
        bool table = node->n_out == 1 && t.source[out->id] && t.wanted[out->id] && out->type.dt == DT_u8 && t.cost[out->id] >= COST_LEAST;
        struct value *found = table ? look_up(&t, graph, out) : NULL;
        if (diag_errors(graph->diag)) return NULL;
        if (found) {
            t.map[out->id] = found;
            if (out->name) graph_name(t.to, found, out->name);
            continue;
        }
        if (!pass_copy_node(t.to, node, t.map, pass_tables, unit, options)) return NULL;
    }
    pass_copy_outputs(t.to, graph, t.map);
    return t.to;
}
