/* Growing text.  See text.h. */
#include "text.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void reserve(struct text *text, size_t more)
{
    if (text->cap - text->n > more) return;
    size_t cap = text->cap ? text->cap * 2 : 256;
    while (cap - text->n <= more) cap *= 2;
    char *p = arena_alloc(text->arena, cap);
    if (text->n) memcpy(p, text->at, text->n);
    text->at = p;
    text->cap = cap;
}

void text_add_n(struct text *text, const char *s, size_t n)
{
    reserve(text, n);
    if (n) memcpy(text->at + text->n, s, n);
    text->n += n;
    text->at[text->n] = 0;
}

void text_add(struct text *text, const char *s)
{
    text_add_n(text, s, strlen(s));
}

void text_printf(struct text *text, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n > 0) {
        reserve(text, (size_t)n);
        vsnprintf(text->at + text->n, (size_t)n + 1, format, again);
        text->n += (size_t)n;
    }
    va_end(again);
}

void text_double(struct text *text, double v, bool single)
{
    if (isnan(v)) {
        text_add(text, "nan");
        return;
    }
    if (isinf(v)) {
        text_add(text, v < 0 ? "-inf" : "inf");
        return;
    }
    char buf[40];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(buf, sizeof buf, "%.*g", digits, v);
        double back = strtod(buf, NULL);
        if (single ? (float)back == (float)v : back == v) break;
    }
    text_add(text, buf);
    if (!strpbrk(buf, ".e")) text_add(text, ".0");
}

void text_quoted(struct text *text, const char *s)
{
    text_add(text, "\"");
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\') text_printf(text, "\\%c", c);
        else if (c == '\n') text_add(text, "\\n");
        else if (c == '\t') text_add(text, "\\t");
        else if (c < 32 || c == 127) text_printf(text, "\\x%02x", c);
        else text_add_n(text, s, 1);
    }
    text_add(text, "\"");
}

char *text_identifier(struct arena *arena, const char *s)
{
    enum { KEPT = 48, HASHED = KEPT + 9 }; /* with a hash behind it, a name is taken as it is: twice is as once */
    char buf[HASHED + 1];
    size_t n = 0;
    bool lost = false;
    uint32_t hash = 2166136261u;
    for (const char *p = s; *p; p++) {
        unsigned char c = (unsigned char)*p;
        hash = (hash ^ c) * 16777619u;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
        if (n == 0 && c >= '0' && c <= '9') buf[n++] = '_', lost = true;
        if (n == HASHED) lost = true;
        else if (plain) buf[n++] = (char)c;
        else buf[n++] = '_', lost = true;
    }
    if (n == 0) buf[n++] = '_', lost = true;
    if (lost && n > KEPT) n = KEPT;
    buf[n] = 0;
    return lost ? arena_printf(arena, "%s_%08x", buf, hash) : arena_strdup(arena, buf);
}

const char *text_string(const struct text *text)
{
    return text->n ? text->at : "";
}
