/* TensorFlow Lite models to graphs: inputs, operators, outputs.
 *
 * One walk over the operators of the first subgraph in file order. An operator that fails is reported and poisons its
 * results; the walk goes on, so that one run tells everything that is wrong. Read next: tflite_call.c, then any family.
 */
#include "tflite_import.h"
#include "file_map.h"

#include <string.h>

/* Fields of the schema's tables. */
enum { MODEL_CODES = 1, MODEL_SUBGRAPHS = 2, MODEL_BUFFERS = 4 };
enum { SUBGRAPH_TENSORS, SUBGRAPH_INPUTS, SUBGRAPH_OUTPUTS, SUBGRAPH_OPERATORS };
enum { OPERATOR_CODE, OPERATOR_INPUTS, OPERATOR_OUTPUTS, OPERATOR_OPTIONS = 4 };
enum { CODE_OLD, CODE_CUSTOM, CODE_VERSION, CODE_BUILTIN };
enum { TENSOR_SIGNATURE = 7 };

static const struct tflite_row *const families[] = {
    tflite_conv_rows,  tflite_pool_rows,   tflite_math_rows,   tflite_shape_rows,
    tflite_slice_rows, tflite_reduce_rows, tflite_resize_rows, tflite_rnn_rows,
};

static const struct tflite_row *find_row(enum tflite_op op)
{
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        for (const struct tflite_row *row = families[i]; row->build || row->build_quantized; row++)
            if (row->op == op) return row;
    return NULL;
}

/* Whether the operator computes on quantized integers: by its results, or by inputs that are (QUANTIZE and the like
 * have a row of their own). Float operators with quantized weights do not. */
static bool is_quantized(const struct tflite_call *call)
{
    for (int i = 0; i < call->n_out; i++)
        if (tflite_is_quantized(call->out_tensor[i])) return true;
    return tflite_is_quantized(call->in_tensor[0]);
}

static bool check_results(struct tflite_call *call)
{
    for (int i = 0; i < call->n_out; i++) {
        if (!call->out_tensor[i]) continue;
        if (!call->out[i]) return tflite_refuse(call, "its output %d is not supported", i);
        enum dtype declared = call->out_tensor[i]->type.dt, built = call->out[i]->type.dt;
        if (declared != built)
            return tflite_error(call, "output \"%s\" is %s, its operator gives %s", call->out_tensor[i]->name,
                                dtype_name(declared), dtype_name(built));
    }
    return true;
}

/* Fills call->out; false after a message. is_poisoned: inputs are missing for an error told before. */
static bool build_operator(struct tflite_call *call, bool is_poisoned)
{
    const struct tflite_row *row = find_row(call->op);
    if (!row) return tflite_refuse(call, "the operator is not implemented");
    bool quantized = is_quantized(call);
    struct value *(*build)(struct tflite_call *) = quantized ? row->build_quantized : row->build;
    if (!build) return tflite_refuse(call, "not implemented for %s tensors", quantized ? "quantized" : "float");
    if (is_poisoned) return false;
    for (int i = 0; i < row->least; i++)
        if (i >= call->n_in || !call->in[i]) return tflite_error(call, "input %d is absent", i);
    int errors = diag_errors(call->graph->diag);
    call->out[0] = build(call);
    if (!call->out[0] && errors == diag_errors(call->graph->diag)) tflite_refuse(call, "it could not be expressed");
    return errors == diag_errors(call->graph->diag) && check_results(call);
}

static bool resolve_inputs(struct tflite_call *call, const struct flat_list *inputs, bool *is_poisoned)
{
    for (int i = 0; i < call->n_in; i++) {
        int64_t index = flat_element(inputs, i, 4);
        if (index == -1) continue;
        int errors = diag_errors(call->graph->diag);
        call->in_tensor[i] = tflite_tensor(call->importer, index);
        call->in[i] = call->in_tensor[i] ? tflite_constant(call->importer, index) : NULL;
        if (!call->in[i]) *is_poisoned = true;
        if (errors != diag_errors(call->graph->diag)) return false;
    }
    return true;
}

static bool bind_outputs(struct tflite_call *call, const struct flat_list *outputs, bool ok)
{
    for (int i = 0; i < call->n_out; i++) {
        int64_t index = flat_element(outputs, i, 4);
        struct tflite_tensor *tensor = index == -1 ? NULL : tflite_tensor(call->importer, index);
        if (!tensor) continue;
        if (tensor->is_given || tensor->value)
            ok = tflite_error(call, "tensor %lld \"%s\" is given twice", (long long)index, tensor->name);
        tensor->is_given = true;
        tensor->value = ok ? call->out[i] : NULL;
        if (tensor->value) graph_name(call->graph, tensor->value, tensor->name);
    }
    return ok;
}

