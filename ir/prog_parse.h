/* Inside of the reader of program text: the state shared by statements (prog_parse.c) and expressions
 * (prog_parse_expr.c). */
#ifndef TENON_PROG_PARSE_H
#define TENON_PROG_PARSE_H
#include "prog.h"
#include "prog_scan.h"

enum { DEPTH_MOST = 100, SHARED_MOST = 1 << 20 };

struct parser {
    struct scanner scanner;
    struct token token, next; /* the current token and the one after it */
    struct prog *prog;
    struct arena *scratch;
    struct diag *diag;
    const struct prog_weights *weights;
    LIST(struct parser_var { struct var *var; }) vars; /* in scope, innermost last */
    LIST(struct buffer *) buffers;                     /* the same */
    LIST(ex) shared;                                   /* `$1` first */
    int depth;
    int first_symbol; /* dims from here on are this text's own */
};

void token_advance(struct parser *p);
bool token_is(const struct parser *p, const char *text); /* a name or sign */
bool token_take(struct parser *p, const char *text);     /* where it is, goes past it */
/* An error where it is not. */
bool token_expect(struct parser *p, const char *text);
/* An error at the current token. Always false. */
bool parse_error(struct parser *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The current token as a name; NULL after an error. */
const char *parse_name(struct parser *p, const char *what);

/* NULL after an error. */
ex parse_expr(struct parser *p);
bool parse_dim(struct parser *p, dim *d);
/* One number, for weights' data: written to `data` as dt. */
bool parse_element(struct parser *p, enum dtype dt, void *data);
/* `f32`, `index`, and where lanes are wanted `f32x8`. */
bool parse_dtype(struct parser *p, enum dtype *dt, int *lanes);
struct buffer *parse_buffer_name(struct parser *p);
struct var *parser_find_var(const struct parser *p, const char *name);

#endif
