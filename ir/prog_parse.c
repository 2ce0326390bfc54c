/* Reads programs: declarations, kernels and statements.  prog_print.c shows the form; expressions are read in
 * prog_parse_expr.c.
 *
 * Recursive descent with one token of lookahead. After an error reading goes on at the next line, so that one run
 * reports several mistakes; a line that opens a block has its block read all the same.
 */
#include "prog_parse.h"

#include "prog_print.h"

#include <stdarg.h>
#include <string.h>

void token_advance(struct parser *p)
{
    p->token = p->next;
    p->next = scan(&p->scanner);
}

bool token_is(const struct parser *p, const char *text)
{
    return (p->token.kind == TOKEN_NAME || p->token.kind == TOKEN_SIGN) && !strcmp(p->token.text, text);
}

bool token_take(struct parser *p, const char *text)
{
    if (!token_is(p, text)) return false;
    token_advance(p);
    return true;
}

bool parse_error(struct parser *p, const char *format, ...)
{
    char words[256];
    va_list args;
    va_start(args, format);
    vsnprintf(words, sizeof words, format, args);
    va_end(args);
    return diag_error(p->diag, p->token.place, "%s", words);
}

bool token_expect(struct parser *p, const char *text)
{
    if (token_take(p, text)) return true;
    if (p->token.kind == TOKEN_END) return parse_error(p, "'%s' is expected before the end", text);
    return parse_error(p, "'%s' is expected, not '%s'", text, p->token.text);
}

const char *parse_name(struct parser *p, const char *what)
{
    const char *name = p->token.text;
    if (p->token.kind != TOKEN_NAME) return parse_error(p, "the name of %s is expected", what), NULL;
    token_advance(p);
    return name;
}

static bool parse_integer(struct parser *p, int64_t least, int64_t most, int64_t *v)
{
    struct place place = p->token.place;
    dim d;
    if (!parse_dim(p, &d)) return false;
    if (!dim_is_const(d) || d < least || d > most)
        return diag_error(p->diag, place, "a number from %lld to %lld is expected", (long long)least, (long long)most);
    *v = d;
    return true;
}

static bool parse_range(struct parser *p, dim *lo, dim *hi)
{
    return parse_dim(p, lo) && token_expect(p, "..") && parse_dim(p, hi);
}

static bool is_new_name(struct parser *p, struct place place, const char *name)
{
    dim d;
    if (parser_find_var(p, name)) return diag_error(p->diag, place, "%s is a variable already", name);
    if (dim_find_symbol(p->prog->dims, name, &d)) return diag_error(p->diag, place, "%s is a dim already", name);
    return true;
}

/* ` name: type range` of lets, registers and scalar parameters; into scope goes what the caller puts there. */
static struct var *parse_var(struct parser *p)
{
    enum dtype dt;
    int lanes;
    struct place place = p->token.place;
    const char *name = parse_name(p, "a variable");
    if (!name || !is_new_name(p, place, name) || !token_expect(p, ":") || !parse_dtype(p, &dt, &lanes)) return NULL;
    struct var *var = prog_var(p->prog, name, dt, lanes);
    if (dt == DT_index && !token_is(p, "=") && !token_is(p, ",") && !token_is(p, ")") && !parse_range(p, &var->lo, &var->hi)) return NULL;
    return var;
}

static void scope_add(struct parser *p, struct var *var)
{
    LIST_PUSH(p->scratch, &p->vars, (struct parser_var){var});
}

/* The shape and elements behind `name: `. */
static bool parse_buffer_type(struct parser *p, struct type *type, dim *elements)
{
    int lanes;
    struct place place = p->token.place;
    *type = (struct type){.rank = 0};
    if (!parse_dtype(p, &type->dt, &lanes)) return false;
    if (lanes != 1) return diag_error(p->diag, place, "elements have one lane");
    if (token_take(p, "(")) return parse_dim(p, elements) && token_expect(p, ")");
    if (!token_expect(p, "[")) return false;
    while (!token_is(p, "]")) {
        if (type->rank && !token_expect(p, ",")) return false;
        if (type->rank == RANK_MOST) return parse_error(p, "more than %d axes", RANK_MOST);
        if (!parse_dim(p, &type->dim[type->rank++])) return false;
    }
    *elements = type_elements(p->prog->dims, type);
    token_advance(p);
    return !token_take(p, "elements") || parse_dim(p, elements);
}

