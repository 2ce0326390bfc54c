/* Checked reading of flatbuffers. See flatbuffer.h.
 *
 * A range is inside the file where `bytes <= n && at <= n - bytes`: no sum is formed that could wrap.
 */
#include "flatbuffer.h"

#include <string.h>

static bool fail(const struct flat *flat, size_t at, const char *what)
{
    return diag_error(flat->diag, *flat->place, "byte %zu: %s", at, what);
}

static bool is_inside(const struct flat *flat, size_t at, size_t bytes)
{
    return bytes <= flat->n && at <= flat->n - bytes;
}

/* The little-endian number of 1, 2, 4 or 8 bytes at a place inside the file. */
static int64_t number_at(const struct flat *flat, size_t at, int bytes)
{
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++) v |= (uint64_t)flat->at[at + (size_t)i] << (8 * i);
    int unused = 64 - 8 * bytes;
    return (int64_t)(v << unused) >> unused;
}

static size_t unsigned_at(const struct flat *flat, size_t at, int bytes)
{
    return (size_t)number_at(flat, at, bytes) & (((size_t)1 << (8 * bytes)) - 1);
}

static float float_at(const struct flat *flat, size_t at)
{
    float v;
    memcpy(&v, flat->at + at, sizeof v);
    return v;
}

static bool open_table(const struct flat *flat, size_t at, struct flat_table *table)
{
    *table = (struct flat_table){0};
    if (!is_inside(flat, at, 4)) return fail(flat, at, "a table outside the file");
    int64_t vtable = (int64_t)at - number_at(flat, at, 4);
    if (vtable < 0 || !is_inside(flat, (size_t)vtable, 4))
        return fail(flat, at, "a table's fields lie outside the file");
    size_t n_vtable = unsigned_at(flat, (size_t)vtable, 2), n_bytes = unsigned_at(flat, (size_t)vtable + 2, 2);
    if (n_vtable < 4 || n_vtable % 2 || !is_inside(flat, (size_t)vtable, n_vtable))
        return fail(flat, (size_t)vtable, "a table of fields that does not end inside the file");
    if (n_bytes < 4 || !is_inside(flat, at, n_bytes))
        return fail(flat, at, "a table that does not end inside the file");
    *table = (struct flat_table){flat, at, (size_t)vtable, (unsigned)n_vtable, (unsigned)n_bytes};
    return true;
}

/* Where a field of so many bytes lies; 0: absent, or a message. */
static size_t field_at(const struct flat_table *table, int field, int bytes)
{
    unsigned entry = 4 + 2 * (unsigned)field;
    if (!table->flat || entry + 2 > table->n_vtable) return 0;
    unsigned offset = (unsigned)unsigned_at(table->flat, table->vtable + entry, 2);
    if (!offset) return 0;
    if (offset < 4 || offset + (unsigned)bytes > table->n_bytes)
        return fail(table->flat, table->vtable + entry, "a field outside its table");
    return table->at + offset;
}

/* What the offset of a field leads to; 0: absent, or a message. */
static size_t follow(const struct flat *flat, size_t at)
{
    size_t offset = unsigned_at(flat, at, 4);
    if (offset < 4 || !is_inside(flat, at, offset)) return fail(flat, at, "an offset that leads outside the file");
    return at + offset;
}

bool flat_root(const struct flat *flat, const char *identifier, struct flat_table *root)
{
    *root = (struct flat_table){0};
    if (flat->n < 8 || memcmp(flat->at + 4, identifier, 4) != 0)
        return diag_error(flat->diag, *flat->place, "not a model: \"%s\" does not stand at byte 4", identifier);
    size_t at = follow(flat, 0);
    return at && open_table(flat, at, root);
}

bool flat_has(const struct flat_table *table, int field)
{
    return field_at(table, field, 1) != 0;
}

int64_t flat_int(const struct flat_table *table, int field, int bytes, int64_t otherwise)
{
    size_t at = field_at(table, field, bytes);
    return at ? number_at(table->flat, at, bytes) : otherwise;
}

double flat_float(const struct flat_table *table, int field, double otherwise)
{
    size_t at = field_at(table, field, 4);
    return at ? (double)float_at(table->flat, at) : otherwise;
}

bool flat_child(const struct flat_table *table, int field, struct flat_table *child)
{
    *child = (struct flat_table){0};
    size_t at = field_at(table, field, 4);
    if (!at) return true;
    at = follow(table->flat, at);
    return at && open_table(table->flat, at, child);
}

bool flat_list(const struct flat_table *table, int field, int bytes, struct flat_list *list)
{
    *list = (struct flat_list){0};
    size_t at = field_at(table, field, 4);
    if (!at) return true;
    at = follow(table->flat, at);
    if (!at) return false;
    if (!is_inside(table->flat, at, 4)) return fail(table->flat, at, "a list outside the file");
    size_t n = unsigned_at(table->flat, at, 4);
    if (n > (table->flat->n - at - 4) / (size_t)bytes)
        return fail(table->flat, at, "a list that does not end inside the file");
    *list = (struct flat_list){table->flat, at + 4, (int64_t)n};
    return true;
}

const char *flat_string(const struct flat_table *table, int field, struct arena *arena)
{
    struct flat_list list;
    if (!flat_list(table, field, 1, &list) || !list.n) return "";
    if (list.n > FLAT_NAME_MOST) return fail(list.flat, list.at, "a name of more than 4096 bytes"), "";
    return arena_strndup(arena, (const char *)list.flat->at + list.at, (size_t)list.n);
}

int64_t flat_element(const struct flat_list *list, int64_t i, int bytes)
{
    return number_at(list->flat, list->at + (size_t)i * (size_t)bytes, bytes);
}

double flat_element_float(const struct flat_list *list, int64_t i)
{
    return (double)float_at(list->flat, list->at + (size_t)i * 4);
}

bool flat_element_table(const struct flat_list *list, int64_t i, struct flat_table *table)
{
    *table = (struct flat_table){0};
    size_t at = follow(list->flat, list->at + (size_t)i * 4);
    return at && open_table(list->flat, at, table);
}
