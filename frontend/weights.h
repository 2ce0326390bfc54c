/* Files of tensors: safetensors, npz and npy.
 *
 * The file is mapped; a tensor's data points into it where it is stored plainly and aligned, otherwise it is copied
 * into the session. Files are hostile: every length and offset is checked before use.
 */
#ifndef TENON_WEIGHTS_H
#define TENON_WEIGHTS_H
#include "../ir/diag.h"
#include "../ir/type.h"

struct weight {
    const char *name;
    struct tensor tensor;
};
struct weights {
    const char *path;
    LIST(struct weight) tensors;
    uint64_t left_bytes; /* that copies and unpacking may still take: a small file must not fill the memory */
};

/* Reads the file's directory of tensors; the kind is told from the contents. NULL after an error at `place`. */
struct weights *weights_open(struct arena *session, const char *path, struct diag *diag, struct place place);
/* The same from bytes, which must stay (n_bytes of them, any alignment). */
struct weights *weights_read(struct arena *session, const char *path, const unsigned char *bytes, size_t n_bytes,
                             struct diag *diag, struct place place);
/* NULL where the file has none of that name. */
const struct tensor *weights_find(const struct weights *weights, const char *name);

/* Between the readers: where a mistake in the file is reported. */
struct weights_file {
    struct arena *session;
    struct diag *diag;
    struct place place;
    const char *path;
    const unsigned char *bytes;
    size_t n_bytes;
    struct weights *weights;
};
bool weights_error(const struct weights_file *file, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Takes n bytes of what the file may use; false after an error. */
bool weights_spend(const struct weights_file *file, uint64_t n);
/* Adds a tensor whose data are n_bytes at `data` (inside the mapping or the session); checks type against size. */
bool weights_add(const struct weights_file *file, const char *name, const struct type *type, const unsigned char *data,
                 size_t n_bytes);
bool safetensors_read(const struct weights_file *file);
bool npz_read(const struct weights_file *file);
/* One .npy image as the tensor `name`. */
bool npy_read(const struct weights_file *file, const char *name, const unsigned char *bytes, size_t n_bytes);

#endif
