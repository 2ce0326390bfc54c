/* Statements and names in C-like languages. See cfamily.h.
 *
 * Names come from the model, so each is reduced to an identifier and made free of everything else in scope; names
 * of a block are free again after it.
 */
#include "cfamily.h"

#include <string.h>

void cfamily_start(struct cfamily *printer)
{
    const struct prog *prog = printer->prog;
    int n_vars = prog->next_var + 1, n_buffers = prog->next_buffer + 1, n_symbols = dims_n_symbols(prog->dims) + 1;
    printer->var_name = NEW_ARRAY(printer->arena, const char *, n_vars);
    printer->var_mask = NEW_ARRAY(printer->arena, int, n_vars);
    printer->var_used = NEW_ARRAY(printer->arena, bool, n_vars);
    printer->buffer_name = NEW_ARRAY(printer->arena, const char *, n_buffers);
    printer->symbol_name = NEW_ARRAY(printer->arena, const char *, n_symbols);
    printer->symbol_used = NEW_ARRAY(printer->arena, bool, n_symbols);
    for (int i = 0; i < NAME_BUCKETS; i++) printer->bucket[i] = -1;
}

static int log_of(int lanes)
{
    int log = 0;
    while (1 << log < lanes) log++;
    if (1 << log != lanes || log > LANES_LOG_MOST) bug("cfamily", "%d lanes", lanes);
    return log;
}

enum dtype cfamily_index(const struct cfamily *printer)
{
    return printer->dialect->small_index ? DT_i32 : DT_i64;
}

const char *cfamily_type(struct cfamily *printer, enum dtype dt, int lanes)
{
    const char *name = dtype_name(dt == DT_index ? cfamily_index(printer) : dt);
    const char *prefix = printer->type_prefix ? printer->type_prefix : "";
    return lanes == 1 && !*prefix ? name : arena_printf(printer->arena, lanes == 1 ? "%s%s" : "%s%sx%d", prefix, name, lanes);
}

const char *cfamily_need(struct cfamily *printer, int h, enum dtype dt, enum dtype other, int lanes)
{
    bool floor = h == EX_div || h == EX_mod;
    if (lanes > 1 && printer->target->vector_bytes == 0) bug("cfamily", "a vector for a target without vectors");
    if (dt == DT_index && !floor) dt = cfamily_index(printer);
    if (other == DT_index && !floor) other = cfamily_index(printer);
    printer->used[h][dt][other][log_of(lanes)] = true;
    return cfamily_type(printer, dt, lanes);
}

const char *cfamily_ctype(struct cfamily *printer, enum dtype dt, int lanes, int mask_bytes)
{
    if (lanes == 1) return printer->dialect->scalar[dt];
    if (dt == DT_bool) dt = cfamily_mask_type(mask_bytes);
    cfamily_need(printer, HELPER_TYPE, dt, dt, lanes);
    return cfamily_vector(printer, dt, lanes);
}

const char *cfamily_vector(struct cfamily *printer, enum dtype dt, int lanes)
{
    if (!printer->dialect->has_vectors) return cfamily_type(printer, dt, lanes);
    return arena_printf(printer->arena, lanes == 1 ? "%s" : "%s%d", printer->dialect->scalar[dt], lanes);
}

const char *cfamily_memory_type(const struct cfamily *printer, enum dtype dt)
{
    if (dtype_is_half(dt)) dt = DT_u16;
    return dt == DT_bool ? printer->dialect->bool_in_memory : printer->dialect->scalar[dt];
}

enum dtype cfamily_mask_type(int bytes)
{
    return bytes == 8 ? DT_i64 : bytes == 4 ? DT_i32 : bytes == 2 ? DT_i16 : DT_i8;
}

static int natural_mask(const struct cfamily *printer, ex e, int depth)
{
    switch (e->op) {
    case EX_eq:
    case EX_lt:
    case EX_le:
    case EX_is_nan:
    case EX_is_inf:
    case EX_cast:
        if (e->arg[0]->dt != DT_bool) return (int)dtype_bytes(e->arg[0]->dt);
        return depth ? natural_mask(printer, e->arg[0], depth - 1) : 1;
    case EX_load: return 1;
    case EX_var: return printer->var_mask[e->var->id];
    case EX_const:
    case EX_splat: return 0;
    default: break; /* the logical ones take the width of their first operand that has one */
    }
    for (int i = e->op == EX_select; i < 3 && e->arg[i] && depth; i++) {
        int bytes = natural_mask(printer, e->arg[i], depth - 1);
        if (bytes) return bytes;
    }
    return depth ? 0 : 1;
}

