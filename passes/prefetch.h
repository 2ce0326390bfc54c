/* Asking for what is not in the cache before it is needed: see prefetch.c. */
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

struct prefetch_tile { /* what a tile writes, or reads beside its sums, of one buffer */
    struct buffer *buf;
    ex at;              /* its first element */
    int64_t stride;     /* elements from a row to the next */
    int64_t rows, width; /* width: elements of a row */
};
/* Adds prefetches of the tile's rows to the loops of the list that sum up, a few to each trip. In place. */
void prefetch_rows(struct prog *prog, struct stmt *list, const struct prefetch_tile *tile);

#endif
