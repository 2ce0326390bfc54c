/* The LLVM back end, statements: loops, branches, registers, calls and failures of one function.
 *
 * Loops are emitted with the test at the end (a guard before them where they may be empty) and one i64 phi, the
 * form LLVM's loop passes want. A loop marked unroll with a constant, small number of rounds is written out, so that
 * register tiles become registers. Registers (lets that `set` changes) are allocas, which LLVM promotes. Kinds of
 * parallel loops run one after the other. Read next: llvm.c for what surrounds a function.
 */
#include "llvm.h"

#include <stdlib.h>
#include <string.h>

enum { UNROLL_MOST = 64 };

static void block_build(struct llvm *e, const struct stmt *s);

static LLVMBasicBlockRef block_new(struct llvm *e, const char *name)
{
    return LLVMAppendBasicBlockInContext(e->context, e->function, name);
}

static void block_enter(struct llvm *e, LLVMBasicBlockRef block)
{
    LLVMPositionBuilderAtEnd(e->builder, block);
}

/* ---- scopes: which remembered values may be used ---- */

static int scope_open(struct llvm *e)
{
    int outer = e->current_scope;
    e->current_scope = e->scopes.n;
    LIST_PUSH(e->arena, &e->scopes, true);
    return outer;
}

static void scope_close(struct llvm *e, int outer)
{
    e->scopes.at[e->current_scope] = false;
    e->current_scope = outer;
}

static void scoped_block(struct llvm *e, const struct stmt *s)
{
    int outer = scope_open(e);
    block_build(e, s);
    scope_close(e, outer);
}

static void variable_bind(struct llvm *e, const struct var *var, LLVMValueRef value, bool is_register)
{
    e->variables[var->id] = (struct llvm_variable){value, is_register, e->stamp};
}

/* ---- loops ---- */

static bool is_unrolled(const struct stmt *s)
{
    if (s->loop != LOOP_UNROLL || !ex_is_const(s->a) || !ex_is_const(s->b)) return false;
    int64_t span = s->b->imm - s->a->imm;
    return span <= 0 || (span - 1) / s->step < UNROLL_MOST;
}

static void unrolled_build(struct llvm *e, const struct stmt *s)
{
    for (int64_t i = s->a->imm; i < s->b->imm; i += s->step) {
        int outer = scope_open(e);
        variable_bind(e, s->var, llvm_i64(e, i), false);
        block_build(e, s->body);
        scope_close(e, outer);
    }
}

static bool is_never_empty(struct llvm *e, const struct stmt *s)
{
    dim lo_lo, lo_hi, hi_lo, hi_hi;
    return ex_range(e->prog, s->a, &lo_lo, &lo_hi) && ex_range(e->prog, s->b, &hi_lo, &hi_hi) &&
           dim_lt(e->prog->dims, lo_hi, hi_lo);
}

static void loop_build(struct llvm *e, const struct stmt *s)
{
    LLVMBuilderRef ir = e->builder;
    LLVMValueRef lo = llvm_expr(e, s->a), hi = llvm_expr(e, s->b);
    LLVMBasicBlockRef before = LLVMGetInsertBlock(ir), body = block_new(e, s->var->name);
    LLVMBasicBlockRef after = block_new(e, "done");
    if (is_never_empty(e, s)) LLVMBuildBr(ir, body);
    else LLVMBuildCondBr(ir, LLVMBuildICmp(ir, LLVMIntSLT, lo, hi, ""), body, after);
    block_enter(e, body);
    LLVMValueRef phi = LLVMBuildPhi(ir, e->i64, s->var->name);
    int outer = scope_open(e);
    variable_bind(e, s->var, phi, false);
    block_build(e, s->body);
    scope_close(e, outer);
    LLVMValueRef next = LLVMBuildNSWAdd(ir, phi, llvm_i64(e, s->step), "");
    LLVMBuildCondBr(ir, LLVMBuildICmp(ir, LLVMIntSLT, next, hi, ""), body, after);
    LLVMAddIncoming(phi, (LLVMValueRef[]){lo, next}, (LLVMBasicBlockRef[]){before, LLVMGetInsertBlock(ir)}, 2);
    block_enter(e, after);
}

