/* Pass fixed: what quantized models compute in floats between their integers becomes integers (--numeric=integer).
 *
 *     y = round(f32(sums)*(a*b/s))                      y = requantize_fixed(sums, m, n)        m*2^-n is about a*b/s
 *     q = u8(min(max(y, -z), 255 - z) + z)       ->     q = u8(min(max(y, -z), 255 - z) + z)
 *     r = quantize(dequantize(p) + dequantize(q))       both to a common, finer scale, added, scaled once
 *
 * Every float value is followed as integers and a scale (fixed.h), through what is linear, moves elements or picks some of
 * them; other functions are tables or small sums of tables (fixed_curves.c). An input that is only quantized becomes the
 * integers that it is quantized to; a float output becomes the integers that stand for it, and graph->scales say what they
 * mean. The result has no floats: what has no integer form is an error that names the layer. The new graph is a model of its
 * own, and what it computes is the same on every machine.
 * Needs: pass absorb, and composites. Multiplications by scales are those of TensorFlow Lite, rounded once. Follows: Jacob et
 * al., Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference (2018). */
#include "bytes.h"
#include "fixed.h"

#include <math.h>
#include <string.h>

static const char *name_of(const struct value *value)
{
    return value->name && *value->name ? value->name : op_row(value->node->op)->name;
}

static bool refuse(struct fixing *x, const struct node *node, const char *why)
{
    return diag_error(x->to->diag, node->place, "--numeric=integer: \"%s\" (%s) %s", name_of(node->out), op_row(node->op)->name, why);
}

static const struct fixed *known(const struct fixing *x, const struct value *old)
{
    const struct fixed *f = &x->fixed[old->id];
    return fixed_is_known(f) ? f : NULL;
}

/* Inputs and outputs */

static void scale_note(struct graph *to, bool output, int position, double scale, int64_t zero)
{
    struct scale_note note = {output, position, scale, zero};
    LIST_PUSH(to->session, &to->scales, note);
}

/* Whether all that reads the value quantizes it alike. */
static const struct node *only_quantize(const struct graph *graph, const bool *live, const struct value *value)
{
    const struct node *found = NULL;
    for (int i = 0; i < graph->nodes.n; i++) {
        const struct node *node = graph->nodes.at[i];
        for (int k = 0; live[i] && k < node->n_in; k++) {
            if (node->in[k] != value) continue;
            if (node->op != OP_quantize || k != 0 || (found && (found->in[1] != node->in[1] || found->in[2] != node->in[2]))) return NULL;
            found = node;
        }
    }
    for (int i = 0; i < graph->outputs.n; i++)
        if (graph->outputs.at[i] == value) return NULL;
    return found;
}

static bool input(struct fixing *x, const struct graph *graph, const bool *live, const struct node *node, int position)
{
    const struct node *quantize = only_quantize(graph, live, node->out);
    struct type type = node->out->type;
    double scale, zero;
    if (!quantize || !value_number(quantize->in[1], &scale) || !value_number(quantize->in[2], &zero))
        return refuse(x, node, "is an input of floats that is not only quantized, by one scale");
    type.dt = quantize->out->type.dt;
    struct value *q = graph_input(x->to, node->out->name, &type);
    if (!q) return false;
    x->map[node->out->id] = q;
    struct value *centred = graph_cast(x->to, q, DT_i32);
    centred = graph_binary(x->to, OP_sub, centred, graph_int(x->to, DT_i32, (int64_t)zero));
    struct fixed *f = &x->fixed[node->out->id];
    *f = fixed_of(x->to, centred, scale, dtype_int_min(type.dt) - (int64_t)zero, (int64_t)dtype_int_max(type.dt) - (int64_t)zero);
    f->raw = q, f->zero = (int64_t)zero;
    scale_note(x->to, false, position, scale, (int64_t)zero);
    return true;
}

