/* Pass fuse: decides which values are computed where they are used instead of being stored.
 *
 *     c = conv(x, w)            c = conv(x, w)     fused
 *     d = add(c, broadcast(b))  broadcast, add     fused
 *     y = relu(d)               y = relu(d)        one stored value: one kernel
 *
 * It only marks values (value.fused); pass lower makes one kernel per stored value and nest.h computes fused ones
 * in place. Rules, from the last node to the first, where a value's root is the stored value it ends up in:
 *   - index maps and elementwise operators fuse into their users when these share one root (or the value is a pure
 *     index map, which costs nothing to repeat), but not into an operand of a contraction that reads elements many
 *     times, and not through a broadcast that would repeat real work;
 *   - a reduction fuses into an elementwise root when its position is fixed by the outer loops of that root (a
 *     row's maximum), or when each element is used once (an epilogue);
 *   - a contraction fuses into the elementwise chain that uses it (its epilogue), one per root; what another
 *     contraction leads up to is that one's own root, so that a sum of many passes from one to the next;
 *   - the right side of a product with many rows is stored once it is transposed;
 *   - index notation that reduces nothing (a transform of tiles) fuses into such notation that alone reads it;
 *   - what a reshape reads is stored when its subscripts would need division.
 * Leaves alone: inputs and results of control flow and extern calls, graph outputs, concat (lower writes its parts
 * in place). Needs: composites expanded. */
#include "passes.h"

#include "../ir/meaning.h"

#include <string.h>

struct use {
    const struct node *node;
    int input;
    int next; /* in list of uses of the same value, -1 ends */
};
struct fusion {
    const struct graph *graph;
    const struct pass_options *options;
    struct arena *scratch;
    LIST(struct use) uses;
    int *first_use;            /* by value id */
    const struct value **root; /* by value id: stored value it ends up in; NULL: several */
    bool *stored, *is_output;
    const struct value **contraction; /* by root id: the contraction fused there */
    int *size;                        /* by root id: values fused there */
    bool *repeats;                    /* by value id: read many times by a contraction or a window it is fused into */
};
enum { GROUP_MOST = 100, /* values per kernel: bounds code size and the depth of expressions */
       ROWS_MANY = 16,
       CHAIN_MOST = 8, CHAIN_INTEGER = 24 /* operators on top of a contraction; a requantization in integers has more */, VISITS_MOST = 256 };

static enum op_kind kind_of(const struct value *value)
{
    return op_row(value->node->op)->kind;
}

static bool is_index_map(const struct node *node)
{
    return op_row(node->op)->kind == OP_MOVE && node->op != OP_concat && node->op != OP_scatter;
}

static bool is_words(const struct node *node)
{
    return node->op == OP_words || node->op == OP_pairs;
}

/* Free to repeat. */
static bool is_plain_map(const struct node *node)
{
    return node_is_plain_map(node) || is_words(node); /* a wider load */
}

static bool opens(const struct node *node)
{
    enum op_kind kind = op_row(node->op)->kind;
    return kind == OP_MAP || kind == OP_MOVE || kind == OP_REDUCE || kind == OP_CONTRACT;
}

static void note_uses(struct fusion *f)
{
    const struct graph *g = f->graph;
    f->first_use = NEW_ARRAY(f->scratch, int, g->next_value + 1);
    for (int i = 0; i < g->next_value; i++) f->first_use[i] = -1;
    for (int k = 0; k < g->nodes.n; k++)
        for (int i = 0; i < g->nodes.at[k]->n_in; i++) {
            int id = g->nodes.at[k]->in[i]->id;
            struct use use = {g->nodes.at[k], i, f->first_use[id]};
            f->first_use[id] = f->uses.n;
            LIST_PUSH(f->scratch, &f->uses, use);
        }
    for (int i = 0; i < g->outputs.n; i++) f->is_output[g->outputs.at[i]->id] = true;
}

/* Whether reading `shape` at a row-major position made of `from`'s subscripts needs no division. */
static bool splits_cleanly(struct fusion *f, const struct type *from, const struct type *shape)
{
    struct arena *arena = arena_new();
    struct prog *prog = prog_new(arena, f->graph->session, f->graph->dims, "probe");
    ex at = ex_dim(prog, 0), idx[RANK_MOST];
    for (int i = 0; i < from->rank; i++) {
        struct var *var = prog_index(prog, "i", 0, dim_sub(prog->dims, from->dim[i], 1));
        at = ex_binary(prog, EX_add, ex_binary(prog, EX_mul, at, ex_dim(prog, from->dim[i])), ex_var(prog, var));
    }
    type_unflatten(prog, shape, at, idx);
    bool clean = true;
    for (int i = 0; i < shape->rank && clean; i++) {
        ex rest = idx[i];
        while (rest->op == EX_add || rest->op == EX_mul) {
            if (rest->op == EX_add && (rest->arg[1]->op == EX_div || rest->arg[1]->op == EX_mod)) clean = false;
            if (rest->op == EX_add && rest->arg[1]->op == EX_mul && (rest->arg[1]->arg[0]->op == EX_div || rest->arg[1]->arg[0]->op == EX_mod)) clean = false;
            rest = rest->arg[0];
        }
        if (rest->op == EX_div || rest->op == EX_mod) clean = false;
    }
    arena_free(arena);
    return clean;
}

