/* GridSample, AffineGrid and Col2Im.
 *
 * GridSample takes, for every output point, a few input elements around its coordinates (1 per axis for nearest, 2 for
 * linear, 4 for cubic) with products of per-axis weights; the input is gathered by row numbers of its spatial axes
 * joined.
 */
#include "onnx_build.h"

#include <math.h>
#include <string.h>

enum { SPATIAL_MOST = 3, TAPS_MOST = 4 };

struct sample {
    struct onnx_call *call;
    const char *mode, *padding;
    bool aligned;
    struct value *position[SPATIAL_MOST][TAPS_MOST]; /* i64[N, P], inside the input */
    struct value *weight[SPATIAL_MOST][TAPS_MOST];   /* [N, P]; NULL: 1 */
    int n_taps;
};

/* x folded back into low .. low + span at both ends. */
static struct value *reflect(struct graph *g, struct value *x, struct value *low, struct value *span)
{
    struct value *twice = build_with(g, OP_mul, span, 2);
    struct value *t = graph_binary(g, OP_mod, build_abs(g, build_sub(g, x, low)), twice);
    struct value *is_near = build_le(g, t, span);
    return build_add(g, low, graph_select(g, is_near, t, build_sub(g, twice, t)));
}

/* Coordinates -1..1 as positions along an axis of this extent, padded as the mode says. */
static struct value *denormalize(const struct sample *s, struct value *x, dim extent)
{
    struct graph *g = s->call->graph;
    struct value *n = build_extent_value(g, extent, x->type.dt), *last = build_with(g, OP_sub, n, 1);
    x = build_with(g, OP_add, x, 1);
    x = s->aligned ? build_mul(g, build_with(g, OP_mul, x, 0.5), last)
                   : build_with(g, OP_mul, build_with(g, OP_sub, build_mul(g, x, n), 1), 0.5);
    if (!strcmp(s->mode, "nearest")) x = build_round(g, x);
    if (!strcmp(s->padding, "border")) x = build_min(g, build_with(g, OP_max, x, 0), last);
    if (!strcmp(s->padding, "reflection"))
        x = reflect(g, x, build_number(g, x, s->aligned ? 0 : -0.5), s->aligned ? last : n);
    return x;
}

/* Weights of the taps at floor(x) - 1 .. + 2 for the fraction t. */
static void cubic_weights(struct graph *g, struct value *t, struct value **w)
{
    const double a = -0.75;
    for (int k = 0; k < 4; k++) {
        struct value *d = build_abs(g, build_with(g, OP_sub, t, k - 1)), *d2 = build_mul(g, d, d),
                     *d3 = build_mul(g, d2, d);
        bool is_inner = k == 1 || k == 2;
        double c3 = is_inner ? a + 2 : a, c2 = is_inner ? -(a + 3) : -5 * a, c1 = is_inner ? 0 : 8 * a,
               c0 = is_inner ? 1 : -4 * a;
        w[k] = build_mix(g, d3, c3, d2, c2);
        if (c1 != 0) w[k] = build_add(g, w[k], build_with(g, OP_mul, d, c1));
        w[k] = build_with(g, OP_add, w[k], c0);
    }
}

/* Taps along one axis: positions brought inside, weights 0 where zeros stand outside. */
static void make_taps(struct sample *s, int axis, struct value *x, dim extent)
{
    struct graph *g = s->call->graph;
    struct value *n = build_extent_value(g, extent, x->type.dt), *last = build_with(g, OP_sub, n, 1);
    bool is_nearest = !strcmp(s->mode, "nearest"), is_cubic = !strcmp(s->mode, "cubic");
    struct value *base = is_nearest ? build_round(g, x) : build_floor(g, x), *t = build_sub(g, x, base), *w[4] = {NULL};
    s->n_taps = is_nearest ? 1 : is_cubic ? 4 : 2;
    if (is_cubic) cubic_weights(g, t, w);
    else if (!is_nearest) w[0] = build_sub(g, build_number(g, t, 1), t), w[1] = t;
    for (int k = 0; k < s->n_taps; k++) {
        struct value *at = is_cubic ? build_with(g, OP_add, base, k - 1) : build_with(g, OP_add, base, k);
        if (!strcmp(s->padding, "zeros")) {
            struct value *zero = build_number(g, at, 0), *inside = build_le(g, zero, at);
            inside = build_and(g, inside, build_lt(g, at, n));
            w[k] = graph_select(g, inside, w[k] ? w[k] : build_number(g, at, 1), zero);
        } else if (!strcmp(s->padding, "reflection")) {
            at = reflect(g, at, build_number(g, at, s->aligned ? 0 : -0.5), s->aligned ? last : n);
            at = graph_unary(g, OP_trunc, at);
        }
        at = build_min(g, build_with(g, OP_max, at, 0), last);
        s->position[axis][k] = graph_cast(g, at, DT_i64);
        s->weight[axis][k] = w[k];
    }
}

