/* The LLVM back end, memory: addresses of buffers, loads and stores of one value or of lanes, symbolic dims.
 *
 * Lanes side by side are one vector access of element alignment; a stride of 0 is a scalar load and a splat, -1 a
 * load and a reversal, 2 two overlapping loads and a shuffle (never touching an element that is not asked for),
 * others one access per lane. Active-lane counts become masks; where the target has none for the type, the usual case
 * that all lanes are active is told apart by a branch. A guarded load reads element 0 instead where the
 * guard is false and the buffer surely has one, which needs no branch; otherwise it branches.
 * Read next: llvm_stmt.c.
 */
#include "llvm.h"

#include <string.h>


static LLVMTypeRef memory_type(struct llvm *e, enum dtype dt, int lanes)
{
    LLVMTypeRef element = dt == DT_bool ? e->i8 : llvm_type(e, dt, 1);
    return lanes == 1 ? element : LLVMVectorType(element, (unsigned)lanes);
}

static LLVMValueRef from_memory(struct llvm *e, LLVMValueRef v, enum dtype dt)
{
    if (dt != DT_bool) return v;
    return LLVMBuildICmp(e->builder, LLVMIntNE, v, LLVMConstNull(LLVMTypeOf(v)), "");
}

static LLVMValueRef to_memory(struct llvm *e, LLVMValueRef v, enum dtype dt, int lanes)
{
    if (dt != DT_bool) return v;
    return LLVMBuildZExt(e->builder, v, memory_type(e, dt, lanes), "");
}

static void builder_to_entry(struct llvm *e)
{
    LLVMPositionBuilderAtEnd(e->builder, e->entry);
}

LLVMValueRef llvm_alloca(struct llvm *e, LLVMTypeRef type, unsigned alignment, const char *name)
{
    LLVMBasicBlockRef here = LLVMGetInsertBlock(e->builder);
    builder_to_entry(e);
    LLVMValueRef v = LLVMBuildAlloca(e->builder, type, name);
    if (alignment) LLVMSetAlignment(v, alignment);
    LLVMPositionBuilderAtEnd(e->builder, here);
    return v;
}

/* ---- dims: emitted once per function, in its entry block ---- */

static LLVMValueRef word_load(struct llvm *e, LLVMValueRef base, int64_t word, LLVMTypeRef type)
{
    LLVMValueRef index = llvm_i64(e, word);
    LLVMValueRef address = LLVMBuildInBoundsGEP2(e->builder, e->i64, base, &index, 1, "");
    return LLVMBuildLoad2(e->builder, type, address, "");
}

static LLVMValueRef dim_floor_div(struct llvm *e, LLVMValueRef a, LLVMValueRef b)
{
    return llvm_arithmetic(e, EX_div, DT_index, a, b);
}

static LLVMValueRef dim_build(struct llvm *e, dim d)
{
    struct dim_view view;
    dim_open(e->prog->dims, d, &view);
    switch (view.kind) {
    case DIM_CONST: return llvm_i64(e, d);
    case DIM_SYMBOL: return word_load(e, e->words, e->prog->inputs.n + view.symbol, e->i64);
    case DIM_SUM:
    case DIM_PRODUCT: {
        LLVMValueRef v = llvm_dim_value(e, view.part[0]);
        for (int i = 1; i < view.n; i++)
            v = llvm_arithmetic(e, view.kind == DIM_SUM ? EX_add : EX_mul, DT_index, v,
                                llvm_dim_value(e, view.part[i]));
        return v;
    }
    case DIM_DIV: return dim_floor_div(e, llvm_dim_value(e, view.part[0]), llvm_dim_value(e, view.part[1]));
    case DIM_MIN:
    case DIM_MAX:
        return llvm_arithmetic(e, view.kind == DIM_MIN ? EX_min : EX_max, DT_index, llvm_dim_value(e, view.part[0]),
                               llvm_dim_value(e, view.part[1]));
    }
    bug("llvm", "dim of unknown kind");
}

