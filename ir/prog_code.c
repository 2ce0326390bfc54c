/* Compiles a kernel for the interpreter.  See prog_code.h.
 *
 * Scalar arithmetic without loads is computed at the outermost loop that has all its variables: for an index
 *
 *     784*n + 28*h + w     in loops n, h, w
 *
 * 784*n is computed once per n, + 28*h once per h, and the innermost loop does one multiply-add. That is sound
 * because these kinds cannot fail (division by zero gives zero). Loads and registers are read where they stand.
 */
#include "prog_code.h"

#include <string.h>

enum { LEVEL_HERE = 1 << 20, SLOTS_MOST = 1 << 26 };

typedef LIST(struct code) code_list;
struct level { /* a loop around the statement being compiled; 0: the kernel itself */
    code_list before; /* runs at the head of each round */
    struct expr_map known;
};
struct compiler {
    struct machine *machine;
    struct frame *frame;
    LIST(struct level *) levels;
    code_list *list;       /* where statements go */
    struct expr_map here;  /* what this statement has computed in place */
    struct expr_map rank;  /* levels of expressions */
    struct expr_map const_slots;
    int *var_slot, *var_level; /* by var id; slot -1: not defined */
    int *buffer_number;        /* by buffer id; -1 */
    LIST(union lane) slots;
    bool in_lanes; /* inside a lane loop with barriers */
    bool failed;
};

static int value_of(struct compiler *c, ex e);

static int slots_new(struct compiler *c, int n)
{
    int at = c->slots.n;
    if (at > SLOTS_MOST) c->failed = true;
    if (c->failed) return 0;
    for (int i = 0; i < n; i++) LIST_PUSH(c->machine->arena, &c->slots, (union lane){.i = 0});
    return at;
}

static struct place frame_place(const struct frame *frame)
{
    return frame->kernel ? frame->kernel->place : (struct place){.path = NULL};
}

static int fail(struct compiler *c, const char *what, const char *name)
{
    const struct kernel *kernel = c->frame->kernel;
    if (!c->failed)
        diag_error(c->machine->diag, frame_place(c->frame), "%s: %s %s", kernel ? kernel->name : "main", what, name);
    c->failed = true;
    return 0;
}

static struct level *level_push(struct compiler *c)
{
    struct level *level = NEW(c->machine->arena, struct level);
    level->known.arena = c->machine->arena;
    LIST_PUSH(c->machine->arena, &c->levels, level);
    return level;
}

static void emit(struct compiler *c, int level, struct code code)
{
    code_list *list = level < c->levels.n ? &c->levels.at[level]->before : c->list;
    LIST_PUSH(c->machine->arena, list, code);
}

static const struct code *list_end(struct compiler *c, code_list *list)
{
    LIST_PUSH(c->machine->arena, list, (struct code){.op = CODE_END});
    return list->at;
}

/* The outermost level at whose head e can be computed; LEVEL_HERE: only where it stands. */
static int level_of(struct compiler *c, ex e)
{
    if (e->op == EX_const || e->op == EX_dim) return 0;
    if (e->op == EX_var) return c->var_level[e->var->id];
    if (e->op == EX_load) return LEVEL_HERE;
    int *known = expr_map_find(&c->rank, e);
    if (known) return *known;
    int level = 0;
    for (int i = 0; i < 3; i++)
        if (e->arg[i]) {
            int of = level_of(c, e->arg[i]);
            if (of > level) level = of;
        }
    expr_map_add(&c->rank, e, level);
    return level;
}

static int const_slot(struct compiler *c, union lane v)
{
    int at = slots_new(c, 1);
    if (!c->failed) c->slots.at[at] = v;
    return at;
}

/* Scalar index sums. */
struct term {
    ex atom;
    int64_t coef;
    int level;
};
typedef LIST(struct term) term_list;

static int64_t dim_value(const struct compiler *c, ex e)
{
    return dim_eval(c->machine->prog->dims, e->imm, c->machine->symbols);
}