int cfamily_mask_bytes(const struct cfamily *printer, ex e)
{
    return natural_mask(printer, e, 12);
}

/* Names */

static const char *const reserved[] = {
    "auto",    "break",     "case",         "char",     "const",   "continue",      "default", "do",      "double",
    "else",    "enum",      "extern",       "float",    "for",     "goto",          "if",      "inline",  "int",
    "long",    "register",  "restrict",     "return",   "short",   "signed",        "sizeof",  "static",  "struct",
    "switch",  "typedef",   "union",        "unsigned", "void",    "volatile",      "while",   "asm",     "typeof",
    "bool",    "true",      "false",        "NULL",     "NAN",     "INFINITY",      "unix",    "linux",   "i386",
    "main",    "in",        "out",          "arena",    "memcpy",  "kernel",        "global",  "local",   "constant",
    "private", "half",      "near",         "far",      "errno",   "assert",        "stdin",   "stdout",  "stderr",
    "nullptr", "constexpr", "thread_local", "alignas",  "alignof", "static_assert", "code",    "weights",
};

static bool is_reserved(const char *name)
{
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if (!strcmp(name, reserved[i])) return true;
    /* helpers and their types end in f32, i32x16, boolx16 ... */
    const char *end = name + strlen(name), *p = end;
    while (p > name && ((p[-1] >= '0' && p[-1] <= '9') || p[-1] == 'x')) p--;
    if (p > name && p < end && strchr("fiul", p[-1])) return end - p >= 2 || *p == '8';
    size_t n = strlen(name);
    if (n > 2 && !strcmp(name + n - 2, "_t")) return true;
    return !strncmp(name, "tenon_", 6) || !strncmp(name, "TENON_", 6) || !strncmp(name, "INT", 3) ||
           !strncmp(name, "UINT", 4);
}

static uint32_t name_hash(const char *s)
{
    uint32_t h = 2166136261u;
    for (; *s; s++) h = (h ^ (unsigned char)*s) * 16777619u;
    return h;
}

static bool is_taken(const struct cfamily *printer, const char *name)
{
    uint32_t hash = name_hash(name);
    for (int i = printer->bucket[hash % NAME_BUCKETS]; i >= 0; i = printer->names.at[i].previous)
        if (printer->names.at[i].hash == hash && !strcmp(printer->names.at[i].name, name)) return true;
    return is_reserved(name);
}

const char *cfamily_name(struct cfamily *printer, const char *wanted)
{
    char *base = text_identifier(printer->arena, wanted), *name;
    if (*base == '_' || is_reserved(base)) base = arena_printf(printer->arena, "v_%s", base);
    name = base;
    for (int k = 2; is_taken(printer, name); k++) name = arena_printf(printer->arena, "%s_%d", base, k);
    struct scoped_name scoped = {.name = name, .hash = name_hash(name)};
    int *bucket = &printer->bucket[scoped.hash % NAME_BUCKETS];
    scoped.previous = *bucket;
    *bucket = printer->names.n;
    LIST_PUSH(printer->arena, &printer->names, scoped);
    return name;
}

int cfamily_enter(struct cfamily *printer)
{
    return printer->names.n;
}

void cfamily_leave(struct cfamily *printer, int mark)
{
    while (printer->names.n > mark) {
        const struct scoped_name *last = &printer->names.at[--printer->names.n];
        printer->bucket[last->hash % NAME_BUCKETS] = last->previous;
    }
}

const char *cfamily_buffer(struct cfamily *printer, const struct buffer *buf)
{
    if (!printer->buffer_name[buf->id]) printer->buffer_name[buf->id] = printer->buffer(printer, buf);
    return printer->buffer_name[buf->id];
}

void cfamily_comment(struct text *out, const char *s)
{
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c < 32 || c >= 127 || c == '\\' || c == '?') text_add(out, c < 32 ? " " : "_");
        else text_add_n(out, s, 1);
        if ((c == '*' && s[1] == '/') || (c == '/' && s[1] == '*')) text_add(out, " ");
    }
}

