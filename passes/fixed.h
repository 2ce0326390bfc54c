/* What pass fixed knows of a float value: integers that stand for it. See fixed.c, fixed_value.c (arithmetic),
 * fixed_curves.c (functions that are no lines), fixed_norm.c (norms, log_softmax), fixed_choose.c (comparisons and what hangs on them). */
#ifndef TENON_FIXED_H
#define TENON_FIXED_H
#include "passes.h"

/* min(max(q*scale + shift, low), high); or what a node that only moves elements makes of its operands. */
struct fixed {
    struct value *q;             /* i32; NULL where `move` is set or nothing is known */
    struct value *scale, *shift; /* f64 constants that broadcast against q; shift NULL: none */
    double low, high;
    int64_t least, most;         /* of q */
    struct value *raw;           /* the integers that q is made of, q = i32(raw) - zero; NULL: none of a byte */
    int64_t zero;
    bool is_curve;               /* softmax, sigmoid or tanh of something: between -1 and 1 */
    const struct node *move;     /* of the old graph */
};
struct fixing {
    struct graph *to;
    struct value **map;          /* old id -> new value, of integers and constants */
    struct fixed *fixed;         /* old id */
    const struct pass_options *options;
};
bool fixed_is_known(const struct fixed *f);
/* A view of integers whose scale is one number, without shift and bounds. */
struct fixed fixed_of(struct graph *to, struct value *q, double scale, int64_t least, int64_t most);
/* The number that all of a constant's elements are; false: there are several. */
bool fixed_number(const struct value *constant, double *number);
/* An old float constant, spread or not, as f64 with the axes that it really has; NULL: it is none. */
struct value *fixed_constant(struct fixing *x, const struct value *old);

/* The old value in steps of `step` around `zero`, within dt's range: rounded, halves up. NULL after a message. */
struct value *fixed_integer(struct fixing *x, const struct value *old, double step, int64_t zero, enum dtype dt);
/* The old value as a view without shift and bounds, of one scale. False after a message. */
bool fixed_single(struct fixing *x, const struct value *old, struct fixed *single);
/* n old values as views of one scale, fine enough for sums of them. */
bool fixed_common(struct fixing *x, int n, struct value *const *old, struct fixed *common);
/* The same without shift and bounds; scales stay. */
bool fixed_settled(struct fixing *x, const struct value *old, struct fixed *settled);
/* Largest magnitude of integers between these. */
double fixed_size(int64_t least, int64_t most);
/* Largest magnitude that the view's numbers can have. */
double fixed_reach(const struct fixed *f);

/* A function of one operand (a MAP row) or softmax of a known value. False where it has no integer form, or after a message. */
bool fixed_curve(struct fixing *x, const struct node *node, struct fixed *result);
bool fixed_log_softmax(struct fixing *x, const struct node *node, struct fixed *result);
bool fixed_layer_norm(struct fixing *x, const struct node *node, struct fixed *result); /* of constant scale and bias */

struct norm { /* d over the root of its mean square over the axes, plus epsilon */
    const struct value *d;
    int n;
    const int64_t *axes;
    double epsilon;
};
/* Whether the node of the old graph ends such a norm, made of single operators. */
bool fixed_norm_find(const struct node *node, struct norm *norm);
bool fixed_norm(struct fixing *x, const struct norm *norm, struct fixed *result);
/* By node: whether it has to be converted. What is inside of norms is not, unless others read it. */
bool *fixed_needed(const struct graph *graph, struct arena *arena);

/* lt, le, eq of two values that are known or constant; NULL where there is no such form. */
struct value *fixed_compare(struct fixing *x, const struct node *node);
/* Two old values, known or one of them constant, as views of one scale. */
bool fixed_pair(struct fixing *x, struct value *const *old, struct fixed *both);
bool fixed_select(struct fixing *x, const struct node *node, struct fixed *f);

/* Parts of functions. x >> bits: */
struct value *fixed_shifted(struct graph *to, struct value *x, int bits);
/* A table of n numbers of 16 bits. */
struct value *fixed_table(struct graph *to, const double *at, int n, enum dtype dt);
/* On the line between numbers q >> bits and the next of the table, i32. */
struct value *fixed_between(struct graph *to, struct value *table, struct value *q, int bits);
/* max - x along a softmax's axis, in steps of 2^-10; NULL where that cannot be. */
struct value *fixed_below_most(struct fixing *x, const struct node *node, int64_t *axis);
/* exp(-d/1024) of 15 bits. */
struct value *fixed_exponential(struct graph *to, struct value *d);

#endif
