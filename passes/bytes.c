/* Products of integers whose operands are bytes.
 *
 *     y = conv(sub(cast(x, i32), z), w)      x u8 or i8, w constant i32
 *        ->   y = conv_dot(words(pad(x, z)), w - s) + s*rowsum(x) - z*colsum(w)
 *
 * The sum of (x - z)*w is the sum of x*w less z times the sum of the weights, a constant per output channel; the border is
 * filled with z, which stands for 0, as do channels up to a whole word of four. z may be computed, as dynamic quantization
 * does. Instructions multiply unsigned by signed bytes: i8 is moved by 128, and so is its zero; an output's weights outside
 * of -128..127 (u8 less its zero point) are moved by s, which the sum of x makes good. All of it is exact in i32.
 *
 * Where the target has no such instruction but multiplies 16-bit numbers in pairs, two forms are as exact: see Note: pairs.
 *
 * Sums that stay below 2^24 are exact in f32 too, where depthwise convolutions are faster, unless by words of columns (Note:
 * windows).
 */
#include "../ir/target.h"
#include "bytes.h"
#include "constant.h"

#include <string.h>

/* The number that all elements are. */
static bool scalar_of(const struct value *value, int64_t *number)
{
    const struct tensor *t = value_const(value_before_spreading(value));
    if (!t || t->is_dims || t->type.dt != DT_i32 || t->n_bytes < 4) return false;
    if (memcmp(t->data, (const char *)t->data + 4, (size_t)t->n_bytes - 4)) return false;
    *number = *(const int32_t *)t->data;
    return true;
}

/* A computed zero point: one element, cast from the type of the byte it is subtracted from. */
static const struct value *moving_of(const struct value *zero, enum dtype dt)
{
    zero = value_before_spreading(zero);
    if (zero->node->op != OP_cast || type_count(&zero->type) != 1 || zero->node->in[0]->type.dt != dt) return NULL;
    return zero->node->in[0];
}

