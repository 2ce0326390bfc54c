/* Random graphs: 1,000 of them (or as many as the argument says; a second argument is the first seed).
 *
 * For each: the graph verifies; what it prints reads back as an equal graph that prints the same text; and the
 * interpreter's answers stay the same through every pass, each of which verifies (--eval-each and --verify-each).
 * A failure prints the seed and the graph.
 */
#include "../frontend/cmd.h"
#include "../frontend/language.h"

#include <stdlib.h>
#include <string.h>

enum { VALUES_MOST = 24 };

struct maker {
    struct session session;
    struct graph *graph;
    uint64_t state;
    struct value *values[VALUES_MOST];
    int n;
};

static int pick(struct maker *maker, int n) /* 0..n-1 */
{
    maker->state = maker->state * 6364136223846793005u + 1442695040888963407u;
    return (int)((maker->state >> 33) % (uint64_t)n);
}

static struct value *any(struct maker *maker)
{
    return maker->values[pick(maker, maker->n)];
}

static bool is_number(const struct value *value)
{
    return value->type.dt != DT_bool;
}

static struct value *random_unary(struct maker *maker, struct value *x)
{
    static const enum op floats[] = {OP_neg, OP_abs, OP_exp, OP_tanh, OP_sigmoid, OP_relu, OP_erf, OP_sqrt, OP_floor, OP_sign, OP_cos};
    static const enum op integers[] = {OP_neg, OP_abs, OP_relu, OP_bit_not};
    if (dtype_is_float(x->type.dt)) return graph_unary(maker->graph, floats[pick(maker, 11)], x);
    return graph_unary(maker->graph, x->type.dt == DT_bool ? OP_not : integers[pick(maker, 4)], x);
}

/* A second operand for x: itself, a constant, or another value of the same type and shape. */
static struct value *partner(struct maker *maker, struct value *x)
{
    struct value *z = any(maker);
    if (type_equal(&x->type, &z->type)) return z;
    if (pick(maker, 2) || x->type.dt == DT_bool) return x;
    return graph_scalar(maker->graph, x->type.dt, pick(maker, 5) - 2);
}

static struct value *random_binary(struct maker *maker, struct value *x)
{
    static const enum op numbers[] = {OP_add, OP_sub, OP_mul, OP_min, OP_max, OP_lt, OP_le, OP_eq};
    static const enum op logic[] = {OP_and, OP_or, OP_xor, OP_eq};
    struct value *z = partner(maker, x);
    return graph_binary(maker->graph, is_number(x) ? numbers[pick(maker, 8)] : logic[pick(maker, 4)], x, z);
}

static struct value *random_transpose(struct maker *maker, struct value *x)
{
    int64_t perm[RANK_MOST];
    for (int i = 0; i < x->type.rank; i++) perm[i] = i;
    for (int i = x->type.rank - 1; i > 0; i--) {
        int k = pick(maker, i + 1);
        int64_t t = perm[i];
        perm[i] = perm[k], perm[k] = t;
    }
    return graph_transpose(maker->graph, x, perm);
}

static struct value *random_reshape(struct maker *maker, struct value *x)
{
    struct dims *dims = maker->session.dims;
    dim shape[3] = {1, type_elements(dims, &x->type), 1};
    if (x->type.rank >= 2 && pick(maker, 2)) { /* two axes merge */
        shape[0] = dim_mul(dims, x->type.dim[0], x->type.dim[1]);
        shape[1] = 1;
        for (int i = 2; i < x->type.rank; i++) shape[1] = dim_mul(dims, shape[1], x->type.dim[i]);
        return graph_reshape(maker->graph, x, 2, shape);
    }
    return graph_reshape(maker->graph, x, 1 + pick(maker, 2), shape + 1 - pick(maker, 1));
}

static struct value *random_slice(struct maker *maker, struct value *x)
{
    dim start[RANK_MOST], size[RANK_MOST];
    int64_t step[RANK_MOST];
    for (int i = 0; i < x->type.rank; i++) {
        dim d = x->type.dim[i];
        start[i] = 0, step[i] = 1, size[i] = d;
        if (!dim_is_const(d) || d < 2) continue;
        if (pick(maker, 2)) start[i] = 1, size[i] = d - 1;
        else if (pick(maker, 2)) start[i] = d - 1, step[i] = -1;
    }
    return graph_slice(maker->graph, x, start, step, size);
}

static struct value *random_reduce(struct maker *maker, struct value *x)
{
    static const enum op ops[] = {OP_sum, OP_reduce_max, OP_reduce_min};
    if (x->type.rank == 0) return NULL;
    int64_t axis = pick(maker, x->type.rank);
    return graph_reduce(maker->graph, is_number(x) ? ops[pick(maker, 3)] : OP_reduce_max, x, 1, &axis, pick(maker, 2));
}

static struct value *random_join(struct maker *maker, struct value *x)
{
    if (x->type.rank == 0) return NULL;
    struct value *two[2] = {x, partner(maker, x)};
    if (!type_equal(&two[0]->type, &two[1]->type)) two[1] = x;
    return graph_concat(maker->graph, 2, two, pick(maker, x->type.rank));
}

static struct value *random_matmul(struct maker *maker, struct value *x)
{
    if (x->type.rank != 2 || !is_number(x)) return NULL;
    int64_t perm[2] = {1, 0};
    return graph_matmul(maker->graph, x, graph_transpose(maker->graph, x, perm));
}

static struct value *random_composite(struct maker *maker, struct value *x)
{
    if (x->type.rank == 0 || !dtype_is_float(x->type.dt)) return NULL;
    struct attr axis = ATTR_I("axis", pick(maker, x->type.rank));
    return graph_node(maker->graph, pick(maker, 2) ? OP_softmax : OP_log_softmax, 1, &x, 1, &axis);
}

