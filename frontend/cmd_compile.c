/* tenon compile: a model becomes an artefact whose suffix chooses its kind; or the text of a stage. */
#define _POSIX_C_SOURCE 200809L
#include "../ir/graph_print.h"
#include "cmd.h"
#include "cmd_report.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

struct stage_times {
    double seconds[PASS_COUNT + 2]; /* passes, then reading and linking */
    double start;
    const struct session *session;
};
enum { TIME_READ = PASS_COUNT, TIME_LINK };

static void watch(void *ctx, enum pass pass, bool done, const struct unit *unit)
{
    struct stage_times *times = ctx;
    (void)unit;
    if (!done) {
        times->start = clock_seconds();
        progress_show(times->session, "pass %s", pass_row(pass)->name);
    } else {
        times->seconds[pass] += clock_seconds() - times->start;
    }
}

static bool write_text(struct session *session, const char *path, const char *text)
{
    FILE *out = path ? fopen(path, "wb") : stdout;
    if (!out) return diag_error(session->diag, (struct place){.path = path}, "cannot write: %s", strerror(errno));
    bool ok = fputs(text, out) >= 0;
    if (path) ok = !fclose(out) && ok;
    return ok || diag_error(session->diag, (struct place){.path = path ? path : "standard output"}, "cannot write: %s",
                            strerror(errno));
}

/* Whether the result is a model in the language again: its weights then go into a file beside it. */
static bool wants_model(const struct options *options)
{
    size_t n = options->out ? strlen(options->out) : 0;
    return n > 3 && !strcmp(options->out + n - 3, ".tn");
}

/* --emit and --stop-after: the unit's text after a stage. */
static int emit_stage(struct session *session, const struct options *options, struct unit *unit, struct arena *arena)
{
    struct options upto = *options;
    const char *stage = options->emit ? options->emit : options->pipeline.stop_after;
    upto.pipeline.stop_after = stage;
    if (!strcmp(stage, "improve")) upto.pipeline.stop_after = "fuse";
    if (strcmp(stage, "build") != 0 && !model_lower(session, &upto, arena, unit)) return STATUS_INPUT;
    if (unit->graph && options->emit && wants_model(options))
        return graph_write(unit->graph, options->out, session->diag) ? STATUS_OK : STATUS_INPUT;
    struct text text = {.arena = arena};
    unit_print(unit, &text);
    return write_text(session, options->emit ? options->out : NULL, text_string(&text)) ? STATUS_OK : STATUS_INPUT;
}

static const char *c_type(enum dtype dt)
{
    switch (dt) {
    case DT_f64: return "double";
    case DT_f32: return "float";
    case DT_f16:
    case DT_bf16:
    case DT_u16: return "uint16_t";
    case DT_i8: return "int8_t";
    case DT_i16: return "int16_t";
    case DT_i32: return "int32_t";
    case DT_i64:
    case DT_index: return "int64_t";
    case DT_u8: return "uint8_t";
    case DT_u32: return "uint32_t";
    case DT_u64: return "uint64_t";
    case DT_bool: return "bool";
    case DT_COUNT: break;
    }
    return "?";
}

static void abi_tensors(struct text *json, const struct prog *prog, bool outputs)
{
    int n = outputs ? prog->outputs.n : prog->inputs.n;
    text_printf(json, "  \"%s\": [", outputs ? "outputs" : "inputs");
    for (int i = 0; i < n; i++) {
        const struct buffer *buf = outputs ? prog->outputs.at[i] : prog->inputs.at[i];
        text_printf(json, "%s\n    {\"name\": ", i ? "," : "");
        json_string(json, outputs ? prog->output_names.at[i] : prog->input_names.at[i]);
        text_printf(json, ", \"dtype\": \"%s\", \"c\": \"%s\", \"shape\": [", dtype_name(buf->dt), c_type(buf->dt));
        for (int k = 0; k < buf->type.rank; k++) {
            struct text size = {.arena = json->arena};
            dim_print(prog->dims, &size, buf->type.dim[k], false);
            if (k) text_add(json, ", ");
            if (dim_is_const(buf->type.dim[k])) text_add(json, text_string(&size));
            else json_string(json, text_string(&size));
        }
        text_add(json, "]}");
    }
    text_printf(json, "\n  ]%s\n", outputs ? "" : ",");
}

