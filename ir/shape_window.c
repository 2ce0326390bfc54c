/* Shape rules of windows that slide over axes: convolutions and pools, in both layouts. See shape.c. */
#include "shape_inside.h"

/* Spatial sizes of a window that slides over x's axes from 2 on. */
static bool infer_window(struct inference *inf, const dim *kernel)
{
    const struct type *x = &inf->node->in[0]->type;
    struct dims *dims = inf->graph->dims;
    int n = x->rank - 2;
    const int64_t *stride, *dilation, *pad, *after;
    if (!wants_ints(inf, "stride", n, &stride) || !wants_ints(inf, "dilation", n, &dilation) || !wants_ints(inf, "pad", n, &pad) || !wants_ints(inf, "pad_after", n, &after)) return false;
    if (!wants_positive(inf, "stride", stride, n) || !wants_positive(inf, "dilation", dilation, n)) return false;
    for (int i = 0; i < n; i++) {
        dim span = dim_add(dims, dim_mul(dims, dim_sub(dims, kernel[i], 1), dilation[i]), 1);
        dim room = dim_sub(dims, dim_add(dims, x->dim[i + 2], dim_add(dims, pad[i], after[i])), span);
        if (dim_hi(dims, room) < 0) return FAIL(inf, "%s: the window is larger than the padded input %s at axis %d", infer_name(inf), infer_shown(inf, 0), i + 2);
        inf->out->dim[i + 2] = dim_add(dims, dim_div(dims, room, stride[i]), 1);
    }
    return true;
}

bool infer_pool(struct inference *inf)
{
    const struct type *x = &inf->node->in[0]->type;
    const int64_t *kernel;
    if (x->rank < 3) return FAIL(inf, "%s of %s: rank 3 or more is needed", infer_name(inf), infer_shown(inf, 0));
    if (!wants_ints(inf, "kernel", x->rank - 2, &kernel) || !wants_positive(inf, "kernel", kernel, x->rank - 2)) return false;
    *inf->out = *x;
    return infer_window(inf, kernel);
}

bool infer_conv(struct inference *inf)
{
    const struct type *x = &inf->node->in[0]->type, *w = &inf->node->in[1]->type;
    int64_t group;
    dim per_group;
    if (x->rank < 3 || w->rank != x->rank) return FAIL(inf, "conv of %s with weight %s: ranks must be equal and 3 or more", infer_shown(inf, 0), infer_shown(inf, 1));
    if (!wants_int(inf, "group", 1, DIM_HUGE, &group) || !same_dtypes(inf, 0, 2)) return false;
    if (!dim_divides(inf->graph->dims, w->dim[0], group, &per_group))
        return FAIL(inf, "conv: weight %s does not divide into %lld groups", infer_shown(inf, 1), (long long)group);
    if (dim_mul(inf->graph->dims, w->dim[1], group) != x->dim[1])
        return FAIL(inf, "conv: input %s has %lld channels, weight %s with %lld groups expects %lld", infer_shown(inf, 0), (long long)x->dim[1], infer_shown(inf, 1), (long long)group, (long long)dim_mul(inf->graph->dims, w->dim[1], group));
    *inf->out = *x;
    inf->out->dim[1] = w->dim[0];
    for (int i = 2; i < w->rank; i++)
        if (dim_hi(inf->graph->dims, w->dim[i]) < 1) return FAIL(inf, "conv: weight %s is empty", infer_shown(inf, 1));
    return infer_window(inf, w->dim + 2);
}

/* As infer_window for channels last: x's axes 1 .. rank-2 are spatial, there is no padding. */
static bool infer_window_last(struct inference *inf, const dim *kernel)
{
    const struct type *x = &inf->node->in[0]->type;
    struct dims *dims = inf->graph->dims;
    int n = x->rank - 2;
    const int64_t *stride, *dilation;
    if (!wants_ints(inf, "stride", n, &stride) || !wants_ints(inf, "dilation", n, &dilation)) return false;
    if (!wants_positive(inf, "stride", stride, n) || !wants_positive(inf, "dilation", dilation, n)) return false;
    *inf->out = *x;
    for (int i = 0; i < n; i++) {
        dim span = dim_add(dims, dim_mul(dims, dim_sub(dims, kernel[i], 1), dilation[i]), 1);
        dim room = dim_sub(dims, x->dim[i + 1], span);
        if (dim_hi(dims, room) < 0) return FAIL(inf, "%s: the window is larger than %s", infer_name(inf), infer_shown(inf, 0));
        inf->out->dim[i + 1] = dim_add(dims, dim_div(dims, room, stride[i]), 1);
    }
    return true;
}

bool infer_conv_last(struct inference *inf)
{
    const struct type *x = &inf->node->in[0]->type, *w = &inf->node->in[1]->type;
    int64_t block;
    int r = x->rank;
    if (!wants_int(inf, "block", 1, DIM_HUGE, &block) || !infer_factors(inf)) return false;
    if (r < 3 || w->rank != r + 1 || w->dim[r - 1] != x->dim[r - 1] || w->dim[r] != block)
        return FAIL(inf, "conv_last of %s with weight %s in blocks of %lld", infer_shown(inf, 0), infer_shown(inf, 1), (long long)block);
    if (!infer_window_last(inf, w->dim + 1)) return false;
    inf->out->dim[r - 1] = dim_mul(inf->graph->dims, w->dim[0], block);
    inf->out->dt = infer_product(inf);
    return true;
}

bool infer_conv_depth(struct inference *inf)
{
    const struct type *x = &inf->node->in[0]->type, *w = &inf->node->in[1]->type;
    int r = x->rank;
    if (r < 3 || w->rank != r - 1 || w->dim[r - 2] != x->dim[r - 1])
        return FAIL(inf, "conv_depth of %s with weight %s", infer_shown(inf, 0), infer_shown(inf, 1));
    if (!infer_factors(inf) || !infer_window_last(inf, w->dim)) return false;
    inf->out->dt = infer_product(inf);
    return true;
}

bool infer_pool_last(struct inference *inf)
{
    const struct type *x = &inf->node->in[0]->type;
    const int64_t *kernel;
    if (x->rank < 3) return FAIL(inf, "%s of %s: rank 3 or more is needed", infer_name(inf), infer_shown(inf, 0));
    if (!wants_ints(inf, "kernel", x->rank - 2, &kernel) || !wants_positive(inf, "kernel", kernel, x->rank - 2)) return false;
    return infer_window_last(inf, kernel);
}
