/* Calls of operators: arguments become inputs and attributes of a node.
 *
 * The table says which attributes an operator has, what an absent one is, and their order: arguments by position
 * behind the inputs are attributes in this order, so reshape(x, [2, 3]) reads well. One number stands for a list of
 * equal ones where a window has one entry per axis. Negative axes count from the end.
 */
#include "build.h"

#include <string.h>

enum fill {
    FILL_NEEDED,
    FILL_NUMBER, /* absent: `number` */
    FILL_STRING, /* absent: `string` */
    FILL_AXIS,   /* an axis; absent: an error */
    FILL_AXIS_0, /* an axis; absent: 0 */
    FILL_AXES,   /* a list of axes; absent: all */
    FILL_WINDOW, /* one per axis from 2 on; absent: `number` each */
    FILL_EVERY,  /* one per axis; absent: `number` each */
    FILL_AS_PAD, /* absent: as `pad` */
    FILL_REVERSE /* absent: all axes backwards */
};
static const struct attr_row {
    enum op op;
    const char *name;
    enum fill fill;
    int64_t number;
    const char *string;
} rows[] = {
    {OP_cast, "to", FILL_NEEDED, 0, NULL},
    {OP_bitcast, "to", FILL_NEEDED, 0, NULL},
    {OP_reshape, "shape", FILL_NEEDED, 0, NULL},
    {OP_broadcast, "shape", FILL_NEEDED, 0, NULL},
    {OP_transpose, "perm", FILL_REVERSE, 0, NULL},
    {OP_slice, "start", FILL_NEEDED, 0, NULL},
    {OP_slice, "size", FILL_NEEDED, 0, NULL},
    {OP_slice, "step", FILL_EVERY, 1, NULL},
    {OP_pad, "before", FILL_EVERY, 0, NULL},
    {OP_pad, "after", FILL_EVERY, 0, NULL},
    {OP_pad_edge, "before", FILL_EVERY, 0, NULL},
    {OP_pad_edge, "after", FILL_EVERY, 0, NULL},
    {OP_pad_reflect, "before", FILL_EVERY, 0, NULL},
    {OP_pad_reflect, "after", FILL_EVERY, 0, NULL},
    {OP_pad_wrap, "before", FILL_EVERY, 0, NULL},
    {OP_pad_wrap, "after", FILL_EVERY, 0, NULL},
    {OP_dilate, "stride", FILL_EVERY, 1, NULL},
    {OP_repeat, "times", FILL_EVERY, 1, NULL},
    {OP_concat, "axis", FILL_AXIS, 0, NULL},
    {OP_gather, "axis", FILL_AXIS_0, 0, NULL},
    {OP_gather, "batch", FILL_NUMBER, 0, NULL},
    {OP_gather_elements, "axis", FILL_AXIS, 0, NULL},
    {OP_scatter, "mode", FILL_STRING, 0, "set"},
    {OP_iota, "shape", FILL_NEEDED, 0, NULL},
    {OP_iota, "to", FILL_STRING, 0, "i64"},
    {OP_iota, "axis", FILL_AXIS_0, 0, NULL},
    {OP_iota, "start", FILL_NUMBER, 0, NULL},
    {OP_iota, "step", FILL_NUMBER, 1, NULL},
    {OP_sum, "axes", FILL_AXES, 0, NULL},
    {OP_prod, "axes", FILL_AXES, 0, NULL},
    {OP_sum_square, "axes", FILL_AXES, 0, NULL},
    {OP_reduce_min, "axes", FILL_AXES, 0, NULL},
    {OP_reduce_max, "axes", FILL_AXES, 0, NULL},
    {OP_find_first, "axis", FILL_AXIS, 0, NULL},
    {OP_find_last, "axis", FILL_AXIS, 0, NULL},
    {OP_cumsum, "axis", FILL_AXIS, 0, NULL},
    {OP_cumsum, "inclusive", FILL_NUMBER, 1, NULL},
    {OP_cumprod, "axis", FILL_AXIS, 0, NULL},
    {OP_cumprod, "inclusive", FILL_NUMBER, 1, NULL},
    {OP_pool_max, "kernel", FILL_WINDOW, 0, NULL},
    {OP_pool_max, "stride", FILL_WINDOW, 1, NULL},
    {OP_pool_max, "pad", FILL_WINDOW, 0, NULL},
    {OP_pool_max, "pad_after", FILL_AS_PAD, 0, NULL},
    {OP_pool_max, "dilation", FILL_WINDOW, 1, NULL},
    {OP_pool_sum, "kernel", FILL_WINDOW, 0, NULL},
    {OP_pool_sum, "stride", FILL_WINDOW, 1, NULL},
    {OP_pool_sum, "pad", FILL_WINDOW, 0, NULL},
    {OP_pool_sum, "pad_after", FILL_AS_PAD, 0, NULL},
    {OP_pool_sum, "dilation", FILL_WINDOW, 1, NULL},
    {OP_conv, "stride", FILL_WINDOW, 1, NULL},
    {OP_conv, "pad", FILL_WINDOW, 0, NULL},
    {OP_conv, "pad_after", FILL_AS_PAD, 0, NULL},
    {OP_conv, "dilation", FILL_WINDOW, 1, NULL},
    {OP_conv, "group", FILL_NUMBER, 1, NULL},
    {OP_if, "then", FILL_NEEDED, 0, NULL},
    {OP_if, "else", FILL_NEEDED, 0, NULL},
    {OP_loop, "body", FILL_NEEDED, 0, NULL},
    {OP_loop, "n_carried", FILL_NEEDED, 0, NULL},
    {OP_scan, "body", FILL_NEEDED, 0, NULL},
    {OP_scan, "n_states", FILL_NEEDED, 0, NULL},
    {OP_scan, "n_sequences", FILL_NEEDED, 0, NULL},
    {OP_top_k, "k", FILL_NEEDED, 0, NULL},
    {OP_top_k, "largest", FILL_NUMBER, 1, NULL},
    {OP_top_k, "sorted", FILL_NUMBER, 1, NULL},
};
enum { N_ROWS = sizeof rows / sizeof *rows };

