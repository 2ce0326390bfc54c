/* Runs of a compiled model on an OpenCL device: what opencl.h declares, except tenon_cl_open (opencl_open.c). Carried
 * as text, see opencl_api.c.
 *
 * Everything goes into one in-order queue and nothing waits until the end, except where main has to know a value. A
 * kernel keeps its arguments: only what has changed since the call before is set again, in a run with the same sizes
 * nothing. Failures stick until the next begin; whoever gives the lock back has waited for all that was begun, or, with
 * an event, leaves that to the next begin.
 */
#ifndef TENON_OPENCL_OPEN
#include "opencl_open.c"
#endif

enum { TENON_CL_ZEROS = 4096 };
static const union { /* what is read after an error */
    unsigned char bytes[TENON_CL_ZEROS];
    double aligned;
} tenon_cl_zeros;

static bool tenon_cl_finish(struct tenon_cl *cl)
{
    return TENON_CL_TRY(cl, NULL, clFinish, cl->queue);
}

/* After a failure: nothing may be under way when the caller's memory is his own again. */
static void tenon_cl_drain(struct tenon_cl *cl)
{
    if (cl->queue && tenon_cl_api.clFinish(cl->queue)) tenon_cl_api.clFinish(cl->queue);
    cl->words_are_dirty = true;
}

/* The status word that has been read back, as the run's status. */
static bool tenon_cl_see_word(struct tenon_cl *cl)
{
    if (!cl->word_here) return true;
    cl->words_are_dirty = true;
    return tenon_cl_fail(cl, cl->word_here, "a check of model %s failed on the data: status %d", cl->model->name,
                         (int)cl->word_here);
}

/* Waits for a run that was ended with an event. */
static void tenon_cl_settle(struct tenon_cl *cl)
{
    cl_event event = cl->pending;
    if (!event) return;
    cl->pending = NULL;
    if (!TENON_CL_TRY(cl, NULL, clWaitForEvents, 1, &event)) tenon_cl_drain(cl);
    else tenon_cl_see_word(cl);
    TENON_CL_TRY(cl, NULL, clReleaseEvent, event);
}

static void tenon_cl_forget_times(struct tenon_cl *cl)
{
    for (int i = 0; i < cl->n_timed; i++) TENON_CL_TRY(cl, NULL, clReleaseEvent, cl->timed[i].event);
    cl->n_timed = 0;
}

TENON_CL_MAY void tenon_cl_close(struct tenon_cl *cl)
{
    if (!cl || !cl->model) return;
    pthread_mutex_lock(&cl->lock);
    tenon_cl_settle(cl);
    if (cl->queue) tenon_cl_drain(cl);
    if (cl->stores && !cl->status && cl->has_run) tenon_cl_store(cl);
    tenon_cl_forget_times(cl);
    /* What a release returns helps nobody any more. */
    for (int i = 0; cl->kernels && i < cl->model->n_sites; i++)
        if (cl->kernels[i]) tenon_cl_api.clReleaseKernel(cl->kernels[i]);
    for (int i = 0; cl->memories && i < cl->n_memories; i++)
        if (cl->memories[i].mem) tenon_cl_api.clReleaseMemObject(cl->memories[i].mem);
    for (int i = 0; cl->transfers && i < cl->model->n_sites; i++)
        if (cl->transfers[i]) tenon_cl_api.clReleaseEvent(cl->transfers[i]);
    if (cl->words) tenon_cl_api.clReleaseMemObject(cl->words);
    if (cl->program) tenon_cl_api.clReleaseProgram(cl->program);
    if (cl->queue) tenon_cl_api.clReleaseCommandQueue(cl->queue);
    if (cl->context) tenon_cl_api.clReleaseContext(cl->context);
    void *made[] = {cl->kernels, cl->arguments, cl->first_argument, cl->memories,
                    cl->timed,   cl->read,      cl->host,           cl->output_bytes, cl->transfers,
                    cl->no_words};
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) free(made[i]);
    pthread_mutex_unlock(&cl->lock);
    pthread_mutex_destroy(&cl->lock);
    free(cl);
}

TENON_CL_MAY int tenon_cl_status(const struct tenon_cl *cl)
{
    struct tenon_cl *session = (struct tenon_cl *)(uintptr_t)cl; /* a run that has ended may have to be looked at */
    if (!cl->model) return cl->status;
    pthread_mutex_lock(&session->lock);
    tenon_cl_settle(session);
    int status = cl->status;
    pthread_mutex_unlock(&session->lock);
    return status;
}

