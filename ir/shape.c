/* The shape rules: a node's result types from its inputs' types and attributes.
 *
 * One function per rule of op.h; each checks everything it relies on, in the user's shapes, so that a node that
 * exists is always meaningful. Attributes are read through the wants_* helpers, which complain once.
 */
#include "shape_inside.h"
#include "meaning.h"

#include <float.h>
#include <math.h>
#include <string.h>

const char *infer_name(const struct inference *inf)
{
    return op_row(inf->node->op)->name;
}

const char *infer_shown(const struct inference *inf, int input)
{
    return type_string(inf->graph->dims, inf->graph->arena, &inf->node->in[input]->type);
}

bool type_check(struct graph *graph, const struct type *type)
{
    for (int i = 0; i < type->rank; i++)
        if (dim_hi(graph->dims, type->dim[i]) < 0)
            return diag_error(graph->diag, graph->place, "axis %d of the result has the negative size %lld", i,
                              (long long)dim_hi(graph->dims, type->dim[i]));
    dim n = type_elements(graph->dims, type);
    if (dim_lo(graph->dims, n) > ELEMENTS_MOST)
        return diag_error(graph->diag, graph->place, "a tensor %s has too many elements",
                          type_string(graph->dims, graph->arena, type));
    return true;
}

bool wants_int(struct inference *inf, const char *name, int64_t lo, int64_t hi, int64_t *v)
{
    const struct attr *attr = node_attr(inf->node, name);
    if (!attr || attr->kind != ATTR_INT) return FAIL(inf, "%s needs the integer attribute %s", infer_name(inf), name);
    if (!dim_is_const(attr->i) || attr->i < lo || attr->i > hi)
        return FAIL(inf, "%s: %s is %lld, must be %lld to %lld", infer_name(inf), name, (long long)attr->i, (long long)lo, (long long)hi);
    *v = attr->i;
    return true;
}

bool wants_ints(struct inference *inf, const char *name, int n, const int64_t **list)
{
    const struct attr *attr = node_attr(inf->node, name);
    if (!attr || attr->kind != ATTR_INTS) return FAIL(inf, "%s needs the list attribute %s", infer_name(inf), name);
    if (n >= 0 && attr->n != n) return FAIL(inf, "%s: %s has %d entries, must have %d", infer_name(inf), name, attr->n, n);
    *list = attr->ints;
    return true;
}

bool wants_positive(struct inference *inf, const char *name, const int64_t *list, int n)
{
    for (int i = 0; i < n; i++)
        if (!dim_is_const(list[i]) || list[i] < 1 || list[i] > DIM_HUGE)
            return FAIL(inf, "%s: %s[%d] must be positive", infer_name(inf), name, i);
    return true;
}

static bool wants_dtype(struct inference *inf, enum dtype *dt)
{
    const struct attr *attr = node_attr(inf->node, "to");
    if (!attr || attr->kind != ATTR_STRING || !dtype_from_name(attr->s, dt))
        return FAIL(inf, "%s needs the attribute to, a type name", infer_name(inf));
    return true;
}

static bool wants_shape(struct inference *inf)
{
    const int64_t *list;
    const struct attr *attr = node_attr(inf->node, "shape");
    if (!wants_ints(inf, "shape", -1, &list)) return false;
    if (attr->n > RANK_MOST) return FAIL(inf, "rank %d is above %d", attr->n, RANK_MOST);
    inf->out->rank = attr->n;
    for (int i = 0; i < attr->n; i++) {
        inf->out->dim[i] = list[i];
        if (dim_hi(inf->graph->dims, list[i]) < 0) return FAIL(inf, "%s: size %lld at axis %d", infer_name(inf), (long long)list[i], i);
    }
    return true;
}

bool same_dtypes(struct inference *inf, int first, int n)
{
    for (int i = first + 1; i < n; i++)
        if (inf->node->in[i]->type.dt != inf->node->in[first]->type.dt)
            return FAIL(inf, "%s: element types differ: %s and %s", infer_name(inf), infer_shown(inf, first), infer_shown(inf, i));
    return true;
}