static struct value *random_pad(struct maker *maker, struct value *x)
{
    int64_t before[RANK_MOST], after[RANK_MOST];
    for (int i = 0; i < x->type.rank; i++) before[i] = pick(maker, 3), after[i] = pick(maker, 2);
    struct value *in[2] = {x, x->type.dt == DT_bool ? graph_int(maker->graph, DT_bool, 1) : graph_scalar(maker->graph, x->type.dt, 2)};
    return graph_node(maker->graph, OP_pad, 2, in, 2, (struct attr[]){ATTR_L("before", before, x->type.rank), ATTR_L("after", after, x->type.rank)});
}

static struct value *random_cast(struct maker *maker, struct value *x)
{
    static const enum dtype types[] = {DT_f32, DT_f64, DT_i32, DT_i64, DT_bool, DT_u8};
    return graph_cast(maker->graph, x, types[pick(maker, 6)]);
}

static struct value *random_select(struct maker *maker, struct value *x)
{
    struct value *z = partner(maker, x);
    if (!is_number(x)) return NULL;
    return graph_select(maker->graph, graph_binary(maker->graph, OP_lt, x, z), x, z);
}

static void add_node(struct maker *maker)
{
    struct value *x = any(maker), *y = NULL;
    switch (pick(maker, 13)) {
    case 0: case 1: y = random_unary(maker, x); break;
    case 2: case 3: y = random_binary(maker, x); break;
    case 4: y = random_transpose(maker, x); break;
    case 5: y = random_reshape(maker, x); break;
    case 6: y = random_slice(maker, x); break;
    case 7: y = random_reduce(maker, x); break;
    case 8: y = random_join(maker, x); break;
    case 9: y = random_matmul(maker, x); break;
    case 10: y = random_composite(maker, x); break;
    case 11: y = pick(maker, 2) ? random_pad(maker, x) : random_select(maker, x); break;
    default: y = random_cast(maker, x); break;
    }
    if (y && maker->n < VALUES_MOST) maker->values[maker->n++] = y;
}

static void make_graph(struct maker *maker)
{
    static const enum dtype types[] = {DT_f32, DT_f32, DT_f32, DT_i32, DT_f64, DT_bool};
    struct arena *arena = maker->session.arena;
    dim symbol = dim_symbol(maker->session.dims, "N", 1, 9);
    maker->graph = graph_new(arena, arena, maker->session.dims, maker->session.diag, "random");
    int n_inputs = 1 + pick(maker, 3), n_nodes = 3 + pick(maker, 14), n_outputs = 1 + pick(maker, 2);
    for (int i = 0; i < n_inputs; i++) {
        struct type type = {.dt = types[pick(maker, 6)], .rank = pick(maker, 4)};
        for (int k = 0; k < type.rank; k++) type.dim[k] = pick(maker, 5) ? 1 + pick(maker, 5) : symbol;
        maker->values[maker->n++] = graph_input(maker->graph, arena_printf(arena, "in%d", i), &type);
    }
    for (int i = 0; i < n_nodes; i++) add_node(maker);
    for (int i = 0; i < n_outputs; i++) graph_output(maker->graph, arena_printf(arena, "out%d", i), maker->values[maker->n - 1 - i % maker->n]);
}

static bool fails(const char *what, const char *text)
{
    printf("%s:\n%s", what, text);
    return false;
}

/* print(parse(t)) = t, and parse(print(g)) equals g. */
static bool keep_laws(struct maker *maker, const char *text)
{
    struct arena *arena = maker->session.arena;
    struct session *session = &maker->session;
    struct source *source = NEW(arena, struct source);
    struct language_options options = {0};
    *source = (struct source){"random.tn", text, strlen(text)};
    struct graph *back = graph_new(arena, arena, session->dims, session->diag, "random");
    if (!language_read(back, source, &options)) return fails("what was printed is not read", text);
    struct text again = {.arena = arena};
    graph_print(back, &again);
    if (!graph_equal(maker->graph, back)) return fails("what was read is not equal", text_string(&again));
    return !strcmp(text, text_string(&again)) || fails("what was read prints differently", text_string(&again));
}

static bool test_one(uint64_t seed)
{
    struct arena *arena = arena_new();
    struct maker maker = {.session = {.arena = arena, .diag = diag_new(arena), .dims = dims_new(arena)}, .state = seed * 2 + 1};
    struct options options;
    struct text text = {.arena = arena};
    for (int i = 0; i < 4; i++) pick(&maker, 2);
    make_graph(&maker);
    graph_print(maker.graph, &text);
    bool ok = options_read(&maker.session, FOR_VERIFY, 0, NULL, &options) && !diag_errors(maker.session.diag);
    ok = ok && graph_verify(maker.graph, maker.session.diag) && keep_laws(&maker, text_string(&text));
    options.pipeline.verify_each = options.pipeline.eval_each = true;
    options.pipeline.seed = seed;
    struct unit unit = {.graph = maker.graph};
    ok = ok && model_lower(&maker.session, &options, arena, &unit);
    if (!ok) printf("fail: seed %llu\n%s", (unsigned long long)seed, text_string(&text));
    diag_print(maker.session.diag, stdout);
    arena_free(arena);
    return ok;
}

int main(int argc, char **argv)
{
    int n = argc > 1 ? atoi(argv[1]) : 1000, bad = 0;
    uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    for (int i = 0; i < n && bad < 10; i++) bad += !test_one(first + (uint64_t)i);
    printf("%d graphs, %d failed\n", n, bad);
    return bad || n < 1;
}
