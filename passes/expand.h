/* Inside of pass expand: what its files share.
 *
 * A `struct math` says in which program and float type a function is being written out. The helpers below are
 * the builder's functions under short names, so that formulas read as formulas. Scalars (constants) meet vectors
 * by splatting, so the same formula serves any number of lanes.
 *
 * Read next: expand.c (the walk), expand_math.c (one-argument functions).
 */
#ifndef TENON_EXPAND_H
#define TENON_EXPAND_H
#include "../ir/prog.h"

struct math {
    struct prog *prog;
    enum dtype dt; /* f32 or f64 */
    bool fma;      /* the target rounds a*b + c once, at no extra cost */
};

static inline bool is_double(const struct math *m) { return m->dt == DT_f64; }
static inline enum dtype bits_type(const struct math *m) { return is_double(m) ? DT_u64 : DT_u32; }
static inline ex number(const struct math *m, double v) { return ex_float(m->prog, m->dt, v); }
static inline ex word(const struct math *m, uint64_t v) { return ex_int(m->prog, bits_type(m), (int64_t)v); }
static inline ex add(const struct math *m, ex a, ex b) { return ex_binary(m->prog, EX_add, a, b); }
static inline ex sub(const struct math *m, ex a, ex b) { return ex_binary(m->prog, EX_sub, a, b); }
static inline ex mul(const struct math *m, ex a, ex b) { return ex_binary(m->prog, EX_mul, a, b); }
static inline ex quotient(const struct math *m, ex a, ex b) { return ex_binary(m->prog, EX_div, a, b); }
static inline ex both(const struct math *m, ex a, ex b) { return ex_binary(m->prog, EX_and, a, b); }
static inline ex either(const struct math *m, ex a, ex b) { return ex_binary(m->prog, EX_or, a, b); }
static inline ex differ(const struct math *m, ex a, ex b) { return ex_binary(m->prog, EX_xor, a, b); }
static inline ex shift_left(const struct math *m, ex a, int n)
{
    return ex_binary(m->prog, EX_shl, a, ex_int(m->prog, a->dt, n));
}
static inline ex shift_right(const struct math *m, ex a, int n)
{
    return ex_binary(m->prog, EX_shr, a, ex_int(m->prog, a->dt, n));
}
static inline ex less(const struct math *m, ex a, ex b) { return ex_binary(m->prog, EX_lt, a, b); }
static inline ex equal(const struct math *m, ex a, ex b) { return ex_binary(m->prog, EX_eq, a, b); }
static inline ex pick(const struct math *m, ex c, ex a, ex b) { return ex_select(m->prog, c, a, b); }
static inline ex root(const struct math *m, ex a) { return ex_unary(m->prog, EX_sqrt, a); }
static inline ex magnitude(const struct math *m, ex a) { return ex_unary(m->prog, EX_abs, a); }
static inline ex to_bits(const struct math *m, ex a) { return ex_bits(m->prog, a, bits_type(m)); }
static inline ex from_bits(const struct math *m, ex a) { return ex_bits(m->prog, a, m->dt); }
/* a*b + c: rounded once or twice, as the target likes. */
static inline ex mad(const struct math *m, ex a, ex b, ex c)
{
    return m->fma ? ex_fma(m->prog, a, b, c) : add(m, mul(m, a, b), c);
}
/* Bounds; NaN passes through. */
static inline ex at_most(const struct math *m, ex a, double v) { return ex_binary(m->prog, EX_min, a, number(m, v)); }
static inline ex at_least(const struct math *m, ex a, double v) { return ex_binary(m->prog, EX_max, a, number(m, v)); }
static inline uint64_t sign_mask(const struct math *m) { return is_double(m) ? (uint64_t)1 << 63 : (uint64_t)1 << 31; }
/* The sign bit of x, and v with it flipped. */
static inline ex sign_of(const struct math *m, ex x) { return both(m, to_bits(m, x), word(m, sign_mask(m))); }
static inline ex with_sign(const struct math *m, ex v, ex sign) { return from_bits(m, differ(m, to_bits(m, v), sign)); }

/* c[0] + c[1]*x + ... + c[n-1]*x^(n-1) */
ex polynomial(const struct math *m, ex x, const double *c, int n);
#define POLYNOMIAL(m, x, c) polynomial(m, x, c, (int)(sizeof(c) / sizeof *(c)))

/* expand_math.c: the functions; x has the type m->dt. */
ex expand_unary(const struct math *m, enum expr_op op, ex x);
ex math_exp_scaled(const struct math *m, ex x, double factor); /* exp(x)*factor for x not far out of range */
ex math_exp_reduced(const struct math *m, ex r); /* exp(r) for |r| <= log(2) */
ex math_log(const struct math *m, ex x);
/* x = mantissa * 2^exponent with mantissa in [sqrt(1/2), sqrt(2)), for positive normal x; both in m->dt. */
void math_split(const struct math *m, ex x, ex *mantissa, ex *exponent);
/* 2^n for whole n in the range of normal exponents. */
ex math_power_of_two(const struct math *m, ex n);

/* expand_trig.c: sin, cos, tan. */
ex math_trig(const struct math *m, enum expr_op op, ex x);

/* expand_math64.c: what f64 does in its own way, and pow. */
ex math64_erf(const struct math *m, ex x);
ex expand_pow(const struct math *m, ex x, ex y);
ex expand_pow_int(struct prog *prog, ex x, ex y);

/* expand_half.c: 16-bit floats held as u16 bits. */
struct halves {
    struct prog *prog;
    bool has_f16; /* the target has from_f16 and to_f16 */
};
ex half_to_float(const struct halves *how, enum dtype half, ex bits);    /* u16 -> f32 */
ex half_from_float(const struct halves *how, enum dtype half, ex value); /* f32 -> u16 */
ex half_round(const struct halves *how, enum dtype half, ex value);      /* f32 -> f32, through half */

/* u8(round(x) + offset) with bounds on round(x), all whole numbers; and the same without a conversion. */
struct rounding {
    ex x;
    double low, high, offset;
};
bool expand_is_rounding(ex e, struct rounding *rounding);
/* x: as rounding->x was expanded; f32. */
ex expand_rounding(struct prog *prog, const struct rounding *rounding, ex x);

/* expand_pack.c: the store behind `first`, with lets between them, whose bytes may be rounded together with its own if they are
 * stored side by side: both have so many lanes. NULL: none. */
const struct stmt *expand_pair(const struct stmt *first, int lanes, struct rounding pair[2]);
/* The bytes of both; a, b: as pair[i].x were expanded. */
ex expand_pack(struct prog *prog, const struct rounding pair[2], ex a, ex b);

#endif
