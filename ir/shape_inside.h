/* Between the files of the shape rules: reading attributes with complaints. */
#ifndef TENON_SHAPE_INSIDE_H
#define TENON_SHAPE_INSIDE_H
#include "graph_inside.h"

struct inference {
    struct graph *graph;
    struct node *node;
    struct type *out; /* room for node->n_out types */
};
#define FAIL(inf, ...) diag_error((inf)->graph->diag, (inf)->graph->place, __VA_ARGS__)

/* The row's name, and an input's type as text, for messages. */
const char *infer_name(const struct inference *inf);
const char *infer_shown(const struct inference *inf, int input);
/* An attribute that must be there; false after a complaint. */
bool wants_int(struct inference *inf, const char *name, int64_t lo, int64_t hi, int64_t *v);
bool wants_ints(struct inference *inf, const char *name, int n, const int64_t **list); /* n < 0: any number */
bool wants_positive(struct inference *inf, const char *name, const int64_t *list, int n);
bool same_dtypes(struct inference *inf, int first, int n);

/* Makes room for n results. */
void set_results(struct inference *inf, int n);

/* shape_window.c */
bool infer_conv(struct inference *inf);
bool infer_pool(struct inference *inf);
/* Whether the two operands of a product may be multiplied; what the sums are. */
bool infer_factors(struct inference *inf);
enum dtype infer_product(const struct inference *inf);
bool infer_conv_last(struct inference *inf);
bool infer_conv_depth(struct inference *inf);
bool infer_pool_last(struct inference *inf);
/* shape_control.c */
bool infer_control(struct inference *inf);

#endif
