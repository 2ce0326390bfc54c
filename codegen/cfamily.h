/* The printer for C-like languages: statements, expressions, names.
 *
 * What C, and later OpenCL C, write differently is a `struct dialect`: type names, address spaces, the words round
 * a function, and how helper functions are defined. Everything that is not a plain C operator is printed as a call
 * of a helper such as `max_f32x16(a, b)`; the printer notes which helpers were used and the dialect defines these.
 *
 * Vectors of bool are masks: integer vectors, all bits set in a true lane, as wide per lane as what was compared,
 * so that a comparison feeds a select without a detour. In memory a bool is a byte.
 *
 * Read next: cfamily.c (names, statements), cfamily_expr.c (expressions), cfamily_share.c, cfamily_kernel.c,
 * c_helpers.c (the helpers in C).
 */
#ifndef TENON_CFAMILY_H
#define TENON_CFAMILY_H
#include "../ir/prog.h"
#include "../ir/target.h"

/* Helpers beside the expression kinds, which are numbered by enum expr_op. */
enum helper {
    HELPER_TYPE = EX_COUNT, /* the vector type itself */
    HELPER_LOAD_STRIDED,
    HELPER_LOAD_FIRST,
    HELPER_STORE,
    HELPER_STORE_STRIDED,
    HELPER_STORE_FIRST,
    HELPER_STORE_STRIDED_FIRST,
    HELPER_MIN_NUMBER,
    HELPER_WORD,       /* four bytes as one word */
    HELPER_MAX_NUMBER, /* second operand is not NaN */
    HELPER_COUNT
};
enum { LANES_LOG_MOST = 7 };

struct cfamily;
struct kernel_facts;
struct dialect {
    const char *name;
    const char *scalar[DT_COUNT]; /* type names; bool as a value */
    const char *bool_in_memory;
    const char *restrict_word; /* after a pointer's '*' */
    const char *global_space;  /* before a pointer's type */
    const char *local_array;   /* before an array inside a kernel */
    const char *group_array;   /* the same, of a group of lanes; NULL: there are none */
    const char *infinity, *nan;
    const char *float_suffix;       /* of the functions of <math.h> on float */
    const char *fail, *fail_end;    /* round the code with which a function ends */
    bool small_index;               /* indices have 32 bits */
    bool has_vectors;               /* vector types have names of the language: float16 */
    bool has_work_items;            /* group and lane loops are run side by side */
    /* a kernel as a function: its text up to the name's end, what stands before its first and its other parameters and
     * before the type of one, what it ends with if it can fail */
    void (*kernel_head)(struct cfamily *printer, const struct kernel_facts *facts);
    const char *first_parameter, *next_parameter, *parameter_const, *kernel_end;
    bool has_memories; /* main passes buffers as a memory and the element where they begin, failure as a status word */
    /* a kernel of stages: before and after them; a stage's next part, up to the bound that follows */
    const char *stages_begin, *stage, *stages_end;
    const char *bits;               /* body of a helper that gives the bits of `a` as $S */
    void (*vector_helper)(struct cfamily *printer, struct text *out, int h, enum dtype dt, enum dtype other, int lanes);
};

struct use { /* of an expression inside one statement, by expression id */
    unsigned statement;
    int count;
    bool always; /* reached without a guard */
    bool unsafe; /* holds a load that a guard may protect */
    bool done;   /* considered for a temporary */
    const char *temporary;
};

struct scoped_name {
    const char *name;
    uint32_t hash;
    int previous; /* next in the same bucket, -1 at the end */
};

struct kernel_facts {
    const struct kernel *kernel;
    const char *name;
    bool *overlaps; /* by parameter: some call passes memory that another argument writes */
    bool *written;
    bool *same;    /* by two parameters: some call passes the same memory for both */
    bool is_inner; /* kernels call it, not main */
    bool *symbols; /* by number: those its text needs */
    bool can_fail;
    struct text layers; /* of the calls in main, each once, as long as there is room */
};
struct buffer_set {
    LIST(const struct buffer *) all;
    unsigned char *seen; /* by buffer id */
};

enum { NAME_BUCKETS = 256 };
struct cfamily {
    struct prog *prog; /* only interning of derived expressions changes it */
    const struct dialect *dialect;
    const struct target *target;
    struct arena *arena;
    struct text *out;
    bool freestanding; /* no header but the compiler's own */
    const char *helper_prefix;                                       /* before helpers' names */
    const char *type_prefix, *feature_prefix; /* before vector types' and features' names, where one text has several
                                                 targets; NULL: nothing */
    bool used[HELPER_COUNT][DT_COUNT][DT_COUNT][LANES_LOG_MOST + 1]; /* [helper][type][other type][log2 lanes] */
    int indent;
    bool in_stages; /* of the kernel being printed */
    /* names: of the function being printed */
    LIST(struct scoped_name) names;
    int bucket[NAME_BUCKETS];
    const char **var_name;    /* by var id */
    int *var_mask;            /* by var id: bytes per lane of a bool vector */
    bool *var_used;           /* by var id: read somewhere */
    const char **buffer_name; /* by buffer id: a pointer expression */
    const char **symbol_name; /* by symbol number */
    bool *symbol_used;        /* by symbol number, in the function being printed */
    LIST(struct kernel_facts) facts; /* after cfamily_gather, in the kernels' order */
    /* shared subexpressions of the statement being printed */
    struct use *use;
    int n_use;
    unsigned statement;
    int n_temporaries;
    /* printing of a call, and of a buffer that has no name yet (main's); user is theirs */
    void (*call)(struct cfamily *printer, const struct stmt *stmt);
    void (*barrier)(struct cfamily *printer, const struct stmt *stmt);
    const char *(*buffer)(struct cfamily *printer, const struct buffer *buf);
    void *user;
};

