/* The interpreter: the meaning of a program.
 *
 * Kernels are compiled to blocks of instructions over a frame of lanes (prog_code.c) and run by one switch. What
 * an expression kind does is in lane.c; here are memory, control and lanes. Every access is checked against its
 * buffer. Parallel loops run in order; what nobody wrote reads as bytes of 0xff (NaN, -1).
 */
#include "extern.h"
#include "prog_code.h"

#include <math.h>
#include <string.h>

#define ROUNDS_MOST ((int64_t)1000000000) /* of all while loops together */

static const char *frame_name(const struct frame *frame)
{
    return frame->kernel ? frame->kernel->name : "main";
}

static struct place frame_place(const struct frame *frame)
{
    return frame->kernel ? frame->kernel->place : (struct place){.path = NULL};
}

static bool outside(struct machine *machine, const struct frame *frame, const struct code *code, int64_t index)
{
    const struct frame_buffer *buf = &frame->buffers[code->buf];
    bool is_load = code->op == CODE_LOAD || code->op == CODE_LOAD_F32;
    return diag_error(machine->diag, frame_place(frame), "%s: %s %s[%lld], which has %lld elements", frame_name(frame),
                      is_load ? "loads" : "stores to", buf->name, (long long)index, (long long)buf->elements);
}

static bool run_load(struct machine *machine, struct frame *frame, const struct code *code)
{
    union lane *slots = frame->slots, *dst = slots + code->dst;
    const struct frame_buffer *buf = &frame->buffers[code->buf];
    int64_t index = slots[code->a].i, size = dtype_bytes(code->dt), active = code->lanes;
    if (code->b >= 0 && code->masked) active = slots[code->b].i < code->lanes ? slots[code->b].i : code->lanes;
    else if (code->b >= 0 && !slots[code->b].i) active = 0;
    for (int64_t i = 0; i < code->lanes; i++) {
        int64_t at = (int64_t)((uint64_t)index + (uint64_t)i * (uint64_t)code->imm);
        if (i >= active) {
            dst[i] = code->c >= 0 ? slots[code->c + i] : (union lane){.i = 0};
            continue;
        }
        if (at < 0 || at >= buf->elements) return outside(machine, frame, code, at);
        dst[i] = lane_load(code->dt, buf->data + at * size);
    }
    return true;
}

static bool run_store(struct machine *machine, struct frame *frame, const struct code *code)
{
    const union lane *slots = frame->slots;
    const struct frame_buffer *buf = &frame->buffers[code->buf];
    int64_t index = slots[code->a].i, size = dtype_bytes(code->dt), active = code->lanes;
    if (code->b >= 0 && slots[code->b].i < active) active = slots[code->b].i;
    for (int64_t i = 0; i < active; i++) {
        int64_t at = (int64_t)((uint64_t)index + (uint64_t)i * (uint64_t)code->imm);
        if (at < 0 || at >= buf->elements) return outside(machine, frame, code, at);
        lane_store(code->dt, buf->data + at * size, slots[code->c + i]);
    }
    return true;
}

/* Where argument i of a call lies; NULL after an error. What is left behind the offset becomes *left. */
static unsigned char *argument(struct machine *machine, const struct frame *frame, const struct code *code, int i, int64_t *left)
{
    const struct frame_buffer *buf = &frame->buffers[code->buffers[i]];
    int64_t offset = code->offsets[i] >= 0 ? frame->slots[code->offsets[i]].i : 0;
    if (offset < 0 || offset > buf->elements) {
        diag_error(machine->diag, frame_place(frame), "%s: a call passes %s + %lld, which has %lld elements",
                   frame_name(frame), buf->name, (long long)offset, (long long)buf->elements);
        return NULL;
    }
    *left = buf->elements - offset;
    return buf->data + offset * dtype_bytes(buf->dt);
}

static bool run_call(struct machine *machine, struct frame *frame, const struct code *code)
{
    const struct stmt *stmt = code->stmt;
    struct frame *callee = code->callee;
    for (int i = 0; i < stmt->n_args; i++) {
        struct frame_buffer *to = &callee->buffers[i];
        unsigned char *data = argument(machine, frame, code, i, &to->elements);
        if (!data) return false;
        to->data = data;
        int64_t formal = dim_eval(machine->prog->dims, stmt->kernel->params.at[i]->elements, machine->symbols);
        if (formal < to->elements) to->elements = formal;
    }
    for (int i = 0; i < stmt->n_scalars; i++) {
        int lanes = stmt->scalars[i]->lanes;
        memcpy(&callee->slots[callee->scalar_slots[i]], &frame->slots[code->scalars[i]], (size_t)lanes * sizeof *frame->slots);
    }
    return frame_run(machine, callee);
}

