/* Marks between the calls of main. See profile.c. */
#ifndef TENON_PROFILE_H
#define TENON_PROFILE_H
#include "../ir/prog.h"

/* What a mark says about what follows it: the number of a call, or one of these. */
enum { PROFILE_REST = -1, PROFILE_WAIT = -2 };

/* Whether the call stands in a loop of the list whose iterations the workers share: then each makes it a part of the
 * times that all together do. list: main. */
bool profile_is_dealt(const struct stmt *list, const struct stmt *call);

#endif