/* What a function uses */

static void scan_dim(struct cfamily *printer, dim d)
{
    struct dim_view view;
    dim_open(printer->prog->dims, d, &view);
    if (view.kind == DIM_SYMBOL) printer->symbol_used[view.symbol] = true;
    for (int i = 0; i < view.n; i++) scan_dim(printer, view.part[i]);
}

static void scan_expr(struct cfamily *printer, ex e)
{
    if (!e || cfamily_seen(printer, e)) return;
    if (e->op == EX_var) printer->var_used[e->var->id] = true;
    if (e->op == EX_dim) scan_dim(printer, e->imm);
    for (int i = 0; i < 3; i++) scan_expr(printer, e->arg[i]);
}

static void scan(struct cfamily *printer, const struct stmt *list)
{
    for (const struct stmt *s = list; s; s = s->next) {
        scan_expr(printer, s->a);
        scan_expr(printer, s->b);
        scan_expr(printer, s->c);
        for (int i = 0; i < s->n_args; i++) scan_expr(printer, s->args[i].offset);
        for (int i = 0; i < s->n_scalars; i++) scan_expr(printer, s->scalars[i]);
        scan(printer, s->body);
        scan(printer, s->other);
    }
}

void cfamily_scan(struct cfamily *printer, const struct stmt *list)
{
    printer->statement++;
    scan(printer, list);
}

/* Statements */

void cfamily_line(struct cfamily *printer)
{
    static const char spaces[] = "                                                                ";
    size_t n = (size_t)printer->indent * 4;
    text_add_n(printer->out, spaces, n < sizeof spaces - 1 ? n : sizeof spaces - 1);
}

static void put_block(struct cfamily *printer, const struct stmt *list)
{
    int mark = cfamily_enter(printer);
    printer->indent++;
    cfamily_stmts(printer, list);
    printer->indent--;
    cfamily_leave(printer, mark);
}

static bool has_load(ex e)
{
    if (e->op == EX_load) return true;
    for (int i = 0; i < 3; i++)
        if (e->arg[i] && has_load(e->arg[i])) return true;
    return false;
}

/* An unrolled loop of few turns is written out, its variable a constant in each copy. */
static bool put_unrolled(struct cfamily *printer, const struct stmt *s)
{
    enum { TURNS_MOST = 64 };
    if (s->loop != LOOP_UNROLL || !ex_is_const(s->a) || !ex_is_const(s->b)) return false;
    int64_t lo = s->a->imm, hi = s->b->imm;
    if (hi - lo > TURNS_MOST * s->step) return false;
    for (int64_t i = lo; i < hi; i += s->step) {
        int mark = cfamily_enter(printer);
        cfamily_line(printer);
        text_add(printer->out, "{\n");
        if (printer->var_used[s->var->id]) {
            const char *name = printer->var_name[s->var->id] = cfamily_name(printer, s->var->name);
            printer->indent++;
            cfamily_line(printer);
            text_printf(printer->out, "const %s %s = %lld;\n", printer->dialect->scalar[DT_index], name, (long long)i);
            printer->indent--;
        }
        put_block(printer, s->body);
        cfamily_line(printer);
        text_add(printer->out, "}\n");
        cfamily_leave(printer, mark);
    }
    return true;
}

/* A loop over work-items is one of them: its number comes from the device. */
static void put_work_item(struct cfamily *printer, const struct stmt *s)
{
    bool group = s->loop <= LOOP_GROUP2;
    int mark = cfamily_enter(printer), axis = (int)(s->loop - (group ? LOOP_GROUP0 : LOOP_LANE0));
    cfamily_line(printer);
    const char *name = printer->var_name[s->var->id] = cfamily_name(printer, s->var->name);
    if (group && printer->in_stages) {
        text_printf(printer->out, "for (%s %s; (%s = %s", printer->dialect->scalar[DT_index], name, name, printer->dialect->stage);
        cfamily_expr(printer, s->b, PREC_TERNARY);
        text_add(printer->out, ")) >= 0;) {\n");
    } else text_add(printer->out, "{\n");
    printer->indent++;
    if (!group || !printer->in_stages) {
        cfamily_line(printer);
        text_printf(printer->out, "const %s %s = %s(%d);\n", printer->dialect->scalar[DT_index], name,
                    group ? "get_group_id" : "get_local_id", axis);
    }
    cfamily_stmts(printer, s->body);
    printer->indent--;
    cfamily_line(printer);
    text_add(printer->out, "}\n");
    cfamily_leave(printer, mark);
}

