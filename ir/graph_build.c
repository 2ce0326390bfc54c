/* Helpers over graph_node: constants, casts, index maps, reductions, NumPy's matmul. See graph.h. */
#include "graph.h"

#include <string.h>

static struct tensor *make_tensor(struct graph *graph, enum dtype dt, int rank, const dim *dims, const void *data, int64_t n_bytes)
{
    struct tensor *t = NEW(graph->session, struct tensor);
    t->type.dt = dt;
    t->type.rank = rank;
    for (int i = 0; i < rank; i++) t->type.dim[i] = dims[i];
    t->data = arena_copy(graph->session, data, (size_t)n_bytes);
    t->n_bytes = n_bytes;
    return t;
}

struct value *graph_scalar(struct graph *graph, enum dtype dt, double v)
{
    float f = (float)v;
    uint16_t half;
    switch (dt) {
    case DT_f64: return graph_const(graph, make_tensor(graph, dt, 0, NULL, &v, 8));
    case DT_f32: return graph_const(graph, make_tensor(graph, dt, 0, NULL, &f, 4));
    case DT_f16: half = f16_from_float(f); return graph_const(graph, make_tensor(graph, dt, 0, NULL, &half, 2));
    case DT_bf16: half = bf16_from_float(f); return graph_const(graph, make_tensor(graph, dt, 0, NULL, &half, 2));
    case DT_i8: case DT_i16: case DT_i32: case DT_i64: case DT_u8: case DT_u16: case DT_u32: case DT_bool:
        return graph_int(graph, dt, v != v ? 0 : v >= 0x1p63 ? INT64_MAX : v <= -0x1p63 ? INT64_MIN : (int64_t)v);
    case DT_u64: return graph_int(graph, dt, !(v > 0) ? 0 : v >= 0x1p64 ? -1 : (int64_t)(uint64_t)v);
    case DT_index:
    case DT_COUNT: break;
    }
    bug("graph_scalar", "type %d", (int)dt);
}

struct value *graph_int(struct graph *graph, enum dtype dt, int64_t v)
{
    if (!dim_is_const(v)) {
        struct value *x = graph_dims(graph, 1, &v);
        return graph_reshape(graph, graph_cast(graph, x, dt), 0, NULL);
    }
    if (dtype_is_float(dt)) return graph_scalar(graph, dt, (double)v);
    return graph_const(graph, make_tensor(graph, dt, 0, NULL, &v, dtype_bytes(dt))); /* little-endian */
}

struct value *graph_dims(struct graph *graph, int n, const dim *dims)
{
    dim length = n;
    struct tensor *t = make_tensor(graph, DT_i64, 1, &length, dims, (int64_t)n * 8);
    for (int i = 0; i < n; i++) t->is_dims |= !dim_is_const(dims[i]);
    return graph_const(graph, t);
}

struct value *graph_data(struct graph *graph, const struct type *type, const void *data)
{
    struct tensor *t = NEW(graph->session, struct tensor);
    *t = (struct tensor){.type = *type, .data = data, .n_bytes = type_count(type) * dtype_bytes(type->dt)};
    return graph_const(graph, t);
}

struct value *value_before_spreading(const struct value *value)
{
    while (value->node->op == OP_broadcast || value->node->op == OP_reshape) value = value->node->in[0];
    return &value->node->out[value - value->node->out]; /* itself, which a graph may go on from */
}

int value_ints(struct graph *graph, const struct value *value, const int64_t **list)
{
    const struct tensor *t = value_const(value);
    if (!t || dtype_is_float(t->type.dt)) return -1;
    int64_t n = type_count(&t->type), size = dtype_bytes(t->type.dt);
    if (n < 0 || n > (1 << 24)) return -1;
    if (t->is_dims) {
        *list = t->data;
        return (int)n;
    }
    int64_t *out = NEW_ARRAY(graph->arena, int64_t, n + 1);
    bool is_signed = dtype_class(t->type.dt) == DT_SIGNED;
    for (int64_t i = 0; i < n; i++) {
        uint64_t v = 0;
        memcpy(&v, (const char *)t->data + i * size, (size_t)size);
        if (is_signed && size < 8 && (v >> (8 * size - 1))) v |= ~(uint64_t)0 << (8 * size);
        out[i] = (int64_t)v < DIM_SYMBOLIC ? DIM_SYMBOLIC : (int64_t)v; /* never taken for a handle */
    }
    *list = out;
    return (int)n;
}

