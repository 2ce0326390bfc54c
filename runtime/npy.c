/* .npy files and the choice of format by suffix. See npy.h.
 *
 * An .npy file is a magic, a header length and a Python dictionary with type, order and shape, then the data. The
 * format: numpy.lib.format's documentation.
 */
#include "npy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *code; /* code: of .npy; bf16 has none of its own, ml_dtypes writes V2 */
    int64_t n_bytes;
} dtypes[] = {{"f64", "f8", 8}, {"f32", "f4", 4}, {"f16", "f2", 2}, {"bf16", "V2", 2}, {"i8", "i1", 1},
              {"i16", "i2", 2}, {"i32", "i4", 4}, {"i64", "i8", 8}, {"u8", "u1", 1},   {"u16", "u2", 2},
              {"u32", "u4", 4}, {"u64", "u8", 8}, {"bool", "b1", 1}};
enum { N_DTYPES = sizeof dtypes / sizeof *dtypes };

const char *array_dtype_name(enum tenon_dtype dtype)
{
    return dtypes[dtype].name;
}

int64_t array_dtype_bytes(enum tenon_dtype dtype)
{
    return dtypes[dtype].n_bytes;
}

int array_size(enum tenon_dtype dtype, int rank, const int64_t *dims, int64_t *n_bytes)
{
    const int64_t most = (int64_t)1 << 44;
    int64_t n = array_dtype_bytes(dtype);
    for (int i = 0; i < rank; i++)
        if (dims[i] < 0) return 0;
    for (int i = 0; i < rank; i++)
        if (dims[i] == 0) return *n_bytes = 0, 1;
    for (int i = 0; i < rank; i++) {
        if (dims[i] > most / n) return 0;
        n *= dims[i];
    }
    *n_bytes = n;
    return 1;
}

static int fail(char *error, const char *words)
{
    snprintf(error, ERROR_BYTES, "%s", words);
    return 0;
}

/* The text after 'key': in the dictionary, NULL where there is none. */
static const char *value_of(const char *header, const char *key)
{
    const char *at = strstr(header, key);
    if (!at) return NULL;
    at += strlen(key);
    at += strspn(at, " \t");
    if (*at != ':') return NULL;
    return at + 1 + strspn(at + 1, " \t");
}

static int parse_descr(const char *at, enum tenon_dtype *dtype, char *error)
{
    if (!at || (*at != '\'' && *at != '"') || strlen(at) < 5)
        return fail(error, "its header names no plain element type");
    char order = at[1];
    for (int i = 0; i < N_DTYPES; i++) {
        if (at[2] != dtypes[i].code[0] || at[3] != dtypes[i].code[1] || at[4] != at[0]) continue;
        if (order == '>' && dtypes[i].n_bytes > 1) return fail(error, "big-endian data");
        *dtype = (enum tenon_dtype)i;
        return 1;
    }
    snprintf(error, ERROR_BYTES, "element type %.8s is not one of ours", at);
    return 0;
}

static int parse_shape(const char *at, struct array *array, char *error)
{
    if (!at || *at != '(') return fail(error, "its header has no shape");
    at++;
    for (array->rank = 0;;) {
        at += strspn(at, " ,");
        if (*at == ')') return 1;
        char *end;
        errno = 0;
        long long n = strtoll(at, &end, 10);
        if (end == at || errno || n < 0) return fail(error, "its shape makes no sense");
        if (array->rank == ARRAY_RANK_MOST) return fail(error, "more than 16 dimensions");
        array->dims[array->rank++] = n;
        at = end + (*end == 'L');
    }
}

/* Fortran order to ours. */
static int reorder(struct array *array)
{
    size_t size = (size_t)array_dtype_bytes(array->dtype), n = (size_t)array->n_bytes / size;
    unsigned char *from = array->data, *to = malloc((size_t)array->n_bytes + 1);
    int64_t index[ARRAY_RANK_MOST] = {0};
    if (!to) return 0;
    for (size_t i = 0; i < n; i++) {
        int64_t at = 0;
        for (int k = array->rank - 1; k >= 0; k--) at = at * array->dims[k] + index[k];
        memcpy(to + i * size, from + (size_t)at * size, size);
        for (int k = array->rank - 1; k >= 0 && ++index[k] == array->dims[k]; k--) index[k] = 0;
    }
    free(from);
    array->data = to;
    return 1;
}

