/* Pass expand: functions become arithmetic, 16-bit floats become bits, shared parts get names.
 *
 *     before:  store y[i], cast<f16>(exp(cast<f32>(x[i])))            x, y: f16
 *     after:   let t = x as u16 [i] ... shifts, multiplications, additions ...
 *              store y[i], <u16>
 *
 * Needs a verified program. Makes true: no exp, log, ... sigmoid, pow (exprs.def's middle part); no expression of
 * type f16 or bf16 (buffers keep theirs, loads and stores move u16); no bytes taken together as a word where the target
 * has no vectors; nothing non-trivial occurs twice in one statement. Arithmetic on 16-bit floats is done in f32 and rounded after each operation. Leaves alone:
 * float rem and mod, which are exact in the C library, and the order of statements.
 * The program is copied whole, so the input stays as it was.
 * Read next: expand_math.c (formulas), expand_half.c, lets.c.
 */
#include "expand.h"
#include "lets.h"
#include "passes.h"

struct done {
    ex to;
    bool has_function; /* something in it was written out */
};
struct walk {
    const struct prog *from;
    struct prog *prog;
    struct arena *scratch;
    bool fma, vectors;
    int pack_lanes; /* of vectors of floats that are rounded to bytes two at a time; 0: none are */
    struct halves halves;
    struct done *memo; /* by id of the old expression */
    int memo_cap;
    struct var **var;       /* by old id */
    struct buffer **buffer; /* by old id */
};

static bool is_function(enum expr_op op)
{
    return op == EX_pow || (op >= EX_exp && op <= EX_sigmoid);
}

static enum dtype carrier(enum dtype dt)
{
    return dtype_is_half(dt) ? DT_u16 : dt;
}

static ex walk_expr(struct walk *walk, ex e);

static struct var *walk_var(struct walk *walk, const struct var *var)
{
    if (!var) return NULL;
    struct var **slot = &walk->var[var->id];
    if (!*slot) {
        *slot = prog_var(walk->prog, var->name, carrier(var->dt), var->lanes);
        (*slot)->lo = var->lo;
        (*slot)->hi = var->hi;
    }
    return *slot;
}

static struct buffer *walk_buffer(struct walk *walk, const struct buffer *buf)
{
    if (!buf) return NULL;
    struct buffer **slot = &walk->buffer[buf->id];
    if (!*slot) {
        *slot = arena_copy(walk->prog->arena, buf, sizeof *buf);
        (*slot)->name = arena_strdup(walk->prog->arena, buf->name);
    }
    return *slot;
}

static ex walk_const(struct walk *walk, ex e)
{
    if (e->dt == DT_f16) return ex_int(walk->prog, DT_u16, f16_from_float((float)e->number));
    if (e->dt == DT_bf16) return ex_int(walk->prog, DT_u16, bf16_from_float((float)e->number));
    return dtype_is_float(e->dt) ? ex_float(walk->prog, e->dt, e->number) : ex_int(walk->prog, e->dt, e->imm);
}

static ex walk_load(struct walk *walk, ex e, ex const *args)
{
    struct buffer *buf = walk_buffer(walk, e->buf);
    enum dtype dt = carrier(e->dt);
    if (!e->arg[1]) return ex_load(walk->prog, buf, dt, args[0], e->lanes, e->imm);
    if (e->masked) return ex_load_masked(walk->prog, buf, dt, args[0], e->lanes, args[1], args[2]);
    return ex_load_guarded(walk->prog, buf, dt, args[0], args[1], args[2]);
}

/* A value of the old type dt as f32, where it is a 16-bit float. */
static ex widened(struct walk *walk, enum dtype dt, ex value)
{
    return dtype_is_half(dt) ? half_to_float(&walk->halves, dt, value) : value;
}

static bool is_cast(ex e, enum dtype from, enum dtype to)
{
    return e->op == EX_cast && e->dt == to && e->arg[0]->dt == from;
}

