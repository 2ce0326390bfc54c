/* The program: buffers, loops, scalar and vector expressions. What every back end prints.
 *
 * A program has buffers, kernels and a main body. Kernels are functions over formal buffers (space PARAM); main
 * calls them with actual buffers and element offsets, inside straight-line code or run-time control flow. So two
 * layers of the same shape share one kernel.
 *
 * Expressions are immutable and interned: equal expressions are the same pointer (within one program), and
 * building goes through functions that simplify. Index arithmetic (DT_index) is kept as a sum of terms with dim
 * coefficients, so affine subscripts compare and print in one form; floor division and modulus use the variables'
 * ranges. Statements are lists linked by `next`.
 *
 * Vectors and unrolling are explicit: an expression has `lanes` (1: scalar). Printers print; they never decide.
 *
 * Read next: prog_print.c (the text form), prog_eval.c (the meaning of each kind), passes/lower.c.
 */
#ifndef TENON_PROG_H
#define TENON_PROG_H
#include "diag.h"
#include "type.h"

enum expr_op {
#define EX(name, args, cost) EX_##name,
#include "exprs.def"
#undef EX
    EX_COUNT
};
struct expr_row {
    const char *name;
    int args, cost;
};
const struct expr_row *expr_row(enum expr_op op);
bool expr_from_name(const char *name, enum expr_op *op); /* those with arguments, by function name */

struct var { /* loop variable, let, or register (a let that `set` may change) */
    const char *name;
    enum dtype dt;
    int lanes;
    int id;     /* unique in the program */
    dim lo, hi; /* index variables: inclusive range (loop variables always; 1..0 means unknown) */
};

enum space {
    SPACE_INPUT, SPACE_OUTPUT, /* the caller's tensors */
    SPACE_WEIGHT,              /* constant data: `tensor` */
    SPACE_ARENA,               /* the caller's arena, at `offset_bytes` once planned */
    SPACE_PARAM,               /* formal of a kernel */
    SPACE_LOCAL,               /* array inside a kernel (per thread): `elements` is a plain number */
    SPACE_GROUP                /* the same, one for all lanes of a group; unwritten when a lane loop begins */
};
/* Where a kernel runs and a buffer lies in a program for a device (pass place): there or on its host. Inputs and weights
 * are on both; a kernel on both brings what lies on one side to the other, all of its second buffer to its first. */
enum side { SIDE_DEVICE, SIDE_HOST, SIDE_BOTH };
struct buffer {
    const char *name;
    enum dtype dt;
    enum space space;
    dim elements;
    int id;             /* unique in the program */
    int position;       /* INPUT, OUTPUT: which; PARAM: position in the kernel's params */
    bool written;       /* PARAM: the kernel stores to it */
    const struct tensor *tensor;
    enum side side;     /* ARENA, OUTPUT: DEVICE or HOST; of other programs DEVICE */
    dim offset_bytes;   /* ARENA, after pass plan; -1 before */
    struct type type;   /* of the value it holds, for messages and comments (dt same as above); rank 0 where none */
    struct place place;
};

struct expr {
    enum expr_op op;
    enum dtype dt;
    int lanes;
    int64_t imm;   /* const integers; load and ramp: stride; dim: the dim */
    double number; /* const floats */
    bool masked;   /* load: arg1 is a count, not a guard */
    struct var *var;
    struct buffer *buf;
    const struct expr *arg[3];
    uint32_t hash;
    int id;        /* serial number of its making: a deterministic order */
};
typedef const struct expr *ex; /* expressions are values here: immutable, interned, everywhere */

