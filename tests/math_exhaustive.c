/* All 2^32 inputs of every f32 function of one argument, against the C library's double functions.
 *
 *   math_exhaustive [--cpu=NAME] [--llvm] [--step=N] [FUNCTION...]
 *
 * The expanded program becomes a library through C (TENON_CC, or cc) or LLVM, and two threads call it.
 * Prints the worst error of each function; exits with 1 where one passes its promise in math_cases.h. About a
 * minute per function; --step=N looks at every Nth input. Without --cpu the machine's own.
 *
 * The promises are what this program measured (fma and no fma, gcc 12; exp, log, sin and cos at every input, the
 * others at every 41st so far), with a margin of a tenth or more.
 */
#define _POSIX_C_SOURCE 200809L
#include "../codegen/codegen.h"
#include "../passes/passes.h"
#include "math_cases.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { N = 1 << 14, THREADS = 2, LANES = 16 };
struct inputs {
    const float *x;
};
struct outputs {
    float *z;
};
typedef int run_function(const struct inputs *, const struct outputs *, void *arena);

struct work {
    pthread_t thread;
    run_function *run;
    const struct math_case *math;
    uint64_t first, step;
    double worst;
    float at, got;
    double want;
};

static void *work_run(void *context)
{
    struct work *work = context;
    float *x = malloc(N * sizeof *x), *z = malloc(N * sizeof *z);
    for (uint64_t base = work->first; x && z && base < (uint64_t)1 << 32; base += N * work->step * THREADS) {
        for (uint64_t i = 0; i < N; i++) {
            uint32_t bits = (uint32_t)(base + i * work->step); /* past the end: again from 0 */
            memcpy(&x[i], &bits, sizeof bits);
        }
        work->run(&(struct inputs){x}, &(struct outputs){z}, NULL);
        for (int i = 0; i < N; i++) {
            double want = work->math->narrow((double)x[i]);
            if ((float)want == z[i] && z[i] != 0 && !isinf(z[i])) continue; /* at most half an ulp */
            double error = ulp_error_f32((long double)want, z[i]);
            if (error <= work->worst) continue;
            work->worst = error;
            work->at = x[i];
            work->got = z[i];
            work->want = want;
        }
    }
    free(x);
    free(z);
    return NULL;
}

static ex apply(struct prog *prog, const ex *operand, const void *context)
{
    return ex_unary(prog, *(const enum expr_op *)context, operand[0]);
}

static run_function *function_load(const char *folder, const struct math_case *math, const struct link_options *link)
{
    struct arena *arena = arena_new();
    struct pass_options options = {.target = link->target};
    struct prog *prog = pass_expand(math_program(arena, DT_f32, DT_f32, 1, N, LANES, apply, &math->op), arena, &options);
    prog->arena_bytes = 0; /* nothing to plan */
    /* a name of its own per library: dlopen gives the same name the same library */
    const char *path = arena_printf(arena, "%s/%s.so", folder, expr_row(math->op)->name);
    struct diag *diag = diag_new(arena);
    struct text written = {.arena = arena};
    void *library = link_artefact(prog, link, path, &written, diag) ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    void *symbol = library ? dlsym(library, "math_run") : NULL;
    run_function *run = NULL;
    memcpy(&run, &symbol, sizeof run); /* C has no cast from an object's pointer to a function's */
    if (!run) diag_print(diag, stderr);
    char *at = arena_strdup(arena, text_string(&written));
    for (const char *name; (name = strtok_r(at, "\n", &at));) remove(name);
    arena_free(arena);
    return run;
}

static bool function_check(const struct math_case *math, run_function *run, uint64_t step)
{
    struct work work[THREADS], *worst = &work[0];
    for (uint64_t i = 0; i < THREADS; i++) {
        work[i] = (struct work){.run = run, .math = math, .first = i * N * step, .step = step};
        if (pthread_create(&work[i].thread, NULL, work_run, &work[i])) return false;
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(work[i].thread, NULL);
        if (work[i].worst > worst->worst) worst = &work[i];
    }
    bool fine = worst->worst <= math->ulp_f32;
    printf("%-8s %6.3f ulp of %g at %a: got %a, want %a%s\n", expr_row(math->op)->name, worst->worst, math->ulp_f32,
           (double)worst->at, (double)worst->got, worst->want, fine ? "" : "  WRONG");
    fflush(stdout);
    return fine;
}

int main(int argc, char **argv)
{
    struct link_options link = {.target = host_target(), .cc = getenv("TENON_CC")};
    uint64_t step = 1;
    int first = 1, wrong = 0, done = 0;
    for (; first < argc && argv[first][0] == '-'; first++)
        if (!strncmp(argv[first], "--step=", 7)) step = strtoull(argv[first] + 7, NULL, 10);
        else if (!strncmp(argv[first], "--cpu=", 6)) link.target = target_find(argv[first] + 6);
        else if (!strcmp(argv[first], "--llvm")) link.backend = BACKEND_LLVM;
        else link.target = NULL;
    char folder[] = "/tmp/math_exhaustive_XXXXXX";
    if (!link.target || !step || !mkdtemp(folder)) {
        fprintf(stderr, "usage: math_exhaustive [--cpu=NAME] [--llvm] [--step=N] [FUNCTION...]\n");
        return 2;
    }
    printf("%s through %s, every %llu. input\n", link.target->name, link.backend == BACKEND_C ? "C" : "LLVM", (unsigned long long)step);
    for (int i = 0; i < N_MATH_CASES; i++) {
        bool named = first == argc;
        for (int k = first; k < argc; k++) named |= !strcmp(argv[k], expr_row(math_cases[i].op)->name);
        if (!named) continue;
        run_function *run = function_load(folder, &math_cases[i], &link);
        wrong += !run || !function_check(&math_cases[i], run, step);
        done++;
    }
    rmdir(folder);
    return wrong || !done;
}
