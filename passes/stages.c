/* Calls after one another become one kernel of several stages, for CPU devices, where every start of a kernel wakes threads.
 *
 *   call conv(y, x, w)          kernel stages(out y, in x, in w, out p, out z) {
 *   call fill(p)          ->      for g in 0..32 group0 { call conv(y, x, w; 98*g div 32, ..)  if g = 0 { call fill(p) } }
 *   call relu(z, y)               for g in 0..32 group0 { call relu(z, y; 64*g div 32, ..) } }
 *
 * A group loop behind another one begins when all groups of that are done (ir/prog.h): a call whose touches meet those of
 * the stage before it (touch.c) opens a stage, others join it. Kernels keep their bodies, as functions; what is not
 * divided is done by one group. Calls that may fail, or have groups of their own, stay calls of main, and a call for
 * which main reads memory opens a new kernel, since main reads before it starts one. Used by pass bind.
 */
#include "stages.h"
#include "touch.h"

/* A device of the full profile takes 1024 bytes of arguments. */
enum { ARGUMENT_BYTES = 1024, BUFFER_BYTES = 16, SCALAR_BYTES = 8, LAYERS_MOST = 100 };

struct region { /* the kernel that calls are put into; kernel NULL: none */
    struct kernel *kernel;
    struct stmt *call; /* its call in main */
    struct stmt *first; /* the first call that was put into it, and how many were */
    int n_calls;
    LIST(struct call_arg) args;
    LIST(ex) scalars;
    struct stmt *stage;
    struct var *group;
    dim items; /* of the stage */
    LIST(struct touches) touches; /* of its calls */
    struct text layers;
    double flops; /* of the call whose origin the region's is */
};
struct joining {
    struct prog *prog;
    const struct stage_kernel *kernels; /* by number */
    int n_kernels;
    struct arena *scratch;
    struct region region;
};

static bool loads(ex e)
{
    if (!e) return false;
    return e->op == EX_load || loads(e->arg[0]) || loads(e->arg[1]) || loads(e->arg[2]);
}

static bool call_loads(const struct stmt *call)
{
    for (int i = 0; i < call->n_args; i++)
        if (loads(call->args[i].offset)) return true;
    for (int i = 0; i < call->n_scalars; i++)
        if (loads(call->scalars[i])) return true;
    return false;
}

static int find_argument(const struct region *region, const struct call_arg *arg)
{
    int i = 0;
    while (i < region->args.n && (region->args.at[i].buf != arg->buf || region->args.at[i].offset != arg->offset)) i++;
    return i;
}

static bool has_room(const struct joining *j, const struct stmt *call)
{
    const struct region *region = &j->region;
    int64_t n_bytes = BUFFER_BYTES * (int64_t)region->args.n + SCALAR_BYTES * (int64_t)(region->scalars.n + dims_n_symbols(j->prog->dims) + 1);
    for (int i = 0; i < call->n_args; i++)
        if (find_argument(region, &call->args[i]) == region->args.n) n_bytes += BUFFER_BYTES;
    for (int i = 0; i < call->n_scalars; i++)
        if (!ex_is_const(call->scalars[i])) n_bytes += SCALAR_BYTES;
    return n_bytes <= ARGUMENT_BYTES;
}

/* ---- a call inside the kernel ---- */

static struct buffer *parameter_for(struct joining *j, const struct call_arg *arg, const struct buffer *formal)
{
    struct region *region = &j->region;
    int i = find_argument(region, arg);
    if (i == region->args.n) {
        LIST_PUSH(j->prog->arena, &region->args, *arg);
        kernel_param(j->prog, region->kernel, formal->name, formal->dt, formal->elements)->type = formal->type;
    }
    struct buffer *param = region->kernel->params.at[i];
    param->written |= formal->written;
    param->elements = dim_max(j->prog->dims, param->elements, formal->elements);
    return param;
}

/* What is no constant becomes a scalar of the kernel. */
static ex scalar_for(struct joining *j, ex value, const struct var *formal)
{
    struct region *region = &j->region;
    if (value->op == EX_const || value->op == EX_dim) return value;
    struct var *var = prog_var(j->prog, formal->name, formal->dt, formal->lanes);
    var->lo = formal->lo;
    var->hi = formal->hi;
    LIST_PUSH(j->prog->arena, &region->kernel->scalars, var);
    LIST_PUSH(j->prog->arena, &region->scalars, value);
    return ex_var(j->prog, var);
}

