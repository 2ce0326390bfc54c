/* Running a kernel for a few of its rows. Used by pass strips. */
#ifndef TENON_STRIP_KERNEL_H
#define TENON_STRIP_KERNEL_H
#include "access.h"

/* A loop around all of a kernel whose iterations differ in nothing but in where its parameters begin: iteration i finds
 * of parameter p what iteration 0 finds, i*step[p] elements further on. */
struct row_loop {
    struct kernel *kernel;
    const struct stmt *loop;
    int64_t rows;           /* from 0 in steps of 1 */
    int64_t *step;          /* by parameter */
    struct reaches reaches; /* the kernel's accesses, this loop the outermost of each */
};
/* The loops around all of the kernel, outermost first; their number. */
int row_loops_of(const struct kernel *kernel, const struct stmt *loops[LOOPS_MOST]);
/* False where the loop is none that fits the above. */
bool row_loop_take(struct prog *prog, struct kernel *kernel, const struct stmt *loop, struct arena *scratch,
                   struct row_loop *rows);

/* Proven: what call x, of a's kernel, does in one row never meets what call y, of b's, does in another. Both may be one. */
bool rows_apart(struct prog *prog, const struct row_loop *a, const struct stmt *x, const struct row_loop *b,
                const struct stmt *y);
/* Whether all of the parameter is rows, each touched by its own iteration only: then a few rows are few elements. */
bool row_param_is_rows(struct prog *prog, const struct row_loop *rows, int position);
/* Elements of so many rows of a buffer of that kind. */
int64_t row_elements(const struct row_loop *rows, int position, int64_t n);
/* The type with n rows in place of `rows`, when iterations move on by step; of rank 0 where its axes do not say it. */
struct type row_type(const struct type *type, int64_t rows, int64_t step, int64_t n);

/* The kernel for n rows. short_param[p]: the parameter is given as n rows only. */
struct kernel *strip_kernel(struct prog *prog, const struct row_loop *rows, int64_t n, const bool *short_param);

#endif
