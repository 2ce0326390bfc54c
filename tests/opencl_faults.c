/* A library that stands between the OpenCL runtime and the real loader: counts every call, fails one of them, and
 * counts objects. tests/test_opencl_runtime.c loads it through TENON_OPENCL and asks it by faults_state.
 *
 * A call that fails does nothing (so nothing is made), except releases, which are done and then reported as failed:
 * otherwise the leak would be ours. */
#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

#include "opencl_faults.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static struct faults faults;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

struct faults *faults_state(void)
{
    return &faults;
}

static void *real(const char *name)
{
    static void *library;
    if (!library) library = dlopen("libOpenCL.so.1", RTLD_NOW | RTLD_LOCAL);
    void *found = library ? dlsym(library, name) : NULL;
    if (!found) {
        fprintf(stderr, "opencl_faults: no %s in libOpenCL.so.1\n", name);
        abort();
    }
    return found;
}

/* Whether this call is the one to fail. */
static int fails(const char *name)
{
    pthread_mutex_lock(&lock);
    int behind = ++faults.n_calls - faults.fail_at,
        now = faults.fail_at && (behind == 0 || (behind > 0 && faults.lost));
    if (now && !faults.failed) faults.failed = name;
    pthread_mutex_unlock(&lock);
    return now;
}

static void count(int by)
{
    pthread_mutex_lock(&lock);
    faults.n_objects += by;
    pthread_mutex_unlock(&lock);
}

/* Functions that return a code; that wait (nothing is under way on a device that is lost); that make an object, whose
 * code comes last; that give one back or take one more. */
