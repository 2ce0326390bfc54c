/* What wants a logarithm or a root of a sum, in integers: log_softmax, layer norms and their like.
 *
 *     log_softmax   d = max - x in steps of 2^-10;  -(d + log(sum(exp(-d))))
 *     norm          c = x - mean of 16 bits;  c*sqrt(n)/sqrt(sum(c*c) + n*epsilon)
 *
 * The sum is shifted to where its highest bit stands in one of a few places, by a binary search for that bit; a table and lines
 * between its points then give its logarithm or 1/root to 15 bits. Norms are OP_layer_norm, and what others are made of:
 * d/sqrt(mean(d*d) + e) or d*reciprocal(sqrt(mean(d*d) + e)), which is looked for before anything is converted
 * (fixed_needed), since the squares by themselves may have no form. See fixed.h; fixed_curves.c for functions by element.
 */
#include "fixed.h"

#include <math.h>

enum { PART_BITS = 8, LOG_PARTS = 128, ROOT_PARTS = 192, FINE = 10, UNIT_BITS = 15, NORM_FINE = 12, NORM_TERMS_MOST = 1 << 14, BELOW_MOST = 1 << 20 };

/* x shifted right until it is below 2^(low + the last step), by the steps, which halve; `by` gets how far. x has the bits of dt. */
static struct value *normalized(struct graph *to, struct value *x, int low, int first, int last, struct value **by)
{
    enum dtype dt = x->type.dt;
    struct value *sum = NULL;
    for (int step = first; step >= last; step /= 2) {
        struct value *large = graph_binary(to, OP_le, graph_int(to, dt, (int64_t)1 << (low + step)), x);
        struct value *shift = graph_cast(to, large, dt);
        shift = graph_binary(to, OP_mul, shift, graph_int(to, dt, step));
        x = graph_binary(to, OP_shr, x, shift);
        sum = sum ? graph_binary(to, OP_add, sum, shift) : shift;
    }
    *by = sum;
    return x;
}

/* ---- log_softmax ---- */

bool fixed_log_softmax(struct fixing *x, const struct node *node, struct fixed *result)
{
    struct graph *to = x->to;
    double at[LOG_PARTS + 1];
    int64_t axis;
    struct value *d = fixed_below_most(x, node, &axis), *by;
    if (!d) return false;
    d = graph_binary(to, OP_min, d, graph_int(to, DT_i32, BELOW_MOST));
    struct value *sum = graph_reduce(to, OP_sum, fixed_exponential(to, d), 1, &axis, true);
    for (int i = 0; i <= LOG_PARTS; i++) at[i] = ldexp(log1p((double)i / LOG_PARTS), UNIT_BITS - 1);
    struct value *high = normalized(to, sum, UNIT_BITS, 8, 1, &by), *table = fixed_table(to, at, LOG_PARTS + 1, DT_i16);
    high = fixed_between(to, table, graph_binary(to, OP_sub, high, graph_int(to, DT_i32, 1 << UNIT_BITS)), PART_BITS);
    struct value *all = graph_binary(to, OP_mul, by, graph_int(to, DT_i32, (int64_t)rint(ldexp(log(2), UNIT_BITS - 1))));
    all = graph_binary(to, OP_add, all, high);
    all = fixed_shifted(to, graph_binary(to, OP_add, all, graph_int(to, DT_i32, 1 << (UNIT_BITS - 2 - FINE))), UNIT_BITS - 1 - FINE);
    int64_t most = BELOW_MOST + (16 << FINE);
    *result = fixed_of(to, graph_unary(to, OP_neg, graph_binary(to, OP_add, d, all)), ldexp(1, -FINE), -most, 0);
    return result->q != NULL;
}

/* ---- norms ---- */

static int64_t terms_over(const struct type *type, int n, const int64_t *axes)
{
    int64_t terms = 1;
    for (int i = 0; i < n && terms <= NORM_TERMS_MOST; i++) terms = dim_is_const(type->dim[axes[i]]) ? terms * type->dim[axes[i]] : NORM_TERMS_MOST + 1;
    return terms;
}

