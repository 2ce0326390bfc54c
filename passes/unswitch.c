/* Conditions that are equal in all lanes leave the expression of a store.
 *
 *   store y[i] = select(g, max(load x[i] if g else 0, 0), 0)   ->   if g { store y[i] = max(x[i], 0) } else { store y[i] = 0 }
 *
 * g must not read the variables that become lanes or copies. In the first branch its terms are true; in the second one
 * every conjunction that holds all of them is false. Padding fused into what is padded looks like this: inside, no
 * masks are left; outside, no loads.
 */
#include "guards.h"

enum { TERMS_MOST = 8, DEPTH_MOST = 3 };
struct known {
    struct prog *prog;
    ex term[TERMS_MOST];
    int n;
    bool value;
};

static bool is_fixed(ex term, struct var *const *fixed, int n_fixed)
{
    for (int i = 0; i < n_fixed; i++)
        if (ex_uses(term, fixed[i])) return true;
    return false;
}

static void add_terms(struct known *known, ex condition, struct var *const *fixed, int n_fixed)
{
    if (condition->op == EX_and) {
        add_terms(known, condition->arg[0], fixed, n_fixed);
        add_terms(known, condition->arg[1], fixed, n_fixed);
        return;
    }
    for (int i = 0; i < known->n; i++)
        if (known->term[i] == condition) return;
    if (condition->lanes != 1 || is_fixed(condition, fixed, n_fixed)) return;
    if (known->n < TERMS_MOST) known->term[known->n++] = condition;
}

/* The terms of the first condition, from the outside in, that has some free of the fixed variables. */
static void find_condition(struct known *known, ex e, struct var *const *fixed, int n_fixed)
{
    if (!e || known->n > 0 || e->dt == DT_index || e->op == EX_const || e->op == EX_var) return;
    if (e->op == EX_select && !ex_is_const(e->arg[0])) add_terms(known, e->arg[0], fixed, n_fixed);
    if (e->op == EX_load && e->arg[1] && !e->masked) add_terms(known, e->arg[1], fixed, n_fixed);
    if (e->op == EX_load) return;
    for (int i = 0; i < 3; i++) find_condition(known, e->arg[i], fixed, n_fixed);
}

static bool holds_term(ex e, ex term)
{
    if (e == term) return true;
    return e->op == EX_and && (holds_term(e->arg[0], term) || holds_term(e->arg[1], term));
}

static ex know(void *context, ex e)
{
    const struct known *known = context;
    if (e->dt != DT_bool) return e;
    int held = 0;
    for (int i = 0; i < known->n; i++) {
        if (known->value && e == known->term[i]) return ex_int(known->prog, DT_bool, 1);
        held += holds_term(e, known->term[i]);
    }
    return !known->value && held == known->n ? ex_int(known->prog, DT_bool, 0) : e;
}

static struct stmt *store_knowing(struct known *known, const struct stmt *store, bool value)
{
    struct rewriter *r = rewriter_new(known->prog);
    struct stmt one = *store;
    one.next = NULL;
    known->value = value;
    r->hook = know;
    r->context = known;
    return rewrite_list(r, &one);
}

static struct stmt *unswitch_store(struct prog *prog, struct stmt *store, struct var *const *fixed, int n_fixed, int depth)
{
    struct known known = {.prog = prog};
    find_condition(&known, store->b, fixed, n_fixed);
    if (known.n == 0 || depth == DEPTH_MOST) return store;
    struct stmt *branch = stmt_new(prog, STMT_IF);
    branch->a = ex_int(prog, DT_bool, 1);
    for (int i = 0; i < known.n; i++) branch->a = ex_binary(prog, EX_and, branch->a, known.term[i]);
    branch->place = store->place;
    branch->body = unswitch_store(prog, store_knowing(&known, store, true), fixed, n_fixed, depth + 1);
    branch->other = store_knowing(&known, store, false);
    return branch;
}

struct stmt *guards_unswitch(struct prog *prog, struct stmt *list, struct var *const *fixed, int n_fixed)
{
    struct stmt *out = NULL;
    while (list) {
        struct stmt *s = list;
        list = list->next;
        s->next = NULL;
        stmt_append(&out, s->kind == STMT_STORE ? unswitch_store(prog, s, fixed, n_fixed, 0) : s);
    }
    return out;
}
