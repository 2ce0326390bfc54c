/* The command line's own parts: what tenon.c and the commands (cmd_*.c) share.
 *
 * A command is one function that gets the parsed options and a session, and returns the exit status: 0 fine, 1 the
 * input has errors, 2 wrong usage. Everything a command allocates lives in the session's arena until the process ends;
 * a compile's units live in an arena of their own.
 *
 * Read next: tenon.c (the commands), cmd_options.c (every option, once), cmd_model.c (file to graph to program).
 */
#ifndef TENON_CMD_H
#define TENON_CMD_H
#include "../codegen/codegen.h"
#include "../passes/pipeline.h"
#include "../passes/trial.h"

enum { STATUS_OK = 0, STATUS_INPUT = 1, STATUS_USAGE = 2 };

/* Bits: which commands an option belongs to. */
enum command_bit {
    FOR_COMPILE = 1,
    FOR_RUN = 2,
    FOR_CHECK = 4,
    FOR_BENCH = 8,
    FOR_TEST = 16,
    FOR_VERIFY = 32,
    FOR_TUNE = 64,
    FOR_PASSES = FOR_COMPILE | FOR_RUN | FOR_CHECK | FOR_BENCH | FOR_VERIFY,
    FOR_MODEL = FOR_PASSES | FOR_TUNE,
    FOR_CODE = FOR_COMPILE | FOR_RUN | FOR_BENCH | FOR_TEST | FOR_VERIFY | FOR_TUNE,
    FOR_ALL = 127, /* that read a model */
    FOR_DEVICES = 128,
    FOR_QUANTIZE = 256,
    FOR_EVERY = FOR_ALL | FOR_QUANTIZE
};

enum engine { ENGINE_C, ENGINE_LLVM, ENGINE_OPENCL, ENGINE_INTERPRETER, ENGINE_ALL, ENGINE_COUNT };

struct setting { /* NAME=VALUE */
    const char *name, *value;
};

struct settings {
    struct setting *at;
    int n, cap;
};

struct place_rule { /* of --place */
    const char *pattern; /* as a shell's */
    enum home home;
};

struct options {
    enum command_bit command;
    int n_paths; /* arguments that are no options */
    const char **paths;
    enum engine engine;
    bool engine_given;
    const struct target *target; /* the narrowest of `cpus` */
    LIST(const struct target *) cpus; /* from the narrowest to the widest; several: a version for each */
    struct settings dims, sizes, inputs;
    LIST(const char *) imports; /* folders */
    LIST(struct place_rule) places; /* the first that matches decides */
    LIST(const char *) reports; /* files, .html or .json */
    const char *model;          /* which one of a file with several */
    bool zero_weights;
    struct pipeline_options pipeline; /* with pass.level, pass.target, pass.max_arena_bytes */
    const char *out, *emit, *output_dir, *cc, *abi_json, *trace;
    bool layers; /* a table of kernel calls */
    int64_t max_flash_bytes; /* 0: no limit */
    bool cc_given;
    bool weights_file, freestanding, threads_given, json, keep, random, list_passes, help, quiet;
    uint64_t seed;
    int runs, threads, jobs;
    const char *tuning; /* file */
    const char *device_name;     /* "cpu", "gpu", a file; NULL: the usual one */
    const struct device *device; /* --target=opencl, after device_open; NULL: not */
    int top, budget;    /* tune: records per loop, seconds */
    bool machine, list; /* tune */
    const char *data, *labels; /* quantize: a folder or file of samples; what --metric=accuracy goes by */
    int limit, range, metric; /* samples (0: all), an enum quantize_method, how loss is measured */
    double max_loss, percentile;
    int weight_bits;    /* quantize: 16, 8 or 4, only the weights; 0: not */
    enum dtype weight_half; /* of 16 bits: f16 or bf16 */
    int64_t weight_block; /* elements of a sum with a scale of their own; 0: all */
};

struct session {
    struct arena *arena;
    struct diag *diag;
    struct dims *dims;
    bool progress; /* stderr is a terminal and nobody asked for quiet */
};

struct command {
    const char *name;
    enum command_bit bit;
    int (*run)(struct session *session, const struct options *options);
    const char *arguments, *summary, *help;
};

/* Reads the arguments after the command's name. False after messages on stderr: wrong usage. */
bool options_read(struct session *session, enum command_bit command, int argc, char **argv, struct options *options);
/* Prints the command's options. */
void options_help(enum command_bit command, FILE *out);

/* The model file as a graph (by suffix: .onnx, .tflite, .tn), --dim applied; NULL after messages in session->diag. Nothing
 * of it refers to `unit` after the arena is gone, except weights, which live in the session. */
struct graph *model_read(struct session *session, const struct options *options, const char *path, struct arena *unit);
/* A model as above, or a program text (.tnp) as --stop-after prints it after pass lower, into *model. */
bool model_open(struct session *session, const struct options *options, const char *path, struct arena *unit,
                struct unit *model);
