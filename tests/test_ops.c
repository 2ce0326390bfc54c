/* The op enumeration: every row of ops.def x element types x shapes, by every engine.
 *
 * For each row one graph holds an instance per element type and shape class (scalar, one, odd, larger than a tile,
 * zero-size, symbolic). The graph's interpreter gives the reference; then every pass's output is interpreted
 * (verified, and compared), and the compiled C and LLVM code runs, on the same inputs and two sizes of the symbol. A
 * new row with a known shape rule is tested without writing anything here; a row with a new shape rule fails until
 * build() says how an instance of it is made.
 *
 * Control rows hold subgraphs and are tested by golden models and ONNX cases; leaves have no meaning to test.
 * Arguments: --device=cpu or --device=gpu, for code by OpenCL with that schedule instead, on the device that is here;
 * names of rows; none: all. Prints one line per row.
 */
#define _POSIX_C_SOURCE 200809L
#include "../frontend/cmd.h"
#include "../frontend/cmd_devices.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#pragma GCC diagnostic ignored "-Wswitch" /* a missing shape rule is a failing row, not a build that breaks */

enum shape_class { SHAPE_CLASS_SCALAR, SHAPE_CLASS_ONE, SHAPE_CLASS_ODD, SHAPE_CLASS_LARGE, SHAPE_CLASS_ZERO, SHAPE_CLASS_SYMBOLIC, N_CLASSES };
static const char *const class_names[] = {"scalar", "one", "odd", "large", "zero", "symbolic"};

struct lab {
    struct session session;
    struct options options;
    struct graph *graph;
    dim n; /* the symbol */
    LIST(const char *) labels; /* of outputs */
    int n_inputs;
};

/* rank axes of the class, the last two as given for the larger ones. */
static struct type shape(struct lab *lab, enum shape_class class, enum dtype dt)
{
    struct type type = {.dt = dt};
    switch (class) {
    case SHAPE_CLASS_SCALAR: break;
    case SHAPE_CLASS_ONE: type.rank = 1, type.dim[0] = 1; break;
    case SHAPE_CLASS_ODD: type.rank = 2, type.dim[0] = 3, type.dim[1] = 7; break;
    case SHAPE_CLASS_LARGE: type.rank = 2, type.dim[0] = 5, type.dim[1] = 131; break;
    case SHAPE_CLASS_ZERO: type.rank = 2, type.dim[0] = 0, type.dim[1] = 4; break;
    case SHAPE_CLASS_SYMBOLIC: type.rank = 2, type.dim[0] = lab->n, type.dim[1] = 6; break;
    case N_CLASSES: break;
    }
    return type;
}

static struct value *input(struct lab *lab, struct type type)
{
    return graph_input(lab->graph, arena_printf(lab->session.arena, "in%d", lab->n_inputs++), &type);
}

static struct type of_rank2(struct lab *lab, enum shape_class class, enum dtype dt, dim rows, dim columns)
{
    struct type type = shape(lab, class, dt);
    if (type.rank < 2) type.rank = 2, type.dim[0] = rows, type.dim[1] = columns;
    return type;
}

/* Images for windows: batch, channels, two spatial axes. */
static struct type image(struct lab *lab, enum shape_class class, enum dtype dt)
{
    bool large = class == SHAPE_CLASS_LARGE;
    struct type type = {.dt = dt, .rank = 4, .dim = {1, 4, large ? 19 : 5, large ? 35 : 6}};
    if (class == SHAPE_CLASS_ZERO) type.dim[0] = 0;
    if (class == SHAPE_CLASS_SYMBOLIC) type.dim[0] = lab->n;
    if (class == SHAPE_CLASS_SCALAR || class == SHAPE_CLASS_ONE) type.rank = 3;
    return type;
}

