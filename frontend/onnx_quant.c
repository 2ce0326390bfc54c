/* Quantization: QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear over 8, 16 and 32 bit integers.
 *
 * A scale is one number, one per element of an axis, or one per block of elements along it.
 */
#include "onnx_narrow.h"

#include <float.h>
#include <string.h>

/* Scale or zero point (rank 0, 1, or that of x when blocked) spread so that it broadcasts against x. */
static struct value *spread(struct onnx_call *c, const struct value *x, struct value *p, int64_t block)
{
    struct graph *g = c->graph;
    int axis, rank = x->type.rank;
    dim dims[RANK_MOST + 1];
    if (!p || p->type.rank == 0) return p;
    if (p->type.rank == 1 && p->type.dim[0] == 1) return build_single(g, p);
    if (!onnx_axis(c, onnx_int(c, "axis", 1), rank, &axis)) return NULL;
    if (p->type.rank == 1 && block == 0) {
        if (p->type.dim[0] != x->type.dim[axis])
            return onnx_error(c, "%lld scales for axis %d of %s", (long long)p->type.dim[0], axis,
                              type_string(g->dims, g->arena, &x->type));
        return build_unsqueeze_end(g, p, rank - axis);
    }
    if (p->type.rank != rank || block < 1 || rank + 1 > RANK_MOST)
        return onnx_error(c, "a scale of rank %d", p->type.rank);
    p = build_unsqueeze(g, p, axis + 1);
    for (int i = 0; p && i <= rank; i++) dims[i] = i == axis + 1 ? block : p->type.dim[i];
    p = graph_broadcast(g, p, rank + 1, dims);
    if (!p) return NULL;
    dim whole = dim_mul(g->dims, dims[axis], block);
    for (int i = axis + 1; i < rank; i++) dims[i] = dims[i + 1];
    dims[axis] = whole;
    p = graph_reshape(g, p, rank, dims);
    return whole == x->type.dim[axis] ? p : graph_slice_axis(g, p, axis, 0, x->type.dim[axis]);
}

bool onnx_scale_is_positive(struct onnx_call *c, int input)
{
    const struct tensor *t = c->in[input] ? value_const(c->in[input]) : NULL;
    for (int64_t i = 0; t && !t->is_dims && t->type.dt == DT_f32 && i < type_count(&t->type); i++) {
        float scale;
        memcpy(&scale, (const char *)t->data + i * 4, sizeof scale);
        if (!(scale > 0 && scale <= FLT_MAX)) return onnx_input_error(c, input, "element %lld of the scale is %g, must be a positive number", (long long)i, (double)scale), false;
    }
    return true;
}

struct value *build_single(struct graph *g, struct value *x)
{
    return x && x->type.rank > 0 && type_count(&x->type) == 1 ? graph_reshape(g, x, 0, NULL) : x;
}

static struct value *node_of(struct graph *g, enum op op, struct value *x, struct value *scale, struct value *zero, enum dtype dt)
{
    struct value *in[] = {x, build_single(g, scale), zero ? build_single(g, zero) : graph_scalar(g, dt, 0)};
    return graph_node(g, op, 3, in, 0, NULL);
}

struct value *build_quantized(struct graph *g, struct value *x, struct value *scale, struct value *zero, enum dtype otherwise)
{
    return node_of(g, OP_quantize, x, scale, zero, otherwise);
}

struct value *build_dequantized(struct graph *g, struct value *x, struct value *scale, struct value *zero)
{
    return x ? node_of(g, OP_dequantize, x, scale, zero, x->type.dt) : NULL;
}

/* The type that the result is to have: that of the zero point, else output_dtype; *narrow where it is one of those. False
 * after a message. */
static bool result_type(struct onnx_call *c, struct value *zero, enum dtype *dt, const struct narrow **narrow)
{
    int32_t number = (int32_t)onnx_int(c, "output_dtype", 0);
    const char *name = "";
    *narrow = zero ? c->narrow_in[2] : NULL;
    if (zero) *dt = zero->type.dt;
    else if (number && !onnx_element(number, dt, narrow, &name)) return onnx_refuse(c, "element type %s", name) != NULL;
    return true;
}

