/* Sparse tensors of a .tflite file as dense ones.
 *
 * A tensor of rank r with b blocked axes is stored as levels, r outer ones and b inside the blocks, in an order of
 * traversal: a dense level counts through its size, a sparse one lists its positions between two segment bounds (CSR).
 * Every element of the buffer belongs to one position of the innermost level. The levels are walked with a counter per
 * level instead of recursion; positions outside of the tensor, and walks longer than a dense tensor would need, are
 * refused. Facts: SparsityParameters in the schema.
 */
#include "tflite_import.h"

#include <string.h>

enum { SPARSITY_ORDER, SPARSITY_BLOCKS, SPARSITY_LEVELS };
enum { LEVEL_FORMAT, LEVEL_SIZE, LEVEL_SEGMENTS_TYPE, LEVEL_SEGMENTS, LEVEL_INDICES_TYPE, LEVEL_INDICES };

enum { LEVELS_MOST = 2 * RANK_MOST };

struct numbers { /* a list of unsigned numbers of 1, 2 or 4 bytes */
    struct flat_list list;
    int bytes;
};
struct level {
    bool is_sparse;
    int64_t size; /* dense */
    struct numbers segments, indices;
    int axis;        /* of the tensor */
    int64_t step;    /* elements along that axis that one position is */
    int64_t at, end; /* of the walk: the position (sparse: in indices) and where this run of it ends */
};
struct sparse {
    struct tflite_importer *importer;
    const struct tflite_tensor *tensor;
    int n;
    struct level level[LEVELS_MOST];
};

static bool complain(const struct sparse *sparse, const char *what)
{
    struct graph *graph = sparse->importer->graph;
    return diag_error(graph->diag, graph->place, "tensor \"%s\": sparse: %s", sparse->tensor->name, what);
}

/* A table around one list; its type is a member of the schema's union. */
static bool read_numbers(const struct sparse *sparse, const struct flat_table *table, int type_field,
                         struct numbers *numbers)
{
    enum { KIND_INT32 = 1, KIND_UINT16, KIND_UINT8 };
    struct flat_table vector;
    int64_t kind = flat_int(table, type_field, 1, 0);
    if (kind != KIND_INT32 && kind != KIND_UINT16 && kind != KIND_UINT8)
        return complain(sparse, "a level without positions");
    numbers->bytes = kind == KIND_INT32 ? 4 : kind == KIND_UINT16 ? 2 : 1;
    return flat_child(table, type_field + 1, &vector) && flat_list(&vector, 0, numbers->bytes, &numbers->list);
}

static int64_t number(const struct numbers *numbers, int64_t i)
{
    return flat_element(&numbers->list, i, numbers->bytes) & (((int64_t)1 << (8 * numbers->bytes)) - 1);
}

static bool read_level(struct sparse *sparse, const struct flat_list *tables, int64_t i, struct level *level)
{
    struct flat_table table;
    if (!flat_element_table(tables, i, &table)) return false;
    level->is_sparse = flat_int(&table, LEVEL_FORMAT, 1, 0) != 0;
    level->size = flat_int(&table, LEVEL_SIZE, 4, 0);
    if (!level->is_sparse) return level->size > 0 || complain(sparse, "a level without size");
    return read_numbers(sparse, &table, LEVEL_SEGMENTS_TYPE, &level->segments) &&
           read_numbers(sparse, &table, LEVEL_INDICES_TYPE, &level->indices);
}