bool value_number(const struct value *value, double *number)
{
    const struct tensor *t = value_const(value);
    if (!t || type_count(&t->type) != 1 || t->is_dims) return false;
    float f;
    uint16_t half;
    if (t->type.dt == DT_f64) memcpy(number, t->data, 8);
    else if (t->type.dt == DT_f32) memcpy(&f, t->data, 4), *number = (double)f;
    else if (dtype_is_float(t->type.dt)) {
        memcpy(&half, t->data, 2);
        *number = (double)(t->type.dt == DT_f16 ? f16_to_float(half) : bf16_to_float(half));
    } else {
        int64_t v = 0, size = dtype_bytes(t->type.dt);
        memcpy(&v, t->data, (size_t)size);
        if (dtype_class(t->type.dt) == DT_SIGNED && size < 8 && ((uint64_t)v >> (8 * size - 1)))
            v = (int64_t)((uint64_t)v | ~(uint64_t)0 << (8 * size));
        *number = t->type.dt == DT_u64 ? (double)(uint64_t)v : (double)v;
    }
    return true;
}

struct value *graph_unary(struct graph *graph, enum op op, struct value *x)
{
    return graph_node(graph, op, 1, &x, 0, NULL);
}

struct value *graph_binary(struct graph *graph, enum op op, struct value *x, struct value *z)
{
    return graph_node(graph, op, 2, (struct value *[]){x, z}, 0, NULL);
}

struct value *graph_select(struct graph *graph, struct value *c, struct value *x, struct value *z)
{
    return graph_node(graph, OP_select, 3, (struct value *[]){c, x, z}, 0, NULL);
}

struct value *graph_cast(struct graph *graph, struct value *x, enum dtype dt)
{
    if (!x || x->type.dt == dt) return x;
    return graph_node(graph, OP_cast, 1, &x, 1, (struct attr[]){ATTR_S("to", dtype_name(dt))});
}

struct value *graph_bitcast(struct graph *graph, struct value *x, enum dtype dt)
{
    if (!x || x->type.dt == dt) return x;
    return graph_node(graph, OP_bitcast, 1, &x, 1, (struct attr[]){ATTR_S("to", dtype_name(dt))});
}

struct value *graph_reshape(struct graph *graph, struct value *x, int rank, const dim *dims)
{
    static const dim none[1];
    return graph_node(graph, OP_reshape, 1, &x, 1, (struct attr[]){ATTR_L("shape", dims ? dims : none, rank)});
}

struct value *graph_transpose(struct graph *graph, struct value *x, const int64_t *perm)
{
    if (!x) return NULL;
    return graph_node(graph, OP_transpose, 1, &x, 1, (struct attr[]){ATTR_L("perm", perm, x->type.rank)});
}

struct value *graph_broadcast(struct graph *graph, struct value *x, int rank, const dim *dims)
{
    if (!x) return NULL;
    if (x->type.rank < rank) {
        dim ones[RANK_MOST];
        int more = rank - x->type.rank;
        for (int i = 0; i < rank; i++) ones[i] = i < more ? 1 : x->type.dim[i - more];
        x = graph_reshape(graph, x, rank, ones);
    }
    if (x && x->type.rank == rank && (rank == 0 || !memcmp(x->type.dim, dims, (size_t)rank * sizeof *dims))) return x;
    static const dim none[1];
    return graph_node(graph, OP_broadcast, 1, &x, 1, (struct attr[]){ATTR_L("shape", dims ? dims : none, rank)});
}

struct value *graph_slice(struct graph *graph, struct value *x, const dim *start, const int64_t *step, const dim *size)
{
    if (!x) return NULL;
    int n = x->type.rank;
    return graph_node(graph, OP_slice, 1, &x, 3, (struct attr[]){ATTR_L("start", start, n), ATTR_L("step", step, n), ATTR_L("size", size, n)});
}

