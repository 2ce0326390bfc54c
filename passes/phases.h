/* Transposed convolutions by the phases of their outputs: see phases.c. */
#ifndef TENON_PHASES_H
#define TENON_PHASES_H
#include "passes.h"

struct phases_conv {
    struct value *x;       /* channels last, before zeros are put between its elements */
    const struct value *w; /* constant [o, c, k..], flipped */
    int n;                 /* spatial axes */
    const int64_t *stride; /* of the zeros */
    const int64_t *pad;    /* in front, over the dilated x */
    const dim *size;       /* of the result */
    int64_t block;         /* output channels in a packed block; divides o */
};
/* The convolution's result, channels last; NULL where it is not of this kind. */
struct value *phases_build(struct graph *to, const struct phases_conv *conv);

#endif
