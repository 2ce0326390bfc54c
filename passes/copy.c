/* Nodes that a graph pass leaves as they are. */
#include "passes.h"

bool pass_copy_node(struct graph *to, const struct node *node, struct value **map, graph_pass *pass, struct arena *unit,
                    const struct pass_options *options)
{
    struct node copy = *node;
    copy.attrs = arena_copy(unit, node->attrs, (size_t)node->n_attrs * sizeof *node->attrs);
    for (int i = 0; i < node->n_attrs; i++)
        if (copy.attrs[i].kind == ATTR_GRAPH && !(copy.attrs[i].graph = pass(copy.attrs[i].graph, unit, options))) return false;
    return graph_copy_node(to, &copy, map);
}

void pass_copy_outputs(struct graph *to, const struct graph *from, struct value *const *map)
{
    to->place = from->place;
    to->home = from->home;
    for (int i = 0; i < from->outputs.n; i++) graph_output(to, from->output_names.at[i], map[from->outputs.at[i]->id]);
}
