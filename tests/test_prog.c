/* Tests of the program IR: every expression kind's edge cases, memory and control, what the reader and the verifier
 * refuse, and on random programs the laws parse(print(p)) = p (in text, and in what it computes). */
#define _POSIX_C_SOURCE 200809L
#include "../ir/prog.h"
#include "../ir/text.h"

#include <stdlib.h>
#include <string.h>

static int failures;

static void report(const char *what, const char *expected, const char *got)
{
    failures++;
    printf("FAIL %s\n  expected: %s\n  got:      %s\n", what, expected, got);
}

static const char *messages(struct arena *arena, struct diag *diag)
{
    char *at = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&at, &n);
    diag_print(diag, out);
    fclose(out);
    const char *copy = arena_strndup(arena, at, n);
    free(at);
    return copy;
}

static struct prog *read_text(struct arena *arena, const char *text, struct diag *diag)
{
    struct source *source = NEW(arena, struct source);
    *source = (struct source){"test.tnp", text, strlen(text)};
    return prog_parse(source, arena, arena, dims_new(arena), diag);
}

static const char *print(struct arena *arena, const struct prog *prog)
{
    struct text text = {.arena = arena};
    prog_print(prog, &text);
    return text_string(&text);
}

/* The first output of a program without inputs as text `a, b, c`, or the messages. */
static const char *run_text(struct arena *arena, const char *text)
{
    struct diag *diag = diag_new(arena);
    struct prog *prog = read_text(arena, text, diag);
    struct tensor out[4];
    int64_t symbols[4] = {5, 5, 5, 5};
    if (!prog || !prog_verify(prog, diag) || !prog_eval(prog, NULL, symbols, arena, out, diag)) return messages(arena, diag);
    /* a weight prints as its elements: the printer is the reader's and so ours */
    struct dims *dims = dims_new(arena);
    struct prog *show = prog_new(arena, arena, dims, "show");
    struct buffer *buf = prog_buffer(show, "w", out[0].type.dt, SPACE_WEIGHT, type_count(&out[0].type));
    buf->type = out[0].type;
    buf->tensor = &out[0];
    const char *line = strstr(print(arena, show), "{");
    return arena_strndup(arena, line + 1, (size_t)(strchr(line, '}') - line - 1));
}

/* What `e` of type dt computes. */
static const char *value_of(struct arena *arena, const char *dt, const char *e)
{
    return run_text(arena, arena_printf(arena, "program \"t\"\noutput y: %s[]\nkernel k(out y: %s[]) {\n"
                                        "store y[0] = %s\n}\nmain {\ncall k(y)\n}\n", dt, dt, e));
}

static void test_values(void)
{
    static const struct {
        const char *dt, *e, *expected;
    } row[] = {
#include "prog_values.inc"
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct arena *arena = arena_new();
        const char *got = value_of(arena, row[i].dt, row[i].e);
        if (strcmp(got, row[i].expected) != 0) report(row[i].e, row[i].expected, got);
        arena_free(arena);
    }
}

/* Programs with what they compute, or part of what they are refused with. */
static void test_programs(void)
{
    static const struct {
        const char *text, *expected;
    } row[] = {
#include "prog_programs.inc"
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct arena *arena = arena_new();
        const char *got = run_text(arena, row[i].text);
        if (!strstr(got, row[i].expected)) report(row[i].text, row[i].expected, got);
        arena_free(arena);
    }
}

/* ---- random programs ---- */

struct maker {
    uint64_t state;
    struct prog *prog;
    struct dims *dims;
    struct buffer *in[DT_COUNT], *out[DT_COUNT], *local;
    struct var *vars[64]; /* in scope */
    bool is_register[64];
    int n_vars, depth;
    int lanes; /* lane loops around */
};

static int pick(struct maker *m, int n)
{
    m->state ^= m->state << 13;
    m->state ^= m->state >> 7;
    m->state ^= m->state << 17;
    return (int)((m->state >> 11) % (uint64_t)n);
}

