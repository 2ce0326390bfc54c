/* A contraction's kernel by groups of lanes.
 *
 *   for group { for lane {
 *     reg acc = 0 ...                                          high*wide, in vectors
 *     for k in 0..K step 16 {
 *       barrier                                                nobody reads what was there any more
 *       store a[..] = x[..]   store b[..] = w[..]              a part by each lane, contiguous where they are
 *       barrier
 *       for k2 in 0..16 { set acc = acc + a[..]*b[..] ... }
 *     }
 *     if row < M { store y[..] = acc }
 *   } }
 *
 * The body is written once for a row, a vector of columns and a term, and jammed for a lane's part (loops.h). In ragged
 * tiles rows and columns past the end are copied from the last one, computed and not stored: no condition in
 * the sums. Terms that do not fill a step are a last, shorter one. What a group shares: group.h.
 */
#include "group_inside.h"
#include "tile.h"

ex tiler_number(struct tiler *t, int64_t v)
{
    return ex_int(t->prog, DT_index, v);
}

ex tiler_plus(struct tiler *t, ex a, ex b)
{
    return ex_binary(t->prog, EX_add, a, b);
}

ex tiler_times(struct tiler *t, ex a, int64_t b)
{
    return ex_binary(t->prog, EX_mul, a, tiler_number(t, b));
}

static ex over(struct tiler *t, ex a, dim b)
{
    return ex_binary(t->prog, EX_div, a, ex_dim(t->prog, b));
}

static ex modulo(struct tiler *t, ex a, dim b)
{
    return ex_binary(t->prog, EX_mod, a, ex_dim(t->prog, b));
}

ex tiler_of(struct tiler *t, struct var *var)
{
    return ex_var(t->prog, var);
}

static struct var *name(struct tiler *t, struct stmt **list, const char *word, dim most, ex value)
{
    struct var *var = prog_index(t->prog, word, 0, most);
    stmt_append(list, stmt_let(t->prog, var, value, false));
    return var;
}

/* Binds the axes for a flat index, which counts the last axis in units of `unit`, and `rest` of it. */
static void bind_axes(struct tiler *t, struct rewriter *r, const struct group_axes *axes, ex flat, int unit, ex rest)
{
    for (int i = axes->n - 1; i >= 0; i--) {
        const struct axis *axis = &t->c->nest->axis[axes->axis[i]];
        bool last = i == axes->n - 1;
        dim extent = last && unit > 1 ? dim_div(t->prog->dims, axis->extent, unit) : axis->extent;
        ex at = i ? modulo(t, flat, extent) : flat;
        if (last) at = tiler_plus(t, tiler_times(t, at, unit), rest);
        rewrite_bind(r, axis->var, at);
        if (i) flat = over(t, flat, extent);
    }
}

static void bind_batch(struct tiler *t, struct rewriter *r)
{
    for (int i = 0; i < t->c->batch.n; i++)
        rewrite_bind(r, t->c->nest->axis[t->c->batch.axis[i]].var, tiler_of(t, t->batch[i]));
}

/* ---- copying ---- */

struct copying { /* of an operand's tile for one step */
    const struct staged *staged;
    int64_t depth, width, distance;
    bool along, across; /* vectors along the terms, across them (along rows or columns) */
    int lanes;
};

static bool whole_units(const struct tiler *t, const struct group_axes *axes, int unit)
{
    dim extent = t->c->nest->axis[axes->axis[axes->n - 1]].extent;
    return dim_is_const(extent) && extent % unit == 0;
}

static struct copying copying_of(struct tiler *t, int i, int64_t depth)
{
    const struct staged *staged = &t->c->staged[i];
    const struct group_axes *axes = staged->by_row ? &t->c->rows : &t->c->columns;
    struct copying k = {.staged = staged, .depth = depth, .width = staged->by_row ? t->plan->rows : t->plan->columns, .lanes = 1};
    bool beside = loopnest_stride(staged->access, t->c->sum[t->c->n_sums - 1]) == 1, vectors = t->c->lanes > 1;
    bool next = loopnest_stride(staged->access, axes->axis[axes->n - 1]) == 1;
    k.distance = group_distance(t->c, staged, t->plan);
    k.along = vectors && beside && depth % 4 == 0;
    k.across = vectors && !k.along && next && k.width % 4 == 0 && whole_units(t, axes, 4);
    if (k.along || k.across) k.lanes = 4;
    else k.across = next; /* neighbouring lanes copy neighbouring elements, one by one */
    return k;
}