bool bytes_find(const struct value *operand, struct bytes_operand *bytes)
{
    *bytes = (struct bytes_operand){.zero = 0};
    if (operand->type.dt != DT_i32) return false;
    const struct value *zero = operand->node->op == OP_sub ? operand->node->in[1] : NULL;
    if (zero) operand = operand->node->in[0];
    if (operand->node->op != OP_cast) return false;
    bytes->byte = operand->node->in[0];
    enum dtype dt = bytes->byte->type.dt;
    if (zero && !scalar_of(zero, &bytes->zero) && !(bytes->moving = moving_of(zero, dt))) return false;
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

/* Weight i (channels innermost, then window positions) of output o. */
static int32_t weight_at(const int32_t *w, const struct layout *from, int64_t o, int64_t i)
{
    return w[o * from->per_output + i % from->inputs * from->per_input + i / from->inputs * from->per_position];
}

/* By output channel (of `size`) the least number whose subtraction makes its weights fit i8; false where none does. */
static bool find_shifts(const struct bytes_product *product, const struct layout *from, int32_t *shift)
{
    const int32_t *w = value_const(product->w)->data;
    for (int64_t o = 0; o < product->size; o++) {
        int64_t low = 0, high = 0;
        for (int64_t i = 0; i < from->inputs * from->positions && o < from->outputs; i++) {
            int32_t v = weight_at(w, from, o, i);
            if (v < low) low = v;
            if (v > high) high = v;
        }
        if (high - low > 255) return false;
        shift[o] = (int32_t)(high > 127 ? high - 127 : low < -128 ? low + 128 : 0);
    }
    return true;
}

/* [size/block, k.., words, block], a word being `terms` weights */
static struct value *pack_words(struct graph *to, const struct bytes_product *product, const struct layout *from, const int32_t *shift, int terms)
{
    int64_t words = (from->inputs + terms - 1) / terms, block = product->block, count = product->size * from->positions * words;
    const int32_t *w = value_const(product->w)->data;
    struct type type = {.dt = DT_i32, .rank = product->n + 3, .dim = {product->size / block}};
    for (int i = 0; i < product->n; i++) type.dim[i + 1] = product->w->type.dim[i + 2];
    type.dim[product->n + 1] = words;
    type.dim[product->n + 2] = block;
    uint32_t *data = arena_array(to->session, (size_t)count, sizeof *data), *at = data;
    for (int64_t q = 0; q < product->size / block; q++)
        for (int64_t k = 0; k < from->positions; k++)
            for (int64_t c = 0; c < words; c++)
                for (int64_t j = 0; j < block; j++, at++) {
                    int64_t o = q * block + j;
                    *at = 0;
                    for (int d = 0; d < terms && o < from->outputs && terms * c + d < from->inputs; d++) {
                        int32_t v = w[o * from->per_output + (terms * c + d) * from->per_input + k * from->per_position] - shift[o];
                        *at |= ((uint32_t)v & (terms == 4 ? 0xff : 0xffff)) << 32 / terms * d;
                    }
                }
    return graph_data(to, &type, data);
}

static struct value *constant_row(struct graph *to, const uint32_t *data, int64_t n)
{
    return graph_data(to, &(struct type){.dt = DT_i32, .rank = 1, .dim = {n}}, data);
}

/* The sums of weights by output channel times -`zero`. Channels that fill words up have the weight 0, which is the shift
 * after moving, as in the sums of x. */
static struct value *weight_sums(struct graph *to, const struct bytes_product *product, const struct layout *from, const int32_t *shift, int64_t zero)
{
    const int32_t *w = value_const(product->w)->data;
    uint32_t *data = arena_array(to->session, (size_t)product->size, sizeof *data);
    int64_t filling = ((from->inputs + 3) / 4 * 4 - from->inputs) * from->positions;
    for (int64_t o = 0; o < product->size; o++) {
        uint32_t sum = (uint32_t)filling * (uint32_t)shift[o];
        for (int64_t i = 0; i < from->inputs * from->positions && o < from->outputs; i++) sum += (uint32_t)weight_at(w, from, o, i);
        data[o] = 0 - sum * (uint32_t)zero;
    }
    return constant_row(to, data, product->size);
}

/* shift*(the sum of the elements of x, padded, that an output is made of) */
static struct value *shifted_sums(struct graph *to, const struct bytes_product *product, struct value *x, const int32_t *shift)
{
    int64_t last = x->type.rank - 1;
    struct value *sums = graph_reduce(to, OP_sum, graph_cast(to, x, DT_i32), 1, &last, true);
    if (!product->matrix) {
        struct attr attrs[] = {ATTR_L("kernel", product->w->type.dim + 2, product->n), *product->stride, *product->dilation};
        sums = graph_node(to, OP_pool_sum_last, 1, &sums, 3, attrs);
    }
    const uint32_t *row = arena_copy(to->session, shift, (size_t)product->size * sizeof *shift);
    return graph_binary(to, OP_mul, sums, constant_row(to, row, product->size));
}

/* x with a border of `zero` and channels up to a multiple of `whole`. */
struct value *bytes_pad(struct graph *to, const struct bytes_product *product, struct value *x, struct value *zero, int64_t whole)
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
    struct value *in[] = {x, zero};
    return graph_node(to, OP_pad, 2, in, 2, (struct attr[]){ATTR_L("before", before, r), ATTR_L("after", after, r)});
}

/* Whether sums of two products of neighbours, of a u8 each, fit i16 whatever is in the bytes. */
static bool pairs_fit(const struct value *words)
{
    const struct tensor *t = value_const(words);
    for (int64_t i = 0; i < t->n_bytes; i += 2) {
        const int8_t *pair = (const int8_t *)t->data + i;
        int high = (pair[0] > 0 ? pair[0] : 0) + (pair[1] > 0 ? pair[1] : 0), low = pair[0] + pair[1] - high;
        if (255 * high > INT16_MAX || 255 * low < INT16_MIN) return false;
    }
    return true;
}

/* A byte as u8: i8 moved by 128. */
static struct value *unsigned_byte(struct graph *to, struct value *x)
{
    if (!x || x->type.dt != DT_i8) return x;
    x = graph_cast(to, x, DT_i32);
    return graph_cast(to, graph_binary(to, OP_add, x, graph_scalar(to, DT_i32, 128)), DT_u8);
}

static struct value *byte_at(struct graph *to, struct value *byte, int place)
{
    byte = graph_cast(to, byte, DT_i32);
    return place ? graph_binary(to, OP_mul, byte, graph_int(to, DT_i32, (int64_t)1 << 8 * place)) : byte;
}

