/* Guarded loads: interiors, tests moved outward, static taps.
 *
 *   for r { for c { set s = s + (load x[h+r-1, c] if 0 <= h+r-1 else 0)*w[r, c] } }
 *      ->   for r { if 0 <= h+r-1 { for c { set s = s + x[h+r-1, c]*w[r, c] } } }
 *
 * A guard is a conjunction of terms. A term can move out of a body when each of its statements leaves everything
 * unchanged if the term is false: an update whose operand is then the operation's neutral value. (The product of a
 * padded zero with an infinite weight is taken as zero: what is outside the tensor takes no part.)
 */
#include "guards.h"
#include "loops.h"

enum { TERMS_MOST = 16 };
struct terms {
    ex at[TERMS_MOST];
    int n;
};

static void terms_of(ex guard, struct terms *terms)
{
    if (guard->op == EX_and) {
        terms_of(guard->arg[0], terms);
        terms_of(guard->arg[1], terms);
        return;
    }
    for (int i = 0; i < terms->n; i++)
        if (terms->at[i] == guard) return;
    if (terms->n < TERMS_MOST) terms->at[terms->n++] = guard;
}

static bool has_term(ex guard, ex term)
{
    if (guard == term) return true;
    return guard->op == EX_and && (has_term(guard->arg[0], term) || has_term(guard->arg[1], term));
}

static ex without_terms(struct prog *prog, ex guard, const struct terms *terms)
{
    for (int i = 0; i < terms->n; i++)
        if (guard == terms->at[i]) return ex_int(prog, DT_bool, 1);
    if (guard->op != EX_and) return guard;
    return ex_binary(prog, EX_and, without_terms(prog, guard->arg[0], terms), without_terms(prog, guard->arg[1], terms));
}

static ex all_terms(struct prog *prog, const struct terms *terms)
{
    ex all = ex_int(prog, DT_bool, 1);
    for (int i = 0; i < terms->n; i++) all = ex_binary(prog, EX_and, all, terms->at[i]);
    return all;
}

/* Narrows lo..hi to where the term holds. */
static bool term_interval(const struct loopnest *nest, ex term, struct var *var, dim *lo, dim *hi)
{
    struct prog *prog = nest->prog;
    struct dims *dims = prog->dims;
    dim coef, low, high;
    ex rest;
    if ((term->op != EX_lt && term->op != EX_le) || term->arg[0]->dt != DT_index) return false;
    ex difference = ex_binary(prog, EX_sub, term->arg[1], term->arg[0]);
    if (!ex_affine(prog, difference, var, &coef, &rest) || !dim_is_const(coef) || coef == 0) return false;
    if (!ex_range(prog, rest, &low, &high)) return false;
    dim room = dim_sub(dims, low, term->op == EX_lt ? 1 : 0); /* coef*var + room >= 0 */
    if (coef > 0) *lo = dim_max(dims, *lo, dim_ceil_div(dims, dim_sub(dims, 0, room), coef));
    else *hi = dim_min(dims, *hi, dim_add(dims, dim_div(dims, room, -coef), 1));
    return true;
}

bool guards_interval(const struct loopnest *nest, int axis, dim *lo, dim *hi)
{
    struct dims *dims = nest->prog->dims;
    *lo = 0;
    *hi = nest->axis[axis].extent;
    for (int i = 0; i < nest->accesses.n; i++) {
        struct terms terms = {.n = 0};
        const struct access *access = &nest->accesses.at[i];
        if (!access->guard) continue;
        terms_of(access->guard, &terms);
        for (int k = 0; k < terms.n; k++)
            if (ex_uses(terms.at[k], nest->axis[axis].var) &&
                !term_interval(nest, terms.at[k], nest->axis[axis].var, lo, hi))
                return false;
    }
    if (!dim_le(dims, *lo, *hi)) *hi = dim_max(dims, *hi, *lo);
    if (!dim_le(dims, *hi, nest->axis[axis].extent)) *hi = *lo = nest->axis[axis].extent;
    return true;
}

static bool is_value(ex e, ex value)
{
    while (e->op == EX_splat || e->op == EX_cast) e = e->arg[0];
    if (e->op != EX_const) return false;
    bool floats = dtype_is_float(e->dt) && dtype_is_float(value->dt);
    if (floats) return e->number == value->number; /* 0 and -0 alike */
    return !dtype_is_float(e->dt) && !dtype_is_float(value->dt) && e->imm == value->imm;
}

