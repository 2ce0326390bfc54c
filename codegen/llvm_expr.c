/* The LLVM back end, expressions: one LLVM value per expression of the program.
 *
 * Expressions are interned, so a value once computed is remembered by pointer and used again as long as the scope it
 * was computed in is open; what reads memory or a register is remembered within its statement only. That keeps the
 * instructions as few as the program's distinct expressions, before any LLVM pass. Read next: llvm_math.c.
 */
#include "llvm.h"

#include <string.h>


LLVMTypeRef llvm_type(struct llvm *e, enum dtype dt, int lanes)
{
    LLVMTypeRef element = NULL;
    switch (dt) {
    case DT_f64: element = LLVMDoubleTypeInContext(e->context); break;
    case DT_f32: element = LLVMFloatTypeInContext(e->context); break;
    case DT_f16: element = LLVMHalfTypeInContext(e->context); break;
    case DT_bf16:
    case DT_i16:
    case DT_u16: element = e->i16; break;
    case DT_i8:
    case DT_u8: element = e->i8; break;
    case DT_i32:
    case DT_u32: element = e->i32; break;
    case DT_i64:
    case DT_u64:
    case DT_index: element = e->i64; break;
    case DT_bool: element = e->i1; break;
    case DT_COUNT: bug("llvm", "no such dtype");
    }
    return lanes == 1 ? element : LLVMVectorType(element, (unsigned)lanes);
}

LLVMValueRef llvm_intrinsic(struct llvm *e, const char *name, LLVMTypeRef *overloads, int n_overloads,
                            LLVMValueRef *args, int n_args)
{
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    if (!id) bug("llvm", "this LLVM has no intrinsic %s", name);
    LLVMValueRef function = LLVMGetIntrinsicDeclaration(e->module, id, overloads, (size_t)n_overloads);
    LLVMTypeRef type = LLVMIntrinsicGetType(e->context, id, overloads, (size_t)n_overloads);
    return LLVMBuildCall2(e->builder, type, function, args, (unsigned)n_args, "");
}

LLVMValueRef llvm_splat(struct llvm *e, LLVMValueRef scalar, int lanes)
{
    if (lanes == 1) return scalar;
    LLVMTypeRef type = LLVMVectorType(LLVMTypeOf(scalar), (unsigned)lanes);
    if (LLVMIsConstant(scalar)) {
        LLVMValueRef lane[MOST_LANES];
        for (int i = 0; i < lanes; i++) lane[i] = scalar;
        return LLVMConstVector(lane, (unsigned)lanes);
    }
    LLVMValueRef first = LLVMBuildInsertElement(e->builder, LLVMGetPoison(type), scalar, llvm_i64(e, 0), "");
    LLVMValueRef zeros = LLVMConstNull(LLVMVectorType(e->i32, (unsigned)lanes));
    return LLVMBuildShuffleVector(e->builder, first, LLVMGetPoison(type), zeros, "");
}

LLVMValueRef llvm_ramp(struct llvm *e, LLVMTypeRef element, LLVMValueRef start, int64_t stride, int lanes)
{
    if (lanes == 1) return start;
    LLVMValueRef lane[MOST_LANES];
    for (int i = 0; i < lanes; i++) lane[i] = LLVMConstInt(element, (uint64_t)i * (uint64_t)stride, 1);
    LLVMValueRef steps = LLVMConstVector(lane, (unsigned)lanes);
    if (LLVMIsConstant(start) && LLVMIsNull(start)) return steps;
    return LLVMBuildAdd(e->builder, llvm_splat(e, start, lanes), steps, "");
}

/* ---- kinds ---- */

static LLVMValueRef const_value(struct llvm *e, ex x)
{
    LLVMTypeRef type = llvm_type(e, x->dt, 1);
    LLVMValueRef v;
    if (x->dt == DT_bf16) v = LLVMConstInt(type, bf16_from_float((float)x->number), 0);
    else if (x->dt == DT_f16) v = LLVMConstBitCast(LLVMConstInt(e->i16, f16_from_float((float)x->number), 0), type);
    else if (dtype_is_float(x->dt)) v = LLVMConstReal(type, x->number);
    else v = LLVMConstInt(type, (uint64_t)x->imm, dtype_class(x->dt) == DT_SIGNED);
    return llvm_splat(e, v, x->lanes);
}

