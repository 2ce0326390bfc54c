/* Windows that move along lanes: the order in which their taps are taken.
 *
 *   set s0 = s0 + x[0]*w[0]     set s0 = s0 + x[0]*w[0]
 *   set s1 = s1 + x[1]*w[0]     set s0 = s0 + x[1]*w[1]
 *   set s0 = s0 + x[1]*w[1] ->  set s1 = s1 + x[1]*w[0]
 *   set s1 = s1 + x[2]*w[1]     set s1 = s1 + x[2]*w[1]
 *
 * Unrolled, copies share what they read at different taps. Taken tap by tap, all of it would have to stay in registers
 * beside the sums, and compilers spill the sums; taken in the order of what is read, one element is loaded, used for
 * every sum that needs it, and gone. Each sum still gets its taps in the same order, so its value is the same.
 */
#include "window.h"

#include "loops.h"

enum { WINDOW_MOST = 8 /* taps in a row */, SETS_MOST = 512 };

/* The loop inside the body that is innermost, -1: none. */
static int innermost(const struct loopnest *nest)
{
    int inner = -1;
    for (int a = nest->n_chain; a < nest->n_axes; a++)
        if (inner < 0 || nest->axis[a].depth >= nest->axis[inner].depth) inner = a;
    return inner;
}

static bool is_known(int64_t stride)
{
    return stride > 0 && stride != STRIDE_UNKNOWN;
}

/* The loop inside the body along whose taps copies of the axis meet the same elements, -1: none. *by: taps that a copy is ahead. */
static int meeting_loop(const struct loopnest *nest, const struct access *access, int axis, double *by)
{
    int64_t step = loopnest_stride(access, axis);
    for (int a = nest->n_chain; a < nest->n_axes && is_known(step); a++) {
        int64_t tap = loopnest_stride(access, a);
        if (!is_known(tap) || step % tap != 0) continue;
        *by = (double)step / (double)tap;
        if (*by < nest->axis[a].trips) return a;
    }
    return -1;
}

bool window_find(const struct loopnest *nest, const struct tile_plan *plan, struct window *window)
{
    int inner = innermost(nest), copies = 1;
    double taps = 1;
    for (int a = 0; a < nest->n_chain; a++) copies *= plan->copies[a];
    for (int a = nest->n_chain; a < nest->n_axes; a++) taps *= nest->axis[a].trips;
    if (inner < 0 || plan->vector_axis < 0 || copies < 2 || nest->axis[inner].trips > WINDOW_MOST) return false;
    for (int i = 0; i < nest->accesses.n; i++) {
        const struct access *access = &nest->accesses.at[i];
        if (access->store || access->weight <= 1 || loopnest_stride(access, plan->vector_axis) != 1) continue;
        bool meets = false;
        *window = (struct window){.buf = access->buf, .rows = 1, .taps = (int)nest->axis[inner].trips, .loads = 1};
        window->unrolled = copies * taps <= plan->unroll_size;
        for (int a = 0; a < nest->n_chain; a++) {
            int64_t step = loopnest_stride(access, a);
            if (a == plan->vector_axis || plan->copies[a] == 1 || !is_known(step)) continue;
            double by = 0;
            int loop = meeting_loop(nest, access, a, &by);
            double trips = loop < 0 ? 0 : nest->axis[loop].trips;
            if (loop >= 0 && (loop == inner || window->unrolled))
                window->loads *= ((plan->copies[a] - 1) * by + trips) / (plan->copies[a] * trips);
            meets |= loop == inner;
            if (loop == inner) continue;
            window->rows *= plan->copies[a];
            if (step > window->pitch) window->pitch = step;
        }
        if (meets) return true;
    }
    return false;
}

struct taken { /* an update of a sum */
    struct stmt *set;
    int64_t at; /* of what it reads, from a place that all have in common */
    int64_t key; /* to sort by */
};

static ex load_from(ex e, const struct buffer *buf)
{
    if (!e || e->op == EX_const || e->op == EX_dim || e->op == EX_var) return NULL;
    if (e->op == EX_load) return e->buf == buf ? e : NULL;
    for (int i = 0; i < 3; i++) {
        ex load = load_from(e->arg[i], buf);
        if (load) return load;
    }
    return NULL;
}

/* Subscripts in the builder's form: something (NULL: nothing), and last a number. */
static ex without_number(ex at, int64_t *number)
{
    *number = ex_is_const(at) ? at->imm : 0;
    if (ex_is_const(at)) return NULL;
    if (at->op != EX_add || !ex_is_const(at->arg[1])) return at;
    *number = at->arg[1]->imm;
    return at->arg[0];
}

/* The updates at the head of the list, as far as they read the window's buffer at a known distance from the first. */
static int take_updates(struct stmt *list, const struct buffer *buf, struct taken *taken)
{
    enum expr_op op;
    ex value, base = NULL;
    int n = 0;
    for (; list && n < SETS_MOST; list = list->next) {
        ex load = list->kind == STMT_SET && loops_reduction(list, &op, &value) ? load_from(value, buf) : NULL;
        int64_t number;
        if (!load) break;
        ex rest = without_number(load->arg[0], &number);
        if (n > 0 && rest != base) break;
        base = rest;
        taken[n++] = (struct taken){.set = list, .at = number};
    }
    return n;
}

/* Sorts by place, or by place in the row; not where that would change the order in which a sum takes what it reads. */
static bool sort_updates(struct taken *taken, int n, int64_t pitch)
{
    for (int i = 0; i < n; i++) taken[i].key = pitch ? taken[i].at % pitch : taken[i].at;
    for (int i = 0; i < n; i++)
        for (int k = i - 1; k >= 0; k--) {
            if (taken[k].set->var != taken[i].set->var) continue;
            if (taken[k].key > taken[i].key) return false;
            break;
        }
    for (int i = 1; i < n; i++) { /* insertion: what is equal stays in order */
        struct taken one = taken[i];
        int k = i;
        for (; k > 0 && taken[k - 1].key > one.key; k--) taken[k] = taken[k - 1];
        taken[k] = one;
    }
    return true;
}

/* Copies of one row each go by their place in the row, side by side; several rows of taps row by row. */
static struct stmt *order_list(struct stmt *list, const struct window *window, struct arena *scratch)
{
    struct taken *taken = NEW_ARRAY(scratch, struct taken, SETS_MOST);
    struct stmt *out = NULL;
    while (list) {
        int n = take_updates(list, window->buf, taken);
        struct stmt *next = n ? taken[n - 1].set->next : list->next;
        if (n == 0) taken[n++].set = list;
        else if (!window->pitch || !sort_updates(taken, n, window->pitch)) sort_updates(taken, n, 0);
        for (int i = 0; i < n; i++) {
            taken[i].set->next = NULL;
            stmt_append(&out, taken[i].set);
        }
        list = next;
    }
    return out;
}

struct stmt *window_order(struct prog *prog, struct stmt *list, const struct window *window)
{
    for (struct stmt *s = list; s; s = s->next) {
        s->body = window_order(prog, s->body, window);
        s->other = window_order(prog, s->other, window);
    }
    return order_list(list, window, prog->arena);
}