LLVMValueRef llvm_dim_value(struct llvm *e, dim d)
{
    if (dim_is_const(d)) return llvm_i64(e, d);
    for (int i = 0; i < e->dims.n; i++)
        if (e->dims.at[i].d == d) return e->dims.at[i].value;
    LLVMBasicBlockRef here = LLVMGetInsertBlock(e->builder);
    builder_to_entry(e);
    LLVMValueRef v = dim_build(e, d);
    LLVMPositionBuilderAtEnd(e->builder, here);
    LIST_PUSH(e->arena, &e->dims, ((struct llvm_dim){d, v}));
    return v;
}

/* ---- addresses ---- */

static LLVMValueRef byte_offset(struct llvm *e, LLVMValueRef base, LLVMValueRef bytes)
{
    return LLVMBuildInBoundsGEP2(e->builder, e->i8, base, &bytes, 1, "");
}

static LLVMValueRef weights_base(struct llvm *e)
{
    if (!e->weights_symbol) return LLVMGetPoison(e->ptr); /* all weights are empty: nothing is read */
    return e->emission->weights_file ? LLVMBuildLoad2(e->builder, e->ptr, e->weights_symbol, "weights")
                                    : e->weights_symbol;
}

static LLVMValueRef base_build(struct llvm *e, const struct buffer *buf)
{
    switch (buf->space) {
    case SPACE_INPUT: return word_load(e, e->words, buf->position, e->ptr);
    case SPACE_OUTPUT: return word_load(e, e->outputs, buf->position, e->ptr);
    case SPACE_WEIGHT: return byte_offset(e, weights_base(e), llvm_i64(e, e->emission->weights.offset_bytes[e->version][buf->id]));
    case SPACE_ARENA: return byte_offset(e, e->arena_base, llvm_dim_value(e, buf->offset_bytes));
    case SPACE_PARAM: return LLVMGetParam(e->function, (unsigned)buf->position);
    case SPACE_LOCAL: {
        LLVMTypeRef element = memory_type(e, buf->dt, 1);
        return llvm_alloca(e, LLVMArrayType2(element, (uint64_t)buf->elements), 64, buf->name ? buf->name : "");
    }
    case SPACE_GROUP: bug("llvm", "array %s of a group of lanes", buf->name);
    }
    bug("llvm", "buffer of unknown space");
}

LLVMValueRef llvm_address(struct llvm *e, struct buffer *buf, LLVMValueRef index)
{
    struct llvm_pointer *p = &e->buffers[buf->id];
    if (p->function != e->stamp) {
        if (e->kernel && (buf->space == SPACE_INPUT || buf->space == SPACE_OUTPUT || buf->space == SPACE_ARENA))
            bug("llvm", "kernel %s uses buffer %s, which belongs to the main body", e->kernel->name, buf->name);
        LLVMBasicBlockRef here = LLVMGetInsertBlock(e->builder);
        builder_to_entry(e);
        *p = (struct llvm_pointer){base_build(e, buf), e->stamp};
        LLVMPositionBuilderAtEnd(e->builder, here);
    }
    if (!index) return p->value;
    return LLVMBuildInBoundsGEP2(e->builder, memory_type(e, buf->dt, 1), p->value, &index, 1, "");
}

/* The address k elements after another; not `inbounds`, as the first may lie outside of the buffer. */
static LLVMValueRef address_plus(struct llvm *e, enum dtype dt, LLVMValueRef address, int64_t k)
{
    LLVMValueRef index = llvm_i64(e, k);
    return k ? LLVMBuildGEP2(e->builder, memory_type(e, dt, 1), address, &index, 1, "") : address;
}

/* A subscript's constant is added last, so that accesses side by side share one register and differ in their
 * displacement. */
