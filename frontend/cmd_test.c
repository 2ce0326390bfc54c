/* tenon test: ONNX backend cases, each judged on every engine asked for.
 *
 * A case runs in a process of its own, so that one that crashes or hangs is one failed case, and a few run at a time.
 * Lines are printed in order of name whatever finishes first.
 */
#define _POSIX_C_SOURCE 200809L
#define _DEFAULT_SOURCE
#include "cmd.h"
#include "onnx.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SECONDS_MOST = 120, JOBS_MOST = 64, DEPTH_MOST = 8 };

struct runner {
    struct session *session;
    const struct options *options;
    enum engine engine;
};
struct case_list {
    const char **at;
    int n, cap;
};

/* onnx_runner's function: compiles the graph and runs it. */
static bool run_graph(void *ctx, struct graph *graph, const struct tensor *in, const int64_t *symbols,
                      struct arena *arena, struct tensor *out, const char **why)
{
    struct runner *runner = ctx;
    struct session session = {.arena = graph->session, .diag = graph->diag, .dims = graph->dims};
    struct unit unit = {.graph = graph};
    *why = "";
    if (runner->engine != ENGINE_INTERPRETER && !model_lower(&session, runner->options, arena, &unit)) return false;
    struct engine_run *run = engine_open(&session, runner->options, runner->engine, &unit);
    bool ok = run && engine_call(&session, run, in, symbols, arena, out);
    if (run) engine_close(run);
    return ok;
}

/* The case on one engine: its line (without the newline) into line. */
static void judge(struct session *session, const struct options *options, enum engine engine, const char *folder,
                  struct text *line, struct onnx_outcome *outcome)
{
    struct runner ctx = {session, options, engine};
    struct onnx_runner runner = {&ctx, run_graph};
    char *at = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&at, &n);
    if (!out) bug("test", "no memory for a line");
    onnx_test_case(folder, &runner, out, outcome);
    fclose(out);
    text_add_n(line, at, strcspn(at, "\n"));
    free(at);
}

/* In the case's own process: the line of the first engine that does not pass, with its name, or the last one's. */
static void run_case(struct session *session, const struct options *options, const char *folder, FILE *out)
{
    static const enum engine all[] = {ENGINE_INTERPRETER, ENGINE_C, ENGINE_LLVM};
    bool every = options->engine == ENGINE_ALL;
    struct text line = {.arena = session->arena};
    for (int i = 0; i < (every ? 3 : 1); i++) {
        enum engine engine = every ? all[i] : options->engine;
        struct onnx_outcome outcome = {0};
        if (engine == ENGINE_LLVM && every && !llvm_is_built_in()) break;
        line.n = 0;
        judge(session, options, engine, folder, &line, &outcome);
        if (outcome.failed && every) text_printf(&line, " (%s)", engine_name(engine));
        if (outcome.failed || outcome.skipped) break;
    }
    fprintf(out, "%s\n", text_string(&line));
}

struct job {
    pid_t pid;
    int fd;
    int index;
};

static struct job start_case(struct session *session, const struct options *options, const char *folder, int index)
{
    int fds[2];
    fflush(stdout);
    if (pipe(fds)) bug("test", "no pipe: %s", strerror(errno));
    pid_t pid = fork();
    if (pid < 0) bug("test", "no process: %s", strerror(errno));
    if (pid == 0) {
        FILE *out = fdopen(fds[1], "w");
        close(fds[0]);
        alarm(SECONDS_MOST);
        if (out) run_case(session, options, folder, out), fclose(out);
        _exit(0);
    }
    close(fds[1]);
    return (struct job){pid, fds[0], index};
}

/* The job's line once it ended; what killed it where it left none. */
static const char *end_case(struct arena *arena, struct job job, const char *folder)
{
    struct text line = {.arena = arena};
    char block[1024];
    int status = 0;
    for (ssize_t n; (n = read(job.fd, block, sizeof block)) > 0;) text_add_n(&line, block, (size_t)n);
    close(job.fd);
    while (waitpid(job.pid, &status, 0) < 0 && errno == EINTR) {}
    const char *name = strrchr(folder, '/') ? strrchr(folder, '/') + 1 : folder;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        return arena_printf(arena, "fail %s took more than %d seconds\n", name, SECONDS_MOST);
    if (WIFSIGNALED(status)) return arena_printf(arena, "fail %s killed: %s\n", name, strsignal(WTERMSIG(status)));
    return line.n ? text_string(&line)
                  : arena_printf(arena, "fail %s ended with status %d and no line\n", name, WEXITSTATUS(status));
}

static void count(const char *line, struct onnx_outcome *outcome)
{
    if (!strncmp(line, "pass ", 5)) outcome->passed++;
    else if (!strncmp(line, "skip ", 5)) outcome->skipped++;
    else outcome->failed++;
}

static bool is_file(struct arena *arena, const char *folder, const char *name)
{
    struct stat info;
    return !stat(arena_printf(arena, "%s/%s", folder, name), &info) && S_ISREG(info.st_mode);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Adds the cases in folder and below, in order of name. */
static void find_cases(struct arena *arena, const char *folder, int depth, struct case_list *cases)
{
    struct case_list inside = {0};
    struct stat info;
    if (is_file(arena, folder, "model.onnx")) {
        LIST_PUSH(arena, cases, folder);
        return;
    }
    DIR *dir = depth < DEPTH_MOST ? opendir(folder) : NULL;
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        if (entry->d_name[0] == '.') continue;
        const char *path = arena_printf(arena, "%s/%s", folder, entry->d_name);
        if (!stat(path, &info) && S_ISDIR(info.st_mode)) LIST_PUSH(arena, &inside, path);
    }
    if (dir) closedir(dir);
    if (inside.n) qsort(inside.at, (size_t)inside.n, sizeof *inside.at, compare_names);
    for (int i = 0; i < inside.n; i++) find_cases(arena, inside.at[i], depth + 1, cases);
}

static void run_cases(struct session *session, const struct options *options, const struct case_list *cases,
                      struct onnx_outcome *outcome)
{
    struct job jobs[JOBS_MOST];
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    int most = cpus < 1 ? 1 : cpus > JOBS_MOST ? JOBS_MOST : (int)cpus, started = 0;
    if (options->jobs) most = options->jobs;
    for (int i = 0; i < cases->n; i++) {
        for (; started < cases->n && started < i + most; started++)
            jobs[started % most] = start_case(session, options, cases->at[started], started);
        const char *line = end_case(session->arena, jobs[i % most], cases->at[i]);
        count(line, outcome);
        progress_show(session, NULL);
        fputs(line, stdout);
        progress_show(session, "%d of %d", i + 1, cases->n);
    }
}

int command_test(struct session *session, const struct options *options)
{
    struct case_list cases = {0};
    struct onnx_outcome outcome = {0};
    for (int i = 0; i < options->n_paths; i++) {
        int before = cases.n;
        find_cases(session->arena, options->paths[i], 0, &cases);
        if (cases.n == before)
            diag_error(session->diag, (struct place){.path = options->paths[i]},
                       "no case here: no model.onnx in or below it");
    }
    run_cases(session, options, &cases, &outcome);
    progress_show(session, NULL);
    printf("%d passed, %d failed, %d skipped\n", outcome.passed, outcome.failed, outcome.skipped);
    return outcome.failed || diag_errors(session->diag) ? STATUS_INPUT : STATUS_OK;
}
