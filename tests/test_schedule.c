/* Scheduling keeps the meaning: kernels of every kind of nest, at shapes around the vector width, for every target
 * row and for a GPU, give the same answers before and after pass schedule in the interpreter, which also checks every access. So do
 * the schedules that `tenon tune` may choose: all records that the cost model lists, and random ones that
 * choose_check lets pass, applied as from a tuning file.
 */
#include "../passes/pipeline.h"
#include "../passes/tuning.h"
#include "../passes/trial.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct builder {
    struct arena *arena;
    struct dims *dims;
    struct prog *prog;
    struct kernel *kernel;
    struct stmt *call;
    struct call_arg args[8];
    bool constants; /* inputs called w are weights */
};

static struct buffer *weight_of(struct builder *b, const char *name, dim elements)
{
    struct buffer *buf = prog_buffer(b->prog, name, DT_f32, SPACE_WEIGHT, elements);
    struct tensor *tensor = NEW(b->arena, struct tensor);
    float *data = NEW_ARRAY(b->arena, float, elements + 1);
    for (int64_t i = 0; i < elements; i++) data[i] = (float)((i * 37 + 11) % 101) / 50 - 1;
    *tensor = (struct tensor){.type = {.dt = DT_f32, .rank = 1, .dim = {elements}}, .data = data, .n_bytes = 4 * elements};
    buf->type = tensor->type;
    buf->tensor = tensor;
    return buf;
}

static struct buffer *tensor_of(struct builder *b, const char *name, enum dtype dt, dim elements, bool out)
{
    struct buffer *formal = kernel_param(b->prog, b->kernel, name, dt, elements);
    if (b->constants && !strcmp(name, "w") && dim_is_const(elements)) {
        b->args[formal->position].buf = weight_of(b, name, elements);
        return formal;
    }
    struct buffer *actual = prog_buffer(b->prog, name, dt, out ? SPACE_OUTPUT : SPACE_INPUT, elements);
    actual->type = (struct type){.dt = dt, .rank = 1, .dim = {elements}};
    formal->written = out;
    b->args[formal->position].buf = actual;
    if (out) LIST_PUSH(b->arena, &b->prog->output_names, name);
    else LIST_PUSH(b->arena, &b->prog->input_names, name);
    return formal;
}

static struct buffer *input(struct builder *b, const char *name, dim elements)
{
    return tensor_of(b, name, DT_f32, elements, false);
}

static struct buffer *output(struct builder *b, const char *name, dim elements)
{
    return tensor_of(b, name, DT_f32, elements, true);
}

static void finish(struct builder *b, struct stmt *body)
{
    b->kernel->body = body;
    b->call = stmt_new(b->prog, STMT_CALL);
    b->call->kernel = b->kernel;
    b->call->n_args = b->kernel->params.n;
    b->call->args = arena_copy(b->arena, b->args, sizeof b->args);
    b->prog->main = b->call;
}

/* Index sums: the value and its terms, (var, stride) pairs up to a NULL. */
static ex at(struct builder *b, int64_t start, ...)
{
    va_list list;
    ex sum = ex_int(b->prog, DT_index, start);
    va_start(list, start);
    for (struct var *var; (var = va_arg(list, struct var *)) != NULL;) {
        dim stride = va_arg(list, dim);
        sum = ex_binary(b->prog, EX_add, sum, ex_binary(b->prog, EX_mul, ex_var(b->prog, var), ex_dim(b->prog, stride)));
    }
    va_end(list);
    return sum;
}

static struct var *axis(struct builder *b, const char *name, dim extent)
{
    return prog_index(b->prog, name, 0, dim_sub(b->dims, extent, 1));
}

/* Loops over the variables (outermost first, up to NULL) around the body, 0 .. its range's end. */
static struct stmt *over(struct builder *b, struct stmt *body, ...)
{
    struct var *vars[16];
    int n = 0;
    va_list list;
    va_start(list, body);
    while ((vars[n] = va_arg(list, struct var *)) != NULL) n++;
    va_end(list);
    while (n-- > 0)
        body = stmt_for(b->prog, vars[n], ex_int(b->prog, DT_index, 0), ex_dim(b->prog, dim_add(b->dims, vars[n]->hi, 1)),
                        1, body);
    return body;
}

static ex load(struct builder *b, struct buffer *buf, ex index)
{
    return ex_load(b->prog, buf, buf->dt, index, 1, 1);
}

static ex two(struct builder *b, enum expr_op op, ex x, ex y)
{
    return ex_binary(b->prog, op, x, y);
}

static ex number(struct builder *b, double v)
{
    return ex_float(b->prog, DT_f32, v);
}

static ex within(struct builder *b, ex index, dim extent)
{
    return two(b, EX_and, two(b, EX_le, ex_int(b->prog, DT_index, 0), index),
               two(b, EX_lt, index, ex_dim(b->prog, extent)));
}

static struct stmt *list_of(struct stmt *a, struct stmt *b, struct stmt *c)
{
    struct stmt *list = NULL;
    stmt_append(&list, a);
    stmt_append(&list, b);
    if (c) stmt_append(&list, c);
    return list;
}

