/* Helpers of printed C for the bits of f16: from_f16 and to_f16 of ir/exprs.def, for one number and for vectors.
 *
 * With F16C (and on 64-bit ARM) they are conversions of the processor. The same text compiled without writes the rounding
 * out, number by number: the same bits, slowly. See c_helpers.h for the placeholders.
 */
#include "c_helpers.h"

static const char from_text[] =
    "    const uint32_t sign = (uint32_t)(a & 0x8000) << 16, body = (uint32_t)(a & 0x7fff) << 13;\n"
    "    uint32_t u = body > 0x0f800000 ? body | 0x7fc00000 : body >= 0x0f800000 ? 0x7f800000 : body + 0x38000000;\n"
    "    float v;\n"
    "    if (body < 0x00800000) {\n        v = (float)(a & 0x7fff)*0x1p-24f;\n        memcpy(&u, &v, sizeof u);\n    }\n"
    "    u |= sign;\n    memcpy(&v, &u, sizeof v);\n    return v;\n";

static const char to_text[] =
    "    uint32_t u;\n    memcpy(&u, &a, sizeof u);\n"
    "    const uint32_t sign = u >> 16 & 0x8000, body = u & 0x7fffffff;\n"
    "    if (body > 0x7f800000) return (uint16_t)(sign | 0x7e00 | (body >> 13 & 0x3ff));\n"
    "    if (body >= 0x477ff000) return (uint16_t)(sign | 0x7c00);\n"
    "    if (body >= 0x38800000) return (uint16_t)(sign | (body - 0x38000000 + 0xfff + (body >> 13 & 1)) >> 13);\n"
    "    const float small = fabsf(a) + 0.5f; /* whose last place is the last of the small f16 */\n"
    "    memcpy(&u, &small, sizeof u);\n    return (uint16_t)(sign | (u - 0x3f000000));\n";

/* "#if", "#elif" of F16C: versions of a model in one text have macros of their own (c_helpers.c). */
static void begin_f16c(const struct c_form *form, struct text *out)
{
    text_printf(out, "#if defined(%s__F16C__)\n", form->printer->feature_prefix ? form->printer->feature_prefix : "");
}

void c_half_scalar(struct cfamily *printer, struct text *out, bool from)
{
    struct c_form form = {.printer = printer, .dt = from ? DT_f32 : DT_u16, .other = from ? DT_u16 : DT_f32, .lanes = 1};
    c_form_print(&form, out, from ? "static inline $S from_f16_$s($F a)\n{\n" : "static inline $S to_f16_$s($F a)\n{\n");
    begin_f16c(&form, out);
    text_add(out, from ? "    return _cvtsh_ss(a);\n" : "    return (uint16_t)_cvtss_sh(a, 0);\n");
    text_add(out, "#elif defined(__aarch64__)\n    __fp16 half");
    text_add(out, from ? ";\n    memcpy(&half, &a, sizeof half);\n    return (float)half;\n"
                       : " = (__fp16)a;\n    uint16_t bits;\n    memcpy(&bits, &half, sizeof bits);\n    return bits;\n");
    text_add(out, "#else\n");
    text_add(out, from ? from_text : to_text);
    text_add(out, "#endif\n}\n\n");
}

void c_half_vector(struct cfamily *printer, struct text *out, bool from, int lanes)
{
    static const char *const each[2][3] = {
        {"    return ($V)_mm_cvtsi128_si64(_mm_cvtps_ph((__m128)a, 0));\n", "    return ($V)_mm256_cvtps_ph((__m256)a, 0);\n",
         "    return ($V)_mm512_cvtps_ph((__m512)a, 0);\n"},
        {"    return ($V)_mm_cvtph_ps(_mm_cvtsi64_si128((long long)a));\n", "    return ($V)_mm256_cvtph_ps((__m128i)a);\n",
         "    return ($V)_mm512_cvtph_ps((__m256i)a);\n"},
    };
    struct c_form form = {.printer = printer, .dt = from ? DT_f32 : DT_u16, .other = from ? DT_u16 : DT_f32, .lanes = lanes};
    bool wide = lanes == 4 || lanes == 8 || lanes == 16;
    c_form_print(&form, out, from ? "static inline __attribute__((always_inline)) $V from_f16_$s($W a)\n{\n"
                                  : "static inline __attribute__((always_inline)) $V to_f16_$s($W a)\n{\n");
    if (lanes == 16) text_printf(out, "#if defined(%s__AVX512F__)\n", printer->feature_prefix ? printer->feature_prefix : "");
    else if (wide) begin_f16c(&form, out);
    if (wide) {
        c_form_print(&form, out, each[from][lanes / 8]);
        text_add(out, "#else\n");
    }
    struct text list = {.arena = out->arena};
    c_form_list(&form, &list, from ? "from_f16_$e(a[%])" : "to_f16_$e(a[%])", ", ");
    c_form_print(&form, out, "    return ($V){");
    c_form_print(&form, out, text_string(&list));
    text_add(out, wide ? "};\n#endif\n}\n\n" : "};\n}\n\n");
}
