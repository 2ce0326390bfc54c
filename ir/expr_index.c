/* Index arithmetic in one form.
 *
 * A scalar index expression is taken apart into  konst + sum of coef[i]*atom[i]  with dim coefficients; atoms are
 * variables, loads, divisions, ... in order of making. Adding, multiplying and dividing work on that form and put
 * it back together, so i*28 + j*1 + 0 has one shape however it was written. Floor division splits off the terms
 * that divide exactly and drops a rest that provably lies in [0, divisor).
 */
#include "expr_index.h"

enum { TERMS_MOST = 48 };
struct linear {
    dim konst;
    int n;
    struct {
        ex atom;
        dim coef;
    } term[TERMS_MOST];
};

static bool linear_add(struct dims *dims, struct linear *sum, ex atom, dim coef)
{
    int i = 0;
    while (i < sum->n && sum->term[i].atom->id < atom->id) i++;
    if (i < sum->n && sum->term[i].atom == atom) {
        sum->term[i].coef = dim_add(dims, sum->term[i].coef, coef);
        if (sum->term[i].coef) return true;
        for (sum->n--; i < sum->n; i++) sum->term[i] = sum->term[i + 1];
        return true;
    }
    if (sum->n == TERMS_MOST) return false;
    for (int k = sum->n++; k > i; k--) sum->term[k] = sum->term[k - 1];
    sum->term[i].atom = atom;
    sum->term[i].coef = coef;
    return true;
}

/* sum += scale*e */
static bool linear_from(struct prog *prog, ex e, dim scale, struct linear *sum)
{
    struct dims *dims = prog->dims;
    if (scale == 0) return true;
    if (e->op == EX_const || e->op == EX_dim) {
        sum->konst = dim_add(dims, sum->konst, dim_mul(dims, scale, e->imm));
        return true;
    }
    if (e->op == EX_add) return linear_from(prog, e->arg[0], scale, sum) && linear_from(prog, e->arg[1], scale, sum);
    if (e->op == EX_mul && (e->arg[1]->op == EX_const || e->arg[1]->op == EX_dim))
        return linear_from(prog, e->arg[0], dim_mul(dims, scale, e->arg[1]->imm), sum);
    return linear_add(dims, sum, e, scale);
}

static ex plain(struct prog *prog, enum expr_op op, enum dtype dt, ex a, ex b)
{
    return expr_intern(prog, (struct expr){.op = op, .dt = dt, .lanes = 1, .arg = {a, b}});
}

static ex linear_to(struct prog *prog, const struct linear *sum)
{
    ex e = NULL;
    for (int i = 0; i < sum->n; i++) {
        ex term = sum->term[i].atom;
        if (sum->term[i].coef != 1) term = plain(prog, EX_mul, DT_index, term, ex_dim(prog, sum->term[i].coef));
        e = e ? plain(prog, EX_add, DT_index, e, term) : term;
    }
    if (!e) return ex_dim(prog, sum->konst);
    return sum->konst ? plain(prog, EX_add, DT_index, e, ex_dim(prog, sum->konst)) : e;
}

/* Bounds of konst + terms as dims; false where an atom's range or a coefficient's sign is unknown. */
static bool linear_range(struct prog *prog, const struct linear *sum, dim *lo, dim *hi)
{
    struct dims *dims = prog->dims;
    *lo = *hi = sum->konst;
    for (int i = 0; i < sum->n; i++) {
        dim l, h, coef = sum->term[i].coef;
        if (!ex_range(prog, sum->term[i].atom, &l, &h)) return false;
        bool up = dim_lo(dims, coef) >= 0;
        if (!up && dim_hi(dims, coef) > 0) return false;
        *lo = dim_add(dims, *lo, dim_mul(dims, coef, up ? l : h));
        *hi = dim_add(dims, *hi, dim_mul(dims, coef, up ? h : l));
    }
    return true;
}

static bool quotient_range(struct prog *prog, ex e, dim *lo, dim *hi)
{
    struct dims *dims = prog->dims;
    dim l, h, dl, dh;
    if (!ex_range(prog, e->arg[1], &dl, &dh) || dim_lo(dims, dl) < 1) return false;
    if (e->op == EX_mod) {
        *lo = 0;
        *hi = dim_sub(dims, dh, 1);
        return true;
    }
    if (!ex_range(prog, e->arg[0], &l, &h) || dl != dh) return false;
    *lo = dim_div(dims, l, dl);
    *hi = dim_div(dims, h, dl);
    return true;
}

