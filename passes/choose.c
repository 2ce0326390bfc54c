/* The cost model: which axis becomes lanes, which are copied into the register tile, in which order loops run.
 *
 * All from strides. With lanes along an axis, a load of stride 0 in it is one splat, of stride 1 one vector, of any
 * other stride one scalar per lane; copies along an axis share every load that does not depend on it. The search
 * tries each axis for lanes and up to two more for copies, under the register budget
 *     accumulators*tile + the smaller operand + 1 <= registers
 * and takes the least estimated cycles from the target's loads and multiply-adds per cycle and their latency (of the
 * x86 cores since 2013 in the target table, or measured: tuning.h; only ratios matter). Loop order: the permutation
 * that moves the fewest bytes past L2.
 */
#include "choose.h"
#include "guards.h"
#include "loops.h"
#include "window.h"

enum { BODY_MOST = 240, PAGE = 4096, SHARES_LEAST = 3000 /* cycles */, SUMS_LEAST = 3 /* side by side, against latency */,
       WINDOW_START = 12 /* cycles until the sums of a window are under way, and out */, BYTES_PER_CYCLE = 48 /* from the second cache level */ };
#define LONE_CYCLES 1.25 /* a vector of bytes that is rounded by itself, more than one of a pair */
static const int heights[] = {1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14};
enum { N_HEIGHTS = sizeof heights / sizeof *heights };

struct search {
    const struct loopnest *nest;
    const struct target *target;
    struct tile_plan plan, best;
    double best_cost;
    struct candidate *list; /* the n cheapest, cheapest first; NULL: only the best is wanted */
    int n, most;
    double inner_trips; /* most iterations of loops inside the body */
    bool guarded[AXES_MOST]; /* some guard reads the axis */
};

int choose_lanes(const struct loopnest *nest, const struct target *target)
{
    int lanes = target->vector_bytes / nest->element_bytes;
    if (target->lanes_most && lanes > target->lanes_most) lanes = target->lanes_most;
    return lanes < 2 ? 1 : lanes;
}

static double ceil_of(double x)
{
    double whole = (double)(int64_t)x;
    return whole < x ? whole + 1 : whole;
}

/* Tiles along an axis, and the average number of copies in one. */
static double tiles_of(const struct search *s, int axis, double *copies)
{
    const struct tile_plan *plan = &s->plan;
    double lanes = axis == plan->vector_axis ? plan->lanes : 1;
    double units = ceil_of(s->nest->axis[axis].trips / lanes);
    if (units < 1) units = 1;
    double tiles = ceil_of(units / plan->copies[axis]);
    *copies = units / tiles;
    return tiles;
}

/* Cost of one execution of an access for a whole vector, relative to a vector load. */
static double lane_cost(const struct search *s, const struct access *access)
{
    const struct tile_plan *plan = &s->plan;
    if (plan->inner_lanes > 1) {
        bool depends = false;
        for (int a = s->nest->n_chain; a < s->nest->n_axes; a++) {
            int64_t stride = loopnest_stride(access, a);
            if (stride == 1 && 2 * s->nest->axis[a].trips >= plan->inner_lanes) return 1.0 / plan->inner_lanes;
            depends |= stride != 0;
        }
        return depends ? 2.5 : 1.0 / plan->inner_lanes;
    }
    if (plan->vector_axis < 0) return 1;
    int64_t stride = loopnest_stride(access, plan->vector_axis);
    double splat = s->target->vector_bytes == 64 ? 0.9 : 1;
    return stride == 0 ? splat : stride == 1 ? 1 : 2.5 * plan->lanes;
}

/* Loads of bytes that lie side by side in several rows at once (weights in blocks of the sum): how many such rows. */
static int rows_at_once(const struct loopnest *nest, const struct access *access)
{
    int n = 0;
    for (int i = 0; i < nest->accesses.n; i++) {
        const struct access *other = &nest->accesses.at[i];
        n += other->buf == access->buf && !other->store && other->weight == access->weight;
    }
    return dtype_bytes(access->buf->dt) == 1 && access->load && access->load->lanes == 1 ? n : 1;
}

