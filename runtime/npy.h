/* Tensors in files, for compiled executables: .npy, members of .npz, and ONNX TensorProto .pb.
 *
 * Files are not trusted: every length and offset is checked before use, and sizes cannot overflow. Functions return
 * 0 and leave a message in `error` when something is wrong; data is malloc'd and the caller's to free.
 */
#ifndef TENON_NPY_H
#define TENON_NPY_H
#include "tenon.h"
#include <stddef.h>

enum { ARRAY_RANK_MOST = 16, ERROR_BYTES = 512 };

struct array {
    enum tenon_dtype dtype;
    int rank;
    int64_t dims[ARRAY_RANK_MOST];
    int64_t n_bytes;
    void *data; /* dense, row-major */
};

const char *array_dtype_name(enum tenon_dtype dtype);
int64_t array_dtype_bytes(enum tenon_dtype dtype);
/* Bytes of an array with these dims into *n_bytes; 0 where one is negative or the product is beyond all sense. */
int array_size(enum tenon_dtype dtype, int rank, const int64_t *dims, int64_t *n_bytes);

/* Reads `path` by its suffix: .npy, .pb, or .npz, of which member NAME.npy is taken. */
int array_read(const char *path, const char *name, struct array *array, char *error);
/* Whether the .npz file has a member for `name`. */
int array_in_npz(const char *path, const char *name);
int array_write_npy(const char *path, const struct array *array, char *error);

/* The formats, on bytes in memory. */
int npy_parse(const unsigned char *bytes, size_t n_bytes, struct array *array, char *error);
int pb_parse(const unsigned char *bytes, size_t n_bytes, struct array *array, char *error);
/* The zip member into malloc'd *bytes. */
int zip_member(const unsigned char *zip, size_t n_zip, const char *member, unsigned char **bytes, size_t *n_bytes,
               char *error);
/* Raw deflate data into exactly n_out bytes. */
int inflate_bytes(const unsigned char *in, size_t n_in, unsigned char *out, size_t n_out);

#endif
