/* erf in f64, and pow for f32, f64 and integers.
 *
 * pow(x, y) = 2^(y*log2|x|), with the special cases of C's pow. The logarithm must be far more precise than the
 * result, since its error is multiplied by y*log2(x), up to 1075. For f32 plain f64 arithmetic has the 29 bits to
 * spare; f64 carries logarithm and product as sums of two numbers whose leading parts are cut short, so that their
 * products are exact on any target (Dekker, A floating-point technique for extending the available precision, 1971).
 * Errors: f32 pow within 1 ulp, the f64 functions here within 3 ulp (tests/test_math.c).
 */
#include "expand.h"

#include <math.h>

static const double erf_small[] = {1.1283791670955126, -0.3761263890318326, 0.11283791670928563,
    -0.02686617063944736, 0.005223977561924417, -0.0008548322785092575, 0.00012055151032223184,
    -1.492040776952284e-05, 1.6358597527139069e-06, -1.4961273761863965e-07, 1.930350478794329e-09,
    6.392901770060393e-09, -2.5360424409870725e-09, 3.960038808323172e-10};
static const double erf_tail[] = {0.25539567631050575, -0.4271858474139583, 0.2416581942424603,
    -0.07897858101583763, 0.003732892405215745, 0.006997461761373743, -0.0008471432292109973,
    -0.000981978456529644, 4.35492089052921e-05, 0.00017438995505720476, 2.777326681659202e-05,
    -2.746604470999662e-05, -1.711941610682645e-05, -6.624733664822962e-06, 1.0267111877745368e-05,
    5.224936952597867e-05, 6.766731504166883e-05, 2.5603324435932098e-05};
static const double log_low[] = {0.33333333337917026, 0.19999997802016842, 0.1428605571668789,
    0.1108804235148201, 0.09792861556064007};
static const double log_f64[] = {0.3333333333333333, 0.20000000000002469, 0.1428571428470209,
    0.11111111304126792, 0.09090889119904591, 0.07693497153525897, 0.06626009064510349, 0.06618004660291153};
static const double exp2_low[] = {1.0, 0.6931471807032248, 0.24022651068815107, 0.05550410374080893,
    0.009618037775582098, 0.0013333927304026649, 0.00015466878857959944, 1.519814884220466e-05};

/* x*P(x^2) below 1, beyond 1 - exp(-x^2)*R((x - 2)/(x + 2)) */
ex math64_erf(const struct math *m, ex x)
{
    ex a = at_most(m, magnitude(m, x), 6), z = mul(m, a, a);
    ex near = mul(m, a, POLYNOMIAL(m, z, erf_small));
    ex t = quotient(m, sub(m, a, number(m, 2)), add(m, a, number(m, 2)));
    ex decay = math_exp_scaled(m, mul(m, z, number(m, -1)), 1);
    ex far = sub(m, number(m, 1), mul(m, decay, POLYNOMIAL(m, t, erf_tail)));
    return with_sign(m, pick(m, less(m, a, number(m, 1)), near, far), sign_of(m, x));
}

/* The leading 26 bits of a finite f64; what is left off has at most 27. */
static ex leading(const struct math *m, ex a)
{
    return from_bits(m, both(m, to_bits(m, a), word(m, 0xfffffffff8000000u)));
}

/* v to the nearest whole number */
static ex nearest(const struct math *m, ex v)
{
    return sub(m, add(m, v, number(m, 0x1.8p52)), number(m, 0x1.8p52));
}

/* 2^(y*log2(a)) through f64, for a and y from f32; a > 0 finite. */
static ex power_low(const struct math *m, ex a, ex y)
{
    ex mantissa, exponent;
    math_split(m, a, &mantissa, &exponent);
    ex f = sub(m, mantissa, number(m, 1)), s = quotient(m, f, add(m, f, number(m, 2))), z = mul(m, s, s);
    ex log_half = mad(m, mul(m, s, z), POLYNOMIAL(m, z, log_low), s); /* atanh(s) = log(mantissa)/2 */
    y = at_least(m, at_most(m, y, 0x1p128), -0x1p128); /* infinity times log2(1) would be NaN */
    ex product = mul(m, y, mad(m, log_half, number(m, 0x1.71547652b82fep1), exponent));
    product = at_least(m, at_most(m, product, 400), -400);
    ex n = nearest(m, product);
    return mul(m, POLYNOMIAL(m, sub(m, product, n), exp2_low), math_power_of_two(m, n));
}

