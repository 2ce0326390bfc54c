/* Text being built, in an arena; and the shortest number forms that read back the same. */
#ifndef TENON_TEXT_H
#define TENON_TEXT_H
#include "arena.h"
#include <stdbool.h>

struct text {
    struct arena *arena;
    char *at; /* always NUL-terminated once anything was added */
    size_t n, cap;
};

void text_add(struct text *text, const char *s);
void text_add_n(struct text *text, const char *s, size_t n);
void text_printf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Shortest decimal form of v that reads back as the same double (or, single, the same float); `inf`, `-inf`,
 * `nan` for these. Always holds a '.', an 'e' or a letter, so it never reads back as an integer. */
void text_double(struct text *text, double v, bool single);
/* "s" between quotes, with \" \\ \n \t and \xNN. */
void text_quoted(struct text *text, const char *s);
/* s reduced to [A-Za-z0-9_], not starting with a digit, at most 57 characters (a hash is appended where
 * anything was lost; an identifier of that length stays itself). The one way for names from files into generated
 * text. Result in arena. */
char *text_identifier(struct arena *arena, const char *s);
/* The text, "" when empty. */
const char *text_string(const struct text *text);

#endif
