/* Pass narrow: products of few rows read weights of bytes, of four bits and of 16-bit floats as they are.
 *
 *     w = dequantize(q, s, zero)           y = matmul_narrow(x, packed q)*s               a scale for each output, or one
 *     y = matmul(x, w)             ->      y = matmul_blocks(x, packed q, s)             scales by blocks of the sum
 *                                          y = matmul_nibbles(x*[1, 1/16 ..], packed q, -8*sums of x, s)      q of four bits
 *
 * With few rows a product takes as long as its weights come from memory, so it computes with bytes that are converted in
 * registers; with many rows conversions cost more than they save, and pass compose makes floats of the weights when
 * compiling, as it does of all that this pass leaves. What a zero point takes off is added by blocks of the sum, unless
 * packing did.
 *
 * Numbers of four bits are masked where they lie in their word, which makes number i 16^i times itself; x has the inverse,
 * a power of two, so it is exact down to 2^-98. A shift for each would be a third more instructions.
 *
 * Needs: composites (so it comes before pass compose), and absorb before it, which takes products of two quantized values.
 * 16-bit floats are narrow_half.c's. Leaves alone: convolutions, weights that are computed, blocks that are no multiple of 8 (four bits) or 4. */
#include "narrow_weight.h"

#include <string.h>

enum { VECTORS = 2, VECTORS_HALF = 4 /* side by side in a block; as many bytes of 16-bit floats as two of f32 */, WORD = 8, LANES_LEAST = 4, ROWS_SHARED = 8 /* rows that use a number once it is converted */, CONVERSION = 2 /* instructions a vector */ };

/* Bytes that come from memory a cycle, for one thread: 17 GB/s at 3 GHz. */
#define MEMORY_BYTES 5.5

bool narrow_pays(int lanes, int fmas, double rows, double bytes)
{
    double each = (double)lanes * fmas, groups = (double)(int64_t)((rows + ROWS_SHARED - 1) / ROWS_SHARED);
    double as_float = rows / each, narrow = (rows + CONVERSION * groups) / each;
    if (as_float < 4 / MEMORY_BYTES) as_float = 4 / MEMORY_BYTES;
    if (narrow < bytes / MEMORY_BYTES) narrow = bytes / MEMORY_BYTES;
    return narrow < as_float;
}

double narrow_rows(const struct graph *graph, const struct type *x)
{
    double rows = 1;
    for (int i = 0; i < x->rank - 1; i++) rows *= (double)dim_lo(graph->dims, x->dim[i]);
    return rows < 1 ? 1 : rows;
}

static bool pays(const struct pass_options *options, double rows, double bytes)
{
    const struct target *target = options->target;
    int lanes = target && target->vector_bytes / 4 > LANES_LEAST ? target->vector_bytes / 4 : LANES_LEAST;
    return narrow_pays(lanes, target ? (int)target->fmas_per_cycle : 2, rows, bytes);
}

/* Output channels side by side: a few vectors, so that few streams are read and each is read as it lies. One of 64, read in
 * parts, took gpt2_decode 13.2 ms instead of 11.5 on AVX2. */
static int64_t pick_block(const struct pass_options *options, int64_t n, int64_t vectors)
{
    int64_t lanes = options->target && options->target->vector_bytes ? options->target->vector_bytes / 4 : 1;
    return n < vectors * lanes ? n : vectors * lanes;
}

/* x with zeros up to `size` along its last axis. */
static struct value *filled(struct graph *to, struct value *x, int64_t size)
{
    int64_t before[RANK_MOST] = {0}, after[RANK_MOST] = {0};
    int r = x->type.rank;
    if (x->type.dim[r - 1] == size) return x;
    after[r - 1] = size - x->type.dim[r - 1];
    struct value *in[] = {x, graph_scalar(to, x->type.dt, 0)};
    return graph_node(to, OP_pad, 2, in, 2, (struct attr[]){ATTR_L("before", before, r), ATTR_L("after", after, r)});
}

/* [.., n*each] -> [.., n, each] */
static struct value *in_groups(struct graph *to, struct value *x, int64_t each)
{
    dim dims[RANK_MOST];
    int r = x->type.rank;
    for (int i = 0; i < r; i++) dims[i] = x->type.dim[i];
    dims[r] = each;
    dims[r - 1] = x->type.dim[r - 1] / each;
    return graph_reshape(to, x, r + 1, dims);
}

static struct value *last_sum(struct graph *to, struct value *x)
{
    int64_t last = x->type.rank - 1;
    return graph_reduce(to, OP_sum, x, 1, &last, false);
}

