/* Random inputs, answers of the interpreters, comparison. See trial.h. */
#include "trial.h"

#include <math.h>
#include <string.h>

/* splitmix64 (Steele, Lea, Flood 2014): a value per counter, so any element can be computed by itself. */
static uint64_t mix(uint64_t z)
{
    z += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void put(enum dtype dt, void *data, int64_t i, uint64_t bits)
{
    /* Floats uniform in [-1, 1); integers 0..3, small enough to be indices of most tables. */
    double v = (double)(int64_t)(bits >> 11) * 0x1p-52 - 1;
    uint8_t small = (uint8_t)(bits >> 62);
    switch (dt) {
    case DT_f64:
        ((double *)data)[i] = v;
        break;
    case DT_f32:
        ((float *)data)[i] = (float)v;
        break;
    case DT_f16:
        ((uint16_t *)data)[i] = f16_from_float((float)v);
        break;
    case DT_bf16:
        ((uint16_t *)data)[i] = bf16_from_float((float)v);
        break;
    case DT_i8:
    case DT_u8:
        ((uint8_t *)data)[i] = small;
        break;
    case DT_i16:
    case DT_u16:
        ((uint16_t *)data)[i] = small;
        break;
    case DT_i32:
    case DT_u32:
        ((uint32_t *)data)[i] = small;
        break;
    case DT_i64:
    case DT_u64:
    case DT_index:
        ((uint64_t *)data)[i] = small;
        break;
    case DT_bool:
        ((uint8_t *)data)[i] = (uint8_t)(bits >> 63);
        break;
    case DT_COUNT:
        break;
    }
}

void trial_fill(const struct type *type, uint64_t seed, int position, void *data)
{
    uint64_t base = mix(mix(seed) + (uint64_t)position);
    int64_t n = type_count(type);
    for (int64_t i = 0; i < n; i++) put(type->dt, data, i, mix(base + (uint64_t)i));
}

const int64_t *trial_symbols(const struct dims *dims, struct arena *arena)
{
    int n = dims_n_symbols(dims);
    int64_t *values = NEW_ARRAY(arena, int64_t, n + 1);
    for (int i = 0; i < n; i++) { /* different sizes, so that mixed-up dimensions show */
        const struct symbol *symbol = dims_symbol(dims, i);
        int64_t v = 3 + i % 4;
        if (v < symbol->lo) v = symbol->lo;
        if (v > symbol->hi) v = symbol->hi;
        values[i] = v;
    }
    return values;
}

static int unit_inputs(const struct unit *unit)
{
    return unit->graph ? unit->graph->inputs.n : unit->prog->inputs.n;
}

static const struct type *unit_input(const struct unit *unit, int i)
{
    return unit->graph ? &unit->graph->inputs.at[i]->type : &unit->prog->inputs.at[i]->type;
}

bool trial_make(const struct unit *unit, uint64_t seed, const int64_t *symbols, struct arena *arena,
                struct trial *trial, struct diag *diag)
{
    struct dims *dims = unit_dims(unit);
    trial->symbols = symbols ? symbols : trial_symbols(dims, arena);
    trial->quantized = false;
    for (int i = 0; unit->graph && i < unit->graph->nodes.n; i++) trial->quantized |= unit->graph->nodes.at[i]->op == OP_quantize;
    trial->n_in = unit_inputs(unit);
    trial->n_out = unit->graph ? unit->graph->outputs.n : unit->prog->outputs.n;
    trial->in = NEW_ARRAY(arena, struct tensor, trial->n_in + 1);
    for (int i = 0; i < trial->n_in; i++) {
        struct tensor *tensor = &trial->in[i];
        tensor->type = *unit_input(unit, i);
        for (int k = 0; k < tensor->type.rank; k++)
            tensor->type.dim[k] = dim_eval(dims, tensor->type.dim[k], trial->symbols);
        int64_t n = type_count(&tensor->type);
        if (n < 0 || !size_mul(n, dtype_bytes(tensor->type.dt), &tensor->n_bytes) || tensor->n_bytes > (int64_t)1 << 33)
            return diag_error(diag, (struct place){0}, "input %d is too large for a trial: %s", i,
                              type_string(dims, arena, &tensor->type));
        void *data = arena_alloc(arena, (size_t)tensor->n_bytes + 1);
        trial_fill(&tensor->type, seed, i, data);
        tensor->data = data;
    }
    return true;
}

struct tensor *trial_eval(const struct unit *unit, const struct trial *trial, struct arena *arena, const struct pass_options *options,
                          struct diag *diag)
{
    struct tensor *out = NEW_ARRAY(arena, struct tensor, trial->n_out + 1);
    const struct graph *graph = unit->graph && options ? pass_compose(unit->graph, arena, options) : unit->graph;
    if (unit->graph && !graph) return NULL;
    bool ok = unit->graph ? graph_eval(graph, trial->in, trial->symbols, arena, out)
                          : prog_eval(unit->prog, trial->in, trial->symbols, arena, out, diag);
    return ok ? out : NULL;
}

/* Note: tolerance
 *
 * A pass may change the order of a sum and replace a function by a polynomial within 4 units in the last place. A
 * sum of n terms in f32 in another order differs by up to n*2^-24 of the sum of magnitudes, in practice by its square
 * root; layers compose. 1e-4 + 1e-3*|reference| is the bound that whole models are held to against ONNX Runtime.
 * f64 uses the same form 2^-20 smaller; 16-bit floats are rounded to 8 (bf16) or 11 bits at every stored value, so
 * one value that falls on the other side of a rounding moves by 2^-8 or 2^-11 of itself, and by that again per layer.
 */
void trial_tolerance(enum dtype dt, double *absolute, double *relative)
{
    *absolute = dt == DT_f64 ? 1e-10 : dt == DT_f16 ? 4e-3 : dt == DT_bf16 ? 3e-2 : dt == DT_f32 ? 1e-4 : 0;
    *relative = dt == DT_f64 ? 1e-9 : dt == DT_f16 ? 8e-3 : dt == DT_bf16 ? 5e-2 : dt == DT_f32 ? 1e-3 : 0;
}

double tensor_number(const struct tensor *tensor, int64_t i)
{
    const void *data = tensor->data;
    switch (tensor->type.dt) {
    case DT_f64:
        return ((const double *)data)[i];
    case DT_f32:
        return (double)((const float *)data)[i];
    case DT_f16:
        return (double)f16_to_float(((const uint16_t *)data)[i]);
    case DT_bf16:
        return (double)bf16_to_float(((const uint16_t *)data)[i]);
    case DT_i8:
        return ((const int8_t *)data)[i];
    case DT_u8:
        return ((const uint8_t *)data)[i];
    case DT_i16:
        return ((const int16_t *)data)[i];
    case DT_u16:
        return ((const uint16_t *)data)[i];
    case DT_i32:
        return ((const int32_t *)data)[i];
    case DT_u32:
        return ((const uint32_t *)data)[i];
    case DT_i64:
    case DT_index:
        return (double)((const int64_t *)data)[i];
    case DT_u64:
        return (double)((const uint64_t *)data)[i];
    case DT_bool:
        return ((const uint8_t *)data)[i];
    case DT_COUNT:
        break;
    }
    return 0;
}

static bool element_agrees(const struct tensor *got, const struct tensor *expected, int64_t i, double *apart)
{
    double a = tensor_number(got, i), b = tensor_number(expected, i), absolute, relative;
    *apart = 0;
    if (isnan(a) || isnan(b)) {
        *apart = isnan(a) && isnan(b) ? 0 : (double)INFINITY;
        return isnan(a) && isnan(b);
    }
    if (!dtype_is_float(expected->type.dt)) { /* exact: 64-bit integers do not fit a double */
        size_t n_bytes = (size_t)dtype_bytes(expected->type.dt);
        *apart = fabs(a - b);
        return !memcmp((const char *)got->data + (size_t)i * n_bytes,
                       (const char *)expected->data + (size_t)i * n_bytes, n_bytes);
    }
    if (isinf(a) || isinf(b)) {
        *apart = a < b || b < a ? (double)INFINITY : 0;
        return *apart <= 0;
    }
    trial_tolerance(expected->type.dt, &absolute, &relative);
    *apart = fabs(a - b);
    return *apart <= absolute + relative * fabs(b);
}

bool tensor_compare(const struct tensor *got, const struct tensor *expected, struct difference *difference)
{
    *difference = (struct difference){0};
    if (!type_equal(&got->type, &expected->type)) {
        difference->n = -1;
        return false;
    }
    int64_t n = type_count(&expected->type);
    double worst_bad = -1;
    for (int64_t i = 0; i < n; i++) {
        double apart;
        bool agrees = element_agrees(got, expected, i, &apart);
        if (apart > difference->worst) difference->worst = apart;
        if (agrees) continue;
        difference->n++;
        if (apart > worst_bad) {
            worst_bad = apart;
            difference->at = i;
            difference->got = tensor_number(got, i);
            difference->expected = tensor_number(expected, i);
        }
    }
    return difference->n == 0;
}

/* Note: steps
 *
 * A quantized value is a number rounded to one of 256 steps. A sum that another order moves by its last place, or that
 * integers compute exactly, may fall on the other side of a rounding: a whole step, which later layers multiply and
 * round again. So no bound by element holds; the vectors' distance has to be a small part of their length.
 */
#define QUANTIZED_DISTANCE 0.05

bool trial_agrees(const struct trial *trial, const struct tensor *got, const struct tensor *expected, struct difference *difference)
{
    double distance = 0, length = 0;
    if (tensor_compare(got, expected, difference)) return true;
    if (!trial->quantized || difference->n < 0) return false;
    for (int64_t i = 0; i < type_count(&expected->type); i++) {
        double a = tensor_number(got, i), b = tensor_number(expected, i);
        distance += (a - b) * (a - b);
        length += b * b;
    }
    return distance <= QUANTIZED_DISTANCE * QUANTIZED_DISTANCE * length;
}
