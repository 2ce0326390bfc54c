/* What index notation cannot say: C functions that a compiled model calls.
 *
 * extern.def lists them; extern.c and extern_note.c have the functions, in C11 that stands alone, since their text is
 * carried into artefacts; extern_find.c is the compiler's view of them. Read next: extern.c.
 */
#ifndef TENON_EXTERN_H
#define TENON_EXTERN_H
#include <stdint.h>

struct extern_row {
    const char *name;
    int (*function)(void *const *buffers, const int64_t *scalars);
    int n_buffers, n_scalars;
    const char *file; /* that has the function */
    /* Bytes of buffer `buffer` that a call with these scalars touches; -1 where the scalars make no sense. */
    int64_t (*extent_bytes)(int buffer, const int64_t *scalars);
};
/* NULL where there is no such function. */
const struct extern_row *extern_find(const char *name);

/* The scalars of the call that computes an EXTERN node (its buffers are the inputs, then the results); room for
 * EXTERN_SCALARS_MOST. Returns their number. */
enum { EXTERN_SCALARS_MOST = 8 };
struct dims;
struct node;
int extern_scalars(struct dims *dims, const struct node *node, int64_t *scalars);

#define EXTERN(name, buffers, scalars, file) int tenon_##name(void *const *buffers_, const int64_t *scalars_);
#include "extern.def"
#undef EXTERN

#endif
