/* A program as C11: one static function per kernel, and NAME_run, which calls them in order.
 *
 * The text is readable on purpose: over each kernel stand the model's layers, shapes, bytes and operations. Nothing
 * is chosen here; statements and expressions are printed by cfamily.c, helpers by c_helpers.c.
 */
#include "c_helpers.h"
#include "interface.h"
#include "opencl.h"

#include <string.h>

static void kernel_head(struct cfamily *printer, const struct kernel_facts *facts)
{
    text_printf(printer->out, "static %s%s %s", printer->target->vector_bytes ? "__attribute__((noinline)) " : "",
                facts->can_fail ? "int" : "void", facts->name);
}

/* Sizes fit 32 bits on a microcontroller, where nothing has to be aligned beyond 8 bytes and there is no libc. */
#define C_DIALECT(small, index_type, alignment, copy)                                                                       \
    {                                                                                                                  \
        .name = "C",                                                                                                   \
        .small_index = small,                                                                                          \
        .scalar = {[DT_f64] = "double",                                                                                \
                   [DT_f32] = "float",                                                                                 \
                   [DT_f16] = "uint16_t",                                                                              \
                   [DT_bf16] = "uint16_t",                                                                             \
                   [DT_i8] = "int8_t",                                                                                 \
                   [DT_i16] = "int16_t",                                                                               \
                   [DT_i32] = "int32_t",                                                                               \
                   [DT_i64] = "int64_t",                                                                               \
                   [DT_u8] = "uint8_t",                                                                                \
                   [DT_u16] = "uint16_t",                                                                              \
                   [DT_u32] = "uint32_t",                                                                              \
                   [DT_u64] = "uint64_t",                                                                              \
                   [DT_bool] = "bool",                                                                                 \
                   [DT_index] = index_type},                                                                           \
        .bool_in_memory = "uint8_t",                                                                                   \
        .restrict_word = "restrict ",                                                                                  \
        .global_space = "",                                                                                            \
        .local_array = alignment,                                                                                      \
        .infinity = "INFINITY",                                                                                        \
        .nan = "NAN",                                                                                                  \
        .float_suffix = "f",                                                                                           \
        .fail = "return ",                                                                                             \
        .fail_end = ";",                                                                                               \
        .kernel_head = kernel_head,                                                                                    \
        .first_parameter = "",                                                                                         \
        .next_parameter = ", ",                                                                                        \
        .parameter_const = "",                                                                                         \
        .kernel_end = "    return 0;\n",                                                                               \
        .bits = "$S b;\n    " copy "(&b, &a, sizeof b);\n    return b;",                                               \
        .vector_helper = c_vector_print,                                                                               \
    }
const struct dialect c_dialect = C_DIALECT(false, "int64_t", "_Alignas(64) ", "memcpy");
const struct dialect c_small_dialect = C_DIALECT(true, "int32_t", "_Alignas(8) ", "__builtin_memcpy");
#undef C_DIALECT

struct c_state {
    const struct emission *emission;
    int version;
    const char *prefix; /* of functions' names */
    struct interface_names names;
    LIST(const char *) externs; /* extern functions called */
    bool in_part;               /* printing what several workers run */
    const struct stmt **calls;  /* of main, by number */
    int n_calls;
};

/* Calls */

/* What happens where `code` is not 0: one of several workers goes on to the next barrier, where all stop. */
static void put_failure(struct cfamily *printer)
{
    const struct c_state *state = printer->user;
    cfamily_line(printer);
    text_add(printer->out, state->in_part ? "if (code) team->fail(team, tenon_worker, code);\n" : "if (code) return code;\n");
}

static void need_extern(struct cfamily *printer, const char *name)
{
    struct c_state *state = printer->user;
    for (int i = 0; i < state->externs.n; i++)
        if (!strcmp(state->externs.at[i], name)) return;
    LIST_PUSH(printer->arena, &state->externs, name);
}

static void put_extern_scalars(struct cfamily *printer, const struct stmt *call)
{
    struct text *out = printer->out;
    cfamily_line(printer);
    text_add(out, "const int64_t scalars[] = {");
    for (int i = 0; i < call->n_scalars; i++) {
        if (i) text_add(out, ", ");
        cfamily_expr(printer, call->scalars[i], PREC_TERNARY);
    }
    text_add(out, call->n_scalars ? "};\n" : "0};\n");
}

