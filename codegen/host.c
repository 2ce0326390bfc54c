/* Which target row this machine is: the widest one whose every feature the CPU has. */
#include "codegen.h"

const struct target *host_target(void)
{
#if defined __x86_64__
    __builtin_cpu_init();
    bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
              __builtin_cpu_supports("bmi2");
    bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
              __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
              __builtin_cpu_supports("avx512vl");
    bool v5 = v4 && __builtin_cpu_supports("avx512vnni");
    return target_find(v5 ? "x86-64-v4-vnni" : v4 ? "x86-64-v4" : v3 ? "x86-64-v3" : "x86-64");
#elif defined __aarch64__
    return target_find("neon");
#else
    return target_find("portable");
#endif
}
