/* Tensors in files of the user's: NumPy's .npy (read and written here), .pb by the ONNX reader.
 *
 * The format of .npy is NumPy's NEP 1: "\x93NUMPY", version, header length, a Python dictionary in ASCII, the data.
 */
#define _POSIX_C_SOURCE 200809L
#include "cmd.h"
#include "onnx.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct npy_type {
    enum dtype dt;
    const char *name;
};
/* bf16 has no NumPy type: it is written as its bits. */
static const struct npy_type npy_types[] = {
    {DT_f64, "<f8"}, {DT_f32, "<f4"}, {DT_f16, "<f2"}, {DT_i8, "|i1"},  {DT_i16, "<i2"}, {DT_i32, "<i4"},
    {DT_i64, "<i8"}, {DT_u8, "|u1"},  {DT_u16, "<u2"}, {DT_u32, "<u4"}, {DT_u64, "<u8"}, {DT_bool, "|b1"},
};

static const char *npy_name(enum dtype dt)
{
    for (size_t i = 0; i < sizeof npy_types / sizeof *npy_types; i++)
        if (npy_types[i].dt == dt) return npy_types[i].name;
    return "<u2";
}

/* The text behind 'key': in the header dictionary. */
static const char *header_value(const char *header, const char *key)
{
    const char *s = strstr(header, key);
    s = s ? strchr(s + strlen(key), ':') : NULL;
    return s ? s + 1 + strspn(s + 1, " ") : NULL;
}

static bool read_shape(const char *s, struct type *type)
{
    if (*s++ != '(') return false;
    while (*s && *s != ')') {
        char *end;
        errno = 0;
        long long v = strtoll(s, &end, 10);
        if (end == s || errno || v < 0 || type->rank == RANK_MOST) return false;
        type->dim[type->rank++] = v;
        s = end + strspn(end, ", L");
    }
    return *s == ')';
}

static bool read_header(const char *header, struct type *type, bool *fortran)
{
    const char *descr = header_value(header, "'descr'"), *order = header_value(header, "'fortran_order'"),
               *shape = header_value(header, "'shape'");
    if (!descr || !order || !shape || *descr != '\'') return false;
    *fortran = !strncmp(order, "True", 4);
    bool found = false;
    for (size_t i = 0; i < sizeof npy_types / sizeof *npy_types; i++) {
        const char *name = npy_types[i].name;
        bool byte_order = descr[1] == name[0] || (name[0] == '|' && (descr[1] == '<' || descr[1] == '='));
        if (byte_order && !strncmp(descr + 2, name + 1, 2) && descr[4] == '\'') {
            type->dt = npy_types[i].dt;
            found = true;
        }
    }
    return found && read_shape(shape, type);
}

/* Column-major data put in row-major order. */
static void from_fortran(const struct type *type, const char *src, char *dst)
{
    int64_t n = type_count(type), size = dtype_bytes(type->dt), at[RANK_MOST] = {0};
    for (int64_t i = 0; i < n; i++) {
        int64_t from = 0;
        for (int k = type->rank - 1; k >= 0; k--) from = from * type->dim[k] + at[k];
        memcpy(dst + i * size, src + from * size, (size_t)size);
        for (int k = type->rank - 1; k >= 0 && ++at[k] == type->dim[k]; k--) at[k] = 0;
    }
}

