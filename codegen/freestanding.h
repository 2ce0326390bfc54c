/* Models for machines without a C library: see freestanding.c. */
#ifndef TENON_FREESTANDING_H
#define TENON_FREESTANDING_H
#include "codegen.h"

/* Whether the model can be printed so; false after messages about all that stands against it. */
bool freestanding_check(const struct emission *emission, struct diag *diag);
/* Its header. */
void freestanding_header(const struct emission *emission, struct text *out);

#endif