/* Bytes of vectors that one iteration of the innermost reduction takes from the second cache level: operands that are
 * read along lanes, once per position, and are too many over the whole reduction to stay in the first. */
static double streamed_bytes(const struct search *s, const struct access *access, double each)
{
    const struct loopnest *nest = s->nest;
    if (s->plan.vector_axis < 0 || access->store || access->weight <= 1 || loopnest_stride(access, s->plan.vector_axis) != 1) return 0;
    int rows = rows_at_once(nest, access), element_bytes = rows > 1 ? 1 : nest->element_bytes;
    double panel = each / access->weight * s->plan.lanes * rows * element_bytes;
    for (int a = nest->n_chain; a < nest->n_axes; a++)
        if (depends_on(access, a)) panel *= nest->axis[a].trips;
    if (panel <= s->target->l1_bytes * 0.5) return 0;
    int64_t width = (int64_t)s->plan.lanes * s->plan.copies[s->plan.vector_axis], step = INT64_MAX;
    for (int a = nest->n_chain; a < nest->n_axes; a++)
        if (loopnest_stride(access, a) > 0 && loopnest_stride(access, a) < step) step = loopnest_stride(access, a);
    width *= rows;
    double gaps = step > width && step <= 4 * width ? 1.5 : 1; /* a stream with gaps is read twice */
    return gaps * each * s->plan.lanes * element_bytes;
}

/* Whether a window moves by several of its taps from one iteration of the axis to the next (a stride of 2). */
static bool steps_over_taps(const struct loopnest *nest, const struct access *access, int axis)
{
    int64_t step = loopnest_stride(access, axis);
    for (int a = nest->n_chain; a < nest->n_axes; a++) {
        int64_t tap = loopnest_stride(access, a);
        bool known = tap > 0 && tap != STRIDE_UNKNOWN && step != STRIDE_UNKNOWN && step % tap == 0;
        if (known && step / tap > 1 && (double)(step / tap) < nest->axis[a].trips) return true;
    }
    return false;
}

/* Loads of lanes for copies that lie far apart are a little dearer: each is a stream of its own for the prefetchers. More
 * so where they share less of what they read: a depthwise convolution of stride 2 over 114x114x96, 282 us with copies of
 * two rows, 211 with two vectors of channels instead; with stride 1 the rows win, 122 us to 138 over 58x58x144. */
static double far_apart(const struct search *s, const struct access *access)
{
    double rows = 1, each = 0.01;
    if (s->plan.vector_axis < 0 || access->store || access->weight <= 1 || loopnest_stride(access, s->plan.vector_axis) != 1) return 1;
    for (int a = 0; a < s->nest->n_chain; a++) {
        if (a == s->plan.vector_axis || loopnest_stride(access, a) * s->nest->element_bytes < PAGE) continue;
        rows *= s->plan.copies[a];
        if (s->plan.copies[a] > 1 && steps_over_taps(s->nest, access, a)) each = 0.06;
    }
    return 1 + each * (rows - 1);
}

/* Arithmetic per iteration of the chain: a dot product in one instruction costs what a multiply-add does. Two products and an
 * addition, or one and an addition, which go to other ports as well, are 2 and 1.5 multiply-adds. */
static double operations_of(const struct search *s)
{
    const struct loopnest *nest = s->nest;
    double fma = expr_row(EX_fma)->cost, cost = nest->dot == EX_dot2 ? 1.5 * fma : nest->dot == EX_dot4_sat ? 2 * fma : 0;
    if (nest->dot == EX_dot4) cost = s->target->has_dot ? fma : expr_row(EX_dot4)->cost;
    return nest->dots > 0 ? nest->operations - nest->dots * (expr_row(nest->dot)->cost - cost) : nest->operations;
}

/* Bytes of two vectors that lie side by side are rounded together (expand_pack.c), others each by itself: cycles more, for each
 * vector on average. Depthwise layers of mobilenetv2 take 9 % less with two vectors of channels than with two rows. */
