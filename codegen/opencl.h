/* The OpenCL back end: kernels (opencl.c, opencl_vector.c) and their host's text (opencl_host.c). */
#ifndef TENON_CODEGEN_OPENCL_H
#define TENON_CODEGEN_OPENCL_H
#include "cfamily.h"
#include "interface.h"

/* The kernels of the only version. */
void opencl_print(const struct emission *emission, struct text *kernels);
/* A dialect's vector_helper. */
void opencl_vector_print(struct cfamily *printer, struct text *out, int h, enum dtype dt, enum dtype other, int lanes);
/* The C text of the host (c.c). In main: a call, by its number in prog_calls; a buffer that main reads itself. */
void opencl_put_call(struct cfamily *printer, const struct emission *emission, const struct stmt *call, int site);
const char *opencl_read(struct cfamily *printer, const struct emission *emission, const struct buffer *buf);
/* Behind main: the table of its calls and what runtime/opencl_model.c needs; the functions' declarations for the header. */
void opencl_put_host(struct cfamily *printer, const struct emission *emission, const struct interface_names *names,
                     const struct stmt *const *calls, int n_calls);
void opencl_put_declarations(const char *model, struct text *out);

#endif
