/* What a program costs, call by call. See cmd_report.h.
 *
 * Bytes are those of elements that are read or written, counted once per call: what a kernel reads again it is taken
 * to find in a cache. Constants are read once a run, so the caches keep of them what they can of all that a run touches;
 * other values were written shortly before, so of those what they can of twice the call's own.
 */
#define _POSIX_C_SOURCE 200809L
#include "cmd_report.h"
#include "../codegen/process.h"
#include "../ir/expr_map.h"
#include "../passes/profile.h"

#include <stdlib.h>
#include <string.h>

const char *bound_name(enum bound bound)
{
    static const char *const names[] = {"compute", "memory", "overhead"};
    return names[bound];
}

double report_seconds(const struct report_call *call)
{
    return call->measured > 0 ? call->measured : call->predicted;
}

/* ---- bytes ---- */

struct traffic {
    const struct prog *prog;
    const int64_t *symbols;
    double *loads, *stores; /* elements, by parameter */
    struct expr_map seen;
};

static void count_loads(struct traffic *traffic, ex e, double times)
{
    if (!e || e->op == EX_const || e->op == EX_dim || e->op == EX_var || expr_map_find(&traffic->seen, e)) return;
    expr_map_add(&traffic->seen, e, 1);
    if (e->op == EX_load && e->buf->space == SPACE_PARAM)
        traffic->loads[e->buf->position] += times * (e->imm == 0 ? 1 : e->lanes);
    for (int i = 0; i < expr_row(e->op)->args; i++) count_loads(traffic, e->arg[i], times);
}

/* Iterations by the range of the variable: an upper bound where the loop's own ends depend on loops around it. */
static double trips_of(const struct traffic *traffic, const struct stmt *loop)
{
    struct dims *dims = traffic->prog->dims;
    int64_t n = dim_eval(dims, loop->var->hi, traffic->symbols) - dim_eval(dims, loop->var->lo, traffic->symbols) + 1;
    if (ex_is_const(loop->a) && ex_is_const(loop->b)) n = loop->b->imm - loop->a->imm;
    return n > 0 ? (double)((n + loop->step - 1) / loop->step) : 0;
}

static void count_list(struct traffic *traffic, const struct stmt *list, double times)
{
    for (const struct stmt *s = list; s; s = s->next) {
        double inside = s->kind == STMT_FOR ? times * trips_of(traffic, s) : s->kind == STMT_WHILE ? 1e18 : times;
        expr_map_clear(&traffic->seen);
        count_loads(traffic, s->a, times);
        count_loads(traffic, s->b, times);
        count_loads(traffic, s->c, times);
        if (s->kind == STMT_STORE && s->buf->space == SPACE_PARAM)
            traffic->stores[s->buf->position] += times * (s->b->lanes > 1 ? s->b->lanes : 1);
        count_list(traffic, s->body, inside);
        count_list(traffic, s->other, inside);
    }
}

double *report_traffic(const struct prog *prog, const struct kernel *kernel, const int64_t *symbols, struct arena *arena)
{
    int n = kernel->params.n;
    struct traffic traffic = {.prog = prog, .symbols = symbols, .seen = {.arena = arena}};
    traffic.loads = NEW_ARRAY(arena, double, n + 1);
    traffic.stores = NEW_ARRAY(arena, double, n + 1);
    count_list(&traffic, kernel->body, 1);
    for (int i = 0; i < n; i++) {
        double most = (double)dim_eval(prog->dims, kernel->params.at[i]->elements, symbols);
        double loads = traffic.loads[i] < most ? traffic.loads[i] : most;
        double stores = traffic.stores[i] < most ? traffic.stores[i] : most;
        traffic.loads[i] = (loads + stores) * (double)dtype_bytes(kernel->params.at[i]->dt);
    }
    return traffic.loads;
}

/* ---- calls ---- */

/* Whether the workers share the call. */
static bool is_divided(const struct prog *prog, const struct stmt *call)
{
    for (int i = 0; i < call->n_scalars && prog->threads; i++)
        if (ex_uses(call->scalars[i], prog->worker)) return true;
    return prog->threads && profile_is_dealt(prog->main, call);
}

static const char *layers_of(const struct stmt *call, struct arena *arena)
{
    const struct place *place = &call->place;
    if (call->origin && *call->origin->layers) return call->origin->layers;
    if (!call->origin && call->kernel && *call->kernel->layers) return call->kernel->layers;
    if (place->line > 0) return arena_printf(arena, "line %d", place->line);
    return place->path ? place->path : "";
}

static void describe_call(const struct report *report, struct report_call *to, struct arena *arena)
{
    const struct stmt *call = to->call;
    to->kernel = call->kernel ? call->kernel->name : call->extern_name;
    to->layers = layers_of(call, arena);
    to->operators = call->origin ? call->origin->operators : to->kernel;
    to->stored = call->origin ? call->origin->stored : "";
    to->n_fused = call->origin ? call->origin->n_fused : 0;
    if (report->on_device) {
        enum side side = call->kernel ? call->kernel->side : SIDE_HOST;
        to->place = side == SIDE_HOST ? "host" : side == SIDE_BOTH ? "transfer" : "device";
    }
    to->strategy = call->kernel ? call->kernel->strategy : "";
    to->times = 1;
    if (!report->profile) return;
    const struct profile_site *site = &report->profile->sites[to->number];
    to->times = site->calls;
    to->measured = site->median;
    to->least = site->least;
}

