/* The graph builder: every node is made here, inferred, simplified, folded and shared.
 *
 * graph_node: broadcast MAP operands -> infer the result's type (shape.c) -> drop what does nothing (identity) ->
 * evaluate what is constant (graph_eval.c) -> reuse an equal node -> append. See graph.h; helpers: graph_build.c.
 */
#include "graph.h"
#include "graph_inside.h"

#include <stdlib.h>
#include <string.h>

static const struct op_row rows[OP_COUNT] = {
#define MEANING_OF_NODE NULL
#define OP(name, kind, least, most, shape, meaning, onnx) {#name, OP_##kind, least, most, SHAPE_##shape, meaning, onnx},
#include "ops.def"
#undef OP
};

const struct op_row *op_row(enum op op)
{
    return &rows[op];
}

int op_dot_terms(enum op op)
{
    bool bytes = op == OP_conv_dot || op == OP_matmul_dot || op == OP_conv_dot_sat || op == OP_matmul_dot_sat;
    return bytes ? 4 : op == OP_conv_dot2 || op == OP_matmul_dot2 ? 2 : 0;
}

bool op_from_name(const char *name, enum op *op)
{
    for (int i = 0; i < OP_COUNT; i++)
        if (!strcmp(rows[i].name, name)) {
            *op = (enum op)i;
            return true;
        }
    return false;
}

bool op_from_onnx(const char *name, enum op *op)
{
    for (int i = 0; i < OP_COUNT; i++)
        if (rows[i].kind == OP_MAP && rows[i].onnx[0] && !strcmp(rows[i].onnx, name)) {
            *op = (enum op)i;
            return true;
        }
    return false;
}

struct value_table {
    struct node **slot;
    int n, cap;
};

struct graph *graph_new(struct arena *unit, struct arena *session, struct dims *dims, struct diag *diag, const char *name)
{
    struct graph *graph = NEW(unit, struct graph);
    graph->arena = unit;
    graph->session = session;
    graph->dims = dims;
    graph->diag = diag;
    graph->name = arena_strdup(unit, name);
    graph->table = NEW(unit, struct value_table);
    return graph;
}

struct graph *graph_like(const struct graph *graph, struct arena *unit, const char *name)
{
    struct graph *fresh = graph_new(unit, graph->session, graph->dims, graph->diag, name);
    fresh->place = graph->place;
    fresh->home = graph->home;
    fresh->placed = graph->placed;
    fresh->no_fold = graph->no_fold;
    fresh->scales = graph->scales;
    return fresh;
}

const struct attr *node_attr(const struct node *node, const char *name)
{
    for (int i = 0; i < node->n_attrs; i++)
        if (!strcmp(node->attrs[i].name, name)) return &node->attrs[i];
    return NULL;
}

int64_t node_int(const struct node *node, const char *name, int64_t otherwise)
{
    const struct attr *attr = node_attr(node, name);
    return attr ? attr->i : otherwise;
}

bool node_is_border(const struct node *node)
{
    const struct attr *before = node_attr(node, "before"), *after = node_attr(node, "after");
    for (int i = 0; i < before->n; i++)
        if (!dim_is_const(before->ints[i]) || !dim_is_const(after->ints[i]) || before->ints[i] < 0 || after->ints[i] < 0) return false;
    return value_const(node->in[1]) != NULL;
}

bool node_is_plain_map(const struct node *node)
{
    return node->op == OP_reshape || node->op == OP_transpose || node->op == OP_broadcast || node->op == OP_slice || node->op == OP_iota;
}

bool node_is_prefix(const struct node *node)
{
    if (node->op != OP_slice) return false;
    const struct attr *start = node_attr(node, "start"), *step = node_attr(node, "step");
    for (int i = 0; i < start->n; i++)
        if (start->ints[i] != 0 || step->ints[i] != 1) return false;
    return true;
}

static int attr_order(const void *a, const void *b)
{
    return strcmp(((const struct attr *)a)->name, ((const struct attr *)b)->name);
}

static struct attr *copy_attrs(struct graph *graph, int n, const struct attr *attrs)
{
    struct attr *copy = arena_copy(graph->arena, attrs, (size_t)n * sizeof *attrs);
    for (int i = 0; i < n; i++) {
        copy[i].name = arena_strdup(graph->arena, attrs[i].name);
        if (attrs[i].kind == ATTR_INTS)
            copy[i].ints = arena_copy(graph->arena, attrs[i].ints, (size_t)attrs[i].n * sizeof(int64_t));
        if (attrs[i].kind == ATTR_STRING) copy[i].s = arena_strdup(graph->arena, attrs[i].s);
    }
    if (n > 1) qsort(copy, (size_t)n, sizeof *copy, attr_order);
    return copy;
}

