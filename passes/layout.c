/* Pass layout: channels last for convolutions, weights in blocks of output channels.
 *
 *     y = conv(x, w, pad: [1, 1])        t = transpose(x, perm: [0, 2, 3, 1])
 *                                        y = conv_last(pad(t), packed w)       channels last from here on
 *     y = matmul(x, w)                   y = matmul_packed(x, packed w)        w constant
 *
 * Elementwise operators, pools, concats, pads and slices between convolutions follow the convolutions' layout, so a
 * value is transposed only where an island begins or ends; what is needed in the model's own order is transposed
 * back when asked for. Packing is done here, on constants: [q, k.., c, j] with j running over a block, so that the
 * innermost loops read weights as one stream and vectors run along output channels.
 * Needs: composites expanded, weights constant. Leaves alone: grouped convolutions other than depthwise ones,
 * weights that are computed. Follows: Liu et al., Optimizing CNN Model Inference on CPUs (2019), section 3, with
 * full channels innermost instead of blocked ones, which needs no multiple of the vector width. */
#include "bytes.h"
#include "constant.h"
#include "passes.h"
#include "phases.h"
#include "winograd.h"

#include <string.h>

struct layout {
    struct graph *to;
    struct value **map;  /* old value -> new, in the model's order */
    struct value **last; /* old value -> new with channels last, where it was made so */
    struct value **real; /* old i32 value -> the same numbers in f32, channels last, of magnitude at most most[] */
    int64_t *most;
    bool *made_last;     /* by old id: the operator that makes it works with channels last */
    int lanes;           /* of f32 in the target's vectors */
    const struct pass_options *options;
};

/* Where axis `a` of rank r goes when channels go last, and the permutation as transpose wants it. */
static int to_last(int a, int r)
{
    return a == 0 ? 0 : a == 1 ? r - 1 : a - 1;
}

static void perm_to_last(int r, int64_t *perm)
{
    for (int a = 0; a < r; a++) perm[to_last(a, r)] = a;
}

static void perm_back(int r, int64_t *perm)
{
    for (int a = 0; a < r; a++) perm[a] = to_last(a, r);
}

static struct value *get(struct layout *l, const struct value *old)
{
    if (!l->map[old->id] && l->last[old->id]) {
        int64_t perm[RANK_MOST];
        perm_back(old->type.rank, perm);
        l->map[old->id] = graph_transpose(l->to, l->last[old->id], perm);
    }
    return l->map[old->id];
}

static struct value *get_last(struct layout *l, const struct value *old)
{
    if (l->last[old->id]) return l->last[old->id];
    int64_t perm[RANK_MOST];
    int r = old->type.rank;
    perm_to_last(r, perm);
    if (old->node->op == OP_broadcast) { /* the small tensor moves, not the large one */
        dim dims[RANK_MOST];
        for (int a = 0; a < r; a++) dims[a] = old->type.dim[perm[a]];
        l->last[old->id] = graph_broadcast(l->to, get_last(l, old->node->in[0]), r, dims);
    } else l->last[old->id] = graph_transpose(l->to, get(l, old), perm);
    return l->last[old->id];
}

static bool is_last(const struct layout *l, const struct value *old)
{
    return l->made_last[old->id];
}

/* Size of blocks for n output channels: a divisor of n of a few vectors that wastes the fewest lanes, and *waste, lanes
 * used over lanes needed. */
static int64_t pick_divisor(const struct layout *l, int64_t n, double *waste)
{
    int64_t best = 0;
    double least = 1e9;
    int lanes = l->lanes;
    for (int64_t b = 1; b <= 4 * lanes && b <= n; b++) {
        if (n % b) continue;
        int64_t vectors = (b + lanes - 1) / lanes;
        double cost = (double)(vectors * lanes) / (double)b + (vectors == 1 ? 0.15 : 0) + (vectors == 4 ? 0.03 : 0);
        if (cost < least) {
            least = cost;
            best = b;
        }
    }
    *waste = least;
    return best && least < 2 ? best : n; /* no good divisor: one block, read with its tail */
}