static LLVMValueRef var_value(struct llvm *e, ex x)
{
    const struct llvm_variable *v = &e->variables[x->var->id];
    if (v->function != e->stamp) bug("llvm", "variable %s is used before its definition", x->var->name);
    if (!v->is_register) return v->value;
    return LLVMBuildLoad2(e->builder, llvm_type(e, x->var->dt, x->var->lanes), v->value, "");
}

/* Floor division and modulus of an index that is proven not negative, by a positive constant. */
static LLVMValueRef index_division(struct llvm *e, ex x, LLVMValueRef a, LLVMValueRef b)
{
    dim lo, hi;
    if (x->arg[1]->op != EX_const || x->arg[1]->imm <= 0 || x->lanes != 1 || !ex_range(e->prog, x->arg[0], &lo, &hi) ||
        dim_lo(e->prog->dims, lo) < 0)
        return llvm_arithmetic(e, x->op, DT_index, a, b);
    return x->op == EX_div ? LLVMBuildUDiv(e->builder, a, b, "") : LLVMBuildURem(e->builder, a, b, "");
}

static LLVMValueRef half_of(struct llvm *e, LLVMValueRef v, int from, int n)
{
    LLVMValueRef pick[MOST_LANES];
    if (n == 1) return LLVMBuildExtractElement(e->builder, v, llvm_i64(e, from), "");
    for (int i = 0; i < n; i++) pick[i] = LLVMConstInt(e->i32, (unsigned long long)(from + i), 0);
    return LLVMBuildShuffleVector(e->builder, v, LLVMGetPoison(LLVMTypeOf(v)), LLVMConstVector(pick, (unsigned)n), "");
}

/* Lanes to a scalar: the upper half is combined with the lower, again and again. */
static LLVMValueRef horizontal(struct llvm *e, ex x, LLVMValueRef v)
{
    enum expr_op op = x->op == EX_hadd ? EX_add : x->op == EX_hmul ? EX_mul : x->op == EX_hmin ? EX_min : EX_max;
    for (int n = x->arg[0]->lanes; n > 1; n /= 2) {
        if (n % 2) bug("llvm", "%s of %d lanes", expr_row(x->op)->name, x->arg[0]->lanes);
        v = llvm_arithmetic(e, op, x->dt, half_of(e, v, 0, n / 2), half_of(e, v, n / 2, n / 2));
    }
    return v;
}

static LLVMValueRef select_value(struct llvm *e, ex x, LLVMValueRef c, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildSelect(e->builder, llvm_splat(e, c, x->arg[0]->lanes == x->lanes ? 1 : x->lanes), a, b, "");
}

