/* Files of tensors, well made and malformed: each case is bytes and what must be read, or the words of the message.
 *
 * Zip archives are put together here, so that every field can be wrong on purpose.
 */
#include "../frontend/weights.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static struct arena *arena;
static int failed, n_cases;

static void bytes_add(struct text *file, uint64_t v, int n)
{
    for (int i = 0; i < n; i++) text_add_n(file, &(char){(char)(i < 8 ? v >> (8 * i) : 0)}, 1);
}

/* Reads file and looks for words in the messages; words NULL: it must be read. */
static struct weights *expect(const char *name, const struct text *file, const char *words)
{
    struct diag *diag = diag_new(arena);
    struct weights *weights =
        weights_read(arena, "w", (const unsigned char *)text_string(file), file->n, diag, (struct place){.path = "w"});
    char *shown = arena_alloc(arena, 4096);
    FILE *out = tmpfile();
    diag_print(diag, out);
    rewind(out);
    shown[fread(shown, 1, 4095, out)] = 0;
    fclose(out);
    bool ok = words ? !weights && strstr(shown, words) : weights && !diag_errors(diag);
    n_cases++;
    failed += !ok;
    if (!ok) printf("%s: %s: %s\n", name, words ? "expected the message" : "not read", words ? words : shown);
    if (!ok && words) printf("  got: %s\n", shown);
    return weights;
}

static void expect_floats(const char *name, const struct weights *weights, const char *tensor, int n,
                          const float *values)
{
    const struct tensor *t = weights ? weights_find(weights, tensor) : NULL;
    bool ok = t && t->type.dt == DT_f32 && t->n_bytes == 4 * n && !memcmp(t->data, values, (size_t)n * 4);
    n_cases++;
    failed += !ok;
    if (!ok) printf("%s: the tensor %s is not what was written\n", name, tensor);
}

static struct text safetensors(const char *header, size_t n_data)
{
    struct text file = {.arena = arena};
    bytes_add(&file, strlen(header), 8);
    text_add(&file, header);
    for (size_t i = 0; i < n_data; i++) bytes_add(&file, i % 4 == 3 ? 0x40 : 0, 1); /* 2.0f */
    return file;
}