/* Which axis each level runs along, and by how many elements: a block's inside by one, its outside by the block. */
static bool read_levels(struct sparse *sparse, const struct flat_table *sparsity)
{
    struct flat_list order, blocks, tables;
    int rank = sparse->tensor->type.rank;
    int64_t block[LEVELS_MOST];
    unsigned seen = 0;
    if (!flat_list(sparsity, SPARSITY_ORDER, 4, &order) || !flat_list(sparsity, SPARSITY_BLOCKS, 4, &blocks) ||
        !flat_list(sparsity, SPARSITY_LEVELS, 4, &tables))
        return false;
    if (order.n != tables.n || order.n != rank + blocks.n || order.n > LEVELS_MOST || order.n < 1)
        return complain(sparse, "its levels do not fit its axes");
    sparse->n = (int)order.n;
    for (int i = 0; i < rank; i++) block[i] = 1;
    for (int i = 0; i < sparse->n; i++) {
        struct level *level = &sparse->level[i];
        int64_t axis = flat_element(&order, i, 4);
        if (!read_level(sparse, &tables, i, level)) return false;
        if (axis < 0 || axis >= sparse->n || seen & 1u << axis || (axis >= rank) != (i >= rank))
            return complain(sparse, "its order of traversal is none");
        seen |= 1u << axis;
        if (axis >= rank) axis = flat_element(&blocks, axis - rank, 4);
        if (axis < 0 || axis >= rank || (i >= rank && (level->is_sparse || block[axis] != 1)))
            return complain(sparse, "its blocks are none");
        level->axis = (int)axis;
        level->step = 1;
        if (i >= rank) block[axis] = level->size;
    }
    for (int i = 0; i < rank; i++) sparse->level[i].step = block[sparse->level[i].axis];
    return true;
}

/* Begins the run of level i under position `above` of the level before. */
static bool start_level(struct sparse *sparse, int i, int64_t above)
{
    struct level *level = &sparse->level[i];
    level->at = 0;
    level->end = level->size;
    if (!level->is_sparse) return true;
    if (above + 1 >= level->segments.list.n) return complain(sparse, "a segment outside its list");
    level->at = number(&level->segments, above);
    level->end = number(&level->segments, above + 1);
    return (level->at <= level->end && level->end <= level->indices.list.n) || complain(sparse, "a segment is none");
}

/* Where the present position lies in the dense tensor; -1 outside of it. */
static int64_t dense_offset(const struct sparse *sparse)
{
    const struct type *type = &sparse->tensor->type;
    int64_t index[RANK_MOST] = {0}, offset = 0;
    for (int i = 0; i < sparse->n; i++) {
        const struct level *level = &sparse->level[i];
        int64_t at = level->is_sparse ? number(&level->indices, level->at) : level->at, more;
        if (!size_mul(at, level->step, &more)) return -1;
        index[level->axis] += more;
    }
    for (int i = 0; i < type->rank; i++) {
        if (index[i] >= type->dim[i]) return -1;
        offset = offset * type->dim[i] + index[i];
    }
    return offset;
}

static bool fill(struct sparse *sparse, uint8_t *to, const struct flat_list *bytes, int64_t size, int64_t steps_most)
{
    int64_t used = 0, above[LEVELS_MOST + 1] = {0};
    if (!start_level(sparse, 0, 0)) return false;
    for (int i = 0; i >= 0;) {
        struct level *level = &sparse->level[i];
        if (level->at == level->end) { /* back to the level around, and on there */
            if (--i >= 0) sparse->level[i].at++;
            continue;
        }
        if (--steps_most < 0) return complain(sparse, "more positions than the dense tensor has");
        above[i + 1] = level->is_sparse ? level->at : above[i] * level->size + level->at;
        if (i + 1 < sparse->n) {
            if (above[i + 1] > ELEMENTS_MOST) return complain(sparse, "more positions than the dense tensor has");
            i++;
            if (!start_level(sparse, i, above[i])) return false;
            continue;
        }
        int64_t offset = dense_offset(sparse);
        if (offset < 0) return complain(sparse, "a position outside of the tensor");
        if (used >= bytes->n / size) return complain(sparse, "its buffer has too few elements");
        memcpy(to + offset * size, bytes->flat->at + bytes->at + (size_t)(used * size), (size_t)size);
        used++;
        level->at++;
    }
    return true;
}

const void *tflite_densify(struct tflite_importer *importer, const struct tflite_tensor *tensor,
                           const struct flat_table *sparsity, const struct flat_list *bytes)
{
    struct sparse sparse = {.importer = importer, .tensor = tensor};
    int64_t n = type_count(&tensor->type), size = dtype_bytes(tensor->type.dt);
    if (!tflite_take(importer, n * size)) return NULL;
    if (!read_levels(&sparse, sparsity)) return NULL;
    uint8_t *to = arena_alloc(importer->graph->session, (size_t)(n * size) + 1);
    return fill(&sparse, to, bytes, size, (int64_t)LEVELS_MOST * (n + 1)) ? to : NULL;
}
