/* Weights alone as integers of 8 or 4 bits, the rest of the model in floats. See quantize_weights.c. */
#ifndef TENON_QUANTIZE_WEIGHTS_H
#define TENON_QUANTIZE_WEIGHTS_H
#include "quantize.h"

struct quantize_narrowed { /* of a layer; q NULL: float */
    int8_t *q;
    float *scale;          /* [parts, n] */
    int64_t part, parts;   /* of the sum: elements of one, the last one filled up with zeros; how many */
};
struct quantize_narrowing {
    struct quantize_plan *plan;
    int bits;
    int64_t block; /* elements of the sum with a scale of their own; 0: all of them */
    struct quantize_narrowed *layers;
};
/* Integers and scales for every layer of the plan that gains by them; the others get a reason to stay float. A layer's error
 * and signal become those of its weights. NULL after an error: no layer gains. */
struct quantize_narrowing *quantize_narrow(struct quantize_plan *plan, int bits, int64_t block);
/* The model with the weights of layers that are still on bytes so. */
struct graph *quantize_narrow_rewrite(const struct quantize_narrowing *narrowing, struct arena *unit);

#endif
