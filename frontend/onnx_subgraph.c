/* Bodies: subgraphs of If, Loop and Scan, closed or inlined, and the functions of a model.
 *
 * A closed subgraph gets what it uses from around it as further inputs. All names it mentions, at any depth, are looked
 * up outside: names it gives itself are not found there (ONNX forbids giving a visible name again), and one input too
 * many would only be unused.
 */
#include "onnx_narrow.h"
#include "onnx_scope.h"

#include <string.h>

enum { PATH_MOST = 1000 };

static bool enter_subgraph(struct onnx_call *call)
{
    if (call->importer->subgraph_depth >= ONNX_SUBGRAPHS_MOST)
        return diag_error(call->graph->diag, call->graph->place, "subgraphs nested deeper than %d",
                          ONNX_SUBGRAPHS_MOST);
    call->importer->subgraph_depth++;
    return true;
}

static struct scope *open_body(struct onnx_call *call, struct graph *graph, bool is_function)
{
    struct scope *scope = scope_open(call->importer, graph, is_function);
    const char *path = call->graph->place.path;
    size_t n = strlen(path); /* nodes inside keep their whole path: it must not grow with the depth without end */
    scope->path = arena_printf(graph->session, "%s%s: ", n > PATH_MOST ? "..." : "", n > PATH_MOST ? path + n - PATH_MOST : path);
    return scope;
}

static bool collect_results(struct scope *scope, const Onnx__GraphProto *body, int n_out, struct value **out)
{
    bool ok = true;
    for (int i = 0; i < n_out; i++) {
        const char *name = body->output[i]->name ? body->output[i]->name : "";
        enum found found = scope_find(scope, name, &out[i]);
        if (found == FOUND_NOTHING || found == FOUND_ABSENT)
            ok =
                diag_error(scope->graph->diag, scope->graph->place, "nothing gives the subgraph's output \"%s\"", name);
        if (found == FOUND_POISON) ok = false;
        const struct narrow *narrow = scope_narrow(scope, name);
        if (narrow)
            ok = diag_error(scope->graph->diag, scope->graph->place, "the subgraph's output \"%s\": element type %s is not supported there",
                            name, narrow->name);
    }
    return ok;
}

static bool check_body(struct onnx_call *call, const Onnx__GraphProto *body, int n_in, int n_out)
{
    if (!body) return onnx_error(call, "the subgraph is missing"), false;
    if (body->n_input != (size_t)n_in)
        return onnx_error(call, "the subgraph has %zu inputs, needs %d", body->n_input, n_in), false;
    if (body->n_output < (size_t)n_out)
        return onnx_error(call, "the subgraph has %zu outputs, needs %d", body->n_output, n_out), false;
    return true;
}

bool onnx_import_inline(struct onnx_call *call, const Onnx__GraphProto *body, int n_in, struct value *const *in,
                        int n_out, struct value **out)
{
    struct importer *importer = call->importer;
    struct scope *before = importer->scope;
    struct place place = call->graph->place;
    if (!check_body(call, body, n_in, n_out) || !enter_subgraph(call)) return false;
    importer->scope = open_body(call, call->graph, false);
    bool ok = onnx_import_initializers(importer, body);
    for (int i = 0; i < n_in; i++)
        if (!scope_bind(importer->scope, body->input[i]->name ? body->input[i]->name : "", in[i], NULL)) ok = false;
    ok = onnx_import_nodes(importer, body->n_node, body->node) && ok;
    ok = ok && collect_results(importer->scope, body, n_out, out);
    call->graph->place = place;
    importer->scope = before;
    importer->subgraph_depth--;
    return ok;
}

static void capture_name(struct onnx_call *call, const char *name, struct onnx_captures *captures)
{
    struct value *value;
    if (!name || !*name || scope_find(call->importer->scope, name, &value) != FOUND_VALUE || value_const(value)) return;
    for (int i = 0; i < captures->n; i++)
        if (!strcmp(captures->at[i].name, name)) return;
    struct onnx_capture capture = {name, value};
    LIST_PUSH(call->graph->arena, captures, capture);
}

