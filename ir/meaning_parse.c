/* Index notation text -> tree, by recursive descent. The grammar is in meaning.h's words. */
#include "meaning_tree.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MOST = 50, ITEMS_MOST = 24 };
struct parser {
    struct arena *arena;
    const char *at;
    const char *error;
    struct meaning *meaning;
    int depth;
};

static const struct term *parse_expr(struct parser *p);

static void fail(struct parser *p, const char *error)
{
    if (!p->error) p->error = error;
}

static void skip(struct parser *p)
{
    while (isspace((unsigned char)*p->at)) p->at++;
}

static bool take(struct parser *p, const char *token)
{
    skip(p);
    size_t n = strlen(token);
    if (strncmp(p->at, token, n) != 0) return false;
    if (isalpha((unsigned char)token[0]) && (isalnum((unsigned char)p->at[n]) || p->at[n] == '_')) return false;
    p->at += n;
    return true;
}

static void expect(struct parser *p, const char *token, const char *error)
{
    if (!take(p, token)) fail(p, error);
}

static const char *parse_name(struct parser *p)
{
    skip(p);
    const char *start = p->at;
    while (isalnum((unsigned char)*p->at) || *p->at == '_') p->at++;
    if (p->at == start) fail(p, "a name is expected");
    return arena_strndup(p->arena, start, (size_t)(p->at - start));
}

static bool is_attr(const char *name)
{
    return isupper((unsigned char)name[0]);
}

static struct term *new_term(struct parser *p, enum term_kind kind)
{
    struct term *t = NEW(p->arena, struct term);
    t->kind = kind;
    t->input = -1;
    return t;
}

static int input_number(struct parser *p, const char *name)
{
    struct meaning *m = p->meaning;
    if (!strcmp(name, "y")) return -1;
    for (int i = 0; i < m->n_inputs; i++)
        if (!strcmp(m->input[i], name)) return i;
    if (m->n_inputs == 8) {
        fail(p, "more than 8 inputs");
        return 0;
    }
    m->input[m->n_inputs] = name;
    return m->n_inputs++;
}

static void note_letter(struct parser *p, const char *name, bool many)
{
    struct meaning *m = p->meaning;
    for (int i = 0; i < m->n_letters; i++)
        if (!strcmp(m->letter[i].name, name)) {
            m->letter[i].many |= many;
            return;
        }
    if (m->n_letters == LETTERS_MOST) {
        fail(p, "too many letters");
        return;
    }
    m->letter[m->n_letters].name = name;
    m->letter[m->n_letters++].many = many;
}

static void note_letters(struct parser *p, const struct term *t, bool many)
{
    if (!t) return;
    if (t->kind == TERM_LETTER || t->kind == TERM_FLAT) note_letter(p, t->name, many && t->kind == TERM_LETTER);
    if (t->kind == TERM_PICK) note_letter(p, t->name, many);
    if (t->kind == TERM_CALL)
        for (int i = 0; i < t->n; i++) note_letters(p, t->arg[i], many);
}

static int parse_items(struct parser *p, struct item **items)
{
    struct item list[ITEMS_MOST];
    int n = 0;
    while (!p->error && !take(p, "]")) {
        if (n && !take(p, ",")) fail(p, "',' or ']' is expected in a subscript");
        struct item item = {.term = NULL};
        if (take(p, "*")) {
            struct term *t = new_term(p, TERM_LETTER);
            t->name = "*";
            item.term = t;
            item.many = true;
        } else {
            item.term = parse_expr(p);
            item.many = take(p, "..");
        }
        skip(p);
        if (item.many && (*p->at == '|' || *p->at == '\\')) {
            item.merge = *p->at++;
            item.attr = parse_name(p);
            expect(p, ":", "':' is expected");
            item.other = parse_expr(p);
            item.other_many = take(p, "..");
        }
        note_letters(p, item.term, item.many);
        note_letters(p, item.other, item.other_many);
        if (n == ITEMS_MOST) fail(p, "too many subscripts");
        else list[n++] = item;
    }
    *items = arena_copy(p->arena, list, (size_t)n * sizeof *list);
    return n;
}

static const struct term *parse_extent(struct parser *p)
{
    struct term *t = new_term(p, TERM_EXTENT);
    t->input = -2;
    const char *name = parse_name(p);
    if (take(p, ".")) {
        t->input = input_number(p, name);
        const char *axis = parse_name(p);
        if (is_attr(axis)) t->name = axis;
        else t->axis = atoi(axis);
    }
    expect(p, "|", "'|' is expected");
    return t;
}

static const struct term *parse_call(struct parser *p, const char *name)
{
    struct term *t = new_term(p, TERM_CALL);
    if (!strcmp(name, "reflect")) t->op = EX_COUNT;
    else if (!strcmp(name, "exact")) t->op = EX_const;
    else if (!expr_from_name(name, &t->op)) fail(p, "no such function");
    while (!p->error && !take(p, ")")) {
        if (t->n && !take(p, ",")) fail(p, "',' or ')' is expected");
        if (t->n == 3) fail(p, "too many arguments");
        else t->arg[t->n++] = parse_expr(p);
    }
    int wanted = t->op == EX_COUNT || t->op == EX_const ? 2 : expr_row(t->op)->args;
    if (t->op == EX_cast || t->op == EX_bits) wanted = 1;
    if (!p->error && t->n != wanted) fail(p, "wrong number of arguments");
    return t;
}

