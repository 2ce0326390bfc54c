/* Memory by lifetime.
 *
 * Everything the compiler allocates lives in one of three arenas: the session's (sources, names, weights,
 * messages), a unit's (one graph or program) and a pass's scratch.  Nothing is freed singly; an arena goes as
 * a whole.  A pointer may only point to an equal or longer life.  Running out of memory ends the process with
 * a message: there is no useful way on.
 */
#ifndef TENON_ARENA_H
#define TENON_ARENA_H
#include <stddef.h>
#include <stdint.h>

struct arena;

struct arena *arena_new(void);
void arena_free(struct arena *arena); /* NULL is fine */

/* Zeroed memory, aligned for any type (and to 64 bytes from 64 bytes on). */
void *arena_alloc(struct arena *arena, size_t bytes);
/* As above for n items; n*size is checked for overflow. */
void *arena_array(struct arena *arena, size_t n, size_t size);
void *arena_copy(struct arena *arena, const void *src, size_t bytes);
char *arena_strdup(struct arena *arena, const char *s);
char *arena_strndup(struct arena *arena, const char *s, size_t n);
char *arena_printf(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Bytes handed out so far. */
size_t arena_bytes(const struct arena *arena);

#define NEW(arena, type) ((type *)arena_alloc((arena), sizeof(type)))
#define NEW_ARRAY(arena, type, n) ((type *)arena_array((arena), (size_t)(n), sizeof(type)))

/* Growable list in an arena: `struct { T *at; int n, cap; }`. */
#define LIST(type)                                                                                           \
    struct {                                                                                                 \
        type *at;                                                                                            \
        int n, cap;                                                                                          \
    }
#define LIST_PUSH(arena, list, item)                                                                         \
    do {                                                                                                     \
        if ((list)->n == (list)->cap)                                                                        \
            (list)->at = list_grow((arena), (list)->at, &(list)->cap, sizeof *(list)->at);                   \
        (list)->at[(list)->n++] = (item);                                                                    \
    } while (0)
void *list_grow(struct arena *arena, void *at, int *cap, size_t size);

#endif
