/* ONNX files to decoded protobuf messages, with limits.
 *
 * protobuf-c recurses over nested messages and allocates whatever the bytes ask for, so the bytes are walked first with
 * the schema's own descriptors: nesting, lengths, name lengths, repeated singular messages (whose merging is quadratic)
 * and the memory that decoding will take are checked before anything is allocated. Decoded messages live in the
 * session's arena, so that weights can stay where decoding put them. Read next: onnx_import.c, onnx_tensor.c.
 */
#include "onnx_import.h"

#include <string.h>

struct scan {
    struct diag *diag;
    struct place place;
    uint64_t heap_bytes, heap_most;
    const uint8_t *start;
};
struct span {
    const uint8_t *at, *end;
};

static bool scan_error(struct scan *scan, const uint8_t *at, const char *what, const char *where)
{
    return diag_error(scan->diag, scan->place, "%s in %s at byte %td", what, where, at - scan->start);
}

static bool read_varint(struct span *span, uint64_t *value)
{
    *value = 0;
    for (int shift = 0; shift < 70; shift += 7) {
        if (span->at == span->end) return false;
        uint8_t byte = *span->at++;
        if (shift < 64) *value |= (uint64_t)(byte & 127) << shift;
        if (!(byte & 128)) return true;
    }
    return false;
}

static const ProtobufCFieldDescriptor *field_of(const ProtobufCMessageDescriptor *message, uint64_t number)
{
    for (unsigned i = 0; i < message->n_fields; i++)
        if (message->fields[i].id == number) return &message->fields[i];
    return NULL;
}

static bool is_free_text(const ProtobufCFieldDescriptor *field)
{
    return !strcmp(field->name, "doc_string") || !strcmp(field->name, "value");
}

static uint64_t element_bytes(const ProtobufCFieldDescriptor *field)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_DOUBLE: return 8;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE: return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES: return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_BOOL:
    case PROTOBUF_C_TYPE_ENUM: return 4;
    }
    return 8;
}

static bool scan_message(struct scan *scan, const ProtobufCMessageDescriptor *message, struct span span, int depth);

/* A length-delimited field: its bytes must be there; messages are descended into, packed numbers expand. */
static bool scan_bytes(struct scan *scan, const ProtobufCMessageDescriptor *message,
                       const ProtobufCFieldDescriptor *field, struct span *span, int depth)
{
    const uint8_t *at = span->at;
    uint64_t n;
    if (!read_varint(span, &n)) return scan_error(scan, at, "truncated length", message->short_name);
    if (n > (uint64_t)(span->end - span->at))
        return diag_error(scan->diag, scan->place,
                          "truncated: field %s of %s at byte %td holds %llu bytes, %td are left",
                          field ? field->name : "(unknown)", message->short_name, at - scan->start,
                          (unsigned long long)n, span->end - span->at);
    struct span inner = {span->at, span->at + n};
    span->at += n;
    scan->heap_bytes += 96; /* what protobuf-c notes per field of a message, rounded up */
    if (!field) return true;
    if (field->type == PROTOBUF_C_TYPE_MESSAGE) return scan_message(scan, field->descriptor, inner, depth + 1);
    if (field->type == PROTOBUF_C_TYPE_STRING && n > ONNX_NAME_MOST && !is_free_text(field))
        return diag_error(scan->diag, scan->place,
                          "field %s of %s at byte %td is %llu bytes long; at most %d are taken", field->name,
                          message->short_name, at - scan->start, (unsigned long long)n, ONNX_NAME_MOST);
    if (field->type == PROTOBUF_C_TYPE_STRING && memchr(inner.at, 0, n))
        return scan_error(scan, at, "a string with a NUL", message->short_name);
    bool is_packed = field->type != PROTOBUF_C_TYPE_STRING && field->type != PROTOBUF_C_TYPE_BYTES;
    bool is_varint = field->type == PROTOBUF_C_TYPE_INT64 || field->type == PROTOBUF_C_TYPE_INT32 ||
                     field->type == PROTOBUF_C_TYPE_UINT64;
    scan->heap_bytes += is_packed && is_varint ? n * element_bytes(field) : n + 16;
    return true;
}

static bool scan_field(struct scan *scan, const ProtobufCMessageDescriptor *message,
                       const ProtobufCFieldDescriptor *field, unsigned wire, struct span *span, int depth)
{
    const uint8_t *at = span->at;
    uint64_t value;
    if (wire == 2) return scan_bytes(scan, message, field, span, depth);
    if (wire == 0 && read_varint(span, &value)) return true;
    if ((wire == 1 && span->end - span->at >= 8) || (wire == 5 && span->end - span->at >= 4)) {
        span->at += wire == 1 ? 8 : 4;
        return true;
    }
    return scan_error(scan, at,
                      wire == 3 || wire == 4 || wire > 5 ? "not an ONNX file: bad wire type" : "truncated field",
                      message->short_name);
}

static bool scan_message(struct scan *scan, const ProtobufCMessageDescriptor *message, struct span span, int depth)
{
    uint64_t seen = 0;
    if (depth > ONNX_NESTING_MOST)
        return scan_error(scan, span.at, "messages nested too deeply (over 100)", message->short_name);
    scan->heap_bytes += message->sizeof_message + 16;
    while (span.at < span.end) {
        const uint8_t *at = span.at;
        uint64_t tag;
        if (!read_varint(&span, &tag) || tag >> 3 == 0 || tag >> 32)
            return scan_error(scan, at, "not an ONNX file: bad field tag", message->short_name);
        const ProtobufCFieldDescriptor *field = field_of(message, tag >> 3);
        if (field && field->label == PROTOBUF_C_LABEL_REPEATED) {
            scan->heap_bytes += element_bytes(field);
        } else if (field && field->type == PROTOBUF_C_TYPE_MESSAGE) {
            uint64_t bit = (uint64_t)1 << ((field - message->fields) & 63);
            if (seen & bit)
                return scan_error(scan, at, "a field that may stand once stands twice", message->short_name);
            seen |= bit;
        }
        if (!scan_field(scan, message, field, (unsigned)(tag & 7), &span, depth)) return false;
        if (scan->heap_bytes > scan->heap_most)
            return diag_error(scan->diag, scan->place,
                              "decoding this file would take over %llu MB: far more than its size",
                              (unsigned long long)(scan->heap_most >> 20));
    }
    return true;
}

static void *decode_alloc(void *arena, size_t n_bytes)
{
    return arena_alloc(arena, n_bytes);
}

static void decode_free(void *arena, void *at)
{
    (void)arena, (void)at; /* goes with the arena */
}

void *onnx_decode(struct diag *diag, struct place place, struct arena *arena, const ProtobufCMessageDescriptor *message,
                  const void *bytes, size_t n_bytes)
{
    struct scan scan = {diag, place, 0, ((uint64_t)64 << 20) + 8 * (uint64_t)n_bytes, bytes};
    const uint8_t *at = bytes;
    if (!n_bytes) return diag_error(diag, place, "the file is empty"), NULL;
    if (!scan_message(&scan, message, (struct span){at, at + n_bytes}, 0)) return NULL;
    ProtobufCAllocator allocator = {decode_alloc, decode_free, arena};
    void *decoded = protobuf_c_message_unpack(message, &allocator, n_bytes, bytes);
    if (!decoded) diag_error(diag, place, "not an ONNX file: its fields do not decode as %s", message->short_name);
    return decoded;
}
