/* The LLVM back end against the interpreter: every expression kind on every type, scalar and in vectors, over pairs of
 * ordinary and extreme values; and the statements, memory modes and symbols in small programs in text form
 * (tests/llvm/NAME.prog). Each program becomes an object for every target row this machine can run, is linked into a
 * library, loaded and called. Outputs must be equal, NaN for NaN.
 */
#define _POSIX_C_SOURCE 200809L
#include "../codegen/codegen.h"

#include <dlfcn.h>
#include <math.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { N = 256, SYMBOLS_MOST = 8 };
extern char **environ;

struct test {
    struct arena *arena;
    char folder[64];
    int failures, compared, libraries;
};

/* ---- compiling and loading ---- */

struct path_list {
    char **at;
    int n, cap;
};

static bool run_command(char *const *argv)
{
    pid_t child;
    int status;
    if (posix_spawnp(&child, argv[0], NULL, NULL, argv, environ)) return false;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* NAME_weights as C text beside the object. */
static bool weights_text(struct test *test, const struct prog *prog, const char *path, struct diag *diag)
{
    struct weights_layout layout;
    weights_place(&(struct version){.prog = prog}, 1, test->arena, &layout);
    const char *bytes_path = arena_printf(test->arena, "%s/weights.bin", test->folder);
    if (!weights_write(&layout, bytes_path, diag)) return false;
    FILE *in = fopen(bytes_path, "rb"), *out = fopen(path, "w");
    if (!in || !out) return false;
    fprintf(out, "_Alignas(64) const unsigned char %s_weights[] = {", prog->name);
    for (int c; (c = fgetc(in)) != EOF;) fprintf(out, "%d,", c);
    fprintf(out, "0};\n");
    fclose(in);
    return fclose(out) == 0;
}

/* The program's objects in `folder`, their paths into *paths. */
static bool make_objects(struct test *test, const struct prog *prog, const struct target *target, const char *folder,
                         struct path_list *paths, struct diag *diag)
{
    struct emission emission;
    struct text names = {.arena = test->arena};
    emission_open(&(struct version){.prog = prog, .target = target}, 1, test->arena, &emission);
    mkdir(folder, 0777);
    if (!llvm_objects(&emission, folder, &names, diag)) return false;
    char *list = arena_strdup(test->arena, text_string(&names));
    for (char *name = strtok(list, "\n"); name; name = strtok(NULL, "\n"))
        LIST_PUSH(test->arena, paths, arena_printf(test->arena, "%s/%s", folder, name));
    return true;
}

/* The same program gives the same bytes. */
static bool is_repeatable(struct test *test, const struct prog *prog, const struct target *target, const char *folder,
                          const struct path_list *paths, struct diag *diag)
{
    struct path_list again = {.n = 0};
    if (!make_objects(test, prog, target, arena_printf(test->arena, "%s_again", folder), &again, diag)) return false;
    if (again.n != paths->n) return false;
    for (int i = 0; i < again.n; i++) {
        char *argv[] = {(char[]){"cmp"}, again.at[i], paths->at[i], NULL};
        if (!run_command(argv)) return false;
    }
    return true;
}

/* Debug information says where a kernel comes from, by a name that does not depend on where files lie. */
static bool names_its_place(struct test *test, const char *object, const char *label)
{
    char *file = arena_printf(test->arena, "%s.prog", label);
    char *present[] = {(char[]){"grep"}, (char[]){"-aqF"}, file, (char *)(uintptr_t)object, NULL};
    char *folder[] = {(char[]){"grep"}, (char[]){"-aqF"}, (char[]){"tests/llvm"}, (char *)(uintptr_t)object, NULL};
    return run_command(present) && !run_command(folder);
}

typedef int run_function(const void *, const void *, void *);

static run_function *compile(struct test *test, const struct prog *prog, const struct target *target, const char *name)
{
    struct diag *diag = diag_new(test->arena);
    const char *label =
        arena_printf(test->arena, "%s_%d", name, test->libraries++); /* a loaded library is never replaced */
    const char *folder = arena_printf(test->arena, "%s/%s_%s", test->folder, label, target->name);
    char *weights = arena_printf(test->arena, "%s/%s.c", test->folder, label);
    char *library = arena_printf(test->arena, "%s/%s_%s.so", test->folder, label, target->name);
    const char *cc = getenv("TENON_CC");
    struct path_list objects = {.n = 0}, argv = {.n = 0};
    char *words[] = {(char *)(uintptr_t)(cc ? cc : "cc"), (char[]){"-shared"}, (char[]){"-fPIC"}, (char[]){"-o"},
                     library,                             weights,             (char[]){"-lm"}};
    bool is_text = prog->kernels.n < 10; /* of a file; the programs made here are large and have no places */
    bool good = make_objects(test, prog, target, folder, &objects, diag);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) LIST_PUSH(test->arena, &argv, words[i]);
    for (int i = 0; i < objects.n; i++) LIST_PUSH(test->arena, &argv, objects.at[i]);
    LIST_PUSH(test->arena, &argv, NULL);
    if (!good ||
        (is_text && (!is_repeatable(test, prog, target, folder, &objects, diag) || !names_its_place(test, objects.at[0], name))) ||
        !weights_text(test, prog, weights, diag) || !run_command(argv.at)) {
        diag_print(diag, stderr);
        return NULL;
    }
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!handle) fprintf(stderr, "%s\n", dlerror());
    run_function *run = NULL;
    if (handle) *(void **)&run = dlsym(handle, arena_printf(test->arena, "%s_run", prog->name));
    return run;
}