static bool parse_data(struct parser *p, struct buffer *buf)
{
    if (token_take(p, "data")) {
        const struct prog_weights *weights = p->weights;
        buf->tensor = weights && weights->find ? weights->find(weights->ctx, buf->name) : NULL;
        if (!buf->tensor) return diag_error(p->diag, buf->place, "the data of weight %s is not in this text", buf->name);
        return true;
    }
    struct tensor *tensor = NEW(p->prog->session, struct tensor);
    int64_t n = dim_is_const(buf->elements) ? buf->elements : -1, size = dtype_bytes(buf->dt), count = 0;
    if (n < 0 || n > 1 << 16) return diag_error(p->diag, buf->place, "weight %s: its elements are not listed in a text", buf->name);
    unsigned char *data = arena_array(p->prog->session, (size_t)n, (size_t)size);
    if (!token_expect(p, "{")) return false;
    for (; !token_is(p, "}"); count++) {
        if (count && !token_expect(p, ",")) return false;
        if (count == n) return parse_error(p, "weight %s has %lld elements, here is one more", buf->name, (long long)n);
        if (!parse_element(p, buf->dt, data + count * size)) return false;
    }
    if (count != n) return parse_error(p, "weight %s has %lld elements, here are %lld", buf->name, (long long)n, (long long)count);
    *tensor = (struct tensor){.type = buf->type, .data = data, .n_bytes = n * size};
    if (buf->type.rank == 0 && n != 1) tensor->type.rank = 1, tensor->type.dim[0] = n;
    buf->tensor = tensor;
    return token_expect(p, "}");
}

/* "on host", "on both" or nothing. */
static bool parse_side(struct parser *p, enum side *side)
{
    if (!token_take(p, "on")) return true;
    *side = token_is(p, "host") ? SIDE_HOST : SIDE_BOTH;
    return token_take(p, "host") || token_expect(p, "both");
}

static struct buffer *parse_buffer(struct parser *p, enum space space, struct kernel *kernel)
{
    struct place place = p->token.place;
    const char *name = parse_name(p, "a buffer"), *user_name = name;
    struct type type;
    dim elements;
    if (!name) return NULL;
    for (int i = 0; i < p->buffers.n; i++)
        if (!strcmp(p->buffers.at[i]->name, name)) return diag_error(p->diag, place, "%s is a buffer already", name), NULL;
    if (p->token.kind == TOKEN_STRING && (space == SPACE_INPUT || space == SPACE_OUTPUT)) {
        user_name = p->token.text;
        token_advance(p);
    }
    if (!token_expect(p, ":") || !parse_buffer_type(p, &type, &elements)) return NULL;
    struct buffer *buf = kernel ? kernel_param(p->prog, kernel, name, type.dt, elements) : prog_buffer(p->prog, name, type.dt, space, elements);
    buf->type = type;
    buf->place = place;
    user_name = arena_strdup(p->prog->arena, user_name);
    if (space == SPACE_INPUT) LIST_PUSH(p->prog->arena, &p->prog->input_names, user_name);
    if (space == SPACE_OUTPUT) LIST_PUSH(p->prog->arena, &p->prog->output_names, user_name);
    LIST_PUSH(p->scratch, &p->buffers, buf);
    if ((space == SPACE_ARENA || space == SPACE_OUTPUT) && !parse_side(p, &buf->side)) return NULL;
    if (space == SPACE_WEIGHT && token_take(p, "=") && !parse_data(p, buf)) return NULL;
    if (space == SPACE_ARENA && token_take(p, "at") && !parse_dim(p, &buf->offset_bytes)) return NULL;
    return buf;
}

/* After an error: to the next line. True where the line left opened a block. */
static bool skip_line(struct parser *p, int line)
{
    bool opens = false;
    while (p->token.kind != TOKEN_END && p->token.place.line <= line) {
        opens = token_is(p, "{");
        token_advance(p);
    }
    return opens;
}

static bool parse_block(struct parser *p, struct stmt **list);

/* From the variable to the bounds. The variable is in scope afterwards even where the rest is wrong: the block that
 * follows is read all the same, and should not be reported for it. */
