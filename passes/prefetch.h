/* Asking for the next panel of a packed operand while this one is used: see prefetch.c. */
#ifndef TENON_PREFETCH_H
#define TENON_PREFETCH_H
#include "rewrite.h"

struct prefetch {
    struct buffer *buf;
    int64_t ahead; /* elements from a panel to the next */
    ex visit;      /* which visit of the panel this is */
    int turns;     /* visits that share the next panel: 1, 2, 4 or 8 */
};
/* Adds prefetches to the innermost loops of the list that load vectors of buf. In place. */
void prefetch_panel(struct prog *prog, struct stmt *list, const struct prefetch *prefetch);

#endif
