/* ONNX models to graphs: inputs, weights, nodes, subgraphs, functions.
 *
 * One walk over the nodes in file order (ONNX demands topological order; a cycle shows as a name used before it is
 * given). Each node's operator is a row of a family table, an elementwise row of ops.def, or a function of the model,
 * whose body is inlined. A node that fails is reported and poisons its results; the walk goes on, so that one run tells
 * everything that is wrong. Read next: onnx_scope.h, onnx_call.c, then any family.
 */
#include "onnx_narrow.h"
#include "onnx_scope.h"

#include <string.h>

static const struct onnx_row *const families[] = {
    onnx_math_rows,    onnx_shape_rows,  onnx_constant_rows, onnx_index_rows,     onnx_reduce_rows,
    onnx_control_rows, onnx_conv_rows,   onnx_pool_rows,     onnx_norm_rows,      onnx_quant_rows,
    onnx_resize_rows,  onnx_rnn_rows,    onnx_loss_rows,     onnx_attention_rows, onnx_linear_attention_rows,
    onnx_einsum_rows,  onnx_sample_rows, onnx_signal_rows,   onnx_quant_product_rows, onnx_quant_contrib_rows,
};

/* The row for this operator at this opset; *other gets a row of another opset where only such exist. */
static const struct onnx_row *find_row(const char *name, int version, const struct onnx_row **other)
{
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        for (const struct onnx_row *row = families[i]; row->name; row++) {
            if (row->name[0] != name[0] || strcmp(row->name, name)) continue; /* the first letter: functions may ask often */
            if (version >= row->since && (!row->until || version <= row->until)) return row;
            *other = row;
        }
    return NULL;
}

static struct value *build_row(struct onnx_call *call, const struct onnx_row *row)
{
    for (int i = 0; i < row->least; i++)
        if (!call->in[i]) return onnx_error(call, "input %d is absent", i);
    return row->build(call);
}

static struct value *build_map(struct onnx_call *call, enum op op)
{
    onnx_assume_fit(call, -1);
    if (call->importer->is_restarting) return NULL;
    const struct op_row *row = op_row(op);
    if (call->n_in != row->least) return onnx_error(call, "%d inputs, needs %d", call->n_in, row->least);
    for (int i = 0; i < call->n_in; i++)
        if (!call->in[i]) return onnx_error(call, "input %d is absent", i);
    return graph_node(call->graph, op, call->n_in, call->in, 0, NULL);
}

struct value *onnx_build_as(struct onnx_call *call, const char *name, int version, int n_in, struct value *const *in)
{
    struct onnx_call plain = *call;
    const struct onnx_row *other = NULL, *row = find_row(name, version, &other);
    enum op op;
    plain.version = version;
    plain.n_in = n_in;
    plain.n_out = 1;
    plain.in = NEW_ARRAY(call->graph->arena, struct value *, n_in + 16);
    plain.out = NEW_ARRAY(call->graph->arena, struct value *, 16);
    plain.narrow_in = NEW_ARRAY(call->graph->arena, const struct narrow *, n_in + 16);
    plain.narrow_out = NEW_ARRAY(call->graph->arena, const struct narrow *, 16);
    for (int i = 0; i < n_in; i++)
        if (!(plain.in[i] = in[i])) return NULL;
    if (row) return build_row(&plain, row);
    return op_from_onnx(name, &op) ? build_map(&plain, op) : onnx_refuse(call, "by way of %s of opset %d", name, version);
}

static int opset_version(const struct scope *scope, const char *domain)
{
    for (size_t i = 0; i < scope->n_opsets; i++) {
        const char *name = scope->opsets[i]->domain ? scope->opsets[i]->domain : "";
        if (!strcmp(name, "ai.onnx")) name = "";
        if (!strcmp(name, domain)) {
            int64_t version = scope->opsets[i]->version;
            return version < 1 ? -1 : version > 100000 ? 100000 : (int)version;
        }
    }
    return 0;
}

static const char *node_domain(const Onnx__NodeProto *node)
{
    return !node->domain || !strcmp(node->domain, "ai.onnx") ? "" : node->domain;
}

static const Onnx__FunctionProto *find_function(struct onnx_call *call)
{
    const struct table *functions = &call->importer->functions;
    if (!functions->n) return NULL;
    const Onnx__NodeProto *node = call->node;
    const struct entry *entry =
        table_find(functions, arena_printf(call->graph->arena, "%s:%s:%s", node_domain(node), node->op_type,
                                           node->overload ? node->overload : ""));
    return entry ? entry->item : NULL;
}

