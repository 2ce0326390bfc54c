/* Kernels of pass lower: a nest over formal parameters, and the call that binds them.  See lower.h. */
#include "flops.h"
#include "lower.h"

#include <string.h>

struct formal {
    const struct value *value; /* NULL: the result */
    struct buffer *param;
    struct view view; /* over the formal */
    struct call_arg arg;
};
struct building {
    struct lowering *l;
    struct storage *storage;
    struct kernel *kernel;
    LIST(struct formal *) formals;
    struct text layers;           /* the user's names, as identifiers */
    struct text names, operators; /* the same as the user has them, and what is computed; for reports */
    LIST(const struct value *) computed;
    const char *stored;           /* why the result is */
};

static const struct view *formal_for(struct building *b, const struct value *value, const struct storage *at, const struct type *type, const char *name)
{
    struct prog *prog = b->l->prog;
    struct formal *f = NEW(prog->arena, struct formal);
    dim last = 0;
    for (int i = 0; i < type->rank; i++)
        last = dim_add(prog->dims, last, dim_mul(prog->dims, dim_sub(prog->dims, type->dim[i], 1), at->view.stride[i]));
    for (int i = 0; i < type->rank; i++)
        if (type->dim[i] == 0) last = -1;
    f->value = value;
    f->param = kernel_param(prog, b->kernel, name, type->dt, dim_add(prog->dims, last, 1));
    f->param->type = *type;
    f->view = at->view;
    f->view.buf = f->param;
    f->view.offset = 0;
    ex offset = ex_dim(prog, at->view.offset);
    f->arg = (struct call_arg){at->view.buf, at->call_offset ? ex_binary(prog, EX_add, offset, at->call_offset) : offset};
    LIST_PUSH(prog->arena, &b->formals, f);
    return &f->view;
}

static const char *value_name(struct lowering *l, const struct value *value)
{
    return value->name && value->name[0] ? text_identifier(l->prog->arena, value->name) : op_row(value->node->op)->name;
}

static const struct view *view_of(struct nest *nest, const struct value *value)
{
    struct building *b = nest->ctx;
    for (int i = 0; i < b->formals.n; i++)
        if (b->formals.at[i]->value == value) return &b->formals.at[i]->view;
    return formal_for(b, value, storage_of(b->l, b->storage, value), &value->type, value_name(b->l, value));
}

static struct stmt *call_of(struct building *b)
{
    struct prog *prog = b->l->prog;
    struct stmt *call = stmt_new(prog, STMT_CALL);
    call->n_args = b->formals.n;
    call->args = NEW_ARRAY(prog->arena, struct call_arg, call->n_args + 1);
    for (int i = 0; i < b->formals.n; i++) call->args[b->formals.at[i]->param->position] = b->formals.at[i]->arg;
    call->place = b->kernel->place;
    call->kernel = kernel_shared(prog, b->kernel);
    if (call->kernel != b->kernel && b->kernel->layers[0] && strlen(call->kernel->layers) < 2000)
        call->kernel->layers = arena_printf(prog->arena, "%s; %s", call->kernel->layers, b->kernel->layers);
    struct call_origin *origin = NEW(prog->arena, struct call_origin);
    *origin = (struct call_origin){.layers = b->names.n ? text_string(&b->names) : "",
                                   .operators = b->operators.n ? text_string(&b->operators) : b->kernel->name,
                                   .stored = b->stored ? b->stored : "",
                                   .n_fused = b->computed.n ? b->computed.n - 1 : 0};
    call->origin = origin;
    return call;
}

static void note_name(struct text *list, const char *name)
{
    size_t n = strlen(name);
    for (const char *s = list->n ? text_string(list) : NULL; s; s = strstr(s, ", ") ? strstr(s, ", ") + 2 : NULL)
        if (!strncmp(s, name, n) && (!s[n] || s[n] == ',')) return;
    text_printf(list, "%s%s", list->n ? ", " : "", name);
}

