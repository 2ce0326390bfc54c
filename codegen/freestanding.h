/* Models for machines without a C library: see freestanding.c. */
#ifndef TENON_FREESTANDING_H
#define TENON_FREESTANDING_H
#include "codegen.h"
#include "measure.h"

/* Whether the model can be printed so; false after messages about all that stands against it. */
bool freestanding_check(const struct emission *emission, struct diag *diag);
/* Its header; size: what `compiler` made of it, or NULL. */
void freestanding_header(const struct emission *emission, const struct object_size *size, const char *compiler, struct text *out);
/* Whether flash (without size: the weights) and RAM are within the limit in bytes, 0: none; false after messages. */
bool freestanding_flash_fits(const struct emission *emission, const struct object_size *size, int64_t limit, struct diag *diag);
bool freestanding_ram_fits(const struct object_size *size, int64_t limit, struct diag *diag);

#endif
