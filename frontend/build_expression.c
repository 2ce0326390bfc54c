/* Expressions: names, literals, arithmetic.
 *
 * Arithmetic on numbers is done while compiling; with a tensor among the operands it becomes a node, and numbers take
 * the tensor's element type. Integers are dims: N*2 + 1 stays symbolic.
 */
#include "build.h"

#include <math.h>
#include <string.h>

static const struct operator_row {
    const char *sign;
    enum op op;
    bool swap, negate;
} operators[] = {
    [AST_ADD] = {"+", OP_add, false, false},  [AST_SUB] = {"-", OP_sub, false, false},
    [AST_MUL] = {"*", OP_mul, false, false},  [AST_DIV] = {"/", OP_div, false, false},
    [AST_MOD] = {"%", OP_mod, false, false},  [AST_POW] = {"**", OP_pow, false, false},
    [AST_EQ] = {"==", OP_eq, false, false},   [AST_NE] = {"!=", OP_eq, false, true},
    [AST_LT] = {"<", OP_lt, false, false},    [AST_LE] = {"<=", OP_le, false, false},
    [AST_GT] = {">", OP_lt, true, false},     [AST_GE] = {">=", OP_le, true, false},
    [AST_AND] = {"&&", OP_and, false, false}, [AST_OR] = {"||", OP_or, false, false},
    [AST_NEG] = {"-", OP_neg, false, false},  [AST_NOT] = {"!", OP_not, false, false},
};

struct item eval_values(struct build *build, struct ast *list)
{
    if (list->n == 1) return eval(build, list->kid[0]);
    struct item *items = NEW_ARRAY(build->arena, struct item, list->n + 1);
    for (int i = 0; i < list->n; i++) items[i] = eval(build, list->kid[i]);
    return item_list(build, ITEM_TUPLE, list->n, items);
}

bool eval_int(struct build *build, struct ast *ast, int64_t *v)
{
    struct item item = eval(build, ast);
    if (item.kind == ITEM_INT) return *v = item.i, true;
    build_fail(build, ast, "expected an integer known while compiling, found %s", item_kind_name(item.kind));
    return false;
}

bool eval_range(struct build *build, struct ast *from, struct ast *to, int64_t *n, int64_t *first,
                const struct item_list **list)
{
    *list = NULL;
    *first = *n = 0;
    if (to) {
        int64_t last;
        if (!eval_int(build, from, first) || !eval_int(build, to, &last)) return false;
        if (!dim_is_const(*first) || !dim_is_const(last)) {
            build_fail(build, to, "a loop that is unrolled needs plain numbers as its range");
            return false;
        }
        *n = last > *first ? last - *first : 0;
        return true;
    }
    struct item item = eval(build, from);
    if (item_is_error(&item)) return false;
    if (item.kind != ITEM_LIST) {
        build_fail(build, from, "expected a list or a range a..b to run over, found %s", item_kind_name(item.kind));
        return false;
    }
    *list = item.list;
    *n = item.list->n;
    return true;
}

bool eval_type(struct build *build, struct ast *ast, struct type *type)
{
    struct item item = eval(build, ast);
    if (item_is_error(&item)) return false;
    if (item.kind == ITEM_TYPE) return *type = *item.type, true;
    build_fail(build, ast, "expected a type such as f32[2, 3], found %s%s", item_kind_name(item.kind),
               item.kind == ITEM_DTYPE ? " (a scalar's type ends with [])" : "");
    return false;
}

static struct item eval_integer(struct ast *ast)
{
    uint64_t bits = ast->negative ? 0 - ast->number : ast->number;
    if (ast->negative ? ast->number <= (uint64_t)1 << 62 : ast->number <= INT64_MAX) return item_int((int64_t)bits);
    return (struct item){.kind = ITEM_BIG, .negative = ast->negative, .big = bits};
}

