/* RNN, GRU and LSTM.
 *
 * The product of all inputs with the input weights is one matrix product before the recurrence; what is left per step
 * is the body of a scan node: the product of the state with the recurrent weights, gates and the new state. A backward
 * direction runs over the reversed sequence. Elements of a batch that are shorter than the sequence keep their state
 * where they have ended (for the backward direction: not begun), and their outputs there are 0.
 */
#include "onnx_build.h"

#include <math.h>
#include <string.h>
#include <strings.h>

enum rnn_kind { RNN_PLAIN, RNN_GRU, RNN_LSTM };
struct rnn {
    struct onnx_call *call;
    enum rnn_kind kind;
    int gates, n_directions;
    dim steps, batch, hidden;
    struct value *x, *w, *r, *bias, *lengths, *h, *c, *peephole; /* as ONNX lays them, sequence first */
    double clip;                                                 /* 0: none */
    bool couples_gates, resets_after;                            /* input_forget, linear_before_reset */
};
struct activation {
    const char *name;
    double alpha, beta;
};
struct cell { /* the body being built */
    const struct rnn *rnn;
    struct graph *body;
    struct value *outside[8]; /* what the body captures, given to the scan in this order */
    int n_outside;
    struct activation act[3];
    struct value *h, *c, *x, *r, *reset_bias, *peephole[3];
};

/* A value of the outer graph inside the body: a constant again, anything else as a further input. */
static struct value *bring(struct cell *cell, struct value *value)
{
    if (!value) return NULL;
    if (value_const(value)) return graph_const(cell->body, value_const(value));
    cell->outside[cell->n_outside++] = value;
    return graph_input(cell->body, arena_printf(cell->body->arena, "captured_%d", cell->n_outside), &value->type);
}

static struct value *activate(const struct cell *cell, int which, struct value *x)
{
    struct graph *g = cell->body;
    const struct activation *a = &cell->act[which];
    double clip = cell->rnn->clip;
    if (clip > 0) x = build_clamp(g, x, -clip, clip);
    if (!strcmp(a->name, "Sigmoid")) return build_sigmoid(g, x);
    if (!strcmp(a->name, "Tanh")) return build_tanh(g, x);
    if (!strcmp(a->name, "Relu")) return build_with(g, OP_max, x, 0);
    if (!strcmp(a->name, "Affine")) return build_with(g, OP_add, build_with(g, OP_mul, x, a->alpha), a->beta);
    if (!strcmp(a->name, "ScaledTanh"))
        return build_with(g, OP_mul, build_tanh(g, build_with(g, OP_mul, x, a->beta)), a->alpha);
    if (!strcmp(a->name, "HardSigmoid"))
        return build_clamp(g, build_with(g, OP_add, build_with(g, OP_mul, x, a->alpha), a->beta), 0, 1);
    if (!strcmp(a->name, "LeakyRelu"))
        return build_where_below(g, x, 0, build_with(g, OP_mul, x, a->alpha), x);
    if (!strcmp(a->name, "ThresholdedRelu")) {
        struct value *is_low = build_with(g, OP_le, x, a->alpha);
        return graph_select(g, is_low, build_number(g, x, 0), x);
    }
    if (!strcmp(a->name, "Softplus")) return build_softplus(g, x);
    if (!strcmp(a->name, "Softsign")) return graph_unary(g, OP_softsign, x);
    struct value *e = build_with(g, OP_mul, build_with(g, OP_sub, build_exp(g, x), 1), a->alpha);
    return graph_select(g, build_with(g, OP_lt, x, 0), e, x); /* Elu */
}

