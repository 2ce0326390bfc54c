/* The LLVM back end, arithmetic: one operation on values of one element type, for any number of lanes.
 *
 * The program's semantics (ir/exprs.def) are total: division by zero, shifts past the width and conversions out of
 * range have values, so each is guarded here unless an operand is a constant that cannot get there. Arithmetic on
 * 16-bit floats is done in f32 and rounded once per operation (bf16 is carried as i16, which LLVM can always store).
 * min and max give NaN where either operand is NaN, with the operands ordered so that x86's minps/maxps do it alone
 * where one side is a constant. Read next: llvm_expr.c, which calls this per expression.
 */
#include "llvm.h"

#include <string.h>

static bool is_float(enum dtype dt)
{
    return dtype_is_float(dt);
}

static bool is_signed(enum dtype dt)
{
    return dtype_class(dt) == DT_SIGNED;
}

static int lanes_of(LLVMValueRef v)
{
    LLVMTypeRef t = LLVMTypeOf(v);
    return LLVMGetTypeKind(t) == LLVMVectorTypeKind ? (int)LLVMGetVectorSize(t) : 1;
}

static LLVMValueRef int_const(LLVMValueRef like, uint64_t v)
{
    LLVMTypeRef t = LLVMTypeOf(like);
    if (LLVMGetTypeKind(t) != LLVMVectorTypeKind) return LLVMConstInt(t, v, 0);
    LLVMValueRef lane[64], c = LLVMConstInt(LLVMGetElementType(t), v, 0);
    unsigned n = LLVMGetVectorSize(t);
    for (unsigned i = 0; i < n; i++) lane[i] = c;
    return LLVMConstVector(lane, n);
}

static LLVMValueRef float_const(LLVMValueRef like, double v)
{
    LLVMTypeRef t = LLVMTypeOf(like);
    if (LLVMGetTypeKind(t) != LLVMVectorTypeKind) return LLVMConstReal(t, v);
    LLVMValueRef lane[64], c = LLVMConstReal(LLVMGetElementType(t), v);
    unsigned n = LLVMGetVectorSize(t);
    for (unsigned i = 0; i < n; i++) lane[i] = c;
    return LLVMConstVector(lane, n);
}

/* The integer all lanes of a constant hold; false where v is no such constant. */
static bool const_int(LLVMValueRef v, int64_t *value)
{
    if (!LLVMIsConstant(v)) return false;
    if (LLVMGetTypeKind(LLVMTypeOf(v)) == LLVMVectorTypeKind) {
        if (!LLVMIsAConstantDataVector(v)) return false;
        LLVMValueRef first = LLVMGetAggregateElement(v, 0);
        for (int i = 1; i < lanes_of(v); i++)
            if (LLVMGetAggregateElement(v, (unsigned)i) != first) return false;
        v = first;
    }
    if (!LLVMIsAConstantInt(v)) return false;
    *value = LLVMConstIntGetSExtValue(v);
    return true;
}

static LLVMValueRef one_type_intrinsic(struct llvm *e, const char *name, LLVMValueRef *args, int n)
{
    LLVMTypeRef type = LLVMTypeOf(args[0]);
    return llvm_intrinsic(e, name, &type, 1, args, n);
}

/* ---- floats ---- */

static bool is_constant(LLVMValueRef v)
{
    return LLVMIsConstant(v) && !LLVMIsAUndefValue(v);
}

static LLVMValueRef float_extreme(struct llvm *e, bool is_min, LLVMValueRef a, LLVMValueRef b)
{
    LLVMRealPredicate better = is_min ? LLVMRealOLT : LLVMRealOGT;
    if (is_constant(b)) { /* a constant first: `better` is false where the other is NaN, which is then taken */
        LLVMValueRef t = a;
        a = b, b = t;
    }
    LLVMValueRef v = LLVMBuildSelect(e->builder, LLVMBuildFCmp(e->builder, better, a, b, ""), a, b, "");
    if (is_constant(a)) {
        LLVMValueRef is_nan = LLVMBuildFCmp(e->builder, LLVMRealUNO, a, a, ""); /* folds: constants are rarely NaN */
        return LLVMIsConstant(is_nan) && LLVMIsNull(is_nan) ? v : LLVMBuildSelect(e->builder, is_nan, a, v, "");
    }
    return LLVMBuildSelect(e->builder, LLVMBuildFCmp(e->builder, LLVMRealUNO, a, a, ""), a, v, "");
}

