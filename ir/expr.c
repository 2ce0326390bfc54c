/* Building expressions: interning, type rules and simplification; and statements.
 *
 * Index arithmetic is kept in one form: a sum of atoms times dim coefficients plus a dim, atoms in order of
 * making (expr_index.c). Elsewhere only what is exact for every value is simplified: floats are not reassociated.
 * Read next: expr_index.c.
 */
#include "expr_index.h"
#include "expr_map.h"

#include <math.h>
#include <string.h>

static const struct expr_row rows[EX_COUNT] = {
#define EX(name, args, cost) {#name, args, cost},
#include "exprs.def"
#undef EX
};

const struct expr_row *expr_row(enum expr_op op)
{
    return &rows[op];
}

bool expr_from_name(const char *name, enum expr_op *op)
{
    for (int i = 0; i < EX_COUNT; i++)
        if (rows[i].args > 0 && i != EX_load && !strcmp(rows[i].name, name)) {
            *op = (enum expr_op)i;
            return true;
        }
    return false;
}

struct expr_table {
    ex *slot;
    int n, cap;
};

static uint32_t mix(uint32_t h, uint64_t v)
{
    h = (h ^ (uint32_t)v) * 16777619u;
    h = (h ^ (uint32_t)(v >> 32)) * 16777619u;
    return h ^ (h >> 15);
}

static uint32_t expr_hash(const struct expr *e)
{
    uint64_t number;
    memcpy(&number, &e->number, sizeof number);
    uint32_t h = mix(mix(mix(2166136261u, (uint64_t)e->op), (uint64_t)e->dt), (uint64_t)e->lanes);
    h = mix(mix(mix(h, (uint64_t)e->imm), number), e->masked);
    h = mix(h, e->var ? (uint64_t)e->var->id + 1 : 0);
    h = mix(h, e->buf ? (uint64_t)e->buf->id + 1 : 0);
    for (int i = 0; i < 3; i++) h = mix(h, e->arg[i] ? (uint64_t)e->arg[i]->id + 1 : 0);
    return h;
}

static bool expr_same(const struct expr *a, const struct expr *b)
{
    return a->hash == b->hash && a->op == b->op && a->dt == b->dt && a->lanes == b->lanes && a->imm == b->imm &&
           !memcmp(&a->number, &b->number, sizeof a->number) && a->masked == b->masked && a->var == b->var &&
           a->buf == b->buf && a->arg[0] == b->arg[0] && a->arg[1] == b->arg[1] && a->arg[2] == b->arg[2];
}

static void table_put(struct expr_table *table, ex e)
{
    int i = (int)(e->hash & (uint32_t)(table->cap - 1));
    while (table->slot[i]) i = (i + 1) & (table->cap - 1);
    table->slot[i] = e;
}

ex expr_intern(struct prog *prog, struct expr e)
{
    struct expr_table *table = prog->table;
    e.hash = expr_hash(&e);
    if (table->n * 2 >= table->cap) {
        struct expr_table bigger = {.cap = table->cap ? table->cap * 2 : 1024, .n = table->n};
        bigger.slot = NEW_ARRAY(prog->arena, ex, bigger.cap);
        for (int i = 0; i < table->cap; i++)
            if (table->slot[i]) table_put(&bigger, table->slot[i]);
        *table = bigger;
    }
    for (int i = (int)(e.hash & (uint32_t)(table->cap - 1)); table->slot[i]; i = (i + 1) & (table->cap - 1))
        if (expr_same(table->slot[i], &e)) return table->slot[i];
    e.id = table->n++;
    ex fresh = arena_copy(prog->arena, &e, sizeof e);
    table_put(table, fresh);
    return fresh;
}

struct prog *prog_new(struct arena *unit, struct arena *session, struct dims *dims, const char *name)
{
    struct prog *prog = NEW(unit, struct prog);
    prog->arena = unit;
    prog->session = session;
    prog->dims = dims;
    prog->name = arena_strdup(unit, name);
    prog->arena_bytes = -1;
    prog->table = NEW(unit, struct expr_table);
    return prog;
}

