/* Samples for `tenon quantize`: arrays as a model's inputs take them, from a folder or one file.
 *
 * A .npz file has an array for every input, called as the input is; a .npy file has one input's, and where the model has
 * several its name begins with the input's: NAME_key.npy, one sample per key. An array with one axis more than its input
 * has holds many samples along that axis. Files are read in the order of their names, so that the same folder is the same
 * calibration everywhere.
 */
#define _POSIX_C_SOURCE 200809L
#include "cmd_quantize.h"
#include "weights.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct reading {
    struct session *session;
    const struct graph *graph;
    struct samples *samples;
    int limit;
};

static const char *input_name(const struct graph *graph, int i)
{
    return graph->inputs.at[i]->name ? graph->inputs.at[i]->name : "";
}

static bool is_full(const struct reading *reading)
{
    return reading->limit && reading->samples->list.n >= reading->limit;
}

/* The number of samples in the arrays: 0 for one without a further axis, -1 after an error. */
static int64_t stacked(const struct reading *reading, const char *const *paths, const struct tensor *in)
{
    const struct graph *graph = reading->graph;
    struct session *session = reading->session;
    int64_t n = -2;
    for (int i = 0; i < graph->inputs.n; i++) {
        const struct type *type = &graph->inputs.at[i]->type;
        int more = in[i].type.rank - type->rank;
        if (in[i].type.dt != type->dt || more < 0 || more > 1)
            return diag_error(session->diag, (struct place){.path = paths[i]}, "input \"%s\" is %s, the model takes %s", input_name(graph, i),
                              type_string(graph->dims, session->arena, &in[i].type), type_string(graph->dims, session->arena, type)), -1;
        int64_t size = more ? in[i].type.dim[0] : 0;
        if (n != -2 && n != size)
            return diag_error(session->diag, (struct place){.path = paths[i]}, "input \"%s\" holds %lld samples, the one before %lld", input_name(graph, i),
                              (long long)(size ? size : 1), (long long)(n ? n : 1)), -1;
        n = size;
        if (more && size == 0) return diag_error(session->diag, (struct place){.path = paths[i]}, "input \"%s\" holds no samples", input_name(graph, i)), -1;
    }
    return n;
}

static bool add_sample(struct reading *reading, const char *path, struct tensor *in)
{
    struct session *session = reading->session;
    struct unit unit = {.graph = (struct graph *)reading->graph};
    struct sample sample = {.path = path, .in = in, .symbols = engine_symbols(session, &unit, in)};
    if (!sample.symbols) {
        diag_note(session->diag, (struct place){.path = path}, "here");
        return false;
    }
    LIST_PUSH(session->arena, &reading->samples->list, sample);
    return true;
}

/* One sample, or as many as the arrays have along their first axis. */
static bool add_arrays(struct reading *reading, const char *const *paths, const struct tensor *all)
{
    struct arena *arena = reading->session->arena;
    int n_in = reading->graph->inputs.n;
    int64_t n = stacked(reading, paths, all);
    if (n < 0) return false;
    if (n == 0) return add_sample(reading, paths[0], arena_copy(arena, all, (size_t)n_in * sizeof *all));
    for (int64_t s = 0; s < n && !is_full(reading); s++) {
        struct tensor *in = NEW_ARRAY(arena, struct tensor, n_in);
        for (int i = 0; i < n_in; i++) {
            in[i].type = all[i].type;
            in[i].type.rank--;
            memmove(in[i].type.dim, in[i].type.dim + 1, (size_t)in[i].type.rank * sizeof(dim));
            in[i].n_bytes = all[i].n_bytes / n;
            in[i].data = (const char *)all[i].data + s * in[i].n_bytes;
        }
        if (!add_sample(reading, paths[0], in)) return false;
    }
    return true;
}

/* The array of this name, or the only one of a model with one input. */
static bool take_array(struct reading *reading, const struct weights *file, int input, struct tensor *tensor)
{
    const char *name = input_name(reading->graph, input);
    const struct tensor *found = weights_find(file, name);
    bool npy = has_suffix(file->path, ".npy");
    if (!found && file->tensors.n == 1 && (npy || reading->graph->inputs.n == 1)) found = &file->tensors.at[0].tensor;
    if (!found)
        return diag_error(reading->session->diag, (struct place){.path = file->path}, "has no array \"%s\", which the model takes", name);
    *tensor = *found;
    return true;
}

