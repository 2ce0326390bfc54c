/* The program as text: what `--print-after` shows and prog_parse.c reads back.
 *
 * The text is a function of the program's structure alone. Names are made unique where two things in scope share
 * one (`i`, `i_2`); sums of index terms are printed outer variables first, whatever order the builder keeps them
 * in; dims in an order of their own. So parse(print(p)) prints the same text.
 *
 *   program digits
 *   dim N 1..64
 *   input image: f32[N, 784]
 *   output y: f32[N, 10]
 *   weight w0: f32[2] = {1.0, 2.0}             (more than INLINE_MOST elements: `= data`, looked up by name)
 *   arena t0: f32(10*N) at 0                   (round brackets: elements of no particular shape)
 *   kernel dense_1(in x: f32(784*N), out y: f32(10*N), i: index 0..15) {
 *     layers "dense"
 *     for.parallel n in 0..N {
 *       reg acc: f32 = 0.0
 *       for c in 0..784 {
 *         set acc = fma(load x[784*n + c], 2.0, acc)
 *       }
 *       store y[10*n] = acc
 *     }
 *   }
 *   threads 4 as worker of workers             (where several run main)
 *   main {
 *     call dense_1(image, t0 + 10*N; 3)
 *   }
 *
 * Literals: `3` is index, `3:i32` an i32, `0.5` f32, `0.5:f64` f64. Vectors: `load.f32x8 x[2*i by 2]`,
 * `load.f32x8 x[i first n] else splat8(0.0)`, `ramp8(i, 4)`; guards: `load x[i if i < n] else 0.0`. An expression shared within a statement, or deep, is
 * named first: `with $1 = ...`. See prog_print_expr.c for expressions; read next: prog_parse.c.
 */
#include "prog_print.h"

#include <string.h>

static void indent(struct printer *p)
{
    for (int i = 0; i < p->depth; i++) text_add(p->text, "  ");
}

static bool is_identifier(const char *s)
{
    for (const char *c = s; *c; c++) {
        bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || *c == '_';
        if (!letter && (c == s || *c < '0' || *c > '9')) return false;
    }
    return *s != 0;
}

static bool is_reserved(const char *s)
{
    static const char *const word[] = {"load", "true", "false", "inf", "nan"};
    for (size_t i = 0; i < sizeof word / sizeof *word; i++)
        if (!strcmp(s, word[i])) return true;
    return false;
}

bool print_is_name(const char *s)
{
    return is_identifier(s) && !is_reserved(s);
}

static bool is_taken(const struct printer *p, const char *name)
{
    for (int i = p->base; i < p->scope.n; i++)
        if (!strcmp(p->scope.at[i], name)) return true;
    for (int i = 0; i < dims_n_symbols(p->prog->dims); i++)
        if (!strcmp(dims_symbol(p->prog->dims, i)->name, name)) return true;
    return false;
}

/* Brings a name that nothing in scope has into scope. */
static const char *name_define(struct printer *p, const char *wanted)
{
    const char *base = wanted ? wanted : "_", *name;
    if (!is_identifier(base)) base = text_identifier(p->scratch, base);
    name = base;
    for (int i = 2; is_reserved(name) || is_taken(p, name); i++) name = arena_printf(p->scratch, "%s_%d", base, i);
    LIST_PUSH(p->scratch, &p->scope, name);
    return name;
}

static void var_define(struct printer *p, const struct var *var)
{
    p->var_name[var->id] = name_define(p, var->name);
    p->var_order[var->id] = p->scope.n;
    text_add(p->text, p->var_name[var->id]);
}

static void buffer_define(struct printer *p, const struct buffer *buf)
{
    p->buffer_name[buf->id] = name_define(p, buf->name);
    text_add(p->text, p->buffer_name[buf->id]);
}

static void print_type(struct printer *p, const struct buffer *buf)
{
    dim elements = buf->elements;
    text_printf(p->text, ": %s", dtype_name(buf->dt));
    if (buf->type.rank == 0 && elements != 1) {
        text_add(p->text, "(");
        print_dim(p, p->text, elements, false);
        text_add(p->text, ")");
        return;
    }
    text_add(p->text, "[");
    for (int i = 0; i < buf->type.rank; i++) {
        if (i) text_add(p->text, ", ");
        print_dim(p, p->text, buf->type.dim[i], false);
    }
    text_add(p->text, "]");
    if (type_elements(p->prog->dims, &buf->type) == elements) return;
    text_add(p->text, " elements ");
    print_dim(p, p->text, elements, false);
}

static void print_range(struct printer *p, const struct var *var)
{
    if (var->lo == 1 && var->hi == 0) return;
    text_add(p->text, " ");
    print_dim(p, p->text, var->lo, false);
    text_add(p->text, "..");
    print_dim(p, p->text, var->hi, false);
}

