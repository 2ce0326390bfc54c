/* Rows by groups of lanes.
 *
 *   for i in 0..M { reg s = 0; for r in 0..N { set s = s + x[i, r] } for j in 0..N { store y[i, j] = x[i, j]/s } }
 *      ->   for group { for lane {
 *             reg p = -0; for r in 4*lane..N step 4*64 { set p = p + x[i, r..4] }       a part of the sum each
 *             store part[lane] = hadd(p)  barrier
 *             if lane < 32 { store part[lane] = part[lane] + part[lane + 32] }  barrier  ... 16, 8, 4, 2, 1
 *             set s = s + part[0]
 *             for j in 4*lane..N step 4*64 { store y[i, j..4] = .. } } }
 *
 * The order of a sum is the plan's, whatever the device. All lanes have the sums; what stands between the loops they
 * all compute. A barrier stands before a loop that reads what an earlier one stored. Short rows share a group;
 * lanes of rows past the last one have no iterations. Loops inside loops: the innermost is dealt out.
 */
#include "group_rows.h"
#include "loops.h"
#include "tile.h"

#include <string.h>

enum { ROW_LEAST = 32, LANES_LEAST = 16, GROUP_USUAL = 256, REGISTERS_MOST = 8, STORED_MOST = 16, EACH = 8 /* elements of a lane */ };
struct sums {
    int n;
    struct var *reg[REGISTERS_MOST];
    enum expr_op op[REGISTERS_MOST];
};
struct dealer {
    struct prog *prog;
    const struct rows_plan *plan;
    int vector;
    struct var *lane, *all; /* in its row, in its group */
    ex inside;              /* whether the lane's row is one; NULL: always */
    int n_stored;
    const struct buffer *stored[STORED_MOST]; /* since the last barrier */
    struct stmt *out;
};

/* ---- which rows ---- */

static const struct stmt *innermost(const struct stmt *loop)
{
    while (loop->body && loop->body->kind == STMT_FOR && !loop->body->next) loop = loop->body;
    return loop;
}

static bool read_sums(const struct stmt *list, struct sums *sums)
{
    *sums = (struct sums){.n = 0};
    for (; list; list = list->next) {
        enum expr_op op;
        ex e;
        int i = 0;
        if (list->kind == STMT_LET && !list->mutable) continue;
        if (list->kind != STMT_SET || !loops_reduction(list, &op, &e) || list->var->lanes != 1 || list->var->dt == DT_bool) return false;
        if (op != EX_add && op != EX_mul && op != EX_min && op != EX_max) return false;
        while (i < sums->n && sums->reg[i] != list->var) i++;
        if (i == REGISTERS_MOST || (i < sums->n && sums->op[i] != op)) return false;
        sums->reg[i] = list->var;
        sums->op[i] = op;
        sums->n += i == sums->n;
    }
    return sums->n > 0;
}

/* Loads of a buffer that the loop stores to, but for what its own iteration stores. */
static bool reads_others(ex e, const struct stmt *list)
{
    if (!e) return false;
    for (const struct stmt *s = list; s && e->op == EX_load; s = s->next)
        if (s->kind == STMT_STORE && s->buf == e->buf && s->a != e->arg[0]) return true;
    return reads_others(e->arg[0], list) || reads_others(e->arg[1], list) || reads_others(e->arg[2], list);
}

static bool stores_apart(struct prog *prog, const struct stmt *loop)
{
    bool any = false;
    for (const struct stmt *s = loop->body; s; s = s->next) {
        dim coef;
        ex rest;
        if (s->kind == STMT_LET && !s->mutable && !reads_others(s->a, loop->body)) continue;
        if (s->kind != STMT_STORE || s->c || s->buf->space != SPACE_PARAM || reads_others(s->b, loop->body)) return false;
        if (!ex_affine(prog, s->a, loop->var, &coef, &rest) || !dim_is_const(coef) || coef == 0) return false;
        any = true;
    }
    return any;
}

static bool plain_bounds(const struct stmt *loop)
{
    for (; loop && loop->kind == STMT_FOR; loop = loop->body)
        if (!ex_is_int(loop->a, 0) || (loop->b->op != EX_const && loop->b->op != EX_dim) || loop->step != 1) return false;
    return true;
}