static struct stmt *update(struct builder *b, struct var *reg, enum expr_op op, ex e)
{
    return stmt_set(b->prog, reg, two(b, op, ex_var(b->prog, reg), e));
}

static struct stmt *reg_new(struct builder *b, struct var *reg, double start)
{
    return stmt_let(b->prog, reg, ex_number(b->prog, reg->dt, start), true);
}

/* y[i, j] = max((x[i, j] + bias[j])^2, 0.5) */
static void make_map(struct builder *b, const dim *n)
{
    struct buffer *x = input(b, "x", dim_mul(b->dims, n[0], n[1])), *bias = input(b, "bias", n[1]);
    struct buffer *y = output(b, "y", dim_mul(b->dims, n[0], n[1]));
    struct var *i = axis(b, "i", n[0]), *j = axis(b, "j", n[1]);
    ex index = at(b, 0, i, n[1], j, (dim)1, NULL);
    ex sum = two(b, EX_add, load(b, x, index), load(b, bias, at(b, 0, j, (dim)1, NULL)));
    ex value = two(b, EX_max, two(b, EX_mul, sum, sum), number(b, 0.5));
    finish(b, over(b, stmt_store(b->prog, y, index, value, 1, NULL), i, j, NULL));
}

/* y[j, i] = x[i, j] + cast(i); */
static void make_transpose(struct builder *b, const dim *n)
{
    struct buffer *x = input(b, "x", dim_mul(b->dims, n[0], n[1])), *y = output(b, "y", dim_mul(b->dims, n[0], n[1]));
    struct var *i = axis(b, "i", n[0]), *j = axis(b, "j", n[1]);
    ex value = two(b, EX_add, load(b, x, at(b, 0, i, n[1], j, (dim)1, NULL)), ex_cast(b->prog, ex_var(b->prog, i), DT_f32));
    finish(b, over(b, stmt_store(b->prog, y, at(b, 0, j, n[0], i, (dim)1, NULL), value, 1, NULL), j, i, NULL));
}

/* y[i, j] = x[i-1, j-2] inside, 7 outside; y is 3 larger each way */
static void make_pad(struct builder *b, const dim *n)
{
    dim rows = dim_add(b->dims, n[0], 3), columns = dim_add(b->dims, n[1], 3);
    struct buffer *x = input(b, "x", dim_mul(b->dims, n[0], n[1])), *y = output(b, "y", dim_mul(b->dims, rows, columns));
    struct var *i = axis(b, "i", rows), *j = axis(b, "j", columns);
    ex row = at(b, -1, i, (dim)1, NULL), column = at(b, -2, j, (dim)1, NULL);
    ex guard = two(b, EX_and, within(b, row, n[0]), within(b, column, n[1]));
    ex from = two(b, EX_add, two(b, EX_mul, row, ex_dim(b->prog, n[1])), column);
    ex value = ex_load_guarded(b->prog, x, DT_f32, from, guard, number(b, 7));
    finish(b, over(b, stmt_store(b->prog, y, at(b, 0, i, columns, j, (dim)1, NULL), value, 1, NULL), i, j, NULL));
}

/* y[i, j] = inside ? (i even ? max(x[i-1, j], 0) + 1 : 2) : 7, inside: 0 <= i - 1 < rows of x; conditions choose whole rows */
static void make_choose(struct builder *b, const dim *n)
{
    dim rows = dim_add(b->dims, n[0], 3);
    struct buffer *x = input(b, "x", dim_mul(b->dims, n[0], n[1])), *y = output(b, "y", dim_mul(b->dims, rows, n[1]));
    struct var *i = axis(b, "i", rows), *j = axis(b, "j", n[1]);
    ex row = at(b, -1, i, (dim)1, NULL), inside = within(b, row, n[0]);
    ex even = two(b, EX_eq, two(b, EX_mod, ex_var(b->prog, i), ex_int(b->prog, DT_index, 2)), ex_int(b->prog, DT_index, 0));
    ex both = two(b, EX_and, inside, even);
    ex from = two(b, EX_add, two(b, EX_mul, row, ex_dim(b->prog, n[1])), at(b, 0, j, (dim)1, NULL));
    ex loaded = ex_load_guarded(b->prog, x, DT_f32, from, both, number(b, 0));
    ex value = two(b, EX_add, two(b, EX_max, loaded, number(b, 0)), number(b, 1));
    value = ex_select(b->prog, inside, ex_select(b->prog, both, value, number(b, 2)), number(b, 7));
    finish(b, over(b, stmt_store(b->prog, y, at(b, 0, i, n[1], j, (dim)1, NULL), value, 1, NULL), i, j, NULL));
}

