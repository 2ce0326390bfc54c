/* The host runtime of --target=opencl (runtime/opencl.h) with small kernels on the first OpenCL device.
 *
 * The runtime is included as the text that artefacts carry. First what it computes, then the cache on disk, then what
 * goes wrong: messages, and every OpenCL call failing once (tests/opencl_faults.c). Exit status 77, with the reason,
 * where there is no device. The model: y = x * scale + w in two halves through the arena, a check that fails for a
 * negative first element, a kernel that writes down scalars of every size.
 */
#include "../runtime/opencl.c"

#include "opencl_faults.h"

#include <dirent.h>
#include <math.h>
#include <sys/mman.h>

static int wrong;

static void check(int good, const char *what)
{
    if (!good) wrong++, printf("wrong: %s\n", what);
}

/* Whether the message says so. */
static void check_says(const struct tenon_cl *cl, const char *words)
{
    if (strstr(tenon_cl_message(cl), words) && tenon_cl_status(cl)) return;
    wrong++;
    printf("wrong: status %d '%s', expected '%s'\n", tenon_cl_status(cl), tenon_cl_message(cl), words);
}

static const char text[] =
    "__kernel void scale(__global float *x, long x_at, __global float *y, long y_at, int n, float by)\n"
    "{\n"
    "    for (long i = get_global_id(0); i < n; i += get_global_size(0)) y[y_at + i] = x[x_at + i] * by;\n"
    "}\n"
    "__kernel void add(__global float *x, long x_at, __global const float *w, long w_at, __global float *y, long "
    "y_at,\n"
    "                  int n, __global int *status)\n"
    "{\n"
    "    for (long i = get_global_id(0); i < n; i += get_global_size(0)) y[y_at + i] = x[x_at + i] + w[w_at + i];\n"
    "    if (get_global_id(0) == 0 && x[x_at] < 0) *status = 7;\n"
    "}\n"
    "__kernel void sizes(__global long *y, long y_at, char a, short b, int c, long d, float e, double f, uchar g)\n"
    "{\n"
    "    long v[7] = {a, b, c, d, (long)e, (long)f, g};\n"
    "    for (int i = 0; i < 7; i++) y[y_at + i] = v[i];\n"
    "}\n";
enum { SCALE, ADD, SIZES, SENDS, RECEIVES, N_SITES };
static const unsigned char scale_bytes[] = {4, 4}, add_bytes[] = {4}, sizes_bytes[] = {1, 2, 4, 8, 4, 8, 1};
static const struct tenon_cl_site sites[] = {{"scale", "one", 2, 2, scale_bytes, false},
                                             {"add", "two", 3, 1, add_bytes, true},
                                             {"sizes", "three", 1, 7, sizes_bytes, false},
                                             {NULL, "transfer", 2, 0, NULL, false},
                                             {NULL, "transfer", 2, 0, NULL, false}};
enum { MOST = 30000, X = TENON_CL_VALUES, Y };
static const struct tenon_cl_model model = {.name = "small",
                                            .text = text,
                                            .text_bytes = sizeof text - 1,
                                            .options = "",
                                            .weight_bytes = MOST * sizeof(float),
                                            .n_inputs = 1,
                                            .n_outputs = 1,
                                            .n_sites = N_SITES,
                                            .sites = sites,
                                            .wants_cpu = true,
                                            .can_fail = true,
                                            .n_words = 1,
                                            .lanes_most = 4};
static float *weights; /* may only be read */

static struct tenon_cl_buffer floats(int memory, int64_t at, int64_t n)
{
    return (struct tenon_cl_buffer){memory, at, n * (int64_t)sizeof(float), sizeof(float)};
}

struct values {
    float x[MOST], y[MOST];
};

static void begin(struct tenon_cl *cl, const float *x, int n)
{
    const void *inputs[] = {x};
    int64_t n_bytes = n * (int64_t)sizeof(float);
    tenon_cl_begin(cl, (n + 16) * (int64_t)sizeof(float), inputs, &n_bytes, &n_bytes);
}

