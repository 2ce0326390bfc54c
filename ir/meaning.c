/* Opening a meaning at a node: binding its letters, then evaluating its right side to an expression.
 *
 * Subscript lists are first spread over a tensor's axes (spread): each axis gets a term and, where the term stands
 * for several axes, its position among them. Letter lengths follow from ranks (solve_lengths); letters on the left
 * from the result's subscripts; the others become loop variables. See meaning.h for the notation.
 */
#include "meaning_tree.h"

#include <string.h>

struct slot { /* what stands at one axis of a subscript list */
    const struct term *term;
    int position; /* for terms standing for several axes, else -1 */
};

const struct meaning *meaning_of(struct prog *prog, const struct node *node)
{
    const char *error, *line = op_row(node->op)->meaning;
    if (!line) {
        const struct attr *attr = node_attr(node, "meaning");
        const struct meaning *m = attr ? meaning_parse(prog->arena, attr->s, &error) : NULL;
        if (!m) bug("meaning", "node without a meaning");
        return m;
    }
    if (!prog->meanings) prog->meanings = NEW_ARRAY(prog->arena, const struct meaning *, OP_COUNT);
    if (!prog->meanings[node->op]) {
        prog->meanings[node->op] = meaning_parse(prog->arena, line, &error);
        if (!prog->meanings[node->op]) bug("meaning", "row %s: %s", op_row(node->op)->name, error);
    }
    return prog->meanings[node->op];
}

static struct letter *letter_of(struct opened *o, const char *name)
{
    for (int i = 0; i < o->n_letters; i++)
        if (!strcmp(o->letter[i].name, name)) return &o->letter[i];
    bug("meaning", "letter %s", name);
}

/* The attribute a capital name stands for. */
static const struct attr *attr_of(const struct node *node, const char *capital)
{
    char name[40];
    size_t n = 0;
    for (; capital[n] && n < sizeof name - 1; n++)
        name[n] = (char)(capital[n] >= 'A' && capital[n] <= 'Z' ? capital[n] + 32 : capital[n]);
    name[n] = 0;
    const struct attr *attr = node_attr(node, name);
    if (!attr) bug("meaning", "%s without attribute %s", op_row(node->op)->name, name);
    return attr;
}

static const struct type *type_at(const struct opened *o, int input)
{
    return input < 0 ? &o->node->out[0].type : &o->node->in[input]->type;
}

/* Axes a term stands for when marked `..`: the length of its letters or list attributes; -1 unknown, -2 free. */
static int term_length(struct opened *o, const struct term *t)
{
    if (t->kind == TERM_LETTER || t->kind == TERM_PICK) {
        const struct letter *letter = letter_of(o, t->name);
        return letter->many ? letter->n : -2;
    }
    int n = -2;
    if (t->kind == TERM_ATTR) {
        const struct attr *attr = attr_of(o->node, t->name);
        return attr->kind == ATTR_INTS ? attr->n : -2;
    }
    if (t->kind == TERM_CALL)
        for (int i = 0; i < t->n; i++) {
            int k = term_length(o, t->arg[i]);
            if (k >= 0) return k;
            if (k == -1) n = -1;
        }
    return n;
}

static bool set_length(struct opened *o, const struct term *t, int n)
{
    bool changed = false;
    if (t->kind == TERM_LETTER || t->kind == TERM_PICK) {
        struct letter *letter = letter_of(o, t->name);
        changed = letter->many && letter->n != n;
        if (letter->many) letter->n = n;
    } else if (t->kind == TERM_CALL)
        for (int i = 0; i < t->n; i++) changed |= set_length(o, t->arg[i], n);
    return changed;
}

static int merged_axes(const struct opened *o, const struct item *item)
{
    const struct attr *attr = attr_of(o->node, item->attr);
    return attr->kind == ATTR_INTS ? attr->n : 1;
}

/* One subscript list against a rank: sets the length of the one list letter still open. */
static bool solve_list(struct opened *o, const struct item *item, int n, int rank)
{
    int known = 0;
    bool changed = false;
    const struct term *open = NULL;
    for (int i = 0; i < n; i++) {
        if (item[i].merge == '|') {
            int m = merged_axes(o, &item[i]);
            if (item[i].other_many) changed |= set_length(o, item[i].other, m);
            known += m;
        }
        if (!item[i].many) known++;
        else if (term_length(o, item[i].term) >= 0) {
            int k = term_length(o, item[i].term);
            changed |= set_length(o, item[i].term, k);
            known += k;
        } else open = item[i].term;
    }
    if (open) changed |= set_length(o, open, rank > known ? rank - known : 0);
    return changed;
}

