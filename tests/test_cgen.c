/* Printed C against the interpreter: every expression kind x element type x lanes on edge values, then statements.
 *
 * All kernels of a target go into one program, compiled once to a shared library; results must be the
 * interpreter's to the bit (any NaN equals any NaN, the zeros are equal, pow within 4 ulp of double). The C text
 * must also compile without a warning.
 */
#define _POSIX_C_SOURCE 200809L
#include "../codegen/codegen.h"

#include <dlfcn.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { N = 64, LANES = 16 };
static const enum dtype types[] = {DT_f64, DT_f32, DT_i8,  DT_i16, DT_i32, DT_i64,
                                   DT_u8,  DT_u16, DT_u32, DT_u64, DT_bool};
enum { N_TYPES = sizeof types / sizeof *types };

struct suite {
    struct arena *arena;
    struct prog *prog;
    struct buffer *in[DT_COUNT][3], *out[DT_COUNT];
    dim used[DT_COUNT];                 /* elements of out taken */
    LIST(const char *) label[DT_COUNT]; /* of each N elements of out */
    bool vectors;
};

static ex at(struct suite *s, int64_t i)
{
    return ex_int(s->prog, DT_index, i);
}

/* A kernel over whole inputs a, b, c: built by the caller up to its value; store and call are added here. */
struct piece {
    struct kernel *kernel;
    struct buffer *a, *b, *c, *y;
    enum dtype from, to;
    struct var *i;
    int lanes;
};

static struct piece piece_start(struct suite *s, const char *name, enum dtype from, enum dtype to, int lanes)
{
    struct piece p = {.kernel = prog_kernel(s->prog, name), .from = from, .to = to, .lanes = lanes};
    p.a = kernel_param(s->prog, p.kernel, "a", from, N);
    p.b = kernel_param(s->prog, p.kernel, "b", from, N);
    p.c = kernel_param(s->prog, p.kernel, "c", DT_bool, N);
    p.y = kernel_param(s->prog, p.kernel, "y", to, N);
    p.y->written = true;
    p.i = prog_index(s->prog, "i", 0, N - 1);
    return p;
}

static ex piece_load(struct suite *s, struct piece *p, struct buffer *buf)
{
    return ex_load(s->prog, buf, buf->dt, ex_var(s->prog, p->i), p->lanes, 1);
}

static void piece_call(struct suite *s, struct piece *p)
{
    struct stmt *call = stmt_new(s->prog, STMT_CALL);
    call->kernel = p->kernel;
    call->n_args = 4;
    call->args = NEW_ARRAY(s->arena, struct call_arg, 4);
    call->args[0].buf = s->in[p->from][0];
    call->args[1].buf = s->in[p->from][1];
    call->args[2].buf = s->in[DT_bool][2];
    call->args[3].buf = s->out[p->to];
    call->args[3].offset = at(s, s->used[p->to]);
    s->used[p->to] += N;
    LIST_PUSH(s->arena, &s->label[p->to], p->kernel->name);
    stmt_append(&s->prog->main, call);
}

static void piece_end(struct suite *s, struct piece *p, ex value)
{
    struct stmt *store = stmt_store(s->prog, p->y, ex_var(s->prog, p->i), value, 1, NULL);
    p->kernel->body = stmt_for(s->prog, p->i, at(s, 0), at(s, N), p->lanes, store);
    piece_call(s, p);
}

static bool takes(enum expr_op op, enum dtype dt)
{
    bool is_float = dtype_is_float(dt), is_int = dtype_is_int(dt);
    switch (op) {
    case EX_add:
    case EX_sub:
    case EX_mul:
    case EX_div:
    case EX_mod:
    case EX_rem:
    case EX_pow:
    case EX_min:
    case EX_max:
    case EX_neg: return is_float || is_int;
    case EX_abs: return is_float || dtype_class(dt) == DT_SIGNED;
    case EX_and:
    case EX_or:
    case EX_xor:
    case EX_not: return !is_float;
    case EX_shl:
    case EX_shr: return is_int;
    case EX_dot4:
    case EX_dot4_sat:
    case EX_dot2: return dt == DT_i32;
    case EX_from_f16: return dt == DT_u16;
    case EX_to_f16: return dt == DT_f32;
    case EX_floor:
    case EX_ceil:
    case EX_round:
    case EX_trunc:
    case EX_sqrt:
    case EX_fma:
    case EX_is_nan:
    case EX_is_inf: return is_float;
    case EX_eq:
    case EX_lt:
    case EX_le:
    case EX_select: return true;
    default: return false; /* the others have tests of their own */
    }
}