static bool run_extern(struct machine *machine, struct frame *frame, const struct code *code)
{
    enum { MOST = 16 };
    const struct stmt *stmt = code->stmt;
    const struct extern_row *row = extern_find(stmt->extern_name);
    void *buffers[MOST];
    int64_t scalars[MOST], left;
    if (!row || row->n_buffers != stmt->n_args || row->n_scalars != stmt->n_scalars || stmt->n_args > MOST || stmt->n_scalars > MOST)
        return diag_error(machine->diag, frame_place(frame), "%s: no function %s of %d buffers and %d scalars",
                          frame_name(frame), stmt->extern_name, stmt->n_args, stmt->n_scalars);
    for (int i = 0; i < stmt->n_scalars; i++) scalars[i] = frame->slots[code->scalars[i]].i;
    for (int i = 0; i < stmt->n_args; i++) {
        buffers[i] = argument(machine, frame, code, i, &left);
        if (!buffers[i]) return false;
        int64_t extent = row->extent_bytes(i, scalars);
        if (extent < 0 || extent > left * dtype_bytes(frame->buffers[code->buffers[i]].dt))
            return diag_error(machine->diag, frame_place(frame), "%s: %s would leave its buffer %d", frame_name(frame), row->name, i);
    }
    int status = row->function(buffers, scalars);
    return status == 0 || diag_error(machine->diag, frame_place(frame), "%s: %s fails with status %d", frame_name(frame), row->name, status);
}

/* In the fixed tree order: lane i with lane i + n/2, until one is left. */
static union lane reduce(ex e, const union lane *a)
{
    static const enum expr_op step[] = {EX_add, EX_mul, EX_min, EX_max};
    enum { MOST = 256 };
    union lane v[MOST];
    int n = e->arg[0]->lanes;
    memcpy(v, a, (size_t)n * sizeof *a);
    for (n /= 2; n > 0; n /= 2)
        for (int i = 0; i < n; i++) v[i] = lane_binary(step[e->op - EX_hadd], e->dt, v[i], v[i + n]);
    return v[0];
}

static void run_value(const struct code *code, union lane *slots)
{
    const ex e = code->e;
    union lane *dst = slots + code->dst;
    const union lane *a = slots + code->a, *b = slots + code->b, *c = slots + code->c;
    enum dtype dt = e->arg[0]->dt;
    switch (e->op) {
    case EX_select:
        for (int i = 0; i < code->lanes; i++) dst[i] = a[i].i ? b[i] : c[i];
        break;
    case EX_fma:
        for (int i = 0; i < code->lanes; i++) dst[i] = lane_fma(dt, a[i], b[i], c[i]);
        break;
    case EX_cast:
        for (int i = 0; i < code->lanes; i++) dst[i] = lane_cast(dt, e->dt, a[i]);
        break;
    case EX_dot4: case EX_dot4_sat: case EX_dot2:
        for (int i = 0; i < code->lanes; i++) dst[i] = lane_dot(e->op, a[i], b[i], c[i]);
        break;
    case EX_pack:
        for (int i = 0, n = code->lanes / 2; i < code->lanes; i++) dst[i] = lane_pack(i < n ? a[i] : b[i - n], c[0]);
        break;
    case EX_bits:
        if (e->arg[0]->lanes != e->lanes) dst[0] = lane_join(dt, e->arg[0]->lanes, a, e->dt);
        else for (int i = 0; i < code->lanes; i++) dst[i] = lane_bits(dt, e->dt, a[i]);
        break;
    case EX_splat: {
        union lane v = a[0];
        for (int i = 0; i < code->lanes; i++) dst[i] = v;
        break;
    }
    case EX_ramp: {
        int64_t from = a[0].i;
        for (int i = 0; i < code->lanes; i++)
            dst[i].i = lane_wrap(dt, (int64_t)((uint64_t)from + (uint64_t)i * (uint64_t)e->imm));
        break;
    }
    case EX_hadd: case EX_hmul: case EX_hmin: case EX_hmax: dst[0] = reduce(e, a); break;
    default: /* the elementwise kinds */
        if (code->op == CODE_UNARY)
            for (int i = 0; i < code->lanes; i++) dst[i] = lane_unary(e->op, dt, a[i]);
        else
            for (int i = 0; i < code->lanes; i++) dst[i] = lane_binary(e->op, dt, a[i], b[i]);
    }
}

