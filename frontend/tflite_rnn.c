/* Recurrent layers. */
#include "tflite_quant.h"

const struct tflite_row tflite_rnn_rows[] = {{0}};