static void add_kind(struct suite *s, enum expr_op op, enum dtype dt, int lanes)
{
    bool logic = op == EX_eq || op == EX_lt || op == EX_le || op == EX_is_nan || op == EX_is_inf;
    struct piece p = piece_start(s, arena_printf(s->arena, "%s_%s_%d", expr_row(op)->name, dtype_name(dt), lanes), dt,
                                 logic ? DT_bool : op == EX_from_f16 ? DT_f32 : op == EX_to_f16 ? DT_u16 : dt, lanes);
    ex a = piece_load(s, &p, p.a), b = piece_load(s, &p, p.b), v;
    if (op == EX_select) v = ex_select(s->prog, piece_load(s, &p, p.c), a, b);
    else if (op == EX_fma) v = ex_fma(s->prog, a, b, a);
    else if (expr_is_dot(op)) v = ex_dot(s->prog, op, ex_int(s->prog, DT_i32, -1), b, ex_dot(s->prog, op, a, b, a)); /* 255 by all */
    else v = expr_row(op)->args == 1 ? ex_unary(s->prog, op, a) : ex_binary(s->prog, op, a, b);
    piece_end(s, &p, v);
}

static void add_casts(struct suite *s, int lanes)
{
    for (int i = 0; i < N_TYPES; i++)
        for (int k = 0; k < N_TYPES; k++) {
            if (i == k) continue;
            struct piece p = piece_start(
                s, arena_printf(s->arena, "cast_%s_%s_%d", dtype_name(types[i]), dtype_name(types[k]), lanes), types[i],
                types[k], lanes);
            piece_end(s, &p, ex_cast(s->prog, piece_load(s, &p, p.a), types[k]));
            if (dtype_bytes(types[i]) != dtype_bytes(types[k]) || types[i] == DT_bool || types[k] == DT_bool) continue;
            p = piece_start(s,
                            arena_printf(s->arena, "bits_%s_%s_%d", dtype_name(types[i]), dtype_name(types[k]), lanes),
                            types[i], types[k], lanes);
            piece_end(s, &p, ex_bits(s->prog, piece_load(s, &p, p.a), types[k]));
        }
}

/* Loads and stores of every kind, ramps, sums over lanes. */
static void add_lanes(struct suite *s, enum dtype dt)
{
    struct prog *prog = s->prog;
    const char *name = dtype_name(dt);
    struct piece p = piece_start(s, arena_printf(s->arena, "strided_%s", name), dt, dt, LANES);
    ex v = ex_load(prog, p.a, dt, ex_var(prog, p.i), LANES, 3);
    p.i->hi = N / 4 - 1;
    struct stmt *store = stmt_store(prog, p.y, ex_var(prog, p.i), v, 3, NULL);
    p.kernel->body = stmt_for(prog, p.i, at(s, 0), at(s, N / 4), 1, store);
    piece_call(s, &p);

    p = piece_start(s, arena_printf(s->arena, "first_%s", name), dt, dt, LANES);
    p.i->hi = LANES + 3;
    ex none = ex_load(prog, p.b, dt, at(s, 0), LANES, 1);
    v = ex_load_masked(prog, p.a, dt, at(s, 7), LANES, ex_binary(prog, EX_sub, ex_var(prog, p.i), at(s, 2)), none);
    store = stmt_store(prog, p.y, ex_var(prog, p.i), v, 1, ex_binary(prog, EX_min, ex_var(prog, p.i), at(s, 13)));
    p.kernel->body = stmt_for(prog, p.i, at(s, 0), at(s, LANES + 4), 1, store);
    piece_call(s, &p);

    p = piece_start(s, arena_printf(s->arena, "guarded_%s", name), dt, dt, 1);
    ex back = ex_binary(prog, EX_sub, ex_var(prog, p.i), at(s, 5));
    v = ex_load_guarded(prog, p.a, dt, back, ex_binary(prog, EX_le, at(s, 0), back),
                        ex_load(prog, p.b, dt, ex_var(prog, p.i), 1, 1));
    piece_end(s, &p, v);
    if (dt == DT_bool) return;

    enum expr_op sums[] = {EX_hadd, EX_hmul, EX_hmin, EX_hmax};
    for (int k = 0; k < 4; k++) {
        p = piece_start(s, arena_printf(s->arena, "%s_%s", expr_row(sums[k])->name, name), dt, dt, LANES);
        p.i->hi = N - LANES;
        p.kernel->body = stmt_for(
            prog, p.i, at(s, 0), at(s, N - LANES + 1), 1,
            stmt_store(prog, p.y, ex_var(prog, p.i), ex_unary(prog, sums[k], piece_load(s, &p, p.a)), 1, NULL));
        piece_call(s, &p);
    }
    if (dtype_is_float(dt)) return;
    p = piece_start(s, arena_printf(s->arena, "ramp_%s", name), dt, dt, LANES);
    piece_end(s, &p, ex_ramp(prog, ex_load(prog, p.a, dt, ex_var(prog, p.i), 1, 1), 3, LANES));
}

