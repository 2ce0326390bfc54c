/* Pass halves: 16-bit floats are computed and kept as f32, rounded where the model rounds.
 *
 *     y = add(x, z)      f16       ->     t = cast(add(cast(x, f32), cast(z, f32)), f16)
 *     u = relu(y)        f16              u = relu(cast(t, f32))        exact: not rounded again
 *
 * Every operator on f16 and bf16 computes in f32 and rounds its result, so the numbers stay what they were; what is stored
 * between kernels is f32, since a loop that reads a number many times would convert it as often (a product, a convolution, a
 * window), and a value's conversion where it is made is two instructions a vector. Constants become f32 when compiling, unless
 * pass narrow has packed them before. What is stored in 16 bits and only moved stays so. Inputs, outputs, and what loops and conditions hand on keep their type.
 *
 * Needs: composites expanded. Makes true: no operator with a meaning works on 16-bit floats, but for casts. Leaves alone: scatter,
 * which rounds every addition; weights that pass narrow packed; C functions; microcontrollers, where memory counts before time. Read next: expand_half.c. */
#include "passes.h"

struct halves {
    struct graph *to;
    struct value **map;  /* old value -> new one of its type */
    struct value **wide; /* old 16-bit value -> the same numbers in f32 */
};

static bool is_half(const struct value *value)
{
    return dtype_is_half(value->type.dt);
}

static struct value *get(struct halves *h, const struct value *old)
{
    if (!h->map[old->id]) h->map[old->id] = graph_cast(h->to, h->wide[old->id], old->type.dt);
    return h->map[old->id];
}

static struct value *get_wide(struct halves *h, const struct value *old)
{
    if (!is_half(old)) return h->map[old->id];
    if (!h->wide[old->id]) h->wide[old->id] = graph_cast(h->to, h->map[old->id], DT_f32);
    return h->wide[old->id];
}

/* Whether a result is always among the numbers of its operands' type. */
static bool is_exact(enum op op)
{
    switch ((int)op) {
    case OP_neg: case OP_abs: case OP_sign: case OP_floor: case OP_ceil: case OP_round: case OP_trunc: case OP_relu: case OP_min: case OP_max:
    case OP_select: case OP_reduce_min: case OP_reduce_max: case OP_pool_max:
        return true;
    }
    return op_row(op)->kind == OP_MOVE;
}

/* Whether an index map moves what is stored in 16 bits: an input, a table, a cache. Whoever computes with the result converts it. */
static bool moves_stored(const struct halves *h, const struct node *node)
{
    int n = node->op == OP_concat ? node->n_in : 1;
    if (op_row(node->op)->kind != OP_MOVE) return false;
    for (int i = 0; i < n && i < node->n_in; i++)
        if (is_half(node->in[i]) && !h->wide[node->in[i]->id]) return true;
    return false;
}

static bool is_computed_wide(const struct halves *h, const struct node *node)
{
    enum op_kind kind = op_row(node->op)->kind;
    bool any = false;
    if (node->n_out != 1 || node->op == OP_scatter || node->op == OP_matmul_narrow || (kind != OP_MAP && kind != OP_MOVE && kind != OP_REDUCE && kind != OP_CONTRACT)) return false;
    for (int i = 0; i < node->n_in; i++) any |= is_half(node->in[i]);
    return any && !moves_stored(h, node);
}

/* The node in f32. */
static bool widen(struct halves *h, const struct node *node)
{
    const struct value *out = node->out;
    struct value **in = NEW_ARRAY(h->to->arena, struct value *, node->n_in), *y;
    for (int i = 0; i < node->n_in; i++) in[i] = get_wide(h, node->in[i]);
    if (node->op == OP_cast) y = graph_cast(h->to, in[0], is_half(out) ? DT_f32 : out->type.dt);
    else y = graph_node(h->to, node->op, node->n_in, in, node->n_attrs, node->attrs);
    if (!y) return false;
    if (is_half(out) && !is_exact(node->op)) h->map[out->id] = y = graph_cast(h->to, y, out->type.dt);
    if (is_half(out)) h->wide[out->id] = y = graph_cast(h->to, y, DT_f32);
    else h->map[out->id] = y;
    if (out->name) graph_name(h->to, y, out->name);
    return true;
}

struct graph *pass_halves(const struct graph *graph, struct arena *unit, const struct pass_options *options)
{
    int n = graph->next_value + 1;
    struct halves h = {.to = graph_like(graph, unit, graph->name), .map = NEW_ARRAY(unit, struct value *, n), .wide = NEW_ARRAY(unit, struct value *, n)};
    bool *live = graph_live(graph, unit), is_small = options->target && options->target->is_small;
    for (int i = 0; i < graph->nodes.n; i++) {
        const struct node *node = graph->nodes.at[i];
        if (!live[i]) continue;
        graph_at(h.to, node);
        if (!is_small && is_computed_wide(&h, node)) {
            if (!widen(&h, node)) return NULL;
            continue;
        }
        for (int k = 0; k < node->n_in; k++) get(&h, node->in[k]);
        if (!pass_copy_node(h.to, node, h.map, pass_halves, unit, options)) return NULL;
    }
    for (int i = 0; i < graph->outputs.n; i++) get(&h, graph->outputs.at[i]);
    pass_copy_outputs(h.to, graph, h.map);
    return h.to;
}