bool attr_equal(const struct attr *a, const struct attr *b)
{
    if (strcmp(a->name, b->name) != 0 || a->kind != b->kind) return false;
    switch (a->kind) {
    case ATTR_INT: return a->i == b->i;
    case ATTR_FLOAT: return !memcmp(&a->f, &b->f, sizeof a->f);
    case ATTR_INTS: return a->n == b->n && !memcmp(a->ints, b->ints, (size_t)a->n * sizeof *a->ints);
    case ATTR_STRING: return !strcmp(a->s, b->s);
    case ATTR_GRAPH: return a->graph == b->graph;
    }
    return false;
}

bool tensor_equal(const struct tensor *a, const struct tensor *b)
{
    if (!type_equal(&a->type, &b->type) || a->n_bytes != b->n_bytes || a->is_dims != b->is_dims) return false;
    return a->data == b->data || a->n_bytes == 0 || !memcmp(a->data, b->data, (size_t)a->n_bytes);
}

static uint32_t node_hash(const struct node *node)
{
    uint32_t h = 2166136261u ^ (uint32_t)node->op ^ (uint32_t)node->home << 16;
    for (int i = 0; i < node->n_in; i++) h = h * 16777619u ^ (uint32_t)node->in[i]->id;
    for (int i = 0; i < node->n_attrs; i++) {
        const struct attr *a = &node->attrs[i];
        h = h * 16777619u ^ (uint32_t)a->i ^ (uint32_t)a->n;
        for (int k = 0; a->kind == ATTR_INTS && k < a->n; k++) h = h * 16777619u ^ (uint32_t)a->ints[k];
    }
    if (node->tensor) {
        const unsigned char *p = node->tensor->data;
        int64_t n = node->tensor->n_bytes < 256 ? node->tensor->n_bytes : 256;
        for (int64_t i = 0; i < n; i++) h = (h ^ p[i]) * 16777619u;
    }
    return h ^ (h >> 13);
}

static bool node_equal(const struct node *a, const struct node *b)
{
    if (a->op != b->op || a->home != b->home || a->n_in != b->n_in || a->n_attrs != b->n_attrs) return false;
    for (int i = 0; i < a->n_in; i++)
        if (a->in[i] != b->in[i]) return false;
    for (int i = 0; i < a->n_attrs; i++)
        if (!attr_equal(&a->attrs[i], &b->attrs[i])) return false;
    return !a->tensor || tensor_equal(a->tensor, b->tensor);
}

/* The equal node already in the graph, or NULL after noting this one. */
static struct node *table_find(struct graph *graph, struct node *node)
{
    struct value_table *table = graph->table;
    if (table->n * 2 >= table->cap) {
        struct node **old = table->slot;
        int old_cap = table->cap;
        table->cap = old_cap ? old_cap * 2 : 256;
        table->slot = NEW_ARRAY(graph->arena, struct node *, table->cap);
        for (int i = 0; i < old_cap; i++)
            if (old[i]) {
                uint32_t k = node_hash(old[i]) & (uint32_t)(table->cap - 1);
                while (table->slot[k]) k = (k + 1) & (uint32_t)(table->cap - 1);
                table->slot[k] = old[i];
            }
    }
    uint32_t k = node_hash(node) & (uint32_t)(table->cap - 1);
    for (; table->slot[k]; k = (k + 1) & (uint32_t)(table->cap - 1))
        if (node_equal(table->slot[k], node)) return table->slot[k];
    table->slot[k] = node;
    table->n++;
    return NULL;
}

static struct value *append(struct graph *graph, struct node *node, const struct type *types)
{
    enum { NODES_MOST = 1000000 };
    if (graph->nodes.n >= NODES_MOST) {
        diag_error(graph->diag, graph->place, "the graph has more than %d nodes", NODES_MOST);
        return NULL;
    }
    node->id = graph->nodes.n;
    node->place = graph->place;
    node->out = NEW_ARRAY(graph->arena, struct value, node->n_out);
    for (int i = 0; i < node->n_out; i++)
        node->out[i] = (struct value){.type = types[i], .node = node, .result = i, .id = graph->next_value++};
    LIST_PUSH(graph->arena, &graph->nodes, node);
    return node->out;
}

