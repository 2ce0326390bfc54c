/* The head of printed C text: includes, vector types and just those helpers that were used.
 *
 * A helper may need another (a vector division is one scalar division per lane): needs() closes the set before
 * anything is printed. Read next: c_scalar.c, c_vector.c.
 */
#include "c_helpers.h"

#include <string.h>

static enum dtype unsigned_of(int64_t bytes)
{
    return bytes == 8 ? DT_u64 : bytes == 4 ? DT_u32 : bytes == 2 ? DT_u16 : DT_u8;
}

static const char *intrinsic_type(int64_t bytes, enum dtype dt)
{
    const char *end = dt == DT_f32 ? "" : dt == DT_f64 ? "d" : "i";
    static const char *const wide[3][3] = {
        {"__m128", "__m128d", "__m128i"}, {"__m256", "__m256d", "__m256i"}, {"__m512", "__m512d", "__m512i"}};
    return wide[bytes == 64 ? 2 : bytes == 32 ? 1 : 0][*end == 0 ? 0 : *end == 'd' ? 1 : 2];
}

static void put_placeholder(const struct c_form *form, struct text *out, char c)
{
    struct cfamily *printer = form->printer;
    const struct dialect *dialect = printer->dialect;
    int64_t bytes = dtype_bytes(form->dt);
    switch (c) {
    case 'S': text_add(out, dialect->scalar[form->dt]); return;
    case 's': text_add(out, cfamily_type(printer, form->dt, form->lanes)); return;
    case 'h': text_add(out, cfamily_type(printer, form->dt, form->lanes / 2)); return;
    case 'e': text_add(out, cfamily_type(printer, form->dt, 1)); return;
    case 'V': text_add(out, cfamily_vector(printer, form->dt, form->lanes)); return;
    case 'M': text_add(out, cfamily_vector(printer, cfamily_mask_type((int)bytes), form->lanes)); return;
    case 'U': text_add(out, cfamily_vector(printer, unsigned_of(bytes), form->lanes)); return;
    case 'u': text_add(out, dialect->scalar[bytes == 8 ? DT_u64 : DT_u32]); return;
    case 'B': text_add(out, dialect->scalar[unsigned_of(bytes)]); return;
    case 'H': text_add(out, cfamily_vector(printer, form->dt, form->lanes / 2)); return;
    case 'F': text_add(out, dialect->scalar[form->other]); return;
    case 'T': text_add(out, cfamily_type(printer, form->other, form->lanes)); return;
    case 'W': text_add(out, cfamily_vector(printer, form->other, form->lanes)); return;
    case 'n': text_printf(out, "%d", form->lanes); return;
    case 'w': text_printf(out, "%d", (int)bytes * 8); return;
    case 'P':
        text_add(out, bytes * form->lanes == 64 ? "_mm512" : bytes * form->lanes == 32 ? "_mm256" : "_mm");
        return;
    case 'X': text_add(out, intrinsic_type(bytes * form->lanes, form->dt)); return;
    case 'I': text_add(out, intrinsic_type(bytes * form->lanes, DT_i32)); return;
    case 'E': text_add(out, form->dt == DT_f32 ? "ps" : form->dt == DT_f64 ? "pd" : ""); return;
    case 'f': text_add(out, form->dt == DT_f32 ? dialect->float_suffix : ""); return;
    default: bug("c_form_print", "placeholder %c", c);
    }
}

void c_form_print(const struct c_form *form, struct text *out, const char *text)
{
    for (const char *p = text; *p;) {
        size_t n = strcspn(p, "$");
        text_add_n(out, p, n);
        p += n;
        if (!*p) break;
        put_placeholder(form, out, p[1]);
        p += 2;
    }
}

void c_form_list(const struct c_form *form, struct text *out, const char *item, const char *between)
{
    for (int i = 0; i < form->lanes; i++) {
        if (i) text_add(out, between);
        for (const char *p = item; *p; p++)
            if (*p == '%') text_printf(out, "%d", i);
            else if (*p == '@') text_printf(out, "%X", (unsigned)i);
            else text_add_n(out, p, 1);
    }
}

static bool is_lanewise(int h, enum dtype dt)
{
    if (h == EX_mod || h == EX_rem || h == EX_pow) return true;
    return h == EX_div && !dtype_is_float(dt);
}