static bool expands(const struct node *node)
{
    if (node->op != OP_broadcast) return false;
    return !type_equal(&node->in[0]->type, &node->out[0].type);
}

/* Elements of work that reading this value once costs, beyond loading. */
static int cost_of(const struct value *value)
{
    enum op_kind kind = kind_of(value);
    if (kind == OP_REDUCE || kind == OP_CONTRACT) return 1000;
    int cost = 0;
    enum expr_op op;
    if (kind == OP_MAP) cost = expr_from_name(op_row(value->node->op)->name, &op) ? expr_row(op)->cost : 2;
    return cost;
}

/* Whether the subscripts at which `root` needs `value` use only a leading part of root's axes, so that the value is
 * computed in an outer loop. Follows one path of uses; axes[i] says that value's axis i comes from root's axis
 * axes[i], or -1 where it is constant. */
static bool rows_only(struct fusion *f, const struct value *value, const struct value *root)
{
    int axes[RANK_MOST];
    const struct value *at = value;
    for (int i = 0; i < value->type.rank; i++) axes[i] = i;
    /* axes of `value` expressed in axes of `at`, walking down to root */
    for (int steps = 0; steps < 64; steps++) {
        if (at == root) break;
        int u = f->first_use[at->id];
        if (u < 0) return false;
        const struct node *node = f->uses.at[u].node;
        const struct value *next = node->out;
        if (node->op == OP_broadcast || op_row(node->op)->kind == OP_MAP) {
            for (int i = 0; i < value->type.rank; i++)
                if (axes[i] >= 0 && at->type.dim[axes[i]] == 1 && next->type.dim[axes[i]] != 1) axes[i] = -1;
        } else if (node->op == OP_reshape) { /* only inserting or removing axes of size 1 */
            int to[RANK_MOST], k = 0;
            for (int i = 0; i < at->type.rank; i++) {
                if (at->type.dim[i] == 1) {
                    to[i] = -1;
                    continue;
                }
                while (k < next->type.rank && next->type.dim[k] == 1) k++;
                if (k == next->type.rank || next->type.dim[k] != at->type.dim[i]) return false;
                to[i] = k++;
            }
            for (int i = 0; i < value->type.rank; i++)
                if (axes[i] >= 0) axes[i] = to[axes[i]];
        } else return false;
        at = next;
    }
    if (at != root) return false;
    bool used[RANK_MOST] = {false};
    for (int i = 0; i < value->type.rank; i++)
        if (axes[i] >= 0) used[axes[i]] = true;
    bool inner = false; /* the axes of root that value does not depend on must be the innermost */
    for (int i = root->type.rank - 1; i >= 0; i--) {
        if (root->type.dim[i] == 1) continue;
        if (used[i]) inner = true;
        else if (inner) return false;
    }
    return true;
}

/* Every element used at most once on the way to the root: elementwise and one-to-one index maps only. */
static bool is_epilogue(struct fusion *f, const struct value *value, const struct value *root)
{
    const struct value *at = value;
    while (at != root) {
        const struct node *next = NULL;
        for (int u = f->first_use[at->id]; u >= 0; u = f->uses.at[u].next) {
            const struct node *node = f->uses.at[u].node;
            bool clean = op_row(node->op)->kind == OP_MAP || node->op == OP_reshape || node_is_prefix(node);
            if (node->op == OP_transpose) { /* the contiguous axis stays where it is */
                const int64_t *perm = node_attr(node, "perm")->ints;
                int rank = at->type.rank;
                clean = rank > 0 && perm[rank - 1] == rank - 1;
            }
            if (!clean) return false;
            if (node->op == OP_reshape && !splits_cleanly(f, &node->out[0].type, &at->type)) return false;
            if (!next || node->id < next->id) next = node;
        }
        if (!next) return false;
        at = next->out;
    }
    return true;
}

