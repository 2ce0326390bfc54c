/* Questions about statements and expressions of a program that several layers ask. See prog.h. */
#include "prog.h"

#include <string.h>

bool ex_loads(ex e, const struct buffer *buf)
{
    if (!e || e->op == EX_const || e->op == EX_dim || e->op == EX_var) return false;
    if (e->op == EX_load && e->buf == buf) return true;
    return ex_loads(e->arg[0], buf) || ex_loads(e->arg[1], buf) || ex_loads(e->arg[2], buf);
}

bool stmt_can_fail(const struct stmt *list)
{
    for (; list; list = list->next) {
        if (list->kind == STMT_FAIL || stmt_can_fail(list->body) || stmt_can_fail(list->other)) return true;
        if (list->kind == STMT_CALL && (!list->kernel || stmt_can_fail(list->kernel->body))) return true;
    }
    return false;
}

bool stmt_has_barrier(const struct stmt *list)
{
    for (; list; list = list->next)
        if (list->kind == STMT_BARRIER || stmt_has_barrier(list->body) || stmt_has_barrier(list->other)) return true;
    return false;
}

bool stmt_is_group(const struct stmt *list)
{
    return list && list->kind == STMT_FOR && list->loop == LOOP_GROUP0 && !list->next;
}

struct launch kernel_launch(const struct kernel *kernel)
{
    struct launch launch = {.lanes = 1};
    const struct stmt *s = kernel->body;
    if (!s || s->kind != STMT_FOR || s->loop != LOOP_GROUP0) return launch;
    launch.groups = s->b;
    s = s->body;
    while (s && s->kind == STMT_LET) s = s->next; /* what is the same for all lanes */
    if (s && s->kind == STMT_FOR && s->loop == LOOP_LANE0) launch.lanes = s->b->imm;
    return launch;
}

bool stmt_calls(const struct stmt *list, const struct kernel *kernel)
{
    for (; list; list = list->next)
        if (list->kernel == kernel || stmt_calls(list->body, kernel) || stmt_calls(list->other, kernel)) return true;
    return false;
}

bool buffer_is_apart(const struct buffer *buf)
{
    return (buf->space == SPACE_ARENA || buf->space == SPACE_OUTPUT) && buf->side == SIDE_DEVICE;
}

bool stmt_is_mark(const struct stmt *s)
{
    return s->kind == STMT_CALL && !s->kernel && !strcmp(s->extern_name, "note");
}

static int count_calls(const struct stmt *list, const struct stmt **calls, int n)
{
    for (const struct stmt *s = list; s; s = s->next) {
        if (s->kind == STMT_CALL && !stmt_is_mark(s)) {
            if (calls) calls[n] = s;
            n++;
        }
        n = count_calls(s->body, calls, n);
        n = count_calls(s->other, calls, n);
    }
    return n;
}

const struct stmt **prog_calls(const struct prog *prog, struct arena *arena, int *n)
{
    *n = count_calls(prog->main, NULL, 0);
    const struct stmt **calls = NEW_ARRAY(arena, const struct stmt *, *n + 1);
    count_calls(prog->main, calls, 0);
    return calls;
}