/* For the call's origin: each value once, though several in the group may use it. */
static void note_value(struct building *b, const struct value *value)
{
    for (int i = 0; i < b->computed.n; i++)
        if (b->computed.at[i] == value) return;
    LIST_PUSH(b->l->prog->arena, &b->computed, value);
    text_printf(&b->operators, "%s%s", b->operators.n ? " " : "", op_row(value->node->op)->name);
    const struct place *place = &value->node->place;
    if (place->line && place->path) note_name(&b->names, place->path); /* the layer that the language's text calls */
    if (value->name && value->name[0]) note_name(&b->names, value->name);
}

/* The operators of a fused group, for the kernel's name, and the user's names for them. */
static void describe(struct building *b, const struct value *value, struct text *name, int *n, int depth)
{
    const struct node *node = value->node;
    if (depth > 40 || *n > 60) return;
    for (int i = 0; i < node->n_in; i++)
        if (node->in[i]->fused) describe(b, node->in[i], name, n, depth + 1);
    const char *op = op_row(node->op)->name;
    bool heavy = op_row(node->op)->kind != OP_MOVE || name->n == 0;
    size_t length = strlen(op);
    bool again = name->n >= length && !strcmp(text_string(name) + name->n - length, op);
    if (heavy && !again && name->n < 36) text_printf(name, "%s%s", name->n ? "_" : "", op);
    if (value->name && value->name[0] && b->layers.n < 400) text_printf(&b->layers, "%s%s", b->layers.n ? ", " : "", text_identifier(b->l->prog->arena, value->name));
    note_value(b, value);
    ++*n;
}

static void measure(struct lowering *l, struct kernel *kernel)
{
    kernel->flops = flops_of(l->prog, kernel->body);
    kernel->bytes = 0;
    for (int i = 0; i < kernel->params.n; i++) { /* its elements; `elements` spans what lies between them too */
        struct buffer *param = kernel->params.at[i];
        dim elements = dim_min(l->prog->dims, param->elements, type_elements(l->prog->dims, &param->type));
        kernel->bytes += (double)dim_lo(l->prog->dims, elements) * (double)dtype_bytes(param->dt);
    }
}

struct stmt *kernel_of_value(struct lowering *l, struct storage *storage, const struct value *value, const struct storage *to)
{
    struct prog *prog = l->prog;
    if (type_count(&value->type) == 0) return NULL;
    struct building b = {.l = l, .storage = storage, .layers = {.arena = prog->arena},
                         .names = {.arena = prog->arena}, .operators = {.arena = prog->arena}, .stored = value->stored};
    struct text name = {.arena = prog->arena};
    int n = 0;
    describe(&b, value, &name, &n, 0);
    b.kernel = prog_kernel(prog, text_string(&name));
    b.kernel->layers = text_string(&b.layers);
    b.kernel->side = l->side;
    b.kernel->place = value->node->place;
    struct nest *nest = NEW(prog->arena, struct nest);
    nest_start(nest, prog);
    nest->view_of = view_of;
    nest->ctx = &b;
    const struct view *result = formal_for(&b, NULL, to, &value->type, "y");
    b.formals.at[0]->param->written = true;
    nest_store(nest, value, result);
    b.kernel->body = nest_finish(nest);
    measure(l, b.kernel);
    const struct attr *direct = node_attr(value->node, "direct_flops");
    if (direct) b.kernel->direct_flops = direct->f;
    return call_of(&b);
}

