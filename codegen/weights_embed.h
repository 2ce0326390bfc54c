/* Weights behind a linked file. See weights_embed.c. */
#ifndef TENON_WEIGHTS_EMBED_H
#define TENON_WEIGHTS_EMBED_H
#include "codegen.h"

#define WEIGHTS_SECTION "tenon_weights"

enum embedding { EMBED_DONE, EMBED_IMPOSSIBLE /* the file is as it was */, EMBED_FAILED /* with a message */ };
/* The file at path has a section WEIGHTS_SECTION of the weights' size without bytes: puts them there. */
enum embedding weights_embed(const struct weights_layout *weights, const char *path, struct diag *diag);

#endif
