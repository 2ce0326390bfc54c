/* Operators that arrange a tensor's elements or make tensors from shapes.
 *
 * Shape arithmetic needs nothing special here: Shape gives a constant of dims, the builder folds what is done to it,
 * and Reshape, Expand, Slice and the like read it back with onnx_input_ints.
 */
#include "onnx_build.h"

#include <math.h>
#include <string.h>

static struct value *build_shape(struct onnx_call *c)
{
    struct value *x = c->in[0];
    if (!x) return onnx_error(c, "no input");
    int rank = x->type.rank;
    int64_t from = onnx_int(c, "start", 0), to = onnx_int(c, "end", rank);
    from = from < 0 ? from + rank : from;
    to = to < 0 ? to + rank : to;
    from = from < 0 ? 0 : from > rank ? rank : from;
    to = to < from ? from : to > rank ? rank : to;
    return graph_dims(c->graph, (int)(to - from), x->type.dim + from);
}

static struct value *build_size(struct onnx_call *c)
{
    if (!c->in[0]) return onnx_error(c, "no input");
    return build_extent_value(c->graph, type_elements(c->graph->dims, &c->in[0]->type), DT_i64);
}

/* The product of the dims except `skip`. */
static dim product(struct graph *g, int n, const dim *dims, int skip)
{
    dim p = 1;
    for (int i = 0; i < n; i++)
        if (i != skip) p = dim_mul(g->dims, p, dims[i]);
    return p;
}

static struct value *build_reshape(struct onnx_call *c)
{
    const int64_t *list;
    struct graph *g = c->graph;
    struct value *x = c->in[0];
    dim dims[RANK_MOST], elements;
    int n = onnx_input_ints(c, 1, "shape", &list), open = -1;
    if (n < 0) return NULL;
    if (n > RANK_MOST || !x) return onnx_error(c, "a shape of rank %d", n);
    for (int i = 0; i < n; i++) {
        dims[i] = list[i];
        if (list[i] == 0 && !onnx_int(c, "allowzero", 0)) {
            if (i >= x->type.rank)
                return onnx_error(c, "shape element %d is 0, the input has rank %d", i, x->type.rank);
            dims[i] = x->type.dim[i];
        }
        if (list[i] == -1 && open >= 0) return onnx_error(c, "the shape has two elements -1");
        if (list[i] == -1) open = i;
        else if (list[i] < -1 && dim_is_const(list[i]))
            return onnx_error(c, "shape element %d is %lld", i, (long long)list[i]);
    }
    elements = type_elements(g->dims, &x->type);
    if (open >= 0) {
        dim known = product(g, n, dims, open);
        dims[open] = 0;
        if (known != 0 && !dim_divides(g->dims, elements, known, &dims[open]))
            return onnx_error(c, "%s does not divide into the shape asked for",
                              type_string(g->dims, g->arena, &x->type));
    }
    struct type wanted = {.rank = n};
    memcpy(wanted.dim, dims, (size_t)n * sizeof *dims);
    dim after = type_elements(g->dims, &wanted), more;
    bool is_open = after != elements && !(dim_is_const(after) && dim_is_const(elements));
    if (is_open && n < RANK_MOST && dim_divides(g->dims, elements, after, &more) && !dim_is_const(more)) {
        /* Fine only where the factor too many is 1: then its first entry is all there is. */
        if (!onnx_assume_one(c, more, "the number of elements over that of the shape asked for")) return NULL;
        memmove(wanted.dim + 1, dims, (size_t)n * sizeof *dims);
        wanted.dim[0] = more;
        x = graph_slice_axis(g, graph_reshape(g, x, n + 1, wanted.dim), 0, 0, 1);
    }
    return graph_reshape(g, x, n, dims);
}

static struct value *build_flatten_of(struct onnx_call *c)
{
    struct value *x = c->in[0];
    int64_t axis = onnx_int(c, "axis", 1);
    if (!x) return onnx_error(c, "no input");
    if (axis < 0) axis += x->type.rank;
    if (axis < 0 || axis > x->type.rank)
        return onnx_error(c, "axis %lld of a tensor of rank %d", (long long)axis, x->type.rank);
    return build_flatten(c->graph, x, (int)axis);
}

