/* The interface of a compiled model, as C text for both back ends: the header a user includes, the descriptor, the
 * checked entry for generic hosts and the plain call.
 */
#include "interface.h"
#include "opencl.h"

#include <string.h>

static struct cfamily *printer_new(const struct prog *prog, struct arena *arena)
{
    static const struct target none = {.name = "portable"};
    struct cfamily *printer = NEW(arena, struct cfamily);
    printer->prog = (struct prog *)(uintptr_t)prog;
    printer->dialect = &c_dialect;
    printer->target = &none;
    printer->arena = arena;
    printer->helper_prefix = "tenon_";
    cfamily_start(printer);
    return printer;
}

void interface_names(const struct prog *prog, struct arena *arena, struct interface_names *names)
{
    struct cfamily *printer = printer_new(prog, arena);
    int n_symbols = dims_n_symbols(prog->dims);
    names->model = text_identifier(arena, prog->name);
    names->input = NEW_ARRAY(arena, const char *, prog->inputs.n + 1);
    names->output = NEW_ARRAY(arena, const char *, prog->outputs.n + 1);
    names->symbol = NEW_ARRAY(arena, const char *, n_symbols + 1);
    for (int i = 0; i < prog->inputs.n; i++) names->input[i] = cfamily_name(printer, prog->input_names.at[i]);
    for (int i = 0; i < n_symbols; i++) names->symbol[i] = cfamily_name(printer, dims_symbol(prog->dims, i)->name);
    cfamily_leave(printer, 0);
    for (int i = 0; i < prog->outputs.n; i++) names->output[i] = cfamily_name(printer, prog->output_names.at[i]);
}

/* "s" as a C string; octal, since a hexadecimal escape would take in digits behind it */
void text_c_string(struct text *out, const char *s)
{
    text_add(out, "\"");
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c < 32 || c > 126 || c == '"' || c == '\\' || c == '?') text_printf(out, "\\%03o", c);
        else text_add_n(out, s, 1);
    }
    text_add(out, "\"");
}

struct interface {
    const struct emission *emission;
    const struct prog *prog; /* the first version: they differ in nothing that is printed here */
    struct cfamily *printer;
    struct interface_names names;
    const char **symbol_value; /* "symbols[0]" */
    bool is_static;
};

static void interface_start(struct interface *to, const struct emission *emission, struct arena *arena)
{
    const struct prog *prog = emission->versions->prog;
    int n = dims_n_symbols(prog->dims);
    *to = (struct interface){
        .emission = emission, .prog = prog, .printer = printer_new(prog, arena), .is_static = n == 0};
    interface_names(prog, arena, &to->names);
    to->symbol_value = NEW_ARRAY(arena, const char *, n + 1);
    for (int i = 0; i < n; i++) to->symbol_value[i] = arena_printf(arena, "symbols[%d]", i);
    if (emission->arena_bytes == -1) bug("interface", "the program has no memory plan");
}

static const char *value_type(const struct interface *model, const struct buffer *buf)
{
    return cfamily_memory_type(model->printer, buf->dt);
}

/* Header */

static void put_field(const struct interface *model, struct text *out, const struct buffer *buf, const char *field,
                      const char *name)
{
    bool input = buf->space == SPACE_INPUT;
    text_printf(out, "    %s%s *%s; /* ", input ? "const " : "", value_type(model, buf), field);
    if (strcmp(field, name) != 0) {
        text_add(out, "\"");
        cfamily_comment(out, name);
        text_add(out, "\" ");
    }
    struct text type = {.arena = model->printer->arena};
    type_print(model->prog->dims, &type, &buf->type);
    cfamily_comment(out, text_string(&type));
    text_add(out, " */\n");
}

static int64_t worst_arena(const struct interface *model)
{
    int64_t most = dim_hi(model->prog->dims, model->emission->arena_bytes);
    return most >= DIM_HUGE ? INT64_MAX : most;
}

