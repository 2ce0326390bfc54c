/* Tensors of a .tflite file: type, quantization, and bytes as constants.
 *
 * The bytes that a shape needs are compared with those of its buffer before anything is made of it. They stay in the
 * file; only what is not aligned for its elements, half bytes and sparse tensors are copied.
 */
#include "tflite_import.h"

#include <math.h>
#include <string.h>

/* Fields of the schema's tables. */
enum { TENSOR_SHAPE, TENSOR_TYPE, TENSOR_BUFFER, TENSOR_NAME, TENSOR_QUANT, TENSOR_VARIABLE, TENSOR_SPARSITY };
enum { QUANT_SCALE = 2, QUANT_ZERO = 3, QUANT_DETAILS = 4, QUANT_AXIS = 6 };
enum { BUFFER_DATA, BUFFER_OFFSET, BUFFER_SIZE };

enum { HALF_BYTES = 17 }; /* type INT4 */

static const struct {
    const char *name;
    int dt; /* DT_COUNT: no such element type here */
} type_rows[] = {
    {"float32", DT_f32},  {"float16", DT_f16},      {"int32", DT_i32},  {"uint8", DT_u8},        {"int64", DT_i64},
    {"string", DT_COUNT}, {"bool", DT_bool},        {"int16", DT_i16},  {"complex64", DT_COUNT}, {"int8", DT_i8},
    {"float64", DT_f64},  {"complex128", DT_COUNT}, {"uint64", DT_u64}, {"resource", DT_COUNT},  {"variant", DT_COUNT},
    {"uint32", DT_u32},   {"uint16", DT_u16},       {"int4", DT_i8},    {"bfloat16", DT_bf16},   {"int2", DT_COUNT},
    {"uint4", DT_COUNT},
};

bool tflite_dtype(int64_t type, enum dtype *dt, const char **name)
{
    bool is_known = type >= 0 && (size_t)type < sizeof type_rows / sizeof *type_rows;
    *name = is_known ? type_rows[type].name : "of unknown number";
    if (!is_known || type_rows[type].dt == DT_COUNT) return false;
    *dt = (enum dtype)type_rows[type].dt;
    return true;
}

bool tflite_take(struct tflite_importer *importer, int64_t n_bytes)
{
    uint64_t most = ((uint64_t)64 << 20) + 8 * (uint64_t)importer->flat.n;
    if ((uint64_t)n_bytes > most - importer->heap_bytes)
        return diag_error(importer->graph->diag, importer->graph->place,
                          "decoding this file would take over %llu MB: far more than its size",
                          (unsigned long long)(most >> 20));
    importer->heap_bytes += (uint64_t)n_bytes;
    return true;
}

static bool complain(struct tflite_importer *importer, const struct tflite_tensor *tensor, const char *what)
{
    return diag_error(importer->graph->diag, importer->graph->place, "tensor \"%s\": %s", tensor->name, what);
}

static bool read_type(struct tflite_importer *importer, const struct flat_table *table, struct tflite_tensor *tensor)
{
    struct flat_list shape;
    const char *name;
    struct graph *graph = importer->graph;
    if (!tflite_dtype(flat_int(table, TENSOR_TYPE, 1, 0), &tensor->type.dt, &name))
        return diag_error(graph->diag, graph->place, "tensor \"%s\": element type %s is not supported", tensor->name,
                          name);
    if (!flat_list(table, TENSOR_SHAPE, 4, &shape)) return false;
    if (shape.n > RANK_MOST) return complain(importer, tensor, "rank above 16");
    tensor->type.rank = (int)shape.n;
    for (int i = 0; i < tensor->type.rank; i++) {
        tensor->type.dim[i] = flat_element(&shape, i, 4);
        if (tensor->type.dim[i] < 0)
            return diag_error(graph->diag, graph->place, "tensor \"%s\": dimension %d is %lld", tensor->name, i,
                              (long long)tensor->type.dim[i]);
    }
    return type_count(&tensor->type) >= 0 || complain(importer, tensor, "more than 2^40 elements");
}