enum stmt_kind {
    STMT_FOR,     /* for var in a..b step `step`: body. a, b index expressions; b exclusive */
    STMT_STORE,   /* buf[a] = b (b's lanes apart by `step` elements); c: count of active lanes, or NULL */
    STMT_LET,     /* var = a; may be changed later by set when `mutable` */
    STMT_SET,     /* var = a */
    STMT_IF,      /* if a: body else other */
    STMT_WHILE,   /* body; while a   (a is evaluated after the body) */
    STMT_CALL,    /* kernel or extern function on `args` */
    STMT_FAIL,    /* if a: stop the whole run and return status `code` (a bad index in the user's data ...) */
    STMT_PREFETCH,/* buf[a] will be read soon: a hint that may lie outside of the buffer and changes nothing */
    STMT_BARRIER  /* main: no worker goes on before all are here; a kernel's failure takes effect here. `code` > 0: the
                   * host waits for a transfer, the call of main with the number code - 1.
                   * Kernel: the same for the lanes of a lane loop, see LOOP_LANE0 */
};
/* LOOP_PARALLEL: of main; iterations touch nothing of one another's, workers share them (passes/strips.c).
 * LOOP_GROUP*, LOOP_LANE*: of kernels for devices: groups touch nothing of one another's. Several group loops after one
 * another are stages: a group of one begins when all of the one before are done. A lane loop's iterations have
 * variables and LOCAL arrays of their own; what one stores another sees after a barrier, which cuts the loop into phases:
 * each is done by all lanes before the next begins. A barrier stands in the lane loop itself or in loops inside it whose
 * bounds are the same for all lanes; lanes that touch the same element in one phase, one of them storing, are a mistake. */
enum loop_kind { LOOP_SERIAL, LOOP_PARALLEL, LOOP_UNROLL, LOOP_GROUP0, LOOP_GROUP1, LOOP_GROUP2, LOOP_LANE0, LOOP_LANE1, LOOP_LANE2 };
struct call_arg {
    struct buffer *buf;
    ex offset; /* in elements, index; NULL: 0 */
};
/* What of the model a call computes, for reports. Names are as the file has them: whoever prints them escapes them. */
struct call_origin {
    const char *layers;    /* user's names between commas, "" where there are none */
    const char *operators; /* all that are computed in it, "conv add relu" */
    const char *stored;    /* why its result is stored, not computed where it is used */
    int n_fused;           /* values computed in it that are never stored */
};
struct stmt {
    enum stmt_kind kind;
    enum loop_kind loop;
    bool mutable;
    int64_t step; /* FOR: positive; STORE: stride */
    int code;
    struct var *var;
    struct buffer *buf;
    ex a, b, c;
    struct stmt *body, *other, *next;
    struct kernel *kernel; /* CALL; NULL: extern_name */
    const char *extern_name;
    int n_args, n_scalars;
    struct call_arg *args;
    const struct call_origin *origin; /* CALL; NULL: unknown, as after reading a text */
    ex *scalars; /* CALL: values of kernel->scalars (index or other scalars) */
    struct place place;
};

struct kernel {
    const char *name;     /* unique, a C identifier */
    const char *strategy; /* schedule chosen and its parameter record, "" before scheduling */
    const char *layers;   /* the model's layers it implements, for comments and profilers (already escaped) */
    LIST(struct buffer *) params;
    enum side side;
    LIST(struct var *) scalars; /* scalar parameters; symbols of dims are implicit parameters of every kernel */
    struct stmt *body;
    double flops, bytes; /* per call; symbols at their lower bound */
    double direct_flops; /* of the plain way where `flops` are those of a cleverer one (Winograd); 0: the same */
    uint64_t key;        /* what it was before it was scheduled (passes/tuning.h); 0 where nobody asked */
    struct place place;  /* of the main node */
};

enum { THREADS_MOST = 64 };
struct prog {
    struct arena *arena, *session;
    struct dims *dims;
    const char *name;
    LIST(struct buffer *) buffers;
    LIST(struct kernel *) kernels;
    LIST(struct buffer *) inputs, outputs;
    LIST(const char *) input_names, output_names;
    struct scale_notes scales; /* as the graph's; texts of programs leave them out */
    struct stmt *main;
    dim arena_bytes; /* after pass plan, else -1 */
    /* After pass parallel: main is run by up to `threads` workers at once, each with its own values of these variables
     * of main: worker 0..workers-1 of workers. One worker alone computes the same. threads 0: there are none. */
    int threads;
    struct var *worker, *workers;
    struct expr_table *table;
    const struct meaning **meanings; /* parsed index notation by operator, filled on demand (meaning.c) */
    int next_var, next_buffer;
};

