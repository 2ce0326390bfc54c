/* Items: compile-time values, their words in messages, and numbers and lists as constant tensors.
 *
 * A number takes the element type that is asked for (the other operand's, a declared type's); without one an integer
 * becomes i64, a number with a point f32. What does not fit is refused, never rounded to another kind.
 */
#include "build.h"

#include <string.h>

const char *item_kind_name(enum item_kind kind)
{
    switch (kind) {
    case ITEM_ERROR: return "an error";
    case ITEM_NONE: return "nothing";
    case ITEM_TENSOR: return "a tensor";
    case ITEM_INT:
    case ITEM_BIG: return "an integer";
    case ITEM_FLOAT: return "a number";
    case ITEM_BOOL: return "a bool";
    case ITEM_STRING: return "a string";
    case ITEM_LIST: return "a list";
    case ITEM_TUPLE: return "several values";
    case ITEM_DTYPE: return "an element type";
    case ITEM_TYPE: return "a type";
    case ITEM_GRAPH: return "a graph";
    case ITEM_FUNCTION: return "a function";
    }
    return "?";
}

struct item item_tensor(struct value *value)
{
    return (struct item){.kind = value ? ITEM_TENSOR : ITEM_ERROR, .tensor = value};
}

struct item item_int(dim i)
{
    return (struct item){.kind = ITEM_INT, .i = i};
}

struct item item_float(double f)
{
    return (struct item){.kind = ITEM_FLOAT, .f = f};
}

struct item item_bool(bool b)
{
    return (struct item){.kind = ITEM_BOOL, .b = b};
}

struct item item_string(const char *s)
{
    return (struct item){.kind = ITEM_STRING, .s = s};
}

struct item item_list(struct build *build, enum item_kind kind, int n, const struct item *at)
{
    struct item_list *list = NEW(build->arena, struct item_list);
    list->n = n;
    list->at = arena_copy(build->arena, at, (size_t)n * sizeof *at);
    return (struct item){.kind = kind, .list = list};
}

bool item_is_number(const struct item *item)
{
    return item->kind == ITEM_INT || item->kind == ITEM_BIG || item->kind == ITEM_FLOAT || item->kind == ITEM_BOOL;
}

bool item_is_error(const struct item *item)
{
    return item->kind == ITEM_ERROR || (item->kind == ITEM_TENSOR && !item->tensor);
}

static void add_words(struct build *build, struct text *text, const struct item *item, int depth)
{
    struct dims *dims = build->region->graph->dims;
    switch (item->kind) {
    case ITEM_TENSOR: type_print(dims, text, &item->tensor->type); break;
    case ITEM_INT: dim_print(dims, text, item->i, false); break;
    case ITEM_BIG: text_printf(text, item->negative ? "%lld" : "%llu", (unsigned long long)item->big); break;
    case ITEM_FLOAT: text_double(text, item->f, false); break;
    case ITEM_BOOL: text_add(text, item->b ? "true" : "false"); break;
    case ITEM_STRING: text_quoted(text, item->s); break;
    case ITEM_DTYPE: text_add(text, dtype_name(item->dt)); break;
    case ITEM_TYPE: type_print(dims, text, item->type); break;
    case ITEM_FUNCTION: text_printf(text, "function %s", item->function->name); break;
    case ITEM_LIST:
    case ITEM_TUPLE:
        text_add(text, "[");
        for (int i = 0; i < item->list->n && i < 8 && depth < 3; i++) {
            if (i) text_add(text, ", ");
            add_words(build, text, &item->list->at[i], depth + 1);
        }
        text_add(text, item->list->n > 8 || depth >= 3 ? ", ...]" : "]");
        break;
    case ITEM_ERROR:
    case ITEM_NONE:
    case ITEM_GRAPH: text_add(text, item_kind_name(item->kind)); break;
    }
}

const char *item_words(struct build *build, const struct item *item)
{
    struct text text = {.arena = build->arena};
    add_words(build, &text, item, 0);
    return text_string(&text);
}

