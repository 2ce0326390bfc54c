/* Vector helpers in C: gcc's and clang's vector extensions, with x86 intrinsics where these say more.
 *
 * Each intrinsic form stands under the macro of its instruction set, beside a form that any target takes, so the
 * text compiles everywhere; which one runs is the C compiler's -m flags' choice.
 */
#include "c_helpers.h"

#include <string.h>

#define INLINE "static inline __attribute__((always_inline)) "

static void print(const struct c_form *form, struct text *out, const char *text)
{
    c_form_print(form, out, text);
}

/* "{...}" with item once per lane */
static void lanes(const struct c_form *form, struct text *out, const char *before, const char *item, const char *after)
{
    print(form, out, before);
    text_add(out, "{");
    struct text list = {.arena = out->arena};
    c_form_list(form, &list, item, ", ");
    print(form, out, text_string(&list));
    text_add(out, "}");
    print(form, out, after);
}

static int64_t form_bytes(const struct c_form *form)
{
    return dtype_bytes(form->dt) * form->lanes;
}

/* "#if" of the C compiler's macro for an instruction set, and of a second one where given. Versions of a model for
 * several targets in one text have macros of their own (c_helpers.c). */
static void begin_feature(const struct c_form *form, struct text *out, const char *macro, const char *second)
{
    const char *prefix = form->printer->feature_prefix ? form->printer->feature_prefix : "";
    text_printf(out, "#if defined(%s%s)", prefix, macro);
    if (second) text_printf(out, " && defined(%s%s)", prefix, second);
    text_add(out, "\n");
}

/* "#if" of the instruction set that has float operations at this width; false where none has. */
static bool begin_float(const struct c_form *form, struct text *out, const char *narrow)
{
    int64_t bytes = form_bytes(form);
    if (bytes != 64 && bytes != 32 && bytes != 16) return false;
    begin_feature(form, out, bytes == 64 ? "__AVX512F__" : bytes == 32 ? "__AVX__" : narrow, NULL);
    return true;
}

static void print_memory(const struct c_form *form, struct text *out, int h)
{
    bool logic = form->dt == DT_bool;
    struct text at = {.arena = out->arena};
    text_printf(&at, "%s %s_at", logic ? "uint8_t" : form->printer->dialect->scalar[form->dt],
                cfamily_type(form->printer, form->dt, form->lanes));
    if (h == EX_load || h == HELPER_STORE)
        text_printf(out, "typedef %s_%s __attribute__((vector_size(%lld), aligned(%lld), may_alias));\n",
                    text_string(&at), h == EX_load ? "load" : "store", (long long)form_bytes(form),
                    (long long)dtype_bytes(form->dt));
    switch (h) {
    case EX_load:
        print(form, out,
              logic ? INLINE "$M load_$s(const uint8_t *p)\n{\n    return ($M)(*(const $s_at_load *)p != 0);\n}\n\n"
                    : INLINE "$V load_$s(const $S *p)\n{\n    return *(const $s_at_load *)p;\n}\n\n");
        return;
    case HELPER_STORE:
        print(form, out,
              logic ? INLINE "void store_$s(uint8_t *p, $M v)\n{\n    *($s_at_store *)p = ($s_at_store)-v;\n}\n\n"
                    : INLINE "void store_$s($S *p, $V v)\n{\n    *($s_at_store *)p = v;\n}\n\n");
        return;
    case HELPER_LOAD_STRIDED:
        if (logic)
            lanes(form, out, INLINE "$M load_strided_$s(const uint8_t *p, int64_t stride)\n{\n    return ($M)",
                  "p[%*stride] ? -1 : 0", ";\n}\n\n");
        else
            lanes(form, out, INLINE "$V load_strided_$s(const $S *p, int64_t stride)\n{\n    return ($V)",
                  "p[%*stride]", ";\n}\n\n");
        return;
    default: break;
    }
    bool strided = h == HELPER_STORE_STRIDED_FIRST;
    text_add(out, INLINE "void store_strided");
    print(form, out, strided ? "_first_$s(" : "_$s(");
    text_printf(out, "%s *p, int64_t stride, %s", logic ? "uint8_t" : form->printer->dialect->scalar[form->dt],
                strided ? "int64_t count, " : "");
    print(form, out, logic ? "$M v)\n{\n" : "$V v)\n{\n");
    for (int i = 0; i < form->lanes; i++) {
        text_add(out, "    ");
        if (strided) text_printf(out, "if (count > %d) ", i);
        text_printf(out, logic ? "p[%d*stride] = v[%d] != 0;\n" : "p[%d*stride] = v[%d];\n", i, i);
    }
    text_add(out, "}\n\n");
}