static void while_build(struct llvm *e, const struct stmt *s)
{
    LLVMBasicBlockRef body = block_new(e, "while"), after = block_new(e, "done");
    LLVMBuildBr(e->builder, body);
    block_enter(e, body);
    int outer = scope_open(e);
    block_build(e, s->body);
    e->statement++;
    LLVMValueRef again = llvm_expr(e, s->a);
    scope_close(e, outer);
    LLVMBuildCondBr(e->builder, again, body, after);
    block_enter(e, after);
}

static void if_build(struct llvm *e, const struct stmt *s)
{
    LLVMBasicBlockRef then = block_new(e, "then"), after = block_new(e, "after");
    LLVMBasicBlockRef other = s->other ? block_new(e, "else") : after;
    LLVMBuildCondBr(e->builder, llvm_expr(e, s->a), then, other);
    block_enter(e, then);
    scoped_block(e, s->body);
    LLVMBuildBr(e->builder, after);
    if (s->other) {
        block_enter(e, other);
        scoped_block(e, s->other);
        LLVMBuildBr(e->builder, after);
    }
    block_enter(e, after);
}

/* ---- registers ---- */

static LLVMValueRef register_value(struct llvm *e, const struct var *var, ex value)
{
    LLVMValueRef v = llvm_expr(e, value);
    return value->lanes == var->lanes ? v : llvm_splat(e, v, var->lanes);
}

static void let_build(struct llvm *e, const struct stmt *s)
{
    LLVMValueRef v = register_value(e, s->var, s->a);
    if (!s->mutable) {
        variable_bind(e, s->var, v, false);
        return;
    }
    LLVMValueRef place = llvm_alloca(e, llvm_type(e, s->var->dt, s->var->lanes), 0, s->var->name);
    LLVMBuildStore(e->builder, v, place);
    variable_bind(e, s->var, place, true);
}

static void set_build(struct llvm *e, const struct stmt *s)
{
    LLVMBuildStore(e->builder, register_value(e, s->var, s->a), e->variables[s->var->id].value);
}

/* ---- failures and calls ---- */

static void return_if(struct llvm *e, LLVMValueRef condition, LLVMValueRef status)
{
    LLVMBasicBlockRef fail = block_new(e, "fail"), after = block_new(e, "fine");
    LLVMBuildCondBr(e->builder, condition, fail, after);
    block_enter(e, fail);
    LLVMBuildRet(e->builder, status);
    block_enter(e, after);
}

static void check_status(struct llvm *e, LLVMValueRef status)
{
    return_if(e, LLVMBuildICmp(e->builder, LLVMIntNE, status, LLVMConstInt(e->i32, 0, 0), ""), status);
}

/* One of the two functions at the start of the team (runtime/pool.c) on team, worker and more. */
static LLVMValueRef team_call(struct llvm *e, int64_t which, LLVMTypeRef result, LLVMValueRef more)
{
    LLVMValueRef args[] = {e->team, e->variables[e->prog->worker->id].value, more}, index = llvm_i64(e, which);
    LLVMTypeRef params[] = {e->ptr, e->i64, e->i32};
    LLVMValueRef at = LLVMBuildInBoundsGEP2(e->builder, e->ptr, e->team, &index, 1, "");
    LLVMTypeRef type = LLVMFunctionType(result, params, more ? 3 : 2, 0);
    return LLVMBuildCall2(e->builder, type, LLVMBuildLoad2(e->builder, e->ptr, at, ""), args, more ? 3 : 2, "");
}

/* The status of a call: one of several workers goes on to the next barrier, where all stop. */
static void call_status(struct llvm *e, LLVMValueRef status)
{
    if (!e->team) {
        check_status(e, status);
        return;
    }
    LLVMBasicBlockRef fail = block_new(e, "fail"), after = block_new(e, "fine");
    LLVMBuildCondBr(e->builder, LLVMBuildICmp(e->builder, LLVMIntNE, status, LLVMConstInt(e->i32, 0, 0), ""), fail, after);
    block_enter(e, fail);
    team_call(e, 1, e->void_type, status);
    LLVMBuildBr(e->builder, after);
    block_enter(e, after);
}