/* The activations of one direction, their numbers or the defaults of their names. */
static bool read_activations(const struct rnn *rnn, int direction, struct cell *cell)
{
    static const struct activation known[] = {{"Sigmoid", 0, 0},      {"Tanh", 0, 0},
                                              {"Relu", 0, 0},         {"Affine", 1, 0},
                                              {"ScaledTanh", 1, 1},   {"HardSigmoid", 0.2, 0.5},
                                              {"LeakyRelu", 0.01, 0}, {"ThresholdedRelu", 1, 0},
                                              {"Softplus", 0, 0},     {"Softsign", 0, 0},
                                              {"Elu", 1, 0}};
    static const char *const usual[3][3] = {{"Tanh", "", ""}, {"Sigmoid", "Tanh", ""}, {"Sigmoid", "Tanh", "Tanh"}};
    int per = rnn->kind == RNN_PLAIN ? 1 : rnn->kind == RNN_GRU ? 2 : 3, n_alpha, n_beta;
    const char *const *names;
    const float *alpha, *beta;
    int n = onnx_strings(rnn->call, "activations", &names);
    n_alpha = onnx_floats(rnn->call, "activation_alpha", &alpha);
    n_beta = onnx_floats(rnn->call, "activation_beta", &beta);
    if (n >= 0 && n != per * rnn->n_directions)
        return onnx_error(rnn->call, "%d activations, needs %d", n, per * rnn->n_directions), false;
    for (int i = 0; i < per; i++) {
        int at = direction * per + i;
        const char *name = n < 0 ? usual[rnn->kind][i] : names[at];
        unsigned k = 0;
        while (k < sizeof known / sizeof *known && strcasecmp(known[k].name, name) != 0) k++;
        if (k == sizeof known / sizeof *known) return onnx_refuse(rnn->call, "activation \"%s\"", name), false;
        cell->act[i] = known[k];
        if (at < n_alpha) cell->act[i].alpha = (double)alpha[at];
        if (at < n_beta) cell->act[i].beta = (double)beta[at];
    }
    return true;
}

/* Columns of gate k of v[.., gates * hidden]. */
static struct value *gate(const struct cell *cell, struct value *v, int k)
{
    struct dims *s = cell->body->dims;
    if (!v) return NULL;
    return graph_slice_axis(cell->body, v, v->type.rank - 1, dim_mul(s, cell->rnn->hidden, k), cell->rnn->hidden);
}

static struct value *plus_peephole(const struct cell *cell, struct value *x, int k, struct value *c)
{
    return cell->peephole[k] ? build_add(cell->body, x, build_mul(cell->body, cell->peephole[k], c)) : x;
}

static struct value *lstm_step(const struct cell *cell, struct value **c_next)
{
    struct graph *g = cell->body;
    struct value *sum = build_add(g, cell->x, graph_matmul(g, cell->h, cell->r));
    struct value *i = activate(cell, 0, plus_peephole(cell, gate(cell, sum, 0), 0, cell->c));
    struct value *f = cell->rnn->couples_gates ? build_sub(g, build_number(g, i, 1), i)
                                               : activate(cell, 0, plus_peephole(cell, gate(cell, sum, 2), 2, cell->c));
    struct value *fresh = activate(cell, 1, gate(cell, sum, 3));
    *c_next = build_mul_add(g, f, cell->c, i, fresh);
    struct value *o = activate(cell, 0, plus_peephole(cell, gate(cell, sum, 1), 1, *c_next));
    struct cell unclipped = *cell;
    struct rnn plain = *cell->rnn;
    plain.clip = 0;
    unclipped.rnn = &plain;
    return build_mul(g, o, activate(&unclipped, 2, *c_next));
}

