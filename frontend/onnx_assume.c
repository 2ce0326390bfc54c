/* What a model silently demands of its dynamic dimensions.
 *
 * A node such as Squeeze of a dynamic axis makes sense only for some sizes. Where the extent in question depends on
 * one symbol and does not fall as the symbol grows (as extents after strides, pads and pools do), the sizes for which
 * it is 1 are one interval, found by bisection; the symbol's declared range is narrowed to it, so that a compiled
 * model refuses other sizes instead of answering wrongly.
 */
#include "onnx_scope.h"

#include <string.h>

/* The least value of the symbol from which on d is at least `least`, hi + 1 where there is none. */
static int64_t first_reaching(const struct dims *dims, dim d, int symbol, int64_t least, int64_t *values)
{
    int64_t lo = dims_symbol(dims, symbol)->lo, hi = dims_symbol(dims, symbol)->hi + 1;
    while (lo < hi) {
        int64_t middle = lo + (hi - lo) / 2;
        values[symbol] = middle;
        if (dim_eval(dims, d, values) >= least) hi = middle;
        else lo = middle + 1;
    }
    return lo;
}

/* The fact about a symbol, made where new. */
static struct onnx_fact *fact_of(struct onnx_call *call, const char *symbol)
{
    struct onnx_facts *facts = call->importer->facts;
    for (int i = 0; i < facts->n; i++)
        if (!strcmp(facts->at[i].symbol, symbol)) return &facts->at[i];
    struct onnx_fact fact = {arena_strdup(call->graph->session, symbol), 1, DIM_HUGE, 1};
    LIST_PUSH(call->graph->session, facts, fact);
    return &facts->at[facts->n - 1];
}

/* Only what the whole graph demands narrows a dimension, and not where something else is wrong already. */
static bool may_restart(const struct onnx_call *call)
{
    return call->importer->subgraph_depth == 0 && diag_errors(call->graph->diag) == call->importer->errors;
}

static bool narrow(struct onnx_call *call, int symbol, dim extent, const char *what)
{
    struct graph *graph = call->graph;
    int n = dims_n_symbols(graph->dims);
    int64_t *values = NEW_ARRAY(graph->arena, int64_t, n);
    for (int i = 0; i < n; i++) values[i] = dims_symbol(graph->dims, i)->lo;
    int64_t from = first_reaching(graph->dims, extent, symbol, 1, values);
    int64_t to = first_reaching(graph->dims, extent, symbol, 2, values) - 1;
    values[symbol] = from;
    bool fits = from <= to && dim_eval(graph->dims, extent, values) == 1;
    values[symbol] = to;
    if (!fits || dim_eval(graph->dims, extent, values) != 1) return onnx_error(call, "%s is never 1", what), false;
    const struct symbol *s = dims_symbol(graph->dims, symbol);
    if (!may_restart(call)) {
        diag_warning(graph->diag, graph->place, "%s must be 1: it is where \"%s\" lies in %lld..%lld, and not checked",
                     what, s->name, (long long)from, (long long)to);
        return true;
    }
    diag_warning(graph->diag, graph->place, "%s must be 1: \"%s\" has to lie in %lld..%lld", what, s->name,
                 (long long)from, (long long)to);
    struct onnx_fact *fact = fact_of(call, s->name);
    if (from > fact->lo) fact->lo = from;
    if (to < fact->hi) fact->hi = to;
    dim_symbol(graph->dims, s->name, from, to);
    call->importer->is_restarting = true;
    return false;
}

bool onnx_assume_one(struct onnx_call *call, dim extent, const char *what)
{
    struct dims *dims = call->graph->dims;
    int symbol = dim_only_symbol(dims, extent);
    if (dim_lo(dims, extent) > 1 || dim_hi(dims, extent) < 1) return onnx_error(call, "%s is never 1", what), false;
    if (symbol >= 0) return narrow(call, symbol, extent, what);
    diag_warning(call->graph->diag, call->graph->place, "%s must be 1, and is not checked", what);
    return true;
}

/* Whether a and b agree at the first multiples of m within the symbol's range. */
static bool agree_at_multiples(const struct dims *dims, dim a, dim b, int symbol, int64_t m, int64_t *values)
{
    const struct symbol *s = dims_symbol(dims, symbol);
    int n = 0;
    for (int64_t v = (s->lo + m - 1) / m * m; n < 8 && v <= s->hi; v += m, n++) {
        values[symbol] = v;
        if (dim_eval(dims, a, values) != dim_eval(dims, b, values)) return false;
    }
    return n > 0;
}

bool onnx_assume_equal(struct onnx_call *call, dim a, dim b)
{
    struct graph *graph = call->graph;
    struct dims *dims = graph->dims;
    int symbol = dim_only_symbol(dims, a), other = dim_only_symbol(dims, b), n = dims_n_symbols(dims);
    if (a == b || symbol < 0 || symbol != other || !may_restart(call)) return false;
    int64_t *values = NEW_ARRAY(graph->arena, int64_t, n);
    for (int i = 0; i < n; i++) values[i] = dims_symbol(dims, i)->lo;
    const char *name = dims_symbol(dims, symbol)->name;
    struct onnx_fact *fact = fact_of(call, name);
    for (int64_t m = fact->multiple * 2; m <= 1024; m *= 2) {
        if (!agree_at_multiples(dims, a, b, symbol, m, values)) continue;
        diag_warning(graph->diag, graph->place, "sizes agree only where \"%s\" is a multiple of %lld", name,
                     (long long)m);
        fact->multiple = m;
        if (m > fact->lo) fact->lo = m;
        dim_symbol(dims, name, m, DIM_HUGE);
        call->importer->is_restarting = true;
        return true;
    }
    return false;
}

void onnx_assume_fit(struct onnx_call *call, int axis)
{
    for (int i = 1; i < call->n_in; i++)
        for (int k = 0; k < i; k++) {
            const struct value *x = call->in[k], *z = call->in[i];
            if (!x || !z || (axis >= 0 && x->type.rank != z->type.rank)) continue;
            for (int from_end = 1; from_end <= x->type.rank && from_end <= z->type.rank; from_end++) {
                dim a = x->type.dim[x->type.rank - from_end], b = z->type.dim[z->type.rank - from_end];
                if (axis >= 0 && x->type.rank - from_end == axis) continue;
                if (a != b && !dim_is_const(a) && !dim_is_const(b)) onnx_assume_equal(call, a, b);
            }
        }
}