/* The zero point of floats can only be 0; adding it makes -0 a 0, as ONNX's own code does for those of 4 bits. */
static struct value *quantize_to_float(struct onnx_call *c, const struct narrow *narrow, struct value *x, struct value *scale, struct value *zero)
{
    struct value *y = build_div(c->graph, x, scale);
    if (zero && narrow->bits < 8) y = build_add(c->graph, y, narrow_open(c->graph, narrow, zero));
    return narrow_close(c, narrow, y, onnx_int(c, "saturate", 1) != 0, "nearest");
}

static struct value *build_quantize(struct onnx_call *c)
{
    struct graph *g = c->graph;
    struct value *x = c->in[0], *scale = c->in[1], *zero = c->in[2];
    const struct narrow *narrow;
    enum dtype dt = DT_u8;
    int64_t block = onnx_int(c, "block_size", 0);
    if (!x || !scale) return onnx_error(c, "needs an input and a scale");
    if (!result_type(c, zero, &dt, &narrow)) return NULL;
    if (!dtype_is_int(dt) || dtype_bytes(dt) > 2) return onnx_refuse(c, "quantized type %s", dtype_name(dt));
    x = graph_cast(g, x, DT_f32);
    scale = graph_cast(g, spread(c, x, scale, block), DT_f32);
    c->narrow_out[0] = narrow;
    if (narrow && narrow_is_float(narrow)) return quantize_to_float(c, narrow, x, scale, spread(c, x, zero, block));
    struct value *y = build_quantized(g, x, scale, spread(c, x, zero, block), dt);
    return narrow ? narrow_limit(g, narrow, y) : y;
}

static struct value *build_dequantize(struct onnx_call *c)
{
    struct graph *g = c->graph;
    struct value *x = c->in[0], *scale = c->in[1], *zero = c->in[2];
    const char *name = "";
    int64_t block = onnx_int(c, "block_size", 0);
    if (!x || !scale) return onnx_error(c, "needs an input and a scale");
    if (block == 0 && !onnx_scale_is_positive(c, 1)) return NULL;
    enum dtype dt = scale->type.dt;
    const struct narrow *narrow = c->narrow_in[0];
    if (onnx_int(c, "output_dtype", 0) && !onnx_dtype((int32_t)onnx_int(c, "output_dtype", 0), &dt, &name))
        return onnx_refuse(c, "element type %s", name);
    if (narrow && narrow_is_float(narrow)) { /* their zero point can only be 0 */
        struct value *opened = narrow_open(g, narrow, x);
        return graph_cast(g, build_mul(g, opened, graph_cast(g, spread(c, x, scale, block), DT_f32)), dt);
    }
    struct value *scales = spread(c, x, scale, block);
    return graph_cast(g, build_dequantized(g, x, scales, spread(c, x, zero, block)), dt);
}

struct value *build_dynamically_quantized(struct graph *g, struct value *x, struct value **scale, struct value **zero)
{
    const int64_t *axes = build_axes_from(g, 0, x->type.rank);
    struct value *low = build_with(g, OP_min, graph_reduce(g, OP_reduce_min, x, x->type.rank, axes, false), 0);
    struct value *high = build_with(g, OP_max, graph_reduce(g, OP_reduce_max, x, x->type.rank, axes, false), 0);
    *scale = build_with(g, OP_div, build_sub(g, high, low), 255);
    *zero = graph_cast(g, build_round(g, build_clamp(g, build_neg(g, build_div(g, low, *scale)), 0, 255)), DT_u8);
    return build_quantized(g, x, *scale, *zero, DT_u8);
}

static struct value *build_dynamic_quantize(struct onnx_call *c)
{
    if (!c->in[0]) return onnx_error(c, "no input");
    return build_dynamically_quantized(c->graph, c->in[0], &c->out[1], &c->out[2]);
}

const struct onnx_row onnx_quant_rows[] = {
    {"com.microsoft.DequantizeLinear", 1, 0, 2, build_dequantize},
    {"com.microsoft.QuantizeLinear", 1, 0, 2, build_quantize},
    {"DequantizeLinear", 10, 0, 2, build_dequantize},
    {"DynamicQuantizeLinear", 11, 0, 1, build_dynamic_quantize},
    {"QuantizeLinear", 10, 0, 2, build_quantize},
    {NULL, 0, 0, 0, NULL},
};