/* y = x * by + w; the arena's value stands at element 16. */
static void call_both(struct tenon_cl *cl, int n, float by)
{
    struct tenon_cl_buffer first[] = {floats(X, 0, n), floats(TENON_CL_ARENA, 16, n)};
    struct tenon_cl_buffer second[] = {floats(TENON_CL_ARENA, 16, n), floats(TENON_CL_WEIGHTS, 0, n), floats(Y, 0, n)};
    union tenon_cl_scalar first_scalars[] = {{.i64 = n}, {.f32 = by}}, second_scalars[] = {{.i64 = n}};
    tenon_cl_call(cl, SCALE, 3, 2, first, first_scalars);
    tenon_cl_call(cl, ADD, 2, 4, second, second_scalars);
}

static int run(struct tenon_cl *cl, struct values *v, int n, float by)
{
    void *outputs[] = {v->y};
    memset(v->y, 0, sizeof v->y);
    begin(cl, v->x, n);
    call_both(cl, n, by);
    return tenon_cl_end(cl, outputs, NULL);
}

static bool is_right(const struct values *v, int n, float by)
{
    for (int i = 0; i < n; i++)
        if (v->y[i] != v->x[i] * by + weights[i]) return false;
    return n == MOST || v->y[n] == 0;
}

static struct values *values_new(void)
{
    struct values *v = calloc(1, sizeof *v);
    if (!v) exit(1);
    for (int i = 0; i < MOST; i++) v->x[i] = (float)(i % 1000);
    return v;
}

static struct tenon_cl *open_model(const struct tenon_cl_model *of, bool profile)
{
    return tenon_cl_open(of, weights, -1, profile);
}

/* ---- results ---- */

static void test_runs(void)
{
    struct tenon_cl *cl = open_model(&model, false);
    struct values *v = values_new();
    static const int lengths[] = {1, 1000, 1000, MOST, 7, 0};
    check(tenon_cl_status(cl) == 0 && !*tenon_cl_message(cl), "opens");
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) { /* memory grows and stays */
        float by = (float)(i + 2);
        check(run(cl, v, lengths[i], by) == 0 && is_right(v, lengths[i], by), "y = x * by + w");
    }
    v->x[0] = -1;
    check(run(cl, v, 5, 2) == 7, "a failing check is the run's status");
    check_says(cl, "a check of model small failed on the data: status 7");
    v->x[0] = 1;
    check(run(cl, v, 5, 2) == 0 && is_right(v, 5, 2), "the run after a failing check");
    begin(cl, v->x, 5);
    tenon_cl_call(cl, SCALE, 0, 1, NULL, NULL); /* no groups: nothing to do */
    check(tenon_cl_end(cl, (void *[]){v->y}, NULL) == 0, "no groups");
    tenon_cl_close(cl);
    free(v);
}

static void test_scalars(void)
{
    struct tenon_cl_model other = model;
    other.needs_f64 = true;
    struct tenon_cl *cl = open_model(&other, false);
    struct values *v = values_new();
    union tenon_cl_scalar scalars[] = {{.i64 = -100},         {.i64 = -30000}, {.i64 = -2000000000}, {.i64 = INT64_MIN},
                                       {.f32 = -16777216.0f}, {.f64 = 0x1p52}, {.i64 = 255}};
    static const int64_t expected[] = {-100, -30000, -2000000000, INT64_MIN, -16777216, INT64_C(1) << 52, 255};
    for (int64_t at = 0; at < 3; at++) {
        struct tenon_cl_buffer to = {TENON_CL_ARENA, at, sizeof expected, 8};
        begin(cl, v->x, 100);
        tenon_cl_call(cl, SIZES, 1, 1, &to, scalars);
        const void *got = tenon_cl_read(cl, to);
        check(!memcmp(got, expected, sizeof expected), "scalars of every size");
        check(tenon_cl_end(cl, (void *[]){v->y}, NULL) == 0, "scalars run");
    }
    tenon_cl_close(cl);
    free(v);
}

struct note {
    int n, sites[8];
    double last;
};

static void note_call(void *context, int site, double start, double end)
{
    struct note *note = context;
    check(start >= 0 && end >= start && end < 10, "times are seconds from the first call");
    check(start >= note->last, "times are in order");
    note->last = start;
    note->sites[note->n++] = site;
}

