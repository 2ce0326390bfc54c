/* The safetensors header: 8 bytes of length, then JSON {"name": {"dtype": "F32", "shape": [..], "data_offsets": [from,
 * to]}}.
 *
 * A small JSON reader with a limit on depth; what is not one of these three keys (and "__metadata__") is skipped.
 * Format: github.com/huggingface/safetensors, section Format.
 */
#include "weights.h"

#include <stdlib.h>
#include <string.h>

enum { DEPTH_MOST = 16 };

struct span { /* bytes of a tensor */
    int64_t start, end;
    const char *name;
};
struct json {
    const struct weights_file *file;
    const unsigned char *at, *end;
    const unsigned char *data;
    size_t n_data;
    LIST(struct span) spans;
};

static bool fail(const struct json *json, const char *what)
{
    return weights_error(json->file, "header at byte %zu: %s", (size_t)(json->at - json->file->bytes), what);
}

static void skip_blanks(struct json *json)
{
    while (json->at < json->end && (*json->at == ' ' || *json->at == '\n' || *json->at == '\t' || *json->at == '\r'))
        json->at++;
}

/* Takes c if it comes next. */
static bool take(struct json *json, char c)
{
    skip_blanks(json);
    if (json->at == json->end || *json->at != (unsigned char)c) return false;
    json->at++;
    return true;
}

static bool expect(struct json *json, char c)
{
    char what[] = "expected 'x'";
    what[10] = c;
    return take(json, c) || fail(json, what);
}

static int hex_value(const unsigned char *s)
{
    int v = 0;
    for (int i = 0; i < 4; i++) {
        int c = s[i], d = c >= '0' && c <= '9'   ? c - '0'
                          : c >= 'a' && c <= 'f' ? c - 'a' + 10
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                 : -1;
        if (d < 0) return -1;
        v = v * 16 + d;
    }
    return v;
}

/* \uXXXX as UTF-8 (a half of a pair by itself). Returns the bytes added, 0 where it is malformed or NUL. */
static int add_unicode(struct json *json, char *out)
{
    int v = json->end - json->at >= 5 ? hex_value(json->at + 1) : -1;
    if (v <= 0) return 0;
    json->at += 4;
    if (v < 0x80) return out[0] = (char)v, 1;
    if (v < 0x800) return out[0] = (char)(0xc0 | v >> 6), out[1] = (char)(0x80 | (v & 63)), 2;
    out[0] = (char)(0xe0 | v >> 12), out[1] = (char)(0x80 | (v >> 6 & 63)), out[2] = (char)(0x80 | (v & 63));
    return 3;
}

static bool read_string(struct json *json, const char **string)
{
    if (!expect(json, '"')) return false;
    const unsigned char *close = json->at;
    while (close < json->end && *close != '"') close += *close == '\\' ? 2 : 1;
    if (close >= json->end) return fail(json, "a string that does not end");
    char *out = arena_alloc(json->file->session, (size_t)(close - json->at) + 1);
    size_t n = 0;
    for (; json->at < close; json->at++) {
        if (*json->at == 0) return fail(json, "a NUL in a string");
        if (*json->at != '\\') {
            out[n++] = (char)*json->at;
            continue;
        }
        static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
        json->at++;
        const char *k = *json->at ? strchr(from, *json->at) : NULL;
        int more = *json->at == 'u' ? add_unicode(json, out + n) : 0;
        if (k) out[n++] = to[k - from];
        else if (more) n += (size_t)more;
        else return fail(json, "an unknown escape in a string");
    }
    json->at++;
    *string = out;
    return true;
}

static bool read_size(struct json *json, int64_t *size)
{
    skip_blanks(json);
    const unsigned char *start = json->at;
    *size = 0;
    while (json->at < json->end && *json->at >= '0' && *json->at <= '9') {
        int64_t more;
        if (!size_mul(*size, 10, &more) || __builtin_add_overflow(more, *json->at - '0', size))
            return fail(json, "a number too large");
        json->at++;
    }
    return json->at > start || fail(json, "expected a whole number");
}

/* [a, b, ...] into list; their number. */
static bool read_sizes(struct json *json, int64_t *list, int most, int *n)
{
    *n = 0;
    if (!expect(json, '[')) return false;
    if (take(json, ']')) return true;
    do {
        if (*n == most) return fail(json, "too many numbers in a list");
        if (!read_size(json, &list[(*n)++])) return false;
    } while (take(json, ','));
    return expect(json, ']');
}