static void put_structs(const struct interface *model, struct text *out)
{
    const struct prog *prog = model->prog;
    const char *name = model->names.model;
    text_printf(out, "struct %s_inputs {\n", name);
    for (int i = 0; i < prog->inputs.n; i++)
        put_field(model, out, prog->inputs.at[i], model->names.input[i], prog->input_names.at[i]);
    for (int i = 0; i < dims_n_symbols(prog->dims); i++) {
        const struct symbol *symbol = dims_symbol(prog->dims, i);
        text_printf(out, "    int64_t %s; /* %lld .. ", model->names.symbol[i], (long long)symbol->lo);
        if (symbol->hi >= DIM_HUGE) text_add(out, "any */\n");
        else text_printf(out, "%lld */\n", (long long)symbol->hi);
    }
    if (prog->inputs.n == 0 && model->is_static) text_add(out, "    char none;\n");
    text_printf(out, "};\nstruct %s_outputs {\n", name);
    for (int i = 0; i < prog->outputs.n; i++)
        put_field(model, out, prog->outputs.at[i], model->names.output[i], prog->output_names.at[i]);
    if (prog->outputs.n == 0) text_add(out, "    char none;\n");
    text_add(out, "};\n");
}

void interface_structs(const struct emission *emission, struct text *out)
{
    struct interface model;
    interface_start(&model, emission, out->arena);
    put_structs(&model, out);
}

static void put_plain_params(const struct interface *model, struct text *out)
{
    const struct prog *prog = model->prog;
    for (int i = 0; i < prog->inputs.n; i++)
        text_printf(out, "%sconst %s *in%d", i ? ", " : "", value_type(model, prog->inputs.at[i]), i);
    for (int i = 0; i < prog->outputs.n; i++)
        text_printf(out, "%s%s *out%d", prog->inputs.n + i ? ", " : "", value_type(model, prog->outputs.at[i]), i);
    if (prog->inputs.n + prog->outputs.n == 0) text_add(out, "void");
}

const char *interface_upper(struct arena *arena, const char *name)
{
    char *upper = arena_strdup(arena, name);
    for (char *c = upper; *c; c++)
        if (*c >= 'a' && *c <= 'z') *c = (char)(*c - 'a' + 'A');
    return upper;
}

static void put_header(const struct interface *model, struct text *out)
{
    const char *name = model->names.model;
    const char *upper = interface_upper(model->printer->arena, name);
    text_printf(out, "#ifndef MODEL_%s_H\n#define MODEL_%s_H\n\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n",
                upper, upper);
    put_structs(model, out);
    int64_t worst = worst_arena(model);
    text_printf(out, "\n/* Bytes of working memory, aligned to 64%s */\n",
                model->is_static ? "." : ": for given symbols, in the order above; and for the largest.");
    if (worst != INT64_MAX) text_printf(out, "#define %s_ARENA_BYTES %lld\n", upper, (long long)worst);
    text_printf(out, "int64_t %s_arena_bytes(const int64_t *symbols);\n\n", name);
    text_printf(out, "/* Returns 0, or the code of a failed check on the data. %s */\n",
                model->emission->opencl    ? "Runs on an OpenCL device, one run at a time;\n * arena may be NULL."
                : model->emission->threads ? "Allocates nothing but its threads, at the first run;\n * reentrant with different arenas."
                                           : "Allocates nothing; reentrant with different arenas.");
    text_printf(out, "int %s_run(const struct %s_inputs *in, const struct %s_outputs *out, void *arena);\n\n", name,
                name, name);
    if (model->emission->opencl) opencl_put_declarations(name, out);
    text_printf(out, "extern const struct tenon_model %s_model;\n", name);
    if (model->is_static) {
        text_add(out, "\n/* The same with a static arena: not reentrant. */\n");
        text_printf(out, "void %s_plain(", name);
        put_plain_params(model, out);
        text_add(out, ");\n");
    }
    text_add(out, "\n#ifdef __cplusplus\n}\n#endif\n#endif\n");
}

/* Code */

