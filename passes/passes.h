/* Passes: functions from one unit to a new unit, in the order of passes.def. The table is read by pipeline.c,
 * which prints, verifies, times and evaluates between them. */
#ifndef TENON_PASSES_H
#define TENON_PASSES_H
#include "../ir/device.h"
#include "../ir/graph.h"
#include "../ir/prog.h"
#include "../ir/target.h"

struct tuning;
struct pass_options {
    const struct target *target;
    int level;        /* -O0 .. -O3 */
    int threads;
    const struct device *device; /* --target=opencl: what its kernels are for; NULL: none */
    bool integer;            /* --numeric=integer: no floating point */
    bool exact_conv;         /* --exact-conv: no convolution by Winograd's algorithm */
    int winograd_tile;       /* --winograd: 2 or 4 outputs a side wherever that is possible; 0: what is cheapest */
    bool profile;            /* marks between the calls of main (pass profile) */
    int64_t grain;           /* --grain: operations worth another thread; 0: the usual number */
    int64_t max_arena_bytes; /* --max-ram; 0: no limit */
    struct tuning *tuning;   /* --tuning; NULL: schedules come from the cost model alone */
    /* Expands a composite node into `to`: the prelude lives in frontend/, above us. in: the node's inputs in `to`;
     * out: its results there. False after an error. */
    bool (*expand_composite)(struct graph *to, const struct node *node, struct value *const *in, struct value **out);
};

/* Whether so many bytes are far more than the second cache level holds. Of a quantized mobilenetv2's depthwise
 * convolutions the one that reads 4.8 MB gains by bytes (548 us to 345 with what writes them), those of 1.8 and 1.6 MB lose
 * (225 to 284, 195 to 269), where the level holds 2 MB and the target table says 1. */
static inline bool pass_is_large(const struct pass_options *options, int64_t n_bytes)
{
    return options->target && options->target->l2_bytes && n_bytes > 2 * (int64_t)options->target->l2_bytes;
}

/* A pass over graphs, and a copy of a node into its result, subgraphs through the pass as well. False after an error. */
typedef struct graph *graph_pass(const struct graph *graph, struct arena *unit, const struct pass_options *options);
bool pass_copy_node(struct graph *to, const struct node *node, struct value **map, graph_pass *pass, struct arena *unit,
                    const struct pass_options *options);
/* What the results of `from` became are those of `to`, which then stands where `from` does. */
void pass_copy_outputs(struct graph *to, const struct graph *from, struct value *const *map);

/* graph -> graph; NULL after an error in graph->diag */
struct graph *pass_absorb(const struct graph *graph, struct arena *unit, const struct pass_options *options);
struct graph *pass_fixed(const struct graph *graph, struct arena *unit, const struct pass_options *options);
struct graph *pass_narrow(const struct graph *graph, struct arena *unit, const struct pass_options *options);
struct graph *pass_compose(const struct graph *graph, struct arena *unit, const struct pass_options *options);
struct graph *pass_simplify(const struct graph *graph, struct arena *unit, const struct pass_options *options);
struct graph *pass_halves(const struct graph *graph, struct arena *unit, const struct pass_options *options);
struct graph *pass_tables(const struct graph *graph, struct arena *unit, const struct pass_options *options);
struct graph *pass_layout(const struct graph *graph, struct arena *unit, const struct pass_options *options);
struct graph *pass_place(const struct graph *graph, struct arena *unit, const struct pass_options *options);
struct graph *pass_fuse(const struct graph *graph, struct arena *unit, const struct pass_options *options);
/* graph -> program: one kernel per stored value, plain loops */
struct prog *pass_lower(const struct graph *graph, struct arena *unit, const struct pass_options *options);
/* program -> program */
struct prog *pass_strips(const struct prog *prog, struct arena *unit, const struct pass_options *options);
struct prog *pass_schedule(const struct prog *prog, struct arena *unit, const struct pass_options *options);
struct prog *pass_expand(const struct prog *prog, struct arena *unit, const struct pass_options *options);
struct prog *pass_bind(const struct prog *prog, struct arena *unit, const struct pass_options *options);
struct prog *pass_await(const struct prog *prog, struct arena *unit, const struct pass_options *options);
struct prog *pass_parallel(const struct prog *prog, struct arena *unit, const struct pass_options *options);
struct prog *pass_profile(const struct prog *prog, struct arena *unit, const struct pass_options *options);
struct prog *pass_plan(const struct prog *prog, struct arena *unit, const struct pass_options *options, struct diag *diag);

#endif
