/* libFuzzer entry: program text. Reading and verifying never crash; a valid program prints to text that reads as a
 * valid program and prints the same. */
#include "../ir/prog.h"
#include "../ir/text.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct tensor data = {.type = {.dt = DT_f32, .rank = 1, .dim = {1000}}, .n_bytes = 4000};

static const struct tensor *find(void *ctx, const char *name)
{
    (void)ctx, (void)name;
    return &data;
}

static const char *print(const struct prog *prog, struct arena *arena)
{
    struct text text = {.arena = arena};
    prog_print(prog, &text);
    return text_string(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    struct arena *arena = arena_new();
    struct diag *diag = diag_new(arena);
    struct prog_weights weights = {find, NULL};
    struct source source = {"in.tnp", arena_strndup(arena, (const char *)bytes, n), n};
    struct prog *prog = prog_parse_weights(&source, arena, arena, dims_new(arena), &weights, diag);
    if (prog && prog_verify(prog, diag)) {
        const char *once = print(prog, arena);
        struct source again = {"out.tnp", once, strlen(once)};
        struct prog *second = prog_parse_weights(&again, arena, arena, dims_new(arena), &weights, diag);
        if (!second || !prog_verify(second, diag) || strcmp(once, print(second, arena)) != 0) {
            fputs(once, stderr);
            diag_print(diag, stderr);
            abort();
        }
    }
    arena_free(arena);
    return 0;
}