/* A function for each dim that is neither a number nor a symbol; its number, or -1. */
static void put_formulas(struct interface *model, struct text *out, const struct type *type, const char *value)
{
    for (int i = 0; i < type->rank; i++) {
        struct dim_view view;
        dim_open(model->prog->dims, type->dim[i], &view);
        if (view.kind == DIM_CONST || view.kind == DIM_SYMBOL) continue;
        text_printf(out, "static int64_t tenon_%s_dim%d(const int64_t *symbols)\n{\n    return ", value, i);
        cfamily_dim(model->printer, out, type->dim[i], model->symbol_value, 0);
        text_add(out, ";\n}\n");
    }
}

static void put_dims(struct interface *model, struct text *out, const struct type *type, const char *value)
{
    if (type->rank == 0) return;
    text_printf(out, "static const struct tenon_dim tenon_%s_dims[] = {", value);
    for (int i = 0; i < type->rank; i++) {
        struct dim_view view;
        dim_open(model->prog->dims, type->dim[i], &view);
        if (i) text_add(out, ", ");
        if (view.kind == DIM_CONST) text_printf(out, "{%lld, -1, 0}", (long long)type->dim[i]);
        else if (view.kind == DIM_SYMBOL) text_printf(out, "{-1, %d, 0}", view.symbol);
        else text_printf(out, "{-1, %d, tenon_%s_dim%d}", dim_bound_symbol(model->prog->dims, type->dim[i], 0), value, i);
    }
    text_add(out, "};\n");
}

static void put_values(struct interface *model, struct text *out, const char *what, struct buffer *const *buf,
                       const char *const *name, int n)
{
    static const char *const dtype[DT_COUNT] = {
        [DT_f64] = "F64", [DT_f32] = "F32", [DT_f16] = "F16",   [DT_bf16] = "BF16", [DT_i8] = "I8",
        [DT_i16] = "I16", [DT_i32] = "I32", [DT_i64] = "I64",   [DT_u8] = "U8",     [DT_u16] = "U16",
        [DT_u32] = "U32", [DT_u64] = "U64", [DT_bool] = "BOOL", [DT_index] = "I64"};
    struct arena *arena = model->printer->arena;
    for (int i = 0; i < n; i++) {
        put_formulas(model, out, &buf[i]->type, arena_printf(arena, "%s%d", what, i));
        put_dims(model, out, &buf[i]->type, arena_printf(arena, "%s%d", what, i));
    }
    if (n == 0) return;
    text_printf(out, "static const struct tenon_value tenon_%ss[] = {\n", what);
    for (int i = 0; i < n; i++) {
        text_add(out, "    {");
        text_c_string(out, name[i]);
        text_printf(out, ", TENON_%s, %d, ", dtype[buf[i]->dt], buf[i]->type.rank);
        if (buf[i]->type.rank) text_printf(out, "tenon_%s%d_dims},\n", what, i);
        else text_add(out, "0},\n");
    }
    text_add(out, "};\n");
}

static void put_symbols(const struct interface *model, struct text *out)
{
    int n = dims_n_symbols(model->prog->dims);
    if (n == 0) return;
    text_add(out, "static const struct tenon_symbol tenon_symbols[] = {\n");
    for (int i = 0; i < n; i++) {
        const struct symbol *symbol = dims_symbol(model->prog->dims, i);
        text_add(out, "    {");
        text_c_string(out, symbol->name);
        text_printf(out, ", %lld, ", (long long)symbol->lo);
        if (symbol->hi >= DIM_HUGE) text_add(out, "INT64_MAX},\n");
        else text_printf(out, "%lld},\n", (long long)symbol->hi);
    }
    text_add(out, "};\n");
}