static int64_t pick_block(const struct layout *l, int64_t n)
{
    double waste;
    return pick_divisor(l, n, &waste);
}

/* A block, and how many channels whole blocks have: more than n where no divisor of n suits and zeros cost less. */
static int64_t pick_blocks(const struct layout *l, const struct value *w, int64_t n, int64_t *size)
{
    double waste;
    int64_t block = pick_divisor(l, n, &waste), even = 2 * l->lanes, up = (n + even - 1) / even * even;
    *size = n;
    if (dtype_bytes(w->type.dt) != 4 || n <= even || waste < 1.05 * (double)up / (double)n) return block;
    *size = up;
    return even;
}

/* The first n elements along the last axis. */
static struct value *first_of(struct layout *l, struct value *x, int64_t n)
{
    return x ? graph_slice_axis(l->to, x, x->type.rank - 1, 0, n) : NULL;
}

static struct value *pad_axes(struct layout *l, struct value *x, const int64_t *before, const int64_t *after, double v)
{
    int64_t b[RANK_MOST] = {0}, a[RANK_MOST] = {0};
    if (!x) return NULL;
    int r = x->type.rank;
    for (int i = 0; i < r - 2; i++) b[i + 1] = before[i], a[i + 1] = after[i];
    struct value *in[] = {x, graph_scalar(l->to, x->type.dt, v)};
    return graph_node(l->to, OP_pad, 2, in, 2, (struct attr[]){ATTR_L("before", b, r), ATTR_L("after", a, r)});
}

static bool any_negative(const int64_t *list, int n)
{
    for (int i = 0; i < n; i++)
        if (!dim_is_const(list[i]) || list[i] < 0) return true;
    return false;
}

static bool all_ones(const int64_t *list, int n)
{
    for (int i = 0; i < n; i++)
        if (list[i] != 1) return false;
    return true;
}

static struct value *pack_weight(struct layout *l, struct value *w, int64_t block)
{
    int64_t perm[RANK_MOST];
    dim dims[RANK_MOST];
    int r = w->type.rank; /* [o, c, k..] -> [o/block, block, c, k..] -> [o/block, k.., c, block] */
    dims[0] = w->type.dim[0] / block;
    dims[1] = block;
    for (int i = 1; i < r; i++) dims[i + 1] = w->type.dim[i];
    perm[0] = 0;
    for (int i = 2; i < r; i++) perm[i - 1] = i + 1;
    perm[r - 1] = 2;
    perm[r] = 1;
    return graph_transpose(l->to, graph_reshape(l->to, w, r + 1, dims), perm);
}

/* A window of 3 by 3 that steps by one. */
static bool is_3x3(const struct node *node)
{
    const struct type *w = &node->in[1]->type;
    const struct attr *stride = node_attr(node, "stride"), *dilation = node_attr(node, "dilation");
    return w->rank == 4 && w->dim[2] == 3 && w->dim[3] == 3 && all_ones(stride->ints, 2) && all_ones(dilation->ints, 2);
}

/* The stride of zeros along the spatial axes that the operand of a plain convolution was given, or NULL. */
static const int64_t *zeros_between(const struct node *node)
{
    const struct node *x = node->in[0]->node;
    int n = node->in[0]->type.rank - 2;
    if (x->op != OP_dilate || !all_ones(node_attr(node, "stride")->ints, n) || !all_ones(node_attr(node, "dilation")->ints, n)) return NULL;
    const int64_t *stride = node_attr(x, "stride")->ints;
    return all_ones(stride, 2) ? stride + 2 : NULL;
}

static struct value *moving_zero(struct layout *l, const struct bytes_operand *bytes)
{
    return bytes->moving ? get(l, bytes->moving) : NULL;
}

/* A convolution as a product of bytes; false where the operands are no bytes. */
static bool product_of_bytes(struct layout *l, const struct node *node, struct value *w, struct bytes_operand *bytes, struct bytes_product *product)
{
    if (!bytes_find(node->in[0], bytes)) return false;
    *product = (struct bytes_product){.x = get_last(l, bytes->byte), .zero = bytes->zero, .moving = moving_zero(l, bytes), .w = w, .n = w->type.rank - 2,
                                      .pad = node_attr(node, "pad")->ints, .pad_after = node_attr(node, "pad_after")->ints,
                                      .stride = node_attr(node, "stride"), .dilation = node_attr(node, "dilation"), .target = l->options->target};
    product->block = pick_blocks(l, w, w->type.dim[0], &product->size);
    return true;
}

