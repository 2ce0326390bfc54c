/* Boxes of what an access touches. See box.h. */
#include "box.h"

bool box_value(const struct dims *dims, const struct names *names, ex e, int64_t *value)
{
    int64_t a, b;
    if (e->op == EX_const || e->op == EX_dim) {
        *value = dim_lo(dims, e->imm);
        return true;
    }
    if (e->op == EX_var) {
        for (int i = names->n - 1; i >= 0; i--)
            if (names->var[i] == e->var) return *value = names->value[i], true;
        return false;
    }
    if (expr_row(e->op)->args != 2 || !box_value(dims, names, e->arg[0], &a) || !box_value(dims, names, e->arg[1], &b)) return false;
    if (e->op == EX_add) *value = a + b;
    else if (e->op == EX_sub) *value = a - b;
    else if (e->op == EX_mul) *value = a * b;
    else if (e->op == EX_min) *value = a < b ? a : b;
    else if (e->op == EX_max) *value = a > b ? a : b;
    else if (e->op == EX_div && b > 0) *value = floor_div(a, b);
    else if (e->op == EX_mod && b > 0) *value = a - b * floor_div(a, b);
    else return false;
    return true;
}

static void box_add(struct box *box, const struct shape *shape, int64_t at)
{
    for (int i = shape->rank - 1; i >= 0; i--) {
        int64_t here = i ? at % shape->size[i] : at;
        at /= shape->size[i];
        if (!box->any || here < box->lo[i]) box->lo[i] = here;
        if (!box->any || here > box->hi[i]) box->hi[i] = here;
    }
    box->any = true;
}

void box_whole(struct box *box, const struct shape *shape)
{
    box->any = true;
    for (int i = 0; i < shape->rank; i++) box->lo[i] = 0, box->hi[i] = shape->size[i] - 1;
}

double box_size(const struct shape *shape, const struct box *a, const struct box *b)
{
    double size = 1;
    if (!a->any || (b && !b->any)) return 0;
    for (int i = 0; i < shape->rank; i++) {
        int64_t lo = b && b->lo[i] > a->lo[i] ? b->lo[i] : a->lo[i], hi = b && b->hi[i] < a->hi[i] ? b->hi[i] : a->hi[i];
        if (hi < lo) return 0;
        size *= (double)(hi - lo + 1);
    }
    return size;
}

struct corners { /* a walk over the ends of the loops around one access */
    const struct dims *dims;
    const struct reach *reach;
    const struct shape *shape;
    int64_t offset;
    struct names names;
    struct box *box;
    bool matters[LOOPS_MOST + 1]; /* by loop: whether its ends differ */
    bool unknown;
};

static bool matters(const struct reach *reach, int level)
{
    const struct var *var = reach->loops[level]->var;
    if (ex_uses(reach->index, var)) return true;
    for (int i = level + 1; i < reach->n_loops; i++)
        if (ex_uses(reach->loops[i]->a, var) || ex_uses(reach->loops[i]->b, var)) return true;
    return false;
}

static void corners_visit(struct corners *c, int level)
{
    int64_t first, past;
    if (c->unknown) return;
    if (level == c->reach->n_loops) {
        c->unknown = !box_value(c->dims, &c->names, c->reach->index, &first);
        first += c->offset;
        if (c->unknown || first < 0) return;
        box_add(c->box, c->shape, first);
        if (c->reach->lanes > 1) box_add(c->box, c->shape, first + (c->reach->lanes - 1) * c->reach->stride);
        return;
    }
    const struct stmt *loop = c->reach->loops[level];
    c->unknown = !box_value(c->dims, &c->names, loop->a, &first) || !box_value(c->dims, &c->names, loop->b, &past);
    if (c->unknown || past <= first) return;
    int64_t last = first + (past - first - 1) / loop->step * loop->step;
    int at = c->names.n++;
    c->names.var[at] = loop->var;
    c->names.value[at] = first;
    corners_visit(c, level + 1);
    if (last != first && c->matters[level]) {
        c->names.value[at] = last;
        corners_visit(c, level + 1);
    }
    c->names.n--;
}

bool box_add_reach(struct box *box, const struct shape *shape, const struct dims *dims, const struct reach *reach, int64_t offset,
                   const struct names *names)
{
    struct corners c = {.dims = dims, .reach = reach, .shape = shape, .offset = offset, .names = *names, .box = box};
    if (reach->n_loops > LOOPS_MOST) return false;
    for (int level = 0; level < reach->n_loops; level++) c.matters[level] = matters(reach, level);
    corners_visit(&c, 0);
    return !c.unknown;
}
