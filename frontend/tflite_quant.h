/* Quantized arithmetic as TensorFlow Lite's reference kernels do it, in integers of the graph, so that every back end
 * gives the same bytes. tflite_fixed.c has the arithmetic, tflite_quant.c the operators made of it.
 *
 * A scale becomes a multiplier m of 31 bits and a power of two s: x * scale is m*x*2^(s - 31), where the product is
 * rounded at bit 31, and the rest of the shift rounds once more, halves away from zero.
 */
#ifndef TENON_TFLITE_QUANT_H
#define TENON_TFLITE_QUANT_H
#include "tflite_import.h"

struct tflite_fixed {
    int32_t multiplier;
    int shift;
};
/* scale > 0 as a multiplier and a shift to the left. */
struct tflite_fixed tflite_fixed_of(double scale);
/* The rounded product of x (i32) with one scale. */
struct value *tflite_scaled(struct graph *graph, struct value *x, struct tflite_fixed fixed);
/* The same as SUM and FULLY_CONNECTED have it: rounded once, halves up. n scales: 1, or along x's last axis. */
struct value *tflite_scaled_once(struct graph *graph, struct value *x, int n, const struct tflite_fixed *fixed);
/* tflite_scaled with n scales along x's last axis. */
struct value *tflite_scaled_each(struct graph *graph, struct value *x, int n, const struct tflite_fixed *fixed);
/* (x*multiplier + 2^30) >> 31 of i32 values: the high half of twice the product, rounded. */
struct value *tflite_high_product(struct graph *graph, struct value *x, struct value *multiplier);
/* x (i32) halved `shift` times, rounded, halves away from zero. */
struct value *tflite_shift_rounded(struct graph *graph, struct value *x, int shift);

/* tflite_curves.c: of 16-bit numbers in i32, with three (tanh: `bits`, 4 at most) bits before the point; the results
 * have none. */
struct value *tflite_logistic_16(struct graph *graph, struct value *x);
struct value *tflite_tanh_16(struct graph *graph, struct value *x, int bits);

/* Sums of products on their way to a result. */
struct tflite_sums {
    struct value *sum;   /* i32 [.., O] */
    struct value *bias;  /* i32 [O]; NULL: none */
    int n;               /* scales: 1 or O */
    const double *scale; /* of the sums over that of the result */
    int64_t weight_zero;
    int activation; /* field of the options; -1: none */
    bool is_dense;  /* FULLY_CONNECTED: the product of two scales is taken in f32, sums are rounded once */
};
/* Fills in n, scale and weight_zero for input times weight; false after a message. */
bool tflite_sum_scales(struct tflite_call *call, double input_scale, const struct tflite_tensor *weight,
                       struct tflite_sums *sums);
/* The first result: sum + bias, scaled, moved by the zero point, within the activation's range. */
struct value *tflite_finish_sums(struct tflite_call *call, const struct tflite_sums *sums);
/* The integer that stands for a number (far outside of the type: 2^32 steps at most). */
int64_t tflite_integer_of(const struct tflite_tensor *tensor, double number);
/* x, of the first result's type, within the range of the activation that stands in an option (-1: none). */
struct value *tflite_limit(struct tflite_call *call, struct value *x, int activation_field);
/* i32 values at the scale of the first result, without its zero point, to the result. */
struct value *tflite_finish(struct tflite_call *call, struct value *x, int activation_field);
/* f32 values as integers of a tensor's scale: rounded, halves away from zero. */
struct value *tflite_quantized(struct tflite_call *call, const struct tflite_tensor *tensor, struct value *real);
/* The value of a quantized tensor at the scale of the first result. */
struct value *tflite_requantized(struct tflite_call *call, const struct tflite_tensor *tensor, struct value *value);

/* Rows' functions. table: of one operand, by its 256 answers from the row's float function. through_floats: any, by the
 * numbers that its operands stand for; within one step of the reference kernels. */
struct value *quant_table(struct tflite_call *call);
struct value *quant_through_floats(struct tflite_call *call);
struct value *quant_add(struct tflite_call *call); /* SUB too */
struct value *quant_mul(struct tflite_call *call);
struct value *quant_squared_difference(struct tflite_call *call);
struct value *quant_compare(struct tflite_call *call);
struct value *quant_extreme(struct tflite_call *call); /* MAXIMUM, MINIMUM */
struct value *quant_relu(struct tflite_call *call);    /* and its kin */
struct value *quant_abs(struct tflite_call *call);
struct value *quant_sqrt(struct tflite_call *call);
struct value *quant_leaky_relu(struct tflite_call *call);
struct value *quant_prelu(struct tflite_call *call);
struct value *quant_hard_swish(struct tflite_call *call);
struct value *quant_quantize(struct tflite_call *call);
struct value *quant_dequantize(struct tflite_call *call);

#endif
