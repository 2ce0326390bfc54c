/* What a planned program costs: operations, bytes, the arena and the largest set of buffers alive at once. */
#include "cmd.h"

#include <stdlib.h>

struct walk {
    const struct prog *prog;
    const int64_t *symbols;
    struct span *spans; /* by buffer id */
    double flops, bytes;
};

static void note_use(struct walk *walk, const struct buffer *buf, int step)
{
    if (!buf || buf->space != SPACE_ARENA) return;
    struct span *span = &walk->spans[buf->id];
    if (span->last < 0) {
        int64_t elements = dim_eval(walk->prog->dims, buf->elements, walk->symbols);
        span->first = step;
        span->lo = dim_eval(walk->prog->dims, buf->offset_bytes, walk->symbols);
        span->hi = span->lo + elements * dtype_bytes(buf->dt);
    }
    span->last = step;
}

static void walk_expr(struct walk *walk, ex e, int step)
{
    if (!e) return;
    note_use(walk, e->buf, step);
    for (int i = 0; i < expr_row(e->op)->args; i++) walk_expr(walk, e->arg[i], step);
}

/* Iterations of a loop of main, of all workers together. The parts of a loop that is dealt out share the iterations of
 * the loop inside. */
static double trips_of(const struct walk *walk, const struct stmt *loop)
{
    if (loop->loop == LOOP_PARALLEL) return 1;
    const struct dims *dims = walk->prog->dims;
    int64_t n = dim_eval(dims, loop->var->hi, walk->symbols) - dim_eval(dims, loop->var->lo, walk->symbols) + 1;
    return n > 0 ? (double)n : 0;
}

/* A loop that ends by what it computes runs an unknown number of times: its body counts once. */
static void walk_stmts(struct walk *walk, const struct stmt *list, int step, int depth, double times)
{
    for (const struct stmt *s = list; s; s = s->next) {
        if (depth == 0) step++;
        note_use(walk, s->buf, step);
        walk_expr(walk, s->a, step);
        walk_expr(walk, s->b, step);
        walk_expr(walk, s->c, step);
        for (int i = 0; i < s->n_args; i++) note_use(walk, s->args[i].buf, step);
        if (s->kernel) {
            walk->flops += times * s->kernel->flops;
            walk->bytes += times * s->kernel->bytes;
        }
        walk_stmts(walk, s->body, step, depth + 1, s->kind == STMT_FOR ? times * trips_of(walk, s) : times);
        walk_stmts(walk, s->other, step, depth + 1, times);
    }
}

static int compare_spans(const void *a, const void *b)
{
    const struct span *x = a, *y = b;
    return x->lo < y->lo ? -1 : x->lo > y->lo;
}

int64_t spans_live(const struct span *sorted, int n, int step)
{
    int64_t sum = 0, end = 0;
    for (int i = 0; i < n; i++) {
        const struct span *span = &sorted[i];
        if (span->first > step || span->last < step) continue;
        int64_t lo = span->lo > end ? span->lo : end;
        if (span->hi > lo) sum += span->hi - lo;
        if (span->hi > end) end = span->hi;
    }
    return sum;
}

static void walk_main(struct walk *walk, const struct prog *prog, struct arena *arena)
{
    walk->spans = NEW_ARRAY(arena, struct span, prog->next_buffer + 1);
    for (int i = 0; i < prog->next_buffer; i++) walk->spans[i].last = -1;
    walk_stmts(walk, prog->main, -1, 0, 1);
}

int program_live(const struct prog *prog, const int64_t *symbols, int step, struct arena *arena,
                 const struct buffer **live)
{
    struct walk walk = {.prog = prog, .symbols = symbols};
    int n = 0;
    walk_main(&walk, prog, arena);
    for (int i = 0; i < prog->buffers.n; i++) {
        const struct span *span = &walk.spans[prog->buffers.at[i]->id];
        if (span->last >= step && span->first <= step) live[n++] = prog->buffers.at[i];
    }
    return n;
}

void program_totals(const struct prog *prog, const int64_t *symbols, struct arena *arena, struct totals *totals)
{
    struct walk walk = {.prog = prog, .symbols = symbols};
    int n = 0;
    walk_main(&walk, prog, arena);
    for (int i = 0; i < prog->next_buffer; i++)
        if (walk.spans[i].last >= 0) walk.spans[n++] = walk.spans[i];
    qsort(walk.spans, (size_t)n, sizeof *walk.spans, compare_spans);
    *totals = (struct totals){.flops = walk.flops, .bytes = walk.bytes};
    for (int i = 0; i < n; i++) { /* the live set grows only where a buffer begins */
        int64_t live = spans_live(walk.spans, n, walk.spans[i].first);
        if (live > totals->live_bytes) {
            totals->live_bytes = live;
            totals->live_step = walk.spans[i].first;
        }
    }
    totals->arena_bytes = dim_eval(prog->dims, prog->arena_bytes, symbols);
    struct weights_layout layout = {0};
    weights_place(&(struct version){.prog = prog}, 1, arena, &layout);
    totals->weight_bytes = layout.n_bytes;
}
