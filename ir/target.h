/* What a target can do: the facts schedules are chosen by. One row of targets.def each; --cpu=NAME names a row. */
#ifndef TENON_TARGET_H
#define TENON_TARGET_H
#include <stdbool.h>

enum { COMPACT_MOST = 2 };
struct target {
    const char *name;         /* "generic", "x86-64-v3" ... */
    const char *triple;       /* LLVM's, "" for the host's */
    const char *llvm_features; /* "+avx2,+fma": by features, not by CPU name, since compilers' CPU lists differ */
    const char *c_flags;      /* the C compiler's -m flags, space separated */
    int level;                /* of the x86-64 levels 1 to 4, 5 with VNNI, each with all of those below; 0: no x86 */
    int vector_bytes;         /* widest vector worth using; 0: scalars only (--portable) */
    int n_registers;          /* vector registers */
    bool has_fma, has_f16c, has_dot; /* has_dot: dot4 is one instruction */
    int l1_bytes, l2_bytes;
    double fmas_per_cycle, loads_per_cycle; /* of vectors */
    double fma_latency;                     /* cycles */
    int lanes_most;           /* of any vector; 0: what vector_bytes gives */
    const struct target *host; /* of a device: the CPU beside it; NULL: this is one */
    bool is_small; /* a microcontroller: indices of 32 bits, little unrolled, nothing aligned beyond 8 bytes */
    int compact;   /* --max-flash: 1: no loop has a remainder; COMPACT_MOST: nor copies side by side; 0 in all rows */
};

/* NULL where there is no such row. "native" is host_target() of codegen/host.c. */
const struct target *target_find(const char *name);
int target_count(void);
const struct target *target_at(int i);
/* Floats in a vector where two vectors are rounded to bytes at once (EX_pack) by instructions made for it; 0: nowhere. */
static inline int target_pack_lanes(const struct target *target)
{
    return target->level > 0 && target->vector_bytes >= 32 && !target->host ? target->vector_bytes / 4 : 0;
}

#endif
