/* A model as files: its text, and its large constants as safetensors beside it.
 *
 * safetensors: the header's length (8 bytes, little-endian), a JSON header of name -> dtype, shape and offsets, then
 * the data. The header is padded with blanks so that data starts at a multiple of 64 bytes, and so does each tensor.
 */
#include "graph_print.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *safetensors_dtype(enum dtype dt)
{
    switch (dt) {
    case DT_f64: return "F64";
    case DT_f32: return "F32";
    case DT_f16: return "F16";
    case DT_bf16: return "BF16";
    case DT_i8: return "I8";
    case DT_i16: return "I16";
    case DT_i32: return "I32";
    case DT_i64: return "I64";
    case DT_u8: return "U8";
    case DT_u16: return "U16";
    case DT_u32: return "U32";
    case DT_u64: return "U64";
    case DT_bool: return "BOOL";
    case DT_index:
    case DT_COUNT: break;
    }
    bug("safetensors_dtype", "type %d", (int)dt);
}

/* The format wants tensors without holes between them, so only their order aligns them: widest elements first. */
static void add_header(const struct print *print, struct text *header)
{
    int64_t at = 0;
    const char *comma = "";
    text_add(header, "{");
    for (int64_t size = 8; size >= 1; size /= 2)
        for (int i = 0; i < print->weights.n; i++) {
            const struct print_weight *w = &print->weights.at[i];
            if (dtype_bytes(w->tensor->type.dt) != size) continue;
            text_printf(header, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", comma, w->name,
                        safetensors_dtype(w->tensor->type.dt));
            for (int k = 0; k < w->tensor->type.rank; k++)
                text_printf(header, "%s%lld", k ? "," : "", (long long)w->tensor->type.dim[k]);
            text_printf(header, "],\"data_offsets\":[%lld,%lld]}", (long long)at, (long long)(at + w->tensor->n_bytes));
            at += w->tensor->n_bytes;
            comma = ",";
        }
    text_add(header, "}");
    while ((header->n + 8) % 64) text_add(header, " ");
}

static bool write_weights(const struct print *print, const char *path, struct diag *diag)
{
    struct place place = {.path = path};
    struct text header = {.arena = print->arena};
    add_header(print, &header);
    FILE *out = fopen(path, "wb");
    if (!out) return diag_error(diag, place, "cannot be written: %s", strerror(errno));
    unsigned char length[8];
    for (int i = 0; i < 8; i++) length[i] = (unsigned char)((uint64_t)header.n >> (8 * i));
    fwrite(length, 1, sizeof length, out);
    fwrite(header.at, 1, header.n, out);
    for (int64_t size = 8; size >= 1; size /= 2)
        for (int i = 0; i < print->weights.n; i++) {
            const struct tensor *t = print->weights.at[i].tensor;
            if (dtype_bytes(t->type.dt) == size) fwrite(t->data, 1, (size_t)t->n_bytes, out);
        }
    bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed) return diag_error(diag, place, "could not be written whole");
    return true;
}

bool graph_write_weights(const struct graph *graph, const char *path, struct diag *diag)
{
    struct arena *scratch = arena_new();
    struct text text = {.arena = scratch};
    struct print print = {.arena = scratch, .text = &text};
    graph_print_into(&print, graph, "");
    bool ok = write_weights(&print, path, diag);
    arena_free(scratch);
    return ok;
}

bool graph_write(const struct graph *graph, const char *path, struct diag *diag)
{
    struct arena *scratch = arena_new();
    struct text text = {.arena = scratch};
    struct print print = {.arena = scratch, .text = &text};
    size_t n = strlen(path), stem = n > 3 && !strcmp(path + n - 3, ".tn") ? n - 3 : n;
    const char *weights = arena_printf(scratch, "%.*s.safetensors", (int)stem, path);
    const char *slash = strrchr(weights, '/');
    graph_print_into(&print, graph, slash ? slash + 1 : weights);
    bool ok = !print.weights.n || write_weights(&print, weights, diag);
    FILE *out = ok ? fopen(path, "wb") : NULL;
    if (ok && !out) ok = diag_error(diag, (struct place){.path = path}, "cannot be written: %s", strerror(errno));
    if (out) {
        fwrite(text_string(&text), 1, text.n, out);
        bool failed = ferror(out) != 0;
        if (fclose(out) != 0 || failed)
            ok = diag_error(diag, (struct place){.path = path}, "could not be written whole");
    }
    arena_free(scratch);
    return ok;
}
