/* Pass lower: graph -> program. One kernel per stored value, plain loops; control flow becomes statements of main.
 *
 *     y = relu(conv(x, w) + b)      kernel conv_add_relu(x, w, b, y) { for o ... { reg acc ... store y[...] } }
 *                                   main { conv_add_relu(x, w0, w1, y) }
 *
 * Generic over meanings: what a kernel computes comes from nest.h. Here is decided where values lie (storage): each
 * stored value gets a buffer; a reshape of a stored value, and the parts of a concat, share the buffer they are
 * seen through, and what a padding reads is stored inside the padded value. Equal kernels are one (lower_kernel.c). Subgraphs are lowered in place: their inputs are the
 * outer values, their results are copied where the control node's results lie.
 * Needs: pass fuse has marked values; no composites. Leaves: schedules, offsets. */
#include "lower.h"

#include "../ir/extern.h"

#include <string.h>

static void lower_graph(struct lowering *l, const struct graph *graph, struct storage *storage, struct stmt **out);

static struct storage dense(struct lowering *l, const struct type *type, struct buffer *buf)
{
    struct storage s = {.known = true};
    view_row_major(l->prog, type, buf, &s.view);
    return s;
}

static enum side side_of(const struct lowering *l, const struct node *node)
{
    return l->placed && node->home == HOME_CPU ? SIDE_HOST : SIDE_DEVICE;
}

static struct buffer *value_buffer(struct lowering *l, const struct value *value, enum space space)
{
    const char *name = value->name && value->name[0] ? text_identifier(l->prog->arena, value->name) : op_row(value->node->op)->name;
    struct buffer *buf = prog_buffer(l->prog, name, value->type.dt, space, type_elements(l->prog->dims, &value->type));
    buf->type = value->type;
    buf->place = value->node->place;
    if (space == SPACE_ARENA || space == SPACE_OUTPUT) buf->side = side_of(l, value->node);
    return buf;
}

/* Offset that indices along the axes add, for a part that starts at `from` along `axis`. */
static struct storage part_of(struct lowering *l, const struct storage *whole, int axis, dim from)
{
    struct storage s = *whole;
    s.view.offset = dim_add(l->prog->dims, s.view.offset, dim_mul(l->prog->dims, from, s.view.stride[axis]));
    return s;
}

static bool is_stored(const struct value *value)
{
    return !value->fused && value->node->op != OP_const && value->node->op != OP_input;
}

/* Or by something else that wants it whole and in order. */
static bool used_by_control(const struct graph *graph, const struct value *value)
{
    for (int i = 0; i < graph->nodes.n; i++) {
        enum op_kind kind = op_row(graph->nodes.at[i]->op)->kind;
        if (kind != OP_CONTROL && kind != OP_EXTERN && graph->nodes.at[i]->op != OP_transfer) continue;
        for (int k = 0; k < graph->nodes.at[i]->n_in; k++)
            if (graph->nodes.at[i]->in[k] == value) return true;
    }
    return false;
}

static bool is_kernel_node(const struct node *node)
{
    enum op_kind kind = op_row(node->op)->kind;
    if (node->op == OP_transfer) return false; /* contiguous where it comes from and goes to */
    return kind == OP_MAP || kind == OP_MOVE || kind == OP_REDUCE || kind == OP_CONTRACT;
}

static struct storage inside_of(struct lowering *l, const struct node *node, const struct storage *whole)
{
    struct storage s = *whole;
    for (int i = 0; i < node->out[0].type.rank; i++) s = part_of(l, &s, i, node_attr(node, "before")->ints[i]);
    return s;
}

