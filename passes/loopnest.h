/* What a loop nest is: its axes, its memory accesses with their strides, and which loops are free of order. */
#ifndef TENON_LOOPNEST_H
#define TENON_LOOPNEST_H
#include "rewrite.h"

enum { AXES_MOST = 24, CASES_MOST = 8, STRIDE_UNKNOWN = INT32_MAX };

struct axis {
    struct var *var;
    ex lo, hi;
    dim extent;      /* hi - lo where that is a dim, else -1 */
    double trips;    /* a number for costs: the extent, or a guess for a symbolic one */
    bool reduction;  /* not of the outer chain: a loop somewhere in the body */
    int depth;       /* reduction: loops around it inside the body */
    bool cases;      /* few values, and what is computed is selected by comparing them with numbers */
};
struct access {
    bool store, affine, guarded;
    struct buffer *buf;
    ex load;               /* the load; NULL for a store */
    ex index, guard;
    double weight;         /* executions per iteration of the chain */
    dim coef[AXES_MOST];   /* by axis, valid where affine in it */
    bool known[AXES_MOST]; /* affine in that axis */
};
struct loopnest {
    struct prog *prog;
    int n_axes, n_chain; /* the chain's axes, outermost first, then the body's loops in order of appearance */
    struct axis axis[AXES_MOST];
    struct stmt *body;   /* of the innermost chain loop */
    bool parallel;       /* the chain's iterations are independent: any order, any interleaving */
    bool too_big;        /* more axes than fit: leave it alone */
    LIST(struct access) accesses;
    double operations;   /* arithmetic per iteration of the chain, by expr_row cost */
    double dots;         /* dot products among these */
    enum expr_op dot;    /* their kind; EX_COUNT: there are none */
    int conversions;      /* most bits of words that one statement of a reduction makes floats of */
    double inner;        /* statements executed per iteration of the chain */
    int n_registers;     /* mutable lets at the top of the body */
    int element_bytes;   /* of the widest element computed with */
};
/* Looks at the nest whose outermost loop is `loop`. */
void loopnest_analyze(struct prog *prog, struct stmt *loop, struct loopnest *nest);
/* Splits loops whose variable subscripts divide by a block that divides the extent (split.c). In place. */
void loopnest_split(struct prog *prog, struct stmt *list);
/* Merges neighbouring loops, of chains and of reductions, that are one loop for every subscript:
 * x[i*28 + j] over i, j -> x[f]. In place. */
void loopnest_collapse(struct prog *prog, struct stmt *loop);
/* A chain axis's stride in an access: a plain number, or STRIDE_UNKNOWN. */
int64_t loopnest_stride(const struct access *access, int axis);
/* Whether its subscript moves, or may move, with the axis. */
static inline bool depends_on(const struct access *access, int axis)
{
    return !access->known[axis] || access->coef[axis] != 0;
}

#endif
