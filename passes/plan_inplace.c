/* In-place: an output takes the place of an input that dies at the same call.
 *
 *   call add(a, b, y)   with a's last use there   ->   call add_in_place(b, a)   kernel add_in_place(b, y): y is read and
 *   written
 *
 * Allowed where every load of the input happens at the very subscript, lanes and count of a store to the output in the
 * same block and not after it, each store has such a load, and every loop around steps the subscript: then an element
 * is read before it is written, and never again. The formals become one, since a printer may promise that different
 * formals do not overlap.
 */
#include "plan.h"
#include "rewrite.h"

struct matching { /* loads of `in` against stores to `out` */
    struct prog *prog;
    const struct buffer *in, *out;
    int n_loads, n_stores; /* of `in` and to `out` anywhere */
    bool wrong;
};

/* Calls check for each load of m->in inside e; e is shared, so a load may be seen twice. */
static void each_load(struct matching *m, ex e, void (*check)(struct matching *m, ex load, void *context), void *context)
{
    if (!e || e->op == EX_const || e->op == EX_dim || e->op == EX_var || m->wrong) return;
    if (e->op == EX_load && e->buf == m->in) check(m, e, context);
    for (int i = 0; i < 3; i++) each_load(m, e->arg[i], check, context);
}

struct place_at { /* where a load stands */
    const struct stmt *rest;  /* its block from its statement on */
    const struct stmt *found; /* the store that matches */
};

static bool same_elements(ex load, const struct stmt *store)
{
    if (store->a != load->arg[0] || store->b->lanes != load->lanes) return false;
    if (load->lanes > 1 && store->step != load->imm) return false;
    ex count = load->masked ? load->arg[1] : NULL;
    return count == store->c && (load->masked || !load->arg[1]);
}

static void find_store(struct matching *m, ex load, void *context)
{
    struct place_at *at = context;
    m->n_loads++;
    at->found = NULL;
    for (const struct stmt *s = at->rest; s && !at->found; s = s->next)
        if (s->kind == STMT_STORE && s->buf == m->out && same_elements(load, s)) at->found = s;
    if (!at->found) m->wrong = true;
}

/* Whether the subscript moves with every loop variable around: an element is stored once. */
static bool steps_with(struct matching *m, ex index, struct var *const *around, int n)
{
    for (int i = 0; i < n; i++) {
        dim coef;
        ex rest;
        if (!ex_affine(m->prog, index, around[i], &coef, &rest) || coef == 0) return false;
    }
    return true;
}

enum { AROUND_MOST = 32 };

static bool reads_at(ex e, const struct matching *m, const struct stmt *store)
{
    if (!e || e->op == EX_const || e->op == EX_dim || e->op == EX_var) return false;
    if (e->op == EX_load && e->buf == m->in && same_elements(e, store)) return true;
    return reads_at(e->arg[0], m, store) || reads_at(e->arg[1], m, store) || reads_at(e->arg[2], m, store);
}

static void match_list(struct matching *m, const struct stmt *list, struct var **around, int n)
{
    for (const struct stmt *s = list; s && !m->wrong; s = s->next) {
        struct place_at at = {.rest = s};
        each_load(m, s->a, find_store, &at);
        each_load(m, s->b, find_store, &at);
        each_load(m, s->c, find_store, &at);
        if (s->kind == STMT_STORE && s->buf == m->out) {
            bool read = false;
            m->n_stores++;
            for (const struct stmt *t = list; !read; t = t->next) {
                read = reads_at(t->a, m, s) || reads_at(t->b, m, s);
                if (t == s) break;
            }
            if (!read || !steps_with(m, s->a, around, n)) m->wrong = true;
        }
        if (s->kind == STMT_CALL || s->kind == STMT_WHILE || s->kind == STMT_BARRIER) m->wrong = true;
        if (s->kind == STMT_FOR) {
            if (n == AROUND_MOST) m->wrong = true;
            else {
                bool moves = s->var->lo != s->var->hi; /* else the variable is a constant in every subscript */
                if (moves) around[n] = s->var;
                match_list(m, s->body, around, n + moves);
            }
            continue;
        }
        match_list(m, s->body, around, n);
        match_list(m, s->other, around, n);
    }
}

static bool may_share(struct prog *prog, const struct kernel *kernel, int in, int out)
{
    const struct buffer *a = kernel->params.at[in], *b = kernel->params.at[out];
    struct var *around[AROUND_MOST + 1];
    if (a->written || !b->written || a->dt != b->dt || a->elements != b->elements) return false;
    struct matching m = {.prog = prog, .in = a, .out = b};
    match_list(&m, kernel->body, around, 0);
    return !m.wrong && m.n_loads > 0 && m.n_stores > 0;
}

struct variant { /* a kernel with formal `in` merged into `out`; merged NULL: not allowed */
    struct kernel *kernel, *merged;
    int in, out;
};
struct sharing_pass {
    struct prog *prog;
    LIST(struct variant) variants;
};

struct rewriter *plan_copy_formals(struct prog *prog, const struct kernel *kernel, int without, struct kernel *copy)
{
    struct rewriter *r = rewriter_new(prog);
    rewrite_kernel_facts(prog, kernel, copy);
    for (int i = 0; i < kernel->params.n; i++) {
        const struct buffer *from = kernel->params.at[i];
        if (i == without) continue;
        struct buffer *to = kernel_param(prog, copy, from->name, from->dt, from->elements);
        to->written = from->written;
        to->type = from->type;
        to->place = from->place;
        map_put(prog->arena, &r->buffers, from, to);
    }
    for (int i = 0; i < kernel->scalars.n; i++)
        LIST_PUSH(prog->arena, &copy->scalars, rewrite_define(r, kernel->scalars.at[i]));
    return r;
}