static bool parse_for_head(struct parser *p, struct stmt *stmt)
{
    struct prog *prog = p->prog;
    struct place place = p->token.place;
    const char *name = parse_name(p, "a variable");
    if (!name || !is_new_name(p, place, name)) return false;
    struct var *var = prog_index(prog, name, 1, 0);
    int scope = p->vars.n;
    bool ranged = token_take(p, "of"), fine = !ranged || parse_range(p, &var->lo, &var->hi);
    if (fine && token_expect(p, "in")) {
        place = p->token.place;
        stmt->a = parse_expr(p);
        if (stmt->a && token_expect(p, "..")) stmt->b = parse_expr(p);
    }
    fine = stmt->b && (!token_take(p, "step") || parse_integer(p, 1, DIM_HUGE, &stmt->step));
    p->vars.n = scope;
    stmt->var = var;
    scope_add(p, var);
    if (!fine || ranged) return fine;
    dim lo, hi;
    if (!ex_as_dim(stmt->a, &lo) || !ex_as_dim(stmt->b, &hi))
        return diag_error(p->diag, place, "%s wants a range: `for %s of lo..hi in ...`", name, name);
    var->lo = lo;
    var->hi = dim_sub(prog->dims, hi, 1);
    return true;
}

static bool parse_for(struct parser *p, struct stmt *stmt)
{
    static const char *const kind[] = {"serial", "parallel", "unroll", "group0", "group1", "group2", "lane0", "lane1", "lane2"};
    int scope = p->vars.n, n = 0;
    if (token_take(p, ".")) {
        while (n < 9 && !token_is(p, kind[n])) n++;
        if (n == 9) return parse_error(p, "no kind of loop %s", p->token.text);
        stmt->loop = (enum loop_kind)n;
        token_advance(p);
    }
    if (!parse_for_head(p, stmt)) return false;
    bool fine = parse_block(p, &stmt->body);
    p->vars.n = scope;
    return fine;
}

static bool parse_store(struct parser *p, struct stmt *stmt)
{
    stmt->buf = parse_buffer_name(p);
    if (!stmt->buf || !token_expect(p, "[")) return false;
    stmt->a = parse_expr(p);
    if (!stmt->a) return false;
    if (token_take(p, "by") && !parse_integer(p, -DIM_HUGE, DIM_HUGE, &stmt->step)) return false;
    if (token_take(p, "first")) {
        stmt->c = parse_expr(p);
        if (!stmt->c) return false;
    }
    if (!token_expect(p, "]") || !token_expect(p, "=")) return false;
    stmt->b = parse_expr(p);
    return stmt->b != NULL;
}

static bool parse_prefetch(struct parser *p, struct stmt *stmt)
{
    stmt->buf = parse_buffer_name(p);
    if (!stmt->buf || !token_expect(p, "[")) return false;
    stmt->a = parse_expr(p);
    return stmt->a && token_expect(p, "]");
}

static bool parse_let(struct parser *p, struct stmt *stmt)
{
    stmt->var = parse_var(p);
    if (!stmt->var || !token_expect(p, "=")) return false;
    stmt->a = parse_expr(p);
    scope_add(p, stmt->var); /* even after an error: what follows should not be reported for it */
    return stmt->a != NULL;
}

static bool parse_set(struct parser *p, struct stmt *stmt)
{
    struct place place = p->token.place;
    const char *name = parse_name(p, "a register");
    if (!name) return false;
    stmt->var = parser_find_var(p, name);
    if (!stmt->var) return diag_error(p->diag, place, "no variable %s here", name);
    if (!token_expect(p, "=")) return false;
    stmt->a = parse_expr(p);
    return stmt->a != NULL;
}

static bool parse_call(struct parser *p, struct stmt *stmt, bool is_extern)
{
    LIST(struct call_arg) args = {.at = NULL};
    LIST(ex) scalars = {.at = NULL};
    struct prog *prog = p->prog;
    struct place place = p->token.place;
    const char *name = parse_name(p, "a kernel");
    if (!name) return false;
    stmt->extern_name = is_extern ? arena_strdup(prog->arena, name) : NULL;
    for (int i = 0; !is_extern && i < prog->kernels.n; i++)
        if (!strcmp(prog->kernels.at[i]->name, name)) stmt->kernel = prog->kernels.at[i];
    if (!is_extern && !stmt->kernel) return diag_error(p->diag, place, "no kernel %s above", name);
    if (!token_expect(p, "(")) return false;
    while (!token_is(p, ")") && !token_is(p, ";")) {
        struct call_arg arg = {.offset = NULL};
        if (args.n && !token_expect(p, ",")) return false;
        arg.buf = parse_buffer_name(p);
        if (!arg.buf || (token_take(p, "+") && !(arg.offset = parse_expr(p)))) return false;
        LIST_PUSH(prog->arena, &args, arg);
    }
    if (token_take(p, ";"))
        do {
            ex e = parse_expr(p);
            if (!e) return false;
            LIST_PUSH(prog->arena, &scalars, e);
        } while (token_take(p, ","));
    stmt->args = args.at;
    stmt->n_args = args.n;
    stmt->scalars = scalars.at;
    stmt->n_scalars = scalars.n;
    return token_expect(p, ")");
}

