/* Printing a graph with its side file of weights; graph.h has the short form. */
#ifndef TENON_GRAPH_PRINT_H
#define TENON_GRAPH_PRINT_H
#include "graph.h"

struct print_weight { /* a constant that the text only refers to */
    const char *name;
    const struct tensor *tensor;
};
struct print {
    struct arena *arena; /* scratch; `weights` lives there too */
    struct text *text;
    LIST(struct print_weight) weights;
    struct dims *dims;
    const char *prefix; /* of the weights of the subgraph being printed */
    size_t weights_at;
    int depth;
};

/* Adds the graph to print->text, with `weights "weights_file"` in front where it refers to any, and collects these. */
void graph_print_into(struct print *print, const struct graph *graph, const char *weights_file);
/* The side file's name in graph_print's text: NAME.safetensors */
const char *graph_weights_file(const struct graph *graph, struct arena *arena);
/* Writes the model to `path` and its weights, where it has large ones, beside it (path with the suffix .safetensors).
 */
bool graph_write(const struct graph *graph, const char *path, struct diag *diag);
/* Writes only the side file of graph_print's text, to this path; also where no weight is large (an empty file then). */
bool graph_write_weights(const struct graph *graph, const char *path, struct diag *diag);
/* Whether a value of the text cannot have this name. */
bool graph_name_is_reserved(const struct dims *dims, const char *name);

#endif
