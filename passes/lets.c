/* Shared subexpressions become lets.
 *
 *   store y[i] = (x[i] + b[c])*(x[i] + b[c])      let t = x[i] + b[c]
 *                                            ->   store y[i] = t*t
 *
 * Equal expressions are one pointer, so sharing is counting. A run of lets, sets, stores and checks is walked twice:
 * the first walk counts the uses of each expression, the second one rebuilds the statements and puts a let in front
 * of the first use. An expression that reads a register or a buffer ends its life where the run assigns that
 * register or stores to that buffer; the same expression after that is another entry (`later`).
 * Index arithmetic stays in place: printers and machines fold it into addresses. Loads whose uses lie far apart are
 * repeated: in a register tile, registers are scarcer than loads.
 */
#include "lets.h"
#include "rewrite.h"

enum { READS_MOST = 6, APART_MOST = 10 };
struct entry {
    ex e, built;
    int uses, ends, last; /* ends: the statement after which it is stale; last: that of the latest use */
    struct var *var;
    struct entry *later;
    int n_reads; /* registers and buffers the run changes; READS_MOST + 1: too many to list */
    const void *reads[READS_MOST];
};
struct sharing {
    struct prog *prog;
    struct arena *scratch;
    struct pointer_map entries, changed; /* ex -> first entry; what the run assigns or stores to */
    LIST(struct entry *) open;           /* those with reads */
    struct stmt **end;                   /* where lets and rebuilt statements go */
};

static bool is_leaf(ex e)
{
    return e->op == EX_const || e->op == EX_dim || e->op == EX_var;
}

static bool is_worth(ex e)
{
    if (is_leaf(e) || (e->dt == DT_bool && e->lanes > 1)) return false;
    if (e->op == EX_splat || e->op == EX_ramp) return !is_leaf(e->arg[0]) || e->op == EX_ramp;
    return e->dt != DT_index || e->lanes > 1 || e->op == EX_load;
}

/* What is loaded again sooner than kept in a register over many statements. */
static bool is_cheap(ex e)
{
    return e->op == EX_load || (e->op == EX_splat && e->arg[0]->op == EX_load);
}

static struct entry *entry_at(const struct sharing *s, ex e, int at)
{
    struct entry *entry = map_get(&s->entries, e);
    while (entry && entry->ends < at) entry = entry->later;
    return entry;
}

static void add_read(const struct sharing *s, struct entry *entry, const void *what)
{
    if (!what || !map_get(&s->changed, what)) return;
    for (int i = 0; i < entry->n_reads && i < READS_MOST; i++)
        if (entry->reads[i] == what) return;
    if (entry->n_reads < READS_MOST) entry->reads[entry->n_reads] = what;
    if (entry->n_reads <= READS_MOST) entry->n_reads++;
}

static void count(struct sharing *s, ex e, int at)
{
    if (is_leaf(e)) return;
    struct entry *entry = entry_at(s, e, at);
    if (entry && is_cheap(e) && at - entry->last > APART_MOST) {
        entry->ends = entry->last;
        entry = NULL;
    }
    if (entry) {
        entry->uses++;
        entry->last = at;
        return;
    }
    entry = NEW(s->scratch, struct entry);
    *entry = (struct entry){.e = e, .uses = 1, .ends = INT32_MAX, .last = at};
    struct entry *first = map_get(&s->entries, e);
    while (first && first->later) first = first->later;
    if (first) first->later = entry;
    else map_put(s->scratch, &s->entries, e, entry);
    if (e->op == EX_load) add_read(s, entry, e->buf);
    for (int i = 0; i < 3; i++) {
        if (!e->arg[i]) continue;
        count(s, e->arg[i], at);
        if (e->arg[i]->op == EX_var) add_read(s, entry, e->arg[i]->var);
        struct entry *part = is_leaf(e->arg[i]) ? NULL : entry_at(s, e->arg[i], at);
        for (int k = 0; part && k < part->n_reads && k < READS_MOST; k++) add_read(s, entry, part->reads[k]);
        if (part && part->n_reads > READS_MOST) entry->n_reads = READS_MOST + 1;
    }
    if (entry->n_reads > 0) LIST_PUSH(s->scratch, &s->open, entry);
}