/* Whether products of bytes go byte by byte. */
static bool is_plain(const struct layout *l)
{
    return l->options->target && l->options->target->is_small;
}

static struct value *convolution_of_bytes(struct layout *l, const struct node *node, struct value *w)
{
    struct bytes_operand bytes;
    struct bytes_product product;
    if (is_plain(l) && product_of_bytes(l, node, w, &bytes, &product)) {
        struct value *narrow = bytes_narrow(l->to, w);
        product.size = w->type.dim[0];
        product.block = pick_block(l, product.size);
        return narrow ? bytes_plain(l->to, &product, OP_conv_bytes, pack_weight(l, narrow, product.block)) : NULL;
    }
    return product_of_bytes(l, node, w, &bytes, &product) ? first_of(l, bytes_build(l->to, &product), w->type.dim[0]) : NULL;
}

static struct value *depthwise_convolution(struct layout *l, const struct node *node, struct value *padded, struct value *w)
{
    struct attr attrs[] = {*node_attr(node, "stride"), *node_attr(node, "dilation")};
    return graph_node(l->to, OP_conv_depth, 2, (struct value *[]){padded, constant_depthwise(l->to, w)}, 2, attrs);
}

/* A depthwise convolution of bytes in f32, where it is exact. What would not stay in the second cache level stays bytes. */
static struct value *depthwise_of_bytes(struct layout *l, const struct node *node, struct value *w)
{
    struct bytes_product product;
    struct bytes_operand bytes;
    int64_t n_in = type_count(&node->in[0]->type);
    if (!product_of_bytes(l, node, w, &bytes, &product)) return NULL;
    if (is_plain(l) || l->options->integer) {
        struct value *narrow = bytes_narrow(l->to, w);
        product.size = w->type.dim[0];
        return narrow ? bytes_plain(l->to, &product, OP_conv_depth_bytes, constant_depthwise(l->to, narrow)) : NULL;
    }
    int64_t most = bytes_most(&bytes, w, type_count(&w->type) / w->type.dim[0]);
    product.size = w->type.dim[0];
    const dim *size = node->out[0].type.dim + 2;
    struct value *sums = w->type.rank == 4 ? bytes_windows(l->to, &product, size[0], size[1]) : NULL;
    if (sums || diag_errors(l->to->diag)) return sums;
    if (most > FLOAT_EXACT) return NULL;
    struct value *y = bytes_depthwise(l->to, &product, n_in < 0 || pass_is_large(l->options, n_in * 4));
    l->real[node->out[0].id] = y;
    l->most[node->out[0].id] = most;
    return graph_cast(l->to, y, DT_i32);
}

