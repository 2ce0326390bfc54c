/* One-argument functions written out in arithmetic that every printer has, for f32 and f64.
 *
 * Each function reduces its argument to a small interval, where a polynomial or a rational function (coefficients
 * from tests/math_fit.py) gives the value to about the precision of the format; the rest is care for accuracy near
 * zeros, for overflow, denormals, infinities, NaN and the sign of zero. There are no branches: where two formulas
 * are needed both are computed and one is selected, which is what vectors want.
 *
 * Worst errors over all f32 inputs stand in tests/math_cases.h; f64 stays within 6 ulp. The reductions are the classical ones
 * (Cody and Waite, Software Manual for the Elementary Functions, 1980; Muller, Elementary Functions, 2016).
 * Read next: expand_trig.c, expand_math64.c.
 */
#include "expand.h"

#include <math.h>

/* (function - its first terms) / the next power; see math_fit.py for each name. */
static const double exp_f32[] = {0.5000003576278687, 0.1666661649942398, 0.04166119545698166,
    0.008335962891578674, 0.0014105533482506871, 0.00019630970200523734};
static const double exp_f64[] = {0.5, 0.16666666666666657, 0.04166666666666693, 0.008333333333336954,
    0.001388888888883538, 0.00019841269836562666, 2.4801587340966822e-05, 2.7557322050941896e-06,
    2.7557306054270937e-07, 2.505124609118864e-08, 2.087870875519383e-09, 1.6188865641232304e-10,
    1.139314413114893e-11};
static const double expm1_f32[] = {0.4999999701976776, 0.1666654497385025, 0.04166755825281143,
    0.008366408757865429, 0.0013859329046681523};
static const double expm1_f64[] = {0.5, 0.16666666666666677, 0.04166666666666664, 0.008333333333321456,
    0.0013888888888907993, 0.00019841269886526275, 2.4801587268899118e-05, 2.755724382718094e-06,
    2.7557326735634927e-07, 2.5109167022113026e-08, 2.089732846647729e-09};
static const double log_f32[] = {0.3333333134651184, -0.250008225440979, 0.20001238584518433, -0.1662331372499466,
                                 0.14201682806015015, -0.13160626590251923, 0.12761501967906952, -0.07632626593112946};
static const double log_f64[] = {0.3333333333333333, 0.20000000000002469, 0.1428571428470209, 0.11111111304126792,
                                 0.09090889119904591, 0.07693497153525897, 0.06626009064510349, 0.06618004660291153};
static const double asin_f32[] = {0.16666752099990845, 0.07495305687189102, 0.04546996206045151,
    0.024179847911000252, 0.04216735064983368};
static const double asin_f64[] = {0.1666666666666676, 0.07499999999970908, 0.044642857174514314,
    0.030381942712068913, 0.0223722148766897, 0.01735161386298798, 0.013980799795350404, 0.011399072301021645,
    0.010779401983974644, 0.003709471180943082, 0.02170031646949541, -0.020989370338045432, 0.0326227835311163};
static const double atan_f32[] = {-0.33333152532577515, 0.19993773102760315, -0.1421106457710266,
    0.10666043311357498, -0.07552286982536316, 0.043212562799453735, -0.016368262469768524,
    0.00292075308971107};
static const double atan_f64[] = {-0.33333333333333287, 0.19999999999990598, -0.14285714285043574,
    0.11111111086628037, -0.09090908550246561, 0.07692299745620029, -0.06666583997348836, 0.05881717806706413,
    -0.052594413565939475, 0.04744952951384037, -0.04286465492631893, 0.0382117000718749,
    -0.032788270981263995, 0.02615557116502629, -0.018618413475026685, 0.011321180185062868,
    -0.005614632494300114, 0.00215263557001849, -0.00059323115626588, 0.0001039392029043178,
    -8.660441892022684e-06};
static const double sinh_f32[] = {0.1666671633720398, 0.008330274373292923, 0.000203728282940574};
static const double sinh_f64[] = {0.16666666666666669, 0.008333333333332912, 0.00019841269841593598,
    2.7557319106611707e-06, 2.505213103841797e-08, 1.6056654606627573e-10, 7.776786900232731e-13};
