/* How near what a call writes may come to what it reads, where that is never read again.
 *
 *   for p in 0..25 { .. load x[448*p + ..] .. store y[320*p + ..] }        y may begin 320 bytes before x, or anywhere below
 *
 * The kernel's accesses are followed in the order in which it makes them: outer loops turn by turn, the inner ones, where
 * that would be too many, as ranges. Before anything is read, what was written so far must lie below it or above it; the
 * worst place says how far apart the two must begin. Within what is taken as a range, all writes count as before all reads.
 * Followed twice, forwards and with the outermost loops turned round, which is the same kernel where turns share nothing.
 * The idea is Blacker et al., Reducing Memory Requirements of Microcontroller Networks by Diagonal Memory Optimisation
 * (2021), who watch addresses while a model runs. See plan.h; who uses it: plan_near.c.
 */
#include "access.h"
#include "plan.h"

static const int64_t ANYWHERE = INT64_MIN / 4;
enum { TURNS_MOST = 1 << 13, BOUND_MOST = 2 * LOOPS_MOST, ACCESSES_MOST = 400 };
struct span { /* of an integer; known false: anything */
    bool known;
    int64_t lo, hi;
};
struct bound { /* what a variable is now */
    const struct var *var;
    struct span span;
};
enum mode { IN_ORDER, WRITES, READS };
struct following {
    const struct stmt *call;
    const struct buffer *from, *to;
    enum mode mode;
    bool turned, wrote;      /* turned: the loop to come is taken from its end */
    bool unknown;
    int64_t low, high;       /* bytes of `to` written so far, from its start; high exclusive */
    int64_t turns;           /* of the loops around, all in all */
    int n;
    struct bound bound[BOUND_MOST];
    struct distance *result;
};

/* ---- ranges of indices ---- */

static struct span span_of(const struct following *f, ex e);

static struct span span_divided(enum expr_op op, struct span a, struct span b)
{
    if (b.lo != b.hi || b.lo <= 0) return (struct span){.known = false};
    struct span q = {true, floor_div(a.lo, b.lo), floor_div(a.hi, b.lo)};
    if (op == EX_div) return q;
    if (q.lo != q.hi) return (struct span){true, 0, b.lo - 1};
    return (struct span){true, a.lo - q.lo * b.lo, a.hi - q.lo * b.lo};
}

static struct span span_binary(enum expr_op op, struct span a, struct span b)
{
    if (!a.known || !b.known) return (struct span){.known = false};
    if (op == EX_add) return (struct span){true, a.lo + b.lo, a.hi + b.hi};
    if (op == EX_sub) return (struct span){true, a.lo - b.hi, a.hi - b.lo};
    if (op == EX_min) return (struct span){true, a.lo < b.lo ? a.lo : b.lo, a.hi < b.hi ? a.hi : b.hi};
    if (op == EX_max) return (struct span){true, a.lo > b.lo ? a.lo : b.lo, a.hi > b.hi ? a.hi : b.hi};
    if (op == EX_div || op == EX_mod) return span_divided(op, a, b);
    if (op != EX_mul) return (struct span){.known = false};
    struct span product = {true, a.lo * b.lo, a.lo * b.lo};
    const int64_t others[] = {a.lo * b.hi, a.hi * b.lo, a.hi * b.hi};
    for (int i = 0; i < 3; i++) {
        if (others[i] < product.lo) product.lo = others[i];
        if (others[i] > product.hi) product.hi = others[i];
    }
    return product;
}

static struct span span_of(const struct following *f, ex e)
{
    if (e->op == EX_const || e->op == EX_dim) return (struct span){dim_is_const(e->imm), e->imm, e->imm};
    if (e->op == EX_var) {
        for (int i = f->n - 1; i >= 0; i--)
            if (f->bound[i].var == e->var) return f->bound[i].span;
        return (struct span){.known = false};
    }
    if (expr_row(e->op)->args != 2 || e->dt != DT_index) return (struct span){.known = false};
    return span_binary(e->op, span_of(f, e->arg[0]), span_of(f, e->arg[1]));
}

static void bind(struct following *f, const struct var *var, struct span span)
{
    if (f->n == BOUND_MOST) f->unknown = true;
    else f->bound[f->n++] = (struct bound){var, span};
}

