/* Building loop nests from opened meanings.  See nest.h. */
#include "nest.h"

#include "lane.h"

#include <string.h>

void nest_start(struct nest *nest, struct prog *prog)
{
    nest->prog = prog;
    nest->n_levels = 1;
    nest->level[0] = (struct level){.var = NULL};
    nest->seen.n = 0;
    nest->all_stored = false;
}

/* The value has no memory: it is computed where it is read. */
static bool is_inside(const struct nest *nest, const struct value *value)
{
    return value->fused && !nest->all_stored;
}

static void emit(struct nest *nest, int level, struct stmt *stmt)
{
    struct level *l = &nest->level[level];
    if (l->last) l->last->next = stmt;
    else l->first = stmt;
    l->last = stmt;
}

/* Opens a loop over var's range; loops that run once are left out. */
static void push(struct nest *nest, struct var *var)
{
    if (var->lo == var->hi) return;
    if (nest->n_levels == LEVELS_MOST) bug("nest", "more than %d loops", LEVELS_MOST);
    nest->level[nest->n_levels++] = (struct level){.var = var};
}

static void pop_to(struct nest *nest, int n)
{
    while (nest->n_levels > n) {
        struct level l = nest->level[--nest->n_levels];
        ex end = ex_dim(nest->prog, dim_add(nest->prog->dims, l.var->hi, 1));
        emit(nest, nest->n_levels - 1, stmt_for(nest->prog, l.var, ex_dim(nest->prog, l.var->lo), end, 1, l.first));
    }
}

void view_row_major(struct prog *prog, const struct type *type, struct buffer *buf, struct view *view)
{
    dim stride = 1;
    *view = (struct view){.buf = buf};
    for (int i = type->rank - 1; i >= 0; i--) {
        view->stride[i] = stride;
        stride = dim_mul(prog->dims, stride, type->dim[i]);
    }
}

static ex view_index(struct prog *prog, const struct view *view, int rank, ex const *idx)
{
    ex at = ex_dim(prog, view->offset);
    for (int i = 0; i < rank; i++)
        at = ex_binary(prog, EX_add, at, ex_binary(prog, EX_mul, idx[i], ex_dim(prog, view->stride[i])));
    return at;
}

static ex load_at(struct prog *prog, const struct view *view, ex at, ex guard, ex otherwise)
{
    enum dtype dt = view->buf->dt, compute = dtype_compute(dt);
    if (!guard) return ex_cast(prog, ex_load(prog, view->buf, dt, at, 1, 1), compute);
    return ex_cast(prog, ex_load_guarded(prog, view->buf, dt, at, guard, ex_cast(prog, otherwise, dt)), compute);
}

static ex nest_value(struct nest *nest, const struct value *value, ex const *idx, ex guard, ex otherwise);

struct nest_reader {
    struct reader reader;
    struct nest *nest;
    ex guard; /* under which everything read here is wanted at all */
};

static ex read_input(struct reader *reader, const struct node *node, int input, ex const *idx, ex guard, ex otherwise)
{
    struct nest_reader *r = (struct nest_reader *)reader;
    const struct value *value = node->in[input];
    if (r->guard) {
        enum dtype dt = dtype_compute(value->type.dt);
        if (!guard) otherwise = ex_number(r->nest->prog, dt, 0);
        guard = guard ? ex_binary(r->nest->prog, EX_and, r->guard, guard) : r->guard;
    }
    return nest_value(r->nest, value, idx, guard, otherwise);
}

ex nest_literal(struct prog *prog, const struct value *value)
{
    const struct tensor *t = value_const(value);
    enum dtype dt = dtype_compute(value->type.dt);
    if (!t) return NULL;
    if (t->is_dims) {
        int64_t v;
        memcpy(&v, t->data, sizeof v);
        return type_count(&t->type) == 1 ? ex_cast(prog, ex_dim(prog, v), dt) : NULL;
    }
    int64_t size = dtype_bytes(value->type.dt);
    if (t->n_bytes < size || memcmp(t->data, (const char *)t->data + size, (size_t)(t->n_bytes - size))) return NULL;
    union lane v = lane_load(value->type.dt, t->data);
    if (!dtype_is_float(dt)) return ex_int(prog, dt, v.i);
    return ex_float(prog, dt, dt == DT_f64 ? v.d : (double)v.f);
}