static const double asinh_f32[] = {-0.1666666567325592, 0.07499944418668747, -0.044632453471422195,
    0.030285853892564774, -0.021855590865015984, 0.015583451837301254, -0.0098721943795681,
    0.004849090240895748, -0.0015517845749855042, 0.00023442695965059102};
static const double asinh_f64[] = {-0.16666666666666666, 0.07499999999999798, -0.04464285714270137,
    0.03038194443824044, -0.022372158940749842, 0.017352761995296624, -0.01396481587495421,
    0.011551563741837394, -0.009760067475566517, 0.008382491602787277, -0.007280740589050641,
    0.006343124451945285, -0.005461262159840559, 0.004536068745282873, -0.0035183402963696077,
    0.0024549073641985577, -0.001482114967752176, 0.00074409732613018, -0.0002975375342735898,
    8.987849839836661e-05, -1.9018421173165886e-05, 2.4747367567881927e-06, -1.458122304088304e-07};
static const double atanh_f32[] = {0.3333333730697632, 0.19999626278877258, 0.14297598600387573,
    0.10932976007461548, 0.10497688502073288, 0.01789243519306183, 0.1839122772216797};
static const double atanh_f64[] = {0.3333333333333333, 0.20000000000000778, 0.14285714285598827,
    0.1111111111982809, 0.09090908697818609, 0.07692319267422658, 0.06666431554069455, 0.05885763768699152,
    0.052270553122028246, 0.050437682474887065, 0.027223624534258573, 0.10862850612237118,
    -0.17039765380440033, 0.4638613470112239, -0.5244208117060085, 0.3926480551231715};
static const double erf_near[] = {0.12837912142276764, -0.37612324953079224, 0.11280174553394318,
    -0.026711193844676018, 0.004917438607662916, -0.0005631025414913893};
static const double erf_far[] = {0.0037925117649137974, 1.612332820892334, 0.9439513683319092,
    0.1280490607023239, -0.021375251933932304, 0.001666324445977807};
static const double exp2_f32[] = {1.0, 0.6931470036506653, 0.24022240936756134, 0.05550701543688774,
    0.009671594947576523, 0.0013273912481963634};

/* What the two formats differ in. */
struct format {
    int fraction_bits;
    double magic;              /* 1.5 * 2^fraction_bits: adding it rounds to a whole number, seen in the low bits */
    double bias;               /* of the exponent */
    double ln2_high, ln2_low;  /* high has few enough bits that any exponent times it is exact */
    double exp_least, exp_most; /* beyond these, exp is 0 or infinite */
    double tiny, tiny_scale;   /* least normal number; the power of two that makes denormals normal */
    double large;              /* x^2 + 1 == x^2 from here on */
    double half_pi, half_pi_low;
    uint64_t root_half;        /* bits of sqrt(1/2), rounded down */
    uint64_t one;              /* bits of 1 */
};
static const struct format formats[2] = {
    {23, 0x1.8p23, 127, 0x1.62e4p-1, 0x1.7f7d1cf79abcap-20, -104, 90, 0x1p-126, 0x1p23, 0x1p13,
     0x1.921fb6p0, -0x1.777a5cp-25, 0x3f3504f3, 0x3f800000},
    {52, 0x1.8p52, 1023, 0x1.62e42fefa3p-1, 0x1.3de6af278ece6p-42, -746, 712, 0x1p-1022, 0x1p52, 0x1p28,
     0x1.921fb54442d18p0, 0x1.1a62633145c07p-54, 0x3fe6a09e667f3bcc, 0x3ff0000000000000},
};

static const struct format *format_of(const struct math *m)
{
    return &formats[is_double(m)];
}

/* The table of this format. */
#define BY_FORMAT(m, x, name) (is_double(m) ? POLYNOMIAL(m, x, name##_f64) : POLYNOMIAL(m, x, name##_f32))

ex polynomial(const struct math *m, ex x, const double *c, int n)
{
    ex sum = number(m, c[n - 1]);
    for (int i = n - 2; i >= 0; i--) sum = mad(m, sum, x, number(m, c[i]));
    return sum;
}

