/* if, while, scan and graph literals.
 *
 * A condition known while compiling chooses at once. Otherwise the blocks become closed subgraphs: each is built in a
 * region of its own, and what it reads from outside becomes inputs (region_import), constants are copied in.
 *
 *     y = if c { f(x) } else { x }              ->  y = op.if(c, x, then: graph(x) {...}, else: graph(x) {...})
 *     i, h = while (i = 0, h = x) i < n { i + 1, f(h) }
 *     h, ys = scan (h = h0, x in xs) { f(h, x), g(h) }
 */
#include "build.h"

#include <string.h>

static struct item failed(void)
{
    return (struct item){.kind = ITEM_ERROR};
}

/* A block's frame in `region`; leave_block goes back. */
struct block {
    struct region *outer_region;
    struct frame *outer_frame;
};

static struct block enter_block(struct build *build, struct region *region)
{
    struct block block = {build->region, build->frame};
    build->frame = build_frame(build, build->frame, region);
    build->frame->block = true;
    build->region = region;
    return block;
}

static void leave_block(struct build *build, struct block block)
{
    build->region = block.outer_region;
    build->frame = block.outer_frame;
}

/* Gives region inputs for all that other takes, in the same order; other's came first. */
static void take_same(struct build *build, struct region *region, const struct region *other)
{
    for (int i = 0; i < other->outer.n; i++) region_import(build, region, region->parent, other->outer.at[i]);
}

static struct item results(struct build *build, struct value *first)
{
    if (!first) return failed();
    struct node *node = first->node;
    struct item *items = NEW_ARRAY(build->arena, struct item, node->n_out + 1);
    for (int i = 0; i < node->n_out; i++) items[i] = item_tensor(&node->out[i]);
    return node->n_out == 1 ? items[0] : item_list(build, ITEM_TUPLE, node->n_out, items);
}

/* The condition as BOOL (known) or a bool[] tensor. */
static struct item eval_condition(struct build *build, struct ast *ast)
{
    struct item item = eval(build, ast);
    double known;
    if (item.kind == ITEM_BOOL || item_is_error(&item)) return item;
    if (item.kind != ITEM_TENSOR)
        return build_fail(build, ast, "a condition must be a bool, found %s", item_kind_name(item.kind));
    if (item.tensor->type.dt != DT_bool || item.tensor->type.rank != 0)
        return build_fail(build, ast, "a condition must be bool[], found %s", item_words(build, &item));
    return value_number(item.tensor, &known) ? item_bool(known != 0) : item;
}

/* One branch: its values, or (names is not NULL) none and its frame's variables. */
static struct item eval_branch(struct build *build, struct ast *ast, struct region *region, struct frame **frame)
{
    struct block block = enter_block(build, region);
    build_at(build, ast);
    struct item value = ast->kind == AST_IF ? eval_if(build, ast, frame != NULL) : eval_block(build, ast);
    if (frame) *frame = build->frame;
    leave_block(build, block);
    return value;
}

/* Two values of one result in their regions: numbers take the other's element type. */
static bool add_result(struct build *build, struct ast *ast, struct region *const region[2], struct item item[2],
                       const char *name)
{
    struct region *outer = build->region;
    enum dtype dt = items_dtype(2, item);
    struct value *value[2];
    if (dt == DT_COUNT && (item[0].kind == ITEM_FLOAT || item[1].kind == ITEM_FLOAT)) dt = DT_f32;
    for (int i = 0; i < 2; i++) {
        build->region = region[i];
        value[i] = item_to_tensor(build, ast, &item[i], dt);
    }
    build->region = outer;
    if (!value[0] || !value[1]) return false;
    if (!type_equal(&value[0]->type, &value[1]->type)) {
        struct item a = item_tensor(value[0]), b = item_tensor(value[1]);
        build_fail(build, ast, "the branches give %s and %s%s%s", item_words(build, &a), item_words(build, &b),
                   name[0] ? " for " : "", name);
        return false;
    }
    for (int i = 0; i < 2; i++) graph_output(region[i]->graph, name, value[i]);
    return true;
}

