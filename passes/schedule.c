/* Schedules every kernel: plain loops -> explicit vectors, register tiles and unrolling.
 *
 *   for i in 0..1000 { store y[i] = max(x[i], 0.0) }
 *      ->   for i in 0..992 step 16 { store y[i..8] = max(x[i..8], 0.0); store y[i+8..8] = ... }  store y[992..8] = ...
 *
 * For each nest: neighbouring loops that are one loop are merged (loopnest.c), the strides are read, a cost model
 * chooses lanes, tile and order (choose.c), and the nest is generated from that record (tile.c). A nest that is not
 * provably free of order, or whose body has loops of its own that store (softmax: reduce, then store a row), keeps its
 * outer loops, and its inner loops are scheduled one by one. A tuning file (tuning.h) may give the records instead
 * (given.c). All records are left in kernel->strategy (record.h). For a GPU, contractions and rows become kernels of
 * groups of lanes (group.h, group_rows.h).
 * Needs: plain loops of step 1. Leaves: transcendental functions (pass expand), memory (pass plan).
 */
#include "schedule.h"
#include "flops.h"
#include "lets.h"
#include "loops.h"

#include <string.h>

static struct stmt *schedule_list(struct scheduler *s, struct stmt *list);

static void note(struct scheduler *s, const char *text)
{
    if (s->strategy.n) text_add(&s->strategy, "; ");
    text_add(&s->strategy, text);
}

/* A loop that only reduces: lanes along its innermost loop where that loads contiguous elements. */
static struct stmt *schedule_reduction(struct scheduler *s, struct stmt *loop)
{
    struct loopnest nest;
    struct reduction_choice choice = {.lanes = 1, .unroll = s->target->is_small ? 1 : 8};
    loopnest_analyze(s->prog, loop, &nest);
    if (nest.too_big) {
        if (given_loops(s)) note(s, "loops");
        return loop;
    }
    nest.n_chain = 0; /* all its axes are the reduction's */
    for (int i = 0; i < nest.accesses.n; i++) nest.accesses.at[i].weight = 2;
    reduce_order(&nest, loop);
    int lanes = choose_lanes(&nest, s->target);
    if (lanes > 1 && choose_inner(&nest)) choice.lanes = lanes;
    if (s->given && !given_reduction(s, lanes, &choice)) return loop;
    explore_reduction(s, lanes, &choice);
    note(s, reduction_text(s, &choice));
    if (choice.lanes > 1) loop = reduce_vectorize(s->prog, loop, choice.lanes, s->target->vector_bytes >= 32);
    else loop = reduce_unroll(s->prog, loop, choice.unroll);
    if (s->target->has_fma) loops_use_fma(s->prog, loop);
    return loop;
}

static void count_loads(ex e, const struct buffer *buf, struct pointer_map *seen, struct arena *scratch, int *n)
{
    if (!e || e->op == EX_const || e->op == EX_dim || e->op == EX_var || map_get(seen, e)) return;
    map_put(scratch, seen, e, e);
    *n += e->op == EX_load && e->buf == buf;
    for (int i = 0; i < 3; i++) count_loads(e->arg[i], buf, seen, scratch, n);
}

static void count_loads_in(const struct stmt *list, const struct buffer *buf, struct pointer_map *seen, struct arena *scratch,
                           int *n)
{
    for (; list; list = list->next) {
        count_loads(list->a, buf, seen, scratch, n);
        count_loads(list->b, buf, seen, scratch, n);
        count_loads(list->c, buf, seen, scratch, n);
        count_loads_in(list->body, buf, seen, scratch, n);
        count_loads_in(list->other, buf, seen, scratch, n);
    }
}

/* Whether the access is the kernel's only one to a constant, inside a loop of the body. */
bool schedule_may_pack(const struct scheduler *s, const struct access *access)
{
    if (access->store || access->guarded || access->weight <= 1 || access->buf->space != SPACE_PARAM) return false;
    if (!s->constant[access->buf->position] || access->load->dt != access->buf->dt) return false;
    struct arena *scratch = arena_new();
    struct pointer_map seen = {.n = 0};
    int n = 0;
    count_loads_in(s->body, access->buf, &seen, scratch, &n);
    arena_free(scratch);
    return n == 1;
}

