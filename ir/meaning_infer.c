/* The result's type from index notation itself (OP_index), and the proof that its subscripts stay inside.
 *
 * A letter's extent is that of the axis it stands at alone, or what a `where letter < ...` says. Any other subscript
 * is bounded by interval arithmetic over the letters; where that does not show it inside, the load must say what lies
 * outside (`? value`), so that no notation reads what is not there. See meaning.h.
 */
#include "meaning_tree.h"

#include <ctype.h>
#include <string.h>

struct extents {
    const struct meaning *meaning;
    struct dims *dims;
    const struct node *node;
    const char *name[LETTERS_MOST];
    dim extent[LETTERS_MOST];
    bool stated[LETTERS_MOST]; /* by a clause */
    int n;
    const char *error;
};

static int find_letter(const struct extents *e, const char *name)
{
    int k = 0;
    while (k < e->n && strcmp(e->name[k], name) != 0) k++;
    return k;
}

static bool set_letter(struct extents *e, const char *name, dim extent, bool stated)
{
    int k = find_letter(e, name);
    if (k == LETTERS_MOST) return e->error = "too many letters", false;
    if (k < e->n) {
        bool fits = e->stated[k] ? dim_le(e->dims, e->extent[k], extent) : e->extent[k] == extent;
        return fits || (e->error = "a letter stands for different extents", false);
    }
    e->name[k] = name;
    e->extent[k] = extent;
    e->stated[k] = stated;
    e->n++;
    return true;
}

static bool same_lowered(const char *capitals, const char *name)
{
    while (*capitals && tolower((unsigned char)*capitals) == *name) capitals++, name++;
    return !*capitals && !*name;
}

/* Bounds of an index expression; false where none are known. */
static bool bounds(const struct extents *e, const struct term *t, dim *lo, dim *hi)
{
    switch (t->kind) {
    case TERM_NUMBER: *lo = *hi = (int64_t)t->number; return t->number == (double)*lo && t->number < 1e15;
    case TERM_LETTER: {
        int k = find_letter(e, t->name);
        *lo = 0;
        if (k < e->n) *hi = dim_sub(e->dims, e->extent[k], 1);
        return k < e->n;
    }
    case TERM_ATTR:
        for (int i = 0; i < e->node->n_attrs; i++)
            if (same_lowered(t->name, e->node->attrs[i].name) && e->node->attrs[i].kind == ATTR_INT) {
                *lo = *hi = e->node->attrs[i].i;
                return true;
            }
        return false;
    case TERM_EXTENT:
        if (t->input < 0 || t->input >= e->node->n_in || t->name || t->axis >= e->node->in[t->input]->type.rank)
            return false;
        *lo = *hi = e->node->in[t->input]->type.dim[t->axis];
        return true;
    case TERM_CALL: {
        dim a[2], b[2];
        if (t->n != 2 || !bounds(e, t->arg[0], &a[0], &a[1]) || !bounds(e, t->arg[1], &b[0], &b[1])) return false;
        if (t->op == EX_add) *lo = dim_add(e->dims, a[0], b[0]), *hi = dim_add(e->dims, a[1], b[1]);
        else if (t->op == EX_sub) *lo = dim_sub(e->dims, a[0], b[1]), *hi = dim_sub(e->dims, a[1], b[0]);
        else if (dim_lo(e->dims, a[0]) < 0 || dim_lo(e->dims, b[0]) < 0) return false;
        else if (t->op == EX_mul) *lo = dim_mul(e->dims, a[0], b[0]), *hi = dim_mul(e->dims, a[1], b[1]);
        else if (t->op == EX_div && dim_lo(e->dims, b[0]) > 0)
            *lo = dim_div(e->dims, a[0], b[1]), *hi = dim_div(e->dims, a[1], b[0]);
        else if (t->op == EX_mod && dim_lo(e->dims, b[0]) > 0) *lo = 0, *hi = dim_sub(e->dims, b[1], 1);
        else if (t->op == EX_min) *lo = dim_min(e->dims, a[0], b[0]), *hi = dim_min(e->dims, a[1], b[1]);
        else if (t->op == EX_max) *lo = dim_max(e->dims, a[0], b[0]), *hi = dim_max(e->dims, a[1], b[1]);
        else return false;
        return true;
    }
    case TERM_LEAST:
    case TERM_PICK:
    case TERM_LOAD:
    case TERM_FLAT: break;
    }
    return false;
}

/* One load: its rank, the letters it gives extents, or (proof) that its subscripts stay inside. */
static bool check_load(struct extents *e, const struct term *t, bool proof)
{
    if (t->input < 0 || t->input >= e->node->n_in) return e->error = "it reads a tensor that is not an input", false;
    const struct type *type = &e->node->in[t->input]->type;
    if (t->n != type->rank) return e->error = "the number of subscripts is not the rank of an input", false;
    for (int i = 0; i < t->n; i++) {
        const struct term *s = t->item[i].term;
        dim lo, hi;
        if (t->item[i].many || t->item[i].merge) return e->error = "'..' is for the op table only", false;
        if (t->otherwise) continue;
        if (!proof && s->kind == TERM_LETTER && !set_letter(e, s->name, type->dim[i], false)) return false;
        if (!proof || s->kind == TERM_LETTER) continue;
        if (!bounds(e, s, &lo, &hi) || dim_lo(e->dims, lo) < 0 || !dim_lt(e->dims, hi, type->dim[i]))
            return e->error = "a subscript may lie outside of its axis: say what is read there, as in x[i + 1] ? 0",
                   false;
    }
    return true;
}

