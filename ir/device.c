/* Device records as text: a table of keys, read and printed. See device.h.
 *
 * A line is a key and its value, the rest of the line; lines that begin with # are comments. Keys may come in any order.
 *
 *     name pthread-skylake
 *     kind cpu
 *     compute_units 2
 *     f64 yes
 */
#include "device.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum value_kind { VALUE_TEXT, VALUE_CPU, VALUE_INT, VALUE_INT64, VALUE_BOOL };

static const struct key {
    const char *name;
    enum value_kind kind;
    size_t offset;
    int64_t least, most;
} keys[] = {
    {"name", VALUE_TEXT, offsetof(struct device, name), 0, 0},
    {"platform", VALUE_TEXT, offsetof(struct device, platform), 0, 0},
    {"version", VALUE_TEXT, offsetof(struct device, version), 0, 0},
    {"kind", VALUE_CPU, offsetof(struct device, is_cpu), 0, 0},
    {"compute_units", VALUE_INT, offsetof(struct device, compute_units), 1, 1 << 20},
    {"vector_bytes", VALUE_INT, offsetof(struct device, vector_bytes), 4, 128},
    {"work_group_most", VALUE_INT, offsetof(struct device, work_group_most), 1, 1 << 20},
    {"sub_group", VALUE_INT, offsetof(struct device, sub_group), 1, 1024},
    {"local_bytes", VALUE_INT64, offsetof(struct device, local_bytes), 0, INT64_C(1) << 40},
    {"memory_bytes", VALUE_INT64, offsetof(struct device, memory_bytes), 1, INT64_C(1) << 50},
    {"allocation_bytes", VALUE_INT64, offsetof(struct device, allocation_bytes), 1, INT64_C(1) << 50},
    {"f64", VALUE_BOOL, offsetof(struct device, has_f64), 0, 0},
    {"f16", VALUE_BOOL, offsetof(struct device, has_f16), 0, 0},
    {"fma", VALUE_BOOL, offsetof(struct device, has_fma), 0, 0},
    {"dot8", VALUE_BOOL, offsetof(struct device, has_dot8), 0, 0},
    {"inline_ptx", VALUE_BOOL, offsetof(struct device, has_inline_ptx), 0, 0},
    {"stages", VALUE_BOOL, offsetof(struct device, has_stages), 0, 0},
};
enum { N_KEYS = sizeof keys / sizeof *keys };

const struct device device_plain_cpu = {
    .name = "cpu", .platform = "", .version = "", .is_cpu = true, .compute_units = 2, .vector_bytes = 64,
    .work_group_most = 1024, .sub_group = 1, .memory_bytes = INT64_C(4) << 30, .allocation_bytes = INT64_C(1) << 30,
    .has_f64 = true, .has_fma = true, .has_stages = true};
const struct device device_plain_gpu = {
    .name = "gpu", .platform = "", .version = "", .compute_units = 16, .vector_bytes = 16, .work_group_most = 256,
    .sub_group = 1, .local_bytes = 32768, .memory_bytes = INT64_C(4) << 30, .allocation_bytes = INT64_C(1) << 30,
    .has_f64 = true, .has_fma = true};

const struct device *device_find(const char *name)
{
    if (!strcmp(name, "cpu")) return &device_plain_cpu;
    return !strcmp(name, "gpu") ? &device_plain_gpu : NULL;
}

static const char *const home_names[] = {[HOME_NONE] = "", [HOME_CPU] = "cpu", [HOME_OPENCL] = "opencl"};
enum { N_HOMES = sizeof home_names / sizeof *home_names };

const char *home_name(enum home home)
{
    return home_names[home];
}

bool home_read(const char *name, struct place place, struct diag *diag, enum home *home)
{
    for (int i = 1; i < N_HOMES; i++)
        if (!strcmp(name, home_names[i])) {
            *home = (enum home)i;
            return true;
        }
    diag_error(diag, place, "there is no place '%s'; there are cpu and opencl", name);
    const char *near = diag_suggest(name, home_names + 1, N_HOMES - 1);
    if (near) diag_note(diag, place, "did you mean '%s'?", near);
    return false;
}

/* Of two words; false where it is neither. */
static bool read_choice(const char *word, const char *yes, const char *no, bool *value)
{
    *value = !strcmp(word, yes);
    return *value || !strcmp(word, no);
}

static bool read_number(const struct key *key, const char *word, struct place place, struct diag *diag, int64_t *value)
{
    char *end;
    errno = 0;
    *value = strtoll(word, &end, 10);
    bool bad = end == word || *end || errno || *value < key->least || *value > key->most;
    return !bad || diag_error(diag, place, "%s is a number from %lld to %lld, not '%s'", key->name, (long long)key->least,
                              (long long)key->most, word);
}

static bool read_value(const struct key *key, const char *word, struct place place, struct diag *diag, struct device *device)
{
    void *at = (char *)device + key->offset;
    int64_t number = 0;
    switch (key->kind) {
    case VALUE_TEXT:
        for (const char *c = word; *c; c++)
            if ((unsigned char)*c < ' ' || *c == 127) return diag_error(diag, place, "a control character in %s", key->name);
        *(const char **)at = word;
        return true;
    case VALUE_CPU: return read_choice(word, "cpu", "gpu", at) || diag_error(diag, place, "kind is cpu or gpu, not '%s'", word);
    case VALUE_BOOL:
        return read_choice(word, "yes", "no", at) || diag_error(diag, place, "%s is yes or no, not '%s'", key->name, word);
    case VALUE_INT:
        if (!read_number(key, word, place, diag, &number)) return false;
        *(int *)at = (int)number;
        return true;
    case VALUE_INT64: return read_number(key, word, place, diag, at);
    }
    return false;
}

