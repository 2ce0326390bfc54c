/* Reads a loop nest: axes, accesses, strides, independence.
 *
 * The chain is the longest run of loops each of which is the whole body of the one around it. Its iterations are
 * independent when every store goes to a different element in each of them, proved by the strides: sorted, each
 * stride is at least the span of all smaller ones (mixed radix); and when no buffer is both stored to and loaded,
 * except at the very subscript of the store.
 */
#include "loopnest.h"

struct reading {
    struct loopnest *nest;
    struct arena *scratch;
    struct pointer_map seen; /* expressions of the statement at hand */
    double weight;
    int depth;
    int conversions; /* of the statement at hand */
};

int64_t loopnest_stride(const struct access *access, int axis)
{
    bool plain = access->known[axis] && dim_is_const(access->coef[axis]);
    return plain ? access->coef[axis] : STRIDE_UNKNOWN;
}

static void add_axis(struct loopnest *nest, const struct stmt *loop, bool reduction, int depth)
{
    if (nest->n_axes == AXES_MOST) {
        nest->too_big = true;
        return;
    }
    struct axis *axis = &nest->axis[nest->n_axes++];
    *axis = (struct axis){.var = loop->var, .lo = loop->a, .hi = loop->b, .extent = -1, .trips = 16,
                          .reduction = reduction, .depth = depth};
    ex extent = ex_binary(nest->prog, EX_sub, loop->b, loop->a);
    if (extent->op != EX_const && extent->op != EX_dim) return;
    axis->extent = extent->imm;
    if (dim_is_const(axis->extent)) {
        axis->trips = axis->extent > 0 ? (double)axis->extent : 0;
    } else {
        int64_t low = dim_lo(nest->prog->dims, axis->extent), high = dim_hi(nest->prog->dims, axis->extent);
        axis->trips = (double)(high < 64 ? high : low > 64 ? low : 64);
    }
}

static void add_access(struct reading *reading, struct access access)
{
    struct loopnest *nest = reading->nest;
    access.weight = reading->weight;
    LIST_PUSH(nest->prog->arena, &nest->accesses, access);
}

/* var == number: the axis' iterations differ in what they compute. */
static void note_case(struct loopnest *nest, ex e)
{
    for (int a = 0; a < nest->n_chain; a++)
        if (e->arg[0]->op == EX_var && e->arg[0]->var == nest->axis[a].var && ex_is_const(e->arg[1]))
            nest->axis[a].cases = dim_is_const(nest->axis[a].extent) && nest->axis[a].extent <= CASES_MOST;
}

static void read_expr(struct reading *reading, ex e)
{
    if (!e || e->op == EX_const || e->op == EX_dim || e->op == EX_var || map_get(&reading->seen, e)) return;
    map_put(reading->scratch, &reading->seen, e, e);
    struct loopnest *nest = reading->nest;
    if (e->op == EX_load)
        add_access(reading, (struct access){.buf = e->buf, .load = e, .index = e->arg[0], .guard = e->arg[1],
                                            .guarded = e->arg[1] != NULL});
    if (e->op == EX_eq && e->arg[0]->dt == DT_index) note_case(nest, e);
    if (e->dt != DT_index && e->op != EX_load) nest->operations += expr_row(e->op)->cost * reading->weight;
    if (expr_is_dot(e->op)) nest->dots += reading->weight, nest->dot = e->op;
    bool converts = e->op == EX_cast && dtype_is_float(e->dt) && (e->arg[0]->op == EX_and || e->arg[0]->op == EX_shr) && reading->depth > 0;
    if (converts && ++reading->conversions > nest->conversions) nest->conversions = reading->conversions;
    if (e->dt != DT_index && e->dt != DT_bool && dtype_bytes(e->dt) > nest->element_bytes)
        nest->element_bytes = (int)dtype_bytes(e->dt);
    for (int i = 0; i < 3; i++) read_expr(reading, e->arg[i]);
}

