/* The OpenCL back end: kernels (opencl.c, opencl_vector.c) and what their host text needs to know (opencl_host.c). */
#ifndef TENON_CODEGEN_OPENCL_H
#define TENON_CODEGEN_OPENCL_H
#include "cfamily.h"
#include "interface.h"

struct opencl_facts { /* of a text of kernels */
    bool f64;           /* some compute in double precision */
    int64_t lanes_most; /* work-items of the largest group */
};
/* The kernels of the only version. */
void opencl_print(const struct emission *emission, struct text *kernels, struct opencl_facts *facts);
/* Whether the device has what the model needs; false after messages. */
bool opencl_fits(const struct emission *emission, const struct opencl_facts *facts, const struct device *device, struct diag *diag);
/* How many work-items a kernel is for: as many groups as its outermost loop has turns, of so many lanes. */
struct launch {
    ex groups; /* over the kernel's scalars; NULL: one */
    int64_t lanes;
};
struct launch opencl_launch(const struct kernel *kernel);
/* A dialect's vector_helper. */
void opencl_vector_print(struct cfamily *printer, struct text *out, int h, enum dtype dt, enum dtype other, int lanes);
/* The C text of the host (c.c). In main: a call, by its number in prog_calls; a buffer that main reads itself. */
void opencl_put_call(struct cfamily *printer, const struct emission *emission, const struct stmt *call, int site);
const char *opencl_read(struct cfamily *printer, const struct emission *emission, const struct buffer *buf);
/* Behind main: the table of its calls and the model's functions; their declarations for the header. */
void opencl_put_host(struct cfamily *printer, const struct emission *emission, const struct interface_names *names,
                     const struct stmt *const *calls, int n_calls);
void opencl_put_declarations(const char *model, struct text *out);

#endif
