/* Making nodes of the tree, with the depth limit.  See ast.h. */
#include "ast.h"

#include <string.h>

struct ast *ast_new(struct parse *reader, enum ast_kind kind, struct place place)
{
    struct ast *ast = NEW(reader->arena, struct ast);
    ast->kind = kind;
    ast->place = place;
    ast->depth = 1;
    return ast;
}

struct ast *ast_add(struct parse *reader, struct ast *parent, struct ast *kid)
{
    if (kid && kid->depth >= AST_DEPTH_MOST) {
        if (!reader->too_deep)
            diag_error(reader->diag, kid->place, "nested too deeply (more than %d levels)", AST_DEPTH_MOST);
        reader->too_deep = true;
        kid = ast_new(reader, AST_LIST, kid->place);
    }
    if (kid && kid->depth >= parent->depth) parent->depth = kid->depth + 1;
    if (parent->n == parent->cap) {
        int cap = parent->cap ? parent->cap * 2 : 2;
        struct ast **grown = NEW_ARRAY(reader->arena, struct ast *, cap);
        if (parent->n) memcpy(grown, parent->kid, (size_t)parent->n * sizeof *grown);
        parent->kid = grown;
        parent->cap = cap;
    }
    parent->kid[parent->n++] = kid;
    return parent;
}

struct ast *ast_make(struct parse *reader, enum ast_kind kind, struct place place, struct ast *a, struct ast *b,
                     struct ast *c)
{
    struct ast *ast = ast_new(reader, kind, place);
    int n = c ? 3 : b ? 2 : a ? 1 : 0;
    struct ast *const kids[] = {a, b, c};
    for (int i = 0; i < n; i++) ast_add(reader, ast, kids[i]);
    return ast;
}

struct ast *ast_named(struct parse *reader, enum ast_kind kind, struct place place, const char *text)
{
    struct ast *ast = ast_new(reader, kind, place);
    ast->text = text;
    return ast;
}

struct ast *ast_unary(struct parse *reader, struct place place, enum ast_op op, struct ast *x)
{
    if (op == AST_NEG && x->kind == AST_INT && !x->negative) { /* so that -2^63 can be written */
        x->negative = true;
        x->place = place;
        return x;
    }
    struct ast *ast = ast_make(reader, AST_UNARY, place, x, NULL, NULL);
    ast->op = op;
    return ast;
}

struct ast *ast_binary(struct parse *reader, struct place place, enum ast_op op, struct ast *x, struct ast *z)
{
    struct ast *ast = ast_make(reader, AST_BINARY, place, x, z, NULL);
    ast->op = op;
    return ast;
}
