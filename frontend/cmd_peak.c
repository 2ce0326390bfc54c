/* Measures the multiply-add peak. See cmd_peak.h.
 *
 * Twelve independent chains of vector multiply-adds in registers, for the widest vectors the CPU has: enough to cover
 * four cycles of latency on two or three units. The best of several short measurements counts, since anything else
 * on the machine can only lower one. CMakeLists.txt lets the compiler contract a*b + c in this file alone.
 */
#define _POSIX_C_SOURCE 200809L
#include "cmd_peak.h"
#include "cmd.h"

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

double peak_flops(void)
{
    double (*chain)(long) = chain_16;
    double best = 0;
#if defined __x86_64__
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) chain = chain_32;
    if (__builtin_cpu_supports("avx512f")) chain = chain_64;
#endif
    for (int i = 0; i < 8; i++) {
        double rate = chain(3000000);
        if (rate > best) best = rate;
    }
    return best;
}
