/* Functions that are no lines, in integers: softmax, sigmoid, tanh, and any function of one byte.
 *
 *     softmax      d = max - x in steps of 2^-10, 16 at most;  e = A[d >> 7]*B[d & 127] of 15 bits;  p = e*2^15/sum(e)
 *     of a byte    gather(table of 256 numbers of 16 bits, byte)
 *     sigmoid, tanh of wider numbers     256 pieces of lines between -8 and 8 (-4 and 4), 8 bits inside of each
 *
 * Tables are what the builder folds the operators themselves to. Results have 15 bits: whoever quantizes them to bytes rounds
 * once more, which moves one in some hundred by a step. (Functions from byte to byte are one table each, pass tables.)
 */
#include "fixed.h"

#include <math.h>
#include <string.h>

enum { UNIT = 1 << 15, BYTES = 256, LINES = 256, FINE = 10, HALF_BITS = 7, SOFTMAX_MOST = 1 << 15 };

struct value *fixed_shifted(struct graph *to, struct value *x, int bits)
{
    return graph_binary(to, OP_shr, x, graph_int(to, DT_i32, bits));
}

struct value *fixed_table(struct graph *to, const double *at, int n, enum dtype dt)
{
    uint16_t *data = arena_array(to->session, (size_t)n, sizeof *data);
    for (int i = 0; i < n; i++) data[i] = (uint16_t)(int)rint(at[i]);
    return graph_data(to, &(struct type){.dt = dt, .rank = 1, .dim = {n}}, data);
}

static struct value *looked_up(struct graph *to, struct value *table, struct value *index)
{
    return graph_cast(to, graph_gather(to, table, index, 0, 0), DT_i32);
}

struct value *fixed_between(struct graph *to, struct value *table, struct value *q, int bits)
{
    struct value *i = fixed_shifted(to, q, bits), *part = graph_binary(to, OP_and, q, graph_int(to, DT_i32, (1 << bits) - 1));
    struct value *from = looked_up(to, table, i), *upto = looked_up(to, table, graph_binary(to, OP_add, i, graph_int(to, DT_i32, 1)));
    struct value *rise = graph_binary(to, OP_mul, graph_binary(to, OP_sub, upto, from), part);
    rise = fixed_shifted(to, graph_binary(to, OP_add, rise, graph_int(to, DT_i32, 1 << (bits - 1))), bits);
    return graph_binary(to, OP_add, from, rise);
}

struct value *fixed_exponential(struct graph *to, struct value *d)
{
    enum { N = 1 << HALF_BITS };
    double coarse[N], fine[N];
    d = graph_binary(to, OP_min, d, graph_int(to, DT_i32, (16 << FINE) - 1));
    for (int i = 0; i < N; i++) coarse[i] = UNIT * exp(-(double)i * N / (1 << FINE)), fine[i] = UNIT * exp(-(double)i / (1 << FINE));
    struct value *high = fixed_shifted(to, d, HALF_BITS), *a = looked_up(to, fixed_table(to, coarse, N, DT_u16), high);
    struct value *low = graph_binary(to, OP_and, d, graph_int(to, DT_i32, N - 1)), *b = looked_up(to, fixed_table(to, fine, N, DT_u16), low);
    struct value *product = graph_binary(to, OP_mul, a, b);
    return fixed_shifted(to, graph_binary(to, OP_add, product, graph_int(to, DT_i32, UNIT / 2)), 15);
}

struct value *fixed_below_most(struct fixing *x, const struct node *node, int64_t *axis)
{
    struct graph *to = x->to;
    *axis = node_int(node, "axis", -1);
    if (*axis < 0) *axis += node->out->type.rank;
    dim n = node->out->type.dim[*axis];
    if (!dim_is_const(n) || n > SOFTMAX_MOST) return NULL;
    struct value *q = fixed_integer(x, node->in[0], ldexp(1, -FINE), 0, DT_i32);
    return graph_binary(to, OP_sub, graph_reduce(to, OP_reduce_max, q, 1, axis, true), q);
}

