/* The laws of the language on every model in tests/language and examples: a built graph is valid; what is printed
 * reads back as an equal graph and prints the same again; the same holds after pass compose.
 *
 * Files whose messages are what is tested (bad_*) must give one and no graph. Large constants go through a side file,
 * which is written to a folder of our own. See tests/test_random_graphs.c for graphs that nobody wrote.
 */
#define _POSIX_C_SOURCE 200809L
#include "../frontend/language.h"
#include "../frontend/prelude.h"
#include "../ir/graph_print.h"
#include "../passes/passes.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/tenon_laws_XXXXXX";

static bool fails(const char *path, const char *what)
{
    printf("%s: %s\n", path, what);
    return false;
}

/* The model part of a golden file: what stands before its expectations. */
static char *read_text(struct arena *arena, const char *path)
{
    enum { MOST = 1 << 20 };
    char *text = arena_alloc(arena, MOST);
    FILE *in = fopen(path, "rb");
    if (!in) return NULL;
    text[fread(text, 1, MOST - 1, in)] = 0;
    fclose(in);
    const char *const markers[] = {"\n# out\n", "\n# err\n", "\n# exit "};
    for (int i = 0; i < 3; i++)
        if (strstr(text, markers[i])) strstr(text, markers[i])[1] = 0;
    return text;
}

static struct graph *read_model(struct arena *arena, struct dims *dims, const char *path, const char *text, bool report)
{
    struct diag *diag = diag_new(arena);
    struct graph *graph = graph_new(arena, arena, dims, diag, "laws");
    struct source *source = NEW(arena, struct source);
    const char *const imports[] = {"tests/language/modules"};
    struct language_options options = {.zero_weights = true, .import_dirs = imports, .n_import_dirs = 1};
    *source = (struct source){path, text, strlen(text)};
    bool read = language_read(graph, source, &options);
    if (!read && report) diag_print(diag, stdout);
    if (!read && !diag_errors(diag)) fails(path, "refused without a message");
    return read ? graph : NULL;
}

/* print(parse(print(g))) = print(g), and parse(print(g)) = g. */
static bool laws_hold(struct arena *arena, const struct graph *graph, const char *path)
{
    struct diag *diag = diag_new(arena);
    struct text first = {.arena = arena}, second = {.arena = arena};
    const char *weights = arena_printf(arena, "%s/%s", folder, graph_weights_file(graph, arena));
    if (!graph_verify(graph, diag) || !graph_write_weights(graph, weights, diag)) {
        diag_print(diag, stdout);
        return fails(path, "does not verify");
    }
    graph_print(graph, &first);
    struct graph *back =
        read_model(arena, dims_new(arena), arena_printf(arena, "%s/printed.tn", folder), text_string(&first), true);
    unlink(weights);
    if (!back) return fails(path, "what is printed does not read back");
    graph_print(back, &second);
    if (strcmp(text_string(&first), text_string(&second)) != 0)
        return fails(path, "what is read back prints differently");
    return graph_equal(graph, back) || fails(path, "what is read back is not equal");
}

static bool test_file(const char *path, int *n_laws)
{
    struct arena *arena = arena_new();
    const char *text = read_text(arena, path), *slash = strrchr(path, '/');
    bool bad = !strncmp(slash + 1, "bad_", 4);
    struct graph *graph = text ? read_model(arena, dims_new(arena), path, text, !bad) : NULL;
    bool ok = bad ? !graph : graph && laws_hold(arena, graph, path);
    if (!ok && bad)
        ok = strstr(text, "# run: tenon check %s --") != NULL; /* wrong only with the options of its own line */
    if (!ok && !graph) fails(path, "is not read");
    if (ok && graph) {
        struct pass_options options = {.expand_composite = prelude_expand};
        struct graph *composed = pass_compose(graph, arena, &options);
        ok = composed && laws_hold(arena, composed, path);
        ++*n_laws;
    }
    arena_free(arena);
    return ok;
}

int main(void)
{
    glob_t found;
    int failed = 0, n_laws = 0;
    if (!mkdtemp(folder) || glob("tests/language/*.tn", 0, NULL, &found) != 0) return 1;
    glob("examples/*.tn", GLOB_APPEND, NULL, &found);
    for (size_t i = 0; i < found.gl_pathc; i++) failed += !test_file(found.gl_pathv[i], &n_laws);
    printf("%zu files, the laws hold on %d, %d failed\n", found.gl_pathc, n_laws, failed);
    globfree(&found);
    rmdir(folder);
    return failed > 0 || n_laws < 5;
}