/* The first `count` lanes in memory; AVX-512 has masks for every lane size. */
static void print_first(const struct c_form *form, struct text *out, bool load)
{
    int64_t bytes = form_bytes(form), lane = dtype_bytes(form->dt);
    bool logic = form->dt == DT_bool, wide = bytes == 64 || bytes == 32 || bytes == 16;
    const char *element = logic ? "uint8_t" : form->printer->dialect->scalar[form->dt];
    text_printf(out, INLINE);
    print(form, out, load ? (logic ? "$M" : "$V") : "void");
    print(form, out, load ? " load_first_$s(const " : " store_first_$s(");
    text_printf(out, "%s *p, int64_t count, ", element);
    print(form, out, logic ? "$M" : "$V");
    text_printf(out, load ? " none)\n{\n" : " v)\n{\n");
    if (wide && !logic) {
        begin_feature(form, out, lane >= 4 ? "__AVX512F__" : "__AVX512BW__", bytes < 64 ? "__AVX512VL__" : NULL);
        text_printf(
            out,
            "    const __mmask%d mask = (__mmask%d)(count >= %d ? -1 : count <= 0 ? 0 : (INT64_C(1) << %s) - 1);\n",
            form->lanes < 8 ? 8 : form->lanes, form->lanes < 8 ? 8 : form->lanes, form->lanes,
            form->lanes == 64 ? "(count & 63)" : "count");
        if (load) print(form, out, "    return ($V)$P_mask_loadu_epi$w(($I)none, mask, p);\n#else\n");
        else print(form, out, "    $P_mask_storeu_epi$w(p, mask, ($I)v);\n#else\n");
    }
    print(form, out, "    for (int l = 0; l < $n; l++)\n        if (l < count) ");
    if (load)
        text_add(out, logic ? "none[l] = p[l] ? -1 : 0;\n    return none;\n" : "none[l] = p[l];\n    return none;\n");
    else text_add(out, logic ? "p[l] = v[l] != 0;\n" : "p[l] = v[l];\n");
    if (wide && !logic) text_add(out, "#endif\n");
    text_add(out, "}\n\n");
}