#define CALL(name, parameters, arguments)                                                                              \
    cl_int name parameters                                                                                             \
    {                                                                                                                  \
        if (fails(#name)) return CL_OUT_OF_RESOURCES;                                                                  \
        cl_int(*function) parameters;                                                                                  \
        *(void **)&function = real(#name);                                                                             \
        return function arguments;                                                                                     \
    }
#define WAIT(name, parameters, arguments)                                                                              \
    cl_int name parameters                                                                                             \
    {                                                                                                                  \
        int failing = fails(#name);                                                                                    \
        if (failing && !faults.lost) return CL_OUT_OF_RESOURCES;                                                       \
        cl_int(*function) parameters;                                                                                  \
        *(void **)&function = real(#name);                                                                             \
        cl_int code = function arguments;                                                                              \
        return failing ? CL_OUT_OF_RESOURCES : code;                                                                   \
    }
#define MAKE(type, name, parameters, arguments)                                                                        \
    type name parameters                                                                                               \
    {                                                                                                                  \
        if (fails(#name)) return *code = CL_OUT_OF_HOST_MEMORY, NULL;                                                  \
        type(*function) parameters;                                                                                    \
        *(void **)&function = real(#name);                                                                             \
        type made = function arguments;                                                                                \
        count(made != NULL);                                                                                           \
        return made;                                                                                                   \
    }
#define COUNT(name, type, by)                                                                                          \
    cl_int name(type object)                                                                                           \
    {                                                                                                                  \
        int failing = fails(#name);                                                                                    \
        if (failing && (by) > 0) return CL_OUT_OF_RESOURCES;                                                           \
        cl_int (*function)(type object);                                                                               \
        *(void **)&function = real(#name);                                                                             \
        cl_int code = function(object);                                                                                \
        if (!code) count(by);                                                                                          \
        return failing ? CL_OUT_OF_RESOURCES : code;                                                                   \
    }
/* Commands that may leave an event. */
#define COMMAND(name, parameters, arguments)                                                                           \
    cl_int name parameters                                                                                             \
    {                                                                                                                  \
        if (fails(#name)) return CL_OUT_OF_RESOURCES;                                                                  \
        cl_int(*function) parameters;                                                                                  \
        *(void **)&function = real(#name);                                                                             \
        cl_int code = function arguments;                                                                              \
        if (!code && event) count(1);                                                                                  \
        return code;                                                                                                   \
    }

CALL(clGetPlatformIDs, (cl_uint n, cl_platform_id *list, cl_uint *have), (n, list, have))
CALL(clGetPlatformInfo, (cl_platform_id p, cl_platform_info what, size_t n, void *value, size_t *have),
     (p, what, n, value, have))
CALL(clGetDeviceIDs, (cl_platform_id p, cl_device_type type, cl_uint n, cl_device_id *list, cl_uint *have),
     (p, type, n, list, have))
CALL(clGetDeviceInfo, (cl_device_id d, cl_device_info what, size_t n, void *value, size_t *have),
     (d, what, n, value, have))
CALL(clBuildProgram,
     (cl_program p, cl_uint n, const cl_device_id *list, const char *options,
      void(CL_CALLBACK *note)(cl_program program, void *data), void *data),
     (p, n, list, options, note, data))
CALL(clGetProgramInfo, (cl_program p, cl_program_info what, size_t n, void *value, size_t *have),
     (p, what, n, value, have))
CALL(clGetProgramBuildInfo,
     (cl_program p, cl_device_id d, cl_program_build_info what, size_t n, void *value, size_t *have),
     (p, d, what, n, value, have))
CALL(clSetKernelArg, (cl_kernel k, cl_uint i, size_t n, const void *value), (k, i, n, value))
CALL(clFlush, (cl_command_queue q), (q))
WAIT(clFinish, (cl_command_queue q), (q))
WAIT(clWaitForEvents, (cl_uint n, const cl_event *list), (n, list))
CALL(clGetEventProfilingInfo, (cl_event e, cl_profiling_info what, size_t n, void *value, size_t *have),
     (e, what, n, value, have))

MAKE(cl_context, clCreateContext,
     (const cl_context_properties *properties, cl_uint n, const cl_device_id *list,
      void(CL_CALLBACK *note)(const char *text, const void *info, size_t n_info, void *data), void *data, cl_int *code),
     (properties, n, list, note, data, code))
MAKE(cl_command_queue, clCreateCommandQueue,
     (cl_context c, cl_device_id d, cl_command_queue_properties properties, cl_int *code), (c, d, properties, code))
MAKE(cl_program, clCreateProgramWithSource,
     (cl_context c, cl_uint n, const char **texts, const size_t *sizes, cl_int *code), (c, n, texts, sizes, code))
MAKE(cl_program, clCreateProgramWithBinary,
     (cl_context c, cl_uint n, const cl_device_id *list, const size_t *sizes, const unsigned char **binaries,
      cl_int *states, cl_int *code),
     (c, n, list, sizes, binaries, states, code))
MAKE(cl_kernel, clCreateKernel, (cl_program p, const char *name, cl_int *code), (p, name, code))
MAKE(cl_mem, clCreateBuffer, (cl_context c, cl_mem_flags flags, size_t n, void *host, cl_int *code),
     (c, flags, n, host, code))

COUNT(clReleaseContext, cl_context, -1)
COUNT(clReleaseCommandQueue, cl_command_queue, -1)
COUNT(clReleaseProgram, cl_program, -1)
COUNT(clReleaseKernel, cl_kernel, -1)
COUNT(clReleaseMemObject, cl_mem, -1)
COUNT(clReleaseEvent, cl_event, -1)
COUNT(clRetainEvent, cl_event, 1)

COMMAND(clEnqueueReadBuffer,
        (cl_command_queue q, cl_mem m, cl_bool blocks, size_t at, size_t n, void *bytes, cl_uint n_list,
         const cl_event *list, cl_event *event),
        (q, m, blocks, at, n, bytes, n_list, list, event))
COMMAND(clEnqueueWriteBuffer,
        (cl_command_queue q, cl_mem m, cl_bool blocks, size_t at, size_t n, const void *bytes, cl_uint n_list,
         const cl_event *list, cl_event *event),
        (q, m, blocks, at, n, bytes, n_list, list, event))
COMMAND(clEnqueueNDRangeKernel,
        (cl_command_queue q, cl_kernel k, cl_uint rank, const size_t *offset, const size_t *global, const size_t *local,
         cl_uint n_list, const cl_event *list, cl_event *event),
        (q, k, rank, offset, global, local, n_list, list, event))
COMMAND(clEnqueueMarkerWithWaitList, (cl_command_queue q, cl_uint n_list, const cl_event *list, cl_event *event),
        (q, n_list, list, event))
