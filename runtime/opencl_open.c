/* A compiled model opened on an OpenCL device: choice of the device, what it must be able to do, queue, program,
 * kernels, weights. Carried as text, see opencl_api.c; runs are in opencl.c.
 *
 * A session has a context and one in-order queue of its own. The first thing that fails leaves its words in the session
 * and the rest of opening is passed over; tenon_cl_close gives back whatever was made. Programs come from the cache on
 * disk or are built from source; their binaries are kept after the first good run, when a driver that compiles kernels
 * at their first use has done so.
 */
#ifndef TENON_OPENCL_OPEN
#define TENON_OPENCL_OPEN
#ifndef TENON_OPENCL_CACHE
#include "opencl_cache.c"
#endif
#ifndef TENON_OPENCL_H
#include "opencl.h"
#endif
#include <stdarg.h>
#include <strings.h>

enum { TENON_CL_MESSAGE = 4096, TENON_CL_LOG = 3000, TENON_CL_LEAST = 64 /* bytes of a memory */ };

struct tenon_cl_memory {
    cl_mem mem;
    int64_t n_bytes;
    uint64_t serial; /* a new number for every cl_mem, whose addresses may come again */
};
struct tenon_cl_argument { /* what a kernel has been given */
    uint64_t value;        /* a memory's serial or a scalar's bits */
    bool is_set;
};
struct tenon_cl_timed { /* a call of a run that is profiled */
    int site;
    cl_event event;
};
struct tenon_cl {
    pthread_mutex_t lock; /* recursive; held from begin to end */
    const struct tenon_cl_model *model;
    bool profile, unified;
    int open_status, status; /* of opening, of the last run */
    cl_device_id device;
    cl_context context;
    cl_command_queue queue;
    cl_program program;
    cl_kernel *kernels;                  /* of the sites */
    struct tenon_cl_argument *arguments; /* of all sites, one behind the other */
    int *first_argument;                 /* of each site */
    struct tenon_cl_memory *memories;    /* TENON_CL_ARENA ... outputs */
    int n_memories;
    int64_t *output_bytes; /* of the run */
    uint64_t serials;
    int64_t most_bytes, all_bytes; /* in one memory, in all of them: the device's limits */
    cl_mem words;                  /* of which the first is the status; NULL: no kernel has any */
    cl_int word_here;              /* as read back */
    bool words_are_dirty;          /* they may not be zero on the device */
    cl_int *no_words;              /* zeros */
    cl_event pending;              /* the end of a run that nobody has waited for here */
    struct tenon_cl_timed *timed;
    int n_timed, cap_timed;
    cl_event *transfers; /* of the sites: the last of each */
    void *read, *host;   /* on the host: for tenon_cl_read, for its part of the model */
    size_t read_bytes, host_bytes;
    struct tenon_cl_hash key;
    bool stores, has_run; /* the program's binary is still to be kept; the last run was good */
    char device_name[TENON_CL_NAME], text[TENON_CL_MESSAGE];
};

/* Notes the first failure; false. */
#ifdef __GNUC__
__attribute__((format(printf, 3, 4)))
#endif
static bool
tenon_cl_fail(struct tenon_cl *cl, int status, const char *format, ...)
{
    va_list list;
    if (cl->status) return false;
    cl->status = status;
    va_start(list, format);
    vsnprintf(cl->text, sizeof cl->text, format, list);
    va_end(list);
    return false;
}

/* What an OpenCL function returned; kernel: the one it was about, or NULL. */
static bool tenon_cl_check(struct tenon_cl *cl, const char *function, const char *kernel, cl_int code)
{
    if (!code) return true;
    if (kernel)
        return tenon_cl_fail(cl, TENON_NO_DEVICE, "%s (kernel %s): %s", function, kernel, tenon_cl_error_name(code));
    return tenon_cl_fail(cl, TENON_NO_DEVICE, "%s: %s", function, tenon_cl_error_name(code));
}
#define TENON_CL_TRY(cl, kernel, name, ...) tenon_cl_check(cl, #name, kernel, tenon_cl_api.name(__VA_ARGS__))