static void print_min_max(const struct c_form *form, struct text *out, int h)
{
    bool least = h == EX_min || h == HELPER_MIN_NUMBER, number = h == HELPER_MIN_NUMBER || h == HELPER_MAX_NUMBER;
    const char *word = least ? "min" : "max", *sign = least ? "<" : ">";
    text_printf(out, INLINE);
    print(form, out, "$V ");
    text_printf(out, "%s%s", word, number ? "_number" : "");
    print(form, out, "_$s($V a, $V b)\n{\n");
    if (dtype_is_float(form->dt)) {
        /* the instruction gives its second operand where either is NaN */
        if (begin_float(form, out, "__SSE2__")) {
            text_add(out, number ? "    return " : "    const ");
            print(form, out, number ? "($V)$P_" : "$V m = ($V)$P_");
            text_printf(out, "%s_", word);
            print(form, out, number ? "$E(($X)b, ($X)a);\n" : "$E(($X)a, ($X)b);\n");
            if (!number && form_bytes(form) == 64)
                print(form, out,
                      "    return ($V)_mm512_mask_mov_$E(($X)m, _mm512_cmp_$E_mask(($X)a, ($X)a, _CMP_UNORD_Q), "
                      "($X)a);\n");
            else if (!number)
                print(form, out,
                      "    const $M nan = ($M)(a != a);\n    return ($V)((nan & ($M)a) | (~nan & ($M)m));\n");
            text_add(out, "#else\n");
        }
        text_printf(out,
                    number ? "    const %s m = (%s)(b %s a);\n" : "    const %s m = (%s)(a %s b) | (%s)(a != a);\n",
                    cfamily_type(form->printer, cfamily_mask_type((int)dtype_bytes(form->dt)), form->lanes),
                    cfamily_type(form->printer, cfamily_mask_type((int)dtype_bytes(form->dt)), form->lanes), sign,
                    cfamily_type(form->printer, cfamily_mask_type((int)dtype_bytes(form->dt)), form->lanes));
        print(form, out,
              number ? "    return ($V)((m & ($M)b) | (~m & ($M)a));\n"
                     : "    return ($V)((m & ($M)a) | (~m & ($M)b));\n");
        if (begin_float(form, &(struct text){.arena = out->arena}, "__SSE2__")) text_add(out, "#endif\n");
    } else {
        print(form, out, "    const $M m = ($M)(a ");
        print(form, out, sign);
        print(form, out, " b);\n    return ($V)((m & ($M)a) | (~m & ($M)b));\n");
    }
    text_add(out, "}\n\n");
}

static void print_fma(const struct c_form *form, struct text *out)
{
    int64_t bytes = form_bytes(form);
    print(form, out, INLINE "$V fma_$s($V a, $V b, $V c)\n{\n");
    bool wide = bytes == 64 || bytes == 32 || bytes == 16;
    if (wide) {
        begin_feature(form, out, bytes == 64 ? "__AVX512F__" : "__FMA__", NULL);
        print(form, out, "    return ($V)$P_fmadd_$E(($X)a, ($X)b, ($X)c);\n#else\n");
    }
    /* without the instruction each lane asks libm: still rounded once */
    lanes(form, out, "    return ($V)", "fma$f(a[%], b[%], c[%])", ";\n");
    if (wide) text_add(out, "#endif\n");
    text_add(out, "}\n\n");
}

/* Before: "#elif" of instruction sets that have dot4 at this width besides AVX-512. */
static void print_other_dots(const struct c_form *form, struct text *out)
{
    const char *prefix = form->printer->feature_prefix ? form->printer->feature_prefix : "";
    int64_t bytes = form_bytes(form);
    if (bytes == 64) return;
    text_printf(out, "#elif defined(%s__AVXVNNI__)\n", prefix);
    print(form, out, "    return ($V)$P_dpbusd_avx_epi32(($I)c, ($I)a, ($I)b);\n");
    if (bytes != 16 || *prefix) return; /* several versions are x86-64's */
    text_add(out, "#elif defined(__ARM_FEATURE_MATMUL_INT8)\n");
    print(form, out, "    return ($V)vusdotq_s32((int32x4_t)c, (uint8x16_t)a, (int8x16_t)b);\n");
}

/* The instruction where there is one; else the even and the odd bytes as 16-bit numbers, whose sums of two products are
 * exact, where the usual sum of two in 16 bits would saturate; else byte after byte. */
