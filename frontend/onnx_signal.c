/* Fourier transforms and windows.
 *
 * A transform of a known length is a product with matrices of cosines and sines, made here in double precision.
 */
#include "onnx_build.h"

#include <math.h>
#include <string.h>

enum { LENGTH_MOST = 8192 };
static const double turn = 6.283185307179586476925286766559;

static struct value *doubles(struct graph *g, enum dtype dt, double *data, int rank, const dim *dims)
{
    struct type type = {.dt = DT_f64, .rank = rank};
    for (int i = 0; i < rank; i++) type.dim[i] = dims[i];
    return graph_cast(g, graph_data(g, &type, data), dt);
}

/* [n_in, n_out]: factor * cos or sin of 2 pi k n / length; onesided: rows of an inverse transform that stand for two
 * frequencies count twice. */
static struct value *table(struct graph *g, enum dtype dt, int64_t length, int64_t n_in, int64_t n_out, bool is_sine,
                           double factor, bool doubles_rows)
{
    double *data = NEW_ARRAY(g->session, double, n_in *n_out);
    for (int64_t n = 0; n < n_in; n++)
        for (int64_t k = 0; k < n_out; k++) {
            double angle = turn * (double)(n * k % length) / (double)length;
            bool is_single = n == 0 || 2 * n == length;
            data[n * n_out + k] = (is_sine ? sin(angle) : cos(angle)) * factor * (doubles_rows && !is_single ? 2 : 1);
        }
    return doubles(g, dt, data, 2, (dim[]){n_in, n_out});
}

struct transform {
    int64_t length;
    bool inverse, onesided;
};

/* x [.., n, .. , 1 or 2] along axis: cut or padded with zeros to what the transform reads. */
static struct value *transform_axis(struct onnx_call *c, struct value *x, int axis, const struct transform *t)
{
    struct graph *g = c->graph;
    int last = x->type.rank - 1;
    int64_t n_in = t->inverse && t->onesided ? t->length / 2 + 1 : t->length,
            n_out = t->onesided && !t->inverse ? t->length / 2 + 1 : t->length;
    if (t->length < 1 || t->length > LENGTH_MOST || !dim_is_const(x->type.dim[axis]) ||
        !dim_is_const(x->type.dim[last]))
        return onnx_refuse(c, "a transform of this length");
    bool is_complex = x->type.dim[last] == 2;
    if (x->type.dim[axis] > n_in) x = graph_slice_axis(g, x, axis, 0, n_in);
    dim before[RANK_MOST] = {0}, after[RANK_MOST] = {0};
    if (!x) return NULL;
    after[axis] = n_in - x->type.dim[axis];
    struct attr attrs[] = {ATTR_L("before", before, last + 1), ATTR_L("after", after, last + 1)};
    x = graph_node(g, OP_pad, 2, (struct value *[]){x, build_number(g, x, 0)}, 2, attrs);
    struct value *real = build_squeeze(g, x ? graph_slice_axis(g, x, last, 0, 1) : NULL, last);
    struct value *imaginary = is_complex ? build_squeeze(g, graph_slice_axis(g, x, last, 1, 1), last) : NULL;
    real = build_swap(g, real, axis, last - 1);
    imaginary = build_swap(g, imaginary, axis, last - 1);
    if (!real) return NULL;
    double factor = t->inverse ? 1 / (double)t->length : 1, sign = t->inverse ? 1 : -1;
    bool twice = t->inverse && t->onesided;
    struct value *cosine = table(g, real->type.dt, t->length, n_in, n_out, false, factor, twice);
    struct value *sine = table(g, real->type.dt, t->length, n_in, n_out, true, factor * sign, twice);
    struct value *re = graph_matmul(g, real, cosine), *im = graph_matmul(g, real, sine);
    if (imaginary) {
        re = build_sub(g, re, graph_matmul(g, imaginary, sine));
        im = build_add(g, im, graph_matmul(g, imaginary, cosine));
    }
    re = build_unsqueeze(g, build_swap(g, re, axis, last - 1), last);
    if (twice) return re;
    im = build_unsqueeze(g, build_swap(g, im, axis, last - 1), last);
    return graph_concat(g, 2, (struct value *[]){re, im}, last);
}

