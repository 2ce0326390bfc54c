/* Operators on quantized tensors that ONNX Runtime's tools write (domain com.microsoft), but for products.
 *
 * Each is dequantize -> ONNX's own operator -> quantize; the name of the one is QLinear before the name of the other, and
 * the attributes are the same. Weights of MatMulNBits are unpacked and dequantized here, in the graph, where they fold.
 */
#include "onnx_build.h"

#include <string.h>

enum { OPSET = 13 }; /* whose forms of operators have the attributes that the QLinear forms have */

/* Which operator of ONNX this call means. */
static const char *plain_name(const struct onnx_call *c)
{
    return c->node->op_type + strlen("QLinear");
}

/* The quantized tensor whose scale and zero point are the next inputs. */
static struct value *real_input(struct onnx_call *c, int i)
{
    return build_dequantized(c->graph, c->in[i], c->in[i + 1], c->in[i + 2]);
}

/* y quantized by inputs i and i + 1, by default to the type of x. */
static struct value *quantized_result(struct onnx_call *c, struct value *y, int i, const struct value *x)
{
    return x ? build_quantized(c->graph, y, c->in[i], c->in[i + 1], x->type.dt) : NULL;
}

static struct value *build_unary(struct onnx_call *c)
{
    if (onnx_int(c, "channels_last", 0)) return onnx_refuse(c, "channels_last");
    bool has_opset = onnx_has(c, "opset");
    struct value *x = real_input(c, 0);
    struct value *y = onnx_build_as(c, plain_name(c), has_opset ? (int)onnx_int(c, "opset", OPSET) : OPSET, 1, &x);
    return quantized_result(c, y, 3, c->in[0]);
}

static struct value *build_binary(struct onnx_call *c)
{
    struct value *in[] = {real_input(c, 0), real_input(c, 3)};
    return quantized_result(c, onnx_build_as(c, plain_name(c), OPSET, 2, in), 6, c->in[0]);
}

static struct value *build_where(struct onnx_call *c)
{
    struct value *in[] = {c->in[0], real_input(c, 1), real_input(c, 4)};
    return quantized_result(c, onnx_build_as(c, "Where", OPSET, 3, in), 7, c->in[1]);
}

static struct value *build_concat(struct onnx_call *c)
{
    int n = (c->n_in - 2) / 3;
    struct value **in = NEW_ARRAY(c->graph->arena, struct value *, n + 1);
    if (c->n_in != 2 + 3 * n) return onnx_error(c, "%d inputs: needs three for each tensor and two for the result", c->n_in);
    for (int i = 0; i < n; i++)
        if (!(in[i] = real_input(c, 2 + 3 * i))) return NULL;
    return quantized_result(c, onnx_build_as(c, "Concat", OPSET, n, in), 0, c->in[2]);
}

/* The same of a constant: a model's weights are too many for the interpreter, which folds the operators below. */
static struct value *unpack_constant(struct graph *g, const struct tensor *x, int64_t bits)
{
    struct type type = x->type;
    int64_t count = type_count(&type), each = 8 / bits;
    const uint8_t *from = x->data;
    uint8_t *to = arena_array(g->session, (size_t)(count * each), 1), mask = (uint8_t)((1 << bits) - 1);
    for (int64_t i = 0; i < count; i++)
        for (int64_t k = 0; k < each; k++) to[i * each + k] = (uint8_t)(from[i] >> k * bits) & mask;
    type.dim[type.rank - 1] *= each;
    return graph_data(g, &type, to);
}

/* Numbers of so many bits, the lowest first in each byte of the last axis, as u8. */
static struct value *unpack(struct graph *g, struct value *x, int64_t bits)
{
    const struct tensor *constant = value_const(x);
    if (constant && !constant->is_dims) return unpack_constant(g, constant, bits);
    struct value *parts[8], *y;
    dim dims[RANK_MOST];
    int n = (int)(8 / bits), last = x->type.rank - 1;
    for (int i = 0; i < n; i++) {
        parts[i] = build_with(g, OP_and, build_with(g, OP_shr, x, (double)(i * bits)), (double)((1 << bits) - 1));
        if (!(parts[i] = build_unsqueeze(g, parts[i], last + 1))) return NULL;
    }
    y = graph_node(g, OP_concat, n, parts, 1, (struct attr[]){ATTR_I("axis", last + 1)});
    for (int i = 0; i <= last; i++) dims[i] = x->type.dim[i];
    dims[last] = dim_mul(g->dims, dims[last], n);
    return graph_reshape(g, y, last + 1, dims);
}

struct packed { /* a weight of [n, k] in blocks along k */
    int64_t bits, block, n, k, blocks;
};

