/* A compiled model on an OpenCL device: what the host text of a model compiled with --target=opencl calls, and what its
 * user may call. Carried as text in front of that host text; everything is static there.
 *
 * A model's kernels are one text of OpenCL C; its main is C, which calls tenon_cl_call for every kernel. Kernel
 * parameters are, for every buffer, a __global pointer to the whole memory and a long that says at which element of it
 * the buffer begins; then the scalars; then, for kernels that can fail or have stages, a __global int pointer to the words
 * of all kernels, of which the first is the status, and others, zero between kernels, count what is done of stages.
 *
 * Errors stick: after the first one everything else of the run does nothing, and tenon_cl_end returns its status.
 */
#ifndef TENON_OPENCL_H
#define TENON_OPENCL_H
#ifndef TENON_H
#include "tenon.h"
#endif
#include <stdbool.h>
#include <stddef.h>

struct tenon_cl_site { /* a call in the model's main */
    const char *kernel;         /* its name in the text; NULL: what the host does itself, and transfers */
    const char *layers;         /* of the model, for profiles */
    int n_buffers, n_scalars;
    const unsigned char *scalar_bytes; /* of each scalar: 1, 2, 4 or 8 */
    bool takes_words; /* it can fail or has stages */
};
struct tenon_cl_model { /* constant, printed by the compiler */
    const char *name;
    const char *text; /* the kernels */
    size_t text_bytes;
    const char *options;  /* for the device's compiler */
    int64_t weight_bytes;
    int n_inputs, n_outputs, n_sites;
    const struct tenon_cl_site *sites;
    bool wants_cpu; /* its schedule is for a CPU device: taken first where several devices are there */
    bool needs_f64, can_fail;
    int n_words;    /* of all kernels, see above; 0: none */
    int lanes_most; /* largest work-group */
};
/* Memories by number: then the inputs in order, then the outputs. */
enum { TENON_CL_ARENA, TENON_CL_WEIGHTS, TENON_CL_VALUES };
struct tenon_cl_buffer { /* an argument */
    int memory;
    int64_t at;    /* first element */
    int64_t bytes; /* from there on; read by tenon_cl_read only */
    int element_bytes;
};
union tenon_cl_scalar {
    int64_t i64; /* integers of any size, little-endian */
    float f32;
    double f64;
};
struct tenon_cl; /* a model on a device */

/* The model on a device: by number in the order of `tenon devices`, -1: the environment's TENON_DEVICE (a number or a
 * part of a name), else the first that suits. weights: the caller's, unchanged until close: devices that share the
 * host's memory read them where they are, if aligned to 64 bytes. Never NULL: a failure is in tenon_cl_status, and all
 * other calls then do nothing. Kernels come out of the cache on disk where they are there. */
static struct tenon_cl *tenon_cl_open(const struct tenon_cl_model *model, const void *weights, int device, bool profile);
static void tenon_cl_close(struct tenon_cl *cl);         /* waits for a run that ended with an event */
static int tenon_cl_status(const struct tenon_cl *cl);          /* 0 or the sticky error of the last run or of open */
static const char *tenon_cl_message(const struct tenon_cl *cl); /* words for it, with the failing function's name; "" */

/* A run: begin, the calls of main, end, all in one thread. begin takes the model's lock, sends the inputs and makes the
 * arena at least so large; end reads the outputs, waits (done NULL), gives the lock back and returns the status: 0, a
 * model's failed check (positive) or a negative number; then outputs hold nothing of use. With done, end returns at
 * once, with *done an event (cl_event) that the caller waits for and releases, or NULL where it failed; outputs and
 * tenon_cl_status are there after it, inputs and outputs must stay until then, and the next begin waits for it too. */
static void tenon_cl_begin(struct tenon_cl *cl, int64_t arena_bytes, const void *const *inputs, const int64_t *input_bytes,
                           const int64_t *output_bytes);
static int tenon_cl_end(struct tenon_cl *cl, void *const *outputs, void **done);
/* One kernel over groups * lanes work-items, lanes to a group. Does not wait. */
static void tenon_cl_call(struct tenon_cl *cl, int site, int64_t groups, int64_t lanes, const struct tenon_cl_buffer *buffers,
                          const union tenon_cl_scalar *scalars);
/* The bytes of a buffer on the host, after all that was called before: for main's own reads, of a few elements. Never
 * NULL; zeros after an error, that main's loops end. Valid until the next call of this kind. */
static const void *tenon_cl_read(struct tenon_cl *cl, struct tenon_cl_buffer buffer);
/* Memory for what the model computes on the host, aligned to 64 bytes, between begin and end; NULL after an error. */
static void *tenon_cl_host(struct tenon_cl *cl, int64_t n_bytes);
/* Bytes of the host to a buffer and back, in the queue behind all that was called before. Nobody waits: the host's bytes
 * must stay as they are, or are not there, until tenon_cl_wait of the same call (or a later one) returned 0. */
static void tenon_cl_send(struct tenon_cl *cl, int site, struct tenon_cl_buffer buffer, int64_t n_bytes, const void *from);
static void tenon_cl_receive(struct tenon_cl *cl, int site, struct tenon_cl_buffer buffer, int64_t n_bytes, void *to);
/* 0, or the run's status, with which main ends. */
static int tenon_cl_wait(struct tenon_cl *cl, int site);
/* After a run of a model opened with profile: every call in order, with its seconds on the device. */
static void tenon_cl_times(struct tenon_cl *cl, void (*note)(void *context, int site, double start, double end),
                           void *context);

#endif
