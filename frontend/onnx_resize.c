/* Resize and Upsample: one axis after the other.
 *
 * Along an axis every output position has a coordinate in the input; it takes a few input elements (taps) around that
 * coordinate with weights of its distance to them. Coordinates, tap positions and weights are one-dimensional f64
 * values computed by graph nodes, constant where the sizes are, so that dynamic sizes need nothing else. A nearest
 * resize by a whole factor repeats elements.
 */
#include "onnx_build.h"

#include <math.h>
#include <string.h>

enum { TAPS_MOST = 64 };

struct resize {
    struct onnx_call *call;
    const char *mode, *coordinates, *nearest;
    double cubic_a, extrapolation;
    bool exclude_outside, antialias;
};
struct resize_axis {
    int axis;
    dim in, out;
    double scale;         /* NAN: out / in, known when running */
    struct value *factor; /* the scale as f64[] */
    double roi_start, roi_end;
};

static struct value *number(struct graph *g, double v)
{
    return graph_scalar(g, DT_f64, v);
}

/* out/in of the scale-based modes: what the scale makes of the extent, before it is rounded. */
static struct value *exact_out(struct graph *g, const struct resize_axis *a)
{
    return build_mul(g, a->factor, build_extent_value(g, a->in, DT_f64));
}

static struct value *half_pixel(struct graph *g, const struct resize_axis *a, struct value *o)
{
    return build_with(g, OP_sub, build_div(g, build_with(g, OP_add, o, 0.5), a->factor), 0.5);
}

/* Coordinates in the input of all output positions: f64[out]. */
static struct value *coordinates(const struct resize *r, const struct resize_axis *a)
{
    struct graph *g = r->call->graph;
    struct value *o = build_range(g, DT_f64, a->out), *in = build_extent_value(g, a->in, DT_f64);
    bool is_one = dim_is_const(a->out) && a->out == 1;
    const char *mode = r->coordinates;
    if (!strcmp(mode, "asymmetric")) return build_div(g, o, a->factor);
    if (!strcmp(mode, "half_pixel")) return half_pixel(g, a, o);
    if (!strcmp(mode, "pytorch_half_pixel"))
        return is_one ? build_with(g, OP_sub, build_with(g, OP_mul, o, 0), 0.5) : half_pixel(g, a, o);
    if (!strcmp(mode, "half_pixel_symmetric")) {
        struct value *adjust = build_extent_value(g, a->out, DT_f64);
        adjust = build_div(g, adjust, exact_out(g, a));
        struct value *offset = build_with(g, OP_mul, in, 0.5);
        offset = build_mul(g, offset, build_sub(g, number(g, 1), adjust));
        return build_add(g, offset, half_pixel(g, a, o));
    }
    struct value *last = build_with(g, OP_sub, in, 1), *steps = build_with(g, OP_sub, exact_out(g, a), 1);
    if (!strcmp(mode, "align_corners"))
        return is_one ? build_with(g, OP_mul, o, 0) : build_div(g, build_mul(g, o, last), steps);
    if (strcmp(mode, "tf_crop_and_resize") != 0)
        return onnx_error(r->call, "coordinate_transformation_mode \"%s\"", mode);
    struct value *span = build_with(g, OP_mul, last, a->roi_end - a->roi_start);
    struct value *at = is_one ? build_mix(g, o, 0, span, 0.5) : build_div(g, build_mul(g, o, span), steps);
    return build_add(g, at, build_with(g, OP_mul, last, a->roi_start));
}

/* i64[out] positions clamped into the input. */
static struct value *clamp_position(struct graph *g, struct value *at, dim in)
{
    at = build_with(g, OP_max, at, 0);
    return graph_cast(g, build_min(g, at, build_extent_value(g, dim_sub(g->dims, in, 1), DT_f64)), DT_i64);
}

static struct value *round_nearest(const struct resize *r, struct value *x)
{
    struct graph *g = r->call->graph;
    if (!strcmp(r->nearest, "floor")) return build_floor(g, x);
    if (!strcmp(r->nearest, "ceil")) return graph_unary(g, OP_ceil, x);
    if (!strcmp(r->nearest, "round_prefer_ceil")) return build_floor(g, build_with(g, OP_add, x, 0.5));
    if (!strcmp(r->nearest, "round_prefer_floor")) return graph_unary(g, OP_ceil, build_with(g, OP_sub, x, 0.5));
    return onnx_error(r->call, "nearest_mode \"%s\"", r->nearest);
}

