/* Every option of the command line, once: its name, argument, the commands that take it, and its help. */
#define _POSIX_C_SOURCE 200809L
#include "cmd.h"
#include "cmd_quantize.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum option {
    OPT_HELP,
    OPT_OUT,
    OPT_TARGET,
    OPT_CPU,
    OPT_DEVICE,
    OPT_PLACE,
    OPT_PORTABLE,
    OPT_LEVEL,
    OPT_DIM,
    OPT_WEIGHTS,
    OPT_EMIT,
    OPT_ABI_JSON,
    OPT_CC,
    OPT_KEEP,
    OPT_MAX_RAM,
    OPT_MAX_FLASH,
    OPT_FREESTANDING,
    OPT_NUMERIC,
    OPT_INPUT,
    OPT_RANDOM,
    OPT_OUTPUT_DIR,
    OPT_RUNS,
    OPT_THREADS,
    OPT_GRAIN,
    OPT_EXACT_CONV,
    OPT_WINOGRAD,
    OPT_REPORT,
    OPT_LAYERS,
    OPT_TRACE,
    OPT_JSON,
    OPT_QUIET,
    OPT_LIST_PASSES,
    OPT_PASSES,
    OPT_STOP_AFTER,
    OPT_PRINT_AFTER,
    OPT_PRINT_CHANGED,
    OPT_VERIFY_EACH,
    OPT_EVAL_EACH,
    OPT_TIME_PASSES,
    OPT_MODEL,
    OPT_IMPORT,
    OPT_ZERO_WEIGHTS,
    OPT_JOBS,
    OPT_TUNING,
    OPT_TOP,
    OPT_BUDGET,
    OPT_MACHINE,
    OPT_LIST,
    OPT_SIZE,
    OPT_DATA,
    OPT_LIMIT,
    OPT_RANGE,
    OPT_QUANTIZE_WEIGHTS,
    OPT_MAX_LOSS,
    OPT_METRIC,
    OPT_LABELS
};

struct option_row {
    enum option option;
    const char *name, *argument; /* argument NULL: a switch */
    int commands;
    const char *help;
};