/* A run that sends what the host has made, computes with it, and reverses on the host what comes back. */
static void transfer(struct tenon_cl *cl, struct values *v, float first)
{
    enum { N = 50 };
    begin(cl, v->x, N);
    float *memory = tenon_cl_host(cl, 2 * N * (int64_t)sizeof(float));
    if (!memory) return;
    check((uintptr_t)memory % 64 == 0, "the host's memory is aligned");
    for (int i = 0; i < N; i++) memory[i] = (float)(10 * i);
    memory[0] = first;
    tenon_cl_send(cl, SENDS, floats(X, 0, N), N * (int64_t)sizeof(float), memory);
    call_both(cl, N, 2);
    tenon_cl_receive(cl, RECEIVES, floats(Y, 10, N - 10), (N - 10) * (int64_t)sizeof(float), memory + N);
    tenon_cl_receive(cl, RECEIVES, floats(Y, 10, 0), 0, NULL);
    if (tenon_cl_wait(cl, RECEIVES)) return;
    for (int i = 10; i < N; i++) check(memory[N + i - 10] == (float)(20 * i) + weights[i], "what came back");
    for (int i = 0; i < N; i++) memory[i] = 1; /* what was sent may change now */
}

static void test_transfers(void)
{
    struct tenon_cl *cl = open_model(&model, true);
    struct values *v = values_new();
    struct note note = {0};
    for (int round = 0; round < 3; round++) {
        bool bad = round == 1;
        transfer(cl, v, bad ? -1.0f : 0);
        check(tenon_cl_end(cl, (void *[]){v->y}, NULL) == (bad ? 7 : 0), "the status of a run with transfers");
        if (bad) check_says(cl, "a check of model small failed on the data: status 7");
        else check(v->y[49] == 980 + weights[49], "the results of a run with transfers");
    }
    tenon_cl_times(cl, note_call, &note);
    check(note.n == 4 && note.sites[0] == SENDS && note.sites[3] == RECEIVES, "times of transfers");
    tenon_cl_close(cl);
    free(v);
}

static void test_read(void)
{
    struct tenon_cl *cl = open_model(&model, false);
    struct values *v = values_new();
    for (int bad = 0; bad < 2; bad++) {
        v->x[0] = bad ? -1.0f : 1.0f;
        begin(cl, v->x, 10000);
        call_both(cl, 10000, 3);
        const float *got = tenon_cl_read(cl, floats(Y, 0, 10000)); /* more than the block of zeros has */
        for (int i = 0; i < 10000; i++) check(got[i] == (bad ? 0 : v->x[i] * 3 + weights[i]), "what is read");
        check(((const float *)tenon_cl_read(cl, floats(Y, 5, 1)))[0] == (bad ? 0 : 15 + weights[5]), "one element");
        check(tenon_cl_end(cl, (void *[]){v->y}, NULL) == (bad ? 7 : 0), "the status after a read");
    }
    tenon_cl_close(cl);
    free(v);
}

static void test_profile(void)
{
    struct tenon_cl *cl = open_model(&model, true);
    struct values *v = values_new();
    for (int i = 0; i < 2; i++) {
        struct note note = {0};
        check(run(cl, v, 100, 2) == 0, "a profiled run");
        tenon_cl_times(cl, note_call, &note);
        check(note.n == 2 && note.sites[0] == SCALE && note.sites[1] == ADD, "a time for every call");
    }
    tenon_cl_close(cl);
    free(v);
}

static void test_event(void)
{
    struct tenon_cl *cl = open_model(&model, false);
    struct values *v = values_new();
    for (int i = 0; i < 9; i++) {
        void *done = NULL;
        bool bad = i % 3 == 2;
        v->x[0] = bad ? -2.0f : 2.0f;
        memset(v->y, 0, sizeof v->y);
        begin(cl, v->x, MOST);
        call_both(cl, MOST, 2);
        check(tenon_cl_end(cl, (void *[]){v->y}, &done) == 0 && done, "a run that ends with an event");
        cl_event event = done;
        check(!tenon_cl_api.clWaitForEvents(1, &event) && !tenon_cl_api.clReleaseEvent(event), "its event");
        check(is_right(v, MOST, 2), "its results");
        if (i % 2) check(tenon_cl_status(cl) == (bad ? 7 : 0), "its status");
    }
    tenon_cl_close(cl); /* the last one's end has not been looked at */
    free(v);
}