/* f32 -> half -> f32 rounds without leaving f32; half -> f32 -> half is nothing. */
static ex walk_cast(struct walk *walk, ex e, ex value)
{
    ex from = e->arg[0];
    if (dtype_is_half(e->dt) && is_cast(from, e->dt, DT_f32)) return walk_expr(walk, from->arg[0]);
    if (e->dt == DT_f32 && dtype_is_half(from->dt) && is_cast(from, DT_f32, from->dt))
        return half_round(&walk->halves, from->dt, walk_expr(walk, from->arg[0]));
    struct rounding rounding;
    if (expand_is_rounding(e, &rounding)) return expand_rounding(walk->prog, &rounding, walk_expr(walk, rounding.x));
    value = widened(walk, from->dt, value);
    if (!dtype_is_half(e->dt)) return ex_cast(walk->prog, value, e->dt);
    return half_from_float(&walk->halves, e->dt, ex_cast(walk->prog, value, DT_f32));
}

/* Bytes or halves side by side in memory as a word, the first lowest. They do not overlap, so that their sum joins them: `or` would
 * become the load of a word again. */
static ex plain_word(struct prog *prog, ex parts, enum dtype dt)
{
    enum dtype word = dtype_bytes(dt) == 8 ? DT_u64 : dtype_bytes(dt) == 4 ? DT_u32 : DT_u16;
    ex sum = NULL;
    for (int k = 0; k < parts->lanes; k++) {
        ex at = ex_binary(prog, EX_add, parts->arg[0], ex_int(prog, DT_index, k * parts->imm));
        ex part = ex_cast(prog, ex_load(prog, parts->buf, parts->dt, at, 1, 1), word);
        if (k) part = ex_binary(prog, EX_shl, part, ex_int(prog, word, 8 * k * dtype_bytes(parts->dt)));
        sum = sum ? ex_binary(prog, EX_add, sum, part) : part;
    }
    return ex_bits(prog, sum, dt);
}

static ex walk_bits(struct walk *walk, ex e, ex value)
{
    bool is_word = e->lanes < value->lanes && value->op == EX_load && (value->dt == DT_u8 || value->dt == DT_u16) && !value->arg[1];
    if (is_word && !walk->vectors) return plain_word(walk->prog, value, carrier(e->dt));
    return ex_bits(walk->prog, value, carrier(e->dt));
}

/* An operation on values of type e->arg[0]->dt; 16-bit floats come and go through f32. */
static ex walk_operation(struct walk *walk, ex e, ex *args)
{
    enum dtype dt = e->arg[0]->dt;
    const struct math math = {.prog = walk->prog, .dt = dtype_compute(dt), .fma = walk->fma};
    for (int i = 0; i < 3; i++)
        if (args[i]) args[i] = widened(walk, e->arg[i]->dt, args[i]);
    ex value;
    if (e->op == EX_pow) value = dtype_is_float(dt) ? expand_pow(&math, args[0], args[1]) : expand_pow_int(walk->prog, args[0], args[1]);
    else if (is_function(e->op)) value = expand_unary(&math, e->op, args[0]);
    else value = ex_rebuild(walk->prog, e, args);
    return dtype_is_half(e->dt) ? half_from_float(&walk->halves, e->dt, value) : value;
}

static ex walk_node(struct walk *walk, ex e, ex *args)
{
    switch ((int)e->op) {
    case EX_const: return walk_const(walk, e);
    case EX_var: return ex_var(walk->prog, walk_var(walk, e->var));
    case EX_dim: return ex_dim(walk->prog, e->imm);
    case EX_load: return walk_load(walk, e, args);
    case EX_cast: return walk_cast(walk, e, args[0]);
    case EX_bits: return walk_bits(walk, e, args[0]);
    case EX_select: case EX_splat: case EX_ramp: case EX_from_f16: case EX_to_f16: return ex_rebuild(walk->prog, e, args);
    }
    return walk_operation(walk, e, args);
}

static struct done *done_at(struct walk *walk, ex e)
{
    if (e->id >= walk->memo_cap) {
        int cap = walk->memo_cap ? walk->memo_cap : 1024;
        while (cap <= e->id) cap *= 2;
        struct done *bigger = NEW_ARRAY(walk->scratch, struct done, cap);
        for (int i = 0; i < walk->memo_cap; i++) bigger[i] = walk->memo[i];
        walk->memo = bigger;
        walk->memo_cap = cap;
    }
    return &walk->memo[e->id];
}

static ex walk_expr(struct walk *walk, ex e)
{
    if (!e) return NULL;
    if (done_at(walk, e)->to) return done_at(walk, e)->to;
    ex args[3];
    bool has_function = is_function(e->op) || dtype_is_half(e->dt);
    for (int i = 0; i < 3; i++) {
        args[i] = walk_expr(walk, e->arg[i]);
        has_function |= e->arg[i] && done_at(walk, e->arg[i])->has_function;
    }
    ex to = walk_node(walk, e, args);
    *done_at(walk, e) = (struct done){to, has_function};
    return to;
}

