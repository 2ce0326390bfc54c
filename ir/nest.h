/* Loop nests from meanings: the one way from a node to program statements.
 *
 * A nest computes one stored value. Its loops are the value's iteration space; what it reads is either loaded (from the
 * view the caller gives) or, for values marked fused, opened in turn and computed in place: an elementwise or index-map
 * producer becomes part of the expression, a fused reduction or contraction becomes an accumulator with loops of
 * its own, put at the outermost loop level its subscripts allow (so a row's maximum is computed once per row).
 *
 * The graph interpreter builds one nest per node; pass lower one per fused group. Read next: meaning.h, prog.h.
 */
#ifndef TENON_NEST_H
#define TENON_NEST_H
#include "meaning.h"

enum { LEVELS_MOST = 96 };
struct level {
    struct var *var; /* NULL: the kernel's body */
    struct stmt *first, *last;
};
struct seen { /* a value already computed at a position */
    const struct value *value;
    ex idx[RANK_MOST], guard, otherwise, result;
};
struct view { /* where elements of a stored value lie in a buffer */
    struct buffer *buf;
    dim offset;
    dim stride[RANK_MOST];
};
struct nest {
    struct prog *prog;
    /* Where a stored value lies. */
    const struct view *(*view_of)(struct nest *nest, const struct value *value);
    void *ctx;
    bool all_stored; /* pass fuse's marks do not count: the interpreter keeps every value */
    struct level level[LEVELS_MOST];
    int n_levels;
    LIST(struct seen) seen;
};

void nest_start(struct nest *nest, struct prog *prog);
void view_row_major(struct prog *prog, const struct type *type, struct buffer *buf, struct view *view);
/* The value of a constant whose elements are all the same; NULL for others. In dtype_compute of its type. */
ex nest_literal(struct prog *prog, const struct value *value);
/* Adds loops that compute value and store it at `to`. May be called several times. */
void nest_store(struct nest *nest, const struct value *value, const struct view *to);
/* The statements, with all loops closed. */
struct stmt *nest_finish(struct nest *nest);

#endif
