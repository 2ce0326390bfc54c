/* The model language: text -> graph.
 *
 * The text becomes a tree (ast.h), and the tree is run once: compile-time values are computed, functions are
 * entered, tensors become nodes of the graph through the builder. See examples/ for the language itself.
 */
#ifndef TENON_LANGUAGE_H
#define TENON_LANGUAGE_H
#include "../ir/graph.h"
#include "pin.h"

struct language_options {
    const char *model;              /* which model of the file; NULL: its only one */
    const char *const *import_dirs; /* searched after the importing file's own folder */
    int n_import_dirs;
    const struct dim_pin *pins;
    int n_pins;
    bool
        zero_weights; /* parameters that no file has are zeros instead of an error: shapes can be looked at untrained */
};

/* Fills an empty graph from source (source->name is its path; imports and weights are found beside it). source and
 * its text must live in graph->session. False after errors, which are in graph->diag: up to DIAG_MOST of them. */
bool language_read(struct graph *graph, const struct source *source, const struct language_options *options);

#endif
