/* The C text of an OpenCL model's host: what c.c does not print for it.
 *
 * Main is C like any model's (c.c), with calls that put kernels into the device's queue (runtime/opencl.c) and reads
 * that bring a buffer to the host. Round it stand the table of its calls, the model's record and NAME_run_on; the other
 * functions that a user calls are the same for every model (runtime/opencl_model.c).
 */
#include "c_helpers.h"
#include "interface.h"
#include "opencl.h"

#include "embedded_codegen.h"

#include <string.h>

/* ---- in main ---- */

/* "{memory, element, bytes, element's bytes}" */
static void put_place(struct cfamily *printer, const struct emission *emission, const struct buffer *buf, ex offset)
{
    struct text *out = printer->out;
    const struct prog *prog = printer->prog;
    int64_t bytes = dtype_bytes(buf->dt);
    dim at = 0;
    switch (buf->space) {
    case SPACE_ARENA:
        text_add(out, "{TENON_CL_ARENA, ");
        at = dim_div(prog->dims, buf->offset_bytes, bytes);
        break;
    case SPACE_WEIGHT:
        text_add(out, "{TENON_CL_WEIGHTS, ");
        at = emission->weights.offset_bytes[0][buf->id] / bytes;
        break;
    case SPACE_INPUT: text_printf(out, "{TENON_CL_VALUES + %d, ", buf->position); break;
    case SPACE_OUTPUT: text_printf(out, "{TENON_CL_VALUES + %d, ", prog->inputs.n + buf->position); break;
    case SPACE_PARAM:
    case SPACE_LOCAL:
    case SPACE_GROUP: bug("opencl", "buffer %s in main", buf->name);
    }
    cfamily_dim(printer, out, at, printer->symbol_name, PREC_ADD);
    if (offset && !ex_is_int(offset, 0)) {
        text_add(out, " + ");
        cfamily_expr(printer, offset, PREC_ADD + (offset->op != EX_add));
    }
    text_printf(out, ", %lld*", (long long)bytes);
    cfamily_dim(printer, out, buf->elements, printer->symbol_name, PREC_UNARY);
    if (offset && !ex_is_int(offset, 0)) {
        text_printf(out, " - %lld*", (long long)bytes);
        cfamily_expr(printer, offset, PREC_UNARY);
    }
    text_printf(out, ", %lld}", (long long)bytes);
}

static void put_places(struct cfamily *printer, const struct emission *emission, const struct stmt *call)
{
    cfamily_line(printer);
    text_add(printer->out, "const struct tenon_cl_buffer buffers[] = {");
    for (int i = 0; i < call->n_args; i++) {
        if (i) text_add(printer->out, ", ");
        put_place(printer, emission, call->args[i].buf, call->args[i].offset);
    }
    text_add(printer->out, call->n_args ? "};\n" : "{0, 0, 0, 0}};\n");
}

/* The work-groups of a call: its kernel's number of them, of the scalars that the call passes. */
static void put_groups(struct cfamily *printer, const struct stmt *call)
{
    ex groups = kernel_groups(printer->prog, call->kernel);
    for (int i = 0; i < call->n_scalars; i++)
        if (ex_uses(groups, call->kernel->scalars.at[i]))
            groups = ex_replace(printer->prog, groups, call->kernel->scalars.at[i], call->scalars[i]);
    cfamily_expr(printer, groups, PREC_TERNARY);
}

static void put_scalars(struct cfamily *printer, const struct stmt *call)
{
    const struct kernel_facts *facts = cfamily_facts(printer, call->kernel);
    struct text *out = printer->out;
    bool any = false;
    cfamily_line(printer);
    text_add(out, "const union tenon_cl_scalar scalars[] = {");
    for (int i = 0; i < call->n_scalars; i++, any = true) {
        enum dtype dt = call->scalars[i]->dt;
        text_printf(out, "%s{.%s = ", any ? ", " : "", dt == DT_f32 ? "f32" : dt == DT_f64 ? "f64" : "i64");
        cfamily_expr(printer, call->scalars[i], PREC_TERNARY);
        text_add(out, "}");
    }
    for (int i = 0; i < dims_n_symbols(printer->prog->dims); i++)
        if (facts->symbols[i]) {
            text_printf(out, "%s{.i64 = %s}", any ? ", " : "", printer->symbol_name[i]);
            any = true;
        }
    text_add(out, any ? "};\n" : "{0}};\n");
}

/* All elements of the second argument to the first, of which one is on the host. */
static void put_transfer(struct cfamily *printer, const struct emission *emission, const struct stmt *call, int site)
{
    struct text *out = printer->out;
    bool sends = buffer_is_apart(call->args[0].buf);
    const struct call_arg *there = &call->args[!sends], *here = &call->args[sends];
    cfamily_line(printer);
    text_printf(out, "tenon_cl_%s(tenon_cl, %d, (struct tenon_cl_buffer)", sends ? "send" : "receive", site);
    put_place(printer, emission, there->buf, there->offset);
    text_printf(out, ", %lld*", (long long)dtype_bytes(there->buf->dt));
    cfamily_dim(printer, out, call->kernel->params.at[0]->elements, printer->symbol_name, PREC_UNARY);
    text_add(out, ", ");
    cfamily_argument(printer, here);
    text_add(out, ");\n");
}