/* x as words, with its border. Up to three channels are put together by arithmetic, before the border is put round them: a
 * vector of words is computed where the bytes are, of one channel after the other, and nothing is stored byte by byte.
 * mobilenetv2's input: 97 us to 31. */
static struct value *words_with_border(struct graph *to, const struct bytes_product *product, struct value *x, struct value *zero)
{
    enum { BYTES = 4 };
    int last = x->type.rank - 1;
    dim channels = x->type.dim[last];
    if (product->matrix || !dim_is_const(channels) || channels >= BYTES) {
        x = bytes_pad(to, product, x, zero, BYTES);
        return x ? graph_node(to, OP_words, 1, &x, 0, NULL) : NULL;
    }
    struct value *word = NULL, *border = NULL;
    for (int c = 0; c < BYTES; c++) {
        struct value *filling = byte_at(to, zero, c), *byte = c < channels ? byte_at(to, graph_slice_axis(to, x, last, c, 1), c) : filling;
        border = border ? graph_binary(to, OP_add, border, filling) : filling;
        word = word ? graph_binary(to, OP_add, word, byte) : byte;
    }
    return bytes_pad(to, product, word, border, 1);
}

static struct value *dot_product(struct graph *to, const struct bytes_product *product, enum op convolution, enum op matrix, struct value **in)
{
    struct attr block = ATTR_I("block", product->block);
    if (product->matrix) return graph_node(to, matrix, 2, in, 1, &block);
    return graph_node(to, convolution, 2, in, 3, (struct attr[]){*product->stride, *product->dilation, block});
}

/* By numbers of 16 bits, x less its zero: any weights, with nothing to make good. */
static struct value *build_pairs(struct graph *to, const struct bytes_product *product, const struct layout *from)
{
    struct value *x = graph_cast(to, product->x, DT_u16);
    struct value *zero = product->moving ? graph_cast(to, graph_reshape(to, product->moving, 0, NULL), DT_u16) : graph_scalar(to, DT_u16, (double)(product->zero & 0xffff));
    if (product->moving || product->zero) x = graph_binary(to, OP_sub, x, zero);
    x = bytes_pad(to, product, x, graph_scalar(to, DT_u16, 0), 2);
    if (!x) return NULL;
    struct value *in[] = {graph_node(to, OP_pairs, 1, &x, 0, NULL), pack_words(to, product, from, NEW_ARRAY(to->arena, int32_t, product->size), 2)};
    return dot_product(to, product, OP_conv_dot2, OP_matmul_dot2, in);
}

struct value *bytes_build(struct graph *to, const struct bytes_product *product)
{
    struct value *x = product->x;
    if (!x || value_const(product->w)->type.dt != DT_i32) return NULL;
    bool pairs = product->target && !product->target->has_dot && product->target->level > 0;
    int64_t zero = product->zero + (x->type.dt == DT_i8 ? 128 : 0);
    struct value *moving = product->moving ? unsigned_byte(to, graph_reshape(to, product->moving, 0, NULL)) : NULL;
    struct layout from = layout_of(product);
    int32_t *shift = arena_array(to->arena, (size_t)product->size, sizeof *shift);
    bool fits = find_shifts(product, &from, shift);
    struct value *weights = fits ? pack_words(to, product, &from, shift, 4) : NULL;
    bool close = pairs && fits && pairs_fit(weights);
    if (pairs && !close && bytes_magnitude(product->w) <= INT16_MAX) return build_pairs(to, product, &from);
    if (!fits) return NULL;
    bool is_shifted = false;
    for (int64_t o = 0; o < product->size; o++) is_shifted |= shift[o] != 0;
    x = unsigned_byte(to, x);
    struct value *border = moving ? moving : graph_scalar(to, DT_u8, (double)zero);
    struct value *in[] = {words_with_border(to, product, x, border), weights};
    if (!in[0]) return NULL;
    struct value *y = dot_product(to, product, close ? OP_conv_dot_sat : OP_conv_dot, close ? OP_matmul_dot_sat : OP_matmul_dot, in);
    if (is_shifted) y = graph_binary(to, OP_add, y, shifted_sums(to, product, bytes_pad(to, product, x, border, 4), shift));
    struct value *less = moving || zero ? weight_sums(to, product, &from, shift, moving ? 1 : zero) : NULL;
    if (moving) less = graph_binary(to, OP_mul, graph_cast(to, moving, DT_i32), less);
    return less ? graph_binary(to, OP_add, y, less) : y;
}

