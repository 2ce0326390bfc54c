/* RESIZE_BILINEAR and RESIZE_NEAREST_NEIGHBOR over [N, H, W, C]: height first, then width.
 *
 * Sizes are known, so where each output row lies in the input is a list of numbers made here: two positions and what
 * the second weighs. On integers weights have 10 bits a side, and the sum is rounded at 20, halves away from zero.
 */
#include "tflite_quant.h"

#include <math.h>

enum { RESIZE_BILINEAR_ALIGN = 2, RESIZE_BILINEAR_HALF = 3, RESIZE_NEAREST_ALIGN = 0, RESIZE_NEAREST_HALF = 1 };
enum { EXTENT_MOST = 1 << 20, UNIT = 1 << 10 };

struct resize {
    int64_t out[2];
    bool align, half;
};

static bool read_resize(struct tflite_call *c, int align_field, int half_field, struct resize *r)
{
    const int64_t *list;
    int n = tflite_ints(c, 1, "size", &list);
    const struct type *type = &c->in[0]->type;
    if (n < 0 || !tflite_keeps_scale(c)) return false;
    if (n != 2 || type->rank != 4) return tflite_error(c, "a size of %d elements, an input of rank %d", n, type->rank);
    *r = (struct resize){.align = tflite_option(c, align_field, 1, 0) != 0,
                         .half = tflite_option(c, half_field, 1, 0) != 0};
    if (r->align && r->half) return tflite_error(c, "both align_corners and half_pixel_centers");
    for (int i = 0; i < 2; i++) {
        r->out[i] = list[i];
        if (list[i] < 1 || list[i] > EXTENT_MOST || type->dim[i + 1] < 1 || type->dim[i + 1] > EXTENT_MOST)
            return tflite_error(c, "%lld to %lld elements", (long long)type->dim[i + 1], (long long)list[i]);
    }
    return true;
}

static int64_t within(int64_t at, int64_t extent)
{
    return at < 0 ? 0 : at > extent - 1 ? extent - 1 : at;
}

static float scale_of(const struct resize *r, int64_t in, int64_t out)
{
    return r->align && out > 1 ? (float)(in - 1) / (float)(out - 1) : (float)in / (float)out;
}

/* A list along an axis of a tensor of rank 4. */
static struct value *lay(struct graph *g, struct value *list, int axis)
{
    return build_unsqueeze_end(g, list, 4 - axis);
}

/* x[first] + (x[second] - x[first]) * share; in whole numbers of 1/UNIT where share is i32. */
static struct value *mix(struct graph *g, struct value *x, int axis, struct value *first, struct value *second,
                         struct value *share)
{
    struct value *low = graph_gather(g, x, first, axis, 0), *high = graph_gather(g, x, second, axis, 0);
    struct value *rest = build_sub(g, build_number(g, share, share->type.dt == DT_i32 ? UNIT : 1), share);
    low = build_mul(g, low, lay(g, rest, axis));
    return build_add(g, low, build_mul(g, high, lay(g, share, axis)));
}

static struct value *bilinear_axis(struct graph *g, const struct resize *r, struct value *x, int axis)
{
    int64_t in = x ? x->type.dim[axis] : 0, out = r->out[axis - 1];
    if (!x || (in == out && !r->align)) return x;
    int32_t *first = NEW_ARRAY(g->arena, int32_t, out), *second = NEW_ARRAY(g->arena, int32_t, out);
    float *share = NEW_ARRAY(g->arena, float, out), scale = scale_of(r, in, out);
    for (int64_t i = 0; i < out; i++) {
        float at = r->half ? ((float)i + 0.5f) * scale - 0.5f : (float)i * scale;
        first[i] = (int32_t)within((int64_t)floorf(at), in);
        second[i] = (int32_t)within((int64_t)ceilf(at), in);
        share[i] = at - (float)first[i];
    }
    struct value *low = tflite_list(g, DT_i32, out, first), *high = tflite_list(g, DT_i32, out, second);
    return mix(g, x, axis, low, high, tflite_list(g, DT_f32, out, share));
}

