/* Expressions of the program text.  See prog_print.c for the form.
 *
 * What is written is what is built: only scalar index sums go through the simplifying builder, which gives them
 * their one form, and arithmetic on dims is done at once. Every other node is checked by expr_fault and interned
 * as it stands, so text that was printed gives the same nodes back.
 */
#include "prog_parse.h"

#include "expr_index.h"
#include "lane.h"
#include "prog_print.h"
#include "prog_rules.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The candidate where it obeys the rules, NULL after an error at `place`. */
static ex node(struct parser *p, struct place place, struct expr e)
{
    const char *fault = expr_fault(&e);
    if (!fault) return expr_intern(p->prog, e);
    const struct expr *a = e.arg[0];
    diag_error(p->diag, place, "%s %s (%sx%d%s%s)", expr_row(e.op)->name, fault, dtype_name(a ? a->dt : e.dt),
               a ? a->lanes : e.lanes, e.arg[1] ? ", " : "", e.arg[1] ? dtype_name(e.arg[1]->dt) : "");
    return NULL;
}

static bool dtype_or_index(const char *name, enum dtype *dt)
{
    if (strcmp(name, "index") != 0) return dtype_from_name(name, dt);
    *dt = DT_index;
    return true;
}

bool parse_dtype(struct parser *p, enum dtype *dt, int *lanes)
{
    const char *text = p->token.text, *x = NULL;
    *lanes = 1;
    if (p->token.kind != TOKEN_NAME) return parse_error(p, "a type is expected");
    if (!dtype_or_index(text, dt)) { /* the last x parts the type from its lanes: `indexx8` */
        x = strrchr(text, 'x');
        char *name = arena_strndup(p->scratch, text, x ? (size_t)(x - text) : 0);
        if (!x || strspn(x + 1, "0123456789") != strlen(x + 1) || !dtype_or_index(name, dt)) return parse_error(p, "no type %s", text);
        *lanes = strlen(x + 1) > 4 ? 0 : atoi(x + 1);
    }
    if (!lanes_are_valid(*lanes)) return parse_error(p, "%s: the number of lanes is a power of two up to %d", text, LANES_MOST);
    token_advance(p);
    return true;
}

struct var *parser_find_var(const struct parser *p, const char *name)
{
    for (int i = p->vars.n - 1; i >= 0; i--)
        if (!strcmp(p->vars.at[i].var->name, name)) return p->vars.at[i].var;
    return NULL;
}

struct buffer *parse_buffer_name(struct parser *p)
{
    if (p->token.kind == TOKEN_NAME)
        for (int i = p->buffers.n - 1; i >= 0; i--)
            if (!strcmp(p->buffers.at[i]->name, p->token.text)) {
                token_advance(p);
                return p->buffers.at[i];
            }
    parse_error(p, p->token.kind == TOKEN_NAME ? "no buffer %s here" : "a buffer is expected, not %s", p->token.text);
    return NULL;
}

/* A number with its sign in front already read. `typed`: dt is given, otherwise the literal's own. */
static bool literal(struct parser *p, bool negative, bool typed, enum dtype *dt, union lane *v, double *number)
{
    struct token token = p->token;
    bool word = token.kind == TOKEN_NAME && (!strcmp(token.text, "inf") || !strcmp(token.text, "nan"));
    if (token.kind != TOKEN_INT && token.kind != TOKEN_FLOAT && !word) return parse_error(p, "a number is expected");
    token_advance(p);
    if (!typed) {
        int lanes;
        *dt = token.kind == TOKEN_INT ? DT_index : DT_f32;
        if (token_is(p, ":") && p->token.glued && p->next.glued) {
            token_advance(p);
            if (!parse_dtype(p, dt, &lanes)) return false;
            if (lanes != 1) return diag_error(p->diag, token.place, "a literal has one lane");
        }
    }
    if (dtype_is_float(*dt)) {
        *number = word ? (token.text[0] == 'i' ? (double)INFINITY : (double)NAN) : token.number;
        if (negative) *number = -*number;
        return true;
    }
    uint64_t most = *dt == DT_index ? (uint64_t)1 << 61 : dtype_int_max(*dt);
    if (negative && dtype_class(*dt) == DT_SIGNED && *dt != DT_index) most++;
    if (token.kind != TOKEN_INT) return diag_error(p->diag, token.place, "%s is no %s", token.text, dtype_name(*dt));
    if (token.too_large || token.integer > most || (negative && dtype_class(*dt) != DT_SIGNED))
        return diag_error(p->diag, token.place, "%s%s does not fit %s", negative ? "-" : "", token.text, dtype_name(*dt));
    v->i = negative ? (int64_t)(0 - token.integer) : (int64_t)token.integer;
    return true;
}