/* A reshape of a dense stored value is the same position in it, whatever the shapes. */
static ex read_flat(struct reader *reader, const struct node *node, int input, ex at)
{
    struct nest_reader *r = (struct nest_reader *)reader;
    const struct value *value = node->in[input];
    if (is_inside(r->nest, value) || type_count(&value->type) == 1 || nest_literal(r->nest->prog, value)) return NULL;
    struct view dense;
    const struct view *view = r->nest->view_of(r->nest, value);
    view_row_major(r->nest->prog, &value->type, view->buf, &dense);
    for (int i = 0; i < value->type.rank; i++)
        if (view->stride[i] != dense.stride[i] && value->type.dim[i] != 1) return NULL;
    ex zero = ex_number(r->nest->prog, dtype_compute(value->type.dt), 0);
    return load_at(r->nest->prog, view, ex_binary(r->nest->prog, EX_add, at, ex_dim(r->nest->prog, view->offset)), r->guard, zero);
}

/* The innermost level whose variable the subscripts or the guard use. */
static int level_of(const struct nest *nest, int rank, ex const *idx, ex guard)
{
    int level = nest->n_levels - 1;
    for (; level > 0; level--) {
        const struct var *var = nest->level[level].var;
        if (guard && ex_uses(guard, var)) break;
        int i = 0;
        while (i < rank && !ex_uses(idx[i], var)) i++;
        if (i < rank) break;
    }
    return level;
}

/* An accumulator over the opened meaning's reduction, as a variable. */
static ex accumulate(struct nest *nest, struct opened *opened, struct nest_reader *reader, int level)
{
    struct prog *prog = nest->prog;
    int n_kept = nest->n_levels - (level + 1);
    struct level kept[LEVELS_MOST];
    memcpy(kept, &nest->level[level + 1], (size_t)n_kept * sizeof *kept);
    nest->n_levels = level + 1;
    for (int i = 0; i < opened->n_reduce; i++) push(nest, opened->reduce[i]);
    ex term = meaning_body(opened, &reader->reader);
    struct var *acc = prog_var(prog, "acc", term->dt, 1);
    enum expr_op combine = opened->combine;
    if (term->dt == DT_bool) combine = combine == EX_min ? EX_and : EX_or; /* all, any */
    ex sum = ex_binary(prog, combine, ex_var(prog, acc), term);
    emit(nest, nest->n_levels - 1, stmt_set(prog, acc, sum));
    /* close the reduction's loops into a list of their own, so that the accumulator's start comes before them */
    struct stmt *start = stmt_let(prog, acc, combine_start(prog, opened->combine, term->dt), true);
    if (nest->n_levels == level + 1) { /* every reduced extent is 1 */
        struct level *l = &nest->level[level];
        struct stmt *set = l->last, **link = &l->first;
        while (*link != set) link = &(*link)->next;
        *link = start;
        start->next = set;
    } else {
        while (nest->n_levels > level + 2) pop_to(nest, nest->n_levels - 1);
        emit(nest, level, start);
        pop_to(nest, level + 1);
    }
    memcpy(&nest->level[level + 1], kept, (size_t)n_kept * sizeof *kept);
    nest->n_levels = level + 1 + n_kept;
    return ex_var(prog, acc);
}

/* Computes value at idx in place. */
static ex compute(struct nest *nest, const struct value *value, ex const *idx, ex guard)
{
    struct prog *prog = nest->prog;
    struct opened opened;
    struct nest_reader reader = {.reader = {read_input, read_flat}, .nest = nest, .guard = guard};
    meaning_open(prog, value->node, idx, &opened);
    ex result;
    if (opened.combine == EX_COUNT) result = meaning_body(&opened, &reader.reader);
    else result = accumulate(nest, &opened, &reader, level_of(nest, value->type.rank, idx, guard));
    /* as stored: 16-bit floats round after every operator, positions become integers */
    return ex_cast(prog, ex_cast(prog, result, value->type.dt), dtype_compute(value->type.dt));
}

