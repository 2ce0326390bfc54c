/* Vector helpers in OpenCL C: its own vector types and functions. See c_helpers.h for the placeholders.
 *
 * What touches memory is a macro, since functions would need one form for every address space.
 */
#include "c_helpers.h"
#include "opencl.h"

#include <string.h>

/* A part of a text once per lane: between commas, or one after the other. % is the lane's number, @ its digit. */
#define EACH(item) "\1" item "\3"
#define SERIES(item) "\2" item "\3"

enum { FLOATS = 1, SIGNED = 2, UNSIGNED = 4, INTEGERS = SIGNED | UNSIGNED, ANY = 7 };

/* One expression each. */
static const struct form {
    int helper, types;
    const char *result, *parameters, *value;
} forms[] = {
    {EX_add, INTEGERS, "$V", "$V a, $V b", "as_$V(as_$U(a) + as_$U(b))"},
    {EX_sub, INTEGERS, "$V", "$V a, $V b", "as_$V(as_$U(a) - as_$U(b))"},
    {EX_mul, INTEGERS, "$V", "$V a, $V b", "as_$V(as_$U(a)*as_$U(b))"},
    {EX_neg, INTEGERS, "$V", "$V a", "as_$V(($U)(0) - as_$U(a))"},
    {EX_abs, INTEGERS, "$V", "$V a", "as_$V(abs(a))"},
    {EX_abs, FLOATS, "$V", "$V a", "fabs(a)"},
    {EX_min, INTEGERS, "$V", "$V a, $V b", "min(a, b)"},
    {EX_max, INTEGERS, "$V", "$V a, $V b", "max(a, b)"},
    {EX_min, FLOATS, "$V", "$V a, $V b", "select(b, a, (a < b) | (a != a))"},
    {EX_max, FLOATS, "$V", "$V a, $V b", "select(b, a, (a > b) | (a != a))"},
    {HELPER_MIN_NUMBER, FLOATS, "$V", "$V a, $V b", "select(a, b, b < a)"},
    {HELPER_MAX_NUMBER, FLOATS, "$V", "$V a, $V b", "select(a, b, b > a)"},
    {EX_fma, FLOATS, "$V", "$V a, $V b, $V c", "fma(a, b, c)"},
    {EX_dot4, SIGNED, "$V", "$V a, $V b, $V c",
     "as_$V(as_$U(c) + (as_$U(a) & 255u)*as_$U(as_$V(as_$U(b) << 24u) >> 24)\n"
     "                 + (as_$U(a) >> 8u & 255u)*as_$U(as_$V(as_$U(b) << 16u) >> 24)\n"
     "                 + (as_$U(a) >> 16u & 255u)*as_$U(as_$V(as_$U(b) << 8u) >> 24) + (as_$U(a) >> 24u)*as_$U(b >> 24))"},
    {EX_dot4_sat, SIGNED, "$V", "$V a, $V b, $V c",
     "as_$V(as_$U(c) + as_$U(clamp(as_$V(as_$U(a) & 255u)*(as_$V(as_$U(b) << 24u) >> 24) + as_$V(as_$U(a) >> 8u & 255u)*(as_$V(as_$U(b) << 16u) >> 24), -32768, 32767))\n"
     "                 + as_$U(clamp(as_$V(as_$U(a) >> 16u & 255u)*(as_$V(as_$U(b) << 8u) >> 24) + as_$V(as_$U(a) >> 24u)*(b >> 24), -32768, 32767)))"},
    {EX_dot2, SIGNED, "$V", "$V a, $V b, $V c",
     "as_$V(as_$U(c) + as_$U((as_$V(as_$U(a) << 16u) >> 16)*(as_$V(as_$U(b) << 16u) >> 16)) + as_$U((a >> 16)*(b >> 16)))"},
    {HELPER_WORD, UNSIGNED, "int", "$V a", "as_int(a)"},
    {EX_floor, FLOATS, "$V", "$V a", "floor(a)"},
    {EX_ceil, FLOATS, "$V", "$V a", "ceil(a)"},
    {EX_round, FLOATS, "$V", "$V a", "rint(a)"},
    {EX_trunc, FLOATS, "$V", "$V a", "trunc(a)"},
    {EX_sqrt, FLOATS, "$V", "$V a", "sqrt(a)"},
    {EX_shl, INTEGERS, "$V", "$V a, $V b", "as_$V(select(($U)(0), as_$U(a) << (as_$U(b) & ($U)($w - 1)), as_$U(b) < ($U)($w)))"},
    {EX_shr, SIGNED, "$V", "$V a, $V b", "a >> as_$V(min(as_$U(b), ($U)($w - 1)))"},
    {EX_shr, UNSIGNED, "$V", "$V a, $V b", "select(($V)(0), a >> (b & ($V)($w - 1)), b < ($V)($w))"},
    {EX_splat, ANY, "$V", "$S a", "($V)(a)"},
    {EX_ramp, INTEGERS, "$V", "$S a, $S step", "as_$V(($U)(($B)a) + ($U)(" EACH("%") ")*($U)(($B)step))"},
    {EX_select, ANY, "$V", "$M m, $V a, $V b", "select(b, a, m)"},
    {EX_is_nan, FLOATS, "$M", "$V a", "a != a"},
    {EX_is_inf, FLOATS, "$M", "$V a", "fabs(a) == ($V)(INFINITY)"},
    {EX_div, INTEGERS, "$V", "$V a, $V b", "($V)(" EACH("div_$e(a.s@, b.s@)") ")"},
    {EX_mod, ANY, "$V", "$V a, $V b", "($V)(" EACH("mod_$e(a.s@, b.s@)") ")"},
    {EX_rem, ANY, "$V", "$V a, $V b", "($V)(" EACH("rem_$e(a.s@, b.s@)") ")"},
    {EX_pow, ANY, "$V", "$V a, $V b", "($V)(" EACH("pow_$e(a.s@, b.s@)") ")"},
};