/* Bytes where the value is known in bytes or ends in a softmax or the like, i32 otherwise. */
static struct value *output(struct fixing *x, const struct value *old, int position)
{
    const struct fixed *f = known(x, old);
    double scale, low;
    if (!f) return NULL;
    if (f->raw && !f->shift && fixed_number(f->scale, &scale)) {
        scale_note(x->to, true, position, scale, f->zero);
        return fixed_integer(x, old, scale, f->zero, f->raw->type.dt);
    }
    struct fixed single;
    if (!fixed_single(x, old, &single) || !fixed_number(single.scale, &scale)) return NULL;
    low = (double)single.least * scale;
    if (f->is_curve) {
        scale_note(x->to, true, position, low < 0 ? 0x1p-7 : 0x1p-8, 0);
        return fixed_integer(x, old, low < 0 ? 0x1p-7 : 0x1p-8, 0, low < 0 ? DT_i8 : DT_u8);
    }
    scale_note(x->to, true, position, scale, 0);
    return single.q;
}

/* From integers to known values and back */

/* The terms of a product's sums; unknown: 2^32. */
static int64_t terms_of(const struct node *node)
{
    const struct type *w = &node->in[1]->type;
    int64_t terms = 1;
    for (int i = 1; i < w->rank && node->op == OP_conv; i++) terms = dim_is_const(w->dim[i]) ? terms * w->dim[i] : (int64_t)1 << 32;
    if (node->op == OP_matmul) terms = w->dim[w->rank - 2];
    return dim_is_const(terms) ? terms : (int64_t)1 << 32;
}

struct range {
    int64_t least, most;
};

/* What the integers of a new value lie between: what pass absorb makes, of bytes and constants; otherwise all of their type. */
static struct range range_of(const struct value *value)
{
    const struct node *node = value->node;
    enum dtype dt = value->type.dt;
    struct range whole = {dt == DT_bool ? 0 : dtype_int_min(dt), dt == DT_bool ? 1 : (int64_t)dtype_int_max(dt)};
    const struct value *spread = value_before_spreading((struct value *)(uintptr_t)value);
    if (spread != value) return range_of(spread);
    if (value_const(value) && dt == DT_i32) {
        int64_t most = bytes_magnitude(value);
        return (struct range){-most, most};
    }
    if (node->op == OP_cast && dtype_is_int(node->in[0]->type.dt) && dtype_bytes(node->in[0]->type.dt) <= dtype_bytes(dt)) return range_of(node->in[0]);
    if (node->op != OP_add && node->op != OP_sub && node->op != OP_conv && node->op != OP_matmul) return whole;
    struct range a = range_of(node->in[0]), b = range_of(node->in[1]), sum = {a.least + b.least, a.most + b.most};
    if (node->op == OP_sub) sum = (struct range){a.least - b.most, a.most - b.least};
    double most = fixed_size(a.least, a.most) * fixed_size(b.least, b.most) * (double)terms_of(node);
    if (node->op == OP_conv || node->op == OP_matmul) sum = most < 0x1p31 ? (struct range){-(int64_t)most, (int64_t)most} : whole;
    return sum.least >= whole.least && sum.most <= whole.most ? sum : whole;
}

/* A cast from integers, or dequantize. */
static bool from_integers(struct fixing *x, const struct node *node, struct fixed *f)
{
    struct value *q = x->map[node->in[0]->id];
    enum dtype dt = q->type.dt;
    int64_t zero = 0;
    double number = 0, scale;
    if (dtype_bytes(dt) > 4 || dt == DT_u32) return refuse(x, node, "makes a float of an integer of more than 32 bits");
    if (node->op == OP_dequantize && !value_number(node->in[2], &number)) return refuse(x, node, "has several zero points");
    zero = (int64_t)number;
    struct range range = range_of(q);
    *f = fixed_of(x->to, graph_cast(x->to, q, DT_i32), 1, range.least - zero, range.most - zero);
    if (zero) f->q = graph_binary(x->to, OP_sub, f->q, graph_int(x->to, DT_i32, zero));
    if (node->op == OP_dequantize) f->scale = fixed_constant(x, node->in[1]);
    if (!f->scale) return refuse(x, node, "has a scale that is not constant");
    if (fixed_number(f->scale, &scale)) f->scale = graph_scalar(x->to, DT_f64, scale);
    if (dtype_bytes(dt) == 1 && dt != DT_bool) f->raw = q, f->zero = zero;
    return true;
}

