/* A nest from its parameter record.
 *
 *   for i in 0..M { for j in 0..N { B } }   with copies {i: 6, j: 2}, vector axis j, 8 lanes
 *      ->   for j step 16 { for i step 6 { B for 6 x 2 vectors, jammed } }   and the ragged parts
 *
 * Each axis of the chain is cut into segments; a segment is a loop (or a single trip) whose body has one shape:
 * so many copies, so many lanes, a count of active lanes or none. Every combination of segments gets its own body.
 * Extents known now are cut without a ragged end: 49 rows at most 6 high become 4 tiles of 6 and 5 of 5. Where
 * guards read an axis, the interior, where they hold, is cut apart from the edges; fresh variables with the
 * segment's range make the guards fold in it.
 */
#include "guards.h"
#include "loops.h"
#include "prefetch.h"
#include "tile.h"
#include "window.h"

enum { SEGMENTS_MOST = 16, TAPS_MOST = 8 };
struct segment {
    dim lo, hi;     /* of the axis */
    int copies, lanes;
    bool masked;    /* one trip with hi - lo active lanes, fewer than copies*lanes: the last copy is masked */
    bool edge;      /* guards remain */
};
struct segments {
    struct segment at[SEGMENTS_MOST];
    int n;
};
struct chosen { /* what the loops around a body have fixed for an axis */
    const struct segment *segment;
    ex base;
};
struct tiling {
    const struct loopnest *nest;
    const struct tile_plan *plan;
    const struct target *target;
    struct segments cut[AXES_MOST]; /* by axis */
    struct chosen chosen[AXES_MOST];
};

static void add_segment(struct segments *cut, struct segment segment)
{
    if (segment.lo == segment.hi) return;
    if (cut->n == SEGMENTS_MOST) bug("tile", "more than %d segments", SEGMENTS_MOST);
    cut->at[cut->n++] = segment;
}

/* lo..hi, plain numbers, whole units of `lanes`: tiles of at most `copies` units, in at most two heights. With
 * guards, tiles that leave inner_lo..inner_hi stand alone so that their guards fold. */
static void cut_even(struct segments *cut, int64_t lo, int64_t hi, int copies, int lanes, int64_t inner_lo, int64_t inner_hi)
{
    int64_t units = (hi - lo) / lanes, tiles = (units + copies - 1) / copies;
    if (units == 0) return;
    int64_t low = units / tiles, high_tiles = units % tiles, at = lo;
    bool few = tiles <= 6;
    for (int64_t t = 0; t < tiles;) {
        int64_t height = low + (t < high_tiles), run = 1, last = t < high_tiles ? high_tiles : tiles;
        bool edge = at < inner_lo || at + height * lanes > inner_hi;
        while (t + run < last && !(edge && (few || t == 0))) {
            bool next_edge = at + run * height * lanes < inner_lo || at + (run + 1) * height * lanes > inner_hi;
            if (next_edge != edge) break;
            run++;
        }
        if (cut->n == SEGMENTS_MOST - 3) run = last - t; /* odd guards: leave them */
        add_segment(cut, (struct segment){.lo = at, .hi = at + run * height * lanes, .copies = (int)height,
                                          .lanes = lanes, .edge = edge});
        at += run * height * lanes;
        t += run;
    }
}

static void cut_tail(struct tiling *t, struct segments *cut, dim lo, dim hi, int lanes, bool edge)
{
    dim left = dim_sub(t->nest->prog->dims, hi, lo);
    if (left == 0) return;
    if (dim_is_const(left)) {
        for (int narrow = lanes / 2; narrow >= 1; narrow /= 2)
            if (left == narrow) {
                add_segment(cut, (struct segment){.lo = lo, .hi = hi, .copies = 1, .lanes = narrow, .edge = edge});
                return;
            }
    }
    bool masks = t->target->vector_bytes >= 32 && lanes > 1;
    add_segment(cut, (struct segment){.lo = lo, .hi = hi, .copies = 1, .lanes = masks ? lanes : 1, .masked = masks,
                                      .edge = edge});
}

/* 0..extent with a ragged end, in tiles of whole vectors and, as the last tile's last copy, a masked one: it shares
 * what the tile loads. */
static void cut_ragged(struct segments *cut, int64_t extent, int copies, int lanes)
{
    int64_t units = (extent + lanes - 1) / lanes, tiles = (units + copies - 1) / copies, low = units / tiles, at = 0;
    int64_t counts[] = {units % tiles, tiles - units % tiles - 1, 1};
    for (int i = 0; i < 3; i++) {
        int64_t height = i == 0 ? low + 1 : low, end = at + counts[i] * height * lanes;
        add_segment(cut, (struct segment){.lo = at, .hi = i == 2 ? extent : end, .copies = (int)height, .lanes = lanes, .masked = i == 2});
        at = end;
    }
}

