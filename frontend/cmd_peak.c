/* Measures the multiply-add peak and how fast memory is read. See cmd_peak.h.
 *
 * Peak: twelve independent chains of vector multiply-adds in registers, for the widest vectors the CPU has: enough to cover
 * four cycles of latency on two or three units. The best of several short measurements counts, since anything else
 * on the machine can only lower one; beside medians of runs, the median of measurements between these. CMakeLists.txt lets
 * the compiler contract a*b + c in this file and cmd_machine.c.
 *
 * Memory: each thread sums a block of its own, again and again, with eight independent sums of vectors: half of L2, a
 * few times L2 where there is an L3, and more than all caches (capped, so that a machine with a huge L3 reports that as
 * memory). Several threads meet before each measurement; their rates are added.
 */
#define _POSIX_C_SOURCE 200809L
#include "cmd_peak.h"
#include "cmd.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A function of n rounds that returns operations per second, on vectors of `width` bytes. */
#define CHAIN(name, attributes, width)                                                                                 \
    typedef float name##_vector __attribute__((vector_size(width)));                                                   \
    attributes static double name(long n)                                                                              \
    {                                                                                                                  \
        name##_vector a, b, c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11;                                          \
        const int lanes = (int)(sizeof a / sizeof(float));                                                             \
        for (int k = 0; k < lanes; k++) a[k] = 0.9999f, b[k] = 1e-4f * (float)(k + 1);                                 \
        c0 = c1 = c2 = c3 = c4 = c5 = b;                                                                               \
        c6 = c7 = c8 = c9 = c10 = c11 = b;                                                                             \
        double start = clock_seconds();                                                                                \
        for (long i = 0; i < n; i++) {                                                                                 \
            c0 = c0 * a + b, c1 = c1 * a + b, c2 = c2 * a + b, c3 = c3 * a + b;                                        \
            c4 = c4 * a + b, c5 = c5 * a + b, c6 = c6 * a + b, c7 = c7 * a + b;                                        \
            c8 = c8 * a + b, c9 = c9 * a + b, c10 = c10 * a + b, c11 = c11 * a + b;                                    \
            KEEP(c0, c1, c2, c3, c4, c5);                                                                              \
            KEEP(c6, c7, c8, c9, c10, c11);                                                                            \
        }                                                                                                              \
        return 2.0 * 12 * lanes * (double)n / (clock_seconds() - start);                                               \
    }

/* Tells the compiler that the chains are used, and that they differ: it can neither drop nor merge them. */
#if defined __x86_64__
#define KEEP(a, b, c, d, e, f) __asm__ volatile("" : "+x"(a), "+x"(b), "+x"(c), "+x"(d), "+x"(e), "+x"(f))
CHAIN(chain_64, __attribute__((target("avx512f"))), 64)
CHAIN(chain_32, __attribute__((target("avx2,fma"))), 32)
#elif defined __aarch64__
#define KEEP(a, b, c, d, e, f) __asm__ volatile("" : "+w"(a), "+w"(b), "+w"(c), "+w"(d), "+w"(e), "+w"(f))
#else
#define KEEP(a, b, c, d, e, f) __asm__ volatile("" ::: "memory")
#endif
CHAIN(chain_16, , 16)

/* A function that reads n vectors of `width` bytes and returns the seconds. */
#define READER(name, attributes, width)                                                                                \
    typedef uint64_t name##_vector __attribute__((vector_size(width)));                                                \
    attributes static double name(const void *bytes, int64_t n_bytes)                                                  \
    {                                                                                                                  \
        const name##_vector *at = bytes;                                                                               \
        name##_vector s0 = {0}, s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;                         \
        const int64_t n = n_bytes / (int64_t)sizeof *at;                                                               \
        double start = clock_seconds();                                                                                \
        for (int64_t i = 0; i + 8 <= n; i += 8) {                                                                      \
            s0 += at[i], s1 += at[i + 1], s2 += at[i + 2], s3 += at[i + 3];                                            \
            s4 += at[i + 4], s5 += at[i + 5], s6 += at[i + 6], s7 += at[i + 7];                                        \
        }                                                                                                              \
        KEEP(s0, s1, s2, s3, s4, s5);                                                                                  \
        KEEP(s6, s7, s0, s1, s2, s3);                                                                                  \
        return clock_seconds() - start;                                                                                \
    }
#if defined __x86_64__
READER(read_64, __attribute__((target("avx512f"))), 64)
READER(read_32, __attribute__((target("avx2"))), 32)
#endif
READER(read_16, , 16)

/* What one thread of a measurement does, and what it found. */
struct worker {
    struct meeting *meeting;
    pthread_t thread;
    double rate;
};
struct meeting {
    int threads;
    _Atomic int there;
    int64_t n_bytes; /* to read, each; 0: multiply-adds */
    int samples;     /* of multiply-adds */
};

