/* Calls side by side become one, for devices on which every start of a kernel costs microseconds.
 *
 *   call conv(pad + 11, x, w)                call conv_2(pad + 11, x, w, pad + 0, pad + 90)
 *   call fill(pad + 0)             ->        kernel conv_2(..) { the loops of conv; of fill; of fill }
 *   call fill(pad + 90)
 *
 * Proved by touch.c: no call of the group reads or writes what another one writes, so that their pieces may be
 * computed side by side (partition.c). Only one of them may be large, since what is joined is a kernel of its own:
 * groups of the same kernels share one.
 */
#include "merge.h"
#include "partition.h"
#include "touch.h"

enum { GROUP_MOST = 8, PARAMS_MOST = 20 };
static const double SMALL = 40000; /* operations (partition.h): some 5 us */

struct member { /* a kernel's facts */
    double work;
    bool fails; /* or has groups of its own (group.c) */
    struct reaches reaches;
};
struct group {
    int n, n_params;
    struct stmt *call[GROUP_MOST];
    const struct member *member[GROUP_MOST];
    struct touches touches[GROUP_MOST];
    int largest; /* call that has most work */
};
struct merged {
    int n;
    struct kernel *of[GROUP_MOST], *kernel;
};
struct merging {
    struct prog *prog;
    struct arena *scratch;
    int n_members;
    struct member *members; /* by the kernel's number */
    struct {
        int n, cap;
        struct merged *at;
    } made;
};

static struct member *member_of(struct merging *m, const struct kernel *kernel)
{
    for (int i = 0; i < m->n_members; i++)
        if (m->prog->kernels.at[i] == kernel) return &m->members[i];
    bug("merge", "no kernel %s", kernel->name);
}

/* A kernel that does what all of the group do. */
static struct kernel *make_kernel(struct prog *prog, const struct group *group)
{
    const struct kernel *largest = group->call[group->largest]->kernel;
    struct kernel *made = prog_kernel(prog, largest->name);
    made->strategy = largest->strategy;
    made->layers = largest->layers;
    made->place = largest->place;
    made->side = largest->side;
    for (int i = 0; i < group->n; i++) {
        const struct kernel *kernel = group->call[i]->kernel;
        struct rewriter *r = rewriter_new(prog);
        for (int k = 0; k < kernel->params.n; k++) {
            struct buffer *old = kernel->params.at[k], *param = kernel_param(prog, made, old->name, old->dt, old->elements);
            param->type = old->type;
            param->written = old->written;
            map_put(prog->arena, &r->buffers, old, param);
        }
        for (int k = 0; k < kernel->scalars.n; k++) LIST_PUSH(prog->arena, &made->scalars, rewrite_define(r, kernel->scalars.at[k]));
        stmt_append(&made->body, rewrite_list(r, kernel->body));
        made->flops += kernel->flops;
        made->bytes += kernel->bytes;
        made->direct_flops += kernel->direct_flops;
    }
    return made;
}

static struct kernel *kernel_for(struct merging *m, const struct group *group)
{
    for (int i = 0; i < m->made.n; i++) {
        const struct merged *merged = &m->made.at[i];
        bool same = merged->n == group->n;
        for (int k = 0; same && k < group->n; k++) same = merged->of[k] == group->call[k]->kernel;
        if (same) return merged->kernel;
    }
    struct merged merged = {.n = group->n, .kernel = make_kernel(m->prog, group)};
    for (int k = 0; k < group->n; k++) merged.of[k] = group->call[k]->kernel;
    LIST_PUSH(m->scratch, &m->made, merged);
    return merged.kernel;
}

/* The group's calls as one; its origin is the largest one's. */
static void close_group(struct merging *m, struct group *group, struct stmt **out)
{
    struct prog *prog = m->prog;
    struct stmt *call = group->n ? group->call[0] : NULL;
    if (group->n > 1) {
        int n_scalars = 0;
        for (int i = 0; i < group->n; i++) n_scalars += group->call[i]->n_scalars;
        call = arena_copy(prog->arena, group->call[group->largest], sizeof *call);
        call->kernel = kernel_for(m, group);
        call->args = NEW_ARRAY(prog->arena, struct call_arg, group->n_params + 1);
        call->scalars = NEW_ARRAY(prog->arena, ex, n_scalars + 1);
        call->n_args = call->n_scalars = 0;
        for (int i = 0; i < group->n; i++) {
            for (int k = 0; k < group->call[i]->n_args; k++) call->args[call->n_args++] = group->call[i]->args[k];
            for (int k = 0; k < group->call[i]->n_scalars; k++) call->scalars[call->n_scalars++] = group->call[i]->scalars[k];
        }
    }
    if (call) {
        call->next = NULL;
        stmt_append(out, call);
    }
    *group = (struct group){.n = 0};
}

/* Puts the call into the group; false where it does not go with it. */
static bool join(struct merging *m, struct group *group, struct stmt *call)
{
    const struct member *member = member_of(m, call->kernel), *largest = group->member[group->largest];
    struct touches touches = {.arena = m->scratch};
    touch_call(&touches, call, &member->reaches);
    if (group->n) {
        bool both_large = member->work > SMALL && largest->work > SMALL;
        if (group->n == GROUP_MOST || group->n_params + call->n_args > PARAMS_MOST || both_large) return false;
        if (member->fails || group->member[0]->fails) return false;
        for (int i = 0; i < group->n; i++)
            if (touches_meet(m->prog, &group->touches[i], &touches)) return false;
        if (member->work > largest->work) group->largest = group->n;
    }
    group->touches[group->n] = touches;
    group->member[group->n] = member;
    group->call[group->n++] = call;
    group->n_params += call->n_args;
    return true;
}

static struct stmt *merge_list(struct merging *m, struct stmt *list)
{
    struct stmt *out = NULL, *next;
    struct group group = {.n = 0};
    for (struct stmt *s = list; s; s = next) {
        next = s->next;
        s->next = NULL;
        if (s->kind == STMT_CALL && s->kernel && s->kernel->side == SIDE_DEVICE) {
            if (join(m, &group, s)) continue;
            close_group(m, &group, &out);
            join(m, &group, s);
            continue;
        }
        close_group(m, &group, &out);
        s->body = merge_list(m, s->body);
        s->other = merge_list(m, s->other);
        stmt_append(&out, s);
    }
    close_group(m, &group, &out);
    return out;
}

void merge_calls(struct prog *prog)
{
    struct merging m = {.prog = prog, .scratch = arena_new(), .n_members = prog->kernels.n};
    m.members = NEW_ARRAY(m.scratch, struct member, prog->kernels.n + 1);
    for (int i = 0; i < m.n_members; i++) {
        const struct kernel *kernel = prog->kernels.at[i];
        struct member *member = &m.members[i];
        *member = (struct member){.work = work_of(prog, kernel), .fails = stmt_can_fail(kernel->body) || stmt_is_group(kernel->body), .reaches.arena = m.scratch};
        reaches_of(&member->reaches, kernel->body, NULL, 0);
    }
    prog->main = merge_list(&m, prog->main);
    prog_drop_uncalled(prog);
    arena_free(m.scratch);
}