struct op_call {
    struct build *build;
    struct ast *ast;
    enum op op;
    struct value **in;
    int n_in;
    struct attr *attrs;
    int n_attrs;
};

static const struct attr_row *row_of(enum op op, const char *name)
{
    for (int i = 0; i < N_ROWS; i++)
        if (rows[i].op == op && !strcmp(rows[i].name, name)) return &rows[i];
    return NULL;
}

static const struct attr *attr_of(const struct op_call *call, const char *name)
{
    for (int i = 0; i < call->n_attrs; i++)
        if (!strcmp(call->attrs[i].name, name)) return &call->attrs[i];
    return NULL;
}

static bool list_attr(struct op_call *call, const struct argument *argument, struct attr *attr)
{
    const struct item_list *list = argument->item.list;
    int64_t *ints = NEW_ARRAY(call->build->arena, int64_t, list->n + 1);
    for (int i = 0; i < list->n; i++) {
        if (list->at[i].kind != ITEM_INT)
            return build_fail(call->build, argument->ast, "'%s' must be a list of integers, found %s in it", attr->name,
                              item_kind_name(list->at[i].kind)),
                   false;
        ints[i] = list->at[i].i;
    }
    attr->kind = ATTR_INTS;
    attr->ints = ints;
    attr->n = list->n;
    return true;
}

static bool add_attr(struct op_call *call, const char *name, const struct argument *argument)
{
    struct attr attr = {.name = name, .kind = ATTR_INT};
    const struct item *item = &argument->item;
    switch (item->kind) {
    case ITEM_INT: attr.i = item->i; break;
    case ITEM_BOOL: attr.i = item->b; break;
    case ITEM_FLOAT: attr.kind = ATTR_FLOAT, attr.f = item->f; break;
    case ITEM_STRING: attr.kind = ATTR_STRING, attr.s = item->s; break;
    case ITEM_DTYPE: attr.kind = ATTR_STRING, attr.s = dtype_name(item->dt); break;
    case ITEM_GRAPH: attr.kind = ATTR_GRAPH, attr.graph = item->graph; break;
    case ITEM_LIST:
        if (!list_attr(call, argument, &attr)) return false;
        break;
    case ITEM_ERROR:
    case ITEM_NONE:
    case ITEM_TENSOR:
    case ITEM_BIG:
    case ITEM_TUPLE:
    case ITEM_TYPE:
    case ITEM_FUNCTION:
        build_fail(call->build, argument->ast, "the attribute '%s' cannot be %s", name, item_kind_name(item->kind));
        return false;
    }
    if (attr_of(call, name)) return build_fail(call->build, argument->ast, "'%s' is given twice", name), false;
    call->attrs[call->n_attrs++] = attr;
    return true;
}