static struct item eval_name(struct build *build, struct ast *ast)
{
    struct item found;
    enum dtype dt;
    dim d;
    if (build_find(build, ast, ast->text, &found)) return found;
    if (dim_find_symbol(build->region->graph->dims, ast->text, &d)) return item_int(d);
    if (dtype_from_name(ast->text, &dt)) return (struct item){.kind = ITEM_DTYPE, .dt = dt};
    if (!strcmp(ast->text, "inf")) return item_float((double)INFINITY);
    if (!strcmp(ast->text, "nan")) return item_float((double)NAN);
    if (!strcmp(ast->text, "none")) return (struct item){.kind = ITEM_NONE};
    if (!strcmp(ast->text, "pi")) return item_float(3.14159265358979323846);
    const char *near = build_suggest(build, ast->text, false);
    struct item item = build_fail(build, ast, "'%s' is not defined%s%s%s", ast->text, near ? "; did you mean '" : "",
                                  near ? near : "", near ? "'?" : "");
    return item;
}

static struct item eval_list(struct build *build, struct ast *ast)
{
    struct item *items = NEW_ARRAY(build->arena, struct item, ast->n + 1);
    for (int i = 0; i < ast->n; i++) {
        items[i] = eval(build, ast->kid[i]);
        if (item_is_error(&items[i])) return (struct item){.kind = ITEM_ERROR};
    }
    return item_list(build, ITEM_LIST, ast->n, items);
}

static struct item eval_each(struct build *build, struct ast *ast)
{
    int64_t n, first;
    const struct item_list *list;
    LIST(struct item) items = {0};
    if (!eval_range(build, ast->kid[1], ast->n > 2 ? ast->kid[2] : NULL, &n, &first, &list))
        return (struct item){.kind = ITEM_ERROR};
    for (int64_t i = 0; i < n; i++) {
        if (!build_iterate(build, ast)) return (struct item){.kind = ITEM_ERROR};
        build_set(build, build->frame, ast->text, list ? list->at[i] : item_int(first + i));
        struct item item = eval(build, ast->kid[0]);
        if (item_is_error(&item)) return item;
        LIST_PUSH(build->arena, &items, item);
    }
    return item_list(build, ITEM_LIST, items.n, items.at);
}

struct item eval_unary_items(struct build *build, struct ast *ast, enum ast_op op, struct item x)
{
    struct graph *graph = build->region->graph;
    if (item_is_error(&x)) return x;
    if (x.kind == ITEM_TENSOR) {
        build_at(build, ast);
        return item_tensor(graph_unary(graph, operators[op].op, x.tensor));
    }
    if (op == AST_NOT && x.kind == ITEM_BOOL) return item_bool(!x.b);
    if (op == AST_NEG && x.kind == ITEM_INT) return item_int(dim_sub(graph->dims, 0, x.i));
    if (op == AST_NEG && x.kind == ITEM_FLOAT) return item_float(-x.f);
    return build_fail(build, ast, "'%s' cannot be applied to %s", operators[op].sign, item_kind_name(x.kind));
}

static double as_double(const struct item *x)
{
    return x->kind == ITEM_INT   ? (double)x->i
           : x->kind == ITEM_BIG ? (x->negative ? (double)(int64_t)x->big : (double)x->big)
                                 : x->f;
}

static struct item wrong_operands(struct build *build, struct ast *ast, enum ast_op op, const struct item *x,
                                  const struct item *z)
{
    return build_fail(build, ast, "'%s' cannot be applied to %s and %s", operators[op].sign, item_kind_name(x->kind),
                      item_kind_name(z->kind));
}