static const struct key *find_key(const char *name, struct place place, struct diag *diag)
{
    const char *names[N_KEYS];
    for (int i = 0; i < N_KEYS; i++) {
        names[i] = keys[i].name;
        if (!strcmp(name, keys[i].name)) return &keys[i];
    }
    const char *near = diag_suggest(name, names, N_KEYS);
    diag_error(diag, place, "a device has no '%s'", name);
    if (near) diag_note(diag, (struct place){.source = NULL}, "did you mean %s?", near);
    return NULL;
}

/* One line, from start to end; given: which keys have been read. */
static void read_line(const char *start, const char *end, struct place place, struct arena *arena, struct diag *diag,
                      struct device *device, bool *given)
{
    const char *at = start;
    while (at < end && (*at == ' ' || *at == '\t')) at++;
    while (end > at && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r')) end--;
    if (at == end || *at == '#') return;
    const char *word = at;
    while (at < end && *at != ' ' && *at != '\t') at++;
    place.column = 1 + (int)(word - start);
    const char *name = arena_strndup(arena, word, (size_t)(at - word));
    const struct key *key = find_key(name, place, diag);
    if (!key) return;
    while (at < end && (*at == ' ' || *at == '\t')) at++;
    if (given[key - keys]) diag_error(diag, place, "%s is given twice", name);
    given[key - keys] = true;
    place.column = 1 + (int)(at - start);
    if (memchr(at, 0, (size_t)(end - at))) diag_error(diag, place, "a control character in %s", name);
    else read_value(key, arena_strndup(arena, at, (size_t)(end - at)), place, diag, device);
}

static size_t value_bytes(enum value_kind kind)
{
    switch (kind) {
    case VALUE_TEXT: return sizeof(const char *);
    case VALUE_INT: return sizeof(int);
    case VALUE_INT64: return sizeof(int64_t);
    case VALUE_CPU:
    case VALUE_BOOL: return sizeof(bool);
    }
    return 0;
}

const struct device *device_read(const struct source *source, struct arena *arena, struct diag *diag)
{
    struct device *device = NEW(arena, struct device);
    bool given[N_KEYS] = {false};
    const char *at = source->text, *end = at + source->n_bytes;
    struct place place = {.source = source, .line = 0, .column = 1};
    int before = diag_errors(diag);
    device->is_cpu = true;
    while (at < end && !diag_full(diag)) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop) stop = end;
        place.line++;
        read_line(at, stop, place, arena, diag, device, given);
        at = stop < end ? stop + 1 : end;
    }
    const struct device *plain = device->is_cpu ? &device_plain_cpu : &device_plain_gpu;
    for (int i = 0; i < N_KEYS; i++)
        if (!given[i])
            memcpy((char *)device + keys[i].offset, (const char *)plain + keys[i].offset, value_bytes(keys[i].kind));
    return diag_errors(diag) == before ? device : NULL;
}

void device_print(const struct device *device, struct text *text)
{
    for (int i = 0; i < N_KEYS; i++) {
        const struct key *key = &keys[i];
        const void *at = (const char *)device + key->offset;
        text_printf(text, "%s", key->name);
        switch (key->kind) {
        case VALUE_TEXT: text_printf(text, **(const char *const *)at ? " %s" : "%s", *(const char *const *)at); break;
        case VALUE_CPU: text_add(text, *(const bool *)at ? " cpu" : " gpu"); break;
        case VALUE_BOOL: text_add(text, *(const bool *)at ? " yes" : " no"); break;
        case VALUE_INT: text_printf(text, " %d", *(const int *)at); break;
        case VALUE_INT64: text_printf(text, " %lld", (long long)*(const int64_t *)at); break;
        }
        text_add(text, "\n");
    }
}

/* A few hundred registers of 4 bytes for a work-item, vectors of four; most GPUs have two float operations a lane. */
static const struct target gpu_target = {
    .name = "opencl-gpu", .triple = "", .llvm_features = "", .c_flags = "", .vector_bytes = 16, .n_registers = 32,
    .has_fma = true, .l1_bytes = 16384, .l2_bytes = 1048576, .fmas_per_cycle = 1, .loads_per_cycle = 1, .fma_latency = 4,
    .lanes_most = 16,
};

const struct target *device_target(const struct device *device, const struct target *cpu, struct arena *arena)
{
    enum { LANES_MOST = 16 };
    const struct target *like = device->is_cpu ? cpu : &gpu_target;
    struct target *own = arena_copy(arena, like, sizeof *like);
    if (device->vector_bytes < own->vector_bytes) own->vector_bytes = device->vector_bytes;
    own->has_fma = own->has_fma && device->has_fma;
    own->has_f16c = false; /* conversions are written out, too */
    own->has_dot = false; /* OpenCL's printer writes dot4 out */
    own->lanes_most = LANES_MOST;
    own->host = cpu;
    return own;
}
