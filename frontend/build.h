/* Running the tree: what the files build*.c share.
 *
 * A value at compile time is an `item`: a tensor of the graph being built, a number, a string, a list, a type, a
 * function. Integers are dims, so sizes that stay symbolic are ordinary integers here. A *frame* holds the names of one
 * function call (or one run-time block); a *region* is the graph that nodes go to: the model's, or the subgraph of a
 * run-time block. Reading a tensor of an outer region makes it an input of the inner one (region_import).
 *
 * Errors: an item of kind ERROR is silent everywhere, so one mistake gives one message.
 *
 * Read next: build.c (modules, models), build_statement.c, build_expression.c, build_call.c, build_op.c,
 * build_control.c (if, while, scan), build_item.c (numbers and tensors), build_index.c (let, subscripts).
 */
#ifndef TENON_BUILD_H
#define TENON_BUILD_H
#include "ast.h"
#include "language.h"
#include "weights.h"

enum {
    CALLS_MOST = 100,          /* functions inside functions */
    EVAL_DEPTH_MOST = 2500,    /* expressions inside expressions over all calls: bounds the stack */
    ITERATIONS_MOST = 100000,  /* of all compile-time loops together */
    NODES_MOST = 50000,        /* of one graph */
    LIST_ITEMS_MOST = 1 << 20,
    REGIONS_MOST = 100 /* run-time blocks inside blocks; printed, they are brackets inside brackets */
};

enum item_kind {
    ITEM_ERROR,
    ITEM_NONE,
    ITEM_TENSOR,
    ITEM_INT,
    ITEM_BIG,
    ITEM_FLOAT,
    ITEM_BOOL,
    ITEM_STRING,
    ITEM_LIST,
    ITEM_TUPLE,
    ITEM_DTYPE,
    ITEM_TYPE,
    ITEM_GRAPH,
    ITEM_FUNCTION
};
struct item {
    enum item_kind kind;
    bool negative; /* BIG */
    union {
        struct value *tensor; /* NULL after an error in the builder: silent too */
        dim i;
        uint64_t big; /* an integer outside -2^62..2^63 (its low 64 bits): only for elements of constants */
        double f;
        bool b;
        const char *s;
        const struct item_list *list; /* LIST, TUPLE (several results) */
        enum dtype dt;
        const struct type *type;
        struct graph *graph;
        const struct function *function;
    };
};
struct item_list {
    int n;
    const struct item *at;
};

struct module;
struct function {
    const char *name;
    const struct ast *ast; /* AST_DEF */
    struct frame *frame;   /* where it was defined */
    const struct module *module;
};

struct region {
    struct graph *graph;
    struct region *parent;
    int depth;
    bool closed;                /* a `graph` literal: takes nothing from outside */
    LIST(struct value *) outer; /* what it takes, in the parent's graph, and its inputs for them */
    LIST(struct value *) inner;
};

struct variable {
    const char *name;
    struct item item;
};
struct frame {
    struct frame *parent; /* names not found here are looked up there */
    struct region *region;
    const struct module *module;
    const char *scope; /* before parameter names: "block1.conv"; "" in the model itself */
    bool block;        /* of a run-time block: no `return` out of it */
    bool returned;
    struct item result;
    int n, cap; /* hash table of variables */
    struct variable **slot;
    LIST(struct variable *) order;
};

struct module { /* one file */
    const char *path;
    const struct source *source;
    struct ast *ast;
    struct frame *frame;
    bool loading, prelude, imports_nn;
    LIST(struct module *) imports;
    LIST(const char *) aliases;
};

struct build {
    struct arena *arena; /* the session's */
    struct diag *diag;
    const struct language_options *options;
    struct region *region;
    struct frame *frame;
    struct module *prelude;
    LIST(struct module *) modules;
    LIST(struct weights *) weights;
    struct frame *parameters; /* their names, as a table */
    struct ast *site;         /* the call that entered the prelude: errors inside are reported there */
    struct place call_place;  /* prelude_call: errors are reported at the caller's place */
    bool in_call;
    bool expand;             /* composites are entered, not made nodes */
    const char *expanding;   /* the composite being expanded */
    const struct ast *noted; /* the call that the latest note named */
    int calls, depth;
    int64_t iterations;
    bool exhausted; /* a message said that there were too many */
};

