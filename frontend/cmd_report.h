/* What a compiled program does and what it costs, call by call: gathered once (cmd_report.c, cmd_report_memory.c), then
 * printed as a terminal's table (cmd_report_text.c), JSON (cmd_report_json.c), a self-contained HTML page
 * (cmd_report_html.c, cmd_report_chart.c) or a trace for chrome://tracing (cmd_trace.c).
 *
 * The prediction is a roofline: a call takes as long as its operations at the machine's multiply-add peak, or its
 * bytes from the caches and memory they are in, whichever is longer. Everything but what was measured (the machine, the
 * times) is a function of the model and the options.
 */
#ifndef TENON_CMD_REPORT_H
#define TENON_CMD_REPORT_H
#include "cmd.h"
#include "cmd_peak.h"
#include "cmd_profile.h"

enum bound {
    BOUND_COMPUTE,
    BOUND_MEMORY,
    BOUND_OVERHEAD, /* neither explains a quarter of the time: other instructions, latencies, the call itself */
    BOUND_COUNT
};
const char *bound_name(enum bound bound);

struct report_call {
    int number;                /* in the order of main */
    const struct stmt *call;
    const char *kernel;
    const char *layers;        /* the user's names; else the place in the model, else "" */
    const char *operators, *stored, *strategy;
    const char *place;         /* "device", "host", "transfer"; NULL where there is no device */
    int n_fused;
    double times;              /* it is made in a run; 1 where that was not measured */
    double flops, direct_flops; /* of a run, like all below; direct: by the operator's definition */
    double bytes, weight_bytes; /* elements read and written, each once; those that are constants */
    double predicted, compute, memory; /* seconds; the longer of the two */
    double measured;           /* seconds, the median; 0: not measured */
    double least;
    enum bound bound;
    int64_t live_bytes;        /* of the arena while it runs */
};
struct report_buffer { /* of the arena */
    const struct buffer *buf;
    int64_t offset_bytes, n_bytes;
    int first, last; /* numbers of calls */
    bool at_peak;
};
struct report {
    const char *model;   /* its file's name, without folders */
    const char *target;  /* "C", "LLVM" */
    const char *cpu;
    bool on_device;      /* through OpenCL */
    int threads;         /* of the program: 1 where it keeps to one */
    const struct prog *prog;
    const int64_t *symbols;
    struct machine machine;
    const struct profile *profile; /* NULL: nothing was measured */
    struct totals totals;
    double median, least, first;   /* seconds of a run without marks' clocks; 0: not measured */
    int runs;
    int n_calls, n_buffers;
    struct report_call *calls;
    const struct report_call **by_time; /* the longest first */
    struct report_buffer *buffers;
    int peak_call;       /* the first during which most of the arena is alive; -1: no call */
    double flops, direct_flops, bytes, predicted, measured; /* sums over the calls */
};

/* Everything of prog at these symbols; profile may be NULL, and median, least, first and runs are the caller's. */
void report_make(struct session *session, const struct options *options, const struct prog *prog,
                 const int64_t *symbols, const struct profile *profile, struct report *report);
/* cmd_report_memory.c: buffers, live bytes and the peak. */
void report_memory(struct report *report, struct arena *arena);
/* Bytes that one call of the kernel moves per parameter: of each element it reads and of each it writes, once. */
double *report_traffic(const struct prog *prog, const struct kernel *kernel, const int64_t *symbols, struct arena *arena);
/* Seconds of a call: measured, else predicted. */
double report_seconds(const struct report_call *call);

void report_print(const struct report *report, FILE *out);
void report_json(const struct report *report, struct text *out);
void report_html(const struct report *report, struct text *out);
void report_trace(const struct report *report, struct text *out);
/* Writes what --report and --trace ask for. False after a message. */
bool report_write(struct session *session, const struct options *options, const struct report *report);

/* cmd_report_chart.c: parts of the page, as inline SVG. */
void chart_roofline(const struct report *report, struct text *out);
void chart_memory(const struct report *report, struct text *out);
/* s with what HTML and SVG give a meaning escaped; control characters and what is no UTF-8 become U+FFFD. */
void html_text(struct text *out, const char *s);
/* v as "1.23 M" and the unit. */
void amount_text(struct text *out, double v, const char *unit);
/* Seconds as "1.23 ms". */
void seconds_text(struct text *out, double seconds);

#endif
