/* Copies of statements and expressions, into the same program or another one, with variables, buffers and kernels
 * replaced on the way. The ground floor of every program -> program pass.
 *
 * A rewriter is one substitution. Variables that a copied statement defines get new variables, so a list may be
 * copied any number of times; other variables, buffers and kernels stay themselves unless bound.
 */
#ifndef TENON_REWRITE_H
#define TENON_REWRITE_H
#include "../ir/prog.h"

struct pointer_map { /* pointer -> pointer, open addressing */
    const void **key;
    void **value;
    int n, cap;
};
void map_put(struct arena *arena, struct pointer_map *map, const void *key, const void *value);
/* NULL where absent. */
void *map_get(const struct pointer_map *map, const void *key);

struct rewriter {
    struct prog *to;
    struct pointer_map vars; /* var -> ex */
    struct pointer_map buffers, kernels, memo;
    /* May replace an expression before it is rewritten; NULL: none. */
    ex (*hook)(void *context, ex e);
    void *context;
};
struct rewriter *rewriter_new(struct prog *to);
void rewrite_bind(struct rewriter *r, const struct var *var, ex by);
ex rewrite_expr(struct rewriter *r, ex e);
/* The list copied, with fresh variables; new definitions are bound in r. */
struct stmt *rewrite_list(struct rewriter *r, const struct stmt *list);
/* The variable a copied `set` assigns. */
struct var *rewrite_var(struct rewriter *r, struct var *var);
struct buffer *rewrite_buffer(struct rewriter *r, struct buffer *buf);
/* A new variable like `var` for a definition, bound in r. */
struct var *rewrite_define(struct rewriter *r, struct var *var);

/* A copy of a kernel gets what is known of it: strategy, layers, costs, place. */
void rewrite_kernel_facts(struct prog *to, const struct kernel *kernel, struct kernel *copy);

/* A program like `from` in a new unit. Kernel bodies go through `body` (the kernel is the new one, its body
 * already copied; the result replaces it); NULL keeps them. */
typedef struct stmt *body_function(struct prog *to, struct kernel *kernel, struct stmt *body, void *context);
struct prog *prog_copy(const struct prog *from, struct arena *unit, body_function *body, void *context);

/* Kernels that main does not call go; kernels that others call do not exist in programs that were lowered. */
void prog_drop_uncalled(struct prog *prog);

#endif