static LLVMValueRef float_arithmetic(struct llvm *e, enum expr_op op, LLVMValueRef a, LLVMValueRef b)
{
    LLVMBuilderRef ir = e->builder;
    if (op == EX_add) return LLVMBuildFAdd(ir, a, b, "");
    if (op == EX_sub) return LLVMBuildFSub(ir, a, b, "");
    if (op == EX_mul) return LLVMBuildFMul(ir, a, b, "");
    if (op == EX_div) return LLVMBuildFDiv(ir, a, b, "");
    if (op == EX_rem) return LLVMBuildFRem(ir, a, b, "");
    if (op == EX_min || op == EX_max) return float_extreme(e, op == EX_min, a, b);
    if (op == EX_pow) {
        LLVMValueRef args[] = {a, b};
        return one_type_intrinsic(e, "llvm.pow", args, 2);
    }
    if (op == EX_mod) { /* the divisor's sign: shift a remainder of the other sign by one divisor */
        LLVMValueRef r = LLVMBuildFRem(ir, a, b, ""), zero = float_const(a, 0);
        LLVMValueRef differs = LLVMBuildXor(ir, LLVMBuildFCmp(ir, LLVMRealOLT, r, zero, ""),
                                            LLVMBuildFCmp(ir, LLVMRealOLT, b, zero, ""), "");
        LLVMValueRef moves = LLVMBuildAnd(ir, differs, LLVMBuildFCmp(ir, LLVMRealONE, r, zero, ""), "");
        return LLVMBuildSelect(ir, moves, LLVMBuildFAdd(ir, r, b, ""), r, "");
    }
    bug("llvm", "%s of floats", expr_row(op)->name);
}

/* Rounding to even without an instruction for it: adding and subtracting 2^23 (2^52) rounds in the default mode. */
static LLVMValueRef round_by_adding(struct llvm *e, LLVMValueRef a, bool is_double)
{
    LLVMBuilderRef ir = e->builder;
    LLVMValueRef args[] = {float_const(a, is_double ? 4503599627370496.0 : 8388608.0), a};
    LLVMValueRef limit = args[0], big = one_type_intrinsic(e, "llvm.copysign", args, 2);
    LLVMValueRef rounded = LLVMBuildFSub(ir, LLVMBuildFAdd(ir, a, big, ""), big, "");
    LLVMValueRef signed_args[] = {rounded, a};
    rounded = one_type_intrinsic(e, "llvm.copysign", signed_args, 2); /* -0.4 gives -0 */
    LLVMValueRef small = LLVMBuildFCmp(ir, LLVMRealOLT, one_type_intrinsic(e, "llvm.fabs", &a, 1), limit, "");
    return LLVMBuildSelect(ir, small, rounded, a, "");
}

/* floor, ceil, trunc from rounding to even and a correction by one. */
static LLVMValueRef round_slowly(struct llvm *e, enum expr_op op, LLVMValueRef a, bool is_double)
{
    LLVMBuilderRef ir = e->builder;
    if (op == EX_trunc) {
        LLVMValueRef size = one_type_intrinsic(e, "llvm.fabs", &a, 1);
        LLVMValueRef args[] = {round_slowly(e, EX_floor, size, is_double), a};
        return one_type_intrinsic(e, "llvm.copysign", args, 2);
    }
    LLVMValueRef r = round_by_adding(e, a, is_double), one = float_const(a, 1), zero = float_const(a, 0);
    if (op == EX_round) return r;
    bool is_floor = op == EX_floor;
    LLVMValueRef over = LLVMBuildFCmp(ir, is_floor ? LLVMRealOGT : LLVMRealOLT, r, a, "");
    LLVMValueRef step = LLVMBuildSelect(ir, over, one, zero, "");
    LLVMValueRef args[] = {is_floor ? LLVMBuildFSub(ir, r, step, "") : LLVMBuildFAdd(ir, r, step, ""), a};
    return one_type_intrinsic(e, "llvm.copysign", args, 2); /* ceil of -0.4 is -0 */
}

