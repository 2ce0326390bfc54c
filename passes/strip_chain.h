/* Chains of calls that pass strips runs a few rows at a time: which, and how many rows. */
#ifndef TENON_STRIP_CHAIN_H
#define TENON_STRIP_CHAIN_H
#include "passes.h"
#include "strip_kernel.h"

enum { CHAIN_MOST = 8, LINKS_MOST = 64 };
struct link { /* a buffer of main that the chain touches */
    struct buffer *buf;
    int uses;                 /* arguments in the chain */
    int64_t bytes;            /* of what a call of the chain gets, the most */
    bool written, read_later; /* by a call; by a call after it */
    bool moves;               /* with the rows */
    bool shortens;            /* a strip of it is enough: nobody else sees it, and the chain sees rows only */
    struct buffer *slots;     /* pass strips: the strips that take its place, NULL where it stays */
    int64_t slot;             /* pass strips: elements of one */
};
struct chain {
    int n, n_links;
    const struct stmt *call[CHAIN_MOST];
    struct row_loop rows[CHAIN_MOST];
    struct link link[LINKS_MOST];
    int64_t strip; /* rows of one; divides the number of rows */
    int64_t parts; /* groups of strips that may be computed at once */
};
struct chain_finder {
    struct prog *prog;
    const struct pass_options *options;
    struct arena *scratch;
    int *uses; /* by buffer: how often main names it */
};
struct chain_finder chain_finder_new(struct prog *prog, const struct pass_options *options, struct arena *scratch);
/* The chain of calls after one another that begins with the statement and saves most; false where none saves enough. */
bool chain_find(struct chain_finder *finder, const struct stmt *first, struct chain *chain);
/* What the chain knows of a buffer that it touches. */
struct link *chain_link(struct chain *chain, const struct buffer *buf);

#endif
