/* A kernel's work in pieces.
 *
 *   kernel k(out y) { for i in 0..100 { B } }
 *      ->   kernel k(out y, from: index 0..100, to: index 0..100) { for i in from..to { B } }
 *
 * A piece is an iteration of a loop whose iterations touch nothing of one another's (proved by access.c), or a run of
 * statements beside such loops. Loops after one another are one sequence of pieces, and so are loops inside loops as
 * deep as it takes to have enough pieces for an even share. Pieces are whole iterations of loops that the schedule
 * made, so every element is computed by the same instructions however the pieces are dealt out; reductions are never
 * cut. Pieces of different work count as so many units each, and a range of units stands for the pieces that begin in
 * it:
 *
 *   for p of 0..3120 in 0..3126 step 6 { B6 }  for p of 3126..3131 in 3126..3136 step 5 { B5 }     6*521 + 5*2 units
 *      ->   for p in 6*ceil(from / 6) .. min(..) ...
 *
 * Loops around those that are dealt out may be left to everyone (depth): rows instead of channels.
 *
 *   for q in 0..12 { for r in 0..128 { B } }   ->   for q in 0..12 { for r in from..to { B } }           depth 1
 *
 * Next: exchange.c, which chooses among depths; access.c, the proofs.
 */
#include "partition.h"

enum { PIECES_EVEN = 32, UNITS_LEAST = 16 };

struct piece { /* a node of the tree of pieces, beside a statement */
    const struct stmt *first, *last; /* the loop, or the run of statements */
    bool loop, divided;              /* divided: its iterations are pieces or hold some */
    bool deep;                       /* its body's statements are */
    bool passive;                    /* a let that everyone computes */
    bool shared;                     /* a loop that everyone runs; its body's statements are pieces */
    double work;                     /* of one iteration, of the run */
    dim trips;
    dim unit;                        /* of one iteration, of the run */
    dim units;
    struct piece *body, *next;
};
struct cutter {
    struct prog *prog;
    struct arena *scratch;
    int workers;
    double work;                            /* of the list that is cut */
    int n_around;                           /* shared loops around it */
    const struct stmt *around[LOOPS_MOST];
    bool alike; /* pieces count as one unit each */
};

/* ---- what can be cut ---- */

/* Reads or writes that make a list one piece: other kernels, local arrays, which every worker has its own of. */
static bool is_whole(const struct stmt *list)
{
    for (; list; list = list->next) {
        if (list->kind == STMT_CALL || list->kind == STMT_WHILE || list->kind == STMT_BARRIER) return true;
        if (is_whole(list->body) || is_whole(list->other)) return true;
    }
    return false;
}

/* Shared loops come last: workers are at any iterations of them. */
static void add_around(const struct cutter *c, struct reach *reach)
{
    const struct stmt **loops = NEW_ARRAY(c->scratch, const struct stmt *, reach->n_loops + c->n_around + 1);
    for (int i = 0; i < reach->n_loops; i++) loops[i] = reach->loops[i];
    for (int i = 0; i < c->n_around; i++) loops[reach->n_loops + i] = c->around[i];
    reach->loops = loops;
    reach->n_loops += c->n_around;
}

static void accesses(struct cutter *c, const struct piece *piece, const struct stmt *const *loops, int n, struct reaches *of)
{
    *of = (struct reaches){.arena = c->scratch};
    for (const struct stmt *s = piece->first; s; s = s == piece->last ? NULL : s->next) {
        struct stmt one = *s;
        one.next = NULL;
        reaches_of(of, &one, loops, n);
        for (int i = 0; i < of->n; i++) /* the loop itself, not its copy */
            for (int k = 0; k < of->at[i].n_loops; k++)
                if (of->at[i].loops[k] == &one) of->at[i].loops[k] = s;
    }
    for (int i = 0; i < of->n; i++) add_around(c, &of->at[i]);
}

