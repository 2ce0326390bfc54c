/* Element types below a byte, and floats of a byte: int4, uint4, int2, uint2, float4e2m1, float8.
 *
 * The graph has none of these. An element is a byte of its own: integers as i8 or u8 within their range, floats as u8
 * with their bits. What a name in the file stands for is noted beside the name (onnx_scope.h); operators that only move
 * elements hand it on, Cast and its kin convert, all others refuse it. Read next: onnx_narrow.c.
 */
#ifndef TENON_ONNX_NARROW_H
#define TENON_ONNX_NARROW_H
#include "onnx_build.h"

struct narrow {
    const char *name;
    int32_t number; /* of the type in ONNX */
    enum dtype dt;  /* of the graph's value */
    int bits;       /* of an element in a file, packed from the lowest bits of a byte on */
    /* floats; mantissa < 0: an integer */
    int mantissa, bias;
    int largest;  /* code of the largest finite number; e8m0: unused */
    int infinity; /* code that a number too large becomes without saturation */
    int nan;      /* code that NaN becomes; float4e2m1, which has none, takes -0 */
    bool is_unsigned_zero; /* one zero, whose negative's code is NaN */
};

/* The type of this number; NULL where it is none of these. */
const struct narrow *onnx_narrow(int32_t number);
static inline bool narrow_is_float(const struct narrow *narrow) { return narrow->mantissa >= 0; }
/* The numbers that x's bytes stand for: integers as they are, floats as f32. x as it is where narrow is NULL. */
struct value *narrow_open(struct graph *g, const struct narrow *narrow, struct value *x);
/* x as bytes: floats are rounded to nearest, ties to even (e8m0: "up", "down" or "nearest"), what is too large becomes the
 * largest number where is_saturating; integers keep their low bits. */
struct value *narrow_close(struct onnx_call *call, const struct narrow *narrow, struct value *x, bool is_saturating, const char *rounding);
/* Bytes that are too large or too small for the integer type at its bounds. */
struct value *narrow_limit(struct graph *g, const struct narrow *narrow, struct value *x);
/* n elements of a file, packed, as bytes of their own. */
void narrow_unpack(const struct narrow *narrow, const uint8_t *packed, int64_t n, uint8_t *bytes);
/* After a node was built: notes what its results are where elements only moved. Before: false after a message where the
 * operator does not take what its inputs are. */
bool narrow_check(struct onnx_call *call);
void narrow_hand_on(struct onnx_call *call);

#endif