static struct value *row_of(struct graph *to, const float *numbers, int64_t n)
{
    const float *data = arena_copy(to->session, numbers, (size_t)n * sizeof *numbers);
    return graph_data(to, &(struct type){.dt = DT_f32, .rank = 1, .dim = {n}}, data);
}

/* The product of words of four-bit numbers. See ops.def, matmul_nibbles. */
static struct value *product_of_nibbles(struct graph *to, struct value *x, const struct narrow_packed *packed, const struct attr *block)
{
    float inverse[WORD], centre[WORD];
    for (int i = 0; i < WORD; i++) {
        inverse[i] = i == WORD - 1 ? 1 : 1 / (float)((int64_t)1 << 4 * i);
        centre[i] = i == WORD - 1 ? 0 : -8;
    }
    struct value *words = in_groups(to, x, WORD);
    struct value *shrunk = graph_binary(to, OP_mul, words, row_of(to, inverse, WORD));
    struct value *z = last_sum(to, graph_binary(to, OP_mul, words, row_of(to, centre, WORD)));
    struct value *in[] = {graph_reshape(to, shrunk, x->type.rank, x->type.dim), packed->words, z, packed->scale};
    return graph_node(to, OP_matmul_nibbles, 4, in, 1, block);
}

static struct value *product_of(struct graph *to, struct value *x, const struct narrow_weight *weight, bool nibbles, const struct pass_options *options)
{
    struct narrow_packed packed;
    narrow_pack(to, weight, nibbles, pick_block(options, weight->n, VECTORS), &packed);
    x = filled(to, x, packed.part * packed.parts);
    struct attr block = ATTR_I("block", packed.block);
    struct value *in[] = {x, packed.words, packed.scale}, *y;
    bool blocks = !nibbles && packed.words->type.rank == 4;
    if (nibbles) y = product_of_nibbles(to, x, &packed, &block);
    else y = graph_node(to, blocks ? OP_matmul_blocks : OP_matmul_narrow, blocks ? 3 : 2, in, 1, &block);
    if (y && packed.size != weight->n) y = graph_slice_axis(to, y, y->type.rank - 1, 0, weight->n);
    if (!nibbles && !blocks) y = graph_binary(to, OP_mul, y, packed.scale);
    if (!packed.centre) return y;
    struct value *sums = last_sum(to, in_groups(to, x, packed.part)); /* [.., parts] */
    if (packed.parts == 1) return graph_binary(to, OP_add, y, graph_binary(to, OP_mul, sums, graph_reshape(to, packed.centre, 1, &weight->n)));
    return graph_binary(to, OP_add, y, graph_matmul(to, sums, packed.centre));
}

/* The product with its weights as they are; NULL where it is to be copied. */
static struct value *convert(struct graph *to, const struct graph *from, const struct node *node, struct value **map, const struct pass_options *options)
{
    struct narrow_weight weight;
    if (node->op != OP_matmul || dtype_compute(node->out[0].type.dt) != DT_f32 || node->in[0]->type.rank >= RANK_MOST) return NULL;
    double rows = narrow_rows(from, &node->in[0]->type);
    if (pays(options, rows, 2) && narrow_find_half(node->in[1], &weight))
        return narrow_half_product(to, map[node->in[0]->id], &weight, pick_block(options, weight.n, VECTORS_HALF));
    if (node->out[0].type.dt != DT_f32) return NULL;
    if (!pays(options, rows, 0.5) || !narrow_find(node->in[1], to->arena, &weight)) return NULL;
    bool nibbles = narrow_is_nibbles(&weight);
    if (!nibbles && (!narrow_is_bytes(&weight) || !pays(options, rows, 1))) return NULL;
    return product_of(to, map[node->in[0]->id], &weight, nibbles, options);
}

struct graph *pass_narrow(const struct graph *graph, struct arena *unit, const struct pass_options *options)
{
    struct graph *to = graph_like(graph, unit, graph->name);
    struct value **map = NEW_ARRAY(unit, struct value *, graph->next_value + 1);
    bool *live = graph_live(graph, unit);
    for (int i = 0; i < graph->nodes.n; i++) {
        const struct node *node = graph->nodes.at[i];
        if (!live[i]) continue;
        graph_at(to, node);
        struct value *y = convert(to, graph, node, map, options);
        if (diag_errors(graph->diag)) return NULL;
        if (!y && !pass_copy_node(to, node, map, pass_narrow, unit, options)) return NULL;
        if (!y) continue;
        map[node->out[0].id] = node->out[0].name ? graph_name(to, y, node->out[0].name) : y;
    }
    pass_copy_outputs(to, graph, map);
    return to;
}
