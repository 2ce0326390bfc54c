/* Scanner of the program text: names, numbers (`0..N` is INT, `..`, NAME), "strings", $n and signs; # comments. */
#include "prog_scan.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

static int peek(const struct scanner *s, size_t ahead)
{
    return s->at + ahead < s->source->n_bytes ? (unsigned char)s->source->text[s->at + ahead] : -1;
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static void skip_blank(struct scanner *s)
{
    for (int c; (c = peek(s, 0)) >= 0; s->at++) {
        if (c == '#')
            while (peek(s, 1) >= 0 && peek(s, 1) != '\n') s->at++;
        else if (c == '\n') s->line++, s->line_start = s->at + 1;
        else if (c != ' ' && c != '\t' && c != '\r') break;
    }
}

static void scan_number(struct scanner *s, struct token *token)
{
    size_t from = s->at;
    token->kind = TOKEN_INT;
    for (; is_digit(peek(s, 0)); s->at++) {
        uint64_t digit = (uint64_t)(peek(s, 0) - '0');
        token->too_large |= __builtin_mul_overflow(token->integer, (uint64_t)10, &token->integer);
        token->too_large |= __builtin_add_overflow(token->integer, digit, &token->integer);
    }
    if (peek(s, 0) == '.' && peek(s, 1) != '.') {
        token->kind = TOKEN_FLOAT;
        for (s->at++; is_digit(peek(s, 0));) s->at++;
    }
    size_t sign = peek(s, 1) == '+' || peek(s, 1) == '-' ? 2 : 1;
    if ((peek(s, 0) == 'e' || peek(s, 0) == 'E') && is_digit(peek(s, sign))) {
        token->kind = TOKEN_FLOAT;
        for (s->at += sign; is_digit(peek(s, 0));) s->at++;
    }
    token->text = arena_strndup(s->arena, s->source->text + from, s->at - from);
    token->number = strtod(token->text, NULL);
}

static int hex_digit(int c)
{
    if (is_digit(c)) return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void scan_string(struct scanner *s, struct token *token)
{
    struct text text = {.arena = s->arena};
    size_t from = s->at;
    for (s->at++; peek(s, 0) >= 0 && peek(s, 0) != '"' && peek(s, 0) != '\n'; s->at++) {
        char c = (char)peek(s, 0);
        if (c == '\\') {
            s->at++;
            c = (char)peek(s, 0);
            if (c == 'n') c = '\n';
            else if (c == 't') c = '\t';
            else if (c == 'x' && hex_digit(peek(s, 1)) >= 0 && hex_digit(peek(s, 2)) >= 0) {
                c = (char)(hex_digit(peek(s, 1)) * 16 + hex_digit(peek(s, 2)));
                s->at += 2;
            } else if (c != '"' && c != '\\') break;
        }
        if (!c) break; /* no string of ours holds a NUL */
        text_add_n(&text, &c, 1);
    }
    if (peek(s, 0) != '"') { /* not closed: an error at its beginning */
        s->at = from + 1;
        token->text = "\"";
        return;
    }
    s->at++;
    token->kind = TOKEN_STRING;
    token->text = text_string(&text);
}

struct token scan(struct scanner *s)
{
    size_t before = s->at;
    skip_blank(s);
    struct token token = {.kind = TOKEN_SIGN, .text = "", .glued = s->at == before};
    token.place = (struct place){.source = s->source, .line = s->line, .column = (int)(s->at - s->line_start) + 1};
    int c = peek(s, 0);
    size_t from = s->at;
    if (c < 0) token.kind = TOKEN_END;
    else if (is_letter(c)) {
        while (is_letter(peek(s, 0)) || is_digit(peek(s, 0))) s->at++;
        token.kind = TOKEN_NAME;
        token.text = arena_strndup(s->arena, s->source->text + from, s->at - from);
    } else if (is_digit(c)) scan_number(s, &token);
    else if (c == '"') scan_string(s, &token);
    else if (c == '$' && is_digit(peek(s, 1))) {
        s->at++;
        scan_number(s, &token);
        token.kind = TOKEN_SHARED;
    } else {
        bool pair = (c == '.' && peek(s, 1) == '.') || ((c == '=' || c == '<') && peek(s, 1) == '=');
        s->at += pair ? 2 : 1;
        token.text = arena_strndup(s->arena, s->source->text + from, s->at - from);
    }
    return token;
}
