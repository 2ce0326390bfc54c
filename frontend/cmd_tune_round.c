/* Rounds of tenon tune: the model built by some records, timed kernel by kernel beside the untuned one.
 *
 * A round is a child process: what it allocates goes with it, and a schedule that crashed would not take the tuner
 * along. It finds the untuned library loaded, as the parent had it; on an OpenCL device, whose threads no child
 * inherits, it loads that itself.
 * Both are run in turns, in blocks, so that whatever else the machine does meets both; the times of every call come
 * from marks inside the whole model (cmd_profile.h), where weights are as cold as in real use.
 */
#define _POSIX_C_SOURCE 200809L
#include "cmd_profile.h"
#include "cmd_tune.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BLOCKS = 7 };

double tune_ratio(const struct tune_time *time)
{
    if (!(time->base_least > 0) || !(time->base_median > 0)) return 1;
    double least = time->least / time->base_least, median = time->median / time->base_median;
    return least > median ? least : median;
}

/* The passes after lower on the unit; stop: after schedule. Packed weights go where `session` of the unit says. */
static bool lower_rest(struct tune_model *model, struct tuning *tuning, bool stop, struct arena *arena, struct unit *unit)
{
    struct pipeline_options pipeline;
    enum pass order[PIPELINE_MOST];
    model_pipeline(model->session, model->options, &pipeline);
    pipeline.pass.tuning = tuning;
    pipeline.pass.profile = true;
    int n = pipeline_order(&pipeline, order, model->session->diag);
    for (int i = 0; i < n; i++) {
        if (order[i] <= PASS_lower || (stop && order[i] > PASS_schedule)) continue;
        if (!pipeline_step(unit, order[i], arena, &pipeline.pass, model->session->diag)) return false;
    }
    return n > 0;
}

bool tune_explore(struct tune_model *model, struct tuning *tuning)
{
    struct arena *scratch = arena_new();
    struct prog prog = *model->lowered.prog;
    struct unit unit = {.prog = &prog};
    prog.session = scratch; /* packed weights that nobody reads */
    tuning->explored.n = 0;
    bool ok = lower_rest(model, tuning, true, scratch, &unit);
    arena_free(scratch);
    return ok;
}

static void find_keys(struct tune_model *model, const struct tuning *tuning)
{
    uint64_t *keys = NEW_ARRAY(model->session->arena, uint64_t, tuning->explored.n + 1);
    for (int i = 0; i < tuning->explored.n; i++) {
        int k = 0;
        while (k < model->n_keys && keys[k] != tuning->explored.at[i].key) k++;
        keys[k] = tuning->explored.at[i].key;
        if (k == model->n_keys) model->n_keys++;
    }
    model->keys = keys;
}

/* The sizes at which to time: small ones where --size gives none. NULL after a message. */
static const int64_t *time_sizes(struct session *session, const struct options *options)
{
    struct dims *dims = session->dims;
    int n = dims_n_symbols(dims);
    int64_t *sizes = NEW_ARRAY(session->arena, int64_t, n + 1);
    memcpy(sizes, trial_symbols(dims, session->arena), (size_t)n * sizeof *sizes);
    for (int i = 0; i < options->sizes.n; i++) {
        const struct setting *size = &options->sizes.at[i];
        int64_t value = strtoll(size->value, NULL, 10);
        int k = 0;
        while (k < n && strcmp(dims_symbol(dims, k)->name, size->name) != 0) k++;
        if (k == n)
            return diag_error(session->diag, (struct place){0}, "--size: the model has no open dimension '%s'", size->name), NULL;
        if (value < dims_symbol(dims, k)->lo || value > dims_symbol(dims, k)->hi)
            return diag_error(session->diag, (struct place){0}, "--size: %s is %lld..%lld, not %lld", size->name,
                              (long long)dims_symbol(dims, k)->lo, (long long)dims_symbol(dims, k)->hi, (long long)value), NULL;
        sizes[k] = value;
    }
    return sizes;
}

bool tune_open(struct session *session, const struct options *options, struct tuning *tuning, struct tune_model *model)
{
    struct options upto = *options;
    *model = (struct tune_model){.session = session, .options = options, .deadline = clock_seconds() + options->budget};
    if (!model_open(session, options, options->paths[0], session->arena, &model->lowered)) return false;
    const int64_t *sizes = time_sizes(session, options);
    if (!sizes || !trial_make(&model->lowered, 1, sizes, session->arena, &model->trial, session->diag)) return false;
    upto.pipeline.stop_after = "lower";
    if (model->lowered.graph && !model_lower(session, &upto, session->arena, &model->lowered)) return false;
    if (!tune_explore(model, tuning)) return false;
    find_keys(model, tuning);
    return true;
}

static bool on_device(const struct tune_model *model)
{
    return model->options->engine == ENGINE_OPENCL;
}

static bool open_base(struct tune_model *model)
{
    model->base_run = engine_open(model->session, model->options, model->options->engine, &model->base);
    return model->base_run != NULL;
}

/* The end of a child. */
static _Noreturn void leave(const struct tune_model *model, bool ok)
{
    if (!tune_interrupted()) diag_print(model->session->diag, stderr);
    fflush(stderr);
    _exit(!ok);
}

static bool ended_well(pid_t child)
{
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Builds the untuned model in a child: whether that goes, how long it takes, and what the device's compiler keeps. */
static bool try_base(struct tune_model *model)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        bool ok = open_base(model) &&
                  engine_time(model->session, model->base_run, model->trial.in, model->trial.symbols, model->trial.n_out) >= 0;
        leave(model, ok);
    }
    if (pid < 0) return diag_error(model->session->diag, (struct place){0}, "cannot start a process: %s", strerror(errno));
    return ended_well(pid);
}

