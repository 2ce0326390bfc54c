/* Asking for the next panel of a packed operand while this one is used.
 *
 *   for q { for r step 14 { for c { ... w[q*P + 32*c + i] ... } } }
 *      ->   for q { for r step 14 { for c step 2 { prefetch w[(q+1)*P + 32*c + 16*(r/14 % 4)]; ... w[q*P + 32*c + i] ... } } }
 *
 * A weight is met once a run, so it comes from memory, where hardware prefetchers stop at every page. The panel after
 * this one is asked for during the visits to this one, by turns: each of four visits asks for a fourth of it. The
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

/* Whether the loads are the first `part` of them again and again, each time *apart elements further on. */
static bool repeat(struct prog *prog, const struct loads *loads, int part, ex *apart)
{
    *apart = NULL;
    for (int i = part; i < loads->n; i++) {
        ex step = ex_binary(prog, EX_sub, loads->at[i]->arg[0], loads->at[i - part]->arg[0]);
        if (!ex_is_const(step) || (*apart && step != *apart)) return false;
        *apart = step;
    }
    return *apart != NULL;
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
        int part = loads.n / prefetch->turns;
        ex apart = NULL;
        bool turns = prefetch->turn && loads.n % prefetch->turns == 0 && repeat(prog, &loads, part, &apart);
        struct stmt *asks = NULL;
        for (int i = 0; i < (turns ? part : loads.n); i++) {
            ex at = ex_binary(prog, EX_add, loads.at[i]->arg[0], ex_int(prog, DT_index, prefetch->ahead));
            if (turns) at = ex_binary(prog, EX_add, at, ex_binary(prog, EX_mul, prefetch->turn, apart));
            stmt_append(&asks, stmt_prefetch(prog, prefetch->buf, at));
        }
        stmt_append(&asks, loop->body);
        loop->body = asks;
    }
}
