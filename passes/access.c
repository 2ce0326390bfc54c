/* Memory accesses of kernels, and whether two of them can touch the same byte. See access.h.
 *
 * An address is a constant plus coefficients times loop counters; so is the difference of two addresses, each counter
 * of one access being independent of the other's unless both run in the same iteration of it. Terms are taken by
 * falling coefficient: what the smaller ones can reach together leaves few values for the counter at hand that could
 * make the difference 0 (mixed radix), and each of these is followed. Where every way ends in a difference that is not
 * 0, or asks a counter that differs to be equal, the two are apart.
 */
#include "access.h"

enum { TERMS_MOST = 64, WAYS_MOST = 6 };

struct term { /* coef * (lo..hi), coef > 0 */
    dim coef, lo, hi;
    bool differs; /* not 0 */
};
struct apart {
    struct prog *prog;
    dim konst;
    int n;
    struct term term[TERMS_MOST];
    dim rest_lo[TERMS_MOST + 1], rest_hi[TERMS_MOST + 1]; /* of the terms from i on */
    bool unknown;
};

static void add_reach(struct reaches *to, struct reach reach, const struct stmt *const *loops, int n)
{
    reach.loops = n ? arena_copy(to->arena, loops, (size_t)n * sizeof *loops) : NULL;
    reach.n_loops = n;
    LIST_PUSH(to->arena, to, reach);
}

/* Lanes that touch memory under a count (NULL: all). */
static int active_lanes(int lanes, ex count)
{
    return count && ex_is_const(count) && count->imm >= 0 && count->imm < lanes ? (int)count->imm : lanes;
}

static void expr_reaches(struct reaches *to, struct pointer_map *seen, ex e, const struct stmt *const *loops, int n)
{
    if (!e || e->op == EX_const || e->op == EX_dim || e->op == EX_var || map_get(seen, e)) return;
    map_put(to->arena, seen, e, e);
    if (e->op == EX_load)
        add_reach(to, (struct reach){.buf = e->buf, .index = e->arg[0], .lanes = active_lanes(e->lanes, e->masked ? e->arg[1] : NULL), .stride = e->imm}, loops, n);
    for (int i = 0; i < 3; i++) expr_reaches(to, seen, e->arg[i], loops, n);
}

void reaches_of(struct reaches *to, const struct stmt *list, const struct stmt *const *loops, int n)
{
    const struct stmt *inner[LOOPS_MOST + 1];
    for (int i = 0; i < n; i++) inner[i] = loops[i];
    for (const struct stmt *s = list; s; s = s->next) {
        struct pointer_map seen = {.n = 0};
        expr_reaches(to, &seen, s->a, loops, n);
        expr_reaches(to, &seen, s->b, loops, n);
        expr_reaches(to, &seen, s->c, loops, n);
        if (s->kind == STMT_STORE)
            add_reach(to, (struct reach){.store = true, .buf = s->buf, .index = s->a, .lanes = active_lanes(s->b->lanes, s->c), .stride = s->step},
                      loops, n);
        bool loop = s->kind == STMT_FOR && n < LOOPS_MOST;
        if (loop) inner[n] = s;
        reaches_of(to, s->body, loop ? inner : loops, loop ? n + 1 : n);
        reaches_of(to, s->other, loops, n);
    }
}

/* Adds coef*(lo..hi). */
static void add_term(struct apart *p, dim coef, dim lo, dim hi, bool differs)
{
    struct dims *dims = p->prog->dims;
    if (coef == 0 || (lo == hi && !differs)) {
        p->konst = dim_add(dims, p->konst, dim_mul(dims, coef, lo));
        return;
    }
    if (dim_lo(dims, coef) < 0) {
        dim swap = lo;
        coef = dim_mul(dims, coef, -1);
        lo = dim_mul(dims, hi, -1);
        hi = dim_mul(dims, swap, -1);
    }
    if (dim_lo(dims, coef) < 1) p->unknown = true; /* of either sign */
    for (int i = 0; i < p->n; i++)
        if (p->term[i].coef == coef && !p->term[i].differs && !differs) {
            p->term[i].lo = dim_add(dims, p->term[i].lo, lo);
            p->term[i].hi = dim_add(dims, p->term[i].hi, hi);
            return;
        }
    if (p->n == TERMS_MOST) p->unknown = true;
    else p->term[p->n++] = (struct term){coef, lo, hi, differs};
}

