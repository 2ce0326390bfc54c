/* What a statement of main reads and writes, in the memory that kernels share. Used by passes parallel and bind. */
#ifndef TENON_TOUCH_H
#define TENON_TOUCH_H
#include "access.h"

struct touch {
    struct buffer *buf; /* of main: in the arena, or an output */
    bool store;
    const struct reach *reach; /* NULL: anywhere in the buffer */
    dim base;                  /* bytes */
    ex offset;                 /* elements; NULL: none */
};
struct touches {
    struct arena *arena;
    int n, cap;
    struct touch *at;
};
void touch_buffer(struct touches *to, struct buffer *buf, bool store);
/* Every load of the expression. */
void touch_expr(struct touches *to, ex e);
/* A call, whose kernel's body reaches that; NULL, or where the body has calls of its own: all of its buffers. */
void touch_call(struct touches *to, const struct stmt *call, const struct reaches *reaches);
/* Whether some byte may be touched by both, and written by one. Proven otherwise: false. */
bool touches_meet(struct prog *prog, const struct touches *a, const struct touches *b);
/* Whether two arguments of the call that made them may be the same memory, written through one, which its kernel's body
 * does not show. */
bool touches_alias(struct prog *prog, const struct touches *call);

#endif
