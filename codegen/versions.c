/* Several versions of one model in an artefact: their functions' names, what they share, and the choice among them.
 *
 * A version is a program of its own, compiled for one x86-64 level; inputs, outputs and dimensions are the same in each.
 * NAME_run is then a call through a table, at the place that runtime/cpu.c finds. Read next: interface.c.
 */
#include "embedded_codegen.h"
#include "interface.h"

#include <string.h>

const struct embedded_file *embedded_find(const char *path)
{
    for (int i = 0; i < n_embedded_codegen; i++)
        if (!strcmp(embedded_codegen[i].path, path)) return &embedded_codegen[i];
    bug("link", "%s was not built in", path);
}

/* "NAME_x86_64_v3__" of "NAME_". No such prefix begins another: two underscores end it. */
static const char *version_prefix(struct arena *arena, const char *model, const char *cpu)
{
    char *prefix = arena_printf(arena, "%s%s__", model, cpu);
    for (char *p = prefix; *p; p++)
        if (*p == '-') *p = '_';
    return prefix;
}

void emission_open(const struct version *versions, int n_versions, struct arena *arena, struct emission *emission)
{
    struct dims *dims = versions->prog->dims;
    *emission = (struct emission){.name = text_identifier(arena, versions->prog->name),
                                  .versions = NEW_ARRAY(arena, struct version, n_versions),
                                  .n_versions = n_versions,
                                  .arena_bytes = versions->prog->arena_bytes};
    for (int i = 0; i < n_versions; i++) {
        struct version *own = &emission->versions[i];
        *own = versions[i];
        own->prefix = arena_printf(arena, "%s_", emission->name);
        if (n_versions > 1) own->prefix = version_prefix(arena, own->prefix, own->target->name);
        if (own->prog->dims != dims) bug("emission", "versions of a model with other dimensions");
        emission->arena_bytes = dim_max(dims, emission->arena_bytes, own->prog->arena_bytes);
        if (own->prog->threads > emission->threads) emission->threads = own->prog->threads;
    }
    weights_place(versions, n_versions, arena, &emission->weights);
}

static void put_threaded_run(const struct emission *emission, const struct version *version, struct text *out)
{
    if (emission->kernels_apart)
        text_printf(out, "\nextern tenon_part %spart __attribute__((visibility(\"hidden\")));\n", version->prefix);
    text_printf(out,
                "\n%sint %srun(const struct %s_inputs *in, const struct %s_outputs *out, void *arena)\n{\n"
                "    return tenon_run(%spart, in, out, arena);\n}\n",
                emission->n_versions > 1 ? "static " : "", version->prefix, emission->name, emission->name,
                version->prefix);
}

static void put_declared_run(const struct emission *emission, const struct version *version, struct text *out)
{
    text_printf(out,
                "\nextern int %srun(const struct %s_inputs *in, const struct %s_outputs *out, void *arena)\n    "
                "__attribute__((visibility(\"hidden\")));\n",
                version->prefix, emission->name, emission->name);
}

static void put_choice(const struct emission *emission, struct text *out)
{
    const struct embedded_file *choice = embedded_find("runtime/cpu.c");
    text_add(out, "\n#define TENON_VERSIONS\nstatic const char *const tenon_versions[] = {");
    for (int i = 0; i < emission->n_versions; i++) text_printf(out, "\"%s\", ", emission->versions[i].target->name);
    text_add(out, "0};\nstatic const int tenon_version_levels[] = {");
    for (int i = 0; i < emission->n_versions; i++)
        text_printf(out, "%s%d", i ? ", " : "", emission->versions[i].target->level);
    text_add(out, "};\n\n");
    text_add_n(out, choice->text, choice->n_bytes);
    text_printf(out,
                "\nint %s_run(const struct %s_inputs *in, const struct %s_outputs *out, void *arena)\n{\n"
                "    static int (*const run[])(const struct %s_inputs *, const struct %s_outputs *, void *) = {\n",
                emission->name, emission->name, emission->name, emission->name, emission->name);
    for (int i = 0; i < emission->n_versions; i++) text_printf(out, "        %srun,\n", emission->versions[i].prefix);
    text_add(out, "    };\n    const int version = tenon_cpu_version();\n"
                  "    return version < 0 ? TENON_NO_CPU : run[version](in, out, arena);\n}\n");
}

void versions_print(const struct emission *emission, struct text *out)
{
    for (int i = 0; i < emission->n_versions; i++) {
        const struct version *version = &emission->versions[i];
        if (version->prog->threads) put_threaded_run(emission, version, out);
        else if (emission->n_versions > 1 && emission->kernels_apart) put_declared_run(emission, version, out);
    }
    if (emission->n_versions > 1) put_choice(emission, out);
}
