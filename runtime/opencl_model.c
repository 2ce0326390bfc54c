/* A model's functions on an OpenCL device: opening, closing and the plain run, on a device of the model's own. Carried as
 * text behind the model's generated text (codegen/opencl_host.c), which defines TENON_CL_OF(word) as the model's name for
 * the word, as in resnet50_open, TENON_CL_DATA as its weights, NULL where it has none, and NAME_cl, NAME_run_on.
 */
struct tenon_cl *TENON_CL_OF(open)(int device, int profile)
{
    TENON_CL_OF(cl).text_bytes = (size_t)(TENON_CL_OF(kernels_end) - TENON_CL_OF(kernels));
    return tenon_cl_open(&TENON_CL_OF(cl), TENON_CL_DATA, device, profile != 0);
}

void TENON_CL_OF(close)(struct tenon_cl *cl)
{
    tenon_cl_close(cl);
}

void TENON_CL_OF(times)(struct tenon_cl *cl, void (*note)(void *context, int call, double start, double end), void *context)
{
    tenon_cl_times(cl, note, context);
}

static pthread_mutex_t tenon_own_lock = PTHREAD_MUTEX_INITIALIZER;
static struct tenon_cl *tenon_own;

const char *TENON_CL_OF(message)(const struct tenon_cl *cl)
{
    if (!cl) cl = tenon_own;
    return cl ? tenon_cl_message(cl) : "";
}

int TENON_CL_OF(run)(const struct TENON_CL_OF(inputs) *in, const struct TENON_CL_OF(outputs) *out, void *arena)
{
    (void)arena;
    pthread_mutex_lock(&tenon_own_lock);
    if (!tenon_own) tenon_own = TENON_CL_OF(open)(-1, 0);
    pthread_mutex_unlock(&tenon_own_lock);
    return TENON_CL_OF(run_on)(tenon_own, in, out, NULL);
}

static const char *tenon_message(void)
{
    return TENON_CL_OF(message)(NULL);
}

__attribute__((destructor)) static void tenon_leave(void)
{
    if (tenon_own) tenon_cl_close(tenon_own);
    tenon_own = NULL;
}
