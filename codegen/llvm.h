/* Private to codegen/llvm*.c: the state of one emission.
 *
 * llvm.c          target machine, module, passes, text output
 * llvm_parts.c    objects: programs in parts, compiled at the same time
 * llvm_choice.c   NAME_run of several versions
 * llvm_declare.c  kernels' types and attributes
 * llvm_stmt.c     function bodies: statements, control flow, calls, debug places
 * llvm_expr.c     expressions and the table of values already computed
 * llvm_math.c     one operation on values: arithmetic, comparison, casts
 * llvm_memory.c   buffers' addresses, loads, stores, symbolic dims
 *
 * Every function starts with a block `entry` that holds allocas, the caller's pointers, symbols and dims; it is
 * closed last, so anything invariant can be put there when first met.
 */
#ifndef TENON_LLVM_H
#define TENON_LLVM_H
#include "codegen.h"

#include <llvm-c/Core.h>
#include <llvm-c/DebugInfo.h>
#include <llvm-c/TargetMachine.h>

struct llvm_slot { /* one remembered expression */
    ex key;
    LLVMValueRef value;
    int scope;     /* usable while this scope is open ... */
    int statement; /* ... and, where it read memory or a register, in this statement only */
    bool pure;
};
struct llvm_variable {
    LLVMValueRef value;
    bool is_register; /* value is an alloca */
    int function;     /* stamp: entries of other functions do not count */
};
struct llvm_pointer {
    LLVMValueRef value;
    int function;
};
struct llvm_dim {
    dim d;
    LLVMValueRef value;
};

enum { MOST_LANES = 64 }; /* of any vector */
struct llvm {
    struct prog *prog;
    const struct target *target;
    const struct emission *emission;
    int version; /* of the emission: whose program and target these are */
    const char *prefix, *triple;
    bool is_part; /* the program's other kernels are in other modules */
    struct arena *arena;
    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMBuilderRef builder;
    LLVMDIBuilderRef debug;
    LLVMMetadataRef debug_unit, debug_type;
    LLVMTypeRef void_type, i1, i8, i16, i32, i64, ptr;
    LLVMValueRef weights_symbol; /* NULL: the program has no bytes of weights */
    LLVMValueRef *kernels;       /* by position in prog->kernels */
    bool slow_rounding;          /* no rounding instruction: x86 before SSE4.1 */
    /* the function being emitted */
    const struct kernel *kernel; /* NULL: NAME_run */
    LLVMValueRef function;
    LLVMBasicBlockRef entry;
    LLVMValueRef words, outputs, arena_base; /* words: the caller's inputs and symbols */
    LLVMValueRef team;                       /* of several workers; NULL: kernels, and where one runs all */
    LLVMMetadataRef scope, place;
    int stamp;
    struct llvm_variable *variables; /* by var id */
    struct llvm_pointer *buffers;    /* by buffer id */
    LIST(struct llvm_dim) dims;
    /* expressions already emitted */
    struct llvm_slot *slots;
    int n_slots, cap_slots; /* cap: a power of two */
    LIST(bool) scopes;      /* by scope number: still open */
    int current_scope, statement;
};

/* llvm.c */
/* The triple that a target is compiled for, in arena; and the least CPU of it, by LLVM's name. */
const char *llvm_triple(const struct target *target, struct arena *arena);
const char *llvm_cpu(const char *triple);
/* NULL after an error. */
LLVMTargetMachineRef llvm_machine(const struct target *target, const char *triple, struct diag *diag);

struct llvm_part { /* of a version: what goes into one module */
    int version, first, end; /* kernels */
    bool has_run;            /* also NAME_run */
    bool is_whole;           /* nothing of the version is in other modules */
};
/* The part as a module, verified but not improved. */
LLVMModuleRef llvm_build(const struct emission *emission, const struct llvm_part *part, LLVMContextRef context,
                         LLVMTargetMachineRef machine);
/* llvm_choice.c: NAME_run, of several versions in the module. */
void llvm_choice(const struct emission *emission, LLVMModuleRef module);
void llvm_improve(LLVMModuleRef module, LLVMTargetMachineRef machine);

/* llvm_declare.c */
LLVMValueRef llvm_extern(struct llvm *e, const char *extern_name);
void llvm_declare_kernels(struct llvm *e); /* fills e->kernels */
void llvm_function_attributes(struct llvm *e, LLVMValueRef function);
LLVMValueRef llvm_kernel(struct llvm *e, const struct kernel *kernel);
LLVMTypeRef llvm_kernel_type(struct llvm *e, const struct kernel *kernel);

/* llvm_stmt.c */
/* The bodies of a kernel and of NAME_run; the function is declared already. */
void llvm_kernel_body(struct llvm *e, const struct kernel *kernel, LLVMValueRef function);
void llvm_run_body(struct llvm *e, LLVMValueRef function);

/* llvm_expr.c */
LLVMTypeRef llvm_type(struct llvm *e, enum dtype dt, int lanes); /* of a value; bf16 is carried as i16 */
LLVMValueRef llvm_expr(struct llvm *e, ex x);
LLVMValueRef llvm_splat(struct llvm *e, LLVMValueRef scalar, int lanes);
/* n lanes of a and b by number; -1: any value. llvm_memory.c */
LLVMValueRef llvm_shuffle(struct llvm *e, LLVMValueRef a, LLVMValueRef b, const int *pick, int n);
LLVMValueRef llvm_ramp(struct llvm *e, LLVMTypeRef element, LLVMValueRef start, int64_t stride, int lanes);
LLVMValueRef llvm_intrinsic(struct llvm *e, const char *name, LLVMTypeRef *overloads, int n_overloads,
                            LLVMValueRef *args, int n_args);
static inline LLVMValueRef llvm_i64(const struct llvm *e, int64_t v)
{
    return LLVMConstInt(e->i64, (uint64_t)v, 1);
}

/* llvm_math.c: one operation on values of element type dt; a, b of the same lanes */
LLVMValueRef llvm_arithmetic(struct llvm *e, enum expr_op op, enum dtype dt, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef llvm_compare(struct llvm *e, enum expr_op op, enum dtype dt, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef llvm_unary(struct llvm *e, enum expr_op op, enum dtype dt, LLVMValueRef a);
LLVMValueRef llvm_dot(struct llvm *e, enum expr_op op, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c, int lanes);
LLVMValueRef llvm_pack(struct llvm *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c, int lanes); /* llvm_pack.c */
LLVMValueRef llvm_fma(struct llvm *e, enum dtype dt, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c);
LLVMValueRef llvm_cast(struct llvm *e, LLVMValueRef a, enum dtype from, enum dtype to, int lanes);

/* llvm_memory.c */
LLVMValueRef llvm_dim_value(struct llvm *e, dim d);
void llvm_prefetch(struct llvm *e, const struct stmt *s);
LLVMValueRef llvm_address(struct llvm *e, struct buffer *buf, LLVMValueRef index); /* index NULL: its start */
LLVMValueRef llvm_load(struct llvm *e, ex x);
void llvm_store(struct llvm *e, const struct stmt *s);
/* An alloca in the entry block. */
LLVMValueRef llvm_alloca(struct llvm *e, LLVMTypeRef type, unsigned alignment, const char *name);

#endif
