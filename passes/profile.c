/* Pass profile: main says where it is, so that whoever runs it can take the time of every call in its place.
 *
 *     main {                              main {
 *                                           call note(0, worker)
 *       call conv_1(a, x)                   call conv_1(a, x)
 *       barrier                             call note(-2, worker)
 *       for i in 0..n {           =>        barrier
 *                                           call note(-1, worker)
 *                                           for i in 0..n {
 *                                             call note(1, worker)
 *         call step(y, a)                     call step(y, a)
 *       }                                     call note(-1, worker)
 *     }                                     }
 *
 * A mark is a call of the extern function `note` (ir/extern_note.c) with a site, which begins here and ends at the
 * worker's next mark, and the worker. Sites are the calls' numbers (prog_calls), PROFILE_WAIT at a barrier, and
 * PROFILE_REST for everything else of main. Every list of statements ends in PROFILE_REST, so control flow needs no
 * thought. Last pass, and only where pass_options asks for it: what is printed is otherwise the same program.
 */
#include "profile.h"
#include "passes.h"
#include "rewrite.h"

struct marking {
    struct prog *prog;
    int next;     /* number of the next call */
    bool resting; /* the last mark was PROFILE_REST */
};

static void mark(struct marking *marking, int site, struct stmt **out)
{
    struct prog *prog = marking->prog;
    struct stmt *call = stmt_new(prog, STMT_CALL);
    call->extern_name = "note";
    call->n_scalars = 2;
    call->scalars = NEW_ARRAY(prog->arena, ex, 2);
    call->scalars[0] = ex_int(prog, DT_index, site);
    call->scalars[1] = prog->threads ? ex_var(prog, prog->worker) : ex_int(prog, DT_index, 0);
    marking->resting = site == PROFILE_REST;
    stmt_append(out, call);
}

static struct stmt *mark_list(struct marking *marking, struct stmt *list)
{
    struct stmt *out = NULL, *next;
    for (struct stmt *s = list; s; s = next) {
        next = s->next;
        s->next = NULL;
        if (stmt_is_mark(s)) continue; /* of an earlier round */
        if (s->kind == STMT_CALL) mark(marking, marking->next++, &out);
        else if (s->kind == STMT_BARRIER) mark(marking, PROFILE_WAIT, &out);
        else if (!marking->resting) mark(marking, PROFILE_REST, &out);
        if (s->body) s->body = mark_list(marking, s->body);
        if (s->other) s->other = mark_list(marking, s->other);
        stmt_append(&out, s);
    }
    if (!marking->resting) mark(marking, PROFILE_REST, &out);
    return out;
}

struct prog *pass_profile(const struct prog *prog, struct arena *unit, const struct pass_options *options)
{
    struct prog *to = prog_copy(prog, unit, NULL, NULL);
    struct marking marking = {.prog = to};
    (void)options;
    to->main = mark_list(&marking, to->main);
    return to;
}

static bool holds(const struct stmt *list, const struct stmt *call)
{
    for (; list; list = list->next)
        if (list == call || holds(list->body, call) || holds(list->other, call)) return true;
    return false;
}

bool profile_is_dealt(const struct stmt *list, const struct stmt *call)
{
    for (; list; list = list->next) {
        if (list->kind == STMT_FOR && list->loop == LOOP_PARALLEL && holds(list->body, call)) return true;
        if (profile_is_dealt(list->body, call) || profile_is_dealt(list->other, call)) return true;
    }
    return false;
}
