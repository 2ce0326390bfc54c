/* Inside of pass lower: where values lie, and kernels. */
#ifndef TENON_LOWER_H
#define TENON_LOWER_H
#include "passes.h"

#include "../ir/nest.h"

struct storage { /* where a value lies */
    bool known, alias /* its bytes are made by another value's kernel */, in_place /* part of a concat, inside of a padding */;
    struct view view; /* program-level buffer */
    ex call_offset;   /* further offset in elements that changes as main runs, or NULL */
};
struct sizes { /* a constant of symbolic dims in memory */
    const struct value *value;
    struct storage storage;
};
struct lowering {
    struct prog *prog;
    LIST(struct buffer *) weights;
    LIST(struct sizes *) sizes;
    bool placed;         /* nodes have sides */
    enum side side;      /* of what is lowered now */
    struct stmt **first; /* statements to run before all others (shape data) */
};

/* Place of a value that a kernel reads. */
struct storage *storage_of(struct lowering *l, struct storage *storage, const struct value *value);
/* The kernel of the program that does the same to its parameters as this one, which is then dropped; else this one. It
 * need not be the last: what it reads may have brought a kernel of its own (sizes_of in lower.c). lower_equal.c */
struct kernel *kernel_shared(struct prog *prog, struct kernel *kernel);
/* The call of a kernel that computes value (and what is fused into it) and stores it at `to`; NULL (nothing to do)
 * where it has no elements. */
struct stmt *kernel_of_value(struct lowering *l, struct storage *storage, const struct value *value, const struct storage *to);
struct stmt *kernel_of_copy(struct lowering *l, const struct type *type, const struct storage *from, const struct storage *to);
/* The value's elements from the other side: a kernel on both. */
struct stmt *kernel_of_transfer(struct lowering *l, const struct value *value, const struct storage *from, const struct storage *to);
/* Every element of the type set to a constant of one element. */
struct stmt *kernel_of_fill(struct lowering *l, const struct type *type, const struct value *constant, const struct storage *to);
/* A main-level scalar put into memory; the elements of a constant of symbolic dims. */
struct stmt *kernel_of_scalar(struct lowering *l, ex scalar, const struct storage *to);
struct stmt *kernel_of_dims(struct lowering *l, const struct tensor *tensor, const struct storage *to);

#endif