struct value *bytes_zero_part(struct graph *to, const struct bytes_product *product, int64_t zero)
{
    struct layout from = layout_of(product);
    return weight_sums(to, product, &from, NEW_ARRAY(to->arena, int32_t, product->size), zero);
}

struct window { /* along the columns: `each` results are made of the columns of `words` words */
    int64_t terms, taps, stride, each, words, blocks; /* terms: columns in a word */
};

/* [k, words, each, c]: the taps of one row as bytes where the columns of the words have them. */
static struct value *pack_window(struct graph *to, const struct bytes_product *product, const struct window *window)
{
    const struct type *wt = &product->w->type;
    const int32_t *w = value_const(product->w)->data;
    int64_t channels = wt->dim[0], rows = wt->dim[2];
    struct type type = {.dt = DT_i32, .rank = 4, .dim = {rows, window->words, window->each, channels}};
    uint32_t *data = arena_array(to->session, (size_t)(rows * window->words * window->each * channels), sizeof *data), *at = data;
    for (int64_t k = 0; k < rows; k++)
        for (int64_t m = 0; m < window->words; m++)
            for (int64_t b = 0; b < window->each; b++)
                for (int64_t c = 0; c < channels; c++, at++) {
                    *at = 0;
                    for (int64_t d = 0; d < window->terms; d++) {
                        int64_t tap = window->terms * m + d - window->stride * b;
                        if (tap >= 0 && tap < window->taps) *at |= ((uint32_t)w[(c * rows + k) * window->taps + tap] & (window->terms == 4 ? 0xff : 0xffff)) << 32 / window->terms * d;
                    }
                }
    return graph_data(to, &type, data);
}

/* `terms` columns side by side as one word, of x with a border of `zero`. */
static struct value *join_columns(struct graph *to, const struct bytes_product *product, struct value *x, double zero, int64_t columns, int64_t terms)
{
    int64_t before[RANK_MOST] = {0, product->pad[0], product->pad[1], 0};
    int64_t after[RANK_MOST] = {0, product->pad_after[0], columns - product->pad[1] - x->type.dim[2], 0};
    struct value *in[] = {x, graph_scalar(to, DT_u8, zero)}, *words = NULL;
    x = graph_node(to, OP_pad, 2, in, 2, (struct attr[]){ATTR_L("before", before, 4), ATTR_L("after", after, 4)});
    if (!x) return NULL;
    dim split[] = {x->type.dim[0], x->type.dim[1], columns / terms, terms, x->type.dim[3]}, whole[] = {split[0], split[1], split[2], split[4]};
    x = graph_reshape(to, x, 5, split);
    for (int64_t d = 0; d < terms; d++) {
        struct value *byte = byte_at(to, graph_slice_axis(to, x, 3, d, 1), (int)(4 / terms * d));
        words = words ? graph_binary(to, OP_add, words, byte) : byte;
    }
    return graph_reshape(to, words, 4, whole);
}