/* Fills call->out; false after a message. is_poisoned: inputs are missing for an error told before; only ask whether
 * the operator is known. */
static bool build_node(struct onnx_call *call, bool is_poisoned)
{
    const char *domain = node_domain(call->node), *name = call->node->op_type;
    const Onnx__FunctionProto *function = find_function(call);
    if (function) return !is_poisoned && onnx_import_function(call, function);
    if (!narrow_check(call)) return false;
    if (!*domain && !call->version)
        return onnx_error(call, "the model does not name the opset of its operators") != NULL;
    const struct onnx_row *other = NULL;
    const char *full = *domain ? arena_printf(call->graph->arena, "%s.%s", domain, name) : name;
    const struct onnx_row *row = find_row(full, call->version, &other);
    enum op op;
    if (row) {
        if (!is_poisoned) call->out[0] = build_row(call, row);
    } else if (!*domain && !other && op_from_onnx(name, &op) && op_row(op)->kind == OP_MAP) {
        if (!is_poisoned) call->out[0] = build_map(call, op);
    } else if (other) {
        return onnx_refuse(call, "supported from opset %d%s only", other->since,
                           other->until ? arena_printf(call->graph->arena, " to %d", other->until) : ""),
               false;
    } else {
        return onnx_refuse(call,
                           *domain ? "no operator of domain \"%s\" is known by this name"
                                   : "the operator is not implemented",
                           domain),
               false;
    }
    narrow_hand_on(call);
    return !is_poisoned && call->out[0] != NULL;
}

static bool resolve_inputs(struct onnx_call *call, bool *is_poisoned)
{
    bool ok = true;
    for (int i = 0; i < call->n_in; i++) {
        const char *name = call->node->input[i];
        if (!name || !*name) continue;
        enum found found = scope_find(call->importer->scope, name, &call->in[i]);
        if (found == FOUND_NOTHING)
            ok = onnx_input_error(call, i, "nothing before this node gives \"%s\"", name) != NULL;
        if (found == FOUND_POISON) *is_poisoned = true;
        call->narrow_in[i] = scope_narrow(call->importer->scope, name);
    }
    if (!*is_poisoned && ok)
        while (call->n_in > 0 && !call->in[call->n_in - 1]) call->n_in--;
    return ok;
}

static bool bind_outputs(struct onnx_call *call, bool ok)
{
    for (int i = 0; i < call->n_out; i++) {
        const char *name = call->node->output[i];
        if (!name || !*name) continue;
        if (ok && !call->out[i]) ok = onnx_refuse(call, "its output %d is not supported", i) != NULL;
        if (!scope_bind(call->importer->scope, name, ok ? call->out[i] : NULL, call->narrow_out[i])) ok = false;
    }
    return ok;
}

static bool check_node(struct importer *importer, const Onnx__NodeProto *node)
{
    struct graph *graph = importer->scope->graph;
    if (++importer->n_nodes > ONNX_NODES_MOST)
        return diag_error(graph->diag, graph->place, "more than %d nodes (functions and loops count as often as used)",
                          ONNX_NODES_MOST);
    if (node->n_attribute > ONNX_ATTRIBUTES_MOST)
        return diag_error(graph->diag, graph->place, "%zu attributes; at most %d are taken", node->n_attribute,
                          ONNX_ATTRIBUTES_MOST);
    for (size_t i = 1; i < node->n_attribute; i++)
        for (size_t k = 0; k < i; k++)
            if (node->attribute[i]->name && node->attribute[k]->name &&
                !strcmp(node->attribute[i]->name, node->attribute[k]->name))
                return diag_error(graph->diag, graph->place, "attribute \"%s\" is given twice", node->attribute[i]->name);
    return true;
}