static void print_var_type(struct printer *p, const struct var *var)
{
    text_printf(p->text, ": %s", dtype_name(var->dt));
    if (var->lanes > 1) text_printf(p->text, "x%d", var->lanes);
    if (var->dt == DT_index) print_range(p, var);
}

static void print_data(struct printer *p, const struct tensor *tensor)
{
    int64_t n = type_count(&tensor->type), size = dtype_bytes(tensor->type.dt);
    if (n > INLINE_MOST || n < 0) {
        text_add(p->text, " = data");
        return;
    }
    text_add(p->text, " = {");
    for (int64_t i = 0; i < n; i++) {
        if (i) text_add(p->text, ", ");
        print_element(p->text, tensor->type.dt, (const unsigned char *)tensor->data + i * size);
    }
    text_add(p->text, "}");
}

static void print_side(struct printer *p, enum side side)
{
    if (side != SIDE_DEVICE) text_add(p->text, side == SIDE_HOST ? " on host" : " on both");
}

static void print_buffer(struct printer *p, const struct buffer *buf, const char *user_name)
{
    static const char *const space[] = {"input", "output", "weight", "arena", "param", "local", "shared"};
    indent(p);
    text_printf(p->text, "%s ", space[buf->space]);
    buffer_define(p, buf);
    if (user_name && strcmp(user_name, p->buffer_name[buf->id]) != 0) {
        text_add(p->text, " ");
        text_quoted(p->text, user_name);
    }
    print_type(p, buf);
    print_side(p, buf->side);
    if (buf->space == SPACE_WEIGHT && buf->tensor) print_data(p, buf->tensor);
    if (buf->space == SPACE_ARENA && buf->offset_bytes != -1) {
        text_add(p->text, " at ");
        print_dim(p, p->text, buf->offset_bytes, false);
    }
    text_add(p->text, "\n");
}

/* Local arrays have no statement of their own: they are listed at the kernel's head, in order of first use. */
static void print_locals(struct printer *p, const struct stmt *stmt);

static void print_local(struct printer *p, const struct buffer *buf)
{
    if (!buf || !buffer_is_array(buf) || p->buffer_name[buf->id]) return;
    print_buffer(p, buf, NULL);
}

static void print_locals_of(struct printer *p, ex e)
{
    if (!e || expr_map_find(&p->seen, e)) return;
    expr_map_add(&p->seen, e, 0);
    for (int i = 0; i < 3; i++) print_locals_of(p, e->arg[i]);
    if (e->op == EX_load) print_local(p, e->buf);
}

static void print_locals(struct printer *p, const struct stmt *stmt)
{
    for (; stmt; stmt = stmt->next) {
        if (stmt->kind == STMT_STORE) print_local(p, stmt->buf);
        print_locals_of(p, stmt->a);
        print_locals_of(p, stmt->b);
        print_locals_of(p, stmt->c);
        for (int i = 0; i < stmt->n_args; i++) {
            print_local(p, stmt->args[i].buf);
            print_locals_of(p, stmt->args[i].offset);
        }
        for (int i = 0; i < stmt->n_scalars; i++) print_locals_of(p, stmt->scalars[i]);
        print_locals(p, stmt->body);
        print_locals(p, stmt->other);
    }
}

static void print_block(struct printer *p, const struct stmt *list);

static void print_for(struct printer *p, const struct stmt *stmt)
{
    static const char *const kind[] = {"",        ".parallel", ".unroll", ".group0", ".group1",
                                       ".group2", ".lane0",    ".lane1",  ".lane2"};
    struct text bounds = {.arena = p->scratch}, *text = p->text;
    print_expr(p, &bounds, stmt->a, 0);
    text_add(&bounds, "..");
    print_expr(p, &bounds, stmt->b, 0);
    text_printf(text, "for%s ", kind[stmt->loop]);
    int scope = p->scope.n;
    var_define(p, stmt->var);
    dim lo, hi;
    bool usual = ex_as_dim(stmt->a, &lo) && ex_as_dim(stmt->b, &hi) && stmt->var->lo == lo &&
                 stmt->var->hi == dim_sub(p->prog->dims, hi, 1);
    if (!usual) {
        text_add(text, " of");
        print_range(p, stmt->var);
    }
    text_printf(text, " in %s", text_string(&bounds));
    if (stmt->step != 1) text_printf(text, " step %lld", (long long)stmt->step);
    text_add(text, " ");
    print_block(p, stmt->body);
    p->scope.n = scope;
    text_add(text, "\n");
}

