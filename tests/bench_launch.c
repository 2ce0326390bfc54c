/* Runs a command and says how long it took to its first output, and its peak memory, for tests/bench_figures.py.
 *
 *   bench_launch COMMAND...        {"s": seconds from the start to the first byte or the end, "peak_kb": .., "status": ..}
 *
 * A program of its own because the system counts a parent's memory to a child until the child's own is larger: this
 * parent has next to none.
 */
#define _DEFAULT_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
    int ends[2], status;
    char some[4096];
    struct rusage usage;
    if (argc < 2 || pipe(ends)) return 2;
    double start = seconds();
    pid_t child = fork();
    if (child == 0) {
        if (dup2(open("/dev/null", O_RDONLY), 0) < 0 || dup2(ends[1], 1) < 0) _exit(127);
        close(ends[0]);
        close(ends[1]);
        execv(argv[1], argv + 1);
        _exit(127);
    }
    close(ends[1]);
    ssize_t got = read(ends[0], some, sizeof some);
    double took = seconds() - start;
    while (got > 0) got = read(ends[0], some, sizeof some);
    if (child < 0 || wait4(child, &status, 0, &usage) != child) return 2;
    printf("{\"s\": %.6f, \"peak_kb\": %ld, \"status\": %d}\n", took, usage.ru_maxrss, status);
    return 0;
}
