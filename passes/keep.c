/* Keeps what a sum and the values after it both compute.
 *
 *   for r in 0..n { set sum = sum + exp(x[r] - most) }         for i in 0..n { store y[i] = exp(x[i] - most) }
 *   for i in 0..n { store y[i] = exp(x[i] - most) / sum }  ->  for r in 0..n { set sum = sum + y[r] }
 *                                                              for i in 0..n { store y[i] = y[i] / sum }
 *
 * Pass lower computes fused values wherever they are read, so a softmax's exponentials twice. Where computing one costs
 * more than writing it and reading it twice, and a row of them stays in the second cache level, the row's place in the
 * result holds them in between. The same values are added in the same order, so results keep their bits. What a softmax
 * works on may be as costly (quantized sums): kept for its maximum first, it gives way to its exponentials in place.
 * Works on plain loops, before they are scheduled (schedule.c). Measured: see HACKING.md, "Decisions and measurements".
 */
#include "loops.h"
#include "schedule.h"

enum { COST_LEAST = 10 }; /* operations an element; a write and two reads of it in cache are some 4 */

struct keep {
    ex value, kept; /* computed again; read instead */
};

static double expr_cost(ex e)
{
    if (!e || e->dt == DT_index || e->op == EX_const || e->op == EX_var) return 0;
    double cost = expr_row(e->op)->cost;
    for (int i = 0; i < 3; i++) cost += expr_cost(e->arg[i]);
    return cost;
}

static bool contains(ex e, ex part)
{
    if (!e) return false;
    return e == part || contains(e->arg[0], part) || contains(e->arg[1], part) || contains(e->arg[2], part);
}

/* Whether e reads buf elsewhere than at `index`. */
static bool reads_elsewhere(ex e, const struct buffer *buf, ex index)
{
    if (!e) return false;
    if (e->op == EX_load && e->buf == buf && e->arg[0] != index) return true;
    return reads_elsewhere(e->arg[0], buf, index) || reads_elsewhere(e->arg[1], buf, index) || reads_elsewhere(e->arg[2], buf, index);
}

/* Whether statements after first up to last store anything, or read buf. */
static bool touches(const struct stmt *first, const struct stmt *last, const struct buffer *buf)
{
    for (const struct stmt *s = first; s && s != last; s = s->next)
        if (s->kind == STMT_STORE || s->kind == STMT_CALL || ex_loads(s->a, buf) || ex_loads(s->b, buf) || ex_loads(s->c, buf) ||
            touches(s->body, NULL, buf) || touches(s->other, NULL, buf))
            return true;
    return false;
}

static bool is_plain_loop(const struct stmt *s)
{
    return s->kind == STMT_FOR && s->step == 1 && s->body && !s->body->next;
}

/* Whether the loop stores, one element an iteration, something made of what `sum` adds up: *value. */
static bool repeats(struct prog *prog, const struct stmt *sum, const struct stmt *loop, ex added, ex *value)
{
    const struct stmt *store = loop->body;
    dim coef;
    ex rest;
    if (!is_plain_loop(loop) || store->kind != STMT_STORE || loop->a != sum->a || loop->b != sum->b) return false;
    *value = ex_replace(prog, added, sum->var, ex_var(prog, loop->var));
    bool apart = ex_affine(prog, store->a, loop->var, &coef, &rest) && dim_is_const(coef) && coef != 0;
    return apart && !store->c && store->buf->dt == (*value)->dt && contains(store->b, *value) && store->b != *value &&
           !reads_elsewhere(store->b, store->buf, store->a);
}

static ex read_kept(void *context, ex e)
{
    const struct keep *keep = context;
    return e == keep->value ? keep->kept : e;
}

static ex with_kept(struct prog *prog, ex e, struct keep *keep)
{
    struct rewriter *r = rewriter_new(prog);
    r->hook = read_kept;
    r->context = keep;
    return rewrite_expr(r, e);
}

/* Loops over the same range between `sum` and `last` read what is kept, too. */
static void read_between(struct prog *prog, const struct stmt *sum, const struct stmt *last, ex added, ex kept)
{
    for (struct stmt *s = sum->next; s && s != last; s = s->next) {
        if (!is_plain_loop(s) || s->body->kind != STMT_SET || s->a != sum->a || s->b != sum->b) continue;
        struct keep keep = {ex_replace(prog, added, sum->var, ex_var(prog, s->var)), ex_replace(prog, kept, sum->var, ex_var(prog, s->var))};
        s->body->a = with_kept(prog, s->body->a, &keep);
    }
}