static bool takes(enum op op, enum dtype dt)
{
    switch (op_row(op)->shape) {
    case SHAPE_same: return dt != DT_bool;
    case SHAPE_float: return dtype_is_float(dt);
    case SHAPE_bool: return dt == DT_bool;
    case SHAPE_int: return dtype_is_int(dt);
    case SHAPE_bits: return !dtype_is_float(dt);
    case SHAPE_compare: return op == OP_eq ? true : op == OP_is_nan || op == OP_is_inf ? dtype_is_float(dt) : dt != DT_bool;
    case SHAPE_first: case SHAPE_quantize: return dtype_is_float(dt);
    case SHAPE_words: return dt == (op == OP_words ? DT_u8 : DT_u16);
    case SHAPE_dequantize: return dtype_is_int(dt) && dtype_bytes(dt) <= 4;
    case SHAPE_reduce: return dt != DT_bool || op == OP_reduce_min || op == OP_reduce_max;
    case SHAPE_conv_last: case SHAPE_matmul_packed:
        if (op_dot_terms(op)) return dt == DT_i32;
        if (op == OP_conv_bytes || op == OP_matmul_bytes) return dtype_is_int(dt) && dtype_bytes(dt) <= 2;
        return dt != DT_bool;
    case SHAPE_requantize: case SHAPE_wide: return dt == DT_i32;
    case SHAPE_widen: return dtype_compute(dt) != dt;
    case SHAPE_matmul_narrow: return dtype_is_float(dt);
    case SHAPE_conv_depth: case SHAPE_pool_last:
        if (op == OP_conv_depth_bytes) return dtype_is_int(dt) && dtype_bytes(dt) <= 2;
        return dt != DT_bool;
    case SHAPE_pool: case SHAPE_matmul: case SHAPE_conv: case SHAPE_index: case SHAPE_iota: case SHAPE_top_k: return dt != DT_bool;
    case SHAPE_bitcast: return dt != DT_bool && dtype_compute(dt) == dt;
    case SHAPE_cast: case SHAPE_select: case SHAPE_reshape: case SHAPE_transpose: case SHAPE_broadcast: case SHAPE_slice:
    case SHAPE_pad: case SHAPE_concat: case SHAPE_gather: case SHAPE_gather_elements: case SHAPE_scatter:
    case SHAPE_find: return true;
    case SHAPE_dilate: case SHAPE_repeat: return true;
    case SHAPE_det: return dt == DT_f32 || dt == DT_f64;
    case SHAPE_none: case SHAPE_control: return false;
    }
    return false;
}

/* Attributes of MAP and REDUCE rows, of composites: those that the rows know by name are given to all. */
static struct value *build_plain(struct lab *lab, enum op op, enum shape_class class, enum dtype dt)
{
    const struct op_row *row = op_row(op);
    struct type type = shape(lab, class, dt);
    struct value *in[4];
    struct attr attrs[3];
    int n_attrs = 0;
    bool has_axis = op == OP_cumsum || op == OP_cumprod || (row->kind == OP_COMPOSITE && op != OP_round_away);
    if (has_axis && type.rank == 0 && op != OP_gelu) return NULL;
    if (has_axis && op != OP_gelu) attrs[n_attrs++] = (struct attr)ATTR_I("axis", type.rank - 1);
    if (op == OP_cumsum || op == OP_cumprod) attrs[n_attrs++] = (struct attr)ATTR_I("inclusive", class == SHAPE_CLASS_ODD ? 0 : 1);
    if (op == OP_layer_norm) attrs[n_attrs++] = (struct attr)ATTR_F("epsilon", 1e-5);
    if (op == OP_gelu) attrs[n_attrs++] = (struct attr)ATTR_S("approximate", class == SHAPE_CLASS_ODD ? "tanh" : "none");
    for (int i = 0; i < row->least; i++) {
        struct type t = type;
        if (op == OP_select && i == 0) t.dt = DT_bool;
        if (op == OP_layer_norm && i) t.rank = 1, t.dim[0] = type.dim[type.rank - 1];
        in[i] = input(lab, t);
    }
    return graph_node(lab->graph, op, row->least, in, n_attrs, attrs);
}