bool parse_element(struct parser *p, enum dtype dt, void *data)
{
    union lane v = {.i = 0};
    double number = 0;
    if (dt == DT_bool) {
        v.i = token_is(p, "true");
        if (!token_is(p, "true") && !token_is(p, "false")) return parse_error(p, "true or false is expected");
        token_advance(p);
    } else {
        bool negative = token_take(p, "-");
        if (!literal(p, negative, true, &dt, &v, &number)) return false;
        if (dt == DT_f64) v.d = number;
        else if (dtype_is_float(dt)) v.f = (float)number;
    }
    lane_store(dt, data, v);
    return true;
}

static ex parse_literal(struct parser *p, bool negative)
{
    enum dtype dt;
    union lane v = {.i = 0};
    double number = 0;
    if (!literal(p, negative, false, &dt, &v, &number)) return NULL;
    return dtype_is_float(dt) ? ex_float(p->prog, dt, number) : ex_int(p->prog, dt, v.i);
}

/* Arithmetic on two dims; false where op is none that dims have. */
static bool dim_operation(struct parser *p, enum expr_op op, dim a, dim b, dim *d)
{
    struct dims *dims = p->prog->dims;
    switch (op) {
    case EX_add: *d = dim_add(dims, a, b); return true;
    case EX_sub: *d = dim_sub(dims, a, b); return true;
    case EX_mul: *d = dim_mul(dims, a, b); return true;
    case EX_div: *d = dim_div(dims, a, b); return true;
    case EX_mod: /* by zero gives 0, which a - b*(a / b) is not */
        *d = b == 0 ? 0 : dim_mod(dims, a, b);
        return b == 0 || dim_lo(dims, b) > 0 || dim_hi(dims, b) < 0;
    case EX_min: *d = dim_min(dims, a, b); return true;
    case EX_max: *d = dim_max(dims, a, b); return true;
    default: return false; /* no other kind is dim arithmetic */
    }
}

static ex binary(struct parser *p, struct place place, enum expr_op op, ex a, ex b)
{
    dim x, y, d;
    if (!a || !b) return NULL;
    if (ex_as_dim(a, &x) && ex_as_dim(b, &y) && dim_operation(p, op, x, y, &d)) return ex_dim(p->prog, d);
    bool compare = op == EX_eq || op == EX_lt || op == EX_le;
    ex plain = node(p, place, (struct expr){.op = op, .dt = compare ? DT_bool : a->dt, .lanes = a->lanes, .arg = {a, b}});
    bool sum = op == EX_add || op == EX_sub || op == EX_mul;
    return plain && sum && a->dt == DT_index && a->lanes == 1 ? ex_binary(p->prog, op, a, b) : plain;
}

static ex parse_load(struct parser *p)
{
    struct expr e = {.op = EX_load, .lanes = 1, .imm = 1};
    struct place place = p->token.place;
    bool typed = token_take(p, ".");
    if (typed && !parse_dtype(p, &e.dt, &e.lanes)) return NULL;
    e.buf = parse_buffer_name(p);
    if (!e.buf || !token_expect(p, "[")) return NULL;
    if (!typed) e.dt = e.buf->dt;
    e.arg[0] = parse_expr(p);
    if (!e.arg[0]) return NULL;
    if (token_take(p, "by")) {
        dim stride;
        if (!parse_dim(p, &stride)) return NULL;
        if (!dim_is_const(stride)) return diag_error(p->diag, place, "the stride of a load is a plain number"), NULL;
        e.imm = stride;
    }
    e.masked = token_is(p, "first");
    if (token_take(p, "first") || token_take(p, "if")) {
        e.arg[1] = parse_expr(p);
        if (!e.arg[1]) return NULL;
    }
    if (!token_expect(p, "]")) return NULL;
    if (token_take(p, "else")) {
        e.arg[2] = parse_expr(p);
        if (!e.arg[2]) return NULL;
    }
    return node(p, place, e);
}