/* Reports at ast, once per ast; gives the ERROR item. */
struct item build_fail(struct build *build, struct ast *ast, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A further line under the latest message, where messages are shown at the user's own text. */
void build_note(struct build *build, const struct ast *ast, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Sets the place of the nodes to come. */
void build_at(struct build *build, const struct ast *ast);
/* Counts one more round of a compile-time loop; false after an error. */
bool build_iterate(struct build *build, struct ast *ast);

/* build_item.c */
const char *item_kind_name(enum item_kind kind);
struct item item_tensor(struct value *value);
struct item item_int(dim i);
struct item item_float(double f);
struct item item_bool(bool b);
struct item item_string(const char *s);
struct item item_list(struct build *build, enum item_kind kind, int n, const struct item *at);
bool item_is_number(const struct item *item); /* INT, BIG, FLOAT, BOOL */
bool item_is_error(const struct item *item);
/* The words "f32[2, 3]", "the integer 4" ... for messages. */
const char *item_words(struct build *build, const struct item *item);
bool item_equal(const struct item *a, const struct item *b);
/* A tensor: itself, or a constant of numbers in dt (DT_COUNT: i64, f32 or bool as the numbers are). NULL after an
 * error, which is reported at ast. */
struct value *item_to_tensor(struct build *build, struct ast *ast, const struct item *item, enum dtype dt);
/* item as a value of `type`: tensors must have it, numbers and lists become constants of it (one number: everywhere).
 */
struct value *item_to_type(struct build *build, struct ast *ast, const struct item *item, const struct type *type);
/* The items of a list or tuple; of anything else itself. */
int item_unpack(const struct item *item, const struct item **list);
/* Types of a set of operands: the dtype of the first tensor among them, DT_COUNT where none is. */
enum dtype items_dtype(int n, const struct item *items);

/* build.c */
struct frame *build_frame(struct build *build, struct frame *parent, struct region *region);
void build_set(struct build *build, struct frame *frame, const char *name, struct item item);
const struct item *build_own(const struct frame *frame, const char *name);
/* The variable as the current region sees it; NULL where there is none. */
const struct item *build_find(struct build *build, struct ast *ast, const char *name, struct item *found);
/* NULL after an error at ast: too many inside each other. */
struct region *region_new(struct build *build, struct ast *ast, const char *name, bool closed);
/* The input of region that stands for `value` of the region `from` around it. */
struct value *region_import(struct build *build, struct region *region, struct region *from, struct value *value);
/* The nearest name among variables, functions and operators, or NULL. */
const char *build_suggest(struct build *build, const char *name, bool functions);
struct module *module_import(struct build *build, struct ast *ast, const struct module *from);
/* The prelude's function, read when it is first asked for; NULL where there is none. */
const struct function *prelude_function(struct build *build, const char *name);
/* A build of graph with nothing read yet. */
struct build *build_new(struct graph *graph, const struct language_options *options);
/* The file `path` beside the module's, refused where it leads out of that folder. NULL after an error. */
const char *build_path(struct build *build, struct ast *ast, const char *path);
/* Names of the prelude's functions, added to list. */
void prelude_names(struct build *build, bool layers, const char **list, int most, int *n);
/* Statements of a file's top level; models are left for later. */
void module_run(struct build *build, struct module *module);

/* build_statement.c */
/* Runs the statements in the current frame; the value of a last one that is an expression, else NONE. */
struct item eval_block(struct build *build, struct ast *block);
void eval_statement(struct build *build, struct ast *ast);
void eval_def(struct build *build, struct ast *ast);
void assign_targets(struct build *build, struct ast *targets, struct item value, struct ast *source);

/* build_parameter.c */
void eval_param(struct build *build, struct ast *ast);
void eval_weights(struct build *build, struct ast *ast);
/* weight("name"): a tensor of the weights files. */
struct item eval_weight(struct build *build, struct ast *ast, const char *name);

/* build_expression.c */
struct item eval(struct build *build, struct ast *ast);
struct item eval_values(struct build *build, struct ast *list); /* one: itself; several: a TUPLE */
struct item eval_unary_items(struct build *build, struct ast *ast, enum ast_op op, struct item x);
struct item eval_binary_items(struct build *build, struct ast *ast, enum ast_op op, struct item x, struct item z);
bool eval_int(struct build *build, struct ast *ast, int64_t *v);
/* What `for` runs over: a list's items, or from..to. */
bool eval_range(struct build *build, struct ast *from, struct ast *to, int64_t *n, int64_t *first,
                const struct item_list **list);
/* A type: `f32[N, 4]`. False after an error. */
bool eval_type(struct build *build, struct ast *ast, struct type *type);
/* Numbers only: min, max, sqrt ... while compiling; false where the function is none of them. */
bool eval_number_function(struct build *build, struct ast *ast, const char *name, int n, const struct item *x,
                          struct item *y);

/* build_index.c */
struct item eval_subscript(struct build *build, struct ast *ast);
void eval_let(struct build *build, struct ast *ast);

/* build_call.c */
struct item eval_call(struct build *build, struct ast *ast);
struct argument { /* evaluated; name: NULL for one by position */
    const char *name;
    struct item item;
    struct ast *ast;
};
struct item call_function(struct build *build, struct ast *site, const struct function *function, int n,
                          const struct argument *arguments, const char *scope);
/* build_builtin.c: shape, rank, len ...; false where name is none of them. */
bool call_builtin(struct build *build, struct ast *ast, const char *name, int n, const struct argument *arguments,
                  struct item *result);
extern const char *const builtin_names[];
/* build_op.c */
struct item call_op(struct build *build, struct ast *ast, enum op op, int n, const struct argument *arguments);

/* build_control.c */
struct item eval_if(struct build *build, struct ast *ast, bool statement);
struct item eval_while(struct build *build, struct ast *ast);
struct item eval_scan(struct build *build, struct ast *ast);
struct item eval_graph(struct build *build, struct ast *ast);

#endif
