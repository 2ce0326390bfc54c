/* Operators: the enum and the rows of ops.def. */
#ifndef TENON_OP_H
#define TENON_OP_H
#include <stdbool.h>

enum op {
#define OP(name, kind, least, most, shape, meaning, onnx) OP_##name,
#include "ops.def"
#undef OP
    OP_COUNT
};
enum op_kind { OP_LEAF, OP_MAP, OP_MOVE, OP_REDUCE, OP_CONTRACT, OP_COMPOSITE, OP_CONTROL, OP_EXTERN };

enum shape_rule {
    SHAPE_none, SHAPE_same, SHAPE_first, SHAPE_float, SHAPE_bool, SHAPE_int, SHAPE_bits, SHAPE_compare, SHAPE_cast, SHAPE_bitcast,
    SHAPE_select, SHAPE_reshape, SHAPE_transpose, SHAPE_broadcast, SHAPE_slice, SHAPE_pad, SHAPE_dilate, SHAPE_repeat,
    SHAPE_concat, SHAPE_gather, SHAPE_gather_elements, SHAPE_scatter, SHAPE_iota, SHAPE_reduce, SHAPE_find,
    SHAPE_pool, SHAPE_matmul, SHAPE_conv, SHAPE_index, SHAPE_control, SHAPE_top_k, SHAPE_det,
    SHAPE_quantize, SHAPE_dequantize, SHAPE_requantize, SHAPE_wide, SHAPE_words, SHAPE_conv_last, SHAPE_conv_depth, SHAPE_pool_last, SHAPE_matmul_packed, SHAPE_matmul_narrow,
    SHAPE_widen
};

struct op_row {
    const char *name;
    enum op_kind kind;
    int least, most; /* inputs */
    enum shape_rule shape;
    const char *meaning; /* "" where there is none, NULL where the node's attribute `meaning` holds it */
    const char *onnx;
};

const struct op_row *op_row(enum op op);
/* Numbers that an element of the operands of a dot product is made of: 4 bytes, 2 halves; 0 for other operators. */
int op_dot_terms(enum op op);
bool op_from_name(const char *name, enum op *op);
/* The row whose ONNX name is exactly this (MAP rows only). */
bool op_from_onnx(const char *name, enum op *op);

#endif
