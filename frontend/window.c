/* Windows over spatial axes. See window.h. */
#include "window.h"
#include "values.h"

dim window_span(struct dims *s, const struct window *w, int i)
{
    return dim_add(s, dim_mul(s, dim_sub(s, w->kernel[i], 1), w->dilation[i]), 1);
}

void window_pad_same(struct dims *s, struct window *w, int i, dim extent, bool is_upper)
{
    dim out = dim_ceil_div(s, extent, w->stride[i]);
    dim need = dim_add(s, dim_mul(s, dim_sub(s, out, 1), w->stride[i]), window_span(s, w, i));
    dim total = dim_max(s, 0, dim_sub(s, need, extent)), half = dim_div(s, total, 2), rest = dim_sub(s, total, half);
    w->before[i] = is_upper ? half : rest;
    w->after[i] = is_upper ? rest : half;
}

struct value *window_node(struct graph *graph, enum op op, struct value *x, struct value *weight,
                          const struct window *w, int64_t group)
{
    struct attr attrs[] = {ATTR_L("stride", w->stride, w->n), ATTR_L("dilation", w->dilation, w->n),
                           ATTR_L("pad", w->before, w->n), ATTR_L("pad_after", w->after, w->n), ATTR_I("group", group)};
    if (op != OP_conv) attrs[4] = (struct attr)ATTR_L("kernel", w->kernel, w->n);
    return graph_node(graph, op, weight ? 2 : 1, (struct value *[]){x, weight}, 5, attrs);
}

struct value *window_counts(struct graph *g, const struct value *x, const struct window *w, bool with_pads)
{
    struct window over = *w;
    dim dims[RANK_MOST] = {1, 1};
    for (int i = 0; i < w->n; i++) {
        dims[i + 2] = x->type.dim[i + 2];
        if (!with_pads) continue;
        dims[i + 2] = dim_add(g->dims, dims[i + 2], dim_add(g->dims, w->before[i], w->declared_after[i]));
        over.before[i] = 0;
        over.after[i] = dim_sub(g->dims, w->after[i], w->declared_after[i]);
    }
    return window_node(g, OP_pool_sum, build_fill(g, build_number(g, x, 1), w->n + 2, dims), NULL, &over, 0);
}