/* Zeroed; NULL noted. */
static void *tenon_cl_allocate(struct tenon_cl *cl, int64_t n, size_t size)
{
    void *made = n < 0 ? NULL : calloc(n ? (size_t)n : 1, size);
    if (!made) tenon_cl_fail(cl, TENON_NO_DEVICE, "out of memory on the host");
    return made;
}

static bool tenon_cl_ask(struct tenon_cl *cl, cl_device_info what, size_t n_bytes, void *value)
{
    return TENON_CL_TRY(cl, NULL, clGetDeviceInfo, cl->device, what, n_bytes, value, NULL);
}

/* Memory number i with room for so many bytes. What it held is lost where it has to grow. host: what it holds. */
static bool tenon_cl_provide(struct tenon_cl *cl, int i, int64_t n_bytes, cl_mem_flags flags, void *host)
{
    struct tenon_cl_memory *memory = &cl->memories[i];
    int64_t sum = 0;
    cl_int code;
    if (n_bytes < TENON_CL_LEAST && !host) n_bytes = TENON_CL_LEAST;
    if (memory->mem && memory->n_bytes >= n_bytes) return true;
    const char *what = i == TENON_CL_ARENA ? "an arena" : i == TENON_CL_WEIGHTS ? "weights" : "a value";
    if (n_bytes > cl->most_bytes)
        return tenon_cl_fail(cl, TENON_NO_DEVICE,
                             "the model needs %s of %lld bytes; device %s has at most %lld in one piece", what,
                             (long long)n_bytes, cl->device_name, (long long)cl->most_bytes);
    for (int m = 0; m < cl->n_memories; m++) sum += m == i ? n_bytes : cl->memories[m].n_bytes;
    if (sum > cl->all_bytes)
        return tenon_cl_fail(cl, TENON_NO_DEVICE, "the model needs %lld bytes; device %s has %lld", (long long)sum,
                             cl->device_name, (long long)cl->all_bytes);
    if (memory->mem) tenon_cl_check(cl, "clReleaseMemObject", NULL, tenon_cl_api.clReleaseMemObject(memory->mem));
    *memory = (struct tenon_cl_memory){NULL, 0, 0};
    cl_mem made = tenon_cl_api.clCreateBuffer(cl->context, flags, (size_t)n_bytes, host, &code);
    if (!tenon_cl_check(cl, "clCreateBuffer", NULL, code)) return false;
    *memory = (struct tenon_cl_memory){made, n_bytes, ++cl->serials};
    return !cl->status;
}

/* The device by number or TENON_DEVICE (a number or a part of a name), else the first that suits. */
static bool tenon_cl_choose(struct tenon_cl *cl, int number)
{
    struct tenon_cl_device list[TENON_CL_DEVICES];
    char why[TENON_CL_MESSAGE / 2], name[TENON_CL_NAME];
    const char *wanted = getenv("TENON_DEVICE");
    int n = tenon_cl_list(list, why, sizeof why), chosen = number;
    if (!n) return tenon_cl_fail(cl, TENON_NO_DEVICE, "%s", why);
    bool by_name = number < 0 && wanted && *wanted;
    if (by_name && strspn(wanted, "0123456789") == strlen(wanted)) {
        chosen = strlen(wanted) < 6 ? atoi(wanted) : TENON_CL_DEVICES;
        by_name = false;
    }
    for (int i = 0; i < n && chosen < 0; i++) {
        cl_device_type type = 0;
        tenon_cl_device_text(list[i].device, CL_DEVICE_NAME, name);
        if (by_name && strcasestr(name, wanted)) chosen = i;
        cl->device = list[i].device;
        if (!by_name && !tenon_cl_ask(cl, CL_DEVICE_TYPE, sizeof type, &type)) return false;
        if (!by_name && cl->model->wants_cpu && (type & CL_DEVICE_TYPE_CPU)) chosen = i;
    }
    if (chosen < 0 && by_name)
        return tenon_cl_fail(cl, TENON_NO_DEVICE, "no OpenCL device is named like '%.200s'", wanted);
    if (chosen < 0) chosen = 0;
    if (chosen >= n) return tenon_cl_fail(cl, TENON_NO_DEVICE, "there is no OpenCL device %d, there are %d", chosen, n);
    cl->device = list[chosen].device;
    tenon_cl_device_text(cl->device, CL_DEVICE_NAME, cl->device_name);
    return true;
}

