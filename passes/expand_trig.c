/* sin, cos and tan over the whole range, for f32 and f64.
 *
 * x = q*pi/2 + r with |r| <= pi/4; q's two low bits choose between sine and cosine of r and the sign. The hard
 * part is r where x is huge or close to a multiple of pi/2: 2/pi is needed to as many bits as x has exponent
 * (Payne and Hanek, Radian reduction for trigonometric functions, 1983). Only a window of these bits matters,
 * since what lies above contributes whole periods. f32 takes the window as four f64 numbers, selected by
 * magnitude, whose products with x are exact; f64 takes it as integers, shifted to the place by x's exponent.
 * Neither has a separate path for small arguments: one way for all lanes. See Note: windows.
 */
#include "expand.h"

#include <math.h>

static const double sin_f32[] = {-0.16666655242443085, 0.008332189172506332, -0.0001951826416188851};
static const double sin_f64[] = {-0.1666666666666663, 0.008333333333321891, -0.0001984126982942925,
    2.7557313570990587e-06, -2.505074044632195e-08, 1.5895830176462258e-10};
static const double cos_f32[] = {0.04166664555668831, -0.0013887310633435845, 2.4432552891084924e-05};
static const double cos_f64[] = {0.041666666666666595, -0.0013888888888873342, 2.4801587289002066e-05,
    -2.755731421686865e-07, 2.0875705330245116e-09, -1.135874287831788e-11};

/* 1/(2 pi) in pieces of 28 bits */
static const double turns[] = {0x1.45f306ep-3, -0x1.b1bbebp-34, 0x1.4fe13a8p-61, 0x1.f47d4d4p-88,
                               -0x1.11f925p-117, 0x1.4acc9ep-145, 0x1.0e4108p-172};

/* 2/pi: 64 zero bits, then its bits behind the point */
enum { TABLE_WORDS = 40, WINDOW_WORDS = 6 };
static const uint32_t two_over_pi[TABLE_WORDS] = {
    0x00000000, 0x00000000, 0xa2f9836e, 0x4e441529, 0xfc2757d1, 0xf534ddc0, 0xdb629599, 0x3c439041, 0xfe5163ab, 0xdebbc561,
    0xb7246e3a, 0x424dd2e0, 0x06492eea, 0x09d1921c, 0xfe1deb1c, 0xb129a73e, 0xe88235f5, 0x2ebb4484, 0xe99c7026, 0xb45f7e41,
    0x3991d639, 0x835339f4, 0x9c845f8b, 0xbdf9283b, 0x1ff897ff, 0xde05980f, 0xef2f118b, 0x5a0a6d1f, 0x6d367ecf, 0x27cb09b7,
    0x4f463f66, 0x9e5fea2d, 0x7527bac7, 0xebe5f17b, 0x3d0739f7, 0x8a5292ea, 0x6bfb5fb1, 0x1f8d5d08, 0x56033046, 0xfc7b6bab};

struct reduced {
    ex r;        /* in m->dt, |r| <= pi/4 and a little */
    ex quadrant; /* unsigned of the size of m->dt; only the two low bits count */
};

/* v minus the nearest whole number (exact); *whole_bits: that number's low bits, where wanted */
static ex minus_whole(const struct math *m, ex v, ex *whole_bits)
{
    ex shifted = add(m, v, number(m, 0x1.8p52));
    if (whole_bits) *whole_bits = ex_bits(m->prog, shifted, DT_u64);
    return sub(m, v, sub(m, shifted, number(m, 0x1.8p52)));
}

/* a: |x| as f32 */
static struct reduced reduce_f32(const struct math *m, ex a)
{
    struct math wide = *m;
    wide.dt = DT_f64;
    const struct math *w = &wide;
    ex x = ex_cast(m->prog, a, DT_f64), product[4];
    static const double limits[3] = {0x1p53, 0x1p81, 0x1p109}; /* the first 1, 2, 3 pieces give whole turns from here */
    for (int i = 0; i < 4; i++) {
        ex piece = number(w, turns[i]);
        for (int k = 0; k < 3; k++) piece = pick(w, less(w, x, number(w, limits[k])), piece, number(w, turns[i + k + 1]));
        product[i] = mul(w, x, piece);
    }
    /* in quarter turns; nothing is lost before the whole ones are taken away */
    ex first = mul(w, minus_whole(w, product[0], NULL), number(w, 4));
    ex second = mul(w, minus_whole(w, product[1], NULL), number(w, 4));
    ex third = mul(w, add(w, product[2], product[3]), number(w, 4));
    ex shifted = add(w, add(w, add(w, first, second), third), number(w, 0x1.8p52));
    ex left = add(w, add(w, sub(w, first, sub(w, shifted, number(w, 0x1.8p52))), second), third);
    return (struct reduced){ex_cast(m->prog, mul(w, left, number(w, 0x1.921fb54442d18p0)), DT_f32),
                            ex_cast(m->prog, ex_bits(m->prog, shifted, DT_u64), DT_u32)};
}

/* The WINDOW_WORDS words of 2/pi from bit `position` on: words are halved away by the bits of position, the rest
 * is shifted. */