/* Whether lanes along some axis already read it in panels: contiguous, and the next step close by. */
static bool is_packed(const struct loopnest *nest, const struct access *access, int lanes)
{
    bool contiguous = false;
    int64_t step = INT64_MAX;
    for (int a = 0; a < nest->n_axes; a++) {
        int64_t stride = loopnest_stride(access, a), extent = nest->axis[a].extent;
        bool fills = dim_is_const(extent) && 5 * extent >= 4 * ((extent + lanes - 1) / lanes * lanes);
        if (a < nest->n_chain && stride == 1 && fills) contiguous = true;
        if (a >= nest->n_chain && stride > 0 && stride < step) step = stride;
    }
    return contiguous && step <= 4 * lanes;
}

bool schedule_packed(struct scheduler *s, struct stmt *loop, const struct loopnest *nest, const struct access *access,
                     int axis, struct choice *choice, struct var **var)
{
    struct stmt *packed = pack_loop(nest, loop, access, axis, choose_lanes(nest, s->target), &choice->pack, var);
    if (!packed) return false;
    choice->pack_axis = record_axis_label(nest, axis);
    loopnest_analyze(s->prog, packed, &choice->nest);
    return !choice->nest.too_big && choice->nest.parallel;
}

/* Tries lanes along every axis of the chain with the access packed for it. A packed panel is read in one stream, which
 * the cost model does not see: worth a few percent. */
static void try_packing(struct scheduler *s, struct stmt *loop, const struct loopnest *nest, const struct access *access,
                        struct choice *best)
{
    for (int a = 0; a < nest->n_chain; a++) {
        struct choice next = {.found = false};
        struct var *var;
        if (!schedule_packed(s, loop, nest, access, a, &next, &var)) continue;
        next.found = choose_plan(&next.nest, s->target, var, &next.plan, &next.cost);
        next.cost *= PACKED_COST;
        if (next.found && (!best->found || next.cost < best->cost)) *best = next;
    }
}

bool schedule_groups(const struct scheduler *s, const struct stmt *loop, const struct loopnest *nest, struct contraction *contraction)
{
    return loop == s->whole && group_read(nest, s->all->device, contraction);
}

bool schedule_rows(const struct scheduler *s, const struct stmt *loop, const struct loopnest *nest)
{
    return loop == s->whole && rows_read(nest, s->all->device);
}

/* A group of lanes instead of a work-item, where the loop is a contraction, or its rows are long ones that are read in order. */
static void decide_groups(struct scheduler *s, const struct stmt *loop, const struct loopnest *nest, struct choice *best)
{
    struct contraction c;
    if (schedule_groups(s, loop, nest, &c) && !(best->found && best->plan.inner_lanes > 1 && !group_has_tiles(&c)) && group_list(&c, s->all->device, &best->group, 1)) {
        best->nest = *nest;
        best->pack.n = 0;
        best->found = true;
        return;
    }
    if ((best->found && best->plan.inner_lanes == 1) || !choose_inner(nest) || !schedule_rows(s, loop, nest)) return;
    if (rows_list(nest, s->all->device, &best->rows, 1)) best->found = true;
}

static void decide(struct scheduler *s, struct stmt *loop, const struct loopnest *nest, struct choice *best)
{
    best->nest = *nest;
    if (nest->too_big) return;
    if (!nest->parallel) {
        decide_groups(s, loop, nest, best);
        return;
    }
    best->found = choose_plan(nest, s->target, NULL, &best->plan, &best->cost);
    for (int i = 0; i < nest->accesses.n && best->found && choose_lanes(nest, s->target) > 1; i++)
        if (schedule_may_pack(s, &nest->accesses.at[i]) && !is_packed(nest, &nest->accesses.at[i], choose_lanes(nest, s->target)))
            try_packing(s, loop, nest, &nest->accesses.at[i], best);
    decide_groups(s, loop, nest, best);
    if (best->found && s->all->threads > 1) choose_shares(&best->nest, s->target, s->all->threads, &best->plan);
}

const char *schedule_text(const struct scheduler *s, const struct choice *choice)
{
    if (choice->group.rows) return group_text(s->prog->arena, &choice->group);
    if (choice->rows.lanes) return rows_text(s->prog->arena, &choice->rows);
    const char *formal = choice->pack.n ? record_param_label(s->kernel, choice->pack.formal->position, s->prog->arena) : NULL;
    return record_text(&choice->nest, &choice->plan, formal, choice->pack_axis);
}

static struct stmt *make_groups(const struct scheduler *s, const struct choice *choice)
{
    struct contraction c;
    if (choice->rows.lanes) return rows_tile(&choice->nest, &choice->rows, choose_lanes(&choice->nest, s->target));
    if (!group_read(&choice->nest, s->all->device, &c)) bug("schedule", "%s: no contraction any more", s->kernel->name);
    struct stmt *body = group_tile(&c, &choice->group);
    if (!body) bug("schedule", "%s: no vectors", s->kernel->name);
    return body;
}

