/* The parts of tenon tune: rounds of measuring (cmd_tune_round.c), what to try next and what to keep (cmd_tune.c), the
 * machine's own figures (cmd_machine.c). */
#ifndef TENON_CMD_TUNE_H
#define TENON_CMD_TUNE_H
#include "../passes/tuning.h"
#include "cmd.h"

struct tune_time { /* seconds of a kernel's calls in one run, beside the untuned model's in the same minutes */
    double least, median, base_least, base_median;
};
/* How much of the untuned time: the worse of least and median; 1 where nothing was measured. */
double tune_ratio(const struct tune_time *time);

/* A model that rounds are measured on. */
struct tune_model {
    struct session *session;
    const struct options *options;
    struct unit lowered;       /* after pass lower: every build starts here */
    struct trial trial;
    struct unit base;          /* the untuned program, and that loaded */
    struct engine_run *base_run;
    double build_seconds, run_seconds; /* of the untuned one */
    double deadline;
    int n_keys;                /* kernels of different keys */
    const uint64_t *keys;
};
/* Reads and lowers the model; tuning->explored says how its kernels can be scheduled. False after messages. */
bool tune_open(struct session *session, const struct options *options, struct tuning *tuning, struct tune_model *model);
/* Builds the untuned model. */
bool tune_start(struct tune_model *model, struct tuning *tuning);
/* Ctrl-C was pressed: end the round at hand, keep what is known. */
bool tune_interrupted(void);
/* Fills tuning->explored once more, for the lines it has now. */
bool tune_explore(struct tune_model *model, struct tuning *tuning);
/* Builds the model by the tuning in a process of its own and times it beside the untuned one for about `seconds`: by
 * key into times[], the whole model into *whole. False where that failed or the deadline passed: nothing is known. */
bool tune_round(struct tune_model *model, struct tuning *tuning, double seconds, struct tune_time *times,
                struct tune_time *whole);

/* What the cost model assumes of the CPU, measured in a second or two. */
void cpu_measure(const struct target *target, struct arena *arena, struct tuning_machine *cpu);

#endif
