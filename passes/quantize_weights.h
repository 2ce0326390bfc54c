/* Weights alone as integers of 8 or 4 bits or as 16-bit floats, the rest of the model in floats. See quantize_weights.c, quantize_half.c. */
#ifndef TENON_QUANTIZE_WEIGHTS_H
#define TENON_QUANTIZE_WEIGHTS_H
#include "quantize.h"

struct quantize_narrowed { /* of a layer; q and half NULL: float */
    uint16_t *half;        /* the weights as 16-bit floats, without scales */
    int8_t *q;
    float *scale;          /* [parts, n] */
    int64_t part, parts;   /* of the sum: elements of one, the last one filled up with zeros; how many */
};
struct quantize_narrowing {
    struct quantize_plan *plan;
    int bits;        /* 16: floats of the type `half` */
    enum dtype half;
    int64_t block; /* elements of the sum with a scale of their own; 0: all of them */
    struct quantize_narrowed *layers;
};
/* Integers and scales for every layer of the plan that gains by them; the others get a reason to stay float. A layer's error
 * and signal become those of its weights. NULL after an error: no layer gains. */
struct quantize_narrowing *quantize_narrow(struct quantize_plan *plan, int bits, enum dtype half, int64_t block);
/* The model with the weights of layers that are still on bytes so. */
struct graph *quantize_narrow_rewrite(const struct quantize_narrowing *narrowing, struct arena *unit);

/* Fills in a layer of 16-bit floats; why it has to stay float instead, or NULL. Its weights as the product wants them. */
const char *quantize_half_layer(const struct quantize_narrowing *narrowing, struct quantize_layer *layer, struct quantize_narrowed *to);
struct value *quantize_half_weights(const struct quantize_narrowing *narrowing, struct graph *to, const struct quantize_layer *layer, const struct quantize_narrowed *from);

#endif