/* 1/sqrt(w) as r*2^-(22 - 8)*2^-shift, of w from 1 to 2^46, i64; r of 15 bits. */
static struct value *inverse_root(struct graph *to, struct value *w, struct value **shift)
{
    enum { LOW = 14, ABOVE = 16 };
    double at[ROOT_PARTS + 1];
    struct value *by, *t = normalized(to, graph_binary(to, OP_shl, w, graph_int(to, DT_i64, ABOVE)), LOW, 32, 2, &by);
    for (int i = 0; i <= ROOT_PARTS; i++) at[i] = ldexp(1 / sqrt((double)((i << PART_BITS) + (1 << LOW))), 22);
    t = graph_cast(to, t, DT_i32);
    t = graph_binary(to, OP_sub, t, graph_int(to, DT_i32, 1 << LOW));
    *shift = fixed_shifted(to, graph_cast(to, by, DT_i32), 1);
    return fixed_between(to, fixed_table(to, at, ROOT_PARTS + 1, DT_u16), t, PART_BITS);
}

/* c, of at most 2^15 in steps of `step`, over the root of its mean square plus epsilon, in steps of 2^-12. */
static bool normalize(struct fixing *x, const struct norm *norm, struct value *c, double step, struct fixed *result)
{
    struct graph *to = x->to;
    int64_t terms = terms_over(&c->type, norm->n, norm->axes);
    double least = rint((double)terms * norm->epsilon / (step * step)), root = sqrt((double)terms);
    if (terms > NORM_TERMS_MOST || least >= 0x1p44) return false;
    struct value *sum = graph_reduce(to, OP_sum, graph_binary(to, OP_mul_wide, c, c), norm->n, norm->axes, true), *shift;
    struct value *r = inverse_root(to, graph_binary(to, OP_add, sum, graph_int(to, DT_i64, least < 1 ? 1 : (int64_t)least)), &shift);
    int bits = (int)floor(UNIT_BITS - log2(root)); /* c*r*m is y*2^12 times 2^(shift + bits + 2) */
    struct value *y = graph_binary(to, OP_mul, c, r);
    y = graph_binary(to, OP_mul_wide, y, graph_int(to, DT_i32, (int64_t)rint(ldexp(root, bits))));
    shift = graph_cast(to, graph_binary(to, OP_add, shift, graph_int(to, DT_i32, bits + 14 - NORM_FINE)), DT_i64);
    struct value *half = graph_binary(to, OP_sub, shift, graph_int(to, DT_i64, 1));
    half = graph_binary(to, OP_shl, graph_int(to, DT_i64, 1), half);
    y = graph_cast(to, graph_binary(to, OP_shr, graph_binary(to, OP_add, y, half), shift), DT_i32);
    int64_t most = (int64_t)ceil(root * 1.001 + 1) << NORM_FINE;
    *result = fixed_of(to, y, ldexp(1, -NORM_FINE), -most, most);
    return y != NULL;
}

/* The number that all of a constant is. */
static bool is_number(const struct value *value, double *number)
{
    const struct tensor *t = value_const(value_before_spreading(value));
    if (!t || t->is_dims || t->type.dt != DT_f32 || type_count(&t->type) < 1) return false;
    const float *at = t->data;
    for (int64_t i = 1; i < type_count(&t->type); i++)
        if (at[i] != at[0]) return false;
    *number = (double)at[0];
    return true;
}

/* Whether v is the mean of squares of d. */
static bool is_mean_square(const struct value *v, const struct value *d, struct norm *norm)
{
    const struct node *node = value_before_spreading(v)->node;
    double count;
    if (node->op != OP_div || !is_number(node->in[1], &count)) return false;
    const struct node *sum = value_before_spreading(node->in[0])->node;
    if (sum->op != OP_sum || sum->in[0]->node->op != OP_mul || sum->in[0]->node->in[0] != d || sum->in[0]->node->in[1] != d) return false;
    const struct attr *axes = node_attr(sum, "axes");
    norm->d = d, norm->n = axes->n, norm->axes = axes->ints;
    return count == (double)terms_over(&d->type, axes->n, axes->ints);
}

static bool is_root_of_mean(const struct value *root, const struct value *d, struct norm *norm)
{
    if (root->node->op != OP_sqrt) return false;
    const struct value *v = value_before_spreading(root->node->in[0]);
    norm->epsilon = 0;
    for (int i = 0; v->node->op == OP_add && i < 2; i++)
        if (is_number(v->node->in[i], &norm->epsilon)) return is_mean_square(v->node->in[1 - i], d, norm);
    return is_mean_square(v, d, norm);
}

