/* What a row's function asks of its call: messages, attributes, inputs known at compile time, axes.
 *
 * An attribute inside a function's body may refer to one of the calling node: find_attribute follows such references
 * through any depth of inlining.
 */
#include "onnx_scope.h"

#include <stdarg.h>
#include <string.h>

struct value *onnx_error(struct onnx_call *call, const char *format, ...)
{
    va_list args;
    char words[1024];
    va_start(args, format);
    vsnprintf(words, sizeof words, format, args);
    va_end(args);
    diag_error(call->graph->diag, call->graph->place, "%s", words);
    return NULL;
}

struct value *onnx_refuse(struct onnx_call *call, const char *format, ...)
{
    va_list args;
    char words[1024];
    va_start(args, format);
    vsnprintf(words, sizeof words, format, args);
    va_end(args);
    diag_error(call->graph->diag, call->graph->place, "not supported (%s, opset %d): %s", call->node->op_type,
               call->version, words);
    return NULL;
}

struct value *onnx_input_error(struct onnx_call *call, int input, const char *format, ...)
{
    va_list args;
    char words[1024];
    struct place place = call->graph->place;
    va_start(args, format);
    vsnprintf(words, sizeof words, format, args);
    va_end(args);
    place.path = arena_printf(call->graph->arena, "%s input %d", place.path, input);
    diag_error(call->graph->diag, place, "%s", words);
    return NULL;
}

/* The inputs that value is computed from, into options->wanted. */
static void note_wanted(struct onnx_call *call, const struct value *value)
{
    struct onnx_names *wanted = call->importer->options->wanted;
    LIST(const struct value *) work = {0};
    struct arena *scratch = call->graph->arena;
    bool *seen = NEW_ARRAY(scratch, bool, call->graph->next_value + 1);
    LIST_PUSH(scratch, &work, value);
    while (work.n) {
        const struct value *at = work.at[--work.n];
        if (seen[at->id]) continue;
        seen[at->id] = true;
        if (at->node->op == OP_input && at->name) LIST_PUSH(call->graph->session, wanted, at->name);
        for (int i = 0; i < at->node->n_in; i++) LIST_PUSH(scratch, &work, at->node->in[i]);
    }
}

struct value *onnx_must_know(struct onnx_call *call, int i, const char *what)
{
    if (call->importer->options->wanted && call->in[i]) note_wanted(call, call->in[i]);
    return onnx_refuse(call, "%s (input %d, \"%s\") must be known when compiling", what, i, call->node->input[i]);
}

static const Onnx__AttributeProto *own_attribute(size_t n, Onnx__AttributeProto *const *list, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (list[i]->name && !strcmp(list[i]->name, name)) return list[i];
    return NULL;
}

static const Onnx__AttributeProto *find_attribute(const struct onnx_call *call, const char *name)
{
    const struct onnx_call *at = call;
    const struct scope *scope = call->importer->scope;
    for (;;) {
        const Onnx__AttributeProto *found = own_attribute(at->node->n_attribute, at->node->attribute, name);
        if (!found || !found->ref_attr_name || !*found->ref_attr_name) return found;
        if (!scope->caller) return NULL;
        const Onnx__FunctionProto *function = scope->function;
        name = found->ref_attr_name;
        at = scope->caller;
        if (!own_attribute(at->node->n_attribute, at->node->attribute, name))
            return own_attribute(function->n_attribute_proto, function->attribute_proto, name);
        scope = scope->caller_scope;
    }
}

static const char *attribute_kind(Onnx__AttributeProto__AttributeType type)
{
    static const char *const kinds[] = {"nothing", "a float", "an int", "a string", "a tensor", "a graph", "floats", "ints",
                                        "strings", "tensors", "graphs", "a sparse tensor", "sparse tensors", "a type", "types"};
    size_t i = (size_t)type;
    return i < sizeof kinds / sizeof *kinds ? kinds[i] : "of unknown kind";
}

/* The attribute where it is of this type; NULL where it is absent, or after a message. Files of before the field `type`
 * leave it out, so that it is then what it holds. */
static const Onnx__AttributeProto *typed_attribute(struct onnx_call *call, const char *name,
                                                   Onnx__AttributeProto__AttributeType type)
{
    const Onnx__AttributeProto *a = find_attribute(call, name);
    if (!a || a->type == type || a->type == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__UNDEFINED) return a;
    onnx_error(call, "attribute \"%s\" is %s; %s is expected", name, attribute_kind(a->type), attribute_kind(type));
    return NULL;
}
#define TYPED(call, name, type) typed_attribute(call, name, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__##type)

bool onnx_has(struct onnx_call *call, const char *name)
{
    return find_attribute(call, name) != NULL;
}

