/* What this machine does now, as limits to compare a model with: the most multiply-adds per second (counting two
 * operations each), and the most bytes per second read from each level of memory, by one thread and by several at once.
 * All are measured in this process; on a busy machine they are lower, and so is everything compared with them. */
#ifndef TENON_CMD_PEAK_H
#define TENON_CMD_PEAK_H
#include <stdint.h>

/* FLOP/s of `threads` threads together. Takes about a twentieth of a second. */
double peak_flops(int threads);
/* One measurement of it, about a millisecond: taken between the runs of what is compared with it, their median is the peak
 * at the clock that those runs had. */
double peak_sample(int threads);

struct memory_level {
    const char *name;    /* "L2", "L3", "memory" */
    int64_t bytes;       /* of one core's share for L2, of the machine for L3; INT64_MAX for memory */
    double rate;         /* bytes/s read by all threads together */
};
struct machine {
    int threads;
    double flops_alone, flops; /* FLOP/s of one thread and of `threads` */
    int n_levels;
    struct memory_level level[3];
};
/* About half a second. */
void machine_measure(int threads, struct machine *machine);
/* Least seconds to read `bytes` bytes of `set` bytes that are used over and over: the caches hold what they can of it. */
double machine_read(const struct machine *machine, double bytes, double set);

#endif
