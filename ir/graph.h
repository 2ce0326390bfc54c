/* The graph: values are tensors; no loops, no memory.
 *
 * A graph is a list of nodes in topological order. A node has an operator, input values, attributes and one or
 * more results. Graphs are only made through the builder (graph_node and the helpers below it), which infers and
 * checks types, inserts broadcasts, folds constants and reuses an equal node. A pass makes a new graph.
 *
 * Constants are `const` nodes whose tensor lives in the session. An i64 constant may hold symbolic dims
 * (tensor.is_dims): that is how shape arithmetic on dynamic dimensions stays known at compile time; the builder
 * folds index arithmetic on such constants through MAP, MOVE and REDUCE rows alike.
 *
 * Control nodes hold closed subgraphs (attribute kind GRAPH): what a subgraph needs from outside is passed in.
 *   if    inputs: cond bool[], captured...              then(captured...), else(captured...) -> results
 *   loop  inputs: trip i64[], cond bool[], carried..., captured...      attr n_carried, body
 *         body(i i64[], cond bool[], carried..., captured...) -> (cond, carried..., slices...)
 *         results: carried..., slices stacked along a new first axis (only where the trip count is known and no
 *         condition ends it early; otherwise refused)
 *   scan  inputs: states..., sequences..., captured...  attrs n_states, n_sequences, body; sequences run along axis 0
 *         body(states..., elements..., captured...) -> (states..., slices...); results: states..., stacked slices
 *
 * Read next: op.h (rows), meaning.h (what a row means), graph_eval.c.
 */
#ifndef TENON_GRAPH_H
#define TENON_GRAPH_H
#include "device.h"
#include "diag.h"
#include "op.h"
#include "type.h"

struct graph;

enum attr_kind { ATTR_INT, ATTR_FLOAT, ATTR_INTS, ATTR_STRING, ATTR_GRAPH };
struct attr {
    const char *name; /* lower case; in a meaning it stands in capitals */
    enum attr_kind kind;
    int64_t i; /* INT: may be a dim */
    double f;
    const int64_t *ints; /* INTS: may be dims */
    int n;
    const char *s;
    struct graph *graph;
};
/* Attributes as initializers: (struct attr[]){ATTR_I("axis", 1), ATTR_L("perm", perm, rank)} */
#define ATTR_I(key, value) {.name = (key), .kind = ATTR_INT, .i = (value)}
#define ATTR_F(key, value) {.name = (key), .kind = ATTR_FLOAT, .f = (value)}
#define ATTR_L(key, list, count) {.name = (key), .kind = ATTR_INTS, .ints = (list), .n = (count)}
#define ATTR_S(key, value) {.name = (key), .kind = ATTR_STRING, .s = (value)}
#define ATTR_G(key, value) {.name = (key), .kind = ATTR_GRAPH, .graph = (value)}

struct value {
    struct type type;
    struct node *node;
    int result;       /* which result of node */
    int id;           /* unique in the graph */
    const char *name; /* as the user called it; may be NULL or repeated: printing makes it unique */
    bool fused;       /* set by pass fuse: computed where it is used, never stored */
    const char *stored; /* set by pass fuse: why it is not fused, in words; NULL where it is */
};
struct node {
    enum op op;
    int n_in, n_out, n_attrs;
    struct value **in;
    struct value *out; /* array of n_out */
    struct attr *attrs; /* sorted by name */
    const struct tensor *tensor; /* OP_const */
    enum home home; /* where it is computed; leaves have none */
    const char *why; /* set by pass place: why not on the device, in words; NULL where it is, or was asked for */
    struct place place;
    int id;
};
struct graph {
    struct arena *arena;   /* of the unit */
    struct arena *session; /* weights, names */
    struct dims *dims;     /* shared by all units of a session */
    struct diag *diag;
    struct place place;    /* given to nodes built from now on, and to errors: set it before building */
    enum home home;        /* the same: where nodes are computed */
    const char *name;
    LIST(struct node *) nodes;
    LIST(struct value *) inputs; /* results of OP_input nodes, in the model's order */
    LIST(struct value *) outputs;
    LIST(const char *) output_names;
    struct value_table *table; /* equal-node lookup */
    int next_value;
    bool placed;  /* by pass place: homes count, and what goes from one to another is a transfer */
    struct scale_notes scales; /* of pass fixed: by which a caller turns floats into what the model takes, and back */
    bool no_fold; /* set by tests: build nodes as they are */
};

struct graph *graph_new(struct arena *unit, struct arena *session, struct dims *dims, struct diag *diag, const char *name);
/* A graph sharing everything but nodes, for a subgraph or a pass's output. */
struct graph *graph_like(const struct graph *graph, struct arena *unit, const char *name);

struct value *graph_input(struct graph *graph, const char *name, const struct type *type);
void graph_output(struct graph *graph, const char *name, struct value *value);

/* A node's first result (node->out[0]; further ones beside it), or NULL after an error at graph->place. Inputs
 * that are NULL give NULL without a further message, so errors need no checks in between. MAP operands are
 * broadcast to their common shape. attrs are copied; order does not matter. */
struct value *graph_node(struct graph *graph, enum op op, int n_in, struct value *const *in, int n_attrs,
                         const struct attr *attrs);