/* Whether e is `value` when the term is false; term NULL: whether it is `value` anyway. */
static bool falls_to(ex e, ex value, ex term)
{
    bool zero = dtype_is_float(value->dt) ? value->number == 0 : value->imm == 0;
    if (is_value(e, value)) return true;
    switch (e->op) {
    case EX_load: return term && e->arg[1] && !e->masked && has_term(e->arg[1], term) && is_value(e->arg[2], value);
    case EX_splat: return falls_to(e->arg[0], value, term);
    case EX_cast: return zero && falls_to(e->arg[0], value, term);
    case EX_mul: return zero && (falls_to(e->arg[0], value, term) || falls_to(e->arg[1], value, term));
    default: return false;
    }
}

static bool set_changes_nothing(struct prog *prog, const struct stmt *set, ex term)
{
    enum expr_op op;
    ex e;
    if (!loops_reduction(set, &op, &e)) return false;
    ex neutral = loops_neutral(prog, op, set->var->dt);
    if (falls_to(e, neutral, term)) return true;
    bool integer_zero = op == EX_add && e->op == EX_cast;
    return integer_zero && falls_to(e->arg[0], ex_number(prog, e->arg[0]->dt, 0), term);
}

/* Whether the list changes nothing when the term is false. */
static bool changes_nothing(struct prog *prog, const struct stmt *list, ex term)
{
    for (; list; list = list->next) {
        if (list->kind == STMT_LET && !list->mutable) continue;
        if (list->kind == STMT_SET && set_changes_nothing(prog, list, term)) continue;
        if (list->kind == STMT_FOR && !ex_uses(term, list->var) && changes_nothing(prog, list->body, term)) continue;
        if (list->kind == STMT_IF && !list->other &&
            (has_term(list->a, term) || changes_nothing(prog, list->body, term)))
            continue;
        return false;
    }
    return true;
}

static void find_terms_expr(ex e, struct terms *terms)
{
    if (!e || e->dt == DT_index || e->op == EX_const || e->op == EX_var) return;
    if (e->op == EX_load) {
        if (e->arg[1] && !e->masked) terms_of(e->arg[1], terms);
        return;
    }
    if (e->op == EX_mul || e->op == EX_cast || e->op == EX_splat)
        for (int i = 0; i < 2; i++) find_terms_expr(e->arg[i], terms);
}

static void find_terms(const struct stmt *list, struct terms *terms)
{
    enum expr_op op;
    ex e;
    for (; list; list = list->next) {
        if (list->kind == STMT_SET && loops_reduction(list, &op, &e)) find_terms_expr(e, terms);
        if (list->kind == STMT_IF) terms_of(list->a, terms);
        find_terms(list->body, terms);
    }
}

struct stripping {
    struct prog *prog;
    const struct terms *terms;
};

static ex strip_load(void *context, ex e)
{
    const struct stripping *s = context;
    if (e->op != EX_load || !e->arg[1] || e->masked) return e;
    return ex_load_guarded(s->prog, e->buf, e->dt, e->arg[0], without_terms(s->prog, e->arg[1], s->terms), e->arg[2]);
}

/* `if`s that became true give way to their bodies. */
static struct stmt *open_true(struct prog *prog, struct stmt *list)
{
    struct stmt *first = NULL;
    while (list) {
        struct stmt *next = list->next;
        list->next = NULL;
        list->body = open_true(prog, list->body);
        list->other = open_true(prog, list->other);
        bool true_if = list->kind == STMT_IF && ex_is_const(list->a) && list->a->imm;
        stmt_append(&first, true_if ? list->body : list);
        list = next;
    }
    return first;
}

static void strip_conditions(struct prog *prog, struct stmt *list, const struct terms *terms)
{
    for (; list; list = list->next) {
        if (list->kind == STMT_IF) list->a = without_terms(prog, list->a, terms);
        strip_conditions(prog, list->body, terms);
        strip_conditions(prog, list->other, terms);
    }
}

static bool reads_any(ex e, struct var *const *vars, int n)
{
    for (int i = 0; i < n; i++)
        if (ex_uses(e, vars[i])) return true;
    return false;
}

/* A term may test only what is defined outside: not lets of the body. */
static bool reads_lets(ex term, const struct stmt *list)
{
    for (; list; list = list->next)
        if ((list->kind == STMT_LET && ex_uses(term, list->var)) || reads_lets(term, list->body)) return true;
    return false;
}