static bool walk(struct extents *e, const struct term *t, bool proof)
{
    if (!t) return true;
    if (t->kind == TERM_FLAT || t->kind == TERM_PICK)
        return e->error = "x{f} and letter[LIST] are for the op table only", false;
    for (int i = 0; t->kind == TERM_CALL && i < t->n; i++)
        if (!walk(e, t->arg[i], proof)) return false;
    if (t->kind != TERM_LOAD) return true;
    if (!check_load(e, t, proof) || !walk(e, t->otherwise, proof)) return false;
    for (int i = 0; i < t->n; i++)
        if (!walk(e, t->item[i].term, proof)) return false;
    return true;
}

static const char *const no_extent =
    "a letter has no extent: it must stand alone at some axis of an input, or be given one by where";

/* Extents that `where` states. */
static bool read_clauses(struct extents *e)
{
    const struct meaning *m = e->meaning;
    for (int i = 0; i < m->n_clauses; i++) {
        dim lo, hi;
        if (m->clause[i].count || !bounds(e, m->clause[i].term, &lo, &hi) || lo != hi || dim_lo(e->dims, lo) < 0)
            return e->error = "'where' must give letters sizes that are known, as in where k < 3", false;
        if (!set_letter(e, m->clause[i].letter, lo, true)) return false;
    }
    return true;
}

/* How often a letter stands in an item of the left side: alone, or as one of the two of a split. */
static int count_letter(const struct term *t, const char *name)
{
    const struct term *high, *size, *low;
    if (t->kind == TERM_LETTER) return !strcmp(t->name, name);
    return meaning_is_split(t, &high, &size, &low) ? !strcmp(high->name, name) + !strcmp(low->name, name) : 0;
}

static int count_on_left(const struct extents *e, const char *name)
{
    int n = 0;
    for (int i = 0; i < e->meaning->n_left; i++) n += count_letter(e->meaning->left[i].term, name);
    return n;
}

/* high*size + low: the axis has |high| blocks of `size`, which is the extent of low. */
static bool read_split(struct extents *e, const struct term *t, dim *extent)
{
    const struct term *high, *size, *low;
    dim lo, hi;
    if (!meaning_is_split(t, &high, &size, &low))
        return e->error = "the left side must be letters, or splits such as i*4 + j", false;
    int h = find_letter(e, high->name), l = find_letter(e, low->name);
    if (h == e->n || l == e->n) return e->error = no_extent, false;
    if (!bounds(e, size, &lo, &hi) || lo != hi || e->extent[l] != lo)
        return e->error = "the size of a split must be the extent of its second letter", false;
    *extent = dim_mul(e->dims, e->extent[h], lo);
    return true;
}

/* The left side: letters, each once, alone or in splits; they are the result's axes. */
static bool read_left(struct extents *e, struct type *out)
{
    const struct meaning *m = e->meaning;
    if (!m->left || m->n_left > RANK_MOST) return e->error = "the left side has at most 16 subscripts", false;
    for (int i = 0; i < m->n_left; i++) {
        const struct term *t = m->left[i].term;
        if (m->left[i].many) return e->error = "'..' is for the op table only", false;
        if (t->kind != TERM_LETTER) {
            if (!read_split(e, t, &out->dim[i])) return false;
            continue;
        }
        int k = find_letter(e, t->name);
        if (k == e->n) return e->error = no_extent, false;
        out->dim[i] = e->extent[k];
    }
    for (int i = 0; i < m->n_letters; i++)
        if (count_on_left(e, m->letter[i].name) > 1) return e->error = "a letter stands twice on the left", false;
    out->rank = m->n_left;
    return true;
}

/* Every letter has an extent, and those only on the right are combined over. */
static bool check_letters(struct extents *e)
{
    const struct meaning *m = e->meaning;
    for (int i = 0; i < m->n_letters; i++) {
        bool left = count_on_left(e, m->letter[i].name) > 0;
        if (find_letter(e, m->letter[i].name) == e->n) return e->error = no_extent, false;
        if (!left && m->combine == EX_COUNT)
            return e->error = "a letter stands only on the right: say how to combine over it (+= *= min= max=)", false;
    }
    return true;
}

bool meaning_infer(const struct meaning *meaning, struct dims *dims, const struct node *node, struct type *out,
                   const char **error)
{
    struct extents e = {.meaning = meaning, .dims = dims, .node = node};
    out->dt = node->in[0]->type.dt;
    bool ok = read_clauses(&e) && walk(&e, meaning->right, false) && read_left(&e, out) && check_letters(&e) &&
              walk(&e, meaning->right, true);
    *error = e.error;
    return ok;
}
