/* Pass place: where a device runs a model, every node is on one side, and what goes from one to the other is a node.
 *
 *     place cpu { a = exp(x) }          place cpu { a = exp(x) }
 *     y = relu(a)                  ->   place opencl { b = transfer(a)  y = relu(b) }
 *
 * A node's home is what the model or --place says, else the device. What a device cannot run goes to the CPU, with the
 * reason (node.why): functions in C, double precision where it has none. The results of a control node are at its home,
 * and so are its bodies' inputs and results; main itself always runs on the host. Inputs and constants are on both sides,
 * and index maps of constants are made where they are read; everything else that is read away from its home is brought
 * there once. Nodes are put into an order in which the device has its work as early as possible, and the host first does
 * what needs nothing of the device: main does not wait for a transfer before something reads what it brings (pass await).
 *
 * Needs: composites expanded. Makes true: graph.placed. Leaves: graphs all of whose nodes are on the device have no
 * transfer and keep their order. Comes late: layout and simplify cross sides freely, as they do within one.
 */
#include "passes.h"

#include <string.h>

struct placing {
    struct graph *to;
    struct arena *unit;
    const struct pass_options *options;
    enum home outer;              /* of what says nothing, and of a body's inputs and results */
    struct value **map, **made;   /* by value id of the old graph: as a node reads it; where it is made */
    struct value **brought[3];    /* by home, by value id of the new graph; made when first needed */
    int n_brought;                /* their length, and of anywhere */
    bool *anywhere;               /* by value id of the new graph: inputs, constants and their index maps */
    bool mixed;                   /* some node is on the CPU */
};

/* Why the device cannot run it; NULL: it can. */
static const char *why_not(const struct node *node, const struct device *device)
{
    if (op_row(node->op)->kind == OP_EXTERN) return "a function in C, which the device cannot run";
    bool f64 = false;
    for (int i = 0; i < node->n_in; i++) f64 |= node->in[i]->type.dt == DT_f64;
    for (int i = 0; i < node->n_out; i++) f64 |= node->out[i].type.dt == DT_f64;
    return f64 && !device->has_f64 ? "double precision, which the device does not have" : NULL;
}

static void note_values(struct placing *p)
{
    int need = p->to->next_value + 1;
    if (need <= p->n_brought) return;
    int cap = need * 2;
    for (int home = 0; home < 3; home++) {
        struct value **grown = NEW_ARRAY(p->unit, struct value *, cap);
        if (p->n_brought) memcpy(grown, p->brought[home], (size_t)p->n_brought * sizeof(struct value *));
        p->brought[home] = grown;
    }
    bool *anywhere = NEW_ARRAY(p->unit, bool, cap);
    if (p->n_brought) memcpy(anywhere, p->anywhere, (size_t)p->n_brought);
    p->anywhere = anywhere;
    p->n_brought = cap;
}

/* The value as `home` reads it; NULL after an error. `from`: where it is. */
static struct value *at_home(struct placing *p, struct value *value, enum home home)
{
    note_values(p);
    const struct node *node = value->node;
    bool is_leaf = node->op == OP_const || (node->op == OP_input && p->anywhere[value->id]);
    if (is_leaf || (node->op == OP_input ? p->outer : node->home) == home) return value;
    struct value *known = p->brought[home][value->id];
    if (known) return known;
    p->to->home = home;
    p->to->place = node->place;
    struct value *made;
    if (p->anywhere[value->id]) {
        struct value **in = NEW_ARRAY(p->unit, struct value *, node->n_in + 1);
        for (int i = 0; i < node->n_in; i++) in[i] = at_home(p, node->in[i], home);
        p->to->home = home;
        made = graph_node(p->to, node->op, node->n_in, in, node->n_attrs, node->attrs);
    } else made = graph_node(p->to, OP_transfer, 1, &value, 0, NULL);
    if (!made) return NULL;
    if (value->name) graph_name(p->to, made, value->name);
    note_values(p);
    p->anywhere[made->id] = p->anywhere[value->id];
    return p->brought[home][value->id] = made;
}

static struct graph *place(const struct graph *graph, enum home outer, bool is_body, struct arena *unit, const struct pass_options *options);