struct value *graph_input(struct graph *graph, const char *name, const struct type *type)
{
    struct node *node = NEW(graph->arena, struct node);
    *node = (struct node){.op = OP_input, .n_out = 1};
    if (!type_check(graph, type)) return NULL;
    struct value *value = append(graph, node, type);
    if (!value) return NULL;
    value->name = arena_strdup(graph->arena, name);
    LIST_PUSH(graph->arena, &graph->inputs, value);
    return value;
}

void graph_output(struct graph *graph, const char *name, struct value *value)
{
    if (!value) return;
    LIST_PUSH(graph->arena, &graph->outputs, value);
    LIST_PUSH(graph->arena, &graph->output_names, arena_strdup(graph->arena, name));
}

struct value *graph_name(struct graph *graph, struct value *value, const char *name)
{
    if (value && !value->name) value->name = arena_strdup(graph->arena, name);
    return value;
}

struct value *graph_const(struct graph *graph, const struct tensor *tensor)
{
    struct node *node = NEW(graph->arena, struct node);
    *node = (struct node){.op = OP_const, .n_out = 1, .tensor = arena_copy(graph->session, tensor, sizeof *tensor)};
    if (!type_check(graph, &tensor->type)) return NULL;
    struct node *same = table_find(graph, node);
    return same ? same->out : append(graph, node, &tensor->type);
}

const struct tensor *value_const(const struct value *value)
{
    return value && value->node->op == OP_const ? value->node->tensor : NULL;
}

/* Operands of a MAP to one shape. */
static bool broadcast_operands(struct graph *graph, enum op op, int n, struct value **in)
{
    int rank = 0;
    dim dims[RANK_MOST];
    for (int i = 0; i < n; i++)
        if (in[i]->type.rank > rank) rank = in[i]->type.rank;
    for (int axis = 0; axis < rank; axis++) {
        dims[axis] = 1;
        for (int i = 0; i < n; i++) {
            int at = axis - (rank - in[i]->type.rank);
            dim d = at < 0 ? 1 : in[i]->type.dim[at];
            if (d == 1 || d == dims[axis]) continue;
            if (dims[axis] == 1) dims[axis] = d;
            else
                return diag_error(graph->diag, graph->place, "%s: shapes %s and %s do not broadcast", op_row(op)->name,
                                  type_string(graph->dims, graph->arena, &in[0]->type),
                                  type_string(graph->dims, graph->arena, &in[i]->type));
        }
    }
    for (int i = 0; i < n; i++) {
        in[i] = graph_broadcast(graph, in[i], rank, dims);
        if (!in[i]) return false;
    }
    return true;
}

static bool all_const(int n, struct value *const *in)
{
    for (int i = 0; i < n; i++)
        if (!value_const(in[i])) return false;
    return true;
}

/* Folding a node whose inputs are constant: not where that would blow a small constant up. */
static bool worth_folding(const struct node *node, const struct type *type)
{
    enum op_kind kind = op_row(node->op)->kind;
    int64_t n = type_count(type), before = 0;
    if (kind == OP_LEAF || kind == OP_COMPOSITE || kind == OP_CONTROL || n < 0) return false;
    for (int i = 0; i < node->n_in; i++) {
        int64_t k = type_count(&node->in[i]->type);
        if (k > before) before = k;
        if (k > ((int64_t)1 << 26)) return false;
    }
    if (node->op == OP_broadcast) return n <= 64; /* it costs nothing to read a small constant many times */
    return n <= 4096 || n <= before * 4;
}

/* The constant that node is, or NULL. */
static struct value *fold(struct graph *graph, struct node *node, const struct type *type)
{
    struct tensor result;
    struct value probe = {.type = *type, .node = node};
    node->out = &probe;
    bool known = node_fold(graph, node, &result);
    node->out = NULL;
    return known ? graph_const(graph, &result) : NULL;
}

/* A constant seen through a few index maps. */
static bool is_spread(const struct value *value)
{
    for (int steps = 0; steps < 4 && value->node->op != OP_const; steps++) {
        enum op op = value->node->op;
        if (op != OP_broadcast && op != OP_reshape && op != OP_transpose) return false;
        value = value->node->in[0];
    }
    return value->node->op == OP_const;
}