static void put_extern_call(struct cfamily *printer, const struct stmt *s)
{
    struct text *out = printer->out;
    need_extern(printer, s->extern_name);
    text_add(out, "{\n");
    printer->indent++;
    cfamily_line(printer);
    text_add(out, "void *const buffers[] = {");
    for (int i = 0; i < s->n_args; i++) {
        text_add(out, i ? ", (void *)(uintptr_t)(" : "(void *)(uintptr_t)(");
        cfamily_argument(printer, &s->args[i]);
        text_add(out, ")");
    }
    text_add(out, s->n_args ? "};\n" : "0};\n");
    put_extern_scalars(printer, s);
    cfamily_line(printer);
    text_printf(out, "const int code = tenon_%s(buffers, scalars);\n", s->extern_name);
    put_failure(printer);
    printer->indent--;
    cfamily_line(printer);
    text_add(out, "}\n");
}

static void put_call(struct cfamily *printer, const struct stmt *s)
{
    const struct c_state *state = printer->user;
    struct text *out = printer->out;
    cfamily_share_call(printer, s);
    cfamily_line(printer);
    if (state->emission->opencl && s->kernel && s->kernel->side != SIDE_HOST) {
        int site = 0;
        while (state->calls[site] != s) site++;
        opencl_put_call(printer, state->emission, s, site);
        return;
    }
    if (!s->kernel) {
        put_extern_call(printer, s);
        return;
    }
    bool fails = cfamily_facts(printer, s->kernel)->can_fail;
    if (fails) {
        text_add(out, "{\n");
        printer->indent++;
        cfamily_line(printer);
        text_add(out, "const int code = ");
    }
    cfamily_call(printer, s);
    if (!fails) return;
    put_failure(printer);
    printer->indent--;
    cfamily_line(printer);
    text_add(out, "}\n");
}

/* NAME_run; where several workers run it, NAME_part, and what calls that is interface.c's. */

static void put_barrier(struct cfamily *printer, const struct stmt *stmt)
{
    const struct c_state *state = printer->user;
    if (stmt->code && !state->emission->opencl) return; /* one memory: what a device would bring is there */
    struct text *out = printer->out;
    cfamily_line(printer);
    text_add(out, "{\n");
    printer->indent++;
    cfamily_line(printer);
    if (stmt->code) text_printf(out, "const int code = tenon_cl_wait(tenon_cl, %d);\n", stmt->code - 1);
    else text_add(out, "const int code = team->barrier(team, tenon_worker);\n");
    cfamily_line(printer);
    text_add(out, "if (code) return code;\n");
    printer->indent--;
    cfamily_line(printer);
    text_add(out, "}\n");
}

static const char *main_buffer(struct cfamily *printer, const struct buffer *buf)
{
    struct c_state *state = printer->user;
    const char *type = cfamily_memory_type(printer, buf->dt);
    struct text text = {.arena = printer->arena};
    if (state->emission->opencl && buffer_is_apart(buf)) return opencl_read(printer, state->emission, buf);
    switch (buf->space) {
    case SPACE_INPUT: return arena_printf(printer->arena, "in->%s", state->names.input[buf->position]);
    case SPACE_OUTPUT: return arena_printf(printer->arena, "out->%s", state->names.output[buf->position]);
    case SPACE_WEIGHT:
        return arena_printf(printer->arena, "((const %s *)(%s_weights + %lld))", type, state->names.model,
                            (long long)state->emission->weights.offset_bytes[state->version][buf->id]);
    case SPACE_ARENA:
        if (buf->offset_bytes == -1) bug("c_print", "buffer %s has no place in the arena", buf->name);
        text_printf(&text, "((%s *)(memory + ", type);
        cfamily_dim(printer, &text, buf->offset_bytes, printer->symbol_name, PREC_ADD + 1);
        text_add(&text, "))");
        return text_string(&text);
    case SPACE_PARAM:
    case SPACE_LOCAL:
    case SPACE_GROUP: break;
    }
    bug("c_print", "buffer %s has no declaration here", buf->name);
}