static struct stmt *hoist_body(struct prog *prog, struct stmt *body, struct var *const *fixed, int n_fixed)
{
    struct terms found = {.n = 0}, moved = {.n = 0};
    if (body && body->kind == STMT_IF && !body->next) return body; /* nothing further to gain */
    find_terms(body, &found);
    for (int i = 0; i < found.n; i++)
        if (!reads_any(found.at[i], fixed, n_fixed) && !reads_lets(found.at[i], body) &&
            changes_nothing(prog, body, found.at[i]))
            moved.at[moved.n++] = found.at[i];
    if (moved.n == 0) return body;
    struct stripping stripping = {prog, &moved};
    struct rewriter *r = rewriter_new(prog);
    r->hook = strip_load;
    r->context = &stripping;
    strip_conditions(prog, body, &moved);
    struct stmt *branch = stmt_new(prog, STMT_IF);
    branch->a = all_terms(prog, &moved);
    branch->body = open_true(prog, rewrite_list(r, body));
    return branch;
}

struct stmt *guards_hoist(struct prog *prog, struct stmt *list, struct var *const *fixed, int n_fixed)
{
    for (struct stmt *s = list; s; s = s->next) {
        s->body = guards_hoist(prog, s->body, fixed, n_fixed);
        s->other = guards_hoist(prog, s->other, fixed, n_fixed);
        if (s->kind == STMT_FOR) s->body = hoist_body(prog, s->body, fixed, n_fixed);
    }
    return list;
}

static bool guard_reads(ex e, const struct var *var)
{
    if (!e || e->op == EX_const || e->op == EX_dim || e->op == EX_var) return false;
    if (e->op == EX_load && e->arg[1] && ex_uses(e->arg[1], var)) return true;
    return guard_reads(e->arg[0], var) || guard_reads(e->arg[1], var) || guard_reads(e->arg[2], var);
}

static bool list_guard_reads(const struct stmt *list, const struct var *var)
{
    for (; list; list = list->next) {
        if (list->kind == STMT_IF && ex_uses(list->a, var)) return true;
        if (guard_reads(list->a, var) || guard_reads(list->b, var)) return true;
        if (list_guard_reads(list->body, var) || list_guard_reads(list->other, var)) return true;
    }
    return false;
}

struct stmt *guards_unroll(struct prog *prog, struct stmt *list, int most)
{
    struct stmt *out = NULL;
    while (list) {
        struct stmt *s = list;
        list = list->next;
        s->next = NULL;
        s->body = guards_unroll(prog, s->body, most);
        s->other = guards_unroll(prog, s->other, most);
        bool counted = s->kind == STMT_FOR && s->step == 1 && ex_is_const(s->a) && ex_is_const(s->b);
        int64_t trips = counted ? s->b->imm - s->a->imm : 0;
        if (!counted || trips < 1 || trips > most || !list_guard_reads(s->body, s->var)) {
            stmt_append(&out, s);
            continue;
        }
        ex *values = NEW_ARRAY(prog->arena, ex, trips);
        for (int64_t i = 0; i < trips; i++) values[i] = ex_int(prog, DT_index, s->a->imm + i);
        stmt_append(&out, open_true(prog, loops_unroll(prog, s->body, s->var, values, (int)trips)));
    }
    return out;
}

static bool is_idle(const struct stmt *s)
{
    enum expr_op op;
    ex e;
    if (s->kind == STMT_IF) return !s->body && !s->other;
    if (s->kind == STMT_FOR) return !s->body;
    if (!loops_reduction(s, &op, &e) || !dtype_is_float(e->dt)) return false;
    struct expr zero = {.op = EX_const, .dt = e->dt, .lanes = 1, .number = 0};
    struct expr low = zero, high = zero;
    low.number = -1.0 / 0.0;
    high.number = 1.0 / 0.0;
    if (op == EX_add) return falls_to(e, &zero, NULL);
    return (op == EX_max && is_value(e, &low)) || (op == EX_min && is_value(e, &high));
}

struct stmt *guards_drop(struct stmt *list)
{
    struct stmt *first = NULL;
    while (list) {
        struct stmt *next = list->next;
        list->next = NULL;
        list->body = guards_drop(list->body);
        list->other = guards_drop(list->other);
        if (list->kind == STMT_IF && ex_is_const(list->a)) stmt_append(&first, list->a->imm ? list->body : list->other);
        else if (!is_idle(list)) stmt_append(&first, list);
        list = next;
    }
    return first;
}
