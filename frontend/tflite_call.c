/* What a row's function asks of its call: messages, options, inputs known when compiling, activations, scales.
 */
#include "tflite_import.h"

#include <stdarg.h>

const char *tflite_op_name(enum tflite_op op)
{
    static const char *const names[] = {
#define TFL(name) #name,
#include "tflite_ops.def"
#undef TFL
    };
    return names[op];
}

struct value *tflite_error(struct tflite_call *call, const char *format, ...)
{
    va_list args;
    char words[1024];
    va_start(args, format);
    vsnprintf(words, sizeof words, format, args);
    va_end(args);
    diag_error(call->graph->diag, call->graph->place, "%s", words);
    return NULL;
}

struct value *tflite_refuse(struct tflite_call *call, const char *format, ...)
{
    va_list args;
    char words[1024];
    va_start(args, format);
    vsnprintf(words, sizeof words, format, args);
    va_end(args);
    diag_error(call->graph->diag, call->graph->place, "not supported (%s, version %d): %s", tflite_op_name(call->op),
               call->version, words);
    return NULL;
}

int64_t tflite_option(struct tflite_call *call, int field, int bytes, int64_t otherwise)
{
    return flat_int(&call->options, field, bytes, otherwise);
}

bool tflite_ranged(struct tflite_call *call, int field, int bytes, const char *what, int64_t least, int64_t most,
                   int64_t otherwise, int64_t *value)
{
    *value = tflite_option(call, field, bytes, otherwise);
    return (*value >= least && *value <= most) || tflite_error(call, "%s is %lld", what, (long long)*value);
}

int tflite_ints(struct tflite_call *call, int i, const char *what, const int64_t **list)
{
    *list = NULL;
    if (i >= call->n_in || !call->in[i]) return 0;
    int n = value_ints(call->graph, call->in[i], list);
    if (n < 0)
        tflite_refuse(call, "%s (input %d, \"%s\") must be known when compiling", what, i, call->in_tensor[i]->name);
    for (int k = 0; k < n; k++) /* none may look like a symbolic dimension */
        if ((*list)[k] > DIM_HUGE || (*list)[k] < -DIM_HUGE)
            return tflite_error(call, "%s holds %lld", what, (long long)(*list)[k]), -1;
    return n;
}

bool tflite_axis(struct tflite_call *call, int64_t axis, int rank, int *result)
{
    if (axis < -rank || axis >= rank)
        return tflite_error(call, "axis %lld of a tensor of rank %d", (long long)axis, rank);
    *result = (int)(axis < 0 ? axis + rank : axis);
    return true;
}

int tflite_axes(struct tflite_call *call, int i, int rank, const int64_t **axes)
{
    const int64_t *given;
    int n = tflite_ints(call, i, "axes", &given), n_axes = 0;
    if (n < 0) return -1;
    int64_t *list = NEW_ARRAY(call->graph->arena, int64_t, rank + 1);
    unsigned seen = 0;
    for (int k = 0; k < n; k++) {
        int axis = 0;
        if (!tflite_axis(call, given[k], rank, &axis)) return -1;
        if (!(seen & 1u << axis)) list[n_axes++] = axis; /* an axis may stand twice */
        seen |= 1u << axis;
    }
    *axes = list;
    return n_axes;
}

struct value *tflite_activate(struct tflite_call *call, int field, struct value *y)
{
    struct graph *g = call->graph;
    int64_t activation = tflite_option(call, field, 1, ACT_NONE);
    switch (activation) {
    case ACT_NONE: return y;
    case ACT_RELU: return graph_unary(g, OP_relu, y);
    case ACT_RELU_N1_TO_1: return build_clamp(g, y, -1, 1);
    case ACT_RELU6: return build_clamp(g, y, 0, 6);
    case ACT_TANH: return build_tanh(g, y);
    case ACT_SIGN_BIT: {
        struct value *zero = build_number(g, y, 0);
        return build_where_below(g, y, 0, build_number(g, y, 1), zero);
    }
    default: return tflite_error(call, "activation %lld", (long long)activation);
    }
}

struct value *tflite_list(struct graph *graph, enum dtype dt, int64_t n, const void *data)
{
    return graph_data(graph, &(struct type){.dt = dt, .rank = 1, .dim = {n}}, arena_copy(graph->session, data, (size_t)(n * dtype_bytes(dt))));
}

bool tflite_is_quantized(const struct tflite_tensor *tensor)
{
    return tensor && tensor->quant.n > 0;
}

bool tflite_scale(struct tflite_call *call, const struct tflite_tensor *tensor, double *scale, int64_t *zero)
{
    if (!tensor || tensor->quant.n != 1)
        return tflite_error(call, "tensor \"%s\" has %d scales; one is needed", tensor ? tensor->name : "",
                            tensor ? tensor->quant.n : 0);
    *scale = tensor->quant.scale[0];
    *zero = tensor->quant.zero[0];
    return true;
}

bool tflite_same_scale(const struct tflite_tensor *a, const struct tflite_tensor *b)
{
    if (a->type.dt != b->type.dt || a->quant.n != b->quant.n || (a->quant.n > 1 && a->quant.axis != b->quant.axis))
        return false;
    for (int i = 0; i < a->quant.n; i++)
        if (a->quant.scale[i] != b->quant.scale[i] || a->quant.zero[i] != b->quant.zero[i]) return false;
    return true;
}

bool tflite_keeps_scale(struct tflite_call *call)
{
    if (tflite_same_scale(call->in_tensor[0], call->out_tensor[0])) return true;
    return tflite_refuse(call, "a result of another scale than its input's");
}

/* n numbers along the quantized axis of a tensor; one alone as a scalar. */
static struct value *along_axis(struct graph *g, const struct tflite_tensor *tensor, struct value *list)
{
    if (tensor->quant.n == 1) return graph_reshape(g, list, 0, NULL);
    return build_unsqueeze_end(g, list, tensor->type.rank - tensor->quant.axis);
}

struct value *tflite_real(struct tflite_call *call, const struct tflite_tensor *tensor, struct value *value)
{
    struct graph *g = call->graph;
    if (!tflite_is_quantized(tensor) || !value) return value;
    int n = tensor->quant.n;
    float *scale = NEW_ARRAY(g->arena, float, n);
    int32_t *zero = NEW_ARRAY(g->arena, int32_t, n);
    for (int i = 0; i < n; i++) scale[i] = (float)tensor->quant.scale[i], zero[i] = (int32_t)tensor->quant.zero[i];
    struct value *in[3] = {value, along_axis(g, tensor, tflite_list(g, DT_f32, n, scale)),
                           graph_cast(g, along_axis(g, tensor, tflite_list(g, DT_i32, n, zero)), value->type.dt)};
    return graph_node(g, OP_dequantize, 3, in, 0, NULL);
}
