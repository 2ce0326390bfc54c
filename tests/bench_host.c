/* Times one engine through its C interface, for tests/bench.py: no interpreter's call overhead on either side.
 *
 *   bench_host ENGINE THREADS FEED OUT LIBRARY MODEL
 *
 * ENGINE: tenon (LIBRARY is the compiled model), onnxruntime, openvino (their libraries; MODEL is the ONNX file).
 * FEED: a folder with feed.txt ("n_in n_out", then a line "NAME ONNX_TYPE BYTES RANK DIMS.." per tensor) and in_K.bin.
 * Loads, runs once, writes the answers to OUT/out_K.bin and says {"load_s": .., "first_s": ..}. Then, for each count on
 * standard input: runs without timing until 10 ms have passed, times that many runs, writes the answers of the last
 * one, says the seconds as a JSON list. What fails ends in {"why": ".."}. tests/bench_engines.py has the same loop for
 * engines that are called from Python.
 */
#define _POSIX_C_SOURCE 200809L
#include "../runtime/tenon.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST = 32, MOST_RANK = 8 };
struct tensor {
    char name[256];
    int type, rank;
    size_t bytes;
    int64_t dims[MOST_RANK];
    void *data;
};
struct engine {
    int n_in, n_out;
    struct tensor in[MOST], out[MOST];
    void (*run)(struct engine *);
    const struct tenon_model *model; /* Tenon */
    void *arena;
    const void *inputs[MOST];
    void *outputs[MOST];
    const struct ort *ort; /* ONNX Runtime */
    void *session, *in_values[MOST], *out_values[MOST];
    const char *in_names[MOST], *out_names[MOST];
    int (*infer)(void *request); /* OpenVINO */
    void *request;
};
typedef void any_function(void);

