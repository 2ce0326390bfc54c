/* Transposed convolutions by the phases of their outputs.
 *
 *     y = conv(dilate(x, stride: s), w)
 *        ->   y[n, a*s + i.., o] += x[n, a + t.., c] * w'[i.., t.., c, o]
 *
 * A transposed convolution is imported as a convolution over its input with zeros put between the elements. Outputs
 * whose positions leave the same remainder i by the stride meet the same taps of the weight, and only those are
 * multiplied: output a*s + i takes element (a*s + i + k - pad)/s at every tap k that makes this whole. Taps that a
 * phase lacks are zeros in w'. No zeros are stored and no atomic additions are needed. (Dumoulin and Visin, A guide to
 * convolution arithmetic for deep learning, 2016, section 4.)
 *
 * Needs: constant f32 weights; stride 1, dilation 1, no groups in the convolution over the dilated input. */
#include "phases.h"

enum { AXES = 2 };
struct axis {
    int64_t stride, taps, kernel, pad;
    int64_t before; /* elements in front of x that the first tap of some phase reads */
    dim blocks;     /* outputs / stride, rounded up */
};

/* The first tap of a phase, and the position it reads relative to a. */
static int64_t first_tap(const struct axis *axis, int64_t phase, int64_t *position)
{
    int64_t tap = ((axis->pad - phase) % axis->stride + axis->stride) % axis->stride;
    *position = floor_div(phase + tap - axis->pad, axis->stride);
    return tap;
}

static bool axis_find(struct graph *to, const struct phases_conv *conv, int i, struct axis *axis)
{
    *axis = (struct axis){.stride = conv->stride[i], .kernel = conv->w->type.dim[i + 2], .pad = conv->pad[i]};
    int64_t low = INT64_MAX, high = INT64_MIN;
    for (int64_t phase = 0; phase < axis->stride; phase++) {
        int64_t position, tap = first_tap(axis, phase, &position);
        if (tap >= axis->kernel) continue; /* a phase of zeros */
        int64_t last = position + (axis->kernel - 1 - tap) / axis->stride;
        if (position < low) low = position;
        if (last > high) high = last;
    }
    if (low > 0 || low > high) return false;
    axis->before = -low;
    axis->taps = high - low + 1;
    axis->blocks = dim_ceil_div(to->dims, conv->size[i], axis->stride);
    return true;
}

/* w'[o/block, i.., t.., c, block] */
static struct value *pack_phases(struct graph *to, const struct phases_conv *conv, const struct axis *axis)
{
    const struct tensor *w = value_const(conv->w);
    int64_t n_out = w->type.dim[0], n_in = w->type.dim[1], spatial = 1, phases = 1, taps = 1;
    for (int i = 0; i < conv->n; i++) spatial *= axis[i].kernel, phases *= axis[i].stride, taps *= axis[i].taps;
    int64_t count = n_out * phases * taps * n_in;
    struct tensor *tensor = NEW(to->session, struct tensor);
    *tensor = (struct tensor){.type = {.dt = DT_f32}, .n_bytes = count * (int64_t)sizeof(float)};
    float *data = arena_array(to->session, (size_t)count, sizeof *data);
    for (int64_t at = 0; at < count; at++) {
        int64_t block = at % conv->block, c = at / conv->block % n_in, rest = at / conv->block / n_in, k = 0, scale = 1;
        int64_t tap = rest % taps, phase = rest / taps % phases, o = rest / taps / phases * conv->block + block;
        bool reads = true;
        for (int i = conv->n - 1; i >= 0; i--) {
            int64_t position, first = first_tap(&axis[i], phase % axis[i].stride, &position);
            int64_t here = first + (tap % axis[i].taps - axis[i].before - position) * axis[i].stride;
            reads &= here >= first && here < axis[i].kernel;
            k += here * scale;
            scale *= axis[i].kernel;
            tap /= axis[i].taps;
            phase /= axis[i].stride;
        }
        data[at] = reads ? ((const float *)w->data)[(o * n_in + c) * spatial + k] : 0;
    }
    struct type *type = &tensor->type;
    type->dim[type->rank++] = n_out / conv->block;
    for (int i = 0; i < conv->n; i++) type->dim[type->rank++] = axis[i].stride;
    for (int i = 0; i < conv->n; i++) type->dim[type->rank++] = axis[i].taps;
    type->dim[type->rank++] = n_in;
    type->dim[type->rank++] = conv->block;
    tensor->data = data;
    return graph_const(to, tensor);
}

static const char *meaning_text(struct graph *to, const struct phases_conv *conv, const struct axis *axis)
{
    struct text text = {.arena = to->arena};
    text_add(&text, "y[n");
    for (int i = 0; i < conv->n; i++) text_printf(&text, ", a%d*%lld + i%d", i, (long long)axis[i].stride, i);
    text_printf(&text, ", k*%lld + o] += x[n", (long long)conv->block);
    for (int i = 0; i < conv->n; i++) text_printf(&text, ", a%d + t%d", i, i);
    text_add(&text, ", c] * w[k");
    for (int i = 0; i < conv->n; i++) text_printf(&text, ", i%d", i);
    for (int i = 0; i < conv->n; i++) text_printf(&text, ", t%d", i);
    text_add(&text, ", c, o] where ");
    for (int i = 0; i < conv->n; i++) text_printf(&text, "%sa%d < BLOCKS%d", i ? ", " : "", i, i);
    return text_string(&text);
}

struct value *phases_build(struct graph *to, const struct phases_conv *conv)
{
    struct axis axis[AXES];
    const struct type *x = &conv->x->type, *wt = &conv->w->type;
    int64_t before[AXES + 2] = {0}, after[AXES + 2] = {0};
    if (conv->n > AXES || wt->dt != DT_f32 || !value_const(conv->w)) return NULL;
    for (int i = 0; i < conv->n; i++) {
        if (!dim_is_const(conv->stride[i]) || conv->stride[i] < 1 || conv->stride[i] > 16) return NULL;
        if (!axis_find(to, conv, i, &axis[i])) return NULL;
        dim needed = dim_add(to->dims, axis[i].blocks, axis[i].taps - 1);
        dim more = dim_sub(to->dims, dim_sub(to->dims, needed, x->dim[i + 1]), axis[i].before);
        if (!dim_is_const(more)) return NULL;
        before[i + 1] = axis[i].before;
        after[i + 1] = more > 0 ? more : 0;
    }
    struct value *in[] = {conv->x, graph_scalar(to, DT_f32, 0)};
    struct attr pads[] = {ATTR_L("before", before, conv->n + 2), ATTR_L("after", after, conv->n + 2)};
    struct value *operands[] = {graph_node(to, OP_pad, 2, in, 2, pads), pack_phases(to, conv, axis)};
    struct attr attrs[] = {ATTR_S("meaning", meaning_text(to, conv, axis)), ATTR_I("blocks0", axis[0].blocks),
                           ATTR_I("blocks1", axis[conv->n - 1].blocks)};
    struct value *y = graph_node(to, OP_index, 2, operands, 1 + conv->n, attrs);
    if (!y) return NULL;
    dim start[AXES + 2] = {0}, size[AXES + 2];
    int64_t step[AXES + 2];
    for (int i = 0; i < conv->n + 2; i++) {
        size[i] = i > 0 && i <= conv->n ? conv->size[i - 1] : y->type.dim[i];
        step[i] = 1;
    }
    return graph_slice(to, y, start, step, size);
}
