/* A host of any compiled model, for tests/emitted.py: runs it through its descriptor only, with an arena of exactly
 * the size it asks for, and ends the process when the model allocates. Linked with --wrap=malloc and friends where
 * WRAP is defined. Arguments: sizes of the symbols, in order; others are small. Prints a sum over the outputs' bytes.
 */
#define _POSIX_C_SOURCE 200809L
#include "tenon.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef WRAP
static bool is_forbidden;
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
static void refuse(void)
{
    if (!is_forbidden) return;
    is_forbidden = false;
    fputs("host: the model allocates while it runs\n", stderr);
    exit(3);
}
void *__wrap_malloc(size_t n) { refuse(); return __real_malloc(n); }
void *__wrap_calloc(size_t n, size_t size) { refuse(); return __real_calloc(n, size); }
void *__wrap_realloc(void *p, size_t n) { refuse(); return __real_realloc(p, n); }
static void forbid(bool on) { is_forbidden = on; }
#else
static void forbid(bool on) { (void)on; }
#endif

static size_t bytes_of(enum tenon_dtype dtype)
{
    static const unsigned char bytes[] = {8, 4, 2, 2, 1, 2, 4, 8, 1, 2, 4, 8, 1};
    return bytes[dtype];
}

static void *value_new(const struct tenon_value *value, const int64_t *symbols, bool fill, size_t *n_bytes)
{
    size_t n = 1, size = bytes_of(value->dtype);
    for (int k = 0; k < value->rank; k++) {
        const struct tenon_dim *d = &value->dims[k];
        n *= (size_t)(d->size >= 0 ? d->size : d->symbol >= 0 ? symbols[d->symbol] : d->formula(symbols));
    }
    unsigned char *data = malloc(n * size + (n == 0));
    for (size_t i = 0; data && fill && i < n; i++) {
        float v = (float)(i * 2654435761u % 1000) / 1000 - 0.5f;
        memset(data + i * size, 0, size);
        if (value->dtype == TENON_F32) memcpy(data + i * size, &v, 4);
        else if (value->dtype > TENON_BF16) data[i * size] = (unsigned char)(i % 2);
    }
    *n_bytes = n * size;
    return data;
}

int main(int argc, char **argv)
{
    const struct tenon_model *model = tenon_model_get();
    int64_t symbols[64];
    void *in[256], *out[256], *arena;
    size_t bytes[256], unused;
    if (model->n_symbols > 64 || model->n_inputs > 256 || model->n_outputs > 256) return 2;
    for (int i = 0; i < model->n_symbols; i++) {
        int64_t v = i + 1 < argc ? atoll(argv[i + 1]) : 3;
        symbols[i] = v < model->symbols[i].least ? model->symbols[i].least : v > model->symbols[i].most ? model->symbols[i].most : v;
    }
    for (int i = 0; i < model->n_inputs; i++) in[i] = value_new(&model->inputs[i], symbols, true, &unused);
    for (int i = 0; i < model->n_outputs; i++) out[i] = value_new(&model->outputs[i], symbols, false, &bytes[i]);
    if (posix_memalign(&arena, 64, (size_t)model->arena_bytes_for(symbols) + 1)) return 2; /* exactly, for sanitizers */
    unsigned long sum = 0;
    for (int round = 0; round < 2; round++) {
        memset(arena, 0x5a + round, (size_t)model->arena_bytes_for(symbols)); /* nothing may depend on what was there */
        forbid(true);
        int status = model->run((const void *const *)in, symbols, out, arena);
        forbid(false);
        if (status) return fprintf(stderr, "host: status %d\n", status), 4;
        unsigned long now = 0;
        for (int i = 0; i < model->n_outputs; i++)
            for (size_t k = 0; k < bytes[i]; k++) now = now * 31 + ((unsigned char *)out[i])[k];
        if (round && now != sum) return fputs("host: two runs differ\n", stderr), 5;
        sum = now;
    }
    printf("%lx\n", sum);
    for (int i = 0; i < model->n_inputs; i++) free(in[i]);
    for (int i = 0; i < model->n_outputs; i++) free(out[i]);
    free(arena);
    return 0;
}