static bool npy_parse(struct session *session, const char *path, const char *bytes, size_t n_bytes,
                      struct tensor *tensor)
{
    struct place place = {.path = path};
    bool wide = n_bytes >= 12 && bytes[6] >= 2, fortran = false;
    size_t start = wide ? 12 : 10, length = 0;
    if (n_bytes < 10 || memcmp(bytes, "\x93NUMPY", 6) != 0) return diag_error(session->diag, place, "no .npy file");
    for (size_t i = 0; i < (wide ? 4u : 2u); i++) length |= (size_t)(unsigned char)bytes[8 + i] << (8 * i);
    if (length > n_bytes - start)
        return diag_error(session->diag, place, "truncated: its header says %zu bytes", length);
    const char *header = arena_strndup(session->arena, bytes + start, length);
    if (!read_header(header, &tensor->type, &fortran))
        return diag_error(session->diag, place, "its header is not understood: %.200s", header);
    int64_t n = type_count(&tensor->type), need, have = (int64_t)(n_bytes - start - length);
    if (n < 0 || !size_mul(n, dtype_bytes(tensor->type.dt), &need) || need > have)
        return diag_error(session->diag, place, "%s needs more bytes than the file's %lld",
                          type_string(session->dims, session->arena, &tensor->type), (long long)have);
    char *data = arena_alloc(session->arena, (size_t)need + 1);
    if (fortran) from_fortran(&tensor->type, bytes + start + length, data);
    else memcpy(data, bytes + start + length, (size_t)need);
    tensor->data = data;
    tensor->n_bytes = need;
    return true;
}

bool tensor_read(struct session *session, const char *path, struct tensor *tensor)
{
    size_t n = strlen(path);
    const char *name;
    *tensor = (struct tensor){0};
    if (n > 3 && !strcmp(path + n - 3, ".pb"))
        return onnx_read_tensor(session->arena, session->diag, path, tensor, &name);
    struct place place = {.path = path};
    FILE *in = fopen(path, "rb");
    if (!in) return diag_error(session->diag, place, "cannot read: %s", strerror(errno));
    struct text bytes = {.arena = session->arena};
    char block[65536];
    for (size_t got; (got = fread(block, 1, sizeof block, in)) > 0;) text_add_n(&bytes, block, got);
    fclose(in);
    return npy_parse(session, path, text_string(&bytes), bytes.n, tensor);
}

bool tensor_write_npy(struct session *session, const char *path, const struct tensor *tensor)
{
    struct text header = {.arena = session->arena};
    text_printf(&header, "{'descr': '%s', 'fortran_order': False, 'shape': (", npy_name(tensor->type.dt));
    for (int k = 0; k < tensor->type.rank; k++)
        text_printf(&header, "%lld%s", (long long)tensor->type.dim[k],
                    tensor->type.rank == 1      ? ","
                    : k + 1 < tensor->type.rank ? ", "
                                                : "");
    text_add(&header, "), }");
    while ((10 + header.n + 1) % 64) text_add(&header, " ");
    text_add(&header, "\n");
    unsigned char front[10] = {
        0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (unsigned char)(header.n & 255), (unsigned char)(header.n >> 8)};
    struct place place = {.path = path};
    FILE *out = fopen(path, "wb");
    if (!out) return diag_error(session->diag, place, "cannot write: %s", strerror(errno));
    size_t n = (size_t)tensor->n_bytes;
    bool ok = fwrite(front, 1, 10, out) == 10 && fwrite(header.at, 1, header.n, out) == header.n &&
              (!n || fwrite(tensor->data, 1, n, out) == n);
    ok = !fclose(out) && ok;
    return ok || diag_error(session->diag, place, "cannot write: %s", strerror(errno));
}

void tensor_print_short(const struct tensor *tensor, FILE *out)
{
    enum { MOST = 8 };
    int64_t n = type_count(&tensor->type), n_nan = 0;
    double least = (double)INFINITY, most = -(double)INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double v = tensor_number(tensor, i);
        if (isnan(v)) n_nan++;
        if (v < least) least = v;
        if (v > most) most = v;
        sum += v;
    }
    fputs("[", out);
    for (int64_t i = 0; i < n && i < MOST; i++) fprintf(out, "%s%.6g", i ? ", " : "", tensor_number(tensor, i));
    fputs(n > MOST ? ", ...]" : "]", out);
    if (n > MOST) fprintf(out, " least %.6g, most %.6g, mean %.6g", least, most, sum / (double)n);
    if (n_nan) fprintf(out, ", %lld NaN", (long long)n_nan);
    fputs("\n", out);
}
