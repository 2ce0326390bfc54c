/* Pass expand against long double references: every function in f32 and f64, for targets with and without fma, on
 * boundaries, every exponent, denormals and random bits; pow with its special cases; integer pow; conversions of
 * 16-bit floats over all their values; and conditions of if and while that hold functions. Programs run in the
 * interpreter. All f32 values are math_exhaustive.c's work. */
#include "../passes/passes.h"
#include "math_cases.h"

#include <stdio.h>
#include <string.h>

static int failures;

static uint64_t random_bits(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u;
    uint64_t z = (*state ^ (*state >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* [-1, 1) */
static double random_unit(uint64_t *state)
{
    return (double)(int64_t)random_bits(state) * 0x1p-63;
}

static bool holds(ex e, bool (*wanted)(ex))
{
    if (!e) return false;
    return wanted(e) || holds(e->arg[0], wanted) || holds(e->arg[1], wanted) || holds(e->arg[2], wanted);
}

static bool is_left_over(ex e)
{
    return e->op == EX_pow || (e->op >= EX_exp && e->op <= EX_sigmoid) || e->dt == DT_f16 || e->dt == DT_bf16;
}

/* What the pass promises: checked on every program of this file. */
static void check_statements(const struct stmt *list, const char *what)
{
    for (; list; list = list->next) {
        if (holds(list->a, is_left_over) || holds(list->b, is_left_over) || holds(list->c, is_left_over)) {
            printf("%s: a function or 16-bit float is left\n", what);
            failures++;
        }
        check_statements(list->body, what);
        check_statements(list->other, what);
    }
}

static struct prog *expanded(const struct prog *prog, struct arena *arena, const char *target, const char *what)
{
    struct pass_options options = {.target = target_find(target)};
    struct prog *to = pass_expand(prog, arena, &options);
    struct diag *diag = diag_new(arena);
    if (!prog_verify(to, diag)) {
        printf("%s: the expanded program is wrong\n", what);
        diag_print(diag, stdout);
        failures++;
    }
    for (int i = 0; i < to->kernels.n; i++) check_statements(to->kernels.at[i]->body, what);
    return to;
}

/* The program's output on these inputs. */
static const void *evaluated(const struct prog *prog, struct arena *arena, const void *x, const void *y, const char *what)
{
    struct tensor in[2], out;
    const void *data[2] = {x, y};
    for (int i = 0; i < prog->inputs.n; i++) {
        in[i] = (struct tensor){.type = prog->inputs.at[i]->type, .data = data[i]};
        in[i].n_bytes = prog->inputs.at[i]->elements * dtype_bytes(prog->inputs.at[i]->dt);
    }
    struct diag *diag = diag_new(arena);
    if (prog_eval(prog, in, NULL, arena, &out, diag)) return out.data;
    printf("%s: does not run\n", what);
    diag_print(diag, stdout);
    failures++;
    return NULL;
}

static ex apply(struct prog *prog, const ex *operand, const void *context)
{
    enum expr_op op = *(const enum expr_op *)context;
    return op == EX_pow ? ex_binary(prog, op, operand[0], operand[1]) : ex_unary(prog, op, operand[0]);
}

static const double special[] = {
    0, 1, 2, 3, 4, 5, 0.5, 0.25, 1.5, 9, 20, 0x1p-1074, 0x1p-1022, 0x1p-149, 0x1p-126, 0x1.fffffcp-127, 0x1p127, 0x1p1023,
    0x1.fffffep127, 0x1.fffffffffffffp1023, 0x1p23, 0x1p24, 0x1p53, 0x1p53 + 2, 0x1.fffffep-1, 0x1.000002p0,
    0x1.fffffffffffffp-1, 0x1.0000000000001p0, 88.7228394, 88.7228317, 103.972076, 103.972084, 87.33655, 709.782712893384,
    709.7827128933841, 745.1332191019411, 745.1332191019412, 710.4758600739439, 89.415985, 0x1.921fb54442d18p0,
    0x1.921fb6p0, 0x1.921fb54442d18p1, 6381956970095103.0 * 0x1p797, 16367173.0 * 0x1p72, 9.01, 3.92, 5.86, 0x1p-27,
    (double)INFINITY};
enum { N_SPECIAL = sizeof special / sizeof *special };

enum { N_SAMPLE = 64000, LANES = 8 };

/* Special values with both signs and NaN, 16 random values of every exponent (all bits random), then values of the
 * sizes where functions bend. */
static double sample(int k, bool single, uint64_t *state)
{
    if (k < 2 * N_SPECIAL) return k & 1 ? -special[k / 2] : special[k / 2];
    if (k == 2 * N_SPECIAL) return (double)NAN;
    uint64_t bits = random_bits(state);
    static const double size[] = {1, 2, 10, 50, 120, 1000};
    if (k % 3 == 0) return random_unit(state) * size[bits % 6];
    if (k % 3 == 1) return 1 + random_unit(state) / (double)(1 + bits % 1000);
    float f;
    double d;
    uint32_t low = (uint32_t)bits;
    memcpy(&f, &low, sizeof f);
    memcpy(&d, &bits, sizeof d);
    return single ? (double)f : d;
}

struct worst {
    double ulp, x, y, got;
    long double want;
};

static void worst_add(struct worst *worst, double ulp, double x, double y, double got, long double want)
{
    if (ulp > worst->ulp) *worst = (struct worst){ulp, x, y, got, want};
}

static void worst_report(const struct worst *worst, double bound, const char *what)
{
    bool fine = worst->ulp <= bound;
    printf("%-24s %6.3f ulp of %g", what, worst->ulp, bound);
    if (!fine) printf("  WRONG at %a, %a: got %a, want %La", worst->x, worst->y, worst->got, worst->want);
    printf("\n");
    failures += !fine;
}

static void test_function(const struct math_case *math, const char *target, bool single)
{
    struct arena *arena = arena_new();
    char what[64];
    snprintf(what, sizeof what, "%s %s %s", expr_row(math->op)->name, single ? "f32" : "f64", target);
    enum dtype dt = single ? DT_f32 : DT_f64;
    struct prog *prog = expanded(math_program(arena, dt, dt, 1, N_SAMPLE, LANES, apply, &math->op), arena, target, what);
    float *narrow = NEW_ARRAY(arena, float, N_SAMPLE);
    double *wide = NEW_ARRAY(arena, double, N_SAMPLE);
    uint64_t state = 1;
    for (int i = 0; i < N_SAMPLE; i++) {
        wide[i] = sample(i, single, &state);
        narrow[i] = (float)wide[i];
    }
    struct worst worst = {.ulp = 0};
    const void *out = evaluated(prog, arena, single ? (const void *)narrow : wide, NULL, what);
    for (int i = 0; out && i < N_SAMPLE; i++) {
        if (single) {
            long double want = math->wide((long double)narrow[i]);
            float got = ((const float *)out)[i];
            worst_add(&worst, ulp_error_f32(want, got), (double)narrow[i], 0, (double)got, want);
        } else {
            long double want = math->wide((long double)wide[i]);
            double got = ((const double *)out)[i];
            worst_add(&worst, ulp_error_f64(want, got), wide[i], 0, got, want);
        }
    }
    worst_report(&worst, single ? math->ulp_f32 : math->ulp_f64, what);
    arena_free(arena);
}

/* Pairs: all special ones, whole exponents of negative numbers, and y chosen so that x^y spans the range. */
static void pow_pair(int k, bool single, uint64_t *state, double *x, double *y)
{
    int n = 2 * N_SPECIAL + 1;
    *x = sample(k < n * n ? k / n : n + k, single, state);
    *y = sample(k < n * n ? k % n : n + k, single, state);
    if (k < n * n || k % 4 == 0) return;
    if (k % 16 == 1) { /* whole */
        *x = trunc(random_unit(state) * 1000);
        *y = trunc((1 + random_unit(state)) * 5);
        return;
    }
    *x = k % 4 == 1 ? 1 + random_unit(state) * 1e-5 : ldexp(1.5 + random_unit(state) / 2, (int)(random_bits(state) % 200) - 100);
    if (single) *x = (double)(float)*x;
    *y = random_unit(state) * (single ? 152 : 1080) / fabs(log2(*x));
    if (k % 4 == 3) {
        *y = trunc(*y);
        *x = -*x;
    }
}

static void test_pow(const char *target, bool single)
{
    struct arena *arena = arena_new();
    static const enum expr_op op = EX_pow;
    char what[64];
    snprintf(what, sizeof what, "pow %s %s", single ? "f32" : "f64", target);
    enum dtype dt = single ? DT_f32 : DT_f64;
    struct prog *prog = expanded(math_program(arena, dt, dt, 2, N_SAMPLE, LANES, apply, &op), arena, target, what);
    float *narrow[2] = {NEW_ARRAY(arena, float, N_SAMPLE), NEW_ARRAY(arena, float, N_SAMPLE)};
    double *wide[2] = {NEW_ARRAY(arena, double, N_SAMPLE), NEW_ARRAY(arena, double, N_SAMPLE)};
    uint64_t state = 2;
    for (int i = 0; i < N_SAMPLE; i++) {
        pow_pair(i, single, &state, &wide[0][i], &wide[1][i]);
        for (int k = 0; k < 2; k++) narrow[k][i] = (float)wide[k][i];
    }
    struct worst worst = {.ulp = 0};
    const void *out = evaluated(prog, arena, single ? (const void *)narrow[0] : wide[0], single ? (const void *)narrow[1] : wide[1], what);
    for (int i = 0; out && i < N_SAMPLE; i++) {
        double x = single ? (double)narrow[0][i] : wide[0][i], y = single ? (double)narrow[1][i] : wide[1][i];
        double got = single ? (double)((const float *)out)[i] : ((const double *)out)[i];
        long double want = powl((long double)x, (long double)y);
        if (x == trunc(x) && y == trunc(y) && y >= 0 && fabsl(want) < (single ? 0x1p24L : 0x1p46L) && (double)want != got) {
            printf("%s: %a ^ %a is not exact\n", what, x, y);
            failures++;
        }
        worst_add(&worst, single ? ulp_error_f32(want, (float)got) : ulp_error_f64(want, got), x, y, got, want);
    }
    worst_report(&worst, single ? 0.6 : 32, what); /* 32 ulp: 7.2e-15 */
    arena_free(arena);
}

static int64_t wrapped(enum dtype dt, uint64_t v)
{
    int shift = 64 - 8 * (int)dtype_bytes(dt);
    return dtype_class(dt) == DT_SIGNED ? (int64_t)(v << shift) >> shift : (int64_t)(v << shift >> shift);
}

static int64_t pow_plain(enum dtype dt, int64_t x, int64_t y)
{
    if (y < 0 && dtype_class(dt) == DT_SIGNED) return x == 1 ? 1 : x == -1 ? (y & 1 ? -1 : 1) : 0;
    uint64_t result = 1, square = (uint64_t)x;
    for (uint64_t k = (uint64_t)y; k; k >>= 1, square *= square)
        if (k & 1) result *= square;
    return wrapped(dt, result);
}

static void test_pow_int(enum dtype dt)
{
    enum { N = 4096 };
    struct arena *arena = arena_new();
    static const enum expr_op op = EX_pow;
    struct prog *prog = expanded(math_program(arena, dt, dt, 2, N, LANES, apply, &op), arena, "portable", dtype_name(dt));
    size_t size = (size_t)dtype_bytes(dt);
    char *data[2] = {arena_alloc(arena, N * size), arena_alloc(arena, N * size)};
    int64_t value[2][N];
    uint64_t state = 3;
    for (int i = 0; i < N; i++)
        for (int k = 0; k < 2; k++) {
            uint64_t bits = random_bits(&state);
            value[k][i] = wrapped(dt, i < 400 ? (uint64_t)(k ? i % 20 - 5 : i / 20 - 5) : i % 2 ? bits : bits % 70);
            memcpy(data[k] + (size_t)i * size, &value[k][i], size);
        }
    const char *out = evaluated(prog, arena, data[0], data[1], dtype_name(dt));
    int wrong = 0;
    for (int i = 0; out && i < N; i++) {
        int64_t want = pow_plain(dt, value[0][i], value[1][i]), got = 0;
        memcpy(&got, out + (size_t)i * size, size);
        if (wrapped(dt, (uint64_t)got) != want && wrong++ < 3)
            printf("pow %s: %lld ^ %lld gives %lld, want %lld\n", dtype_name(dt), (long long)value[0][i], (long long)value[1][i],
                   (long long)wrapped(dt, (uint64_t)got), (long long)want);
    }
    failures += wrong > 0;
    arena_free(arena);
}

static ex convert(struct prog *prog, const ex *operand, const void *context)
{
    return ex_cast(prog, operand[0], *(const enum dtype *)context);
}

static ex square_rounded(struct prog *prog, const ex *operand, const void *context)
{
    ex wide = ex_cast(prog, operand[0], DT_f32), half = ex_cast(prog, ex_binary(prog, EX_mul, wide, wide), *(const enum dtype *)context);
    return ex_binary(prog, EX_add, ex_cast(prog, half, DT_f32), ex_float(prog, DT_f32, 1));
}

/* All 65536 values to f32; f32 values around every 16-bit one back; a rounding in the middle of f32 work. */
static void test_half(enum dtype half, const char *cpu)
{
    enum { N = 65536, SHIFTS = 8 };
    struct arena *arena = arena_new();
    static const enum dtype single = DT_f32;
    const char *what = dtype_name(half);
    uint16_t *bits = NEW_ARRAY(arena, uint16_t, N);
    float *value = NEW_ARRAY(arena, float, N);
    for (int i = 0; i < N; i++) {
        bits[i] = (uint16_t)i;
        value[i] = half == DT_f16 ? f16_to_float(bits[i]) : bf16_to_float(bits[i]);
    }
    struct prog *widen = expanded(math_program(arena, half, DT_f32, 1, N, LANES, convert, &single), arena, cpu, what);
    const float *wide = evaluated(widen, arena, bits, NULL, what);
    int wrong = !wide || memcmp(wide, value, N * sizeof *value) != 0;
    struct prog *narrow = expanded(math_program(arena, DT_f32, half, 1, N, LANES, convert, &half), arena, cpu, what);
    struct prog *square = expanded(math_program(arena, half, DT_f32, 1, N, LANES, square_rounded, &half), arena, cpu, what);
    const float *squares = evaluated(square, arena, bits, NULL, what);
    static const uint32_t nudge[SHIFTS] = {0, 1, 0xffffffffu, 0x1000, 0xfff, 0x1001, 0x8000, 0x7fff};
    for (int k = 0; k < SHIFTS; k++) {
        float *near = NEW_ARRAY(arena, float, N);
        for (int i = 0; i < N; i++) {
            uint32_t u;
            memcpy(&u, &value[i], sizeof u);
            u += nudge[k];
            memcpy(&near[i], &u, sizeof u);
        }
        const uint16_t *back = evaluated(narrow, arena, near, NULL, what);
        for (int i = 0; back && i < N; i++) wrong += back[i] != (half == DT_f16 ? f16_from_float(near[i]) : bf16_from_float(near[i]));
    }
    for (int i = 0; squares && i < N; i++) {
        float s = value[i] * value[i];
        float want = (half == DT_f16 ? f16_to_float(f16_from_float(s)) : bf16_to_float(bf16_from_float(s))) + 1;
        wrong += !(want == squares[i] || (isnan(want) && isnan(squares[i])));
    }
    printf("%-24s %d wrong on %s\n", what, wrong, cpu);
    failures += wrong > 0;
    arena_free(arena);
}

/* r = 1; while (exp(r) < 100) r = r + 1; if (log(r) < 2) z[0] = r  -- functions where no let may stand */
static void test_conditions(void)
{
    struct arena *arena = arena_new();
    struct prog *prog = prog_new(arena, arena, dims_new(arena), "conditions");
    struct buffer *z = prog_buffer(prog, "z", DT_f32, SPACE_OUTPUT, 1);
    struct kernel *kernel = prog_kernel(prog, "grow");
    struct buffer *param = kernel_param(prog, kernel, "z", DT_f32, 1);
    LIST_PUSH(arena, &prog->output_names, "z");
    param->written = true;
    struct var *r = prog_var(prog, "r", DT_f32, 1);
    ex now = ex_var(prog, r), zero = ex_dim(prog, 0);
    struct stmt *loop = stmt_new(prog, STMT_WHILE), *check = stmt_new(prog, STMT_IF), *call = stmt_new(prog, STMT_CALL);
    loop->body = stmt_set(prog, r, ex_binary(prog, EX_add, now, ex_float(prog, DT_f32, 1)));
    loop->a = ex_binary(prog, EX_lt, ex_unary(prog, EX_exp, now), ex_float(prog, DT_f32, 100));
    check->a = ex_binary(prog, EX_lt, ex_unary(prog, EX_log, now), ex_float(prog, DT_f32, 2));
    check->body = stmt_store(prog, param, zero, now, 1, NULL);
    kernel->body = stmt_let(prog, r, ex_float(prog, DT_f32, 1), true);
    stmt_append(&kernel->body, loop);
    stmt_append(&kernel->body, check);
    call->kernel = kernel;
    call->n_args = 1;
    call->args = NEW_ARRAY(arena, struct call_arg, 1);
    call->args[0].buf = z;
    prog->main = call;
    const float *out = evaluated(expanded(prog, arena, "portable", "conditions"), arena, NULL, NULL, "conditions");
    if (!out || *out != 5) {
        printf("conditions: %g instead of 5\n", out ? (double)*out : (double)NAN);
        failures++;
    }
    arena_free(arena);
}

int main(void)
{
    static const char *const targets[] = {"portable", "x86-64-v3"}; /* without and with fma */
    for (int t = 0; t < 2; t++)
        for (int single = 0; single < 2; single++) {
            for (int i = 0; i < N_MATH_CASES; i++) test_function(&math_cases[i], targets[t], single);
            test_pow(targets[t], single);
        }
    static const enum dtype whole[] = {DT_i8, DT_i16, DT_i32, DT_i64, DT_u8, DT_u16, DT_u32, DT_u64};
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) test_pow_int(whole[i]);
    test_half(DT_f16, "portable");
    test_half(DT_bf16, "portable");
    test_half(DT_f16, "x86-64-v3"); /* by instructions, in what is compared with the interpreter */
    test_conditions();
    printf("%d failures\n", failures);
    return failures > 0;
}