static void print_dot4(const struct c_form *form, struct text *out)
{
    const char *prefix = form->printer->feature_prefix ? form->printer->feature_prefix : "";
    int64_t bytes = form_bytes(form);
    print(form, out, INLINE "$V dot4_$s($V a, $V b, $V c)\n{\n");
    bool wide = bytes == 64 || bytes == 32 || bytes == 16;
    if (wide) {
        begin_feature(form, out, "__AVX512VNNI__", bytes < 64 ? "__AVX512VL__" : NULL);
        print(form, out, "    return ($V)$P_dpbusd_epi32(($I)c, ($I)a, ($I)b);\n");
        print_other_dots(form, out);
        text_printf(out, "#elif defined(%s%s)\n", prefix, bytes == 64 ? "__AVX512BW__" : bytes == 32 ? "__AVX2__" : "__SSE2__");
        text_printf(out, "    const int e = %d;\n", 0x00ff00ff);
        print(form, out, "    const $I even = $P_madd_epi16(($I)(a & e), $P_srai_epi16($P_slli_epi16(($I)b, 8), 8));\n"
                         "    const $I odd = $P_madd_epi16($P_srli_epi16(($I)a, 8), $P_srai_epi16(($I)b, 8));\n"
                         "    return ($V)$P_add_epi32($P_add_epi32(($I)c, even), odd);\n#else\n");
    }
    print(form, out, "    $U sum = ($U)c;\n    for (int k = 0; k < 32; k += 8)\n"
                     "        sum += ((($U)a >> k) & 255)*($U)(($V)(($U)b << (24 - k)) >> 24);\n    return ($V)sum;\n");
    if (wide) text_add(out, "#endif\n");
    text_add(out, "}\n\n");
}

/* "#if" of the instruction set that multiplies 16-bit numbers in pairs at this width; `narrow` names the one for 16 bytes. */
static bool begin_pairs(const struct c_form *form, struct text *out, const char *narrow)
{
    int64_t bytes = form_bytes(form);
    if (bytes != 64 && bytes != 32 && bytes != 16) return false;
    begin_feature(form, out, bytes == 64 ? "__AVX512BW__" : bytes == 32 ? "__AVX2__" : narrow, NULL);
    return true;
}

static void print_dot4_sat(const struct c_form *form, struct text *out)
{
    print(form, out, INLINE "$V dot4_sat_$s($V a, $V b, $V c)\n{\n");
    bool wide = begin_pairs(form, out, "__SSSE3__");
    if (wide) {
        print(form, out, "    const $I sums = $P_maddubs_epi16(($I)a, ($I)b);\n"
                         "    return ($V)$P_add_epi32(($I)c, $P_madd_epi16(sums, $P_set1_epi16(1)));\n#else\n");
    }
    print(form, out, "    $U sum = ($U)c;\n    for (int k = 0; k < 32; k += 16) {\n"
                     "        $V pair = ($V)((($U)a >> k) & 255)*(($V)(($U)b << (24 - k)) >> 24);\n"
                     "        pair += ($V)((($U)a >> (k + 8)) & 255)*(($V)(($U)b << (16 - k)) >> 24);\n"
                     "        const $V low = pair < -32768, high = pair > 32767;\n"
                     "        sum += ($U)((pair & ~(low | high)) | (low & -32768) | (high & 32767));\n    }\n    return ($V)sum;\n");
    if (wide) text_add(out, "#endif\n");
    text_add(out, "}\n\n");
}

static void print_dot2(const struct c_form *form, struct text *out)
{
    print(form, out, INLINE "$V dot2_$s($V a, $V b, $V c)\n{\n");
    bool wide = begin_pairs(form, out, "__SSE2__");
    if (wide) print(form, out, "    return ($V)$P_add_epi32(($I)c, $P_madd_epi16(($I)a, ($I)b));\n#else\n");
    print(form, out, "    const $V low = (($V)(($U)a << 16) >> 16)*(($V)(($U)b << 16) >> 16), high = (a >> 16)*(b >> 16);\n"
                     "    return ($V)(($U)c + ($U)low + ($U)high);\n");
    if (wide) text_add(out, "#endif\n");
    text_add(out, "}\n\n");
}

