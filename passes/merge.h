/* Calls side by side become one. Used by pass bind. */
#ifndef TENON_MERGE_H
#define TENON_MERGE_H
#include "../ir/prog.h"

/* In main's lists: neighbours that touch nothing of one another's become one call of a kernel that does both, where all
 * but one of them are small: fewer starts of kernels on a device. */
void merge_calls(struct prog *prog);

#endif
