/* Lifetimes of buffers over main, loops and branches included.
 *
 * Statements are numbered in order. A buffer's life is the interval from its first to its last use; then each loop
 * stretches the lives that cross its border, and those of buffers that an iteration may read before it writes them.
 * Next: plan.c.
 */
#include "plan.h"

struct loop_span {
    int start, end;
};
struct walking {
    struct lives *lives;
    struct arena *arena;
    LIST(struct loop_span) loops; /* inner ones before the loops around them */
    int branches;                 /* ifs around, inside the innermost loop */
};

static void use(struct walking *w, const struct buffer *buf, bool certain_write)
{
    if (!buf || buf->space != SPACE_ARENA) return;
    struct life *life = &w->lives->at[buf->id];
    if (life->first < 0) {
        life->first = w->lives->n_steps;
        life->written_first = certain_write && w->branches == 0;
    }
    life->last = w->lives->n_steps;
}

static void use_expr(struct walking *w, ex e)
{
    if (!e || e->op == EX_const || e->op == EX_dim || e->op == EX_var) return;
    if (e->op == EX_load) use(w, e->buf, false);
    for (int i = 0; i < 3; i++) use_expr(w, e->arg[i]);
}

static bool list_loads(const struct stmt *list, const struct buffer *buf)
{
    for (; list; list = list->next)
        if (ex_loads(list->a, buf) || ex_loads(list->b, buf) || ex_loads(list->c, buf) || list_loads(list->body, buf) ||
            list_loads(list->other, buf))
            return true;
    return false;
}

static void use_call(struct walking *w, const struct stmt *s)
{
    for (int i = 0; i < s->n_scalars; i++) use_expr(w, s->scalars[i]);
    for (int pass = 0; pass < 2; pass++) /* reads come first */
        for (int i = 0; i < s->n_args; i++) {
            const struct buffer *formal = s->kernel ? s->kernel->params.at[i] : NULL;
            bool writes = formal && formal->written;
            use_expr(w, s->args[i].offset);
            bool at_start = !s->args[i].offset || ex_is_int(s->args[i].offset, 0);
            bool whole = formal && at_start && formal->elements == s->args[i].buf->elements;
            if (writes == (pass == 1)) use(w, s->args[i].buf, writes && whole && !list_loads(s->kernel->body, formal));
        }
}

static void walk(struct walking *w, const struct stmt *list)
{
    for (; list; list = list->next) {
        w->lives->n_steps++;
        LIST_PUSH(w->arena, &w->lives->steps, list);
        if (list->kind != STMT_WHILE) use_expr(w, list->a);
        use_expr(w, list->b);
        use_expr(w, list->c);
        if (list->kind == STMT_STORE) use(w, list->buf, false); /* a part only */
        if (list->kind == STMT_CALL) use_call(w, list);
        if (list->kind == STMT_IF) {
            w->branches++;
            walk(w, list->body);
            walk(w, list->other);
            w->branches--;
        }
        if (list->kind == STMT_FOR || list->kind == STMT_WHILE) {
            struct loop_span span = {.start = w->lives->n_steps};
            int branches = w->branches;
            w->branches = 0;
            walk(w, list->body);
            w->branches = branches;
            if (list->kind == STMT_WHILE) use_expr(w, list->a);
            span.end = ++w->lives->n_steps;
            LIST_PUSH(w->arena, &w->lives->steps, NULL);
            LIST_PUSH(w->arena, &w->loops, span);
        }
    }
}

static void stretch(struct life *life, struct loop_span loop)
{
    bool outside = life->last < loop.start || life->first > loop.end;
    bool around = life->first <= loop.start && life->last >= loop.end;
    if (life->first < 0 || outside || around) return;
    bool within = life->first > loop.start && life->last < loop.end;
    if (within && life->written_first) return;
    if (life->first > loop.start) {
        life->first = loop.start;
        life->written_first = within ? false : life->written_first;
    }
    if (life->last < loop.end) life->last = loop.end;
}

void plan_lives(const struct prog *prog, struct arena *arena, struct lives *lives)
{
    *lives = (struct lives){.n = prog->next_buffer};
    lives->at = NEW_ARRAY(arena, struct life, lives->n + 1);
    for (int i = 0; i < lives->n; i++) lives->at[i].first = lives->at[i].last = -1;
    for (int i = 0; i < prog->buffers.n; i++)
        if (prog->buffers.at[i]->space == SPACE_ARENA) lives->at[prog->buffers.at[i]->id].buf = prog->buffers.at[i];
    struct walking w = {.lives = lives, .arena = arena};
    walk(&w, prog->main);
    for (int k = 0; k < w.loops.n; k++)
        for (int i = 0; i < lives->n; i++) stretch(&lives->at[i], w.loops.at[k]);
}
