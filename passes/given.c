/* Schedules from a tuning file: each loop that pass schedule meets takes the next of its kernel's records.
 *
 * A record that does not fit is an error, located in the file: the file is stale or was edited. What fits is as legal as
 * what the search finds (choose_check).
 */
#include "schedule.h"

#include <string.h>

bool given_start(struct scheduler *s, const struct kernel *from)
{
    struct tuning *tuning = s->tuning;
    uint64_t key = tuning_key(s->all->from, from, s->constant);
    s->kernel->key = key;
    if (tuning->explore) {
        s->explored = tuning->explored.n;
        LIST_PUSH(tuning->arena, &tuning->explored,
                  ((struct tuning_kernel){.key = key, .name = arena_strdup(tuning->arena, from->name),
                                           .layers = arena_strdup(tuning->arena, from->layers)}));
    }
    struct tuning_line *line = tuning_find(tuning, key);
    if (!line) return true;
    struct records *records = NEW(s->prog->arena, struct records);
    line->used = true;
    if (!records_parse(line->records, line->place, tuning->arena, tuning->diag, records)) return false;
    s->given = records;
    return true;
}

/* The next record; NULL after an error, and after an earlier one of this kernel. */
static const struct record *take(struct scheduler *s)
{
    if (s->failed) return NULL;
    if (s->next < s->given->n) return &s->given->at[s->next++];
    s->failed = true;
    diag_error(s->tuning->diag, s->given->at[s->given->n - 1].place,
               "kernel %s has more loops to schedule than the %d records here", s->kernel->name, s->given->n);
    return NULL;
}

static bool refuse(struct scheduler *s)
{
    diag_note(s->tuning->diag, (struct place){0}, "the record is for kernel %s", s->kernel->name);
    s->failed = true;
    return false;
}

static bool given_pack(struct scheduler *s, const struct record *record, struct stmt *loop, const struct loopnest *nest,
                       struct choice *choice)
{
    struct diag *diag = s->tuning->diag;
    struct var *var;
    int axis = record_axis(&record->pack_axis, nest, diag);
    if (axis < 0) return false;
    for (int i = 0; i < nest->accesses.n; i++) {
        const struct access *access = &nest->accesses.at[i];
        if (access->store || access->buf->space != SPACE_PARAM) continue;
        if (strcmp(record_param_label(s->kernel, access->buf->position, s->prog->arena), record->pack.text) != 0) continue;
        if (schedule_may_pack(s, access) && schedule_packed(s, loop, nest, access, axis, choice, &var)) return true;
        return diag_error(diag, record->pack.place, "%s cannot be packed for %s here", record->pack.text,
                          record->pack_axis.text);
    }
    return diag_error(diag, record->pack.place, "the nest reads no parameter '%s'", record->pack.text);
}

static bool given_group(struct scheduler *s, const struct record *record, const struct stmt *loop, const struct loopnest *nest,
                        struct choice *choice)
{
    struct contraction c;
    const char *why = "the loops are none for groups of lanes";
    if (record->kind == RECORD_ROWS && schedule_rows(s, loop, nest)) why = rows_check(nest, s->all->device, &record->rows);
    if (record->kind == RECORD_GROUP && schedule_groups(s, loop, nest, &c)) why = group_check(&c, s->all->device, &record->group);
    choice->nest = *nest;
    choice->group = record->group;
    choice->rows = record->rows;
    choice->found = !why;
    if (why) diag_error(s->tuning->diag, record->place, "the record does not fit: %s", why);
    return choice->found || refuse(s);
}

bool given_choice(struct scheduler *s, struct stmt *loop, const struct loopnest *nest, struct choice *choice)
{
    const struct record *record = take(s);
    if (!record) return false;
    choice->found = false;
    if (record->kind == RECORD_LOOPS) return true;
    if (record->kind == RECORD_GROUP || record->kind == RECORD_ROWS) return given_group(s, record, loop, nest, choice);
    if (nest->too_big || !nest->parallel || record->kind == RECORD_REDUCE) {
        diag_error(s->tuning->diag, record->place, "the loops here are %s", record->kind == RECORD_REDUCE
                   ? "no reduction" : "no nest of independent iterations: their record is loops");
        return refuse(s);
    }
    choice->nest = *nest;
    if (record->pack.text && !given_pack(s, record, loop, nest, choice)) return refuse(s);
    choice->found = record_plan(record, &choice->nest, s->target, &choice->plan, s->tuning->diag);
    return choice->found || refuse(s);
}

bool given_reduction(struct scheduler *s, int lanes, struct reduction_choice *choice)
{
    const struct record *record = take(s);
    if (!record) return false;
    int asked = record->inner_lanes;
    if (record->kind != RECORD_REDUCE || asked > lanes || (asked & (asked - 1)) != 0) {
        diag_error(s->tuning->diag, record->place, "the loop here is a reduction, with at most %d lanes (a power of two)", lanes);
        return refuse(s);
    }
    *choice = (struct reduction_choice){.lanes = asked, .unroll = record->unroll};
    return true;
}

bool given_loops(struct scheduler *s)
{
    const struct record *record = s->given ? take(s) : NULL;
    if (!s->given) return true;
    if (record && record->kind == RECORD_LOOPS) return true;
    if (record) diag_error(s->tuning->diag, record->place, "the loops here are too many: their record is loops");
    return record && refuse(s);
}

void given_finish(struct scheduler *s)
{
    if (s->failed || s->next == s->given->n) return;
    diag_error(s->tuning->diag, s->given->at[s->next].place, "kernel %s has fewer loops to schedule than there are records",
               s->kernel->name);
    s->failed = true;
}
