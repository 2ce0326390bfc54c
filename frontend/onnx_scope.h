/* Names in ONNX graphs: scopes from names to values.
 *
 * A graph, a subgraph or a function body is one scope. A subgraph's scope sees the names around it; where its nodes go
 * into another struct graph (the closed body of a loop), constants from outside are made anew there and other values
 * have been bound as captured inputs beforehand. An entry without a value is poisoned: its node failed, was reported,
 * and what depends on it stays silent. Weights become nodes when they are first used.
 */
#ifndef TENON_ONNX_SCOPE_H
#define TENON_ONNX_SCOPE_H
#include "onnx_import.h"

struct entry {
    const char *name;
    struct entry *next; /* of the same bucket */
    struct value *value;
    const struct narrow *narrow; /* what its bytes stand for; NULL: for themselves */
    const struct tensor *tensor; /* a weight not used yet */
    const void *item;            /* tables of other things */
    bool is_absent;              /* an optional input that the caller of a function left out */
};
enum found { FOUND_NOTHING, FOUND_VALUE, FOUND_POISON, FOUND_ABSENT };
struct table {
    struct arena *arena;
    struct entry **bucket;
    int n, n_buckets;
};
struct scope {
    struct table table;
    struct scope *parent; /* NULL for the model's graph and for functions */
    struct graph *graph;
    const struct onnx_call *caller; /* of the function whose body this is (in): where ref_attr_name leads */
    struct scope *caller_scope;
    const Onnx__FunctionProto *function;
    size_t n_opsets;
    Onnx__OperatorSetIdProto *const *opsets;
    const char *path; /* stands before "node N" in messages */
};
/* What was found out about a dynamic dimension while building: the import starts again knowing it. */
struct onnx_fact {
    const char *symbol;
    int64_t lo, hi, multiple; /* of the dimension: its range, and a number that divides it */
};
struct onnx_facts {
    struct onnx_fact *at;
    int n, cap;
};
struct importer {
    const struct onnx_options *options;
    const Onnx__ModelProto *model;
    struct scope *scope;
    struct table functions;
    struct onnx_source source;
    int n_nodes, subgraph_depth, call_depth;
    struct onnx_facts *facts;
    int errors; /* before the import: where others came, it does not start again */
    bool is_restarting;
};

struct entry *table_find(const struct table *table, const char *name);
/* The new entry; NULL where the name is taken. The name is not copied. */
struct entry *table_add(struct table *table, const char *name);

/* What name stands for as seen in scope; *value is NULL for all but FOUND_VALUE. */
enum found scope_find(struct scope *scope, const char *name, struct value **value);
/* What the bytes of the value stand for; NULL for values of the graph's own types, and where there is no such name. */
const struct narrow *scope_narrow(const struct scope *scope, const char *name);
/* Reports a name bound twice. value may be NULL (poison). */
bool scope_bind(struct scope *scope, const char *name, struct value *value, const struct narrow *narrow);

/* An empty scope for nodes going into graph, inside the importer's present one (is_function: seeing none of it). */
struct scope *scope_open(struct importer *importer, struct graph *graph, bool is_function);
/* All nodes of a body in order; false where one failed (they have all been looked at). */
bool onnx_import_nodes(struct importer *importer, size_t n, Onnx__NodeProto *const *nodes);
/* The model's initializers into the present scope. */
bool onnx_import_initializers(struct importer *importer, const Onnx__GraphProto *proto);
/* A call of a model-local function: its body inlined; false after messages. */
bool onnx_import_function(struct onnx_call *call, const Onnx__FunctionProto *function);
#endif