static void take_apart(struct compiler *c, ex e, int64_t scale, term_list *list, int64_t *sum)
{
    if (e->op == EX_const || e->op == EX_dim) *sum = (int64_t)((uint64_t)*sum + (uint64_t)scale * (uint64_t)dim_value(c, e));
    else if (e->op == EX_add) {
        take_apart(c, e->arg[0], scale, list, sum);
        take_apart(c, e->arg[1], scale, list, sum);
    } else if (e->op == EX_mul && (e->arg[1]->op == EX_const || e->arg[1]->op == EX_dim)) {
        take_apart(c, e->arg[0], (int64_t)((uint64_t)scale * (uint64_t)dim_value(c, e->arg[1])), list, sum);
    } else {
        struct term term = {e, scale, level_of(c, e)};
        LIST_PUSH(c->machine->arena, list, term);
    }
}

static int index_sum(struct compiler *c, ex e)
{
    term_list list = {.at = NULL};
    int64_t sum = 0;
    take_apart(c, e, 1, &list, &sum);
    int slot = const_slot(c, (union lane){.i = sum});
    for (int done = 0; done < list.n && !c->failed; done++) {
        int best = done; /* outermost first: selection sort, sums are short */
        for (int i = done; i < list.n; i++)
            if (list.at[i].level < list.at[best].level) best = i;
        struct term term = list.at[best];
        for (int i = best; i > done; i--) list.at[i] = list.at[i - 1];
        int atom = value_of(c, term.atom), next = slots_new(c, 1);
        emit(c, term.level, (struct code){.op = CODE_INDEX, .lanes = 1, .dst = next, .a = atom, .b = slot, .imm = term.coef});
        slot = next;
    }
    return slot;
}

static struct code load_code(struct compiler *c, ex e)
{
    int number = e->buf->id < c->machine->prog->next_buffer ? c->buffer_number[e->buf->id] : -1;
    if (number < 0) fail(c, "no such buffer here:", e->buf->name);
    struct code code = {.op = CODE_LOAD, .buf = number, .dt = e->dt, .imm = e->imm, .masked = e->masked, .b = -1, .c = -1};
    code.a = value_of(c, e->arg[0]);
    if (e->arg[1]) code.b = value_of(c, e->arg[1]);
    if (e->arg[2]) code.c = value_of(c, e->arg[2]);
    if (e->lanes == 1 && e->dt == DT_f32 && !e->arg[1]) code.op = CODE_LOAD_F32;
    return code;
}

static enum code_op fast_f32(enum expr_op op)
{
    switch (op) {
    case EX_add: return CODE_ADD_F32;
    case EX_sub: return CODE_SUB_F32;
    case EX_mul: return CODE_MUL_F32;
    case EX_div: return CODE_DIV_F32;
    case EX_min: return CODE_MIN_F32;
    case EX_max: return CODE_MAX_F32;
    case EX_fma: return CODE_FMA_F32;
    default: return CODE_END; /* has no short way */
    }
}

static enum code_op code_of(ex e)
{
    enum code_op fast = e->dt == DT_f32 ? fast_f32(e->op) : CODE_END;
    if (fast != CODE_END) return fast;
    switch (e->op) {
    case EX_select: return CODE_SELECT;
    case EX_fma: case EX_dot4: case EX_dot4_sat: case EX_dot2: case EX_pack: return CODE_FMA;
    case EX_cast: return CODE_CAST;
    case EX_bits: return CODE_BITS;
    case EX_splat: return CODE_SPLAT;
    case EX_ramp: return CODE_RAMP;
    case EX_hadd: case EX_hmul: case EX_hmin: case EX_hmax: return CODE_REDUCE;
    default: return expr_row(e->op)->args == 1 ? CODE_UNARY : CODE_BINARY; /* the rest is lane by lane */
    }
}

static int operation(struct compiler *c, ex e, int level)
{
    struct code code = {.op = CODE_END};
    if (e->op == EX_load) code = load_code(c, e);
    else {
        code.op = code_of(e);
        code.imm = e->imm;
        int *const operand[3] = {&code.a, &code.b, &code.c};
        for (int i = 0; i < 3; i++)
            if (e->arg[i]) *operand[i] = value_of(c, e->arg[i]);
    }
    code.e = e;
    code.lanes = e->lanes;
    code.dst = slots_new(c, e->lanes);
    emit(c, level, code);
    return code.dst;
}