static struct value *build_squeeze_of(struct onnx_call *c)
{
    const int64_t *list;
    struct value *x = c->in[0];
    dim dims[RANK_MOST];
    int rank = 0, n = onnx_ints_or_input(c, "axes", 1, &list);
    if (n < 0 || !x) return NULL;
    const int64_t *axes = onnx_axes(c, n, list, x->type.rank);
    if (!axes) return NULL;
    for (int i = 0; i < x->type.rank; i++) {
        bool drop = n == 0 && x->type.dim[i] == 1;
        for (int k = 0; k < n; k++) drop |= axes[k] == i;
        if (!drop) dims[rank++] = x->type.dim[i];
        else if (!dim_is_const(x->type.dim[i])) {
            const char *what = arena_printf(c->graph->arena, "axis %d of %s", i,
                                            type_string(c->graph->dims, c->graph->arena, &x->type));
            if (!onnx_assume_one(c, x->type.dim[i], what)) return NULL;
            x = graph_slice_axis(c->graph, x, i, 0, 1);
            if (!x) return NULL;
        } else if (x->type.dim[i] != 1)
            return onnx_error(c, "axis %d of %s is not 1", i, type_string(c->graph->dims, c->graph->arena, &x->type));
    }
    return graph_reshape(c->graph, x, rank, dims);
}

static struct value *build_unsqueeze_of(struct onnx_call *c)
{
    const int64_t *list;
    struct value *x = c->in[0];
    dim dims[RANK_MOST];
    int n = onnx_ints_or_input(c, "axes", 1, &list), from = 0;
    if (n < 0 || !x) return NULL;
    int rank = x->type.rank + n;
    if (rank > RANK_MOST) return onnx_error(c, "the result has rank %d, at most %d", rank, RANK_MOST);
    const int64_t *axes = onnx_axes(c, n, list, rank);
    if (!axes) return NULL;
    for (int i = 0; i < rank; i++) {
        bool is_new = false;
        for (int k = 0; k < n; k++) is_new |= axes[k] == i;
        dims[i] = is_new ? 1 : x->type.dim[from++];
    }
    return graph_reshape(c->graph, x, rank, dims);
}

static struct value *build_transpose(struct onnx_call *c)
{
    const int64_t *list;
    struct value *x = c->in[0];
    int64_t perm[RANK_MOST];
    if (!x) return onnx_error(c, "no input");
    int n = onnx_ints(c, "perm", &list), rank = x->type.rank;
    if (n >= 0 && n != rank) return onnx_error(c, "perm has %d elements, the input rank %d", n, rank);
    if (n >= 0 && !onnx_axes(c, n, list, rank)) return NULL;
    for (int i = 0; i < rank; i++) perm[i] = n < 0 ? rank - 1 - i : list[i] < 0 ? list[i] + rank : list[i];
    return graph_transpose(c->graph, x, perm);
}

static struct value *build_concat(struct onnx_call *c)
{
    int axis;
    if (c->n_in < 1 || !c->in[0]) return onnx_error(c, "no inputs");
    if (!onnx_axis(c, onnx_int(c, "axis", 0), c->in[0]->type.rank, &axis)) return NULL;
    onnx_assume_fit(c, axis);
    return c->n_in == 1 ? c->in[0] : graph_concat(c->graph, c->n_in, c->in, axis);
}

static struct value *build_split(struct onnx_call *c)
{
    const int64_t *list;
    struct graph *g = c->graph;
    struct value *x = c->in[0];
    int axis, n = onnx_ints_or_input(c, "split", 1, &list);
    if (n < 0 || !x || !onnx_axis(c, onnx_int(c, "axis", 0), x->type.rank, &axis)) return NULL;
    if (n > 0 && n != c->n_out) return onnx_error(c, "%d sizes for %d outputs", n, c->n_out);
    dim from = 0, whole = x->type.dim[axis], part = dim_ceil_div(g->dims, whole, c->n_out);
    for (int i = 0; i < c->n_out; i++) {
        dim rest = dim_sub(g->dims, whole, from), size = n > 0              ? list[i]
                                                         : i + 1 < c->n_out ? dim_min(g->dims, part, rest)
                                                                            : rest;
        c->out[i] = graph_slice_axis(g, x, axis, from, size);
        from = dim_add(g->dims, from, size);
    }
    if (from != whole)
        return onnx_error(c, "the sizes do not add up to axis %d of %s", axis,
                          type_string(g->dims, g->arena, &x->type));
    return c->out[0];
}

