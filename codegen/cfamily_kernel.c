/* A kernel as a function of a C-like language. First what has to be known of all of them: what each writes, which of its
 * arguments may be the same memory, whether it can fail, which buffers it uses; then the comment over it, its parameters
 * and what stands round its body. See cfamily.h.
 */
#include "cfamily.h"

#include <string.h>

struct kernel_facts *cfamily_facts(struct cfamily *printer, const struct kernel *kernel)
{
    for (int i = 0; i < printer->facts.n; i++)
        if (printer->facts.at[i].kernel == kernel) return &printer->facts.at[i];
    bug("cfamily", "kernel %s is called before its definition", kernel->name);
}

/* Whether two buffers of main, or two parameters of a kernel, may be the same memory. */
static bool may_overlap(struct cfamily *printer, const struct kernel_facts *in, const struct buffer *a, const struct buffer *b)
{
    if (a == b) return true;
    if (a->space == SPACE_PARAM && b->space == SPACE_PARAM) return in->same[a->position*in->kernel->params.n + b->position];
    if (a->space != SPACE_ARENA || b->space != SPACE_ARENA || a->side != b->side) return false;
    struct dims *dims = printer->prog->dims;
    dim a_end = dim_add(dims, a->offset_bytes, dim_mul(dims, a->elements, dtype_bytes(a->dt)));
    dim b_end = dim_add(dims, b->offset_bytes, dim_mul(dims, b->elements, dtype_bytes(b->dt)));
    return !dim_le(dims, a_end, b->offset_bytes) && !dim_le(dims, b_end, a->offset_bytes);
}

/* What the calls in the list pass; in: of the kernel they are in, NULL: main. */
static void mark_overlaps(struct cfamily *printer, const struct kernel_facts *in, const struct stmt *list)
{
    for (const struct stmt *s = list; s; s = s->next) {
        mark_overlaps(printer, in, s->body);
        mark_overlaps(printer, in, s->other);
        if (s->kind != STMT_CALL || !s->kernel) continue;
        struct kernel_facts *facts = cfamily_facts(printer, s->kernel);
        facts->is_inner |= in != NULL;
        for (int i = 0; i < s->n_args; i++)
            for (int k = 0; k < s->n_args; k++) {
                if (i == k || !may_overlap(printer, in, s->args[i].buf, s->args[k].buf)) continue;
                facts->same[i*s->n_args + k] = true;
                if (facts->written[i] || facts->written[k]) facts->overlaps[i] = facts->overlaps[k] = true;
            }
    }
}

/* The layers that calls compute, noted at their kernels. */
static void note_layers(struct cfamily *printer, const struct stmt *list)
{
    enum { ROOM = 160 };
    for (const struct stmt *s = list; s; s = s->next) {
        note_layers(printer, s->body);
        note_layers(printer, s->other);
        if (s->kind != STMT_CALL || !s->kernel || !s->origin || !*s->origin->layers) continue;
        struct text *layers = &cfamily_facts(printer, s->kernel)->layers;
        if (layers->n > ROOM || (layers->n && strstr(text_string(layers), s->origin->layers))) continue;
        if (layers->n) text_add(layers, ", ");
        text_add(layers, s->origin->layers);
        if (layers->n > ROOM) text_add(layers, " ...");
    }
}

static void mark_written(struct cfamily *printer, struct kernel_facts *facts, const struct stmt *list)
{
    for (const struct stmt *s = list; s; s = s->next) {
        if (s->kind == STMT_STORE && s->buf->space == SPACE_PARAM) facts->written[s->buf->position] = true;
        if (s->kind == STMT_FAIL || (s->kind == STMT_CALL && !s->kernel)) facts->can_fail = true;
        if (s->kind == STMT_CALL) {
            struct kernel_facts *callee = s->kernel ? cfamily_facts(printer, s->kernel) : NULL;
            for (int i = 0; i < s->n_args; i++)
                if (s->args[i].buf->space == SPACE_PARAM && (!callee || callee->written[i]))
                    facts->written[s->args[i].buf->position] = true;
            for (int i = 0; callee && i < dims_n_symbols(printer->prog->dims); i++)
                printer->symbol_used[i] |= callee->symbols[i];
            if (callee) facts->can_fail |= callee->can_fail;
        }
        mark_written(printer, facts, s->body);
        mark_written(printer, facts, s->other);
    }
}

