/* Gathering and scattering by index tensors.
 *
 * Negative indices count from the end; every operator here makes them non-negative first (index constants fold). N-d
 * forms become one-axis forms over flattened axes: an index tuple is turned into one row number.
 */
#include "onnx_build.h"

#include <string.h>

/* i64 indices along an axis of this extent, negative ones from its end. */
static struct value *wrap_index(struct graph *g, struct value *idx, dim extent)
{
    idx = graph_cast(g, idx, DT_i64);
    const int64_t *list;
    int n = idx ? value_ints(g, idx, &list) : -1, k = 0;
    while (k < n && dim_lo(g->dims, list[k]) >= 0) k++;
    if (n >= 0 && k == n) return idx;
    return build_where_below(g, idx, 0, build_add(g, idx, build_extent_value(g, extent, DT_i64)), idx);
}

static struct value *build_gather(struct onnx_call *c)
{
    struct value *x = c->in[0];
    int axis;
    if (!x || !c->in[1]) return onnx_error(c, "needs two inputs");
    if (!onnx_axis(c, onnx_int(c, "axis", 0), x->type.rank, &axis)) return NULL;
    return graph_gather(c->graph, x, wrap_index(c->graph, c->in[1], x->type.dim[axis]), axis, 0);
}

static struct value *build_gather_elements(struct onnx_call *c)
{
    struct value *x = c->in[0];
    int axis;
    if (!x || !c->in[1]) return onnx_error(c, "needs two inputs");
    if (!onnx_axis(c, onnx_int(c, "axis", 0), x->type.rank, &axis)) return NULL;
    struct value *in[2] = {x, wrap_index(c->graph, c->in[1], x->type.dim[axis])};
    return graph_node(c->graph, OP_gather_elements, 2, in, 1, (struct attr[]){ATTR_I("axis", axis)});
}

/* idx[..., k] holds positions along axes first .. first+k-1 of x: their row numbers [...] over these axes joined. */
static struct value *join_index(struct onnx_call *c, const struct value *x, struct value *idx, int first, int k)
{
    struct graph *g = c->graph;
    int last = idx->type.rank - 1;
    struct value *row = NULL;
    for (int i = 0; i < k; i++) {
        struct value *one = build_squeeze(g, graph_slice_axis(g, idx, last, i, 1), last);
        one = wrap_index(g, one, x->type.dim[first + i]);
        struct value *stride = build_extent_value(g, build_extent(g, x, first + i + 1, first + k), DT_i64);
        one = build_mul(g, one, stride);
        row = row ? build_add(g, row, one) : one;
    }
    return row;
}

/* The length of idx's last axis: how many axes of x (after `first`) it points into; -1 after a message. */
static int tuple_length(struct onnx_call *c, const struct value *x, const struct value *idx, int first)
{
    if (!x || !idx || idx->type.rank < 1) return onnx_error(c, "needs indices of rank 1 or more"), -1;
    dim k = idx->type.dim[idx->type.rank - 1];
    if (!dim_is_const(k) || k < 1 || k > x->type.rank - first)
        return onnx_error(c, "indices point into %lld axes of a tensor of rank %d", (long long)k, x->type.rank), -1;
    return (int)k;
}

static struct value *build_gather_nd(struct onnx_call *c)
{
    struct graph *g = c->graph;
    struct value *x = c->in[0], *idx = c->in[1];
    int64_t batch = onnx_int(c, "batch_dims", 0);
    if (!x || !idx || batch < 0 || batch >= idx->type.rank || batch >= x->type.rank)
        return onnx_error(c, "batch_dims %lld", (long long)batch);
    int b = (int)batch, k = tuple_length(c, x, idx, b), rank = 0;
    dim dims[RANK_MOST];
    if (k < 0) return NULL;
    for (int i = 0; i < b; i++) dims[rank++] = x->type.dim[i];
    dims[rank++] = build_extent(g, x, b, b + k);
    for (int i = b + k; i < x->type.rank; i++) dims[rank++] = x->type.dim[i];
    struct value *joined = graph_reshape(g, x, rank, dims);
    return graph_gather(g, joined, join_index(c, x, idx, b, k), b, b);
}

/* y = rows; y[idx[m]] mode= update[m], rows being x as [rows, width]. */
static struct value *scatter_rows(struct onnx_call *c, struct value *x, dim rows, dim width, struct value *idx,
                                  struct value *update)
{
    static const char *const modes[][2] = {
        {"none", "set"}, {"add", "add"}, {"mul", "mul"}, {"max", "max"}, {"min", "min"}};
    struct graph *g = c->graph;
    const char *mode = onnx_string(c, "reduction", "none");
    unsigned k = 0;
    while (k < 5 && strcmp(modes[k][0], mode)) k++;
    if (k == 5) return onnx_error(c, "reduction \"%s\"", mode);
    if (!x || !idx || !update) return NULL;
    dim many = type_elements(g->dims, &idx->type);
    struct value *in[3] = {graph_reshape(g, x, 2, (dim[]){rows, width}), graph_reshape(g, idx, 1, &many),
                           graph_reshape(g, update, 2, (dim[]){many, width})};
    struct value *y = graph_node(g, OP_scatter, 3, in, 1, (struct attr[]){ATTR_S("mode", modes[k][1])});
    return graph_reshape(g, y, x->type.rank, x->type.dim);
}

