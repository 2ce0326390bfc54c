/* What the parts of the TensorFlow Lite importer share.
 *
 * tflite_import.c walks the operators and finds each one's row; a row's function gets a `struct tflite_call` (input
 * values, the tensors they are, the table of options) and answers with values it built. Rows have two functions: one
 * for floats (and integers that are just numbers), one for quantized tensors; where both are the same, the operator
 * only moves elements. A function never checks whether a value is NULL because of an error: graph_node passes NULL on.
 */
#ifndef TENON_TFLITE_IMPORT_H
#define TENON_TFLITE_IMPORT_H
#include "flatbuffer.h"
#include "tflite.h"
#include "values.h"

enum tflite_op {
#define TFL(name) TFL_##name,
#include "tflite_ops.def"
#undef TFL
    TFL_COUNT
};
const char *tflite_op_name(enum tflite_op op);

/* Numbers of the schema. */
enum tflite_activation { ACT_NONE, ACT_RELU, ACT_RELU_N1_TO_1, ACT_RELU6, ACT_TANH, ACT_SIGN_BIT };

struct tflite_quant {
    int n; /* scales: 0 where the tensor is not quantized, 1, or one per element of `axis` */
    int axis;
    const double *scale; /* each > 0, an exact float */
    const int64_t *zero; /* n, in the range of the type */
};
struct tflite_tensor {
    struct type type;
    const char *name;
    struct tflite_quant quant;
    bool is_read, is_good; /* the fields above: read from the file, and fine */
    bool is_variable;      /* keeps its value between runs: zeros here */
    bool is_given;         /* an input of the model, or what an operator gave */
    struct value *value;   /* NULL: a constant not used yet; or given, but its operator failed */
};
struct tflite_importer {
    struct graph *graph;
    const struct tflite_options *options;
    struct flat flat;
    struct flat_table model;
    struct flat_list buffers, codes, tables; /* tables: of tensors */
    struct tflite_tensor *tensors;
    uint64_t heap_bytes; /* of copies so far: parts of a file that many others point to must not multiply */
};

struct tflite_call {
    struct tflite_importer *importer;
    struct graph *graph;
    enum tflite_op op;
    int version;
    struct flat_table operator, options;
    int n_in, n_out;
    const struct tflite_tensor **in_tensor; /* NULL where absent, also past n_in (to 32 at least) */
    const struct tflite_tensor **out_tensor;
    struct value **in, **out;
};
struct tflite_row {
    enum tflite_op op;
    int least; /* inputs that must be there; build finds these in call->in and not NULL */
    struct value *(*build)(struct tflite_call *call); /* the first result; more go to call->out */
    struct value *(*build_quantized)(struct tflite_call *call);
};
/* Tables of the families, each ended by a row without a function. */
extern const struct tflite_row tflite_conv_rows[], tflite_math_rows[], tflite_shape_rows[], tflite_slice_rows[],
    tflite_reduce_rows[], tflite_resize_rows[], tflite_pool_rows[], tflite_rnn_rows[];

/* tflite_tensor.c */
/* Tensor i, read from the file when it is first asked for; NULL after a message (or where it had one before). */
struct tflite_tensor *tflite_tensor(struct tflite_importer *importer, int64_t i);
/* The value of a tensor that is no result: its bytes as a constant, zeros of a variable; NULL after a message. */
struct value *tflite_constant(struct tflite_importer *importer, int64_t i);
/* Whether so many bytes more may be copied out of the file: 64 MiB and eight times its size in all. False after a
 * message. */
bool tflite_take(struct tflite_importer *importer, int64_t n_bytes);
/* The bytes of a buffer; none where it is empty. False after a message. */
bool tflite_buffer(struct tflite_importer *importer, int64_t index, struct flat_list *bytes);
bool tflite_dtype(int64_t type, enum dtype *dt, const char **name);
/* tflite_sparse.c: the dense elements of a tensor stored with sparsity parameters. NULL after a message. */
const void *tflite_densify(struct tflite_importer *importer, const struct tflite_tensor *tensor,
                           const struct flat_table *sparsity, const struct flat_list *bytes);

/* tflite_call.c */
/* Messages about the operator. Both return NULL. refuse: the model is fine but Tenon does not take it. */
struct value *tflite_error(struct tflite_call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));
struct value *tflite_refuse(struct tflite_call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Fields of the operator's options. */
int64_t tflite_option(struct tflite_call *call, int field, int bytes, int64_t otherwise);
/* An option that must lie in least..most; false after a message. */
bool tflite_ranged(struct tflite_call *call, int field, int bytes, const char *what, int64_t least, int64_t most,
                   int64_t otherwise, int64_t *value);
/* Input i as integers known when compiling; -1 after a message. Absent: 0. */
int tflite_ints(struct tflite_call *call, int i, const char *what, const int64_t **list);
/* -rank <= axis < rank made 0 <= axis < rank; false after a message. */
bool tflite_axis(struct tflite_call *call, int64_t axis, int rank, int *result);
/* Input i as a list of distinct axes of a tensor of this rank, made non-negative; -1 after a message. */
int tflite_axes(struct tflite_call *call, int i, int rank, const int64_t **axes);
/* y through the activation that stands in an option. */
struct value *tflite_activate(struct tflite_call *call, int field, struct value *y);
/* A constant of n elements of dt, copied. */
struct value *tflite_list(struct graph *graph, enum dtype dt, int64_t n, const void *data);
/* Whether the tensor holds integers that stand for scaled numbers. */
bool tflite_is_quantized(const struct tflite_tensor *tensor);
/* The one scale and zero point of a tensor; false after a message where it has none or several. */
bool tflite_scale(struct tflite_call *call, const struct tflite_tensor *tensor, double *scale, int64_t *zero);
/* Whether the quantizations of both are the same. */
bool tflite_same_scale(const struct tflite_tensor *a, const struct tflite_tensor *b);
/* The same of the first input and result, as where elements only move; false after a message where they are not. */
bool tflite_keeps_scale(struct tflite_call *call);
/* The numbers that a quantized tensor's integers stand for (f32); a float tensor is itself. */
struct value *tflite_real(struct tflite_call *call, const struct tflite_tensor *tensor, struct value *value);

#endif