void cfamily_gather(struct cfamily *printer, const char *prefix)
{
    const struct prog *prog = printer->prog;
    int n_symbols = dims_n_symbols(prog->dims);
    for (int i = 0; i < prog->kernels.n; i++) {
        const struct kernel *kernel = prog->kernels.at[i];
        struct kernel_facts facts = {.kernel = kernel, .layers = {.arena = printer->arena}};
        facts.name = cfamily_name(printer, arena_printf(printer->arena, "%s%s", prefix, kernel->name));
        facts.overlaps = NEW_ARRAY(printer->arena, bool, kernel->params.n + 1);
        facts.written = NEW_ARRAY(printer->arena, bool, kernel->params.n + 1);
        facts.same = NEW_ARRAY(printer->arena, bool, kernel->params.n*kernel->params.n + 1);
        memset(printer->symbol_used, 0, (size_t)n_symbols * sizeof *printer->symbol_used);
        cfamily_scan(printer, kernel->body);
        mark_written(printer, &facts, kernel->body);
        facts.symbols =
            arena_copy(printer->arena, printer->symbol_used, ((size_t)n_symbols + 1) * sizeof *printer->symbol_used);
        LIST_PUSH(printer->arena, &printer->facts, facts);
    }
    mark_overlaps(printer, NULL, prog->main); /* callers before what they call */
    for (int i = printer->facts.n - 1; i >= 0; i--) mark_overlaps(printer, &printer->facts.at[i], prog->kernels.at[i]->body);
    note_layers(printer, prog->main);
    for (int i = 0; i < prog->kernels.n; i++) note_layers(printer, prog->kernels.at[i]->body);
}

/* Buffers of a list of statements */

static void add_buffer(struct cfamily *printer, struct buffer_set *set, const struct buffer *buf)
{
    if (!buf || set->seen[buf->id]) return;
    set->seen[buf->id] = 1;
    LIST_PUSH(printer->arena, &set->all, buf);
}

static void expr_buffers(struct cfamily *printer, struct buffer_set *set, ex e)
{
    if (!e || cfamily_seen(printer, e)) return;
    if (e->op == EX_load) add_buffer(printer, set, e->buf);
    for (int i = 0; i < 3; i++) expr_buffers(printer, set, e->arg[i]);
}

static void stmt_buffers(struct cfamily *printer, struct buffer_set *set, const struct stmt *list)
{
    for (const struct stmt *s = list; s; s = s->next) {
        add_buffer(printer, set, s->buf);
        for (int i = 0; i < s->n_args; i++) {
            add_buffer(printer, set, s->args[i].buf);
            expr_buffers(printer, set, s->args[i].offset);
        }
        for (int i = 0; i < s->n_scalars; i++) expr_buffers(printer, set, s->scalars[i]);
        expr_buffers(printer, set, s->a);
        expr_buffers(printer, set, s->b);
        expr_buffers(printer, set, s->c);
        stmt_buffers(printer, set, s->body);
        stmt_buffers(printer, set, s->other);
    }
}

struct buffer_set cfamily_buffers(struct cfamily *printer, const struct stmt *list)
{
    struct buffer_set set = {.all = {.n = 0}};
    set.seen = NEW_ARRAY(printer->arena, unsigned char, printer->prog->next_buffer + 1);
    printer->statement++;
    stmt_buffers(printer, &set, list);
    return set;
}

void cfamily_locals(struct cfamily *printer, const struct buffer_set *set)
{
    for (int i = 0; i < set->all.n; i++) {
        const struct buffer *buf = set->all.at[i];
        if (!buffer_is_array(buf)) continue;
        const char *name = printer->buffer_name[buf->id] = cfamily_name(printer, buf->name);
        if (!dim_is_const(buf->elements)) bug("cfamily", "local array %s has no fixed size", buf->name);
        cfamily_line(printer);
        text_printf(printer->out, "%s%s %s[%lld];\n", buf->space == SPACE_GROUP ? printer->dialect->group_array : printer->dialect->local_array,
                    cfamily_memory_type(printer, buf->dt), name, (long long)(buf->elements > 0 ? buf->elements : 1));
    }
}