/* y[k, i, j]: k 0: x + bias[j], 1: x - bias[j], 2: 2*x: what Winograd's transforms look like */
static void make_cases(struct builder *b, const dim *n)
{
    dim count = dim_mul(b->dims, n[0], n[1]);
    struct buffer *x = input(b, "x", count), *bias = input(b, "bias", n[1]), *y = output(b, "y", dim_mul(b->dims, count, 3));
    struct var *k = axis(b, "k", 3), *i = axis(b, "i", n[0]), *j = axis(b, "j", n[1]);
    ex from = load(b, x, at(b, 0, i, n[1], j, (dim)1, NULL)), with = load(b, bias, at(b, 0, j, (dim)1, NULL)), is[2];
    for (int c = 0; c < 2; c++) is[c] = two(b, EX_eq, ex_var(b->prog, k), ex_int(b->prog, DT_index, c));
    ex value = ex_select(b->prog, is[1], two(b, EX_sub, from, with), two(b, EX_mul, from, number(b, 2)));
    value = ex_select(b->prog, is[0], two(b, EX_add, from, with), value);
    finish(b, over(b, stmt_store(b->prog, y, at(b, 0, k, count, i, n[1], j, (dim)1, NULL), value, 1, NULL), k, i, j, NULL));
}

/* rows of n[1]: m = max x, s = sum (x - m)^2, y = (x - m)/(s + 1) */
static void make_rows(struct builder *b, const dim *n)
{
    struct buffer *x = input(b, "x", dim_mul(b->dims, n[0], n[1])), *y = output(b, "y", dim_mul(b->dims, n[0], n[1]));
    struct var *i = axis(b, "i", n[0]), *j = axis(b, "j", n[1]), *k = axis(b, "k", n[1]), *l = axis(b, "l", n[1]);
    struct var *m = prog_var(b->prog, "m", DT_f32, 1), *s = prog_var(b->prog, "s", DT_f32, 1);
    ex xj = load(b, x, at(b, 0, i, n[1], j, (dim)1, NULL)), xk = load(b, x, at(b, 0, i, n[1], k, (dim)1, NULL));
    ex xl = load(b, x, at(b, 0, i, n[1], l, (dim)1, NULL)), top = ex_var(b->prog, m);
    ex d = two(b, EX_sub, xk, top);
    struct stmt *body = reg_new(b, m, -INFINITY);
    stmt_append(&body, over(b, update(b, m, EX_max, xj), j, NULL));
    stmt_append(&body, reg_new(b, s, 0));
    stmt_append(&body, over(b, update(b, s, EX_add, two(b, EX_mul, d, d)), k, NULL));
    ex value = two(b, EX_div, two(b, EX_sub, xl, top), two(b, EX_add, ex_var(b->prog, s), number(b, 1)));
    stmt_append(&body, over(b, stmt_store(b->prog, y, at(b, 0, i, n[1], l, (dim)1, NULL), value, 1, NULL), l, NULL));
    finish(b, over(b, body, i, NULL));
}

/* y[m, n] = max(bias[n] + sum_k a[m, k]*w, 0) with w at k*wk + n*wn */
static void make_matmul(struct builder *b, const dim *n, bool transposed)
{
    dim m_ = n[0], n_ = n[1], k_ = n[2];
    struct buffer *a = input(b, "a", dim_mul(b->dims, m_, k_)), *w = input(b, "w", dim_mul(b->dims, n_, k_));
    struct buffer *bias = input(b, "bias", n_), *y = output(b, "y", dim_mul(b->dims, m_, n_));
    struct var *m = axis(b, "m", m_), *j = axis(b, "n", n_), *k = axis(b, "k", k_), *acc = prog_var(b->prog, "acc", DT_f32, 1);
    ex from = transposed ? at(b, 0, j, k_, k, (dim)1, NULL) : at(b, 0, k, n_, j, (dim)1, NULL);
    ex product = two(b, EX_mul, load(b, a, at(b, 0, m, k_, k, (dim)1, NULL)), load(b, w, from));
    ex sum = two(b, EX_add, ex_var(b->prog, acc), load(b, bias, at(b, 0, j, (dim)1, NULL)));
    struct stmt *store = stmt_store(b->prog, y, at(b, 0, m, n_, j, (dim)1, NULL), two(b, EX_max, sum, number(b, 0)), 1, NULL);
    struct stmt *body = list_of(reg_new(b, acc, 0), over(b, update(b, acc, EX_add, product), k, NULL), store);
    finish(b, over(b, body, m, j, NULL));
}

static void make_matmul_n(struct builder *b, const dim *n)
{
    make_matmul(b, n, false);
}

static void make_matmul_t(struct builder *b, const dim *n)
{
    make_matmul(b, n, true);
}

