/* Dot products of the words' parts (EX_dot4, EX_dot4_sat, EX_dot2) in LLVM's instructions: the target's own where it has
 * one at this width, which features say, and plain arithmetic elsewhere. What they compute is in ir/exprs.def; which of
 * them a product uses is decided in passes/bytes.c. */
#include "llvm.h"

#include <string.h>

/* A row's name of the intrinsic for 4, 8 and 16 lanes. */
static LLVMValueRef wide_intrinsic(struct llvm *e, const char *const *names, int lanes, LLVMValueRef a, LLVMValueRef b)
{
    return llvm_intrinsic(e, names[lanes / 8], NULL, 0, (LLVMValueRef[]){a, b}, 2);
}

/* Sums of two products of neighbouring i16, in i32. */
static LLVMValueRef sums_of_pairs(struct llvm *e, LLVMValueRef a, LLVMValueRef b, int lanes)
{
    static const char *const names[] = {"llvm.x86.sse2.pmadd.wd", "llvm.x86.avx2.pmadd.wd", "llvm.x86.avx512.pmaddw.d.512"};
    LLVMTypeRef halves = LLVMVectorType(e->i16, (unsigned)lanes * 2);
    return wide_intrinsic(e, names, lanes, LLVMBuildBitCast(e->builder, a, halves, ""), LLVMBuildBitCast(e->builder, b, halves, ""));
}

/* Whether the target multiplies i16 in pairs at this width; bytes in pairs, from one set of instructions later on. */
static bool has_pairs(const struct llvm *e, int lanes, bool of_bytes)
{
    if (lanes == 16) return strstr(e->target->llvm_features, "+avx512bw") != NULL;
    if (lanes == 8) return strstr(e->target->llvm_features, "+avx2") != NULL;
    return lanes == 4 && e->target->level > (of_bytes ? 1 : 0);
}

/* 16 bits of each lane: its even bytes (or odd ones), extended as unsigned or signed numbers. */
static LLVMValueRef alternate_bytes(struct llvm *e, LLVMValueRef v, int lanes, bool odd, bool is_unsigned)
{
    LLVMBuilderRef ir = e->builder;
    LLVMValueRef pairs = LLVMBuildBitCast(ir, v, LLVMVectorType(e->i16, (unsigned)lanes * 2), "");
    LLVMValueRef eight = llvm_splat(e, LLVMConstInt(e->i16, 8, 0), 2 * lanes);
    if (!odd) pairs = LLVMBuildShl(ir, pairs, eight, "");
    return is_unsigned ? LLVMBuildLShr(ir, pairs, eight, "") : LLVMBuildAShr(ir, pairs, eight, "");
}

/* Bits at..at+n-1 of each lane as a number. */
static LLVMValueRef part_of(struct llvm *e, LLVMValueRef v, int lanes, unsigned at, unsigned n, bool is_unsigned)
{
    LLVMValueRef up = llvm_splat(e, LLVMConstInt(e->i32, 32 - n - at, 0), lanes), down = llvm_splat(e, LLVMConstInt(e->i32, 32 - n, 0), lanes);
    v = LLVMBuildShl(e->builder, v, up, "");
    return is_unsigned ? LLVMBuildLShr(e->builder, v, down, "") : LLVMBuildAShr(e->builder, v, down, "");
}

static LLVMValueRef bytes_product(struct llvm *e, LLVMValueRef a, LLVMValueRef b, int lanes, unsigned at)
{
    return LLVMBuildMul(e->builder, part_of(e, a, lanes, at, 8, true), part_of(e, b, lanes, at, 8, false), "");
}

/* c + the products of a's bytes, unsigned, and b's: the instruction where there is one, sums of two products of 16-bit
 * numbers (exact) where there is that, and plain arithmetic. */
static LLVMValueRef build_dot4(struct llvm *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c, int lanes)
{
    LLVMBuilderRef ir = e->builder;
    if ((lanes == 16 || lanes == 8 || lanes == 4) && strstr(e->target->llvm_features, "+avx512vnni")) {
        static const char *const names[] = {"llvm.x86.avx512.vpdpbusd.128", "llvm.x86.avx512.vpdpbusd.256", "llvm.x86.avx512.vpdpbusd.512"};
        return llvm_intrinsic(e, names[lanes / 8], NULL, 0, (LLVMValueRef[]){c, a, b}, 3);
    }
    if (has_pairs(e, lanes, false)) {
        for (int odd = 0; odd < 2; odd++)
            c = LLVMBuildAdd(ir, c, sums_of_pairs(e, alternate_bytes(e, a, lanes, odd, true), alternate_bytes(e, b, lanes, odd, false), lanes), "");
        return c;
    }
    for (unsigned k = 0; k < 32; k += 8) c = LLVMBuildAdd(ir, c, bytes_product(e, a, b, lanes, k), "");
    return c;
}

static LLVMValueRef build_dot4_sat(struct llvm *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c, int lanes)
{
    LLVMBuilderRef ir = e->builder;
    if (has_pairs(e, lanes, true)) {
        static const char *const names[] = {"llvm.x86.ssse3.pmadd.ub.sw.128", "llvm.x86.avx2.pmadd.ub.sw", "llvm.x86.avx512.pmaddubs.w.512"};
        LLVMTypeRef bytes = LLVMVectorType(e->i8, (unsigned)lanes * 4);
        LLVMValueRef sums = wide_intrinsic(e, names, lanes, LLVMBuildBitCast(ir, a, bytes, ""), LLVMBuildBitCast(ir, b, bytes, ""));
        return LLVMBuildAdd(ir, c, sums_of_pairs(e, sums, llvm_splat(e, LLVMConstInt(e->i16, 1, 0), 2 * lanes), lanes), "");
    }
    LLVMValueRef low = llvm_splat(e, LLVMConstInt(e->i32, (unsigned long long)INT16_MIN, 1), lanes);
    LLVMValueRef high = llvm_splat(e, LLVMConstInt(e->i32, INT16_MAX, 0), lanes);
    for (unsigned k = 0; k < 32; k += 16) {
        LLVMValueRef sum = LLVMBuildAdd(ir, bytes_product(e, a, b, lanes, k), bytes_product(e, a, b, lanes, k + 8), "");
        sum = LLVMBuildSelect(ir, LLVMBuildICmp(ir, LLVMIntSLT, sum, low, ""), low, sum, "");
        sum = LLVMBuildSelect(ir, LLVMBuildICmp(ir, LLVMIntSGT, sum, high, ""), high, sum, "");
        c = LLVMBuildAdd(ir, c, sum, "");
    }
    return c;
}

static LLVMValueRef build_dot2(struct llvm *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c, int lanes)
{
    if (has_pairs(e, lanes, false)) return LLVMBuildAdd(e->builder, c, sums_of_pairs(e, a, b, lanes), "");
    for (unsigned k = 0; k < 32; k += 16) {
        LLVMValueRef product = LLVMBuildMul(e->builder, part_of(e, a, lanes, k, 16, false), part_of(e, b, lanes, k, 16, false), "");
        c = LLVMBuildAdd(e->builder, c, product, "");
    }
    return c;
}

LLVMValueRef llvm_dot(struct llvm *e, enum expr_op op, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c, int lanes)
{
    return op == EX_dot2 ? build_dot2(e, a, b, c, lanes) : op == EX_dot4_sat ? build_dot4_sat(e, a, b, c, lanes) : build_dot4(e, a, b, c, lanes);
}
