/* The integer LSTM: inputs, weights and hidden state of 8 bits, gates and cell of 16.
 *
 * A gate's sum of each product is brought to 12 bits behind the point by itself, rounded, and the two are added,
 * saturated. Gates then have 15 bits behind it, the cell the power of two that is its scale. Zero points of input and
 * state go into biases: weights have none.
 */
#include "tflite_lstm.h"

#include <math.h>

enum {
    OPERATOR_INTERMEDIATES = 8,
    HIDDEN = 4
}; /* which of the operator's intermediate tensors says the hidden scale */

static struct value *saturate(struct graph *g, struct value *x)
{
    return build_clamp(g, x, INT16_MIN, INT16_MAX);
}

/* -zero times the sums of the weight's rows. */
static struct value *zero_share(struct graph *g, struct value *weight, int64_t zero)
{
    return build_with(g, OP_mul, build_reduce(g, OP_sum, weight, 1, false), (double)-zero);
}

/* The scales of products of x with the gates' weights over 2^-12, each repeated for a gate's rows; NULL after a
 * message. */
static struct tflite_fixed *gate_scales(struct lstm *l, double x_scale, const struct tflite_tensor *const *weights)
{
    int n = (int)l->cells;
    struct tflite_fixed *fixed = NEW_ARRAY(l->call->graph->arena, struct tflite_fixed, n * (GATES - l->first));
    for (int k = l->first; k < GATES; k++) {
        double scale;
        int64_t zero;
        if (!tflite_scale(l->call, weights[k], &scale, &zero)) return NULL;
        if (zero) return tflite_refuse(l->call, "weights with a zero point"), NULL;
        float effective = (float)scale * (float)x_scale / 0x1p-12f;
        for (int i = 0; i < n; i++) fixed[(k - l->first) * n + i] = tflite_fixed_of((double)effective);
    }
    return fixed;
}

/* x * w^T + bias at the gates' scales; i32. */
static struct value *gate_sums(struct lstm *l, struct graph *g, struct value *x, struct value *weight,
                               struct value *bias, const struct tflite_fixed *fixed)
{
    struct value *sum = build_add(g, lstm_product(g, graph_cast(g, x, DT_i32), weight), bias);
    return tflite_scaled_each(g, sum, (int)l->cells * (GATES - l->first), fixed);
}

/* Of the step, beside what struct lstm has. */
struct integers {
    struct lstm lstm; /* first: the step gets a pointer to it */
    const struct tflite_fixed *recurrent_fixed;
    struct tflite_fixed hidden_fixed, projection_fixed;
    int64_t hidden_zero, state_zero;
    int cell_shift; /* the cell's scale is 2^cell_shift */
    int64_t clip, projection_clip;
    struct value *projection, *projection_bias;
};

static struct value *product_shifted(struct graph *g, struct value *a, struct value *b, int shift)
{
    return tflite_shift_rounded(g, build_mul(g, a, b), shift);
}

static bool integer_step(struct lstm *l, struct lstm_step *s)
{
    struct graph *g = s->body;
    const struct integers *n = (const struct integers *)l;
    struct value *projection = lstm_capture(l, g, n->projection), *bias = lstm_capture(l, g, n->projection_bias);
    struct value *recurrent = lstm_capture(l, g, l->all_recurrent), *all_bias = lstm_capture(l, g, l->all_bias);
    struct value *sums = gate_sums(l, g, s->h, recurrent, all_bias, n->recurrent_fixed);
    sums = saturate(g, build_add(g, sums, graph_cast(g, s->x, DT_i32)));
    struct value *cell = graph_cast(g, s->c, DT_i32);
    struct value *f = tflite_logistic_16(g, lstm_gate(l, g, sums, 1)),
                 *o = tflite_logistic_16(g, lstm_gate(l, g, sums, 3));
    struct value *i =
        l->first ? build_sub(g, graph_int(g, DT_i32, INT16_MAX), f) : tflite_logistic_16(g, lstm_gate(l, g, sums, 0));
    struct value *fresh = tflite_tanh_16(g, lstm_gate(l, g, sums, 2), 3);
    cell = product_shifted(g, f, cell, 15);
    cell = saturate(g, build_add(g, cell, product_shifted(g, i, fresh, 30 + n->cell_shift)));
    if (n->clip > 0) cell = build_clamp(g, cell, (double)-n->clip, (double)n->clip);
    struct value *h = build_mul(g, o, tflite_tanh_16(g, cell, 15 + n->cell_shift));
    h = build_with(g, OP_add, tflite_scaled(g, h, n->hidden_fixed), (double)n->hidden_zero);
    h = build_clamp(g, h, INT8_MIN, INT8_MAX);
    if (projection) {
        h = tflite_scaled(g, build_add(g, lstm_product(g, h, projection), bias), n->projection_fixed);
        h = build_clamp(g, build_with(g, OP_add, h, (double)n->state_zero), INT8_MIN, INT8_MAX);
        if (n->projection_clip > 0) h = build_clamp(g, h, (double)-n->projection_clip, (double)n->projection_clip);
    }
    s->c_next = graph_cast(g, cell, DT_i16);
    s->h_next = graph_cast(g, h, DT_i8);
    return true;
}

