/* What an OpenCL device can do, by trying. See cmd_devices.h.
 *
 * Extension strings lie both ways: a feature may be listed and not compile, compile and give a wrong answer, or work
 * without being listed. So every feature is a small kernel below, run by the same run time that models use
 * (runtime/opencl.h), and what counts is its answer. Sizes are what the driver says. Fused multiply-adds exist on every
 * device, in software where the hardware has none, so these are timed beside a multiplication and an addition.
 */
#if TENON_OPENCL
#include "../runtime/opencl.c" /* first: it asks for more of the system's headers */
#endif

#include "cmd_devices.h"

#if TENON_OPENCL
#include "../ir/text.h"

#include "embedded_codegen.h"

enum { PROBE_LANES = 64, PROBE_PARTS = 16, PROBE_WORDS = 64, PROBE_X = TENON_CL_VALUES, PROBE_Y };
#define PROBE_HEAD "__kernel void probe(__global const float *x, long x_at, __global int *y, long y_at)\n"

struct answer {
    int32_t word[PROBE_WORDS];
};
struct probe {
    const char *name, *extension; /* extension "": none stands for it */
    int groups, lanes;
    const char *text;
    bool (*is_right)(const struct answer *y); /* x is 1, 3, 2047, 1 + 2^-12 */
};

static bool is_plain_right(const struct answer *y)
{
    for (int i = 0; i < PROBE_LANES; i++)
        if (y->word[i] != 3 * i + 1) return false;
    return true;
}

static bool is_third(const struct answer *y) /* 1.0 / 3.0 */
{
    return y->word[0] == 0x55555555 && y->word[1] == 0x3fd55555;
}

static bool is_rounded(const struct answer *y) /* 2047 * 3 in 11 bits */
{
    return y->word[0] == 6140;
}

static bool is_fused(const struct answer *y) /* 2^-24; 0 when rounded between */
{
    return y->word[0] == 0x33800000;
}

static bool is_dot(const struct answer *y) /* (-1 2 3 4) * (2 2 2 2) */
{
    return y->word[0] == 16;
}

static bool is_sub_group(const struct answer *y) /* every work-item counts those of its own */
{
    for (int i = 0; i < PROBE_LANES; i++)
        if (y->word[i] != y->word[0]) return false;
    return y->word[0] > 0 && y->word[0] <= PROBE_LANES && PROBE_LANES % y->word[0] == 0;
}

static bool has_turns(const struct answer *y) /* what one group wrote another read */
{
    for (int i = 0; i < PROBE_PARTS; i++)
        if (y->word[i] != 7 * (PROBE_PARTS - 1 - i) + 100) return false;
    return true;
}