static struct kernel *merge_formals(struct prog *prog, const struct kernel *kernel, int in, int out)
{
    struct kernel *merged = prog_kernel(prog, arena_printf(prog->arena, "%s_in_place", kernel->name));
    struct rewriter *r = plan_copy_formals(prog, kernel, in, merged);
    map_put(prog->arena, &r->buffers, kernel->params.at[in], rewrite_buffer(r, kernel->params.at[out]));
    merged->body = rewrite_list(r, kernel->body);
    return merged;
}

static struct kernel *variant_of(struct sharing_pass *pass, struct kernel *kernel, int in, int out)
{
    for (int i = 0; i < pass->variants.n; i++) {
        const struct variant *v = &pass->variants.at[i];
        if (v->kernel == kernel && v->in == in && v->out == out) return v->merged;
    }
    struct variant v = {.kernel = kernel, .in = in, .out = out};
    if (may_share(pass->prog, kernel, in, out)) v.merged = merge_formals(pass->prog, kernel, in, out);
    LIST_PUSH(pass->prog->arena, &pass->variants, v);
    return v.merged;
}

static bool offset_is_zero(const struct call_arg *arg)
{
    return !arg->offset || ex_is_int(arg->offset, 0);
}

/* Whether the buffer of argument i is passed only once and whole. */
static bool is_alone(const struct stmt *call, int i)
{
    for (int k = 0; k < call->n_args; k++)
        if (k != i && call->args[k].buf == call->args[i].buf) return false;
    return offset_is_zero(&call->args[i]) && call->args[i].buf->elements == call->kernel->params.at[i]->elements;
}

static void replace_buffer(struct stmt *list, const struct buffer *from, struct buffer *to, struct rewriter *r)
{
    for (; list; list = list->next) {
        list->a = rewrite_expr(r, list->a);
        list->b = rewrite_expr(r, list->b);
        list->c = rewrite_expr(r, list->c);
        if (list->buf == from) list->buf = to;
        for (int i = 0; i < list->n_args; i++) {
            if (list->args[i].buf == from) list->args[i].buf = to;
            if (list->args[i].offset) list->args[i].offset = rewrite_expr(r, list->args[i].offset);
        }
        for (int i = 0; i < list->n_scalars; i++) list->scalars[i] = rewrite_expr(r, list->scalars[i]);
        replace_buffer(list->body, from, to, r);
        replace_buffer(list->other, from, to, r);
    }
}

static void share_call(struct sharing_pass *pass, struct stmt *call, int in, int out, struct kernel *merged)
{
    struct prog *prog = pass->prog;
    struct buffer *keep = call->args[in].buf, *gone = call->args[out].buf;
    call->kernel = merged;
    call->args[out] = call->args[in];
    for (int i = in; i + 1 < call->n_args; i++) call->args[i] = call->args[i + 1];
    call->n_args--;
    struct rewriter *r = rewriter_new(prog);
    map_put(prog->arena, &r->buffers, gone, keep);
    replace_buffer(prog->main, gone, keep, r);
    int kept = 0;
    for (int i = 0; i < prog->buffers.n; i++)
        if (prog->buffers.at[i] != gone) prog->buffers.at[kept++] = prog->buffers.at[i];
    prog->buffers.n = kept;
}

static void share_calls(struct sharing_pass *pass, struct stmt *list, struct lives *lives, int *step)
{
    for (struct stmt *s = list; s; s = s->next) {
        int here = ++*step;
        for (int out = 0; s->kind == STMT_CALL && s->kernel && out < s->n_args; out++) {
            struct buffer *y = s->args[out].buf;
            if (y->space != SPACE_ARENA || !is_alone(s, out) || lives->at[y->id].first != here) continue;
            for (int in = 0; in < s->n_args; in++) {
                struct buffer *x = s->args[in].buf;
                if (in == out || x->space != SPACE_ARENA || lives->at[x->id].last != here || !is_alone(s, in)) continue;
                if (x->dt != y->dt || x->elements != y->elements || x->side != y->side) continue;
                struct kernel *merged = variant_of(pass, s->kernel, in, out);
                if (!merged) continue;
                int last = lives->at[y->id].last;
                share_call(pass, s, in, out, merged);
                lives->at[x->id].last = last; /* the rest of y's life is x's now */
                break;
            }
        }
        share_calls(pass, s->body, lives, step);
        share_calls(pass, s->other, lives, step);
        if (s->kind == STMT_FOR || s->kind == STMT_WHILE) ++*step;
    }
}

/* Kernels that main no longer calls go. */
static void mark_called(const struct stmt *list, struct pointer_map *called, struct arena *arena)
{
    for (; list; list = list->next) {
        if (list->kind == STMT_CALL && list->kernel) map_put(arena, called, list->kernel, list);
        mark_called(list->body, called, arena);
        mark_called(list->other, called, arena);
    }
}

int plan_in_place(struct prog *prog)
{
    struct sharing_pass pass = {.prog = prog};
    struct lives lives;
    struct pointer_map called = {.n = 0};
    int step = 0, before = prog->buffers.n;
    plan_lives(prog, prog->arena, &lives);
    share_calls(&pass, prog->main, &lives, &step);
    mark_called(prog->main, &called, prog->arena);
    int kept = 0;
    for (int i = 0; i < prog->kernels.n; i++) {
        const struct kernel *kernel = prog->kernels.at[i];
        bool is_variant = false;
        for (int k = 0; k < pass.variants.n; k++)
            is_variant |= pass.variants.at[k].kernel == kernel || pass.variants.at[k].merged == kernel;
        if (!is_variant || map_get(&called, kernel)) prog->kernels.at[kept++] = prog->kernels.at[i];
    }
    prog->kernels.n = kept;
    return before - prog->buffers.n;
}