/* lo..hi in tiles of `copies` units of `lanes`. */
static void cut_range(struct tiling *t, struct segments *cut, dim lo, dim hi, int copies, int lanes, bool edge,
                      dim inner_lo, dim inner_hi)
{
    struct dims *dims = t->nest->prog->dims;
    dim extent = dim_sub(dims, hi, lo);
    bool plain = dim_is_const(lo) && dim_is_const(hi) && dim_is_const(inner_lo) && dim_is_const(inner_hi);
    dim whole = dim_add(dims, lo, dim_mul(dims, dim_div(dims, extent, lanes), lanes));
    if (plain) {
        cut_even(cut, lo, whole, copies, lanes, inner_lo, inner_hi);
    } else {
        int64_t step = (int64_t)copies * lanes;
        dim many = dim_add(dims, lo, dim_mul(dims, dim_div(dims, extent, step), step));
        add_segment(cut, (struct segment){.lo = lo, .hi = many, .copies = copies, .lanes = lanes, .edge = edge});
        if (copies > 1)
            add_segment(cut, (struct segment){.lo = many, .hi = whole, .copies = 1, .lanes = lanes, .edge = edge});
    }
    cut_tail(t, cut, whole, hi, lanes, edge);
}

static void cut_axis(struct tiling *t, int axis)
{
    const struct axis *a = &t->nest->axis[axis];
    bool vector = axis == t->plan->vector_axis;
    int copies = t->plan->copies[axis], lanes = vector ? t->plan->lanes : 1;
    struct segments *cut = &t->cut[axis];
    dim lo, hi, extent = a->extent;
    if (copies == 1 && lanes == 1) {
        add_segment(cut, (struct segment){.lo = 0, .hi = extent, .copies = 1, .lanes = 1, .edge = true});
        return;
    }
    bool known = guards_interval(t->nest, axis, &lo, &hi);
    if (!known) lo = hi = 0;
    bool reduces = t->nest->n_axes > t->nest->n_chain, masks = t->target->vector_bytes >= 32 && reduces;
    bool whole = known && lo == 0 && hi == extent;
    if (whole && vector && masks && dim_is_const(extent) && extent > lanes && extent % lanes) {
        cut_ragged(cut, extent, copies, lanes);
    } else if (whole) {
        cut_range(t, cut, 0, extent, copies, lanes, false, 0, extent);
    } else if (!vector && dim_is_const(extent)) {
        cut_range(t, cut, 0, extent, copies, 1, true, lo, hi);
    } else {
        add_segment(cut, (struct segment){.lo = 0, .hi = lo, .copies = 1, .lanes = 1, .edge = true});
        cut_range(t, cut, lo, hi, copies, lanes, false, lo, hi);
        add_segment(cut, (struct segment){.lo = hi, .hi = extent, .copies = 1, .lanes = 1, .edge = true});
    }
}

/* The range of an axis's values in a segment, as a variable. */
static struct var *segment_var(struct tiling *t, int axis)
{
    struct prog *prog = t->nest->prog;
    const struct segment *s = t->chosen[axis].segment;
    return prog_index(prog, t->nest->axis[axis].var->name, s->lo, dim_sub(prog->dims, s->hi, 1));
}

static ex plus(struct prog *prog, ex base, int64_t n)
{
    return ex_binary(prog, EX_add, base, ex_int(prog, DT_index, n));
}

static struct stmt *jam_axis(struct prog *prog, struct stmt *list, struct var *var, ex base, int copies, int step)
{
    ex *values = NEW_ARRAY(prog->arena, ex, copies);
    for (int i = 0; i < copies; i++) values[i] = plus(prog, base, (int64_t)i * step);
    return loops_jam(prog, list, var, values, copies);
}