static ex make_index(struct maker *m, int depth);
static ex make(struct maker *m, enum dtype dt, int lanes, int depth);

enum { ELEMENTS = 64, PLACES = 16 };

/* A subscript that 8 lanes 4 apart stay inside from. */
static ex make_place(struct maker *m, int depth)
{
    return ex_binary(m->prog, EX_mod, make_index(m, depth), ex_dim(m->prog, PLACES));
}

static dim make_dim(struct maker *m)
{
    dim n = dims_symbol_dim(m->dims, 0), h = dims_symbol_dim(m->dims, 1);
    switch (pick(m, 8)) {
    case 0: return n;
    case 1: return dim_add(m->dims, dim_mul(m->dims, n, h), 3);
    case 2: return dim_div(m->dims, dim_add(m->dims, h, 1), 2);
    case 3: return dim_min(m->dims, n, 4);
    case 4: return dim_sub(m->dims, dim_max(m->dims, n, h), dim_mul(m->dims, 2, h));
    default: return pick(m, 12) - 2;
    }
}

static ex make_var(struct maker *m, enum dtype dt, int lanes)
{
    for (int tries = 0; tries < 8 && m->n_vars; tries++) {
        struct var *var = m->vars[pick(m, m->n_vars)];
        if (var->dt == dt && var->lanes == lanes) return ex_var(m->prog, var);
    }
    return NULL;
}

static ex make_index(struct maker *m, int depth)
{
    struct prog *prog = m->prog;
    ex var = make_var(m, DT_index, 1), a;
    if (depth <= 0) return var && pick(m, 3) ? var : ex_dim(prog, make_dim(m));
    a = make_index(m, depth - 1);
    switch (pick(m, 10)) {
    case 0: return ex_binary(prog, EX_mul, a, ex_dim(prog, make_dim(m)));
    case 1: return ex_binary(prog, EX_mul, a, make_index(m, depth - 2));
    case 2: return ex_binary(prog, EX_div, a, ex_dim(prog, pick(m, 9) - 1));
    case 3: return ex_binary(prog, EX_mod, a, ex_dim(prog, pick(m, 3) ? 1 + pick(m, 7) : make_dim(m)));
    case 4: return ex_binary(prog, pick(m, 2) ? EX_min : EX_max, a, make_index(m, depth - 1));
    case 5: return ex_select(prog, make(m, DT_bool, 1, depth - 1), a, make_index(m, depth - 1));
    case 6: return ex_cast(prog, make(m, DT_i16, 1, depth - 2), DT_index);
    case 7: return ex_binary(prog, EX_sub, a, make_index(m, depth - 1));
    default: return ex_binary(prog, EX_add, a, make_index(m, depth - 1));
    }
}

static ex make_load(struct maker *m, enum dtype dt, int lanes, int depth)
{
    struct buffer *buf = dt == DT_f32 && pick(m, 3) == 0 ? m->local : m->in[dt];
    ex place = make_place(m, depth - 1);
    switch (lanes == 1 ? pick(m, 2) : 2 + pick(m, 2)) {
    case 0: return ex_load_guarded(m->prog, buf, dt, place, make(m, DT_bool, 1, depth - 1), make(m, dt, 1, depth - 1));
    case 3: return ex_load_masked(m->prog, buf, dt, place, lanes, make_index(m, depth - 2), make(m, dt, lanes, depth - 1));
    default: return ex_load(m->prog, buf, dt, place, lanes, 1 + pick(m, 3));
    }
}

static ex make_leaf(struct maker *m, enum dtype dt, int lanes)
{
    static const double number[] = {0, 1, -1, 0.1, 1e30, -1e-40, 65504, 3.14159265358979};
    ex var = make_var(m, dt, lanes);
    if (var && pick(m, 2)) return var;
    if (dt != DT_index && pick(m, 2)) return make_load(m, dt, lanes, 0);
    if (dt == DT_index && lanes > 1 && pick(m, 2)) return ex_ramp(m->prog, make_index(m, 0), pick(m, 5) - 2, lanes);
    if (dt == DT_index) return ex_splat(m->prog, ex_dim(m->prog, make_dim(m)), lanes);
    ex e = dtype_is_float(dt) ? ex_float(m->prog, dt, number[pick(m, 8)]) : ex_int(m->prog, dt, pick(m, 300) - 100);
    return ex_splat(m->prog, e, lanes);
}