static bool apart(struct cutter *c, const struct reaches *a, const struct reaches *b, int same, bool differ)
{
    for (int i = 0; i < a->n; i++)
        for (int k = a == b ? i : 0; k < b->n; k++) {
            const struct reach *x = &a->at[i], *y = &b->at[k];
            if (x->buf != y->buf || !(x->store || y->store)) continue;
            if (x->buf->space == SPACE_LOCAL) {
                if (differ) continue; /* looked at by locals_are_own */
                return false;
            }
            struct reach_at at[2] = {{.reach = x}, {.reach = y}};
            if (!reach_apart(c->prog, &at[0], &at[1], same, differ)) return false;
        }
    return true;
}

static bool stmt_uses(const struct stmt *s, const struct buffer *buf)
{
    return s->buf == buf || ex_loads(s->a, buf) || ex_loads(s->b, buf) || ex_loads(s->c, buf);
}

static struct stmt *first_with(struct stmt *list, const struct buffer *buf)
{
    for (; list; list = list->next) {
        struct stmt *inner = NULL;
        if (stmt_uses(list, buf)) return list;
        if ((inner = first_with(list->body, buf)) || (inner = first_with(list->other, buf))) return inner;
    }
    return NULL;
}

/* Whether an iteration of the loop finds in local arrays only what it wrote itself: every one is written before it is
 * read, at subscripts that do not depend on the loop, and everything read lies among what was written. */
static bool locals_are_own(const struct stmt *loop, const struct reaches *of)
{
    for (int i = 0; i < of->n; i++) {
        const struct reach *x = &of->at[i];
        if (x->buf->space != SPACE_LOCAL) continue;
        if (ex_uses(x->index, loop->var)) return false;
        const struct stmt *first = first_with(loop->body, x->buf);
        if (!first || first->kind != STMT_STORE) return false;
    }
    return true;
}

static bool expr_uses(ex e, const struct var *var)
{
    return e && ex_uses(e, var);
}

static bool list_uses(const struct stmt *list, const struct var *var)
{
    for (; list; list = list->next)
        if (list->var == var || expr_uses(list->a, var) || expr_uses(list->b, var) || expr_uses(list->c, var) ||
            list_uses(list->body, var) || list_uses(list->other, var))
            return true;
    return false;
}

/* Whether statements from `later` on use a variable that the run defines. */
static bool defines(const struct piece *run, const struct stmt *later)
{
    for (const struct stmt *s = run->first; s && s != later; s = s->next)
        if (s->kind == STMT_LET && list_uses(later, s->var)) return true;
    return false;
}

static struct piece *cut_list(struct cutter *c, const struct stmt *list, const struct stmt **loops, int n, bool only, double pieces);

static bool has_store(const struct stmt *list)
{
    for (; list; list = list->next)
        if (list->kind == STMT_STORE || has_store(list->body) || has_store(list->other)) return true;
    return false;
}

/* A loop as pieces: its iterations, and where these are too large for an even share what is inside them. only: the
 * pieces so far are all there are, and alike. */
static bool cut_loop(struct cutter *c, struct piece *piece, const struct stmt **loops, int n, bool only, double pieces)
{
    const struct stmt *loop = piece->first;
    struct reaches of;
    bool known = (loop->a->op == EX_const || loop->a->op == EX_dim) && (loop->b->op == EX_const || loop->b->op == EX_dim);
    if (!known || n >= LOOPS_MOST || is_whole(loop->body)) return false;
    accesses(c, piece, loops, n, &of);
    if (!apart(c, &of, &of, n, true) || !locals_are_own(loop, &of)) return false;
    piece->divided = true;
    dim extent = dim_sub(c->prog->dims, loop->b->imm, loop->a->imm);
    piece->trips = dim_ceil_div(c->prog->dims, extent, loop->step);
    pieces *= trips_of(c->prog, loop);
    double share = pieces / c->workers, whole = (double)(int64_t)share + (share > (double)(int64_t)share);
    double work = list_work(c->prog, c->scratch, loop->body);
    if (work * PIECES_EVEN * c->workers <= c->work || (only && whole / share < 1.02)) return true;
    loops[n] = loop;
    piece->body = cut_list(c, loop->body, loops, n + 1, only, pieces);
    piece->deep = piece->body != NULL;
    return true;
}

