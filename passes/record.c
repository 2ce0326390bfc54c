/* Parameter records as text, read and printed. See record.h. */
#include "record.h"
#include "choose.h"

#include <string.h>

static const char inner_name[] = "inner"; /* lanes=inner:N; an axis of this name is inner~2 */

static const char *numbered(struct arena *arena, const char *name, int nth)
{
    return nth > 1 ? arena_printf(arena, "%s~%d", name, nth) : name;
}

const char *record_axis_label(const struct loopnest *nest, int axis)
{
    struct arena *arena = nest->prog->arena;
    const char *name = text_identifier(arena, nest->axis[axis].var->name);
    int nth = 1 + !strcmp(name, inner_name);
    for (int a = 0; a < axis; a++) nth += !strcmp(text_identifier(arena, nest->axis[a].var->name), name);
    return numbered(arena, name, nth);
}

const char *record_param_label(const struct kernel *kernel, int param, struct arena *arena)
{
    const char *name = text_identifier(arena, kernel->params.at[param]->name);
    int nth = 1;
    for (int i = 0; i < param; i++) nth += !strcmp(text_identifier(arena, kernel->params.at[i]->name), name);
    return numbered(arena, name, nth);
}

const char *record_text(const struct loopnest *nest, const struct tile_plan *plan, const char *pack, const char *pack_axis)
{
    struct text text = {.arena = nest->prog->arena};
    text_add(&text, nest->n_axes == nest->n_chain ? "map" : "tile");
    if (plan->vector_axis >= 0)
        text_printf(&text, " lanes=%s:%d", record_axis_label(nest, plan->vector_axis), plan->lanes);
    if (plan->inner_lanes > 1) text_printf(&text, " lanes=%s:%d", inner_name, plan->inner_lanes);
    for (int i = 0; i < nest->n_chain; i++)
        if (plan->copies[plan->order[i]] > 1)
            text_printf(&text, " copies=%s:%d", record_axis_label(nest, plan->order[i]), plan->copies[plan->order[i]]);
    text_add(&text, " order=");
    for (int i = 0; i < nest->n_chain; i++)
        text_printf(&text, "%s%s", i ? "," : "", record_axis_label(nest, plan->order[i]));
    if (pack) text_printf(&text, " pack=%s:%s", pack, pack_axis);
    if (nest->n_axes > nest->n_chain && plan->inner_lanes == 1) text_printf(&text, " unroll=%d", plan->unroll_size);
    return text_string(&text);
}

struct reader {
    const char *at, *start;
    struct place place; /* of start */
    struct arena *arena;
    struct diag *diag;
};

static struct place place_at(const struct reader *r, const char *at)
{
    struct place place = r->place;
    place.column += (int)(at - r->start);
    return place;
}

static bool at_end(const struct reader *r)
{
    return *r->at == 0 || *r->at == '\n' || *r->at == '\r' || *r->at == '#';
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '~';
}

/* A name into *name; false after an error. */
static bool read_name(struct reader *r, const char *what, struct record_name *name)
{
    const char *start = r->at;
    while (is_word(*r->at)) r->at++;
    name->place = place_at(r, start);
    if (r->at == start) return diag_error(r->diag, name->place, "%s is expected here", what);
    if (r->at - start > 80) return diag_error(r->diag, name->place, "no %s has so long a name", what);
    name->text = arena_strndup(r->arena, start, (size_t)(r->at - start));
    return true;
}

static bool read_number(struct reader *r, int lo, int hi, int *value)
{
    const char *start = r->at;
    int64_t v = 0;
    for (; *r->at >= '0' && *r->at <= '9' && v <= INT32_MAX; r->at++) v = 10 * v + (*r->at - '0');
    if (r->at == start || v < lo || v > hi || is_word(*r->at))
        return diag_error(r->diag, place_at(r, start), "a number from %d to %d is expected here", lo, hi);
    *value = (int)v;
    return true;
}

static bool read_sign(struct reader *r, char sign)
{
    if (*r->at != sign) return diag_error(r->diag, place_at(r, r->at), "'%c' is expected here", sign);
    r->at++;
    return true;
}