static bool tenon_cl_suits(struct tenon_cl *cl)
{
    const struct tenon_cl_model *model = cl->model;
    cl_device_fp_config f64 = 0;
    size_t group = 0;
    cl_ulong one = 0, all = 0;
    cl_bool unified = CL_FALSE;
    if (model->needs_f64 && !tenon_cl_ask(cl, CL_DEVICE_DOUBLE_FP_CONFIG, sizeof f64, &f64)) return false;
    if (model->needs_f64 && !f64)
        return tenon_cl_fail(cl, TENON_NO_DEVICE, "the model computes in f64, which device %s cannot", cl->device_name);
    if (!tenon_cl_ask(cl, CL_DEVICE_MAX_WORK_GROUP_SIZE, sizeof group, &group) ||
        !tenon_cl_ask(cl, CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof one, &one) ||
        !tenon_cl_ask(cl, CL_DEVICE_GLOBAL_MEM_SIZE, sizeof all, &all) ||
        !tenon_cl_ask(cl, CL_DEVICE_HOST_UNIFIED_MEMORY, sizeof unified, &unified))
        return false;
    if (model->lanes_most > 0 && (size_t)model->lanes_most > group)
        return tenon_cl_fail(cl, TENON_NO_DEVICE, "the model has work-groups of %d, device %s takes at most %zu",
                             model->lanes_most, cl->device_name, group);
    cl->most_bytes = one < INT64_MAX ? (int64_t)one : INT64_MAX;
    cl->all_bytes = all < INT64_MAX ? (int64_t)all : INT64_MAX;
    cl->unified = unified;
    return true;
}

/* A hash of all that a binary depends on, into cl->key; false where the driver does not say all of it. */
static bool tenon_cl_make_key(struct tenon_cl *cl, const char *options, const char *platform_version)
{
    char version[TENON_CL_NAME], driver[TENON_CL_NAME];
    const char *facts[] = {options, platform_version, cl->device_name, version, driver};
    struct tenon_cl_hash key = {UINT64_C(0x243f6a8885a308d3), UINT64_C(0x13198a2e03707344)};
    bool good = tenon_cl_device_text(cl->device, CL_DEVICE_VERSION, version) &&
                tenon_cl_device_text(cl->device, CL_DRIVER_VERSION, driver);
    key = tenon_cl_mix(key, cl->model->text, cl->model->text_bytes);
    for (size_t i = 0; i < sizeof facts / sizeof *facts && good; i++)
        key = tenon_cl_mix(key, facts[i], strlen(facts[i]));
    cl->key = key;
    return good && *cl->device_name && *platform_version;
}

/* The program from the cache, built; false, with nothing noted, where it is not there or not good. */
static bool tenon_cl_build_cached(struct tenon_cl *cl, const char *options)
{
    size_t n_bytes = 0;
    cl_int code, state = CL_SUCCESS;
    unsigned char *bytes = tenon_cl_cache_read(cl->key, &n_bytes);
    const unsigned char *binary = bytes;
    if (!bytes) return false;
    cl->program = tenon_cl_api.clCreateProgramWithBinary(cl->context, 1, &cl->device, &n_bytes, &binary, &state, &code);
    free(bytes);
    if (!code && !state && !tenon_cl_api.clBuildProgram(cl->program, 1, &cl->device, options, NULL, NULL)) return true;
    if (!code) tenon_cl_api.clReleaseProgram(cl->program);
    cl->program = NULL;
    return false;
}