/* The operand's subscript for an element of the tile and a term: what the loops of sums do not change. */
static ex source(struct tiler *t, const struct copying *k, ex element, ex term)
{
    const struct contraction *c = t->c;
    const struct group_axes *axes = k->staged->by_row ? &c->rows : &c->columns;
    struct rewriter *r = rewriter_new(t->prog);
    int unit = k->across && k->lanes > 1 ? k->lanes : 1;
    ex first = k->staged->by_row ? tiler_of(t, t->first_row) : tiler_times(t, tiler_of(t, t->first_vector), c->lanes);
    dim extent = unit > 1 ? dim_div(t->prog->dims, axes->extent, unit) : axes->extent;
    ex flat = tiler_plus(t, over(t, first, unit), element);
    if (!dim_is_const(axes->extent) || axes->extent % k->width)
        flat = ex_binary(t->prog, EX_min, flat, ex_dim(t->prog, dim_sub(t->prog->dims, extent, 1)));
    bind_batch(t, r);
    bind_axes(t, r, axes, flat, unit, tiler_number(t, 0));
    for (int i = 0; i < c->n_sums; i++) rewrite_bind(r, c->nest->axis[c->sum[i]].var, i == c->n_sums - 1 ? term : tiler_number(t, 0));
    return rewrite_expr(r, k->staged->access->index);
}

/* One vector of every lane. from: the step's first term. */
static struct stmt *copy_piece(struct tiler *t, int i, const struct copying *k, int64_t piece, ex from)
{
    const struct contraction *c = t->c;
    const struct access *access = k->staged->access;
    int64_t n = k->width * k->depth / k->lanes, units = k->across ? k->width / k->lanes : k->depth / k->lanes;
    ex item = tiler_plus(t, tiler_of(t, t->lane), tiler_number(t, piece * t->n_lanes));
    ex fast = modulo(t, item, units), slow = over(t, item, units), element = k->across ? fast : slow;
    ex term = k->across ? slow : tiler_times(t, fast, k->lanes);
    struct var *base = prog_var(t->prog, "at", DT_index, 1);
    stmt_append(&t->head, stmt_let(t->prog, base, source(t, k, element, term), false));
    ex at = tiler_of(t, base);
    for (int s = 0; s < c->n_sums; s++) {
        ex by = s == c->n_sums - 1 ? from : tiler_of(t, t->sum[s]);
        at = tiler_plus(t, at, ex_binary(t->prog, EX_mul, by, ex_dim(t->prog, access->coef[c->sum[s]])));
    }
    ex value = ex_load(t->prog, access->buf, access->buf->dt, at, k->lanes, 1);
    ex to = tiler_plus(t, tiler_times(t, term, k->distance), k->across ? tiler_times(t, element, k->lanes) : element);
    struct stmt *store = stmt_store(t->prog, t->shared[i], to, value, k->along ? k->distance : 1, NULL);
    if ((piece + 1) * t->n_lanes <= n) return store;
    struct stmt *own = stmt_new(t->prog, STMT_IF);
    own->a = ex_binary(t->prog, EX_lt, item, tiler_number(t, n));
    own->body = store;
    return own;
}

static struct stmt *copy_step(struct tiler *t, int64_t depth, ex from)
{
    struct stmt *list = stmt_new(t->prog, STMT_BARRIER);
    for (int i = 0; i < t->c->n_staged; i++) {
        struct copying k = copying_of(t, i, depth);
        int64_t n = k.width * k.depth / k.lanes;
        for (int64_t piece = 0; piece * t->n_lanes < n; piece++) stmt_append(&list, copy_piece(t, i, &k, piece, from));
    }
    stmt_append(&list, stmt_new(t->prog, STMT_BARRIER));
    return list;
}

/* ---- computing ---- */

