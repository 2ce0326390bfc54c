/* Products of integers whose operands are bytes, a byte at a time.
 *
 *     y = conv(sub(cast(x, i32), z), w)      ->      y = conv_bytes(pad(x, z), w) - z*sum(w)
 *
 * For microcontrollers: no channel has to be filled up to a word, so weights and activations take the bytes that they have.
 * A depthwise convolution is computed so on every machine where a model is to be without floats. See bytes.c.
 */
#include "bytes.h"

struct value *bytes_narrow(struct graph *to, const struct value *w)
{
    const struct tensor *t = value_const(w);
    int64_t low = 0, high = 0;
    for (int64_t i = 0; i < type_count(&t->type); i++) {
        int64_t v = ((const int32_t *)t->data)[i];
        if (v < low) low = v;
        if (v > high) high = v;
    }
    enum dtype dt = low >= INT8_MIN && high <= INT8_MAX ? DT_i8 : DT_i16;
    return low >= INT16_MIN && high <= INT16_MAX ? graph_cast(to, graph_const(to, t), dt) : NULL;
}

struct value *bytes_plain(struct graph *to, const struct bytes_product *product, enum op op, struct value *packed)
{
    struct value *x = product->x, *zero = product->moving;
    if (!x || !packed) return NULL;
    zero = zero ? graph_reshape(to, zero, 0, NULL) : graph_int(to, x->type.dt, product->zero);
    if (!product->matrix) x = bytes_pad(to, product, x, zero, 1);
    if (!x) return NULL;
    struct attr attrs[3] = {0};
    int n = 0;
    if (!product->matrix) attrs[n++] = *product->stride, attrs[n++] = *product->dilation;
    if (op != OP_conv_depth_bytes) attrs[n++] = (struct attr)ATTR_I("block", product->block);
    struct value *y = graph_node(to, op, 2, (struct value *[]){x, packed}, n, attrs);
    if (!product->moving && !product->zero) return y;
    struct value *less = bytes_zero_part(to, product, product->moving ? 1 : product->zero);
    if (product->moving) less = graph_binary(to, OP_mul, graph_cast(to, zero, DT_i32), less);
    return graph_binary(to, OP_add, y, less);
}