/* ---- comparing ---- */

static double as_number(enum dtype dt, const void *data, int64_t i)
{
    const uint16_t *half = data;
    if (dt == DT_f64) return ((const double *)data)[i];
    if (dt == DT_f32) return (double)((const float *)data)[i];
    return (double)(dt == DT_f16 ? f16_to_float(half[i]) : bf16_to_float(half[i]));
}

static bool is_same(enum dtype dt, const void *a, const void *b, int64_t i, double tolerance)
{
    size_t size = (size_t)dtype_bytes(dt);
    if (!dtype_is_float(dt))
        return !memcmp((const char *)a + (size_t)i * size, (const char *)b + (size_t)i * size, size);
    double x = as_number(dt, a, i), y = as_number(dt, b, i);
    if (isnan(x) || isnan(y)) return isnan(x) && isnan(y);
    return x == y || fabs(x - y) <= tolerance * fabs(y);
}

/* Runs prog on every target and compares all outputs with the interpreter's. tolerance: relative, per output. */
static void check(struct test *test, const struct prog *prog, const struct tensor *in, const int64_t *symbols,
                  const double *tolerance, const char *label)
{
    struct diag *diag = diag_new(test->arena);
    int n_symbols = dims_n_symbols(prog->dims), n_out = prog->outputs.n;
    struct tensor *want = NEW_ARRAY(test->arena, struct tensor, n_out);
    if (!prog_verify(prog, diag) || !prog_eval(prog, in, symbols, test->arena, want, diag)) {
        diag_print(diag, stderr);
        test->failures++;
        return;
    }
    uintptr_t *words = NEW_ARRAY(test->arena, uintptr_t, prog->inputs.n + n_symbols + 1);
    void **out = NEW_ARRAY(test->arena, void *, n_out);
    for (int i = 0; i < prog->inputs.n; i++) words[i] = (uintptr_t)in[i].data;
    for (int i = 0; i < n_symbols; i++) words[prog->inputs.n + i] = (uintptr_t)symbols[i];
    int64_t arena_bytes = prog->arena_bytes == -1 ? 0 : dim_eval(prog->dims, prog->arena_bytes, symbols);
    for (int t = 0; t < target_count(); t++) {
        const struct target *target = target_at(t);
        if (target->triple[0] || target->vector_bytes == 0) continue; /* another machine; portable: as x86-64 here */
        run_function *run = compile(test, prog, target, label);
        for (int i = 0; i < n_out; i++) {
            out[i] = arena_alloc(test->arena, (size_t)want[i].n_bytes + 1);
            memset(out[i], 0xa5, (size_t)want[i].n_bytes);
        }
        if (!run || run(words, out, arena_alloc(test->arena, (size_t)arena_bytes + 64)) != 0) {
            fprintf(stderr, "%s on %s: no result\n", label, target->name);
            test->failures++;
        } else
            for (int i = 0; i < n_out; i++)
                for (int64_t k = 0; k < type_count(&want[i].type); k++, test->compared++)
                    if (!is_same(want[i].type.dt, out[i], want[i].data, k, tolerance ? tolerance[i] : 0)) {
                        fprintf(stderr, "%s on %s: output %s differs at %lld\n", label, target->name,
                                prog->outputs.at[i]->name, (long long)k);
                        if (test->failures++ > 20) exit(1);
                        break;
                    }
        if (target == host_target()) break; /* rows are in order of width */
    }
}