struct buffer *prog_buffer(struct prog *prog, const char *name, enum dtype dt, enum space space, dim elements)
{
    struct buffer *buf = NEW(prog->arena, struct buffer);
    *buf = (struct buffer){.name = arena_strdup(prog->arena, name), .dt = dt, .space = space, .elements = elements,
                           .id = prog->next_buffer++, .offset_bytes = -1};
    buf->type.dt = dt;
    if (space != SPACE_PARAM && !buffer_is_array(buf)) LIST_PUSH(prog->arena, &prog->buffers, buf);
    if (space == SPACE_INPUT) {
        buf->position = prog->inputs.n;
        LIST_PUSH(prog->arena, &prog->inputs, buf);
    } else if (space == SPACE_OUTPUT) {
        buf->position = prog->outputs.n;
        LIST_PUSH(prog->arena, &prog->outputs, buf);
    }
    return buf;
}

struct var *prog_var(struct prog *prog, const char *name, enum dtype dt, int lanes)
{
    struct var *var = NEW(prog->arena, struct var);
    *var = (struct var){.name = arena_strdup(prog->arena, name), .dt = dt, .lanes = lanes, .id = prog->next_var++,
                        .lo = 1, .hi = 0};
    return var;
}

struct var *prog_index(struct prog *prog, const char *name, dim lo, dim hi)
{
    struct var *var = prog_var(prog, name, DT_index, 1);
    var->lo = lo;
    var->hi = hi;
    return var;
}

void prog_workers(struct prog *prog, int threads, const char *worker, const char *workers)
{
    prog->threads = threads;
    prog->worker = prog_index(prog, worker, 0, threads - 1);
    prog->workers = prog_index(prog, workers, 1, threads);
}

struct kernel *prog_kernel(struct prog *prog, const char *name)
{
    struct kernel *kernel = NEW(prog->arena, struct kernel);
    const char *base = text_identifier(prog->arena, name);
    kernel->name = base;
    for (int k = 2;; k++) {
        bool taken = false;
        for (int i = 0; i < prog->kernels.n && !taken; i++) taken = !strcmp(prog->kernels.at[i]->name, kernel->name);
        if (!taken) break;
        kernel->name = arena_printf(prog->arena, "%s_%d", base, k);
    }
    kernel->strategy = kernel->layers = "";
    LIST_PUSH(prog->arena, &prog->kernels, kernel);
    return kernel;
}

struct buffer *kernel_param(struct prog *prog, struct kernel *kernel, const char *name, enum dtype dt, dim elements)
{
    struct buffer *buf = prog_buffer(prog, name, dt, SPACE_PARAM, elements);
    buf->position = kernel->params.n;
    LIST_PUSH(prog->arena, &kernel->params, buf);
    return buf;
}

/* v reduced to the range of dt, as the machine would keep it */
static int64_t wrap(enum dtype dt, int64_t v)
{
    if (dt == DT_bool) return v != 0;
    int bits = (int)(8 * dtype_bytes(dt));
    if (bits == 64) return v;
    uint64_t low = (uint64_t)v & (((uint64_t)1 << bits) - 1);
    if (dtype_class(dt) == DT_SIGNED && (low >> (bits - 1))) low |= ~(uint64_t)0 << bits;
    return (int64_t)low;
}

ex ex_int(struct prog *prog, enum dtype dt, int64_t v)
{
    if (dtype_is_float(dt)) bug("ex_int", "float type %s", dtype_name(dt));
    if (dt == DT_index && !dim_is_const(v)) return ex_dim(prog, v);
    return expr_intern(prog, (struct expr){.op = EX_const, .dt = dt, .lanes = 1, .imm = wrap(dt, v)});
}

ex ex_float(struct prog *prog, enum dtype dt, double v)
{
    if (dt == DT_f32) v = (double)(float)v;
    if (dt == DT_f16) v = (double)f16_to_float(f16_from_float((float)v));
    if (dt == DT_bf16) v = (double)bf16_to_float(bf16_from_float((float)v));
    if (v != v) v = (double)NAN; /* one NaN, so that equal expressions are one */
    return expr_intern(prog, (struct expr){.op = EX_const, .dt = dt, .lanes = 1, .number = v});
}

