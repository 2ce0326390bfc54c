/* The standard library: functions of frontend/prelude.tn, called from C. */
#ifndef TENON_PRELUDE_H
#define TENON_PRELUDE_H
#include "../ir/graph.h"

/* Calls a function of the prelude on values of graph. Attributes are arguments by name (INT, FLOAT, INTS as a list,
 * STRING, GRAPH not); an attribute the function has no parameter for is an error. A NULL input is an argument not
 * given: the parameter's default stands. Results go to out[0..n_out), as many as the function returns at least.
 * False after an error, reported at graph->place. */
bool prelude_call(struct graph *graph, const char *function, int n_in, struct value *const *in, int n_attrs,
                  const struct attr *attrs, int n_out, struct value **out);
/* Whether the prelude has the function. */
bool prelude_has(const char *function);
/* pass_options.expand_composite: the prelude's function of the operator's name. */
bool prelude_expand(struct graph *to, const struct node *node, struct value *const *in, struct value **out);

#endif
