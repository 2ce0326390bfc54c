/* Limits of the graph interpreter (graph_eval.c); its functions are declared in graph.h. */
#ifndef TENON_GRAPH_EVAL_H
#define TENON_GRAPH_EVAL_H
#include "graph.h"

#define EVAL_BYTES_MOST ((int64_t)1 << 33) /* of one tensor */
#define EVAL_TRIPS_MOST 100000000          /* of one loop */

#endif
