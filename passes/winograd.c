/* Convolution by Winograd's algorithm, as three steps of index notation.
 *
 *     y = conv_last(pad(x), w)  3x3, stride 1
 *        ->   v[p, q, tile, c]  = (B x B')[p, q]            every tile of m+2 by m+2 inputs, transformed
 *             h[p, q, tile, o] += v[p, q, tile, c]*u[p, q, c, o]    (m+2)^2 matrix products; u made by the compiler
 *             y                 = (A h A')[i, j]            m by m outputs, then whatever follows on them
 *
 * m*m outputs cost (m+2)^2 multiplications instead of 9*m*m: 2.25 times fewer with m = 2, 4 times with m = 4. The
 * transforms evaluate polynomials at points 0, +s, -s, ..., infinity (Winograd, Arithmetic Complexity of Computations,
 * 1980; Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2016). Points come in pairs, so that a
 * pair's rows are even + s*odd and even - s*odd, and are numbers with few bits: 1 for m = 2; 5/8 and 3/2 for m = 4,
 * which keeps the error of f32 at twice direct convolution's (the usual 1 and 2: five times).
 *
 * Which layers: the cheaper by an estimate of cycles, in which the larger weights' way from memory counts; and only
 * where the error on the layer's own weights stays within ERROR_MOST (`too_inexact`). Outputs that whole tiles would
 * pass are not computed: the result is a prefix slice, which ir/nest.c builds loops for. Needs: sizes known, f32. */
#include "winograd.h"

#include <math.h>
#include <string.h>

enum { PAIRS_MOST = 2, TAPS = 3, SIDE_MOST = 2 * PAIRS_MOST + 2 };
struct transform {
    int pairs, m, side;            /* outputs and inputs along a side of a tile */
    double point[PAIRS_MOST];
    double g[SIDE_MOST][TAPS];     /* weights' */
    double b[SIDE_MOST][SIDE_MOST]; /* inputs' */
    double a[SIDE_MOST][SIDE_MOST]; /* outputs': m rows */
};

/* The product of (x^2 - s^2) over the pairs other than `except`, coefficients by power. */
static int product_of_pairs(const struct transform *t, int except, double *c)
{
    int n = 1;
    memset(c, 0, (SIDE_MOST + 2) * sizeof *c);
    c[0] = 1;
    for (int k = 0; k < t->pairs; k++) {
        double square = t->point[k] * t->point[k];
        if (k == except) continue;
        for (int i = n + 1; i >= 0; i--) c[i] = (i >= 2 ? c[i - 2] : 0) - square * c[i];
        n += 2;
    }
    return n;
}

/* Row r of a polynomial's products without one root; its value there is what the weights are divided by. */
static void set_point(struct transform *t, int row, double s, const double *c, int n, int shift)
{
    double at = 0, power = 1;
    for (int i = 0; i < n; i++) t->b[row][i + shift] += c[i];
    for (int i = 0; i < t->side; i++, power *= s) at += t->b[row][i] * power;
    for (int k = 0; k < TAPS; k++) t->g[row][k] = pow(s, k) / at;
    for (int i = 0; i < t->m; i++) t->a[i][row] = pow(s, i);
}

static void transform_make(struct transform *t, int m)
{
    double c[SIDE_MOST + 2];
    *t = (struct transform){.pairs = m / 2, .m = m, .side = m + 2, .point = {m == 2 ? 1 : 0.625, 1.5}};
    int n = product_of_pairs(t, -1, c), last = t->side - 1;
    set_point(t, 0, 0, c, n, 0);
    for (int i = 0; i < n; i++) t->b[last][i + 1] = c[i];
    t->g[last][TAPS - 1] = t->a[m - 1][last] = 1;
    for (int k = 0; k < t->pairs; k++) {
        n = product_of_pairs(t, k, c);
        for (int sign = 0; sign < 2; sign++) { /* x*(x + s)*c and x*(x - s)*c */
            double s = sign ? -t->point[k] : t->point[k];
            int row = 1 + 2 * k + sign;
            for (int i = 0; i < n; i++) t->b[row][i + 1] = s * c[i];
            set_point(t, row, s, c, n, 2);
        }
    }
}

struct load { /* element i along the transformed axis: the text before and after the number */
    const char *before, *after;
};

static void add_load(struct text *text, const struct load *load, int i)
{
    text_printf(text, "%s%d%s", load->before, i, load->after);
}