/* ---- every expression kind ---- */

static int special_ints(enum dtype dt, int64_t *v)
{
    int64_t least = dtype_int_min(dt), most = (int64_t)dtype_int_max(dt), width = 8 * dtype_bytes(dt);
    const int64_t list[16] = {0, 1, -1, 2, -2, 3, 7, -7, least, most, least + 1, width - 1, width, width + 1, 100, -29};
    memcpy(v, list, sizeof list);
    return 16;
}

static const double special_floats[16] = {0.0,  -0.0,  1.0,     -1.0,  0.5,      -1.5,      2.5, -2.5,
                                          3.75, -3.25, 30000.0, -1e10, INFINITY, -INFINITY, NAN, 1e-3};

static void element_set(enum dtype dt, void *data, int64_t i, int64_t whole, double number)
{
    unsigned char *at = (unsigned char *)data + i * dtype_bytes(dt);
    float single = (float)number;
    uint16_t half = dt == DT_f16 ? f16_from_float(single) : bf16_from_float(single);
    if (dt == DT_f64) memcpy(at, &number, sizeof number);
    else if (dt == DT_f32) memcpy(at, &single, sizeof single);
    else if (dtype_is_float(dt)) memcpy(at, &half, sizeof half);
    else if (dt == DT_bool) *at = whole & 1;
    else memcpy(at, &whole, (size_t)dtype_bytes(dt));
}

/* Operand `which` of dt: the 16 special values in all pairs over operands 0 and 1, mixed for operand 2. */
static struct tensor operand(struct test *test, enum dtype dt, int which)
{
    struct tensor t = {.type = {.dt = dt, .rank = 1, .dim = {N}}, .n_bytes = N * dtype_bytes(dt)};
    void *data = arena_alloc(test->arena, (size_t)t.n_bytes);
    int64_t whole[16];
    special_ints(dt, whole);
    for (int i = 0; i < N; i++) {
        int pick = which == 0 ? i / 16 : which == 1 ? i % 16 : (i / 16 + i) % 16;
        element_set(dt, data, i, whole[pick], special_floats[pick]);
    }
    t.data = data;
    return t;
}

static bool is_valid(enum expr_op op, enum dtype dt, int lanes)
{
    bool is_real = dtype_is_float(dt), is_bool = dt == DT_bool, is_index = dt == DT_index;
    if (op >= EX_exp && op <= EX_sigmoid) return false; /* expanded before printing */
    if (op == EX_and || op == EX_or || op == EX_xor || op == EX_not) return !is_real && !is_index;
    if (op == EX_shl || op == EX_shr) return !is_real && !is_bool && !is_index;
    if (op == EX_fma || op == EX_floor || op == EX_ceil || op == EX_round || op == EX_trunc || op == EX_sqrt ||
        op == EX_is_nan || op == EX_is_inf)
        return is_real;
    if (expr_is_dot(op)) return dt == DT_i32;
    if (op == EX_pack) return dt == DT_f32 && lanes > 1;
    if (op == EX_from_f16 || op == EX_to_f16) return dt == (op == EX_from_f16 ? DT_u16 : DT_f32);
    if (op == EX_eq || op == EX_lt || op == EX_le || op == EX_select || op == EX_splat) return true;
    if (is_index && (op == EX_pow || op == EX_rem || op == EX_abs || op == EX_neg || op == EX_hmul)) return false;
    if (op == EX_ramp) return !is_real && !is_bool;
    return !is_bool && op > EX_load && op != EX_cast && op != EX_bits;
}