static LLVMValueRef argument_address(struct llvm *e, const struct call_arg *arg)
{
    return llvm_address(e, arg->buf, arg->offset ? llvm_expr(e, arg->offset) : NULL);
}

static void call_kernel(struct llvm *e, const struct stmt *s)
{
    int n = 0;
    LLVMValueRef *args = NEW_ARRAY(e->arena, LLVMValueRef, s->n_args + s->n_scalars + 1);
    for (int i = 0; i < s->n_args; i++) args[n++] = argument_address(e, &s->args[i]);
    for (int i = 0; i < s->n_scalars; i++) args[n++] = llvm_expr(e, s->scalars[i]);
    if (dims_n_symbols(e->prog->dims)) args[n++] = e->words;
    LLVMTypeRef type = llvm_kernel_type(e, s->kernel);
    LLVMValueRef status = LLVMBuildCall2(e->builder, type, llvm_kernel(e, s->kernel), args, (unsigned)n, "");
    if (LLVMGetReturnType(type) != e->void_type) call_status(e, status);
}

/* A scalar of any type in one of the 8-byte words an extern function gets. */
static LLVMValueRef as_word(struct llvm *e, ex x)
{
    LLVMValueRef v = llvm_expr(e, x);
    if (!dtype_is_float(x->dt)) return llvm_cast(e, v, x->dt, DT_index, 1);
    return LLVMBuildBitCast(e->builder, llvm_cast(e, v, x->dt, DT_f64, 1), e->i64, "");
}

static LLVMValueRef word_array(struct llvm *e, LLVMTypeRef element, int n, LLVMValueRef *values)
{
    LLVMValueRef array = llvm_alloca(e, LLVMArrayType2(element, (uint64_t)(n ? n : 1)), 8, "words");
    for (int i = 0; i < n; i++) {
        LLVMValueRef index = llvm_i64(e, i);
        LLVMBuildStore(e->builder, values[i], LLVMBuildInBoundsGEP2(e->builder, element, array, &index, 1, ""));
    }
    return array;
}

/* int tenon_NAME(void *const *buffers, const int64_t *scalars) */
static void call_extern(struct llvm *e, const struct stmt *s)
{
    LLVMValueRef function = llvm_extern(e, s->extern_name);
    LLVMValueRef *values = NEW_ARRAY(e->arena, LLVMValueRef, s->n_args + s->n_scalars + 1);
    for (int i = 0; i < s->n_args; i++) values[i] = argument_address(e, &s->args[i]);
    LLVMValueRef args[] = {word_array(e, e->ptr, s->n_args, values), NULL};
    for (int i = 0; i < s->n_scalars; i++) values[i] = as_word(e, s->scalars[i]);
    args[1] = word_array(e, e->i64, s->n_scalars, values);
    call_status(e, LLVMBuildCall2(e->builder, LLVMGlobalGetValueType(function), function, args, 2, ""));
}

/* ---- statements ---- */

static void stmt_place(struct llvm *e, const struct stmt *s)
{
    if (s->place.line <= 0) return;
    LLVMMetadataRef at = LLVMDIBuilderCreateDebugLocation(e->context, (unsigned)s->place.line,
                                                          (unsigned)s->place.column, e->scope, NULL);
    LLVMSetCurrentDebugLocation2(e->builder, at);
}

static void block_build(struct llvm *e, const struct stmt *s)
{
    for (; s; s = s->next) {
        e->statement++;
        stmt_place(e, s);
        switch (s->kind) {
        case STMT_FOR:
            if (is_unrolled(s)) unrolled_build(e, s);
            else loop_build(e, s);
            break;
        case STMT_STORE: llvm_store(e, s); break;
        case STMT_LET: let_build(e, s); break;
        case STMT_SET: set_build(e, s); break;
        case STMT_IF: if_build(e, s); break;
        case STMT_WHILE: while_build(e, s); break;
        case STMT_CALL:
            if (s->kernel) call_kernel(e, s);
            else call_extern(e, s);
            break;
        case STMT_FAIL:
            return_if(e, llvm_expr(e, s->a), LLVMConstInt(e->i32, (unsigned long long)(long long)s->code, 1));
            break;
        case STMT_PREFETCH: llvm_prefetch(e, s); break;
        case STMT_BARRIER:
            if (s->code) break; /* for a device: here is one memory */
            check_status(e, team_call(e, 0, e->i32, NULL));
            break;
        }
    }
}

