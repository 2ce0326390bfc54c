/* Constant folding: a node on constant inputs becomes a constant.
 *
 * Plain data goes through the interpreter. Shape arithmetic (i64 constants with symbolic elements) is evaluated
 * element by element on index expressions, which the expression builder keeps in normal form: what comes out as a
 * single dim is known, anything else leaves the node as it is. */
#include "graph_inside.h"
#include "graph_eval.h"
#include "lane.h"
#include "nest.h"

#include <string.h>

enum { DIMS_MOST = 4096 };

struct dims_reader {
    struct reader reader;
    struct prog *prog;
    bool failed;
};

static ex read_dim(struct reader *reader, const struct node *node, int input, ex const *idx, ex guard, ex otherwise)
{
    struct dims_reader *r = (struct dims_reader *)reader;
    const struct tensor *t = node->in[input]->node->tensor;
    const struct type *type = &t->type;
    int64_t at = 0, v = 0;
    bool index = type->dt == DT_i64 || type->dt == DT_i32;
    if (guard && ex_is_const(guard) && !guard->imm) return otherwise;
    for (int i = 0; i < type->rank; i++) {
        if (!ex_is_const(idx[i]) || idx[i]->imm < 0 || idx[i]->imm >= type->dim[i]) {
            r->failed = true;
            return ex_number(r->prog, index ? DT_index : dtype_compute(type->dt), 0);
        }
        at = at * type->dim[i] + idx[i]->imm;
    }
    int64_t size = t->is_dims ? 8 : dtype_bytes(type->dt);
    memcpy(&v, (const char *)t->data + at * size, (size_t)size);
    if (type->dt == DT_i32 && !t->is_dims) v = (int32_t)v;
    bool symbolic = t->is_dims && !dim_is_const(v); /* a plain number of that size is no handle */
    if (index && !symbolic && (v < -DIM_HUGE || v > DIM_HUGE)) r->failed = true;
    if (index) return ex_dim(r->prog, r->failed ? 0 : v);
    if (!dtype_is_float(type->dt)) return ex_int(r->prog, type->dt, v);
    r->failed = true;
    return ex_number(r->prog, dtype_compute(type->dt), 0);
}

/* One element: the combination over every assignment of the reduction's letters. */
static ex element(struct prog *prog, const struct node *node, ex const *idx, struct dims_reader *reader)
{
    struct opened o;
    meaning_open(prog, node, idx, &o);
    o.dims_mode = true;
    if (o.combine == EX_COUNT) return meaning_body(&o, &reader->reader);
    int64_t at[LETTERS_MOST] = {0};
    ex sum = NULL;
    for (int steps = 0; steps < DIMS_MOST; steps++) {
        struct opened here = o;
        for (int k = 0; k < o.n_reduce; k++)
            for (int l = 0; l < o.n_letters; l++)
                for (int i = 0; i < o.letter[l].n && o.letter[l].bound; i++)
                    if (o.letter[l].at[i]->op == EX_var && o.letter[l].at[i]->var == o.reduce[k])
                        here.letter[l].at[i] = ex_dim(prog, at[k]);
        ex term = meaning_body(&here, &reader->reader);
        sum = sum ? ex_binary(prog, o.combine, sum, term) : term;
        int k = o.n_reduce - 1;
        for (; k >= 0; k--) {
            if (!dim_is_const(o.reduce[k]->hi)) reader->failed = true;
            if (++at[k] <= o.reduce[k]->hi) break;
            at[k] = 0;
        }
        if (k < 0 || reader->failed) return sum;
    }
    reader->failed = true;
    return sum;
}

static bool fold_dims(struct graph *graph, const struct node *node, int64_t n, int64_t *out)
{
    struct arena *scratch = arena_new();
    struct prog *prog = prog_new(scratch, graph->session, graph->dims, "fold");
    struct dims_reader reader = {.reader = {read_dim, NULL}, .prog = prog};
    const struct type *type = &node->out[0].type;
    for (int64_t i = 0; i < n && !reader.failed; i++) {
        ex idx[RANK_MOST];
        int64_t rest = i;
        for (int a = type->rank - 1; a >= 0; a--) {
            idx[a] = ex_dim(prog, rest % type->dim[a]);
            rest /= type->dim[a];
        }
        ex e;
        if (node->op == OP_concat) {
            int axis = (int)node_int(node, "axis", 0), k = 0;
            int64_t at = idx[axis]->imm;
            while (at >= node->in[k]->type.dim[axis]) at -= node->in[k++]->type.dim[axis];
            idx[axis] = ex_dim(prog, at);
            e = read_dim(&reader.reader, node, k, idx, NULL, NULL);
        } else e = element(prog, node, idx, &reader);
        if (e->op != EX_const && e->op != EX_dim) reader.failed = true;
        else out[i] = e->imm;
    }
    arena_free(scratch);
    return !reader.failed;
}