static void print_store(struct printer *p, const struct stmt *stmt)
{
    struct text *text = p->text;
    text_printf(text, "store %s[", print_buffer_name(p, stmt->buf));
    print_expr(p, text, stmt->a, 0);
    if (stmt->b->lanes > 1 && stmt->step != 1) text_printf(text, " by %lld", (long long)stmt->step);
    if (stmt->c) {
        text_add(text, " first ");
        print_expr(p, text, stmt->c, 0);
    }
    text_add(text, "] = ");
    print_expr(p, text, stmt->b, 0);
    text_add(text, "\n");
}

static void print_let(struct printer *p, const struct stmt *stmt)
{
    struct text value = {.arena = p->scratch};
    print_expr(p, &value, stmt->a, 0); /* before the name is in scope */
    text_add(p->text, stmt->mutable ? "reg " : "let ");
    var_define(p, stmt->var);
    print_var_type(p, stmt->var);
    text_printf(p->text, " = %s\n", text_string(&value));
}

static void print_call(struct printer *p, const struct stmt *stmt)
{
    struct text *text = p->text;
    text_add(text, stmt->kernel ? "call " : "extern ");
    text_printf(text, "%s(", stmt->kernel ? stmt->kernel->name : stmt->extern_name);
    for (int i = 0; i < stmt->n_args; i++) {
        text_printf(text, "%s%s", i ? ", " : "", print_buffer_name(p, stmt->args[i].buf));
        if (!stmt->args[i].offset) continue;
        text_add(text, " + ");
        print_expr(p, text, stmt->args[i].offset, 0);
    }
    for (int i = 0; i < stmt->n_scalars; i++) {
        text_add(text, i ? ", " : "; ");
        print_expr(p, text, stmt->scalars[i], 0);
    }
    text_add(text, ")\n");
}

/* An if's line, then the words after its closing bracket: `else {` or a new line. */
static void print_if(struct printer *p, const struct stmt *stmt)
{
    text_add(p->text, "if ");
    print_expr(p, p->text, stmt->a, 0);
    text_add(p->text, " ");
    print_block(p, stmt->body);
    if (stmt->other) {
        text_add(p->text, " else ");
        print_block(p, stmt->other);
    }
    text_add(p->text, "\n");
}

static void print_while(struct printer *p, const struct stmt *stmt)
{
    struct text condition = {.arena = p->scratch};
    print_expr(p, &condition, stmt->a, 0); /* $n of its own would be overwritten by the body's */
    text_add(p->text, "do ");
    print_block(p, stmt->body);
    text_printf(p->text, " while %s\n", text_string(&condition));
}

static void print_stmt(struct printer *p, const struct stmt *stmt)
{
    print_shared(p, stmt);
    indent(p);
    switch (stmt->kind) {
    case STMT_FOR: print_for(p, stmt); break;
    case STMT_STORE: print_store(p, stmt); break;
    case STMT_LET: print_let(p, stmt); break;
    case STMT_SET:
        text_printf(p->text, "set %s = ", print_var_name(p, stmt->var));
        print_expr(p, p->text, stmt->a, 0);
        text_add(p->text, "\n");
        break;
    case STMT_IF: print_if(p, stmt); break;
    case STMT_WHILE: print_while(p, stmt); break;
    case STMT_CALL: print_call(p, stmt); break;
    case STMT_FAIL:
        text_printf(p->text, "fail %d if ", stmt->code);
        print_expr(p, p->text, stmt->a, 0);
        text_add(p->text, "\n");
        break;
    case STMT_PREFETCH:
        text_printf(p->text, "prefetch %s[", print_buffer_name(p, stmt->buf));
        print_expr(p, p->text, stmt->a, 0);
        text_add(p->text, "]\n");
        break;
    case STMT_BARRIER:
        if (stmt->code) text_printf(p->text, "wait %d\n", stmt->code - 1);
        else text_add(p->text, "barrier\n");
        break;
    }
}

/* `{`, the statements, `}` without a new line: what follows differs. */
static void print_block(struct printer *p, const struct stmt *list)
{
    int scope = p->scope.n;
    text_add(p->text, "{\n");
    p->depth++;
    for (; list; list = list->next) print_stmt(p, list);
    p->depth--;
    p->scope.n = scope;
    indent(p);
    text_add(p->text, "}");
}

