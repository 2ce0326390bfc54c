/* Operators that cut tensors and put something around them. */
#include "tflite_quant.h"

enum { SLICE_BEGIN_MASK, SLICE_END_MASK, SLICE_ELLIPSIS_MASK, SLICE_NEW_AXIS_MASK, SLICE_SHRINK_MASK, SLICE_OFFSET };

static struct value *build_slice(struct tflite_call *c)
{
    const int64_t *begin, *size;
    struct value *x = c->in[0];
    int64_t step[RANK_MOST];
    dim sizes[RANK_MOST];
    int n = tflite_ints(c, 1, "begin", &begin), m = n < 0 ? -1 : tflite_ints(c, 2, "size", &size);
    if (m < 0 || !tflite_keeps_scale(c)) return NULL;
    if (n != x->type.rank || m != n)
        return tflite_error(c, "%d starts and %d sizes for a tensor of rank %d", n, m, x->type.rank);
    for (int i = 0; i < n; i++) {
        dim extent = x->type.dim[i];
        step[i] = 1;
        sizes[i] = size[i] == -1 ? extent - begin[i] : size[i];
        if (begin[i] < 0 || begin[i] > extent || sizes[i] < 0 || sizes[i] > extent - begin[i])
            return tflite_error(c, "axis %d: %lld elements from %lld of %lld", i, (long long)sizes[i],
                                (long long)begin[i], (long long)extent);
    }
    return graph_slice(c->graph, x, begin, step, sizes);
}

static int64_t clamp(int64_t v, int64_t low, int64_t high)
{
    return v < low ? low : v > high ? high : v;
}

/* Axes that remain, with what of them: the result has those with a size, and 1 where an axis is new. */
struct strides {
    dim start[RANK_MOST], size[RANK_MOST];
    int64_t step[RANK_MOST];
    dim shape[RANK_MOST];
    int rank;   /* of the result */
    int n_axes; /* of x, met so far */
};

static bool cut_axis(struct tflite_call *c, struct strides *s, int i, const int64_t *begin, const int64_t *end,
                     const int64_t *step)
{
    int64_t bit = (int64_t)1 << i;
    bool shrinks = (tflite_option(c, SLICE_SHRINK_MASK, 4, 0) & bit) != 0, back = step[i] < 0;
    int axis = s->n_axes++;
    int64_t extent = c->in[0]->type.dim[axis], low = back ? -1 : 0, high = back ? extent - 1 : extent;
    if (step[i] == 0 || step[i] > 1 << 30 || step[i] < -(1 << 30))
        return tflite_error(c, "step %lld", (long long)step[i]);
    int64_t from = begin[i] < 0 ? begin[i] + extent : begin[i], to = end[i] < 0 ? end[i] + extent : end[i];
    if (tflite_option(c, SLICE_OFFSET, 1, 0)) to = from + end[i];
    if (shrinks && (from < 0 || from >= extent))
        return tflite_error(c, "element %lld of axis %d of %lld", (long long)begin[i], axis, (long long)extent);
    from = tflite_option(c, SLICE_BEGIN_MASK, 4, 0) & bit ? (back ? high : low) : clamp(from, low, high);
    to = tflite_option(c, SLICE_END_MASK, 4, 0) & bit ? (back ? low : high) : clamp(to, low, high);
    int64_t span = back ? from - to : to - from, stride = back ? -step[i] : step[i];
    s->start[axis] = from;
    s->step[axis] = shrinks ? 1 : step[i];
    s->size[axis] = shrinks ? 1 : span > 0 ? (span + stride - 1) / stride : 0;
    if (s->size[axis] == 0) s->start[axis] = 0;
    if (!shrinks) s->shape[s->rank++] = s->size[axis];
    return true;
}

static void keep_axis(struct tflite_call *c, struct strides *s)
{
    int axis = s->n_axes++;
    s->step[axis] = 1;
    s->size[axis] = s->shape[s->rank++] = c->in[0]->type.dim[axis];
}