/* ---- functions ---- */

/* The last part of a path: the bytes of an artefact do not depend on where the compiler ran. */
static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Where a debugger says the function is: file and line of the model's text, or "net.onnx: node 17 conv1". */
static LLVMMetadataRef place_file(struct llvm *e, const struct place *place)
{
    const char *model = place->source ? base_name(place->source->name) : e->prog->name;
    char *name = arena_strdup(e->arena, model);
    if (place->line <= 0 && place->path) name = arena_printf(e->arena, "%s: %s", model, place->path);
    for (char *c = name; *c; c++)
        if (*c < ' ' || *c > '~') *c = '?'; /* names come from files and end up on terminals */
    return LLVMDIBuilderCreateFile(e->debug, name, strlen(name), "", 0);
}

/* A line, a node's number in a binary model, or 1. */
static unsigned place_line(const struct place *place)
{
    static const char node[] = "node ";
    if (place->line > 0) return (unsigned)place->line;
    if (!place->path || strncmp(place->path, node, sizeof node - 1) != 0) return 1;
    long number = strtol(place->path + sizeof node - 1, NULL, 10);
    return number > 0 && number < 1 << 30 ? (unsigned)number : 1;
}

static void function_open(struct llvm *e, LLVMValueRef function, const char *name, const struct place *place)
{
    size_t n = strlen(name), n_symbol;
    const char *symbol = LLVMGetValueName2(function, &n_symbol);
    unsigned line = place_line(place);
    e->function = function;
    e->stamp++;
    e->dims.n = 0;
    LLVMMetadataRef file = place_file(e, place);
    e->scope = LLVMDIBuilderCreateFunction(e->debug, file, name, n, symbol, n_symbol, file, line, e->debug_type,
                                           e->kernel != NULL, 1, line, LLVMDIFlagZero, 1);
    LLVMSetSubprogram(function, e->scope);
    LLVMSetCurrentDebugLocation2(e->builder, LLVMDIBuilderCreateDebugLocation(e->context, line, 0, e->scope, NULL));
    e->entry = block_new(e, "entry");
    block_enter(e, block_new(e, "body"));
}

static void function_close(struct llvm *e, LLVMBasicBlockRef body)
{
    if (LLVMGetReturnType(LLVMGlobalGetValueType(e->function)) == e->void_type) LLVMBuildRetVoid(e->builder);
    else LLVMBuildRet(e->builder, LLVMConstInt(e->i32, 0, 0));
    block_enter(e, e->entry);
    LLVMBuildBr(e->builder, body);
}

static void function_body(struct llvm *e, const struct stmt *body)
{
    LLVMBasicBlockRef first = LLVMGetInsertBlock(e->builder);
    scoped_block(e, body);
    function_close(e, first);
}

void llvm_kernel_body(struct llvm *e, const struct kernel *kernel, LLVMValueRef function)
{
    e->kernel = kernel;
    unsigned n = (unsigned)kernel->params.n;
    function_open(e, function, kernel->name, &kernel->place);
    for (int i = 0; i < kernel->scalars.n; i++)
        variable_bind(e, kernel->scalars.at[i], LLVMGetParam(function, n++), false);
    e->words = dims_n_symbols(e->prog->dims) ? LLVMGetParam(function, n) : NULL;
    function_body(e, kernel->body);
}

void llvm_run_body(struct llvm *e, LLVMValueRef function)
{
    struct place nowhere = {0};
    e->kernel = NULL;
    function_open(e, function, LLVMGetValueName2(function, &(size_t){0}), &nowhere);
    e->words = LLVMGetParam(function, 0);
    e->outputs = LLVMGetParam(function, 1);
    e->arena_base = LLVMGetParam(function, 2);
    if (e->prog->threads) {
        e->team = LLVMGetParam(function, 3);
        variable_bind(e, e->prog->worker, LLVMGetParam(function, 4), false);
        variable_bind(e, e->prog->workers, LLVMGetParam(function, 5), false);
    }
    function_body(e, e->prog->main);
}