static bool parse_if(struct parser *p, struct stmt *stmt)
{
    stmt->a = parse_expr(p);
    if (!stmt->a || !parse_block(p, &stmt->body)) return false;
    return !token_take(p, "else") || parse_block(p, &stmt->other);
}

static bool parse_while(struct parser *p, struct stmt *stmt)
{
    if (!parse_block(p, &stmt->body) || !token_expect(p, "while")) return false;
    stmt->a = parse_expr(p);
    return stmt->a != NULL;
}

static bool parse_fail(struct parser *p, struct stmt *stmt)
{
    int64_t code;
    if (!parse_integer(p, -1000000, 1000000, &code) || !token_expect(p, "if")) return false;
    stmt->code = (int)code;
    stmt->a = parse_expr(p);
    return stmt->a != NULL;
}

/* `with $1 = e`: names an expression for the statements below. */
static bool parse_with(struct parser *p)
{
    struct token token = p->token;
    if (token.kind != TOKEN_SHARED) return parse_error(p, "$1 or the like is expected");
    token_advance(p);
    if (!token_expect(p, "=")) return false;
    ex e = parse_expr(p);
    if (token.integer != (uint64_t)p->shared.n + 1 || p->shared.n == SHARED_MOST)
        return e && diag_error(p->diag, token.place, "$%d comes next", p->shared.n + 1);
    LIST_PUSH(p->scratch, &p->shared, e); /* NULL after an error, which was reported: uses of it say nothing more */
    return e != NULL;
}

static bool parse_wait(struct parser *p, struct stmt *stmt)
{
    int64_t call;
    if (!parse_integer(p, 0, INT32_MAX - 1, &call)) return false;
    stmt->code = (int)call + 1;
    return true;
}

/* A statement behind its first word; *found: whether that word was one. */
static bool parse_stmt_of(struct parser *p, struct stmt *stmt, bool *found)
{
    static const struct {
        const char *word;
        enum stmt_kind kind;
    } row[] = {{"for", STMT_FOR}, {"store", STMT_STORE}, {"let", STMT_LET}, {"reg", STMT_LET}, {"set", STMT_SET},
               {"if", STMT_IF}, {"do", STMT_WHILE}, {"call", STMT_CALL}, {"extern", STMT_CALL}, {"fail", STMT_FAIL}, {"prefetch", STMT_PREFETCH},
               {"barrier", STMT_BARRIER}, {"wait", STMT_BARRIER}};
    size_t i = 0, n = sizeof row / sizeof *row;
    const char *word = p->token.text;
    while (i < n && !token_is(p, row[i].word)) i++;
    *found = i < n;
    if (!*found) return parse_error(p, p->token.kind == TOKEN_END ? "the text ends inside a block" : "a statement is expected, not '%s'", word);
    token_advance(p);
    stmt->kind = row[i].kind;
    stmt->mutable = !strcmp(word, "reg");
    switch (stmt->kind) {
    case STMT_FOR: return parse_for(p, stmt);
    case STMT_STORE: return parse_store(p, stmt);
    case STMT_LET: return parse_let(p, stmt);
    case STMT_SET: return parse_set(p, stmt);
    case STMT_IF: return parse_if(p, stmt);
    case STMT_WHILE: return parse_while(p, stmt);
    case STMT_CALL: return parse_call(p, stmt, !strcmp(word, "extern"));
    case STMT_FAIL: return parse_fail(p, stmt);
    case STMT_PREFETCH: return parse_prefetch(p, stmt);
    case STMT_BARRIER: return strcmp(word, "wait") != 0 || parse_wait(p, stmt);
    }
    return false;
}

/* Statements up to `}`, which is taken. Errors inside are reported and gone past: false only where the end of the
 * block was not found. */