/* y[m, j] = sum_k a[m, k]*w[j / 8, k, j % 8]: a blocked operand read along one loop; j runs over 8*n[1] + n[3] */
static void make_split(struct builder *b, const dim *n)
{
    dim j_ = dim_add(b->dims, dim_mul(b->dims, n[1], 8), n[3]), blocks = dim_ceil_div(b->dims, j_, 8), k_ = n[2];
    struct buffer *a = input(b, "a", dim_mul(b->dims, n[0], k_)), *y = output(b, "y", dim_mul(b->dims, n[0], j_));
    struct buffer *w = input(b, "w", dim_mul(b->dims, dim_mul(b->dims, blocks, 8), k_));
    struct var *m = axis(b, "m", n[0]), *j = axis(b, "j", j_), *k = axis(b, "k", k_), *acc = prog_var(b->prog, "acc", DT_f32, 1);
    ex eight = ex_int(b->prog, DT_index, 8), whole = two(b, EX_div, ex_var(b->prog, j), eight);
    ex from = two(b, EX_add, two(b, EX_mul, whole, ex_dim(b->prog, dim_mul(b->dims, k_, 8))), at(b, 0, k, (dim)8, NULL));
    ex weight = load(b, w, two(b, EX_add, from, two(b, EX_mod, ex_var(b->prog, j), eight)));
    ex product = two(b, EX_mul, load(b, a, at(b, 0, m, k_, k, (dim)1, NULL)), weight);
    struct stmt *store = stmt_store(b->prog, y, at(b, 0, m, j_, j, (dim)1, NULL), ex_var(b->prog, acc), 1, NULL);
    struct stmt *body = list_of(reg_new(b, acc, 0), over(b, update(b, acc, EX_add, product), k, NULL), store);
    finish(b, over(b, body, m, j, NULL));
}

/* Convolution 3x3 with padding 1 and stride n[3], channels n[0] -> n[1], n[2] x (n[2] + 1) pixels */
static void make_conv(struct builder *b, const dim *n)
{
    struct dims *d = b->dims;
    dim c_ = n[0], o_ = n[1], h_ = n[2], w_ = dim_add(d, n[2], 1), s = n[3];
    dim oh = dim_add(d, dim_div(d, dim_sub(d, h_, 1), s), 1), ow = dim_add(d, dim_div(d, dim_sub(d, w_, 1), s), 1);
    struct buffer *x = input(b, "x", dim_mul(d, c_, dim_mul(d, h_, w_))), *k = input(b, "w", dim_mul(d, dim_mul(d, c_, o_), 9));
    struct buffer *y = output(b, "y", dim_mul(d, o_, dim_mul(d, oh, ow)));
    struct var *o = axis(b, "o", o_), *p = axis(b, "p", oh), *q = axis(b, "q", ow), *c = axis(b, "c", c_);
    struct var *r = axis(b, "r", 3), *t = axis(b, "t", 3), *acc = prog_var(b->prog, "acc", DT_f32, 1);
    ex row = at(b, -1, p, s, r, (dim)1, NULL), column = at(b, -1, q, s, t, (dim)1, NULL);
    ex from = two(b, EX_add, two(b, EX_add, at(b, 0, c, dim_mul(d, h_, w_), NULL), two(b, EX_mul, row, ex_dim(b->prog, w_))), column);
    ex guard = two(b, EX_and, within(b, row, h_), within(b, column, w_));
    ex weight = load(b, k, at(b, 0, o, dim_mul(d, c_, 9), c, (dim)9, r, (dim)3, t, (dim)1, NULL));
    ex product = two(b, EX_mul, ex_load_guarded(b->prog, x, DT_f32, from, guard, number(b, 0)), weight);
    struct stmt *store = stmt_store(b->prog, y, at(b, 0, o, dim_mul(d, oh, ow), p, ow, q, (dim)1, NULL),
                                    two(b, EX_max, ex_var(b->prog, acc), number(b, 0)), 1, NULL);
    struct stmt *body = list_of(reg_new(b, acc, 0), over(b, update(b, acc, EX_add, product), c, r, t, NULL), store);
    finish(b, over(b, body, o, p, q, NULL));
}

/* The same on blocked channels: x[C, h, w, c], w[O, C, r, t, c, o], y[O, h, w, o] with blocks of n[4] */
static void make_blocked(struct builder *b, const dim *n)
{
    struct dims *d = b->dims;
    dim cb = n[0], ob = n[1], h_ = n[2], w_ = n[2], s = n[3], v = n[4];
    dim oh = dim_add(d, dim_div(d, dim_sub(d, h_, 1), s), 1), ow = dim_add(d, dim_div(d, dim_sub(d, w_, 1), s), 1);
    struct buffer *x = input(b, "x", dim_mul(d, dim_mul(d, cb, v), dim_mul(d, h_, w_)));
    struct buffer *k = input(b, "w", dim_mul(d, dim_mul(d, cb, ob), 9*v*v)), *bias = input(b, "bias", dim_mul(d, ob, v));
    struct buffer *y = output(b, "y", dim_mul(d, dim_mul(d, ob, v), dim_mul(d, oh, ow)));
    struct var *ou = axis(b, "ou", ob), *p = axis(b, "p", oh), *q = axis(b, "q", ow), *oi = axis(b, "oi", v);
    struct var *cu = axis(b, "cu", cb), *ci = axis(b, "ci", v), *r = axis(b, "r", 3), *t = axis(b, "t", 3);
    struct var *acc = prog_var(b->prog, "acc", DT_f32, 1);
    ex row = at(b, -1, p, s, r, (dim)1, NULL), column = at(b, -1, q, s, t, (dim)1, NULL);
    ex from = two(b, EX_add, at(b, 0, cu, dim_mul(d, v, dim_mul(d, h_, w_)), ci, (dim)1, NULL),
                  two(b, EX_mul, two(b, EX_add, two(b, EX_mul, row, ex_dim(b->prog, w_)), column), ex_dim(b->prog, v)));
    ex guard = two(b, EX_and, within(b, row, h_), within(b, column, w_));
    ex weight = load(b, k, at(b, 0, ou, dim_mul(d, cb, 9*v*v), cu, 9*v*v, r, 3*v*v, t, v*v, ci, v, oi, (dim)1, NULL));
    ex product = two(b, EX_mul, ex_load_guarded(b->prog, x, DT_f32, from, guard, number(b, 0)), weight);
    ex sum = two(b, EX_add, ex_var(b->prog, acc), load(b, bias, at(b, 0, ou, v, oi, (dim)1, NULL)));
    struct stmt *store = stmt_store(b->prog, y, at(b, 0, ou, dim_mul(d, v, dim_mul(d, oh, ow)), p, dim_mul(d, v, ow), q, v, oi, (dim)1, NULL),
                                    two(b, EX_max, sum, number(b, 0)), 1, NULL);
    struct stmt *body = list_of(reg_new(b, acc, 0), over(b, update(b, acc, EX_add, product), cu, ci, r, t, NULL), store);
    finish(b, over(b, body, ou, p, q, oi, NULL));
}

