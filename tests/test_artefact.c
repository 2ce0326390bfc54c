/* Every kind of artefact of a small model with an open dimension: it links, runs, allocates nothing, says what is
 * wrong with its inputs, and comes out with the same bytes twice.
 */
#define _POSIX_C_SOURCE 200809L
#include "../codegen/codegen.h"
#include "../runtime/npy.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WIDE = 2048 }; /* 8 KiB of weights: more than C text takes */

static int wrong;
static char folder[4096];
static const char *cc;

static void check(bool good, const char *what)
{
    if (!good) wrong++, printf("wrong: %s\n", what);
}

/* y[n, c] = max(x[n, c] + w[c], 0), through the arena; fails with 5 where x[0, 0] is 13 */
static struct prog *model(struct arena *arena, int64_t width, int lanes)
{
    struct dims *dims = dims_new(arena);
    struct prog *prog = prog_new(arena, arena, dims, "add_relu");
    dim n_rows = dim_symbol(dims, "N", 1, 100), all = dim_mul(dims, n_rows, width);
    float *w = NEW_ARRAY(arena, float, width);
    for (int64_t i = 0; i < width; i++) w[i] = (float)(i % 7) - 3;
    struct tensor *tensor = NEW(arena, struct tensor);
    *tensor = (struct tensor){.type = {.dt = DT_f32, .rank = 1, .dim = {width}}, .data = w, .n_bytes = width * 4};
    struct buffer *x = prog_buffer(prog, "x", DT_f32, SPACE_INPUT, all),
                  *y = prog_buffer(prog, "y", DT_f32, SPACE_OUTPUT, all);
    x->type.rank = y->type.rank = 2;
    x->type.dim[0] = y->type.dim[0] = n_rows;
    x->type.dim[1] = y->type.dim[1] = width;
    LIST_PUSH(arena, &prog->input_names, "x*/ \"quoted\\");
    LIST_PUSH(arena, &prog->output_names, "y");
    struct buffer *weight = prog_buffer(prog, "w", DT_f32, SPACE_WEIGHT, width),
                  *work = prog_buffer(prog, "work", DT_f32, SPACE_ARENA, all);
    weight->tensor = tensor;
    work->offset_bytes = 0;
    prog->arena_bytes = dim_mul(dims, all, 4);
    for (int k = 0; k < 2; k++) {
        struct kernel *kernel = prog_kernel(prog, k ? "relu" : "add");
        struct buffer *a = kernel_param(prog, kernel, "a", DT_f32, all),
                      *b = k ? a : kernel_param(prog, kernel, "w", DT_f32, width);
        struct buffer *r = kernel_param(prog, kernel, "r", DT_f32, all);
        r->written = true;
        struct var *n = prog_index(prog, "n", 0, dim_sub(dims, n_rows, 1)), *c = prog_index(prog, "c", 0, width - 1);
        ex zero = ex_int(prog, DT_index, 0),
           at = ex_binary(prog, EX_add, ex_binary(prog, EX_mul, ex_var(prog, n), ex_int(prog, DT_index, width)),
                          ex_var(prog, c));
        ex v = ex_load(prog, a, DT_f32, at, lanes, 1);
        v = k ? ex_binary(prog, EX_max, v, ex_float(prog, DT_f32, 0))
              : ex_binary(prog, EX_add, v, ex_load(prog, b, DT_f32, ex_var(prog, c), lanes, 1));
        struct stmt *inner =
            stmt_for(prog, c, zero, ex_int(prog, DT_index, width), lanes, stmt_store(prog, r, at, v, 1, NULL));
        kernel->body = stmt_for(prog, n, zero, ex_dim(prog, n_rows), 1, inner);
        struct stmt *call = stmt_new(prog, STMT_CALL);
        call->kernel = kernel;
        call->n_args = kernel->params.n;
        call->args = NEW_ARRAY(arena, struct call_arg, 3);
        call->args[0].buf = k ? work : x;
        if (!k) call->args[1].buf = weight;
        call->args[kernel->params.n - 1].buf = k ? y : work;
        stmt_append(&prog->main, call);
    }
    struct stmt *fail = stmt_new(prog, STMT_FAIL);
    fail->a =
        ex_binary(prog, EX_eq, ex_load(prog, x, DT_f32, ex_int(prog, DT_index, 0), 1, 1), ex_float(prog, DT_f32, 13));
    fail->code = 5;
    stmt_append(&prog->main, fail);
    return prog;
}