/* A start or end as NumPy counts it, clamped into low..high. */
static dim slice_bound(struct graph *g, dim at, dim extent, dim low, dim high)
{
    if (dim_is_const(at) && at <= -DIM_HUGE) return low;
    if (dim_is_const(at) && at >= DIM_HUGE / 2) return high;
    if (dim_hi(g->dims, at) < 0) at = dim_add(g->dims, at, extent);
    return dim_max(g->dims, low, dim_min(g->dims, at, high));
}

static bool slice_axis(struct onnx_call *c, dim extent, dim from, dim to, int64_t step, dim *start, dim *size)
{
    struct graph *g = c->graph;
    if (step == 0 || !dim_is_const(step)) return onnx_error(c, "step %lld", (long long)step), false;
    if (step < -(1 << 30) || step > 1 << 30) step = step < 0 ? -(1 << 30) : 1 << 30;
    if (step > 0) {
        *start = slice_bound(g, from, extent, 0, extent);
        to = slice_bound(g, to, extent, 0, extent);
        *size = dim_max(g->dims, 0, dim_ceil_div(g->dims, dim_sub(g->dims, to, *start), step));
        return true;
    }
    dim last = dim_sub(g->dims, extent, 1);
    *start = slice_bound(g, from, extent, 0, last);
    to = slice_bound(g, to, extent, -1, last);
    *size = dim_max(g->dims, 0, dim_ceil_div(g->dims, dim_sub(g->dims, *start, to), -step));
    return true;
}

static struct value *build_slice(struct onnx_call *c)
{
    const int64_t *starts, *ends, *axes = NULL, *steps = NULL;
    struct value *x = c->in[0];
    bool is_old = c->version < 10;
    dim start[RANK_MOST], size[RANK_MOST];
    int64_t step[RANK_MOST];
    if (!x) return onnx_error(c, "no input");
    int n = is_old ? onnx_ints(c, "starts", &starts) : onnx_input_ints(c, 1, "starts", &starts);
    int n_ends = is_old ? onnx_ints(c, "ends", &ends) : onnx_input_ints(c, 2, "ends", &ends);
    int n_axes = is_old ? onnx_ints(c, "axes", &axes) : onnx_input_ints(c, 3, "axes", &axes);
    int n_steps = is_old ? 0 : onnx_input_ints(c, 4, "steps", &steps);
    if (n < 0 || n_ends < 0 || (!is_old && n_axes < 0) || n_steps < 0) return NULL;
    if (n != n_ends || (axes && n != n_axes) || (steps && n != n_steps) || n > x->type.rank)
        return onnx_error(c, "starts, ends, axes and steps differ in length");
    const int64_t *known = axes ? onnx_axes(c, n, axes, x->type.rank) : build_axes_from(c->graph, 0, n);
    if (!known) return NULL;
    for (int i = 0; i < x->type.rank; i++) start[i] = 0, step[i] = 1, size[i] = x->type.dim[i];
    for (int i = 0; i < n; i++) {
        int64_t axis = known[i];
        step[axis] = steps ? steps[i] : 1;
        if (!slice_axis(c, x->type.dim[axis], starts[i], ends[i], step[axis], &start[axis], &size[axis])) return NULL;
    }
    return graph_slice(c->graph, x, start, step, size);
}

static struct value *build_expand(struct onnx_call *c)
{
    const int64_t *list;
    struct value *x = c->in[0];
    dim dims[RANK_MOST];
    int n = onnx_input_ints(c, 1, "shape", &list);
    if (n < 0 || !x) return NULL;
    if (n > RANK_MOST) return onnx_error(c, "a shape of rank %d", n);
    int rank = n > x->type.rank ? n : x->type.rank;
    for (int i = 0; i < rank; i++) {
        int a = i - (rank - x->type.rank), b = i - (rank - n);
        dim mine = a < 0 ? 1 : x->type.dim[a], wanted = b < 0 ? 1 : list[b];
        if (dim_is_const(wanted) && wanted < 0) return onnx_error(c, "shape element %d is %lld", b, (long long)wanted);
        dims[i] = wanted == 1 ? mine : wanted;
    }
    return graph_broadcast(c->graph, x, rank, dims);
}

