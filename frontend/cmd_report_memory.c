/* The arena over a run: which buffers live from which call to which, and which of them make the peak. */
#include "../passes/plan.h"
#include "cmd_report.h"

#include <stdlib.h>

/* By step of the plan: the first call at or after it, and the last at or before it. */
struct call_steps {
    int *after, *before;
};

static struct call_steps number_steps(const struct report *report, const struct lives *lives, struct arena *arena)
{
    int n = lives->steps.n, call = 0;
    struct call_steps steps = {NEW_ARRAY(arena, int, n + 2), NEW_ARRAY(arena, int, n + 2)};
    for (int i = 1; i <= n; i++) {
        steps.after[i] = call < report->n_calls ? call : report->n_calls - 1;
        if (call < report->n_calls && lives->steps.at[i - 1] == report->calls[call].call) call++;
        steps.before[i] = call > 0 ? call - 1 : 0;
    }
    return steps;
}

static int compare_buffers(const void *a, const void *b)
{
    const struct report_buffer *x = a, *y = b;
    if (x->offset_bytes != y->offset_bytes) return x->offset_bytes < y->offset_bytes ? -1 : 1;
    return x->buf->id - y->buf->id;
}

void report_memory(struct report *report, struct arena *arena)
{
    struct lives lives;
    const struct prog *prog = report->prog;
    plan_lives(prog, arena, &lives);
    struct call_steps steps = number_steps(report, &lives, arena);
    report->buffers = NEW_ARRAY(arena, struct report_buffer, lives.n + 1);
    report->n_buffers = 0;
    report->peak_call = report->n_calls ? 0 : -1;
    for (int i = 0; i < lives.n && report->n_calls; i++) {
        const struct life *life = &lives.at[i];
        if (!life->buf || life->first < 1) continue;
        struct report_buffer *to = &report->buffers[report->n_buffers++];
        *to = (struct report_buffer){.buf = life->buf, .first = steps.after[life->first], .last = steps.before[life->last]};
        to->offset_bytes = dim_eval(prog->dims, life->buf->offset_bytes, report->symbols);
        to->n_bytes = dim_eval(prog->dims, life->buf->elements, report->symbols) * dtype_bytes(life->buf->dt);
        if (to->last < to->first) to->last = to->first;
    }
    qsort(report->buffers, (size_t)report->n_buffers, sizeof *report->buffers, compare_buffers);
    struct span *spans = NEW_ARRAY(arena, struct span, report->n_buffers + 1);
    for (int i = 0; i < report->n_buffers; i++) {
        const struct report_buffer *b = &report->buffers[i];
        spans[i] = (struct span){b->first, b->last, b->offset_bytes, b->offset_bytes + b->n_bytes};
    }
    for (int i = 0; i < report->n_calls; i++) {
        report->calls[i].live_bytes = spans_live(spans, report->n_buffers, i);
        if (report->calls[i].live_bytes > report->calls[report->peak_call].live_bytes) report->peak_call = i;
    }
    for (int i = 0; i < report->n_buffers; i++) {
        struct report_buffer *b = &report->buffers[i];
        b->at_peak = b->first <= report->peak_call && b->last >= report->peak_call;
    }
}