/* The bound is for what the conversion cannot hold; a NaN, its second operand, passes it and becomes the least number, as do
 * those below. Packing works in groups of 16 bytes, so that fours of results have to be put in order. */
static void print_pack(const struct c_form *form, struct text *out)
{
    struct c_form real = {form->printer, DT_f32, DT_f32, form->lanes / 2};
    print(form, out, INLINE "$V pack_$s(");
    print(&real, out, "$V a, $V b, int32_t c)\n{\n");
    bool wide = form_bytes(&real) >= 32 && begin_pairs(&real, out, "");
    if (wide) {
        print(&real, out, "    const $X most = $P_set1_ps(0x1p30f);\n    $I v = "
                          "$P_packs_epi32($P_cvtps_epi32($P_min_ps(most, ($X)a)), $P_cvtps_epi32($P_min_ps(most, ($X)b)));\n"
                          "    v = $P_adds_epi16(v, $P_set1_epi16((short)c));\n");
        print(form, out, form->lanes == 32 ? "    v = _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 0, 4, 8, 12, 1, 5, 9, 13), _mm512_packus_epi16(v, v));\n"
                                             "    return ($V)_mm512_castsi512_si256(v);\n#else\n"
                                           : "    const __m128i fours = _mm_packus_epi16(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));\n"
                                             "    return ($V)_mm_shuffle_epi32(fours, 0xd8);\n#else\n");
    }
    print(form, out, "    $V sums;\n    for (int l = 0; l < $n/2; l++) {\n"
                     "        const float low = rintf(a[l]) + (float)c, high = rintf(b[l]) + (float)c;\n"
                     "        sums[l] = low >= 255.0f ? 255 : low > 0.0f ? (uint8_t)low : 0;\n"
                     "        sums[l + $n/2] = high >= 255.0f ? 255 : high > 0.0f ? (uint8_t)high : 0;\n    }\n    return sums;\n");
    if (wide) text_add(out, "#endif\n");
    text_add(out, "}\n\n");
}

static void print_rounding(const struct c_form *form, struct text *out, int h)
{
    const char *name = expr_row((enum expr_op)h)->name;
    text_printf(out, INLINE);
    print(form, out, "$V ");
    text_add(out, name);
    print(form, out, "_$s($V a)\n{\n");
    bool wide = begin_float(form, out, h == EX_sqrt ? "__SSE2__" : "__SSE4_1__");
    if (wide) {
        int mode = h == EX_round   ? 8
                   : h == EX_floor ? 9
                   : h == EX_ceil  ? 10
                                   : 11; /* the low bits of the immediate; 8: no exception */
        print(form, out,
              h == EX_sqrt             ? "    return ($V)$P_sqrt_$E(($X)a)"
              : form_bytes(form) == 64 ? "    return ($V)$P_roundscale_$E(($X)a, "
                                       : "    return ($V)$P_round_$E(($X)a, ");
        if (h != EX_sqrt) text_printf(out, "%d)", mode);
        text_add(out, ";\n#else\n");
    }
    struct text item = {.arena = out->arena};
    text_printf(&item, "%s$f(a[%%])", h == EX_round ? "rint" : name);
    lanes(form, out, "    return ($V)", text_string(&item), ";\n");
    if (wide) text_add(out, "#endif\n");
    text_add(out, "}\n\n");
}

static void print_shift(const struct c_form *form, struct text *out, bool left)
{
    int last = (int)dtype_bytes(form->dt) * 8 - 1;
    struct text k = {.arena = out->arena};
    print(form, out, left ? INLINE "$V shl_$s($V a, $V b)\n{\n" : INLINE "$V shr_$s($V a, $V b)\n{\n");
    text_printf(&k, "%d", last);
    lanes(form, out, "    const $U last = ", text_string(&k), ";\n");
    print(form, out, "    const $M inside = ($M)(($U)b <= last);\n");
    if (left) print(form, out, "    return ($V)((($U)a << (($U)b & last)) & ($U)inside);\n}\n\n");
    else if (dtype_class(form->dt) == DT_SIGNED)
        print(form, out, "    return a >> ((inside & b) | (~inside & ($M)last));\n}\n\n");
    else print(form, out, "    return ($V)((a >> (b & last)) & ($U)inside);\n}\n\n");
}

