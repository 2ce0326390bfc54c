/* Floats rounded to bytes, two vectors at once (EX_pack), in LLVM's instructions: conversion to integers, which rounds half to
 * even, and packing with saturation, twice. Packing works in groups of 16 bytes, so that fours of results have to be put in
 * order at the end. Elsewhere: as rounding, addition and conversion of each half. What it computes is in ir/exprs.def;
 * where it is used is decided in passes/expand_pack.c. */
#include "llvm.h"

#include <string.h>

/* Names of the instructions for 8 and 16 floats. */
static const struct names {
    const char *feature, *convert, *to_halves, *to_bytes;
} names[] = {
    {"+avx2", "llvm.x86.avx.cvt.ps2dq.256", "llvm.x86.avx2.packssdw", "llvm.x86.avx2.packuswb"},
    {"+avx512bw", "llvm.x86.avx512.mask.cvtps2dq.512", "llvm.x86.avx512.packssdw.512", "llvm.x86.avx512.packuswb.512"},
};

/* Integers, the least one where there is a NaN or it is less. The bound is for what is more; a NaN is no less than it. */
static LLVMValueRef converted(struct llvm *e, const struct names *by, LLVMValueRef a, int lanes)
{
    LLVMValueRef most = llvm_splat(e, LLVMConstReal(LLVMFloatTypeInContext(e->context), 0x1p30), lanes);
    a = LLVMBuildSelect(e->builder, LLVMBuildFCmp(e->builder, LLVMRealOLT, most, a, ""), most, a, "");
    if (lanes == 8) return llvm_intrinsic(e, by->convert, NULL, 0, &a, 1);
    LLVMValueRef none = LLVMConstNull(LLVMVectorType(e->i32, (unsigned)lanes)), all = LLVMConstAllOnes(e->i16);
    return llvm_intrinsic(e, by->convert, NULL, 0, (LLVMValueRef[]){a, none, all, LLVMConstInt(e->i32, 4, 0)}, 4);
}

static LLVMValueRef packed(struct llvm *e, const struct names *by, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c, int lanes)
{
    LLVMBuilderRef ir = e->builder;
    int pick[MOST_LANES], groups = lanes / 4;
    LLVMValueRef v = llvm_intrinsic(e, by->to_halves, NULL, 0, (LLVMValueRef[]){converted(e, by, a, lanes), converted(e, by, b, lanes)}, 2);
    LLVMTypeRef halves = LLVMTypeOf(v);
    LLVMValueRef more = llvm_splat(e, LLVMBuildTrunc(ir, c, e->i16, ""), 2 * lanes);
    v = llvm_intrinsic(e, "llvm.sadd.sat", &halves, 1, (LLVMValueRef[]){v, more}, 2);
    v = llvm_intrinsic(e, by->to_bytes, NULL, 0, (LLVMValueRef[]){v, v}, 2);
    v = LLVMBuildBitCast(ir, v, LLVMVectorType(e->i32, (unsigned)lanes), "");
    for (int i = 0; i < 2 * groups; i++) pick[i] = i % groups * 4 + i / groups;
    v = llvm_shuffle(e, v, LLVMGetPoison(LLVMTypeOf(v)), pick, 2 * groups);
    return LLVMBuildBitCast(ir, v, LLVMVectorType(e->i8, (unsigned)lanes * 2), "");
}

static LLVMValueRef rounded(struct llvm *e, LLVMValueRef a, LLVMValueRef c, int lanes)
{
    LLVMValueRef more = LLVMBuildSIToFP(e->builder, c, LLVMFloatTypeInContext(e->context), "");
    a = LLVMBuildFAdd(e->builder, llvm_unary(e, EX_round, DT_f32, a), llvm_splat(e, more, lanes), "");
    return llvm_cast(e, a, DT_f32, DT_u8, lanes);
}

LLVMValueRef llvm_pack(struct llvm *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c, int lanes)
{
    int half = lanes / 2, pick[MOST_LANES];
    if (lanes > MOST_LANES) bug("llvm", "pack of %d lanes", lanes);
    for (int i = 0; i < 2; i++)
        if (half == 8 << i && strstr(e->target->llvm_features, names[i].feature)) return packed(e, &names[i], a, b, c, half);
    a = rounded(e, a, c, half), b = rounded(e, b, c, half);
    for (int i = 0; i < lanes; i++) pick[i] = i;
    return llvm_shuffle(e, a, b, pick, lanes);
}
