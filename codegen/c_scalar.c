/* Scalar helpers in C: what C's own operators leave undefined or define otherwise than ir/exprs.def. */
#include "c_helpers.h"

static void begin(const struct c_form *form, struct text *out, const char *name, int args)
{
    static const char *const list[] = {"", "$S a", "$S a, $S b", "$S a, $S b, $S c"};
    text_printf(out, "static inline %s %s_", form->printer->dialect->scalar[form->dt], name);
    c_form_print(form, out, "$s(");
    c_form_print(form, out, list[args]);
    text_add(out, ")\n{\n    ");
}

static void print_integer(const struct c_form *form, struct text *out, int h)
{
    bool is_signed = dtype_class(form->dt) == DT_SIGNED;
    const char *body = NULL;
    switch (h) {
    case EX_add: body = "return ($S)(($u)a + ($u)b);"; break;
    case EX_sub: body = "return ($S)(($u)a - ($u)b);"; break;
    case EX_mul: body = "return ($S)(($u)a * ($u)b);"; break;
    case EX_neg: body = "return ($S)(0u - ($u)a);"; break;
    case EX_abs: body = "return a < 0 ? ($S)(0u - ($u)a) : a;"; break;
    case EX_min: body = "return a < b ? a : b;"; break;
    case EX_max: body = "return a > b ? a : b;"; break;
    case EX_div:
        body = is_signed ? "return b == 0 ? 0 : b == -1 ? ($S)(0u - ($u)a) : ($S)(a / b);"
                         : "return b == 0 ? 0 : ($S)(a / b);";
        break;
    case EX_rem:
        body = is_signed ? "return b == 0 || b == -1 ? 0 : ($S)(a % b);" : "return b == 0 ? 0 : ($S)(a % b);";
        break;
    case EX_mod:
        body = is_signed ? "const $S r = rem_$s(a, b);\n    return r != 0 && (r < 0) != (b < 0) ? ($S)(r + b) : r;"
                         : "return rem_$s(a, b);";
        break;
    case EX_shl:
        body = is_signed ? "return b < 0 || b >= $w ? 0 : ($S)(($u)a << b);" : "return b >= $w ? 0 : ($S)(($u)a << b);";
        break;
    case EX_shr:
        body = is_signed ? "return ($S)(a >> (b < 0 || b >= $w ? $w - 1 : b));" : "return b >= $w ? 0 : ($S)(a >> b);";
        break;
    case EX_pow:
        body = is_signed ? "if (b < 0) return a == 1 ? 1 : a == -1 ? (b % 2 ? -1 : 1) : 0;\n"
                           "    $u r = 1, x = ($u)a;\n"
                           "    for (; b > 0; b = ($S)(b / 2), x *= x)\n        if (b % 2) r *= x;\n    return ($S)r;"
                         : "$u r = 1, x = ($u)a;\n"
                           "    for (; b > 0; b = ($S)(b / 2), x *= x)\n        if (b % 2) r *= x;\n    return ($S)r;";
        break;
    case EX_dot4_sat:
        body = "$u sum = ($u)c;\n    for (int k = 0; k < 32; k += 16) {\n"
               "        const $S pair = (a >> k & 255)*($S)(int8_t)(b >> k & 255) + (a >> (k + 8) & 255)*($S)(int8_t)(b >> (k + 8) & 255);\n"
               "        sum += ($u)(pair < -32768 ? -32768 : pair > 32767 ? 32767 : pair);\n    }\n    return ($S)sum;";
        break;
    case EX_dot2:
        body = "return ($S)(($u)c + ($u)((int16_t)(a & 65535)*(int16_t)(b & 65535)) + ($u)((a >> 16)*(b >> 16)));";
        break;
    case EX_dot4:
        body = "$u sum = ($u)c;\n    for (int k = 0; k < 32; k += 8) sum += (($u)a >> k & 255)*($u)(($S)(($u)b << (24 - k)) >> 24);\n"
               "    return ($S)sum;";
        break;
    default: bug("c_scalar", "%s of %s", expr_row((enum expr_op)h)->name, dtype_name(form->dt));
    }
    c_form_print(form, out, body);
}