ex ex_number(struct prog *prog, enum dtype dt, double v)
{
    if (dtype_is_float(dt)) return ex_float(prog, dt, v);
    if (dt == DT_bool) return ex_int(prog, dt, v != 0);
    if (v != v) return ex_int(prog, dt, 0);
    if (dtype_class(dt) == DT_UNSIGNED) {
        if (v <= 0) return ex_int(prog, dt, 0);
        uint64_t most = dtype_int_max(dt);
        return ex_int(prog, dt, (int64_t)(v >= (double)most ? most : (uint64_t)v));
    }
    int64_t least = dtype_int_min(dt), most = (int64_t)dtype_int_max(dt);
    if (dt == DT_index) least = -DIM_HUGE, most = DIM_HUGE;
    return ex_int(prog, dt, v >= (double)most ? most : v <= (double)least ? least : (int64_t)v);
}

ex ex_dim(struct prog *prog, dim d)
{
    if (dim_is_const(d)) return expr_intern(prog, (struct expr){.op = EX_const, .dt = DT_index, .lanes = 1, .imm = d});
    return expr_intern(prog, (struct expr){.op = EX_dim, .dt = DT_index, .lanes = 1, .imm = d});
}

ex ex_var(struct prog *prog, struct var *var)
{
    if (var->dt == DT_index && var->lanes == 1 && var->lo == var->hi) return ex_dim(prog, var->lo);
    return expr_intern(prog, (struct expr){.op = EX_var, .dt = var->dt, .lanes = var->lanes, .var = var});
}

bool ex_is_int(ex e, int64_t v)
{
    return e->op == EX_const && !dtype_is_float(e->dt) && e->imm == v;
}

static bool is_number(ex e, double v)
{
    while (e->op == EX_splat) e = e->arg[0];
    if (e->op != EX_const) return false;
    return dtype_is_float(e->dt) ? e->number == v && signbit(e->number) == signbit(v) : (double)e->imm == v;
}

ex ex_splat(struct prog *prog, ex a, int lanes)
{
    if (a->lanes == lanes) return a;
    if (a->lanes != 1) bug("ex_splat", "%d lanes to %d", a->lanes, lanes);
    return expr_intern(prog, (struct expr){.op = EX_splat, .dt = a->dt, .lanes = lanes, .arg = {a}});
}

static ex make(struct prog *prog, enum expr_op op, enum dtype dt, int lanes, ex a, ex b, ex c)
{
    return expr_intern(prog, (struct expr){.op = op, .dt = dt, .lanes = lanes, .arg = {a, b, c}});
}

ex ex_unary(struct prog *prog, enum expr_op op, ex a)
{
    if (op == EX_hadd || op == EX_hmul || op == EX_hmin || op == EX_hmax)
        return a->lanes == 1 ? a : make(prog, op, a->dt, 1, a, NULL, NULL);
    if (op == EX_is_nan || op == EX_is_inf) {
        if (!dtype_is_float(a->dt)) return ex_splat(prog, ex_int(prog, DT_bool, 0), a->lanes);
        return make(prog, op, DT_bool, a->lanes, a, NULL, NULL);
    }
    if (op == EX_from_f16 || op == EX_to_f16) return make(prog, op, op == EX_to_f16 ? DT_u16 : DT_f32, a->lanes, a, NULL, NULL);
    if (a->dt == DT_index && op == EX_neg) return ex_binary(prog, EX_sub, ex_dim(prog, 0), a);
    if (op == EX_not && a->dt == DT_bool && ex_is_const(a)) return ex_int(prog, DT_bool, !a->imm);
    if (op == EX_not && a->op == EX_not) return a->arg[0];
    if (op == EX_neg && ex_is_const(a))
        return dtype_is_float(a->dt) ? ex_float(prog, a->dt, -a->number) : ex_int(prog, a->dt, (int64_t)(0 - (uint64_t)a->imm));
    if ((op == EX_floor || op == EX_ceil || op == EX_round || op == EX_trunc) && !dtype_is_float(a->dt)) return a;
    if (op == EX_abs && dtype_class(a->dt) != DT_SIGNED && !dtype_is_float(a->dt)) return a;
    return make(prog, op, a->dt, a->lanes, a, NULL, NULL);
}