bool ex_range(struct prog *prog, ex e, dim *lo, dim *hi)
{
    struct dims *dims = prog->dims;
    dim al, ah, bl, bh;
    if (e->dt != DT_index || e->lanes != 1) return false;
    switch (e->op) {
    case EX_const: case EX_dim:
        *lo = *hi = e->imm;
        return true;
    case EX_var:
        *lo = e->var->lo;
        *hi = e->var->hi;
        return !(e->var->lo == 1 && e->var->hi == 0);
    case EX_add: case EX_mul: {
        struct linear sum = {.n = 0};
        if (!linear_from(prog, e, 1, &sum)) return false;
        if (sum.n == 1 && sum.konst == 0 && sum.term[0].atom == e) return false; /* a product of two unknowns */
        return linear_range(prog, &sum, lo, hi);
    }
    case EX_div: case EX_mod: return quotient_range(prog, e, lo, hi);
    case EX_min: case EX_max: case EX_select: {
        int first = e->op == EX_select;
        if (!ex_range(prog, e->arg[first], &al, &ah) || !ex_range(prog, e->arg[first + 1], &bl, &bh)) return false;
        *lo = e->op == EX_max ? dim_max(dims, al, bl) : dim_min(dims, al, bl);
        *hi = e->op == EX_min ? dim_min(dims, ah, bh) : dim_max(dims, ah, bh);
        return true;
    }
    case EX_cast:
        if (e->arg[0]->dt == DT_bool || ((e->arg[0]->dt == DT_u8 || e->arg[0]->dt == DT_u16) && e->arg[0]->lanes == 1)) {
            *lo = 0;
            *hi = (dim)dtype_int_max(e->arg[0]->dt);
            return true;
        }
        return false;
    default: return false; /* not a switch over all kinds: everything else is simply unknown */
    }
}

/* Both known as dims: so is the result. NULL where op is no arithmetic, or b may be 0 in a modulus. */
static ex dims_binary(struct prog *prog, enum expr_op op, dim a, dim b)
{
    struct dims *dims = prog->dims;
    if (op == EX_div) return ex_dim(prog, dim_div(dims, a, b));
    if (op == EX_min) return ex_dim(prog, dim_min(dims, a, b));
    if (op == EX_max) return ex_dim(prog, dim_max(dims, a, b));
    if (op != EX_mod) return NULL;
    if (b == 0) return ex_dim(prog, 0);
    return dim_lo(dims, b) > 0 || dim_hi(dims, b) < 0 ? ex_dim(prog, dim_mod(dims, a, b)) : NULL;
}

static bool is_dim(ex e)
{
    return e->op == EX_const || e->op == EX_dim;
}

/* num div den and num mod den by taking out the terms that den divides. */
static ex divide(struct prog *prog, enum expr_op op, ex a, ex b)
{
    struct dims *dims = prog->dims;
    struct linear num = {.n = 0}, whole = {.n = 0}, rest = {.n = 0};
    if (b->op != EX_const && b->op != EX_dim) return NULL;
    dim den = b->imm, quotient;
    if (den == 1) return op == EX_div ? a : ex_dim(prog, 0);
    if (den == 0) return ex_dim(prog, 0);
    if (!linear_from(prog, a, 1, &num)) return NULL;
    if (dim_lo(dims, den) < 1) return NULL;
    for (int i = 0; i < num.n; i++) {
        bool divides = dim_divides(dims, num.term[i].coef, den, &quotient);
        if (divides) linear_add(dims, &whole, num.term[i].atom, quotient);
        else linear_add(dims, &rest, num.term[i].atom, num.term[i].coef);
    }
    if (dim_is_const(num.konst) && dim_is_const(den)) whole.konst = dim_div(dims, num.konst, den);
    else if (dim_divides(dims, num.konst, den, &quotient)) whole.konst = quotient;
    rest.konst = dim_sub(dims, num.konst, dim_mul(dims, whole.konst, den));
    dim lo, hi;
    bool known = linear_range(prog, &rest, &lo, &hi);
    if (known && dim_lo(dims, lo) >= 0 && dim_lt(dims, hi, den))
        return linear_to(prog, op == EX_div ? &whole : &rest);
    if (whole.n == 0 && whole.konst == 0) return NULL;
    ex left = linear_to(prog, &rest);
    ex part = is_dim(left) ? dims_binary(prog, op, left->imm, den) : plain(prog, op, DT_index, left, b);
    return op == EX_mod ? part : ex_binary(prog, EX_add, linear_to(prog, &whole), part);
}

