/* Planning keeps the meaning: random programs with loops and branches give the same answers before and after pass
 * plan in the interpreter, whose arena starts as bytes of 0xff, and the arena is close to the largest live set. So they do
 * where outputs may lie over what is read, and there the arenas are smaller.
 */
#include "../passes/plan.h"
#include "../passes/trial.h"

#include <stdio.h>

enum { SIZES = 3, KINDS = 6, VALUES_MOST = 80 };
struct making {
    struct arena *arena;
    struct prog *prog;
    uint64_t random;
    dim size[SIZES];
    struct kernel *kernel[SIZES][KINDS]; /* negate, add, reverse, add into, window, repeat */
    struct buffer *value[SIZES][VALUES_MOST]; /* those that hold something */
    int n[SIZES];
    bool chain; /* mostly the newest values are read */
};

static int dice(struct making *m, int sides)
{
    m->random = m->random * 6364136223846793005u + 1442695040888963407u;
    return (int)((m->random >> 33) % (uint64_t)sides);
}

/* y[i] = -x[i];  y[i] = x[i] + z[i];  y[i] = x[n-1-i];  y[i] = y[i]/2 + x[i];
 * y[i] = x[max(i-1, 0)] + x[min(i+1, n-1)];  y[i] = x[i/2] */
static struct kernel *make_kernel(struct making *m, dim size, int kind)
{
    struct prog *prog = m->prog;
    struct kernel *kernel = prog_kernel(prog, "k");
    struct buffer *y = kernel_param(prog, kernel, "y", DT_f32, size), *x = kernel_param(prog, kernel, "x", DT_f32, size);
    struct var *i = prog_index(prog, "i", 0, dim_sub(prog->dims, size, 1));
    ex at = ex_var(prog, i), from = at;
    ex last = ex_dim(prog, dim_sub(prog->dims, size, 1)), one = ex_int(prog, DT_index, 1);
    y->written = true;
    if (kind == 4) from = ex_binary(prog, EX_max, ex_binary(prog, EX_sub, at, one), ex_int(prog, DT_index, 0));
    if (kind == 5) from = ex_binary(prog, EX_div, at, ex_int(prog, DT_index, 2));
    if (kind == 2) from = ex_binary(prog, EX_sub, last, at);
    ex value = ex_load(prog, x, DT_f32, from, 1, 1);
    if (kind == 0) value = ex_unary(prog, EX_neg, value);
    if (kind == 1) {
        struct buffer *z = kernel_param(prog, kernel, "z", DT_f32, size);
        value = ex_binary(prog, EX_add, value, ex_load(prog, z, DT_f32, at, 1, 1));
    }
    if (kind == 4) {
        ex next = ex_binary(prog, EX_min, ex_binary(prog, EX_add, at, one), last);
        value = ex_binary(prog, EX_add, value, ex_load(prog, x, DT_f32, next, 1, 1));
    }
    if (kind == 3) {
        ex half = ex_binary(prog, EX_mul, ex_load(prog, y, DT_f32, at, 1, 1), ex_float(prog, DT_f32, 0.5));
        value = ex_binary(prog, EX_add, half, value);
    }
    struct stmt *store = stmt_store(prog, y, at, value, 1, NULL);
    kernel->body = stmt_for(prog, i, ex_int(prog, DT_index, 0), ex_dim(prog, size), 1, store);
    return kernel;
}

static struct stmt *call(struct making *m, struct kernel *kernel, struct buffer *y, struct buffer *x, struct buffer *z)
{
    struct stmt *s = stmt_new(m->prog, STMT_CALL);
    s->kernel = kernel;
    s->n_args = kernel->params.n;
    s->args = NEW_ARRAY(m->arena, struct call_arg, 3);
    s->args[0].buf = y;
    s->args[1].buf = x;
    s->args[2].buf = z;
    return s;
}

static struct buffer *any_value(struct making *m, int size)
{
    if (m->chain && dice(m, 10)) return m->value[size][m->n[size] - 1];
    return m->value[size][dice(m, m->n[size])];
}

static struct buffer *arena_buffer(struct making *m, int size)
{
    return prog_buffer(m->prog, "v", DT_f32, SPACE_ARENA, m->size[size]);
}

static struct stmt *random_list(struct making *m, int length, int depth);

static struct stmt *random_loop(struct making *m, int depth)
{
    struct stmt *s = stmt_new(m->prog, dice(m, 2) && depth < 2 ? STMT_FOR : STMT_IF);
    int before[SIZES];
    for (int i = 0; i < SIZES; i++) before[i] = m->n[i];
    s->body = random_list(m, 2 + dice(m, 5), depth + 1);
    if (s->kind == STMT_IF) { /* what a branch makes is not there after it */
        for (int i = 0; i < SIZES; i++) m->n[i] = before[i];
        s->a = ex_int(m->prog, DT_bool, dice(m, 2));
        s->other = random_list(m, 2, depth + 1);
        for (int i = 0; i < SIZES; i++) m->n[i] = before[i];
        return s;
    }
    s->var = prog_index(m->prog, "t", 0, 2);
    s->a = ex_int(m->prog, DT_index, 0);
    s->b = ex_int(m->prog, DT_index, 3);
    return s;
}