static struct value *build_dft(struct onnx_call *c)
{
    const int64_t *list;
    struct value *x = c->in[0];
    int axis, n = onnx_input_ints(c, 1, "dft_length", &list);
    struct transform t = {.length = n > 0 ? list[0] : 0,
                          .inverse = onnx_int(c, "inverse", 0) != 0,
                          .onesided = onnx_int(c, "onesided", 0) != 0};
    if (n < 0 || !x || x->type.rank < 2) return NULL;
    int64_t wanted = onnx_int(c, "axis", 1);
    if (c->version >= 20) {
        int n_axis = onnx_input_ints(c, 2, "axis", &list);
        if (n_axis < 0) return NULL;
        wanted = n_axis ? list[0] : -2;
    }
    if (!onnx_axis(c, wanted, x->type.rank, &axis)) return NULL;
    if (axis == x->type.rank - 1) return onnx_error(c, "axis %d is that of the real and imaginary part", axis);
    if (!dim_is_const(t.length) || !dim_is_const(x->type.dim[axis])) return onnx_refuse(c, "a dynamic length");
    if (n == 0) t.length = t.inverse && t.onesided ? 2 * (x->type.dim[axis] - 1) : x->type.dim[axis];
    return transform_axis(c, x, axis, &t);
}

static struct value *build_stft(struct onnx_call *c)
{
    const int64_t *hop, *length;
    struct graph *g = c->graph;
    struct value *x = c->in[0], *window = c->in[2];
    int n_hop = onnx_input_ints(c, 1, "frame_step", &hop), n_length = onnx_input_ints(c, 3, "frame_length", &length);
    if (n_hop < 0 || n_length < 0 || !x) return NULL;
    if (x->type.rank == 2) x = build_unsqueeze(g, x, 2);
    if (!x || x->type.rank != 3 || n_hop != 1 || hop[0] < 1) return onnx_error(c, "needs a signal and a frame step");
    dim frame = n_length ? length[0] : window ? window->type.dim[0] : x->type.dim[1];
    if (!dim_is_const(frame) || frame < 1 || frame > LENGTH_MOST || hop[0] > (1 << 30))
        return onnx_refuse(c, "frames of this length");
    dim frames = dim_add(g->dims, dim_div(g->dims, dim_sub(g->dims, x->type.dim[1], frame), hop[0]), 1);
    struct type type = {.dt = DT_i64, .rank = 2, .dim = {frames, frame}};
    struct value *at = graph_iota(g, &type, 0, 0, hop[0]);
    at = build_add(g, at, graph_iota(g, &type, 1, 0, 1));
    struct value *y = graph_gather(g, x, at, 1, 0); /* [batch, frames, frame, parts] */
    if (window) y = build_mul(g, y, build_unsqueeze(g, window, 1));
    struct transform t = {.length = frame, .onesided = onnx_int(c, "onesided", 1) != 0};
    return y ? transform_axis(c, y, 2, &t) : NULL;
}

/* a0 - a1 cos(2 pi n / N) + a2 cos(4 pi n / N) with N the size, less one where not periodic. */
static struct value *window(struct onnx_call *c, double a0, double a1, double a2)
{
    const int64_t *list;
    const char *name = "";
    enum dtype dt;
    struct graph *g = c->graph;
    int n = onnx_input_ints(c, 0, "size", &list);
    if (n < 0) return NULL;
    if (n != 1 || list[0] < 0 || list[0] > (1 << 24)) return onnx_error(c, "needs a size");
    if (!onnx_dtype((int32_t)onnx_int(c, "output_datatype", 1), &dt, &name))
        return onnx_refuse(c, "element type %s", name);
    double *data = NEW_ARRAY(g->session, double, list[0] + 1),
           over = (double)(onnx_int(c, "periodic", 1) ? list[0] : list[0] - 1);
    for (int64_t i = 0; i < list[0]; i++)
        data[i] = a0 - a1 * cos(turn * (double)i / over) + a2 * cos(2 * turn * (double)i / over);
    return doubles(g, dt, data, 1, list);
}
static struct value *build_hann(struct onnx_call *c)
{
    return window(c, 0.5, 0.5, 0);
}
static struct value *build_hamming(struct onnx_call *c)
{
    return window(c, 25.0 / 46, 21.0 / 46, 0);
}
static struct value *build_blackman(struct onnx_call *c)
{
    return window(c, 0.42, 0.5, 0.08);
}

const struct onnx_row onnx_signal_rows[] = {
    {"BlackmanWindow", 17, 0, 1, build_blackman},
    {"DFT", 17, 0, 1, build_dft},
    {"HammingWindow", 17, 0, 1, build_hamming},
    {"HannWindow", 17, 0, 1, build_hann},
    {"STFT", 17, 0, 2, build_stft},
    {NULL, 0, 0, 0, NULL},
};