static bool solve_term(struct opened *o, const struct term *t)
{
    bool changed = false;
    if (t->kind == TERM_LOAD) {
        int open = 0;
        for (int i = 0; i < t->n; i++) open += t->item[i].many && term_length(o, t->item[i].term) == -1;
        if (open < 2) changed |= solve_list(o, t->item, t->n, type_at(o, t->input)->rank);
        for (int i = 0; i < t->n; i++) {
            changed |= solve_term(o, t->item[i].term);
            if (t->item[i].other) changed |= solve_term(o, t->item[i].other);
        }
        if (t->otherwise) changed |= solve_term(o, t->otherwise);
    }
    if (t->kind == TERM_CALL)
        for (int i = 0; i < t->n; i++) changed |= solve_term(o, t->arg[i]);
    return changed;
}

static ex evaluate_index(struct opened *o, const struct term *t, int position, const struct type *standing, int axis);

static void solve_lengths(struct opened *o)
{
    const struct meaning *m = o->meaning;
    for (int i = 0; i < m->n_clauses; i++) {
        if (m->clause[i].count) {
            ex n = evaluate_index(o, m->clause[i].term, -1, NULL, 0);
            letter_of(o, m->clause[i].letter)->n = (int)n->imm;
        } else if (letter_of(o, m->clause[i].letter)->many) {
            int n = term_length(o, m->clause[i].term);
            if (n >= 0) letter_of(o, m->clause[i].letter)->n = n;
        }
    }
    for (bool changed = true; changed;) {
        int open = 0;
        changed = false;
        for (int i = 0; i < m->n_left; i++) open += m->left[i].many && term_length(o, m->left[i].term) == -1;
        if (m->left && open < 2) changed |= solve_list(o, m->left, m->n_left, o->node->out[0].type.rank);
        changed |= solve_term(o, m->right);
    }
    for (int i = 0; i < o->n_letters; i++)
        if (o->letter[i].n < 0) o->letter[i].n = o->letter[i].many ? 0 : 1;
}

/* Which term stands at which axis. Returns the number of axes. */
static int spread(struct opened *o, const struct item *item, int n, int rank, struct slot *slot)
{
    int axis = 0;
    for (int i = 0; i < n && axis <= rank; i++) {
        int m = item[i].many ? term_length(o, item[i].term) : 1, first = axis, seen = 0;
        if (m < 0) m = 0;
        if (item[i].merge == '|') m += merged_axes(o, &item[i]);
        const struct attr *attr = item[i].merge ? attr_of(o->node, item[i].attr) : NULL;
        int from_other = 0;
        for (; axis < first + m && axis < rank; axis++) {
            bool other = false;
            if (attr && attr->kind == ATTR_INT) other = attr->i == axis - first;
            if (attr && attr->kind == ATTR_INTS)
                for (int k = 0; k < attr->n; k++) other |= attr->ints[k] == axis - first;
            if (other) slot[axis] = (struct slot){item[i].other, item[i].other_many ? from_other++ : -1};
            else slot[axis] = (struct slot){item[i].term, item[i].many ? seen : -1};
            seen += !other || item[i].merge == '\\';
        }
    }
    if (axis != rank) bug("meaning", "%s: %d subscripts for rank %d", op_row(o->node->op)->name, axis, rank);
    return axis;
}

static ex extent_of(struct opened *o, const struct term *t, const struct type *standing, int axis)
{
    if (t->input == -2) return ex_dim(o->prog, standing->dim[axis]);
    const struct type *type = type_at(o, t->input);
    int at = t->name ? (int)attr_of(o->node, t->name)->i : t->axis;
    return ex_dim(o->prog, type->dim[at]);
}

static ex letter_value(struct opened *o, const struct term *t, int position)
{
    const struct letter *letter = letter_of(o, t->name);
    int at = letter->many ? (position < 0 ? 0 : position) : 0;
    if (t->kind == TERM_PICK) {
        const struct attr *attr = attr_of(o->node, t->attr);
        at = (int)(attr->kind == ATTR_INTS ? attr->ints[position] : attr->i);
    }
    if (!letter->bound || at < 0 || at >= letter->n) bug("meaning", "letter %s is not bound", t->name);
    return letter->at[at];
}

