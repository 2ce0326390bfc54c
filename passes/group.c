/* Which nests are contractions that a group of lanes can share.
 *
 *   for i in 0..M { for j in 0..N { reg acc = 0; for k in 0..K { set acc = acc + a[i, k]*b[k, j] } store y[i, j] = acc } }
 *
 * Registers that start with constants, one nest of sums of known extents into them, and stores. Every load of the sums
 * that moves with them is affine and either moves with all columns and no rows, or the other way round: then a tile
 * of results needs a tile of each. A depthwise convolution is no such nest: what it reads moves with all axes.
 */
#include "group.h"
#include "loops.h"
#include "tile.h"

enum { LEAST = 16, SUM_LEAST = 4, PAD = 4, SLICED_ROWS = 8, SLICED_LEAST = 32 };

static bool fixed(const struct loopnest *nest, int axis)
{
    return ex_is_int(nest->axis[axis].lo, 0) && nest->axis[axis].extent != -1;
}

/* The body's statements: registers, sums, results. */
static bool read_body(struct contraction *c)
{
    const struct stmt *s = c->start = c->nest->body;
    for (; s && s->kind == STMT_LET; s = s->next) {
        if (!s->mutable || s->a->op != EX_const || s->var->lanes != 1 || c->n_registers == GROUP_REGISTERS) return false;
        c->registers[c->n_registers++] = s->var;
    }
    if (!s || c->n_registers == 0 || !reduce_is_pure(s)) return false;
    c->loop = s;
    c->end = s->next;
    for (s = c->end; s; s = s->next)
        if (s->kind != STMT_STORE && (s->kind != STMT_LET || s->mutable)) return false;
    for (s = c->loop; s && s->kind == STMT_FOR; s = s->body) {
        int a = c->nest->n_chain;
        while (a < c->nest->n_axes && c->nest->axis[a].var != s->var) a++;
        if (a == c->nest->n_axes || !fixed(c->nest, a) || !dim_is_const(c->nest->axis[a].extent) || s->step != 1) return false;
        if (s != c->loop && s->next) return false;
        c->sum[c->n_sums++] = a;
        c->inner = s->body;
    }
    for (s = c->inner; s; s = s->next)
        if (s->kind != STMT_SET && (s->kind != STMT_LET || s->mutable)) return false;
    return true;
}

/* How each register's parts are put together. */
static void read_operations(struct contraction *c)
{
    for (const struct stmt *s = c->inner; s; s = s->next) {
        enum expr_op op;
        ex e;
        if (s->kind != STMT_SET || !loops_reduction(s, &op, &e) || s->var->dt == DT_bool) continue;
        if (op != EX_add && op != EX_mul && op != EX_min && op != EX_max) continue;
        for (int i = 0; i < c->n_registers; i++) {
            if (c->registers[i] != s->var) continue;
            c->neutral[i] = c->neutral[i] && c->op[i] != op ? NULL : loops_neutral(c->nest->prog, op, s->var->dt);
            c->op[i] = op;
        }
    }
}

static bool moves_with_sums(const struct contraction *c, const struct access *access)
{
    for (int i = 0; i < c->n_sums; i++)
        if (depends_on(access, c->sum[i])) return true;
    return false;
}

/* The axis along which all results lie side by side; -1: none. */
static int side_by_side(const struct loopnest *nest)
{
    for (int a = nest->n_chain - 1; a >= 0; a--) {
        bool all = true;
        for (int i = 0; i < nest->accesses.n; i++)
            if (nest->accesses.at[i].store) all &= loopnest_stride(&nest->accesses.at[i], a) == 1;
        if (all) return a;
    }
    return -1;
}

static bool read_operands(struct contraction *c, int last)
{
    const struct loopnest *nest = c->nest;
    for (int i = 0; i < nest->accesses.n; i++) {
        const struct access *access = &nest->accesses.at[i];
        if (access->store || !moves_with_sums(c, access)) continue;
        if (!access->affine || access->guarded || access->guard || access->buf->space != SPACE_PARAM) return false;
        if (c->n_staged == STAGED_MOST) return false;
        c->staged[c->n_staged++] = (struct staged){access, !depends_on(access, last)};
    }
    return true;
}

static void add_axis(struct contraction *c, struct group_axes *to, int axis)
{
    to->axis[to->n++] = axis;
    to->extent = dim_mul(c->nest->prog->dims, to->extent, c->nest->axis[axis].extent);
}

static bool read_axes(struct contraction *c, int last)
{
    c->rows.extent = c->columns.extent = c->batch.extent = 1;
    for (int a = 0; a < c->nest->n_chain; a++) {
        bool by_row = false, by_column = false;
        if (!fixed(c->nest, a)) return false;
        if (a == last) continue;
        for (int i = 0; i < c->n_staged; i++)
            if (depends_on(c->staged[i].access, a)) *(c->staged[i].by_row ? &by_row : &by_column) = true;
        add_axis(c, by_row == by_column ? &c->batch : by_row ? &c->rows : &c->columns, a);
    }
    add_axis(c, &c->columns, last);
    bool any[2] = {false, false};
    for (int i = 0; i < c->n_staged; i++) {
        const struct group_axes *axes = c->staged[i].by_row ? &c->rows : &c->columns;
        any[c->staged[i].by_row] = true;
        for (int k = 0; k < axes->n; k++)
            if (!depends_on(c->staged[i].access, axes->axis[k])) return false;
    }
    return any[0];
}