/* ---- accesses ---- */

/* Bytes that an access touches, from the start of the buffer passed. */
static struct span bytes_of(const struct following *f, const struct call_arg *arg, ex index, int lanes, int64_t stride, int64_t size)
{
    struct span at = span_of(f, index), offset = arg->offset ? span_of(f, arg->offset) : (struct span){true, 0, 0};
    struct span whole = {true, 0, arg->buf->elements * dtype_bytes(arg->buf->dt)};
    if (!at.known || !offset.known) return whole;
    int64_t last = (lanes - 1) * stride;
    at.lo += offset.lo + (last < 0 ? last : 0);
    at.hi += offset.hi + (last > 0 ? last : 0);
    return (struct span){true, at.lo * size, (at.hi + 1) * size};
}

static void read(struct following *f, struct span bytes)
{
    struct distance *d = f->result;
    if (!f->wrote) return;
    if (f->high - bytes.lo > d->below) d->below = f->high - bytes.lo;
    if (bytes.hi - f->low > d->above) d->above = bytes.hi - f->low;
}

static void write(struct following *f, struct span bytes)
{
    if (!f->wrote || bytes.lo < f->low) f->low = bytes.lo;
    if (!f->wrote || bytes.hi > f->high) f->high = bytes.hi;
    f->wrote = true;
}

static void follow_expr(struct following *f, ex e)
{
    if (!e || e->op == EX_const || e->op == EX_dim || e->op == EX_var) return;
    bool ours = e->op == EX_load && e->buf->space == SPACE_PARAM && f->call->args[e->buf->position].buf == f->from;
    if (ours) read(f, bytes_of(f, &f->call->args[e->buf->position], e->arg[0], e->lanes, e->imm, dtype_bytes(e->buf->dt)));
    for (int i = 0; i < 3; i++) follow_expr(f, e->arg[i]);
}

static void follow_list(struct following *f, const struct stmt *list);

/* Turns lo..hi of the loop; several at once: their order is not looked at. */
static void follow_turns(struct following *f, const struct stmt *loop, int64_t lo, int64_t hi)
{
    int n = f->n;
    bind(f, loop->var, (struct span){true, lo, hi});
    if (f->mode != IN_ORDER || lo == hi) follow_list(f, loop->body);
    else {
        f->mode = WRITES;
        follow_list(f, loop->body);
        f->mode = READS;
        follow_list(f, loop->body);
        f->mode = IN_ORDER;
    }
    f->n = n;
}

static void follow_loop(struct following *f, const struct stmt *loop)
{
    struct span from = span_of(f, loop->a), upto = span_of(f, loop->b);
    if (!from.known || !upto.known) {
        f->unknown = true;
        return;
    }
    int64_t step = loop->step, n = (upto.hi - from.lo + step - 1) / step;
    if (n <= 0) return;
    bool whole = f->mode != IN_ORDER || from.lo != from.hi || upto.lo != upto.hi, turned = f->turned;
    int64_t most = TURNS_MOST / f->turns, each = whole ? n : n > most ? (n + most - 1) / most : 1, before = f->turns;
    f->turned = false;
    f->turns *= (n + each - 1) / each;
    for (int64_t done = 0; done < n; done += each) {
        int64_t first = done, past = done + each < n ? done + each : n;
        if (turned) first = n - past, past = n - done;
        follow_turns(f, loop, from.lo + first * step, from.lo + (past - 1) * step);
    }
    f->turns = before;
}

static void follow_list(struct following *f, const struct stmt *list)
{
    int n = f->n;
    for (const struct stmt *s = list; s && !f->unknown; s = s->next) {
        bool plain = s->kind == STMT_FOR || s->kind == STMT_STORE || s->kind == STMT_LET || s->kind == STMT_SET || s->kind == STMT_IF;
        if (!plain) {
            f->unknown = true;
            return;
        }
        if (f->mode != WRITES) follow_expr(f, s->a), follow_expr(f, s->b), follow_expr(f, s->c);
        const struct call_arg *arg = s->kind == STMT_STORE && s->buf->space == SPACE_PARAM ? &f->call->args[s->buf->position] : NULL;
        if (arg && arg->buf == f->to && f->mode != READS) write(f, bytes_of(f, arg, s->a, s->b->lanes, s->step, dtype_bytes(s->buf->dt)));
        if (s->kind == STMT_LET) bind(f, s->var, s->mutable || s->var->dt != DT_index ? (struct span){.known = false} : span_of(f, s->a));
        if (s->kind == STMT_FOR) follow_loop(f, s);
        if (s->kind == STMT_IF) follow_list(f, s->body), follow_list(f, s->other);
    }
    f->n = n;
}