static double lone_rounding(const struct search *s)
{
    int lanes = target_pack_lanes(s->target), axis = s->plan.vector_axis;
    if (axis < 0 || lanes == 0 || s->plan.lanes != lanes) return 0;
    for (int i = 0; i < s->nest->accesses.n; i++) {
        const struct access *access = &s->nest->accesses.at[i];
        if (access->store && access->buf->dt == DT_u8) return LONE_CYCLES * (s->plan.copies[axis] % 2) / s->plan.copies[axis];
    }
    return 0;
}

static double plan_cost(const struct search *s)
{
    const struct loopnest *nest = s->nest;
    const struct tile_plan *plan = &s->plan;
    double copies[AXES_MOST], tiles = 1, bodies = 1, loads = 0, streamed = 0, far = 1;
    for (int a = 0; a < nest->n_chain; a++) {
        tiles *= tiles_of(s, a, &copies[a]);
        bodies *= copies[a];
    }
    struct window window;
    bool is_window = window_find(nest, plan, &window);
    for (int i = 0; i < nest->accesses.n; i++) {
        const struct access *access = &nest->accesses.at[i];
        double each = access->weight * lane_cost(s, access) * (access->store ? 1.5 : 1);
        bool moves = is_window && access->buf == window.buf;
        if (moves) each *= window.loads;
        for (int a = 0; a < nest->n_chain; a++)
            if (depends_on(access, a)) each *= copies[a];
        if (moves) far = far_apart(s, access);
        else each *= far_apart(s, access);
        streamed += streamed_bytes(s, access, each);
        loads += each;
    }
    streamed /= BYTES_PER_CYCLE;
    double width = plan->inner_lanes > 1 ? plan->inner_lanes : 1;
    double work = operations_of(s) * bodies / width / (s->target->fmas_per_cycle * (s->target->has_fma ? 2 : 1)) + lone_rounding(s) * bodies;
    loads /= s->target->loads_per_cycle;
    double cycles = work > loads ? work : loads;
    if (cycles < streamed) cycles = streamed;
    cycles += 0.15 * (work + loads + streamed);
    double chain = nest->n_registers > 0 ? s->inner_trips / width * s->target->fma_latency : 0;
    if (plan->inner_lanes > 1 && chain > 0) chain /= nest->n_registers * bodies >= 4 ? 1 : 4; /* parts: reduce.c */
    if (cycles < chain) cycles = chain;
    cycles *= far;
    if (is_window) cycles += (window.unrolled ? 0 : s->inner_trips / window.taps) + WINDOW_START;
    else cycles += s->inner_trips / width + 4;
    if (plan->inner_lanes > 1) cycles += 6.0 * nest->n_registers * bodies;
    return cycles * tiles;
}

static bool fits_registers(const struct search *s)
{
    const struct loopnest *nest = s->nest;
    const struct tile_plan *plan = &s->plan;
    int tile = 1, least = 0;
    for (int a = 0; a < nest->n_chain; a++) tile *= plan->copies[a];
    if (tile == 1) return true;
    for (int i = 0; i < nest->accesses.n; i++) {
        const struct access *access = &nest->accesses.at[i];
        int copies = 1;
        if (access->store || access->weight <= 1) continue;
        for (int a = 0; a < nest->n_chain; a++)
            if (depends_on(access, a)) copies *= plan->copies[a];
        if (least == 0 || copies < least) least = copies;
    }
    int accumulators = nest->n_registers > 0 ? nest->n_registers : 1;
    struct window window;
    if (window_find(nest, plan, &window)) { /* beside the sums the weights of a row of taps, of all that copies meet where all are unrolled */
        int rows = !window.unrolled ? 1 : window.rows < window.taps ? window.rows : window.taps;
        return accumulators * tile + least * window.taps * rows + 2 + s->target->n_registers / 8 <= s->target->n_registers;
    }
    if (nest->dot == EX_dot2 || nest->dot == EX_dot4_sat) /* a product before it is added; what else is spare, renaming hides */
        return accumulators * tile + least + (nest->dot == EX_dot2 ? 2 : 3) <= s->target->n_registers;
    /* dot4 by 16-bit products: even and odd bytes of each operand, a mask and a product */
    if (nest->dot == EX_dot4 && !s->target->has_dot) return accumulators * tile + 2 * least + 4 <= s->target->n_registers;
    /* several numbers out of a word: each copy holds it, and what it has summed so far; what they are multiplied by is for all */
    if (nest->conversions > 1) return (accumulators + 2) * tile + nest->conversions + 2 <= s->target->n_registers;
    return accumulators * tile + least + 2 <= s->target->n_registers; /* one for compilers, which load ahead */
}