static LLVMValueRef float_unary(struct llvm *e, enum expr_op op, enum dtype dt, LLVMValueRef a)
{
    LLVMBuilderRef ir = e->builder;
    if (op == EX_neg) return LLVMBuildFNeg(ir, a, "");
    if (op == EX_abs) return one_type_intrinsic(e, "llvm.fabs", &a, 1);
    if (op == EX_sqrt) return one_type_intrinsic(e, "llvm.sqrt", &a, 1);
    if (op == EX_is_nan) return LLVMBuildFCmp(ir, LLVMRealUNO, a, a, "");
    if (op == EX_is_inf)
        return LLVMBuildFCmp(ir, LLVMRealOEQ, one_type_intrinsic(e, "llvm.fabs", &a, 1),
                             float_const(a, (double)__builtin_inf()), "");
    const char *name = op == EX_floor   ? "llvm.floor"
                       : op == EX_ceil  ? "llvm.ceil"
                       : op == EX_round ? "llvm.roundeven"
                       : op == EX_trunc ? "llvm.trunc"
                                        : NULL;
    if (!name) bug("llvm", "%s of floats was not expanded", expr_row(op)->name);
    if (e->slow_rounding) return round_slowly(e, op, a, dt == DT_f64);
    return one_type_intrinsic(e, name, &a, 1);
}

/* ---- integers ---- */

static LLVMValueRef min_int(LLVMValueRef like, enum dtype dt)
{
    return int_const(like, (uint64_t)dtype_int_min(dt));
}

/* b made fit to divide by: 1 where it is zero or the quotient would overflow. */
static LLVMValueRef safe_divisor(struct llvm *e, enum dtype dt, LLVMValueRef a, LLVMValueRef b)
{
    LLVMBuilderRef ir = e->builder;
    int64_t known;
    bool is_known = const_int(b, &known);
    if (is_known && known != 0 && (known != -1 || !is_signed(dt))) return b;
    LLVMValueRef bad = LLVMBuildICmp(ir, LLVMIntEQ, b, int_const(b, 0), "");
    if (is_signed(dt)) {
        LLVMValueRef least = LLVMBuildICmp(ir, LLVMIntEQ, a, min_int(a, dt), "");
        LLVMValueRef minus = LLVMBuildICmp(ir, LLVMIntEQ, b, int_const(b, ~(uint64_t)0), "");
        bad = LLVMBuildOr(ir, bad, LLVMBuildAnd(ir, least, minus, ""), "");
    }
    return LLVMBuildSelect(ir, bad, int_const(b, 1), b, "");
}

static LLVMValueRef zero_if_zero(struct llvm *e, LLVMValueRef b, LLVMValueRef v)
{
    int64_t known;
    if (const_int(b, &known) && known) return v;
    LLVMValueRef is_zero = LLVMBuildICmp(e->builder, LLVMIntEQ, b, int_const(b, 0), "");
    return LLVMBuildSelect(e->builder, is_zero, int_const(v, 0), v, "");
}

/* remainder r of a by b, moved to the divisor's sign; *moves says where (for the floor of the quotient). */
static LLVMValueRef floor_moves(struct llvm *e, LLVMValueRef r, LLVMValueRef b)
{
    LLVMBuilderRef ir = e->builder;
    LLVMValueRef zero = int_const(r, 0);
    LLVMValueRef differs = LLVMBuildICmp(ir, LLVMIntSLT, LLVMBuildXor(ir, r, b, ""), zero, "");
    return LLVMBuildAnd(ir, differs, LLVMBuildICmp(ir, LLVMIntNE, r, zero, ""), "");
}

static LLVMValueRef int_division(struct llvm *e, enum expr_op op, enum dtype dt, LLVMValueRef a, LLVMValueRef b)
{
    LLVMBuilderRef ir = e->builder;
    LLVMValueRef d = safe_divisor(e, dt, a, b);
    if (!is_signed(dt))
        return zero_if_zero(e, b, op == EX_div ? LLVMBuildUDiv(ir, a, d, "") : LLVMBuildURem(ir, a, d, ""));
    if (op == EX_div && dt != DT_index) return zero_if_zero(e, b, LLVMBuildSDiv(ir, a, d, ""));
    LLVMValueRef r = LLVMBuildSRem(ir, a, d, "");
    if (op == EX_rem) return zero_if_zero(e, b, r);
    LLVMValueRef moves = floor_moves(e, r, d);
    if (op == EX_mod) {
        LLVMValueRef v = LLVMBuildSelect(ir, moves, LLVMBuildAdd(ir, r, d, ""), r, "");
        return zero_if_zero(e, b, v);
    }
    LLVMValueRef q = LLVMBuildSDiv(ir, a, d, "");
    LLVMValueRef v = LLVMBuildSelect(ir, moves, LLVMBuildSub(ir, q, int_const(q, 1), ""), q, "");
    return zero_if_zero(e, b, v);
}

