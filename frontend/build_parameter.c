/* Parameters and the files their values come from. */
#include "build.h"

#include <string.h>

void eval_weights(struct build *build, struct ast *ast)
{
    const char *path = build_path(build, ast, ast->text);
    if (!path || ast->reported) return;
    for (int i = 0; i < build->weights.n; i++)
        if (!strcmp(build->weights.at[i]->path, path)) return;
    struct weights *weights = weights_open(build->arena, path, build->diag, ast->place);
    if (!weights) ast->reported = true;
    else LIST_PUSH(build->arena, &build->weights, weights);
}

static const struct tensor *find_weight(const struct build *build, const char *name)
{
    for (int i = build->weights.n - 1; i >= 0; i--) {
        const struct tensor *tensor = weights_find(build->weights.at[i], name);
        if (tensor) return tensor;
    }
    return NULL;
}

static struct item missing_weight(struct build *build, struct ast *ast, const char *name)
{
    enum { MOST = 10000 };
    const char **names = NEW_ARRAY(build->arena, const char *, MOST);
    int n = 0;
    for (int i = 0; i < build->weights.n; i++)
        for (int k = 0; k < build->weights.at[i]->tensors.n && n < MOST; k++)
            names[n++] = build->weights.at[i]->tensors.at[k].name;
    const char *near = diag_suggest(name, names, n);
    if (!build->weights.n) return build_fail(build, ast, "'%s' has no value: the model names no file of weights", name);
    return build_fail(build, ast, "'%s' is not among the weights of \"%s\"%s%s%s", name,
                      build->weights.at[build->weights.n - 1]->path, near ? "; did you mean '" : "", near ? near : "",
                      near ? "'?" : "");
}

struct item eval_weight(struct build *build, struct ast *ast, const char *name)
{
    const struct tensor *tensor = find_weight(build, name);
    if (!tensor) return missing_weight(build, ast, name);
    build_at(build, ast);
    return item_tensor(graph_const(build->region->graph, tensor));
}

static struct item parameter_value(struct build *build, struct ast *ast, const char *name, const struct type *type)
{
    const struct tensor *tensor = find_weight(build, name);
    struct dims *dims = build->region->graph->dims;
    if (tensor && !type_equal(&tensor->type, type))
        return build_fail(build, ast, "the parameter '%s' is %s, the weights have %s", name,
                          type_string(dims, build->arena, type), type_string(dims, build->arena, &tensor->type));
    if (tensor) {
        build_at(build, ast);
        return item_tensor(graph_const(build->region->graph, tensor));
    }
    if (ast->n > 1) {
        struct item item = eval(build, ast->kid[1]);
        struct value *value = item_to_type(build, ast->kid[1], &item, type);
        if (value && !value_const(value))
            return build_fail(build, ast->kid[1], "the value of the parameter '%s' is not known while compiling", name);
        return item_tensor(value);
    }
    if (!build->options->zero_weights) return missing_weight(build, ast, name);
    int64_t count = type_count(type);
    struct tensor zeros = {.type = *type, .n_bytes = count * dtype_bytes(type->dt)};
    zeros.data = arena_alloc(build->arena, (size_t)zeros.n_bytes);
    build_at(build, ast);
    return item_tensor(graph_const(build->region->graph, &zeros));
}

void eval_param(struct build *build, struct ast *ast)
{
    const char *scope = build->frame->scope;
    char *name = arena_printf(build->arena, "%s%s%s", scope, scope[0] ? "." : "", ast->text);
    struct type type;
    struct item item = {.kind = ITEM_ERROR};
    if (eval_type(build, ast->kid[0], &type)) {
        int64_t count = type_count(&type);
        if (build_own(build->parameters, name))
            build_fail(build, ast,
                       "two parameters are called '%s'; give the calls scopes of their own, as in f(x) @ name", name);
        else if (!type_is_static(&type) || count < 0 || count > ((int64_t)1 << 34))
            build_fail(build, ast, "a parameter cannot have the type %s",
                       type_string(build->region->graph->dims, build->arena, &type));
        else item = parameter_value(build, ast, name, &type);
    }
    build_set(build, build->parameters, name, item_bool(true));
    build_set(build, build->frame, ast->text, item);
    char *label = arena_strdup(build->arena, name);
    for (char *p = label; *p; p++)
        if (*p == '.') *p = '_';
    if (item.kind == ITEM_TENSOR) graph_name(build->region->graph, item.tensor, label);
}
