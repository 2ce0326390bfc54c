/* How much work statements are: operations, where a vector's count as one, loops of known bounds at their number of
 * iterations and others at a guess. Used by pass parallel (partition.h) to deal out even shares. Next: partition.c.
 */
#include "partition.h"

static double expr_work(struct pointer_map *seen, struct arena *scratch, ex e)
{
    if (!e || e->op == EX_const || e->op == EX_dim || e->op == EX_var || map_get(seen, e)) return 0;
    map_put(scratch, seen, e, e);
    double work = e->dt == DT_index && e->op != EX_load ? 0.2 : expr_row(e->op)->cost;
    if (e->op == EX_load && e->lanes > 1 && e->imm != 0 && e->imm != 1) work = e->lanes;
    for (int i = 0; i < 3; i++) work += expr_work(seen, scratch, e->arg[i]);
    return work;
}

double trips_of(const struct prog *prog, const struct stmt *loop)
{
    ex a = loop->a, b = loop->b;
    if ((a->op != EX_const && a->op != EX_dim) || (b->op != EX_const && b->op != EX_dim)) return 16;
    dim extent = dim_sub(prog->dims, b->imm, a->imm);
    int64_t low = dim_lo(prog->dims, extent), high = dim_hi(prog->dims, extent);
    int64_t n = low == high || high < 64 ? high : low > 64 ? low : 64;
    return n > 0 ? (double)((n + loop->step - 1) / loop->step) : 0;
}

double list_work(const struct prog *prog, struct arena *scratch, const struct stmt *list)
{
    double work = 0;
    for (const struct stmt *s = list; s; s = s->next) {
        struct pointer_map seen = {.n = 0};
        double inner = list_work(prog, scratch, s->body);
        double own = expr_work(&seen, scratch, s->a) + expr_work(&seen, scratch, s->b) + expr_work(&seen, scratch, s->c);
        if (s->kind == STMT_STORE) own += s->b->lanes > 1 && s->step != 1 ? s->b->lanes : 1;
        if (s->kind == STMT_CALL && s->kernel) own += list_work(prog, scratch, s->kernel->body);
        if (s->kind == STMT_CALL && !s->kernel) own += 1000;
        work += own + (s->kind == STMT_FOR ? trips_of(prog, s) * (inner + 1) : inner) + list_work(prog, scratch, s->other);
    }
    return work;
}

double work_of(const struct prog *prog, const struct kernel *kernel)
{
    static const double PER_BYTE = 0.25; /* of memory moved: what it costs from the last cache level, as in a copy */
    struct arena *scratch = arena_new();
    double work = list_work(prog, scratch, kernel->body);
    arena_free(scratch);
    return work > PER_BYTE * kernel->bytes ? work : PER_BYTE * kernel->bytes;
}
