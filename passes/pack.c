/* Packing of constants.
 *
 *   for o of 64 { for c { s[o] = s[o] + x[c]*w[64*... o*C + c] } }
 *      ->   for o of 4 { for i of 16 { for c { ... x[c]*w'[o*16*C + c*16 + i] } } }     w' made by the compiler
 *
 * A weight is read once per position and tile, so its order in memory is free; only the compiler pays. A subscript
 * is a permutation when its strides, sorted, are those of a dense row-major array over the extents. The new order:
 * chain axes, blocks of the vector axis, reduction axes as the loops run, lanes. This is the panel order of GotoBLAS
 * (Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", 2008) for any contraction.
 */
#include "pack.h"

#include <string.h>

/* Whether the access steps through its whole buffer once over the axes it depends on. */
static bool is_permutation(const struct loopnest *nest, const struct access *access)
{
    bool used[AXES_MOST] = {false};
    int64_t span = 1;
    if (!access->affine || !dim_is_const(access->buf->elements)) return false;
    for (;;) {
        int next = -1;
        for (int a = 0; a < nest->n_axes; a++) {
            if (used[a] || loopnest_stride(access, a) != span || !dim_is_const(nest->axis[a].extent)) continue;
            if (nest->axis[a].extent > 1) next = a;
        }
        if (next < 0) break;
        used[next] = true;
        if (!size_mul(span, nest->axis[next].extent, &span)) return false;
    }
    for (int a = 0; a < nest->n_axes; a++)
        if (!used[a] && access->coef[a] != 0 && nest->axis[a].extent != 1) return false;
    return span == access->buf->elements;
}

struct replacing {
    ex from, to;
};

static ex replace_load(void *context, ex e)
{
    const struct replacing *r = context;
    return e == r->from ? r->to : e;
}

static void add_part(struct pack *pack, int64_t extent, int64_t stride)
{
    pack->extent[pack->n] = extent;
    pack->stride[pack->n++] = stride;
}

/* The subscript sum of part*(product of the extents after it). */
static ex packed_index(struct prog *prog, const struct pack *pack, ex const *part)
{
    ex index = ex_int(prog, DT_index, 0);
    for (int i = 0; i < pack->n; i++) {
        ex scaled = ex_binary(prog, EX_mul, index, ex_int(prog, DT_index, pack->extent[i]));
        index = ex_binary(prog, EX_add, scaled, part[i]);
    }
    return index;
}

/* The chain with loop `axis` replaced by outer (NULL: gone) and `inner` added as its last loop. */
static struct stmt *split_chain(struct prog *prog, struct stmt *loop, const struct loopnest *nest, int axis,
                                struct var *outer, struct var *inner, struct rewriter *r)
{
    struct stmt *list = rewrite_list(r, nest->body);
    ex zero = ex_int(prog, DT_index, 0);
    list = stmt_for(prog, inner, zero, ex_dim(prog, dim_add(prog->dims, inner->hi, 1)), 1, list);
    for (int a = nest->n_chain - 1; a >= 0; a--) {
        if (a == axis && !outer) continue;
        struct var *var = a == axis ? outer : nest->axis[a].var;
        ex end = a == axis ? ex_dim(prog, dim_add(prog->dims, outer->hi, 1)) : nest->axis[a].hi;
        list = stmt_for(prog, var, a == axis ? zero : nest->axis[a].lo, end, 1, list);
    }
    list->place = loop->place;
    return list;
}

struct stmt *pack_loop(const struct loopnest *nest, struct stmt *loop, const struct access *access, int axis, int lanes,
                       struct pack *pack, struct var **var)
{
    struct prog *prog = nest->prog;
    int64_t extent = nest->axis[axis].extent, stride = loopnest_stride(access, axis);
    ex part[PACK_MOST];
    if (!is_permutation(nest, access) || stride == 0 || extent < 2 || !ex_is_int(nest->axis[axis].lo, 0)) return NULL;
    bool split = extent % lanes == 0 && extent > lanes;
    struct var *outer = split ? prog_index(prog, nest->axis[axis].var->name, 0, extent / lanes - 1) : NULL;
    struct var *inner = prog_index(prog, split ? "lane" : nest->axis[axis].var->name, 0, split ? lanes - 1 : extent - 1);
    *pack = (struct pack){.formal = access->buf};
    for (int a = 0; a <= nest->n_axes; a++) {
        if (pack->n + 3 > PACK_MOST) return NULL;
        if (a == nest->n_chain && split) {
            part[pack->n] = ex_var(prog, outer);
            add_part(pack, extent / lanes, stride * lanes);
        }
        if (a == nest->n_axes || a == axis || loopnest_stride(access, a) == 0 || nest->axis[a].extent == 1) continue;
        part[pack->n] = ex_var(prog, nest->axis[a].var);
        add_part(pack, nest->axis[a].extent, loopnest_stride(access, a));
    }
    part[pack->n] = ex_var(prog, inner);
    add_part(pack, inner->hi + 1, stride);
    ex load = ex_load(prog, access->buf, access->load->dt, packed_index(prog, pack, part), 1, 1);
    struct replacing replacing = {access->load, load};
    struct rewriter *r = rewriter_new(prog);
    r->hook = replace_load;
    r->context = &replacing;
    ex whole = split ? ex_binary(prog, EX_mul, ex_var(prog, outer), ex_int(prog, DT_index, lanes)) : ex_int(prog, DT_index, 0);
    rewrite_bind(r, nest->axis[axis].var, ex_binary(prog, EX_add, whole, ex_var(prog, inner)));
    *var = inner;
    return split_chain(prog, loop, nest, axis, outer, inner, r);
}