/* The slot that holds e, after code that computes it. */
static int value_of(struct compiler *c, ex e)
{
    if (c->failed) return 0;
    if (e->op == EX_var) {
        int id = e->var->id;
        return id < c->machine->prog->next_var && c->var_slot[id] >= 0 ? c->var_slot[id] : fail(c, "no such variable here:", e->var->name);
    }
    int level = level_of(c, e);
    bool is_const = e->op == EX_const || e->op == EX_dim;
    struct expr_map *map = is_const ? &c->const_slots : level < c->levels.n ? &c->levels.at[level]->known : &c->here;
    int *known = expr_map_find(map, e), slot;
    if (known) return *known;
    if (e->op == EX_dim) slot = const_slot(c, (union lane){.i = dim_value(c, e)});
    else if (is_const) slot = const_slot(c, lane_const(e));
    else if (e->dt == DT_index && e->lanes == 1 && (e->op == EX_add || e->op == EX_mul) &&
             (e->op == EX_add || e->arg[1]->op == EX_const || e->arg[1]->op == EX_dim))
        slot = index_sum(c, e);
    else slot = operation(c, e, level);
    expr_map_add(map, e, slot);
    return slot;
}

static const struct code *compile_block(struct compiler *c, const struct stmt *list);

static void compile_for(struct compiler *c, const struct stmt *stmt)
{
    struct code code = {.op = CODE_FOR, .imm = stmt->step, .a = value_of(c, stmt->a), .b = value_of(c, stmt->b)};
    bool outer = c->in_lanes;
    if (c->frame->kernel && stmt_has_barrier(stmt->body) && (outer || stmt->loop >= LOOP_LANE0)) {
        code.op = outer ? CODE_PHASES : CODE_LANES;
        c->in_lanes = true;
    }
    code.dst = slots_new(c, 1);
    c->var_slot[stmt->var->id] = code.dst;
    c->var_level[stmt->var->id] = c->levels.n;
    struct level *level = level_push(c);
    expr_map_clear(&c->rank);
    const struct code *inner = compile_block(c, stmt->body);
    for (; inner->op != CODE_END; inner++) LIST_PUSH(c->machine->arena, &level->before, *inner);
    code.body = list_end(c, &level->before);
    c->in_lanes = outer;
    c->levels.n--;
    expr_map_clear(&c->rank);
    emit(c, LEVEL_HERE, code);
}

/* Binds stmt->var's slot to the value: a computed one is computed right there. */
static void compile_assign(struct compiler *c, const struct stmt *stmt)
{
    int value = value_of(c, stmt->a), lanes = stmt->var->lanes, id = stmt->var->id;
    if (stmt->kind == STMT_LET) { /* a pass may have copied the statement: the variable may have been another before */
        bool is_alias = !stmt->mutable && stmt->a->op != EX_var;
        expr_map_clear(&c->rank);
        c->var_slot[id] = is_alias ? value : slots_new(c, lanes);
        c->var_level[id] = stmt->mutable ? LEVEL_HERE : c->levels.n;
        if (is_alias) return;
    }
    if (c->failed) return;
    struct code *last = c->list->n ? &c->list->at[c->list->n - 1] : NULL;
    bool fresh = last && last->op > CODE_STORE && stmt->a->op != EX_var && last->dst == value;
    if (last && (last->op == CODE_LOAD || last->op == CODE_LOAD_F32)) fresh = stmt->a->op != EX_var && last->dst == value;
    if (fresh) last->dst = c->var_slot[id];
    else emit(c, LEVEL_HERE, (struct code){.op = CODE_MOVE, .lanes = lanes, .dst = c->var_slot[id], .a = value});
}

static void compile_store(struct compiler *c, const struct stmt *stmt)
{
    int number = stmt->buf->id < c->machine->prog->next_buffer ? c->buffer_number[stmt->buf->id] : -1;
    if (number < 0) fail(c, "no such buffer here:", stmt->buf->name);
    struct code code = {.op = CODE_STORE, .buf = number, .lanes = stmt->b->lanes, .imm = stmt->step, .masked = true, .b = -1};
    code.dt = stmt->b->dt;
    code.a = value_of(c, stmt->a);
    code.c = value_of(c, stmt->b);
    if (stmt->c) code.b = value_of(c, stmt->c);
    if (code.lanes == 1 && code.dt == DT_f32 && !stmt->c) code.op = CODE_STORE_F32;
    emit(c, LEVEL_HERE, code);
}