static struct value *build_move(struct lab *lab, enum op op, enum shape_class class, enum dtype dt)
{
    struct type type = shape(lab, class, dt);
    int64_t a[RANK_MOST], b[RANK_MOST], c[RANK_MOST];
    struct value *in[2] = {input(lab, type), NULL};
    dim total = type_elements(lab->session.dims, &type);
    int r = type.rank;
    for (int i = 0; i < r; i++) a[i] = r - 1 - i, b[i] = 1, c[i] = i + 1;
    switch (op_row(op)->shape) {
    case SHAPE_reshape: return graph_node(lab->graph, op, 1, in, 1, (struct attr[]){ATTR_L("shape", &total, 1)});
    case SHAPE_transpose: return graph_node(lab->graph, op, 1, in, 1, (struct attr[]){ATTR_L("perm", a, r)});
    case SHAPE_broadcast:
        for (int i = 0; i < r; i++) a[i] = type.dim[i] == 1 ? 9 : type.dim[i];
        return graph_node(lab->graph, op, 1, in, 1, (struct attr[]){ATTR_L("shape", a, r)});
    case SHAPE_slice: /* every second element from behind, of the last axis */
        for (int i = 0; i < r; i++) a[i] = i == r - 1 ? dim_sub(lab->session.dims, type.dim[i], 1) : 0, b[i] = i == r - 1 ? -2 : 1;
        for (int i = 0; i < r; i++) c[i] = i == r - 1 ? dim_div(lab->session.dims, dim_add(lab->session.dims, type.dim[i], 1), 2) : type.dim[i];
        return graph_node(lab->graph, op, 1, in, 3, (struct attr[]){ATTR_L("start", a, r), ATTR_L("step", b, r), ATTR_L("size", c, r)});
    case SHAPE_pad: {
        struct type scalar = {.dt = dt};
        bool grows = class != SHAPE_CLASS_ZERO || op == OP_pad;
        for (int i = 0; i < r; i++) b[i] = grows, c[i] = grows && class != SHAPE_CLASS_ONE ? 2 : 0;
        if (op == OP_pad) in[1] = input(lab, scalar);
        return graph_node(lab->graph, op, op == OP_pad ? 2 : 1, in, 2, (struct attr[]){ATTR_L("before", b, r), ATTR_L("after", c, r)});
    }
    case SHAPE_repeat: return graph_node(lab->graph, op, 1, in, 1, (struct attr[]){ATTR_L("times", c, r)});
    case SHAPE_dilate: return graph_node(lab->graph, op, 1, in, 1, (struct attr[]){ATTR_L("stride", c, r)});
    default: return NULL; /* the caller chose */
    }
}

static struct value *build_indexed(struct lab *lab, enum op op, enum shape_class class, enum dtype dt)
{
    struct type x = shape(lab, class, dt), idx = {.dt = DT_i64, .rank = 2, .dim = {2, 3}};
    static const char *const modes[] = {"set", "add", "mul", "min", "max", "add"};
    int64_t axis = class == SHAPE_CLASS_ODD ? 1 : 0;
    struct value *in[3];
    if (x.rank == 0 && op != OP_scatter) return NULL;
    switch (op) {
    case OP_gather:
        if (class == SHAPE_CLASS_ZERO) axis = 1;
        in[0] = input(lab, x), in[1] = input(lab, idx);
        return graph_node(lab->graph, op, 2, in, 2, (struct attr[]){ATTR_I("axis", axis), ATTR_I("batch", 0)});
    case OP_gather_elements:
        idx = x, idx.dt = DT_i32;
        in[0] = input(lab, x), in[1] = input(lab, idx);
        return graph_node(lab->graph, op, 2, in, 1, (struct attr[]){ATTR_I("axis", axis)});
    case OP_scatter: {
        x = of_rank2(lab, class, dt, 4, 3);
        if (dt == DT_bool && strcmp(modes[class], "set") != 0) return NULL;
        struct type u = x, rows = {.dt = DT_i64, .rank = 1, .dim = {4}};
        u.dim[0] = 4;
        in[0] = input(lab, x), in[1] = input(lab, rows), in[2] = input(lab, u);
        return graph_node(lab->graph, op, 3, in, 1, (struct attr[]){ATTR_S("mode", modes[class])});
    }
    default: return NULL; /* the caller chose */
    }
}

