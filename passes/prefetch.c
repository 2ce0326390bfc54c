/* Asking for what is not in the cache: the next panel of a packed operand while this one is used, and the rows that a
 * tile adds to its sums, or writes, while it makes the sums.
 *
 *   for q { for r step 14 { for c step 4 { ... w[q*P + 32*c + i] ... } } }
 *      ->   for q { for r step 14 { for c step 4 { prefetch w[(q+1)*P + P/4*(r/14 % 4) + 8*c + i]; ... } } }
 *
 * A weight is met once a run, so it comes from memory, where hardware prefetchers stop at every page. The panel after
 * this one is asked for during the visits to this one, by turns: each of four visits asks for a fourth of it, from one
 * end to the other, slowly. Lines in order are what hardware prefetchers go on with by themselves: fewer wait in the
 * core's few buffers for lines under way. The last panel's successor is whatever lies behind it, mostly the next layer's
 * weights. Measured: see HACKING.md, "Decisions and measurements".
 */
#include "prefetch.h"

enum { LOADS_MOST = 64, DEPTH_MOST = 8, LINE = 64 };
struct asker {
    struct prog *prog;
    const struct prefetch *prefetch;
    const struct stmt *loops[DEPTH_MOST]; /* of the visit, the innermost last */
    int n_loops;
    ex at[LOADS_MOST]; /* vector loads of the operand in the innermost, in order of appearance */
    int n_loads, lanes;
};

static void find_loads(struct asker *asker, ex e, struct pointer_map *seen)
{
    if (!e || e->op == EX_const || e->op == EX_dim || e->op == EX_var || map_get(seen, e)) return;
    map_put(asker->prog->arena, seen, e, e);
    if (e->op == EX_load && e->buf == asker->prefetch->buf && e->lanes > 1 && e->imm == 1 && asker->n_loads < LOADS_MOST) {
        asker->at[asker->n_loads++] = e->arg[0];
        asker->lanes = e->lanes;
    }
    for (int i = 0; i < 3; i++) find_loads(asker, e->arg[i], seen);
}

static bool is_loaded(const struct asker *asker, ex at)
{
    for (int i = 0; i < asker->n_loads; i++)
        if (asker->at[i] == at) return true;
    return false;
}

static ex plus(const struct asker *asker, ex at, int64_t n)
{
    return ex_binary(asker->prog, EX_add, at, ex_int(asker->prog, DT_index, n));
}

/* Trips of a loop with plain numbers. */
static int64_t count_of(const struct stmt *loop)
{
    return (loop->b->imm - loop->a->imm + loop->step - 1) / loop->step;
}

/* at, slowed down: its part of the run of elements that the loops read one after the other, the innermost first, where each
 * trip reads `width`. *length: the run's. NULL where no loop goes on from trip to trip. */
static ex slow_down(const struct asker *asker, ex at, int64_t width, int64_t turns, int64_t *length)
{
    struct prog *prog = asker->prog;
    ex slow = NULL;
    *length = width;
    for (int i = asker->n_loops - 1; i >= 0; i--) {
        const struct stmt *loop = asker->loops[i];
        dim coef;
        ex rest;
        if (!ex_is_const(loop->a) || !ex_is_const(loop->b) || !ex_affine(prog, at, loop->var, &coef, &rest)) break;
        if (coef * loop->step != *length || coef % turns != 0) break;
        ex trip = plus(asker, ex_var(prog, loop->var), -loop->a->imm);
        slow = ex_binary(prog, EX_add, slow ? slow : at, ex_binary(prog, EX_mul, trip, ex_int(prog, DT_index, coef / turns - coef)));
        *length *= count_of(loop);
    }
    return slow;
}

