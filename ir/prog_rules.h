/* The rules that single nodes obey: shared by the verifier and the reader of program text. */
#ifndef TENON_PROG_RULES_H
#define TENON_PROG_RULES_H
#include "prog.h"

enum { LANES_MOST = 256 };
/* A power of two up to LANES_MOST. */
bool lanes_are_valid(int lanes);
/* What is wrong with e's own type, lanes and operands (which may be nodes with faults of their own), NULL where
 * nothing is. */
const char *expr_fault(const struct expr *e);

#endif