static struct value *build_reduce(struct lab *lab, enum op op, enum shape_class class, enum dtype dt)
{
    struct type x = shape(lab, class, dt), z = x;
    int64_t axes[2] = {class == SHAPE_CLASS_ODD ? 0 : x.rank - 1, 0};
    struct value *in[2];
    if (op_row(op)->shape == SHAPE_find) {
        if (x.rank == 0) return NULL;
        z.rank--;
        if (axes[0] == 0 && x.rank == 2) z.dim[0] = x.dim[1];
        in[0] = input(lab, x), in[1] = input(lab, z);
        return graph_node(lab->graph, op, 2, in, 1, (struct attr[]){ATTR_I("axis", axes[0])});
    }
    in[0] = input(lab, x);
    bool both = class == SHAPE_CLASS_LARGE && op == OP_sum;
    return graph_node(lab->graph, op, 1, in, 1, (struct attr[]){ATTR_L("axes", axes, x.rank == 0 ? 0 : both ? 2 : 1)});
}

static struct value *build_window(struct lab *lab, enum op op, enum shape_class class, enum dtype dt)
{
    struct type x = image(lab, class, dt), w = x;
    int64_t stride[2] = {class == SHAPE_CLASS_ODD ? 2 : 1, 1}, dilation[2] = {1, class == SHAPE_CLASS_LARGE ? 2 : 1};
    int64_t pad[2] = {1, 0}, after[2] = {0, 1}, kernel[2] = {3, 2};
    int n = x.rank - 2, group = class == SHAPE_CLASS_ODD ? 2 : class == SHAPE_CLASS_SYMBOLIC ? 4 : 1;
    struct value *in[2] = {input(lab, x), NULL};
    struct attr attrs[] = {ATTR_L("stride", stride, n), ATTR_L("dilation", dilation, n), ATTR_L("pad", pad, n), ATTR_L("pad_after", after, n),
                           op == OP_conv ? (struct attr)ATTR_I("group", group) : (struct attr)ATTR_L("kernel", kernel, n)};
    if (op != OP_conv) return graph_node(lab->graph, op, 1, in, 5, attrs);
    w.dim[0] = class == SHAPE_CLASS_LARGE ? 20 : 4, w.dim[1] = 4 / group;
    for (int i = 0; i < n; i++) w.dim[i + 2] = kernel[i];
    in[1] = input(lab, w);
    return graph_node(lab->graph, op, 2, in, 5, attrs);
}

static struct value *build_contraction(struct lab *lab, enum op op, enum shape_class class, enum dtype dt)
{
    struct type x = of_rank2(lab, class, dt, 1, 1), w = {.dt = dt, .rank = 2};
    w.dim[0] = x.dim[1], w.dim[1] = class == SHAPE_CLASS_LARGE ? 45 : 3;
    struct value *in[2] = {input(lab, x), input(lab, w)};
    if (op == OP_matmul) return graph_node(lab->graph, op, 2, in, 0, NULL);
    return graph_node(lab->graph, op, 2, in, 1, (struct attr[]){ATTR_S("meaning", "y[o, n] += x[n, k] * w[k, o]")});
}

/* Words of this type, read out of bytes or halves. */
static struct value *words_of(struct lab *lab, enum op op, struct type type)
{
    int last = type.rank - 1;
    type.dt = op == OP_words ? DT_u8 : DT_u16;
    type.dim[last] = dim_mul(lab->session.dims, type.dim[last], op == OP_words ? 4 : 2);
    struct value *parts = input(lab, type);
    return graph_node(lab->graph, op, 1, &parts, 0, NULL);
}

