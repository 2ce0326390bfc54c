/* Pass plan: every arena buffer gets its place in one arena.
 *
 *   arena a: f32[N*64]   arena b: f32[N*64]   ->   a at 0, b at 256*N;  arena_bytes 512*N
 *
 * First outputs take over dying inputs (plan_inplace.c). Then buffers are packed by their sizes, at chosen values of
 * the symbols: several orders are tried (by size, by life times size, by time), each buffer going to the tightest gap
 * among those it coexists with, and the smallest arena wins. Offsets as expressions follow from the packing: a
 * buffer begins at the largest end of the coexisting ones below it, which keeps them apart for every value of the
 * symbols and gives the packing itself at the chosen ones. Greedy packing by size: Pisarchyk and Lee,
 * "Efficient memory management for deep neural net inference" (2020).
 * Needs: nothing. Makes true: offsets, prog->arena_bytes. After it no pass may add an arena buffer.
 */
#include "passes.h"
#include "plan.h"
#include "rewrite.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64 };
struct item {
    const struct life *life;
    int64_t size, offset; /* at the chosen symbol values */
    int rank;             /* order made, for a stable order */
    double key;
    dim size_dim, offset_dim;
};
struct packing {
    struct prog *prog;
    struct arena *scratch;
    const int64_t *symbols;
    int n;
    struct item *item;
};

static bool coexist(const struct item *a, const struct item *b)
{
    return a->life->first <= b->life->last && b->life->first <= a->life->last;
}

