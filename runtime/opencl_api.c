/* OpenCL found at run time: nothing links it. Carried as text in front of opencl_cache.c, opencl_open.c and opencl.c,
 * and part of the command `tenon devices`.
 *
 * The loader (libOpenCL.so.1, or what the environment's TENON_OPENCL names) is opened once per process and stays: many
 * drivers do not survive being unloaded. Every function that is used stands once in TENON_CL_FUNCTIONS and is called
 * through tenon_cl_api, so that whoever calls has its name for a message (tenon_cl_error_name for the code).
 */
#ifndef TENON_OPENCL_API
#define TENON_OPENCL_API
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Before a function that the text behind it need not use. */
#ifdef __GNUC__
#define TENON_CL_MAY static __attribute__((unused))
#else
#define TENON_CL_MAY static
#endif

#define TENON_CL_FUNCTIONS(F)                                                                                          \
    F(clGetPlatformIDs) F(clGetPlatformInfo) F(clGetDeviceIDs) F(clGetDeviceInfo) F(clCreateContext)                   \
    F(clReleaseContext) F(clCreateCommandQueue) F(clReleaseCommandQueue) F(clCreateProgramWithSource)                  \
    F(clCreateProgramWithBinary) F(clBuildProgram) F(clGetProgramInfo) F(clGetProgramBuildInfo) F(clReleaseProgram)    \
    F(clCreateKernel) F(clSetKernelArg) F(clReleaseKernel) F(clCreateBuffer) F(clReleaseMemObject)                     \
    F(clEnqueueReadBuffer) F(clEnqueueWriteBuffer) F(clEnqueueNDRangeKernel) F(clEnqueueMarkerWithWaitList)            \
    F(clFlush) F(clFinish) F(clWaitForEvents) F(clRetainEvent) F(clReleaseEvent) F(clGetEventProfilingInfo)

static struct tenon_cl_functions {
#define F(name) __typeof__(name) *name;
    TENON_CL_FUNCTIONS(F)
#undef F
} tenon_cl_api;

static const char *tenon_cl_error_name(cl_int code)
{
    switch (code) {
#define ERROR(name) case name: return #name;
        ERROR(CL_SUCCESS) ERROR(CL_DEVICE_NOT_FOUND) ERROR(CL_DEVICE_NOT_AVAILABLE) ERROR(CL_COMPILER_NOT_AVAILABLE)
        ERROR(CL_MEM_OBJECT_ALLOCATION_FAILURE) ERROR(CL_OUT_OF_RESOURCES) ERROR(CL_OUT_OF_HOST_MEMORY)
        ERROR(CL_PROFILING_INFO_NOT_AVAILABLE) ERROR(CL_MEM_COPY_OVERLAP) ERROR(CL_BUILD_PROGRAM_FAILURE)
        ERROR(CL_MAP_FAILURE) ERROR(CL_MISALIGNED_SUB_BUFFER_OFFSET) ERROR(CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST)
        ERROR(CL_COMPILE_PROGRAM_FAILURE) ERROR(CL_LINKER_NOT_AVAILABLE) ERROR(CL_LINK_PROGRAM_FAILURE)
        ERROR(CL_DEVICE_PARTITION_FAILED) ERROR(CL_KERNEL_ARG_INFO_NOT_AVAILABLE) ERROR(CL_INVALID_VALUE)
        ERROR(CL_INVALID_DEVICE_TYPE) ERROR(CL_INVALID_PLATFORM) ERROR(CL_INVALID_DEVICE) ERROR(CL_INVALID_CONTEXT)
        ERROR(CL_INVALID_QUEUE_PROPERTIES) ERROR(CL_INVALID_COMMAND_QUEUE) ERROR(CL_INVALID_HOST_PTR)
        ERROR(CL_INVALID_MEM_OBJECT) ERROR(CL_INVALID_BINARY) ERROR(CL_INVALID_BUILD_OPTIONS) ERROR(CL_INVALID_PROGRAM)
        ERROR(CL_INVALID_PROGRAM_EXECUTABLE) ERROR(CL_INVALID_KERNEL_NAME) ERROR(CL_INVALID_KERNEL_DEFINITION)
        ERROR(CL_INVALID_KERNEL) ERROR(CL_INVALID_ARG_INDEX) ERROR(CL_INVALID_ARG_VALUE) ERROR(CL_INVALID_ARG_SIZE)
        ERROR(CL_INVALID_KERNEL_ARGS) ERROR(CL_INVALID_WORK_DIMENSION) ERROR(CL_INVALID_WORK_GROUP_SIZE)
        ERROR(CL_INVALID_WORK_ITEM_SIZE) ERROR(CL_INVALID_GLOBAL_OFFSET) ERROR(CL_INVALID_EVENT_WAIT_LIST)
        ERROR(CL_INVALID_EVENT) ERROR(CL_INVALID_OPERATION) ERROR(CL_INVALID_BUFFER_SIZE)
        ERROR(CL_INVALID_GLOBAL_WORK_SIZE) ERROR(CL_INVALID_PROPERTY) ERROR(CL_INVALID_COMPILER_OPTIONS)
        ERROR(CL_INVALID_LINKER_OPTIONS)
#undef ERROR
    case -1001: return "CL_PLATFORM_NOT_FOUND_KHR";
    default: return "an error of the driver's own";
    }
}

