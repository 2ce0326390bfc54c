/* Operators that arrange elements: shapes, joins, takes, blocks. Quantized tensors pass as the integers they are. */
#include "tflite_quant.h"

#include <string.h>

/* A shape with at most one -1, filled in by the number of elements. */
static struct value *reshape_to(struct tflite_call *c, int64_t n, const int64_t *list)
{
    int64_t known = 1, elements = type_count(&c->in[0]->type);
    dim dims[RANK_MOST];
    int open = -1;
    if (n > RANK_MOST) return tflite_error(c, "a shape of rank %lld", (long long)n);
    for (int i = 0; i < n; i++) {
        dims[i] = list[i];
        if (list[i] == -1 && open < 0) open = i;
        else if (list[i] < 0 || !size_mul(known, list[i], &known))
            return tflite_error(c, "shape element %d is %lld", i, (long long)list[i]);
    }
    if (open >= 0) {
        if (known == 0 ? elements != 0 : elements % known)
            return tflite_error(c, "%s does not divide into the shape asked for",
                                type_string(c->graph->dims, c->graph->arena, &c->in[0]->type));
        dims[open] = known == 0 ? 0 : elements / known;
    }
    return graph_reshape(c->graph, c->in[0], (int)n, dims);
}

/* The new shape stands in the second input, or in the options. */
static struct value *build_reshape(struct tflite_call *c)
{
    const int64_t *list;
    if (!tflite_keeps_scale(c)) return NULL;
    if (c->in[1]) {
        int n = tflite_ints(c, 1, "shape", &list);
        return n < 0 ? NULL : reshape_to(c, n, list);
    }
    struct flat_list shape;
    int64_t dims[RANK_MOST];
    if (!flat_list(&c->options, 0, 4, &shape)) return NULL;
    if (shape.n > RANK_MOST) return tflite_error(c, "a shape of rank %lld", (long long)shape.n);
    for (int i = 0; i < shape.n; i++) dims[i] = flat_element(&shape, i, 4);
    return reshape_to(c, shape.n, dims);
}

static struct value *build_squeeze_of(struct tflite_call *c)
{
    struct flat_list list;
    struct value *x = c->in[0];
    unsigned drop = 0;
    dim dims[RANK_MOST];
    int rank = 0, axis;
    if (!tflite_keeps_scale(c) || !flat_list(&c->options, 0, 4, &list)) return NULL;
    for (int64_t i = 0; i < list.n; i++) {
        if (!tflite_axis(c, flat_element(&list, i, 4), x->type.rank, &axis)) return NULL;
        if (x->type.dim[axis] != 1)
            return tflite_error(c, "axis %d of %s is not 1", axis,
                                type_string(c->graph->dims, c->graph->arena, &x->type));
        drop |= 1u << axis;
    }
    for (int i = 0; i < x->type.rank; i++)
        if (!(list.n ? drop & 1u << i : x->type.dim[i] == 1)) dims[rank++] = x->type.dim[i];
    return graph_reshape(c->graph, x, rank, dims);
}

static struct value *build_expand_dims(struct tflite_call *c)
{
    const int64_t *list;
    int axis, n = tflite_ints(c, 1, "axis", &list);
    if (n < 0 || !tflite_keeps_scale(c)) return NULL;
    if (n != 1 || c->in[0]->type.rank >= RANK_MOST) return tflite_error(c, "axis has %d elements", n);
    return tflite_axis(c, list[0], c->in[0]->type.rank + 1, &axis) ? build_unsqueeze(c->graph, c->in[0], axis) : NULL;
}

static struct value *build_transpose(struct tflite_call *c)
{
    const int64_t *perm;
    int rank = c->in[0]->type.rank, n = tflite_axes(c, 1, rank, &perm);
    if (n < 0 || !tflite_keeps_scale(c)) return NULL;
    return n == rank ? graph_transpose(c->graph, c->in[0], perm) : tflite_error(c, "perm is no order of %d axes", rank);
}

static struct value *join(struct tflite_call *c, int axis)
{
    return c->n_in == 1 ? c->in[0] : graph_concat(c->graph, c->n_in, c->in, axis);
}

static bool check_all_there(struct tflite_call *c)
{
    for (int i = 0; i < c->n_in; i++)
        if (!c->in[i]) return tflite_error(c, "input %d is absent", i);
    return true;
}

