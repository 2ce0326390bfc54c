/* What builds values in the ONNX importer: the short names of values.h, and windows as Conv and the pools describe them.
 */
#ifndef TENON_ONNX_BUILD_H
#define TENON_ONNX_BUILD_H
#include "onnx_import.h"
#include "values.h"

/* A window sliding over the axes of x from 2 on, as Conv and the pools describe it. after: padding behind, grown where
 * ceil_mode lets a last partial window in; declared_after is what the node says. */
struct onnx_window {
    int n;
    dim kernel[RANK_MOST], before[RANK_MOST], after[RANK_MOST], declared_after[RANK_MOST];
    int64_t stride[RANK_MOST], dilation[RANK_MOST];
};
/* Reads strides, dilations, pads, auto_pad and ceil_mode of the call; kernel: from the weight (rank n + 2), or the
 * attribute kernel_shape where NULL. False after a message. */
bool onnx_read_window(struct onnx_call *call, const struct value *x, const struct value *weight,
                      struct onnx_window *window);
/* OP_conv, OP_pool_max or OP_pool_sum over that window. */
struct value *onnx_window_node(struct onnx_call *call, enum op op, struct value *x, struct value *weight,
                               const struct onnx_window *window, int64_t group);

#endif