static struct value *build_tile_of(struct onnx_call *c)
{
    const int64_t *list;
    int n = onnx_input_ints(c, 1, "repeats", &list);
    if (n < 0 || !c->in[0]) return NULL;
    if (n != c->in[0]->type.rank) return onnx_error(c, "%d repeats for a tensor of rank %d", n, c->in[0]->type.rank);
    for (int i = 0; i < n; i++)
        if (dim_is_const(list[i]) && list[i] < 0)
            return onnx_error(c, "repeats element %d is %lld", i, (long long)list[i]);
    struct value *y = build_tile(c->graph, c->in[0], list);
    return y ? y : onnx_refuse(c, "too many repeated axes");
}

/* Pads by numbers of either sign: negative ones cut. */
static struct value *pad_axes(struct onnx_call *c, struct value *x, struct value *fill, dim *before, dim *after)
{
    struct graph *g = c->graph;
    const char *mode = onnx_string(c, "mode", "constant");
    static const struct {
        const char *name;
        enum op op;
    } modes[] = {{"constant", OP_pad}, {"edge", OP_pad_edge}, {"reflect", OP_pad_reflect}, {"wrap", OP_pad_wrap}};
    dim start[RANK_MOST], size[RANK_MOST];
    int64_t step[RANK_MOST];
    unsigned k = 0;
    while (k < 4 && strcmp(modes[k].name, mode)) k++;
    if (k == 4) return onnx_error(c, "mode \"%s\"", mode);
    for (int i = 0; i < x->type.rank; i++) {
        dim cut = dim_is_const(before[i]) && before[i] < 0 ? -before[i] : 0,
            cut_end = dim_is_const(after[i]) && after[i] < 0 ? -after[i] : 0;
        start[i] = cut, step[i] = 1;
        size[i] = dim_sub(g->dims, x->type.dim[i], dim_add(g->dims, cut, cut_end));
        if (cut) before[i] = 0;
        if (cut_end) after[i] = 0;
    }
    x = graph_slice(g, x, start, step, size);
    if (!x) return NULL;
    struct attr attrs[] = {ATTR_L("before", before, x->type.rank), ATTR_L("after", after, x->type.rank)};
    return graph_node(g, modes[k].op, k == 0 ? 2 : 1, (struct value *[]){x, fill}, 2, attrs);
}

static struct value *build_pad(struct onnx_call *c)
{
    const int64_t *pads, *axes = NULL;
    struct graph *g = c->graph;
    struct value *x = c->in[0], *fill;
    dim before[RANK_MOST] = {0}, after[RANK_MOST] = {0};
    if (!x) return onnx_error(c, "no input");
    int n = c->version < 11 ? onnx_ints(c, "pads", &pads) : onnx_input_ints(c, 1, "pads", &pads);
    int n_axes = c->version < 18 ? 0 : onnx_input_ints(c, 3, "axes", &axes);
    if (n < 0 || n_axes < 0) return NULL;
    int many = axes ? n_axes : x->type.rank;
    if (n != 2 * many) return onnx_error(c, "%d pads for %d axes", n, many);
    const int64_t *known = axes ? onnx_axes(c, many, axes, x->type.rank) : build_axes_from(g, 0, many);
    if (!known) return NULL;
    for (int i = 0; i < many; i++) before[known[i]] = pads[i], after[known[i]] = pads[i + many];
    if (c->version < 11) fill = build_number(g, x, onnx_float(c, "value", 0));
    else fill = c->in[2] ? graph_reshape(g, c->in[2], 0, NULL) : build_number(g, x, 0);
    return pad_axes(c, x, fill, before, after);
}

