/* Tuning files, read and printed. See tuning.h. */
#include "tuning.h"

#include <stdlib.h>
#include <string.h>

static const char first_line[] = "tenon tuning 1";

struct tuning *tuning_new(struct arena *arena, struct diag *diag, const char *target, const char *maker, int threads)
{
    struct tuning *tuning = NEW(arena, struct tuning);
    tuning->arena = arena;
    tuning->diag = diag;
    tuning->target = target;
    tuning->maker = maker;
    tuning->threads = threads;
    return tuning;
}

struct reader { /* of one line */
    struct tuning *tuning;
    const struct source *source;
    int line;
    const char *start, *at, *end;
};

static bool wrong(const struct reader *r, const char *at, const char *what)
{
    struct place place = {.source = r->source, .line = r->line, .column = 1 + (int)(at - r->start)};
    return diag_error(r->tuning->diag, place, "%s", what);
}

static void skip_spaces(struct reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t')) r->at++;
}

/* Letters up to a space, `:`, `=`, `#` or the line's end; NULL where there are none. */
static const char *read_word(struct reader *r)
{
    skip_spaces(r);
    const char *start = r->at;
    while (r->at < r->end && !strchr(" \t:=#", *r->at)) r->at++;
    return r->at == start ? NULL : arena_strndup(r->tuning->arena, start, (size_t)(r->at - start));
}

static bool read_double(struct reader *r, double lo, double hi, double *value)
{
    const char *start = r->at, *word = read_word(r);
    char *end;
    if (!word) return wrong(r, start, "a number is expected here");
    *value = strtod(word, &end);
    if (*end || !(*value >= lo && *value <= hi)) return wrong(r, start, "this number is no measure of a machine");
    return true;
}

/* What stands behind the line's first `#`; NULL: nothing. */
static const char *read_comment(const struct reader *r)
{
    const char *at = memchr(r->at, '#', (size_t)(r->end - r->at));
    if (!at++) return NULL;
    while (at < r->end && *at == ' ') at++;
    return arena_strndup(r->tuning->arena, at, (size_t)(r->end - at));
}

static bool read_machine(struct reader *r)
{
    skip_spaces(r);
    const char *name = r->at;
    struct tuning_machine machine = {.name = read_word(r)};
    const struct target *row = machine.name ? target_find(machine.name) : NULL;
    if (!row) return wrong(r, name, "a CPU's name is expected here (--cpu=help lists them)");
    double l1 = row->l1_bytes, l2 = row->l2_bytes;
    machine.fmas_per_cycle = row->fmas_per_cycle;
    machine.fma_latency = row->fma_latency;
    machine.loads_per_cycle = row->loads_per_cycle;
    const struct {
        const char *name;
        double lo, hi, *value;
    } fields[] = {{"fmas", 0.1, 16, &machine.fmas_per_cycle}, {"latency", 0.5, 64, &machine.fma_latency},
                  {"loads", 0.1, 16, &machine.loads_per_cycle}, {"l1", 1024, 1 << 26, &l1}, {"l2", 1024, 1 << 30, &l2}};
    for (skip_spaces(r); r->at < r->end && *r->at != '#'; skip_spaces(r)) {
        const char *start = r->at, *word = read_word(r);
        int i = 0;
        while (i < 5 && word && strcmp(fields[i].name, word) != 0) i++;
        if (!word || i == 5) return wrong(r, start, "a machine has fmas, latency, loads, l1 and l2");
        if (r->at == r->end || *r->at++ != '=') return wrong(r, r->at, "'=' is expected here");
        if (!read_double(r, fields[i].lo, fields[i].hi, fields[i].value)) return false;
    }
    machine.comment = read_comment(r);
    machine.l1_bytes = (int)l1;
    machine.l2_bytes = (int)l2;
    LIST_PUSH(r->tuning->arena, &r->tuning->machines, machine);
    return true;
}

static bool read_key(struct reader *r, uint64_t *key)
{
    const char *start = r->at, *word = read_word(r);
    bool fine = word && strlen(word) == 16 && strspn(word, "0123456789abcdef") == 16;
    if (!fine) return wrong(r, start, "a kernel's key of 16 hexadecimal digits is expected here");
    *key = strtoull(word, NULL, 16);
    return true;
}

static bool read_kernel(struct reader *r)
{
    struct tuning_line line = {.used = false};
    skip_spaces(r);
    if (!read_key(r, &line.key)) return false;
    line.target = read_word(r);
    line.maker = line.target ? read_word(r) : NULL;
    const char *threads = line.maker ? read_word(r) : NULL;
    line.threads = threads && strspn(threads, "0123456789") == strlen(threads) && strlen(threads) < 4 ? atoi(threads) : 0;
    if (line.threads < 1) return wrong(r, r->at, "a CPU, c or llvm, and a number of threads are expected after the key");
    skip_spaces(r);
    if (r->at == r->end || *r->at != ':') return wrong(r, r->at, "':' is expected here");
    r->at++;
    line.place = (struct place){.source = r->source, .line = r->line, .column = 1 + (int)(r->at - r->start)};
    line.records = r->at;
    line.comment = read_comment(r);
    LIST_PUSH(r->tuning->arena, &r->tuning->lines, line);
    return true;
}

