/* Reductions: lanes along the reduced loop, order and unrolling of its loops.
 *
 *   reg s = 0; for k in 0..K { set s = s + x[k] }
 *      ->   reg s = 0; reg v0 = splat(0); reg v1 = splat(0)
 *           for k in 0..K/16*16 step 16 { set v0 = v0 + x[k..8]; set v1 = v1 + x[k+8..8] }  ... tail, masked
 *           set s = s + hadd(v0 + v1)
 *
 * The order of additions depends on the extents and the target only, never on threads or data.
 */
#include "loops.h"
#include "tile.h"

enum { REGISTERS_MOST = 64, PARTS_MOST = 4 };
struct reduction {
    struct prog *prog;
    int lanes, parts; /* independent vector accumulators per register */
    bool masks;
    int n;            /* registers the loop reduces into */
    struct var *reg[REGISTERS_MOST];
    enum expr_op op[REGISTERS_MOST];
    ex neutral[REGISTERS_MOST];
    struct var *part[PARTS_MOST][REGISTERS_MOST];
};

static bool defines(const struct stmt *list, const struct var *var)
{
    for (; list; list = list->next) {
        bool here = (list->kind == STMT_LET || list->kind == STMT_FOR) && list->var == var;
        if (here || defines(list->body, var) || defines(list->other, var)) return true;
    }
    return false;
}

static bool is_pure(const struct stmt *list, const struct stmt *all)
{
    enum expr_op op;
    ex e;
    for (; list; list = list->next) {
        if (list->kind == STMT_LET && !list->mutable) continue;
        if (list->kind == STMT_SET && loops_reduction(list, &op, &e) && !defines(all, list->var)) continue;
        bool nested = (list->kind == STMT_FOR && list->step == 1) || (list->kind == STMT_IF && !list->other);
        if (nested && is_pure(list->body, all)) continue;
        return false;
    }
    return true;
}

/* Reads of var other than as the accumulator of its own update. */
static bool reads_elsewhere(const struct stmt *list, const struct var *var)
{
    enum expr_op op;
    ex e;
    for (; list; list = list->next) {
        bool own = list->kind == STMT_SET && list->var == var && loops_reduction(list, &op, &e);
        if (!own && ((list->a && ex_uses(list->a, var)) || (list->b && ex_uses(list->b, var)))) return true;
        if (reads_elsewhere(list->body, var) || reads_elsewhere(list->other, var)) return true;
    }
    return false;
}

static bool updates_independent(const struct stmt *list, const struct stmt *all)
{
    for (; list; list = list->next) {
        if (list->kind == STMT_SET && reads_elsewhere(all, list->var)) return false;
        if (!updates_independent(list->body, all) || !updates_independent(list->other, all)) return false;
    }
    return true;
}

bool reduce_is_pure(const struct stmt *loop)
{
    return loop->kind == STMT_FOR && loop->step == 1 && loop->body && is_pure(loop->body, loop->body) &&
           updates_independent(loop->body, loop->body);
}

/* The registers and their operations; false where one register has two. */
static bool find_registers(struct reduction *red, const struct stmt *list)
{
    for (; list; list = list->next) {
        enum expr_op op;
        ex e;
        if (list->kind == STMT_SET && loops_reduction(list, &op, &e)) {
            int i = 0;
            while (i < red->n && red->reg[i] != list->var) i++;
            if (i == REGISTERS_MOST || (i < red->n && red->op[i] != op) || list->var->lanes != 1) return false;
            if (op == EX_and || op == EX_or || op == EX_xor || list->var->dt == DT_bool) return false;
            red->reg[i] = list->var;
            red->op[i] = op;
            red->neutral[i] = loops_neutral(red->prog, op, list->var->dt);
            if (i == red->n) red->n++;
        }
        if (!find_registers(red, list->body) || !find_registers(red, list->other)) return false;
    }
    return true;
}

static enum expr_op across_lanes(enum expr_op op)
{
    return op == EX_add ? EX_hadd : op == EX_mul ? EX_hmul : op == EX_min ? EX_hmin : EX_hmax;
}