/* bool operations with a known side; NULL where nothing is known */
static ex fold_logic(struct prog *prog, enum expr_op op, ex a, ex b)
{
    for (int side = 0; side < 2; side++) {
        ex k = side ? a : b, other = side ? b : a;
        while (k->op == EX_splat) k = k->arg[0];
        if (k->op != EX_const) continue;
        if (op == EX_and) return k->imm ? other : ex_splat(prog, k, other->lanes);
        if (op == EX_or) return k->imm ? ex_splat(prog, k, other->lanes) : other;
        if (op == EX_xor) return k->imm ? ex_unary(prog, EX_not, other) : other;
    }
    if (a == b) return op == EX_xor ? ex_splat(prog, ex_int(prog, DT_bool, 0), a->lanes) : a;
    return NULL;
}

/* Part k of a word that is put together from numbers of this type: the number's load, or NULL. */
static ex part_of_word(ex e, enum dtype dt, int k)
{
    if (k > 0) {
        if (e->op != EX_shl || !ex_is_int(e->arg[1], 8 * k * dtype_bytes(dt))) return NULL;
        e = e->arg[0];
    }
    if (e->op != EX_cast || e->dt != DT_i32) return NULL;
    e = e->arg[0];
    return e->op == EX_load && e->dt == dt && e->buf->dt == dt && e->lanes == 1 && !e->arg[1] ? e : NULL;
}

/* or(or(byte 0, byte 1 << 8), or(byte 2 << 16, byte 3 << 24)) of neighbours in memory is one load, as is
 * or(half 0, half 1 << 16); else NULL. */
static ex load_word(struct prog *prog, ex a, ex b)
{
    if (a->lanes != 1) return NULL;
    int n = a->op == EX_or && b->op == EX_or ? 4 : 2;
    enum dtype dt = n == 4 ? DT_u8 : DT_u16;
    ex whole[] = {a, b}, part[4];
    for (int k = 0; k < n; k++) {
        part[k] = part_of_word(n == 4 ? whole[k / 2]->arg[k % 2] : whole[k], dt, k);
        if (!part[k] || part[k]->buf != part[0]->buf || part[k]->arg[0] != ex_binary(prog, EX_add, part[0]->arg[0], ex_int(prog, DT_index, k)))
            return NULL;
    }
    return ex_bits(prog, ex_load(prog, part[0]->buf, dt, part[0]->arg[0], n, 1), DT_i32);
}

ex ex_binary(struct prog *prog, enum expr_op op, ex a, ex b)
{
    if (a->dt != b->dt) bug("ex_binary", "%s of %s and %s", rows[op].name, dtype_name(a->dt), dtype_name(b->dt));
    int lanes = a->lanes > b->lanes ? a->lanes : b->lanes;
    a = ex_splat(prog, a, lanes);
    b = ex_splat(prog, b, lanes);
    bool compare = op == EX_eq || op == EX_lt || op == EX_le;
    ex simpler = NULL;
    if (a->dt == DT_index && lanes == 1) simpler = index_binary(prog, op, a, b);
    else if (a->dt == DT_bool && !compare) simpler = fold_logic(prog, op, a, b);
    if (simpler) return simpler;
    if ((op == EX_mul || op == EX_div) && is_number(b, 1)) return a;
    if (op == EX_mul && is_number(a, 1)) return b;
    if (op == EX_sub && is_number(b, 0)) return a;
    if (op == EX_add && !dtype_is_float(a->dt) && is_number(b, 0)) return a;
    if (op == EX_add && !dtype_is_float(a->dt) && is_number(a, 0)) return b;
    if ((op == EX_min || op == EX_max) && a == b) return a;
    if (op == EX_add && expr_is_dot(b->op) && is_number(b->arg[2], 0)) return ex_dot(prog, b->op, b->arg[0], b->arg[1], a);
    if (op == EX_or && a->dt == DT_i32 && (simpler = load_word(prog, a, b))) return simpler;
    return make(prog, op, compare ? DT_bool : a->dt, lanes, a, b, NULL);
}

