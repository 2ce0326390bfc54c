/* libFuzzer entry: bytes as a TensorFlow Lite model. Whatever is accepted must verify; nothing may crash, hang or grow.
 * A first corpus: the files that tests/malformed/make.py and tests/make_tflite.py write.
 */
#include "../frontend/tflite.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *session = arena_new(), *unit = arena_new();
    struct diag *diag = diag_new(session);
    struct graph *graph = graph_new(unit, session, dims_new(session), diag, "fuzz");
    bool ok = tflite_read_bytes(graph, data, size, NULL);
    if (!ok && !diag_errors(diag)) bug("fuzz_tflite", "refused without a message");
    if (ok && !graph_verify(graph, diag)) {
        diag_print(diag, stderr);
        bug("fuzz_tflite", "the graph does not verify");
    }
    arena_free(unit);
    arena_free(session);
    return 0;
}