/* Whether the statements are such, with at least one sum. */
static bool read_list(const struct loopnest *nest)
{
    bool any = false;
    struct sums sums;
    int n_stores = 0;
    for (const struct stmt *s = nest->body; s; s = s->next) {
        const struct stmt *inner = s->kind == STMT_FOR ? innermost(s) : NULL;
        n_stores += s->kind == STMT_STORE;
        if (s->kind == STMT_LET || s->kind == STMT_SET || (s->kind == STMT_STORE && !s->c)) continue;
        if (!inner || !plain_bounds(s)) return false;
        bool sum = reduce_is_pure(s) && read_sums(inner->body, &sums);
        if (!sum && !stores_apart(nest->prog, inner)) return false;
        any |= sum;
        n_stores += loops_size(inner->body);
    }
    return any && n_stores <= STORED_MOST;
}

/* The part of an access's subscript that the chain's axes do not move, from *lo to *hi. */
static bool own_part(const struct loopnest *nest, const struct access *access, dim *lo, dim *hi)
{
    struct rewriter *r = rewriter_new(nest->prog);
    for (int a = 0; a < nest->n_chain; a++) {
        if (!access->known[a]) return false;
        rewrite_bind(r, nest->axis[a].var, ex_int(nest->prog, DT_index, 0));
    }
    return ex_range(nest->prog, rewrite_expr(r, access->index), lo, hi);
}

/* Whether rows lie apart in the buffer that is stored to: all accesses move with the rows alike, farther than one row. */
static bool rows_apart(const struct loopnest *nest, const struct access *store)
{
    struct dims *dims = nest->prog->dims;
    bool used[AXES_MOST] = {false};
    dim lo, hi, other_lo, other_hi;
    if (!own_part(nest, store, &lo, &hi)) return false;
    for (int i = 0; i < nest->accesses.n; i++) {
        const struct access *other = &nest->accesses.at[i];
        if (other->buf != store->buf) continue;
        if (!own_part(nest, other, &other_lo, &other_hi)) return false;
        for (int a = 0; a < nest->n_chain; a++)
            if (other->coef[a] != store->coef[a]) return false;
        lo = dim_min(dims, lo, other_lo);
        hi = dim_max(dims, hi, other_hi);
    }
    dim span = dim_add(dims, dim_sub(dims, hi, lo), 1);
    for (int round = 0; round < nest->n_chain; round++) {
        int least = -1;
        for (int a = nest->n_chain - 1; a >= 0; a--)
            if (!used[a] && (least < 0 || (store->coef[a] != store->coef[least] && dim_le(dims, store->coef[a], store->coef[least])))) least = a;
        used[least] = true;
        if (!dim_le(dims, span, store->coef[least])) return false;
        span = dim_add(dims, span, dim_mul(dims, store->coef[least], dim_sub(dims, nest->axis[least].extent, 1)));
    }
    return true;
}

static double row_length(const struct loopnest *nest)
{
    double most = 0;
    for (const struct stmt *s = nest->body; s; s = s->next)
        for (int a = nest->n_chain; a < nest->n_axes && s->kind == STMT_FOR; a++)
            if (nest->axis[a].var == innermost(s)->var && nest->axis[a].trips > most) most = nest->axis[a].trips;
    return most;
}

bool rows_read(const struct loopnest *nest, const struct device *device)
{
    if (nest->too_big || nest->n_axes == nest->n_chain || device->is_cpu || device->local_bytes == 0) return false;
    for (int a = 0; a < nest->n_chain; a++)
        if (!ex_is_int(nest->axis[a].lo, 0) || nest->axis[a].extent == -1) return false;
    for (int i = 0; i < nest->accesses.n; i++)
        if (nest->accesses.at[i].store && !rows_apart(nest, &nest->accesses.at[i])) return false;
    return row_length(nest) >= ROW_LEAST && read_list(nest);
}

const char *rows_check(const struct loopnest *nest, const struct device *device, const struct rows_plan *plan)
{
    int n = 0;
    struct sums sums;
    for (const struct stmt *s = nest->body; s; s = s->next)
        if (s->kind == STMT_FOR && read_sums(innermost(s)->body, &sums)) n += sums.n;
    if (plan->lanes < 2 || (plan->lanes & (plan->lanes - 1)) != 0) return "a row's lanes are a power of two";
    if (plan->rows < 1 || plan->rows > device->work_group_most / plan->lanes) return "more lanes than a group of the device has";
    return (int64_t)n * plan->lanes * plan->rows * 8 > device->local_bytes ? "more local memory than the device has" : NULL;
}

