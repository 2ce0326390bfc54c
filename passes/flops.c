/* Counting a kernel's floating-point operations, and those of dot products of bytes, which stand for them: each distinct
 * expression of a statement once, times its lanes, times the trips of the loops around it. Comparisons, selections and
 * conversions count nothing. */
#include "flops.h"

#include "../ir/expr_map.h"

static double count_expr(ex e, struct expr_map *seen)
{
    if (e->op == EX_load || e->dt == DT_index || expr_map_find(seen, e)) return 0;
    expr_map_add(seen, e, 1);
    bool counts = expr_is_dot(e->op) || (dtype_is_float(e->dt) && e->op != EX_select && e->op != EX_cast);
    double cost = counts ? expr_row(e->op)->cost * e->lanes : 0;
    for (int i = 0; i < 3; i++)
        if (e->arg[i]) cost += count_expr(e->arg[i], seen);
    return cost;
}

static double count_list(const struct prog *prog, const struct stmt *s, struct arena *scratch)
{
    double sum = 0;
    for (; s; s = s->next) {
        struct expr_map seen = {.arena = scratch};
        ex e = s->kind == STMT_STORE ? s->b : s->kind == STMT_SET || s->kind == STMT_LET ? s->a : NULL;
        if (e) sum += count_expr(e, &seen);
        if (s->kind == STMT_IF) sum += count_list(prog, s->body, scratch);
        if (s->kind != STMT_FOR) continue;
        int64_t n = dim_lo(prog->dims, dim_sub(prog->dims, s->b->imm, s->a->imm));
        sum += (double)(n > 0 ? (n + s->step - 1) / s->step : 0) * count_list(prog, s->body, scratch);
    }
    return sum;
}

double flops_of(const struct prog *prog, const struct stmt *list)
{
    struct arena *scratch = arena_new();
    double sum = count_list(prog, list, scratch);
    arena_free(scratch);
    return sum;
}