/* The operator's code and version; for one that no number stands for the name of the custom operator. */
static bool read_code(struct tflite_call *call, int64_t index, const char **custom)
{
    struct flat_table code;
    struct tflite_importer *importer = call->importer;
    struct graph *graph = call->graph;
    *custom = NULL;
    if (index < 0 || index >= importer->codes.n)
        return diag_error(graph->diag, graph->place, "operator code %lld of %lld", (long long)index,
                          (long long)importer->codes.n);
    if (!flat_element_table(&importer->codes, index, &code)) return false;
    int64_t old = flat_int(&code, CODE_OLD, 1, 0), number = flat_int(&code, CODE_BUILTIN, 4, 0);
    number = number > old ? number : old;
    if (number < 0 || number >= TFL_COUNT)
        return diag_error(graph->diag, graph->place, "operator number %lld is not known", (long long)number);
    call->op = (enum tflite_op)number;
    int64_t version = flat_int(&code, CODE_VERSION, 4, 1);
    call->version = version < 1 || version > 1000 ? 0 : (int)version;
    if (call->op == TFL_CUSTOM) *custom = flat_string(&code, CODE_CUSTOM, graph->session);
    return true;
}

static bool import_operator(struct tflite_importer *importer, const struct flat_table *table, int64_t index)
{
    struct graph *graph = importer->graph;
    struct tflite_call call = {.importer = importer, .graph = graph, .operator= * table };
    struct flat_list inputs, outputs;
    const char *custom;
    int errors = diag_errors(graph->diag);
    bool is_poisoned = false;
    if (!read_code(&call, flat_int(table, OPERATOR_CODE, 4, 0), &custom)) return false;
    graph->place.path =
        arena_printf(graph->session, "subgraph 0: operator %lld %s", (long long)index, tflite_op_name(call.op));
    if (!flat_list(table, OPERATOR_INPUTS, 4, &inputs) || !flat_list(table, OPERATOR_OUTPUTS, 4, &outputs) ||
        !flat_child(table, OPERATOR_OPTIONS, &call.options))
        return false;
    if (inputs.n > TFLITE_OPERANDS_MOST || outputs.n > TFLITE_OPERANDS_MOST)
        return tflite_error(&call, "%lld inputs, %lld outputs; at most %d are taken", (long long)inputs.n,
                            (long long)outputs.n, TFLITE_OPERANDS_MOST);
    if (!tflite_take(importer, 16 * (inputs.n + outputs.n))) return false;
    call.n_in = (int)inputs.n, call.n_out = (int)outputs.n;
    call.in = NEW_ARRAY(graph->arena, struct value *, call.n_in + 32);
    call.out = NEW_ARRAY(graph->arena, struct value *, call.n_out + 32);
    call.in_tensor = NEW_ARRAY(graph->arena, const struct tflite_tensor *, call.n_in + 32);
    call.out_tensor = NEW_ARRAY(graph->arena, const struct tflite_tensor *, call.n_out + 32);
    bool ok = resolve_inputs(&call, &inputs, &is_poisoned);
    for (int i = 0; i < call.n_out; i++) {
        int64_t at = flat_element(&outputs, i, 4);
        if (at != -1 && !(call.out_tensor[i] = tflite_tensor(importer, at))) ok = false;
    }
    if (ok && (!call.n_out || !call.out_tensor[0])) ok = tflite_error(&call, "the operator has no output");
    if (custom) ok = tflite_refuse(&call, "custom operator \"%s\"", custom);
    else if (ok) ok = build_operator(&call, is_poisoned);
    return bind_outputs(&call, &outputs, ok && errors == diag_errors(graph->diag)) && !is_poisoned;
}

static bool import_operators(struct tflite_importer *importer, const struct flat_list *operators)
{
    struct graph *graph = importer->graph;
    const char *before = graph->place.path;
    bool ok = true;
    if (operators->n > TFLITE_OPERATORS_MOST)
        return diag_error(graph->diag, graph->place, "%lld operators; at most %d are taken", (long long)operators->n,
                          TFLITE_OPERATORS_MOST);
    for (int64_t i = 0; i < operators->n && !diag_full(graph->diag); i++) {
        struct flat_table table;
        graph->place.path = arena_printf(graph->session, "subgraph 0: operator %lld", (long long)i);
        if (!flat_element_table(operators, i, &table) || !import_operator(importer, &table, i)) ok = false;
        graph->place.path = before;
    }
    return ok;
}

/* The size of axis i where the model's signature leaves it open: pinned, or what the file says. */
static bool input_dim(struct tflite_importer *importer, struct tflite_tensor *tensor, int i)
{
    struct graph *graph = importer->graph;
    const char *position = arena_printf(graph->session, "%s_d%d", tensor->name, i);
    const char *identifier = text_identifier(graph->session, position);
    for (int k = 0; k < importer->options->n_pins; k++) {
        const struct dim_pin *pin = &importer->options->pins[k];
        if (strcmp(pin->name, position) && strcmp(pin->name, identifier)) continue;
        if (pin->size < 0 || pin->size > ELEMENTS_MOST)
            return diag_error(graph->diag, graph->place, "dimension \"%s\" cannot be %lld", position,
                              (long long)pin->size);
        tensor->type.dim[i] = pin->size;
    }
    return true;
}