static int64_t round_up(int64_t bytes)
{
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

/* A multiple of ALIGN not below bytes. Where every coefficient is already one, or nearly, the result stays a polynomial
 * that compares with others; else it is a quotient. */
static dim aligned(struct dims *dims, dim bytes)
{
    dim whole;
    if (dim_is_const(bytes)) return round_up(bytes);
    if (dim_divides(dims, bytes, ALIGN, &whole)) return bytes;
    return dim_mul(dims, dim_ceil_div(dims, bytes, ALIGN), ALIGN);
}

/* The lowest tight place for `item` among placed[0..n-1]. */
static void place(struct item *item, struct item *const *placed, int n)
{
    int64_t best = -1, best_gap = INT64_MAX, at = 0;
    for (int i = 0; i < n; i++) { /* placed is in order of offset */
        const struct item *p = placed[i];
        if (!coexist(item, p)) continue;
        int64_t gap = p->offset - at;
        if (gap >= item->size && gap < best_gap) {
            best = at;
            best_gap = gap;
        }
        if (p->offset + p->size > at) at = p->offset + p->size;
    }
    item->offset = best >= 0 ? best : at;
}

static int by_key(const void *a, const void *b)
{
    const struct item *x = *(struct item *const *)a, *y = *(struct item *const *)b;
    if (x->key != y->key) return x->key > y->key ? -1 : 1;
    return x->rank - y->rank;
}

static int64_t pack(struct packing *p, struct item **order)
{
    struct item **placed = NEW_ARRAY(p->scratch, struct item *, p->n + 1);
    int64_t top = 0;
    qsort(order, (size_t)p->n, sizeof(struct item *), by_key);
    for (int i = 0; i < p->n; i++) {
        place(order[i], placed, i);
        int k = i;
        for (; k > 0 && placed[k - 1]->offset > order[i]->offset; k--) placed[k] = placed[k - 1];
        placed[k] = order[i];
        if (order[i]->offset + order[i]->size > top) top = order[i]->offset + order[i]->size;
    }
    return top;
}

enum { KEYS = 4 };
static double key_of(const struct item *item, int kind)
{
    double length = 1 + item->life->last - item->life->first;
    switch (kind) {
    case 0: return (double)item->size;
    case 1: return (double)item->size * length;
    case 2: return -item->life->first;
    default: return length;
    }
}

static void pack_best(struct packing *p)
{
    struct item **order = NEW_ARRAY(p->scratch, struct item *, p->n + 1);
    int64_t least = -1;
    int best = 0;
    for (int k = 0; k <= KEYS; k++) { /* the last round repeats the best */
        int kind = k < KEYS ? k : best;
        for (int i = 0; i < p->n; i++) {
            order[i] = &p->item[i];
            order[i]->key = key_of(order[i], kind);
        }
        int64_t top = pack(p, order);
        if (k < KEYS && (least < 0 || top < least)) {
            least = top;
            best = kind;
        }
    }
}

static int by_offset(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    return x->rank - y->rank;
}

/* Offsets as expressions, lowest first. Of the items below, those that another one below lies on are implied. */
static void place_dims(struct packing *p)
{
    struct dims *dims = p->prog->dims;
    qsort(p->item, (size_t)p->n, sizeof *p->item, by_offset);
    for (int i = 0; i < p->n; i++) {
        struct item *item = &p->item[i];
        dim at = 0;
        for (int k = 0; k < i; k++) {
            const struct item *below = &p->item[k];
            if (!coexist(item, below)) continue;
            bool implied = false;
            for (int m = k + 1; m < i && !implied; m++)
                implied = coexist(&p->item[m], below) && coexist(&p->item[m], item) && p->item[m].size > 0;
            if (!implied) at = dim_max(dims, at, dim_add(dims, below->offset_dim, below->size_dim));
        }
        item->offset_dim = at;
    }
}

/* The value of each symbol that the packing is best for: its upper bound if that is modest. */
static const int64_t *chosen_symbols(const struct prog *prog, struct arena *scratch)
{
    int n = dims_n_symbols(prog->dims);
    int64_t *values = NEW_ARRAY(scratch, int64_t, n + 1);
    for (int i = 0; i < n; i++) {
        const struct symbol *symbol = dims_symbol(prog->dims, i);
        int64_t usual = symbol->lo > 128 ? symbol->lo : 128;
        values[i] = symbol->hi < usual ? symbol->hi : usual;
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
        dim size = aligned(dims, dim_mul(dims, life->buf->elements, dtype_bytes(life->buf->dt)));
        p->item[p->n] = (struct item){.life = life, .rank = p->n, .size_dim = size,
                                      .size = dim_eval(dims, size, p->symbols)};
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
        if (!coexist(item, worst)) continue;
        told++;
        diag_note(diag, item->life->buf->place, "%s takes %lld bytes where the arena is fullest", item->life->buf->name,
                  (long long)item->size);
    }
    return false;
}

/* Unused buffers lie at 0: the arena must hold them too. */
static dim arena_size(const struct packing *p)
{
    struct dims *dims = p->prog->dims;
    dim top = 0;
    for (int i = 0; i < p->n; i++) {
        bool implied = false;
        for (int m = i + 1; m < p->n && !implied; m++) implied = coexist(&p->item[i], &p->item[m]);
        if (!implied) top = dim_max(dims, top, dim_add(dims, p->item[i].offset_dim, p->item[i].size_dim));
    }
    return top;
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

struct prog *pass_plan(const struct prog *prog, struct arena *unit, const struct pass_options *options, struct diag *diag)
{
    struct prog *to = prog_copy(prog, unit, NULL, NULL);
    struct lives lives;
    if (options->level > 0) plan_in_place(to);
    plan_lives(to, unit, &lives);
    drop_unused(to, &lives);
    struct packing p = {.prog = to, .scratch = unit, .symbols = chosen_symbols(to, unit)};
    collect(&p, &lives);
    pack_best(&p);
    place_dims(&p);
    for (int i = 0; i < p.n; i++) p.item[i].life->buf->offset_bytes = p.item[i].offset_dim;
    to->arena_bytes = arena_size(&p);
    int64_t bytes = dim_is_const(to->arena_bytes) ? to->arena_bytes : dim_hi(to->dims, to->arena_bytes);
    if (options->max_arena_bytes > 0 && bytes > options->max_arena_bytes) {
        report_limit(&p, bytes, options->max_arena_bytes, diag);
        return NULL;
    }
    return to;
}