/* Depthwise (weights) or max-pooling 3x3, padding 1, stride n[2], x[C, h, w, c] with blocks of n[3] */
static void make_window(struct builder *b, const dim *n, bool pool)
{
    struct dims *d = b->dims;
    dim cb = n[0], h_ = n[1], s = n[2], v = n[3], oh = dim_add(d, dim_div(d, dim_sub(d, h_, 1), s), 1);
    struct buffer *x = input(b, "x", dim_mul(d, dim_mul(d, cb, v), dim_mul(d, h_, h_))), *k = NULL;
    if (!pool) k = input(b, "w", dim_mul(d, cb, 9*v));
    struct buffer *y = output(b, "y", dim_mul(d, dim_mul(d, cb, v), dim_mul(d, oh, oh)));
    struct var *cu = axis(b, "cu", cb), *p = axis(b, "p", oh), *q = axis(b, "q", oh), *ci = axis(b, "ci", v);
    struct var *r = axis(b, "r", 3), *t = axis(b, "t", 3), *acc = prog_var(b->prog, "acc", DT_f32, 1);
    ex row = at(b, -1, p, s, r, (dim)1, NULL), column = at(b, -1, q, s, t, (dim)1, NULL);
    ex from = two(b, EX_add, at(b, 0, cu, dim_mul(d, v, dim_mul(d, h_, h_)), ci, (dim)1, NULL),
                  two(b, EX_mul, two(b, EX_add, two(b, EX_mul, row, ex_dim(b->prog, h_)), column), ex_dim(b->prog, v)));
    ex guard = two(b, EX_and, within(b, row, h_), within(b, column, h_));
    ex loaded = ex_load_guarded(b->prog, x, DT_f32, from, guard, number(b, pool ? -INFINITY : 0));
    if (k) loaded = two(b, EX_mul, loaded, load(b, k, at(b, 0, cu, 9*v, r, 3*v, t, v, ci, (dim)1, NULL)));
    struct stmt *store = stmt_store(b->prog, y, at(b, 0, cu, dim_mul(d, v, dim_mul(d, oh, oh)), p, dim_mul(d, v, oh), q, v, ci, (dim)1, NULL),
                                    ex_var(b->prog, acc), 1, NULL);
    struct stmt *body = list_of(reg_new(b, acc, pool ? -INFINITY : 0), over(b, update(b, acc, pool ? EX_max : EX_add, loaded), r, t, NULL), store);
    finish(b, over(b, body, cu, p, q, ci, NULL));
}

static void make_depthwise(struct builder *b, const dim *n)
{
    make_window(b, n, false);
}

static void make_pool(struct builder *b, const dim *n)
{
    make_window(b, n, true);
}

/* y[i] = sum over j, k of (int) x[i, j, k], i32; and a flip y2[j] = x[N-1-j] in front */
static void make_integer(struct builder *b, const dim *n)
{
    dim block = dim_mul(b->dims, n[1], n[2]);
    struct buffer *x = tensor_of(b, "x", DT_i8, dim_mul(b->dims, n[0], block), false);
    struct buffer *y = tensor_of(b, "y", DT_i32, n[0], true);
    struct buffer *z = tensor_of(b, "z", DT_i8, n[2], true);
    struct var *i = axis(b, "i", n[0]), *j = axis(b, "j", n[1]), *k = axis(b, "k", n[2]), *f = axis(b, "f", n[2]);
    struct var *acc = prog_var(b->prog, "acc", DT_i32, 1);
    ex value = ex_cast(b->prog, load(b, x, at(b, 0, i, block, j, n[2], k, (dim)1, NULL)), DT_i32);
    struct stmt *body = list_of(reg_new(b, acc, 0), over(b, update(b, acc, EX_add, value), j, k, NULL),
                                stmt_store(b->prog, y, at(b, 0, i, (dim)1, NULL), ex_var(b->prog, acc), 1, NULL));
    ex back = two(b, EX_add, ex_dim(b->prog, dim_sub(b->dims, n[2], 1)), at(b, 0, f, (dim)-1, NULL));
    struct stmt *flip = over(b, stmt_store(b->prog, z, at(b, 0, f, (dim)1, NULL), load(b, x, back), 1, NULL), f, NULL);
    finish(b, list_of(over(b, body, i, NULL), flip, NULL));
}

