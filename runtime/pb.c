/* ONNX TensorProto in protobuf's wire format. See npy.h; the fields: onnx.proto's TensorProto.
 *
 * Two passes: the first finds type, dims and where raw data lies, the second collects values given one by one
 * (float_data, int32_data ...), packed or not.
 */
#include "npy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIELD_DIMS = 1,
    FIELD_TYPE = 2,
    FIELD_FLOATS = 4,
    FIELD_INT32S = 5,
    FIELD_INT64S = 7,
    FIELD_RAW = 9,
    FIELD_DOUBLES = 10,
    FIELD_UINT64S = 11,
    FIELD_LOCATION = 14
};

struct cursor {
    const unsigned char *at, *end;
};

struct field {
    int number, wire;
    uint64_t value;      /* varint and fixed ones */
    struct cursor bytes; /* wire 2 */
};

static int fail(char *error, const char *words)
{
    snprintf(error, ERROR_BYTES, "%s", words);
    return 0;
}

static int take_varint(struct cursor *in, uint64_t *v)
{
    *v = 0;
    for (int shift = 0; shift < 64 && in->at < in->end; shift += 7) {
        unsigned char byte = *in->at++;
        *v |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) return 1;
    }
    return 0;
}

static int take_fixed(struct cursor *in, int n, uint64_t *v)
{
    if (in->end - in->at < n) return 0;
    *v = 0;
    for (int i = n - 1; i >= 0; i--) *v = *v << 8 | in->at[i];
    in->at += n;
    return 1;
}

static int take_field(struct cursor *in, struct field *field)
{
    uint64_t key, length;
    if (!take_varint(in, &key) || key >> 3 > 536870911 || key >> 3 == 0) return 0;
    field->number = (int)(key >> 3);
    field->wire = (int)(key & 7);
    switch (field->wire) {
    case 0: return take_varint(in, &field->value);
    case 1: return take_fixed(in, 8, &field->value);
    case 5: return take_fixed(in, 4, &field->value);
    case 2:
        if (!take_varint(in, &length) || length > (uint64_t)(in->end - in->at)) return 0;
        field->bytes = (struct cursor){in->at, in->at + length};
        in->at += length;
        return 1;
    default: return 0; /* groups and unknown wire types */
    }
}

static int dtype_of(uint64_t type, enum tenon_dtype *dtype)
{
    static const signed char from[] = {-1,        TENON_F32, TENON_U8, TENON_I8,   TENON_U16, TENON_I16,
                                       TENON_I32, TENON_I64, -1,       TENON_BOOL, TENON_F16, TENON_F64,
                                       TENON_U32, TENON_U64, -1,       -1,         TENON_BF16};
    if (type >= sizeof from || from[type] < 0) return 0;
    *dtype = (enum tenon_dtype)from[type];
    return 1;
}

/* Values of one field: packed ones, or the single one. wire: of one value. */
static int each_value(const struct field *field, int wire, int (*visit)(void *ctx, uint64_t v), void *ctx)
{
    struct cursor in = field->bytes;
    uint64_t v;
    if (field->wire == wire) return visit(ctx, field->value);
    if (field->wire != 2) return 0;
    while (in.at < in.end) {
        int good = wire == 0 ? take_varint(&in, &v) : take_fixed(&in, wire == 1 ? 8 : 4, &v);
        if (!good || !visit(ctx, v)) return 0;
    }
    return 1;
}

static int visit_dim(void *ctx, uint64_t v)
{
    struct array *array = ctx;
    if (array->rank == ARRAY_RANK_MOST || v > INT64_MAX) return 0;
    array->dims[array->rank++] = (int64_t)v;
    return 1;
}

struct filler {
    const struct array *array;
    int64_t n_bytes; /* written so far */
};

static int visit_value(void *ctx, uint64_t v)
{
    struct filler *fill = ctx;
    int64_t size = array_dtype_bytes(fill->array->dtype);
    if (fill->n_bytes + size > fill->array->n_bytes) return 0;
    memcpy((char *)fill->array->data + fill->n_bytes, &v, (size_t)size); /* low bytes first, here and there */
    fill->n_bytes += size;
    return 1;
}

static int wire_of(int number)
{
    switch (number) {
    case FIELD_FLOATS: return 5;
    case FIELD_DOUBLES: return 1;
    case FIELD_INT32S:
    case FIELD_INT64S:
    case FIELD_UINT64S: return 0;
    default: return -1; /* not a list of values */
    }
}

int pb_parse(const unsigned char *bytes, size_t n_bytes, struct array *array, char *error)
{
    struct cursor in = {bytes, bytes + n_bytes}, raw = {NULL, NULL};
    struct field field;
    uint64_t type = 0;
    while (in.at < in.end) {
        int good = take_field(&in, &field);
        if (good && field.number == FIELD_DIMS) good = each_value(&field, 0, visit_dim, array);
        if (!good) return fail(error, "not an ONNX tensor, or a damaged one");
        if (field.number == FIELD_TYPE && field.wire == 0) type = field.value;
        if (field.number == FIELD_RAW && field.wire == 2) raw = field.bytes;
        if (field.number == FIELD_LOCATION && field.wire == 0 && field.value == 1)
            return fail(error, "its data lies in another file");
    }
    if (!dtype_of(type, &array->dtype)) {
        snprintf(error, ERROR_BYTES, "ONNX element type %d is not one of ours", (int)(type & 255));
        return 0;
    }
    if (!array_size(array->dtype, array->rank, array->dims, &array->n_bytes))
        return fail(error, "its shape is too large");
    if ((uint64_t)array->n_bytes > (uint64_t)n_bytes * 8)
        return fail(error, "the data ends early"); /* a value takes a byte at least */
    array->data = malloc((size_t)array->n_bytes + 1);
    if (!array->data) return fail(error, "no memory");
    struct filler fill = {array, 0};
    int good = 1;
    if (raw.at) {
        good = raw.end - raw.at == array->n_bytes;
        if (good) memcpy(array->data, raw.at, (size_t)array->n_bytes);
        fill.n_bytes = array->n_bytes;
    }
    for (in = (struct cursor){bytes, bytes + n_bytes}; good && !raw.at && in.at < in.end;) {
        good = take_field(&in, &field);
        int wire = wire_of(field.number);
        if (good && wire >= 0) good = each_value(&field, wire, visit_value, &fill);
    }
    if (good && fill.n_bytes == array->n_bytes) return 1;
    free(array->data);
    array->data = NULL;
    return fail(error, "its data does not fit its shape");
}
