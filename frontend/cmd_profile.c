/* The time of every call of main. See cmd_profile.h.
 *
 * A mark (pass profile, ir/extern_note.c) calls note() below on the worker's own thread: it ends what that worker was
 * doing, adds the time to the site's, and begins the next. Each worker writes memory of its own only. After each run
 * the sums become that run's sample of every site; least and median are of the samples. A device says itself, after a
 * run, when each of its kernels began and ended.
 */
#define _POSIX_C_SOURCE 200809L
#include "cmd_peak.h"
#include "cmd_profile.h"
#include "../passes/profile.h"

#include <stdlib.h>
#include <string.h>

struct tally { /* of one worker in one run; index site + 2: PROFILE_WAIT is first */
    int site;  /* what it is doing */
    double since;
    double *seconds, *calls;
    struct profile_events events;
};
struct recorder {
    int n_sites, n_workers;
    double start, clock_cost;
    struct tally *tallies[THREADS_MOST];
};
enum { NO_SITE = -3, OFFSET = 2, PEAKS_MOST = 50 };
struct peaks {
    double alone[PEAKS_MOST], all[PEAKS_MOST];
    int n, processors;
};

static void add_event(struct tally *tally, int site, double start, double end)
{
    tally->calls[site + OFFSET]++;
    tally->events.at[tally->events.n] = (struct profile_event){site, start, end};
    if (tally->events.n < PROFILE_EVENTS_MOST) tally->events.n++; /* one more is room for what is not kept */
}

static void note_device(void *context, int site, double start, double end)
{
    struct tally *tally = ((struct recorder *)context)->tallies[0];
    tally->seconds[site + OFFSET] += end - start;
    add_event(tally, site, start, end);
}

static void note(void *context, int64_t site, int64_t worker)
{
    struct recorder *recorder = context;
    struct tally *tally = recorder->tallies[worker];
    double now = clock_seconds();
    if (tally->site != NO_SITE) {
        double spent = now - tally->since - recorder->clock_cost;
        tally->seconds[tally->site + OFFSET] += spent > 0 ? spent : 0;
        add_event(tally, tally->site, tally->since - recorder->start, now - recorder->start);
    }
    tally->site = (int)site;
    tally->since = clock_seconds();
}

static void recorder_open(struct recorder *recorder, const struct prog *prog, int n_sites, struct arena *arena)
{
    *recorder = (struct recorder){.n_sites = n_sites, .clock_cost = 1};
    recorder->n_workers = prog->threads ? prog->threads : 1;
    for (int i = 0; i < 100; i++) {
        double start = clock_seconds(), cost = clock_seconds() - start;
        if (cost < recorder->clock_cost) recorder->clock_cost = cost;
    }
    for (int i = 0; i < recorder->n_workers; i++) {
        struct tally *tally = recorder->tallies[i] = NEW(arena, struct tally);
        tally->seconds = NEW_ARRAY(arena, double, n_sites + OFFSET + 16); /* no line shared with a neighbour's */
        tally->calls = NEW_ARRAY(arena, double, n_sites + OFFSET + 16);
        tally->events.at = NEW_ARRAY(arena, struct profile_event, PROFILE_EVENTS_MOST + 1);
    }
}

static void recorder_clear(struct recorder *recorder)
{
    for (int i = 0; i < recorder->n_workers; i++) {
        struct tally *tally = recorder->tallies[i];
        memset(tally->seconds, 0, (size_t)(recorder->n_sites + OFFSET) * sizeof *tally->seconds);
        memset(tally->calls, 0, (size_t)(recorder->n_sites + OFFSET) * sizeof *tally->calls);
        tally->events.n = 0;
        tally->site = NO_SITE;
    }
    recorder->start = clock_seconds();
}

static struct profile_site *site_at(struct profile *profile, int site)
{
    return site == PROFILE_WAIT ? &profile->wait : site == PROFILE_REST ? &profile->rest : &profile->sites[site];
}

/* This run's time of a site, and the calls: of the worker that takes longest, and of all. A divided call is one, each
 * worker making a part of it; in a loop that is dealt out, workers make different ones. */
