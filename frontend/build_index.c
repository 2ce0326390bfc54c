/* Subscripts, and index notation (`let`).
 *
 * x[1:3, :, -1] slices a tensor (an integer takes its axis away; a tensor of indices gathers); the same brackets take
 * items of lists, and make types of element types.
 *
 * `let y[n, o] += x[n, k] * w[o, k]` becomes an index node: tensors are renamed x0, x1 ... in order of appearance, and
 * capitals (sizes known while compiling) become attributes.
 */
#include "build.h"

#include <ctype.h>
#include <string.h>

static struct item make_type(struct build *build, enum dtype dt, struct ast *subscripts)
{
    struct type *type = NEW(build->arena, struct type);
    type->dt = dt;
    if (subscripts->n > RANK_MOST) return build_fail(build, subscripts, "a type has at most %d axes", RANK_MOST);
    for (int i = 0; i < subscripts->n; i++) {
        if (subscripts->kid[i]->kind == AST_SLICE)
            return build_fail(build, subscripts->kid[i], "expected a size, found a range");
        if (!eval_int(build, subscripts->kid[i], &type->dim[i])) return (struct item){.kind = ITEM_ERROR};
        if (dim_hi(build->region->graph->dims, type->dim[i]) < 0)
            return build_fail(build, subscripts->kid[i], "a size cannot be negative");
    }
    type->rank = subscripts->n;
    return (struct item){.kind = ITEM_TYPE, .type = type};
}

/* Part `at` of a slice, `otherwise` where it is left out; from the end where it is negative. */
static bool slice_part(struct build *build, struct ast *slice, int at, dim size, dim otherwise, dim *part)
{
    *part = otherwise;
    if (!slice->kid[at]) return true;
    if (!eval_int(build, slice->kid[at], part)) return false;
    if (at < 2 && dim_is_const(*part) && *part < 0) *part = dim_add(build->region->graph->dims, size, *part);
    if (at < 2 && dim_is_const(*part) && dim_is_const(size)) *part = *part < 0 ? 0 : *part > size ? size : *part;
    return true;
}

/* from, step and number of elements of a slice of an axis. */
static bool slice_range(struct build *build, struct ast *slice, dim size, dim *from, int64_t *step, dim *n)
{
    struct dims *dims = build->region->graph->dims;
    dim to;
    if (!slice_part(build, slice, 2, size, 1, step)) return false;
    if (!dim_is_const(*step) || *step == 0)
        return build_fail(build, slice, "the step of a slice must be a number other than 0"), false;
    if (*step < 0 && (slice->kid[0] || slice->kid[1]))
        return build_fail(build, slice, "a slice that runs backwards takes the whole axis: [::%lld]", (long long)*step),
               false;
    if (*step < 0) {
        *from = dim_sub(dims, size, 1);
        *n = dim_ceil_div(dims, size, -*step);
        return true;
    }
    if (!slice_part(build, slice, 0, size, 0, from) || !slice_part(build, slice, 1, size, size, &to)) return false;
    dim length = dim_sub(dims, to, *from);
    *n = dim_hi(dims, length) <= 0 ? 0 : dim_ceil_div(dims, length, *step);
    return true;
}

