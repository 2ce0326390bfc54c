/* Sums of a contraction that lanes divide: few rows and a long sum, as in decoding.
 *
 *   for k in 0..K { set acc = acc + x[k]*w[k, j..4] }
 *      ->   for k in 0..K step 4*32 { for term in 0..4 { set acc = acc + x[k + 32*term + slice]*w[.., j..4] } }
 *           store part[lane] = acc  barrier
 *           if slice < 16 { store part[lane] = part[lane] + part[lane + 16*each] }  barrier  ... 8, 4, 2, 1
 *           set acc = 0 + part[lane]                         the first slice goes on
 *
 * Slices take terms in turn, so that lanes side by side read what is side by side. The order of a sum is the plan's.
 */
#include "group_inside.h"
#include "tile.h"

enum { UNROLL_SLICES = 64 };

/* The lane's vector of columns, past the end the last one; *count: how many columns of it there are, NULL: all. */
static ex last_vector(struct tiler *t, ex *count)
{
    struct dims *dims = t->prog->dims;
    dim n = t->c->columns.extent, last = dim_sub(dims, dim_ceil_div(dims, n, t->c->lanes), 1);
    ex vector = tiler_plus(t, tiler_of(t, t->first_vector), tiler_of(t, t->vector));
    *count = NULL;
    if (!dim_is_const(n) || n % t->plan->columns) vector = ex_binary(t->prog, EX_min, vector, ex_dim(t->prog, last));
    if (!dim_is_const(n) || n % t->c->lanes)
        *count = ex_binary(t->prog, EX_min, ex_binary(t->prog, EX_sub, ex_dim(t->prog, n), tiler_times(t, vector, t->c->lanes)),
                           tiler_number(t, t->c->lanes));
    return vector;
}

/* `terms` terms from `from` on for every slice. */
static struct stmt *slice_terms(struct tiler *t, ex from, int terms, struct stmt *(*around)(struct tiler *t, struct stmt *body))
{
    const struct contraction *c = t->c;
    ex count, vector = last_vector(t, &count);
    struct rewriter *r = tiler_body(t, vector);
    t->term = prog_index(t->prog, "term", 0, terms - 1);
    ex at = tiler_plus(t, from, tiler_times(t, tiler_of(t, t->term), t->plan->slices));
    for (int i = 0; i < c->n_sums; i++) rewrite_bind(r, c->nest->axis[c->sum[i]].var, i == c->n_sums - 1 ? at : tiler_of(t, t->sum[i]));
    struct stmt *body = tiler_vector(t, rewrite_list(r, c->inner), count);
    return body ? around(t, tiler_jam(t, body)) : NULL;
}

static struct stmt *all_terms(struct tiler *t, struct stmt *body)
{
    struct stmt *loop = stmt_for(t->prog, t->term, tiler_number(t, 0), tiler_number(t, t->plan->step), 1, body);
    return reduce_unroll(t->prog, loop, UNROLL_SLICES);
}

static struct stmt *one_term(struct tiler *t, struct stmt *body)
{
    (void)t;
    return body;
}

