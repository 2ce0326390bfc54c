/* Between the parts of `tenon quantize`: what it knows (struct quantization) and the steps that cmd_quantize.c takes in turn.
 *
 *     cmd_quantize.c        ranges, and each layer's own error
 *     cmd_quantize_cost.c   which layers are faster on bytes
 *     cmd_quantize_bound.c  which of these the bound on the loss allows
 */
#ifndef TENON_CMD_QUANTIZE_INSIDE_H
#define TENON_CMD_QUANTIZE_INSIDE_H
#include "cmd_quantize.h"

struct quantization {
    struct session *session;
    struct options options; /* with the engine chosen, for this machine */
    const struct target *cpu; /* that the model is for */
    struct graph *graph;
    struct samples samples;
    struct quantize_plan *plan;
    struct quantize_narrowing *narrowing; /* --weights; NULL: layers become bytes, what they read as well */
    struct tensor **answers; /* of the float model, by sample */
    struct labels labels;    /* with --metric=accuracy */
    int64_t *label_at;       /* by sample: its first row's */
    int64_t n_rows;          /* of all samples, as far as seen */
    int *order;              /* layers on bytes, the one that loses most first */
    int n_order;
    struct loss measured;
    double loss, loss_all;
    double cycles_float, cycles; /* of a run on `cpu`, by the cost model: in floats, as the plan has it; 0: not estimated */
};

/* A program of the graph that runs here, and how many outputs it has; NULL after a message. */
struct engine_run *quantize_compile(struct quantization *q, struct graph *graph, struct arena *arena, int *n_out);
/* Calls `see` with the outputs for every sample that `takes`. */
bool quantize_run(struct quantization *q, struct engine_run *run, int n_out, const char *what, bool (*takes)(const struct quantization *, int),
                  bool (*see)(struct quantization *, int, const struct tensor *));
bool quantize_is_for_ranges(const struct quantization *q, int sample);
/* The layers on bytes into q->order. */
void quantize_order(struct quantization *q);
/* The model as the plan has it now. */
struct graph *quantize_model(struct quantization *q, struct arena *unit);
/* Leaves those layers in float that are not faster on bytes on q->cpu; false after a message. */
bool quantize_leave_slow(struct quantization *q);
/* Leaves the plan with as few layers in float as the bound allows; false after a message. */
bool quantize_meet_bound(struct quantization *q, double bound);
/* After that: what is left may not be faster any more. False after a message. */
bool quantize_leave_slow_again(struct quantization *q);

#endif