static void put_checked_run(const struct interface *model, struct text *out)
{
    const struct prog *prog = model->prog;
    const char *name = model->names.model;
    int n = dims_n_symbols(prog->dims);
    text_add(out, "\nstatic int tenon_run_checked(const void *const *inputs, const int64_t *symbols, void *const "
                  "*outputs, void *arena)\n{\n");
    if (n)
        text_printf(out,
                    "    for (int i = 0; i < %d; i++)\n        if (symbols[i] < tenon_symbols[i].least || symbols[i] > "
                    "tenon_symbols[i].most)"
                    " return TENON_BAD_DIMENSION;\n",
                    n);
    else text_add(out, "    (void)symbols;\n");
    if (prog->inputs.n == 0) text_add(out, "    (void)inputs;\n");
    if (prog->outputs.n == 0) text_add(out, "    (void)outputs;\n");
    text_printf(out, "    const struct %s_inputs in = {", name);
    for (int i = 0; i < prog->inputs.n; i++)
        text_printf(out, "%s.%s = inputs[%d]", i ? ", " : "", model->names.input[i], i);
    for (int i = 0; i < n; i++)
        text_printf(out, "%s.%s = symbols[%d]", prog->inputs.n + i ? ", " : "", model->names.symbol[i], i);
    if (prog->inputs.n + n == 0) text_add(out, "0");
    text_printf(out, "};\n    const struct %s_outputs out = {", name);
    for (int i = 0; i < prog->outputs.n; i++)
        text_printf(out, "%s.%s = outputs[%d]", i ? ", " : "", model->names.output[i], i);
    if (prog->outputs.n == 0) text_add(out, "0");
    text_printf(out, "};\n    return %s_run(&in, &out, arena);\n}\n", name);
}

static void put_plain(const struct interface *model, struct text *out)
{
    const struct prog *prog = model->prog;
    const char *name = model->names.model;
    text_printf(out, "\nvoid %s_plain(", name);
    put_plain_params(model, out);
    text_printf(out, ")\n{\n    static _Alignas(64) unsigned char arena[%lld];\n",
                (long long)(model->emission->arena_bytes > 0 ? model->emission->arena_bytes : 1));
    text_printf(out, "    const struct %s_inputs in = {", name);
    for (int i = 0; i < prog->inputs.n; i++) text_printf(out, "%s.%s = in%d", i ? ", " : "", model->names.input[i], i);
    if (prog->inputs.n == 0) text_add(out, "0");
    text_printf(out, "};\n    const struct %s_outputs out = {", name);
    for (int i = 0; i < prog->outputs.n; i++)
        text_printf(out, "%s.%s = out%d", i ? ", " : "", model->names.output[i], i);
    if (prog->outputs.n == 0) text_add(out, "0");
    text_printf(out, "};\n    (void)%s_run(&in, &out, arena);\n}\n", name);
}

static void put_model(const struct interface *model, struct text *out)
{
    const struct emission *emission = model->emission;
    const struct prog *prog = model->prog;
    int n = dims_n_symbols(prog->dims);
    text_printf(out, "\nconst struct tenon_model %s_model = {\n    .version = TENON_VERSION,\n    .name = ",
                model->names.model);
    text_c_string(out, prog->name);
    text_printf(out, ",\n    .n_inputs = %d,\n    .n_outputs = %d,\n    .n_symbols = %d,\n", prog->inputs.n,
                prog->outputs.n, n);
    if (prog->inputs.n) text_add(out, "    .inputs = tenon_inputs,\n");
    if (prog->outputs.n) text_add(out, "    .outputs = tenon_outputs,\n");
    if (n) text_add(out, "    .symbols = tenon_symbols,\n");
    text_printf(out, "    .weight_bytes = %lld,\n", (long long)emission->weights.n_bytes);
    if (worst_arena(model) == INT64_MAX) text_add(out, "    .arena_bytes = INT64_MAX,\n");
    else text_printf(out, "    .arena_bytes = %lld,\n", (long long)worst_arena(model));
    text_printf(out, "    .arena_bytes_for = %s_arena_bytes,\n    .run = tenon_run_checked,\n", model->names.model);
    if (emission->weights_file && emission->weights.n_bytes)
        text_printf(out, "    .load = %s_load,\n", model->names.model);
    if (emission->threads)
        text_printf(out, "    .threads = %d,\n    .use_threads = tenon_use_threads,\n", emission->threads);
    if (emission->opencl) text_add(out, "    .message = tenon_message,\n");
    if (emission->n_versions > 1)
        text_add(out, "    .cpus = tenon_versions,\n    .cpu = tenon_cpu,\n    .use_cpu = tenon_use_cpu,\n");
    text_add(out, "};\n");
    text_printf(out,
                "\n#ifdef TENON_EXPORT_MODEL\nconst struct tenon_model *tenon_model_get(void)\n{\n    return "
                "&%s_model;\n}\n#endif\n",
                model->names.model);
}

