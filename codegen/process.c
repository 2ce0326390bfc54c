/* Folders, files and processes. See process.h.
 *
 * Tools run inside the private folder and get relative names, so no path of this machine gets into what they write.
 */
#define _GNU_SOURCE /* posix_spawn_file_actions_addchdir_np */
#include "process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

const char *folder_make(struct arena *arena, struct diag *diag)
{
    const char *base = getenv("TMPDIR");
    char *path = arena_printf(arena, "%s/tenon-XXXXXX", base && *base ? base : "/tmp");
    if (mkdtemp(path)) return path;
    diag_error(diag, (struct place){.path = path}, "cannot make a temporary folder: %s", strerror(errno));
    return NULL;
}

void folder_remove(const char *folder)
{
    DIR *dir = opendir(folder);
    if (!dir) return;
    for (struct dirent *entry; (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
    rmdir(folder);
}

static bool write_failed(const char *path, int error, struct diag *diag)
{
    return diag_error(diag, (struct place){.path = path}, "cannot write: %s", strerror(error));
}

bool file_write(const char *path, const char *bytes, size_t n_bytes, struct diag *diag)
{
    FILE *file = fopen(path, "wb");
    if (!file) return write_failed(path, errno, diag);
    bool good = fwrite(bytes, 1, n_bytes, file) == n_bytes;
    int error = errno;
    if (fclose(file) != 0 && good) good = false, error = errno;
    return good || write_failed(path, error, diag);
}

static bool copy_bytes(int from, int to)
{
    char buffer[1 << 16];
    bool good = true;
    for (ssize_t n = 0; good && (n = read(from, buffer, sizeof buffer)) != 0;) {
        if (n < 0 && errno == EINTR) continue;
        good = n > 0;
        for (ssize_t at = 0; good && at < n;) {
            ssize_t written = write(to, buffer + at, (size_t)(n - at));
            if (written < 0 && errno == EINTR) continue;
            good = written > 0;
            at += good ? written : 0;
        }
    }
    return good;
}

bool file_copy(const char *from, const char *to, struct diag *diag)
{
    struct stat state, old;
    int in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0 || fstat(in, &state) != 0) {
        int error = errno;
        if (in >= 0) close(in);
        return diag_error(diag, (struct place){.path = from}, "cannot read: %s", strerror(error));
    }
    if (lstat(to, &old) == 0 && !S_ISCHR(old.st_mode))
        unlink(to); /* a library that is loaded somewhere must not change under it */
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, state.st_mode & 0777);
    bool good = out >= 0 && copy_bytes(in, out);
    int error = errno;
    close(in);
    if (out >= 0 && close(out) != 0 && good) good = false, error = errno;
    return good || write_failed(to, error, diag);
}

bool file_move(const char *from, const char *to, struct diag *diag)
{
    struct stat old;
    bool is_plain = lstat(to, &old) != 0 || S_ISREG(old.st_mode);
    return (is_plain && rename(from, to) == 0) || file_copy(from, to, diag);
}

/* What the child prints, up to a limit; the rest is read and dropped so that it does not block. */
static void read_all(int file, struct text *text)
{
    enum { KEPT_MOST = 4000 };
    char buffer[4096];
    for (ssize_t n; (n = read(file, buffer, sizeof buffer)) != 0;) {
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) break;
        size_t keep = text->n < KEPT_MOST ? KEPT_MOST - text->n : 0;
        text_add_n(text, buffer, keep < (size_t)n ? keep : (size_t)n);
    }
}

static bool spawn(const char *const *argv, const char *folder, int output, pid_t *child, int *error)
{
    posix_spawn_file_actions_t actions;
    if ((*error = posix_spawn_file_actions_init(&actions)) != 0) return false;
    posix_spawn_file_actions_addchdir_np(&actions, folder);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output, 1);
    posix_spawn_file_actions_adddup2(&actions, output, 2);
    *error = posix_spawnp(child, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    return *error == 0;
}

bool process_run(const char *const *argv, const char *folder, struct arena *arena, struct diag *diag)
{
    int ends[2], error = 0, status = 0;
    pid_t child;
    struct place place = {.path = argv[0]};
    if (pipe2(ends, O_CLOEXEC) != 0) return diag_error(diag, place, "cannot run: %s", strerror(errno));
    bool started = spawn(argv, folder, ends[1], &child, &error);
    close(ends[1]);
    struct text words = {.arena = arena};
    if (started) read_all(ends[0], &words);
    close(ends[0]);
    if (!started) return diag_error(diag, place, "cannot run: %s", strerror(error));
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
    if (WIFSIGNALED(status)) diag_error(diag, place, "ended by signal %d", WTERMSIG(status));
    else diag_error(diag, place, "failed with exit status %d", WEXITSTATUS(status));
    for (char *line = words.n ? words.at : NULL, *end; line && *line; line = end) {
        end = strchr(line, '\n');
        if (end) *end++ = 0;
        else end = line + strlen(line);
        if (*line) diag_note(diag, place, "%s", line);
    }
    return false;
}
