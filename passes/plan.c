/* Pass plan: every arena buffer gets its place in one arena.
 *
 *   arena a: f32[N*64]   arena b: f32[N*64]   ->   a at 0, b at 256*N;  arena_bytes 512*N
 *
 * First outputs take over dying inputs (plan_inplace.c). Buffers of known sizes are then packed (plan_pack.c), on a
 * microcontroller or under --max-ram also with a call's output over what it reads (plan_near.c), and in the order of calls that
 * takes least (plan_order.c). Symbolic sizes are coloured
 * into slots, judged at several values of the symbols; offsets are sums of slot sizes, so they hold for every value and stay
 * short (offsets that follow a packing exactly nest a maximum in a maximum until no expression holds them). Greedy packing by
 * size: Pisarchyk and Lee, "Efficient memory management for deep neural net inference" (2020).
 * Needs: nothing. Makes true: offsets, prog->arena_bytes. After it no pass may add an arena buffer.
 */
#include "passes.h"
#include "plan.h"
#include "rewrite.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64, ALIGN_SMALL = 8 };

/* A multiple of `align` not below bytes. Where every coefficient is already one, or nearly, the result stays a polynomial
 * that compares with others; else it is a quotient. */
static dim aligned(struct dims *dims, dim bytes, int64_t align)
{
    dim whole;
    if (dim_is_const(bytes)) return (bytes + align - 1) / align * align;
    if (dim_divides(dims, bytes, align, &whole)) return bytes;
    return dim_mul(dims, dim_ceil_div(dims, bytes, align), align);
}

/* Symbolic sizes: buffers are coloured into slots by falling size (or key), each going to the tightest slot whose
 * members it does not coexist with; a slot is as large as its largest member, and slots follow each other. */
struct slot {
    dim size_dim, offset_dim;
    int64_t size;
};

/* Where in the slot the item can lie: above the members it coexists with, as far as their ends compare. False where that
 * is unknown, or (unless it begins the slot, which then grows) does not provably fit. */
static bool place_in_slot(const struct packing *p, const int *slot_of, int k, const struct slot *slot, struct item *item)
{
    struct dims *dims = p->prog->dims;
    item->offset_dim = 0;
    for (int i = 0; i < p->n; i++) {
        const struct item *member = &p->item[i];
        if (slot_of[i] != k || !items_coexist(member, item)) continue;
        dim end = dim_add(dims, member->offset_dim, member->size_dim);
        if (dim_le(dims, end, item->offset_dim)) continue;
        if (!dim_le(dims, item->offset_dim, end)) return false;
        item->offset_dim = end;
    }
    return item->offset_dim == 0 || dim_le(dims, dim_add(dims, item->offset_dim, item->size_dim), slot->size_dim);
}

static dim place_slots(struct packing *p, int kind)
{
    struct dims *dims = p->prog->dims;
    struct item **order = NEW_ARRAY(p->scratch, struct item *, p->n + 1);
    struct slot *slot = NEW_ARRAY(p->scratch, struct slot, p->n + 1);
    int *slot_of = NEW_ARRAY(p->scratch, int, p->n + 1), n = 0;
    for (int i = 0; i < p->n; i++) {
        order[i] = &p->item[i];
        order[i]->key = item_key(order[i], kind);
        slot_of[i] = -1;
    }
    qsort(order, (size_t)p->n, sizeof(struct item *), item_by_key);
    for (int i = 0; i < p->n; i++) {
        struct item *item = order[i];
        int best = -1;
        int64_t least = INT64_MAX;
        dim within = 0;
        for (int k = 0; k < n; k++) {
            int64_t apart = slot[k].size > item->size ? slot[k].size - item->size : item->size - slot[k].size;
            if (!place_in_slot(p, slot_of, k, &slot[k], item)) continue;
            if (item->offset_dim != 0) apart = 0; /* room that is there anyway */
            if (apart >= least) continue;
            best = k;
            least = apart;
            within = item->offset_dim;
        }
        if (best < 0) best = n++;
        item->offset_dim = within;
        if (within == 0 && item->size > slot[best].size) slot[best].size = item->size;
        if (within == 0) slot[best].size_dim = dim_max(dims, slot[best].size_dim, item->size_dim);
        slot_of[item - p->item] = best;
    }
    dim end = 0;
    for (int k = 0; k < n; k++) {
        slot[k].offset_dim = end;
        end = dim_add(dims, end, slot[k].size_dim);
    }
    for (int i = 0; i < p->n; i++)
        p->item[i].offset_dim = dim_add(dims, p->item[i].offset_dim, slot[slot_of[i]].offset_dim);
    return end;
}

