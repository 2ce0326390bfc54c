/* Scheduler primitives on statement lists: unroll, jam, vectorize. Strategies (schedule.c) compose them.
 *
 * All take a list written for one value of a variable and return a new one; nothing is changed in place. They say
 * how, never whether: that iterations may be interleaved is for the caller to know (loopnest.h).
 */
#ifndef TENON_LOOPS_H
#define TENON_LOOPS_H
#include "rewrite.h"

/* The list once per rewriter, interleaved statement by statement; loops whose bounds agree are shared, so copies
 * end up in one innermost body. Lets that come out equal are made once. */
struct stmt *loops_jam_with(struct prog *prog, const struct stmt *list, struct rewriter **r, int n);
/* The list for var = each value, jammed. */
struct stmt *loops_jam(struct prog *prog, const struct stmt *list, const struct var *var, ex const *values, int n);
/* The list for var = each value, one after the other. */
struct stmt *loops_unroll(struct prog *prog, const struct stmt *list, const struct var *var, ex const *values, int n);

/* How a loop variable becomes lanes. */
struct lanes {
    struct var *var;
    ex base;   /* value in lane 0 */
    int lanes;
    ex count;  /* active lanes from the front, index; NULL: all */
    /* Registers defined outside the list that become vectors: old -> new, with the value to merge for lanes that
     * are not active (used with count). */
    int n_registers;
    struct var **from, **to;
    ex *neutral;
};
/* The list for lanes.lanes values of the variable at once. False where it cannot be: data-dependent subscripts,
 * branches or bounds, strided access under a count, a store all lanes would make to one place. */
bool loops_vectorize(struct prog *prog, const struct stmt *list, const struct lanes *lanes, struct stmt **result);

/* `set acc = acc OP e` (either side, OP add mul min max and or xor; acc not in e): OP and e. */
bool loops_reduction(const struct stmt *set, enum expr_op *op, ex *e);
/* The value that changes nothing under OP. */
ex loops_neutral(struct prog *prog, enum expr_op op, enum dtype dt);
/* Float sums of products in `set`s as fma. In place. */
void loops_use_fma(struct prog *prog, struct stmt *list);
/* Statements in the list, bodies included: a measure of code size. */
int loops_size(const struct stmt *list);

#endif