/* The plain call, for callers without the header: peers.py's `cabi` and anything with a foreign function interface. */
static bool write_abi(struct session *session, const struct options *options, const struct prog *prog)
{
    struct text json = {.arena = session->arena};
    text_printf(&json, "{\n  \"symbol\": \"%s_plain\",\n", text_identifier(session->arena, prog->name));
    abi_tensors(&json, prog, false);
    abi_tensors(&json, prog, true);
    text_add(&json, "}\n");
    return write_text(session, options->abi_json, text_string(&json));
}

/* What was made of one model: its versions, narrowest first. */
struct product {
    struct version *versions;
    int n;
    struct weights_layout weights; /* of them together */
    struct stage_times *times;
};

static void print_versions_json(const struct product *product, struct text *json)
{
    int64_t alone = 0;
    text_add(json, "], \"cpus\": [");
    for (int i = 0; i < product->n; i++) {
        text_printf(json, "%s{\"name\": ", i ? ", " : "");
        json_string(json, product->versions[i].target->name);
        text_printf(json, ", \"weight_bytes\": %lld}", (long long)product->weights.version_bytes[i]);
        alone += product->weights.version_bytes[i];
    }
    text_printf(json, "], \"weight_bytes\": %lld, \"shared_weight_bytes\": %lld, ",
                (long long)product->weights.n_bytes, (long long)(alone - product->weights.n_bytes));
}

static void print_json(struct session *session, const char *path, const char *written, const struct product *product)
{
    const struct stage_times *times = product->times;
    struct text json = {.arena = session->arena};
    text_add(&json, "{\"model\": ");
    json_string(&json, path);
    text_add(&json, ", \"written\": [");
    bool first = true;
    for (const char *s = written; *s;) {
        size_t n = strcspn(s, "\n");
        const char *name = arena_strndup(session->arena, s, n);
        struct stat info;
        text_printf(&json, "%s{\"path\": ", first ? "" : ", ");
        json_string(&json, name);
        text_printf(&json, ", \"bytes\": %lld}", stat(name, &info) ? -1LL : (long long)info.st_size);
        first = false;
        s += n + (s[n] == '\n');
    }
    print_versions_json(product, &json);
    text_printf(&json, "\"seconds\": {\"read\": %.6f", times->seconds[TIME_READ]);
    for (int i = 0; i < PASS_COUNT; i++)
        text_printf(&json, ", \"%s\": %.6f", pass_row((enum pass)i)->name, times->seconds[i]);
    text_printf(&json, ", \"link\": %.6f}, \"peak_memory_bytes\": %lld}\n", times->seconds[TIME_LINK],
                (long long)memory_peak_bytes());
    fputs(text_string(&json), stdout);
}

/* What several versions have in common, and what each has of its own because it packs it otherwise. */
static void remark_versions(const struct product *product)
{
    int64_t alone = 0;
    for (int i = 0; i < product->n; i++) alone += product->weights.version_bytes[i];
    fprintf(stderr, "remark: %d versions, %.2f MB of weights where each for itself has", product->n,
            (double)product->weights.n_bytes * 1e-6);
    for (int i = 0; i < product->n; i++)
        fprintf(stderr, "%s %.2f (%s)", i ? "," : "", (double)product->weights.version_bytes[i] * 1e-6,
                product->versions[i].target->name);
    fprintf(stderr, ": %.2f MB are shared, the rest is packed for one\n", (double)(alone - product->weights.n_bytes) * 1e-6);
}