static void read_list(struct reading *reading, const struct stmt *list)
{
    struct loopnest *nest = reading->nest;
    for (; list; list = list->next) {
        reading->seen = (struct pointer_map){.n = 0};
        reading->conversions = 0;
        nest->inner += reading->weight;
        if (list->kind == STMT_LET && list->mutable && reading->depth == 0) nest->n_registers++;
        if (list->kind == STMT_STORE) {
            add_access(reading, (struct access){.store = true, .buf = list->buf, .index = list->a});
            if (dtype_bytes(list->buf->dt) > nest->element_bytes) nest->element_bytes = (int)dtype_bytes(list->buf->dt);
        }
        if (list->kind == STMT_FOR) {
            double weight = reading->weight;
            add_axis(nest, list, true, reading->depth);
            if (nest->too_big) return;
            reading->weight *= nest->axis[nest->n_axes - 1].trips;
            reading->depth++;
            read_list(reading, list->body);
            reading->depth--;
            reading->weight = weight;
            continue;
        }
        read_expr(reading, list->a);
        read_expr(reading, list->b);
        read_expr(reading, list->c);
        read_list(reading, list->body);
        read_list(reading, list->other);
    }
}

static void find_strides(struct loopnest *nest, struct access *access)
{
    access->affine = true;
    for (int i = 0; i < nest->n_axes; i++) {
        ex rest;
        access->known[i] = ex_affine(nest->prog, access->index, nest->axis[i].var, &access->coef[i], &rest);
        access->affine &= access->known[i];
    }
}

/* Whether different iterations store to different elements. */
static bool is_injective(const struct loopnest *nest, const struct access *store)
{
    struct dims *dims = nest->prog->dims;
    bool used[AXES_MOST] = {false};
    dim span = 1; /* elements from the least to the most index of the axes taken so far, plus one */
    for (int round = 0; round < nest->n_axes; round++) {
        int least = -1;
        for (int i = nest->n_axes - 1; i >= 0; i--) { /* inner loops first: mostly the smaller strides */
            if (used[i] || !store->known[i] || (i >= nest->n_chain && store->coef[i] == 0)) continue;
            bool smaller = least >= 0 && store->coef[i] != store->coef[least] &&
                           dim_le(dims, store->coef[i], store->coef[least]);
            if (least < 0 || smaller) least = i;
        }
        if (least < 0) break;
        used[least] = true;
        dim stride = store->coef[least], extent = nest->axis[least].extent;
        if (!dim_le(dims, span, stride) || extent == -1) return false;
        span = dim_add(dims, span, dim_mul(dims, stride, dim_sub(dims, extent, 1)));
    }
    for (int i = 0; i < nest->n_chain; i++)
        if (!used[i]) return false;
    return true;
}

static bool has_control(const struct stmt *list)
{
    for (; list; list = list->next) {
        if (list->kind == STMT_WHILE || list->kind == STMT_CALL || list->kind == STMT_BARRIER) return true;
        if (list->kind == STMT_STORE && buffer_is_array(list->buf)) return true;
        if (has_control(list->body) || has_control(list->other)) return true;
    }
    return false;
}

static bool is_parallel(const struct loopnest *nest)
{
    if (has_control(nest->body)) return false;
    for (int i = 0; i < nest->accesses.n; i++) {
        const struct access *store = &nest->accesses.at[i];
        if (!store->store) continue;
        if (!store->affine || !is_injective(nest, store)) return false;
        for (int k = 0; k < nest->accesses.n; k++) {
            const struct access *other = &nest->accesses.at[k];
            if (k != i && other->buf == store->buf && (other->store || other->index != store->index)) return false;
        }
    }
    return true;
}

