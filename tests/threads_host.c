/* Runs models compiled with --threads in every way that a host may, for tests/test_threads.py: exit status 0 where all
 * is well.
 *
 *   threads_host LIB.so...            the model's own threads, a pool of the caller's with 2 to 4, callers at the same
 *                                     time, after a fork, loaded and unloaded again and again
 *   with -DINSIDE, linked to a model  the first three, for the thread sanitizer to watch
 *
 * Every run must give the bytes and the status of the caller's thread alone.
 */
#define _GNU_SOURCE
#include "../runtime/tenon.h"

#include <dirent.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 64, REPEATS = 8, CALLERS = 3 };
struct job {
    const struct tenon_model *model;
    int64_t symbols[MOST], bytes[MOST], arena_bytes;
    void *in[MOST], *expected[MOST];
    int status;
};

static void must(int fine, const char *what)
{
    if (fine) return;
    fprintf(stderr, "%s\n", what);
    _Exit(1);
}

/* ---- a pool of the caller's: threads made for each run ---- */

struct share {
    void (*work)(void *argument, int worker);
    void *argument;
    int worker;
};

static void *share_run(void *at)
{
    const struct share *share = at;
    share->work(share->argument, share->worker);
    return NULL;
}

static void pool_run(void *context, int n, void (*work)(void *argument, int worker), void *argument)
{
    pthread_t thread[MOST];
    struct share share[MOST];
    (void)context;
    for (int i = 1; i < n; i++) {
        share[i] = (struct share){work, argument, i};
        must(!pthread_create(&thread[i], NULL, share_run, &share[i]), "no thread");
    }
    work(argument, 0);
    for (int i = 1; i < n; i++) pthread_join(thread[i], NULL);
}

/* ---- one model ---- */

static int64_t bytes_of(const struct job *job, const struct tenon_value *value)
{
    static const int size[] = {8, 4, 2, 2, 1, 2, 4, 8, 1, 2, 4, 8, 1};
    int64_t n = size[value->dtype];
    for (int i = 0; i < value->rank; i++) {
        const struct tenon_dim *dim = &value->dims[i];
        n *= dim->size >= 0 ? dim->size : dim->formula ? dim->formula(job->symbols) : job->symbols[dim->symbol];
    }
    return n;
}

static void fill(const struct tenon_value *value, void *at, int64_t n_bytes)
{
    static uint64_t state = 1;
    for (int64_t i = 0; i < n_bytes; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        ((unsigned char *)at)[i] = value->dtype == TENON_BOOL ? (state >> 40) & 1 : 0;
    }
    for (int64_t i = 0; value->dtype == TENON_F32 && i < n_bytes / 4; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        ((float *)at)[i] = (float)(state >> 40) * 0x1p-24f;
    }
}

static int run(const struct job *job, void **out)
{
    void *arena = aligned_alloc(64, (size_t)(job->arena_bytes + 64) / 64 * 64);
    memset(arena, 0x55, (size_t)job->arena_bytes);
    int status = job->model->run((const void *const *)job->in, job->symbols, out, arena);
    free(arena);
    return status;
}

static void prepare(struct job *job, const struct tenon_model *model, int size)
{
    *job = (struct job){.model = model};
    for (int i = 0; i < model->n_symbols; i++) {
        int64_t least = model->symbols[i].least, most = model->symbols[i].most;
        job->symbols[i] = least > 1 ? least : 1;
        if (size && job->symbols[i] + 37 <= most) job->symbols[i] += 37;
    }
    job->arena_bytes = model->arena_bytes_for(job->symbols);
    for (int i = 0; i < model->n_inputs; i++) {
        int64_t n = bytes_of(job, &model->inputs[i]);
        job->in[i] = calloc((size_t)n + 64, 1);
        fill(&model->inputs[i], job->in[i], n);
    }
    for (int i = 0; i < model->n_outputs; i++) {
        job->bytes[i] = bytes_of(job, &model->outputs[i]);
        job->expected[i] = calloc((size_t)job->bytes[i] + 64, 1);
    }
    if (model->use_threads) model->use_threads(1, NULL);
    job->status = run(job, job->expected);
    if (model->use_threads) model->use_threads(0, NULL);
}

static void finish(struct job *job)
{
    for (int i = 0; i < job->model->n_inputs; i++) free(job->in[i]);
    for (int i = 0; i < job->model->n_outputs; i++) free(job->expected[i]);
}

static void check(const struct job *job, const char *what)
{
    void *out[MOST];
    for (int i = 0; i < job->model->n_outputs; i++) {
        out[i] = calloc((size_t)job->bytes[i] + 64, 1);
        memset(out[i], 0xcc, (size_t)job->bytes[i]);
    }
    int status = run(job, out);
    must(status == job->status, what);
    for (int i = 0; i < job->model->n_outputs; i++) {
        must(status || !memcmp(out[i], job->expected[i], (size_t)job->bytes[i]), what);
        free(out[i]);
    }
}

static void *caller(void *job)
{
    for (int i = 0; i < REPEATS; i++) check(job, "callers at the same time");
    return NULL;
}

static void all_ways(const struct tenon_model *model, int size)
{
    struct job job;
    pthread_t thread[CALLERS];
    prepare(&job, model, size);
    for (int i = 0; i < REPEATS; i++) check(&job, "own threads");
    for (int n = 2; n <= 4 && model->use_threads; n++) {
        struct tenon_pool pool = {.workers = n, .run = pool_run};
        model->use_threads(0, &pool);
        for (int i = 0; i < REPEATS; i++) check(&job, n == 2 ? "a pool of 2" : n == 3 ? "a pool of 3" : "a pool of 4");
        model->use_threads(0, NULL);
    }
    for (int i = 0; i < CALLERS; i++) must(!pthread_create(&thread[i], NULL, caller, &job), "no thread");
    for (int i = 0; i < CALLERS; i++) pthread_join(thread[i], NULL);
    finish(&job);
}

#ifdef INSIDE
int main(void)
{
    for (int size = 0; size < 2; size++) all_ways(tenon_model_get(), size);
    return 0;
}
#else
static void forked(const struct tenon_model *model)
{
    struct job job;
    int status = 1;
    prepare(&job, model, 0);
    check(&job, "before the fork");
    pid_t child = fork();
    if (child == 0) {
        check(&job, "in the child");
        exit(0); /* with what the library does at the end */
    }
    must(waitpid(child, &status, 0) == child && status == 0, "the child");
    check(&job, "after the fork");
    finish(&job);
}

static int tasks(void)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/task");
    for (struct dirent *entry; dir && (entry = readdir(dir));) n += entry->d_name[0] != '.';
    if (dir) closedir(dir);
    return n;
}

int main(int argc, char **argv)
{
    int before = tasks(), threads = 0;
    for (int i = 1; i < argc; i++)
        for (int round = 0; round < 12; round++) {
            void *library = dlopen(argv[i], RTLD_NOW | RTLD_LOCAL);
            must(library != NULL, "dlopen");
            const struct tenon_model *(*get)(void) = (const struct tenon_model *(*)(void))dlsym(library, "tenon_model_get");
            must(get != NULL, "no tenon_model_get");
            threads = get()->threads;
            if (round < 2) all_ways(get(), round);
            else if (round == 2) forked(get());
            else {
                struct job job;
                prepare(&job, get(), 0);
                check(&job, "loaded again");
                finish(&job);
            }
            dlclose(library);
            must(tasks() == before, "threads are left after dlclose");
        }
    printf("%d\n", threads);
    return 0;
}
#endif