static const struct option_row rows[] = {
    {OPT_OUT, "-o", "OUT", FOR_COMPILE,
     "where to write; the suffix chooses: .c (with .h) .o .a .so .ll .s; none: an executable"},
    {OPT_OUT, "-o", "OUT.tn", FOR_QUANTIZE, "where to write the model; its weights go beside it, as OUT.safetensors"},
    {OPT_DATA, "--data", "DIR|FILE", FOR_QUANTIZE, "samples of the inputs: a folder of .npy or .npz files, or one .npz with samples along a first axis"},
    {OPT_LIMIT, "--limit", "N", FOR_QUANTIZE, "use only the first N samples"},
    {OPT_RANGE, "--range", "METHOD", FOR_QUANTIZE,
     "the range that bytes stand for, of the values seen: minmax (all), mse (of least squared error), best (default: for each "
     "input whichever of these loses less), entropy, percentile:P (all but the outermost; percentile alone: 99.99)"},
    {OPT_QUANTIZE_WEIGHTS, "--weights", "int8|int4[:BLOCK]|f16|bf16", FOR_QUANTIZE,
     "only weights of products with few rows become integers or 16-bit floats, the rest stays float; no samples are needed (with --data the loss is "
     "measured). BLOCK: so many elements of a sum have a scale of their own, a multiple of 8 (int4: default 128; int8: one for all)"},
    {OPT_MAX_LOSS, "--max-loss", "X", FOR_QUANTIZE, "how much the outputs may lose (default 0.05, also as 5%); layers go back to float until they do not"},
    {OPT_METRIC, "--metric", "relative|top1|agreement|accuracy", FOR_QUANTIZE,
     "what is lost: the outputs' error by their size (default), the share of rows of the first output whose largest element is "
     "another, of samples with such a row (texts, sequences), or of rows whose largest element is right, by --labels"},
    {OPT_LABELS, "--labels", "FILE.npy", FOR_QUANTIZE, "with --metric=accuracy: integers, the right place of the largest element in every row of the first output"},
    {OPT_OUT, "-o", "FILE", FOR_TUNE, "where to write the tuning file"},
    {OPT_OUT, "-o", "FILE", FOR_DEVICES, "write one device's record, for --device=FILE"},
    {OPT_TOP, "--top", "K", FOR_TUNE, "schedules to try for every loop (default 12)"},
    {OPT_BUDGET, "--budget", "SECONDS", FOR_TUNE, "stop looking in time to end after this (default 60)"},
    {OPT_MACHINE, "--machine", NULL, FOR_TUNE,
     "without a MODEL: measure only what the cost model assumes of the CPU"},
    {OPT_SIZE, "--size", "NAME=N", FOR_TUNE,
     "the size at which to time a dimension that stays open (default: a small one); may be repeated"},
    {OPT_LIST, "--list", NULL, FOR_TUNE, "measure nothing: write or print every kernel's line, others to choose from as comments"},
    {OPT_TUNING, "--tuning", "FILE", FOR_MODEL, "schedules as measured by tenon tune; the same file, the same code"},
    {OPT_TARGET, "--target", "c|llvm|opencl|...", FOR_CODE | FOR_CHECK,
     "who makes the code: the C compiler (c, default), LLVM (llvm), an OpenCL device's own (opencl); to run and test also "
     "the interpreter (interpreter; to test all: the first two and that)"},
    {OPT_TARGET, "--target", "c|llvm", FOR_QUANTIZE, "who makes the code that samples run through (default: LLVM where it is built in)"},
    {OPT_DEVICE, "--device", "cpu|gpu|FILE", FOR_CODE | FOR_CHECK,
     "with --target=opencl: what its kernels are for: a plain CPU (default, with --threads=N compute units) or GPU, or the "
     "record that `tenon devices -o FILE` wrote of one"},
    {OPT_PLACE, "--place", "NAMES=PLACE[,...]", FOR_MODEL,
     "with --target=opencl, which it implies: where values and layers with such names (* and ? as in a shell) are computed, "
     "cpu or opencl (opencl:gpu: with --device=gpu); the first that matches decides, the rest is where the model says"},
    {OPT_CPU, "--cpu", "NAME[,NAME...]", FOR_CODE | FOR_CHECK,
     "native (default), or a row of the target table: --cpu=help lists them; to compile also a list of x86-64 levels: "
     "code for each, the widest that the machine has is run"},
    {OPT_CPU, "--cpu", "NAME", FOR_QUANTIZE,
     "the CPU that the model is for (native is the default, --cpu=help lists them): layers that bytes do not make faster there stay float"},
    {OPT_PORTABLE, "--portable", NULL, FOR_CODE | FOR_CHECK,
     "plain C11 for any compiler and machine; same as --cpu=portable"},
    {OPT_LEVEL, "-O", "0..3", FOR_ALL, "how much to improve: 0 nothing, 1 graph passes, 2 schedules (default), 3 more"},
    {OPT_DIM, "--dim", "NAME=N", FOR_MODEL | FOR_QUANTIZE, "pin a dynamic dimension; may be repeated"},
    {OPT_MODEL, "--model", "NAME", FOR_MODEL | FOR_QUANTIZE, "which model of a .tn file that has several"},
    {OPT_IMPORT, "--import", "DIR", FOR_MODEL | FOR_QUANTIZE, "a folder to search for imports of a .tn file; may be repeated"},
    {OPT_ZERO_WEIGHTS, "--zero-weights", NULL, FOR_MODEL | FOR_QUANTIZE, "parameters that no file holds are zeros instead of errors"},
    {OPT_INPUT, "--input", "NAME=FILE", FOR_RUN,
     "an input from a .npy, .npz, .safetensors or .pb file; may be repeated"},
    {OPT_RANDOM, "--random", "SEED", FOR_RUN, "random values for inputs that have no --input"},
    {OPT_OUTPUT_DIR, "--output-dir", "DIR", FOR_RUN, "write output_0.npy, output_1.npy ... and names.txt there"},
    {OPT_RUNS, "--runs", "N", FOR_BENCH, "timed runs (default: about a second's worth)"},
    {OPT_JOBS, "--jobs", "N", FOR_TEST, "cases at a time (default: one per CPU)"},
    {OPT_THREADS, "--threads", "N", FOR_MODEL | FOR_QUANTIZE, "code for up to N threads (default 1); the same results for every number"},
    {OPT_GRAIN, "--grain", "N", FOR_MODEL | FOR_TEST, "operations that are worth another thread (default 12000, a microsecond or two)"},
    {OPT_EXACT_CONV, "--exact-conv", NULL, FOR_MODEL, "no convolution by Winograd's algorithm, whose rounding errors are about twice as large"},
    {OPT_WINOGRAD, "--winograd", "2|4", FOR_MODEL, "tiles of 2 or 4 outputs a side for every 3x3 convolution, cheaper or not (to compare)"},
    {OPT_WEIGHTS, "--weights", "embed|file", FOR_COMPILE,
     "weights inside the artefact (default), or OUT.weights beside it, mapped when loaded"},
    {OPT_EMIT, "--emit", "STAGE", FOR_COMPILE,
     "write the text of a stage instead of code: build, or a pass (--list-passes); to OUT or standard output"},
    {OPT_ABI_JSON, "--abi-json", "FILE", FOR_COMPILE,
     "also write the plain call's symbol, inputs and outputs as JSON: void SYMBOL(in0, .., out0, ..)"},
    {OPT_MAX_RAM, "--max-ram", "BYTES", FOR_CODE | FOR_CHECK,
     "results may lie over what they are made of; a model whose arena is larger still (suffix K, M or G), with --freestanding "
     "and --cc whose arena and stack are, is refused"},
    {OPT_MAX_FLASH, "--max-flash", "BYTES", FOR_COMPILE,
     "with --freestanding: a model whose weights, with --cc also its code, take more is compiled to slower, shorter loops, or refused"},
    {OPT_FREESTANDING, "--freestanding", NULL, FOR_COMPILE,
     "C text that needs no C library: static memory, sizes as numbers in the header (with --cpu=cortex-m4 and the like); with "
     "--cc also what flash and stack that compiler needs for it"},
    {OPT_NUMERIC, "--numeric", "float|integer", FOR_QUANTIZE, "integer: for a model without floats: layers of little work become bytes as well"},
    {OPT_NUMERIC, "--numeric", "float|integer", FOR_MODEL,
     "integer: a quantized model without any floating point; its float inputs and outputs become integers (scales in the header)"},
    {OPT_CC, "--cc", "COMPILER", FOR_CODE | FOR_QUANTIZE, "the C compiler (default: $CC, else cc)"},
    {OPT_KEEP, "--keep", NULL, FOR_CODE, "keep temporary files and say where they are"},
    {OPT_REPORT, "--report", "FILE", FOR_COMPILE | FOR_BENCH,
     "also write what every kernel call costs, as a page (.html) or data (.json); may be repeated"},
    {OPT_REPORT, "--report", "FILE", FOR_QUANTIZE, "also write what became of every layer, as a page (.html) or data (.json); may be repeated"},
    {OPT_LAYERS, "--layers", NULL, FOR_BENCH, "also print the kernel calls, the longest first"},
    {OPT_TRACE, "--trace", "FILE.json", FOR_BENCH, "also write one run for chrome://tracing, a track per worker"},
    {OPT_JSON, "--json", NULL, FOR_COMPILE | FOR_CHECK | FOR_BENCH | FOR_DEVICES, "one JSON object on standard output"},
    {OPT_QUIET, "--quiet", NULL, FOR_EVERY, "no progress, no remarks"},
    {OPT_LIST_PASSES, "--list-passes", NULL, FOR_ALL, "the passes in their order, with what each does"},
    {OPT_PASSES, "--passes", "A,B,C", FOR_PASSES, "run exactly these passes, in this order"},
    {OPT_STOP_AFTER, "--stop-after", "STAGE", FOR_COMPILE | FOR_CHECK,
     "run up to this pass (or build) and print the unit's text"},
    {OPT_PRINT_AFTER, "--print-after", "PASS", FOR_PASSES,
     "print the unit's text after this pass (names between commas, or all)"},
    {OPT_PRINT_CHANGED, "--print-changed", NULL, FOR_PASSES, "print the text after every pass that changed it"},
    {OPT_VERIFY_EACH, "--verify-each", NULL, FOR_ALL, "verify the unit after every pass"},
    {OPT_EVAL_EACH, "--eval-each", "SEED", FOR_PASSES,
     "interpret the unit on the same random inputs before and after every pass"},
    {OPT_TIME_PASSES, "--time-passes", NULL, FOR_PASSES, "time and memory of every pass"},
    {OPT_HELP, "--help", NULL, FOR_EVERY | FOR_DEVICES, "this text"},
};
enum { N_ROWS = sizeof rows / sizeof *rows };

