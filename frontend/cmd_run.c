/* tenon run: compile in memory, run once on inputs from files or random ones, show or write the results. */
#define _POSIX_C_SOURCE 200809L
#include "cmd.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static const char *input_name(const struct graph *graph, int i)
{
    return graph->inputs.at[i]->name ? graph->inputs.at[i]->name : "";
}

static bool unknown_input(struct session *session, const struct graph *graph, const char *name)
{
    const char **names = NEW_ARRAY(session->arena, const char *, graph->inputs.n + 1);
    struct text list = {.arena = session->arena};
    for (int i = 0; i < graph->inputs.n; i++) {
        names[i] = input_name(graph, i);
        text_printf(&list, "%s\"%s\"", i ? ", " : "", names[i]);
    }
    diag_error(session->diag, (struct place){0}, "the model has no input \"%s\"; it has %s", name, text_string(&list));
    const char *near = diag_suggest(name, names, graph->inputs.n);
    if (near) diag_note(session->diag, (struct place){0}, "did you mean \"%s\"?", near);
    return false;
}

static bool read_inputs(struct session *session, const struct options *options, const struct graph *graph,
                        struct tensor *in, bool *given)
{
    bool ok = true;
    for (int i = 0; i < options->inputs.n; i++) {
        int k = 0;
        while (k < graph->inputs.n && strcmp(input_name(graph, k), options->inputs.at[i].name) != 0) k++;
        if (k == graph->inputs.n) {
            ok = unknown_input(session, graph, options->inputs.at[i].name);
            continue;
        }
        given[k] = true;
        ok = tensor_read(session, options->inputs.at[i].value, input_name(graph, k), &in[k]) && ok;
    }
    for (int k = 0; k < graph->inputs.n && ok; k++)
        if (!given[k] && !options->random)
            ok = diag_error(session->diag, (struct place){0},
                            "input \"%s\" is not given: --input %s=FILE, or --random SEED", input_name(graph, k),
                            input_name(graph, k));
    return ok;
}

/* Sizes of named dimensions: of the given inputs where they say, small ones elsewhere. */
static void random_inputs(struct session *session, const struct options *options, const struct graph *graph,
                          struct tensor *in, const bool *given)
{
    struct dims *dims = graph->dims;
    int n_symbols = dims_n_symbols(dims);
    int64_t *sizes = NEW_ARRAY(session->arena, int64_t, n_symbols + 1);
    memcpy(sizes, trial_symbols(dims, session->arena), (size_t)n_symbols * sizeof *sizes);
    for (int i = 0; i < graph->inputs.n; i++)
        for (int k = 0; given[i] && k < graph->inputs.at[i]->type.rank && k < in[i].type.rank; k++) {
            int s = dim_bound_symbol(dims, graph->inputs.at[i]->type.dim[k], in[i].type.dim[k]);
            if (s >= 0) sizes[s] = in[i].type.dim[k];
        }
    for (int i = 0; i < graph->inputs.n; i++) {
        if (given[i]) continue;
        in[i].type = graph->inputs.at[i]->type;
        for (int k = 0; k < in[i].type.rank; k++) in[i].type.dim[k] = dim_eval(dims, in[i].type.dim[k], sizes);
        int64_t n = type_count(&in[i].type);
        if (n < 0) bug("run", "a type of unknown size");
        in[i].n_bytes = n * dtype_bytes(in[i].type.dt);
        void *data = arena_alloc(session->arena, (size_t)in[i].n_bytes + 1);
        trial_fill(&in[i].type, options->seed, i, data);
        in[i].data = data;
    }
}

static bool write_outputs(struct session *session, const struct options *options, const struct graph *graph,
                          const struct tensor *out)
{
    const char *dir = options->output_dir;
    if (mkdir(dir, 0777) && errno != EEXIST)
        return diag_error(session->diag, (struct place){.path = dir}, "cannot make the folder: %s", strerror(errno));
    const char *names_path = arena_printf(session->arena, "%s/names.txt", dir);
    FILE *names = fopen(names_path, "w");
    if (!names)
        return diag_error(session->diag, (struct place){.path = names_path}, "cannot write: %s", strerror(errno));
    bool ok = true;
    for (int i = 0; i < graph->outputs.n && ok; i++) {
        fprintf(names, "%s\n", graph->output_names.at[i]);
        ok = tensor_write_npy(session, arena_printf(session->arena, "%s/output_%d.npy", dir, i), &out[i]);
    }
    return !fclose(names) && ok;
}

static bool call(struct session *session, const struct options *options, const struct unit *unit,
                 const struct tensor *in, const int64_t *symbols, struct tensor *out)
{
    struct unit lowered = *unit;
    if (options->engine != ENGINE_INTERPRETER || options->pipeline.passes)
        if (!model_lower(session, options, session->arena, &lowered)) return false;
    struct engine_run *run = engine_open(session, options, options->engine, &lowered);
    if (!run) return false;
    progress_show(session, "running");
    bool ok = engine_call(session, run, in, symbols, session->arena, out);
    engine_close(run);
    return ok;
}

int command_run(struct session *session, const struct options *options)
{
    struct unit unit = {.graph = model_read(session, options, options->paths[0], session->arena)};
    if (!unit.graph) return STATUS_INPUT;
    struct tensor *in = NEW_ARRAY(session->arena, struct tensor, unit.graph->inputs.n + 1);
    struct tensor *out = NEW_ARRAY(session->arena, struct tensor, unit.graph->outputs.n + 1);
    bool *given = NEW_ARRAY(session->arena, bool, unit.graph->inputs.n + 1);
    if (!read_inputs(session, options, unit.graph, in, given)) return STATUS_INPUT;
    random_inputs(session, options, unit.graph, in, given);
    const int64_t *symbols = engine_symbols(session, &unit, in);
    if (!symbols || !call(session, options, &unit, in, symbols, out)) return STATUS_INPUT;
    progress_show(session, NULL);
    if (options->output_dir) return write_outputs(session, options, unit.graph, out) ? STATUS_OK : STATUS_INPUT;
    for (int i = 0; i < unit.graph->outputs.n; i++) {
        printf("%s: %s = ", unit.graph->output_names.at[i], type_string(session->dims, session->arena, &out[i].type));
        tensor_print_short(&out[i], stdout);
    }
    return STATUS_OK;
}