ex ex_select(struct prog *prog, ex c, ex a, ex b)
{
    if (a->dt != b->dt || c->dt != DT_bool) bug("ex_select", "%s and %s", dtype_name(a->dt), dtype_name(b->dt));
    int lanes = a->lanes > b->lanes ? a->lanes : b->lanes;
    if (c->lanes > lanes) lanes = c->lanes;
    a = ex_splat(prog, a, lanes);
    b = ex_splat(prog, b, lanes);
    ex k = c;
    while (k->op == EX_splat) k = k->arg[0];
    if (k->op == EX_const) return k->imm ? a : b;
    if (a == b) return a;
    return make(prog, EX_select, a->dt, lanes, ex_splat(prog, c, lanes), a, b);
}

ex ex_fma(struct prog *prog, ex a, ex b, ex c)
{
    int lanes = a->lanes > b->lanes ? a->lanes : b->lanes;
    if (c->lanes > lanes) lanes = c->lanes;
    return make(prog, EX_fma, a->dt, lanes, ex_splat(prog, a, lanes), ex_splat(prog, b, lanes), ex_splat(prog, c, lanes));
}

bool expr_is_dot(enum expr_op op)
{
    return op == EX_dot4 || op == EX_dot4_sat || op == EX_dot2;
}

ex ex_dot(struct prog *prog, enum expr_op op, ex a, ex b, ex c)
{
    int lanes = a->lanes > b->lanes ? a->lanes : b->lanes;
    if (c->lanes > lanes) lanes = c->lanes;
    return make(prog, op, DT_i32, lanes, ex_splat(prog, a, lanes), ex_splat(prog, b, lanes), ex_splat(prog, c, lanes));
}

ex ex_pack(struct prog *prog, ex a, ex b, ex c)
{
    return make(prog, EX_pack, DT_u8, 2 * a->lanes, a, b, c);
}

ex ex_cast(struct prog *prog, ex a, enum dtype dt)
{
    if (a->dt == dt) return a;
    if (a->op == EX_splat) return ex_splat(prog, ex_cast(prog, a->arg[0], dt), a->lanes);
    if (a->op == EX_const) {
        if (dtype_is_float(a->dt)) return ex_number(prog, dt, dt == DT_bool || dtype_is_float(dt) ? a->number : trunc(a->number));
        if (dt == DT_bool) return ex_int(prog, dt, a->imm != 0);
        if (!dtype_is_float(dt)) return ex_int(prog, dt, a->imm);
        return ex_float(prog, dt, a->dt == DT_u64 ? (double)(uint64_t)a->imm : (double)a->imm);
    }
    /* a widening integer cast and back is nothing */
    if (a->op == EX_cast && a->arg[0]->dt == dt && dtype_is_int(dt) && dtype_is_int(a->dt) &&
        dtype_bytes(a->dt) >= dtype_bytes(dt))
        return a->arg[0];
    return make(prog, EX_cast, dt, a->lanes, a, NULL, NULL);
}

ex ex_bits(struct prog *prog, ex a, enum dtype dt)
{
    if (a->dt == dt) return a;
    if (a->lanes > 1 && a->lanes * dtype_bytes(a->dt) == dtype_bytes(dt)) return make(prog, EX_bits, dt, 1, a, NULL, NULL);
    if (dtype_bytes(a->dt) != dtype_bytes(dt)) bug("ex_bits", "%s to %s", dtype_name(a->dt), dtype_name(dt));
    if (a->op == EX_bits) return ex_bits(prog, a->arg[0], dt);
    return make(prog, EX_bits, dt, a->lanes, a, NULL, NULL);
}

ex ex_ramp(struct prog *prog, ex a, int64_t stride, int lanes)
{
    if (lanes == 1) return a;
    if (stride == 0) return ex_splat(prog, a, lanes);
    return expr_intern(prog, (struct expr){.op = EX_ramp, .dt = a->dt, .lanes = lanes, .imm = stride, .arg = {a}});
}

static ex load(struct prog *prog, struct buffer *buf, enum dtype dt, ex index, int lanes, int64_t stride, bool masked,
               ex condition, ex otherwise)
{
    if (index->dt != DT_index || index->lanes != 1) bug("ex_load", "subscript of %s is not a scalar index", buf->name);
    if (lanes > 1 && stride == 0)
        return ex_splat(prog, load(prog, buf, dt, index, 1, 1, false, condition, otherwise), lanes);
    return expr_intern(prog, (struct expr){.op = EX_load, .dt = dt, .lanes = lanes, .imm = lanes == 1 ? 1 : stride,
                                           .masked = masked, .buf = buf, .arg = {index, condition, otherwise}});
}

