/* tenon tune: which schedules are fastest on this machine, into a tuning file.
 *
 * Every round gives each kernel the next of its records (passes/explore.c) and measures all of them in one build of the
 * model (cmd_tune_round.c). A kernel's best record so far is what its others are listed around the next time. At the
 * end the best are built together and measured again for longer: a kernel keeps its record only where that is still
 * faster beyond noise, and all of them only if the whole model is no slower. Choosing the least of many noisy times
 * favours lucky ones; the last measurement, which chooses nothing, is what is reported.
 */
#define _POSIX_C_SOURCE 200809L
#include "cmd_tune.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { EXPLORATIONS_MOST = 3 };
#define BETTER 0.98  /* of the untuned time: worth another measurement */
#define SECONDS_LEAST 0.4 /* of running in a round */
#define KEPT 0.99    /* in the last measurement */
#define WORTH 0.0002 /* of the whole model's time: less is no line's worth */
#define NO_SLOWER 1.005

struct trying { /* a kernel of a key */
    const char *name;
    LIST(const char *) records; /* the untuned first; n_tried of them measured */
    int n_tried;
    int now, best;              /* of records; now: this round */
    double ratio;               /* of the best to the untuned */
    struct tune_time time;      /* of the best */
};
struct tuner {
    struct session *session;
    const struct options *options;
    struct tuning *given; /* --tuning's lines */
    struct tune_model model;
    struct trying *kernels; /* by model.keys */
    double seconds;         /* of running in a round */
    int rounds;
    struct tuning_machine *machine; /* measured, or NULL */
};

static volatile sig_atomic_t interrupted; /* a signal handler can reach nothing else */

static void interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

bool tune_interrupted(void)
{
    return interrupted;
}

/* The given lines without those of kernels in `chosen`, and the chosen ones. chosen[k]: of kernel k's records, 0: none. */
static struct tuning *make_tuning(const struct tuner *tuner, const int *chosen, bool comments)
{
    const struct tuning *given = tuner->given;
    struct arena *arena = tuner->session->arena;
    struct tuning *made = tuning_new(arena, tuner->session->diag, given->target, given->maker, given->threads);
    for (int i = 0; i < given->machines.n; i++) LIST_PUSH(arena, &made->machines, given->machines.at[i]);
    if (tuner->machine) LIST_PUSH(arena, &made->machines, *tuner->machine);
    for (int i = 0; i < given->lines.n; i++) LIST_PUSH(arena, &made->lines, given->lines.at[i]);
    for (int k = 0; k < tuner->model.n_keys; k++) {
        const struct trying *kernel = &tuner->kernels[k];
        if (chosen[k] == 0) continue;
        struct tuning_line line = {.key = tuner->model.keys[k], .target = given->target, .maker = given->maker,
                                   .threads = given->threads, .records = kernel->records.at[chosen[k]]};
        if (comments)
            line.comment = arena_printf(arena, "%.0f ns, was %.0f by %s: %s", 1e9 * kernel->time.median,
                                        1e9 * kernel->time.base_median, kernel->records.at[0], kernel->name);
        struct tuning_line *old = tuning_find(made, line.key);
        if (old) *old = line;
        else LIST_PUSH(arena, &made->lines, line);
    }
    return made;
}

/* Whole or not at all: into a file beside it, then renamed. */
static bool write_text(struct session *session, const char *path, const char *text)
{
    const char *part = arena_printf(session->arena, "%s.part", path);
    FILE *out = fopen(part, "wb");
    bool ok = out && fputs(text, out) >= 0;
    if (out) ok = !fclose(out) && ok;
    ok = ok && !rename(part, path);
    return ok || diag_error(session->diag, (struct place){.path = path}, "cannot write: %s", strerror(errno));
}

static bool write_file(struct session *session, const char *path, const struct tuning *tuning)
{
    struct text text = {.arena = session->arena};
    tuning_print(tuning, &text);
    return write_text(session, path, text_string(&text));
}

static void add_record(struct tuner *tuner, struct trying *kernel, const char *records)
{
    for (int i = 0; i < kernel->records.n; i++)
        if (!strcmp(kernel->records.at[i], records)) return;
    LIST_PUSH(tuner->session->arena, &kernel->records, arena_strdup(tuner->session->arena, records));
}

/* What the exploration lists, one loop changed at a time, the first of all loops' first. */
static void add_records(struct tuner *tuner, const struct tuning *explored)
{
    struct arena *arena = tuner->session->arena;
    for (int i = 0; i < explored->explored.n; i++) {
        const struct tuning_kernel *from = &explored->explored.at[i];
        int k = 0, most = 1;
        while (tuner->model.keys[k] != from->key) k++;
        int *which = NEW_ARRAY(arena, int, from->points.n + 1);
        if (!tuner->kernels[k].name) tuner->kernels[k].name = from->name;
        add_record(tuner, &tuner->kernels[k], tuning_records(from, which, arena));
        for (int j = 1; j < most || j == 1; j++)
            for (int p = 0; p < from->points.n; p++) {
                if (from->points.at[p].n > most) most = from->points.at[p].n;
                if (j >= from->points.at[p].n) continue;
                which[p] = j;
                add_record(tuner, &tuner->kernels[k], tuning_records(from, which, arena));
                which[p] = 0;
            }
    }
}