/* x + x*z*p: how every odd function near zero ends; z = x^2. */
static ex odd_sum(const struct math *m, ex x, ex z, ex p)
{
    return mad(m, mul(m, x, z), p, x);
}

/* 2^n: n is added to magic + bias, and the low bits of the sum become the exponent field. */
ex math_power_of_two(const struct math *m, ex n)
{
    const struct format *f = format_of(m);
    ex shifted = add(m, n, number(m, f->magic + f->bias));
    return from_bits(m, shift_left(m, to_bits(m, shifted), f->fraction_bits));
}

/* r + r^2*q, which is exp(r) - 1 */
static ex square_sum(const struct math *m, ex r, ex q)
{
    return mad(m, mul(m, r, r), q, r);
}

ex math_exp_reduced(const struct math *m, ex r)
{
    return add(m, square_sum(m, r, BY_FORMAT(m, r, exp)), number(m, 1));
}

/* x = n*scale*ln2 + r: scale is 1 or 2. *power = 2^n. */
static ex exp_reduce(const struct math *m, ex x, int scale, ex *power)
{
    const struct format *f = format_of(m);
    ex shifted = mad(m, x, number(m, 0x1.71547652b82fep0 / scale), number(m, f->magic + f->bias));
    ex n = sub(m, shifted, number(m, f->magic + f->bias));
    ex r = mad(m, n, number(m, -f->ln2_low * scale), mad(m, n, number(m, -f->ln2_high * scale), x));
    *power = from_bits(m, shift_left(m, to_bits(m, shifted), f->fraction_bits));
    return r;
}

/* exp(x)*factor = 2^n * exp(r)*factor * 2^n with |r| <= ln2: multiplying twice reaches denormals and infinity with
 * one rounding and no case distinction. (Products, not additions of exponents: NaN stays NaN.) */
ex math_exp_scaled(const struct math *m, ex x, double factor)
{
    ex power, r = exp_reduce(m, x, 2, &power);
    return mul(m, mul(m, mul(m, math_exp_reduced(m, r), number(m, factor)), power), power);
}

/* Below `least` the result is zero without being computed: products that underflow cost a processor a hundred times
 * what others do, and masked softmaxes are full of them. (NaN is not below.) */
static ex math_exp(const struct math *m, ex x, double least, double most)
{
    ex below = less(m, x, number(m, least));
    ex inside = pick(m, below, number(m, 0), at_most(m, x, most));
    return pick(m, below, number(m, 0), math_exp_scaled(m, inside, 1));
}

static ex math_sigmoid(const struct math *m, ex x)
{
    const struct format *f = format_of(m);
    ex e = math_exp(m, x, f->exp_least, f->fraction_bits); /* exp(most) is so large that the quotient is 1 */
    return quotient(m, e, add(m, e, number(m, 1)));
}

/* e/(e + 2) with e = exp(2|x|) - 1, which is exact near zero */
static ex math_tanh(const struct math *m, ex x)
{
    ex a = at_most(m, magnitude(m, x), 20), power, r = exp_reduce(m, add(m, a, a), 1, &power);
    ex near = square_sum(m, r, BY_FORMAT(m, r, expm1));
    ex e = mad(m, near, power, sub(m, power, number(m, 1)));
    return with_sign(m, quotient(m, e, add(m, e, number(m, 2))), sign_of(m, x));
}

void math_split(const struct math *m, ex x, ex *mantissa, ex *exponent)
{
    const struct format *f = format_of(m);
    ex u = add(m, to_bits(m, x), word(m, f->one - f->root_half));
    double two_to_fraction = f->magic / 1.5;
    uint64_t field = is_double(m) ? 0x4330000000000000u : 0x4b000000u; /* bits of 2^fraction_bits */
    ex biased = either(m, shift_right(m, u, f->fraction_bits), word(m, field));
    *exponent = sub(m, from_bits(m, biased), number(m, two_to_fraction + f->bias));
    ex fraction = both(m, u, word(m, ((uint64_t)1 << f->fraction_bits) - 1));
    *mantissa = from_bits(m, add(m, fraction, word(m, f->root_half)));
}