static struct value *build_strided_slice(struct tflite_call *c)
{
    const int64_t *begin, *end, *step;
    struct strides s = {.rank = 0};
    struct value *x = c->in[0];
    int64_t ellipsis = tflite_option(c, SLICE_ELLIPSIS_MASK, 4, 0), added = tflite_option(c, SLICE_NEW_AXIS_MASK, 4, 0);
    int n = tflite_ints(c, 1, "begin", &begin), n_end = n < 0 ? -1 : tflite_ints(c, 2, "end", &end);
    int n_step = n_end < 0 ? -1 : tflite_ints(c, 3, "strides", &step), taken = 0;
    if (n_step < 0 || !tflite_keeps_scale(c)) return NULL;
    if (n != n_end || n != n_step || n > RANK_MOST) return tflite_error(c, "begin, end and strides differ in length");
    for (int i = 0; i < n; i++)
        if (!((ellipsis | added) >> i & 1)) taken++;
    if (taken > x->type.rank || ellipsis & (ellipsis - 1))
        return tflite_error(c, "%d axes of a tensor of rank %d", taken, x->type.rank);
    int left = x->type.rank - taken;
    for (int i = 0; i < n; i++) {
        if (ellipsis >> i & 1) {
            for (; left > 0 && s.rank < RANK_MOST; left--) keep_axis(c, &s);
        } else if (s.rank >= RANK_MOST) return tflite_error(c, "the result has a rank above 16");
        else if (added >> i & 1) s.shape[s.rank++] = 1;
        else if (!cut_axis(c, &s, i, begin, end, step)) return NULL;
    }
    while (s.n_axes < x->type.rank && s.rank < RANK_MOST) keep_axis(c, &s);
    if (s.n_axes < x->type.rank) return tflite_error(c, "the result has a rank above 16");
    return graph_reshape(c->graph, graph_slice(c->graph, x, s.start, s.step, s.size), s.rank, s.shape);
}

static struct value *split_into(struct tflite_call *c, struct value *x, int axis, const int64_t *sizes)
{
    int64_t from = 0, whole = x->type.dim[axis];
    for (int i = 0; i < c->n_out; i++) {
        if (sizes[i] < 0 || sizes[i] > whole - from)
            return tflite_error(c, "part %d takes %lld of axis %d, which has %lld", i, (long long)sizes[i], axis,
                                (long long)whole);
        c->out[i] = graph_slice_axis(c->graph, x, axis, from, sizes[i]);
        from += sizes[i];
    }
    return c->out[0];
}

/* The axis is the first input. */
static struct value *build_split(struct tflite_call *c)
{
    const int64_t *list;
    struct value *x = c->in[1];
    int axis, n = tflite_ints(c, 0, "axis", &list);
    if (n < 0) return NULL;
    if (n != 1) return tflite_error(c, "axis has %d elements", n);
    if (!tflite_axis(c, list[0], x->type.rank, &axis)) return NULL;
    if (x->type.dim[axis] % c->n_out)
        return tflite_error(c, "%d parts of axis %d of %lld", c->n_out, axis, (long long)x->type.dim[axis]);
    int64_t *sizes = NEW_ARRAY(c->graph->arena, int64_t, c->n_out);
    for (int i = 0; i < c->n_out; i++) sizes[i] = x->type.dim[axis] / c->n_out;
    return split_into(c, x, axis, sizes);
}