static ex apply(struct prog *prog, enum expr_op op, ex a, ex b, ex c, int lanes)
{
    if (op == EX_select) return ex_select(prog, ex_binary(prog, EX_lt, a, b), a, c);
    if (op == EX_fma) return ex_fma(prog, a, b, c);
    if (expr_is_dot(op)) { /* 255 by 127, by -128 and by all there is: the largest sums */
        c = ex_dot(prog, op, ex_int(prog, DT_i32, -1), ex_int(prog, DT_i32, 0x7f7f7f7f), ex_dot(prog, op, a, b, c));
        return ex_dot(prog, op, ex_int(prog, DT_i32, -1), b, ex_dot(prog, op, a, ex_int(prog, DT_i32, -0x7f7f7f80), c));
    }
    if (op == EX_pack) return ex_pack(prog, a, b, ex_int(prog, DT_i32, 116));
    if (op == EX_splat) return ex_splat(prog, a, lanes);
    if (op == EX_ramp) return ex_ramp(prog, a, 3, lanes);
    return expr_row(op)->args == 1 ? ex_unary(prog, op, a) : ex_binary(prog, op, a, b);
}

struct cases { /* the program being made, with its operands by type */
    struct test *test;
    struct prog *prog;
    struct buffer *in[DT_COUNT][3];
    LIST(struct tensor) tensors;
    LIST(double) tolerance;
    struct stmt *main;
};

/* Operands of index are i64 of moderate size (index never overflows), converted. */
static struct buffer *case_input(struct cases *cases, enum dtype dt, int which)
{
    struct buffer **in = &cases->in[dt][which];
    if (*in) return *in;
    enum dtype stored = dt == DT_index ? DT_i64 : dt;
    const char *name = arena_printf(cases->test->arena, "%s_%d", dtype_name(dt), which);
    *in = prog_buffer(cases->prog, name, stored, SPACE_INPUT, N);
    (*in)->type = (struct type){.dt = stored, .rank = 1, .dim = {N}};
    struct tensor t = operand(cases->test, dt == DT_index ? DT_i16 : dt, which);
    if (dt == DT_index) {
        int64_t *wide = NEW_ARRAY(cases->test->arena, int64_t, N);
        for (int i = 0; i < N; i++) wide[i] = ((const int16_t *)t.data)[i];
        t = (struct tensor){.type = (*in)->type, .data = wide, .n_bytes = N * 8};
    }
    LIST_PUSH(cases->test->arena, &cases->tensors, t);
    return *in;
}

static ex case_load(struct cases *cases, struct buffer *from, enum dtype dt, ex at, int lanes)
{
    ex v = ex_load(cases->prog, from, from->dt, at, lanes, 1);
    return dt == DT_index ? ex_cast(cases->prog, v, DT_index) : v;
}

