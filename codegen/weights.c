/* The weight section: constant tensors one after the other, each on a 64-byte boundary, of 8 bytes for microcontrollers.
 *
 * Tensors with the same bytes share a place, also between versions of a model: first by pointer, then by contents.
 */
#define _POSIX_C_SOURCE 200809L
#include "codegen.h"

#include <errno.h>
#include <string.h>

enum { ALIGNMENT = 64, ALIGNMENT_SMALL = 8 };

struct placed {
    const struct tensor *tensor;
    uint64_t hash;
    int64_t offset_bytes;
    int version; /* the last one that was seen to read it */
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

struct places { /* a table of what is placed, open addressing */
    struct placed *at;
    uint32_t cap;
};

static int64_t padded_bytes(const struct weights_layout *layout, const struct tensor *tensor)
{
    return (tensor->n_bytes + layout->alignment - 1) / layout->alignment * layout->alignment;
}

/* The place of these contents, new at the end where they have none. */
static struct placed *contents_place(struct places *places, const struct tensor *tensor, struct weights_layout *layout)
{
    uint64_t hash = contents_hash(tensor);
    uint32_t slot = (uint32_t)(hash >> 20) & (places->cap - 1);
    while (places->at[slot].tensor && !same_contents(&places->at[slot], tensor, hash))
        slot = (slot + 1) & (places->cap - 1);
    struct placed *found = &places->at[slot];
    if (!found->tensor) {
        *found = (struct placed){.tensor = tensor, .hash = hash, .offset_bytes = layout->n_bytes, .version = -1};
        layout->n_bytes += padded_bytes(layout, tensor);
        layout->tensors[layout->n_tensors++] = tensor;
    }
    return found;
}

void weights_place(const struct version *versions, int n_versions, struct arena *arena, struct weights_layout *layout)
{
    int n_buffers = 0;
    for (int v = 0; v < n_versions; v++) n_buffers += versions[v].prog->buffers.n;
    struct places places = {.cap = 64};
    while (places.cap < 2 * (uint32_t)n_buffers + 2) places.cap *= 2;
    places.at = NEW_ARRAY(arena, struct placed, places.cap);
    *layout = (struct weights_layout){.alignment = versions->target && versions->target->is_small ? ALIGNMENT_SMALL : ALIGNMENT,
                                      .offset_bytes = NEW_ARRAY(arena, const int64_t *, n_versions),
                                      .version_bytes = NEW_ARRAY(arena, int64_t, n_versions),
                                      .tensors = NEW_ARRAY(arena, const struct tensor *, n_buffers + 1)};
    for (int v = 0; v < n_versions; v++) {
        const struct prog *prog = versions[v].prog;
        int64_t *offset = NEW_ARRAY(arena, int64_t, prog->next_buffer + 1);
        for (int i = 0; i < prog->buffers.n; i++) {
            const struct buffer *buf = prog->buffers.at[i];
            if (buf->space != SPACE_WEIGHT) continue;
            if (!buf->tensor) bug("weights", "buffer %s has no data", buf->name);
            struct placed *found = contents_place(&places, buf->tensor, layout);
            offset[buf->id] = found->offset_bytes;
            if (found->version != v) layout->version_bytes[v] += padded_bytes(layout, buf->tensor);
            found->version = v;
        }
        layout->offset_bytes[v] = offset;
    }
}

bool weights_put(const struct weights_layout *layout, FILE *file)
{
    static const char zeros[ALIGNMENT];
    bool good = true;
    for (int i = 0; i < layout->n_tensors && good; i++) {
        const struct tensor *tensor = layout->tensors[i];
        size_t n = (size_t)tensor->n_bytes, rest = (size_t)padded_bytes(layout, tensor) - n;
        good = (n == 0 || fwrite(tensor->data, 1, n, file) == n) && fwrite(zeros, 1, rest, file) == rest;
    }
    return good;
}

bool weights_write(const struct weights_layout *layout, const char *path, struct diag *diag)
{
    struct place place = {.path = path};
    FILE *file = fopen(path, "wb");
    if (!file) return diag_error(diag, place, "cannot write: %s", strerror(errno));
    bool good = weights_put(layout, file);
    int saved = errno;
    if (fclose(file) != 0 && good) good = false, saved = errno;
    return good || diag_error(diag, place, "cannot write: %s", strerror(saved));
}