/* Four bytes as a word, at every place. */
static void add_words(struct suite *s)
{
    struct piece p = piece_start(s, "words", DT_u8, DT_i32, 1);
    ex at_byte = ex_binary(s->prog, EX_min, ex_var(s->prog, p.i), at(s, N - 4));
    piece_end(s, &p, ex_bits(s->prog, ex_load(s->prog, p.a, DT_u8, at_byte, 4, 1), DT_i32));
}

/* Two vectors of floats as bytes, at every width. */
static void add_packs(struct suite *s, int lanes, int more)
{
    struct piece p = piece_start(s, arena_printf(s->arena, "pack_%d_%d", lanes, more), DT_f32, DT_u8, lanes);
    ex at_half = ex_binary(s->prog, EX_add, ex_var(s->prog, p.i), at(s, lanes / 2));
    ex a = ex_load(s->prog, p.a, DT_f32, ex_var(s->prog, p.i), lanes / 2, 1), b = ex_load(s->prog, p.a, DT_f32, at_half, lanes / 2, 1);
    piece_end(s, &p, ex_pack(s->prog, a, b, ex_int(s->prog, DT_i32, more)));
}

/* Masks: comparisons of one width joined with those of another, in a register, and used twice. */
static void add_masks(struct suite *s)
{
    struct prog *prog = s->prog;
    struct piece p = piece_start(s, "masks", DT_f64, DT_f64, LANES);
    ex a = piece_load(s, &p, p.a), b = piece_load(s, &p, p.b), c = piece_load(s, &p, p.c);
    struct var *m = prog_var(prog, "m", DT_bool, LANES);
    struct stmt *body = stmt_let(prog, m, ex_binary(prog, EX_or, ex_binary(prog, EX_lt, a, b), c), true);
    ex single = ex_binary(prog, EX_le, ex_cast(prog, a, DT_f32), ex_cast(prog, b, DT_f32));
    stmt_append(&body, stmt_set(prog, m, ex_binary(prog, EX_xor, ex_var(prog, m), single)));
    ex both = ex_binary(prog, EX_and, ex_unary(prog, EX_not, ex_var(prog, m)),
                        ex_binary(prog, EX_eq, c, ex_unary(prog, EX_is_nan, a)));
    ex v = ex_select(prog, both, ex_binary(prog, EX_add, a, b),
                     ex_select(prog, ex_binary(prog, EX_lt, both, c), b, ex_cast(prog, both, DT_f64)));
    stmt_append(&body, stmt_store(prog, p.y, ex_var(prog, p.i), v, 1, NULL));
    p.kernel->body = stmt_for(prog, p.i, at(s, 0), at(s, N), LANES, body);
    piece_call(s, &p);
}

