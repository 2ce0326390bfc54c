/* Convolutions and matrix products.
 *
 * The integer form is that of integers without their zero points, exact in i32, which pass layout turns into products
 * of bytes (passes/bytes.c); tflite_quant.h brings the sums to the result's scale.
 */
#include "tflite_quant.h"
#include "tflite_window.h"

enum { CONV_PADDING, CONV_STRIDE_W, CONV_STRIDE_H, CONV_ACTIVATION, CONV_DILATION_W, CONV_DILATION_H };
enum { DEPTHWISE_ACTIVATION = 4, DEPTHWISE_DILATION_W, DEPTHWISE_DILATION_H };
enum { DENSE_ACTIVATION, DENSE_FORMAT, DENSE_KEEP_DIMS };
enum { MATMUL_ADJ_X, MATMUL_ADJ_Y };

static const struct tflite_window_fields conv_fields = {CONV_PADDING, CONV_STRIDE_W, CONV_STRIDE_H, CONV_DILATION_W,
                                                        CONV_DILATION_H};
static const struct tflite_window_fields depthwise_fields = {CONV_PADDING, CONV_STRIDE_W, CONV_STRIDE_H,
                                                             DEPTHWISE_DILATION_W, DEPTHWISE_DILATION_H};
static const struct tflite_window_fields transposed_fields = {CONV_PADDING, CONV_STRIDE_W, CONV_STRIDE_H, -1, -1};

/* A convolution as the graph has it. */
struct convolution {
    struct value *x;      /* [N, H, W, C] */
    struct value *weight; /* [O, I, H, W] */
    struct value *bias;   /* NULL: none */
    const struct tflite_tensor *x_tensor, *weight_tensor;
    struct window window;
    int64_t group;
    int activation;  /* the option's field */
    bool is_centred; /* x has had its zero point subtracted */
};

static struct value *finish_float(struct tflite_call *c, const struct convolution *conv)
{
    struct graph *g = c->graph;
    struct value *x = tflite_channels_first(g, conv->x);
    struct value *y = tflite_channels_last(g, window_node(g, OP_conv, x, conv->weight, &conv->window, conv->group));
    if (conv->bias) y = build_add(g, y, conv->bias);
    return tflite_activate(c, conv->activation, y);
}

/* Stored integers without their zero point. */
static struct value *centred(struct graph *g, struct value *x, int64_t zero)
{
    x = graph_cast(g, x, DT_i32);
    return zero ? build_with(g, OP_sub, x, (double)zero) : x;
}

static struct value *finish_quantized(struct tflite_call *c, struct convolution *conv)
{
    struct graph *g = c->graph;
    struct tflite_sums sums = {.bias = conv->bias, .activation = conv->activation};
    double scale;
    int64_t zero;
    if (!tflite_scale(c, conv->x_tensor, &scale, &zero) || !tflite_sum_scales(c, scale, conv->weight_tensor, &sums))
        return NULL;
    struct value *x = centred(g, tflite_channels_first(g, conv->x), conv->is_centred ? 0 : zero);
    struct value *weight = centred(g, conv->weight, sums.weight_zero);
    sums.sum = tflite_channels_last(g, window_node(g, OP_conv, x, weight, &conv->window, conv->group));
    return tflite_finish_sums(c, &sums);
}

static bool check_operands(struct tflite_call *c)
{
    struct value *x = c->in[0], *weight = c->in[1];
    if (!x || !weight || x->type.rank != 4 || weight->type.rank != 4)
        return tflite_error(c, "needs an input and a weight of rank 4");
    for (int i = 0; i < 4; i++)
        if (x->type.dim[i] < 1 || weight->type.dim[i] < 1) return tflite_error(c, "an empty input or weight");
    return true;
}

