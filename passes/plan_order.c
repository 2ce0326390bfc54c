/* The order of main's calls that needs least memory.
 *
 *   a1 = big(x)  b1 = big(x)  a2 = small(a1)  b2 = small(b1)      ->   a1, a2, b1, b2: one big buffer at a time
 *
 * Calls that follow one another are taken in any order in which none passes another that touches a buffer of its own, one of
 * the two writing it. What is alive depends only on which calls are done, so the search goes from set to set, by numbers of
 * calls, and keeps the least peak that leads to each: that is exact as long as no number of calls has more than a few hundred
 * sets, and beyond that the cheapest go on. How much a call's result takes beside what it reads is not known before they
 * are placed: pass plan tries the order for either guess, and its own, and keeps the smallest arena. Follows: Liberis and
 * Lane, Neural networks on microcontrollers: saving memory at inference via operator reordering (2019).
 */
#include "plan.h"

#include <stdlib.h>
#include <string.h>

enum { CALLS_MOST = 256, WORDS = CALLS_MOST / 64, SETS_MOST = 600 };
struct set {
    uint64_t word[WORDS];
};
struct owner { /* a buffer that the calls use */
    const struct buffer *buf;
    int64_t bytes;
    struct set users;
    bool enters, leaves; /* alive before, after */
};
struct state { /* these calls are done */
    struct set done;
    int64_t live, peak;
    const struct state *before;
    int call; /* the last one */
};
struct ordering {
    struct arena *scratch;
    bool shares; /* the guess: a result lies over the largest buffer that dies at its call */
    int n;
    struct stmt **call;
    struct set *after; /* by call: those that it comes after */
    LIST(struct owner) owners;
};

static bool set_has(const struct set *set, int i)
{
    return set->word[i / 64] >> (i % 64) & 1;
}

static void set_add(struct set *set, int i)
{
    set->word[i / 64] |= (uint64_t)1 << (i % 64);
}

static bool set_within(const struct set *set, const struct set *other)
{
    for (int i = 0; i < WORDS; i++)
        if (set->word[i] & ~other->word[i]) return false;
    return true;
}

static bool set_meets(const struct set *set, const struct set *other)
{
    for (int i = 0; i < WORDS; i++)
        if (set->word[i] & other->word[i]) return true;
    return false;
}

static bool writes(const struct stmt *call, int arg)
{
    return !call->kernel || call->kernel->params.at[arg]->written;
}

static bool touch_alike(const struct stmt *a, const struct stmt *b)
{
    for (int i = 0; i < a->n_args; i++)
        for (int k = 0; k < b->n_args; k++)
            if (a->args[i].buf == b->args[k].buf && (writes(a, i) || writes(b, k))) return true;
    return false;
}

static struct owner *owner_of(struct ordering *o, const struct buffer *buf)
{
    for (int i = 0; i < o->owners.n; i++)
        if (o->owners.at[i].buf == buf) return &o->owners.at[i];
    struct owner owner = {.buf = buf, .bytes = buf->elements * dtype_bytes(buf->dt)};
    LIST_PUSH(o->scratch, &o->owners, owner);
    return &o->owners.at[o->owners.n - 1];
}

/* Lives by steps of main: the calls are those of steps first .. first + n - 1. */
static bool prepare(struct ordering *o, const struct lives *lives, int first)
{
    o->after = NEW_ARRAY(o->scratch, struct set, o->n);
    for (int c = 0; c < o->n; c++) {
        for (int b = 0; b < c; b++)
            if (touch_alike(o->call[b], o->call[c])) set_add(&o->after[c], b);
        for (int i = 0; i < o->call[c]->n_args; i++) {
            const struct buffer *buf = o->call[c]->args[i].buf;
            if (buf->space != SPACE_ARENA) continue;
            if (!dim_is_const(buf->elements)) return false;
            const struct life *life = &lives->at[buf->id];
            struct owner *owner = owner_of(o, buf);
            set_add(&owner->users, c);
            owner->enters = life->first < first, owner->leaves = life->last >= first + o->n;
        }
    }
    return true;
}

