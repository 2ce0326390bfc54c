/* --place: which parts of a model are computed where, by the names that the model's file gives them.
 *
 *     --place='conv*=opencl,head=cpu'       the first pattern decides that matches a node
 *
 * A node's names are those of its values, the layer (ONNX: the node) it comes from, and for models of the language the
 * scope. What has no name goes with what it is read by, as the operators inside an expression go with the expression;
 * where that has none either, only `*` matches it. What no pattern matches stays where the model says. Passes take it
 * from there (passes/place.c).
 */
#define _POSIX_C_SOURCE 200809L
#include "cmd.h"

#include <fnmatch.h>
#include <string.h>

bool place_rules_read(struct session *session, const char *s, struct options *options)
{
    struct arena *arena = session->arena;
    for (bool more = true; more;) {
        size_t n = strcspn(s, ",");
        const char *all = arena_strndup(arena, s, n), *equals = strrchr(all, '=');
        if (!equals || equals == all || !equals[1]) {
            fprintf(stderr, "tenon: --place is PATTERN=PLACE between commas, not '%s'\n", all);
            return false;
        }
        const char *name = equals + 1, *device = !strncmp(name, "opencl:", 7) && name[7] ? name + 7 : NULL;
        struct place_rule rule = {.pattern = arena_strndup(arena, all, (size_t)(equals - all))};
        if (device) name = "opencl";
        rule.home = !strcmp(name, home_name(HOME_CPU)) ? HOME_CPU : !strcmp(name, home_name(HOME_OPENCL)) ? HOME_OPENCL : HOME_NONE;
        if (rule.home == HOME_NONE) {
            fprintf(stderr, "tenon: --place: there is no place '%s'; there are cpu, opencl, and opencl:gpu or another --device\n", name);
            return false;
        }
        if (device && options->device_name && strcmp(device, options->device_name) != 0) {
            fprintf(stderr, "tenon: a model is for one device, not for %s and %s\n", options->device_name, device);
            return false;
        }
        if (device) options->device_name = device;
        LIST_PUSH(arena, &options->places, rule);
        more = s[n] == ',';
        s += n + more;
    }
    return true;
}

struct placement { /* of a graph and its subgraphs */
    struct arena *arena;
    const struct options *options;
    bool *used;                /* by rule: it matches something */
    LIST(const char *) names;  /* all that there are */
};

/* The home of the first rule that matches the name; NONE where none does. */
static enum home home_of(struct placement *p, const char *name)
{
    enum home home = HOME_NONE;
    for (int i = 0; i < p->options->places.n; i++) {
        const struct place_rule *rule = &p->options->places.at[i];
        if (fnmatch(rule->pattern, name, 0) != 0) continue;
        p->used[i] = true;
        if (home == HOME_NONE) home = rule->home;
    }
    return home;
}

/* "conv1" of an ONNX node's place, `node 17 "conv1" (Conv)`; a scope of the language as it is; NULL where there is none. */
static const char *layer_of(const struct node *node, struct arena *arena)
{
    const char *path = node->place.path;
    if (!path || node->place.line) return path;
    const char *from = strchr(path, '"'), *to = from ? strstr(from, "\" (") : NULL;
    return to && to > from + 1 ? arena_strndup(arena, from + 1, (size_t)(to - from - 1)) : NULL;
}

static void note_name(struct placement *p, const char *name, bool *named, enum home *home)
{
    if (!name || !*name) return;
    *named = true;
    LIST_PUSH(p->arena, &p->names, name);
    enum home found = home_of(p, name);
    if (*home == HOME_NONE) *home = found;
}

/* reader: by value id, the home that rules gave to the first node that reads it. */
static void place_graph(struct placement *p, struct graph *graph, enum home outer)
{
    enum home *reader = NEW_ARRAY(p->arena, enum home, graph->next_value + 1);
    bool *is_read = NEW_ARRAY(p->arena, bool, graph->next_value + 1);
    for (int i = graph->nodes.n - 1; i >= 0; i--) {
        struct node *node = graph->nodes.at[i];
        enum home home = HOME_NONE;
        bool named = false;
        if (op_row(node->op)->kind == OP_LEAF) continue;
        for (int k = 0; k < node->n_out; k++) note_name(p, node->out[k].name, &named, &home);
        note_name(p, layer_of(node, p->arena), &named, &home);
        bool follows = !named && is_read[node->out[0].id];
        if (follows) home = reader[node->out[0].id];
        else if (!named) home = home_of(p, "");
        if (home != HOME_NONE) node->home = home;
        else if (node->home == HOME_NONE) node->home = outer;
        for (int k = 0; k < node->n_in; k++) {
            is_read[node->in[k]->id] = true;
            reader[node->in[k]->id] = home;
        }
        for (int k = 0; k < node->n_attrs; k++)
            if (node->attrs[k].kind == ATTR_GRAPH) place_graph(p, node->attrs[k].graph, node->home);
    }
}

bool place_apply(struct session *session, const struct options *options, struct graph *graph)
{
    struct placement p = {.arena = session->arena, .options = options};
    int before = diag_errors(session->diag);
    if (options->places.n == 0) return true;
    p.used = NEW_ARRAY(p.arena, bool, options->places.n);
    place_graph(&p, graph, HOME_NONE);
    for (int i = 0; i < options->places.n; i++) {
        const char *pattern = options->places.at[i].pattern;
        if (p.used[i]) continue;
        diag_error(session->diag, (struct place){0}, "--place: nothing in the model is called '%s'", pattern);
        const char *near = diag_suggest(pattern, p.names.at, p.names.n);
        if (near) diag_note(session->diag, (struct place){0}, "did you mean '%s'?", near);
    }
    return diag_errors(session->diag) == before;
}
