/* Pass compose: composite operators become the primitives they are made of.
 *
 *     y = softmax(x, axis: 1)     ->     m = reduce_max(x, axes: [1]) ... e = exp(d) ... y = div(e, s)
 *
 * What a composite means is a function of the standard library, called through options->expand_composite. Needs:
 * nothing. One of 16-bit floats is computed in f32 and rounded once. Makes true: no COMPOSITE node is left, also inside subgraphs. Leaves everything else as it is.
 */
#include "passes.h"

#include <string.h>

static struct graph *compose(const struct graph *graph, struct arena *unit, const struct pass_options *options);

static bool has_composite(const struct graph *graph)
{
    for (int i = 0; i < graph->nodes.n; i++) {
        const struct node *node = graph->nodes.at[i];
        if (op_row(node->op)->kind == OP_COMPOSITE) return true;
        for (int k = 0; k < node->n_attrs; k++)
            if (node->attrs[k].kind == ATTR_GRAPH && has_composite(node->attrs[k].graph)) return true;
    }
    return false;
}

static bool expand(struct graph *to, const struct node *node, const struct pass_options *options, struct value **map)
{
    struct value **in = NEW_ARRAY(to->arena, struct value *, node->n_in + 1),
                 **out = NEW_ARRAY(to->arena, struct value *, node->n_out + 1);
    for (int i = 0; i < node->n_in; i++) in[i] = map[node->in[i]->id];
    bool wide = node->n_out > 0 && dtype_compute(node->out[0].type.dt) != node->out[0].type.dt;
    graph_at(to, node);
    for (int i = 0; i < node->n_in && wide; i++) in[i] = graph_cast(to, in[i], dtype_compute(in[i]->type.dt));
    if (!options->expand_composite(to, node, in, out)) return false;
    for (int i = 0; i < node->n_out; i++) {
        out[i] = graph_cast(to, out[i], node->out[i].type.dt);
        map[node->out[i].id] = out[i];
        if (node->out[i].name) graph_name(to, out[i], node->out[i].name);
    }
    return true;
}

static struct graph *compose(const struct graph *graph, struct arena *unit, const struct pass_options *options)
{
    struct graph *to = graph_like(graph, unit, graph->name);
    struct value **map = NEW_ARRAY(unit, struct value *, graph->next_value + 1);
    bool *live = graph_live(graph, unit); /* what folds to a constant is computed: only where somebody wants it */
    for (int i = 0; i < graph->nodes.n; i++) {
        const struct node *node = graph->nodes.at[i];
        if (!live[i]) continue;
        bool ok = op_row(node->op)->kind == OP_COMPOSITE ? expand(to, node, options, map)
                                                         : pass_copy_node(to, node, map, compose, unit, options);
        if (!ok) return NULL;
    }
    for (int i = 0; i < graph->outputs.n; i++)
        graph_output(to, graph->output_names.at[i], map[graph->outputs.at[i]->id]);
    return to;
}

struct graph *pass_compose(const struct graph *graph, struct arena *unit, const struct pass_options *options)
{
    /* a graph without composites is copied all the same: a pass's result lives in `unit` */
    if (!options->expand_composite && has_composite(graph)) bug("compose", "no expand_composite is set");
    return compose(graph, unit, options);
}
