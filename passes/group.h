/* Contractions by groups of lanes that share what they load: the schedule of GPUs.
 *
 * A group computes a tile of the result, `rows` times `columns`; each of its lanes computes high*wide of them in
 * registers. `step` terms of the sum at a time, all lanes copy the tile's parts of both operands into arrays that the
 * group shares, wait for one another, and read them from there. Rows are the axes that only one operand has, columns
 * those that only the other one has, among them the one along which results lie side by side; axes that both have
 * are a batch of products.
 *
 * A result of few rows, as in decoding, has nothing to share: there every operand is read where it stands, and the terms of
 * a sum are dealt out to `slices` of lanes, whose parts are put together in a fixed order.
 *
 * Read next: group.c (which nests are such), group_tile.c (the kernel), group_slices.c, group_choose.c (the numbers).
 */
#ifndef TENON_GROUP_H
#define TENON_GROUP_H
#include "../ir/device.h"
#include "loopnest.h"

enum { STAGED_MOST = 4, GROUP_REGISTERS = 16, STEP_MOST = 64 };
struct group_plan {
    int rows, columns; /* of a group's tile */
    int high, wide;    /* of a lane's part */
    int step;          /* of the innermost sum */
    int slices;        /* lanes that each compute a part of one sum, without copies; 1: none */
};
struct group_axes { /* flattened into one index, the last of them fastest */
    int n, axis[AXES_MOST];
    dim extent;        /* product */
};
struct staged {
    const struct access *access;
    bool by_row;       /* else by column */
};
struct contraction {
    const struct loopnest *nest;
    struct group_axes rows, columns, batch;
    int lanes;              /* of vectors along the last column axis: 4 or 1 */
    int n_sums, sum[AXES_MOST];
    const struct stmt *start, *loop, *inner, *end; /* registers; the outermost sum; the innermost's body; what follows */
    int n_staged;
    struct staged staged[STAGED_MOST];
    int n_registers;
    struct var *registers[GROUP_REGISTERS];
    enum expr_op op[GROUP_REGISTERS]; /* of its sum */
    ex neutral[GROUP_REGISTERS];      /* NULL: the sum cannot be put together from parts */
};

/* The nest as a contraction; false where it is none, or the device has nothing for it. */
bool group_read(const struct loopnest *nest, const struct device *device, struct contraction *c);
/* Whether tiles of it share what they load; whether its sums may be divided, see slices. One of both holds. */
bool group_has_tiles(const struct contraction *c);
bool group_has_slices(const struct contraction *c);
/* Why the plan does not fit the contraction or the device; NULL where it does. */
const char *group_check(const struct contraction *c, const struct device *device, const struct group_plan *plan);
/* Elements of the array in which a tile of the operand stands, one row of them for each term; its rows' distance. */
int64_t group_distance(const struct contraction *c, const struct staged *staged, const struct group_plan *plan);
/* A kernel's body; NULL where vectors cannot be made of the nest's statements, which group_read finds out. */
struct stmt *group_tile(const struct contraction *c, const struct group_plan *plan);
/* The plans by estimated time, best first; their number. */
int group_list(const struct contraction *c, const struct device *device, struct group_plan *list, int most);
const char *group_text(struct arena *arena, const struct group_plan *plan);

#endif