int npy_parse(const unsigned char *bytes, size_t n_bytes, struct array *array, char *error)
{
    if (n_bytes < 12 || memcmp(bytes, "\x93NUMPY", 6) != 0) return fail(error, "not an .npy file");
    size_t start = bytes[6] == 1 ? 10 : 12;
    size_t length = (size_t)bytes[8] | (size_t)bytes[9] << 8;
    if (bytes[6] != 1) length |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
    if (bytes[6] < 1 || bytes[6] > 3 || length > n_bytes - start || length > 65536)
        return fail(error, "a damaged .npy header");
    char *header = calloc(length + 1, 1);
    if (!header) return fail(error, "no memory");
    memcpy(header, bytes + start, length);
    const char *order = value_of(header, "fortran_order'");
    int fortran = order && !strncmp(order, "True", 4);
    int good = parse_descr(value_of(header, "descr'"), &array->dtype, error) &&
               parse_shape(value_of(header, "shape'"), array, error);
    free(header);
    if (!good) return 0;
    if (!array_size(array->dtype, array->rank, array->dims, &array->n_bytes))
        return fail(error, "its shape is too large");
    if ((uint64_t)array->n_bytes > n_bytes - start - length) return fail(error, "the data ends early");
    array->data = malloc((size_t)array->n_bytes + 1);
    if (!array->data) return fail(error, "no memory");
    memcpy(array->data, bytes + start + length, (size_t)array->n_bytes);
    if (!fortran || array->rank < 2 || reorder(array)) return 1;
    free(array->data);
    return fail(error, "no memory");
}

static int read_file(const char *path, unsigned char **bytes, size_t *n_bytes, char *error)
{
    FILE *file = fopen(path, "rb");
    size_t n = 0, cap = 1 << 16;
    unsigned char *at = file ? malloc(cap) : NULL;
    if (!file) {
        snprintf(error, ERROR_BYTES, "cannot open: %s", strerror(errno));
        return 0;
    }
    while (at) {
        n += fread(at + n, 1, cap - n, file);
        if (n < cap) break;
        unsigned char *more = cap > SIZE_MAX / 2 ? NULL : realloc(at, cap * 2);
        if (!more) free(at);
        at = more;
        cap *= 2;
    }
    int bad = ferror(file);
    fclose(file);
    if (!at || bad) {
        free(at);
        return fail(error, bad ? "cannot read" : "no memory");
    }
    *bytes = at;
    *n_bytes = n;
    return 1;
}

static int has_suffix(const char *path, const char *suffix)
{
    size_t n = strlen(path), k = strlen(suffix);
    return n >= k && !strcmp(path + n - k, suffix);
}

static int read_member(const unsigned char *zip, size_t n_zip, const char *name, struct array *array, char *error)
{
    unsigned char *bytes = NULL;
    size_t n_bytes = 0, length = strlen(name) + 5;
    char *member = malloc(length);
    if (!member) return fail(error, "no memory");
    snprintf(member, length, "%s.npy", name);
    int good = zip_member(zip, n_zip, member, &bytes, &n_bytes, error) && npy_parse(bytes, n_bytes, array, error);
    free(member);
    free(bytes);
    return good;
}

int array_read(const char *path, const char *name, struct array *array, char *error)
{
    unsigned char *bytes = NULL;
    size_t n_bytes = 0;
    int good;
    memset(array, 0, sizeof *array);
    if (!read_file(path, &bytes, &n_bytes, error)) return 0;
    if (has_suffix(path, ".npy")) good = npy_parse(bytes, n_bytes, array, error);
    else if (has_suffix(path, ".npz")) good = read_member(bytes, n_bytes, name, array, error);
    else if (has_suffix(path, ".pb")) good = pb_parse(bytes, n_bytes, array, error);
    else good = fail(error, "inputs come from .npy, .npz or .pb files");
    free(bytes);
    return good;
}

int array_in_npz(const char *path, const char *name)
{
    struct array array;
    char error[ERROR_BYTES];
    if (!has_suffix(path, ".npz") || !array_read(path, name, &array, error)) return 0;
    free(array.data);
    return 1;
}

int array_write_npy(const char *path, const struct array *array, char *error)
{
    char header[512], shape[ARRAY_RANK_MOST * 24 + 8] = "(";
    for (int i = 0, n = 1; i < array->rank; i++)
        n += snprintf(shape + n, sizeof shape - (size_t)n, "%s%lld%s", i ? ", " : "", (long long)array->dims[i],
                      array->rank == 1 ? "," : "");
    int n = snprintf(header, sizeof header, "{'descr': '%s%s', 'fortran_order': False, 'shape': %s), }",
                     array_dtype_bytes(array->dtype) > 1 ? "<" : "|", dtypes[array->dtype].code, shape);
    size_t total = (10 + (size_t)n + 1 + 63) / 64 * 64, length = total - 10;
    unsigned char start[10] = {
        0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (unsigned char)(length & 255), (unsigned char)(length >> 8)};
    FILE *file = fopen(path, "wb");
    int good = file && fwrite(start, 1, sizeof start, file) == sizeof start &&
               fprintf(file, "%s%*s\n", header, (int)(length - (size_t)n - 1), "") == (int)length &&
               fwrite(array->data, 1, (size_t)array->n_bytes, file) == (size_t)array->n_bytes;
    int saved = errno;
    if (file && fclose(file) != 0 && good) good = 0, saved = errno;
    if (!good) snprintf(error, ERROR_BYTES, "cannot write: %s", strerror(saved));
    return good;
}
