/* The graph as a model in the language, and comparison of graphs.
 *
 *     dim N in 1..64
 *     model digits(image: f32[N, 1, 28, 28]) -> (probability: f32[N, 10]) {
 *         weights "digits.safetensors"
 *         const w: f32[16, 1, 3, 3] = weight("w")
 *         h: f32[N, 16, 28, 28] = conv(image, w, pad: [1, 1], stride: [1, 1])
 *         return h
 *     }
 *
 * What is printed reads back as an equal graph, and prints the same again. Nodes nothing depends on are left out
 * here and in graph_equal. Names are made identifiers and unique; the interface's own names stand beside them in
 * quotes where they are none. Constants above 64 elements are references into a side file (graph_write.c).
 * Subgraphs are closed and print as `graph(...) {...}` in their attribute's place.
 */
#include "graph_print.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Words of the language (frontend/model.l), and names of numbers. */
static bool is_word(const char *name)
{
    static const char *const words[] = {
        "as",     "const",  "def",  "dim",   "else",  "false",   "for",   "graph", "if",
        "import", "in",     "inf",  "let",   "model", "nan",     "none",  "pi",    "param",
        "place",  "return", "scan", "train", "true",  "weights", "while",
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcmp(words[i], name)) return true;
    return false;
}

bool graph_name_is_reserved(const struct dims *dims, const char *name)
{
    if (is_word(name)) return true;
    for (int i = 0; i < DT_COUNT; i++)
        if (!strcmp(dtype_name((enum dtype)i), name)) return true;
    dim found;
    return dim_find_symbol(dims, name, &found);
}

/* Names given so far in one graph; a hash table. */
struct names {
    const char **slot;
    int n, cap;
};

static const char **names_slot(const struct names *names, const char *name)
{
    uint32_t hash = 2166136261u;
    for (const char *p = name; *p; p++) hash = (hash ^ (unsigned char)*p) * 16777619u;
    uint32_t k = hash & (uint32_t)(names->cap - 1);
    while (names->slot[k] && strcmp(names->slot[k], name) != 0) k = (k + 1) & (uint32_t)(names->cap - 1);
    return &names->slot[k];
}

static void names_grow(struct arena *arena, struct names *names)
{
    struct names old = *names;
    names->cap = old.cap ? old.cap * 2 : 64;
    names->slot = NEW_ARRAY(arena, const char *, names->cap);
    for (int i = 0; i < old.cap; i++)
        if (old.slot[i]) *names_slot(names, old.slot[i]) = old.slot[i];
}

/* An identifier near `name` that no other value of the graph has. */
static const char *names_unique(struct print *print, struct names *names, const char *name)
{
    if (names->n * 2 >= names->cap) names_grow(print->arena, names);
    const char *base = text_identifier(print->arena, name), *at = base;
    for (int i = 2; graph_name_is_reserved(print->dims, at) || *names_slot(names, at); i++)
        at = arena_printf(print->arena, "%s_%d", base, i);
    *names_slot(names, at) = at;
    names->n++;
    return at;
}

static void name_values(struct print *print, const struct graph *graph, const bool *live, const char **name)
{
    struct names names = {0};
    int unnamed = 0;
    for (int i = 0; i < graph->inputs.n; i++) {
        const struct value *value = graph->inputs.at[i];
        name[value->id] = names_unique(print, &names, value->name ? value->name : "input");
    }
    for (int i = 0; i < graph->nodes.n; i++) {
        const struct node *node = graph->nodes.at[i];
        for (int k = 0; live[i] && node->op != OP_input && k < node->n_out; k++) {
            const char *own = node->out[k].name;
            if (!own || !*own) own = arena_printf(print->arena, "v%d", ++unnamed);
            name[node->out[k].id] = names_unique(print, &names, own);
        }
    }
}

static void add_element(struct text *text, const struct dims *dims, const struct tensor *tensor, int64_t i)
{
    enum dtype dt = tensor->type.dt;
    const char *at = (const char *)tensor->data + i * dtype_bytes(dt);
    double d;
    float f;
    uint16_t half;
    uint64_t u = 0;
    memcpy(&u, at, (size_t)dtype_bytes(dt));
    if (dt == DT_f64) memcpy(&d, at, sizeof d), text_double(text, d, false);
    else if (dt == DT_f32) memcpy(&f, at, sizeof f), text_double(text, (double)f, true);
    else if (dtype_is_float(dt)) {
        memcpy(&half, at, sizeof half);
        text_double(text, (double)(dt == DT_f16 ? f16_to_float(half) : bf16_to_float(half)), true);
    } else if (dt == DT_bool) text_add(text, u ? "true" : "false");
    else if (tensor->is_dims) dim_print(dims, text, (dim)u, false);
    else if (dtype_class(dt) == DT_UNSIGNED) text_printf(text, "%llu", (unsigned long long)u);
    else {
        int shift = 64 - 8 * (int)dtype_bytes(dt);
        text_printf(text, "%lld", (long long)((int64_t)(u << shift) >> shift));
    }
}

