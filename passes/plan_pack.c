/* Buffers of known sizes get places: the greedy packing of pass plan, and what lies near.
 *
 *   in at 0..8000, dead behind the call that makes out      ->   out at 3904..16000, which the call never writes too early
 *
 * Several orders are tried (by size, by life times size, by time; then what ends at the top goes first), each buffer going to
 * the tightest gap among those it coexists with, and the smallest arena wins. Where the two of a call may overlap as far as
 * plan_distance.c allows (plan_near.c knows these), they are tried so as well, each buffer then at the lowest place that it
 * can have. See plan.h.
 */
#include "plan.h"

#include <stdlib.h>

bool items_coexist(const struct item *a, const struct item *b)
{
    return a->life->first <= b->life->last && b->life->first <= a->life->last;
}

/* ---- what lies near ---- */

static const struct near *near_of(const struct item *a, const struct item *b)
{
    if (a->as_in && a->as_in->out == b) return a->as_in;
    return a->as_out && a->as_out->in == b ? a->as_out : NULL;
}

bool distance_allows(const struct distance *d, int64_t delta)
{
    return delta <= -d->below || delta >= d->above;
}

static bool may_lie(const struct item *item, int64_t at, const struct item *other)
{
    if (!items_coexist(item, other) || at + item->size <= other->offset || other->offset + other->size <= at) return true;
    const struct near *near = near_of(item, other);
    int64_t delta = near && near->out == item ? at - other->offset : other->offset - at;
    for (int way = 0; near && way < near->ways; way++)
        if (distance_allows(&near->way[way], delta)) return true;
    return false;
}

/* The lowest place for `item` among placed[0..n-1]: at the start, behind one of them, or as near as it may. */
static void place_near(const struct packing *p, struct item *item, struct item *const *placed, int n)
{
    int64_t best = INT64_MAX;
    for (int i = -1; i < n; i++) {
        int64_t places[1 + 2 * WAYS] = {i < 0 ? 0 : placed[i]->offset + placed[i]->size};
        const struct near *near = i < 0 ? NULL : near_of(item, placed[i]);
        int count = 1;
        for (int way = 0; near && way < near->ways; way++) {
            int64_t below = near->way[way].below, above = near->way[way].above, at = placed[i]->offset;
            places[count++] = near->out == item ? at - below : at - above;
            places[count++] = near->out == item ? at + above : at + below;
        }
        for (int k = 0; k < count; k++) {
            /* whole steps of the alignment, down from a bound above and up from one below */
            int64_t at = floor_div(k % 2 ? places[k] : places[k] + p->align - 1, p->align) * p->align;
            bool fits = at >= 0 && at < best;
            for (int j = 0; j < n && fits; j++) fits = may_lie(item, at, placed[j]);
            if (fits) best = at;
        }
    }
    item->offset = best;
}

/* ---- packing ---- */

/* The lowest tight place for `item` among placed[0..n-1]. */
static void place(struct item *item, struct item *const *placed, int n)
{
    int64_t best = -1, best_gap = INT64_MAX, at = 0;
    for (int i = 0; i < n; i++) { /* placed is in order of offset */
        const struct item *p = placed[i];
        if (!items_coexist(item, p)) continue;
        int64_t gap = p->offset - at;
        if (gap >= item->size && gap < best_gap) {
            best = at;
            best_gap = gap;
        }
        if (p->offset + p->size > at) at = p->offset + p->size;
    }
    item->offset = best >= 0 ? best : at;
}

int item_by_key(const void *a, const void *b)
{
    const struct item *x = *(struct item *const *)a, *y = *(struct item *const *)b;
    if (x->key != y->key) return x->key > y->key ? -1 : 1;
    return x->rank - y->rank;
}

static int64_t pack(struct packing *p, struct item **order)
{
    struct item **placed = NEW_ARRAY(p->scratch, struct item *, p->n + 1);
    int64_t top = 0;
    qsort(order, (size_t)p->n, sizeof(struct item *), item_by_key);
    for (int i = 0; i < p->n; i++) {
        if (p->tries_near) place_near(p, order[i], placed, i);
        else place(order[i], placed, i);
        int k = i;
        for (; k > 0 && placed[k - 1]->offset > order[i]->offset; k--) placed[k] = placed[k - 1];
        placed[k] = order[i];
        if (order[i]->offset + order[i]->size > top) top = order[i]->offset + order[i]->size;
    }
    return top;
}

double item_key(const struct item *item, int kind)
{
    double length = 1 + item->life->last - item->life->first;
    switch (kind) {
    case 0: return (double)item->size;
    case 1: return (double)item->size * length;
    case 2: return -item->life->first;
    default: return length;
    }
}

/* The packing by p's keys as they are, if it is smaller than *least: then its offsets are kept. */
static int64_t try_keys(struct packing *p, struct item **order, int64_t *least, int64_t *offset)
{
    for (int i = 0; i < p->n; i++) order[i] = &p->item[i];
    int64_t top = pack(p, order);
    if (*least >= 0 && top >= *least) return top;
    *least = top;
    for (int i = 0; i < p->n; i++) offset[i] = p->item[i].offset;
    return top;
}

/* Each order in turn; then, from each, the buffer that ends at the top is placed first next time, until that no longer
 * helps: large buffers that follow one another often need just that. */
static void try_orders(struct packing *p, struct item **order, int64_t *least, int64_t *offset)
{
    enum { ROUNDS = 40 };
    for (int kind = 0; kind < PLAN_KEYS; kind++) {
        for (int i = 0; i < p->n; i++) p->item[i].key = item_key(&p->item[i], kind);
        int64_t top = try_keys(p, order, least, offset);
        for (int round = 0; round < ROUNDS && p->n > 1; round++) {
            double first = order[0]->key;
            for (int i = 0; i < p->n; i++)
                if (order[i]->offset + order[i]->size == top) {
                    order[i]->key = first + 1 + (first > 0 ? first : -first) * 1e-9;
                    break;
                }
            top = try_keys(p, order, least, offset);
        }
    }
}

int64_t plan_pack(struct packing *p)
{
    struct item **order = NEW_ARRAY(p->scratch, struct item *, p->n + 1);
    int64_t *offset = NEW_ARRAY(p->scratch, int64_t, p->n + 1), least = -1;
    try_orders(p, order, &least, offset);
    p->tries_near = p->near.n > 0;
    if (p->tries_near) try_orders(p, order, &least, offset);
    for (int i = 0; i < p->n; i++) p->item[i].offset = offset[i];
    return least < 0 ? 0 : least;
}
