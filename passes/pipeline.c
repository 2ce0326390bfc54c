/* The pass manager. See pipeline.h. */
#define _POSIX_C_SOURCE 200809L
#include "pipeline.h"
#include "trial.h"

#include <string.h>
#include <time.h>

static const struct pass_row rows[] = {
#define PASS(name, kind, level, what) {#name, PASS_##kind, level, what},
#include "passes.def"
#undef PASS
};

const struct pass_row *pass_row(enum pass pass)
{
    return &rows[pass];
}

bool pass_from_name(const char *name, enum pass *pass)
{
    for (int i = 0; i < PASS_COUNT; i++)
        if (!strcmp(rows[i].name, name)) {
            *pass = (enum pass)i;
            return true;
        }
    return false;
}

struct dims *unit_dims(const struct unit *unit)
{
    return unit->graph ? unit->graph->dims : unit->prog->dims;
}

void unit_print(const struct unit *unit, struct text *text)
{
    if (unit->graph) graph_print(unit->graph, text);
    else prog_print(unit->prog, text);
}

bool unit_verify(const struct unit *unit, struct diag *diag)
{
    return unit->graph ? graph_verify(unit->graph, diag) : prog_verify(unit->prog, diag);
}

/* One step of each kind; the rows below expand to calls of these. */
#define STEP_GRAPH(name) return unit->graph && (unit->graph = pass_##name(unit->graph, arena, options)) != NULL
#define STEP_PROG(name) return unit->prog && (unit->prog = pass_##name(unit->prog, arena, options)) != NULL
#define STEP_PLAN(name) return unit->prog && (unit->prog = pass_##name(unit->prog, arena, options, diag)) != NULL
#define STEP_LOWER(name)                                                                                               \
    unit->prog = unit->graph ? pass_##name(unit->graph, arena, options) : NULL;                                        \
    unit->graph = NULL;                                                                                                \
    return unit->prog != NULL

static bool unit_suits(const struct unit *unit, enum pass pass, struct diag *diag)
{
    bool wants_graph = rows[pass].kind == PASS_GRAPH || rows[pass].kind == PASS_LOWER;
    if (wants_graph == (unit->graph != NULL)) return true;
    return diag_error(diag, (struct place){0}, "pass %s works on a %s, and here is a %s", rows[pass].name,
                      wants_graph ? "graph" : "program", wants_graph ? "program" : "graph");
}

bool pipeline_step(struct unit *unit, enum pass pass, struct arena *arena, const struct pass_options *options,
                   struct diag *diag)
{
    if (!unit_suits(unit, pass, diag)) return false;
    switch (pass) {
#define PASS(name, kind, level, what)                                                                                  \
    case PASS_##name:                                                                                                  \
        STEP_##kind(name);
#include "passes.def"
#undef PASS
    case PASS_COUNT:
        break;
    }
    return false;
}

/* True where `name` stands in the list of names between commas. */
static bool list_has(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (const char *s = list; s; s = strchr(s, ',') ? strchr(s, ',') + 1 : NULL)
        if (!strncmp(s, name, n) && (s[n] == ',' || !s[n])) return true;
    return false;
}

static bool unknown_pass(const char *name, size_t n, struct diag *diag)
{
    const char *names[PASS_COUNT];
    char copy[48];
    for (int i = 0; i < PASS_COUNT; i++) names[i] = rows[i].name;
    snprintf(copy, sizeof copy, "%.*s", (int)(n < sizeof copy ? n : sizeof copy - 1), name);
    diag_error(diag, (struct place){0}, "there is no pass '%s'; --list-passes shows them", copy);
    const char *near = diag_suggest(copy, names, PASS_COUNT);
    if (near) diag_note(diag, (struct place){0}, "did you mean '%s'?", near);
    return false;
}

/* Reads names between commas into order (when not NULL); their number, -1 after an error. */
static int read_names(const char *list, enum pass *order, int most, struct diag *diag)
{
    int n = 0;
    for (const char *s = list; s && *s;) {
        size_t length = strcspn(s, ",");
        char name[48];
        snprintf(name, sizeof name, "%.*s", (int)(length < sizeof name ? length : sizeof name - 1), s);
        enum pass pass;
        if (!pass_from_name(name, &pass)) return unknown_pass(s, length, diag), -1;
        if (n == most) return diag_error(diag, (struct place){0}, "more than %d passes", most), -1;
        if (order) order[n] = pass;
        n++;
        s += length;
        if (*s == ',') s++;
    }
    return n;
}

/* Some passes run only where an option asks for what they do. */
static bool is_wanted(enum pass pass, const struct pass_options *options)
{
    if (pass == PASS_fixed) return false; /* it changes what inputs and outputs are: done when a model is read */
    if (pass == PASS_strips) return !options->device; /* its units share every kernel, and it has caches of its own */
    if (pass == PASS_place || pass == PASS_bind || pass == PASS_await) return options->device != NULL;
    if (pass == PASS_parallel) return options->threads > 1 && !options->device;
    if (pass == PASS_profile) return options->profile && !options->device; /* a device has clocks of its own */
    return true;
}