enum { PROBE_PLAIN, PROBE_F64, PROBE_F16, PROBE_FMA, PROBE_DOT8, PROBE_SUB_GROUP, PROBE_PTX, PROBE_STAGES, N_PROBES };
static const struct probe probes[N_PROBES] = {
    [PROBE_PLAIN] = {"a kernel", "", 1, 1, PROBE_HEAD
                     "{ for (int i = 0; i < 64; i++) y[y_at + i] = (int)(x[x_at + 1] * i + x[x_at]); }\n", is_plain_right},
    [PROBE_F64] = {"f64", "cl_khr_fp64", 1, 1, "#pragma OPENCL EXTENSION cl_khr_fp64 : enable\n" PROBE_HEAD
                   "{ int2 q = as_int2((double)x[x_at] / (double)x[x_at + 1]); y[y_at] = q.x; y[y_at + 1] = q.y; }\n", is_third},
    [PROBE_F16] = {"f16", "cl_khr_fp16", 1, 1, "#pragma OPENCL EXTENSION cl_khr_fp16 : enable\n" PROBE_HEAD
                   "{ half h = (half)x[x_at + 1] * (half)x[x_at + 2]; y[y_at] = (int)(float)h; }\n", is_rounded},
    [PROBE_FMA] = {"fma", "", 1, 1, PROBE_HEAD
                   "{ float a = x[x_at + 3]; y[y_at] = as_int(fma(a, a, -(2 * a - 1))); }\n", is_fused},
    [PROBE_DOT8] = {"dot8", "cl_khr_integer_dot_product", 1, 1,
                    "#pragma OPENCL EXTENSION cl_khr_integer_dot_product : enable\n" PROBE_HEAD
                    "{ y[y_at] = dot_4x8packed_ss_int(0xff020303u + (uint)x[x_at], 0x02020202u); }\n", is_dot},
    [PROBE_SUB_GROUP] = {"sub_group", "cl_khr_subgroups", 1, PROBE_LANES,
                         "#pragma OPENCL EXTENSION cl_khr_subgroups : enable\n" PROBE_HEAD
                         "{ y[y_at + get_local_id(0)] = sub_group_reduce_add((int)x[x_at]); }\n", is_sub_group},
    [PROBE_PTX] = {"inline_ptx", "", 1, PROBE_LANES, PROBE_HEAD
                   "{ int n; asm volatile(\"mov.u32 %0, WARP_SZ;\" : \"=r\"(n)); y[y_at + get_local_id(0)] = n; }\n",
                   is_sub_group},
    /* every round all groups write a number and then read another one's */
    [PROBE_STAGES] = {"stages", "", PROBE_PARTS, 1,
                      "__kernel void probe(__global const float *x, long x_at, __global int *y, long y_at, __global int *words)\n"
                      "{ long i; __global int *b = y + y_at, *a = b + 16;\n"
                      "  struct tenon_turn turn = {words, 0, 0, -1, 0, 0};\n"
                      "  for (int round = 0; round <= 100; round++) {\n"
                      "    while ((i = tenon_next(&turn, 16)) >= 0) a[i] = (int)(7 * i) + round;\n"
                      "    while ((i = tenon_next(&turn, 16)) >= 0) b[i] = a[15 - i];\n"
                      "  }\n"
                      "  tenon_leave(&turn); }\n", has_turns},
};

static const float probe_inputs[] = {1, 3, 2047, 1 + 0x1p-12f};

/* Calls the sites' kernels one after the other; false where anything fails. */
static bool run_kernels(struct tenon_cl *cl, int n_sites, int groups, int lanes, struct answer *y)
{
    const void *inputs[] = {probe_inputs};
    int64_t input_bytes = sizeof probe_inputs, output_bytes = sizeof *y;
    struct tenon_cl_buffer buffers[] = {{PROBE_X, 0, input_bytes, sizeof(float)}, {PROBE_Y, 0, output_bytes, sizeof(int32_t)}};
    memset(y, 0, sizeof *y);
    tenon_cl_begin(cl, 0, inputs, &input_bytes, &output_bytes);
    for (int site = 0; site < n_sites; site++) tenon_cl_call(cl, site, groups, lanes, buffers, NULL);
    return tenon_cl_end(cl, (void *[]){y}, NULL) == 0;
}

/* Runs a probe; false with the reason in *why. */
static bool try_probe(const struct probe *probe, int number, struct arena *arena, struct answer *y, const char **why)
{
    bool stages = probe == &probes[PROBE_STAGES];
    const struct tenon_cl_site site = {"probe", probe->name, 2, 0, NULL, stages};
    const char *text = arena_printf(arena, "%s%s", stages ? runtime_opencl_stages_cl : "", probe->text);
    const struct tenon_cl_model model = {.name = probe->name, .text = text, .text_bytes = strlen(text),
                                         .options = "", .n_inputs = 1, .n_outputs = 1, .n_sites = 1, .sites = &site,
                                         .n_words = stages ? 64 + PROBE_PARTS : 0, .lanes_most = probe->lanes};
    struct tenon_cl *cl = tenon_cl_open(&model, NULL, number, false);
    bool ran = run_kernels(cl, 1, probe->groups, probe->lanes, y), right = ran && probe->is_right(y);
    const char *message = tenon_cl_message(cl);
    if (!ran) *why = arena_strndup(arena, message, strcspn(message, "\n"));
    else if (!right) *why = "it gives a wrong answer";
    tenon_cl_close(cl);
    return right;
}

