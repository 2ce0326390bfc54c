/* Pass await: the host of a device waits for a transfer where it touches what that reads or writes, not before.
 *
 *     call k_on_device(a)                     call k_on_device(a)
 *     call transfer(b, a)        (number 1)   call transfer(b, a)
 *     call f_on_host(c)                 ->    call f_on_host(c)
 *     call g_on_host(d, b)                    wait 1
 *                                             call g_on_host(d, b)
 *
 * The device has one queue, in order: a transfer is over when a later one is, and what the device reads or writes needs
 * no wait. The host runs its kernels, functions, and main's own statements at once, so it waits for what brings it a
 * value, and before it writes again over what is still to be sent; also where plan gave both the same memory. Before and
 * after a body with work of the host it waits for all that is under way, so that a body is the same in every round.
 *
 * Comes after bind: calls have their final numbers. Programs without transfers stay as they are.
 */
#include "passes.h"
#include "rewrite.h"
#include "touch.h"

struct pending { /* a transfer under way */
    int number;
    struct touches touches;
};
struct awaiting {
    struct prog *prog;
    struct arena *scratch;
    const struct stmt **calls;
    int n_calls;
    LIST(struct pending) pending;
};

static int number_of(const struct awaiting *a, const struct stmt *call)
{
    for (int i = 0; i < a->n_calls; i++)
        if (a->calls[i] == call) return i;
    bug("await", "a call of main without a number");
}

static bool is_transfer(const struct stmt *s)
{
    return s->kind == STMT_CALL && s->kernel && s->kernel->side == SIDE_BOTH;
}

/* Whether the host does something itself, or a transfer starts or ends there. */
static bool has_host_work(const struct stmt *list)
{
    for (; list; list = list->next) {
        bool device = list->kind == STMT_CALL && list->kernel && list->kernel->side == SIDE_DEVICE;
        bool control = list->kind == STMT_FOR && !list->a->arg[0] && !list->b->arg[0];
        if (!device && !control) return true;
        if (has_host_work(list->body) || has_host_work(list->other)) return true;
    }
    return false;
}

/* The first n of what is under way are waited for, by a statement in front of *at. */
static struct stmt **wait_for(struct awaiting *a, int n, struct stmt **at)
{
    if (n == 0) return at;
    struct stmt *wait = stmt_new(a->prog, STMT_BARRIER);
    wait->code = a->pending.at[n - 1].number + 1;
    wait->next = *at;
    *at = wait;
    for (int i = n; i < a->pending.n; i++) a->pending.at[i - n] = a->pending.at[i];
    a->pending.n -= n;
    return &wait->next;
}

/* What the statement itself touches, its bodies apart. */
static void touch_stmt(struct touches *to, const struct stmt *s)
{
    if (s->kind == STMT_CALL) touch_call(to, s, NULL);
    touch_expr(to, s->a);
    touch_expr(to, s->b);
    touch_expr(to, s->c);
    if (s->kind == STMT_STORE) touch_buffer(to, s->buf, true);
}

static void await_list(struct awaiting *a, struct stmt **list)
{
    for (struct stmt **at = list; *at; at = &(*at)->next) {
        struct stmt *s = *at;
        struct touches touches = {.arena = a->scratch};
        int n = 0;
        touch_stmt(&touches, s);
        if (is_transfer(s)) {
            struct pending pending = {number_of(a, s), touches};
            LIST_PUSH(a->scratch, &a->pending, pending);
            continue;
        }
        if (s->kind == STMT_CALL && s->kernel && s->kernel->side == SIDE_DEVICE) continue;
        bool body = has_host_work(s->body) || has_host_work(s->other);
        for (int i = 0; i < a->pending.n; i++)
            if (body || touches_meet(a->prog, &a->pending.at[i].touches, &touches)) n = i + 1;
        at = wait_for(a, n, at);
        if (!body) continue;
        struct stmt **ends[] = {&s->body, &s->other};
        for (int i = 0; i < 2; i++) {
            struct stmt **end = ends[i];
            await_list(a, end);
            while (*end) end = &(*end)->next;
            wait_for(a, a->pending.n, end);
        }
    }
}

struct prog *pass_await(const struct prog *prog, struct arena *unit, const struct pass_options *options)
{
    struct prog *to = prog_copy(prog, unit, NULL, NULL);
    (void)options;
    if (prog->arena_bytes == -1) return to;
    struct awaiting a = {.prog = to, .scratch = arena_new()};
    a.calls = prog_calls(to, a.scratch, &a.n_calls);
    await_list(&a, &to->main);
    arena_free(a.scratch);
    return to;
}