/* The node at its home, its bodies placed too. */
static bool place_node(struct placing *p, const struct node *node)
{
    struct node copy = *node;
    bool is_leaf = op_row(node->op)->kind == OP_LEAF;
    copy.why = why_not(node, p->options->device);
    copy.home = is_leaf ? HOME_NONE : node->home == HOME_NONE ? p->outer : node->home;
    if (copy.home == HOME_CPU || is_leaf) copy.why = NULL;
    if (copy.why) copy.home = HOME_CPU;
    p->mixed |= copy.home == HOME_CPU;
    copy.attrs = arena_copy(p->unit, node->attrs, (size_t)node->n_attrs * sizeof *node->attrs);
    for (int i = 0; i < node->n_attrs; i++)
        if (copy.attrs[i].kind == ATTR_GRAPH &&
            !(copy.attrs[i].graph = place(copy.attrs[i].graph, copy.home, true, p->unit, p->options)))
            return false;
    for (int i = 0; i < node->n_in; i++)
        if (!(p->map[node->in[i]->id] = at_home(p, p->made[node->in[i]->id], copy.home))) return false;
    if (!graph_copy_node(p->to, &copy, p->map)) return false;
    note_values(p);
    for (int i = 0; i < node->n_out; i++) p->made[node->out[i].id] = p->map[node->out[i].id];
    return true;
}

/* Whether a value of the node may be made anew on either side. */
static bool is_anywhere(const struct placing *p, const struct node *node)
{
    if (node->op == OP_const) return true;
    if (!node_is_plain_map(node)) return false;
    for (int i = 0; i < node->n_in; i++)
        if (!p->anywhere[node->in[i]->id] || node->in[i]->node->op == OP_input) return false;
    return true;
}

/* ---- the order ---- */

enum rank { RANK_TRANSFER, RANK_DEVICE, RANK_HOST, RANK_WAITS, RANKS };
/* Transfers, then the device's nodes; of the host's last those that a transfer from the device would be waited for. */
static enum rank rank_of(const struct node *node)
{
    if (op_row(node->op)->kind == OP_LEAF || node->op == OP_transfer) return RANK_TRANSFER;
    if (op_row(node->op)->kind == OP_CONTROL) return RANK_WAITS;
    if (node->home != HOME_CPU) return RANK_DEVICE;
    for (int i = 0; i < node->n_in; i++)
        if (node->in[i]->node->op == OP_transfer) return RANK_WAITS;
    return RANK_HOST;
}

/* Of the nodes whose inputs are there, the first of the lowest rank next. */
static void order_nodes(struct placing *p)
{
    struct graph *to = p->to;
    int n = to->nodes.n;
    struct node **order = NEW_ARRAY(p->unit, struct node *, n + 1);
    bool *done = NEW_ARRAY(p->unit, bool, n + 1);
    int first[RANKS] = {0};
    for (int made = 0; made < n; made++) {
        struct node *next = NULL;
        for (int rank = 0; rank < RANKS && !next; rank++)
            for (int i = first[rank]; i < n && !next; i++) {
                struct node *node = to->nodes.at[i];
                if (done[node->id] || (int)rank_of(node) != rank) {
                    first[rank] += i == first[rank];
                    continue;
                }
                bool ready = true;
                for (int k = 0; k < node->n_in && ready; k++) ready = done[node->in[k]->node->id];
                if (ready) next = node;
            }
        done[next->id] = true;
        order[made] = next;
    }
    for (int i = 0; i < n; i++) {
        to->nodes.at[i] = order[i];
        order[i]->id = i;
    }
}

static struct graph *place(const struct graph *graph, enum home outer, bool is_body, struct arena *unit, const struct pass_options *options)
{
    struct graph *to = graph_like(graph, unit, graph->name);
    struct placing p = {.to = to, .unit = unit, .options = options, .outer = outer,
                         .map = NEW_ARRAY(unit, struct value *, graph->next_value + 1),
                         .made = NEW_ARRAY(unit, struct value *, graph->next_value + 1)};
    bool *live = graph_live(graph, unit);
    to->placed = true;
    for (int i = 0; i < graph->nodes.n; i++) {
        const struct node *node = graph->nodes.at[i];
        if (!live[i]) continue;
        if (!place_node(&p, node)) return NULL;
        for (int k = 0; k < node->n_out; k++) {
            const struct value *made = p.made[node->out[k].id];
            p.anywhere[made->id] = node->op == OP_input ? !is_body : is_anywhere(&p, made->node);
        }
    }
    for (int i = 0; i < graph->outputs.n; i++) {
        struct value *value = p.made[graph->outputs.at[i]->id];
        if (is_body) value = at_home(&p, value, outer);
        if (!value) return NULL;
        graph_output(to, graph->output_names.at[i], value);
    }
    to->home = graph->home;
    to->place = graph->place;
    if (p.mixed) order_nodes(&p);
    return to;
}

struct graph *pass_place(const struct graph *graph, struct arena *unit, const struct pass_options *options)
{
    struct pass_options own = *options;
    if (!own.device) own.device = &device_plain_cpu; /* asked for by name only */
    return place(graph, HOME_OPENCL, false, unit, &own);
}