/* A staged load becomes one of the group's array. */
static ex shared_load(void *context, ex e)
{
    struct tiler *t = context;
    for (int i = 0; i < t->c->n_staged; i++) {
        const struct staged *staged = &t->c->staged[i];
        if (staged->access->load != e) continue;
        ex at = tiler_times(t, tiler_of(t, t->term), group_distance(t->c, staged, t->plan));
        if (staged->by_row) at = tiler_plus(t, at, tiler_of(t, t->row));
        else at = tiler_plus(t, at, tiler_plus(t, tiler_times(t, tiler_of(t, t->vector), t->c->lanes), tiler_of(t, t->across)));
        return ex_load(t->prog, t->shared[i], e->dt, at, 1, 1);
    }
    return e;
}

struct rewriter *tiler_body(struct tiler *t, ex vector)
{
    struct rewriter *r = rewriter_new(t->prog);
    const struct contraction *c = t->c;
    bind_batch(t, r);
    bind_axes(t, r, &c->rows, tiler_plus(t, tiler_of(t, t->first_row), tiler_of(t, t->row)), 1, tiler_number(t, 0));
    bind_axes(t, r, &c->columns, vector, c->lanes, tiler_of(t, t->across));
    for (int i = 0; i < c->n_registers; i++) rewrite_bind(r, c->registers[i], tiler_of(t, t->narrow[i]));
    return r;
}

struct stmt *tiler_vector(struct tiler *t, struct stmt *list, ex count)
{
    ex neutral[GROUP_REGISTERS] = {NULL}; /* nothing is added under the count */
    struct lanes lanes = {.var = t->across, .base = tiler_number(t, 0), .lanes = t->c->lanes, .count = count,
                          .n_registers = t->c->n_registers, .from = t->narrow, .to = t->wide, .neutral = neutral};
    struct stmt *made;
    if (t->c->lanes == 1) return list;
    return loops_vectorize(t->prog, list, &lanes, &made) ? made : NULL;
}

struct stmt *tiler_jam(struct tiler *t, struct stmt *list)
{
    return loops_jam_with(t->prog, list, t->part, t->n_parts);
}

static struct stmt *start_registers(struct tiler *t)
{
    struct stmt *list = NULL;
    int i = 0;
    for (const struct stmt *s = t->c->start; s != t->c->loop; s = s->next, i++)
        stmt_append(&list, stmt_let(t->prog, t->wide[i], ex_splat(t->prog, t->slice ? t->c->neutral[i] : s->a, t->c->lanes), true));
    return tiler_jam(t, list);
}

/* A step of `depth` terms from `from` on; NULL where there are no lanes. */
static struct stmt *make_step(struct tiler *t, int64_t depth, ex from)
{
    const struct contraction *c = t->c;
    struct rewriter *r = tiler_body(t, tiler_plus(t, tiler_of(t, t->first_vector), tiler_of(t, t->vector)));
    r->hook = shared_load;
    r->context = t;
    t->term = prog_index(t->prog, "term", 0, depth - 1);
    for (int i = 0; i < c->n_sums; i++)
        rewrite_bind(r, c->nest->axis[c->sum[i]].var, i == c->n_sums - 1 ? tiler_plus(t, from, tiler_of(t, t->term)) : tiler_of(t, t->sum[i]));
    struct stmt *body = tiler_vector(t, rewrite_list(r, c->inner), NULL);
    if (!body) return NULL;
    struct stmt *loop = stmt_for(t->prog, t->term, tiler_number(t, 0), tiler_number(t, depth), 1, tiler_jam(t, body));
    loop = reduce_unroll(t->prog, loop, UNROLL);
    loops_use_fma(t->prog, loop);
    struct stmt *list = copy_step(t, depth, from);
    stmt_append(&list, loop);
    return list;
}