/* f16 and bf16 are computed with as f32: their bits are at hand only in memory. */
static bool same_bits(struct inference *inf)
{
    const enum dtype types[] = {inf->node->in[0]->type.dt, inf->out->dt};
    bool fits = dtype_bytes(types[0]) == dtype_bytes(types[1]);
    for (int i = 0; i < 2; i++) fits &= types[i] != DT_bool && dtype_compute(types[i]) == types[i];
    return fits || FAIL(inf, "bitcast of %s to %s: needs types of one size, no bool and no floats of 16 bits", infer_shown(inf, 0), dtype_name(types[1]));
}

static bool infer_map(struct inference *inf, enum shape_rule rule)
{
    enum dtype dt = inf->node->in[0]->type.dt;
    if (rule == SHAPE_select) {
        if (dt != DT_bool) return FAIL(inf, "select: the condition is %s, must be bool", infer_shown(inf, 0));
        *inf->out = inf->node->in[1]->type;
        return same_dtypes(inf, 1, 3);
    }
    *inf->out = inf->node->in[0]->type;
    if (rule == SHAPE_cast) return wants_dtype(inf, &inf->out->dt);
    if (rule == SHAPE_bitcast) return wants_dtype(inf, &inf->out->dt) && same_bits(inf);
    if (rule != SHAPE_first && !same_dtypes(inf, 0, inf->node->n_in)) return false;
    if (rule == SHAPE_compare) inf->out->dt = DT_bool;
    if (rule == SHAPE_wide && inf->out->dt != DT_i32) return FAIL(inf, "%s of %s: needs i32", infer_name(inf), infer_shown(inf, 0));
    if (rule == SHAPE_wide) inf->out->dt = DT_i64;
    if (rule == SHAPE_widen && dtype_compute(dt) == dt) return FAIL(inf, "%s of %s: needs f16 or bf16", infer_name(inf), infer_shown(inf, 0));
    if (rule == SHAPE_widen) inf->out->dt = DT_f32;
    if (rule == SHAPE_same && dt == DT_bool) return FAIL(inf, "%s of %s: needs numbers", infer_name(inf), infer_shown(inf, 0));
    if (rule == SHAPE_float && !dtype_is_float(dt)) return FAIL(inf, "%s of %s: needs a float type", infer_name(inf), infer_shown(inf, 0));
    if (rule == SHAPE_bool && dt != DT_bool) return FAIL(inf, "%s of %s: needs bool", infer_name(inf), infer_shown(inf, 0));
    if (rule == SHAPE_int && !dtype_is_int(dt)) return FAIL(inf, "%s of %s: needs integers", infer_name(inf), infer_shown(inf, 0));
    if (rule == SHAPE_bits && dtype_is_float(dt)) return FAIL(inf, "%s of %s: needs bool or integers", infer_name(inf), infer_shown(inf, 0));
    return true;
}

static bool infer_reshape(struct inference *inf)
{
    struct dims *dims = inf->graph->dims;
    inf->out->dt = inf->node->in[0]->type.dt;
    if (!wants_shape(inf)) return false;
    dim before = type_elements(dims, &inf->node->in[0]->type), after = type_elements(dims, inf->out);
    if (before != after)
        return FAIL(inf, "reshape of %s to %s: the numbers of elements differ", infer_shown(inf, 0), type_string(dims, inf->graph->arena, inf->out));
    return true;
}

static bool infer_transpose(struct inference *inf)
{
    const struct type *x = &inf->node->in[0]->type;
    const int64_t *perm;
    bool seen[RANK_MOST] = {false};
    if (!wants_ints(inf, "perm", x->rank, &perm)) return false;
    *inf->out = *x;
    for (int i = 0; i < x->rank; i++) {
        if (perm[i] < 0 || perm[i] >= x->rank || seen[perm[i]]) return FAIL(inf, "transpose: perm is no permutation of the axes of %s", infer_shown(inf, 0));
        seen[perm[i]] = true;
        inf->out->dim[i] = x->dim[perm[i]];
    }
    return true;
}