static const struct term *parse_load(struct parser *p, const char *name)
{
    const char *start = p->at;
    const char *inner = p->at;
    while (isspace((unsigned char)*inner)) inner++;
    if (isupper((unsigned char)*inner)) { /* letter[ATTR] */
        const char *attr = parse_name(p);
        if (take(p, "]")) {
            struct term *t = new_term(p, TERM_PICK);
            t->name = name;
            t->attr = attr;
            return t;
        }
        p->at = start;
    }
    struct term *t = new_term(p, TERM_LOAD);
    t->input = input_number(p, name);
    t->n = parse_items(p, &t->item);
    return t;
}

static const struct term *parse_factor(struct parser *p)
{
    struct term *t;
    if (++p->depth > DEPTH_MOST) fail(p, "nested too deeply");
    skip(p);
    if (p->error) {
        p->depth--;
        return new_term(p, TERM_NUMBER);
    }
    const struct term *result;
    if (isdigit((unsigned char)*p->at)) {
        char *end;
        t = new_term(p, TERM_NUMBER);
        t->number = strtod(p->at, &end);
        if (end > p->at && end[-1] == '.' && *end == '.') end--; /* "0.." */
        p->at = end;
        result = t;
    } else if (take(p, "(")) {
        result = parse_expr(p);
        expect(p, ")", "')' is expected");
    } else if (take(p, "-")) {
        t = new_term(p, TERM_CALL);
        t->op = EX_neg;
        t->n = 1;
        t->arg[0] = parse_factor(p);
        result = t;
    } else if (take(p, "|")) {
        result = parse_extent(p);
    } else {
        const char *name = parse_name(p);
        if (take(p, "(")) result = parse_call(p, name);
        else if (take(p, "[")) result = parse_load(p, name);
        else if (take(p, "{")) {
            t = new_term(p, TERM_FLAT);
            t->input = input_number(p, name);
            t->name = parse_name(p);
            note_letter(p, t->name, false);
            expect(p, "}", "'}' is expected");
            result = t;
        } else {
            bool least = !strcmp(name, "least");
            t = new_term(p, least ? TERM_LEAST : is_attr(name) ? TERM_ATTR : TERM_LETTER);
            t->name = name;
            if (t->kind == TERM_LETTER) note_letter(p, name, false);
            result = t;
        }
    }
    if (result->kind == TERM_LOAD && take(p, "?")) {
        struct term *load = arena_copy(p->arena, result, sizeof *result);
        load->otherwise = parse_factor(p);
        result = load;
    }
    p->depth--;
    return result;
}

static const struct term *binary(struct parser *p, enum expr_op op, const struct term *a, const struct term *b)
{
    struct term *t = new_term(p, TERM_CALL);
    t->op = op;
    t->n = 2;
    t->arg[0] = a;
    t->arg[1] = b;
    return t;
}

static const struct term *parse_product(struct parser *p)
{
    const struct term *t = parse_factor(p);
    for (;;) {
        if (p->error) return t;
        if (take(p, "*")) t = binary(p, EX_mul, t, parse_factor(p));
        else if (take(p, "/")) t = binary(p, EX_div, t, parse_factor(p));
        else if (take(p, "%")) t = binary(p, EX_mod, t, parse_factor(p));
        else return t;
    }
}

static const struct term *parse_sum(struct parser *p)
{
    const struct term *t = parse_product(p);
    for (;;) {
        if (p->error) return t;
        if (take(p, "+")) t = binary(p, EX_add, t, parse_product(p));
        else if (take(p, "-")) t = binary(p, EX_sub, t, parse_product(p));
        else return t;
    }
}

static const struct term *parse_expr(struct parser *p)
{
    const struct term *t = parse_sum(p);
    if (p->error) return t;
    if (take(p, "==")) return binary(p, EX_eq, t, parse_sum(p));
    if (take(p, "<=")) return binary(p, EX_le, t, parse_sum(p));
    if (take(p, "<")) return binary(p, EX_lt, t, parse_sum(p));
    return t;
}

static void parse_clauses(struct parser *p)
{
    struct meaning *m = p->meaning;
    do {
        struct clause clause = {.count = take(p, "#")};
        clause.letter = parse_name(p);
        if (clause.count) expect(p, "=", "'=' is expected");
        else {
            note_letter(p, clause.letter, take(p, ".."));
            expect(p, "<", "'<' is expected");
        }
        clause.term = parse_sum(p);
        if (m->n_clauses == 8) fail(p, "too many clauses");
        else m->clause[m->n_clauses++] = clause;
    } while (!p->error && take(p, ","));
}

const struct meaning *meaning_parse(struct arena *arena, const char *line, const char **error)
{
    struct meaning *m = NEW(arena, struct meaning);
    struct parser p = {.arena = arena, .at = line, .meaning = m};
    m->combine = EX_COUNT;
    expect(&p, "y", "'y' is expected");
    if (take(&p, "{")) {
        m->flat = parse_name(&p);
        note_letter(&p, m->flat, false);
        expect(&p, "}", "'}' is expected");
    } else {
        expect(&p, "[", "'[' is expected");
        m->n_left = parse_items(&p, &m->left);
    }
    if (take(&p, "+=")) m->combine = EX_add;
    else if (take(&p, "*=")) m->combine = EX_mul;
    else if (take(&p, "min=")) m->combine = EX_min;
    else if (take(&p, "max=")) m->combine = EX_max;
    else expect(&p, "=", "'=' is expected");
    m->right = parse_expr(&p);
    if (!p.error && take(&p, "where")) parse_clauses(&p);
    skip(&p);
    if (!p.error && *p.at) fail(&p, "something stands after the end");
    *error = p.error;
    return p.error ? NULL : m;
}

int meaning_inputs(const struct meaning *meaning)
{
    return meaning->n_inputs;
}

bool meaning_reduces(const struct meaning *meaning)
{
    return meaning->combine != EX_COUNT;
}