static void window(const struct math *m, ex position, ex *word_out)
{
    ex words[TABLE_WORDS];
    int n = TABLE_WORDS;
    for (int i = 0; i < n; i++) words[i] = word(m, two_over_pi[i]);
    for (int step = 32; step; step /= 2) {
        ex set = less(m, word(m, 0), both(m, position, word(m, (uint64_t)step * 32)));
        int keep = WINDOW_WORDS + step < n ? WINDOW_WORDS + step : n; /* enough for the steps that follow */
        for (int i = 0; i < keep; i++)
            if (i + step < n) words[i] = pick(m, set, words[i + step], words[i]);
        n = keep;
    }
    ex shift = both(m, position, word(m, 31));
    for (int i = 0; i < WINDOW_WORDS; i++) {
        ex pair = either(m, shift_left(m, words[i], 32), words[i + 1]);
        word_out[i] = shift_right(m, ex_binary(m->prog, EX_shl, pair, shift), 32);
    }
}

/* mantissa (53 bits) times the window, modulo one period: 32 bits in each of 6 words, highest first */
static void window_product(const struct math *m, ex mantissa, ex const *w, ex *product)
{
    ex low = both(m, mantissa, word(m, 0xffffffffu)), high = shift_right(m, mantissa, 32), carry = word(m, 0);
    for (int k = WINDOW_WORDS - 1; k >= 0; k--) {
        ex t = add(m, mul(m, low, w[k]), carry);
        product[k] = both(m, t, word(m, 0xffffffffu));
        carry = shift_right(m, t, 32);
    }
    carry = word(m, 0);
    for (int k = WINDOW_WORDS - 1; k >= 1; k--) {
        ex t = add(m, add(m, mul(m, high, w[k]), product[k - 1]), carry);
        product[k - 1] = both(m, t, word(m, 0xffffffffu));
        carry = shift_right(m, t, 32);
    }
}

/* a: |x| as f64 */
static struct reduced reduce_f64(const struct math *m, ex a)
{
    ex w[WINDOW_WORDS], product[WINDOW_WORDS], u = to_bits(m, a);
    ex small = less(m, a, number(m, 0.5));
    u = pick(m, small, word(m, 0x3ff0000000000000u), u); /* keeps the window inside the table; not used */
    /* a = mantissa * 2^(field - 1075); bits of 2/pi from 2^-(field - 1075 - 2) on, 64 zeros in front */
    window(m, sub(m, shift_right(m, u, 52), word(m, 1075 + 2 - 64)), w);
    ex mantissa = either(m, both(m, u, word(m, 0xfffffffffffffu)), word(m, (uint64_t)1 << 52));
    window_product(m, mantissa, w, product);
    ex high = either(m, shift_left(m, product[0], 32), product[1]);
    ex low = either(m, shift_left(m, product[2], 32), product[3]);
    ex quadrant = shift_right(m, add(m, high, word(m, (uint64_t)1 << 61)), 62); /* nearest */
    ex rest = ex_bits(m->prog, sub(m, high, shift_left(m, quadrant, 62)), DT_i64);
    ex value = add(m, mul(m, ex_cast(m->prog, rest, DT_f64), number(m, 0x1p-62)),
                   mul(m, ex_cast(m->prog, low, DT_f64), number(m, 0x1p-126)));
    ex r = pick(m, small, a, mul(m, value, number(m, 0x1.921fb54442d18p0)));
    r = pick(m, less(m, a, number(m, INFINITY)), r, sub(m, a, a)); /* infinity and NaN give NaN */
    return (struct reduced){r, pick(m, small, word(m, 0), quadrant)};
}

ex math_trig(const struct math *m, enum expr_op op, ex x)
{
    ex a = magnitude(m, x);
    struct reduced reduced = is_double(m) ? reduce_f64(m, a) : reduce_f32(m, a);
    ex r = reduced.r, z = mul(m, r, r);
    ex p = is_double(m) ? POLYNOMIAL(m, z, sin_f64) : POLYNOMIAL(m, z, sin_f32);
    ex q = is_double(m) ? POLYNOMIAL(m, z, cos_f64) : POLYNOMIAL(m, z, cos_f32);
    ex sine = mad(m, mul(m, r, z), p, r);
    ex cosine = add(m, mad(m, mul(m, z, z), q, mul(m, z, number(m, -0.5))), number(m, 1));
    ex odd = equal(m, both(m, reduced.quadrant, word(m, 1)), word(m, 1));
    int top = is_double(m) ? 62 : 30; /* moves bit 1 to the sign */
    if (op == EX_tan) {
        ex y = quotient(m, pick(m, odd, cosine, sine), pick(m, odd, sine, cosine));
        ex flip = shift_left(m, reduced.quadrant, top + 1); /* -cos/sin in odd quadrants */
        return with_sign(m, y, differ(m, flip, sign_of(m, x)));
    }
    if (op == EX_sin) {
        ex flip = both(m, shift_left(m, reduced.quadrant, top), word(m, sign_mask(m)));
        return with_sign(m, pick(m, odd, cosine, sine), differ(m, flip, sign_of(m, x)));
    }
    ex next = add(m, reduced.quadrant, word(m, 1));
    return with_sign(m, pick(m, odd, sine, cosine), both(m, shift_left(m, next, top), word(m, sign_mask(m))));
}

/* Note: windows
 *
 * f32: x has 24 bits and a piece 28, so products are exact in f64. Below 2^53 the product with the first piece
 * has bits down to 2^-31 of a turn at worst, and the four pieces together reach 2^-59 of a turn. Beyond 2^53 the
 * first piece times x is a whole number of turns (x is a multiple of 2^30, the piece of 2^-30), and so on every 28 bits.
 * No f32 is closer than about 2^-30 to a multiple of pi/2, so r has 29 good bits or more.
 *
 * f64: the window has 192 bits from 2^1 quarter turns down; the product with a 53-bit mantissa is off by at most
 * 2^-137 quarter turns; no f64 is closer than 2^-62 to a multiple of pi/2, of which `low` holds 64 more bits.
 */
