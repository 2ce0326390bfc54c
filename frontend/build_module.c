/* Files: what stands at the top level, imports, and paths that stay in the file's folder. */
#define _POSIX_C_SOURCE 200809L
#include "build.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Folder of path with its last slash; "" for the working directory. */
static const char *folder_of(struct arena *arena, const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? arena_strndup(arena, path, (size_t)(slash - path) + 1) : "";
}

static bool leads_out(const char *path)
{
    if (path[0] == '/' || path[0] == 0) return true;
    for (const char *part = path; part; part = strchr(part, '/')) {
        if (*part == '/') part++;
        size_t n = strcspn(part, "/");
        if (n == 2 && part[0] == '.' && part[1] == '.') return true;
    }
    return false;
}

const char *build_path(struct build *build, struct ast *ast, const char *path)
{
    if (leads_out(path)) {
        build_fail(build, ast, "the path \"%s\" leads out of the model's folder", path);
        return NULL;
    }
    const char *base =
        build->frame && build->frame->module && build->frame->module->path ? build->frame->module->path : "";
    return arena_printf(build->arena, "%s%s", folder_of(build->arena, base), path);
}

/* The file's text; NULL with errno where there is none. */
static struct source *read_source(struct arena *arena, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return NULL;
    struct stat status;
    struct source *source = NULL;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size <= SOURCE_BYTES_MOST) {
        char *text = arena_alloc(arena, (size_t)status.st_size + 1);
        size_t n = 0;
        ssize_t got;
        while (n < (size_t)status.st_size && (got = read(fd, text + n, (size_t)status.st_size - n)) > 0)
            n += (size_t)got;
        source = NEW(arena, struct source);
        *source = (struct source){arena_strdup(arena, path), text, n};
    } else errno = EFBIG;
    close(fd);
    return source;
}

static struct module *find_module(struct build *build, struct ast *ast, const char *path)
{
    for (int i = 0; i < build->modules.n; i++)
        if (!strcmp(build->modules.at[i]->path, path)) {
            if (!build->modules.at[i]->loading) return build->modules.at[i];
            build_fail(build, ast, "imports go in a circle: \"%s\" is being read already", path);
            return NULL;
        }
    return NULL;
}

static struct module *load_module(struct build *build, const struct source *source)
{
    struct module *module = NEW(build->arena, struct module);
    int before = diag_errors(build->diag);
    module->path = source->name;
    module->source = source;
    module->ast = ast_read(build->arena, build->diag, source, source->text, source->n_bytes, 1);
    if (!module->ast || diag_errors(build->diag) > before) module->ast = NULL;
    else module_run(build, module);
    return module;
}

struct module *module_import(struct build *build, struct ast *ast, const struct module *from)
{
    enum { MODULES_MOST = 200 };
    size_t n = strlen(ast->text);
    bool suffix = n > 3 && !strcmp(ast->text + n - 3, ".tn");
    const char *name = arena_printf(build->arena, "%s%s", ast->text, suffix ? "" : ".tn");
    struct text tried = {.arena = build->arena};
    if (leads_out(name)) {
        build_fail(build, ast, "the path \"%s\" leads out of the model's folder", ast->text);
        return NULL;
    }
    if (build->modules.n >= MODULES_MOST) {
        build_fail(build, ast, "more than %d files are imported", MODULES_MOST);
        return NULL;
    }
    for (int i = -1; i < build->options->n_import_dirs; i++) {
        const char *dir = i < 0 ? folder_of(build->arena, from->path) : build->options->import_dirs[i];
        size_t length = strlen(dir);
        const char *path = arena_printf(build->arena, "%s%s%s", dir, length && dir[length - 1] != '/' ? "/" : "", name);
        int before = diag_errors(build->diag);
        struct module *module = find_module(build, ast, path);
        if (module || diag_errors(build->diag) > before || ast->reported) return module;
        struct source *source = read_source(build->arena, path);
        if (source) return load_module(build, source);
        text_printf(&tried, "%s%s", tried.n ? ", " : "", path);
    }
    build_fail(build, ast, "no file for the import '%s'; looked for %s", ast->text, text_string(&tried));
    return NULL;
}

static void run_import(struct build *build, struct module *module, struct ast *ast)
{
    if (!strcmp(ast->text, "nn") && !strcmp(ast->name, "nn")) {
        module->imports_nn = true;
        return;
    }
    struct module *imported = module_import(build, ast, module);
    if (!imported) return;
    LIST_PUSH(build->arena, &module->imports, imported);
    LIST_PUSH(build->arena, &module->aliases, ast->name);
}

/* dim N in lo..hi: a symbol, or a number where the options pin it. */
static void run_dim(struct build *build, struct module *module, struct ast *ast)
{
    int64_t lo = 1, hi = (int64_t)1 << 31;
    struct dims *dims = build->region->graph->dims;
    if (strchr(ast->text, '.')) {
        build_fail(build, ast, "'%s' cannot name a dimension", ast->text);
        return;
    }
    if (ast->n == 2 && (!eval_int(build, ast->kid[0], &lo) || !eval_int(build, ast->kid[1], &hi))) return;
    if (!dim_is_const(lo) || !dim_is_const(hi) || lo < 0 || lo > hi || hi > DIM_HUGE) {
        build_fail(build, ast, "the range of the dimension '%s' must be two plain numbers, the least first", ast->text);
        return;
    }
    for (int i = 0; i < build->options->n_pins; i++) {
        const struct dim_pin *pin = &build->options->pins[i];
        if (strcmp(pin->name, ast->text) != 0) continue;
        if (pin->size < lo || pin->size > hi)
            build_fail(build, ast, "the dimension '%s' is %lld, its range is %lld..%lld", ast->text,
                       (long long)pin->size, (long long)lo, (long long)hi);
        build_set(build, module->frame, ast->text, item_int(pin->size));
        return;
    }
    dim_symbol(dims, ast->text, lo, hi);
}

void module_run(struct build *build, struct module *module)
{
    struct frame *outer = build->frame;
    LIST_PUSH(build->arena, &build->modules, module);
    module->loading = true;
    module->frame = build_frame(build, NULL, build->region);
    module->frame->module = module;
    module->frame->scope = "";
    build->frame = module->frame;
    for (int i = 0; i < module->ast->n && !diag_full(build->diag); i++) {
        struct ast *ast = module->ast->kid[i];
        if (ast->kind == AST_IMPORT) run_import(build, module, ast);
        else if (ast->kind == AST_DIM) run_dim(build, module, ast);
        else if (ast->kind == AST_DEF) eval_def(build, ast);
        else if (ast->kind == AST_CONST || ast->kind == AST_WEIGHTS) eval_statement(build, ast);
        else if (ast->kind != AST_MODEL)
            build_fail(build, ast,
                       "only import, dim, const, weights, def and model may stand outside of a model or function");
    }
    module->loading = false;
    build->frame = outer;
}
