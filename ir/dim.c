/* Symbolic dimensions.
 *
 * A polynomial is a sorted list of terms; a term is an integer coefficient and a sorted list of atom numbers
 * (repeats are powers). Polynomials are interned, so equality is equality of handles. `a div b` first takes
 * out what divides exactly; the rest becomes an atom. See type.h for the interface.
 */
#include "diag.h"
#include "type.h"

#include <string.h>

__extension__ typedef __int128 wide; /* so that products never overflow before they are clamped */
enum {
    TERMS_MOST = 64,
    ATOMS_MOST = 8,
    SIZE_MOST = 2000 /* of an expression written out: shared parts make that exponential, and it is walked */
};

struct term {
    int64_t coef;
    int n;
    int atom[ATOMS_MOST];
};
struct poly {
    int n;
    struct term term[TERMS_MOST];
};
struct stored { /* a poly with just its own terms */
    int n;
    const struct term *term;
    int64_t lo, hi;
    int64_t size; /* symbols and operations when written out */
};
struct atom {
    enum dim_kind kind; /* SYMBOL, DIV, MIN, MAX */
    struct symbol symbol;
    int symbol_number;
    dim a, b;
};
struct dims {
    struct arena *arena;
    LIST(struct stored) polys;
    LIST(struct atom) atoms;
    LIST(int) symbols; /* atom numbers */
};

struct dims *dims_new(struct arena *arena)
{
    struct dims *dims = NEW(arena, struct dims);
    dims->arena = arena;
    return dims;
}

static int64_t clamp(wide v)
{
    return v > DIM_HUGE ? DIM_HUGE : v < -DIM_HUGE ? -DIM_HUGE : (int64_t)v;
}

int64_t floor_div(int64_t a, int64_t b)
{
    if (b == 0) return 0;
    int64_t q = a / b;
    return q - (a % b != 0 && (a < 0) != (b < 0));
}

static const struct stored *poly_of(const struct dims *dims, dim d)
{
    return &dims->polys.at[d - INT64_MIN];
}

static void load(const struct dims *dims, dim d, struct poly *p)
{
    p->n = 0;
    if (dim_is_const(d)) {
        if (d) p->term[p->n++] = (struct term){.coef = d};
        return;
    }
    const struct stored *s = poly_of(dims, d);
    p->n = s->n;
    memcpy(p->term, s->term, (size_t)s->n * sizeof *s->term);
}

static int term_order(const struct term *a, const struct term *b)
{
    if (a->n != b->n) return b->n - a->n; /* higher degree first, the constant last */
    for (int i = 0; i < a->n; i++)
        if (a->atom[i] != b->atom[i]) return a->atom[i] - b->atom[i];
    return 0;
}

static bool add_term(struct poly *p, const struct term *t)
{
    int i = 0;
    while (i < p->n && term_order(&p->term[i], t) < 0) i++;
    if (i < p->n && term_order(&p->term[i], t) == 0) {
        p->term[i].coef = clamp((wide)p->term[i].coef + t->coef);
        if (p->term[i].coef == 0) {
            memmove(&p->term[i], &p->term[i + 1], (size_t)(p->n - i - 1) * sizeof *t);
            p->n--;
        }
        return true;
    }
    if (p->n == TERMS_MOST) return false;
    memmove(&p->term[i + 1], &p->term[i], (size_t)(p->n - i) * sizeof *t);
    p->term[i] = *t;
    p->n++;
    return true;
}

static void atom_range(const struct dims *dims, const struct atom *atom, int64_t *lo, int64_t *hi)
{
    int64_t al, ah, bl, bh;
    if (atom->kind == DIM_SYMBOL) {
        *lo = atom->symbol.lo;
        *hi = atom->symbol.hi;
        return;
    }
    al = dim_lo(dims, atom->a), ah = dim_hi(dims, atom->a);
    bl = dim_lo(dims, atom->b), bh = dim_hi(dims, atom->b);
    if (atom->kind == DIM_MIN) {
        *lo = al < bl ? al : bl;
        *hi = ah < bh ? ah : bh;
    } else if (atom->kind == DIM_MAX) {
        *lo = al > bl ? al : bl;
        *hi = ah > bh ? ah : bh;
    } else if (bl > 0) {
        *lo = floor_div(al, al < 0 ? bl : bh);
        *hi = floor_div(ah, ah < 0 ? bh : bl);
    } else {
        *lo = -DIM_HUGE;
        *hi = DIM_HUGE;
    }
}

