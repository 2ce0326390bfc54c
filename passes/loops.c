/* Unroll and jam, and reductions.
 *
 *   for i in 0..2 { reg s = 0; for k in 0..K { set s = s + x[i, k] } }
 *      -> jam ->   reg s0 = 0; reg s1 = 0; for k in 0..K { set s0 = s0 + x[0, k]; set s1 = s1 + x[1, k] }
 *
 * A copy is a rewriter with its own binding of the variable; definitions inside get fresh names per copy. Unroll
 * and jam is Callahan, Cocke, Kennedy, "Estimating interlock and improving balance for pipelined architectures"
 * (1988). Next: vectorize.c, tile.c.
 */
#include "loops.h"

#include <math.h>

static bool all_equal(ex const *e, int n)
{
    for (int i = 1; i < n; i++)
        if (e[i] != e[0]) return false;
    return true;
}

static void jam_each(struct rewriter **r, const struct stmt *s, int n, struct stmt **list)
{
    struct stmt one = *s;
    one.next = NULL;
    for (int i = 0; i < n; i++) stmt_append(list, rewrite_list(r[i], &one));
}

/* Expressions of s per copy into e; whether they agree. */
static bool agree(struct rewriter **r, ex s, int n, ex *e)
{
    for (int i = 0; i < n; i++) e[i] = rewrite_expr(r[i], s);
    return all_equal(e, n);
}

static struct var *define_shared(struct rewriter **r, struct var *var, int n)
{
    struct var *fresh = rewrite_define(r[0], var);
    ex value = map_get(&r[0]->vars, var);
    for (int i = 1; i < n; i++) rewrite_bind(r[i], var, value);
    return fresh;
}

static void jam_stmt(struct prog *prog, struct rewriter **r, const struct stmt *s, int n, struct stmt **list)
{
    ex *a = NEW_ARRAY(prog->arena, ex, n), *b = NEW_ARRAY(prog->arena, ex, n);
    if (s->kind == STMT_LET && !s->mutable && agree(r, s->a, n, a)) {
        struct var *var = define_shared(r, s->var, n);
        stmt_append(list, stmt_let(prog, var, a[0], false));
        return;
    }
    if (s->kind == STMT_FOR && agree(r, s->a, n, a) && agree(r, s->b, n, b)) {
        struct stmt *loop = stmt_for(prog, define_shared(r, s->var, n), a[0], b[0], s->step, NULL);
        loop->loop = s->loop;
        loop->place = s->place;
        loop->body = loops_jam_with(prog, s->body, r, n);
        stmt_append(list, loop);
        return;
    }
    if (s->kind == STMT_IF && agree(r, s->a, n, a)) {
        struct stmt *branch = stmt_new(prog, STMT_IF);
        branch->a = a[0];
        branch->place = s->place;
        branch->body = loops_jam_with(prog, s->body, r, n);
        branch->other = loops_jam_with(prog, s->other, r, n);
        stmt_append(list, branch);
        return;
    }
    jam_each(r, s, n, list);
}

struct stmt *loops_jam_with(struct prog *prog, const struct stmt *list, struct rewriter **r, int n)
{
    struct stmt *out = NULL;
    for (; list; list = list->next) jam_stmt(prog, r, list, n, &out);
    return out;
}

struct stmt *loops_jam(struct prog *prog, const struct stmt *list, const struct var *var, ex const *values, int n)
{
    struct rewriter **r = NEW_ARRAY(prog->arena, struct rewriter *, n);
    for (int i = 0; i < n; i++) {
        r[i] = rewriter_new(prog);
        rewrite_bind(r[i], var, values[i]);
    }
    return loops_jam_with(prog, list, r, n);
}

struct stmt *loops_unroll(struct prog *prog, const struct stmt *list, const struct var *var, ex const *values, int n)
{
    struct stmt *out = NULL;
    for (int i = 0; i < n; i++) {
        struct rewriter *r = rewriter_new(prog);
        rewrite_bind(r, var, values[i]);
        stmt_append(&out, rewrite_list(r, list));
    }
    return out;
}

