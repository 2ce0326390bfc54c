/* UNIDIRECTIONAL_SEQUENCE_LSTM: floats here, integers in tflite_lstm.c.
 *
 * The products of all inputs with the input weights come first, in one; what is left per step is the body of a scan.
 * The gates lie beside each other in the order input, forget, cell, output; the first may be missing, and is then one
 * minus the second. States start from zero in every run: the file's variables are not kept.
 */
#include "tflite_lstm.h"

#include <math.h>

enum {
    IN_WEIGHT = 1,
    IN_RECURRENT = 5,
    IN_PEEPHOLE = 9,
    IN_BIAS = 12,
    IN_PROJECTION = 16,
    IN_PROJECTION_BIAS,
    IN_STATE,
    IN_CELL,
    IN_NORM
};
enum { LSTM_ACTIVATION, LSTM_CELL_CLIP, LSTM_PROJECTION_CLIP, LSTM_TIME_MAJOR, LSTM_DIAGONAL = 5 };

enum { CELLS_MOST = 1 << 20 };

static bool is_matrix(const struct value *v, int64_t rows, int64_t columns)
{
    return v && v->type.rank == 2 && v->type.dim[0] == rows && v->type.dim[1] == columns;
}

static bool is_vector(const struct value *v, int64_t n)
{
    return v && v->type.rank == 1 && v->type.dim[0] == n;
}

static bool check_gates(struct tflite_call *c, struct lstm *l)
{
    for (int k = l->first; k < GATES; k++) {
        if (!is_matrix(l->weight[k], l->cells, l->inputs) || !is_matrix(l->recurrent[k], l->cells, l->outputs))
            return tflite_error(c, "the weights of gate %d do not fit", k);
        if (!is_vector(l->bias[k], l->cells)) return tflite_error(c, "the bias of gate %d does not fit", k);
    }
    for (int k = 0; k < GATES; k++)
        if (l->peephole[k] && !is_vector(l->peephole[k], l->cells)) return tflite_error(c, "a peephole does not fit");
    if (l->projection ? !is_matrix(l->projection, l->outputs, l->cells) : l->outputs != l->cells)
        return tflite_error(c, "the projection does not fit");
    if (l->projection_bias && !is_vector(l->projection_bias, l->outputs))
        return tflite_error(c, "the projection's bias does not fit");
    if (!is_matrix(l->state, l->batch, l->outputs) || !is_matrix(l->cell, l->batch, l->cells))
        return tflite_error(c, "the states do not fit");
    return true;
}

static bool read_lstm(struct tflite_call *c, struct lstm *l)
{
    struct value *x = c->in[0];
    *l = (struct lstm){.call = c};
    for (int i = IN_NORM; i < IN_NORM + GATES; i++)
        if (c->in[i]) return tflite_refuse(c, "normalized layers");
    if (tflite_option(c, LSTM_DIAGONAL, 1, 0)) return tflite_refuse(c, "diagonal recurrent weights");
    if (x->type.rank != 3 || !c->in[IN_RECURRENT + 3] || c->in[IN_RECURRENT + 3]->type.rank != 2)
        return tflite_error(c, "an input of rank %d, or no recurrent weights", x->type.rank);
    l->is_time_major = tflite_option(c, LSTM_TIME_MAJOR, 1, 0) != 0;
    l->x = l->is_time_major ? x : build_swap(c->graph, x, 0, 1);
    if (!l->x) return false;
    l->steps = l->x->type.dim[0], l->batch = l->x->type.dim[1], l->inputs = l->x->type.dim[2];
    l->cells = c->in[IN_RECURRENT + 3]->type.dim[0], l->outputs = c->in[IN_RECURRENT + 3]->type.dim[1];
    if (l->cells < 1 || l->cells > CELLS_MOST) return tflite_error(c, "%lld cells", (long long)l->cells);
    l->first = c->in[IN_WEIGHT] ? 0 : 1;
    for (int k = 0; k < GATES; k++) {
        l->weight_tensor[k] = c->in_tensor[IN_WEIGHT + k], l->recurrent_tensor[k] = c->in_tensor[IN_RECURRENT + k];
        l->weight[k] = c->in[IN_WEIGHT + k], l->recurrent[k] = c->in[IN_RECURRENT + k], l->bias[k] = c->in[IN_BIAS + k];
    }
    l->peephole[0] = c->in[IN_PEEPHOLE], l->peephole[1] = c->in[IN_PEEPHOLE + 1],
    l->peephole[3] = c->in[IN_PEEPHOLE + 2];
    l->projection = c->in[IN_PROJECTION], l->projection_bias = c->in[IN_PROJECTION_BIAS];
    l->projection_tensor = c->in_tensor[IN_PROJECTION], l->state_tensor = c->in_tensor[IN_STATE];
    l->cell_tensor = c->in_tensor[IN_CELL];
    l->state = c->in[IN_STATE], l->cell = c->in[IN_CELL];
    l->cell_clip = flat_float(&c->options, LSTM_CELL_CLIP, 0);
    l->projection_clip = flat_float(&c->options, LSTM_PROJECTION_CLIP, 0);
    if (!(l->cell_clip >= 0 && l->projection_clip >= 0 && isfinite(l->cell_clip + l->projection_clip)))
        return tflite_error(c, "cell_clip %g, proj_clip %g", l->cell_clip, l->projection_clip);
    return check_gates(c, l);
}

struct value *lstm_join(struct lstm *l, struct value *const *gates)
{
    return graph_concat(l->call->graph, GATES - l->first, gates + l->first, 0);
}

