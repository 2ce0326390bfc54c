/* Expressions and dims as text.  See prog_print.c for the form.
 *
 * Operators by strength: `|` `^` 1, `&` 2, `==` `<` `<=` 3, `+` `-` 4, `*` `/` `%` 5; everything else is written
 * as a function. A load with `else` binds weakest. The order of terms in an index sum is the builder's business
 * (it follows serial numbers), so the text has its own: by the outermost variable, then by the text of the term.
 */
#include "prog_print.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { RANK_NONE = INT_MAX, SHARED_SIZE = 12, HEIGHT_MOST = 40 };

bool ex_as_dim(ex e, dim *d)
{
    *d = e->imm;
    return e->dt == DT_index && e->lanes == 1 && (e->op == EX_const || e->op == EX_dim);
}

const char *print_var_name(const struct printer *p, const struct var *var)
{
    if (var->id < p->prog->next_var && p->var_name[var->id]) return p->var_name[var->id];
    return arena_printf(p->scratch, "?%s", var->name); /* used outside its scope: only in a broken program */
}

const char *print_buffer_name(const struct printer *p, const struct buffer *buf)
{
    if (buf->id < p->prog->next_buffer && p->buffer_name[buf->id]) return p->buffer_name[buf->id];
    return arena_printf(p->scratch, "?%s", buf->name);
}

void print_symbol(struct text *text, const char *name)
{
    if (print_is_name(name)) text_add(text, name);
    else text_quoted(text, name);
}

/* One term of a sum, a factor of a product or an argument, as text, with what it is sorted by. */
struct piece {
    int rank;
    int64_t coef;
    enum expr_op op;
    ex atom;
    const char *text;
};

static int order_text(const void *x, const void *y)
{
    const struct piece *a = x, *b = y;
    if (a->rank != b->rank) return a->rank < b->rank ? -1 : 1;
    return strcmp(a->text, b->text);
}

static void join_sum(struct text *text, const struct piece *piece, int n)
{
    for (int i = 0; i < n; i++) {
        const char *s = piece[i].text;
        if (i && *s == '-') text_add(text, " - "), s++;
        else if (i) text_add(text, " + ");
        text_add(text, s);
    }
}

static const char *dim_text(struct printer *p, dim d, bool tight)
{
    struct text text = {.arena = p->scratch};
    print_dim(p, &text, d, tight);
    return text_string(&text);
}

void print_dim(struct printer *p, struct text *text, dim d, bool tight)
{
    struct dim_view view;
    struct piece piece[64];
    dim_open(p->prog->dims, d, &view);
    bool wrap = tight && (view.kind == DIM_SUM || view.kind == DIM_DIV || view.kind == DIM_PRODUCT);
    if (view.kind == DIM_CONST) {
        text_printf(text, "%lld", (long long)d);
        return;
    }
    if (view.kind == DIM_SYMBOL) {
        print_symbol(text, dims_symbol(p->prog->dims, view.symbol)->name);
        return;
    }
    for (int i = 0; i < view.n; i++) {
        bool is_const = dim_is_const(view.part[i]), early = view.kind == DIM_PRODUCT;
        piece[i].rank = is_const == early ? 0 : 1; /* numbers come first in a product, last in a sum */
        piece[i].text = dim_text(p, view.part[i], view.kind == DIM_PRODUCT || view.kind == DIM_DIV);
    }
    if (view.kind != DIM_DIV) qsort(piece, (size_t)view.n, sizeof *piece, order_text);
    if (wrap) text_add(text, "(");
    if (view.kind == DIM_SUM) join_sum(text, piece, view.n);
    else {
        bool call = view.kind == DIM_MIN || view.kind == DIM_MAX;
        if (call) text_add(text, view.kind == DIM_MIN ? "min(" : "max(");
        int first = view.kind == DIM_PRODUCT && !strcmp(piece[0].text, "-1");
        if (first) text_add(text, "-");
        for (int i = first; i < view.n; i++)
            text_printf(text, "%s%s", i == first ? "" : call ? ", " : view.kind == DIM_DIV ? " / " : "*", piece[i].text);
        if (call) text_add(text, ")");
    }
    if (wrap) text_add(text, ")");
}

