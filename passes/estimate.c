/* The time of a scheduled program, from its text and the target table: what the schedules' own cost model (choose.c) leaves
 * out since all schedules of a kernel share it (conversions, curves, stores, calls, memory) counts here, where programs that
 * compute the same in other ways are compared. See estimate.h.
 *
 * Statements between loops are vector instructions that wait for ports: arithmetic, loads, stores, and chains of sums for the
 * latency of one. A call takes its loops' time or that of bringing its bytes from the caches that they are in, the longer, and
 * a part of the other. What an expression takes of which port is in add_arithmetic.
 */
#include "estimate.h"

#include "../ir/expr_map.h"

#include <math.h>

/* Bytes a cycle from the second cache level, the third and memory; bytes of the third. Of x86 servers since 2017. */
enum { L2_RATE = 48, L3_RATE = 10, MEMORY_RATE = 5, L3_BYTES = 24 << 20 };
#define CALL_CYCLES 40.0
#define LOOP_CYCLES 3.0
#define EXTERN_CYCLES 1000.0
#define OVERLAP 0.2 /* of the shorter of two things that happen at once: what of it still shows */

struct ports {
    double floats, other, loads, stores; /* instructions; other arithmetic goes to a port more below AVX-512 */
};
struct estimate {
    const struct prog *prog;
    const struct target *target;
    const int64_t *symbols;
    struct arena *scratch;
    double *moved; /* elements, by parameter of the kernel at hand */
    double run_bytes; /* of weights and the arena */
};

static double extent_of(const struct estimate *e, dim d)
{
    return (double)dim_eval(e->prog->dims, d, e->symbols);
}

static double trips_of(const struct estimate *e, const struct stmt *loop)
{
    double n = ex_is_const(loop->a) && ex_is_const(loop->b) ? (double)(loop->b->imm - loop->a->imm) : extent_of(e, loop->var->hi) - extent_of(e, loop->var->lo) + 1;
    return n > 0 ? ceil(n / (double)(loop->step ? loop->step : 1)) : 0;
}

/* Vectors that hold the expression's lanes. */
static double vectors_of(const struct estimate *e, ex x)
{
    double bytes = (double)x->lanes * (double)dtype_bytes(x->dt), widest = e->target->vector_bytes;
    return x->lanes < 2 || bytes <= widest || widest < 1 ? 1 : ceil(bytes / widest);
}

/* The instructions of one vector's arithmetic, added to the ports. From wide elements to narrow ones a vector is packed,
 * which AVX2 does half by half. */
static void add_cast(const struct estimate *e, ex x, double n, struct ports *ports)
{
    ex from = x->arg[0];
    bool to_float = dtype_is_float(x->dt), from_float = dtype_is_float(from->dt);
    bool narrows = dtype_bytes(x->dt) < dtype_bytes(from->dt);
    if (to_float != from_float) ports->floats += n;
    if (from_float && !to_float) ports->other += 3 * n; /* saturated, and no NaN */
    if (narrows && x->lanes > 1) ports->other += n * (e->target->vector_bytes == 64 ? 2 : 3);
    else if (!to_float || !from_float) ports->other += dtype_bytes(x->dt) == dtype_bytes(from->dt) ? 0 : n;
}

static void add_dot(const struct target *target, enum expr_op op, double n, struct ports *ports)
{
    bool one = op == EX_dot4 && target->has_dot;
    ports->floats += one || op == EX_dot2 ? n : 2 * n;
    ports->other += one ? 0 : op == EX_dot4 ? 6 * n : n; /* dot4 without the instruction: even and odd bytes apart */
}

/* An operand that is no NaN makes a bound one instruction. */
static bool is_number(ex x)
{
    return x->op == EX_const || (x->op == EX_splat && x->arg[0]->op == EX_const);
}

static void add_arithmetic(const struct estimate *e, ex x, struct ports *ports)
{
    double n = vectors_of(e, x), wide = e->target->vector_bytes == 64 ? 2 : 1;
    bool is_float = dtype_is_float(x->dt);
    double *own = is_float ? &ports->floats : &ports->other;
    switch (x->op) {
    case EX_cast: add_cast(e, x, n, ports); break;
    case EX_dot4: case EX_dot4_sat: case EX_dot2: add_dot(e->target, x->op, n, ports); break;
    case EX_fma: ports->floats += e->target->has_fma ? n : 2 * n; break;
    case EX_mul: ports->floats += is_float || dtype_bytes(x->dt) < 4 ? n : 2 * n; break;
    case EX_div: ports->floats += is_float ? 10 * wide * n : 20.0 * x->lanes; break;
    case EX_sqrt: ports->floats += 12 * wide * n; break;
    case EX_min: case EX_max:
        *own += n;
        if (is_float && !is_number(x->arg[0]) && !is_number(x->arg[1])) ports->other += 2 * n;
        break;
    case EX_eq: case EX_lt: case EX_le: *(dtype_is_float(x->arg[0]->dt) ? &ports->floats : &ports->other) += n; break;
    case EX_select: case EX_and: case EX_or: case EX_xor: case EX_not: case EX_neg: case EX_abs: ports->other += n; break;
    case EX_bits: break;
    case EX_splat: ports->other += is_number(x) || x->arg[0]->op == EX_load || x->arg[0]->op == EX_bits ? 0 : n; break;
    case EX_hadd: case EX_hmul: case EX_hmin: case EX_hmax: ports->other += 2 * log2(fmax(2, x->arg[0]->lanes)); break;
    default: *own += n * fmax(1, expr_row(x->op)->cost);
    }
}

