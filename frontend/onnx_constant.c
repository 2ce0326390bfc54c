/* Operators that make tensors: constants, fills, ranges, diagonals, windows of ones.
 */
#include "onnx_narrow.h"
#include "onnx_scope.h"

#include <math.h>
#include <string.h>

static struct value *data_list(struct onnx_call *c, enum dtype dt, const void *data, int n, int rank)
{
    const void *copy = arena_copy(c->graph->session, data, (size_t)(n * dtype_bytes(dt)));
    return graph_data(c->graph, &(struct type){.dt = dt, .rank = rank, .dim = {n}}, copy);
}

static struct value *tensor_value(struct onnx_call *c, const Onnx__TensorProto *proto)
{
    struct onnx_source source = c->importer->source;
    struct tensor *t = NEW(c->graph->session, struct tensor);
    source.place = c->graph->place;
    c->narrow_out[0] = onnx_narrow(proto->data_type);
    return onnx_tensor(&source, proto, t) ? graph_const(c->graph, t) : NULL;
}

static struct value *build_constant(struct onnx_call *c)
{
    const Onnx__TensorProto *proto = onnx_tensor_attribute(c, "value");
    const int64_t *ints;
    const float *floats;
    if (proto) return tensor_value(c, proto);
    if (onnx_has(c, "value_float")) return graph_scalar(c->graph, DT_f32, onnx_float(c, "value_float", 0));
    if (onnx_raw_ints(c, "value_int", &ints) == 1) return data_list(c, DT_i64, ints, 1, 0);
    int n = onnx_floats(c, "value_floats", &floats);
    if (n >= 0) return data_list(c, DT_f32, floats, n, 1);
    n = onnx_raw_ints(c, "value_ints", &ints);
    if (n >= 0) return data_list(c, DT_i64, ints, n, 1);
    if (onnx_has(c, "value_string") || onnx_has(c, "value_strings")) return onnx_refuse(c, "strings");
    return onnx_refuse(c, onnx_has(c, "sparse_value") ? "sparse tensors" : "no value");
}

static struct value *build_constant_of_shape(struct onnx_call *c)
{
    const int64_t *list;
    dim dims[RANK_MOST];
    const Onnx__TensorProto *proto = onnx_tensor_attribute(c, "value");
    struct value *v = proto ? tensor_value(c, proto) : graph_scalar(c->graph, DT_f32, 0);
    int n = onnx_input_ints(c, 0, "shape", &list);
    if (n < 0 || !v) return NULL;
    if (n > RANK_MOST) return onnx_error(c, "a shape of rank %d", n);
    for (int i = 0; i < n; i++) {
        dims[i] = list[i];
        if (dim_is_const(list[i]) && list[i] < 0)
            return onnx_error(c, "shape element %d is %lld", i, (long long)list[i]);
    }
    return build_fill(c->graph, graph_reshape(c->graph, v, 0, NULL), n, dims);
}

static struct value *range_of_ints(struct onnx_call *c, enum dtype dt, const int64_t *part)
{
    struct graph *g = c->graph;
    if (!dim_is_const(part[2]) || part[2] == 0) return onnx_error(c, "delta is 0 or not known");
    dim span = part[2] > 0 ? dim_sub(g->dims, part[1], part[0]) : dim_sub(g->dims, part[0], part[1]);
    dim n = dim_max(g->dims, 0, dim_ceil_div(g->dims, span, part[2] > 0 ? part[2] : -part[2]));
    struct type type = {.dt = dt, .rank = 1, .dim = {n}};
    if (dim_is_const(part[0])) return graph_iota(g, &type, 0, part[0], part[2]);
    struct value *steps = graph_iota(g, &type, 0, 0, part[2]);
    return build_add(g, steps, build_extent_value(g, part[0], dt));
}

static struct value *build_range_of(struct onnx_call *c)
{
    struct graph *g = c->graph;
    int64_t part[3];
    double number[3];
    if (!c->in[0] || !c->in[1] || !c->in[2]) return onnx_error(c, "needs three inputs");
    enum dtype dt = c->in[0]->type.dt;
    for (int i = 0; i < 3; i++) {
        const int64_t *list;
        if (dtype_is_float(dt)) {
            if (!value_number(c->in[i], &number[i]))
                return onnx_must_know(c, i, i == 0 ? "start" : i == 1 ? "limit" : "delta");
        } else {
            int n = onnx_input_ints(c, i, i == 0 ? "start" : i == 1 ? "limit" : "delta", &list);
            if (n < 0) return NULL;
            if (n != 1) return onnx_error(c, "input %d has %d elements", i, n);
            part[i] = list[0];
        }
    }
    if (!dtype_is_float(dt)) return range_of_ints(c, dt, part);
    double n = ceil((number[1] - number[0]) / number[2]);
    if (!(n < 1e12) || number[2] == 0) return onnx_error(c, "a range of %g elements", n);
    struct value *y = build_range(g, dt, n < 0 ? 0 : (int64_t)n);
    return build_with(g, OP_add, build_with(g, OP_mul, y, number[2]), number[0]);
}

/* Row and column numbers of the last two axes. */
static struct value *grid(struct graph *g, const struct value *x, int axis)
{
    int rank = x->type.rank;
    struct type type = {.dt = DT_i64, .rank = 2, .dim = {x->type.dim[rank - 2], x->type.dim[rank - 1]}};
    return graph_iota(g, &type, axis, 0, 1);
}

static struct value *build_eye_like(struct onnx_call *c)
{
    struct graph *g = c->graph;
    struct value *x = c->in[0];
    const char *name;
    enum dtype dt;
    if (!x || x->type.rank != 2) return onnx_error(c, "needs a matrix");
    dt = x->type.dt;
    if (onnx_has(c, "dtype") && !onnx_dtype((int32_t)onnx_int(c, "dtype", 1), &dt, &name))
        return onnx_refuse(c, "element type %s", name);
    struct value *shifted = build_with(g, OP_add, grid(g, x, 0), (double)onnx_int(c, "k", 0));
    return graph_cast(g, build_eq(g, shifted, grid(g, x, 1)), dt);
}

static struct value *build_trilu(struct onnx_call *c)
{
    struct graph *g = c->graph;
    struct value *x = c->in[0];
    if (!x || x->type.rank < 2) return onnx_error(c, "needs rank 2 or more");
    struct value *k = c->in[1] ? graph_reshape(g, c->in[1], 0, NULL) : graph_int(g, DT_i64, 0);
    struct value *column = grid(g, x, 1), *row = grid(g, x, 0);
    struct value *off = build_sub(g, column, row); /* 0 on the diagonal, positive above */
    struct value *keep = onnx_int(c, "upper", 1) ? build_le(g, k, off) : build_le(g, off, k);
    return graph_select(g, keep, x, build_number(g, x, 0));
}

const struct onnx_row onnx_constant_rows[] = {
    {"Constant", 1, 0, 0, build_constant}, {"ConstantOfShape", 9, 0, 1, build_constant_of_shape},
    {"EyeLike", 9, 0, 1, build_eye_like},  {"Range", 11, 0, 3, build_range_of},
    {"Trilu", 14, 0, 1, build_trilu},      {NULL, 0, 0, 0, NULL},
};