bool fixed_norm_find(const struct node *node, struct norm *norm)
{
    if (node->op == OP_div) return is_root_of_mean(value_before_spreading(node->in[1]), node->in[0], norm);
    for (int i = 0; node->op == OP_mul && i < 2; i++) {
        const struct node *inverse = value_before_spreading(node->in[i])->node;
        bool found = inverse->op == OP_reciprocal && is_root_of_mean(value_before_spreading(inverse->in[0]), node->in[1 - i], norm);
        if (found) return true;
    }
    return false;
}

bool *fixed_needed(const struct graph *graph, struct arena *arena)
{
    bool *needed = NEW_ARRAY(arena, bool, graph->nodes.n + 1);
    for (int i = 0; i < graph->outputs.n; i++) needed[graph->outputs.at[i]->node->id] = true;
    for (int i = graph->nodes.n - 1; i >= 0; i--) {
        const struct node *node = graph->nodes.at[i];
        struct norm norm;
        if (node->op == OP_input) needed[i] = true;
        bool whole = needed[i] && fixed_norm_find(node, &norm);
        if (whole) needed[norm.d->node->id] = true;
        for (int k = 0; needed[i] && !whole && k < node->n_in; k++) needed[node->in[k]->node->id] = true;
    }
    return needed;
}

bool fixed_norm(struct fixing *x, const struct norm *norm, struct fixed *result)
{
    struct fixed f;
    if (!fixed_single(x, norm->d, &f)) return false;
    double step = fixed_reach(&f) / (1 << UNIT_BITS);
    struct value *c = step > 0 ? fixed_integer(x, norm->d, step, 0, DT_i32) : NULL;
    return c && normalize(x, norm, c, step, result);
}

/* x in integers, their mean taken off. */
static struct value *centred(struct fixing *x, const struct node *node, const struct norm *norm, double *step)
{
    struct graph *to = x->to;
    struct fixed f;
    double scale;
    int64_t terms = terms_over(&node->in[0]->type, norm->n, norm->axes);
    if (terms > NORM_TERMS_MOST || !fixed_single(x, node->in[0], &f) || !fixed_number(f.scale, &scale)) return NULL;
    double width = (double)(f.most - f.least);
    if (!(width > 0)) return NULL;
    *step = scale * width / (1 << UNIT_BITS); /* x - mean reaches 2^15 at most */
    int64_t reach = (int64_t)ceil(fixed_reach(&f) / *step) + 1;
    if ((double)reach * (double)terms >= 0x1p31) return NULL;
    struct value *q = fixed_integer(x, node->in[0], *step, 0, DT_i32);
    struct value *sum = graph_reduce(to, OP_sum, q, norm->n, norm->axes, true), *count = graph_int(to, DT_i32, terms);
    struct value *half = graph_int(to, DT_i32, terms / 2), *sign = graph_binary(to, OP_lt, sum, graph_int(to, DT_i32, 0));
    half = graph_select(to, sign, graph_unary(to, OP_neg, half), half); /* a division cuts off */
    return graph_binary(to, OP_sub, q, graph_binary(to, OP_div, graph_binary(to, OP_add, sum, half), count));
}

bool fixed_layer_norm(struct fixing *x, const struct node *node, struct fixed *result)
{
    int rank = node->in[0]->type.rank;
    int64_t axis = node_int(node, "axis", -1), axes[RANK_MOST];
    if (axis < 0) axis += rank;
    const struct attr *epsilon = node_attr(node, "epsilon");
    struct norm norm = {.axes = axes, .epsilon = epsilon ? epsilon->f : 1e-5};
    for (int i = (int)axis; i < rank; i++) axes[norm.n++] = i;
    struct value *scale = fixed_constant(x, node->in[1]), *bias = fixed_constant(x, node->in[2]);
    double step;
    if (!scale || !bias) return false;
    struct value *c = centred(x, node, &norm, &step);
    if (!c || !normalize(x, &norm, c, step, result)) return false;
    result->scale = graph_binary(x->to, OP_mul, result->scale, scale);
    x->fixed[node->out->id] = *result;
    double number, most = fixed_reach(result); /* the bias is added at one scale: a channel's own may be as good as zero */
    if ((fixed_number(bias, &number) && number == 0) || !(most > 0)) return true;
    step = most / (1 << (UNIT_BITS + 5));
    *result = fixed_of(x->to, fixed_integer(x, node->out, step, 0, DT_i32), step, -(1 << (UNIT_BITS + 5)) - 1, (1 << (UNIT_BITS + 5)) + 1);
    result->shift = bias;
    return result->q != NULL;
}
