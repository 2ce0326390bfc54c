/* The compiler's view of the extern functions: by name, and how much memory a call touches.  See extern.h. */
#include "extern.h"
#include "graph.h"

#include <string.h>

static int64_t extent_top_k(int buffer, const int64_t *scalars)
{
    int64_t outer = scalars[0], n = scalars[1], k = scalars[2], dt = scalars[4], count;
    if (dt < 0 || dt >= DT_COUNT || k < 0 || k > n) return -1;
    if (scalars[3] < 1 || !size_mul(n, scalars[3], &n) || !size_mul(k, scalars[3], &k)) return -1;
    if (!size_mul(outer, buffer == 0 ? n : k, &count)) return -1;
    return size_mul(count, buffer == 2 ? 8 : dtype_bytes((enum dtype)dt), &count) ? count : -1;
}

static int64_t extent_det(int buffer, const int64_t *scalars)
{
    int64_t outer = scalars[0], n = scalars[1], matrix, count;
    if ((scalars[2] != DT_f64 && scalars[2] != DT_f32) || !size_mul(n, n, &matrix)) return -1;
    if (buffer == 2) return size_mul(matrix, 8, &count) ? count : -1;
    if (!size_mul(outer, buffer == 0 ? matrix : 1, &count)) return -1;
    return size_mul(count, dtype_bytes((enum dtype)scalars[2]), &count) ? count : -1;
}

int extern_scalars(struct dims *dims, const struct node *node, dim *scalars)
{
    const struct type *x = &node->in[0]->type;
    dim outer = 1, dt = (dim)x->dt;
    bool det = node->op == OP_det;
    for (int i = 0; i < x->rank - (det ? 2 : 1); i++) outer = dim_mul(dims, outer, x->dim[i]);
    dim n = x->dim[x->rank - 1];
    if (!det && node->op != OP_top_k) bug("extern", "operator %s", op_row(node->op)->name);
    dim all[] = {outer, n, node_int(node, "k", 0), 1, dt, node_int(node, "largest", 1), node_int(node, "sorted", 1)};
    if (det) all[2] = dt;
    memcpy(scalars, all, sizeof all);
    return det ? 3 : 7;
}

static int64_t extent_note(int buffer, const int64_t *scalars)
{
    (void)buffer, (void)scalars;
    return 0;
}

static const struct extern_row rows[] = {
#define EXTERN(name, buffers, scalars, file) {#name, tenon_##name, buffers, scalars, file, extent_##name},
#include "extern.def"
#undef EXTERN
};

const struct extern_row *extern_find(const char *name)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!strcmp(rows[i].name, name)) return &rows[i];
    return NULL;
}