bool item_equal(const struct item *a, const struct item *b)
{
    if (a->kind != b->kind) return false;
    switch (a->kind) {
    case ITEM_TENSOR: return a->tensor == b->tensor;
    case ITEM_INT: return a->i == b->i;
    case ITEM_BIG: return a->big == b->big && a->negative == b->negative;
    case ITEM_FLOAT: return a->f == b->f;
    case ITEM_BOOL: return a->b == b->b;
    case ITEM_STRING: return !strcmp(a->s, b->s);
    case ITEM_DTYPE: return a->dt == b->dt;
    case ITEM_TYPE: return type_equal(a->type, b->type);
    case ITEM_GRAPH: return a->graph == b->graph;
    case ITEM_FUNCTION: return a->function == b->function;
    case ITEM_LIST:
    case ITEM_TUPLE:
        for (int i = 0; i < a->list->n && i < b->list->n; i++)
            if (!item_equal(&a->list->at[i], &b->list->at[i])) return false;
        return a->list->n == b->list->n;
    case ITEM_ERROR:
    case ITEM_NONE: return true;
    }
    return false;
}

int item_unpack(const struct item *item, const struct item **list)
{
    if (item->kind == ITEM_LIST || item->kind == ITEM_TUPLE) return *list = item->list->at, item->list->n;
    *list = item;
    return 1;
}

enum dtype items_dtype(int n, const struct item *items)
{
    for (int i = 0; i < n; i++)
        if (items[i].kind == ITEM_TENSOR && items[i].tensor) return items[i].tensor->type.dt;
    return DT_COUNT;
}

/* The number as an element of dt, little-endian in *bits; false where it does not fit. */
static bool encode(const struct item *item, enum dtype dt, uint64_t *bits)
{
    *bits = 0;
    if (item->kind == ITEM_BOOL || dt == DT_bool) {
        *bits = item->kind == ITEM_BOOL && item->b;
        return item->kind == ITEM_BOOL && dt == DT_bool;
    }
    if (dtype_is_float(dt)) {
        double d = item->kind == ITEM_FLOAT ? item->f
                   : item->kind == ITEM_INT ? (double)item->i
                   : item->negative         ? (double)(int64_t)item->big
                                            : (double)item->big;
        float f = (float)d;
        uint16_t half = dt == DT_f16 ? f16_from_float(f) : bf16_from_float(f);
        if (dt == DT_f64) memcpy(bits, &d, sizeof d);
        else if (dt == DT_f32) memcpy(bits, &f, sizeof f);
        else memcpy(bits, &half, sizeof half);
        return item->kind != ITEM_INT || dim_is_const(item->i);
    }
    if (item->kind == ITEM_FLOAT) return false;
    bool negative = item->kind == ITEM_BIG ? item->negative : item->i < 0;
    *bits = item->kind == ITEM_BIG ? item->big : (uint64_t)item->i;
    return negative ? (int64_t)*bits >= dtype_int_min(dt) : *bits <= dtype_int_max(dt);
}

enum { CONSTANT_ITEMS_MOST = 1 << 24 };

struct flat { /* a nested list as a shape and its numbers */
    struct type type;
    LIST(struct item) items;
    bool has_float, has_bool, has_symbol;
};

static bool flatten(struct build *build, struct ast *ast, const struct item *item, int axis, struct flat *flat)
{
    if (item->kind == ITEM_LIST) {
        if (axis == RANK_MOST) return build_fail(build, ast, "a list nested more than %d deep", RANK_MOST), false;
        bool first = axis == flat->type.rank && flat->items.n == 0;
        if (first) flat->type.dim[flat->type.rank++] = item->list->n;
        if (axis >= flat->type.rank || flat->type.dim[axis] != item->list->n)
            return build_fail(build, ast, "the lists of a constant have different lengths"), false;
        for (int i = 0; i < item->list->n; i++)
            if (!flatten(build, ast, &item->list->at[i], axis + 1, flat)) return false;
        return true;
    }
    if (item_is_error(item)) return false;
    if (!item_is_number(item))
        return build_fail(build, ast, "expected numbers, found %s", item_kind_name(item->kind)), false;
    if (axis != flat->type.rank) return build_fail(build, ast, "the lists of a constant have different lengths"), false;
    flat->has_float |= item->kind == ITEM_FLOAT;
    flat->has_bool |= item->kind == ITEM_BOOL;
    flat->has_symbol |= item->kind == ITEM_INT && !dim_is_const(item->i);
    LIST_PUSH(build->arena, &flat->items, *item);
    return true;
}