static inline float least(float a, float b)
{
    return isnan(a) ? a : isnan(b) ? b : a < b ? a : b;
}

static inline float most(float a, float b)
{
    return isnan(a) ? a : isnan(b) ? b : a > b ? a : b;
}

/* The hot loop. LANES: dst[i] = value for all lanes. */
#define LANES(value)                                                                                                   \
    {                                                                                                                  \
        union lane *d = slots + code->dst;                                                                             \
        const union lane *a = slots + code->a, *b = slots + code->b, *c = slots + code->c;                             \
        (void)c;                                                                                                       \
        for (int i = 0; i < code->lanes; i++) d[i].f = (value);                                                        \
        break;                                                                                                         \
    }

static bool run_lanes(struct machine *machine, struct frame *frame, const struct code *code);

static bool run(struct machine *machine, struct frame *frame, const struct code *code)
{
    union lane *slots = frame->slots;
    for (;; code++) switch (code->op) {
    case CODE_END: case CODE_BARRIER: case CODE_PHASES: return true; /* the end of a phase: run_phases */
    case CODE_FOR: {
        int64_t end = slots[code->b].i;
        for (int64_t i = slots[code->a].i; i < end; i += code->imm) {
            slots[code->dst].i = i;
            if (!run(machine, frame, code->body)) return false;
        }
        break;
    }
    case CODE_LANES:
        if (!run_lanes(machine, frame, code)) return false;
        break;
    case CODE_IF:
        if (!run(machine, frame, slots[code->a].i ? code->body : code->other)) return false;
        break;
    case CODE_WHILE:
        do {
            if (++machine->rounds > ROUNDS_MOST)
                return diag_error(machine->diag, frame_place(frame), "%s: while loops run over %lld rounds",
                                  frame_name(frame), (long long)ROUNDS_MOST);
            if (!run(machine, frame, code->body) || !run(machine, frame, code->other)) return false;
        } while (slots[code->a].i);
        break;
    case CODE_CALL:
        if (!run_call(machine, frame, code)) return false;
        break;
    case CODE_EXTERN:
        if (!run_extern(machine, frame, code)) return false;
        break;
    case CODE_FAIL:
        if (!slots[code->a].i) break;
        return diag_error(machine->diag, frame_place(frame), "%s: stops with status %lld", frame_name(frame), (long long)code->imm);
    case CODE_LOAD_F32: {
        const struct frame_buffer *buf = &frame->buffers[code->buf];
        int64_t at = slots[code->a].i;
        if (at < 0 || at >= buf->elements) return outside(machine, frame, code, at);
        memcpy(&slots[code->dst].f, buf->data + 4 * at, 4);
        break;
    }
    case CODE_LOAD:
        if (!run_load(machine, frame, code)) return false;
        break;
    case CODE_STORE_F32: {
        const struct frame_buffer *buf = &frame->buffers[code->buf];
        int64_t at = slots[code->a].i;
        if (at < 0 || at >= buf->elements) return outside(machine, frame, code, at);
        memcpy(buf->data + 4 * at, &slots[code->c].f, 4);
        break;
    }
    case CODE_STORE:
        if (!run_store(machine, frame, code)) return false;
        break;
    case CODE_MOVE: memmove(slots + code->dst, slots + code->a, (size_t)code->lanes * sizeof *slots); break;
    case CODE_INDEX:
        slots[code->dst].i = (int64_t)((uint64_t)slots[code->b].i + (uint64_t)slots[code->a].i * (uint64_t)code->imm);
        break;
    case CODE_ADD_F32: LANES(a[i].f + b[i].f)
    case CODE_SUB_F32: LANES(a[i].f - b[i].f)
    case CODE_MUL_F32: LANES(a[i].f * b[i].f)
    case CODE_DIV_F32: LANES(a[i].f / b[i].f)
    case CODE_MIN_F32: LANES(least(a[i].f, b[i].f))
    case CODE_MAX_F32: LANES(most(a[i].f, b[i].f))
    case CODE_FMA_F32: LANES(fmaf(a[i].f, b[i].f, c[i].f))
    case CODE_UNARY: case CODE_BINARY: case CODE_FMA: case CODE_SELECT: case CODE_CAST: case CODE_BITS: case CODE_SPLAT:
    case CODE_RAMP: case CODE_REDUCE: run_value(code, slots); break;
    }
}