static bool parse_stmts(struct parser *p, struct stmt **list)
{
    int scope = p->vars.n;
    struct stmt **tail = list;
    while (!token_is(p, "}") && p->token.kind != TOKEN_END && !diag_full(p->diag)) {
        struct stmt *stmt = stmt_new(p->prog, STMT_BARRIER);
        bool found = true;
        stmt->place = p->token.place;
        bool with = token_take(p, "with");
        if (with ? parse_with(p) : parse_stmt_of(p, stmt, &found)) {
            if (!with) *tail = stmt, tail = &stmt->next;
            continue;
        }
        int line = p->token.place.line > stmt->place.line ? p->token.place.line - 1 : stmt->place.line;
        struct stmt *lost = NULL;
        if (skip_line(p, line) && found && p->depth < DEPTH_MOST) {
            p->depth++;
            parse_stmts(p, &lost);
            p->depth--;
        }
    }
    p->vars.n = scope;
    return token_expect(p, "}");
}

static bool parse_block(struct parser *p, struct stmt **list)
{
    if (p->depth >= DEPTH_MOST) return parse_error(p, "nested more than %d deep", DEPTH_MOST);
    p->depth++;
    bool fine = token_expect(p, "{") && parse_stmts(p, list);
    p->depth--;
    return fine;
}

static bool parse_params(struct parser *p, struct kernel *kernel)
{
    if (!token_expect(p, "(")) return false;
    for (bool first = true; !token_is(p, ")"); first = false) {
        if (!first && !token_expect(p, ",")) return false;
        bool in = token_is(p, "in"), out = token_is(p, "out");
        if ((in || out) && p->next.kind == TOKEN_NAME) {
            if (kernel->scalars.n) return parse_error(p, "buffers come before scalars");
            token_advance(p);
            struct buffer *buf = parse_buffer(p, SPACE_PARAM, kernel);
            if (!buf) return false;
            buf->written = out;
        } else {
            struct var *var = parse_var(p);
            if (!var) return false;
            LIST_PUSH(p->prog->arena, &kernel->scalars, var);
            scope_add(p, var);
        }
    }
    token_advance(p);
    return true;
}

static bool parse_note(struct parser *p, const char **note)
{
    if (p->token.kind != TOKEN_STRING) return parse_error(p, "a string is expected");
    *note = arena_strdup(p->prog->arena, p->token.text);
    token_advance(p);
    return true;
}

static bool parse_cost(struct parser *p, struct kernel *kernel)
{
    return parse_element(p, DT_f64, &kernel->flops) && token_expect(p, ",") && parse_element(p, DT_f64, &kernel->bytes) &&
           (!token_take(p, ",") || (token_expect(p, "direct") && parse_element(p, DT_f64, &kernel->direct_flops)));
}

/* Notes and local arrays at the head of a kernel. */
static bool parse_kernel_head(struct parser *p, struct kernel *kernel)
{
    if (!parse_side(p, &kernel->side) || !token_expect(p, "{")) return false;
    for (;;) {
        int line = p->token.place.line;
        bool fine = true;
        if (token_take(p, "layers")) fine = parse_note(p, &kernel->layers);
        else if (token_take(p, "strategy")) fine = parse_note(p, &kernel->strategy);
        else if (token_take(p, "cost")) fine = parse_cost(p, kernel);
        else if (token_take(p, "local")) fine = parse_buffer(p, SPACE_LOCAL, NULL) != NULL;
        else if (token_take(p, "shared")) fine = parse_buffer(p, SPACE_GROUP, NULL) != NULL;
        else return true;
        if (!fine) skip_line(p, line);
    }
}

static bool parse_kernel(struct parser *p)
{
    struct place place = p->token.place;
    const char *name = parse_name(p, "a kernel");
    int globals = p->buffers.n;
    if (!name) return false;
    for (int i = 0; i < p->prog->kernels.n; i++)
        if (!strcmp(p->prog->kernels.at[i]->name, name)) return diag_error(p->diag, place, "%s is a kernel already", name);
    struct buffer **hidden = p->buffers.at; /* a kernel sees none of the program's buffers */
    int hidden_cap = p->buffers.cap;
    p->buffers.at = NULL;
    p->buffers.n = p->buffers.cap = 0;
    p->shared.n = p->vars.n = 0;
    struct kernel *kernel = prog_kernel(p->prog, "k");
    kernel->name = arena_strdup(p->prog->arena, name);
    kernel->place = place;
    bool fine = parse_params(p, kernel) || skip_line(p, p->token.place.line);
    if (fine && p->token.place.line == place.line) fine = parse_kernel_head(p, kernel);
    fine = fine && parse_stmts(p, &kernel->body);
    p->vars.n = 0;
    p->buffers.at = hidden;
    p->buffers.n = globals;
    p->buffers.cap = hidden_cap;
    return fine;
}

