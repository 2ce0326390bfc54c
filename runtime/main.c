/* main() of a compiled executable: reads tensors, runs the model, prints or writes results.
 *
 * Dimensions left open in the model are taken from the inputs' shapes. Memory is taken once, before the first run.
 * Read tenon.h for what the model says about itself, npy.h for the files.
 */
#define _POSIX_C_SOURCE 200809L
#define _DEFAULT_SOURCE /* madvise */
#include "npy.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#ifdef __linux__
#include <sys/mman.h>
#endif
#include <time.h>

struct setting { /* NAME=VALUE */
    const char *name, *value;
    size_t n_name;
};
struct options {
    struct setting *inputs, *dims;
    int n_inputs, n_dims;
    const char *output_dir, *weights, *program, *cpu;
    int random;
    uint64_t seed;
    long print, runs;
    int threads;
};
struct job {
    const struct tenon_model *model;
    const struct options *options;
    struct array *in, *out;
    int64_t *symbols;
    int *known; /* by symbol */
};

static int fail(const struct options *options, const char *what, const char *words)
{
    fprintf(stderr, "%s: error: %s%s%s\n", options->program, what, *what ? ": " : "", words);
    return 0;
}

/* Shapes */

static void put_dims(FILE *out, const struct tenon_model *model, const struct tenon_value *value)
{
    fprintf(out, "%s[", array_dtype_name(value->dtype));
    for (int i = 0; i < value->rank; i++) {
        const struct tenon_dim *dim = &value->dims[i];
        if (i) fputs(", ", out);
        if (dim->size >= 0) fprintf(out, "%" PRId64, dim->size);
        else fputs(dim->symbol >= 0 ? model->symbols[dim->symbol].name : "...", out);
    }
    fputc(']', out);
}

static void put_shape(FILE *out, const struct array *array)
{
    fprintf(out, "%s[", array_dtype_name(array->dtype));
    for (int i = 0; i < array->rank; i++) fprintf(out, "%s%" PRId64, i ? ", " : "", array->dims[i]);
    fputc(']', out);
}

static int mismatch(const struct job *job, int i)
{
    const struct tenon_value *value = &job->model->inputs[i];
    fprintf(stderr, "%s: error: input \"%s\": the file has ", job->options->program, value->name);
    put_shape(stderr, &job->in[i]);
    fputs(", the model takes ", stderr);
    put_dims(stderr, job->model, value);
    fputc('\n', stderr);
    return 0;
}

static int64_t dim_value(const struct job *job, const struct tenon_dim *dim)
{
    if (dim->size >= 0) return dim->size;
    return dim->formula ? dim->formula(job->symbols) : job->symbols[dim->symbol];
}

/* Symbols that are a dimension of input i take their values from it. */
static int bind_symbols(struct job *job, int i)
{
    const struct tenon_value *value = &job->model->inputs[i];
    const struct array *array = &job->in[i];
    if (array->dtype != value->dtype || array->rank != value->rank) return mismatch(job, i);
    for (int k = 0; k < value->rank; k++) {
        int symbol = value->dims[k].symbol;
        if (symbol < 0) continue;
        if (job->known[symbol] && job->symbols[symbol] != array->dims[k]) {
            char words[ERROR_BYTES];
            snprintf(words, sizeof words, "dimension %s is %" PRId64 " here and %" PRId64 " elsewhere",
                     job->model->symbols[symbol].name, array->dims[k], job->symbols[symbol]);
            return fail(job->options, value->name, words);
        }
        job->symbols[symbol] = array->dims[k];
        job->known[symbol] = 1;
    }
    return 1;
}

