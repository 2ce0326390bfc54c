/* Private folders, files and the tools we call (C compiler, archiver), always by argument vector. */
#ifndef TENON_PROCESS_H
#define TENON_PROCESS_H
#include "../ir/diag.h"
#include "../ir/text.h"

/* A new private folder under $TMPDIR (or /tmp); NULL after an error. Path in arena. */
const char *folder_make(struct arena *arena, struct diag *diag);
/* Removes the folder and the plain files in it. */
void folder_remove(const char *folder);
bool file_write(const char *path, const char *bytes, size_t n_bytes, struct diag *diag);
/* Copies a file over `to`, with the same permissions. */
bool file_copy(const char *from, const char *to, struct diag *diag);
/* The same where `from` is no longer needed: no copy on the same file system. */
bool file_move(const char *from, const char *to, struct diag *diag);
/* Runs argv[0] (searched in PATH) in `folder` and waits. False after an error that quotes what it printed. */
bool process_run(const char *const *argv, const char *folder, struct arena *arena, struct diag *diag);

#endif
