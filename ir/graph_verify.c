/* The graph verifier: what the builder promises, checked again on any graph. */
#include "graph_inside.h"

#include <string.h>

static bool verify_node(const struct graph *graph, const struct node *node, const bool *defined, struct diag *diag)
{
    const struct op_row *row = op_row(node->op);
    for (int i = 0; i < node->n_in; i++)
        if (!node->in[i] || node->in[i]->id >= graph->next_value || !defined[node->in[i]->id])
            return diag_error(diag, node->place, "verify: node %d (%s): input %d is not defined before it", node->id, row->name, i);
    for (int i = 1; i < node->n_attrs; i++)
        if (strcmp(node->attrs[i - 1].name, node->attrs[i].name) >= 0)
            return diag_error(diag, node->place, "verify: node %d (%s): attributes are not in order", node->id, row->name);
    if (node->op == OP_input || node->op == OP_const) return true;
    struct node probe = *node;
    struct type *types;
    struct graph quiet = *graph;
    quiet.diag = diag;
    quiet.place = node->place;
    if (!shape_infer(&quiet, &probe, &types)) return false;
    if (probe.n_out != node->n_out) return diag_error(diag, node->place, "verify: node %d (%s): %d results, should be %d", node->id, row->name, node->n_out, probe.n_out);
    for (int i = 0; i < node->n_out; i++)
        if (!type_equal(&types[i], &node->out[i].type))
            return diag_error(diag, node->place, "verify: node %d (%s): result %d is %s, should be %s", node->id, row->name, i,
                              type_string(graph->dims, graph->arena, &node->out[i].type), type_string(graph->dims, graph->arena, &types[i]));
    for (int i = 0; i < node->n_attrs; i++)
        if (node->attrs[i].kind == ATTR_GRAPH && !graph_verify(node->attrs[i].graph, diag)) return false;
    return true;
}

bool graph_verify(const struct graph *graph, struct diag *diag)
{
    struct arena *scratch = arena_new();
    bool *defined = NEW_ARRAY(scratch, bool, graph->next_value + 1), ok = true;
    for (int i = 0; ok && i < graph->nodes.n; i++) {
        const struct node *node = graph->nodes.at[i];
        ok = verify_node(graph, node, defined, diag);
        for (int k = 0; ok && k < node->n_out; k++) {
            if (node->out[k].id < 0 || node->out[k].id >= graph->next_value || defined[node->out[k].id] || node->out[k].node != node || node->out[k].result != k)
                ok = diag_error(diag, node->place, "verify: node %d: result %d is malformed", node->id, k);
            else defined[node->out[k].id] = true;
        }
    }
    for (int i = 0; ok && i < graph->outputs.n; i++)
        if (!defined[graph->outputs.at[i]->id]) ok = diag_error(diag, graph->place, "verify: output %s is not defined", graph->output_names.at[i]);
    if (ok && graph->outputs.n != graph->output_names.n) ok = diag_error(diag, graph->place, "verify: outputs without names");
    arena_free(scratch);
    return ok;
}