/* What the statement at `at` changes is stale from the next one on. */
static void close_entries(struct sharing *s, const void *what, int at)
{
    int kept = 0;
    for (int i = 0; i < s->open.n; i++) {
        struct entry *entry = s->open.at[i];
        bool stale = entry->n_reads > READS_MOST;
        for (int k = 0; k < entry->n_reads && !stale; k++) stale = entry->reads[k] == what;
        if (stale && entry->ends > at) entry->ends = at;
        else s->open.at[kept++] = entry;
    }
    s->open.n = kept;
}

static void emit(struct sharing *s, struct stmt *stmt)
{
    *s->end = stmt;
    s->end = &stmt->next;
}

static ex build(struct sharing *s, ex e, int at)
{
    if (!e || is_leaf(e)) return e;
    struct entry *entry = entry_at(s, e, at);
    if (entry->built) return entry->built;
    ex args[3];
    bool changed = false;
    for (int i = 0; i < 3; i++) {
        args[i] = build(s, e->arg[i], at);
        changed |= args[i] != e->arg[i];
    }
    ex value = changed ? ex_rebuild(s->prog, e, args) : e;
    if (entry->uses > 1 && is_worth(e) && !is_leaf(value)) {
        entry->var = prog_var(s->prog, "t", value->dt, value->lanes);
        emit(s, stmt_let(s->prog, entry->var, value, false));
        value = ex_var(s->prog, entry->var);
    }
    entry->built = value;
    return value;
}

static bool is_straight(const struct stmt *s)
{
    return s->kind == STMT_LET || s->kind == STMT_SET || s->kind == STMT_STORE || s->kind == STMT_FAIL ||
           s->kind == STMT_PREFETCH;
}

/* first..before `stop` becomes a list at *out; the end of that list. */
static struct stmt **share_run(struct prog *prog, struct stmt *first, const struct stmt *stop, struct stmt **out)
{
    struct sharing s = {.prog = prog, .scratch = arena_new(), .end = out};
    int at = 0;
    for (struct stmt *k = first; k != stop; k = k->next) {
        if (k->kind == STMT_SET) map_put(s.scratch, &s.changed, k->var, k);
        if (k->kind == STMT_STORE) map_put(s.scratch, &s.changed, k->buf, k);
    }
    for (struct stmt *k = first; k != stop; k = k->next, at++) {
        const ex parts[3] = {k->a, k->b, k->c};
        for (int i = 0; i < 3; i++)
            if (parts[i]) count(&s, parts[i], at);
        if (k->kind == STMT_SET) close_entries(&s, k->var, at);
        if (k->kind == STMT_STORE) close_entries(&s, k->buf, at);
    }
    at = 0;
    for (struct stmt *k = first, *next; k != stop; k = next, at++) {
        next = k->next;
        k->next = NULL;
        k->a = build(&s, k->a, at);
        k->b = build(&s, k->b, at);
        k->c = build(&s, k->c, at);
        emit(&s, k);
    }
    arena_free(s.scratch);
    return s.end;
}

struct stmt *lets_share(struct prog *prog, struct stmt *list)
{
    struct stmt *first = NULL, **end = &first;
    while (list) {
        struct stmt *stop = list;
        while (stop && is_straight(stop)) stop = stop->next;
        if (stop != list) {
            end = share_run(prog, list, stop, end);
            list = stop;
            continue;
        }
        list->body = lets_share(prog, list->body);
        list->other = lets_share(prog, list->other);
        *end = list;
        end = &list->next;
        list = list->next;
        *end = NULL;
    }
    return first;
}