/* Where values lie, last node first, so that a concat or an output reshape hands its place on to what it reads. */
static void place_values(struct lowering *l, const struct graph *graph, struct storage *storage)
{
    for (int i = graph->nodes.n - 1; i >= 0; i--) {
        const struct node *node = graph->nodes.at[i];
        for (int k = 0; k < node->n_out; k++) {
            const struct value *value = &node->out[k];
            struct storage *s = &storage[value->id];
            if (!is_stored(value)) continue;
            if (!s->known) *s = dense(l, &value->type, value_buffer(l, value, SPACE_ARENA));
        }
        const struct value *value = &node->out[0], *x = node->n_in ? node->in[0] : NULL;
        if (!is_stored(value)) continue;
        if (node->op == OP_reshape && is_stored(x) && !storage[x->id].known) {
            struct storage *s = &storage[x->id], same = dense(l, &value->type, storage[value->id].view.buf);
            same.view.offset = storage[value->id].view.offset;
            if (memcmp(&same.view, &storage[value->id].view, sizeof same.view) != 0) continue; /* a strided part */
            *s = dense(l, &x->type, same.view.buf);
            s->view.offset = same.view.offset;
            s->call_offset = storage[value->id].call_offset;
            storage[value->id].alias = true;
        }
        if (node->op == OP_pad && node_is_border(node) && is_stored(x) && !storage[x->id].known && is_kernel_node(x->node) && !used_by_control(graph, x)) {
            storage[x->id] = inside_of(l, node, &storage[value->id]);
            storage[x->id].in_place = true;
        }
        if (node->op != OP_concat) continue;
        int axis = (int)node_int(node, "axis", 0);
        dim from = 0;
        for (int k = 0; k < node->n_in; k++) {
            const struct value *part = node->in[k];
            bool again = false;
            for (int j = 0; j < k; j++) again |= node->in[j] == part;
            if (is_stored(part) && !storage[part->id].known && !again && is_kernel_node(part->node) && !used_by_control(graph, part)) {
                storage[part->id] = part_of(l, &storage[value->id], axis, from);
                storage[part->id].in_place = true;
            }
            from = dim_add(l->prog->dims, from, part->type.dim[axis]);
        }
    }
}

/* A constant of symbolic dims, put down on the side that reads it. */
static struct storage *sizes_of(struct lowering *l, const struct value *value)
{
    for (int i = 0; i < l->sizes.n; i++)
        if (l->sizes.at[i]->value == value && l->sizes.at[i]->storage.view.buf->side == l->side) return &l->sizes.at[i]->storage;
    struct sizes *sizes = NEW(l->prog->arena, struct sizes);
    struct buffer *buf = value_buffer(l, value, SPACE_ARENA);
    buf->side = l->side;
    *sizes = (struct sizes){value, dense(l, &value->type, buf)};
    LIST_PUSH(l->prog->arena, &l->sizes, sizes);
    stmt_append(l->first, kernel_of_dims(l, value_const(value), &sizes->storage));
    return &sizes->storage;
}

/* Storage of a value that a kernel reads; constants get their buffer on first use. */
struct storage *storage_of(struct lowering *l, struct storage *storage, const struct value *value)
{
    struct storage *s = &storage[value->id];
    const struct tensor *known = value_const(value);
    if (s->known && known && known->is_dims && s->view.buf->side != l->side) return sizes_of(l, value); /* a second copy */
    if (s->known) return s;
    if (value->node->op != OP_const) bug("lower", "value %d has no place", value->id);
    const struct tensor *t = value->node->tensor;
    for (int i = 0; i < l->weights.n; i++)
        if (l->weights.at[i]->tensor->data == t->data && type_equal(&l->weights.at[i]->tensor->type, &t->type)) {
            *s = dense(l, &value->type, l->weights.at[i]);
            return s;
        }
    if (t->is_dims) {
        *s = *sizes_of(l, value);
        return s;
    }
    struct buffer *buf = value_buffer(l, value, SPACE_WEIGHT);
    *s = dense(l, &value->type, buf);
    buf->tensor = t;
    LIST_PUSH(l->prog->arena, &l->weights, buf);
    return s;
}

