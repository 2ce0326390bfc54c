/* Files as bytes in memory. See file_map.h. */
#define _GNU_SOURCE
#include "file_map.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

bool file_map(struct diag *diag, struct place place, const char *path, struct file_bytes *bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (fd < 0) return diag_error(diag, place, "cannot open %s: %s", path, strerror(errno));
    bool ok = false;
    if (fstat(fd, &status)) diag_error(diag, place, "cannot read %s: %s", path, strerror(errno));
    else if (!S_ISREG(status.st_mode)) diag_error(diag, place, "%s is not a regular file", path);
    else if (status.st_size > FILE_BYTES_MOST)
        diag_error(diag, place, "the file has %lld bytes; at most 2 GiB are taken", (long long)status.st_size);
    else if (status.st_size == 0) diag_error(diag, place, "the file is empty");
    else {
        void *at = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        ok = at != MAP_FAILED;
        if (ok) *bytes = (struct file_bytes){at, (size_t)status.st_size};
        else diag_error(diag, place, "cannot map %s: %s", path, strerror(errno));
    }
    close(fd);
    return ok;
}

void file_unmap(struct file_bytes bytes)
{
    munmap((void *)(uintptr_t)bytes.at, bytes.n);
}