void cfamily_start(struct cfamily *printer);
/* Notes that helper `h` is used; returns its name's suffix: "f32" or "f32x16". */
const char *cfamily_need(struct cfamily *printer, int h, enum dtype dt, enum dtype other, int lanes);
/* What an index is in the text. */
enum dtype cfamily_index(const struct cfamily *printer);
/* "f32x16"; "f32" for one lane; index as that. */
const char *cfamily_type(struct cfamily *printer, enum dtype dt, int lanes);
/* Name of a vector type in the language. */
const char *cfamily_vector(struct cfamily *printer, enum dtype dt, int lanes);
/* "add", "load_strided" ... */
const char *cfamily_helper_word(int h, enum dtype dt);
/* Name of the C type of a value: "float", "f32x16". For bool vectors the mask of `mask_bytes` per lane. */
const char *cfamily_ctype(struct cfamily *printer, enum dtype dt, int lanes, int mask_bytes);
const char *cfamily_memory_type(const struct cfamily *printer, enum dtype dt);
enum dtype cfamily_mask_type(int bytes); /* i8 .. i64 */

/* A new scope's mark; names taken since are free again after cfamily_leave. */
int cfamily_enter(struct cfamily *printer);
void cfamily_leave(struct cfamily *printer, int mark);
/* `wanted` made an identifier that is free here, and taken. */
const char *cfamily_name(struct cfamily *printer, const char *wanted);

void cfamily_line(struct cfamily *printer); /* indentation */
void cfamily_stmts(struct cfamily *printer, const struct stmt *list);
/* The name of the temporary that holds e in the statement being printed; NULL where there is none. */
const char *cfamily_temporary(const struct cfamily *printer, ex e);
/* Notes e as seen since printer->statement last changed; true where it was. */
bool cfamily_seen(struct cfamily *printer, ex e);
/* Temporaries for what is shared within the n expressions of one statement. */
void cfamily_share(struct cfamily *printer, ex const *e, int n);
/* e, in parentheses where it binds less than `precedence` (one of PREC_). */
enum {
    PREC_TERNARY = 1,
    PREC_OR,
    PREC_AND,
    PREC_BITS,
    PREC_EQUAL,
    PREC_LESS,
    PREC_ADD,
    PREC_MUL,
    PREC_UNARY,
    PREC_POSTFIX
};
void cfamily_expr(struct cfamily *printer, ex e, int precedence);
void cfamily_mask(struct cfamily *printer, ex e, int bytes, int precedence); /* vector of bool as mask */
int cfamily_mask_bytes(const struct cfamily *printer, ex e);                 /* its natural width; 0: any */
void cfamily_dim(struct cfamily *printer, struct text *out, dim d, const char *const *symbol, int precedence);
const char *cfamily_buffer(struct cfamily *printer, const struct buffer *buf);
/* Marks what the list reads in var_used, and the symbols it needs in symbol_used. */
void cfamily_scan(struct cfamily *printer, const struct stmt *list);
/* Facts of all kernels, whose names begin with the prefix; of one. */
void cfamily_gather(struct cfamily *printer, const char *prefix);
struct kernel_facts *cfamily_facts(struct cfamily *printer, const struct kernel *kernel);
/* The buffers that a list of statements names; declarations of the local arrays among them. */
struct buffer_set cfamily_buffers(struct cfamily *printer, const struct stmt *list);
void cfamily_locals(struct cfamily *printer, const struct buffer_set *set);
/* A kernel as a function, under a comment with its layers, parameters, cost and strategy. */
void cfamily_kernel(struct cfamily *printer, const struct kernel_facts *facts);
/* s for use inside a comment: cannot close it, one line. */
void cfamily_comment(struct text *out, const char *s);
/* Whether main passes it the words of all kernels, where the dialect has memories. */
static inline bool cfamily_takes_words(const struct kernel_facts *facts) { return facts->can_fail || kernel_has_stages(facts->kernel); }
/* A call: a buffer and its offset; what several of its values share; the call itself, to the line's end. */
void cfamily_argument(struct cfamily *printer, const struct call_arg *arg);
void cfamily_share_call(struct cfamily *printer, const struct stmt *call);
void cfamily_call(struct cfamily *printer, const struct stmt *call);

#endif
