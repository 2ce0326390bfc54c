/* Convolutions and pools of TensorFlow Lite: tensors [N, H, W, C], which the graph's windows see as [N, C, H, W]. The
 * transposes around a window cancel where one follows another (pass simplify), and pass layout takes the rest away. */
#ifndef TENON_TFLITE_WINDOW_H
#define TENON_TFLITE_WINDOW_H
#include "tflite_import.h"
#include "window.h"

/* Field numbers of an operator's options: padding, strides, dilations (-1: it has none), each w before h. */
struct tflite_window_fields {
    int padding, stride_w, stride_h, dilation_w, dilation_h;
};
/* The window over x [N, H, W, C] with this kernel; false after a message. */
bool tflite_window(struct tflite_call *call, const struct value *x, dim kernel_h, dim kernel_w,
                   const struct tflite_window_fields *fields, struct window *window);
/* Axes 1.. to the end and back. */
struct value *tflite_channels_first(struct graph *graph, struct value *x);
struct value *tflite_channels_last(struct graph *graph, struct value *x);
/* x with the window's padding filled with v, after which the window has none. */
struct value *tflite_pad_window(struct graph *graph, struct value *x, struct value *v, struct window *window);

#endif
