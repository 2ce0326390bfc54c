/* Messages to the user.
 *
 * A user's mistake is reported through a `struct diag` and never aborts; several mistakes are reported in one
 * run (up to DIAG_MOST). A place is either a line and column of a source text (a caret is shown) or a path
 * inside a binary model ("node 17 \"conv1\" (Conv)"). Our own mistakes go through bug(), which aborts with
 * the stage's name and is never reachable from file contents.
 */
#ifndef TENON_DIAG_H
#define TENON_DIAG_H
#include "arena.h"
#include <stdbool.h>
#include <stdio.h>

enum { DIAG_MOST = 20 };

struct source { /* a text that messages may quote */
    const char *name, *text;
    size_t n_bytes;
};

struct place {
    const struct source *source; /* NULL: no place known, only `path` (or nothing) is printed */
    int line, column;            /* from 1; line 0: no line, `path` says where in source->name */
    const char *path;
};

struct diag;

struct diag *diag_new(struct arena *arena);
/* Adds "place: error: ..." and returns false, so that `return diag_error(...)` reads well. Lower case, no
 * final stop. Past DIAG_MOST errors only the count grows. */
bool diag_error(struct diag *diag, struct place place, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void diag_warning(struct diag *diag, struct place place, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A further line under the latest message. */
void diag_note(struct diag *diag, struct place place, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int diag_errors(const struct diag *diag);
bool diag_full(const struct diag *diag); /* DIAG_MOST errors reached: time to stop looking */
/* Prints all messages in order of arrival and forgets them (the error count stays). */
void diag_print(struct diag *diag, FILE *out);

/* Our own mistake: prints "tenon: internal error in STAGE: ..." and aborts. */
_Noreturn void bug(const char *stage, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The name in `names` (n of them) nearest to `name` by edit distance, NULL where none is near. */
const char *diag_suggest(const char *name, const char *const *names, int n);

#endif