/* Sum over all combinations of taps of the gathered rows times their weights: [N, P, C]. */
static struct value *mix(const struct sample *s, const struct value *x, struct value *rows, int n_axes)
{
    struct graph *g = s->call->graph;
    struct value *sum = NULL;
    int many = 1;
    for (int i = 0; i < n_axes; i++) many *= s->n_taps;
    for (int k = 0; k < many; k++) {
        struct value *at = NULL, *w = NULL;
        for (int i = 0, rest = k; i < n_axes; i++, rest /= s->n_taps) {
            struct value *stride = build_extent_value(g, build_extent(g, x, i + 3, n_axes + 2), DT_i64);
            struct value *part = build_mul(g, s->position[i][rest % s->n_taps], stride),
                         *share = s->weight[i][rest % s->n_taps];
            at = at ? build_add(g, at, part) : part;
            if (share) w = w ? build_mul(g, w, share) : share;
        }
        struct value *part = graph_gather(g, rows, at, 1, 1);
        if (w) part = build_mul(g, part, build_unsqueeze(g, graph_cast(g, w, rows->type.dt), 2));
        sum = sum ? build_add(g, sum, part) : part;
    }
    return sum;
}

static struct value *build_grid_sample(struct onnx_call *c)
{
    struct graph *g = c->graph;
    struct value *x = c->in[0], *grid = c->in[1];
    struct sample s = {.call = c,
                       .mode = onnx_string(c, "mode", "linear"),
                       .padding = onnx_string(c, "padding_mode", "zeros"),
                       .aligned = onnx_int(c, "align_corners", 0) != 0};
    if (!strcmp(s.mode, "bilinear")) s.mode = "linear";
    if (!strcmp(s.mode, "bicubic")) s.mode = "cubic";
    if (strcmp(s.mode, "nearest") != 0 && strcmp(s.mode, "linear") != 0 && strcmp(s.mode, "cubic") != 0)
        return onnx_error(c, "mode \"%s\"", s.mode);
    if (strcmp(s.padding, "zeros") != 0 && strcmp(s.padding, "border") != 0 && strcmp(s.padding, "reflection") != 0)
        return onnx_error(c, "padding_mode \"%s\"", s.padding);
    if (!x || !grid || x->type.rank < 3 || x->type.rank > SPATIAL_MOST + 2 || grid->type.rank != x->type.rank)
        return onnx_refuse(c, "an input of this rank");
    int n_axes = x->type.rank - 2;
    dim points = build_extent(g, grid, 1, n_axes + 1), spatial = build_extent(g, x, 2, x->type.rank),
        channels = x->type.dim[1], batch = x->type.dim[0];
    if (grid->type.dim[n_axes + 1] != n_axes || grid->type.dim[0] != batch)
        return onnx_error(c, "the grid does not fit the input");
    struct value *flat = graph_reshape(g, grid, 3, (dim[]){batch, points, n_axes});
    flat = flat ? graph_cast(g, flat, dtype_compute(flat->type.dt)) : NULL;
    for (int i = 0; flat && i < n_axes; i++) { /* the grid names the last axis first */
        struct value *at = build_squeeze(g, graph_slice_axis(g, flat, 2, n_axes - 1 - i, 1), 2);
        if (!at) return NULL;
        at = denormalize(&s, at, x->type.dim[i + 2]);
        if (at) make_taps(&s, i, at, x->type.dim[i + 2]);
    }
    struct value *rows = build_swap(g, graph_reshape(g, x, 3, (dim[]){batch, channels, spatial}), 1, 2);
    if (!rows || !flat) return NULL;
    struct value *y = build_swap(g, mix(&s, x, rows, n_axes), 1, 2);
    dim dims[RANK_MOST] = {batch, channels};
    for (int i = 0; i < n_axes; i++) dims[i + 2] = grid->type.dim[i + 1];
    return graph_reshape(g, y, n_axes + 2, dims);
}

/* theta [N, D, D + 1] times (coordinates of each point, 1); the last axis' coordinate comes first. */
static struct value *build_affine_grid(struct onnx_call *c)
{
    const int64_t *size;
    struct graph *g = c->graph;
    struct value *theta = c->in[0], *parts[SPATIAL_MOST + 1];
    int n = onnx_input_ints(c, 1, "size", &size), n_axes = n - 2;
    if (n < 0 || !theta) return NULL;
    if (n_axes < 2 || n_axes > SPATIAL_MOST || theta->type.rank != 3) return onnx_error(c, "a size of %d numbers", n);
    struct type type = {.dt = theta->type.dt, .rank = n_axes};
    dim points = 1, dims[RANK_MOST] = {size[0]};
    for (int i = 0; i < n_axes; i++)
        type.dim[i] = dims[i + 1] = size[i + 2], points = dim_mul(g->dims, points, size[i + 2]);
    dims[n_axes + 1] = n_axes;
    for (int i = 0; i < n_axes; i++) {
        int axis = n_axes - 1 - i;
        struct value *at = graph_iota(g, &type, axis, 0, 1), *extent = build_extent_value(g, type.dim[axis], type.dt);
        bool aligned = onnx_int(c, "align_corners", 0) != 0;
        at = build_with(g, OP_mul, at, 2);
        if (!aligned) at = build_with(g, OP_add, at, 1);
        at = build_with(g, OP_sub, build_div(g, at, aligned ? build_with(g, OP_sub, extent, 1) : extent), 1);
        parts[i] = graph_reshape(g, at, 2, (dim[]){points, 1});
    }
    parts[n_axes] = build_fill(g, graph_scalar(g, type.dt, 1), 2, (dim[]){points, 1});
    struct value *points_1 = graph_concat(g, n_axes + 1, parts, 1);
    return graph_reshape(g, graph_matmul(g, points_1, build_swap(g, theta, 1, 2)), n_axes + 2, dims);
}

