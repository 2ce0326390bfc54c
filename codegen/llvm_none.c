/* The LLVM back end where LLVM was not found or was switched off (-DTENON_LLVM=OFF): a clear message. */
#include "codegen.h"

bool llvm_is_built_in(void)
{
    return false;
}

bool llvm_emit(const struct prog *prog, const struct llvm_options *options, const char *path, struct diag *diag)
{
    (void)prog, (void)options, (void)path;
    return diag_error(diag, (struct place){0},
                      "this tenon was built without LLVM; use --target=c, or rebuild with LLVM 19 installed");
}
