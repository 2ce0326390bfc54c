/* Hash tables from names to entries, and the scopes made of them.  See onnx_scope.h. */
#include "onnx_scope.h"

#include <string.h>

static unsigned hash_name(const char *name)
{
    unsigned h = 2166136261u;
    for (; *name; name++) h = (h ^ (unsigned char)*name) * 16777619u;
    return h ^ h >> 15;
}

static void table_grow(struct table *table)
{
    int n = table->n_buckets ? table->n_buckets * 4 : 16;
    struct entry **bucket = NEW_ARRAY(table->arena, struct entry *, n);
    for (int i = 0; i < table->n_buckets; i++)
        for (struct entry *e = table->bucket[i], *next; e; e = next) {
            struct entry **to = &bucket[hash_name(e->name) & (unsigned)(n - 1)];
            next = e->next;
            e->next = *to;
            *to = e;
        }
    table->bucket = bucket;
    table->n_buckets = n;
}

struct entry *table_find(const struct table *table, const char *name)
{
    if (!table->n_buckets) return NULL;
    struct entry *e = table->bucket[hash_name(name) & (unsigned)(table->n_buckets - 1)];
    while (e && strcmp(e->name, name)) e = e->next;
    return e;
}

struct entry *table_add(struct table *table, const char *name)
{
    if (table_find(table, name)) return NULL;
    if (table->n >= table->n_buckets) table_grow(table);
    struct entry *e = NEW(table->arena, struct entry),
                 **to = &table->bucket[hash_name(name) & (unsigned)(table->n_buckets - 1)];
    e->name = name;
    e->next = *to;
    *to = e;
    table->n++;
    return e;
}

static struct value *entry_value(struct entry *entry, struct graph *graph)
{
    if (!entry->value && entry->tensor)
        entry->value = graph_name(graph, graph_const(graph, entry->tensor), entry->name);
    return entry->value;
}

enum found scope_find(struct scope *scope, const char *name, struct value **value)
{
    struct scope *at = scope;
    struct entry *entry = NULL;
    while (at && !(entry = table_find(&at->table, name))) at = at->parent;
    *value = NULL;
    if (!entry) return FOUND_NOTHING;
    if (entry->is_absent) return FOUND_ABSENT;
    if (at->graph != scope->graph) { /* what is no constant was bound here when captures were collected */
        const struct tensor *tensor = entry->tensor ? entry->tensor : entry->value ? value_const(entry->value) : NULL;
        if (!tensor) return FOUND_POISON;
        const struct narrow *narrow = entry->narrow;
        entry = table_add(&scope->table, name);
        entry->tensor = tensor;
        entry->narrow = narrow;
    }
    *value = entry_value(entry, scope->graph);
    return *value ? FOUND_VALUE : FOUND_POISON;
}

const struct narrow *scope_narrow(const struct scope *scope, const char *name)
{
    struct entry *entry = NULL;
    for (; scope && !entry; scope = scope->parent) entry = table_find(&scope->table, name);
    return entry ? entry->narrow : NULL;
}

bool scope_bind(struct scope *scope, const char *name, struct value *value, const struct narrow *narrow)
{
    struct entry *entry = table_add(&scope->table, name);
    if (!entry) return diag_error(scope->graph->diag, scope->graph->place, "the name \"%s\" is given twice", name);
    entry->value = value;
    entry->narrow = narrow;
    if (value) graph_name(scope->graph, value, name);
    return true;
}

struct scope *scope_open(struct importer *importer, struct graph *graph, bool is_function)
{
    struct arena *arena = graph->session;
    struct scope *scope = NEW(arena, struct scope), *from = importer->scope;
    scope->table.arena = arena;
    scope->graph = graph;
    scope->path = "";
    if (from) {
        scope->parent = is_function ? NULL : from;
        scope->caller = from->caller;
        scope->caller_scope = from->caller_scope;
        scope->function = from->function;
        scope->n_opsets = from->n_opsets;
        scope->opsets = from->opsets;
        scope->path = from->path;
    }
    return scope;
}