static struct item integer_arithmetic(struct build *build, struct ast *ast, enum ast_op op, dim x, dim z)
{
    struct dims *dims = build->region->graph->dims;
    bool known = dim_is_const(x) && dim_is_const(z);
    if ((op == AST_DIV || op == AST_MOD) && z == 0)
        return build_fail(build, ast, "division of %lld by zero", (long long)x);
    switch (op) {
    case AST_ADD: return item_int(dim_add(dims, x, z));
    case AST_SUB: return item_int(dim_sub(dims, x, z));
    case AST_MUL: return item_int(dim_mul(dims, x, z));
    case AST_DIV: return item_int(dim_div(dims, x, z));
    case AST_MOD: return item_int(dim_mod(dims, x, z));
    case AST_POW: {
        if (!known || z < 0 || z > 62) return item_float(pow((double)x, (double)z));
        dim y = 1;
        for (int64_t i = 0; i < z; i++) y = dim_mul(dims, y, x);
        return item_int(y);
    }
    case AST_EQ: return item_bool(x == z);
    case AST_NE: return item_bool(x != z);
    case AST_LT: return item_bool(known ? x < z : dim_lt(dims, x, z));
    case AST_LE: return item_bool(known ? x <= z : dim_le(dims, x, z));
    case AST_GT: return item_bool(known ? x > z : dim_lt(dims, z, x));
    case AST_GE: return item_bool(known ? x >= z : dim_le(dims, z, x));
    case AST_AND:
    case AST_OR:
    case AST_NEG:
    case AST_NOT: break;
    }
    return build_fail(build, ast, "'%s' cannot be applied to integers", operators[op].sign);
}

static struct item float_arithmetic(struct build *build, struct ast *ast, enum ast_op op, double x, double z)
{
    switch (op) {
    case AST_ADD: return item_float(x + z);
    case AST_SUB: return item_float(x - z);
    case AST_MUL: return item_float(x * z);
    case AST_DIV: return item_float(x / z);
    case AST_MOD: return item_float(x - z * floor(x / z));
    case AST_POW: return item_float(pow(x, z));
    case AST_EQ: return item_bool(x == z);
    case AST_NE: return item_bool(x != z);
    case AST_LT: return item_bool(x < z);
    case AST_LE: return item_bool(x <= z);
    case AST_GT: return item_bool(x > z);
    case AST_GE: return item_bool(x >= z);
    case AST_AND:
    case AST_OR:
    case AST_NEG:
    case AST_NOT: break;
    }
    return build_fail(build, ast, "'%s' cannot be applied to numbers", operators[op].sign);
}

/* Lists: + joins, * repeats. */
static struct item list_arithmetic(struct build *build, struct ast *ast, enum ast_op op, const struct item *x,
                                   const struct item *z)
{
    bool repeat = op == AST_MUL && z->kind == ITEM_INT;
    if (!repeat && (op != AST_ADD || z->kind != ITEM_LIST)) return wrong_operands(build, ast, op, x, z);
    if (repeat && (!dim_is_const(z->i) || z->i < 0 || z->i > LIST_ITEMS_MOST))
        return build_fail(build, ast, "a list cannot be repeated %s times", item_words(build, z));
    int64_t n = repeat ? x->list->n * z->i : (int64_t)x->list->n + z->list->n;
    if (n > LIST_ITEMS_MOST) return build_fail(build, ast, "a list of more than %d items", LIST_ITEMS_MOST);
    build->iterations += n;
    if (!build_iterate(build, ast)) return (struct item){.kind = ITEM_ERROR};
    struct item *items = NEW_ARRAY(build->arena, struct item, n + 1);
    for (int64_t i = 0; i < n; i++)
        items[i] = i < x->list->n || repeat ? x->list->at[i % x->list->n] : z->list->at[i - x->list->n];
    return item_list(build, ITEM_LIST, (int)n, items);
}

/* f32[N, C] + [3, 3]: further axes. */
static struct item longer_type(struct build *build, struct ast *ast, const struct type *type,
                               const struct item_list *sizes)
{
    struct type *longer = arena_copy(build->arena, type, sizeof *type);
    for (int i = 0; i < sizes->n; i++) {
        const struct item *size = &sizes->at[i];
        if (size->kind != ITEM_INT || longer->rank == RANK_MOST || dim_hi(build->region->graph->dims, size->i) < 0)
            return build_fail(build, ast, "the type cannot be continued with %s",
                              item_words(build, &(struct item){.kind = ITEM_LIST, .list = sizes}));
        longer->dim[longer->rank++] = size->i;
    }
    return (struct item){.kind = ITEM_TYPE, .type = longer};
}

