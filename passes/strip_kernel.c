/* A kernel's rows: finding the loop that counts them, and the kernel of a few of them. See strip_kernel.h.
 *
 *   kernel k(out y: [36*30*720], in x) { for q in 0..36 { for a in 0..30 { .. y[21600*q + 720*a + ..] = .. x[96*a + ..] } } }
 *      ->   kernel k_strip(out y: [36*5*720], in x) { for q in 0..36 { for a in 0..5 { .. y[3600*q + 720*a + ..] = .. } } }
 *
 * Which rows of x these are is left to the call: it passes x from the first of them on. A subscript of a parameter that
 * keeps its size stays what it is; in one that holds only the strip, what steps over whole sets of rows (21600 above)
 * steps over sets of fewer.
 */
#include "strip_kernel.h"

/* ---- the loop ---- */

int row_loops_of(const struct kernel *kernel, const struct stmt *loops[LOOPS_MOST])
{
    int n = 0;
    for (const struct stmt *s = kernel->body; s && s->kind == STMT_FOR && !s->next && n < LOOPS_MOST; s = s->body) loops[n++] = s;
    return n;
}

struct looking { /* for what depends on the loop's variable */
    struct prog *prog;
    struct arena *scratch;
    struct var *var;
    int64_t *step;
    bool *known;
    struct pointer_map seen;
};

static bool look_at_access(struct looking *l, const struct buffer *buf, ex index)
{
    dim step;
    ex rest;
    if (buf->space != SPACE_PARAM) return !ex_uses(index, l->var);
    if (!ex_affine(l->prog, index, l->var, &step, &rest) || !dim_is_const(step) || step < 0) return false;
    if (l->known[buf->position] && l->step[buf->position] != step) return false;
    l->known[buf->position] = true;
    l->step[buf->position] = step;
    return true;
}

static bool look_at_expr(struct looking *l, ex e)
{
    if (!e || e->op == EX_const || e->op == EX_dim || map_get(&l->seen, e)) return true;
    map_put(l->scratch, &l->seen, e, e);
    if (e->op == EX_var) return e->var != l->var;
    if (e->op != EX_load) return look_at_expr(l, e->arg[0]) && look_at_expr(l, e->arg[1]) && look_at_expr(l, e->arg[2]);
    return look_at_access(l, e->buf, e->arg[0]) && look_at_expr(l, e->arg[1]) && look_at_expr(l, e->arg[2]);
}

static bool look_at_list(struct looking *l, const struct stmt *list)
{
    for (const struct stmt *s = list; s; s = s->next) {
        bool plain = s->kind == STMT_FOR || s->kind == STMT_STORE || s->kind == STMT_LET || s->kind == STMT_SET || s->kind == STMT_IF;
        if (!plain) return false;
        if (s->kind == STMT_STORE ? !look_at_access(l, s->buf, s->a) : !look_at_expr(l, s->a)) return false;
        if (!look_at_expr(l, s->b) || !look_at_expr(l, s->c) || !look_at_list(l, s->body) || !look_at_list(l, s->other)) return false;
    }
    return true;
}

/* The loop first among those around an access. */
static void put_first(struct reach *reach, const struct stmt *loop)
{
    int at = 0;
    while (reach->loops[at] != loop) at++;
    for (; at > 0; at--) reach->loops[at] = reach->loops[at - 1];
    reach->loops[0] = loop;
}

bool row_loop_take(struct prog *prog, struct kernel *kernel, const struct stmt *loop, struct arena *scratch,
                   struct row_loop *rows)
{
    int n = kernel->params.n;
    *rows = (struct row_loop){.kernel = kernel, .loop = loop, .reaches = {.arena = scratch}};
    if (!ex_is_int(loop->a, 0) || loop->step != 1 || loop->b->op != EX_const || loop->b->imm < 2) return false;
    rows->rows = loop->b->imm;
    rows->step = NEW_ARRAY(scratch, int64_t, n + 1);
    struct looking l = {.prog = prog, .scratch = scratch, .var = loop->var, .step = rows->step};
    l.known = NEW_ARRAY(scratch, bool, n + 1);
    if (!look_at_list(&l, kernel->body)) return false;
    reaches_of(&rows->reaches, kernel->body, NULL, 0);
    for (int i = 0; i < rows->reaches.n; i++) put_first(&rows->reaches.at[i], loop);
    return true;
}

/* ---- what rows touch ---- */

/* The access as if it were counted by the other's loop. */
static struct reach counted_by(struct prog *prog, const struct reach *reach, const struct stmt *own, const struct stmt *loop,
                               struct arena *scratch)
{
    struct reach to = *reach;
    to.index = ex_replace(prog, reach->index, own->var, ex_var(prog, loop->var));
    to.loops = arena_copy(scratch, reach->loops, (size_t)reach->n_loops * sizeof *reach->loops);
    to.loops[0] = loop;
    return to;
}

