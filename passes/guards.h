/* Guards of loads (`load x[i] if 0 <= i && i < N else 0`): where they hold, and testing them once further out. */
#ifndef TENON_GUARDS_H
#define TENON_GUARDS_H
#include "loopnest.h"

/* The part lo..hi of the axis where every guard that reads its variable holds for all values of the other
 * variables; false where that cannot be said. lo == hi: nowhere. */
bool guards_interval(const struct loopnest *nest, int axis, dim *lo, dim *hi);
/* Where a whole loop body changes nothing unless a guard holds (sums of guarded products, maxima of guarded
 * loads), the guard becomes an `if` around the body and leaves the loads. Guards reading one of the `fixed`
 * variables stay. Returns the new list. */
struct stmt *guards_hoist(struct prog *prog, struct stmt *list, struct var *const *fixed, int n_fixed);
/* Stores whose value is chosen by conditions that do not read the fixed variables become branches (unswitch.c). */
struct stmt *guards_unswitch(struct prog *prog, struct stmt *list, struct var *const *fixed, int n_fixed);
/* Loops of at most `most` trips whose variable some guard reads are unrolled, so that it folds. */
struct stmt *guards_unroll(struct prog *prog, struct stmt *list, int most);
/* Removes updates known to change nothing (a product with a literal zero from a folded guard) and opens branches
 * whose condition is known. In place. */
struct stmt *guards_drop(struct stmt *list);

#endif
