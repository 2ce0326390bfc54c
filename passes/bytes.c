/* Products of integers whose operands are bytes.
 *
 *     y = conv(sub(cast(x, i32), z), w)      x u8 or i8, w constant i32 within -128..127
 *        ->   y = conv_dot(words(pad(x, z)), w') - z*colsum(w)
 *
 * The sum of (x - z)*w is the sum of x*w less z times the sum of the weights, a constant per output channel; the border is
 * filled with z, which stands for 0. Instructions multiply unsigned by signed bytes: i8 is moved by 128, and so is its
 * zero. Channels come in words of four, the last one filled with weights of 0. All of it is exact in i32.
 *
 * Sums that stay below 2^24 are exact in f32 too, where depthwise convolutions are faster.
 */
#include "bytes.h"

#include <string.h>

/* The number that all elements are. */
static bool scalar_of(const struct value *value, int64_t *number)
{
    while (value->node->op == OP_broadcast || value->node->op == OP_reshape) value = value->node->in[0];
    const struct tensor *t = value_const(value);
    if (!t || t->is_dims || t->type.dt != DT_i32 || t->n_bytes < 4) return false;
    if (memcmp(t->data, (const char *)t->data + 4, (size_t)t->n_bytes - 4)) return false;
    *number = *(const int32_t *)t->data;
    return true;
}

bool bytes_find(const struct value *operand, struct bytes_operand *bytes)
{
    *bytes = (struct bytes_operand){.zero = 0};
    if (operand->type.dt != DT_i32) return false;
    if (operand->node->op == OP_sub) {
        if (!scalar_of(operand->node->in[1], &bytes->zero)) return false;
        operand = operand->node->in[0];
    }
    if (operand->node->op != OP_cast) return false;
    bytes->byte = operand->node->in[0];
    enum dtype dt = bytes->byte->type.dt;
    bool inside = bytes->zero >= dtype_int_min(DT_i8) && bytes->zero <= (int64_t)dtype_int_max(DT_u8);
    return (dt == DT_u8 && inside && bytes->zero >= 0) || (dt == DT_i8 && inside && bytes->zero <= 127);
}

int64_t bytes_magnitude(const struct value *constant)
{
    const struct tensor *t = value_const(constant);
    int64_t most = 0;
    for (int64_t i = 0; i < type_count(&t->type); i++) {
        int64_t v = ((const int32_t *)t->data)[i];
        if (v > most || -v > most) most = v < 0 ? -v : v;
    }
    return most;
}

int64_t bytes_most(const struct bytes_operand *x, const struct value *w, int64_t terms)
{
    int64_t each, sum, most = (int64_t)dtype_int_max(DT_u8) + (x->zero < 0 ? -x->zero : 0); /* of the byte and of byte - zero */
    return size_mul(most, bytes_magnitude(w), &each) && size_mul(each, terms, &sum) ? sum : INT64_MAX / 2;
}

struct layout { /* of the constant: strides of output and input channels and of window positions */
    int64_t outputs, inputs, positions, per_output, per_input, per_position;
};

static struct layout layout_of(const struct bytes_product *product)
{
    const struct type *w = &product->w->type;
    if (product->matrix) return (struct layout){w->dim[1], w->dim[0], 1, 1, w->dim[1], 0};
    int64_t positions = 1;
    for (int i = 2; i < w->rank; i++) positions *= w->dim[i];
    return (struct layout){w->dim[0], w->dim[1], positions, w->dim[1] * positions, positions, 1};
}

/* [size/block, k.., words, block] */
static struct value *pack_words(struct graph *to, const struct bytes_product *product, const struct layout *from)
{
    int64_t words = (from->inputs + 3) / 4, block = product->block, count = product->size * from->positions * words;
    const int32_t *w = value_const(product->w)->data;
    struct tensor *tensor = NEW(to->session, struct tensor);
    *tensor = (struct tensor){.type = {.dt = DT_i32, .rank = product->n + 3}, .n_bytes = count * (int64_t)sizeof(int32_t)};
    tensor->type.dim[0] = product->size / block;
    for (int i = 0; i < product->n; i++) tensor->type.dim[i + 1] = product->w->type.dim[i + 2];
    tensor->type.dim[product->n + 1] = words;
    tensor->type.dim[product->n + 2] = block;
    uint32_t *data = arena_array(to->session, (size_t)count, sizeof *data), *at = data;
    for (int64_t q = 0; q < product->size / block; q++)
        for (int64_t k = 0; k < from->positions; k++)
            for (int64_t c = 0; c < words; c++)
                for (int64_t j = 0; j < block; j++, at++) {
                    int64_t o = q * block + j;
                    *at = 0;
                    for (int d = 0; d < 4 && o < from->outputs && 4 * c + d < from->inputs; d++) {
                        int32_t v = w[o * from->per_output + (4 * c + d) * from->per_input + k * from->per_position];
                        *at |= ((uint32_t)v & 0xff) << 8 * d;
                    }
                }
    tensor->data = data;
    return graph_const(to, tensor);
}