/* A cast of whole numbers to integers, or quantize. */
static struct value *to_integers(struct fixing *x, const struct node *node)
{
    const struct fixed *f = known(x, node->in[0]);
    enum dtype dt = node->out->type.dt;
    double scale = 1, zero = 0;
    bool fits = dtype_is_int(dt) && dtype_bytes(dt) <= 4 && dt != DT_u32;
    if (!f) return refuse(x, node, "reads a float that no integer stands for"), NULL;
    if (node->op == OP_quantize && (!value_number(node->in[1], &scale) || !value_number(node->in[2], &zero)))
        return refuse(x, node, "has several scales, or they are not constant"), NULL;
    bool whole = f->q && fixed_number(f->scale, &scale) && scale == 1;
    if (!fits || (node->op == OP_cast && !whole)) return refuse(x, node, "cuts off what is behind the point"), NULL;
    if (node->op == OP_quantize) value_number(node->in[1], &scale);
    return fixed_integer(x, node->in[0], scale, (int64_t)zero, dt);
}

/* Lines */

/* Times a constant, or over it. */
static bool scaled(struct fixing *x, const struct value *old, struct value *by, bool divide, struct fixed *f)
{
    struct graph *to = x->to;
    double number;
    bool one = fixed_number(by, &number);
    if (!one || number <= 0 || x->fixed[old->id].move) {
        if (!fixed_settled(x, old, f)) return false;
    } else *f = x->fixed[old->id];
    enum op op = divide ? OP_div : OP_mul;
    f->scale = graph_binary(to, op, f->scale, by);
    if (f->shift) f->shift = graph_binary(to, op, f->shift, by);
    if (f->low > -INFINITY) f->low = divide ? f->low / number : f->low * number;
    if (f->high < INFINITY) f->high = divide ? f->high / number : f->high * number;
    if (!one) f->raw = NULL;
    return true;
}

static bool shifted(struct fixing *x, const struct value *old, struct value *by, struct fixed *f)
{
    double number;
    bool one = fixed_number(by, &number);
    *f = x->fixed[old->id];
    if ((f->move || !one) && !fixed_settled(x, old, f)) return false;
    f->shift = f->shift ? graph_binary(x->to, OP_add, f->shift, by) : by;
    f->low += one ? number : 0, f->high += one ? number : 0;
    return true;
}

static bool negated(struct fixing *x, const struct value *old, struct fixed *f)
{
    if (!fixed_settled(x, old, f)) return false;
    int64_t least = f->least;
    f->q = graph_unary(x->to, OP_neg, f->q);
    f->least = -f->most, f->most = -least, f->raw = NULL;
    return true;
}

static bool limited(struct fixing *x, const struct value *old, double low, double high, struct fixed *f)
{
    *f = x->fixed[old->id];
    if (f->move && !fixed_single(x, old, f)) return false;
    f->low = fmin(fmax(f->low, low), high), f->high = fmax(fmin(f->high, high), low);
    return true;
}

/* Sums, differences and extremes of two known values. */
static bool together(struct fixing *x, const struct node *node, struct fixed *f)
{
    struct fixed part[2];
    double scale;
    if (!fixed_pair(x, node->in, part) || !fixed_number(part[0].scale, &scale)) return false;
    *f = fixed_of(x->to, graph_binary(x->to, node->op, part[0].q, part[1].q), scale, 0, 0);
    bool add = node->op == OP_add, extreme = node->op == OP_max || node->op == OP_min;
    int64_t least = part[0].least < part[1].least ? part[0].least : part[1].least, most = part[0].most > part[1].most ? part[0].most : part[1].most;
    f->least = extreme ? least : part[0].least + (add ? part[1].least : -part[1].most);
    f->most = extreme ? most : part[0].most + (add ? part[1].most : -part[1].least);
    if (f->least < INT32_MIN || f->most > INT32_MAX) return refuse(x, node, "may pass 32 bits");
    return true;
}

