/* Weights of a product that are 16-bit floats: found and packed as they are, converted in registers.
 *
 *     y = matmul(x, widen(w))      x: f32    ->    y = matmul_narrow(x, packed w)
 *     y = matmul(x, w)      f16, w constant        y = cast(matmul_narrow(cast(x, f32), packed w), f16)
 *
 * A shift makes an f32 of a bf16, an instruction one of an f16; packed, an output channel's lanes lie side by side. What moves
 * elements between the product and the constant is followed by strides, as for integers. Read next: narrow_weight.c. */
#include "narrow_weight.h"

bool narrow_find_half(const struct value *right, struct narrow_weight *weight)
{
    const struct value *value = narrow_source(right, weight);
    if (value && value->node->op == OP_widen) value = value->node->in[0];
    weight->q = value ? value_const(value) : NULL;
    return weight->q && dtype_is_half(weight->q->type.dt) && narrow_is_separable(weight);
}

struct value *narrow_half_product(struct graph *to, struct value *x, const struct narrow_weight *w, int64_t block)
{
    int64_t blocks = (w->n + block - 1) / block;
    struct type type = {.dt = w->q->type.dt, .rank = 3, .dim = {blocks, w->k, block}};
    uint16_t *data = arena_array(to->session, (size_t)type_count(&type), sizeof *data), *at = data;
    const uint16_t *from = w->q->data;
    for (int64_t q = 0; q < blocks; q++)
        for (int64_t k = 0; k < w->k; k++)
            for (int64_t n = q * block; n < (q + 1) * block; n++) *at++ = n < w->n ? from[w->offset + k * w->by_k + n * w->by_n] : 0;
    enum dtype dt = x->type.dt;
    struct value *in[] = {graph_cast(to, x, DT_f32), graph_data(to, &type, data)};
    struct value *y = graph_node(to, OP_matmul_narrow, 2, in, 1, (struct attr[]){ATTR_I("block", block)});
    if (y && blocks * block != w->n) y = graph_slice_axis(to, y, y->type.rank - 1, 0, w->n);
    return graph_cast(to, y, dt);
}
