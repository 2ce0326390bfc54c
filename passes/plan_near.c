/* Outputs over what their call reads: pairs of buffers that may overlap.
 *
 *   call conv(y, x)     x is not read later, y is born here      ->   x at 3904, y at 0, as far apart as conv needs them
 *   call conv(y, x)                                              ->   call conv_back(y, x)   where only that order is right
 *
 * What a call reads for the last time and what it writes first are placed apart by the distance that its accesses need
 * (plan_distance.c) instead of by their sizes. A call has one such pair, with the largest that it reads: the way it runs is
 * chosen by it. Printers see by the offsets that the two may be the same memory. See plan_pack.c for the placing.
 */
#include "plan.h"

static struct item *item_of(const struct packing *p, const struct buffer *buf)
{
    for (int i = 0; i < p->n; i++)
        if (p->item[i].life->buf == buf) return &p->item[i];
    return NULL;
}

static int64_t bytes_of(const struct item *item)
{
    return dim_is_const(item->size_dim) ? item->size_dim : 0;
}

/* The call's pair, of buffers that live up to step `here` and from it on. */
static void find_pair(struct packing *p, struct stmt *call, int here)
{
    struct item *in = NULL, *out = NULL;
    for (int i = 0; i < call->n_args; i++) {
        struct item *item = item_of(p, call->args[i].buf);
        if (!item) continue;
        bool written = call->kernel->params.at[i]->written;
        if (written && item->life->first == here && item->life->last > here && (!out || bytes_of(item) > bytes_of(out))) out = item;
        if (!written && item->life->last == here && item->life->first < here && (!in || bytes_of(item) > bytes_of(in))) in = item;
    }
    if (!in || !out) return;
    struct near near = {.in = in, .out = out, .call = call};
    near.ways = plan_distances(p->prog, call, in->life->buf, out->life->buf, near.way);
    if (near.ways == 0) return;
    struct near *kept = arena_copy(p->scratch, &near, sizeof near);
    in->as_in = out->as_out = kept;
    LIST_PUSH(p->scratch, &p->near, kept);
}

void plan_find_near(struct packing *p, const struct lives *lives)
{
    for (int i = 0; i < lives->steps.n; i++) {
        const struct stmt *s = lives->steps.at[i];
        if (s && s->kind == STMT_CALL && s->kernel) find_pair(p, (struct stmt *)(uintptr_t)s, i + 1);
    }
}

void plan_apply_near(struct packing *p)
{
    struct pointer_map turned = {.n = 0};
    for (int i = 0; i < p->near.n; i++) {
        struct near *near = p->near.at[i];
        const struct item *in = near->in, *out = near->out;
        bool apart = out->offset + out->size <= in->offset || in->offset + in->size <= out->offset;
        if (apart || distance_allows(&near->way[0], out->offset - in->offset)) continue;
        struct kernel *back = map_get(&turned, near->call->kernel);
        if (!back) {
            back = plan_turned(p->prog, near->call->kernel);
            map_put(p->scratch, &turned, near->call->kernel, back);
        }
        near->call->kernel = back;
    }
    if (turned.n > 0) prog_drop_uncalled(p->prog);
}