int rows_list(const struct loopnest *nest, const struct device *device, struct rows_plan *list, int most)
{
    double length = row_length(nest), rows = 1;
    int lanes = LANES_LEAST, n = 0;
    for (int a = 0; a < nest->n_chain; a++) rows *= nest->axis[a].trips;
    while (lanes < GROUP_USUAL && lanes * EACH < length) lanes *= 2;
    for (int i = 0; i < 5 && n < most; i++) {
        static const int factors[] = {4, 2, 8, 1, 16}; /* of a quarter */
        struct rows_plan plan = {.lanes = lanes * factors[i] / 4};
        plan.rows = plan.lanes < GROUP_USUAL && plan.lanes > 0 ? GROUP_USUAL / plan.lanes : 1;
        while (plan.rows > 1 && rows / plan.rows < 2 * device->compute_units) plan.rows /= 2;
        if (!rows_check(nest, device, &plan)) list[n++] = plan;
    }
    return n;
}

const char *rows_text(struct arena *arena, const struct rows_plan *plan)
{
    return arena_printf(arena, "rows lanes=%d rows=%d", plan->lanes, plan->rows);
}

/* ---- dealing out ---- */

static ex number(struct dealer *d, int64_t v)
{
    return ex_int(d->prog, DT_index, v);
}

static ex plus(struct dealer *d, ex a, ex b)
{
    return ex_binary(d->prog, EX_add, a, b);
}

static void put(struct dealer *d, struct stmt *stmt)
{
    stmt_append(&d->out, stmt);
}

static void put_barrier(struct dealer *d)
{
    put(d, stmt_new(d->prog, STMT_BARRIER));
    d->n_stored = 0;
}

static struct stmt *when(struct dealer *d, ex condition, struct stmt *body)
{
    struct stmt *s = stmt_new(d->prog, STMT_IF);
    s->a = condition;
    s->body = body;
    return s;
}

/* from + width*lane .. end step width*lanes, of the lane's row if that is one. */
static struct stmt *dealt_loop(struct dealer *d, struct var *var, ex from, ex end, int width, struct stmt *body)
{
    ex first = plus(d, from, ex_binary(d->prog, EX_mul, ex_var(d->prog, d->lane), number(d, width)));
    if (d->inside) end = ex_select(d->prog, d->inside, end, number(d, 0));
    return stmt_for(d->prog, var, first, end, (int64_t)width * d->plan->lanes, body);
}

/* The innermost loop's iterations by lanes, in vectors as far as these go. narrow, wide: a lane's parts of the sums. */
static struct stmt *deal_innermost(struct dealer *d, const struct stmt *loop, const struct sums *sums, struct var *const *narrow,
                                   struct var **wide, bool *vectors)
{
    struct prog *prog = d->prog;
    dim n = loop->b->imm, whole = dim_mul(prog->dims, dim_div(prog->dims, n, d->vector), d->vector);
    struct stmt *list = NULL, *scalar[2], *made = NULL;
    struct var *each[2];
    ex neutral[REGISTERS_MOST] = {NULL};
    for (int i = 0; i < 2; i++) {
        struct rewriter *r = rewriter_new(prog);
        each[i] = prog_index(prog, loop->var->name, 0, dim_sub(prog->dims, n, 1));
        rewrite_bind(r, loop->var, ex_var(prog, each[i]));
        for (int k = 0; k < sums->n; k++) rewrite_bind(r, sums->reg[k], ex_var(prog, narrow[k]));
        scalar[i] = rewrite_list(r, loop->body);
    }
    struct var *start = prog_index(prog, loop->var->name, 0, dim_sub(prog->dims, n, 1));
    struct lanes lanes = {.var = each[0], .base = ex_var(prog, start), .lanes = d->vector, .n_registers = sums->n,
                          .from = (struct var **)(uintptr_t)narrow, .to = wide, .neutral = neutral};
    *vectors = d->vector > 1 && dim_hi(prog->dims, n) >= d->vector && loops_vectorize(prog, scalar[0], &lanes, &made);
    if (*vectors) list = dealt_loop(d, start, number(d, 0), ex_dim(prog, whole), d->vector, made);
    if (!*vectors || whole != n)
        stmt_append(&list, dealt_loop(d, each[1], *vectors ? ex_dim(prog, whole) : number(d, 0), ex_dim(prog, n), 1, scalar[1]));
    loops_use_fma(prog, list);
    return list;
}