struct prog *prog_new(struct arena *unit, struct arena *session, struct dims *dims, const char *name);
struct buffer *prog_buffer(struct prog *prog, const char *name, enum dtype dt, enum space space, dim elements);
struct var *prog_var(struct prog *prog, const char *name, enum dtype dt, int lanes); /* unknown range */
struct var *prog_index(struct prog *prog, const char *name, dim lo, dim hi);          /* inclusive range */
struct kernel *prog_kernel(struct prog *prog, const char *name); /* name is made unique */
/* Makes main a program of several workers. */
void prog_workers(struct prog *prog, int threads, const char *worker, const char *workers);
/* An array inside a kernel, which has no declaration of its own. */
static inline bool buffer_is_array(const struct buffer *buf) { return buf->space == SPACE_LOCAL || buf->space == SPACE_GROUP; }
struct buffer *kernel_param(struct prog *prog, struct kernel *kernel, const char *name, enum dtype dt, dim elements);

/* Expressions. Operands of different lanes: the scalar one is splatted. Types must agree otherwise (bug()). */
ex ex_int(struct prog *prog, enum dtype dt, int64_t v);
ex ex_float(struct prog *prog, enum dtype dt, double v);
ex ex_number(struct prog *prog, enum dtype dt, double v); /* v in any numeric type */
ex ex_dim(struct prog *prog, dim d); /* index */
ex ex_var(struct prog *prog, struct var *var);
ex ex_unary(struct prog *prog, enum expr_op op, ex a);
ex ex_binary(struct prog *prog, enum expr_op op, ex a, ex b);
ex ex_select(struct prog *prog, ex c, ex a, ex b);
ex ex_fma(struct prog *prog, ex a, ex b, ex c);
bool expr_is_dot(enum expr_op op); /* dot4, dot4_sat, dot2 */
ex ex_dot(struct prog *prog, enum expr_op op, ex a, ex b, ex c);
ex ex_pack(struct prog *prog, ex a, ex b, ex c);
ex ex_cast(struct prog *prog, ex a, enum dtype dt);
ex ex_bits(struct prog *prog, ex a, enum dtype dt);
ex ex_splat(struct prog *prog, ex a, int lanes);
ex ex_ramp(struct prog *prog, ex a, int64_t stride, int lanes);
/* dt: buf->dt, or the unsigned integer of its size (16-bit floats as bits). index: scalar index. */
ex ex_load(struct prog *prog, struct buffer *buf, enum dtype dt, ex index, int lanes, int64_t stride);
ex ex_load_guarded(struct prog *prog, struct buffer *buf, enum dtype dt, ex index, ex guard, ex otherwise);
ex ex_load_masked(struct prog *prog, struct buffer *buf, enum dtype dt, ex index, int lanes, ex count, ex otherwise);
/* The same kind and extras as `like` on other arguments (lanes follow the arguments, except ramp, splat, load). */
ex ex_rebuild(struct prog *prog, ex like, ex const *args);
/* e with var replaced. */
ex ex_replace(struct prog *prog, ex e, const struct var *var, ex by);
bool ex_uses(ex e, const struct var *var);
bool ex_loads(ex e, const struct buffer *buf); /* e may be NULL */

/* Index analysis: e == rest + coef*var with rest free of var; false where e is not affine in var. */
bool ex_affine(struct prog *prog, ex e, struct var *var, dim *coef, ex *rest);
/* Proven inclusive bounds of an index expression as dims over symbols; false where unknown. */
bool ex_range(struct prog *prog, ex e, dim *lo, dim *hi);
static inline bool ex_is_const(ex e) { return e->op == EX_const; }
bool ex_is_int(ex e, int64_t v); /* the plain integer v */
bool ex_covers(ex count, int lanes); /* a count of active lanes that is known to mask nothing */

