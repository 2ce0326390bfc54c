/* Which elements statements read and write, and proofs that two of them never meet. Used by pass parallel. */
#ifndef TENON_ACCESS_H
#define TENON_ACCESS_H
#include "rewrite.h"

enum { LOOPS_MOST = 24 };
struct reach { /* one load or store of a kernel */
    struct buffer *buf;
    bool store;
    ex index;
    int lanes;
    int64_t stride;                /* of lanes */
    int n_loops;                   /* around it, outermost first */
    const struct stmt **loops;
};
struct reaches {
    struct arena *arena;
    int n, cap;
    struct reach *at;
};
/* Adds the accesses of the list, whose n loops around it are given. */
void reaches_of(struct reaches *to, const struct stmt *list, const struct stmt *const *loops, int n);

/* An access of one call: where in memory the buffer begins, in bytes. */
struct reach_at {
    const struct reach *reach;
    dim base;
    ex offset; /* of the call's argument, in elements; NULL: none */
};
/* Proven: no byte is touched by both. same: the first `same` loops around both are at the same iteration; differ: the
 * next one at different ones. Both -1 where the two run in different calls. */
bool reach_apart(struct prog *prog, const struct reach_at *a, const struct reach_at *b, int same, bool differ);

#endif