static void lower_concat(struct lowering *l, const struct node *node, struct storage *storage, struct stmt **out)
{
    int axis = (int)node_int(node, "axis", 0);
    dim from = 0;
    for (int i = 0; i < node->n_in; i++) {
        const struct value *part = node->in[i];
        struct storage to = part_of(l, &storage[node->out[0].id], axis, from);
        from = dim_add(l->prog->dims, from, part->type.dim[axis]);
        if (storage[part->id].known && storage[part->id].in_place && !memcmp(&storage[part->id].view, &to.view, sizeof to.view)) continue;
        if (part->fused) stmt_append(out, kernel_of_value(l, storage, part, &to));
        else stmt_append(out, kernel_of_copy(l, &part->type, storage_of(l, storage, part), &to));
    }
}

/* What was padded is in place already: only the border is written, a slab before and after along each axis. */
static void lower_border(struct lowering *l, const struct node *node, struct storage *storage, struct stmt **out)
{
    const int64_t *sides[] = {node_attr(node, "before")->ints, node_attr(node, "after")->ints};
    const struct type *inner = &node->in[0]->type;
    struct type slab = node->out[0].type;
    struct storage at = storage[node->out[0].id];
    for (int i = 0; i < slab.rank; i++) { /* axes before i: only the inside is left to cover */
        dim whole = slab.dim[i];
        for (int side = 0; side < 2; side++) {
            slab.dim[i] = sides[side][i];
            struct storage to = part_of(l, &at, i, side ? dim_sub(l->prog->dims, whole, slab.dim[i]) : 0);
            stmt_append(out, kernel_of_fill(l, &slab, node->in[1], &to));
        }
        slab.dim[i] = inner->dim[i];
        at = part_of(l, &at, i, sides[0][i]);
    }
}

static ex scalar_load(struct lowering *l, const struct storage *s, enum dtype dt)
{
    ex at = ex_dim(l->prog, s->view.offset);
    if (s->call_offset) at = ex_binary(l->prog, EX_add, at, s->call_offset);
    return ex_load(l->prog, s->view.buf, dt, at, 1, 1);
}

static ex control_scalar(struct lowering *l, struct storage *storage, const struct value *value)
{
    const struct tensor *t = value_const(value);
    if (t && !t->is_dims) {
        int64_t v = 0;
        memcpy(&v, t->data, (size_t)dtype_bytes(t->type.dt));
        return ex_int(l->prog, value->type.dt, v);
    }
    if (t) return ex_cast(l->prog, ex_dim(l->prog, *(const int64_t *)t->data), value->type.dt);
    return scalar_load(l, storage_of(l, storage, value), value->type.dt);
}

/* Lowers a subgraph with its inputs bound to places; results[i] tells where its outputs are. */
static void lower_body(struct lowering *l, const struct graph *body, const struct storage *in, const struct storage *results, struct stmt **out)
{
    struct storage *storage = NEW_ARRAY(l->prog->arena, struct storage, body->next_value + 1);
    for (int i = 0; i < body->inputs.n; i++) storage[body->inputs.at[i]->id] = in[i];
    for (int i = 0; i < body->outputs.n; i++) {
        const struct value *v = body->outputs.at[i];
        if (results[i].known && is_stored(v) && !storage[v->id].known && is_kernel_node(v->node)) storage[v->id] = results[i];
    }
    lower_graph(l, body, storage, out);
    for (int i = 0; i < body->outputs.n; i++) {
        const struct value *v = body->outputs.at[i];
        if (!results[i].known) continue;
        struct storage *s = storage_of(l, storage, v);
        if (s->view.buf == results[i].view.buf && !memcmp(&s->view, &results[i].view, sizeof s->view) && s->call_offset == results[i].call_offset) continue;
        stmt_append(out, kernel_of_copy(l, &v->type, s, &results[i]));
    }
}