struct value *lstm_product(struct graph *g, struct value *x, struct value *weight)
{
    return graph_matmul(g, x, build_swap(g, weight, 0, 1));
}

struct value *lstm_gate(const struct lstm *l, struct graph *body, struct value *all, int k)
{
    return all ? graph_slice_axis(body, all, all->type.rank - 1, l->cells * (k - l->first), l->cells) : NULL;
}

struct value *lstm_capture(struct lstm *l, struct graph *body, struct value *v)
{
    if (!v) return NULL;
    if (value_const(v)) return graph_const(body, value_const(v));
    l->outside[l->n_outside++] = v;
    return graph_input(body, arena_printf(body->arena, "captured_%d", l->n_outside), &v->type);
}

/* sequence: what all inputs give, [steps, batch, gates * cells]. */
struct value *lstm_scan(struct lstm *l, struct value *sequence, bool (*step)(struct lstm *l, struct lstm_step *step))
{
    struct tflite_call *c = l->call;
    struct graph *g = c->graph, *body = graph_like(g, g->arena, "cell");
    if (!sequence || !l->state || !l->cell) return NULL;
    struct type element = {.dt = sequence->type.dt, .rank = 2, .dim = {sequence->type.dim[1], sequence->type.dim[2]}};
    struct lstm_step s = {.body = body};
    s.h = graph_input(body, "h", &l->state->type);
    s.c = graph_input(body, "c", &l->cell->type);
    s.x = graph_input(body, "x", &element);
    c->graph = body; /* messages and activations go there meanwhile */
    bool ok = step(l, &s) && s.h_next && s.c_next;
    c->graph = g;
    if (!ok) return NULL;
    graph_output(body, "h_next", s.h_next);
    graph_output(body, "c_next", s.c_next);
    graph_output(body, "y", s.h_next);
    struct value *in[3 + LSTM_CAPTURED_MOST] = {l->state, l->cell, sequence};
    for (int i = 0; i < l->n_outside; i++) in[3 + i] = l->outside[i];
    struct value *out =
        graph_node(g, OP_scan, 3 + l->n_outside, in, 3,
                   (struct attr[]){ATTR_I("n_states", 2), ATTR_I("n_sequences", 1), ATTR_G("body", body)});
    if (!out) return NULL;
    struct value *y = &out->node->out[2];
    return l->is_time_major ? y : build_swap(g, y, 0, 1);
}

static struct value *plus_peephole(struct lstm *l, struct lstm_step *s, struct value *sum, int k, struct value *cell)
{
    struct value *x = lstm_gate(l, s->body, sum, k);
    return s->peephole[k] ? build_add(s->body, x, build_mul(s->body, s->peephole[k], cell)) : x;
}

static bool float_step(struct lstm *l, struct lstm_step *s)
{
    struct graph *g = s->body;
    struct tflite_call *c = l->call;
    for (int k = 0; k < GATES; k++) s->peephole[k] = lstm_capture(l, g, l->peephole[k]);
    struct value *projection = lstm_capture(l, g, l->projection), *bias = lstm_capture(l, g, l->projection_bias);
    struct value *sum = build_add(g, s->x, lstm_product(g, s->h, lstm_capture(l, g, l->all_recurrent)));
    struct value *f = build_sigmoid(g, plus_peephole(l, s, sum, 1, s->c));
    struct value *i =
        l->first ? build_sub(g, build_number(g, f, 1), f) : build_sigmoid(g, plus_peephole(l, s, sum, 0, s->c));
    struct value *fresh = tflite_activate(c, LSTM_ACTIVATION, lstm_gate(l, g, sum, 2));
    s->c_next = build_mul_add(g, f, s->c, i, fresh);
    if (l->cell_clip > 0) s->c_next = build_clamp(g, s->c_next, -l->cell_clip, l->cell_clip);
    struct value *o = build_sigmoid(g, plus_peephole(l, s, sum, 3, s->c_next));
    s->h_next = build_mul(g, o, tflite_activate(c, LSTM_ACTIVATION, s->c_next));
    if (!projection) return true;
    s->h_next = lstm_product(g, s->h_next, projection);
    if (bias) s->h_next = build_add(g, s->h_next, bias);
    if (l->projection_clip > 0) s->h_next = build_clamp(g, s->h_next, -l->projection_clip, l->projection_clip);
    return true;
}

static struct value *build_lstm(struct tflite_call *c)
{
    struct lstm l;
    struct graph *g = c->graph;
    for (int i = 1; i < c->n_in && i < IN_STATE; i++) /* weights of 8 bits: the numbers that they stand for */
        if (c->in[i]) c->in[i] = tflite_real(c, c->in_tensor[i], c->in[i]);
    if (!read_lstm(c, &l)) return NULL;
    l.all_recurrent = lstm_join(&l, l.recurrent);
    struct value *all = graph_reshape(g, l.x, 2, (dim[]){l.steps * l.batch, l.inputs});
    all = lstm_product(g, all, lstm_join(&l, l.weight));
    all = build_add(g, all, lstm_join(&l, l.bias));
    return lstm_scan(&l, graph_reshape(g, all, 3, (dim[]){l.steps, l.batch, l.cells * (GATES - l.first)}), float_step);
}

static struct value *quant_lstm(struct tflite_call *c)
{
    struct lstm l;
    return read_lstm(c, &l) ? lstm_integers(&l) : NULL;
}

const struct tflite_row tflite_rnn_rows[] = {
    {TFL_UNIDIRECTIONAL_SEQUENCE_LSTM, 1, build_lstm, quant_lstm},
    {0},
};