/* Whether functions such as exp stand between the value and the root. A contraction whose results are single numbers (one
 * output channel) has its lanes along the reduction: they would be computed one at a time. */
static bool is_costly_until(struct fusion *f, const struct value *value, const struct value *root)
{
    for (int steps = 0; value != root && steps < GROUP_MOST; steps++) {
        value = f->uses.at[f->first_use[value->id]].node->out;
        if (cost_of(value) >= 10 && kind_of(value) == OP_MAP) return true;
    }
    return false;
}

static bool is_padding(const struct node *node)
{
    return node->op == OP_pad;
}

/* Pass lower lets what a padding reads be stored inside the padded buffer: no reason to compute it there, under guards. */
static bool is_stored_inside(const struct value *value, const struct node *padding)
{
    return node_is_border(padding) && opens(value->node);
}

static bool reads_repeatedly(const struct node *user)
{
    return op_row(user->op)->kind == OP_CONTRACT || user->op == OP_pool_max || user->op == OP_pool_sum ||
           user->op == OP_pool_max_last || user->op == OP_pool_sum_last || user->op == OP_cumsum || user->op == OP_cumprod;
}

/* Whether value is an elementwise result on top of a contraction that could become its epilogue. */
static bool memory_is_short(const struct fusion *f)
{
    return f->options->target && f->options->target->is_small;
}

/* A byte made wider, where memory is short: it is stored as the byte, and made wider where it is read. */
static bool stays_narrow(const struct fusion *f, const struct value *value)
{
    return memory_is_short(f) && value->node->op == OP_cast && dtype_bytes(value->node->in[0]->type.dt) == 1 && dtype_bytes(value->type.dt) > 1;
}

/* A conversion to a 16-bit float or back, as pass halves puts two behind every operator. */
static bool is_half_cast(const struct value *value)
{
    return value->node->op == OP_cast && (dtype_is_half(value->type.dt) || dtype_is_half(value->node->in[0]->type.dt));
}

static bool tops_contraction(struct fusion *f, const struct value *value, int depth)
{
    if (kind_of(value) != OP_MAP || depth > (memory_is_short(f) ? CHAIN_INTEGER : CHAIN_MOST) || stays_narrow(f, value)) return false;
    for (int i = 0; i < value->node->n_in; i++) {
        const struct value *x = value->node->in[i];
        int first = f->first_use[x->id];
        bool once = first >= 0 && f->uses.at[first].next < 0;
        if (once && (kind_of(x) == OP_CONTRACT || tops_contraction(f, x, depth + !is_half_cast(x)))) return true;
    }
    return false;
}

/* Index notation without a reduction. */
static bool is_transform(struct fusion *f, const struct node *node)
{
    const char *error;
    if (node->op != OP_index) return false;
    const struct meaning *meaning = meaning_parse(f->scratch, node_attr(node, "meaning")->s, &error);
    return meaning && !meaning_reduces(meaning);
}

/* Whether a product with many rows would read the value along its lanes with a stride: once transposed, it does not. */
static bool is_turned_operand(const struct value *value, const struct node *user)
{
    int rank = value->type.rank;
    if (value->node->op != OP_transpose || user->op != OP_matmul || user->in[1] != value || rank < 2) return false;
    dim rows = user->in[0]->type.dim[rank - 2];
    return node_attr(value->node, "perm")->ints[rank - 1] != rank - 1 && dim_is_const(rows) && rows >= ROWS_MANY;
}

/* Bytes as floats: where these would leave the second cache level, converting as they are read is the cheaper way. */
static bool is_widened(const struct fusion *f, const struct value *value)
{
    const struct value *from = value->node->op == OP_cast ? value->node->in[0] : NULL;
    int64_t n = type_count(&value->type);
    return from && dtype_bytes(from->type.dt) == 1 && value->type.dt == DT_f32 && n >= 0 && pass_is_large(f->options, n * 4);
}

/* Pass tables' lookups, which have no lanes. */
static bool is_lookup(const struct node *node)
{
    return node->op == OP_gather && node->in[1]->type.dt == DT_u8;
}

/* Whether elementwise operators lead from the value to a reduction. */
static bool is_reduced(const struct fusion *f, const struct value *value, int depth)
{
    for (int u = f->first_use[value->id]; u >= 0 && depth < 8; u = f->uses.at[u].next) {
        const struct node *user = f->uses.at[u].node;
        if (op_row(user->op)->kind == OP_REDUCE || (op_row(user->op)->kind == OP_MAP && is_reduced(f, user->out, depth + 1))) return true;
    }
    return false;
}