static struct item if_node(struct build *build, struct ast *ast, struct item condition, struct region *yes,
                           struct region *no)
{
    take_same(build, no, yes);
    take_same(build, yes, no);
    struct value **in = NEW_ARRAY(build->arena, struct value *, yes->outer.n + 1);
    in[0] = condition.tensor;
    for (int i = 0; i < yes->outer.n; i++) in[i + 1] = yes->outer.at[i];
    build_at(build, ast);
    return results(build, graph_node(build->region->graph, OP_if, yes->outer.n + 1, in, 2,
                                     (struct attr[]){ATTR_G("then", yes->graph), ATTR_G("else", no->graph)}));
}

/* The variables that both branches give a value: assigned in both, or in one and known before. */
static struct item assigning_if(struct build *build, struct ast *ast, struct item condition,
                                struct region *const region[2], struct frame *const frame[2])
{
    LIST(const char *) names = {0};
    for (int side = 0; side < 2; side++)
        for (int i = 0; frame[side] && i < frame[side]->order.n; i++) {
            const struct variable *own = frame[side]->order.at[i];
            const struct frame *other = frame[!side];
            if ((side == 1 && build_own(frame[0], own->name)) || own->item.kind == ITEM_FUNCTION ||
                item_is_error(&own->item))
                continue;
            struct item pair[2], found;
            pair[side] = own->item;
            struct frame *outer = build->frame;
            struct region *outer_region = build->region;
            build->region = region[!side];
            bool known = true;
            if (other && build_own(other, own->name)) pair[!side] = *build_own(other, own->name);
            else if (build_find(build, ast, own->name, &found)) pair[!side] = found;
            else known = false;
            build->frame = outer;
            build->region = outer_region;
            if (!known) continue;
            if (!add_result(build, ast, region, pair, own->name)) return failed();
            LIST_PUSH(build->arena, &names, own->name);
        }
    if (!names.n)
        return build_fail(build, ast, "this 'if' does nothing: its blocks assign no name that is used after it");
    struct item value = if_node(build, ast, condition, region[0], region[1]);
    const struct item *items;
    int n = item_unpack(&value, &items);
    for (int i = 0; i < names.n; i++)
        build_set(build, build->frame, names.at[i], n == names.n && !item_is_error(&value) ? items[i] : failed());
    return (struct item){.kind = ITEM_NONE};
}

struct item eval_if(struct build *build, struct ast *ast, bool statement)
{
    struct item condition = eval_condition(build, ast->kid[0]);
    struct ast *other = ast->n > 2 ? ast->kid[2] : NULL;
    if (item_is_error(&condition)) return failed();
    if (condition.kind == ITEM_BOOL) {
        struct ast *chosen = condition.b ? ast->kid[1] : other;
        if (!chosen) return (struct item){.kind = ITEM_NONE};
        return chosen->kind == AST_IF ? eval_if(build, chosen, statement) : eval_block(build, chosen);
    }
    struct region *region[2] = {region_new(build, ast, "then", false), region_new(build, ast, "else", false)};
    struct frame *frame[2] = {NULL, NULL};
    if (!region[0] || !region[1]) return failed();
    if (!statement && !other) return build_fail(build, ast, "an 'if' whose value is used needs an 'else'");
    int before = diag_errors(build->diag);
    struct item value[2] = {eval_branch(build, ast->kid[1], region[0], statement ? &frame[0] : NULL),
                            {.kind = ITEM_NONE}};
    take_same(build, region[1], region[0]);
    if (other) value[1] = eval_branch(build, other, region[1], statement ? &frame[1] : NULL);
    if (diag_errors(build->diag) > before) return failed();
    if (statement) return assigning_if(build, ast, condition, region, frame);
    if (item_is_error(&value[0]) || item_is_error(&value[1])) return failed();
    const struct item *items[2];
    int n[2];
    for (int i = 0; i < 2; i++) {
        n[i] = item_unpack(&value[i], &items[i]);
        if (value[i].kind == ITEM_NONE)
            return build_fail(build, ast, "a branch of this 'if' has no value; its last line must be an expression");
    }
    if (n[0] != n[1]) return build_fail(build, ast, "the branches give %d and %d values", n[0], n[1]);
    for (int i = 0; i < n[0]; i++)
        if (!add_result(build, ast, region, (struct item[2]){items[0][i], items[1][i]}, "")) return failed();
    return if_node(build, ast, condition, region[0], region[1]);
}