/* -zero*(sum of the output channel's weights) by output channel */
static struct value *correction(struct graph *to, const struct bytes_product *product, const struct layout *from, int64_t zero)
{
    const int32_t *w = value_const(product->w)->data;
    struct tensor *tensor = NEW(to->session, struct tensor);
    *tensor = (struct tensor){.type = {.dt = DT_i32, .rank = 1, .dim = {product->size}}, .n_bytes = product->size * (int64_t)sizeof(int32_t)};
    uint32_t *data = arena_array(to->session, (size_t)product->size, sizeof *data);
    for (int64_t o = 0; o < product->size; o++) {
        uint32_t sum = 0;
        for (int64_t i = 0; i < from->inputs * from->positions && o < from->outputs; i++)
            sum += (uint32_t)w[o * from->per_output + i % from->inputs * from->per_input + i / from->inputs * from->per_position];
        data[o] = 0 - sum * (uint32_t)zero;
    }
    tensor->data = data;
    return graph_const(to, tensor);
}

/* x with a border of `zero` and channels up to a multiple of `whole`. */
static struct value *pad_border(struct graph *to, const struct bytes_product *product, struct value *x, double zero, int64_t whole)
{
    int64_t before[RANK_MOST] = {0}, after[RANK_MOST] = {0};
    int r = x->type.rank;
    bool any = false;
    for (int i = 0; i < product->n; i++) {
        before[i + 1] = product->pad[i], after[i + 1] = product->pad_after[i];
        any |= before[i + 1] || after[i + 1];
    }
    if (!dim_is_const(x->type.dim[r - 1])) return NULL;
    after[r - 1] = (whole - x->type.dim[r - 1] % whole) % whole;
    if (!any && !after[r - 1]) return x;
    struct value *in[] = {x, graph_scalar(to, x->type.dt, zero)};
    return graph_node(to, OP_pad, 2, in, 2, (struct attr[]){ATTR_L("before", before, r), ATTR_L("after", after, r)});
}

struct value *bytes_build(struct graph *to, const struct bytes_product *product)
{
    const struct tensor *w = value_const(product->w);
    struct value *x = product->x;
    int64_t zero = product->zero;
    if (!x || w->type.dt != DT_i32) return NULL;
    for (int64_t i = 0; i < type_count(&w->type); i++)
        if (((const int32_t *)w->data)[i] < -128 || ((const int32_t *)w->data)[i] > 127) return NULL;
    if (x->type.dt == DT_i8) {
        x = graph_binary(to, OP_add, graph_cast(to, x, DT_i32), graph_scalar(to, DT_i32, 128));
        x = graph_cast(to, x, DT_u8);
        zero += 128;
    }
    struct layout from = layout_of(product);
    if (!x || !(x = pad_border(to, product, x, (double)zero, 4))) return NULL;
    struct value *in[] = {graph_node(to, OP_words, 1, &x, 0, NULL), pack_words(to, product, &from)};
    struct attr block = ATTR_I("block", product->block);
    struct value *y = product->matrix ? graph_node(to, OP_matmul_dot, 2, in, 1, &block)
                                      : graph_node(to, OP_conv_dot, 2, in, 3, (struct attr[]){*product->stride, *product->dilation, block});
    return zero ? graph_binary(to, OP_add, y, correction(to, product, &from, zero)) : y;
}

/* [k.., c] in f32 */
static struct value *depthwise_weight(struct graph *to, const struct bytes_product *product)
{
    struct value *w = graph_const(to, value_const(product->w));
    int64_t perm[RANK_MOST];
    dim dims[RANK_MOST] = {w->type.dim[0]};
    for (int i = 0; i < product->n; i++) perm[i] = i + 1, dims[i + 1] = w->type.dim[i + 2];
    perm[product->n] = 0;
    return graph_cast(to, graph_transpose(to, graph_reshape(to, w, product->n + 1, dims), perm), DT_f32);
}

struct value *bytes_depthwise(struct graph *to, const struct bytes_product *product, bool narrow)
{
    struct value *x = product->x;
    double zero = (double)product->zero;
    if (!x) return NULL;
    if (narrow) x = pad_border(to, product, x, zero, 1);
    x = graph_cast(to, x, DT_f32);
    if (!narrow) x = pad_border(to, product, zero != 0 ? graph_binary(to, OP_sub, x, graph_scalar(to, DT_f32, zero)) : x, 0, 1);
    struct value *in[] = {x, depthwise_weight(to, product)};
    struct value *y = graph_node(to, OP_conv_depth, 2, in, 2, (struct attr[]){*product->stride, *product->dilation});
    if (!narrow || zero == 0) return y;
    struct layout from = layout_of(product);
    return graph_binary(to, OP_add, y, graph_cast(to, correction(to, product, &from, product->zero), DT_f32));
}