void options_help(enum command_bit command, FILE *out)
{
    fputs("options:\n", out);
    for (int i = 0; i < N_ROWS; i++) {
        char left[64];
        if (!(rows[i].commands & (int)command)) continue;
        const char *between = !rows[i].argument || rows[i].option == OPT_LEVEL ? ""
                              : rows[i].option == OPT_OUT                      ? " "
                                                                               : "=";
        snprintf(left, sizeof left, "%s%s%s", rows[i].name, between, rows[i].argument ? rows[i].argument : "");
        if (strlen(left) <= 22) fprintf(out, "  %-22s %s\n", left, rows[i].help);
        else fprintf(out, "  %s\n  %-22s %s\n", left, "", rows[i].help);
    }
}

/* What is wrong with the usage; false, for `return usage(...)`. */
static bool usage(const char *what, const char *detail)
{
    fprintf(stderr, "tenon: %s %s\n", what, detail);
    return false;
}

/* A whole number lo..hi, with an optional suffix K, M or G. */
static bool read_number(const char *name, const char *s, int64_t lo, int64_t hi, int64_t *value)
{
    char *end;
    errno = 0;
    long long v = strtoll(s, &end, 10);
    int64_t unit = *end == 'K' ? 1024 : *end == 'M' ? 1 << 20 : *end == 'G' ? 1 << 30 : 1;
    if (unit > 1) end++;
    bool bad = end == s || *end || errno || v > INT64_MAX / unit || v < -(INT64_MAX / unit);
    if (bad || v * unit < lo || v * unit > hi) {
        fprintf(stderr, "tenon: %s: '%s' is not a number from %lld to %lld\n", name, s, (long long)lo, (long long)hi);
        return false;
    }
    *value = v * unit;
    return true;
}