static LLVMValueRef element_address(struct llvm *e, struct buffer *buf, ex index)
{
    if (ex_is_const(index)) return address_plus(e, buf->dt, llvm_address(e, buf, NULL), index->imm);
    if (index->op != EX_add || !ex_is_const(index->arg[1])) return llvm_address(e, buf, llvm_expr(e, index));
    LLVMValueRef variable = llvm_expr(e, index->arg[0]), base = llvm_address(e, buf, NULL);
    LLVMValueRef address = LLVMBuildGEP2(e->builder, memory_type(e, buf->dt, 1), base, &variable, 1, "");
    return address_plus(e, buf->dt, address, index->arg[1]->imm);
}

/* lanes elements side by side, k elements after address. */
static LLVMValueRef element_load(struct llvm *e, ex x, LLVMValueRef address, int64_t k, int lanes)
{
    LLVMValueRef from = address_plus(e, x->dt, address, k);
    LLVMValueRef v = LLVMBuildLoad2(e->builder, memory_type(e, x->dt, lanes), from, "");
    LLVMSetAlignment(v, (unsigned)dtype_bytes(x->dt));
    return v;
}

LLVMValueRef llvm_shuffle(struct llvm *e, LLVMValueRef a, LLVMValueRef b, const int *pick, int n)
{
    LLVMValueRef index[MOST_LANES];
    for (int i = 0; i < n; i++) index[i] = pick[i] < 0 ? LLVMGetPoison(e->i32) : LLVMConstInt(e->i32, (unsigned long long)pick[i], 0);
    return LLVMBuildShuffleVector(e->builder, a, b, LLVMConstVector(index, (unsigned)n), "");
}

/* x's lanes from address on, all of them, as memory holds them. */
static LLVMValueRef lanes_load(struct llvm *e, ex x, LLVMValueRef address)
{
    int n = x->lanes, pick[MOST_LANES];
    if (n == 1 || x->imm == 1) return element_load(e, x, address, 0, n);
    if (x->imm == 0) return llvm_splat(e, element_load(e, x, address, 0, 1), n);
    if (x->imm == -1) {
        LLVMValueRef v = element_load(e, x, address, 1 - n, n);
        for (int i = 0; i < n; i++) pick[i] = n - 1 - i;
        return llvm_shuffle(e, v, LLVMGetPoison(LLVMTypeOf(v)), pick, n);
    }
    if (x->imm == 2 && n % 2 == 0) {
        LLVMValueRef low = element_load(e, x, address, 0, n), high = element_load(e, x, address, n - 1, n);
        for (int i = 0; i < n; i++) pick[i] = i < n / 2 ? 2 * i : n + 2 * i - (n - 1);
        return llvm_shuffle(e, low, high, pick, n);
    }
    LLVMValueRef v = LLVMGetPoison(memory_type(e, x->dt, n));
    for (int i = 0; i < n; i++)
        v = LLVMBuildInsertElement(e->builder, v, element_load(e, x, address, i * x->imm, 1), llvm_i64(e, i), "");
    return v;
}

static LLVMValueRef otherwise_value(struct llvm *e, ex x)
{
    if (!x->arg[2]) return LLVMConstNull(llvm_type(e, x->dt, x->lanes));
    LLVMValueRef v = llvm_expr(e, x->arg[2]);
    return x->arg[2]->lanes == x->lanes ? v : llvm_splat(e, v, x->lanes);
}

/* ---- masks ---- */

/* Lane i is active where i < count. */
static LLVMValueRef count_mask(struct llvm *e, ex count, int lanes)
{
    LLVMValueRef n = llvm_expr(e, count);
    dim lo, hi;
    bool known = ex_range(e->prog, count, &lo, &hi);
    if (!known || dim_lo(e->prog->dims, lo) < -lanes) n = llvm_arithmetic(e, EX_max, DT_index, n, llvm_i64(e, 0));
    if (!known || dim_hi(e->prog->dims, hi) > 1 << 30) n = llvm_arithmetic(e, EX_min, DT_index, n, llvm_i64(e, lanes));
    LLVMValueRef limit = llvm_splat(e, LLVMBuildTrunc(e->builder, n, e->i32, ""), lanes);
    LLVMValueRef lane = llvm_ramp(e, e->i32, LLVMConstInt(e->i32, 0, 0), 1, lanes);
    return LLVMBuildICmp(e->builder, LLVMIntSLT, lane, limit, "");
}

