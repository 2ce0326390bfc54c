/* Weights of a product that are integers times scales, found behind what moves them, and packed.
 *
 *     dequantize(q[n, parts, part], scale[n, parts, 1], zero) -> reshape [n, k] -> transpose [k, n]
 *
 * What moves elements is followed by strides: element (k, n) of the right side is one of q, at a place that k and n add to.
 * Scales and zero points lie along q's axes, so each is found by what k adds plus what n adds, too. A block is the longest
 * run of k over which neither changes.
 *
 * Packed, an output channel's lanes lie side by side, numbers of four bits eight to a word along k. u8 is moved by 128,
 * numbers of four bits so that the least is 0; what is then left of the zero point is a matrix of floats by blocks of the sum.
 */
#include "narrow_weight.h"

#include <string.h>

enum { NIBBLE = 15, NIBBLE_CENTRE = 8, WORD = 8 /* numbers in it */, BYTE_GROUP = 4 /* of a sum that is scaled at once */ };

/* ---- finding ---- */

/* Strides of a tensor, by axis, in elements. */
static void strides_of(const struct type *type, int64_t *stride)
{
    int64_t n = 1;
    for (int i = type->rank - 1; i >= 0; i--) {
        stride[i] = n;
        n *= type->dim[i];
    }
}

/* The axis along which k (or n) moves alone: the one of its stride and extent. -1: several, or none. */
static int axis_along(const struct type *type, int64_t by, int64_t extent)
{
    int64_t stride[RANK_MOST];
    strides_of(type, stride);
    for (int i = 0; i < type->rank; i++)
        if (type->dim[i] != 1 && stride[i] == by && type->dim[i] == extent) return i;
    return -1;
}

static bool all_numbers(const struct type *type)
{
    return type_count(type) > 0;
}

/* Steps from a transposed or sliced value to what it is made of. */
static bool step_back(const struct node *node, struct narrow_weight *weight)
{
    const struct type *from = &node->in[0]->type, *type = &node->out[0].type;
    int a = axis_along(type, weight->by_k, weight->k), b = axis_along(type, weight->by_n, weight->n);
    int64_t stride[RANK_MOST];
    if (a < 0 || b < 0 || weight->offset) return false;
    strides_of(from, stride);
    if (node->op == OP_transpose) {
        const int64_t *perm = node_attr(node, "perm")->ints;
        weight->by_k = stride[perm[a]];
        weight->by_n = stride[perm[b]];
        return true;
    }
    const int64_t *start = node_attr(node, "start")->ints, *step = node_attr(node, "step")->ints;
    for (int i = 0; i < from->rank; i++) weight->offset += start[i] * stride[i];
    weight->by_k = step[a] * stride[a];
    weight->by_n = step[b] * stride[b];
    return true;
}

/* Follows what moves elements down to what is moved; NULL where the places do not lie by strides. */
static const struct value *follow(const struct value *value, struct narrow_weight *weight)
{
    for (;; value = value->node->in[0]) {
        const struct node *node = value->node;
        if (node->op != OP_broadcast && node->op != OP_reshape && node->op != OP_transpose && node->op != OP_slice) return value;
        if (!all_numbers(&node->in[0]->type)) return NULL;
        bool same = node->op == OP_reshape || (node->op == OP_broadcast && type_count(&node->in[0]->type) == weight->k * weight->n);
        if (!same && (node->op == OP_broadcast || !step_back(node, weight))) return NULL;
    }
}

/* Where elements of a scale lie that q's element (k, 0) and (0, n) has. */
static void lie_along(const struct narrow_weight *weight, const struct tensor *scale, struct arena *arena, int64_t **by_k, int64_t **by_n)
{
    const struct type *q = &weight->q->type, *s = &scale->type;
    int64_t q_stride[RANK_MOST], s_stride[RANK_MOST];
    strides_of(q, q_stride);
    strides_of(s, s_stride);
    for (int side = 0; side < 2; side++) {
        int64_t extent = side ? weight->n : weight->k, by = side ? weight->by_n : weight->by_k, *list = NEW_ARRAY(arena, int64_t, extent);
        for (int64_t i = 0; i < extent; i++) {
            int64_t at = i * by + (side ? 0 : weight->offset);
            for (int axis = 0; axis < q->rank; axis++) {
                int there = axis - (q->rank - s->rank);
                if (there >= 0 && s->dim[there] != 1) list[i] += at / q_stride[axis] % q->dim[axis] * s_stride[there];
            }
        }
        *(side ? by_n : by_k) = list;
    }
}