/* kernel: for k in 0..N/width: y[k*lanes of the result] = value */
static void add_case(struct cases *cases, const char *label, enum dtype dt, enum expr_op op, enum dtype to, int lanes)
{
    struct prog *prog = cases->prog;
    struct test *test = cases->test;
    struct kernel *kernel = prog_kernel(prog, label);
    struct stmt *call = stmt_new(prog, STMT_CALL);
    ex v[3];
    int width = op == EX_splat || op == EX_ramp ? 1 : lanes;
    struct var *k = prog_index(prog, "k", 0, N / width - 1);
    ex at = ex_binary(prog, EX_mul, ex_var(prog, k), ex_dim(prog, width));
    call->args = NEW_ARRAY(test->arena, struct call_arg, 4);
    for (int i = 0; i < 3; i++) {
        struct buffer *actual = case_input(cases, dt, i);
        struct buffer *formal = kernel_param(prog, kernel, actual->name, actual->dt, N);
        call->args[i] = (struct call_arg){actual, NULL};
        v[i] = case_load(cases, formal, dt, at, width);
    }
    ex value = op == EX_cast   ? ex_cast(prog, v[0], to)
               : op == EX_bits ? ex_bits(prog, v[0], to)
                               : apply(prog, op, v[0], v[1], v[2], lanes);
    if (value->dt == DT_index) value = ex_cast(prog, value, DT_i64);
    dim elements = N / width * value->lanes;
    struct buffer *out = prog_buffer(prog, label, value->dt, SPACE_OUTPUT, elements);
    out->type = (struct type){.dt = value->dt, .rank = 1, .dim = {elements}};
    struct buffer *y = kernel_param(prog, kernel, "y", value->dt, elements);
    y->written = true;
    kernel->layers = kernel->strategy = "";
    ex to_index = ex_binary(prog, EX_mul, ex_var(prog, k), ex_dim(prog, value->lanes));
    kernel->body =
        stmt_for(prog, k, ex_dim(prog, 0), ex_dim(prog, N / width), 1, stmt_store(prog, y, to_index, value, 1, NULL));
    call->args[3] = (struct call_arg){out, NULL};
    call->kernel = kernel;
    call->n_args = 4;
    stmt_append(&cases->main, call);
    double tolerance = !dtype_is_float(dt) || op != EX_pow ? 0 : dt == DT_f64 ? 1e-15 : dt == DT_f32 ? 1e-6 : 1e-2;
    LIST_PUSH(test->arena, &cases->tolerance, tolerance);
}

static void add_casts(struct cases *cases, enum dtype from, int lanes)
{
    for (int to = 0; to < DT_COUNT; to++) {
        if (to == (int)from) continue;
        const char *names[] = {dtype_name(from), dtype_name((enum dtype)to)};
        struct arena *arena = cases->test->arena;
        add_case(cases, arena_printf(arena, "%s_to_%s_%d", names[0], names[1], lanes), from, EX_cast, (enum dtype)to,
                 lanes);
        bool has_bits = from != DT_bool && from != DT_index && to != DT_bool && to != DT_index;
        if (has_bits && dtype_bytes(from) == dtype_bytes((enum dtype)to))
            add_case(cases, arena_printf(arena, "%s_as_%s_%d", names[0], names[1], lanes), from, EX_bits,
                     (enum dtype)to, lanes);
    }
}

static void test_kinds(struct test *test, int lanes)
{
    struct dims *dims = dims_new(test->arena);
    struct cases cases = {.test = test, .prog = prog_new(test->arena, test->arena, dims, "kinds")};
    for (int dt = 0; dt < DT_COUNT; dt++) {
        for (int op = EX_add; op < EX_COUNT; op++)
            if (is_valid((enum expr_op)op, (enum dtype)dt, lanes))
                add_case(&cases,
                         arena_printf(test->arena, "%s_%s_%d", expr_row((enum expr_op)op)->name,
                                      dtype_name((enum dtype)dt), lanes),
                         (enum dtype)dt, (enum expr_op)op, (enum dtype)dt, lanes);
        add_casts(&cases, (enum dtype)dt, lanes);
    }
    cases.prog->main = cases.main;
    check(test, cases.prog, cases.tensors.at, NULL, cases.tolerance.at, arena_printf(test->arena, "kinds%d", lanes));
}

/* ---- programs in text ---- */

static const char *file_text(struct test *test, const char *path)
{
    FILE *file = fopen(path, "rb");
    struct text text = {.arena = test->arena};
    char buffer[4096];
    if (!file) return NULL;
    for (size_t n; (n = fread(buffer, 1, sizeof buffer, file)) > 0;) text_add_n(&text, buffer, n);
    fclose(file);
    return text_string(&text);
}

