/* Calls: which function a name means, its arguments, its scope.
 *
 * A name is looked for among: functions around the call; functions of imported files (alias.name); operators by
 * `op.name`; compile-time functions; operators; element types (a cast); the standard library.
 * Every call opens a scope for the parameters made inside: the function's name, or what stands after `@`.
 */
#include "build.h"

#include <string.h>

static const char *add_scope(struct build *build, const char *outer, const char *name)
{
    if (!name[0]) return outer;
    return arena_printf(build->arena, "%s%s%s", outer, outer[0] ? "." : "", name);
}

/* res{i} with the expressions in braces replaced by their values. NULL after an error. */
static const char *scope_name(struct build *build, struct ast *ast)
{
    struct text text = {.arena = build->arena};
    const char *s = ast->name;
    if (!strcmp(s, ".")) return "";
    while (*s) {
        size_t n = strcspn(s, "{");
        text_add_n(&text, s, n);
        s += n;
        if (!*s) break;
        size_t length = strcspn(s, "}");
        struct ast *inner =
            ast_read_expression(build->arena, build->diag, ast->place, arena_strndup(build->arena, s + 1, length - 1));
        struct item item = inner ? eval(build, inner) : (struct item){.kind = ITEM_ERROR};
        if (item.kind == ITEM_INT && dim_is_const(item.i)) text_printf(&text, "%lld", (long long)item.i);
        else if (item.kind == ITEM_STRING) text_add(&text, item.s);
        else if (!item_is_error(&item))
            build_fail(build, ast, "in the name of a scope {...} must give an integer or a string");
        if (item.kind != ITEM_INT && item.kind != ITEM_STRING) return NULL;
        s += length + 1;
        if (text.n > 4096) return build_fail(build, ast, "the scope's name is too long"), NULL;
    }
    return text_string(&text);
}

static bool kind_fits(const char *type, const struct item *item)
{
    enum item_kind kind = item->kind;
    if (!strcmp(type, "int")) return kind == ITEM_INT;
    if (!strcmp(type, "float")) return kind == ITEM_FLOAT || kind == ITEM_INT;
    if (!strcmp(type, "bool")) return kind == ITEM_BOOL;
    if (!strcmp(type, "string")) return kind == ITEM_STRING;
    if (!strcmp(type, "list")) return kind == ITEM_LIST;
    if (!strcmp(type, "dtype")) return kind == ITEM_DTYPE;
    if (!strcmp(type, "function")) return kind == ITEM_FUNCTION;
    return kind == ITEM_TENSOR;
}

static bool is_kind_name(const char *name)
{
    static const char *const names[] = {"int", "float", "bool", "string", "list", "dtype", "function", "tensor"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(names[i], name)) return true;
    return false;
}

/* `x: f32[B, 3]` against a tensor: names of sizes that mean nothing yet are bound to the tensor's. */
static bool match_tensor(struct build *build, struct ast *type, const struct item *item)
{
    struct ast *subscripts = type->kid[1];
    const struct type *own = &item->tensor->type;
    const char *base = type->kid[0]->text;
    enum dtype dt;
    bool fits =
        subscripts->n == own->rank && (!strcmp(base, "tensor") || (dtype_from_name(base, &dt) && dt == own->dt));
    for (int i = 0; fits && i < own->rank; i++) {
        struct ast *size = subscripts->kid[i];
        struct item found;
        dim d;
        bool is_new = size->kind == AST_NAME && !build_find(build, size, size->text, &found) &&
                      !dim_find_symbol(build->region->graph->dims, size->text, &d);
        if (is_new) build_set(build, build->frame, size->text, item_int(own->dim[i]));
        else if (!eval_int(build, size, &d)) return false;
        else fits = d == own->dim[i];
    }
    return fits;
}

