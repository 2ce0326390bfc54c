/* Finding chains of calls for pass strips. See strip_chain.h.
 *
 * A chain grows by the next call as long as that reads what the chain wrote, has a loop of equally many rows, and no row
 * of one meets what another row of any of them does. Of the chains that begin at a call the one is taken that saves
 * most by an estimate of cycles, in which reading and writing what does not stay in the second cache level counts.
 */
#include "strip_chain.h"

/* Bytes of a row that a call writes, the least; strips of less are columns, of which kernels have long loops and vectors. */
enum { ROW_LEAST = 1024 };
/* Less of a gain than this is not believed; the strips of a part may be so many more than an even share. */
static const double SAVING_LEAST = 0.95, UNEVEN_MOST = 1.1;

/* ---- chains ---- */

static int64_t bytes_of(const struct buffer *buf)
{
    return dim_is_const(buf->elements) ? buf->elements * dtype_bytes(buf->dt) : -1;
}

struct link *chain_link(struct chain *chain, const struct buffer *buf)
{
    for (int i = 0; i < chain->n_links; i++)
        if (chain->link[i].buf == buf) return &chain->link[i];
    return NULL;
}

/* Notes what the chain's last call touches; false where that is too much, or of no known size. */
static bool add_links(struct chain *chain)
{
    const struct row_loop *rows = &chain->rows[chain->n - 1];
    const struct stmt *call = chain->call[chain->n - 1];
    for (int i = 0; i < call->n_args; i++) {
        struct link *link = chain_link(chain, call->args[i].buf);
        const struct buffer *formal = rows->kernel->params.at[i];
        if (!link) {
            if (chain->n_links == LINKS_MOST) return false;
            link = &chain->link[chain->n_links++];
            *link = (struct link){.buf = call->args[i].buf};
        }
        int64_t bytes = bytes_of(formal);
        if (bytes < 0 || bytes_of(link->buf) < 0) return false;
        if (bytes > link->bytes) link->bytes = bytes;
        if (formal->written) link->written = true;
        else if (link->written) link->read_later = true;
        link->moves |= rows->step[i] != 0;
        link->uses++;
    }
    return true;
}

/* A call of a kernel on known places. */
static bool is_plain(const struct stmt *call)
{
    if (call->kind != STMT_CALL || !call->kernel || call->n_scalars > 0 || call->n_args > LINKS_MOST) return false;
    for (int i = 0; i < call->n_args; i++)
        if (call->args[i].offset && !ex_is_const(call->args[i].offset)) return false;
    return true;
}

/* Whether the call reads what the chain wrote. */
static bool is_next(struct chain *chain, const struct stmt *call)
{
    if (!is_plain(call)) return false;
    for (int i = 0; i < call->n_args; i++) {
        const struct link *link = chain_link(chain, call->args[i].buf);
        if (link && link->written && !call->kernel->params.at[i]->written && link->buf->space == SPACE_ARENA) return true;
    }
    return false;
}

/* The call as the chain's next, by that loop of its kernel. */
static bool append(struct chain_finder *f, struct chain *chain, const struct stmt *call, const struct stmt *loop)
{
    struct row_loop *rows = &chain->rows[chain->n];
    if (!row_loop_take(f->prog, call->kernel, loop, f->scratch, rows)) return false;
    if (chain->n > 0 && rows->rows != chain->rows[0].rows) return false;
    for (int i = 0; i < call->kernel->params.n; i++)
        if (call->kernel->params.at[i]->written && rows->step[i] * dtype_bytes(call->kernel->params.at[i]->dt) < ROW_LEAST) return false;
    chain->call[chain->n] = call;
    for (int i = 0; i <= chain->n; i++)
        if (!rows_apart(f->prog, &chain->rows[i], chain->call[i], rows, call)) return false;
    chain->n++;
    return add_links(chain);
}

static bool append_any(struct chain_finder *f, struct chain *chain, const struct stmt *call)
{
    const struct stmt *loops[LOOPS_MOST];
    int n = row_loops_of(call->kernel, loops);
    for (int i = 0; i < n; i++) {
        struct chain before = *chain;
        if (append(f, chain, call, loops[i])) return true;
        *chain = before;
    }
    return false;
}