static void lower_if(struct lowering *l, const struct node *node, struct storage *storage, struct stmt **out)
{
    struct storage *in = NEW_ARRAY(l->prog->arena, struct storage, node->n_in), *results = NEW_ARRAY(l->prog->arena, struct storage, node->n_out + 1);
    struct stmt *branch = stmt_new(l->prog, STMT_IF);
    for (int i = 1; i < node->n_in; i++) in[i - 1] = *storage_of(l, storage, node->in[i]);
    for (int i = 0; i < node->n_out; i++) results[i] = storage[node->out[i].id];
    branch->a = control_scalar(l, storage, node->in[0]);
    lower_body(l, node_attr(node, "then")->graph, in, results, &branch->body);
    lower_body(l, node_attr(node, "else")->graph, in, results, &branch->other);
    stmt_append(out, branch);
}

static struct storage fresh(struct lowering *l, const struct type *type, const char *name)
{
    struct buffer *buf = prog_buffer(l->prog, name, type->dt, SPACE_ARENA, type_elements(l->prog->dims, type));
    buf->type = *type;
    buf->side = l->side;
    return dense(l, type, buf);
}

/* Slice `at` (a main-level index) of a stacked value. */
static struct storage slice_of(struct lowering *l, const struct storage *whole, const struct type *type, ex at)
{
    struct storage s = {.known = true, .view = {.buf = whole->view.buf, .offset = whole->view.offset}};
    for (int i = 1; i < type->rank; i++) s.view.stride[i - 1] = whole->view.stride[i];
    s.call_offset = ex_binary(l->prog, EX_mul, at, ex_dim(l->prog, whole->view.stride[0]));
    if (whole->call_offset) s.call_offset = ex_binary(l->prog, EX_add, s.call_offset, whole->call_offset);
    return s;
}

/* Carried values live in the node's results; an iteration writes new ones aside and copies them over at its end. */
static void carry_in(struct lowering *l, const struct node *node, struct storage *storage, int first, int n, struct stmt **out)
{
    for (int i = 0; i < n; i++)
        stmt_append(out, kernel_of_copy(l, &node->out[i].type, storage_of(l, storage, node->in[first + i]), &storage[node->out[i].id]));
}

static void carry_over(struct lowering *l, const struct node *node, const struct storage *storage, const struct storage *next, int n, struct stmt **out)
{
    for (int i = 0; i < n; i++) stmt_append(out, kernel_of_copy(l, &node->out[i].type, &next[i], &storage[node->out[i].id]));
}

static void lower_scan(struct lowering *l, const struct node *node, struct storage *storage, struct stmt **out)
{
    struct prog *prog = l->prog;
    const struct graph *body = node_attr(node, "body")->graph;
    int n_states = (int)node_int(node, "n_states", 0), n_sequences = (int)node_int(node, "n_sequences", 0);
    struct storage *in = NEW_ARRAY(prog->arena, struct storage, node->n_in), *results = NEW_ARRAY(prog->arena, struct storage, node->n_out + 1);
    struct var *step = prog_index(prog, "step", 0, dim_sub(prog->dims, node->in[n_states]->type.dim[0], 1));
    carry_in(l, node, storage, 0, n_states, out);
    for (int i = 0; i < node->n_in; i++) {
        struct storage *s = storage_of(l, storage, node->in[i]);
        if (i < n_states) in[i] = storage[node->out[i].id];
        else if (i < n_states + n_sequences) in[i] = slice_of(l, s, &node->in[i]->type, ex_var(prog, step));
        else in[i] = *s;
    }
    for (int i = 0; i < node->n_out; i++)
        results[i] = i < n_states ? fresh(l, &node->out[i].type, "next") : slice_of(l, &storage[node->out[i].id], &node->out[i].type, ex_var(prog, step));
    struct stmt *inside = NULL;
    lower_body(l, body, in, results, &inside);
    carry_over(l, node, storage, results, n_states, &inside);
    ex end = ex_dim(prog, node->in[n_states]->type.dim[0]);
    stmt_append(out, stmt_for(prog, step, ex_dim(prog, 0), end, 1, inside));
}

