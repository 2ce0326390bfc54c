/* Windows over [N, H, W, C], and pools.
 *
 * Averages count only elements of the input. On integers the sum over the count is rounded, halves away from zero.
 */
#include "tflite_quant.h"
#include "tflite_window.h"

#include <math.h>

enum { POOL_PADDING, POOL_STRIDE_W, POOL_STRIDE_H, POOL_WIDTH, POOL_HEIGHT, POOL_ACTIVATION };

enum { STRIDE_MOST = 1 << 20 };

bool tflite_window(struct tflite_call *c, const struct value *x, dim kernel_h, dim kernel_w,
                   const struct tflite_window_fields *fields, struct window *w)
{
    int64_t padding;
    *w = (struct window){.n = 2, .kernel = {kernel_h, kernel_w}, .dilation = {1, 1}};
    if (x->type.rank != 4) return tflite_error(c, "needs an input of rank 4, not %d", x->type.rank);
    if (!tflite_ranged(c, fields->padding, 1, "padding", 0, 1, 0, &padding) ||
        !tflite_ranged(c, fields->stride_h, 4, "stride_h", 1, STRIDE_MOST, 0, &w->stride[0]) ||
        !tflite_ranged(c, fields->stride_w, 4, "stride_w", 1, STRIDE_MOST, 0, &w->stride[1]))
        return false;
    if (fields->dilation_h >= 0 &&
        (!tflite_ranged(c, fields->dilation_h, 4, "dilation_h_factor", 1, STRIDE_MOST, 1, &w->dilation[0]) ||
         !tflite_ranged(c, fields->dilation_w, 4, "dilation_w_factor", 1, STRIDE_MOST, 1, &w->dilation[1])))
        return false;
    for (int i = 0; i < 2 && padding == 0; i++) {
        window_pad_same(c->graph->dims, w, i, x->type.dim[i + 1], true);
        w->declared_after[i] = w->after[i];
    }
    return true;
}

struct value *tflite_channels_first(struct graph *g, struct value *x)
{
    return graph_transpose(g, x, (int64_t[]){0, 3, 1, 2});
}

struct value *tflite_channels_last(struct graph *g, struct value *x)
{
    return graph_transpose(g, x, (int64_t[]){0, 2, 3, 1});
}

struct value *tflite_pad_window(struct graph *g, struct value *x, struct value *v, struct window *w)
{
    dim before[4] = {0, w->before[0], w->before[1], 0}, after[4] = {0, w->after[0], w->after[1], 0};
    for (int i = 0; i < 2; i++) w->before[i] = w->after[i] = w->declared_after[i] = 0;
    if (!before[1] && !before[2] && !after[1] && !after[2]) return x;
    return graph_node(g, OP_pad, 2, (struct value *[]){x, v}, 2,
                      (struct attr[]){ATTR_L("before", before, 4), ATTR_L("after", after, 4)});
}

static bool read_pool(struct tflite_call *c, struct window *w)
{
    static const struct tflite_window_fields fields = {POOL_PADDING, POOL_STRIDE_W, POOL_STRIDE_H, -1, -1};
    int64_t height, width;
    struct value *x = c->in[0];
    return tflite_ranged(c, POOL_HEIGHT, 4, "filter_height", 1, STRIDE_MOST, 0, &height) &&
           tflite_ranged(c, POOL_WIDTH, 4, "filter_width", 1, STRIDE_MOST, 0, &width) &&
           tflite_window(c, x, height, width, &fields, w);
}

/* OP_pool_max_last or OP_pool_sum_last over x, padded with what leaves a window's result as it is. */
static struct value *pool(struct tflite_call *c, enum op op, struct value *x, const struct window *w)
{
    struct graph *g = c->graph;
    struct window inside = *w;
    if (!x) return NULL;
    double least = dtype_is_float(x->type.dt) ? -INFINITY : (double)dtype_int_min(x->type.dt);
    x = tflite_pad_window(g, x, build_number(g, x, op == OP_pool_max_last ? least : 0), &inside);
    struct attr attrs[] = {ATTR_L("stride", w->stride, 2), ATTR_L("dilation", w->dilation, 2),
                           ATTR_L("kernel", w->kernel, 2)};
    return graph_node(g, op, 1, &x, 3, attrs);
}

