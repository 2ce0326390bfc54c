/* Arithmetic of pass fixed: numbers given by integers and scales, brought to other scales.
 *
 *     q*scale  ->  steps of s around z      y = min(max(requantize_fixed(q + c, m, n) + z, least), most)
 *
 * with m*2^-n the quotient of the scales, m of 31 bits, and one n for all channels, so that it is a number in the code and
 * not a table: a channel whose scale is 2^k times below the largest has a multiplier of 31 - k bits, and k would have to be 16
 * before that moved a result by a hundredth of a step. A shift is added to the integers, rounded to their scale (a bias mostly
 * was quantized with it). See fixed.h.
 */
#include "fixed.h"

#include <math.h>

bool fixed_is_known(const struct fixed *f)
{
    return f->q || f->move;
}

struct fixed fixed_of(struct graph *to, struct value *q, double scale, int64_t least, int64_t most)
{
    return (struct fixed){.q = q, .scale = graph_scalar(to, DT_f64, scale), .low = -INFINITY, .high = INFINITY, .least = least, .most = most};
}

double fixed_size(int64_t least, int64_t most)
{
    return fmax(fabs((double)least), fabs((double)most));
}

static const double *elements_of(const struct value *constant, int64_t *n)
{
    const struct tensor *t = value_const(constant);
    if (!t || t->is_dims || t->type.dt != DT_f64) bug("fixed", "a scale is no constant");
    *n = type_count(&t->type);
    return t->data;
}

bool fixed_number(const struct value *constant, double *number)
{
    int64_t n;
    const double *at = elements_of(constant, &n);
    for (int64_t i = 1; i < n; i++)
        if (at[i] != at[0]) return false;
    *number = n ? at[0] : 1;
    return n > 0;
}

/* The constant, NULL where an element is no number or not a finite one. */
static struct value *finite(struct value *constant)
{
    int64_t n;
    const double *at = elements_of(constant, &n);
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(at[i]) < INFINITY)) return NULL;
    return constant;
}

struct value *fixed_constant(struct fixing *x, const struct value *old)
{
    const struct node *node = old->node;
    const struct tensor *t = value_const(old);
    if (t) return t->is_dims || !dtype_is_float(t->type.dt) ? NULL : finite(graph_cast(x->to, graph_const(x->to, t), DT_f64));
    if (!dtype_is_float(old->type.dt)) return NULL;
    if (op_row(node->op)->kind == OP_MAP && node->op != OP_cast) { /* of spread constants: what pass absorb computes with them */
        struct value *in[3] = {NULL};
        for (int i = 0; i < node->n_in; i++)
            if (!(in[i] = fixed_constant(x, node->in[i]))) return NULL;
        struct value *made = graph_node(x->to, node->op, node->n_in, in, node->n_attrs, node->attrs);
        return made && value_const(made) ? finite(made) : NULL;
    }
    if (node->op != OP_broadcast && node->op != OP_reshape && node->op != OP_cast) return NULL;
    struct value *inner = fixed_constant(x, node->in[0]);
    if (!inner || node->op != OP_reshape) return inner;
    double number;
    if (fixed_number(inner, &number)) return graph_scalar(x->to, DT_f64, number);
    return graph_reshape(x->to, inner, old->type.rank, old->type.dim);
}

/* The largest and the smallest magnitude. */
static void extent_of(const struct value *constant, double *least, double *most)
{
    int64_t n;
    const double *at = elements_of(constant, &n);
    *least = INFINITY, *most = 0;
    for (int64_t i = 0; i < n; i++) *least = fmin(*least, fabs(at[i])), *most = fmax(*most, fabs(at[i]));
}

double fixed_reach(const struct fixed *f)
{
    double small, large, shift = 0;
    extent_of(f->scale, &small, &large);
    if (f->shift) extent_of(f->shift, &small, &shift);
    double reach = fixed_size(f->least, f->most) * large + shift;
    if (f->low > -INFINITY && f->high < INFINITY) reach = fmin(reach, fmax(fabs(f->low), fabs(f->high)));
    return reach;
}

static struct value *bounded(struct graph *to, struct value *y, int64_t *least, int64_t *most, int64_t low, int64_t high)
{
    if (*least < low) y = graph_binary(to, OP_max, y, graph_int(to, DT_i32, low)), *least = low;
    if (*most > high) y = graph_binary(to, OP_min, y, graph_int(to, DT_i32, high)), *most = high;
    if (*most < *least) *most = *least;
    return y;
}

/* round(constant/divisor) as i32, with its range; NULL where it passes 2^30. */
static struct value *quotients(struct graph *to, struct value *constant, struct value *divisor, int64_t *least, int64_t *most)
{
    struct value *c = graph_unary(to, OP_round, graph_binary(to, OP_div, constant, divisor));
    int64_t n;
    const double *at = elements_of(c, &n);
    *least = INT32_MAX, *most = INT32_MIN;
    for (int64_t i = 0; i < n; i++) {
        if (!(fabs(at[i]) <= 0x1p30)) return NULL;
        if ((int64_t)at[i] < *least) *least = (int64_t)at[i];
        if ((int64_t)at[i] > *most) *most = (int64_t)at[i];
    }
    double number;
    if (fixed_number(c, &number)) return graph_int(to, DT_i32, (int64_t)number);
    return graph_cast(to, c, DT_i32);
}

