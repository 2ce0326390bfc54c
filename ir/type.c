/* Element types and tensor types; dimensions are in dim.c.  See type.h. */
#include "type.h"

#include <string.h>

static const struct dtype_row {
    const char *name;
    int64_t bytes;
    enum dtype_class class;
} row_of[DT_COUNT] = {
#define DT(name, bytes, class) {#name, bytes, DT_##class},
#include "dtypes.def"
#undef DT
};

const char *dtype_name(enum dtype dt)
{
    return row_of[dt].name;
}

bool dtype_from_name(const char *name, enum dtype *dt)
{
    for (int i = 0; i < DT_COUNT; i++)
        if (i != DT_index && !strcmp(row_of[i].name, name)) {
            *dt = (enum dtype)i;
            return true;
        }
    return false;
}

int64_t dtype_bytes(enum dtype dt)
{
    return row_of[dt].bytes;
}

enum dtype_class dtype_class(enum dtype dt)
{
    return row_of[dt].class;
}

int64_t dtype_int_min(enum dtype dt)
{
    if (dtype_class(dt) != DT_SIGNED) return 0;
    return (int64_t)(~(uint64_t)0 << (8 * dtype_bytes(dt) - 1));
}

uint64_t dtype_int_max(enum dtype dt)
{
    if (dt == DT_bool) return 1;
    int bits = (int)(8 * dtype_bytes(dt)) - (dtype_class(dt) == DT_SIGNED);
    return bits == 64 ? UINT64_MAX : ((uint64_t)1 << bits) - 1;
}

float bf16_to_float(uint16_t bits)
{
    uint32_t u = (uint32_t)bits << 16;
    float v;
    memcpy(&v, &u, sizeof v);
    return v;
}

uint16_t bf16_from_float(float v)
{
    uint32_t u;
    memcpy(&u, &v, sizeof u);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)((u >> 16) | 0x40u); /* stay NaN */
    return (uint16_t)((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

float f16_to_float(uint16_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x8000u) << 16, exponent = (bits >> 10) & 31u, fraction = bits & 0x3ffu, u;
    if (exponent == 31) u = sign | 0x7f800000u | fraction << 13 | (fraction ? 0x400000u : 0); /* a NaN becomes quiet, as in processors */
    else if (exponent) u = sign | (exponent + 112) << 23 | fraction << 13;
    else {
        float v = (float)fraction * 0x1p-24f;
        memcpy(&u, &v, sizeof u);
        u |= sign;
    }
    float v;
    memcpy(&v, &u, sizeof v);
    return v;
}

uint16_t f16_from_float(float v)
{
    uint32_t u;
    memcpy(&u, &v, sizeof u);
    uint32_t sign = (u >> 16) & 0x8000u, a = u & 0x7fffffffu;
    if (a > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | ((a >> 13) & 0x3ffu));
    if (a >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* rounds past 65504 */
    if (a >= 0x38800000u) {                                  /* normal */
        a -= 0x38000000u;
        return (uint16_t)(sign | ((a + 0xfffu + ((a >> 13) & 1u)) >> 13));
    }
    float magnitude, scaled;
    memcpy(&magnitude, &a, sizeof magnitude);
    scaled = magnitude + 0.5f; /* the ulp of 0.5 is 2^-24: adding rounds to half's denormal grid */
    memcpy(&a, &scaled, sizeof a);
    return (uint16_t)(sign | (a - 0x3f000000u));
}

bool size_mul(int64_t a, int64_t b, int64_t *product)
{
    return a >= 0 && b >= 0 && !__builtin_mul_overflow(a, b, product);
}

bool type_equal(const struct type *a, const struct type *b)
{
    return a->dt == b->dt && a->rank == b->rank &&
           !memcmp(a->dim, b->dim, (size_t)a->rank * sizeof a->dim[0]);
}

bool type_is_static(const struct type *type)
{
    for (int i = 0; i < type->rank; i++)
        if (!dim_is_const(type->dim[i])) return false;
    return true;
}

dim type_elements(struct dims *dims, const struct type *type)
{
    dim n = 1;
    for (int i = 0; i < type->rank; i++) n = dim_mul(dims, n, type->dim[i]);
    return n;
}

int64_t type_count(const struct type *type)
{
    int64_t n = 1;
    for (int i = 0; i < type->rank; i++)
        if (type->dim[i] == 0) return 0;
    for (int i = 0; i < type->rank; i++)
        if (!dim_is_const(type->dim[i]) || !size_mul(n, type->dim[i], &n) || n > ELEMENTS_MOST) return -1;
    return n;
}

void type_print(const struct dims *dims, struct text *text, const struct type *type)
{
    text_printf(text, "%s[", dtype_name(type->dt));
    for (int i = 0; i < type->rank; i++) {
        if (i) text_add(text, ", ");
        dim_print(dims, text, type->dim[i], false);
    }
    text_add(text, "]");
}

const char *type_string(const struct dims *dims, struct arena *arena, const struct type *type)
{
    struct text text = {.arena = arena};
    type_print(dims, &text, type);
    return text_string(&text);
}

const struct scale_note *scale_note_find(const struct scale_notes *notes, bool output, int position)
{
    for (int i = 0; i < notes->n; i++)
        if (notes->at[i].output == output && notes->at[i].position == position) return &notes->at[i];
    return NULL;
}
