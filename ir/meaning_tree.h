/* The parsed form of index notation, shared by meaning_parse.c and meaning.c. */
#ifndef TENON_MEANING_TREE_H
#define TENON_MEANING_TREE_H
#include "meaning.h"

enum term_kind {
    TERM_NUMBER, TERM_LEAST, TERM_LETTER, TERM_ATTR, TERM_PICK /* letter[ATTR] */, TERM_CALL, TERM_LOAD,
    TERM_FLAT /* x{f} */, TERM_EXTENT /* |x.2| */
};
struct term;
struct item { /* one entry of a subscript list */
    const struct term *term;
    bool many;
    char merge; /* '|' insert, '\\' replace, 0 */
    const char *attr;
    const struct term *other;
    bool other_many;
};
struct term {
    enum term_kind kind;
    double number;
    const char *name; /* LETTER, ATTR; PICK: the letter; EXTENT: attr giving the axis or NULL */
    const char *attr; /* PICK */
    int input;        /* LOAD, FLAT, EXTENT: -1 is y; EXTENT -2: the axis it stands at */
    int axis;
    enum expr_op op;  /* CALL; EX_COUNT: reflect; EX_const: exact */
    int n;
    const struct term *arg[3];
    struct item *item; /* LOAD: n of them */
    const struct term *otherwise;
};
struct clause {
    bool count; /* #letter = term; otherwise letter < term */
    const char *letter;
    const struct term *term;
};
struct meaning {
    struct item *left; /* of y; NULL for y{f} */
    int n_left;
    const char *flat; /* letter of y{f} */
    enum expr_op combine;
    const struct term *right;
    int n_clauses, n_inputs, n_letters;
    struct clause clause[8];
    const char *input[8];
    struct {
        const char *name;
        bool many;
    } letter[LETTERS_MOST];
};

/* Whether t is high*size + low with two letters, as on the left of an assignment that splits an axis. */
bool meaning_is_split(const struct term *t, const struct term **high, const struct term **size, const struct term **low);

#endif