/* The whole file as a source, in the session; NULL after a message. */
const struct source *source_read(struct session *session, const char *path);
/* Reads --tuning's file into the options; false after messages. */
bool tuning_open(struct session *session, struct options *options);
/* --target=opencl: the device, and the target that goes with it; false after messages. */
bool device_open(struct session *session, struct options *options);
/* Processors that the program runs on: workers, or the device's compute units. */
int processors_of(const struct options *options, const struct prog *prog);
/* Says on stderr what of the file was of no use, if anything. */
void tuning_remark(const struct options *options);
/* Runs the pipeline of the options on the unit; progress on a terminal. */
bool model_lower(struct session *session, const struct options *options, struct arena *arena, struct unit *unit);
/* The options' pipeline with this session's parts filled in. */
void model_pipeline(struct session *session, const struct options *options, struct pipeline_options *pipeline);
/* The model's name in generated code: resnet50 of "dir/resnet50.onnx". */
const char *model_name(struct arena *arena, const char *path);

/* Whether the path ends in the suffix and has more than that. */
bool has_suffix(const char *path, const char *suffix);

/* A step that may take a while: shown on a terminal, erased by the next. NULL erases. */
void progress_show(const struct session *session, const char *format, ...) __attribute__((format(printf, 2, 3)));
double clock_seconds(void);
/* Peak resident memory of this process in bytes. */
int64_t memory_peak_bytes(void);
/* Sorts n > 0 numbers; returns the median. */
double numbers_median(double *numbers, int n);
/* Bytes of the character of UTF-8 at s, which is not at its end; 0: it is none. */
int utf8_bytes(const char *s);
/* s as a JSON string with its quotes; bytes that are no UTF-8 become U+FFFD. */
void json_string(struct text *text, const char *s);
/* A finite number in JSON, null otherwise. */
void json_number(struct text *text, double v);

/* Totals of a planned program; symbols at values[] (by number). */
struct totals {
    double flops, bytes; /* of one run */
    int64_t arena_bytes, weight_bytes;
    int64_t live_bytes; /* largest live set, and the main statement at which it stands */
    int live_step;
};
struct span { /* of a buffer's use in main, in steps or calls; bytes in the arena */
    int first, last;
    int64_t lo, hi;
};
/* Bytes covered by the spans (sorted by lo) alive at step: in-place values and aliases share bytes and count once. */
int64_t spans_live(const struct span *sorted, int n, int step);
void program_totals(const struct prog *prog, const int64_t *symbols, struct arena *arena, struct totals *totals);
/* The arena's buffers alive at a step of main into live (room for all); their number. */
int program_live(const struct prog *prog, const int64_t *symbols, int step, struct arena *arena,
                 const struct buffer **live);

/* cmd_engine.c: a program made runnable, in this process. */
/* "c", as --target takes it; "C", as a person writes it. */
const char *engine_name(enum engine engine);
const char *engine_title(enum engine engine);
enum backend engine_backend(enum engine engine); /* of those that make code */
struct engine_run;
/* Compiles prog into a temporary library and loads it, or (interpreter) keeps the unit; NULL after a message. */
struct engine_run *engine_open(struct session *session, const struct options *options, enum engine engine,
                               const struct unit *unit);
/* One run: n inputs, dense; out: the program's outputs in arena. False after a message. */
bool engine_call(struct session *session, struct engine_run *run, const struct tensor *in, const int64_t *symbols,
                 struct arena *arena, struct tensor *out);
/* One run's seconds, its outputs thrown away; below zero after a message. */
double engine_time(struct session *session, struct engine_run *run, const struct tensor *in, const int64_t *symbols,
                   int n_out);
void engine_close(struct engine_run *run);
/* From now on the marks of a compiled program (pass profile) call note(context, site, worker), on the worker's thread;
 * NULL: nothing. False where the program has no marks. */
bool engine_note_to(struct engine_run *run, void (*note)(void *context, int64_t site, int64_t worker), void *context);
/* Of the last run on an OpenCL device, lowered and opened with pass.profile: every call of a kernel by its number, with
 * its seconds. False: not on a device. */
typedef void device_note(void *context, int call, double start, double end);
bool engine_times(struct engine_run *run, device_note *note, void *context);
int64_t engine_code_bytes(const struct engine_run *run); /* of the loaded library without its weights */
/* The sizes that the inputs give the model's named dimensions; NULL after a message about what does not fit. */
const int64_t *engine_symbols(struct session *session, const struct unit *unit, const struct tensor *in);

/* cmd_place.c: --place. Adds its argument's rules; false after a message about wrong usage. */
bool place_rules_read(struct session *session, const char *s, struct options *options);
/* Gives the nodes of a graph that was just read the homes that the rules say; false after messages. */
bool place_apply(struct session *session, const struct options *options, struct graph *graph);

/* cmd_tensor.c: .npy files, and .npz and .pb through the frontend's readers. */
/* The tensor of a file: the one called name, or the only one. */
bool tensor_read(struct session *session, const char *path, const char *name, struct tensor *tensor);
bool tensor_write_npy(struct session *session, const char *path, const struct tensor *tensor);
void tensor_print_short(const struct tensor *tensor, FILE *out);

int command_compile(struct session *session, const struct options *options);
int command_run(struct session *session, const struct options *options);
int command_check(struct session *session, const struct options *options);
int command_bench(struct session *session, const struct options *options);
int command_test(struct session *session, const struct options *options);
int command_verify(struct session *session, const struct options *options);
int command_tune(struct session *session, const struct options *options);
int command_devices(struct session *session, const struct options *options);
int command_quantize(struct session *session, const struct options *options);

#endif