/* The body for the vector axis's lanes, all copies; where it cannot be lanes, a loop over the elements. */
static struct stmt *make_lanes(struct tiling *t, struct stmt *list, struct var *var, bool *jammed)
{
    struct prog *prog = t->nest->prog;
    const struct chosen *c = &t->chosen[t->plan->vector_axis];
    const struct segment *s = c->segment;
    struct var *start = segment_var(t, t->plan->vector_axis);
    struct lanes lanes = {.var = var, .base = start->lo == start->hi ? c->base : ex_var(prog, start), .lanes = s->lanes};
    struct stmt *made;
    *jammed = false;
    if (s->masked) lanes.count = ex_binary(prog, EX_sub, ex_dim(prog, s->hi), s->copies > 1 ? lanes.base : c->base);
    if (loops_vectorize(prog, list, &lanes, &made)) {
        *jammed = true;
        if (s->copies == 1) {
            ex base[1] = {c->base};
            return loops_jam(prog, made, start, base, 1);
        }
        return jam_axis(prog, made, start, c->base, s->copies, s->lanes);
    }
    struct rewriter *r = rewriter_new(prog);
    struct var *each = rewrite_define(r, var);
    ex end = s->masked ? ex_dim(prog, s->hi) : plus(prog, c->base, (int64_t)s->copies * s->lanes);
    return stmt_for(prog, each, c->base, end, 1, rewrite_list(r, list));
}

static bool any_edge(const struct tiling *t)
{
    for (int i = 0; i < t->nest->n_chain; i++)
        if (t->plan->copies[i] > 1 && t->chosen[i].segment->edge) return true;
    return false;
}

static int copies_of(const struct tiling *t, int axis)
{
    return t->plan->copies[axis] > 1 ? t->chosen[axis].segment->copies : 1;
}

/* Copies of the operand that is copied most among those that depend on the axis. */
static int operand_copies(const struct tiling *t, int axis)
{
    int most = 0;
    for (int i = 0; i < t->nest->accesses.n; i++) {
        const struct access *access = &t->nest->accesses.at[i];
        int copies = 1;
        if (access->store || access->weight <= 1 || !depends_on(access, axis)) continue;
        for (int a = 0; a < t->nest->n_chain; a++)
            if (depends_on(access, a)) copies *= copies_of(t, a);
        if (copies > most) most = copies;
    }
    return most;
}

/* Which axes are copied, those of the operand with the most copies first: what is jammed last varies fastest, so an
 * element of that operand is used by neighbouring statements and gone, while the other operand stays in registers. */
static int copied_axes(const struct tiling *t, int *axes)
{
    int n = 0;
    for (int a = 0; a < t->nest->n_chain; a++) {
        if (a == t->plan->vector_axis || t->plan->copies[a] <= 1) continue;
        int k = n++, key = operand_copies(t, a);
        for (; k > 0; k--) {
            int other = operand_copies(t, axes[k - 1]);
            if (other > key || (other == key && copies_of(t, axes[k - 1]) >= copies_of(t, a))) break;
            axes[k] = axes[k - 1];
        }
        axes[k] = a;
    }
    return n;
}

enum { PREFETCH_LEAST = 256 << 10 /* bytes of an operand: smaller ones stay in cache */, STREAM_AHEAD = 2048 /* bytes */ };

static int64_t trips_of(const struct segment *s)
{
    int64_t step = (int64_t)s->copies * s->lanes, length = dim_is_const(s->hi) && dim_is_const(s->lo) ? s->hi - s->lo : 0;
    return (length + step - 1) / step;
}

static int64_t trips_along(const struct tiling *t, int axis)
{
    int64_t trips = 0;
    for (int i = 0; i < t->cut[axis].n; i++) trips += trips_of(&t->cut[axis].at[i]);
    return trips;
}

/* Words of several weights are converted on their way: a processor that has so much to do looks less far ahead by itself, so
 * they are asked for on their own way even where they are read once: gpt2_decode with weights of 4 bits 6.6 ms to 5.7. For bytes
 * its own foresight is enough: on AVX2 12.6 ms without and 13.4 with. 16-bit floats, twice as far: 20.1 ms to 19.5. */
static bool is_converted(const struct tiling *t, const struct access *access)
{
    return dtype_is_half(access->buf->dt) || (t->nest->conversions > 1 && dtype_is_int(access->buf->dt) && dtype_bytes(access->buf->dt) == 4);
}

