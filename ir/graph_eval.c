/* The graph interpreter: node by node, each as a one-kernel program run by the program's interpreter. So it says
 * what the op table says, without any pass. For truth, not for work. */
#include "graph_eval.h"
#include "extern.h"
#include "nest.h"

#include <string.h>

static int64_t size_of(const struct dims *dims, dim d, const int64_t *symbols)
{
    return dim_is_const(d) ? d : dim_eval(dims, d, symbols);
}

static bool allocate(struct graph *graph, const struct type *type, const int64_t *symbols, struct arena *arena, struct tensor *t)
{
    *t = (struct tensor){.type = *type};
    for (int i = 0; i < type->rank; i++) {
        t->type.dim[i] = size_of(graph->dims, type->dim[i], symbols);
        if (t->type.dim[i] < 0) return diag_error(graph->diag, graph->place, "axis %d has the negative size %lld", i, (long long)t->type.dim[i]);
    }
    int64_t n = type_count(&t->type);
    if (n < 0 || !size_mul(n, dtype_bytes(type->dt), &t->n_bytes) || t->n_bytes > EVAL_BYTES_MOST)
        return diag_error(graph->diag, graph->place, "a tensor is too large for the interpreter");
    t->data = arena_alloc(arena, (size_t)t->n_bytes + 64);
    return true;
}

static void *writable(const struct tensor *t)
{
    return (void *)(uintptr_t)t->data; /* freshly allocated by us */
}

/* Shape arithmetic as data. */
static void concrete_dims(struct graph *graph, const struct tensor *from, const int64_t *symbols, struct arena *arena, struct tensor *to)
{
    int64_t n = type_count(&from->type), size = dtype_bytes(from->type.dt);
    const int64_t *d = from->data;
    char *out = arena_alloc(arena, (size_t)(n * size) + 8);
    for (int64_t i = 0; i < n; i++) {
        int64_t v = size_of(graph->dims, d[i], symbols);
        memcpy(out + i * size, &v, (size_t)size);
    }
    *to = (struct tensor){.type = from->type, .data = out, .n_bytes = n * size};
}

struct binding { /* stored values of one node as kernel parameters */
    struct kernel *kernel;
    const struct node *node;
    struct view *view;
};

static const struct view *param_view(struct nest *nest, const struct value *value)
{
    const struct binding *b = nest->ctx;
    for (int i = 0; i < b->node->n_in; i++)
        if (b->node->in[i] == value) return &b->view[i];
    bug("graph_eval", "a value that is no input");
}

static bool eval_plain(struct graph *graph, const struct node *node, const struct tensor *const *in, const int64_t *symbols, struct tensor *out)
{
    struct arena *scratch = arena_new();
    struct prog *prog = prog_new(scratch, graph->session, graph->dims, "node");
    struct kernel *kernel = prog_kernel(prog, op_row(node->op)->name);
    struct binding binding = {.kernel = kernel, .node = node, .view = NEW_ARRAY(scratch, struct view, node->n_in + 1)};
    void **data = NEW_ARRAY(scratch, void *, node->n_in + 1);
    int64_t *elements = NEW_ARRAY(scratch, int64_t, node->n_in + 1);
    for (int i = 0; i <= node->n_in; i++) {
        const struct value *v = i < node->n_in ? node->in[i] : node->out;
        const struct tensor *t = i < node->n_in ? in[i] : out;
        struct buffer *buf = kernel_param(prog, kernel, i < node->n_in ? "x" : "y", v->type.dt, type_elements(graph->dims, &v->type));
        buf->written = i == node->n_in;
        view_row_major(prog, &v->type, buf, &binding.view[i]);
        data[i] = writable(t);
        elements[i] = type_count(&t->type);
    }
    struct nest *nest = NEW(scratch, struct nest);
    nest_start(nest, prog);
    nest->view_of = param_view;
    nest->all_stored = true;
    nest->ctx = &binding;
    nest_store(nest, node->out, &binding.view[node->n_in]);
    kernel->body = nest_finish(nest);
    bool ok = kernel_eval(prog, kernel, data, elements, NULL, symbols, graph->diag);
    arena_free(scratch);
    return ok;
}

