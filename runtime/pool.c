/* Threads of a compiled model: carried as text in artefacts made with --threads=N, where everything here is static.
 *
 * A run is one function that every worker calls with its number, the caller being worker 0 (tenon_run). The others
 * are threads made at the first run and parked between runs. Workers meet in tenon_barrier: ceil(log2 n) rounds, in
 * each of which a worker signals one other and waits for one (dissemination: Hensgen, Finkel, Manber 1988). Whoever
 * waits spins for some tens of microseconds, then sleeps in the kernel; a signal costs a system call only where its
 * reader sleeps. So a worker that has lost its CPU costs time, never a spin that keeps it away.
 *
 * Results do not depend on the number of workers, so a run takes what there is: at most as many as the CPUs that the
 * caller may use, and the caller alone where the threads are busy with another run (several callers of one model) or
 * cannot be made. After a fork the child makes threads of its own. They are joined when the library is unloaded.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#ifndef TENON_H
#include "tenon.h"
#endif

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <unistd.h>
#ifdef __linux__
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#endif

#ifndef TENON_THREADS
#define TENON_THREADS 64
#endif
/* A spin is so many looks and a pause, some 40 ns. Pauses lie far enough apart that a hypervisor does not take the
 * waiting for idling and stop the processor, which costs microseconds at every barrier. */
enum { TENON_ROUNDS = 6, TENON_LOOKS = 32, TENON_SPINS_RUN = 1000, TENON_SPINS_IDLE = 200 };

/* A counter with one writer and one reader, away from everything else: processors fetch lines in pairs. */
struct tenon_word {
    _Alignas(128) _Atomic uint32_t count;
    _Atomic int asleep; /* the reader */
};

struct tenon_team; /* the workers of one run; generated code reads the two functions at its start */
typedef int tenon_part(const void *inputs, const void *outputs, void *arena, struct tenon_team *team, int64_t worker,
                       int64_t workers);
struct tenon_team {
    int (*barrier)(struct tenon_team *team, int64_t worker);           /* returns the status of the run so far */
    void (*fail)(struct tenon_team *team, int64_t worker, int status); /* takes effect at the next barrier */
    tenon_part *part;
    const void *inputs, *outputs;
    void *arena;
    int workers;
    _Atomic int failed;
    struct {
        _Alignas(128) uint32_t count; /* of barriers begun, as its inbox counts */
        _Atomic uint64_t failure;    /* 0, or the count of the barrier at which it takes effect, and below it the status */
        struct tenon_word inbox[TENON_ROUNDS];
    } seat[TENON_THREADS];
};

static struct tenon_crew { /* the model's own threads */
    _Atomic long process;  /* that made the threads; 0: none, -1: being changed */
    _Atomic int busy;
    int threads;
    struct tenon_team *team;
    _Atomic int limit; /* 0: none */
    const struct tenon_pool *_Atomic pool; /* used instead */
    struct tenon_member {
        struct tenon_word start, done; /* count runs */
        pthread_t thread;
        int worker;
    } member[TENON_THREADS];
} tenon_crew;

static void tenon_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

