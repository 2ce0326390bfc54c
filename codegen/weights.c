/* The weight section: constant tensors one after the other, each on a 64-byte boundary.
 *
 * Tensors with the same bytes share a place: first by pointer, then by contents.
 */
#define _POSIX_C_SOURCE 200809L
#include "codegen.h"

#include <errno.h>
#include <string.h>

enum { ALIGNMENT = 64 };

struct placed {
    const struct tensor *tensor;
    uint64_t hash;
    int64_t offset_bytes;
};

static uint64_t contents_hash(const struct tensor *tensor)
{
    const unsigned char *p = tensor->data;
    uint64_t h = 14695981039346656037u ^ (uint64_t)tensor->n_bytes;
    int64_t i = 0;
    for (; i + 8 <= tensor->n_bytes; i += 8) {
        uint64_t word;
        memcpy(&word, p + i, sizeof word);
        h = (h ^ word) * 0x9e3779b97f4a7c15u;
        h ^= h >> 29;
    }
    for (; i < tensor->n_bytes; i++) h = (h ^ p[i]) * 1099511628211u;
    return h;
}

static bool same_contents(const struct placed *a, const struct tensor *b, uint64_t hash)
{
    if (a->tensor == b || a->tensor->data == b->data) return a->tensor->n_bytes == b->n_bytes;
    return a->hash == hash && a->tensor->n_bytes == b->n_bytes && !memcmp(a->tensor->data, b->data, (size_t)b->n_bytes);
}

void weights_place(const struct prog *prog, struct arena *arena, struct weights_layout *layout)
{
    int64_t *offset = NEW_ARRAY(arena, int64_t, prog->next_buffer + 1), end = 0;
    uint32_t cap = 64;
    while (cap < 2 * (uint32_t)prog->buffers.n + 2) cap *= 2;
    struct placed *table = NEW_ARRAY(arena, struct placed, cap);
    for (int i = 0; i < prog->buffers.n; i++) {
        const struct buffer *buf = prog->buffers.at[i];
        if (buf->space != SPACE_WEIGHT) continue;
        if (!buf->tensor) bug("weights", "buffer %s has no data", buf->name);
        uint64_t hash = contents_hash(buf->tensor);
        uint32_t slot = (uint32_t)(hash >> 20) & (cap - 1);
        while (table[slot].tensor && !same_contents(&table[slot], buf->tensor, hash)) slot = (slot + 1) & (cap - 1);
        if (!table[slot].tensor) {
            table[slot] = (struct placed){buf->tensor, hash, end};
            end += (buf->tensor->n_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        }
        offset[buf->id] = table[slot].offset_bytes;
    }
    layout->offset_bytes = offset;
    layout->n_bytes = end;
}

bool weights_write(const struct prog *prog, const struct weights_layout *layout, const char *path, struct diag *diag)
{
    static const char zeros[ALIGNMENT];
    struct place place = {.path = path};
    FILE *file = fopen(path, "wb");
    if (!file) return diag_error(diag, place, "cannot write: %s", strerror(errno));
    int64_t at = 0;
    bool good = true;
    for (int i = 0; i < prog->buffers.n && good; i++) { /* places are in the order of the buffers */
        const struct buffer *buf = prog->buffers.at[i];
        if (buf->space != SPACE_WEIGHT || layout->offset_bytes[buf->id] != at) continue;
        size_t n = (size_t)buf->tensor->n_bytes, rest = (ALIGNMENT - n % ALIGNMENT) % ALIGNMENT;
        good = (n == 0 || fwrite(buf->tensor->data, 1, n, file) == n) && fwrite(zeros, 1, rest, file) == rest;
        at += (int64_t)(n + rest);
    }
    int saved = errno;
    if (fclose(file) != 0 && good) good = false, saved = errno;
    if (!good) return diag_error(diag, place, "cannot write: %s", strerror(saved));
    if (at != layout->n_bytes) bug("weights", "wrote %lld of %lld bytes", (long long)at, (long long)layout->n_bytes);
    return true;
}