static struct value *convolution(struct layout *l, const struct node *node)
{
    struct value *w = l->map[node->in[1]->id];
    const struct type *wt = &node->in[1]->type, *x = &node->in[0]->type;
    int64_t group = node_int(node, "group", 1);
    int r = x->rank, n = r - 2;
    bool depthwise = group > 1 && wt->dim[1] == 1 && wt->dim[0] == group;
    const int64_t *pad = node_attr(node, "pad")->ints, *after = node_attr(node, "pad_after")->ints;
    if (!w || !value_const(w) || r + 1 > RANK_MOST || (group != 1 && !depthwise) || any_negative(pad, n) || any_negative(after, n)) return NULL;
    if (w->type.dt == DT_i32) {
        struct value *y = depthwise ? depthwise_of_bytes(l, node, w) : convolution_of_bytes(l, node, w);
        if (y || diag_errors(l->to->diag)) return y;
    }
    w = constant_normal(l->to, w);
    const int64_t *zeros = group == 1 ? zeros_between(node) : NULL;
    if (zeros) {
        struct value *from = get_last(l, node->in[0]->node->in[0]);
        struct phases_conv conv = {from, w, n, zeros, pad, node->out[0].type.dim + 2, pick_block(l, wt->dim[0])};
        struct value *y = phases_build(l->to, &conv);
        if (y || diag_errors(l->to->diag)) return y;
    }
    if (is_3x3(node) && group == 1 && !l->options->exact_conv) {
        struct winograd_conv conv = {get_last(l, node->in[0]), w, pad, after, pick_block(l, wt->dim[0]), l->options->winograd_tile};
        struct value *y = winograd_build(l->to, &conv, l->options->target);
        if (y || diag_errors(l->to->diag)) return y;
    }
    struct value *padded = pad_axes(l, get_last(l, node->in[0]), pad, after, 0);
    if (!depthwise) {
        struct attr attrs[3] = {*node_attr(node, "stride"), *node_attr(node, "dilation")};
        int64_t size, block = pick_blocks(l, w, wt->dim[0], &size);
        attrs[2] = (struct attr)ATTR_I("block", block);
        w = constant_extend(l->to, w, 0, size);
        return first_of(l, graph_node(l->to, OP_conv_last, 2, (struct value *[]){padded, pack_weight(l, w, block)}, 3, attrs), wt->dim[0]);
    }
    return depthwise_convolution(l, node, padded, w);
}

static struct value *pool(struct layout *l, const struct node *node)
{
    int n = node->in[0]->type.rank - 2;
    const int64_t *pad = node_attr(node, "pad")->ints, *after = node_attr(node, "pad_after")->ints;
    bool is_max = node->op == OP_pool_max, is_float = dtype_is_float(node->in[0]->type.dt);
    double least = is_float ? -__builtin_inf() : (double)dtype_int_min(node->in[0]->type.dt);
    if (!is_last(l, node->in[0]) || any_negative(pad, n) || any_negative(after, n)) return NULL;
    struct value *x = pad_axes(l, get_last(l, node->in[0]), pad, after, is_max ? least : 0);
    struct attr attrs[] = {*node_attr(node, "kernel"), *node_attr(node, "stride"), *node_attr(node, "dilation")};
    return graph_node(l->to, is_max ? OP_pool_max_last : OP_pool_sum_last, 1, &x, 3, attrs);
}

/* The node on values with channels last, its axes renamed; NULL where the operator has no such form. */
static struct value *follow(struct layout *l, const struct node *node)
{
    struct value *in[8];
    int64_t list[3][RANK_MOST];
    struct attr attrs[4];
    int r = node->in[0]->type.rank, n_in = node->op == OP_concat ? node->n_in : 1;
    struct value **x = n_in <= 8 ? in : NEW_ARRAY(l->to->arena, struct value *, n_in);
    if (node->n_attrs > 3 || node->out[0].type.rank != r) return NULL;
    for (int i = 0; i < node->n_attrs; i++) {
        attrs[i] = node->attrs[i];
        if (attrs[i].kind == ATTR_INT && !strcmp(attrs[i].name, "axis")) attrs[i].i = to_last((int)attrs[i].i, r);
        if (attrs[i].kind != ATTR_INTS) continue;
        if (attrs[i].n != r) return NULL;
        for (int a = 0; a < r; a++) list[i][to_last(a, r)] = attrs[i].ints[a];
        attrs[i].ints = list[i];
    }
    for (int i = 0; i < n_in; i++) x[i] = get_last(l, node->in[i]);
    if (node->op == OP_pad || node->op == OP_gather) {
        x[1] = get(l, node->in[1]);
        n_in = 2;
    }
    return graph_node(l->to, node->op, n_in, x, node->n_attrs, attrs);
}

static struct value *before_broadcast(struct value *value)
{
    while (value->node->op == OP_broadcast) value = value->node->in[0];
    return value;
}