/* The addresses of lanes apart by stride. */
static LLVMValueRef lane_addresses(struct llvm *e, struct buffer *buf, ex index, int64_t stride, int lanes)
{
    return llvm_address(e, buf, llvm_ramp(e, e->i64, llvm_expr(e, index), stride, lanes));
}

/* Whether the target loads and stores under a mask; others get a branch per lane from LLVM. */
static bool has_masks(const struct llvm *e, enum dtype dt)
{
    const char *features = e->target->llvm_features;
    return strstr(features, "+avx512bw") || (strstr(features, "+avx2") && dtype_bytes(dt) >= 4);
}

/* The number of active lanes where it is known and such a part of a vector is a vector too, else 0. Its accesses need no mask,
 * and a load behind such a store need not wait until its mask shows that they do not overlap. */
static int part_known(ex count, int lanes)
{
    if (!ex_is_const(count) || count->imm < 2 || count->imm >= lanes || (count->imm & (count->imm - 1))) return 0;
    return (int)count->imm;
}

/* A fork on whether all lanes are active: the builder stands in the block for that case. */
struct fork {
    LLVMBasicBlockRef part, after;
};

static struct fork fork_open(struct llvm *e, ex count, int lanes)
{
    LLVMBasicBlockRef all = LLVMAppendBasicBlockInContext(e->context, e->function, "all");
    struct fork fork = {LLVMAppendBasicBlockInContext(e->context, e->function, "part"),
                        LLVMAppendBasicBlockInContext(e->context, e->function, "after")};
    LLVMValueRef is_full = LLVMBuildICmp(e->builder, LLVMIntSGE, llvm_expr(e, count), llvm_i64(e, lanes), "");
    LLVMBuildCondBr(e->builder, is_full, all, fork.part);
    LLVMPositionBuilderAtEnd(e->builder, all);
    return fork;
}

/* Ends one side of the fork and goes on in `next`. Returns the block that ended. */
static LLVMBasicBlockRef fork_next(struct llvm *e, const struct fork *fork, LLVMBasicBlockRef next)
{
    LLVMBasicBlockRef ended = LLVMGetInsertBlock(e->builder);
    LLVMBuildBr(e->builder, fork->after);
    LLVMPositionBuilderAtEnd(e->builder, next);
    return ended;
}

static LLVMValueRef load_under_mask(struct llvm *e, ex x, LLVMValueRef address, LLVMValueRef other)
{
    LLVMValueRef alignment = LLVMConstInt(e->i32, (uint64_t)dtype_bytes(x->dt), 0);
    LLVMTypeRef overloads[] = {memory_type(e, x->dt, x->lanes), LLVMTypeOf(address)};
    LLVMValueRef args[] = {address, alignment, count_mask(e, x->arg[1], x->lanes), other};
    return llvm_intrinsic(e, x->imm == 1 ? "llvm.masked.load" : "llvm.masked.gather", overloads, 2, args, 4);
}

static LLVMValueRef part_load(struct llvm *e, ex x, LLVMValueRef address, int n, LLVMValueRef other)
{
    int pick[MOST_LANES];
    LLVMValueRef part = element_load(e, x, address, 0, n);
    for (int i = 0; i < x->lanes; i++) pick[i] = i < n ? i : -1;
    part = llvm_shuffle(e, part, LLVMGetPoison(LLVMTypeOf(part)), pick, x->lanes);
    for (int i = n; i < x->lanes; i++) pick[i] = x->lanes + i;
    return llvm_shuffle(e, part, other, pick, x->lanes);
}

