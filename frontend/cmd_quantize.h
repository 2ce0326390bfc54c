/* Between the files of `tenon quantize`: samples, what is asked for, what came of it. */
#ifndef TENON_CMD_QUANTIZE_H
#define TENON_CMD_QUANTIZE_H
#include "../passes/quantize_weights.h"
#include "cmd.h"

struct sample {
    const char *path;
    struct tensor *in;      /* one per input of the model */
    const int64_t *symbols; /* of the model's named dimensions */
};
struct samples {
    LIST(struct sample) list;
};
/* The samples of a folder or file (cmd_quantize_data.c), `limit` at most (0: all); false after messages. */
bool samples_read(struct session *session, const struct graph *graph, const char *path, int limit, struct samples *samples);

enum { QUANTIZE_RANGES = 5, QUANTIZE_METRICS = 4, QUANTIZE_BLOCK_USUAL = 128 /* of --weights=int4 */ };
/* --range: NAME or percentile:P, and --metric, by their names; -1: no such one. */
int quantize_method_from(const char *s, double *percentile);
int quantize_metric_from(const char *s);
const char *quantize_method_name(int method);
const char *quantize_metric_name(int metric);

struct loss { /* sums over samples */
    double error, signal; /* relative */
    double wrong, rows;   /* top1: rows with another answer, all */
    double risk;          /* of rows: squares of the part of its lead that the largest element lost, 1 at most */
    double samples, samples_wrong, samples_near; /* agreement: with such a row, or one that nearly has another answer */
    double right_got, right_want; /* accuracy: rows answered as their labels say */
};
struct labels { /* of all samples' rows, one sample after the other */
    const char *path;
    int64_t *at, n;
};
bool quantize_needs_labels(int metric);
/* The numbers of a .npy file; false after a message. */
bool labels_read(struct session *session, const char *path, struct labels *labels);
/* Rows along an output's last axis. */
int64_t loss_rows(const struct tensor *t);

/* Adds an output of one sample; `first`: it is the model's first; labels: of its rows, or NULL. */
void loss_add(struct loss *loss, const struct tensor *got, const struct tensor *want, bool first, const int64_t *labels);
/* From 0; infinite where an output is no number. */
double loss_number(const struct loss *loss, int metric);
/* The size of the outputs' error, by theirs. */
double loss_error(const struct loss *loss);
/* How near the outputs come to a loss by the metric, from 0: smooth, for comparing layers on few samples. */
double loss_risk(const struct loss *loss, int metric);
/* Whether that was seen on samples enough to tell layers apart. */
bool loss_is_enough(const struct loss *loss, int metric);

struct quantize_result {
    const char *model;             /* its file's name, without folders */
    const struct quantize_plan *plan;
    const struct quantize_narrowing *narrowing; /* --weights; NULL: layers are bytes, what they read as well */
    int n_samples, n_held_back;    /* all; those that the loss was measured on */
    bool same_samples;             /* ranges and loss come from the same ones */
    double loss, loss_all, bound;  /* of the model written; with every layer in bytes */
    struct loss measured;          /* of the model written */
    int64_t weight_bytes_float, weight_bytes;
    const struct target *cpu;
    double cycles_float, cycles;   /* of a run there, by the cost model: in floats, of the model written; 0: not estimated */
    const struct options *options;
};
void quantize_print(struct session *session, const struct quantize_result *result);
/* FILE.html or FILE.json; false after a message. */
bool quantize_report(struct session *session, const struct quantize_result *result, const char *path);

#endif