/* log2(a) = *high + *low for normal positive a; high has at most 26 bits */
static void log2_sum(const struct math *m, ex a, ex correction, ex *high, ex *low)
{
    ex mantissa, exponent;
    math_split(m, a, &mantissa, &exponent);
    exponent = sub(m, exponent, correction);
    /* s = f/d, d = mantissa + 1, as s_high + s_low */
    ex one = number(m, 1), f = sub(m, mantissa, one), d = add(m, mantissa, one), s = quotient(m, f, d);
    ex s_high = leading(m, s), d_high = leading(m, d), d_low = sub(m, mantissa, sub(m, d_high, one));
    ex residue = sub(m, sub(m, f, mul(m, s_high, d_high)), mul(m, s_high, d_low));
    ex s_low = quotient(m, residue, d), z = mul(m, s, s);
    ex tail = mad(m, mul(m, s, z), POLYNOMIAL(m, z, log_f64), s_low);
    /* times 2/ln2 = 0x1.7154764p1 (26 bits) + the rest */
    double scale = 0x1.71547652b82fep1, scale_high = 0x1.715476p1, scale_low = 0x1.4ae0bf85ddf44p-25;
    ex t_high = mul(m, s_high, number(m, scale_high));
    ex t_low = mad(m, s_high, number(m, scale_low), mul(m, tail, number(m, scale)));
    ex sum = add(m, exponent, t_high), rest = add(m, sub(m, t_high, sub(m, sum, exponent)), t_low);
    *high = leading(m, add(m, sum, rest));
    *low = add(m, sub(m, sum, *high), rest);
}

/* 2^(y*log2(a)) in f64; a > 0 finite. Larger |y| than 2^64 gives 0, 1 or infinity like 2^64 does. */
static ex power_high(const struct math *m, ex a, ex y)
{
    ex tiny = less(m, a, number(m, 0x1p-1022)), high, low;
    a = pick(m, tiny, mul(m, a, number(m, 0x1p52)), a);
    log2_sum(m, a, pick(m, tiny, number(m, 52), number(m, 0)), &high, &low);
    y = at_least(m, at_most(m, y, 0x1p64), -0x1p64);
    ex y_high = leading(m, y), product = mul(m, y_high, high);
    ex rest = mad(m, sub(m, y, y_high), high, mul(m, y, low));
    ex in_range = less(m, magnitude(m, product), number(m, 1200));
    product = at_least(m, at_most(m, product, 1200), -1200);
    rest = pick(m, in_range, rest, number(m, 0));
    ex n = nearest(m, product);
    ex part = math_exp_reduced(m, mul(m, add(m, sub(m, product, n), rest), number(m, 0x1.62e42fefa39efp-1)));
    ex half = nearest(m, mul(m, n, number(m, 0.5))); /* in two steps: one rounding into the denormals */
    return mul(m, mul(m, part, math_power_of_two(m, half)), math_power_of_two(m, sub(m, n, half)));
}

static ex whole(const struct math *m, ex v)
{
    return equal(m, ex_unary(m->prog, EX_trunc, v), v);
}

/* x^y for whole n known here; NULL where the general way is as good. */
static ex power_known(const struct math *m, ex x, ex y)
{
    while (y->op == EX_splat) y = y->arg[0];
    if (y->op != EX_const) return NULL;
    if (y->number == 1) return x;
    if (y->number == 2) return mul(m, x, x);
    if (y->number == 3) return mul(m, mul(m, x, x), x);
    if (y->number == -1) return quotient(m, number(m, 1), x);
    if (y->number == 0) return ex_splat(m->prog, number(m, 1), x->lanes);
    if (y->number == 0.5) { /* pow(-0, 0.5) is +0 and pow(-inf, 0.5) is inf */
        ex r = add(m, root(m, x), number(m, 0));
        return pick(m, equal(m, x, number(m, -INFINITY)), number(m, INFINITY), r);
    }
    return NULL;
}