static ex make_bool(struct maker *m, int lanes, int depth)
{
    static const enum expr_op compare[] = {EX_eq, EX_lt, EX_le}, logic[] = {EX_and, EX_or, EX_xor};
    static const enum dtype of[] = {DT_f32, DT_index, DT_i8, DT_u64, DT_f16, DT_bool};
    enum dtype dt = of[pick(m, 6)];
    switch (pick(m, 5)) {
    case 0: return ex_unary(m->prog, EX_not, make(m, DT_bool, lanes, depth - 1));
    case 1: return ex_binary(m->prog, logic[pick(m, 3)], make(m, DT_bool, lanes, depth - 1), make(m, DT_bool, lanes, depth - 1));
    case 2: return ex_unary(m->prog, pick(m, 2) ? EX_is_nan : EX_is_inf, make(m, DT_f32, lanes, depth - 1));
    default: return ex_binary(m->prog, compare[pick(m, 3)], make(m, dt, lanes, depth - 1), make(m, dt, lanes, depth - 1));
    }
}

static ex make_float(struct maker *m, enum dtype dt, int lanes, int depth)
{
    if (dt == DT_f32 && pick(m, 6) == 0) return ex_unary(m->prog, EX_from_f16, make(m, DT_u16, lanes, depth - 1));
    ex a = make(m, dt, lanes, depth - 1);
    switch (pick(m, 4)) {
    case 0: return ex_unary(m->prog, (enum expr_op)(EX_floor + pick(m, EX_sqrt - EX_floor + 1)), a);
    case 1: return ex_unary(m->prog, (enum expr_op)(EX_exp + pick(m, EX_sigmoid - EX_exp + 1)), a);
    default: return ex_fma(m->prog, a, make(m, dt, lanes, depth - 1), make(m, dt, lanes, depth - 1));
    }
}

static ex make_int(struct maker *m, enum dtype dt, int lanes, int depth)
{
    static const enum expr_op kind[] = {EX_and, EX_or, EX_xor, EX_shl, EX_shr};
    ex a = make(m, dt, lanes, depth - 1);
    if (dt == DT_i32 && pick(m, 4) == 0) {
        ex bytes = lanes == 1 && pick(m, 2) ? ex_bits(m->prog, make(m, DT_u8, 4, depth - 1), DT_i32) : make(m, dt, lanes, depth - 1);
        return ex_dot(m->prog, (enum expr_op)(EX_dot4 + pick(m, EX_dot2 - EX_dot4 + 1)), bytes, a, make(m, dt, lanes, depth - 1));
    }
    if (dt == DT_u8 && lanes > 2 && pick(m, 3) == 0)
        return ex_pack(m->prog, make(m, DT_f32, lanes / 2, depth - 1), make(m, DT_f32, lanes / 2, depth - 1), ex_int(m->prog, DT_i32, pick(m, 256)));
    if (pick(m, 6) == 0) return ex_unary(m->prog, EX_not, a);
    if (dt == DT_u16 && pick(m, 4) == 0) return ex_unary(m->prog, EX_to_f16, make(m, DT_f32, lanes, depth - 1));
    if (lanes > 1 && pick(m, 6) == 0) return ex_ramp(m->prog, make(m, dt, 1, depth - 1), pick(m, 7) - 3, lanes);
    return ex_binary(m->prog, kind[pick(m, 5)], a, make(m, dt, lanes, depth - 1));
}

