/* What a compiled object takes of a machine: see measure.c. */
#ifndef TENON_MEASURE_H
#define TENON_MEASURE_H
#include "../ir/diag.h"

struct object_size {
    int64_t flash_bytes; /* code and constants */
    int64_t ram_bytes;   /* static memory */
    int64_t stack_bytes; /* of the deepest chain of calls below the function asked about; -1: the compiler does not say */
    const char *others;  /* functions of the compiler's library that it calls, whose stack is not counted; "": none */
};
/* Of the ELF file `path`, and the call graph that gcc writes with -fcallgraph-info=su (NULL where there is none), for a
 * call of `function`. False after an error. */
bool object_measure(const char *path, const char *call_graph, const char *function, struct arena *arena, struct object_size *size,
                    struct diag *diag);

#endif
