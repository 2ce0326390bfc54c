/* Choosing the loops by which kernels are dealt out, by what each choice moves between cores.
 *
 *   z = product of x and packed weights, y = norm of z by rows
 *      by channels:  for q in from..to { for r in 0..128 { .. } }     reads all of x, half of which the other core wrote
 *      by rows:      for q in 0..12 { for r in from..to { .. } }      reads all weights, its own half of x, and y its own of z
 *
 * What a worker touches of a buffer is taken for a box in the buffer's own dimensions: of the addresses at the ends of
 * the loops around each access, with the worker's range in place of from..to. A call's cost is its largest share of the
 * work, the part of what it reads that lies in boxes that other workers wrote, and the weights in its box. Kernels take
 * turns: each takes the way that is cheapest beside what the others have, until none changes. All of it is an estimate
 * that no correctness hangs on. Symbols count at their least, where mostly no way is cheaper than the outermost loops.
 */
#include "exchange.h"

#include "box.h"

#include <string.h>

enum { WORKERS_MOST = 8, ROUNDS_MOST = 4, LINE_BYTES = 64 };
static const double OVERLAP_MOST = 1.3; /* of workers' boxes, where ranges end inside a row */
/* Operations' worth of a byte that another core wrote (measured: 5 GB/s between second-level caches), and of a byte of
 * weights, which the next panel's prefetch hides in part. minilm on two cores: all products by rows 10.1 ms, by channels
 * 10.45; bert_base_128, whose weights are four times as large against what goes over, is the same either way. */
static const double WORK_OF_EXCHANGE = 1.2, WORK_OF_WEIGHT = 0.12;
static const double LESS = 0.995; /* of a cost that is worth a change */

struct touched { /* of one buffer by one worker */
    struct box read, written;
};
struct use { /* a call of main */
    const struct stmt *call;
    struct ways *ways;
    struct shape *shapes;    /* by argument */
    struct touched *touched; /* by argument, way and worker; calls that are alike share it */
    double *share;           /* by way: work of the worker that has most */
};
struct edge { /* `to` reads what `from` wrote */
    int from, from_arg, to, to_arg;
    double size; /* bytes of an element */
};
struct exchange {
    struct prog *prog;
    struct arena *scratch;
    int workers, n_kernels;
    double most; /* bytes of one buffer that a core's second-level cache has */
    struct ways *kernels;
    struct pointer_map works; /* statement -> its work, where that is the same for all workers */
    LIST(struct use) uses;
    LIST(struct edge) edges;
};

/* ---- what calls touch ---- */

static struct names range_of(const struct exchange *x, const struct partition *way, int worker)
{
    int64_t units = dim_lo(x->prog->dims, way->units);
    struct names names = {.n = 2, .var = {way->from, way->to}};
    names.value[0] = units * worker / x->workers;
    names.value[1] = units * (worker + 1) / x->workers;
    return names;
}

static bool offset_of(const struct exchange *x, const struct call_arg *arg, int64_t *offset)
{
    struct names none = {.n = 0};
    *offset = 0;
    return !arg->offset || box_value(x->prog->dims, &none, arg->offset, offset);
}

static struct touched *touched_at(const struct exchange *x, const struct use *use, int arg, int way, int worker)
{
    return &use->touched[(arg * WAYS_MOST + way) * x->workers + worker];
}

static void look_at_way(const struct exchange *x, const struct use *use, int way, int worker, const struct reaches *reaches)
{
    const struct ways *ways = use->ways;
    bool dealt = ways->n > 0;
    for (int i = 0; i < reaches->n; i++) {
        const struct reach *reach = &reaches->at[i];
        if (reach->buf->space != SPACE_PARAM) continue;
        int arg = reach->buf->position;
        struct touched *touched = touched_at(x, use, arg, way, worker);
        struct box *box = reach->store ? &touched->written : &touched->read;
        struct names names = {.n = 0};
        int64_t offset;
        if (dealt) names = range_of(x, &ways->way[way], worker);
        bool known = offset_of(x, &use->call->args[arg], &offset) &&
                     box_add_reach(box, &use->shapes[arg], x->prog->dims, reach, offset, &names);
        if (!known) box_whole(box, &use->shapes[arg]);
    }
}