struct value *graph_slice_axis(struct graph *graph, struct value *x, int axis, dim from, dim size)
{
    if (!x) return NULL;
    dim start[RANK_MOST], sizes[RANK_MOST];
    int64_t step[RANK_MOST];
    for (int i = 0; i < x->type.rank; i++) start[i] = 0, step[i] = 1, sizes[i] = x->type.dim[i];
    start[axis] = from;
    sizes[axis] = size;
    return graph_slice(graph, x, start, step, sizes);
}

struct value *graph_concat(struct graph *graph, int n, struct value *const *x, int axis)
{
    return graph_node(graph, OP_concat, n, x, 1, (struct attr[]){ATTR_I("axis", axis)});
}

struct value *graph_gather(struct graph *graph, struct value *x, struct value *idx, int axis, int batch)
{
    return graph_node(graph, OP_gather, 2, (struct value *[]){x, idx}, 2, (struct attr[]){ATTR_I("axis", axis), ATTR_I("batch", batch)});
}

struct value *graph_reduce(struct graph *graph, enum op op, struct value *x, int n, const int64_t *axes, bool keep)
{
    if (!x) return NULL;
    dim kept[RANK_MOST];
    int64_t sorted[RANK_MOST];
    int n_sorted = 0;
    for (int i = 0; i < x->type.rank; i++) {
        bool reduced = false;
        for (int k = 0; k < n; k++) reduced |= axes[k] == i;
        kept[i] = reduced ? 1 : x->type.dim[i];
        if (reduced) sorted[n_sorted++] = i;
    }
    int rank = x->type.rank;
    struct value *y = n ? graph_node(graph, op, 1, &x, 1, (struct attr[]){ATTR_L("axes", sorted, n_sorted)}) : x;
    return keep && y ? graph_reshape(graph, y, rank, kept) : y;
}

struct value *graph_iota(struct graph *graph, const struct type *type, int axis, int64_t first, int64_t step)
{
    return graph_node(graph, OP_iota, 0, NULL, 5,
                      (struct attr[]){ATTR_S("to", dtype_name(type->dt)), ATTR_L("shape", type->dim, type->rank),
                                      ATTR_I("axis", axis), ATTR_I("start", first), ATTR_I("step", step)});
}

struct value *graph_matmul(struct graph *graph, struct value *x, struct value *w)
{
    if (!x || !w) return NULL;
    int xr = x->type.rank, wr = w->type.rank;
    if (xr < 1 || wr < 1) {
        diag_error(graph->diag, graph->place, "matmul of a scalar");
        return NULL;
    }
    dim dims[RANK_MOST], out[RANK_MOST];
    if (xr == 1) x = graph_reshape(graph, x, 2, (dim[]){1, x->type.dim[0]});
    if (wr == 1) w = graph_reshape(graph, w, 2, (dim[]){w->type.dim[0], 1});
    if (!x || !w) return NULL;
    int rank = x->type.rank > w->type.rank ? x->type.rank : w->type.rank;
    for (int side = 0; side < 2; side++) { /* batch axes of each to those of the other */
        struct value **v = side ? &w : &x, *other = side ? x : w;
        for (int i = 0; i < rank - 2; i++) {
            int a = i - (rank - (*v)->type.rank), b = i - (rank - other->type.rank);
            dim mine = a < 0 ? 1 : (*v)->type.dim[a], theirs = b < 0 ? 1 : other->type.dim[b];
            dims[i] = mine == 1 ? theirs : mine;
        }
        for (int i = 0; i < 2; i++) dims[rank - 2 + i] = (*v)->type.dim[(*v)->type.rank - 2 + i];
        *v = graph_broadcast(graph, *v, rank, dims);
        if (!*v) return NULL;
    }
    struct value *y = graph_node(graph, OP_matmul, 2, (struct value *[]){x, w}, 0, NULL);
    if (!y || (xr > 1 && wr > 1)) return y;
    int n = 0;
    for (int i = 0; i < rank; i++)
        if (!(xr == 1 && i == rank - 2) && !(wr == 1 && i == rank - 1)) out[n++] = y->type.dim[i];
    return graph_reshape(graph, y, n, out);
}
