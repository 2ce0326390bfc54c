/* Schedules every kernel: plain loops -> explicit vectors, register tiles and unrolling.
 *
 *   for i in 0..1000 { store y[i] = max(x[i], 0.0) }
 *      ->   for i in 0..992 step 16 { store y[i..8] = max(x[i..8], 0.0); store y[i+8..8] = ... }  store y[992..8] = ...
 *
 * For each nest: neighbouring loops that are one loop are merged (loopnest.c), the strides are read, a cost model
 * chooses lanes, tile and order (choose.c), and the nest is generated from that record (tile.c). A nest that is not
 * provably free of order, or whose body has loops of its own that store (softmax: reduce, then store a row), keeps its
 * outer loops, and its inner loops are scheduled one by one. The record is left in kernel->strategy.
 * Needs: plain loops of step 1. Leaves: transcendental functions (pass expand), memory (pass plan).
 */
#include "choose.h"
#include "lets.h"
#include "loops.h"
#include "passes.h"

struct scheduler {
    struct prog *prog;
    const struct target *target;
    struct text strategy;
};

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
    loopnest_analyze(s->prog, loop, &nest);
    if (nest.too_big) return loop;
    nest.n_chain = 0; /* all its axes are the reduction's */
    for (int i = 0; i < nest.accesses.n; i++) nest.accesses.at[i].weight = 2;
    reduce_order(&nest, loop);
    int lanes = choose_lanes(&nest, s->target);
    if (lanes > 1 && choose_inner(&nest)) {
        note(s, arena_printf(s->prog->arena, "reduce lanes=%d", lanes));
        loop = reduce_vectorize(s->prog, loop, lanes, s->target->vector_bytes >= 32);
    } else {
        loop = reduce_unroll(s->prog, loop, 8);
    }
    if (s->target->has_fma) loops_use_fma(s->prog, loop);
    return loop;
}

static struct stmt *schedule_loop(struct scheduler *s, struct stmt *loop)
{
    struct loopnest nest;
    struct tile_plan plan;
    if (reduce_is_pure(loop)) return schedule_reduction(s, loop);
    loopnest_analyze(s->prog, loop, &nest);
    if (!nest.too_big && nest.parallel && choose_plan(&nest, s->target, &plan)) {
        note(s, choose_text(&nest, &plan));
        return tile_nest(&nest, &plan, s->target);
    }
    struct stmt *inner = loop; /* the chain stays as it is */
    if (!nest.too_big && nest.parallel)
        while (inner->body != nest.body) inner = inner->body;
    inner->body = schedule_list(s, inner->body);
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

static struct stmt *schedule_kernel(struct prog *to, struct kernel *kernel, struct stmt *body, void *context)
{
    struct scheduler s = {.prog = to, .target = context, .strategy = {.arena = to->arena}};
    loopnest_collapse(to, body);
    body = schedule_list(&s, body);
    kernel->strategy = text_string(&s.strategy);
    return lets_share(to, body);
}

struct prog *pass_schedule(const struct prog *prog, struct arena *unit, const struct pass_options *options)
{
    if (options->level == 0) return prog_copy(prog, unit, NULL, NULL);
    return prog_copy(prog, unit, schedule_kernel, (void *)(uintptr_t)options->target);
}
