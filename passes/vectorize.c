/* A loop's iterations become lanes.
 *
 *   for i { let t = x[i]*s; store y[i] = t }   ->   for i step 8 { let t = x[i..8]*splat(s); store y[i..8] = t }
 *
 * First it is found which variables vary between lanes: the loop variable, and every let and register that is given
 * a varying value. Then expressions that do not vary stay scalar (and are splatted where they meet vectors), loads
 * whose subscript is affine in the variable become vector loads with its coefficient as the stride, and the rest is
 * rebuilt on vectors. Under a count (the masked tail) loads and stores carry the count and outer registers merge the
 * neutral value in inactive lanes.
 */
#include "loops.h"

struct vectorizer {
    struct prog *prog;
    const struct lanes *lanes;
    struct rewriter *r;           /* scalar parts */
    struct pointer_map varying;   /* var -> non-NULL */
    struct pointer_map varies;    /* memo: ex -> &yes or &no */
    struct pointer_map vectors;   /* memo: ex -> ex */
    struct pointer_map registers; /* var -> vector var */
    bool failed;
};

static const char yes, no;

static bool varies(struct vectorizer *v, ex e)
{
    if (!e || e->op == EX_const || e->op == EX_dim) return false;
    if (e->op == EX_var) return map_get(&v->varying, e->var) != NULL;
    const char *known = map_get(&v->varies, e);
    if (known) return known == &yes;
    bool result = varies(v, e->arg[0]) || varies(v, e->arg[1]) || varies(v, e->arg[2]);
    map_put(v->prog->arena, &v->varies, e, result ? &yes : &no);
    return result;
}

/* One round of finding varying lets and registers; whether anything was added. */
static bool mark_varying(struct vectorizer *v, const struct stmt *list)
{
    bool more = false;
    for (; list; list = list->next) {
        bool defines = list->kind == STMT_LET || list->kind == STMT_SET;
        if (defines && varies(v, list->a) && !map_get(&v->varying, list->var)) {
            map_put(v->prog->arena, &v->varying, list->var, list);
            more = true;
        }
        more |= mark_varying(v, list->body);
        more |= mark_varying(v, list->other);
    }
    return more;
}

static ex fail(struct vectorizer *v, ex e)
{
    v->failed = true;
    return e;
}

/* index == rest + coef*var with a plain coefficient and a rest equal in all lanes; the subscript of lane 0. */
static bool subscript(struct vectorizer *v, ex index, int64_t *coef, ex *first)
{
    dim c;
    ex rest;
    if (!ex_affine(v->prog, index, v->lanes->var, &c, &rest) || !dim_is_const(c) || varies(v, rest)) return false;
    *coef = c;
    *first = ex_binary(v->prog, EX_add, rewrite_expr(v->r, rest),
                       ex_binary(v->prog, EX_mul, v->lanes->base, ex_int(v->prog, DT_index, c)));
    return true;
}

static ex vector_of(struct vectorizer *v, ex e);

static ex vector_load(struct vectorizer *v, ex e)
{
    struct prog *prog = v->prog;
    int64_t coef;
    ex first, count = v->lanes->count;
    if (varies(v, e->arg[1]) || varies(v, e->arg[2]) || !subscript(v, e->arg[0], &coef, &first)) return fail(v, e);
    int lanes = v->lanes->lanes;
    if (coef == 0) return fail(v, e);
    if (e->arg[1]) {
        ex all = count ? count : ex_int(prog, DT_index, lanes);
        count = ex_select(prog, rewrite_expr(v->r, e->arg[1]), all, ex_int(prog, DT_index, 0));
    }
    if (!count) return ex_load(prog, e->buf, e->dt, first, lanes, coef);
    if (coef != 1) return fail(v, e);
    ex otherwise = e->arg[2] ? rewrite_expr(v->r, e->arg[2]) : ex_number(prog, e->dt, 0);
    return ex_load_masked(prog, e->buf, e->dt, first, lanes, count, ex_splat(prog, otherwise, lanes));
}

static ex vector_index(struct vectorizer *v, ex e)
{
    int64_t coef;
    ex first;
    if (e->dt != DT_index || e->op == EX_load || !subscript(v, e, &coef, &first)) return NULL;
    return ex_ramp(v->prog, first, coef, v->lanes->lanes);
}

static ex vector_of(struct vectorizer *v, ex e)
{
    if (!e || v->failed) return e;
    if (!varies(v, e)) return rewrite_expr(v->r, e);
    if (e->lanes != 1) return fail(v, e);
    ex known = map_get(&v->vectors, e);
    if (known) return known;
    ex result = vector_index(v, e);
    if (!result && e->op == EX_load) {
        result = vector_load(v, e);
    } else if (!result && e->op == EX_var) {
        struct var *to = map_get(&v->registers, e->var);
        result = to ? ex_var(v->prog, to) : fail(v, e);
    } else if (!result) {
        ex args[3];
        for (int i = 0; i < 3; i++) args[i] = vector_of(v, e->arg[i]);
        if (v->failed) return e;
        result = ex_rebuild(v->prog, e, args);
    }
    map_put(v->prog->arena, &v->vectors, e, result);
    return result;
}

static struct stmt *vector_list(struct vectorizer *v, const struct stmt *list);

