/* What the float LSTM (tflite_rnn.c) and the integer one (tflite_lstm.c) share: the operator's parts, and the scan. */
#ifndef TENON_TFLITE_LSTM_H
#define TENON_TFLITE_LSTM_H
#include "tflite_quant.h"

enum { GATES = 4, LSTM_CAPTURED_MOST = 16 };

struct lstm {
    struct tflite_call *call;
    struct value *x; /* [steps, batch, inputs] */
    int64_t steps, batch, inputs, cells, outputs;
    int first;                                                                      /* 1: no input gate */
    struct value *weight[GATES], *recurrent[GATES], *bias[GATES], *peephole[GATES]; /* input, forget, cell, output */
    struct value *projection, *projection_bias, *state, *cell;
    const struct tflite_tensor *weight_tensor[GATES], *recurrent_tensor[GATES], *projection_tensor, *state_tensor,
        *cell_tensor;
    double cell_clip, projection_clip; /* 0: none */
    bool is_time_major;
    struct value *all_recurrent, *all_bias;    /* of the gates together, for the step */
    struct value *outside[LSTM_CAPTURED_MOST]; /* what the body captures, in this order */
    int n_outside;
};
struct lstm_step { /* the body being built: states and the input's share in, states out */
    struct graph *body;
    struct value *h, *c, *x, *peephole[GATES], *h_next, *c_next;
};

/* Parts of the gates below each other. */
struct value *lstm_join(struct lstm *lstm, struct value *const *gates);
/* x * weight^T */
struct value *lstm_product(struct graph *graph, struct value *x, struct value *weight);
/* Gate k's columns. */
struct value *lstm_gate(const struct lstm *lstm, struct graph *body, struct value *all, int k);
/* A value of the outer graph inside the body: a constant again, anything else as a further input; NULL of NULL. */
struct value *lstm_capture(struct lstm *lstm, struct graph *body, struct value *value);
/* The outputs of all steps, laid as the input is. */
struct value *lstm_scan(struct lstm *lstm, struct value *sequence,
                        bool (*step)(struct lstm *lstm, struct lstm_step *step));
struct value *lstm_integers(struct lstm *lstm);

#endif