static bool parse_symbol_line(struct parser *p)
{
    struct place place = p->token.place;
    const char *name = p->token.text;
    int64_t lo, hi;
    if (p->token.kind != TOKEN_STRING && p->token.kind != TOKEN_NAME) return parse_error(p, "the name of a dim is expected");
    token_advance(p);
    if (!parse_integer(p, 0, DIM_HUGE, &lo) || !token_expect(p, "..") || !parse_integer(p, lo, DIM_HUGE, &hi)) return false;
    for (int i = p->first_symbol; i < dims_n_symbols(p->prog->dims); i++)
        if (!strcmp(dims_symbol(p->prog->dims, i)->name, name)) return diag_error(p->diag, place, "%s is a dim already", name);
    dim_symbol(p->prog->dims, name, lo, hi);
    return true;
}

static bool parse_threads(struct parser *p)
{
    int64_t threads;
    const char *worker = NULL, *workers = NULL;
    if (!parse_integer(p, 1, THREADS_MOST, &threads) || !token_expect(p, "as")) return false;
    worker = parse_name(p, "a variable");
    if (!worker || !token_expect(p, "of")) return false;
    workers = parse_name(p, "a variable");
    if (workers) prog_workers(p->prog, (int)threads, worker, workers);
    return workers != NULL;
}

static bool parse_main(struct parser *p)
{
    p->shared.n = 0;
    if (p->prog->threads) {
        scope_add(p, p->prog->worker);
        scope_add(p, p->prog->workers);
    }
    return parse_block(p, &p->prog->main);
}

static bool parse_declaration(struct parser *p, bool *main_found)
{
    struct place place = p->token.place;
    if (token_take(p, "dim")) return parse_symbol_line(p);
    if (token_take(p, "input")) return parse_buffer(p, SPACE_INPUT, NULL) != NULL;
    if (token_take(p, "output")) return parse_buffer(p, SPACE_OUTPUT, NULL) != NULL;
    if (token_take(p, "weight")) return parse_buffer(p, SPACE_WEIGHT, NULL) != NULL;
    if (token_take(p, "arena")) return parse_buffer(p, SPACE_ARENA, NULL) != NULL;
    if (token_take(p, "arena_bytes")) return parse_dim(p, &p->prog->arena_bytes);
    if (token_take(p, "threads")) return parse_threads(p);
    if (token_take(p, "kernel")) return parse_kernel(p);
    if (!token_take(p, "main")) return parse_error(p, "a declaration is expected, not '%s'", p->token.text);
    if (*main_found) return diag_error(p->diag, place, "a second main");
    *main_found = true;
    return parse_main(p);
}

static void parse_program(struct parser *p)
{
    bool main_found = false;
    if (token_expect(p, "program") && p->token.kind == TOKEN_STRING) {
        p->prog->name = arena_strdup(p->prog->arena, p->token.text);
        token_advance(p);
    } else if (!diag_errors(p->diag)) parse_error(p, "the program's name in quotes is expected");
    while (p->token.kind != TOKEN_END && !diag_full(p->diag)) {
        int line = p->token.place.line;
        if (!parse_declaration(p, &main_found)) skip_line(p, line);
    }
    if (!main_found && !diag_full(p->diag)) parse_error(p, "a program needs a main");
}

struct prog *prog_parse_weights(const struct source *source, struct arena *unit, struct arena *session, struct dims *dims,
                                const struct prog_weights *weights, struct diag *diag)
{
    int errors = diag_errors(diag);
    struct parser p = {.scanner = {.source = source, .arena = arena_new(), .line = 1}, .diag = diag, .weights = weights, .first_symbol = dims_n_symbols(dims)};
    p.scratch = p.scanner.arena;
    p.prog = prog_new(unit, session, dims, "");
    token_advance(&p);
    token_advance(&p);
    parse_program(&p);
    arena_free(p.scratch);
    return diag_errors(diag) == errors ? p.prog : NULL;
}

struct prog *prog_parse(const struct source *source, struct arena *unit, struct arena *session, struct dims *dims, struct diag *diag)
{
    return prog_parse_weights(source, unit, session, dims, NULL, diag);
}