/* Runs a command in which @ stands for the compiler, % for the folder, ^ for `part`. */
static int shell(struct arena *arena, const char *command, const char *part)
{
    struct text text = {.arena = arena};
    for (const char *p = command; *p; p++)
        if (*p == '@') text_add(&text, cc);
        else if (*p == '%') text_add(&text, folder);
        else if (*p == '^') text_add(&text, part);
        else text_add_n(&text, p, 1);
    int status = system(text_string(&text));
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static char *file_bytes(struct arena *arena, const char *path, size_t *n)
{
    FILE *file = fopen(path, "rb");
    struct text text = {.arena = arena};
    char buffer[4096];
    for (size_t k; file && (k = fread(buffer, 1, sizeof buffer, file)) > 0;) text_add_n(&text, buffer, k);
    if (file) fclose(file);
    *n = text.n;
    return text.at;
}

/* A host that allows no allocation while the model runs. */
static const char host[] =
    "#include <stdlib.h>\n#include <string.h>\n#include \"model.h\"\n"
    "static int running;\nstatic _Alignas(16) char pool[1 << 22];\nstatic size_t used;\n"
    "void *malloc(size_t n)\n{\n    if (running || n > sizeof pool - used - 64) _Exit(9);\n    void *p = pool + "
    "used;\n    used += (n + 15) / 16 * 16;\n    return p;\n}\n"
    "void free(void *p)\n{\n    (void)p;\n}\n"
    "void *calloc(size_t n, size_t k)\n{\n    return memset(malloc(n * k), 0, n * k);\n}\n"
    "void *realloc(void *p, size_t n)\n{\n    void *q = malloc(n);\n    if (p) memcpy(q, p, n);\n    return q;\n}\n"
    "static _Alignas(64) float x[3 * WIDE], y[3 * WIDE], arena[3 * WIDE];\n"
    "int main(void)\n{\n"
    "    const int64_t rows = 3, many = 101;\n    const void *in[] = {x};\n    void *out[] = {y};\n    const struct "
    "tenon_model *m = &add_relu_model;\n"
    "    for (int i = 0; i < 3 * WIDE; i++) x[i] = (float)(i % 11) - 5;\n"
    "    if (m->arena_bytes_for(&rows) != (int64_t)sizeof arena || m->arena_bytes != 100 * WIDE * 4 || "
    "ADD_RELU_ARENA_BYTES != m->arena_bytes) return 1;\n"
    "    if (m->load && m->load(\"WEIGHTS\") != 0) return 2;\n"
    "    running = 1;\n    if (m->run(in, &rows, out, arena) != 0) return 3;\n    running = 0;\n"
    "    for (int i = 0; i < 3 * WIDE; i++) {\n        float v = x[i] + (float)(i % WIDE % 7 - 3);\n        if (y[i] "
    "!= (v > 0 ? v : 0)) return 4;\n    }\n"
    "    if (m->run(in, &many, out, arena) != TENON_BAD_DIMENSION) return 5;\n"
    "    x[0] = 13;\n    return m->run(in, &rows, out, arena) == 5 ? 0 : 6;\n}\n";

static void write_host(struct arena *arena, int64_t width)
{
    FILE *file = fopen(arena_printf(arena, "%s/host.c", folder), "w");
    if (!file) abort();
    fprintf(file, "#define WIDE %d\n", (int)width);
    for (const char *p = host; *p; p++)
        if (!strncmp(p, "WEIGHTS", 7)) fprintf(file, "%s/model.weights", folder), p += 6;
        else fputc(*p, file);
    fclose(file);
}

static void test_kinds(struct arena *arena, const struct prog *prog, const struct link_options *options,
                       struct diag *diag)
{
    static const char *const suffixes[] = {".c", ".o", ".a", ".so"};
    for (int i = 0; i < 4; i++) {
        struct link_options own = *options;
        if (i == 0) own.backend = BACKEND_C; /* for its header */
        char *path = arena_printf(arena, "%s/model%s", folder, suffixes[i]),
             *again = arena_printf(arena, "%s/again%s", folder, suffixes[i]);
        size_t n, n_again;
        check(link_artefact(prog, &own, path, NULL, diag), path);
        check(link_artefact(prog, &own, again, NULL, diag), again);
        const char *one = file_bytes(arena, path, &n), *two = file_bytes(arena, again, &n_again);
        check(n > 0 && n == n_again && (i == 0 || !memcmp(one, two, n)), "the same bytes twice");
        bool assembly = i == 0 && access(arena_printf(arena, "%s/model_weights.S", folder), F_OK) == 0;
        const char *parts = arena_printf(arena, "%s%s", suffixes[i], assembly ? " %/model_weights.S" : "");
        int status = shell(
            arena,
            arena_printf(arena, "@ -w -Wno-psabi -O1 -I%% -o %%/host %%/host.c %%/model%s -Wa,-I%% -Wl,-rpath,%% -lm",
                         parts),
            "");
        check(status == 0, "the host links");
        status = shell(arena, "%/host", "");
        if (status) printf("  host with %s: status %d\n", suffixes[i], status);
        check(status == 0, "the host runs");
        shell(arena, "rm -f %/host %/again^", suffixes[i]);
    }
}

static int run_program(struct arena *arena, const char *arguments)
{
    return shell(arena, "cd % && ./program ^ > out.txt 2> error.txt", arguments);
}

static void test_program(struct arena *arena, const struct prog *prog, struct link_options *options, int64_t width,
                         struct diag *diag)
{
    char error[ERROR_BYTES] = "";
    float *x = NEW_ARRAY(arena, float, 3 * width);
    for (int64_t i = 0; i < 3 * width; i++) x[i] = (float)(i % 5);
    struct array in = {.dtype = TENON_F32, .rank = 2, .dims = {3, width}, .n_bytes = 12 * width, .data = x}, out;
    check(link_artefact(prog, options, arena_printf(arena, "%s/program", folder), NULL, diag), "an executable");
    check(array_write_npy(arena_printf(arena, "%s/x.npy", folder), &in, error), error);
    check(run_program(arena, "--help") == 0, "--help");
    check(run_program(arena, "--input 0=x.npy --output-dir out") == 0, "a run on a file");
    if (array_read(arena_printf(arena, "%s/out/output_0.npy", folder), "", &out, error)) {
        float last = x[3 * width - 1] + (float)((width - 1) % 7) - 3;
        check(out.rank == 2 && out.dims[0] == 3 && out.dims[1] == width, "the output's shape");
        check(((float *)out.data)[3 * width - 1] == (last > 0 ? last : 0), "the output's values");
        free(out.data);
    } else check(false, error);
    check(run_program(arena, "") == 1, "no input: status 1");
    check(run_program(arena, "--random 1 --dim N=7 --runs 3") == 0, "random input of a size");
    check(run_program(arena, "--random 1 --dim N=101") == 1, "a dimension out of range: status 1");
    check(run_program(arena, "--random 1 --dim M=1") == 1, "an unknown dimension: status 1");
    check(run_program(arena, "--input z=x.npy") == 1, "an unknown input: status 1");
    check(run_program(arena, "--what 1") == 2, "an unknown option: status 2");
    in.dims[1] = width - 1;
    in.n_bytes = 12 * (width - 1);
    array_write_npy(arena_printf(arena, "%s/x.npy", folder), &in, error);
    check(run_program(arena, "--input 0=x.npy") == 1, "a wrong shape: status 1");
    shell(arena, "rm -r %/out %/program", "");
}

int main(void)
{
    const char *base = getenv("TMPDIR");
    cc = getenv("TENON_CC");
    if (!cc || !*cc) cc = "cc";
    snprintf(folder, sizeof folder, "%s/artefact-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(folder)) return 1;
    for (int turn = 0; turn < 5; turn++) {
        /* small weights in C text; large ones by the assembler; in a file; the LLVM back end; portable C */
        bool llvm = turn == 3, file = turn == 2, portable = turn == 4;
        if (llvm && !llvm_is_built_in()) continue;
        struct arena *arena = arena_new();
        struct diag *diag = diag_new(arena);
        const struct target *target = portable ? target_find("portable") : host_target();
        int64_t width = turn == 0 ? 64 : WIDE;
        struct prog *prog = model(arena, width, portable || target->vector_bytes < 16 ? 1 : 16);
        struct link_options options = {
            .backend = llvm ? BACKEND_LLVM : BACKEND_C, .target = target, .weights_file = file, .cc = cc};
        check(prog_verify(prog, diag), "the program");
        write_host(arena, width);
        test_kinds(arena, prog, &options, diag);
        if (!file) test_program(arena, prog, &options, width, diag);
        check(!link_artefact(prog, &options, "model.tpu", NULL, diag), "an unknown suffix is refused");
        check(diag_errors(diag) == 1, "no other errors");
        if (diag_errors(diag) != 1) diag_print(diag, stdout);
        shell(arena, "rm -f %/*", "");
        arena_free(arena);
    }
    rmdir(folder);
    return wrong != 0;
}