/* Both of at most 15 bits. */
static bool factor(struct fixing *x, const struct value *old, struct fixed *f)
{
    double scale;
    enum { FACTOR_MOST = 1 << 15 };
    if (!fixed_single(x, old, f) || !fixed_number(f->scale, &scale)) return false;
    if (f->least >= -FACTOR_MOST && f->most <= FACTOR_MOST) return true;
    double step = fixed_reach(f) / FACTOR_MOST;
    f->q = fixed_integer(x, old, step, 0, DT_i32);
    *f = fixed_of(x->to, f->q, step, -FACTOR_MOST, FACTOR_MOST);
    return f->q != NULL;
}

/* mul, matmul or conv of two known values; `terms` products are summed. */
static bool product(struct fixing *x, const struct node *node, int64_t terms, struct fixed *f)
{
    struct fixed a, b;
    double scale_a, scale_b;
    if (!factor(x, node->in[0], &a) || !factor(x, node->in[1], &b) || !fixed_number(a.scale, &scale_a) || !fixed_number(b.scale, &scale_b)) return false;
    double most = fixed_size(a.least, a.most) * fixed_size(b.least, b.most) * (double)terms;
    if (!(most < 0x1p31)) return refuse(x, node, "has sums that may pass 32 bits");
    *f = fixed_of(x->to, graph_node(x->to, node->op, 2, (struct value *[]){a.q, b.q}, node->n_attrs, node->attrs), scale_a * scale_b, -(int64_t)most, (int64_t)most);
    return f->q != NULL;
}

/* By a constant on either side, or of two known values. */
static bool binary(struct fixing *x, const struct node *node, struct fixed *f)
{
    const struct fixed *a = known(x, node->in[0]), *b = known(x, node->in[1]);
    struct value *constant = a && !b ? fixed_constant(x, node->in[1]) : b && !a ? fixed_constant(x, node->in[0]) : NULL;
    const struct value *other = node->in[a ? 0 : 1];
    double number = 0;
    bool one = constant && fixed_number(constant, &number);
    if (a && b && node->op == OP_div) return refuse(x, node, "divides by what is not constant");
    if (a && b) return node->op == OP_mul ? product(x, node, 1, f) : together(x, node, f);
    if (!constant) return refuse(x, node, "reads a float that no integer stands for");
    switch (node->op) {
    case OP_mul: return scaled(x, other, constant, false, f);
    case OP_div: return a ? scaled(x, other, constant, true, f) : refuse(x, node, "divides by what is not constant");
    case OP_add: return shifted(x, other, constant, f);
    case OP_max: return one ? limited(x, other, number, INFINITY, f) : together(x, node, f);
    case OP_min: return one ? limited(x, other, -INFINITY, number, f) : together(x, node, f);
    default: break;
    }
    if (a) return shifted(x, other, graph_unary(x->to, OP_neg, constant), f);
    if (!negated(x, other, f)) return false;
    f->shift = constant;
    return true;
}

