/* Pass strips: kernels that follow one another run together on a few rows at a time, so that what one hands on to the
 * next stays in the cache, and needs no more memory than a strip of it.
 *
 *   arena v: [36, 30, 2880]                     arena v_strip: [36, 2, 2880]
 *   call transform(v, x)                        for strip in 0..15 {
 *   call products(m, v, w)               ->       call transform_strip(v_strip, x + 93696*strip)
 *   call untransform(y, m)                        call products_strip(m_strip, v_strip, w)
 *                                                 call untransform_strip(y + 23040*strip, m_strip) }
 *
 * Calls make a chain where every one reads what one before it wrote, each has a loop of equally many rows around all of
 * it (strip_kernel.h), and no row of one touches what another row of any of them writes (access.c). So the rows of a
 * strip depend on no other strip: any order gives the same values, and with several threads the strips are dealt out
 * (`for.parallel part`, kept by pass parallel), each part having buffers of its own. What windows read of neighbouring
 * rows ends a chain: they read a buffer of full size.
 *
 * Worth it where the values between the calls do not stay in the second cache level as a whole, but a strip of them
 * does, beside the constants that every strip reads again (strip_chain.c); with a limit on memory (--max-ram) only where
 * strips need no more than the calls did. Needs: plain loops. Leaves: chains whose number of rows has
 * no fitting divisor, sizes that are not known. Alwani, Chen, Ferdman and Milder, Fused-Layer CNN Accelerators (2016),
 * have the idea for windows too.
 */
#include "strip_chain.h"

#include <string.h>

enum { SLOT_ALIGN = 64 };
struct made { /* a kernel of strips */
    const struct kernel *from;
    const struct stmt *loop;
    int64_t rows;
    bool short_param[LINKS_MOST];
    struct kernel *kernel;
};
struct strips {
    struct prog *prog;
    struct arena *scratch;
    struct chain_finder finder;
    LIST(struct made) made;
    struct pointer_map gone; /* buffers that strips took the place of */
};

/* The buffer of strips, one for each part. */
static void shorten_link(struct strips *s, const struct chain *chain, struct link *link)
{
    struct prog *prog = s->prog;
    int64_t align = SLOT_ALIGN / dtype_bytes(link->buf->dt), step = 0;
    for (int c = 0; c < chain->n; c++)
        for (int i = 0; i < chain->call[c]->n_args; i++) {
            if (chain->call[c]->args[i].buf != link->buf) continue;
            step = chain->rows[c].step[i];
            link->slot = row_elements(&chain->rows[c], i, chain->strip);
        }
    if (chain->parts > 1) link->slot = (link->slot + align - 1) / align * align;
    link->slots = prog_buffer(prog, arena_printf(prog->arena, "%s_strip", link->buf->name), link->buf->dt, SPACE_ARENA, chain->parts * link->slot);
    link->slots->type = row_type(&link->buf->type, chain->rows[0].rows, step, chain->strip);
    link->slots->place = link->buf->place;
    map_put(s->scratch, &s->gone, link->buf, link->slots);
}

static struct kernel *kernel_for(struct strips *s, struct chain *chain, int c)
{
    struct made made = {.from = chain->rows[c].kernel, .loop = chain->rows[c].loop, .rows = chain->strip};
    for (int i = 0; i < chain->call[c]->n_args; i++) made.short_param[i] = chain_link(chain, chain->call[c]->args[i].buf)->slots != NULL;
    for (int i = 0; i < s->made.n; i++) {
        const struct made *m = &s->made.at[i];
        if (m->from == made.from && m->loop == made.loop && m->rows == made.rows && !memcmp(m->short_param, made.short_param, sizeof made.short_param))
            return m->kernel;
    }
    made.kernel = strip_kernel(s->prog, &chain->rows[c], chain->strip, made.short_param);
    LIST_PUSH(s->scratch, &s->made, made);
    return made.kernel;
}

struct counters { /* of the loops over the strips */
    struct var *part, *strip; /* part NULL: there is one */
};

static ex add_times(struct prog *prog, ex e, struct var *var, int64_t n)
{
    if (!var || n == 0) return e;
    return ex_binary(prog, EX_add, e, ex_binary(prog, EX_mul, ex_var(prog, var), ex_int(prog, DT_index, n)));
}