/* Loops over the type; to[index] = from[index], or = fill where that is not NULL. */
static struct stmt *kernel_of_loops(struct lowering *l, const char *name, const struct type *type, const struct storage *from, ex fill, const struct storage *to)
{
    struct prog *prog = l->prog;
    if (type_count(type) == 0) return NULL;
    struct building b = {.l = l, .kernel = prog_kernel(prog, name)};
    b.kernel->side = l->side;
    b.stored = fill ? "the border of a value that is read beyond its edges" : "needed in a second place";
    const struct view *y = formal_for(&b, NULL, to, type, "y"), *x = fill ? NULL : formal_for(&b, NULL, from, type, "x");
    b.formals.at[0]->param->written = true;
    ex source = ex_dim(prog, 0), target = ex_dim(prog, 0);
    struct var *vars[RANK_MOST];
    for (int i = 0; i < type->rank; i++) {
        vars[i] = prog_index(prog, arena_printf(prog->arena, "i%d", i), 0, dim_sub(prog->dims, type->dim[i], 1));
        if (x) source = ex_binary(prog, EX_add, source, ex_binary(prog, EX_mul, ex_var(prog, vars[i]), ex_dim(prog, x->stride[i])));
        target = ex_binary(prog, EX_add, target, ex_binary(prog, EX_mul, ex_var(prog, vars[i]), ex_dim(prog, y->stride[i])));
    }
    ex v = fill ? fill : ex_load(prog, x->buf, type->dt, source, 1, 1);
    struct stmt *body = stmt_store(prog, y->buf, target, v, 1, NULL);
    for (int i = type->rank - 1; i >= 0; i--)
        if (vars[i]->lo != vars[i]->hi)
            body = stmt_for(prog, vars[i], ex_dim(prog, 0), ex_dim(prog, dim_add(prog->dims, vars[i]->hi, 1)), 1, body);
    b.kernel->body = body;
    measure(l, b.kernel);
    return call_of(&b);
}

struct stmt *kernel_of_copy(struct lowering *l, const struct type *type, const struct storage *from, const struct storage *to)
{
    return kernel_of_loops(l, "copy", type, from, NULL, to);
}

struct stmt *kernel_of_transfer(struct lowering *l, const struct value *value, const struct storage *from, const struct storage *to)
{
    if (!l->placed) return kernel_of_copy(l, &value->type, from, to);
    enum side side = l->side;
    l->side = SIDE_BOTH;
    struct stmt *call = kernel_of_loops(l, "transfer", &value->type, from, NULL, to);
    l->side = side;
    if (!call) return NULL;
    struct call_origin *origin = arena_copy(l->prog->arena, call->origin, sizeof *origin);
    origin->layers = value->name ? value->name : "";
    origin->stored = side == SIDE_HOST ? "read on the host" : "read on the device";
    call->origin = origin;
    call->place = value->node->place;
    return call;
}

struct stmt *kernel_of_fill(struct lowering *l, const struct type *type, const struct value *constant, const struct storage *to)
{
    ex v = nest_literal(l->prog, constant);
    return kernel_of_loops(l, "fill", type, NULL, ex_cast(l->prog, v, type->dt), to);
}

struct stmt *kernel_of_scalar(struct lowering *l, ex scalar, const struct storage *to)
{
    struct prog *prog = l->prog;
    struct building b = {.l = l, .kernel = prog_kernel(prog, "set")};
    b.kernel->side = l->side;
    static const struct type none = {.rank = 0};
    struct type type = none;
    type.dt = scalar->dt;
    const struct view *y = formal_for(&b, NULL, to, &type, "y");
    b.formals.at[0]->param->written = true;
    struct var *v = prog_var(prog, "v", scalar->dt, 1);
    LIST_PUSH(prog->arena, &b.kernel->scalars, v);
    b.kernel->body = stmt_store(prog, y->buf, ex_dim(prog, 0), ex_var(prog, v), 1, NULL);
    struct stmt *call = call_of(&b);
    call->n_scalars = 1;
    call->scalars = NEW_ARRAY(prog->arena, ex, 1);
    call->scalars[0] = scalar;
    return call;
}

struct stmt *kernel_of_dims(struct lowering *l, const struct tensor *tensor, const struct storage *to)
{
    struct prog *prog = l->prog;
    struct building b = {.l = l, .kernel = prog_kernel(prog, "sizes")};
    b.kernel->side = l->side;
    const struct view *y = formal_for(&b, NULL, to, &tensor->type, "y");
    const int64_t *d = tensor->data;
    b.formals.at[0]->param->written = true;
    for (int64_t i = 0; i < type_count(&tensor->type); i++)
        stmt_append(&b.kernel->body, stmt_store(prog, y->buf, ex_dim(prog, i), ex_cast(prog, ex_dim(prog, d[i]), tensor->type.dt), 1, NULL));
    return call_of(&b);
}