/* Statements; append links a list at *tail's end. */
struct stmt *stmt_new(struct prog *prog, enum stmt_kind kind);
struct stmt *stmt_for(struct prog *prog, struct var *var, ex lo, ex hi, int64_t step, struct stmt *body);
struct stmt *stmt_store(struct prog *prog, struct buffer *buf, ex index, ex value, int64_t stride, ex count);
struct stmt *stmt_prefetch(struct prog *prog, struct buffer *buf, ex index);
struct stmt *stmt_let(struct prog *prog, struct var *var, ex value, bool mutable);
struct stmt *stmt_set(struct prog *prog, struct var *var, ex value);
void stmt_append(struct stmt **list, struct stmt *more);
/* Appends more under a condition: beside what the list's last statement does under the same. */
void stmt_append_under(struct prog *prog, struct stmt **list, ex condition, struct stmt *more);
/* Whether a run of the list may end with a status: a check, an extern function, a kernel that has one of these. */
bool stmt_can_fail(const struct stmt *list);
bool stmt_is_group(const struct stmt *list); /* loops over groups of lanes: a device's kernel as it will run */
bool kernel_has_stages(const struct kernel *kernel); /* several of them */
/* How many work-items a device runs a kernel as: as many groups as its largest stage has turns (over the kernel's scalars),
 * of so many lanes. */
ex kernel_groups(struct prog *prog, const struct kernel *kernel);
int64_t kernel_lanes(const struct kernel *kernel);
bool stmt_has_barrier(const struct stmt *list); /* anywhere */
/* Whether the buffer of main lies on a device alone. */
bool buffer_is_apart(const struct buffer *buf);
/* Whether the list itself calls the kernel. */
bool stmt_calls(const struct stmt *list, const struct kernel *kernel);
/* A mark of pass profile: a call that is none of the model's. */
bool stmt_is_mark(const struct stmt *s);
/* The calls of main that are no marks, by their numbers: in the order of the text, a loop's and a branch's body where it
 * stands. The same with and without marks. The array is in `arena`; *n: how many. */
const struct stmt **prog_calls(const struct prog *prog, struct arena *arena, int *n);
const struct call_origin *call_origin_copy(struct arena *arena, const struct call_origin *origin); /* NULL: NULL */

/* Every invariant: types, lanes, scopes (a variable is used below its definition), formals, offsets. */
bool prog_verify(const struct prog *prog, struct diag *diag);
void prog_print(const struct prog *prog, struct text *text);
/* What the kernel computes, without its name, layers, strategy and cost: equal kernels have equal texts. */
void kernel_print(const struct prog *prog, const struct kernel *kernel, struct text *text);
/* Reads what prog_print wrote; NULL after errors. The program obeys the rules of single nodes and names;
 * prog_verify checks the rest. */
struct prog *prog_parse(const struct source *source, struct arena *unit, struct arena *session, struct dims *dims, struct diag *diag);
/* As above, with data for the weights that the text only names (`= data`): find gives NULL where there is none. */
struct prog_weights {
    const struct tensor *(*find)(void *ctx, const char *name);
    void *ctx;
};
struct prog *prog_parse_weights(const struct source *source, struct arena *unit, struct arena *session, struct dims *dims,
                                const struct prog_weights *weights, struct diag *diag);
/* The interpreter: in and out are dense data in the order of inputs and outputs, out written by it. Loads and
 * stores outside a buffer end it with an error. symbols as for graph_eval. */
bool prog_eval(const struct prog *prog, const struct tensor *in, const int64_t *symbols, struct arena *arena,
               struct tensor *out, struct diag *diag);
/* One kernel on given memory: param_data[i] has param_elements[i] elements; scalars[i] holds the bytes of the
 * scalar (integers extended to 64 bits). False after an error. */
bool kernel_eval(const struct prog *prog, const struct kernel *kernel, void *const *param_data, const int64_t *param_elements,
                 const int64_t *scalars, const int64_t *symbols, struct diag *diag);

#endif
