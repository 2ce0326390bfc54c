/* Pass parallel: main becomes a program that several workers run at once.
 *
 *   call k(y, x)           call k(y, x; 98*worker div workers, (98*worker + 98) div workers)
 *   call l(z, y)     ->    barrier
 *   call m(u, y)           if worker = 0 { call l(z, y) }  if worker = min(1, workers - 1) { call m(u, y) }
 *
 * Kernels worth it are divided (partition.c), by the loops that let workers read most of what they wrote themselves
 * (exchange.c): each worker computes a range of pieces, found from its number, so the work is dealt out before it starts. Other calls run on one worker: the one that made what they read, or the least busy one.
 * A barrier stands only between accesses of different workers that meet, which is decided on the addresses within the
 * arena (access.c): the pass comes after plan because buffers that share memory must not be worked on at once.
 * Conditions, bounds and lets of main are evaluated by every worker, behind a barrier where they read what one of them
 * wrote, so all take the same way. After a call that may fail stands a barrier, at which all workers see the status.
 * Needs: a plan. Leaves: programs where nothing is worth it, without workers. Results are the same bits for every
 * number of workers, since pieces are computed by the code that one worker would run.
 */
#include "exchange.h"
#include "passes.h"
#include "touch.h"

#include <string.h>

/* Work is in operations of partition.h, of which a core does some 8 in a nanosecond. */
enum { GRAIN = 12000, GRAINS_SAVED = 16, GRAINS_OF_CHOICE = 8, EVERYONE = -1 };

struct kernel_facts {
    struct kernel *kernel;
    double work;
    bool can_fail, divided;
    dim units;
    struct reaches reaches; /* of the body before it was divided */
};
struct task { /* something done since the last barrier */
    const struct stmt *stmt;
    int worker; /* EVERYONE, or the one */
    struct touches touches; /* what it reads and writes */
};
struct tasks {
    int n, cap;
    struct task *at;
};
struct deal {
    struct prog *prog;
    struct arena *scratch;
    int threads;
    double grain;
    struct kernel_facts *facts;
    struct tasks pending;
    double load[THREADS_MOST]; /* by worker, since the last barrier */
    double saved;
    bool rehearsal; /* only pending is of interest */
};

static struct kernel_facts *facts_of(const struct deal *deal, const struct kernel *kernel)
{
    for (int i = 0; i < deal->prog->kernels.n; i++)
        if (deal->facts[i].kernel == kernel) return &deal->facts[i];
    bug("parallel", "no kernel %s", kernel->name);
}

/* ---- barriers and workers ---- */

static void touch_kernel(struct deal *deal, struct touches *to, const struct stmt *call)
{
    touch_call(to, call, call->kernel ? &facts_of(deal, call->kernel)->reaches : NULL);
}

static struct stmt *barrier(struct deal *deal)
{
    deal->saved -= deal->grain; /* all come, and one of them last (measured: ppocr_cls, 54 of them) */
    deal->pending.n = 0;
    memset(deal->load, 0, sizeof deal->load);
    return stmt_new(deal->prog, STMT_BARRIER);
}

/* A barrier, where something pending meets what all workers do next. */
static void barrier_before(struct deal *deal, const struct touches *next, struct stmt **out)
{
    for (int i = 0; i < deal->pending.n; i++)
        if (touches_meet(deal->prog, &deal->pending.at[i].touches, next)) {
            stmt_append(out, barrier(deal));
            return;
        }
}

static void remember(struct deal *deal, struct task task)
{
    if (task.touches.n) LIST_PUSH(deal->scratch, &deal->pending, task);
}

/* What every worker evaluates for itself: behind a barrier where it reads what one of them wrote. */
static void everyone_reads(struct deal *deal, const struct stmt *s, ex const *e, int n, struct stmt **out)
{
    struct task task = {.stmt = s, .worker = EVERYONE, .touches.arena = deal->scratch};
    for (int i = 0; i < n; i++) touch_expr(&task.touches, e[i]);
    barrier_before(deal, &task.touches, out);
    remember(deal, task);
}

/* The worker for an undivided task: the only one it depends on, else the least busy. *meets: of several workers. */
static int choose_worker(struct deal *deal, const struct task *task, bool *meets)
{
    int found = EVERYONE, least = 0;
    *meets = false;
    for (int i = 0; i < deal->pending.n; i++) {
        const struct task *other = &deal->pending.at[i];
        if (other->worker != EVERYONE && other->worker == found) continue;
        if (!touches_meet(deal->prog, &other->touches, &task->touches)) continue;
        if (other->worker == EVERYONE || found != EVERYONE) *meets = true;
        found = other->worker;
        if (*meets) return 0;
    }
    for (int i = 1; i < deal->threads; i++)
        if (deal->load[i] < deal->load[least]) least = i;
    return found != EVERYONE ? found : least;
}