/* The functions that formulas of dims call. */
static void put_helpers(const struct interface *model, struct text *out)
{
    const struct cfamily *printer = model->printer;
    if (printer->used[EX_div][DT_index][DT_index][0])
        text_add(out, "static int64_t tenon_floor_div_i64(int64_t a, int64_t b)\n{\n    if (b == 0) return 0;\n"
                      "    return a / b - (a % b != 0 && (a < 0) != (b < 0));\n}\n");
    if (printer->used[EX_min][DT_i64][DT_i64][0])
        text_add(out, "static int64_t tenon_min_i64(int64_t a, int64_t b)\n{\n    return a < b ? a : b;\n}\n");
    if (printer->used[EX_max][DT_i64][DT_i64][0])
        text_add(out, "static int64_t tenon_max_i64(int64_t a, int64_t b)\n{\n    return a > b ? a : b;\n}\n");
}

/* Weights of a file, mapped once. */
static void put_load(const struct interface *model, struct text *out)
{
    const char *name = model->names.model;
    text_printf(out,
                "\nconst unsigned char *%s_weights;\nint %s_load(const char *path);\nint %s_load(const char *path)\n{\n"
                "    struct stat state;\n    const int file = open(path, O_RDONLY);\n    if (file < 0) return "
                "TENON_NO_WEIGHTS;\n"
                "    void *at = MAP_FAILED;\n"
                "    if (fstat(file, &state) == 0 && state.st_size == %lld) at = mmap(0, %lld, PROT_READ, MAP_PRIVATE, "
                "file, 0);\n"
                "    close(file);\n    if (at == MAP_FAILED) return TENON_NO_WEIGHTS;\n    %s_weights = at;\n    "
                "return 0;\n}\n",
                name, name, name, (long long)model->emission->weights.n_bytes,
                (long long)model->emission->weights.n_bytes, name);
}

void interface_print(const struct emission *emission, struct text *header, struct text *code)
{
    struct arena *arena = arena_new();
    struct interface model;
    struct text body = {.arena = arena};
    interface_start(&model, emission, arena);
    put_header(&model, header);

    if (emission->weights_file && emission->weights.n_bytes) {
        text_add(code, "#include <fcntl.h>\n#include <sys/mman.h>\n#include <sys/stat.h>\n#include <unistd.h>\n");
        put_load(&model, &body);
    }
    text_printf(&body, "\nint64_t %s_arena_bytes(const int64_t *symbols)\n{\n", model.names.model);
    if (dim_is_const(emission->arena_bytes)) text_add(&body, "    (void)symbols;\n");
    text_add(&body, "    return ");
    cfamily_dim(model.printer, &body, emission->arena_bytes, model.symbol_value, 0);
    text_add(&body, ";\n}\n\n");
    put_values(&model, &body, "input", model.prog->inputs.at, model.prog->input_names.at, model.prog->inputs.n);
    put_values(&model, &body, "output", model.prog->outputs.at, model.prog->output_names.at,
               model.prog->outputs.n);
    put_symbols(&model, &body);
    versions_print(emission, &body);
    put_checked_run(&model, &body);
    if (model.is_static) put_plain(&model, &body);
    put_model(&model, &body);
    put_helpers(&model, code);
    text_add_n(code, body.at, body.n);
    arena_free(arena);
}