static void predict_call(const struct report *report, struct report_call *to, double run_bytes)
{
    const struct machine *machine = &report->machine;
    bool divided = is_divided(report->prog, to->call);
    double values = to->bytes - to->weight_bytes, near = to->times > 0 ? 2 * values / to->times : 0;
    double share = divided || report->threads < 2 ? 1 : 1.0 / report->threads; /* of the machine's rates of all threads */
    to->compute = to->flops / (divided ? machine->flops : machine->flops_alone);
    to->memory = (machine_read(machine, to->weight_bytes, run_bytes) + machine_read(machine, values, near)) / share;
    to->predicted = to->compute > to->memory ? to->compute : to->memory;
    double explained = to->measured > 0 ? 0.25 * to->measured : 1e-7 * to->times;
    to->bound = to->predicted <= explained ? BOUND_OVERHEAD : to->compute >= to->memory ? BOUND_COMPUTE : BOUND_MEMORY;
}

static void cost_call(const struct report *report, struct report_call *to, struct arena *arena)
{
    const struct kernel *kernel = to->call->kernel;
    if (!kernel) return;
    const double *traffic = report_traffic(report->prog, kernel, report->symbols, arena);
    to->flops = to->times * kernel->flops;
    to->direct_flops = kernel->direct_flops > 0 ? to->times * kernel->direct_flops : to->flops;
    for (int i = 0; i < to->call->n_args; i++) {
        to->bytes += to->times * traffic[i];
        if (to->call->args[i].buf->space == SPACE_WEIGHT) to->weight_bytes += to->times * traffic[i];
    }
}

static int compare_calls(const void *a, const void *b)
{
    const struct report_call *x = *(const struct report_call *const *)a, *y = *(const struct report_call *const *)b;
    if (report_seconds(x) != report_seconds(y)) return report_seconds(x) < report_seconds(y) ? 1 : -1;
    return (x->number > y->number) - (x->number < y->number);
}

static double interface_bytes(const struct report *report)
{
    const struct prog *prog = report->prog;
    double sum = 0;
    for (int i = 0; i < prog->inputs.n + prog->outputs.n; i++) {
        const struct buffer *buf = i < prog->inputs.n ? prog->inputs.at[i] : prog->outputs.at[i - prog->inputs.n];
        sum += (double)dim_eval(prog->dims, buf->elements, report->symbols) * (double)dtype_bytes(buf->dt);
    }
    return sum;
}

static void make_calls(struct report *report, struct arena *arena)
{
    const struct stmt **calls = prog_calls(report->prog, arena, &report->n_calls);
    double run_bytes = (double)(report->totals.weight_bytes + report->totals.arena_bytes) + interface_bytes(report);
    report->calls = NEW_ARRAY(arena, struct report_call, report->n_calls + 1);
    report->by_time = NEW_ARRAY(arena, const struct report_call *, report->n_calls + 1);
    for (int i = 0; i < report->n_calls; i++) {
        struct report_call *to = &report->calls[i];
        to->number = i;
        to->call = calls[i];
        describe_call(report, to, arena);
        cost_call(report, to, arena);
        predict_call(report, to, run_bytes);
        report->flops += to->flops;
        report->direct_flops += to->direct_flops;
        report->bytes += to->bytes;
        report->predicted += to->predicted;
        report->measured += to->measured;
        report->by_time[i] = to;
    }
    qsort(report->by_time, (size_t)report->n_calls, sizeof *report->by_time, compare_calls);
}

void report_make(struct session *session, const struct options *options, const struct prog *prog,
                 const int64_t *symbols, const struct profile *profile, struct report *report)
{
    const char *path = options->paths[0], *slash = strrchr(path, '/');
    report->model = slash ? slash + 1 : path;
    report->target = engine_title(options->engine);
    report->cpu = options->target->name;
    report->threads = processors_of(options, prog);
    report->on_device = options->device != NULL;
    report->prog = prog;
    report->symbols = symbols;
    report->profile = profile;
    machine_measure(report->threads, &report->machine);
    if (profile) { /* beside the medians of runs, the median peak between them */
        report->machine.flops_alone = profile->peak_alone;
        report->machine.flops = profile->peak;
    }
    program_totals(prog, symbols, session->arena, &report->totals);
    make_calls(report, session->arena);
    report_memory(report, session->arena);
}

/* ---- files ---- */

bool report_write(struct session *session, const struct options *options, const struct report *report)
{
    bool ok = true;
    for (int i = 0; i < options->reports.n; i++) {
        struct text text = {.arena = session->arena};
        if (has_suffix(options->reports.at[i], ".json")) report_json(report, &text);
        else report_html(report, &text);
        ok = file_write(options->reports.at[i], text_string(&text), text.n, session->diag) && ok;
    }
    if (options->trace) {
        struct text text = {.arena = session->arena};
        report_trace(report, &text);
        ok = file_write(options->trace, text_string(&text), text.n, session->diag) && ok;
    }
    return ok;
}