static bool infer_broadcast(struct inference *inf)
{
    const struct type *x = &inf->node->in[0]->type;
    inf->out->dt = x->dt;
    if (!wants_shape(inf)) return false;
    bool fits = inf->out->rank == x->rank;
    for (int i = 0; fits && i < x->rank; i++) fits = x->dim[i] == 1 || x->dim[i] == inf->out->dim[i];
    if (!fits) return FAIL(inf, "%s does not broadcast to %s", infer_shown(inf, 0), type_string(inf->graph->dims, inf->graph->arena, inf->out));
    return true;
}

static bool infer_slice(struct inference *inf)
{
    const struct type *x = &inf->node->in[0]->type;
    const int64_t *start, *step, *size;
    struct dims *dims = inf->graph->dims;
    if (!wants_ints(inf, "start", x->rank, &start) || !wants_ints(inf, "step", x->rank, &step) || !wants_ints(inf, "size", x->rank, &size)) return false;
    *inf->out = *x;
    for (int i = 0; i < x->rank; i++) {
        inf->out->dim[i] = size[i];
        if (step[i] == 0 || !dim_is_const(step[i])) return FAIL(inf, "slice: step[%d] must not be 0", i);
        if (dim_hi(dims, size[i]) < 0) return FAIL(inf, "slice: size[%d] is negative", i);
        if (dim_is_const(size[i]) && size[i] == 0) continue;
        dim last = dim_add(dims, start[i], dim_mul(dims, dim_sub(dims, size[i], 1), step[i]));
        dim low = step[i] > 0 ? start[i] : last, high = step[i] > 0 ? last : start[i];
        if (dim_hi(dims, low) < 0 || dim_lo(dims, dim_sub(dims, high, x->dim[i])) >= 0)
            return FAIL(inf, "slice of axis %d of %s goes outside it", i, infer_shown(inf, 0));
    }
    return true;
}

static bool infer_pad(struct inference *inf)
{
    const struct type *x = &inf->node->in[0]->type;
    const int64_t *before, *after;
    struct dims *dims = inf->graph->dims;
    if (!wants_ints(inf, "before", x->rank, &before) || !wants_ints(inf, "after", x->rank, &after)) return false;
    *inf->out = *x;
    for (int i = 0; i < x->rank; i++) {
        inf->out->dim[i] = dim_add(dims, x->dim[i], dim_add(dims, before[i], after[i]));
        bool grows = before[i] != 0 || after[i] != 0;
        if (inf->node->op != OP_pad && grows && dim_hi(dims, x->dim[i]) < 1) return FAIL(inf, "%s of %s: axis %d is empty", infer_name(inf), infer_shown(inf, 0), i);
    }
    if (inf->node->op == OP_pad && (inf->node->in[1]->type.rank != 0 || inf->node->in[1]->type.dt != x->dt))
        return FAIL(inf, "pad: the value must be %s[]", dtype_name(x->dt));
    return true;
}

static bool infer_dilate(struct inference *inf)
{
    const struct type *x = &inf->node->in[0]->type;
    const int64_t *stride;
    struct dims *dims = inf->graph->dims;
    if (!wants_ints(inf, "stride", x->rank, &stride) || !wants_positive(inf, "stride", stride, x->rank)) return false;
    *inf->out = *x;
    for (int i = 0; i < x->rank; i++)
        inf->out->dim[i] = dim_max(dims, 0, dim_add(dims, dim_mul(dims, dim_sub(dims, x->dim[i], 1), stride[i]), 1));
    return true;
}

static bool infer_repeat(struct inference *inf)
{
    const struct type *x = &inf->node->in[0]->type;
    const int64_t *times;
    if (!wants_ints(inf, "times", x->rank, &times) || !wants_positive(inf, "times", times, x->rank)) return false;
    *inf->out = *x;
    for (int i = 0; i < x->rank; i++) inf->out->dim[i] = dim_mul(inf->graph->dims, x->dim[i], times[i]);
    return true;
}

