/* Devices that OpenCL finds on this machine, probed. Used by `tenon devices`, and by whoever compiles for one of them. */
#ifndef TENON_CMD_DEVICES_H
#define TENON_CMD_DEVICES_H
#include "../ir/device.h"

struct found_device {
    const struct device *record; /* NULL: a kernel that needs nothing does not run there; notes says why */
    const char *name;
    const char *notes; /* a line for each thing that the driver says and a test kernel contradicts */
};
struct found_devices {
    struct found_device *at; /* by the numbers that run-time choices use */
    int n;
};
/* All devices, or only number `only` (-1: all; the others then have no record and no notes). False, with the reason in
 * *why, where there are none. Nothing is printed; takes a tenth of a second a device, and more the first time. */
bool devices_probe(int only, struct arena *arena, struct found_devices *found, const char **why);

#endif