static void unknown_attr(struct op_call *call, const struct argument *argument)
{
    const char *names[N_ROWS + 40];
    int n = 0;
    for (int i = 0; i < N_ROWS; i++)
        if (rows[i].op == call->op) names[n++] = rows[i].name;
    const struct function *function =
        op_row(call->op)->kind == OP_COMPOSITE ? prelude_function(call->build, op_row(call->op)->name) : NULL;
    for (int i = op_row(call->op)->least; function && i < function->ast->kid[0]->n && n < N_ROWS + 40; i++)
        names[n++] = function->ast->kid[0]->kid[i]->text;
    const char *near = diag_suggest(argument->name, names, n);
    build_fail(call->build, argument->ast, "%s has no attribute '%s'%s%s%s", op_row(call->op)->name, argument->name,
               near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

/* Whether the operator has the attribute: a composite those its function has, index notation and operators without
 * rows here (made by passes) any that the builder takes. */
static bool attr_allowed(struct op_call *call, const char *name)
{
    bool listed = op_row(call->op)->kind == OP_MAP;
    if (row_of(call->op, name)) return true;
    for (int i = 0; i < N_ROWS; i++) listed |= rows[i].op == call->op;
    if (!listed && op_row(call->op)->kind != OP_COMPOSITE) return true;
    if (op_row(call->op)->kind != OP_COMPOSITE) return false;
    const struct function *function = prelude_function(call->build, op_row(call->op)->name);
    for (int i = op_row(call->op)->least; function && i < function->ast->kid[0]->n; i++)
        if (!strcmp(function->ast->kid[0]->kid[i]->text, name)) return true;
    return false;
}

/* The name of the attribute at this position behind the inputs, or NULL. */
static const char *attr_at(struct op_call *call, int position)
{
    for (int i = 0; i < N_ROWS; i++)
        if (rows[i].op == call->op && position-- == 0) return rows[i].name;
    if (op_row(call->op)->kind != OP_COMPOSITE) return NULL;
    const struct function *function = prelude_function(call->build, op_row(call->op)->name);
    int at = op_row(call->op)->least + position;
    return function && at < function->ast->kid[0]->n ? function->ast->kid[0]->kid[at]->text : NULL;
}

static int rank_of(const struct op_call *call)
{
    const struct attr *shape = attr_of(call, "shape");
    return call->n_in ? call->in[0]->type.rank : shape && shape->kind == ATTR_INTS ? shape->n : 0;
}

/* A list of n equal entries where one integer (or nothing) was given. */
static void spread(struct op_call *call, struct attr *attr, int n, int64_t number)
{
    int64_t *ints = NEW_ARRAY(call->build->arena, int64_t, n + 1);
    for (int i = 0; i < n; i++) ints[i] = number;
    attr->kind = ATTR_INTS;
    attr->ints = ints;
    attr->n = n;
}

static void wrap_axes(struct op_call *call, struct attr *attr)
{
    int rank = rank_of(call);
    if (attr->kind == ATTR_INT && dim_is_const(attr->i) && attr->i < 0) attr->i += rank;
    if (attr->kind != ATTR_INTS) return;
    int64_t *ints = NEW_ARRAY(call->build->arena, int64_t, attr->n + 1);
    for (int i = 0; i < attr->n; i++)
        ints[i] = dim_is_const(attr->ints[i]) && attr->ints[i] < 0 ? attr->ints[i] + rank : attr->ints[i];
    attr->ints = ints;
}

/* Brings a given attribute into the form the builder wants, or fills in an absent one. */
static bool fill_attr(struct op_call *call, const struct attr_row *row)
{
    int rank = rank_of(call), window = rank > 2 ? rank - 2 : 0;
    struct attr *attr = (struct attr *)(uintptr_t)attr_of(call, row->name);
    bool absent = !attr;
    if (absent) {
        attr = &call->attrs[call->n_attrs++];
        *attr = (struct attr){.name = row->name, .kind = ATTR_INT, .i = row->number};
    }
    switch (row->fill) {
    case FILL_NEEDED: break;
    case FILL_NUMBER: return true;
    case FILL_STRING:
        if (absent) attr->kind = ATTR_STRING, attr->s = row->string;
        return true;
    case FILL_AXIS:
    case FILL_AXIS_0:
        wrap_axes(call, attr);
        absent &= row->fill == FILL_AXIS;
        break;
    case FILL_AXES:
        if (absent) {
            spread(call, attr, rank, 0);
            for (int i = 0; i < rank; i++) ((int64_t *)(uintptr_t)attr->ints)[i] = i;
        } else if (attr->kind == ATTR_INT) spread(call, attr, 1, attr->i);
        wrap_axes(call, attr);
        return true;
    case FILL_WINDOW:
    case FILL_EVERY:
        if (absent && row->number == 0 && !strcmp(row->name, "kernel")) break;
        if (attr->kind == ATTR_INT) spread(call, attr, row->fill == FILL_WINDOW ? window : rank, attr->i);
        return true;
    case FILL_AS_PAD:
        if (absent) *attr = *attr_of(call, "pad"), attr->name = row->name;
        else if (attr->kind == ATTR_INT) spread(call, attr, window, attr->i);
        return true;
    case FILL_REVERSE:
        if (absent) {
            spread(call, attr, rank, 0);
            for (int i = 0; i < rank; i++) ((int64_t *)(uintptr_t)attr->ints)[i] = rank - 1 - i;
        } else wrap_axes(call, attr);
        return true;
    }
    if (absent) build_fail(call->build, call->ast, "%s needs the attribute '%s'", op_row(call->op)->name, row->name);
    return !absent;
}

/* reshape(x, [2, -1]): the size that is left. */
static void infer_size(struct op_call *call)
{
    struct attr *attr = (struct attr *)(uintptr_t)attr_of(call, "shape");
    struct dims *dims = call->build->region->graph->dims;
    dim known = 1, size;
    int at = -1;
    for (int i = 0; attr->kind == ATTR_INTS && i < attr->n; i++) {
        if (attr->ints[i] == -1 && at < 0) at = i;
        else known = dim_mul(dims, known, attr->ints[i]);
    }
    if (at < 0 || !dim_divides(dims, type_elements(dims, &call->in[0]->type), known, &size)) return;
    int64_t *ints = arena_copy(call->build->arena, attr->ints, (size_t)attr->n * sizeof(int64_t));
    ints[at] = size;
    attr->ints = ints;
}

/* Element type that numbers among the inputs take. */
static enum dtype number_dtype(enum op op, int n, const struct argument *arguments, int input)
{
    struct item items[16];
    int m = 0;
    if (op == OP_gather || op == OP_gather_elements) return input == 1 ? DT_i64 : DT_COUNT;
    if (op == OP_select && input == 0) return DT_bool;
    if (op == OP_loop) return input == 0 ? DT_i64 : DT_COUNT;
    for (int i = op == OP_select ? 1 : 0; i < n && m < 16; i++) items[m++] = arguments[i].item;
    enum dtype dt = items_dtype(m, items);
    return dt == DT_COUNT && op_row(op)->shape == SHAPE_float ? DT_f32 : dt;
}

static bool add_inputs(struct op_call *call, int n, const struct argument *arguments)
{
    for (int i = 0; i < n; i++) {
        enum dtype dt = number_dtype(call->op, n, arguments, i);
        call->in[call->n_in] = item_to_tensor(call->build, arguments[i].ast, &arguments[i].item, dt);
        if (!call->in[call->n_in++]) return false;
    }
    return true;
}

/* concat([a, b], axis): a list as the inputs. */
static int spread_list(struct build *build, const struct op_row *row, int n, const struct argument **arguments)
{
    const struct argument *old = *arguments;
    if (row->most < 1000 || n == 0 || old[0].name || old[0].item.kind != ITEM_LIST) return n;
    const struct item_list *list = old[0].item.list;
    struct argument *fresh = NEW_ARRAY(build->arena, struct argument, list->n + n);
    for (int i = 0; i < list->n; i++) fresh[i] = (struct argument){NULL, list->at[i], old[0].ast};
    for (int i = 1; i < n; i++) fresh[list->n + i - 1] = old[i];
    *arguments = fresh;
    return list->n + n - 1;
}

/* How many of the first arguments are inputs: tensors, numbers and lists up to the operator's most. */
static int count_inputs(const struct op_row *row, int n, const struct argument *arguments)
{
    int most = 0;
    while (most < n && most < row->most && !arguments[most].name) most++;
    if (row->most < 1000 || row->kind == OP_CONTROL) return most;
    int tensors = 0; /* of any number of inputs: the tensors, what follows are attributes */
    while (tensors < most && arguments[tensors].item.kind == ITEM_TENSOR) tensors++;
    return tensors;
}

/* `keep: true` of a reduction: the reduced axes stay with size 1. Takes the argument out. */
static bool take_keep(struct op_call *call, int *n, const struct argument **arguments)
{
    if (op_row(call->op)->shape != SHAPE_reduce) return false;
    for (int i = 0; i < *n; i++) {
        if (!(*arguments)[i].name || strcmp((*arguments)[i].name, "keep") != 0 ||
            (*arguments)[i].item.kind != ITEM_BOOL)
            continue;
        bool keep = (*arguments)[i].item.b;
        struct argument *fresh = arena_copy(call->build->arena, *arguments, (size_t)*n * sizeof **arguments);
        memmove(fresh + i, fresh + i + 1, (size_t)(*n - i - 1) * sizeof *fresh);
        *arguments = fresh;
        --*n;
        return keep;
    }
    return false;
}

static struct item make_node(struct op_call *call, bool keep)
{
    struct build *build = call->build;
    struct graph *graph = build->region->graph;
    build_at(build, call->ast);
    if (call->op == OP_matmul) return item_tensor(graph_matmul(graph, call->in[0], call->in[1]));
    if (call->op == OP_broadcast && attr_of(call, "shape")->kind == ATTR_INTS)
        return item_tensor(
            graph_broadcast(graph, call->in[0], attr_of(call, "shape")->n, attr_of(call, "shape")->ints));
    if (keep) {
        const struct attr *axes = attr_of(call, "axes");
        if (axes->kind == ATTR_INTS)
            return item_tensor(graph_reduce(graph, call->op, call->in[0], axes->n, axes->ints, true));
    }
    struct value *y = graph_node(graph, call->op, call->n_in, call->in, call->n_attrs, call->attrs);
    if (!y) return (struct item){.kind = ITEM_ERROR};
    if (y->node->n_out == 1 || &y->node->out[0] != y) return item_tensor(y);
    struct item *items = NEW_ARRAY(build->arena, struct item, y->node->n_out + 1);
    for (int i = 0; i < y->node->n_out; i++) items[i] = item_tensor(&y->node->out[i]);
    return item_list(build, ITEM_TUPLE, y->node->n_out, items);
}

struct item call_op(struct build *build, struct ast *ast, enum op op, int n, const struct argument *arguments)
{
    const struct op_row *row = op_row(op);
    struct op_call call = {.build = build, .ast = ast, .op = op};
    struct item error = {.kind = ITEM_ERROR};
    n = spread_list(build, row, n, &arguments);
    bool keep = take_keep(&call, &n, &arguments);
    int n_in = count_inputs(row, n, arguments);
    if (n_in < row->least)
        return build_fail(build, ast, "%s takes %d input%s, %d given", row->name, row->least,
                          row->least == 1 ? "" : "s", n_in);
    call.in = NEW_ARRAY(build->arena, struct value *, n_in + 1);
    call.attrs = NEW_ARRAY(build->arena, struct attr, n + 16);
    if (!add_inputs(&call, n_in, arguments)) return error;
    for (int i = n_in; i < n; i++) {
        const char *name = arguments[i].name ? arguments[i].name : attr_at(&call, i - n_in);
        if (!name)
            return build_fail(build, arguments[i].ast, "too many arguments: %s takes %d, %d are given", row->name, i,
                              n);
        if (!attr_allowed(&call, name)) return unknown_attr(&call, &arguments[i]), error;
        if (!add_attr(&call, name, &arguments[i])) return error;
    }
    for (int i = 0; i < N_ROWS; i++)
        if (rows[i].op == op && !fill_attr(&call, &rows[i])) return error;
    struct attr *axis = (struct attr *)(uintptr_t)attr_of(&call, "axis");
    if (row->kind == OP_COMPOSITE && axis) wrap_axes(&call, axis);
    if (op == OP_reshape) infer_size(&call);
    return make_node(&call, keep);
}
