/* What an OpenCL device can do: the facts schedules are chosen by. Found by probing (frontend/cmd_devices.c), kept as a
 * text of `key value` lines, given by --device=FILE where the device is not here. */
#ifndef TENON_DEVICE_H
#define TENON_DEVICE_H
#include "diag.h"
#include "prog.h"
#include "target.h"
#include "text.h"
#include <stdint.h>

struct device {
    const char *name, *platform, *version; /* "" unknown */
    bool is_cpu;
    int compute_units;
    int vector_bytes;      /* widest vector worth using in a work-item */
    int work_group_most;   /* work-items */
    int sub_group;         /* work-items in step; 1: none */
    int64_t local_bytes;   /* of local memory; 0: none worth using */
    int64_t memory_bytes, allocation_bytes; /* all of it; most in one buffer */
    bool has_f64, has_f16, has_fma, has_dot8, has_inline_ptx;
    bool has_stages; /* a group may wait for what another one is at work on (runtime/opencl_stages.cl); CPUs only */
};
/* The record in the text, every key at most once, missing ones as in device_plain; NULL after messages. */
const struct device *device_read(const struct source *source, struct arena *arena, struct diag *diag);
void device_print(const struct device *device, struct text *text);
/* What is assumed of a device of which nothing is known: a CPU of two units, a GPU. */
extern const struct device device_plain_cpu, device_plain_gpu;
/* The target that schedules for it go by, in arena: for a CPU device `cpu`, within what OpenCL and the device have. */
const struct target *device_target(const struct device *device, const struct target *cpu, struct arena *arena);
/* "cpu", "gpu"; NULL for other names. */
const struct device *device_find(const char *name);

/* What the kernels of a program bound to a device (pass bind) ask of it. */
struct device_needs {
    bool f64;           /* some compute in double precision */
    int64_t lanes_most; /* work-items of the largest group */
};
struct device_needs device_needs(const struct prog *prog);
/* Whether the device has that, and room for arena and weights; false after messages. */
bool device_fits(const struct device *device, const struct prog *prog, int64_t weight_bytes, struct diag *diag);

/* Where a node of a graph is computed: what `place` and --place say. NONE: wherever the model as a whole is. */
enum home { HOME_NONE, HOME_CPU, HOME_OPENCL };
/* "cpu", "opencl"; "" for NONE. */
const char *home_name(enum home home);
/* False, after a message at the place, where the name is neither. */
bool home_read(const char *name, struct place place, struct diag *diag, enum home *home);

#endif