static bool read_conv(struct tflite_call *c, struct convolution *conv)
{
    if (!check_operands(c)) return false;
    const dim *x = c->in[0]->type.dim, *weight = c->in[1]->type.dim;
    *conv = (struct convolution){
        .x = c->in[0], .weight = c->in[1], .bias = c->in[2], .group = 0, .activation = CONV_ACTIVATION};
    conv->x_tensor = c->in_tensor[0], conv->weight_tensor = c->in_tensor[1];
    if (!tflite_window(c, conv->x, weight[1], weight[2], &conv_fields, &conv->window)) return false;
    if (x[3] % weight[3] || weight[0] % (x[3] / weight[3]))
        return tflite_error(c, "%lld channels, the weight is for %lld and gives %lld", (long long)x[3],
                            (long long)weight[3], (long long)weight[0]);
    conv->group = x[3] / weight[3];
    conv->weight = tflite_channels_first(c->graph, conv->weight);
    return true;
}

static bool read_depthwise(struct tflite_call *c, struct convolution *conv)
{
    if (!check_operands(c)) return false;
    const dim *x = c->in[0]->type.dim, *weight = c->in[1]->type.dim;
    *conv = (struct convolution){
        .x = c->in[0], .weight = c->in[1], .bias = c->in[2], .group = x[3], .activation = DEPTHWISE_ACTIVATION};
    conv->x_tensor = c->in_tensor[0], conv->weight_tensor = c->in_tensor[1];
    if (!tflite_window(c, conv->x, weight[1], weight[2], &depthwise_fields, &conv->window)) return false;
    if (weight[0] != 1 || weight[3] % x[3])
        return tflite_error(c, "%lld channels, a depthwise weight of [%lld, .., %lld]", (long long)x[3],
                            (long long)weight[0], (long long)weight[3]);
    conv->weight = graph_transpose(c->graph, conv->weight, (int64_t[]){3, 0, 1, 2});
    int64_t times[4] = {1, 1, 1, weight[3] / x[3]};
    if (x[3] == 1 || times[3] == 1 || !tflite_is_quantized(conv->x_tensor)) return true;
    /* Several outputs of a channel become one of each of its copies, which pass layout can do with bytes. */
    conv->x = graph_node(c->graph, OP_repeat, 1, &conv->x, 1, (struct attr[]){ATTR_L("times", times, 4)});
    conv->group = weight[3];
    return true;
}

/* The transposed convolution as a plain one: over the input with zeros between its elements, by the flipped weight. The
 * padding before is what the flipped window reaches; behind, what the size of the result needs. */
static bool read_transposed(struct tflite_call *c, struct convolution *conv)
{
    struct graph *g = c->graph;
    const int64_t *shape;
    int n = tflite_ints(c, 0, "output_shape", &shape);
    if (n < 0) return false;
    if (n != 4) return tflite_error(c, "output_shape has %d elements", n);
    c->in[0] = c->in[2]; /* the input is the third here */
    if (!check_operands(c)) return false;
    const dim *x = c->in[0]->type.dim, *weight = c->in[1]->type.dim;
    *conv = (struct convolution){
        .x = c->in[0], .weight = c->in[1], .bias = c->in[3], .group = 1, .activation = CONV_ACTIVATION};
    conv->x_tensor = c->in_tensor[2], conv->weight_tensor = c->in_tensor[1];
    struct window *w = &conv->window;
    if (!tflite_window(c, conv->x, weight[1], weight[2], &transposed_fields, w)) return false;
    if (x[3] != weight[3])
        return tflite_error(c, "%lld channels, the weight expects %lld", (long long)x[3], (long long)weight[3]);
    int64_t spread[4] = {1, w->stride[0], w->stride[1], 1};
    bool is_same = tflite_option(c, CONV_PADDING, 1, 0) == 0;
    for (int i = 0; i < 2; i++) {
        int64_t full = (x[i + 1] - 1) * w->stride[i] + w->kernel[i], more = full - shape[i + 1];
        if (shape[i + 1] < 1 || shape[i + 1] > ELEMENTS_MOST)
            return tflite_error(c, "output_shape holds %lld", (long long)shape[i + 1]);
        int64_t before = is_same && more > 0 ? more / 2 : 0;
        w->before[i] = w->kernel[i] - 1 - before;
        w->after[i] = shape[i + 1] - full + w->kernel[i] - 1 + before;
        w->stride[i] = 1;
    }
    conv->is_centred = tflite_is_quantized(conv->x_tensor);
    if (conv->is_centred) /* zeros are put between elements: they must be zeros of the numbers too */
        conv->x = centred(g, conv->x, conv->x_tensor->quant.zero[0]);
    conv->x = graph_node(g, OP_dilate, 1, &conv->x, 1, (struct attr[]){ATTR_L("stride", spread, 4)});
    conv->weight = build_reverse(g, build_reverse(g, tflite_channels_first(g, conv->weight), 2), 3);
    return conv->x && conv->weight;
}

