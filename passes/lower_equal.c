/* Equal kernels are one: two layers of the same shape differ only in what they are called with. Structure is
 * compared with variables and parameters matched by position. */
#include "lower.h"
#include "rewrite.h"

#include <string.h>

struct comparison {
    struct arena *arena;
    struct pointer_map vars, buffers, same; /* of the one kernel -> of the other */
};

static bool matches(struct comparison *c, struct pointer_map *map, const void *a, const void *b)
{
    if (!a || !b) return a == b;
    const void *known = map_get(map, a);
    if (known) return known == b;
    map_put(c->arena, map, a, b);
    return true;
}

static bool expr_equal(struct comparison *c, ex a, ex b)
{
    if (!a || !b) return a == b;
    const void *known = map_get(&c->same, a);
    if (known) return known == b;
    bool same = a->op == b->op && a->dt == b->dt && a->lanes == b->lanes && a->imm == b->imm && a->masked == b->masked &&
                !memcmp(&a->number, &b->number, sizeof a->number) && matches(c, &c->vars, a->var, b->var) &&
                matches(c, &c->buffers, a->buf, b->buf);
    for (int i = 0; same && i < 3; i++) same = expr_equal(c, a->arg[i], b->arg[i]);
    if (same) map_put(c->arena, &c->same, a, b);
    return same;
}

static bool list_equal(struct comparison *c, const struct stmt *a, const struct stmt *b)
{
    for (; a && b; a = a->next, b = b->next) {
        bool same = a->kind == b->kind && a->loop == b->loop && a->mutable == b->mutable && a->step == b->step && a->code == b->code;
        if (!same || a->kind == STMT_CALL) return false;
        if (a->var && b->var && (a->var->dt != b->var->dt || a->var->lanes != b->var->lanes)) return false;
        if (!matches(c, &c->vars, a->var, b->var) || !matches(c, &c->buffers, a->buf, b->buf)) return false;
        if (!expr_equal(c, a->a, b->a) || !expr_equal(c, a->b, b->b) || !expr_equal(c, a->c, b->c)) return false;
        if (!list_equal(c, a->body, b->body) || !list_equal(c, a->other, b->other)) return false;
    }
    return a == b;
}

static bool kernel_equal(const struct kernel *a, const struct kernel *b)
{
    if (a->side != b->side || a->params.n != b->params.n || a->scalars.n != b->scalars.n || a->flops != b->flops || a->bytes != b->bytes || a->direct_flops != b->direct_flops) return false;
    struct comparison c = {.arena = arena_new()};
    bool same = true;
    for (int i = 0; same && i < a->params.n; i++) {
        const struct buffer *x = a->params.at[i], *y = b->params.at[i];
        same = x->dt == y->dt && x->elements == y->elements && x->written == y->written && matches(&c, &c.buffers, x, y);
    }
    for (int i = 0; same && i < a->scalars.n; i++)
        same = a->scalars.at[i]->dt == b->scalars.at[i]->dt && matches(&c, &c.vars, a->scalars.at[i], b->scalars.at[i]);
    same = same && list_equal(&c, a->body, b->body);
    arena_free(c.arena);
    return same;
}

struct kernel *kernel_shared(struct prog *prog, struct kernel *kernel)
{
    int at = 0, kept = 0;
    while (at < prog->kernels.n && (prog->kernels.at[at] == kernel || !kernel_equal(prog->kernels.at[at], kernel))) at++;
    if (at == prog->kernels.n) return kernel;
    struct kernel *same = prog->kernels.at[at];
    for (int i = 0; i < prog->kernels.n; i++)
        if (prog->kernels.at[i] != kernel) prog->kernels.at[kept++] = prog->kernels.at[i];
    prog->kernels.n = kept;
    return same;
}
