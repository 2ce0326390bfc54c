/* Checks programs: every invariant of prog.h that a pass could break.
 *
 * Nodes: types, lanes, operands (prog_rules.c). Names: a variable is used below its definition and inside its
 * block, is not defined twice there, and `set` only changes registers; a kernel sees its parameters and local
 * arrays, main the program's buffers. Statements: types of subscripts, guards, counts and values; positive steps;
 * loop variables' ranges hold the loop. Lanes: a kernel's barriers stand where all lanes of a lane loop pass. Calls: a kernel above, as many arguments as it has parameters, of their
 * types, and nothing read-only where it writes. Buffers: weights have their data; planned offsets lie inside the
 * arena and constant subscripts inside their buffer, where that is known.
 */
#include "expr_map.h"
#include "extern.h"
#include "prog_rules.h"

#include <stdarg.h>
#include <string.h>

enum var_state { VAR_UNSEEN, VAR_FIXED, VAR_REGISTER };
struct verifier {
    const struct prog *prog;
    struct diag *diag;
    struct arena *scratch;
    int kernel_number;            /* main: the number of kernels */
    const struct kernel *kernel;  /* NULL: main */
    unsigned char *var;           /* enum var_state by id */
    const struct var **var_of;    /* the variable of that id */
    LIST(int) scope;
    const struct buffer **buffer; /* usable here, by id */
    struct expr_map sound;        /* nodes without faults of their own */
    struct expr_map seen;         /* nodes of this statement whose names were looked up */
    bool in_lanes;                /* inside a lane loop */
    int apart;                    /* statements around this one that lanes may pass differently */
    unsigned char *same;          /* by variable's id: every lane has the same value */
    bool fine;
};

static const char *const stmt_names[] = {"for", "store", "let", "set", "if", "while", "call", "fail", "prefetch", "barrier"};

