/* The LLVM back end: a planned program becomes object code, assembly or LLVM's own text through LLVM-C.
 *
 * Kernels become internal functions (llvm_declare.c, llvm_stmt.c), the main body becomes NAME_run; the weights are an
 * external symbol NAME_weights that link.c supplies as bytes. Everything that decides speed was decided by passes
 * before: LLVM is asked to promote registers, simplify, hoist, select instructions and allocate registers, and
 * never to vectorize or unroll. The output depends on the program and the target only: no paths, no host features.
 * Read next: llvm.h.
 */
#include "llvm.h"

#include <errno.h>
#include <llvm-c/Analysis.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <stdio.h>

#include <string.h>

/* Registers, folding, common loads, hoisting: together a fifth of the time resnet50 takes here; the rest is
 * instruction selection and register allocation. */
static const char *const passes = "function(sroa,early-cse<memssa>,instcombine<no-verify-fixpoint>,simplifycfg,"
                                  "loop-mssa(licm),early-cse<memssa>,instcombine<no-verify-fixpoint>,simplifycfg)";

bool llvm_is_built_in(void)
{
    return true;
}

/* ---- target ---- */

static LLVMTargetMachineRef machine_new(const struct target *target, const char *triple, struct diag *diag)
{
    LLVMInitializeAllTargetInfos();
    LLVMInitializeAllTargets();
    LLVMInitializeAllTargetMCs();
    LLVMInitializeAllAsmPrinters();
    LLVMInitializeAllAsmParsers();
    char *message = NULL;
    LLVMTargetRef found;
    if (LLVMGetTargetFromTriple(triple, &found, &message)) {
        diag_error(diag, (struct place){0}, "LLVM cannot compile for %s: %s", triple, message);
        LLVMDisposeMessage(message);
        return NULL;
    }
    const char *cpu = strncmp(triple, "x86_64", 6) ? "generic" : "x86-64";
    return LLVMCreateTargetMachine(found, triple, cpu, target->llvm_features, LLVMCodeGenLevelDefault, LLVMRelocPIC,
                                   LLVMCodeModelDefault);
}

/* ---- module ---- */

static void debug_open(struct llvm *e)
{
    const char *name = e->prog->name, *producer = "tenon";
    e->debug = LLVMCreateDIBuilder(e->module);
    LLVMMetadataRef file = LLVMDIBuilderCreateFile(e->debug, name, strlen(name), ".", 1);
    e->debug_unit =
        LLVMDIBuilderCreateCompileUnit(e->debug, LLVMDWARFSourceLanguageC99, file, producer, strlen(producer), 1, "", 0,
                                       0, "", 0, LLVMDWARFEmissionFull, 0, 0, 0, "", 0, "", 0);
    e->debug_type = LLVMDIBuilderCreateSubroutineType(e->debug, file, NULL, 0, LLVMDIFlagZero);
}

static void module_flag(struct llvm *e, LLVMModuleFlagBehavior behaviour, const char *name, unsigned value)
{
    LLVMAddModuleFlag(e->module, behaviour, name, strlen(name), LLVMValueAsMetadata(LLVMConstInt(e->i32, value, 0)));
}

static void module_open(struct llvm *e)
{
    e->module = LLVMModuleCreateWithNameInContext(e->prog->name, e->context);
    e->builder = LLVMCreateBuilderInContext(e->context);
    e->void_type = LLVMVoidTypeInContext(e->context);
    e->i1 = LLVMInt1TypeInContext(e->context);
    e->i8 = LLVMInt8TypeInContext(e->context);
    e->i16 = LLVMInt16TypeInContext(e->context);
    e->i32 = LLVMInt32TypeInContext(e->context);
    e->i64 = LLVMInt64TypeInContext(e->context);
    e->ptr = LLVMPointerTypeInContext(e->context, 0);
    module_flag(e, LLVMModuleFlagBehaviorWarning, "Debug Info Version", LLVMDebugMetadataVersion());
    module_flag(e, LLVMModuleFlagBehaviorWarning, "Dwarf Version", 4);
    debug_open(e);
}

const char *llvm_symbol(struct llvm *e, const char *suffix)
{
    return arena_printf(e->arena, "%s_%s", text_identifier(e->arena, e->prog->name), suffix);
}

static void weights_declare(struct llvm *e)
{
    bool is_pointer = e->options->weights_file;
    LLVMTypeRef bytes = LLVMArrayType2(e->i8, (uint64_t)e->weights.n_bytes);
    e->weights_symbol = LLVMAddGlobal(e->module, is_pointer ? e->ptr : bytes, llvm_symbol(e, "weights"));
    LLVMSetAlignment(e->weights_symbol, is_pointer ? 8 : 64);
    LLVMSetGlobalConstant(e->weights_symbol, !is_pointer);
    LLVMSetVisibility(e->weights_symbol, LLVMHiddenVisibility);
}