/* AXIS:N */
static bool read_pair(struct reader *r, int lo, int hi, struct record_name *pair)
{
    return read_name(r, "an axis", pair) && read_sign(r, ':') && read_number(r, lo, hi, &pair->number);
}

static bool read_lanes(struct reader *r, struct record *record)
{
    struct record_name pair = {0};
    if (!read_pair(r, 2, 64, &pair)) return false;
    if (record->lanes.text || record->inner_lanes > 1) return diag_error(r->diag, pair.place, "lanes are given twice");
    if (strcmp(pair.text, inner_name) != 0) record->lanes = pair;
    else record->inner_lanes = pair.number;
    return true;
}

static bool read_copies(struct reader *r, struct record *record)
{
    struct record_name pair = {0};
    if (!read_pair(r, 1, 240, &pair)) return false;
    if (record->n_copies == AXES_MOST) return diag_error(r->diag, pair.place, "more copies than axes");
    for (int i = 0; i < record->n_copies; i++)
        if (!strcmp(record->copies[i].text, pair.text))
            return diag_error(r->diag, pair.place, "copies of %s are given twice", pair.text);
    record->copies[record->n_copies++] = pair;
    return true;
}

static bool read_order(struct reader *r, struct record *record)
{
    if (record->n_order) return diag_error(r->diag, place_at(r, r->at), "the order is given twice");
    do {
        if (record->n_order == AXES_MOST) return diag_error(r->diag, place_at(r, r->at), "more axes than a nest has");
        if (!read_name(r, "an axis", &record->order[record->n_order++])) return false;
    } while (*r->at == ',' && r->at++);
    return true;
}

static bool read_pack(struct reader *r, struct record *record)
{
    if (record->pack.text) return diag_error(r->diag, place_at(r, r->at), "packing is given twice");
    return read_name(r, "a parameter", &record->pack) && read_sign(r, ':') && read_name(r, "an axis", &record->pack_axis);
}

static bool read_group(struct reader *r, const struct record_name *key, struct record *record)
{
    bool rows = record->kind == RECORD_ROWS;
    const struct {
        const char *name;
        int *value;
    } options[] = {{"lanes", &record->rows.lanes}, {"rows", &record->rows.rows}, {"rows", &record->group.rows}, {"columns", &record->group.columns}, {"high", &record->group.high},
                   {"wide", &record->group.wide}, {"step", &record->group.step}, {"slices", &record->group.slices}};
    for (int i = rows ? 0 : 2; i < (rows ? 2 : 8); i++) {
        if (strcmp(options[i].name, key->text) != 0) continue;
        if (*options[i].value) return diag_error(r->diag, key->place, "%s is given twice", key->text);
        return read_number(r, 1, 1024, options[i].value);
    }
    return diag_error(r->diag, key->place, "there is no option '%s' here", key->text);
}

static bool read_option(struct reader *r, struct record *record)
{
    struct record_name key = {0};
    if (!read_name(r, "an option", &key) || !read_sign(r, '=')) return false;
    bool nest = record->kind == RECORD_MAP || record->kind == RECORD_TILE;
    if (record->kind == RECORD_GROUP || record->kind == RECORD_ROWS) return read_group(r, &key, record);
    if (record->kind == RECORD_REDUCE && !strcmp(key.text, "lanes")) return read_number(r, 2, 64, &record->inner_lanes);
    if (record->kind != RECORD_LOOPS && !strcmp(key.text, "unroll")) return read_number(r, 0, UNROLL_MOST, &record->unroll);
    if (nest && !strcmp(key.text, "lanes")) return read_lanes(r, record);
    if (nest && !strcmp(key.text, "copies")) return read_copies(r, record);
    if (nest && !strcmp(key.text, "order")) return read_order(r, record);
    if (nest && !strcmp(key.text, "pack")) return read_pack(r, record);
    static const char *const words[] = {"lanes", "copies", "order", "pack", "unroll"};
    diag_error(r->diag, key.place, "there is no option '%s' here", key.text);
    const char *near = diag_suggest(key.text, words, 5);
    if (nest && near) diag_note(r->diag, key.place, "did you mean '%s'?", near);
    return false;
}

static void skip_spaces(struct reader *r)
{
    while (*r->at == ' ' || *r->at == '\t') r->at++;
}

