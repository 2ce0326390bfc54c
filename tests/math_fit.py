#!/usr/bin/env python3
"""Fits the polynomials of passes/expand*.c and prints them as C arrays.

How: least squares at Chebyshev nodes of the interval, in 60 digits, weighted so that the relative error of the
function itself (not of the fitted remainder) is levelled; a few rounds of Lawson's reweighting bring it close to
the minimax solution. Coefficients are then rounded to the target format one by one from the lowest degree, the
others being fitted again after each, so that rounding costs almost nothing.

Needs mpmath. Usage: math_fit.py [NAME...]; the last column is log2 of the worst relative error over the interval.
"""
import struct
import sys

from mpmath import mp, mpf

mp.dps = 60


def round_to(bits, v):
    if bits == 24:
        return mpf(struct.unpack("f", struct.pack("f", float(v)))[0])
    return mpf(float(v)) if bits == 53 else mpf(v)


def nodes(lo, hi, n):
    return [(lo + hi) / 2 - (hi - lo) / 2 * mp.cos(mp.pi * (2 * i + 1) / (2 * n)) for i in range(n)]


def solve(rows, target):
    """Least squares through the normal equations; 60 digits leave room for their condition."""
    n = len(rows[0])
    a = mp.matrix(n, n)
    b = mp.matrix(n, 1)
    for row, t in zip(rows, target):
        for i in range(n):
            b[i] += row[i] * t
            for j in range(i, n):
                a[i, j] += row[i] * row[j]
    for i in range(n):
        for j in range(i):
            a[i, j] = a[j, i]
    return [v for v in mp.lu_solve(a, b)]


def levelled(x, goal, weight, powers, known):
    """Coefficients of the powers not in known, Lawson-weighted; goal(x) ~ sum c x**p."""
    free = [p for p in powers if p not in known]
    rest = [g - sum(c * t**p for p, c in known.items()) for t, g in zip(x, goal)]
    lawson = [mpf(1)] * len(x)
    best, best_error = None, None
    for _ in range(12):
        c = solve([[w * mp.sqrt(l) * t**p for p in free] for t, w, l in zip(x, weight, lawson)],
                  [w * mp.sqrt(l) * r for w, l, r in zip(weight, lawson, rest)])
        error = [abs(w * (r - sum(a * t**p for p, a in zip(free, c)))) for t, w, r in zip(x, weight, rest)]
        if best is None or max(error) < best_error:
            best, best_error = c, max(error)
        total = sum(l * e for l, e in zip(lawson, error))
        lawson = [l * e / total * len(x) + mpf(10)**-12 for l, e in zip(lawson, error)]
    return dict(zip(free, best)), best_error


def polynomial(remainder, weight, lo, hi, degree, bits, known=None):
    """remainder(t) ~ sum c t**p on [lo, hi]; error counted as weight(t) * (difference)."""
    x = nodes(mpf(lo), mpf(hi), 4 * degree + 12)
    goal, weights = [remainder(t) for t in x], [abs(weight(t)) for t in x]
    known = dict(known or {})
    for p in range(degree + 1):
        if p not in known:
            c, _ = levelled(x, goal, weights, range(degree + 1), known)
            known[p] = round_to(bits, c[p])
    probe = nodes(mpf(lo), mpf(hi), 300)
    worst = max(abs(weight(t) * (remainder(t) - sum(c * t**p for p, c in known.items()))) for t in probe)
    return [known[p] for p in range(degree + 1)], worst


def show(name, c, worst, bits):
    kind = "float" if bits == 24 else "double"
    text = ", ".join(repr(float(v)) for v in c)
    print(f"static const double {name}[] = {{{text}}}; /* {kind}, {len(c)} terms, 2^{float(mp.log(worst, 2)):.1f} */", flush=True)


def over_cube(f):
    """(f(x) - x)/x^3 as a function of z = x^2, and its weight in f's relative error."""
    def remainder(z):
        if z < mpf(10)**-14:
            z = mpf(10)**-14
        x = mp.sqrt(z)
        return (f(x) - x) / x**3

    def weight(z):
        x = mp.sqrt(z)
        return x**3 / f(x) if z > 0 else mpf(0)
    return remainder, weight


