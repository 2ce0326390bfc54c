/* Which version of a model this machine runs: carried as text in artefacts made for several x86-64 levels, where
 * everything here is static. The text before it gives tenon_versions, the versions' names, narrowest first and NULL at the
 * end, and tenon_version_levels, what each needs.
 *
 * Levels are those of the x86-64 psABI: 1 is the least that a 64-bit machine has, 2 has SSE4.2, 3 AVX2 and FMA, 4
 * AVX-512 F, BW, CD, DQ and VL; a fifth, of our own, has VNNI besides. A level counts only where the operating system saves its registers (XGETBV), too. The
 * choice is made at the first run; each run asks one variable. Nothing here needs more than level 1.
 */
#ifndef TENON_H
#include "tenon.h"
#endif

#include <cpuid.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifndef TENON_VERSIONS /* compiled alone: for tests */
static const char *const tenon_versions[] = {"x86-64", NULL};
static const int tenon_version_levels[] = {1};
#endif

/* All of `bits` in `word`. */
static int tenon_has(uint32_t word, uint32_t bits)
{
    return (word & bits) == bits;
}

/* Registers that the operating system saves: bit 1 xmm, 2 ymm, 5 to 7 zmm and masks. */
static uint32_t tenon_saved_registers(void)
{
    uint32_t low, high;
    __asm__ volatile(".byte 0x0f, 0x01, 0xd0" : "=a"(low), "=d"(high) : "c"(0)); /* xgetbv */
    (void)high;
    return low;
}

static int tenon_cpu_level(void)
{
    uint32_t a, b, c, d, features = 0, wide = 0, more = 0, extended = 0, saved = 0;
    if (__get_cpuid(1, &a, &b, &c, &d)) features = c;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) wide = b, more = c;
    if (__get_cpuid(0x80000001, &a, &b, &c, &d)) extended = c;
    if (tenon_has(features, bit_OSXSAVE)) saved = tenon_saved_registers();
    if (!tenon_has(features, bit_SSE3 | bit_SSSE3 | bit_SSE4_1 | bit_SSE4_2 | bit_POPCNT | bit_CMPXCHG16B) ||
        !tenon_has(extended, bit_LAHF_LM))
        return 1;
    if (!tenon_has(features, bit_AVX | bit_FMA | bit_F16C | bit_MOVBE) ||
        !tenon_has(wide, bit_AVX2 | bit_BMI | bit_BMI2) || !tenon_has(extended, bit_ABM) || !tenon_has(saved, 0x06))
        return 2;
    if (!tenon_has(wide, bit_AVX512F | bit_AVX512BW | bit_AVX512CD | bit_AVX512DQ | bit_AVX512VL) ||
        !tenon_has(saved, 0xe6))
        return 3;
    return tenon_has(more, bit_AVX512VNNI) ? 5 : 4;
}

static _Atomic int tenon_cpu_chosen; /* 0: not yet; 1 + position of the version; -1: there is none for this machine */

/* The widest version that this machine runs, or that of a name; chosen as above. */
static int tenon_cpu_choose(const char *name)
{
    int level = tenon_cpu_level(), chosen = -1;
    for (int i = 0; tenon_versions[i]; i++)
        if (tenon_version_levels[i] <= level && (!name || !strcmp(name, tenon_versions[i]))) chosen = i + 1;
    return chosen;
}

/* The version to run now; -1: none. */
static int tenon_cpu_version(void)
{
    int chosen = atomic_load_explicit(&tenon_cpu_chosen, memory_order_relaxed);
    if (chosen == 0) {
        chosen = tenon_cpu_choose(NULL);
        atomic_store_explicit(&tenon_cpu_chosen, chosen, memory_order_relaxed);
    }
    return chosen < 0 ? -1 : chosen - 1;
}

static const char *tenon_cpu(void)
{
    int version = tenon_cpu_version();
    return version < 0 ? NULL : tenon_versions[version];
}

/* Of no name: the widest again. */
static int tenon_use_cpu(const char *name)
{
    int chosen = tenon_cpu_choose(name);
    if (chosen < 0) return TENON_NO_CPU;
    atomic_store_explicit(&tenon_cpu_chosen, chosen, memory_order_relaxed);
    return 0;
}