ex ex_load(struct prog *prog, struct buffer *buf, enum dtype dt, ex index, int lanes, int64_t stride)
{
    return load(prog, buf, dt, index, lanes, stride, false, NULL, NULL);
}

ex ex_load_guarded(struct prog *prog, struct buffer *buf, enum dtype dt, ex index, ex guard, ex otherwise)
{
    if (ex_is_const(guard)) return guard->imm ? ex_load(prog, buf, dt, index, 1, 1) : otherwise;
    return load(prog, buf, dt, index, 1, 1, false, guard, otherwise);
}

bool ex_covers(ex count, int lanes)
{
    return ex_is_const(count) && count->imm >= lanes;
}

ex ex_load_masked(struct prog *prog, struct buffer *buf, enum dtype dt, ex index, int lanes, ex count, ex otherwise)
{
    if (ex_covers(count, lanes)) return ex_load(prog, buf, dt, index, lanes, 1);
    return load(prog, buf, dt, index, lanes, 1, true, count, otherwise);
}

ex ex_rebuild(struct prog *prog, ex like, ex const *args)
{
    switch (like->op) {
    case EX_const: case EX_var: case EX_dim: return like;
    case EX_load:
        if (like->arg[1] && !like->masked && like->lanes == 1)
            return ex_load_guarded(prog, like->buf, like->dt, args[0], args[1], args[2]);
        if (like->masked && args[1] && ex_covers(args[1], like->lanes)) /* as ex_load_masked */
            return load(prog, like->buf, like->dt, args[0], like->lanes, like->imm, false, NULL, NULL);
        return load(prog, like->buf, like->dt, args[0], like->lanes, like->imm, like->masked, args[1], args[2]);
    case EX_select: return ex_select(prog, args[0], args[1], args[2]);
    case EX_fma: return ex_fma(prog, args[0], args[1], args[2]);
    case EX_dot4: case EX_dot4_sat: case EX_dot2: return ex_dot(prog, like->op, args[0], args[1], args[2]);
    case EX_pack: return ex_pack(prog, args[0], args[1], args[2]);
    case EX_cast: return ex_cast(prog, args[0], like->dt);
    case EX_bits: return ex_bits(prog, args[0], like->dt);
    case EX_splat: return ex_splat(prog, args[0], like->lanes);
    case EX_ramp: return ex_ramp(prog, args[0], like->imm, like->lanes);
    case EX_add: case EX_sub: case EX_mul: case EX_div: case EX_mod: case EX_rem: case EX_min: case EX_max:
    case EX_pow: case EX_and: case EX_or: case EX_xor: case EX_shl: case EX_shr: case EX_eq: case EX_lt: case EX_le:
        return ex_binary(prog, like->op, args[0], args[1]);
    case EX_not: case EX_neg: case EX_abs: case EX_floor: case EX_ceil: case EX_round: case EX_trunc: case EX_sqrt:
    case EX_exp: case EX_log: case EX_sin: case EX_cos: case EX_tan: case EX_asin: case EX_acos: case EX_atan:
    case EX_sinh: case EX_cosh: case EX_tanh: case EX_asinh: case EX_acosh: case EX_atanh: case EX_erf: case EX_sigmoid:
    case EX_is_nan: case EX_is_inf: case EX_hadd: case EX_hmul: case EX_hmin: case EX_hmax: case EX_from_f16: case EX_to_f16:
        return ex_unary(prog, like->op, args[0]);
    case EX_COUNT: break;
    }
    bug("ex_rebuild", "kind %d", (int)like->op);
}

/* What expressions became, so that walks over shared subexpressions stay linear. */
struct replacement {
    struct expr_map map; /* expression -> number in `by` */
    LIST(ex) by;
};