/* The operand's next panel is along the innermost loop that moves it; the loops inside that one visit it again. */
static bool find_prefetch(const struct tiling *t, const struct access *access, struct prefetch *prefetch)
{
    struct prog *prog = t->nest->prog;
    int level = t->nest->n_chain - 1, axis = -1, visitor = -1;
    for (; level >= 0; level--) {
        axis = t->plan->order[level];
        if (trips_along(t, axis) <= 1) continue;
        if (depends_on(access, axis)) break;
        if (visitor < 0) visitor = axis;
    }
    if ((level < 0 || visitor < 0) && is_converted(t, access)) {
        int64_t ahead = dtype_is_half(access->buf->dt) ? 2 * STREAM_AHEAD : STREAM_AHEAD;
        *prefetch = (struct prefetch){.buf = access->buf, .ahead = ahead / dtype_bytes(access->buf->dt), .turns = 1};
        return true;
    }
    if (level < 0) return false;
    const struct segment *s = t->chosen[axis].segment;
    *prefetch = (struct prefetch){.buf = access->buf, .ahead = access->coef[axis] * s->copies * s->lanes, .turns = 1};
    if (visitor < 0) return false; /* read once: nothing goes on in the meantime */
    const struct chosen *v = &t->chosen[visitor];
    int64_t visits = trips_along(t, visitor), height = (int64_t)v->segment->copies * v->segment->lanes, before = 0;
    for (const struct segment *earlier = t->cut[visitor].at; earlier != v->segment; earlier++) before += trips_of(earlier);
    prefetch->turns = visits >= 8 ? 8 : visits >= 4 ? 4 : visits >= 2 ? 2 : 1;
    ex at = ex_binary(prog, EX_div, ex_binary(prog, EX_sub, v->base, ex_dim(prog, v->segment->lo)), ex_int(prog, DT_index, height));
    prefetch->visit = ex_binary(prog, EX_add, at, ex_int(prog, DT_index, before));
    return true;
}

/* Large operands that are read along lanes once per position of a reduction. */
static void add_prefetches(const struct tiling *t, struct stmt *list)
{
    for (int i = 0; i < t->nest->accesses.n; i++) {
        const struct access *access = &t->nest->accesses.at[i];
        struct prefetch prefetch;
        bool streams = t->plan->vector_axis >= 0 && !access->store && access->weight > 1 && access->affine &&
                       loopnest_stride(access, t->plan->vector_axis) == 1 && dim_is_const(access->buf->elements);
        for (int a = 0; a < t->nest->n_axes && streams; a++) streams = dim_is_const(access->coef[a]);
        if (!streams || access->buf->elements * dtype_bytes(access->buf->dt) < PREFETCH_LEAST) continue;
        if (find_prefetch(t, access, &prefetch)) prefetch_panel(t->nest->prog, list, &prefetch);
    }
}

/* Where the tile's first element of the access lies. */
static ex tile_start(const struct tiling *t, const struct access *access)
{
    struct rewriter *r = rewriter_new(t->nest->prog);
    for (int a = 0; a < t->nest->n_chain; a++) rewrite_bind(r, t->nest->axis[a].var, t->chosen[a].base);
    return rewrite_expr(r, access->index);
}

/* Results, and what is added to them, that lie beyond the second cache level: short sums do not hide the way there. */
static void add_row_prefetches(const struct tiling *t, struct stmt *list)
{
    int axes[AXES_MOST], v = t->plan->vector_axis;
    if (v < 0 || copied_axes(t, axes) != 1) return;
    int row = axes[0];
    for (int i = 0; i < t->nest->accesses.n; i++) {
        const struct access *access = &t->nest->accesses.at[i];
        bool rows = access->weight == 1 && access->affine && !access->guarded && loopnest_stride(access, v) == 1 && dim_is_const(access->buf->elements);
        for (int a = 0; a < t->nest->n_chain && rows; a++) rows = dim_is_const(access->coef[a]);
        if (!rows || access->coef[row] == 0 || access->buf->elements * dtype_bytes(access->buf->dt) < PREFETCH_LEAST) continue;
        const struct segment *s = t->chosen[row].segment, *lanes = t->chosen[v].segment;
        struct prefetch_tile tile = {.buf = access->buf, .at = tile_start(t, access), .stride = access->coef[row], .rows = s->copies,
                                     .width = (int64_t)lanes->copies * lanes->lanes};
        prefetch_rows(t->nest->prog, list, &tile);
    }
}

/* Whether the segments chosen are a small part of the nest: its code may be shorter. */
static bool is_minor(const struct tiling *t)
{
    double part = 1;
    for (int a = 0; a < t->nest->n_chain; a++) {
        const struct segment *s = t->chosen[a].segment;
        dim extent = t->nest->axis[a].extent;
        if (dim_is_const(s->lo) && dim_is_const(s->hi) && dim_is_const(extent) && extent > 0)
            part *= (double)(s->hi - s->lo) / (double)extent;
    }
    return part < 0.3;
}

/* Statements that an innermost loop may have: fewer where one of them takes several numbers out of a word. */
static int unroll_size(const struct tiling *t)
{
    int size = is_minor(t) ? t->plan->unroll_size / 4 : t->plan->unroll_size;
    return t->nest->conversions > 1 ? size / (4 * t->nest->conversions) : size;
}