static void check_formal(struct build *build, struct ast *formal, struct ast *at, struct item *item)
{
    struct ast *type = formal->kid[0];
    if (!type || item_is_error(item) || item->kind == ITEM_NONE) return;
    if (type->kind == AST_NAME && is_kind_name(type->text)) {
        if (!strcmp(type->text, "tensor") && (item_is_number(item) || item->kind == ITEM_LIST))
            *item = item_tensor(item_to_tensor(build, at, item, DT_COUNT));
        else if (!kind_fits(type->text, item))
            *item = build_fail(build, at, "'%s' must be %s%s, found %s", formal->text,
                               strchr("aeiou", type->text[0]) ? "an " : "a ", type->text, item_kind_name(item->kind));
        else if (!strcmp(type->text, "float") && item->kind == ITEM_INT && dim_is_const(item->i))
            *item = item_float((double)item->i);
        return;
    }
    bool pattern = type->kind == AST_INDEX && type->kid[0]->kind == AST_NAME && item->kind == ITEM_TENSOR;
    struct type wanted;
    if (pattern) {
        int before = diag_errors(build->diag);
        if (match_tensor(build, type, item)) return;
        if (diag_errors(build->diag) > before) *item = (struct item){.kind = ITEM_ERROR};
        else if (strcmp(type->kid[0]->text, "tensor") != 0 && eval_type(build, type, &wanted))
            *item = item_tensor(item_to_type(build, at, item, &wanted));
        else *item = build_fail(build, at, "'%s' cannot be %s here", formal->text, item_words(build, item));
        return;
    }
    *item = eval_type(build, type, &wanted) ? item_tensor(item_to_type(build, at, item, &wanted))
                                            : (struct item){.kind = ITEM_ERROR};
}

static struct ast *find_formal(struct ast *formals, const char *name, int *at)
{
    for (*at = 0; *at < formals->n; ++*at)
        if (!strcmp(formals->kid[*at]->text, name)) return formals->kid[*at];
    return NULL;
}