static void put_launch(struct cfamily *printer, const struct emission *emission, const struct stmt *call, int site)
{
    put_places(printer, emission, call);
    put_scalars(printer, call);
    cfamily_line(printer);
    text_printf(printer->out, "tenon_cl_call(tenon_cl, %d, ", site);
    put_groups(printer, call);
    text_printf(printer->out, ", %lld, buffers, scalars);\n", (long long)kernel_lanes(call->kernel));
}

void opencl_put_call(struct cfamily *printer, const struct emission *emission, const struct stmt *call, int site)
{
    struct text *out = printer->out;
    text_add(out, "{");
    if (call->origin && *call->origin->layers) {
        text_add(out, " /* ");
        cfamily_comment(out, call->origin->layers);
        text_add(out, " */");
    }
    text_add(out, "\n");
    printer->indent++;
    if (call->kernel->side == SIDE_BOTH) put_transfer(printer, emission, call, site);
    else put_launch(printer, emission, call, site);
    printer->indent--;
    cfamily_line(printer);
    text_add(out, "}\n");
}

const char *opencl_read(struct cfamily *printer, const struct emission *emission, const struct buffer *buf)
{
    struct text text = {.arena = printer->arena}, *out = printer->out;
    text_printf(&text, "((const %s *)tenon_cl_read(tenon_cl, (struct tenon_cl_buffer)", cfamily_memory_type(printer, buf->dt));
    printer->out = &text;
    put_place(printer, emission, buf, NULL);
    printer->out = out;
    text_add(&text, "))");
    return text_string(&text);
}

/* ---- round it ---- */

static void put_sites(struct cfamily *printer, const struct stmt *const *calls, int n, struct text *out)
{
    const struct prog *prog = printer->prog;
    struct text sizes = {.arena = printer->arena}, rows = {.arena = printer->arena};
    int at = 0;
    for (int i = 0; i < n; i++) {
        const struct kernel *kernel = calls[i]->kernel;
        if (!kernel || kernel->side != SIDE_DEVICE) {
            text_printf(&rows, "    {0, \"%s\", %d, 0, 0, false},\n", kernel ? kernel->name : calls[i]->extern_name, calls[i]->n_args);
            continue;
        }
        const struct kernel_facts *facts = cfamily_facts(printer, kernel);
        int first = at;
        for (int k = 0; k < kernel->scalars.n; k++, at++) {
            enum dtype dt = kernel->scalars.at[k]->dt;
            text_printf(&sizes, "%lld, ", (long long)dtype_bytes(dt));
        }
        for (int k = 0; k < dims_n_symbols(prog->dims); k++)
            if (facts->symbols[k]) text_add(&sizes, "8, "), at++;
        text_printf(&rows, "    {\"%s\", ", facts->name);
        text_c_string(&rows, calls[i]->origin && *calls[i]->origin->layers ? calls[i]->origin->layers : kernel->name);
        text_printf(&rows, ", %d, %d, tenon_scalar_bytes + %d, %s},\n", kernel->params.n, at - first, first,
                    cfamily_takes_words(facts) ? "true" : "false");
    }
    text_printf(out, "\nstatic const unsigned char tenon_scalar_bytes[] = {%s0};\nstatic const struct tenon_cl_site tenon_sites[] = {\n%s"
                "    {0, 0, 0, 0, 0, false},\n};\n", text_string(&sizes), text_string(&rows));
}

/* Words of all kernels: the status, and for stages 64 and one for every part of the largest (opencl.c). */
static int64_t count_words(const struct cfamily *printer, bool *can_fail)
{
    int64_t n = 0;
    for (int i = 0; i < printer->facts.n; i++) {
        const struct kernel_facts *facts = &printer->facts.at[i];
        if (facts->kernel->side != SIDE_DEVICE) continue;
        *can_fail |= facts->can_fail;
        if (n == 0) n = facts->can_fail;
        for (const struct stmt *s = facts->kernel->body; kernel_has_stages(facts->kernel) && s; s = s->next) {
            int64_t most = 64 + dim_hi(printer->prog->dims, s->var->hi) + 1;
            if (n < most) n = most;
        }
    }
    return n;
}