/* What pass layout makes: channels last, weights in blocks of output channels. */
static struct value *build_packed(struct lab *lab, enum op op, enum shape_class class, enum dtype dt)
{
    struct type x = image(lab, class, dt), w = {.dt = dt};
    bool large = class == SHAPE_CLASS_LARGE;
    int64_t stride[2] = {class == SHAPE_CLASS_ODD ? 2 : 1, 1}, dilation[2] = {1, large ? 2 : 1}, kernel[2] = {3, 2};
    int n = x.rank - 2, block = large ? 16 : 4;
    for (int i = 0; i < n; i++) x.dim[i + 1] = x.dim[i + 2];
    x.dim[n + 1] = large ? 24 : 5;
    if (op_row(op)->shape == SHAPE_matmul_packed) x = of_rank2(lab, class, dt, 1, 1), n = 0;
    int terms = large || class == SHAPE_CLASS_SYMBOLIC ? op_dot_terms(op) : 0;
    struct value *in[2] = {terms ? words_of(lab, terms == 4 ? OP_words : OP_pairs, x) : input(lab, x), NULL};
    struct attr window[] = {ATTR_L("stride", stride, n), ATTR_L("dilation", dilation, n), ATTR_L("kernel", kernel, n)};
    if (op_row(op)->shape == SHAPE_pool_last) return graph_node(lab->graph, op, 1, in, 3, window);
    if (op_row(op)->shape != SHAPE_conv_depth) w.dim[w.rank++] = large ? 3 : 2;
    for (int i = 0; i < n; i++) w.dim[w.rank++] = kernel[i];
    w.dim[w.rank++] = x.dim[x.rank - 1];
    if (op_row(op)->shape != SHAPE_conv_depth) w.dim[w.rank++] = block;
    in[1] = input(lab, w);
    window[2] = (struct attr)ATTR_I("block", block);
    if (op_row(op)->shape == SHAPE_matmul_packed) return graph_node(lab->graph, op, 2, in, 1, window + 2);
    return graph_node(lab->graph, op, 2, in, op_row(op)->shape == SHAPE_conv_depth ? 2 : 3, window);
}

/* What pass narrow makes: floats by weights of bytes or of four bits. */
static struct value *build_narrow(struct lab *lab, enum op op, enum shape_class class, enum dtype dt)
{
    bool large = class == SHAPE_CLASS_LARGE, words = op == OP_matmul_nibbles;
    int64_t parts = large ? 3 : 1, part = words ? 2 : large ? 8 : 4, block = large ? 32 : 4, each = words ? 8 : 1;
    struct type x = of_rank2(lab, class, dt, 3, parts * part * each), z = x, w = {.dt = words ? DT_i32 : op == OP_matmul_narrow && dtype_compute(dt) != dt ? dt : DT_i8}, s = {.dt = dt, .rank = 3};
    x.dim[x.rank - 1] = parts * part * each, z.dim[x.rank - 1] = parts * part;
    w.dim[w.rank++] = s.dim[0] = large ? 3 : 2;
    if (op != OP_matmul_narrow) w.dim[w.rank++] = s.dim[1] = parts;
    w.dim[w.rank++] = op == OP_matmul_narrow ? parts * part : part;
    w.dim[w.rank++] = s.dim[2] = block;
    struct value *in[4] = {input(lab, x), input(lab, w)};
    int n = 2;
    if (words) in[n++] = input(lab, z);
    if (op != OP_matmul_narrow) in[n++] = input(lab, s);
    return graph_node(lab->graph, op, n, in, 1, (struct attr[]){ATTR_I("block", block)});
}