static ex attr_value(struct opened *o, const struct term *t, int position)
{
    const struct attr *attr = attr_of(o->node, t->name);
    if (attr->kind == ATTR_INT) return ex_dim(o->prog, attr->i);
    if (attr->kind == ATTR_INTS && position >= 0 && position < attr->n) return ex_dim(o->prog, attr->ints[position]);
    bug("meaning", "attribute %s", t->name);
}

static ex reflect(struct prog *prog, ex i, ex n)
{
    ex zero = ex_dim(prog, 0), one = ex_dim(prog, 1);
    ex period = ex_binary(prog, EX_sub, ex_binary(prog, EX_mul, n, ex_dim(prog, 2)), ex_dim(prog, 2));
    ex r = ex_binary(prog, EX_mod, i, ex_binary(prog, EX_max, period, one));
    ex back = ex_binary(prog, EX_sub, period, r);
    return ex_binary(prog, EX_max, ex_select(prog, ex_binary(prog, EX_lt, r, n), r, back), zero);
}

/* Evaluation carries the reader and the guards that exact() adds. */
struct evaluation {
    struct opened *o;
    struct reader *reader;
    ex guard; /* collected while a subscript is evaluated */
};
static ex evaluate_load(struct evaluation *e, const struct term *t);

static ex evaluate_call_index(struct evaluation *e, const struct term *t, int position, const struct type *standing, int axis);

static ex evaluate_position(struct evaluation *e, const struct term *t, int position, const struct type *standing, int axis)
{
    struct opened *o = e->o;
    switch (t->kind) {
    case TERM_NUMBER: return ex_dim(o->prog, (int64_t)t->number);
    case TERM_LETTER:
    case TERM_PICK: return letter_value(o, t, position);
    case TERM_ATTR: return attr_value(o, t, position);
    case TERM_EXTENT: return extent_of(o, t, standing, axis);
    case TERM_LOAD: return ex_cast(o->prog, evaluate_load(e, t), DT_index);
    case TERM_CALL: return evaluate_call_index(e, t, position, standing, axis);
    case TERM_LEAST:
    case TERM_FLAT: break;
    }
    bug("meaning", "term in a subscript");
}

static ex evaluate_call_index(struct evaluation *e, const struct term *t, int position, const struct type *standing, int axis)
{
    struct prog *prog = e->o->prog;
    ex arg[3] = {NULL, NULL, NULL};
    for (int i = 0; i < t->n; i++) arg[i] = evaluate_position(e, t->arg[i], position, standing, axis);
    if (t->op == EX_COUNT) return reflect(prog, arg[0], arg[1]);
    if (t->op == EX_const) { /* exact */
        ex divides = ex_binary(prog, EX_eq, ex_binary(prog, EX_mod, arg[0], arg[1]), ex_dim(prog, 0));
        e->guard = e->guard ? ex_binary(prog, EX_and, e->guard, divides) : divides;
        return ex_binary(prog, EX_div, arg[0], arg[1]);
    }
    if (t->op == EX_select) return ex_select(prog, arg[0], arg[1], arg[2]);
    if (t->n == 1) return ex_unary(prog, t->op, arg[0]);
    return ex_binary(prog, t->op, arg[0], arg[1]);
}

static ex evaluate_index(struct opened *o, const struct term *t, int position, const struct type *standing, int axis)
{
    struct evaluation e = {.o = o};
    return evaluate_position(&e, t, position, standing, axis);
}

/* Row-major position of idx in a tensor of this type, and back. */
static ex flat_position(struct prog *prog, const struct type *type, ex const *idx)
{
    ex at = ex_dim(prog, 0);
    for (int i = 0; i < type->rank; i++)
        at = ex_binary(prog, EX_add, ex_binary(prog, EX_mul, at, ex_dim(prog, type->dim[i])), idx[i]);
    return at;
}

void type_unflatten(struct prog *prog, const struct type *type, ex at, ex *idx)
{
    dim inner = 1;
    for (int i = type->rank - 1; i >= 0; i--) {
        ex whole = ex_binary(prog, EX_div, at, ex_dim(prog, inner));
        idx[i] = i ? ex_binary(prog, EX_mod, whole, ex_dim(prog, type->dim[i])) : whole;
        if (dim_is_const(type->dim[i]) && type->dim[i] == 1) idx[i] = ex_dim(prog, 0);
        inner = dim_mul(prog->dims, inner, type->dim[i]);
    }
}

static enum dtype value_dtype(const struct opened *o, int input)
{
    enum dtype dt = type_at(o, input)->dt;
    return o->dims_mode && (dt == DT_i64 || dt == DT_i32) ? DT_index : dtype_compute(dt);
}

