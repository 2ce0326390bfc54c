/* Back ends and artefacts. A back end only prints: it makes no choice that changes speed or memory.
 *
 * What a compiled model NAME exports (runtime/tenon.h has the descriptor's types):
 *   int NAME_run(const struct NAME_inputs *, const struct NAME_outputs *, void *arena);   0, or the code of a failed check
 *   const struct tenon_model NAME_model;      names, dtypes, dims, arena and weight bytes, entry points
 *   void NAME_plain(in0, .., out0, ..);       inputs then outputs as pointers, arena static (peers.py's `cabi`)
 * Several versions of a model (struct emission) have these names once; their own functions are not visible outside.
 * With several threads NAME_run is C text that lets runtime/pool.c call NAME_part, of type tenon_part, on each of them.
 * struct NAME_inputs is all input pointers in order followed by one int64_t per symbol; NAME_outputs all output
 * pointers. So NAME_run may be printed as a function of three pointers whose first is an array of 8-byte words.
 *
 * With OpenCL NAME_run goes to a device (opencl_host.c), and works with no arena of the caller's.
 *
 * Division of labour: c.c and llvm.c print kernels and NAME_run; interface.c prints everything else (structs,
 * descriptor, plain call) as C text for both; versions.c what several versions of a model need; weights.c lays out the weight section NAME_weights (64-byte aligned);
 * link.c runs the C compiler (by argument vector, never a shell) and puts the artefact together.
 * Extern functions: `int tenon_NAME(void *const *buffers, const int64_t *scalars)`, from ir/extern.c, whose text is
 * carried into the artefact when used.
 */
#ifndef TENON_CODEGEN_H
#define TENON_CODEGEN_H
#include "../ir/device.h"
#include "../ir/prog.h"
#include "../ir/target.h"

#include <stdio.h>

/* The row of ir/targets.def that this machine runs ("native"). */
const struct target *host_target(void);

/* A model's program planned for one target. */
struct version {
    const struct prog *prog;
    const struct target *target;
    const char *prefix; /* of its functions' names: "NAME_"; "NAME_x86_64_v3__" where it is one of several */
};

/* The weight section NAME_weights, of all versions together: what two of them pack alike is there once. */
struct weights_layout {
    const int64_t **offset_bytes; /* by version, by buffer id */
    int64_t *version_bytes;       /* by version: what it reads */
    int64_t n_bytes, alignment; /* of each tensor */
    const struct tensor **tensors; /* in their order */
    int n_tensors;
};
void weights_place(const struct version *versions, int n_versions, struct arena *arena, struct weights_layout *layout);
/* The section's bytes, into an open file; into a file of their own. */
bool weights_put(const struct weights_layout *layout, FILE *file);
bool weights_write(const struct weights_layout *layout, const char *path, struct diag *diag);

/* What is printed into one artefact. Of several versions, narrowest instruction set first, the widest that the machine
 * has is chosen at the first run (runtime/cpu.c): all text that is not of a version is for any x86-64. */
struct emission {
    const char *name;
    struct version *versions;
    int n_versions;
    struct weights_layout weights;
    dim arena_bytes; /* enough for each version */
    int threads;     /* the most of a version */
    bool weights_file;  /* weights come from a mapped file at load: NAME_weights is a pointer variable */
    bool kernels_apart; /* kernels are LLVM's, in other objects */
    bool freestanding;  /* --freestanding: no libc, arena and weights inside the text */
    const struct device_needs *opencl; /* kernels are a text of OpenCL C; NULL: not */
};
/* The versions (prog and target given) as an emission, in arena. */
void emission_open(const struct version *versions, int n_versions, struct arena *arena, struct emission *emission);

/* The versions as C11: kernels and NAME_run, or what the interface's NAME_run calls, into *code. */
void c_print(const struct emission *emission, struct text *code);
/* The header a user includes, and the C text of descriptor, choice of a version and plain call. */
void interface_print(const struct emission *emission, struct text *header, struct text *code);

enum llvm_output { LLVM_ASSEMBLY, LLVM_IR };
/* Kernels and NAME_run through LLVM, of several versions with the choice among them, as text into the file `path`.
 * False where LLVM was not built in, or after an error. */
bool llvm_text(const struct emission *emission, enum llvm_output output, const char *path, struct diag *diag);
/* The same as object files in `folder`, whose names are added to *names, a line each; of several versions without the
 * choice, which the interface's C text makes. */
bool llvm_objects(const struct emission *emission, const char *folder, struct text *names, struct diag *diag);
bool llvm_is_built_in(void);

enum backend { BACKEND_C, BACKEND_LLVM, BACKEND_OPENCL };
struct link_options {
    enum backend backend;
    const struct target *target;
    const struct version *wider; /* the same model for wider instruction sets, narrowest first; prefix is not read */
    int n_wider;
    const struct device *device; /* BACKEND_OPENCL: what the kernels are for */
    bool weights_file;
    bool freestanding;    /* C text that needs no libc */
    bool measure;         /* freestanding: cc compiles the text, so that its header can say what flash and stack it takes */
    int64_t max_flash_bytes, max_ram_bytes; /* freestanding: more is an error; 0: no limit */
    bool *too_large; /* where code is over max_flash_bytes and may be made again with less: told so, and no error; else NULL */
    const char *cc;       /* C compiler, default "cc" */
    bool keep_temporary;
};
/* Writes the artefact whose suffix out_path has: .c (with .h) .o .a .so .ll .s, none: an executable; OpenCL's text as .cl
 * (with .c and .h). Adds the
 * paths written to *written (text, one per line) when not NULL. */
bool link_artefact(const struct prog *prog, const struct link_options *options, const char *out_path, struct text *written, struct diag *diag);

#endif