static void *run_many(void *argument)
{
    struct values *v = values_new();
    struct tenon_cl *own = open_model(&model, false), *shared = argument;
    for (int i = 0; i < 50; i++) {
        float by = (float)i;
        if (run(own, v, 500 + i, by) || !is_right(v, 500 + i, by)) check(0, "a run beside another");
        if (run(shared, v, 900 - i, by) || !is_right(v, 900 - i, by)) check(0, "a run of a shared session");
    }
    tenon_cl_close(own);
    free(v);
    return NULL;
}

static void test_threads(void)
{
    pthread_t threads[2];
    struct tenon_cl *shared = open_model(&model, false);
    for (int i = 0; i < 2; i++)
        if (pthread_create(&threads[i], NULL, run_many, shared)) exit(1);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    tenon_cl_close(shared);
}

/* ---- the cache on disk ---- */

/* The one file in the folder; false where there is none. */
static bool find_file(const char *folder, char path[TENON_CL_PATH])
{
    DIR *entries = opendir(folder);
    int n = 0;
    if (!entries) return false;
    for (struct dirent *entry; (entry = readdir(entries));)
        if (entry->d_name[0] != '.') n++, snprintf(path, TENON_CL_PATH, "%.400s/%s", folder, entry->d_name);
    closedir(entries);
    check(n <= 1, "one file in the cache");
    return n == 1;
}

/* Opens and runs; whether the program came from the cache. */
static bool comes_cached(struct values *v)
{
    struct tenon_cl *cl = open_model(&model, false);
    bool cached = !cl->stores;
    check(run(cl, v, 100, 2) == 0 && is_right(v, 100, 2), "a run with a cache");
    tenon_cl_close(cl);
    return cached;
}

static void damage(const char *path, long at, long length)
{
    FILE *file = fopen(path, "r+b");
    if (!file || fseek(file, at, at < 0 ? SEEK_END : SEEK_SET)) exit(1);
    int c = fgetc(file);
    if (fseek(file, -1, SEEK_CUR) || fputc(c ^ 1, file) == EOF || fclose(file)) exit(1);
    if (length && truncate(path, length)) exit(1);
}

static void test_cache(const char *folder)
{
    static const struct {
        long at, length;
        const char *what;
    } damages[] = {{0, 0, "another magic"},     {9, 0, "another key"},   {25, 0, "another length"},
                   {33, 0, "another checksum"}, {60, 0, "other bytes"},  {-1, 0, "another last byte"},
                   {0, 30, "half a head"},      {8, 1000, "half a file"}};
    struct values *v = values_new();
    char path[TENON_CL_PATH], inner[TENON_CL_PATH];
    snprintf(inner, sizeof inner, "%.500s/a/b", folder);
    setenv("TENON_CACHE", inner, 1);
    check(!comes_cached(v), "nothing in an empty cache");
    check(find_file(inner, path), "the cache has been filled");
    check(comes_cached(v), "the cache is used");
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        damage(path, damages[i].at, damages[i].length);
        check(!comes_cached(v), damages[i].what);
        check(comes_cached(v), "a damaged file is replaced");
    }
    setenv("TENON_CACHE", "", 1);
    check(!tenon_cl_cache_folder(inner), "an empty TENON_CACHE is none");
    setenv("TENON_CACHE", "/proc/nowhere", 1);
    check(!comes_cached(v) && !comes_cached(v), "a folder that cannot be made");
    unlink(path);
    snprintf(inner, sizeof inner, "%.500s/a/b", folder);
    rmdir(inner);
    snprintf(inner, sizeof inner, "%.500s/a", folder);
    rmdir(inner);
    setenv("TENON_CACHE", "", 1);
    free(v);
}

/* ---- what goes wrong ---- */

/* Opens, expects these words, and sees that all else does nothing. */
static void expect_refused(const struct tenon_cl_model *of, int device, const char *words)
{
    struct tenon_cl *cl = tenon_cl_open(of, weights, device, false);
    struct values *v = values_new();
    check_says(cl, words);
    check(run(cl, v, 10, 2) == TENON_NO_DEVICE, "a run of what could not be opened");
    check_says(cl, words);
    tenon_cl_close(cl);
    free(v);
}