/* A constant on top of numbers that are known in f32: in f32 as well, where that is exact. */
static void add_real(struct layout *l, const struct node *node)
{
    for (int side = 0; side < 2 && node->op == OP_add; side++) {
        const struct value *x = node->in[side], *constant = before_broadcast(node->in[1 - side]);
        if (!l->real[x->id] || !value_const(constant) || constant->type.dt != DT_i32) continue;
        int64_t most = l->most[x->id] + bytes_magnitude(constant);
        if (most > FLOAT_EXACT) continue;
        l->real[node->out[0].id] = graph_binary(l->to, OP_add, l->real[x->id], graph_cast(l->to, get_last(l, node->in[1 - side]), DT_f32));
        l->most[node->out[0].id] = most;
    }
}

/* (x + c) + d of i32 is x + (c + d): a zero point's correction and a bias. */
static void join_constants(struct layout *l, const struct node *node, struct value **in)
{
    if (node->op != OP_add || node->out[0].type.dt != DT_i32 || in[0]->node->op != OP_add) return;
    struct value *c = before_broadcast(in[0]->node->in[1]), *d = before_broadcast(in[1]);
    if (!value_const(c) || !value_const(d)) return;
    in[0] = in[0]->node->in[0];
    in[1] = graph_broadcast(l->to, graph_binary(l->to, OP_add, c, d), in[0]->type.rank, in[0]->type.dim);
}

static struct value *elementwise(struct layout *l, const struct node *node)
{
    struct value *in[3];
    for (int i = 0; i < node->n_in; i++) in[i] = get_last(l, node->in[i]);
    join_constants(l, node, in);
    if (node->op == OP_cast && l->real[node->in[0]->id]) in[0] = l->real[node->in[0]->id];
    add_real(l, node);
    return graph_node(l->to, node->op, node->n_in, in, node->n_attrs, node->attrs);
}

enum { ROWS_APART = 512 << 10 }; /* bytes */

/* Sums over all spatial axes give the same [n, c] in either layout. Large ones go row by row, then over the rows: several
 * threads have rows of their own, as in the kernels before and after. (ppocr_det's largest mean on two threads: 187 us in
 * one sum, whose threads had channels of their own, most of the time to fetch what the other had written.) */
static struct value *spatial_reduce(struct layout *l, const struct node *node)
{
    const struct attr *axes = node_attr(node, "axes");
    int r = node->in[0]->type.rank;
    int64_t spatial[RANK_MOST];
    if (!is_last(l, node->in[0]) || axes->n != r - 2 || axes->ints[0] != 2) return NULL;
    for (int i = 0; i < r - 2; i++) spatial[i] = i + 1;
    struct value *x = get_last(l, node->in[0]);
    bool apart = r > 3 && type_count(&x->type) * dtype_bytes(x->type.dt) >= ROWS_APART;
    if (apart) x = graph_reduce(l->to, node->op, x, r - 3, spatial + 1, false);
    return graph_reduce(l->to, node->op, x, apart ? 1 : r - 2, spatial, false);
}

enum { SUM_LONG = 1024, SUM_PART = 256, ROWS_FEW = 4, ROWS_MANY = 32 };

/* A long sum for few rows, in parts: y = sum over h of x[r, h, k] * w[h, k, n]. One running sum of 2048 products loses
 * three times what eight of 256 do, and with few rows weights are read once either way. NULL where it does not apply.
 * Measured on resnet50's last layer against f64: relative error 7.5e-7 as one sum. */
static struct value *product_in_parts(struct layout *l, struct value *x, struct value *w, int64_t k, int64_t n)
{
    int64_t rows = type_count(&x->type), part = SUM_PART;
    if (k < SUM_LONG || rows < 0 || rows / k > ROWS_FEW || !dtype_is_float(x->type.dt)) return NULL;
    while (k % part) part--;
    if (part < SUM_PART / 4) return NULL;
    dim xd[] = {rows / k, k / part, part}, wd[] = {k / part, part, n}, out[RANK_MOST];
    struct value *in[] = {graph_reshape(l->to, x, 3, xd), graph_reshape(l->to, w, 3, wd)};
    struct value *y = graph_node(l->to, OP_index, 2, in, 1, (struct attr[]){ATTR_S("meaning", "y[r, h, n] += x[r, h, k] * w[h, k, n]")});
    for (int i = 0; i < x->type.rank; i++) out[i] = i == x->type.rank - 1 ? n : x->type.dim[i];
    return graph_reshape(l->to, graph_reduce(l->to, OP_sum, y, 1, (int64_t[]){1}, false), x->type.rank, out);
}