static bool infer_concat(struct inference *inf)
{
    const struct type *x = &inf->node->in[0]->type;
    int64_t axis;
    if (!wants_int(inf, "axis", 0, x->rank - 1, &axis) || !same_dtypes(inf, 0, inf->node->n_in)) return false;
    *inf->out = *x;
    for (int i = 1; i < inf->node->n_in; i++) {
        const struct type *z = &inf->node->in[i]->type;
        bool fits = z->rank == x->rank;
        for (int a = 0; fits && a < x->rank; a++) fits = a == axis || z->dim[a] == x->dim[a];
        if (!fits) return FAIL(inf, "concat of %s and %s along axis %lld", infer_shown(inf, 0), infer_shown(inf, i), (long long)axis);
        inf->out->dim[axis] = dim_add(inf->graph->dims, inf->out->dim[axis], z->dim[axis]);
    }
    return true;
}

static bool wants_indices(struct inference *inf, int input)
{
    enum dtype dt = inf->node->in[input]->type.dt;
    if (dt != DT_i64 && dt != DT_i32 && dt != DT_u8) return FAIL(inf, "%s: indices are %s, must be i64, i32 or u8", infer_name(inf), infer_shown(inf, input));
    return true;
}

static bool infer_gather(struct inference *inf)
{
    const struct type *x = &inf->node->in[0]->type, *idx = &inf->node->in[1]->type;
    int64_t axis, batch;
    if (!wants_int(inf, "axis", 0, x->rank - 1, &axis) || !wants_int(inf, "batch", 0, axis, &batch) || !wants_indices(inf, 1)) return false;
    if (batch > idx->rank) return FAIL(inf, "gather: batch %lld above the rank of %s", (long long)batch, infer_shown(inf, 1));
    for (int i = 0; i < batch; i++)
        if (x->dim[i] != idx->dim[i]) return FAIL(inf, "gather: batch axes of %s and %s differ", infer_shown(inf, 0), infer_shown(inf, 1));
    int n = 0, rank = x->rank - 1 + idx->rank - (int)batch;
    if (rank > RANK_MOST) return FAIL(inf, "rank %d is above %d", rank, RANK_MOST);
    inf->out->dt = x->dt;
    for (int i = 0; i < axis; i++) inf->out->dim[n++] = x->dim[i];
    for (int i = (int)batch; i < idx->rank; i++) inf->out->dim[n++] = idx->dim[i];
    for (int i = (int)axis + 1; i < x->rank; i++) inf->out->dim[n++] = x->dim[i];
    inf->out->rank = n;
    return true;
}

static bool infer_gather_elements(struct inference *inf)
{
    const struct type *x = &inf->node->in[0]->type, *idx = &inf->node->in[1]->type;
    int64_t axis;
    if (!wants_int(inf, "axis", 0, x->rank - 1, &axis) || !wants_indices(inf, 1)) return false;
    if (idx->rank != x->rank) return FAIL(inf, "gather_elements: ranks of %s and %s differ", infer_shown(inf, 0), infer_shown(inf, 1));
    for (int i = 0; i < x->rank; i++)
        if (i != axis && !dim_le(inf->graph->dims, idx->dim[i], x->dim[i]))
            return FAIL(inf, "gather_elements: axis %d of %s is larger than of %s", i, infer_shown(inf, 1), infer_shown(inf, 0));
    *inf->out = *idx;
    inf->out->dt = x->dt;
    return true;
}

static bool infer_scatter(struct inference *inf)
{
    const struct type *x = &inf->node->in[0]->type, *idx = &inf->node->in[1]->type, *u = &inf->node->in[2]->type;
    static const char *const modes[] = {"set", "add", "mul", "min", "max"};
    const struct attr *mode = node_attr(inf->node, "mode");
    bool known = false;
    for (int i = 0; i < 5; i++) known |= mode && mode->kind == ATTR_STRING && !strcmp(mode->s, modes[i]);
    if (!known) return FAIL(inf, "scatter: mode must be set, add, mul, min or max");
    if (x->rank != 2 || idx->rank != 1 || u->rank != 2 || u->dim[0] != idx->dim[0] || u->dim[1] != x->dim[1] || u->dt != x->dt || !wants_indices(inf, 1))
        return FAIL(inf, "scatter: %s, %s, %s: must be t[r, s], i64[m], t[m, s]", infer_shown(inf, 0), infer_shown(inf, 1), infer_shown(inf, 2));
    *inf->out = *x;
    return true;
}