static bool read_setting(struct arena *arena, const char *name, const char *s, struct setting *setting)
{
    const char *equals = strrchr(s, '=');
    if (!equals || equals == s || !equals[1]) return usage("NAME=VALUE is expected after", name);
    setting->name = arena_strndup(arena, s, (size_t)(equals - s));
    setting->value = equals + 1;
    return true;
}

static bool read_engine(const char *s, struct options *options)
{
    for (int i = 0; i < ENGINE_COUNT; i++)
        if (!strcmp(s, engine_name((enum engine)i))) {
            options->engine = (enum engine)i;
            options->engine_given = true;
            bool ok = i <= ENGINE_OPENCL || (i == ENGINE_ALL && options->command == FOR_TEST) ||
                      (i == ENGINE_INTERPRETER && (options->command & (FOR_RUN | FOR_TEST)));
            return ok || usage("--target does not take this here:", s);
        }
    return usage("--target is c, llvm, opencl, interpreter or all, not", s);
}

static bool unknown_cpu(const char *name)
{
    if (strcmp(name, "help") != 0) fprintf(stderr, "tenon: there is no CPU '%s'; there are:\n", name);
    fputs("native\n", stderr);
    for (int i = 0; i < target_count(); i++) fprintf(stderr, "%s\n", target_at(i)->name);
    return false;
}

/* Puts the target into the list where it belongs by level. */
static bool add_cpu(struct arena *arena, const struct target *target, struct options *options)
{
    LIST_PUSH(arena, &options->cpus, target);
    const struct target **at = options->cpus.at;
    int i = options->cpus.n - 1;
    for (; i > 0 && at[i - 1]->level >= target->level; i--) {
        if (at[i - 1]->level == target->level && target->level) return usage("--cpu names one CPU twice:", target->name);
        at[i] = at[i - 1];
    }
    at[i] = target;
    for (i = 0; i < options->cpus.n && options->cpus.n > 1; i++)
        if (!at[i]->level) return usage("a list of --cpu is of x86-64 levels, which this is not:", at[i]->name);
    return true;
}

