/* Narrow element types: packing, decoding by table, encoding by integer arithmetic on the bits of an f32.
 *
 * With M bits of mantissa, x = 1.f * 2^e becomes the code (e + bias)*2^M + f, rounded: the bits of the f32, less the
 * difference of the biases, shifted right by 23 - M with ties to even. Below the least normal number, adding a power of two
 * whose last place is the least subnormal number rounds the same way. (OCP 8-bit Floating Point Specification, 2023;
 * FNUZ: Noune et al., 8-bit Numerical Formats for Deep Neural Networks, 2022.)
 */
#include "onnx_narrow.h"

#include <math.h>
#include <string.h>

static const struct narrow rows[] = {
    {"float8e4m3fn", 17, DT_u8, 8, 3, 7, 0x7e, 0x7f, 0x7f, false},
    {"float8e4m3fnuz", 18, DT_u8, 8, 3, 8, 0x7f, 0x80, 0x80, true},
    {"float8e5m2", 19, DT_u8, 8, 2, 15, 0x7b, 0x7c, 0x7e, false},
    {"float8e5m2fnuz", 20, DT_u8, 8, 2, 16, 0x7f, 0x80, 0x80, true},
    {"uint4", 21, DT_u8, 4, -1, 0, 0, 0, 0, false},
    {"int4", 22, DT_i8, 4, -1, 0, 0, 0, 0, false},
    {"float4e2m1", 23, DT_u8, 4, 1, 1, 7, 7, 8, false},
    {"float8e8m0", 24, DT_u8, 8, 0, 127, 0xfe, 0xff, 0xff, false},
    {"uint2", 25, DT_u8, 2, -1, 0, 0, 0, 0, false},
    {"int2", 26, DT_i8, 2, -1, 0, 0, 0, 0, false},
};
enum { E8M0 = 24 };

const struct narrow *onnx_narrow(int32_t number)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].number == number) return &rows[i];
    return NULL;
}

void narrow_unpack(const struct narrow *narrow, const uint8_t *packed, int64_t n, uint8_t *bytes)
{
    int per_byte = 8 / narrow->bits, sign = narrow->dt == DT_i8 ? 1 << (narrow->bits - 1) : 0;
    for (int64_t i = 0; i < n; i++) {
        int code = packed[i / per_byte] >> (int)(i % per_byte) * narrow->bits & ((1 << narrow->bits) - 1);
        bytes[i] = (uint8_t)((code ^ sign) - sign);
    }
}

/* ---- floats to numbers ---- */

static float number_of(const struct narrow *narrow, int code)
{
    if (narrow->number == E8M0) return code == 0xff ? NAN : (float)ldexp(1, code - narrow->bias);
    int sign = 1 << (narrow->bits - 1), size = code & (sign - 1), m = size & ((1 << narrow->mantissa) - 1), e = size >> narrow->mantissa;
    double value = e ? ldexp(m + (1 << narrow->mantissa), e - narrow->bias - narrow->mantissa) : ldexp(m, 1 - narrow->bias - narrow->mantissa);
    if (narrow->is_unsigned_zero ? code == narrow->nan : size > narrow->largest)
        return size == narrow->infinity && narrow->infinity != 0x7f ? (float)copysign(INFINITY, code & sign ? -1 : 1) : NAN;
    return (float)(code & sign ? -value : value);
}

struct value *narrow_open(struct graph *g, const struct narrow *narrow, struct value *x)
{
    if (!x || !narrow || !narrow_is_float(narrow)) return x;
    int n = 1 << narrow->bits;
    float *table = arena_alloc(g->session, (size_t)n * sizeof *table);
    for (int i = 0; i < n; i++) table[i] = number_of(narrow, i);
    return graph_gather(g, graph_data(g, &(struct type){.dt = DT_f32, .rank = 1, .dim = {n}}, table), x, 0, 0);
}

/* ---- numbers to floats ---- */

static struct value *number(struct graph *g, int64_t n)
{
    return graph_int(g, DT_u32, n);
}

static struct value *binary(struct graph *g, enum op op, struct value *x, int64_t n)
{
    return graph_binary(g, op, x, number(g, n));
}

/* Codes of sizes, the bits of floats that are not negative, of at least the least normal number; too large ones go beyond. */
static struct value *normal_codes(struct graph *g, const struct narrow *narrow, struct value *size)
{
    int drop = 23 - narrow->mantissa;
    struct value *even = binary(g, OP_and, binary(g, OP_shr, size, drop), 1);
    struct value *rounded = graph_binary(g, OP_add, binary(g, OP_add, size, (1 << (drop - 1)) - 1), even);
    return binary(g, OP_sub, binary(g, OP_shr, rounded, drop), (int64_t)(127 - narrow->bias) << narrow->mantissa);
}

static struct value *small_codes(struct graph *g, const struct narrow *narrow, struct value *size)
{
    struct value *power = graph_scalar(g, DT_f32, ldexp(1, 1 - narrow->bias - narrow->mantissa + 23));
    struct value *sum = graph_binary(g, OP_add, graph_bitcast(g, size, DT_f32), power);
    struct value *code = graph_bitcast(g, sum, DT_u32);
    return graph_binary(g, OP_sub, code, graph_bitcast(g, power, DT_u32));
}

