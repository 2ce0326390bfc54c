/* Boxes of elements that accesses touch, in the dimensions of the buffer that they touch: an estimate, from the ends of the
 * loops around each. Used by exchange.c. */
#ifndef TENON_BOX_H
#define TENON_BOX_H
#include "access.h"

enum { NAMES_MOST = LOOPS_MOST + 2 };
struct shape { /* of a buffer */
    int rank;
    int64_t size[RANK_MOST];
};
struct box {
    bool any;
    int64_t lo[RANK_MOST], hi[RANK_MOST];
};
struct names { /* values of variables */
    int n;
    const struct var *var[NAMES_MOST];
    int64_t value[NAMES_MOST];
};

/* The value of an index expression; false where it is made of anything but names and numbers. Symbols count at their
 * least. */
bool box_value(const struct dims *dims, const struct names *names, ex e, int64_t *value);
/* All of the buffer. */
void box_whole(struct box *box, const struct shape *shape);
/* Elements in both; b NULL: in a. */
double box_size(const struct shape *shape, const struct box *a, const struct box *b);
/* Adds what the access touches, `offset` elements further on; false where that is not known. */
bool box_add_reach(struct box *box, const struct shape *shape, const struct dims *dims, const struct reach *reach, int64_t offset,
                   const struct names *names);

#endif