static struct item slice_tensor(struct build *build, struct ast *ast, struct value *x)
{
    struct ast *subscripts = ast->kid[1];
    struct graph *graph = build->region->graph;
    struct value *gathered[RANK_MOST] = {NULL};
    dim from[RANK_MOST], n[RANK_MOST], kept[RANK_MOST];
    int64_t step[RANK_MOST];
    int rank = 0;
    if (subscripts->n > x->type.rank)
        return build_fail(build, ast, "%d subscripts for %s", subscripts->n,
                          type_string(graph->dims, build->arena, &x->type));
    for (int i = 0; i < x->type.rank; i++) {
        struct ast *part = i < subscripts->n ? subscripts->kid[i] : NULL;
        from[i] = 0, step[i] = 1, n[i] = x->type.dim[i];
        bool whole = !part || part->kind == AST_SLICE;
        if (part && whole && !slice_range(build, part, x->type.dim[i], &from[i], &step[i], &n[i]))
            return (struct item){.kind = ITEM_ERROR};
        struct item item = whole ? item_int(0) : eval(build, part);
        if (item_is_error(&item)) return item;
        if (!whole && item.kind == ITEM_LIST) item = item_tensor(item_to_tensor(build, part, &item, DT_i64));
        if (item.kind == ITEM_TENSOR) gathered[i] = item.tensor;
        else if (item.kind != ITEM_INT)
            return build_fail(build, part, "a subscript must be an integer, a range or a tensor of indices, found %s",
                              item_kind_name(item.kind));
        else if (!whole)
            from[i] = dim_is_const(item.i) && item.i < 0 ? dim_add(graph->dims, n[i], item.i) : item.i, n[i] = 1;
        if (whole || item.kind == ITEM_TENSOR) kept[rank++] = n[i];
    }
    build_at(build, ast);
    struct value *y = graph_slice(graph, x, from, step, n);
    if (rank < x->type.rank) y = graph_reshape(graph, y, rank, kept);
    int axis = rank;
    for (int i = x->type.rank - 1; i >= 0; i--) { /* from the last: a gather changes the axes behind it only */
        bool dropped = i < subscripts->n && subscripts->kid[i]->kind != AST_SLICE && !gathered[i];
        if (dropped) continue;
        axis--;
        if (gathered[i]) y = graph_gather(graph, y, gathered[i], axis, 0);
    }
    return item_tensor(y);
}

static struct item list_item(struct build *build, struct ast *ast, const struct item_list *list)
{
    struct ast *subscripts = ast->kid[1];
    if (subscripts->n != 1) return build_fail(build, ast, "a list takes one subscript");
    struct ast *part = subscripts->kid[0];
    if (part->kind == AST_SLICE) {
        dim from, n;
        int64_t step;
        if (!slice_range(build, part, list->n, &from, &step, &n)) return (struct item){.kind = ITEM_ERROR};
        if (!dim_is_const(from) || !dim_is_const(n))
            return build_fail(build, part, "the range of a list must be plain numbers");
        struct item *items = NEW_ARRAY(build->arena, struct item, n + 1);
        for (int64_t i = 0; i < n; i++) items[i] = list->at[from + i * step];
        return item_list(build, ITEM_LIST, (int)n, items);
    }
    int64_t i;
    if (!eval_int(build, part, &i)) return (struct item){.kind = ITEM_ERROR};
    if (dim_is_const(i) && i < 0) i += list->n;
    if (!dim_is_const(i) || i < 0 || i >= list->n)
        return build_fail(build, part, "the list has %d items, item %s is asked for", list->n,
                          item_words(build, &(struct item){.kind = ITEM_INT, .i = i}));
    return list->at[i];
}

struct item eval_subscript(struct build *build, struct ast *ast)
{
    struct item x = eval(build, ast->kid[0]);
    if (item_is_error(&x)) return x;
    if (x.kind == ITEM_DTYPE) return make_type(build, x.dt, ast->kid[1]);
    if (x.kind == ITEM_LIST) return list_item(build, ast, x.list);
    if (x.kind == ITEM_TENSOR) return slice_tensor(build, ast, x.tensor);
    return build_fail(build, ast, "%s has no subscripts", item_kind_name(x.kind));
}

/* Index notation being translated. */
struct notation {
    struct build *build;
    struct ast *ast;
    const char *at;
    struct text text;
    struct value *in[8];
    const char *name[8];
    int n_in;
    struct attr attrs[17];
    int n_attrs;
    bool failed;
};

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

#define FAIL(notation, ...)                                                                                            \
    do {                                                                                                               \
        if (!(notation)->failed) build_fail((notation)->build, (notation)->ast, __VA_ARGS__);                          \
        (notation)->failed = true;                                                                                     \
    } while (0)

/* The input number of the tensor called name. */
static int add_input(struct notation *notation, const char *name)
{
    struct item item;
    for (int i = 0; i < notation->n_in; i++)
        if (!strcmp(notation->name[i], name)) return i;
    if (notation->n_in == 8) FAIL(notation, "index notation reads more than 8 tensors");
    else if (!build_find(notation->build, notation->ast, name, &item)) FAIL(notation, "'%s' is not defined", name);
    else {
        struct value *value = item_to_tensor(notation->build, notation->ast, &item, DT_COUNT);
        if (!value) notation->failed = true;
        notation->name[notation->n_in] = name;
        notation->in[notation->n_in] = value;
        return notation->n_in++;
    }
    return 0;
}