static void test_safetensors(void)
{
    static const struct {
        const char *name, *header, *words;
    } cases[] = {
        {"plain",
         "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"__metadata__\":{\"format\":\"pt\"}}  ",
         NULL},
        {"escapes",
         "{\"a\\u00e9\\n\":{\"shape\":[],\"dtype\":\"F32\",\"data_offsets\":[4,8],\"more\":[1,{\"x\":null}]}}", NULL},
        {"empty", "{}", NULL},
        {"not closed", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}", "expected '}'"},
        {"no shape", "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", "needs dtype, shape and data_offsets"},
        {"outside", "{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]}}",
         "bytes 0 to 12, the file has 8"},
        {"backwards", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", "bytes 8 to 0"},
        {"wrapped", "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[18446744073709551608,8]}}",
         "a number too large"},
        {"huge shape", "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,8]}}",
         "its shape needs"},
        {"wrong size", "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,8]}}",
         "has 8 bytes of data, its shape needs 4"},
        {"type", "{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[8],\"data_offsets\":[0,8]}}",
         "the type F8_E4M3 is not supported"},
        {"bool", "{\"a\":{\"dtype\":\"BOOL\",\"shape\":[8],\"data_offsets\":[0,8]}}", "a bool is 64"},
        {"many axes",
         "{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}",
         "too many numbers"},
        {"deep", "{\"__metadata__\":[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]}", "nested too deeply"},
        {"negative", "{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", "expected a whole number"},
        {"string end", "{\"a", "a string that does not end"},
        {"escape", "{\"a\\q\":1}", "unknown escape"},
        {"escape nul", "{\"a\\u0000\":1}", "unknown escape"},
        {"value", "{\"__metadata__\":}", "expected a value"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct text file = safetensors(cases[i].header, 8);
        struct weights *weights = expect(cases[i].name, &file, cases[i].words);
        if (i == 0) expect_floats("plain", weights, "a", 2, (float[]){2, 2});
    }
    struct text file = safetensors("{}", 0);
    file.at[7] = 0x7f;
    expect("header length", &file, "the file 10");
    struct text nothing = {.arena = arena};
    text_add(&nothing, "hello");
    expect("text", &nothing, "neither safetensors, npz nor npy");
}

static struct text npy(const char *header, int n_floats)
{
    struct text file = {.arena = arena};
    text_add_n(&file, "\x93NUMPY\1\0", 8);
    bytes_add(&file, strlen(header), 2);
    text_add(&file, header);
    for (int i = 0; i < n_floats; i++) text_add_n(&file, (const char *)&(float){(float)i}, 4);
    return file;
}

static void test_npy(void)
{
    static const struct {
        const char *name, *header, *words;
    } cases[] = {
        {"plain", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n", NULL},
        {"fortran", "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }\n", NULL},
        {"vector", "{'shape': (6,), 'descr': '<f4', 'fortran_order': False}", NULL},
        {"big-endian", "{'descr': '>f4', 'fortran_order': False, 'shape': (6,), }", "the element type '>f4'"},
        {"record", "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (6,), }", "the element type [('a'"},
        {"too large", "{'descr': '<f4', 'fortran_order': False, 'shape': (7,), }", "fewer than its shape needs"},
        {"overflow", "{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 16), }",
         "fewer than its shape needs"},
        {"no number", "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", "malformed"},
        {"no shape", "{'descr': '<f4', 'fortran_order': False, }", "lacks 'descr' or 'shape'"},
        {"no dictionary", "hello", "is no dictionary"},
        {"not closed", "{'descr': '<f4", "the element type"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct text file = npy(cases[i].header, 6);
        struct weights *weights = expect(cases[i].name, &file, cases[i].words);
        if (i == 0) expect_floats("npy", weights, "w", 6, (float[]){0, 1, 2, 3, 4, 5});
        if (i == 1) expect_floats("fortran", weights, "w", 6, (float[]){0, 2, 4, 1, 3, 5});
    }
    struct text file = npy("{}", 0);
    file.at[8] = 100;
    expect("npy header length", &file, "the npy header has 100 bytes");
    file.at[6] = 9;
    expect("npy version", &file, "npy version 9");
    file.n = 9;
    expect("npy cut", &file, "is no npy image");
}

struct zip { /* what may be wrong */
    int method;
    uint64_t plain, packed, offset; /* what the directory says, where not 0 */
    int flags, count, directory_at;
    bool damage;
};

/* An archive of one member a.npy: six floats. */
static struct text zip_file(const struct zip *zip)
{
    struct text file = {.arena = arena}, image = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (6,), }", 6);
    unsigned char packed[1024];
    const char *data = image.at;
    uLong n_packed = (uLong)image.n;
    if (zip->method == 8) {
        z_stream stream = {.next_in = (unsigned char *)image.at,
                           .avail_in = (uInt)image.n,
                           .next_out = packed,
                           .avail_out = sizeof packed};
        deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
        deflate(&stream, Z_FINISH);
        deflateEnd(&stream);
        n_packed = stream.total_out;
        data = (const char *)packed;
        if (zip->damage) memset(packed, 0xff, n_packed);
    }
    text_add_n(&file, "PK\3\4", 4);
    bytes_add(&file, 0, 22);
    bytes_add(&file, 5, 2);
    bytes_add(&file, 0, 2);
    text_add(&file, "a.npy");
    text_add_n(&file, data, n_packed);
    size_t directory = file.n;
    text_add_n(&file, "PK\1\2", 4);
    bytes_add(&file, 0, 4);
    bytes_add(&file, (uint64_t)zip->flags, 2);
    bytes_add(&file, (uint64_t)zip->method, 2);
    bytes_add(&file, 0, 4);
    bytes_add(&file, crc32(0, (const unsigned char *)image.at, (uInt)image.n), 4);
    bytes_add(&file, zip->packed ? zip->packed : n_packed, 4);
    bytes_add(&file, zip->plain ? zip->plain : image.n, 4);
    bytes_add(&file, 5, 2);
    bytes_add(&file, 0, 12);
    bytes_add(&file, zip->offset, 4);
    text_add(&file, "a.npy");
    size_t end = file.n;
    text_add_n(&file, "PK\5\6", 4);
    bytes_add(&file, 0, 6);
    bytes_add(&file, (uint64_t)(zip->count ? zip->count : 1), 2);
    bytes_add(&file, end - directory, 4);
    bytes_add(&file, zip->directory_at ? (uint64_t)zip->directory_at : directory, 4);
    bytes_add(&file, 0, 2);
    return file;
}

static void test_npz(void)
{
    static const struct {
        const char *name;
        struct zip zip;
        const char *words;
    } cases[] = {
        {"stored", {.method = 0}, NULL},
        {"deflated", {.method = 8}, NULL},
        {"method", {.method = 12}, "compression method 12"},
        {"encrypted", {.flags = 1}, "is encrypted"},
        {"damaged", {.method = 8, .damage = true}, "compressed data are damaged"},
        {"bomb", {.method = 8, .plain = 0xfffffff0u}, "cannot come of"},
        {"shorter", {.method = 8, .plain = 20}, "compressed data are damaged"},
        {"sizes differ", {.plain = 20}, "its two sizes differ"},
        {"long member", {.packed = 100000, .plain = 100000}, "the file has"},
        {"no header", {.offset = 7}, "no local header at byte 7"},
        {"offset", {.offset = 0xfffffff0u}, "no local header"},
        {"more entries", {.count = 9}, "damaged at entry 1"},
        {"directory", {.directory_at = 0x7fffffff}, "damaged at entry 0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct text file = zip_file(&cases[i].zip);
        struct weights *weights = expect(cases[i].name, &file, cases[i].words);
        if (!cases[i].words) expect_floats(cases[i].name, weights, "a", 6, (float[]){0, 1, 2, 3, 4, 5});
    }
    struct text file = zip_file(&(struct zip){.method = 0});
    file.n -= 22;
    expect("truncated", &file, "no central directory");
}

int main(void)
{
    arena = arena_new();
    test_safetensors();
    test_npy();
    test_npz();
    printf("%d cases, %d failed\n", n_cases, failed);
    arena_free(arena);
    return failed > 0;
}
