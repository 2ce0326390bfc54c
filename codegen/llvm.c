/* The LLVM back end: a planned program becomes object code, assembly or LLVM's own text through LLVM-C.
 *
 * Kernels become internal functions (llvm_declare.c, llvm_stmt.c), the main body becomes NAME_run; the weights are an
 * external symbol NAME_weights that link.c supplies as bytes. Everything that decides speed was decided by passes
 * before: LLVM is asked to promote registers, simplify, hoist, select instructions and allocate registers, and
 * never to vectorize or unroll. The output depends on the program and the target only: no paths, no host features.
 * Read next: llvm.h.
 */
#include "llvm.h"
#include "process.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/Linker.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <string.h>

/* Registers, folding, common loads, hoisting: together a tenth of the time that large models take here (a second round
 * of instcombine would take as much again and changes the size of no code by more than a hundredth); the rest is
 * instruction selection and register allocation. */
static const char *const passes = "function(sroa,early-cse<memssa>,instcombine<no-verify-fixpoint>,simplifycfg,"
                                  "loop-mssa(licm),early-cse<memssa>,simplifycfg)";

bool llvm_is_built_in(void)
{
    return true;
}

/* ---- target ---- */

const char *llvm_triple(const struct target *target, struct arena *arena)
{
    if (target->triple[0]) return target->triple;
    char *host = LLVMGetDefaultTargetTriple();
    const char *triple = arena_strdup(arena, host);
    LLVMDisposeMessage(host);
    return triple;
}

const char *llvm_cpu(const char *triple)
{
    return strncmp(triple, "x86_64", 6) ? "generic" : "x86-64";
}

LLVMTargetMachineRef llvm_machine(const struct target *target, const char *triple, struct diag *diag)
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
    return LLVMCreateTargetMachine(found, triple, llvm_cpu(triple), target->llvm_features, LLVMCodeGenLevelDefault,
                                   LLVMRelocPIC, LLVMCodeModelDefault);
}

/* ---- module ---- */