static bool infer_iota(struct inference *inf)
{
    int64_t axis, whatever;
    if (!wants_dtype(inf, &inf->out->dt) || !wants_shape(inf)) return false;
    return wants_int(inf, "axis", 0, inf->out->rank - 1, &axis) && wants_int(inf, "start", -DIM_HUGE, DIM_HUGE, &whatever) &&
           wants_int(inf, "step", -DIM_HUGE, DIM_HUGE, &whatever);
}

static bool infer_reduce(struct inference *inf)
{
    const struct type *x = &inf->node->in[0]->type;
    const int64_t *axes;
    bool gone[RANK_MOST] = {false};
    const struct attr *attr = node_attr(inf->node, "axes");
    if (!wants_ints(inf, "axes", -1, &axes)) return false;
    for (int i = 0; i < attr->n; i++) {
        if (axes[i] < 0 || axes[i] >= x->rank || gone[axes[i]]) return FAIL(inf, "%s: axes do not fit %s", infer_name(inf), infer_shown(inf, 0));
        gone[axes[i]] = true;
    }
    if (x->dt == DT_bool && inf->node->op != OP_reduce_min && inf->node->op != OP_reduce_max) return FAIL(inf, "%s of %s: needs numbers", infer_name(inf), infer_shown(inf, 0));
    inf->out->dt = x->dt;
    for (int i = 0; i < x->rank; i++)
        if (!gone[i]) inf->out->dim[inf->out->rank++] = x->dim[i];
    return true;
}

static bool infer_find(struct inference *inf)
{
    const struct type *x = &inf->node->in[0]->type, *z = &inf->node->in[1]->type;
    int64_t axis;
    if (!wants_int(inf, "axis", 0, x->rank - 1, &axis) || !same_dtypes(inf, 0, 2)) return false;
    inf->out->dt = DT_i64;
    for (int i = 0; i < x->rank; i++)
        if (i != axis) inf->out->dim[inf->out->rank++] = x->dim[i];
    bool fits = z->rank == inf->out->rank;
    for (int i = 0; fits && i < z->rank; i++) fits = z->dim[i] == inf->out->dim[i];
    return fits || FAIL(inf, "%s: %s and %s", infer_name(inf), infer_shown(inf, 0), infer_shown(inf, 1));
}

static bool sums_in_i32(const struct inference *inf)
{
    enum op op = inf->node->op;
    return op == OP_conv_bytes || op == OP_conv_depth_bytes || op == OP_matmul_bytes;
}

bool infer_factors(struct inference *inf)
{
    if (!sums_in_i32(inf)) return same_dtypes(inf, 0, 2);
    for (int i = 0; i < 2; i++) {
        enum dtype dt = inf->node->in[i]->type.dt;
        if (!dtype_is_int(dt) || dtype_bytes(dt) > 2) return FAIL(inf, "%s of %s: needs integers of at most 16 bits", infer_name(inf), infer_shown(inf, i));
    }
    return true;
}

enum dtype infer_product(const struct inference *inf)
{
    return sums_in_i32(inf) ? DT_i32 : inf->node->in[0]->type.dt;
}

static bool infer_matmul_packed(struct inference *inf)
{
    const struct type *x = &inf->node->in[0]->type, *w = &inf->node->in[1]->type;
    int64_t block;
    if (!wants_int(inf, "block", 1, DIM_HUGE, &block) || !infer_factors(inf)) return false;
    if (x->rank < 1 || w->rank != 3 || w->dim[1] != x->dim[x->rank - 1] || w->dim[2] != block)
        return FAIL(inf, "matmul_packed of %s and %s in blocks of %lld", infer_shown(inf, 0), infer_shown(inf, 1), (long long)block);
    *inf->out = *x;
    inf->out->dim[x->rank - 1] = dim_mul(inf->graph->dims, w->dim[0], block);
    inf->out->dt = infer_product(inf);
    return true;
}

