/* Sums of integers start with what would be added to them at the end.
 *
 *   reg acc: i32x16 = splat16(0:i32)                        reg acc: i32x16 = load.i32x16 bias[j]
 *   for c in 0..4 { set acc = dot4(.., .., acc) }      ->   for c in 0..4 { set acc = dot4(.., .., acc) }
 *   store y[j] = f(acc + load.i32x16 bias[j])               store y[j] = f(acc)
 *
 * Integers wrap, so the order of additions does not matter; floats are left alone. What a quantized product has left to add
 * (its bias, the part of its zero point) is one of some ten operations an element where sums are short: mobilenetv2's layers of
 * 16 and 24 channels. Needs: the statements of one tile (tile.c), whose registers are at the top of the list; takes only
 * elements of buffers that the kernel never writes.
 */
#include "loops.h"
#include "tile.h"

struct start {
    struct prog *prog;
    const struct var *sum;
    ex added; /* NULL: not met yet */
};

/* Whether e is the sum and something added to it. */
static bool is_linear(ex e, const struct var *sum)
{
    if (e->op == EX_var) return e->var == sum;
    if (expr_is_dot(e->op)) return !ex_uses(e->arg[0], sum) && !ex_uses(e->arg[1], sum) && is_linear(e->arg[2], sum);
    if (e->op != EX_add) return false;
    for (int side = 0; side < 2; side++)
        if (!ex_uses(e->arg[1 - side], sum) && is_linear(e->arg[side], sum)) return true;
    return false;
}

/* Whether the sum is read nowhere in e but to add the same to it. */
static bool reads_added(struct start *start, ex e)
{
    if (!e || !ex_uses(e, start->sum)) return true;
    if (e->op == EX_var) return false;
    if (e->op == EX_add && e->arg[0]->op == EX_var && e->arg[0]->var == start->sum) {
        if (!start->added) start->added = e->arg[1];
        return start->added == e->arg[1] && !ex_uses(e->arg[1], start->sum);
    }
    return reads_added(start, e->arg[0]) && reads_added(start, e->arg[1]) && reads_added(start, e->arg[2]);
}

/* Whether the list, below the sum's register, only adds to the sum, and reads it at its top level alone. */
static bool list_allows(struct start *start, const struct stmt *list, bool top)
{
    for (const struct stmt *s = list; s; s = s->next) {
        bool sets = s->kind == STMT_SET && s->var == start->sum, uses = false;
        if (sets && !is_linear(s->a, start->sum)) return false;
        if (!sets && top && !(reads_added(start, s->a) && reads_added(start, s->b) && reads_added(start, s->c))) return false;
        if (!sets && !top) uses = (s->a && ex_uses(s->a, start->sum)) || (s->b && ex_uses(s->b, start->sum)) || (s->c && ex_uses(s->c, start->sum));
        if (uses || !list_allows(start, s->body, false) || !list_allows(start, s->other, false)) return false;
    }
    return true;
}

/* Whether e reads a variable that the list defines. */
static bool uses_defined(ex e, const struct stmt *list)
{
    for (const struct stmt *s = list; s; s = s->next)
        if (((s->kind == STMT_LET || s->kind == STMT_FOR) && ex_uses(e, s->var)) || uses_defined(e, s->body) || uses_defined(e, s->other)) return true;
    return false;
}

static bool is_zero(ex e)
{
    while (e->op == EX_splat) e = e->arg[0];
    return e->op == EX_const && !dtype_is_float(e->dt) && e->imm == 0;
}

static ex without_addition(void *context, ex e)
{
    const struct start *start = context;
    bool is_it = e->op == EX_add && e->arg[0]->op == EX_var && e->arg[0]->var == start->sum && e->arg[1] == start->added;
    return is_it ? e->arg[0] : e;
}

static void start_with(struct start *start, struct stmt *let)
{
    struct rewriter *r = rewriter_new(start->prog);
    r->hook = without_addition;
    r->context = start;
    let->a = start->added;
    for (struct stmt *s = let->next; s; s = s->next) {
        if (s->a) s->a = rewrite_expr(r, s->a);
        if (s->b) s->b = rewrite_expr(r, s->b);
        if (s->c) s->c = rewrite_expr(r, s->c);
    }
}

void sums_start(struct prog *prog, struct stmt *list)
{
    for (struct stmt *s = list; s; s = s->next) {
        struct start start = {.prog = prog, .sum = s->var};
        if (s->kind != STMT_LET || !s->mutable || !is_zero(s->a) || !list_allows(&start, s->next, true)) continue;
        ex added = start.added;
        if (!added || added->op != EX_load || added->buf->written || added->lanes != s->var->lanes || uses_defined(added, list)) continue;
        start_with(&start, s);
    }
}