static void put_amount(struct text *out, double v, const char *unit)
{
    static const char *const prefix[] = {"", "k", "M", "G", "T"};
    int k = 0;
    for (; v >= 10000 && k < 4; k++) v /= 1000;
    text_printf(out, "%.*f %s%s", v < 10 && k ? 2 : 0, v, prefix[k], unit);
}

static void put_comment(struct cfamily *printer, const struct kernel_facts *facts)
{
    const struct kernel *kernel = facts->kernel;
    struct text *out = printer->out, types = {.arena = printer->arena};
    text_add(out, "/* ");
    cfamily_comment(out, facts->layers.n ? text_string(&facts->layers) : *kernel->layers ? kernel->layers : kernel->name);
    for (int i = 0; i < kernel->params.n; i++) {
        const struct buffer *buf = kernel->params.at[i];
        text_printf(&types, "%s%s%s ", i ? ", " : "", facts->written[i] ? "-> " : "", buf->name);
        if (buf->type.rank) type_print(printer->prog->dims, &types, &buf->type);
        else {
            text_printf(&types, "%s[", dtype_name(buf->dt));
            dim_print(printer->prog->dims, &types, buf->elements, false);
            text_add(&types, "]");
        }
    }
    text_add(out, "\n * ");
    cfamily_comment(out, text_string(&types));
    text_add(out, "\n * ");
    put_amount(out, kernel->bytes, "B, ");
    put_amount(out, kernel->flops, "FLOP");
    if (*kernel->strategy) {
        text_add(out, "; ");
        cfamily_comment(out, kernel->strategy);
    }
    text_add(out, " */\n");
}

static void put_next(struct cfamily *printer, bool *first)
{
    text_add(printer->out, *first ? printer->dialect->first_parameter : printer->dialect->next_parameter);
    *first = false;
}

static void put_pointer(struct cfamily *printer, const struct kernel_facts *facts, int i)
{
    text_printf(printer->out, "%s%s%s *", printer->dialect->global_space, facts->written[i] ? "" : "const ",
                cfamily_memory_type(printer, facts->kernel->params.at[i]->dt));
}

struct passed { /* of a buffer, by parameter, where the dialect has memories */
    const char *memory, *at;
};

static void put_parameters(struct cfamily *printer, const struct kernel_facts *facts, struct passed *passed)
{
    const struct kernel *kernel = facts->kernel;
    const struct dialect *dialect = printer->dialect;
    const char *index = dialect->scalar[DT_index];
    struct text *out = printer->out;
    bool first = true, memories = dialect->has_memories && !facts->is_inner;
    for (int i = 0; i < kernel->params.n; i++) {
        const struct buffer *buf = kernel->params.at[i];
        const char *name = printer->buffer_name[buf->id] = cfamily_name(printer, buf->name);
        if (memories) {
            passed[i].memory = cfamily_name(printer, arena_printf(printer->arena, "%s_memory", buf->name));
            passed[i].at = cfamily_name(printer, arena_printf(printer->arena, "%s_at", buf->name));
        }
        put_next(printer, &first);
        put_pointer(printer, facts, i);
        text_printf(out, "%s%s", facts->overlaps[i] ? "" : dialect->restrict_word, memories ? passed[i].memory : name);
        if (memories) text_printf(out, ", %s%s %s", dialect->parameter_const, index, passed[i].at);
    }
    for (int i = 0; i < kernel->scalars.n; i++) {
        const struct var *var = kernel->scalars.at[i];
        const char *name = printer->var_name[var->id] = cfamily_name(printer, var->name);
        put_next(printer, &first);
        text_printf(out, "%s%s %s", dialect->parameter_const,
                    memories ? cfamily_memory_type(printer, var->dt) : dialect->scalar[var->dt], name);
    }
    for (int i = 0; i < dims_n_symbols(printer->prog->dims); i++) {
        if (!facts->symbols[i]) continue;
        printer->symbol_name[i] = cfamily_name(printer, dims_symbol(printer->prog->dims, i)->name);
        put_next(printer, &first);
        text_printf(out, "%s%s %s", dialect->parameter_const, index, printer->symbol_name[i]);
    }
    if (memories && cfamily_takes_words(facts)) {
        put_next(printer, &first);
        text_printf(out, "%sint *tenon_status", dialect->global_space);
    }
    if (first) text_add(out, "void");
}

