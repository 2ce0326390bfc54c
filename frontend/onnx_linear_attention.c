/* LinearAttention: a recurrence over a matrix state per head, as a scan.
 *
 *     S = exp(decay) * S;  v = beta * (v - k S)  (delta rules);  S = S + k^T v;  y = scale * q S
 */
#include "onnx_build.h"

#include <math.h>
#include <string.h>

/* [batch, length, heads * size] as the scan's sequence [length, batch, heads, size], in f32. */
static struct value *steps(struct graph *g, struct value *x, int64_t heads)
{
    dim size;
    if (!x || x->type.rank != 3 || heads < 1 || !dim_divides(g->dims, x->type.dim[2], heads, &size)) return NULL;
    dim dims[4] = {x->type.dim[0], x->type.dim[1], heads, size};
    return build_swap(g, graph_cast(g, graph_reshape(g, x, 4, dims), DT_f32), 0, 1);
}

struct rule {
    bool decays, corrects;
    dim group; /* query heads per key head */
    double scale;
};

static struct value *element_input(struct graph *body, const char *name, const struct value *sequence)
{
    struct type type = sequence->type;
    type.rank--;
    for (int i = 0; i < type.rank; i++) type.dim[i] = type.dim[i + 1];
    return graph_input(body, name, &type);
}

/* The body: state and one element of each sequence to the next state and the output [batch, query heads, size]. */
static struct graph *build_step(struct graph *g, const struct rule *rule, const struct type *state_type, int n,
                                struct value *const *sequences)
{
    static const char *const names[] = {"q", "k", "v", "decay", "beta"};
    struct graph *b = graph_like(g, g->arena, "step");
    struct value *state = graph_input(b, "state", state_type), *x[5] = {NULL};
    for (int i = 0, k = 0; i < 5; i++) {
        if ((i == 3 && !rule->decays) || (i == 4 && !rule->corrects)) continue;
        x[i] = element_input(b, names[i], sequences[k++]);
        if (k > n) return NULL;
    }
    if (!x[0] || !x[1] || !x[2]) return NULL;
    struct value *row = build_unsqueeze(b, x[1], 2), *column = build_unsqueeze(b, x[1], 3),
                 *v = build_unsqueeze(b, x[2], 2); /* [.., 1, dk], [.., dk, 1], [.., 1, dv] */
    if (rule->decays) state = build_mul(b, state, build_unsqueeze(b, build_exp(b, x[3]), 3));
    struct value *share = rule->corrects ? build_unsqueeze(b, x[4], 3) : NULL;
    if (share) v = build_mul(b, share, build_sub(b, v, graph_matmul(b, row, state)));
    state = build_add(b, state, build_mul(b, column, v));
    const dim *d = x[0]->type.dim;
    dim heads = dim_div(b->dims, d[1], rule->group), split[4] = {d[0], heads, rule->group, d[2]};
    struct value *y = graph_matmul(b, graph_reshape(b, x[0], 4, split), state); /* heads of one group share a state */
    if (!y) return NULL;
    y = graph_reshape(b, build_with(b, OP_mul, y, rule->scale), 3, (dim[]){d[0], d[1], y->type.dim[3]});
    graph_output(b, "state", state);
    graph_output(b, "y", y);
    return b;
}

static struct value *build_linear_attention(struct onnx_call *c)
{
    struct graph *g = c->graph;
    const char *name = onnx_string(c, "update_rule", "gated_delta");
    int64_t q_heads = onnx_int(c, "q_num_heads", 0), heads = onnx_int(c, "kv_num_heads", 0);
    struct rule rule = {.decays = !strncmp(name, "gated", 5),
                        .corrects = strstr(name, "delta") != NULL,
                        .scale = onnx_float(c, "scale", 0)};
    struct value *in[8];
    int n = 1;
    if (!c->in[0] || heads < 1 || q_heads < 1 || q_heads % heads || (rule.decays && !c->in[4]) ||
        (rule.corrects && !c->in[5]))
        return onnx_error(c, "heads or inputs do not fit the rule \"%s\"", name);
    enum dtype dt = c->in[0]->type.dt, state_dt = c->in[3] ? c->in[3]->type.dt : dt;
    rule.group = q_heads / heads;
    in[n++] = steps(g, c->in[0], q_heads);
    in[n++] = steps(g, c->in[1], heads);
    in[n++] = steps(g, c->in[2], heads);
    if (rule.decays) in[n++] = steps(g, c->in[4], heads);
    if (rule.corrects) in[n++] = steps(g, c->in[5], c->in[5]->type.rank == 3 && c->in[5]->type.dim[2] == 1 ? 1 : heads);
    for (int i = 1; i < n; i++)
        if (!in[i]) return onnx_error(c, "input %d does not divide into heads", i - 1);
    struct type state = {
        .dt = DT_f32, .rank = 4, .dim = {in[1]->type.dim[1], heads, in[2]->type.dim[3], in[3]->type.dim[3]}};
    if (rule.scale == 0 && dim_is_const(state.dim[2])) rule.scale = 1 / sqrt((double)state.dim[2]);
    if (rule.scale == 0) return onnx_refuse(c, "a dynamic head size");
    in[0] = c->in[3] ? graph_cast(g, c->in[3], DT_f32) : build_fill(g, graph_scalar(g, DT_f32, 0), 4, state.dim);
    struct graph *body = build_step(g, &rule, &state, n - 1, in + 1);
    if (!body) return NULL;
    struct attr attrs[] = {ATTR_I("n_states", 1), ATTR_I("n_sequences", n - 1), ATTR_G("body", body)};
    struct value *out = graph_node(g, OP_scan, n, in, 3, attrs);
    if (!out) return NULL;
    struct value *last = &out->node->out[0], *y = build_swap(g, &out->node->out[1], 0, 1);
    c->out[1] = graph_cast(g, last, state_dt);
    if (!y) return NULL;
    dim dims[3] = {y->type.dim[0], y->type.dim[1], dim_mul(g->dims, y->type.dim[2], y->type.dim[3])};
    return graph_cast(g, graph_reshape(g, y, 3, dims), dt);
}

const struct onnx_row onnx_linear_attention_rows[] = {
    {"LinearAttention", 27, 0, 3, build_linear_attention},
    {NULL, 0, 0, 0, NULL},
};