static ex least_of(struct prog *prog, enum dtype dt)
{
    if (dtype_is_float(dt)) return ex_float(prog, dt, -__builtin_inf());
    return ex_int(prog, dt, dt == DT_index ? -DIM_HUGE : dtype_int_min(dt));
}

struct amount { /* a value, or a number that takes the type of what it meets */
    ex e;
    double number;
};
static struct amount evaluate(struct evaluation *e, const struct term *t);

static ex amount_as(struct prog *prog, struct amount a, enum dtype dt)
{
    return a.e ? ex_cast(prog, a.e, dt) : ex_number(prog, dt, a.number);
}

static ex evaluate_load(struct evaluation *e, const struct term *t)
{
    struct opened *o = e->o;
    struct prog *prog = o->prog;
    const struct type *type = type_at(o, t->input);
    struct slot slot[RANK_MOST + 1];
    ex idx[RANK_MOST], guard = NULL, otherwise = NULL;
    spread(o, t->item, t->n, type->rank, slot);
    struct evaluation inner = {.o = o, .reader = e->reader};
    for (int i = 0; i < type->rank; i++) idx[i] = evaluate_position(&inner, slot[i].term, slot[i].position, type, i);
    if (t->otherwise) {
        enum dtype dt = value_dtype(o, t->input);
        guard = inner.guard ? inner.guard : ex_int(prog, DT_bool, 1);
        for (int i = 0; i < type->rank; i++) {
            guard = ex_binary(prog, EX_and, guard, ex_binary(prog, EX_le, ex_dim(prog, 0), idx[i]));
            guard = ex_binary(prog, EX_and, guard, ex_binary(prog, EX_lt, idx[i], ex_dim(prog, type->dim[i])));
        }
        if (ex_is_const(guard) && guard->imm) guard = NULL;
        else if (t->otherwise->kind == TERM_LEAST) otherwise = least_of(prog, dt);
        else otherwise = amount_as(prog, evaluate(e, t->otherwise), dt);
        if (guard && ex_is_const(guard)) return otherwise;
    }
    return e->reader->read(e->reader, o->node, t->input, idx, guard, otherwise);
}

static struct amount evaluate_call(struct evaluation *e, const struct term *t)
{
    struct prog *prog = e->o->prog;
    struct amount arg[3];
    enum dtype dt = DT_COUNT;
    for (int i = 0; i < t->n; i++) {
        arg[i] = evaluate(e, t->arg[i]);
        if (t->op == EX_select && i == 0) continue;
        if (arg[i].e && (dt == DT_COUNT || dt == DT_index)) dt = arg[i].e->dt;
    }
    if (dt == DT_COUNT) { /* numbers alone */
        if (t->op == EX_neg) return (struct amount){NULL, -arg[0].number};
        dt = t->op == EX_select ? DT_index : dtype_compute(e->o->node->out[0].type.dt);
    }
    if (t->op == EX_cast) return (struct amount){amount_as(prog, arg[0], value_dtype(e->o, -1)), 0};
    if (t->op == EX_bits) return (struct amount){ex_bits(prog, arg[0].e, value_dtype(e->o, -1)), 0};
    if (expr_is_dot(t->op))
        return (struct amount){ex_dot(prog, t->op, amount_as(prog, arg[0], dt), amount_as(prog, arg[1], dt), amount_as(prog, arg[2], dt)), 0};
    if (t->op == EX_select)
        return (struct amount){ex_select(prog, arg[0].e, amount_as(prog, arg[1], dt), amount_as(prog, arg[2], dt)), 0};
    if (t->n == 1) return (struct amount){ex_unary(prog, t->op, amount_as(prog, arg[0], dt)), 0};
    return (struct amount){ex_binary(prog, t->op, amount_as(prog, arg[0], dt), amount_as(prog, arg[1], dt)), 0};
}

