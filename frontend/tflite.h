/* TensorFlow Lite models (.tflite) as their authors ship them.
 *
 * A file is mapped and read where it lies, every offset checked (flatbuffer.h); weights stay there. Operators are
 * walked in the file's order into a graph (tflite_import.c); each is a row of one of the tflite_*.c families. Tensors
 * keep the file's layout, channels last; quantized ones are integers in the graph, and their operators the exact
 * integer arithmetic of TensorFlow Lite's reference kernels (tflite_quant.c). Everything wrong with a model is reported
 * in one run. Read next: tflite_import.h.
 */
#ifndef TENON_TFLITE_H
#define TENON_TFLITE_H
#include "../ir/graph.h"
#include "pin.h"

enum {
    TFLITE_OPERATORS_MOST = 50000,
    TFLITE_TENSORS_MOST = 500000,
    TFLITE_OPERANDS_MOST = 1024 /* of one operator */
};

struct tflite_options {
    int n_pins;
    const struct dim_pin *pins; /* INPUT_dN for axis N, where the model's signature leaves its size open */
};

/* Adds the model's first subgraph to the empty `graph`. Sizes that the model leaves open are what its file says (1 as
 * a rule) unless pinned. False after messages in graph->diag. The file stays mapped. */
bool tflite_read(struct graph *graph, const char *path, const struct tflite_options *options);
/* The same for bytes in memory, which must stay while the session does. */
bool tflite_read_bytes(struct graph *graph, const void *bytes, size_t n_bytes, const struct tflite_options *options);

#endif