/* "w1*e1 + w2*e2 ..." of the row's weights that are not zero, among those that step over `by`, from `from`. */
static void add_sum(struct text *text, const double *weight, int from, int to, int by, const struct load *load)
{
    bool first = true;
    for (int i = from; i < to; i += by) {
        if (weight[i] == 0) continue;
        bool minus = weight[i] < 0 && !first;
        if (!first) text_add(text, minus ? " - " : " + ");
        double w = minus ? -weight[i] : weight[i];
        if (w != 1) text_printf(text, "%.17g*", w);
        add_load(text, load, i);
        first = false;
    }
}

/* Row r of the inputs' transform: even + s*odd for the points of a pair. */
static void add_input_row(const struct transform *t, int r, struct text *text, const struct load *load)
{
    if (r == 0 || r == t->side - 1) {
        add_sum(text, t->b[r], 0, t->side, 1, load);
        return;
    }
    double s = t->point[(r - 1) / 2], odd[SIDE_MOST];
    for (int i = 0; i < t->side; i++) odd[i] = t->b[r - !(r & 1)][i] / s; /* the same for both signs */
    text_add(text, "(");
    add_sum(text, t->b[r], 2, t->side, 2, load);
    text_printf(text, ") %c %.17g*(", r & 1 ? '+' : '-', s);
    add_sum(text, odd, 1, t->side, 2, load);
    text_add(text, ")");
}

/* Row r of the outputs' transform: sums of pairs for even powers, differences for odd ones. */
static void add_output_row(const struct transform *t, int r, struct text *text, const struct load *load)
{
    bool first = true;
    if (r == 0) add_load(text, load, 0), first = false;
    for (int k = 0; k < t->pairs; k++, first = false) {
        if (!first) text_add(text, " + ");
        double w = pow(t->point[k], r);
        if (w != 1) text_printf(text, "%.17g*", w);
        text_add(text, "(");
        add_load(text, load, 1 + 2 * k);
        text_add(text, r & 1 ? " - " : " + ");
        add_load(text, load, 2 + 2 * k);
        text_add(text, ")");
    }
    if (r == t->m - 1) {
        text_add(text, " + ");
        add_load(text, load, t->side - 1);
    }
}

/* left = select(letter == 0, row 0, select(letter == 1, row 1, ... )) where ... */
static struct value *transform_axis(struct graph *to, struct value *x, const struct transform *t, bool inputs, const char *left,
                                    const char *letter, const struct load *load, const char *where)
{
    struct text text = {.arena = to->arena};
    int rows = inputs ? t->side : t->m;
    text_add(&text, left);
    for (int r = 0; r < rows; r++) {
        if (r < rows - 1) text_printf(&text, "select(%s == %d, ", letter, r);
        if (inputs) add_input_row(t, r, &text, load);
        else add_output_row(t, r, &text, load);
        if (r < rows - 1) text_add(&text, ", ");
    }
    for (int r = 0; r < rows - 1; r++) text_add(&text, ")");
    text_add(&text, where);
    return graph_node(to, OP_index, 1, &x, 1, (struct attr[]){ATTR_S("meaning", text_string(&text))});
}

/* u[p, q] = (G w G')[p, q] of one 3x3 filter. */
static void transform_weight(const struct transform *t, const float *w, double u[SIDE_MOST][SIDE_MOST])
{
    double half[SIDE_MOST][TAPS];
    for (int p = 0; p < t->side; p++)
        for (int k = 0; k < TAPS; k++)
            half[p][k] = t->g[p][0] * (double)w[k] + t->g[p][1] * (double)w[TAPS + k] + t->g[p][2] * (double)w[2 * TAPS + k];
    for (int p = 0; p < t->side; p++)
        for (int q = 0; q < t->side; q++)
            u[p][q] = half[p][0] * t->g[q][0] + half[p][1] * t->g[q][1] + half[p][2] * t->g[q][2];
}

/* The weights as [p, q, o/block, c, block]. */
static struct value *pack_weights(struct graph *to, const struct transform *t, const struct tensor *w, int64_t block)
{
    int64_t n_out = w->type.dim[0], n_in = w->type.dim[1], count = t->side * t->side * n_out * n_in;
    float *data = arena_array(to->session, (size_t)count, sizeof *data);
    double u[SIDE_MOST][SIDE_MOST];
    for (int64_t o = 0; o < n_out; o++)
        for (int64_t c = 0; c < n_in; c++) {
            transform_weight(t, (const float *)w->data + (o * n_in + c) * TAPS * TAPS, u);
            float *at = data + (o / block * n_in + c) * block + o % block;
            for (int p = 0; p < t->side; p++)
                for (int q = 0; q < t->side; q++, at += n_out * n_in) *at = (float)u[p][q];
        }
    return graph_data(to, &(struct type){.dt = DT_f32, .rank = 5, .dim = {t->side, t->side, n_out / block, n_in, block}}, data);
}