static void print_integer(struct text *text, enum dtype dt, int64_t v)
{
    if (dt == DT_bool) text_add(text, v ? "true" : "false");
    else if (dtype_class(dt) == DT_UNSIGNED) text_printf(text, "%llu", (unsigned long long)v);
    else text_printf(text, "%lld", (long long)v);
}

void print_element(struct text *text, enum dtype dt, const void *data)
{
    union {
        double f64;
        float f32;
        uint16_t u16;
        uint64_t u64;
    } v = {.u64 = 0};
    memcpy(&v, data, (size_t)dtype_bytes(dt));
    if (dt == DT_f64) text_double(text, v.f64, false);
    else if (dt == DT_f32) text_double(text, (double)v.f32, true);
    else if (dt == DT_f16) text_double(text, (double)f16_to_float(v.u16), true);
    else if (dt == DT_bf16) text_double(text, (double)bf16_to_float(v.u16), true);
    else {
        int shift = 64 - 8 * (int)dtype_bytes(dt); /* bytes lie little-endian; sign-extend */
        int64_t wide = (int64_t)(v.u64 << shift);
        print_integer(text, dt, dtype_class(dt) == DT_SIGNED ? wide >> shift : (int64_t)((uint64_t)wide >> shift));
    }
}

static void print_const(struct text *text, ex e)
{
    if (dtype_is_float(e->dt)) text_double(text, e->number, e->dt != DT_f64);
    else print_integer(text, e->dt, e->imm);
    if (e->dt != DT_f32 && e->dt != DT_index && e->dt != DT_bool) text_printf(text, ":%s", dtype_name(e->dt));
}

/* Scalar index sums and products by a dim are one n-ary thing in the text; these take them apart. */
static bool is_sum(ex e)
{
    return e->dt == DT_index && e->lanes == 1 && (e->op == EX_add || (e->op == EX_mul && ex_as_dim(e->arg[1], &(dim){0})));
}

typedef LIST(struct piece) piece_list;

static void take_apart(struct printer *p, ex e, dim scale, piece_list *list)
{
    dim d;
    if (ex_as_dim(e, &d) || !is_sum(e)) {
        struct piece piece = {.coef = scale, .op = e->op, .atom = e};
        LIST_PUSH(p->scratch, list, piece);
    } else if (e->op == EX_add) {
        take_apart(p, e->arg[0], scale, list);
        take_apart(p, e->arg[1], scale, list);
    } else {
        ex_as_dim(e->arg[1], &d);
        take_apart(p, e->arg[0], dim_mul(p->prog->dims, scale, d), list);
    }
}

/* Counts the paths to e and measures it. Returns its number in infos. */
static int measure(struct printer *p, ex e)
{
    int *known = expr_map_find(&p->shared, e);
    if (known) {
        p->infos.at[*known].uses++;
        return *known;
    }
    struct expr_info info = {.uses = 1, .size = 1, .height = 1, .rank = RANK_NONE};
    if (e->op == EX_var && e->var->id < p->prog->next_var) info.rank = p->var_order[e->var->id];
    piece_list parts = {.at = NULL};
    if (is_sum(e)) take_apart(p, e, 1, &parts);
    else
        for (int i = 0; i < 3; i++)
            if (e->arg[i]) {
                struct piece piece = {.atom = e->arg[i]};
                LIST_PUSH(p->scratch, &parts, piece);
            }
    for (int i = 0; i < parts.n; i++) {
        int at = measure(p, parts.at[i].atom); /* before infos.at is read: it may move */
        const struct expr_info *part = &p->infos.at[at];
        if (part->rank < info.rank) info.rank = part->rank;
        if (part->height >= info.height) info.height = part->height + 1;
        info.size = info.size + part->size > 1000000 ? 1000000 : info.size + part->size;
    }
    LIST_PUSH(p->scratch, &p->infos, info);
    expr_map_add(&p->shared, e, p->infos.n - 1);
    return p->infos.n - 1;
}

static bool wants_name(const struct expr_info *info)
{
    return (info->uses > 1 && info->size > SHARED_SIZE) || info->height % HEIGHT_MOST == 0;
}

static int stmt_exprs(const struct stmt *stmt, ex *list, int most)
{
    int n = 0;
    ex own[3] = {stmt->a, stmt->b, stmt->c};
    for (int i = 0; i < 3; i++)
        if (own[i] && n < most) list[n++] = own[i];
    for (int i = 0; i < stmt->n_args; i++)
        if (stmt->args[i].offset && n < most) list[n++] = stmt->args[i].offset;
    for (int i = 0; i < stmt->n_scalars && n < most; i++) list[n++] = stmt->scalars[i];
    return n;
}

