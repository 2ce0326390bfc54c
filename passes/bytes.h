/* Products of integers whose operands are bytes: see bytes.c. */
#ifndef TENON_BYTES_H
#define TENON_BYTES_H
#include "passes.h"

/* What an i32 operand of a product is: (byte - zero), byte being u8 or i8. */
struct bytes_operand {
    const struct value *byte; /* of the old graph */
    int64_t zero;
    const struct value *moving; /* of the old graph: the zero where it is computed, one element of byte's type; or NULL */
};
/* False where the operand is something else. */
bool bytes_find(const struct value *operand, struct bytes_operand *bytes);

struct bytes_product {
    struct value *x;       /* the byte, channels last; rank n + 2, or any for n = 0 */
    int64_t zero;
    struct value *moving;  /* instead of zero: one element of x's type; or NULL */
    const struct value *w; /* constant i32: [o, c, k..] of a convolution, [c, o] of a matrix */
    bool matrix;
    int n;                 /* spatial axes */
    const int64_t *pad, *pad_after;
    const struct attr *stride, *dilation;
    int64_t block;         /* output channels in a packed block; divides size */
    int64_t size;          /* output channels with those of zeros */
    const struct target *target; /* which dot products it has, or NULL */
};
/* The i32 sums, output channels last, `size` of them; NULL where an output's weights span more than a byte. */
struct value *bytes_build(struct graph *to, const struct bytes_product *product);
/* Integers up to this magnitude are exact in f32. */
#define FLOAT_EXACT ((int64_t)1 << 24)
/* Largest magnitude in a constant of i32. */
int64_t bytes_magnitude(const struct value *constant);
/* Bound on the magnitude of sums of `terms` products of the operand and this constant. */
int64_t bytes_most(const struct bytes_operand *x, const struct value *w, int64_t terms);
/* The i32 sums of a depthwise convolution over rows and columns, by dot products of columns (Note: windows in bytes.c);
 * NULL where it has another form. product->w stays [c, 1, k..]; rows, columns: of the result. */
struct value *bytes_windows(struct graph *to, const struct bytes_product *product, dim rows, dim columns);
/* The sums of a depthwise convolution in f32, which must be exact: of (byte - zero) in f32, or, `narrow`, of the bytes
 * themselves, converted where they are read. product->w stays [c, 1, k..] in i32. */
struct value *bytes_depthwise(struct graph *to, const struct bytes_product *product, bool narrow);

/* x with a border of `zero` and channels up to a multiple of `whole`; NULL where their number is not known. */
struct value *bytes_pad(struct graph *to, const struct bytes_product *product, struct value *x, struct value *zero, int64_t whole);
/* What a zero point takes from the sums: -zero times the weights' sum, by output channel, i32. */
struct value *bytes_zero_part(struct graph *to, const struct bytes_product *product, int64_t zero);

/* bytes_plain.c: the same sums byte by byte, for a machine without instructions for four at a time. The weights as i8 (i16
 * where they do not fit), in product->w's order; NULL where they are larger. */
struct value *bytes_narrow(struct graph *to, const struct value *w);
/* The sums by `op` (conv_bytes, conv_depth_bytes, matmul_bytes) of weights that were narrowed and packed for it. */
struct value *bytes_plain(struct graph *to, const struct bytes_product *product, enum op op, struct value *packed);

#endif