/* The integers, which are at `scale`, with the shift in them. */
static bool add_shift(struct fixing *x, const struct value *old, struct fixed *f, struct value *scale)
{
    struct graph *to = x->to;
    int64_t least, most;
    if (!f->shift) return true;
    struct value *c = quotients(to, f->shift, scale, &least, &most);
    if (!c || f->least + least < INT32_MIN || f->most + most > INT32_MAX)
        return diag_error(to->diag, old->node->place, "--numeric=integer: what is added to \"%s\" does not fit 32 bits at the scale of its sums", old->name ? old->name : op_row(old->node->op)->name);
    if (least || most) f->q = graph_binary(to, OP_add, f->q, c);
    f->least += least, f->most += most;
    f->shift = NULL, f->raw = NULL;
    return true;
}

/* q times a constant, rounded; the interval of q follows. */
static struct value *multiplied(struct graph *to, struct value *q, struct value *ratio, int64_t *least, int64_t *most)
{
    double smallest, largest, one;
    int exponent;
    extent_of(ratio, &smallest, &largest);
    if (fixed_number(ratio, &one) && one == 1) return q;
    double room = floor(0x1p30 / largest);
    if (room < 0x1p31) q = bounded(to, q, least, most, (int64_t)-room, (int64_t)room);
    frexp(largest, &exponent);
    int shift = 31 - exponent;
    if (largest * ldexp(1, shift) > INT32_MAX) shift--;
    if (shift > 62) shift = 62;
    if (shift < 1) shift = 1;
    struct value *m = graph_binary(to, OP_mul, ratio, graph_scalar(to, DT_f64, ldexp(1, shift)));
    m = graph_cast(to, graph_unary(to, OP_round, m), DT_i32);
    double number;
    if (fixed_number(ratio, &number)) m = graph_int(to, DT_i32, (int64_t)fmax(fmin(rint(number * ldexp(1, shift)), INT32_MAX), INT32_MIN));
    struct value *in[] = {q, m, graph_int(to, DT_i32, shift)};
    largest = fmin(largest, 0x1p30);
    double reach = fmin(fixed_size(*least, *most) * largest + 1, INT32_MAX);
    double low = fmax((double)*least * largest - 1, INT32_MIN), high = fmin((double)*most * largest + 1, INT32_MAX);
    int64_t n;
    const double *at = elements_of(ratio, &n);
    bool turned = false;
    for (int64_t i = 0; i < n; i++) turned |= at[i] < 0;
    *least = turned ? -(int64_t)ceil(reach) : *least >= 0 ? 0 : (int64_t)floor(low);
    *most = turned ? (int64_t)ceil(reach) : *most <= 0 ? 0 : (int64_t)ceil(high);
    return graph_node(to, OP_requantize_fixed, 3, in, 0, NULL);
}

/* A bound in steps, of magnitude at most 2^40. */
static int64_t steps_of(double bound, double step)
{
    return (int64_t)rint(fmin(fmax(bound / step, -0x1p40), 0x1p40));
}

/* What a moving node makes of its operands, which are given in integers of one scale and zero point. */
static struct value *moved(struct fixing *x, const struct node *node, double step, int64_t zero, enum dtype dt)
{
    int n = node->op == OP_concat ? node->n_in : 1;
    struct value **in = NEW_ARRAY(x->to->arena, struct value *, node->n_in + 1);
    for (int i = 0; i < node->n_in; i++)
        in[i] = i < n ? fixed_integer(x, node->in[i], step, zero, dt) : x->map[node->in[i]->id];
    for (int i = 0; i < node->n_in; i++)
        if (!in[i]) return NULL;
    return graph_node(x->to, node->op, node->n_in, in, node->n_attrs, node->attrs);
}

/* The integers of a view at that scale, and their range. */
static struct value *rescaled(struct fixing *x, const struct value *old, struct fixed f, double step, int64_t low, int64_t high, int64_t *least, int64_t *most)
{
    struct graph *to = x->to;
    struct value *new_scale = graph_scalar(to, DT_f64, step), *ratio = graph_binary(to, OP_div, f.scale, new_scale);
    double small, large;
    extent_of(ratio, &small, &large);
    bool finer = small >= 1; /* what is added is rounded at the finer of the two scales */
    if (!finer && !add_shift(x, old, &f, f.scale)) return NULL;
    f.q = multiplied(to, f.q, ratio, &f.least, &f.most);
    if (finer && !add_shift(x, old, &f, new_scale)) return NULL;
    struct value *y = f.q;
    int64_t from = steps_of(f.low, step), upto = steps_of(f.high, step);
    y = bounded(to, y, &f.least, &f.most, from > low ? from : low, upto < high ? upto : high);
    *least = f.least, *most = f.most;
    return y;
}