static bool read_line(struct reader *r)
{
    const char *start = r->at, *word = read_word(r);
    if (!word) return r->at == r->end || *r->at == '#' || wrong(r, r->at, "a line is a machine, a kernel or a comment");
    if (!strcmp(word, "machine")) return read_machine(r);
    if (!strcmp(word, "kernel")) return read_kernel(r);
    return wrong(r, start, "a line is a machine, a kernel or a comment");
}

bool tuning_parse(struct tuning *tuning, const struct source *source)
{
    struct reader r = {.tuning = tuning, .source = source, .line = 1, .start = source->text, .at = source->text};
    size_t n = sizeof first_line - 1;
    r.end = source->text;
    if (strlen(source->text) != source->n_bytes) return wrong(&r, r.at, "a tuning file is text, and this has zero bytes in it");
    bool known = !strncmp(source->text, first_line, n) && strchr("\r\n", source->text[n]); /* strchr finds the NUL too */
    if (!known) return wrong(&r, r.at, "a tuning file starts with the line `tenon tuning 1`");
    bool fine = true;
    for (const char *at = source->text + strcspn(source->text, "\n"); *at && !diag_full(tuning->diag);) {
        r.line++;
        r.start = r.at = at + 1;
        at = r.start + strcspn(r.start, "\n");
        r.end = at > r.start && at[-1] == '\r' ? at - 1 : at;
        fine = read_line(&r) && fine;
    }
    return fine;
}

static int line_end(const char *text)
{
    size_t n = strcspn(text, "\r\n#");
    while (n > 0 && text[n - 1] == ' ') n--;
    return (int)n;
}

void tuning_print_line(const struct tuning_line *line, struct text *text)
{
    const char *records = line->records + strspn(line->records, " \t");
    text_printf(text, "kernel %016llx %s %s %d: %.*s", (unsigned long long)line->key, line->target, line->maker,
                line->threads, line_end(records), records);
    if (line->comment) text_printf(text, "  # %s", line->comment);
    text_add(text, "\n");
}

void tuning_print(const struct tuning *tuning, struct text *text)
{
    text_printf(text, "%s\n", first_line);
    for (int i = 0; i < tuning->machines.n; i++) {
        const struct tuning_machine *machine = &tuning->machines.at[i];
        text_printf(text, "machine %s fmas=%.3g latency=%.3g loads=%.3g l1=%d l2=%d", machine->name, machine->fmas_per_cycle,
                    machine->fma_latency, machine->loads_per_cycle, machine->l1_bytes, machine->l2_bytes);
        if (machine->comment) text_printf(text, "  # %s", machine->comment);
        text_add(text, "\n");
    }
    for (int i = 0; i < tuning->lines.n; i++) tuning_print_line(&tuning->lines.at[i], text);
}

struct tuning_line *tuning_find(const struct tuning *tuning, uint64_t key)
{
    for (int i = tuning->lines.n; i-- > 0;) {
        struct tuning_line *line = &tuning->lines.at[i];
        if (line->key == key && line->threads == tuning->threads && !strcmp(line->target, tuning->target) &&
            !strcmp(line->maker, tuning->maker))
            return line;
    }
    return NULL;
}

/* FNV-1a of the kernel's text and of which parameters are constants. */
uint64_t tuning_key(const struct prog *prog, const struct kernel *kernel, const bool *constant)
{
    struct arena *scratch = arena_new();
    struct text text = {.arena = scratch};
    kernel_print(prog, kernel, &text);
    for (int i = 0; i < kernel->params.n; i++) text_add(&text, constant[i] ? "c" : "-");
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < text.n; i++) hash = (hash ^ (unsigned char)text.at[i]) * UINT64_C(0x100000001b3);
    arena_free(scratch);
    return hash;
}

const char *tuning_records(const struct tuning_kernel *kernel, const int *which, struct arena *arena)
{
    struct text text = {.arena = arena};
    for (int i = 0; i < kernel->points.n;) {
        const struct tuning_point *point = &kernel->points.at[i];
        const char *record = point->records[which[i]];
        text_printf(&text, "%s%s", i ? "; " : "", record);
        i += !strcmp(record, "loops") ? 1 : point->span;
    }
    return text_string(&text);
}

const struct target *tuning_target(const struct tuning *tuning, const struct target *target)
{
    for (int i = tuning->machines.n; i-- > 0;) {
        const struct tuning_machine *machine = &tuning->machines.at[i];
        if (strcmp(machine->name, target->name) != 0) continue;
        struct target *measured = arena_copy(tuning->arena, target, sizeof *target);
        measured->fmas_per_cycle = machine->fmas_per_cycle;
        measured->fma_latency = machine->fma_latency;
        measured->loads_per_cycle = machine->loads_per_cycle;
        measured->l1_bytes = machine->l1_bytes;
        measured->l2_bytes = machine->l2_bytes;
        return measured;
    }
    return target;
}
