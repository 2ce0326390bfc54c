/* What test_math.c and math_exhaustive.c share: the functions with their references and promised errors, the
 * measure, and a program that applies one function to a whole buffer. */
#ifndef TENON_MATH_CASES_H
#define TENON_MATH_CASES_H
#include "../ir/prog.h"

#include <math.h>

static inline long double sigmoid_reference(long double x)
{
    return x < 0 ? expl(x) / (1 + expl(x)) : 1 / (1 + expl(-x));
}

struct math_case {
    enum expr_op op;
    long double (*wide)(long double); /* reference for f64 */
    double (*narrow)(double);         /* for f32 */
    double ulp_f32, ulp_f64;          /* promised: what was measured (f32: math_exhaustive.c), and a little */
};

static inline double sigmoid_narrow(double x)
{
    return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
}

static const struct math_case math_cases[] = {
    {EX_exp, expl, exp, 1.9, 2},       {EX_log, logl, log, 1.0, 2},       {EX_sin, sinl, sin, 1.6, 4},
    {EX_cos, cosl, cos, 1.6, 4},       {EX_tan, tanl, tan, 3.8, 6},       {EX_asin, asinl, asin, 2.7, 4},
    {EX_acos, acosl, acos, 1.5, 4},    {EX_atan, atanl, atan, 1.9, 4},    {EX_sinh, sinhl, sinh, 3.2, 4},
    {EX_cosh, coshl, cosh, 1.8, 4},    {EX_tanh, tanhl, tanh, 2.9, 4},    {EX_asinh, asinhl, asinh, 2.6, 4},
    {EX_acosh, acoshl, acosh, 2.6, 4}, {EX_atanh, atanhl, atanh, 2.0, 4}, {EX_erf, erfl, erf, 1.8, 4},
    {EX_sigmoid, sigmoid_reference, sigmoid_narrow, 3.6, 4},
};
enum { N_MATH_CASES = sizeof math_cases / sizeof *math_cases };

/* |got - want| in units of the last place of the format that want falls into (denormals: the least unit; beyond the
 * largest number: its unit, infinity standing for the next power of two). Infinite where NaN, infinity or the sign
 * differ. */
static inline double ulp_error(long double want, double got, int digits, int least_exponent, int most_exponent)
{
    if (isnan(want) || isnan(got)) return isnan(want) && isnan(got) ? 0 : (double)INFINITY;
    if (!signbit(want) != !signbit(got) || (isinf(want) && !isinf(got))) return (double)INFINITY;
    long double top = ldexpl(1, most_exponent), w = fminl(fabsl(want), top), g = fminl(fabsl((long double)got), top);
    int exponent;
    (void)frexpl(w < top ? w : top / 2, &exponent);
    exponent = w == 0 || exponent - digits < least_exponent ? least_exponent : exponent - digits;
    return (double)ldexpl(fabsl(w - g), -exponent);
}

static inline double ulp_error_f32(long double want, float got) { return ulp_error(want, (double)got, 24, -149, 128); }
static inline double ulp_error_f64(long double want, double got) { return ulp_error(want, got, 53, -1074, 1024); }

/* Buffers x (and y where n_inputs is 2) of type in, z of type out, n elements each, n a multiple of lanes. The
 * caller fills in the kernel's loop: *index is its variable; x and y are loads at it, and what `value` makes of
 * them is stored to z. */
typedef ex value_function(struct prog *prog, const ex *operand, const void *context);

static inline struct prog *math_program(struct arena *arena, enum dtype in, enum dtype out, int n_inputs, int64_t n, int lanes,
                                        value_function *value, const void *context)
{
    struct prog *prog = prog_new(arena, arena, dims_new(arena), "math");
    struct kernel *kernel = prog_kernel(prog, "apply");
    struct var *i = prog_index(prog, "i", 0, n - lanes);
    struct stmt *call = stmt_new(prog, STMT_CALL);
    call->kernel = kernel;
    call->n_args = n_inputs + 1;
    call->args = NEW_ARRAY(arena, struct call_arg, n_inputs + 1);
    ex operand[2] = {NULL, NULL};
    for (int k = 0; k <= n_inputs; k++) {
        bool last = k == n_inputs;
        const char *name = last ? "z" : k ? "y" : "x";
        enum dtype dt = last ? out : in;
        struct buffer *outer = prog_buffer(prog, name, dt, last ? SPACE_OUTPUT : SPACE_INPUT, n);
        outer->type.rank = 1;
        outer->type.dim[0] = n;
        if (last) LIST_PUSH(arena, &prog->output_names, name);
        else LIST_PUSH(arena, &prog->input_names, name);
        struct buffer *param = kernel_param(prog, kernel, name, dt, n);
        call->args[k].buf = outer;
        if (!last) {
            operand[k] = ex_load(prog, param, dt, ex_var(prog, i), lanes, 1);
            continue;
        }
        param->written = true;
        struct stmt *store = stmt_store(prog, param, ex_var(prog, i), value(prog, operand, context), 1, NULL);
        kernel->body = stmt_for(prog, i, ex_dim(prog, 0), ex_dim(prog, n), lanes, store);
    }
    prog->main = call;
    return prog;
}

#endif