static struct kernel *walk_kernel(struct walk *walk, const struct kernel *kernel)
{
    for (int i = 0; i < walk->from->kernels.n; i++)
        if (walk->from->kernels.at[i] == kernel) return walk->prog->kernels.at[i];
    bug("expand", "call of a kernel that the program does not have");
}

/* An expression outside of lets, sets, stores and checks (whose sharing lets_share sees): one with functions gets
 * a let of its own, put at **end. */
static ex walk_apart(struct walk *walk, ex e, struct stmt ***end)
{
    ex to = walk_expr(walk, e);
    if (!e || !done_at(walk, e)->has_function || to->op == EX_var || to->op == EX_const) return to;
    struct var *var = prog_var(walk->prog, "t", to->dt, to->lanes);
    **end = stmt_let(walk->prog, var, to, false);
    *end = &(**end)->next;
    return ex_var(walk->prog, var);
}

/* while (a): a is evaluated after the body, where its lets would be out of sight: one with functions becomes a
 * register that the end of the body sets. */
static void walk_condition(struct walk *walk, ex a, struct stmt *loop, struct stmt ***end)
{
    loop->a = walk_expr(walk, a);
    if (!done_at(walk, a)->has_function) return;
    struct var *again = prog_var(walk->prog, "again", DT_bool, 1);
    **end = stmt_let(walk->prog, again, ex_int(walk->prog, DT_bool, 0), true);
    *end = &(**end)->next;
    stmt_append(&loop->body, stmt_set(walk->prog, again, loop->a));
    loop->a = ex_var(walk->prog, again);
}

static struct stmt *walk_stmts(struct walk *walk, const struct stmt *list);

static void walk_call(struct walk *walk, const struct stmt *call, struct stmt *copy, struct stmt ***end)
{
    struct arena *arena = walk->prog->arena;
    if (call->kernel) copy->kernel = walk_kernel(walk, call->kernel);
    if (call->extern_name) copy->extern_name = arena_strdup(arena, call->extern_name);
    copy->origin = call_origin_copy(arena, call->origin);
    copy->args = NEW_ARRAY(arena, struct call_arg, call->n_args + 1);
    for (int i = 0; i < call->n_args; i++)
        copy->args[i] = (struct call_arg){walk_buffer(walk, call->args[i].buf), walk_apart(walk, call->args[i].offset, end)};
    copy->scalars = NEW_ARRAY(arena, ex, call->n_scalars + 1);
    for (int i = 0; i < call->n_scalars; i++) copy->scalars[i] = walk_apart(walk, call->scalars[i], end);
}

/* The statement copied to **end, lets it needs before it. */
static void walk_stmt(struct walk *walk, const struct stmt *stmt, struct stmt ***end)
{
    struct stmt *copy = arena_copy(walk->prog->arena, stmt, sizeof *stmt);
    copy->next = NULL;
    copy->var = walk_var(walk, stmt->var);
    copy->buf = walk_buffer(walk, stmt->buf);
    switch (stmt->kind) {
    case STMT_LET: case STMT_SET: case STMT_STORE: case STMT_FAIL: case STMT_PREFETCH:
        copy->a = walk_expr(walk, stmt->a);
        copy->b = walk_expr(walk, stmt->b);
        copy->c = walk_expr(walk, stmt->c);
        break;
    case STMT_FOR: case STMT_IF:
        copy->a = walk_apart(walk, stmt->a, end);
        copy->b = walk_apart(walk, stmt->b, end);
        copy->body = walk_stmts(walk, stmt->body);
        copy->other = walk_stmts(walk, stmt->other);
        break;
    case STMT_WHILE:
        copy->body = walk_stmts(walk, stmt->body);
        walk_condition(walk, stmt->a, copy, end);
        break;
    case STMT_CALL: walk_call(walk, stmt, copy, end); break;
    case STMT_BARRIER: break;
    }
    **end = copy;
    *end = &copy->next;
}

/* Two stores of bytes side by side as one, with what stands between them before it: the second. NULL, and nothing is done,
 * where they are no such pair. */