static bool import_inputs(struct tflite_importer *importer, const struct flat_list *inputs)
{
    struct graph *graph = importer->graph;
    struct flat_table table;
    struct flat_list signature;
    bool ok = true;
    for (int64_t k = 0; k < inputs->n && !diag_full(graph->diag); k++) {
        int64_t index = flat_element(inputs, k, 4);
        struct tflite_tensor *tensor = tflite_tensor(importer, index);
        if (!tensor) {
            ok = false;
            continue;
        }
        if (tensor->is_given) {
            ok = diag_error(graph->diag, graph->place, "tensor %lld is an input twice", (long long)index);
            continue;
        }
        tensor->is_given = true;
        if (!flat_element_table(&importer->tables, index, &table) ||
            !flat_list(&table, TENSOR_SIGNATURE, 4, &signature))
            return false;
        for (int i = 0; i < tensor->type.rank && i < signature.n; i++)
            if (flat_element(&signature, i, 4) == -1 && !input_dim(importer, tensor, i)) ok = false;
        if (type_count(&tensor->type) < 0)
            ok = diag_error(graph->diag, graph->place, "input \"%s\": more than 2^40 elements", tensor->name);
        else tensor->value = graph_input(graph, tensor->name, &tensor->type);
        if (!tensor->value) ok = false;
    }
    return ok;
}

static bool import_outputs(struct tflite_importer *importer, const struct flat_list *outputs)
{
    struct graph *graph = importer->graph;
    bool ok = outputs->n > 0 || diag_error(graph->diag, graph->place, "the model has no outputs");
    for (int64_t k = 0; k < outputs->n && !diag_full(graph->diag); k++) {
        int64_t index = flat_element(outputs, k, 4);
        struct tflite_tensor *tensor = tflite_tensor(importer, index);
        struct value *value = tensor ? tflite_constant(importer, index) : NULL;
        if (value) graph_output(graph, tensor->name, value);
        else ok = false;
    }
    return ok;
}

static bool import_model(struct tflite_importer *importer)
{
    struct graph *graph = importer->graph;
    struct flat_list subgraphs, inputs, outputs, operators;
    struct flat_table subgraph;
    if (!flat_root(&importer->flat, "TFL3", &importer->model) ||
        !flat_list(&importer->model, MODEL_CODES, 4, &importer->codes) ||
        !flat_list(&importer->model, MODEL_BUFFERS, 4, &importer->buffers) ||
        !flat_list(&importer->model, MODEL_SUBGRAPHS, 4, &subgraphs))
        return false;
    if (!subgraphs.n) return diag_error(graph->diag, graph->place, "the model has no subgraph");
    graph->place.path = "subgraph 0";
    if (!flat_element_table(&subgraphs, 0, &subgraph) ||
        !flat_list(&subgraph, SUBGRAPH_TENSORS, 4, &importer->tables) ||
        !flat_list(&subgraph, SUBGRAPH_INPUTS, 4, &inputs) || !flat_list(&subgraph, SUBGRAPH_OUTPUTS, 4, &outputs) ||
        !flat_list(&subgraph, SUBGRAPH_OPERATORS, 4, &operators))
        return false;
    if (importer->tables.n > TFLITE_TENSORS_MOST)
        return diag_error(graph->diag, graph->place, "%lld tensors; at most %d are taken",
                          (long long)importer->tables.n, TFLITE_TENSORS_MOST);
    importer->tensors = NEW_ARRAY(graph->arena, struct tflite_tensor, importer->tables.n + 1);
    bool ok = import_inputs(importer, &inputs);
    ok = import_operators(importer, &operators) && ok;
    return (ok || !diag_errors(graph->diag)) && import_outputs(importer, &outputs) && ok;
}

bool tflite_read_bytes(struct graph *graph, const void *bytes, size_t n_bytes, const struct tflite_options *options)
{
    static const struct tflite_options no_options;
    struct tflite_importer importer = {.graph = graph, .options = options ? options : &no_options};
    struct place before = graph->place;
    if (!graph->place.source) {
        struct source *source = NEW(graph->session, struct source);
        source->name = "model";
        graph->place = (struct place){.source = source};
    }
    importer.flat = (struct flat){bytes, n_bytes, graph->diag, &graph->place};
    int errors = diag_errors(graph->diag);
    bool ok = import_model(&importer) && errors == diag_errors(graph->diag);
    graph->place = before;
    return ok;
}

bool tflite_read(struct graph *graph, const char *path, const struct tflite_options *options)
{
    struct source *source = NEW(graph->session, struct source);
    struct file_bytes bytes;
    source->name = arena_strdup(graph->session, path);
    graph->place = (struct place){.source = source};
    bool ok = file_map(graph->diag, graph->place, path, &bytes) && tflite_read_bytes(graph, bytes.at, bytes.n, options);
    graph->place = (struct place){0};
    return ok;
}