static bool narrow_weight(enum op op, enum dtype dt)
{
    if (op == OP_matmul_nibbles) return dt == DT_i32;
    return dt == DT_i8 || (op == OP_matmul_narrow && dtype_compute(dt) != dt);
}

/* Weights [q, k, j] or [q, h, k, j]; k counts words of eight where they are words. */
static bool infer_matmul_narrow(struct inference *inf)
{
    const struct node *node = inf->node;
    const struct type *x = &node->in[0]->type, *w = &node->in[1]->type, *s = &node->in[node->n_in - 1]->type;
    bool words = node->op == OP_matmul_nibbles, blocks = node->n_in > 2;
    int64_t block, each = words ? 8 : 1;
    struct dims *dims = inf->graph->dims;
    if (!wants_int(inf, "block", 1, DIM_HUGE, &block)) return false;
    bool fits = x->rank >= 1 && dtype_is_float(x->dt) && narrow_weight(node->op, w->dt) && w->rank == 3 + blocks && w->dim[w->rank - 1] == block;
    dim k = !fits ? 0 : dim_mul(dims, blocks ? dim_mul(dims, w->dim[1], w->dim[2]) : w->dim[1], each);
    fits = fits && x->dim[x->rank - 1] == k;
    if (blocks) fits = fits && s->dt == x->dt && s->rank == 3 && s->dim[0] == w->dim[0] && s->dim[1] == w->dim[1] && s->dim[2] == block;
    if (blocks && !words) fits = fits && dim_is_const(w->dim[2]) && w->dim[2] % 4 == 0;
    if (words) {
        const struct type *z = &node->in[2]->type;
        fits = fits && z->dt == x->dt && z->rank == x->rank && dim_mul(dims, z->dim[z->rank - 1], each) == k;
        for (int i = 0; fits && i < x->rank - 1; i++) fits = z->dim[i] == x->dim[i];
    }
    if (!fits) return FAIL(inf, "%s of %s and %s in blocks of %lld", infer_name(inf), infer_shown(inf, 0), infer_shown(inf, 1), (long long)block);
    *inf->out = *x;
    inf->out->dim[x->rank - 1] = dim_mul(dims, w->dim[0], block);
    return true;
}

static bool infer_matmul(struct inference *inf)
{
    const struct type *x = &inf->node->in[0]->type, *w = &inf->node->in[1]->type;
    int r = x->rank;
    bool fits = r >= 2 && w->rank == r && x->dim[r - 1] == w->dim[r - 2];
    for (int i = 0; fits && i < r - 2; i++) fits = x->dim[i] == w->dim[i];
    if (!fits) return FAIL(inf, "matmul of %s and %s", infer_shown(inf, 0), infer_shown(inf, 1));
    *inf->out = *x;
    inf->out->dim[r - 1] = w->dim[r - 1];
    return same_dtypes(inf, 0, 2);
}

static bool infer_index(struct inference *inf)
{
    const struct attr *attr = node_attr(inf->node, "meaning");
    const char *error = "the attribute meaning is missing";
    const struct meaning *m = attr && attr->kind == ATTR_STRING ? meaning_parse(inf->graph->arena, attr->s, &error) : NULL;
    if (!m) return FAIL(inf, "index notation: %s", error);
    if (meaning_inputs(m) != inf->node->n_in) return FAIL(inf, "index notation reads %d tensors, %d are given", meaning_inputs(m), inf->node->n_in);
    if (!meaning_infer(m, inf->graph->dims, inf->node, inf->out, &error)) return FAIL(inf, "index notation: %s", error);
    return same_dtypes(inf, 0, inf->node->n_in);
}