static void put_for(struct cfamily *printer, const struct stmt *s)
{
    struct text *out = printer->out;
    if (put_unrolled(printer, s)) return;
    if (printer->dialect->has_work_items && s->loop >= LOOP_GROUP0) {
        put_work_item(printer, s);
        return;
    }
    const char *type = printer->dialect->scalar[DT_index], *end = NULL;
    cfamily_share(printer, (ex[]){s->a, s->b}, 2);
    if (has_load(s->b)) { /* read once: the body may change it */
        end = cfamily_name(printer, "end");
        cfamily_line(printer);
        text_printf(out, "const %s %s = ", type, end);
        cfamily_expr(printer, s->b, 0);
        text_add(out, ";\n");
    }
    int mark = cfamily_enter(printer); /* temporaries of the bounds stay in the enclosing block */
    const char *name = cfamily_name(printer, s->var->name);
    cfamily_line(printer);
    text_printf(out, "for (%s %s = ", type, name);
    cfamily_expr(printer, s->a, 0);
    text_printf(out, "; %s < ", name);
    if (end) text_add(out, end);
    else cfamily_expr(printer, s->b, PREC_ADD);
    text_printf(out, "; %s += %lld) {\n", name, (long long)s->step);
    printer->var_name[s->var->id] = name;
    put_block(printer, s->body);
    cfamily_line(printer);
    text_add(out, "}\n");
    cfamily_leave(printer, mark);
}

static void put_value(struct cfamily *printer, ex e, int mask_bytes)
{
    if (e->dt == DT_bool && e->lanes > 1) cfamily_mask(printer, e, mask_bytes, 0);
    else cfamily_expr(printer, e, 0);
}

static void put_let(struct cfamily *printer, const struct stmt *s)
{
    struct var *var = s->var;
    if (!printer->var_used[var->id]) return;
    bool mask = var->dt == DT_bool && var->lanes > 1;
    cfamily_share(printer, &s->a, 1);
    if (mask) {
        int bytes = cfamily_mask_bytes(printer, s->a);
        printer->var_mask[var->id] = bytes ? bytes : 1;
    }
    const char *name = cfamily_name(printer, var->name);
    cfamily_line(printer);
    text_printf(printer->out, "%s%s %s = ", s->mutable ? "" : "const ",
                cfamily_ctype(printer, var->dt, var->lanes, printer->var_mask[var->id]), name);
    put_value(printer, s->a, printer->var_mask[var->id]);
    text_add(printer->out, ";\n");
    printer->var_name[var->id] = name;
}

static void put_set(struct cfamily *printer, const struct stmt *s)
{
    if (!printer->var_used[s->var->id]) return;
    cfamily_share(printer, &s->a, 1);
    cfamily_line(printer);
    text_printf(printer->out, "%s = ", printer->var_name[s->var->id]);
    put_value(printer, s->a, printer->var_mask[s->var->id]);
    text_add(printer->out, ";\n");
}

/* A value of the same bits in the type the buffer holds. */
static ex as_stored(struct cfamily *printer, const struct buffer *buf, ex value)
{
    enum dtype held = dtype_is_half(buf->dt) ? DT_u16 : buf->dt;
    return value->dt == held || dtype_bytes(value->dt) != dtype_bytes(held) ? value
                                                                            : ex_bits(printer->prog, value, held);
}