static bool accesses_apart(struct prog *prog, const struct reach *a, ex a_offset, const struct reach *b, ex b_offset)
{
    if (!a->store && !b->store) return true;
    struct reach_at x = {a, 0, a_offset}, y = {b, 0, b_offset};
    return reach_apart(prog, &x, &y, 0, true);
}

bool rows_apart(struct prog *prog, const struct row_loop *a, const struct stmt *x, const struct row_loop *b,
                const struct stmt *y)
{
    struct arena *scratch = arena_new();
    bool apart = true;
    for (int k = 0; k < b->reaches.n && apart; k++) {
        const struct reach *theirs = &b->reaches.at[k];
        if (theirs->buf->space != SPACE_PARAM) continue;
        const struct call_arg *to = &y->args[theirs->buf->position];
        struct reach other = counted_by(prog, theirs, b->loop, a->loop, scratch);
        for (int i = 0; i < a->reaches.n && apart; i++) {
            const struct reach *own = &a->reaches.at[i];
            if (own->buf->space != SPACE_PARAM || x->args[own->buf->position].buf != to->buf) continue;
            apart = accesses_apart(prog, own, x->args[own->buf->position].offset, &other, to->offset);
        }
    }
    arena_free(scratch);
    return apart;
}

/* ---- rows of a parameter ---- */

struct inside { /* of one row: how far subscripts reach from its start */
    const struct row_loop *rows;
    int64_t set, row; /* elements */
    int64_t lo, hi;
    bool wrong;
};

static void add_inside(struct prog *prog, struct inside *in, ex e, int64_t scale)
{
    if (e->op == EX_add) {
        add_inside(prog, in, e->arg[0], scale);
        add_inside(prog, in, e->arg[1], scale);
    } else if (e->op == EX_mul && e->arg[1]->op == EX_const) {
        add_inside(prog, in, e->arg[0], scale * e->arg[1]->imm);
    } else if (e->op == EX_const) {
        int64_t n = scale * e->imm;
        in->wrong |= n < 0;
        in->lo += n % in->set;
        in->hi += n % in->set;
    } else if (e->op == EX_var && e->var == in->rows->loop->var) {
        in->wrong |= scale != in->row;
    } else if (scale % in->set != 0) {
        dim lo, hi;
        bool known = ex_range(prog, e, &lo, &hi) && dim_is_const(lo) && dim_is_const(hi) && scale > 0;
        in->wrong |= !known;
        in->lo += known ? scale * lo : 0;
        in->hi += known ? scale * hi : 0;
    }
}

bool row_param_is_rows(struct prog *prog, const struct row_loop *rows, int position)
{
    const struct buffer *formal = rows->kernel->params.at[position];
    int64_t row = rows->step[position], set = row * rows->rows;
    if (row == 0 || !dim_is_const(formal->elements) || formal->elements % set != 0) return false;
    for (int i = 0; i < rows->reaches.n; i++) {
        const struct reach *reach = &rows->reaches.at[i];
        struct inside in = {.rows = rows, .set = set, .row = row};
        if (reach->buf != formal) continue;
        add_inside(prog, &in, reach->index, 1);
        if (in.wrong || in.lo < 0 || in.hi + (reach->lanes - 1) * reach->stride >= row) return false;
    }
    return true;
}

int64_t row_elements(const struct row_loop *rows, int position, int64_t n)
{
    return rows->kernel->params.at[position]->elements / rows->rows * n;
}

struct type row_type(const struct type *type, int64_t rows, int64_t step, int64_t n)
{
    struct type to = *type, none = {.dt = type->dt};
    int64_t stride = 1;
    for (int i = type->rank - 1; i >= 0 && step > 0; i--) {
        int64_t before = stride;
        if (!dim_is_const(type->dim[i])) return none;
        stride *= type->dim[i];
        if (stride <= step || step % before != 0) continue;
        to.dim[i] -= (rows - n) * (step / before);
        return to.dim[i] > 0 ? to : none;
    }
    return step == 0 ? to : none;
}

/* ---- the kernel of a strip ---- */

struct shortening {
    struct prog *prog;
    const struct row_loop *rows;
    int64_t n;
    const bool *short_param;
};