/* The constant of flat's numbers; one number fills the whole type. */
static struct value *make_constant(struct build *build, struct ast *ast, const struct flat *flat,
                                   const struct type *type)
{
    int64_t count = type_count(type), size = dtype_bytes(type->dt);
    if (count < 0 || count > CONSTANT_ITEMS_MOST) {
        build_fail(build, ast, "a constant cannot have the type %s",
                   type_string(build->region->graph->dims, build->arena, type));
        return NULL;
    }
    struct tensor tensor = {.type = *type, .n_bytes = count * size, .is_dims = flat->has_symbol};
    char *data = arena_alloc(build->arena, (size_t)tensor.n_bytes);
    tensor.data = data;
    for (int64_t i = 0; i < count; i++) {
        const struct item *item = &flat->items.at[flat->items.n == 1 ? 0 : i];
        uint64_t bits;
        bool symbol = item->kind == ITEM_INT && !dim_is_const(item->i) && type->dt == DT_i64;
        if (symbol) bits = (uint64_t)item->i;
        else if (!encode(item, type->dt, &bits)) {
            build_fail(build, ast, "%s does not fit the element type %s", item_words(build, item),
                       dtype_name(type->dt));
            return NULL;
        }
        memcpy(data + i * size, &bits, (size_t)size);
    }
    build_at(build, ast);
    return graph_const(build->region->graph, &tensor);
}

struct value *item_to_tensor(struct build *build, struct ast *ast, const struct item *item, enum dtype dt)
{
    if (item_is_error(item)) return NULL;
    if (item->kind == ITEM_TENSOR) return item->tensor;
    if (item->kind == ITEM_INT && !dim_is_const(item->i)) {
        build_at(build, ast);
        return graph_int(build->region->graph, dt == DT_COUNT ? DT_i64 : dt, item->i);
    }
    if (!item_is_number(item) && item->kind != ITEM_LIST) {
        build_fail(build, ast, "expected a tensor, found %s", item_kind_name(item->kind));
        return NULL;
    }
    struct flat flat = {.type.rank = 0};
    if (!flatten(build, ast, item, 0, &flat)) return NULL;
    flat.type.dt = dt != DT_COUNT ? dt : flat.has_float ? DT_f32 : flat.has_bool ? DT_bool : DT_i64;
    return make_constant(build, ast, &flat, &flat.type);
}

struct value *item_to_type(struct build *build, struct ast *ast, const struct item *item, const struct type *type)
{
    if (item_is_error(item)) return NULL; /* type may be none then */
    const char *wanted = type_string(build->region->graph->dims, build->arena, type);
    if (item->kind == ITEM_TENSOR) {
        if (type_equal(&item->tensor->type, type)) return item->tensor;
        build_fail(build, ast, "expected %s, found %s", wanted, item_words(build, item));
        return NULL;
    }
    if (!item_is_number(item) && item->kind != ITEM_LIST) {
        build_fail(build, ast, "expected %s, found %s", wanted, item_kind_name(item->kind));
        return NULL;
    }
    if (item->kind == ITEM_INT && !dim_is_const(item->i) && type->rank == 0)
        return item_to_tensor(build, ast, item, type->dt);
    struct flat flat = {.type.rank = 0};
    if (!flatten(build, ast, item, 0, &flat)) return NULL;
    int64_t count = type_count(type);
    bool fits = flat.type.rank == 0 || (count == flat.items.n && (flat.type.rank == 1 || flat.type.rank == type->rank));
    for (int i = 0; fits && flat.type.rank > 1 && i < type->rank; i++) fits = flat.type.dim[i] == type->dim[i];
    if (fits) return make_constant(build, ast, &flat, type);
    flat.type.dt = type->dt;
    build_fail(build, ast, "expected %s, found a list of shape %s", wanted,
               type_string(build->region->graph->dims, build->arena, &flat.type) + strlen(dtype_name(type->dt)));
    return NULL;
}
