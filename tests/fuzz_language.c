/* libFuzzer entry: bytes as a model's text. What is read must print, read back and print the same. */
#include "../frontend/language.h"
#include "../ir/graph_print.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct graph *read_model(struct arena *arena, const char *text, size_t n_bytes)
{
    static const struct language_options options = {.zero_weights = true};
    struct source *source = NEW(arena, struct source);
    struct graph *graph = graph_new(arena, arena, dims_new(arena), diag_new(arena), "fuzz");
    *source = (struct source){"/nonexistent/fuzz.tn", text, n_bytes};
    return language_read(graph, source, &options) ? graph : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new();
    struct graph *graph = read_model(arena, arena_strndup(arena, (const char *)data, size), size);
    if (graph) {
        struct text first = {.arena = arena}, second = {.arena = arena};
        graph_print(graph, &first);
        struct graph *back =
            strstr(text_string(&first), "weight(") ? NULL : read_model(arena, text_string(&first), first.n);
        if (back) graph_print(back, &second);
        if (back && strcmp(text_string(&first), text_string(&second)) != 0) abort();
        if (!back && !strstr(text_string(&first), "weight(")) abort();
    }
    arena_free(arena);
    return 0;
}