/* Weight of a tap at this distance: the triangle, or the cubic with parameter a. */
static struct value *tap_weight(const struct resize *r, struct value *distance)
{
    struct graph *g = r->call->graph;
    double a = r->cubic_a;
    struct value *d = build_abs(g, distance), *one = number(g, 1);
    if (!strcmp(r->mode, "linear")) return build_with(g, OP_max, build_sub(g, one, d), 0);
    struct value *d2 = build_mul(g, d, d), *d3 = build_mul(g, d2, d);
    struct value *inner = build_mix(g, d3, a + 2, d2, -(a + 3));
    inner = build_with(g, OP_add, inner, 1);
    struct value *outer = build_mix(g, d3, a, d2, -(5 * a));
    outer = build_with(g, OP_sub, build_add(g, outer, build_with(g, OP_mul, d, 8 * a)), 4 * a);
    outer = build_where_below(g, d, 2, outer, number(g, 0));
    return graph_select(g, build_with(g, OP_le, d, 1), inner, outer);
}

/* A vector along axis, to broadcast over a tensor of this rank, of type dt. */
static struct value *lay_along(struct graph *g, struct value *v, int axis, int rank, enum dtype dt)
{
    return build_unsqueeze_end(g, graph_cast(g, v, dt), rank - axis);
}

/* Sum over taps of x at the tap's positions times the tap's weights. */
static struct value *mix_taps(const struct resize *r, struct value *x, const struct resize_axis *a, struct value *at)
{
    struct graph *g = r->call->graph;
    bool is_linear = !strcmp(r->mode, "linear"), shrinks = r->antialias && a->scale < 1;
    double squeeze = shrinks ? a->scale : 1;
    int start = (int)floor(-(is_linear ? 1 : 2) / squeeze) + 1, n = 2 - 2 * start, rank = x->type.rank;
    if (n > TAPS_MOST) return onnx_refuse(r->call, "antialias over more than %d elements", TAPS_MOST);
    enum dtype dt = x->type.dt, wide = dtype_is_float(dt) ? dtype_compute(dt) : DT_f32;
    struct value *base = build_with(g, OP_sub, graph_unary(g, OP_ceil, at), 1), *total = NULL, *sum = NULL;
    struct value *weights[TAPS_MOST], *positions[TAPS_MOST];
    for (int k = 0; k < n; k++) {
        positions[k] = build_with(g, OP_add, base, start + k);
        weights[k] = tap_weight(r, build_with(g, OP_mul, build_sub(g, positions[k], at), squeeze));
        if (r->exclude_outside) {
            struct value *inside = build_le(g, number(g, 0), positions[k]);
            inside = build_and(g, inside, build_lt(g, positions[k], build_extent_value(g, a->in, DT_f64)));
            weights[k] = graph_select(g, inside, weights[k], number(g, 0));
        }
        total = total ? build_add(g, total, weights[k]) : weights[k];
    }
    for (int k = 0; k < n; k++) {
        struct value *w = r->exclude_outside || shrinks ? build_div(g, weights[k], total) : weights[k];
        struct value *part = graph_gather(g, x, clamp_position(g, positions[k], a->in), a->axis, 0);
        part = graph_cast(g, part, wide);
        part = build_mul(g, part, lay_along(g, w, a->axis, rank, wide));
        sum = sum ? build_add(g, sum, part) : part;
    }
    return dtype_is_float(dt)
               ? graph_cast(g, sum, dt)
               : graph_cast(
                     g, build_clamp(g, build_round(g, sum), (double)dtype_int_min(dt), (double)dtype_int_max(dt)), dt);
}

/* Each element `times` in a row. */
static struct value *repeat_elements(struct graph *g, struct value *x, int axis, int64_t times)
{
    int64_t every[RANK_MOST];
    for (int i = 0; i < x->type.rank; i++) every[i] = i == axis ? times : 1;
    return graph_node(g, OP_repeat, 1, &x, 1, (struct attr[]){ATTR_L("times", every, x->type.rank)});
}

/* Whether a nearest resize by a whole factor takes element o / factor. */
static bool is_repeat(const struct resize *r, const struct resize_axis *a)
{
    bool half = !strcmp(r->coordinates, "half_pixel") || !strcmp(r->coordinates, "pytorch_half_pixel");
    bool plain = !strcmp(r->coordinates, "asymmetric") && !strcmp(r->nearest, "floor");
    bool rounds = !strncmp(r->nearest, "round_prefer", 12);
    return a->scale >= 1 && a->scale == floor(a->scale) && a->scale < 1e6 && ((half && rounds) || plain);
}

