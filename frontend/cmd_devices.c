/* tenon devices: the OpenCL devices of this machine and what they can do, as found by trying (cmd_devices_probe.c).
 *
 * With -o the record of one (ir/device.h) becomes a file for --device=FILE, by which a model is compiled for it elsewhere.
 */
#define _POSIX_C_SOURCE 200809L
#include "cmd_devices.h"
#include "../codegen/process.h"
#include "cmd.h"

#include <stdlib.h>
#include <string.h>

static const char *yes_or_no(bool value)
{
    return value ? "yes" : "no";
}

/* GiB or KiB in short */
static void print_bytes(const char *what, int64_t n_bytes)
{
    if (n_bytes >= INT64_C(1) << 30) printf("%s %.1f GiB", what, (double)n_bytes / (1 << 30));
    else if (n_bytes >= 1 << 20) printf("%s %.1f MiB", what, (double)n_bytes / (1 << 20));
    else printf("%s %.1f KiB", what, (double)n_bytes / 1024);
}

/* Notes, each on a line of its own behind the margin. */
static void print_notes(const char *notes)
{
    while (*notes) {
        int n = (int)strcspn(notes, "\n");
        printf("    note: %.*s\n", n, notes);
        notes += n + (notes[n] != 0);
    }
}

static void print_device(int number, const struct found_device *found)
{
    const struct device *device = found->record;
    printf("%d  %s\n", number, found->name);
    if (device) {
        printf("    %s, %s\n", device->platform, device->version);
        printf("    %s, %d compute units, vectors of %d bytes, work-groups of up to %d", device->is_cpu ? "CPU" : "GPU",
               device->compute_units, device->vector_bytes, device->work_group_most);
        if (device->sub_group > 1) printf(", sub-groups of %d", device->sub_group);
        print_bytes("\n    memory:", device->memory_bytes);
        print_bytes(", in one buffer", device->allocation_bytes);
        if (device->local_bytes) print_bytes(", local", device->local_bytes);
        printf("\n    f64 %s, f16 %s, fma %s, dot8 %s, inline PTX %s, stages %s\n", yes_or_no(device->has_f64), yes_or_no(device->has_f16),
               yes_or_no(device->has_fma), yes_or_no(device->has_dot8), yes_or_no(device->has_inline_ptx),
               yes_or_no(device->has_stages));
    }
    print_notes(found->notes);
}

static void add_json_text(struct text *out, const char *key, const char *value)
{
    text_printf(out, ", \"%s\": ", key);
    json_string(out, value);
}

static void add_json(struct text *out, int number, const struct found_device *found)
{
    const struct device *device = found->record;
    text_printf(out, "{\"number\": %d", number);
    add_json_text(out, "name", found->name);
    text_printf(out, ", \"works\": %s", device ? "true" : "false");
    add_json_text(out, "notes", found->notes);
    if (device) {
        add_json_text(out, "platform", device->platform);
        add_json_text(out, "version", device->version);
        add_json_text(out, "kind", device->is_cpu ? "cpu" : "gpu");
        text_printf(out, ", \"compute_units\": %d, \"vector_bytes\": %d, \"work_group_most\": %d, \"sub_group\": %d",
                    device->compute_units, device->vector_bytes, device->work_group_most, device->sub_group);
        text_printf(out, ", \"local_bytes\": %lld, \"memory_bytes\": %lld, \"allocation_bytes\": %lld",
                    (long long)device->local_bytes, (long long)device->memory_bytes, (long long)device->allocation_bytes);
        const struct {
            const char *key;
            bool value;
        } flags[] = {{"f64", device->has_f64}, {"f16", device->has_f16}, {"fma", device->has_fma},
                     {"dot8", device->has_dot8}, {"inline_ptx", device->has_inline_ptx}, {"stages", device->has_stages}};
        for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
            text_printf(out, ", \"%s\": %s", flags[i].key, flags[i].value ? "true" : "false");
    }
    text_add(out, "}");
}

static int write_record(struct session *session, const struct found_device *found, const char *path)
{
    struct text text = {.arena = session->arena};
    if (!found->record) {
        fprintf(stderr, "tenon: device %s %s", found->name, found->notes);
        return STATUS_INPUT;
    }
    text_add(&text, "# An OpenCL device as tenon devices found it, for --device=FILE. What is left out is as in a plain one.\n");
    device_print(found->record, &text);
    return file_write(path, text_string(&text), text.n, session->diag) ? STATUS_OK : STATUS_INPUT;
}

/* The number given on the command line; -1: none, -2 after a message. */
static int read_device_number(const struct options *options)
{
    char *end;
    if (!options->n_paths) return -1;
    long number = strtol(options->paths[0], &end, 10);
    if (end != options->paths[0] && !*end && number >= 0 && number < 1000) return (int)number;
    fprintf(stderr, "tenon: a device is given by its number, not '%s'\n", options->paths[0]);
    return -2;
}

int command_devices(struct session *session, const struct options *options)
{
    struct found_devices found = {NULL, 0};
    const char *why = "";
    int only = read_device_number(options);
    if (only < -1) return STATUS_USAGE;
    if (!devices_probe(only, session->arena, &found, &why)) {
        fprintf(stderr, "tenon: %s\n", why);
        return STATUS_INPUT;
    }
    if (only >= found.n) {
        fprintf(stderr, "tenon: there is no OpenCL device %d, there are %d\n", only, found.n);
        return STATUS_INPUT;
    }
    if (options->out && only < 0 && found.n > 1) {
        fprintf(stderr, "tenon: there are %d devices: the number of one is needed to write its record\n", found.n);
        return STATUS_USAGE;
    }
    if (options->out) return write_record(session, &found.at[only < 0 ? 0 : only], options->out);
    struct text json = {.arena = session->arena};
    const char *before = "[";
    for (int i = 0; i < found.n; i++) {
        if (only >= 0 && only != i) continue;
        if (!options->json) {
            print_device(i, &found.at[i]);
            continue;
        }
        text_add(&json, before);
        add_json(&json, i, &found.at[i]);
        before = ",\n ";
    }
    if (options->json) printf("%s]\n", text_string(&json));
    return STATUS_OK;
}
