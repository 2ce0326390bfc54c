/* What statements of main touch. See touch.h; which elements meet is decided on addresses in the arena (access.c). */
#include "touch.h"

static void touch(struct touches *to, struct buffer *buf, bool store, const struct reach *reach, ex offset)
{
    if (buf->space != SPACE_ARENA && buf->space != SPACE_OUTPUT) return;
    dim base = buf->space == SPACE_ARENA ? buf->offset_bytes : 0;
    struct touch one = {.buf = buf, .store = store, .reach = reach, .base = base, .offset = offset};
    LIST_PUSH(to->arena, to, one);
}

void touch_buffer(struct touches *to, struct buffer *buf, bool store)
{
    touch(to, buf, store, NULL, NULL);
}

void touch_expr(struct touches *to, ex e)
{
    if (!e) return;
    if (e->op == EX_load) touch(to, e->buf, false, NULL, NULL);
    for (int i = 0; i < 3; i++) touch_expr(to, e->arg[i]);
}

static bool has_calls(const struct stmt *list)
{
    for (; list; list = list->next)
        if (list->kind == STMT_CALL || has_calls(list->body) || has_calls(list->other)) return true;
    return false;
}

void touch_call(struct touches *to, const struct stmt *call, const struct reaches *reaches)
{
    if (call->kernel && has_calls(call->kernel->body)) reaches = NULL; /* what those touch is not in it */
    for (int i = 0; i < call->n_args; i++) {
        const struct call_arg *arg = &call->args[i];
        touch_expr(to, arg->offset);
        if (!reaches) touch(to, arg->buf, !call->kernel || call->kernel->params.at[i]->written, NULL, NULL);
        for (int k = 0; reaches && k < reaches->n; k++) {
            const struct reach *reach = &reaches->at[k];
            if (reach->buf == call->kernel->params.at[i]) touch(to, arg->buf, reach->store, reach, arg->offset);
        }
    }
    for (int i = 0; i < call->n_scalars; i++) touch_expr(to, call->scalars[i]);
}

static bool buffers_apart(struct dims *dims, const struct buffer *a, const struct buffer *b)
{
    if (a->space != b->space || a->side != b->side) return true;
    if (a->space != SPACE_ARENA) return a != b;
    dim a_end = dim_add(dims, a->offset_bytes, dim_mul(dims, a->elements, dtype_bytes(a->dt)));
    dim b_end = dim_add(dims, b->offset_bytes, dim_mul(dims, b->elements, dtype_bytes(b->dt)));
    return dim_le(dims, a_end, b->offset_bytes) || dim_le(dims, b_end, a->offset_bytes);
}

static bool meet(struct prog *prog, const struct touch *a, const struct touch *b)
{
    if (!a->store && !b->store) return false;
    if (buffers_apart(prog->dims, a->buf, b->buf)) return false;
    if (!a->reach || !b->reach) return true;
    struct reach_at x = {a->reach, a->base, a->offset}, y = {b->reach, b->base, b->offset};
    return !reach_apart(prog, &x, &y, -1, false);
}

bool touches_meet(struct prog *prog, const struct touches *a, const struct touches *b)
{
    for (int i = 0; i < a->n; i++)
        for (int k = 0; k < b->n; k++)
            if (meet(prog, &a->at[i], &b->at[k])) return true;
    return false;
}

bool touches_alias(struct prog *prog, const struct touches *call)
{
    for (int i = 0; i < call->n; i++)
        for (int k = 0; k < i; k++) {
            const struct touch *a = &call->at[i], *b = &call->at[k];
            if (a->reach && b->reach && a->reach->buf != b->reach->buf && meet(prog, a, b)) return true;
        }
    return false;
}
