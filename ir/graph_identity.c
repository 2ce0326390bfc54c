/* Nodes that would change nothing, or that undo the node before them: found while building, so that no pass has to
 * clean up. Only what is exact for every value; float arithmetic is left alone (x + 0 is not x for -0). */
#include "graph_inside.h"

#include <string.h>

static bool ints_are(const struct node *node, const char *name, int64_t v)
{
    const struct attr *attr = node_attr(node, name);
    for (int i = 0; i < attr->n; i++)
        if (attr->ints[i] != v) return false;
    return true;
}

static bool is_identity_perm(const int64_t *perm, int n)
{
    for (int i = 0; i < n; i++)
        if (perm[i] != i) return false;
    return true;
}

static struct value *transpose_identity(struct graph *graph, const struct node *node)
{
    struct value *x = node->in[0];
    const int64_t *perm = node_attr(node, "perm")->ints;
    int n = x->type.rank;
    if (is_identity_perm(perm, n)) return x;
    if (x->node->op == OP_transpose) { /* two permutations are one */
        const int64_t *first = node_attr(x->node, "perm")->ints;
        int64_t both[RANK_MOST];
        for (int i = 0; i < n; i++) both[i] = first[perm[i]];
        return graph_transpose(graph, x->node->in[0], both);
    }
    /* moving only axes of size 1 is a reshape */
    int64_t last = -1;
    for (int i = 0; i < n; i++) {
        if (x->type.dim[perm[i]] == 1) continue;
        if (perm[i] < last) return NULL;
        last = perm[i];
    }
    dim dims[RANK_MOST];
    for (int i = 0; i < n; i++) dims[i] = x->type.dim[perm[i]];
    return graph_reshape(graph, x, n, dims);
}

struct value *node_identity(struct graph *graph, const struct node *node, const struct type *type)
{
    struct value *x = node->n_in ? node->in[0] : NULL;
    bool same = x && type_equal(&x->type, type);
    switch (node->op) {
    case OP_reshape:
        if (same) return x;
        if (x->node->op == OP_reshape) return graph_reshape(graph, x->node->in[0], type->rank, type->dim);
        return NULL;
    case OP_transpose: return transpose_identity(graph, node);
    case OP_broadcast: case OP_cast: case OP_bitcast: return same ? x : NULL;
    case OP_slice: return same && ints_are(node, "start", 0) && ints_are(node, "step", 1) ? x : NULL;
    case OP_pad: case OP_pad_edge: case OP_pad_reflect: case OP_pad_wrap:
        return ints_are(node, "before", 0) && ints_are(node, "after", 0) ? x : NULL;
    case OP_repeat: return ints_are(node, "times", 1) ? x : NULL;
    case OP_dilate: return ints_are(node, "stride", 1) ? x : NULL;
    case OP_concat: return node->n_in == 1 ? x : NULL;
    case OP_sum: case OP_prod: case OP_reduce_min: case OP_reduce_max:
        return node_attr(node, "axes")->n == 0 ? x : NULL;
    default: return NULL; /* every other operator computes something */
    }
}