void loopnest_analyze(struct prog *prog, struct stmt *loop, struct loopnest *nest)
{
    *nest = (struct loopnest){.prog = prog, .element_bytes = 1, .dot = EX_COUNT};
    struct stmt *body = loop;
    while (body && body->kind == STMT_FOR && !body->next && body->step == 1 && !nest->too_big) {
        add_axis(nest, body, false, 0);
        body = body->body;
    }
    nest->n_chain = nest->n_axes;
    nest->body = body;
    if (nest->too_big) return;
    struct reading reading = {.nest = nest, .scratch = arena_new(), .weight = 1};
    read_list(&reading, body);
    arena_free(reading.scratch);
    if (nest->too_big) return;
    for (int i = 0; i < nest->accesses.n; i++) find_strides(nest, &nest->accesses.at[i]);
    nest->parallel = is_parallel(nest);
}

/* Collapsing. Every maximal index expression in which one of the two variables occurs must be affine in both with
 * coef(outer) == coef(inner)*extent(inner). */
struct pair {
    struct prog *prog;
    struct var *outer, *inner;
    dim extent;
    struct pointer_map seen;
};

static bool one_loop_index(struct pair *pair, ex e)
{
    dim outer, inner;
    ex rest, last;
    if (!ex_affine(pair->prog, e, pair->outer, &outer, &rest)) return false;
    if (!ex_affine(pair->prog, rest, pair->inner, &inner, &last)) return false;
    return outer == dim_mul(pair->prog->dims, inner, pair->extent);
}

static bool one_loop_expr(struct pair *pair, ex e)
{
    if (!e || e->op == EX_const || e->op == EX_dim || map_get(&pair->seen, e)) return true;
    map_put(pair->prog->arena, &pair->seen, e, e);
    if (e->dt == DT_index && e->lanes == 1) {
        if (one_loop_index(pair, e)) return true;
        if (e->op == EX_var || e->op == EX_add || e->op == EX_mul) return false;
    }
    return one_loop_expr(pair, e->arg[0]) && one_loop_expr(pair, e->arg[1]) && one_loop_expr(pair, e->arg[2]);
}

static bool one_loop(struct pair *pair, const struct stmt *list)
{
    for (; list; list = list->next) {
        if (!one_loop_expr(pair, list->a) || !one_loop_expr(pair, list->b) || !one_loop_expr(pair, list->c)) return false;
        for (int i = 0; i < list->n_args; i++)
            if (!one_loop_expr(pair, list->args[i].offset)) return false;
        for (int i = 0; i < list->n_scalars; i++)
            if (!one_loop_expr(pair, list->scalars[i])) return false;
        if (!one_loop(pair, list->body) || !one_loop(pair, list->other)) return false;
    }
    return true;
}

/* Merges loop with the loop that is its whole body, where they are one. */
static bool collapse_pair(struct prog *prog, struct stmt *loop)
{
    struct stmt *inner = loop->body;
    if (!inner || inner->kind != STMT_FOR || inner->next || loop->step != 1 || inner->step != 1) return false;
    if (!ex_is_int(loop->a, 0) || !ex_is_int(inner->a, 0)) return false;
    if ((loop->b->op != EX_const && loop->b->op != EX_dim) || (inner->b->op != EX_const && inner->b->op != EX_dim))
        return false;
    struct pair pair = {.prog = prog, .outer = loop->var, .inner = inner->var, .extent = inner->b->imm};
    if (!one_loop(&pair, inner->body)) return false;
    dim extent = dim_mul(prog->dims, loop->b->imm, inner->b->imm);
    struct var *var = prog_index(prog, inner->var->name, 0, dim_sub(prog->dims, extent, 1));
    struct rewriter *r = rewriter_new(prog);
    rewrite_bind(r, loop->var, ex_int(prog, DT_index, 0));
    rewrite_bind(r, inner->var, ex_var(prog, var));
    loop->var = var;
    loop->b = ex_dim(prog, extent);
    loop->body = rewrite_list(r, inner->body);
    return true;
}

void loopnest_collapse(struct prog *prog, struct stmt *loop)
{
    for (; loop; loop = loop->next) {
        if (loop->kind == STMT_FOR)
            while (collapse_pair(prog, loop)) continue;
        loopnest_collapse(prog, loop->body);
        loopnest_collapse(prog, loop->other);
    }
}