static bool read_cpu(struct arena *arena, const char *s, struct options *options)
{
    const char *all = s;
    options->cpus.n = 0;
    for (bool more = true; more;) {
        size_t n = strcspn(s, ",");
        const char *name = arena_strndup(arena, s, n);
        const struct target *target = strcmp(name, "native") != 0 ? target_find(name) : host_target();
        if (!target) return unknown_cpu(name);
        if (!add_cpu(arena, target, options)) return false;
        more = s[n] == ',';
        s += n + more;
    }
    options->target = options->cpus.at[0];
    return options->cpus.n == 1 || options->command == FOR_COMPILE ||
           usage("--cpu takes a list only to compile, not here:", all);
}

static bool read_list(struct arena *arena, const char *name, const char *s, struct settings *list, bool is_dim)
{
    struct setting setting;
    int64_t unused;
    if (!read_setting(arena, name, s, &setting)) return false;
    if (is_dim && !read_number(name, setting.value, 0, DIM_HUGE, &unused)) return false;
    LIST_PUSH(arena, list, setting);
    return true;
}

static bool read_report(struct arena *arena, const char *s, struct options *options)
{
    LIST_PUSH(arena, &options->reports, s);
    return has_suffix(s, ".html") || has_suffix(s, ".json") || usage("--report writes a .html or .json file, not", s);
}

static bool read_loss(const char *s, double *loss)
{
    char *end;
    *loss = strtod(s, &end);
    if (end != s && *end == '%') *loss /= 100, end++;
    return (end != s && !*end && *loss >= 0 && *loss <= 1e9) || usage("--max-loss is a number from 0, not", s);
}

static bool read_quantize_weights(const char *s, struct options *options)
{
    const char *colon = strchr(s, ':');
    size_t n = colon ? (size_t)(colon - s) : strlen(s);
    bool bytes = n == 4 && !strncmp(s, "int8", 4);
    if (!strcmp(s, "f16") || !strcmp(s, "bf16")) {
        options->weight_bits = 16;
        options->weight_half = *s == 'f' ? DT_f16 : DT_bf16;
        return true;
    }
    if (!bytes && (n != 4 || strncmp(s, "int4", 4) != 0)) return usage("--weights is f16, bf16, int8 or int4, the last two also with :BLOCK behind, not", s);
    options->weight_bits = bytes ? 8 : 4;
    options->weight_block = bytes ? 0 : QUANTIZE_BLOCK_USUAL;
    if (colon && !read_number("--weights", colon + 1, 8, 1 << 20, &options->weight_block)) return false;
    return options->weight_block % 8 == 0 || usage("--weights: BLOCK is a multiple of 8, not", colon + 1);
}

static bool read_words(const char *s, struct options *options, bool metric)
{
    int word = metric ? quantize_metric_from(s) : quantize_method_from(s, &options->percentile);
    if (metric) options->metric = word;
    else options->range = word;
    if (word >= 0) return true;
    return metric ? usage("--metric is relative, top1, agreement or accuracy, not", s) : usage("--range is minmax, percentile:50..100, mse, entropy or best, not", s);
}