static void collect(struct onnx_call *call, const Onnx__GraphProto *body, struct onnx_captures *captures, int depth)
{
    if (!body || depth > ONNX_SUBGRAPHS_MOST) return; /* the import itself reports it */
    for (size_t i = 0; i < body->n_node; i++) {
        const Onnx__NodeProto *node = body->node[i];
        for (size_t k = 0; k < node->n_input; k++) capture_name(call, node->input[k], captures);
        for (size_t k = 0; k < node->n_attribute; k++) collect(call, node->attribute[k]->g, captures, depth + 1);
    }
    for (size_t i = 0; i < body->n_output; i++) capture_name(call, body->output[i]->name, captures);
}

void onnx_collect_captures(struct onnx_call *call, const Onnx__GraphProto *body, struct onnx_captures *captures)
{
    collect(call, body, captures, 0);
}

struct graph *onnx_import_subgraph(struct onnx_call *call, const Onnx__GraphProto *body, int n_formals,
                                   const struct type *formals, const struct onnx_captures *captures)
{
    struct importer *importer = call->importer;
    struct scope *before = importer->scope;
    if (!check_body(call, body, n_formals, 0) || !enter_subgraph(call)) return NULL;
    struct graph *graph = graph_like(call->graph, call->graph->arena, body->name ? body->name : "body");
    graph->place = call->graph->place;
    importer->scope = open_body(call, graph, false);
    bool ok = onnx_import_initializers(importer, body);
    for (int i = 0; i < n_formals; i++) {
        const char *name = body->input[i]->name ? body->input[i]->name : "";
        if (!scope_bind(importer->scope, name, graph_input(graph, name, &formals[i]), NULL)) ok = false;
    }
    for (int i = 0; i < captures->n; i++) {
        const struct onnx_capture *capture = &captures->at[i];
        struct value *value = graph_input(graph, capture->name, &capture->value->type);
        struct entry *entry = table_add(&importer->scope->table, capture->name);
        if (entry) entry->value = value, entry->narrow = scope_narrow(before, capture->name); /* a formal of that name hides it */
    }
    ok = onnx_import_nodes(importer, body->n_node, body->node) && ok;
    struct value **out = NEW_ARRAY(graph->arena, struct value *, body->n_output + 1);
    ok = ok && collect_results(importer->scope, body, (int)body->n_output, out);
    for (size_t i = 0; ok && i < body->n_output; i++) graph_output(graph, body->output[i]->name, out[i]);
    importer->scope = before;
    importer->subgraph_depth--;
    return ok ? graph : NULL;
}

bool onnx_import_function(struct onnx_call *call, const Onnx__FunctionProto *function)
{
    struct importer *importer = call->importer;
    struct scope *before = importer->scope;
    struct place place = call->graph->place;
    bool ok = true;
    if (importer->call_depth >= ONNX_CALLS_MOST)
        return onnx_error(call, "functions call each other deeper than %d", ONNX_CALLS_MOST), false;
    if ((size_t)call->n_in > function->n_input || (size_t)call->n_out > function->n_output)
        return onnx_error(call, "function takes %zu inputs and gives %zu outputs", function->n_input,
                          function->n_output),
               false;
    importer->call_depth++;
    struct scope *scope = importer->scope = open_body(call, call->graph, true);
    scope->caller = call;
    scope->caller_scope = before;
    scope->function = function;
    if (function->n_opset_import) scope->n_opsets = function->n_opset_import, scope->opsets = function->opset_import;
    for (size_t i = 0; i < function->n_input; i++) {
        struct value *value = i < (size_t)call->n_in ? call->in[i] : NULL;
        struct entry *entry = table_add(&scope->table, function->input[i]);
        if (!entry) ok = onnx_error(call, "the function names its input \"%s\" twice", function->input[i]) != NULL;
        else entry->value = value, entry->is_absent = !value, entry->narrow = value ? call->narrow_in[i] : NULL;
    }
    ok = onnx_import_nodes(importer, function->n_node, function->node) && ok;
    for (int i = 0; ok && i < call->n_out; i++) {
        enum found found = scope_find(scope, function->output[i], &call->out[i]);
        if (found == FOUND_NOTHING)
            ok = onnx_error(call, "nothing gives the function's output \"%s\"", function->output[i]) != NULL;
        if (found == FOUND_POISON) ok = false;
        call->narrow_out[i] = scope_narrow(scope, function->output[i]);
    }
    call->graph->place = place;
    importer->scope = before;
    importer->call_depth--;
    return ok;
}
