/* The LLVM back end, declarations: kernels as internal functions, and what LLVM may assume of their pointers.
 *
 * A kernel's parameter is noalias where, in every call, nothing else that is passed beside it overlaps it while one
 * of the two is written. Planned arena buffers are compared by offset; the caller's inputs and outputs are taken to
 * be apart, as the compiled model's interface says. Kernels return a status only where something in them can fail.
 * Where a program is compiled in parts, each declares all of this in the same order, so that its names are the same.
 * Functions with names that others rely on (NAME_run, tenon_top_k) are declared before the kernels, so that LLVM
 * renames a kernel of such a name.
 */
#include "llvm.h"

#include <string.h>

static int kernel_position(const struct llvm *e, const struct kernel *kernel)
{
    for (int i = 0; i < e->prog->kernels.n; i++)
        if (e->prog->kernels.at[i] == kernel) return i;
    bug("llvm", "call of an unknown kernel %s", kernel->name);
}

LLVMValueRef llvm_kernel(struct llvm *e, const struct kernel *kernel)
{
    return e->kernels[kernel_position(e, kernel)];
}

LLVMTypeRef llvm_kernel_type(struct llvm *e, const struct kernel *kernel)
{
    return LLVMGlobalGetValueType(llvm_kernel(e, kernel));
}

/* ---- overlaps ---- */

/* Proven: a's bytes end before b's begin. */
static bool ends_before(struct dims *dims, const struct buffer *a, const struct buffer *b)
{
    dim a_end = dim_add(dims, a->offset_bytes, dim_mul(dims, a->elements, dtype_bytes(a->dt)));
    return dim_le(dims, a_end, b->offset_bytes);
}

static bool may_overlap(struct llvm *e, const struct buffer *a, const struct buffer *b)
{
    if (a == b) return true;
    if (a->space != b->space)
        return (a->space == SPACE_PARAM || b->space == SPACE_PARAM) && a->space != SPACE_LOCAL &&
               b->space != SPACE_LOCAL;
    if (a->space == SPACE_PARAM) return true;
    if (a->space != SPACE_ARENA) return false;
    return !ends_before(e->prog->dims, a, b) && !ends_before(e->prog->dims, b, a);
}

static void overlaps_of_call(struct llvm *e, const struct stmt *s, bool **overlaps)
{
    bool *found = overlaps[kernel_position(e, s->kernel)];
    for (int i = 0; i < s->n_args; i++)
        for (int k = 0; k < i; k++) {
            bool is_written = s->kernel->params.at[i]->written || s->kernel->params.at[k]->written;
            if (is_written && may_overlap(e, s->args[i].buf, s->args[k].buf)) found[i] = found[k] = true;
        }
}

static void overlaps_of(struct llvm *e, const struct stmt *s, bool **overlaps)
{
    for (; s; s = s->next) {
        if (s->kind == STMT_CALL && s->kernel) overlaps_of_call(e, s, overlaps);
        if (s->kind == STMT_CALL && !s->kernel) llvm_extern(e, s->extern_name);
        overlaps_of(e, s->body, overlaps);
        overlaps_of(e, s->other, overlaps);
    }
}

/* ---- functions ---- */

LLVMValueRef llvm_extern(struct llvm *e, const char *extern_name)
{
    const char *name = arena_printf(e->arena, "tenon_%s", extern_name);
    LLVMValueRef function = LLVMGetNamedFunction(e->module, name);
    if (function) return function;
    LLVMTypeRef params[] = {e->ptr, e->ptr};
    return LLVMAddFunction(e->module, name, LLVMFunctionType(e->i32, params, 2, 0));
}

static void attribute_add(struct llvm *e, LLVMValueRef function, LLVMAttributeIndex at, const char *name, int value)
{
    unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
    LLVMAddAttributeAtIndex(function, at, LLVMCreateEnumAttribute(e->context, kind, (uint64_t)value));
}

static void parameter_attribute(struct llvm *e, LLVMValueRef function, int i, const char *name)
{
    attribute_add(e, function, (LLVMAttributeIndex)(i + 1), name, 0);
}