static struct stmt *vector_let(struct vectorizer *v, const struct stmt *s)
{
    if (!map_get(&v->varying, s->var)) {
        ex value = rewrite_expr(v->r, s->a);
        return stmt_let(v->prog, rewrite_define(v->r, s->var), value, s->mutable);
    }
    ex value = vector_of(v, s->a);
    if (v->failed) return NULL;
    struct var *to = prog_var(v->prog, s->var->name, s->var->dt, v->lanes->lanes);
    map_put(v->prog->arena, &v->registers, s->var, to);
    return stmt_let(v->prog, to, ex_splat(v->prog, value, v->lanes->lanes), s->mutable);
}

/* The value of a `set` with inactive lanes of an outer register left as they are. */
static ex merge_inactive(struct vectorizer *v, const struct stmt *s, ex neutral)
{
    struct prog *prog = v->prog;
    int lanes = v->lanes->lanes;
    enum expr_op op;
    ex e;
    if (!loops_reduction(s, &op, &e)) return fail(v, s->a);
    e = vector_of(v, e);
    if (v->failed) return e;
    ex lane = ex_ramp(prog, ex_int(prog, DT_index, 0), 1, lanes);
    ex active = ex_binary(prog, EX_lt, lane, ex_splat(prog, v->lanes->count, lanes));
    e = ex_select(prog, active, ex_splat(prog, e, lanes), ex_splat(prog, neutral, lanes));
    return ex_binary(prog, op, vector_of(v, ex_var(prog, s->var)), e);
}

static struct stmt *vector_set(struct vectorizer *v, const struct stmt *s)
{
    if (!map_get(&v->varying, s->var)) {
        ex value = rewrite_expr(v->r, s->a);
        return stmt_set(v->prog, rewrite_var(v->r, s->var), value);
    }
    struct var *to = map_get(&v->registers, s->var);
    if (!to) {
        fail(v, NULL);
        return NULL;
    }
    ex neutral = NULL;
    for (int i = 0; i < v->lanes->n_registers; i++)
        if (v->lanes->from[i] == s->var) neutral = v->lanes->neutral[i];
    ex value = neutral && v->lanes->count ? merge_inactive(v, s, neutral) : vector_of(v, s->a);
    if (v->failed) return NULL;
    return stmt_set(v->prog, to, ex_splat(v->prog, value, v->lanes->lanes));
}

static struct stmt *vector_store(struct vectorizer *v, const struct stmt *s)
{
    int64_t coef;
    ex first;
    if (s->c || !subscript(v, s->a, &coef, &first) || coef == 0) {
        fail(v, NULL);
        return NULL;
    }
    ex value = vector_of(v, s->b);
    if (v->failed) return NULL;
    return stmt_store(v->prog, s->buf, first, ex_splat(v->prog, value, v->lanes->lanes), coef, v->lanes->count);
}

static struct stmt *vector_stmt(struct vectorizer *v, const struct stmt *s)
{
    struct stmt *to;
    switch (s->kind) {
    case STMT_LET: return vector_let(v, s);
    case STMT_SET: return vector_set(v, s);
    case STMT_STORE: return vector_store(v, s);
    case STMT_FOR:
        if (varies(v, s->a) || varies(v, s->b)) break;
        to = stmt_for(v->prog, NULL, rewrite_expr(v->r, s->a), rewrite_expr(v->r, s->b), s->step, NULL);
        to->loop = s->loop;
        to->var = rewrite_define(v->r, s->var);
        to->body = vector_list(v, s->body);
        return to;
    case STMT_IF:
        if (varies(v, s->a)) break;
        to = stmt_new(v->prog, STMT_IF);
        to->a = rewrite_expr(v->r, s->a);
        to->body = vector_list(v, s->body);
        to->other = vector_list(v, s->other);
        return to;
    case STMT_FAIL:
        if (varies(v, s->a)) break;
        to = stmt_new(v->prog, STMT_FAIL);
        to->a = rewrite_expr(v->r, s->a);
        to->code = s->code;
        return to;
    case STMT_WHILE: case STMT_CALL: case STMT_PREFETCH: case STMT_BARRIER: break;
    }
    fail(v, NULL);
    return NULL;
}

static struct stmt *vector_list(struct vectorizer *v, const struct stmt *list)
{
    struct stmt *first = NULL, **end = &first;
    for (; list && !v->failed; list = list->next) {
        *end = vector_stmt(v, list);
        if (v->failed) return NULL;
        (*end)->place = list->place;
        end = &(*end)->next;
    }
    return first;
}

bool loops_vectorize(struct prog *prog, const struct stmt *list, const struct lanes *lanes, struct stmt **result)
{
    struct vectorizer v = {.prog = prog, .lanes = lanes, .r = rewriter_new(prog)};
    map_put(prog->arena, &v.varying, lanes->var, lanes);
    for (int i = 0; i < lanes->n_registers; i++) {
        map_put(prog->arena, &v.varying, lanes->from[i], lanes);
        map_put(prog->arena, &v.registers, lanes->from[i], lanes->to[i]);
    }
    while (mark_varying(&v, list)) v.varies = (struct pointer_map){.n = 0};
    *result = vector_list(&v, list);
    return !v.failed;
}