static void count_load(struct estimate *e, ex x, double times, struct ports *ports)
{
    bool apart = x->lanes > 1 && x->imm != 0 && x->imm != 1;
    ports->loads += apart ? x->lanes : vectors_of(e, x);
    if (apart) ports->other += x->lanes;
    if (x->arg[1]) ports->other += 1;
    if (x->buf->space == SPACE_PARAM) e->moved[x->buf->position] += times * (x->imm == 0 ? 1 : x->lanes);
}

static void count(struct estimate *e, struct expr_map *seen, ex x, double times, struct ports *ports)
{
    if (!x || x->op == EX_const || x->op == EX_dim || x->op == EX_var || expr_map_find(seen, x)) return;
    expr_map_add(seen, x, 1);
    if (x->op == EX_load) count_load(e, x, times, ports);
    else if (x->dt != DT_index) add_arithmetic(e, x, ports);
    for (int i = 0; i < expr_row(x->op)->args; i++) count(e, seen, x->arg[i], times, ports);
}

static void count_store(struct estimate *e, const struct stmt *s, double times, struct ports *ports)
{
    bool apart = s->b->lanes > 1 && s->step != 1;
    ports->stores += apart ? s->b->lanes : vectors_of(e, s->b);
    if (s->buf->space == SPACE_PARAM) e->moved[s->buf->position] += times * s->b->lanes;
}

static double longest(double a, double b)
{
    return fmax(a, b) + OVERLAP * fmin(a, b);
}

static double list_cycles(struct estimate *e, const struct stmt *list, double times);

/* What of the list runs through ports, and what waits for sums: how often it sets the same variable. */
static double straight_cycles(struct estimate *e, const struct stmt *list, double times)
{
    struct expr_map seen = {.arena = e->scratch};
    struct ports ports = {0};
    double chain = 0;
    for (const struct stmt *s = list; s; s = s->next) {
        if (s->kind == STMT_FOR) continue;
        count(e, &seen, s->a, times, &ports);
        count(e, &seen, s->b, times, &ports);
        count(e, &seen, s->c, times, &ports);
        if (s->kind == STMT_STORE) count_store(e, s, times, &ports);
        double sets = 0;
        for (const struct stmt *t = s; t && s->kind == STMT_SET; t = t->next) sets += t->kind == STMT_SET && t->var == s->var;
        chain = fmax(chain, sets * e->target->fma_latency);
    }
    double units = e->target->fmas_per_cycle;
    double work = fmax(ports.floats / units, (ports.floats + ports.other) / (units + (e->target->vector_bytes < 64))), loads = ports.loads / e->target->loads_per_cycle;
    return fmax(longest(longest(work, loads), ports.stores), chain);
}

static double list_cycles(struct estimate *e, const struct stmt *list, double times)
{
    double cycles = list ? straight_cycles(e, list, times) : 0;
    for (const struct stmt *s = list; s; s = s->next) {
        if (s->kind == STMT_FOR) {
            double trips = trips_of(e, s);
            cycles += LOOP_CYCLES + trips * (1 + list_cycles(e, s->body, times * trips));
        } else if (s->body || s->other) {
            cycles += fmax(list_cycles(e, s->body, times), list_cycles(e, s->other, times));
        }
    }
    return cycles;
}

/* Cycles to read bytes of a set that is used over and over: the caches hold what they can of it. */
static double read_cycles(const struct estimate *e, double bytes, double set)
{
    double l2 = set > 0 ? fmin(1, 2.0 * e->target->l2_bytes / set) : 1, l3 = set > 0 ? fmin(1, L3_BYTES / set) : 1;
    return bytes * (l2 / L2_RATE + (l3 - l2) / L3_RATE + (1 - l3) / MEMORY_RATE);
}

static double call_cycles(struct estimate *e, const struct stmt *call)
{
    const struct kernel *kernel = call->kernel;
    if (!kernel) return EXTERN_CYCLES;
    e->moved = NEW_ARRAY(e->scratch, double, kernel->params.n + 1);
    double cycles = list_cycles(e, kernel->body, 1), weights = 0, values = 0;
    for (int i = 0; i < call->n_args; i++) {
        const struct buffer *param = kernel->params.at[i];
        double bytes = fmin(e->moved[i], extent_of(e, param->elements)) * (double)dtype_bytes(param->dt);
        if (call->args[i].buf->space == SPACE_WEIGHT) weights += bytes;
        else values += bytes;
    }
    return CALL_CYCLES + longest(cycles, read_cycles(e, weights, e->run_bytes) + read_cycles(e, values, 2 * values));
}

static void add_calls(struct estimate *e, const struct stmt *list, double times, int *number, double *by_call, double *sum)
{
    for (const struct stmt *s = list; s; s = s->next) {
        if (s->kind == STMT_CALL && !stmt_is_mark(s)) {
            double cycles = times * call_cycles(e, s);
            if (by_call) by_call[*number] = cycles;
            ++*number;
            *sum += cycles;
        }
        double trips = s->kind == STMT_FOR && s->loop != LOOP_PARALLEL ? trips_of(e, s) : 1;
        add_calls(e, s->body, times * trips, number, by_call, sum);
        add_calls(e, s->other, times, number, by_call, sum);
    }
}

double estimate_cycles(const struct prog *prog, const struct target *target, const int64_t *symbols, struct arena *arena, double *by_call)
{
    struct estimate e = {.prog = prog, .target = target, .symbols = symbols, .scratch = arena};
    double sum = 0;
    int number = 0;
    for (int i = 0; i < prog->buffers.n; i++)
        if (prog->buffers.at[i]->space == SPACE_WEIGHT) e.run_bytes += extent_of(&e, prog->buffers.at[i]->elements) * (double)dtype_bytes(prog->buffers.at[i]->dt);
    e.run_bytes += (double)dim_eval(prog->dims, prog->arena_bytes, symbols);
    add_calls(&e, prog->main, 1, &number, by_call, &sum);
    return sum;
}