static void put_model(struct cfamily *printer, const struct emission *emission, const struct device_needs *needs, int n_sites)
{
    struct text *out = printer->out;
    bool can_fail = false;
    int64_t n_words = count_words(printer, &can_fail);
    const struct prog *prog = emission->versions->prog;
    const char *name = emission->name;
    text_printf(out, "extern const unsigned char %s_kernels[], %s_kernels_end[];\n", name, name);
    text_printf(out, "static struct tenon_cl_model %s_cl = {\n    .name = \"%s\",\n    .text = (const char *)%s_kernels,\n", name, name,
                name);
    text_printf(out, "    .options = \"\",\n    .weight_bytes = %lld,\n    .n_inputs = %d,\n    .n_outputs = %d,\n    .n_sites = %d,\n",
                (long long)emission->weights.n_bytes, prog->inputs.n, prog->outputs.n, n_sites);
    text_printf(out, "    .sites = tenon_sites,\n    .wants_cpu = %s,\n    .needs_f64 = %s,\n    .can_fail = %s,\n    .n_words = %lld,\n    .lanes_most = %lld,\n};\n",
                needs->lanes_most == 1 ? "true" : "false", needs->f64 ? "true" : "false", can_fail ? "true" : "false",
                (long long)n_words, (long long)needs->lanes_most);
}

static void put_bytes(struct cfamily *printer, struct buffer *const *buf, int n, const char *const *symbol, const char *name,
                      struct text *out)
{
    text_printf(out, "    const int64_t %s[] = {", name);
    for (int i = 0; i < n; i++) {
        bool here = buf[i]->space == SPACE_OUTPUT && !buffer_is_apart(buf[i]); /* written by the host itself */
        text_printf(out, "%s%lld*", i ? ", " : "", (long long)(here ? 0 : dtype_bytes(buf[i]->dt)));
        cfamily_dim(printer, out, buf[i]->elements, symbol, PREC_UNARY);
    }
    text_add(out, n ? "};\n" : "0};\n");
}

/* Whether main uses memory of the host's own. */
static bool has_host_memory(const struct prog *prog)
{
    for (int i = 0; i < prog->buffers.n; i++)
        if (prog->buffers.at[i]->space == SPACE_ARENA && prog->buffers.at[i]->side == SIDE_HOST) return true;
    return false;
}

static void put_run_on(struct cfamily *printer, const struct interface_names *names, struct text *out)
{
    const struct prog *prog = printer->prog;
    const char *model = names->model;
    const char **symbol = NEW_ARRAY(printer->arena, const char *, dims_n_symbols(prog->dims) + 1);
    for (int i = 0; i < dims_n_symbols(prog->dims); i++) symbol[i] = arena_printf(printer->arena, "in->%s", names->symbol[i]);
    text_printf(out, "\nint %s_run_on(struct tenon_cl *cl, const struct %s_inputs *in, const struct %s_outputs *out, void **done)\n{\n",
                model, model, model);
    put_bytes(printer, prog->inputs.at, prog->inputs.n, symbol, "input_bytes", out);
    put_bytes(printer, prog->outputs.at, prog->outputs.n, symbol, "output_bytes", out);
    text_add(out, "    const void *const inputs[] = {");
    for (int i = 0; i < prog->inputs.n; i++) text_printf(out, "%sin->%s", i ? ", " : "", names->input[i]);
    text_add(out, prog->inputs.n ? "};\n    void *const outputs[] = {" : "0};\n    void *const outputs[] = {");
    for (int i = 0; i < prog->outputs.n; i++) text_printf(out, "%sout->%s", i ? ", " : "", names->output[i]);
    text_add(out, prog->outputs.n ? "};\n" : "0};\n");
    if (prog->inputs.n == 0) text_add(out, "    (void)in;\n");
    if (prog->outputs.n == 0) text_add(out, "    (void)out;\n");
    text_add(out, "    tenon_cl_begin(cl, ");
    cfamily_dim(printer, out, prog->arena_bytes, symbol, 0);
    text_add(out, ", inputs, input_bytes, output_bytes);\n");
    if (has_host_memory(prog)) {
        text_add(out, "    unsigned char *const memory = tenon_cl_host(cl, ");
        cfamily_dim(printer, out, prog->arena_bytes, symbol, 0);
        text_printf(out, ");\n    const int code = memory ? %s_main(cl, in, out, memory) : 0;\n", model);
    } else text_printf(out, "    const int code = %s_main(cl, in, out, 0);\n", model);
    text_printf(out, "    const int status = tenon_cl_end(cl, outputs, done);\n    return code ? code : status;\n}\n");
}

void opencl_put_host(struct cfamily *printer, const struct emission *emission, const struct interface_names *names,
                     const struct stmt *const *calls, int n_calls)
{
    struct text *out = printer->out;
    put_sites(printer, calls, n_calls, out);
    put_model(printer, emission, emission->opencl, n_calls);
    put_run_on(printer, names, out);
    text_printf(out, "\n#define TENON_CL_OF(word) %s_##word\n#define TENON_CL_DATA ", names->model);
    text_printf(out, emission->weights.n_bytes ? "%s_weights\n" : "NULL\n", names->model);
}

void opencl_put_declarations(const char *model, struct text *out)
{
    for (const char *p = runtime_opencl_user_h, *next; *p; p = next) {
        next = strstr(p, "MODEL");
        if (!next) next = p + strlen(p);
        text_add_n(out, p, (size_t)(next - p));
        if (!*next) return;
        text_add(out, model);
        next += strlen("MODEL");
    }
}
