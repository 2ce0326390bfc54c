/* Winograd's algorithm for 3x3 convolutions: see winograd.c. */
#ifndef TENON_WINOGRAD_H
#define TENON_WINOGRAD_H
#include "passes.h"

struct winograd_conv {
    struct value *x;       /* channels last, not yet padded */
    const struct value *w; /* constant [o, c, 3, 3] */
    const int64_t *pad, *pad_after; /* two each, not negative */
    int64_t block;         /* output channels in a packed block; divides o */
    int tile;              /* outputs a side: 2, 4, or 0 for what is cheapest, if anything */
};
/* The convolution's result, channels last; NULL where direct convolution is cheaper, or exact enough only that way. */
struct value *winograd_build(struct graph *to, const struct winograd_conv *conv, const struct target *target);

#endif