static bool tenon_cl_build_source(struct tenon_cl *cl, const char *options)
{
    cl_int code;
    size_t n = 0;
    const char *text = cl->model->text;
    cl->program = tenon_cl_api.clCreateProgramWithSource(cl->context, 1, &text, &cl->model->text_bytes, &code);
    if (!tenon_cl_check(cl, "clCreateProgramWithSource", NULL, code)) return false;
    code = tenon_cl_api.clBuildProgram(cl->program, 1, &cl->device, options, NULL, NULL);
    if (!code) return true;
    char *log = NULL;
    if (!tenon_cl_api.clGetProgramBuildInfo(cl->program, cl->device, CL_PROGRAM_BUILD_LOG, 0, NULL, &n) && n)
        log = calloc(n + 1, 1);
    if (log && tenon_cl_api.clGetProgramBuildInfo(cl->program, cl->device, CL_PROGRAM_BUILD_LOG, n, log, NULL))
        log[0] = 0;
    tenon_cl_fail(cl, TENON_NO_DEVICE, "clBuildProgram (model %s, device %s): %s%s%.*s", cl->model->name,
                  cl->device_name, tenon_cl_error_name(code), log ? "\n" : "", TENON_CL_LOG, log ? log : "");
    free(log);
    return false;
}

/* PoCL has a cache of its own, of native code for each size of work-group, and asking it for a binary makes it compile
 * every kernel once more, for any size: 60 kernels 3.8 s, where a start from its own cache takes 35 ms and one from
 * ours 9. So its binaries are kept only where a folder is named. */
static bool tenon_cl_build(struct tenon_cl *cl)
{
    char options[1024], version[TENON_CL_NAME], name[TENON_CL_NAME];
    cl_platform_id platform;
    cl_device_fp_config f32 = 0;
    if (!tenon_cl_ask(cl, CL_DEVICE_SINGLE_FP_CONFIG, sizeof f32, &f32) ||
        !tenon_cl_ask(cl, CL_DEVICE_PLATFORM, sizeof platform, &platform))
        return false;
    int n = snprintf(options, sizeof options, "%s%s", cl->model->options ? cl->model->options : "",
                     f32 & CL_FP_CORRECTLY_ROUNDED_DIVIDE_SQRT ? " -cl-fp32-correctly-rounded-divide-sqrt" : "");
    if (n < 0 || n >= (int)sizeof options)
        return tenon_cl_fail(cl, TENON_NO_DEVICE, "the model's options are too long");
    tenon_cl_platform_text(platform, CL_PLATFORM_VERSION, version);
    tenon_cl_platform_text(platform, CL_PLATFORM_NAME, name);
    const char *folder = getenv("TENON_CACHE");
    bool caches = folder ? *folder != 0 : strcmp(name, "Portable Computing Language") != 0;
    caches = caches && tenon_cl_make_key(cl, options, version);
    if (caches && tenon_cl_build_cached(cl, options)) return true;
    cl->stores = caches;
    return tenon_cl_build_source(cl, options);
}

/* Puts the program's binary into the cache. */
static void tenon_cl_store(struct tenon_cl *cl)
{
    size_t n_bytes = 0;
    cl->stores = false;
    if (tenon_cl_api.clGetProgramInfo(cl->program, CL_PROGRAM_BINARY_SIZES, sizeof n_bytes, &n_bytes, NULL) || !n_bytes)
        return;
    unsigned char *bytes = malloc(n_bytes);
    if (bytes && !tenon_cl_api.clGetProgramInfo(cl->program, CL_PROGRAM_BINARIES, sizeof bytes, &bytes, NULL))
        tenon_cl_cache_write(cl->key, bytes, n_bytes);
    free(bytes);
}

static int tenon_cl_count_arguments(const struct tenon_cl_site *site)
{
    return 2 * site->n_buffers + site->n_scalars + site->takes_words;
}

