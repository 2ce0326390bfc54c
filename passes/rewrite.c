/* Copying with substitution, and copying a whole program into a new unit.
 *
 * Expressions are interned graphs, so each is rewritten once per rewriter (the memo). A definition is always met
 * before its uses, so binding a variable never makes a memo entry stale. Next: lets.c, loops.c.
 */
#include "rewrite.h"

#include <string.h>

static size_t slot_of(const struct pointer_map *map, const void *key)
{
    uint64_t h = (uint64_t)(uintptr_t)key;
    h = (h >> 4) * UINT64_C(0x9e3779b97f4a7c15);
    size_t i = (size_t)(h >> 20) & (size_t)(map->cap - 1);
    while (map->key[i] && map->key[i] != key) i = (i + 1) & (size_t)(map->cap - 1);
    return i;
}

static void map_grow(struct arena *arena, struct pointer_map *map)
{
    struct pointer_map bigger = {.cap = map->cap ? 2 * map->cap : 32};
    bigger.key = NEW_ARRAY(arena, const void *, bigger.cap);
    bigger.value = NEW_ARRAY(arena, void *, bigger.cap);
    bigger.n = map->n;
    for (int i = 0; i < map->cap; i++) {
        if (!map->key[i]) continue;
        size_t slot = slot_of(&bigger, map->key[i]);
        bigger.key[slot] = map->key[i];
        bigger.value[slot] = map->value[i];
    }
    *map = bigger;
}

void map_put(struct arena *arena, struct pointer_map *map, const void *key, const void *value)
{
    if (2 * map->n >= map->cap) map_grow(arena, map);
    size_t slot = slot_of(map, key);
    if (!map->key[slot]) map->n++;
    map->key[slot] = key;
    map->value[slot] = (void *)(uintptr_t)value;
}

void *map_get(const struct pointer_map *map, const void *key)
{
    if (map->cap == 0) return NULL;
    size_t slot = slot_of(map, key);
    return map->key[slot] ? map->value[slot] : NULL;
}

struct rewriter *rewriter_new(struct prog *to)
{
    struct rewriter *r = NEW(to->arena, struct rewriter);
    r->to = to;
    return r;
}

void rewrite_bind(struct rewriter *r, const struct var *var, ex by)
{
    map_put(r->to->arena, &r->vars, var, by);
}

struct var *rewrite_var(struct rewriter *r, struct var *var)
{
    ex e = map_get(&r->vars, var);
    if (!e) return var;
    if (e->op != EX_var) bug("rewrite", "%s is assigned but was replaced by a value", var->name);
    return e->var;
}

struct buffer *rewrite_buffer(struct rewriter *r, struct buffer *buf)
{
    struct buffer *to = buf ? map_get(&r->buffers, buf) : NULL;
    return to ? to : buf;
}

struct var *rewrite_define(struct rewriter *r, struct var *var)
{
    bool ranged = var->lo <= var->hi || !dim_is_const(var->lo) || !dim_is_const(var->hi);
    struct var *fresh = var->dt == DT_index && var->lanes == 1 && ranged
                            ? prog_index(r->to, var->name, var->lo, var->hi)
                            : prog_var(r->to, var->name, var->dt, var->lanes);
    rewrite_bind(r, var, ex_var(r->to, fresh));
    return fresh;
}

static ex rewrite_leaf(struct rewriter *r, ex e)
{
    if (e->op == EX_const)
        return dtype_is_float(e->dt) ? ex_float(r->to, e->dt, e->number) : ex_int(r->to, e->dt, e->imm);
    if (e->op == EX_dim) return ex_dim(r->to, e->imm);
    ex by = map_get(&r->vars, e->var);
    return by ? by : ex_var(r->to, e->var);
}

ex rewrite_expr(struct rewriter *r, ex e)
{
    if (!e) return NULL;
    ex known = map_get(&r->memo, e);
    if (known) return known;
    ex from = e, result;
    if (r->hook) e = r->hook(r->context, e);
    if (e->op == EX_const || e->op == EX_dim || e->op == EX_var) {
        result = rewrite_leaf(r, e);
    } else {
        ex args[3];
        for (int i = 0; i < 3; i++) args[i] = rewrite_expr(r, e->arg[i]);
        struct expr like = *e;
        like.buf = rewrite_buffer(r, e->buf);
        result = ex_rebuild(r->to, &like, args);
    }
    map_put(r->to->arena, &r->memo, from, result);
    return result;
}

static struct stmt *rewrite_call(struct rewriter *r, const struct stmt *s, struct stmt *to)
{
    struct kernel *kernel = s->kernel ? map_get(&r->kernels, s->kernel) : NULL;
    to->kernel = kernel ? kernel : s->kernel;
    to->extern_name = s->extern_name;
    to->origin = call_origin_copy(r->to->arena, s->origin);
    to->n_args = s->n_args;
    to->n_scalars = s->n_scalars;
    to->args = NEW_ARRAY(r->to->arena, struct call_arg, s->n_args + 1);
    to->scalars = NEW_ARRAY(r->to->arena, ex, s->n_scalars + 1);
    for (int i = 0; i < s->n_args; i++) {
        to->args[i].buf = rewrite_buffer(r, s->args[i].buf);
        to->args[i].offset = rewrite_expr(r, s->args[i].offset);
    }
    for (int i = 0; i < s->n_scalars; i++) to->scalars[i] = rewrite_expr(r, s->scalars[i]);
    return to;
}