static struct value *build_concat(struct tflite_call *c)
{
    int axis;
    if (!check_all_there(c) || !tflite_axis(c, tflite_option(c, 0, 4, 0), c->in[0]->type.rank, &axis)) return NULL;
    return tflite_activate(c, 1, join(c, axis));
}

/* Parts of another scale are brought to the result's first. */
static struct value *quant_concat(struct tflite_call *c)
{
    int axis;
    if (!check_all_there(c) || !tflite_axis(c, tflite_option(c, 0, 4, 0), c->in[0]->type.rank, &axis)) return NULL;
    for (int i = 0; i < c->n_in; i++) c->in[i] = tflite_requantized(c, c->in_tensor[i], c->in[i]);
    return tflite_limit(c, join(c, axis), 1);
}

static struct value *build_pack(struct tflite_call *c)
{
    int axis;
    if (!check_all_there(c) || !tflite_keeps_scale(c)) return NULL;
    int rank = c->in[0]->type.rank;
    if (rank >= RANK_MOST) return tflite_error(c, "rank above 16");
    if (!tflite_axis(c, tflite_option(c, 1, 4, 0), rank + 1, &axis)) return NULL;
    for (int i = 0; i < c->n_in; i++) {
        if (c->in[i]->type.rank != rank) return tflite_error(c, "input %d has another rank", i);
        c->in[i] = build_unsqueeze(c->graph, c->in[i], axis);
    }
    return join(c, axis);
}

static struct value *build_unpack(struct tflite_call *c)
{
    int axis;
    struct value *x = c->in[0];
    if (!tflite_keeps_scale(c) || !tflite_axis(c, tflite_option(c, 1, 4, 0), x->type.rank, &axis)) return NULL;
    if (x->type.dim[axis] != c->n_out)
        return tflite_error(c, "%d results of an axis of %lld", c->n_out, (long long)x->type.dim[axis]);
    for (int i = 0; i < c->n_out; i++)
        c->out[i] = build_squeeze(c->graph, graph_slice_axis(c->graph, x, axis, i, 1), axis);
    return c->out[0];
}

/* Indices outside give 0; the reference kernels refuse them when they run. */
static struct value *build_gather(struct tflite_call *c)
{
    int axis, batch;
    struct value *x = c->in[0], *idx = c->in[1];
    if (!tflite_keeps_scale(c) || !tflite_axis(c, tflite_option(c, 0, 4, 0), x->type.rank, &axis)) return NULL;
    if (!tflite_axis(c, tflite_option(c, 1, 4, 0), idx->type.rank + 1, &batch)) return NULL;
    if (batch > axis) return tflite_error(c, "batch_dims %d, axis %d", batch, axis);
    return graph_gather(c->graph, x, idx, axis, batch);
}

/* The index is the first input of a lookup. */
static struct value *build_lookup(struct tflite_call *c)
{
    struct value *table = tflite_is_quantized(c->in_tensor[1]) && !tflite_is_quantized(c->out_tensor[0])
                              ? tflite_real(c, c->in_tensor[1], c->in[1])
                              : c->in[1];
    return graph_gather(c->graph, table, c->in[0], 0, 0);
}

static bool read_block(struct tflite_call *c, int64_t *block)
{
    if (!tflite_keeps_scale(c) || !tflite_ranged(c, 0, 4, "block_size", 1, 1 << 15, 0, block)) return false;
    return c->in[0]->type.rank == 4 || tflite_error(c, "needs an input of rank 4");
}

static struct value *regroup(struct tflite_call *c, const dim *split, const int64_t *perm, const dim *joined)
{
    struct graph *g = c->graph;
    return graph_reshape(g, graph_transpose(g, graph_reshape(g, c->in[0], 6, split), perm), 4, joined);
}

static struct value *build_depth_to_space(struct tflite_call *c)
{
    int64_t b;
    if (!read_block(c, &b)) return NULL;
    const dim *d = c->in[0]->type.dim;
    dim depth = d[3] / (b * b), joined[4] = {d[0], d[1] * b, d[2] * b, depth};
    return regroup(c, (dim[]){d[0], d[1], d[2], b, b, depth}, (int64_t[]){0, 1, 3, 2, 4, 5}, joined);
}