static void print_float(const struct c_form *form, struct text *out, int h)
{
    const char *body = NULL;
    switch (h) {
    case EX_min: body = "return a < b || a != a ? a : b;"; break;
    case EX_max: body = "return a > b || a != a ? a : b;"; break;
    case HELPER_MIN_NUMBER: body = "return b < a ? b : a;"; break;
    case HELPER_MAX_NUMBER: body = "return b > a ? b : a;"; break;
    case EX_rem: body = "return fmod$f(a, b);"; break;
    case EX_mod: body = "const $S r = rem_$s(a, b);\n    return r != 0 && (r < 0) != (b < 0) ? r + b : r;"; break;
    case EX_pow: body = "return pow$f(a, b);"; break;
    case EX_fma: body = "return fma$f(a, b, c);"; break;
    case EX_abs: body = "return fabs$f(a);"; break;
    case EX_floor: body = "return floor$f(a);"; break;
    case EX_ceil: body = "return ceil$f(a);"; break;
    case EX_round: body = "return rint$f(a);"; break;
    case EX_trunc: body = "return trunc$f(a);"; break;
    case EX_sqrt: body = "return sqrt$f(a);"; break;
    default: bug("c_scalar", "helper %d of %s", h, dtype_name(form->dt));
    }
    c_form_print(form, out, body);
}

/* Truncates, saturates, NaN gives 0. The bounds are powers of two, so exact in either float type. */
static void print_saturating(const struct c_form *form, struct text *out)
{
    int bits = (int)dtype_bytes(form->dt) * 8 - (dtype_class(form->dt) == DT_SIGNED);
    const char *f = form->other == DT_f32 ? "f" : "", *sign = dtype_class(form->dt) == DT_SIGNED ? "INT" : "UINT";
    int width = (int)dtype_bytes(form->dt) * 8;
    c_form_print(form, out, "static inline $S $s_from_$T($F a)\n{\n");
    text_printf(out, "    if (a >= 0x1p%d%s) return %s%d_MAX;\n", bits, f, sign, width);
    if (dtype_class(form->dt) == DT_SIGNED)
        text_printf(out, "    if (a <= -0x1p%d%s) return INT%d_MIN;\n", bits, f, width);
    else text_printf(out, "    if (a <= 0) return 0;\n");
    c_form_print(form, out, "    return a != a ? 0 : ($S)a;\n}\n\n");
}

void c_scalar_print(struct cfamily *printer, struct text *out, int h, enum dtype dt, enum dtype other)
{
    struct c_form form = {printer, dt, other, 1};
    if (h == EX_cast) {
        print_saturating(&form, out);
        return;
    }
    if (h == EX_from_f16 || h == EX_to_f16) {
        c_half_scalar(printer, out, h == EX_from_f16);
        return;
    }
    if (h == EX_bits) {
        c_form_print(&form, out, "static inline $S bits_$s_$T($F a)\n{\n    ");
        c_form_print(&form, out, printer->dialect->bits);
        text_add(out, "\n}\n\n");
        return;
    }
    if (dt == DT_index) { /* rounding down, the divisor of either sign or zero */
        c_form_print(&form, out,
                     h == EX_div
                         ? "static inline $S floor_div_$s($S a, $S b)\n{\n    if (b == 0) return 0;\n"
                           "    return a / b - (a % b != 0 && (a < 0) != (b < 0));\n}\n\n"
                         : "static inline $S floor_mod_$s($S a, $S b)\n{\n    if (b == 0) return 0;\n"
                           "    const $S r = a % b;\n    return r != 0 && (r < 0) != (b < 0) ? r + b : r;\n}\n\n");
        return;
    }
    if (h == EX_is_nan || h == EX_is_inf) {
        c_form_print(&form, out,
                     h == EX_is_nan
                         ? "static inline bool is_nan_$s($S a)\n{\n    return a != a;\n}\n\n"
                         : "static inline bool is_inf_$s($S a)\n{\n    return fabs$f(a) == ($S)INFINITY;\n}\n\n");
        return;
    }
    const char *name = h == HELPER_MIN_NUMBER   ? "min_number"
                       : h == HELPER_MAX_NUMBER ? "max_number"
                                                : expr_row((enum expr_op)h)->name;
    int args = h == HELPER_MIN_NUMBER || h == HELPER_MAX_NUMBER ? 2 : expr_row((enum expr_op)h)->args;
    begin(&form, out, name, args);
    if (dtype_is_float(dt)) print_float(&form, out, h);
    else print_integer(&form, out, h);
    text_add(out, "\n}\n\n");
}
