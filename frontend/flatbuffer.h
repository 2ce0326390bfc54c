/* Flatbuffers read where they lie, every offset checked before it is followed.
 *
 * A flatbuffer is tables that point at one another by offsets: a table begins with the distance back to its vtable,
 * which says for each field where in the table it lies (0: not there, the field has its default). Nothing is decoded
 * ahead and nothing is trusted: a table, list or string is checked to lie inside the file when it is opened, a field
 * when it is read. What is wrong is reported at *place, and the reader answers with the default, so that a caller looks
 * at diag_errors once. The format: flatbuffers.dev, "FlatBuffer internals".
 */
#ifndef TENON_FLATBUFFER_H
#define TENON_FLATBUFFER_H
#include "../ir/diag.h"

enum { FLAT_NAME_MOST = 4096 }; /* bytes of a string */

struct flat {
    const uint8_t *at;
    size_t n;
    struct diag *diag;
    const struct place *place; /* of messages: what is being read at the time */
};
struct flat_table {
    const struct flat *flat; /* NULL: an absent table, all of whose fields are absent */
    size_t at, vtable;
    unsigned n_vtable, n_bytes;
};
struct flat_list {
    const struct flat *flat;
    size_t at; /* of the first element */
    int64_t n; /* 0 also where the list is absent */
};

/* The root table of a file with this identifier (four characters); false after a message. */
bool flat_root(const struct flat *flat, const char *identifier, struct flat_table *root);
bool flat_has(const struct flat_table *table, int field);
/* A signed field of 1, 2, 4 or 8 bytes. */
int64_t flat_int(const struct flat_table *table, int field, int bytes, int64_t otherwise);
double flat_float(const struct flat_table *table, int field, double otherwise); /* of 4 bytes */
/* A table inside a table; absent: one without fields. False after a message. */
bool flat_child(const struct flat_table *table, int field, struct flat_table *child);
/* A list of elements of so many bytes; absent: an empty one. False after a message. */
bool flat_list(const struct flat_table *table, int field, int bytes, struct flat_list *list);
/* A string, copied into arena; "" where it is absent or after a message. */
const char *flat_string(const struct flat_table *table, int field, struct arena *arena);
/* Element 0 <= i < n of a list with elements of so many bytes. */
int64_t flat_element(const struct flat_list *list, int64_t i, int bytes);
double flat_element_float(const struct flat_list *list, int64_t i);
/* Element i of a list of tables (whose elements have 4 bytes); false after a message. */
bool flat_element_table(const struct flat_list *list, int64_t i, struct flat_table *table);

#endif