/* Memory of the lanes: their slots, and local arrays of their own. */
static void make_lanes(struct machine *machine, struct frame *frame, int n)
{
    if (n <= frame->n_lanes) return;
    frame->lanes = NEW_ARRAY(machine->arena, struct frame, n);
    frame->n_lanes = n;
    for (int i = 0; i < n; i++) {
        struct frame *lane = &frame->lanes[i];
        *lane = *frame;
        lane->slots = NEW_ARRAY(machine->arena, union lane, frame->n_slots + 1);
        lane->buffers = NEW_ARRAY(machine->arena, struct frame_buffer, frame->n_buffers + 1);
        for (int b = 0; b < frame->n_buffers; b++) {
            size_t n_bytes = (size_t)(frame->buffers[b].elements * dtype_bytes(frame->buffers[b].dt));
            if (frame->buffers[b].space != SPACE_LOCAL) continue;
            lane->buffers[b].data = arena_alloc(machine->arena, n_bytes);
            memset(lane->buffers[b].data, 0xff, n_bytes);
        }
    }
}

/* The block by all lanes, one phase after the other. */
static bool run_phases(struct machine *machine, struct frame *frame, const struct code *code, int n)
{
    for (;; code++) {
        for (int i = 0; i < n; i++)
            if (!run(machine, &frame->lanes[i], code)) return false;
        while (code->op != CODE_END && code->op != CODE_BARRIER && code->op != CODE_PHASES) code++;
        if (code->op == CODE_END) return true;
        if (code->op == CODE_BARRIER) continue;
        int64_t from = frame->lanes[0].slots[code->a].i, end = frame->lanes[0].slots[code->b].i;
        for (int i = 1; i < n; i++)
            if (frame->lanes[i].slots[code->a].i != from || frame->lanes[i].slots[code->b].i != end)
                return diag_error(machine->diag, frame_place(frame), "%s: lanes do not agree about a loop with barriers", frame_name(frame));
        for (int64_t at = from; at < end; at += code->imm) {
            for (int i = 0; i < n; i++) frame->lanes[i].slots[code->dst].i = at;
            if (!run_phases(machine, frame, code->body, n)) return false;
        }
    }
}

static bool run_lanes(struct machine *machine, struct frame *frame, const struct code *code)
{
    enum { MOST = 4096 };
    int64_t from = frame->slots[code->a].i, trips = (frame->slots[code->b].i - from + code->imm - 1) / code->imm;
    if (trips <= 0) return true;
    if (trips > MOST)
        return diag_error(machine->diag, frame_place(frame), "%s: a group of %lld lanes", frame_name(frame), (long long)trips);
    make_lanes(machine, frame, (int)trips);
    for (int b = 0; b < frame->n_buffers; b++) {
        const struct frame_buffer *buf = &frame->buffers[b];
        if (buf->space == SPACE_GROUP) memset(buf->data, 0xff, (size_t)(buf->elements * dtype_bytes(buf->dt)));
    }
    for (int i = 0; i < trips; i++) {
        struct frame *lane = &frame->lanes[i];
        memcpy(lane->slots, frame->slots, (size_t)frame->n_slots * sizeof *lane->slots);
        for (int b = 0; b < frame->n_buffers; b++) {
            unsigned char *own = lane->buffers[b].data;
            lane->buffers[b] = frame->buffers[b];
            if (frame->buffers[b].space == SPACE_LOCAL) lane->buffers[b].data = own;
        }
        lane->slots[code->dst].i = from + i * code->imm;
    }
    return run_phases(machine, frame, code->body, (int)trips);
}

bool frame_run(struct machine *machine, struct frame *frame)
{
    return run(machine, frame, frame->code);
}

static struct machine *machine_new(const struct prog *prog, const int64_t *symbols, struct diag *diag)
{
    struct arena *arena = arena_new();
    struct machine *machine = NEW(arena, struct machine);
    *machine = (struct machine){.prog = prog, .arena = arena, .symbols = symbols, .diag = diag};
    machine->frames = NEW_ARRAY(arena, struct frame *, prog->kernels.n + 1);
    return machine;
}

bool kernel_eval(const struct prog *prog, const struct kernel *kernel, void *const *param_data, const int64_t *param_elements,
                 const int64_t *scalars, const int64_t *symbols, struct diag *diag)
{
    struct machine *machine = machine_new(prog, symbols, diag);
    struct frame *frame = frame_new(machine, kernel);
    for (int i = 0; frame && i < kernel->params.n; i++) {
        frame->buffers[i].data = param_data[i];
        frame->buffers[i].elements = param_elements[i];
    }
    for (int i = 0; frame && i < kernel->scalars.n; i++)
        frame->slots[frame->scalar_slots[i]] = lane_load(kernel->scalars.at[i]->dt, &scalars[i]);
    bool done = frame && frame_run(machine, frame);
    arena_free(machine->arena);
    return done;
}