static void text_attribute(struct llvm *e, LLVMValueRef function, const char *key, const char *value)
{
    LLVMAddAttributeAtIndex(function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
                            LLVMCreateStringAttribute(e->context, key, (unsigned)strlen(key), value,
                                                      (unsigned)strlen(value)));
}

/* Each function says what it is compiled for: LLVM text may hold versions for several CPUs. */
void llvm_function_attributes(struct llvm *e, LLVMValueRef function)
{
    const LLVMAttributeIndex whole = (LLVMAttributeIndex)LLVMAttributeFunctionIndex;
    attribute_add(e, function, whole, "nounwind", 0);
    text_attribute(e, function, "target-cpu", llvm_cpu(e->triple));
    if (*e->target->llvm_features) text_attribute(e, function, "target-features", e->target->llvm_features);
    if (e->target->vector_bytes >= 64) text_attribute(e, function, "prefer-vector-width", "512");
}

enum { STACK_BYTES = 16 /* a stack's alignment at a call */ };

/* Vectors that the stack has to hold lie at multiples of their size, so that none is spread over two lines. LLVM alone sees
 * to that only where it knows before it assigns registers that there will be some. */
static LLVMValueRef kernel_declare(struct llvm *e, const struct kernel *kernel, const bool *overlaps)
{
    int n = 0;
    LLVMTypeRef *params = NEW_ARRAY(e->arena, LLVMTypeRef, kernel->params.n + kernel->scalars.n + 1);
    for (int i = 0; i < kernel->params.n; i++) params[n++] = e->ptr;
    for (int i = 0; i < kernel->scalars.n; i++) params[n++] = llvm_type(e, kernel->scalars.at[i]->dt, 1);
    bool has_words = dims_n_symbols(e->prog->dims) > 0;
    if (has_words) params[n++] = e->ptr;
    LLVMTypeRef result = stmt_can_fail(kernel->body) ? e->i32 : e->void_type;
    LLVMTypeRef type = LLVMFunctionType(result, params, (unsigned)n, 0);
    LLVMValueRef function = LLVMAddFunction(e->module, arena_printf(e->arena, "%s%s", e->prefix, kernel->name), type);
    if (e->is_part) LLVMSetVisibility(function, LLVMHiddenVisibility);
    else LLVMSetLinkage(function, LLVMInternalLinkage);
    llvm_function_attributes(e, function);
    if (e->target->vector_bytes > STACK_BYTES) attribute_add(e, function, (LLVMAttributeIndex)LLVMAttributeFunctionIndex, "alignstack", e->target->vector_bytes);
    for (int i = 0; i < kernel->params.n; i++) {
        if (!overlaps[i]) parameter_attribute(e, function, i, "noalias");
        parameter_attribute(e, function, i, "nonnull");
        if (!kernel->params.at[i]->written) parameter_attribute(e, function, i, "readonly");
        LLVMSetValueName2(LLVMGetParam(function, (unsigned)i), kernel->params.at[i]->name,
                          strlen(kernel->params.at[i]->name));
    }
    if (has_words) {
        parameter_attribute(e, function, n - 1, "noalias");
        parameter_attribute(e, function, n - 1, "readonly");
    }
    return function;
}

void llvm_declare_kernels(struct llvm *e)
{
    int n = e->prog->kernels.n;
    bool **overlaps = NEW_ARRAY(e->arena, bool *, n + 1);
    for (int i = 0; i < n; i++) overlaps[i] = NEW_ARRAY(e->arena, bool, e->prog->kernels.at[i]->params.n + 1);
    overlaps_of(e, e->prog->main, overlaps);
    for (int i = 0; i < n; i++) overlaps_of(e, e->prog->kernels.at[i]->body, overlaps);
    e->kernels = NEW_ARRAY(e->arena, LLVMValueRef, n + 1);
    for (int i = 0; i < n; i++) e->kernels[i] = kernel_declare(e, e->prog->kernels.at[i], overlaps[i]);
}
