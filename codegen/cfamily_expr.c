/* Expressions in C-like languages: constants, operators, helper calls, masks. Read cfamily.h first, then
 * cfamily_share.c.
 */
#include "cfamily.h"

#include <math.h>
#include <string.h>

const char *cfamily_helper_word(int h, enum dtype dt)
{
    if (h < EX_COUNT && dt == DT_index && (h == EX_div || h == EX_mod)) return h == EX_div ? "floor_div" : "floor_mod";
    if (h < EX_COUNT) return expr_row((enum expr_op)h)->name;
    switch ((enum helper)h) {
    case HELPER_LOAD_STRIDED: return "load_strided";
    case HELPER_LOAD_FIRST: return "load_first";
    case HELPER_STORE: return "store";
    case HELPER_STORE_STRIDED: return "store_strided";
    case HELPER_STORE_FIRST: return "store_first";
    case HELPER_STORE_STRIDED_FIRST: return "store_strided_first";
    case HELPER_MIN_NUMBER: return "min_number";
    case HELPER_MAX_NUMBER: return "max_number";
    case HELPER_WORD: return "word";
    case HELPER_TYPE:
    case HELPER_COUNT: break;
    }
    bug("cfamily", "helper %d has no name", h);
}

static void call_into(struct cfamily *printer, struct text *out, int h, enum dtype dt, int lanes)
{
    text_printf(out, "%s%s_%s(", printer->helper_prefix, cfamily_helper_word(h, dt), cfamily_need(printer, h, dt, dt, lanes));
}

static void call(struct cfamily *printer, int h, enum dtype dt, int lanes)
{
    call_into(printer, printer->out, h, dt, lanes);
}

/* Symbolic dims as index arithmetic, symbols by the names given. */
void cfamily_dim(struct cfamily *printer, struct text *out, dim d, const char *const *symbol, int precedence)
{
    struct dims *dims = printer->prog->dims;
    struct dim_view view;
    dim_open(dims, d, &view);
    switch (view.kind) {
    case DIM_CONST: text_printf(out, d < 0 && precedence > PREC_ADD ? "(%lld)" : "%lld", (long long)d); return;
    case DIM_SYMBOL: text_add(out, symbol[view.symbol]); return;
    case DIM_SUM:
    case DIM_PRODUCT: {
        int own = view.kind == DIM_SUM ? PREC_ADD : PREC_MUL;
        if (own < precedence) text_add(out, "(");
        for (int i = 0; i < view.n; i++) {
            if (i) text_add(out, own == PREC_ADD ? " + " : "*");
            cfamily_dim(printer, out, view.part[i], symbol, own + 1);
        }
        if (own < precedence) text_add(out, ")");
        return;
    }
    case DIM_DIV: {
        bool plain = dim_lo(dims, view.part[0]) >= 0 && dim_lo(dims, view.part[1]) > 0;
        if (plain && precedence > PREC_MUL) text_add(out, "(");
        if (!plain) call_into(printer, out, EX_div, DT_index, 1);
        cfamily_dim(printer, out, view.part[0], symbol, plain ? PREC_MUL : 0);
        text_add(out, plain ? "/" : ", ");
        cfamily_dim(printer, out, view.part[1], symbol, plain ? PREC_UNARY : 0);
        if (!plain || precedence > PREC_MUL) text_add(out, ")");
        return;
    }
    case DIM_MIN:
    case DIM_MAX:
        call_into(printer, out, view.kind == DIM_MIN ? EX_min : EX_max, DT_i64, 1);
        cfamily_dim(printer, out, view.part[0], symbol, 0);
        text_add(out, ", ");
        cfamily_dim(printer, out, view.part[1], symbol, 0);
        text_add(out, ")");
        return;
    }
}