/* A running sum: y[i] = y[i-1] + x[i]; must stay in order */
static void make_scan(struct builder *b, const dim *n)
{
    struct buffer *x = input(b, "x", n[0]), *y = output(b, "y", n[0]);
    struct var *i = axis(b, "i", n[0]);
    ex before = at(b, -1, i, (dim)1, NULL);
    ex guard = two(b, EX_le, ex_int(b->prog, DT_index, 0), before);
    ex sum = two(b, EX_add, ex_load_guarded(b->prog, y, DT_f32, before, guard, number(b, 0)), load(b, x, at(b, 0, i, (dim)1, NULL)));
    finish(b, over(b, stmt_store(b->prog, y, at(b, 0, i, (dim)1, NULL), sum, 1, NULL), i, NULL));
}

struct shape_case {
    const char *name;
    void (*make)(struct builder *b, const dim *n);
    int n_sizes;
    int64_t size[20][5];
};
static const struct shape_case cases[] = {
    {"map", make_map, 2, {{1, 1}, {3, 7}, {1, 8}, {2, 9}, {2, 15}, {5, 16}, {1, 17}, {4, 64}, {3, 131}, {3, 0}}},
    {"transpose", make_transpose, 2, {{1, 1}, {3, 7}, {8, 8}, {16, 17}, {5, 33}}},
    {"pad", make_pad, 2, {{1, 1}, {3, 7}, {8, 16}, {2, 45}}},
    {"choose", make_choose, 2, {{1, 1}, {3, 7}, {8, 16}, {2, 45}, {6, 64}}},
    {"cases", make_cases, 2, {{1, 1}, {2, 7}, {3, 8}, {2, 9}, {5, 16}, {2, 17}, {3, 67}, {3, 0}}},
    {"rows", make_rows, 2, {{1, 1}, {2, 7}, {3, 8}, {2, 9}, {2, 15}, {2, 16}, {2, 17}, {3, 31}, {1, 65}, {2, 197}, {3, 0}}},
    {"matmul", make_matmul_n, 3, {{1, 1, 1}, {1, 40, 9}, {7, 16, 5}, {13, 33, 8}, {49, 17, 12}, {6, 100, 7}, {29, 8, 3}, {14, 64, 16}, {37, 70, 21}, {1, 70, 41}, {3, 33, 64}, {15, 15, 2}, {3, 0, 5}, {5, 9, 0}}},
    {"matmul_t", make_matmul_t, 3, {{1, 1, 1}, {1, 9, 40}, {7, 5, 16}, {5, 7, 33}, {3, 4, 197}, {41, 34, 40}, {8, 6, 64}}},
    {"split", make_split, 4, {{1, 1, 1, 0}, {3, 2, 5, 0}, {7, 4, 9, 0}, {5, 3, 4, 3}}},
    {"conv", make_conv, 4, {{1, 1, 1, 1}, {3, 5, 7, 1}, {2, 13, 9, 2}, {4, 16, 17, 1}, {3, 8, 34, 2}}},
    {"blocked", make_blocked, 5, {{1, 1, 1, 1, 8}, {2, 3, 7, 1, 8}, {1, 2, 14, 1, 16}, {1, 2, 9, 2, 16}, {1, 4, 19, 1, 8}}},
    {"depthwise", make_depthwise, 4, {{1, 1, 1, 8}, {2, 7, 1, 8}, {1, 14, 1, 16}, {2, 9, 2, 16}, {1, 31, 1, 4}}},
    {"pool", make_pool, 4, {{1, 1, 1, 8}, {2, 7, 2, 8}, {1, 15, 1, 16}, {3, 10, 2, 16}}},
    {"integer", make_integer, 3, {{1, 1, 1}, {3, 2, 16}, {2, 5, 13}, {1, 7, 67}}},
    {"scan", make_scan, 1, {{1}, {9}, {40}}},
};

static void build(struct builder *b, struct arena *arena, struct dims *dims, const struct shape_case *c, const dim *n,
                  bool constants)
{
    *b = (struct builder){.arena = arena, .dims = dims, .prog = prog_new(arena, arena, dims, c->name), .constants = constants};
    b->kernel = prog_kernel(b->prog, c->name);
    c->make(b, n);
}

/* What a program answers to inputs of its own for these symbol values. */
struct answers {
    struct trial trial;
    struct tensor *want;
};

static bool answers_make(const struct prog *plain, const int64_t *symbols, struct arena *arena, struct answers *answers)
{
    struct diag *diag = diag_new(arena);
    struct unit unit = {.prog = (struct prog *)(uintptr_t)plain};
    answers->want = trial_make(&unit, 1, symbols, arena, &answers->trial, diag) ? trial_eval(&unit, &answers->trial, arena, NULL, diag) : NULL;
    diag_print(diag, stdout);
    return answers->want != NULL;
}