static void test_refusals(void)
{
    struct tenon_cl_model other = model;
    other.text = "__kernel void scale(int x) { this is no C; }\n";
    other.text_bytes = strlen(other.text);
    expect_refused(&other, -1, "clBuildProgram (model small, device ");
    expect_refused(&other, -1, "CL_BUILD_PROGRAM_FAILURE\n");
    expect_refused(&other, -1, "'this'"); /* the build log */
    struct tenon_cl_site missing[N_SITES];
    memcpy(missing, sites, sizeof sites);
    missing[ADD].kernel = "adds";
    other = model;
    other.sites = missing;
    expect_refused(&other, -1, "clCreateKernel (kernel adds): CL_INVALID_KERNEL_NAME");
    other = model;
    other.lanes_most = 1 << 30;
    expect_refused(&other, -1, "the model has work-groups of 1073741824, device ");
    other = model;
    other.weight_bytes = INT64_MAX / 2;
    expect_refused(&other, -1, "the model needs weights of 4611686018427387903 bytes; device ");
    expect_refused(&model, 63, "there is no OpenCL device 63");
    setenv("TENON_DEVICE", "no such device", 1);
    expect_refused(&model, -1, "no OpenCL device is named like 'no such device'");
    setenv("TENON_DEVICE", "99999999999", 1);
    expect_refused(&model, -1, "there is no OpenCL device 64");
    setenv("TENON_DEVICE", "0", 1);
    struct tenon_cl *cl = open_model(&model, false);
    check(!tenon_cl_status(cl), "the device by number");
    setenv("TENON_DEVICE", cl->device_name, 1);
    struct tenon_cl *again = open_model(&model, false);
    check(!tenon_cl_status(again), "the device by name");
    unsetenv("TENON_DEVICE");
    tenon_cl_begin(cl, INT64_MAX / 4, (const void *[]){weights}, (int64_t[]){4}, (int64_t[]){4});
    call_both(cl, 1, 2);
    check(tenon_cl_end(cl, (void *[]){NULL}, NULL) == TENON_NO_DEVICE, "an arena that is too large");
    check_says(cl, "the model needs an arena of 2305843009213693951 bytes; device ");
    cl->most_bytes = INT64_MAX / 2; /* as a device that takes as much in one piece as it has */
    tenon_cl_begin(cl, INT64_MAX / 4, (const void *[]){weights}, (int64_t[]){4}, (int64_t[]){4});
    check(tenon_cl_end(cl, (void *[]){NULL}, NULL) == TENON_NO_DEVICE, "too much in all");
    check_says(cl, " bytes; device ");
    struct values *v = values_new();
    check(run(cl, v, 100, 2) == 0 && is_right(v, 100, 2), "a run after one with too large an arena");
    begin(cl, v->x, 10);
    struct tenon_cl_buffer buffers[] = {floats(X, 0, 10), floats(Y, 0, 10)};
    tenon_cl_call(cl, SCALE, 1, 1 << 24, buffers, (union tenon_cl_scalar[]){{.i64 = 10}, {.f32 = 1}});
    check(tenon_cl_end(cl, (void *[]){v->y}, NULL) == TENON_NO_DEVICE, "too large a work-group");
    check_says(cl, "clEnqueueNDRangeKernel (kernel scale): CL_INVALID_WORK_");
    free(v);
    tenon_cl_close(cl);
    tenon_cl_close(again);
}

/* Opens, runs synchronously, with an event and with everything else, closes: the first status. */
static int run_all(struct values *v, int *objects, const struct faults *faults, char message[TENON_CL_MESSAGE])
{
    int before = faults->n_objects;
    struct tenon_cl *cl = open_model(&model, true);
    struct note note = {0};
    void *done = NULL;
    int status = run(cl, v, 300, 2);
    if (!status) check(is_right(v, 300, 2), "a run with a failed call that it could do without");
    if (!status) {
        tenon_cl_times(cl, note_call, &note);
        status = tenon_cl_status(cl);
    }
    if (!status) {
        transfer(cl, v, 0);
        const float *got = tenon_cl_read(cl, floats(Y, 10, 10));
        float first = got[0], expected = tenon_cl_status(cl) ? 0 : 200 + weights[10];
        check(first == expected, "a read is right, or zeros after a failed call");
        status = tenon_cl_end(cl, (void *[]){v->y}, &done);
        check(!status == !!done, "an event, or a failure");
        cl_event event = done;
        if (done && (tenon_cl_api.clWaitForEvents(1, &event) | tenon_cl_api.clReleaseEvent(event))) tenon_cl_finish(cl);
        if (!status) status = tenon_cl_status(cl);
    }
    snprintf(message, TENON_CL_MESSAGE, "%s", tenon_cl_message(cl));
    if (cl->kernels && !cl->open_status && status) { /* the next run of the same session */
        struct faults *state = (struct faults *)(uintptr_t)faults;
        state->fail_at = 0;
        check(run(cl, v, 300, 2) == 0 && is_right(v, 300, 2), "the run after one with a failed call");
    }
    tenon_cl_close(cl);
    *objects = faults->n_objects - before;
    return status;
}