/* A random expression of this type. */
static ex make(struct maker *m, enum dtype dt, int lanes, int depth)
{
    struct prog *prog = m->prog;
    static const enum expr_op kind[] = {EX_add, EX_sub, EX_mul, EX_div, EX_mod, EX_rem, EX_min, EX_max, EX_pow};
    if (depth <= 0) return make_leaf(m, dt, lanes);
    if (dt == DT_index && lanes == 1) return make_index(m, depth);
    enum dtype other = (enum dtype)pick(m, DT_bool);
    switch (pick(m, 9)) {
    case 0: return make_leaf(m, dt, lanes);
    case 1: return dt == DT_index ? make_leaf(m, dt, lanes) : make_load(m, dt, lanes, depth);
    case 2: return ex_select(prog, make(m, DT_bool, lanes, depth - 1), make(m, dt, lanes, depth - 1), make(m, dt, lanes, depth - 1));
    case 3: return dt == other ? make_leaf(m, dt, lanes) : ex_cast(prog, make(m, other, lanes, depth - 1), dt);
    case 4: {
        bool same = dt != DT_bool && dt != DT_index && dtype_bytes(other) == dtype_bytes(dt);
        return same ? ex_bits(prog, make(m, other, lanes, depth - 1), dt) : ex_splat(prog, make(m, dt, 1, depth - 1), lanes);
    }
    case 5:
        if (lanes == 1 && dt != DT_bool && dt != DT_index)
            return ex_unary(prog, (enum expr_op)(EX_hadd + pick(m, 4)), make(m, dt, 4, depth - 1));
        break;
    default: break;
    }
    if (dt == DT_bool) return make_bool(m, lanes, depth);
    if (dtype_is_float(dt) && pick(m, 2)) return make_float(m, dt, lanes, depth);
    if (dtype_is_int(dt) && dt != DT_index && pick(m, 2)) return make_int(m, dt, lanes, depth);
    if (pick(m, 6) == 0) return ex_unary(prog, pick(m, 2) ? EX_neg : EX_abs, make(m, dt, lanes, depth - 1));
    return ex_binary(prog, kind[pick(m, dt == DT_index ? 8 : 9)], make(m, dt, lanes, depth - 1), make(m, dt, lanes, depth - 1));
}

static struct stmt *make_block(struct maker *m, int length);

static struct stmt *make_loop(struct maker *m)
{
    static const char *const name[] = {"i", "j", "load", "N", "x.y", "i"};
    struct prog *prog = m->prog;
    dim hi = dim_add(m->dims, make_dim(m), 3);
    bool ragged = pick(m, 3) == 0;
    struct var *var = prog_index(prog, name[pick(m, 6)], 0, ragged ? dim_add(m->dims, hi, 40) : dim_sub(m->dims, hi, 1));
    ex end = ragged ? ex_binary(prog, EX_min, make_index(m, 2), ex_dim(prog, 5)) : ex_dim(prog, hi);
    m->vars[m->n_vars] = var;
    m->is_register[m->n_vars++] = false;
    enum loop_kind kind = (enum loop_kind)pick(m, LOOP_LANE2 + 1);
    m->lanes += kind >= LOOP_LANE0;
    struct stmt *body = make_block(m, 1 + pick(m, 3));
    m->lanes -= kind >= LOOP_LANE0;
    m->n_vars--;
    struct stmt *loop = stmt_for(prog, var, ex_dim(prog, 0), end, 1 + pick(m, 3), body);
    loop->loop = kind;
    return loop;
}

static struct stmt *make_let(struct maker *m)
{
    enum dtype dt = (enum dtype)pick(m, DT_COUNT);
    int lanes = 1 << pick(m, 4);
    bool mutable = pick(m, 2);
    struct var *var = prog_var(m->prog, pick(m, 2) ? "v" : "acc", dt, lanes);
    ex value = make(m, dt, lanes, 3);
    if (dt == DT_index && lanes == 1 && pick(m, 2)) { /* a range that is true */
        var->lo = make_dim(m);
        var->hi = dim_add(m->dims, var->lo, 5);
        value = ex_binary(m->prog, EX_max, ex_binary(m->prog, EX_min, value, ex_dim(m->prog, var->hi)), ex_dim(m->prog, var->lo));
    }
    struct stmt *stmt = stmt_let(m->prog, var, value, mutable);
    m->vars[m->n_vars] = var;
    m->is_register[m->n_vars++] = mutable;
    return stmt;
}