/* Estimated cycles. Figures per cycle of the x86 cores since 2013: two multiply-adds of a vector, sustained to 92 and 80 %;
 * 16 bytes of the values that pass between the steps; 5 bytes of weights, which are met once a run. */
static const double BYTES_OF_MEMORY = 5;

struct layer {
    double outputs, tiles, n_in, n_out; /* pixels; tiles; channels */
};

static double direct_cycles(const struct layer *l, double lanes)
{
    double compute = l->outputs * l->n_in * l->n_out * 9 / (2 * lanes * 0.92), weights = 9 * l->n_in * l->n_out * 4 / BYTES_OF_MEMORY;
    return (compute > weights ? compute : weights) + 0.3 * (compute < weights ? compute : weights);
}

static double winograd_cycles(const struct transform *t, const struct layer *l, double lanes)
{
    double products = (double)t->side * t->side, tiles = l->tiles;
    double compute = products * tiles * l->n_in * l->n_out / (2 * lanes * 0.8), weights = products * l->n_in * l->n_out * 4 / BYTES_OF_MEMORY;
    double between = products * tiles * (l->n_in + l->n_out) * 4 * 2 / 16, work = products * tiles * (l->n_in + l->n_out) / lanes * 2.5;
    return (compute > weights ? compute : weights) + 0.6 * (compute < weights ? compute : weights) + between + work;
}

/* One tile in f32 as the kernels compute it, for output channel o, and the same in f64: squares of the difference and
 * of the exact value. Inputs like those after a relu. */
static void sample_tile(const struct transform *t, const struct tensor *w, int64_t o, uint64_t seed, double *off, double *all)
{
    int64_t n_in = w->type.dim[1];
    float h[SIDE_MOST][SIDE_MOST] = {{0}}, x[SIDE_MOST][SIDE_MOST];
    double exact[SIDE_MOST][SIDE_MOST] = {{0}}, u[SIDE_MOST][SIDE_MOST];
    int m = t->m, side = t->side;
    for (int64_t c = 0; c < n_in; c++) {
        const float *filter = (const float *)w->data + (o * n_in + c) * TAPS * TAPS;
        for (int i = 0; i < side * side; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            float v = (float)((double)(seed >> 40) / 0x1p23 - 1);
            x[i / side][i % side] = v > 0 ? v : 0;
        }
        transform_weight(t, filter, u);
        float half[SIDE_MOST][SIDE_MOST] = {{0}};
        for (int p = 0; p < side; p++)
            for (int j = 0; j < side; j++)
                for (int i = 0; i < side; i++) half[p][j] += (float)t->b[p][i] * x[i][j];
        for (int p = 0; p < side; p++)
            for (int q = 0; q < side; q++) {
                float v = 0;
                for (int j = 0; j < side; j++) v += (float)t->b[q][j] * half[p][j];
                h[p][q] += v * (float)u[p][q];
            }
        for (int i = 0; i < m * m * 9; i++)
            exact[i / 9 / m][i / 9 % m] += (double)x[i / 9 / m + i % 9 / 3][i / 9 % m + i % 3] * (double)filter[i % 9];
    }
    for (int i = 0; i < m; i++)
        for (int j = 0; j < m; j++) {
            float y = 0;
            for (int p = 0; p < side; p++)
                for (int q = 0; q < side; q++) y += (float)t->a[i][p] * (float)t->a[j][q] * h[p][q];
            *off += ((double)y - exact[i][j]) * ((double)y - exact[i][j]);
            *all += exact[i][j] * exact[i][j];
        }
}

static const double ERROR_MOST = 1e-5; /* relative, root of mean squares; typical: 1e-6, direct convolution 5e-7 */

/* Whether f32 would lose too much with this layer's weights. Not finite counts as too much. */
static bool too_inexact(const struct transform *t, const struct tensor *w)
{
    double off = 0, all = 0;
    int64_t n_out = w->type.dim[0], step = n_out > 8 ? n_out / 8 : 1;
    for (int64_t o = 0; o < n_out; o += step) sample_tile(t, w, o, (uint64_t)o + 1, &off, &all);
    return !(sqrt(off) <= ERROR_MOST * sqrt(all));
}