/* How many elements of axis i each window along it holds, so that it broadcasts over [N, H, W, C]. */
static struct value *axis_counts(struct tflite_call *c, const struct value *sum, const struct window *w, int i)
{
    struct graph *g = c->graph;
    struct type type = {.dt = DT_i64, .rank = 1, .dim = {sum->type.dim[i + 1]}};
    struct value *from = graph_iota(g, &type, 0, -w->before[i], w->stride[i]);
    struct value *to = build_with(g, OP_add, from, (double)w->kernel[i]);
    to = build_min(g, to, graph_int(g, DT_i64, c->in[0]->type.dim[i + 1]));
    struct value *many = build_sub(g, to, build_with(g, OP_max, from, 0));
    return build_unsqueeze_end(g, graph_cast(g, many, sum->type.dt), 3 - i);
}

/* How many elements each window holds. */
static struct value *counts(struct tflite_call *c, const struct value *sum, const struct window *w)
{
    if (!w->before[0] && !w->before[1] && !w->after[0] && !w->after[1])
        return build_number(c->graph, sum, (double)w->kernel[0] * (double)w->kernel[1]);
    struct value *rows = axis_counts(c, sum, w, 0);
    return build_mul(c->graph, rows, axis_counts(c, sum, w, 1));
}

static struct value *build_average(struct tflite_call *c)
{
    struct window w;
    if (!read_pool(c, &w)) return NULL;
    struct value *sum = pool(c, OP_pool_sum_last, c->in[0], &w);
    return sum ? tflite_activate(c, POOL_ACTIVATION, build_div(c->graph, sum, counts(c, sum, &w))) : NULL;
}

static struct value *quant_average(struct tflite_call *c)
{
    struct window w;
    struct graph *g = c->graph;
    if (!read_pool(c, &w)) return NULL;
    if (!tflite_same_scale(c->in_tensor[0], c->out_tensor[0])) return tflite_refuse(c, "a result of another scale");
    struct value *sum = pool(c, OP_pool_sum_last, graph_cast(g, c->in[0], DT_i32), &w);
    if (!sum) return NULL;
    struct value *count = counts(c, sum, &w), *half = build_with(g, OP_div, count, 2);
    half = build_where_below(g, sum, 0, build_neg(g, half), half);
    struct value *y = build_div(g, build_add(g, sum, half), count);
    return tflite_finish(c, build_with(g, OP_sub, y, (double)c->out_tensor[0]->quant.zero[0]), POOL_ACTIVATION);
}

static struct value *build_max_pool(struct tflite_call *c)
{
    struct window w;
    return read_pool(c, &w) ? tflite_activate(c, POOL_ACTIVATION, pool(c, OP_pool_max_last, c->in[0], &w)) : NULL;
}

static struct value *quant_max(struct tflite_call *c)
{
    struct window w;
    if (!read_pool(c, &w)) return NULL;
    if (!tflite_same_scale(c->in_tensor[0], c->out_tensor[0])) return tflite_refuse(c, "a result of another scale");
    return tflite_limit(c, pool(c, OP_pool_max_last, c->in[0], &w), POOL_ACTIVATION);
}

static struct value *build_l2(struct tflite_call *c)
{
    struct window w;
    struct graph *g = c->graph;
    if (!read_pool(c, &w)) return NULL;
    struct value *sum = pool(c, OP_pool_sum_last, build_mul(g, c->in[0], c->in[0]), &w);
    return sum ? tflite_activate(c, POOL_ACTIVATION, build_sqrt(g, build_div(g, sum, counts(c, sum, &w)))) : NULL;
}

const struct tflite_row tflite_pool_rows[] = {
    {TFL_AVERAGE_POOL_2D, 1, build_average, quant_average},
    {TFL_L2_POOL_2D, 1, build_l2, NULL},
    {TFL_MAX_POOL_2D, 1, build_max_pool, quant_max},
    {0},
};