static ex nest_value(struct nest *nest, const struct value *value, ex const *idx, ex guard, ex otherwise)
{
    struct prog *prog = nest->prog;
    ex known = nest_literal(prog, value);
    if (known) return guard ? ex_select(prog, guard, known, otherwise) : known;
    if (!is_inside(nest, value)) {
        const struct view *view = nest->view_of(nest, value);
        return load_at(prog, view, view_index(prog, view, value->type.rank, idx), guard, otherwise);
    }
    for (int i = nest->seen.n - 1; i >= 0; i--) {
        const struct seen *s = &nest->seen.at[i];
        if (s->value == value && s->guard == guard && s->otherwise == otherwise &&
            !memcmp(s->idx, idx, (size_t)value->type.rank * sizeof *idx))
            return s->result;
    }
    struct seen seen = {.value = value, .guard = guard, .otherwise = otherwise};
    memcpy(seen.idx, idx, (size_t)value->type.rank * sizeof *idx);
    seen.result = compute(nest, value, idx, guard);
    if (guard) seen.result = ex_select(prog, guard, seen.result, otherwise);
    LIST_PUSH(prog->arena, &nest->seen, seen);
    return seen.result;
}

static void store(struct nest *nest, const struct value *value, const struct view *to, ex const *idx, ex v)
{
    ex at = view_index(nest->prog, to, value->type.rank, idx);
    emit(nest, nest->n_levels - 1, stmt_store(nest->prog, to->buf, at, ex_cast(nest->prog, v, value->type.dt), 1, NULL));
}

static void open_loops(struct nest *nest, const struct type *type, ex *idx)
{
    for (int i = 0; i < type->rank; i++) {
        struct var *var = prog_index(nest->prog, arena_printf(nest->prog->arena, "i%d", i), 0, dim_sub(nest->prog->dims, type->dim[i], 1));
        idx[i] = ex_var(nest->prog, var);
        push(nest, var);
    }
}

/* Each input is computed straight into its part of the result. */
static void store_concat(struct nest *nest, const struct value *value, const struct view *to)
{
    struct prog *prog = nest->prog;
    int axis = (int)node_int(value->node, "axis", 0);
    dim from = 0;
    for (int i = 0; i < value->node->n_in; i++) {
        const struct value *x = value->node->in[i];
        ex idx[RANK_MOST];
        open_loops(nest, &x->type, idx);
        ex v = nest_value(nest, x, idx, NULL, NULL);
        idx[axis] = ex_binary(prog, EX_add, idx[axis], ex_dim(prog, from));
        store(nest, value, to, idx, v);
        pop_to(nest, 1);
        from = dim_add(prog->dims, from, x->type.dim[axis]);
    }
}

static void store_scatter(struct nest *nest, const struct value *value, const struct view *to)
{
    struct prog *prog = nest->prog;
    const struct node *node = value->node;
    ex idx[RANK_MOST];
    open_loops(nest, &value->type, idx);
    store(nest, value, to, idx, nest_value(nest, node->in[0], idx, NULL, NULL));
    pop_to(nest, 1);
    open_loops(nest, &node->in[2]->type, idx);
    ex update = nest_value(nest, node->in[2], idx, NULL, NULL);
    ex row = ex_cast(prog, nest_value(nest, node->in[1], idx, NULL, NULL), DT_index);
    idx[0] = row;
    const char *mode = node_attr(node, "mode")->s;
    if (strcmp(mode, "set") != 0) {
        enum expr_op op = !strcmp(mode, "add") ? EX_add : !strcmp(mode, "mul") ? EX_mul : !strcmp(mode, "min") ? EX_min : EX_max;
        update = ex_binary(prog, op, load_at(prog, to, view_index(prog, to, 2, idx), NULL, NULL), update);
    }
    ex inside = ex_binary(prog, EX_and, ex_binary(prog, EX_le, ex_dim(prog, 0), row),
                          ex_binary(prog, EX_lt, row, ex_dim(prog, value->type.dim[0])));
    struct stmt *check = stmt_new(prog, STMT_IF);
    check->a = inside;
    check->body = stmt_store(prog, to->buf, view_index(prog, to, 2, idx), ex_cast(prog, update, value->type.dt), 1, NULL);
    emit(nest, nest->n_levels - 1, check);
    pop_to(nest, 1);
}

