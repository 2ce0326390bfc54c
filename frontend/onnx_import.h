/* What the parts of the ONNX importer share.
 *
 * onnx_import.c walks nodes and finds the row of each operator; a row's function gets a `struct onnx_call` (the node,
 * its input values, its opset) and answers with values it built. The helpers below keep most operators at a few lines.
 * A function never checks whether a value it got is NULL because of an error: graph_node passes NULL on silently.
 */
#ifndef TENON_ONNX_IMPORT_H
#define TENON_ONNX_IMPORT_H
#include "file_map.h"
#include "onnx.h"
#include "onnx.pb-c.h"

/* Bytes to a message of this kind, decoded into arena (which keeps it); NULL after a message. */
void *onnx_decode(struct diag *diag, struct place place, struct arena *arena, const ProtobufCMessageDescriptor *message,
                  const void *bytes, size_t n_bytes);

/* Where a TensorProto's data may come from and where messages about it go. */
struct onnx_source {
    struct arena *arena;
    struct diag *diag;
    struct place place;
    const char *folder; /* of external data, NULL where there is none */
};
/* The element type of an ONNX type number; false (and its name in *name) where there is none here. */
bool onnx_dtype(int32_t type, enum dtype *dt, const char **name);
/* The same with those that a graph has as bytes (onnx_narrow.h): *narrow says which, NULL for all others. */
struct narrow;
bool onnx_element(int32_t type, enum dtype *dt, const struct narrow **narrow, const char **name);
/* Data may stay inside proto. */
bool onnx_tensor(const struct onnx_source *source, const Onnx__TensorProto *proto, struct tensor *tensor);

struct importer;
struct onnx_call {
    struct importer *importer;
    struct graph *graph;
    const Onnx__NodeProto *node;
    int version; /* of the opset that the node's domain has here */
    int n_in, n_out;
    struct value **in;  /* NULL where absent, also past n_in (to 16 at least) */
    struct value **out; /* to be filled */
    const struct narrow **narrow_in, **narrow_out; /* what bytes stand for (onnx_narrow.h); NULL: for themselves */
};
struct onnx_row {
    const char *name;
    int since, until; /* opsets; until 0: to the newest */
    int least;        /* inputs that must be there: build finds these in call->in and not NULL */
    struct value *(*build)(struct onnx_call *call); /* the first result; more go to call->out */
};
/* Tables of the families, each ended by a row without a name. */
extern const struct onnx_row onnx_math_rows[], onnx_shape_rows[], onnx_constant_rows[], onnx_index_rows[],
    onnx_reduce_rows[], onnx_control_rows[], onnx_conv_rows[], onnx_pool_rows[], onnx_norm_rows[], onnx_quant_rows[],
    onnx_resize_rows[], onnx_rnn_rows[], onnx_loss_rows[], onnx_attention_rows[], onnx_linear_attention_rows[],
    onnx_einsum_rows[], onnx_sample_rows[], onnx_signal_rows[], onnx_quant_product_rows[], onnx_quant_contrib_rows[];

/* Messages about the call's node. Both return NULL. refuse: the operator is fine but Tenon does not take it. */
struct value *onnx_error(struct onnx_call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));
struct value *onnx_refuse(struct onnx_call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));
struct value *onnx_input_error(struct onnx_call *call, int input, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Refuses because input i has to be known when compiling; notes which inputs of the model it depends on. */
struct value *onnx_must_know(struct onnx_call *call, int i, const char *what);

/* Attributes; `otherwise` (NULL, -1) where the node has none. Lists live as long as the graph. */
bool onnx_has(struct onnx_call *call, const char *name);
int64_t onnx_int(struct onnx_call *call, const char *name, int64_t otherwise);
double onnx_float(struct onnx_call *call, const char *name, double otherwise);
const char *onnx_string(struct onnx_call *call, const char *name, const char *otherwise);
int onnx_ints(struct onnx_call *call, const char *name, const int64_t **list);
/* As they stand in the file (also of one integer); the two above clamp to +-DIM_HUGE, so that none looks like a dim. */
int onnx_raw_ints(struct onnx_call *call, const char *name, const int64_t **list);
int onnx_floats(struct onnx_call *call, const char *name, const float **list);
int onnx_strings(struct onnx_call *call, const char *name, const char *const **list);
const Onnx__TensorProto *onnx_tensor_attribute(struct onnx_call *call, const char *name);
const Onnx__GraphProto *onnx_graph_attribute(struct onnx_call *call, const char *name);

/* Input i as a list of integers known at compile time (elements may be dims); -1 after a message where it is not.
 * Absent: 0 and *list NULL. */
int onnx_input_ints(struct onnx_call *call, int i, const char *what, const int64_t **list);
/* Attribute `name` where the version has it, otherwise input i: as above. */
int onnx_ints_or_input(struct onnx_call *call, const char *name, int i, const int64_t **list);
bool onnx_is_tensor_absent(struct onnx_call *call, int i);
/* -rank <= axis < rank made 0 <= axis < rank (limit: of which rank); false after a message. */
bool onnx_axis(struct onnx_call *call, int64_t axis, int rank, int *result);
/* n axes made non-negative, sorted as given, each once; NULL after a message. */
const int64_t *onnx_axes(struct onnx_call *call, int n, const int64_t *axes, int rank);

/* The node makes sense only where `extent`, a dynamic dimension, is 1: the range of the one symbol it depends on is
 * narrowed to where it is (not inside a branch or loop, which may not run), and the user is warned. False after a
 * message where it never is. what: `axis 2 of f32[N, 3]`. */
bool onnx_assume_one(struct onnx_call *call, dim extent, const char *what);
/* Two extents have to be equal and are not known to be: notes the divisor of their symbol that makes them so. True
 * where the import has to start again with it. */
bool onnx_assume_equal(struct onnx_call *call, dim a, dim b);
/* onnx_assume_equal for operands that are to be broadcast (axis -1) or concatenated along axis. */
void onnx_assume_fit(struct onnx_call *call, int axis);

/* A subgraph attribute's body built into the call's own graph; out gets n_out results. False after messages. */
bool onnx_import_inline(struct onnx_call *call, const Onnx__GraphProto *body, int n_in, struct value *const *in,
                        int n_out, struct value **out);
/* What subgraphs use of the names around them (constants excepted): these become inputs of their closed graphs. */
struct onnx_captures {
    int n, cap;
    struct onnx_capture {
        const char *name;
        struct value *value;
    } * at;
};
void onnx_collect_captures(struct onnx_call *call, const Onnx__GraphProto *body, struct onnx_captures *captures);
/* body as a closed graph: formals of the given types, then the captures. NULL after messages. */
struct graph *onnx_import_subgraph(struct onnx_call *call, const Onnx__GraphProto *body, int n_formals,
                                   const struct type *formals, const struct onnx_captures *captures);

#endif