static struct value *spell_out(struct graph *graph, struct value *value)
{
    if (value->node->op == OP_const) return value;
    struct node copy = *value->node;
    struct value *in = spell_out(graph, copy.in[0]);
    copy.in = &in;
    return in ? fold(graph, &copy, &value->type) : NULL;
}

/* A broadcast constant stays a broadcast, small as it is, until it meets a constant of the full size: then the whole
 * operation is known (a weight times a scale per channel). */
static void spell_out_broadcasts(struct graph *graph, struct node *node)
{
    bool full = false;
    for (int i = 0; i < node->n_in; i++) {
        full |= node->in[i]->node->op == OP_const;
        if (!is_spread(node->in[i])) return;
    }
    if (!full || type_count(&node->in[0]->type) < 0) return;
    for (int i = 0; i < node->n_in; i++) {
        struct value *known = spell_out(graph, node->in[i]);
        if (known) node->in[i] = known;
    }
}

struct value *graph_node(struct graph *graph, enum op op, int n_in, struct value *const *in, int n_attrs, const struct attr *attrs)
{
    const struct op_row *row = op_row(op);
    for (int i = 0; i < n_in; i++)
        if (!in[i]) return NULL;
    if (n_in < row->least || n_in > row->most) {
        diag_error(graph->diag, graph->place, "%s takes %d to %d inputs, has %d", row->name, row->least, row->most, n_in);
        return NULL;
    }
    struct node *node = NEW(graph->arena, struct node);
    *node = (struct node){.op = op, .n_in = n_in, .n_attrs = n_attrs, .home = graph->home};
    node->in = arena_copy(graph->arena, in, (size_t)n_in * sizeof *in);
    if (row->kind == OP_MAP && !broadcast_operands(graph, op, n_in, node->in)) return NULL;
    node->attrs = copy_attrs(graph, n_attrs, attrs);
    struct type *types = NULL;
    if (!shape_infer(graph, node, &types)) return NULL;
    for (int i = 0; i < node->n_out; i++)
        if (!type_check(graph, &types[i])) return NULL;
    if (!graph->no_fold) {
        struct value *same = node_identity(graph, node, &types[0]);
        if (same) return same;
        if (row->kind == OP_MAP) spell_out_broadcasts(graph, node);
        if (node->n_out == 1 && all_const(n_in, node->in) && worth_folding(node, &types[0])) {
            struct value *folded = fold(graph, node, &types[0]);
            if (folded) return folded;
        }
    }
    if (row->kind != OP_CONTROL) {
        struct node *equal = table_find(graph, node);
        if (equal) return equal->out;
    }
    return append(graph, node, types);
}

void graph_at(struct graph *graph, const struct node *node)
{
    graph->place = node->place;
    graph->home = node->home;
}

bool graph_copy_node(struct graph *to, const struct node *node, struct value **map)
{
    struct place place = to->place;
    enum home home = to->home;
    struct value *result;
    graph_at(to, node);
    if (node->op == OP_input) result = graph_input(to, node->out[0].name ? node->out[0].name : "", &node->out[0].type);
    else if (node->op == OP_const) result = graph_const(to, node->tensor);
    else {
        struct value **in = NEW_ARRAY(to->arena, struct value *, node->n_in + 1);
        for (int i = 0; i < node->n_in; i++) in[i] = map[node->in[i]->id];
        result = graph_node(to, node->op, node->n_in, in, node->n_attrs, node->attrs);
    }
    to->place = place;
    to->home = home;
    if (!result) return false;
    if (node->why) result->node->why = node->why;
    for (int i = 0; i < node->n_out; i++) {
        map[node->out[i].id] = &result[i];
        if (node->out[i].name) graph_name(to, &result[i], node->out[i].name);
    }
    return true;
}

bool *graph_live(const struct graph *graph, struct arena *arena)
{
    bool *live = NEW_ARRAY(arena, bool, graph->nodes.n + 1);
    for (int i = 0; i < graph->outputs.n; i++) live[graph->outputs.at[i]->node->id] = true;
    for (int i = graph->nodes.n - 1; i >= 0; i--) {
        const struct node *node = graph->nodes.at[i];
        if (node->op == OP_input) live[i] = true;
        for (int k = 0; live[i] && k < node->n_in; k++) live[node->in[k]->node->id] = true;
    }
    return live;
}
