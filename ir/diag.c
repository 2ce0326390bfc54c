/* Messages with places and carets.  See diag.h. */
#include "diag.h"
#include "text.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum severity { SEVERITY_ERROR, SEVERITY_WARNING, SEVERITY_NOTE };
struct message {
    enum severity severity;
    struct place place;
    char *words;
};
struct diag {
    struct arena *arena;
    LIST(struct message) messages;
    int errors;
};

struct diag *diag_new(struct arena *arena)
{
    struct diag *diag = NEW(arena, struct diag);
    diag->arena = arena;
    return diag;
}

__attribute__((format(printf, 4, 0))) static void add(struct diag *diag, enum severity severity, struct place place,
                                                      const char *format, va_list args)
{
    if (severity == SEVERITY_ERROR && ++diag->errors > DIAG_MOST) return;
    if (severity == SEVERITY_NOTE && diag->errors > DIAG_MOST) return;
    char words[2048];
    vsnprintf(words, sizeof words, format, args);
    if (place.path) place.path = arena_strdup(diag->arena, place.path); /* often made for the message alone */
    struct message m = {severity, place, arena_strdup(diag->arena, words)};
    LIST_PUSH(diag->arena, &diag->messages, m);
}

bool diag_error(struct diag *diag, struct place place, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add(diag, SEVERITY_ERROR, place, format, args);
    va_end(args);
    return false;
}

void diag_warning(struct diag *diag, struct place place, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add(diag, SEVERITY_WARNING, place, format, args);
    va_end(args);
}

void diag_note(struct diag *diag, struct place place, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    add(diag, SEVERITY_NOTE, place, format, args);
    va_end(args);
}

int diag_errors(const struct diag *diag)
{
    return diag->errors;
}

bool diag_full(const struct diag *diag)
{
    return diag->errors >= DIAG_MOST;
}

/* Bytes of the UTF-8 character at s that may be sent to a terminal, of n; 0: control characters, marks that turn the
 * direction of writing (U+202A..E, U+2066..9), and what is not UTF-8. */
static size_t printable(const char *s, size_t n)
{
    const unsigned char *c = (const unsigned char *)s;
    if (c[0] < 0x80) return c[0] >= 32 && c[0] != 127;
    size_t more = c[0] >= 0xf0 ? 3 : c[0] >= 0xe0 ? 2 : 1;
    if (c[0] < 0xc2 || c[0] > 0xf4 || n <= more) return 0;
    unsigned code = c[0] & (0x3fu >> more);
    for (size_t i = 1; i <= more; i++) {
        if ((c[i] & 0xc0) != 0x80) return 0;
        code = code << 6 | (c[i] & 0x3fu);
    }
    bool is_overlong = (more == 2 && code < 0x800) || (more == 3 && code < 0x10000);
    bool is_surrogate = code >= 0xd800 && code < 0xe000, is_control = code < 0xa0;
    bool turns = (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
    return is_overlong || is_surrogate || is_control || turns || code > 0x10ffff ? 0 : more + 1;
}

/* The words of a message come partly from files: what is not printable is shown, never sent to a terminal. */
static void put_words(FILE *out, const char *s)
{
    for (size_t n = strlen(s), step; n; s += step, n -= step) {
        step = printable(s, n);
        if (step) fwrite(s, 1, step, out);
        else fprintf(out, "\\x%02x", (unsigned char)*s), step = 1;
    }
}

/* Part of a line of source: one column per byte that is not printable. */
static void put_line(FILE *out, const char *s, size_t n)
{
    for (size_t step; n; s += step, n -= step) {
        step = printable(s, n);
        if (step) fwrite(s, 1, step, out);
        else fputc((unsigned char)*s < 33 ? ' ' : '?', out), step = 1;
    }
}

static void put_caret(FILE *out, struct place place)
{
    const char *line = place.source->text, *end = line + place.source->n_bytes;
    for (int n = 1; n < place.line && line < end; line++)
        if (*line == '\n') n++;
    const char *stop = memchr(line, '\n', (size_t)(end - line));
    size_t n = (size_t)((stop ? stop : end) - line), from = 0;
    size_t column = place.column > 0 ? (size_t)place.column - 1 : 0;
    if (column > n) column = n;
    if (column > 100) from = column - 60; /* long lines: a window round the place */
    if (n > from + 140) n = from + 140;
    fputs("    ", out);
    put_line(out, line + from, n - from);
    fputs("\n    ", out);
    for (size_t i = from; i < column; i++) fputc(' ', out);
    fputs("^\n", out);
}

void diag_print(struct diag *diag, FILE *out)
{
    static const char *const label[] = {"error", "warning", "note"};
    for (int i = 0; i < diag->messages.n; i++) {
        const struct message *m = &diag->messages.at[i];
        if (m->place.source) put_words(out, m->place.source->name);
        if (m->place.source && m->place.line > 0) fprintf(out, ":%d:%d", m->place.line, m->place.column);
        if (m->place.source) fputs(": ", out);
        if (m->place.path) put_words(out, m->place.path), fputs(": ", out);
        fprintf(out, "%s: ", label[m->severity]);
        put_words(out, m->words);
        fputc('\n', out);
        if (m->place.source && m->place.line > 0 && m->place.source->text) put_caret(out, m->place);
    }
    if (diag->errors > DIAG_MOST) fprintf(out, "and %d more errors\n", diag->errors - DIAG_MOST);
    diag->messages.n = 0;
}

void bug(const char *stage, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fprintf(stderr, "tenon: internal error in %s: ", stage);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    abort();
}

static int edit_distance(const char *a, const char *b)
{
    enum { MOST = 40 };
    int n = (int)strlen(a), m = (int)strlen(b), row[MOST + 1];
    if (n > MOST || m > MOST) return MOST;
    for (int j = 0; j <= m; j++) row[j] = j;
    for (int i = 1; i <= n; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= m; j++) {
            int up = row[j], best = diagonal + (a[i - 1] != b[j - 1]);
            if (up + 1 < best) best = up + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j] = best;
            diagonal = up;
        }
    }
    return row[m];
}

const char *diag_suggest(const char *name, const char *const *names, int n)
{
    const char *best = NULL;
    int least = (int)strlen(name) / 3 + 1;
    if (least > 3) least = 3;
    for (int i = 0; i < n; i++) {
        int d = edit_distance(name, names[i]);
        if (d <= least && d < (int)strlen(name)) {
            if (d < least || !best) best = names[i];
            least = d;
        }
    }
    return best;
}