static struct stmt *deal_loop(struct dealer *d, const struct stmt *loop, const struct sums *sums, struct var *const *narrow,
                              struct var **wide, bool *vectors)
{
    const struct stmt *last = innermost(loop);
    if (loop == last) return deal_innermost(d, loop, sums, narrow, wide, vectors);
    struct stmt *body = deal_loop(d, loop->body, sums, narrow, wide, vectors);
    return stmt_for(d->prog, loop->var, loop->a, loop->b, 1, body);
}

static enum expr_op across_lanes(enum expr_op op)
{
    return op == EX_add ? EX_hadd : op == EX_mul ? EX_hmul : op == EX_min ? EX_hmin : EX_hmax;
}

/* The lanes' parts as one: halves of a row's lanes are combined until one is left. */
static void put_tree(struct dealer *d, const struct sums *sums, ex const *part)
{
    struct prog *prog = d->prog;
    struct buffer *shared[REGISTERS_MOST];
    ex all = ex_var(prog, d->all), first = ex_binary(prog, EX_sub, all, ex_var(prog, d->lane));
    for (int i = 0; i < sums->n; i++) {
        shared[i] = prog_buffer(prog, "part", sums->reg[i]->dt, SPACE_GROUP, (int64_t)d->plan->lanes * d->plan->rows);
        put(d, stmt_store(prog, shared[i], all, part[i], 1, NULL));
    }
    put_barrier(d);
    for (int half = d->plan->lanes / 2; half >= 1; half /= 2) {
        struct stmt *list = NULL;
        for (int i = 0; i < sums->n; i++) {
            enum dtype dt = sums->reg[i]->dt;
            ex a = ex_load(prog, shared[i], dt, all, 1, 1), b = ex_load(prog, shared[i], dt, plus(d, all, number(d, half)), 1, 1);
            stmt_append(&list, stmt_store(prog, shared[i], all, ex_binary(prog, sums->op[i], a, b), 1, NULL));
        }
        put(d, when(d, ex_binary(prog, EX_lt, ex_var(prog, d->lane), number(d, half)), list));
        put_barrier(d);
    }
    for (int i = 0; i < sums->n; i++) {
        ex total = ex_load(prog, shared[i], sums->reg[i]->dt, first, 1, 1);
        put(d, stmt_set(prog, sums->reg[i], ex_binary(prog, sums->op[i], ex_var(prog, sums->reg[i]), total)));
    }
}

static void put_sum(struct dealer *d, const struct stmt *loop)
{
    struct prog *prog = d->prog;
    struct sums sums;
    struct var *narrow[REGISTERS_MOST], *wide[REGISTERS_MOST];
    ex part[REGISTERS_MOST];
    bool vectors;
    read_sums(innermost(loop)->body, &sums);
    for (int i = 0; i < sums.n; i++) {
        narrow[i] = prog_var(prog, "p", sums.reg[i]->dt, 1);
        wide[i] = prog_var(prog, "v", sums.reg[i]->dt, d->vector > 1 ? d->vector : 2);
    }
    struct stmt *list = deal_loop(d, loop, &sums, narrow, wide, &vectors);
    for (int i = 0; i < sums.n; i++) {
        ex neutral = loops_neutral(prog, sums.op[i], sums.reg[i]->dt);
        put(d, stmt_let(prog, narrow[i], neutral, true));
        part[i] = ex_var(prog, narrow[i]);
        if (!vectors) continue;
        put(d, stmt_let(prog, wide[i], ex_splat(prog, neutral, d->vector), true));
        part[i] = ex_binary(prog, sums.op[i], part[i], ex_unary(prog, across_lanes(sums.op[i]), ex_var(prog, wide[i])));
    }
    put(d, list);
    put_tree(d, &sums, part);
}

