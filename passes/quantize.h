/* Quantization after training: which values of a float graph become bytes, and the graph that says so.
 *
 *     quantize_find    the products that may become products of bytes (layers), and the values to measure (points)
 *     quantize_watch   the float graph with the points as further outputs: run it on samples, give each point its values
 *     quantize_equalize  factors for the channels of points (quantize_equalize.c)
 *     point_choose     a scale and a zero point for a point, from what was seen
 *     quantize_local   the float graph with every layer's own error as further outputs: run it, read off each layer's loss
 *     quantize_switch  the float graph in which every layer can be switched to bytes: run it to see what one layer costs
 *     quantize_rewrite the model with `quantize` and `dequantize` around the products, as pass absorb reads them
 *
 * Nothing here reads files or runs programs: the command `tenon quantize` does (frontend/cmd_quantize.c).
 * Source: Jacob et al., Quantization and Training of Neural Networks (2017); Nagel et al., A White Paper on Neural
 * Network Quantization (2021), sections 3 and 4. */
#ifndef TENON_QUANTIZE_H
#define TENON_QUANTIZE_H
#include "../ir/graph.h"

enum { QUANTIZE_BINS = 2048, QUANTIZE_CHAIN_MOST = 4 };

/* How the range that bytes stand for follows from the values seen. */
enum quantize_method {
    QUANTIZE_MINMAX,     /* all of them */
    QUANTIZE_PERCENTILE, /* all but the outermost few */
    QUANTIZE_MSE,        /* the range of least squared error */
    QUANTIZE_ENTROPY,    /* the range whose histogram is nearest, by Kullback and Leibler's measure */
    QUANTIZE_BEST,       /* minmax or mse, whichever the whole model loses less with: for the caller to try */
};

struct quantize_point { /* one value of the float graph */
    const struct value *value;
    bool wanted;         /* by a layer that works on bytes: quantize_demand */
    int axis, channels;  /* along which channels may be evened out; channels 0: none may */
    double *channel_low, *channel_high; /* of all values seen, and zero */
    float *factor;       /* by channel: what becomes bytes is the value times this; NULL: the value */
    double low, high;    /* of all values seen times their factors, and zero */
    int64_t n_seen, n_bad; /* elements; those that are no numbers */
    double *bins;        /* QUANTIZE_BINS between low and high */
    double least, most;  /* the range chosen: 0 and 255 stand for these */
    float scale;
    int zero;
};
struct quantize_layer { /* conv or matmul, its bias and what bounds its result */
    const struct node *node;
    const char *name;
    const struct value *weights; /* the constant, before a broadcast over batches */
    const float *numbers;     /* what becomes bytes: the weights over their input's factors */
    const struct node *sum;   /* adds the bias to the product; NULL: none */
    const struct tensor *bias;
    const struct node *chain[QUANTIZE_CHAIN_MOST]; /* relu, max and min with a number, after that */
    int n_chain;
    const struct value *result;
    int input, output;        /* points */
    int channels;
    double work;              /* multiply-adds of a run, dims as in the first sample */
    const char *why_float;    /* in words; NULL: bytes */
    double error, signal;     /* sums of squares by quantize_local: of the difference, of the result */
    double cycles_float, cycles_bytes; /* of a run, by the cost model, with all up to the next layer; 0: not estimated */
    double alone;             /* the whole model's loss where only this layer is on bytes; below 0: not measured */
    double *correction;       /* by channel: what quantization takes from the product on average; NULL: not measured */
};
struct quantize_plan {
    const struct graph *graph;
    struct arena *arena;
    bool all; /* layers of little work, too */
    LIST(struct quantize_point) points;
    LIST(struct quantize_layer) layers;
    int *point_of; /* by value id; -1: no point */
    bool *is_sum;  /* by value id: an addition, or a bound on it, that leads to bytes and reads them; quantize_demand */
};

/* The layers and points of a graph as pass simplify leaves it. NULL where the graph is quantized already or has nothing to
 * quantize, after an error. all: also layers that gain nothing from bytes; symbols: dimensions as in the first sample,
 * NULL: there is none. */
struct quantize_plan *quantize_find(const struct graph *graph, bool all, const int64_t *symbols, struct arena *arena);
/* Notes why the first few layers stay float, behind an error. */
void quantize_note_refused(const struct quantize_plan *plan);
/* Sets `wanted`: what layers on bytes read, and what keeps a residual in bytes. */
void quantize_demand(struct quantize_plan *plan);
/* Whether the operator only moves its input's elements or picks among them, so that it can do the same to bytes. */
bool quantize_moves(const struct node *node);
/* The value whose elements moving operators moved. */
const struct value *quantize_source(const struct value *value);
/* Of a layer's weights: element k of n of output channel c. */
int64_t quantize_weight_at(const struct quantize_layer *layer, int64_t n, int64_t c, int64_t k);
bool layer_is_bytes(const struct quantize_layer *layer);
double layer_loss(const struct quantize_layer *layer); /* relative, 0 where nothing was measured */

/* The graph's outputs, then those points that are neither inputs nor constants, in order. */
struct graph *quantize_watch(const struct quantize_plan *plan, struct arena *unit);
bool point_is_watched(const struct quantize_point *point);

/* The channels of points: before the first run. */
void quantize_channels(struct quantize_plan *plan);
/* Factors for all points with channels by this power of what was seen; 0: none. Before the histograms. */
void quantize_equalize(struct quantize_plan *plan, double power);
/* What a run saw: first the bounds of all samples, then the histogram between them. */
void point_bound(struct quantize_point *point, const struct tensor *values);
void point_count(struct quantize_point *point, const struct tensor *values);
void point_choose(struct quantize_point *point, enum quantize_method method, double percentile);

/* For every layer with layer_is_bytes three outputs: sum of squares of its error and of its result, and the sums by channel
 * of float minus quantized product. */
struct graph *quantize_local(struct quantize_plan *plan, struct arena *unit);
/* The float graph with a further input for every layer, in order, f32[]: with 1 the layer is one on bytes, with 0 as it was. */
struct graph *quantize_switch(struct quantize_plan *plan, struct arena *unit);
struct graph *quantize_rewrite(struct quantize_plan *plan, struct arena *unit);

#endif