/* Inputs are counted up in sevenths around zero; integers from 0. */
static struct tensor counted(struct test *test, const struct prog *prog, const struct buffer *buf,
                             const int64_t *symbols)
{
    int64_t n = dim_eval(prog->dims, buf->elements, symbols);
    struct tensor t = {.type = {.dt = buf->dt, .rank = 1, .dim = {n}}, .n_bytes = n * dtype_bytes(buf->dt)};
    if (buf->type.rank) t.type.rank = buf->type.rank;
    for (int i = 0; i < buf->type.rank; i++) t.type.dim[i] = dim_eval(prog->dims, buf->type.dim[i], symbols);
    void *data = arena_alloc(test->arena, (size_t)t.n_bytes + 1);
    for (int64_t i = 0; i < n; i++) element_set(buf->dt, data, i, i % 50, (double)(i * 13 % 31 - 15) / 7.0);
    t.data = data;
    return t;
}

static struct prog *read_text(struct test *test, const char *name)
{
    const char *path = arena_printf(test->arena, "tests/llvm/%s.prog", name), *text = file_text(test, path);
    struct source *source = NEW(test->arena, struct source); /* places in the program point to it */
    *source = (struct source){path, text, text ? strlen(text) : 0};
    struct diag *diag = diag_new(test->arena);
    struct prog *prog = text ? prog_parse(source, test->arena, test->arena, dims_new(test->arena), diag) : NULL;
    if (prog) return prog;
    fprintf(stderr, "%s cannot be read\n", path);
    diag_print(diag, stderr);
    test->failures++;
    return NULL;
}

/* Failed checks end the run with their code, from kernels and from the main body. */
static void test_failures(struct test *test)
{
    const struct prog *prog = read_text(test, "fails");
    run_function *run = prog ? compile(test, prog, target_find("x86-64"), "fails") : NULL;
    if (!run && prog) test->failures++;
    static const int want[4] = {0, 3, 4, 0};
    for (int32_t x = 0; run && x < 4; x++, test->compared++) {
        int32_t y = -1;
        void *in[] = {&x}, *out[] = {&y};
        int status = run(in, out, NULL);
        if (status == want[x] && (status || y == x + 1)) continue;
        fprintf(stderr, "fails: %d gives status %d, not %d\n", x, status, want[x]);
        test->failures++;
    }
}

static void test_text(struct test *test, const char *name)
{
    struct prog *prog = read_text(test, name);
    if (!prog) return;
    int n_symbols = dims_n_symbols(prog->dims);
    int64_t symbols[SYMBOLS_MOST] = {0};
    if (n_symbols > SYMBOLS_MOST) exit(1);
    for (int round = 0; round < (n_symbols ? 3 : 1); round++) {
        for (int i = 0; i < n_symbols; i++) symbols[i] = dims_symbol(prog->dims, i)->lo + round * 7;
        struct tensor *in = NEW_ARRAY(test->arena, struct tensor, prog->inputs.n + 1);
        for (int i = 0; i < prog->inputs.n; i++) in[i] = counted(test, prog, prog->inputs.at[i], symbols);
        check(test, prog, in, symbols, NULL, name);
    }
}

int main(void)
{
    if (!llvm_is_built_in()) {
        puts("built without LLVM: nothing to test");
        return 0;
    }
    static const char *const programs[] = {"loops", "memory", "control", "symbols", "weights"};
    static const int lanes[] = {1, 4, 16};
    struct test test = {.arena = arena_new(), .folder = "/tmp/tenon-llvm-XXXXXX"};
    if (!mkdtemp(test.folder)) return 1;
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) test_text(&test, programs[i]);
    test_failures(&test);
    for (size_t i = 0; i < sizeof lanes / sizeof *lanes; i++) test_kinds(&test, lanes[i]);
    char *argv[] = {(char[]){"rm"}, (char[]){"-rf"}, test.folder, NULL};
    run_command(argv);
    printf("%d values compared, %d failures\n", test.compared, test.failures);
    arena_free(test.arena);
    return test.failures || test.compared == 0;
}