static void wait_for_all(struct meeting *meeting)
{
    atomic_fetch_add(&meeting->there, 1);
    while (atomic_load(&meeting->there) < meeting->threads) sched_yield();
}

/* The best of so many measurements of a millisecond each, shorter than what others are given of a shared core. */
static double best_chain(int samples)
{
    double (*chain)(long) = chain_16;
    double best = 0;
#if defined __x86_64__
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) chain = chain_32;
    if (__builtin_cpu_supports("avx512f")) chain = chain_64;
#endif
    for (int i = 0; i < samples; i++) {
        double rate = chain(300000);
        if (rate > best) best = rate;
    }
    return best;
}

/* Bytes per second of the best of several readings of the whole block. */
static double best_read(const void *block, int64_t n_bytes)
{
    double (*reader)(const void *, int64_t) = read_16;
    double best = 0, spent = 0;
#if defined __x86_64__
    if (__builtin_cpu_supports("avx2")) reader = read_32;
    if (__builtin_cpu_supports("avx512f")) reader = read_64;
#endif
    for (int i = 0; i < 3 || spent < 0.02; i++) {
        double seconds = reader(block, n_bytes);
        spent += seconds;
        if (seconds > 0 && (double)n_bytes / seconds > best) best = (double)n_bytes / seconds;
    }
    return best;
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    int64_t n_bytes = worker->meeting->n_bytes;
    void *block = NULL;
    if (n_bytes && posix_memalign(&block, 4096, (size_t)n_bytes)) block = NULL;
    if (block) memset(block, 1, (size_t)n_bytes);
    wait_for_all(worker->meeting);
    worker->rate = !n_bytes ? best_chain(worker->meeting->samples) : block ? best_read(block, n_bytes) : 0;
    free(block);
    return NULL;
}

/* The sum of what `threads` threads reach at the same time; those that cannot be made do not count. */
static double together(int threads, int64_t n_bytes, int samples)
{
    struct worker worker[THREADS_MOST];
    struct meeting meeting = {.threads = threads, .n_bytes = n_bytes, .samples = samples};
    double sum = 0;
    for (int i = 0; i < threads; i++) worker[i] = (struct worker){.meeting = &meeting};
    int made = 1;
    while (made < threads && !pthread_create(&worker[made].thread, NULL, work, &worker[made])) made++;
    atomic_fetch_add(&meeting.there, threads - made);
    work(&worker[0]);
    for (int i = 1; i < made; i++) pthread_join(worker[i].thread, NULL);
    for (int i = 0; i < made; i++) sum += worker[i].rate;
    return sum;
}

double peak_flops(int threads)
{
    return together(threads, 0, 80);
}

double peak_sample(int threads)
{
    return together(threads, 0, 1);
}

static int64_t cache_bytes(int name, int64_t otherwise)
{
    long n = sysconf(name);
    return n > 0 ? n : otherwise;
}

static void add_level(struct machine *machine, const char *name, int64_t bytes, int64_t block_bytes)
{
    double rate = together(machine->threads, block_bytes & ~(int64_t)4095, 0);
    if (rate > 0) machine->level[machine->n_levels++] = (struct memory_level){name, bytes, rate};
}

void machine_measure(int threads, struct machine *machine)
{
    enum { BLOCK_MOST = 192 << 20 };
    int64_t l2 = 512 << 10, l3 = 0;
#ifdef _SC_LEVEL2_CACHE_SIZE
    l2 = cache_bytes(_SC_LEVEL2_CACHE_SIZE, l2);
    l3 = cache_bytes(_SC_LEVEL3_CACHE_SIZE, 0);
#endif
    *machine = (struct machine){.threads = threads};
    machine->flops_alone = peak_flops(1);
    machine->flops = threads > 1 ? peak_flops(threads) : machine->flops_alone;
    add_level(machine, "L2", l2, l2 / 2);
    if (l3 > 4 * l2) add_level(machine, "L3", l3, 4 * l2 < l3 / 2 / threads ? 4 * l2 : l3 / 2 / threads);
    int64_t block = (l3 > l2 ? 2 * l3 : (int64_t)BLOCK_MOST) / threads;
    if (block < 8 << 20) block = 8 << 20;
    if (block > BLOCK_MOST) block = BLOCK_MOST;
    add_level(machine, "memory", INT64_MAX, block);
    double again = peak_flops(1);
    if (again > machine->flops_alone) machine->flops_alone = again;
    if (threads > 1) again = peak_flops(threads);
    if (again > machine->flops) machine->flops = again;
}

double machine_read(const struct machine *machine, double bytes, double set)
{
    double below = 0, seconds = 0;
    for (int i = 0; i < machine->n_levels && below < set; i++) {
        double upto = (double)machine->level[i].bytes < set ? (double)machine->level[i].bytes : set;
        if (upto <= below) continue;
        seconds += bytes * (upto - below) / set / machine->level[i].rate;
        below = upto;
    }
    return seconds;
}