static struct value *gru_step(const struct cell *cell)
{
    struct graph *g = cell->body;
    struct dims *s = g->dims;
    dim hidden = cell->rnn->hidden;
    struct value *h = cell->h, *fresh;
    if (!cell->r) return NULL;
    struct value *r_zr = graph_slice_axis(g, cell->r, 1, 0, dim_mul(s, hidden, 2)),
                 *r_h = graph_slice_axis(g, cell->r, 1, dim_mul(s, hidden, 2), hidden);
    struct value *zr = graph_slice_axis(g, cell->x, 1, 0, dim_mul(s, hidden, 2));
    zr = build_add(g, zr, graph_matmul(g, h, r_zr));
    struct value *z = activate(cell, 0, gate(cell, zr, 0)), *r = activate(cell, 0, gate(cell, zr, 1));
    if (cell->rnn->resets_after) {
        fresh = graph_matmul(g, h, r_h);
        if (cell->reset_bias) fresh = build_add(g, fresh, cell->reset_bias);
        fresh = build_mul(g, r, fresh);
    } else {
        fresh = graph_matmul(g, build_mul(g, r, h), r_h);
    }
    fresh = activate(cell, 1, build_add(g, gate(cell, cell->x, 2), fresh));
    return build_mul_add(g, build_sub(g, build_number(g, z, 1), z), fresh, z, h);
}

static struct value *plain_step(const struct cell *cell)
{
    return activate(cell, 0, build_add(cell->body, cell->x, graph_matmul(cell->body, cell->h, cell->r)));
}

/* Entry d of the first axis, without it. */
static struct value *of_direction(struct graph *g, struct value *v, int d)
{
    return v ? build_squeeze(g, graph_slice_axis(g, v, 0, d, 1), 0) : NULL;
}

/* X * W^T + biases for all steps: [steps, batch, gates * hidden]. *reset_bias: a GRU's recurrent bias of the new
 * state where that is added before the reset gate. */
static struct value *input_product(const struct rnn *rnn, int d, struct value **reset_bias)
{
    struct graph *g = rnn->call->graph;
    struct dims *s = g->dims;
    dim width = dim_mul(s, rnn->hidden, rnn->gates), rows = dim_mul(s, rnn->steps, rnn->batch);
    struct value *flat = graph_reshape(g, rnn->x, 2, (dim[]){rows, rnn->x->type.dim[2]});
    struct value *y = graph_matmul(g, flat, build_swap(g, of_direction(g, rnn->w, d), 0, 1));
    *reset_bias = NULL;
    if (rnn->bias) {
        struct value *b = of_direction(g, rnn->bias, d), *input = graph_slice_axis(g, b, 0, 0, width),
                     *recurrent = graph_slice_axis(g, b, 0, width, width);
        if (rnn->kind == RNN_GRU && rnn->resets_after) {
            dim before = dim_mul(s, rnn->hidden, 2);
            *reset_bias = graph_slice_axis(g, recurrent, 0, before, rnn->hidden);
            struct value *parts[2] = {graph_slice_axis(g, recurrent, 0, 0, before),
                                      build_with(g, OP_mul, *reset_bias, 0)};
            recurrent = graph_concat(g, 2, parts, 0);
        }
        y = build_add(g, y, build_add(g, input, recurrent));
    }
    return graph_reshape(g, y, 3, (dim[]){rnn->steps, rnn->batch, width});
}

static struct value *initial_state(const struct rnn *rnn, struct value *given, int d)
{
    struct graph *g = rnn->call->graph;
    return given ? of_direction(g, given, d)
                 : build_fill(g, build_number(g, rnn->x, 0), 2, (dim[]){rnn->batch, rnn->hidden});
}

/* Only where t < length: the new value, otherwise the old one (0 where old is NULL). */
static struct value *where_running(struct graph *g, struct value *running, struct value *fresh, struct value *old)
{
    if (!running || !fresh) return fresh;
    return graph_select(g, running, fresh, old ? old : build_number(g, fresh, 0));
}