static const struct form index_forms[] = {
    {EX_div, ANY, "$V", "$V a, $V b", "($V)(" EACH("floor_div_$e(a.s@, b.s@)") ")"},
    {EX_mod, ANY, "$V", "$V a, $V b", "($V)(" EACH("floor_mod_$e(a.s@, b.s@)") ")"},
};

/* Loads and stores: of any type, of bool, whose bytes become masks. */
static const struct {
    int helper;
    const char *any, *logic;
} macros[] = {
    {EX_load, "load_$s(p) vload$n(0, p)", "load_$s(p) (vload$n(0, p) != (uchar$n)(0))"},
    {HELPER_LOAD_STRIDED, "load_strided_$s(p, stride) (($V)(" EACH("(p)[%*(stride)]") "))",
     "load_strided_$s(p, stride) ((char$n)(" EACH("(p)[%*(stride)] ? -1 : 0") "))"},
    {HELPER_LOAD_FIRST, "load_first_$s(p, n, none) ((n) >= $n ? vload$n(0, p) : ($V)(" EACH("(n) > % ? (p)[%] : (none).s@") "))",
     "load_first_$s(p, n, none) ((char$n)(" EACH("(n) > % ? ((p)[%] ? -1 : 0) : (none).s@") "))"},
    {HELPER_STORE, "store_$s(p, v) vstore$n(v, 0, p)", "store_$s(p, v) vstore$n(as_uchar$n(-(v)), 0, p)"},
    {HELPER_STORE_STRIDED, "store_strided_$s(p, stride, v) { const $V v_ = v; " SERIES("(p)[%*(stride)] = v_.s@; ") " }",
     "store_strided_$s(p, stride, v) { const char$n v_ = v; " SERIES("(p)[%*(stride)] = v_.s@ != 0; ") " }"},
    {HELPER_STORE_FIRST,
     "store_first_$s(p, n, v) { const $V v_ = v; if ((n) >= $n) vstore$n(v_, 0, p); else { " SERIES("if ((n) > %) (p)[%] = v_.s@; ") " } }",
     "store_first_$s(p, n, v) { const char$n v_ = v; " SERIES("if ((n) > %) (p)[%] = v_.s@ != 0; ") " }"},
    {HELPER_STORE_STRIDED_FIRST,
     "store_strided_first_$s(p, stride, n, v) { const $V v_ = v; " SERIES("if ((n) > %) (p)[%*(stride)] = v_.s@; ") " }",
     "store_strided_first_$s(p, stride, n, v) { const char$n v_ = v; " SERIES("if ((n) > %) (p)[%*(stride)] = v_.s@ != 0; ") " }"},
};

static void put(const struct c_form *form, struct text *out, const char *text)
{
    struct text filled = {.arena = out->arena};
    c_form_print(form, &filled, text);
    for (const char *p = text_string(&filled); *p;) {
        size_t n = strcspn(p, "\1\2");
        text_add_n(out, p, n);
        p += n;
        if (!*p) return;
        n = strcspn(p, "\3");
        c_form_list(form, out, arena_strndup(out->arena, p + 1, n - 1), *p == '\1' ? ", " : "");
        p += n + 1;
    }
}