struct pace {
    double seconds[2];
};

static void note_pace(void *context, int site, double start, double end)
{
    struct pace *pace = context;
    if (end - start < pace->seconds[site]) pace->seconds[site] = end - start;
}

/* Whether a chain of fused multiply-adds takes no longer than one of multiplications and additions, some noise apart. */
static bool is_fma_fast(int number)
{
    static const char text[] =
        "#pragma OPENCL FP_CONTRACT OFF\n"
        "#define CHAIN(name, step) __kernel void name(__global const float *x, long x_at, __global int *y, long y_at) \\\n"
        "{ float a = x[x_at + 3], c = x[x_at]; for (int i = 0; i < 20000; i++) c = step; y[y_at] = as_int(c); }\n"
        "CHAIN(fused, fma(c, a, -a))\n"
        "CHAIN(apart, c * a - a)\n";
    const struct tenon_cl_site sites[] = {{"fused", "", 2, 0, NULL, false}, {"apart", "", 2, 0, NULL, false}};
    const struct tenon_cl_model model = {.name = "fma", .text = text, .text_bytes = sizeof text - 1, .options = "",
                                         .n_inputs = 1, .n_outputs = 1, .n_sites = 2, .sites = sites, .lanes_most = 1};
    struct tenon_cl *cl = tenon_cl_open(&model, NULL, number, true);
    struct pace pace = {{1e9, 1e9}};
    struct answer y;
    for (int i = 0; i < 8 && run_kernels(cl, 2, 1, 1, &y); i++) tenon_cl_times(cl, note_pace, &pace);
    bool fast = tenon_cl_status(cl) == 0 && pace.seconds[0] < 1.5 * pace.seconds[1];
    tenon_cl_close(cl);
    return fast;
}

/* A driver's text as one line of printable characters. */
static const char *tidy(struct arena *arena, const char *text)
{
    char *made = arena_strdup(arena, text + strspn(text, " \t"));
    size_t n = strlen(made);
    while (n > 0 && (unsigned char)made[n - 1] <= ' ') made[--n] = 0;
    for (char *c = made; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127) *c = ' ';
    return made;
}

static uint64_t ask_number(cl_device_id device, cl_device_info what)
{
    uint64_t value = 0; /* little-endian: of 4 bytes or 8 */
    return tenon_cl_api.clGetDeviceInfo(device, what, sizeof value, &value, NULL) ? 0 : value;
}

static int64_t within(uint64_t value, int64_t least, int64_t most)
{
    return value < (uint64_t)least ? least : value > (uint64_t)most ? most : (int64_t)value;
}

/* What the driver says of sizes. */
static struct device *read_facts(struct tenon_cl_device device, struct arena *arena)
{
    struct device *record = NEW(arena, struct device);
    char text[TENON_CL_NAME];
    tenon_cl_device_text(device.device, CL_DEVICE_NAME, text);
    record->name = tidy(arena, text);
    tenon_cl_platform_text(device.platform, CL_PLATFORM_NAME, text);
    record->platform = tidy(arena, text);
    tenon_cl_device_text(device.device, CL_DEVICE_VERSION, text);
    record->version = tidy(arena, text);
    record->is_cpu = ask_number(device.device, CL_DEVICE_TYPE) & CL_DEVICE_TYPE_CPU;
    record->compute_units = (int)within(ask_number(device.device, CL_DEVICE_MAX_COMPUTE_UNITS), 1, 1 << 20);
    record->work_group_most = (int)within(ask_number(device.device, CL_DEVICE_MAX_WORK_GROUP_SIZE), 1, 1 << 20);
    /* Work-items of a GPU are scalar, but load four numbers at a time. */
    uint64_t width = sizeof(float) * ask_number(device.device, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT);
    record->vector_bytes = (int)within(width, record->is_cpu ? 4 : 16, 128);
    bool has_local = ask_number(device.device, CL_DEVICE_LOCAL_MEM_TYPE) == CL_LOCAL;
    record->local_bytes = has_local ? within(ask_number(device.device, CL_DEVICE_LOCAL_MEM_SIZE), 0, INT64_C(1) << 40) : 0;
    record->memory_bytes = within(ask_number(device.device, CL_DEVICE_GLOBAL_MEM_SIZE), 1, INT64_C(1) << 50);
    record->allocation_bytes = within(ask_number(device.device, CL_DEVICE_MAX_MEM_ALLOC_SIZE), 1, INT64_C(1) << 50);
    record->sub_group = 1;
    return record;
}