static void print_kernel(struct printer *p, const struct kernel *kernel)
{
    struct text *text = p->text;
    int scope = p->scope.n;
    p->base = scope; /* a kernel sees nothing of the program but its parameters */
    p->n_shared = 0;
    text_printf(text, "kernel %s(", kernel->name);
    for (int i = 0; i < kernel->params.n; i++) {
        text_printf(text, "%s%s ", i ? ", " : "", kernel->params.at[i]->written ? "out" : "in");
        buffer_define(p, kernel->params.at[i]);
        print_type(p, kernel->params.at[i]);
    }
    for (int i = 0; i < kernel->scalars.n; i++) {
        if (i || kernel->params.n) text_add(text, ", ");
        var_define(p, kernel->scalars.at[i]);
        print_var_type(p, kernel->scalars.at[i]);
    }
    text_add(text, ")");
    print_side(p, kernel->side);
    text_add(text, " {\n");
    p->depth++;
    const char *const note[] = {"layers", kernel->layers, "strategy", kernel->strategy};
    for (int i = 0; i < 4; i += 2) {
        if (!note[i + 1] || !*note[i + 1]) continue;
        text_printf(text, "  %s ", note[i]);
        text_quoted(text, note[i + 1]);
        text_add(text, "\n");
    }
    if (kernel->flops != 0 || kernel->bytes != 0) {
        text_add(text, "  cost ");
        text_double(text, kernel->flops, false);
        text_add(text, ", ");
        text_double(text, kernel->bytes, false);
        if (kernel->direct_flops != 0) {
            text_add(text, ", direct ");
            text_double(text, kernel->direct_flops, false);
        }
        text_add(text, "\n");
    }
    expr_map_clear(&p->seen);
    print_locals(p, kernel->body);
    for (const struct stmt *s = kernel->body; s; s = s->next) print_stmt(p, s);
    p->depth--;
    p->scope.n = scope;
    p->base = 0;
    text_add(text, "}\n");
}

static void print_symbols(struct printer *p)
{
    for (int i = 0; i < dims_n_symbols(p->prog->dims); i++) {
        const struct symbol *symbol = dims_symbol(p->prog->dims, i);
        text_add(p->text, "dim ");
        print_symbol(p->text, symbol->name);
        text_printf(p->text, " %lld..%lld\n", (long long)symbol->lo, (long long)symbol->hi);
    }
}

static void print_head(struct printer *p)
{
    const struct prog *prog = p->prog;
    text_add(p->text, "program ");
    text_quoted(p->text, prog->name);
    text_add(p->text, "\n");
    print_symbols(p);
    for (int i = 0; i < prog->inputs.n; i++)
        print_buffer(p, prog->inputs.at[i], i < prog->input_names.n ? prog->input_names.at[i] : NULL);
    for (int i = 0; i < prog->outputs.n; i++)
        print_buffer(p, prog->outputs.at[i], i < prog->output_names.n ? prog->output_names.at[i] : NULL);
    for (int i = 0; i < prog->buffers.n; i++) {
        const struct buffer *buf = prog->buffers.at[i];
        if (buf->space == SPACE_WEIGHT || buf->space == SPACE_ARENA) print_buffer(p, buf, NULL);
    }
    if (prog->arena_bytes == -1) return;
    text_add(p->text, "arena_bytes ");
    print_dim(p, p->text, prog->arena_bytes, false);
    text_add(p->text, "\n");
}

/* threads 4 as worker of workers */
static void print_threads(struct printer *p)
{
    text_printf(p->text, "threads %d as ", p->prog->threads);
    var_define(p, p->prog->worker);
    text_add(p->text, " of ");
    var_define(p, p->prog->workers);
    text_add(p->text, "\n");
}

static struct printer printer_new(const struct prog *prog, struct text *text, struct arena *scratch)
{
    struct printer p = {.prog = prog, .text = text, .scratch = scratch, .seen = {.arena = scratch}, .shared = {.arena = scratch}};
    p.var_name = NEW_ARRAY(scratch, const char *, prog->next_var + 1);
    p.var_order = NEW_ARRAY(scratch, int, prog->next_var + 1);
    p.buffer_name = NEW_ARRAY(scratch, const char *, prog->next_buffer + 1);
    return p;
}

void kernel_print(const struct prog *prog, const struct kernel *kernel, struct text *text)
{
    struct arena *scratch = arena_new();
    struct printer p = printer_new(prog, text, scratch);
    struct kernel plain = *kernel;
    plain.name = plain.layers = plain.strategy = "";
    plain.flops = plain.bytes = 0;
    print_symbols(&p);
    print_kernel(&p, &plain);
    arena_free(scratch);
}

void prog_print(const struct prog *prog, struct text *text)
{
    struct arena *scratch = arena_new();
    struct printer p = printer_new(prog, text, scratch);
    print_head(&p);
    if (prog->threads) print_threads(&p);
    for (int i = 0; i < prog->kernels.n; i++) print_kernel(&p, prog->kernels.at[i]);
    text_add(text, "main {\n");
    p.n_shared = 0;
    p.depth++;
    for (const struct stmt *s = prog->main; s; s = s->next) print_stmt(&p, s);
    text_add(text, "}\n");
    arena_free(scratch);
}