/* Scales and zero points. Only integers of 8 to 32 bits are quantized; scales on other tensors mean nothing. */
static bool read_quant(struct tflite_importer *importer, const struct flat_table *table, struct tflite_tensor *tensor)
{
    struct flat_table quant;
    struct flat_list scales, zeros;
    struct graph *graph = importer->graph;
    enum dtype dt = tensor->type.dt;
    if (!flat_child(table, TENSOR_QUANT, &quant)) return false;
    if (!flat_list(&quant, QUANT_SCALE, 4, &scales) || !flat_list(&quant, QUANT_ZERO, 8, &zeros)) return false;
    if (!scales.n || !dtype_is_int(dt) || dtype_bytes(dt) > 4) return true;
    if (flat_int(&quant, QUANT_DETAILS, 1, 0))
        return complain(importer, tensor, "custom quantization is not supported");
    int64_t axis = flat_int(&quant, QUANT_AXIS, 4, 0);
    bool is_per_axis = scales.n > 1 || (axis >= 0 && axis < tensor->type.rank && tensor->type.dim[axis] == 1);
    if (scales.n > 1 && (axis < 0 || axis >= tensor->type.rank || tensor->type.dim[axis] != scales.n))
        return diag_error(graph->diag, graph->place, "tensor \"%s\": %lld scales for axis %lld of %s", tensor->name,
                          (long long)scales.n, (long long)axis, type_string(graph->dims, graph->arena, &tensor->type));
    if (zeros.n && zeros.n != scales.n && zeros.n != 1)
        return complain(importer, tensor, "scales and zero points differ in number");
    if (!tflite_take(importer, scales.n * 16)) return false;
    double *scale = NEW_ARRAY(graph->session, double, scales.n);
    int64_t *zero = NEW_ARRAY(graph->session, int64_t, scales.n);
    for (int64_t i = 0; i < scales.n; i++) {
        scale[i] = flat_element_float(&scales, i);
        zero[i] = zeros.n ? flat_element(&zeros, zeros.n == 1 ? 0 : i, 8) : 0;
        if (!(scale[i] > 0) || !isfinite(scale[i]))
            return complain(importer, tensor, "a scale is not a positive number");
        if (zero[i] < dtype_int_min(dt) || zero[i] > (int64_t)dtype_int_max(dt))
            return complain(importer, tensor, "a zero point outside the range of its type");
    }
    tensor->quant = (struct tflite_quant){(int)scales.n, is_per_axis ? (int)axis : 0, scale, zero};
    return true;
}

struct tflite_tensor *tflite_tensor(struct tflite_importer *importer, int64_t i)
{
    struct flat_table table;
    struct graph *graph = importer->graph;
    if (i < 0 || i >= importer->tables.n) {
        diag_error(graph->diag, graph->place, "tensor %lld of %lld", (long long)i, (long long)importer->tables.n);
        return NULL;
    }
    struct tflite_tensor *tensor = &importer->tensors[i];
    if (tensor->is_read) return tensor->is_good ? tensor : NULL;
    int errors = diag_errors(graph->diag);
    tensor->is_read = true;
    if (!flat_element_table(&importer->tables, i, &table)) return NULL;
    tensor->name = flat_string(&table, TENSOR_NAME, graph->session);
    if (!tflite_take(importer, (int64_t)strlen(tensor->name))) return NULL;
    if (!*tensor->name) tensor->name = arena_printf(graph->session, "tensor_%lld", (long long)i);
    tensor->is_variable = flat_int(&table, TENSOR_VARIABLE, 1, 0) != 0;
    bool ok = read_type(importer, &table, tensor) && read_quant(importer, &table, tensor);
    tensor->is_good = ok && errors == diag_errors(graph->diag);
    return tensor->is_good ? tensor : NULL;
}

