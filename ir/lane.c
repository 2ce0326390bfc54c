/* What each expression kind does to one value.  See lane.h and exprs.def.
 *
 * f32 arithmetic is done in float; f16 and bf16 in float and then rounded to their type, which for + - * / sqrt
 * is the correctly rounded result. The functions that pass expand replaces (exp ...) go through the C library in
 * double, so they are the reference that the expansions are measured against.
 */
#include "lane.h"

#include <math.h>
#include <string.h>

static float round_float(enum dtype dt, float v)
{
    if (dt == DT_f16) return f16_to_float(f16_from_float(v));
    return dt == DT_bf16 ? bf16_to_float(bf16_from_float(v)) : v;
}

int64_t lane_wrap(enum dtype dt, int64_t v)
{
    int bits = 8 * (int)dtype_bytes(dt);
    if (dt == DT_bool) return v != 0;
    if (bits == 64) return v;
    uint64_t low = (uint64_t)v & (((uint64_t)1 << bits) - 1);
    if (dtype_class(dt) == DT_SIGNED && low >> (bits - 1)) low |= ~(uint64_t)0 << bits;
    return (int64_t)low;
}

union lane lane_load(enum dtype dt, const void *data)
{
    union lane v = {.i = 0};
    uint16_t half;
    switch (dt) {
    case DT_f64: memcpy(&v.d, data, sizeof v.d); break;
    case DT_f32: memcpy(&v.f, data, sizeof v.f); break;
    case DT_f16: memcpy(&half, data, sizeof half), v.f = f16_to_float(half); break;
    case DT_bf16: memcpy(&half, data, sizeof half), v.f = bf16_to_float(half); break;
    case DT_i8: v.i = *(const int8_t *)data; break;
    case DT_u8: v.i = *(const uint8_t *)data; break;
    case DT_bool: v.i = *(const uint8_t *)data != 0; break;
    case DT_i16: case DT_i32: case DT_u16: case DT_u32: case DT_i64: case DT_u64: case DT_index:
        memcpy(&v.i, data, (size_t)dtype_bytes(dt)); /* the hosts we run on are little-endian */
        v.i = lane_wrap(dt, v.i);
        break;
    case DT_COUNT: break;
    }
    return v;
}

void lane_store(enum dtype dt, void *data, union lane v)
{
    uint16_t half;
    switch (dt) {
    case DT_f64: memcpy(data, &v.d, sizeof v.d); break;
    case DT_f32: memcpy(data, &v.f, sizeof v.f); break;
    case DT_f16: half = f16_from_float(v.f), memcpy(data, &half, sizeof half); break;
    case DT_bf16: half = bf16_from_float(v.f), memcpy(data, &half, sizeof half); break;
    case DT_i8: case DT_u8: case DT_bool: case DT_i16: case DT_i32: case DT_u16: case DT_u32: case DT_i64:
    case DT_u64: case DT_index: memcpy(data, &v.i, (size_t)dtype_bytes(dt)); break;
    case DT_COUNT: break;
    }
}

union lane lane_const(ex e)
{
    if (e->dt == DT_f64) return (union lane){.d = e->number};
    if (dtype_is_float(e->dt)) return (union lane){.f = (float)e->number};
    return (union lane){.i = e->imm};
}

static double function(enum expr_op op, double a)
{
    switch (op) {
    case EX_exp: return exp(a);
    case EX_log: return log(a);
    case EX_sin: return sin(a);
    case EX_cos: return cos(a);
    case EX_tan: return tan(a);
    case EX_asin: return asin(a);
    case EX_acos: return acos(a);
    case EX_atan: return atan(a);
    case EX_sinh: return sinh(a);
    case EX_cosh: return cosh(a);
    case EX_tanh: return tanh(a);
    case EX_asinh: return asinh(a);
    case EX_acosh: return acosh(a);
    case EX_atanh: return atanh(a);
    case EX_erf: return erf(a);
    case EX_sigmoid: return a < 0 ? exp(a) / (1 + exp(a)) : 1 / (1 + exp(-a));
    case EX_neg: return -a;
    case EX_abs: return fabs(a);
    case EX_floor: return floor(a);
    case EX_ceil: return ceil(a);
    case EX_round: return rint(a); /* the rounding mode is to nearest even: nothing of ours changes it */
    case EX_trunc: return trunc(a);
    case EX_sqrt: return sqrt(a); /* rounding a double's root to float is exact: 53 >= 2*24 + 2 */
    default: bug("lane_unary", "kind %s", expr_row(op)->name); /* integer kinds never come here */
    }
}