/* Whether the kernel's part of what the whole model gains is worth a line. */
static bool matters(const struct tune_time *time, const struct tune_time *whole)
{
    return time->base_median - time->median > WORTH * whole->base_median;
}

static int *best_of(const struct tuner *tuner, double ratio)
{
    int *chosen = NEW_ARRAY(tuner->session->arena, int, tuner->model.n_keys + 1);
    for (int k = 0; k < tuner->model.n_keys; k++)
        if (tuner->kernels[k].ratio < ratio) chosen[k] = tuner->kernels[k].best;
    return chosen;
}

/* One round of new records; *more: there were any. False: no time left, or nothing came of it. */
static bool try_next(struct tuner *tuner, bool *more)
{
    struct tune_model *model = &tuner->model;
    int *chosen = best_of(tuner, BETTER), better = 0;
    struct tune_time whole, *times = NEW_ARRAY(tuner->session->arena, struct tune_time, model->n_keys + 1);
    *more = false;
    for (int k = 0; k < model->n_keys; k++) {
        struct trying *kernel = &tuner->kernels[k];
        kernel->now = kernel->n_tried < kernel->records.n ? kernel->n_tried : -1;
        if (kernel->now > 0) chosen[k] = kernel->now;
        *more |= kernel->now > 0;
        better += kernel->best > 0;
    }
    if (!*more) return true;
    progress_show(tuner->session, "round %d, %.0f s left: %d of %d kernels are faster so far", tuner->rounds + 1,
                  model->deadline - clock_seconds(), better, model->n_keys);
    double reserve = 2 * (1.2 * model->build_seconds + 2 * tuner->seconds);
    model->deadline -= reserve;
    bool ok = tune_round(model, make_tuning(tuner, chosen, false), tuner->seconds, times, &whole);
    model->deadline += reserve;
    tuner->rounds += ok;
    for (int k = 0; ok && k < model->n_keys; k++) {
        struct trying *kernel = &tuner->kernels[k];
        if (kernel->now < 0) continue;
        kernel->n_tried = kernel->now + 1;
        double ratio = tune_ratio(&times[k]);
        if (ratio >= kernel->ratio || !matters(&times[k], &whole)) continue;
        kernel->ratio = ratio;
        kernel->best = kernel->now;
        kernel->time = times[k];
    }
    return ok;
}

/* Rounds until everything listed was tried, the time is over, or the user has enough. */
static bool search(struct tuner *tuner)
{
    for (int i = 0; i < EXPLORATIONS_MOST; i++) {
        bool more = true, any = false;
        if (i > 0) {
            struct tuning *around = make_tuning(tuner, best_of(tuner, BETTER), false);
            around->explore = tuner->options->top;
            if (!tune_explore(&tuner->model, around)) return false;
            add_records(tuner, around);
        }
        while (more) {
            if (interrupted || !try_next(tuner, &more)) return true;
            any |= more;
            if (more && !write_file(tuner->session, tuner->options->out, make_tuning(tuner, best_of(tuner, BETTER), true)))
                return false;
        }
        if (!any) return true;
    }
    return true;
}

/* The best together, for longer, until those that are no better than untuned are gone. False: not measured. */
static bool confirm(struct tuner *tuner, int *chosen, struct tune_time *whole)
{
    struct tune_model *model = &tuner->model;
    struct tune_time *times = NEW_ARRAY(tuner->session->arena, struct tune_time, model->n_keys + 1);
    for (int round = 0; round < 2; round++) {
        int dropped = 0;
        progress_show(tuner->session, "the best together, beside the untuned model");
        if (!tune_round(model, make_tuning(tuner, chosen, false), 2 * tuner->seconds, times, whole)) return round > 0;
        for (int k = 0; k < model->n_keys; k++) {
            if (chosen[k] == 0) continue;
            tuner->kernels[k].time = times[k];
            if (tune_ratio(&times[k]) < KEPT && matters(&times[k], whole)) continue;
            chosen[k] = 0;
            dropped++;
        }
        if (!dropped) break;
    }
    double least = whole->least / whole->base_least, median = whole->median / whole->base_median;
    if ((least < median ? least : median) > NO_SLOWER) memset(chosen, 0, (size_t)model->n_keys * sizeof *chosen);
    return true;
}