static void put_store(struct cfamily *printer, const struct stmt *s)
{
    struct text *out = printer->out;
    const char *buf = cfamily_buffer(printer, s->buf);
    ex value = as_stored(printer, s->buf, s->b);
    cfamily_share(printer, (ex[]){s->a, value, s->c}, 3);
    cfamily_line(printer);
    if (value->lanes == 1) {
        if (s->c) bug("cfamily", "a scalar store to %s has a count", s->buf->name);
        text_printf(out, "%s[", buf);
        cfamily_expr(printer, s->a, 0);
        text_add(out, "] = ");
        if (value->dt == DT_bool) text_printf(out, "(%s)(", printer->dialect->bool_in_memory);
        cfamily_expr(printer, value, 0);
        text_add(out, value->dt == DT_bool ? ");\n" : ";\n");
        return;
    }
    int h = s->step == 1 ? HELPER_STORE : HELPER_STORE_STRIDED;
    if (s->c) h = s->step == 1 ? HELPER_STORE_FIRST : HELPER_STORE_STRIDED_FIRST;
    static const char *const word[] = {"store", "store_strided", "store_first", "store_strided_first"};
    text_printf(out, "%s_%s(%s", word[h - HELPER_STORE], cfamily_need(printer, h, value->dt, value->dt, value->lanes),
                buf);
    if (!ex_is_int(s->a, 0)) {
        text_add(out, " + ");
        cfamily_expr(printer, s->a, PREC_ADD + (s->a->op != EX_add));
    }
    if (s->step != 1) text_printf(out, ", %lld", (long long)s->step);
    if (s->c) {
        text_add(out, ", ");
        cfamily_expr(printer, s->c, PREC_TERNARY);
    }
    text_add(out, ", ");
    put_value(printer, value, 1);
    text_add(out, ");\n");
}

static void put_if(struct cfamily *printer, const struct stmt *s)
{
    cfamily_share(printer, &s->a, 1);
    cfamily_line(printer);
    text_add(printer->out, "if (");
    cfamily_expr(printer, s->a, 0);
    text_add(printer->out, ") {\n");
    put_block(printer, s->body);
    if (s->other) {
        cfamily_line(printer);
        text_add(printer->out, "} else {\n");
        put_block(printer, s->other);
    }
    cfamily_line(printer);
    text_add(printer->out, "}\n");
}

/* The condition may use what the body defines, so it stands inside the loop. */
static void put_while(struct cfamily *printer, const struct stmt *s)
{
    int mark = cfamily_enter(printer);
    cfamily_line(printer);
    text_add(printer->out, "for (;;) {\n");
    printer->indent++;
    cfamily_stmts(printer, s->body);
    cfamily_share(printer, &s->a, 1);
    cfamily_line(printer);
    text_add(printer->out, "if (!(");
    cfamily_expr(printer, s->a, 0);
    text_add(printer->out, ")) break;\n");
    printer->indent--;
    cfamily_line(printer);
    text_add(printer->out, "}\n");
    cfamily_leave(printer, mark);
}

static void put_fail(struct cfamily *printer, const struct stmt *s)
{
    cfamily_share(printer, &s->a, 1);
    cfamily_line(printer);
    text_add(printer->out, "if (");
    cfamily_expr(printer, s->a, 0);
    text_printf(printer->out, ") %s%d%s\n", printer->dialect->fail, s->code, printer->dialect->fail_end);
}

/* By address as a number: the element may lie outside of the buffer, where C knows no pointers. */
static void put_prefetch(struct cfamily *printer, const struct stmt *s)
{
    cfamily_share(printer, &s->a, 1);
    cfamily_line(printer);
    text_printf(printer->out, "__builtin_prefetch((const void *)((uintptr_t)%s + (uintptr_t)(%lld*(", cfamily_buffer(printer, s->buf),
                (long long)dtype_bytes(s->buf->dt));
    cfamily_expr(printer, s->a, 0);
    text_add(printer->out, "))), 0, 2);\n");
}

void cfamily_stmts(struct cfamily *printer, const struct stmt *list)
{
    for (const struct stmt *s = list; s; s = s->next) switch (s->kind) {
        case STMT_FOR: put_for(printer, s); break;
        case STMT_STORE: put_store(printer, s); break;
        case STMT_LET: put_let(printer, s); break;
        case STMT_SET: put_set(printer, s); break;
        case STMT_IF: put_if(printer, s); break;
        case STMT_WHILE: put_while(printer, s); break;
        case STMT_CALL: printer->call(printer, s); break;
        case STMT_FAIL: put_fail(printer, s); break;
        case STMT_PREFETCH: put_prefetch(printer, s); break;
        case STMT_BARRIER: printer->barrier(printer, s); break;
        }
}