/* ---- shares ---- */

static double work_in(struct exchange *x, struct names *names, const struct stmt *list);

/* Work of a loop: of every iteration where bounds inside depend on it. */
static double loop_work(struct exchange *x, struct names *names, const struct stmt *loop, bool apart)
{
    int64_t first, past;
    double work = 0;
    if (names->n == NAMES_MOST || !box_value(x->prog->dims, names, loop->a, &first) || !box_value(x->prog->dims, names, loop->b, &past)) {
        struct stmt one = *loop;
        one.next = NULL;
        return list_work(x->prog, x->scratch, &one);
    }
    int at = names->n++;
    names->var[at] = loop->var;
    for (int64_t i = first; i < past; i += loop->step) {
        names->value[at] = i;
        double once = work_in(x, names, loop->body) + 1;
        if (!apart) {
            work = once * (double)((past - first + loop->step - 1) / loop->step);
            break;
        }
        work += once;
    }
    names->n--;
    return work;
}

static bool bounds_use(const struct stmt *list, const struct var *var)
{
    for (; list; list = list->next)
        if ((list->kind == STMT_FOR && (ex_uses(list->a, var) || ex_uses(list->b, var))) || bounds_use(list->body, var)) return true;
    return false;
}

static bool bounds_vary(const struct stmt *list)
{
    for (; list; list = list->next)
        if (list->kind == STMT_FOR && (!ex_is_const(list->a) || !ex_is_const(list->b) || bounds_vary(list->body))) return true;
    return false;
}

static double same_work(struct exchange *x, const struct stmt *s)
{
    double *known = map_get(&x->works, s);
    if (!known) {
        struct stmt one = *s;
        one.next = NULL;
        known = NEW(x->scratch, double);
        *known = list_work(x->prog, x->scratch, &one);
        map_put(x->scratch, &x->works, s, known);
    }
    return *known;
}

static double work_in(struct exchange *x, struct names *names, const struct stmt *list)
{
    double work = 0;
    for (const struct stmt *s = list; s; s = s->next) {
        struct stmt one = *s;
        one.next = NULL;
        if (!bounds_vary(&one)) work += same_work(x, s);
        else work += loop_work(x, names, s, bounds_use(s->body, s->var));
    }
    return work;
}

/* ---- calls ---- */

static void look_at_shape(const struct exchange *x, const struct buffer *buf, struct shape *shape)
{
    struct dims *dims = x->prog->dims;
    dim product = 1;
    *shape = (struct shape){.rank = buf->type.rank};
    for (int i = 0; i < buf->type.rank; i++) {
        shape->size[i] = dim_lo(dims, buf->type.dim[i]);
        product = dim_mul(dims, product, buf->type.dim[i]);
    }
    for (int i = 0; i < shape->rank; i++) shape->rank = shape->size[i] < 1 ? 0 : shape->rank;
    if (shape->rank >= 1 && product == buf->elements) return;
    *shape = (struct shape){.rank = 1, .size = {dim_lo(dims, buf->elements) > 0 ? dim_lo(dims, buf->elements) : 1}};
}

static bool alike(const struct use *a, const struct use *b)
{
    if (a->ways != b->ways) return false;
    for (int i = 0; i < a->call->n_args; i++) {
        if (a->call->args[i].offset != b->call->args[i].offset) return false;
        if (memcmp(&a->shapes[i], &b->shapes[i], sizeof a->shapes[i]) != 0) return false;
    }
    return true;
}

/* What all workers together wrote or read. */
static struct box together(const struct exchange *x, const struct use *use, int arg, int way, bool written)
{
    struct box all = {.any = false};
    for (int w = 0; w < x->workers; w++) {
        const struct touched *touched = touched_at(x, use, arg, way, w);
        const struct box *box = written ? &touched->written : &touched->read;
        for (int i = 0; i < use->shapes[arg].rank && box->any; i++) {
            if (!all.any || box->lo[i] < all.lo[i]) all.lo[i] = box->lo[i];
            if (!all.any || box->hi[i] > all.hi[i]) all.hi[i] = box->hi[i];
        }
        all.any |= box->any;
    }
    return all;
}

