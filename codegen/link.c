/* Artefacts: printed text, weights and runtime put together into the file the user asked for.
 *
 * Everything is made in a private folder by the C compiler, which runs there and sees relative names only; the
 * finished file is moved to its place, so a failure leaves nothing half written. Weights are appended to what is
 * linked (weights_embed.c), or go through the assembler's .incbin; only a few bytes of them are ever C text.
 */
#include "../ir/extern.h"
#include "freestanding.h"
#include "opencl.h"
#include "process.h"
#include "weights_embed.h"

#include "embedded_codegen.h"

#include <string.h>

enum { WEIGHTS_IN_TEXT_MOST = 4096 };

enum artefact {
    ARTEFACT_C,
    ARTEFACT_OBJECT,
    ARTEFACT_ARCHIVE,
    ARTEFACT_SHARED,
    ARTEFACT_ASSEMBLY,
    ARTEFACT_LLVM,
    ARTEFACT_OPENCL,
    ARTEFACT_PROGRAM
};

struct linker {
    const struct link_options *options;
    struct emission emission;
    struct arena *arena;
    struct diag *diag;
    const char *folder, *out_path;
    struct text *written;
    bool weights_apart; /* in a file of their own: mapped at load, or taken in by the assembler or behind the linked file */
    bool embeds;        /* the last of these */
    struct text kernels; /* of OpenCL */
    struct device_needs opencl;
};

static const char *inside(struct linker *linker, const char *name)
{
    return arena_printf(linker->arena, "%s/%s", linker->folder, name);
}

static void note_written(struct linker *linker, const char *path)
{
    if (!linker->written) return;
    text_add(linker->written, path);
    text_add(linker->written, "\n");
}

static bool put_file(struct linker *linker, const char *path, const struct text *text)
{
    return file_write(path, text_string(text), text->n, linker->diag);
}

/* Extern functions of the program's calls */

/* Whether an extern function of this file is called. */
static bool calls_extern(const struct stmt *list, const char *file)
{
    for (const struct stmt *s = list; s; s = s->next) {
        const struct extern_row *row = s->kind == STMT_CALL && !s->kernel ? extern_find(s->extern_name) : NULL;
        if ((row && !strcmp(row->file, file)) || calls_extern(s->body, file) || calls_extern(s->other, file)) return true;
    }
    return false;
}

static bool has_externs(const struct emission *emission, const char *file)
{
    bool found = false;
    for (int v = 0; v < emission->n_versions; v++) {
        const struct prog *prog = emission->versions[v].prog;
        found = found || calls_extern(prog->main, file);
        for (int i = 0; i < prog->kernels.n && !found; i++) found = calls_extern(prog->kernels.at[i]->body, file);
    }
    return found;
}

/* Texts */

static void put_weights_array(struct linker *linker, struct text *code)
{
    const struct weights_layout *weights = &linker->emission.weights;
    struct text bytes = {.arena = linker->arena};
    for (int i = 0; i < weights->n_tensors; i++) {
        text_add_n(&bytes, weights->tensors[i]->data, (size_t)weights->tensors[i]->n_bytes);
        while (bytes.n % (size_t)weights->alignment) text_add_n(&bytes, "", 1);
    }
    text_printf(code, "\n%s_Alignas(%lld) const unsigned char %s_weights[%zu] = {", linker->emission.freestanding ? "static " : "",
                (long long)weights->alignment, linker->emission.name, bytes.n);
    for (size_t i = 0; i < bytes.n; i++)
        text_printf(code, "%s%u,", i % 24 ? " " : "\n    ", (unsigned char)bytes.at[i]);
    text_add(code, "\n};\n");
}

/* The text of a file of extern functions, where one is called: weak, since several models in one program may each
 * carry them. */
