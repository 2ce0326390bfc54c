/* The tensor files of compiled executables: good ones read, and no damaged one does harm (run under sanitizers). */
#define _POSIX_C_SOURCE 200809L
#include "../runtime/npy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* numpy.savez_compressed(x=(numpy.arange(64, dtype="f4") % 5).reshape(2, 32), k=numpy.array([1, 2, 3])) */
static const unsigned char npz[] = {
    80,  75,  3,   4,   45,  0,   0,   0,   8,   0,   0,   0,   33,  0,   25,  188, 118, 6,   255, 255, 255, 255, 255,
    255, 255, 255, 5,   0,   20,  0,   120, 46,  110, 112, 121, 1,   0,   16,  0,   128, 1,   0,   0,   0,   0,   0,
    0,   86,  0,   0,   0,   0,   0,   0,   0,   155, 236, 23,  234, 27,  16,  201, 200, 80,  198, 80,  173, 158, 146,
    90,  156, 92,  164, 110, 165, 160, 110, 147, 102, 162, 174, 163, 160, 158, 150, 95,  84,  82,  148, 152, 23,  159,
    95,  148, 146, 10,  18,  119, 75,  204, 41,  78,  5,   138, 23,  103, 36,  22,  164, 2,   249, 26,  70,  58,  10,
    198, 70,  154, 58,  10,  181, 10,  228, 2,   46,  6,   48,  104, 176, 7,   18,  14,  64,  4,   196, 13,  14,  35,
    73,  12,  0,   80,  75,  3,   4,   45,  0,   0,   0,   8,   0,   0,   0,   33,  0,   188, 145, 85,  142, 255, 255,
    255, 255, 255, 255, 255, 255, 5,   0,   20,  0,   107, 46,  110, 112, 121, 1,   0,   16,  0,   152, 0,   0,   0,
    0,   0,   0,   0,   77,  0,   0,   0,   0,   0,   0,   0,   155, 236, 23,  234, 27,  16,  201, 200, 80,  198, 80,
    173, 158, 146, 90,  156, 92,  164, 110, 165, 160, 110, 147, 105, 161, 174, 163, 160, 158, 150, 95,  84,  82,  148,
    152, 23,  159, 95,  148, 146, 10,  18,  119, 75,  204, 41,  78,  5,   138, 23,  103, 36,  22,  164, 2,   249, 26,
    198, 58,  154, 58,  10,  181, 10,  20,  0,   46,  70,  6,   8,   96,  130, 210, 204, 80,  26,  0,   80,  75,  1,
    2,   45,  3,   45,  0,   0,   0,   8,   0,   0,   0,   33,  0,   25,  188, 118, 6,   86,  0,   0,   0,   128, 1,
    0,   0,   5,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   128, 1,   0,   0,   0,   0,   120, 46,  110,
    112, 121, 80,  75,  1,   2,   45,  3,   45,  0,   0,   0,   8,   0,   0,   0,   33,  0,   188, 145, 85,  142, 77,
    0,   0,   0,   152, 0,   0,   0,   5,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   128, 1,   141, 0,
    0,   0,   107, 46,  110, 112, 121, 80,  75,  5,   6,   0,   0,   0,   0,   2,   0,   2,   0,   102, 0,   0,   0,
    17,  1,   0,   0,   0,   0};
/* TensorProto: dims 2, 3; float_data 0 .. 5 packed */
static const unsigned char proto[] = {8, 2,  8, 3, 16, 1,  34, 24, 0,   0,  0, 0, 0,   0,  128, 63, 0,  0,
                                      0, 64, 0, 0, 64, 64, 0,  0,  128, 64, 0, 0, 160, 64, 66,  1,  'x'};
/* dims packed; int32_data one by one, of type i8: 1, -2, 3 */
static const unsigned char small[] = {10,  1,   3,   16,  3,   40,  1,   40, 254, 255,
                                      255, 255, 255, 255, 255, 255, 255, 1,  40,  3};

static int wrong;

static void check(int good, const char *what)
{
    if (!good) wrong++, printf("wrong: %s\n", what);
}

static int read_npz(const unsigned char *bytes, size_t n, const char *member, struct array *array)
{
    char error[ERROR_BYTES];
    unsigned char *file = NULL;
    size_t n_file;
    memset(array, 0, sizeof *array);
    int good = zip_member(bytes, n, member, &file, &n_file, error) && npy_parse(file, n_file, array, error);
    free(file);
    return good;
}

