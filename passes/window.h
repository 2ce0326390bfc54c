/* Windows that move along lanes: depthwise convolutions and pooling. See window.c. */
#ifndef TENON_WINDOW_H
#define TENON_WINDOW_H
#include "tile.h"

struct window {
    const struct buffer *buf; /* what it moves over */
    int64_t pitch;            /* elements between the rows of copies; 0: copies are in one row */
    int rows;                 /* of copies */
    int taps;                 /* in a row */
    bool unrolled;            /* all rows of taps, not one at a time */
    double loads;             /* of the elements that taps of copies read, the part that differ */
};
/* Whether the nest with this plan is a window whose copies meet the same elements at different taps. */
bool window_find(const struct loopnest *nest, const struct tile_plan *plan, struct window *window);
/* Updates of sums, in the order of what they read. In place; returns the list. */
struct stmt *window_order(struct prog *prog, struct stmt *list, const struct window *window);

#endif