/* Control flow, registers, local arrays, unrolled loops, names that are C's or collide. */
static void add_statements(struct suite *s)
{
    struct prog *prog = s->prog;
    struct piece p = piece_start(s, "int", DT_f32, DT_f32, 1);
    p.a->name = "float", p.b->name = "for", p.y->name = "a/*b*/", p.i->name = "NULL";
    struct buffer *local = prog_buffer(prog, "NULL", DT_f32, SPACE_LOCAL, 4);
    struct var *sum = prog_var(prog, "sum", DT_f32, 1), *turns = prog_var(prog, "sum", DT_i32, 1),
               *k = prog_index(prog, "k", 0, 3);
    struct var *unused = prog_var(prog, "unused", DT_f32, 1);
    struct stmt *fill = stmt_for(prog, k, at(s, 0), at(s, 4), 1, NULL);
    fill->loop = LOOP_UNROLL;
    ex place = ex_binary(prog, EX_mod,
                         ex_binary(prog, EX_sub, ex_var(prog, p.i), ex_binary(prog, EX_mul, ex_var(prog, k), at(s, 7))),
                         at(s, N));
    fill->body = stmt_store(prog, local, ex_var(prog, k), ex_load(prog, p.a, DT_f32, place, 1, 1), 1, NULL);
    struct stmt *body = fill;
    stmt_append(&body, stmt_let(prog, unused, ex_float(prog, DT_f32, 1), true));
    stmt_append(&body, stmt_set(prog, unused, ex_float(prog, DT_f32, 2)));
    stmt_append(&body, stmt_let(prog, sum, ex_load(prog, local, DT_f32, at(s, 1), 1, 1), true));
    stmt_append(&body, stmt_let(prog, turns, ex_int(prog, DT_i32, 0), true));
    struct stmt *again = stmt_new(prog, STMT_WHILE);
    struct var *next = prog_var(prog, "next", DT_i32, 1);
    again->body = stmt_let(prog, next, ex_binary(prog, EX_add, ex_var(prog, turns), ex_int(prog, DT_i32, 1)), false);
    stmt_append(&again->body, stmt_set(prog, turns, ex_var(prog, next)));
    stmt_append(
        &again->body,
        stmt_set(prog, sum, ex_binary(prog, EX_add, ex_var(prog, sum), ex_load(prog, local, DT_f32, at(s, 2), 1, 1))));
    again->a = ex_binary(prog, EX_lt, ex_var(prog, turns), ex_int(prog, DT_i32, 3));
    stmt_append(&body, again);
    struct stmt *choice = stmt_new(prog, STMT_IF);
    choice->a = ex_binary(prog, EX_lt, ex_var(prog, sum), ex_float(prog, DT_f32, 0));
    choice->body = stmt_store(prog, p.y, ex_var(prog, p.i), ex_unary(prog, EX_neg, ex_var(prog, sum)), 1, NULL);
    choice->other = stmt_store(prog, p.y, ex_var(prog, p.i), ex_var(prog, sum), 1, NULL);
    stmt_append(&body, choice);
    p.kernel->body = stmt_for(prog, p.i, at(s, 0), at(s, N), 1, body);
    struct stmt *fail = stmt_new(prog, STMT_FAIL);
    fail->a = ex_unary(prog, EX_not, ex_load(prog, p.c, DT_bool, at(s, 0), 1, 1));
    fail->code = 7;
    stmt_append(&p.kernel->body, fail);
    piece_call(s, &p);
}

static void fill(enum dtype dt, int which, void *data)
{
    static const double edges[] = {0,
                                   -0.0,
                                   1,
                                   -1,
                                   0.5,
                                   -0.5,
                                   1.5,
                                   2.5,
                                   -2.5,
                                   3,
                                   7,
                                   8,
                                   15,
                                   31,
                                   32,
                                   33,
                                   63,
                                   64,
                                   100,
                                   127,
                                   128,
                                   -128,
                                   -129,
                                   255,
                                   256,
                                   32767,
                                   32768,
                                   -32768,
                                   -32769,
                                   65535,
                                   65536,
                                   2147483647.0,
                                   2147483648.0,
                                   -2147483648.0,
                                   -2147483649.0,
                                   4294967295.0,
                                   4294967296.0,
                                   9223372036854775808.0,
                                   -9223372036854775808.0,
                                   18446744073709551616.0,
                                   1e30,
                                   -1e30,
                                   1e-30,
                                   1e-40,
                                   3.75,
                                   -3.75,
                                   1e9,
                                   2139062143.0,  /* bytes of 127, and of -128: dot4's largest sums */
                                   -2139062144.0,
                                   -7};
    enum { EDGES = sizeof edges / sizeof *edges };
    for (int i = 0; i < N; i++) {
        double v = i < EDGES ? edges[which ? (i * 29 + 11 * which) % EDGES : i] : (i - 50) * 1.25;
        if (dt == DT_f32 || dt == DT_f64) {
            if (i == 50 || i == 55 + which) v = (double)NAN;
            if (i == 51 + which) v = (double)INFINITY;
            if (i == 52 + which) v = -(double)INFINITY;
        }
        if (dt == DT_f64) ((double *)data)[i] = v;
        else if (dt == DT_f32) ((float *)data)[i] = (float)v;
        else if (dt == DT_bool) ((unsigned char *)data)[i] = i == 0 || (i * 7 + which) % 3 == 0;
        else {
            int64_t n = v >= 9.2e18 ? INT64_MAX : v <= -9.2e18 ? INT64_MIN : (int64_t)v;
            if (v >= 1.8e19) n = -1;
            memcpy((char *)data + i * dtype_bytes(dt), &n, (size_t)dtype_bytes(dt));
        }
    }
}