/* coef times an atom whose value is anything in its range. A loop's counter moves in steps. */
static void add_free(struct apart *p, const struct reach *reach, ex atom, dim coef)
{
    struct dims *dims = p->prog->dims;
    dim lo, hi;
    if (!ex_range(p->prog, atom, &lo, &hi)) {
        p->unknown = true;
        return;
    }
    int64_t step = 1;
    for (int i = 0; reach && i < reach->n_loops; i++)
        if (atom->op == EX_var && reach->loops[i]->var == atom->var) step = reach->loops[i]->step;
    dim n = dim_div(dims, dim_sub(dims, hi, lo), step);
    p->konst = dim_add(dims, p->konst, dim_mul(dims, coef, lo));
    add_term(p, dim_mul(dims, coef, step), 0, n, false);
}

/* What an index is made of: atoms and their coefficients. */
struct sum {
    int n;
    struct {
        ex atom;
        dim coef;
    } part[TERMS_MOST];
    dim konst;
    bool unknown;
};

static void open_sum(struct prog *prog, ex e, dim scale, struct sum *sum)
{
    struct dims *dims = prog->dims;
    if (e->op == EX_const || e->op == EX_dim) {
        sum->konst = dim_add(dims, sum->konst, dim_mul(dims, scale, e->imm));
    } else if (e->op == EX_add) {
        open_sum(prog, e->arg[0], scale, sum);
        open_sum(prog, e->arg[1], scale, sum);
    } else if (e->op == EX_mul && (e->arg[1]->op == EX_const || e->arg[1]->op == EX_dim)) {
        open_sum(prog, e->arg[0], dim_mul(dims, scale, e->arg[1]->imm), sum);
    } else {
        for (int i = 0; i < sum->n; i++)
            if (sum->part[i].atom == e) {
                sum->part[i].coef = dim_add(dims, sum->part[i].coef, scale);
                return;
            }
        if (sum->n == TERMS_MOST) sum->unknown = true;
        else sum->part[sum->n].atom = e, sum->part[sum->n++].coef = scale;
    }
}

static dim coef_of(const struct sum *sum, const struct var *var)
{
    for (int i = 0; i < sum->n; i++)
        if (sum->part[i].atom->op == EX_var && sum->part[i].atom->var == var) return sum->part[i].coef;
    return 0;
}

/* The level of the loop whose counter the atom is, -1 for anything else. */
static int level_of(const struct reach *reach, ex atom)
{
    for (int i = 0; i < reach->n_loops; i++)
        if (atom->op == EX_var && reach->loops[i]->var == atom->var) return i;
    return -1;
}

/* A name that means one value during a call: neither side can have another. */
static bool is_fixed(const struct reach *reach, ex atom)
{
    return atom->op == EX_var && level_of(reach, atom) < 0 && atom->var->lo == 1 && atom->var->hi == 0;
}

/* sign * the access's address. The counters of loops before `same` are the same on both sides, and `other` has them
 * too; the one at `same`, where it differs, is added by the caller. */
static void add_address(struct apart *p, const struct reach *reach, const struct sum *sum, const struct sum *other,
                        int sign, int same, bool differ)
{
    struct dims *dims = p->prog->dims;
    p->konst = dim_add(dims, p->konst, dim_mul(dims, sign, sum->konst));
    for (int i = 0; i < sum->n; i++) {
        ex atom = sum->part[i].atom;
        int level = level_of(reach, atom);
        dim coef = dim_mul(dims, sign, sum->part[i].coef);
        bool shared = (level >= 0 && level < same) || (same >= 0 && is_fixed(reach, atom));
        if (level >= 0 && level == same && differ) continue;
        if (!shared) {
            add_free(p, reach, atom, coef);
            continue;
        }
        dim theirs = coef_of(other, atom->var), net = dim_sub(dims, sum->part[i].coef, theirs);
        if (net == 0 || (sign < 0 && theirs != 0)) continue; /* added with the first side */
        if (sign < 0) add_free(p, reach, atom, coef);
        else add_free(p, reach, atom, net);
    }
}

static void add_lanes(struct apart *p, const struct reach_at *a, int64_t size, int sign)
{
    struct dims *dims = p->prog->dims;
    if (a->reach->lanes > 1)
        add_term(p, dim_mul(dims, sign, dim_mul(dims, a->reach->stride, size)), 0, a->reach->lanes - 1, false);
    if (size > 1) add_term(p, sign, 0, size - 1, false); /* the element's bytes */
}

static bool sort_terms(struct apart *p)
{
    struct dims *dims = p->prog->dims;
    for (int i = 1; i < p->n; i++)
        for (int k = i; k > 0; k--) {
            if (dim_le(dims, p->term[k].coef, p->term[k - 1].coef)) break;
            if (!dim_le(dims, p->term[k - 1].coef, p->term[k].coef)) return false;
            struct term swap = p->term[k];
            p->term[k] = p->term[k - 1];
            p->term[k - 1] = swap;
        }
    return true;
}