/* The value for |x| = 0 or infinity, or |x|^y else. */
static ex power_of_magnitude(const struct math *m, ex a, ex y)
{
    ex zero = number(m, 0), core;
    if (is_double(m)) core = power_high(m, a, y);
    else {
        struct math wide = *m;
        wide.dt = DT_f64;
        core = ex_cast(m->prog, power_low(&wide, ex_cast(m->prog, a, DT_f64), ex_cast(m->prog, y, DT_f64)), DT_f32);
    }
    ex from_zero = equal(m, a, zero), from_infinity = equal(m, a, number(m, INFINITY));
    ex up = pick(m, less(m, y, zero), number(m, INFINITY), zero); /* of 0 */
    ex down = pick(m, less(m, y, zero), zero, number(m, INFINITY));
    return pick(m, from_zero, up, pick(m, from_infinity, down, core));
}

ex expand_pow(const struct math *m, ex x, ex y)
{
    struct prog *prog = m->prog;
    ex known = power_known(m, x, y);
    if (known) return known;
    ex a = magnitude(m, x), zero = number(m, 0), one = number(m, 1);
    ex result = power_of_magnitude(m, a, y);
    ex y_whole = whole(m, y);
    if (is_double(m)) { /* whole numbers give whole numbers exactly, as far as the error is less than 1/2 */
        ex exact = both(m, both(m, y_whole, whole(m, x)), both(m, less(m, number(m, -0.5), y), less(m, result, number(m, 0x1p46))));
        result = pick(m, exact, nearest(m, result), result);
    }
    ex y_even = whole(m, mul(m, y, number(m, 0.5)));
    ex odd = both(m, y_whole, ex_unary(prog, EX_not, y_even));
    ex flip = pick(m, odd, sign_of(m, x), word(m, 0));
    result = with_sign(m, result, flip);
    ex below = both(m, less(m, x, zero), less(m, number(m, -INFINITY), x));
    result = pick(m, both(m, below, ex_unary(prog, EX_not, y_whole)), number(m, NAN), result);
    ex unordered = either(m, ex_unary(prog, EX_is_nan, x), ex_unary(prog, EX_is_nan, y));
    result = pick(m, unordered, add(m, x, y), result);
    return pick(m, either(m, equal(m, x, one), equal(m, y, zero)), one, result);
}

/* Whole numbers: repeated squaring, wrapping; a negative exponent gives 0 except for 1 and -1. */
ex expand_pow_int(struct prog *prog, ex x, ex y)
{
    const struct math at = {.prog = prog}, *m = &at;
    enum dtype dt = x->dt;
    bool is_signed = dtype_class(dt) == DT_SIGNED;
    ex one = ex_int(prog, dt, 1), zero = ex_int(prog, dt, 0), result = one, square = x, k = y;
    while (k->op == EX_splat) k = k->arg[0];
    bool known = k->op == EX_const;
    int bits = (int)dtype_bytes(dt) * 8 - is_signed;
    for (int i = 0; i < bits; i++) {
        ex times = mul(m, result, square);
        if (known) {
            uint64_t left = (uint64_t)k->imm >> i;
            if (!left || (is_signed && k->imm < 0)) break;
            if (left & 1) result = times;
        } else result = pick(m, equal(m, both(m, y, ex_int(prog, dt, (int64_t)((uint64_t)1 << i))), zero), result, times);
        if (i + 1 < bits) square = mul(m, square, square);
    }
    if (!is_signed || (known && k->imm >= 0)) return result;
    ex minus = ex_int(prog, dt, -1), odd = equal(m, both(m, y, one), one);
    ex of_minus = pick(m, odd, minus, one);
    ex inverse = pick(m, equal(m, x, one), one, pick(m, equal(m, x, minus), of_minus, zero));
    return pick(m, less(m, y, zero), inverse, result);
}
