/* libFuzzer entry: bytes as an ONNX model. Whatever is accepted must verify; nothing may crash, hang or grow. A first
 * corpus: the model.onnx files of the backend cases.
 */
#include "../frontend/onnx.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *session = arena_new(), *unit = arena_new();
    struct diag *diag = diag_new(session);
    struct graph *graph = graph_new(unit, session, dims_new(session), diag, "fuzz");
    bool ok = onnx_read_bytes(graph, data, size, NULL);
    if (!ok && !diag_errors(diag)) bug("fuzz_onnx", "refused without a message");
    if (ok && !graph_verify(graph, diag)) {
        diag_print(diag, stderr);
        bug("fuzz_onnx", "the graph does not verify");
    }
    arena_free(unit);
    arena_free(session);
    return 0;
}
