/* Sizes of a compiled model: sections of an ELF object, and the stack by gcc's call graph.
 *
 * Flash is what sections with contents take that are loaded, RAM what those without do (or are written); each at the
 * alignment it has. The call graph is a text with a line per function and per call:
 *
 *     node: { title: "net_run" label: "net_run\nnet.c:604:13\n104 bytes (static)" }
 *     edge: { sourcename: "net_run" targetname: "net.c:net_fill" label: "net.c:746:5" }
 *
 * A call's depth is its own bytes and the deepest of those it calls; a recursion would have none, and models have no
 * recursion. Both kinds of ELF, little-endian. Follows: the ELF specification (gABI), gcc's manual on -fcallgraph-info.
 */
#include "measure.h"

#include "../ir/text.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FUNCTIONS_MOST = 4096, DEPTH_MOST = 64 };

static char *file_read(const char *path, struct arena *arena, size_t *n, struct diag *diag)
{
    struct place place = {.path = path};
    FILE *file = fopen(path, "rb");
    if (!file) return diag_error(diag, place, "cannot read: %s", strerror(errno)), NULL;
    struct text text = {.arena = arena};
    char part[4096];
    for (size_t got; (got = fread(part, 1, sizeof part, file)) > 0;) text_add_n(&text, part, got);
    fclose(file);
    *n = text.n;
    return (char *)(uintptr_t)text_string(&text);
}

struct section {
    uint64_t flags, size, align;
    uint32_t type;
};

/* Section i of the file's bytes; false where it is outside. */
static bool section_at(const char *bytes, size_t n, int i, struct section *section)
{
    Elf64_Ehdr head64;
    Elf32_Ehdr head32;
    if (bytes[EI_CLASS] == ELFCLASS64) {
        Elf64_Shdr h;
        memcpy(&head64, bytes, sizeof head64);
        if (head64.e_shoff > n || n - head64.e_shoff < ((size_t)i + 1) * sizeof h) return false;
        memcpy(&h, bytes + head64.e_shoff + (size_t)i * sizeof h, sizeof h);
        *section = (struct section){h.sh_flags, h.sh_size, h.sh_addralign, h.sh_type};
        return i < head64.e_shnum;
    }
    Elf32_Shdr h;
    memcpy(&head32, bytes, sizeof head32);
    if (head32.e_shoff > n || n - head32.e_shoff < ((size_t)i + 1) * sizeof h) return false;
    memcpy(&h, bytes + head32.e_shoff + (size_t)i * sizeof h, sizeof h);
    *section = (struct section){h.sh_flags, h.sh_size, h.sh_addralign, h.sh_type};
    return i < head32.e_shnum;
}

static bool measure_sections(const char *path, struct arena *arena, struct object_size *size, struct diag *diag)
{
    size_t n;
    struct section section;
    const char *bytes = file_read(path, arena, &n, diag);
    if (!bytes) return false;
    if (n < sizeof(Elf64_Ehdr) || memcmp(bytes, ELFMAG, SELFMAG) != 0 || bytes[EI_DATA] != ELFDATA2LSB)
        return diag_error(diag, (struct place){.path = path}, "the compiler's object is no little-endian ELF file");
    for (int i = 0; section_at(bytes, n, i, &section); i++) {
        if (!(section.flags & SHF_ALLOC)) continue;
        bool memory = section.type == SHT_NOBITS || (section.flags & SHF_WRITE);
        *(memory ? &size->ram_bytes : &size->flash_bytes) += (int64_t)section.size;
    }
    return true;
}

struct function {
    const char *title;
    int64_t own_bytes; /* -1: of a library */
    int64_t depth;     /* -1: not known yet */
};
struct call_graph {
    struct arena *arena;
    const char *text;
    struct function at[FUNCTIONS_MOST];
    int n;
};

/* What stands between quotes behind `key` in the line; NULL where it does not. */
static const char *quoted(struct arena *arena, const char *line, const char *key)
{
    size_t length = strcspn(line, "\n");
    const char *found = strstr(line, key);
    if (!found || found > line + length) return NULL;
    found += strlen(key);
    return arena_strndup(arena, found, strcspn(found, "\"\n"));
}

static struct function *function_find(struct call_graph *graph, const char *title)
{
    for (int i = 0; i < graph->n; i++)
        if (!strcmp(graph->at[i].title, title)) return &graph->at[i];
    return NULL;
}

static const char *next_line(const char *line)
{
    line += strcspn(line, "\n");
    return line + (*line != 0);
}

static void read_functions(struct call_graph *graph)
{
    for (const char *line = graph->text; *line && graph->n < FUNCTIONS_MOST; line = next_line(line)) {
        if (strncmp(line, "node:", 5) != 0) continue;
        const char *title = quoted(graph->arena, line, "title: \""), *label = quoted(graph->arena, line, "label: \"");
        const char *bytes = label ? strstr(label, " bytes (") : NULL;
        if (!title) continue;
        while (bytes && bytes > label && bytes[-1] >= '0' && bytes[-1] <= '9') bytes--;
        graph->at[graph->n++] = (struct function){title, bytes ? strtoll(bytes, NULL, 10) : -1, -1};
    }
}

/* The stack of a call of the function; library functions that it reaches go into *others. */
static int64_t depth_of(struct call_graph *graph, struct function *function, int level, struct text *others)
{
    if (function->depth >= 0 || level > DEPTH_MOST) return function->depth;
    function->depth = 0;
    if (function->own_bytes < 0) {
        if (others->n) text_add(others, ", ");
        text_add(others, function->title);
        return 0;
    }
    int64_t below = 0;
    for (const char *line = graph->text; *line; line = next_line(line)) {
        if (strncmp(line, "edge:", 5) != 0) continue;
        const char *from = quoted(graph->arena, line, "sourcename: \""), *to = quoted(graph->arena, line, "targetname: \"");
        struct function *called = from && to && !strcmp(from, function->title) ? function_find(graph, to) : NULL;
        int64_t depth = called ? depth_of(graph, called, level + 1, others) : 0;
        if (depth > below) below = depth;
    }
    return function->depth = function->own_bytes + below;
}

bool object_measure(const char *path, const char *call_graph, const char *function, struct arena *arena, struct object_size *size,
                    struct diag *diag)
{
    *size = (struct object_size){.stack_bytes = -1, .others = ""};
    if (!measure_sections(path, arena, size, diag)) return false;
    if (!call_graph) return true;
    struct call_graph *graph = NEW(arena, struct call_graph);
    struct text others = {.arena = arena};
    size_t n;
    graph->arena = arena;
    graph->text = file_read(call_graph, arena, &n, diag);
    if (!graph->text) return false;
    read_functions(graph);
    struct function *entry = function_find(graph, function);
    if (entry) size->stack_bytes = depth_of(graph, entry, 0, &others);
    size->others = text_string(&others);
    return true;
}