/* The loops of sums for a slice; NULL where there are no lanes. */
static struct stmt *slice_loops(struct tiler *t)
{
    const struct contraction *c = t->c;
    const struct axis *inner = &c->nest->axis[c->sum[c->n_sums - 1]];
    int64_t turn = (int64_t)t->plan->step * t->plan->slices, whole = inner->extent / turn * turn;
    struct stmt *list = NULL, *body;
    ex slice = tiler_of(t, t->slice);
    for (int i = 0; i < c->n_sums - 1; i++)
        t->sum[i] = prog_index(t->prog, c->nest->axis[c->sum[i]].var->name, 0, c->nest->axis[c->sum[i]].extent - 1);
    if (whole > 0) {
        struct var *from = prog_index(t->prog, inner->var->name, 0, whole - turn);
        if (!(body = slice_terms(t, tiler_plus(t, tiler_of(t, from), slice), t->plan->step, all_terms))) return NULL;
        list = stmt_for(t->prog, from, tiler_number(t, 0), tiler_number(t, whole), turn, body);
    }
    if (whole < inner->extent) {
        struct var *at = prog_index(t->prog, inner->var->name, whole, inner->extent - 1);
        if (!(body = slice_terms(t, tiler_of(t, at), 1, one_term))) return NULL;
        ex first = tiler_plus(t, tiler_number(t, whole), slice);
        stmt_append(&list, stmt_for(t->prog, at, first, tiler_number(t, inner->extent), t->plan->slices, body));
    }
    for (int i = c->n_sums - 2; i >= 0; i--)
        list = stmt_for(t->prog, t->sum[i], tiler_number(t, 0), ex_dim(t->prog, c->nest->axis[c->sum[i]].extent), 1, list);
    loops_use_fma(t->prog, list);
    return list;
}

struct parts { /* of one register: an array for all parts of all lanes */
    struct buffer *buf;
    ex at[PARTS_MOST];
};

static ex part_load(struct tiler *t, const struct parts *parts, int p, int64_t ahead)
{
    return ex_load(t->prog, parts->buf, parts->buf->dt, tiler_plus(t, parts->at[p], tiler_number(t, ahead)), t->c->lanes, 1);
}

static struct parts register_parts(struct tiler *t, int i)
{
    int64_t vectors = t->n_lanes * (int64_t)t->c->lanes;
    struct parts parts = {.buf = prog_buffer(t->prog, "part", t->wide[i]->dt, SPACE_GROUP, vectors * t->n_parts)};
    for (int p = 0; p < t->n_parts; p++)
        parts.at[p] = tiler_plus(t, tiler_times(t, tiler_of(t, t->lane), t->c->lanes), tiler_number(t, p * vectors));
    return parts;
}

/* Halves of the slices are put together until one is left. */
static void add_tree(struct tiler *t, struct stmt **list)
{
    const struct contraction *c = t->c;
    struct parts parts[GROUP_REGISTERS];
    int64_t each = t->n_lanes / t->plan->slices;
    for (int i = 0; i < c->n_registers; i++) {
        parts[i] = register_parts(t, i);
        for (int p = 0; p < t->n_parts; p++)
            stmt_append(list, stmt_store(t->prog, parts[i].buf, parts[i].at[p], rewrite_expr(t->part[p], tiler_of(t, t->wide[i])), 1, NULL));
    }
    stmt_append(list, stmt_new(t->prog, STMT_BARRIER));
    for (int64_t half = t->plan->slices / 2; half >= 1; half /= 2) {
        struct stmt *own = stmt_new(t->prog, STMT_IF);
        own->a = ex_binary(t->prog, EX_lt, tiler_of(t, t->slice), tiler_number(t, half));
        for (int i = 0; i < c->n_registers; i++)
            for (int p = 0; p < t->n_parts; p++) {
                ex sum = ex_binary(t->prog, c->op[i], part_load(t, &parts[i], p, 0), part_load(t, &parts[i], p, half * each * c->lanes));
                stmt_append(&own->body, stmt_store(t->prog, parts[i].buf, parts[i].at[p], sum, 1, NULL));
            }
        stmt_append(list, own);
        stmt_append(list, stmt_new(t->prog, STMT_BARRIER));
    }
    const struct stmt *start = c->start;
    for (int i = 0; i < c->n_registers; i++, start = start->next)
        for (int p = 0; p < t->n_parts; p++) {
            ex first = ex_splat(t->prog, start->a, c->lanes), sum = ex_binary(t->prog, c->op[i], first, part_load(t, &parts[i], p, 0));
            stmt_append(list, stmt_set(t->prog, rewrite_var(t->part[p], t->wide[i]), sum));
        }
}

struct stmt *slices_sums(struct tiler *t)
{
    struct stmt *list = slice_loops(t);
    if (list) add_tree(t, &list);
    return list;
}