/* (x div a) div b = x div (a*b);  (x mod (a*b)) div a stays;  (x mod (a*b)) mod a = x mod a */
static ex divide_nested(struct prog *prog, enum expr_op op, ex a, ex b)
{
    bool plain_b = b->op == EX_const || b->op == EX_dim;
    if (!plain_b || (a->op != EX_div && a->op != EX_mod)) return NULL;
    ex inner = a->arg[1];
    if (inner->op != EX_const && inner->op != EX_dim) return NULL;
    if (dim_lo(prog->dims, inner->imm) < 1 || dim_lo(prog->dims, b->imm) < 1) return NULL;
    dim quotient;
    if (op == EX_div && a->op == EX_div)
        return ex_binary(prog, EX_div, a->arg[0], ex_dim(prog, dim_mul(prog->dims, inner->imm, b->imm)));
    if (op == EX_mod && a->op == EX_mod && dim_divides(prog->dims, inner->imm, b->imm, &quotient))
        return ex_binary(prog, EX_mod, a->arg[0], b);
    return NULL;
}

static ex compare(struct prog *prog, enum expr_op op, ex a, ex b)
{
    struct dims *dims = prog->dims;
    struct linear difference = {.n = 0}; /* b - a */
    dim lo, hi;
    if (!linear_from(prog, b, 1, &difference) || !linear_from(prog, a, -1, &difference)) return NULL;
    if (!linear_range(prog, &difference, &lo, &hi)) return NULL;
    int64_t least = dim_lo(dims, lo), most = dim_hi(dims, hi), edge = op == EX_lt ? 1 : 0;
    if (op == EX_eq) {
        if (least == 0 && most == 0) return ex_int(prog, DT_bool, 1);
        return least > 0 || most < 0 ? ex_int(prog, DT_bool, 0) : NULL;
    }
    if (least >= edge) return ex_int(prog, DT_bool, 1);
    return most < edge ? ex_int(prog, DT_bool, 0) : NULL;
}

ex index_binary(struct prog *prog, enum expr_op op, ex a, ex b)
{
    struct linear sum = {.n = 0};
    ex nested = is_dim(a) && is_dim(b) ? dims_binary(prog, op, a->imm, b->imm) : NULL;
    if (nested) return nested;
    switch (op) {
    case EX_add:
    case EX_sub:
        if (!linear_from(prog, a, 1, &sum) || !linear_from(prog, b, op == EX_add ? 1 : -1, &sum))
            return op == EX_add ? NULL : plain(prog, EX_add, DT_index, a, plain(prog, EX_mul, DT_index, b, ex_dim(prog, -1)));
        return linear_to(prog, &sum);
    case EX_mul: {
        bool flip = a->op == EX_const || a->op == EX_dim;
        ex constant = flip ? a : b, other = flip ? b : a;
        if (constant->op != EX_const && constant->op != EX_dim) return NULL;
        return linear_from(prog, other, constant->imm, &sum) ? linear_to(prog, &sum) : NULL;
    }
    case EX_div:
    case EX_mod:
        nested = divide_nested(prog, op, a, b);
        return nested ? nested : divide(prog, op, a, b);
    case EX_min:
    case EX_max: {
        ex less = compare(prog, EX_le, a, b), more = compare(prog, EX_le, b, a);
        if (less && less->imm) return op == EX_min ? a : b;
        if (more && more->imm) return op == EX_min ? b : a;
        if ((a->op == EX_const || a->op == EX_dim) && (b->op == EX_const || b->op == EX_dim))
            return ex_dim(prog, op == EX_min ? dim_min(prog->dims, a->imm, b->imm) : dim_max(prog->dims, a->imm, b->imm));
        return NULL;
    }
    case EX_eq: case EX_lt: case EX_le: return compare(prog, op, a, b);
    default: return NULL; /* the rest has no simpler form on indices */
    }
}

bool ex_affine(struct prog *prog, ex e, struct var *var, dim *coef, ex *rest)
{
    struct linear sum = {.n = 0}, others = {.n = 0};
    *coef = 0;
    if (e->dt != DT_index || e->lanes != 1 || !linear_from(prog, e, 1, &sum)) return false;
    others.konst = sum.konst;
    for (int i = 0; i < sum.n; i++) {
        ex atom = sum.term[i].atom;
        if (atom->op == EX_var && atom->var == var) *coef = sum.term[i].coef;
        else if (ex_uses(atom, var)) return false;
        else linear_add(prog->dims, &others, atom, sum.term[i].coef);
    }
    *rest = linear_to(prog, &others);
    return true;
}