/* A sum over axes or a window. */
static bool summed(struct fixing *x, const struct node *node, struct fixed *f)
{
    double scale, terms = 1;
    if (!fixed_single(x, node->in[0], f) || !fixed_number(f->scale, &scale)) return false;
    const struct attr *axes = node_attr(node, node->op == OP_sum ? "axes" : "kernel");
    for (int i = 0; i < axes->n; i++) {
        dim n = node->op == OP_sum ? node->in[0]->type.dim[axes->ints[i]] : axes->ints[i];
        terms *= dim_is_const(n) ? (double)n : 0x1p32;
    }
    if (!(terms < 0x1p30)) return refuse(x, node, "has sums that may pass 32 bits");
    if (!(fixed_size(f->least, f->most) * terms < 0x1p31)) { /* in coarser steps they do not */
        scale = fixed_reach(f) * terms / 0x1p30;
        int64_t most = (int64_t)(0x1p30 / terms) + 1;
        *f = fixed_of(x->to, fixed_integer(x, node->in[0], scale, 0, DT_i32), scale, -most, most);
        if (!f->q) return false;
    }
    *f = fixed_of(x->to, graph_node(x->to, node->op, 1, &f->q, node->n_attrs, node->attrs), scale, f->least * (int64_t)terms, f->most * (int64_t)terms);
    return f->q != NULL;
}

static bool magnitude(struct fixing *x, const struct value *old, struct fixed *f)
{
    if (!fixed_settled(x, old, f)) return false;
    f->q = graph_unary(x->to, OP_abs, f->q);
    f->most = (int64_t)fixed_size(f->least, f->most), f->least = 0, f->raw = NULL;
    double scale;
    return fixed_number(f->scale, &scale) ? scale > 0 : refuse(x, old->node, "has several scales where its magnitude is taken");
}

/* What is made of a float result by its operands alone. */
static bool follow_operator(struct fixing *x, const struct node *node, struct fixed *f)
{
    if ((node->op == OP_cast && !dtype_is_float(node->in[0]->type.dt)) || node->op == OP_dequantize) return from_integers(x, node, f);
    bool pair = node->op == OP_add || node->op == OP_sub || node->op == OP_mul || node->op == OP_div || node->op == OP_min || node->op == OP_max;
    if (pair) return binary(x, node, f);
    for (int i = 0; i < node->n_in; i++)
        if (dtype_is_float(node->in[i]->type.dt) && !known(x, node->in[i])) return refuse(x, node, "reads a float that no integer stands for");
    switch (node->op) {
    case OP_reshape: case OP_transpose: case OP_broadcast: case OP_slice: case OP_repeat: case OP_gather: case OP_pad_edge: case OP_concat:
    case OP_pad_reflect: case OP_pad_wrap: case OP_pool_max: case OP_reduce_max: case OP_reduce_min:
        *f = (struct fixed){.move = node};
        return true;
    case OP_cast: *f = x->fixed[node->in[0]->id]; return true;
    case OP_neg: return negated(x, node->in[0], f);
    case OP_abs: return magnitude(x, node->in[0], f);
    case OP_relu: return limited(x, node->in[0], 0, INFINITY, f);
    case OP_round: case OP_round_away: {
        struct value *q = fixed_integer(x, node->in[0], 1, 0, DT_i32);
        double reach = fmin(x->fixed[node->in[0]->id].move ? 0x1p30 : fixed_reach(&x->fixed[node->in[0]->id]) + 1, 0x1p31);
        *f = fixed_of(x->to, q, 1, (int64_t)-reach, (int64_t)reach);
        return q != NULL;
    }
    case OP_sum: case OP_pool_sum: return summed(x, node, f);
    case OP_matmul: case OP_conv: return product(x, node, terms_of(node), f);
    case OP_log_softmax: return fixed_log_softmax(x, node, f);
    default: return fixed_curve(x, node, f);
    }
}

/* What is made of a float result. */
static bool follow(struct fixing *x, const struct node *node, struct fixed *f)
{
    int errors = diag_errors(x->to->diag);
    struct norm norm;
    bool good;
    if (fixed_norm_find(node, &norm) && known(x, norm.d)) good = fixed_norm(x, &norm, f);
    else if (node->op == OP_layer_norm && known(x, node->in[0])) good = fixed_layer_norm(x, node, f);
    else if (node->op == OP_select) good = fixed_select(x, node, f);
    else good = follow_operator(x, node, f);
    return good || (diag_errors(x->to->diag) == errors && refuse(x, node, "has no form in integers: quantize its operand and its result"));
}

