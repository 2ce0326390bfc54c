/* The standard library: its text is part of the program, and a function is read when it is first called.
 *
 * A function's text runs from its `def` at the start of a line to the next one, so finding it is a search for
 * "\ndef NAME(" and no whole file is parsed for one softmax.
 */
#include "prelude.h"
#include "build.h"
#include "embedded_frontend.h"

#include <string.h>

/* Where the function's definition starts in the text; NULL where there is none. */
static const char *find_text(const char *name, size_t *n_bytes, int *line)
{
    size_t length = strlen(name);
    const char *start = NULL;
    *line = 1;
    for (const char *at = frontend_prelude_tn; at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL) {
        bool def = !strncmp(at, "def ", 4);
        if (def && start) {
            *n_bytes = (size_t)(at - start);
            return start;
        }
        if (def && !strncmp(at + 4, name, length) && at[4 + length] == '(') start = at;
        if (!start) ++*line;
    }
    if (start) *n_bytes = (size_t)(frontend_prelude_tn + frontend_prelude_tn_bytes - start);
    return start;
}

bool prelude_has(const char *function)
{
    size_t n_bytes;
    int line;
    return find_text(function, &n_bytes, &line) != NULL;
}

void prelude_names(struct build *build, bool layers, const char **list, int most, int *n)
{
    for (const char *at = frontend_prelude_tn; at && *n < most; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL) {
        if (strncmp(at, "def ", 4) != 0 || layers != !strncmp(at + 4, "nn.", 3)) continue;
        list[(*n)++] = arena_strndup(build->arena, at + 4, strcspn(at + 4, "("));
    }
}

const struct function *prelude_function(struct build *build, const char *name)
{
    struct module *module = build->prelude;
    const struct item *own = build_own(module->frame, name);
    if (own) return own->kind == ITEM_FUNCTION ? own->function : NULL;
    size_t n_bytes;
    int line;
    const char *text = find_text(name, &n_bytes, &line);
    if (!text) return NULL;
    if (!module->source) {
        struct source *source = NEW(build->arena, struct source);
        *source = (struct source){"prelude.tn", frontend_prelude_tn, frontend_prelude_tn_bytes};
        module->source = source;
    }
    struct ast *ast = ast_read(build->arena, build->diag, module->source, text, n_bytes, line);
    struct frame *outer = build->frame;
    build->frame = module->frame;
    for (int i = 0; ast && i < ast->n; i++)
        if (ast->kid[i]->kind == AST_DEF) eval_def(build, ast->kid[i]);
    build->frame = outer;
    own = build_own(module->frame, name);
    return own && own->kind == ITEM_FUNCTION ? own->function : NULL;
}

static struct item attr_item(struct build *build, const struct attr *attr)
{
    switch (attr->kind) {
    case ATTR_INT: return item_int(attr->i);
    case ATTR_FLOAT: return item_float(attr->f);
    case ATTR_STRING: return item_string(attr->s);
    case ATTR_GRAPH: return (struct item){.kind = ITEM_GRAPH, .graph = attr->graph};
    case ATTR_INTS: {
        struct item *items = NEW_ARRAY(build->arena, struct item, attr->n + 1);
        for (int i = 0; i < attr->n; i++) items[i] = item_int(attr->ints[i]);
        return item_list(build, ITEM_LIST, attr->n, items);
    }
    }
    return (struct item){.kind = ITEM_ERROR};
}

static bool call(struct build *build, const char *name, struct argument *arguments, int n, int n_out,
                 struct value **out)
{
    struct graph *graph = build->region->graph;
    build->call_place = graph->place;
    build->in_call = true;
    build->frame = build->prelude->frame;
    int before = diag_errors(graph->diag);
    const struct function *function = prelude_function(build, name);
    if (!function) return diag_error(graph->diag, graph->place, "the standard library has no function '%s'", name);
    for (int i = 0; i < n; i++) arguments[i].ast = (struct ast *)(uintptr_t)function->ast;
    struct item result = call_function(build, arguments[0].ast, function, n, arguments, "");
    const struct item *items;
    int got = item_unpack(&result, &items);
    if (item_is_error(&result) || diag_errors(graph->diag) > before) {
        if (diag_errors(graph->diag) == before) diag_error(graph->diag, graph->place, "%s failed", name);
        return false;
    }
    if (result.kind == ITEM_NONE || got < n_out)
        return diag_error(graph->diag, graph->place, "%s gives %d results, %d are wanted", name, got, n_out);
    for (int i = 0; i < n_out; i++)
        if (!(out[i] = item_to_tensor(build, arguments[0].ast, &items[i], DT_COUNT))) return false;
    graph->place = build->call_place;
    return true;
}

static bool call_values(struct graph *graph, const char *function, bool expand, int n_in, struct value *const *in,
                        int n_attrs, const struct attr *attrs, int n_out, struct value **out)
{
    struct build *build = build_new(graph, NULL);
    struct argument *arguments = NEW_ARRAY(build->arena, struct argument, n_in + n_attrs + 1);
    build->expand = expand;
    for (int i = 0; i < n_in; i++) arguments[i].item = in[i] ? item_tensor(in[i]) : (struct item){.kind = ITEM_NONE};
    for (int i = 0; i < n_attrs; i++)
        arguments[n_in + i] = (struct argument){attrs[i].name, attr_item(build, &attrs[i]), NULL};
    return call(build, function, arguments, n_in + n_attrs, n_out, out);
}

bool prelude_call(struct graph *graph, const char *function, int n_in, struct value *const *in, int n_attrs,
                  const struct attr *attrs, int n_out, struct value **out)
{
    return call_values(graph, function, false, n_in, in, n_attrs, attrs, n_out, out);
}

bool prelude_expand(struct graph *to, const struct node *node, struct value *const *in, struct value **out)
{
    return call_values(to, op_row(node->op)->name, true, node->n_in, in, node->n_attrs, node->attrs, node->n_out, out);
}