/* Keeps the plan among the cheapest; of equals, the first met comes first. */
static void list_plan(struct search *s, double cost)
{
    int at = s->n;
    while (at > 0 && s->list[at - 1].cost > cost) at--;
    if (at == s->most) return;
    if (s->n < s->most) s->n++;
    for (int i = s->n - 1; i > at; i--) s->list[i] = s->list[i - 1];
    s->list[at] = (struct candidate){.plan = s->plan, .cost = cost};
}

static void consider(struct search *s)
{
    int tile = 1;
    for (int a = 0; a < s->nest->n_chain; a++) tile *= s->plan.copies[a];
    bool map = s->nest->n_axes == s->nest->n_chain;
    if (tile > BODY_MOST || (!map && !fits_registers(s))) return;
    double cost = plan_cost(s);
    if (s->list) list_plan(s, cost);
    if (s->best_cost >= 0 && cost >= 0.995 * s->best_cost) return;
    s->best_cost = cost;
    s->best = s->plan;
}

/* Edges are cut out along one axis only; guards on the others are tested around the loops inside. */
static bool cuts_edges(const struct search *s, int except)
{
    for (int a = 0; a < s->nest->n_chain; a++)
        if (a != except && s->guarded[a] && (s->plan.copies[a] > 1 || a == s->plan.vector_axis)) return true;
    return false;
}

/* Copies along up to `more` further axes from `from` down: of equals, the innermost axis wins. */
static void search_copies(struct search *s, int from, int more)
{
    consider(s);
    if (more == 0 || s->target->compact == COMPACT_MOST) return;
    for (int a = from; a >= 0; a--) {
        if (s->guarded[a] && cuts_edges(s, a)) continue;
        double units = s->nest->axis[a].trips / (a == s->plan.vector_axis ? s->plan.lanes : 1);
        if (s->target->vector_bytes >= 32) units = ceil_of(units); /* the last vector may be a masked one: tile.c */
        for (int h = 1; h < N_HEIGHTS && heights[h] <= units; h++) {
            if (s->target->compact && (int64_t)units % heights[h] != 0) continue;
            s->plan.copies[a] = heights[h];
            if (!fits_registers(s)) break;
            search_copies(s, a - 1, more - 1);
        }
        s->plan.copies[a] = 1;
    }
}

/* Whether the body can be lanes along the axis, at least in the interior of its guards. */
static bool can_vectorize(const struct loopnest *nest, int axis, int lanes)
{
    struct prog *prog = nest->prog;
    dim lo, hi;
    struct stmt *made;
    if (!guards_interval(nest, axis, &lo, &hi) || dim_hi(prog->dims, dim_sub(prog->dims, hi, lo)) < 2) return false;
    struct var *var = prog_index(prog, "v", lo, dim_sub(prog->dims, hi, 1));
    struct rewriter *r = rewriter_new(prog);
    rewrite_bind(r, nest->axis[axis].var, ex_var(prog, var));
    struct lanes trial = {.var = var, .base = ex_var(prog, var), .lanes = lanes};
    if (var->lo == var->hi) return false;
    return loops_vectorize(prog, rewrite_list(r, nest->body), &trial, &made);
}

static bool inner_loops_pure(const struct stmt *list)
{
    for (; list; list = list->next) {
        if (list->kind == STMT_FOR && !reduce_is_pure(list)) return false;
        if (!reduce_is_pure(list) && (!inner_loops_pure(list->body) || !inner_loops_pure(list->other))) return false;
    }
    return true;
}