/* Pointers to where the buffers begin. */
static void put_pointers(struct cfamily *printer, const struct kernel_facts *facts, const struct buffer_set *used,
                         const struct passed *passed)
{
    for (int i = 0; i < facts->kernel->params.n; i++) {
        int id = facts->kernel->params.at[i]->id;
        if (!used->seen[id]) continue;
        cfamily_line(printer);
        put_pointer(printer, facts, i);
        text_printf(printer->out, "const %s = %s + %s;\n", printer->buffer_name[id], passed[i].memory, passed[i].at);
    }
}

static void put_unused(struct cfamily *printer, const struct kernel *kernel, const struct buffer_set *used)
{
    for (int i = 0; i < kernel->params.n; i++)
        if (!used->seen[kernel->params.at[i]->id])
            text_printf(printer->out, "    (void)%s;\n", printer->buffer_name[kernel->params.at[i]->id]);
    for (int i = 0; i < kernel->scalars.n; i++)
        if (!printer->var_used[kernel->scalars.at[i]->id])
            text_printf(printer->out, "    (void)%s;\n", printer->var_name[kernel->scalars.at[i]->id]);
}

void cfamily_kernel(struct cfamily *printer, const struct kernel_facts *facts)
{
    const struct kernel *kernel = facts->kernel;
    const struct dialect *dialect = printer->dialect;
    int mark = cfamily_enter(printer);
    struct passed *passed = NEW_ARRAY(printer->arena, struct passed, kernel->params.n + 1);
    struct buffer_set used = cfamily_buffers(printer, kernel->body);
    printer->n_temporaries = 0;
    put_comment(printer, facts);
    dialect->kernel_head(printer, facts);
    text_add(printer->out, "(");
    put_parameters(printer, facts, passed);
    text_add(printer->out, ")\n{\n");
    printer->indent = 1;
    if (dialect->has_memories && !facts->is_inner) put_pointers(printer, facts, &used, passed);
    cfamily_locals(printer, &used);
    if (!dialect->has_memories) put_unused(printer, kernel, &used);
    printer->in_stages = dialect->has_work_items && kernel_has_stages(kernel);
    if (printer->in_stages) text_add(printer->out, dialect->stages_begin);
    cfamily_stmts(printer, kernel->body);
    if (printer->in_stages) text_add(printer->out, dialect->stages_end);
    if (facts->can_fail) text_add(printer->out, dialect->kernel_end);
    text_add(printer->out, "}\n\n");
    cfamily_leave(printer, mark);
}

/* ---- calls ---- */

void cfamily_argument(struct cfamily *printer, const struct call_arg *arg)
{
    text_add(printer->out, cfamily_buffer(printer, arg->buf));
    if (!arg->offset || ex_is_int(arg->offset, 0)) return;
    text_add(printer->out, " + ");
    cfamily_expr(printer, arg->offset, PREC_ADD + (arg->offset->op != EX_add));
}

void cfamily_share_call(struct cfamily *printer, const struct stmt *call)
{
    ex *values = NEW_ARRAY(printer->arena, ex, call->n_args + call->n_scalars + 1);
    int n = 0;
    for (int i = 0; i < call->n_args; i++)
        if (call->args[i].offset) values[n++] = call->args[i].offset;
    for (int i = 0; i < call->n_scalars; i++) values[n++] = call->scalars[i];
    cfamily_share(printer, values, n);
}

void cfamily_call(struct cfamily *printer, const struct stmt *call)
{
    const struct kernel_facts *facts = cfamily_facts(printer, call->kernel);
    struct text *out = printer->out;
    const char *between = "";
    if (call->n_args != call->kernel->params.n || call->n_scalars != call->kernel->scalars.n)
        bug("cfamily", "call of %s with %d buffers", call->kernel->name, call->n_args);
    text_printf(out, "%s(", facts->name);
    for (int i = 0; i < call->n_args; i++, between = ", ") {
        text_add(out, between);
        cfamily_argument(printer, &call->args[i]);
    }
    for (int i = 0; i < call->n_scalars; i++, between = ", ") {
        text_add(out, between);
        cfamily_expr(printer, call->scalars[i], PREC_TERNARY);
    }
    for (int i = 0; i < dims_n_symbols(printer->prog->dims); i++)
        if (facts->symbols[i]) {
            text_printf(out, "%s%s", between, printer->symbol_name[i]);
            between = ", ";
        }
    text_add(out, ");\n");
}
