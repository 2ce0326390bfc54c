/* A model's file as bytes in memory: mapped, never copied, so that weights can stay where the file has them. */
#ifndef TENON_FILE_MAP_H
#define TENON_FILE_MAP_H
#include "../ir/diag.h"

#define FILE_BYTES_MOST ((int64_t)2 << 30)

struct file_bytes {
    const void *at;
    size_t n;
};
/* Maps a regular file that is not empty and within the limit; false after a message at place. */
bool file_map(struct diag *diag, struct place place, const char *path, struct file_bytes *bytes);
void file_unmap(struct file_bytes bytes);

#endif