static const struct stmt *walk_pair(struct walk *walk, const struct stmt *first, struct stmt ***end)
{
    struct rounding pair[2];
    const struct stmt *second = walk->pack_lanes ? expand_pair(first, walk->pack_lanes, pair) : NULL;
    if (!second) return NULL;
    ex at = walk_expr(walk, first->a), behind = ex_binary(walk->prog, EX_add, at, ex_int(walk->prog, DT_index, walk->pack_lanes));
    if (walk_expr(walk, second->a) != behind) return NULL;
    for (const struct stmt *s = first->next; s != second; s = s->next) walk_stmt(walk, s, end);
    ex both = expand_pack(walk->prog, pair, walk_expr(walk, pair[0].x), walk_expr(walk, pair[1].x));
    **end = stmt_store(walk->prog, walk_buffer(walk, first->buf), at, both, 1, NULL);
    (**end)->place = first->place;
    *end = &(**end)->next;
    return second;
}

static struct stmt *walk_stmts(struct walk *walk, const struct stmt *list)
{
    struct stmt *first = NULL, **end = &first;
    for (; list; list = list->next) {
        const struct stmt *second = walk_pair(walk, list, &end);
        if (second) list = second;
        else walk_stmt(walk, list, &end);
    }
    return first;
}

static void walk_interface(struct walk *walk)
{
    const struct prog *from = walk->from;
    struct prog *prog = walk->prog;
    struct arena *arena = prog->arena;
    for (int i = 0; i < from->buffers.n; i++) LIST_PUSH(arena, &prog->buffers, walk_buffer(walk, from->buffers.at[i]));
    for (int i = 0; i < from->inputs.n; i++) LIST_PUSH(arena, &prog->inputs, walk_buffer(walk, from->inputs.at[i]));
    for (int i = 0; i < from->outputs.n; i++) LIST_PUSH(arena, &prog->outputs, walk_buffer(walk, from->outputs.at[i]));
    for (int i = 0; i < from->input_names.n; i++)
        LIST_PUSH(arena, &prog->input_names, arena_strdup(arena, from->input_names.at[i]));
    for (int i = 0; i < from->output_names.n; i++)
        LIST_PUSH(arena, &prog->output_names, arena_strdup(arena, from->output_names.at[i]));
    for (int i = 0; i < from->kernels.n; i++) {
        const struct kernel *old = from->kernels.at[i];
        struct kernel *kernel = NEW(arena, struct kernel);
        *kernel = (struct kernel){.name = arena_strdup(arena, old->name), .strategy = arena_strdup(arena, old->strategy),
                                  .layers = arena_strdup(arena, old->layers), .flops = old->flops, .bytes = old->bytes,
                                  .direct_flops = old->direct_flops, .key = old->key, .place = old->place, .side = old->side};
        for (int k = 0; k < old->params.n; k++) LIST_PUSH(arena, &kernel->params, walk_buffer(walk, old->params.at[k]));
        for (int k = 0; k < old->scalars.n; k++) LIST_PUSH(arena, &kernel->scalars, walk_var(walk, old->scalars.at[k]));
        LIST_PUSH(arena, &prog->kernels, kernel);
    }
}

struct prog *pass_expand(const struct prog *prog, struct arena *unit, const struct pass_options *options)
{
    const struct target *target = options->target;
    struct walk walk = {.from = prog, .scratch = arena_new(), .fma = target && target->has_fma, .vectors = !target || target->vector_bytes > 0};
    if (target) walk.pack_lanes = target_pack_lanes(target);
    walk.prog = prog_new(unit, prog->session, prog->dims, prog->name);
    walk.halves = (struct halves){walk.prog, target && target->has_f16c};
    walk.prog->scales = prog->scales;
    walk.prog->arena_bytes = prog->arena_bytes;
    walk.prog->next_buffer = prog->next_buffer;
    walk.var = NEW_ARRAY(walk.scratch, struct var *, prog->next_var);
    walk.buffer = NEW_ARRAY(walk.scratch, struct buffer *, prog->next_buffer);
    walk_interface(&walk);
    for (int i = 0; i < prog->kernels.n; i++) {
        struct kernel *kernel = walk.prog->kernels.at[i];
        kernel->body = lets_share(walk.prog, walk_stmts(&walk, prog->kernels.at[i]->body));
    }
    walk.prog->main = lets_share(walk.prog, walk_stmts(&walk, prog->main));
    arena_free(walk.scratch);
    return walk.prog;
}
