/* Tensors in files of the user's: .npy, .npz and .safetensors by the reader of weights, .pb by ONNX's; .npy written
 * here ("\x93NUMPY", version, header length, a Python dictionary in ASCII, the data: NumPy's NEP 1).
 */
#define _POSIX_C_SOURCE 200809L
#include "cmd.h"
#include "onnx.h"
#include "weights.h"

#include <errno.h>
#include <math.h>
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

bool tensor_read(struct session *session, const char *path, const char *name, struct tensor *tensor)
{
    size_t n = strlen(path);
    const char *own_name;
    *tensor = (struct tensor){0};
    if (n > 3 && !strcmp(path + n - 3, ".pb"))
        return onnx_read_tensor(session->arena, session->diag, path, tensor, &own_name);
    const struct weights *file = weights_open(session->arena, path, session->diag, (struct place){.path = path});
    if (!file) return false;
    const struct tensor *found = weights_find(file, name);
    if (!found && file->tensors.n == 1) found = &file->tensors.at[0].tensor;
    if (!found)
        return diag_error(session->diag, (struct place){.path = path}, "has %d tensors and none is called \"%s\"",
                          file->tensors.n, name);
    *tensor = *found;
    return true;
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