static int check_symbols(const struct job *job)
{
    for (int i = 0; i < job->model->n_symbols; i++) {
        const struct tenon_symbol *symbol = &job->model->symbols[i];
        char words[ERROR_BYTES];
        if (!job->known[i]) {
            snprintf(words, sizeof words, "no input fixes it: give --dim %s=N", symbol->name);
            return fail(job->options, symbol->name, words);
        }
        if (job->symbols[i] >= symbol->least && job->symbols[i] <= symbol->most) continue;
        snprintf(words, sizeof words, "is %" PRId64 ", the model takes %" PRId64 " to %" PRId64, job->symbols[i],
                 symbol->least, symbol->most);
        return fail(job->options, symbol->name, words);
    }
    return 1;
}

static int check_shapes(const struct job *job)
{
    for (int i = 0; i < job->model->n_inputs; i++)
        for (int k = 0; k < job->model->inputs[i].rank; k++)
            if (job->in[i].dims[k] != dim_value(job, &job->model->inputs[i].dims[k])) return mismatch(job, i);
    return 1;
}

/* Inputs */

static const struct setting *setting_for(const struct setting *list, int n, const char *name)
{
    for (int i = n - 1; i >= 0; i--)
        if (list[i].n_name == strlen(name) && !memcmp(list[i].name, name, list[i].n_name)) return &list[i];
    return NULL;
}

static uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u; /* splitmix64 */
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Floats in [0, 1), integers 0 to 9, bools. */
static void random_value(enum tenon_dtype dtype, uint64_t *state, void *to)
{
    uint64_t bits = random_next(state), small = bits % 10;
    double d = (double)(bits >> 11) * 0x1p-53;
    float f = (float)(bits >> 40) * 0x1p-24f;
    uint16_t half;
    uint32_t word;
    switch (dtype) {
    case TENON_F64: memcpy(to, &d, sizeof d); return;
    case TENON_F32: memcpy(to, &f, sizeof f); return;
    case TENON_F16: /* 1 + k/1024 less 1 is not kept exactly by every half: one of [0.5, 1) */
        half = (uint16_t)(0x3800u | (bits & 0x3ffu));
        memcpy(to, &half, sizeof half);
        return;
    case TENON_BF16:
        memcpy(&word, &f, sizeof word);
        half = (uint16_t)(word >> 16);
        memcpy(to, &half, sizeof half);
        return;
    case TENON_BOOL: small = bits & 1; break;
    case TENON_I8:
    case TENON_I16:
    case TENON_I32:
    case TENON_I64:
    case TENON_U8:
    case TENON_U16:
    case TENON_U32:
    case TENON_U64: break;
    }
    memcpy(to, &small, (size_t)array_dtype_bytes(dtype));
}

static int make_random(struct job *job, int i, uint64_t *state)
{
    const struct tenon_value *value = &job->model->inputs[i];
    struct array *array = &job->in[i];
    array->dtype = value->dtype;
    array->rank = value->rank;
    for (int k = 0; k < value->rank; k++) array->dims[k] = dim_value(job, &value->dims[k]);
    if (!array_size(array->dtype, array->rank, array->dims, &array->n_bytes))
        return fail(job->options, value->name, "is too large");
    array->data = malloc((size_t)array->n_bytes + 1);
    if (!array->data) return fail(job->options, value->name, "no memory");
    int64_t size = array_dtype_bytes(array->dtype);
    for (int64_t at = 0; at < array->n_bytes; at += size) random_value(array->dtype, state, (char *)array->data + at);
    return 1;
}

/* The file of input i: NAME=FILE, or a whole .npz that has it; NULL where none is given. */
static const char *file_for(const struct options *options, const struct tenon_value *value, int i)
{
    const struct setting *setting = setting_for(options->inputs, options->n_inputs, value->name);
    char number[24];
    snprintf(number, sizeof number, "%d", i);
    if (!setting) setting = setting_for(options->inputs, options->n_inputs, number);
    if (setting) return setting->value;
    for (int k = 0; k < options->n_inputs; k++)
        if (options->inputs[k].n_name == 0 && array_in_npz(options->inputs[k].value, value->name))
            return options->inputs[k].value;
    return NULL;
}