static void unknown_argument(struct build *build, const struct function *function, const struct argument *argument)
{
    struct ast *formals = function->ast->kid[0];
    const char **names = NEW_ARRAY(build->arena, const char *, formals->n + 1);
    for (int i = 0; i < formals->n; i++) names[i] = formals->kid[i]->text;
    const char *near = diag_suggest(argument->name, names, formals->n);
    build_fail(build, argument->ast, "%s has no parameter '%s'%s%s%s", function->name, argument->name,
               near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

/* Arguments to the names of the new frame, in which defaults are evaluated. False after an error in their number. */
static bool bind_arguments(struct build *build, struct ast *site, const struct function *function, int n,
                           const struct argument *arguments)
{
    struct ast *formals = function->ast->kid[0];
    const struct argument **given = NEW_ARRAY(build->arena, const struct argument *, formals->n + 1);
    bool ok = true;
    for (int i = 0; i < n; i++) {
        int at = i;
        if (arguments[i].name && !find_formal(formals, arguments[i].name, &at))
            unknown_argument(build, function, &arguments[i]), ok = false;
        else if (at >= formals->n) {
            build_fail(build, arguments[i].ast, "too many arguments: %s takes %d, %d are given", function->name,
                       formals->n, n);
            return false;
        } else if (given[at])
            build_fail(build, arguments[i].ast, "'%s' is given twice", formals->kid[at]->text), ok = false;
        else given[at] = &arguments[i];
    }
    for (int i = 0; i < formals->n; i++) {
        struct ast *formal = formals->kid[i];
        struct item item = {.kind = ITEM_ERROR};
        bool absent = !given[i] || given[i]->item.kind == ITEM_NONE;
        if (!absent) item = given[i]->item;
        else if (formal->kid[1]) item = eval(build, formal->kid[1]);
        else if (given[i]) item = given[i]->item;
        else if (ok) build_fail(build, site, "%s needs the argument '%s'", function->name, formal->text), ok = false;
        check_formal(build, formal, given[i] ? given[i]->ast : site, &item);
        build_set(build, build->frame, formal->text, item);
    }
    return ok;
}

struct item call_function(struct build *build, struct ast *site, const struct function *function, int n,
                          const struct argument *arguments, const char *scope)
{
    if (build->calls >= CALLS_MOST)
        return build_fail(build, site, "calls are nested too deeply (more than %d)", CALLS_MOST);
    struct frame *outer = build->frame;
    struct ast *outer_site = build->site;
    struct frame *frame = build_frame(build, function->frame, build->region);
    frame->module = function->module;
    frame->scope = scope;
    int before = diag_errors(build->diag);
    if (function->module && function->module->prelude && !build->site) build->site = site;
    build->calls++;
    build->frame = frame;
    struct item result = {.kind = ITEM_ERROR};
    bool bound = bind_arguments(build, site, function, n, arguments);
    if (bound && diag_errors(build->diag) == before) {
        struct item value = eval_block(build, function->ast->kid[1]);
        result = frame->returned ? frame->result : value;
    }
    build->frame = outer;
    build->site = outer_site;
    build->calls--;
    if (diag_errors(build->diag) > before) {
        if (bound && build->noted != site && !(function->module && function->module->prelude))
            build_note(build, site, "in this call of %s", function->name);
        build->noted = site;
        return (struct item){.kind = ITEM_ERROR};
    }
    return result;
}

/* A function that stands around the call, or in an imported file. */
static const struct function *find_function(struct build *build, const char *name)
{
    for (struct frame *frame = build->frame; frame; frame = frame->parent) {
        const struct item *own = build_own(frame, name);
        if (own && own->kind == ITEM_FUNCTION) return own->function;
    }
    const char *dot = strchr(name, '.');
    const struct module *module = build->frame ? build->frame->module : NULL;
    for (int i = 0; dot && module && i < module->imports.n; i++) {
        const char *alias = module->aliases.at[i];
        if (strlen(alias) != (size_t)(dot - name) || strncmp(alias, name, (size_t)(dot - name)) != 0) continue;
        const struct item *own = module->imports.at[i]->frame ? build_own(module->imports.at[i]->frame, dot + 1) : NULL;
        if (own && own->kind == ITEM_FUNCTION) return own->function;
    }
    return NULL;
}

/* Positional arguments come first. The number of arguments, -1 after an error. */
static int eval_arguments(struct build *build, struct ast *list, struct argument *arguments)
{
    bool ok = true, named = false;
    for (int i = 0; i < list->n; i++) {
        struct ast *ast = list->kid[i];
        bool by_name = ast->kind == AST_NAMED;
        arguments[i] = (struct argument){by_name ? ast->text : NULL, eval(build, by_name ? ast->kid[0] : ast), ast};
        if (named && !by_name) build_fail(build, ast, "an argument by position stands after one by name"), ok = false;
        named |= by_name;
        if (item_is_error(&arguments[i].item)) ok = false;
        if (arguments[i].item.kind == ITEM_TUPLE) build_fail(build, ast, "an argument with several values"), ok = false;
    }
    return ok ? list->n : -1;
}

static struct item unknown_function(struct build *build, struct ast *ast)
{
    const char *near = build_suggest(build, ast->text, true);
    const struct module *module = build->frame->module;
    if (!strncmp(ast->text, "nn.", 3) && module && !module->imports_nn && prelude_function(build, ast->text))
        return build_fail(build, ast, "'%s' needs the line 'import nn' at the top of the file", ast->text);
    return build_fail(build, ast, "there is no function '%s'%s%s%s", ast->text, near ? "; did you mean '" : "",
                      near ? near : "", near ? "'?" : "");
}

static struct item call_named(struct build *build, struct ast *ast, int n, const struct argument *arguments)
{
    const char *name = ast->text;
    const struct function *function = find_function(build, name);
    const struct module *module = build->frame->module;
    bool operator_only = !function && !strncmp(name, "op.", 3), layer = !strncmp(name, "nn.", 3);
    struct item result;
    enum op op;
    enum dtype dt;
    if (!function && !operator_only && call_builtin(build, ast, name, n, arguments, &result)) return result;
    if (!function && op_from_name(operator_only ? name + 3 : name, &op) && op_row(op)->kind != OP_LEAF) {
        bool enter = build->expand && op_row(op)->kind == OP_COMPOSITE;
        if (!enter) return call_op(build, ast, op, n, arguments);
    }
    if (!function && dtype_from_name(name, &dt)) {
        struct value *x =
            n == 1 && !arguments[0].name
                ? item_to_tensor(build, ast, &arguments[0].item,
                                 item_is_number(&arguments[0].item) && arguments[0].item.kind != ITEM_BOOL ? dt
                                                                                                           : DT_COUNT)
                : NULL;
        if (n != 1) return build_fail(build, ast, "%s(x) takes one argument", name);
        build_at(build, ast);
        return item_tensor(graph_cast(build->region->graph, x, dt));
    }
    if (!function && !operator_only && (!layer || (module && module->imports_nn)))
        function = prelude_function(build, name);
    if (!function) return unknown_function(build, ast);
    const char *last = strrchr(function->name, '.'), *scope = ast->name ? scope_name(build, ast)
                                                              : last    ? last + 1
                                                                        : function->name;
    if (!scope) return (struct item){.kind = ITEM_ERROR};
    return call_function(build, ast, function, n, arguments, add_scope(build, build->frame->scope, scope));
}

struct item eval_call(struct build *build, struct ast *ast)
{
    struct argument *arguments = NEW_ARRAY(build->arena, struct argument, ast->kid[0]->n + 1);
    int n = eval_arguments(build, ast->kid[0], arguments);
    return n < 0 ? (struct item){.kind = ITEM_ERROR} : call_named(build, ast, n, arguments);
}