static LLVMValueRef masked_load(struct llvm *e, ex x)
{
    LLVMTypeRef type = memory_type(e, x->dt, x->lanes);
    LLVMValueRef other = to_memory(e, otherwise_value(e, x), x->dt, x->lanes);
    int part = part_known(x->arg[1], x->lanes);
    if (x->imm == 1 && part) return part_load(e, x, element_address(e, x->buf, x->arg[0]), part, other);
    if (x->imm != 1) return load_under_mask(e, x, lane_addresses(e, x->buf, x->arg[0], x->imm, x->lanes), other);
    LLVMValueRef address = element_address(e, x->buf, x->arg[0]);
    if (has_masks(e, x->dt)) return load_under_mask(e, x, address, other);
    struct fork fork = fork_open(e, x->arg[1], x->lanes);
    LLVMValueRef v[] = {element_load(e, x, address, 0, x->lanes), NULL};
    LLVMBasicBlockRef from[] = {fork_next(e, &fork, fork.part), NULL};
    v[1] = load_under_mask(e, x, address, other);
    from[1] = fork_next(e, &fork, fork.after);
    LLVMValueRef phi = LLVMBuildPhi(e->builder, type, "");
    LLVMAddIncoming(phi, v, from, 2);
    return phi;
}

/* ---- loads ---- */

/* Where the guard is false, element 0 (and its neighbours) can be read instead: no branch. */
static bool is_safe_instead(struct llvm *e, ex x)
{
    int64_t needed = x->lanes == 1 || x->imm == 0 ? 1 : (x->lanes - 1) * x->imm + 1;
    return x->imm >= 0 && dim_lo(e->prog->dims, x->buf->elements) >= needed;
}

static LLVMValueRef guarded_load(struct llvm *e, ex x, LLVMValueRef guard)
{
    LLVMValueRef other = otherwise_value(e, x), address = element_address(e, x->buf, x->arg[0]);
    if (is_safe_instead(e, x)) {
        LLVMValueRef safe = LLVMBuildSelect(e->builder, guard, address, llvm_address(e, x->buf, NULL), "");
        return LLVMBuildSelect(e->builder, guard, from_memory(e, lanes_load(e, x, safe), x->dt), other, "");
    }
    LLVMBasicBlockRef before = LLVMGetInsertBlock(e->builder);
    LLVMBasicBlockRef inside = LLVMAppendBasicBlockInContext(e->context, e->function, "load");
    LLVMBasicBlockRef after = LLVMAppendBasicBlockInContext(e->context, e->function, "loaded");
    LLVMBuildCondBr(e->builder, guard, inside, after);
    LLVMPositionBuilderAtEnd(e->builder, inside);
    LLVMValueRef v = from_memory(e, lanes_load(e, x, address), x->dt);
    LLVMBuildBr(e->builder, after);
    LLVMPositionBuilderAtEnd(e->builder, after);
    LLVMValueRef phi = LLVMBuildPhi(e->builder, llvm_type(e, x->dt, x->lanes), "");
    LLVMAddIncoming(phi, (LLVMValueRef[]){v, other}, (LLVMBasicBlockRef[]){inside, before}, 2);
    return phi;
}

static LLVMValueRef any_active(struct llvm *e, ex count)
{
    return LLVMBuildICmp(e->builder, LLVMIntSGT, llvm_expr(e, count), llvm_i64(e, 0), "");
}

LLVMValueRef llvm_load(struct llvm *e, ex x)
{
    if (x->lanes > MOST_LANES) bug("llvm", "load of %d lanes", x->lanes);
    if (!x->arg[1]) return from_memory(e, lanes_load(e, x, element_address(e, x->buf, x->arg[0])), x->dt);
    if (!x->masked) return guarded_load(e, x, llvm_expr(e, x->arg[1]));
    if (x->lanes == 1) return guarded_load(e, x, any_active(e, x->arg[1]));
    return from_memory(e, masked_load(e, x), x->dt);
}

/* ---- stores ---- */