static struct value *build(struct graph *to, const struct winograd_conv *conv, const struct transform *t, const struct tensor *w)
{
    const struct type *x = &conv->x->type;
    int64_t size[2], tiles[2], before[] = {0, conv->pad[0], conv->pad[1], 0}, after[4] = {0};
    for (int i = 0; i < 2; i++) {
        size[i] = x->dim[i + 1] + conv->pad[i] + conv->pad_after[i] - (TAPS - 1);
        tiles[i] = (size[i] + t->m - 1) / t->m;
        after[i + 1] = tiles[i] * t->m + TAPS - 1 - x->dim[i + 1] - conv->pad[i];
    }
    struct value *in[] = {conv->x, graph_scalar(to, DT_f32, 0)};
    struct value *v = graph_node(to, OP_pad, 2, in, 2, (struct attr[]){ATTR_L("before", before, 4), ATTR_L("after", after, 4)});
    struct arena *arena = to->arena;
    int m = t->m, side = t->side, down = (int)tiles[0], across = (int)tiles[1];
    v = transform_axis(to, v, t, true, "y[p, n, a, w, c] = ", "p", &(struct load){arena_printf(arena, "x[n, a*%d + ", m), ", w, c]"},
                       arena_printf(arena, " where p < %d, a < %d", side, down));
    v = transform_axis(to, v, t, true, "y[p, q, n, a, b, c] = ", "q", &(struct load){arena_printf(arena, "x[p, n, a, b*%d + ", m), ", c]"},
                       arena_printf(arena, " where q < %d, b < %d", side, across));
    const char *product = arena_printf(arena, "y[p, q, n, a, b, k*%lld + j] += x[p, q, n, a, b, c] * w[p, q, k, c, j]",
                                       (long long)conv->block);
    struct value *operands[] = {v, pack_weights(to, t, w, conv->block)};
    double direct = 2.0 * TAPS * TAPS * (double)size[0] * (double)size[1] * (double)w->type.dim[0] * (double)w->type.dim[1];
    struct attr attrs[] = {ATTR_S("meaning", product), ATTR_F("direct_flops", direct * (double)dim_lo(to->dims, x->dim[0]))};
    struct value *h = graph_node(to, OP_index, 2, operands, 2, attrs);
    h = transform_axis(to, h, t, false, "y[i, q, n, a, b, o] = ", "i", &(struct load){"x[", ", q, n, a, b, o]"}, arena_printf(arena, " where i < %d", m));
    h = transform_axis(to, h, t, false, arena_printf(arena, "y[n, a*%d + i, b*%d + j, o] = ", m, m), "j",
                       &(struct load){"x[i, ", ", n, a, b, o]"}, arena_printf(arena, " where j < %d", m));
    if (!h) return NULL;
    dim start[4] = {0}, sizes[] = {x->dim[0], size[0], size[1], w->type.dim[0]};
    return graph_slice(to, h, start, (int64_t[]){1, 1, 1, 1}, sizes);
}

/* The layer for tiles of m outputs a side; 0: none. */
static struct layer layer_of(const struct winograd_conv *conv, const int64_t *size, int m)
{
    double down = m ? (double)((size[0] + m - 1) / m) : 0, across = m ? (double)((size[1] + m - 1) / m) : 0;
    return (struct layer){(double)size[0] * (double)size[1], down * across, (double)conv->w->type.dim[1], (double)conv->w->type.dim[0]};
}

/* The cheaper of the tiles that are exact enough into *best; false where direct convolution is cheaper. */
static bool choose_tile(const struct winograd_conv *conv, const int64_t *size, double lanes, struct transform *best)
{
    struct layer direct = layer_of(conv, size, 0);
    double least = conv->tile ? INFINITY : 0.9 * direct_cycles(&direct, lanes);
    bool found = false;
    for (int m = 2; m <= 4; m += 2) {
        struct transform t;
        struct layer layer = layer_of(conv, size, m);
        transform_make(&t, m);
        double cycles = winograd_cycles(&t, &layer, lanes);
        if ((conv->tile && conv->tile != m) || cycles >= least || too_inexact(&t, value_const(conv->w))) continue;
        least = cycles;
        *best = t;
        found = true;
    }
    return found;
}

struct value *winograd_build(struct graph *to, const struct winograd_conv *conv, const struct target *target)
{
    const struct tensor *w = value_const(conv->w);
    if (!conv->x || !w || w->type.dt != DT_f32 || w->type.rank != 4 || w->type.dim[2] != TAPS || w->type.dim[3] != TAPS) return NULL;
    const struct type *x = &conv->x->type;
    if (!target || target->vector_bytes < 16 || !dim_is_const(x->dim[1]) || !dim_is_const(x->dim[2])) return NULL;
    struct transform best;
    int64_t size[2];
    for (int i = 0; i < 2; i++) size[i] = x->dim[i + 1] + conv->pad[i] + conv->pad_after[i] - (TAPS - 1);
    if (size[0] < 1 || size[1] < 1 || type_count(&w->type) == 0) return NULL;
    return choose_tile(conv, size, target->vector_bytes / 4, &best) ? build(to, conv, &best, w) : NULL;
}