static bool infer_top_k(struct inference *inf)
{
    const struct type *x = &inf->node->in[0]->type;
    int64_t largest, sorted;
    const struct attr *k = node_attr(inf->node, "k");
    if (x->rank < 1 || !k || k->kind != ATTR_INT || dim_hi(inf->graph->dims, k->i) < 0 || !dim_le(inf->graph->dims, k->i, x->dim[x->rank - 1]))
        return FAIL(inf, "top_k: k must lie between 0 and the last axis of %s", infer_shown(inf, 0));
    if (!wants_int(inf, "largest", 0, 1, &largest) || !wants_int(inf, "sorted", 0, 1, &sorted)) return false;
    set_results(inf, 2);
    inf->out[0] = *x;
    inf->out[0].dim[x->rank - 1] = k->i;
    inf->out[1] = inf->out[0];
    inf->out[1].dt = DT_i64;
    return true;
}

static bool infer_det(struct inference *inf)
{
    const struct type *x = &inf->node->in[0]->type;
    int r = x->rank;
    if (r < 2 || x->dim[r - 1] != x->dim[r - 2] || (x->dt != DT_f32 && x->dt != DT_f64))
        return FAIL(inf, "det of %s: needs square f32 or f64 matrices", infer_shown(inf, 0));
    set_results(inf, 2);
    inf->out[0] = *x;
    inf->out[0].rank = r - 2;
    inf->out[1] = (struct type){.dt = DT_f64, .rank = 2, .dim = {x->dim[r - 1], x->dim[r - 1]}};
    return true;
}

/* Whether input `i` broadcasts against the first one without making it larger. */
static bool wants_broadcast(struct inference *inf, int i)
{
    const struct type *x = &inf->node->in[0]->type, *p = &inf->node->in[i]->type;
    bool fits = p->rank <= x->rank;
    for (int a = 1; fits && a <= p->rank; a++) fits = p->dim[p->rank - a] == 1 || p->dim[p->rank - a] == x->dim[x->rank - a];
    return fits || FAIL(inf, "%s: %s does not broadcast against %s", infer_name(inf), infer_shown(inf, i), infer_shown(inf, 0));
}

/* What is known of a scale in f32 are numbers to divide by, positive; to multiply by, packed weights have negative ones and zeros. */
static bool wants_scale(struct inference *inf)
{
    const struct tensor *t = value_const(value_before_spreading(inf->node->in[1]));
    bool divides = inf->node->op == OP_quantize;
    for (int64_t i = 0; t && !t->is_dims && t->type.dt == DT_f32 && i < type_count(&t->type); i++) {
        float number;
        memcpy(&number, (const char *)t->data + i * 4, 4);
        if (!(fabsf(number) <= FLT_MAX) || (divides && number <= 0))
            return FAIL(inf, "%s: element %lld of the scale is %g, must be a %s", infer_name(inf), (long long)i, (double)number, divides ? "positive number" : "number");
    }
    return true;
}

static bool infer_quantize(struct inference *inf, enum dtype number, enum dtype integer, enum dtype result)
{
    if (!dtype_is_float(number) || !dtype_is_float(inf->node->in[1]->type.dt))
        return FAIL(inf, "%s of %s by %s: needs float types", infer_name(inf), infer_shown(inf, 0), infer_shown(inf, 1));
    if (!dtype_is_int(integer) || dtype_bytes(integer) > 4)
        return FAIL(inf, "%s: the quantized type is %s, must be an integer type of at most 32 bits", infer_name(inf), dtype_name(integer));
    *inf->out = inf->node->in[0]->type;
    inf->out->dt = result;
    return wants_broadcast(inf, 1) && wants_broadcast(inf, 2) && wants_scale(inf);
}

static bool infer_requantize(struct inference *inf)
{
    for (int i = 0; i < 3; i++)
        if (inf->node->in[i]->type.dt != DT_i32) return FAIL(inf, "%s of %s: needs i32", infer_name(inf), infer_shown(inf, i));
    *inf->out = inf->node->in[0]->type;
    return wants_broadcast(inf, 1) && wants_broadcast(inf, 2);
}