bool tflite_buffer(struct tflite_importer *importer, int64_t index, struct flat_list *bytes)
{
    struct flat_table buffer;
    struct graph *graph = importer->graph;
    *bytes = (struct flat_list){&importer->flat, 0, 0};
    if (index < 0 || index >= importer->buffers.n)
        return diag_error(graph->diag, graph->place, "buffer %lld of %lld", (long long)index,
                          (long long)importer->buffers.n);
    if (!flat_element_table(&importer->buffers, index, &buffer)) return false;
    uint64_t offset = (uint64_t)flat_int(&buffer, BUFFER_OFFSET, 8, 0),
             size = (uint64_t)flat_int(&buffer, BUFFER_SIZE, 8, 0);
    if (offset <= 1) return flat_list(&buffer, BUFFER_DATA, 1, bytes);
    if (size > importer->flat.n || offset > importer->flat.n - size)
        return diag_error(graph->diag, graph->place, "buffer %lld lies outside the file", (long long)index);
    *bytes = (struct flat_list){&importer->flat, (size_t)offset, (int64_t)size};
    return true;
}

/* Two elements of 4 bits per byte, the first in the low half. */
static const void *spread_halves(struct arena *arena, const uint8_t *from, int64_t n)
{
    int8_t *to = NEW_ARRAY(arena, int8_t, n + 1);
    for (int64_t i = 0; i < n; i++) {
        int half = from[i / 2] >> (i % 2 ? 4 : 0) & 15;
        to[i] = (int8_t)(half > 7 ? half - 16 : half);
    }
    return to;
}

/* The elements of a tensor with bytes in the file; NULL after a message. */
static const void *tensor_data(struct tflite_importer *importer, const struct flat_table *table,
                               const struct tflite_tensor *tensor, const struct flat_list *bytes)
{
    struct flat_table sparsity;
    struct graph *graph = importer->graph;
    int64_t n = type_count(&tensor->type), size = dtype_bytes(tensor->type.dt);
    bool is_half = flat_int(table, TENSOR_TYPE, 1, 0) == HALF_BYTES;
    int64_t needed = is_half ? (n + 1) / 2 : n * size;
    if (!flat_child(table, TENSOR_SPARSITY, &sparsity)) return NULL;
    if (sparsity.flat && is_half) return complain(importer, tensor, "sparse half bytes are not supported"), NULL;
    if (sparsity.flat) return tflite_densify(importer, tensor, &sparsity, bytes);
    if (bytes->n != needed) {
        diag_error(graph->diag, graph->place, "tensor \"%s\": its shape needs %lld bytes, its buffer has %lld",
                   tensor->name, (long long)needed, (long long)bytes->n);
        return NULL;
    }
    if (!n) return "";
    const uint8_t *at = bytes->flat->at + bytes->at;
    bool is_copied = is_half || tensor->type.dt == DT_bool || (uintptr_t)at % (uintptr_t)size;
    if (is_copied && !tflite_take(importer, n * size)) return NULL;
    if (is_half) return spread_halves(graph->session, at, n);
    if (tensor->type.dt == DT_bool) {
        uint8_t *to = arena_copy(graph->session, at, (size_t)n);
        for (int64_t i = 0; i < n; i++) to[i] = to[i] != 0;
        return to;
    }
    return is_copied ? arena_copy(graph->session, at, (size_t)needed) : at;
}

struct value *tflite_constant(struct tflite_importer *importer, int64_t i)
{
    struct graph *graph = importer->graph;
    struct tflite_tensor *tensor = tflite_tensor(importer, i);
    struct flat_table table;
    struct flat_list bytes;
    if (!tensor || tensor->value || tensor->is_given) return tensor ? tensor->value : NULL;
    if (!flat_element_table(&importer->tables, i, &table)) return NULL;
    int64_t buffer = (int64_t)(uint32_t)flat_int(&table, TENSOR_BUFFER, 4, 0);
    if (!tflite_buffer(importer, buffer, &bytes)) return NULL;
    if (tensor->is_variable && !bytes.n)
        return tensor->value = build_fill(
                   graph, graph_scalar(graph, tensor->type.dt, tensor->quant.n ? (double)tensor->quant.zero[0] : 0),
                   tensor->type.rank, tensor->type.dim);
    if (!bytes.n && type_count(&tensor->type) != 0) {
        diag_error(graph->diag, graph->place, "nothing before this operator gives tensor %lld \"%s\"", (long long)i,
                   tensor->name);
        return NULL;
    }
    const void *data = tensor_data(importer, &table, tensor, &bytes);
    if (!data) return NULL;
    return tensor->value = graph_name(graph, graph_data(graph, &tensor->type, data), tensor->name);
}
