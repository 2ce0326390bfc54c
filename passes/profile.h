/* Marks between the calls of main. See profile.c. */
#ifndef TENON_PROFILE_H
#define TENON_PROFILE_H
#include "../ir/prog.h"

/* What a mark says about what follows it: the number of a call, or one of these. */
enum { PROFILE_REST = -1, PROFILE_WAIT = -2 };

/* The calls of main that are no marks, by their numbers: in the order of the text, a loop's and a branch's body where it
 * stands. The same with and without marks. The array is in `arena`; *n: how many. */
const struct stmt **profile_calls(const struct prog *prog, struct arena *arena, int *n);
/* Whether the call stands in a loop of the list whose iterations the workers share: then each makes it a part of the
 * times that all together do. list: main. */
bool profile_is_dealt(const struct stmt *list, const struct stmt *call);

#endif