bool choose_inner(const struct loopnest *nest)
{
    double good = 0, bad = 0;
    for (int i = 0; i < nest->accesses.n; i++) {
        const struct access *access = &nest->accesses.at[i];
        bool depends = false, contiguous = false;
        for (int a = nest->n_chain; a < nest->n_axes; a++) {
            contiguous |= loopnest_stride(access, a) == 1 && nest->axis[a].trips >= 4;
            depends |= depends_on(access, a);
        }
        if (access->weight > 1) *(contiguous || !depends ? &good : &bad) += access->weight;
    }
    return good > bad;
}

static double trips_at(const struct search *s, int axis)
{
    double copies;
    return tiles_of(s, axis, &copies);
}

/* Bytes a load touches in the loops order[level..] and inside; at most one line per element. */
static double footprint(const struct search *s, const struct access *access, const int *order, int level)
{
    const struct loopnest *nest = s->nest;
    double elements = 1;
    for (int a = nest->n_chain; a < nest->n_axes; a++)
        if (depends_on(access, a)) elements *= nest->axis[a].trips;
    for (int i = 0; i < nest->n_chain; i++)
        if (depends_on(access, order[i]))
            elements *= i >= level ? nest->axis[order[i]].trips : nest->axis[order[i]].trips / trips_at(s, order[i]);
    double lanes = access->load ? access->load->lanes : 1; /* of a word: the nest is scalar otherwise */
    return elements * lanes * (double)dtype_bytes(access->buf->dt);
}

static double traffic(const struct search *s, const int *order)
{
    const struct loopnest *nest = s->nest;
    int level = nest->n_chain;
    for (; level > 0; level--) { /* loops from `level` on fit the cache */
        double total = 0;
        for (int i = 0; i < nest->accesses.n; i++) total += footprint(s, &nest->accesses.at[i], order, level - 1);
        if (total > s->target->l2_bytes * 0.6) break;
    }
    double bytes = 0;
    for (int i = 0; i < nest->accesses.n; i++) {
        const struct access *access = &nest->accesses.at[i];
        double times = 1;
        bool resident = true;
        for (int k = level - 1; k >= 0; k--) {
            resident &= !depends_on(access, order[k]);
            if (!resident) times *= trips_at(s, order[k]);
        }
        bytes += footprint(s, access, order, level) * times;
    }
    return bytes;
}

static void permute(struct search *s, int *order, int at, double *least)
{
    int n = s->nest->n_chain;
    if (at == n) {
        double bytes = traffic(s, order);
        if (*least >= 0 && bytes >= 0.9 * *least) return;
        *least = bytes;
        for (int i = 0; i < n; i++) s->best.order[i] = order[i];
        return;
    }
    for (int i = at; i < n; i++) { /* rotations keep the original order first */
        int chosen = order[i];
        for (int k = i; k > at; k--) order[k] = order[k - 1];
        order[at] = chosen;
        permute(s, order, at + 1, least);
        for (int k = at; k < i; k++) order[k] = order[k + 1];
        order[i] = chosen;
    }
}

/* The axis along which a map's loads are contiguous where its lanes are not: as the innermost loop it uses up the lines that
 * the lanes touch while they are in cache (a transposition). -1: none. */
static int lines_axis(const struct loopnest *nest, int vector_axis)
{
    for (int i = 0; i < nest->accesses.n && vector_axis >= 0; i++) {
        const struct access *access = &nest->accesses.at[i];
        if (access->store || loopnest_stride(access, vector_axis) < 8) continue;
        for (int a = 0; a < nest->n_chain; a++)
            if (a != vector_axis && loopnest_stride(access, a) == 1 && nest->axis[a].trips >= 8) return a;
    }
    return -1;
}

/* Microcontrollers have no cache that an order could be for: results go to memory from its start to its end, so that they may
 * follow closely on what is read (passes/plan_near.c). */
static void order_as_stored(const struct search *s, int *order)
{
    const struct access *store = NULL;
    for (int i = 0; i < s->nest->accesses.n && !store; i++)
        if (s->nest->accesses.at[i].store) store = &s->nest->accesses.at[i];
    for (int i = 1; store && i < s->nest->n_chain; i++)
        for (int k = i; k > 0 && loopnest_stride(store, order[k]) > loopnest_stride(store, order[k - 1]); k--) {
            int axis = order[k];
            order[k] = order[k - 1];
            order[k - 1] = axis;
        }
}