static struct stmt *random_list(struct making *m, int length, int depth)
{
    struct stmt *list = NULL;
    for (int i = 0; i < length; i++) {
        int size = dice(m, SIZES), kind = dice(m, KINDS);
        if (depth < 3 && dice(m, 8) == 0) {
            stmt_append(&list, random_loop(m, depth));
            continue;
        }
        struct buffer *x = any_value(m, size), *z = any_value(m, size), *y = NULL;
        if (kind == 3 || dice(m, 5) == 0) y = any_value(m, size); /* an old value is overwritten */
        if (!y || y->space != SPACE_ARENA || y == x || y == z || m->n[size] == VALUES_MOST) {
            if (m->n[size] == VALUES_MOST) continue;
            if (kind == 3) kind = 0;
            y = arena_buffer(m, size);
            m->value[size][m->n[size]++] = y;
        }
        stmt_append(&list, call(m, m->kernel[size][kind], y, x, kind == 1 ? z : NULL));
    }
    return list;
}

static struct prog *random_program(struct making *m, struct dims *dims, bool symbolic)
{
    m->prog = prog_new(m->arena, m->arena, dims, "p");
    for (int i = 0; i < SIZES; i++) {
        dim n = symbolic ? dim_symbol(dims, "N", 1, 64) : 7;
        m->size[i] = dim_add(dims, dim_mul(dims, n, 1 + 2 * i), i == 2 ? 5 : 0);
        struct buffer *in = prog_buffer(m->prog, "x", DT_f32, SPACE_INPUT, m->size[i]);
        in->type = (struct type){.dt = DT_f32, .rank = 1, .dim = {m->size[i]}};
        LIST_PUSH(m->arena, &m->prog->input_names, "x");
        for (int k = 0; k < KINDS; k++) m->kernel[i][k] = make_kernel(m, m->size[i], k);
        m->value[i][m->n[i]++] = in;
    }
    m->prog->main = random_list(m, 24, 0);
    for (int i = 0; i < SIZES; i++) {
        struct buffer *out = prog_buffer(m->prog, "y", DT_f32, SPACE_OUTPUT, m->size[i]);
        out->type = (struct type){.dt = DT_f32, .rank = 1, .dim = {m->size[i]}};
        LIST_PUSH(m->arena, &m->prog->output_names, "y");
        stmt_append(&m->prog->main, call(m, m->kernel[i][1], out, m->value[i][m->n[i] - 1], any_value(m, i)));
    }
    return m->prog;
}

/* Bytes of the most buffers alive at one step. */
static int64_t largest_live(const struct prog *prog, struct arena *arena, int64_t align)
{
    struct lives lives;
    int64_t most = 0;
    plan_lives(prog, arena, &lives);
    for (int step = 0; step <= lives.n_steps; step++) {
        int64_t sum = 0;
        for (int i = 0; i < lives.n; i++)
            if (lives.at[i].buf && lives.at[i].first >= 0 && lives.at[i].first <= step && step <= lives.at[i].last)
                sum += (lives.at[i].buf->elements * 4 + align - 1) / align * align;
        if (sum > most) most = sum;
    }
    return most;
}

enum way { PLAIN, SYMBOLIC, NEAR };

/* ratios: of the arena to the largest live set. */
static bool check(uint64_t seed, enum way way, double *ratios)
{
    struct arena *arena = arena_new();
    struct dims *dims = dims_new(arena);
    struct diag *diag = diag_new(arena);
    struct making *m = NEW(arena, struct making);
    m->arena = arena;
    m->random = seed;
    m->chain = way == NEAR;
    struct prog *plain = random_program(m, dims, way == SYMBOLIC);
    struct pass_options options = {.level = 2, .threads = 1, .target = way == NEAR ? target_find("cortex-m4") : NULL};
    struct prog *planned = pass_plan(plain, arena, &options, diag);
    struct unit before = {.prog = plain}, after = {.prog = planned};
    bool fine = planned && prog_verify(plain, diag) && prog_verify(planned, diag);
    for (int64_t n = 1; fine && n <= 64; n = n * 3 + 1) {
        struct trial trial;
        struct tensor *want, *got;
        fine = trial_make(&before, seed, &n, arena, &trial, diag) && (want = trial_eval(&before, &trial, arena, NULL, diag)) != NULL &&
               (got = trial_eval(&after, &trial, arena, NULL, diag)) != NULL;
        for (int i = 0; fine && i < trial.n_out; i++) {
            struct difference difference;
            fine = tensor_compare(&got[i], &want[i], &difference);
        }
    }
    if (!fine) printf("seed %llu%s differs\n", (unsigned long long)seed, way == SYMBOLIC ? ", symbolic" : way == NEAR ? ", near" : "");
    diag_print(diag, stdout);
    if (fine && way != SYMBOLIC) {
        int64_t live = largest_live(planned, arena, way == NEAR ? 8 : 64);
        *ratios += live ? (double)planned->arena_bytes / (double)live : 1;
    }
    arena_free(arena);
    return fine;
}

int main(void)
{
    int failed = 0, rounds = 300;
    double ratios = 0, near = 0;
    for (int i = 1; i <= rounds; i++) {
        failed += !check((uint64_t)i, PLAIN, &ratios);
        failed += !check((uint64_t)i, SYMBOLIC, &ratios);
        failed += !check((uint64_t)i, NEAR, &near);
    }
    printf("%d failed; arena/live %.3f on average, %.3f where outputs may lie over what is read\n", failed, ratios / rounds, near / rounds);
    return failed != 0 || ratios / rounds > 1.05 || near / rounds > 0.995;
}