static void compile_call(struct compiler *c, const struct stmt *stmt)
{
    struct machine *machine = c->machine;
    struct code code = {.op = stmt->kernel ? CODE_CALL : CODE_EXTERN, .stmt = stmt};
    int *buffers = NEW_ARRAY(machine->arena, int, stmt->n_args + 1), *offsets = NEW_ARRAY(machine->arena, int, stmt->n_args + 1);
    int *scalars = NEW_ARRAY(machine->arena, int, stmt->n_scalars + 1);
    for (int i = 0; i < stmt->n_args; i++) {
        const struct call_arg *arg = &stmt->args[i];
        buffers[i] = arg->buf->id < machine->prog->next_buffer ? c->buffer_number[arg->buf->id] : -1;
        if (buffers[i] < 0) fail(c, "no such buffer here:", arg->buf->name);
        offsets[i] = arg->offset ? value_of(c, arg->offset) : -1;
    }
    for (int i = 0; i < stmt->n_scalars; i++) scalars[i] = value_of(c, stmt->scalars[i]);
    code.buffers = buffers;
    code.offsets = offsets;
    code.scalars = scalars;
    int number = 0;
    while (stmt->kernel && number < machine->prog->kernels.n && machine->prog->kernels.at[number] != stmt->kernel) number++;
    if (stmt->kernel && !c->failed) {
        if (number == machine->prog->kernels.n) fail(c, "calls a kernel that is not the program's:", stmt->kernel->name);
        else if (!machine->frames[number]) machine->frames[number] = frame_new(machine, stmt->kernel);
        code.callee = c->failed ? NULL : machine->frames[number];
        if (!code.callee) c->failed = true;
        else if (code.callee->compiling) fail(c, "calls itself through", stmt->kernel->name);
    }
    emit(c, LEVEL_HERE, code);
}

static void compile_stmt(struct compiler *c, const struct stmt *stmt)
{
    struct code code = {.stmt = stmt};
    expr_map_clear(&c->here);
    switch (stmt->kind) {
    case STMT_FOR: compile_for(c, stmt); break;
    case STMT_STORE: compile_store(c, stmt); break;
    case STMT_LET: case STMT_SET: compile_assign(c, stmt); break;
    case STMT_IF:
        code.op = CODE_IF;
        code.a = value_of(c, stmt->a);
        code.body = compile_block(c, stmt->body);
        code.other = compile_block(c, stmt->other);
        emit(c, LEVEL_HERE, code);
        break;
    case STMT_WHILE: {
        code.op = CODE_WHILE;
        code.body = compile_block(c, stmt->body);
        code_list *outer = c->list, condition = {.at = NULL};
        c->list = &condition;
        expr_map_clear(&c->here);
        code.a = value_of(c, stmt->a);
        c->list = outer;
        code.other = list_end(c, &condition);
        emit(c, LEVEL_HERE, code);
        break;
    }
    case STMT_CALL: compile_call(c, stmt); break;
    case STMT_FAIL:
        code.op = CODE_FAIL;
        code.a = value_of(c, stmt->a);
        code.imm = stmt->code;
        emit(c, LEVEL_HERE, code);
        break;
    case STMT_PREFETCH: break;
    case STMT_BARRIER:
        if (!c->frame->kernel) break; /* one thread */
        if (!c->in_lanes) fail(c, "a barrier outside of a lane loop in", c->frame->kernel->name);
        emit(c, LEVEL_HERE, (struct code){.op = CODE_BARRIER});
        break;
    }
}

static const struct code *compile_block(struct compiler *c, const struct stmt *list)
{
    code_list *outer = c->list, *own = NEW(c->machine->arena, code_list);
    c->list = own;
    for (; list && !c->failed; list = list->next) compile_stmt(c, list);
    c->list = outer;
    return list_end(c, own);
}

static void add_buffer(struct compiler *c, const struct buffer *buf)
{
    struct frame *frame = c->frame;
    if (c->buffer_number[buf->id] >= 0) return;
    c->buffer_number[buf->id] = frame->n_buffers;
    struct frame_buffer *at = &frame->buffers[frame->n_buffers++];
    *at = (struct frame_buffer){.dt = buf->dt, .name = buf->name, .space = buf->space};
    if (!buffer_is_array(buf)) return;
    int64_t n_bytes;
    if (!size_mul(buf->elements, dtype_bytes(buf->dt), &n_bytes) || n_bytes > ((int64_t)1 << 30)) {
        fail(c, "too large a local array:", buf->name);
        return;
    }
    at->data = arena_alloc(c->machine->arena, (size_t)n_bytes);
    memset(at->data, 0xff, (size_t)n_bytes); /* what nobody wrote is conspicuous: NaN, -1 */
    at->elements = buf->elements;
}