static void fail(const char *what, const char *why)
{
    printf("{\"why\": \"%s: ", what);
    for (; *why; why++) putchar(*why == '"' || *why == '\\' || (unsigned char)*why < ' ' ? '\'' : *why);
    printf("\"}\n");
    exit(1);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static any_function *find(void *library, const char *name)
{
    any_function *function;
    void *symbol = dlsym(library, name);
    if (!symbol) fail(name, "not in the library");
    memcpy(&function, &symbol, sizeof symbol);
    return function;
}

/* ---- inputs and answers ---- */

static FILE *open_file(const char *folder, const char *kind, int k, const char *mode)
{
    char path[4096];
    snprintf(path, sizeof path, k < 0 ? "%s/%s" : "%s/%s_%d.bin", folder, kind, k);
    FILE *file = fopen(path, mode);
    if (!file) fail(path, "cannot be opened");
    return file;
}

static void read_tensor(FILE *file, struct tensor *t)
{
    if (fscanf(file, "%255s %d %zu %d", t->name, &t->type, &t->bytes, &t->rank) != 4 || t->rank > MOST_RANK)
        fail("feed.txt", "not understood");
    for (int i = 0; i < t->rank; i++)
        if (fscanf(file, "%ld", &t->dims[i]) != 1) fail("feed.txt", "not understood");
    t->data = aligned_alloc(64, (t->bytes + 127) / 64 * 64);
    memset(t->data, 0, t->bytes);
}

static void read_feed(struct engine *engine, const char *folder)
{
    FILE *file = open_file(folder, "feed.txt", -1, "r");
    if (fscanf(file, "%d %d", &engine->n_in, &engine->n_out) != 2 || engine->n_in > MOST || engine->n_out > MOST)
        fail("feed.txt", "not understood");
    for (int i = 0; i < engine->n_in; i++) {
        struct tensor *t = &engine->in[i];
        read_tensor(file, t);
        FILE *data = open_file(folder, "in", i, "rb");
        if (fread(t->data, 1, t->bytes, data) != t->bytes) fail(t->name, "its file is too short");
        fclose(data);
    }
    for (int i = 0; i < engine->n_out; i++) read_tensor(file, &engine->out[i]);
    fclose(file);
}

static void write_answers(const struct engine *engine, const char *folder)
{
    for (int i = 0; i < engine->n_out; i++) {
        FILE *file = open_file(folder, "out", i, "wb");
        if (fwrite(engine->out[i].data, 1, engine->out[i].bytes, file) != engine->out[i].bytes || fclose(file))
            fail("out", "cannot be written");
    }
}

/* ---- Tenon ---- */

static void tenon_run(struct engine *engine)
{
    int status = engine->model->run(engine->inputs, NULL, engine->outputs, engine->arena);
    if (status) fail("run", "a status that is not 0");
}

static void tenon_load(struct engine *engine, void *library)
{
    const struct tenon_model *(*get)(void) = (const struct tenon_model *(*)(void))find(library, "tenon_model_get");
    engine->model = get();
    if (engine->model->n_inputs != engine->n_in || engine->model->n_outputs != engine->n_out || engine->model->n_symbols)
        fail("model", "other inputs or outputs");
    engine->arena = aligned_alloc(64, ((size_t)engine->model->arena_bytes + 127) / 64 * 64);
    for (int i = 0; i < engine->n_in; i++) engine->inputs[i] = engine->in[i].data;
    for (int i = 0; i < engine->n_out; i++) engine->outputs[i] = engine->out[i].data;
    engine->run = tenon_run;
}

/* ---- ONNX Runtime: version 1 of its function table, which later versions only append to ---- */

struct ort {
    any_function *create_status, *error_code;
    const char *(*error_message)(const void *status);
    void *(*create_env)(int log_level, const char *name, void **env);
    any_function *unused_4_6[3];
    void *(*create_session)(void *env, const char *path, void *options, void **session);
    any_function *session_from_array;
    void *(*run)(void *session, void *options, const char *const *in_names, void *const *in, size_t n_in,
                 const char *const *out_names, size_t n_out, void **out);
    void *(*create_options)(void **options);
    any_function *unused_11_22[12];
    void *(*set_optimization)(void *options, int level);
    void *(*set_intra_op_threads)(void *options, int n);
    void *(*set_inter_op_threads)(void *options, int n);
    any_function *unused_26_48[23];
    void *(*create_tensor)(void *memory, void *data, size_t bytes, const int64_t *dims, size_t rank, int type, void **value);
    any_function *unused_50_68[19];
    void *(*create_cpu_memory)(int allocator, int kind, void **memory);
};
struct ort_base {
    const struct ort *(*get_api)(uint32_t version);
    const char *(*get_version)(void);
};
enum { ORT_ERRORS = 3, ORT_ALL_OPTIMIZATIONS = 99, ORT_DEVICE_ALLOCATOR = 0, ORT_DEFAULT_MEMORY = 0 };

static void ort_must(const struct ort *ort, void *status)
{
    if (status) fail("onnxruntime", ort->error_message(status));
}

static void ort_run(struct engine *e)
{
    ort_must(e->ort, e->ort->run(e->session, NULL, e->in_names, e->in_values, (size_t)e->n_in, e->out_names,
                                 (size_t)e->n_out, e->out_values));
}

static void ort_load(struct engine *e, void *library, const char *model, int threads)
{
    const struct ort_base *(*base)(void) = (const struct ort_base *(*)(void))find(library, "OrtGetApiBase");
    const struct ort *ort = e->ort = base()->get_api(1);
    void *env, *options, *memory;
    if (!ort) fail("onnxruntime", "no version 1 of its functions");
    ort_must(ort, ort->create_env(ORT_ERRORS, "bench", &env));
    ort_must(ort, ort->create_options(&options));
    ort_must(ort, ort->set_optimization(options, ORT_ALL_OPTIMIZATIONS));
    ort_must(ort, ort->set_intra_op_threads(options, threads));
    ort_must(ort, ort->set_inter_op_threads(options, 1));
    ort_must(ort, ort->create_session(env, model, options, &e->session));
    ort_must(ort, ort->create_cpu_memory(ORT_DEVICE_ALLOCATOR, ORT_DEFAULT_MEMORY, &memory));
    for (int i = 0; i < e->n_in; i++) {
        struct tensor *t = &e->in[i];
        e->in_names[i] = t->name;
        ort_must(ort, ort->create_tensor(memory, t->data, t->bytes, t->dims, (size_t)t->rank, t->type, &e->in_values[i]));
    }
    for (int i = 0; i < e->n_out; i++) {
        struct tensor *t = &e->out[i];
        e->out_names[i] = t->name;
        ort_must(ort, ort->create_tensor(memory, t->data, t->bytes, t->dims, (size_t)t->rank, t->type, &e->out_values[i]));
    }
    e->run = ort_run;
}

/* ---- OpenVINO: inputs and outputs stay in the request's own tensors ---- */

static void openvino_must(void *library, int status, const char *what)
{
    if (!status) return;
    const char *(*last)(void) = (const char *(*)(void))find(library, "ov_get_last_err_msg");
    fail(what, last() ? last() : "failed");
}

static void openvino_run(struct engine *engine)
{
    if (engine->infer(engine->request)) fail("infer", "a status that is not 0");
}

/* The memory of the request's input or output number i, which must have the size of t. */
static void *openvino_memory(void *library, void *request, const char *getter, int i, const struct tensor *t)
{
    int (*get)(void *, size_t, void **) = (int (*)(void *, size_t, void **))find(library, getter);
    int (*size)(void *, size_t *) = (int (*)(void *, size_t *))find(library, "ov_tensor_get_byte_size");
    int (*data)(void *, void **) = (int (*)(void *, void **))find(library, "ov_tensor_data");
    void *tensor, *memory;
    size_t bytes;
    openvino_must(library, get(request, (size_t)i, &tensor), t->name);
    openvino_must(library, size(tensor, &bytes), t->name);
    openvino_must(library, data(tensor, &memory), t->name);
    if (bytes != t->bytes) fail(t->name, "another size in openvino");
    return memory;
}

static void openvino_load(struct engine *e, void *library, const char *path, const char *threads)
{
    int (*core_create)(void **) = (int (*)(void **))find(library, "ov_core_create");
    int (*read)(void *, const char *, const char *, void **) =
        (int (*)(void *, const char *, const char *, void **))find(library, "ov_core_read_model");
    int (*compile)(void *, void *, const char *, size_t, void **, ...) =
        (int (*)(void *, void *, const char *, size_t, void **, ...))find(library, "ov_core_compile_model");
    int (*request)(void *, void **) = (int (*)(void *, void **))find(library, "ov_compiled_model_create_infer_request");
    void *core, *model, *compiled;
    openvino_must(library, core_create(&core), "core");
    openvino_must(library, read(core, path, NULL, &model), "read");
    openvino_must(library,
                  compile(core, model, "CPU", 6, &compiled, "INFERENCE_NUM_THREADS", threads, "PERFORMANCE_HINT", "LATENCY",
                          "INFERENCE_PRECISION_HINT", "f32"),
                  "compile");
    openvino_must(library, request(compiled, &e->request), "request");
    e->infer = (int (*)(void *))find(library, "ov_infer_request_infer");
    for (int i = 0; i < e->n_in; i++)
        memcpy(openvino_memory(library, e->request, "ov_infer_request_get_input_tensor_by_index", i, &e->in[i]),
               e->in[i].data, e->in[i].bytes);
    openvino_run(e); /* outputs have their memory after it */
    for (int i = 0; i < e->n_out; i++)
        e->out[i].data = openvino_memory(library, e->request, "ov_infer_request_get_output_tensor_by_index", i, &e->out[i]);
    e->run = openvino_run;
}

/* ---- */

static void time_runs(struct engine *engine, long n, const char *folder)
{
    double *took = malloc((size_t)n * sizeof *took), start = seconds();
    do engine->run(engine);
    while (seconds() - start < 0.01);
    for (int i = 0; i < engine->n_out; i++) memset(engine->out[i].data, 0xff, engine->out[i].bytes);
    for (long i = 0; i < n; i++) {
        start = seconds();
        engine->run(engine);
        took[i] = seconds() - start;
    }
    write_answers(engine, folder);
    for (long i = 0; i < n; i++) printf("%s%.9g", i ? ", " : "[", took[i]);
    printf("]\n");
    fflush(stdout);
    free(took);
}

int main(int argc, char **argv)
{
    static struct engine engine;
    if (argc != 7) {
        fprintf(stderr, "usage: bench_host ENGINE THREADS FEED OUT LIBRARY MODEL\n");
        return 2;
    }
    read_feed(&engine, argv[3]);
    double start = seconds();
    void *library = dlopen(argv[5], RTLD_NOW | RTLD_GLOBAL);
    if (!library) fail("dlopen", dlerror());
    if (!strcmp(argv[1], "tenon")) tenon_load(&engine, library);
    else if (!strcmp(argv[1], "onnxruntime")) ort_load(&engine, library, argv[6], atoi(argv[2]));
    else if (!strcmp(argv[1], "openvino")) openvino_load(&engine, library, argv[6], argv[2]);
    else fail(argv[1], "no such engine");
    double loaded = seconds();
    engine.run(&engine);
    double first = seconds();
    write_answers(&engine, argv[4]);
    printf("{\"load_s\": %.6g, \"first_s\": %.6g}\n", loaded - start, first - loaded);
    fflush(stdout);
    for (long n; scanf("%ld", &n) == 1 && n > 0;) time_runs(&engine, n, argv[4]);
    fflush(stdout);
    _Exit(0); /* engines' own ends are not what is measured */
}
