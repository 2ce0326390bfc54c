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

static bool is_group(const struct stmt *s)
{
    return s->kind == STMT_FOR && s->loop == LOOP_GROUP0;
}

bool stmt_is_group(const struct stmt *list)
{
    for (const struct stmt *s = list; s; s = s->next)
        if (!is_group(s)) return false;
    return list != NULL;
}

bool kernel_has_stages(const struct kernel *kernel)
{
    return stmt_is_group(kernel->body) && kernel->body->next;
}

ex kernel_groups(struct prog *prog, const struct kernel *kernel)
{
    ex most = ex_int(prog, DT_index, 1);
    if (!stmt_is_group(kernel->body)) return most;
    for (const struct stmt *s = kernel->body; s; s = s->next) most = s == kernel->body ? s->b : ex_binary(prog, EX_max, most, s->b);
    return most;
}

int64_t kernel_lanes(const struct kernel *kernel)
{
    const struct stmt *s = stmt_is_group(kernel->body) ? kernel->body->body : NULL;
    while (s && s->kind == STMT_LET) s = s->next; /* what is the same for all lanes */
    return s && s->kind == STMT_FOR && s->loop == LOOP_LANE0 ? s->b->imm : 1;
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