static void poly_range(const struct dims *dims, const struct term *term, int n, int64_t *lo, int64_t *hi)
{
    wide low = 0, high = 0;
    for (int i = 0; i < n; i++) {
        int64_t a = 1, b = 1;
        for (int k = 0; k < term[i].n; k++) {
            int64_t l, h;
            atom_range(dims, &dims->atoms.at[term[i].atom[k]], &l, &h);
            wide p[4] = {(wide)a * l, (wide)a * h, (wide)b * l, (wide)b * h};
            wide least = p[0], most = p[0];
            for (int j = 1; j < 4; j++) {
                if (p[j] < least) least = p[j];
                if (p[j] > most) most = p[j];
            }
            a = clamp(least);
            b = clamp(most);
        }
        wide x = (wide)term[i].coef * a, y = (wide)term[i].coef * b;
        low += x < y ? x : y;
        high += x < y ? y : x;
    }
    *lo = clamp(low);
    *hi = clamp(high);
}

static int64_t dim_size(const struct dims *dims, dim d)
{
    return dim_is_const(d) ? 1 : poly_of(dims, d)->size;
}

static int64_t poly_size(const struct dims *dims, const struct poly *p)
{
    int64_t size = p->n;
    for (int i = 0; i < p->n; i++)
        for (int k = 0; k < p->term[i].n; k++) {
            const struct atom *atom = &dims->atoms.at[p->term[i].atom[k]];
            size += atom->kind == DIM_SYMBOL ? 1 : dim_size(dims, atom->a) + dim_size(dims, atom->b);
        }
    return size;
}

static dim intern(struct dims *dims, const struct poly *p)
{
    if (p->n == 0) return 0;
    if (p->n == 1 && p->term[0].n == 0) return p->term[0].coef;
    for (int i = 0; i < dims->polys.n; i++) {
        const struct stored *s = &dims->polys.at[i];
        bool same = s->n == p->n;
        for (int k = 0; same && k < p->n; k++)
            same = s->term[k].coef == p->term[k].coef && term_order(&s->term[k], &p->term[k]) == 0;
        if (same) return s->lo == s->hi ? s->lo : INT64_MIN + i; /* the symbols' ranges leave one value */
    }
    struct stored s = {.n = p->n, .term = arena_copy(dims->arena, p->term, (size_t)p->n * sizeof *p->term)};
    s.size = poly_size(dims, p);
    if (s.size > SIZE_MOST) return DIM_HUGE;
    poly_range(dims, s.term, s.n, &s.lo, &s.hi);
    if (s.lo == s.hi) return s.lo;
    LIST_PUSH(dims->arena, &dims->polys, s);
    return INT64_MIN + dims->polys.n - 1;
}

static dim dim_of_atom(struct dims *dims, int atom)
{
    struct poly p = {.n = 1};
    p.term[0] = (struct term){.coef = 1, .n = 1, .atom = {atom}};
    return intern(dims, &p);
}

static dim make_atom(struct dims *dims, enum dim_kind kind, dim a, dim b)
{
    for (int i = 0; i < dims->atoms.n; i++) {
        const struct atom *t = &dims->atoms.at[i];
        if (t->kind == kind && t->a == a && t->b == b) return dim_of_atom(dims, i);
    }
    struct atom t = {.kind = kind, .a = a, .b = b};
    LIST_PUSH(dims->arena, &dims->atoms, t);
    return dim_of_atom(dims, dims->atoms.n - 1);
}

bool dim_find_symbol(const struct dims *dims, const char *name, dim *d)
{
    for (int i = 0; i < dims->symbols.n; i++)
        if (!strcmp(dims->atoms.at[dims->symbols.at[i]].symbol.name, name)) {
            *d = dim_of_atom((struct dims *)(uintptr_t)dims, dims->symbols.at[i]);
            return true;
        }
    return false;
}

dim dim_symbol(struct dims *dims, const char *name, int64_t lo, int64_t hi)
{
    for (int i = 0; i < dims->symbols.n; i++) {
        struct atom *atom = &dims->atoms.at[dims->symbols.at[i]];
        if (strcmp(atom->symbol.name, name) != 0) continue;
        bool is_narrower = lo > atom->symbol.lo || hi < atom->symbol.hi;
        if (lo > atom->symbol.lo) atom->symbol.lo = lo;
        if (hi < atom->symbol.hi) atom->symbol.hi = hi;
        for (int k = 0; is_narrower && k < dims->polys.n; k++) /* parts stand before what is made of them */
            poly_range(dims, dims->polys.at[k].term, dims->polys.at[k].n, &dims->polys.at[k].lo, &dims->polys.at[k].hi);
        return dim_of_atom(dims, dims->symbols.at[i]);
    }
    struct atom atom = {.kind = DIM_SYMBOL, .symbol = {arena_strdup(dims->arena, name), lo, hi},
                        .symbol_number = dims->symbols.n, .a = -1 - dims->symbols.n};
    LIST_PUSH(dims->arena, &dims->atoms, atom);
    LIST_PUSH(dims->arena, &dims->symbols, dims->atoms.n - 1);
    return dim_of_atom(dims, dims->atoms.n - 1);
}