static void put_constant(struct cfamily *printer, ex e, int precedence)
{
    struct text *out = printer->out;
    if (dtype_is_float(e->dt)) {
        bool single = e->dt != DT_f64, negative = signbit(e->number) != 0 && !isnan(e->number);
        if (negative && precedence > PREC_UNARY) text_add(out, "(");
        if (isnan(e->number)) text_add(out, printer->dialect->nan);
        else if (isinf(e->number)) text_printf(out, "%s%s", negative ? "-" : "", printer->dialect->infinity);
        else {
            text_double(out, e->number, single);
            if (single) text_add(out, "f");
        }
        if (negative && precedence > PREC_UNARY) text_add(out, ")");
        return;
    }
    long long v = (long long)e->imm;
    if (e->dt == DT_bool) text_add(out, v ? "true" : "false");
    else if (e->dt == DT_u64) text_printf(out, "UINT64_C(%llu)", (unsigned long long)v);
    else if (e->dt == DT_u32) text_printf(out, "%lluu", (unsigned long long)v & 0xffffffffu);
    else if (v == INT64_MIN) text_add(out, "INT64_MIN");
    else if (e->dt == DT_i32 && v == INT32_MIN) text_add(out, "INT32_MIN");
    else if (v > INT32_MAX || v < -INT32_MAX) text_printf(out, "INT64_C(%lld)", v);
    else text_printf(out, v < 0 && precedence > PREC_UNARY ? "(%lld)" : "%lld", v);
}

static void put_args(struct cfamily *printer, ex const *arg, int n)
{
    for (int i = 0; i < n; i++) {
        if (i) text_add(printer->out, ", ");
        cfamily_expr(printer, arg[i], PREC_TERNARY);
    }
    text_add(printer->out, ")");
}

static void put_infix(struct cfamily *printer, ex a, const char *sign, ex b, int own, int left, int precedence)
{
    if (own < precedence) text_add(printer->out, "(");
    cfamily_expr(printer, a, left);
    text_add(printer->out, sign);
    cfamily_expr(printer, b, own + 1);
    if (own < precedence) text_add(printer->out, ")");
}

/* Index sums: "a + 4*b - 3"; the builder puts coefficients and constants second. */
static void put_index_sum(struct cfamily *printer, ex e, int precedence)
{
    struct text *out = printer->out;
    ex b = e->arg[1];
    if (precedence > PREC_ADD) text_add(out, "(");
    cfamily_expr(printer, e->arg[0], PREC_ADD);
    if (b->op == EX_const && b->imm < 0 && b->imm > INT64_MIN) text_printf(out, " - %lld", -(long long)b->imm);
    else if (b->op == EX_mul && b->arg[1]->op == EX_const && b->arg[1]->imm < 0 && b->arg[1]->imm > INT64_MIN) {
        text_add(out, " - ");
        if (b->arg[1]->imm != -1) text_printf(out, "%lld*", -(long long)b->arg[1]->imm);
        cfamily_expr(printer, b->arg[0], PREC_UNARY);
    } else {
        text_add(out, " + ");
        cfamily_expr(printer, b, PREC_ADD + 1);
    }
    if (precedence > PREC_ADD) text_add(out, ")");
}

static bool never_negative(struct cfamily *printer, ex a, ex b)
{
    dim lo, hi, below, above;
    struct dims *dims = printer->prog->dims;
    return ex_range(printer->prog, a, &lo, &hi) && dim_lo(dims, lo) >= 0 &&
           ex_range(printer->prog, b, &below, &above) && dim_lo(dims, below) > 0;
}

static void put_index(struct cfamily *printer, ex e, int precedence)
{
    switch (e->op) {
    case EX_add: put_index_sum(printer, e, precedence); return;
    case EX_sub: put_infix(printer, e->arg[0], " - ", e->arg[1], PREC_ADD, PREC_ADD, precedence); return;
    case EX_mul: put_infix(printer, e->arg[1], "*", e->arg[0], PREC_MUL, PREC_MUL, precedence); return;
    default: break; /* div and mod */
    }
    if (never_negative(printer, e->arg[0], e->arg[1])) {
        put_infix(printer, e->arg[0], e->op == EX_div ? "/" : "%", e->arg[1], PREC_MUL, PREC_MUL, precedence);
        return;
    }
    call(printer, (int)e->op, DT_index, 1);
    put_args(printer, e->arg, 2);
}