static ex worker_is(struct deal *deal, int worker)
{
    struct prog *prog = deal->prog;
    ex last = ex_binary(prog, EX_sub, ex_var(prog, prog->workers), ex_int(prog, DT_index, 1));
    ex number = worker ? ex_binary(prog, EX_min, ex_int(prog, DT_index, worker), last) : ex_int(prog, DT_index, 0);
    return ex_binary(prog, EX_eq, ex_var(prog, prog->worker), number);
}

/* total * (worker + more) / workers, of the first `most` workers. */
static ex part(struct deal *deal, dim total, int more, int most)
{
    struct prog *prog = deal->prog;
    ex worker = ex_var(prog, prog->worker), workers = ex_var(prog, prog->workers);
    if (more) worker = ex_binary(prog, EX_add, worker, ex_int(prog, DT_index, 1));
    if (most < deal->threads) {
        worker = ex_binary(prog, EX_min, worker, ex_int(prog, DT_index, most));
        workers = ex_binary(prog, EX_min, workers, ex_int(prog, DT_index, most));
    }
    return ex_binary(prog, EX_div, ex_binary(prog, EX_mul, worker, ex_dim(prog, total)), workers);
}

static void add_range(struct deal *deal, struct stmt *call, ex from, ex to)
{
    ex *scalars = NEW_ARRAY(deal->prog->arena, ex, call->n_scalars + 2);
    for (int i = 0; i < call->n_scalars; i++) scalars[i] = call->scalars[i];
    scalars[call->n_scalars] = from;
    scalars[call->n_scalars + 1] = to;
    call->scalars = scalars;
    call->n_scalars += 2;
}

static void deal_divided(struct deal *deal, struct stmt *call, struct task *task, struct kernel_facts *facts, struct stmt **out)
{
    double workers = facts->work / deal->grain;
    int most = workers < deal->threads ? (int)workers : deal->threads;
    barrier_before(deal, &task->touches, out);
    task->worker = EVERYONE;
    for (int i = 0; i < most; i++) deal->load[i] += facts->work / most;
    deal->saved += facts->work - facts->work / most;
    add_range(deal, call, part(deal, facts->units, 0, most), part(deal, facts->units, 1, most));
    stmt_append(out, call);
}

static struct stmt *copy_one(struct deal *deal, const struct stmt *s)
{
    struct stmt *copy = arena_copy(deal->prog->arena, s, sizeof *s);
    copy->next = NULL;
    return copy;
}

static void deal_call(struct deal *deal, const struct stmt *s, struct stmt **out)
{
    struct stmt *call = copy_one(deal, s);
    struct task task = {.stmt = s, .touches.arena = deal->scratch};
    struct kernel_facts *facts = s->kernel ? facts_of(deal, s->kernel) : NULL;
    bool fails = !facts || facts->can_fail, meets;
    touch_kernel(deal, &task.touches, s);
    if (facts && facts->divided && facts->work >= 2 * deal->grain && !touches_alias(deal->prog, &task.touches)) {
        deal_divided(deal, call, &task, facts, out);
    } else {
        task.worker = choose_worker(deal, &task, &meets);
        if (meets) stmt_append(out, barrier(deal));
        if (facts && facts->divided) add_range(deal, call, ex_int(deal->prog, DT_index, 0), ex_dim(deal->prog, facts->units));
        deal->load[task.worker] += facts ? facts->work : 1000;
        stmt_append_under(deal->prog, out, worker_is(deal, task.worker), call);
    }
    remember(deal, task);
    if (fails) stmt_append(out, barrier(deal));
}

static void deal_store(struct deal *deal, const struct stmt *s, struct stmt **out)
{
    struct task task = {.stmt = s, .touches.arena = deal->scratch};
    bool meets;
    touch_buffer(&task.touches, s->buf, true);
    touch_expr(&task.touches, s->a);
    touch_expr(&task.touches, s->b);
    task.worker = choose_worker(deal, &task, &meets);
    if (meets) stmt_append(out, barrier(deal));
    stmt_append_under(deal->prog, out, worker_is(deal, task.worker), copy_one(deal, s));
    remember(deal, task);
}

static struct stmt *deal_list(struct deal *deal, const struct stmt *list);

