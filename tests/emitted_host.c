/* Runs a compiled model the way a careful host would, for tests/test_emitted.py: MODEL and ARENA_BYTES are the names
 * that its header gives.
 *
 * At two sizes of every open dimension it takes buffers of exactly the sizes that the descriptor states, runs twice on
 * arenas of other contents, and requires the same bytes. GUARDED: every buffer ends at a page that must not be touched,
 * the arena also begins at one, and while the model runs malloc and its kin end the process. Otherwise buffers come from
 * malloc, for sanitizers and valgrind to watch. Prints a line per run.
 */
#define _GNU_SOURCE
#include HEADER

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

extern const struct tenon_model MODEL;
enum { MOST = 64 };

#ifdef GUARDED
static int running;
static _Alignas(64) char pool[1 << 22];
static size_t pool_used;

void *malloc(size_t n)
{
    if (running || n > sizeof pool - pool_used - 64) _Exit(90);
    void *p = pool + pool_used;
    pool_used += (n + 63) / 64 * 64;
    return p;
}
void free(void *p)
{
    (void)p;
    if (running) _Exit(91);
}
void *calloc(size_t n, size_t size)
{
    return memset(malloc(n * size), 0, n * size);
}
void *realloc(void *p, size_t n)
{
    void *fresh = malloc(n);
    if (p) memcpy(fresh, p, n);
    return fresh;
}
void *aligned_alloc(size_t align, size_t n)
{
    (void)align;
    return malloc(n);
}
int posix_memalign(void **p, size_t align, size_t n)
{
    (void)align;
    *p = malloc(n);
    return 0;
}

/* n bytes that end where a page without access begins; a page without access also stands before the first. */
static void *buffer(size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (n + page - 1) / page * page;
    char *at = mmap(NULL, whole + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED || (whole && mprotect(at + page, whole, PROT_READ | PROT_WRITE))) exit(92);
    return at + page + whole - n;
}
static void buffer_free(void *at, size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (n + page - 1) / page * page;
    munmap((char *)at + n - whole - page, whole + 2 * page);
}
#else
enum { running_is_not_watched };
static void *buffer(size_t n)
{
    void *at = NULL;
    if (posix_memalign(&at, 64, n ? n : 1)) exit(92);
    return at;
}
static void buffer_free(void *at, size_t n)
{
    (void)n;
    free(at);
}
#endif

static const size_t width[] = {[TENON_F64] = 8, [TENON_F32] = 4, [TENON_F16] = 2, [TENON_BF16] = 2, [TENON_I8] = 1,
                               [TENON_I16] = 2, [TENON_I32] = 4, [TENON_I64] = 8, [TENON_U8] = 1, [TENON_U16] = 2,
                               [TENON_U32] = 4, [TENON_U64] = 8, [TENON_BOOL] = 1};

static size_t bytes_of(const struct tenon_value *value, const int64_t *symbols)
{
    size_t n = width[value->dtype];
    for (int i = 0; i < value->rank; i++) {
        const struct tenon_dim *dim = &value->dims[i];
        n *= (size_t)(dim->size >= 0 ? dim->size : dim->symbol >= 0 ? symbols[dim->symbol] : dim->formula(symbols));
    }
    return n;
}

/* Small values: floats in [-1, 1), integers 0 and 1, so that indices stay inside. */
static void fill(void *at, size_t n_bytes, enum tenon_dtype dtype, uint32_t *state)
{
    size_t size = width[dtype];
    for (size_t i = 0; i < n_bytes / size; i++) {
        *state = *state * 1664525u + 1013904223u;
        char *to = (char *)at + i * size;
        double real = (double)(*state >> 8) / (1 << 23) - 1;
        float single = (float)real;
        uint64_t whole = *state >> 31;
        uint32_t bits;
        memcpy(&bits, &single, 4);
        if (dtype == TENON_F64) memcpy(to, &real, 8);
        else if (dtype == TENON_F32) memcpy(to, &single, 4);
        else if (dtype == TENON_BF16) memcpy(to, (char *)&bits + 2, 2);
        else if (dtype == TENON_F16) memcpy(to, &(uint16_t){(uint16_t)(0x3800 | (bits >> 16 & 0x83ff))}, 2);
        else memcpy(to, &whole, size);
    }
}

static int run(const struct tenon_model *model, const int64_t *symbols)
{
    void *in[MOST], *out[MOST], *first[MOST];
    size_t arena_bytes = (size_t)model->arena_bytes_for(symbols);
    uint32_t state = 7;
    int status = 0;
    if (model->arena_bytes != INT64_MAX && (int64_t)arena_bytes > model->arena_bytes) return printf("arena over its most\n"), 1;
    for (int i = 0; i < model->n_inputs; i++) {
        size_t n = bytes_of(&model->inputs[i], symbols);
        fill(in[i] = buffer(n), n, model->inputs[i].dtype, &state);
    }
    for (int turn = 0; turn < 2 && !status; turn++) {
        void *arena = buffer(arena_bytes);
        if ((uintptr_t)arena % 64) return printf("the arena's size %zu is no multiple of 64\n", arena_bytes), 1;
#ifndef UNTOUCHED
        memset(arena, turn ? 0xff : 0, arena_bytes);
#endif
        for (int i = 0; i < model->n_outputs; i++) out[i] = buffer(bytes_of(&model->outputs[i], symbols));
#ifdef GUARDED
        running = 1;
#endif
        status = model->run((const void *const *)in, symbols, out, arena);
#ifdef GUARDED
        running = 0;
#endif
        buffer_free(arena, arena_bytes);
        for (int i = 0; i < model->n_outputs; i++) {
            size_t n = bytes_of(&model->outputs[i], symbols);
            if (turn && memcmp(out[i], first[i], n)) return printf("output %d follows what the arena held\n", i), 1;
            if (turn) buffer_free(out[i], n), buffer_free(first[i], n);
            first[i] = out[i];
        }
    }
    for (int i = 0; i < model->n_inputs; i++) buffer_free(in[i], bytes_of(&model->inputs[i], symbols));
    printf("status %d, arena %zu bytes\n", status, arena_bytes);
    return status;
}

int main(int argc, char **argv)
{
    const struct tenon_model *model = &MODEL;
    int64_t symbols[MOST];
    if (model->n_inputs > MOST || model->n_outputs > MOST || model->n_symbols > MOST) return 93;
    if (ARENA_BYTES != model->arena_bytes) return printf("the header's arena is not the descriptor's\n"), 1;
    if (model->load && (argc < 2 || model->load(argv[1]))) return printf("no weights\n"), 1;
    for (int size = 0; size < (model->n_symbols ? 2 : 1); size++) {
        for (int i = 0; i < model->n_symbols; i++) {
            int64_t least = model->symbols[i].least, most = model->symbols[i].most, wanted = size ? 5 + 2 * i : 1;
            symbols[i] = wanted < least ? least : wanted > most ? most : wanted;
        }
        if (run(model, symbols)) return 1;
    }
    return 0;
}