static void report(const struct tuner *tuner, const int *chosen, bool confirmed, const struct tune_time *whole)
{
    int n = 0;
    for (int k = 0; k < tuner->model.n_keys; k++) n += chosen[k] > 0;
    printf("%s: %d of %d kernels are faster by other records, after %d rounds%s\n", tuner->options->paths[0], n,
           tuner->model.n_keys, tuner->rounds, confirmed ? "" : "; not measured together");
    for (int k = 0; k < tuner->model.n_keys; k++) {
        const struct trying *kernel = &tuner->kernels[k];
        if (chosen[k] == 0) continue;
        printf("  %s: %.4g us, was %.4g\n    %s\n    was %s\n", kernel->name, 1e6 * kernel->time.median,
               1e6 * kernel->time.base_median, kernel->records.at[chosen[k]], kernel->records.at[0]);
    }
    if (confirmed && n)
        printf("the model: median %.4g ms, was %.4g; least %.4g ms, was %.4g\n", 1e3 * whole->median,
               1e3 * whole->base_median, 1e3 * whole->least, 1e3 * whole->base_least);
}

static bool open_model(struct tuner *tuner)
{
    struct session *session = tuner->session;
    tuner->given->explore = tuner->options->top;
    if (!tune_open(session, tuner->options, tuner->given, &tuner->model)) return false;
    if (tuner->model.n_keys == 0)
        return diag_error(session->diag, (struct place){0}, "nothing is scheduled at -O%d, so there is nothing to tune",
                          tuner->options->pipeline.pass.level);
    tuner->kernels = NEW_ARRAY(session->arena, struct trying, tuner->model.n_keys);
    for (int k = 0; k < tuner->model.n_keys; k++) tuner->kernels[k] = (struct trying){.n_tried = 1, .ratio = 1};
    add_records(tuner, tuner->given);
    tuner->given->explore = 0;
    return true;
}

/* All lines there could be, those not chosen as comments. */
static bool write_list(struct tuner *tuner)
{
    struct text text = {.arena = tuner->session->arena};
    const struct tuning *given = tuner->given;
    tuning_print(tuning_new(text.arena, given->diag, given->target, given->maker, given->threads), &text);
    for (int k = 0; k < tuner->model.n_keys; k++) {
        const struct trying *kernel = &tuner->kernels[k];
        text_printf(&text, "# %s\n", kernel->name);
        for (int i = 0; i < kernel->records.n; i++) {
            struct tuning_line line = {.key = tuner->model.keys[k], .target = given->target, .maker = given->maker,
                                       .threads = given->threads, .records = kernel->records.at[i]};
            if (i) text_add(&text, "#   ");
            tuning_print_line(&line, &text);
        }
    }
    progress_show(tuner->session, NULL);
    if (tuner->options->out) return write_text(tuner->session, tuner->options->out, text_string(&text));
    fputs(text_string(&text), stdout);
    return true;
}

static bool tune_kernels(struct tuner *tuner)
{
    struct session *session = tuner->session;
    struct tune_time whole = {0};
    struct sigaction action = {.sa_flags = (int)SA_RESETHAND}, before;
    if (!tune_start(&tuner->model, tuner->given)) return false;
    tuner->seconds = tuner->options->budget / 40.0;
    if (tuner->seconds > tuner->model.build_seconds) tuner->seconds = tuner->model.build_seconds;
    if (tuner->seconds < SECONDS_LEAST) tuner->seconds = SECONDS_LEAST;
    action.sa_handler = interrupt;
    sigaction(SIGINT, &action, &before);
    bool ok = search(tuner);
    int *chosen = best_of(tuner, BETTER);
    bool confirmed = ok && !interrupted && confirm(tuner, chosen, &whole);
    sigaction(SIGINT, &before, NULL);
    if (tuner->model.base_run) engine_close(tuner->model.base_run);
    progress_show(session, NULL);
    if (!ok || !write_file(session, tuner->options->out, make_tuning(tuner, chosen, true))) return false;
    report(tuner, chosen, confirmed, &whole);
    return true;
}

int command_tune(struct session *session, const struct options *options)
{
    struct tuner tuner = {.session = session, .options = options, .given = options->pipeline.pass.tuning};
    if (!options->out && !options->list) {
        fputs("tenon: -o FILE is missing: where shall the tuning file go? (tenon tune --help)\n", stderr);
        return STATUS_USAGE;
    }
    if (!tuner.given)
        tuner.given = tuning_new(session->arena, session->diag, options->target->name,
                                 engine_name(options->engine), options->threads);
    if (options->machine && options->n_paths) {
        fputs("tenon: --machine is without a MODEL: `tenon tune MODEL --tuning=FILE` starts from what it wrote\n", stderr);
        return STATUS_USAGE;
    }
    if (options->machine) {
        tuner.machine = NEW(session->arena, struct tuning_machine);
        progress_show(session, "measuring the machine");
        cpu_measure(options->target, session->arena, tuner.machine);
        printf("machine: %.3g vector multiply-adds and %.3g loads a cycle, latency %.3g; %s\n", tuner.machine->fmas_per_cycle,
               tuner.machine->loads_per_cycle, tuner.machine->fma_latency, tuner.machine->comment);
    }
    if (options->n_paths == 0)
        return write_file(session, options->out, make_tuning(&tuner, NULL, false)) ? STATUS_OK : STATUS_INPUT;
    if (!open_model(&tuner)) return STATUS_INPUT;
    return (options->list ? write_list(&tuner) : tune_kernels(&tuner)) ? STATUS_OK : STATUS_INPUT;
}
