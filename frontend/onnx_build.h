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
/* The convolution that the call's attributes describe, of these operands. NULL after a message. */
struct value *onnx_convolve(struct onnx_call *call, struct value *x, struct value *weight);

/* A tensor of one element as a scalar; others as they are. */
struct value *build_single(struct graph *g, struct value *x);
/* Quantized by scale and zero (absent: 0 of type otherwise), which broadcast against x; and back. */
struct value *build_quantized(struct graph *g, struct value *x, struct value *scale, struct value *zero, enum dtype otherwise);
struct value *build_dequantized(struct graph *g, struct value *x, struct value *scale, struct value *zero);
/* Whether what is known of this input are positive numbers; false after an error. */
bool onnx_scale_is_positive(struct onnx_call *c, int input);
/* x, f32, as u8 by the scale and zero point that its range gives, which go to *scale and *zero. */
struct value *build_dynamically_quantized(struct graph *g, struct value *x, struct value **scale, struct value **zero);
/* The result of ONNX's own operator `name` as of opset `version` on these inputs; its attributes are the call's. */
struct value *onnx_build_as(struct onnx_call *call, const char *name, int version, int n_in, struct value *const *in);

#endif