static struct stmt *loop_over(struct prog *prog, const struct stmt *like, struct stmt *body)
{
    struct stmt *loop = stmt_for(prog, like->var, like->a, like->b, 1, body);
    loop->place = like->place;
    return loop;
}

/* Whether the sum is at least 1 or not a number: of exp(e - most), where a loop before has found the most of e. */
static bool is_one_at_least(struct prog *prog, const struct stmt *list, const struct stmt *sum, enum expr_op op, ex added)
{
    ex shifted = added->op == EX_exp ? added->arg[0] : NULL, found;
    enum expr_op by;
    if (op != EX_add || !shifted || shifted->op != EX_sub || shifted->arg[1]->op != EX_var) return false;
    for (const struct stmt *s = list; s && s != sum; s = s->next) {
        if (!is_plain_loop(s) || s->a != sum->a || s->b != sum->b || s->body->kind != STMT_SET) continue;
        if (s->body->var != shifted->arg[1]->var || !loops_reduction(s->body, &by, &found) || by != EX_max) continue;
        if (ex_replace(prog, found, s->var, ex_var(prog, sum->var)) == shifted->arg[0]) return true;
    }
    return false;
}

/* The first division by `sum` in e; NULL: there is none. */
static ex division_by(ex e, ex sum)
{
    if (!e || (e->op == EX_div && e->arg[1] == sum)) return e;
    for (int i = 0; i < 3; i++) {
        ex found = division_by(e->arg[i], sum);
        if (found) return found;
    }
    return NULL;
}

/* store y[i] = f(y[i] / sum)   ->   let scale = 1 / sum; store y[i] = f(y[i] * scale) */
static struct stmt *multiply(struct prog *prog, struct stmt *store, ex sum)
{
    ex division = division_by(store->b, sum);
    if (!division) return NULL;
    struct var *scale = prog_var(prog, "scale", sum->dt, 1);
    struct keep keep = {division, ex_binary(prog, EX_mul, division->arg[0], ex_var(prog, scale))};
    store->b = with_kept(prog, store->b, &keep);
    return stmt_let(prog, scale, ex_binary(prog, EX_div, ex_number(prog, sum->dt, 1), sum), false);
}

/* The loop that stores what `sum` adds, to stand before it; both loops then read it. NULL, and nothing changes, where
 * none of the statements after it computes that again. */
static struct stmt *keep_values(struct prog *prog, struct stmt *list, struct stmt *sum, int64_t bytes_most)
{
    enum expr_op op;
    ex added, value;
    if (!is_plain_loop(sum) || sum->body->kind != STMT_SET || !loops_reduction(sum->body, &op, &added)) return NULL;
    dim count = sum->var->hi;
    if (expr_cost(added) < COST_LEAST || dim_lo(prog->dims, count) >= bytes_most / dtype_bytes(added->dt)) return NULL;
    bool one = is_one_at_least(prog, list, sum, op, added);
    for (struct stmt *s = sum->next; s; s = s->next) {
        if (!repeats(prog, sum, s, added, &value) || touches(sum->next, s, s->body->buf)) continue;
        struct buffer *buf = s->body->buf;
        ex index = s->body->a;
        struct keep keep = {value, ex_load(prog, buf, buf->dt, index, 1, 1)};
        struct stmt *made = rewrite_list(rewriter_new(prog), loop_over(prog, s, stmt_store(prog, buf, index, value, 1, NULL)));
        s->body->b = with_kept(prog, s->body->b, &keep);
        struct stmt *scale = one ? multiply(prog, s->body, ex_var(prog, sum->body->var)) : NULL;
        if (scale) scale->next = sum->next, sum->next = scale;
        ex kept = ex_load(prog, buf, buf->dt, ex_replace(prog, index, s->var, ex_var(prog, sum->var)), 1, 1);
        read_between(prog, sum, s, added, kept);
        sum->body->a = ex_binary(prog, op, ex_var(prog, sum->body->var), kept);
        return made;
    }
    return NULL;
}

struct stmt *schedule_keep(struct prog *prog, struct stmt *list, int64_t bytes_most, bool *kept)
{
    struct stmt *out = NULL;
    for (struct stmt *s = list, *next; s; s = next) {
        struct stmt *made = keep_values(prog, list, s, bytes_most);
        next = s->next;
        s->body = schedule_keep(prog, s->body, bytes_most, kept);
        s->other = schedule_keep(prog, s->other, bytes_most, kept);
        *kept |= made != NULL;
        stmt_append(&out, made);
        s->next = NULL;
        stmt_append(&out, s);
    }
    return out;
}