static struct amount evaluate(struct evaluation *e, const struct term *t)
{
    struct opened *o = e->o;
    switch (t->kind) {
    case TERM_NUMBER: return (struct amount){NULL, t->number};
    case TERM_LEAST: return (struct amount){least_of(o->prog, dtype_compute(o->node->out[0].type.dt)), 0};
    case TERM_LOAD: return (struct amount){evaluate_load(e, t), 0};
    case TERM_CALL: return evaluate_call(e, t);
    case TERM_FLAT: {
        ex idx[RANK_MOST], at = letter_of(o, t->name)->at[0];
        ex direct = e->reader->read_flat ? e->reader->read_flat(e->reader, o->node, t->input, at) : NULL;
        if (direct) return (struct amount){direct, 0};
        type_unflatten(o->prog, type_at(o, t->input), at, idx);
        return (struct amount){e->reader->read(e->reader, o->node, t->input, idx, NULL, NULL), 0};
    }
    case TERM_ATTR: {
        const struct attr *attr = attr_of(o->node, t->name);
        if (attr->kind == ATTR_FLOAT) return (struct amount){NULL, attr->f};
        return (struct amount){attr_value(o, t, -1), 0};
    }
    case TERM_LETTER:
    case TERM_PICK:
    case TERM_EXTENT: return (struct amount){evaluate_index(o, t, -1, NULL, 0), 0};
    }
    bug("meaning", "term kind %d", (int)t->kind);
}

ex meaning_body(struct opened *opened, struct reader *reader)
{
    struct evaluation e = {.o = opened, .reader = reader};
    enum dtype dt = value_dtype(opened, -1);
    struct amount a = evaluate(&e, opened->meaning->right);
    if (opened->combine != EX_COUNT && a.e && a.e->dt == DT_index) return a.e;
    return amount_as(opened->prog, a, dt);
}

ex combine_start(struct prog *prog, enum expr_op combine, enum dtype dt)
{
    if (combine == EX_add) return ex_number(prog, dt, 0);
    if (combine == EX_mul) return ex_number(prog, dt, 1);
    if (combine == EX_max) return dt == DT_bool ? ex_int(prog, dt, 0) : least_of(prog, dt);
    if (dtype_is_float(dt)) return ex_float(prog, dt, __builtin_inf());
    return ex_int(prog, dt, dt == DT_index ? DIM_HUGE : (int64_t)dtype_int_max(dt));
}

static void start(struct prog *prog, const struct node *node, struct opened *o)
{
    *o = (struct opened){.prog = prog, .node = node, .meaning = meaning_of(prog, node)};
    o->combine = o->meaning->combine;
    o->n_letters = o->meaning->n_letters;
    for (int i = 0; i < o->n_letters; i++) {
        o->letter[i].name = o->meaning->letter[i].name;
        o->letter[i].many = o->meaning->letter[i].many;
        o->letter[i].n = o->letter[i].many ? -1 : 1;
    }
    solve_lengths(o);
}

bool meaning_is_split(const struct term *t, const struct term **high, const struct term **size, const struct term **low)
{
    if (t->kind != TERM_CALL || t->op != EX_add || t->arg[0]->kind != TERM_CALL || t->arg[0]->op != EX_mul) return false;
    *high = t->arg[0]->arg[0];
    *size = t->arg[0]->arg[1];
    *low = t->arg[1];
    return (*high)->kind == TERM_LETTER && (*low)->kind == TERM_LETTER;
}

static void bind(struct opened *o, const char *name, int at, ex value)
{
    struct letter *letter = letter_of(o, name);
    letter->at[at < 0 ? 0 : at] = value;
    letter->bound = true;
}

static void bind_left(struct opened *o, ex const *idx)
{
    const struct meaning *m = o->meaning;
    const struct type *type = &o->node->out[0].type;
    const struct term *high, *size, *low;
    struct slot slot[RANK_MOST + 1];
    if (m->flat) {
        bind(o, m->flat, 0, flat_position(o->prog, type, idx));
        return;
    }
    for (int i = 0; i < o->n_letters; i++) o->letter[i].bound |= o->letter[i].many && o->letter[i].n == 0;
    spread(o, m->left, m->n_left, type->rank, slot);
    for (int i = 0; i < type->rank; i++) {
        const struct term *t = slot[i].term;
        if (t->kind == TERM_LETTER) bind(o, t->name, slot[i].position, idx[i]);
        else if (t->kind == TERM_PICK) bind(o, t->name, (int)attr_of(o->node, t->attr)->ints[slot[i].position], idx[i]);
        else if (meaning_is_split(t, &high, &size, &low)) {
            ex n = evaluate_index(o, size, -1, NULL, 0);
            bind(o, high->name, 0, ex_binary(o->prog, EX_div, idx[i], n));
            bind(o, low->name, 0, ex_binary(o->prog, EX_mod, idx[i], n));
        } else bug("meaning", "left side of %s", op_row(o->node->op)->name);
    }
}