static void add_locals_of(struct compiler *c, ex e)
{
    if (!e || expr_map_find(&c->here, e)) return;
    expr_map_add(&c->here, e, 0);
    if (e->op == EX_load && buffer_is_array(e->buf)) add_buffer(c, e->buf);
    for (int i = 0; i < 3; i++) add_locals_of(c, e->arg[i]);
}

static void add_locals(struct compiler *c, const struct stmt *stmt)
{
    for (; stmt; stmt = stmt->next) {
        add_locals_of(c, stmt->a);
        add_locals_of(c, stmt->b);
        add_locals_of(c, stmt->c);
        if (stmt->kind == STMT_STORE && buffer_is_array(stmt->buf)) add_buffer(c, stmt->buf);
        for (int i = 0; i < stmt->n_args; i++)
            if (buffer_is_array(stmt->args[i].buf)) add_buffer(c, stmt->args[i].buf);
        for (int i = 0; i < stmt->n_args; i++) add_locals_of(c, stmt->args[i].offset);
        for (int i = 0; i < stmt->n_scalars; i++) add_locals_of(c, stmt->scalars[i]);
        add_locals(c, stmt->body);
        add_locals(c, stmt->other);
    }
}

static void add_params(struct compiler *c, const struct kernel *kernel)
{
    struct frame *frame = c->frame;
    for (int i = 0; i < kernel->params.n; i++) add_buffer(c, kernel->params.at[i]);
    frame->scalar_slots = NEW_ARRAY(c->machine->arena, int, kernel->scalars.n + 1);
    for (int i = 0; i < kernel->scalars.n; i++) {
        const struct var *var = kernel->scalars.at[i];
        frame->scalar_slots[i] = c->var_slot[var->id] = slots_new(c, var->lanes);
        c->var_level[var->id] = 0;
    }
}

struct frame *frame_new(struct machine *machine, const struct kernel *kernel)
{
    const struct prog *prog = machine->prog;
    struct arena *arena = machine->arena;
    struct frame *frame = NEW(arena, struct frame);
    struct compiler c = {.machine = machine, .frame = frame, .here = {.arena = arena}, .rank = {.arena = arena}, .const_slots = {.arena = arena}};
    frame->kernel = kernel;
    frame->compiling = true;
    for (int i = 0; kernel && i < prog->kernels.n; i++)
        if (prog->kernels.at[i] == kernel) machine->frames[i] = frame;
    c.var_slot = NEW_ARRAY(arena, int, prog->next_var + 1);
    c.var_level = NEW_ARRAY(arena, int, prog->next_var + 1);
    c.buffer_number = NEW_ARRAY(arena, int, prog->next_buffer + 1);
    memset(c.var_slot, 0xff, (size_t)(prog->next_var + 1) * sizeof *c.var_slot); /* -1 */
    memset(c.buffer_number, 0xff, (size_t)(prog->next_buffer + 1) * sizeof *c.buffer_number);
    frame->buffers = NEW_ARRAY(arena, struct frame_buffer, prog->next_buffer + 1);
    struct level *level = level_push(&c);
    if (kernel) add_params(&c, kernel);
    for (int i = 0; !kernel && i < prog->buffers.n; i++) add_buffer(&c, prog->buffers.at[i]);
    if (!kernel && prog->threads) { /* one worker does all */
        c.var_slot[prog->worker->id] = const_slot(&c, (union lane){.i = 0});
        c.var_slot[prog->workers->id] = const_slot(&c, (union lane){.i = 1});
    }
    const struct stmt *body = kernel ? kernel->body : prog->main;
    add_locals(&c, body);
    const struct code *code = compile_block(&c, body);
    for (; code->op != CODE_END; code++) LIST_PUSH(arena, &level->before, *code);
    frame->code = list_end(&c, &level->before);
    frame->slots = c.slots.at;
    frame->n_slots = c.slots.n;
    frame->compiling = false;
    return c.failed ? NULL : frame;
}