/* Hidden state, projection and cell: their scales. */
static bool read_scales(struct integers *n, double *state_scale)
{
    struct lstm *l = &n->lstm;
    struct tflite_call *c = l->call;
    struct graph *g = c->graph;
    struct flat_list between;
    double hidden_scale, cell_scale, projection_scale;
    int64_t zero;
    if (!flat_list(&c->operator, OPERATOR_INTERMEDIATES, 4, &between)) return false;
    if (between.n <= HIDDEN) return tflite_error(c, "%lld intermediate tensors", (long long)between.n);
    const struct tflite_tensor *hidden = tflite_tensor(c->importer, flat_element(&between, HIDDEN, 4));
    if (!hidden || !tflite_scale(c, hidden, &hidden_scale, &n->hidden_zero) ||
        !tflite_scale(c, l->state_tensor, state_scale, &n->state_zero) ||
        !tflite_scale(c, l->cell_tensor, &cell_scale, &zero))
        return false;
    if (frexp(cell_scale, &n->cell_shift) != 0.5 || zero) return tflite_refuse(c, "a cell of scale %g", cell_scale);
    n->cell_shift--;
    if (n->cell_shift < -15 || n->cell_shift > -11) return tflite_refuse(c, "a cell of scale %g", cell_scale);
    n->hidden_fixed = tflite_fixed_of((double)(0x1p-15f / (float)hidden_scale * 0x1p-15f));
    double clip = (double)((float)l->cell_clip / (float)cell_scale);
    n->clip = clip > INT16_MAX ? INT16_MAX : (int64_t)clip;
    if (!l->projection) return true;
    if (!tflite_scale(c, l->projection_tensor, &projection_scale, &zero)) return false;
    if (zero) return tflite_refuse(c, "weights with a zero point");
    n->projection_fixed =
        tflite_fixed_of((double)((float)projection_scale * (float)hidden_scale / (float)*state_scale));
    clip = (double)((float)l->projection_clip / (float)*state_scale);
    n->projection_clip = clip > INT8_MAX ? INT8_MAX : (int64_t)clip;
    n->projection = graph_cast(g, l->projection, DT_i32);
    n->projection_bias = zero_share(g, n->projection, n->hidden_zero);
    if (l->projection_bias) n->projection_bias = build_add(g, n->projection_bias, l->projection_bias);
    return true;
}

static bool check_types(struct lstm *l)
{
    struct tflite_call *c = l->call;
    bool ok = l->x->type.dt == DT_i8 && l->state->type.dt == DT_i8 && l->cell->type.dt == DT_i16;
    for (int k = l->first; k < GATES; k++)
        ok = ok && l->weight[k]->type.dt == DT_i8 && l->recurrent[k]->type.dt == DT_i8 && l->bias[k]->type.dt == DT_i32;
    if (!ok) return tflite_refuse(c, "types other than 8 bits with a cell of 16");
    for (int k = 0; k < GATES; k++)
        if (l->peephole[k]) return tflite_refuse(c, "quantized peepholes");
    return true;
}

struct value *lstm_integers(struct lstm *lstm)
{
    struct integers n = {.lstm = *lstm};
    struct lstm *l = &n.lstm;
    struct tflite_call *c = l->call;
    struct graph *g = c->graph;
    double x_scale, state_scale;
    int64_t x_zero;
    if (!check_types(l) || !tflite_scale(c, c->in_tensor[0], &x_scale, &x_zero) || !read_scales(&n, &state_scale))
        return NULL;
    const struct tflite_fixed *fixed = gate_scales(l, x_scale, l->weight_tensor);
    n.recurrent_fixed = fixed ? gate_scales(l, state_scale, l->recurrent_tensor) : NULL;
    if (!n.recurrent_fixed) return NULL;
    struct value *weight = graph_cast(g, lstm_join(l, l->weight), DT_i32);
    struct value *bias = lstm_join(l, l->bias);
    bias = build_add(g, bias, zero_share(g, weight, x_zero));
    l->all_recurrent = graph_cast(g, lstm_join(l, l->recurrent), DT_i32);
    l->all_bias = zero_share(g, l->all_recurrent, n.state_zero);
    struct value *all = graph_reshape(g, l->x, 2, (dim[]){l->steps * l->batch, l->inputs});
    all = graph_cast(g, saturate(g, gate_sums(l, g, all, weight, bias, fixed)), DT_i16);
    return lstm_scan(l, graph_reshape(g, all, 3, (dim[]){l->steps, l->batch, l->cells * (GATES - l->first)}),
                     integer_step);
}