static struct value *resize_one(const struct resize *r, struct value *x, const struct resize_axis *a)
{
    struct graph *g = r->call->graph;
    bool is_nearest = !strcmp(r->mode, "nearest"), crops = !strcmp(r->coordinates, "tf_crop_and_resize");
    if (!x) return NULL;
    if (is_nearest && is_repeat(r, a)) return repeat_elements(g, x, a->axis, (int64_t)a->scale);
    struct value *at = coordinates(r, a), *y;
    if (is_nearest) y = graph_gather(g, x, clamp_position(g, round_nearest(r, at), a->in), a->axis, 0);
    else y = mix_taps(r, x, a, at);
    if (!crops || !y) return y;
    struct value *last = build_extent_value(g, dim_sub(g->dims, a->in, 1), DT_f64);
    struct value *outside = build_with(g, OP_lt, at, 0);
    outside = build_or(g, outside, build_lt(g, last, at));
    outside = build_unsqueeze_end(g, outside, y->type.rank - a->axis);
    return graph_select(g, outside, build_number(g, y, r->extrapolation), y);
}

/* floor(extent * scale) where the scale is a fraction with a small denominator, or the extent is a number. */
static bool scaled_extent(struct onnx_call *c, dim extent, double scale, dim *out)
{
    struct dims *s = c->graph->dims;
    if (!(scale > 0) || scale > 1e6) return onnx_error(c, "scale %g", scale), false;
    if (dim_is_const(extent)) return *out = (dim)floor((double)extent * scale), true;
    for (int q = 1; q <= 64; q++)
        if (scale * q == floor(scale * q)) return *out = dim_div(s, dim_mul(s, extent, (int64_t)(scale * q)), q), true;
    return onnx_refuse(c, "a dynamic dimension scaled by %g", scale), false;
}

/* Numbers of a constant float input; -1 where it is none. */
static int input_floats(struct onnx_call *c, int i, double *list, int most)
{
    const struct tensor *t = i < c->n_in ? value_const(c->in[i]) : NULL;
    if (!t || !dtype_is_float(t->type.dt) || t->type.rank != 1 || t->type.dim[0] > most) return -1;
    int n = (int)t->type.dim[0];
    for (int k = 0; k < n; k++) {
        float f;
        struct value *one = graph_slice_axis(c->graph, c->in[i], 0, k, 1);
        if (!value_number(one, &list[k])) return -1;
        f = (float)list[k];
        if (t->type.dt == DT_f32) list[k] = (double)f;
    }
    return n;
}

struct targets {
    int n; /* axes resized */
    const int64_t *axes;
    dim out[RANK_MOST];
    double scale[RANK_MOST]; /* NAN: from the sizes */
    double roi[2 * RANK_MOST];
};

/* keep_aspect_ratio_policy: one scale for all axes, the smallest or largest of those asked for. */
static bool keep_ratio(struct onnx_call *c, struct targets *t, const struct value *x)
{
    const char *policy = onnx_string(c, "keep_aspect_ratio_policy", "stretch");
    double scale = 0;
    if (!strcmp(policy, "stretch")) return true;
    bool is_smallest = !strcmp(policy, "not_larger");
    for (int i = 0; i < t->n; i++) {
        dim in = x->type.dim[t->axes[i]];
        if (!dim_is_const(in) || !dim_is_const(t->out[i]) || in == 0)
            return onnx_refuse(c, "keep_aspect_ratio_policy with dynamic dimensions"), false;
        double ratio = (double)t->out[i] / (double)in;
        if (i == 0 || (is_smallest ? ratio < scale : ratio > scale)) scale = ratio;
    }
    for (int i = 0; i < t->n; i++) {
        t->scale[i] = scale;
        t->out[i] = (dim)floor(scale * (double)x->type.dim[t->axes[i]] + 0.5);
    }
    return true;
}