/* What helper h needs besides; marks it and returns true where something was new. */
static bool needs(struct cfamily *printer, int h, enum dtype dt, enum dtype other, int log)
{
    bool fresh = false;
    enum dtype mask = cfamily_mask_type((int)dtype_bytes(dt)), word = unsigned_of(dtype_bytes(dt));
#define NEED(helper, type, other_type, log_lanes)                                                                      \
    do {                                                                                                               \
        bool *use = &printer->used[helper][type][other_type][log_lanes];                                               \
        fresh |= !*use;                                                                                                \
        *use = true;                                                                                                   \
    } while (0)
    if (log == 0) {
        if (h == EX_mod && dt != DT_index) NEED(EX_rem, dt, dt, 0);
        return fresh;
    }
    enum dtype value = dt == DT_bool ? DT_i8 : dt == DT_index ? DT_i64 : dt;
    NEED(HELPER_TYPE, value, value, log);
    if (dt == DT_bool) NEED(HELPER_TYPE, DT_u8, DT_u8, log);
    NEED(HELPER_TYPE, mask, mask, log);
    NEED(HELPER_TYPE, word, word, log);
    if (h == EX_cast || h == EX_bits) NEED(HELPER_TYPE, other, other, log);
    if (h == EX_cast && dtype_is_float(other) && !dtype_is_float(dt)) {
        enum dtype wide = cfamily_mask_type((int)dtype_bytes(other));
        NEED(HELPER_TYPE, wide, wide, log);
    }
    if (h == EX_pack) NEED(HELPER_TYPE, DT_f32, DT_f32, log - 1);
    if (h == EX_from_f16) NEED(HELPER_TYPE, DT_u16, DT_u16, log);
    if (h == EX_to_f16) NEED(HELPER_TYPE, DT_f32, DT_f32, log);
    if (is_lanewise(h, dt) || h == EX_from_f16 || h == EX_to_f16) NEED(h, dt, dt, 0);
    if (h == EX_hadd || h == EX_hmul || h == EX_hmin || h == EX_hmax) {
        int step = h == EX_hadd ? EX_add : h == EX_hmul ? EX_mul : h == EX_hmin ? EX_min : EX_max;
        bool plain = dtype_is_float(dt) && (h == EX_hadd || h == EX_hmul);
        if (log > 1) NEED(HELPER_TYPE, value, value, log - 1);
        if (log > 1) NEED(h, dt, dt, log - 1);
        if (!plain) NEED(step, dt, dt, log - 1);
    }
#undef NEED
    return fresh;
}

static bool close_once(struct cfamily *printer)
{
    bool fresh = false;
    for (int h = 0; h < HELPER_COUNT; h++)
        for (int dt = 0; dt < DT_COUNT; dt++)
            for (int other = 0; other < DT_COUNT; other++)
                for (int log = LANES_LOG_MOST; log >= 0; log--)
                    if (printer->used[h][dt][other][log] && h != HELPER_TYPE)
                        fresh |= needs(printer, h, (enum dtype)dt, (enum dtype)other, log);
    return fresh;
}

static bool any_vector(const struct cfamily *printer)
{
    for (int dt = 0; dt < DT_COUNT; dt++)
        for (int log = 1; log <= LANES_LOG_MOST; log++)
            if (printer->used[HELPER_TYPE][dt][dt][log]) return true;
    return false;
}

/* Whether a helper among those used has an intrinsic form. */
static bool any_intrinsic(const struct cfamily *printer)
{
    static const int kinds[] = {EX_min,
                                EX_max,
                                EX_fma,
                                EX_dot4,
                                EX_dot4_sat,
                                EX_dot2,
                                EX_pack,
                                EX_floor,
                                EX_ceil,
                                EX_round,
                                EX_trunc,
                                EX_sqrt,
                                HELPER_LOAD_FIRST,
                                HELPER_STORE_FIRST,
                                HELPER_MIN_NUMBER,
                                HELPER_MAX_NUMBER};
    if (printer->used[EX_from_f16][DT_f32][DT_f32][0] || printer->used[EX_to_f16][DT_u16][DT_u16][0]) return true;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (int dt = 0; dt < DT_COUNT; dt++)
            for (int log = 1; log <= LANES_LOG_MOST; log++)
                if (printer->used[kinds[k]][dt][dt][log] || printer->used[EX_cast][dt][DT_f32][log]) return true;
    return false;
}

static bool any_dot(const struct cfamily *printer)
{
    for (int log = 1; log <= LANES_LOG_MOST; log++)
        if (printer->used[EX_dot4][DT_i32][DT_i32][log]) return true;
    return false;
}

static void print_types(struct cfamily *printer, struct text *out)
{
    for (int dt = 0; dt < DT_COUNT; dt++)
        for (int log = 1; log <= LANES_LOG_MOST; log++)
            if (printer->used[HELPER_TYPE][dt][dt][log])
                text_printf(out, "typedef %s %s __attribute__((vector_size(%d)));\n", printer->dialect->scalar[dt],
                            cfamily_type(printer, (enum dtype)dt, 1 << log), (int)dtype_bytes((enum dtype)dt) << log);
}

/* Helpers in an order in which each follows what it needs: scalars first, narrow vectors before wide ones, and
 * horizontal ones last. */
static void print_functions(struct cfamily *printer, struct text *out, bool horizontal)
{
    for (int log = 0; log <= LANES_LOG_MOST; log++)
        for (int k = 0; k < HELPER_COUNT; k++) {
            int h = k == EX_mod ? EX_rem : k == EX_rem ? EX_mod : k; /* mod calls rem */
            if (h == HELPER_TYPE || (h == EX_hadd || h == EX_hmul || h == EX_hmin || h == EX_hmax) != horizontal)
                continue;
            for (int dt = 0; dt < DT_COUNT; dt++)
                for (int other = 0; other < DT_COUNT; other++) {
                    if (!printer->used[h][dt][other][log]) continue;
                    if (log == 0) c_scalar_print(printer, out, h, (enum dtype)dt, (enum dtype)other);
                    else printer->dialect->vector_helper(printer, out, h, (enum dtype)dt, (enum dtype)other, 1 << log);
                }
        }
}

