/* What else a loop could be scheduled as, for `tenon tune`: records by the cost model's rank, near the chosen one first.
 *
 * Of one choice of lanes and packing at most half of the list is taken while others are left: the cost model is surer
 * about tiles than about which axis to vectorize. In between come the chosen plan's other loop orders and unrollings,
 * which the cost model ranks by rules of thumb. The points are left in tuning->explored (tuning.h).
 */
#include "schedule.h"

#include <stdlib.h>
#include <string.h>

enum { LIST_MOST = 64, FOUND_MOST = 1024, LEAST_PER_FAMILY = 2 };
struct found {
    const char *text;
    double cost;
    int family, serial;
};
struct exploring {
    struct scheduler *s;
    int wanted;
    struct found found[FOUND_MOST];
    int n, families;
};

static struct tuning_kernel *explored_kernel(struct scheduler *s)
{
    return &s->tuning->explored.at[s->explored];
}

static bool wants(const struct scheduler *s)
{
    return s->tuning && s->tuning->explore > 0 && !s->failed;
}

const char *reduction_text(const struct scheduler *s, const struct reduction_choice *choice)
{
    return choice->lanes > 1 ? arena_printf(s->prog->arena, "reduce lanes=%d", choice->lanes)
                             : arena_printf(s->prog->arena, "reduce unroll=%d", choice->unroll);
}

static void point_add(struct tuning *tuning, struct tuning_point *point, const char *record)
{
    for (int i = 0; i < point->n; i++)
        if (!strcmp(point->records[i], record)) return;
    if (point->n < tuning->explore) point->records[point->n++] = arena_strdup(tuning->arena, record);
}

static struct tuning_point point_new(struct tuning *tuning, const char *chosen)
{
    struct tuning_point point = {.span = 1, .records = NEW_ARRAY(tuning->arena, const char *, tuning->explore)};
    point_add(tuning, &point, chosen);
    return point;
}

void explore_reduction(struct scheduler *s, int lanes, const struct reduction_choice *chosen)
{
    static const int unrolls[] = {8, 0, 32};
    if (!wants(s)) return;
    struct tuning_point point = point_new(s->tuning, reduction_text(s, chosen));
    struct reduction_choice other = {.lanes = lanes, .unroll = 8};
    for (; other.lanes > 1 && 2 * other.lanes >= lanes; other.lanes /= 2)
        point_add(s->tuning, &point, reduction_text(s, &other));
    other.lanes = 1;
    for (int i = 0; i < 3; i++) {
        other.unroll = unrolls[i];
        point_add(s->tuning, &point, reduction_text(s, &other));
    }
    LIST_PUSH(s->tuning->arena, &explored_kernel(s)->points, point);
}

/* The plans of a nest, packed or not. Families are lanes and packing. */
static void add_plans(struct exploring *e, struct choice *choice, const struct var *only, double factor)
{
    struct candidate list[LIST_MOST];
    int n = choose_list(&choice->nest, e->s->target, only, LIST_MOST, list);
    for (int i = 0; i < n && e->n < FOUND_MOST; i++) {
        choice->plan = list[i].plan;
        const char *why = choose_check(&choice->nest, e->s->target, &choice->plan);
        if (why) bug("explore", "the search found what is not legal: %s: %s", schedule_text(e->s, choice), why);
        int lanes = list[i].plan.inner_lanes > 1 ? AXES_MOST : list[i].plan.vector_axis;
        e->found[e->n] = (struct found){.text = schedule_text(e->s, choice), .cost = factor * list[i].cost,
                                        .family = e->families + 1 + lanes, .serial = e->n};
        e->n++;
    }
    e->families += AXES_MOST + 2;
}

static void add_packed(struct exploring *e, struct stmt *loop, const struct loopnest *nest)
{
    for (int i = 0; i < nest->accesses.n && choose_lanes(nest, e->s->target) > 1; i++) {
        if (!schedule_may_pack(e->s, &nest->accesses.at[i])) continue;
        for (int a = 0; a < nest->n_chain; a++) {
            struct choice *choice = NEW(e->s->prog->arena, struct choice);
            struct var *var;
            if (schedule_packed(e->s, loop, nest, &nest->accesses.at[i], a, choice, &var))
                add_plans(e, choice, var, PACKED_COST);
        }
    }
}