static bool read_targets(struct onnx_call *c, const struct value *x, struct targets *t)
{
    const int64_t *sizes, *axes;
    int rank = x->type.rank, at_scales = c->version < 11 ? 1 : 2,
        n_axes = c->version >= 18 ? onnx_ints(c, "axes", &axes) : -1;
    t->n = n_axes < 0 ? rank : n_axes;
    t->axes = n_axes < 0 ? build_axes_from(c->graph, 0, rank) : onnx_axes(c, n_axes, axes, rank);
    if (!t->axes) return false;
    int n_roi = c->version >= 11 ? input_floats(c, 1, t->roi, 2 * RANK_MOST) : -1;
    if (n_roi != 2 * t->n && !strcmp(onnx_string(c, "coordinate_transformation_mode", ""), "tf_crop_and_resize")) {
        if (c->in[1] && !value_const(c->in[1])) return onnx_must_know(c, 1, "roi"), false;
        return onnx_error(c, "roi has not two numbers per axis"), false;
    }
    int n_sizes = c->version >= 11 ? onnx_input_ints(c, 3, "sizes", &sizes) : 0;
    if (n_sizes < 0) return false;
    if (n_sizes > 0) {
        if (n_sizes != t->n) return onnx_error(c, "%d sizes for %d axes", n_sizes, t->n), false;
        for (int i = 0; i < t->n; i++) {
            dim in = x->type.dim[t->axes[i]], times;
            t->out[i] = sizes[i];
            t->scale[i] =
                dim_is_const(in) && dim_is_const(sizes[i]) && in > 0 ? (double)sizes[i] / (double)in : (double)NAN;
            if (dim_divides(c->graph->dims, sizes[i], in, &times) && dim_is_const(times)) t->scale[i] = (double)times;
        }
        return keep_ratio(c, t, x);
    }
    int n = input_floats(c, at_scales, t->scale, RANK_MOST);
    const float *list;
    if (c->version == 9 || (c->version < 9 && onnx_floats(c, "scales", &list) == rank)) {
        if (c->version < 9)
            for (n = 0; n < rank; n++) t->scale[n] = (double)list[n];
    }
    if (n < 0) return onnx_must_know(c, at_scales, "scales"), false;
    if (n != t->n) return onnx_error(c, "%d scales for %d axes", n, t->n), false;
    for (int i = 0; i < t->n; i++)
        if (!scaled_extent(c, x->type.dim[t->axes[i]], t->scale[i], &t->out[i])) return false;
    return true;
}

static struct value *build_resize(struct onnx_call *c)
{
    struct graph *g = c->graph;
    struct value *x = c->in[0];
    struct targets t = {0};
    bool is_old = c->version < 11;
    struct resize r = {c,
                       onnx_string(c, "mode", "nearest"),
                       onnx_string(c, "coordinate_transformation_mode", is_old ? "asymmetric" : "half_pixel"),
                       onnx_string(c, "nearest_mode", is_old ? "floor" : "round_prefer_floor"),
                       onnx_float(c, "cubic_coeff_a", -0.75),
                       onnx_float(c, "extrapolation_value", 0),
                       onnx_int(c, "exclude_outside", 0) != 0,
                       onnx_int(c, "antialias", 0) != 0};
    if (!x) return onnx_error(c, "no input");
    if (!strcmp(r.mode, "bilinear")) r.mode = "linear";
    if (strcmp(r.mode, "nearest") != 0 && strcmp(r.mode, "linear") != 0 && strcmp(r.mode, "cubic") != 0)
        return onnx_error(c, "mode \"%s\"", r.mode);
    if (!read_targets(c, x, &t)) return NULL;
    for (int i = 0; i < t.n && x; i++) {
        struct resize_axis a = {.axis = (int)t.axes[i],
                                .out = t.out[i],
                                .scale = t.scale[i],
                                .roi_start = t.roi[i],
                                .roi_end = t.roi[i + t.n]};
        a.in = x->type.dim[a.axis];
        if (a.out == a.in && a.scale == 1 && strcmp(r.coordinates, "tf_crop_and_resize") != 0) continue;
        if (r.antialias && isnan(a.scale)) return onnx_refuse(c, "antialias with dynamic dimensions");
        a.factor = isnan(a.scale) ? build_extent_value(g, a.out, DT_f64) : number(g, a.scale);
        if (isnan(a.scale)) a.factor = build_div(g, a.factor, build_extent_value(g, a.in, DT_f64));
        x = resize_one(&r, x, &a);
    }
    return x;
}

const struct onnx_row onnx_resize_rows[] = {
    {"Resize", 10, 0, 1, build_resize},
    {"Upsample", 7, 9, 1, build_resize},
    {NULL, 0, 0, 0, NULL},
};