static struct value *build_center_crop_pad(struct onnx_call *c)
{
    const int64_t *shape, *axes;
    struct graph *g = c->graph;
    struct value *x = c->in[0];
    dim start[RANK_MOST] = {0}, size[RANK_MOST], before[RANK_MOST] = {0}, after[RANK_MOST] = {0};
    int64_t step[RANK_MOST];
    int n = onnx_input_ints(c, 1, "shape", &shape), n_axes = onnx_ints(c, "axes", &axes);
    if (n < 0 || !x) return NULL;
    if (n != (n_axes < 0 ? x->type.rank : n_axes)) return onnx_error(c, "shape has %d elements", n);
    const int64_t *known = n_axes >= 0 ? onnx_axes(c, n, axes, x->type.rank) : build_axes_from(g, 0, n);
    if (!known) return NULL;
    for (int i = 0; i < x->type.rank; i++) step[i] = 1, size[i] = x->type.dim[i];
    for (int i = 0; i < n; i++) {
        int64_t axis = known[i];
        dim extent = x->type.dim[axis];
        if (!dim_is_const(extent) || !dim_is_const(shape[i])) return onnx_refuse(c, "dynamic dimensions");
        if (shape[i] < extent) start[axis] = (extent - shape[i]) / 2, size[axis] = shape[i];
        else before[axis] = (shape[i] - extent) / 2, after[axis] = shape[i] - extent - before[axis];
    }
    x = graph_slice(g, x, start, step, size);
    return x ? pad_axes(c, x, build_number(g, x, 0), before, after) : NULL;
}

static struct value *depth_space(struct onnx_call *c, int rank, const dim *split, const int64_t *perm,
                                 const dim *joined)
{
    struct graph *g = c->graph;
    return graph_reshape(g, graph_transpose(g, graph_reshape(g, c->in[0], rank, split), perm), 4, joined);
}
static struct value *build_depth_to_space(struct onnx_call *c)
{
    struct dims *s = c->graph->dims;
    int64_t b = onnx_int(c, "blocksize", 0);
    if (!c->in[0] || c->in[0]->type.rank != 4 || b < 1 || b > 1 << 20)
        return onnx_error(c, "blocksize %lld", (long long)b);
    const dim *d = c->in[0]->type.dim;
    dim depth = dim_div(s, d[1], b * b), joined[4] = {d[0], depth, dim_mul(s, d[2], b), dim_mul(s, d[3], b)};
    bool is_dcr = !strcmp(onnx_string(c, "mode", "DCR"), "DCR");
    if (is_dcr) return depth_space(c, 6, (dim[]){d[0], b, b, depth, d[2], d[3]}, (int64_t[]){0, 3, 4, 1, 5, 2}, joined);
    return depth_space(c, 6, (dim[]){d[0], depth, b, b, d[2], d[3]}, (int64_t[]){0, 1, 4, 2, 5, 3}, joined);
}
static struct value *build_space_to_depth(struct onnx_call *c)
{
    struct dims *s = c->graph->dims;
    int64_t b = onnx_int(c, "blocksize", 0);
    if (!c->in[0] || c->in[0]->type.rank != 4 || b < 1 || b > 1 << 20)
        return onnx_error(c, "blocksize %lld", (long long)b);
    const dim *d = c->in[0]->type.dim;
    dim h = dim_div(s, d[2], b), w = dim_div(s, d[3], b), split[6] = {d[0], d[1], h, b, w, b};
    dim joined[4] = {d[0], dim_mul(s, d[1], b * b), h, w};
    bool is_dcr = !strcmp(onnx_string(c, "mode", "DCR"), "DCR");
    return depth_space(c, 6, split, is_dcr ? (int64_t[]){0, 3, 5, 1, 2, 4} : (int64_t[]){0, 1, 3, 5, 2, 4}, joined);
}

const struct onnx_row onnx_shape_rows[] = {
    {"CenterCropPad", 18, 0, 2, build_center_crop_pad},
    {"Concat", 4, 0, 1, build_concat},
    {"DepthToSpace", 1, 0, 1, build_depth_to_space},
    {"Expand", 8, 0, 2, build_expand},
    {"Flatten", 1, 0, 1, build_flatten_of},
    {"Pad", 2, 0, 1, build_pad},
    {"Reshape", 5, 0, 2, build_reshape},
    {"Shape", 1, 0, 1, build_shape},
    {"Size", 1, 0, 1, build_size},
    {"Slice", 1, 0, 1, build_slice},
    {"SpaceToDepth", 1, 0, 1, build_space_to_depth},
    {"Split", 2, 0, 1, build_split},
    {"Squeeze", 1, 0, 1, build_squeeze_of},
    {"Tile", 6, 0, 2, build_tile_of},
    {"Transpose", 1, 0, 1, build_transpose},
    {"Unsqueeze", 1, 0, 1, build_unsqueeze_of},
    {NULL, 0, 0, 0, NULL},
};
