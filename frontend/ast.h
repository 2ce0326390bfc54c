/* The tree of a model text, and the reader that makes it.
 *
 * One node type for everything: a kind, a place, a text or number, and kids. A statement list is an AST_BLOCK.
 * Types are ordinary expressions (`f32[N, 4]` is an AST_INDEX of the name f32), so the grammar stays small and
 * build.c gives the meaning. Depth is limited while the tree is made: nothing that walks it can run out of stack.
 *
 * Read next: model.y (the grammar), build.h (what is made of the tree).
 */
#ifndef TENON_AST_H
#define TENON_AST_H
#include "../ir/diag.h"
#include "../ir/text.h"

enum { AST_DEPTH_MOST = 1000, BRACKETS_MOST = 250, SOURCE_BYTES_MOST = 16 << 20 };

enum ast_kind {
    /* statements */
    AST_BLOCK,   /* statements */
    AST_IMPORT,  /* text: path or name; name: alias */
    AST_DIM,     /* text; kids: lo, hi, or none */
    AST_DEF,     /* text; kids: params, body */
    AST_MODEL,   /* text; kids: params, results, body */
    AST_WEIGHTS, /* text: path */
    AST_ASSIGN,  /* kids: targets (list), values (list) */
    AST_PARAM,   /* text; kids: type, optional value */
    AST_CONST,   /* text; kids: value, optional type */
    AST_RETURN,  /* kids: values */
    AST_YIELD,   /* an expression as statement; kids: values */
    AST_FOR,     /* text: variable; kids: from, body, optional to */
    AST_PLACE,   /* text: where its body is computed; kids: body */
    AST_LET,     /* text: index notation */
    /* parts */
    AST_LIST,     /* expressions: also a list literal, arguments, targets, parameters */
    AST_FORMAL,   /* text; name: the name outside, or NULL; kids: type or NULL, default or NULL */
    AST_NAMED,    /* text; kids: value. An argument by name */
    AST_TYPED,    /* kids: expression, type. A target with its type */
    AST_SLICE,    /* kids: from, to, step, each may be NULL */
    AST_BINDING,  /* text; kids: value, type or NULL. A carried value of while and scan */
    AST_SEQUENCE, /* text; kids: value. What scan runs along */
    /* expressions */
    AST_NAME,
    AST_INT,
    AST_FLOAT,
    AST_STRING,
    AST_BOOL,
    AST_UNARY,  /* op; kids: x */
    AST_BINARY, /* op; kids: x, z */
    AST_CALL,   /* text: function; kids: arguments; name: scope or NULL */
    AST_INDEX,  /* kids: x, subscripts */
    AST_EACH,   /* [value for text in from..to]; kids: value, from, optional to */
    AST_IF,     /* kids: condition, then, optional else (block or AST_IF) */
    AST_WHILE,  /* kids: bindings, condition, body */
    AST_SCAN,   /* kids: bindings and sequences, body */
    AST_GRAPH   /* kids: params, body. A closed subgraph */
};

enum ast_op {
    AST_ADD,
    AST_SUB,
    AST_MUL,
    AST_DIV,
    AST_MOD,
    AST_POW,
    AST_EQ,
    AST_NE,
    AST_LT,
    AST_LE,
    AST_GT,
    AST_GE,
    AST_AND,
    AST_OR,
    AST_NEG,
    AST_NOT
};

struct ast {
    enum ast_kind kind;
    enum ast_op op;
    struct place place;
    const char *text, *name;
    uint64_t number; /* AST_INT; AST_BOOL */
    bool negative;   /* AST_INT: a folded minus */
    double real;     /* AST_FLOAT */
    int n, cap, depth;
    struct ast **kid;
    bool reported; /* an error was given here already (a function body is built many times) */
};

/* What a parse needs; also the scanner's state. */
struct parse {
    struct arena *arena; /* the session's: names live as long as graphs do */
    struct diag *diag;
    const struct source *source;
    const char *text; /* what is read: source's, or a part of it */
    size_t n_bytes, offset;
    struct ast *result;
    int first_token;  /* given before the text's own tokens: what is to be parsed */
    int line, column; /* where the next token starts */
    bool ends;        /* the latest token may end a statement */
    bool fresh_line;  /* no token yet on this line */
    bool between;     /* no token yet of a statement */
    char token[32];   /* the latest token's first characters, for messages */
    char bracket[BRACKETS_MOST];
    int n_brackets;
    bool too_deep;
};

struct ast *ast_new(struct parse *reader, enum ast_kind kind, struct place place);
/* Adds kid (may be NULL) as the last. Returns parent. */
struct ast *ast_add(struct parse *reader, struct ast *parent, struct ast *kid);
/* A node with up to three kids; trailing NULLs are left out. */
struct ast *ast_make(struct parse *reader, enum ast_kind kind, struct place place, struct ast *a, struct ast *b,
                     struct ast *c);
struct ast *ast_named(struct parse *reader, enum ast_kind kind, struct place place, const char *text);
struct ast *ast_unary(struct parse *reader, struct place place, enum ast_op op, struct ast *x);
struct ast *ast_binary(struct parse *reader, struct place place, enum ast_op op, struct ast *x, struct ast *z);

/* The statements of source as an AST_BLOCK; what could be read is returned after errors too (NULL only where
 * nothing could). line: number of the text's first line (a part of a larger text has a later one). */
struct ast *ast_read(struct arena *arena, struct diag *diag, const struct source *source, const char *text,
                     size_t n_bytes, int line);
/* One expression: the inside of `{...}` in a scope's name, at `place`. */
struct ast *ast_read_expression(struct arena *arena, struct diag *diag, struct place place, const char *text);

bool ast_is_keyword(const char *word);

#endif