TENON_CL_MAY const char *tenon_cl_message(const struct tenon_cl *cl)
{
    return tenon_cl_status(cl) ? cl->text : "";
}

/* Begins to bring bytes to a memory; event: made for it, or NULL. */
static void tenon_cl_write(struct tenon_cl *cl, cl_mem mem, int64_t at, int64_t n_bytes, const void *bytes, cl_event *event)
{
    if (cl->status || n_bytes <= 0) return;
    TENON_CL_TRY(cl, NULL, clEnqueueWriteBuffer, cl->queue, mem, CL_FALSE, (size_t)at, (size_t)n_bytes, bytes, 0, NULL,
                 event);
}

/* Begins to bring bytes of a memory here. */
static void tenon_cl_fetch(struct tenon_cl *cl, cl_mem mem, int64_t at, int64_t n_bytes, void *bytes, cl_event *event)
{
    if (cl->status || n_bytes <= 0) return;
    TENON_CL_TRY(cl, NULL, clEnqueueReadBuffer, cl->queue, mem, CL_FALSE, (size_t)at, (size_t)n_bytes, bytes, 0, NULL,
                 event);
}

static void tenon_cl_fetch_word(struct tenon_cl *cl)
{
    if (cl->model->can_fail) tenon_cl_fetch(cl, cl->words, 0, sizeof cl->word_here, &cl->word_here, NULL);
}

TENON_CL_MAY void tenon_cl_begin(struct tenon_cl *cl, int64_t arena_bytes, const void *const *inputs,
                                 const int64_t *input_bytes, const int64_t *output_bytes)
{
    if (!cl->model) return;
    pthread_mutex_lock(&cl->lock);
    if (cl->open_status) return;
    tenon_cl_settle(cl);
    cl->status = 0;
    cl->word_here = 0;
    tenon_cl_forget_times(cl);
    const struct tenon_cl_model *model = cl->model;
    bool good = tenon_cl_provide(cl, TENON_CL_ARENA, arena_bytes, CL_MEM_READ_WRITE, NULL);
    for (int i = 0; i < model->n_inputs + model->n_outputs && good; i++) {
        int64_t n_bytes = i < model->n_inputs ? input_bytes[i] : output_bytes[i - model->n_inputs];
        good = tenon_cl_provide(cl, TENON_CL_VALUES + i, n_bytes, CL_MEM_READ_WRITE, NULL);
    }
    for (int i = 0; i < model->n_inputs; i++)
        tenon_cl_write(cl, cl->memories[TENON_CL_VALUES + i].mem, 0, input_bytes[i], inputs[i], NULL);
    if (cl->words && cl->words_are_dirty) {
        tenon_cl_write(cl, cl->words, 0, cl->model->n_words * (int64_t)sizeof *cl->no_words, cl->no_words, NULL);
        cl->words_are_dirty = cl->status != 0;
    }
    for (int i = 0; i < model->n_outputs && !cl->status; i++) cl->output_bytes[i] = output_bytes[i];
}

/* Outputs and status on their way; waits for them, or makes the event by which the caller can. */
static void tenon_cl_bring(struct tenon_cl *cl, void *const *outputs, void **done)
{
    const struct tenon_cl_model *model = cl->model;
    const struct tenon_cl_memory *from = cl->memories + TENON_CL_VALUES + model->n_inputs;
    cl_event event = NULL;
    for (int i = 0; i < model->n_outputs; i++) tenon_cl_fetch(cl, from[i].mem, 0, cl->output_bytes[i], outputs[i], NULL);
    tenon_cl_fetch_word(cl);
    if (cl->status) return;
    if (!done) {
        if (tenon_cl_finish(cl)) tenon_cl_see_word(cl);
        return;
    }
    if (!TENON_CL_TRY(cl, NULL, clEnqueueMarkerWithWaitList, cl->queue, 0, NULL, &event)) return;
    if (TENON_CL_TRY(cl, NULL, clFlush, cl->queue) && TENON_CL_TRY(cl, NULL, clRetainEvent, event)) {
        cl->pending = event;
        *done = event;
    } else {
        tenon_cl_api.clReleaseEvent(event);
    }
}