static struct value *build_others(struct lab *lab, enum op op, enum shape_class class, enum dtype dt)
{
    struct type x = shape(lab, class, dt);
    struct value *in[3];
    switch (op_row(op)->shape) {
    case SHAPE_cast:
        in[0] = input(lab, x);
        return graph_node(lab->graph, op, 1, in, 1, (struct attr[]){ATTR_S("to", dtype_name((enum dtype)(((int)dt * 5 + (int)class + 1) % DT_index)))});
    case SHAPE_bitcast: {
        static const enum dtype other[] = {[DT_f32] = DT_i32, [DT_f64] = DT_u64, [DT_i8] = DT_u8, [DT_u8] = DT_i8, [DT_i16] = DT_u16,
                                           [DT_u16] = DT_i16, [DT_i32] = DT_u32, [DT_u32] = DT_f32, [DT_i64] = DT_f64, [DT_u64] = DT_i64};
        in[0] = input(lab, x);
        return graph_node(lab->graph, op, 1, in, 1, (struct attr[]){ATTR_S("to", dtype_name(other[dt]))});
    }
    case SHAPE_concat:
        if (x.rank == 0) return NULL;
        in[0] = input(lab, x), in[1] = input(lab, x);
        return graph_node(lab->graph, op, 2, in, 1, (struct attr[]){ATTR_I("axis", x.rank - 1)});
    case SHAPE_iota:
        if (x.rank == 0) return NULL;
        return graph_node(lab->graph, op, 0, NULL, 5, (struct attr[]){ATTR_S("to", dtype_name(dt)), ATTR_L("shape", x.dim, x.rank), ATTR_I("axis", x.rank - 1), ATTR_I("start", 2), ATTR_I("step", 3)});
    case SHAPE_widen:
        in[0] = input(lab, x);
        return graph_node(lab->graph, op, 1, in, 0, NULL);
    case SHAPE_words:
        return x.rank == 0 ? NULL : words_of(lab, op, x);
    case SHAPE_quantize: case SHAPE_dequantize: { /* a scale and a zero point for each element of the last axis */
        bool to_integer = op == OP_quantize;
        if (x.rank == 0) return NULL;
        struct type scale = {.dt = to_integer ? dt : DT_f32, .rank = 1, .dim = {x.dim[x.rank - 1]}}, zero = scale;
        zero.dt = !to_integer ? dt : class == SHAPE_CLASS_ODD ? DT_u8 : DT_i8;
        in[0] = input(lab, x), in[1] = input(lab, scale), in[2] = input(lab, zero);
        return graph_node(lab->graph, op, 3, in, 0, NULL);
    }
    case SHAPE_requantize: /* a multiplier for each element of the last axis, one shift */
        if (x.rank == 0) return NULL;
        in[0] = input(lab, x), in[1] = input(lab, (struct type){.dt = dt, .rank = 1, .dim = {x.dim[x.rank - 1]}});
        in[2] = graph_int(lab->graph, DT_i32, class == SHAPE_CLASS_ODD ? 3 : 33);
        return graph_node(lab->graph, op, 3, in, 0, NULL);
    case SHAPE_det:
        x.rank = class == SHAPE_CLASS_SCALAR ? 2 : 3;
        x.dim[0] = class == SHAPE_CLASS_ZERO ? 0 : 2;
        x.dim[1] = x.dim[2] = class == SHAPE_CLASS_ONE ? 1 : 5;
        if (x.rank == 2) x.dim[0] = x.dim[1];
        in[0] = input(lab, x);
        return graph_node(lab->graph, op, 1, in, 0, NULL);
    case SHAPE_top_k:
        if (x.rank == 0) return NULL;
        in[0] = input(lab, x);
        return graph_node(lab->graph, op, 1, in, 3, (struct attr[]){ATTR_I("k", class == SHAPE_CLASS_ONE ? 1 : 3), ATTR_I("largest", class != SHAPE_CLASS_ODD), ATTR_I("sorted", 1)});
    default: return NULL; /* the caller chose */
    }
}