static bool softmax(struct fixing *x, const struct node *node, struct fixed *result)
{
    struct graph *to = x->to;
    int64_t axis;
    struct value *d = fixed_below_most(x, node, &axis);
    if (!d) return false;
    struct value *e = fixed_exponential(to, d), *sum = graph_reduce(to, OP_sum, e, 1, &axis, true);
    struct value *whole = graph_binary(to, OP_mul, e, graph_int(to, DT_i32, UNIT));
    whole = graph_binary(to, OP_add, whole, fixed_shifted(to, sum, 1));
    *result = fixed_of(to, graph_binary(to, OP_div, whole, sum), 1.0 / UNIT, 0, UNIT);
    return result->q != NULL;
}

/* The row's function of n numbers, into at; false where it does not fold. */
static bool evaluate(struct graph *to, enum op op, const float *numbers, int n, double *at)
{
    const float *data = arena_copy(to->session, numbers, (size_t)n * sizeof *numbers);
    struct value *y = graph_unary(to, op, graph_data(to, &(struct type){.dt = DT_f32, .rank = 1, .dim = {n}}, data));
    const struct tensor *t = y ? value_const(y) : NULL;
    for (int i = 0; t && i < n; i++) at[i] = (double)((const float *)t->data)[i];
    return t != NULL;
}

static bool of_byte(struct fixing *x, const struct node *node, const struct fixed *f, struct fixed *result)
{
    struct graph *to = x->to;
    float numbers[BYTES];
    double at[BYTES], scale, most = 0;
    bool is_signed = f->raw->type.dt == DT_i8;
    if (!fixed_number(f->scale, &scale)) return false;
    for (int i = 0; i < BYTES; i++) numbers[i] = (float)fmin(fmax((double)(i - (is_signed ? 128 : 0) - f->zero) * scale, f->low), f->high);
    if (!evaluate(to, node->op, numbers, BYTES, at)) return false;
    for (int i = 0; i < BYTES; i++) {
        if (!(fabs(at[i]) < INFINITY)) return false;
        most = fmax(most, fabs(at[i]));
    }
    double step = most > 0 ? most / INT16_MAX : 1;
    for (int i = 0; i < BYTES; i++) at[i] /= step;
    struct value *index = f->raw;
    if (is_signed) {
        index = graph_cast(to, index, DT_i32);
        index = graph_binary(to, OP_add, index, graph_int(to, DT_i32, 128));
    }
    *result = fixed_of(to, looked_up(to, fixed_table(to, at, BYTES, DT_i16), index), step, -INT16_MAX, INT16_MAX);
    return result->q != NULL;
}

/* By lines between reach times -1 and 1, outside of which the function is as good as constant. */
static bool by_lines(struct fixing *x, const struct node *node, double reach, struct fixed *result)
{
    struct graph *to = x->to;
    float numbers[LINES + 1];
    double at[LINES + 1];
    for (int i = 0; i <= LINES; i++) numbers[i] = (float)(reach * (2.0 * i / LINES - 1));
    if (!evaluate(to, node->op, numbers, LINES + 1, at)) return false;
    for (int i = 0; i <= LINES; i++) at[i] = fmin(fmax(at[i] * UNIT, -UNIT), UNIT - 1);
    struct value *table = fixed_table(to, at, LINES + 1, DT_i16);
    struct value *q = graph_cast(to, fixed_integer(x, node->in[0], reach / UNIT, 0, DT_i16), DT_i32);
    q = graph_binary(to, OP_add, q, graph_int(to, DT_i32, UNIT));
    *result = fixed_of(to, fixed_between(to, table, q, 8), 1.0 / UNIT, -UNIT, UNIT - 1);
    return result->q != NULL;
}

/* Whether the value is a byte as it stands in memory, bounds aside. */
static bool is_byte(const struct fixed *f)
{
    return f->raw && dtype_bytes(f->raw->type.dt) == 1 && !f->shift;
}

bool fixed_curve(struct fixing *x, const struct node *node, struct fixed *result)
{
    const struct fixed *f = &x->fixed[node->in[0]->id];
    if (node->op == OP_softmax || node->op == OP_sigmoid || node->op == OP_tanh) {
        bool byte = node->op != OP_softmax && is_byte(f);
        bool good = node->op == OP_softmax ? softmax(x, node, result) : byte ? of_byte(x, node, f, result) : by_lines(x, node, node->op == OP_tanh ? 4 : 8, result);
        result->is_curve = true;
        return good;
    }
    return op_row(node->op)->kind == OP_MAP && node->n_in == 1 && is_byte(f) && of_byte(x, node, f, result);
}