/* Elements from *next on as nested lists, one level per axis. */
static void add_nested(struct text *text, const struct dims *dims, const struct tensor *tensor, int axis, int64_t *next)
{
    if (axis == tensor->type.rank) {
        add_element(text, dims, tensor, (*next)++);
        return;
    }
    text_add(text, "[");
    for (int64_t i = 0; i < tensor->type.dim[axis]; i++) {
        if (i) text_add(text, ", ");
        add_nested(text, dims, tensor, axis + 1, next);
    }
    text_add(text, "]");
}

static bool is_splat(const struct tensor *tensor, int64_t n)
{
    int64_t size = dtype_bytes(tensor->type.dt);
    const char *data = tensor->data;
    return n > 0 && !memcmp(data, data + size, (size_t)((n - 1) * size));
}

static void add_constant(struct print *print, const struct tensor *tensor, const char *name)
{
    enum { INLINE_MOST = 64 };
    int64_t n = type_count(&tensor->type), next = 0;
    if (is_splat(tensor, n) && tensor->type.rank > 0) add_element(print->text, print->dims, tensor, 0);
    else if (n == 0) text_add(print->text, "[]");
    else if (n <= INLINE_MOST || tensor->is_dims) add_nested(print->text, print->dims, tensor, 0, &next);
    else {
        struct print_weight weight = {arena_printf(print->arena, "%s%s", print->prefix, name), tensor};
        LIST_PUSH(print->arena, &print->weights, weight);
        text_add(print->text, "weight(");
        text_quoted(print->text, weight.name);
        text_add(print->text, ")");
    }
}

static void add_indent(struct print *print)
{
    for (int i = 0; i < print->depth; i++) text_add(print->text, "    ");
}

static void add_graph(struct print *print, const struct graph *graph);

static void add_attr(struct print *print, const struct attr *attr, const char *owner)
{
    struct text *text = print->text;
    switch (attr->kind) {
    case ATTR_INT: dim_print(print->dims, text, attr->i, false); break;
    case ATTR_FLOAT: text_double(text, attr->f, false); break;
    case ATTR_INTS:
        text_add(text, "[");
        for (int i = 0; i < attr->n; i++) {
            if (i) text_add(text, ", ");
            dim_print(print->dims, text, attr->ints[i], false);
        }
        text_add(text, "]");
        break;
    case ATTR_STRING: text_quoted(text, attr->s); break;
    case ATTR_GRAPH: {
        const char *prefix = print->prefix;
        print->prefix = arena_printf(print->arena, "%s%s.%s.", prefix, owner, attr->name);
        text_add(text, "graph");
        add_graph(print, attr->graph);
        print->prefix = prefix;
        break;
    }
    }
}

static void add_node(struct print *print, const struct node *node, const char *const *name)
{
    struct text *text = print->text;
    enum op_kind kind = op_row(node->op)->kind;
    add_indent(print);
    if (node->op == OP_const) text_add(text, "const ");
    for (int i = 0; i < node->n_out; i++) {
        text_printf(text, "%s%s: ", i ? ", " : "", name[node->out[i].id]);
        type_print(print->dims, text, &node->out[i].type);
    }
    text_add(text, " = ");
    if (node->op == OP_const) {
        add_constant(print, node->tensor, name[node->out[0].id]);
        text_add(text, "\n");
        return;
    }
    /* `if` and `scan` are words of the language; op. names the operator */
    text_printf(text, "%s%s(", kind == OP_CONTROL ? "op." : "", op_row(node->op)->name);
    for (int i = 0; i < node->n_in; i++) text_printf(text, "%s%s", i ? ", " : "", name[node->in[i]->id]);
    for (int i = 0; i < node->n_attrs; i++) {
        text_printf(text, "%s%s: ", i || node->n_in ? ", " : "", node->attrs[i].name);
        add_attr(print, &node->attrs[i], name[node->out[0].id]);
    }
    text_add(text, ")\n");
}

