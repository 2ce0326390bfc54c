/* Processors kept awake while a run is under way on a CPU device. Carried as text, see opencl_api.c.
 *
 * A driver for CPUs puts a thread to sleep that finds no kernel to help with, which between the kernels of an in-order
 * queue is all but one of them every time; its processor then halts, and comes 20 to 50 us late to the next kernel. A
 * thread of idle priority, to which all others are preferred at once, keeps it from halting: 4 us.
 *
 * One such thread for each compute unit, made at the first run, looks at a word while a run is under way and is parked
 * otherwise; a device of one unit needs none. Where they cannot be made or cannot have idle priority, runs are merely
 * slower. With an event (opencl.h), nobody knows here when the run has ended: they are parked when all is in the queue.
 */
#ifndef TENON_OPENCL_AWAKE
#define TENON_OPENCL_AWAKE
#ifndef TENON_OPENCL_API
#include "opencl_api.c"
#endif
#include <sched.h>
#include <stdatomic.h>

enum { TENON_CL_THREADS = 16, TENON_CL_PAUSES = 64 };
struct tenon_cl_awake {
    int n_wanted, n; /* threads; n: made */
    pthread_t thread[TENON_CL_THREADS];
    pthread_mutex_t lock;
    pthread_cond_t changed;
    _Atomic bool runs, leaves;
};

/* Whether the calling thread now gives way to all others. */
static bool tenon_cl_give_way(void)
{
#ifdef SCHED_IDLE
    struct sched_param none = {0};
    return !pthread_setschedparam(pthread_self(), SCHED_IDLE, &none);
#else
    return false;
#endif
}

static void tenon_cl_pause(void)
{
#if defined __x86_64__ || defined __i386__
    __builtin_ia32_pause();
#endif
}

static void *tenon_cl_stay(void *data)
{
    struct tenon_cl_awake *awake = data;
    if (!tenon_cl_give_way()) return NULL;
    pthread_mutex_lock(&awake->lock);
    while (!awake->leaves) {
        pthread_mutex_unlock(&awake->lock);
        while (awake->runs)
            for (int i = 0; i < TENON_CL_PAUSES; i++) tenon_cl_pause();
        pthread_mutex_lock(&awake->lock);
        while (!awake->runs && !awake->leaves) pthread_cond_wait(&awake->changed, &awake->lock);
    }
    pthread_mutex_unlock(&awake->lock);
    return NULL;
}

/* How many threads a device of so many compute units wants. */
static int tenon_cl_awake_number(cl_uint compute_units)
{
    if (compute_units < 2) return 0;
    return compute_units < TENON_CL_THREADS ? (int)compute_units : TENON_CL_THREADS;
}

static void tenon_cl_awake_open(struct tenon_cl_awake *awake)
{
    pthread_mutex_init(&awake->lock, NULL);
    pthread_cond_init(&awake->changed, NULL);
}

static void tenon_cl_awake_begin(struct tenon_cl_awake *awake)
{
    if (awake->n_wanted == 0) return;
    pthread_mutex_lock(&awake->lock);
    awake->runs = true;
    pthread_cond_broadcast(&awake->changed);
    pthread_mutex_unlock(&awake->lock);
    while (awake->n < awake->n_wanted && !pthread_create(&awake->thread[awake->n], NULL, tenon_cl_stay, awake)) awake->n++;
    awake->n_wanted = awake->n;
}

static void tenon_cl_awake_end(struct tenon_cl_awake *awake)
{
    awake->runs = false;
}

static void tenon_cl_awake_close(struct tenon_cl_awake *awake)
{
    pthread_mutex_lock(&awake->lock);
    awake->runs = false;
    awake->leaves = true;
    pthread_cond_broadcast(&awake->changed);
    pthread_mutex_unlock(&awake->lock);
    for (int i = 0; i < awake->n; i++) pthread_join(awake->thread[i], NULL);
    pthread_cond_destroy(&awake->changed);
    pthread_mutex_destroy(&awake->lock);
}
#endif