static void add_tasks(struct deal *deal, const struct tasks *more)
{
    for (int i = 0; i < more->n; i++) {
        bool known = false;
        for (int k = 0; k < deal->pending.n && !known; k++)
            known = deal->pending.at[k].stmt == more->at[i].stmt && deal->pending.at[k].worker == more->at[i].worker;
        if (!known) LIST_PUSH(deal->scratch, &deal->pending, more->at[i]);
    }
}

static struct tasks keep_tasks(struct deal *deal)
{
    struct tasks kept = {.n = deal->pending.n, .cap = deal->pending.n};
    if (kept.n) kept.at = arena_copy(deal->scratch, deal->pending.at, (size_t)kept.n * sizeof *kept.at);
    return kept;
}

static bool same_tasks(const struct tasks *a, const struct tasks *b)
{
    for (int i = 0; i < a->n; i++) {
        bool known = false;
        for (int k = 0; k < b->n && !known; k++) known = b->at[k].stmt == a->at[i].stmt && b->at[k].worker == a->at[i].worker;
        if (!known) return false;
    }
    return true;
}

/* A loop's body: what is pending at its end is pending at its start. First without, then with what that showed; where
 * this moves barriers so that something new is pending, a barrier opens the body. */
static void deal_body(struct deal *deal, const struct stmt *s, struct stmt *to)
{
    struct tasks before = keep_tasks(deal), after, again;
    double saved = deal->saved;
    for (int round = 0; round < 2; round++) {
        deal->saved = saved;
        to->body = deal_list(deal, s->body);
        if (s->kind == STMT_WHILE) everyone_reads(deal, s, &s->a, 1, &to->body);
        if (round == 0) {
            after = keep_tasks(deal);
            add_tasks(deal, &before);
        }
    }
    again = keep_tasks(deal);
    add_tasks(deal, &before);
    struct tasks all = keep_tasks(deal);
    (void)again;
    deal->pending.n = 0;
    add_tasks(deal, &before);
    add_tasks(deal, &after);
    bool fine = same_tasks(&all, &deal->pending);
    if (!fine) {
        deal->saved = saved;
        to->body = barrier(deal);
        stmt_append(&to->body, deal_list(deal, s->body));
        if (s->kind == STMT_WHILE) everyone_reads(deal, s, &s->a, 1, &to->body);
    } else {
        deal->pending.n = 0;
        add_tasks(deal, &again);
    }
    if (s->kind == STMT_FOR) add_tasks(deal, &before); /* it may not run at all */
    memset(deal->load, 0, sizeof deal->load);
}

static void deal_if(struct deal *deal, const struct stmt *s, struct stmt *to)
{
    struct tasks before = keep_tasks(deal), body;
    to->body = deal_list(deal, s->body);
    body = keep_tasks(deal);
    deal->pending.n = 0;
    add_tasks(deal, &before);
    to->other = deal_list(deal, s->other);
    add_tasks(deal, &body);
}

static void touch_calls(struct deal *deal, struct task *task, const struct stmt *list, double times, double *work)
{
    for (const struct stmt *s = list; s; s = s->next) {
        if (s->kind == STMT_FOR) touch_calls(deal, task, s->body, times * (double)(s->var->hi + 1), work);
        if (s->kind != STMT_CALL) continue;
        touch_kernel(deal, &task->touches, s);
        *work += times * facts_of(deal, s->kernel)->work;
    }
}

static bool only_calls(const struct stmt *list)
{
    for (; list; list = list->next) {
        bool loop = list->kind == STMT_FOR && dim_is_const(list->var->hi) && only_calls(list->body);
        if (!loop && (list->kind != STMT_CALL || !list->kernel)) return false;
    }
    return true;
}

/* A loop as pass strips makes them. */
static bool has_parts(const struct stmt *s)
{
    return s->kind == STMT_FOR && s->loop == LOOP_PARALLEL && ex_is_int(s->a, 0) && ex_is_const(s->b) && s->b->imm > 0 && only_calls(s->body);
}

/* Of such a loop: parts that touch nothing of one another's, with what is inside them undivided. */
static void deal_parts(struct deal *deal, const struct stmt *s, struct stmt **out)
{
    struct stmt *loop = copy_one(deal, s);
    struct task task = {.stmt = s, .worker = EVERYONE, .touches.arena = deal->scratch};
    double work = 0, parts = (double)s->b->imm;
    touch_calls(deal, &task, s->body, 1, &work);
    barrier_before(deal, &task.touches, out);
    for (int i = 0; i < deal->threads; i++) deal->load[i] += work / parts;
    deal->saved += work - work / parts;
    loop->a = part(deal, s->b->imm, 0, deal->threads);
    loop->b = part(deal, s->b->imm, 1, deal->threads);
    stmt_append(out, loop);
    remember(deal, task);
}

