/* Times of main's calls (frontend/cmd_profile.h): every call has a row, with the number of times it ran; the rows do not
 * add up to more than the run; nothing is taken where nobody asks. Through both back ends, with loops, on two threads. */
#include "../frontend/cmd_profile.h"
#include "../passes/profile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define must(what) must_hold((what), #what, __LINE__)
static void must_hold(bool holds, const char *what, int line)
{
    if (holds) return;
    fprintf(stderr, "tests/test_profile.c:%d: not so: %s\n", line, what);
    exit(1);
}

/* Two calls, the second in a loop of five. */
static const char loop_text[] = "program \"loop\"\n"
                                "input x: f32[4096]\noutput y: f32[4096]\narena a: f32[4096] at 0\narena_bytes 16384\n"
                                "kernel root(out y: f32[4096], in x: f32[4096]) {\n  for i in 0..4096 {\n"
                                "    store y[i] = sqrt(load x[i])\n  }\n}\n"
                                "kernel half(out y: f32[4096], in x: f32[4096]) {\n  for i in 0..4096 {\n"
                                "    store y[i] = load x[i] * 0.5\n  }\n}\n"
                                "main {\n  call root(a + 0, x + 0)\n  for k in 0..5 {\n    call half(y + 0, a + 0)\n  }\n}\n";

static struct prog *prog_read(struct session *session, const char *text)
{
    struct source *source = NEW(session->arena, struct source);
    *source = (struct source){.name = "loop.tnp", .text = text, .n_bytes = strlen(text)};
    return prog_parse(source, session->arena, session->arena, session->dims, session->diag);
}

static struct session session_new(void)
{
    struct arena *arena = arena_new();
    return (struct session){.arena = arena, .diag = diag_new(arena), .dims = dims_new(arena)};
}

/* The program lowered by these passes, compiled, timed. */
static void take(struct session *session, enum engine engine, const char *passes, int threads, int runs,
                 struct profile *profile)
{
    struct unit unit = {.prog = prog_read(session, loop_text)};
    struct options options = {.engine = engine, .target = target_find("portable"), .cc = "cc", .threads = threads};
    struct trial trial;
    struct pipeline_options pipeline = {.passes = passes, .verify_each = true, .out = stdout,
                                        .pass = {.target = options.target, .level = 2, .threads = threads, .grain = 1}};
    must(unit.prog != NULL && trial_make(&unit, 1, NULL, session->arena, &trial, session->diag));
    must(pipeline_run(&unit, session->arena, &pipeline, session->diag));
    struct engine_run *run = engine_open(session, &options, engine, &unit);
    must(run != NULL);
    bool ok = profile_take(session, run, unit.prog, &trial, runs, 0, session->arena, profile);
    must(ok == (strstr(passes, "profile") != NULL));
    must(engine_time(session, run, trial.in, trial.symbols, trial.n_out) >= 0); /* marks of nobody */
    engine_close(run);
}

static void check_rows(const struct profile *profile, int runs)
{
    double sum = profile->rest.least;
    must(profile->runs == runs && profile->n_sites == 2);
    must(!strcmp(profile->sites[0].kernel, "root") && !strcmp(profile->sites[1].kernel, "half"));
    must(profile->sites[0].calls == 1 && profile->sites[1].calls == 5);
    for (int i = 0; i < 2; i++) {
        const struct profile_site *site = &profile->sites[i];
        must(site->least > 0 && site->least <= site->median && site->median <= site->total);
        must(site->call && site->call->kernel != NULL);
        sum += site->least;
    }
    must(profile->workers > 1 || sum <= profile->median); /* several may work at the same time */
    must(profile->least <= profile->median);
}

/* Each worker's events follow one another; calls of the loop are there five times. */
static void check_events(const struct profile *profile)
{
    int halves = 0;
    for (int w = 0; w < profile->workers; w++)
        for (int i = 0; i < profile->events[w].n; i++) {
            const struct profile_event *event = &profile->events[w].at[i];
            must(event->site >= PROFILE_WAIT && event->site < profile->n_sites);
            must(event->start <= event->end && event->start >= 0);
            must(i == 0 || profile->events[w].at[i - 1].end <= event->start);
            halves += event->site == 1;
        }
    must(halves >= 5);
}

int main(void)
{
    for (int engine = ENGINE_C; engine <= ENGINE_LLVM; engine++) {
        struct session session = session_new();
        struct profile profile;
        if (engine == ENGINE_LLVM && !llvm_is_built_in()) continue;
        take(&session, (enum engine)engine, "profile", 1, 7, &profile);
        check_rows(&profile, 7);
        check_events(&profile);
        take(&session, (enum engine)engine, "parallel,profile", 2, 3, &profile);
        must(profile.workers == 2 && profile.wait.calls > 0);
        check_rows(&profile, 3);
        check_events(&profile);
        must(diag_errors(session.diag) == 0);
        take(&session, (enum engine)engine, "parallel", 1, 3, &profile); /* no marks: a message */
        must(diag_errors(session.diag) == 1);
        arena_free(session.arena);
    }
    return 0;
}