static bool is_between(const struct link *link)
{
    return link->written && link->read_later && link->buf->space == SPACE_ARENA && link->moves;
}

static void count_uses(struct chain_finder *f, const struct stmt *list)
{
    for (; list; list = list->next) {
        for (int i = 0; i < list->n_args; i++) f->uses[list->args[i].buf->id]++;
        count_uses(f, list->body);
        count_uses(f, list->other);
    }
}

static bool passes_whole(const struct stmt *call, int i)
{
    const struct call_arg *arg = &call->args[i];
    return (!arg->offset || ex_is_int(arg->offset, 0)) && arg->buf->elements == call->kernel->params.at[i]->elements;
}

/* Whether a strip of the buffer is enough: nobody else sees it, and the chain sees rows only. */
static bool can_shorten(const struct chain_finder *f, const struct chain *chain, const struct link *link)
{
    if (!is_between(link) || f->uses[link->buf->id] != link->uses) return false;
    for (int c = 0; c < chain->n; c++)
        for (int i = 0; i < chain->call[c]->n_args; i++)
            if (chain->call[c]->args[i].buf == link->buf &&
                !(passes_whole(chain->call[c], i) && row_param_is_rows(f->prog, &chain->rows[c], i)))
                return false;
    return true;
}

/* ---- whether, and by how many rows ---- */

struct traffic { /* bytes */
    double between;  /* what calls hand on to later ones, all rows */
    double row;      /* of one row: what is between, and half of what only passes by */
    double constant; /* what every strip reads again */
};

static struct traffic traffic_of(const struct chain *chain)
{
    struct traffic t = {0};
    double rows = (double)chain->rows[0].rows;
    for (int i = 0; i < chain->n_links; i++) {
        const struct link *link = &chain->link[i];
        double bytes = (double)link->bytes;
        if (is_between(link)) t.between += bytes;
        if (link->moves) t.row += bytes / rows * (is_between(link) ? 1 : 0.5);
        else t.constant += bytes;
    }
    return t;
}

/* The most rows that fit into the cache beside what every strip reads again, in so many strips that the parts have
 * about as many each; 0: none. */
static int64_t fitting_rows(const struct chain_finder *f, const struct chain *chain, const struct traffic *t)
{
    int64_t rows = chain->rows[0].rows, parts = chain->parts;
    for (int64_t n = rows / parts; n > 0; n--) {
        int64_t strips = rows / n, most = (strips + parts - 1) / parts;
        bool even = (double)(most * parts) <= UNEVEN_MOST * (double)strips;
        if (rows % n == 0 && even && t->constant + (double)n * t->row <= f->options->target->l2_bytes) return n;
    }
    return 0;
}

/* Bytes a cycle of the x86 cores since 2013: from behind the second cache level, from there; and what of the shorter
 * of computing and reading is not done beside the other. */
static const double FAR_BYTES = 12, NEAR_BYTES = 48, NOT_BESIDE = 0.3;

static bool has_cases(ex e, struct pointer_map *seen, struct arena *scratch)
{
    if (!e || e->op == EX_const || e->op == EX_dim || e->op == EX_var || map_get(seen, e)) return false;
    map_put(scratch, seen, e, e);
    if (e->op == EX_eq && e->arg[0]->dt == DT_index) return true;
    return has_cases(e->arg[0], seen, scratch) || has_cases(e->arg[1], seen, scratch) || has_cases(e->arg[2], seen, scratch);
}

/* Whether the kernel tells cases apart by an axis (loopnest.h): how much it computes is known once it is scheduled. */
static bool tells_cases(const struct stmt *list, struct arena *scratch)
{
    struct pointer_map seen = {.n = 0};
    for (; list; list = list->next)
        if (has_cases(list->a, &seen, scratch) || has_cases(list->b, &seen, scratch) || tells_cases(list->body, scratch)) return true;
    return false;
}