static struct state next_state(const struct ordering *o, const struct state *from, int call)
{
    struct state to = {.done = from->done, .before = from, .call = call};
    int64_t born = 0, dead = 0, largest = 0;
    set_add(&to.done, call);
    for (int i = 0; i < o->owners.n; i++) {
        const struct owner *owner = &o->owners.at[i];
        if (!set_has(&owner->users, call)) continue;
        if (!owner->enters && !set_meets(&owner->users, &from->done)) born += owner->bytes;
        if (owner->leaves || !set_within(&owner->users, &to.done)) continue;
        dead += owner->bytes;
        if (owner->bytes > largest) largest = owner->bytes;
    }
    int64_t during = from->live + born - (o->shares ? born < largest ? born : largest : 0);
    to.live = from->live + born - dead;
    to.peak = during > from->peak ? during : from->peak;
    return to;
}

/* The less memory, the earlier; then as main has them. */
static int by_peak(const void *a, const void *b)
{
    const struct state *x = a, *y = b;
    if (x->peak != y->peak) return x->peak < y->peak ? -1 : 1;
    if (x->live != y->live) return x->live < y->live ? -1 : 1;
    for (int i = 0; i < CALLS_MOST; i++)
        if (set_has(&x->done, i) != set_has(&y->done, i)) return set_has(&x->done, i) ? -1 : 1;
    return 0;
}

/* All sets of one more call, each by its cheapest way; at most SETS_MOST. */
static int advance(struct ordering *o, const struct state *from, int n, struct state **result)
{
    LIST(struct state) found = {.n = 0};
    for (int i = 0; i < n; i++)
        for (int c = 0; c < o->n; c++) {
            if (set_has(&from[i].done, c) || !set_within(&o->after[c], &from[i].done)) continue;
            struct state state = next_state(o, &from[i], c);
            int k = 0;
            while (k < found.n && memcmp(&found.at[k].done, &state.done, sizeof state.done) != 0) k++;
            if (k == found.n) LIST_PUSH(o->scratch, &found, state);
            else if (state.peak < found.at[k].peak) found.at[k] = state;
        }
    qsort(found.at, (size_t)found.n, sizeof *found.at, by_peak);
    *result = found.at;
    return found.n < SETS_MOST ? found.n : SETS_MOST;
}

/* Puts the calls into the order that was found; the list goes on where it did. */
static struct stmt *order_calls(struct ordering *o)
{
    struct stmt *rest = o->call[o->n - 1]->next;
    struct state *states = NEW(o->scratch, struct state);
    int n = 1;
    for (int done = 0; done < o->n; done++) n = advance(o, states, n, &states);
    for (const struct state *s = &states[0]; s->before; s = s->before) {
        o->call[s->call]->next = rest;
        rest = o->call[s->call];
    }
    return rest;
}

void plan_order(struct prog *prog, bool shares)
{
    struct arena *scratch = arena_new();
    struct lives lives;
    plan_lives(prog, scratch, &lives);
    int step = 1;
    for (struct stmt **link = &prog->main; *link;) {
        struct ordering o = {.scratch = scratch, .shares = shares, .call = NEW_ARRAY(scratch, struct stmt *, CALLS_MOST)};
        for (struct stmt *s = *link; s && s->kind == STMT_CALL && o.n < CALLS_MOST; s = s->next) o.call[o.n++] = s;
        if (o.n > 2 && prepare(&o, &lives, step)) *link = order_calls(&o);
        for (int i = 0; i < o.n; i++) link = &(*link)->next;
        step += o.n;
        if (o.n > 0 || !*link) continue;
        const struct stmt *here = *link; /* steps are counted inside of it as well */
        while (step <= lives.n_steps && lives.steps.at[step - 1] != here->next) step++;
        link = &(*link)->next;
    }
    arena_free(scratch);
}
