/* Inside of pass plan: lifetimes, in-place, placing, also of what overlaps. */
#ifndef TENON_PLAN_H
#define TENON_PLAN_H
#include "rewrite.h"

struct life { /* of an arena buffer; steps count main's statements in order, a loop's end being a step too */
    struct buffer *buf;
    int first, last; /* -1: never used */
    bool written_first; /* by a statement that always runs in the innermost loop around it */
};
struct lives {
    int n_steps;
    LIST(const struct stmt *) steps; /* by step - 1; a loop's end: NULL */
    int n;           /* prog->next_buffer */
    struct life *at; /* by buffer id; buf NULL for other spaces */
};
/* Lifetimes over main. A buffer used inside a loop and outside it lives through the whole loop, and so does one whose
 * first use in the loop may read what the iteration before left. */
void plan_lives(const struct prog *prog, struct arena *arena, struct lives *lives);

/* Orders calls that follow one another in main so that least is alive at a time. shares: results lie over what dies. */
void plan_order(struct prog *prog, bool shares);

/* Calls whose output may take the place of an input that dies there are changed to pass one buffer, through a copy of
 * the kernel with one formal for both. Returns how many. prog is changed in place. */
int plan_in_place(struct prog *prog);
/* `copy` gets the kernel's facts, formals and scalars, but for formal `without` (-1: none); what copies the body with them. */
struct rewriter *plan_copy_formals(struct prog *prog, const struct kernel *kernel, int without, struct kernel *copy);

/* Where a call may write while what it reads, which dies there, is still needed. */
struct distance { /* bytes: what is written begins at least `below` before what is read, or at least `above` behind it */
    int64_t below, above;
};
enum { WAYS = 2 }; /* forwards, and with the outermost loops turned round */
bool distance_allows(const struct distance *d, int64_t delta); /* delta: how far behind, may be negative */
/* How many ways the call can be run with known distances between buffers `from`, read, and `to`, written: 0 to WAYS. */
int plan_distances(struct prog *prog, const struct stmt *call, const struct buffer *from, const struct buffer *to, struct distance d[WAYS]);
/* The kernel with its outermost loops turned round, for calls that have both ways. */
struct kernel *plan_turned(struct prog *prog, const struct kernel *kernel);

struct near { /* a call's input that dies there and its output */
    struct item *in, *out;
    struct stmt *call;
    int ways;
    struct distance way[WAYS];
};
struct item { /* a buffer to be placed */
    const struct life *life;
    int64_t size, offset; /* at the chosen symbol values */
    int rank;             /* order made, for a stable order */
    double key;
    dim size_dim, offset_dim;
    const struct near *as_in, *as_out; /* pairs that it belongs to, or NULL */
};
struct packing {
    struct prog *prog;
    struct arena *scratch;
    int n;
    struct item *item;
    int64_t align;
    LIST(struct near *) near;
    bool tries_near;
};
bool items_coexist(const struct item *a, const struct item *b);
/* Orders in which items are placed: by falling key, which is one of several kinds. */
enum { PLAN_KEYS = 4 };
double item_key(const struct item *item, int kind);
int item_by_key(const void *a, const void *b); /* pointers to pointers to items */
/* Offsets of all items for their sizes; returns where the last one ends. */
int64_t plan_pack(struct packing *p);
/* Finds the pairs of calls that may overlap. */
void plan_find_near(struct packing *p, const struct lives *lives);
/* Calls whose two overlap so that only the way back is right get kernels that run back. */
void plan_apply_near(struct packing *p);

#endif