/* Sizes are the second input (one may be -1: the rest), the axis the third. */
static struct value *build_split_v(struct tflite_call *c)
{
    const int64_t *given, *list;
    struct value *x = c->in[0];
    int axis, n = tflite_ints(c, 1, "sizes", &given), m = n < 0 ? -1 : tflite_ints(c, 2, "axis", &list);
    if (m < 0) return NULL;
    if (n != c->n_out || m != 1) return tflite_error(c, "%d sizes for %d results", n, c->n_out);
    if (!tflite_axis(c, list[0], x->type.rank, &axis)) return NULL;
    int64_t *sizes = arena_copy(c->graph->arena, given, (size_t)n * sizeof *sizes), rest = x->type.dim[axis];
    for (int i = 0; i < n; i++)
        if (sizes[i] > 0) rest -= clamp(sizes[i], 0, rest);
    for (int i = 0; i < n; i++)
        if (sizes[i] == -1) sizes[i] = rest, rest = 0;
    return split_into(c, x, axis, sizes);
}

/* [rank, 2] numbers of elements before and behind. */
static bool read_pads(struct tflite_call *c, dim *before, dim *after)
{
    const int64_t *list;
    int n = tflite_ints(c, 1, "paddings", &list), rank = c->in[0]->type.rank;
    if (n < 0 || !tflite_keeps_scale(c)) return false;
    if (n != 2 * rank) return tflite_error(c, "%d paddings for a tensor of rank %d", n, rank);
    for (int i = 0; i < rank; i++) {
        before[i] = list[2 * i], after[i] = list[2 * i + 1];
        if (before[i] < 0 || after[i] < 0)
            return tflite_error(c, "padding %lld", (long long)(before[i] < 0 ? before[i] : after[i]));
    }
    return true;
}

static struct value *build_pad(struct tflite_call *c)
{
    dim before[RANK_MOST], after[RANK_MOST];
    struct value *x = c->in[0];
    if (!read_pads(c, before, after)) return NULL;
    const struct tflite_quant *quant = &c->in_tensor[0]->quant;
    struct value *fill = build_number(c->graph, x, quant->n ? (double)quant->zero[0] : 0);
    if (c->in[2]) fill = graph_reshape(c->graph, tflite_requantized(c, c->in_tensor[2], c->in[2]), 0, NULL);
    struct attr attrs[] = {ATTR_L("before", before, x->type.rank), ATTR_L("after", after, x->type.rank)};
    return graph_node(c->graph, OP_pad, 2, (struct value *[]){x, fill}, 2, attrs);
}

/* REFLECT leaves the border out of the mirror image, SYMMETRIC repeats it: reversed pieces beside x. */
static struct value *build_mirror_pad(struct tflite_call *c)
{
    dim before[RANK_MOST], after[RANK_MOST];
    struct value *y = c->in[0];
    if (!read_pads(c, before, after)) return NULL;
    int64_t skip = tflite_option(c, 0, 1, 0) == 0 ? 1 : 0;
    for (int i = 0; i < c->in[0]->type.rank && y; i++) {
        dim extent = y->type.dim[i];
        if (before[i] > extent - skip || after[i] > extent - skip)
            return tflite_error(c, "paddings %lld and %lld of axis %d of %lld", (long long)before[i],
                                (long long)after[i], i, (long long)extent);
        struct value *parts[3];
        int n = 0;
        if (before[i]) parts[n++] = build_reverse(c->graph, graph_slice_axis(c->graph, y, i, skip, before[i]), i);
        parts[n++] = y;
        if (after[i])
            parts[n++] =
                build_reverse(c->graph, graph_slice_axis(c->graph, y, i, extent - skip - after[i], after[i]), i);
        if (n > 1) y = graph_concat(c->graph, n, parts, i);
    }
    return y;
}

const struct tflite_row tflite_slice_rows[] = {
    {TFL_MIRROR_PAD, 2, build_mirror_pad, build_mirror_pad},
    {TFL_PAD, 2, build_pad, build_pad},
    {TFL_PADV2, 3, build_pad, build_pad},
    {TFL_SLICE, 3, build_slice, build_slice},
    {TFL_SPLIT, 2, build_split, build_split},
    {TFL_SPLIT_V, 3, build_split_v, build_split_v},
    {TFL_STRIDED_SLICE, 4, build_strided_slice, build_strided_slice},
    {0},
};