static bool read_packed(struct onnx_call *c, struct packed *p)
{
    *p = (struct packed){onnx_int(c, "bits", 4), onnx_int(c, "block_size", 0), onnx_int(c, "N", 0), onnx_int(c, "K", 0), 0};
    if (p->bits != 2 && p->bits != 4 && p->bits != 8) return onnx_refuse(c, "weights of %lld bits", (long long)p->bits), false;
    if (p->block < 8 || p->block > 1 << 20 || p->block % 8 || p->n < 1 || p->n > 1 << 30 || p->k < 1 || p->k > 1 << 30)
        return onnx_error(c, "block_size %lld, N %lld, K %lld", (long long)p->block, (long long)p->n, (long long)p->k), false;
    p->blocks = (p->k + p->block - 1) / p->block;
    const struct type *b = &c->in[1]->type;
    if (b->dt != DT_u8 || type_count(b) != p->n * p->blocks * (p->block * p->bits / 8))
        return onnx_input_error(c, 1, "%lld by %lld weights of %lld bits in blocks of %lld expected", (long long)p->n, (long long)p->k,
                                (long long)p->bits, (long long)p->block), false;
    if (type_count(&c->in[2]->type) != p->n * p->blocks)
        return onnx_input_error(c, 2, "%lld scales expected", (long long)(p->n * p->blocks)), false;
    return true;
}

/* Zero points [n, blocks, 1]: packed like the weights, or floats; half the range where there are none. */
static struct value *packed_zero(struct onnx_call *c, const struct packed *p)
{
    struct graph *g = c->graph;
    struct value *zero = c->in[3];
    dim dims[] = {p->n, p->blocks, 1};
    if (!zero) return graph_scalar(g, DT_u8, (double)(1 << (p->bits - 1)));
    int64_t row = dtype_is_float(zero->type.dt) ? p->blocks : (p->blocks * p->bits + 7) / 8;
    if (type_count(&zero->type) != p->n * row) return onnx_input_error(c, 3, "%lld zero points expected", (long long)(p->n * p->blocks));
    zero = graph_reshape(g, zero, 2, (dim[]){p->n, row});
    if (zero && zero->type.dt == DT_u8) zero = unpack(g, zero, p->bits);
    if (zero && zero->type.dim[1] != p->blocks) zero = graph_slice_axis(g, zero, 1, 0, p->blocks);
    return graph_reshape(g, zero, 3, dims);
}

static struct value *build_matmul_bits(struct onnx_call *c)
{
    struct graph *g = c->graph;
    struct packed p;
    if (c->in[4]) return onnx_refuse(c, "g_idx");
    if (!read_packed(c, &p)) return NULL;
    struct value *zero = packed_zero(c, &p), *scale = graph_reshape(g, c->in[2], 3, (dim[]){p.n, p.blocks, 1});
    struct value *w = graph_reshape(g, c->in[1], 3, (dim[]){p.n, p.blocks, p.block * p.bits / 8});
    w = w ? unpack(g, w, p.bits) : NULL;
    if (!w || !zero || !scale) return NULL;
    if (zero->type.dt == DT_u8) w = build_dequantized(g, w, scale, zero);
    else {
        w = graph_cast(g, w, scale->type.dt);
        w = build_mul(g, build_sub(g, w, graph_cast(g, zero, scale->type.dt)), scale);
    }
    w = graph_reshape(g, w, 2, (dim[]){p.n, p.blocks * p.block});
    if (w && w->type.dim[1] != p.k) w = graph_slice_axis(g, w, 1, 0, p.k);
    struct value *y = graph_matmul(g, c->in[0], graph_cast(g, build_swap(g, w, 0, 1), c->in[0]->type.dt));
    return c->in[5] ? build_add(g, y, c->in[5]) : y;
}

const struct onnx_row onnx_quant_contrib_rows[] = {
    {"com.microsoft.MatMulNBits", 1, 0, 3, build_matmul_bits},
    {"com.microsoft.QLinearAdd", 1, 0, 2, build_binary},
    {"com.microsoft.QLinearAveragePool", 1, 0, 2, build_unary},
    {"com.microsoft.QLinearConcat", 1, 0, 5, build_concat},
    {"com.microsoft.QLinearGlobalAveragePool", 1, 0, 5, build_unary},
    {"com.microsoft.QLinearLeakyRelu", 1, 0, 2, build_unary},
    {"com.microsoft.QLinearMul", 1, 0, 2, build_binary},
    {"com.microsoft.QLinearReduceMean", 1, 0, 2, build_unary},
    {"com.microsoft.QLinearSigmoid", 1, 0, 2, build_unary},
    {"com.microsoft.QLinearSoftmax", 1, 0, 2, build_unary},
    {"com.microsoft.QLinearWhere", 1, 0, 9, build_where},
    {NULL, 0, 0, 0, NULL},
};