static void find_varying(const struct stmt *list, const struct kernel *kernel, bool *constant, int *calls)
{
    for (; list; list = list->next) {
        bool here = list->kind == STMT_CALL && list->kernel == kernel;
        *calls += here;
        for (int i = 0; here && i < list->n_args; i++) {
            const struct buffer *buf = list->args[i].buf, *formal = kernel->params.at[i];
            bool whole = (!list->args[i].offset || ex_is_int(list->args[i].offset, 0)) && buf->elements == formal->elements;
            if (buf->space != SPACE_WEIGHT || !buf->tensor || buf->tensor->is_dims || !whole || buf->dt != formal->dt)
                constant[i] = false;
        }
        find_varying(list->body, kernel, constant, calls);
        find_varying(list->other, kernel, constant, calls);
    }
}

bool *pack_constants(const struct prog *prog, const struct kernel *kernel, struct arena *arena)
{
    bool *constant = NEW_ARRAY(arena, bool, kernel->params.n + 1);
    int calls = 0;
    for (int i = 0; i < kernel->params.n; i++) constant[i] = true;
    find_varying(prog->main, kernel, constant, &calls);
    for (int i = 0; i < kernel->params.n; i++) constant[i] &= calls > 0;
    return constant;
}

/* Elements of size bytes in the new order. */
static void permute(const struct pack *pack, const char *from, char *to, size_t size)
{
    int64_t index[PACK_MOST] = {0}, at = 0;
    int last = pack->n - 1;
    for (;;) {
        for (int64_t i = 0; i < pack->extent[last]; i++, to += size)
            memcpy(to, from + (size_t)(at + i * pack->stride[last]) * size, size);
        int k = last - 1;
        for (; k >= 0; k--) {
            at += pack->stride[k];
            if (++index[k] < pack->extent[k]) break;
            at -= pack->extent[k] * pack->stride[k];
            index[k] = 0;
        }
        if (k < 0) return;
    }
}

struct packed {
    const struct buffer *from;
    const struct pack *pack;
    struct buffer *to;
};
struct applying {
    struct prog *prog;
    const struct pack *packs;
    int n;
    LIST(struct packed) done;
};

static bool same_order(const struct pack *a, const struct pack *b)
{
    size_t bytes = (size_t)a->n * sizeof *a->extent;
    return a->n == b->n && !memcmp(a->extent, b->extent, bytes) && !memcmp(a->stride, b->stride, bytes);
}

static struct buffer *packed_buffer(struct applying *applying, const struct buffer *from, const struct pack *pack)
{
    struct prog *prog = applying->prog;
    for (int i = 0; i < applying->done.n; i++)
        if (applying->done.at[i].from == from && same_order(applying->done.at[i].pack, pack)) return applying->done.at[i].to;
    size_t size = (size_t)dtype_bytes(from->dt);
    char *data = arena_array(prog->session, (size_t)from->elements, size);
    permute(pack, from->tensor->data, data, size);
    struct tensor *tensor = NEW(prog->session, struct tensor);
    *tensor = (struct tensor){.type = {.dt = from->dt, .rank = pack->n}, .data = data, .n_bytes = from->tensor->n_bytes};
    for (int i = 0; i < pack->n; i++) tensor->type.dim[i] = pack->extent[i];
    struct buffer *to = prog_buffer(prog, from->name, from->dt, SPACE_WEIGHT, from->elements);
    to->tensor = tensor;
    to->type = tensor->type;
    to->place = from->place;
    LIST_PUSH(prog->arena, &applying->done, ((struct packed){from, pack, to}));
    return to;
}

static void apply_list(struct applying *applying, struct stmt *list)
{
    for (; list; list = list->next) {
        for (int i = 0; list->kind == STMT_CALL && list->kernel && i < list->n_args; i++)
            for (int k = 0; k < applying->n; k++)
                if (applying->packs[k].formal == list->kernel->params.at[i])
                    list->args[i].buf = packed_buffer(applying, list->args[i].buf, &applying->packs[k]);
        apply_list(applying, list->body);
        apply_list(applying, list->other);
    }
}

static void mark_used(const struct stmt *list, bool *used)
{
    for (; list; list = list->next) {
        for (int i = 0; i < list->n_args; i++) used[list->args[i].buf->id] = true;
        mark_used(list->body, used);
        mark_used(list->other, used);
    }
}

void pack_apply(struct prog *prog, const struct pack *packs, int n)
{
    struct applying applying = {.prog = prog, .packs = packs, .n = n};
    if (n == 0) return;
    apply_list(&applying, prog->main);
    bool *used = NEW_ARRAY(prog->arena, bool, prog->next_buffer + 1);
    mark_used(prog->main, used);
    int kept = 0;
    for (int i = 0; i < prog->buffers.n; i++) { /* unpacked originals that nothing reads any more go */
        struct buffer *buf = prog->buffers.at[i];
        bool packed = false;
        for (int k = 0; k < applying.done.n; k++) packed |= applying.done.at[k].from == buf;
        if (!packed || used[buf->id]) prog->buffers.at[kept++] = buf;
    }
    prog->buffers.n = kept;
}