/* The instance, or NULL where the class has none (or after an error). */
static struct value *build(struct lab *lab, enum op op, enum shape_class class, enum dtype dt)
{
    switch (op_row(op)->shape) {
    case SHAPE_same: case SHAPE_first: case SHAPE_float: case SHAPE_bool: case SHAPE_int: case SHAPE_bits: case SHAPE_compare: case SHAPE_wide:
    case SHAPE_select: return build_plain(lab, op, class, dt);
    case SHAPE_reshape: case SHAPE_transpose: case SHAPE_broadcast: case SHAPE_slice: case SHAPE_pad:
    case SHAPE_dilate: case SHAPE_repeat: return build_move(lab, op, class, dt);
    case SHAPE_gather: case SHAPE_gather_elements: case SHAPE_scatter: return build_indexed(lab, op, class, dt);
    case SHAPE_reduce: case SHAPE_find: return build_reduce(lab, op, class, dt);
    case SHAPE_pool: case SHAPE_conv: return build_window(lab, op, class, dt);
    case SHAPE_matmul: case SHAPE_index: return build_contraction(lab, op, class, dt);
    case SHAPE_conv_last: case SHAPE_conv_depth: case SHAPE_pool_last: case SHAPE_matmul_packed: return build_packed(lab, op, class, dt);
    case SHAPE_matmul_narrow: return build_narrow(lab, op, class, dt);
    case SHAPE_cast: case SHAPE_bitcast: case SHAPE_concat: case SHAPE_iota: case SHAPE_top_k: case SHAPE_det:
    case SHAPE_quantize: case SHAPE_dequantize: case SHAPE_requantize: case SHAPE_words: case SHAPE_widen: return build_others(lab, op, class, dt);
    case SHAPE_none: case SHAPE_control: return NULL;
    }
    return NULL;
}

/* All instances of a row as outputs of one graph. All element types at the odd shape; elsewhere the common ones. */
static void add_instances(struct lab *lab, enum op op)
{
    for (int class = 0; class < N_CLASSES; class++)
        for (int dt = 0; dt < DT_index; dt++) {
            bool common = dt == DT_f32 || dt == DT_i64 || dt == DT_bool || dt == DT_u8 || op == OP_pairs || op_dot_terms(op) > 0;
            if (!takes(op, (enum dtype)dt) || (class != SHAPE_CLASS_ODD && !common)) continue;
            struct value *y = build(lab, op, (enum shape_class)class, (enum dtype)dt);
            if (!y) continue;
            for (int i = 0; i < y->node->n_out; i++) {
                const char *label = arena_printf(lab->session.arena, "%s_%s_%s_%d", op_row(op)->name, class_names[class], dtype_name((enum dtype)dt), i);
                graph_output(lab->graph, label, &y->node->out[i]);
                LIST_PUSH(lab->session.arena, &lab->labels, label);
            }
        }
}

static int compare_all(struct lab *lab, const char *engine, const struct tensor *got, const struct tensor *expected)
{
    int bad = 0;
    for (int i = 0; i < lab->labels.n; i++) {
        struct difference d;
        if (tensor_compare(&got[i], &expected[i], &d)) continue;
        if (bad++ < 10)
            printf("  %s by %s: %lld elements differ, element %lld is %.9g, expected %.9g\n", lab->labels.at[i], engine, (long long)d.n,
                   (long long)d.at, d.got, d.expected);
    }
    return bad;
}

static int run_code(struct lab *lab, enum engine engine, const struct unit *reference, const struct unit *lowered)
{
    const char *name = engine_title(engine);
    struct engine_run *run = engine_open(&lab->session, &lab->options, engine, lowered);
    int bad = 0;
    if (!run) return 1;
    for (int64_t size = 1; size <= 17; size += 16) {
        struct trial trial;
        struct tensor *out = NEW_ARRAY(lab->session.arena, struct tensor, lab->labels.n + 1);
        if (!trial_make(reference, 5, &size, lab->session.arena, &trial, lab->session.diag)) return bad + 1;
        struct tensor *expected = trial_eval(reference, &trial, lab->session.arena, NULL, lab->session.diag);
        if (!expected || !engine_call(&lab->session, run, trial.in, trial.symbols, lab->session.arena, out)) return bad + 1;
        bad += compare_all(lab, name, out, expected);
    }
    engine_close(run);
    return bad;
}

