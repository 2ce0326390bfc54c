/* Asking for the next panel of a packed operand while this one is used.
 *
 *   for q { for r step 14 { for c { ... w[q*P + 32*c + i] ... } } }
 *      ->   for q { for r step 14 { for c { prefetch w[(q+1)*P + 32*c + 16*(r/14 % 4)]; ... w[q*P + 32*c + i] ... } } }
 *
 * A weight is met once a run, so it comes from memory, where hardware prefetchers stop at every page. The panel after
 * this one is asked for during the visits to this one, by turns: each of four visits asks for every fourth vector. The
 * last panel's successor is whatever lies behind it, mostly the next layer's weights.
 * Measured: see HACKING.md, "Decisions and measurements".
 */
#include "prefetch.h"

enum { LOADS_MOST = 64 };
struct loads {
    ex at[LOADS_MOST];
    int n;
};

/* Vector loads of buf in order of appearance. */
static void find_loads(struct loads *loads, struct prog *prog, const struct buffer *buf, ex e, struct pointer_map *seen)
{
    if (!e || e->op == EX_const || e->op == EX_dim || e->op == EX_var || map_get(seen, e)) return;
    map_put(prog->arena, seen, e, e);
    if (e->op == EX_load && e->buf == buf && e->lanes > 1 && e->imm == 1 && loads->n < LOADS_MOST) loads->at[loads->n++] = e;
    for (int i = 0; i < 3; i++) find_loads(loads, prog, buf, e->arg[i], seen);
}

/* Whether they lie one behind the other. */
static bool are_dense(struct prog *prog, const struct loads *loads)
{
    for (int i = 1; i < loads->n; i++) {
        ex step = ex_binary(prog, EX_sub, loads->at[i]->arg[0], loads->at[i - 1]->arg[0]);
        if (!ex_is_int(step, loads->at[i - 1]->lanes)) return false;
    }
    return true;
}

void prefetch_panel(struct prog *prog, struct stmt *list, const struct prefetch *prefetch)
{
    for (struct stmt *loop = list; loop; loop = loop->next) {
        bool inner = false;
        struct loads loads = {.n = 0};
        struct pointer_map seen = {.n = 0};
        for (struct stmt *s = loop->body; s && loop->kind == STMT_FOR; s = s->next) {
            inner |= s->body != NULL;
            find_loads(&loads, prog, prefetch->buf, s->a, &seen);
        }
        prefetch_panel(prog, loop->body, prefetch);
        prefetch_panel(prog, loop->other, prefetch);
        if (inner || loads.n == 0) continue;
        int by = prefetch->turn && are_dense(prog, &loads) && loads.n % prefetch->turns == 0 ? prefetch->turns : 1;
        struct stmt *asks = NULL;
        for (int i = 0; i < loads.n; i += by) {
            ex at = ex_binary(prog, EX_add, loads.at[i]->arg[0], ex_int(prog, DT_index, prefetch->ahead));
            if (by > 1) at = ex_binary(prog, EX_add, at, ex_binary(prog, EX_mul, prefetch->turn, ex_int(prog, DT_index, loads.at[i]->lanes)));
            stmt_append(&asks, stmt_prefetch(prog, prefetch->buf, at));
        }
        stmt_append(&asks, loop->body);
        loop->body = asks;
    }
}
