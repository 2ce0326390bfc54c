/* The same on an OpenCL device: by its number in `tenon devices`, -1: the environment's TENON_DEVICE, else the
 * first that suits. Never NULL: what fails is returned by the first run, in words by MODEL_message (NULL: of MODEL_run).
 * With done, run_on returns at once: *done is the cl_event after which the outputs are there. */
struct tenon_cl;
struct tenon_cl *MODEL_open(int device, int profile);
int MODEL_run_on(struct tenon_cl *cl, const struct MODEL_inputs *in, const struct MODEL_outputs *out, void **done);
const char *MODEL_message(const struct tenon_cl *cl);
void MODEL_close(struct tenon_cl *cl);
/* After a run where the device was opened to profile: every call of a kernel, with its seconds on the device. */
void MODEL_times(struct tenon_cl *cl, void (*note)(void *context, int call, double start, double end), void *context);