/* The loops of sums; NULL where there are no lanes. */
static struct stmt *make_sums(struct tiler *t)
{
    const struct contraction *c = t->c;
    const struct axis *inner = &c->nest->axis[c->sum[c->n_sums - 1]];
    int64_t whole = inner->extent / t->plan->step * t->plan->step;
    struct stmt *list = NULL, *step;
    for (int i = 0; i < c->n_sums - 1; i++)
        t->sum[i] = prog_index(t->prog, c->nest->axis[c->sum[i]].var->name, 0, c->nest->axis[c->sum[i]].extent - 1);
    if (whole > t->plan->step) {
        struct var *from = prog_index(t->prog, inner->var->name, 0, whole - t->plan->step);
        if (!(step = make_step(t, t->plan->step, tiler_of(t, from)))) return NULL;
        list = stmt_for(t->prog, from, tiler_number(t, 0), tiler_number(t, whole), t->plan->step, step);
    } else if (whole > 0) {
        if (!(list = make_step(t, t->plan->step, tiler_number(t, 0)))) return NULL;
    }
    if (whole < inner->extent) {
        if (!(step = make_step(t, inner->extent - whole, tiler_number(t, whole)))) return NULL;
        stmt_append(&list, step);
    }
    for (int i = c->n_sums - 2; i >= 0; i--)
        list = stmt_for(t->prog, t->sum[i], tiler_number(t, 0), ex_dim(t->prog, c->nest->axis[c->sum[i]].extent), 1, list);
    return list;
}

/* What follows the sums, for the rows and columns that there are; NULL where there are no lanes. */
static struct stmt *make_end(struct tiler *t)
{
    const struct contraction *c = t->c;
    struct rewriter *r = tiler_body(t, tiler_plus(t, tiler_of(t, t->first_vector), tiler_of(t, t->vector)));
    dim m = c->rows.extent, n = c->columns.extent;
    bool ragged_rows = !dim_is_const(m) || m % t->plan->rows, ragged_columns = !dim_is_const(n) || n % t->plan->columns;
    ex column = tiler_times(t, tiler_plus(t, tiler_of(t, t->first_vector), tiler_of(t, t->vector)), c->lanes), count = NULL, condition = NULL;
    if (!dim_is_const(n) || n % c->lanes)
        count = ex_binary(t->prog, EX_min, ex_binary(t->prog, EX_sub, ex_dim(t->prog, n), column), tiler_number(t, c->lanes));
    struct stmt *list = tiler_vector(t, rewrite_list(r, c->end), count);
    if (!list) return NULL;
    if (ragged_rows) condition = ex_binary(t->prog, EX_lt, tiler_plus(t, tiler_of(t, t->first_row), tiler_of(t, t->row)), ex_dim(t->prog, m));
    if (ragged_columns) {
        ex inside = ex_binary(t->prog, EX_lt, column, ex_dim(t->prog, n));
        condition = condition ? ex_binary(t->prog, EX_and, condition, inside) : inside;
    }
    if (t->slice) {
        ex own = ex_binary(t->prog, EX_eq, tiler_of(t, t->slice), tiler_number(t, 0));
        condition = condition ? ex_binary(t->prog, EX_and, own, condition) : own;
    }
    if (!condition) return tiler_jam(t, list);
    struct stmt *own = stmt_new(t->prog, STMT_IF);
    own->a = condition;
    own->body = list;
    return tiler_jam(t, own);
}

/* ---- the kernel ---- */

static void make_names(struct tiler *t)
{
    const struct contraction *c = t->c;
    struct prog *prog = t->prog;
    t->row = prog_index(prog, "row", 0, t->plan->rows - 1);
    t->vector = prog_index(prog, "vector", 0, t->plan->columns / c->lanes - 1);
    t->across = prog_index(prog, "across", 0, c->lanes - 1);
    for (int i = 0; i < c->n_registers; i++) {
        t->narrow[i] = prog_var(prog, c->registers[i]->name, c->registers[i]->dt, 1);
        t->wide[i] = c->lanes == 1 ? t->narrow[i] : prog_var(prog, c->registers[i]->name, c->registers[i]->dt, c->lanes);
    }
    for (int i = 0; i < c->n_staged && !t->slice; i++) {
        const struct buffer *buf = c->staged[i].access->buf;
        t->shared[i] = prog_buffer(prog, arena_printf(prog->arena, "%s_tile", buf->name), buf->dt, SPACE_GROUP,
                                   t->plan->step * group_distance(c, &c->staged[i], t->plan));
    }
}

/* Which rows and columns a lane computes: rows one after the other, since lanes read them together; vectors as far
 * apart as lanes go, so that neighbouring lanes read and write neighbouring ones. */
