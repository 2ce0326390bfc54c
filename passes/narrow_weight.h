/* A product's weights that are integers times scales, and how they are packed: see narrow_weight.c. */
#ifndef TENON_NARROW_WEIGHT_H
#define TENON_NARROW_WEIGHT_H
#include "passes.h"

struct narrow_weight { /* element (k, n) is (q - zero)*scale */
    int64_t k, n;
    const struct tensor *q, *scale, *zero; /* i8 or u8; f32; q's type */
    int64_t offset, by_k, by_n;            /* of element (k, n) in q: offset + k*by_k + n*by_n */
    int64_t *scale_k, *scale_n;            /* in scale: scale_k[k] + scale_n[n] */
    int64_t *zero_k, *zero_n;
    int64_t block;                         /* scale and zero are the same for so many k, but for a shorter last block; k: for all */
    int low, high;                         /* of q */
};
/* What the elements of the right side of a product [.., k, n] are, behind what moves them, with k, n, offset, by_k and by_n set;
 * NULL where they do not lie there by strides. narrow_is_separable: q set, whether k and n move along axes of their own. */
const struct value *narrow_source(const struct value *right, struct narrow_weight *weight);
bool narrow_is_separable(const struct narrow_weight *weight);
/* Whether the right side is a constant of 16-bit floats, or those in f32 by `widen`; only k, n, q, offset and strides are set. */
bool narrow_find_half(const struct value *right, struct narrow_weight *weight);
/* x, f32 or 16-bit floats, times such weights; the result has x's type. */
struct value *narrow_half_product(struct graph *to, struct value *x, const struct narrow_weight *weight, int64_t block);
/* Whether the right side of a product [.., k, n] is such a constant for all batches. */
bool narrow_find(const struct value *right, struct arena *arena, struct narrow_weight *weight);
/* Whether it can be packed in four bits a number, in bytes: blocks are of whole words. */
bool narrow_is_nibbles(const struct narrow_weight *weight);
bool narrow_is_bytes(const struct narrow_weight *weight);

/* Rows of a product whose left side has this type, dims at their lower bound. */
double narrow_rows(const struct graph *graph, const struct type *x);
/* Whether a product of so many rows gains from weights of so many bytes each, on vectors of so many floats with so many
 * multiply-adds a cycle: cycles per weight, whichever of arithmetic and memory takes longer. */
bool narrow_pays(int lanes, int fmas, double rows, double bytes);

struct narrow_packed {
    int64_t size, block;   /* output channels with those of zeros; in a packed block */
    int64_t part, parts;   /* of k, filled up: parts*part */
    struct value *words;   /* i8 [size/block, part, block], or [size/block, parts, part, block]; nibbles: i32, part/8 words */
    struct value *scale;   /* f32 [size/block, parts, block], or for a single part of bytes [n] */
    struct value *centre;  /* f32 [parts, n]: scale times what still has to be taken from every number; NULL: nothing */
};
/* Packs into constants of `to`, one of the two above. */
void narrow_pack(struct graph *to, const struct narrow_weight *weight, bool nibbles, int64_t block, struct narrow_packed *packed);

#endif
