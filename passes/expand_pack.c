/* Bytes of two vectors that lie side by side are rounded and stored together.
 *
 *     store y[i]     = u8(round(a) + 116.0)
 *     let t = load.f32x16 scale[j]               ->     let t = load.f32x16 scale[j]
 *     store y[i + 16] = u8(round(b) + 116.0)            store y[i] = pack(a, b, 116)
 *
 * Where a processor packs integers with saturation, two vectors of results take ten instructions instead of fourteen. The
 * first store moves past what stands between, lets that read other buffers. Each half has all the lanes of the target's
 * vectors; what is stored under a mask stays as it is. Bounds of their own, narrower than a byte's, are taken before.
 */
#include "expand.h"

/* The store's rounding where it may be half of such a pair. */
static bool is_half_of_pair(const struct stmt *s, int lanes, struct rounding *rounding)
{
    if (s->kind != STMT_STORE || s->c || s->b->lanes != lanes || s->buf->dt != DT_u8 || s->step != 1) return false;
    return expand_is_rounding(s->b, rounding) && rounding->offset >= 0 && rounding->offset <= 255;
}

static bool reads(ex e, const struct buffer *buf)
{
    return e && ex_loads(e, buf);
}

const struct stmt *expand_pair(const struct stmt *first, int lanes, struct rounding pair[2])
{
    if (lanes < 8 || !is_half_of_pair(first, lanes, &pair[0])) return NULL;
    const struct stmt *s = first->next;
    while (s && s->kind == STMT_LET && !s->mutable && !reads(s->a, first->buf)) s = s->next;
    if (!s || !is_half_of_pair(s, lanes, &pair[1]) || s->buf != first->buf || reads(s->b, first->buf)) return NULL;
    return pair[0].offset == pair[1].offset && pair[0].high == pair[1].high ? s : NULL;
}

/* x below the rounding's own bound, NaN as it is. */
static ex bounded(struct prog *prog, const struct rounding *rounding, ex x)
{
    if (rounding->high + rounding->offset >= (double)dtype_int_max(DT_u8)) return x;
    ex high = ex_splat(prog, ex_float(prog, DT_f32, rounding->high), x->lanes);
    return ex_select(prog, ex_binary(prog, EX_lt, high, x), high, x);
}

ex expand_pack(struct prog *prog, const struct rounding pair[2], ex a, ex b)
{
    a = bounded(prog, &pair[0], a), b = bounded(prog, &pair[1], b);
    return ex_pack(prog, a, b, ex_int(prog, DT_i32, (int64_t)pair[0].offset));
}