static bool read_record(struct reader *r, struct record *record)
{
    static const char *const kinds[] = {"map", "tile", "reduce", "loops", "group", "rows"};
    struct record_name word = {0};
    int kind = 0;
    skip_spaces(r);
    if (!read_name(r, "a record (map, tile, reduce, loops, group or rows)", &word)) return false;
    while (kind < 6 && strcmp(kinds[kind], word.text) != 0) kind++;
    if (kind == 6) return diag_error(r->diag, word.place, "a record is map, tile, reduce, loops, group or rows, not '%s'", word.text);
    *record = (struct record){.kind = (enum record_kind)kind, .place = word.place, .inner_lanes = 1, .unroll = -1};
    for (skip_spaces(r); !at_end(r) && *r->at != ';'; skip_spaces(r))
        if (!read_option(r, record)) return false;
    if (kind <= RECORD_TILE && record->n_order == 0) return diag_error(r->diag, record->place, "the record has no order=");
    if (kind == RECORD_REDUCE && (record->inner_lanes > 1) == (record->unroll >= 0))
        return diag_error(r->diag, record->place, "a reduction has either lanes= or unroll=");
    const struct group_plan *g = &record->group;
    if (kind == RECORD_GROUP && !(g->rows && g->columns && g->high && g->wide && g->step))
        return diag_error(r->diag, record->place, "a group has rows=, columns=, high=, wide= and step=");
    if (record->group.slices == 0) record->group.slices = 1;
    if (kind == RECORD_ROWS && !(record->rows.lanes && record->rows.rows))
        return diag_error(r->diag, record->place, "rows have lanes= and rows=");
    if (record->unroll < 0) record->unroll = UNROLL_USUAL;
    return true;
}

bool records_parse(const char *text, struct place place, struct arena *arena, struct diag *diag, struct records *records)
{
    struct reader r = {.at = text, .start = text, .place = place, .arena = arena, .diag = diag};
    for (;;) {
        struct record record;
        if (!read_record(&r, &record)) return false;
        LIST_PUSH(arena, records, record);
        if (at_end(&r)) return true;
        if (!read_sign(&r, ';')) return false;
    }
}

int record_axis(const struct record_name *name, const struct loopnest *nest, struct diag *diag)
{
    struct text have = {.arena = nest->prog->arena};
    for (int a = 0; a < nest->n_chain; a++) {
        const char *label = record_axis_label(nest, a);
        if (!strcmp(label, name->text)) return a;
        text_printf(&have, "%s%s", a ? ", " : "", label);
    }
    diag_error(diag, name->place, "the nest has no axis '%s'; it has %s", name->text, text_string(&have));
    return -1;
}

bool record_plan(const struct record *record, const struct loopnest *nest, const struct target *target,
                 struct tile_plan *plan, struct diag *diag)
{
    bool map = nest->n_axes == nest->n_chain;
    if (record->kind != (map ? RECORD_MAP : RECORD_TILE))
        return diag_error(diag, record->place, "the loops here are a nest %s loops inside, for a record %s",
                          map ? "without" : "with", map ? "map" : "tile");
    *plan = (struct tile_plan){.vector_axis = -1, .lanes = 1, .inner_lanes = record->inner_lanes, .unroll_size = record->unroll};
    for (int a = 0; a < AXES_MOST; a++) plan->copies[a] = 1;
    if (record->lanes.text) {
        plan->vector_axis = record_axis(&record->lanes, nest, diag);
        if (plan->vector_axis < 0) return false;
        plan->lanes = record->lanes.number;
    }
    for (int i = 0; i < record->n_copies; i++) {
        int axis = record_axis(&record->copies[i], nest, diag);
        if (axis < 0) return false;
        plan->copies[axis] = record->copies[i].number;
    }
    if (record->n_order != nest->n_chain)
        return diag_error(diag, record->place, "the order has %d axes and the nest %d", record->n_order, nest->n_chain);
    for (int i = 0; i < record->n_order; i++) {
        plan->order[i] = record_axis(&record->order[i], nest, diag);
        if (plan->order[i] < 0) return false;
    }
    const char *why = choose_check(nest, target, plan);
    return !why || diag_error(diag, record->place, "the record does not fit: %s", why);
}
