/* Members of a zip file (.npz), stored or deflated, and the decompression (RFC 1951).
 *
 * The member is found through the central directory at the file's end. No zip64: arrays of 4 GiB and more are
 * given as .npy. The decoder walks canonical Huffman codes bit by bit, as small as it gets.
 */
#include "npy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bits {
    const unsigned char *at, *end;
    unsigned hold; /* the next `n` bits */
    int n, bad;
};

static unsigned take(struct bits *in, int count)
{
    while (in->n < count) {
        if (in->at == in->end) {
            in->bad = 1;
            return 0;
        }
        in->hold |= (unsigned)*in->at++ << in->n;
        in->n += 8;
    }
    unsigned v = in->hold & ((1u << count) - 1);
    in->hold >>= count;
    in->n -= count;
    return v;
}

struct huffman {
    unsigned short count[16], symbol[288];
};

/* The code with these lengths; 0 where they are more than a code can hold. */
static int huffman_make(struct huffman *code, const unsigned char *length, int n)
{
    unsigned short next[16] = {0};
    int left = 1;
    memset(code->count, 0, sizeof code->count);
    for (int i = 0; i < n; i++) code->count[length[i]]++;
    code->count[0] = 0;
    for (int i = 1; i < 16; i++) {
        left = 2 * left - code->count[i];
        if (left < 0) return 0;
        if (i < 15) next[i + 1] = (unsigned short)(next[i] + code->count[i]);
    }
    for (int i = 0; i < n; i++)
        if (length[i]) code->symbol[next[length[i]]++] = (unsigned short)i;
    return 1;
}

static int huffman_take(struct bits *in, const struct huffman *code)
{
    int value = 0, first = 0, index = 0;
    for (int i = 1; i < 16; i++) {
        value |= (int)take(in, 1);
        if (value - first < code->count[i]) return code->symbol[index + value - first];
        index += code->count[i];
        first = (first + code->count[i]) << 1;
        value <<= 1;
    }
    in->bad = 1;
    return -1;
}