struct value *fixed_integer(struct fixing *x, const struct value *old, double step, int64_t zero, enum dtype dt)
{
    const struct fixed *f = &x->fixed[old->id];
    int64_t low = dtype_int_min(dt) - zero, high = (int64_t)dtype_int_max(dt) - zero, least, most;
    double scale;
    if (f->move) return moved(x, f->move, step, zero, dt);
    bool same = f->raw && f->raw->type.dt == dt && f->zero == zero && !f->shift && fixed_number(f->scale, &scale) && scale == step;
    if (same && steps_of(f->low, step) <= low && steps_of(f->high, step) >= high) return f->raw;
    struct value *y = rescaled(x, old, *f, step, low, high, &least, &most);
    if (y && zero) y = graph_binary(x->to, OP_add, y, graph_int(x->to, DT_i32, zero));
    return y ? graph_cast(x->to, y, dt) : NULL;
}

/* The least and the most of scales behind a value, and how far its numbers reach. */
static void reach_behind(struct fixing *x, const struct value *old, double *largest, double *reach)
{
    const struct fixed *f = &x->fixed[old->id];
    double small, large;
    for (int i = 0; f->move && i < (f->move->op == OP_concat ? f->move->n_in : 1); i++) reach_behind(x, f->move->in[i], largest, reach);
    if (f->move) return;
    extent_of(f->scale, &small, &large);
    *largest = fmax(*largest, large);
    *reach = fmax(*reach, fixed_reach(f));
}

enum { FINER_MOST = 20, COARSE = 1 << 10 /* integers up to this: what is added to them wants finer steps */ };

/* A step for views of n old values: sums of them fit 2^29, and it is at most 2^20 finer than the coarsest of their scales. */
static double common_step(struct fixing *x, int n, struct value *const *old)
{
    double largest = 0, reach = 0;
    for (int i = 0; i < n; i++) {
        double own = 0;
        reach_behind(x, old[i], &largest, &own);
        reach += own;
    }
    if (!(largest > 0 && reach > 0)) return largest > 0 ? largest : 1;
    int bits = (int)floor(log2(0x1p29 / (reach / largest)));
    return ldexp(largest, -(bits > FINER_MOST ? FINER_MOST : bits));
}

/* At that step, without shift and bounds. */
static bool at_step(struct fixing *x, const struct value *old, double step, struct fixed *result)
{
    struct fixed f = x->fixed[old->id];
    int64_t least = INT32_MIN / 2, most = INT32_MAX / 2;
    struct value *q = f.move ? moved(x, f.move, step, 0, DT_i32) : rescaled(x, old, f, step, INT32_MIN, INT32_MAX, &least, &most);
    if (f.move) {
        double largest = 0, reach = 0;
        reach_behind(x, old, &largest, &reach);
        most = (int64_t)ceil(fmin(reach / step + 1, INT32_MAX)), least = -most;
    }
    *result = fixed_of(x->to, q, step, least, most);
    return q != NULL;
}

bool fixed_common(struct fixing *x, int n, struct value *const *old, struct fixed *common)
{
    double step = 0, scale;
    bool same = true;
    for (int i = 0; i < n; i++) {
        const struct fixed *f = &x->fixed[old[i]->id];
        same = same && f->q && !f->shift && f->low == -INFINITY && f->high == INFINITY && fixed_number(f->scale, &scale) && (i == 0 || scale == step);
        if (same) step = scale;
    }
    for (int i = 0; i < n && same; i++) common[i] = x->fixed[old[i]->id];
    if (same) return true;
    step = common_step(x, n, old);
    for (int i = 0; i < n; i++)
        if (!at_step(x, old[i], step, &common[i])) return false;
    return true;
}

bool fixed_settled(struct fixing *x, const struct value *old, struct fixed *settled)
{
    struct fixed f = x->fixed[old->id];
    double scale, unused;
    if (f.move || ((f.low > -INFINITY || f.high < INFINITY) && !fixed_number(f.scale, &scale))) return fixed_single(x, old, settled);
    if (!add_shift(x, old, &f, f.scale)) return false;
    *settled = f;
    if (!fixed_number(f.scale, &unused) || (f.low == -INFINITY && f.high == INFINITY)) return true;
    settled->q = bounded(x->to, f.q, &settled->least, &settled->most, steps_of(f.low, scale), steps_of(f.high, scale));
    if (settled->q != f.q) settled->raw = NULL;
    settled->low = -INFINITY, settled->high = INFINITY;
    return true;
}

bool fixed_single(struct fixing *x, const struct value *old, struct fixed *single)
{
    double number;
    const struct fixed *f = &x->fixed[old->id];
    bool coarse = f->shift && f->least >= -COARSE && f->most <= COARSE;
    if (!f->move && !coarse && fixed_number(f->scale, &number)) return fixed_settled(x, old, single);
    return at_step(x, old, common_step(x, 1, (struct value *[]){(struct value *)(uintptr_t)old}), single);
}