static bool is_number_constant(ex e)
{
    while (e->op == EX_splat) e = e->arg[0];
    return e->op == EX_const && !isnan(e->number);
}

/* add .. xor of values that are not bool */
static void put_binary(struct cfamily *printer, ex e, int precedence)
{
    static const char *const sign[] = {[EX_add] = " + ", [EX_sub] = " - ", [EX_mul] = "*",  [EX_div] = "/",
                                       [EX_and] = " & ", [EX_or] = " | ",  [EX_xor] = " ^ "};
    bool is_float = dtype_is_float(e->dt), index = e->dt == DT_index && e->lanes == 1;
    bool arithmetic = e->op == EX_add || e->op == EX_sub || e->op == EX_mul || e->op == EX_div;
    if (index && (arithmetic || e->op == EX_mod)) {
        put_index(printer, e, precedence);
    } else if (arithmetic && (is_float || (e->dt == DT_index && e->op != EX_div))) {
        bool sum = e->op == EX_add || e->op == EX_sub;
        put_infix(printer, e->arg[0], sign[e->op], e->arg[1], sum ? PREC_ADD : PREC_MUL, sum ? PREC_ADD : PREC_MUL,
                  precedence);
    } else if (e->op == EX_and || e->op == EX_or || e->op == EX_xor) {
        bool narrow = e->lanes == 1 && dtype_bytes(e->dt) < 4;
        if (narrow) text_printf(printer->out, "(%s)", printer->dialect->scalar[e->dt]);
        put_infix(printer, e->arg[0], sign[e->op], e->arg[1], PREC_BITS, PREC_UNARY,
                  narrow ? PREC_POSTFIX : precedence);
    } else if (is_float && (e->op == EX_min || e->op == EX_max) &&
               (is_number_constant(e->arg[0]) || is_number_constant(e->arg[1]))) {
        bool second = is_number_constant(e->arg[1]);
        call(printer, e->op == EX_min ? HELPER_MIN_NUMBER : HELPER_MAX_NUMBER, e->dt, e->lanes);
        put_args(printer, (ex[]){e->arg[!second], e->arg[second]}, 2);
    } else {
        call(printer, (int)e->op, e->dt, e->lanes);
        put_args(printer, e->arg, 2);
    }
}

/* scalar bool: operators of C */
static void put_logic(struct cfamily *printer, ex e, int precedence)
{
    switch (e->op) {
    case EX_and:
    case EX_min:
    case EX_mul: put_infix(printer, e->arg[0], " && ", e->arg[1], PREC_AND, PREC_AND, precedence); return;
    case EX_or:
    case EX_max:
    case EX_add:
        if (precedence > PREC_OR) text_add(printer->out, "(");
        cfamily_expr(printer, e->arg[0], e->arg[0]->op == e->op ? PREC_OR : PREC_EQUAL);
        text_add(printer->out, " || ");
        cfamily_expr(printer, e->arg[1], PREC_EQUAL);
        if (precedence > PREC_OR) text_add(printer->out, ")");
        return;
    case EX_xor: put_infix(printer, e->arg[0], " != ", e->arg[1], PREC_EQUAL, PREC_UNARY, precedence); return;
    case EX_not:
        text_add(printer->out, "!");
        cfamily_expr(printer, e->arg[0], PREC_UNARY);
        return;
    default: bug("cfamily", "%s of bool", expr_row(e->op)->name);
    }
}

static void put_compare(struct cfamily *printer, ex e, int precedence)
{
    const char *sign = e->op == EX_eq ? " == " : e->op == EX_lt ? " < " : " <= ";
    int own = e->op == EX_eq ? PREC_EQUAL : PREC_LESS;
    bool logic = e->arg[0]->dt == DT_bool; /* as integers */
    if (own < precedence) text_add(printer->out, "(");
    if (logic) text_add(printer->out, "(int)");
    cfamily_expr(printer, e->arg[0], logic ? PREC_POSTFIX : PREC_ADD);
    text_add(printer->out, sign);
    if (logic) text_add(printer->out, "(int)");
    cfamily_expr(printer, e->arg[1], logic ? PREC_POSTFIX : PREC_ADD);
    if (own < precedence) text_add(printer->out, ")");
}