static struct stmt *make_set(struct maker *m)
{
    for (int i = 0; i < m->n_vars; i++) {
        int k = (i + pick(m, m->n_vars)) % m->n_vars;
        struct var *var = m->vars[k];
        bool ranged = var->lo != 1 || var->hi != 0;
        if (m->is_register[k] && !ranged) return stmt_set(m->prog, var, make(m, var->dt, var->lanes, 4));
    }
    return NULL;
}

/* Lanes that wait for one another. */
static struct stmt *make_lanes(struct maker *m)
{
    struct var *lane = prog_index(m->prog, "lane", 0, 1);
    m->lanes++;
    struct stmt *body = make_block(m, 1);
    stmt_append(&body, stmt_new(m->prog, STMT_BARRIER));
    m->lanes--;
    struct stmt *loop = stmt_for(m->prog, lane, ex_dim(m->prog, 0), ex_dim(m->prog, 2), 1, body);
    loop->loop = LOOP_LANE0;
    return loop;
}

static struct stmt *make_if(struct maker *m)
{
    struct stmt *stmt = stmt_new(m->prog, STMT_IF);
    stmt->a = make(m, DT_bool, 1, 3);
    stmt->body = make_block(m, pick(m, 3));
    if (pick(m, 2)) stmt->other = make_block(m, 1 + pick(m, 2));
    return stmt;
}

static struct stmt *make_stmt(struct maker *m)
{
    struct prog *prog = m->prog;
    bool deep = m->depth > 3;
    switch (pick(m, 8)) {
    case 0:
        if (!deep) return make_loop(m);
        break;
    case 1:
        if (m->n_vars < 40) return make_let(m);
        break;
    case 2: {
        struct stmt *set = make_set(m);
        if (set) return set;
        if (!deep && m->lanes == 0) return make_lanes(m);
        break;
    }
    case 3:
        if (!deep) return make_if(m);
        break;
    case 4:
        if (!deep && pick(m, 2)) { /* once round: the condition is false for every value */
            struct stmt *stmt = stmt_new(prog, STMT_WHILE);
            stmt->body = make_block(m, 2);
            stmt->a = ex_binary(prog, EX_lt, make(m, DT_u8, 1, 2), ex_int(prog, DT_u8, 0));
            return stmt;
        }
        break;
    default: break;
    }
    enum dtype dt = (enum dtype)pick(m, DT_index);
    int lanes = 1 << pick(m, 4);
    bool local = dt == DT_f32 && pick(m, 4) == 0;
    ex count = lanes > 1 && pick(m, 3) == 0 ? make_index(m, 2) : NULL;
    return stmt_store(prog, local ? m->local : m->out[dt], make_place(m, 3), make(m, dt, lanes, 4), 1 + pick(m, 3), count);
}

static struct stmt *make_block(struct maker *m, int length)
{
    struct stmt *list = NULL;
    int scope = m->n_vars;
    m->depth++;
    for (int i = 0; i < length; i++) stmt_append(&list, make_stmt(m));
    m->depth--;
    m->n_vars = scope;
    return list;
}