bool tune_start(struct tune_model *model, struct tuning *tuning)
{
    struct session *session = model->session;
    double start = clock_seconds();
    model->base = model->lowered;
    if (!lower_rest(model, tuning, false, session->arena, &model->base)) return false;
    bool ok = on_device(model) ? try_base(model) : open_base(model);
    model->build_seconds = clock_seconds() - start;
    return ok;
}

static int key_index(const struct tune_model *model, const struct stmt *call)
{
    for (int k = 0; call->kernel && k < model->n_keys; k++)
        if (model->keys[k] == call->kernel->key) return k;
    return -1;
}

/* One side's times of a block: seconds of a run by key (the last: of the whole model) into least[] and median[]. */
static bool time_block(struct tune_model *model, struct engine_run *run, const struct prog *prog, int runs,
                       struct arena *arena, double *least, double *median)
{
    struct profile profile;
    if (!profile_take(model->session, run, prog, &model->trial, runs, 0, arena, &profile)) return false;
    for (int k = 0; k < model->n_keys; k++) least[k] = median[k] = 0;
    for (int i = 0; i < profile.n_sites; i++) {
        int k = key_index(model, profile.sites[i].call);
        if (k < 0) continue;
        least[k] += profile.sites[i].least;
        median[k] += profile.sites[i].median;
    }
    least[model->n_keys] = profile.least;
    median[model->n_keys] = profile.median;
    return true;
}

/* Both sides in turns, with as many runs in a block as fill the time. */
static bool time_sides(struct tune_model *model, struct engine_run *run, const struct prog *prog, double seconds,
                       struct tune_time *times)
{
    struct arena *arena = model->session->arena;
    int n = model->n_keys + 1;
    double *least[2], *median[2][BLOCKS];
    double once = engine_time(model->session, model->base_run, model->trial.in, model->trial.symbols, model->trial.n_out);
    if (once < 0) return false;
    once = engine_time(model->session, model->base_run, model->trial.in, model->trial.symbols, model->trial.n_out);
    double wanted = once > 0 ? seconds / (2 * BLOCKS * once) - 1 : 1000;
    int runs = wanted < 2 ? 2 : wanted > 1000 ? 1000 : (int)wanted;
    for (int b = 0; b < BLOCKS; b++)
        for (int side = 0; side < 2; side++) {
            double *now = NEW_ARRAY(arena, double, n);
            median[side][b] = NEW_ARRAY(arena, double, n);
            if (!time_block(model, side ? run : model->base_run, side ? prog : model->base.prog, runs, arena, now,
                            median[side][b]))
                return false;
            if (b == 0) least[side] = now;
            for (int k = 0; k < n; k++)
                if (now[k] < least[side][k]) least[side][k] = now[k];
        }
    for (int k = 0; k < n; k++) {
        double middle[2], of[BLOCKS];
        for (int side = 0; side < 2; side++) {
            for (int b = 0; b < BLOCKS; b++) of[b] = median[side][b][k];
            middle[side] = numbers_median(of, BLOCKS);
        }
        times[k] = (struct tune_time){least[1][k], middle[1], least[0][k], middle[0]};
    }
    return true;
}

/* The child's part: n_keys + 1 times, the last of the whole model, into the pipe. */
static bool measure(struct tune_model *model, struct tuning *tuning, double seconds, int out)
{
    struct session *session = model->session;
    struct unit unit = model->lowered;
    struct tune_time *times = NEW_ARRAY(session->arena, struct tune_time, model->n_keys + 1);
    if (on_device(model) && !open_base(model)) return false;
    if (!lower_rest(model, tuning, false, session->arena, &unit)) return false;
    struct engine_run *run = engine_open(session, model->options, model->options->engine, &unit);
    if (!run || !time_sides(model, run, unit.prog, seconds, times)) return false;
    const char *at = (const char *)times;
    for (size_t left = sizeof *times * (size_t)(model->n_keys + 1); left > 0;) {
        ssize_t n = write(out, at, left);
        if (n < 0) return false;
        at += n;
        left -= (size_t)n;
    }
    return true;
}

static bool read_all(int in, char *to, size_t n_bytes)
{
    while (n_bytes > 0) {
        ssize_t n = read(in, to, n_bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        to += n;
        n_bytes -= (size_t)n;
    }
    return true;
}

bool tune_round(struct tune_model *model, struct tuning *tuning, double seconds, struct tune_time *times,
                struct tune_time *whole)
{
    int ends[2];
    if (model->deadline - clock_seconds() < 1.2 * model->build_seconds + seconds) return false;
    struct arena *scratch = arena_new();
    struct tune_time *got = NEW_ARRAY(scratch, struct tune_time, model->n_keys + 1);
    fflush(NULL);
    pid_t pid = pipe(ends) ? -1 : fork();
    if (pid == 0) {
        bool ok = measure(model, tuning, seconds, ends[1]);
        leave(model, ok);
    }
    bool ok = pid > 0;
    if (ok) {
        close(ends[1]);
        ok = read_all(ends[0], (char *)got, sizeof *got * (size_t)(model->n_keys + 1));
        close(ends[0]);
        ok = ended_well(pid) && ok;
    }
    for (int k = 0; ok && k < model->n_keys; k++) times[k] = got[k];
    if (ok) *whole = got[model->n_keys];
    arena_free(scratch);
    return ok;
}