/* Nodes that follow one another at one place stand in a block; constants, which have none, stay in it. */
static void add_nodes(struct print *print, const struct graph *graph, const bool *live, const char *const *name)
{
    enum home home = HOME_NONE;
    for (int i = 0; i <= graph->nodes.n; i++) {
        const struct node *node = i < graph->nodes.n ? graph->nodes.at[i] : NULL;
        if (node && (!live[i] || node->op == OP_input)) continue;
        enum home next = !node ? HOME_NONE : node->op == OP_const ? home : node->home;
        if (next != home && home != HOME_NONE) {
            print->depth--;
            add_indent(print);
            text_add(print->text, "}\n");
        }
        if (next != home && next != HOME_NONE) {
            add_indent(print);
            text_printf(print->text, "place %s {\n", home_name(next));
            print->depth++;
        }
        home = next;
        if (node) add_node(print, node, name);
    }
}

/* name "own name": type, ... between parentheses; the own name only where it is not the identifier. */
static void add_formal(struct print *print, const char *ident, const char *own, const struct type *type)
{
    text_add(print->text, ident);
    if (own && strcmp(own, ident) != 0) text_add(print->text, " "), text_quoted(print->text, own);
    text_add(print->text, ": ");
    type_print(print->dims, print->text, type);
}

/* "(inputs) -> (outputs) {nodes; return ...}"; a subgraph's outputs have no names. */
static void add_graph(struct print *print, const struct graph *graph)
{
    struct text *text = print->text;
    const char **name = NEW_ARRAY(print->arena, const char *, graph->next_value + 1);
    bool *live = graph_live(graph, print->arena), outer = print->depth == 0;
    name_values(print, graph, live, name);
    text_add(text, "(");
    for (int i = 0; i < graph->inputs.n; i++) {
        const struct value *value = graph->inputs.at[i];
        if (i) text_add(text, ", ");
        add_formal(print, name[value->id], outer ? value->name : NULL, &value->type);
    }
    text_add(text, ")");
    if (outer) {
        struct names names = {0};
        text_add(text, " -> (");
        for (int i = 0; i < graph->outputs.n; i++) {
            const char *own = graph->output_names.at[i];
            if (i) text_add(text, ", ");
            add_formal(print, names_unique(print, &names, own), own, &graph->outputs.at[i]->type);
        }
        text_add(text, ")");
    }
    text_add(text, " {\n");
    print->depth++;
    if (outer) print->weights_at = text->n;
    add_nodes(print, graph, live, name);
    add_indent(print);
    text_add(text, "return");
    for (int i = 0; i < graph->outputs.n; i++) text_printf(text, "%s %s", i ? "," : "", name[graph->outputs.at[i]->id]);
    text_add(text, "\n");
    print->depth--;
    add_indent(print);
    text_add(text, "}");
}

void graph_print_into(struct print *print, const struct graph *graph, const char *weights_file)
{
    struct text *text = print->text, body = {.arena = print->arena};
    print->dims = graph->dims;
    print->prefix = "";
    print->text = &body;
    const char *name = text_identifier(print->arena, graph->name);
    text_printf(&body, "model %s%s", name, is_word(name) ? "_" : "");
    add_graph(print, graph);
    text_add(&body, "\n");
    print->text = text;
    for (int i = 0; i < dims_n_symbols(graph->dims); i++) {
        const struct symbol *symbol = dims_symbol(graph->dims, i);
        text_printf(text, "dim %s in %lld..%lld\n", symbol->name, (long long)symbol->lo, (long long)symbol->hi);
    }
    if (dims_n_symbols(graph->dims)) text_add(text, "\n");
    text_add_n(text, body.at, print->weights_at);
    if (print->weights.n) {
        text_add(text, "    weights ");
        text_quoted(text, weights_file);
        text_add(text, "\n");
    }
    text_add_n(text, body.at + print->weights_at, body.n - print->weights_at);
}

void graph_print(const struct graph *graph, struct text *text)
{
    struct arena *scratch = arena_new();
    struct print print = {.arena = scratch, .text = text};
    graph_print_into(&print, graph, graph_weights_file(graph, scratch));
    arena_free(scratch);
}

const char *graph_weights_file(const struct graph *graph, struct arena *arena)
{
    return arena_printf(arena, "%s.safetensors", text_identifier(arena, graph->name));
}