/* The body for `parts` groups of lanes from base on, each into its own accumulators. */
static bool lane_body(struct reduction *red, const struct stmt *loop, ex base, int parts, ex count, struct stmt **out)
{
    struct prog *prog = red->prog;
    struct var *start = prog_index(prog, loop->var->name, loop->var->lo, loop->var->hi);
    struct lanes lanes = {.var = loop->var, .base = ex_var(prog, start), .lanes = red->lanes, .count = count,
                          .n_registers = red->n, .from = red->reg, .to = red->part[0], .neutral = red->neutral};
    struct stmt *body;
    if (start->lo == start->hi) lanes.base = base; /* one value only: no variable */
    if (!loops_vectorize(prog, loop->body, &lanes, &body)) return false;
    struct rewriter *r[PARTS_MOST];
    for (int p = 0; p < parts; p++) {
        r[p] = rewriter_new(prog);
        rewrite_bind(r[p], start, ex_binary(prog, EX_add, base, ex_int(prog, DT_index, (int64_t)p * red->lanes)));
        for (int i = 0; i < red->n; i++) rewrite_bind(r[p], red->part[0][i], ex_var(prog, red->part[p][i]));
    }
    *out = loops_jam_with(prog, body, r, parts);
    return true;
}

/* for base in lo..hi step parts*lanes { lane_body }, without the loop where it runs once; nothing where never. */
static bool lane_loop(struct reduction *red, const struct stmt *loop, ex lo, ex hi, int parts, struct stmt **out)
{
    struct prog *prog = red->prog;
    int64_t step = (int64_t)parts * red->lanes;
    struct stmt *body;
    ex extent = ex_binary(prog, EX_sub, hi, lo);
    if (ex_is_const(extent) && extent->imm <= 0) return true;
    if (ex_is_const(extent) && extent->imm == step) {
        if (!lane_body(red, loop, lo, parts, NULL, &body)) return false;
        stmt_append(out, body);
        return true;
    }
    struct var *base = prog_index(prog, loop->var->name, loop->var->lo, loop->var->hi);
    if (!lane_body(red, loop, ex_var(prog, base), parts, NULL, &body)) return false;
    stmt_append(out, stmt_for(prog, base, lo, hi, step, body));
    return true;
}

/* lo + (hi - lo) div step * step */
static ex whole_steps(struct prog *prog, ex lo, ex hi, int64_t step)
{
    ex by = ex_int(prog, DT_index, step);
    ex trips = ex_binary(prog, EX_div, ex_binary(prog, EX_sub, hi, lo), by);
    return ex_binary(prog, EX_add, lo, ex_binary(prog, EX_mul, trips, by));
}

static struct stmt *scalar_loop(struct prog *prog, const struct stmt *loop, ex lo, ex hi)
{
    struct rewriter *r = rewriter_new(prog);
    struct var *var = rewrite_define(r, loop->var);
    return stmt_for(prog, var, lo, hi, 1, rewrite_list(r, loop->body));
}

static bool lane_tail(struct reduction *red, const struct stmt *loop, ex lo, struct stmt **out)
{
    struct prog *prog = red->prog;
    ex count = ex_binary(prog, EX_sub, loop->b, lo);
    struct stmt *body;
    if (ex_is_const(count) && count->imm <= 0) return true;
    if (red->masks && !(ex_is_const(count) && count->imm <= 2)) {
        struct var *base = prog_index(prog, loop->var->name, loop->var->lo, loop->var->hi);
        ex start = ex_is_const(count) ? lo : ex_var(prog, base);
        if (lane_body(red, loop, start, 1, ex_binary(prog, EX_sub, loop->b, start), &body)) {
            stmt_append(out, ex_is_const(count) ? body : stmt_for(prog, base, lo, loop->b, red->lanes, body));
            return true;
        }
    }
    stmt_append(out, scalar_loop(prog, loop, lo, loop->b));
    return true;
}

