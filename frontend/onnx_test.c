/* Running ONNX backend cases: a folder with model.onnx and test_data_set_N of input_K.pb and output_K.pb.
 *
 * A case passes where every output of every data set has the expected type and shape and its elements agree: integers
 * and truth values exactly (8-bit results of quantization within one step), floats within atol + rtol * |expected|.
 * Whatever the importer says is "not supported" makes it skipped; any other trouble makes it fail.
 */
#define _GNU_SOURCE
#include "onnx_import.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { TENSORS_MOST = 256, ATTEMPTS_MOST = 8 };

struct tensors {
    int n;
    struct tensor at[TENSORS_MOST];
    const char *name[TENSORS_MOST];
};
struct attempt {
    struct arena *session;
    struct diag *diag;
    const char *folder;
    bool is_quantized;
    struct tensors in, expected;
    struct onnx_names fixed;
    struct text reason;
};

static bool exists(const char *path)
{
    struct stat status;
    return !stat(path, &status);
}

static bool read_tensors(struct attempt *a, const char *set, const char *kind, struct tensors *list)
{
    list->n = 0;
    for (int i = 0; i < TENSORS_MOST; i++) {
        const char *path = arena_printf(a->session, "%s/%s_%d.pb", set, kind, i);
        if (!exists(path)) break;
        if (!onnx_read_tensor(a->session, a->diag, path, &list->at[i], &list->name[i])) return false;
        list->n++;
    }
    return true;
}

/* The messages so far as one line, without where the file is and without the word error. */
static void take_messages(struct attempt *a)
{
    char *at = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&at, &n);
    if (!out) bug("test", "no memory for messages");
    diag_print(a->diag, out);
    fclose(out);
    for (char *line = strtok(at, "\n"); line; line = strtok(NULL, "\n")) {
        const char *words = strstr(line, "model.onnx: ");
        words = words ? words + strlen("model.onnx: ") : line;
        const char *error = strstr(words, "error: ");
        if (a->reason.n) text_add(&a->reason, "; ");
        if (!error) text_add(&a->reason, words);
        else text_add_n(&a->reason, words, (size_t)(error - words)), text_add(&a->reason, error + strlen("error: "));
        if (a->reason.n > 400) break;
    }
    free(at);
}

static double element(const struct tensor *t, int64_t i)
{
    const char *at = (const char *)t->data + i * dtype_bytes(t->type.dt);
    double d;
    float f;
    uint16_t half;
    if (t->type.dt == DT_f64) return memcpy(&d, at, 8), d;
    if (t->type.dt == DT_f32) return memcpy(&f, at, 4), (double)f;
    memcpy(&half, at, 2);
    return (double)(t->type.dt == DT_f16 ? f16_to_float(half) : bf16_to_float(half));
}

static bool floats_agree(double got, double wanted, bool is_half)
{
    if (isnan(got) || isnan(wanted)) return isnan(got) && isnan(wanted);
    if (isinf(got) || isinf(wanted)) return got == wanted;
    return fabs(got - wanted) <= (is_half ? 1e-2 : 1e-5) + (is_half ? 1e-2 : 1e-3) * fabs(wanted);
}

static bool bytes_agree(const struct tensor *got, const struct tensor *wanted, int64_t i, bool is_quantized)
{
    int64_t size = dtype_bytes(got->type.dt);
    const uint8_t *a = (const uint8_t *)got->data + i * size, *b = (const uint8_t *)wanted->data + i * size;
    if (!memcmp(a, b, (size_t)size)) return true;
    if (!is_quantized || size != 1 || got->type.dt == DT_bool) return false;
    int difference = got->type.dt == DT_i8 ? (int)(int8_t)*a - (int)(int8_t)*b : (int)*a - (int)*b;
    return difference >= -1 && difference <= 1;
}

static bool outputs_agree(struct attempt *a, int output, const struct tensor *got, const struct tensor *wanted)
{
    if (!type_equal(&got->type, &wanted->type)) {
        text_printf(&a->reason, "output %d is %s, expected %s", output, type_string(NULL, a->session, &got->type),
                    type_string(NULL, a->session, &wanted->type));
        return false;
    }
    int64_t n = type_count(&got->type);
    bool is_float = dtype_is_float(got->type.dt), is_half = dtype_is_half(got->type.dt);
    for (int64_t i = 0; i < n; i++) {
        if (is_float ? floats_agree(element(got, i), element(wanted, i), is_half)
                     : bytes_agree(got, wanted, i, a->is_quantized))
            continue;
        text_printf(&a->reason, "output %d differs at element %lld of %lld", output, (long long)i, (long long)n);
        if (is_float) text_printf(&a->reason, ": %.9g, expected %.9g", element(got, i), element(wanted, i));
        return false;
    }
    return true;
}

static int find_tensor(const struct tensors *list, const char *name, int otherwise)
{
    for (int i = 0; i < list->n; i++)
        if (list->name[i][0] && !strcmp(list->name[i], name)) return i;
    return otherwise < list->n ? otherwise : -1;
}

/* Values of symbols from the shapes given; tensors in the graph's order. */
static bool match_inputs(struct attempt *a, struct graph *graph, struct tensor *in, int64_t *symbols)
{
    for (int i = 0; i < dims_n_symbols(graph->dims); i++) symbols[i] = dims_symbol(graph->dims, i)->lo;
    for (int i = 0; i < graph->inputs.n; i++) {
        const struct value *value = graph->inputs.at[i];
        int k = find_tensor(&a->in, value->name, i);
        if (k < 0) return text_printf(&a->reason, "no data for input \"%s\"", value->name), false;
        in[i] = a->in.at[k];
        bool fits = in[i].type.dt == value->type.dt && in[i].type.rank == value->type.rank;
        for (int d = 0; fits && d < value->type.rank; d++) {
            int symbol = dim_bound_symbol(graph->dims, value->type.dim[d], in[i].type.dim[d]);
            if (symbol >= 0) symbols[symbol] = in[i].type.dim[d];
        }
        for (int d = 0; fits && d < value->type.rank; d++)
            fits = dim_eval(graph->dims, value->type.dim[d], symbols) == in[i].type.dim[d];
        if (!fits)
            return text_printf(&a->reason, "data for input \"%s\" is %s, the model takes %s", value->name,
                               type_string(graph->dims, a->session, &in[i].type),
                               type_string(graph->dims, a->session, &value->type)),
                   false;
    }
    return true;
}

