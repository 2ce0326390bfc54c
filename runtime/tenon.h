/* What a compiled model says about itself. Independent of the compiler; C11 and C++.
 *
 * A model NAME exports `const struct tenon_model NAME_model`; a shared library or executable also the function
 * tenon_model_get. Tensors are dense, row-major, little-endian, a byte per bool; f16 and bf16 are their 16 bits.
 */
#ifndef TENON_H
#define TENON_H
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

enum { TENON_VERSION = 4 };

enum tenon_dtype {
    TENON_F64,
    TENON_F32,
    TENON_F16,
    TENON_BF16,
    TENON_I8,
    TENON_I16,
    TENON_I32,
    TENON_I64,
    TENON_U8,
    TENON_U16,
    TENON_U32,
    TENON_U64,
    TENON_BOOL
};

/* Status of a run: 0 fine, positive: a check of the model failed on the data, negative: */
enum {
    TENON_BAD_DIMENSION = -1,
    TENON_NO_WEIGHTS = -2,
    TENON_NO_CPU = -3, /* the model has no code for this machine: it needs a wider instruction set */
    TENON_NO_DEVICE = -4 /* the model's OpenCL device is not there or refused: `message` has words */
};

struct tenon_symbol { /* a dimension that is known at run time only */
    const char *name;
    int64_t least, most; /* allowed values */
};
struct tenon_dim {
    int64_t size;                               /* the number, or -1 */
    int symbol;                                 /* the symbol whose value it is, or -1; with a formula: the symbol that
                                                   has this size as its value, if the formula then gives the size */
    int64_t (*formula)(const int64_t *symbols); /* where it is computed from symbols, else NULL */
};
struct tenon_value { /* an input or output */
    const char *name;
    enum tenon_dtype dtype;
    int rank;
    const struct tenon_dim *dims;
};
/* Threads that the caller supplies to models compiled with --threads. */
struct tenon_pool {
    int workers; /* that it can run at one time, the calling thread included */
    void *context;
    /* Calls work(argument, 0) .. work(argument, n - 1), n <= workers, all at the same time (they wait for one another),
     * and returns after all of them. */
    void (*run)(void *context, int n, void (*work)(void *argument, int worker), void *argument);
};
struct tenon_model {
    int version; /* TENON_VERSION of the compiler */
    const char *name;
    int n_inputs, n_outputs, n_symbols;
    const struct tenon_value *inputs, *outputs;
    const struct tenon_symbol *symbols;
    int64_t weight_bytes;
    int64_t arena_bytes; /* enough for every allowed size; INT64_MAX where that has no useful bound */
    int64_t (*arena_bytes_for)(const int64_t *symbols);
    /* Runs the model after checking the symbols' ranges. Pointers in the order of inputs and outputs; arena aligned
     * to 64 bytes. No allocation, reentrant with different arenas. Returns the status. */
    int (*run)(const void *const *inputs, const int64_t *symbols, void *const *outputs, void *arena);
    /* Maps the weights from a file; NULL where they are inside. Returns 0, or TENON_NO_WEIGHTS. Not reentrant. */
    int (*load)(const char *path);
    /* From version 2. threads: most workers of a run, 0 or 1: the caller alone. use_threads: at most that many from now
     * on (0: as compiled), of the pool, which stays the caller's (NULL: the model's own threads, made at the first run,
     * asleep between runs); NULL where there are none. Results are the same bits for every number. */
    int threads;
    void (*use_threads)(int workers, const struct tenon_pool *pool);
    /* From version 3, for models compiled for several CPUs, else NULL. cpus: their names, narrowest first, NULL at the
     * end. cpu: the one whose code runs now, the widest that this machine has the instructions of; NULL where it has
     * too few for each. use_cpu: the code for this one from now on (NULL: the widest); returns 0, or TENON_NO_CPU where
     * that does not run here or is none of them. */
    const char *const *cpus;
    const char *(*cpu)(void);
    int (*use_cpu)(const char *cpu);
    /* From version 4, for models of an OpenCL device, else NULL: what the last failure was, "" where there was none. */
    const char *(*message)(void);
};
const struct tenon_model *tenon_model_get(void);

#ifdef __cplusplus
}
#endif
#endif
