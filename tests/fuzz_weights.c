/* libFuzzer entry: bytes as a file of tensors (safetensors, npz, npy). Every byte of what is read is touched. */
#include "../frontend/weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new();
    struct weights *weights = weights_read(arena, "fuzz", data, size, diag_new(arena), (struct place){.path = "fuzz"});
    volatile unsigned char sum = 0;
    for (int i = 0; weights && i < weights->tensors.n; i++) {
        const struct tensor *tensor = &weights->tensors.at[i].tensor;
        for (int64_t k = 0; k < tensor->n_bytes; k++)
            sum = (unsigned char)(sum + ((const unsigned char *)tensor->data)[k]);
    }
    arena_free(arena);
    return 0;
}
