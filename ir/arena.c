/* Arenas: chains of malloc'd chunks that double in size.  See arena.h; this is the only file that frees. */
#include "arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct chunk {
    struct chunk *next;
    size_t used, size;
};
struct arena {
    struct chunk *top;
    size_t bytes;
};

static void out_of_memory(size_t bytes)
{
    fprintf(stderr, "tenon: error: out of memory (%zu bytes asked for)\n", bytes);
    exit(1);
}

struct arena *arena_new(void)
{
    struct arena *arena = calloc(1, sizeof *arena);
    if (!arena) out_of_memory(sizeof *arena);
    return arena;
}

void arena_free(struct arena *arena)
{
    if (!arena) return;
    for (struct chunk *c = arena->top, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    free(arena);
}

static struct chunk *chunk_new(struct arena *arena, size_t bytes)
{
    size_t size = arena->top ? arena->top->size * 2 : 4096;
    if (size > (1u << 20)) size = 1u << 20;
    if (size < bytes + 128) size = bytes + 128;
    struct chunk *c = calloc(1, size);
    if (!c) out_of_memory(bytes);
    c->size = size;
    c->used = sizeof *c;
    return c;
}

void *arena_alloc(struct arena *arena, size_t bytes)
{
    size_t align = bytes >= 64 ? 64 : 16;
    if (bytes > SIZE_MAX / 4) out_of_memory(bytes);
    struct chunk *c = arena->top;
    for (;;) {
        if (c) {
            uintptr_t base = (uintptr_t)c, at = (base + c->used + align - 1) & ~(uintptr_t)(align - 1);
            if (at - base + bytes <= c->size) {
                c->used = (size_t)(at - base) + bytes;
                arena->bytes += bytes;
                return (void *)at;
            }
        }
        struct chunk *fresh = chunk_new(arena, bytes);
        if (c && bytes > (1u << 19)) { /* a large item gets its own chunk below the top */
            fresh->next = c->next;
            c->next = fresh;
        } else {
            fresh->next = arena->top;
            arena->top = fresh;
        }
        c = fresh;
    }
}

void *arena_array(struct arena *arena, size_t n, size_t size)
{
    if (size && n > SIZE_MAX / size) out_of_memory(n);
    return arena_alloc(arena, n * size);
}

void *arena_copy(struct arena *arena, const void *src, size_t bytes)
{
    void *p = arena_alloc(arena, bytes);
    if (bytes) memcpy(p, src, bytes);
    return p;
}

char *arena_strndup(struct arena *arena, const char *s, size_t n)
{
    char *p = arena_alloc(arena, n + 1);
    if (n) memcpy(p, s, n);
    return p;
}

char *arena_strdup(struct arena *arena, const char *s)
{
    return arena_strndup(arena, s, strlen(s));
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *p = arena_alloc(arena, (size_t)(n < 0 ? 0 : n) + 1);
    if (n > 0) vsnprintf(p, (size_t)n + 1, format, again);
    va_end(again);
    return p;
}

size_t arena_bytes(const struct arena *arena)
{
    return arena->bytes;
}

void *list_grow(struct arena *arena, void *at, int *cap, size_t size)
{
    int bigger = *cap ? *cap * 2 : 8;
    void *p = arena_array(arena, (size_t)bigger, size);
    if (*cap) memcpy(p, at, (size_t)*cap * size);
    *cap = bigger;
    return p;
}