static bool eval_extern(struct graph *graph, const struct node *node, const struct tensor *const *in, const int64_t *symbols,
                        struct arena *arena, struct tensor *out)
{
    void **buffers = NEW_ARRAY(arena, void *, node->n_in + node->n_out);
    int64_t scalars[EXTERN_SCALARS_MOST];
    int n = extern_scalars(graph->dims, node, scalars);
    for (int i = 0; i < n; i++) scalars[i] = size_of(graph->dims, scalars[i], symbols);
    for (int i = 0; i < node->n_in + node->n_out; i++) buffers[i] = writable(i < node->n_in ? in[i] : &out[i - node->n_in]);
    int status = extern_find(op_row(node->op)->name)->function(buffers, scalars);
    return status == 0 || diag_error(graph->diag, graph->place, "%s ended with status %d", op_row(node->op)->name, status);
}

static bool run(const struct graph *graph, const struct tensor *const *in, const int64_t *symbols, struct arena *arena, struct tensor *out)
{
    struct tensor *copy = NEW_ARRAY(arena, struct tensor, graph->inputs.n + 1);
    for (int i = 0; i < graph->inputs.n; i++) copy[i] = *in[i];
    return graph_eval(graph, copy, symbols, arena, out);
}

static const struct graph *body_of(const struct node *node, const char *name)
{
    return node_attr(node, name)->graph;
}

static bool truth(const struct tensor *t)
{
    return *(const unsigned char *)t->data != 0;
}

/* Puts one slice into a stacked result. */
static void stack(const struct tensor *slice, int64_t at, struct tensor *whole)
{
    memcpy((char *)writable(whole) + at * slice->n_bytes, slice->data, (size_t)slice->n_bytes);
}

static bool eval_loop(struct graph *graph, const struct node *node, const struct tensor *const *in, const int64_t *symbols, struct arena *arena, struct tensor *out)
{
    const struct graph *body = body_of(node, "body");
    int n_carried = (int)node_int(node, "n_carried", 0), n_out = body->outputs.n;
    int64_t trips;
    memcpy(&trips, in[0]->data, sizeof trips);
    const struct tensor **args = NEW_ARRAY(arena, const struct tensor *, node->n_in + 1);
    struct tensor *result = NEW_ARRAY(arena, struct tensor, n_out + 1);
    bool more = truth(in[1]);
    for (int i = 0; i < node->n_in; i++) args[i] = in[i];
    for (int i = n_carried; i < node->n_out; i++)
        if (!allocate(graph, &node->out[i].type, symbols, arena, &out[i])) return false;
    for (int64_t trip = 0; trip < trips && more; trip++) {
        if (trip == EVAL_TRIPS_MOST) return diag_error(graph->diag, graph->place, "the loop runs more than %d times", EVAL_TRIPS_MOST);
        struct tensor *count = NEW(arena, struct tensor), *go = NEW(arena, struct tensor);
        *count = (struct tensor){.type = {.dt = DT_i64}, .data = arena_copy(arena, &trip, sizeof trip), .n_bytes = 8};
        *go = (struct tensor){.type = {.dt = DT_bool}, .data = arena_copy(arena, &more, 1), .n_bytes = 1};
        args[0] = count;
        args[1] = go;
        if (!run(body, args, symbols, arena, result)) return false;
        more = truth(&result[0]);
        for (int i = 0; i < n_carried; i++) args[2 + i] = arena_copy(arena, &result[1 + i], sizeof *result);
        for (int i = n_carried; i < node->n_out; i++) stack(&result[1 + i], trip, &out[i]);
    }
    for (int i = 0; i < n_carried; i++) out[i] = *args[2 + i];
    return true;
}