static bool tenon_cl_make_kernels(struct tenon_cl *cl)
{
    const struct tenon_cl_model *model = cl->model;
    int n = 0;
    cl_int code;
    cl->kernels = tenon_cl_allocate(cl, model->n_sites, sizeof *cl->kernels);
    cl->transfers = tenon_cl_allocate(cl, model->n_sites, sizeof *cl->transfers);
    cl->first_argument = tenon_cl_allocate(cl, model->n_sites, sizeof *cl->first_argument);
    if (!cl->kernels || !cl->transfers || !cl->first_argument) return false;
    for (int i = 0; i < model->n_sites; i++) {
        const struct tenon_cl_site *site = &model->sites[i];
        cl->first_argument[i] = n;
        if (!site->kernel) continue;
        n += tenon_cl_count_arguments(site);
        cl_kernel kernel = tenon_cl_api.clCreateKernel(cl->program, site->kernel, &code);
        if (!tenon_cl_check(cl, "clCreateKernel", site->kernel, code)) return false;
        cl->kernels[i] = kernel;
    }
    cl->arguments = tenon_cl_allocate(cl, n, sizeof *cl->arguments);
    cl->no_words = tenon_cl_allocate(cl, model->n_words, sizeof *cl->no_words);
    if (!cl->arguments || !cl->no_words || !model->n_words) return !cl->status;
    cl->words = tenon_cl_api.clCreateBuffer(cl->context, CL_MEM_READ_WRITE | CL_MEM_COPY_HOST_PTR,
                                            (size_t)model->n_words * sizeof *cl->no_words, cl->no_words, &code);
    return tenon_cl_check(cl, "clCreateBuffer", NULL, code);
}

/* Weights stay where they are on devices that share the host's memory: drivers that cannot do that copy them. */
static bool tenon_cl_put_weights(struct tenon_cl *cl, const void *weights)
{
    cl_mem_flags flags = CL_MEM_READ_ONLY;
    if (!cl->model->weight_bytes) return true;
    flags |= cl->unified && (uintptr_t)weights % 64 == 0 ? CL_MEM_USE_HOST_PTR : CL_MEM_COPY_HOST_PTR;
    void *host = (void *)(uintptr_t)weights; /* OpenCL takes it without const, and does not write to it */
    return tenon_cl_provide(cl, TENON_CL_WEIGHTS, cl->model->weight_bytes, flags, host);
}

static void tenon_cl_set_up(struct tenon_cl *cl, const void *weights, int number)
{
    cl_int code;
    cl->n_memories = TENON_CL_VALUES + cl->model->n_inputs + cl->model->n_outputs;
    cl->memories = tenon_cl_allocate(cl, cl->n_memories, sizeof *cl->memories);
    cl->output_bytes = tenon_cl_allocate(cl, cl->model->n_outputs, sizeof *cl->output_bytes);
    if (!cl->memories || !cl->output_bytes || !tenon_cl_choose(cl, number) || !tenon_cl_suits(cl)) return;
    cl->context = tenon_cl_api.clCreateContext(NULL, 1, &cl->device, NULL, NULL, &code);
    if (!tenon_cl_check(cl, "clCreateContext", NULL, code)) return;
    cl->queue =
        tenon_cl_api.clCreateCommandQueue(cl->context, cl->device, cl->profile ? CL_QUEUE_PROFILING_ENABLE : 0, &code);
    if (!tenon_cl_check(cl, "clCreateCommandQueue", NULL, code) || !tenon_cl_build(cl) || !tenon_cl_make_kernels(cl))
        return;
    tenon_cl_put_weights(cl, weights);
}

TENON_CL_MAY struct tenon_cl *tenon_cl_open(const struct tenon_cl_model *model, const void *weights, int device,
                                            bool profile)
{
    static struct tenon_cl none = {
        .open_status = TENON_NO_DEVICE, .status = TENON_NO_DEVICE, .text = "out of memory on the host"};
    struct tenon_cl *cl = calloc(1, sizeof *cl);
    pthread_mutexattr_t kind;
    if (!cl) return &none; /* has no model, by which all others know it */
    pthread_mutexattr_init(&kind);
    pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&cl->lock, &kind);
    pthread_mutexattr_destroy(&kind);
    cl->model = model;
    cl->profile = profile;
    tenon_cl_set_up(cl, weights, device);
    cl->open_status = cl->status;
    return cl;
}
#endif
