/* From a file to a graph to a program: what all commands do first; and progress, clocks, JSON. */
#define _POSIX_C_SOURCE 200809L
#include "../passes/tuning.h"
#include "cmd.h"
#include "language.h"
#include "onnx.h"
#include "prelude.h"
#include "tflite.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

double clock_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int compare_numbers(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

double numbers_median(double *numbers, int n)
{
    qsort(numbers, (size_t)n, sizeof *numbers, compare_numbers);
    return n % 2 ? numbers[n / 2] : (numbers[n / 2 - 1] + numbers[n / 2]) / 2;
}

int64_t memory_peak_bytes(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) ? 0 : (int64_t)usage.ru_maxrss * 1024;
}

void progress_show(const struct session *session, const char *format, ...)
{
    if (!session->progress) return;
    fputs("\r\033[K", stderr);
    if (format) {
        va_list args;
        va_start(args, format);
        vfprintf(stderr, format, args);
        va_end(args);
    }
    fflush(stderr);
}

int utf8_bytes(const char *s)
{
    const unsigned char *c = (const unsigned char *)s;
    if (c[0] < 0x80) return 1;
    int n = c[0] >= 0xc2 && c[0] <= 0xdf ? 2 : (c[0] & 0xf0) == 0xe0 ? 3 : c[0] >= 0xf0 && c[0] <= 0xf4 ? 4 : 0;
    for (int i = 1; i < n; i++)
        if ((c[i] & 0xc0) != 0x80) return 0;
    bool is_wrong = (c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f) || /* too long; halves of UTF-16 */
                    (c[0] == 0xf0 && c[1] < 0x90) || (c[0] == 0xf4 && c[1] > 0x8f);
    return is_wrong ? 0 : n;
}

void json_string(struct text *text, const char *s)
{
    text_add(text, "\"");
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\') text_printf(text, "\\%c", c);
        else if (c < 32 || c == 127) text_printf(text, "\\u%04x", c);
        else if (c < 128) text_add_n(text, s, 1);
        else {
            int n = utf8_bytes(s);
            if (n) text_add_n(text, s, (size_t)n);
            else text_add(text, "\\ufffd");
            s += n ? n - 1 : 0;
        }
    }
    text_add(text, "\"");
}

void json_number(struct text *text, double v)
{
    if (isfinite(v)) text_printf(text, "%.6g", v);
    else text_add(text, "null");
}

const char *model_name(struct arena *arena, const char *path)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *dot = strrchr(base, '.');
    return text_identifier(arena, arena_strndup(arena, base, dot && dot > base ? (size_t)(dot - base) : strlen(base)));
}

bool has_suffix(const char *path, const char *suffix)
{
    size_t n = strlen(path), m = strlen(suffix);
    return n > m && !strcmp(path + n - m, suffix);
}

const struct source *source_read(struct session *session, const char *path)
{
    enum { MOST = 64 << 20 };
    struct place place = {.path = path};
    FILE *in = fopen(path, "rb");
    if (!in) return diag_error(session->diag, place, "cannot read: %s", strerror(errno)), NULL;
    struct text text = {.arena = session->arena};
    char block[65536];
    size_t n;
    while ((n = fread(block, 1, sizeof block, in)) > 0 && text.n <= MOST) text_add_n(&text, block, n);
    bool failed = ferror(in);
    int why = errno;
    fclose(in);
    if (failed) return diag_error(session->diag, place, "cannot read: %s", strerror(why)), NULL;
    if (text.n > MOST)
        return diag_error(session->diag, place, "too large for a text: more than %d MiB", MOST >> 20), NULL;
    struct source *source = NEW(session->arena, struct source);
    *source = (struct source){.name = path, .text = text_string(&text), .n_bytes = text.n};
    return source;
}

static const struct dim_pin *read_pins(struct session *session, const struct options *options)
{
    struct dim_pin *pins = NEW_ARRAY(session->arena, struct dim_pin, options->dims.n + 1);
    for (int i = 0; i < options->dims.n; i++)
        pins[i] = (struct dim_pin){options->dims.at[i].name, strtoll(options->dims.at[i].value, NULL, 10)};
    return pins;
}

static struct graph *read_language(struct session *session, const struct options *options, const char *path,
                                   struct arena *unit)
{
    const struct source *source = source_read(session, path);
    if (!source) return NULL;
    struct language_options language = {
        .model = options->model,
        .import_dirs = options->imports.at,
        .n_import_dirs = options->imports.n,
        .pins = read_pins(session, options),
        .n_pins = options->dims.n,
        .zero_weights = options->zero_weights,
    };
    struct graph *graph =
        graph_new(unit, session->arena, session->dims, session->diag, model_name(session->arena, path));
    return language_read(graph, source, &language) ? graph : NULL;
}