/* `(a, b)` into args: how many, -1 after an error. */
static int parse_arguments(struct parser *p, ex *args)
{
    int n = 0;
    if (!token_expect(p, "(")) return -1;
    do {
        if (n == 3) return parse_error(p, "no function takes more than 3 arguments"), -1;
        args[n] = parse_expr(p);
        if (!args[n++]) return -1;
    } while (token_take(p, ","));
    return token_expect(p, ")") ? n : -1;
}

static ex parse_function(struct parser *p, const char *name, struct place place, enum expr_op op)
{
    struct expr e = {.op = op};
    int n = parse_arguments(p, e.arg);
    if (n < 0) return NULL;
    if (n != expr_row(op)->args) {
        diag_error(p->diag, place, "%s takes %d arguments, not %d", name, expr_row(op)->args, n);
        return NULL;
    }
    if (n == 2) return binary(p, place, op, e.arg[0], e.arg[1]);
    bool gives_bool = op == EX_is_nan || op == EX_is_inf, narrows = op >= EX_hadd && op <= EX_hmax;
    e.dt = gives_bool ? DT_bool : op == EX_from_f16 ? DT_f32 : op == EX_to_f16 ? DT_u16 : e.arg[n - 1]->dt;
    e.lanes = narrows ? 1 : e.arg[0]->lanes;
    if (op == EX_pack) e.dt = DT_u8, e.lanes *= 2;
    return node(p, place, e);
}

static ex parse_convert(struct parser *p, struct place place, enum expr_op op, enum dtype dt)
{
    struct expr e = {.op = op, .dt = dt};
    int n = parse_arguments(p, e.arg);
    if (n < 0) return NULL;
    if (n != 1) return diag_error(p->diag, place, "%s takes 1 argument, not %d", expr_row(op)->name, n), NULL;
    e.lanes = op == EX_bits && e.arg[0]->lanes * dtype_bytes(e.arg[0]->dt) == dtype_bytes(dt) ? 1 : e.arg[0]->lanes;
    return node(p, place, e);
}

/* splat8(e), ramp8(e), ramp8(e, 4) */
static ex parse_widen(struct parser *p, struct place place, const char *name)
{
    bool ramp = name[0] == 'r';
    const char *digits = name + (ramp ? 4 : 5);
    struct expr e = {.op = ramp ? EX_ramp : EX_splat, .lanes = strlen(digits) > 4 ? 0 : atoi(digits), .imm = ramp};
    ex args[3];
    int n = parse_arguments(p, args);
    if (n < 0) return NULL;
    if (n > 1 + ramp) return diag_error(p->diag, place, "%s takes fewer arguments", name), NULL;
    dim stride = 1;
    if (n == 2 && (!ex_as_dim(args[1], &stride) || !dim_is_const(stride)))
        return diag_error(p->diag, place, "the step of a ramp is a plain number"), NULL;
    if (ramp) e.imm = stride;
    e.arg[0] = args[0];
    e.dt = args[0]->dt;
    return node(p, place, e);
}

static bool is_widen(const char *name)
{
    size_t n = !strncmp(name, "splat", 5) ? 5 : !strncmp(name, "ramp", 4) ? 4 : 0;
    return n && name[n] && strspn(name + n, "0123456789") == strlen(name + n);
}

static ex parse_called(struct parser *p)
{
    struct token token = p->token;
    enum dtype dt;
    enum expr_op op;
    if (is_widen(token.text)) {
        token_advance(p);
        return parse_widen(p, token.place, token.text);
    }
    if (!strcmp(token.text, "index") || dtype_from_name(token.text, &dt)) {
        int lanes;
        return parse_dtype(p, &dt, &lanes) ? parse_convert(p, token.place, EX_cast, dt) : NULL;
    }
    bool known = expr_from_name(token.text, &op) && op != EX_cast && op != EX_bits && op != EX_splat && op != EX_ramp;
    if (!known) return parse_error(p, "no function %s", token.text), NULL;
    token_advance(p);
    return parse_function(p, token.text, token.place, op);
}

static ex parse_symbol(struct parser *p, const char *name)
{
    dim d;
    if (!dim_find_symbol(p->prog->dims, name, &d)) return parse_error(p, "no variable or dim %s here", name), NULL;
    token_advance(p);
    return ex_dim(p->prog, d);
}