static int dynamic_codes(struct bits *in, struct huffman *literal, struct huffman *distance)
{
    static const unsigned char order[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    unsigned char length[320] = {0};
    struct huffman lengths;
    int n_literal = (int)take(in, 5) + 257, n_distance = (int)take(in, 5) + 1, n_code = (int)take(in, 4) + 4;
    for (int i = 0; i < n_code; i++) length[order[i]] = (unsigned char)take(in, 3);
    if (in->bad || n_literal > 286 || !huffman_make(&lengths, length, 19)) return 0;
    memset(length, 0, sizeof length);
    for (int i = 0; i < n_literal + n_distance;) {
        int symbol = huffman_take(in, &lengths), repeat = 1, value = symbol;
        if (symbol < 0) return 0;
        if (symbol == 16) {
            if (i == 0) return 0;
            value = length[i - 1];
            repeat = 3 + (int)take(in, 2);
        } else if (symbol > 16) {
            value = 0;
            repeat = symbol == 17 ? 3 + (int)take(in, 3) : 11 + (int)take(in, 7);
        }
        if (in->bad || i + repeat > n_literal + n_distance) return 0;
        while (repeat--) length[i++] = (unsigned char)value;
    }
    return huffman_make(literal, length, n_literal) && huffman_make(distance, length + n_literal, n_distance);
}

static void fixed_codes(struct huffman *literal, struct huffman *distance)
{
    unsigned char length[288];
    for (int i = 0; i < 288; i++) length[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
    huffman_make(literal, length, 288);
    memset(length, 5, 30);
    huffman_make(distance, length, 30);
}

static int copy_codes(struct bits *in, const struct huffman *literal, const struct huffman *distance,
                      unsigned char *out, size_t n_out, size_t *at)
{
    static const unsigned short base[29] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                            31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
    static const unsigned char extra[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                            2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
    for (;;) {
        int symbol = huffman_take(in, literal);
        if (in->bad || symbol < 0) return 0;
        if (symbol == 256) return 1;
        if (symbol < 256) {
            if (*at == n_out) return 0;
            out[(*at)++] = (unsigned char)symbol;
            continue;
        }
        if (symbol > 285) return 0;
        size_t length = base[symbol - 257] + take(in, extra[symbol - 257]);
        int far = huffman_take(in, distance);
        if (in->bad || far < 0 || far > 29) return 0;
        int bits = far < 4 ? 0 : far / 2 - 1;
        size_t back = (far < 4 ? (size_t)far : (size_t)(2 + far % 2) << bits) + 1 + take(in, bits);
        if (in->bad || back > *at || length > n_out - *at) return 0;
        for (; length; length--, (*at)++) out[*at] = out[*at - back];
    }
}

int inflate_bytes(const unsigned char *in_bytes, size_t n_in, unsigned char *out, size_t n_out)
{
    struct bits in = {.at = in_bytes, .end = in_bytes + n_in};
    struct huffman literal, distance;
    size_t at = 0;
    unsigned last;
    do {
        last = take(&in, 1);
        unsigned kind = take(&in, 2);
        if (in.bad || kind == 3) return 0;
        if (kind == 0) { /* stored */
            in.hold = 0, in.n = 0;
            if (in.end - in.at < 4) return 0;
            size_t n = (size_t)in.at[0] | (size_t)in.at[1] << 8;
            in.at += 4;
            if ((size_t)(in.end - in.at) < n || n > n_out - at) return 0;
            memcpy(out + at, in.at, n);
            in.at += n;
            at += n;
            continue;
        }
        if (kind == 1) fixed_codes(&literal, &distance);
        else if (!dynamic_codes(&in, &literal, &distance)) return 0;
        if (!copy_codes(&in, &literal, &distance, out, n_out, &at)) return 0;
    } while (!last);
    return at == n_out;
}

/* Zip */

static size_t little(const unsigned char *p, int n)
{
    size_t v = 0;
    for (int i = n - 1; i >= 0; i--) v = v << 8 | p[i];
    return v;
}

static int fail(char *error, const char *words)
{
    snprintf(error, ERROR_BYTES, "%s", words);
    return 0;
}

static int unpack(const unsigned char *zip, size_t n_zip, const unsigned char *entry, unsigned char **bytes,
                  size_t *n_bytes, char *error)
{
    size_t method = little(entry + 10, 2), packed = little(entry + 20, 4), size = little(entry + 24, 4),
           local = little(entry + 42, 4);
    if (packed == 0xffffffffu || size == 0xffffffffu || local == 0xffffffffu)
        return fail(error, "zip64 is not read: use .npy for so large an array");
    if (local > n_zip || n_zip - local < 30 || memcmp(zip + local, "PK\3\4", 4) != 0)
        return fail(error, "a damaged zip file");
    size_t skip = 30 + little(zip + local + 26, 2) + little(zip + local + 28, 2);
    if (skip > n_zip - local || packed > n_zip - local - skip) return fail(error, "a damaged zip file");
    if (size / 1100 > packed + 1) return fail(error, "a damaged zip file"); /* deflate packs 1032:1 at most */
    const unsigned char *data = zip + local + skip;
    *bytes = malloc(size + 1);
    *n_bytes = size;
    if (!*bytes) return fail(error, "no memory");
    if (method == 0 && packed == size) memcpy(*bytes, data, size);
    else if (method != 8 || !inflate_bytes(data, packed, *bytes, size))
        return fail(error, "a damaged or unknown compression");
    return 1;
}

int zip_member(const unsigned char *zip, size_t n_zip, const char *member, unsigned char **bytes, size_t *n_bytes,
               char *error)
{
    size_t at = n_zip < 22 ? 0 : n_zip - 22, oldest = n_zip < 22 + 65536 ? 0 : n_zip - 22 - 65536,
           length = strlen(member);
    if (n_zip < 22) return fail(error, "not a zip file");
    while (memcmp(zip + at, "PK\5\6", 4) != 0) {
        if (at == oldest) return fail(error, "not a zip file");
        at--;
    }
    size_t count = little(zip + at + 10, 2), entry = little(zip + at + 16, 4);
    for (size_t i = 0; i < count; i++) {
        if (entry > n_zip || n_zip - entry < 46 || memcmp(zip + entry, "PK\1\2", 4) != 0)
            return fail(error, "a damaged zip file");
        size_t name = little(zip + entry + 28, 2),
               rest = name + little(zip + entry + 30, 2) + little(zip + entry + 32, 2);
        if (rest > n_zip - entry - 46) return fail(error, "a damaged zip file");
        if (name == length && !memcmp(zip + entry + 46, member, length))
            return unpack(zip, n_zip, zip + entry, bytes, n_bytes, error);
        entry += 46 + rest;
    }
    snprintf(error, ERROR_BYTES, "has no member \"%.200s\"", member);
    return 0;
}