/* Whether the scheduled program gives these answers. */
static bool same_answers(const struct answers *answers, const struct prog *scheduled, struct arena *arena, const char *what)
{
    struct diag *diag = diag_new(arena);
    struct unit after = {.prog = (struct prog *)(uintptr_t)scheduled};
    struct tensor *got = trial_eval(&after, &answers->trial, arena, NULL, diag);
    for (int i = 0; got && i < answers->trial.n_out; i++) {
        struct difference difference;
        if (tensor_compare(&got[i], &answers->want[i], &difference)) continue;
        printf("%s: output %d: %lld differ, at %lld: %g, not %g\n", what, i, (long long)difference.n,
               (long long)difference.at, difference.got, difference.expected);
        got = NULL;
    }
    if (diag_errors(diag)) {
        printf("%s:\n", what);
        diag_print(diag, stdout);
    }
    return got != NULL;
}

enum { RECORDS_WANTED = 7, RECORDS_RANDOM = 3, AXES_LISTED = 12 };
struct tally {
    int failed, passed, records, refused;
};
struct subject { /* a kernel being tried */
    const struct prog *plain;
    const struct target *target;
    const struct answers *answers;
    const char *what;
    uint64_t key;
    struct tally *tally;
};

static const struct device *device_of(const struct target *target)
{
    return strcmp(target->name, "opencl-gpu") ? NULL : &device_plain_gpu;
}

/* Schedules by the records as a tuning file says them, and compares. Refused records are fine where they are guesses. */
static void check_records(const struct subject *subject, const char *records, bool guess)
{
    struct arena *arena = arena_new();
    struct diag *diag = diag_new(arena);
    struct tuning *tuning = tuning_new(arena, diag, subject->target->name, "interpreter", 1);
    struct source file = {.name = "records"};
    file.text = arena_printf(arena, "tenon tuning 1\nkernel %016llx %s interpreter 1: %s\n", (unsigned long long)subject->key,
                             subject->target->name, records);
    file.n_bytes = strlen(file.text);
    struct pass_options options = {.target = subject->target, .device = device_of(subject->target), .level = 2, .threads = 1, .tuning = tuning};
    bool read = tuning_parse(tuning, &file);
    struct prog *scheduled = read ? pass_schedule(subject->plain, arena, &options) : NULL;
    const char *what = arena_printf(arena, "%s by %s", subject->what, records);
    bool fine = guess && !scheduled && diag_errors(diag) > 0;
    subject->tally->refused += fine;
    if (scheduled) {
        const char *made = scheduled->kernels.at[0]->strategy;
        fine = prog_verify(scheduled, diag) && same_answers(subject->answers, scheduled, arena, what);
        if (!guess && strcmp(made, records) != 0) {
            printf("%s: became %s\n", what, made);
            fine = false;
        }
        subject->tally->records++;
    }
    if (!fine) {
        printf("%s: failed\n", what);
        diag_print(diag, stdout);
        subject->tally->failed++;
    }
    arena_free(arena);
}

/* 0 .. n-1 */
static int next_random(uint32_t *seed, int n)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (int)((*seed >> 8) % (uint32_t)n);
}

static const char *random_group(struct arena *arena, uint32_t *seed)
{
    static const char *const form = "group rows=%d columns=%d high=%d wide=%d step=%d slices=%d";
    int high = 1 + next_random(seed, 5), wide = 1 + next_random(seed, 8), rows = high * (1 + next_random(seed, 9));
    return arena_printf(arena, form, rows, wide * (1 + next_random(seed, 6)), high, wide, 1 + next_random(seed, 20), 1 << next_random(seed, 4));
}

/* Any record with the axes of this one: other lanes, copies and order. */
static const char *random_record(struct arena *arena, const char *like, uint32_t *seed)
{
    char axis[AXES_LISTED][40];
    int n = 0;
    const char *order = strstr(like, "order=");
    struct text text = {.arena = arena};
    if (!strncmp(like, "group", 5)) return random_group(arena, seed);
    if (!order) return NULL;
    for (order += 6; n < AXES_LISTED && *order && *order != ' '; n++) {
        size_t length = strcspn(order, ", ");
        snprintf(axis[n], sizeof axis[n], "%.*s", (int)length, order);
        order += length + (order[length] == ',');
    }
    text_add_n(&text, like, strcspn(like, " "));
    int along = next_random(seed, n + 2);
    if (along < n) text_printf(&text, " lanes=%s:%d", axis[along], 2 << next_random(seed, 4));
    else if (along == n) text_printf(&text, " lanes=inner:%d", 2 << next_random(seed, 4));
    for (int i = 0; i < n; i++)
        if (next_random(seed, 3) == 0) text_printf(&text, " copies=%s:%d", axis[i], 1 + next_random(seed, 6));
    for (int left = n; left > 0; left--) {
        int pick = (int)next_random(seed, left);
        text_printf(&text, "%s%s", left == n ? " order=" : ",", axis[pick]);
        memmove(axis[pick], axis[left - 1], sizeof axis[0]);
    }
    const char *pack = strstr(like, " pack=");
    if (pack) text_add_n(&text, pack, strcspn(pack + 1, " ") + 1);
    if (next_random(seed, 3) == 0) text_printf(&text, " unroll=%d", next_random(seed, 200));
    return text_string(&text);
}