/* The driver's list of extensions, "" where it gives none. */
static const char *read_extensions(cl_device_id device, struct arena *arena)
{
    size_t n = 0;
    if (tenon_cl_api.clGetDeviceInfo(device, CL_DEVICE_EXTENSIONS, 0, NULL, &n) || !n) return "";
    char *list = arena_alloc(arena, n + 1);
    return tenon_cl_api.clGetDeviceInfo(device, CL_DEVICE_EXTENSIONS, n, list, NULL) ? "" : list;
}

static void probe_device(struct tenon_cl_device device, int number, struct arena *arena, struct found_device *found)
{
    struct device *record = read_facts(device, arena);
    const char *extensions = read_extensions(device.device, arena);
    struct text notes = {.arena = arena};
    bool has[N_PROBES];
    found->name = record->name;
    for (int i = 0; i < N_PROBES; i++) {
        const struct probe *probe = &probes[i];
        const char *why = "";
        struct answer y;
        /* Some compilers for CPUs end the process over foreign assembly; groups of a GPU may wait for ever. */
        has[i] = record->is_cpu ? i != PROBE_PTX : i != PROBE_STAGES;
        if (!has[i]) continue;
        has[i] = try_probe(probe, number, arena, &y, &why);
        if (!has[PROBE_PLAIN]) {
            found->notes = arena_printf(arena, "does not run a kernel: %s\n", why);
            return;
        }
        bool listed = *probe->extension && strstr(extensions, probe->extension);
        if (listed && !has[i]) text_printf(&notes, "lists %s, but %s fails: %s\n", probe->extension, probe->name, why);
        if (*probe->extension && !listed && has[i]) text_printf(&notes, "does not list %s, but it works\n", probe->extension);
        if (has[i] && (i == PROBE_SUB_GROUP || i == PROBE_PTX)) record->sub_group = y.word[0];
    }
    record->has_f64 = has[PROBE_F64];
    record->has_f16 = has[PROBE_F16];
    record->has_fma = has[PROBE_FMA] && is_fma_fast(number);
    record->has_dot8 = has[PROBE_DOT8];
    record->has_inline_ptx = has[PROBE_PTX];
    record->has_stages = has[PROBE_STAGES];
    found->record = record;
    found->notes = text_string(&notes);
}

bool devices_probe(int only, struct arena *arena, struct found_devices *found, const char **why)
{
    struct tenon_cl_device list[TENON_CL_DEVICES];
    char message[1024];
    found->n = tenon_cl_list(list, message, sizeof message);
    if (!found->n) {
        *why = arena_strdup(arena, message);
        return false;
    }
    found->at = NEW_ARRAY(arena, struct found_device, found->n);
    /* Probes that do not compile are no errors, but drivers write to stderr about them. */
    int kept = dup(2), nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    fflush(stderr);
    if (kept >= 0 && nowhere >= 0) dup2(nowhere, 2);
    for (int i = 0; i < found->n; i++) {
        found->at[i] = (struct found_device){NULL, "", ""};
        if (only < 0 || only == i) probe_device(list[i], i, arena, &found->at[i]);
    }
    if (kept >= 0) dup2(kept, 2), close(kept);
    if (nowhere >= 0) close(nowhere);
    return true;
}

#else
bool devices_probe(int only, struct arena *arena, struct found_devices *found, const char **why)
{
    (void)only, (void)arena;
    found->n = 0;
    *why = "this tenon was built without OpenCL (CMake option TENON_OPENCL)";
    return false;
}
#endif