static LLVMValueRef int_shift(struct llvm *e, enum expr_op op, enum dtype dt, LLVMValueRef a, LLVMValueRef b)
{
    LLVMBuilderRef ir = e->builder;
    uint64_t width = (uint64_t)dtype_bytes(dt) * 8;
    int64_t known;
    bool fits = const_int(b, &known) && known >= 0 && (uint64_t)known < width;
    LLVMValueRef inside = fits ? NULL : LLVMBuildICmp(ir, LLVMIntULT, b, int_const(b, width), "");
    if (op == EX_shr && is_signed(dt)) {
        if (!fits) b = LLVMBuildSelect(ir, inside, b, int_const(b, width - 1), "");
        return LLVMBuildAShr(ir, a, b, "");
    }
    if (!fits) b = LLVMBuildSelect(ir, inside, b, int_const(b, 0), "");
    LLVMValueRef v = op == EX_shl ? LLVMBuildShl(ir, a, b, "") : LLVMBuildLShr(ir, a, b, "");
    return fits ? v : LLVMBuildSelect(ir, inside, v, int_const(v, 0), "");
}

/* What a negative power of a is: 1 and -1 stay units, everything else truncates to 0. */
static LLVMValueRef negative_power(struct llvm *e, LLVMValueRef a, LLVMValueRef b)
{
    LLVMBuilderRef ir = e->builder;
    LLVMValueRef one = int_const(a, 1), minus = int_const(a, ~(uint64_t)0), zero = int_const(a, 0);
    LLVMValueRef is_odd = LLVMBuildICmp(ir, LLVMIntNE, LLVMBuildAnd(ir, b, one, ""), zero, "");
    LLVMValueRef sign = LLVMBuildSelect(ir, is_odd, minus, one, "");
    LLVMValueRef other = LLVMBuildSelect(ir, LLVMBuildICmp(ir, LLVMIntEQ, a, minus, ""), sign, zero, "");
    return LLVMBuildSelect(ir, LLVMBuildICmp(ir, LLVMIntEQ, a, one, ""), one, other, "");
}

/* a to the power b by squaring, wrapping: a loop over b's bits for one lane. */
static LLVMValueRef lane_power(struct llvm *e, enum dtype dt, LLVMValueRef a, LLVMValueRef b)
{
    LLVMBuilderRef ir = e->builder;
    LLVMValueRef one = int_const(a, 1), zero = int_const(a, 0);
    LLVMBasicBlockRef before = LLVMGetInsertBlock(ir);
    LLVMBasicBlockRef body = LLVMAppendBasicBlockInContext(e->context, e->function, "power");
    LLVMBasicBlockRef after = LLVMAppendBasicBlockInContext(e->context, e->function, "powered");
    LLVMBuildBr(ir, body);
    LLVMPositionBuilderAtEnd(ir, body);
    LLVMTypeRef type = LLVMTypeOf(a);
    LLVMValueRef result = LLVMBuildPhi(ir, type, ""), square = LLVMBuildPhi(ir, type, ""),
                 left = LLVMBuildPhi(ir, type, "");
    LLVMValueRef is_odd = LLVMBuildICmp(ir, LLVMIntNE, LLVMBuildAnd(ir, left, one, ""), zero, "");
    LLVMValueRef next = LLVMBuildSelect(ir, is_odd, LLVMBuildMul(ir, result, square, ""), result, "");
    LLVMValueRef next_square = LLVMBuildMul(ir, square, square, ""), next_left = LLVMBuildLShr(ir, left, one, "");
    LLVMBuildCondBr(ir, LLVMBuildICmp(ir, LLVMIntNE, next_left, zero, ""), body, after);
    LLVMBasicBlockRef from[] = {before, body};
    LLVMAddIncoming(result, (LLVMValueRef[]){one, next}, from, 2);
    LLVMAddIncoming(square, (LLVMValueRef[]){a, next_square}, from, 2);
    LLVMAddIncoming(left, (LLVMValueRef[]){b, next_left}, from, 2);
    LLVMPositionBuilderAtEnd(ir, after);
    if (!is_signed(dt)) return next;
    LLVMValueRef is_negative = LLVMBuildICmp(ir, LLVMIntSLT, b, zero, "");
    return LLVMBuildSelect(ir, is_negative, negative_power(e, a, b), next, "");
}

