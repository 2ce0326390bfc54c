/* Kernels as OpenCL C 1.2, for any device: each kernel of the program is a __kernel function, its group and lane loops
 * (pass bind) are the work-items.
 *
 * Buffers are parts of a few memories: a kernel takes, for every buffer, the memory and the element at which the buffer
 * begins. Then come the scalars, the dimensions' symbols, and for kernels that can fail the run's status word. Nothing
 * is chosen here; statements and expressions are printed by cfamily.c. The host's text is opencl_host.c.
 */
#include "c_helpers.h"
#include "opencl.h"

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
    .has_vectors = true,
    .has_work_items = true,
    .bits = "return as_$S(a);",
    .vector_helper = opencl_vector_print,
};

/* ---- what the kernels need of a device ---- */

static bool expr_has(struct cfamily *printer, ex e, enum dtype dt)
{
    if (!e || cfamily_seen(printer, e)) return false;
    bool found = e->dt == dt;
    for (int i = 0; i < 3 && !found; i++) found = expr_has(printer, e->arg[i], dt);
    return found;
}

static bool list_has(struct cfamily *printer, const struct stmt *list, enum dtype dt)
{
    for (const struct stmt *s = list; s; s = s->next)
        if (expr_has(printer, s->a, dt) || expr_has(printer, s->b, dt) || expr_has(printer, s->c, dt) ||
            list_has(printer, s->body, dt) || list_has(printer, s->other, dt))
            return true;
    return false;
}

static bool kernels_have(struct cfamily *printer, enum dtype dt)
{
    const struct prog *prog = printer->prog;
    bool found = false;
    printer->statement++;
    for (int i = 0; i < prog->kernels.n && !found; i++) {
        const struct kernel *kernel = prog->kernels.at[i];
        if (kernel->side != SIDE_DEVICE) continue;
        found = list_has(printer, kernel->body, dt);
        for (int k = 0; k < kernel->params.n; k++) found |= kernel->params.at[k]->dt == dt;
    }
    return found;
}

/* ---- kernels ---- */

static void comma(struct text *out, bool *first)
{
    text_add(out, *first ? "\n    " : ",\n    ");
    *first = false;
}

static void put_params(struct cfamily *printer, const struct kernel_facts *facts, const char **memory, const char **at)
{
    const struct kernel *kernel = facts->kernel;
    const struct dialect *dialect = printer->dialect;
    struct text *out = printer->out;
    bool first = true;
    for (int i = 0; i < kernel->params.n; i++) {
        const struct buffer *buf = kernel->params.at[i];
        printer->buffer_name[buf->id] = cfamily_name(printer, buf->name);
        memory[i] = cfamily_name(printer, arena_printf(printer->arena, "%s_memory", buf->name));
        at[i] = cfamily_name(printer, arena_printf(printer->arena, "%s_at", buf->name));
        comma(out, &first);
        text_printf(out, "%s%s%s *%s%s, const long %s", dialect->global_space, facts->written[i] ? "" : "const ",
                    cfamily_memory_type(printer, buf->dt), facts->overlaps[i] ? "" : dialect->restrict_word, memory[i], at[i]);
    }
    for (int i = 0; i < kernel->scalars.n; i++) {
        const struct var *var = kernel->scalars.at[i];
        const char *name = printer->var_name[var->id] = cfamily_name(printer, var->name);
        comma(out, &first);
        text_printf(out, "const %s %s", cfamily_memory_type(printer, var->dt), name);
    }
    for (int i = 0; i < dims_n_symbols(printer->prog->dims); i++) {
        if (!facts->symbols[i]) continue;
        printer->symbol_name[i] = cfamily_name(printer, dims_symbol(printer->prog->dims, i)->name);
        comma(out, &first);
        text_printf(out, "const long %s", printer->symbol_name[i]);
    }
    if (facts->can_fail) {
        comma(out, &first);
        text_printf(out, "%sint *tenon_status", dialect->global_space);
    }
}

