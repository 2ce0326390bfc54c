/* Shape rules of control flow: what goes into subgraphs and what comes out. See graph.h for the conventions. */
#include "shape_inside.h"

#include <string.h>

static bool subgraph_takes(struct inference *inf, const char *name, int n, const struct type *const *types, struct graph **body)
{
    const struct attr *attr = node_attr(inf->node, name);
    if (!attr || attr->kind != ATTR_GRAPH) return FAIL(inf, "%s needs the subgraph %s", infer_name(inf), name);
    *body = attr->graph;
    if ((*body)->inputs.n != n) return FAIL(inf, "%s: %s takes %d values, %d are given", infer_name(inf), name, (*body)->inputs.n, n);
    for (int i = 0; i < n; i++)
        if (!type_equal(&(*body)->inputs.at[i]->type, types[i]))
            return FAIL(inf, "%s: value %d given to %s is %s, it expects %s", infer_name(inf), i, name,
                        type_string(inf->graph->dims, inf->graph->arena, types[i]),
                        type_string(inf->graph->dims, inf->graph->arena, &(*body)->inputs.at[i]->type));
    return true;
}

static const struct type scalar_bool = {.dt = DT_bool}, scalar_i64 = {.dt = DT_i64};

void set_results(struct inference *inf, int n)
{
    inf->node->n_out = n;
    inf->out = NEW_ARRAY(inf->graph->arena, struct type, n + 1);
}

static bool infer_if(struct inference *inf)
{
    const struct type **types = NEW_ARRAY(inf->graph->arena, const struct type *, inf->node->n_in + 1);
    struct graph *yes, *no;
    if (!type_equal(&inf->node->in[0]->type, &scalar_bool)) return FAIL(inf, "if: the condition is %s, must be bool[]", infer_shown(inf, 0));
    for (int i = 1; i < inf->node->n_in; i++) types[i - 1] = &inf->node->in[i]->type;
    if (!subgraph_takes(inf, "then", inf->node->n_in - 1, types, &yes) || !subgraph_takes(inf, "else", inf->node->n_in - 1, types, &no)) return false;
    if (yes->outputs.n != no->outputs.n) return FAIL(inf, "if: the branches have %d and %d results", yes->outputs.n, no->outputs.n);
    set_results(inf, yes->outputs.n);
    for (int i = 0; i < yes->outputs.n; i++) {
        if (!type_equal(&yes->outputs.at[i]->type, &no->outputs.at[i]->type))
            return FAIL(inf, "if: result %d is %s in one branch, %s in the other", i, type_string(inf->graph->dims, inf->graph->arena, &yes->outputs.at[i]->type),
                        type_string(inf->graph->dims, inf->graph->arena, &no->outputs.at[i]->type));
        inf->out[i] = yes->outputs.at[i]->type;
    }
    return true;
}

/* Results of loop and scan: n_carried values of unchanged type, then slices stacked `trips` times. */
static bool loop_results(struct inference *inf, struct graph *body, int first_out, int n_carried, const struct type *const *carried, dim trips)
{
    int n = body->outputs.n - first_out;
    if (n < n_carried) return FAIL(inf, "%s: the body has %d results, %d carried values", infer_name(inf), n, n_carried);
    set_results(inf, n);
    for (int i = 0; i < n; i++) {
        const struct type *t = &body->outputs.at[first_out + i]->type;
        inf->out[i] = *t;
        if (i < n_carried && !type_equal(t, carried[i]))
            return FAIL(inf, "%s: carried value %d is %s at first and %s after an iteration", infer_name(inf), i, type_string(inf->graph->dims, inf->graph->arena, carried[i]),
                        type_string(inf->graph->dims, inf->graph->arena, t));
        if (i < n_carried) continue;
        if (t->rank == RANK_MOST) return FAIL(inf, "%s: rank above %d", infer_name(inf), RANK_MOST);
        inf->out[i].rank = t->rank + 1;
        inf->out[i].dim[0] = trips;
        memcpy(inf->out[i].dim + 1, t->dim, sizeof t->dim - sizeof t->dim[0]);
    }
    return true;
}

static bool infer_loop(struct inference *inf)
{
    int64_t n_carried;
    struct graph *body;
    const int64_t *trip;
    const struct type **types = NEW_ARRAY(inf->graph->arena, const struct type *, inf->node->n_in + 1);
    if (!wants_int(inf, "n_carried", 0, inf->node->n_in - 2, &n_carried)) return false;
    if (!type_equal(&inf->node->in[0]->type, &scalar_i64) || !type_equal(&inf->node->in[1]->type, &scalar_bool))
        return FAIL(inf, "loop: trip count and condition are %s and %s, must be i64[] and bool[]", infer_shown(inf, 0), infer_shown(inf, 1));
    for (int i = 0; i < inf->node->n_in; i++) types[i] = &inf->node->in[i]->type;
    if (!subgraph_takes(inf, "body", inf->node->n_in, types, &body)) return false;
    if (body->outputs.n < 1 || !type_equal(&body->outputs.at[0]->type, &scalar_bool)) return FAIL(inf, "loop: the body's first result must be bool[]");
    dim trips = value_ints(inf->graph, inf->node->in[0], &trip) == 1 ? trip[0] : -1;
    bool stacks = body->outputs.n - 1 > n_carried;
    double more;
    bool endless = value_number(body->outputs.at[0], &more) && more != 0;
    endless |= body->inputs.n > 1 && body->outputs.at[0] == body->inputs.at[1]; /* its own condition passed on */
    if (stacks && (trips < 0 && dim_is_const(trips))) return FAIL(inf, "loop: stacked results need a trip count known when compiled");
    if (stacks && (!endless || !(value_number(inf->node->in[1], &more) && more != 0)))
        return FAIL(inf, "loop: stacked results of a loop that a condition may end early are not supported");
    return loop_results(inf, body, 1, (int)n_carried, types + 2, trips);
}

static bool infer_scan(struct inference *inf)
{
    int64_t n_states, n_sequences;
    struct graph *body;
    int n_in = inf->node->n_in;
    const struct type **types = NEW_ARRAY(inf->graph->arena, const struct type *, n_in + 1);
    if (!wants_int(inf, "n_states", 0, n_in, &n_states) || !wants_int(inf, "n_sequences", 1, n_in - n_states, &n_sequences)) return false;
    dim trips = 0;
    for (int i = 0; i < n_in; i++) {
        struct type *element = arena_copy(inf->graph->arena, &inf->node->in[i]->type, sizeof *element);
        types[i] = element;
        if (i < n_states || i >= n_states + n_sequences) continue;
        if (element->rank == 0) return FAIL(inf, "scan: sequence %d is a scalar", i);
        if (i > n_states && element->dim[0] != trips) return FAIL(inf, "scan: sequences %s and %s have different lengths", infer_shown(inf, (int)n_states), infer_shown(inf, i));
        trips = element->dim[0];
        element->rank--;
        memmove(element->dim, element->dim + 1, sizeof element->dim - sizeof element->dim[0]);
    }
    if (!subgraph_takes(inf, "body", n_in, types, &body)) return false;
    return loop_results(inf, body, 0, (int)n_states, types, trips);
}

bool infer_control(struct inference *inf)
{
    if (inf->node->op == OP_if) return infer_if(inf);
    return inf->node->op == OP_loop ? infer_loop(inf) : infer_scan(inf);
}
