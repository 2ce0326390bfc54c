/* Equality of graphs: the same live nodes in the same order, with equal attributes, types and constants.
 *
 * Names and places do not count, nor do nodes that nothing depends on; NaNs are equal to each other.
 */
#include "graph_print.h"

#include <string.h>

struct compare {
    int *a, *b; /* positions of values among the printed ones, by id */
    int n;
    struct dims *dims_a, *dims_b;
    struct arena *scratch;
};

/* Equal as expressions: handles where the graphs share their symbols, otherwise by text, which has one form. */
static bool same_dim(const struct compare *compare, dim a, dim b)
{
    if (compare->dims_a == compare->dims_b || (dim_is_const(a) && dim_is_const(b))) return a == b;
    if (dim_is_const(a) || dim_is_const(b)) return false;
    struct text x = {.arena = compare->scratch}, y = {.arena = compare->scratch};
    dim_print(compare->dims_a, &x, a, false);
    dim_print(compare->dims_b, &y, b, false);
    return !strcmp(text_string(&x), text_string(&y));
}

static bool same_dims(const struct compare *compare, int n, const int64_t *a, const int64_t *b)
{
    for (int i = 0; i < n; i++)
        if (!same_dim(compare, a[i], b[i])) return false;
    return true;
}

static bool same_type(const struct compare *compare, const struct type *a, const struct type *b)
{
    return a->dt == b->dt && a->rank == b->rank && same_dims(compare, a->rank, a->dim, b->dim);
}

static bool is_nan_at(const struct tensor *tensor, int64_t i)
{
    double d;
    float f;
    uint16_t half;
    const char *at = (const char *)tensor->data + i * dtype_bytes(tensor->type.dt);
    if (tensor->type.dt == DT_f64) return memcpy(&d, at, sizeof d), d != d;
    if (tensor->type.dt == DT_f32) return memcpy(&f, at, sizeof f), f != f;
    memcpy(&half, at, sizeof half);
    if (tensor->type.dt == DT_f16) return (half & 0x7c00) == 0x7c00 && (half & 0x3ff);
    return tensor->type.dt == DT_bf16 && (half & 0x7f80) == 0x7f80 && (half & 0x7f);
}

static bool same_tensor(const struct compare *compare, const struct tensor *a, const struct tensor *b)
{
    if (!type_equal(&a->type, &b->type) || a->n_bytes != b->n_bytes) return false;
    if (a->is_dims || b->is_dims) return same_dims(compare, (int)(a->n_bytes / 8), a->data, b->data);
    if (a->data == b->data || a->n_bytes == 0 || !memcmp(a->data, b->data, (size_t)a->n_bytes)) return true;
    if (!dtype_is_float(a->type.dt)) return false;
    int64_t n = type_count(&a->type), size = dtype_bytes(a->type.dt);
    for (int64_t i = 0; i < n; i++)
        if (memcmp((const char *)a->data + i * size, (const char *)b->data + i * size, (size_t)size) != 0 &&
            !(is_nan_at(a, i) && is_nan_at(b, i)))
            return false;
    return true;
}

static bool same_attr(const struct compare *compare, const struct attr *a, const struct attr *b)
{
    if (strcmp(a->name, b->name) != 0 || a->kind != b->kind) return false;
    switch (a->kind) {
    case ATTR_INT: return same_dim(compare, a->i, b->i);
    case ATTR_FLOAT: return !memcmp(&a->f, &b->f, sizeof a->f) || (a->f != a->f && b->f != b->f);
    case ATTR_INTS: return a->n == b->n && same_dims(compare, a->n, a->ints, b->ints);
    case ATTR_STRING: return !strcmp(a->s, b->s);
    case ATTR_GRAPH: return graph_equal(a->graph, b->graph);
    }
    return false;
}

static bool same_node(const struct compare *compare, const struct node *a, const struct node *b)
{
    if (a->home != b->home) return false;
    if (a->op != b->op || a->n_in != b->n_in || a->n_out != b->n_out || a->n_attrs != b->n_attrs) return false;
    for (int i = 0; i < a->n_in; i++)
        if (compare->a[a->in[i]->id] != compare->b[b->in[i]->id]) return false;
    for (int i = 0; i < a->n_out; i++)
        if (!same_type(compare, &a->out[i].type, &b->out[i].type)) return false;
    for (int i = 0; i < a->n_attrs; i++)
        if (!same_attr(compare, &a->attrs[i], &b->attrs[i])) return false;
    return a->op != OP_const || same_tensor(compare, a->tensor, b->tensor);
}

static void number_values(struct compare *compare, const struct node *a, const struct node *b)
{
    for (int i = 0; i < a->n_out; i++) {
        compare->a[a->out[i].id] = compare->n;
        compare->b[b->out[i].id] = compare->n++;
    }
}

/* The next live node from *i on that is no input. */
static const struct node *next_node(const struct graph *graph, const bool *live, int *i)
{
    while (*i < graph->nodes.n && (!live[*i] || graph->nodes.at[*i]->op == OP_input)) ++*i;
    return *i < graph->nodes.n ? graph->nodes.at[(*i)++] : NULL;
}

static bool same_graph(struct compare *compare, const struct graph *a, const struct graph *b, const bool *live_a,
                       const bool *live_b)
{
    if (a->inputs.n != b->inputs.n || a->outputs.n != b->outputs.n) return false;
    for (int i = 0; i < a->inputs.n; i++) {
        const struct node *x = a->inputs.at[i]->node, *y = b->inputs.at[i]->node;
        if (!same_node(compare, x, y)) return false;
        number_values(compare, x, y);
    }
    for (int i = 0, k = 0;;) {
        const struct node *x = next_node(a, live_a, &i), *y = next_node(b, live_b, &k);
        if (!x && !y) break;
        if (!x || !y || !same_node(compare, x, y)) return false;
        number_values(compare, x, y);
    }
    for (int i = 0; i < a->outputs.n; i++)
        if (compare->a[a->outputs.at[i]->id] != compare->b[b->outputs.at[i]->id]) return false;
    return true;
}

bool graph_equal(const struct graph *a, const struct graph *b)
{
    struct arena *scratch = arena_new();
    struct compare compare = {NEW_ARRAY(scratch, int, a->next_value + 1),
                              NEW_ARRAY(scratch, int, b->next_value + 1),
                              0,
                              a->dims,
                              b->dims,
                              scratch};
    bool equal = same_graph(&compare, a, b, graph_live(a, scratch), graph_live(b, scratch));
    arena_free(scratch);
    return equal;
}