/* Whether workers write in one another's cache lines, or elements by turns, which boxes cannot tell apart. */
static bool interleaved(const struct exchange *x, const struct use *use, int way)
{
    for (int arg = 0; arg < use->call->n_args; arg++) {
        const struct shape *shape = &use->shapes[arg];
        struct box all = together(x, use, arg, way, true);
        int last = shape->rank - 1;
        double sum = 0;
        for (int w = 0; w < x->workers; w++) {
            const struct box *box = &touched_at(x, use, arg, way, w)->written;
            int64_t bytes = (box->hi[last] - box->lo[last] + 1) * dtype_bytes(use->call->args[arg].buf->dt);
            sum += box_size(shape, box, NULL);
            if (box->any && (box->lo[last] != all.lo[last] || box->hi[last] != all.hi[last]) && bytes < LINE_BYTES) return true;
        }
        if (sum > OVERLAP_MOST * box_size(shape, &all, NULL)) return true;
    }
    return false;
}

static void look_at_ways(struct exchange *x, const struct use *use)
{
    const struct ways *ways = use->ways;
    for (int way = 0; way < ways->n || (way == 0 && ways->n == 0); way++) {
        struct reaches reaches = {.arena = x->scratch};
        reaches_of(&reaches, ways->n ? ways->way[way].body : ways->kernel->body, NULL, 0);
        if (ways->n == 0) look_at_way(x, use, 0, 0, &reaches);
        for (int worker = 0; worker < x->workers && ways->n; worker++) {
            struct names names = range_of(x, &ways->way[way], worker);
            double work = work_in(x, &names, ways->way[way].body);
            look_at_way(x, use, way, worker, &reaches);
            if (work > use->share[way]) use->share[way] = work;
        }
        if (interleaved(x, use, way)) use->share[way] *= 2;
    }
}

static void look_at_call(struct exchange *x, const struct stmt *call, struct ways *ways)
{
    struct use use = {.call = call, .ways = ways, .shapes = NEW_ARRAY(x->scratch, struct shape, call->n_args + 1)};
    for (int i = 0; i < call->n_args; i++) look_at_shape(x, call->args[i].buf, &use.shapes[i]);
    for (int i = x->uses.n - 1; i >= 0 && !use.touched; i--)
        if (alike(&x->uses.at[i], &use)) use.touched = x->uses.at[i].touched, use.share = x->uses.at[i].share;
    if (!use.touched) {
        use.touched = NEW_ARRAY(x->scratch, struct touched, call->n_args * WAYS_MOST * x->workers + 1);
        use.share = NEW_ARRAY(x->scratch, double, WAYS_MOST);
        look_at_ways(x, &use);
    }
    LIST_PUSH(x->scratch, &x->uses, use);
}

/* Loops of strips are dealt out already (strips.c): what goes over between them and other calls is not looked at. */
static void look_at_main(struct exchange *x, const struct stmt *list)
{
    for (; list; list = list->next) {
        if (list->kind == STMT_FOR && list->loop == LOOP_PARALLEL) continue;
        for (int i = 0; i < x->n_kernels && list->kind == STMT_CALL; i++)
            if (x->kernels[i].kernel == list->kernel) look_at_call(x, list, &x->kernels[i]);
        look_at_main(x, list->body);
        look_at_main(x, list->other);
    }
}

/* The calls before `to` that wrote what it reads of an argument. */
static void find_edges(struct exchange *x, int to, int arg)
{
    const struct use *use = &x->uses.at[to];
    const struct buffer *buf = use->call->args[arg].buf;
    const struct shape *shape = &use->shapes[arg];
    struct box read = together(x, use, arg, 0, false);
    double left = box_size(shape, &read, NULL);
    if (buf->space != SPACE_ARENA && buf->space != SPACE_OUTPUT) return;
    for (int from = to - 1; from >= 0 && left > 0; from--)
        for (int i = 0; i < x->uses.at[from].call->n_args; i++) {
            if (x->uses.at[from].call->args[i].buf != buf) continue;
            struct box written = together(x, &x->uses.at[from], i, 0, true);
            double both = box_size(shape, &read, &written);
            struct edge edge = {.from = from, .from_arg = i, .to = to, .to_arg = arg, .size = (double)dtype_bytes(buf->dt)};
            if (both > 0) LIST_PUSH(x->scratch, &x->edges, edge);
            left -= both;
        }
}

