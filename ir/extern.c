/* Functions called by compiled models.
 *
 * This text is carried into artefacts, so it includes nothing of ours; ir/extern.def lists the functions. They
 * take no memory and keep no state.
 *
 * tenon_top_k: the k largest (or smallest) elements along an axis, and where they are.
 *   buffers  0 x [outer, n, inner]   1 values [outer, k, inner]   2 indices, int64_t [outer, k, inner]
 *   scalars  0 outer   1 n   2 k   3 inner   4 type, as in ir/dtypes.def: f64 0, f32 1, f16 2, bf16 3, i8 4,
 *            i16 5, i32 6, i64 7, u8 8, u16 9, u32 10, u64 11, bool 12   5 largest (0: smallest)
 *            6 sorted (0: any order will do; we sort all the same)
 * Equal elements come in the order of their indices. NaN counts as larger than every number (as in NumPy). Needs
 * 0 <= k <= n; returns 0.
 * tenon_det, below: determinants.
 *
 * Insertion into a sorted list of k: O(n*k) at worst, O(n) when few elements belong to the list.
 */
#include <stdint.h>
#include <string.h>

int tenon_top_k(void *const *buffers, const int64_t *scalars);

/* Whether element p comes strictly before q in falling order. */
static int tenon_greater(int64_t type, const unsigned char *p, const unsigned char *q)
{
    static const int shift[] = {0, 0, 0, 0, 56, 48, 32, 0, 56, 48, 32, 0, 56};
    uint64_t a = 0, b = 0;
    if (type == 0) {
        double x, y;
        memcpy(&x, p, sizeof x);
        memcpy(&y, q, sizeof y);
        return y == y && (x != x || x > y);
    }
    if (type == 1) {
        float x, y;
        memcpy(&x, p, sizeof x);
        memcpy(&y, q, sizeof y);
        return y == y && (x != x || x > y);
    }
    if (type == 2 || type == 3) { /* 16-bit floats: magnitude order of the bits, mirrored for negative ones */
        uint16_t u, v, inf = type == 2 ? 0x7c00 : 0x7f80;
        memcpy(&u, p, sizeof u);
        memcpy(&v, q, sizeof v);
        int32_t x = u & 0x7fff, y = v & 0x7fff;
        if (y > inf) return 0;
        if (x > inf) return 1;
        if (u & 0x8000) x = -x;
        if (v & 0x8000) y = -y;
        return x > y;
    }
    size_t size = type == 7 || type == 11 ? 8 : type == 6 || type == 10 ? 4 : type == 5 || type == 9 ? 2 : 1;
    for (size_t i = 0; i < size; i++) {
        a |= (uint64_t)p[i] << (8 * i);
        b |= (uint64_t)q[i] << (8 * i);
    }
    a <<= shift[type];
    b <<= shift[type];
    if (type < 8) { /* signed: the sign bit counts the other way round */
        a ^= (uint64_t)1 << 63;
        b ^= (uint64_t)1 << 63;
    }
    return a > b;
}

/* Along one line of elements `step` apart. */
static void tenon_top_k_line(const unsigned char *x, unsigned char *values, int64_t *indices, int64_t step, const int64_t *scalars)
{
    static const int bytes[] = {8, 4, 2, 2, 1, 2, 4, 8, 1, 2, 4, 8, 1};
    int64_t n = scalars[1], k = scalars[2], type = scalars[4], count = 0;
    int64_t size = bytes[type], line = step * size;
    for (int64_t i = 0; i < n; i++) {
        const unsigned char *v = x + i * line;
        int64_t at = count;
        while (at > 0) {
            const unsigned char *other = values + (at - 1) * line;
            if (scalars[5] ? !tenon_greater(type, v, other) : !tenon_greater(type, other, v)) break;
            at--;
        }
        if (at == k) continue;
        if (count < k) count++;
        for (int64_t j = count - 1; j > at; j--) {
            memcpy(values + j * line, values + (j - 1) * line, (size_t)size);
            indices[j * step] = indices[(j - 1) * step];
        }
        memcpy(values + at * line, v, (size_t)size);
        indices[at * step] = i;
    }
}

int tenon_top_k(void *const *buffers, const int64_t *scalars)
{
    static const int bytes[] = {8, 4, 2, 2, 1, 2, 4, 8, 1, 2, 4, 8, 1};
    int64_t outer = scalars[0], n = scalars[1], k = scalars[2], inner = scalars[3], size = bytes[scalars[4]];
    for (int64_t i = 0; i < outer; i++)
        for (int64_t j = 0; j < inner; j++)
            tenon_top_k_line((const unsigned char *)buffers[0] + (i * n * inner + j) * size,
                             (unsigned char *)buffers[1] + (i * k * inner + j) * size,
                             (int64_t *)buffers[2] + (i * k * inner + j), inner, scalars);
    return 0;
}

int tenon_det(void *const *buffers, const int64_t *scalars);

/* One matrix, destroyed: Gaussian elimination with the largest pivot of each column. */
static double tenon_det_of(double *a, int64_t n)
{
    double det = 1;
    for (int64_t k = 0; k < n; k++) {
        int64_t best = k;
        for (int64_t i = k + 1; i < n; i++) {
            double v = a[i * n + k] < 0 ? -a[i * n + k] : a[i * n + k], w = a[best * n + k] < 0 ? -a[best * n + k] : a[best * n + k];
            if (v > w) best = i;
        }
        double pivot = a[best * n + k];
        det *= best == k ? pivot : -pivot;
        if (pivot == 0) return det;
        for (int64_t j = k; j < n; j++) {
            double t = a[best * n + j];
            a[best * n + j] = a[k * n + j];
            a[k * n + j] = t;
        }
        for (int64_t i = k + 1; i < n; i++) {
            double f = a[i * n + k] / pivot;
            for (int64_t j = k + 1; j < n; j++) a[i * n + j] -= f * a[k * n + j];
        }
    }
    return det;
}

/* buffers  0 x [outer, n, n]   1 determinants [outer]   2 workspace, double [n, n]
 * scalars  0 outer   1 n   2 type: f64 0, f32 1. Computed in double; returns 0. */
int tenon_det(void *const *buffers, const int64_t *scalars)
{
    int64_t outer = scalars[0], n = scalars[1];
    double *work = (double *)buffers[2];
    for (int64_t m = 0; m < outer; m++) {
        for (int64_t i = 0; i < n * n; i++)
            work[i] = scalars[2] ? (double)((const float *)buffers[0])[m * n * n + i] : ((const double *)buffers[0])[m * n * n + i];
        double det = tenon_det_of(work, n);
        if (scalars[2]) ((float *)buffers[1])[m] = (float)det;
        else ((double *)buffers[1])[m] = det;
    }
    return 0;
}