static struct item join_strings(struct build *build, struct ast *ast, const char *x, const char *z)
{
    enum { STRING_MOST = 1 << 16 };
    if (strlen(x) + strlen(z) > STRING_MOST)
        return build_fail(build, ast, "a string of more than %d characters", STRING_MOST);
    return item_string(arena_printf(build->arena, "%s%s", x, z));
}

static struct item number_arithmetic(struct build *build, struct ast *ast, enum ast_op op, const struct item *x,
                                     const struct item *z)
{
    bool numbers = item_is_number(x) && item_is_number(z) && x->kind != ITEM_BOOL && z->kind != ITEM_BOOL;
    if (x->kind == ITEM_INT && z->kind == ITEM_INT) return integer_arithmetic(build, ast, op, x->i, z->i);
    if (numbers) {
        const struct item *symbol = x->kind == ITEM_INT && !dim_is_const(x->i)   ? x
                                    : z->kind == ITEM_INT && !dim_is_const(z->i) ? z
                                                                                 : NULL;
        if (symbol) { /* known only when running */
            struct item a = item_tensor(item_to_tensor(build, ast, x, DT_f32)),
                        b = item_tensor(item_to_tensor(build, ast, z, DT_f32));
            return eval_binary_items(build, ast, op, a, b);
        }
        return float_arithmetic(build, ast, op, as_double(x), as_double(z));
    }
    if (op == AST_EQ) return item_bool(item_equal(x, z));
    if (op == AST_NE) return item_bool(!item_equal(x, z));
    if (x->kind == ITEM_BOOL && z->kind == ITEM_BOOL && op == AST_AND) return item_bool(x->b && z->b);
    if (x->kind == ITEM_BOOL && z->kind == ITEM_BOOL && op == AST_OR) return item_bool(x->b || z->b);
    if (x->kind == ITEM_LIST) return list_arithmetic(build, ast, op, x, z);
    if (x->kind == ITEM_TYPE && z->kind == ITEM_LIST && op == AST_ADD) return longer_type(build, ast, x->type, z->list);
    if (x->kind == ITEM_STRING && z->kind == ITEM_STRING && op == AST_ADD) return join_strings(build, ast, x->s, z->s);
    return wrong_operands(build, ast, op, x, z);
}

struct item eval_binary_items(struct build *build, struct ast *ast, enum ast_op op, struct item x, struct item z)
{
    if (item_is_error(&x)) return x;
    if (item_is_error(&z)) return z;
    bool none = x.kind == ITEM_NONE || z.kind == ITEM_NONE; /* x == none: whether it was given */
    if (none && (op == AST_EQ || op == AST_NE)) return item_bool((x.kind == z.kind) == (op == AST_EQ));
    if (x.kind != ITEM_TENSOR && z.kind != ITEM_TENSOR) return number_arithmetic(build, ast, op, &x, &z);
    struct item pair[2] = {x, z};
    enum dtype dt = items_dtype(2, pair);
    struct value *in[2];
    for (int i = 0; i < 2; i++)
        if (!(in[i] = item_to_tensor(build, ast, &pair[i], dt))) return (struct item){.kind = ITEM_ERROR};
    const struct operator_row *row = &operators[op];
    struct graph *graph = build->region->graph;
    build_at(build, ast);
    struct value *y = graph_binary(graph, row->op, in[row->swap], in[!row->swap]);
    return item_tensor(row->negate ? graph_unary(graph, OP_not, y) : y);
}

/* && and || on bools stop early; on tensors they are nodes. */
static struct item eval_binary(struct build *build, struct ast *ast)
{
    struct item x = eval(build, ast->kid[0]);
    if (x.kind == ITEM_BOOL && ((ast->op == AST_AND && !x.b) || (ast->op == AST_OR && x.b))) return x;
    return eval_binary_items(build, ast, ast->op, x, eval(build, ast->kid[1]));
}