/* Sizes that packings are made for and judged at. */
enum { SETS = 4 };
static const int64_t *symbol_set(const struct prog *prog, struct arena *scratch, int set)
{
    static const int64_t usual[SETS] = {128, 4, 24, 640};
    int n = dims_n_symbols(prog->dims);
    int64_t *values = NEW_ARRAY(scratch, int64_t, n + 1);
    for (int i = 0; i < n; i++) {
        const struct symbol *symbol = dims_symbol(prog->dims, i);
        values[i] = set == 1 ? 3 + i % 4 : usual[set];
        if (values[i] > symbol->hi) values[i] = symbol->hi;
        if (values[i] < symbol->lo) values[i] = symbol->lo;
    }
    return values;
}

static void collect(struct packing *p, const struct lives *lives)
{
    struct dims *dims = p->prog->dims;
    p->item = NEW_ARRAY(p->scratch, struct item, lives->n + 1);
    for (int i = 0; i < lives->n; i++) {
        const struct life *life = &lives->at[i];
        if (!life->buf) continue;
        if (life->first < 0) {
            life->buf->offset_bytes = 0;
            continue;
        }
        dim size = aligned(dims, dim_mul(dims, life->buf->elements, dtype_bytes(life->buf->dt)), p->align);
        p->item[p->n] = (struct item){.life = life, .rank = p->n, .size_dim = size};
        p->n++;
    }
}

static bool report_limit(const struct packing *p, int64_t bytes, int64_t limit, struct diag *diag)
{
    const struct item *worst = NULL;
    for (int i = 0; i < p->n; i++)
        if (!worst || p->item[i].offset + p->item[i].size > worst->offset + worst->size) worst = &p->item[i];
    diag_error(diag, (struct place){.path = NULL}, "the arena needs %lld bytes, more than the %lld allowed",
               (long long)bytes, (long long)limit);
    for (int i = 0, told = 0; i < p->n && told < 10; i++) {
        const struct item *item = &p->item[i];
        if (!items_coexist(item, worst)) continue;
        told++;
        diag_note(diag, item->life->buf->place, "%s takes %lld bytes where the arena is fullest", item->life->buf->name,
                  (long long)item->size);
    }
    return false;
}

static void drop_unused(struct prog *prog, const struct lives *lives)
{
    int kept = 0;
    for (int i = 0; i < prog->buffers.n; i++) {
        const struct buffer *buf = prog->buffers.at[i];
        if (buf->space != SPACE_ARENA || lives->at[buf->id].first >= 0) prog->buffers.at[kept++] = prog->buffers.at[i];
    }
    prog->buffers.n = kept;
}

static void sizes_at(struct packing *p, const int64_t *symbols)
{
    for (int i = 0; i < p->n; i++) p->item[i].size = dim_eval(p->prog->dims, p->item[i].size_dim, symbols);
}

static int64_t largest_live(const struct packing *p)
{
    int64_t most = 0;
    for (int i = 0; i < p->n; i++) { /* the set alive grows only where a life begins */
        int64_t sum = 0;
        int at = p->item[i].life->first;
        for (int k = 0; k < p->n; k++)
            if (p->item[k].life->first <= at && at <= p->item[k].life->last) sum += p->item[k].size;
        if (sum > most) most = sum;
    }
    return most;
}