TENON_CL_MAY int tenon_cl_end(struct tenon_cl *cl, void *const *outputs, void **done)
{
    if (done) *done = NULL;
    if (!cl->model) return cl->status;
    if (!cl->status) tenon_cl_bring(cl, outputs, done);
    if (cl->status) tenon_cl_drain(cl);
    cl->has_run = !cl->status;
    if (cl->stores && !cl->status && !done) tenon_cl_store(cl);
    int status = cl->status;
    pthread_mutex_unlock(&cl->lock);
    return status;
}

static void tenon_cl_set(struct tenon_cl *cl, int site, int i, size_t n_bytes, const void *bytes, uint64_t value)
{
    struct tenon_cl_argument *known = &cl->arguments[cl->first_argument[site] + i];
    if (cl->status || (known->is_set && known->value == value)) return;
    known->is_set =
        TENON_CL_TRY(cl, cl->model->sites[site].kernel, clSetKernelArg, cl->kernels[site], (cl_uint)i, n_bytes, bytes);
    known->value = value;
}

static void tenon_cl_set_all(struct tenon_cl *cl, int number, const struct tenon_cl_buffer *buffers,
                             const union tenon_cl_scalar *scalars)
{
    const struct tenon_cl_site *site = &cl->model->sites[number];
    int n = 0;
    for (int i = 0; i < site->n_buffers; i++) {
        const struct tenon_cl_memory *memory = &cl->memories[buffers[i].memory];
        cl_long at = buffers[i].at;
        tenon_cl_set(cl, number, n++, sizeof memory->mem, &memory->mem, memory->serial);
        tenon_cl_set(cl, number, n++, sizeof at, &at, (uint64_t)at);
    }
    for (int i = 0; i < site->n_scalars; i++) {
        uint64_t bits = 0;
        memcpy(&bits, &scalars[i], site->scalar_bytes[i]);
        tenon_cl_set(cl, number, n++, site->scalar_bytes[i], &bits, bits);
    }
    if (site->takes_words) tenon_cl_set(cl, number, n++, sizeof cl->words, &cl->words, 0);
}

/* Room for one more event; NULL where times are not wanted or there is none. */
static cl_event *tenon_cl_time(struct tenon_cl *cl, int site)
{
    if (!cl->profile) return NULL;
    if (cl->n_timed == cl->cap_timed) {
        int cap = cl->cap_timed ? 2 * cl->cap_timed : 64;
        struct tenon_cl_timed *more = realloc(cl->timed, (size_t)cap * sizeof *more);
        if (!more) return tenon_cl_fail(cl, TENON_NO_DEVICE, "out of memory on the host"), NULL;
        cl->timed = more;
        cl->cap_timed = cap;
    }
    cl->timed[cl->n_timed] = (struct tenon_cl_timed){site, NULL};
    return &cl->timed[cl->n_timed].event;
}

TENON_CL_MAY void tenon_cl_call(struct tenon_cl *cl, int site, int64_t groups, int64_t lanes,
                                const struct tenon_cl_buffer *buffers, const union tenon_cl_scalar *scalars)
{
    if (cl->status || groups <= 0 || lanes <= 0) return;
    const char *kernel = cl->model->sites[site].kernel;
    size_t n_lanes = (size_t)lanes, n_items = (size_t)groups * n_lanes;
    tenon_cl_set_all(cl, site, buffers, scalars);
    cl_event *event = tenon_cl_time(cl, site);
    if (cl->status) return;
    bool good = TENON_CL_TRY(cl, kernel, clEnqueueNDRangeKernel, cl->queue, cl->kernels[site], 1, NULL, &n_items,
                             &n_lanes, 0, NULL, event);
    if (good && event) cl->n_timed++;
}

/* So many bytes of host memory at *block, kept for the next time; false noted. */
static bool tenon_cl_room(struct tenon_cl *cl, void **block, size_t *have, int64_t n_bytes)
{
    if (*have && (int64_t)*have >= n_bytes) return true;
    if (*block && !tenon_cl_finish(cl)) return false; /* a write from it may be under way */
    free(*block);
    *have = 0;
    *block = tenon_cl_allocate(cl, n_bytes, 1);
    if (*block) *have = n_bytes > 0 ? (size_t)n_bytes : 1;
    return *block != NULL;
}

