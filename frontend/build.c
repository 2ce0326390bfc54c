/* Text -> graph: messages, frames of names, regions of nodes, and the model at the top.  See build.h. */
#include "build.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static struct place place_of(const struct build *build, const struct ast *ast)
{
    return build->in_call ? build->call_place : build->site ? build->site->place : ast->place;
}

struct item build_fail(struct build *build, struct ast *ast, const char *format, ...)
{
    struct ast *at = build->site ? build->site : ast;
    if (at->reported && !build->in_call) return (struct item){.kind = ITEM_ERROR};
    at->reported = true;
    char words[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(words, sizeof words, format, args);
    va_end(args);
    diag_error(build->diag, place_of(build, ast), "%s", words);
    return (struct item){.kind = ITEM_ERROR};
}

void build_note(struct build *build, const struct ast *ast, const char *format, ...)
{
    if (build->site || build->in_call) return;
    char words[512];
    va_list args;
    va_start(args, format);
    vsnprintf(words, sizeof words, format, args);
    va_end(args);
    diag_note(build->diag, ast->place, "%s", words);
}

void build_at(struct build *build, const struct ast *ast)
{
    struct place place = place_of(build, ast);
    if (!build->in_call && build->frame && build->frame->scope[0]) place.path = build->frame->scope;
    build->region->graph->place = place;
}

bool build_iterate(struct build *build, struct ast *ast)
{
    bool is_large = build->region->graph->nodes.n > NODES_MOST;
    if (++build->iterations <= ITERATIONS_MOST && !is_large) return !diag_full(build->diag);
    if (build->exhausted) return false;
    build->exhausted = true;
    if (is_large) build_fail(build, ast, "compile-time loops made more than %d operators", NODES_MOST);
    else build_fail(build, ast, "compile-time loops ran more than %d rounds", ITERATIONS_MOST);
    return false;
}

struct frame *build_frame(struct build *build, struct frame *parent, struct region *region)
{
    struct frame *frame = NEW(build->arena, struct frame);
    frame->parent = parent;
    frame->region = region;
    frame->module = parent ? parent->module : NULL;
    frame->scope = build->frame ? build->frame->scope : "";
    return frame;
}

static struct variable **build_slot(const struct frame *frame, const char *name)
{
    uint32_t hash = 2166136261u;
    for (const char *p = name; *p; p++) hash = (hash ^ (unsigned char)*p) * 16777619u;
    uint32_t k = hash & (uint32_t)(frame->cap - 1);
    while (frame->slot[k] && strcmp(frame->slot[k]->name, name) != 0) k = (k + 1) & (uint32_t)(frame->cap - 1);
    return &frame->slot[k];
}

void build_set(struct build *build, struct frame *frame, const char *name, struct item item)
{
    if (frame->n * 2 >= frame->cap) {
        frame->cap = frame->cap ? frame->cap * 2 : 16;
        frame->slot = NEW_ARRAY(build->arena, struct variable *, frame->cap);
        for (int i = 0; i < frame->order.n; i++) *build_slot(frame, frame->order.at[i]->name) = frame->order.at[i];
    }
    struct variable **slot = build_slot(frame, name);
    if (!*slot) {
        *slot = NEW(build->arena, struct variable);
        (*slot)->name = name;
        frame->n++;
        LIST_PUSH(build->arena, &frame->order, *slot);
    }
    (*slot)->item = item;
}

const struct item *build_own(const struct frame *frame, const char *name)
{
    struct variable **slot = frame->cap ? build_slot(frame, name) : NULL;
    return slot && *slot ? &(*slot)->item : NULL;
}

struct region *region_new(struct build *build, struct ast *ast, const char *name, bool closed)
{
    struct region *region = NEW(build->arena, struct region), *parent = build->region;
    region->depth = parent->depth + 1;
    if (region->depth > REGIONS_MOST) {
        build_fail(build, ast, "blocks that run at run time are nested too deeply (more than %d)", REGIONS_MOST);
        return NULL;
    }
    region->graph = graph_like(parent->graph, parent->graph->arena, name);
    region->parent = parent;
    region->closed = closed;
    return region;
}

struct value *region_import(struct build *build, struct region *region, struct region *from, struct value *value)
{
    if (!value || region == from) return value;
    if (!region || region->closed) return NULL;
    struct value *outer = region_import(build, region->parent, from, value);
    if (!outer) return NULL;
    if (value_const(outer))
        return graph_name(region->graph, graph_const(region->graph, value_const(outer)),
                          outer->name ? outer->name : "c");
    for (int i = 0; i < region->outer.n; i++)
        if (region->outer.at[i] == outer) return region->inner.at[i];
    struct value *inner = graph_input(region->graph, outer->name ? outer->name : "captured", &outer->type);
    LIST_PUSH(build->arena, &region->outer, outer);
    LIST_PUSH(build->arena, &region->inner, inner);
    return inner;
}

/* item of the region `from` as the current region sees it. False where a closed subgraph would read a tensor. */
static bool import_item(struct build *build, struct region *from, const struct item *item, struct item *found)
{
    *found = *item;
    if (build->region == from) return true;
    if (item->kind == ITEM_TENSOR && item->tensor) {
        found->tensor = region_import(build, build->region, from, item->tensor);
        return found->tensor != NULL;
    }
    if (item->kind != ITEM_LIST && item->kind != ITEM_TUPLE) return true;
    struct item *items = NEW_ARRAY(build->arena, struct item, item->list->n + 1);
    for (int i = 0; i < item->list->n; i++)
        if (!import_item(build, from, &item->list->at[i], &items[i])) return false;
    *found = item_list(build, item->kind, item->list->n, items);
    return true;
}

const struct item *build_find(struct build *build, struct ast *ast, const char *name, struct item *found)
{
    for (struct frame *frame = build->frame; frame; frame = frame->parent) {
        const struct item *own = build_own(frame, name);
        if (!own) continue;
        if (!import_item(build, frame->region, own, found))
            *found = build_fail(
                build, ast, "'%s' is a tensor outside of this graph(...); a graph takes only what is passed in", name);
        return found;
    }
    return NULL;
}

const char *build_suggest(struct build *build, const char *name, bool functions)
{
    enum { MOST = 4000 };
    const char **names = NEW_ARRAY(build->arena, const char *, MOST);
    int n = 0;
    for (struct frame *frame = build->frame; frame; frame = frame->parent)
        for (int i = 0; i < frame->order.n && n < MOST; i++)
            if (functions == (frame->order.at[i]->item.kind == ITEM_FUNCTION)) names[n++] = frame->order.at[i]->name;
    struct dims *dims = build->region->graph->dims;
    for (int i = 0; !functions && i < dims_n_symbols(dims) && n < MOST; i++) names[n++] = dims_symbol(dims, i)->name;
    for (int i = 0; functions && i < OP_COUNT && n < MOST; i++)
        if (op_row((enum op)i)->kind != OP_LEAF) names[n++] = op_row((enum op)i)->name;
    for (int i = 0; functions && builtin_names[i] && n < MOST; i++) names[n++] = builtin_names[i];
    if (functions) prelude_names(build, !strncmp(name, "nn.", 3), names, MOST, &n);
    return diag_suggest(name, names, n);
}

struct build *build_new(struct graph *graph, const struct language_options *options)
{
    static const struct language_options no_options;
    struct build *build = NEW(graph->session, struct build);
    build->arena = graph->session;
    build->diag = graph->diag;
    build->options = options ? options : &no_options;
    build->region = NEW(build->arena, struct region);
    build->region->graph = graph;
    build->parameters = build_frame(build, NULL, build->region);
    build->prelude = NEW(build->arena, struct module);
    build->prelude->prelude = build->prelude->imports_nn = true;
    build->prelude->frame = build_frame(build, NULL, build->region);
    build->prelude->frame->module = build->prelude;
    return build;
}

/* The inputs a model declares. */
static void declare_inputs(struct build *build, struct ast *formals)
{
    for (int i = 0; i < formals->n; i++) {
        struct ast *formal = formals->kid[i];
        struct type type;
        dim symbol;
        struct item input = {.kind = ITEM_ERROR};
        build_at(build, formal);
        if (formal->kid[1]) build_fail(build, formal->kid[1], "an input of a model has no default");
        if (dim_find_symbol(build->region->graph->dims, formal->text, &symbol))
            build_fail(build, formal, "'%s' is a dimension already", formal->text);
        else if (build_own(build->frame, formal->text))
            build_fail(build, formal, "two inputs are called '%s'", formal->text);
        else if (!formal->kid[0])
            build_fail(build, formal, "the input '%s' needs a type, as in %s: f32[1, 10]", formal->text, formal->text);
        else if (eval_type(build, formal->kid[0], &type)) {
            build_at(build, formal);
            input = item_tensor(graph_input(build->region->graph, formal->name ? formal->name : formal->text, &type));
        }
        build_set(build, build->frame, formal->text, input);
    }
}

static void set_output(struct build *build, struct ast *formal, struct item item, struct ast *at)
{
    struct graph *graph = build->region->graph;
    struct type type;
    struct value *value;
    if (formal->kid[1]) build_fail(build, formal->kid[1], "a result of a model has no default");
    if (formal->kid[0]) value = eval_type(build, formal->kid[0], &type) ? item_to_type(build, at, &item, &type) : NULL;
    else value = item_to_tensor(build, at, &item, DT_COUNT);
    graph_output(graph, formal->name ? formal->name : formal->text, value);
}

static void set_outputs(struct build *build, struct ast *formals, struct ast *body)
{
    const struct item *items;
    int n = item_unpack(&build->frame->result, &items);
    if (!build->frame->returned) {
        for (int i = 0; i < formals->n; i++) {
            const struct item *own = build_own(build->frame, formals->kid[i]->text);
            if (own) set_output(build, formals->kid[i], *own, formals->kid[i]);
            else build_fail(build, formals->kid[i], "the result '%s' is never assigned", formals->kid[i]->text);
        }
        return;
    }
    if (build->frame->result.kind == ITEM_ERROR) return;
    if (build->frame->result.kind == ITEM_NONE) n = 0;
    if (n != formals->n) {
        build_fail(build, body, "the model has %d results, %d are returned", formals->n, n);
        return;
    }
    for (int i = 0; i < n; i++) set_output(build, formals->kid[i], items[i], formals->kid[i]);
}

static void run_model(struct build *build, struct module *module, struct ast *model)
{
    struct graph *graph = build->region->graph;
    graph->name = arena_strdup(graph->arena, model->text);
    build->frame = build_frame(build, module->frame, build->region);
    declare_inputs(build, model->kid[0]);
    struct item value = eval_block(build, model->kid[2]);
    if (value.kind != ITEM_NONE && value.kind != ITEM_ERROR && !build->frame->returned)
        build_fail(build, model->kid[2]->kid[model->kid[2]->n - 1],
                   "this value is not used; assign it to a result or return it");
    set_outputs(build, model->kid[1], model->kid[2]);
}

static struct ast *choose_model(struct build *build, const struct module *module)
{
    struct ast *chosen = NULL;
    struct text words = {.arena = build->arena};
    int n = 0;
    for (int i = 0; i < module->ast->n; i++) {
        struct ast *ast = module->ast->kid[i];
        if (ast->kind != AST_MODEL) continue;
        text_printf(&words, "%s%s", n++ ? ", " : "", ast->text);
        if (!build->options->model || !strcmp(ast->text, build->options->model)) chosen = ast;
    }
    struct place place = {.source = module->source};
    if (n == 0) diag_error(build->diag, place, "the file has no model");
    else if (!chosen)
        diag_error(build->diag, place, "the file has no model '%s'; it has %s", build->options->model,
                   text_string(&words));
    else if (n > 1 && !build->options->model)
        diag_error(build->diag, place, "the file has several models; choose one of %s", text_string(&words));
    else return chosen;
    return NULL;
}

static void check_pins(struct build *build, const struct module *module)
{
    for (int i = 0; i < build->options->n_pins; i++) {
        bool used = false;
        for (int k = 0; k < module->ast->n; k++)
            used |= module->ast->kid[k]->kind == AST_DIM &&
                    !strcmp(module->ast->kid[k]->text, build->options->pins[i].name);
        if (!used)
            diag_error(build->diag, (struct place){.source = module->source}, "the model has no dimension '%s'",
                       build->options->pins[i].name);
    }
}

bool language_read(struct graph *graph, const struct source *source, const struct language_options *options)
{
    int before = diag_errors(graph->diag);
    struct build *build = build_new(graph, options);
    struct module *module = NEW(build->arena, struct module);
    module->path = source->name;
    module->source = source;
    module->ast = ast_read(build->arena, graph->diag, source, source->text, source->n_bytes, 1);
    if (!module->ast || diag_errors(graph->diag) > before)
        return false; /* what could not be read would be missing below */
    module_run(build, module);
    check_pins(build, module);
    struct ast *model = choose_model(build, module);
    if (model) run_model(build, module, model);
    return diag_errors(graph->diag) == before;
}