static void fault(struct verifier *v, const struct stmt *stmt, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void fault(struct verifier *v, const struct stmt *stmt, const char *format, ...)
{
    char words[512];
    va_list args;
    va_start(args, format);
    vsnprintf(words, sizeof words, format, args);
    va_end(args);
    v->fine = false;
    const char *kernel = v->kernel ? v->kernel->name : "main", *what = "";
    struct place place = v->kernel ? v->kernel->place : (struct place){.path = NULL};
    if (!stmt) {
        diag_error(v->diag, place, "%s: %s", kernel, words);
        return;
    }
    if (stmt->place.source || stmt->place.path) place = stmt->place;
    if ((stmt->kind == STMT_STORE) && stmt->buf) what = stmt->buf->name;
    else if (stmt->kind == STMT_CALL) what = stmt->kernel ? stmt->kernel->name : stmt->extern_name ? stmt->extern_name : "";
    else if (stmt->var) what = stmt->var->name;
    diag_error(v->diag, place, "%s: %s%s%s: %s", kernel, stmt_names[stmt->kind], *what ? " " : "", what, words);
}

static bool var_is_known(const struct verifier *v, const struct var *var)
{
    return var->id >= 0 && var->id < v->prog->next_var && v->var_of[var->id] == var && v->var[var->id] != VAR_UNSEEN;
}

static void var_define(struct verifier *v, const struct stmt *stmt, const struct var *var, enum var_state state)
{
    if (!var) fault(v, stmt, "defines no variable");
    else if (var->id < 0 || var->id >= v->prog->next_var) fault(v, stmt, "%s has an id that is not the program's", var->name);
    else if (v->var[var->id] != VAR_UNSEEN) fault(v, stmt, "%s is defined twice", var->name);
    else if (!lanes_are_valid(var->lanes)) fault(v, stmt, "%s has %d lanes", var->name, var->lanes);
    else {
        v->var[var->id] = (unsigned char)state;
        v->same[var->id] = !v->in_lanes;
        v->var_of[var->id] = var;
        LIST_PUSH(v->scratch, &v->scope, var->id);
    }
}

static void scope_leave(struct verifier *v, int n)
{
    while (v->scope.n > n) v->var[v->scope.at[--v->scope.n]] = VAR_UNSEEN;
}

static bool buffer_is_known(struct verifier *v, const struct stmt *stmt, const struct buffer *buf)
{
    if (!buf) {
        fault(v, stmt, "has no buffer");
        return false;
    }
    bool own = buf->id >= 0 && buf->id < v->prog->next_buffer;
    if (own && buf->space == SPACE_GROUP && !v->in_lanes) fault(v, stmt, "uses the group's array %s outside of a lane loop", buf->name);
    if (own && v->buffer[buf->id] == buf) return true;
    if (!own || !buffer_is_array(buf) || !v->kernel) {
        fault(v, stmt, "uses buffer %s, which is not %s", buf->name, v->kernel ? "its kernel's" : "the program's");
        return false;
    }
    v->buffer[buf->id] = buf; /* a local array met for the first time */
    int64_t n_bytes;
    if (!dim_is_const(buf->elements) || !size_mul(buf->elements, dtype_bytes(buf->dt), &n_bytes))
        fault(v, stmt, "the size of local array %s is no plain number", buf->name);
    else if (n_bytes > (int64_t)1 << 30) fault(v, stmt, "local array %s has %lld bytes", buf->name, (long long)n_bytes);
    return true;
}

/* n things from `from` on lie among `total`. */
static bool is_inside(int64_t from, int64_t n, int64_t total)
{
    return from >= 0 && n >= 0 && from <= total && n <= total - from;
}

/* A constant subscript outside a buffer whose size is known. */
static void check_subscript(struct verifier *v, const struct stmt *stmt, const struct buffer *buf, ex index, int lanes, int64_t stride)
{
    if (index->op != EX_const || !dim_is_const(buf->elements)) return;
    int64_t first = index->imm, last;
    bool wild = __builtin_mul_overflow(stride, (int64_t)(lanes - 1), &last) || __builtin_add_overflow(last, first, &last);
    if (wild || !is_inside(first, 1, buf->elements) || !is_inside(last, 1, buf->elements))
        fault(v, stmt, "%s[%lld] lies outside its %lld elements", buf->name, (long long)index->imm, (long long)buf->elements);
}

static void check_expr(struct verifier *v, const struct stmt *stmt, ex e)
{
    if (!expr_map_find(&v->sound, e)) {
        const char *wrong = expr_fault(e);
        expr_map_add(&v->sound, e, wrong != NULL);
        if (wrong) fault(v, stmt, "%s of %s %s", expr_row(e->op)->name, dtype_name(e->dt), wrong);
    }
    if (*expr_map_find(&v->sound, e) || expr_map_find(&v->seen, e)) return;
    expr_map_add(&v->seen, e, 0);
    for (int i = 0; i < 3; i++)
        if (e->arg[i]) check_expr(v, stmt, e->arg[i]);
    if (e->op == EX_var && !var_is_known(v, e->var)) fault(v, stmt, "uses %s outside its scope", e->var->name);
    if (e->op == EX_load && buffer_is_known(v, stmt, e->buf) && !e->arg[1])
        check_subscript(v, stmt, e->buf, e->arg[0], e->lanes, e->imm);
}

/* An operand of a statement: there, sound, and of this type. */
static bool check_operand(struct verifier *v, const struct stmt *stmt, ex e, const char *what, enum dtype dt, int lanes)
{
    if (!e) {
        fault(v, stmt, "has no %s", what);
        return false;
    }
    bool before = v->fine;
    check_expr(v, stmt, e);
    if (e->dt == dt && e->lanes == lanes) return v->fine || !before;
    fault(v, stmt, "its %s is %sx%d, not %sx%d", what, dtype_name(e->dt), e->lanes, dtype_name(dt), lanes);
    return false;
}

static bool may_write(const struct buffer *buf)
{
    return buf->space == SPACE_OUTPUT || buf->space == SPACE_ARENA || buffer_is_array(buf) || (buf->space == SPACE_PARAM && buf->written);
}

static void check_block(struct verifier *v, const struct stmt *list);

/* Whether every lane has the same value, seen without looking into memory. */
static bool is_same(const struct verifier *v, ex e)
{
    if (!e || e->op == EX_const || e->op == EX_dim) return true;
    if (e->op == EX_var) return e->var->id >= 0 && e->var->id < v->prog->next_var && v->same[e->var->id];
    return e->op != EX_load && is_same(v, e->arg[0]) && is_same(v, e->arg[1]) && is_same(v, e->arg[2]);
}

static void check_lanes(struct verifier *v, const struct stmt *stmt)
{
    int around = v->apart; /* what stands around all lanes is the same for them */
    bool outer = v->in_lanes, lane = stmt->loop >= LOOP_LANE0, differs = outer && !lane && !(is_same(v, stmt->a) && is_same(v, stmt->b));
    v->in_lanes |= lane;
    if (!outer) v->apart = 0;
    v->same[stmt->var->id] = !lane && !differs && v->apart == 0;
    if (lane && outer && stmt_has_barrier(stmt->body)) fault(v, stmt, "a lane loop with barriers inside another one");
    v->apart += differs;
    check_block(v, stmt->body);
    v->apart = around;
    v->in_lanes = outer;
}

static void check_for(struct verifier *v, const struct stmt *stmt)
{
    int scope = v->scope.n;
    bool bounds = check_operand(v, stmt, stmt->a, "lower bound", DT_index, 1);
    bounds = check_operand(v, stmt, stmt->b, "upper bound", DT_index, 1) && bounds;
    if (stmt->step < 1) fault(v, stmt, "its step is %lld", (long long)stmt->step);
    if (!stmt->var) {
        fault(v, stmt, "has no variable");
        return;
    }
    const struct var *var = stmt->var;
    if (var->dt != DT_index || var->lanes != 1) fault(v, stmt, "its variable is no scalar index");
    if (bounds && stmt->step > 0 && stmt->a->op == EX_const && stmt->b->op == EX_const && stmt->a->imm < stmt->b->imm) {
        int64_t first = stmt->a->imm, last = first + (stmt->b->imm - 1 - first) / stmt->step * stmt->step;
        bool known = dim_is_const(var->lo) && dim_is_const(var->hi);
        if (known && (var->lo > first || var->hi < last))
            fault(v, stmt, "runs from %lld to %lld, its variable from %lld to %lld", (long long)first, (long long)last,
                  (long long)var->lo, (long long)var->hi);
    }
    bool before = v->fine;
    var_define(v, stmt, var, VAR_FIXED);
    if (v->fine || !before) check_lanes(v, stmt);
    scope_leave(v, scope);
}

static void check_store(struct verifier *v, const struct stmt *stmt)
{
    const struct buffer *buf = stmt->buf;
    if (!buffer_is_known(v, stmt, buf)) return;
    if (!may_write(buf)) fault(v, stmt, "the buffer is only read");
    bool index = check_operand(v, stmt, stmt->a, "subscript", DT_index, 1);
    if (stmt->c) check_operand(v, stmt, stmt->c, "count", DT_index, 1);
    if (!stmt->b) {
        fault(v, stmt, "has no value");
        return;
    }
    check_expr(v, stmt, stmt->b);
    bool as_bits = dtype_class(stmt->b->dt) == DT_UNSIGNED && dtype_bytes(stmt->b->dt) == dtype_bytes(buf->dt) && buf->dt != DT_bool;
    if (stmt->b->dt != buf->dt && !as_bits) fault(v, stmt, "its value is %s, the buffer %s", dtype_name(stmt->b->dt), dtype_name(buf->dt));
    if (stmt->b->lanes > 1 && stmt->step == 0) fault(v, stmt, "all lanes go to one element");
    if (index && !stmt->c) check_subscript(v, stmt, buf, stmt->a, stmt->b->lanes, stmt->step);
}

static void check_let(struct verifier *v, const struct stmt *stmt)
{
    if (stmt->var) check_operand(v, stmt, stmt->a, "value", stmt->var->dt, stmt->var->lanes);
    var_define(v, stmt, stmt->var, stmt->mutable ? VAR_REGISTER : VAR_FIXED);
}

static void check_set(struct verifier *v, const struct stmt *stmt)
{
    if (!stmt->var || !var_is_known(v, stmt->var)) {
        fault(v, stmt, "sets a variable outside its scope");
        return;
    }
    if (v->var[stmt->var->id] != VAR_REGISTER) fault(v, stmt, "sets what is no register");
    check_operand(v, stmt, stmt->a, "value", stmt->var->dt, stmt->var->lanes);
}

static void check_argument(struct verifier *v, const struct stmt *stmt, int i)
{
    const struct call_arg *arg = &stmt->args[i];
    if (!buffer_is_known(v, stmt, arg->buf)) return;
    bool offset = !arg->offset || check_operand(v, stmt, arg->offset, "offset", DT_index, 1);
    if (!stmt->kernel) return;
    const struct buffer *formal = stmt->kernel->params.at[i], *buf = arg->buf;
    if (buf->dt != formal->dt) fault(v, stmt, "%s is %s, parameter %s %s", buf->name, dtype_name(buf->dt), formal->name, dtype_name(formal->dt));
    if (formal->written && !may_write(buf)) fault(v, stmt, "%s is only read, parameter %s is written", buf->name, formal->name);
    if (!offset || !dim_is_const(buf->elements) || !dim_is_const(formal->elements)) return;
    int64_t from = !arg->offset ? 0 : arg->offset->op == EX_const ? arg->offset->imm : -1;
    bool known = !arg->offset || arg->offset->op == EX_const;
    if (known && !is_inside(from, formal->elements, buf->elements))
        fault(v, stmt, "%s + %lld has not the %lld elements of parameter %s", buf->name, (long long)from, (long long)formal->elements, formal->name);
}

/* A call of main reaches its buffers from where its kernel runs. */
static void check_sides(struct verifier *v, const struct stmt *stmt)
{
    const struct kernel *kernel = stmt->kernel;
    if (kernel->side == SIDE_BOTH) {
        const struct call_arg *to = stmt->args, *from = stmt->args + 1;
        bool two = stmt->n_args == 2 && stmt->n_scalars == 0;
        if (!two) fault(v, stmt, "transfers %d buffers, not one to another", stmt->n_args);
        else if (buffer_is_apart(to->buf) ? buffer_is_apart(from->buf) : from->buf->side == SIDE_HOST)
            fault(v, stmt, "transfers %s to %s, on the same side", from->buf->name, to->buf->name);
        return;
    }
    for (int i = 0; i < stmt->n_args; i++) {
        const struct buffer *buf = stmt->args[i].buf;
        bool far = kernel->side == SIDE_HOST ? buffer_is_apart(buf) : buf->side == SIDE_HOST;
        if (far) fault(v, stmt, "passes %s, which lies on the other side", buf->name);
    }
}

static void check_call(struct verifier *v, const struct stmt *stmt)
{
    const struct kernel *kernel = stmt->kernel;
    const struct extern_row *row = stmt->extern_name ? extern_find(stmt->extern_name) : NULL;
    if (!kernel && !row) {
        fault(v, stmt, "there is no such function");
        return;
    }
    int number = 0, n_args = kernel ? kernel->params.n : row->n_buffers, n_scalars = kernel ? kernel->scalars.n : row->n_scalars;
    while (kernel && number < v->prog->kernels.n && v->prog->kernels.at[number] != kernel) number++;
    if (kernel && number >= v->kernel_number) fault(v, stmt, "the kernel is not one above this");
    if (stmt->n_args != n_args || stmt->n_scalars != n_scalars) {
        fault(v, stmt, "passes %d buffers and %d scalars for %d and %d", stmt->n_args, stmt->n_scalars, n_args, n_scalars);
        return;
    }
    for (int i = 0; i < n_args; i++) check_argument(v, stmt, i);
    if (kernel && !v->kernel && v->fine) check_sides(v, stmt);
    for (int i = 0; i < n_scalars; i++)
        check_operand(v, stmt, stmt->scalars[i], "scalar", kernel ? kernel->scalars.at[i]->dt : DT_index, kernel ? kernel->scalars.at[i]->lanes : 1);
}

static void check_stmt(struct verifier *v, const struct stmt *stmt)
{
    expr_map_clear(&v->seen);
    switch (stmt->kind) {
    case STMT_FOR: check_for(v, stmt); break;
    case STMT_STORE: check_store(v, stmt); break;
    case STMT_LET: check_let(v, stmt); break;
    case STMT_SET: check_set(v, stmt); break;
    case STMT_IF:
        check_operand(v, stmt, stmt->a, "condition", DT_bool, 1);
        v->apart++;
        check_block(v, stmt->body);
        check_block(v, stmt->other);
        v->apart--;
        break;
    case STMT_WHILE:
        v->apart++;
        check_block(v, stmt->body);
        v->apart--;
        expr_map_clear(&v->seen);
        check_operand(v, stmt, stmt->a, "condition", DT_bool, 1);
        break;
    case STMT_CALL: check_call(v, stmt); break;
    case STMT_FAIL:
        check_operand(v, stmt, stmt->a, "condition", DT_bool, 1);
        if (stmt->code == 0) fault(v, stmt, "status 0 means that nothing is wrong");
        break;
    case STMT_PREFETCH:
        if (buffer_is_known(v, stmt, stmt->buf)) check_operand(v, stmt, stmt->a, "subscript", DT_index, 1);
        break;
    case STMT_BARRIER:
        if (v->kernel && !v->in_lanes) fault(v, stmt, "a kernel's barrier is in a lane loop");
        else if (v->kernel && v->apart) fault(v, stmt, "not every lane may come here");
        break;
    }
}

static void check_block(struct verifier *v, const struct stmt *list)
{
    int scope = v->scope.n;
    for (; list && !diag_full(v->diag); list = list->next) check_stmt(v, list);
    scope_leave(v, scope);
}

static bool is_identifier(const char *s)
{
    return *s && strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == strlen(s) && !(*s >= '0' && *s <= '9');
}

static void check_kernel(struct verifier *v, int number)
{
    const struct prog *prog = v->prog;
    const struct kernel *kernel = prog->kernels.at[number];
    v->kernel = kernel;
    v->kernel_number = number;
    memset(v->buffer, 0, (size_t)(prog->next_buffer + 1) * sizeof *v->buffer);
    if (!is_identifier(kernel->name)) fault(v, NULL, "the kernel's name is no identifier");
    for (int i = 0; i < number; i++)
        if (!strcmp(prog->kernels.at[i]->name, kernel->name)) fault(v, NULL, "there are two kernels of this name");
    for (int i = 0; i < kernel->params.n; i++) {
        const struct buffer *buf = kernel->params.at[i];
        if (buf->space != SPACE_PARAM || buf->position != i || buf->id < 0 || buf->id >= prog->next_buffer || v->buffer[buf->id]) {
            fault(v, NULL, "parameter %s is not in its place", buf->name);
            continue;
        }
        v->buffer[buf->id] = buf;
        if (buf->dt == DT_index) fault(v, NULL, "parameter %s has elements of type index", buf->name);
    }
    for (int i = 0; i < kernel->scalars.n; i++) var_define(v, NULL, kernel->scalars.at[i], VAR_FIXED);
    check_block(v, kernel->body);
    scope_leave(v, 0);
}

static bool check_planned(struct verifier *v, const struct buffer *buf)
{
    const struct prog *prog = v->prog;
    int64_t n_bytes;
    if (prog->arena_bytes == -1) return buf->offset_bytes == -1 || diag_error(v->diag, buf->place, "%s has an offset, but the program no plan", buf->name);
    if (buf->offset_bytes == -1) return diag_error(v->diag, buf->place, "%s has no place in the arena", buf->name);
    if (!dim_is_const(buf->offset_bytes) || !dim_is_const(buf->elements) || !dim_is_const(prog->arena_bytes)) return true;
    if (!size_mul(buf->elements, dtype_bytes(buf->dt), &n_bytes)) return true; /* reported with the buffer itself */
    if (is_inside(buf->offset_bytes, n_bytes, prog->arena_bytes) && buf->offset_bytes % dtype_bytes(buf->dt) == 0) return true;
    return diag_error(v->diag, buf->place, "%s: %lld bytes at %lld do not fit the arena of %lld", buf->name, (long long)n_bytes,
                      (long long)buf->offset_bytes, (long long)prog->arena_bytes);
}

static bool check_weight(struct verifier *v, const struct buffer *buf)
{
    const struct tensor *tensor = buf->tensor;
    int64_t n_bytes;
    if (!tensor) return diag_error(v->diag, buf->place, "weight %s has no data", buf->name);
    if (!dim_is_const(buf->elements) || !size_mul(buf->elements, dtype_bytes(buf->dt), &n_bytes))
        return diag_error(v->diag, buf->place, "the size of weight %s is no plain number", buf->name);
    if (tensor->type.dt == buf->dt && type_count(&tensor->type) == buf->elements && tensor->n_bytes == n_bytes) return true;
    return diag_error(v->diag, buf->place, "weight %s: %lld elements of %s, its data %lld bytes of %s", buf->name, (long long)buf->elements,
                      dtype_name(buf->dt), (long long)tensor->n_bytes, dtype_name(tensor->type.dt));
}

static bool check_buffer(struct verifier *v, const struct buffer *buf)
{
    if (buf->id < 0 || buf->id >= v->prog->next_buffer || v->buffer[buf->id])
        return diag_error(v->diag, buf->place, "buffer %s has an id that is not its own", buf->name);
    v->buffer[buf->id] = buf;
    if (buf->dt == DT_index) return diag_error(v->diag, buf->place, "%s has elements of type index", buf->name);
    if (dim_is_const(buf->elements) && (buf->elements < 0 || buf->elements > ELEMENTS_MOST))
        return diag_error(v->diag, buf->place, "%s has %lld elements", buf->name, (long long)buf->elements);
    if (buf->type.rank && buf->type.dt != buf->dt) return diag_error(v->diag, buf->place, "%s has two types", buf->name);
    switch (buf->space) {
    case SPACE_WEIGHT: return check_weight(v, buf);
    case SPACE_ARENA: return check_planned(v, buf);
    case SPACE_INPUT: case SPACE_OUTPUT: {
        bool in = buf->space == SPACE_INPUT;
        int n = in ? v->prog->inputs.n : v->prog->outputs.n;
        bool placed = buf->position >= 0 && buf->position < n && (in ? v->prog->inputs.at : v->prog->outputs.at)[buf->position] == buf;
        return placed || diag_error(v->diag, buf->place, "%s is not in its place among the %s", buf->name, in ? "inputs" : "outputs");
    }
    case SPACE_PARAM: case SPACE_LOCAL: case SPACE_GROUP: break;
    }
    return diag_error(v->diag, buf->place, "%s belongs to a kernel", buf->name);
}

bool prog_verify(const struct prog *prog, struct diag *diag)
{
    struct arena *scratch = arena_new();
    struct verifier v = {.prog = prog, .diag = diag, .scratch = scratch, .fine = true, .sound = {.arena = scratch}, .seen = {.arena = scratch}};
    v.var = NEW_ARRAY(scratch, unsigned char, prog->next_var + 1);
    v.same = NEW_ARRAY(scratch, unsigned char, prog->next_var + 1);
    v.var_of = NEW_ARRAY(scratch, const struct var *, prog->next_var + 1);
    v.buffer = NEW_ARRAY(scratch, const struct buffer *, prog->next_buffer + 1);
    if (prog->arena_bytes != -1 && dim_is_const(prog->arena_bytes) && prog->arena_bytes < 0)
        v.fine = diag_error(diag, (struct place){.path = NULL}, "an arena of %lld bytes", (long long)prog->arena_bytes);
    for (int i = 0; i < prog->kernels.n; i++) check_kernel(&v, i);
    memset(v.buffer, 0, (size_t)(prog->next_buffer + 1) * sizeof *v.buffer);
    for (int i = 0; i < prog->buffers.n; i++) v.fine = check_buffer(&v, prog->buffers.at[i]) && v.fine;
    v.kernel = NULL;
    v.kernel_number = prog->kernels.n;
    if (prog->threads) {
        var_define(&v, NULL, prog->worker, VAR_FIXED);
        var_define(&v, NULL, prog->workers, VAR_FIXED);
    }
    check_block(&v, prog->main);
    arena_free(scratch);
    return v.fine;
}
