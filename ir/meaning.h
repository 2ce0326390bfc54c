/* Index notation: what an operator means, in one line.
 *
 *     y[n, o, p..] += x[n, c, p*STRIDE + k*DILATION - PAD..] ? 0 * w[o, c, k..]   where ...
 *
 * - A letter is an index. A letter in an item marked `..` stands for several axes (possibly none); `*` is one such
 *   letter for all axes. Letters on the left are the iteration space; letters only on the right are reduced over,
 *   by the assignment's operator (`+=`, `*=`, `min=`, `max=`).
 * - Capitals are attributes of the node (`strides` is written STRIDES); inside a `..` item a list attribute is
 *   taken at the axis' position. `letter[ATTR]..` picks positions by a list; `letter[ATTR]` one position.
 * - `x[k..|AXES: r..]` puts r at the axes AXES of x and k at the others; `x[i..\AXIS: e]` is i with axis AXIS
 *   replaced by e. `x{f}` reads x by row-major position.
 * - `|x.2|` is an extent; inside an item `|x|` is the extent of the axis it stands at.
 * - `x[...] ? v`: where the subscript is outside x the value is v. `exact(i, S)` is i/S, and outside where S does
 *   not divide i. `least` is the lowest value of the type. Without `?` subscripts are inside by construction.
 * - `where g < GROUP` gives an extent, `k.. < KERNEL` one per element of a list, `#a = E` the number of axes.
 * - Inputs are named in order of first appearance on the right. `letter*E + letter` on the left splits an axis.
 *
 * A meaning is opened at a node for given result subscripts, which binds every letter, and then evaluated to an
 * expression whose loads the caller supplies: from a buffer, or by opening the producer's meaning in turn. That is
 * how fusion works (nest.h).
 */
#ifndef TENON_MEANING_H
#define TENON_MEANING_H
#include "graph.h"
#include "prog.h"

struct meaning;

/* Parses a line; NULL with *error set (static text) where it is malformed. */
const struct meaning *meaning_parse(struct arena *arena, const char *line, const char **error);
int meaning_inputs(const struct meaning *meaning); /* distinct inputs */
bool meaning_reduces(const struct meaning *meaning); /* combines over letters, by += and its like */
/* Ranks and extents of the result from the inputs', for rows whose shape the notation itself gives (OP_index).
 * False with *error where letters have no or different extents, or a subscript may lie outside its axis without `?`. */
bool meaning_infer(const struct meaning *meaning, struct dims *dims, const struct node *node, struct type *out, const char **error);

enum { LETTERS_MOST = 24 };
struct letter {
    const char *name;
    bool many;
    int n; /* axes; -1: unknown yet */
    ex at[RANK_MOST];
    bool bound;
};
struct reader {
    /* Element of input `input` at idx, in dtype_compute of its type (index in dims mode); where guard is not NULL
     * and false, `otherwise` instead (same type). */
    ex (*read)(struct reader *reader, const struct node *node, int input, ex const *idx, ex guard, ex otherwise);
    /* Element at a row-major position; NULL where read is to be used on the unflattened position. May be NULL. */
    ex (*read_flat)(struct reader *reader, const struct node *node, int input, ex at);
};
struct opened { /* a meaning with its letters bound at one result position */
    struct prog *prog;
    const struct meaning *meaning;
    const struct node *node;
    bool dims_mode; /* i64 values are index expressions: shape arithmetic */
    int n_letters;
    struct letter letter[LETTERS_MOST];
    enum expr_op combine; /* add, mul, min, max; EX_COUNT: no reduction */
    int n_reduce;         /* loop variables to be iterated, in order of appearance */
    struct var *reduce[LETTERS_MOST];
};

/* The parsed meaning of node's row (or of its own attribute), kept in prog. */
const struct meaning *meaning_of(struct prog *prog, const struct node *node);
/* The iteration space of node's result: its loop variables in order (extent-1 ones included; their ex_var is a
 * constant) and the result's subscripts in them. Returns the number of variables. */
int meaning_space(struct prog *prog, const struct node *node, struct var **vars, ex *subscripts);
/* Binds letters at the result subscripts idx; makes the variables to reduce over. */
void meaning_open(struct prog *prog, const struct node *node, ex const *idx, struct opened *opened);
/* The element's value (to be combined over the reduction), in dtype_compute of the result's type, or index where
 * the meaning yields positions or in dims mode. */
ex meaning_body(struct opened *opened, struct reader *reader);
/* The subscripts of row-major position `at` in a tensor of this type. */
void type_unflatten(struct prog *prog, const struct type *type, ex at, ex *idx);
/* Neutral element of a combine operator. */
ex combine_start(struct prog *prog, enum expr_op combine, enum dtype dt);

#endif
