/* Tokens of the program text. */
#ifndef TENON_PROG_SCAN_H
#define TENON_PROG_SCAN_H
#include "diag.h"

enum token_kind { TOKEN_END, TOKEN_NAME, TOKEN_INT, TOKEN_FLOAT, TOKEN_STRING, TOKEN_SHARED, TOKEN_SIGN };
struct token {
    enum token_kind kind;
    const char *text;  /* NAME, SIGN: as written; STRING: without quotes and escapes */
    uint64_t integer;  /* INT; SHARED: the number behind `$` */
    bool too_large;    /* INT: past 64 bits */
    double number;     /* FLOAT, and INT as one */
    bool glued;        /* nothing stands between it and the token before */
    struct place place;
};
struct scanner {
    const struct source *source;
    struct arena *arena; /* of the tokens' texts */
    size_t at, line_start;
    int line;
};

/* The next token; bad bytes are a SIGN of their own. A string that does not end is a SIGN `"`. */
struct token scan(struct scanner *scanner);

#endif