static void put_kernel(struct cfamily *printer, const struct kernel_facts *facts)
{
    const struct kernel *kernel = facts->kernel;
    struct text *out = printer->out;
    int mark = cfamily_enter(printer);
    const char **memory = NEW_ARRAY(printer->arena, const char *, kernel->params.n + 1);
    const char **at = NEW_ARRAY(printer->arena, const char *, kernel->params.n + 1);
    struct buffer_set used = cfamily_buffers(printer, kernel->body);
    struct launch launch = opencl_launch(kernel);
    printer->n_temporaries = 0;
    cfamily_kernel_comment(printer, facts);
    text_printf(out, "__kernel __attribute__((reqd_work_group_size(%lld, 1, 1))) void %s(", (long long)launch.lanes,
                facts->name);
    put_params(printer, facts, memory, at);
    text_add(out, ")\n{\n");
    printer->indent = 1;
    for (int i = 0; i < kernel->params.n; i++) {
        const struct buffer *buf = kernel->params.at[i];
        if (!used.seen[buf->id]) continue;
        cfamily_line(printer);
        text_printf(out, "%s%s%s *const %s = %s + %s;\n", printer->dialect->global_space, facts->written[i] ? "" : "const ",
                    cfamily_memory_type(printer, buf->dt), printer->buffer_name[buf->id], memory[i], at[i]);
    }
    cfamily_locals(printer, &used);
    cfamily_stmts(printer, kernel->body);
    text_add(out, "}\n\n");
    cfamily_leave(printer, mark);
}

struct launch opencl_launch(const struct kernel *kernel)
{
    struct launch launch = {.lanes = 1};
    const struct stmt *s = kernel->body;
    if (!s || s->kind != STMT_FOR || s->loop != LOOP_GROUP0) return launch;
    launch.groups = s->b;
    s = s->body;
    while (s && s->kind == STMT_LET) s = s->next; /* what is the same for all lanes */
    if (s && s->kind == STMT_FOR && s->loop == LOOP_LANE0) launch.lanes = s->b->imm;
    return launch;
}

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

void opencl_print(const struct emission *emission, struct text *kernels, struct opencl_facts *facts)
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
    facts->f64 = kernels_have(&printer, DT_f64);
    facts->lanes_most = 1;
    for (int i = 0; i < printer.facts.n; i++) {
        if (printer.facts.at[i].kernel->side != SIDE_DEVICE) continue;
        put_kernel(&printer, &printer.facts.at[i]);
        int64_t lanes = opencl_launch(printer.facts.at[i].kernel).lanes;
        if (lanes > facts->lanes_most) facts->lanes_most = lanes;
    }
    put_head(kernels, emission->name, facts->f64);
    helpers_close(&printer);
    helpers_print(&printer, kernels);
    text_add_n(kernels, body.at, body.n);
    arena_free(arena);
}

/* ---- the device ---- */

static bool fits(const char *what, int64_t need, int64_t have, const struct device *device, struct diag *diag)
{
    return need <= have || diag_error(diag, (struct place){0}, "device %s: %s: %lld bytes needed, %lld there", device->name,
                                      what, (long long)need, (long long)have);
}

/* A function in C whose buffers are where it cannot reach them. */
static bool reaches_all(const struct stmt *list, struct diag *diag)
{
    bool good = true;
    for (; list; list = list->next) {
        bool apart = false;
        for (int i = 0; list->kind == STMT_CALL && !list->kernel && i < list->n_args; i++)
            apart |= buffer_is_apart(list->args[i].buf);
        if (apart) good = diag_error(diag, list->place, "%s is a function in C: pass place puts it on the host", list->extern_name);
        good = reaches_all(list->body, diag) && reaches_all(list->other, diag) && good;
    }
    return good;
}

bool opencl_fits(const struct emission *emission, const struct opencl_facts *facts, const struct device *device, struct diag *diag)
{
    const struct prog *prog = emission->versions->prog;
    int64_t arena = dim_lo(prog->dims, prog->arena_bytes), weights = emission->weights.n_bytes; /* at least */
    bool good = reaches_all(prog->main, diag);
    good = fits("the arena", arena, device->allocation_bytes, device, diag) && good;
    good = fits("the model's weights", weights, device->allocation_bytes, device, diag) && good;
    if (good) good = fits("the model, arena and weights", arena + weights, device->memory_bytes, device, diag);
    if (facts->f64 && !device->has_f64)
        good = diag_error(diag, (struct place){0}, "device %s has no double precision, in which the model computes", device->name);
    if (facts->lanes_most > device->work_group_most)
        good = diag_error(diag, (struct place){0}, "device %s has work-groups of up to %d, and kernels are for %lld", device->name,
                          device->work_group_most, (long long)facts->lanes_most);
    return good;
}