/* Names a value (the first name given stays). Returns value. */
struct value *graph_name(struct graph *graph, struct value *value, const char *name);

/* Constants. Data is not copied: it lives in the session. */
struct value *graph_const(struct graph *graph, const struct tensor *tensor);
struct value *graph_scalar(struct graph *graph, enum dtype dt, double v);      /* rank 0; exact up to 2^53 */
struct value *graph_int(struct graph *graph, enum dtype dt, int64_t v);        /* rank 0 */
struct value *graph_dims(struct graph *graph, int n, const dim *dims);         /* i64[n], may be symbolic */
/* The tensor of a constant, NULL where value is none. */
const struct tensor *value_const(const struct value *value);
/* What broadcasts and reshapes spread over value; value itself where nothing is. */
struct value *value_before_spreading(const struct value *value);
/* A constant of this type; data is not copied: it lives in the session. */
struct value *graph_data(struct graph *graph, const struct type *type, const void *data);
/* Elements of an integer (or bool) constant as int64_t (dims where symbolic) into *list in graph's arena; their
 * number, or -1 where value is no such constant. */
int value_ints(struct graph *graph, const struct value *value, const int64_t **list);
/* The one element of a numeric constant as double; false where it is not a constant of one element. */
bool value_number(const struct value *value, double *number);

/* Helpers over graph_node. Shapes as the names say; attributes as in ops.def. */
struct value *graph_unary(struct graph *graph, enum op op, struct value *x);
struct value *graph_binary(struct graph *graph, enum op op, struct value *x, struct value *z); /* broadcasts */
struct value *graph_select(struct graph *graph, struct value *c, struct value *x, struct value *z);
struct value *graph_cast(struct graph *graph, struct value *x, enum dtype dt);
struct value *graph_bitcast(struct graph *graph, struct value *x, enum dtype dt); /* the same bits, of a type of the same size */
struct value *graph_reshape(struct graph *graph, struct value *x, int rank, const dim *dims);
struct value *graph_transpose(struct graph *graph, struct value *x, const int64_t *perm);
struct value *graph_broadcast(struct graph *graph, struct value *x, int rank, const dim *dims);
/* y[i] = x[start + i*step], size many, per axis (all of x's axes). */
struct value *graph_slice(struct graph *graph, struct value *x, const dim *start, const int64_t *step, const dim *size);
/* One axis: x[from .. from+size). */
struct value *graph_slice_axis(struct graph *graph, struct value *x, int axis, dim from, dim size);
struct value *graph_concat(struct graph *graph, int n, struct value *const *x, int axis);
struct value *graph_gather(struct graph *graph, struct value *x, struct value *idx, int axis, int batch);
/* sum, prod, reduce_min, reduce_max over n axes; keep: reduced axes stay with size 1. */
struct value *graph_reduce(struct graph *graph, enum op op, struct value *x, int n, const int64_t *axes, bool keep);
/* NumPy's matmul: any ranks from 1 on, batch axes broadcast. */
struct value *graph_matmul(struct graph *graph, struct value *x, struct value *w);
struct value *graph_iota(struct graph *graph, const struct type *type, int axis, int64_t start, int64_t step);

const struct attr *node_attr(const struct node *node, const char *name); /* NULL where absent */
int64_t node_int(const struct node *node, const char *name, int64_t otherwise);
/* Whether a padding puts constants around the whole of what it pads. */
bool node_is_border(const struct node *node);
/* Index maps whose subscripts stay affine and inside: free to make anew. */
bool node_is_plain_map(const struct node *node);
bool node_is_prefix(const struct node *node); /* a slice that keeps the first elements of every axis */

/* Checks every invariant (topological order, types equal to what the rows infer, closed subgraphs); adds a
 * message and returns false where one fails. */
bool graph_verify(const struct graph *graph, struct diag *diag);
/* Adds the graph as a model in the language. Constants above 64 elements print as references into a side file
 * whose tensors `weights` collects when not NULL (see graph_print.c). */
void graph_print(const struct graph *graph, struct text *text);
/* Same nodes, attributes and types in the same order (names and places do not count). */
bool graph_equal(const struct graph *a, const struct graph *b);
/* What is built from now on stands for that node: it has its place and its home. */
void graph_at(struct graph *graph, const struct node *node);
/* Copies node (its inputs mapped by map[value->id]) into `to` through the builder; fills map for its results.
 * The building block of graph passes. False after an error. */
bool graph_copy_node(struct graph *to, const struct node *node, struct value **map);

/* By node id, in arena: inputs and what the outputs depend on. The builder drops nothing; passes copy live nodes only,
 * and nothing else is printed or compared. */
bool *graph_live(const struct graph *graph, struct arena *arena);

/* The interpreter. in: one tensor per input, data dense; symbols: values of the dims' symbols (by number), NULL
 * where the graph has none. Results in `arena`. False after an error (out of range index, non-termination guard). */
bool graph_eval(const struct graph *graph, const struct tensor *in, const int64_t *symbols, struct arena *arena,
                struct tensor *out);
/* One node on given inputs: constant folding. */
bool node_eval(struct graph *graph, const struct node *node, const struct tensor *const *in, const int64_t *symbols,
               struct arena *arena, struct tensor *out);

#endif
