/* Pass bind: kernels for a device of many work-items.
 *
 *   kernel k(out y) { for i in 0..100 { B } }
 *      ->   kernel k(out y, items: index) {
 *             for g of 0..100 in 0..items group0 {
 *               let from = 100*g div items  let to = (100*g + 100) div items
 *               for i in from..to { B } } }
 *
 * Each work-item computes a range of the pieces into which partition.c cuts the body, as a worker of pass parallel does;
 * their number is the call's last scalar. On a CPU device a group is one work-item, with the vectors of the schedule,
 * and there are a few groups for each compute unit where the work pays for them; calls after one another then become
 * stages of one kernel (stages.c), except where each is to have a time of its own. On a GPU a group has LANES of them
 * in step, `for l in 0..64 lane0`, and every piece is a work-item of its own where there are not too many pieces; small
 * kernels are joined with their neighbours first (merge.c). Kernels that the schedule made groups of already (group.c)
 * stay as they are. What cannot be cut is done by one work-item. Stores of main become kernels, since main is the host's.
 *
 * The text stays an ordinary program: group and lane loops computed one after the other give the same. Comes after plan
 * like pass parallel, whose place it takes: a device's queue keeps the order of kernels, no barriers are needed.
 */
#include "merge.h"
#include "partition.h"
#include "passes.h"
#include "stages.h"
#include "touch.h"

/* Work is in operations of partition.h. A group of a CPU device costs about a microsecond to start. */
enum { GROUP_WORK = 12000, GROUPS_PER_UNIT = 16, LANES = 64, ITEMS_MOST = 1 << 20, GPU_PIECES = 1 << 14 };

struct binding {
    struct prog *prog;
    const struct device *device;
    double grain; /* work worth a group */
    bool stages;  /* calls become one kernel of several stages */
    struct stage_kernel *kernels; /* by number */
    struct arena *scratch;
};

static ex index_of(struct prog *prog, int64_t v)
{
    return ex_int(prog, DT_index, v);
}

/* units * item div items, of the item after it where more. */
static ex part(struct prog *prog, ex item, struct var *items, dim units, bool more)
{
    if (more) item = ex_binary(prog, EX_add, item, index_of(prog, 1));
    return ex_binary(prog, EX_div, ex_binary(prog, EX_mul, item, ex_dim(prog, units)), ex_var(prog, items));
}

/* The kernel's pieces by work-items of groups. */
static void wrap(struct prog *prog, struct kernel *kernel, const struct partition *cut, int lanes, dim items_most)
{
    struct dims *dims = prog->dims;
    struct var *from = cut->from, *to = cut->to;
    dim units = cut->units;
    struct var *items = prog_index(prog, "items", 1, items_most);
    LIST_PUSH(prog->arena, &kernel->scalars, items);
    dim groups_most = dim_div(dims, dim_add(dims, items_most, lanes - 1), lanes);
    struct var *group = prog_index(prog, "group", 0, dim_sub(dims, groups_most, 1)), *lane = NULL;
    ex item = ex_var(prog, group), groups = ex_var(prog, items);
    if (lanes > 1) {
        lane = prog_index(prog, "lane", 0, lanes - 1);
        item = ex_binary(prog, EX_add, ex_binary(prog, EX_mul, item, index_of(prog, lanes)), ex_var(prog, lane));
        item = ex_binary(prog, EX_min, item, ex_var(prog, items)); /* those left over have nothing to do */
        groups = ex_binary(prog, EX_div, ex_binary(prog, EX_add, groups, index_of(prog, lanes - 1)), index_of(prog, lanes));
    }
    struct stmt *body = stmt_let(prog, from, part(prog, item, items, units, false), false);
    ex past = part(prog, item, items, units, true);
    if (lanes > 1) past = ex_binary(prog, EX_min, past, ex_dim(prog, units));
    stmt_append(&body, stmt_let(prog, to, past, false));
    stmt_append(&body, cut->body);
    if (lanes > 1) {
        body = stmt_for(prog, lane, index_of(prog, 0), index_of(prog, lanes), 1, body);
        body->loop = LOOP_LANE0;
    }
    kernel->body = stmt_for(prog, group, index_of(prog, 0), groups, 1, body);
    kernel->body->loop = LOOP_GROUP0;
}

/* How many work-items at most the kernel is worth. */
static int64_t items_most(const struct binding *b, const struct kernel *kernel)
{
    if (!b->device->is_cpu) return ITEMS_MOST;
    double most = (double)b->device->compute_units * GROUPS_PER_UNIT, worth = work_of(b->prog, kernel) / b->grain;
    return b->device->compute_units < 2 ? 1 : (int64_t)(worth < most ? worth : most);
}

