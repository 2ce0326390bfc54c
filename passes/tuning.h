/* Tuning files: which record each kernel is to be scheduled by, as measured on a machine; and what was measured.
 *
 *   tenon tuning 1
 *   machine x86-64-v4 fmas=2 latency=4 loads=2 l1=49152 l2=2097152
 *   kernel 4a5be0c1d2e3f405 x86-64-v4 llvm 1: tile lanes=j:16 copies=i:7 order=i,j   # 12000 ns, was 13100: layers "y"
 *
 * A kernel line holds its key (a hash of what the kernel computes before it is scheduled, shapes and constant parameters
 * included), the target, who makes the code and for how many threads, and its records (record.h). A line whose
 * kernel, target, maker or threads are not the ones at hand is not used. `#` starts a comment. So builds with the same
 * file are the same bytes everywhere: nothing is measured when a model is compiled.
 *
 * Pass schedule reads the struct here and, for `tenon tune`, writes into it what else could have been chosen.
 */
#ifndef TENON_TUNING_H
#define TENON_TUNING_H
#include "../ir/prog.h"
#include "../ir/target.h"

struct tuning_line {
    uint64_t key;
    const char *target, *maker;
    int threads;
    const char *records; /* ends at a NUL, a line end or a `#` */
    const char *comment; /* NULL: none */
    struct place place;  /* of records */
    bool used;
};
struct tuning_machine { /* one per target */
    const char *name;
    double fmas_per_cycle, fma_latency, loads_per_cycle;
    int l1_bytes, l2_bytes;
    const char *comment;
};

/* One loop that pass schedule decided on. */
struct tuning_point {
    int n;
    const char **records; /* the chosen one first, then others that the cost model ranks next */
    int span;             /* points of the loops inside it and itself: those a record other than "loops" replaces */
};
struct tuning_kernel {
    uint64_t key;
    const char *name, *layers;
    LIST(struct tuning_point) points;
};

struct tuning {
    struct arena *arena;
    struct diag *diag; /* where pass schedule reports records that do not fit */
    const char *target, *maker;
    int threads;
    LIST(struct tuning_line) lines;
    LIST(struct tuning_machine) machines;
    int explore; /* records wanted per loop; 0: none */
    LIST(struct tuning_kernel) explored;
};

/* An empty one for these options. */
struct tuning *tuning_new(struct arena *arena, struct diag *diag, const char *target, const char *maker, int threads);
/* Adds the file's lines; records are only looked at when used. False after errors. */
bool tuning_parse(struct tuning *tuning, const struct source *source);
void tuning_print(const struct tuning *tuning, struct text *text);
void tuning_print_line(const struct tuning_line *line, struct text *text);
/* The line for a kernel with these options; NULL where there is none. The latest wins. */
struct tuning_line *tuning_find(const struct tuning *tuning, uint64_t key);
/* A kernel's key before it is scheduled; constant: by parameter, pack_constants' answer. */
uint64_t tuning_key(const struct prog *prog, const struct kernel *kernel, const bool *constant);
/* A kernel's records as one text, with record number which[i] at point i; a record in place of "loops" leaves out the points
 * inside. */
const char *tuning_records(const struct tuning_kernel *kernel, const int *which, struct arena *arena);
/* The target as the file's machine line has measured it, or as it is. */
const struct target *tuning_target(const struct tuning *tuning, const struct target *target);

#endif