static int read_proto(const unsigned char *bytes, size_t n, struct array *array)
{
    char error[ERROR_BYTES];
    memset(array, 0, sizeof *array);
    return pb_parse(bytes, n, array, error);
}

static void test_good(void)
{
    struct array array;
    float x[64];
    for (int i = 0; i < 64; i++) x[i] = (float)(i % 5);
    check(read_npz(npz, sizeof npz, "x.npy", &array), "a deflated member");
    check(array.dtype == TENON_F32 && array.rank == 2 && array.dims[0] == 2 && array.dims[1] == 32 &&
              !memcmp(array.data, x, sizeof x),
          "its values");
    free(array.data);
    check(read_npz(npz, sizeof npz, "k.npy", &array) && array.dtype == TENON_I64 && ((int64_t *)array.data)[2] == 3,
          "a second member");
    free(array.data);
    check(!read_npz(npz, sizeof npz, "y.npy", &array), "a missing member");
    check(read_proto(proto, sizeof proto, &array) && array.rank == 2 && array.dims[1] == 3 &&
              ((float *)array.data)[5] == 5,
          "packed floats");
    free(array.data);
    check(read_proto(small, sizeof small, &array) && array.dtype == TENON_I8 && ((int8_t *)array.data)[1] == -2,
          "integers one by one");
    free(array.data);
}

/* A copy of exactly n bytes, so that a sanitizer sees a read behind them. */
static void try_bytes(const unsigned char *bytes, size_t n, int is_zip)
{
    struct array array;
    unsigned char *copy = malloc(n ? n : 1);
    if (!copy) abort();
    memcpy(copy, bytes, n);
    int good = is_zip ? read_npz(copy, n, "x.npy", &array) : read_proto(copy, n, &array);
    if (good) free(array.data);
    free(copy);
}

static void test_damaged(const unsigned char *bytes, size_t n, int is_zip)
{
    unsigned char *copy = malloc(n);
    if (!copy) abort();
    for (size_t i = 0; i < n; i++) try_bytes(bytes, i, is_zip);
    for (size_t i = 0; i < n; i++)
        for (int bit = 0; bit < 8; bit++) {
            memcpy(copy, bytes, n);
            copy[i] ^= (unsigned char)(1 << bit);
            try_bytes(copy, n, is_zip);
        }
    for (size_t i = 0; i + 4 <= n; i++) { /* huge lengths */
        memcpy(copy, bytes, n);
        memset(copy + i, 255, 4);
        try_bytes(copy, n, is_zip);
    }
    free(copy);
}

static void test_round_trip(void)
{
    char path[] = "/tmp/tenon-npy-XXXXXX", name[64], error[ERROR_BYTES] = "";
    for (int t = TENON_F64; t <= TENON_BOOL; t++)
        for (int rank = 0; rank <= 3; rank++) {
            unsigned char data[8 * 12];
            for (size_t i = 0; i < sizeof data; i++) data[i] = (unsigned char)(i * 7);
            struct array array = {.dtype = (enum tenon_dtype)t, .rank = rank, .dims = {3, 4, 1}, .data = data}, back;
            check(array_size(array.dtype, rank, array.dims, &array.n_bytes), "a size");
            int file = mkstemp(path);
            if (file < 0) abort();
            close(file);
            snprintf(name, sizeof name, "%s.npy", path);
            check(array_write_npy(name, &array, error) && array_read(name, "", &back, error), error);
            check(back.dtype == array.dtype && back.rank == rank && back.n_bytes == array.n_bytes &&
                      !memcmp(back.data, data, (size_t)back.n_bytes),
                  "a round trip");
            free(back.data);
            unlink(name);
            unlink(path);
            memcpy(path + sizeof path - 7, "XXXXXX", 6);
        }
}

int main(void)
{
    struct array array;
    char error[ERROR_BYTES];
    static const char fortran[] =
        "\x93NUMPY\x01\x00\x40\x00"
        "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }     \n\x01\x04\x02\x05\x03\x06";
    memset(&array, 0, sizeof array);
    check(npy_parse((const unsigned char *)fortran, sizeof fortran - 1, &array, error) &&
              !memcmp(array.data, "\1\2\3\4\5\6", 6),
          "Fortran order");
    free(array.data);
    test_good();
    test_damaged(npz, sizeof npz, 1);
    test_damaged(proto, sizeof proto, 0);
    test_damaged(small, sizeof small, 0);
    test_round_trip();
    return wrong != 0;
}