static struct value *build_scatter_nd(struct onnx_call *c)
{
    struct graph *g = c->graph;
    struct value *x = c->in[0], *idx = c->in[1];
    int k = tuple_length(c, x, idx, 0);
    if (k < 0) return NULL;
    return scatter_rows(c, x, build_extent(g, x, 0, k), build_extent(g, x, k, x->type.rank),
                        join_index(c, x, idx, 0, k), c->in[2]);
}

static struct value *build_scatter_elements(struct onnx_call *c)
{
    struct graph *g = c->graph;
    struct value *x = c->in[0], *idx = c->in[1], *row = NULL;
    int axis;
    if (!x || !idx || !c->in[2] || idx->type.rank != x->type.rank)
        return onnx_error(c, "data and indices differ in rank");
    if (!onnx_axis(c, onnx_int(c, "axis", 0), x->type.rank, &axis)) return NULL;
    struct type type = idx->type;
    type.dt = DT_i64;
    for (int i = 0; i < x->type.rank; i++) {
        struct value *at = i == axis ? wrap_index(g, idx, x->type.dim[i]) : graph_iota(g, &type, i, 0, 1);
        at = build_mul(g, at, build_extent_value(g, build_extent(g, x, i + 1, x->type.rank), DT_i64));
        row = row ? build_add(g, row, at) : at;
    }
    return scatter_rows(c, x, type_elements(g->dims, &x->type), 1, row, c->in[2]);
}

static struct value *build_one_hot(struct onnx_call *c)
{
    struct graph *g = c->graph;
    struct value *idx = c->in[0], *values = c->in[2];
    double depth;
    int axis;
    if (!idx || !c->in[1] || !values) return onnx_error(c, "needs three inputs");
    if (!value_number(c->in[1], &depth)) return onnx_must_know(c, 1, "depth");
    if (depth < 1 || depth > 1e12 || !onnx_axis(c, onnx_int(c, "axis", -1), idx->type.rank + 1, &axis))
        return onnx_error(c, "depth %g", depth);
    struct value *at = build_unsqueeze(g, wrap_index(g, idx, (dim)depth), axis);
    if (!at) return NULL;
    struct type type = at->type;
    type.dim[axis] = (dim)depth;
    struct value *off = graph_reshape(g, graph_slice_axis(g, values, 0, 0, 1), 0, NULL);
    struct value *on = graph_reshape(g, graph_slice_axis(g, values, 0, 1, 1), 0, NULL);
    return graph_select(g, build_eq(g, at, graph_iota(g, &type, axis, 0, 1)), on, off);
}

static struct value *build_reverse_sequence(struct onnx_call *c)
{
    struct graph *g = c->graph;
    struct value *x = c->in[0], *length = c->in[1];
    int64_t batch = onnx_int(c, "batch_axis", 1), time = onnx_int(c, "time_axis", 0);
    if (!x || !length || x->type.rank < 2 || batch + time != 1 || batch * time != 0)
        return onnx_error(c, "batch_axis %lld, time_axis %lld", (long long)batch, (long long)time);
    if (time == 0) x = build_swap(g, x, 0, 1);
    struct type type = {.dt = DT_i64, .rank = 2, .dim = {x->type.dim[0], x->type.dim[1]}};
    struct value *t = graph_iota(g, &type, 1, 0, 1), *n = build_unsqueeze(g, graph_cast(g, length, DT_i64), 1);
    struct value *mirrored = build_sub(g, build_with(g, OP_sub, n, 1), t);
    struct value *y = graph_gather(g, x, graph_select(g, build_lt(g, t, n), mirrored, t), 1, 1);
    return time == 0 ? build_swap(g, y, 0, 1) : y;
}

/* Only where the condition is known: the result's shape depends on it. */
static struct value *build_compress(struct onnx_call *c)
{
    const int64_t *keep;
    struct graph *g = c->graph;
    struct value *x = c->in[0];
    int axis = 0, n = onnx_input_ints(c, 1, "condition", &keep);
    if (n < 0 || !x) return NULL;
    if (onnx_has(c, "axis")) {
        if (!onnx_axis(c, onnx_int(c, "axis", 0), x->type.rank, &axis)) return NULL;
    } else {
        dim all = type_elements(g->dims, &x->type);
        x = graph_reshape(g, x, 1, &all);
    }
    int64_t *list = NEW_ARRAY(g->arena, int64_t, n + 1);
    int many = 0;
    for (int i = 0; i < n; i++)
        if (keep[i]) list[many++] = i;
    return graph_gather(g, x, graph_dims(g, many, list), axis, 0);
}

const struct onnx_row onnx_index_rows[] = {
    {"Compress", 9, 0, 2, build_compress},
    {"Gather", 1, 0, 2, build_gather},
    {"GatherElements", 11, 0, 2, build_gather_elements},
    {"GatherND", 11, 0, 2, build_gather_nd},
    {"OneHot", 9, 0, 3, build_one_hot},
    {"ReverseSequence", 10, 0, 2, build_reverse_sequence},
    {"Scatter", 9, 10, 3, build_scatter_elements},
    {"ScatterElements", 11, 0, 3, build_scatter_elements},
    {"ScatterND", 11, 0, 3, build_scatter_nd},
    {NULL, 0, 0, 0, NULL},
};