static int read_inputs(struct job *job)
{
    const struct tenon_model *model = job->model;
    char error[ERROR_BYTES], what[ERROR_BYTES + 4096];
    int good = 1;
    uint64_t state = job->options->seed;
    for (int i = 0; i < model->n_inputs; i++) {
        const char *path = file_for(job->options, &model->inputs[i], i);
        if (!path && job->options->random) continue;
        if (!path) {
            snprintf(error, sizeof error, "give --input %s=FILE", model->inputs[i].name);
            good = fail(job->options, model->inputs[i].name, error);
        } else if (!array_read(path, model->inputs[i].name, &job->in[i], error)) {
            snprintf(what, sizeof what, "input \"%s\": %s", model->inputs[i].name, path);
            good = fail(job->options, what, error);
        } else good = bind_symbols(job, i) && good;
    }
    for (int i = 0; i < model->n_symbols && job->options->random; i++)
        if (!job->known[i])
            job->symbols[i] = model->symbols[i].least > 1 ? model->symbols[i].least : 1, job->known[i] = 1;
    if (!good || !check_symbols(job)) return 0;
    for (int i = 0; i < model->n_inputs; i++)
        if (!job->in[i].data && !make_random(job, i, &state)) return 0;
    return check_shapes(job);
}

/* Outputs */

static double value_at(const struct array *array, int64_t i)
{
    const char *p = (const char *)array->data + i * array_dtype_bytes(array->dtype);
    double d;
    float f;
    uint16_t half;
    uint32_t word;
    uint64_t u = 0;
    memcpy(&u, p, (size_t)array_dtype_bytes(array->dtype));
    switch (array->dtype) {
    case TENON_F64: memcpy(&d, p, sizeof d); return d;
    case TENON_F32: memcpy(&f, p, sizeof f); return (double)f;
    case TENON_F16: {
        memcpy(&half, p, sizeof half);
        int exponent = half >> 10 & 31, fraction = half & 1023;
        d = exponent == 31 ? (fraction ? (double)NAN : (double)INFINITY)
            : exponent     ? ldexp(1024 + fraction, exponent - 25)
                           : ldexp(fraction, -24);
        return half >> 15 ? -d : d;
    }
    case TENON_BF16:
        memcpy(&half, p, sizeof half);
        word = (uint32_t)half << 16;
        memcpy(&f, &word, sizeof f);
        return (double)f;
    case TENON_I8: return (double)(int8_t)u;
    case TENON_I16: return (double)(int16_t)u;
    case TENON_I32: return (double)(int32_t)u;
    case TENON_I64: return (double)(int64_t)u;
    case TENON_U8:
    case TENON_U16:
    case TENON_U32:
    case TENON_U64:
    case TENON_BOOL: return (double)u;
    }
    return 0;
}

static void print_outputs(const struct job *job)
{
    for (int i = 0; i < job->model->n_outputs; i++) {
        const struct array *array = &job->out[i];
        int64_t n = array->n_bytes / array_dtype_bytes(array->dtype);
        printf("%s ", job->model->outputs[i].name);
        put_shape(stdout, array);
        printf(":");
        for (int64_t k = 0; k < n && k < job->options->print; k++) printf(" %.7g", value_at(array, k));
        printf(n > job->options->print ? " ...\n" : "\n");
    }
}

static int write_outputs(const struct job *job)
{
    const char *dir = job->options->output_dir;
    char path[4096], error[ERROR_BYTES];
    if (mkdir(dir, 0777) != 0 && errno != EEXIST) return fail(job->options, dir, strerror(errno));
    if (strlen(dir) > sizeof path - 64) return fail(job->options, dir, "the path is too long");
    for (int i = 0; i < job->model->n_outputs; i++) {
        snprintf(path, sizeof path, "%s/output_%d.npy", dir, i);
        if (!array_write_npy(path, &job->out[i], error)) return fail(job->options, path, error);
    }
    snprintf(path, sizeof path, "%s/names.txt", dir);
    FILE *names = fopen(path, "w");
    if (!names) return fail(job->options, path, strerror(errno));
    for (int i = 0; i < job->model->n_outputs; i++) fprintf(names, "%s\n", job->model->outputs[i].name);
    return fclose(names) == 0 || fail(job->options, path, strerror(errno));
}