union lane lane_unary(enum expr_op op, enum dtype dt, union lane a)
{
    bool wide = dt == DT_f64;
    if (op == EX_from_f16) return (union lane){.f = f16_to_float((uint16_t)a.i)};
    if (op == EX_to_f16) return (union lane){.i = f16_from_float(a.f)};
    if (dtype_is_float(dt)) {
        double v = wide ? a.d : (double)a.f;
        if (op == EX_is_nan) return (union lane){.i = isnan(v) != 0};
        if (op == EX_is_inf) return (union lane){.i = isinf(v) != 0};
        v = function(op, v);
        return wide ? (union lane){.d = v} : (union lane){.f = round_float(dt, (float)v)};
    }
    switch (op) {
    case EX_not: return (union lane){.i = dt == DT_bool ? !a.i : lane_wrap(dt, ~a.i)};
    case EX_neg: return (union lane){.i = lane_wrap(dt, (int64_t)(0 - (uint64_t)a.i))};
    case EX_abs:
        if (dtype_class(dt) != DT_SIGNED || a.i >= 0) return a;
        return (union lane){.i = lane_wrap(dt, (int64_t)(0 - (uint64_t)a.i))};
    case EX_floor: case EX_ceil: case EX_round: case EX_trunc: return a;
    case EX_is_nan: case EX_is_inf: return (union lane){.i = 0};
    default: bug("lane_unary", "%s of %s", expr_row(op)->name, dtype_name(dt)); /* the verifier refuses the rest */
    }
}

