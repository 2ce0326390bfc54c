/* tenon bench: latency, memory, FLOP/s, and their part of the multiply-add peak that this machine reaches now.
 *
 * Median and least of repeated runs on the same random input, one thread, after one first run that is reported by
 * itself. The peak is measured in the same process: independent chains of vector multiply-adds (cmd_peak.c). With
 * --layers, --report or --trace the program has marks, which are listened to in runs of their own after those
 * (cmd_profile.h).
 */
#define _POSIX_C_SOURCE 200809L
#include "cmd.h"
#include "cmd_peak.h"
#include "cmd_report.h"

#include <stdlib.h>

struct result {
    int runs;
    double median, least, first, compile; /* seconds */
    struct totals totals;
    int64_t code_bytes;
    double peak; /* FLOP/s */
};

static bool time_runs(struct session *session, const struct options *options, struct engine_run *run,
                      const struct trial *trial, struct result *result)
{
    result->first = engine_time(session, run, trial->in, trial->symbols, trial->n_out);
    double warm = result->first < 0 ? -1 : engine_time(session, run, trial->in, trial->symbols, trial->n_out);
    if (warm < 0) return false;
    double wanted = warm > 0 ? 1.0 / warm : 10000;
    int runs = options->runs ? options->runs : wanted < 5 ? 5 : wanted > 10000 ? 10000 : (int)wanted;
    double *seconds = NEW_ARRAY(session->arena, double, runs);
    for (int i = 0; i < runs; i++) {
        seconds[i] = engine_time(session, run, trial->in, trial->symbols, trial->n_out);
        if (seconds[i] < 0) return false;
    }
    result->runs = runs;
    result->median = numbers_median(seconds, runs);
    result->least = seconds[0];
    return true;
}

static void print_json(struct session *session, const struct options *options, const struct result *r)
{
    struct text json = {.arena = session->arena};
    double rate = r->median > 0 ? r->totals.flops / r->median : 0;
    text_add(&json, "{\"model\": ");
    json_string(&json, options->paths[0]);
    text_printf(&json, ", \"target\": \"%s\", \"threads\": %d, \"runs\": %d",
                engine_name(options->engine), options->threads, r->runs);
    text_printf(&json, ", \"median_ms\": %.6g, \"min_ms\": %.6g, \"first_ms\": %.6g, \"compile_ms\": %.6g",
                1e3 * r->median, 1e3 * r->least, 1e3 * r->first, 1e3 * r->compile);
    text_printf(&json, ", \"arena_bytes\": %lld, \"weight_bytes\": %lld, \"code_bytes\": %lld",
                (long long)r->totals.arena_bytes, (long long)r->totals.weight_bytes, (long long)r->code_bytes);
    text_printf(&json, ", \"flops\": %.0f, \"gflops_per_s\": ", r->totals.flops);
    json_number(&json, rate * 1e-9);
    text_add(&json, ", \"peak_fraction\": ");
    json_number(&json, rate / r->peak);
    text_add(&json, ", \"peak_gflops_per_s\": ");
    json_number(&json, r->peak * 1e-9);
    text_add(&json, "}\n");
    fputs(text_string(&json), stdout);
}

static void print_result(const struct options *options, const struct result *r)
{
    double rate = r->median > 0 ? r->totals.flops / r->median : 0;
    printf("%s through %s for %s, %d thread%s\n", options->paths[0], engine_title(options->engine),
           options->target->name, options->threads, options->threads > 1 ? "s" : "");
    printf("  median %.4g ms, least %.4g ms of %d runs; first run %.4g ms; compiled in %.0f ms\n", 1e3 * r->median,
           1e3 * r->least, r->runs, 1e3 * r->first, 1e3 * r->compile);
    printf("  arena %lld bytes, weights %lld bytes, code %lld bytes\n", (long long)r->totals.arena_bytes,
           (long long)r->totals.weight_bytes, (long long)r->code_bytes);
    printf("  %.4g GFLOP a run, %.4g GFLOP/s, %.1f %% of this machine's %.4g\n", r->totals.flops * 1e-9, rate * 1e-9,
           100 * rate / r->peak, r->peak * 1e-9);
}

/* The calls' times after the whole runs', and what is made of them. */
static bool report_calls(struct session *session, const struct options *options, struct engine_run *run,
                         const struct prog *prog, const struct trial *trial, const struct result *result,
                         struct report *report)
{
    enum { RUNS_MOST = 1000 }; /* a sample of every call is kept of each */
    struct profile *profile = NEW(session->arena, struct profile);
    int runs = result->runs < RUNS_MOST ? result->runs : RUNS_MOST;
    progress_show(session, "timing calls");
    if (!profile_take(session, run, prog, trial, runs, processors_of(options, prog), session->arena, profile)) return false;
    *report = (struct report){.median = result->median, .least = result->least, .first = result->first, .runs = result->runs};
    report_make(session, options, prog, trial->symbols, profile, report);
    return true;
}

int command_bench(struct session *session, const struct options *given)
{
    struct unit unit;
    struct trial trial;
    struct result result = {0};
    struct report report;
    struct options changed = *given, *options = &changed;
    bool calls = options->layers || options->reports.n || options->trace;
    if (options->json && options->layers) {
        fputs("tenon: --json prints one object and --layers a table: --report=FILE.json writes the calls as JSON\n", stderr);
        return STATUS_USAGE;
    }
    options->pipeline.pass.profile = calls;
    double start = clock_seconds();
    if (!model_open(session, options, options->paths[0], session->arena, &unit)) return STATUS_INPUT;
    if (!trial_make(&unit, 1, NULL, session->arena, &trial, session->diag)) return STATUS_INPUT;
    if (!model_lower(session, options, session->arena, &unit)) return STATUS_INPUT;
    struct engine_run *run = engine_open(session, options, options->engine, &unit);
    if (!run) return STATUS_INPUT;
    result.compile = clock_seconds() - start;
    program_totals(unit.prog, trial.symbols, session->arena, &result.totals);
    result.code_bytes = engine_code_bytes(run);
    progress_show(session, "timing");
    bool ok = time_runs(session, options, run, &trial, &result);
    ok = ok && (!calls || report_calls(session, options, run, unit.prog, &trial, &result, &report));
    engine_close(run);
    if (!ok) return STATUS_INPUT;
    result.peak = calls ? report.machine.flops : peak_flops(processors_of(options, unit.prog));
    progress_show(session, NULL);
    if (options->json) print_json(session, options, &result);
    else print_result(options, &result);
    if (options->layers) report_print(&report, stdout);
    return !calls || report_write(session, options, &report) ? STATUS_OK : STATUS_INPUT;
}