/* units * group / items, of the group after it where more. */
static ex part(struct joining *j, dim units, bool more)
{
    struct prog *prog = j->prog;
    ex group = ex_var(prog, j->region.group);
    if (more) group = ex_binary(prog, EX_add, group, ex_int(prog, DT_index, 1));
    return ex_binary(prog, EX_div, ex_binary(prog, EX_mul, group, ex_dim(prog, units)), ex_dim(prog, j->region.items));
}

static struct stmt *inner_call(struct joining *j, const struct stmt *call, const struct stage_kernel *facts, bool whole)
{
    struct prog *prog = j->prog;
    struct stmt *made = arena_copy(prog->arena, call, sizeof *call);
    made->next = NULL;
    made->args = NEW_ARRAY(prog->arena, struct call_arg, call->n_args + 1);
    made->scalars = NEW_ARRAY(prog->arena, ex, call->n_scalars + 3);
    for (int i = 0; i < call->n_args; i++) made->args[i].buf = parameter_for(j, &call->args[i], call->kernel->params.at[i]);
    for (int i = 0; i < call->n_scalars; i++) made->scalars[i] = scalar_for(j, call->scalars[i], call->kernel->scalars.at[i]);
    if (!facts->divided) return made;
    made->scalars[made->n_scalars++] = whole ? ex_int(prog, DT_index, 0) : part(j, facts->units, false);
    made->scalars[made->n_scalars++] = whole ? ex_dim(prog, facts->units) : part(j, facts->units, true);
    return made;
}

/* ---- stages ---- */

/* Appends what the first group alone does, beside what it alone does already. */
static void append_on_first(struct joining *j, struct stmt **list, struct stmt *body)
{
    ex first = ex_binary(j->prog, EX_eq, ex_var(j->prog, j->region.group), ex_int(j->prog, DT_index, 0));
    stmt_append_under(j->prog, list, first, body);
}

static void set_items(struct joining *j, dim items)
{
    struct region *region = &j->region;
    region->items = items;
    region->group->hi = dim_sub(j->prog->dims, items, 1);
    region->stage->b = ex_dim(j->prog, items);
}

static void open_stage(struct joining *j, dim items)
{
    struct region *region = &j->region;
    region->group = prog_index(j->prog, "group", 0, 0);
    region->stage = stmt_for(j->prog, region->group, ex_int(j->prog, DT_index, 0), ex_int(j->prog, DT_index, 1), 1, NULL);
    region->stage->loop = LOOP_GROUP0;
    region->touches.n = 0;
    set_items(j, items);
    stmt_append(&region->kernel->body, region->stage);
}

static bool meets_stage(struct joining *j, const struct touches *touches)
{
    for (int i = 0; i < j->region.touches.n; i++)
        if (touches_meet(j->prog, &j->region.touches.at[i], touches)) return true;
    return false;
}

/* Puts the call into the stage, or another one. items: of the call, 1 where one group does it all. */
static void add_to_stage(struct joining *j, const struct stmt *call, const struct stage_kernel *facts, const struct touches *touches,
                         dim items)
{
    struct region *region = &j->region;
    bool meets = !region->stage || meets_stage(j, touches), one = items == 1, alone = region->stage && region->items == 1;
    if (alone && one) meets = false; /* the same group does both, in order */
    if (meets || (!one && !alone && items != region->items)) open_stage(j, items);
    else if (!one && alone) {
        set_items(j, items);
        struct stmt *before = region->stage->body;
        region->stage->body = NULL;
        append_on_first(j, &region->stage->body, before);
    }
    struct stmt *made = inner_call(j, call, facts, one);
    if (one && region->items != 1) append_on_first(j, &region->stage->body, made);
    else stmt_append(&region->stage->body, made);
    LIST_PUSH(j->scratch, &region->touches, *touches);
}

/* ---- main ---- */

static void open_region(struct joining *j)
{
    struct prog *prog = j->prog;
    struct region *region = &j->region;
    struct kernel *kernel = prog_kernel(prog, "stages");
    kernel->strategy = kernel->layers = "";
    *region = (struct region){.kernel = kernel, .call = stmt_new(prog, STMT_CALL), .layers.arena = prog->arena};
    region->call->kernel = kernel;
}