/* In how many parts of the sum a product is computed so that the left side's columns stay in the second cache level
 * while the weights go by: a divisor of k. (Goto and van de Geijn, Anatomy of high-performance matrix multiplication, 2008.) */
static int64_t parts_of(const struct layout *l, const struct value *x, int64_t k)
{
    int64_t elements = type_count(&x->type), l2_bytes = l->options->target ? l->options->target->l2_bytes : 0;
    double bytes = (double)elements * (double)dtype_bytes(x->type.dt);
    if (elements < 0 || l2_bytes == 0 || bytes <= (double)l2_bytes || elements / k < ROWS_MANY) return 1;
    for (int64_t parts = 2; k / parts >= SUM_PART; parts++)
        if (k % parts == 0 && bytes / (double)parts <= 0.5 * (double)l2_bytes) return parts;
    return 1;
}

/* [k, n] as [n/block, k, block] */
static struct value *pack_matrix(struct layout *l, struct value *constant, int64_t k, int64_t n, int64_t block)
{
    dim dims[] = {k, n / block, block};
    return graph_transpose(l->to, graph_reshape(l->to, constant, 3, dims), (int64_t[]){1, 0, 2});
}

/* x times the constant [k, n] */
static struct value *packed_product(struct layout *l, struct value *x, struct value *constant, int64_t k, int64_t n)
{
    int64_t size, block = pick_blocks(l, constant, n, &size);
    constant = constant_extend(l->to, constant, constant->type.rank - 1, size);
    struct value *packed = pack_matrix(l, constant, k, size, block);
    return first_of(l, graph_node(l->to, OP_matmul_packed, 2, (struct value *[]){x, packed}, 1, (struct attr[]){ATTR_I("block", block)}), n);
}

/* matmul whose right side is one constant matrix for all batches */
static struct value *product(struct layout *l, const struct node *node)
{
    const struct value *w = node->in[1];
    while ((w->node->op == OP_broadcast || w->node->op == OP_reshape) && w->type.rank >= 2) {
        const struct value *inner = w->node->in[0];
        int r = w->type.rank, ir = inner->type.rank;
        if (ir < 2 || inner->type.dim[ir - 1] != w->type.dim[r - 1] || inner->type.dim[ir - 2] != w->type.dim[r - 2]) return NULL;
        w = inner;
    }
    struct value *constant = l->map[w->id];
    struct bytes_operand bytes;
    if (!constant || !value_const(constant) || type_count(&w->type) != w->type.dim[w->type.rank - 1] * w->type.dim[w->type.rank - 2]) return NULL;
    int64_t k = w->type.dim[w->type.rank - 2], n = w->type.dim[w->type.rank - 1];
    if (k == 0 || n == 0) return NULL;
    if (bytes_find(node->in[0], &bytes)) {
        int64_t size, block = pick_blocks(l, constant, n, &size);
        struct bytes_product product = {.x = get(l, bytes.byte), .zero = bytes.zero, .moving = moving_zero(l, &bytes), .w = graph_reshape(l->to, constant, 2, (dim[]){k, n}),
                                        .matrix = true, .block = block, .size = size, .target = l->options->target};
        struct value *narrow = is_plain(l) ? bytes_narrow(l->to, product.w) : NULL;
        if (narrow) {
            product.block = pick_block(l, n);
            product.size = n;
            return bytes_plain(l->to, &product, OP_matmul_bytes, pack_matrix(l, narrow, k, n, product.block));
        }
        struct value *y = first_of(l, bytes_build(l->to, &product), n);
        if (y || diag_errors(l->to->diag)) return y;
    }
    constant = constant_normal(l->to, constant);
    struct value *x = get(l, node->in[0]), *parts = product_in_parts(l, x, constant, k, n);
    if (parts) return parts;
    int64_t n_parts = parts_of(l, x, k), part = k / n_parts;
    struct value *y = NULL;
    for (int64_t i = 0; i < n_parts; i++) {
        struct value *columns = n_parts > 1 ? graph_slice_axis(l->to, x, x->type.rank - 1, i * part, part) : x;
        struct value *rows = n_parts > 1 ? graph_slice_axis(l->to, constant, constant->type.rank - 2, i * part, part) : constant;
        struct value *term = packed_product(l, columns, rows, part, n);
        y = y ? graph_binary(l->to, OP_add, term, y) : term;
    }
    return y;
}

