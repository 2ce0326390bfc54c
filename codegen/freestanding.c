/* A model for machines without a C library (--freestanding): what of it cannot be, and its header.
 *
 * The text includes <stdint.h> and <stdbool.h> alone, which every C compiler has by itself. Working memory is a static
 * array, the weights a constant array in the same text, and sizes are numbers in the header, as an upper-case NAME_WHAT:
 *
 *     int net_run(const struct net_inputs *in, const struct net_outputs *out);        not reentrant
 *     #define NET_ARENA_BYTES 2304        in .bss
 *     #define NET_WEIGHT_BYTES 5376       in .rodata
 *
 * With a compiler (--cc) the text is compiled as a trial, and the header also says what flash and stack that took.
 * c.c prints the kernels and NAME_run as ever, interface.c the structs. Compilers may still call functions of their own
 * library (libgcc: a division on a Cortex-M0, floats without an FPU), which does not need libc.
 */
#include "../ir/expr_map.h"
#include "cfamily.h"
#include "freestanding.h"
#include "interface.h"

#include <stdlib.h>
#include <string.h>

/* What of <math.h> the printed text would call. */
static const char *libm_function(ex e)
{
    if (!dtype_is_float(e->dt)) return NULL;
    switch (e->op) {
    case EX_floor: case EX_ceil: case EX_trunc: case EX_sqrt: case EX_pow: case EX_fma: return expr_row(e->op)->name;
    case EX_round: return "rint";
    case EX_mod: case EX_rem: return "fmod";
    default: return NULL;
    }
}

static const char *find_function(struct expr_map *seen, ex e)
{
    if (!e || expr_map_find(seen, e)) return NULL;
    expr_map_add(seen, e, 0);
    const char *found = libm_function(e);
    for (int i = 0; i < 3 && !found; i++) found = find_function(seen, e->arg[i]);
    return found;
}

static const char *find_in_list(struct expr_map *seen, const struct stmt *list)
{
    const char *found = NULL;
    for (const struct stmt *s = list; s && !found; s = s->next) {
        if (s->kind == STMT_CALL && !s->kernel) found = s->extern_name;
        const ex parts[] = {s->a, s->b, s->c};
        for (int i = 0; i < 3 && !found; i++) found = find_function(seen, parts[i]);
        if (!found) found = find_in_list(seen, s->body);
        if (!found) found = find_in_list(seen, s->other);
    }
    return found;
}

/* Reports the first function that each list of statements would call. */
static bool list_stands_alone(const struct stmt *list, const char *layers, struct expr_map *seen, struct diag *diag)
{
    const char *found = find_in_list(seen, list);
    if (!found) return true;
    return diag_error(diag, (struct place){0}, "--freestanding: layers %s call the function %s, which is a library's",
                      layers && *layers ? layers : "of the model", found);
}

bool freestanding_check(const struct emission *emission, struct diag *diag)
{
    const struct prog *prog = emission->versions->prog;
    struct expr_map seen = {.arena = arena_new()};
    bool good = true;
    for (int i = 0; i < dims_n_symbols(prog->dims); i++)
        good = diag_error(diag, (struct place){0}, "--freestanding: dimension %s is open: its size is given by --dim %s=N",
                          dims_symbol(prog->dims, i)->name, dims_symbol(prog->dims, i)->name);
    if (emission->threads) good = diag_error(diag, (struct place){0}, "--freestanding: there are no threads");
    if (emission->n_versions > 1 || emission->opencl || emission->weights_file || emission->kernels_apart)
        good = diag_error(diag, (struct place){0}, "--freestanding is for one CPU, through the C compiler, with the weights inside");
    for (int i = 0; i < prog->kernels.n; i++)
        good = list_stands_alone(prog->kernels.at[i]->body, prog->kernels.at[i]->layers, &seen, diag) && good;
    good = list_stands_alone(prog->main, "of the model", &seen, diag) && good;
    arena_free(seen.arena);
    return good;
}

static void put_define(struct text *out, const char *model, const char *what, int64_t value)
{
    text_printf(out, "#define %s_%s %lld\n", interface_upper(out->arena, model), what, (long long)value);
}

static void put_value(struct text *out, const char *model, const char *field, const struct buffer *buf, const struct scale_note *note)
{
    const char *name = interface_upper(out->arena, field);
    int64_t elements = type_count(&buf->type);
    put_define(out, model, arena_printf(out->arena, "%s_ELEMENTS", name), elements);
    put_define(out, model, arena_printf(out->arena, "%s_BYTES", name), elements * dtype_bytes(buf->dt));
    if (!note) return;
    text_printf(out, "#define %s_%s_SCALE %.9g /* a number x is the integer x/scale + zero, rounded */\n", interface_upper(out->arena, model), name, note->scale);
    put_define(out, model, arena_printf(out->arena, "%s_ZERO", name), note->zero);
}