void print_shared(struct printer *p, const struct stmt *stmt)
{
    int most = 3 + stmt->n_args + stmt->n_scalars;
    ex *list = NEW_ARRAY(p->scratch, ex, most);
    int n = stmt_exprs(stmt, list, most);
    bool any = false;
    expr_map_clear(&p->shared);
    p->infos.n = 0;
    for (int i = 0; i < n; i++) measure(p, list[i]);
    for (int i = 0; i < p->infos.n; i++) any |= wants_name(&p->infos.at[i]);
    if (!any) return;
    for (int i = 0; i < n; i++) { /* the text is thrown away: what stays are the definitions on the way */
        struct text text = {.arena = p->scratch};
        print_expr(p, &text, list[i], 0);
    }
}

static void print_bare(struct printer *p, struct text *text, ex e, int strength);

/* Defines e's `$` at its first use. */
static void print_definition(struct printer *p, ex e, int at)
{
    struct text text = {.arena = p->scratch};
    print_bare(p, &text, e, 0);
    p->infos.at[at].number = ++p->n_shared;
    for (int i = 0; i < p->depth; i++) text_add(p->text, "  ");
    text_printf(p->text, "with $%d = %s\n", p->n_shared, text_string(&text));
}

void print_expr(struct printer *p, struct text *text, ex e, int strength)
{
    const int *known = expr_map_find(&p->shared, e);
    if (known && wants_name(&p->infos.at[*known])) {
        int at = *known;
        if (!p->infos.at[at].number) print_definition(p, e, at);
        text_printf(text, "$%d", p->infos.at[at].number);
        return;
    }
    print_bare(p, text, e, strength);
}

static int order_piece(const void *x, const void *y)
{
    const struct piece *a = x, *b = y;
    if (a->rank != b->rank) return a->rank < b->rank ? -1 : 1;
    if (a->op != b->op) return a->op < b->op ? -1 : 1;
    return 0;
}

static void print_sum(struct printer *p, struct text *text, ex e, int strength)
{
    piece_list list = {.at = NULL};
    take_apart(p, e, 1, &list);
    for (int i = 0; i < list.n; i++) {
        const int *known = expr_map_find(&p->shared, list.at[i].atom);
        list.at[i].rank = list.at[i].op == EX_const ? RANK_NONE : known ? p->infos.at[*known].rank : RANK_NONE - 1;
        if (list.at[i].op == EX_dim) list.at[i].rank = RANK_NONE - 1;
    }
    qsort(list.at, (size_t)list.n, sizeof *list.at, order_piece);
    int n = list.n;
    for (int i = 0; i < n; i++) {
        struct piece *piece = &list.at[i];
        struct text term = {.arena = p->scratch};
        bool single = n == 1 || piece->coef != 1;
        if (piece->coef == -1) text_add(&term, "-");
        else if (piece->coef != 1) text_printf(&term, "%s*", dim_text(p, piece->coef, true));
        if (ex_as_dim(piece->atom, &(dim){0}) && !single) print_dim(p, &term, piece->atom->imm, false);
        else print_expr(p, &term, piece->atom, single ? 6 : 5);
        bool negative_inside = piece->coef == 1 && text_string(&term)[0] == '-' && piece->op != EX_const && piece->op != EX_dim;
        piece->text = negative_inside ? arena_printf(p->scratch, "(%s)", text_string(&term)) : text_string(&term);
    }
    qsort(list.at, (size_t)n, sizeof *list.at, order_text);
    bool wrap = strength > (n == 1 ? 5 : 4);
    if (wrap) text_add(text, "(");
    join_sum(text, list.at, n);
    if (wrap) text_add(text, ")");
}