static LLVMValueRef build(struct llvm *e, ex x)
{
    if (x->op == EX_load) return llvm_load(e, x);
    LLVMValueRef v[3] = {NULL, NULL, NULL};
    for (int i = 0; i < expr_row(x->op)->args; i++) {
        v[i] = llvm_expr(e, x->arg[i]);
        bool is_lane_kind = x->op == EX_splat || x->op == EX_ramp || x->op == EX_pack || (x->op == EX_select && i == 0);
        if (!is_lane_kind && x->arg[i]->lanes == 1 && x->lanes > 1) v[i] = llvm_splat(e, v[i], x->lanes);
    }
    enum dtype dt = x->arg[0] ? x->arg[0]->dt : x->dt;
    switch (x->op) { /* clang-format off */
    case EX_const: return const_value(e, x);
    case EX_var: return var_value(e, x);
    case EX_dim: return llvm_splat(e, llvm_dim_value(e, x->imm), x->lanes);
    case EX_load: break;
    case EX_div:
    case EX_mod:
        if (dt == DT_index) return index_division(e, x, v[0], v[1]);
        return llvm_arithmetic(e, x->op, dt, v[0], v[1]);
    case EX_add: case EX_sub: case EX_mul: case EX_rem: case EX_min: case EX_max: case EX_pow:
    case EX_and: case EX_or: case EX_xor: case EX_shl: case EX_shr:
        return llvm_arithmetic(e, x->op, dt, v[0], v[1]);
    case EX_dot4: case EX_dot4_sat: case EX_dot2: return llvm_dot(e, x->op, v[0], v[1], v[2], x->lanes);
    case EX_pack: return llvm_pack(e, v[0], v[1], v[2], x->lanes);
    case EX_fma: return llvm_fma(e, dt, v[0], v[1], v[2]);
    case EX_eq: case EX_lt: case EX_le: return llvm_compare(e, x->op, dt, v[0], v[1]);
    case EX_not: case EX_neg: case EX_abs: case EX_floor: case EX_ceil: case EX_round: case EX_trunc:
    case EX_sqrt: case EX_is_nan: case EX_is_inf:
        return llvm_unary(e, x->op, dt, v[0]);
    case EX_select: return select_value(e, x, v[0], v[1], v[2]);
    case EX_cast: return llvm_cast(e, v[0], dt, x->dt, x->lanes);
    case EX_from_f16:
        v[0] = LLVMBuildBitCast(e->builder, v[0], llvm_type(e, DT_f16, x->lanes), "");
        return llvm_cast(e, v[0], DT_f16, DT_f32, x->lanes);
    case EX_to_f16: return LLVMBuildBitCast(e->builder, llvm_cast(e, v[0], DT_f32, DT_f16, x->lanes), llvm_type(e, DT_u16, x->lanes), "");
    case EX_bits: return LLVMBuildBitCast(e->builder, v[0], llvm_type(e, x->dt, x->lanes), "");
    case EX_splat: return llvm_splat(e, v[0], x->lanes);
    case EX_ramp: return llvm_ramp(e, llvm_type(e, x->dt, 1), v[0], x->imm, x->lanes);
    case EX_hadd: case EX_hmul: case EX_hmin: case EX_hmax: return horizontal(e, x, v[0]);
    case EX_exp: case EX_log: case EX_sin: case EX_cos: case EX_tan: case EX_asin: case EX_acos: case EX_atan:
    case EX_sinh: case EX_cosh: case EX_tanh: case EX_asinh: case EX_acosh: case EX_atanh: case EX_erf:
    case EX_sigmoid:
    case EX_COUNT: break;
    } /* clang-format on */
    bug("llvm", "expression %s was not expanded", expr_row(x->op)->name);
}

/* ---- the table of values ---- */

static struct llvm_slot *slot_find(struct llvm *e, ex x)
{
    size_t at = ((uintptr_t)x >> 4) * 0x9E3779B97F4A7C15u >> 20;
    for (;; at++) {
        struct llvm_slot *slot = &e->slots[at & ((size_t)e->cap_slots - 1)];
        if (!slot->key || slot->key == x) return slot;
    }
}

static void slots_grow(struct llvm *e)
{
    struct llvm_slot *old = e->slots;
    int n = e->cap_slots;
    e->cap_slots = n ? 2 * n : 4096;
    e->slots = NEW_ARRAY(e->arena, struct llvm_slot, e->cap_slots);
    for (int i = 0; i < n; i++)
        if (old[i].key) *slot_find(e, old[i].key) = old[i];
}

static bool is_pure(struct llvm *e, ex x)
{
    if (x->op == EX_load) return false;
    if (x->op == EX_var) return !e->variables[x->var->id].is_register;
    for (int i = 0; i < expr_row(x->op)->args; i++)
        if (!slot_find(e, x->arg[i])->pure) return false; /* arguments were just emitted */
    return true;
}

LLVMValueRef llvm_expr(struct llvm *e, ex x)
{
    if (2 * (e->n_slots + 1) > e->cap_slots) slots_grow(e);
    struct llvm_slot *slot = slot_find(e, x);
    if (slot->key && e->scopes.at[slot->scope] && (slot->pure || slot->statement == e->statement)) return slot->value;
    LLVMValueRef v = build(e, x);
    slot = slot_find(e, x); /* the table may have moved */
    if (!slot->key) e->n_slots++;
    *slot = (struct llvm_slot){x, v, e->current_scope, e->statement, is_pure(e, x)};
    return v;
}