static struct suite suite_new(struct arena *arena, const struct target *target)
{
    struct suite s = {.arena = arena, .vectors = target->vector_bytes > 0};
    s.prog = prog_new(arena, arena, dims_new(arena), "suite");
    s.prog->arena_bytes = 0;
    for (int t = 0; t < N_TYPES; t++)
        for (int k = 0; k < 3; k++) {
            struct buffer *buf = s.in[types[t]][k] = prog_buffer(s.prog, "in", types[t], SPACE_INPUT, N);
            buf->type.rank = 1;
            buf->type.dim[0] = N;
            LIST_PUSH(arena, &s.prog->input_names, arena_printf(arena, "%s %d", dtype_name(types[t]), k));
        }
    for (int t = 0; t < N_TYPES; t++) {
        s.out[types[t]] = prog_buffer(s.prog, "out", types[t], SPACE_OUTPUT, 0);
        LIST_PUSH(arena, &s.prog->output_names, dtype_name(types[t]));
    }
    for (int lanes = 1; lanes <= (s.vectors ? LANES : 1); lanes *= LANES) {
        for (int op = 0; op < EX_COUNT; op++)
            for (int t = 0; t < N_TYPES; t++)
                if (takes((enum expr_op)op, types[t])) add_kind(&s, (enum expr_op)op, types[t], lanes);
        add_casts(&s, lanes);
    }
    for (int t = 0; t < N_TYPES && s.vectors; t++) add_lanes(&s, types[t]);
    for (int lanes = 4; lanes <= 2 * LANES && s.vectors; lanes *= 2) add_packs(&s, lanes, lanes % 16 ? 0 : 116);
    if (s.vectors) add_packs(&s, 2 * LANES, 0), add_packs(&s, LANES, 255);
    if (s.vectors) add_masks(&s);
    if (s.vectors) add_words(&s); /* pass expand sees to targets without vectors */
    add_statements(&s);
    for (int t = 0; t < N_TYPES; t++) {
        struct buffer *buf = s.out[types[t]];
        buf->elements = buf->type.dim[0] = s.used[types[t]];
        buf->type.rank = 1;
    }
    return s;
}

static double value_at(enum dtype dt, const void *data, int64_t i)
{
    return dt == DT_f64 ? ((const double *)data)[i] : (double)((const float *)data)[i];
}

static int compare(const struct suite *s, enum dtype dt, const void *have, const void *want)
{
    int wrong = 0;
    for (int64_t i = 0; i < s->used[dt]; i++) {
        const char *label = s->label[dt].at[i / N];
        size_t n = (size_t)dtype_bytes(dt), from = (size_t)i * n;
        bool same = !memcmp((const char *)have + from, (const char *)want + from, n);
        double h = 0, w = 0;
        if (dtype_is_float(dt) && !same) {
            h = value_at(dt, have, i), w = value_at(dt, want, i);
            same = h == w || (isnan(h) && isnan(w));
            double slack = dt == DT_f64 ? 1e-15 : 3e-7;
            if (!strncmp(label, "pow_", 4)) same |= fabs(h - w) <= slack * fabs(w);
        }
        if (same) continue;
        if (wrong++ < 10) {
            printf("  %s[%d]: ", label, (int)(i % N));
            if (dtype_is_float(dt)) printf("%a, the interpreter says %a\n", h, w);
            else {
                int64_t a = 0, b = 0;
                memcpy(&a, (const char *)have + from, n);
                memcpy(&b, (const char *)want + from, n);
                printf("%llx, the interpreter says %llx\n", (unsigned long long)a, (unsigned long long)b);
            }
        }
    }
    return wrong;
}

typedef int run_function(const void *in, const void *out, void *arena);