/* Groups of lanes, the likely best first: in front of what a work-item does alone. */
static void add_groups(struct scheduler *s, const struct stmt *loop, const struct loopnest *nest, struct tuning_point *point)
{
    struct contraction c;
    struct group_plan list[LIST_MOST];
    struct rows_plan rows[LIST_MOST];
    int n = schedule_groups(s, loop, nest, &c) ? group_list(&c, s->all->device, list, LIST_MOST) : 0;
    for (int i = 0; i < n && point->n < s->tuning->explore - 1; i++) point_add(s->tuning, point, group_text(s->prog->arena, &list[i]));
    n = schedule_rows(s, loop, nest) ? rows_list(nest, s->all->device, rows, LIST_MOST) : 0;
    for (int i = 0; i < n && point->n < s->tuning->explore - 1; i++) point_add(s->tuning, point, rows_text(s->prog->arena, &rows[i]));
}

static int by_cost(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    return x->cost < y->cost ? -1 : x->cost > y->cost ? 1 : x->serial - y->serial;
}

/* The chosen plan's variants into texts; their number. */
static int variants(const struct scheduler *s, const struct choice *chosen, const char **texts, int most)
{
    static const int unrolls[] = {24, 240, 0};
    struct choice other = *chosen;
    int n = 0;
    if (chosen->group.rows || chosen->rows.lanes) return 0;
    for (int a = 0; a < chosen->nest.n_chain && n < most; a++) {
        other.plan = chosen->plan;
        if (choose_reorder(&chosen->nest, s->target, a, &other.plan)) texts[n++] = schedule_text(s, &other);
    }
    other.plan = chosen->plan;
    bool unrolls_matter = chosen->nest.n_axes > chosen->nest.n_chain && chosen->plan.inner_lanes == 1;
    for (int i = 0; i < 3 && n < most && unrolls_matter; i++) {
        other.plan.unroll_size = unrolls[i];
        texts[n++] = schedule_text(s, &other);
    }
    return n;
}

/* Ranks with at most half of the point's records of one family, then the rest; a variant after every second one. */
static void fill(struct exploring *e, struct tuning_point *point, const char **variant, int n_variants)
{
    struct tuning *tuning = e->s->tuning;
    int *taken = NEW_ARRAY(e->s->prog->arena, int, e->families + 1), used = 0;
    int half = e->wanted / 2 > LEAST_PER_FAMILY ? e->wanted / 2 : LEAST_PER_FAMILY;
    qsort(e->found, (size_t)e->n, sizeof *e->found, by_cost);
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < e->n; i++) {
            if (round == 0 && taken[e->found[i].family]++ >= half) continue;
            int before = point->n;
            point_add(tuning, point, e->found[i].text);
            if (point->n > before && point->n % 3 == 0 && used < n_variants) point_add(tuning, point, variant[used++]);
        }
    while (used < n_variants) point_add(tuning, point, variant[used++]);
}

int explore_nest(struct scheduler *s, struct stmt *loop, const struct loopnest *nest, const struct choice *chosen)
{
    const char *variant[AXES_MOST];
    if (!wants(s)) return -1;
    struct tuning_point point = point_new(s->tuning, chosen->found ? schedule_text(s, chosen) : "loops");
    if (!nest->too_big && !nest->parallel) add_groups(s, loop, nest, &point);
    if (!nest->too_big && nest->parallel) {
        struct exploring *e = NEW(s->prog->arena, struct exploring);
        struct choice *plain = NEW(s->prog->arena, struct choice);
        e->s = s;
        e->wanted = s->tuning->explore;
        plain->nest = *nest;
        add_groups(s, loop, nest, &point);
        add_plans(e, plain, NULL, 1);
        add_packed(e, loop, nest);
        int n = chosen->found ? variants(s, chosen, variant, AXES_MOST) : 0;
        fill(e, &point, variant, n);
    }
    LIST_PUSH(s->tuning->arena, &explored_kernel(s)->points, point);
    return explored_kernel(s)->points.n - 1;
}

void explore_end(struct scheduler *s, int point)
{
    if (point >= 0) explored_kernel(s)->points.at[point].span = explored_kernel(s)->points.n - point;
}
