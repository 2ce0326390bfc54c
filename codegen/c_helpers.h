/* Definitions of the helpers that printed text uses: see cfamily.h and c_helpers.c; in OpenCL opencl_vector.c. */
#ifndef TENON_C_HELPERS_H
#define TENON_C_HELPERS_H
#include "cfamily.h"

/* Includes, vector types and helper functions for everything noted in printer->used, into `out`. */
void c_helpers_print(struct cfamily *printer, struct text *out);
/* Helpers that need others: those too from now on. The functions of all that are used, in the printer's dialect. */
void helpers_close(struct cfamily *printer);
void helpers_print(struct cfamily *printer, struct text *out);
/* For a text with versions for several x86-64 levels: its head, and what stands round each version, whose helpers then
 * have names of their own (cfamily's type_prefix and feature_prefix). */
void c_versions_head(struct text *out);
void c_version_begin(const struct target *target, struct text *out);
void c_version_end(const struct target *target, struct text *out);
/* One helper for values of one type, into `out`: c_scalar.c and c_vector.c. */
void c_scalar_print(struct cfamily *printer, struct text *out, int h, enum dtype dt, enum dtype other);
void c_vector_print(struct cfamily *printer, struct text *out, int h, enum dtype dt, enum dtype other, int lanes);

/* from_f16, or to_f16 where `from` is false: c_half.c. */
void c_half_scalar(struct cfamily *printer, struct text *out, bool from);
void c_half_vector(struct cfamily *printer, struct text *out, bool from, int lanes);

/* Text with placeholders filled in: $S scalar type, $V vector type, $M its mask type, $U unsigned vector, $u unsigned
 * scalar wide enough not to be promoted, $n lanes, $s suffix, $H half vector; $F and $T: scalar and suffix of `other`;
 * $W vector of `other`; $w bits of a lane; $P $X $E: intrinsics' prefix, type and ending; $f: "f" for float; $e, $h: the
 * suffix for one lane, for half of them. */
struct c_form {
    struct cfamily *printer;
    enum dtype dt, other;
    int lanes;
};
void c_form_print(const struct c_form *form, struct text *out, const char *text);
/* item once per lane, with `between` between them; % in item stands for the lane's number, @ for its hexadecimal digit. */
void c_form_list(const struct c_form *form, struct text *out, const char *item, const char *between);

#endif