static void put_bits_of(struct cfamily *printer, enum dtype to, enum dtype from, int lanes)
{
    const char *suffix = cfamily_need(printer, EX_bits, to, from, lanes);
    text_printf(printer->out, "bits_%s_", suffix);
    text_printf(printer->out, "%s(", cfamily_type(printer, from, lanes));
}

static void put_load(struct cfamily *printer, ex e, int precedence)
{
    struct text *out = printer->out;
    const char *buf = cfamily_buffer(printer, e->buf);
    enum dtype dt = dtype_is_half(e->buf->dt) ? DT_u16 : e->buf->dt;
    bool other = dt != e->dt, guarded = e->lanes == 1 && e->arg[1], wrapped = guarded && precedence > PREC_TERNARY;
    if (guarded) {
        if (wrapped) text_add(out, "(");
        cfamily_expr(printer, e->arg[1], PREC_OR);
        text_add(out, " ? ");
        precedence = PREC_OR;
    }
    if (other) put_bits_of(printer, e->dt, dt, e->lanes);
    if (e->lanes == 1) {
        bool logic = dt == DT_bool, wrap = logic && PREC_EQUAL < precedence;
        text_printf(out, "%s%s[", wrap ? "(" : "", buf);
        cfamily_expr(printer, e->arg[0], 0);
        text_printf(out, "]%s%s", logic ? " != 0" : "", wrap ? ")" : "");
    } else {
        if (e->arg[1] && !e->masked) bug("cfamily", "a guarded vector load of %s", e->buf->name);
        int h = e->imm == 1 ? EX_load : HELPER_LOAD_STRIDED;
        if (e->masked && e->imm != 1) bug("cfamily", "a strided load of %s with a count", e->buf->name);
        if (e->masked) h = HELPER_LOAD_FIRST;
        call(printer, h, dt, e->lanes);
        text_printf(out, "%s", buf);
        if (!ex_is_int(e->arg[0], 0)) {
            text_add(out, " + ");
            cfamily_expr(printer, e->arg[0], PREC_ADD + (e->arg[0]->op != EX_add));
        }
        if (e->imm != 1) text_printf(out, ", %lld", (long long)e->imm);
        if (e->masked) {
            text_add(out, ", ");
            cfamily_expr(printer, e->arg[1], PREC_TERNARY);
            text_add(out, ", ");
            ex none = e->arg[2] ? e->arg[2] : ex_number(printer->prog, e->dt, 0);
            if (e->dt == DT_bool) cfamily_mask(printer, ex_splat(printer->prog, none, e->lanes), 1, PREC_TERNARY);
            else cfamily_expr(printer, ex_splat(printer->prog, none, e->lanes), PREC_TERNARY);
        }
        text_add(out, ")");
    }
    if (other) text_add(out, ")");
    if (guarded) {
        text_add(out, " : ");
        cfamily_expr(printer, e->arg[2] ? e->arg[2] : ex_number(printer->prog, e->dt, 0), PREC_TERNARY);
        if (wrapped) text_add(out, ")");
    }
}