static LLVMValueRef int_power(struct llvm *e, enum dtype dt, LLVMValueRef a, LLVMValueRef b)
{
    int lanes = lanes_of(a);
    if (lanes == 1) return lane_power(e, dt, a, b);
    LLVMValueRef v = LLVMGetPoison(LLVMTypeOf(a));
    for (int i = 0; i < lanes; i++) {
        LLVMValueRef at = llvm_i64(e, i), lane_a = LLVMBuildExtractElement(e->builder, a, at, "");
        LLVMValueRef lane = lane_power(e, dt, lane_a, LLVMBuildExtractElement(e->builder, b, at, ""));
        v = LLVMBuildInsertElement(e->builder, v, lane, at, "");
    }
    return v;
}

static LLVMValueRef int_extreme(struct llvm *e, bool is_min, enum dtype dt, LLVMValueRef a, LLVMValueRef b)
{
    LLVMValueRef args[] = {a, b};
    const char *name = is_signed(dt) ? is_min ? "llvm.smin" : "llvm.smax" : is_min ? "llvm.umin" : "llvm.umax";
    return one_type_intrinsic(e, name, args, 2);
}

static LLVMValueRef int_arithmetic(struct llvm *e, enum expr_op op, enum dtype dt, LLVMValueRef a, LLVMValueRef b)
{
    LLVMBuilderRef ir = e->builder;
    bool never_wraps = dt == DT_index;
    if (op == EX_add) return never_wraps ? LLVMBuildNSWAdd(ir, a, b, "") : LLVMBuildAdd(ir, a, b, "");
    if (op == EX_sub) return never_wraps ? LLVMBuildNSWSub(ir, a, b, "") : LLVMBuildSub(ir, a, b, "");
    if (op == EX_mul) return never_wraps ? LLVMBuildNSWMul(ir, a, b, "") : LLVMBuildMul(ir, a, b, "");
    if (op == EX_and) return LLVMBuildAnd(ir, a, b, "");
    if (op == EX_or) return LLVMBuildOr(ir, a, b, "");
    if (op == EX_xor) return LLVMBuildXor(ir, a, b, "");
    if (op == EX_div || op == EX_mod || op == EX_rem) return int_division(e, op, dt, a, b);
    if (op == EX_shl || op == EX_shr) return int_shift(e, op, dt, a, b);
    if (op == EX_min || op == EX_max) return int_extreme(e, op == EX_min, dt, a, b);
    if (op == EX_pow) return int_power(e, dt, a, b);
    bug("llvm", "%s of %s", expr_row(op)->name, dtype_name(dt));
}

/* ---- casts ---- */

static LLVMTypeRef with_lanes(LLVMTypeRef element, int lanes)
{
    return lanes == 1 ? element : LLVMVectorType(element, (unsigned)lanes);
}

static LLVMValueRef bf16_to_f32(struct llvm *e, LLVMValueRef a, int lanes)
{
    LLVMValueRef wide = LLVMBuildZExt(e->builder, a, with_lanes(e->i32, lanes), "");
    LLVMValueRef up = LLVMBuildShl(e->builder, wide, int_const(wide, 16), "");
    return LLVMBuildBitCast(e->builder, up, llvm_type(e, DT_f32, lanes), "");
}