/* The extent of an unbound letter: from a clause, or from the axis it stands alone at. */
static bool extent_in(struct opened *o, const struct term *t, const char *name, int at, ex *extent)
{
    if (t->kind == TERM_CALL) {
        for (int i = 0; i < t->n; i++)
            if (extent_in(o, t->arg[i], name, at, extent)) return true;
        return false;
    }
    if (t->kind != TERM_LOAD) return false;
    const struct type *type = type_at(o, t->input);
    struct slot slot[RANK_MOST + 1];
    spread(o, t->item, t->n, type->rank, slot);
    for (int i = 0; i < type->rank; i++) {
        const struct term *s = slot[i].term;
        if (s->kind == TERM_LETTER && !strcmp(s->name, name) && (slot[i].position < 0 ? 0 : slot[i].position) == at) {
            *extent = ex_dim(o->prog, type->dim[i]);
            return true;
        }
        if (s->kind == TERM_LOAD && extent_in(o, s, name, at, extent)) return true;
    }
    return false;
}

static ex letter_extent(struct opened *o, const char *name, int at)
{
    const struct meaning *m = o->meaning;
    ex extent;
    for (int i = 0; i < m->n_clauses; i++)
        if (!m->clause[i].count && !strcmp(m->clause[i].letter, name))
            return evaluate_index(o, m->clause[i].term, at, NULL, 0);
    if (!extent_in(o, m->right, name, at, &extent)) bug("meaning", "%s: no extent for %s", op_row(o->node->op)->name, name);
    return extent;
}

static struct var *letter_variable(struct opened *o, const struct letter *letter, int at, ex extent)
{
    const char *name = !strcmp(letter->name, "*") ? "i" : letter->name;
    if (letter->many) name = arena_printf(o->prog->arena, "%s%d", name, at);
    return prog_index(o->prog, name, 0, dim_sub(o->prog->dims, extent->imm, 1));
}

int meaning_space(struct prog *prog, const struct node *node, struct var **vars, ex *subscripts)
{
    struct opened o;
    const struct type *type = &node->out[0].type;
    const struct term *high, *size, *low;
    struct slot slot[RANK_MOST + 1];
    int n = 0, n_blocks = 0;
    bool plain = !op_row(node->op)->meaning || op_row(node->op)->meaning[0];
    if (plain) start(prog, node, &o);
    if (plain && !o.meaning->flat) spread(&o, o.meaning->left, o.meaning->n_left, type->rank, slot);
    for (int i = 0; i < type->rank; i++) {
        const struct term *t = plain && !o.meaning->flat ? slot[i].term : NULL;
        if (t && meaning_is_split(t, &high, &size, &low)) {
            ex inner = evaluate_index(&o, size, -1, NULL, 0);
            struct var *block = letter_variable(&o, letter_of(&o, high->name), 0, letter_extent(&o, high->name, 0));
            vars[n + 1] = letter_variable(&o, letter_of(&o, low->name), 0, inner);
            subscripts[i] = ex_binary(prog, EX_add, ex_binary(prog, EX_mul, ex_var(prog, block), inner), ex_var(prog, vars[n + 1]));
            memmove(vars + n_blocks + 1, vars + n_blocks, (size_t)(n - n_blocks) * sizeof *vars);
            vars[n_blocks++] = block; /* blocks outermost: their weights stay in cache */
            n += 2;
            continue;
        }
        const char *name = t && t->kind == TERM_LETTER && strcmp(t->name, "*") ? t->name : "i";
        if (!t || slot[i].position >= 0) name = arena_printf(prog->arena, "%s%d", name, t ? slot[i].position : i);
        vars[n] = prog_index(prog, name, 0, dim_sub(prog->dims, type->dim[i], 1));
        subscripts[i] = ex_var(prog, vars[n++]);
    }
    return n;
}

void meaning_open(struct prog *prog, const struct node *node, ex const *idx, struct opened *opened)
{
    start(prog, node, opened);
    bind_left(opened, idx);
    for (int i = 0; i < opened->n_letters; i++) {
        struct letter *letter = &opened->letter[i];
        if (letter->bound) continue;
        letter->bound = true;
        for (int at = 0; at < letter->n; at++) {
            struct var *var = letter_variable(opened, letter, at, letter_extent(opened, letter->name, at));
            letter->at[at] = ex_var(prog, var);
            if (opened->n_reduce == LETTERS_MOST) bug("meaning", "too many letters to reduce over");
            opened->reduce[opened->n_reduce++] = var;
        }
    }
    if (opened->n_reduce && opened->combine == EX_COUNT) bug("meaning", "%s: free letters", op_row(node->op)->name);
}