static bool loads_stored(const struct dealer *d, const struct stmt *list)
{
    for (; list; list = list->next) {
        for (int i = 0; i < d->n_stored; i++)
            if (ex_loads(list->a, d->stored[i]) || ex_loads(list->b, d->stored[i]) || list->buf == d->stored[i]) return true;
        if (loads_stored(d, list->body)) return true;
    }
    return false;
}

static void note_stored(struct dealer *d, const struct stmt *list)
{
    for (; list; list = list->next) {
        if (list->kind == STMT_STORE) d->stored[d->n_stored++] = list->buf;
        note_stored(d, list->body);
    }
}

static void put_stmt(struct dealer *d, struct stmt *s)
{
    static const struct sums none = {.n = 0};
    bool vectors;
    if (loads_stored(d, s)) put_barrier(d);
    if (s->kind == STMT_FOR && reduce_is_pure(s)) put_sum(d, s);
    else if (s->kind == STMT_FOR) put(d, deal_loop(d, s, &none, NULL, NULL, &vectors));
    else if (s->kind == STMT_STORE) {
        ex own = ex_binary(d->prog, EX_eq, ex_var(d->prog, d->lane), number(d, 0));
        put(d, when(d, d->inside ? ex_binary(d->prog, EX_and, d->inside, own) : own, s));
    } else put(d, s);
    note_stored(d, s);
}

static struct var *name(struct dealer *d, struct stmt **list, const char *word, dim most, ex value)
{
    struct var *var = prog_index(d->prog, word, 0, most);
    stmt_append(list, stmt_let(d->prog, var, value, false));
    return var;
}

/* Binds the chain's axes for the row's number. */
static void bind_row(struct dealer *d, const struct loopnest *nest, struct rewriter *r, ex row)
{
    for (int a = nest->n_chain - 1; a >= 0; a--) {
        ex extent = ex_dim(d->prog, nest->axis[a].extent), at = a ? ex_binary(d->prog, EX_mod, row, extent) : row;
        rewrite_bind(r, nest->axis[a].var, at);
        row = ex_binary(d->prog, EX_div, row, extent);
    }
}

struct stmt *rows_tile(const struct loopnest *nest, const struct rows_plan *plan, int lanes)
{
    struct prog *prog = nest->prog;
    struct dims *dims = prog->dims;
    struct dealer d = {.prog = prog, .plan = plan, .vector = lanes};
    int n_lanes = plan->lanes * plan->rows;
    dim rows = 1;
    for (int a = 0; a < nest->n_chain; a++) rows = dim_mul(dims, rows, nest->axis[a].extent);
    dim groups = dim_ceil_div(dims, rows, plan->rows), last = dim_sub(dims, rows, 1);
    struct var *group = prog_index(prog, "group", 0, dim_sub(dims, groups, 1));
    d.all = prog_index(prog, "lane", 0, n_lanes - 1);
    d.lane = d.all;
    ex row = ex_binary(prog, EX_mul, ex_var(prog, group), number(&d, plan->rows));
    if (plan->rows > 1) {
        d.lane = name(&d, &d.out, "along", plan->lanes - 1, ex_binary(prog, EX_mod, ex_var(prog, d.all), number(&d, plan->lanes)));
        row = plus(&d, row, ex_binary(prog, EX_div, ex_var(prog, d.all), number(&d, plan->lanes)));
    }
    if (!dim_is_const(rows) || rows % plan->rows) {
        d.inside = ex_binary(prog, EX_lt, row, ex_dim(prog, rows));
        row = ex_binary(prog, EX_min, row, ex_dim(prog, last));
    }
    struct rewriter *r = rewriter_new(prog);
    bind_row(&d, nest, r, ex_var(prog, name(&d, &d.out, "row", last, row)));
    struct stmt *next, *body = rewrite_list(r, nest->body);
    for (struct stmt *s = body; s; s = next) {
        next = s->next;
        s->next = NULL;
        put_stmt(&d, s);
    }
    struct stmt *loop = stmt_for(prog, d.all, number(&d, 0), number(&d, n_lanes), 1, d.out);
    loop->loop = LOOP_LANE0;
    loop = stmt_for(prog, group, number(&d, 0), ex_dim(prog, groups), 1, loop);
    loop->loop = LOOP_GROUP0;
    return loop;
}