static bool split_innermost(struct reduction *red, const struct stmt *loop, struct stmt **out)
{
    struct prog *prog = red->prog;
    ex many = whole_steps(prog, loop->a, loop->b, (int64_t)red->lanes * red->parts);
    ex whole = whole_steps(prog, loop->a, loop->b, red->lanes);
    if (!lane_loop(red, loop, loop->a, many, red->parts, out)) return false;
    if (red->parts > 1 && !lane_loop(red, loop, many, whole, 1, out)) return false;
    return lane_tail(red, loop, whole, out);
}

static bool has_loop(const struct stmt *list)
{
    for (; list; list = list->next)
        if (list->kind == STMT_FOR || has_loop(list->body) || has_loop(list->other)) return true;
    return false;
}

/* The list with its innermost loops split into lanes. Statements beside loops cannot be. */
static bool split_list(struct reduction *red, const struct stmt *list, struct stmt **out)
{
    for (; list; list = list->next) {
        if (list->kind == STMT_FOR && !has_loop(list->body)) {
            if (!split_innermost(red, list, out)) return false;
            continue;
        }
        if (list->kind == STMT_SET) return false;
        struct stmt *to = arena_copy(red->prog->arena, list, sizeof *list);
        to->next = to->body = NULL;
        if (!split_list(red, list->body, &to->body)) return false;
        stmt_append(out, to);
    }
    return true;
}

static int64_t innermost_trips(const struct stmt *list)
{
    int64_t most = 0;
    for (; list; list = list->next) {
        int64_t inner = innermost_trips(list->body);
        if (list->kind == STMT_FOR && !inner) {
            bool counted = ex_is_const(list->a) && ex_is_const(list->b);
            inner = counted ? list->b->imm - list->a->imm : INT32_MAX;
        }
        if (inner > most) most = inner;
    }
    return most;
}

static ex combined_parts(struct reduction *red, int i)
{
    ex level[PARTS_MOST];
    int n = red->parts;
    for (int p = 0; p < n; p++) level[p] = ex_var(red->prog, red->part[p][i]);
    for (; n > 1; n = (n + 1) / 2)
        for (int p = 0; p < (n + 1) / 2; p++)
            level[p] = 2 * p + 1 < n ? ex_binary(red->prog, red->op[i], level[2 * p], level[2 * p + 1]) : level[2 * p];
    return level[0];
}

static bool vectorize_loop(struct reduction *red, struct stmt *loop, struct stmt **out)
{
    struct prog *prog = red->prog;
    struct stmt one = *loop, *body = NULL;
    one.next = NULL;
    if (!find_registers(red, loop->body) || red->n == 0) return false;
    int64_t trips = innermost_trips(&one);
    if (trips < red->lanes && !(red->masks && 2 * trips > red->lanes)) return false;
    red->parts = red->n >= 4 ? 1 : red->n >= 2 ? 2 : PARTS_MOST;
    while (red->parts > 1 && trips < 2 * red->parts * red->lanes) red->parts /= 2;
    for (int p = 0; p < red->parts; p++)
        for (int i = 0; i < red->n; i++)
            red->part[p][i] = prog_var(prog, red->reg[i]->name, red->reg[i]->dt, red->lanes);
    if (!split_list(red, &one, &body)) return false;
    for (int p = 0; p < red->parts; p++)
        for (int i = 0; i < red->n; i++)
            stmt_append(out, stmt_let(prog, red->part[p][i], ex_splat(prog, red->neutral[i], red->lanes), true));
    stmt_append(out, body);
    for (int i = 0; i < red->n; i++) {
        ex sum = ex_unary(prog, across_lanes(red->op[i]), combined_parts(red, i));
        stmt_append(out, stmt_set(prog, red->reg[i], ex_binary(prog, red->op[i], ex_var(prog, red->reg[i]), sum)));
    }
    return true;
}

