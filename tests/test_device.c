/* Device records (ir/device.h): read back as printed, and every kind of mistake located. */
#include "../ir/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int wrong;

static void check(int good, const char *what)
{
    if (!good) wrong++, printf("wrong: %s\n", what);
}

static const struct device *read_text(const char *text, struct arena *arena, struct diag *diag)
{
    struct source *source = NEW(arena, struct source);
    *source = (struct source){"d.device", text, strlen(text)};
    return device_read(source, arena, diag);
}

static const char *print(const struct device *device, struct arena *arena)
{
    struct text text = {.arena = arena};
    device_print(device, &text);
    return text_string(&text);
}

static void test_values(struct arena *arena)
{
    static const char text[] = "name Some device (TM) #2\nplatform p\nversion OpenCL 3.0\nkind gpu\ncompute_units 132\n"
                               "vector_bytes 16\nwork_group_most 1024\nsub_group 32\nlocal_bytes 49152\n"
                               "memory_bytes 85045411840\nallocation_bytes 21261352960\nf64 yes\nf16 no\nfma yes\n"
                               "dot8 yes\ninline_ptx yes\nstages no\n";
    struct diag *diag = diag_new(arena);
    const struct device *device = read_text(text, arena, diag);
    check(device && !strcmp(print(device, arena), text), "a record is printed as it was read");
    check(device && !device->is_cpu && device->compute_units == 132 && device->memory_bytes == INT64_C(85045411840) &&
              device->has_f64 && !device->has_f16 && !strcmp(device->name, "Some device (TM) #2"),
          "values of a record");
    device = read_text("# nothing but\n  \t \r\n\tkind \t gpu\r\n   # what is assumed", arena, diag);
    check(device && !strcmp(print(device, arena), print(&device_plain_gpu, arena)), "what is missing: a GPU's");
    device = read_text("", arena, diag);
    check(device && !strcmp(print(device, arena), print(&device_plain_cpu, arena)), "what is missing: a CPU's");
    check(!diag_errors(diag), "good records have no errors");
    check(device_find("cpu") == &device_plain_cpu && device_find("gpu") == &device_plain_gpu && !device_find("tpu"),
          "devices by name");
}

static void test_mistakes(struct arena *arena)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"f64 yes\ncompute_unit 4\n", "d.device:2:1: error: a device has no 'compute_unit'"},
        {"compute_unit 4\n", "did you mean compute_units?"},
        {"compute_units 0\n", "d.device:1:15: error: compute_units is a number from 1 to 1048576, not '0'"},
        {"compute_units\n", "compute_units is a number from 1 to 1048576, not ''"},
        {"sub_group 8x\n", "d.device:1:11: error: sub_group is a number from 1 to 1024, not '8x'"},
        {"memory_bytes 99999999999999999999\n", "memory_bytes is a number from 1 to 1125899906842624, not '9"},
        {"local_bytes -1\n", "local_bytes is a number from 0 to 1099511627776, not '-1'"},
        {"  f64 maybe\n", "d.device:1:7: error: f64 is yes or no, not 'maybe'"},
        {"kind tpu\n", "d.device:1:6: error: kind is cpu or gpu, not 'tpu'"},
        {"f16 no\nf16 no\n", "d.device:2:1: error: f16 is given twice"},
        {"name a\001b\n", "d.device:1:6: error: a control character in name"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct diag *diag = diag_new(arena);
        char *printed = NULL;
        size_t n = 0;
        check(!read_text(cases[i].text, arena, diag), "a bad record is refused");
        FILE *out = tmpfile();
        if (!out) exit(1);
        diag_print(diag, out);
        n = (size_t)ftell(out);
        printed = arena_alloc(arena, n + 1);
        rewind(out);
        check(fread(printed, 1, n, out) == n, "messages are read back");
        fclose(out);
        if (!strstr(printed, cases[i].message))
            wrong++, printf("wrong: expected '%s', got\n%s", cases[i].message, printed);
    }
}

int main(void)
{
    struct arena *arena = arena_new();
    test_values(arena);
    test_mistakes(arena);
    arena_free(arena);
    if (!wrong) puts("all right");
    return wrong != 0;
}