bool eval_number_function(struct build *build, struct ast *ast, const char *name, int n, const struct item *x,
                          struct item *y)
{
    static const struct {
        const char *name;
        double (*apply)(double);
    } functions[] = {{"sqrt", sqrt}, {"exp", exp}, {"log", log}, {"tanh", tanh}, {"sin", sin}, {"cos", cos}};
    struct dims *dims = build->region->graph->dims;
    for (int i = 0; i < n; i++)
        if (!item_is_number(&x[i]) || x[i].kind == ITEM_BOOL || x[i].kind == ITEM_BIG) return false;
    bool integers = n == 2 && x[0].kind == ITEM_INT && x[1].kind == ITEM_INT, least = !strcmp(name, "min");
    bool known = true;
    for (int i = 0; i < n; i++) known &= x[i].kind == ITEM_FLOAT || dim_is_const(x[i].i);
    if (least || !strcmp(name, "max")) {
        if (integers) return *y = item_int(least ? dim_min(dims, x[0].i, x[1].i) : dim_max(dims, x[0].i, x[1].i)), true;
        if (n != 2 || !known) return false;
        double a = as_double(&x[0]), b = as_double(&x[1]);
        return *y = item_float((a < b) == least ? a : b), true;
    }
    if (n != 1 || !known) return false;
    if (!strcmp(name, "abs"))
        return *y = x->kind == ITEM_INT ? item_int(x->i < 0 ? -x->i : x->i) : item_float(fabs(x->f)), true;
    if (!strcmp(name, "floor") || !strcmp(name, "ceil")) {
        double v = name[0] == 'f' ? floor(as_double(x)) : ceil(as_double(x));
        if (!(fabs(v) < 0x1p62)) return *y = build_fail(build, ast, "%s is no integer", item_words(build, x)), true;
        return *y = item_int((int64_t)v), true;
    }
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (!strcmp(functions[i].name, name)) return *y = item_float(functions[i].apply(as_double(x))), true;
    return false;
}

static struct item eval_kind(struct build *build, struct ast *ast)
{
    switch (ast->kind) {
    case AST_NAME: return eval_name(build, ast);
    case AST_INT: return eval_integer(ast);
    case AST_FLOAT: return item_float(ast->real);
    case AST_STRING: return item_string(ast->text);
    case AST_BOOL: return item_bool(ast->number != 0);
    case AST_LIST: return eval_list(build, ast);
    case AST_EACH: return eval_each(build, ast);
    case AST_UNARY: return eval_unary_items(build, ast, ast->op, eval(build, ast->kid[0]));
    case AST_BINARY: return eval_binary(build, ast);
    case AST_CALL: return eval_call(build, ast);
    case AST_INDEX: return eval_subscript(build, ast);
    case AST_IF: return eval_if(build, ast, false);
    case AST_WHILE: return eval_while(build, ast);
    case AST_SCAN: return eval_scan(build, ast);
    case AST_GRAPH: return eval_graph(build, ast);
    case AST_TYPED: return build_fail(build, ast, "a type may stand here only for what is assigned");
    case AST_BLOCK:
    case AST_IMPORT:
    case AST_DIM:
    case AST_DEF:
    case AST_MODEL:
    case AST_WEIGHTS:
    case AST_ASSIGN:
    case AST_PARAM:
    case AST_CONST:
    case AST_RETURN:
    case AST_YIELD:
    case AST_FOR:
    case AST_PLACE:
    case AST_LET:
    case AST_FORMAL:
    case AST_NAMED:
    case AST_SLICE:
    case AST_BINDING:
    case AST_SEQUENCE: break;
    }
    return build_fail(build, ast, "this is no expression");
}

struct item eval(struct build *build, struct ast *ast)
{
    if (diag_full(build->diag)) return (struct item){.kind = ITEM_ERROR};
    if (++build->depth > EVAL_DEPTH_MOST) {
        build->depth--;
        return build_fail(build, ast, "expressions and calls are nested too deeply (more than %d levels)",
                          EVAL_DEPTH_MOST);
    }
    struct item item = eval_kind(build, ast);
    build->depth--;
    return item;
}