/* What is made of floats and is none itself: comparisons, and the integers that numbers are quantized or cut to. */
static struct value *leave_floats(struct fixing *x, const struct node *node)
{
    int errors = diag_errors(x->to->diag);
    struct value *made = NULL;
    if (node->op == OP_quantize || node->op == OP_cast) made = to_integers(x, node);
    else if (node->op == OP_lt || node->op == OP_le || node->op == OP_eq) made = fixed_compare(x, node);
    if (!made && diag_errors(x->to->diag) == errors) refuse(x, node, "has no form in integers");
    return made;
}

static bool reads_floats(const struct node *node)
{
    bool found = false;
    for (int i = 0; i < node->n_in; i++) found |= dtype_is_float(node->in[i]->type.dt);
    for (int i = 0; i < node->n_out; i++) found |= dtype_is_float(node->out[i].type.dt);
    return found;
}

/* The first node that computes floats in the subgraphs of the node; NULL: none does. */
static const struct node *floats_inside(const struct node *node)
{
    for (int k = 0; k < node->n_attrs; k++)
        for (int i = 0; node->attrs[k].kind == ATTR_GRAPH && i < node->attrs[k].graph->nodes.n; i++)
            if (reads_floats(node->attrs[k].graph->nodes.at[i])) return node->attrs[k].graph->nodes.at[i];
    return NULL;
}

static bool convert(struct fixing *x, const struct node *node, struct arena *unit, const struct pass_options *options)
{
    const struct value *out = node->out;
    const struct node *inside = floats_inside(node);
    if (inside) {
        refuse(x, node, "computes floats inside of it");
        diag_note(x->to->diag, inside->place, "\"%s\" (%s) is the first", name_of(inside->out), op_row(inside->op)->name);
        return false;
    }
    if (!reads_floats(node)) return pass_copy_node(x->to, node, x->map, pass_fixed, unit, options);
    if (node->n_out != 1) return refuse(x, node, "has no form in integers");
    if (node->op == OP_const || fixed_constant(x, out)) return true;
    if (dtype_is_float(out->type.dt)) return follow(x, node, &x->fixed[out->id]);
    struct value *q = x->map[out->id] = leave_floats(x, node);
    if (q && out->name) graph_name(x->to, q, out->name);
    return q != NULL;
}

struct graph *pass_fixed(const struct graph *graph, struct arena *unit, const struct pass_options *options)
{
    struct fixing x = {.to = graph_like(graph, unit, graph->name), .map = NEW_ARRAY(unit, struct value *, graph->next_value + 1),
                       .fixed = NEW_ARRAY(unit, struct fixed, graph->next_value + 1), .options = options};
    bool *live = fixed_needed(graph, unit), good = true;
    int n_inputs = 0;
    for (int i = 0; i < graph->nodes.n; i++) {
        const struct node *node = graph->nodes.at[i];
        int position = n_inputs;
        n_inputs += node->op == OP_input;
        if (!live[i]) continue;
        graph_at(x.to, node);
        bool ready = true; /* what reads a refused layer says nothing more */
        for (int k = 0; k < node->n_in; k++) ready &= good || x.map[node->in[k]->id] || known(&x, node->in[k]) || fixed_constant(&x, node->in[k]);
        if (!ready) continue;
        bool real = node->op == OP_input && dtype_is_float(node->out->type.dt);
        good = (real ? input(&x, graph, live, node, position) : convert(&x, node, unit, options)) && good;
    }
    x.to->place = graph->place;
    x.to->home = graph->home;
    for (int i = 0; i < graph->outputs.n && good; i++) {
        const struct value *old = graph->outputs.at[i];
        struct value *made = dtype_is_float(old->type.dt) ? output(&x, old, i) : x.map[old->id];
        if (!made) good = diag_errors(graph->diag) ? false : refuse(&x, old->node, "is an output of floats");
        else graph_output(x.to, graph->output_names.at[i], made);
    }
    return good ? x.to : NULL;
}