static void put_cast(struct cfamily *printer, ex e, int precedence)
{
    ex a = e->arg[0];
    enum dtype from = a->dt;
    struct text *out = printer->out;
    if (e->lanes > 1 && from == DT_bool) {
        cfamily_expr(
            printer,
            ex_select(printer->prog, a, ex_number(printer->prog, e->dt, 1), ex_number(printer->prog, e->dt, 0)),
            precedence);
        return;
    }
    bool saturates = dtype_is_float(from) && !dtype_is_float(e->dt);
    bool same = dtype_bytes(e->dt) == 8 && dtype_bytes(from) == 8 && !dtype_is_float(e->dt) && !dtype_is_float(from) &&
                dtype_class(e->dt) == dtype_class(from);
    if (same) { /* index and i64 */
        cfamily_expr(printer, a, precedence);
    } else if (e->lanes == 1 && e->dt == DT_bool) {
        if (precedence > PREC_EQUAL) text_add(out, "(");
        cfamily_expr(printer, a, PREC_LESS);
        text_add(out, " != 0");
        if (precedence > PREC_EQUAL) text_add(out, ")");
    } else if (e->lanes == 1 && !saturates) {
        if (precedence > PREC_UNARY) text_add(out, "(");
        text_printf(out, "(%s)", printer->dialect->scalar[e->dt]);
        cfamily_expr(printer, a, PREC_UNARY);
        if (precedence > PREC_UNARY) text_add(out, ")");
    } else {
        text_printf(out, "%s_from_", cfamily_need(printer, EX_cast, e->dt, from, e->lanes));
        text_printf(out, "%s(", cfamily_type(printer, from, e->lanes));
        put_args(printer, &a, 1);
    }
}

/* c < x ? x : c and x < c ? x : c of floats, c a constant: one instruction, which gives c for NaN as well. */
static bool put_bound(struct cfamily *printer, ex e)
{
    ex less = e->arg[0], x = e->arg[1], bound = e->arg[2];
    if (less->op != EX_lt || !dtype_is_float(e->dt) || !is_number_constant(bound)) return false;
    bool low = less->arg[0] == bound && less->arg[1] == x, high = less->arg[0] == x && less->arg[1] == bound;
    if (!low && !high) return false;
    call(printer, low ? HELPER_MAX_NUMBER : HELPER_MIN_NUMBER, e->dt, e->lanes);
    put_args(printer, (ex[]){bound, x}, 2);
    return true;
}

static void put_select(struct cfamily *printer, ex e, int precedence)
{
    struct text *out = printer->out;
    ex c = e->arg[0];
    if (put_bound(printer, e)) return;
    if (c->op == EX_splat) c = c->arg[0];
    if (c->lanes == 1) {
        bool narrow = e->lanes == 1 && dtype_bytes(e->dt) < 4 && e->dt != DT_bool;
        if (narrow) text_printf(out, "(%s)", printer->dialect->scalar[e->dt]);
        if (narrow || precedence > PREC_TERNARY) text_add(out, "(");
        cfamily_expr(printer, c, PREC_OR);
        text_add(out, " ? ");
        cfamily_expr(printer, e->arg[1], PREC_OR);
        text_add(out, " : ");
        cfamily_expr(printer, e->arg[2], PREC_OR);
        if (narrow || precedence > PREC_TERNARY) text_add(out, ")");
        return;
    }
    call(printer, EX_select, e->dt, e->lanes);
    cfamily_mask(printer, c, (int)dtype_bytes(e->dt), PREC_TERNARY);
    text_add(out, ", ");
    put_args(printer, e->arg + 1, 2);
}

/* the same mask with `bytes` per lane */
static void put_widened(struct cfamily *printer, int from, int bytes, int lanes)
{
    enum dtype to = cfamily_mask_type(bytes), have = cfamily_mask_type(from);
    text_printf(printer->out, "%s_from_", cfamily_need(printer, EX_cast, to, have, lanes));
    text_printf(printer->out, "%s(", cfamily_type(printer, have, lanes));
}

