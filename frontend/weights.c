/* Opening a file of tensors and finding tensors in it.  See weights.h; formats: weights_safetensors.c, weights_npz.c.
 */
#define _POSIX_C_SOURCE 200809L
#include "weights.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

bool weights_error(const struct weights_file *file, const char *format, ...)
{
    char words[512];
    va_list args;
    va_start(args, format);
    vsnprintf(words, sizeof words, format, args);
    va_end(args);
    return diag_error(file->diag, file->place, "%s: %s", file->path, words);
}

bool weights_spend(const struct weights_file *file, uint64_t n)
{
    if (n > file->weights->left_bytes)
        return weights_error(file, "the tensors take far more memory than the file has bytes");
    file->weights->left_bytes -= n;
    return true;
}

bool weights_add(const struct weights_file *file, const char *name, const struct type *type, const unsigned char *data,
                 size_t n_bytes)
{
    int64_t count = type_count(type), bytes = 0;
    if (count < 0 || !size_mul(count, dtype_bytes(type->dt), &bytes) || (uint64_t)bytes != n_bytes)
        return weights_error(file, "tensor \"%.100s\" has %zu bytes of data, its shape needs %lld", name, n_bytes,
                             (long long)bytes);
    for (size_t i = 0; type->dt == DT_bool && i < n_bytes; i++)
        if (data[i] > 1) return weights_error(file, "tensor \"%.100s\": a bool is %d", name, data[i]);
    if ((uintptr_t)data % (uintptr_t)dtype_bytes(type->dt) != 0) {
        if (!weights_spend(file, n_bytes)) return false;
        data = arena_copy(file->session, data, n_bytes);
    }
    struct weight weight = {arena_strdup(file->session, name), {*type, data, bytes, false}};
    LIST_PUSH(file->session, &file->weights->tensors, weight);
    return true;
}

struct weights *weights_read(struct arena *session, const char *path, const unsigned char *bytes, size_t n_bytes,
                             struct diag *diag, struct place place)
{
    struct weights *weights = NEW(session, struct weights);
    struct weights_file file = {session, diag, place, path, bytes, n_bytes, weights};
    weights->path = arena_strdup(session, path);
    weights->left_bytes = n_bytes < (1 << 20) ? 64 << 20 : 64 * (uint64_t)n_bytes;
    bool ok;
    if (n_bytes >= 6 && !memcmp(bytes, "\x93NUMPY", 6)) {
        const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
        size_t n = strlen(base);
        ok = npy_read(&file, arena_strndup(session, base, n > 4 && !strcmp(base + n - 4, ".npy") ? n - 4 : n), bytes,
                      n_bytes);
    } else if (n_bytes >= 4 && (!memcmp(bytes, "PK\3\4", 4) || !memcmp(bytes, "PK\5\6", 4))) ok = npz_read(&file);
    else if (n_bytes > 8 && bytes[8] == '{') ok = safetensors_read(&file);
    else ok = weights_error(&file, "neither safetensors, npz nor npy");
    return ok ? weights : NULL;
}

struct weights *weights_open(struct arena *session, const char *path, struct diag *diag, struct place place)
{
    struct weights_file file = {.diag = diag, .place = place, .path = path};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        weights_error(&file, "%s", strerror(errno));
        return NULL;
    }
    struct stat status;
    void *bytes = MAP_FAILED;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) weights_error(&file, "not a plain file");
    else if (status.st_size == 0) weights_error(&file, "the file is empty");
    else if ((bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0)) == MAP_FAILED)
        weights_error(&file, "%s", strerror(errno));
    close(fd);
    if (bytes == MAP_FAILED) return NULL;
    return weights_read(session, path, bytes, (size_t)status.st_size, diag, place);
}

const struct tensor *weights_find(const struct weights *weights, const char *name)
{
    for (int i = 0; i < weights->tensors.n; i++)
        if (!strcmp(weights->tensors.at[i].name, name)) return &weights->tensors.at[i].tensor;
    return NULL;
}