/* What is asked for along the loads at, at + lanes, ...: this visit's part of what follows them in the next panel. */
static void ask(const struct asker *asker, ex at, struct stmt **asks)
{
    struct prog *prog = asker->prog;
    const struct prefetch *prefetch = asker->prefetch;
    int64_t width = 0, length, turns = prefetch->turns, line = LINE / dtype_bytes(prefetch->buf->dt);
    while (is_loaded(asker, plus(asker, at, width))) width += asker->lanes;
    while (width % turns != 0) turns /= 2;
    ex from = turns > 1 ? slow_down(asker, at, width, turns, &length) : NULL;
    if (from) {
        ex turn = ex_binary(prog, EX_mod, prefetch->visit, ex_int(prog, DT_index, turns));
        from = ex_binary(prog, EX_add, from, ex_binary(prog, EX_mul, turn, ex_int(prog, DT_index, length / turns)));
        width /= turns;
    } else from = at;
    for (int64_t i = 0; i < width; i += line) stmt_append(asks, stmt_prefetch(prog, prefetch->buf, plus(asker, from, prefetch->ahead + i)));
}

static void ask_in(struct asker *asker, struct stmt *list)
{
    for (struct stmt *loop = list; loop; loop = loop->next) {
        if (loop->kind != STMT_FOR || asker->n_loops == DEPTH_MOST) {
            ask_in(asker, loop->body);
            ask_in(asker, loop->other);
            continue;
        }
        bool inner = false;
        struct pointer_map seen = {.n = 0};
        asker->loops[asker->n_loops++] = loop;
        ask_in(asker, loop->body);
        asker->n_loads = 0;
        for (const struct stmt *s = loop->body; s; s = s->next) {
            inner |= s->body != NULL;
            find_loads(asker, s->a, &seen);
        }
        struct stmt *asks = NULL;
        for (int i = 0; i < asker->n_loads && !inner; i++)
            if (!is_loaded(asker, plus(asker, asker->at[i], -asker->lanes))) ask(asker, asker->at[i], &asks);
        stmt_append(&asks, loop->body);
        loop->body = asks;
        asker->n_loops--;
    }
}

void prefetch_panel(struct prog *prog, struct stmt *list, const struct prefetch *prefetch)
{
    struct asker asker = {.prog = prog, .prefetch = prefetch};
    ask_in(&asker, list);
}

/* ---- what a tile writes, or adds to its sums ---- */

static bool is_counted(const struct stmt *loop)
{
    return loop->kind == STMT_FOR && ex_is_const(loop->a) && ex_is_const(loop->b) && loop->b->imm > loop->a->imm;
}

/* The asks of one trip, `trip` of so many: rows in order, all of them asked for when three quarters of the sums are done. */
static struct stmt *ask_rows(struct prog *prog, const struct prefetch_tile *tile, ex trip, int64_t trips)
{
    struct stmt *asks = NULL;
    int64_t line = LINE / dtype_bytes(tile->buf->dt), until = trips, each = (tile->rows + until - 1) / until;
    ex row = ex_binary(prog, EX_mul, trip, ex_int(prog, DT_index, each > 1 ? each : tile->rows));
    if (each == 1) row = ex_binary(prog, EX_div, row, ex_int(prog, DT_index, until));
    ex first = ex_binary(prog, EX_add, tile->at, ex_binary(prog, EX_mul, row, ex_int(prog, DT_index, tile->stride)));
    for (int64_t i = 0; i < each; i++)
        for (int64_t j = 0; j < tile->width; j += line) {
            ex at = ex_binary(prog, EX_add, first, ex_int(prog, DT_index, i * tile->stride + j));
            stmt_append(&asks, stmt_prefetch(prog, tile->buf, at));
        }
    return asks;
}

void prefetch_rows(struct prog *prog, struct stmt *list, const struct prefetch_tile *tile)
{
    for (struct stmt *loop = list; loop; loop = loop->next) {
        if (!is_counted(loop)) continue;
        struct stmt *inner = loop;
        ex trip = ex_int(prog, DT_index, 0);
        for (int64_t trips = 1;; inner = inner->body) {
            ex own = ex_binary(prog, EX_sub, ex_var(prog, inner->var), inner->a);
            own = ex_binary(prog, EX_div, own, ex_int(prog, DT_index, inner->step));
            trip = ex_binary(prog, EX_add, ex_binary(prog, EX_mul, trip, ex_int(prog, DT_index, count_of(inner))), own);
            trips *= count_of(inner);
            if (trips < tile->rows / 2 && inner->body && !inner->body->next && is_counted(inner->body)) continue;
            struct stmt *asks = ask_rows(prog, tile, trip, trips);
            stmt_append(&asks, inner->body);
            inner->body = asks;
            break;
        }
    }
}