/* Copies n elements of the given size from strided places to consecutive ones, innermost axis first. */
static char *copy_strided(const char *from, const struct type *type, int axis, const int64_t *stride, int64_t size, char *to)
{
    if (axis == type->rank) {
        memcpy(to, from, (size_t)size);
        return to + size;
    }
    int64_t n = type->dim[axis], step = stride[axis] * size;
    if (axis == type->rank - 1 && stride[axis] == 1) {
        memcpy(to, from, (size_t)(n * size));
        return to + n * size;
    }
    if (axis == type->rank - 1 && size == 4) {
        for (int64_t i = 0; i < n; i++) memcpy(to + 4 * i, from + i * step, 4);
        return to + 4 * n;
    }
    for (int64_t i = 0; i < n; i++) to = copy_strided(from + i * step, type, axis + 1, stride, size, to);
    return to;
}

/* Index maps of large constants, without the interpreter: weights are transposed and packed this way. */
static bool fold_map(struct graph *graph, const struct node *node, struct tensor *result)
{
    const struct tensor *x = node->in[0]->node->tensor;
    const struct type *type = &node->out[0].type;
    int64_t dense[RANK_MOST], stride[RANK_MOST], size = dtype_bytes(type->dt), last = 1;
    if (node->op == OP_reshape) {
        result->data = x->data;
        return true;
    }
    if ((node->op != OP_transpose && node->op != OP_broadcast) || result->n_bytes == 0) return false;
    for (int i = x->type.rank - 1; i >= 0; i--) {
        dense[i] = last;
        last *= x->type.dim[i];
    }
    const struct attr *perm = node_attr(node, "perm");
    for (int i = 0; i < type->rank; i++) stride[i] = perm ? dense[perm->ints[i]] : x->type.dim[i] == 1 ? 0 : dense[i];
    char *to = arena_alloc(graph->session, (size_t)result->n_bytes);
    copy_strided(x->data, type, 0, stride, size, to);
    result->data = to;
    return true;
}

/* Integers as integers of another type: quantized weights are as many as a model has. */
static bool fold_cast(struct graph *graph, const struct node *node, struct tensor *result)
{
    const struct tensor *x = node->in[0]->node->tensor;
    enum dtype from = x->type.dt, to = node->out[0].type.dt;
    if (node->op != OP_cast || !dtype_is_int(from) || !dtype_is_int(to)) return false;
    int64_t n = type_count(&x->type), step = dtype_bytes(from), size = dtype_bytes(to);
    const char *at = x->data;
    char *made = arena_alloc(graph->session, (size_t)result->n_bytes);
    for (int64_t i = 0; i < n; i++) lane_store(to, made + i * size, lane_cast(from, to, lane_load(from, at + i * step)));
    result->data = made;
    return true;
}

bool node_fold(struct graph *graph, const struct node *node, struct tensor *result)
{
    const struct type *type = &node->out[0].type;
    bool symbolic = false;
    for (int i = 0; i < node->n_in; i++) symbolic |= node->in[i]->node->tensor->is_dims;
    if (!type_is_static(type)) return false;
    int64_t n = type_count(type);
    *result = (struct tensor){.type = *type, .n_bytes = n * dtype_bytes(type->dt)};
    if (n == 0) { /* not by running loops: the axes beside the empty one may be huge */
        result->data = "";
        return true;
    }
    if (symbolic) {
        if (n > DIMS_MOST || node->op == OP_scatter || (type->dt != DT_i64 && type->dt != DT_i32 && type->dt != DT_bool)) return false;
        int64_t *out = NEW_ARRAY(graph->session, int64_t, n + 1);
        if (!fold_dims(graph, node, n, out)) return false;
        for (int64_t i = 0; i < n; i++) result->is_dims |= !dim_is_const(out[i]);
        result->data = out;
        if (result->is_dims) result->n_bytes = n * 8;
        else
            for (int64_t i = 0; i < n; i++) memmove((char *)out + i * dtype_bytes(type->dt), &out[i], (size_t)dtype_bytes(type->dt));
        return true;
    }
    if (node->n_in == 1 && (fold_map(graph, node, result) || fold_cast(graph, node, result))) return true;
    struct arena *scratch = arena_new();
    const struct tensor **in = NEW_ARRAY(scratch, const struct tensor *, node->n_in + 1);
    struct tensor out;
    struct place place = graph->place;
    for (int i = 0; i < node->n_in; i++) in[i] = node->in[i]->node->tensor;
    bool ok = node_eval(graph, node, in, NULL, scratch, &out);
    graph->place = place;
    if (ok) result->data = arena_copy(graph->session, out.data, (size_t)out.n_bytes);
    arena_free(scratch);
    return ok;
}
