/* Between the files of the graph builder. */
#ifndef TENON_GRAPH_INSIDE_H
#define TENON_GRAPH_INSIDE_H
#include "graph.h"

/* Types of node's results into *types (n_out is set); false after an error. shape.c */
bool shape_infer(struct graph *graph, struct node *node, struct type **types);
/* Every dim possible as a size, the product within limits; false after an error. */
bool type_check(struct graph *graph, const struct type *type);
/* The existing value that node would only repeat (a reshape to the same shape ...), or NULL. graph_identity.c */
struct value *node_identity(struct graph *graph, const struct node *node, const struct type *type);
/* Evaluates node on its constant inputs, data into the session; false where it stays a node (symbolic elements that
 * do not fold, or an error that running will report). graph_fold.c */
bool node_fold(struct graph *graph, const struct node *node, struct tensor *result);
bool attr_equal(const struct attr *a, const struct attr *b);
bool tensor_equal(const struct tensor *a, const struct tensor *b);

#endif