static void lower_loop(struct lowering *l, const struct node *node, struct storage *storage, struct stmt **out)
{
    struct prog *prog = l->prog;
    const struct graph *body = node_attr(node, "body")->graph;
    int n_carried = (int)node_int(node, "n_carried", 0);
    struct storage *in = NEW_ARRAY(prog->arena, struct storage, node->n_in), *results = NEW_ARRAY(prog->arena, struct storage, body->outputs.n + 1);
    struct var *trip = prog_var(prog, "trip", DT_index, 1), *go = prog_var(prog, "go", DT_bool, 1);
    ex trips = ex_cast(prog, control_scalar(l, storage, node->in[0]), DT_index), one = ex_dim(prog, 1);
    carry_in(l, node, storage, 2, n_carried, out);
    stmt_append(out, stmt_let(prog, trip, ex_dim(prog, 0), true));
    ex start = ex_binary(prog, EX_and, ex_binary(prog, EX_lt, ex_var(prog, trip), trips), control_scalar(l, storage, node->in[1]));
    stmt_append(out, stmt_let(prog, go, start, true));
    static const struct type i64 = {.dt = DT_i64}, boolean = {.dt = DT_bool};
    in[0] = fresh(l, &i64, "iteration");
    in[1] = fresh(l, &boolean, "condition");
    for (int i = 2; i < node->n_in; i++) in[i] = i < 2 + n_carried ? storage[node->out[i - 2].id] : *storage_of(l, storage, node->in[i]);
    results[0] = fresh(l, &boolean, "more");
    for (int i = 0; i < node->n_out; i++)
        results[1 + i] = i < n_carried ? fresh(l, &node->out[i].type, "next") : slice_of(l, &storage[node->out[i].id], &node->out[i].type, ex_var(prog, trip));
    struct stmt *inside = kernel_of_scalar(l, ex_cast(prog, ex_var(prog, trip), DT_i64), &in[0]);
    stmt_append(&inside, kernel_of_scalar(l, ex_var(prog, go), &in[1]));
    lower_body(l, body, in, results, &inside);
    carry_over(l, node, storage, results + 1, n_carried, &inside);
    stmt_append(&inside, stmt_set(prog, trip, ex_binary(prog, EX_add, ex_var(prog, trip), one)));
    ex again = ex_binary(prog, EX_and, ex_binary(prog, EX_lt, ex_var(prog, trip), trips), scalar_load(l, &results[0], DT_bool));
    stmt_append(&inside, stmt_set(prog, go, again));
    struct stmt *guard = stmt_new(prog, STMT_IF), *loop = stmt_new(prog, STMT_WHILE);
    guard->a = loop->a = ex_var(prog, go);
    loop->body = inside;
    guard->body = loop;
    stmt_append(out, guard);
}

static void lower_extern(struct lowering *l, const struct node *node, struct storage *storage, struct stmt **out)
{
    struct prog *prog = l->prog;
    struct stmt *call = stmt_new(prog, STMT_CALL);
    call->extern_name = op_row(node->op)->name;
    call->place = node->place;
    call->n_args = node->n_in + node->n_out;
    call->args = NEW_ARRAY(prog->arena, struct call_arg, call->n_args);
    for (int i = 0; i < call->n_args; i++) {
        const struct storage *s = i < node->n_in ? storage_of(l, storage, node->in[i]) : &storage[node->out[i - node->n_in].id];
        ex at = ex_dim(prog, s->view.offset);
        call->args[i] = (struct call_arg){s->view.buf, s->call_offset ? ex_binary(prog, EX_add, at, s->call_offset) : at};
    }
    dim scalars[EXTERN_SCALARS_MOST];
    call->n_scalars = extern_scalars(prog->dims, node, scalars);
    call->scalars = NEW_ARRAY(prog->arena, ex, call->n_scalars);
    for (int i = 0; i < call->n_scalars; i++) call->scalars[i] = ex_dim(prog, scalars[i]);
    stmt_append(out, call);
}