static struct stmt *rewrite_stmt(struct rewriter *r, const struct stmt *s)
{
    struct stmt *to = stmt_new(r->to, s->kind);
    to->loop = s->loop;
    to->mutable = s->mutable;
    to->step = s->step;
    to->code = s->code;
    to->place = s->place;
    to->buf = rewrite_buffer(r, s->buf);
    to->a = s->kind == STMT_WHILE ? NULL : rewrite_expr(r, s->a);
    to->b = rewrite_expr(r, s->b);
    to->c = rewrite_expr(r, s->c);
    if (to->c && ex_covers(to->c, to->b->lanes)) to->c = NULL;
    if (s->kind == STMT_FOR || s->kind == STMT_LET) to->var = rewrite_define(r, s->var);
    else if (s->kind == STMT_SET) to->var = rewrite_var(r, s->var);
    to->body = rewrite_list(r, s->body);
    to->other = rewrite_list(r, s->other);
    if (s->kind == STMT_WHILE) to->a = rewrite_expr(r, s->a); /* evaluated after the body */
    if (s->kind == STMT_CALL) rewrite_call(r, s, to);
    return to;
}

struct stmt *rewrite_list(struct rewriter *r, const struct stmt *list)
{
    struct stmt *first = NULL, **end = &first;
    for (; list; list = list->next) {
        *end = rewrite_stmt(r, list);
        end = &(*end)->next;
    }
    return first;
}

static struct buffer *copy_buffer(struct rewriter *r, const struct buffer *buf)
{
    struct buffer *to = arena_copy(r->to->arena, buf, sizeof *buf);
    to->name = arena_strdup(r->to->arena, buf->name);
    map_put(r->to->arena, &r->buffers, buf, to);
    return to;
}

void rewrite_kernel_facts(struct prog *to, const struct kernel *kernel, struct kernel *copy)
{
    copy->strategy = arena_strdup(to->arena, kernel->strategy ? kernel->strategy : "");
    copy->layers = arena_strdup(to->arena, kernel->layers ? kernel->layers : "");
    copy->flops = kernel->flops;
    copy->bytes = kernel->bytes;
    copy->direct_flops = kernel->direct_flops;
    copy->key = kernel->key;
    copy->place = kernel->place;
    copy->side = kernel->side;
}

static void copy_kernel(struct rewriter *r, const struct kernel *kernel, body_function *body, void *context)
{
    struct prog *to = r->to;
    struct kernel *copy = prog_kernel(to, kernel->name);
    copy->name = arena_strdup(to->arena, kernel->name);
    rewrite_kernel_facts(to, kernel, copy);
    for (int i = 0; i < kernel->params.n; i++)
        LIST_PUSH(to->arena, &copy->params, copy_buffer(r, kernel->params.at[i]));
    for (int i = 0; i < kernel->scalars.n; i++)
        LIST_PUSH(to->arena, &copy->scalars, rewrite_define(r, kernel->scalars.at[i]));
    copy->body = rewrite_list(r, kernel->body);
    if (body) copy->body = body(to, copy, copy->body, context);
    map_put(to->arena, &r->kernels, kernel, copy);
}

struct prog *prog_copy(const struct prog *from, struct arena *unit, body_function *body, void *context)
{
    struct prog *to = prog_new(unit, from->session, from->dims, from->name);
    struct rewriter *r = rewriter_new(to);
    to->next_buffer = from->next_buffer;
    to->arena_bytes = from->arena_bytes;
    for (int i = 0; i < from->buffers.n; i++)
        LIST_PUSH(unit, &to->buffers, copy_buffer(r, from->buffers.at[i]));
    for (int i = 0; i < from->inputs.n; i++)
        LIST_PUSH(unit, &to->inputs, rewrite_buffer(r, from->inputs.at[i]));
    for (int i = 0; i < from->outputs.n; i++)
        LIST_PUSH(unit, &to->outputs, rewrite_buffer(r, from->outputs.at[i]));
    to->scales = from->scales;
    for (int i = 0; i < from->input_names.n; i++)
        LIST_PUSH(unit, &to->input_names, arena_strdup(unit, from->input_names.at[i]));
    for (int i = 0; i < from->output_names.n; i++)
        LIST_PUSH(unit, &to->output_names, arena_strdup(unit, from->output_names.at[i]));
    for (int i = 0; i < from->kernels.n; i++) copy_kernel(r, from->kernels.at[i], body, context);
    if (from->threads) {
        prog_workers(to, from->threads, from->worker->name, from->workers->name);
        rewrite_bind(r, from->worker, ex_var(to, to->worker));
        rewrite_bind(r, from->workers, ex_var(to, to->workers));
    }
    to->main = rewrite_list(r, from->main);
    return to;
}

void prog_drop_uncalled(struct prog *prog)
{
    int kept = 0;
    for (int i = 0; i < prog->kernels.n; i++)
        if (stmt_calls(prog->main, prog->kernels.at[i])) prog->kernels.at[kept++] = prog->kernels.at[i];
    prog->kernels.n = kept;
}