static void put_mask_compare(struct cfamily *printer, ex e, int bytes)
{
    struct text *out = printer->out;
    if (e->arg[0]->dt == DT_bool) { /* a == b: ~(a ^ b); a < b: ~a & b; a <= b: ~a | b */
        text_add(out, e->op == EX_eq ? "~(" : "(~");
        cfamily_mask(printer, e->arg[0], bytes, PREC_UNARY);
        text_add(out, e->op == EX_eq ? " ^ " : e->op == EX_lt ? " & " : " | ");
        cfamily_mask(printer, e->arg[1], bytes, PREC_UNARY);
        text_add(out, ")");
        return;
    }
    text_printf(out, "(%s)", cfamily_vector(printer, cfamily_mask_type(bytes), e->lanes));
    text_add(out, "(");
    cfamily_expr(printer, e->arg[0], PREC_ADD);
    text_add(out, e->op == EX_eq ? " == " : e->op == EX_lt ? " < " : " <= ");
    cfamily_expr(printer, e->arg[1], PREC_ADD);
    text_add(out, ")");
}

/* e at its own width, or at `bytes` where it has none */
static void put_mask(struct cfamily *printer, ex e, int bytes)
{
    struct text *out = printer->out;
    enum dtype type = cfamily_mask_type(bytes);
    switch (e->op) {
    case EX_eq:
    case EX_lt:
    case EX_le: put_mask_compare(printer, e, bytes); return;
    case EX_and:
    case EX_or:
    case EX_xor:
    case EX_min:
    case EX_max:
        text_add(out, "(");
        cfamily_mask(printer, e->arg[0], bytes, PREC_UNARY);
        text_add(out, e->op == EX_and || e->op == EX_min ? " & " : e->op == EX_xor ? " ^ " : " | ");
        cfamily_mask(printer, e->arg[1], bytes, PREC_UNARY);
        text_add(out, ")");
        return;
    case EX_not:
        text_add(out, "~");
        cfamily_mask(printer, e->arg[0], bytes, PREC_UNARY);
        return;
    case EX_select:
        call(printer, EX_select, type, e->lanes);
        for (int i = 0; i < 3; i++) {
            if (i) text_add(out, ", ");
            cfamily_mask(printer, e->arg[i], bytes, PREC_TERNARY);
        }
        text_add(out, ")");
        return;
    case EX_splat:
        call(printer, EX_splat, type, e->lanes);
        cfamily_expr(printer, e->arg[0], PREC_OR);
        text_add(out, " ? -1 : 0)");
        return;
    case EX_cast:
        text_printf(out, "(%s)", cfamily_vector(printer, type, e->lanes));
        text_add(out, "(");
        cfamily_expr(printer, e->arg[0], PREC_ADD);
        text_add(out, " != ");
        cfamily_expr(printer, ex_splat(printer->prog, ex_number(printer->prog, e->arg[0]->dt, 0), e->lanes), PREC_ADD);
        text_add(out, ")");
        return;
    case EX_is_nan:
    case EX_is_inf:
        call(printer, (int)e->op, e->arg[0]->dt, e->lanes);
        put_args(printer, e->arg, 1);
        return;
    case EX_load: put_load(printer, e, PREC_UNARY); return;
    case EX_var: text_add(out, printer->var_name[e->var->id]); return;
    default: bug("cfamily", "%s as a vector of bool", expr_row(e->op)->name);
    }
}

void cfamily_mask(struct cfamily *printer, ex e, int bytes, int precedence)
{
    const char *temporary = cfamily_temporary(printer, e);
    int own = cfamily_mask_bytes(printer, e);
    (void)precedence; /* every form above is a unary or postfix one */
    if (own == 0) own = temporary ? 1 : bytes;
    if (own != bytes) put_widened(printer, own, bytes, e->lanes);
    if (temporary) text_add(printer->out, temporary);
    else put_mask(printer, e, own);
    if (own != bytes) text_add(printer->out, ")");
}