/* Estimated cycles of a call of the chain, as a whole (strips 1) or in strips. */
static double call_cycles(const struct chain_finder *f, struct chain *chain, int c, double strips)
{
    const struct target *target = f->options->target;
    const struct stmt *call = chain->call[c];
    double lanes = target->vector_bytes >= 4 ? target->vector_bytes / 4 : 1, memory = 0;
    bool known = !tells_cases(call->kernel->body, f->scratch);
    double compute = known ? call->kernel->flops / (2 * lanes * target->fmas_per_cycle) : 0;
    for (int i = 0; i < call->n_args; i++) {
        const struct link *link = chain_link(chain, call->args[i].buf);
        bool near = strips > 1 && is_between(link);
        memory += (double)link->bytes / (near ? NEAR_BYTES : FAR_BYTES);
        if (!link->moves) memory += (strips - 1) * (double)link->bytes / NEAR_BYTES;
    }
    return compute > memory ? compute + NOT_BESIDE * memory : memory + NOT_BESIDE * compute;
}

/* Cycles that strips save, 0 where they are not worth it. */
static double saving_of(const struct chain_finder *f, struct chain *chain, const struct traffic *t)
{
    double whole = 0, parted = 0;
    for (int c = 0; c < chain->n; c++) {
        whole += call_cycles(f, chain, c, 1);
        parted += call_cycles(f, chain, c, (double)(chain->rows[0].rows / chain->strip));
    }
    return t->between > f->options->target->l2_bytes && parted < SAVING_LEAST * whole ? whole - parted : 0;
}

/* Whether strips need no more of the arena than the chain's calls one by one: buffers of full size that the chain reads
 * and writes are in use at the same time. */
static bool needs_no_more(const struct chain_finder *f, const struct chain *chain)
{
    int64_t most = 0, together = 0, parts = chain->parts;
    for (int c = 0; c < chain->n; c++) {
        int64_t sum = 0;
        for (int i = 0; i < chain->call[c]->n_args; i++)
            if (chain->call[c]->args[i].buf->space == SPACE_ARENA) sum += bytes_of(chain->call[c]->args[i].buf);
        if (sum > most) most = sum;
    }
    for (int i = 0; i < chain->n_links; i++) {
        const struct link *link = &chain->link[i];
        if (link->buf->space != SPACE_ARENA) continue;
        int64_t bytes = bytes_of(link->buf);
        together += can_shorten(f, chain, link) ? bytes / chain->rows[0].rows * chain->strip * parts : bytes;
    }
    return together <= most;
}

/* A call that reads something: a border that is filled is no reason to keep the rest in the cache. */
static bool may_start(const struct stmt *call)
{
    bool reads = false;
    if (!is_plain(call)) return false;
    for (int i = 0; i < call->n_args; i++) reads |= !call->kernel->params.at[i]->written;
    return reads;
}

struct chain_finder chain_finder_new(struct prog *prog, const struct pass_options *options, struct arena *scratch)
{
    struct chain_finder finder = {.prog = prog, .options = options, .scratch = scratch};
    finder.uses = NEW_ARRAY(scratch, int, prog->next_buffer + 1);
    count_uses(&finder, prog->main);
    return finder;
}

/* Lets the chain grow; what saves more than *most on the way goes into *best. */
static void grow(struct chain_finder *f, struct chain *chain, double *most, struct chain *best)
{
    const struct stmt *next = chain->call[0]->next;
    for (; next && chain->n < CHAIN_MOST && is_next(chain, next) && append_any(f, chain, next); next = next->next) {
        struct traffic traffic = traffic_of(chain);
        chain->strip = fitting_rows(f, chain, &traffic);
        if (chain->strip == 0) return;
        double saving = saving_of(f, chain, &traffic);
        bool fits = f->options->max_arena_bytes == 0 || needs_no_more(f, chain);
        if (saving <= *most || !fits) continue;
        *most = saving;
        *best = *chain;
    }
}

bool chain_find(struct chain_finder *f, const struct stmt *first, struct chain *best)
{
    const struct stmt *loops[LOOPS_MOST];
    double most = 0;
    if (!f->options->target || !may_start(first) || !first->next) return false;
    int n = row_loops_of(first->kernel, loops);
    for (int i = 0; i < n; i++) {
        struct chain chain = {.parts = f->options->threads > 1 ? f->options->threads : 1};
        if (append(f, &chain, first, loops[i])) grow(f, &chain, &most, best);
    }
    if (most == 0) return false;
    for (int i = 0; i < best->n_links; i++) best->link[i].shortens = can_shorten(f, best, &best->link[i]);
    return true;
}