static bool run_and_compare(struct attempt *a, struct graph *graph, const struct onnx_runner *runner)
{
    struct tensor *in = NEW_ARRAY(a->session, struct tensor, graph->inputs.n + 1),
                  *out = NEW_ARRAY(a->session, struct tensor, graph->outputs.n + 1);
    int64_t *symbols = NEW_ARRAY(a->session, int64_t, dims_n_symbols(graph->dims) + 1);
    const char *why = "";
    if (!match_inputs(a, graph, in, symbols)) return false;
    if (graph->outputs.n != a->expected.n)
        return text_printf(&a->reason, "%d outputs, expected %d", graph->outputs.n, a->expected.n), false;
    if (!runner->run(runner->ctx, graph, in, symbols, a->session, out, &why)) {
        take_messages(a);
        text_printf(&a->reason, "%s%s", a->reason.n && *why ? "; " : "", why);
        return false;
    }
    for (int i = 0; i < graph->outputs.n; i++)
        if (!outputs_agree(a, i, &out[i], &a->expected.at[i])) return false;
    return true;
}

/* Imports; where inputs have to be known, again with the data set's values for these. NULL: refused. */
static struct graph *import_case(struct attempt *a)
{
    struct onnx_constant constants[TENSORS_MOST];
    const char *path = arena_printf(a->session, "%s/model.onnx", a->folder);
    int n = 0;
    a->fixed.n = 0;
    for (int attempt = 0; attempt < ATTEMPTS_MOST; attempt++) {
        struct onnx_names wanted = {0};
        struct onnx_options options = {.n_constants = n, .constants = constants, .wanted = &wanted};
        a->diag = diag_new(a->session);
        struct graph *graph = graph_new(a->session, a->session, dims_new(a->session), a->diag, "case");
        if (onnx_read(graph, path, &options)) return graph;
        int before = n;
        for (int i = 0; i < wanted.n; i++) {
            int k = find_tensor(&a->in, wanted.at[i], TENSORS_MOST);
            for (int j = 0; j < n; j++)
                if (!strcmp(constants[j].name, wanted.at[i])) k = -1;
            if (k < 0 || n == TENSORS_MOST) continue;
            constants[n++] = (struct onnx_constant){wanted.at[i], &a->in.at[k]};
            LIST_PUSH(a->session, &a->fixed, wanted.at[i]);
        }
        if (n == before) break;
    }
    take_messages(a);
    return NULL;
}

static bool uses_quantization(struct attempt *a)
{
    struct file_bytes bytes;
    const char *path = arena_printf(a->session, "%s/model.onnx", a->folder);
    if (!file_map(a->diag, (struct place){.path = path}, path, &bytes)) return false;
    bool found = memmem(bytes.at, bytes.n, "QuantizeLinear", 14) || memmem(bytes.at, bytes.n, "QLinear", 7);
    file_unmap(bytes);
    return found;
}

static void print_line(const struct attempt *a, const char *verdict, FILE *out)
{
    const char *slash = strrchr(a->folder, '/');
    fprintf(out, "%s %s", verdict, slash ? slash + 1 : a->folder);
    if (a->reason.n) fprintf(out, " %s", text_string(&a->reason));
    for (int i = 0; i < a->fixed.n && !strcmp(verdict, "pass"); i++)
        fprintf(out, "%s%s%s", i ? ", " : " (known when compiling: ", a->fixed.at[i], i + 1 == a->fixed.n ? ")" : "");
    fputc('\n', out);
}

void onnx_test_case(const char *folder, const struct onnx_runner *runner, FILE *out, struct onnx_outcome *outcome)
{
    struct arena *session = arena_new();
    struct attempt a = {.session = session, .diag = diag_new(session), .reason = {.arena = session}};
    size_t n = strlen(folder);
    while (n > 1 && folder[n - 1] == '/') n--;
    a.folder = arena_strndup(session, folder, n);
    a.is_quantized = uses_quantization(&a);
    const char *verdict = "pass";
    int n_sets = 0;
    for (int set = 0; !strcmp(verdict, "pass"); set++) {
        const char *path = arena_printf(session, "%s/test_data_set_%d", a.folder, set);
        if (!exists(path)) break;
        n_sets++;
        /* Data of a refused model may be of kinds that are no tensors: its messages come first. */
        bool is_read = read_tensors(&a, path, "input", &a.in) && read_tensors(&a, path, "output", &a.expected);
        if (!is_read) a.in.n = 0;
        struct graph *graph = import_case(&a);
        if (!graph) verdict = strstr(text_string(&a.reason), "not supported") ? "skip" : "fail";
        else if (!is_read) text_add(&a.reason, "its data cannot be read"), verdict = "fail";
        else if (!run_and_compare(&a, graph, runner)) verdict = "fail";
    }
    if (!n_sets) text_add(&a.reason, "no test_data_set_0"), verdict = "fail";
    print_line(&a, verdict, out);
    if (!strcmp(verdict, "pass")) outcome->passed++;
    else if (!strcmp(verdict, "skip")) outcome->skipped++;
    else outcome->failed++;
    arena_free(session);
}