static void print_load(struct printer *p, struct text *text, ex e, int strength)
{
    bool wrap = strength > 0 && e->arg[2];
    if (wrap) text_add(text, "(");
    text_add(text, "load");
    if (e->lanes > 1) text_printf(text, ".%sx%d", dtype_name(e->dt), e->lanes);
    else if (e->dt != e->buf->dt) text_printf(text, ".%s", dtype_name(e->dt));
    text_printf(text, " %s[", print_buffer_name(p, e->buf));
    print_expr(p, text, e->arg[0], 0);
    if (e->lanes > 1 && e->imm != 1) text_printf(text, " by %lld", (long long)e->imm);
    if (e->arg[1]) {
        text_add(text, e->masked ? " first " : " if ");
        print_expr(p, text, e->arg[1], 0);
    }
    text_add(text, "]");
    if (e->arg[2]) {
        text_add(text, " else ");
        print_expr(p, text, e->arg[2], 0);
    }
    if (wrap) text_add(text, ")");
}

/* The operator and its strength, NULL for what is written as a function. */
static const char *operator_of(enum expr_op op, int *strength)
{
    static const struct {
        enum expr_op op;
        int strength;
        const char *sign;
    } row[] = {{EX_or, 1, " | "}, {EX_xor, 1, " ^ "}, {EX_and, 2, " & "}, {EX_eq, 3, " == "}, {EX_lt, 3, " < "},
               {EX_le, 3, " <= "}, {EX_add, 4, " + "}, {EX_sub, 4, " - "}, {EX_mul, 5, "*"}, {EX_div, 5, " / "}, {EX_mod, 5, " % "}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        if (row[i].op == op) {
            *strength = row[i].strength;
            return row[i].sign;
        }
    return NULL;
}

static void print_call_form(struct printer *p, struct text *text, ex e)
{
    text_add(text, "(");
    for (int i = 0; i < 3 && e->arg[i]; i++) {
        if (i) text_add(text, ", ");
        print_expr(p, text, e->arg[i], 0);
    }
    if (e->op == EX_ramp && e->imm != 1) text_printf(text, ", %lld", (long long)e->imm);
    text_add(text, ")");
}

static void print_operation(struct printer *p, struct text *text, ex e, int strength)
{
    int own = 0;
    const char *sign = operator_of(e->op, &own);
    if (!sign) {
        text_add(text, expr_row(e->op)->name);
        print_call_form(p, text, e);
        return;
    }
    bool wrap = strength > own;
    if (wrap) text_add(text, "(");
    print_expr(p, text, e->arg[0], own == 3 ? 4 : own);
    text_add(text, sign);
    print_expr(p, text, e->arg[1], own + 1);
    if (wrap) text_add(text, ")");
}

static void print_bare(struct printer *p, struct text *text, ex e, int strength)
{
    if (is_sum(e)) {
        print_sum(p, text, e, strength);
        return;
    }
    switch (e->op) {
    case EX_const: print_const(text, e); break;
    case EX_dim: print_dim(p, text, e->imm, strength > 4); break;
    case EX_var: text_add(text, print_var_name(p, e->var)); break;
    case EX_load: print_load(p, text, e, strength); break;
    case EX_cast:
        text_add(text, dtype_name(e->dt));
        print_call_form(p, text, e);
        break;
    case EX_bits:
        text_printf(text, "bits.%s", dtype_name(e->dt));
        print_call_form(p, text, e);
        break;
    case EX_splat: case EX_ramp:
        text_printf(text, "%s%d", expr_row(e->op)->name, e->lanes);
        print_call_form(p, text, e);
        break;
    case EX_add: case EX_sub: case EX_mul: case EX_div: case EX_mod: case EX_rem: case EX_min: case EX_max:
    case EX_pow: case EX_fma: case EX_dot4: case EX_dot4_sat: case EX_dot2: case EX_and: case EX_or: case EX_xor: case EX_not: case EX_shl: case EX_shr:
    case EX_neg: case EX_abs: case EX_floor: case EX_ceil: case EX_round: case EX_trunc: case EX_sqrt: case EX_exp:
    case EX_log: case EX_sin: case EX_cos: case EX_tan: case EX_asin: case EX_acos: case EX_atan: case EX_sinh:
    case EX_cosh: case EX_tanh: case EX_asinh: case EX_acosh: case EX_atanh: case EX_erf: case EX_sigmoid: case EX_eq:
    case EX_lt: case EX_le: case EX_is_nan: case EX_is_inf: case EX_select: case EX_hadd: case EX_hmul: case EX_hmin:
    case EX_hmax: case EX_pack: case EX_from_f16: case EX_to_f16: print_operation(p, text, e, strength); break;
    case EX_COUNT: break;
    }
}
