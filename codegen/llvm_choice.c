/* The LLVM back end, several versions in one text: NAME_run, which finds the machine's x86-64 level at its first call and
 * calls the widest version that runs on it. What runtime/cpu.c does in C (read that first), for users of .ll and .s files,
 * who have no C text. The level is kept in a variable; threads that race store the same number.
 */
#include "llvm.h"

#include <string.h>

/* Bits of CPUID's leaves 1 (ecx), 7 (ebx, ecx) and 0x80000001 (ecx), and of XCR0, that levels 2 to 5 add. */
static const struct {
    unsigned features, wide, more, extended, saved;
} levels[] = {
    {0x00982201, 0, 0, 0x01, 0},          /* SSE3 SSSE3 CMPXCHG16B SSE4.1 SSE4.2 POPCNT; LAHF */
    {0x30401000, 0x0128, 0, 0x20, 0x06},  /* FMA MOVBE AVX F16C; BMI AVX2 BMI2; LZCNT; ymm */
    {0, 0xd0030000, 0, 0, 0xe6},          /* AVX512 F DQ CD BW VL; zmm and masks */
    {0, 0, 0x0800, 0, 0},                 /* AVX512 VNNI */
};

enum { NO_CPU = -3 }; /* TENON_NO_CPU of runtime/tenon.h */

struct choice {
    struct arena *arena;
    LLVMContextRef context;
    LLVMBuilderRef builder;
    LLVMTypeRef i32;
};

static LLVMValueRef number(const struct choice *c, unsigned v)
{
    return LLVMConstInt(c->i32, v, 0);
}

static LLVMValueRef assembler(const struct choice *c, const char *text, const char *constraints, unsigned n_results,
                              LLVMValueRef *args, unsigned n_args)
{
    LLVMTypeRef types[] = {c->i32, c->i32, c->i32, c->i32}, result = LLVMStructTypeInContext(c->context, types, n_results, 0);
    LLVMTypeRef type = LLVMFunctionType(result, types, n_args, 0);
    LLVMValueRef code = LLVMGetInlineAsm(type, text, strlen(text), constraints, strlen(constraints), 1, 0,
                                         LLVMInlineAsmDialectATT, 0);
    return LLVMBuildCall2(c->builder, type, code, args, n_args, "");
}

/* Register 0 to 3 (eax, ebx, ecx, edx) of a leaf; 0 where `most`, if given, says that there is no such leaf. */
static LLVMValueRef leaf(const struct choice *c, unsigned leaf, unsigned result, LLVMValueRef most)
{
    LLVMValueRef args[] = {number(c, leaf), number(c, 0)};
    LLVMValueRef all = assembler(c, "cpuid", "={ax},={bx},={cx},={dx},{ax},{cx}", 4, args, 2);
    LLVMValueRef value = LLVMBuildExtractValue(c->builder, all, result, "");
    if (!most) return value;
    LLVMValueRef is_there = LLVMBuildICmp(c->builder, LLVMIntUGE, most, args[0], "");
    return LLVMBuildSelect(c->builder, is_there, value, number(c, 0), "");
}

static LLVMValueRef has(const struct choice *c, LLVMValueRef word, unsigned bits)
{
    return LLVMBuildICmp(c->builder, LLVMIntEQ, LLVMBuildAnd(c->builder, word, number(c, bits), ""), number(c, bits), "");
}

/* The body of `function`, which returns the level. */
static void level_build(struct choice *c, LLVMValueRef function)
{
    LLVMBasicBlockRef entry = LLVMAppendBasicBlockInContext(c->context, function, "entry");
    LLVMBasicBlockRef ask = LLVMAppendBasicBlockInContext(c->context, function, "ask");
    LLVMBasicBlockRef end = LLVMAppendBasicBlockInContext(c->context, function, "end");
    LLVMPositionBuilderAtEnd(c->builder, entry);
    LLVMValueRef features = leaf(c, 1, 2, NULL), most = leaf(c, 0, 0, NULL);
    LLVMValueRef wide = leaf(c, 7, 1, most), more = leaf(c, 7, 2, most);
    LLVMValueRef extended = leaf(c, 0x80000001, 2, leaf(c, 0x80000000, 0, NULL));
    LLVMBuildCondBr(c->builder, has(c, features, 1u << 27), ask, end); /* XGETBV is there */
    LLVMPositionBuilderAtEnd(c->builder, ask);
    LLVMValueRef zero = number(c, 0), asked = assembler(c, "xgetbv", "={ax},={dx},{cx}", 2, &zero, 1);
    asked = LLVMBuildExtractValue(c->builder, asked, 0, "");
    LLVMBuildBr(c->builder, end);
    LLVMPositionBuilderAtEnd(c->builder, end);
    LLVMValueRef saved = LLVMBuildPhi(c->builder, c->i32, "saved");
    LLVMAddIncoming(saved, (LLVMValueRef[]){zero, asked}, (LLVMBasicBlockRef[]){entry, ask}, 2);
    LLVMValueRef level = number(c, 1), all = LLVMConstInt(LLVMInt1TypeInContext(c->context), 1, 0);
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        all = LLVMBuildAnd(c->builder, all, has(c, features, levels[i].features), "");
        all = LLVMBuildAnd(c->builder, all, has(c, wide, levels[i].wide), "");
        all = LLVMBuildAnd(c->builder, all, has(c, more, levels[i].more), "");
        all = LLVMBuildAnd(c->builder, all, has(c, extended, levels[i].extended), "");
        all = LLVMBuildAnd(c->builder, all, has(c, saved, levels[i].saved), "");
        level = LLVMBuildAdd(c->builder, level, LLVMBuildZExt(c->builder, all, c->i32, ""), "");
    }
    LLVMBuildRet(c->builder, level);
}