/* Start values of while and scan as tensors; false after an error. */
static bool eval_bindings(struct build *build, struct ast *list, struct value **in)
{
    bool ok = true;
    for (int i = 0; i < list->n; i++) {
        struct ast *binding = list->kid[i];
        struct item item = eval(build, binding->kid[0]);
        struct type type;
        if (binding->kind == AST_BINDING && binding->n > 1 && binding->kid[1])
            in[i] = eval_type(build, binding->kid[1], &type) ? item_to_type(build, binding, &item, &type) : NULL;
        else in[i] = item_to_tensor(build, binding, &item, DT_COUNT);
        ok &= in[i] != NULL;
    }
    return ok;
}

/* The block's values as tensors in the current region; the first n_types as the carried types. Their number or -1. */
static int block_values(struct build *build, struct ast *ast, const struct item *value, int n_types,
                        struct value *const *carried, struct value ***out)
{
    const struct item *items;
    int n = item_unpack(value, &items);
    if (item_is_error(value)) return -1;
    if (value->kind == ITEM_NONE) n = 0;
    if (n < n_types) {
        build_fail(build, ast, "the block gives %d values, %d are carried", n, n_types);
        return -1;
    }
    *out = NEW_ARRAY(build->arena, struct value *, n + 1);
    for (int i = 0; i < n; i++) {
        enum dtype dt = i < n_types ? carried[i]->type.dt : DT_COUNT;
        if (!((*out)[i] = item_to_tensor(build, ast, &items[i], dt))) return -1;
        if (i >= n_types || type_equal(&(*out)[i]->type, &carried[i]->type)) continue;
        struct item before = item_tensor(carried[i]), after = item_tensor((*out)[i]);
        build_fail(build, ast, "carried value %d is %s at first and %s after a round", i + 1,
                   item_words(build, &before), item_words(build, &after));
        return -1;
    }
    return n;
}

static void bind_names(struct build *build, struct ast *list, struct value *const *values)
{
    for (int i = 0; i < list->n; i++) build_set(build, build->frame, list->kid[i]->text, item_tensor(values[i]));
}

/* The condition with the carried names at these values, as bool[]. */
static struct value *condition_with(struct build *build, struct ast *list, struct ast *condition,
                                    struct value *const *values)
{
    struct block block = enter_block(build, build->region);
    bind_names(build, list, values);
    struct item item = eval_condition(build, condition);
    struct value *value = item_to_tensor(build, condition, &item, DT_bool);
    leave_block(build, block);
    return value;
}

/* The body of a while as a closed graph: (i, cond, carried...) -> (cond, carried...). False after an error. */
static bool while_body(struct build *build, struct ast *ast, struct region *region, int n, struct value *const *carried)
{
    struct ast *list = ast->kid[0];
    struct value **inner = NEW_ARRAY(build->arena, struct value *, n + 1), **out;
    graph_input(region->graph, "i", &(struct type){.dt = DT_i64});
    graph_input(region->graph, "go", &(struct type){.dt = DT_bool});
    for (int i = 0; i < n; i++) inner[i] = graph_input(region->graph, list->kid[i]->text, &carried[i]->type);
    struct block block = enter_block(build, region);
    bind_names(build, list, inner);
    struct item value = eval_block(build, ast->kid[2]);
    int got = block_values(build, ast->kid[2], &value, n, carried, &out);
    if (got > n) build_fail(build, ast->kid[2], "the block gives %d values, %d are carried", got, n);
    leave_block(build, block);
    if (got != n) return false;
    /* the condition sees the names from outside with the new values, not what the body called so */
    build->region = region;
    struct value *go = condition_with(build, list, ast->kid[1], out);
    build->region = block.outer_region;
    graph_output(region->graph, "go", go);
    for (int i = 0; i < n; i++) graph_output(region->graph, list->kid[i]->text, out[i]);
    return go != NULL;
}

struct item eval_while(struct build *build, struct ast *ast)
{
    struct ast *list = ast->kid[0];
    int n = list->n;
    struct value **carried = NEW_ARRAY(build->arena, struct value *, n + 1);
    for (int i = 0; i < n; i++)
        if (list->kid[i]->kind != AST_BINDING)
            return build_fail(build, list->kid[i], "while carries values, as in (i = 0); 'in' belongs to scan");
    if (!eval_bindings(build, list, carried)) return failed();
    struct value *go = condition_with(build, list, ast->kid[1], carried);
    struct region *region = region_new(build, ast, "body", false);
    if (!go || !region || !while_body(build, ast, region, n, carried)) return failed();
    struct value **in = NEW_ARRAY(build->arena, struct value *, n + region->outer.n + 2);
    build_at(build, ast);
    in[0] = graph_int(build->region->graph, DT_i64, INT64_MAX);
    in[1] = go;
    for (int i = 0; i < n; i++) in[2 + i] = carried[i];
    for (int i = 0; i < region->outer.n; i++) in[2 + n + i] = region->outer.at[i];
    return results(build, graph_node(build->region->graph, OP_loop, 2 + n + region->outer.n, in, 2,
                                     (struct attr[]){ATTR_I("n_carried", n), ATTR_G("body", region->graph)}));
}

