/* 16-bit floats as bits: conversions to and from f32, rounding to nearest even. Where the target has instructions for f16
 * they are from_f16 and to_f16, otherwise (and for bf16, where that is little work) integer arithmetic.
 *
 * All give the same bits as f16_to_float and its kin in ir/type.c, NaN payloads included, so that the
 * interpreter and compiled code agree. Read next: expand.c, which keeps such values as u16 everywhere.
 */
#include "expand.h"

static ex f16_widen(const struct math *m, ex bits)
{
    ex u = ex_cast(m->prog, bits, DT_u32);
    ex sign = shift_left(m, both(m, u, word(m, 0x8000)), 16);
    ex body = shift_left(m, both(m, u, word(m, 0x7fff)), 13);
    ex scaled = to_bits(m, mul(m, from_bits(m, body), number(m, 0x1p112))); /* moves the exponent; denormals too */
    ex special = less(m, word(m, 0x0f7fffff), body);                      /* infinity and NaN */
    ex quiet = pick(m, less(m, word(m, 0x0f800000), body), word(m, 0x7fc00000), word(m, 0x7f800000));
    return from_bits(m, either(m, pick(m, special, either(m, body, quiet), scaled), sign));
}

static ex f16_narrow(const struct math *m, ex value)
{
    ex u = to_bits(m, value), sign = both(m, shift_right(m, u, 16), word(m, 0x8000));
    ex a = both(m, u, word(m, 0x7fffffff));
    ex even = both(m, shift_right(m, a, 13), word(m, 1));
    ex normal = shift_right(m, add(m, add(m, a, word(m, 0xfff - 0x38000000u)), even), 13);
    /* the ulp of 0.5 is 2^-24: adding it rounds to the denormals of f16 */
    ex small = sub(m, to_bits(m, add(m, from_bits(m, a), number(m, 0.5))), word(m, 0x3f000000));
    ex nan = either(m, word(m, 0x7e00), both(m, shift_right(m, a, 13), word(m, 0x3ff)));
    ex large = pick(m, less(m, word(m, 0x7f800000), a), nan, word(m, 0x7c00));
    ex body = pick(m, less(m, a, word(m, 0x38800000)), small, pick(m, less(m, a, word(m, 0x477ff000)), normal, large));
    return ex_cast(m->prog, either(m, sign, body), DT_u16);
}

static ex bf16_narrow(const struct math *m, ex value)
{
    ex u = to_bits(m, value), top = shift_right(m, u, 16);
    ex rounded = shift_right(m, add(m, add(m, u, word(m, 0x7fff)), both(m, top, word(m, 1))), 16);
    ex is_nan = less(m, word(m, 0x7f800000), both(m, u, word(m, 0x7fffffff)));
    return ex_cast(m->prog, pick(m, is_nan, either(m, top, word(m, 0x40)), rounded), DT_u16);
}

/* The f32 value rounded to f16's precision and range, without leaving f32. */
static ex f16_round(const struct math *m, ex value)
{
    ex u = to_bits(m, value), a = both(m, u, word(m, 0x7fffffff));
    ex even = both(m, shift_right(m, a, 13), word(m, 1));
    ex normal = both(m, add(m, add(m, a, word(m, 0xfff)), even), word(m, 0xffffe000));
    ex small = to_bits(m, sub(m, add(m, from_bits(m, a), number(m, 0.5)), number(m, 0.5)));
    ex large = pick(m, less(m, word(m, 0x7f800000), a), a, word(m, 0x7f800000));
    ex body = pick(m, less(m, a, word(m, 0x38800000)), small, pick(m, less(m, a, word(m, 0x477ff000)), normal, large));
    return from_bits(m, either(m, body, both(m, u, word(m, 0x80000000))));
}

static ex bf16_round(const struct math *m, ex value)
{
    ex u = to_bits(m, value), odd = both(m, shift_right(m, u, 16), word(m, 1));
    ex rounded = both(m, add(m, add(m, u, word(m, 0x7fff)), odd), word(m, 0xffff0000));
    return pick(m, ex_unary(m->prog, EX_is_nan, value), value, from_bits(m, rounded));
}

ex half_to_float(const struct halves *how, enum dtype half, ex bits)
{
    const struct math m = {.prog = how->prog, .dt = DT_f32};
    if (half == DT_f16) return how->has_f16 ? ex_unary(how->prog, EX_from_f16, bits) : f16_widen(&m, bits);
    return from_bits(&m, shift_left(&m, ex_cast(how->prog, bits, DT_u32), 16));
}

ex half_from_float(const struct halves *how, enum dtype half, ex value)
{
    const struct math m = {.prog = how->prog, .dt = DT_f32};
    if (half == DT_f16) return how->has_f16 ? ex_unary(how->prog, EX_to_f16, value) : f16_narrow(&m, value);
    return bf16_narrow(&m, value);
}

ex half_round(const struct halves *how, enum dtype half, ex value)
{
    const struct math m = {.prog = how->prog, .dt = DT_f32};
    if (half == DT_bf16) return bf16_round(&m, value);
    return how->has_f16 ? half_to_float(how, half, half_from_float(how, half, value)) : f16_round(&m, value);
}