static void program_build(struct llvm *e)
{
    weights_place(e->prog, e->arena, &e->weights);
    if (e->weights.n_bytes) weights_declare(e);
    e->variables = NEW_ARRAY(e->arena, struct llvm_variable, e->prog->next_var + 1);
    e->buffers = NEW_ARRAY(e->arena, struct llvm_pointer, e->prog->next_buffer + 1);
    LLVMTypeRef params[] = {e->ptr, e->ptr, e->ptr, e->ptr, e->i64, e->i64}; /* tenon_part of runtime/pool.c */
    LLVMTypeRef type = LLVMFunctionType(e->i32, params, e->prog->threads ? 6 : 3, 0);
    LLVMValueRef run = LLVMAddFunction(e->module, llvm_symbol(e, e->prog->threads ? "part" : "run"), type);
    if (e->prog->threads) LLVMSetVisibility(run, LLVMHiddenVisibility);
    llvm_function_attributes(e, run);
    llvm_declare_kernels(e);
    for (int i = 0; i < e->prog->kernels.n; i++) llvm_kernel_body(e, e->prog->kernels.at[i], e->kernels[i]);
    llvm_run_body(e, run);
    LLVMDIBuilderFinalize(e->debug);
}

static void module_check(struct llvm *e)
{
    char *message = NULL;
    if (LLVMVerifyModule(e->module, LLVMReturnStatusAction, &message)) bug("llvm", "%s", message);
    LLVMDisposeMessage(message);
}

static void module_improve(struct llvm *e, LLVMTargetMachineRef machine)
{
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    LLVMErrorRef error = LLVMRunPasses(e->module, passes, machine, options);
    if (error) bug("llvm", "passes: %s", LLVMGetErrorMessage(error));
    LLVMDisposePassBuilderOptions(options);
}

/* ---- output ---- */

static bool bytes_write(const char *path, const char *bytes, size_t n, struct diag *diag)
{
    FILE *file = fopen(path, "wb");
    bool is_fine = file && fwrite(bytes, 1, n, file) == n;
    if (file && fclose(file)) is_fine = false;
    return is_fine || diag_error(diag, (struct place){0}, "cannot write %s: %s", path, strerror(errno));
}

static bool module_write(struct llvm *e, LLVMTargetMachineRef machine, enum llvm_output output, const char *path,
                         struct diag *diag)
{
    if (output == LLVM_IR) {
        char *text = LLVMPrintModuleToString(e->module);
        bool is_fine = bytes_write(path, text, strlen(text), diag);
        LLVMDisposeMessage(text);
        return is_fine;
    }
    char *message = NULL;
    LLVMMemoryBufferRef bytes = NULL;
    LLVMCodeGenFileType type = output == LLVM_OBJECT ? LLVMObjectFile : LLVMAssemblyFile;
    if (LLVMTargetMachineEmitToMemoryBuffer(machine, e->module, type, &message, &bytes))
        bug("llvm", "emission: %s", message);
    bool is_fine = bytes_write(path, LLVMGetBufferStart(bytes), LLVMGetBufferSize(bytes), diag);
    LLVMDisposeMemoryBuffer(bytes);
    return is_fine;
}

/* LLVM's own messages: errors become ours, the rest is silent. */
static void on_diagnostic(LLVMDiagnosticInfoRef info, void *diag)
{
    if (LLVMGetDiagInfoSeverity(info) != LLVMDSError) return;
    char *text = LLVMGetDiagInfoDescription(info);
    diag_error(diag, (struct place){0}, "LLVM: %s", text);
    LLVMDisposeMessage(text);
}

static bool emit(struct llvm *e, LLVMTargetMachineRef machine, const char *triple, enum llvm_output output,
                 const char *path, struct diag *diag)
{
    int errors = diag_errors(diag);
    LLVMContextSetDiagnosticHandler(e->context, on_diagnostic, diag);
    module_open(e);
    LLVMSetTarget(e->module, triple);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(machine);
    LLVMSetModuleDataLayout(e->module, layout);
    LLVMDisposeTargetData(layout);
    program_build(e);
    module_check(e);
    module_improve(e, machine);
    bool is_fine = module_write(e, machine, output, path, diag);
    LLVMDisposeDIBuilder(e->debug);
    LLVMDisposeBuilder(e->builder);
    LLVMDisposeModule(e->module);
    return is_fine && diag_errors(diag) == errors;
}

bool llvm_emit(const struct prog *prog, const struct llvm_options *options, const char *path, struct diag *diag)
{
    const struct target *target = options->target;
    char *host = LLVMGetDefaultTargetTriple();
    const char *triple = target->triple[0] ? target->triple : host;
    LLVMTargetMachineRef machine = machine_new(target, triple, diag);
    bool is_fine = false;
    if (machine) {
        struct llvm e = {.prog = (struct prog *)(uintptr_t)prog, /* index analysis interns new expressions */
                         .target = target,
                         .options = options,
                         .arena = arena_new(),
                         .context = LLVMContextCreate()};
        e.slow_rounding = !strncmp(triple, "x86_64", 6) && !strstr(target->llvm_features, "+avx") &&
                          !strstr(target->llvm_features, "+sse4.1");
        is_fine = emit(&e, machine, triple, options->output, path, diag);
        LLVMContextDispose(e.context);
        arena_free(e.arena);
        LLVMDisposeTargetMachine(machine);
    }
    LLVMDisposeMessage(host);
    return is_fine;
}