/* k and n move along axes of their own: what lies further apart does so by whole steps of an axis, and the other one, with
 * the offset, stays within such a step. */
bool narrow_is_separable(const struct narrow_weight *w)
{
    int64_t stride[RANK_MOST], outer = w->by_k > w->by_n ? w->by_k : w->by_n;
    int64_t reach = w->offset + (w->by_k > w->by_n ? (w->n - 1) * w->by_n : (w->k - 1) * w->by_k);
    strides_of(&w->q->type, stride);
    for (int i = 0; i < w->q->type.rank; i++)
        if (stride[i] == outer && reach < outer) return true;
    return w->k == 1 || w->n == 1;
}

static bool is_same_along(const struct narrow_weight *w, int64_t from, int64_t to)
{
    return w->scale_k[from] == w->scale_k[to] && w->zero_k[from] == w->zero_k[to];
}

/* The longest run of k over which nothing changes, if all are of that length. */
static int64_t block_of(const struct narrow_weight *w)
{
    int64_t block = 1;
    while (block < w->k && is_same_along(w, 0, block)) block++;
    for (int64_t k = block; k < w->k; k++)
        if (is_same_along(w, k - 1, k) != (k % block != 0)) return 1;
    return block;
}

static int64_t integer_at(const struct tensor *t, int64_t at)
{
    return t->type.dt == DT_u8 ? ((const uint8_t *)t->data)[at] : ((const int8_t *)t->data)[at];
}

static const struct tensor *constant_of(const struct value *value, const struct type *q)
{
    const struct tensor *t = value_const(value);
    return t && !t->is_dims && t->type.rank <= q->rank ? t : NULL;
}

const struct value *narrow_source(const struct value *right, struct narrow_weight *weight)
{
    const struct type *type = &right->type;
    int r = type->rank;
    if (r < 2 || !dim_is_const(type->dim[r - 1]) || !dim_is_const(type->dim[r - 2])) return NULL;
    *weight = (struct narrow_weight){.k = type->dim[r - 2], .n = type->dim[r - 1], .by_k = type->dim[r - 1], .by_n = 1};
    if (weight->k < 1 || weight->n < 1) return NULL;
    while (right->node->op == OP_broadcast) right = right->node->in[0]; /* over batches */
    if (type_count(&right->type) != weight->k * weight->n || right->type.rank < 2) return NULL;
    return follow(right, weight);
}

bool narrow_find(const struct value *right, struct arena *arena, struct narrow_weight *weight)
{
    const struct value *source = narrow_source(right, weight);
    const struct node *node = source ? source->node : NULL;
    if (!node || node->op != OP_dequantize || node->out[0].type.dt != DT_f32 || !value_const(node->in[0])) return false;
    const struct type *q = &node->in[0]->type;
    weight->q = value_const(node->in[0]);
    weight->scale = constant_of(node->in[1], q);
    weight->zero = constant_of(node->in[2], q);
    if (!weight->scale || !weight->zero || weight->scale->type.dt != DT_f32 || (q->dt != DT_i8 && q->dt != DT_u8)) return false;
    if (!narrow_is_separable(weight)) return false;
    lie_along(weight, weight->scale, arena, &weight->scale_k, &weight->scale_n);
    lie_along(weight, weight->zero, arena, &weight->zero_k, &weight->zero_n);
    weight->block = block_of(weight);
    weight->low = weight->high = (int)integer_at(weight->q, weight->offset);
    int64_t count = type_count(q);
    for (int64_t i = 0; i < count; i++) {
        int v = (int)integer_at(weight->q, i);
        if (v < weight->low) weight->low = v;
        if (v > weight->high) weight->high = v;
    }
    return true;
}

bool narrow_is_nibbles(const struct narrow_weight *weight)
{
    return weight->high - weight->low <= NIBBLE && (weight->block == weight->k || weight->block % WORD == 0);
}

bool narrow_is_bytes(const struct narrow_weight *weight)
{
    return weight->block == weight->k || weight->block % BYTE_GROUP == 0;
}

/* ---- packing ---- */

/* What numbers are moved by to be i8, or from 0 to 15: by the zero point where that leaves nothing to take off, as it does
 * where all numbers have the same. */
static int64_t base_of(const struct narrow_weight *w, bool nibbles)
{
    if (!nibbles) return w->q->type.dt == DT_u8 ? 128 : 0;
    int64_t centred = integer_at(w->zero, w->zero_k[0] + w->zero_n[0]) - NIBBLE_CENTRE;
    return centred <= w->low && centred + NIBBLE >= w->high ? centred : w->low;
}