static const struct stage_kernel *kernel_of(const struct joining *j, const struct stmt *s)
{
    for (int i = 0; s->kind == STMT_CALL && s->kernel && i < j->n_kernels; i++)
        if (j->prog->kernels.at[i] == s->kernel) return &j->kernels[i];
    return NULL;
}

/* Whether no other call needs the kernel as a function, and this one does not need it divided. */
static bool is_only_call(const struct joining *j, const struct stmt *call)
{
    const struct stage_kernel *facts = kernel_of(j, call);
    return facts->n_calls == 1 && !facts->divided;
}

static void close_region(struct joining *j, struct stmt **out)
{
    struct region *region = &j->region;
    struct kernel *kernel = region->kernel;
    if (!kernel) return;
    if (region->n_calls == 1 && is_only_call(j, region->first)) { /* no need of a kernel round it */
        j->prog->kernels.n--;
        stmt_append(out, region->first);
        *region = (struct region){.kernel = NULL};
        return;
    }
    struct stmt *stage = kernel->body;
    if (!stage->next && ex_is_int(stage->b, 1)) kernel->body = stage->body; /* one group anyhow */
    struct call_origin *origin = NEW(j->prog->arena, struct call_origin);
    if (region->call->origin) *origin = *region->call->origin;
    origin->layers = region->layers.n ? text_string(&region->layers) : "";
    if (region->call->origin) region->call->origin = origin;
    region->call->args = region->args.at;
    region->call->n_args = region->args.n;
    region->call->scalars = region->scalars.at;
    region->call->n_scalars = region->scalars.n;
    stmt_append(out, region->call);
    *region = (struct region){.kernel = NULL};
}

/* What the kernel's call says of itself: all layers, as long as there is room, and else what its largest part says. */
static void note_call(struct region *region, const struct stmt *call)
{
    struct kernel *kernel = region->kernel;
    const struct kernel *of = call->kernel;
    if (call->origin && *call->origin->layers && region->layers.n <= LAYERS_MOST) {
        if (region->layers.n) text_add(&region->layers, ", ");
        text_add(&region->layers, call->origin->layers);
        if (region->layers.n > LAYERS_MOST) text_add(&region->layers, " ...");
    }
    if (!region->call->origin || of->flops > region->flops) {
        region->call->origin = call->origin;
        region->call->place = kernel->place = of->place;
        region->flops = of->flops;
    }
    kernel->flops += of->flops;
    kernel->bytes += of->bytes;
    kernel->direct_flops += of->direct_flops;
}

static void join(struct joining *j, struct stmt *call, const struct stage_kernel *facts, struct stmt **out)
{
    struct touches touches = {.arena = j->scratch};
    touch_call(&touches, call, &facts->reaches);
    bool whole = !facts->divided || touches_alias(j->prog, &touches);
    if (j->region.kernel && (call_loads(call) || !has_room(j, call))) close_region(j, out);
    if (!j->region.kernel) open_region(j);
    if (j->region.n_calls++ == 0) j->region.first = call;
    add_to_stage(j, call, facts, &touches, whole ? 1 : facts->items);
    note_call(&j->region, call);
}

static struct stmt *join_list(struct joining *j, struct stmt *list)
{
    struct stmt *out = NULL, *next;
    for (struct stmt *s = list; s; s = next) {
        const struct stage_kernel *facts = kernel_of(j, s);
        next = s->next;
        s->next = NULL;
        if (facts && facts->joins) {
            join(j, s, facts, &out);
            continue;
        }
        close_region(j, &out);
        s->body = join_list(j, s->body);
        s->other = join_list(j, s->other);
        stmt_append(&out, s);
    }
    close_region(j, &out);
    return out;
}

static void count_calls(const struct prog *prog, struct stage_kernel *kernels, const struct stmt *list)
{
    for (; list; list = list->next) {
        for (int i = 0; list->kind == STMT_CALL && i < prog->kernels.n; i++) kernels[i].n_calls += prog->kernels.at[i] == list->kernel;
        count_calls(prog, kernels, list->body);
        count_calls(prog, kernels, list->other);
    }
}

void stages_join(struct prog *prog, struct stage_kernel *kernels, struct arena *scratch)
{
    struct joining j = {.prog = prog, .kernels = kernels, .n_kernels = prog->kernels.n, .scratch = scratch};
    count_calls(prog, kernels, prog->main);
    prog->main = join_list(&j, prog->main);
}
