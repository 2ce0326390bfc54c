/* Statements: assignments, constants, compile-time loops, return.
 *
 * A function's statements share one frame, also inside compile-time `for` and `if`: a name assigned again is a new
 * value. Run-time blocks have frames of their own (build_control.c).
 */
#include "build.h"

#include <string.h>

/* The value keeps the first name it is given; inside functions the scope stands before it. */
static void name_value(struct build *build, const struct item *item, const char *name)
{
    if (item->kind != ITEM_TENSOR || !item->tensor || build->site || build->in_call) return;
    char *full = arena_printf(build->arena, "%s%s%s", build->frame->scope, build->frame->scope[0] ? "_" : "", name);
    for (char *p = full; *p; p++)
        if (*p == '.') *p = '_';
    graph_name(build->region->graph, item->tensor, full);
}

static void assign(struct build *build, struct ast *target, struct item item)
{
    struct ast *name = target->kind == AST_TYPED ? target->kid[0] : target;
    dim symbol;
    if (name->kind != AST_NAME || strchr(name->text, '.')) {
        build_fail(build, name, "only a name can be assigned to");
        return;
    }
    if (dim_find_symbol(build->region->graph->dims, name->text, &symbol)) {
        build_fail(build, name, "'%s' is a dimension and cannot be assigned to", name->text);
        return;
    }
    if (target->kind == AST_TYPED && !item_is_error(&item)) {
        struct type type;
        item = eval_type(build, target->kid[1], &type) ? item_tensor(item_to_type(build, target, &item, &type))
                                                       : (struct item){.kind = ITEM_ERROR};
    }
    name_value(build, &item, name->text);
    build_set(build, build->frame, name->text, item);
}

void assign_targets(struct build *build, struct ast *targets, struct item value, struct ast *source)
{
    const struct item *items = &value;
    int n = 1;
    if (targets->n > 1 || value.kind == ITEM_TUPLE) n = item_unpack(&value, &items);
    if (value.kind == ITEM_NONE) value = build_fail(build, source, "this gives no value");
    if (item_is_error(&value)) n = targets->n;
    if (n != targets->n)
        value = build_fail(build, source, "expected %d value%s, found %d", targets->n, targets->n == 1 ? "" : "s", n);
    for (int i = 0; i < targets->n; i++)
        assign(build, targets->kid[i],
               item_is_error(&value) ? (struct item){.kind = ITEM_ERROR} : items[n == targets->n ? i : 0]);
}

static void eval_assign(struct build *build, struct ast *ast)
{
    struct ast *targets = ast->kid[0], *values = ast->kid[1];
    assign_targets(build, targets, eval_values(build, values), values->kid[0]);
}

static void eval_const(struct build *build, struct ast *ast)
{
    struct item item = eval(build, ast->kid[0]);
    struct type type;
    if (ast->n > 1) {
        if (!eval_type(build, ast->kid[1], &type)) item = (struct item){.kind = ITEM_ERROR};
        item = item_tensor(item_to_type(build, ast->kid[0], &item, &type));
    }
    if (item.kind == ITEM_TENSOR && !value_const(item.tensor))
        item = build_fail(build, ast->kid[0], "'%s' is not known while compiling", ast->text);
    if (strchr(ast->text, '.')) build_fail(build, ast, "'%s' cannot name a constant", ast->text);
    name_value(build, &item, ast->text);
    build_set(build, build->frame, ast->text, item);
}

static void eval_for(struct build *build, struct ast *ast)
{
    int64_t n, first;
    const struct item_list *list;
    if (!eval_range(build, ast->kid[0], ast->n > 2 ? ast->kid[2] : NULL, &n, &first, &list)) return;
    for (int64_t i = 0; i < n && !build->frame->returned; i++) {
        if (!build_iterate(build, ast)) return;
        build_set(build, build->frame, ast->text, list ? list->at[i] : item_int(first + i));
        eval_block(build, ast->kid[1]);
    }
}