static void print_lanewise(const struct c_form *form, struct text *out, int h)
{
    const char *word =
        form->dt == DT_index ? (h == EX_div ? "floor_div" : "floor_mod") : expr_row((enum expr_op)h)->name;
    struct text item = {.arena = out->arena};
    text_printf(&item, "%s_%s(a[%%], b[%%])", word, cfamily_type(form->printer, form->dt, 1));
    text_printf(out, INLINE);
    print(form, out, "$V ");
    text_add(out, word);
    print(form, out, "_$s($V a, $V b)\n{\n");
    lanes(form, out, "    return ($V)", text_string(&item), ";\n}\n\n");
}

static void print_integer(const struct c_form *form, struct text *out, int h)
{
    switch (h) {
    case EX_add: print(form, out, INLINE "$V add_$s($V a, $V b)\n{\n    return ($V)(($U)a + ($U)b);\n}\n\n"); return;
    case EX_sub: print(form, out, INLINE "$V sub_$s($V a, $V b)\n{\n    return ($V)(($U)a - ($U)b);\n}\n\n"); return;
    case EX_mul: print(form, out, INLINE "$V mul_$s($V a, $V b)\n{\n    return ($V)(($U)a * ($U)b);\n}\n\n"); return;
    case EX_neg: print(form, out, INLINE "$V neg_$s($V a)\n{\n    return ($V)(-($U)a);\n}\n\n"); return;
    case EX_abs:
        print(form, out,
              INLINE
              "$V abs_$s($V a)\n{\n    const $U m = ($U)(a < ($V){0});\n    return ($V)((($U)a ^ m) - m);\n}\n\n");
        return;
    default: bug("c_vector", "helper %d of %s", h, dtype_name(form->dt));
    }
}

/* Float to integer: truncates, saturates, NaN gives 0. Bounds are powers of two, exact in either float type. */
static void print_saturating(const struct c_form *form, struct text *out)
{
    bool is_signed = dtype_class(form->dt) == DT_SIGNED;
    int bits = (int)dtype_bytes(form->dt) * 8 - is_signed;
    struct c_form from = {form->printer, form->other, form->other, form->lanes};
    struct text low = {.arena = out->arena}, high = {.arena = out->arena}, most = {.arena = out->arena};
    text_printf(&high, "0x1p%d%s", bits, form->other == DT_f32 ? "f" : "");
    if (is_signed) text_printf(&low, "-0x1p%d%s", bits, form->other == DT_f32 ? "f" : "");
    else text_add(&low, "0");
    text_printf(&most, "%sINT%d_MAX", is_signed ? "" : "U", (int)dtype_bytes(form->dt) * 8);
    print(form, out, INLINE "$V $s_from_$T($W a)\n{\n");
    lanes(&from, out, "    const $V low = ", text_string(&low), ";\n");
    lanes(&from, out, "    const $V high = ", text_string(&high), ";\n");
    lanes(form, out, "    const $V most = ", text_string(&most), ";\n");
    print(&from, out,
          "    const $M above = ($M)(a >= high), below = ($M)(a < low), number = ($M)(a == a);\n"
          "    a = ($V)((below & ($M)low) | (~below & ~above & number & ($M)a));\n");
    print(form, out,
          "    const $V inside = __builtin_convertvector(a, $V);\n    const $M full = __builtin_convertvector(above, "
          "$M);\n"
          "    return ($V)((full & ($M)most) | (~full & ($M)inside));\n}\n\n");
}

/* The same for f32 and integers of 8 and 16 bits: bounds first, as floats; the instructions give their second operand
 * where the first is NaN, so that only a lower bound other than 0 has to ask. */