static void put_part_head(struct text *out, const char *prefix, const char *model)
{
    text_printf(out,
                "static int %spart(const void *inputs, const void *outputs, void *arena, struct tenon_team *team,\n"
                "                   int64_t tenon_worker, int64_t tenon_workers)\n{\n"
                "    const struct %s_inputs *const in = inputs;\n    const struct %s_outputs *const out = outputs;\n",
                prefix, model, model);
}

static void put_symbols(struct cfamily *printer, struct text *out)
{
    const struct c_state *state = printer->user;
    for (int i = 0; i < dims_n_symbols(printer->prog->dims); i++) {
        text_printf(out, "    const int64_t %s = in->%s;\n", printer->symbol_name[i], state->names.symbol[i]);
        text_printf(out, "    (void)%s;\n", printer->symbol_name[i]);
    }
}

/* Without a caller's arena. */
static void put_freestanding_head(const struct c_state *state, struct text *out, bool memory)
{
    const char *model = state->names.model;
    if (memory)
        text_printf(out, "static _Alignas(8) unsigned char %s_arena[%lld];\n\n", model, (long long)state->emission->arena_bytes);
    text_printf(out, "int %s_run(const struct %s_inputs *in, const struct %s_outputs *out)\n{\n", model, model, model);
}

/* Main that puts kernels into a device's queue. */
static void put_main_head(struct cfamily *printer, struct text *out)
{
    const struct c_state *state = printer->user;
    text_printf(out, "static int %smain(struct tenon_cl *tenon_cl, const struct %s_inputs *in, const struct %s_outputs *out, unsigned char *memory)\n{\n"
                "    (void)tenon_cl, (void)in, (void)out, (void)memory;\n",
                state->prefix, state->names.model, state->names.model);
    put_symbols(printer, out);
}

static void put_run(struct cfamily *printer)
{
    struct c_state *state = printer->user;
    const struct prog *prog = printer->prog;
    struct text *final = printer->out, body = {.arena = printer->arena};
    const char *model = state->names.model;
    int mark = cfamily_enter(printer), n_symbols = dims_n_symbols(prog->dims);
    struct buffer_set used = cfamily_buffers(printer, prog->main);
    printer->n_temporaries = 0;
    cfamily_name(printer, "memory");
    memset(printer->symbol_used, 0, (size_t)n_symbols * sizeof *printer->symbol_used);
    for (int i = 0; i < n_symbols; i++)
        printer->symbol_name[i] = cfamily_name(printer, dims_symbol(prog->dims, i)->name);
    printer->out = &body;
    printer->indent = 1;
    state->in_part = prog->threads > 0;
    if (prog->threads) {
        printer->var_name[prog->worker->id] = "tenon_worker";
        printer->var_name[prog->workers->id] = "tenon_workers";
    }
    cfamily_locals(printer, &used);
    cfamily_stmts(printer, prog->main);
    text_add(&body, "    return 0;\n}\n");
    printer->out = final;

    if (state->emission->opencl) {
        put_main_head(printer, final);
        text_add_n(final, body.at, body.n);
        cfamily_leave(printer, mark);
        return;
    }
    bool in = false, out = false, memory = false;
    for (int i = 0; i < used.all.n; i++) {
        in |= used.all.at[i]->space == SPACE_INPUT;
        out |= used.all.at[i]->space == SPACE_OUTPUT;
        memory |= used.all.at[i]->space == SPACE_ARENA;
    }
    if (prog->threads) put_part_head(final, state->prefix, model);
    else if (state->emission->freestanding) put_freestanding_head(state, final, memory);
    else
        text_printf(final, "%sint %srun(const struct %s_inputs *in, const struct %s_outputs *out, void *arena)\n{\n",
                    state->emission->n_versions > 1 ? "static " : "", state->prefix, model, model);
    if (memory) text_printf(final, "    unsigned char *const memory = %s;\n", state->emission->freestanding ? arena_printf(printer->arena, "%s_arena", model) : "arena");
    else if (!state->emission->freestanding) text_add(final, "    (void)arena;\n");
    put_symbols(printer, final);
    if (!in) text_add(final, "    (void)in;\n");
    if (!out) text_add(final, "    (void)out;\n");
    if (prog->threads) text_add(final, "    (void)team, (void)tenon_worker, (void)tenon_workers;\n");
    text_add_n(final, body.at, body.n);
    cfamily_leave(printer, mark);
}

