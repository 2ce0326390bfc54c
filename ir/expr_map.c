/* Open addressing over node pointers.  See expr_map.h. */
#include "expr_map.h"

#include <string.h>

static int slot_of(const struct expr_map *map, ex e)
{
    uint64_t hash = (uint64_t)(uintptr_t)e * 0x9e3779b97f4a7c15u;
    int i = (int)((hash >> 40) & (uint64_t)(map->cap - 1));
    while (map->at[i].key && map->at[i].key != e) i = (i + 1) & (map->cap - 1);
    return i;
}

int *expr_map_find(const struct expr_map *map, ex e)
{
    if (map->n == 0) return NULL;
    struct expr_map_slot *slot = &map->at[slot_of(map, e)];
    return slot->key ? &slot->value : NULL;
}

static void grow(struct expr_map *map)
{
    struct expr_map old = *map;
    map->cap = old.cap ? 2 * old.cap : 64;
    map->at = NEW_ARRAY(map->arena, struct expr_map_slot, map->cap);
    for (int i = 0; i < old.cap; i++)
        if (old.at[i].key) map->at[slot_of(map, old.at[i].key)] = old.at[i];
}

void expr_map_add(struct expr_map *map, ex e, int value)
{
    if (2 * (map->n + 1) > map->cap) grow(map);
    map->at[slot_of(map, e)] = (struct expr_map_slot){e, value};
    map->n++;
}

void expr_map_clear(struct expr_map *map)
{
    if (map->n) memset(map->at, 0, (size_t)map->cap * sizeof *map->at);
    map->n = 0;
}
