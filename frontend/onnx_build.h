/* What builds values in the ONNX importer: the short names of values.h, and windows as Conv and the pools describe them.
 */
#ifndef TENON_ONNX_BUILD_H
#define TENON_ONNX_BUILD_H
#include "onnx_import.h"
#include "values.h"
#include "window.h"

/* Reads strides, dilations, pads, auto_pad and ceil_mode of the call; kernel: from the weight (rank n + 2), or the
 * attribute kernel_shape where NULL. False after a message. */
bool onnx_read_window(struct onnx_call *call, const struct value *x, const struct value *weight, struct window *window);

#endif