static bool put_macro(const struct c_form *form, struct text *out, int h)
{
    for (size_t i = 0; i < sizeof macros / sizeof *macros; i++)
        if (macros[i].helper == h) {
            text_add(out, "#define ");
            put(form, out, form->dt == DT_bool ? macros[i].logic : macros[i].any);
            text_add(out, "\n\n");
            return true;
        }
    return false;
}

static void put_function(const struct c_form *form, struct text *out, const char *result, const char *name,
                         const char *parameters, const char *value)
{
    text_add(out, "static ");
    put(form, out, result);
    text_add(out, " ");
    put(form, out, name);
    text_add(out, "(");
    put(form, out, parameters);
    text_add(out, ")\n{\n    return ");
    put(form, out, value);
    text_add(out, ";\n}\n\n");
}

/* Of the value's bits, of another type. Floats saturate as integers, NaN gives 0. */
static void put_conversion(const struct c_form *form, struct text *out, bool bits)
{
    bool saturates = dtype_is_float(form->other) && !dtype_is_float(form->dt);
    put_function(form, out, "$V", bits ? "bits_$s_$T" : "$s_from_$T", "$W a",
                 bits        ? "as_$V(a)"
                 : saturates ? "select(convert_$V_sat(a), ($V)(0), convert_$M(a != a))"
                             : "convert_$V(a)");
}

/* Halves are combined until one lane is left. */
static void put_horizontal(const struct c_form *form, struct text *out, int h)
{
    struct arena *arena = out->arena;
    const char *name = cfamily_helper_word(h, form->dt), *word = name + 1; /* "hadd", "add" */
    bool plain = dtype_is_float(form->dt) && (h == EX_hadd || h == EX_hmul), last = form->lanes == 2;
    const char *a = last ? "a.s0" : "a.lo", *b = last ? "a.s1" : "a.hi";
    const char *both = plain ? arena_printf(arena, "%s %s %s", a, h == EX_hadd ? "+" : "*", b)
                             : arena_printf(arena, "%s_$h(%s, %s)", word, a, b);
    put_function(form, out, "$S", arena_printf(arena, "%s_$s", name), "$V a",
                 last ? both : arena_printf(arena, "%s_$h(%s)", name, both));
}

/* Both halves rounded, moved and made bytes; of a NaN and 0, fmax takes 0. */
static void put_pack(const struct c_form *form, struct text *out)
{
    const struct c_form half = {form->printer, form->dt, DT_f32, form->lanes / 2};
    struct text parameters = {.arena = out->arena}, value = {.arena = out->arena};
    c_form_print(&half, &parameters, "$W a, $W b, int c");
    c_form_print(form, &value, "($V)(");
    c_form_print(&half, &value, "convert_$V_sat(fmax(rint(a) + (float)c, ($W)(0))), convert_$V_sat(fmax(rint(b) + (float)c, ($W)(0))))");
    put_function(form, out, "$V", "pack_$s", text_string(&parameters), text_string(&value));
}

static bool put_form(const struct c_form *form, struct text *out, int h, const struct form *rows, size_t n)
{
    int type = dtype_is_float(form->dt) ? FLOATS : dtype_class(form->dt) == DT_SIGNED ? SIGNED : UNSIGNED;
    for (size_t i = 0; i < n; i++)
        if (rows[i].helper == h && (rows[i].types & type)) {
            put_function(form, out, rows[i].result, arena_printf(out->arena, "%s_$s", cfamily_helper_word(h, form->dt)),
                         rows[i].parameters, rows[i].value);
            return true;
        }
    return false;
}

void opencl_vector_print(struct cfamily *printer, struct text *out, int h, enum dtype dt, enum dtype other, int lanes)
{
    struct c_form form = {printer, dt, other, lanes};
    if (h == EX_bits || h == EX_cast) put_conversion(&form, out, h == EX_bits);
    else if (h == EX_hadd || h == EX_hmul || h == EX_hmin || h == EX_hmax) put_horizontal(&form, out, h);
    else if (h == EX_pack) put_pack(&form, out);
    else if (dt == DT_index && put_form(&form, out, h, index_forms, sizeof index_forms / sizeof *index_forms)) return;
    else if (!put_macro(&form, out, h) && !put_form(&form, out, h, forms, sizeof forms / sizeof *forms))
        bug("opencl_vector", "helper %d of %s", h, dtype_name(dt));
}