static void reserve_exports(struct cfamily *printer, const char *model, const char *prefix)
{
    static const char *const suffix[] = {"run",    "model",   "plain",       "load",        "weights",
                                         "inputs", "outputs", "arena_bytes", "run_checked", "part",
                                         "main",   "run_on",  "open",        "close",       "message", "cl",          "times",
                                         "kernels", "kernels_end", "arena"};
    for (size_t i = 0; i < sizeof suffix / sizeof *suffix; i++)
        cfamily_name(printer, arena_printf(printer->arena, "%s_%s", model, suffix[i]));
    cfamily_name(printer, arena_printf(printer->arena, "%srun", prefix));
    cfamily_name(printer, arena_printf(printer->arena, "%spart", prefix));
}

/* The text of a version, apart: what it needs declared goes between its helpers and its functions. */
struct version_text {
    struct text helpers, body;
};

static void make_version(const struct emission *emission, int version, struct c_state *state, struct version_text *text)
{
    struct arena *arena = text->body.arena;
    const struct version *own = &emission->versions[version];
    struct cfamily *printer = NEW(arena, struct cfamily);
    state->version = version;
    state->prefix = own->prefix;
    state->in_part = false;
    printer->prog = (struct prog *)(uintptr_t)own->prog;
    printer->target = own->target->host ? own->target->host : own->target;
    printer->dialect = printer->target->is_small || emission->freestanding ? &c_small_dialect : &c_dialect;
    printer->helper_prefix = "";
    printer->freestanding = emission->freestanding;
    if (emission->n_versions > 1) {
        printer->type_prefix = arena_printf(arena, "v%d_", own->target->level);
        printer->feature_prefix = "TENON";
    }
    printer->arena = arena;
    printer->out = &text->body;
    printer->call = put_call;
    printer->barrier = put_barrier;
    printer->buffer = main_buffer;
    printer->user = state;
    interface_names(own->prog, arena, &state->names);
    cfamily_start(printer);
    cfamily_scan(printer, own->prog->main);
    reserve_exports(printer, state->names.model, own->prefix);
    cfamily_gather(printer, own->prefix);
    for (int i = 0; i < printer->facts.n; i++)
        if (!emission->opencl || printer->facts.at[i].kernel->side == SIDE_HOST) cfamily_kernel(printer, &printer->facts.at[i]);
    state->calls = prog_calls(own->prog, arena, &state->n_calls);
    put_run(printer);
    if (emission->opencl) opencl_put_host(printer, emission, &state->names, state->calls, state->n_calls);
    c_helpers_print(printer, &text->helpers);
}

static void put_declarations(const struct c_state *state, struct text *code)
{
    const struct emission *emission = state->emission;
    const char *hidden = emission->versions->target->vector_bytes ? " __attribute__((visibility(\"hidden\")))" : "";
    if (emission->weights.n_bytes && !emission->freestanding)
        text_printf(code,
                    emission->weights_file ? "extern const unsigned char *%s_weights%s;\n"
                                           : "extern const unsigned char %s_weights[]%s;\n",
                    state->names.model, hidden);
    for (int i = 0; i < state->externs.n; i++)
        text_printf(code, "int tenon_%s(void *const *buffers, const int64_t *scalars);\n", state->externs.at[i]);
    text_add(code, "\n");
}

void c_print(const struct emission *emission, struct text *code)
{
    struct arena *arena = arena_new();
    struct c_state state = {.emission = emission};
    struct version_text *texts = NEW_ARRAY(arena, struct version_text, emission->n_versions);
    bool several = emission->n_versions > 1;
    for (int i = 0; i < emission->n_versions; i++) {
        texts[i].helpers.arena = texts[i].body.arena = arena;
        make_version(emission, i, &state, &texts[i]);
    }
    if (several) c_versions_head(code);
    if (several) put_declarations(&state, code);
    for (int i = 0; i < emission->n_versions; i++) {
        if (several) c_version_begin(emission->versions[i].target, code);
        text_add_n(code, texts[i].helpers.at, texts[i].helpers.n);
        if (!several) put_declarations(&state, code);
        text_add_n(code, texts[i].body.at, texts[i].body.n);
        if (several) c_version_end(emission->versions[i].target, code);
    }
    arena_free(arena);
}