/* Sleeping until the word's value is no longer `value`, or for no reason. */
#ifdef __linux__
static void tenon_sleep(struct tenon_word *word, uint32_t value)
{
    syscall(SYS_futex, (uint32_t *)&word->count, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void tenon_wake(struct tenon_word *word)
{
    syscall(SYS_futex, (uint32_t *)&word->count, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}
#else
static pthread_mutex_t tenon_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t tenon_condition = PTHREAD_COND_INITIALIZER;

static void tenon_sleep(struct tenon_word *word, uint32_t value)
{
    pthread_mutex_lock(&tenon_mutex);
    if (atomic_load(&word->count) == value) pthread_cond_wait(&tenon_condition, &tenon_mutex);
    pthread_mutex_unlock(&tenon_mutex);
}

static void tenon_wake(struct tenon_word *word)
{
    (void)word;
    pthread_mutex_lock(&tenon_mutex);
    pthread_cond_broadcast(&tenon_condition);
    pthread_mutex_unlock(&tenon_mutex);
}
#endif

/* Sets the word to `count`. The one who waits says that it sleeps before it looks a last time, so one of the two sees
 * the other. */
static void tenon_signal(struct tenon_word *word, uint32_t count)
{
    atomic_store(&word->count, count);
    if (atomic_load(&word->asleep)) tenon_wake(word);
}

static int tenon_reached(const struct tenon_word *word, uint32_t target)
{
    return (int32_t)(atomic_load_explicit(&word->count, memory_order_acquire) - target) >= 0;
}

static void tenon_wait(struct tenon_word *word, uint32_t target, int spins)
{
    for (int i = 0; i < spins; i++) {
        for (int look = 0; look < TENON_LOOKS; look++)
            if (tenon_reached(word, target)) return;
        tenon_pause();
    }
    atomic_store(&word->asleep, 1);
    for (uint32_t count; count = atomic_load(&word->count), (int32_t)(count - target) < 0;) tenon_sleep(word, count);
    atomic_store_explicit(&word->asleep, 0, memory_order_relaxed);
}

/* Of the workers that failed before the barrier of this count, the first one's status: the same for all who ask,
 * however far others have gone since. */
static int tenon_status(const struct tenon_team *team, uint32_t count)
{
    if (!atomic_load_explicit(&team->failed, memory_order_relaxed)) return 0;
    for (int i = 0; i < team->workers; i++) {
        uint64_t failure = atomic_load_explicit(&team->seat[i].failure, memory_order_relaxed);
        if (failure && failure >> 32 <= count) return (int)(int32_t)(uint32_t)failure;
    }
    return 0;
}

static void tenon_fail(struct tenon_team *team, int64_t worker, int status)
{
    uint64_t failure = (uint64_t)(team->seat[worker].count + 1) << 32 | (uint32_t)status;
    if (!atomic_load_explicit(&team->seat[worker].failure, memory_order_relaxed))
        atomic_store_explicit(&team->seat[worker].failure, failure, memory_order_relaxed);
    atomic_store_explicit(&team->failed, 1, memory_order_relaxed);
}

static int tenon_barrier(struct tenon_team *team, int64_t worker)
{
    uint32_t target = ++team->seat[worker].count;
    for (int round = 0, far = 1; far < team->workers; round++, far *= 2) {
        int64_t other = worker + far < team->workers ? worker + far : worker + far - team->workers;
        tenon_signal(&team->seat[other].inbox[round], target);
        tenon_wait(&team->seat[worker].inbox[round], target, TENON_SPINS_RUN);
    }
    return tenon_status(team, target);
}

static void tenon_work(void *argument, int worker)
{
    struct tenon_team *team = argument;
    int status = team->part(team->inputs, team->outputs, team->arena, team, worker, team->workers);
    if (status) tenon_fail(team, worker, status);
}

/* ---- the model's own threads ---- */

static void *tenon_member(void *argument)
{
    struct tenon_member *me = argument;
    for (uint32_t target = 1;; target++) {
        tenon_wait(&me->start, target, TENON_SPINS_IDLE);
        if (!tenon_crew.team) return NULL;
        tenon_work(tenon_crew.team, me->worker);
        tenon_signal(&me->done, target);
    }
}

/* CPUs that this thread may use, at most `most`: its affinity, and the whole CPUs of its control group's quota. */
static int tenon_cpus(int most)
{
#ifdef __linux__
    static _Atomic int quota; /* 0: not yet read */
    unsigned long mask[1024 / (8 * sizeof(unsigned long))];
    long n_bytes = syscall(SYS_sched_getaffinity, 0, sizeof mask, mask);
    int n = 0;
    for (long i = 0; i < n_bytes / (long)sizeof *mask; i++) n += __builtin_popcountl(mask[i]);
    if (n > 0 && n < most) most = n;
    if (!quota) {
        char text[64] = "";
        int file = open("/sys/fs/cgroup/cpu.max", O_RDONLY | O_CLOEXEC), whole = TENON_THREADS;
        if (file >= 0 && read(file, text, sizeof text - 1) > 0 && *text != 'm') {
            char *end;
            long allowed = strtol(text, &end, 10), period = strtol(end, NULL, 10);
            if (allowed > 0 && period > 0) whole = (int)((allowed + period - 1) / period);
        }
        if (file >= 0) close(file);
        quota = whole;
    }
    return quota < most ? quota : most;
#else
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 && n < most ? (int)n : most;
#endif
}

/* Takes the threads for one run; the number of workers, with the caller. 1: none are free. */
static int tenon_take(int workers)
{
    struct tenon_crew *crew = &tenon_crew;
    long process = (long)getpid(), made = atomic_load(&crew->process);
    if (made != process) { /* the first run, or the first after a fork, whose threads stayed behind */
        if (made == -1 || !atomic_compare_exchange_strong(&crew->process, &made, -1)) return 1;
        crew->threads = 0;
        atomic_store(&crew->busy, 0);
        atomic_store(&crew->process, process);
    }
    if (atomic_exchange_explicit(&crew->busy, 1, memory_order_acquire)) return 1;
    for (; crew->threads + 1 < workers; crew->threads++) {
        struct tenon_member *member = &crew->member[crew->threads];
        member->worker = crew->threads + 1;
        atomic_store(&member->start.count, 0);
        atomic_store(&member->start.asleep, 0);
        atomic_store(&member->done.count, 0);
        atomic_store(&member->done.asleep, 0);
        if (pthread_create(&member->thread, NULL, tenon_member, member)) break;
    }
    if (crew->threads == 0) atomic_store(&crew->busy, 0);
    return crew->threads + 1 < workers ? crew->threads + 1 : workers;
}

static void tenon_release(void)
{
    atomic_store_explicit(&tenon_crew.busy, 0, memory_order_release);
}

static void tenon_start(struct tenon_team *team, int workers)
{
    tenon_crew.team = team;
    for (int i = 0; i + 1 < workers; i++)
        tenon_signal(&tenon_crew.member[i].start, atomic_load(&tenon_crew.member[i].start.count) + 1);
}

#ifdef __GNUC__
__attribute__((destructor)) static void tenon_close(void)
{
    struct tenon_crew *crew = &tenon_crew;
    if (atomic_load(&crew->process) != (long)getpid() || atomic_exchange(&crew->busy, 1)) return;
    tenon_start(NULL, crew->threads + 1);
    for (int i = 0; i < crew->threads; i++) pthread_join(crew->member[i].thread, NULL);
    crew->threads = 0;
}
#endif

/* ---- a run ---- */

static int tenon_run(tenon_part *part, const void *inputs, const void *outputs, void *arena)
{
    struct tenon_team team;
    const struct tenon_pool *pool = atomic_load(&tenon_crew.pool);
    int workers = TENON_THREADS, limit = atomic_load(&tenon_crew.limit);
    if (limit > 0 && limit < workers) workers = limit;
    if (pool) workers = pool->workers < workers ? pool->workers : workers;
    else if (workers > 1) workers = tenon_cpus(workers);
    if (!pool && workers > 1) workers = tenon_take(workers);
    if (workers < 1) workers = 1;
    team.barrier = tenon_barrier;
    team.fail = tenon_fail;
    team.part = part;
    team.inputs = inputs;
    team.outputs = outputs;
    team.arena = arena;
    team.workers = workers;
    atomic_init(&team.failed, 0);
    for (int i = 0; i < workers; i++) {
        team.seat[i].count = 0;
        atomic_init(&team.seat[i].failure, 0);
        for (int round = 0; round < TENON_ROUNDS; round++) {
            atomic_init(&team.seat[i].inbox[round].count, 0);
            atomic_init(&team.seat[i].inbox[round].asleep, 0);
        }
    }
    if (workers == 1) {
        tenon_work(&team, 0);
    } else if (pool) {
        pool->run(pool->context, workers, tenon_work, &team);
    } else {
        tenon_start(&team, workers);
        tenon_work(&team, 0);
        for (int i = 0; i + 1 < workers; i++) {
            struct tenon_member *member = &tenon_crew.member[i];
            tenon_wait(&member->done, atomic_load(&member->start.count), TENON_SPINS_RUN);
        }
        tenon_release();
    }
    return tenon_status(&team, UINT32_MAX);
}

static void tenon_use_threads(int workers, const struct tenon_pool *pool)
{
    atomic_store(&tenon_crew.limit, workers);
    atomic_store(&tenon_crew.pool, pool);
}
