/* Inside of the interpreter: what a kernel is compiled to before it runs.
 *
 * Every expression node has a place in a frame of lanes (`slots`); an instruction reads slots and writes one. A
 * block is an array of instructions that ends with CODE_END; loops and branches hold their bodies as blocks.
 * Constants are written into the frame once. Dims are constants, since symbols have values by then. What does
 * not change inside a loop is computed before it: see prog_code.c. Read next: prog_eval.c, which runs it.
 */
#ifndef TENON_PROG_CODE_H
#define TENON_PROG_CODE_H
#include "expr_map.h"
#include "lane.h"

enum code_op {
    CODE_END,
    /* control: body and other are blocks */
    CODE_FOR,   /* slot dst from slot a while below slot b, step imm */
    CODE_LANES, /* the same of lanes with barriers: every lane has slots of its own */
    CODE_PHASES, /* a loop inside that one, with barriers: all lanes run it together */
    CODE_BARRIER, /* as above: where the lanes wait */
    CODE_IF,    /* slot a */
    CODE_WHILE, /* body, then other computes slot a */
    CODE_CALL, CODE_EXTERN,
    CODE_FAIL,  /* where slot a: status imm */
    /* memory: buf, slot a the subscript, b guard or count (-1: none), c value where not loaded (-1) or to store */
    CODE_LOAD_F32, /* one f32, no guard */
    CODE_LOAD,
    CODE_STORE_F32,
    CODE_STORE,
    /* values, lane by lane */
    CODE_MOVE,
    CODE_INDEX, /* dst = b + a*imm, one index */
    CODE_ADD_F32, CODE_SUB_F32, CODE_MUL_F32, CODE_DIV_F32, CODE_MIN_F32, CODE_MAX_F32, CODE_FMA_F32,
    CODE_UNARY, CODE_BINARY, CODE_FMA, CODE_SELECT, CODE_CAST, CODE_BITS,
    CODE_SPLAT, CODE_RAMP, CODE_REDUCE
};
struct code {
    enum code_op op;
    int lanes, dst, a, b, c;
    int64_t imm;     /* as above; memory: stride */
    ex e;            /* kind and type of values; loads */
    int buf;         /* memory: number in the frame's buffers */
    enum dtype dt;   /* memory: type of the access */
    bool masked;     /* memory: slot b is a count */
    const struct code *body, *other;
    const struct stmt *stmt; /* calls, fail */
    struct frame *callee;
    const int *buffers, *offsets, *scalars; /* calls: buffer numbers; slots, -1 for no offset */
};

struct frame_buffer {
    unsigned char *data;
    int64_t elements;
    enum dtype dt;
    const char *name;
    enum space space;
};
/* A compiled kernel (or main) and its one activation: kernels do not call themselves. */
struct frame {
    const struct kernel *kernel; /* NULL: main */
    const struct code *code;
    union lane *slots;
    int n_slots;
    struct frame_buffer *buffers; /* kernel: its parameters, then its local arrays; main: the program's buffers */
    int n_buffers;
    int *scalar_slots;
    bool compiling;
    struct frame *lanes; /* copies for the lanes of a loop with barriers, made when first met */
    int n_lanes;
};
/* One evaluation. */
struct machine {
    const struct prog *prog;
    struct arena *arena;
    const int64_t *symbols;
    struct diag *diag;
    struct frame **frames; /* of prog->kernels, made at the first call */
    int64_t rounds;        /* of while loops so far */
};

/* The compiled kernel (NULL: main), NULL after an error. Buffers that are parameters are left empty. */
struct frame *frame_new(struct machine *machine, const struct kernel *kernel);
/* Runs it; false after an error. */
bool frame_run(struct machine *machine, struct frame *frame);

#endif