static bool read_npz(struct reading *reading, const char *path)
{
    struct session *session = reading->session;
    int n_in = reading->graph->inputs.n;
    struct tensor *in = NEW_ARRAY(session->arena, struct tensor, n_in + 1);
    const char **paths = NEW_ARRAY(session->arena, const char *, n_in + 1);
    const struct weights *file = weights_open(session->arena, path, session->diag, (struct place){.path = path});
    bool ok = file != NULL;
    for (int i = 0; i < n_in && ok; i++) {
        paths[i] = path;
        ok = take_array(reading, file, i, &in[i]);
    }
    return ok && add_arrays(reading, paths, in);
}

/* The input whose name the file's name begins with, the longest such; *key is what follows. -1: none. */
static int input_of(const struct reading *reading, const char *base, const char **key)
{
    int best = -1;
    size_t most = 0;
    *key = base;
    if (reading->graph->inputs.n == 1) return 0;
    for (int i = 0; i < reading->graph->inputs.n; i++) {
        const char *name = input_name(reading->graph, i);
        size_t n = strlen(name);
        if (n <= most || strncmp(base, name, n) != 0 || !strchr("_-.", base[n])) continue;
        best = i;
        most = n;
        *key = base + n;
    }
    return best;
}

/* A .npy file of the first input, and those of the others with the same key. */
static bool read_npy(struct reading *reading, const char *folder, const char *base)
{
    struct session *session = reading->session;
    const struct graph *graph = reading->graph;
    const char *key, *path = arena_printf(session->arena, "%s/%s", folder, base);
    int first = input_of(reading, base, &key);
    if (first < 0)
        return diag_error(session->diag, (struct place){.path = path}, "its name begins with no input's name: \"%s\"%s is one", input_name(graph, 0),
                          graph->inputs.n > 1 ? ", as in INPUT_key.npy," : "");
    if (first > 0) return true; /* read with the first input's */
    struct tensor *in = NEW_ARRAY(session->arena, struct tensor, graph->inputs.n);
    const char **paths = NEW_ARRAY(session->arena, const char *, graph->inputs.n);
    for (int i = 0; i < graph->inputs.n; i++) {
        paths[i] = i ? arena_printf(session->arena, "%s/%s%s", folder, input_name(graph, i), key) : path;
        const struct weights *file = weights_open(session->arena, paths[i], session->diag, (struct place){.path = paths[i]});
        if (!file || !take_array(reading, file, i, &in[i])) return false;
    }
    return add_arrays(reading, paths, in);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool read_folder(struct reading *reading, const char *path)
{
    struct session *session = reading->session;
    LIST(const char *) names = {0};
    DIR *dir = opendir(path);
    if (!dir) return diag_error(session->diag, (struct place){.path = path}, "cannot be read: %s", strerror(errno));
    for (struct dirent *entry; (entry = readdir(dir));)
        if (has_suffix(entry->d_name, ".npy") || has_suffix(entry->d_name, ".npz")) {
            const char *name = arena_strdup(session->arena, entry->d_name);
            LIST_PUSH(session->arena, &names, name);
        }
    closedir(dir);
    if (!names.n) return diag_error(session->diag, (struct place){.path = path}, "has no .npy or .npz files");
    qsort(names.at, (size_t)names.n, sizeof *names.at, compare_names);
    for (int i = 0; i < names.n && !is_full(reading); i++) {
        bool npz = has_suffix(names.at[i], ".npz");
        bool ok = npz ? read_npz(reading, arena_printf(session->arena, "%s/%s", path, names.at[i])) : read_npy(reading, path, names.at[i]);
        if (!ok) return false;
    }
    return true;
}

bool samples_read(struct session *session, const struct graph *graph, const char *path, int limit, struct samples *samples)
{
    struct reading reading = {session, graph, samples, limit};
    struct place place = {.path = path};
    struct stat info;
    *samples = (struct samples){{0}};
    if (!graph->inputs.n) return diag_error(session->diag, place, "is of no use: the model has no inputs");
    if (stat(path, &info)) return diag_error(session->diag, place, "cannot be read: %s", strerror(errno));
    bool folder = S_ISDIR(info.st_mode);
    if (!folder && !has_suffix(path, ".npz") && !(has_suffix(path, ".npy") && graph->inputs.n == 1))
        return diag_error(session->diag, place, "samples are a folder of .npy or .npz files, or one .npz file");
    if (!(folder ? read_folder(&reading, path) : read_npz(&reading, path))) return false;
    return samples->list.n || diag_error(session->diag, place, "has no file for input \"%s\"", input_name(graph, 0));
}