/* A lookup of every element in a list, as pass tables makes them. */
static bool is_table(const struct node *node)
{
    return node->in[0]->type.rank == 1 && node->in[1]->type.rank >= 3 && node_int(node, "batch", 0) == 0;
}

/* The node's result with channels last in *last, or in the model's order as the return value; both NULL where the
 * node is to be copied as it is. */
static struct value *convert(struct layout *l, const struct node *node, struct value **last)
{
    bool follows = false;
    for (int i = 0; i < node->n_in; i++) follows |= is_last(l, node->in[i]);
    *last = NULL;
    switch (node->op) {
    case OP_conv: *last = convolution(l, node); return NULL;
    case OP_pool_max: case OP_pool_sum: *last = pool(l, node); return NULL;
    case OP_concat: case OP_pad: case OP_pad_edge: case OP_pad_reflect: case OP_pad_wrap: case OP_slice: case OP_dilate: case OP_repeat:
        if (is_last(l, node->in[0])) *last = follow(l, node);
        return NULL;
    case OP_gather:
        if (is_table(node) && is_last(l, node->in[1])) {
            struct value *table = get(l, node->in[0]);
            *last = graph_gather(l->to, table, get_last(l, node->in[1]), 0, 0);
        }
        if (is_last(l, node->in[0]) && node->in[1]->type.rank == 1 && node_int(node, "batch", 0) == 0) *last = follow(l, node);
        return NULL;
    case OP_sum: case OP_prod: case OP_reduce_min: case OP_reduce_max: return spatial_reduce(l, node);
    case OP_matmul: return product(l, node);
    default: /* elementwise operators follow; everything else keeps the model's order */
        if (op_row(node->op)->kind == OP_MAP && follows && node->out[0].type.rank >= 3) *last = elementwise(l, node);
        return NULL;
    }
}

static struct graph *layout(const struct graph *graph, struct arena *unit, const struct pass_options *options)
{
    struct graph *to = graph_like(graph, unit, graph->name);
    struct layout l = {.to = to, .options = options, .map = NEW_ARRAY(unit, struct value *, graph->next_value + 1),
                       .last = NEW_ARRAY(unit, struct value *, graph->next_value + 1),
                       .most = NEW_ARRAY(unit, int64_t, graph->next_value + 1), .real = NEW_ARRAY(unit, struct value *, graph->next_value + 1), .made_last = NEW_ARRAY(unit, bool, graph->next_value + 1)};
    bool *live = graph_live(graph, unit);
    l.lanes = options->target && options->target->vector_bytes ? options->target->vector_bytes / 4 : 1;
    for (int i = 0; i < graph->nodes.n; i++) {
        const struct node *node = graph->nodes.at[i];
        if (!live[i]) continue;
        graph_at(to, node);
        struct value *last, *same = convert(&l, node, &last);
        if (diag_errors(graph->diag)) return NULL;
        if (last || same) {
            l.last[node->out[0].id] = last;
            l.made_last[node->out[0].id] = last != NULL;
            l.map[node->out[0].id] = same;
            if (node->out[0].name) graph_name(to, last ? last : same, node->out[0].name);
            continue;
        }
        for (int k = 0; k < node->n_in; k++)
            if (!get(&l, node->in[k])) return NULL;
        if (!pass_copy_node(to, node, l.map, layout, unit, options)) return NULL;
    }
    to->place = graph->place;
    to->home = graph->home;
    for (int i = 0; i < graph->outputs.n; i++) graph_output(to, graph->output_names.at[i], get(&l, graph->outputs.at[i]));
    return to;
}

struct graph *pass_layout(const struct graph *graph, struct arena *unit, const struct pass_options *options)
{
    return layout(graph, unit, options);
}
