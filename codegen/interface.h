/* Names that printed kernels and the printed interface of a model share. */
#ifndef TENON_INTERFACE_H
#define TENON_INTERFACE_H
#include "codegen.h"

struct interface_names {
    const char *model;   /* C identifier: NAME of NAME_run */
    const char **input;  /* field of struct NAME_inputs, by position */
    const char **symbol; /* field of struct NAME_inputs, by number */
    const char **output; /* field of struct NAME_outputs, by position */
};
void interface_names(const struct prog *prog, struct arena *arena, struct interface_names *names);
/* A source file that artefacts carry, by its path in this repository. */
struct embedded_file;
const struct embedded_file *embedded_find(const char *path);
/* NAME_run where it is more than one function of kernels: on several threads, of several versions. */
void versions_print(const struct emission *emission, struct text *out);
/* The name in upper case, in arena. */
const char *interface_upper(struct arena *arena, const char *name);
/* struct NAME_inputs and struct NAME_outputs. */
void interface_structs(const struct emission *emission, struct text *out);
/* "s" as a string of C. */
void text_c_string(struct text *out, const char *s);
/* The C dialect, for whoever prints dims or types. */
extern const struct dialect c_dialect, c_small_dialect; /* small: for microcontrollers */

#endif