/* An output's tensor, zero bytes of it written. */
static bool output_new(const struct machine *machine, const struct buffer *buf, int64_t elements, struct arena *arena, struct tensor *out)
{
    *out = (struct tensor){.type = buf->type};
    out->type.dt = buf->dt;
    for (int i = 0; i < buf->type.rank; i++)
        out->type.dim[i] = dim_eval(machine->prog->dims, buf->type.dim[i], machine->symbols);
    if (buf->type.rank == 0 && elements != 1) out->type.rank = 1, out->type.dim[0] = elements;
    if (type_count(&out->type) != elements || !size_mul(elements, dtype_bytes(buf->dt), &out->n_bytes))
        return diag_error(machine->diag, buf->place, "output %s: %lld elements do not fit its type", buf->name, (long long)elements);
    out->data = arena_alloc(arena, (size_t)out->n_bytes);
    return true;
}

/* Gives main's buffer its memory. `base`: the planned arena. */
static bool buffer_bind(struct machine *machine, const struct buffer *buf, struct frame_buffer *at, unsigned char *base,
                        const struct tensor *in, struct arena *arena, struct tensor *out)
{
    int64_t elements = dim_eval(machine->prog->dims, buf->elements, machine->symbols), n_bytes, arena_bytes;
    const struct tensor *given = buf->space == SPACE_INPUT ? &in[buf->position] : buf->tensor;
    if (!size_mul(elements, dtype_bytes(buf->dt), &n_bytes) || elements > ELEMENTS_MOST)
        return diag_error(machine->diag, buf->place, "%s: %lld elements", buf->name, (long long)elements);
    at->elements = elements;
    if (buf->space == SPACE_OUTPUT) {
        if (!output_new(machine, buf, elements, arena, &out[buf->position])) return false;
        at->data = (unsigned char *)(uintptr_t)out[buf->position].data;
    } else if (buf->space == SPACE_ARENA && base) {
        int64_t offset = dim_eval(machine->prog->dims, buf->offset_bytes, machine->symbols);
        arena_bytes = dim_eval(machine->prog->dims, machine->prog->arena_bytes, machine->symbols);
        if (offset < 0 || offset > arena_bytes || n_bytes > arena_bytes - offset)
            return diag_error(machine->diag, buf->place, "%s: bytes %lld to %lld of an arena of %lld", buf->name,
                              (long long)offset, (long long)offset + n_bytes, (long long)arena_bytes);
        at->data = base + offset;
    } else if (buf->space == SPACE_ARENA) {
        at->data = arena_alloc(machine->arena, (size_t)n_bytes);
        memset(at->data, 0xff, (size_t)n_bytes);
    } else {
        if (!given || given->n_bytes < n_bytes || given->type.dt != buf->dt)
            return diag_error(machine->diag, buf->place, "%s: wants %lld bytes of %s, is given %lld", buf->name, (long long)n_bytes,
                              dtype_name(buf->dt), given ? (long long)given->n_bytes : 0);
        at->data = (unsigned char *)(uintptr_t)given->data; /* only read: the verifier sees to it */
    }
    return true;
}

bool prog_eval(const struct prog *prog, const struct tensor *in, const int64_t *symbols, struct arena *arena,
               struct tensor *out, struct diag *diag)
{
    struct machine *machine = machine_new(prog, symbols, diag);
    struct frame *frame = frame_new(machine, NULL);
    unsigned char *base = NULL;
    bool fine = frame != NULL;
    if (fine && prog->arena_bytes != -1) {
        int64_t n_bytes = dim_eval(prog->dims, prog->arena_bytes, symbols);
        fine = n_bytes >= 0 && n_bytes <= ELEMENTS_MOST;
        if (!fine) diag_error(diag, (struct place){.path = NULL}, "an arena of %lld bytes", (long long)n_bytes);
        else base = arena_alloc(machine->arena, (size_t)n_bytes), memset(base, 0xff, (size_t)n_bytes);
    }
    for (int i = 0; fine && i < prog->buffers.n; i++)
        fine = buffer_bind(machine, prog->buffers.at[i], &frame->buffers[i], base, in, arena, out);
    fine = fine && frame_run(machine, frame);
    arena_free(machine->arena);
    return fine;
}