void cfamily_expr(struct cfamily *printer, ex e, int precedence)
{
    struct text *out = printer->out;
    const char *temporary = cfamily_temporary(printer, e);
    bool logic = e->dt == DT_bool;
    if (temporary) {
        text_add(out, temporary);
        return;
    }
    if (logic && e->lanes > 1) bug("cfamily", "a vector of bool (%s) used as a value", expr_row(e->op)->name);
    switch (e->op) {
    case EX_const: put_constant(printer, e, precedence); return;
    case EX_var:
        if (!printer->var_name[e->var->id]) bug("cfamily", "variable %s is not in scope", e->var->name);
        text_add(out, printer->var_name[e->var->id]);
        return;
    case EX_dim: cfamily_dim(printer, out, e->imm, printer->symbol_name, precedence); return;
    case EX_load: put_load(printer, e, precedence); return;
    case EX_add:
    case EX_sub:
    case EX_mul:
    case EX_div:
    case EX_mod:
    case EX_rem:
    case EX_min:
    case EX_max:
    case EX_pow:
    case EX_and:
    case EX_or:
    case EX_xor:
    case EX_shl:
    case EX_shr:
        if (logic) put_logic(printer, e, precedence);
        else put_binary(printer, e, precedence);
        return;
    case EX_not:
        if (logic) {
            put_logic(printer, e, precedence);
            return;
        }
        if (e->lanes == 1 && dtype_bytes(e->dt) < 4) text_printf(out, "(%s)", printer->dialect->scalar[e->dt]);
        text_add(out, "~");
        cfamily_expr(printer, e->arg[0], PREC_UNARY);
        return;
    case EX_neg:
        if (dtype_is_float(e->dt) || e->dt == DT_index) {
            if (precedence > PREC_UNARY) text_add(out, "(");
            text_add(out, "-");
            cfamily_expr(printer, e->arg[0], PREC_POSTFIX);
            if (precedence > PREC_UNARY) text_add(out, ")");
            return;
        }
        call(printer, (int)e->op, e->dt, e->lanes);
        put_args(printer, e->arg, 1);
        return;
    case EX_abs:
    case EX_floor:
    case EX_ceil:
    case EX_round:
    case EX_trunc:
    case EX_sqrt:
    case EX_from_f16:
    case EX_to_f16:
        call(printer, (int)e->op, e->dt, e->lanes);
        put_args(printer, e->arg, 1);
        return;
    case EX_fma:
    case EX_pack:
    case EX_dot4:
    case EX_dot4_sat:
    case EX_dot2:
        call(printer, (int)e->op, e->dt, e->lanes);
        put_args(printer, e->arg, 3);
        return;
    case EX_is_nan:
    case EX_is_inf:
        call(printer, (int)e->op, e->arg[0]->dt, 1);
        put_args(printer, e->arg, 1);
        return;
    case EX_eq:
    case EX_lt:
    case EX_le: put_compare(printer, e, precedence); return;
    case EX_select: put_select(printer, e, precedence); return;
    case EX_cast: put_cast(printer, e, precedence); return;
    case EX_bits:
        if (e->lanes != e->arg[0]->lanes) call(printer, HELPER_WORD, e->arg[0]->dt, e->arg[0]->lanes);
        else put_bits_of(printer, e->dt, e->arg[0]->dt, e->lanes);
        put_args(printer, e->arg, 1);
        return;
    case EX_splat:
        call(printer, (int)e->op, e->dt, e->lanes);
        put_args(printer, e->arg, 1);
        return;
    case EX_ramp:
        call(printer, (int)e->op, e->dt, e->lanes);
        cfamily_expr(printer, e->arg[0], PREC_TERNARY);
        text_printf(out, ", %lld)", (long long)e->imm);
        return;
    case EX_hadd:
    case EX_hmul:
    case EX_hmin:
    case EX_hmax:
        call(printer, (int)e->op, e->dt, e->arg[0]->lanes);
        put_args(printer, e->arg, 1);
        return;
    case EX_exp:
    case EX_log:
    case EX_sin:
    case EX_cos:
    case EX_tan:
    case EX_asin:
    case EX_acos:
    case EX_atan:
    case EX_sinh:
    case EX_cosh:
    case EX_tanh:
    case EX_asinh:
    case EX_acosh:
    case EX_atanh:
    case EX_erf:
    case EX_sigmoid:
    case EX_COUNT: break;
    }
    bug("cfamily", "%s must have been expanded", e->op < EX_COUNT ? expr_row(e->op)->name : "kind");
}