static void print_narrowing(const struct c_form *form, struct text *out)
{
    struct c_form from = {form->printer, DT_f32, DT_f32, form->lanes}, word = {form->printer, DT_i32, DT_i32, form->lanes};
    struct text low = {.arena = out->arena}, high = {.arena = out->arena};
    bool is_signed = dtype_class(form->dt) == DT_SIGNED;
    text_printf(&low, "%lld", (long long)dtype_int_min(form->dt));
    text_printf(&high, "%llu", (unsigned long long)dtype_int_max(form->dt));
    print(form, out, INLINE "$V $s_from_$T($W a)\n{\n");
    lanes(&from, out, "    const $V low = ", text_string(&low), ";\n");
    lanes(&from, out, "    const $V high = ", text_string(&high), ";\n");
    if (is_signed) print(&from, out, "    a = ($V)(($M)a & ($M)(a == a));\n");
    if (begin_float(&from, out, "__SSE2__"))
        print(&from, out, "    a = ($V)$P_min_$E($P_max_$E(($X)a, ($X)low), ($X)high);\n#else\n");
    print(&from, out, "    a = ($V)((($M)(a > low) & ($M)a) | (~($M)(a > low) & ($M)low));\n"
                      "    a = ($V)((($M)(a < high) & ($M)a) | (~($M)(a < high) & ($M)high));\n");
    if (begin_float(&from, &(struct text){.arena = out->arena}, "__SSE2__")) text_add(out, "#endif\n");
    print(&word, out, "    const $V whole = __builtin_convertvector(a, $V);\n");
    print(form, out, "    return __builtin_convertvector(whole, $V);\n}\n\n");
}

/* Halves are combined until one lane is left. */
static void print_horizontal(const struct c_form *form, struct text *out, int h)
{
    const char *name = expr_row((enum expr_op)h)->name, *word = name + 1;
    bool plain = dtype_is_float(form->dt) && (h == EX_hadd || h == EX_hmul);
    const char *sign = h == EX_hadd ? "+" : "*";
    const char *half = cfamily_type(form->printer, form->dt, form->lanes / 2);
    text_printf(out, INLINE);
    print(form, out, "$S ");
    text_add(out, name);
    print(form, out, "_$s($V a)\n{\n");
    if (form->lanes == 2) {
        if (plain) text_printf(out, "    return a[0] %s a[1];\n}\n\n", sign);
        else text_printf(out, "    return %s_%s(a[0], a[1]);\n}\n\n", word, half);
        return;
    }
    struct c_form halves = {form->printer, form->dt, form->dt, form->lanes / 2};
    print(form, out, "    const $H low = ");
    lanes(&halves, out, "", "a[%]", ", high = ");
    text_add(out, "{");
    for (int i = form->lanes / 2; i < form->lanes; i++) text_printf(out, "%sa[%d]", i > form->lanes / 2 ? ", " : "", i);
    text_add(out, "};\n");
    if (plain) text_printf(out, "    return %s_%s(low %s high);\n}\n\n", name, half, sign);
    else text_printf(out, "    return %s_%s(%s_%s(low, high));\n}\n\n", name, half, word, half);
}