static bool apply(struct session *session, const struct option_row *row, const char *s, struct options *options)
{
    struct arena *arena = session->arena;
    struct pipeline_options *pipeline = &options->pipeline;
    int64_t v = 0;
    bool ok = true;
    switch (row->option) {
    case OPT_HELP: options->help = true; break;
    case OPT_OUT: options->out = s; break;
    case OPT_TARGET: return read_engine(s, options);
    case OPT_CPU: return read_cpu(arena, s, options);
    case OPT_DEVICE:
        if (options->device_name && strcmp(options->device_name, s) != 0) return usage("a second device:", s);
        options->device_name = s;
        break;
    case OPT_PLACE: return place_rules_read(session, s, options);
    case OPT_PORTABLE: return read_cpu(arena, "portable", options);
    case OPT_LEVEL:
        ok = read_number(row->name, s, 0, 3, &v);
        pipeline->pass.level = (int)v;
        break;
    case OPT_DIM: return read_list(arena, row->name, s, &options->dims, true);
    case OPT_SIZE: return read_list(arena, row->name, s, &options->sizes, true);
    case OPT_INPUT: return read_list(arena, row->name, s, &options->inputs, false);
    case OPT_WEIGHTS:
        options->weights_file = !strcmp(s, "file");
        return options->weights_file || !strcmp(s, "embed") || usage("--weights is embed or file, not", s);
    case OPT_EMIT: options->emit = s; break;
    case OPT_ABI_JSON: options->abi_json = s; break;
    case OPT_CC: options->cc = s, options->cc_given = true; break;
    case OPT_KEEP: options->keep = true; break;
    case OPT_MAX_RAM: return read_number(row->name, s, 1, DIM_HUGE, &pipeline->pass.max_arena_bytes);
    case OPT_MAX_FLASH: return read_number(row->name, s, 1, DIM_HUGE, &options->max_flash_bytes);
    case OPT_NUMERIC:
        pipeline->pass.integer = !strcmp(s, "integer");
        return pipeline->pass.integer || !strcmp(s, "float") || usage("--numeric is float or integer, not", s);
    case OPT_FREESTANDING: options->freestanding = true; break;
    case OPT_RANDOM:
        ok = read_number(row->name, s, 0, INT64_MAX, &v);
        options->random = true;
        options->seed = (uint64_t)v;
        break;
    case OPT_OUTPUT_DIR: options->output_dir = s; break;
    case OPT_RUNS:
        ok = read_number(row->name, s, 1, 1000000000, &v);
        options->runs = (int)v;
        break;
    case OPT_THREADS:
        ok = read_number(row->name, s, 1, THREADS_MOST, &v);
        options->threads = pipeline->pass.threads = (int)v;
        options->threads_given = true;
        break;
    case OPT_GRAIN: return read_number(row->name, s, 1, DIM_HUGE, &pipeline->pass.grain);
    case OPT_WINOGRAD:
        if (strcmp(s, "2") != 0 && strcmp(s, "4") != 0) return usage("--winograd is 2 or 4, not", s);
        pipeline->pass.winograd_tile = s[0] - '0';
        break;
    case OPT_EXACT_CONV: pipeline->pass.exact_conv = true; break;
    case OPT_JOBS:
        ok = read_number(row->name, s, 1, 64, &v);
        options->jobs = (int)v;
        break;
    case OPT_REPORT: return read_report(arena, s, options);
    case OPT_LAYERS: options->layers = true; break;
    case OPT_TRACE:
        options->trace = s;
        return has_suffix(s, ".json") || usage("--trace writes a .json file, not", s);
    case OPT_JSON: options->json = true; break;
    case OPT_QUIET: options->quiet = true; break;
    case OPT_LIST_PASSES: options->list_passes = true; break;
    case OPT_PASSES: pipeline->passes = s; break;
    case OPT_STOP_AFTER: pipeline->stop_after = s; break;
    case OPT_PRINT_AFTER: pipeline->print_after = s; break;
    case OPT_PRINT_CHANGED: pipeline->print_changed = true; break;
    case OPT_VERIFY_EACH: pipeline->verify_each = true; break;
    case OPT_EVAL_EACH:
        ok = read_number(row->name, s, 0, INT64_MAX, &v);
        pipeline->eval_each = true;
        pipeline->seed = (uint64_t)v;
        break;
    case OPT_TIME_PASSES: pipeline->time_passes = true; break;
    case OPT_MODEL: options->model = s; break;
    case OPT_IMPORT: LIST_PUSH(arena, &options->imports, s); break;
    case OPT_ZERO_WEIGHTS: options->zero_weights = true; break;
    case OPT_TUNING: options->tuning = s; break;
    case OPT_TOP:
        ok = read_number(row->name, s, 1, 1000, &v);
        options->top = (int)v;
        break;
    case OPT_BUDGET:
        ok = read_number(row->name, s, 1, 1000000, &v);
        options->budget = (int)v;
        break;
    case OPT_MACHINE: options->machine = true; break;
    case OPT_LIST: options->list = true; break;
    case OPT_DATA: options->data = s; break;
    case OPT_LIMIT:
        ok = read_number(row->name, s, 1, 1000000, &v);
        options->limit = (int)v;
        break;
    case OPT_RANGE: return read_words(s, options, false);
    case OPT_METRIC: return read_words(s, options, true);
    case OPT_LABELS: options->labels = s; break;
    case OPT_QUANTIZE_WEIGHTS: return read_quantize_weights(s, options);
    case OPT_MAX_LOSS: return read_loss(s, &options->max_loss);
    }
    return ok;
}

