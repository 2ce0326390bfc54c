/* What pass fixed knows of a float value: integers that stand for it. See fixed.c, fixed_value.c (arithmetic),
 * fixed_curves.c (functions that are no lines). */
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

#endif