static bool eval_scan(struct graph *graph, const struct node *node, const struct tensor *const *in, const int64_t *symbols, struct arena *arena, struct tensor *out)
{
    const struct graph *body = body_of(node, "body");
    int n_states = (int)node_int(node, "n_states", 0), n_sequences = (int)node_int(node, "n_sequences", 0);
    const struct tensor **args = NEW_ARRAY(arena, const struct tensor *, node->n_in + 1);
    struct tensor *result = NEW_ARRAY(arena, struct tensor, body->outputs.n + 1);
    struct tensor *element = NEW_ARRAY(arena, struct tensor, n_sequences + 1);
    for (int i = 0; i < node->n_in; i++) args[i] = in[i];
    for (int i = n_states; i < node->n_out; i++)
        if (!allocate(graph, &node->out[i].type, symbols, arena, &out[i])) return false;
    int64_t trips = in[n_states]->type.dim[0];
    for (int64_t trip = 0; trip < trips; trip++) {
        for (int i = 0; i < n_sequences; i++) {
            const struct tensor *whole = in[n_states + i];
            element[i] = *whole;
            element[i].type.rank--;
            memmove(element[i].type.dim, element[i].type.dim + 1, sizeof whole->type.dim - sizeof(dim));
            element[i].n_bytes = whole->n_bytes / trips;
            element[i].data = (const char *)whole->data + trip * element[i].n_bytes;
            args[n_states + i] = &element[i];
        }
        if (!run(body, args, symbols, arena, result)) return false;
        for (int i = 0; i < n_states; i++) args[i] = arena_copy(arena, &result[i], sizeof *result);
        for (int i = n_states; i < node->n_out; i++) stack(&result[i], trip, &out[i]);
    }
    for (int i = 0; i < n_states; i++) out[i] = *args[i];
    return true;
}

bool node_eval(struct graph *graph, const struct node *node, const struct tensor *const *in, const int64_t *symbols,
               struct arena *arena, struct tensor *out)
{
    enum op_kind kind = op_row(node->op)->kind;
    struct tensor *concrete = NEW_ARRAY(arena, struct tensor, node->n_in + 1);
    const struct tensor **args = NEW_ARRAY(arena, const struct tensor *, node->n_in + 1);
    graph->place = node->place;
    for (int i = 0; i < node->n_in; i++) {
        args[i] = in[i];
        if (!in[i]->is_dims) continue;
        concrete_dims(graph, in[i], symbols, arena, &concrete[i]);
        args[i] = &concrete[i];
    }
    if (kind == OP_COMPOSITE) return diag_error(graph->diag, graph->place, "%s must be expanded by pass compose before it is interpreted", op_row(node->op)->name);
    if (node->op == OP_if) return run(body_of(node, truth(args[0]) ? "then" : "else"), args + 1, symbols, arena, out);
    if (node->op == OP_loop) return eval_loop(graph, node, args, symbols, arena, out);
    if (node->op == OP_scan) return eval_scan(graph, node, args, symbols, arena, out);
    for (int i = 0; i < node->n_out; i++)
        if (!allocate(graph, &node->out[i].type, symbols, arena, &out[i])) return false;
    if (kind == OP_EXTERN) return eval_extern(graph, node, args, symbols, arena, out);
    if (kind == OP_LEAF) bug("node_eval", "operator %s", op_row(node->op)->name);
    return eval_plain(graph, node, args, symbols, out);
}

bool graph_eval(const struct graph *graph, const struct tensor *in, const int64_t *symbols, struct arena *arena, struct tensor *out)
{
    struct tensor *data = NEW_ARRAY(arena, struct tensor, graph->next_value + 1);
    struct graph *g = (struct graph *)(uintptr_t)graph; /* its place moves along with what is evaluated */
    for (int i = 0; i < graph->inputs.n; i++) data[graph->inputs.at[i]->id] = in[i];
    for (int k = 0; k < graph->nodes.n; k++) {
        const struct node *node = graph->nodes.at[k];
        if (node->op == OP_input) continue;
        if (node->op == OP_const) {
            data[node->out[0].id] = *node->tensor;
            continue;
        }
        const struct tensor **args = NEW_ARRAY(arena, const struct tensor *, node->n_in + 1);
        for (int i = 0; i < node->n_in; i++) args[i] = &data[node->in[i]->id];
        struct tensor *results = NEW_ARRAY(arena, struct tensor, node->n_out + 1);
        if (!node_eval(g, node, args, symbols, arena, results)) return false;
        for (int i = 0; i < node->n_out; i++) data[node->out[i].id] = results[i];
    }
    for (int i = 0; i < graph->outputs.n; i++) {
        out[i] = data[graph->outputs.at[i]->id];
        if (out[i].is_dims) concrete_dims(g, &data[graph->outputs.at[i]->id], symbols, arena, &out[i]);
    }
    return true;
}