static bool skip_value(struct json *json, int depth)
{
    const char *string;
    if (depth > DEPTH_MOST) return fail(json, "nested too deeply");
    skip_blanks(json);
    if (json->at < json->end && *json->at == '"') return read_string(json, &string);
    char close = take(json, '{') ? '}' : take(json, '[') ? ']' : 0;
    if (close) {
        if (take(json, close)) return true;
        do {
            if (close == '}' && (!read_string(json, &string) || !expect(json, ':'))) return false;
            if (!skip_value(json, depth + 1)) return false;
        } while (take(json, ','));
        return expect(json, close);
    }
    const unsigned char *start = json->at;
    while (json->at < json->end && *json->at && strchr("+-.0123456789eEtrufalsn", *json->at)) json->at++;
    return json->at > start || fail(json, "expected a value");
}

static bool dtype_of(const char *name, enum dtype *dt)
{
    static const struct {
        const char *name;
        enum dtype dt;
    } rows[] = {{"F64", DT_f64}, {"F32", DT_f32}, {"F16", DT_f16},  {"BF16", DT_bf16}, {"I8", DT_i8},
                {"I16", DT_i16}, {"I32", DT_i32}, {"I64", DT_i64},  {"U8", DT_u8},     {"U16", DT_u16},
                {"U32", DT_u32}, {"U64", DT_u64}, {"BOOL", DT_bool}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!strcmp(rows[i].name, name)) return *dt = rows[i].dt, true;
    return false;
}

static bool read_tensor(struct json *json, const char *name)
{
    struct type type = {.rank = -1};
    const char *key, *dtype = NULL;
    int64_t offset[2], sizes[RANK_MOST];
    int n_offsets = 0;
    if (!expect(json, '{')) return false;
    do {
        if (!read_string(json, &key) || !expect(json, ':')) return false;
        bool ok = !strcmp(key, "dtype")          ? read_string(json, &dtype)
                  : !strcmp(key, "shape")        ? read_sizes(json, sizes, RANK_MOST, &type.rank)
                  : !strcmp(key, "data_offsets") ? read_sizes(json, offset, 2, &n_offsets)
                                                 : skip_value(json, 0);
        if (!ok) return false;
    } while (take(json, ','));
    if (!expect(json, '}')) return false;
    if (!dtype || type.rank < 0 || n_offsets != 2) return fail(json, "a tensor needs dtype, shape and data_offsets");
    if (!dtype_of(dtype, &type.dt))
        return weights_error(json->file, "tensor \"%.100s\": the type %.20s is not supported", name, dtype);
    for (int i = 0; i < type.rank; i++) type.dim[i] = sizes[i];
    if (offset[0] > offset[1] || (uint64_t)offset[1] > json->n_data)
        return weights_error(json->file, "tensor \"%.100s\": bytes %lld to %lld, the file has %zu of data", name,
                             (long long)offset[0], (long long)offset[1], json->n_data);
    LIST_PUSH(json->file->session, &json->spans, ((struct span){offset[0], offset[1], name}));
    return weights_add(json->file, name, &type, json->data + offset[0], (size_t)(offset[1] - offset[0]));
}

static int compare_spans(const void *a, const void *b)
{
    const struct span *x = a, *y = b;
    if (x->start != y->start) return x->start < y->start ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

/* Bytes that belong to two tensors: no file that a writer makes. */
static bool check_overlaps(struct json *json)
{
    if (json->spans.n) qsort(json->spans.at, (size_t)json->spans.n, sizeof *json->spans.at, compare_spans);
    for (int i = 1; i < json->spans.n; i++) {
        const struct span *before = &json->spans.at[i - 1], *span = &json->spans.at[i];
        if (before->end > span->start)
            return weights_error(json->file, "tensors \"%.100s\" and \"%.100s\" share bytes", before->name, span->name);
    }
    return true;
}

bool safetensors_read(const struct weights_file *file)
{
    uint64_t length = 0;
    for (int i = 0; i < 8; i++) length |= (uint64_t)file->bytes[i] << (8 * i);
    if (length > file->n_bytes - 8)
        return weights_error(file, "the header has %llu bytes, the file %zu", (unsigned long long)length,
                             file->n_bytes);
    const unsigned char *start = file->bytes + 8;
    struct json json = {file, start, start + length, start + length, file->n_bytes - 8 - (size_t)length, {0}};
    const char *name;
    if (!expect(&json, '{')) return false;
    if (take(&json, '}')) return true;
    do {
        if (!read_string(&json, &name) || !expect(&json, ':')) return false;
        if (weights_find(file->weights, name)) return weights_error(file, "tensor \"%.100s\" is given twice", name);
        if (!(strcmp(name, "__metadata__") ? read_tensor(&json, name) : skip_value(&json, 0))) return false;
    } while (take(&json, ','));
    return expect(&json, '}') && check_overlaps(&json);
}