static const char *device_name; /* NULL: C and LLVM */

/* What of the unit is run: with OpenCL every kernel that can be cut is, however small. */
static bool set_engine(struct lab *lab)
{
    if (!device_name) return true;
    lab->options.engine = ENGINE_OPENCL;
    lab->options.device_name = device_name;
    lab->options.pipeline.pass.grain = 1;
    return device_open(&lab->session, &lab->options);
}

static int test_row(enum op op)
{
    struct arena *arena = arena_new();
    struct lab lab = {.session = {.arena = arena, .diag = diag_new(arena), .dims = dims_new(arena)}};
    int bad = 0;
    if (!options_read(&lab.session, FOR_VERIFY, 0, NULL, &lab.options) || !set_engine(&lab)) return 1;
    lab.n = dim_symbol(lab.session.dims, "N", 1, 64);
    lab.graph = graph_new(arena, arena, lab.session.dims, lab.session.diag, "ops");
    add_instances(&lab, op);
    if (lab.labels.n && !diag_errors(lab.session.diag)) {
        struct unit unit = {.graph = lab.graph}, reference = unit;
        lab.options.pipeline.verify_each = lab.options.pipeline.eval_each = true;
        lab.options.pipeline.seed = 3;
        struct pipeline_options pipeline;
        model_pipeline(&lab.session, &lab.options, &pipeline);
        bool ok = pipeline_step(&reference, PASS_compose, arena, &pipeline.pass, lab.session.diag);
        ok = ok && model_lower(&lab.session, &lab.options, arena, &unit);
        if (ok) bad += run_code(&lab, lab.options.engine, &reference, &unit);
        if (ok && !device_name && llvm_is_built_in()) bad += run_code(&lab, ENGINE_LLVM, &reference, &unit);
    }
    bad += diag_errors(lab.session.diag);
    enum op_kind kind = op_row(op)->kind;
    if (!lab.labels.n && kind != OP_LEAF && kind != OP_CONTROL && ++bad) printf("  %s has no instance\n", op_row(op)->name);
    printf("%s %s: %d instances\n", bad ? "fail" : "pass", op_row(op)->name, lab.labels.n);
    fflush(stdout);
    diag_print(lab.session.diag, stdout);
    arena_free(arena);
    return bad;
}

/* In a process of its own: a row that aborts is one failed row. */
static bool passes(enum op op)
{
    int status = 0;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) exit(test_row(op) != 0);
    bool ok = pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (pid > 0 && WIFSIGNALED(status)) printf("fail %s: killed by signal %d\n", op_row(op)->name, WTERMSIG(status));
    return ok;
}

/* Asked in a process of its own: an OpenCL driver's threads do not come along into those of the rows. */
static bool has_device(void)
{
    int status = 1;
    pid_t pid = fork();
    if (pid == 0) {
        struct found_devices found;
        const char *why;
        exit(!devices_probe(0, arena_new(), &found, &why));
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int main(int argc, char **argv)
{
    int bad = 0, rows = 0, first = 1;
    if (argc > 1 && !strncmp(argv[1], "--device=", 9)) device_name = argv[first++] + 9;
    if (device_name && !has_device()) {
        puts("skipped: tenon devices finds no OpenCL device");
        return 77;
    }
    for (int op = 0; op < OP_COUNT; op++) {
        bool wanted = argc <= first;
        for (int i = first; i < argc; i++) wanted |= !strcmp(argv[i], op_row((enum op)op)->name);
        if (!wanted) continue;
        rows++;
        bad += !passes((enum op)op);
    }
    printf("%d rows, %d failed\n", rows, bad);
    return bad || !rows;
}