/* ---- costs ---- */

/* Bytes that `worker` reads over the edge and others wrote. */
static double foreign_bytes(const struct exchange *x, const struct edge *edge, int worker)
{
    const struct use *from = &x->uses.at[edge->from], *to = &x->uses.at[edge->to];
    const struct shape *shape = &to->shapes[edge->to_arg];
    const struct box *read = &touched_at(x, to, edge->to_arg, to->ways->chosen, worker)->read;
    const struct box *own = &touched_at(x, from, edge->from_arg, from->ways->chosen, worker)->written;
    struct box all = together(x, from, edge->from_arg, from->ways->chosen, true);
    double bytes = edge->size * (box_size(shape, read, &all) - box_size(shape, read, own));
    return bytes < x->most ? bytes : x->most;
}

static double weight_bytes(const struct exchange *x, const struct use *use, int worker)
{
    double bytes = 0;
    for (int i = 0; i < use->call->n_args; i++) {
        const struct buffer *buf = use->call->args[i].buf;
        if (buf->space != SPACE_WEIGHT) continue;
        bytes += (double)dtype_bytes(buf->dt) * box_size(&use->shapes[i], &touched_at(x, use, i, use->ways->chosen, worker)->read, NULL);
    }
    return bytes;
}

/* What the worker that gets most waits for values of others; with_all: and for weights, and works. */
static double cost_of(const struct exchange *x, int use, bool with_all)
{
    double most = 0;
    for (int worker = 0; worker < x->workers; worker++) {
        double cost = with_all ? WORK_OF_WEIGHT * weight_bytes(x, &x->uses.at[use], worker) : 0;
        for (int i = 0; i < x->edges.n; i++)
            if (x->edges.at[i].to == use) cost += WORK_OF_EXCHANGE * foreign_bytes(x, &x->edges.at[i], worker);
        if (cost > most) most = cost;
    }
    return most + (with_all ? x->uses.at[use].share[x->uses.at[use].ways->chosen] : 0);
}

/* Of all calls of the kernel, and of those that read what they wrote. */
static double cost_around(const struct exchange *x, const struct ways *ways)
{
    double cost = 0;
    for (int use = 0; use < x->uses.n; use++) {
        bool near = x->uses.at[use].ways == ways;
        for (int i = 0; i < x->edges.n && !near; i++)
            near = x->edges.at[i].to == use && x->uses.at[x->edges.at[i].from].ways == ways;
        if (near) cost += cost_of(x, use, true);
    }
    return cost;
}

static bool improve(struct exchange *x)
{
    bool any = false;
    for (int i = 0; i < x->n_kernels; i++) {
        struct ways *ways = &x->kernels[i];
        int best = ways->chosen;
        double least = ways->n > 1 ? LESS * cost_around(x, ways) : 0;
        for (int way = 0; way < ways->n && ways->n > 1; way++) {
            if (way == best) continue;
            int before = ways->chosen;
            ways->chosen = way;
            double cost = cost_around(x, ways);
            if (cost < least) least = cost, best = way;
            ways->chosen = before;
        }
        any |= best != ways->chosen;
        ways->chosen = best;
    }
    return any;
}

double exchange_choose(struct prog *prog, int workers, int l2_bytes, struct ways *kernels, int n)
{
    struct exchange x = {.prog = prog, .scratch = arena_new(), .n_kernels = n, .kernels = kernels, .most = l2_bytes};
    double exchanged = 0;
    x.workers = workers < WORKERS_MOST ? workers : WORKERS_MOST;
    look_at_main(&x, prog->main);
    for (int use = 0; use < x.uses.n; use++)
        for (int arg = 0; arg < x.uses.at[use].call->n_args; arg++) find_edges(&x, use, arg);
    for (int round = 0; round < ROUNDS_MOST && improve(&x); round++) continue;
    for (int use = 0; use < x.uses.n; use++) exchanged += cost_of(&x, use, false);
    arena_free(x.scratch);
    return exchanged;
}
