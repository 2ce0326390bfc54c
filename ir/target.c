/* The target rows. See target.h. */
#include "target.h"

#include <string.h>

static const struct target targets[] = {
#define TARGET(...) {__VA_ARGS__, NULL, false, 0},
#define SMALL(...) {__VA_ARGS__, NULL, true, 0},
#include "targets.def"
#undef SMALL
#undef TARGET
};

int target_count(void)
{
    return (int)(sizeof targets / sizeof *targets);
}

const struct target *target_at(int i)
{
    return &targets[i];
}

const struct target *target_find(const char *name)
{
    for (int i = 0; i < target_count(); i++)
        if (!strcmp(targets[i].name, name)) return &targets[i];
    return 0;
}