/* too_large: the artefact may be made again, smaller, if that is what is wrong; NULL: it may not. */
static int make_artefact(struct session *session, const struct options *options, struct product *product, bool *too_large)
{
    struct text written = {.arena = session->arena};
    struct link_options link = {
        .backend = engine_backend(options->engine),
        .target = product->versions[0].target,
        .wider = product->versions + 1,
        .n_wider = product->n - 1,
        .device = options->device,
        .weights_file = options->weights_file,
        .freestanding = options->freestanding,
        .measure = options->cc_given,
        .max_flash_bytes = options->max_flash_bytes,
        .too_large = too_large,
        .max_ram_bytes = options->pipeline.pass.max_arena_bytes,
        .cc = options->cc,
        .keep_temporary = options->keep,
    };
    const struct prog *prog = product->versions[0].prog;
    double start = clock_seconds();
    progress_show(session, "making %s", options->out);
    if (!link_artefact(prog, &link, options->out, &written, session->diag)) return STATUS_INPUT;
    if (options->abi_json && !write_abi(session, options, prog)) return STATUS_INPUT;
    product->times->seconds[TIME_LINK] = clock_seconds() - start;
    if (options->json || product->n > 1) weights_place(product->versions, product->n, session->arena, &product->weights);
    progress_show(session, NULL);
    if (product->n > 1 && !options->quiet) remark_versions(product);
    if (options->json) print_json(session, options->paths[0], text_string(&written), product);
    if (!options->reports.n) return STATUS_OK;
    struct report report = {0};
    report_make(session, options, prog, trial_symbols(prog->dims, session->arena), NULL, &report);
    return report_write(session, options, &report) ? STATUS_OK : STATUS_INPUT;
}

/* The CPU of that position in the options, for code as compact as asked for. */
static const struct target *version_target(struct session *session, const struct options *options, int i, int compact)
{
    struct target *target = arena_copy(session->arena, options->cpus.at[i], sizeof *target);
    target->compact = compact;
    return compact ? target : options->cpus.at[i];
}

/* The model for each CPU of the options. */
static bool make_versions(struct session *session, const struct options *options, const struct unit *unit, int compact,
                          struct product *product)
{
    struct pipeline_options pipeline;
    model_pipeline(session, options, &pipeline);
    pipeline.watch = watch;
    pipeline.watch_ctx = product->times;
    product->n = options->cpus.n;
    product->versions = NEW_ARRAY(session->arena, struct version, product->n);
    for (int i = 0; i < product->n; i++) {
        struct unit own = *unit;
        pipeline.pass.target = version_target(session, options, i, compact);
        if (!pipeline_run(&own, session->arena, &pipeline, session->diag)) return false;
        if (!own.prog)
            return diag_error(session->diag, (struct place){0}, "the passes asked for end before there is a program");
        product->versions[i] = (struct version){.prog = own.prog, .target = pipeline.pass.target};
    }
    return true;
}

int command_compile(struct session *session, const struct options *options)
{
    struct arena *arena = session->arena;
    struct stage_times times = {.session = session};
    struct unit unit = {0};
    struct product product = {.times = &times};
    bool text_only = options->emit || options->pipeline.stop_after;
    if (!options->out && !text_only) {
        fputs("tenon: -o OUT is missing: where shall the result go? (tenon compile --help)\n", stderr);
        return STATUS_USAGE;
    }
    if (options->reports.n && (text_only || wants_model(options))) {
        fputs("tenon: --report is about compiled code: it does not go with --emit, --stop-after or a .tn file\n", stderr);
        return STATUS_USAGE;
    }
    if ((text_only || options->reports.n) && options->cpus.n > 1) {
        fputs("tenon: a stage's text, or a report, is of one CPU: --cpu takes no list there\n", stderr);
        return STATUS_USAGE;
    }
    double start = clock_seconds();
    if (!model_open(session, options, options->paths[0], arena, &unit)) return STATUS_INPUT;
    times.seconds[TIME_READ] = clock_seconds() - start;
    if (text_only) return emit_stage(session, options, &unit, arena);
    if (wants_model(options)) return graph_write(unit.graph, options->out, session->diag) ? STATUS_OK : STATUS_INPUT;
    for (int compact = 0;; compact++) { /* smaller code, until flash holds it */
        bool too_large = false;
        if (!make_versions(session, options, &unit, compact, &product)) return STATUS_INPUT;
        int status = make_artefact(session, options, &product, compact < COMPACT_MOST ? &too_large : NULL);
        if (compact && status == STATUS_OK && !options->quiet)
            fprintf(stderr, "remark: loops are not unrolled%s, for %lld bytes of flash\n", compact == COMPACT_MOST ? ", and have no copies side by side" : "",
                    (long long)options->max_flash_bytes);
        if (!too_large) return status;
    }
}
