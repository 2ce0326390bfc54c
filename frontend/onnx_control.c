/* If, Loop and Scan.
 *
 * What is decided when compiling is not left for run time: a branch with a known condition is built in place, a short
 * loop whose trip count is known and that nothing ends early is unrolled. The rest become closed subgraphs (graph.h).
 */
#include "onnx_build.h"

#include <string.h>

enum { UNROLLED_MOST = 64 };

static struct value *scalar_of(struct graph *g, struct value *x)
{
    return x && x->type.rank ? graph_reshape(g, x, 0, NULL) : x;
}

static struct value *take_results(struct onnx_call *c, struct value *first, int skip)
{
    if (!first) return NULL;
    for (int i = 0; i < c->n_out && skip + i < first->node->n_out; i++) c->out[i] = &first->node->out[skip + i];
    return c->n_out ? c->out[0] : first;
}

static int add_captures(struct onnx_captures *captures, struct value **in, int n)
{
    for (int i = 0; i < captures->n; i++) in[n + i] = captures->at[i].value;
    return n + captures->n;
}

static bool same_results(const struct graph *a, const struct graph *b)
{
    bool same = a->outputs.n == b->outputs.n;
    for (int i = 0; same && i < a->outputs.n; i++) same = type_equal(&a->outputs.at[i]->type, &b->outputs.at[i]->type);
    return same;
}

/* The dynamic extent that a condition compares with 1 (`Shape(x)[2] == 1`); false where it is no such condition. */
static bool compares_with_one(struct graph *g, const struct value *condition, dim *extent)
{
    const int64_t *a, *b;
    while (condition && (condition->node->op == OP_reshape || condition->node->op == OP_cast))
        condition = condition->node->in[0];
    if (!condition || condition->node->op != OP_eq) return false;
    if (value_ints(g, condition->node->in[0], &a) != 1 || value_ints(g, condition->node->in[1], &b) != 1) return false;
    *extent = a[0] == 1 ? b[0] : a[0];
    return a[0] == 1 || b[0] == 1;
}

static struct value *build_if(struct onnx_call *c)
{
    const Onnx__GraphProto *yes = onnx_graph_attribute(c, "then_branch"), *no = onnx_graph_attribute(c, "else_branch");
    struct onnx_captures captures = {0};
    struct graph *g = c->graph;
    double known;
    if (!c->in[0] || !yes || !no) return onnx_error(c, "needs a condition and two branches");
    if (value_number(c->in[0], &known))
        return onnx_import_inline(c, known != 0 ? yes : no, 0, NULL, c->n_out, c->out) ? c->out[0] : NULL;
    onnx_collect_captures(c, yes, &captures);
    onnx_collect_captures(c, no, &captures);
    struct graph *then = onnx_import_subgraph(c, yes, 0, NULL, &captures);
    struct graph *otherwise = onnx_import_subgraph(c, no, 0, NULL, &captures);
    dim extent;
    if (!then || !otherwise) return NULL;
    if (!same_results(then, otherwise) && compares_with_one(g, c->in[0], &extent)) {
        /* Exporters write Squeeze of a dynamic axis so; only one branch can be what the rest of the model takes. */
        if (!onnx_assume_one(c, extent, "the dimension that decides the result's rank")) return NULL;
        return onnx_import_inline(c, yes, 0, NULL, c->n_out, c->out) ? c->out[0] : NULL;
    }
    struct value **in = NEW_ARRAY(g->arena, struct value *, captures.n + 1);
    in[0] = scalar_of(g, c->in[0]);
    int n_in = add_captures(&captures, in, 1);
    return take_results(
        c, graph_node(g, OP_if, n_in, in, 2, (struct attr[]){ATTR_G("then", then), ATTR_G("else", otherwise)}), 0);
}

/* One iteration after the other; what is stacked is collected. False where the condition turns out unknown. */
static bool unroll_loop(struct onnx_call *c, const Onnx__GraphProto *body, int64_t trips, int n_carried, bool *is_known)
{
    struct graph *g = c->graph;
    int n_slices = (int)body->n_output - 1 - n_carried, n_done = 0;
    struct value **in = NEW_ARRAY(g->arena, struct value *, n_carried + 2),
                 **out = NEW_ARRAY(g->arena, struct value *, body->n_output + 1);
    struct value **slices = NEW_ARRAY(g->arena, struct value *, (n_slices + 1) * (trips + 1));
    in[1] = graph_int(g, DT_bool, 1);
    for (int i = 0; i < n_carried; i++) in[2 + i] = c->in[2 + i];
    for (int64_t t = 0; t < trips; t++) {
        double more;
        in[0] = graph_int(g, DT_i64, t);
        if (!onnx_import_inline(c, body, n_carried + 2, in, (int)body->n_output, out)) return false;
        *is_known = value_number(out[0], &more);
        if (!*is_known) return false;
        for (int i = 0; i < n_carried; i++) in[2 + i] = out[1 + i];
        for (int i = 0; i < n_slices; i++) slices[i * trips + n_done] = build_unsqueeze(g, out[1 + n_carried + i], 0);
        n_done++;
        if (more == 0) break;
    }
    for (int i = 0; i < n_carried && i < c->n_out; i++) c->out[i] = in[2 + i];
    for (int i = 0; i < n_slices && n_carried + i < c->n_out; i++) {
        if (n_done == 0) return onnx_refuse(c, "stacked results of a loop that never runs"), false;
        c->out[n_carried + i] = n_done == 1 ? slices[i * trips] : graph_concat(g, n_done, slices + i * trips, 0);
    }
    return true;
}