bool loops_reduction(const struct stmt *set, enum expr_op *op, ex *e)
{
    ex v = set->a;
    if (set->kind != STMT_SET) return false;
    bool reduces = v->op == EX_add || v->op == EX_mul || v->op == EX_min || v->op == EX_max || v->op == EX_and ||
                   v->op == EX_or || v->op == EX_xor;
    if (!reduces) return false;
    for (int side = 0; side < 2; side++) {
        ex acc = v->arg[side], other = v->arg[1 - side];
        if (acc->op != EX_var || acc->var != set->var || ex_uses(other, set->var)) continue;
        *op = v->op;
        *e = other;
        return true;
    }
    return false;
}

static ex extreme(struct prog *prog, enum dtype dt, bool most)
{
    if (dtype_is_float(dt)) return ex_float(prog, dt, most ? INFINITY : -INFINITY);
    if (dt == DT_index) return ex_dim(prog, most ? DIM_HUGE : -DIM_HUGE); /* as far as an index goes */
    return ex_int(prog, dt, most ? (int64_t)dtype_int_max(dt) : dtype_int_min(dt));
}

ex loops_neutral(struct prog *prog, enum expr_op op, enum dtype dt)
{
    if (op == EX_min) return extreme(prog, dt, true);
    if (op == EX_max) return extreme(prog, dt, false);
    if (op == EX_add && dtype_is_float(dt)) return ex_float(prog, dt, -0.0); /* -0 + -0 is -0 */
    if (op == EX_and) return ex_int(prog, dt, -1);
    return ex_number(prog, dt, op == EX_mul ? 1 : 0);
}

static ex unsplat(ex e)
{
    return e->op == EX_splat ? e->arg[0] : e;
}

static bool is_product(ex e)
{
    return e->op == EX_mul && unsplat(e->arg[0])->op != EX_const && unsplat(e->arg[1])->op != EX_const;
}

static int count_products(ex e)
{
    if (e->op == EX_add) return count_products(e->arg[0]) + count_products(e->arg[1]);
    return is_product(e);
}

static ex fuse_sum(struct prog *prog, ex e)
{
    if (e->op != EX_add) return e;
    ex arg[2] = {fuse_sum(prog, e->arg[0]), fuse_sum(prog, e->arg[1])};
    for (int side = 1; side >= 0; side--)
        if (is_product(arg[side])) return ex_fma(prog, arg[side]->arg[0], arg[side]->arg[1], arg[1 - side]);
    return ex_binary(prog, EX_add, arg[0], arg[1]);
}

/* Sums of several products inside a term: (x*a + y*b)*s is fma(x, a, y*b)*s. One product and a number stay what they are
 * elsewhere, an elementwise operator's. */
static ex fuse_inside(struct prog *prog, ex e)
{
    ex arg[2];
    for (int side = 0; side < 2; side++) arg[side] = count_products(e->arg[side]) > 1 ? fuse_sum(prog, e->arg[side]) : e->arg[side];
    return ex_binary(prog, EX_mul, arg[0], arg[1]);
}

static void use_fma(struct prog *prog, struct stmt *s)
{
    enum expr_op op;
    ex e;
    if (!loops_reduction(s, &op, &e) || op != EX_add || !is_product(e) || (e->dt != DT_f32 && e->dt != DT_f64)) return;
    e = fuse_inside(prog, e);
    s->a = ex_fma(prog, e->arg[0], e->arg[1], ex_var(prog, s->var));
}

void loops_use_fma(struct prog *prog, struct stmt *list)
{
    for (; list; list = list->next) {
        use_fma(prog, list);
        loops_use_fma(prog, list->body);
        loops_use_fma(prog, list->other);
    }
}

int loops_size(const struct stmt *list)
{
    int n = 0;
    for (; list; list = list->next) n += 1 + loops_size(list->body) + loops_size(list->other);
    return n;
}