static void run_build(struct choice *c, const struct emission *emission, LLVMModuleRef module, LLVMValueRef run,
                      LLVMValueRef find, LLVMValueRef kept)
{
    LLVMBasicBlockRef entry = LLVMAppendBasicBlockInContext(c->context, run, "entry");
    LLVMBasicBlockRef first = LLVMAppendBasicBlockInContext(c->context, run, "first");
    LLVMBasicBlockRef block = LLVMAppendBasicBlockInContext(c->context, run, "choose");
    LLVMPositionBuilderAtEnd(c->builder, entry);
    LLVMValueRef known = LLVMBuildLoad2(c->builder, c->i32, kept, "known");
    LLVMSetOrdering(known, LLVMAtomicOrderingMonotonic);
    LLVMBuildCondBr(c->builder, LLVMBuildICmp(c->builder, LLVMIntNE, known, number(c, 0), ""), block, first);
    LLVMPositionBuilderAtEnd(c->builder, first);
    LLVMValueRef found = LLVMBuildCall2(c->builder, LLVMGlobalGetValueType(find), find, NULL, 0, "found");
    LLVMSetOrdering(LLVMBuildStore(c->builder, found, kept), LLVMAtomicOrderingMonotonic);
    LLVMBuildBr(c->builder, block);
    LLVMPositionBuilderAtEnd(c->builder, block);
    LLVMValueRef level = LLVMBuildPhi(c->builder, c->i32, "level"), args[3];
    LLVMAddIncoming(level, (LLVMValueRef[]){known, found}, (LLVMBasicBlockRef[]){entry, first}, 2);
    LLVMGetParams(run, args);
    for (int i = emission->n_versions - 1; i >= 0; i--) {
        const struct version *version = &emission->versions[i];
        LLVMBasicBlockRef yes = LLVMAppendBasicBlockInContext(c->context, run, version->target->name);
        LLVMBasicBlockRef no = LLVMAppendBasicBlockInContext(c->context, run, "narrower");
        LLVMValueRef least = number(c, (unsigned)version->target->level);
        LLVMBuildCondBr(c->builder, LLVMBuildICmp(c->builder, LLVMIntUGE, level, least, ""), yes, no);
        LLVMPositionBuilderAtEnd(c->builder, yes);
        LLVMValueRef own = LLVMGetNamedFunction(module, arena_printf(c->arena, "%srun", version->prefix));
        LLVMBuildRet(c->builder, LLVMBuildCall2(c->builder, LLVMGlobalGetValueType(own), own, args, 3, ""));
        LLVMPositionBuilderAtEnd(c->builder, no);
    }
    LLVMBuildRet(c->builder, LLVMConstInt(c->i32, (unsigned long long)NO_CPU, 1));
}

void llvm_choice(const struct emission *emission, LLVMModuleRef module)
{
    struct choice c = {.arena = arena_new(), .context = LLVMGetModuleContext(module)};
    c.builder = LLVMCreateBuilderInContext(c.context);
    c.i32 = LLVMInt32TypeInContext(c.context);
    LLVMTypeRef pointer = LLVMPointerTypeInContext(c.context, 0), params[] = {pointer, pointer, pointer};
    LLVMValueRef run = LLVMAddFunction(module, arena_printf(c.arena, "%s_run", emission->name),
                                       LLVMFunctionType(c.i32, params, 3, 0));
    LLVMValueRef find = LLVMAddFunction(module, "cpu_level", LLVMFunctionType(c.i32, NULL, 0, 0));
    LLVMValueRef kept = LLVMAddGlobal(module, c.i32, "cpu_level_found");
    LLVMSetLinkage(find, LLVMInternalLinkage);
    LLVMSetLinkage(kept, LLVMInternalLinkage);
    LLVMSetInitializer(kept, number(&c, 0));
    LLVMSetAlignment(kept, 4);
    level_build(&c, find);
    run_build(&c, emission, module, run, find, kept);
    LLVMDisposeBuilder(c.builder);
    arena_free(c.arena);
}