struct stmt *reduce_vectorize(struct prog *prog, struct stmt *list, int lanes, bool masks)
{
    struct stmt *out = NULL;
    while (list) {
        struct stmt *s = list;
        list = list->next;
        s->next = NULL;
        struct reduction *red = NEW(prog->arena, struct reduction);
        *red = (struct reduction){.prog = prog, .lanes = lanes, .masks = masks};
        struct stmt *made = NULL;
        if (lanes > 1 && reduce_is_pure(s) && vectorize_loop(red, s, &made)) {
            stmt_append(&out, made);
            continue;
        }
        stmt_append(&out, s);
    }
    return out;
}

static struct stmt *unroll_loop(struct prog *prog, struct stmt *s, int size)
{
    int64_t step = s->step, trips = 0;
    if (!ex_is_const(s->a) || !ex_is_const(s->b)) return s;
    trips = (s->b->imm - s->a->imm + step - 1) / step;
    int copies = 1, body = loops_size(s->body);
    if (trips >= 1 && trips * body <= size && trips <= 64) copies = (int)trips;
    else
        for (int c = 2; c <= 8; c++)
            if (trips % c == 0 && c * body <= size && (c <= 4 || c == 8)) copies = c;
    if (copies == 1) return s;
    ex *values = NEW_ARRAY(prog->arena, ex, copies);
    struct var *base = prog_index(prog, s->var->name, s->var->lo, s->var->hi);
    ex first = copies == trips ? s->a : ex_var(prog, base);
    for (int i = 0; i < copies; i++) values[i] = ex_binary(prog, EX_add, first, ex_int(prog, DT_index, i * step));
    struct stmt *made = loops_unroll(prog, s->body, s->var, values, copies);
    if (copies == trips) return made;
    base->hi = s->b->imm - (copies - 1) * step - 1;
    return stmt_for(prog, base, s->a, s->b, step * copies, made);
}

struct stmt *reduce_unroll(struct prog *prog, struct stmt *list, int size)
{
    struct stmt *out = NULL;
    while (list) {
        struct stmt *s = list;
        list = list->next;
        s->next = NULL;
        s->body = reduce_unroll(prog, s->body, size);
        s->other = reduce_unroll(prog, s->other, size);
        bool innermost = s->kind == STMT_FOR && !has_loop(s->body) && is_pure(s->body, s->body);
        stmt_append(&out, innermost ? unroll_loop(prog, s, size) : s);
    }
    return out;
}

/* Sum of the strides of a loop variable over the nest's loads: how far a step of it jumps. */
static double jump(const struct loopnest *nest, const struct var *var)
{
    double sum = 0;
    for (int a = 0; a < nest->n_axes; a++) {
        if (nest->axis[a].var != var) continue;
        for (int i = 0; i < nest->accesses.n; i++) {
            const struct access *access = &nest->accesses.at[i];
            if (access->store || !access->known[a]) continue;
            dim coef = access->coef[a];
            double stride = dim_is_const(coef) ? (double)coef : (double)dim_lo(nest->prog->dims, coef) + 1e6;
            sum += stride < 0 ? -stride : stride;
        }
    }
    return sum;
}

static void swap_loops(struct stmt *a, struct stmt *b)
{
    struct stmt t = *a;
    a->var = b->var, a->a = b->a, a->b = b->b;
    b->var = t.var, b->a = t.a, b->b = t.b;
}

void reduce_order(const struct loopnest *nest, struct stmt *list)
{
    for (; list; list = list->next) {
        if (!reduce_is_pure(list)) {
            reduce_order(nest, list->body);
            continue;
        }
        for (struct stmt *s = list; s && s->kind == STMT_FOR; s = s->body) {
            for (struct stmt *t = s->body; t && t->kind == STMT_FOR && !t->next; t = t->body) {
                bool free = !ex_uses(t->a, s->var) && !ex_uses(t->b, s->var);
                if (!free) return;
                if (jump(nest, t->var) > jump(nest, s->var)) swap_loops(s, t);
            }
            if (s->body && s->body->next) break;
        }
    }
}
