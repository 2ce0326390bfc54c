/* What a program's kernels ask of a device, and whether one has it. See device.h. */
#include "device.h"
#include "expr_map.h"

static bool expr_has(struct expr_map *seen, ex e, enum dtype dt)
{
    if (!e || expr_map_find(seen, e)) return false;
    expr_map_add(seen, e, 0);
    return e->dt == dt || expr_has(seen, e->arg[0], dt) || expr_has(seen, e->arg[1], dt) || expr_has(seen, e->arg[2], dt);
}

static bool list_has(struct expr_map *seen, const struct stmt *list, enum dtype dt)
{
    for (const struct stmt *s = list; s; s = s->next)
        if (expr_has(seen, s->a, dt) || expr_has(seen, s->b, dt) || expr_has(seen, s->c, dt) || list_has(seen, s->body, dt) ||
            list_has(seen, s->other, dt))
            return true;
    return false;
}

struct device_needs device_needs(const struct prog *prog)
{
    struct device_needs needs = {.lanes_most = 1};
    struct expr_map seen = {.arena = arena_new()};
    for (int i = 0; i < prog->kernels.n; i++) {
        const struct kernel *kernel = prog->kernels.at[i];
        if (kernel->side != SIDE_DEVICE) continue;
        int64_t lanes = kernel_lanes(kernel);
        if (lanes > needs.lanes_most) needs.lanes_most = lanes;
        needs.f64 = needs.f64 || list_has(&seen, kernel->body, DT_f64);
        for (int k = 0; k < kernel->params.n; k++) needs.f64 |= kernel->params.at[k]->dt == DT_f64;
    }
    arena_free(seen.arena);
    return needs;
}

static bool fits(const char *what, int64_t need, int64_t have, const struct device *device, struct diag *diag)
{
    return need <= have || diag_error(diag, (struct place){0}, "device %s: %s: %lld bytes needed, %lld there", device->name,
                                      what, (long long)need, (long long)have);
}

/* A function in C whose buffers are where it cannot reach them. */
static bool reaches_all(const struct stmt *list, struct diag *diag)
{
    bool good = true;
    for (; list; list = list->next) {
        bool apart = false;
        for (int i = 0; list->kind == STMT_CALL && !list->kernel && i < list->n_args; i++)
            apart |= buffer_is_apart(list->args[i].buf);
        if (apart) good = diag_error(diag, list->place, "%s is a function in C: pass place puts it on the host", list->extern_name);
        good = reaches_all(list->body, diag) && reaches_all(list->other, diag) && good;
    }
    return good;
}

bool device_fits(const struct device *device, const struct prog *prog, int64_t weight_bytes, struct diag *diag)
{
    struct device_needs needs = device_needs(prog);
    int64_t arena = dim_lo(prog->dims, prog->arena_bytes); /* at least */
    bool good = reaches_all(prog->main, diag);
    good = fits("the arena", arena, device->allocation_bytes, device, diag) && good;
    good = fits("the model's weights", weight_bytes, device->allocation_bytes, device, diag) && good;
    if (good) good = fits("the model, arena and weights", arena + weight_bytes, device->memory_bytes, device, diag);
    if (needs.f64 && !device->has_f64)
        good = diag_error(diag, (struct place){0}, "device %s has no double precision, in which the model computes", device->name);
    if (needs.lanes_most > device->work_group_most)
        good = diag_error(diag, (struct place){0}, "device %s has work-groups of up to %d, and kernels are for %lld", device->name,
                          device->work_group_most, (long long)needs.lanes_most);
    return good;
}