def odd(name, f, hi, degrees):
    r, w = over_cube(f)
    for bits, degree in zip((24, 53), degrees):
        if degree is not None:
            show(f"{name}_f{32 if bits == 24 else 64}", *polynomial(r, w, 0, mpf(hi)**2, degree, bits), bits)


def fit_exp():
    for name, reach, degrees in (("exp", mp.log(2), (5, 12)), ("expm1", mp.log(2) / 2, (4, 10))):
        half = reach * mpf("1.001")
        for bits, degree in zip((24, 53), degrees):
            show(f"{name}_f{32 if bits == 24 else 64}",
                 *polynomial(lambda r: (mp.exp(r) - 1 - r) / r**2, lambda r: r**2 / (mp.exp(r) if name == "exp" else mp.expm1(r)),
                             -half, half, degree, bits), bits)


def fit_exp2():
    half = mpf("0.5005")
    show("exp2_low", *polynomial(lambda r: mpf(2)**r, lambda r: mpf(2)**-r, -half, half, 7, 53, {0: mpf(1)}), 53)


def fit_log():
    lo, hi = mp.sqrt(mpf("0.5")) - 1, mp.sqrt(2) - 1
    show("log_f32", *polynomial(lambda f: (mp.log1p(f) - f + f**2 / 2) / f**3, lambda f: f**3 / mp.log1p(f), lo, hi, 7, 24), 24)
    r, w = over_cube(lambda s: mp.atanh(s))
    top = (mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)
    for name, degree in (("log_low", 4), ("log_f64", 7)):
        show(name, *polynomial(r, w, 0, (top * mpf("1.0005"))**2, degree, 53), 53)


def fit_sin():
    quarter = mp.pi / 4 * mpf("1.0005")
    odd("sin", mp.sin, quarter, (2, 5))

    def rest(z):
        z = max(z, mpf(10)**-14)
        return (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2
    for bits, degree in ((24, 2), (53, 5)):
        show(f"cos_f{32 if bits == 24 else 64}",
             *polynomial(rest, lambda z: z**2 / mp.cos(mp.sqrt(z)), 0, quarter**2, degree, bits), bits)


def fit_odd():
    odd("asin", mp.asin, mpf("0.5"), (4, 12))
    odd("atan", mp.atan, 1, (7, 20))
    odd("sinh", mp.sinh, 1, (2, 6))
    odd("asinh", mp.asinh, 1, (9, 22))
    odd("atanh", mp.atanh, mpf("0.5"), (6, 15))


def fit_erf():
    def near(z):
        z = max(z, mpf(10)**-14)
        x = mp.sqrt(z)
        return mp.erf(x) / x - 1
    show("erf_near", *polynomial(near, lambda z: 1 / (1 + near(z)), 0, 1, 5, 24), 24)

    # erf(x) = 1 - 2^-G(x) on [1, 4]
    show("erf_far", *polynomial(lambda x: -mp.log(mp.erfc(x), 2), lambda x: mp.erfc(x) * mp.log(2) / mp.erf(x), 1, mpf("4.01"), 5, 24), 24)
    show("exp2_f32", *polynomial(lambda r: mpf(2)**r, lambda r: mpf(2)**-r, mpf("-0.5005"), mpf("0.5005"), 5, 24, {0: mpf(1)}), 24)


def fit_erf64():
    def remainder(z):
        z = max(z, mpf(10)**-14)
        x = mp.sqrt(z)
        return mp.erf(x) / x
    show("erf_small", *polynomial(remainder, lambda z: 1 / remainder(z), 0, 1, 13, 53), 53)

    # erf(x) = 1 - exp(-x^2) * R(t), t = (x - 2)/(x + 2), on [1, 6]
    def tail(t):
        x = 2 * (1 + t) / (1 - t)
        return mp.exp(x * x) * mp.erfc(x)

    def weight(t):
        x = 2 * (1 + t) / (1 - t)
        return mp.exp(-x * x) / mp.erf(x)
    show("erf_tail", *polynomial(tail, weight, mpf(-1) / 3, mpf(1) / 2, 17, 53), 53)


FITS = dict(exp=fit_exp, exp2=fit_exp2, log=fit_log, sin=fit_sin, odd=fit_odd, erf=fit_erf, erf64=fit_erf64)
for name in sys.argv[1:] or FITS:
    FITS[name]()