/* Everything built in the block, by functions called there too, is computed at that place. */
static void eval_place(struct build *build, struct ast *ast)
{
    struct graph *graph = build->region->graph;
    enum home outer = graph->home;
    if (!home_read(ast->text, ast->place, build->diag, &graph->home)) return;
    struct item value = eval_block(build, ast->kid[0]);
    graph->home = outer;
    if (value.kind != ITEM_NONE && !item_is_error(&value) && !build->frame->returned)
        build_fail(build, ast, "the value at the end of this block is not used");
}

void eval_def(struct build *build, struct ast *ast)
{
    struct function *function = NEW(build->arena, struct function);
    *function = (struct function){ast->text, ast, build->frame, build->frame->module};
    const struct item *own = build_own(build->frame, ast->text);
    if (own && own->kind == ITEM_FUNCTION && own->function->ast != ast) {
        build_fail(build, ast, "the function '%s' is defined twice", ast->text);
        build_note(build, own->function->ast, "first here");
        return;
    }
    build_set(build, build->frame, ast->text, (struct item){.kind = ITEM_FUNCTION, .function = function});
}

static void eval_return(struct build *build, struct ast *ast)
{
    struct item item = ast->n ? eval_values(build, ast) : (struct item){.kind = ITEM_NONE};
    if (build->frame->block) {
        build_fail(build, ast, "no return out of a block that runs at run time; its last expression is its value");
        return;
    }
    build->frame->returned = true;
    build->frame->result = item;
}

void eval_statement(struct build *build, struct ast *ast)
{
    switch (ast->kind) {
    case AST_ASSIGN: eval_assign(build, ast); return;
    case AST_PARAM: eval_param(build, ast); return;
    case AST_CONST: eval_const(build, ast); return;
    case AST_WEIGHTS: eval_weights(build, ast); return;
    case AST_FOR: eval_for(build, ast); return;
    case AST_PLACE: eval_place(build, ast); return;
    case AST_LET: eval_let(build, ast); return;
    case AST_DEF: eval_def(build, ast); return;
    case AST_RETURN: eval_return(build, ast); return;
    case AST_IMPORT:
    case AST_DIM:
    case AST_MODEL:
        build_fail(build, ast, "%s may only stand outside of models and functions",
                   ast->kind == AST_DIM     ? "dim"
                   : ast->kind == AST_MODEL ? "model"
                                            : "import");
        return;
    case AST_BLOCK:
    case AST_YIELD:
    case AST_LIST:
    case AST_FORMAL:
    case AST_NAMED:
    case AST_TYPED:
    case AST_SLICE:
    case AST_BINDING:
    case AST_SEQUENCE:
    case AST_NAME:
    case AST_INT:
    case AST_FLOAT:
    case AST_STRING:
    case AST_BOOL:
    case AST_UNARY:
    case AST_BINARY:
    case AST_CALL:
    case AST_INDEX:
    case AST_EACH:
    case AST_IF:
    case AST_WHILE:
    case AST_SCAN:
    case AST_GRAPH: break;
    }
    build_fail(build, ast, "this is no statement");
}

/* Whether a block ends with values: an `if` that does is an expression, otherwise it assigns. */
static bool gives_value(const struct ast *block)
{
    if (block->kind == AST_IF) return gives_value(block->kid[1]);
    if (block->n == 0) return false;
    const struct ast *last = block->kid[block->n - 1];
    if (last->kind != AST_YIELD) return false;
    return last->kid[0]->kind != AST_IF || last->n > 1 || gives_value(last->kid[0]);
}

struct item eval_block(struct build *build, struct ast *block)
{
    struct item value = {.kind = ITEM_NONE};
    for (int i = 0; i < block->n && !build->frame->returned && !diag_full(build->diag); i++) {
        struct ast *ast = block->kid[i];
        value = (struct item){.kind = ITEM_NONE};
        if (ast->kind != AST_YIELD) {
            eval_statement(build, ast);
            continue;
        }
        bool statement = ast->n == 1 && ast->kid[0]->kind == AST_IF && !gives_value(ast->kid[0]);
        value = statement ? eval_if(build, ast->kid[0], true) : eval_values(build, ast);
        if (i + 1 < block->n && value.kind != ITEM_NONE && !item_is_error(&value) && !build->frame->returned)
            build_fail(build, ast->kid[0], "this value is not used");
    }
    return value;
}
