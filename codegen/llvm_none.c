/* The LLVM back end where LLVM was not found or was switched off (-DTENON_LLVM=OFF): a clear message. */
#include "codegen.h"

bool llvm_is_built_in(void)
{
    return false;
}

static bool is_missing(struct diag *diag)
{
    return diag_error(diag, (struct place){0},
                      "this tenon was built without LLVM; use --target=c, or rebuild with LLVM 19 installed");
}

bool llvm_text(const struct emission *emission, enum llvm_output output, const char *path, struct diag *diag)
{
    (void)emission, (void)output, (void)path;
    return is_missing(diag);
}

bool llvm_objects(const struct emission *emission, const char *folder, struct text *names, struct diag *diag)
{
    (void)emission, (void)folder, (void)names;
    return is_missing(diag);
}
