/* Rounding to bytes: u8(round(x) + c), by which quantized values are stored.
 *
 *     u8(max(round(x), m) + c)   ->   t = clamp(x, max(m, -c), 255 - c);  u8(bits(t + 3*2^22) + c)
 *
 * Bounds that are whole numbers may be taken before rounding, which keeps the order of numbers. A float of 3*2^22 and a
 * small number has that number, rounded half to even, in its low bits, so that the addition rounds and converts at once.
 * Six instructions for a vector instead of nine. The selections make a NaN the lower bound, which is 0 in the
 * end as it should be; so m may not be above -c.
 */
#include "expand.h"

#include <math.h>

static bool whole_number(ex e, double *number)
{
    while (e->op == EX_splat) e = e->arg[0];
    *number = e->number;
    return e->op == EX_const && e->dt == DT_f32 && fabs(e->number) <= 0x1p20 && e->number == floor(e->number);
}

bool expand_is_rounding(ex e, struct rounding *rounding)
{
    double number;
    *rounding = (struct rounding){.low = 0, .high = (double)dtype_int_max(DT_u8)};
    if (e->op != EX_cast || e->dt != DT_u8 || e->arg[0]->dt != DT_f32) return false;
    e = e->arg[0];
    if (e->op == EX_add && whole_number(e->arg[1], &rounding->offset)) e = e->arg[0];
    rounding->low -= rounding->offset;
    rounding->high -= rounding->offset;
    for (; (e->op == EX_max || e->op == EX_min) && whole_number(e->arg[1], &number); e = e->arg[0]) {
        if (e->op == EX_max) rounding->low = fmax(rounding->low, number);
        else rounding->high = fmin(rounding->high, number);
    }
    rounding->x = e->arg[0];
    return e->op == EX_round && rounding->low <= rounding->high && rounding->low + rounding->offset <= 0;
}

ex expand_rounding(struct prog *prog, const struct rounding *rounding, ex x)
{
    ex low = ex_float(prog, DT_f32, rounding->low), high = ex_float(prog, DT_f32, rounding->high);
    low = ex_splat(prog, low, x->lanes);
    high = ex_splat(prog, high, x->lanes);
    x = ex_select(prog, ex_binary(prog, EX_lt, low, x), x, low);
    x = ex_select(prog, ex_binary(prog, EX_lt, x, high), x, high);
    x = ex_binary(prog, EX_add, x, ex_splat(prog, ex_float(prog, DT_f32, 0x1.8p23), x->lanes));
    x = ex_binary(prog, EX_add, ex_bits(prog, x, DT_i32), ex_splat(prog, ex_int(prog, DT_i32, (int64_t)rounding->offset), x->lanes));
    return ex_cast(prog, x, DT_u8);
}