/* A capital: an integer (or list) known while compiling. */
static void add_attribute(struct notation *notation, const char *name)
{
    struct item item;
    char *lower = arena_strdup(notation->build->arena, name);
    for (char *p = lower; *p; p++) *p = (char)tolower((unsigned char)*p);
    for (int i = 0; i < notation->n_attrs; i++)
        if (!strcmp(notation->attrs[i].name, lower)) return;
    dim d;
    struct attr attr = {.name = lower, .kind = ATTR_INT};
    if (dim_find_symbol(notation->build->region->graph->dims, name, &d)) attr.i = d;
    else if (!build_find(notation->build, notation->ast, name, &item)) {
        FAIL(notation, "'%s' is not defined; in index notation capitals are sizes known while compiling", name);
        return;
    } else if (item.kind == ITEM_INT) attr.i = item.i;
    else {
        FAIL(notation, "'%s' must be an integer here", name);
        return;
    }
    if (notation->n_attrs == 16) FAIL(notation, "too many sizes such as %s in index notation", name);
    else notation->attrs[notation->n_attrs++] = attr;
}

static void translate_word(struct notation *notation, bool extent)
{
    const char *start = notation->at;
    while (is_word(*notation->at)) notation->at++;
    const char *word = arena_strndup(notation->build->arena, start, (size_t)(notation->at - start)),
               *next = notation->at;
    while (*next == ' ' || *next == '\t') next++;
    bool tensor = *next == '[' || *next == '{' || (extent && *next == '.'),
         letter = islower((unsigned char)word[0]) != 0;
    const char *inside = next + 1;
    while (*inside == ' ') inside++;
    if (letter && *next == '[' && isupper((unsigned char)*inside) &&
        strchr(inside, ']')) { /* letter[ATTR], unless a tensor is called so */
        struct item item;
        if (!build_find(notation->build, notation->ast, word, &item) || item.kind != ITEM_TENSOR) tensor = false;
    }
    if (tensor) text_printf(&notation->text, "x%d", add_input(notation, word));
    else {
        if (isupper((unsigned char)word[0])) add_attribute(notation, word);
        text_add(&notation->text, word);
    }
}

/* The right-hand side, word by word. */
static void translate(struct notation *notation)
{
    bool extent = false;
    while (*notation->at && !notation->failed) {
        char c = *notation->at;
        if (isalpha((unsigned char)c) || c == '_') {
            translate_word(notation, extent);
            continue;
        }
        if (isdigit((unsigned char)c))
            while (isdigit((unsigned char)notation->at[0])) text_add_n(&notation->text, notation->at++, 1);
        else {
            extent = c == '|';
            text_add_n(&notation->text, notation->at++, 1);
        }
    }
}

void eval_let(struct build *build, struct ast *ast)
{
    struct notation notation = {.build = build, .ast = ast, .at = ast->text, .text = {.arena = build->arena}};
    while (*notation.at == ' ') notation.at++;
    const char *start = notation.at;
    while (is_word(*notation.at)) notation.at++;
    const char *target = arena_strndup(build->arena, start, (size_t)(notation.at - start));
    if (!*target || (*notation.at != '[' && *notation.at != '{')) {
        build_fail(build, ast, "expected index notation such as y[i] += x[i, k]");
        return;
    }
    text_add(&notation.text, "y");
    translate(&notation);
    while (notation.text.n && notation.text.at[notation.text.n - 1] == ' ') notation.text.at[--notation.text.n] = 0;
    struct item item = {.kind = ITEM_ERROR};
    if (!notation.failed && !notation.n_in) build_fail(build, ast, "index notation must read a tensor");
    else if (!notation.failed) {
        notation.attrs[notation.n_attrs++] = (struct attr)ATTR_S("meaning", text_string(&notation.text));
        build_at(build, ast);
        item = item_tensor(
            graph_node(build->region->graph, OP_index, notation.n_in, notation.in, notation.n_attrs, notation.attrs));
        if (item.tensor && !build->site && !build->in_call) graph_name(build->region->graph, item.tensor, target);
    }
    build_set(build, build->frame, target, item);
}
