/* A unit made runnable in this process: by its interpreter, or compiled into a temporary shared library that is
 * loaded and whose NAME_run is called as codegen.h describes (an array of pointers and symbols, an array of pointers,
 * the arena). The library's files are removed as soon as it is loaded.
 */
#define _POSIX_C_SOURCE 200809L
#include "cmd.h"
#include "../runtime/tenon.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef int run_function(const void *inputs, const void *outputs, void *arena);

/* Of a model on an OpenCL device (codegen/opencl_host.c). */
struct device_functions {
    void *(*open)(int device, int profile);
    int (*run_on)(void *device, const void *inputs, const void *outputs, void **done);
    const char *(*message)(const void *device);
    void (*times)(void *device, device_note *note, void *context);
    void (*close)(void *device);
};

struct engine_run {
    struct unit unit;
    void *library; /* NULL: the interpreter */
    run_function *run;
    struct device_functions of; /* for the next */
    void *device;               /* NULL: not on an OpenCL device */
    int64_t file_bytes, weight_bytes;
    void *work; /* the arena of the last call, kept: its size and memory */
    int64_t work_bytes;
};

static const struct {
    const char *name, *title;
    enum backend backend;
} engines[ENGINE_COUNT] = {
    [ENGINE_C] = {"c", "C", BACKEND_C},
    [ENGINE_LLVM] = {"llvm", "LLVM", BACKEND_LLVM},
    [ENGINE_OPENCL] = {"opencl", "OpenCL", BACKEND_OPENCL},
    [ENGINE_INTERPRETER] = {"interpreter", "the interpreter", BACKEND_C},
    [ENGINE_ALL] = {"all", "all", BACKEND_C},
};

const char *engine_name(enum engine engine)
{
    return engines[engine].name;
}

const char *engine_title(enum engine engine)
{
    return engines[engine].title;
}

enum backend engine_backend(enum engine engine)
{
    return engines[engine].backend;
}

static void remove_folder(const char *folder)
{
    DIR *dir = opendir(folder);
    char path[4096];
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) unlink(path);
    }
    if (dir) closedir(dir);
    rmdir(folder);
}

/* NAME_suffix of the library, into *function, a pointer to a function. */
static bool load_function(struct session *session, const struct prog *prog, struct place place, struct engine_run *run,
                          const char *suffix, void *function)
{
    const char *symbol = arena_printf(session->arena, "%s_%s", text_identifier(session->arena, prog->name), suffix);
    void *address = dlsym(run->library, symbol);
    memcpy(function, &address, sizeof address); /* ISO C has no cast from object to function pointers */
    return address || diag_error(session->diag, place, "has no function %s", symbol);
}

static bool open_device(struct session *session, const struct options *options, const struct prog *prog, struct engine_run *run)
{
    struct place place = {.path = prog->name};
    struct device_functions *of = &run->of;
    bool found = load_function(session, prog, place, run, "open", &of->open) &&
                 load_function(session, prog, place, run, "run_on", &of->run_on) &&
                 load_function(session, prog, place, run, "message", &of->message) &&
                 load_function(session, prog, place, run, "times", &of->times) &&
                 load_function(session, prog, place, run, "close", &of->close);
    if (found) run->device = of->open(-1, options->pipeline.pass.profile);
    return found;
}

static bool load_library(struct session *session, const struct prog *prog, const char *path, struct engine_run *run)
{
    struct place place = {.path = path};
    run->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!run->library) return diag_error(session->diag, place, "cannot load: %s", dlerror());
    if (!load_function(session, prog, place, run, "run", &run->run)) return false;
    struct stat info;
    if (!stat(path, &info)) run->file_bytes = (int64_t)info.st_size;
    return true;
}

