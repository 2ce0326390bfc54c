/* The inside of pass schedule: one kernel being scheduled, and who decides: the cost model (schedule.c, choose.c), a
 * tuning file (given.c); and what else could be chosen (explore.c, for `tenon tune`). */
#ifndef TENON_SCHEDULE_H
#define TENON_SCHEDULE_H
#include "choose.h"
#include "group.h"
#include "group_rows.h"
#include "passes.h"
#include "record.h"
#include "tuning.h"

struct scheduling { /* of the program */
    const struct prog *from;
    const struct target *target;
    struct tuning *tuning;
    int threads;
    const struct device *device; /* NULL: none */
    bool failed; /* with a message in tuning->diag */
    LIST(struct pack) packs;
};
struct scheduler { /* of a kernel */
    struct prog *prog;
    const struct target *target;
    struct text strategy;
    struct kernel *kernel;
    const struct stmt *body; /* all of the kernel's, before */
    const bool *constant;    /* by parameter: every call passes a constant */
    struct scheduling *all;
    struct tuning *tuning;   /* NULL: none */
    const struct records *given; /* NULL: decide by the cost model */
    int next;                /* of given */
    int explored;            /* number of this kernel in tuning->explored */
    bool failed;
    struct stmt *whole;      /* the only loop of a kernel that may become groups of lanes (group.h); NULL: none */
    bool cases;              /* some axis told cases apart: see loopnest.h */
};
struct choice {
    struct loopnest nest;
    struct tile_plan plan;
    struct pack pack; /* n 0: none */
    const char *pack_axis;
    double cost;
    bool found;       /* else: loop by loop */
    struct group_plan group; /* rows 0: none, the plan counts */
    struct rows_plan rows;   /* lanes 0: none */
};
struct reduction_choice {
    int lanes, unroll; /* lanes 1: unrolled */
};

/* The cost model does not see that a packed panel is read in one stream: worth a few percent. */
#define PACKED_COST 0.97

/* Whether the access is the kernel's only one to a constant, inside a loop of the body. */
bool schedule_may_pack(const struct scheduler *s, const struct access *access);
/* The nest with the access packed for lanes along the axis, into choice (nest, pack) and *var (that lanes should run
 * along); false where it cannot be. */
bool schedule_packed(struct scheduler *s, struct stmt *loop, const struct loopnest *nest, const struct access *access,
                     int axis, struct choice *choice, struct var **var);
/* The loop as a contraction for groups of lanes; false where it is none. */
bool schedule_groups(const struct scheduler *s, const struct stmt *loop, const struct loopnest *nest, struct contraction *contraction);
/* The same as rows for them. */
bool schedule_rows(const struct scheduler *s, const struct stmt *loop, const struct loopnest *nest);
const char *schedule_text(const struct scheduler *s, const struct choice *choice);
const char *reduction_text(const struct scheduler *s, const struct reduction_choice *choice);

/* keep.c: the list with values that a sum and a later loop both compute stored in the result, where a row of them has
 * fewer than bytes_most bytes; *kept where there are any. */
struct stmt *schedule_keep(struct prog *prog, struct stmt *list, int64_t bytes_most, bool *kept);

/* given.c: the tuning file's records for the kernel, one after the other. False after an error (s->failed). */
bool given_start(struct scheduler *s, const struct kernel *from);
bool given_choice(struct scheduler *s, struct stmt *loop, const struct loopnest *nest, struct choice *choice);
bool given_reduction(struct scheduler *s, int lanes, struct reduction_choice *choice);
bool given_loops(struct scheduler *s); /* the next record, if there is one, can only be "loops" */
void given_finish(struct scheduler *s);

/* explore.c: leaves a point in the tuning, where that is wanted. explore_nest returns its number, for explore_end
 * after the loops inside. */
int explore_nest(struct scheduler *s, struct stmt *loop, const struct loopnest *nest, const struct choice *chosen);
void explore_end(struct scheduler *s, int point);
void explore_reduction(struct scheduler *s, int lanes, const struct reduction_choice *chosen);

#endif