/* Enough of each for what a tile loads to be used several times. */
bool group_has_tiles(const struct contraction *c)
{
    struct dims *dims = c->nest->prog->dims;
    double terms = 1;
    bool by_row = false;
    for (int i = 0; i < c->n_sums; i++) terms *= (double)c->nest->axis[c->sum[i]].extent;
    for (int i = 0; i < c->n_staged; i++) by_row |= c->staged[i].by_row;
    return by_row && dim_hi(dims, c->rows.extent) >= LEAST && dim_hi(dims, c->columns.extent) >= LEAST && terms >= SUM_LEAST;
}

/* Few rows, a long sum, and neighbouring lanes read side by side. */
bool group_has_slices(const struct contraction *c)
{
    const struct group_axes *columns = &c->columns;
    bool fits = dim_is_const(c->rows.extent) && c->rows.extent <= SLICED_ROWS && c->nest->axis[c->sum[c->n_sums - 1]].extent >= SLICED_LEAST;
    for (int i = 0; i < c->n_staged && fits; i++)
        fits = c->staged[i].by_row || loopnest_stride(c->staged[i].access, columns->axis[columns->n - 1]) == 1;
    for (int i = 0; i < c->n_registers && fits; i++) fits = c->neutral[i] != NULL;
    return fits && (dim_is_const(columns->extent) || columns->n == 1);
}

bool group_read(const struct loopnest *nest, const struct device *device, struct contraction *c)
{
    *c = (struct contraction){.nest = nest};
    if (nest->too_big || !nest->parallel || nest->n_axes == nest->n_chain || device->is_cpu || device->local_bytes == 0) return false;
    if (!read_body(c)) return false;
    int last = side_by_side(nest);
    if (last < 0 || !read_operands(c, last) || !read_axes(c, last)) return false;
    if (c->nest->axis[c->sum[c->n_sums - 1]].extent == 0) return false;
    read_operations(c);
    dim extent = nest->axis[last].extent;
    bool fills = c->columns.n == 1 || (dim_is_const(extent) && extent % 4 == 0);
    c->lanes = fills && device->vector_bytes >= 4 * nest->element_bytes ? 4 : 1;
    if (!group_has_tiles(c) && !group_has_slices(c)) return false;
    struct group_plan small = {.rows = 1, .columns = c->lanes, .high = 1, .wide = c->lanes, .step = 1, .slices = group_has_slices(c) ? 2 : 1};
    if (!group_tile(c, &small)) c->lanes = 1; /* what follows the sums reads with steps that are not known, say */
    return true;
}

int64_t group_distance(const struct contraction *c, const struct staged *staged, const struct group_plan *plan)
{
    int64_t width = staged->by_row ? plan->rows : plan->columns;
    /* copied across: some distance, or lanes that copy neighbouring terms meet in one bank */
    return loopnest_stride(staged->access, c->sum[c->n_sums - 1]) == 1 ? width + PAD : width;
}

const char *group_check(const struct contraction *c, const struct device *device, const struct group_plan *plan)
{
    int64_t bytes = 0, lanes;
    if (plan->rows < 1 || plan->columns < 1 || plan->high < 1 || plan->wide < 1) return "a tile has rows and columns";
    if (plan->rows % plan->high || plan->columns % plan->wide) return "lanes have whole parts of a group's tile";
    if (plan->wide % c->lanes) return "a lane's columns are whole vectors";
    if (plan->high * plan->wide > 128) return "more than 128 results of a lane";
    if (plan->slices < 1 || (plan->slices & (plan->slices - 1)) != 0) return "slices are a power of two";
    if (plan->slices > 1 && !group_has_slices(c)) return "the sums cannot be divided";
    if (plan->slices == 1 && !group_has_tiles(c)) return "there is nothing to share";
    lanes = (int64_t)(plan->rows / plan->high) * (plan->columns / plan->wide) * plan->slices;
    if (lanes > device->work_group_most) return "more lanes than a group of the device has";
    if (plan->step < 1 || plan->step > STEP_MOST) return "a step of 1 to 64 terms";
    for (int i = 0; i < c->n_registers && plan->slices > 1; i++) bytes += lanes * plan->high * plan->wide * dtype_bytes(c->registers[i]->dt);
    for (int i = 0; i < c->n_staged && plan->slices == 1; i++)
        bytes += plan->step * group_distance(c, &c->staged[i], plan) * dtype_bytes(c->staged[i].access->buf->dt);
    return bytes > device->local_bytes ? "more local memory than the device has" : NULL;
}
