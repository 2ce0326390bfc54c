/* Kernels as OpenCL C 1.2, for any device: each kernel of the program is a __kernel function, its group and lane loops
 * (pass bind) are the work-items.
 *
 * Buffers are parts of a few memories: a kernel takes, for every buffer, the memory and the element at which the buffer
 * begins. Then come the scalars, the dimensions' symbols, and for kernels that can fail the run's status word. Nothing
 * is chosen here: this is a dialect of cfamily.c and cfamily_kernel.c. The host's text is opencl_host.c.
 */
#include "c_helpers.h"
#include "opencl.h"

static void kernel_head(struct cfamily *printer, const struct kernel_facts *facts)
{
    text_printf(printer->out, "__kernel __attribute__((reqd_work_group_size(%lld, 1, 1))) void %s",
                (long long)kernel_launch(facts->kernel).lanes, facts->name);
}

static const struct dialect opencl_dialect = {
    .name = "OpenCL C",
    .scalar = {[DT_f64] = "double",
               [DT_f32] = "float",
               [DT_f16] = "ushort",
               [DT_bf16] = "ushort",
               [DT_i8] = "char",
               [DT_i16] = "short",
               [DT_i32] = "int",
               [DT_i64] = "long",
               [DT_u8] = "uchar",
               [DT_u16] = "ushort",
               [DT_u32] = "uint",
               [DT_u64] = "ulong",
               [DT_bool] = "bool",
               [DT_index] = "long"},
    .bool_in_memory = "uchar",
    .restrict_word = "restrict ",
    .global_space = "__global ",
    .local_array = "",
    .group_array = "__local __attribute__((aligned(16))) ",
    .infinity = "INFINITY",
    .nan = "NAN",
    .float_suffix = "",
    .fail = "{ *tenon_status = ",
    .fail_end = "; return; }",
    .kernel_head = kernel_head,
    .first_parameter = "\n    ",
    .next_parameter = ",\n    ",
    .parameter_const = "const ",
    .kernel_end = "",
    .has_memories = true,
    .has_vectors = true,
    .has_work_items = true,
    .bits = "return as_$S(a);",
    .vector_helper = opencl_vector_print,
};

/* ---- kernels ---- */

static void no_call(struct cfamily *printer, const struct stmt *stmt)
{
    (void)printer;
    bug("opencl", "a kernel calls %s", stmt->kernel ? stmt->kernel->name : stmt->extern_name);
}

static void put_barrier(struct cfamily *printer, const struct stmt *stmt)
{
    (void)stmt;
    cfamily_line(printer);
    text_add(printer->out, "barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);\n");
}

static const char *no_buffer(struct cfamily *printer, const struct buffer *buf)
{
    (void)printer;
    bug("opencl", "buffer %s is not the kernel's", buf->name);
}

static void put_head(struct text *out, const char *model, bool f64)
{
    text_printf(out, "/* The kernels of %s, compiled by tenon. Their host is the C text beside them. */\n", model);
    if (f64) text_add(out, "#pragma OPENCL EXTENSION cl_khr_fp64 : enable\n");
    text_add(out, "#pragma OPENCL FP_CONTRACT OFF\n");
    static const char *const names[][2] = {{"INT8", "CHAR"}, {"INT16", "SHRT"}, {"INT32", "INT"}, {"INT64", "LONG"}};
    for (int i = 0; i < 4; i++)
        text_printf(out, "#define %s_MIN %s_MIN\n#define %s_MAX %s_MAX\n#define U%s_MAX U%s_MAX\n", names[i][0], names[i][1],
                    names[i][0], names[i][1], names[i][0], names[i][1]);
    text_add(out, "#define INT64_C(v) v##L\n#define UINT64_C(v) v##UL\n\n");
}

void opencl_print(const struct emission *emission, struct text *kernels)
{
    struct arena *arena = arena_new();
    struct text body = {.arena = arena};
    struct cfamily printer = {
        .prog = (struct prog *)(uintptr_t)emission->versions->prog,
        .dialect = &opencl_dialect,
        .target = emission->versions->target,
        .helper_prefix = "",
        .arena = arena,
        .out = &body,
        .call = no_call,
        .barrier = put_barrier,
        .buffer = no_buffer,
    };
    cfamily_start(&printer);
    cfamily_gather(&printer, emission->versions->prefix);
    for (int i = 0; i < printer.facts.n; i++)
        if (printer.facts.at[i].kernel->side == SIDE_DEVICE) cfamily_kernel(&printer, &printer.facts.at[i]);
    put_head(kernels, emission->name, emission->opencl->f64);
    helpers_close(&printer);
    helpers_print(&printer, kernels);
    text_add_n(kernels, body.at, body.n);
    arena_free(arena);
}
