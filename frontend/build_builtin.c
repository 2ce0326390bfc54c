/* Functions that work while compiling: shape, rank, len, require and so on. */
#include "build.h"

#include <math.h>
#include <string.h>

const char *const builtin_names[] = {"shape",  "rank",   "dtype",  "len",  "int",     "float",
                                     "string", "weight", "tensor", "full", "require", NULL};

static struct item tensor_shape(struct build *build, const struct type *type)
{
    struct item items[RANK_MOST];
    for (int i = 0; i < type->rank; i++) items[i] = item_int(type->dim[i]);
    return item_list(build, ITEM_LIST, type->rank, items);
}

/* require(condition, words...): a function's own message about its arguments. */
static struct item call_require(struct build *build, struct ast *ast, int n, const struct argument *arguments)
{
    struct text text = {.arena = build->arena};
    if (n < 2 || arguments[0].item.kind != ITEM_BOOL)
        return build_fail(build, ast, "require(condition, words...) needs a condition known while compiling");
    if (arguments[0].item.b) return (struct item){.kind = ITEM_NONE};
    for (int i = 1; i < n; i++)
        text_add(&text,
                 arguments[i].item.kind == ITEM_STRING ? arguments[i].item.s : item_words(build, &arguments[i].item));
    return build_fail(build, ast, "%s", text_string(&text));
}

/* full(shape, value, dtype) */
static struct item call_full(struct build *build, struct ast *ast, int n, const struct argument *arguments)
{
    dim dims[RANK_MOST];
    struct graph *graph = build->region->graph;
    if (n < 2 || n > 3 || arguments[0].item.kind != ITEM_LIST || (n == 3 && arguments[2].item.kind != ITEM_DTYPE) ||
        arguments[0].item.list->n > RANK_MOST)
        return build_fail(build, ast, "expected full(list of sizes, number, element type)");
    const struct item_list *sizes = arguments[0].item.list;
    for (int i = 0; i < sizes->n; i++) {
        if (sizes->at[i].kind != ITEM_INT) return build_fail(build, ast, "the sizes must be integers");
        dims[i] = sizes->at[i].i;
    }
    struct value *value = item_to_tensor(build, ast, &arguments[1].item, n == 3 ? arguments[2].item.dt : DT_f32);
    build_at(build, ast);
    return item_tensor(graph_broadcast(graph, value, sizes->n, dims));
}

static struct item to_int(struct build *build, struct ast *ast, const struct item *x)
{
    const int64_t *list;
    if (x->kind == ITEM_INT) return *x;
    if (x->kind == ITEM_BOOL) return item_int(x->b);
    if (x->kind == ITEM_FLOAT && fabs(x->f) < 0x1p62) return item_int((int64_t)x->f);
    if (x->kind == ITEM_TENSOR && value_ints(build->region->graph, x->tensor, &list) == 1) return item_int(list[0]);
    return build_fail(build, ast, "int(x) needs a number known while compiling, found %s", item_kind_name(x->kind));
}

static struct item to_float(struct build *build, struct ast *ast, const struct item *x)
{
    double v;
    if (x->kind == ITEM_FLOAT) return *x;
    if (x->kind == ITEM_INT && dim_is_const(x->i)) return item_float((double)x->i);
    if (x->kind == ITEM_TENSOR && value_number(x->tensor, &v)) return item_float(v);
    return build_fail(build, ast, "float(x) needs a number known while compiling, found %s", item_words(build, x));
}

static struct item call_one(struct build *build, struct ast *ast, const char *name, const struct item *x)
{
    bool of_tensor = !strcmp(name, "shape") || !strcmp(name, "rank") || !strcmp(name, "dtype");
    if (of_tensor) {
        struct value *value = item_to_tensor(build, ast, x, DT_COUNT);
        if (!value) return (struct item){.kind = ITEM_ERROR};
        if (name[0] == 's') return tensor_shape(build, &value->type);
        return name[0] == 'r' ? item_int(value->type.rank) : (struct item){.kind = ITEM_DTYPE, .dt = value->type.dt};
    }
    if (!strcmp(name, "len")) {
        if (x->kind == ITEM_LIST) return item_int(x->list->n);
        if (x->kind == ITEM_STRING) return item_int((dim)strlen(x->s));
        return build_fail(build, ast, "len(x) needs a list, found %s", item_kind_name(x->kind));
    }
    if (!strcmp(name, "int")) return to_int(build, ast, x);
    if (!strcmp(name, "float")) return to_float(build, ast, x);
    if (!strcmp(name, "string")) return x->kind == ITEM_STRING ? *x : item_string(item_words(build, x));
    if (x->kind != ITEM_STRING)
        return build_fail(build, ast, "weight(name) needs a string, found %s", item_kind_name(x->kind));
    return eval_weight(build, ast, x->s);
}

/* tensor(list) or tensor(list, dtype) */
static struct item call_tensor(struct build *build, struct ast *ast, int n, const struct argument *arguments)
{
    bool typed = n == 2 && arguments[1].item.kind == ITEM_DTYPE;
    if (n != 1 && !typed) return build_fail(build, ast, "expected tensor(numbers) or tensor(numbers, element type)");
    return item_tensor(item_to_tensor(build, ast, &arguments[0].item, typed ? arguments[1].item.dt : DT_COUNT));
}

bool call_builtin(struct build *build, struct ast *ast, const char *name, int n, const struct argument *arguments,
                  struct item *result)
{
    bool known = false;
    for (int i = 0; builtin_names[i]; i++) known |= !strcmp(builtin_names[i], name);
    if (!known) {
        struct item items[2];
        if (n < 1 || n > 2) return false;
        for (int i = 0; i < n; i++) {
            if (arguments[i].name) return false;
            items[i] = arguments[i].item;
        }
        return eval_number_function(build, ast, name, n, items, result);
    }
    for (int i = 0; i < n; i++)
        if (arguments[i].name)
            return *result = build_fail(build, arguments[i].ast, "%s takes no arguments by name", name), true;
    if (!strcmp(name, "require")) *result = call_require(build, ast, n, arguments);
    else if (!strcmp(name, "full")) *result = call_full(build, ast, n, arguments);
    else if (!strcmp(name, "tensor")) *result = call_tensor(build, ast, n, arguments);
    else if (n != 1) *result = build_fail(build, ast, "%s takes one argument, %d are given", name, n);
    else *result = call_one(build, ast, name, &arguments[0].item);
    return true;
}