static struct value *build_space_to_depth(struct tflite_call *c)
{
    int64_t b;
    if (!read_block(c, &b)) return NULL;
    const dim *d = c->in[0]->type.dim;
    dim joined[4] = {d[0], d[1] / b, d[2] / b, d[3] * b * b};
    return regroup(c, (dim[]){d[0], d[1] / b, b, d[2] / b, b, d[3]}, (int64_t[]){0, 1, 3, 2, 4, 5}, joined);
}

static struct value *build_shape(struct tflite_call *c)
{
    const struct type *type = &c->in[0]->type;
    return graph_cast(c->graph, graph_dims(c->graph, type->rank, type->dim), c->out_tensor[0]->type.dt);
}

static struct value *build_rank(struct tflite_call *c)
{
    return graph_int(c->graph, DT_i32, c->in[0]->type.rank);
}

/* Sparse weights were made dense when they were read. */
static struct value *build_densify(struct tflite_call *c)
{
    return c->in[0];
}

static struct value *build_fill_of(struct tflite_call *c)
{
    const int64_t *list;
    int n = tflite_ints(c, 0, "dims", &list);
    if (n < 0) return NULL;
    for (int i = 0; i < n; i++)
        if (list[i] < 0) return tflite_error(c, "dims element %d is %lld", i, (long long)list[i]);
    if (n > RANK_MOST || c->in[1]->type.rank) return tflite_error(c, "a shape of rank %d", n);
    return build_fill(c->graph, c->in[1], n, list);
}

static struct value *build_broadcast_to(struct tflite_call *c)
{
    const int64_t *list;
    int n = tflite_ints(c, 1, "shape", &list);
    if (n < 0 || !tflite_keeps_scale(c)) return NULL;
    if (n > RANK_MOST) return tflite_error(c, "a shape of rank %d", n);
    return graph_broadcast(c->graph, c->in[0], n, list);
}

static struct value *build_tile_of(struct tflite_call *c)
{
    const int64_t *list;
    int n = tflite_ints(c, 1, "multiples", &list);
    if (n < 0 || !tflite_keeps_scale(c)) return NULL;
    if (n != c->in[0]->type.rank)
        return tflite_error(c, "%d multiples for a tensor of rank %d", n, c->in[0]->type.rank);
    for (int i = 0; i < n; i++)
        if (list[i] < 0) return tflite_error(c, "multiples element %d is %lld", i, (long long)list[i]);
    struct value *y = build_tile(c->graph, c->in[0], list);
    return y ? y : tflite_refuse(c, "too many repeated axes");
}

static struct value *build_reverse_of(struct tflite_call *c)
{
    const int64_t *axes;
    int n = tflite_axes(c, 1, c->in[0]->type.rank, &axes);
    struct value *y = c->in[0];
    for (int i = 0; i < n; i++) y = build_reverse(c->graph, y, (int)axes[i]);
    return n < 0 || !tflite_keeps_scale(c) ? NULL : y;
}

const struct tflite_row tflite_shape_rows[] = {
    {TFL_BROADCAST_TO, 2, build_broadcast_to, build_broadcast_to},
    {TFL_CONCATENATION, 1, build_concat, quant_concat},
    {TFL_DENSIFY, 1, build_densify, build_densify},
    {TFL_DEPTH_TO_SPACE, 1, build_depth_to_space, build_depth_to_space},
    {TFL_EMBEDDING_LOOKUP, 2, build_lookup, build_lookup},
    {TFL_EXPAND_DIMS, 2, build_expand_dims, build_expand_dims},
    {TFL_FILL, 2, build_fill_of, NULL},
    {TFL_GATHER, 2, build_gather, build_gather},
    {TFL_PACK, 1, build_pack, build_pack},
    {TFL_RANK, 1, build_rank, build_rank},
    {TFL_RESHAPE, 1, build_reshape, build_reshape},
    {TFL_REVERSE_V2, 2, build_reverse_of, build_reverse_of},
    {TFL_SHAPE, 1, build_shape, build_shape},
    {TFL_SPACE_TO_DEPTH, 1, build_space_to_depth, build_space_to_depth},
    {TFL_SQUEEZE, 1, build_squeeze_of, build_squeeze_of},
    {TFL_TILE, 2, build_tile_of, build_tile_of},
    {TFL_TRANSPOSE, 2, build_transpose, build_transpose},
    {TFL_UNPACK, 1, build_unpack, build_unpack},
    {0},
};