/* The contraction computed inside below a tree of elementwise operators and prefix slices; NULL where there is none. */
static const struct node *contraction_below(const struct nest *nest, const struct value *value, int *budget)
{
    const struct node *node = value->node;
    if (op_row(node->op)->kind == OP_CONTRACT) return node;
    if ((op_row(node->op)->kind != OP_MAP && !node_is_prefix(node)) || --*budget < 0) return NULL;
    for (int i = 0; i < node->n_in; i++) {
        if (!is_inside(nest, node->in[i]) || node->in[i]->type.rank != value->type.rank) continue;
        const struct node *found = contraction_below(nest, node->in[i], budget);
        if (found) return found;
    }
    return NULL;
}

/* The node whose iteration space the loops take: a contraction's, so that its groups and blocks stay loops of their
 * own; otherwise the value's. */
static const struct node *space_of(const struct nest *nest, const struct value *value)
{
    int budget = 1000; /* values: shared ones are met again */
    const struct node *node = contraction_below(nest, value, &budget);
    return node ? node : value->node;
}

/* Whether a prefix slice on the way from the space to the value cuts this axis short. */
static bool clips(const struct node *space, const struct value *value, int axis)
{
    return space->out[0].type.dim[axis] != value->type.dim[axis];
}

/* var over 0..n from here on; a plain number where that is one value, `fixed` where it is not NULL. */
static void narrow(struct nest *nest, struct var **var, dim n, ex fixed, int rank, ex *idx)
{
    struct var *fresh = prog_index(nest->prog, (*var)->name, 0, fixed ? 0 : dim_sub(nest->prog->dims, n, 1));
    for (int i = 0; i < rank; i++) idx[i] = ex_replace(nest->prog, idx[i], *var, fixed ? fixed : ex_var(nest->prog, fresh));
    *var = fresh;
}

/* An axis that is cut short: high*size + low is whole blocks (part 0), or what is left of the last one (part 1). */
static void clip(struct nest *nest, struct var **vars, int n, dim extent, int rank, ex *idx, int axis, int part)
{
    struct prog *prog = nest->prog;
    int high = -1, low = -1;
    dim size = 0, coef;
    ex rest;
    for (int i = 0; i < n; i++) {
        if (!ex_uses(idx[axis], vars[i]) || !ex_affine(prog, idx[axis], vars[i], &coef, &rest)) continue;
        if (coef == 1) low = i;
        else high = i, size = coef;
    }
    if (low < 0) bug("nest", "clipped axis");
    if (high < 0) {
        narrow(nest, &vars[low], part ? 0 : extent, NULL, rank, idx);
        return;
    }
    dim whole = dim_div(prog->dims, extent, size);
    narrow(nest, &vars[high], whole, part ? ex_dim(prog, whole) : NULL, rank, idx);
    if (part) narrow(nest, &vars[low], dim_mod(prog->dims, extent, size), NULL, rank, idx);
}

/* Part `part` of the parts that clipped axes make: bit k is the k-th clipped axis's. */
static void store_part(struct nest *nest, const struct value *value, const struct view *to, const struct node *space, int part)
{
    struct var *vars[2 * RANK_MOST];
    ex idx[RANK_MOST];
    int n = meaning_space(nest->prog, space, vars, idx);
    for (int i = 0; i < value->type.rank; i++) {
        if (!clips(space, value, i)) continue;
        clip(nest, vars, n, value->type.dim[i], value->type.rank, idx, i, part & 1);
        part >>= 1;
    }
    for (int i = 0; i < n; i++) {
        if (dim_is_const(vars[i]->hi) && vars[i]->hi < 0) return; /* an empty part */
        push(nest, vars[i]);
    }
    store(nest, value, to, idx, compute(nest, value, idx, NULL));
    pop_to(nest, 1);
    nest->seen.n = 0;
}

void nest_store(struct nest *nest, const struct value *value, const struct view *to)
{
    if (value->node->op == OP_concat) {
        store_concat(nest, value, to);
        return;
    }
    if (value->node->op == OP_scatter) {
        store_scatter(nest, value, to);
        return;
    }
    const struct node *space = space_of(nest, value);
    int parts = 1;
    for (int i = 0; i < value->type.rank; i++) parts *= clips(space, value, i) ? 2 : 1;
    for (int part = 0; part < parts; part++) store_part(nest, value, to, space, part);
}

struct stmt *nest_finish(struct nest *nest)
{
    pop_to(nest, 1);
    return nest->level[0].first;
}