static struct graph *build_body(const struct rnn *rnn, int d, struct cell *cell, struct value *product,
                                struct value *reset_bias)
{
    struct graph *g = rnn->call->graph, *body = cell->body = graph_like(g, g->arena, "cell");
    struct type state = {.dt = rnn->x->type.dt, .rank = 2, .dim = {rnn->batch, rnn->hidden}}, element = state,
                step = {.dt = DT_i64};
    struct value *running = NULL, *c_next = NULL, *h_next;
    if (!product) return NULL;
    element.dim[1] = product->type.dim[2];
    cell->h = graph_input(body, "h", &state);
    if (rnn->kind == RNN_LSTM) cell->c = graph_input(body, "c", &state);
    cell->x = graph_input(body, "x", &element);
    struct value *t = rnn->lengths ? graph_input(body, "t", &step) : NULL;
    cell->r = bring(cell, build_swap(g, of_direction(g, rnn->r, d), 0, 1));
    cell->reset_bias = bring(cell, reset_bias);
    for (int k = 0; k < 3 && rnn->peephole; k++)
        cell->peephole[k] = bring(cell, graph_slice_axis(g, of_direction(g, rnn->peephole, d), 0,
                                                         dim_mul(g->dims, rnn->hidden, k), rnn->hidden));
    if (t) running = build_lt(body, t, bring(cell, build_unsqueeze(g, graph_cast(g, rnn->lengths, DT_i64), 1)));
    h_next = rnn->kind == RNN_LSTM  ? lstm_step(cell, &c_next)
             : rnn->kind == RNN_GRU ? gru_step(cell)
                                    : plain_step(cell);
    if (!h_next) return NULL;
    graph_output(body, "h_next", where_running(body, running, h_next, cell->h));
    if (c_next) graph_output(body, "c_next", where_running(body, running, c_next, cell->c));
    graph_output(body, "y", where_running(body, running, h_next, NULL));
    return body;
}

/* One direction: its outputs [steps, batch, hidden] and last states. */
static bool run_direction(const struct rnn *rnn, int d, bool is_back, struct value **y, struct value **h,
                          struct value **c)
{
    struct graph *g = rnn->call->graph;
    struct cell cell = {.rnn = rnn};
    struct value *in[16], *reset_bias, *product = input_product(rnn, d, &reset_bias);
    int n = 0, n_states = rnn->kind == RNN_LSTM ? 2 : 1;
    if (!read_activations(rnn, d, &cell)) return false;
    struct graph *body = build_body(rnn, d, &cell, product, reset_bias);
    if (!body) return false;
    in[n++] = initial_state(rnn, rnn->h, d);
    if (n_states == 2) in[n++] = initial_state(rnn, rnn->c, d);
    in[n++] = is_back ? build_reverse(g, product, 0) : product;
    if (rnn->lengths) {
        struct value *t = build_range(g, DT_i64, rnn->steps);
        in[n++] = is_back ? build_reverse(g, t, 0) : t;
    }
    int n_sequences = n - n_states;
    for (int i = 0; i < cell.n_outside; i++) in[n++] = cell.outside[i];
    struct attr attrs[] = {ATTR_I("n_states", n_states), ATTR_I("n_sequences", n_sequences), ATTR_G("body", body)};
    struct value *out = graph_node(g, OP_scan, n, in, 3, attrs);
    if (!out) return false;
    struct value *first = out->node->out;
    *h = &first[0];
    *c = n_states == 2 ? &first[1] : NULL;
    *y = is_back ? build_reverse(g, &first[n_states], 0) : &first[n_states];
    return true;
}