static double mod_float(double a, double b)
{
    double r = fmod(a, b); /* exact, so doing it in double is exact for every float type but for the last addition */
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

static union lane binary_f64(enum expr_op op, double a, double b)
{
    switch (op) {
    case EX_add: return (union lane){.d = a + b};
    case EX_sub: return (union lane){.d = a - b};
    case EX_mul: return (union lane){.d = a * b};
    case EX_div: return (union lane){.d = a / b};
    case EX_mod: return (union lane){.d = mod_float(a, b)};
    case EX_rem: return (union lane){.d = fmod(a, b)};
    case EX_min: return (union lane){.d = isnan(a) ? a : isnan(b) ? b : a < b ? a : b};
    case EX_max: return (union lane){.d = isnan(a) ? a : isnan(b) ? b : a > b ? a : b};
    case EX_pow: return (union lane){.d = pow(a, b)};
    case EX_eq: return (union lane){.i = a == b};
    case EX_lt: return (union lane){.i = a < b};
    case EX_le: return (union lane){.i = a <= b};
    default: bug("lane_binary", "%s of f64", expr_row(op)->name); /* bit operations: the verifier refuses them */
    }
}

static union lane binary_f32(enum expr_op op, enum dtype dt, float a, float b)
{
    union lane wide = {.i = 0};
    float v;
    if (op == EX_add) v = a + b;
    else if (op == EX_sub) v = a - b;
    else if (op == EX_mul) v = a * b;
    else if (op == EX_div) v = a / b;
    else {
        wide = binary_f64(op, (double)a, (double)b);
        if (op == EX_eq || op == EX_lt || op == EX_le) return wide;
        v = (float)wide.d;
    }
    return (union lane){.f = round_float(dt, v)};
}

/* base**exponent, wrapping; a negative exponent gives the truncated quotient 1 / base**-exponent. */
static int64_t int_pow(enum dtype dt, int64_t base, int64_t exponent)
{
    if (dtype_class(dt) == DT_SIGNED && exponent < 0) return base == 1 ? 1 : base == -1 ? (exponent & 1 ? -1 : 1) : 0;
    uint64_t v = 1, power = (uint64_t)base;
    for (uint64_t n = (uint64_t)exponent; n; n >>= 1) {
        if (n & 1) v *= power;
        power *= power;
    }
    return (int64_t)v;
}

static int64_t int_divide(enum expr_op op, enum dtype dt, int64_t a, int64_t b)
{
    if (b == 0) return 0;
    if (dt == DT_u64) return (int64_t)(op == EX_div ? (uint64_t)a / (uint64_t)b : (uint64_t)a % (uint64_t)b);
    if (b == -1) return op == EX_div ? (int64_t)(0 - (uint64_t)a) : 0; /* the least integer by -1 wraps */
    int64_t quotient = a / b, rest = a % b;
    bool lower = rest != 0 && (rest < 0) != (b < 0);
    if (op == EX_div) return dt == DT_index && lower ? quotient - 1 : quotient;
    return op == EX_mod && lower ? rest + b : rest;
}

static int64_t int_shift(enum expr_op op, enum dtype dt, int64_t a, int64_t b)
{
    bool outside = b < 0 || b >= 8 * dtype_bytes(dt);
    if (op == EX_shl) return outside ? 0 : (int64_t)((uint64_t)a << b);
    if (dtype_class(dt) == DT_SIGNED) return outside ? (a < 0 ? -1 : 0) : a >> b;
    return outside ? 0 : (int64_t)((uint64_t)a >> b);
}

static int64_t binary_int(enum expr_op op, enum dtype dt, int64_t a, int64_t b)
{
    bool less = dt == DT_u64 ? (uint64_t)a < (uint64_t)b : a < b;
    switch (op) {
    case EX_add: return (int64_t)((uint64_t)a + (uint64_t)b);
    case EX_sub: return (int64_t)((uint64_t)a - (uint64_t)b);
    case EX_mul: return (int64_t)((uint64_t)a * (uint64_t)b);
    case EX_div: case EX_mod: case EX_rem: return int_divide(op, dt, a, b);
    case EX_min: return less ? a : b;
    case EX_max: return less ? b : a;
    case EX_pow: return int_pow(dt, a, b);
    case EX_and: return a & b;
    case EX_or: return a | b;
    case EX_xor: return a ^ b;
    case EX_shl: case EX_shr: return int_shift(op, dt, a, b);
    case EX_eq: return a == b;
    case EX_lt: return less;
    case EX_le: return less || a == b;
    default: bug("lane_binary", "%s of %s", expr_row(op)->name, dtype_name(dt)); /* not a binary kind */
    }
}

union lane lane_binary(enum expr_op op, enum dtype dt, union lane a, union lane b)
{
    if (dt == DT_f64) return binary_f64(op, a.d, b.d);
    if (dtype_is_float(dt)) return binary_f32(op, dt, a.f, b.f);
    bool compare = op == EX_eq || op == EX_lt || op == EX_le;
    int64_t v = binary_int(op, dt, a.i, b.i);
    return (union lane){.i = compare ? v : lane_wrap(dt, v)};
}

union lane lane_dot(enum expr_op op, union lane a, union lane b, union lane c)
{
    uint32_t sum = (uint32_t)c.i;
    for (int k = 0; k < 32; k += 16) {
        uint32_t u = (uint32_t)a.i >> k & 0xffff, s = (uint32_t)b.i >> k & 0xffff;
        int32_t pair = (int32_t)(u & 0xff) * (int8_t)(s & 0xff) + (int32_t)(u >> 8) * (int8_t)(s >> 8);
        if (op == EX_dot2) pair = (int16_t)u * (int16_t)s;
        if (op == EX_dot4_sat) pair = pair < INT16_MIN ? INT16_MIN : pair > INT16_MAX ? INT16_MAX : pair;
        sum += (uint32_t)pair;
    }
    return (union lane){.i = (int32_t)sum};
}

union lane lane_pack(union lane a, union lane c)
{
    float v = lane_unary(EX_round, DT_f32, a).f + (float)c.i; /* where the sum is not exact, it is far outside */
    return (union lane){.i = isnan(v) || v < 0 ? 0 : v > 255 ? 255 : (int64_t)v};
}

union lane lane_join(enum dtype from, int n, const union lane *lanes, enum dtype to)
{
    unsigned char bytes[8];
    int size = (int)dtype_bytes(from);
    for (int i = 0; i < n; i++) lane_store(from, bytes + i * size, lanes[i]);
    return lane_load(to, bytes);
}

union lane lane_fma(enum dtype dt, union lane a, union lane b, union lane c)
{
    if (dt == DT_f64) return (union lane){.d = fma(a.d, b.d, c.d)};
    return (union lane){.f = round_float(dt, fmaf(a.f, b.f, c.f))};
}

static int64_t int_from_float(enum dtype to, double v)
{
    if (isnan(v)) return 0;
    v = trunc(v);
    if (dtype_class(to) == DT_UNSIGNED) {
        uint64_t most = dtype_int_max(to);
        return v <= 0 ? 0 : v >= (double)most ? (int64_t)most : (int64_t)(uint64_t)v;
    }
    int64_t least = dtype_int_min(to), most = (int64_t)dtype_int_max(to);
    return v >= (double)most ? most : v <= (double)least ? least : (int64_t)v;
}

union lane lane_cast(enum dtype from, enum dtype to, union lane a)
{
    bool whole = !dtype_is_float(from);
    double v = from == DT_f64 ? a.d : whole ? 0 : (double)a.f;
    if (to == DT_bool) return (union lane){.i = whole ? a.i != 0 : v != 0};
    if (!dtype_is_float(to)) return (union lane){.i = whole ? lane_wrap(to, a.i) : int_from_float(to, v)};
    if (to == DT_f64) {
        if (whole) v = from == DT_u64 ? (double)(uint64_t)a.i : (double)a.i;
        return (union lane){.d = v};
    }
    float narrow = (float)v;
    if (whole) narrow = from == DT_u64 ? (float)(uint64_t)a.i : (float)a.i;
    return (union lane){.f = round_float(to, narrow)};
}

union lane lane_bits(enum dtype from, enum dtype to, union lane a)
{
    unsigned char bytes[8] = {0};
    lane_store(from, bytes, a);
    return lane_load(to, bytes);
}