static void choose_order(struct search *s)
{
    int n = s->nest->n_chain, order[AXES_MOST], at = 0;
    bool map = s->nest->n_axes == n;
    int last = map ? lines_axis(s->nest, s->best.vector_axis) : -1;
    for (int a = 0; a < n; a++)
        if (!map || (a != s->best.vector_axis && a != last)) order[at++] = a;
    if (map && s->best.vector_axis >= 0) order[at++] = s->best.vector_axis;
    if (last >= 0) order[at] = last;
    if (s->target->is_small) order_as_stored(s, order);
    for (int i = 0; i < n; i++) s->best.order[i] = order[i];
    double least = -1;
    s->plan = s->best;
    if (!map && n <= 6 && !s->target->is_small) permute(s, order, 0, &least);
}

static struct search search_new(const struct loopnest *nest, const struct target *target)
{
    struct search s = {.nest = nest, .target = target, .best_cost = -1};
    bool map = nest->n_axes == nest->n_chain;
    for (int i = 0; i < nest->accesses.n; i++)
        if (nest->accesses.at[i].weight > s.inner_trips) s.inner_trips = nest->accesses.at[i].weight;
    if (map) s.inner_trips = 0;
    for (int i = 0; i < nest->accesses.n; i++)
        for (int a = 0; a < nest->n_chain; a++)
            s.guarded[a] |= nest->accesses.at[i].guard && ex_uses(nest->accesses.at[i].guard, nest->axis[a].var);
    for (int a = 0; a < AXES_MOST; a++) /* all cases side by side: they share what they load */
        s.plan.copies[a] = map && a < nest->n_chain && nest->axis[a].cases ? (int)nest->axis[a].extent : 1;
    s.plan.lanes = s.plan.inner_lanes = 1;
    s.plan.vector_axis = -1;
    s.plan.unroll_size = target->compact ? 1 : target->is_small ? UNROLL_SMALL : UNROLL_USUAL;
    return s;
}

/* Meets every plan worth considering. */
static void search_plans(struct search *s, const struct var *only)
{
    const struct loopnest *nest = s->nest;
    int lanes = choose_lanes(nest, s->target);
    bool map = nest->n_axes == nest->n_chain, pure = inner_loops_pure(nest->body);
    if (only) s->best_cost = -1;
    else if (map) consider(s);
    else if (pure) search_copies(s, nest->n_chain - 1, 2);
    else consider(s);
    for (int a = 0; a < nest->n_chain && lanes > 1; a++) {
        if (only && nest->axis[a].var != only) continue;
        if (nest->axis[a].trips < 2 || !can_vectorize(nest, a, lanes)) continue;
        s->plan.vector_axis = a;
        s->plan.lanes = lanes;
        while (s->plan.lanes > 2 && s->plan.lanes / 2 >= nest->axis[a].trips) s->plan.lanes /= 2;
        if (map) {
            int before = s->plan.copies[a];
            consider(s);
            s->plan.copies[a] = nest->axis[a].trips >= 4.0 * s->plan.lanes && nest->operations < 40 ? 2 : 1;
            if (s->plan.copies[a] != before) consider(s);
            s->plan.copies[a] = before;
        } else {
            search_copies(s, nest->n_chain - 1, 3);
        }
    }
    s->plan.vector_axis = -1;
    s->plan.lanes = 1;
    s->plan.inner_lanes = lanes;
    if (!only && !map && lanes > 1 && choose_inner(nest)) {
        if (pure) search_copies(s, nest->n_chain - 1, 2);
        else consider(s);
    }
    s->plan.inner_lanes = 1;
}

/* Loops in the body that store, and no lanes around them: better scheduled by themselves. */
static bool is_inside(const struct loopnest *nest, const struct tile_plan *plan)
{
    return nest->n_axes > nest->n_chain && plan->vector_axis < 0 && !inner_loops_pure(nest->body);
}