/* The contraction that elementwise operators made the value of; NULL: none within sight. */
static const struct value *sums_below(const struct value *value, int depth, int *visits)
{
    const struct value *found = NULL;
    if (kind_of(value) == OP_CONTRACT) return value;
    bool narrow = depth > 0 && dtype_bytes(value->type.dt) == 1; /* a byte by itself */
    if (kind_of(value) != OP_MAP || narrow || depth > CHAIN_INTEGER || ++*visits > VISITS_MOST) return NULL;
    for (int i = 0; i < value->node->n_in && !found; i++) found = sums_below(value->node->in[i], depth + 1, visits);
    return found;
}

/* Whether what is summed up in a contraction and became a byte would be stored as the sums, since its user reads it in
 * another order or again and again. Only where memory is short. */
static bool is_byte_result(struct fusion *f, const struct value *value, const struct node *user)
{
    if (!memory_is_short(f) || dtype_bytes(value->type.dt) != 1 || !tops_contraction(f, value, 0)) return false;
    return user->op == OP_transpose || (stays_narrow(f, user->out) && is_reduced(f, user->out, 0));
}

/* Why `value` may not be computed inside this user; NULL: it may. */
static const char *why_not_inside(struct fusion *f, const struct value *value, const struct node *user)
{
    enum op_kind kind = kind_of(value), by = op_row(user->op)->kind;
    bool free_map = is_plain_map(value->node);
    if (user->op == OP_transfer) return "read on the other side";
    if (!opens(user)) return "read by control flow or a function";
    if (is_lookup(user) && kind != OP_MOVE) return "looked up in a table, which has no lanes";
    if (is_words(user) && value->node->op != OP_reshape) return "read as words, whose bytes lie side by side";
    if (f->repeats[value->id] && !free_map && !is_widened(f, value) && !stays_narrow(f, value)) return "read many times by a contraction or a window";
    if (by == OP_REDUCE && tops_contraction(f, value, 0)) return "on top of a contraction, of which it is the epilogue";
    if (is_byte_result(f, value, user)) return "a byte on top of a contraction, where sums would take four";
    if (is_padding(user) && is_stored_inside(value, user)) return "stored inside the padded value";
    if (is_turned_operand(value, user)) return "a product reads it once per row: transposed before";
    if (user->op == OP_scatter && !free_map && kind != OP_MAP) return "what a scatter writes into";
    if (by == OP_MOVE && user->op != OP_concat && !is_plain_map(user) && cost_of(value) > 4) return "an index map would repeat its work";
    if (expands(user) && kind == OP_MAP && cost_of(value) > 1) return "a broadcast would repeat its work";
    if (user->op == OP_reshape && !splits_cleanly(f, &user->out[0].type, &value->type)) return "a reshape would need divisions to read it";
    return NULL;
}

/* Whether the kernel of `root` can be what follows the contraction's sums, element by element. */
static bool takes_sums(struct fusion *f, const struct value *sums, const struct value *root)
{
    bool chain = op_row(root->node->op)->kind == OP_MAP || root->node->op == OP_reshape || root->node->op == OP_transpose;
    return (chain || node_is_prefix(root->node)) && !f->contraction[root->id] && is_epilogue(f, sums, root);
}

/* The same for a byte whose user cannot take the sums themselves. */
static bool is_byte_apart(struct fusion *f, const struct value *value, const struct value *root)
{
    int visits = 0;
    bool byte = value->type.dt == DT_i8 || value->type.dt == DT_u8;
    if (!memory_is_short(f) || !byte || kind_of(value) != OP_MAP || !root || root == value) return false;
    const struct value *sums = sums_below(value, 0, &visits);
    return sums && dtype_bytes(sums->type.dt) > 1 && !takes_sums(f, sums, root);
}

