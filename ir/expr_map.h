/* A map from expression nodes to small integers, for walks over expressions as the graphs they are: an expression
 * is interned, so a node may be reached by very many paths and must be visited once. */
#ifndef TENON_EXPR_MAP_H
#define TENON_EXPR_MAP_H
#include "prog.h"

struct expr_map {
    struct arena *arena;
    struct expr_map_slot {
        ex key;
        int value;
    } *at;
    int n, cap; /* cap: a power of two */
};

/* The value of e, NULL where it has none. The pointer holds until the next expr_map_add. */
int *expr_map_find(const struct expr_map *map, ex e);
/* Gives e (not in the map yet) a value. */
void expr_map_add(struct expr_map *map, ex e, int value);
void expr_map_clear(struct expr_map *map);

#endif