TENON_CL_MAY const void *tenon_cl_read(struct tenon_cl *cl, struct tenon_cl_buffer buffer)
{
    bool good = !cl->status && tenon_cl_room(cl, &cl->read, &cl->read_bytes, buffer.bytes);
    if (good) {
        tenon_cl_fetch(cl, cl->memories[buffer.memory].mem, buffer.at * buffer.element_bytes, buffer.bytes, cl->read, NULL);
        tenon_cl_fetch_word(cl);
        good = !cl->status && tenon_cl_finish(cl) && tenon_cl_see_word(cl);
    }
    if (good) return cl->read;
    if (buffer.bytes <= TENON_CL_ZEROS) return tenon_cl_zeros.bytes;
    if (cl->queue) tenon_cl_drain(cl);
    if ((int64_t)cl->read_bytes >= buffer.bytes) return memset(cl->read, 0, cl->read_bytes);
    free(cl->read);
    cl->read_bytes = 0;
    cl->read = calloc((size_t)buffer.bytes, 1);
    if (cl->read) cl->read_bytes = (size_t)buffer.bytes;
    return cl->read ? cl->read : tenon_cl_zeros.bytes;
}

/* ---- the host's part of the model ---- */

TENON_CL_MAY void *tenon_cl_host(struct tenon_cl *cl, int64_t n_bytes)
{
    enum { ALIGNMENT = 64 };
    if (!cl->model || cl->status || !tenon_cl_room(cl, &cl->host, &cl->host_bytes, n_bytes + ALIGNMENT)) return NULL;
    return (void *)(((uintptr_t)cl->host + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
}

static void tenon_cl_release(struct tenon_cl *cl, int site)
{
    if (cl->transfers[site]) TENON_CL_TRY(cl, NULL, clReleaseEvent, cl->transfers[site]);
    cl->transfers[site] = NULL;
}

/* After a transfer was put into the queue: what runs before it starts now, and its event is there for its time. */
static void tenon_cl_launch(struct tenon_cl *cl, int site)
{
    if (cl->status || !TENON_CL_TRY(cl, NULL, clFlush, cl->queue)) return;
    cl_event *timed = tenon_cl_time(cl, site);
    if (!timed || !TENON_CL_TRY(cl, NULL, clRetainEvent, cl->transfers[site])) return;
    *timed = cl->transfers[site];
    cl->n_timed++;
}

TENON_CL_MAY void tenon_cl_send(struct tenon_cl *cl, int site, struct tenon_cl_buffer buffer, int64_t n_bytes, const void *from)
{
    if (cl->status || n_bytes <= 0) return;
    tenon_cl_release(cl, site);
    tenon_cl_write(cl, cl->memories[buffer.memory].mem, buffer.at * buffer.element_bytes, n_bytes, from, &cl->transfers[site]);
    tenon_cl_launch(cl, site);
}

TENON_CL_MAY void tenon_cl_receive(struct tenon_cl *cl, int site, struct tenon_cl_buffer buffer, int64_t n_bytes, void *to)
{
    if (cl->status || n_bytes <= 0) return;
    tenon_cl_release(cl, site);
    tenon_cl_fetch_word(cl); /* there when the transfer is */
    tenon_cl_fetch(cl, cl->memories[buffer.memory].mem, buffer.at * buffer.element_bytes, n_bytes, to, &cl->transfers[site]);
    tenon_cl_launch(cl, site);
}

TENON_CL_MAY int tenon_cl_wait(struct tenon_cl *cl, int site)
{
    if (!cl->status && cl->transfers[site] && TENON_CL_TRY(cl, NULL, clWaitForEvents, 1, &cl->transfers[site]))
        tenon_cl_see_word(cl);
    return cl->status;
}

/* ---- times ---- */

TENON_CL_MAY void tenon_cl_times(struct tenon_cl *cl, void (*note)(void *context, int site, double start, double end),
                                 void *context)
{
    cl_ulong start = 0, end = 0, first = 0;
    if (!cl->model) return;
    pthread_mutex_lock(&cl->lock);
    tenon_cl_settle(cl);
    for (int i = 0; i < cl->n_timed && !cl->status; i++) {
        cl_event event = cl->timed[i].event;
        if (!TENON_CL_TRY(cl, NULL, clGetEventProfilingInfo, event, CL_PROFILING_COMMAND_START, sizeof start, &start,
                          NULL) ||
            !TENON_CL_TRY(cl, NULL, clGetEventProfilingInfo, event, CL_PROFILING_COMMAND_END, sizeof end, &end, NULL))
            break;
        if (i == 0) first = start;
        note(context, cl->timed[i].site, 1e-9 * (double)(start - first), 1e-9 * (double)(end - first));
    }
    pthread_mutex_unlock(&cl->lock);
}