static bool import_node(struct importer *importer, size_t index, const Onnx__NodeProto *node)
{
    struct scope *scope = importer->scope;
    struct graph *graph = scope->graph;
    struct place before = graph->place;
    const char *name = node->name && *node->name           ? node->name
                       : node->n_output && node->output[0] ? node->output[0]
                                                           : "";
    graph->place.path = arena_printf(graph->session, "%snode %zu \"%.500s\" (%.100s)", scope->path, index, name,
                                     node->op_type ? node->op_type : "");
    bool ok = check_node(importer, node), is_poisoned = false;
    if (ok && !node->op_type) ok = diag_error(graph->diag, graph->place, "the node has no operator");
    if (ok) {
        struct onnx_call call = {
            importer, graph, node, opset_version(scope, node_domain(node)), (int)node->n_input, (int)node->n_output,
            NULL,     NULL,  NULL, NULL};
        call.in = NEW_ARRAY(graph->arena, struct value *, node->n_input + 16);
        call.out = NEW_ARRAY(graph->arena, struct value *, node->n_output + 16);
        call.narrow_in = NEW_ARRAY(graph->arena, const struct narrow *, node->n_input + 16);
        call.narrow_out = NEW_ARRAY(graph->arena, const struct narrow *, node->n_output + 16);
        if (!resolve_inputs(&call, &is_poisoned)) is_poisoned = true, ok = false;
        int errors = diag_errors(graph->diag);
        bool is_built = build_node(&call, is_poisoned) && errors == diag_errors(graph->diag);
        if (!is_built && !is_poisoned && !importer->is_restarting && errors == diag_errors(graph->diag))
            onnx_refuse(&call, "it could not be expressed");
        ok = bind_outputs(&call, ok && is_built) && ok && is_built;
    }
    graph->place = before;
    return ok;
}

bool onnx_import_nodes(struct importer *importer, size_t n, Onnx__NodeProto *const *nodes)
{
    bool ok = true;
    for (size_t i = 0; i < n; i++) {
        if (!import_node(importer, i, nodes[i])) ok = false;
        if (importer->is_restarting) return false;
        if (!ok && (diag_full(importer->scope->graph->diag) || importer->n_nodes > ONNX_NODES_MOST)) break;
    }
    return ok;
}

bool onnx_import_initializers(struct importer *importer, const Onnx__GraphProto *proto)
{
    struct scope *scope = importer->scope;
    bool ok = true;
    if (proto->n_sparse_initializer)
        ok = diag_error(scope->graph->diag, scope->graph->place, "sparse initializers are not supported");
    for (size_t i = 0; i < proto->n_initializer; i++) {
        struct tensor *tensor = NEW(scope->graph->session, struct tensor);
        const char *name = proto->initializer[i]->name ? proto->initializer[i]->name : "";
        bool is_good = onnx_tensor(&importer->source, proto->initializer[i], tensor);
        struct entry *entry = table_add(&scope->table, name);
        if (!entry)
            is_good = diag_error(scope->graph->diag, scope->graph->place, "the name \"%s\" is given twice", name);
        else if (is_good) entry->tensor = tensor, entry->narrow = onnx_narrow(proto->initializer[i]->data_type);
        if (!is_good) ok = false;
    }
    return ok;
}

/* A dim_param that names something: "?" and the like, which some exporters write for every unknown dimension, do not.
 */
