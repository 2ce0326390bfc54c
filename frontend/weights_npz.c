/* npz: a zip of .npy members, stored or deflated; and the .npy image itself.
 *
 * The zip is read from its central directory (at the end), whose sizes also stand where the local headers leave them
 * out; zip64 fields are honoured. Formats: PKWARE APPNOTE 6.3, sections 4.3-4.5; NEP 1 of NumPy.
 */
#include "weights.h"

#include <string.h>
#include <zlib.h>

static uint64_t little(const unsigned char *at, int n)
{
    uint64_t v = 0;
    for (int i = 0; i < n; i++) v |= (uint64_t)at[i] << (8 * i);
    return v;
}

/* Whether [offset, offset + size) lies inside n bytes. */
static bool inside(uint64_t offset, uint64_t size, uint64_t n)
{
    return size <= n && offset <= n - size;
}

struct npy { /* the header's dictionary, read in any order */
    struct type type;
    bool fortran, has_dtype, has_shape;
};

static bool npy_dtype(const char *s, size_t n, enum dtype *dt)
{
    static const struct {
        const char *name;
        enum dtype dt;
    } rows[] = {{"f8", DT_f64}, {"f4", DT_f32}, {"f2", DT_f16}, {"i1", DT_i8},  {"i2", DT_i16}, {"i4", DT_i32},
                {"i8", DT_i64}, {"u1", DT_u8},  {"u2", DT_u16}, {"u4", DT_u32}, {"u8", DT_u64}, {"b1", DT_bool}};
    for (size_t i = 0; n == 3 && i < sizeof rows / sizeof *rows; i++)
        if (!memcmp(s + 1, rows[i].name, 2) && (s[0] == '<' || s[0] == '|')) return *dt = rows[i].dt, true;
    return false;
}

static const char *skip_blanks(const char *s)
{
    while (*s == ' ' || *s == '\n' || *s == '\t') s++;
    return s;
}

static const char *npy_shape(const char *s, struct npy *npy)
{
    s = skip_blanks(s);
    if (*s++ != '(') return NULL;
    for (s = skip_blanks(s); *s != ')'; s = skip_blanks(s)) {
        int64_t size = 0;
        if (*s < '0' || *s > '9' || npy->type.rank == RANK_MOST) return NULL;
        for (; *s >= '0' && *s <= '9'; s++)
            if (!size_mul(size, 10, &size) || __builtin_add_overflow(size, *s - '0', &size)) return NULL;
        npy->type.dim[npy->type.rank++] = size;
        if (*s == 'L') s++;
        s = skip_blanks(s);
        if (*s == ',') s++;
        else if (*s != ')') return NULL;
    }
    npy->has_shape = true;
    return s + 1;
}

/* {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), } */
static bool npy_header(const struct weights_file *file, const char *name, const char *s, struct npy *npy)
{
    s = skip_blanks(s);
    if (*s++ != '{') return weights_error(file, "\"%.100s\": the npy header is no dictionary", name);
    for (s = skip_blanks(s); *s && *s != '}'; s = skip_blanks(s)) {
        bool descr = !strncmp(s, "'descr':", 8), fortran = !strncmp(s, "'fortran_order':", 16);
        if (descr) {
            s = skip_blanks(s + 8);
            const char *close = *s == '\'' ? strchr(s + 1, '\'') : NULL;
            if (!close || !npy_dtype(s + 1, (size_t)(close - s - 1), &npy->type.dt))
                return weights_error(file, "\"%.100s\": the element type %.20s is not supported", name, s);
            npy->has_dtype = true;
            s = close + 1;
        } else if (fortran) {
            s = skip_blanks(s + 16);
            npy->fortran = *s == 'T';
            while (*s && *s != ',' && *s != '}') s++;
        } else if (strncmp(s, "'shape':", 8) != 0 || npy->has_shape || !(s = npy_shape(s + 8, npy)))
            return weights_error(file, "\"%.100s\": the npy header is malformed", name);
        s = skip_blanks(s);
        if (*s == ',') s++;
    }
    if (!npy->has_dtype || !npy->has_shape)
        return weights_error(file, "\"%.100s\": the npy header lacks 'descr' or 'shape'", name);
    return true;
}