static void deal_stmt(struct deal *deal, const struct stmt *s, struct stmt **out)
{
    struct stmt *copy;
    ex read[2] = {s->a, s->b};
    if (has_parts(s)) {
        deal_parts(deal, s, out);
        return;
    }
    switch (s->kind) {
    case STMT_CALL: deal_call(deal, s, out); return;
    case STMT_STORE: deal_store(deal, s, out); return;
    case STMT_PREFETCH: case STMT_BARRIER: return;
    case STMT_LET:
    case STMT_SET:
    case STMT_FAIL: everyone_reads(deal, s, read, 1, out); break;
    case STMT_FOR: everyone_reads(deal, s, read, 2, out); break;
    case STMT_IF: everyone_reads(deal, s, read, 1, out); break;
    case STMT_WHILE: break;
    }
    copy = copy_one(deal, s);
    if (s->kind == STMT_FOR || s->kind == STMT_WHILE) deal_body(deal, s, copy);
    if (s->kind == STMT_IF) deal_if(deal, s, copy);
    stmt_append(out, copy);
}

static struct stmt *deal_list(struct deal *deal, const struct stmt *list)
{
    struct stmt *out = NULL;
    for (; list; list = list->next) deal_stmt(deal, list, &out);
    return out;
}

/* ---- the program ---- */

/* Whether the kernel is called where iterations are dealt out: there it stays whole. */
static bool is_in_strips(const struct stmt *list, const struct kernel *kernel)
{
    for (; list; list = list->next)
        if (list->kind == STMT_FOR && list->loop == LOOP_PARALLEL && stmt_calls(list->body, kernel)) return true;
    return false;
}

static void look_at_kernels(struct deal *deal)
{
    struct prog *prog = deal->prog;
    deal->facts = NEW_ARRAY(deal->scratch, struct kernel_facts, prog->kernels.n + 1);
    for (int i = 0; i < prog->kernels.n; i++) {
        struct kernel_facts *facts = &deal->facts[i];
        struct kernel *kernel = prog->kernels.at[i];
        *facts = (struct kernel_facts){.kernel = kernel, .work = work_of(prog, kernel), .can_fail = stmt_can_fail(kernel->body)};
        facts->reaches.arena = deal->scratch;
        reaches_of(&facts->reaches, kernel->body, NULL, 0);
    }
}

/* Divides the kernels; what goes from core to core then. */
static double divide_kernels(struct deal *deal, int l2_bytes)
{
    struct prog *prog = deal->prog;
    struct ways *all = NEW_ARRAY(deal->scratch, struct ways, prog->kernels.n + 1);
    for (int i = 0; i < prog->kernels.n; i++) {
        struct ways *ways = &all[i];
        ways->kernel = prog->kernels.at[i];
        if (is_in_strips(prog->main, ways->kernel)) continue;
        for (int depth = 0; depth < WAYS_MOST && deal->facts[i].work >= (depth ? GRAINS_OF_CHOICE : 2) * deal->grain; depth++)
            if (partition_kernel(prog, ways->kernel, deal->threads, depth, false, &ways->way[ways->n])) ways->n++;
    }
    double exchanged = exchange_choose(prog, deal->threads, l2_bytes, all, prog->kernels.n);
    for (int i = 0; i < prog->kernels.n; i++) {
        const struct partition *way = &all[i].way[all[i].chosen];
        if (all[i].n == 0) continue;
        partition_apply(prog, all[i].kernel, way);
        deal->facts[i].divided = true;
        deal->facts[i].units = way->units;
    }
    return exchanged;
}

struct prog *pass_parallel(const struct prog *prog, struct arena *unit, const struct pass_options *options)
{
    struct prog *to = prog_copy(prog, unit, NULL, NULL);
    if (options->threads < 2 || prog->threads || prog->arena_bytes == -1) return to;
    struct deal deal = {.prog = to, .scratch = arena_new(), .threads = options->threads};
    deal.grain = options->grain > 0 ? (double)options->grain : GRAIN;
    prog_workers(to, options->threads, "worker", "workers");
    look_at_kernels(&deal);
    double exchanged = divide_kernels(&deal, options->target->l2_bytes);
    to->main = deal_list(&deal, to->main);
    arena_free(deal.scratch);
    return deal.saved - exchanged >= GRAINS_SAVED * deal.grain ? to : prog_copy(prog, unit, NULL, NULL);
}
