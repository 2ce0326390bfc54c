/* Splits loops whose variable is divided in subscripts.
 *
 *   for i in 0..64 { ... w[1024*(i / 32) + i % 32] }   ->   for i in 0..2 { for lane in 0..32 { ... w[1024*i + lane] } }
 *
 * Blocked layouts read through a fused elementwise producer look like this. With the variable as block*outer + inner
 * the builder's division rules leave affine subscripts, which is what strides are read from. Only where the block
 * divides the extent.
 */
#include "loopnest.h"

enum { ROUNDS_MOST = 4 };
struct division {
    struct prog *prog;
    struct var *var;
    int64_t extent, block; /* block 0: none found yet */
    struct pointer_map seen;
};

static void find_division(struct division *d, ex e)
{
    if (!e || d->block || e->op == EX_const || e->op == EX_dim || e->op == EX_var || map_get(&d->seen, e)) return;
    map_put(d->prog->arena, &d->seen, e, e);
    bool divides = (e->op == EX_div || e->op == EX_mod) && e->dt == DT_index && ex_is_const(e->arg[1]);
    dim coef;
    ex rest;
    if (divides && ex_affine(d->prog, e->arg[0], d->var, &coef, &rest) && dim_is_const(coef) && coef > 0) {
        int64_t by = e->arg[1]->imm, block = by % coef == 0 ? by / coef : 0;
        if (block > 1 && block < d->extent && d->extent % block == 0) d->block = block;
    }
    for (int i = 0; i < 3; i++) find_division(d, e->arg[i]);
}

static void find_in_list(struct division *d, const struct stmt *list)
{
    for (; list; list = list->next) {
        find_division(d, list->a);
        find_division(d, list->b);
        find_division(d, list->c);
        find_in_list(d, list->body);
        find_in_list(d, list->other);
    }
}

static bool split_once(struct prog *prog, struct stmt *loop)
{
    if (loop->step != 1 || !ex_is_int(loop->a, 0) || !ex_is_const(loop->b)) return false;
    struct division d = {.prog = prog, .var = loop->var, .extent = loop->b->imm};
    find_in_list(&d, loop->body);
    if (d.block == 0) return false;
    struct var *outer = prog_index(prog, loop->var->name, 0, d.extent / d.block - 1);
    struct var *inner = prog_index(prog, "lane", 0, d.block - 1);
    struct rewriter *r = rewriter_new(prog);
    ex whole = ex_binary(prog, EX_mul, ex_var(prog, outer), ex_int(prog, DT_index, d.block));
    rewrite_bind(r, loop->var, ex_binary(prog, EX_add, whole, ex_var(prog, inner)));
    struct stmt *body = rewrite_list(r, loop->body);
    loop->body = stmt_for(prog, inner, ex_int(prog, DT_index, 0), ex_int(prog, DT_index, d.block), 1, body);
    loop->var = outer;
    loop->b = ex_int(prog, DT_index, d.extent / d.block);
    return true;
}

void loopnest_split(struct prog *prog, struct stmt *list)
{
    for (; list; list = list->next) {
        for (int i = 0; i < ROUNDS_MOST && list->kind == STMT_FOR && split_once(prog, list); i++) continue;
        loopnest_split(prog, list->body);
        loopnest_split(prog, list->other);
    }
}