static struct value *build_bilinear(struct tflite_call *c)
{
    struct resize r;
    if (!read_resize(c, RESIZE_BILINEAR_ALIGN, RESIZE_BILINEAR_HALF, &r)) return NULL;
    return bilinear_axis(c->graph, &r, bilinear_axis(c->graph, &r, c->in[0], 1), 2);
}

static struct value *bilinear_integers(struct graph *g, const struct resize *r, struct value *x, int axis)
{
    int64_t in = x ? x->type.dim[axis] : 0, out = r->out[axis - 1];
    if (!x) return NULL;
    int32_t *first = NEW_ARRAY(g->arena, int32_t, out), *second = NEW_ARRAY(g->arena, int32_t, out),
            *share = NEW_ARRAY(g->arena, int32_t, out);
    bool align = r->align && out > 1;
    int64_t from = in - align, to = out - align, scale = (UNIT * from + to / 2) / to;
    for (int64_t i = 0; i < out; i++) {
        int64_t at = r->half ? i * scale + scale / 2 - UNIT / 2 : i * scale;
        first[i] = (int32_t)within(at / UNIT, in);
        second[i] = (int32_t)within((at + UNIT - 1) / UNIT, in);
        share[i] = (int32_t)(at - (int64_t)UNIT * first[i]);
    }
    struct value *low = tflite_list(g, DT_i32, out, first), *high = tflite_list(g, DT_i32, out, second);
    return mix(g, x, axis, low, high, tflite_list(g, DT_i32, out, share));
}

static struct value *quant_bilinear(struct tflite_call *c)
{
    struct resize r;
    struct graph *g = c->graph;
    if (!read_resize(c, RESIZE_BILINEAR_ALIGN, RESIZE_BILINEAR_HALF, &r)) return NULL;
    if (dtype_bytes(c->in[0]->type.dt) != 1)
        return tflite_refuse(c, "quantized type %s", dtype_name(c->in[0]->type.dt));
    struct value *y = bilinear_integers(g, &r, graph_cast(g, c->in[0], DT_i32), 1);
    y = bilinear_integers(g, &r, y, 2);
    struct value *half = build_number(g, y, UNIT * UNIT / 2), *is_low = build_with(g, OP_le, y, 0);
    half = graph_select(g, is_low, build_number(g, y, -(UNIT * UNIT / 2)), half);
    return graph_cast(g, build_with(g, OP_div, build_add(g, y, half), UNIT * UNIT), c->in[0]->type.dt);
}

static struct value *nearest_axis(struct graph *g, const struct resize *r, struct value *x, int axis)
{
    int64_t in = x ? x->type.dim[axis] : 0, out = r->out[axis - 1];
    if (!x || in == out) return x;
    int32_t *position = NEW_ARRAY(g->arena, int32_t, out);
    float scale = scale_of(r, in, out), offset = r->half ? 0.5f : 0;
    bool is_repeat = out % in == 0;
    for (int64_t i = 0; i < out; i++) {
        float at = ((float)i + offset) * scale;
        position[i] = (int32_t)within((int64_t)(r->align ? roundf(at) : floorf(at)), in);
        is_repeat = is_repeat && position[i] == i / (out / in);
    }
    if (!is_repeat) return graph_gather(g, x, tflite_list(g, DT_i32, out, position), axis, 0);
    int64_t times[4] = {1, 1, 1, 1};
    times[axis] = out / in;
    return graph_node(g, OP_repeat, 1, &x, 1, (struct attr[]){ATTR_L("times", times, 4)});
}

static struct value *build_nearest(struct tflite_call *c)
{
    struct resize r;
    if (!read_resize(c, RESIZE_NEAREST_ALIGN, RESIZE_NEAREST_HALF, &r)) return NULL;
    return nearest_axis(c->graph, &r, nearest_axis(c->graph, &r, c->in[0], 1), 2);
}

const struct tflite_row tflite_resize_rows[] = {
    {TFL_RESIZE_BILINEAR, 2, build_bilinear, quant_bilinear},
    {TFL_RESIZE_NEAREST_NEIGHBOR, 2, build_nearest, build_nearest},
    {0},
};