int dims_n_symbols(const struct dims *dims)
{
    return dims->symbols.n;
}

const struct symbol *dims_symbol(const struct dims *dims, int i)
{
    return &dims->atoms.at[dims->symbols.at[i]].symbol;
}

dim dims_symbol_dim(struct dims *dims, int i)
{
    return dim_of_atom(dims, dims->symbols.at[i]);
}

static dim add_scaled(struct dims *dims, dim a, dim b, int64_t scale)
{
    if (dim_is_const(a) && dim_is_const(b)) return clamp((wide)a + (wide)b * scale);
    struct poly p, q;
    load(dims, a, &p);
    load(dims, b, &q);
    for (int i = 0; i < q.n; i++) {
        q.term[i].coef = clamp((wide)q.term[i].coef * scale);
        if (!add_term(&p, &q.term[i])) return DIM_HUGE;
    }
    return intern(dims, &p);
}

dim dim_add(struct dims *dims, dim a, dim b)
{
    return add_scaled(dims, a, b, 1);
}

dim dim_sub(struct dims *dims, dim a, dim b)
{
    return add_scaled(dims, a, b, -1);
}

dim dim_mul(struct dims *dims, dim a, dim b)
{
    if (dim_is_const(a) && dim_is_const(b)) return clamp((wide)a * b);
    struct poly p, q, r = {.n = 0};
    load(dims, a, &p);
    load(dims, b, &q);
    for (int i = 0; i < p.n; i++)
        for (int j = 0; j < q.n; j++) {
            struct term t = {.coef = clamp((wide)p.term[i].coef * q.term[j].coef)};
            if (p.term[i].n + q.term[j].n > ATOMS_MOST) return DIM_HUGE;
            const struct term *x = &p.term[i], *y = &q.term[j];
            for (int k = 0, l = 0; k < x->n || l < y->n;)
                t.atom[t.n++] = l == y->n || (k < x->n && x->atom[k] <= y->atom[l]) ? x->atom[k++] : y->atom[l++];
            if (!add_term(&r, &t)) return DIM_HUGE;
        }
    return intern(dims, &r);
}

/* t divided by d where that leaves an integer multiple of atoms. */
static bool term_divide(const struct term *t, const struct term *d, struct term *q)
{
    if (t->coef % d->coef) return false;
    *q = (struct term){.coef = t->coef / d->coef};
    int k = 0;
    for (int i = 0; i < t->n; i++) {
        if (k < d->n && d->atom[k] == t->atom[i]) k++;
        else q->atom[q->n++] = t->atom[i];
    }
    return k == d->n;
}

/* Polynomial long division by the leading term: the quotient, and what is left over. */
static void divide(struct dims *dims, dim a, dim b, dim *quotient, dim *rest)
{
    struct poly q = {.n = 0}, r, d;
    load(dims, b, &d);
    dim left = a;
    *quotient = 0;
    *rest = a;
    if (d.n == 0) return;
    if (d.n == 1) {
        struct poly p;
        load(dims, a, &p);
        r.n = 0;
        for (int i = 0; i < p.n; i++) {
            struct term t;
            if (term_divide(&p.term[i], &d.term[0], &t)) add_term(&q, &t);
            else add_term(&r, &p.term[i]);
        }
        *quotient = intern(dims, &q);
        *rest = intern(dims, &r);
        return;
    }
    for (int round = 0; round < TERMS_MOST; round++) {
        struct poly p;
        load(dims, left, &p);
        struct term t;
        if (p.n == 0 || !term_divide(&p.term[0], &d.term[0], &t)) break;
        struct poly one = {.n = 1};
        one.term[0] = t;
        dim step = intern(dims, &one);
        *quotient = dim_add(dims, *quotient, step);
        left = dim_sub(dims, left, dim_mul(dims, step, b));
    }
    *rest = left;
}

bool dim_divides(struct dims *dims, dim a, dim b, dim *quotient)
{
    if (b == 0) return false;
    if (dim_is_const(a) && dim_is_const(b)) {
        *quotient = a / b;
        return a % b == 0;
    }
    dim rest;
    divide(dims, a, b, quotient, &rest);
    return rest == 0;
}