/* log(1+f) + exponent*ln2 for 1+f in [sqrt(1/2), sqrt(2)) */
static ex log_sum(const struct math *m, ex f, ex exponent)
{
    const struct format *format = format_of(m);
    ex z = mul(m, f, f), small;
    if (is_double(m)) { /* through s = f/(2+f): log(1+f) = f - (f^2/2 - s*(f^2/2 + 2*s^2*P(s^2))) */
        ex s = quotient(m, f, add(m, f, number(m, 2)));
        ex s2 = mul(m, s, s), half = mul(m, z, number(m, 0.5));
        ex rest = mul(m, s, mad(m, mul(m, s2, number(m, 2)), POLYNOMIAL(m, s2, log_f64), half));
        small = sub(m, mad(m, exponent, number(m, format->ln2_low), rest), half);
    } else { /* f - f^2/2 + f^3*P(f) */
        small = mul(m, mul(m, f, z), POLYNOMIAL(m, f, log_f32));
        small = mad(m, exponent, number(m, format->ln2_low), small);
        small = mad(m, z, number(m, -0.5), small);
    }
    return mad(m, exponent, number(m, format->ln2_high), add(m, small, f));
}

ex math_log(const struct math *m, ex x)
{
    const struct format *f = format_of(m);
    ex tiny = less(m, x, number(m, f->tiny)), mantissa, exponent;
    math_split(m, pick(m, tiny, mul(m, x, number(m, f->tiny_scale)), x), &mantissa, &exponent);
    exponent = sub(m, exponent, pick(m, tiny, number(m, f->fraction_bits), number(m, 0)));
    ex y = log_sum(m, sub(m, mantissa, number(m, 1)), exponent);
    ex zero = number(m, 0);
    y = pick(m, less(m, zero, x), y, pick(m, equal(m, x, zero), number(m, -INFINITY), number(m, NAN)));
    return pick(m, less(m, x, number(m, INFINITY)), y, x); /* infinity and NaN are their own logarithm */
}

/* pi/2*k - p, with the part of pi/2 below the format's precision */
static ex from_half_pi(const struct math *m, double k, ex p)
{
    const struct format *f = format_of(m);
    return sub(m, number(m, k * f->half_pi), sub(m, p, number(m, k * f->half_pi_low)));
}

static ex math_atan(const struct math *m, ex x)
{
    ex a = magnitude(m, x), big = less(m, number(m, 1), a);
    ex t = pick(m, big, quotient(m, number(m, 1), a), a), z = mul(m, t, t);
    ex p = odd_sum(m, t, z, BY_FORMAT(m, z, atan));
    return with_sign(m, pick(m, big, from_half_pi(m, 1, p), p), sign_of(m, x));
}

/* |x| <= 1/2: asin(x) = x + x^3*P(x^2); beyond, asin(x) = pi/2 - 2*asin(sqrt((1 - x)/2)); acos from the same parts. */
static ex math_asin(const struct math *m, enum expr_op op, ex x)
{
    ex a = magnitude(m, x), big = less(m, number(m, 0.5), a);
    ex below = mul(m, sub(m, number(m, 1), a), number(m, 0.5));
    ex z = pick(m, big, below, mul(m, a, a)), s = pick(m, big, root(m, below), a);
    ex p = odd_sum(m, s, z, BY_FORMAT(m, z, asin)), twice = add(m, p, p);
    if (op == EX_asin) return with_sign(m, pick(m, big, from_half_pi(m, 1, twice), p), sign_of(m, x));
    ex negative = less(m, x, number(m, 0));
    ex outer = pick(m, negative, from_half_pi(m, 2, twice), twice);
    return pick(m, big, outer, from_half_pi(m, 1, with_sign(m, p, sign_of(m, x))));
}