static bool read_rnn(struct onnx_call *c, enum rnn_kind kind, struct rnn *rnn)
{
    const int64_t *lengths;
    struct graph *g = c->graph;
    bool is_lstm = kind == RNN_LSTM, batch_first = onnx_int(c, "layout", 0) != 0;
    const char *direction = onnx_string(c, "direction", "forward");
    *rnn = (struct rnn){.call = c, .kind = kind, .gates = is_lstm ? 4 : kind == RNN_GRU ? 3 : 1};
    if (!c->in[0] || !c->in[1] || !c->in[2] || c->in[0]->type.rank != 3 || c->in[1]->type.rank != 3 ||
        c->in[2]->type.rank != 3)
        return onnx_error(c, "input and weights must have rank 3"), false;
    rnn->x = batch_first ? build_swap(g, c->in[0], 0, 1) : c->in[0];
    rnn->w = c->in[1], rnn->r = c->in[2], rnn->bias = c->in[3], rnn->lengths = c->in[4];
    rnn->h = batch_first && c->in[5] ? build_swap(g, c->in[5], 0, 1) : c->in[5];
    if (is_lstm) rnn->c = batch_first && c->in[6] ? build_swap(g, c->in[6], 0, 1) : c->in[6], rnn->peephole = c->in[7];
    rnn->steps = rnn->x->type.dim[0], rnn->batch = rnn->x->type.dim[1], rnn->hidden = rnn->r->type.dim[2];
    rnn->n_directions = !strcmp(direction, "bidirectional") ? 2 : 1;
    if (rnn->n_directions == 1 && strcmp(direction, "forward") != 0 && strcmp(direction, "reverse") != 0)
        return onnx_error(c, "direction \"%s\"", direction), false;
    if (rnn->w->type.dim[0] != rnn->n_directions || rnn->r->type.dim[0] != rnn->n_directions ||
        rnn->w->type.dim[1] != dim_mul(g->dims, rnn->hidden, rnn->gates))
        return onnx_error(c, "weights %s do not fit", type_string(g->dims, g->arena, &rnn->w->type)), false;
    int64_t hidden_size = onnx_int(c, "hidden_size", -1);
    if (dim_is_const(rnn->hidden) && (rnn->hidden < 1 || (onnx_has(c, "hidden_size") && hidden_size != rnn->hidden)))
        return onnx_error(c, "hidden_size %lld, weights are for %lld", (long long)hidden_size, (long long)rnn->hidden), false;
    rnn->clip = onnx_float(c, "clip", 0);
    rnn->couples_gates = onnx_int(c, "input_forget", 0) != 0;
    rnn->resets_after = onnx_int(c, "linear_before_reset", 0) != 0;
    int n = rnn->lengths ? value_ints(g, rnn->lengths, &lengths) : -1, full = 0;
    while (full < n && lengths[full] == rnn->steps) full++;
    if (n >= 0 && full == n) rnn->lengths = NULL; /* all as long as the sequence */
    return true;
}

static struct value *build_rnn(struct onnx_call *c, enum rnn_kind kind)
{
    struct rnn rnn;
    struct graph *g = c->graph;
    struct value *y[2], *h[2], *cell[2];
    if (!read_rnn(c, kind, &rnn)) return NULL;
    bool batch_first = onnx_int(c, "layout", 0) != 0;
    for (int d = 0; d < rnn.n_directions; d++) {
        bool is_back = d == 1 || !strcmp(onnx_string(c, "direction", "forward"), "reverse");
        if (!run_direction(&rnn, d, is_back, &y[d], &h[d], &cell[d])) return NULL;
        y[d] = build_unsqueeze(g, y[d], batch_first ? 2 : 1);
        if (batch_first) y[d] = build_swap(g, y[d], 0, 1);
        h[d] = build_unsqueeze(g, h[d], batch_first ? 1 : 0);
        cell[d] = cell[d] ? build_unsqueeze(g, cell[d], batch_first ? 1 : 0) : NULL;
    }
    bool two = rnn.n_directions == 2;
    c->out[1] = two ? graph_concat(g, 2, h, batch_first ? 1 : 0) : h[0];
    if (cell[0]) c->out[2] = two ? graph_concat(g, 2, cell, batch_first ? 1 : 0) : cell[0];
    return two ? graph_concat(g, 2, y, batch_first ? 2 : 1) : y[0];
}
static struct value *build_plain(struct onnx_call *c)
{
    return build_rnn(c, RNN_PLAIN);
}
static struct value *build_gru(struct onnx_call *c)
{
    return build_rnn(c, RNN_GRU);
}
static struct value *build_lstm(struct onnx_call *c)
{
    return build_rnn(c, RNN_LSTM);
}

const struct onnx_row onnx_rnn_rows[] = {
    {"GRU", 7, 0, 3, build_gru},
    {"LSTM", 7, 0, 3, build_lstm},
    {"RNN", 7, 0, 3, build_plain},
    {NULL, 0, 0, 0, NULL},
};
