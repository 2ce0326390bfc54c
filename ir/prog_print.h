/* Inside of prog_print.c: the state shared with prog_print_expr.c, and what the text form's reader needs too. */
#ifndef TENON_PROG_PRINT_H
#define TENON_PROG_PRINT_H
#include "expr_map.h"
#include "text.h"

enum { INLINE_MOST = 64 }; /* elements of a weight that are printed in the text itself */

struct expr_info {
    int uses, size, height;
    int rank;   /* order of the outermost variable in it; RANK_NONE: no variable */
    int number; /* of its `$`, 0: none */
};
struct printer {
    const struct prog *prog;
    struct text *text;
    struct arena *scratch;
    LIST(const char *) scope; /* names in scope, from `base` on */
    int base, depth;
    const char **var_name, **buffer_name; /* by id; NULL: not defined */
    int *var_order;
    struct expr_map seen;   /* by print_locals */
    struct expr_map shared; /* this statement's expressions -> infos */
    LIST(struct expr_info) infos;
    int n_shared;
};

/* Whether s can be printed as it is where a name stands. */
bool print_is_name(const char *s);
/* The dim a constant or dim expression holds. */
bool ex_as_dim(ex e, dim *d);

const char *print_var_name(const struct printer *p, const struct var *var);
const char *print_buffer_name(const struct printer *p, const struct buffer *buf);
void print_symbol(struct text *text, const char *name);
void print_dim(struct printer *p, struct text *text, dim d, bool tight);
/* One element of a tensor. */
void print_element(struct text *text, enum dtype dt, const void *data);
/* Makes ready for the expressions of one statement: names those that are shared, in lines of their own. */
void print_shared(struct printer *p, const struct stmt *stmt);
/* In brackets where the outermost operator binds weaker than `strength` (0: never). */
void print_expr(struct printer *p, struct text *text, ex e, int strength);

#endif