static ex math_sinh(const struct math *m, enum expr_op op, ex x)
{
    ex a = magnitude(m, x), grown = math_exp_scaled(m, at_most(m, a, format_of(m)->exp_most), 0.5);
    ex decayed = quotient(m, number(m, 0.25), grown); /* exp(-a)/2 */
    if (op == EX_cosh) return add(m, grown, decayed);
    ex z = mul(m, x, x), near = odd_sum(m, a, z, BY_FORMAT(m, z, sinh));
    ex y = pick(m, less(m, a, number(m, 1)), near, sub(m, grown, decayed));
    return with_sign(m, y, sign_of(m, x));
}

/* log(a + sqrt(a^2 + step)) for a >= 1, without overflow of the square: (a - 1)*(a + 1) is a^2 - 1 exactly rounded */
static ex log_of_sum(const struct math *m, ex a, bool plus)
{
    ex one = number(m, 1), big = less(m, number(m, format_of(m)->large), a);
    ex square = plus ? mad(m, a, a, one) : mul(m, sub(m, a, one), add(m, a, one));
    ex y = math_log(m, pick(m, big, a, add(m, a, root(m, square))));
    return pick(m, big, add(m, y, number(m, 0x1.62e42fefa39efp-1)), y);
}

static ex math_asinh(const struct math *m, ex x)
{
    ex a = magnitude(m, x), z = mul(m, a, a), near = odd_sum(m, a, z, BY_FORMAT(m, z, asinh));
    ex y = pick(m, less(m, a, number(m, 1)), near, log_of_sum(m, a, true));
    return with_sign(m, y, sign_of(m, x));
}

/* Near 1, acosh(x) = 2*asinh(sqrt((x - 1)/2)). */
static ex math_acosh(const struct math *m, ex x)
{
    ex z = mul(m, sub(m, x, number(m, 1)), number(m, 0.5)), s = root(m, z);
    ex near = odd_sum(m, s, z, BY_FORMAT(m, z, asinh));
    return pick(m, less(m, x, number(m, 1.5)), add(m, near, near), log_of_sum(m, x, false));
}

static ex math_atanh(const struct math *m, ex x)
{
    ex a = magnitude(m, x), one = number(m, 1), z = mul(m, a, a);
    ex near = odd_sum(m, a, z, BY_FORMAT(m, z, atanh));
    ex far = mul(m, math_log(m, quotient(m, add(m, one, a), sub(m, one, a))), number(m, 0.5));
    return with_sign(m, pick(m, less(m, a, number(m, 0.5)), near, far), sign_of(m, x));
}

/* x + x*P(x^2) below 1, beyond 1 - 2^-G(x) */
static ex math_erf(const struct math *m, ex x)
{
    if (is_double(m)) return math64_erf(m, x);
    ex a = at_most(m, magnitude(m, x), 4), z = mul(m, a, a), one = number(m, 1);
    ex near = mad(m, a, POLYNOMIAL(m, z, erf_near), a);
    ex g = POLYNOMIAL(m, a, erf_far), magic = number(m, format_of(m)->magic);
    ex n = sub(m, sub(m, magic, g), magic); /* -G rounded */
    ex far = mul(m, POLYNOMIAL(m, sub(m, sub(m, number(m, 0), n), g), exp2_f32), math_power_of_two(m, n));
    return with_sign(m, pick(m, less(m, a, one), near, sub(m, one, far)), sign_of(m, x));
}

ex expand_unary(const struct math *m, enum expr_op op, ex x)
{
    const struct format *f = format_of(m);
    switch ((int)op) {
    case EX_exp: return math_exp(m, x, f->exp_least, f->exp_most);
    case EX_log: return math_log(m, x);
    case EX_sin: case EX_cos: case EX_tan: return math_trig(m, op, x);
    case EX_asin: case EX_acos: return math_asin(m, op, x);
    case EX_atan: return math_atan(m, x);
    case EX_sinh: case EX_cosh: return math_sinh(m, op, x);
    case EX_tanh: return math_tanh(m, x);
    case EX_asinh: return math_asinh(m, x);
    case EX_acosh: return math_acosh(m, x);
    case EX_atanh: return math_atanh(m, x);
    case EX_erf: return math_erf(m, x);
    case EX_sigmoid: return math_sigmoid(m, x);
    }
    bug("expand", "%s is not a function", expr_row(op)->name);
}