static void add_rests(struct apart *p)
{
    struct dims *dims = p->prog->dims;
    p->rest_lo[p->n] = p->rest_hi[p->n] = 0;
    for (int i = p->n - 1; i >= 0; i--) {
        p->rest_lo[i] = dim_add(dims, p->rest_lo[i + 1], dim_mul(dims, p->term[i].coef, p->term[i].lo));
        p->rest_hi[i] = dim_add(dims, p->rest_hi[i + 1], dim_mul(dims, p->term[i].coef, p->term[i].hi));
    }
}

/* Rows in steps of 7 on one side and of 1 on the other are rows: where a term does not outweigh those behind it and is
 * a multiple of the next, the two are one. */
static bool merge_terms(struct apart *p)
{
    struct dims *dims = p->prog->dims;
    add_rests(p);
    for (int i = 0; i + 1 < p->n; i++) {
        struct term *big = &p->term[i], *next = &p->term[i + 1];
        dim times, reach = dim_sub(dims, p->rest_hi[i + 1], p->rest_lo[i + 1]);
        if (big->differs || next->differs || dim_lt(dims, reach, big->coef)) continue;
        if (!dim_divides(dims, big->coef, next->coef, &times)) continue;
        next->lo = dim_add(dims, next->lo, dim_mul(dims, times, big->lo));
        next->hi = dim_add(dims, next->hi, dim_mul(dims, times, big->hi));
        for (p->n--; i < p->n; i++) p->term[i] = p->term[i + 1];
        return true;
    }
    return false;
}

/* Proven: konst + the terms from i on is not 0. */
static bool never_zero(const struct apart *p, int i, dim konst)
{
    struct dims *dims = p->prog->dims;
    dim low = dim_add(dims, konst, p->rest_lo[i]), high = dim_add(dims, konst, p->rest_hi[i]);
    if (dim_lt(dims, 0, low) || dim_lt(dims, high, 0)) return true;
    if (i == p->n) return false;
    const struct term *term = &p->term[i];
    low = dim_add(dims, konst, p->rest_lo[i + 1]);
    high = dim_add(dims, konst, p->rest_hi[i + 1]);
    if (dim_is_const(low) && dim_is_const(high) && dim_is_const(term->coef)) {
        int64_t first = floor_div(-high + term->coef - 1, term->coef), last = floor_div(-low, term->coef);
        if (dim_is_const(term->lo) && first < term->lo) first = term->lo;
        if (dim_is_const(term->hi) && last > term->hi) last = term->hi;
        if (last - first >= WAYS_MOST) return false;
        for (int64_t m = first; m <= last; m++)
            if (!(m == 0 && term->differs) && !never_zero(p, i + 1, dim_add(dims, konst, dim_mul(dims, m, term->coef))))
                return false;
        return true;
    }
    /* symbolic: only 0 is left for the counter, or nothing is known */
    bool only_zero = dim_lt(dims, high, term->coef) && dim_lt(dims, dim_mul(dims, low, -1), term->coef);
    return only_zero && (term->differs || never_zero(p, i + 1, konst));
}

bool reach_apart(struct prog *prog, const struct reach_at *a, const struct reach_at *b, int same, bool differ)
{
    struct dims *dims = prog->dims;
    struct apart p = {.prog = prog, .konst = dim_sub(dims, a->base, b->base)};
    struct sum of[2] = {{.n = 0}, {.n = 0}};
    const struct reach_at *side[2] = {a, b};
    for (int i = 0; i < 2; i++) {
        int64_t size = dtype_bytes(side[i]->reach->buf->dt);
        open_sum(prog, side[i]->reach->index, size, &of[i]);
        if (side[i]->offset) open_sum(prog, side[i]->offset, size, &of[i]);
        if (of[i].unknown) return false;
        add_lanes(&p, side[i], size, i ? -1 : 1);
    }
    if (differ) { /* the same coefficient on both sides: times a difference that is not 0 */
        const struct stmt *loop = a->reach->loops[same];
        dim coef = coef_of(&of[0], loop->var), n;
        if (coef == 0 || coef != coef_of(&of[1], loop->var)) return false;
        n = dim_div(dims, dim_sub(dims, loop->var->hi, loop->var->lo), loop->step);
        add_term(&p, dim_mul(dims, coef, loop->step), dim_mul(dims, n, -1), n, true);
    }
    add_address(&p, a->reach, &of[0], &of[1], 1, same, differ);
    add_address(&p, b->reach, &of[1], &of[0], -1, same, differ);
    if (p.unknown || !sort_terms(&p)) return false;
    while (merge_terms(&p)) continue;
    return never_zero(&p, 0, p.konst);
}