/* The command's row that argument s names; *value is what stands behind '=' or is glued to a one-letter option. */
static const struct option_row *find_row(enum command_bit command, const char *s, const char **value)
{
    for (int i = 0; i < N_ROWS; i++) {
        size_t n = strlen(rows[i].name);
        if (!(rows[i].commands & (int)command) || strncmp(s, rows[i].name, n) != 0) continue;
        bool is_short = rows[i].name[1] != '-';
        if (s[n] && s[n] != '=' && !is_short) continue;
        *value = !s[n] ? NULL : is_short ? s + n : s + n + 1;
        return &rows[i];
    }
    return NULL;
}

static bool unknown(enum command_bit command, const char *s)
{
    const char *names[N_ROWS];
    char copy[64];
    int n = 0;
    snprintf(copy, sizeof copy, "%.*s", (int)strcspn(s, "="), s);
    for (int i = 0; i < N_ROWS; i++)
        if (rows[i].commands & (int)command) names[n++] = rows[i].name;
    const char *near = diag_suggest(copy, names, n);
    fprintf(stderr, "tenon: unknown option %s", copy);
    if (near) fprintf(stderr, "; did you mean %s?", near);
    fputs(" (--help shows what there is)\n", stderr);
    return false;
}

bool options_read(struct session *session, enum command_bit command, int argc, char **argv, struct options *options)
{
    const char *cc = getenv("CC");
    *options = (struct options){.command = command, .threads = 1, .cc = cc && *cc ? cc : "cc", .top = 12,
                                .budget = 60, .range = QUANTIZE_BEST, .max_loss = 0.05, .percentile = 99.99};
    options->pipeline.pass.level = 2;
    options->pipeline.pass.threads = 1;
    options->target = host_target();
    LIST_PUSH(session->arena, &options->cpus, options->target);
    options->paths = NEW_ARRAY(session->arena, const char *, argc + 1);
    bool only_paths = false;
    for (int i = 0; i < argc; i++) {
        const char *s = argv[i], *value = NULL;
        if (only_paths || s[0] != '-' || !s[1]) {
            options->paths[options->n_paths++] = s;
            continue;
        }
        if (!strcmp(s, "--")) {
            only_paths = true;
            continue;
        }
        if (!strcmp(s, "-h")) s = "--help";
        const struct option_row *row = find_row(command, s, &value);
        if (!row) return unknown(command, s);
        if (!row->argument && value) return usage("no value is taken by", row->name);
        if (row->argument && !value) {
            if (++i == argc) return usage("a value is missing after", row->name);
            value = argv[i];
        }
        if (!apply(session, row, value, options)) return false;
    }
    if (options->places.n && !options->engine_given) options->engine = ENGINE_OPENCL, options->engine_given = true;
    if (options->places.n && options->engine != ENGINE_OPENCL && options->engine != ENGINE_INTERPRETER)
        return usage("only --target=opencl takes", "--place");
    if (options->device_name && options->engine != ENGINE_OPENCL) return usage("only --target=opencl takes", "--device");
    if (options->engine == ENGINE_OPENCL && options->cpus.n > 1)
        return usage("--target=opencl is for one device: no list in", "--cpu");
    if (options->max_flash_bytes && !options->freestanding) return usage("only --freestanding takes", "--max-flash");
    options->pipeline.pass.target = options->target;
    options->pipeline.out = stdout;
    session->progress = isatty(STDERR_FILENO) && !options->quiet;
    return true;
}