/* Why `value`, all of whose uses end up in `root` (NULL: in several), is stored; NULL: it is computed there. */
static const char *why_stored(struct fusion *f, const struct value *value, const struct value *root, int n_uses)
{
    enum op_kind kind = kind_of(value);
    int only = f->first_use[value->id];
    if (f->uses.at[only].next < 0 && root && is_transform(f, value->node) && is_transform(f, f->uses.at[only].node)) return NULL;
    for (int u = f->first_use[value->id]; u >= 0; u = f->uses.at[u].next) {
        const char *why = why_not_inside(f, value, f->uses.at[u].node);
        if (why) return why;
    }
    if (is_byte_apart(f, value, root)) return "a byte on top of a contraction, where sums would take four";
    if (root && f->contraction[root->id] && tops_contraction(f, value, 0)) return "the epilogue of a contraction of its own";
    if (kind == OP_MAP || is_index_map(value->node))
        return root || (is_plain_map(value->node) && n_uses > 0) ? NULL : "used by several kernels";
    if (!root || f->is_output[value->id]) return "used by several kernels";
    bool chain = op_row(root->node->op)->kind == OP_MAP || root->node->op == OP_reshape || root->node->op == OP_transpose;
    if (!chain && !node_is_prefix(root->node)) return "the kernel that uses it is not elementwise";
    if (kind == OP_CONTRACT) {
        bool alone = value->type.dim[value->type.rank - 1] == 1;
        if (alone && is_costly_until(f, value, root)) return "one output channel: what follows has lanes of its own";
        if (f->contraction[root->id]) return "the kernel that uses it has a contraction already";
        if (!is_epilogue(f, value, root)) return "its elements are used more than once, or out of order";
        f->contraction[root->id] = value;
        return NULL;
    }
    if (kind != OP_REDUCE || f->contraction[root->id]) return "the kernel that uses it has a contraction already";
    return rows_only(f, value, root) || is_epilogue(f, value, root) ? NULL : "a reduction whose place the loops of its user do not fix";
}

/* The same before its uses are looked at. */
static const char *why_stored_itself(const struct fusion *f, const struct value *value, const struct value *root, int n_uses)
{
    if (f->is_output[value->id]) return "a result of the model";
    if (!opens(value->node) || value->node->n_out != 1) return "the result of control flow or a function";
    if (value->node->op == OP_transfer) return "brought from the other side";
    if (value->node->op == OP_concat || value->node->op == OP_scatter) return "its parts are written where they belong";
    if (is_lookup(value->node)) return "looked up in a table, which has no lanes";
    if (n_uses == 0) return "used by nobody here";
    if (root && f->size[root->id] >= GROUP_MOST) return "the kernel that uses it is large enough";
    return NULL;
}

static void decide(struct fusion *f, struct value *value)
{
    const struct value *root = NULL;
    bool first = true, several = false;
    int n_uses = 0;
    for (int u = f->first_use[value->id]; u >= 0; u = f->uses.at[u].next, n_uses++) {
        const struct node *user = f->uses.at[u].node;
        const struct value *r = f->root[user->out[0].id];
        if (reads_repeatedly(user) || (!f->stored[user->out[0].id] && f->repeats[user->out[0].id])) f->repeats[value->id] = true;
        if (first) root = r;
        else if (r != root) several = true;
        first = false;
    }
    if (several) root = NULL;
    value->stored = why_stored_itself(f, value, root, n_uses);
    if (!value->stored) value->stored = why_stored(f, value, root, n_uses);
    bool fuse = !value->stored;
    if (fuse && root) f->size[root->id]++;
    f->stored[value->id] = !fuse;
    f->root[value->id] = fuse ? root : value;
}

static struct graph *fuse(const struct graph *graph, struct arena *unit, const struct pass_options *options)
{
    struct graph *to = graph_like(graph, unit, graph->name);
    struct value **map = NEW_ARRAY(unit, struct value *, graph->next_value + 1);
    to->no_fold = true; /* the graph is final: what is marked must stay what it is */
    bool *live = graph_live(graph, unit);
    for (int i = 0; i < graph->nodes.n; i++)
        if (live[i] && !pass_copy_node(to, graph->nodes.at[i], map, fuse, unit, options)) return NULL;
    for (int i = 0; i < graph->outputs.n; i++) graph_output(to, graph->output_names.at[i], map[graph->outputs.at[i]->id]);
    struct fusion f = {.graph = to, .options = options, .scratch = unit};
    f.is_output = NEW_ARRAY(unit, bool, to->next_value + 1);
    f.stored = NEW_ARRAY(unit, bool, to->next_value + 1);
    f.root = NEW_ARRAY(unit, const struct value *, to->next_value + 1);
    f.contraction = NEW_ARRAY(unit, const struct value *, to->next_value + 1);
    f.size = NEW_ARRAY(unit, int, to->next_value + 1);
    f.repeats = NEW_ARRAY(unit, bool, to->next_value + 1);
    note_uses(&f);
    for (int i = to->nodes.n - 1; i >= 0; i--)
        for (int k = 0; k < to->nodes.at[i]->n_out; k++) decide(&f, &to->nodes.at[i]->out[k]);
    for (int i = 0; i < to->nodes.n; i++)
        for (int k = 0; k < to->nodes.at[i]->n_out; k++)
            to->nodes.at[i]->out[k].fused = !f.stored[to->nodes.at[i]->out[k].id];
    return to;
}

struct graph *pass_fuse(const struct graph *graph, struct arena *unit, const struct pass_options *options)
{
    return fuse(graph, unit, options);
}
