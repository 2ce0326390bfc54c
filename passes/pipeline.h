/* The pass manager: runs passes of passes.def on one unit, and prints, verifies, times and evaluates between them.
 *
 * A unit is a graph before pass lower and a program after it. Every pass makes a new unit in the same arena; older
 * units stay readable until the arena goes, so that two stages can be compared.
 *
 * Read next: passes.def (the order), trial.h (random inputs and the comparison behind --eval-each).
 */
#ifndef TENON_PIPELINE_H
#define TENON_PIPELINE_H
#include "passes.h"

struct unit { /* exactly one is not NULL */
    struct graph *graph;
    struct prog *prog;
};

enum pass {
#define PASS(name, kind, level, what) PASS_##name,
#include "passes.def"
#undef PASS
    PASS_COUNT
};
enum pass_kind { PASS_GRAPH, PASS_LOWER, PASS_PROG, PASS_PLAN };
struct pass_row {
    const char *name;
    enum pass_kind kind;
    int level;
    const char *what;
};
const struct pass_row *pass_row(enum pass pass);
bool pass_from_name(const char *name, enum pass *pass);

struct pipeline_options {
    struct pass_options pass;
    const char *passes;      /* names between commas, run in this order; NULL: those of the level */
    const char *stop_after;  /* pass name; NULL: run all */
    const char *print_after; /* pass names between commas, or "all" */
    bool print_changed;      /* print after every pass that changed the text */
    bool verify_each, eval_each, time_passes;
    uint64_t seed; /* of eval_each's inputs */
    FILE *out;     /* where units and times are printed */
    /* Called before and after each pass, when not NULL. */
    void (*watch)(void *ctx, enum pass pass, bool done, const struct unit *unit);
    void *watch_ctx;
};

/* Runs the passes; *unit becomes the last one made. Units live in `arena`. False after an error in diag: an unknown
 * pass name, a pass that said no, or (eval_each) the first pass that changed an answer. A unit that does not verify
 * is our own mistake and aborts with the pass's name. */
bool pipeline_run(struct unit *unit, struct arena *arena, const struct pipeline_options *options, struct diag *diag);
/* One pass. */
bool pipeline_step(struct unit *unit, enum pass pass, struct arena *arena, const struct pass_options *options,
                   struct diag *diag);
/* The passes `options` asks for into order (PASS_COUNT*4 entries at most); their number, -1 after an error. */
enum { PIPELINE_MOST = 64 };
int pipeline_order(const struct pipeline_options *options, enum pass *order, struct diag *diag);
void pipeline_list(FILE *out);

void unit_print(const struct unit *unit, struct text *text);
bool unit_verify(const struct unit *unit, struct diag *diag);
struct dims *unit_dims(const struct unit *unit);

#endif