static struct value *build_loop(struct onnx_call *c)
{
    const Onnx__GraphProto *body = onnx_graph_attribute(c, "body");
    struct graph *g = c->graph;
    double trips, going = 1;
    struct onnx_captures captures = {0};
    if (!body || body->n_output < 1) return onnx_error(c, "needs a body");
    int n_carried = c->n_in > 2 ? c->n_in - 2 : 0, n_formals = n_carried + 2;
    if ((int)body->n_output - 1 < n_carried)
        return onnx_error(c, "the body gives %zu values, %d are carried", body->n_output - 1, n_carried);
    bool is_going = !c->in[1] || (value_number(c->in[1], &going) && going != 0), is_known = true;
    if (is_going && c->in[0] && value_number(c->in[0], &trips) && trips >= 0 && trips <= UNROLLED_MOST) {
        int errors = diag_errors(g->diag);
        if (unroll_loop(c, body, (int64_t)trips, n_carried, &is_known)) return c->out[0];
        if (is_known || errors != diag_errors(g->diag)) return NULL;
    }
    if ((int)body->n_output - 1 > n_carried && c->in[0] && !value_const(c->in[0]))
        return onnx_must_know(c, 0, "the trip count of a loop that stacks results");
    struct type *types = NEW_ARRAY(g->arena, struct type, n_formals);
    types[0] = (struct type){.dt = DT_i64};
    types[1] = (struct type){.dt = DT_bool};
    for (int i = 2; i < n_formals; i++) {
        if (!c->in[i]) return onnx_error(c, "carried value %d is absent", i - 2);
        types[i] = c->in[i]->type;
    }
    onnx_collect_captures(c, body, &captures);
    struct graph *closed = onnx_import_subgraph(c, body, n_formals, types, &captures);
    if (!closed) return NULL;
    if (closed->outputs.at[0]->type.rank) closed->outputs.at[0] = scalar_of(closed, closed->outputs.at[0]);
    struct value **in = NEW_ARRAY(g->arena, struct value *, n_formals + captures.n + 1);
    in[0] = c->in[0] ? scalar_of(g, c->in[0]) : graph_int(g, DT_i64, DIM_HUGE);
    in[1] = c->in[1] ? scalar_of(g, c->in[1]) : graph_int(g, DT_bool, 1);
    for (int i = 2; i < n_formals; i++) in[i] = c->in[i];
    int n_in = add_captures(&captures, in, n_formals);
    struct attr attrs[] = {ATTR_I("n_carried", n_carried), ATTR_G("body", closed)};
    return take_results(c, graph_node(g, OP_loop, n_in, in, 2, attrs), 0);
}

/* Sequence or result i along its axis and direction: to axis 0 running forward (or back from there). */
static struct value *orient(struct onnx_call *c, struct value *x, const char *axes, const char *directions, int i,
                            bool is_back)
{
    const int64_t *list;
    int axis = 0, n = onnx_ints(c, axes, &list);
    int64_t perm[RANK_MOST];
    if (!x) return NULL;
    if (i < n && !onnx_axis(c, list[i], x->type.rank, &axis)) return NULL;
    n = onnx_ints(c, directions, &list);
    if (i < n && list[i]) x = build_reverse(c->graph, x, is_back ? 0 : axis);
    if (axis == 0 || !x) return x;
    for (int k = 0, from = 1; k < x->type.rank; k++) /* only the one axis moves */
        if (is_back) perm[k] = k == axis ? 0 : from++;
        else perm[k] = k == 0 ? axis : k <= axis ? k - 1 : k;
    return graph_transpose(c->graph, x, perm);
}

static struct value *build_scan(struct onnx_call *c)
{
    const Onnx__GraphProto *body = onnx_graph_attribute(c, "body");
    struct graph *g = c->graph;
    struct onnx_captures captures = {0};
    int64_t many = onnx_int(c, "num_scan_inputs", 0);
    if (!body || many < 1 || many > c->n_in)
        return onnx_error(c, "num_scan_inputs %lld of %d inputs", (long long)many, c->n_in);
    int n_sequences = (int)many, n_states = c->n_in - n_sequences;
    struct type *types = NEW_ARRAY(g->arena, struct type, c->n_in + 1);
    onnx_collect_captures(c, body, &captures);
    struct value **in = NEW_ARRAY(g->arena, struct value *, c->n_in + captures.n + 1);
    for (int i = 0; i < c->n_in; i++) {
        in[i] = i < n_states ? c->in[i]
                             : orient(c, c->in[i], "scan_input_axes", "scan_input_directions", i - n_states, false);
        if (!in[i]) return NULL;
        types[i] = in[i]->type;
        if (i < n_states) continue;
        types[i].rank--;
        for (int k = 0; k < types[i].rank; k++) types[i].dim[k] = in[i]->type.dim[k + 1];
    }
    struct graph *closed = onnx_import_subgraph(c, body, c->n_in, types, &captures);
    if (!closed) return NULL;
    int n_in = add_captures(&captures, in, c->n_in);
    struct attr attrs[] = {ATTR_I("n_states", n_states), ATTR_I("n_sequences", n_sequences), ATTR_G("body", closed)};
    if (!take_results(c, graph_node(g, OP_scan, n_in, in, 3, attrs), 0)) return NULL;
    for (int i = n_states; i < c->n_out; i++)
        c->out[i] = orient(c, c->out[i], "scan_output_axes", "scan_output_directions", i - n_states, true);
    return c->out[0];
}

const struct onnx_row onnx_control_rows[] = {
    {"If", 1, 0, 1, build_if},
    {"Loop", 1, 0, 0, build_loop},
    {"Scan", 9, 0, 1, build_scan},
    {NULL, 0, 0, 0, NULL},
};