static void make_kernel(struct maker *m, const char *name)
{
    struct prog *prog = m->prog;
    struct kernel *kernel = prog_kernel(prog, name);
    struct stmt *call = stmt_new(prog, STMT_CALL);
    call->kernel = kernel;
    call->args = NEW_ARRAY(prog->arena, struct call_arg, 2 * DT_index);
    call->scalars = NEW_ARRAY(prog->arena, ex, 2);
    for (int i = 0; i < 2 * DT_index; i++) {
        enum dtype dt = (enum dtype)(i / 2);
        struct buffer *buf = kernel_param(prog, kernel, i & 1 ? "out" : "x", dt, ELEMENTS);
        buf->written = i & 1;
        (i & 1 ? m->out : m->in)[dt] = buf;
        call->args[call->n_args].buf = (i & 1 ? prog->outputs.at : prog->inputs.at)[dt];
        call->args[call->n_args++].offset = pick(m, 2) ? ex_dim(prog, pick(m, 9)) : NULL;
    }
    m->local = prog_buffer(prog, "pack", DT_f32, SPACE_LOCAL, ELEMENTS);
    kernel->layers = pick(m, 2) ? "a \"quoted\"\nname" : "";
    kernel->flops = pick(m, 1000) / 7.0;
    kernel->direct_flops = pick(m, 3) * kernel->flops;
    m->vars[0] = prog_index(prog, "N", 0, 9);
    m->vars[1] = prog_var(prog, "s", DT_i64, 1);
    m->is_register[0] = m->is_register[1] = false;
    m->n_vars = 2;
    for (int i = 0; i < 2; i++) LIST_PUSH(prog->arena, &kernel->scalars, m->vars[i]);
    kernel->body = make_block(m, 4);
    call->scalars[call->n_scalars++] = ex_dim(prog, pick(m, 9));
    call->scalars[call->n_scalars++] = ex_int(prog, DT_i64, pick(m, 9) - 4);
    stmt_append(&prog->main, call);
}

static struct prog *make_prog(struct arena *arena, uint64_t seed)
{
    struct maker *m = NEW(arena, struct maker);
    m->state = seed * 0x9e3779b97f4a7c15u + 1;
    m->dims = dims_new(arena);
    dim_symbol(m->dims, "N", 1, 9);
    dim_symbol(m->dims, "height-2", 0, 100);
    m->prog = prog_new(arena, arena, m->dims, "random");
    for (int i = 0; i < DT_index; i++) {
        prog_buffer(m->prog, "input", (enum dtype)i, SPACE_INPUT, ELEMENTS + 8);
        prog_buffer(m->prog, "y", (enum dtype)i, SPACE_OUTPUT, ELEMENTS + 8);
    }
    for (int i = 0; i < 1 + pick(m, 2); i++) make_kernel(m, "k");
    return m->prog;
}

static bool evaluate(struct arena *arena, const struct prog *prog, struct tensor *out, struct diag *diag)
{
    static unsigned char bytes[8 * (ELEMENTS + 8)];
    static const int64_t symbols[] = {4, 7};
    struct tensor in[DT_index];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)(i * i % 67);
    for (int i = 0; i < DT_index; i++) {
        int64_t size = dtype_bytes((enum dtype)i);
        in[i] = (struct tensor){.type = {.dt = (enum dtype)i, .rank = 1, .dim = {ELEMENTS + 8}}, .data = bytes, .n_bytes = (ELEMENTS + 8) * size};
    }
    return prog_eval(prog, in, symbols, arena, out, diag);
}

static void test_random(uint64_t seed)
{
    struct arena *arena = arena_new();
    struct diag *diag = diag_new(arena);
    struct prog *prog = make_prog(arena, seed), *back;
    struct tensor out[DT_index], again[DT_index];
    char what[64];
    snprintf(what, sizeof what, "random program %llu", (unsigned long long)seed);
    const char *text = print(arena, prog);
    if (!prog_verify(prog, diag)) report(what, "verified", messages(arena, diag));
    back = read_text(arena, text, diag);
    if (!back || !prog_verify(back, diag)) report(what, text, messages(arena, diag));
    else if (strcmp(text, print(arena, back)) != 0) report(what, text, print(arena, back));
    else if (!evaluate(arena, prog, out, diag) || !evaluate(arena, back, again, diag)) report(what, text, messages(arena, diag));
    else
        for (int i = 0; i < DT_index; i++)
            if (memcmp(out[i].data, again[i].data, (size_t)out[i].n_bytes)) report(what, text, dtype_name((enum dtype)i));
    arena_free(arena);
}

int main(int argc, char **argv)
{
    int n = argc > 1 ? atoi(argv[1]) : 1000;
    test_values();
    test_programs();
    for (int i = 0; i < n && failures < 5; i++) test_random((uint64_t)i);
    if (failures) printf("%d failures\n", failures);
    return failures != 0;
}