static struct graph *read_onnx(struct session *session, const struct options *options, const char *path,
                               struct arena *unit)
{
    struct onnx_options onnx = {.n_pins = options->dims.n, .pins = read_pins(session, options)};
    struct graph *graph =
        graph_new(unit, session->arena, session->dims, session->diag, model_name(session->arena, path));
    return onnx_read(graph, path, &onnx) ? graph : NULL;
}

static struct graph *read_tflite(struct session *session, const struct options *options, const char *path,
                                 struct arena *unit)
{
    struct tflite_options tflite = {.n_pins = options->dims.n, .pins = read_pins(session, options)};
    struct graph *graph =
        graph_new(unit, session->arena, session->dims, session->diag, model_name(session->arena, path));
    return tflite_read(graph, path, &tflite) ? graph : NULL;
}

/* --numeric=integer: the model without floats, which everything after this takes for the model. */
static struct graph *without_floats(struct session *session, const struct options *options, struct graph *graph, struct arena *arena)
{
    struct pipeline_options pipeline = {.pass = options->pipeline.pass, .passes = "absorb,fixed", .out = stdout};
    struct unit unit = {.graph = graph};
    pipeline.pass.expand_composite = prelude_expand;
    return pipeline_run(&unit, arena, &pipeline, session->diag) ? unit.graph : NULL;
}

struct graph *model_read(struct session *session, const struct options *options, const char *path, struct arena *unit)
{
    progress_show(session, "reading %s", path);
    int before = diag_errors(session->diag);
    struct graph *graph = NULL;
    if (has_suffix(path, ".onnx")) graph = read_onnx(session, options, path, unit);
    else if (has_suffix(path, ".tflite")) graph = read_tflite(session, options, path, unit);
    else if (has_suffix(path, ".tn")) graph = read_language(session, options, path, unit);
    else diag_error(session->diag, (struct place){.path = path}, "a model is a .onnx, .tflite or .tn file");
    if (graph && diag_errors(session->diag) == before) place_apply(session, options, graph);
    if (graph && diag_errors(session->diag) == before && options->pipeline.pass.integer) graph = without_floats(session, options, graph, unit);
    return diag_errors(session->diag) > before ? NULL : graph;
}

bool model_open(struct session *session, const struct options *options, const char *path, struct arena *unit,
                struct unit *model)
{
    *model = (struct unit){0};
    if (!has_suffix(path, ".tnp")) {
        model->graph = model_read(session, options, path, unit);
        return model->graph != NULL;
    }
    const struct source *source = source_read(session, path);
    if (source) model->prog = prog_parse(source, unit, session->arena, session->dims, session->diag);
    return model->prog != NULL;
}

static void watch(void *ctx, enum pass pass, bool done, const struct unit *unit)
{
    (void)unit;
    if (!done) progress_show(ctx, "pass %s", pass_row(pass)->name);
}

void model_pipeline(struct session *session, const struct options *options, struct pipeline_options *pipeline)
{
    *pipeline = options->pipeline;
    pipeline->pass.device = options->device;
    pipeline->pass.expand_composite = prelude_expand;
    pipeline->watch = watch;
    pipeline->watch_ctx = session;
}

bool model_lower(struct session *session, const struct options *options, struct arena *arena, struct unit *unit)
{
    struct pipeline_options pipeline;
    model_pipeline(session, options, &pipeline);
    return pipeline_run(unit, arena, &pipeline, session->diag);
}

bool device_open(struct session *session, struct options *options)
{
    if (options->engine != ENGINE_OPENCL) return true;
    const char *name = options->device_name ? options->device_name : "cpu";
    const struct device *known = device_find(name);
    const struct source *source = known ? NULL : source_read(session, name);
    if (source) known = device_read(source, session->arena, session->diag);
    if (!known) return false;
    struct device *device = arena_copy(session->arena, known, sizeof *known);
    if (options->threads_given) device->compute_units = options->threads;
    options->device = device;
    options->target = options->cpus.at[0] = device_target(device, options->target, session->arena);
    options->pipeline.pass.target = options->target;
    return true;
}

int processors_of(const struct options *options, const struct prog *prog)
{
    if (options->device) return options->device->compute_units;
    return prog->threads ? prog->threads : 1;
}

bool tuning_open(struct session *session, struct options *options)
{
    const char *maker = engine_name(options->engine);
    struct tuning *tuning = tuning_new(session->arena, session->diag, options->target->name, maker, options->threads);
    const struct source *source = source_read(session, options->tuning);
    options->pipeline.pass.tuning = tuning;
    return source && tuning_parse(tuning, source);
}

void tuning_remark(const struct options *options)
{
    const struct tuning *tuning = options->pipeline.pass.tuning;
    int used = 0, n = tuning->lines.n;
    for (int i = 0; i < n; i++) used += tuning->lines.at[i].used;
    if (used == n || options->quiet) return;
    fprintf(stderr, "%s: %d of %d kernel lines are of no use here: other kernels, sizes, CPU, --target or --threads\n",
            options->tuning, n - used, n);
}