static bool all_apart(struct cutter *c, struct piece *list, const struct stmt **loops, int n)
{
    for (struct piece *p = list; p; p = p->next)
        for (struct piece *q = p->next; q; q = q->next) {
            struct reaches a, b;
            if (p->passive && q->passive) continue;
            accesses(c, p, loops, n, &a);
            accesses(c, q, loops, n, &b);
            if (!apart(c, &a, &b, n, false)) return false;
        }
    return true;
}

/* The list as pieces; NULL where it has to be one. */
static struct piece *cut_list(struct cutter *c, const struct stmt *list, const struct stmt **loops, int n, bool only, double pieces)
{
    struct piece *first = NULL, **end = &first, *run = NULL;
    for (const struct stmt *s = list; s; s = s->next) {
        bool loop = s->kind == STMT_FOR && has_store(s->body);
        bool passive = s->kind == STMT_LET && !s->mutable && !run;
        if (loop && run && defines(run, s)) return NULL; /* registers that go on */
        if (run && !loop) {
            run->last = s;
            continue;
        }
        struct piece *piece = NEW(c->scratch, struct piece);
        *piece = (struct piece){.first = s, .last = s, .loop = loop, .passive = passive};
        *end = piece;
        end = &piece->next;
        run = loop || passive ? NULL : piece;
    }
    for (struct piece *p = first; p; p = p->next) {
        if (!p->loop && !p->passive && defines(p, p->last->next)) return NULL;
    }
    if (!all_apart(c, first, loops, n)) return NULL;
    bool any = false;
    int count = 0;
    for (struct piece *p = first; p; p = p->next) count += !p->passive;
    only &= count == 1;
    for (struct piece *p = first; p; p = p->next) {
        if (p->loop) any |= cut_loop(c, p, loops, n, only, pieces);
    }
    if (!any && n > 0) return NULL;
    return first;
}

/* The list as pieces under `depth` loops that everyone runs; NULL where that cannot be. */
static struct piece *cut_under(struct cutter *c, const struct stmt *list, int depth)
{
    struct piece *first = NULL, **end = &first;
    const struct stmt *loops[LOOPS_MOST + 1];
    if (depth == 0) {
        bool any = false;
        c->work = list_work(c->prog, c->scratch, list);
        first = cut_list(c, list, loops, 0, true, 1);
        for (struct piece *p = first; p; p = p->next) any |= p->divided;
        return any ? first : NULL;
    }
    for (const struct stmt *s = list; s; s = s->next) {
        bool passive = s->kind == STMT_LET && !s->mutable;
        if (!passive && (s->kind != STMT_FOR || !has_store(s->body) || c->n_around == LOOPS_MOST)) return NULL;
        struct piece *piece = NEW(c->scratch, struct piece);
        *piece = (struct piece){.first = s, .last = s, .loop = !passive, .shared = !passive, .passive = passive};
        *end = piece;
        end = &piece->next;
        if (passive) continue;
        c->around[c->n_around++] = s;
        piece->body = cut_under(c, s->body, depth - 1);
        c->n_around--;
        if (!piece->body) return NULL;
    }
    return all_apart(c, first, loops, 0) ? first : NULL;
}

/* ---- weights ---- */

struct weights {
    double least, most; /* work of a piece */
    int64_t common;     /* divisor of all units */
};

static void weigh_one(struct cutter *c, struct piece *p)
{
    if (p->divided) p->work = list_work(c->prog, c->scratch, p->first->body);
    else
        for (const struct stmt *s = p->first; s; s = s == p->last ? NULL : s->next) {
            struct stmt one = *s;
            one.next = NULL;
            p->work += list_work(c->prog, c->scratch, &one);
        }
    if (p->work < 1 || c->alike) p->work = 1;
}