static void check_explored(struct subject *subject, const struct prog *plain)
{
    struct arena *arena = arena_new();
    struct diag *diag = diag_new(arena);
    struct tuning *tuning = tuning_new(arena, diag, subject->target->name, "interpreter", 1);
    tuning->explore = RECORDS_WANTED;
    struct pass_options options = {.target = subject->target, .device = device_of(subject->target), .level = 2, .threads = 1, .tuning = tuning};
    if (!pass_schedule(plain, arena, &options) || tuning->explored.n != 1) {
        printf("%s: nothing explored\n", subject->what);
        subject->tally->failed++;
    } else {
        struct tuning_kernel *kernel = &tuning->explored.at[0];
        int *which = NEW_ARRAY(arena, int, kernel->points.n + 1);
        uint32_t seed = (uint32_t)kernel->key;
        subject->key = kernel->key;
        for (int i = 0; i < kernel->points.n; i++) {
            struct tuning_point *point = &kernel->points.at[i];
            for (which[i] = 0; which[i] < point->n; which[i]++)
                check_records(subject, tuning_records(kernel, which, arena), false);
            for (int k = 0; k < RECORDS_RANDOM; k++) {
                const char *last = point->records[point->n - 1];
                const char *guess = random_record(arena, k % 2 ? point->records[0] : last, &seed);
                point->records[point->n - 1] = guess ? guess : last;
                which[i] = point->n - 1;
                check_records(subject, tuning_records(kernel, which, arena), true);
                point->records[point->n - 1] = last;
            }
            which[i] = 0;
        }
    }
    arena_free(arena);
}

static void check(const struct shape_case *c, const int64_t *size, const struct target *target, bool symbolic, bool constants,
                  struct tally *tally)
{
    struct arena *arena = arena_new();
    struct dims *dims = dims_new(arena);
    struct builder b;
    dim n[5];
    int64_t symbols[5] = {0};
    static const char *const names[] = {"A", "B", "C", "D", "E"};
    int n_symbols = 0;
    for (int i = 0; i < c->n_sizes; i++) {
        bool stride = ((c->make == make_conv || c->make == make_split) && i == 3) || (c->make == make_blocked && i >= 3) ||
                      (i >= 2 && (c->make == make_depthwise || c->make == make_pool));
        n[i] = symbolic && !stride ? dim_symbol(dims, names[i], 1, 1000) : size[i];
        if (symbolic && !stride) symbols[n_symbols++] = size[i];
    }
    build(&b, arena, dims, c, n, constants);
    struct pass_options options = {.target = target, .device = device_of(target), .level = 2, .threads = 1};
    struct prog *scheduled = pass_schedule(b.prog, arena, &options);
    struct text what = {.arena = arena};
    text_printf(&what, "%s on %s%s, sizes", c->name, target->name, symbolic ? " (symbolic)" : constants ? " (constant w)" : "");
    for (int i = 0; i < c->n_sizes; i++) text_printf(&what, " %lld", (long long)size[i]);
    struct diag *diag = diag_new(arena);
    bool fine = prog_verify(scheduled, diag);
    diag_print(diag, stdout);
    struct answers answers;
    fine = fine && answers_make(b.prog, symbols, arena, &answers) && same_answers(&answers, scheduled, arena, text_string(&what));
    if (getenv("SCHEDULE_PRINT")) {
        struct text text = {.arena = arena};
        prog_print(scheduled, &text);
        printf("# %s: %s\n%s\n", text_string(&what), scheduled->kernels.at[0]->strategy, text_string(&text));
    }
    *(fine ? &tally->passed : &tally->failed) += 1;
    struct subject subject = {.plain = b.prog, .target = target, .answers = &answers, .what = text_string(&what), .tally = tally};
    if (fine && strcmp(target->name, "x86-64") != 0) check_explored(&subject, b.prog); /* as wide as neon */
    arena_free(arena);
}

int main(int argc, char **argv)
{
    struct tally tally = {0};
    struct arena *arena = arena_new();
    const struct target *gpu = device_target(&device_plain_gpu, target_at(0), arena);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        if (argc > 1 && strcmp(argv[1], cases[k].name) != 0) continue;
        for (int t = 0; t <= target_count(); t++) {
            const struct target *target = t < target_count() ? target_at(t) : gpu;
            if (argc > 2 && strcmp(argv[2], target->name) != 0) continue;
            for (int i = 0; i < 20 && cases[k].size[i][0]; i++) {
                if (argc > 3 && atoi(argv[3]) != i) continue;
                for (int kind = 0; kind < 3; kind++)
                    check(&cases[k], cases[k].size[i], target, kind == 1, kind == 2, &tally);
            }
        }
    }
    printf("%d passed, %d failed; by records: %d (%d guesses refused)\n", tally.passed, tally.failed, tally.records,
           tally.refused);
    arena_free(arena);
    return tally.failed != 0 || tally.records <= tally.passed;
}
