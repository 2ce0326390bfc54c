/* Shared subexpressions become lets. */
#ifndef TENON_LETS_H
#define TENON_LETS_H
#include "../ir/prog.h"

/* The list with a let for every computation (not index arithmetic) that a run of statements uses more than once.
 * Loads stay on their side of stores to the same buffer. Rewrites in place and returns the new list. */
struct stmt *lets_share(struct prog *prog, struct stmt *list);

#endif