/* Four bytes, or two numbers of 16 bits, of the last axis side by side are one word. */
static bool infer_words(struct inference *inf)
{
    *inf->out = inf->node->in[0]->type;
    int last = inf->out->rank - 1, each = inf->node->op == OP_words ? 4 : 2;
    enum dtype dt = each == 4 ? DT_u8 : DT_u16;
    if (inf->out->dt != dt || last < 0 || !dim_divides(inf->graph->dims, inf->out->dim[last], each, &inf->out->dim[last]))
        return FAIL(inf, "%s of %s: needs %s with a last axis that is a multiple of %d", infer_name(inf), infer_shown(inf, 0), dtype_name(dt), each);
    inf->out->dt = DT_i32;
    return true;
}

static bool infer(struct inference *inf)
{
    struct value *const *in = inf->node->in;
    enum shape_rule rule = op_row(inf->node->op)->shape;
    if (op_dot_terms(inf->node->op) && in[0]->type.dt != DT_i32)
        return FAIL(inf, "%s of %s: needs words, i32", infer_name(inf), infer_shown(inf, 0));
    switch (rule) {
    case SHAPE_same: case SHAPE_first: case SHAPE_float: case SHAPE_bool: case SHAPE_int: case SHAPE_bits: case SHAPE_widen:
    case SHAPE_wide: case SHAPE_compare: case SHAPE_cast: case SHAPE_bitcast: case SHAPE_select: return infer_map(inf, rule);
    case SHAPE_reshape: return infer_reshape(inf);
    case SHAPE_transpose: return infer_transpose(inf);
    case SHAPE_broadcast: return infer_broadcast(inf);
    case SHAPE_slice: return infer_slice(inf);
    case SHAPE_pad: return infer_pad(inf);
    case SHAPE_dilate: return infer_dilate(inf);
    case SHAPE_repeat: return infer_repeat(inf);
    case SHAPE_concat: return infer_concat(inf);
    case SHAPE_gather: return infer_gather(inf);
    case SHAPE_gather_elements: return infer_gather_elements(inf);
    case SHAPE_scatter: return infer_scatter(inf);
    case SHAPE_iota: return infer_iota(inf);
    case SHAPE_reduce: return infer_reduce(inf);
    case SHAPE_find: return infer_find(inf);
    case SHAPE_pool: return infer_pool(inf);
    case SHAPE_conv: return infer_conv(inf);
    case SHAPE_matmul: return infer_matmul(inf);
    case SHAPE_index: return infer_index(inf);
    case SHAPE_control: return infer_control(inf);
    case SHAPE_top_k: return infer_top_k(inf);
    case SHAPE_det: return infer_det(inf);
    case SHAPE_requantize: return infer_requantize(inf);
    case SHAPE_words: return infer_words(inf);
    case SHAPE_quantize: return infer_quantize(inf, in[0]->type.dt, in[2]->type.dt, in[2]->type.dt);
    case SHAPE_dequantize:
        if (in[0]->type.dt != in[2]->type.dt) return FAIL(inf, "dequantize: %s and a zero point of type %s", infer_shown(inf, 0), dtype_name(in[2]->type.dt));
        return infer_quantize(inf, in[1]->type.dt, in[2]->type.dt, in[1]->type.dt);
    case SHAPE_conv_last: return infer_conv_last(inf);
    case SHAPE_conv_depth: return infer_conv_depth(inf);
    case SHAPE_pool_last: return infer_pool_last(inf);
    case SHAPE_matmul_packed: return infer_matmul_packed(inf);
    case SHAPE_matmul_narrow: return infer_matmul_narrow(inf);
    case SHAPE_none: break;
    }
    return FAIL(inf, "%s is not made through graph_node", infer_name(inf));
}

bool shape_infer(struct graph *graph, struct node *node, struct type **types)
{
    struct inference inf = {.graph = graph, .node = node};
    node->n_out = 1;
    inf.out = NEW(graph->arena, struct type);
    if (!infer(&inf)) return false;
    *types = inf.out;
    return true;
}