/* Arena over largest live set, worst over the sets of sizes. */
static double worst_ratio(struct packing *p, dim bytes)
{
    double worst = 1;
    for (int set = 0; set < SETS; set++) {
        const int64_t *symbols = symbol_set(p->prog, p->scratch, set);
        sizes_at(p, symbols);
        double live = (double)largest_live(p);
        double ratio = live > 0 ? (double)dim_eval(p->prog->dims, bytes, symbols) / live : 1;
        if (ratio > worst) worst = ratio;
    }
    return worst;
}

static void keep(struct packing *p, dim bytes)
{
    p->prog->arena_bytes = bytes;
    for (int i = 0; i < p->n; i++) p->item[i].life->buf->offset_bytes = p->item[i].offset_dim;
}

/* Colours for each set of sizes and each order, and keeps what does best over all sets. */
static void place_symbolic(struct packing *p)
{
    double best = -1;
    for (int set = 0; set < SETS; set++)
        for (int kind = 0; kind < PLAN_KEYS; kind++) {
            sizes_at(p, symbol_set(p->prog, p->scratch, set));
            dim bytes = place_slots(p, kind);
            double ratio = worst_ratio(p, bytes);
            if (best >= 0 && ratio >= best) continue;
            best = ratio;
            keep(p, bytes);
        }
    sizes_at(p, symbol_set(p->prog, p->scratch, 0));
}

static void place_buffers(struct packing *p)
{
    bool symbolic = false;
    for (int i = 0; i < p->n; i++) symbolic |= !dim_is_const(p->item[i].size_dim);
    if (symbolic) {
        place_symbolic(p);
        return;
    }
    sizes_at(p, symbol_set(p->prog, p->scratch, 0));
    int64_t top = plan_pack(p);
    for (int i = 0; i < p->n; i++) p->item[i].offset_dim = p->item[i].offset;
    keep(p, top);
}

/* Whether outputs may lie over what is read: where RAM counts, and one worker makes all accesses in order. */
static bool overlaps(const struct pass_options *options)
{
    bool small = options->target && options->target->is_small;
    return options->level > 0 && (small || options->max_arena_bytes > 0) && options->threads < 2 && !options->device;
}

enum order { AS_IT_IS, APART, SHARED, ORDERS }; /* of main's calls: plan_order.c */

/* The program with its plan; `p` is what was placed, in p->scratch. */
static struct prog *plan_once(const struct prog *prog, struct arena *unit, const struct pass_options *options, enum order order, struct packing *p)
{
    struct prog *to = prog_copy(prog, unit, NULL, NULL);
    struct lives lives;
    if (order != AS_IT_IS) plan_order(to, order == SHARED);
    if (options->level > 0) plan_in_place(to);
    plan_lives(to, unit, &lives);
    drop_unused(to, &lives);
    *p = (struct packing){.prog = to, .scratch = p->scratch, .align = options->target && options->target->is_small ? ALIGN_SMALL : ALIGN};
    collect(p, &lives);
    if (overlaps(options)) plan_find_near(p, &lives);
    place_buffers(p);
    plan_apply_near(p);
    return to;
}

static int64_t bytes_at_most(const struct prog *prog)
{
    return dim_is_const(prog->arena_bytes) ? prog->arena_bytes : dim_hi(prog->dims, prog->arena_bytes);
}

struct prog *pass_plan(const struct prog *prog, struct arena *unit, const struct pass_options *options, struct diag *diag)
{
    struct packing p = {.scratch = arena_new()}, other = p;
    struct prog *to = plan_once(prog, unit, options, AS_IT_IS, &p);
    for (enum order order = APART; order < ORDERS && overlaps(options) && bytes_at_most(to) > 0; order++) {
        struct prog *tried = plan_once(prog, unit, options, order, &other);
        if (bytes_at_most(tried) < bytes_at_most(to)) to = tried, p = other;
    }
    bool fits = options->max_arena_bytes <= 0 || bytes_at_most(to) <= options->max_arena_bytes;
    if (!fits) report_limit(&p, bytes_at_most(to), options->max_arena_bytes, diag);
    arena_free(p.scratch);
    return fits ? to : NULL;
}
