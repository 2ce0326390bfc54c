/* Rows by groups of lanes: sums, maxima and what is computed from them, as in a softmax or a mean. See group_rows.c. */
#ifndef TENON_GROUP_ROWS_H
#define TENON_GROUP_ROWS_H
#include "../ir/device.h"
#include "loopnest.h"

struct rows_plan {
    int lanes; /* of a row, a power of two; 0: no plan */
    int rows;  /* of a group */
};
/* Whether a row's loops can be dealt out to lanes: sums that are free of order, and stores each of which is apart. */
bool rows_read(const struct loopnest *nest, const struct device *device);
/* Why the plan does not fit the device; NULL where it does. */
const char *rows_check(const struct loopnest *nest, const struct device *device, const struct rows_plan *plan);
/* The plans worth trying, the likely best first; their number. */
int rows_list(const struct loopnest *nest, const struct device *device, struct rows_plan *list, int most);
/* A kernel's body. lanes: of vectors. */
struct stmt *rows_tile(const struct loopnest *nest, const struct rows_plan *plan, int lanes);
const char *rows_text(struct arena *arena, const struct rows_plan *plan);

#endif