/* What the compiler made of it, where it was asked. */
static void put_measured(const struct emission *emission, const struct object_size *size, const char *compiler, struct text *out)
{
    const char *model = emission->name;
    text_add(out, "\n/* As compiled by ");
    cfamily_comment(out, compiler);
    if (*size->others) text_printf(out, ";\n * beside it %s of the compiler's library", size->others);
    text_add(out, " */\n");
    put_define(out, model, "FLASH_BYTES", size->flash_bytes);
    put_define(out, model, "CODE_BYTES", size->flash_bytes - emission->weights.n_bytes);
    if (size->stack_bytes >= 0) put_define(out, model, "STACK_BYTES", size->stack_bytes);
    put_define(out, model, "RAM_BYTES", size->ram_bytes + (size->stack_bytes > 0 ? size->stack_bytes : 0));
}

void freestanding_header(const struct emission *emission, const struct object_size *size, const char *compiler, struct text *out)
{
    const struct prog *prog = emission->versions->prog;
    struct interface_names names;
    interface_names(prog, out->arena, &names);
    const char *upper = interface_upper(out->arena, names.model);
    text_printf(out, "#ifndef MODEL_%s_H\n#define MODEL_%s_H\n#include <stdint.h>\n\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n", upper, upper);
    interface_structs(emission, out);
    text_add(out, "\n/* Working memory, static; weights, constant. */\n");
    put_define(out, names.model, "ARENA_BYTES", emission->arena_bytes);
    put_define(out, names.model, "WEIGHT_BYTES", emission->weights.n_bytes);
    if (size) put_measured(emission, size, compiler, out);
    text_add(out, "\n/* Inputs and outputs: dense, rows first. */\n");

    for (int i = 0; i < prog->inputs.n; i++) put_value(out, names.model, names.input[i], prog->inputs.at[i], scale_note_find(&prog->scales, false, i));
    for (int i = 0; i < prog->outputs.n; i++) put_value(out, names.model, names.output[i], prog->outputs.at[i], scale_note_find(&prog->scales, true, i));
    text_printf(out,
                "\n/* Returns 0, or the code of a failed check on the data. Not reentrant: its memory is static. */\n"
                "int %s_run(const struct %s_inputs *in, const struct %s_outputs *out);\n",
                names.model, names.model, names.model);
    text_add(out, "\n#ifdef __cplusplus\n}\n#endif\n#endif\n");
}

static int by_size(const void *p, const void *q)
{
    const struct tensor *const *a = p, *const *b = q;
    return ((*a)->n_bytes < (*b)->n_bytes) - ((*a)->n_bytes > (*b)->n_bytes);
}

/* The buffer that holds a tensor. */
static const struct buffer *buffer_of(const struct prog *prog, const struct tensor *tensor)
{
    for (int i = 0; i < prog->buffers.n; i++)
        if (prog->buffers.at[i]->tensor == tensor) return prog->buffers.at[i];
    return NULL;
}

bool freestanding_flash_fits(const struct emission *emission, const struct object_size *size, int64_t limit, struct diag *diag)
{
    enum { NOTES_MOST = 8 };
    const struct prog *prog = emission->versions->prog;
    int64_t weights = emission->weights.n_bytes, all = size ? size->flash_bytes : weights;
    int n = emission->weights.n_tensors;
    if (limit <= 0 || all <= limit) return true;
    diag_error(diag, (struct place){0}, "flash for %lld bytes is needed, more than the %lld allowed: %lld of weights, %lld of code",
               (long long)all, (long long)limit, (long long)weights, (long long)(all - weights));
    const struct tensor **tensors = NEW_ARRAY(prog->arena, const struct tensor *, n + 1);
    for (int i = 0; i < n; i++) tensors[i] = emission->weights.tensors[i];
    qsort(tensors, (size_t)n, sizeof *tensors, by_size);
    for (int i = 0; i < n && i < NOTES_MOST; i++) {
        const struct buffer *buf = buffer_of(prog, tensors[i]);
        if (buf) diag_note(diag, buf->place, "%s takes %lld bytes", buf->name, (long long)tensors[i]->n_bytes);
    }
    return false;
}

bool freestanding_ram_fits(const struct object_size *size, int64_t limit, struct diag *diag)
{
    int64_t stack = size->stack_bytes > 0 ? size->stack_bytes : 0;
    if (limit <= 0 || size->ram_bytes + stack <= limit) return true;
    return diag_error(diag, (struct place){0}, "RAM for %lld bytes is needed, more than the %lld allowed: %lld of static memory, %lld of stack",
                      (long long)(size->ram_bytes + stack), (long long)limit, (long long)size->ram_bytes, (long long)stack);
}
