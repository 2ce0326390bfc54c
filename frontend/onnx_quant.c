/* Quantization: QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear over 8, 16 and 32 bit integers.
 *
 * A scale is one number, one per element of an axis, or one per block of elements along it.
 */
#include "onnx_build.h"

/* Scale or zero point (rank 0, 1, or that of x when blocked) spread so that it broadcasts against x. */
static struct value *spread(struct onnx_call *c, const struct value *x, struct value *p, int64_t block)
{
    struct graph *g = c->graph;
    int axis, rank = x->type.rank;
    dim dims[RANK_MOST + 1];
    if (!p || p->type.rank == 0) return p;
    if (p->type.rank == 1 && p->type.dim[0] == 1) return graph_reshape(g, p, 0, NULL);
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

static struct value *node_of(struct graph *g, enum op op, struct value *x, struct value *scale, struct value *zero, enum dtype dt)
{
    return graph_node(g, op, 3, (struct value *[]){x, scale, zero ? zero : graph_scalar(g, dt, 0)}, 0, NULL);
}

static struct value *build_quantize(struct onnx_call *c)
{
    struct graph *g = c->graph;
    struct value *x = c->in[0], *scale = c->in[1], *zero = c->in[2];
    const char *name = "";
    enum dtype dt = zero ? zero->type.dt : DT_u8;
    int64_t block = onnx_int(c, "block_size", 0);
    if (!x || !scale) return onnx_error(c, "needs an input and a scale");
    if (!zero && onnx_int(c, "output_dtype", 0) && !onnx_dtype((int32_t)onnx_int(c, "output_dtype", 0), &dt, &name))
        return onnx_refuse(c, "element type %s", name);
    if (!dtype_is_int(dt) || dtype_bytes(dt) > 2) return onnx_refuse(c, "quantized type %s", dtype_name(dt));
    return node_of(g, OP_quantize, graph_cast(g, x, DT_f32), graph_cast(g, spread(c, x, scale, block), DT_f32),
                   spread(c, x, zero, block), dt);
}

static struct value *build_dequantize(struct onnx_call *c)
{
    struct graph *g = c->graph;
    struct value *x = c->in[0], *scale = c->in[1], *zero = c->in[2];
    const char *name = "";
    int64_t block = onnx_int(c, "block_size", 0);
    if (!x || !scale) return onnx_error(c, "needs an input and a scale");
    enum dtype dt = scale->type.dt;
    if (onnx_int(c, "output_dtype", 0) && !onnx_dtype((int32_t)onnx_int(c, "output_dtype", 0), &dt, &name))
        return onnx_refuse(c, "element type %s", name);
    return graph_cast(g, node_of(g, OP_dequantize, x, spread(c, x, scale, block), spread(c, x, zero, block), x->type.dt), dt);
}

static struct value *build_dynamic_quantize(struct onnx_call *c)
{
    struct graph *g = c->graph;
    struct value *x = c->in[0];
    if (!x) return onnx_error(c, "no input");
    const int64_t *axes = build_axes_from(g, 0, x->type.rank);
    struct value *low = build_with(g, OP_min, graph_reduce(g, OP_reduce_min, x, x->type.rank, axes, false), 0);
    struct value *high = build_with(g, OP_max, graph_reduce(g, OP_reduce_max, x, x->type.rank, axes, false), 0);
    struct value *scale = build_with(g, OP_div, build_sub(g, high, low), 255);
    struct value *zero = build_round(g, build_clamp(g, build_neg(g, build_div(g, low, scale)), 0, 255));
    c->out[1] = scale;
    c->out[2] = zero = graph_cast(g, zero, DT_u8);
    return node_of(g, OP_quantize, x, scale, zero, DT_u8);
}

const struct onnx_row onnx_quant_rows[] = {
    {"DequantizeLinear", 10, 0, 2, build_dequantize},
    {"DynamicQuantizeLinear", 11, 0, 1, build_dynamic_quantize},
    {"QuantizeLinear", 10, 0, 2, build_quantize},
    {NULL, 0, 0, 0, NULL},
};