static void element_store(struct llvm *e, const struct stmt *s, LLVMValueRef v, LLVMValueRef address)
{
    LLVMValueRef store = LLVMBuildStore(e->builder, v, address);
    LLVMSetAlignment(store, (unsigned)dtype_bytes(s->buf->dt));
}

static void store_under_mask(struct llvm *e, const struct stmt *s, LLVMValueRef v, LLVMValueRef address)
{
    LLVMValueRef alignment = LLVMConstInt(e->i32, (uint64_t)dtype_bytes(s->buf->dt), 0);
    LLVMTypeRef overloads[] = {LLVMTypeOf(v), LLVMTypeOf(address)};
    LLVMValueRef args[] = {v, address, alignment, count_mask(e, s->c, s->b->lanes)};
    llvm_intrinsic(e, s->step == 1 ? "llvm.masked.store" : "llvm.masked.scatter", overloads, 2, args, 4);
}

static void masked_store(struct llvm *e, const struct stmt *s, LLVMValueRef v)
{
    if (s->step != 1) {
        store_under_mask(e, s, v, lane_addresses(e, s->buf, s->a, s->step, s->b->lanes));
        return;
    }
    LLVMValueRef address = element_address(e, s->buf, s->a);
    int part = part_known(s->c, s->b->lanes), pick[MOST_LANES];
    if (part) {
        for (int i = 0; i < part; i++) pick[i] = i;
        element_store(e, s, llvm_shuffle(e, v, LLVMGetPoison(LLVMTypeOf(v)), pick, part), address);
        return;
    }
    if (has_masks(e, s->buf->dt)) {
        store_under_mask(e, s, v, address);
        return;
    }
    struct fork fork = fork_open(e, s->c, s->b->lanes);
    element_store(e, s, v, address);
    fork_next(e, &fork, fork.part);
    store_under_mask(e, s, v, address);
    fork_next(e, &fork, fork.after);
}

static void counted_scalar_store(struct llvm *e, const struct stmt *s, LLVMValueRef v)
{
    LLVMValueRef address = element_address(e, s->buf, s->a);
    LLVMBasicBlockRef inside = LLVMAppendBasicBlockInContext(e->context, e->function, "store");
    LLVMBasicBlockRef after = LLVMAppendBasicBlockInContext(e->context, e->function, "stored");
    LLVMBuildCondBr(e->builder, any_active(e, s->c), inside, after);
    LLVMPositionBuilderAtEnd(e->builder, inside);
    element_store(e, s, v, address);
    LLVMBuildBr(e->builder, after);
    LLVMPositionBuilderAtEnd(e->builder, after);
}

void llvm_store(struct llvm *e, const struct stmt *s)
{
    int lanes = s->b->lanes;
    LLVMValueRef v = to_memory(e, llvm_expr(e, s->b), s->b->dt, lanes);
    if (s->c) {
        if (lanes == 1) counted_scalar_store(e, s, v);
        else masked_store(e, s, v);
        return;
    }
    LLVMValueRef address = element_address(e, s->buf, s->a);
    if (lanes == 1 || s->step == 1) {
        element_store(e, s, v, address);
        return;
    }
    for (int i = 0; i < lanes; i++)
        element_store(e, s, LLVMBuildExtractElement(e->builder, v, llvm_i64(e, i), ""),
                      address_plus(e, s->buf->dt, address, i * s->step));
}

void llvm_prefetch(struct llvm *e, const struct stmt *s)
{
    LLVMValueRef address = element_address(e, s->buf, s->a);
    LLVMTypeRef pointer = LLVMTypeOf(address);
    LLVMValueRef read = LLVMConstInt(e->i32, 0, 0), second_level = LLVMConstInt(e->i32, 2, 0), data = LLVMConstInt(e->i32, 1, 0);
    llvm_intrinsic(e, "llvm.prefetch", &pointer, 1, (LLVMValueRef[]){address, read, second_level, data}, 4);
}