static ex replace(struct prog *prog, ex e, const struct var *var, ex by, struct replacement *done)
{
    if (e->op == EX_var) return e->var == var ? by : e;
    if (e->op == EX_const || e->op == EX_dim) return e;
    const int *known = expr_map_find(&done->map, e);
    if (known) return done->by.at[*known];
    ex args[3] = {NULL, NULL, NULL};
    bool changed = false;
    for (int i = 0; i < 3; i++)
        if (e->arg[i]) {
            args[i] = replace(prog, e->arg[i], var, by, done);
            changed |= args[i] != e->arg[i];
        }
    ex to = changed ? ex_rebuild(prog, e, args) : e;
    expr_map_add(&done->map, e, done->by.n);
    LIST_PUSH(done->map.arena, &done->by, to);
    return to;
}

ex ex_replace(struct prog *prog, ex e, const struct var *var, ex by)
{
    if (e->op == EX_var) return e->var == var ? by : e;
    struct replacement done = {.map = {.arena = arena_new()}};
    ex to = replace(prog, e, var, by, &done);
    arena_free(done.map.arena);
    return to;
}

static bool uses(ex e, const struct var *var, struct expr_map *seen)
{
    if (e->op == EX_var) return e->var == var;
    if (e->op == EX_const || e->op == EX_dim || expr_map_find(seen, e)) return false;
    for (int i = 0; i < 3; i++)
        if (e->arg[i] && uses(e->arg[i], var, seen)) return true;
    expr_map_add(seen, e, 1);
    return false;
}

bool ex_uses(ex e, const struct var *var)
{
    if (e->op == EX_var) return e->var == var;
    if (e->op == EX_const || e->op == EX_dim) return false;
    struct expr_map seen = {.arena = arena_new()};
    bool yes = uses(e, var, &seen);
    arena_free(seen.arena);
    return yes;
}

struct stmt *stmt_new(struct prog *prog, enum stmt_kind kind)
{
    struct stmt *stmt = NEW(prog->arena, struct stmt);
    stmt->kind = kind;
    stmt->step = 1;
    return stmt;
}

struct stmt *stmt_for(struct prog *prog, struct var *var, ex lo, ex hi, int64_t step, struct stmt *body)
{
    struct stmt *stmt = stmt_new(prog, STMT_FOR);
    stmt->var = var;
    stmt->a = lo;
    stmt->b = hi;
    stmt->step = step;
    stmt->body = body;
    return stmt;
}

struct stmt *stmt_store(struct prog *prog, struct buffer *buf, ex index, ex value, int64_t stride, ex count)
{
    struct stmt *stmt = stmt_new(prog, STMT_STORE);
    stmt->buf = buf;
    stmt->a = index;
    stmt->b = value;
    stmt->c = count && ex_covers(count, value->lanes) ? NULL : count;
    stmt->step = stride;
    return stmt;
}

struct stmt *stmt_prefetch(struct prog *prog, struct buffer *buf, ex index)
{
    struct stmt *stmt = stmt_new(prog, STMT_PREFETCH);
    stmt->buf = buf;
    stmt->a = index;
    return stmt;
}

struct stmt *stmt_let(struct prog *prog, struct var *var, ex value, bool mutable)
{
    struct stmt *stmt = stmt_new(prog, STMT_LET);
    stmt->var = var;
    stmt->a = value;
    stmt->mutable = mutable;
    return stmt;
}

struct stmt *stmt_set(struct prog *prog, struct var *var, ex value)
{
    struct stmt *stmt = stmt_new(prog, STMT_SET);
    stmt->var = var;
    stmt->a = value;
    return stmt;
}

void stmt_append(struct stmt **list, struct stmt *more)
{
    while (*list) list = &(*list)->next;
    *list = more;
}

void stmt_append_under(struct prog *prog, struct stmt **list, ex condition, struct stmt *more)
{
    struct stmt *last = *list;
    while (last && last->next) last = last->next;
    if (last && last->kind == STMT_IF && last->a == condition && !last->other) {
        stmt_append(&last->body, more);
        return;
    }
    struct stmt *only = stmt_new(prog, STMT_IF);
    only->a = condition;
    only->body = more;
    stmt_append(list, only);
}

const struct call_origin *call_origin_copy(struct arena *arena, const struct call_origin *origin)
{
    if (!origin) return NULL;
    struct call_origin *copy = arena_copy(arena, origin, sizeof *origin);
    copy->layers = arena_strdup(arena, origin->layers);
    copy->operators = arena_strdup(arena, origin->operators);
    copy->stored = arena_strdup(arena, origin->stored);
    return copy;
}
