/* Shared subexpressions in C-like languages.
 *
 * A statement's expressions form a graph. What is reached twice and is worth it becomes a temporary in front of
 * the statement; loads that a guard may protect stay where they are. See cfamily.h.
 */
#include "cfamily.h"

#include <string.h>

const char *cfamily_temporary(const struct cfamily *printer, ex e)
{
    if (e->id >= printer->n_use || printer->use[e->id].statement != printer->statement) return NULL;
    return printer->use[e->id].temporary;
}

static struct use *use_of(struct cfamily *printer, ex e)
{
    if (e->id >= printer->n_use) {
        int n = e->id + e->id / 2 + 1024;
        struct use *more = NEW_ARRAY(printer->arena, struct use, n);
        if (printer->n_use) memcpy(more, printer->use, (size_t)printer->n_use * sizeof *more);
        printer->use = more;
        printer->n_use = n;
    }
    struct use *use = &printer->use[e->id];
    if (use->statement != printer->statement) *use = (struct use){.statement = printer->statement};
    return use;
}

bool cfamily_seen(struct cfamily *printer, ex e)
{
    struct use *use = use_of(printer, e);
    bool seen = use->done;
    use->done = true;
    return seen;
}

static bool is_leaf(ex e)
{
    return e->op == EX_const || e->op == EX_var || e->op == EX_dim;
}

/* Counts how often each node is reached; returns whether e holds an unguarded load. */
static bool count(struct cfamily *printer, ex e, bool always)
{
    if (is_leaf(e)) return false;
    struct use *use = use_of(printer, e);
    bool again = use->count++ > 0;
    if (again && (use->always || !always)) return use->unsafe;
    use->always = always;
    bool guarded = e->op == EX_load && e->arg[1], unsafe = e->op == EX_load && !guarded;
    for (int i = 0; i < 3; i++) {
        if (!e->arg[i]) continue;
        bool below = count(printer, e->arg[i], always && !(guarded && i == 0));
        unsafe |= below && !(guarded && i == 0);
    }
    use_of(printer, e)->unsafe = unsafe; /* the table may have moved */
    return unsafe;
}

static bool is_worth_sharing(ex e)
{
    ex a = e->arg[0];
    switch (e->op) {
    case EX_splat: return !is_leaf(a) && a->op != EX_load;
    case EX_cast: return !is_leaf(a);
    case EX_not: return false;
    case EX_add:
    case EX_sub:
    case EX_mul:
    case EX_neg: return e->dt != DT_index;
    default: return true; /* calls, loads, divisions, comparisons */
    }
}

static void share(struct cfamily *printer, ex e)
{
    if (is_leaf(e)) return;
    struct use *use = use_of(printer, e);
    if (use->done) return;
    use->done = true;
    for (int i = 0; i < 3; i++)
        if (e->arg[i]) share(printer, e->arg[i]);
    use = use_of(printer, e);
    if (use->count < 2 || !is_worth_sharing(e) || (use->unsafe && !use->always)) return;
    int mask = e->dt == DT_bool && e->lanes > 1 ? cfamily_mask_bytes(printer, e) : 0;
    if (e->dt == DT_bool && e->lanes > 1 && !mask) mask = 1;
    char name[24];
    snprintf(name, sizeof name, "t%d", ++printer->n_temporaries);
    const char *own = cfamily_name(printer, name);
    cfamily_line(printer);
    text_printf(printer->out, "const %s %s = ", cfamily_ctype(printer, e->dt, e->lanes, mask), own);
    if (mask) cfamily_mask(printer, e, mask, 0);
    else cfamily_expr(printer, e, 0);
    text_add(printer->out, ";\n");
    use_of(printer, e)->temporary = own;
}

void cfamily_share(struct cfamily *printer, ex const *e, int n)
{
    printer->statement++;
    for (int i = 0; i < n; i++)
        if (e[i]) count(printer, e[i], true);
    for (int i = 0; i < n; i++)
        if (e[i]) share(printer, e[i]);
}
