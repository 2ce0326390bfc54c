/* Measures what the cost model (passes/choose.c) assumes of a CPU. See cmd_tune.h.
 *
 * In cycles, where a cycle is the time of one addition in a chain of dependent ones: multiply-adds in twelve chains
 * (throughput) and in one (latency), and vector loads from the first-level cache. Cache sizes are what the system says.
 * Bandwidths (cmd_peak.h) are for the reader of the file only; the cost model has no use for them. The best of many
 * short measurements counts, since whatever else runs can only make one worse.
 */
#define _DEFAULT_SOURCE
#include "cmd_peak.h"
#include "cmd_tune.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined __x86_64__
#define KEEP(v) __asm__ volatile("" : "+x"(v))
#define USE(v) __asm__ volatile("" : : "x"(v))
#elif defined __aarch64__
#define KEEP(v) __asm__ volatile("" : "+w"(v))
#define USE(v) __asm__ volatile("" : : "w"(v))
#else
#define KEEP(v) __asm__ volatile("" : : "r"(&(v)) : "memory")
#define USE(v) __asm__ volatile("" : : "r"(&(v)) : "memory")
#endif

/* For vectors of `width` bytes: seconds of n steps of 12 independent, of 1 chain; seconds of one pass of loads. */
#define PROBES(name, attributes, width)                                                                                \
    typedef float name##_vector __attribute__((vector_size(width)));                                                   \
    attributes static double name##_chains(long n)                                                                     \
    {                                                                                                                  \
        name##_vector a = {0.9999f}, c0 = {1}, c1 = {2}, c2 = {3}, c3 = {4}, c4 = {5}, c5 = {6}, c6 = {7}, c7 = {8};   \
        name##_vector c8 = {9}, c9 = {10}, c10 = {11}, c11 = {12};                                                     \
        double start = clock_seconds();                                                                                \
        for (long i = 0; i < n; i++) {                                                                                 \
            c0 = c0 * a + a, c1 = c1 * a + a, c2 = c2 * a + a, c3 = c3 * a + a, c4 = c4 * a + a, c5 = c5 * a + a;      \
            c6 = c6 * a + a, c7 = c7 * a + a, c8 = c8 * a + a, c9 = c9 * a + a, c10 = c10 * a + a, c11 = c11 * a + a;  \
            KEEP(c0); KEEP(c1); KEEP(c2); KEEP(c3); KEEP(c4); KEEP(c5);                                                \
            KEEP(c6); KEEP(c7); KEEP(c8); KEEP(c9); KEEP(c10); KEEP(c11);                                              \
        }                                                                                                              \
        return clock_seconds() - start;                                                                                \
    }                                                                                                                  \
    attributes static double name##_chain(long n)                                                                      \
    {                                                                                                                  \
        name##_vector a = {0.9999f}, c = {1};                                                                          \
        double start = clock_seconds();                                                                                \
        for (long i = 0; i < n; i++) {                                                                                 \
            c = c * a + a;                                                                                             \
            KEEP(c);                                                                                                   \
        }                                                                                                              \
        return clock_seconds() - start;                                                                                \
    }                                                                                                                  \
    attributes static double name##_loads(const char *from, size_t n_bytes, long passes)                               \
    {                                                                                                                  \
        double start = clock_seconds();                                                                                \
        for (long pass = 0; pass < passes; pass++)                                                                     \
            for (const char *at = from; at < from + n_bytes; at += 8 * (width)) {                                      \
                const name##_vector *v = (const void *)at;                                                             \
                name##_vector v0 = v[0], v1 = v[1], v2 = v[2], v3 = v[3], v4 = v[4], v5 = v[5], v6 = v[6], v7 = v[7];  \
                USE(v0); USE(v1); USE(v2); USE(v3); USE(v4); USE(v5); USE(v6); USE(v7);                                \
            }                                                                                                          \
        return clock_seconds() - start;                                                                                \
    }

#if defined __x86_64__
PROBES(wide, __attribute__((target("avx512f"))), 64)
PROBES(middle, __attribute__((target("avx2,fma"))), 32)
#endif
PROBES(narrow, , 16)

struct probes {
    int width;
    double (*chains)(long n), (*chain)(long n), (*loads)(const char *from, size_t n_bytes, long passes);
};

static struct probes choose_probes(const struct target *target)
{
#if defined __x86_64__
    if (target->vector_bytes == 64) return (struct probes){64, wide_chains, wide_chain, wide_loads};
    if (target->vector_bytes == 32) return (struct probes){32, middle_chains, middle_chain, middle_loads};
#endif
    (void)target;
    return (struct probes){16, narrow_chains, narrow_chain, narrow_loads};
}

/* Seconds of one addition that waits for the one before. */
static double cycle_seconds(void)
{
    enum { STEPS = 10000 };
    double start = clock_seconds();
    unsigned long x = 1, step = (unsigned long)start; /* in a register: some cores add small constants for free */
#define ADD x += step; __asm__ volatile("" : "+r"(x));
    for (long i = 0; i < STEPS; i++) {
        ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD ADD
    }
#undef ADD
    return (clock_seconds() - start) / (16.0 * STEPS);
}

static int cache_bytes(int name, int usual)
{
    long n = name < 0 ? 0 : sysconf(name);
    return n >= 1024 && n <= 1 << 30 ? (int)n : usual;
}

#ifdef _SC_LEVEL1_DCACHE_SIZE
enum { ASK_L1 = _SC_LEVEL1_DCACHE_SIZE, ASK_L2 = _SC_LEVEL2_CACHE_SIZE };
#else
enum { ASK_L1 = -1, ASK_L2 = -1 };
#endif

/* For the reader of the file: the clock, and how fast memory is read. */
static const char *describe(struct arena *arena, double cycle)
{
    struct machine machine;
    struct text text = {.arena = arena};
    machine_measure(1, &machine);
    text_printf(&text, "%.3g GHz; GB/s:", 1e-9 / cycle);
    for (int i = 0; i < machine.n_levels; i++)
        text_printf(&text, "%s %s %.3g", i ? "," : "", machine.level[i].name, 1e-9 * machine.level[i].rate);
    return text_string(&text);
}

void cpu_measure(const struct target *target, struct arena *arena, struct tuning_machine *cpu)
{
    enum { STEPS = 100000, ROUNDS = 200, NEAR = 16384 };
    struct probes probes = choose_probes(target);
    double cycle = 1, chains = 1, chain = 1, loads = 1;
    void *memory;
    if (posix_memalign(&memory, 64, NEAR)) bug("tune", "no memory for measuring");
    memset(memory, 1, NEAR);
    for (int i = 0; i < ROUNDS; i++) {
        double now[] = {cycle_seconds(), probes.chains(STEPS) / STEPS, probes.chain(STEPS) / STEPS,
                        probes.loads(memory, NEAR, 100) / 100 * probes.width / NEAR};
        if (now[0] < cycle) cycle = now[0];
        if (now[1] < chains) chains = now[1];
        if (now[2] < chain) chain = now[2];
        if (now[3] < loads) loads = now[3];
    }
    free(memory);
    *cpu = (struct tuning_machine){.name = target->name, .fmas_per_cycle = 12 * cycle / chains, .fma_latency = chain / cycle,
                                   .loads_per_cycle = cycle / loads, .l1_bytes = cache_bytes(ASK_L1, target->l1_bytes),
                                   .l2_bytes = cache_bytes(ASK_L2, target->l2_bytes), .comment = describe(arena, cycle)};
}