/* Column-major data to row-major; the size was checked. */
static const unsigned char *reorder(struct arena *arena, const struct type *type, const unsigned char *data,
                                    int64_t count)
{
    size_t size = (size_t)dtype_bytes(type->dt);
    unsigned char *out = arena_alloc(arena, (size_t)count * size);
    int64_t at[RANK_MOST] = {0}, stride[RANK_MOST], s = 1;
    for (int i = 0; i < type->rank; i++) stride[i] = s, s *= type->dim[i];
    for (int64_t i = 0; i < count; i++) {
        int64_t from = 0;
        for (int k = 0; k < type->rank; k++) from += at[k] * stride[k];
        memcpy(out + (size_t)i * size, data + (size_t)from * size, size);
        for (int k = type->rank - 1; k >= 0 && ++at[k] == type->dim[k]; k--) at[k] = 0;
    }
    return out;
}

bool npy_read(const struct weights_file *file, const char *name, const unsigned char *bytes, size_t n_bytes)
{
    if (n_bytes < 12 || memcmp(bytes, "\x93NUMPY", 6) != 0)
        return weights_error(file, "\"%.100s\" is no npy image", name);
    int wide = bytes[6] == 1 ? 2 : 4;
    if (bytes[6] < 1 || bytes[6] > 3)
        return weights_error(file, "\"%.100s\": npy version %d is not known", name, bytes[6]);
    size_t start = 8 + (size_t)wide, length = (size_t)little(bytes + 8, wide);
    if (!inside(start, length, n_bytes))
        return weights_error(file, "\"%.100s\": the npy header has %zu bytes, the file %zu", name, length, n_bytes);
    struct npy npy = {.type.rank = 0};
    if (!npy_header(file, name, arena_strndup(file->session, (const char *)bytes + start, length), &npy)) return false;
    const unsigned char *data = bytes + start + length;
    size_t n_data = n_bytes - start - length;
    int64_t count = type_count(&npy.type), needed;
    if (count < 0 || !size_mul(count, dtype_bytes(npy.type.dt), &needed) || (uint64_t)needed > n_data)
        return weights_error(file, "tensor \"%.100s\" has %zu bytes of data, fewer than its shape needs", name, n_data);
    if (npy.fortran && npy.type.rank > 1 && !weights_spend(file, (uint64_t)needed)) return false;
    if (npy.fortran && npy.type.rank > 1) data = reorder(file->session, &npy.type, data, count);
    return weights_add(file, name, &npy.type, data, (size_t)needed);
}

struct member {
    const char *name;
    int method;
    uint32_t crc; /* of the unpacked bytes */
    uint64_t packed, plain, offset; /* sizes in the file and unpacked; where the local header is */
};

/* The member's zip64 sizes, where the 32-bit fields say that they are elsewhere. */
static void read_zip64(struct member *member, const unsigned char *extra, size_t n)
{
    while (n >= 4) {
        size_t id = (size_t)little(extra, 2), size = (size_t)little(extra + 2, 2);
        if (size > n - 4) return;
        const unsigned char *at = extra + 4, *end = at + size;
        uint64_t *const field[] = {&member->plain, &member->packed, &member->offset};
        for (int i = 0; id == 1 && i < 3; i++)
            if (*field[i] == 0xffffffffu && end - at >= 8) *field[i] = little(at, 8), at += 8;
        extra += 4 + size;
        n -= 4 + size;
    }
}

static const unsigned char *inflate_member(const struct weights_file *file, const struct member *member,
                                           const unsigned char *packed)
{
    if (member->plain / 1100 > member->packed || member->plain > UINT32_MAX || member->packed > UINT32_MAX) {
        weights_error(file, "\"%.100s\": %llu bytes cannot come of %llu compressed ones", member->name,
                      (unsigned long long)member->plain, (unsigned long long)member->packed);
        return NULL;
    }
    if (!weights_spend(file, member->plain)) return NULL;
    unsigned char *out = arena_alloc(file->session, (size_t)member->plain + 1);
    z_stream stream = {.next_in = (unsigned char *)(uintptr_t)packed,
                       .avail_in = (uInt)member->packed,
                       .next_out = out,
                       .avail_out = (uInt)member->plain};
    int result = inflateInit2(&stream, -MAX_WBITS);
    if (result == Z_OK) {
        result = inflate(&stream, Z_FINISH);
        inflateEnd(&stream);
    }
    if (result == Z_STREAM_END && stream.total_out == member->plain) return out;
    weights_error(file, "\"%.100s\": the compressed data are damaged", member->name);
    return NULL;
}