static bool is_name(const char *s)
{
    for (; s && *s; s++)
        if ((*s >= '0' && *s <= '9') || (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || *s & 0x80) return true;
    return false;
}

/* The dim of axis i of an input: a number, a symbol shared by name, or a symbol of its own (INPUT_dN). A pin may use
 * either name. */
static bool input_dim(struct importer *importer, const char *input, const Onnx__TensorShapeProto__Dimension *proto,
                      int i, dim *result)
{
    struct graph *graph = importer->scope->graph;
    bool is_value = proto->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
    bool is_named =
        proto->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM && is_name(proto->dim_param);
    if (is_value && proto->dim_value >= 0) {
        *result = proto->dim_value;
        return proto->dim_value <= ELEMENTS_MOST ||
               diag_error(graph->diag, graph->place, "input \"%s\": dimension %d is %lld", input, i,
                          (long long)proto->dim_value);
    }
    if (is_value && proto->dim_value < -1)
        return diag_error(graph->diag, graph->place, "input \"%s\": dimension %d is %lld", input, i,
                          (long long)proto->dim_value);
    const char *position = arena_printf(graph->session, "%s_d%d", input, i);
    const char *name = is_named ? proto->dim_param : position;
    const char *identifier = text_identifier(graph->session, name);
    for (int k = 0; k < importer->options->n_pins; k++) {
        const struct dim_pin *pin = &importer->options->pins[k];
        if (strcmp(pin->name, name) && strcmp(pin->name, identifier) && strcmp(pin->name, position)) continue;
        *result = pin->size;
        return pin->size >= 0 ||
               diag_error(graph->diag, graph->place, "dimension \"%s\" cannot be %lld", name, (long long)pin->size);
    }
    *result = dim_symbol(graph->dims, identifier, 1, (int64_t)1 << 20);
    for (int k = 0; k < importer->facts->n; k++) {
        int64_t m = importer->facts->at[k].multiple;
        if (m == 1 || strcmp(importer->facts->at[k].symbol, identifier)) continue;
        *result = dim_mul(graph->dims, dim_div(graph->dims, *result, m), m); /* so that halves are whole */
    }
    return true;
}

static bool input_type(struct importer *importer, const Onnx__ValueInfoProto *info, struct type *type)
{
    struct graph *graph = importer->scope->graph;
    const char *name = info->name ? info->name : "", *type_name = "";
    if (!info->type || info->type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE)
        return diag_error(graph->diag, graph->place, "input \"%s\": sequences, optionals and maps are not supported",
                          name);
    const Onnx__TypeProto__Tensor *tensor = info->type->tensor_type;
    const struct narrow *narrow;
    if (!onnx_element(tensor->elem_type, &type->dt, &narrow, &type_name))
        return diag_error(graph->diag, graph->place, "input \"%s\": element type %s is not supported", name, type_name);
    if (!tensor->shape) return diag_error(graph->diag, graph->place, "input \"%s\": its rank is not known", name);
    if (tensor->shape->n_dim > RANK_MOST)
        return diag_error(graph->diag, graph->place, "input \"%s\": rank %zu, at most %d", name, tensor->shape->n_dim,
                          RANK_MOST);
    type->rank = (int)tensor->shape->n_dim;
    for (int i = 0; i < type->rank; i++)
        if (!input_dim(importer, name, tensor->shape->dim[i], i, &type->dim[i])) return false;
    if (type_is_static(type) && type_count(type) < 0)
        return diag_error(graph->diag, graph->place, "input \"%s\": more than 2^40 elements", name);
    return true;
}

static bool import_inputs(struct importer *importer, const Onnx__GraphProto *proto)
{
    struct scope *scope = importer->scope;
    bool ok = true;
    for (size_t i = 0; i < proto->n_input; i++) {
        const char *name = proto->input[i]->name ? proto->input[i]->name : "";
        const Onnx__TypeProto *of = proto->input[i]->type;
        bool is_tensor = of && of->value_case == ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
        struct value *value = NULL;
        struct type type = {0};
        if (!*name) ok = diag_error(scope->graph->diag, scope->graph->place, "input %zu has no name", i);
        if (table_find(&scope->table, name) && i < proto->n_initializer + proto->n_input) {
            bool is_weight = table_find(&scope->table, name)->tensor != NULL;
            if (is_weight) continue; /* an input with a default: the default is what it is here */
        }
        for (int k = 0; k < importer->options->n_constants; k++)
            if (!strcmp(importer->options->constants[k].name, name))
                value = graph_const(scope->graph, importer->options->constants[k].tensor);
        if (!value && input_type(importer, proto->input[i], &type)) value = graph_input(scope->graph, name, &type);
        if (!scope_bind(scope, name, value, is_tensor ? onnx_narrow(of->tensor_type->elem_type) : NULL) || !value) ok = false;
    }
    return ok;
}

static bool import_outputs(struct importer *importer, const Onnx__GraphProto *proto)
{
    struct graph *graph = importer->scope->graph;
    bool ok = true;
    if (!proto->n_output) return diag_error(graph->diag, graph->place, "the model has no outputs");
    for (size_t i = 0; i < proto->n_output; i++) {
        const char *name = proto->output[i]->name ? proto->output[i]->name : "";
        struct value *value;
        enum found found = scope_find(importer->scope, name, &value);
        if (found == FOUND_NOTHING) ok = diag_error(graph->diag, graph->place, "no node gives the output \"%s\"", name);
        else if (!value) ok = false;
        else graph_output(graph, name, value);
    }
    return ok;
}

static bool check_model(struct importer *importer, struct graph *graph)
{
    const Onnx__ModelProto *model = importer->model;
    if (!model->graph) return diag_error(graph->diag, graph->place, "the file holds no graph");
    if (model->n_functions > ONNX_FUNCTIONS_MOST)
        return diag_error(graph->diag, graph->place, "%zu functions; at most %d are taken", model->n_functions,
                          ONNX_FUNCTIONS_MOST);
    if (!model->n_opset_import) return diag_error(graph->diag, graph->place, "the model does not name its opset");
    int version = opset_version(importer->scope, "");
    if (version && (version < ONNX_OPSET_LEAST || version > ONNX_OPSET_MOST))
        return diag_error(graph->diag, graph->place, "opset %d is not supported; %d to %d are", version,
                          ONNX_OPSET_LEAST, ONNX_OPSET_MOST);
    for (size_t i = 0; i < model->n_functions; i++) {
        const Onnx__FunctionProto *f = model->functions[i];
        const char *domain = !f->domain || !strcmp(f->domain, "ai.onnx") ? "" : f->domain;
        const char *key =
            arena_printf(graph->session, "%s:%s:%s", domain, f->name ? f->name : "", f->overload ? f->overload : "");
        struct entry *entry = table_add(&importer->functions, key);
        if (!entry) return diag_error(graph->diag, graph->place, "the function \"%s\" is defined twice", key);
        entry->item = f;
    }
    return true;
}

static bool import_once(struct importer *importer, struct graph *graph)
{
    const Onnx__ModelProto *model = importer->model;
    importer->scope = NULL;
    importer->functions = (struct table){.arena = graph->session};
    importer->scope = scope_open(importer, graph, false);
    importer->scope->n_opsets = model->n_opset_import;
    importer->scope->opsets = model->opset_import;
    if (!check_model(importer, graph)) return false;
    bool ok = onnx_import_initializers(importer, model->graph);
    ok = import_inputs(importer, model->graph) && ok;
    ok = onnx_import_nodes(importer, model->graph->n_node, model->graph->node) && ok;
    return !importer->is_restarting && import_outputs(importer, model->graph) && ok;
}

/* Imports; again from the start where building told something about a dynamic dimension that its beginning has to
 * know (onnx_assume.c). */
static bool import_model(struct graph *graph, const Onnx__ModelProto *model, const struct onnx_options *options)
{
    enum { ATTEMPTS_MOST = 16 };
    struct onnx_facts facts = {0};
    for (int attempt = 1;; attempt++) {
        struct graph *fresh = graph_like(graph, graph->arena, graph->name);
        struct importer importer = {
            .options = options, .model = model, .facts = &facts, .errors = diag_errors(graph->diag)};
        importer.source = (struct onnx_source){graph->session, graph->diag, graph->place, options->folder};
        if (attempt == ATTEMPTS_MOST) importer.errors = -1; /* no further attempt: what does not fit is an error */
        bool ok = import_once(&importer, fresh);
        if (importer.is_restarting) continue;
        *graph = *fresh;
        return ok;
    }
}

static const struct onnx_options no_options;

static const Onnx__ModelProto *decode_model(struct graph *graph, const void *bytes, size_t n_bytes)
{
    return onnx_decode(graph->diag, graph->place, graph->session, &onnx__model_proto__descriptor, bytes, n_bytes);
}

bool onnx_read_bytes(struct graph *graph, const void *bytes, size_t n_bytes, const struct onnx_options *options)
{
    struct source *source = NEW(graph->session, struct source);
    source->name = "model";
    graph->place = (struct place){.source = source};
    const Onnx__ModelProto *model = decode_model(graph, bytes, n_bytes);
    bool ok = model && import_model(graph, model, options ? options : &no_options);
    graph->place = (struct place){0};
    return ok;
}

bool onnx_read(struct graph *graph, const char *path, const struct onnx_options *options)
{
    struct onnx_options own = options ? *options : no_options;
    struct source *source = NEW(graph->session, struct source);
    struct file_bytes bytes;
    const Onnx__ModelProto *model = NULL;
    const char *slash = strrchr(path, '/');
    source->name = arena_strdup(graph->session, path);
    graph->place = (struct place){.source = source};
    if (!own.folder) own.folder = slash ? arena_strndup(graph->session, path, (size_t)(slash - path) + 1) : ".";
    if (file_map(graph->diag, graph->place, path, &bytes)) {
        model = decode_model(graph, bytes.at, bytes.n);
        file_unmap(bytes); /* decoding copied what stays: the file's pages need not stay as well */
    }
    bool ok = model && import_model(graph, model, &own);
    graph->place = (struct place){0};
    return ok;
}