static double sample(const struct recorder *recorder, int site, bool dealt, double *calls)
{
    double longest = 0;
    for (int i = 0; i < recorder->n_workers; i++) {
        const struct tally *tally = recorder->tallies[i];
        if (tally->seconds[site + OFFSET] > longest) longest = tally->seconds[site + OFFSET];
        if (dealt) *calls += tally->calls[site + OFFSET];
        else if (tally->calls[site + OFFSET] > *calls) *calls = tally->calls[site + OFFSET];
    }
    return longest;
}

/* The multiply-add peak of this moment, next to the runs. */
static void sample_peak(struct peaks *peaks)
{
    if (peaks->n == PEAKS_MOST) return;
    peaks->alone[peaks->n] = peak_sample(1);
    peaks->all[peaks->n] = peaks->processors > 1 ? peak_sample(peaks->processors) : peaks->alone[peaks->n];
    peaks->n++;
}

static bool take_runs(struct session *session, struct engine_run *run, const struct trial *trial, struct peaks *peaks,
                      struct recorder *recorder, struct profile *profile, double *whole, double **samples)
{
    int every = profile->runs / PEAKS_MOST + 1;
    for (int i = -1; i < profile->runs; i++) { /* -1: the run that does not count */
        if (peaks->processors && i >= 0 && i % every == 0) sample_peak(peaks);
        recorder_clear(recorder);
        double seconds = engine_time(session, run, trial->in, trial->symbols, trial->n_out);
        if (seconds < 0) return false;
        engine_times(run, note_device, recorder);
        if (i < 0) continue;
        whole[i] = seconds;
        for (int site = -OFFSET; site < profile->n_sites; site++) {
            struct profile_site *at = site_at(profile, site);
            double calls = 0;
            samples[site + OFFSET][i] = sample(recorder, site, at->dealt, &calls);
            at->total += samples[site + OFFSET][i];
            at->calls += calls;
        }
    }
    return true;
}

static void summarize(struct profile *profile, double *whole, double **samples)
{
    int runs = profile->runs;
    profile->median = numbers_median(whole, runs);
    profile->least = whole[0];
    for (int site = -OFFSET; site < profile->n_sites; site++) {
        struct profile_site *at = site_at(profile, site);
        at->median = numbers_median(samples[site + OFFSET], runs);
        at->least = samples[site + OFFSET][0];
        at->calls /= runs;
    }
}

bool profile_take(struct session *session, struct engine_run *run, const struct prog *prog, const struct trial *trial,
                  int runs, int processors, struct arena *arena, struct profile *profile)
{
    struct recorder recorder;
    *profile = (struct profile){.runs = runs > 0 ? runs : 1, .workers = prog->threads ? prog->threads : 1};
    const struct stmt **calls = prog_calls(prog, arena, &profile->n_sites);
    double *whole = NEW_ARRAY(arena, double, profile->runs);
    double **samples = NEW_ARRAY(arena, double *, profile->n_sites + OFFSET);
    for (int i = 0; i < profile->n_sites + OFFSET; i++) samples[i] = NEW_ARRAY(arena, double, profile->runs);
    profile->sites = NEW_ARRAY(arena, struct profile_site, profile->n_sites + 1);
    for (int i = 0; i < profile->n_sites; i++) {
        const struct kernel *kernel = calls[i]->kernel;
        profile->sites[i] = (struct profile_site){.call = calls[i],
                                                  .kernel = kernel ? kernel->name : calls[i]->extern_name,
                                                  .dealt = profile_is_dealt(prog->main, calls[i]),
                                                  .layers = kernel ? kernel->layers : ""};
    }
    recorder_open(&recorder, prog, profile->n_sites, arena);
    if (!engine_times(run, note_device, &recorder) && !engine_note_to(run, note, &recorder))
        return diag_error(session->diag, (struct place){0}, "the program has no marks between its calls (pass profile)");
    struct peaks peaks = {.processors = processors};
    bool ok = take_runs(session, run, trial, &peaks, &recorder, profile, whole, samples);
    engine_note_to(run, NULL, NULL);
    if (!ok) return false;
    summarize(profile, whole, samples);
    if (processors) {
        profile->peak_alone = numbers_median(peaks.alone, peaks.n);
        profile->peak = numbers_median(peaks.all, peaks.n);
    }
    profile->events = NEW_ARRAY(arena, struct profile_events, profile->workers);
    for (int i = 0; i < profile->workers; i++) profile->events[i] = recorder.tallies[i]->events;
    return true;
}