/* Fails the first call, then the second ..., until all is well. lost: also all that come behind it. */
static void test_faults(struct faults *faults, const char *folder, int lost)
{
    struct values *v = values_new();
    int n_failed = 0, n_fine = 0;
    setenv("TENON_CACHE", folder, 1);
    for (int n = 1;; n++) {
        char message[TENON_CL_MESSAGE], path[TENON_CL_PATH];
        int objects;
        if (n % 2 && find_file(folder, path)) unlink(path); /* with the cache, and without */
        *faults = (struct faults){.fail_at = n, .lost = lost};
        int status = run_all(v, &objects, faults, message);
        bool failed = faults->failed != NULL;
        const char *name = failed ? faults->failed : "";
        if (objects) printf("wrong: %d objects left after call %d, %s, failed\n", objects, n, name), wrong++;
        if (status && (status != TENON_NO_DEVICE || !*message || (!lost && !strstr(message, name))))
            printf("wrong: call %d, %s: status %d '%s'\n", n, name, status, message), wrong++;
        n_failed += status != 0;
        n_fine += !status;
        if (!failed) {
            check(status == 0, "a run in which nothing fails");
            if (find_file(folder, path)) unlink(path);
            break;
        }
    }
    printf("%d %s gave a message, %d were done without\n", n_failed, lost ? "lost devices" : "failing calls",
           n_fine - 1);
    check(n_failed > 50, "most calls matter");
    setenv("TENON_CACHE", "", 1);
    free(v);
}

int main(int argc, char **argv)
{
    struct tenon_cl_device devices[TENON_CL_DEVICES];
    char folder[] = "/tmp/tenon_opencl_XXXXXX", message[1024];
    const char *shim = argc > 1 ? argv[1] : NULL;
    const char *own = getenv("TENON_OPENCL");
    if (own) own = strdup(own);
    weights = mmap(NULL, MOST * sizeof(float), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (weights == MAP_FAILED || !mkdtemp(folder)) return 1;
    for (int i = 0; i < MOST; i++) weights[i] = (float)(i % 77);
    mprotect(weights, MOST * sizeof(float), PROT_READ);
    setenv("TENON_CACHE", "", 1);
    unsetenv("TENON_DEVICE");
    setenv("TENON_OPENCL", "/nonexistent/libOpenCL.so", 1);
    expect_refused(&model, -1, "no OpenCL loader (/nonexistent/libOpenCL.so): install ocl-icd-libopencl1 and a driver");
    setenv("TENON_OPENCL", "libm.so.6", 1);
    expect_refused(&model, -1, "libm.so.6 has no function cl");
    if (shim) setenv("TENON_OPENCL", shim, 1);
    else if (own) setenv("TENON_OPENCL", own, 1);
    else unsetenv("TENON_OPENCL");
    if (!tenon_cl_list(devices, message, sizeof message)) {
        rmdir(folder);
        printf("skipped: %s\n", message);
        return wrong ? 1 : 77;
    }
    test_runs();
    test_scalars();
    test_transfers();
    test_read();
    test_profile();
    test_event();
    char platform[TENON_CL_NAME];
    tenon_cl_platform_text(devices[0].platform, CL_PLATFORM_NAME, platform);
    if (strcmp(platform, "Oclgrind") != 0) test_threads();
    else puts("not tested: threads, for which Oclgrind is not made");
    test_cache(folder);
    test_refusals();
    if (shim) {
        struct faults *(*state)(void);
        void *library = dlopen(shim, RTLD_NOW);
        *(void **)&state = library ? dlsym(library, "faults_state") : NULL;
        check(state != NULL, "the library of faults");
        for (int lost = 0; lost < 2 && state; lost++) test_faults(state(), folder, lost);
    }
    rmdir(folder);
    munmap(weights, MOST * sizeof(float));
    free((void *)(uintptr_t)own);
    if (!wrong) puts("all right");
    return wrong != 0;
}
