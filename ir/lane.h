/* The meaning of expression kinds on single values: what exprs.def says, as C.
 *
 * A lane holds a value of any element type: f64 in `d`, other floats in `f` (f16 and bf16 already rounded to their
 * type), integers in `i` (unsigned 64-bit ones as their bits), bool as 0 or 1.
 * Used by the interpreter (prog_eval.c); read next: lane.c.
 */
#ifndef TENON_LANE_H
#define TENON_LANE_H
#include "prog.h"

union lane {
    int64_t i;
    double d;
    float f;
};

union lane lane_load(enum dtype dt, const void *data);
void lane_store(enum dtype dt, void *data, union lane v);
/* An EX_const's value. */
union lane lane_const(ex e);
/* v as the kind `dt` would hold it. */
int64_t lane_wrap(enum dtype dt, int64_t v);

/* Kinds with one operand of type dt, but for cast, bits and those on lanes. is_nan and is_inf give a bool. */
union lane lane_unary(enum expr_op op, enum dtype dt, union lane a);
/* Kinds with two operands of type dt. eq, lt and le give a bool. */
union lane lane_binary(enum expr_op op, enum dtype dt, union lane a, union lane b);
union lane lane_dot(enum expr_op op, union lane a, union lane b, union lane c); /* i32 */
union lane lane_pack(union lane a, union lane c); /* one lane of the result */
/* n lanes of this type side by side as one number of type to, the first lowest */
union lane lane_join(enum dtype from, int n, const union lane *lanes, enum dtype to);
union lane lane_fma(enum dtype dt, union lane a, union lane b, union lane c);
union lane lane_cast(enum dtype from, enum dtype to, union lane a);
union lane lane_bits(enum dtype from, enum dtype to, union lane a);

#endif