/* Blocks added back where they were taken from: each element of the block is one dilated, shifted image. */
static struct value *build_col2im(struct onnx_call *c)
{
    const int64_t *image, *block, *given;
    struct graph *g = c->graph;
    struct value *x = c->in[0], *sum = NULL;
    int n = onnx_input_ints(c, 1, "image_shape", &image), n_block = onnx_input_ints(c, 2, "block_shape", &block);
    int64_t stride[RANK_MOST], dilation[RANK_MOST], pads[2 * RANK_MOST], many = 1, spread[RANK_MOST] = {1, 1};
    if (n < 0 || n_block < 0 || !x) return NULL;
    if (n != n_block || n < 1 || n + 3 > RANK_MOST || x->type.rank != 3)
        return onnx_error(c, "image and block shape differ in length");
    dim channels, dims[RANK_MOST], padded[RANK_MOST], start[RANK_MOST] = {0};
    int n_stride = onnx_ints(c, "strides", &given);
    for (int i = 0; i < n; i++) stride[i] = n_stride == n ? given[i] : 1;
    int n_dilation = onnx_ints(c, "dilations", &given);
    for (int i = 0; i < n; i++) dilation[i] = n_dilation == n ? given[i] : 1;
    int n_pads = onnx_ints(c, "pads", &given);
    for (int i = 0; i < 2 * n; i++) pads[i] = n_pads == 2 * n ? given[i] : 0;
    for (int i = 0; i < n; i++) {
        bool fits = dim_is_const(image[i]) && image[i] >= 0 && image[i] <= ELEMENTS_MOST && dim_is_const(block[i]) &&
                    block[i] >= 1 && block[i] <= 4096;
        if (!fits || stride[i] < 1 || stride[i] > (1 << 30) || dilation[i] < 1 || dilation[i] > (1 << 30) ||
            pads[i] < 0 || pads[i] > (1 << 30) || pads[i + n] < 0 || pads[i + n] > (1 << 30))
            return onnx_refuse(c, "this block shape");
        many *= block[i];
        if (many > 4096) return onnx_refuse(c, "blocks above 4096 elements");
        padded[i] = image[i] + pads[i] + pads[i + n];
        dims[i + 3] = (padded[i] - dilation[i] * (block[i] - 1) - 1) / stride[i] + 1;
        spread[i + 2] = stride[i];
        start[i + 2] = pads[i];
    }
    if (!dim_divides(g->dims, x->type.dim[1], many, &channels))
        return onnx_error(c, "%lld channels in blocks of %lld", (long long)x->type.dim[1], (long long)many);
    dims[0] = x->type.dim[0], dims[1] = channels, dims[2] = many;
    x = graph_reshape(g, x, n + 3, dims);
    for (int64_t k = 0; k < many; k++) {
        dim before[RANK_MOST] = {0}, after[RANK_MOST] = {0};
        int64_t rest = k;
        for (int i = n - 1; i >= 0; rest /= block[i], i--) {
            before[i + 2] = rest % block[i] * dilation[i];
            after[i + 2] = padded[i] - before[i + 2] - ((dims[i + 3] - 1) * stride[i] + 1);
        }
        struct value *part = build_squeeze(g, graph_slice_axis(g, x, 2, k, 1), 2);
        part = graph_node(g, OP_dilate, 1, &part, 1, (struct attr[]){ATTR_L("stride", spread, n + 2)});
        struct attr attrs[] = {ATTR_L("before", before, n + 2), ATTR_L("after", after, n + 2)};
        part = graph_node(g, OP_pad, 2, (struct value *[]){part, build_number(g, part, 0)}, 2, attrs);
        sum = sum ? build_add(g, sum, part) : part;
    }
    int64_t step[RANK_MOST];
    for (int i = 0; i < n + 2; i++) step[i] = 1, dims[i] = i < 2 ? dims[i] : image[i - 2];
    return graph_slice(g, sum, start, step, dims);
}

const struct onnx_row onnx_sample_rows[] = {
    {"AffineGrid", 20, 0, 2, build_affine_grid},
    {"Col2Im", 18, 0, 3, build_col2im},
    {"GridSample", 16, 0, 2, build_grid_sample},
    {NULL, 0, 0, 0, NULL},
};
