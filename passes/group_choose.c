/* The numbers of a contraction's groups, by an estimate of the time that a device takes.
 *
 * A compute unit is taken to do 128 multiply-adds a cycle, to read 32 words of local memory (a word that all lanes of
 * 32 read counts once) and 48 bytes of global memory; it needs some 256 lanes at a time to be busy. So large
 * tiles read less, and small ones leave fewer units without work: the time is that of the unit with the most groups.
 */
#include "group.h"

enum { UNIT_FMAS = 128, UNIT_WORDS = 32, UNIT_BYTES = 48, UNIT_LANES = 256, RESIDENT_MOST = 1024, START = 500, STEP_USUAL = 16, WAIT = 40 };

static const struct group_plan shapes[] = {
    {128, 128, 8, 8, 0, 1}, {128, 64, 8, 4, 0, 1}, {64, 128, 4, 8, 0, 1}, {128, 64, 8, 8, 0, 1}, {64, 128, 8, 8, 0, 1}, {64, 64, 8, 4, 0, 1},
    {64, 64, 4, 8, 0, 1},   {64, 64, 4, 4, 0, 1},  {128, 32, 8, 4, 0, 1}, {32, 128, 4, 8, 0, 1}, {64, 32, 4, 4, 0, 1},  {32, 64, 4, 4, 0, 1},
    {32, 32, 4, 4, 0, 1},   {32, 32, 2, 4, 0, 1},  {16, 64, 2, 4, 0, 1},  {64, 16, 4, 4, 0, 1},  {16, 32, 2, 4, 0, 1},  {32, 16, 2, 4, 0, 1},
    {16, 16, 1, 4, 0, 1}};
enum { N_SHAPES = sizeof shapes / sizeof *shapes, SLICES_LANES = 256, SLICES_STEP = 4 };

static double ceil_of(double x)
{
    double whole = (double)(int64_t)x;
    return whole < x ? whole + 1 : whole;
}

static double trips(const struct contraction *c, const struct group_axes *axes)
{
    double n = 1;
    for (int i = 0; i < axes->n; i++) n *= c->nest->axis[axes->axis[i]].trips;
    return n;
}

static double estimate(const struct contraction *c, const struct device *device, const struct group_plan *plan)
{
    double terms = 1, inner = (double)c->nest->axis[c->sum[c->n_sums - 1]].extent;
    for (int i = 0; i < c->n_sums; i++) terms *= (double)c->nest->axis[c->sum[i]].extent;
    double groups = trips(c, &c->batch) * ceil_of(trips(c, &c->rows) / plan->rows) * ceil_of(trips(c, &c->columns) / plan->columns);
    double lanes = (double)(plan->rows / plan->high) * (plan->columns / plan->wide);
    double fmas = (double)plan->rows * plan->columns / UNIT_FMAS, words = lanes * (plan->high + plan->wide) / UNIT_WORDS;
    double bytes = 4.0 * (plan->rows + plan->columns) / UNIT_BYTES;
    double most = fmas > words ? fmas : words;
    if (most < bytes) most = bytes;
    double each = terms * (most + 0.15 * (fmas + words + bytes)), turns = ceil_of(groups / device->compute_units);
    double resident = turns * lanes < RESIDENT_MOST ? turns * lanes : RESIDENT_MOST;
    if (resident < UNIT_LANES) each *= UNIT_LANES / resident;
    double steps = terms / inner * ceil_of(inner / plan->step);
    return turns * (each + steps * WAIT * lanes / resident + START);
}

/* Divided sums, whose time is that of reading: first where all units have groups enough. */
static int slices_list(const struct contraction *c, const struct device *device, struct group_plan *list, int most)
{
    static const int across[] = {32, 16, 8, 4, 2}; /* lanes side by side, each with a vector */
    struct group_plan all[5];
    int n = 0, first = 0, kept = 0, rows = (int)c->rows.extent;
    double inner = (double)c->nest->axis[c->sum[c->n_sums - 1]].extent;
    for (int i = 0; i < 5; i++) {
        struct group_plan plan = {.rows = rows, .high = rows, .columns = across[i] * c->lanes, .wide = c->lanes, .step = SLICES_STEP, .slices = 2};
        while (2 * plan.slices * across[i] <= SLICES_LANES && 4.0 * plan.slices <= inner) plan.slices *= 2;
        if (group_check(c, device, &plan)) continue;
        double groups = trips(c, &c->batch) * ceil_of(trips(c, &c->columns) / plan.columns);
        all[n] = plan;
        if (groups < 2.0 * device->compute_units) first = n + 1;
        n++;
    }
    if (n > 0 && first >= n) first = n - 1;
    for (int i = 0; i < n && kept < most; i++) list[kept++] = all[i == 0 ? first : i <= first ? i - 1 : i];
    return kept;
}

static int step_of(const struct contraction *c)
{
    int64_t extent = c->nest->axis[c->sum[c->n_sums - 1]].extent;
    return extent <= 2 * STEP_USUAL ? (int)extent : STEP_USUAL;
}

int group_list(const struct contraction *c, const struct device *device, struct group_plan *list, int most)
{
    double cost[N_SHAPES * 3];
    int n = 0, step = step_of(c);
    if (group_has_slices(c)) return slices_list(c, device, list, most);
    struct group_plan all[N_SHAPES * 3];
    for (int i = 0; i < N_SHAPES; i++)
        for (int k = 0; k < 3; k++) {
            struct group_plan plan = shapes[i];
            plan.step = k == 0 ? step : k == 1 ? step / 2 : 2 * step;
            if (plan.step < 4 && k > 0) continue;
            if (group_check(c, device, &plan)) continue;
            double own = estimate(c, device, &plan) * (k ? 1.02 : 1);
            int at = n++;
            for (; at > 0 && cost[at - 1] > own; at--) {
                cost[at] = cost[at - 1];
                all[at] = all[at - 1];
            }
            cost[at] = own;
            all[at] = plan;
        }
    if (n > most) n = most;
    for (int i = 0; i < n; i++) list[i] = all[i];
    return n;
}

const char *group_text(struct arena *arena, const struct group_plan *plan)
{
    const char *text = arena_printf(arena, "group rows=%d columns=%d high=%d wide=%d step=%d", plan->rows, plan->columns, plan->high,
                                    plan->wide, plan->step);
    return plan->slices > 1 ? arena_printf(arena, "%s slices=%d", text, plan->slices) : text;
}