static void put_externs(struct linker *linker, const char *path, struct text *code)
{
    if (!has_externs(&linker->emission, path)) return;
    const struct embedded_file *externs = embedded_find(path);
    text_add(code, "\n#if defined(__GNUC__)\n");
#define EXTERN(name, buffers, scalars, file)                                                                           \
    if (!strcmp(file, path)) text_add(code, "#pragma weak tenon_" #name "\n");
#include "../ir/extern.def"
#undef EXTERN
    text_add(code, "#endif\n");
    text_add_n(code, externs->text, externs->n_bytes);
}

static void put_embedded(const char *path, struct text *code)
{
    const struct embedded_file *file = embedded_find(path);
    text_add(code, "\n");
    text_add_n(code, file->text, file->n_bytes);
}

/* The model's C text, which includes `header_name`. LLVM prints kernels and NAME_run itself. */
static void make_texts(struct linker *linker, const char *header_name, struct text *header, struct text *code)
{
    put_embedded("runtime/tenon.h", header);
    text_add(header, "\n");
    text_printf(code,
                "/* %s, compiled by tenon. Flags that matter: -fno-strict-aliasing -fno-tree-vectorize; "
                "-ffp-contract=off with gcc's own dialects. */\n",
                linker->emission.name);
    if (linker->emission.threads || linker->emission.opencl)
        text_add(code, "#ifndef _GNU_SOURCE\n#define _GNU_SOURCE\n#endif\n");
    text_printf(code, "#include \"%s\"\n", header_name);
    if (linker->emission.threads) {
        text_printf(code, "\n#define TENON_THREADS %d\n", linker->emission.threads);
        put_embedded("runtime/pool.c", code);
    }
    if (linker->emission.opencl) {
        put_embedded("runtime/opencl.h", code);
        put_embedded("runtime/opencl_api.c", code);
        put_embedded("runtime/opencl_cache.c", code);
        put_embedded("runtime/opencl_open.c", code);
        put_embedded("runtime/opencl.c", code);
    }
    struct text interface = {.arena = linker->arena};
    interface_print(&linker->emission, header, &interface);
    if (linker->options->backend != BACKEND_LLVM) c_print(&linker->emission, code);
    if (linker->emission.opencl) put_embedded("runtime/opencl_model.c", code);
    put_externs(linker, "ir/extern.c", code);
    put_externs(linker, "ir/extern_note.c", code);
    if (linker->emission.weights.n_bytes && !linker->weights_apart) put_weights_array(linker, code);
    text_add_n(code, interface.at, interface.n);
}

/* A section of the weights' size, for weights_embed. */
static void make_empty_assembly(struct linker *linker, struct text *code)
{
    const char *model = linker->emission.name;
    text_printf(code, "    .section " WEIGHTS_SECTION ", \"a\", %%nobits\n    .balign 64\n    .globl %s_weights\n", model);
    text_printf(code, "    .hidden %s_weights\n    .type %s_weights, %%object\n%s_weights:\n    .space %lld\n", model,
                model, model, (long long)linker->emission.weights.n_bytes);
    text_printf(code, "    .size %s_weights, . - %s_weights\n    .section .note.GNU-stack, \"\", %%progbits\n", model,
                model);
}

/* The text of the kernels, with a zero behind it. */
static void make_kernels_assembly(struct linker *linker, const char *name, struct text *code)
{
    const char *model = linker->emission.name;
    text_printf(code, "    .section .rodata.%s_kernels, \"a\"\n    .globl %s_kernels, %s_kernels_end\n", model, model, model);
    text_printf(code, "    .hidden %s_kernels\n    .hidden %s_kernels_end\n%s_kernels:\n    .incbin \"%s\"\n%s_kernels_end:\n", model,
                model, model, name, model);
    text_add(code, "    .byte 0\n    .section .note.GNU-stack, \"\", %progbits\n");
}

static void make_assembly(struct linker *linker, const char *weights_name, struct text *code)
{
    const char *model = linker->emission.name;
    text_printf(
        code, "    .section .rodata.%s_weights, \"a\"\n    .balign 64\n    .globl %s_weights\n    .hidden %s_weights\n",
        model, model, model);
    text_printf(code, "    .type %s_weights, %%object\n%s_weights:\n    .incbin \"%s\"\n", model, model, weights_name);
    text_printf(code, "    .size %s_weights, . - %s_weights\n    .section .note.GNU-stack, \"\", %%progbits\n", model,
                model);
}

/* Commands */

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

struct command {
    LIST(const char *) words;
};

static void word(struct linker *linker, struct command *command, const char *s)
{
    LIST_PUSH(linker->arena, &command->words, s);
}

/* The parts of a list between blanks or newlines. */
static void words(struct linker *linker, struct command *command, const char *list)
{
    while (*list) {
        size_t n = strcspn(list, " \n");
        if (n) word(linker, command, arena_strndup(linker->arena, list, n));
        list += n + (list[n] != 0);
    }
}

static bool run(struct linker *linker, struct command *command)
{
    word(linker, command, NULL);
    return process_run(command->words.at, linker->folder, linker->arena, linker->diag);
}

static struct command compiler(struct linker *linker, const char *mode)
{
    struct command command = {.words = {.n = 0}};
    word(linker, &command, linker->options->cc ? linker->options->cc : "cc");
    words(linker, &command, mode);
    /* The text is scheduled, unrolled and vectorized already: on resnet50 gcc -O2 takes twice the time of these and
     * the code is no faster. clang has no such choice to make. */
    words(linker, &command,
          strstr(last_part(command.words.at[0]), "clang") ? "-O2" : "-O1 -fschedule-insns2 -finline-small-functions");
    words(linker, &command,
          "-std=gnu11 -w -fno-math-errno -fno-trapping-math -ffp-contract=off -fno-strict-aliasing -fPIC");
    /* What is not of a version is for any CPU of the kind; versions have their own flags in the text. */
    if (linker->emission.n_versions == 1) words(linker, &command, linker->options->target->c_flags);
    if (linker->emission.threads || linker->emission.opencl) word(linker, &command, "-pthread");
    /* Vectors are explicit. gcc 12's loop vectorizer, let loose on loops over 64-byte vectors, loses stores. */
    if (linker->options->target->vector_bytes > 0) words(linker, &command, "-fno-tree-vectorize");
    return command;
}

/* Writes the parts of the model into the folder; their names (for a compiler's command line) into *parts. */
static bool make_parts(struct linker *linker, struct command *parts)
{
    struct text header = {.arena = linker->arena}, code = {.arena = linker->arena}, assembly = {.arena = linker->arena};
    make_texts(linker, "model.h", &header, &code);
    if (!put_file(linker, inside(linker, "model.h"), &header) || !put_file(linker, inside(linker, "model.c"), &code))
        return false;
    word(linker, parts, "model.c");
    if (linker->options->backend == BACKEND_LLVM) {
        struct text names = {.arena = linker->arena};
        if (!llvm_objects(&linker->emission, linker->folder, &names, linker->diag)) return false;
        words(linker, parts, text_string(&names));
    }
    if (linker->emission.opencl) {
        struct text kernels = {.arena = linker->arena};
        make_kernels_assembly(linker, "model.cl", &kernels);
        word(linker, parts, "kernels.S");
        if (!put_file(linker, inside(linker, "model.cl"), &linker->kernels) ||
            !put_file(linker, inside(linker, "kernels.S"), &kernels))
            return false;
    }
    if (!linker->weights_apart || linker->emission.weights_file) return true;
    word(linker, parts, "weights.S");
    if (linker->embeds) make_empty_assembly(linker, &assembly);
    else make_assembly(linker, "model.weights", &assembly);
    if (linker->embeds) return put_file(linker, inside(linker, "weights.S"), &assembly);
    return weights_write(&linker->emission.weights, inside(linker, "model.weights"), linker->diag) &&
           put_file(linker, inside(linker, "weights.S"), &assembly);
}

static bool deliver(struct linker *linker, const char *name)
{
    if (!file_move(inside(linker, name), linker->out_path, linker->diag)) return false;
    note_written(linker, linker->out_path);
    return true;
}

/* out_path with its suffix replaced */
static const char *beside(struct linker *linker, const char *suffix)
{
    const char *slash = strrchr(linker->out_path, '/'), *dot = strrchr(linker->out_path, '.');
    int n = dot && dot > (slash ? slash + 1 : linker->out_path) ? (int)(dot - linker->out_path)
                                                                : (int)strlen(linker->out_path);
    return arena_printf(linker->arena, "%.*s%s", n, linker->out_path, suffix);
}

/* With --weights=file the weights lie beside the artefact, for NAME_load. */
static bool put_weights_file(struct linker *linker)
{
    const char *path = beside(linker, ".weights");
    if (!linker->weights_apart || !linker->emission.weights_file) return true;
    if (!weights_write(&linker->emission.weights, path, linker->diag)) return false;
    note_written(linker, path);
    return true;
}

static bool put_noted(struct linker *linker, const char *path, const struct text *text)
{
    if (!put_file(linker, path, text)) return false;
    note_written(linker, path);
    return true;
}

/* Without a library: all in one text. */
static void make_freestanding(struct linker *linker, const char *header_name, struct text *code)
{
    text_printf(code, "/* %s, compiled by tenon: needs no library. Flags that matter: -fno-strict-aliasing -ffp-contract=off. */\n",
                linker->emission.name);
    text_printf(code, "#include \"%s\"\n", header_name);
    if (linker->emission.weights.n_bytes) put_weights_array(linker, code);
    text_add(code, "\n");
    c_print(&linker->emission, code);
}

/* Compiles it as a trial, in the private folder. */
static bool measure(struct linker *linker, const struct text *code, const char *header_name, const char **compiler, struct object_size *size)
{
    struct text header = {.arena = linker->arena}, said = {.arena = linker->arena};
    struct command command = {.words = {.n = 0}};
    bool gcc = !strstr(last_part(linker->options->cc), "clang");
    freestanding_header(&linker->emission, NULL, NULL, &header);
    word(linker, &command, linker->options->cc);
    words(linker, &command, linker->options->target->c_flags);
    words(linker, &command, "-Os -std=c11 -ffreestanding -fno-strict-aliasing -ffp-contract=off -fno-asynchronous-unwind-tables");
    for (int i = 0; i < command.words.n; i++) text_printf(&said, "%s%s", i ? " " : "", i ? command.words.at[i] : last_part(command.words.at[i]));
    *compiler = text_string(&said);
    words(linker, &command, gcc ? "-fcallgraph-info=su -w -c model.c -o model.o" : "-w -c model.c -o model.o");
    return put_file(linker, inside(linker, header_name), &header) && put_file(linker, inside(linker, "model.c"), code) && run(linker, &command) &&
           object_measure(inside(linker, "model.o"), gcc ? inside(linker, "model.ci") : NULL,
                          arena_printf(linker->arena, "%s_run", linker->emission.name), linker->arena, size, linker->diag);
}

static bool link_freestanding(struct linker *linker)
{
    const struct link_options *options = linker->options;
    const char *header_path = beside(linker, ".h"), *compiler = NULL;
    struct text header = {.arena = linker->arena}, code = {.arena = linker->arena};
    struct object_size size;
    make_freestanding(linker, last_part(header_path), &code);
    if (options->measure && !measure(linker, &code, last_part(header_path), &compiler, &size)) return false;
    const struct object_size *measured = options->measure ? &size : NULL;
    bool retry = measured && options->too_large && options->max_flash_bytes > 0 && size.flash_bytes > options->max_flash_bytes;
    if (retry) return *options->too_large = true, false;
    if (!freestanding_flash_fits(&linker->emission, measured, options->max_flash_bytes, linker->diag)) return false;
    if (measured && !freestanding_ram_fits(measured, options->max_ram_bytes, linker->diag)) return false;
    text_printf(&header, "/* %s, compiled by tenon: needs no library. */\n", linker->emission.name);
    freestanding_header(&linker->emission, measured, compiler, &header);
    return put_noted(linker, linker->out_path, &code) && put_noted(linker, header_path, &header);
}

/* C text with its header; of an OpenCL model beside its kernels. What is no text comes in through the assembler. */
static bool link_text(struct linker *linker)
{
    struct text header = {.arena = linker->arena}, code = {.arena = linker->arena}, assembly = {.arena = linker->arena};
    const char *code_path = linker->emission.opencl ? beside(linker, ".c") : linker->out_path;
    const char *header_path = beside(linker, ".h"), *weights_path = beside(linker, ".weights");
    bool weights = linker->weights_apart && !linker->emission.weights_file;
    make_texts(linker, last_part(header_path), &header, &code);
    if (linker->emission.opencl && !put_noted(linker, linker->out_path, &linker->kernels)) return false;
    if (!put_noted(linker, code_path, &code) || !put_noted(linker, header_path, &header)) return false;
    if (linker->emission.opencl) make_kernels_assembly(linker, last_part(linker->out_path), &assembly);
    if (weights) make_assembly(linker, last_part(weights_path), &assembly);
    if (assembly.n && !put_noted(linker, beside(linker, weights ? "_weights.S" : "_kernels.S"), &assembly)) return false;
    if (!weights) return true;
    note_written(linker, weights_path);
    return weights_write(&linker->emission.weights, weights_path, linker->diag);
}

static bool link_assembly(struct linker *linker, bool wants_ir)
{
    if (linker->options->backend == BACKEND_LLVM || wants_ir) {
        enum llvm_output output = wants_ir ? LLVM_IR : LLVM_ASSEMBLY;
        if (!llvm_text(&linker->emission, output, inside(linker, "out"), linker->diag)) return false;
        return deliver(linker, "out");
    }
    struct command parts = {.words = {.n = 0}}, command = compiler(linker, "-S");
    words(linker, &command, "-fno-asynchronous-unwind-tables model.c -o out");
    return make_parts(linker, &parts) && run(linker, &command) && deliver(linker, "out");
}

/* One relocatable object of all parts. */
static bool make_object(struct linker *linker)
{
    struct command parts = {.words = {.n = 0}}, join = compiler(linker, "-r -nostdlib");
    if (!make_parts(linker, &parts)) return false;
    for (int i = 0; i < parts.words.n; i++) {
        const char *part = parts.words.at[i], *dot = strrchr(part, '.');
        if (!strcmp(dot, ".o")) {
            word(linker, &join, part);
            continue;
        }
        const char *object = arena_printf(linker->arena, "part%d.o", i);
        struct command command = compiler(linker, "-c");
        word(linker, &command, part);
        word(linker, &command, "-o");
        word(linker, &command, object);
        word(linker, &join, object);
        if (!run(linker, &command)) return false;
    }
    words(linker, &join, "-o model.o");
    return run(linker, &join);
}

/* An address for the weights' section, far from all else, so that it is a segment of its own. */
static void place_weights(struct linker *linker, struct command *command)
{
    const int64_t apart = (int64_t)128 << 20, unit = (int64_t)2 << 20;
    int64_t arena = linker->emission.arena_bytes; /* NAME_plain's */
    int64_t rest = dim_is_const(arena) && arena > 0 ? arena : 0;
    if (!linker->embeds) return;
    word(linker, command,
         arena_printf(linker->arena, "-Wl,--section-start=" WEIGHTS_SECTION "=0x%llx",
                      (unsigned long long)((apart + rest) / unit * unit)));
}

static bool make_shared(struct linker *linker)
{
    struct command command = compiler(linker, "-shared -DTENON_EXPORT_MODEL");
    struct command parts = {.words = {.n = 0}};
    if (!make_parts(linker, &parts)) return false;
    for (int i = 0; i < parts.words.n; i++) word(linker, &command, parts.words.at[i]);
    place_weights(linker, &command);
    words(linker, &command, "-o out.so -lm");
    return run(linker, &command);
}

/* An executable: the model with runtime/main.c and what that needs. */
static bool make_program(struct linker *linker)
{
    struct command command = compiler(linker, "-DTENON_EXPORT_MODEL");
    struct command parts = {.words = {.n = 0}};
    if (!make_parts(linker, &parts)) return false;
    for (int i = 0; i < parts.words.n; i++) word(linker, &command, parts.words.at[i]);
    for (int i = 0; i < n_embedded_codegen; i++) {
        const struct embedded_file *file = &embedded_codegen[i];
        if (strncmp(file->path, "runtime/", 8) != 0) continue;
        const char *name = last_part(file->path);
        if (!file_write(inside(linker, name), file->text, file->n_bytes, linker->diag)) return false;
        if (!strcmp(name, "pool.c") || !strcmp(name, "cpu.c") || !strncmp(name, "opencl", 6)) continue; /* parts of the model's text */
        if (!strcmp(name + strlen(name) - 2, ".c")) word(linker, &command, name);
    }
    place_weights(linker, &command);
    words(linker, &command, "-o out -lm");
    return run(linker, &command);
}

/* Makes the file `name` with the weights in it: behind what is linked, or by the assembler where the linker has other
 * ideas (lld puts the section elsewhere, gold does not take its address). */
static bool link_weights(struct linker *linker, bool (*make)(struct linker *), const char *name)
{
    struct diag *diag = linker->diag;
    enum embedding embedding = EMBED_IMPOSSIBLE;
    linker->embeds = linker->weights_apart && !linker->emission.weights_file;
    if (linker->embeds) {
        linker->diag = diag_new(linker->arena); /* what is really wrong is said by the second try */
        if (make(linker)) embedding = weights_embed(&linker->emission.weights, inside(linker, name), diag);
        linker->diag = diag;
        linker->embeds = false;
    }
    return embedding == EMBED_DONE || (embedding == EMBED_IMPOSSIBLE && make(linker));
}

static bool link_archive(struct linker *linker)
{
    struct command command = {.words = {.n = 0}};
    words(linker, &command, "ar rcsD out.a model.o");
    return link_weights(linker, make_object, "model.o") && run(linker, &command) && deliver(linker, "out.a");
}

static bool link_kind(struct linker *linker, enum artefact kind)
{
    switch (kind) {
    case ARTEFACT_C:
    case ARTEFACT_OPENCL: return linker->emission.freestanding ? link_freestanding(linker) : link_text(linker);
    case ARTEFACT_OBJECT: return link_weights(linker, make_object, "model.o") && deliver(linker, "model.o");
    case ARTEFACT_ARCHIVE: return link_archive(linker);
    case ARTEFACT_SHARED: return link_weights(linker, make_shared, "out.so") && deliver(linker, "out.so");
    case ARTEFACT_ASSEMBLY: return link_assembly(linker, false);
    case ARTEFACT_LLVM: return link_assembly(linker, true);
    case ARTEFACT_PROGRAM: return link_weights(linker, make_program, "out") && deliver(linker, "out");
    }
    bug("link", "artefact %d", (int)kind);
}

static bool kind_of(const char *path, enum artefact *kind, struct diag *diag)
{
    static const struct {
        const char *suffix;
        enum artefact kind;
    } known[] = {{".c", ARTEFACT_C},       {".o", ARTEFACT_OBJECT},   {".a", ARTEFACT_ARCHIVE},
                 {".so", ARTEFACT_SHARED}, {".s", ARTEFACT_ASSEMBLY}, {".ll", ARTEFACT_LLVM},
                 {".cl", ARTEFACT_OPENCL}};
    static const char *const unknown[] = {".tpu", ".h", ".dll", ".dylib", ".wasm", ".tn", ".onnx"};
    const char *name = last_part(path), *dot = strrchr(name, '.');
    *kind = ARTEFACT_PROGRAM;
    if (!*name) return diag_error(diag, (struct place){.path = path}, "is not the name of a file");
    for (size_t i = 0; dot && dot > name && i < sizeof known / sizeof *known; i++)
        if (!strcmp(dot, known[i].suffix)) *kind = known[i].kind;
    for (size_t i = 0; dot && i < sizeof unknown / sizeof *unknown; i++)
        if (!strcmp(dot, unknown[i]))
            return diag_error(diag, (struct place){.path = path},
                              "cannot write \"%s\" files: .c .o .a .so .s .ll .cl, or no suffix for an executable", dot);
    return true;
}

bool link_artefact(const struct prog *prog, const struct link_options *options, const char *out_path,
                   struct text *written, struct diag *diag)
{
    enum artefact kind;
    struct place place = {.path = out_path};
    if (!kind_of(out_path, &kind, diag)) return false;
    bool llvm = options->backend == BACKEND_LLVM || kind == ARTEFACT_LLVM;
    if (llvm && !llvm_is_built_in()) return diag_error(diag, place, "this tenon was built without LLVM");
    if (llvm && kind == ARTEFACT_C)
        return diag_error(diag, place, "C text comes from the C back end: leave out --target=llvm");
    bool opencl = options->backend == BACKEND_OPENCL;
    if (opencl != (kind == ARTEFACT_OPENCL) && (kind == ARTEFACT_OPENCL || kind == ARTEFACT_C || kind == ARTEFACT_ASSEMBLY))
        return diag_error(diag, place, opencl ? "OpenCL text is a .cl file" : "a .cl file comes from --target=opencl");
    if (options->freestanding && kind != ARTEFACT_C)
        return diag_error(diag, place, "--freestanding writes C text: a name that ends in .c is expected");
    struct linker linker = {
        .options = options, .diag = diag, .out_path = out_path, .written = written, .arena = arena_new()};
    linker.kernels.arena = linker.arena;
    struct version *versions = NEW_ARRAY(linker.arena, struct version, options->n_wider + 1);
    versions[0] = (struct version){.prog = prog, .target = options->target};
    for (int i = 0; i < options->n_wider; i++) versions[i + 1] = options->wider[i];
    emission_open(versions, options->n_wider + 1, linker.arena, &linker.emission);
    linker.emission.weights_file = options->weights_file;
    linker.emission.kernels_apart = options->backend == BACKEND_LLVM;
    if (opencl) {
        linker.opencl = device_needs(prog);
        linker.emission.opencl = &linker.opencl;
        opencl_print(&linker.emission, &linker.kernels);
        linker.emission.arena_bytes = 0; /* the device's own */
        if (!device_fits(options->device, prog, linker.emission.weights.n_bytes, diag)) {
            arena_free(linker.arena);
            return false;
        }
    }
    linker.emission.freestanding = options->freestanding;
    if (options->freestanding && !freestanding_check(&linker.emission, diag)) {
        arena_free(linker.arena);
        return false;
    }
    linker.folder = folder_make(linker.arena, diag);
    linker.weights_apart = !options->freestanding && (linker.emission.weights.n_bytes > WEIGHTS_IN_TEXT_MOST ||
                                                      (options->weights_file && linker.emission.weights.n_bytes));
    bool good = linker.folder && link_kind(&linker, kind) && put_weights_file(&linker);
    if (linker.folder && options->keep_temporary) note_written(&linker, linker.folder);
    else if (linker.folder) folder_remove(linker.folder);
    arena_free(linker.arena);
    return good;
}
