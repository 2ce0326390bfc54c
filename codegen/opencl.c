/* Kernels as OpenCL C 1.2, for any device: each kernel of the program is a __kernel function, its group and lane loops
 * (pass bind) are the work-items.
 *
 * Buffers are parts of a few memories: a kernel takes, for every buffer, the memory and the element at which the buffer
 * begins. Then come the scalars, the dimensions' symbols, and for kernels that can fail the run's status word. Nothing
 * is chosen here: this is a dialect of cfamily.c and cfamily_kernel.c. The host's text is opencl_host.c.
 */
#include "c_helpers.h"
#include "opencl.h"

#include "embedded_codegen.h"

static void kernel_head(struct cfamily *printer, const struct kernel_facts *facts)
{
    if (facts->is_inner) text_printf(printer->out, "static __attribute__((noinline)) void %s", facts->name);
    else
        text_printf(printer->out, "__kernel __attribute__((reqd_work_group_size(%lld, 1, 1))) void %s",
                    (long long)kernel_lanes(facts->kernel), facts->name);
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
    .stages_begin = "    struct tenon_turn turn = {tenon_status, 0, 0, -1, 0, 0};\n",
    .stage = "tenon_next(&turn, ",
    .stages_end = "    tenon_leave(&turn);\n",
    .bits = "return as_$S(a);",
    .vector_helper = opencl_vector_print,
};

/* ---- kernels ---- */

static void put_call(struct cfamily *printer, const struct stmt *call)
{
    if (!call->kernel) bug("opencl", "a kernel calls %s", call->extern_name);
    cfamily_share_call(printer, call);
    cfamily_line(printer);
    cfamily_call(printer, call);
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
        .call = put_call,
        .barrier = put_barrier,
        .buffer = no_buffer,
    };
    cfamily_start(&printer);
    cfamily_gather(&printer, emission->versions->prefix);
    for (int i = 0; i < printer.facts.n; i++)
        if (printer.facts.at[i].kernel->side == SIDE_DEVICE) cfamily_kernel(&printer, &printer.facts.at[i]);
    text_printf(kernels, "/* The kernels of %s, compiled by tenon. Their host is the C text beside them. */\n", emission->name);
    if (emission->opencl->f64) text_add(kernels, "#pragma OPENCL EXTENSION cl_khr_fp64 : enable\n");
    text_add(kernels, runtime_opencl_head_cl);
    bool stages = false;
    for (int i = 0; i < printer.facts.n; i++) stages |= kernel_has_stages(printer.facts.at[i].kernel);
    if (stages) text_add(kernels, runtime_opencl_stages_cl);
    helpers_close(&printer);
    helpers_print(&printer, kernels);
    text_add_n(kernels, body.at, body.n);
    arena_free(arena);
}