/* The subscript in a buffer of n rows a set. */
static ex shorten(const struct shortening *s, ex e, int64_t scale, int64_t set, int64_t short_set)
{
    struct prog *prog = s->prog;
    if (e->op == EX_add)
        return ex_binary(prog, EX_add, shorten(s, e->arg[0], scale, set, short_set), shorten(s, e->arg[1], scale, set, short_set));
    if (e->op == EX_mul && e->arg[1]->op == EX_const) return shorten(s, e->arg[0], scale * e->arg[1]->imm, set, short_set);
    int64_t value = e->op == EX_const ? scale * e->imm : scale, sets = value / set, rest = value % set;
    if (e->op == EX_const) return ex_int(prog, DT_index, sets * short_set + rest);
    return ex_binary(prog, EX_mul, e, ex_int(prog, DT_index, rest == 0 ? sets * short_set : scale));
}

static ex short_index(const struct shortening *s, const struct buffer *formal, ex index)
{
    int64_t row = s->rows->step[formal->position];
    return shorten(s, index, 1, row * s->rows->rows, row * s->n);
}

static bool is_short(const struct shortening *s, const struct buffer *buf)
{
    return buf && buf->space == SPACE_PARAM && s->short_param[buf->position];
}

static ex short_load(void *context, ex e)
{
    const struct shortening *s = context;
    if (e->op != EX_load || !is_short(s, e->buf)) return e;
    ex args[3] = {short_index(s, e->buf, e->arg[0]), e->arg[1], e->arg[2]};
    return ex_rebuild(s->prog, e, args);
}

static void short_stores(const struct shortening *s, struct stmt *list)
{
    for (; list; list = list->next) {
        if (list->kind == STMT_STORE && is_short(s, list->buf)) list->a = short_index(s, list->buf, list->a);
        short_stores(s, list->body);
        short_stores(s, list->other);
    }
}

static void copy_params(struct rewriter *r, const struct shortening *s, struct kernel *to)
{
    const struct kernel *kernel = s->rows->kernel;
    for (int i = 0; i < kernel->params.n; i++) {
        const struct buffer *from = kernel->params.at[i];
        int64_t step = s->rows->step[i], n = s->n, rows = s->rows->rows;
        dim elements = dim_sub(r->to->dims, from->elements, (rows - n) * step);
        if (s->short_param[i]) elements = row_elements(s->rows, i, n);
        struct buffer *formal = kernel_param(r->to, to, from->name, from->dt, elements);
        formal->written = from->written;
        formal->type = row_type(&from->type, rows, step, n);
        formal->place = from->place;
        to->bytes += (double)dim_lo(r->to->dims, elements) * (double)dtype_bytes(from->dt);
        map_put(r->to->arena, &r->buffers, from, formal);
    }
}

/* The loops around everything, the row loop shorter; of one row none. */
static struct stmt *copy_loops(struct rewriter *r, const struct shortening *s, const struct stmt *loop)
{
    bool is_rows = loop == s->rows->loop;
    if (is_rows && s->n == 1) {
        rewrite_bind(r, loop->var, ex_int(r->to, DT_index, 0));
        return rewrite_list(r, loop->body);
    }
    struct stmt *to = stmt_new(r->to, STMT_FOR);
    to->loop = loop->loop;
    to->step = loop->step;
    to->place = loop->place;
    to->a = rewrite_expr(r, loop->a);
    to->b = is_rows ? ex_int(r->to, DT_index, s->n) : rewrite_expr(r, loop->b);
    if (is_rows) {
        to->var = prog_index(r->to, loop->var->name, 0, s->n - 1);
        rewrite_bind(r, loop->var, ex_var(r->to, to->var));
    } else {
        to->var = rewrite_define(r, loop->var);
    }
    to->body = is_rows ? rewrite_list(r, loop->body) : copy_loops(r, s, loop->body);
    return to;
}

struct kernel *strip_kernel(struct prog *prog, const struct row_loop *rows, int64_t n, const bool *short_param)
{
    const struct kernel *kernel = rows->kernel;
    struct kernel *to = prog_kernel(prog, arena_printf(prog->arena, "%s_strip", kernel->name));
    struct rewriter *r = rewriter_new(prog);
    struct shortening s = {.prog = prog, .rows = rows, .n = n, .short_param = short_param};
    double share = (double)n / (double)rows->rows;
    to->layers = kernel->layers;
    to->flops = kernel->flops * share;
    to->direct_flops = kernel->direct_flops * share;
    to->place = kernel->place;
    copy_params(r, &s, to);
    for (int i = 0; i < kernel->scalars.n; i++) LIST_PUSH(prog->arena, &to->scalars, rewrite_define(r, kernel->scalars.at[i]));
    r->hook = short_load;
    r->context = &s;
    to->body = copy_loops(r, &s, kernel->body);
    short_stores(&s, to->body);
    return to;
}