static int64_t number_at(const struct narrow_weight *w, int64_t k, int64_t n)
{
    return integer_at(w->q, w->offset + k * w->by_k + n * w->by_n);
}

static void pack_bytes(const struct narrow_weight *w, const struct narrow_packed *p, int64_t base, int8_t *to)
{
    for (int64_t q = 0; q < p->size / p->block; q++)
        for (int64_t k = 0; k < p->parts * p->part; k++)
            for (int64_t j = 0; j < p->block; j++) {
                int64_t n = q * p->block + j;
                *to++ = k < w->k && n < w->n ? (int8_t)(number_at(w, k, n) - base) : 0;
            }
}

/* The last number of a word is signed, the others not. */
static void pack_nibbles(const struct narrow_weight *w, const struct narrow_packed *p, int64_t base, uint32_t *to)
{
    for (int64_t q = 0; q < p->size / p->block; q++)
        for (int64_t k = 0; k < p->parts * p->part; k += WORD)
            for (int64_t j = 0; j < p->block; j++) {
                int64_t n = q * p->block + j;
                uint32_t word = 0;
                for (int i = 0; i < WORD; i++) {
                    bool there = k + i < w->k && n < w->n;
                    word |= (uint32_t)(there ? number_at(w, k + i, n) - base : NIBBLE_CENTRE) << 4 * i;
                }
                *to++ = word ^ (uint32_t)NIBBLE_CENTRE << 28;
            }
}

static float scale_at(const struct narrow_weight *w, int64_t k, int64_t n)
{
    return ((const float *)w->scale->data)[w->scale_k[k] + w->scale_n[n]];
}

static void pack_scales(struct graph *to, const struct narrow_weight *w, bool along, struct narrow_packed *p)
{
    int64_t rows = along ? p->size : w->n, count = p->parts * rows;
    float *data = arena_array(to->session, (size_t)count, sizeof *data);
    for (int64_t i = 0; i < count; i++) {
        int64_t q = i / (p->parts * p->block), h = i / p->block % p->parts, n = along ? q * p->block + i % p->block : i;
        data[i] = n < w->n ? scale_at(w, along ? h * p->part : 0, n) : 0;
    }
    struct type type = {.dt = DT_f32, .rank = 1, .dim = {rows}};
    if (along) type = (struct type){.dt = DT_f32, .rank = 3, .dim = {p->size / p->block, p->parts, p->block}};
    p->scale = graph_data(to, &type, data);
}

/* -(zero - middle)*scale by blocks of the sum, where `middle` is what the packed numbers are around. */
static struct value *pack_centre(struct graph *to, const struct narrow_weight *w, const struct narrow_packed *p, int64_t middle)
{
    float *data = arena_array(to->session, (size_t)(p->parts * w->n), sizeof *data);
    bool any = false;
    for (int64_t h = 0; h < p->parts; h++)
        for (int64_t n = 0; n < w->n; n++) {
            int64_t k = h * p->part, zero = integer_at(w->zero, w->zero_k[k] + w->zero_n[n]) - middle;
            any |= zero != 0;
            data[h * w->n + n] = -(float)zero * scale_at(w, k, n);
        }
    return any ? graph_data(to, &(struct type){.dt = DT_f32, .rank = 2, .dim = {p->parts, w->n}}, data) : NULL;
}

void narrow_pack(struct graph *to, const struct narrow_weight *w, bool nibbles, int64_t block, struct narrow_packed *p)
{
    bool single = w->block == w->k;
    int64_t each = nibbles ? WORD : single ? 1 : BYTE_GROUP, base = base_of(w, nibbles);
    *p = (struct narrow_packed){.block = block, .size = (w->n + block - 1) / block * block, .parts = (w->k + w->block - 1) / w->block};
    p->part = (w->block + each - 1) / each * each;
    struct type type = {.dt = nibbles ? DT_i32 : DT_i8, .rank = 4, .dim = {p->size / block, p->parts, nibbles ? p->part / WORD : p->part, block}};
    if (!nibbles && single) type = (struct type){.dt = DT_i8, .rank = 3, .dim = {p->size / block, p->part, block}};
    void *data = arena_array(to->session, (size_t)type_count(&type), nibbles ? sizeof(uint32_t) : 1);
    if (nibbles) pack_nibbles(w, p, base, data);
    else pack_bytes(w, p, base, data);
    p->words = graph_data(to, &type, data);
    pack_scales(to, w, nibbles || !single, p);
    p->centre = pack_centre(to, w, p, nibbles ? base + NIBBLE_CENTRE : base);
}