/* Rounds to nearest, ties to even; a NaN keeps its sign and stays one. */
static LLVMValueRef f32_to_bf16(struct llvm *e, LLVMValueRef a, int lanes)
{
    LLVMBuilderRef ir = e->builder;
    LLVMValueRef bits = LLVMBuildBitCast(ir, a, with_lanes(e->i32, lanes), "");
    LLVMValueRef top = LLVMBuildLShr(ir, bits, int_const(bits, 16), "");
    LLVMValueRef odd = LLVMBuildAnd(ir, top, int_const(bits, 1), "");
    LLVMValueRef up = LLVMBuildAdd(ir, LLVMBuildAdd(ir, bits, int_const(bits, 0x7fff), ""), odd, "");
    LLVMValueRef rounded = LLVMBuildLShr(ir, up, int_const(bits, 16), "");
    LLVMValueRef quiet = LLVMBuildOr(ir, top, int_const(bits, 0x40), "");
    LLVMValueRef is_nan = LLVMBuildFCmp(ir, LLVMRealUNO, a, a, "");
    return LLVMBuildTrunc(ir, LLVMBuildSelect(ir, is_nan, quiet, rounded, ""), with_lanes(e->i16, lanes), "");
}

static LLVMValueRef cast_float_to_float(struct llvm *e, LLVMValueRef a, enum dtype from, enum dtype to, int lanes)
{
    LLVMTypeRef type = llvm_type(e, to, lanes);
    if (from == DT_bf16) return llvm_cast(e, bf16_to_f32(e, a, lanes), DT_f32, to, lanes);
    if (to == DT_bf16) return f32_to_bf16(e, llvm_cast(e, a, from, DT_f32, lanes), lanes);
    if (from == DT_f64 && to == DT_f16) a = LLVMBuildFPTrunc(e->builder, a, llvm_type(e, DT_f32, lanes), "");
    if (from == DT_f16 && to == DT_f64) a = LLVMBuildFPExt(e->builder, a, llvm_type(e, DT_f32, lanes), "");
    if (dtype_bytes(from) < dtype_bytes(to)) return LLVMBuildFPExt(e->builder, a, type, "");
    return LLVMBuildFPTrunc(e->builder, a, type, "");
}

static LLVMValueRef cast_to_bool(struct llvm *e, LLVMValueRef a, enum dtype from, int lanes)
{
    if (dtype_is_half(from)) a = llvm_cast(e, a, from, DT_f32, lanes), from = DT_f32;
    if (is_float(from)) return LLVMBuildFCmp(e->builder, LLVMRealUNE, a, float_const(a, 0), "");
    return LLVMBuildICmp(e->builder, LLVMIntNE, a, int_const(a, 0), "");
}

/* To integers of 8 and 16 bits: bounds first, as floats (the comparisons give the bound where a is NaN, so that only a
 * lower bound other than 0 has to ask), then an ordinary conversion. */
static LLVMValueRef float_to_narrow(struct llvm *e, LLVMValueRef a, enum dtype to, int lanes)
{
    LLVMBuilderRef ir = e->builder;
    LLVMValueRef low = float_const(a, (double)dtype_int_min(to)), high = float_const(a, (double)dtype_int_max(to)), zero = float_const(a, 0);
    if (is_signed(to)) a = LLVMBuildSelect(ir, LLVMBuildFCmp(ir, LLVMRealORD, a, a, ""), a, zero, "");
    a = LLVMBuildSelect(ir, LLVMBuildFCmp(ir, LLVMRealOGT, a, low, ""), a, low, "");
    a = LLVMBuildSelect(ir, LLVMBuildFCmp(ir, LLVMRealOLT, a, high, ""), a, high, "");
    return LLVMBuildTrunc(ir, LLVMBuildFPToSI(ir, a, with_lanes(e->i32, lanes), ""), llvm_type(e, to, lanes), "");
}

LLVMValueRef llvm_cast(struct llvm *e, LLVMValueRef a, enum dtype from, enum dtype to, int lanes)
{
    if (from == to) return a;
    LLVMBuilderRef ir = e->builder;
    LLVMTypeRef type = llvm_type(e, to, lanes);
    if (to == DT_bool) return cast_to_bool(e, a, from, lanes);
    if (is_float(from) && is_float(to)) return cast_float_to_float(e, a, from, to, lanes);
    if (is_float(from)) {
        if (dtype_is_half(from)) a = llvm_cast(e, a, from, DT_f32, lanes);
        if (dtype_bytes(to) <= 2) return float_to_narrow(e, a, to, lanes);
        LLVMTypeRef overloads[] = {type, LLVMTypeOf(a)};
        return llvm_intrinsic(e, is_signed(to) ? "llvm.fptosi.sat" : "llvm.fptoui.sat", overloads, 2, &a, 1);
    }
    if (dtype_is_half(to)) return llvm_cast(e, llvm_cast(e, a, from, DT_f32, lanes), DT_f32, to, lanes);
    if (is_float(to)) return is_signed(from) ? LLVMBuildSIToFP(ir, a, type, "") : LLVMBuildUIToFP(ir, a, type, "");
    if (from == DT_bool) return LLVMBuildZExt(ir, a, type, "");
    if (dtype_bytes(to) == dtype_bytes(from)) return a;
    if (dtype_bytes(to) < dtype_bytes(from)) return LLVMBuildTrunc(ir, a, type, "");
    return is_signed(from) ? LLVMBuildSExt(ir, a, type, "") : LLVMBuildZExt(ir, a, type, "");
}