static void make_parts(struct tiler *t)
{
    int across = t->plan->columns / t->plan->wide, vectors = t->plan->wide / t->c->lanes;
    for (int i = 0; i < t->plan->high; i++)
        for (int k = 0; k < vectors; k++) {
            struct rewriter *r = t->part[t->n_parts++] = rewriter_new(t->prog);
            rewrite_bind(r, t->row, tiler_plus(t, tiler_times(t, tiler_of(t, t->lane_row), t->plan->high), tiler_number(t, i)));
            rewrite_bind(r, t->vector, tiler_plus(t, tiler_of(t, t->lane_column), tiler_number(t, (int64_t)k * across)));
        }
}

/* The tile that is the group's: lets over its number. */
static struct stmt *make_place(struct tiler *t, struct var *group, dim tall, dim broad)
{
    const struct contraction *c = t->c;
    struct dims *dims = t->prog->dims;
    struct stmt *list = NULL;
    int vectors = t->plan->columns / c->lanes;
    ex tile = tiler_of(t, group), batch = over(t, tile, dim_mul(dims, tall, broad));
    t->first_row = name(t, &list, "first_row", dim_mul(dims, dim_sub(dims, tall, 1), t->plan->rows),
                        tiler_times(t, modulo(t, over(t, tile, broad), tall), t->plan->rows));
    t->first_vector = name(t, &list, "first_vector", dim_mul(dims, dim_sub(dims, broad, 1), vectors), tiler_times(t, modulo(t, tile, broad), vectors));
    for (int i = c->batch.n - 1; i >= 0; i--) {
        const struct axis *axis = &c->nest->axis[c->batch.axis[i]];
        t->batch[i] = name(t, &list, axis->var->name, dim_sub(dims, axis->extent, 1), i ? modulo(t, batch, axis->extent) : batch);
        batch = over(t, batch, axis->extent);
    }
    return list;
}

struct stmt *group_tile(const struct contraction *c, const struct group_plan *plan)
{
    struct prog *prog = c->nest->prog;
    struct dims *dims = prog->dims;
    struct tiler *t = NEW(prog->arena, struct tiler);
    int across = plan->columns / plan->wide;
    *t = (struct tiler){.c = c, .plan = plan, .prog = prog, .n_lanes = plan->rows / plan->high * across * plan->slices};
    int each = t->n_lanes / plan->slices; /* lanes of a slice */
    dim tall = dim_ceil_div(dims, c->rows.extent, plan->rows), broad = dim_ceil_div(dims, c->columns.extent, plan->columns);
    dim groups = dim_mul(dims, c->batch.extent, dim_mul(dims, tall, broad));
    struct var *group = prog_index(prog, "group", 0, dim_sub(dims, groups, 1));
    struct stmt *body = make_place(t, group, tall, broad);
    t->lane = prog_index(prog, "lane", 0, t->n_lanes - 1);
    if (plan->slices > 1) t->slice = name(t, &t->head, "slice", plan->slices - 1, over(t, tiler_of(t, t->lane), each));
    make_names(t);
    t->lane_row = name(t, &t->head, "lane_row", plan->rows / plan->high - 1, modulo(t, over(t, tiler_of(t, t->lane), across), plan->rows / plan->high));
    t->lane_column = name(t, &t->head, "lane_column", across - 1, modulo(t, tiler_of(t, t->lane), across));
    make_parts(t);
    struct stmt *registers = start_registers(t), *sums = t->slice ? slices_sums(t) : make_sums(t), *end = sums ? make_end(t) : NULL;
    if (!end) return NULL;
    stmt_append(&t->head, registers);
    stmt_append(&t->head, sums);
    stmt_append(&t->head, end);
    struct stmt *lanes = stmt_for(prog, t->lane, tiler_number(t, 0), tiler_number(t, t->n_lanes), 1, t->head);
    lanes->loop = LOOP_LANE0;
    stmt_append(&body, lanes);
    struct stmt *loop = stmt_for(prog, group, tiler_number(t, 0), ex_dim(prog, groups), 1, body);
    loop->loop = LOOP_GROUP0;
    return loop;
}