static int make_outputs(struct job *job)
{
    for (int i = 0; i < job->model->n_outputs; i++) {
        const struct tenon_value *value = &job->model->outputs[i];
        struct array *array = &job->out[i];
        array->dtype = value->dtype;
        array->rank = value->rank;
        for (int k = 0; k < value->rank; k++) array->dims[k] = dim_value(job, &value->dims[k]);
        if (!array_size(array->dtype, array->rank, array->dims, &array->n_bytes))
            return fail(job->options, value->name, "is too large");
        array->data = calloc((size_t)array->n_bytes + 1, 1);
        if (!array->data) return fail(job->options, value->name, "no memory");
    }
    return 1;
}

/* Running */

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int compare_times(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Working memory for the model, in large pages where the system gives them: fewer faults in the first run, fewer misses
 * in all of them. Pages are taken as they are used. */
static void *take_arena(int64_t n_bytes)
{
    const size_t page = (size_t)2 << 20, size = ((size_t)n_bytes / 64 + 1) * 64;
    if (n_bytes < 0) return NULL;
    if (size < page) return aligned_alloc(64, size);
    void *arena = NULL;
    if (posix_memalign(&arena, page, size) != 0) return NULL;
#ifdef MADV_HUGEPAGE
    madvise(arena, size / page * page, MADV_HUGEPAGE); /* where it is refused: small pages */
#endif
    return arena;
}

static int run_model(const struct job *job)
{
    const struct tenon_model *model = job->model;
    long runs = job->options->runs;
    int64_t arena_bytes = model->arena_bytes_for(job->symbols);
    void *arena = take_arena(arena_bytes);
    const void **in = calloc((size_t)model->n_inputs + 1, sizeof *in);
    void **out = calloc((size_t)model->n_outputs + 1, sizeof *out);
    double *times = calloc((size_t)runs, sizeof *times);
    int status = 0;
    if (!arena || !in || !out || !times) return fail(job->options, "", "no memory for the model's arena");
    for (int i = 0; i < model->n_inputs; i++) in[i] = job->in[i].data;
    for (int i = 0; i < model->n_outputs; i++) out[i] = job->out[i].data;
    for (long i = 0; i < runs && status == 0; i++) {
        double start = seconds();
        status = model->run(in, job->symbols, out, arena);
        times[i] = seconds() - start;
    }
    if (runs > 1 && status == 0) {
        double first = times[0];
        qsort(times, (size_t)runs, sizeof *times, compare_times);
        fprintf(stderr, "%ld runs: first %.3f ms, median %.3f ms, least %.3f ms\n", runs, 1e3 * first,
                1e3 * times[runs / 2], 1e3 * times[0]);
    }
    free(arena);
    free(in);
    free(out);
    free(times);
    if (status == 0) return 1;
    if (status == TENON_NO_DEVICE && model->message) return fail(job->options, "", model->message());
    char words[ERROR_BYTES];
    snprintf(words, sizeof words,
             "the model stopped with status %d: a check on the data failed (an index out of range?)", status);
    return fail(job->options, "", words);
}

/* Command line */

static void help(const struct options *options, const struct tenon_model *model)
{
    printf("%s: the model \"%s\", compiled by tenon\n\nusage: %s --input NAME=FILE ... [options]\n\ninputs\n",
           options->program, model->name, options->program);
    for (int i = 0; i < model->n_inputs; i++) {
        printf("  %-20s ", model->inputs[i].name);
        put_dims(stdout, model, &model->inputs[i]);
        printf("\n");
    }
    printf("outputs\n");
    for (int i = 0; i < model->n_outputs; i++) {
        printf("  %-20s ", model->outputs[i].name);
        put_dims(stdout, model, &model->outputs[i]);
        printf("\n");
    }
    if (model->n_symbols) printf("dimensions\n");
    for (int i = 0; i < model->n_symbols; i++)
        printf("  %-20s %" PRId64 " to %" PRId64 "\n", model->symbols[i].name, model->symbols[i].least,
               model->symbols[i].most);
    printf("\noptions\n"
           "  --input NAME=FILE   a tensor in .npy or .pb, or the member NAME of an .npz\n"
           "  --input FILE.npz    all inputs that it has\n"
           "  --random SEED       random values for inputs not given\n"
           "  --dim NAME=N        a dimension that no input fixes\n"
           "  --output-dir DIR    write output_0.npy ... and names.txt there\n"
           "  --print N           values of each output to print (default 10, 0 with --output-dir)\n"
           "  --runs N            run N times and report times\n");
    if (model->use_threads)
        printf("  --threads N         at most N threads (default %d, as compiled)\n", model->threads);
    if (model->cpus) {
        printf("  --cpu NAME          code for this CPU instead of the widest here:");
        for (int i = 0; model->cpus[i]; i++) printf(" %s", model->cpus[i]);
        printf("\n");
    }
    if (model->load) printf("  --weights FILE      the weights, %" PRId64 " bytes\n", model->weight_bytes);
}

static int wrong_usage(const struct options *options, const char *argument, const char *words)
{
    fprintf(stderr, "%s: %s: %s (--help shows the options)\n", options->program, argument, words);
    exit(2);
}

static int to_number(const char *s, long long *v)
{
    char *end;
    errno = 0;
    *v = strtoll(s, &end, 10);
    return end != s && !*end && !errno;
}

static struct setting setting_of(const char *s)
{
    const char *sign = strchr(s, '=');
    if (!sign) return (struct setting){s, s, 0};
    return (struct setting){s, sign + 1, (size_t)(sign - s)};
}

static void read_option(struct options *options, const char *name, const char *value)
{
    long long number = 0;
    if (!value) wrong_usage(options, name, "needs a value, or is no option");
    int good = to_number(value, &number);
    if (!strcmp(name, "--input")) options->inputs[options->n_inputs++] = setting_of(value);
    else if (!strcmp(name, "--dim")) options->dims[options->n_dims++] = setting_of(value);
    else if (!strcmp(name, "--output-dir")) options->output_dir = value;
    else if (!strcmp(name, "--weights")) options->weights = value;
    else if (!strcmp(name, "--cpu")) options->cpu = value;
    else if (!strcmp(name, "--random") && good) options->random = 1, options->seed = (uint64_t)number;
    else if (!strcmp(name, "--print") && good && number >= 0) options->print = (long)number;
    else if (!strcmp(name, "--threads") && good && number > 0 && number <= 64) options->threads = (int)number;
    else if (!strcmp(name, "--runs") && good && number > 0 && number <= 1000000) options->runs = (long)number;
    else wrong_usage(options, name, "is no option, or its value makes no sense");
}

static int bind_dims(struct job *job)
{
    for (int i = 0; i < job->options->n_dims; i++) {
        const struct setting *setting = &job->options->dims[i];
        long long number;
        int found = 0;
        if (!setting->n_name || !to_number(setting->value, &number))
            return wrong_usage(job->options, setting->name, "is not NAME=NUMBER");
        for (int k = 0; k < job->model->n_symbols; k++) {
            const char *name = job->model->symbols[k].name;
            if (strlen(name) != setting->n_name || memcmp(name, setting->name, setting->n_name) != 0) continue;
            job->symbols[k] = number;
            job->known[k] = found = 1;
        }
        if (!found) return fail(job->options, setting->name, "the model has no such open dimension");
    }
    return 1;
}

static int check_names(const struct job *job)
{
    int good = 1;
    for (int i = 0; i < job->options->n_inputs; i++) {
        const struct setting *setting = &job->options->inputs[i];
        long long number;
        char name[256];
        int found = setting->n_name == 0;
        for (int k = 0; k < job->model->n_inputs && !found; k++)
            found = strlen(job->model->inputs[k].name) == setting->n_name &&
                    !memcmp(job->model->inputs[k].name, setting->name, setting->n_name);
        snprintf(name, sizeof name, "%.*s", setting->n_name > 200 ? 200 : (int)setting->n_name, setting->name);
        found = found || (to_number(name, &number) && number >= 0 && number < job->model->n_inputs);
        if (!found) good = fail(job->options, name, "the model has no such input");
    }
    return good;
}

/* Whether this machine has the instructions that the model's code needs; the code that --cpu asks for. */
static int check_cpu(const struct options *options, const struct tenon_model *model)
{
    char words[ERROR_BYTES];
    if (options->cpu && !model->use_cpu) return fail(options, "--cpu", "the model is compiled for one CPU only");
    if (!model->cpus) return 1;
    if (!model->cpu()) {
        snprintf(words, sizeof words, "this machine lacks instructions of %s, the least that the model was compiled for",
                 model->cpus[0]);
        return fail(options, "", words);
    }
    if (!options->cpu || model->use_cpu(options->cpu) == 0) return 1;
    snprintf(words, sizeof words, "is not one of the CPUs that the model was compiled for, or this machine is narrower (it runs %s)",
             model->cpu());
    return fail(options, options->cpu, words);
}

int main(int argc, char **argv)
{
    const struct tenon_model *model = tenon_model_get();
    const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
    struct options options = {.print = -1, .runs = 1, .program = argc < 1 ? model->name : slash ? slash + 1 : argv[0]};
    options.inputs = calloc((size_t)argc + 1, sizeof *options.inputs);
    options.dims = calloc((size_t)argc + 1, sizeof *options.dims);
    struct job job = {.model = model, .options = &options};
    job.in = calloc((size_t)model->n_inputs + 1, sizeof *job.in);
    job.out = calloc((size_t)model->n_outputs + 1, sizeof *job.out);
    job.symbols = calloc((size_t)model->n_symbols + 1, sizeof *job.symbols);
    job.known = calloc((size_t)model->n_symbols + 1, sizeof *job.known);
    if (!options.inputs || !options.dims || !job.in || !job.out || !job.symbols || !job.known)
        return !fail(&options, "", "no memory");
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) return help(&options, model), 0;
        char *value = strchr(argv[i], '=');
        if (!strncmp(argv[i], "--", 2) && value) { /* --print=3 */
            *value = 0;
            read_option(&options, argv[i], value + 1);
        } else {
            read_option(&options, argv[i], i + 1 < argc ? argv[i + 1] : NULL);
            i++;
        }
    }
    if (options.print < 0) options.print = options.output_dir ? 0 : 10;
    if (model->use_threads) model->use_threads(options.threads, NULL);
    int good = check_cpu(&options, model) && check_names(&job) && bind_dims(&job);
    if (good && model->load && model->load(options.weights ? options.weights : "") != 0)
        good = fail(&options, options.weights ? options.weights : "weights",
                    "cannot map them, or not this model's: give --weights FILE");
    good = good && read_inputs(&job) && make_outputs(&job) && run_model(&job);
    if (good && options.print > 0) print_outputs(&job);
    good = good && (!options.output_dir || write_outputs(&job));
    for (int i = 0; i < model->n_inputs; i++) free(job.in[i].data);
    for (int i = 0; i < model->n_outputs; i++) free(job.out[i].data);
    free(job.in), free(job.out), free(job.symbols), free(job.known), free(options.inputs), free(options.dims);
    return good ? 0 : 1;
}