static void weigh(struct cutter *c, struct piece *list, struct weights *w)
{
    for (struct piece *p = list; p; p = p->next) {
        if (p->passive) continue;
        if (p->deep) {
            weigh(c, p->body, w);
            continue;
        }
        weigh_one(c, p);
        if (w->most == 0 || p->work > w->most) w->most = p->work;
        if (w->least == 0 || p->work < w->least) w->least = p->work;
    }
}

static int64_t units_of(const struct weights *w, double work)
{
    return (int64_t)(UNITS_LEAST * work / w->least + 0.5);
}

static int64_t gcd(int64_t a, int64_t b)
{
    return b ? gcd(b, a % b) : a;
}

static void find_common(const struct piece *list, struct weights *w)
{
    for (const struct piece *p = list; p; p = p->next) {
        if (p->deep) find_common(p->body, w);
        else if (!p->passive) w->common = gcd(units_of(w, p->work), w->common);
    }
}

static dim count_units(struct cutter *c, struct piece *list, const struct weights *w)
{
    struct dims *dims = c->prog->dims;
    dim sum = 0;
    for (struct piece *p = list; p; p = p->next) {
        if (p->passive) continue;
        p->unit = p->deep ? count_units(c, p->body, w) : units_of(w, p->work) / w->common;
        p->units = p->divided ? dim_mul(dims, p->trips, p->unit) : p->unit;
        sum = dim_add(dims, sum, p->units);
    }
    return sum;
}

/* Units of the pieces under `depth` shared loops. Nests side by side must have the same number: a range of it means
 * the same part of each. */
static bool count_under(struct cutter *c, struct piece *list, int depth, dim *units)
{
    if (depth == 0) {
        struct weights w = {.common = 0};
        weigh(c, list, &w);
        find_common(list, &w);
        *units = count_units(c, list, &w);
        return true;
    }
    *units = 0;
    for (struct piece *p = list; p; p = p->next) {
        dim own;
        if (p->passive) continue;
        if (!count_under(c, p->body, depth - 1, &own) || (*units != 0 && own != *units)) return false;
        *units = own;
    }
    return *units != 0;
}

/* ---- the kernel of a range ---- */

static ex plus(struct prog *prog, ex a, dim b)
{
    return ex_binary(prog, EX_add, a, ex_dim(prog, b));
}

static ex clamped(struct prog *prog, ex e, dim most)
{
    return ex_binary(prog, EX_max, ex_binary(prog, EX_min, e, ex_dim(prog, most)), ex_int(prog, DT_index, 0));
}

/* Iterations of the loop in from..to, which count from its first: those that begin there, or have a part there. */
static void loop_range(struct prog *prog, const struct piece *p, ex from, ex to, ex *first, ex *last)
{
    dim up = dim_sub(prog->dims, p->unit, 1);
    ex unit = ex_dim(prog, p->unit);
    *first = clamped(prog, ex_binary(prog, EX_div, p->deep ? from : plus(prog, from, up), unit), p->trips);
    *last = clamped(prog, ex_binary(prog, EX_div, plus(prog, to, up), unit), p->trips);
}

static struct stmt *emit_list(struct prog *prog, struct rewriter *r, const struct piece *list, ex from, ex to);

