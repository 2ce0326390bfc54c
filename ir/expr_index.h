/* Inside of the expression builder: interning, and index arithmetic in normal form. */
#ifndef TENON_EXPR_INDEX_H
#define TENON_EXPR_INDEX_H
#include "prog.h"

/* The one expression equal to e (e.hash and e.id are filled in). No simplification. */
ex expr_intern(struct prog *prog, struct expr e);
/* a op b on scalar indices, simplified; NULL where nothing applies and the plain node is to be made. */
ex index_binary(struct prog *prog, enum expr_op op, ex a, ex b);

#endif