/* ---- the entry points: 16-bit floats go through f32 ---- */

LLVMValueRef llvm_arithmetic(struct llvm *e, enum expr_op op, enum dtype dt, LLVMValueRef a, LLVMValueRef b)
{
    enum dtype wide = dtype_compute(dt);
    int lanes = lanes_of(a);
    if (!is_float(dt)) return int_arithmetic(e, op, dt, a, b);
    LLVMValueRef v = float_arithmetic(e, op, llvm_cast(e, a, dt, wide, lanes), llvm_cast(e, b, dt, wide, lanes));
    return llvm_cast(e, v, wide, dt, lanes);
}

LLVMValueRef llvm_compare(struct llvm *e, enum expr_op op, enum dtype dt, LLVMValueRef a, LLVMValueRef b)
{
    LLVMBuilderRef ir = e->builder;
    if (!is_float(dt)) {
        LLVMIntPredicate lt = is_signed(dt) ? LLVMIntSLT : LLVMIntULT, le = is_signed(dt) ? LLVMIntSLE : LLVMIntULE;
        return LLVMBuildICmp(ir, op == EX_eq ? LLVMIntEQ : op == EX_lt ? lt : le, a, b, "");
    }
    enum dtype wide = dtype_compute(dt);
    int lanes = lanes_of(a);
    LLVMRealPredicate how = op == EX_eq ? LLVMRealOEQ : op == EX_lt ? LLVMRealOLT : LLVMRealOLE;
    return LLVMBuildFCmp(ir, how, llvm_cast(e, a, dt, wide, lanes), llvm_cast(e, b, dt, wide, lanes), "");
}

LLVMValueRef llvm_unary(struct llvm *e, enum expr_op op, enum dtype dt, LLVMValueRef a)
{
    LLVMBuilderRef ir = e->builder;
    bool is_test = op == EX_is_nan || op == EX_is_inf;
    if (is_float(dt)) {
        enum dtype wide = dtype_compute(dt);
        int lanes = lanes_of(a);
        LLVMValueRef v = float_unary(e, op, wide, llvm_cast(e, a, dt, wide, lanes));
        return is_test ? v : llvm_cast(e, v, wide, dt, lanes);
    }
    if (is_test) return LLVMConstNull(llvm_type(e, DT_bool, lanes_of(a)));
    if (op == EX_not) return LLVMBuildNot(ir, a, "");
    if (op == EX_neg) return LLVMBuildNeg(ir, a, "");
    if (op == EX_floor || op == EX_ceil || op == EX_round || op == EX_trunc) return a;
    if (op == EX_abs && !is_signed(dt)) return a;
    if (op == EX_abs) {
        LLVMTypeRef type = LLVMTypeOf(a);
        LLVMValueRef args[] = {a, LLVMConstInt(e->i1, 0, 0)};
        return llvm_intrinsic(e, "llvm.abs", &type, 1, args, 2);
    }
    bug("llvm", "%s of %s", expr_row(op)->name, dtype_name(dt));
}

LLVMValueRef llvm_fma(struct llvm *e, enum dtype dt, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c)
{
    enum dtype wide = dtype_compute(dt);
    int lanes = lanes_of(a);
    LLVMValueRef args[] = {llvm_cast(e, a, dt, wide, lanes), llvm_cast(e, b, dt, wide, lanes),
                           llvm_cast(e, c, dt, wide, lanes)};
    return llvm_cast(e, one_type_intrinsic(e, "llvm.fma", args, 3), wide, dt, lanes);
}
