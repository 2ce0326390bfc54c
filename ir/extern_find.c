/* The compiler's view of the extern functions: by name, and how much memory a call touches.  See extern.h. */
#include "extern.h"
#include "type.h"

#include <string.h>

static int64_t extent_top_k(int buffer, const int64_t *scalars)
{
    int64_t outer = scalars[0], n = scalars[1], k = scalars[2], dt = scalars[4], count;
    if (dt < 0 || dt >= DT_COUNT || k < 0 || k > n) return -1;
    if (scalars[3] < 1 || !size_mul(n, scalars[3], &n) || !size_mul(k, scalars[3], &k)) return -1;
    if (!size_mul(outer, buffer == 0 ? n : k, &count)) return -1;
    return size_mul(count, buffer == 2 ? 8 : dtype_bytes((enum dtype)dt), &count) ? count : -1;
}

static const struct extern_row rows[] = {
#define EXTERN(name, buffers, scalars) {#name, tenon_##name, buffers, scalars, extent_##name},
#include "extern.def"
#undef EXTERN
};

const struct extern_row *extern_find(const char *name)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!strcmp(rows[i].name, name)) return &rows[i];
    return NULL;
}