/* Weights may be integers beside a float input: then the numbers that they stand for count. */
static struct value *real_conv(struct tflite_call *c, struct convolution *conv)
{
    if (conv->weight_tensor->type.dt != DT_f32) {
        struct tflite_tensor laid = *conv->weight_tensor;
        if (!tflite_is_quantized(&laid)) return tflite_refuse(c, "weights of type %s", dtype_name(laid.type.dt));
        laid.type.rank = 4;
        laid.quant.axis = 0; /* of the weight as the graph has it */
        conv->weight = tflite_real(c, &laid, conv->weight);
    }
    return finish_float(c, conv);
}

static struct value *build_conv(struct tflite_call *c)
{
    struct convolution conv;
    return read_conv(c, &conv) ? real_conv(c, &conv) : NULL;
}
static struct value *build_depthwise(struct tflite_call *c)
{
    struct convolution conv;
    return read_depthwise(c, &conv) ? real_conv(c, &conv) : NULL;
}
static struct value *build_transposed(struct tflite_call *c)
{
    struct convolution conv;
    return read_transposed(c, &conv) ? real_conv(c, &conv) : NULL;
}
static struct value *quant_conv(struct tflite_call *c)
{
    struct convolution conv;
    return read_conv(c, &conv) ? finish_quantized(c, &conv) : NULL;
}
static struct value *quant_depthwise(struct tflite_call *c)
{
    struct convolution conv;
    return read_depthwise(c, &conv) ? finish_quantized(c, &conv) : NULL;
}
static struct value *quant_transposed(struct tflite_call *c)
{
    struct convolution conv;
    return read_transposed(c, &conv) ? finish_quantized(c, &conv) : NULL;
}

/* x as rows of what the weight [O, K] takes; the result's dims: those of x but the last (keep_num_dims), or the rows.
 */
static bool read_dense(struct tflite_call *c, struct value **rows, int *rank, dim *dims)
{
    struct value *x = c->in[0], *weight = c->in[1];
    if (tflite_option(c, DENSE_FORMAT, 1, 0)) return tflite_refuse(c, "shuffled weights");
    if (weight->type.rank != 2 || x->type.rank < 1) return tflite_error(c, "a weight of rank %d", weight->type.rank);
    int64_t n = type_count(&x->type), taken = weight->type.dim[1];
    if (taken < 1 || n % taken)
        return tflite_error(c, "%s does not divide into rows of %lld",
                            type_string(c->graph->dims, c->graph->arena, &x->type), (long long)taken);
    bool keep = tflite_option(c, DENSE_KEEP_DIMS, 1, 0) != 0;
    if (keep && x->type.dim[x->type.rank - 1] != taken)
        return tflite_error(c, "rows of %lld, the weight takes %lld", (long long)x->type.dim[x->type.rank - 1],
                            (long long)taken);
    *rows = graph_reshape(c->graph, x, 2, (dim[]){n / taken, taken});
    *rank = keep ? x->type.rank : 2;
    dims[0] = n / taken;
    for (int i = 0; keep && i < *rank; i++) dims[i] = x->type.dim[i];
    dims[*rank - 1] = weight->type.dim[0];
    return true;
}