static int run_suite(struct suite *s, const struct target *target, const char *folder, const char *cc,
                     struct diag *diag)
{
    struct prog *prog = s->prog;
    const char *path = arena_printf(s->arena, "%s/suite_%s.so", folder, target->name);
    struct link_options options = {.backend = BACKEND_C, .target = target, .cc = cc};
    struct tensor *in = NEW_ARRAY(s->arena, struct tensor, prog->inputs.n),
                  *want = NEW_ARRAY(s->arena, struct tensor, prog->outputs.n);
    void **in_words = NEW_ARRAY(s->arena, void *, prog->inputs.n),
         **out_words = NEW_ARRAY(s->arena, void *, prog->outputs.n);
    for (int i = 0; i < prog->inputs.n; i++) {
        enum dtype dt = prog->inputs.at[i]->dt;
        in_words[i] = arena_alloc(s->arena, N * 8);
        fill(dt, i % 3, in_words[i]);
        in[i] = (struct tensor){.type = prog->inputs.at[i]->type, .data = in_words[i], .n_bytes = N * dtype_bytes(dt)};
    }
    for (int i = 0; i < prog->outputs.n; i++)
        out_words[i] = arena_alloc(s->arena, (size_t)(prog->outputs.at[i]->elements * 8 + 64));
    if (!prog_verify(prog, diag) || !prog_eval(prog, in, NULL, s->arena, want, diag)) return 1;
    if (!link_artefact(prog, &options, path, NULL, diag)) return 1;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL), *symbol = library ? dlsym(library, "suite_run") : NULL;
    if (!symbol) {
        printf("%s\n", dlerror());
        return 1;
    }
    run_function *run;
    memcpy(&run, &symbol, sizeof run);
    int wrong = run(in_words, out_words, NULL) != 0;
    if (wrong) printf("  the run failed\n");
    for (int i = 0; i < prog->outputs.n; i++) wrong += compare(s, prog->outputs.at[i]->dt, out_words[i], want[i].data);
    ((unsigned char *)in_words[3 * (N_TYPES - 1) + 2])[0] = 0; /* now the check of add_statements must fail */
    if (run(in_words, out_words, NULL) != 7) wrong++, printf("  a failed check did not stop the run\n");
    dlclose(library);
    printf("%s: %d kernels, %d values differ\n", target->name, prog->kernels.n, wrong);
    return wrong;
}

/* The C text under the strictest warnings it promises. */
static int check_warnings(struct suite *s, const struct target *target, const char *folder, const char *cc,
                          struct diag *diag)
{
    const char *path = arena_printf(s->arena, "%s/suite_%s.c", folder, target->name);
    struct link_options options = {.backend = BACKEND_C, .target = target, .cc = cc};
    if (!link_artefact(s->prog, &options, path, NULL, diag)) return 1;
    const char *strict = s->vectors ? "" : " -pedantic -Wshadow";
    const char *command =
        arena_printf(s->arena, "%s -std=c11 -O1 -Wno-psabi -Wall -Wextra -Wconversion%s -Werror %s -c %s -o %s.o", cc,
                     strict, target->c_flags, path, path);
    int status = system(command);
    if (status) printf("%s: warnings\n", target->name);
    return status != 0;
}

int main(void)
{
    const char *cc = getenv("TENON_CC"), *base = getenv("TMPDIR");
    char folder[4096];
    int wrong = 0;
    if (!cc || !*cc) cc = "cc";
    snprintf(folder, sizeof folder, "%s/cgen-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(folder)) return 1;
    for (int t = 0; t < target_count(); t++) {
        const struct target *target = target_at(t), *host = host_target();
        bool here = !strcmp(target->name, "portable");
        for (int k = 0; k < target_count() && !here && !target->triple[0]; k++) {
            here = target_at(k) == target;
            if (target_at(k) == host) break;
        }
        if (!here) continue;
        struct arena *arena = arena_new();
        struct diag *diag = diag_new(arena);
        struct suite s = suite_new(arena, target);
        wrong += run_suite(&s, target, folder, cc, diag);
        wrong += check_warnings(&s, target, folder, cc, diag);
        diag_print(diag, stdout);
        arena_free(arena);
    }
    char remove[4200];
    snprintf(remove, sizeof remove, "rm -r '%s'", folder);
    if (!getenv("KEEP") && system(remove)) wrong++;
    return wrong != 0;
}