/* Opens the loader, if that has not been done. False, with words in message, where it is not there; the next call
 * looks again. */
static bool tenon_cl_load(char *message, size_t message_bytes)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static bool is_loaded;
    const char *path = getenv("TENON_OPENCL"), *missing = NULL;
    if (!path || !*path) path = "libOpenCL.so.1";
    pthread_mutex_lock(&lock);
    void *library = is_loaded ? NULL : dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library) {
#define F(name)                                                                                                        \
    *(void **)&tenon_cl_api.name = dlsym(library, #name);                                                              \
    if (!tenon_cl_api.name) missing = #name;
        TENON_CL_FUNCTIONS(F)
#undef F
        is_loaded = !missing;
        if (missing) dlclose(library);
    }
    bool good = is_loaded;
    pthread_mutex_unlock(&lock);
    if (missing)
        snprintf(message, message_bytes, "%s has no function %s: OpenCL 1.2 or newer is needed", path, missing);
    else if (!good)
        snprintf(message, message_bytes,
                 "no OpenCL loader (%s): install ocl-icd-libopencl1 and a driver such as pocl-opencl-icd", path);
    return good;
}

enum { TENON_CL_DEVICES = 64, TENON_CL_NAME = 256 };
struct tenon_cl_device {
    cl_platform_id platform;
    cl_device_id device;
};

/* All devices of all platforms, in the platforms' order: a device's number is its place here. Their number; 0 with
 * words in message where there are none. */
static int tenon_cl_list(struct tenon_cl_device list[TENON_CL_DEVICES], char *message, size_t message_bytes)
{
    cl_platform_id platforms[TENON_CL_DEVICES];
    cl_uint n_platforms = 0;
    int n = 0;
    if (!tenon_cl_load(message, message_bytes)) return 0;
    cl_int code = tenon_cl_api.clGetPlatformIDs(TENON_CL_DEVICES, platforms, &n_platforms);
    if (code && code != -1001) {
        snprintf(message, message_bytes, "clGetPlatformIDs: %s", tenon_cl_error_name(code));
        return 0;
    }
    if (code) n_platforms = 0;
    if (n_platforms > TENON_CL_DEVICES) n_platforms = TENON_CL_DEVICES;
    snprintf(message, message_bytes, "OpenCL has no %s: install a driver such as pocl-opencl-icd",
             n_platforms ? "device" : "platform");
    for (cl_uint p = 0; p < n_platforms; p++) {
        cl_device_id devices[TENON_CL_DEVICES];
        cl_uint n_devices = 0;
        code = tenon_cl_api.clGetDeviceIDs(platforms[p], CL_DEVICE_TYPE_ALL, TENON_CL_DEVICES, devices, &n_devices);
        if (code) { /* a platform without devices must not hide those of others */
            if (code != CL_DEVICE_NOT_FOUND)
                snprintf(message, message_bytes, "clGetDeviceIDs: %s", tenon_cl_error_name(code));
            continue;
        }
        for (cl_uint d = 0; d < n_devices && d < TENON_CL_DEVICES && n < TENON_CL_DEVICES; d++)
            list[n++] = (struct tenon_cl_device){platforms[p], devices[d]};
    }
    return n;
}

/* Texts of a device or its platform; false, and "", where it does not say. */
static bool tenon_cl_device_text(cl_device_id device, cl_device_info what, char text[TENON_CL_NAME])
{
    bool good = !tenon_cl_api.clGetDeviceInfo(device, what, TENON_CL_NAME, text, NULL);
    text[good ? TENON_CL_NAME - 1 : 0] = 0;
    return good;
}

static bool tenon_cl_platform_text(cl_platform_id platform, cl_platform_info what, char text[TENON_CL_NAME])
{
    bool good = !tenon_cl_api.clGetPlatformInfo(platform, what, TENON_CL_NAME, text, NULL);
    text[good ? TENON_CL_NAME - 1 : 0] = 0;
    return good;
}
#endif
