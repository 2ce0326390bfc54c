/* A dimension that a model leaves open, given a number by the user: what the readers of all formats take. */
#ifndef TENON_PIN_H
#define TENON_PIN_H
#include <stdint.h>

struct dim_pin {
    const char *name;
    int64_t size;
};

#endif