static void print_value(const struct c_form *form, struct text *out, int h)
{
    switch (h) {
    case EX_splat: lanes(form, out, INLINE "$V splat_$s($S a)\n{\n    return ($V)", "a", ";\n}\n\n"); return;
    case EX_ramp:
        lanes(form, out, INLINE "$V ramp_$s($S a, $S step)\n{\n    return ($V)($U)", "($B)(($u)a + %*($u)step)",
              ";\n}\n\n");
        return;
    case EX_select:
        print(form, out,
              INLINE "$V select_$s($M m, $V a, $V b)\n{\n    return ($V)((m & ($M)a) | (~m & ($M)b));\n}\n\n");
        return;
    case EX_is_nan: print(form, out, INLINE "$M is_nan_$s($V a)\n{\n    return ($M)(a != a);\n}\n\n"); return;
    case EX_is_inf:
        lanes(form, out, INLINE "$M is_inf_$s($V a)\n{\n    const $V most = ", "($S)INFINITY",
              ";\n    return ($M)(a == most) | ($M)(a == -most);\n}\n\n");
        return;
    case EX_bits: print(form, out, INLINE "$V bits_$s_$T($W a)\n{\n    return ($V)a;\n}\n\n"); return;
    case EX_cast:
        if (form->other == DT_f32 && !dtype_is_float(form->dt) && dtype_bytes(form->dt) <= 2) print_narrowing(form, out);
        else if (dtype_is_float(form->other) && !dtype_is_float(form->dt)) print_saturating(form, out);
        else if (dtype_bytes(form->other) * form->lanes > form->printer->target->vector_bytes ||
                 form_bytes(form) > form->printer->target->vector_bytes) /* gcc has a note on such arguments */
            print(form, out, "#define $s_from_$T(a) __builtin_convertvector(a, $V)\n\n");
        else print(form, out, INLINE "$V $s_from_$T($W a)\n{\n    return __builtin_convertvector(a, $V);\n}\n\n");
        return;
    case EX_abs: /* without the sign bit */
        print(form, out, INLINE "$V abs_$s($V a)\n{\n    return ($V)((($U)a << 1) >> 1);\n}\n\n");
        return;
    default: bug("c_vector", "helper %d of %s", h, dtype_name(form->dt));
    }
}

void c_vector_print(struct cfamily *printer, struct text *out, int h, enum dtype dt, enum dtype other, int n)
{
    struct c_form form = {printer, dt, other, n};
    switch (h) {
    case EX_load:
    case HELPER_STORE:
    case HELPER_LOAD_STRIDED:
    case HELPER_STORE_STRIDED:
    case HELPER_STORE_STRIDED_FIRST: print_memory(&form, out, h); return;
    case HELPER_LOAD_FIRST:
    case HELPER_STORE_FIRST: print_first(&form, out, h == HELPER_LOAD_FIRST); return;
    case EX_min:
    case EX_max:
    case HELPER_MIN_NUMBER:
    case HELPER_MAX_NUMBER: print_min_max(&form, out, h); return;
    case EX_from_f16:
    case EX_to_f16: c_half_vector(printer, out, h == EX_from_f16, n); return;
    case EX_fma: print_fma(&form, out); return;
    case EX_dot4: print_dot4(&form, out); return;
    case EX_dot4_sat: print_dot4_sat(&form, out); return;
    case EX_dot2: print_dot2(&form, out); return;
    case EX_pack: print_pack(&form, out); return;
    case HELPER_WORD: print(&form, out, INLINE "int32_t word_$s($V a)\n{\n    return (int32_t)a;\n}\n\n"); return;
    case EX_floor:
    case EX_ceil:
    case EX_round:
    case EX_trunc:
    case EX_sqrt: print_rounding(&form, out, h); return;
    case EX_hadd:
    case EX_hmul:
    case EX_hmin:
    case EX_hmax: print_horizontal(&form, out, h); return;
    case EX_shl:
    case EX_shr: print_shift(&form, out, h == EX_shl); return;
    case EX_div:
    case EX_mod:
    case EX_rem:
    case EX_pow: print_lanewise(&form, out, h); return;
    case EX_add:
    case EX_sub:
    case EX_mul:
    case EX_neg: print_integer(&form, out, h); return;
    case EX_abs:
        if (!dtype_is_float(dt)) {
            print_integer(&form, out, h);
            return;
        }
        print_value(&form, out, h);
        return;
    default: print_value(&form, out, h); return; /* helpers are numbered by two enums: no list of kinds here */
    }
}