static bool compile_and_load(struct session *session, const struct options *options, enum engine engine,
                             const struct prog *prog, struct engine_run *run)
{
    const char *base = getenv("TMPDIR");
    char *folder = arena_printf(session->arena, "%s/tenon-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(folder))
        return diag_error(session->diag, (struct place){.path = folder}, "cannot make a folder: %s", strerror(errno));
    const char *path = arena_printf(session->arena, "%s/model.so", folder);
    struct link_options link = {
        .backend = engine_backend(engine),
        .target = options->target,
        .device = options->device,
        .cc = options->cc,
        .keep_temporary = options->keep,
    };
    bool ok = link_artefact(prog, &link, path, NULL, session->diag) && load_library(session, prog, path, run);
    if (options->keep) fprintf(stderr, "kept: %s\n", folder);
    else remove_folder(folder);
    return ok;
}

struct engine_run *engine_open(struct session *session, const struct options *options, enum engine engine,
                               const struct unit *unit)
{
    struct engine_run *run = NEW(session->arena, struct engine_run);
    run->unit = *unit;
    if (engine == ENGINE_INTERPRETER) { /* composite operators mean what pass compose makes of them */
        struct pipeline_options pipeline;
        model_pipeline(session, options, &pipeline);
        bool ok = !unit->graph || pipeline_step(&run->unit, PASS_compose, session->arena, &pipeline.pass, session->diag);
        return ok ? run : NULL;
    }
    struct weights_layout layout = {0};
    weights_place(&(struct version){.prog = unit->prog}, 1, session->arena, &layout);
    run->weight_bytes = layout.n_bytes;
    progress_show(session, "compiling through %s", engine == ENGINE_C ? "the C compiler" : engine_title(engine));
    if (compile_and_load(session, options, engine, unit->prog, run) &&
        (engine != ENGINE_OPENCL || open_device(session, options, unit->prog, run)))
        return run;
    engine_close(run);
    return NULL;
}

void engine_close(struct engine_run *run)
{
    if (run->device) run->of.close(run->device);
    if (run->library) dlclose(run->library);
    free(run->work);
    run->library = run->work = run->device = NULL;
}

int64_t engine_code_bytes(const struct engine_run *run)
{
    return run->file_bytes > run->weight_bytes ? run->file_bytes - run->weight_bytes : run->file_bytes;
}

bool engine_note_to(struct engine_run *run, void (*note)(void *context, int64_t site, int64_t worker), void *context)
{
    void (*set)(void (*)(void *, int64_t, int64_t), void *);
    void *address = run->library ? dlsym(run->library, "tenon_note_to") : NULL;
    if (!address) return false;
    memcpy(&set, &address, sizeof set);
    set(note, context);
    return true;
}

bool engine_times(struct engine_run *run, device_note *note, void *context)
{
    if (run->device) run->of.times(run->device, note, context);
    return run->device != NULL;
}

/* Fills out's types and data for these symbols. */
static bool make_outputs(struct session *session, const struct prog *prog, const int64_t *symbols, struct arena *arena,
                         struct tensor *out)
{
    for (int i = 0; i < prog->outputs.n; i++) {
        out[i].type = prog->outputs.at[i]->type;
        for (int k = 0; k < out[i].type.rank; k++)
            out[i].type.dim[k] = dim_eval(prog->dims, out[i].type.dim[k], symbols);
        int64_t n = type_count(&out[i].type);
        if (n < 0 || !size_mul(n, dtype_bytes(out[i].type.dt), &out[i].n_bytes) || out[i].n_bytes > (int64_t)1 << 36)
            return diag_error(session->diag, (struct place){0}, "output %d is too large: %s", i,
                              type_string(prog->dims, arena, &out[i].type));
        out[i].data = arena_alloc(arena, (size_t)out[i].n_bytes + 64);
    }
    return true;
}

/* 64-byte aligned memory of the program's arena size for these symbols. */
static bool make_work(struct session *session, struct engine_run *run, const int64_t *symbols)
{
    int64_t n_bytes = dim_eval(run->unit.prog->dims, run->unit.prog->arena_bytes, symbols);
    if (n_bytes <= run->work_bytes && run->work) return true;
    free(run->work);
    run->work = NULL;
    if (n_bytes < 0 || posix_memalign(&run->work, 64, (size_t)n_bytes + 64))
        return diag_error(session->diag, (struct place){0}, "no memory for an arena of %lld bytes", (long long)n_bytes);
    run->work_bytes = n_bytes;
    return true;
}

bool engine_call(struct session *session, struct engine_run *run, const struct tensor *in, const int64_t *symbols,
                 struct arena *arena, struct tensor *out)
{
    if (!run->library) {
        const struct unit *unit = &run->unit;
        return unit->graph ? graph_eval(unit->graph, in, symbols, arena, out)
                           : prog_eval(unit->prog, in, symbols, arena, out, session->diag);
    }
    const struct prog *prog = run->unit.prog;
    int n_symbols = dims_n_symbols(prog->dims);
    if (!make_outputs(session, prog, symbols, arena, out) || !make_work(session, run, symbols)) return false;
    uint64_t *inputs = NEW_ARRAY(arena, uint64_t, prog->inputs.n + n_symbols + 1);
    uint64_t *outputs = NEW_ARRAY(arena, uint64_t, prog->outputs.n + 1);
    for (int i = 0; i < prog->inputs.n; i++) inputs[i] = (uint64_t)(uintptr_t)in[i].data;
    for (int i = 0; i < n_symbols; i++) inputs[prog->inputs.n + i] = (uint64_t)symbols[i];
    for (int i = 0; i < prog->outputs.n; i++) outputs[i] = (uint64_t)(uintptr_t)out[i].data;
    int code = run->device ? run->of.run_on(run->device, inputs, outputs, NULL) : run->run(inputs, outputs, run->work);
    if (code == TENON_NO_DEVICE) return diag_error(session->diag, (struct place){0}, "%s", run->of.message(run->device));
    return !code ||
           diag_error(
               session->diag, (struct place){0},
               "the model stopped with code %d: its input asks for what it cannot do (an index outside a table?)",
               code);
}

double engine_time(struct session *session, struct engine_run *run, const struct tensor *in, const int64_t *symbols,
                   int n_out)
{
    struct arena *scratch = arena_new(); /* outputs of one run: freed outside the timed part */
    struct tensor *out = NEW_ARRAY(scratch, struct tensor, n_out + 1);
    double start = clock_seconds();
    double seconds = engine_call(session, run, in, symbols, scratch, out) ? clock_seconds() - start : -1;
    arena_free(scratch);
    return seconds;
}

static bool bind_dim(struct session *session, struct dims *dims, dim d, int64_t size, int64_t *values, bool *known)
{
    int i = dim_bound_symbol(dims, d, size);
    if (i >= 0) {
        const struct symbol *symbol = dims_symbol(dims, i);
        if (size < symbol->lo || size > symbol->hi)
            return diag_error(session->diag, (struct place){0}, "dimension %s is %lld, outside %lld..%lld",
                              symbol->name, (long long)size, (long long)symbol->lo, (long long)symbol->hi);
        if (known[i] && values[i] != size)
            return diag_error(session->diag, (struct place){0}, "dimension %s is %lld in one input and %lld in another",
                              symbol->name, (long long)values[i], (long long)size);
        values[i] = size;
        known[i] = true;
    }
    return true;
}

static bool types_fit(struct session *session, const char *name, const struct type *type, const struct tensor *tensor,
                      const int64_t *values)
{
    struct dims *dims = session->dims;
    bool ok = type->dt == tensor->type.dt && type->rank == tensor->type.rank;
    for (int k = 0; ok && k < type->rank; k++) ok = dim_eval(dims, type->dim[k], values) == tensor->type.dim[k];
    return ok || diag_error(session->diag, (struct place){0}, "input \"%s\" is %s, the model takes %s", name,
                            type_string(dims, session->arena, &tensor->type), type_string(dims, session->arena, type));
}

const int64_t *engine_symbols(struct session *session, const struct unit *unit, const struct tensor *in)
{
    struct dims *dims = unit_dims(unit);
    int n = unit->graph ? unit->graph->inputs.n : unit->prog->inputs.n, n_symbols = dims_n_symbols(dims);
    int64_t *values = NEW_ARRAY(session->arena, int64_t, n_symbols + 1);
    bool *known = NEW_ARRAY(session->arena, bool, n_symbols + 1), ok = true;
    for (int i = 0; i < n_symbols; i++) values[i] = dims_symbol(dims, i)->lo;
    for (int i = 0; i < n; i++) {
        const struct type *type = unit->graph ? &unit->graph->inputs.at[i]->type : &unit->prog->inputs.at[i]->type;
        for (int k = 0; k < type->rank && k < in[i].type.rank; k++)
            ok = bind_dim(session, dims, type->dim[k], in[i].type.dim[k], values, known) && ok;
    }
    for (int i = 0; i < n && ok; i++) {
        const struct type *type = unit->graph ? &unit->graph->inputs.at[i]->type : &unit->prog->inputs.at[i]->type;
        const char *name = unit->graph ? unit->graph->inputs.at[i]->name : unit->prog->input_names.at[i];
        ok = types_fit(session, name ? name : "?", type, &in[i], values) && ok;
    }
    return ok ? values : NULL;
}