static struct stmt *schedule_loop(struct scheduler *s, struct stmt *loop)
{
    struct loopnest nest;
    if (reduce_is_pure(loop)) return schedule_reduction(s, loop);
    loopnest_analyze(s->prog, loop, &nest);
    for (int a = 0; a < nest.n_chain; a++) s->cases |= nest.axis[a].cases;
    struct choice *best = NEW(s->prog->arena, struct choice);
    if (!s->given) decide(s, loop, &nest, best);
    else if (!given_choice(s, loop, &nest, best)) return loop;
    int point = explore_nest(s, loop, &nest, best);
    if (best->found) {
        note(s, schedule_text(s, best));
        if (best->pack.n) LIST_PUSH(s->prog->arena, &s->all->packs, best->pack);
        if (best->group.rows || best->rows.lanes) return make_groups(s, best);
        return tile_nest(&best->nest, &best->plan, s->target);
    }
    note(s, "loops");
    struct stmt *inner = loop; /* the chain stays as it is */
    if (!nest.too_big && nest.parallel)
        while (inner->body != nest.body) inner = inner->body;
    inner->body = schedule_list(s, inner->body);
    explore_end(s, point);
    return loop;
}

static struct stmt *schedule_list(struct scheduler *s, struct stmt *list)
{
    struct stmt *out = NULL;
    while (list) {
        struct stmt *one = list;
        list = list->next;
        one->next = NULL;
        if (one->kind == STMT_FOR && one->step == 1) {
            stmt_append(&out, schedule_loop(s, one));
            continue;
        }
        one->body = schedule_list(s, one->body);
        one->other = schedule_list(s, one->other);
        stmt_append(&out, one);
    }
    return out;
}

/* Whether some call passes one buffer twice, once to be written: lanes side by side are for memory that is apart. */
static bool calls_overlap(const struct stmt *list, const struct kernel *kernel)
{
    for (; list; list = list->next) {
        if (calls_overlap(list->body, kernel) || calls_overlap(list->other, kernel)) return true;
        for (int i = 0; list->kernel == kernel && i < list->n_args; i++)
            for (int k = 0; k < list->n_args; k++)
                if (i != k && list->args[i].buf == list->args[k].buf && kernel->params.at[i]->written) return true;
    }
    return false;
}

static const struct target *target_of(const struct kernel *kernel, const struct target *target)
{
    return kernel->side == SIDE_HOST && target->host ? target->host : target;
}

static struct stmt *schedule_kernel(struct prog *to, struct kernel *kernel, struct stmt *body, void *context)
{
    struct scheduling *all = context;
    const struct kernel *from = all->from->kernels.at[to->kernels.n - 1];
    if (from->side == SIDE_BOTH) return body; /* nobody prints it */
    struct scheduler s = {.prog = to, .target = target_of(from, all->target), .strategy = {.arena = to->arena}, .all = all, .kernel = kernel,
                          .tuning = all->tuning};
    s.constant = pack_constants(all->from, from, to->arena);
    if (s.tuning && !given_start(&s, from)) all->failed = true;
    loopnest_split(to, body);
    loopnest_collapse(to, body);
    bool kept = false;
    body = schedule_keep(to, body, s.target->l2_bytes / 2, &kept);
    bool groups = all->device && kernel->side != SIDE_HOST;
    if (groups && body && !body->next && !calls_overlap(all->from->main, from)) s.whole = body;
    s.body = rewrite_list(rewriter_new(to), body);
    body = schedule_list(&s, body);
    if (s.given) given_finish(&s);
    all->failed |= s.failed;
    kernel->strategy = text_string(&s.strategy);
    body = lets_share(to, body);
    if (s.cases || kept) kernel->flops = flops_of(to, body); /* each case has its own copy now; values are computed once */
    return body;
}

struct prog *pass_schedule(const struct prog *prog, struct arena *unit, const struct pass_options *options)
{
    struct scheduling all = {.from = prog, .target = options->target, .tuning = options->tuning, .threads = options->threads,
                            .device = options->device};
    if (options->level == 0) return prog_copy(prog, unit, NULL, NULL);
    if (all.tuning) all.target = tuning_target(all.tuning, all.target);
    struct prog *to = prog_copy(prog, unit, schedule_kernel, &all);
    if (all.failed) return NULL;
    pack_apply(to, all.packs.at, all.packs.n);
    return to;
}