struct value *bytes_windows(struct graph *to, const struct bytes_product *product, dim rows, dim columns)
{
    struct value *x = product->x;
    if (!x || product->n != 2 || product->moving || !product->target || product->target->level == 0 || !dim_is_const(columns)) return NULL;
    int64_t zero = product->zero + (x->type.dt == DT_i8 ? 128 : 0), stride = product->stride->ints[1], terms = product->target->has_dot ? 4 : 2;
    struct window window = {.terms = terms, .taps = product->w->type.dim[3], .stride = stride, .each = stride > 0 ? terms / stride : 0};
    if (window.each < 2 || window.each * stride != terms || product->dilation->ints[1] != 1 || bytes_magnitude(product->w) > 127) return NULL;
    window.words = (terms - stride + window.taps + terms - 1) / terms;
    window.blocks = (columns + window.each - 1) / window.each;
    int64_t wide = terms * (window.blocks + window.words - 1);
    if (!dim_is_const(x->type.dim[2]) || wide < product->pad[1] + x->type.dim[2]) return NULL;
    struct value *in[] = {join_columns(to, product, unsigned_byte(to, x), (double)zero, wide, terms), pack_window(to, product, &window)};
    if (!in[0]) return NULL;
    const char *text = arena_printf(to->arena, "y[n, p, q*%d + b, c] += dot%d(x[n, p*%d + k*%d, q + m, c], w[k, m, b, c], 0) where p < ROWS, q < BLOCKS",
                                    (int)window.each, (int)terms, (int)product->stride->ints[0], (int)product->dilation->ints[0]);
    struct attr attrs[] = {ATTR_S("meaning", text), ATTR_I("rows", rows), ATTR_I("blocks", window.blocks)};
    struct value *y = graph_node(to, OP_index, 2, in, 3, attrs);
    if (!y) return NULL;
    y = graph_slice_axis(to, y, 2, 0, columns);
    if (!zero) return y;
    return graph_binary(to, OP_add, y, bytes_zero_part(to, product, zero));
}

/* (byte - zero) in f32, before padding. */
static struct value *centred_float(struct graph *to, const struct bytes_product *product)
{
    struct value *x = graph_cast(to, product->x, DT_f32);
    if (product->moving) return graph_binary(to, OP_sub, x, graph_cast(to, graph_reshape(to, product->moving, 0, NULL), DT_f32));
    return product->zero ? graph_binary(to, OP_sub, x, graph_scalar(to, DT_f32, (double)product->zero)) : x;
}

struct value *bytes_depthwise(struct graph *to, const struct bytes_product *product, bool narrow)
{
    struct value *x = product->x;
    if (!x) return NULL;
    narrow &= !product->moving;
    if (narrow) x = graph_cast(to, bytes_pad(to, product, x, graph_scalar(to, x->type.dt, (double)product->zero), 1), DT_f32);
    else x = centred_float(to, product), x = bytes_pad(to, product, x, graph_scalar(to, DT_f32, 0), 1);
    struct value *in[] = {x, graph_cast(to, constant_depthwise(to, graph_const(to, value_const(product->w))), DT_f32)};
    struct value *y = graph_node(to, OP_conv_depth, 2, in, 2, (struct attr[]){*product->stride, *product->dilation});
    if (!narrow || product->zero == 0) return y;
    return graph_binary(to, OP_add, y, graph_cast(to, bytes_zero_part(to, product, product->zero), DT_f32));
}

/* Note: pairs. The instruction that multiplies u8 by i8 saturates the sums of two neighbouring products to 16 bits. It is used
 * where no bytes can get there, which weights show: 255 times the positive ones of each pair stays below 2^15, and 255 times
 * the negative ones above -2^15 - 1, as with weights of 7 bits. Otherwise both sides have 16 bits and sums of pairs have 32.
 * Words of 8 lanes, multiply-adds of bytes a second on a core with three vector ports: floats 49, by i16 68, by u8 and i8 88;
 * bytes widened to 16 bits between load and product, as dot4 is without an instruction of its own, no more than floats. */

/* Note: windows. A depthwise convolution has nothing to add up within a position, so that the four bytes of a word are four
 * columns: stored once as words, they are multiplied by the taps of a row where these fall for each result of the word, as
 * bytes that are 0 elsewhere; taps beyond it are in the next word.
 *
 *     columns 4q..4q+3 | 4q+4..4q+7        result 4q: a b c 0 | 0 0 0 0    4q+2: 0 0 a b | c 0 0 0
 *     taps a b c, stride 1                 result 4q+1: 0 a b c | 0 0 0 0  4q+3: 0 0 0 a | b c 0 0
 *
 * Two products a row of up to 5 taps, in exact i32, on a quarter of the floats' memory. Where four products are no instruction,
 * words are two columns and products dot2; then only where several results share a word (stride 1). ppocr_rec (windows of 5 by 5)
 * 7.8 ms to 5.9, ppocr_det 18.1 to 17.0, mobilenetv2 2.22 to 2.10 (AVX-512 VNNI); 18.2 to 16.2, 39.0 to 37.4, 7.08 to 6.96 (AVX2).
 */
