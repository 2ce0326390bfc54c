/* ONNX models and tensors as their authors ship them.
 *
 * A file is mapped, its protobuf bytes are checked against the limits below before anything is allocated
 * (onnx_load.c), decoded by protobuf-c, and walked node by node into a graph (onnx_import.c): every operator is one
 * function in one of the onnx_*.c families that builds graph nodes. Everything wrong with a model is reported in one
 * run, in the model's own names. Read next: onnx_import.h.
 */
#ifndef TENON_ONNX_H
#define TENON_ONNX_H
#include "../ir/graph.h"
#include "pin.h"
#include <stdbool.h>
#include <stdio.h>

enum {
    ONNX_OPSET_LEAST = 7,
    ONNX_OPSET_MOST = 28, /* newest opset whose operators were read against their specification */
    ONNX_NODES_MOST = 50000,
    ONNX_FUNCTIONS_MOST = 10000,
    ONNX_SUBGRAPHS_MOST = 32,
    ONNX_CALLS_MOST = 100,
    ONNX_NESTING_MOST = 100,
    ONNX_NAME_MOST = 4096,
    ONNX_ATTRIBUTES_MOST = 1024
};

struct onnx_constant { /* a graph input whose value is known when compiling: it is then no input of the graph */
    const char *name;
    const struct tensor *tensor;
};
struct onnx_names {
    const char **at;
    int n, cap;
};
struct onnx_options {
    int n_pins, n_constants;
    const struct dim_pin *pins; /* by dim_param, or INPUT_dN where a dimension has none */
    const struct onnx_constant *constants;
    struct onnx_names *wanted; /* where not NULL gets the inputs whose values would have to be known when compiling */
    const char *folder;        /* external data lies here; onnx_read takes the model's own folder where NULL */
};

/* Adds the model's nodes, inputs and outputs to the empty `graph`. False after messages in graph->diag. */
bool onnx_read(struct graph *graph, const char *path, const struct onnx_options *options);
/* The same for bytes in memory, which must stay while the session does. External data is refused without a folder. */
bool onnx_read_bytes(struct graph *graph, const void *bytes, size_t n_bytes, const struct onnx_options *options);

/* A TensorProto file (.pb) into `arena`; *name is its name there, "" where it has none. */
bool onnx_read_tensor(struct arena *arena, struct diag *diag, const char *path, struct tensor *tensor,
                      const char **name);

/* Runs a graph on inputs. False where it could not, *why then says so in words ("" where diag was told). */
struct onnx_runner {
    void *ctx;
    bool (*run)(void *ctx, struct graph *graph, const struct tensor *in, const int64_t *symbols, struct arena *arena,
                struct tensor *out, const char **why);
};
struct onnx_outcome {
    int passed, failed, skipped;
};
/* One ONNX backend case folder (model.onnx, test_data_set_N): prints `pass|fail|skip NAME reason` and counts. A case
 * is skipped only where the importer refuses the model; the message is its reason. Inputs that must be known when
 * compiling (a shape, axes) are given to the importer as constants, and the line says which. */
void onnx_test_case(const char *folder, const struct onnx_runner *runner, FILE *out, struct onnx_outcome *outcome);
#endif