static void bind_kernel(struct binding *b, int number)
{
    struct prog *prog = b->prog;
    struct dims *dims = prog->dims;
    struct kernel *kernel = prog->kernels.at[number];
    struct stage_kernel *bound = &b->kernels[number];
    bool is_cpu = b->device->is_cpu;
    if (kernel->side != SIDE_DEVICE || stmt_is_group(kernel->body)) return;
    int64_t most = items_most(b, kernel);
    struct partition cut;
    *bound = (struct stage_kernel){.joins = !stmt_can_fail(kernel->body), .reaches.arena = b->scratch};
    reaches_of(&bound->reaches, kernel->body, NULL, 0);
    if (most < 2 || !partition_kernel(prog, kernel, is_cpu ? (int)most : GPU_PIECES, 0, !is_cpu, &cut)) return;
    bound->divided = true;
    bound->units = cut.units;
    bound->items = dim_max(dims, dim_min(dims, cut.units, most), 1);
    int lanes = b->device->work_group_most < LANES ? b->device->work_group_most : LANES;
    if (b->stages && bound->joins) partition_apply(prog, kernel, &cut);
    else wrap(prog, kernel, &cut, is_cpu ? 1 : lanes, bound->items);
}

/* ---- main ---- */

static void bind_call(struct binding *b, struct stmt *call)
{
    int number = 0;
    while (b->prog->kernels.at[number] != call->kernel) number++;
    const struct stage_kernel *kernel = &b->kernels[number];
    struct touches touches = {.arena = b->scratch};
    if (!kernel->divided || (b->stages && kernel->joins)) return;
    touch_call(&touches, call, &kernel->reaches);
    ex *scalars = NEW_ARRAY(b->prog->arena, ex, call->n_scalars + 1);
    for (int i = 0; i < call->n_scalars; i++) scalars[i] = call->scalars[i];
    scalars[call->n_scalars++] = ex_dim(b->prog, touches_alias(b->prog, &touches) ? 1 : kernel->items);
    call->scalars = scalars;
}

/* A store of main: kernel put(out y, at: index, value) { y[at] = value } */
static void bind_store(struct prog *prog, struct stmt *s)
{
    struct kernel *kernel = prog_kernel(prog, "put");
    kernel->strategy = kernel->layers = "";
    kernel->bytes = (double)dtype_bytes(s->buf->dt);
    struct buffer *y = kernel_param(prog, kernel, s->buf->name, s->buf->dt, s->buf->elements);
    y->written = true;
    struct var *at = prog_index(prog, "at", 0, dim_sub(prog->dims, s->buf->elements, 1)),
               *value = prog_var(prog, "value", s->b->dt, 1);
    LIST_PUSH(prog->arena, &kernel->scalars, at);
    LIST_PUSH(prog->arena, &kernel->scalars, value);
    kernel->body = stmt_store(prog, y, ex_var(prog, at), ex_var(prog, value), 1, NULL);
    struct stmt call = {.kind = STMT_CALL, .kernel = kernel, .n_args = 1, .n_scalars = 2, .next = s->next, .place = s->place};
    call.args = NEW(prog->arena, struct call_arg);
    call.args->buf = s->buf;
    call.scalars = NEW_ARRAY(prog->arena, ex, 2);
    call.scalars[0] = s->a;
    call.scalars[1] = s->b;
    *s = call;
}

static void bind_stores(struct prog *prog, struct stmt *list)
{
    for (struct stmt *s = list; s; s = s->next) {
        if (s->kind == STMT_STORE && s->buf->side == SIDE_DEVICE) bind_store(prog, s);
        bind_stores(prog, s->body);
        bind_stores(prog, s->other);
    }
}

static void bind_calls(struct binding *b, struct stmt *list)
{
    for (struct stmt *s = list; s; s = s->next) {
        if (s->kind == STMT_CALL && s->kernel) bind_call(b, s);
        bind_calls(b, s->body);
        bind_calls(b, s->other);
    }
}

struct prog *pass_bind(const struct prog *prog, struct arena *unit, const struct pass_options *options)
{
    struct prog *to = prog_copy(prog, unit, NULL, NULL);
    if (!options->device || prog->arena_bytes == -1) return to;
    struct binding b = {.prog = to, .device = options->device, .grain = GROUP_WORK, .scratch = arena_new()};
    if (options->grain > 0) b.grain = (double)options->grain;
    b.stages = options->device->is_cpu && options->device->has_stages && !options->profile; /* a stage has no time of its own */
    if (!b.stages) merge_calls(to);
    bind_stores(to, to->main);
    int n = to->kernels.n;
    b.kernels = NEW_ARRAY(b.scratch, struct stage_kernel, n + 1);
    for (int i = 0; i < n; i++) bind_kernel(&b, i);
    bind_calls(&b, to->main);
    if (b.stages) stages_join(to, b.kernels, b.scratch);
    arena_free(b.scratch);
    return to;
}
