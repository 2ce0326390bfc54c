/* Constant operands in the order in which a kernel reads them: packed when the model is compiled. */
#ifndef TENON_PACK_H
#define TENON_PACK_H
#include "loopnest.h"

enum { PACK_MOST = 12 };
struct pack { /* a formal's new order: element (i0, i1, ...) row-major over extent was at the sum of i*stride */
    struct buffer *formal;
    int n;
    int64_t extent[PACK_MOST], stride[PACK_MOST];
};
/* A copy of the loop that reads `access` (a load all of whose elements the nest visits once per reuse) packed for
 * lanes along a chain axis: the axis is split into blocks of `lanes` where they divide it, its inner part last in
 * memory. The nest's axis that lanes should run along is called *var. NULL where the subscript is no permutation. */
struct stmt *pack_loop(const struct loopnest *nest, struct stmt *loop, const struct access *access, int axis, int lanes,
                       struct pack *pack, struct var **var);
/* For each parameter of the kernel: whether every call passes it a whole constant. */
bool *pack_constants(const struct prog *prog, const struct kernel *kernel, struct arena *arena);
/* Calls in main get packed constants for the formals in packs. */
void pack_apply(struct prog *prog, const struct pack *packs, int n);

#endif