dim dim_div(struct dims *dims, dim a, dim b)
{
    if (b == 0) return 0;
    if (dim_is_const(a) && dim_is_const(b)) return floor_div(a, b);
    dim quotient, rest;
    divide(dims, a, b, &quotient, &rest);
    if (rest == 0) return quotient;
    if (dim_lo(dims, rest) >= 0 && dim_lt(dims, rest, b)) return quotient;
    if (dim_is_const(b) && b > 0) { /* the constant part's whole multiples come out too */
        struct poly p;
        load(dims, rest, &p);
        if (p.n > 1 && p.term[p.n - 1].n == 0) {
            int64_t whole = floor_div(p.term[p.n - 1].coef, b);
            quotient = dim_add(dims, quotient, whole);
            rest = dim_sub(dims, rest, clamp((wide)whole * b));
            if (dim_lo(dims, rest) >= 0 && dim_lt(dims, rest, b)) return quotient;
        }
    }
    if (dim_lo(dims, b) <= 0) return make_atom(dims, DIM_DIV, a, b);
    return dim_add(dims, quotient, make_atom(dims, DIM_DIV, rest, b));
}

dim dim_mod(struct dims *dims, dim a, dim b)
{
    return dim_sub(dims, a, dim_mul(dims, b, dim_div(dims, a, b)));
}

dim dim_min(struct dims *dims, dim a, dim b)
{
    if (dim_le(dims, a, b)) return a;
    if (dim_le(dims, b, a)) return b;
    return make_atom(dims, DIM_MIN, a < b ? a : b, a < b ? b : a);
}

dim dim_max(struct dims *dims, dim a, dim b)
{
    if (dim_le(dims, a, b)) return b;
    if (dim_le(dims, b, a)) return a;
    return make_atom(dims, DIM_MAX, a < b ? a : b, a < b ? b : a);
}

int64_t dim_lo(const struct dims *dims, dim d)
{
    return dim_is_const(d) ? d : poly_of(dims, d)->lo;
}

int64_t dim_hi(const struct dims *dims, dim d)
{
    return dim_is_const(d) ? d : poly_of(dims, d)->hi;
}

bool dim_le(struct dims *dims, dim a, dim b)
{
    return dim_lo(dims, dim_sub(dims, b, a)) >= 0;
}

bool dim_lt(struct dims *dims, dim a, dim b)
{
    return dim_lo(dims, dim_sub(dims, b, a)) >= 1;
}

int64_t dim_eval(const struct dims *dims, dim d, const int64_t *values)
{
    if (dim_is_const(d)) return d;
    const struct stored *s = poly_of(dims, d);
    wide sum = 0;
    for (int i = 0; i < s->n; i++) {
        int64_t product = s->term[i].coef;
        for (int k = 0; k < s->term[i].n; k++) {
            const struct atom *t = &dims->atoms.at[s->term[i].atom[k]];
            int64_t v, a, b;
            if (t->kind == DIM_SYMBOL) v = values[t->symbol_number];
            else {
                a = dim_eval(dims, t->a, values), b = dim_eval(dims, t->b, values);
                v = t->kind == DIM_DIV ? floor_div(a, b) : (t->kind == DIM_MIN) == (a < b) ? a : b;
            }
            product = clamp((wide)product * v);
        }
        sum += product;
    }
    return clamp(sum);
}

dim dim_substitute(struct dims *dims, dim d, const dim *to)
{
    if (dim_is_const(d)) return d;
    struct poly p;
    load(dims, d, &p);
    dim sum = 0;
    for (int i = 0; i < p.n; i++) {
        dim product = p.term[i].coef;
        for (int k = 0; k < p.term[i].n; k++) {
            struct atom t = dims->atoms.at[p.term[i].atom[k]];
            dim v;
            if (t.kind == DIM_SYMBOL) v = to[t.symbol_number];
            else {
                dim a = dim_substitute(dims, t.a, to), b = dim_substitute(dims, t.b, to);
                v = t.kind == DIM_DIV ? dim_div(dims, a, b) : t.kind == DIM_MIN ? dim_min(dims, a, b) : dim_max(dims, a, b);
            }
            product = dim_mul(dims, product, v);
        }
        sum = dim_add(dims, sum, product);
    }
    return sum;
}