static struct value *build_dense(struct tflite_call *c)
{
    struct graph *g = c->graph;
    struct value *rows, *weight = c->in[1];
    dim dims[RANK_MOST];
    int rank;
    if (!read_dense(c, &rows, &rank, dims)) return NULL;
    if (weight->type.dt != DT_f32) {
        if (!tflite_is_quantized(c->in_tensor[1]))
            return tflite_refuse(c, "weights of type %s", dtype_name(weight->type.dt));
        weight = tflite_real(c, c->in_tensor[1], weight);
    }
    struct value *y = graph_matmul(g, rows, build_swap(g, weight, 0, 1));
    if (c->in[2]) y = build_add(g, y, c->in[2]);
    return graph_reshape(g, tflite_activate(c, DENSE_ACTIVATION, y), rank, dims);
}

static struct value *quant_dense(struct tflite_call *c)
{
    struct graph *g = c->graph;
    struct tflite_sums sums = {.bias = c->in[2], .activation = DENSE_ACTIVATION, .is_dense = true};
    struct value *rows;
    dim dims[RANK_MOST];
    int rank;
    double scale;
    int64_t zero;
    if (!read_dense(c, &rows, &rank, dims) || !tflite_scale(c, c->in_tensor[0], &scale, &zero) ||
        !tflite_sum_scales(c, scale, c->in_tensor[1], &sums))
        return NULL;
    rows = centred(g, rows, zero);
    sums.sum = graph_matmul(g, rows, build_swap(g, centred(g, c->in[1], sums.weight_zero), 0, 1));
    return graph_reshape(g, tflite_finish_sums(c, &sums), rank, dims);
}

static bool read_matmul(struct tflite_call *c, struct value **x, struct value **w)
{
    for (int i = 0; i < 2; i++)
        if (c->in[i]->type.rank < 2) return tflite_error(c, "input %d has rank %d", i, c->in[i]->type.rank);
    *x = c->in[0], *w = c->in[1];
    if (tflite_option(c, MATMUL_ADJ_X, 1, 0)) *x = build_swap(c->graph, *x, (*x)->type.rank - 2, (*x)->type.rank - 1);
    if (tflite_option(c, MATMUL_ADJ_Y, 1, 0)) *w = build_swap(c->graph, *w, (*w)->type.rank - 2, (*w)->type.rank - 1);
    return *x && *w;
}

static struct value *build_matmul(struct tflite_call *c)
{
    struct value *x, *w;
    if (!read_matmul(c, &x, &w)) return NULL;
    if (tflite_is_quantized(c->in_tensor[1])) {
        if (c->in_tensor[1]->quant.n != 1) return tflite_refuse(c, "a second factor with several scales");
        w = tflite_real(c, c->in_tensor[1], w);
    }
    return graph_matmul(c->graph, x, w);
}

static struct value *quant_matmul(struct tflite_call *c)
{
    struct graph *g = c->graph;
    struct tflite_sums sums = {.activation = -1};
    struct value *x, *w;
    double scale;
    int64_t zero;
    if (!read_matmul(c, &x, &w) || !tflite_scale(c, c->in_tensor[0], &scale, &zero) ||
        !tflite_sum_scales(c, scale, c->in_tensor[1], &sums))
        return NULL;
    if (sums.n != 1) return tflite_refuse(c, "a second factor with several scales");
    x = centred(g, x, zero);
    sums.sum = graph_matmul(g, x, centred(g, w, sums.weight_zero));
    return tflite_finish_sums(c, &sums);
}

const struct tflite_row tflite_conv_rows[] = {
    {TFL_BATCH_MATMUL, 2, build_matmul, quant_matmul},
    {TFL_CONV_2D, 2, build_conv, quant_conv},
    {TFL_DEPTHWISE_CONV_2D, 2, build_depthwise, quant_depthwise},
    {TFL_FULLY_CONNECTED, 2, build_dense, quant_dense},
    {TFL_TRANSPOSE_CONV, 3, build_transposed, quant_transposed},
    {0},
};
