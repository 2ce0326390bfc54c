/* Losses: negative log likelihood, and softmax cross entropy as the same over log_softmax.
 *
 * loss[n, d] = -w[t] * x[n, t, d] with t = target[n, d]; an ignored target counts nothing and weighs nothing. The mean
 * is taken over the weights.
 */
#include "onnx_build.h"

#include <string.h>

static struct value *sum_all(struct graph *g, struct value *x)
{
    return x ? graph_reduce(g, OP_sum, x, x->type.rank, build_axes_from(g, 0, x->type.rank), false) : NULL;
}

static struct value *picked_loss(struct onnx_call *c, struct value *x, struct value *target, struct value *weight)
{
    struct graph *g = c->graph;
    if (!x || !target || x->type.rank < 2 || target->type.rank != x->type.rank - 1)
        return onnx_error(c, "needs scores of rank 2 or more and targets of one less");
    struct type whole = target->type;
    dim classes = x->type.dim[1], flat[3] = {x->type.dim[0], classes, build_extent(g, x, 2, x->type.rank)};
    bool ignores = onnx_has(c, "ignore_index");
    struct value *is_ignored = NULL, *share = NULL;
    target = graph_reshape(g, graph_cast(g, target, DT_i64), 2, (dim[]){flat[0], flat[2]});
    if (ignores) is_ignored = build_with(g, OP_eq, target, (double)onnx_int(c, "ignore_index", 0));
    struct value *last = build_extent_value(g, dim_sub(g->dims, classes, 1), DT_i64);
    struct value *safe = build_min(g, build_with(g, OP_max, target, 0), last);
    struct value *in[2] = {graph_reshape(g, x, 3, flat), build_unsqueeze(g, safe, 1)};
    struct value *loss = build_neg(
        g, build_squeeze(g, graph_node(g, OP_gather_elements, 2, in, 1, (struct attr[]){ATTR_I("axis", 1)}), 1));
    struct value *zero = build_number(g, x, 0);
    if (weight) share = graph_gather(g, weight, safe, 0, 0);
    else if (ignores) share = build_fill(g, build_number(g, x, 1), 2, (dim[]){flat[0], flat[2]});
    if (ignores) {
        share = graph_select(g, is_ignored, zero, share);
        loss = graph_select(g, is_ignored, zero, loss);
    }
    if (share) loss = build_mul(g, loss, share);
    const char *reduction = onnx_string(c, "reduction", "mean");
    if (!strcmp(reduction, "none")) return graph_reshape(g, loss, whole.rank, whole.dim);
    if (!strcmp(reduction, "sum")) return sum_all(g, loss);
    if (strcmp(reduction, "mean") != 0) return onnx_error(c, "reduction \"%s\"", reduction);
    struct value *count =
        share ? sum_all(g, share) : build_extent_value(g, dim_mul(g->dims, flat[0], flat[2]), x->type.dt);
    return build_div(g, sum_all(g, loss), count);
}

static struct value *build_likelihood_loss(struct onnx_call *c)
{
    return picked_loss(c, c->in[0], c->in[1], c->in[2]);
}

static struct value *build_cross_entropy_loss(struct onnx_call *c)
{
    struct value *x = c->in[0];
    if (!x || x->type.rank < 2) return onnx_error(c, "needs scores of rank 2 or more");
    struct value *log = graph_node(c->graph, OP_log_softmax, 1, &x, 1, (struct attr[]){ATTR_I("axis", 1)});
    c->out[1] = log;
    return picked_loss(c, log, c->in[1], c->in[2]);
}

const struct onnx_row onnx_loss_rows[] = {
    {"NegativeLogLikelihoodLoss", 12, 0, 2, build_likelihood_loss},
    {"SoftmaxCrossEntropyLoss", 12, 0, 2, build_cross_entropy_loss},
    {NULL, 0, 0, 0, NULL},
};