/* Without a library: gcc would make loops that copy or fill into calls of memcpy and memset. */
static void print_small_head(struct text *out)
{
    text_add(out, "#include <stdbool.h>\n#include <stdint.h>\n\n#if defined(__clang__)\n#pragma STDC FP_CONTRACT OFF\n"
                  "#elif defined(__GNUC__)\n#pragma GCC optimize(\"no-tree-loop-distribute-patterns\")\n#endif\n"
                  "#define INFINITY (1.0f/0.0f)\n#define NAN (0.0f/0.0f)\n\n");
}

/* gcc 12's loop vectorizer loses stores in loops over 64-byte vectors; and the arena's bytes change type. */
static void print_head(struct text *out, bool vectors, bool intrinsics)
{
    if (vectors)
        text_add(out, "#if defined(__GNUC__) && !defined(__clang__)\n"
                      "#pragma GCC optimize(\"no-tree-vectorize\", \"no-strict-aliasing\")\n#endif\n");
    text_add(out, "#include <math.h>\n#include <stdbool.h>\n#include <stdint.h>\n#include <string.h>\n");
    if (intrinsics) text_add(out, "#if defined(__SSE2__)\n#include <immintrin.h>\n#endif\n");
    text_add(out, "\n#if defined(__clang__)\n#pragma STDC FP_CONTRACT OFF\n#endif\n");
    if (vectors) text_add(out, "#if defined(__GNUC__)\n#pragma GCC diagnostic ignored \"-Wpsabi\"\n#endif\n\n");
}

void helpers_print(struct cfamily *printer, struct text *out)
{
    print_functions(printer, out, false);
    print_functions(printer, out, true);
}

void helpers_close(struct cfamily *printer)
{
    while (close_once(printer)) continue;
}

void c_helpers_print(struct cfamily *printer, struct text *out)
{
    helpers_close(printer);
    if (printer->freestanding) print_small_head(out);
    else if (!printer->type_prefix) print_head(out, any_vector(printer), any_intrinsic(printer));
    if (!printer->type_prefix && any_dot(printer))
        text_add(out, "#if defined(__ARM_FEATURE_MATMUL_INT8)\n#include <arm_neon.h>\n#endif\n\n");
    print_types(printer, out);
    text_add(out, "\n");
    helpers_print(printer, out);
}

/* Several versions in one text: a head, and each between two pragmas. */

void c_versions_head(struct text *out)
{
    print_head(out, true, true);
}

/* The target's features as the list that target attributes take; gcc's has tuning in it, clang's has not. */
static void put_features(const struct target *target, struct text *out, bool tuning)
{
    bool first = true;
    for (const char *flag = strstr(target->c_flags, "-m"); flag; flag = strstr(flag + 2, "-m")) {
        size_t n = strcspn(flag + 2, " ");
        if (!tuning && memchr(flag + 2, '=', n)) continue;
        text_add(out, first ? "" : ",");
        text_add_n(out, flag + 2, n);
        first = false;
    }
}

/* What begin_feature of c_vector.c asks for, by the level that has it. */
static const struct {
    int level;
    const char *macro;
} features[] = {{1, "__SSE2__"},     {2, "__SSE4_1__"},  {3, "__AVX__"},      {3, "__FMA__"},       {3, "__F16C__"},       {3, "__AVX2__"},
                {4, "__AVX512F__"},  {4, "__AVX512BW__"}, {4, "__AVX512VL__"}, {5, "__AVX512VNNI__"}};

void c_version_begin(const struct target *target, struct text *out)
{
    text_printf(out, "\n/* ---- %s ---- */\n\n", target->name);
    if (*target->c_flags) {
        text_add(out, "#if defined(__clang__)\n#pragma clang attribute push(__attribute__((target(\"");
        put_features(target, out, false);
        text_add(out, "\"))), apply_to = function)\n#else\n#pragma GCC push_options\n#pragma GCC target(\"");
        put_features(target, out, true);
        text_add(out, "\")\n#endif\n");
    }
    for (size_t i = 0; i < sizeof features / sizeof *features; i++)
        if (features[i].level <= target->level) text_printf(out, "#define TENON%s\n", features[i].macro);
    text_add(out, "\n");
}

void c_version_end(const struct target *target, struct text *out)
{
    for (size_t i = 0; i < sizeof features / sizeof *features; i++)
        if (features[i].level <= target->level) text_printf(out, "#undef TENON%s\n", features[i].macro);
    if (*target->c_flags)
        text_add(out, "#if defined(__clang__)\n#pragma clang attribute pop\n#else\n#pragma GCC pop_options\n#endif\n");
}