static void lower_node(struct lowering *l, const struct node *node, struct storage *storage, struct stmt **out)
{
    switch (op_row(node->op)->kind) {
    case OP_LEAF: return;
    case OP_COMPOSITE: bug("lower", "composite %s was not expanded", op_row(node->op)->name);
    case OP_CONTROL:
        if (node->op == OP_if) lower_if(l, node, storage, out);
        else if (node->op == OP_loop) lower_loop(l, node, storage, out);
        else lower_scan(l, node, storage, out);
        return;
    case OP_EXTERN: lower_extern(l, node, storage, out); return;
    case OP_MAP: case OP_MOVE: case OP_REDUCE: case OP_CONTRACT: break;
    }
    const struct value *value = &node->out[0];
    if (value->fused || storage[value->id].alias) return;
    bool inside = node->op == OP_pad && is_stored(node->in[0]) && storage[node->in[0]->id].in_place &&
                  storage[node->in[0]->id].view.buf == storage[value->id].view.buf;
    if (node->op == OP_concat) lower_concat(l, node, storage, out);
    else if (node->op == OP_transfer) stmt_append(out, kernel_of_transfer(l, value, storage_of(l, storage, node->in[0]), &storage[value->id]));
    else if (inside) lower_border(l, node, storage, out);
    else stmt_append(out, kernel_of_value(l, storage, value, &storage[value->id]));
}

static void lower_graph(struct lowering *l, const struct graph *graph, struct storage *storage, struct stmt **out)
{
    enum side side = l->side;
    place_values(l, graph, storage);
    for (int i = 0; i < graph->nodes.n; i++) {
        l->side = side_of(l, graph->nodes.at[i]);
        lower_node(l, graph->nodes.at[i], storage, out);
    }
    l->side = side;
}

struct prog *pass_lower(const struct graph *graph, struct arena *unit, const struct pass_options *options)
{
    (void)options;
    struct prog *prog = prog_new(unit, graph->session, graph->dims, graph->name);
    struct storage *storage = NEW_ARRAY(unit, struct storage, graph->next_value + 1);
    struct stmt *first = NULL, *rest = NULL;
    struct lowering l = {.prog = prog, .first = &first, .placed = graph->placed};
    prog->scales = graph->scales;
    for (int i = 0; i < graph->inputs.n; i++) {
        struct buffer *buf = value_buffer(&l, graph->inputs.at[i], SPACE_INPUT);
        storage[graph->inputs.at[i]->id] = dense(&l, &graph->inputs.at[i]->type, buf);
        LIST_PUSH(unit, &prog->input_names, graph->inputs.at[i]->name ? graph->inputs.at[i]->name : "");
    }
    struct storage *results = NEW_ARRAY(unit, struct storage, graph->outputs.n + 1);
    for (int i = 0; i < graph->outputs.n; i++) {
        const struct value *v = graph->outputs.at[i];
        struct buffer *buf = prog_buffer(prog, text_identifier(unit, graph->output_names.at[i]), v->type.dt, SPACE_OUTPUT, type_elements(graph->dims, &v->type));
        buf->type = v->type;
        buf->side = side_of(&l, v->node);
        results[i] = dense(&l, &v->type, buf);
        LIST_PUSH(unit, &prog->output_names, graph->output_names.at[i]);
        if (is_stored(v) && !storage[v->id].known) storage[v->id] = results[i];
    }
    lower_graph(&l, graph, storage, &rest);
    for (int i = 0; i < graph->outputs.n; i++) { /* inputs, constants and repeated values as outputs */
        l.side = results[i].view.buf->side;
        const struct storage *s = storage_of(&l, storage, graph->outputs.at[i]);
        if (s->view.buf != results[i].view.buf) stmt_append(&rest, kernel_of_copy(&l, &graph->outputs.at[i]->type, s, &results[i]));
    }
    stmt_append(&first, rest);
    prog->main = first;
    return prog;
}