static void debug_open(struct llvm *e)
{
    const char *name = e->prog->name, *producer = "tenon";
    e->debug = LLVMCreateDIBuilder(e->module);
    LLVMMetadataRef file = LLVMDIBuilderCreateFile(e->debug, name, strlen(name), "", 0);
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

static void weights_declare(struct llvm *e)
{
    bool is_pointer = e->emission->weights_file;
    LLVMTypeRef bytes = LLVMArrayType2(e->i8, (uint64_t)e->emission->weights.n_bytes);
    e->weights_symbol = LLVMAddGlobal(e->module, is_pointer ? e->ptr : bytes, arena_printf(e->arena, "%s_weights", e->emission->name));
    LLVMSetAlignment(e->weights_symbol, is_pointer ? 8 : 64);
    LLVMSetGlobalConstant(e->weights_symbol, !is_pointer);
    LLVMSetVisibility(e->weights_symbol, LLVMHiddenVisibility);
}

static void program_build(struct llvm *e, const struct llvm_part *part)
{
    if (e->emission->weights.n_bytes) weights_declare(e);
    e->variables = NEW_ARRAY(e->arena, struct llvm_variable, e->prog->next_var + 1);
    e->buffers = NEW_ARRAY(e->arena, struct llvm_pointer, e->prog->next_buffer + 1);
    LLVMTypeRef params[] = {e->ptr, e->ptr, e->ptr, e->ptr, e->i64, e->i64}; /* tenon_part of runtime/pool.c */
    LLVMTypeRef type = LLVMFunctionType(e->i32, params, e->prog->threads ? 6 : 3, 0);
    LLVMValueRef run =
        LLVMAddFunction(e->module, arena_printf(e->arena, "%s%s", e->prefix, e->prog->threads ? "part" : "run"), type);
    if (e->prog->threads || e->emission->n_versions > 1) LLVMSetVisibility(run, LLVMHiddenVisibility);
    llvm_function_attributes(e, run);
    llvm_declare_kernels(e);
    for (int i = part->first; i < part->end; i++) llvm_kernel_body(e, e->prog->kernels.at[i], e->kernels[i]);
    if (part->has_run) llvm_run_body(e, run);
    LLVMDIBuilderFinalize(e->debug);
}

LLVMModuleRef llvm_build(const struct emission *emission, const struct llvm_part *part, LLVMContextRef context,
                         LLVMTargetMachineRef machine)
{
    const struct version *version = &emission->versions[part->version];
    const char *features = version->target->llvm_features;
    struct llvm e = {.prog = (struct prog *)(uintptr_t)version->prog, /* index analysis interns new expressions */
                     .target = version->target,
                     .emission = emission,
                     .version = part->version,
                     .prefix = version->prefix,
                     .is_part = !part->is_whole,
                     .arena = arena_new(),
                     .context = context};
    char *triple = LLVMGetTargetMachineTriple(machine), *message = NULL;
    e.triple = arena_strdup(e.arena, triple);
    LLVMDisposeMessage(triple);
    e.slow_rounding = !strncmp(e.triple, "x86_64", 6) && !strstr(features, "+avx") && !strstr(features, "+sse4.1");
    module_open(&e);
    LLVMSetTarget(e.module, e.triple);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(machine);
    LLVMSetModuleDataLayout(e.module, layout);
    LLVMDisposeTargetData(layout);
    program_build(&e, part);
    if (LLVMVerifyModule(e.module, LLVMReturnStatusAction, &message)) bug("llvm", "%s", message);
    LLVMDisposeMessage(message);
    LLVMDisposeDIBuilder(e.debug);
    LLVMDisposeBuilder(e.builder);
    arena_free(e.arena);
    return e.module;
}

void llvm_improve(LLVMModuleRef module, LLVMTargetMachineRef machine)
{
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    LLVMErrorRef error = LLVMRunPasses(module, passes, machine, options);
    if (error) bug("llvm", "passes: %s", LLVMGetErrorMessage(error));
    LLVMDisposePassBuilderOptions(options);
}

/* ---- output ---- */

/* LLVM's own messages: errors become ours, the rest is silent. */
static void on_diagnostic(LLVMDiagnosticInfoRef info, void *diag)
{
    if (LLVMGetDiagInfoSeverity(info) != LLVMDSError) return;
    char *text = LLVMGetDiagInfoDescription(info);
    diag_error(diag, (struct place){0}, "LLVM: %s", text);
    LLVMDisposeMessage(text);
}

/* All versions as one module. */
static LLVMModuleRef all_build(const struct emission *emission, LLVMContextRef context, LLVMTargetMachineRef machine)
{
    LLVMModuleRef all = NULL;
    for (int i = 0; i < emission->n_versions; i++) {
        struct llvm_part part = {
            .version = i, .end = emission->versions[i].prog->kernels.n, .has_run = true, .is_whole = true};
        LLVMModuleRef own = llvm_build(emission, &part, context, machine);
        if (all && LLVMLinkModules2(all, own)) bug("llvm", "versions that do not link");
        if (!all) all = own;
    }
    if (emission->n_versions > 1 && !emission->threads) llvm_choice(emission, all);
    llvm_improve(all, machine);
    return all;
}

bool llvm_text(const struct emission *emission, enum llvm_output output, const char *path, struct diag *diag)
{
    int errors = diag_errors(diag);
    struct arena *arena = arena_new();
    const struct target *least = emission->versions->target;
    LLVMTargetMachineRef machine = llvm_machine(least, llvm_triple(least, arena), diag);
    if (machine) {
        LLVMContextRef context = LLVMContextCreate();
        LLVMContextSetDiagnosticHandler(context, on_diagnostic, diag);
        LLVMModuleRef all = all_build(emission, context, machine);
        char *message = NULL;
        if (output == LLVM_IR) {
            char *text = LLVMPrintModuleToString(all);
            file_write(path, text, strlen(text), diag);
            LLVMDisposeMessage(text);
        } else if (LLVMTargetMachineEmitToFile(machine, all, path, LLVMAssemblyFile, &message)) {
            diag_error(diag, (struct place){.path = path}, "cannot write: %s", message);
        }
        LLVMDisposeMessage(message);
        LLVMDisposeModule(all);
        LLVMContextDispose(context);
        LLVMDisposeTargetMachine(machine);
    }
    arena_free(arena);
    return machine && diag_errors(diag) == errors;
}