int pipeline_order(const struct pipeline_options *options, enum pass *order, struct diag *diag)
{
    enum pass stop = PASS_COUNT;
    int n = 0;
    if (options->stop_after && !pass_from_name(options->stop_after, &stop))
        return unknown_pass(options->stop_after, strlen(options->stop_after), diag), -1;
    if (options->print_after && strcmp(options->print_after, "all") != 0 &&
        read_names(options->print_after, NULL, PIPELINE_MOST, diag) < 0)
        return -1;
    if (options->passes) {
        n = read_names(options->passes, order, PIPELINE_MOST, diag);
        if (n < 0) return -1;
    } else {
        for (int i = 0; i < PASS_COUNT; i++)
            if (rows[i].level <= options->pass.level && is_wanted((enum pass)i, &options->pass)) order[n++] = (enum pass)i;
    }
    for (int i = 0; i < n; i++)
        if (order[i] == stop) return i + 1;
    /* A pass that this level leaves out: stop before the first one that comes after it. */
    for (int i = 0; i < n && stop < PASS_COUNT; i++)
        if (order[i] > stop) return i;
    return n;
}

void pipeline_list(FILE *out)
{
    static const char *const kinds[] = {"graph", "graph to program", "program", "program"};
    for (int i = 0; i < PASS_COUNT; i++)
        fprintf(out, "%-10s %-17s -O%d  %s\n", rows[i].name, kinds[rows[i].kind], rows[i].level, rows[i].what);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static const char *output_name(const struct unit *unit, int i)
{
    const char *name = unit->graph ? unit->graph->output_names.at[i] : unit->prog->output_names.at[i];
    return name ? name : "?";
}

/* The answers of the unit after `pass` against those before. */
static bool answers_agree(const struct unit *unit, const char *pass, const struct tensor *got, const struct tensor *expected,
                          const struct trial *trial, struct arena *arena, struct diag *diag)
{
    for (int i = 0; i < trial->n_out; i++) {
        struct difference d;
        if (trial_agrees(trial, &got[i], &expected[i], &d)) continue;
        struct dims *dims = unit_dims(unit);
        if (d.n < 0)
            return diag_error(diag, (struct place){0}, "pass %s changed output %d \"%s\" from %s to %s", pass, i,
                              output_name(unit, i), type_string(dims, arena, &expected[i].type),
                              type_string(dims, arena, &got[i].type));
        return diag_error(
            diag, (struct place){0},
            "pass %s changed output %d \"%s\" in %lld of %lld elements: element %lld was %.9g and is %.9g", pass, i,
            output_name(unit, i), (long long)d.n, (long long)type_count(&got[i].type), (long long)d.at, d.expected,
            d.got);
    }
    return true;
}

struct state { /* of one run */
    const struct pipeline_options *options;
    struct arena *arena;
    struct diag *diag;
    struct trial trial;
    struct tensor *answers; /* eval_each: of the unit as it stands */
    const char *printed;    /* print_changed: its text */
};

static const char *text_of(const struct unit *unit, struct arena *arena)
{
    struct text text = {.arena = arena};
    unit_print(unit, &text);
    return text_string(&text);
}

static void print_after(struct state *state, const char *pass, const struct unit *unit)
{
    const struct pipeline_options *options = state->options;
    bool named = options->print_after && (!strcmp(options->print_after, "all") || list_has(options->print_after, pass));
    if (!named && !options->print_changed) return;
    const char *text = text_of(unit, state->arena);
    bool changed = options->print_changed && state->printed && strcmp(text, state->printed) != 0;
    if (named || changed) fprintf(options->out, "# after %s\n%s", pass, text);
    state->printed = text;
}

/* eval_each: the answers that later ones are held to. */
static bool reference_answers(struct state *state, const struct unit *unit)
{
    if (!trial_make(unit, state->options->seed, NULL, state->arena, &state->trial, state->diag)) return false;
    state->answers = trial_eval(unit, &state->trial, state->arena, &state->options->pass, state->diag);
    return state->answers ||
           diag_error(state->diag, (struct place){0}, "the interpreter stops on these random inputs; try another seed");
}

static bool check_after(struct state *state, const char *pass, const struct unit *unit)
{
    if (state->options->verify_each && !unit_verify(unit, state->diag)) {
        diag_print(state->diag, stderr);
        bug(pass, "what this pass made does not verify");
    }
    if (!state->options->eval_each) return true;
    struct tensor *now = trial_eval(unit, &state->trial, state->arena, &state->options->pass, state->diag);
    if (!now) return diag_error(state->diag, (struct place){0}, "after pass %s the interpreter stops", pass);
    bool same = answers_agree(unit, pass, now, state->answers, &state->trial, state->arena, state->diag);
    state->answers = now;
    return same;
}

bool pipeline_run(struct unit *unit, struct arena *arena, const struct pipeline_options *options, struct diag *diag)
{
    struct state state = {.options = options, .arena = arena, .diag = diag};
    enum pass order[PIPELINE_MOST];
    int n = pipeline_order(options, order, diag);
    if (n < 0) return false;
    if (options->verify_each && !unit_verify(unit, diag)) {
        diag_print(diag, stderr);
        bug("build", "the unit read does not verify");
    }
    if (options->print_changed) state.printed = text_of(unit, arena);
    if (options->eval_each && !reference_answers(&state, unit)) return false;
    for (int i = 0; i < n; i++) {
        const char *name = rows[order[i]].name;
        double start = seconds();
        size_t before = arena_bytes(arena);
        if (options->watch) options->watch(options->watch_ctx, order[i], false, unit);
        if (!pipeline_step(unit, order[i], arena, &options->pass, diag)) {
            if (!diag_errors(diag)) bug(name, "failed without a message");
            return false;
        }
        if (options->watch) options->watch(options->watch_ctx, order[i], true, unit);
        if (options->time_passes)
            fprintf(options->out, "# %-10s %9.3f ms %9.1f KiB\n", name, 1e3 * (seconds() - start),
                    (double)(arena_bytes(arena) - before) / 1024);
        print_after(&state, name, unit);
        if (!check_after(&state, name, unit)) return false;
    }
    return true;
}
