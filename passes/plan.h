/* Inside of pass plan: lifetimes, in-place, placing. */
#ifndef TENON_PLAN_H
#define TENON_PLAN_H
#include "../ir/prog.h"

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

/* Calls whose output may take the place of an input that dies there are changed to pass one buffer, through a copy of
 * the kernel with one formal for both. Returns how many. prog is changed in place. */
int plan_in_place(struct prog *prog);

#endif