/* x, f32, in the format's code. */
static struct value *encode(struct graph *g, const struct narrow *narrow, struct value *x, bool is_saturating)
{
    enum { INFINITE = 0x7f800000 };
    struct value *bits = graph_bitcast(g, x, DT_u32), *size = binary(g, OP_and, bits, 0x7fffffff);
    struct value *sign = binary(g, OP_shl, binary(g, OP_shr, bits, 31), narrow->bits - 1);
    struct value *is_small = binary(g, OP_lt, size, (int64_t)(127 + 1 - narrow->bias) << 23);
    struct value *code = normal_codes(g, narrow, size), *small = small_codes(g, narrow, size);
    code = graph_select(g, is_small, small, code);
    struct value *beyond = number(g, is_saturating ? narrow->largest : narrow->infinity);
    code = graph_select(g, graph_binary(g, OP_lt, number(g, narrow->largest), code), beyond, code);
    if (narrow->is_unsigned_zero) {
        struct value *is_zero = binary(g, OP_eq, code, 0);
        sign = graph_select(g, is_zero, number(g, 0), sign);
    }
    struct value *is_nan = graph_binary(g, OP_lt, number(g, INFINITE), size);
    code = graph_select(g, is_nan, number(g, narrow->nan), code);
    return graph_cast(g, graph_binary(g, OP_or, code, sign), DT_u8);
}

/* The exponent of x, f32, alone. */
static struct value *encode_exponent(struct graph *g, struct value *x, bool is_saturating, const char *rounding)
{
    enum { NOT_FINITE = 0xff, LARGEST = 0xfe, HALF = 0x400000 };
    struct value *bits = graph_bitcast(g, x, DT_u32), *rest = binary(g, OP_and, bits, 0x7fffff), *up;
    struct value *code = binary(g, OP_and, binary(g, OP_shr, bits, 23), 0xff);
    if (!strcmp(rounding, "down")) return graph_cast(g, code, DT_u8);
    up = graph_binary(g, OP_lt, number(g, !strcmp(rounding, "up") ? 0 : HALF), rest);
    if (!strcmp(rounding, "nearest")) {
        struct value *tie = binary(g, OP_eq, rest, HALF), *is_normal = graph_binary(g, OP_lt, number(g, 0), code);
        up = graph_binary(g, OP_or, up, graph_binary(g, OP_and, tie, is_normal));
    }
    up = graph_binary(g, OP_and, up, binary(g, OP_lt, code, is_saturating ? LARGEST : NOT_FINITE));
    return graph_cast(g, graph_binary(g, OP_add, code, graph_cast(g, up, DT_u32)), DT_u8);
}

/* ---- integers ---- */

struct value *narrow_limit(struct graph *g, const struct narrow *narrow, struct value *x)
{
    int64_t low = narrow->dt == DT_i8 ? -(1 << (narrow->bits - 1)) : 0;
    x = graph_binary(g, OP_max, x, graph_int(g, narrow->dt, low));
    return graph_binary(g, OP_min, x, graph_int(g, narrow->dt, low + (1 << narrow->bits) - 1));
}

static struct value *close_integer(struct graph *g, const struct narrow *narrow, struct value *x)
{
    if (dtype_is_float(x->type.dt)) x = graph_cast(g, x, DT_i32);
    x = graph_cast(g, x, narrow->dt);
    struct value *by = graph_int(g, narrow->dt, 8 - narrow->bits);
    return graph_binary(g, OP_shr, graph_binary(g, OP_shl, x, by), by);
}

struct value *narrow_close(struct onnx_call *call, const struct narrow *narrow, struct value *x, bool is_saturating, const char *rounding)
{
    struct graph *g = call->graph;
    if (!x) return NULL;
    if (!narrow_is_float(narrow)) return close_integer(g, narrow, x);
    x = graph_cast(g, x, DT_f32);
    if (narrow->number != E8M0) return encode(g, narrow, x, is_saturating);
    if (strcmp(rounding, "up") && strcmp(rounding, "down") && strcmp(rounding, "nearest"))
        return onnx_error(call, "round_mode \"%.100s\"", rounding);
    return encode_exponent(g, x, is_saturating, rounding);
}

/* ---- nodes ---- */

static bool is_among(const char *name, const char *const *list)
{
    for (; *list; list++)
        if (!strcmp(name, *list)) return true;
    return false;
}

static bool is_moving(const struct onnx_call *call)
{
    static const char *const moving[] = {"Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Concat",
                                         "Split", "Expand", "Tile", "Gather", "DepthToSpace", "SpaceToDepth", NULL};
    return is_among(call->node->op_type, moving);
}

bool narrow_check(struct onnx_call *call)
{
    static const char *const knowing[] = {"Cast", "CastLike", "QuantizeLinear", "DequantizeLinear", "Shape", "Size", NULL};
    bool knows = is_among(call->node->op_type, knowing), moves = is_moving(call), joins = !strcmp(call->node->op_type, "Concat");
    for (int i = 0; i < call->n_in; i++) {
        if (joins && call->narrow_in[i] != call->narrow_in[0]) return onnx_error(call, "its inputs have different element types") != NULL;
        if (call->narrow_in[i] && !knows && !(moves && (i == 0 || joins)))
            return onnx_refuse(call, "element type %s (input %d)", call->narrow_in[i]->name, i) != NULL;
    }
    return true;
}

void narrow_hand_on(struct onnx_call *call)
{
    for (int i = 0; i < call->n_out && is_moving(call); i++) call->narrow_out[i] = call->narrow_in[0];
}
