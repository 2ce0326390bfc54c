/* Binaries of OpenCL programs on disk, by a hash of all that they depend on. Carried as text, see opencl_api.c.
 *
 * A file is a head (magic, key, length, checksum) and the bytes; what is damaged or foreign is not used, and replaced.
 * It is written under a temporary name and renamed, so that nobody reads half a file. Only a cache: whatever fails
 * here fails silently. The folder: $TENON_CACHE, else $XDG_CACHE_HOME/tenon, else $HOME/.cache/tenon; none where
 * TENON_CACHE is empty.
 */
#ifndef TENON_OPENCL_CACHE
#define TENON_OPENCL_CACHE
#ifndef TENON_OPENCL_API
#include "opencl_api.c"
#endif
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TENON_CL_PATH = 1024 };
struct tenon_cl_hash {
    uint64_t a, b;
};
struct tenon_cl_file { /* the head */
    char magic[8];
    struct tenon_cl_hash key;
    uint64_t n_bytes;
    struct tenon_cl_hash checksum; /* of the bytes */
};
static const char tenon_cl_magic[8] = "tnclbin1";

/* Two lanes of multiply and rotate over words of 8 bytes. Against accidents, not against forgers. */
static struct tenon_cl_hash tenon_cl_mix(struct tenon_cl_hash hash, const void *bytes, size_t n)
{
    const unsigned char *at = bytes;
    hash.a ^= n;
    for (size_t i = 0; i < n; i += 8) {
        uint64_t word = 0;
        memcpy(&word, at + i, n - i < 8 ? n - i : 8);
        hash.a = (hash.a ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        hash.a ^= hash.a >> 29;
        hash.b = ((hash.b << 23 | hash.b >> 41) + word) * UINT64_C(0xd6e8feb86659fd93);
        hash.b ^= hash.b >> 32;
    }
    uint64_t a = hash.a;
    hash.a += hash.b * UINT64_C(0xff51afd7ed558ccd);
    hash.b ^= (a << 31 | a >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    return hash;
}

static bool tenon_cl_cache_folder(char folder[TENON_CL_PATH])
{
    const char *own = getenv("TENON_CACHE"), *common = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n;
    if (own) n = snprintf(folder, TENON_CL_PATH, "%s", own);
    else if (common && *common) n = snprintf(folder, TENON_CL_PATH, "%s/tenon", common);
    else if (home && *home) n = snprintf(folder, TENON_CL_PATH, "%s/.cache/tenon", home);
    else return false;
    return n > 0 && n < TENON_CL_PATH - 80;
}

/* Makes the folder with those that it lies in. */
static bool tenon_cl_make_folder(const char *folder)
{
    char path[TENON_CL_PATH];
    snprintf(path, sizeof path, "%s", folder);
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(path, 0700);
        *slash = '/';
    }
    return mkdir(path, 0700) == 0 || errno == EEXIST;
}

static bool tenon_cl_cache_path(struct tenon_cl_hash key, char path[TENON_CL_PATH])
{
    if (!tenon_cl_cache_folder(path)) return false;
    size_t n = strlen(path);
    snprintf(path + n, TENON_CL_PATH - n, "/%016llx%016llx.bin", (unsigned long long)key.a, (unsigned long long)key.b);
    return true;
}

static bool tenon_cl_read_all(int file, void *bytes, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t now = read(file, (char *)bytes + done, n - done);
        if (now <= 0 && !(now < 0 && errno == EINTR)) return false;
        if (now > 0) done += (size_t)now;
    }
    return true;
}

static bool tenon_cl_write_all(int file, const void *bytes, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t now = write(file, (const char *)bytes + done, n - done);
        if (now < 0 && errno != EINTR) return false;
        if (now > 0) done += (size_t)now;
    }
    return true;
}

static bool tenon_cl_hash_equal(struct tenon_cl_hash x, struct tenon_cl_hash y)
{
    return x.a == y.a && x.b == y.b;
}

/* The bytes kept under this key, for the caller to free; NULL: there are none. */
static unsigned char *tenon_cl_cache_read(struct tenon_cl_hash key, size_t *n_bytes)
{
    char path[TENON_CL_PATH];
    struct tenon_cl_file head;
    struct stat state;
    unsigned char *bytes = NULL;
    int file = tenon_cl_cache_path(key, path) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return NULL;
    if (fstat(file, &state) == 0 && state.st_size > (off_t)sizeof head && tenon_cl_read_all(file, &head, sizeof head) &&
        !memcmp(head.magic, tenon_cl_magic, sizeof head.magic) && tenon_cl_hash_equal(head.key, key) &&
        head.n_bytes == (uint64_t)state.st_size - sizeof head)
        bytes = malloc((size_t)head.n_bytes);
    struct tenon_cl_hash sum = {0, 0};
    bool good = bytes && tenon_cl_read_all(file, bytes, (size_t)head.n_bytes);
    if (good) sum = tenon_cl_mix(sum, bytes, (size_t)head.n_bytes);
    if (!good || !tenon_cl_hash_equal(sum, head.checksum)) {
        free(bytes);
        bytes = NULL;
    }
    close(file);
    if (bytes) *n_bytes = (size_t)head.n_bytes;
    return bytes;
}

static void tenon_cl_cache_write(struct tenon_cl_hash key, const unsigned char *bytes, size_t n_bytes)
{
    char folder[TENON_CL_PATH], path[TENON_CL_PATH], made[TENON_CL_PATH];
    struct tenon_cl_file head = {.key = key, .n_bytes = n_bytes};
    memcpy(head.magic, tenon_cl_magic, sizeof head.magic);
    head.checksum = tenon_cl_mix(head.checksum, bytes, n_bytes);
    if (!tenon_cl_cache_folder(folder) || !tenon_cl_make_folder(folder) || !tenon_cl_cache_path(key, path)) return;
    snprintf(made, sizeof made, "%.*s/new-XXXXXX", TENON_CL_PATH - 80, folder);
    int file = mkstemp(made);
    if (file < 0) return;
    bool good = tenon_cl_write_all(file, &head, sizeof head) && tenon_cl_write_all(file, bytes, n_bytes);
    if (close(file) != 0 || !good || rename(made, path) != 0) unlink(made);
}
#endif