/* The loops from the last to the first, each from its end. */
static void follow_turned(struct following *f, const struct stmt *list)
{
    if (!list) return;
    follow_turned(f, list->next);
    f->turned = true;
    follow_loop(f, list);
}

/* Whether what the two accesses touch in different turns, or in different loops, is never the same. */
static bool accesses_apart(struct prog *prog, const struct reach *x, const struct reach *y)
{
    if (x->buf != y->buf || !(x->store || y->store)) return true;
    struct reach_at a = {.reach = x}, b = {.reach = y};
    return x->loops[0] == y->loops[0] ? reach_apart(prog, &a, &b, 0, true) : reach_apart(prog, &a, &b, -1, false);
}

/* Whether the kernel is loops one after the other, all of whose turns may be taken in any order. */
static bool turns_are_apart(struct prog *prog, const struct stmt *call, struct arena *scratch)
{
    struct reaches of = {.arena = scratch};
    for (const struct stmt *s = call->kernel->body; s; s = s->next)
        if (s->kind != STMT_FOR || s->a->op != EX_const || s->b->op != EX_const) return false;
    for (int i = 0; i < call->n_args; i++)
        for (int k = 0; k < call->n_args; k++)
            if (k != i && call->kernel->params.at[i]->written && call->args[k].buf == call->args[i].buf) return false;
    reaches_of(&of, call->kernel->body, NULL, 0);
    if (of.n > ACCESSES_MOST) return false;
    for (int i = 0; i < of.n; i++)
        for (int k = i; k < of.n; k++)
            if (of.at[i].buf->space != SPACE_PARAM || of.at[i].n_loops == 0 || !accesses_apart(prog, &of.at[i], &of.at[k])) return false;
    return true;
}

static bool follow(const struct stmt *call, const struct buffer *from, const struct buffer *to, bool turned, struct distance *d)
{
    struct following f = {.call = call, .from = from, .to = to, .turns = 1, .result = d};
    *d = (struct distance){.below = ANYWHERE, .above = ANYWHERE};
    if (turned) follow_turned(&f, call->kernel->body);
    else follow_list(&f, call->kernel->body);
    return !f.unknown;
}

int plan_distances(struct prog *prog, const struct stmt *call, const struct buffer *from, const struct buffer *to, struct distance d[WAYS])
{
    if (!call->kernel || call->n_scalars > 0 || !dim_is_const(from->elements) || !dim_is_const(to->elements)) return 0;
    for (int i = 0; i < call->n_args; i++)
        if (call->args[i].buf == from && call->kernel->params.at[i]->written) return 0;
    if (!follow(call, from, to, false, &d[0])) return 0;
    struct arena *scratch = arena_new();
    bool turns = turns_are_apart(prog, call, scratch) && follow(call, from, to, true, &d[1]);
    arena_free(scratch);
    return turns ? 2 : 1;
}

struct kernel *plan_turned(struct prog *prog, const struct kernel *kernel)
{
    struct kernel *turned = prog_kernel(prog, arena_printf(prog->arena, "%s_back", kernel->name));
    struct stmt *next = NULL;
    for (struct stmt *s = rewrite_list(plan_copy_formals(prog, kernel, -1, turned), kernel->body), *after; s; s = after) {
        int64_t last = s->a->imm + (s->b->imm - 1 - s->a->imm) / s->step * s->step;
        struct rewriter *mirror = rewriter_new(prog);
        rewrite_bind(mirror, s->var, ex_binary(prog, EX_sub, ex_int(prog, DT_index, s->a->imm + last), ex_var(prog, s->var)));
        s->body = rewrite_list(mirror, s->body);
        after = s->next;
        s->next = next;
        next = s;
    }
    turned->body = next;
    return turned;
}