static struct stmt *emit_loop(struct prog *prog, struct rewriter *r, const struct piece *p, ex from, ex to)
{
    const struct stmt *loop = p->first;
    ex first, last, step = ex_int(prog, DT_index, loop->step);
    loop_range(prog, p, from, to, &first, &last);
    struct stmt *made = stmt_new(prog, STMT_FOR);
    made->loop = loop->loop;
    made->step = loop->step;
    made->place = loop->place;
    made->a = ex_binary(prog, EX_add, rewrite_expr(r, loop->a), ex_binary(prog, EX_mul, first, step));
    made->b = ex_binary(prog, EX_add, rewrite_expr(r, loop->a), ex_binary(prog, EX_mul, last, step));
    made->var = rewrite_define(r, loop->var);
    if (!p->deep) {
        made->body = rewrite_list(r, loop->body);
        return made;
    }
    ex at = ex_binary(prog, EX_div, ex_binary(prog, EX_sub, ex_var(prog, made->var), loop->a), step);
    ex before = ex_binary(prog, EX_mul, at, ex_dim(prog, p->unit));
    made->body = emit_list(prog, r, p->body, ex_binary(prog, EX_sub, from, before), ex_binary(prog, EX_sub, to, before));
    return made;
}

static struct stmt *emit_shared(struct prog *prog, struct rewriter *r, const struct piece *p, ex from, ex to)
{
    const struct stmt *loop = p->first;
    struct stmt *made = stmt_new(prog, STMT_FOR);
    made->loop = loop->loop;
    made->step = loop->step;
    made->place = loop->place;
    made->a = rewrite_expr(r, loop->a);
    made->b = rewrite_expr(r, loop->b);
    made->var = rewrite_define(r, loop->var);
    made->body = emit_list(prog, r, p->body, from, to);
    return made;
}

static struct stmt *copy_run(struct rewriter *r, const struct piece *p)
{
    struct stmt *out = NULL;
    for (const struct stmt *s = p->first; s; s = s == p->last ? NULL : s->next) {
        struct stmt one = *s;
        one.next = NULL;
        stmt_append(&out, rewrite_list(r, &one));
    }
    return out;
}

/* A run belongs to whoever has its first unit. */
static struct stmt *emit_run(struct prog *prog, struct rewriter *r, const struct piece *p, ex from, ex to)
{
    ex zero = ex_int(prog, DT_index, 0);
    struct stmt *own = stmt_new(prog, STMT_IF);
    own->a = ex_binary(prog, EX_and, ex_binary(prog, EX_le, from, zero), ex_binary(prog, EX_lt, zero, to));
    own->body = copy_run(r, p);
    return own;
}

static struct stmt *emit_list(struct prog *prog, struct rewriter *r, const struct piece *list, ex from, ex to)
{
    struct stmt *out = NULL;
    for (const struct piece *p = list; p; p = p->next) {
        if (p->passive) stmt_append(&out, copy_run(r, p));
        else if (p->shared) stmt_append(&out, emit_shared(prog, r, p, from, to));
        else stmt_append(&out, p->divided ? emit_loop(prog, r, p, from, to) : emit_run(prog, r, p, from, to));
        dim past = dim_mul(prog->dims, p->units, -1);
        from = plus(prog, from, past);
        to = plus(prog, to, past);
    }
    return out;
}

bool partition_kernel(struct prog *prog, const struct kernel *kernel, int workers, int depth, bool alike,
                      struct partition *made)
{
    struct cutter c = {.prog = prog, .scratch = arena_new(), .workers = workers, .alike = alike};
    struct piece *pieces = is_whole(kernel->body) ? NULL : cut_under(&c, kernel->body, depth);
    bool cut = pieces && count_under(&c, pieces, depth, &made->units);
    if (cut) {
        made->from = prog_index(prog, "from", 0, made->units);
        made->to = prog_index(prog, "to", 0, made->units);
        made->body = emit_list(prog, rewriter_new(prog), pieces, ex_var(prog, made->from), ex_var(prog, made->to));
    }
    arena_free(c.scratch);
    return cut;
}

void partition_apply(struct prog *prog, struct kernel *kernel, const struct partition *made)
{
    LIST_PUSH(prog->arena, &kernel->scalars, made->from);
    LIST_PUSH(prog->arena, &kernel->scalars, made->to);
    kernel->body = made->body;
}
