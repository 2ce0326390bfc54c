/* Back ends and artefacts. A back end only prints: it makes no choice that changes speed or memory.
 *
 * What a compiled model NAME exports (runtime/tenon.h has the descriptor's types):
 *   int NAME_run(const struct NAME_inputs *, const struct NAME_outputs *, void *arena);   0, or the code of a failed check
 *   const struct tenon_model NAME_model;      names, dtypes, dims, arena and weight bytes, entry points
 *   void NAME_plain(in0, .., out0, ..);       inputs then outputs as pointers, arena static (peers.py's `cabi`)
 * With several threads NAME_run is C text that lets runtime/pool.c call NAME_part, of type tenon_part, on each of them.
 * struct NAME_inputs is all input pointers in order followed by one int64_t per symbol; NAME_outputs all output
 * pointers. So NAME_run may be printed as a function of three pointers whose first is an array of 8-byte words.
 *
 * Division of labour: c.c and llvm.c print kernels and NAME_run; interface.c prints everything else (structs,
 * descriptor, plain call) as C text for both; weights.c lays out the weight section NAME_weights (64-byte aligned);
 * link.c runs the C compiler (by argument vector, never a shell) and puts the artefact together.
 * Extern functions: `int tenon_NAME(void *const *buffers, const int64_t *scalars)`, from ir/extern.c, whose text is
 * carried into the artefact when used.
 */
#ifndef TENON_CODEGEN_H
#define TENON_CODEGEN_H
#include "../ir/prog.h"
#include "../ir/target.h"

/* The row of ir/targets.def that this machine runs ("native"). */
const struct target *host_target(void);

/* Offsets in bytes of each SPACE_WEIGHT buffer inside NAME_weights, by buffer id, and the section's size. */
struct weights_layout {
    const int64_t *offset_bytes;
    int64_t n_bytes;
};
void weights_place(const struct prog *prog, struct arena *arena, struct weights_layout *layout);
bool weights_write(const struct prog *prog, const struct weights_layout *layout, const char *path, struct diag *diag);

struct c_options {
    const struct target *target;
    bool weights_file; /* weights come from a mapped file at load instead of the object's own section */
    bool kernels_apart; /* what this text calls is LLVM's, in another object */
};
/* The program as C11: kernels and NAME_run into *code. */
void c_print(const struct prog *prog, const struct c_options *options, struct text *code);
/* The header a user includes, and the C text of descriptor and plain call. */
void interface_print(const struct prog *prog, const struct c_options *options, struct text *header, struct text *code);

enum llvm_output { LLVM_OBJECT, LLVM_ASSEMBLY, LLVM_IR };
struct llvm_options {
    const struct target *target;
    enum llvm_output output;
    bool weights_file; /* NAME_weights is a pointer variable, as in c_options, instead of the bytes themselves */
};
/* Kernels and NAME_run through LLVM into the file `path`. False where LLVM was not built in, or after an error. */
bool llvm_emit(const struct prog *prog, const struct llvm_options *options, const char *path, struct diag *diag);
bool llvm_is_built_in(void);

enum backend { BACKEND_C, BACKEND_LLVM };
struct link_options {
    enum backend backend;
    const struct target *target;
    bool weights_file;
    const char *cc;       /* C compiler, default "cc" */
    bool keep_temporary;
};
/* Writes the artefact whose suffix out_path has: .c (with .h) .o .a .so .ll .s, none: an executable. Adds the
 * paths written to *written (text, one per line) when not NULL. */
bool link_artefact(const struct prog *prog, const struct link_options *options, const char *out_path, struct text *written, struct diag *diag);

#endif