/* What reports say of a call in strips. */
static const struct call_origin *origin_in_strips(struct prog *prog, const struct call_origin *origin, const struct chain *chain)
{
    if (!origin) return NULL;
    struct call_origin *to = arena_copy(prog->arena, origin, sizeof *origin);
    to->stored = arena_printf(prog->arena, "%s%sin strips of %lld of %lld rows", origin->stored, *origin->stored ? "; " : "",
                              (long long)chain->strip, (long long)chain->rows[0].rows);
    return to;
}

static struct stmt *strip_call(struct strips *s, struct chain *chain, int c, const struct counters *at)
{
    struct prog *prog = s->prog;
    struct stmt *call = arena_copy(prog->arena, chain->call[c], sizeof *call);
    call->next = NULL;
    call->kernel = kernel_for(s, chain, c);
    call->origin = origin_in_strips(prog, call->origin, chain);
    call->args = arena_copy(prog->arena, call->args, (size_t)call->n_args * sizeof *call->args);
    for (int i = 0; i < call->n_args; i++) {
        const struct link *link = chain_link(chain, call->args[i].buf);
        ex zero = ex_int(prog, DT_index, 0), offset = call->args[i].offset ? call->args[i].offset : zero;
        if (link->slots) call->args[i].buf = link->slots;
        call->args[i].offset = link->slots ? add_times(prog, zero, at->part, link->slot)
                                           : add_times(prog, offset, at->strip, chain->rows[c].step[i] * chain->strip);
    }
    return call;
}

/* strips * (part + more) / parts */
static ex share(struct prog *prog, int64_t strips, struct var *part, int more, int64_t parts)
{
    ex e = ex_binary(prog, EX_add, ex_var(prog, part), ex_int(prog, DT_index, more));
    e = ex_binary(prog, EX_mul, e, ex_int(prog, DT_index, strips));
    return ex_binary(prog, EX_div, e, ex_int(prog, DT_index, parts));
}

static struct stmt *strip_loops(struct strips *s, struct chain *chain)
{
    struct prog *prog = s->prog;
    int64_t parts = chain->parts, strips = chain->rows[0].rows / chain->strip;
    struct counters at = {.strip = prog_index(prog, "strip", 0, strips - 1)};
    struct stmt *body = NULL;
    ex zero = ex_int(prog, DT_index, 0);
    for (int i = 0; i < chain->n_links; i++)
        if (chain->link[i].shortens) shorten_link(s, chain, &chain->link[i]);
    if (parts > 1) at.part = prog_index(prog, "part", 0, parts - 1);
    for (int c = 0; c < chain->n; c++) stmt_append(&body, strip_call(s, chain, c, &at));
    if (parts == 1) return stmt_for(prog, at.strip, zero, ex_int(prog, DT_index, strips), 1, body);
    body = stmt_for(prog, at.strip, share(prog, strips, at.part, 0, parts), share(prog, strips, at.part, 1, parts), 1, body);
    body = stmt_for(prog, at.part, zero, ex_int(prog, DT_index, parts), 1, body);
    body->loop = LOOP_PARALLEL;
    return body;
}

static struct stmt *strip_list(struct strips *s, struct stmt *list)
{
    struct stmt *out = NULL;
    while (list) {
        struct stmt *one = list;
        struct chain chain;
        if (chain_find(&s->finder, one, &chain)) {
            for (int i = 0; i < chain.n; i++) list = list->next;
            stmt_append(&out, strip_loops(s, &chain));
            continue;
        }
        list = list->next;
        one->next = NULL;
        stmt_append(&out, one);
    }
    return out;
}

/* Kernels and buffers whose place others have taken. */
static void drop_replaced(struct strips *s)
{
    struct prog *prog = s->prog;
    int kept = 0;
    if (s->made.n) prog_drop_uncalled(prog);
    for (int i = 0; i < prog->buffers.n; i++)
        if (!map_get(&s->gone, prog->buffers.at[i])) prog->buffers.at[kept++] = prog->buffers.at[i];
    prog->buffers.n = kept;
}

struct prog *pass_strips(const struct prog *prog, struct arena *unit, const struct pass_options *options)
{
    struct prog *to = prog_copy(prog, unit, NULL, NULL);
    struct strips s = {.prog = to, .scratch = arena_new()};
    s.finder = chain_finder_new(to, options, s.scratch);
    to->main = strip_list(&s, to->main);
    drop_replaced(&s);
    arena_free(s.scratch);
    return to;
}
