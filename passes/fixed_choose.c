/* Comparisons of known values, and what chooses between them, in integers.
 *
 *     lt(q*s, c)            q < ceil(c/s)                   a constant is brought to the integers, exactly
 *     lt(a, b)              a' < b'                         both at one scale, finer than either
 *     select(p, a, b), max(a, b)     select(p, a', b') ..   the same, constants as integers of a fine scale
 *
 * What is computed lies on its scale's steps, so that a comparison with a constant is right for every integer; one of two
 * computed values rounds them to steps that are up to 2^20 times finer than theirs. See fixed.h.
 */
#include "fixed.h"

#include <math.h>

static const double NEARLY = 1e-6; /* of a step: what f32 scales leave of a constant on a step */
enum { CONSTANT_FINE = 20 };

static double on_step(double steps)
{
    double whole = rint(steps);
    return fabs(steps - whole) <= NEARLY * fmax(1, fabs(whole)) ? whole : steps;
}

/* The bound in integers that op(q, bound) or, turned, op(bound, q) has, for a constant of so many steps. */
static double bound_of(enum op op, bool turned, double steps)
{
    double at = on_step(steps), least = (double)INT32_MIN, most = (double)INT32_MAX;
    if (op == OP_eq) return at == floor(at) && at > least && at < most ? at : least; /* no integer is that */
    bool up = op == OP_lt ? !turned : turned; /* q < 2.5 is q < 3, q <= 2.5 is q <= 2, 2.5 < q is 2 < q, 2.5 <= q is 3 <= q */
    return fmin(fmax(up ? ceil(at) : floor(at), least), most);
}

/* A known value against a constant. */
static struct value *compare_constant(struct fixing *x, enum op op, const struct value *old, struct value *constant, bool turned)
{
    struct graph *to = x->to;
    struct fixed f;
    double scale, number;
    if (!fixed_single(x, old, &f) || !fixed_number(f.scale, &scale) || !(scale > 0)) return NULL;
    const struct tensor *t = value_const(constant);
    int64_t n = type_count(&t->type);
    int32_t *bounds = arena_array(to->session, (size_t)n + 1, sizeof *bounds);
    for (int64_t i = 0; i < n; i++) bounds[i] = (int32_t)bound_of(op, turned, ((const double *)t->data)[i] / scale);
    struct type type = t->type;
    type.dt = DT_i32;
    struct value *bound = fixed_number(constant, &number) ? graph_int(to, DT_i32, bounds[0]) : graph_data(to, &type, bounds);
    return turned ? graph_binary(to, op, bound, f.q) : graph_binary(to, op, f.q, bound);
}

struct value *fixed_compare(struct fixing *x, const struct node *node)
{
    struct fixed both[2];
    struct value *constant[2];
    for (int i = 0; i < 2; i++) {
        bool known = fixed_is_known(&x->fixed[node->in[i]->id]);
        constant[i] = known ? NULL : fixed_constant(x, node->in[i]);
        if (!known && !constant[i]) return NULL;
    }
    if (constant[0]) return compare_constant(x, node->op, node->in[1], constant[0], true);
    if (constant[1]) return compare_constant(x, node->op, node->in[0], constant[1], false);
    if (!fixed_common(x, 2, node->in, both)) return NULL;
    return graph_binary(x->to, node->op, both[0].q, both[1].q);
}

/* A constant as a known value, beside one of that scale; where it is zero, of the very scale. */
static bool constant_known(struct fixing *x, const struct value *old, double beside)
{
    struct graph *to = x->to;
    struct value *constant = fixed_constant(x, old);
    if (!constant) return false;
    const struct tensor *t = value_const(constant);
    int64_t n = type_count(&t->type);
    int32_t *q = arena_array(to->session, (size_t)n + 1, sizeof *q);
    double most = 0, number;
    for (int64_t i = 0; i < n; i++) most = fmax(most, fabs(((const double *)t->data)[i]));
    double step = most > 0 ? ldexp(most, -CONSTANT_FINE) : beside;
    bool steps = true; /* of the other's scale, each */
    for (int64_t i = 0; i < n; i++) {
        double at = on_step(((const double *)t->data)[i] / beside);
        steps &= at == rint(at) && fabs(at) < 0x1p29;
    }
    if (steps) step = beside;
    for (int64_t i = 0; i < n; i++) q[i] = (int32_t)rint(((const double *)t->data)[i] / step);
    struct type type = t->type;
    type.dt = DT_i32;
    struct value *made = fixed_number(constant, &number) ? graph_int(to, DT_i32, n ? q[0] : 0) : graph_data(to, &type, q);
    int64_t reach = (int64_t)ceil(most / step);
    x->fixed[old->id] = fixed_of(to, made, step, -reach, reach);
    return made != NULL;
}

/* The scale of a known value that is one number, else what its reach allows. */
static double scale_of(struct fixing *x, const struct value *old)
{
    const struct fixed *f = &x->fixed[old->id];
    double scale;
    if (f->move) return scale_of(x, f->move->in[0]);
    return fixed_number(f->scale, &scale) && scale > 0 ? scale : ldexp(fmax(fixed_reach(f), 0x1p-100), -CONSTANT_FINE);
}

bool fixed_pair(struct fixing *x, struct value *const *old, struct fixed *both)
{
    bool made[2] = {false, false}, good = true;
    for (int i = 0; i < 2; i++) {
        if (fixed_is_known(&x->fixed[old[i]->id])) continue;
        bool other = old[1 - i] != old[i] && fixed_is_known(&x->fixed[old[1 - i]->id]);
        made[i] = good = good && constant_known(x, old[i], other ? scale_of(x, old[1 - i]) : 0x1p-20);
    }
    good = good && fixed_common(x, 2, old, both);
    for (int i = 0; i < 2; i++)
        if (made[i]) x->fixed[old[i]->id] = (struct fixed){0}; /* a constant again, for others */
    return good;
}

bool fixed_select(struct fixing *x, const struct node *node, struct fixed *f)
{
    struct fixed both[2];
    double scale;
    struct value *condition = x->map[node->in[0]->id];
    if (!condition || !fixed_pair(x, node->in + 1, both) || !fixed_number(both[0].scale, &scale)) return false;
    *f = fixed_of(x->to, graph_select(x->to, condition, both[0].q, both[1].q), scale, both[0].least < both[1].least ? both[0].least : both[1].least,
                  both[0].most > both[1].most ? both[0].most : both[1].most);
    return f->q != NULL;
}