void dim_open(struct dims *dims, dim d, struct dim_view *view)
{
    *view = (struct dim_view){.kind = DIM_CONST};
    view->part[0] = d;
    if (dim_is_const(d)) return;
    struct poly p;
    load(dims, d, &p);
    if (p.n > 1) {
        view->kind = DIM_SUM;
        for (int i = 0; i < p.n; i++) {
            struct poly one = {.n = 1};
            one.term[0] = p.term[i];
            view->part[view->n++] = intern(dims, &one);
        }
        return;
    }
    const struct term *t = &p.term[0];
    if (t->n == 1 && t->coef == 1) {
        const struct atom *atom = &dims->atoms.at[t->atom[0]];
        view->kind = atom->kind;
        view->symbol = atom->symbol_number;
        if (atom->kind == DIM_SYMBOL) return;
        view->n = 2;
        view->part[0] = atom->a;
        view->part[1] = atom->b;
        return;
    }
    view->kind = DIM_PRODUCT;
    if (t->coef != 1) view->part[view->n++] = t->coef;
    for (int k = 0; k < t->n; k++) view->part[view->n++] = dim_of_atom(dims, t->atom[k]);
}

/* Number of atoms in a part; the constant has none. */
static int part_degree(const struct dims *dims, dim part)
{
    return dim_is_const(part) ? 0 : poly_of(dims, part)->term[0].n;
}

/* The parts in an order that does not depend on which expressions were made first: the same text in every session. */
static void print_parts(const struct dims *dims, struct text *text, const struct dim_view *view)
{
    bool sum = view->kind == DIM_SUM;
    const char *words[TERMS_MOST];
    int degree[TERMS_MOST];
    for (int i = 0; i < view->n; i++) {
        struct text part = {.arena = dims->arena};
        dim_print(dims, &part, view->part[i], !sum);
        int n = sum ? part_degree(dims, view->part[i]) : dim_is_const(view->part[i]), at = i;
        for (; at > 0 && (degree[at - 1] < n || (degree[at - 1] == n && strcmp(words[at - 1], text_string(&part)) > 0)); at--) {
            words[at] = words[at - 1];
            degree[at] = degree[at - 1];
        }
        words[at] = text_string(&part);
        degree[at] = n;
    }
    for (int i = 0; i < view->n; i++) text_printf(text, "%s%s", i == 0 ? "" : sum ? " + " : "*", words[i]);
}

void dim_print(const struct dims *dims, struct text *text, dim d, bool tight)
{
    struct dim_view view;
    dim_open((struct dims *)(uintptr_t)dims, d, &view);
    bool wrap = tight && (view.kind == DIM_SUM || view.kind == DIM_DIV || view.kind == DIM_PRODUCT);
    if (wrap) text_add(text, "(");
    switch (view.kind) {
    case DIM_CONST: text_printf(text, "%lld", (long long)d); break;
    case DIM_SYMBOL: text_add(text, dims_symbol(dims, view.symbol)->name); break;
    case DIM_SUM:
    case DIM_PRODUCT: print_parts(dims, text, &view); break;
    case DIM_DIV:
        dim_print(dims, text, view.part[0], true);
        text_add(text, " / ");
        dim_print(dims, text, view.part[1], true);
        break;
    case DIM_MIN:
    case DIM_MAX:
        text_add(text, view.kind == DIM_MIN ? "min(" : "max(");
        dim_print(dims, text, view.part[0], false);
        text_add(text, ", ");
        dim_print(dims, text, view.part[1], false);
        text_add(text, ")");
        break;
    }
    if (wrap) text_add(text, ")");
}

static int only_symbol(struct dims *dims, dim d, int depth)
{
    struct dim_view view;
    int found = -1;
    if (dim_is_const(d) || depth > 64) return dim_is_const(d) ? -1 : -2;
    dim_open(dims, d, &view);
    if (view.kind == DIM_SYMBOL) return view.symbol;
    for (int i = 0; i < view.n; i++) {
        int one = only_symbol(dims, view.part[i], depth + 1);
        if (one == -1 || one == found) continue;
        if (one == -2 || found >= 0) return -2;
        found = one;
    }
    return found;
}

int dim_only_symbol(struct dims *dims, dim d)
{
    return only_symbol(dims, d, 0);
}

int dim_bound_symbol(struct dims *dims, dim d, int64_t size)
{
    dim m;
    int symbol = only_symbol(dims, d, 0);
    if (symbol < 0) return -1;
    dim s = dims_symbol_dim(dims, symbol);
    if (d == s) return symbol;
    for (m = 2; m <= 1024; m *= 2)
        if (d == dim_mul(dims, dim_div(dims, s, m), m)) return size % m == 0 ? symbol : -1;
    return -1;
}