static struct stmt *make_body(struct tiling *t)
{
    struct prog *prog = t->nest->prog;
    const struct tile_plan *plan = t->plan;
    struct rewriter *r = rewriter_new(prog);
    struct var *tile_var[AXES_MOST] = {NULL}, *fixed[AXES_MOST];
    int axes[AXES_MOST], n_fixed = 0;
    for (int a = 0; a < t->nest->n_chain; a++) {
        bool tiled = a == plan->vector_axis ? t->chosen[a].segment->lanes > 1 : plan->copies[a] > 1;
        ex by = t->chosen[a].base;
        if (tiled) {
            struct var *var = segment_var(t, a);
            if (var->lo != var->hi || !dim_is_const(var->lo)) {
                tile_var[a] = fixed[n_fixed++] = var;
                by = ex_var(prog, var);
            }
        }
        rewrite_bind(r, t->nest->axis[a].var, by);
    }
    struct stmt *list = rewrite_list(r, t->nest->body);
    list = guards_hoist(prog, list, fixed, n_fixed);
    if (t->nest->n_axes == t->nest->n_chain && plan->vector_axis >= 0) list = guards_unswitch(prog, list, fixed, n_fixed);
    bool lanes_jammed = true;
    struct stmt *vectors = list;
    int v = plan->vector_axis;
    /* rows first, the vector axis's own copies last (see copied_axes); but lanes must be made before */
    int n = copied_axes(t, axes);
    if (v >= 0 && tile_var[v] && t->chosen[v].segment->copies == 1) vectors = make_lanes(t, list, tile_var[v], &lanes_jammed);
    for (int i = 0; i < n; i++) {
        const struct chosen *c = &t->chosen[axes[i]];
        if (tile_var[axes[i]]) vectors = jam_axis(prog, vectors, tile_var[axes[i]], c->base, c->segment->copies, 1);
    }
    if (v >= 0 && tile_var[v] && t->chosen[v].segment->copies > 1) vectors = make_lanes(t, vectors, tile_var[v], &lanes_jammed);
    if (any_edge(t)) vectors = guards_unroll(prog, vectors, TAPS_MOST);
    vectors = guards_drop(vectors);
    if (plan->inner_lanes > 1) vectors = reduce_vectorize(prog, vectors, plan->inner_lanes, t->target->vector_bytes >= 32);
    else vectors = reduce_unroll(prog, vectors, unroll_size(t));
    struct window window;
    if (window_find(t->nest, plan, &window)) vectors = window_order(prog, vectors, &window);
    if (t->target->has_fma) loops_use_fma(prog, vectors);
    vectors = guards_drop(vectors);
    sums_start(prog, vectors);
    add_prefetches(t, vectors);
    add_row_prefetches(t, vectors);
    return vectors;
}

static struct stmt *make_loops(struct tiling *t, int level)
{
    struct prog *prog = t->nest->prog;
    if (level == t->nest->n_chain) return make_body(t);
    int axis = t->plan->order[level];
    struct stmt *out = NULL;
    for (int i = 0; i < t->cut[axis].n; i++) {
        const struct segment *s = &t->cut[axis].at[i];
        int64_t step = (int64_t)s->copies * s->lanes;
        dim extent = dim_sub(prog->dims, s->hi, s->lo);
        t->chosen[axis].segment = s;
        bool once = extent == step || (s->masked && dim_is_const(extent));
        if (once) {
            t->chosen[axis].base = ex_dim(prog, s->lo);
            stmt_append(&out, make_loops(t, level + 1));
            continue;
        }
        dim last = s->masked ? dim_sub(prog->dims, s->hi, 1) : dim_sub(prog->dims, s->hi, step);
        struct var *var = prog_index(prog, t->nest->axis[axis].var->name, s->lo, last);
        t->chosen[axis].base = ex_var(prog, var);
        struct stmt *loop = stmt_for(prog, var, ex_dim(prog, s->lo), ex_dim(prog, s->hi), step, NULL);
        loop->body = make_loops(t, level + 1);
        stmt_append(&out, loop);
    }
    return out;
}

struct stmt *tile_nest(const struct loopnest *nest, const struct tile_plan *plan, const struct target *target)
{
    struct tiling *t = NEW(nest->prog->arena, struct tiling);
    t->nest = nest;
    t->plan = plan;
    t->target = target;
    reduce_order(nest, nest->body);
    for (int a = 0; a < nest->n_chain; a++) cut_axis(t, a);
    return make_loops(t, 0);
}