int64_t onnx_int(struct onnx_call *call, const char *name, int64_t otherwise)
{
    const Onnx__AttributeProto *a = TYPED(call, name, INT);
    if (!a || !(a->has_i || a->type)) return otherwise; /* some writers leave zeros out */
    return a->i > DIM_HUGE ? DIM_HUGE : a->i < -DIM_HUGE ? -DIM_HUGE : a->i;
}

double onnx_float(struct onnx_call *call, const char *name, double otherwise)
{
    const Onnx__AttributeProto *a = TYPED(call, name, FLOAT);
    return a && (a->has_f || a->type) ? (double)a->f : otherwise;
}

const char *onnx_string(struct onnx_call *call, const char *name, const char *otherwise)
{
    const Onnx__AttributeProto *a = TYPED(call, name, STRING);
    return a && a->has_s ? arena_strndup(call->graph->session, (const char *)a->s.data, a->s.len) : otherwise;
}

/* Numbers of a file as dims: none may look like the handle of a symbolic one. */
static const int64_t *clamp_list(struct onnx_call *call, int64_t n, const int64_t *list)
{
    int64_t *copy = arena_copy(call->graph->arena, list, (size_t)n * sizeof *list);
    for (int64_t i = 0; i < n; i++) copy[i] = copy[i] > DIM_HUGE ? DIM_HUGE : copy[i] < -DIM_HUGE ? -DIM_HUGE : copy[i];
    return copy;
}

int onnx_raw_ints(struct onnx_call *call, const char *name, const int64_t **list)
{
    const Onnx__AttributeProto *a = find_attribute(call, name);
    *list = a && a->has_i ? &a->i : a ? a->ints : NULL;
    return !a || a->n_ints > INT32_MAX ? -1 : a->has_i ? 1 : (int)a->n_ints;
}

int onnx_ints(struct onnx_call *call, const char *name, const int64_t **list)
{
    const Onnx__AttributeProto *a = TYPED(call, name, INTS);
    *list = NULL;
    if (!a || a->n_ints > INT32_MAX) return -1;
    *list = clamp_list(call, (int64_t)a->n_ints, a->ints);
    return (int)a->n_ints;
}

int onnx_floats(struct onnx_call *call, const char *name, const float **list)
{
    const Onnx__AttributeProto *a = TYPED(call, name, FLOATS);
    *list = a ? a->floats : NULL;
    if (!a || a->n_floats > INT32_MAX) return -1;
    return (int)a->n_floats;
}

int onnx_strings(struct onnx_call *call, const char *name, const char *const **list)
{
    const Onnx__AttributeProto *a = TYPED(call, name, STRINGS);
    if (!a || a->n_strings > INT32_MAX) return -1;
    const char **words = NEW_ARRAY(call->graph->arena, const char *, a->n_strings + 1);
    for (size_t i = 0; i < a->n_strings; i++)
        words[i] = arena_strndup(call->graph->arena, (const char *)a->strings[i].data, a->strings[i].len);
    *list = words;
    return (int)a->n_strings;
}

const Onnx__TensorProto *onnx_tensor_attribute(struct onnx_call *call, const char *name)
{
    const Onnx__AttributeProto *a = TYPED(call, name, TENSOR);
    return a ? a->t : NULL;
}

const Onnx__GraphProto *onnx_graph_attribute(struct onnx_call *call, const char *name)
{
    const Onnx__AttributeProto *a = TYPED(call, name, GRAPH);
    return a ? a->g : NULL;
}

int onnx_input_ints(struct onnx_call *call, int i, const char *what, const int64_t **list)
{
    *list = NULL;
    if (i >= call->n_in || !call->in[i]) return 0;
    int n = value_ints(call->graph, call->in[i], list);
    if (n < 0) onnx_must_know(call, i, what);
    else if (!value_const(call->in[i])->is_dims) *list = clamp_list(call, n, *list);
    return n;
}

int onnx_ints_or_input(struct onnx_call *call, const char *name, int i, const int64_t **list)
{
    int n = onnx_ints(call, name, list);
    return n >= 0 ? n : onnx_input_ints(call, i, name, list);
}

bool onnx_axis(struct onnx_call *call, int64_t axis, int rank, int *result)
{
    if (axis < -rank || axis >= rank) {
        onnx_error(call, "axis %lld of a tensor of rank %d", (long long)axis, rank);
        return false;
    }
    *result = (int)(axis < 0 ? axis + rank : axis);
    return true;
}

const int64_t *onnx_axes(struct onnx_call *call, int n, const int64_t *axes, int rank)
{
    int64_t *result = NEW_ARRAY(call->graph->arena, int64_t, n + 1);
    unsigned seen = 0;
    for (int i = 0; i < n; i++) {
        int axis;
        if (!onnx_axis(call, axes[i], rank, &axis)) return NULL;
        if (seen & 1u << axis) return onnx_error(call, "axis %d stands twice", axis), NULL;
        seen |= 1u << axis;
        result[i] = axis;
    }
    return result;
}