static ex parse_named(struct parser *p)
{
    struct token token = p->token;
    if (token_take(p, "true")) return ex_int(p->prog, DT_bool, 1);
    if (token_take(p, "false")) return ex_int(p->prog, DT_bool, 0);
    if (token_is(p, "inf") || token_is(p, "nan")) return parse_literal(p, false);
    if (token_take(p, "load")) return parse_load(p);
    if (!strcmp(token.text, "bits") && p->next.kind == TOKEN_SIGN && !strcmp(p->next.text, ".")) {
        enum dtype dt;
        int lanes;
        token_advance(p);
        token_advance(p);
        if (!parse_dtype(p, &dt, &lanes)) return NULL;
        return parse_convert(p, token.place, EX_bits, dt);
    }
    if (p->next.kind == TOKEN_SIGN && !strcmp(p->next.text, "(")) return parse_called(p);
    struct var *var = parser_find_var(p, token.text);
    if (!var) return parse_symbol(p, token.text);
    token_advance(p);
    return expr_intern(p->prog, (struct expr){.op = EX_var, .dt = var->dt, .lanes = var->lanes, .var = var});
}

static ex parse_primary(struct parser *p)
{
    struct token token = p->token;
    if (token.kind == TOKEN_INT || token.kind == TOKEN_FLOAT) return parse_literal(p, false);
    if (token.kind == TOKEN_STRING) return parse_symbol(p, token.text);
    if (token.kind == TOKEN_NAME) return parse_named(p);
    if (token.kind == TOKEN_SHARED) {
        if (token.integer < 1 || token.integer > (uint64_t)p->shared.n) return parse_error(p, "$%s is not defined", token.text), NULL;
        token_advance(p);
        return p->shared.at[token.integer - 1];
    }
    if (token_take(p, "(")) {
        ex e = parse_expr(p);
        return e && token_expect(p, ")") ? e : NULL;
    }
    if (token_take(p, "-")) {
        bool number = p->token.kind == TOKEN_INT || p->token.kind == TOKEN_FLOAT || token_is(p, "inf") || token_is(p, "nan");
        if (number) return parse_literal(p, true);
        if (token_is(p, "-")) return parse_error(p, "one minus is enough"), NULL;
        ex e = parse_primary(p);
        return binary(p, token.place, EX_mul, e, ex_dim(p->prog, -1));
    }
    parse_error(p, token.kind == TOKEN_END ? "the text ends inside an expression" : "an expression is expected, not '%s'", token.text);
    return NULL;
}

static bool take_operator(struct parser *p, int least, enum expr_op *op, int *strength)
{
    static const struct {
        const char *sign;
        enum expr_op op;
        int strength;
    } row[] = {{"|", EX_or, 1}, {"^", EX_xor, 1}, {"&", EX_and, 2}, {"==", EX_eq, 3}, {"<", EX_lt, 3}, {"<=", EX_le, 3},
               {"+", EX_add, 4}, {"-", EX_sub, 4}, {"*", EX_mul, 5}, {"/", EX_div, 5}, {"%", EX_mod, 5}};
    for (size_t i = 0; p->token.kind == TOKEN_SIGN && i < sizeof row / sizeof *row; i++)
        if (row[i].strength >= least && !strcmp(p->token.text, row[i].sign)) {
            token_advance(p);
            *op = row[i].op;
            *strength = row[i].strength;
            return true;
        }
    return false;
}

static ex parse_binary(struct parser *p, int least)
{
    ex e = parse_primary(p);
    enum expr_op op;
    int strength;
    for (struct place place = p->token.place; e && take_operator(p, least, &op, &strength); place = p->token.place)
        e = binary(p, place, op, e, parse_binary(p, strength + 1));
    return e;
}

ex parse_expr(struct parser *p)
{
    if (p->depth >= DEPTH_MOST) return parse_error(p, "nested more than %d deep", DEPTH_MOST), NULL;
    p->depth++;
    ex e = parse_binary(p, 1);
    p->depth--;
    return e;
}

bool parse_dim(struct parser *p, dim *d)
{
    struct place place = p->token.place;
    ex e = parse_expr(p);
    if (!e) return false;
    return ex_as_dim(e, d) || diag_error(p->diag, place, "a number or an expression of dims is expected");
}