/* Type of one element of a sequence; false after an error. */
static bool element_type(struct build *build, struct ast *ast, const struct value *sequence, struct type *type)
{
    *type = sequence->type;
    if (type->rank == 0) return build_fail(build, ast, "'%s' runs along a scalar", ast->text), false;
    type->rank--;
    memmove(type->dim, type->dim + 1, sizeof type->dim - sizeof type->dim[0]);
    return true;
}

struct item eval_scan(struct build *build, struct ast *ast)
{
    struct ast *list = ast->kid[0];
    int n = list->n, n_states = 0;
    struct value **in = NEW_ARRAY(build->arena, struct value *, n + 1),
                 **inner = NEW_ARRAY(build->arena, struct value *, n + 1), **out;
    while (n_states < n && list->kid[n_states]->kind == AST_BINDING) n_states++;
    for (int i = n_states; i < n; i++)
        if (list->kid[i]->kind == AST_BINDING)
            return build_fail(build, list->kid[i], "carried values come before the sequences (name in ...)");
    if (n_states == n) return build_fail(build, ast, "scan needs a sequence to run along, as in (h = h0, x in xs)");
    if (!eval_bindings(build, list, in)) return failed();
    struct region *region = region_new(build, ast, "body", false);
    if (!region) return failed();
    for (int i = 0; i < n; i++) {
        struct type type = in[i]->type;
        if (i >= n_states && !element_type(build, list->kid[i], in[i], &type)) return failed();
        inner[i] = graph_input(region->graph, list->kid[i]->text, &type);
    }
    struct block block = enter_block(build, region);
    bind_names(build, list, inner);
    struct item value = eval_block(build, ast->kid[1]);
    int got = block_values(build, ast->kid[1], &value, n_states, in, &out);
    leave_block(build, block);
    if (got < 0) return failed();
    for (int i = 0; i < got; i++) graph_output(region->graph, i < n_states ? list->kid[i]->text : "y", out[i]);
    struct value **all = NEW_ARRAY(build->arena, struct value *, n + region->outer.n + 1);
    for (int i = 0; i < n; i++) all[i] = in[i];
    for (int i = 0; i < region->outer.n; i++) all[n + i] = region->outer.at[i];
    build_at(build, ast);
    return results(build, graph_node(build->region->graph, OP_scan, n + region->outer.n, all, 3,
                                     (struct attr[]){ATTR_I("n_states", n_states), ATTR_I("n_sequences", n - n_states),
                                                     ATTR_G("body", region->graph)}));
}

/* graph(x: f32[2]) { ... return y }: a closed subgraph as an attribute. */
struct item eval_graph(struct build *build, struct ast *ast)
{
    struct ast *formals = ast->kid[0];
    struct region *region = region_new(build, ast, "graph", true);
    if (!region) return failed();
    struct block block = enter_block(build, region);
    build->frame->block = false;
    bool ok = true;
    for (int i = 0; i < formals->n; i++) {
        struct type type;
        struct ast *formal = formals->kid[i];
        if (!formal->kid[0]) build_fail(build, formal, "'%s' needs a type", formal->text), ok = false;
        else if (!eval_type(build, formal->kid[0], &type)) ok = false;
        else {
            build_at(build, formal);
            struct item item = item_tensor(graph_input(region->graph, formal->text, &type));
            ok &= !item_is_error(&item);
            build_set(build, build->frame, formal->text, item);
        }
    }
    struct item value = ok ? eval_block(build, ast->kid[1]) : failed();
    if (build->frame->returned) value = build->frame->result;
    struct value **out;
    int n = ok ? block_values(build, ast, &value, 0, NULL, &out) : -1;
    for (int i = 0; i < n; i++) graph_output(region->graph, "", out[i]);
    leave_block(build, block);
    return n < 0 ? failed() : (struct item){.kind = ITEM_GRAPH, .graph = region->graph};
}