static bool read_member(const struct weights_file *file, const struct member *member)
{
    if (!inside(member->offset, 30, file->n_bytes) || memcmp(file->bytes + member->offset, "PK\3\4", 4) != 0)
        return weights_error(file, "\"%.100s\": no local header at byte %llu", member->name,
                             (unsigned long long)member->offset);
    const unsigned char *local = file->bytes + member->offset;
    uint64_t start = member->offset + 30 + little(local + 26, 2) + little(local + 28, 2);
    if (!inside(start, member->packed, file->n_bytes))
        return weights_error(file, "\"%.100s\": %llu bytes at %llu, the file has %zu", member->name,
                             (unsigned long long)member->packed, (unsigned long long)start, file->n_bytes);
    const unsigned char *data = file->bytes + start;
    if (member->method != 0 && member->method != 8)
        return weights_error(file, "\"%.100s\": compression method %d is not supported", member->name, member->method);
    if (member->method == 8) data = inflate_member(file, member, data);
    else if (member->plain != member->packed)
        return weights_error(file, "\"%.100s\": stored, but its two sizes differ", member->name);
    if (data && member->plain <= UINT32_MAX && crc32(0, data, (uInt)member->plain) != member->crc)
        return weights_error(file, "\"%.100s\": its bytes do not match their checksum", member->name);
    size_t n = strlen(member->name);
    if (n > 4 && !strcmp(member->name + n - 4, ".npy")) n -= 4;
    return data && npy_read(file, arena_strndup(file->session, member->name, n), data, (size_t)member->plain);
}

/* Where the central directory is: its end record stands in the last 64 KiB; zip64 has a locator before it. */
static bool find_directory(const struct weights_file *file, uint64_t *at, uint64_t *count)
{
    size_t n = file->n_bytes, least = n > 65557 ? n - 65557 : 0;
    for (size_t i = n < 22 ? 0 : n - 22 + 1; i-- > least;) {
        const unsigned char *end = file->bytes + i;
        if (memcmp(end, "PK\5\6", 4) != 0) continue;
        *count = little(end + 10, 2);
        *at = little(end + 16, 4);
        if (i < 20 || memcmp(end - 20, "PK\6\7", 4) != 0) return true;
        uint64_t wide = little(end - 20 + 8, 8);
        if (!inside(wide, 56, n) || memcmp(file->bytes + wide, "PK\6\6", 4) != 0)
            return weights_error(file, "the zip64 end record is damaged");
        *count = little(file->bytes + wide + 32, 8);
        *at = little(file->bytes + wide + 48, 8);
        return true;
    }
    return weights_error(file, "the zip has no central directory (truncated?)");
}

bool npz_read(const struct weights_file *file)
{
    uint64_t at = 0, count = 0;
    if (!find_directory(file, &at, &count)) return false;
    for (uint64_t i = 0; i < count; i++) {
        if (!inside(at, 46, file->n_bytes) || memcmp(file->bytes + at, "PK\1\2", 4) != 0)
            return weights_error(file, "the zip's directory is damaged at entry %llu", (unsigned long long)i);
        const unsigned char *entry = file->bytes + at;
        uint64_t name = little(entry + 28, 2), extra = little(entry + 30, 2), comment = little(entry + 32, 2);
        if (!inside(at + 46, name + extra + comment, file->n_bytes))
            return weights_error(file, "the zip's directory is truncated");
        if (memchr(entry + 46, 0, (size_t)name)) return weights_error(file, "a name with a NUL in the zip");
        struct member member = {arena_strndup(file->session, (const char *)entry + 46, (size_t)name),
                                (int)little(entry + 10, 2), (uint32_t)little(entry + 16, 4), little(entry + 20, 4), little(entry + 24, 4),
                                little(entry + 42, 4)};
        if (little(entry + 8, 2) & 1) return weights_error(file, "\"%.100s\" is encrypted", member.name);
        read_zip64(&member, entry + 46 + name, (size_t)extra);
        if (!read_member(file, &member)) return false;
        at += 46 + name + extra + comment;
    }
    return true;
}