bool choose_plan(const struct loopnest *nest, const struct target *target, const struct var *only, struct tile_plan *plan,
                 double *cost)
{
    struct search s = search_new(nest, target);
    search_plans(&s, only);
    *cost = s.best_cost;
    if (s.best_cost < 0) return false;
    choose_order(&s);
    *plan = s.best;
    return !is_inside(nest, plan);
}

int choose_list(const struct loopnest *nest, const struct target *target, const struct var *only, int most,
                struct candidate *list)
{
    struct search s = search_new(nest, target);
    int kept = 0;
    s.list = list;
    s.most = most;
    search_plans(&s, only);
    for (int i = 0; i < s.n; i++) {
        if (is_inside(nest, &list[i].plan)) continue;
        s.best = list[i].plan;
        choose_order(&s);
        list[kept++] = (struct candidate){.plan = s.best, .cost = list[i].cost};
    }
    return kept;
}

bool choose_reorder(const struct loopnest *nest, const struct target *target, int axis, struct tile_plan *plan)
{
    struct search s = search_new(nest, target);
    int at = 0;
    s.plan = *plan;
    while (plan->order[at] != axis) at++;
    if (at == 0 || nest->n_axes == nest->n_chain || trips_at(&s, axis) < 2) return false;
    bool moves = false; /* past a loop that runs more than once */
    for (; at > 0; at--) {
        plan->order[at] = plan->order[at - 1];
        moves |= trips_at(&s, plan->order[at]) >= 2;
    }
    plan->order[0] = axis;
    return moves;
}

void choose_shares(const struct loopnest *nest, const struct target *target, int threads, struct tile_plan *plan)
{
    struct search s = search_new(nest, target);
    double tiles = 1;
    int most = -1;
    s.plan = *plan;
    for (int a = 0; a < nest->n_chain; a++) {
        tiles *= trips_at(&s, a);
        if (most < 0 || plan->copies[a] > plan->copies[most]) most = a;
    }
    if (most < 0 || nest->n_axes == nest->n_chain || plan_cost(&s) < SHARES_LEAST) return;
    for (; tiles < threads && plan->copies[most] >= 2 * SUMS_LEAST - 1; tiles *= 2) plan->copies[most] = (plan->copies[most] + 1) / 2;
}

const char *choose_check(const struct loopnest *nest, const struct target *target, const struct tile_plan *plan)
{
    struct search s = search_new(nest, target);
    int lanes = choose_lanes(nest, target), tile = 1;
    bool map = nest->n_axes == nest->n_chain, pure = inner_loops_pure(nest->body), used[AXES_MOST] = {false};
    if (nest->too_big || !nest->parallel) return "the nest's iterations depend on one another";
    for (int i = 0; i < nest->n_chain; i++) {
        int a = plan->order[i];
        if (a < 0 || a >= nest->n_chain || used[a]) return "the order has to name every axis once";
        used[a] = true;
    }
    for (int a = 0; a < nest->n_chain; a++) {
        if (plan->copies[a] < 1 || plan->copies[a] > BODY_MOST) return "copies are 1 to 240";
        tile *= plan->copies[a];
        if (tile > BODY_MOST) return "more than 240 copies in all";
    }
    int wide = plan->vector_axis >= 0 ? plan->lanes : plan->inner_lanes;
    if (wide > 1 && wide > lanes) return "more lanes than the target has";
    if ((wide & (wide - 1)) != 0) return "lanes are a power of two";
    if (plan->vector_axis >= 0 && (plan->lanes < 2 || plan->inner_lanes > 1)) return "lanes are along one axis, at least 2";
    if (plan->inner_lanes > 1 && (map || !pure)) return "the nest has no reductions for lanes inside";
    if (is_inside(nest, plan)) return "loops inside the nest store: it is scheduled loop by loop";
    s.plan = *plan;
    for (int a = 0; a < nest->n_chain; a++)
        if (s.guarded[a] && (plan->copies[a] > 1 || a == plan->vector_axis) && cuts_edges(&s, a))
            return "edges are cut along one axis only";
    if (plan->vector_axis >= 0 && !can_vectorize(nest, plan->vector_axis, plan->lanes)) return "that axis cannot be lanes";
    return NULL;
}
