/* TensorProto to struct tensor: data in typed fields, in raw bytes, or in a file beside the model.
 *
 * The bytes a shape declares are compared with the bytes present before anything is allocated. External files are
 * opened so that nothing outside the model's folder can be reached: openat2 with RESOLVE_BENEATH and no symbolic links
 * where the kernel has it, otherwise component by component with O_NOFOLLOW; a hard link to elsewhere is refused too.
 */
#define _GNU_SOURCE
#include "onnx_narrow.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#if defined(__linux__) && __has_include(<linux/openat2.h>)
#include <linux/openat2.h>
#endif

static const struct {
    const char *name;
    int dt; /* DT_COUNT: no such element type here */
} type_rows[] = {
    {"undefined", DT_COUNT},
    {"float32", DT_f32},
    {"uint8", DT_u8},
    {"int8", DT_i8},
    {"uint16", DT_u16},
    {"int16", DT_i16},
    {"int32", DT_i32},
    {"int64", DT_i64},
    {"string", DT_COUNT},
    {"bool", DT_bool},
    {"float16", DT_f16},
    {"float64", DT_f64},
    {"uint32", DT_u32},
    {"uint64", DT_u64},
    {"complex64", DT_COUNT},
    {"complex128", DT_COUNT},
    {"bfloat16", DT_bf16},
};

bool onnx_dtype(int32_t type, enum dtype *dt, const char **name)
{
    const struct narrow *narrow = onnx_narrow(type);
    bool is_known = !narrow && type >= 0 && (size_t)type < sizeof type_rows / sizeof *type_rows;
    *name = narrow ? narrow->name : is_known ? type_rows[type].name : "of unknown number";
    if (!is_known || type_rows[type].dt == DT_COUNT) return false;
    *dt = (enum dtype)type_rows[type].dt;
    return true;
}

bool onnx_element(int32_t type, enum dtype *dt, const struct narrow **narrow, const char **name)
{
    *narrow = onnx_narrow(type);
    *name = "";
    if (*narrow) *dt = (*narrow)->dt;
    return *narrow || onnx_dtype(type, dt, name);
}

static bool complain(const struct onnx_source *source, const Onnx__TensorProto *proto, const char *what)
{
    return diag_error(source->diag, source->place, "tensor \"%s\": %s", proto->name ? proto->name : "", what);
}

static int open_component_wise(int folder, const char *location)
{
    char part[ONNX_NAME_MOST + 1];
    int at = dup(folder);
    while (at >= 0) {
        size_t n = strcspn(location, "/");
        bool is_last = location[n] == 0;
        if (n > ONNX_NAME_MOST || n == 0 || (n == 2 && !memcmp(location, "..", 2))) {
            close(at);
            errno = EXDEV;
            return -1;
        }
        memcpy(part, location, n);
        part[n] = 0;
        int next = openat(at, part, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | (is_last ? 0 : O_DIRECTORY));
        close(at);
        if (is_last) return next;
        at = next;
        location += n + 1;
    }
    return -1;
}

static int open_beneath(const char *folder, const char *location)
{
    int at = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = -1;
    if (at < 0) return -1;
    errno = ENOSYS;
#ifdef SYS_openat2
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    fd = (int)syscall(SYS_openat2, at, location, &how, sizeof how);
#endif
    if (fd < 0 && (errno == ENOSYS || errno == EPERM)) fd = open_component_wise(at, location);
    close(at);
    return fd;
}

struct external {
    const char *location;
    int64_t offset, length; /* length -1: to be what the shape needs */
};

static bool read_external_keys(const struct onnx_source *source, const Onnx__TensorProto *proto, struct external *ext)
{
    *ext = (struct external){.length = -1};
    unsigned seen = 0;
    for (size_t i = 0; i < proto->n_external_data; i++) {
        static const char *const keys[] = {"location", "offset", "length", "checksum"};
        const Onnx__StringStringEntryProto *entry = proto->external_data[i];
        const char *value = entry->value ? entry->value : "";
        unsigned k = 0;
        while (k < 4 && strcmp(keys[k], entry->key ? entry->key : "")) k++;
        if (k == 4)
            return complain(source, proto, "external data has a key that is not location, offset, length or checksum");
        if (seen & 1u << k) return complain(source, proto, "external data has a key twice");
        seen |= 1u << k;
        char *end = NULL;
        errno = 0;
        int64_t number = k == 1 || k == 2 ? strtoll(value, &end, 10) : 0;
        if (end && (*end || end == value || errno || number < 0))
            return complain(source, proto, "external data's offset or length is not a non-negative integer");
        if (k == 0) ext->location = value;
        if (k == 1) ext->offset = number;
        if (k == 2) ext->length = number;
    }
    if (!ext->location || !*ext->location) return complain(source, proto, "external data has no location");
    return true;
}

static bool map_external(const struct onnx_source *source, const Onnx__TensorProto *proto, int64_t n_bytes,
                         const void **data)
{
    struct external ext;
    struct stat status;
    if (!read_external_keys(source, proto, &ext)) return false;
    if (!source->folder)
        return complain(source, proto, "its data lies in another file, which cannot be reached from here");
    if (ext.length >= 0 && ext.length != n_bytes)
        return diag_error(source->diag, source->place,
                          "tensor \"%s\": its shape needs %lld bytes, its external data has %lld",
                          proto->name ? proto->name : "", (long long)n_bytes, (long long)ext.length);
    int fd = open_beneath(source->folder, ext.location);
    if (fd < 0)
        return diag_error(source->diag, source->place,
                          "tensor \"%s\": cannot open \"%s\" inside the model's folder: %s",
                          proto->name ? proto->name : "", ext.location, strerror(errno));
    bool ok = false;
    if (fstat(fd, &status) || !S_ISREG(status.st_mode))
        complain(source, proto, "its external data is not a regular file");
    else if (status.st_nlink != 1) complain(source, proto, "its external data is a hard link");
    else if (n_bytes > status.st_size || ext.offset > status.st_size - n_bytes)
        diag_error(source->diag, source->place, "tensor \"%s\": bytes %lld..+%lld lie outside \"%s\", which has %lld",
                   proto->name ? proto->name : "", (long long)ext.offset, (long long)n_bytes, ext.location,
                   (long long)status.st_size);
    else if (n_bytes == 0) *data = "", ok = true;
    else {
        int64_t skew = ext.offset % sysconf(_SC_PAGESIZE);
        char *at = mmap(NULL, (size_t)(n_bytes + skew), PROT_READ, MAP_PRIVATE, fd, ext.offset - skew);
        ok = at != MAP_FAILED;
        /* Unaligned data is copied; the rest stays mapped, like the session's other weights, until the end. */
        if (ok) *data = ext.offset % 64 ? arena_copy(source->arena, at + skew, (size_t)n_bytes) : at + skew;
        if (ok && ext.offset % 64) munmap(at, (size_t)(n_bytes + skew));
        if (!ok) complain(source, proto, "its external data cannot be mapped");
    }
    close(fd);
    return ok;
}

/* The typed field that holds elements of dt, as protobuf decoded it. */
struct typed {
    size_t n, bytes;
    const void *at;
};
static struct typed typed_field(const Onnx__TensorProto *proto, enum dtype dt)
{
    switch (dt) {
    case DT_f32: return (struct typed){proto->n_float_data, 4, proto->float_data};
    case DT_f64: return (struct typed){proto->n_double_data, 8, proto->double_data};
    case DT_i64: return (struct typed){proto->n_int64_data, 8, proto->int64_data};
    case DT_u32:
    case DT_u64: return (struct typed){proto->n_uint64_data, 8, proto->uint64_data};
    case DT_f16:
    case DT_bf16:
    case DT_i8:
    case DT_i16:
    case DT_i32:
    case DT_u8:
    case DT_u16:
    case DT_bool: return (struct typed){proto->n_int32_data, 4, proto->int32_data};
    case DT_index:
    case DT_COUNT: break;
    }
    return (struct typed){0};
}

static const void *narrowed(struct arena *arena, struct typed typed, size_t bytes)
{
    if (typed.bytes == bytes) return typed.at;
    uint8_t *to = arena_array(arena, typed.n ? typed.n : 1, bytes);
    const uint8_t *from = typed.at;
    for (size_t i = 0; i < typed.n; i++) memcpy(to + i * bytes, from + i * typed.bytes, bytes); /* little-endian */
    return to;
}

static const void *bool_bytes(struct arena *arena, const void *data, int64_t n)
{
    const uint8_t *from = data;
    int64_t i = 0;
    while (i < n && from[i] <= 1) i++;
    if (i == n) return data;
    uint8_t *to = arena_copy(arena, data, (size_t)n);
    for (; i < n; i++) to[i] = to[i] != 0;
    return to;
}

static bool tensor_type(const struct onnx_source *source, const Onnx__TensorProto *proto, struct type *type)
{
    const char *name;
    const struct narrow *narrow;
    if (!onnx_element(proto->data_type, &type->dt, &narrow, &name))
        return diag_error(source->diag, source->place, "tensor \"%s\": element type %s is not supported",
                          proto->name ? proto->name : "", name);
    if (proto->n_dims > RANK_MOST) return complain(source, proto, "rank above 16");
    type->rank = (int)proto->n_dims;
    for (int i = 0; i < type->rank; i++) {
        type->dim[i] = proto->dims[i];
        if (proto->dims[i] < 0 || proto->dims[i] > ELEMENTS_MOST)
            return diag_error(source->diag, source->place, "tensor \"%s\": dimension %d is %lld",
                              proto->name ? proto->name : "", i, (long long)proto->dims[i]);
    }
    return true;
}

bool onnx_tensor(const struct onnx_source *source, const Onnx__TensorProto *proto, struct tensor *tensor)
{
    *tensor = (struct tensor){0};
    if (!tensor_type(source, proto, &tensor->type)) return false;
    const struct narrow *narrow = onnx_narrow(proto->data_type);
    int64_t n = type_count(&tensor->type), size = dtype_bytes(tensor->type.dt), n_elements = n;
    if (n < 0) return complain(source, proto, "more than 2^40 elements");
    if (narrow) n = (n * narrow->bits + 7) / 8; /* what the file has are bytes of several elements */
    if (proto->segment) return complain(source, proto, "data in segments is not supported");
    tensor->n_bytes = n * size;
    struct typed typed = typed_field(proto, tensor->type.dt);
    if (proto->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL) {
        if (!map_external(source, proto, tensor->n_bytes, &tensor->data)) return false;
    } else if (proto->has_raw_data) {
        if ((uint64_t)tensor->n_bytes != proto->raw_data.len)
            return diag_error(source->diag, source->place, "tensor \"%s\": its shape needs %lld bytes, %zu are there",
                              proto->name ? proto->name : "", (long long)tensor->n_bytes, proto->raw_data.len);
        tensor->data = proto->raw_data.data;
    } else {
        if ((uint64_t)n != typed.n)
            return diag_error(source->diag, source->place,
                              "tensor \"%s\": its shape needs %lld elements, %zu are there",
                              proto->name ? proto->name : "", (long long)n, typed.n);
        tensor->data = narrowed(source->arena, typed, (size_t)size);
    }
    if (!n) tensor->data = "";
    if (narrow && narrow->bits < 8) {
        uint8_t *bytes = arena_array(source->arena, (size_t)n_elements + 1, 1);
        narrow_unpack(narrow, tensor->data, n_elements, bytes);
        tensor->data = bytes;
        tensor->n_bytes = n_elements;
    }
    if (tensor->type.dt == DT_bool) tensor->data = bool_bytes(source->arena, tensor->data, n);
    return true;
}

bool onnx_read_tensor(struct arena *arena, struct diag *diag, const char *path, struct tensor *tensor,
                      const char **name)
{
    struct source *source = NEW(arena, struct source);
    struct place place = {.source = source};
    struct file_bytes bytes;
    source->name = arena_strdup(arena, path);
    *name = "";
    if (!file_map(diag, place, path, &bytes)) return false;
    Onnx__TensorProto *proto = onnx_decode(diag, place, arena, &onnx__tensor_proto__descriptor, bytes.at, bytes.n);
    file_unmap(bytes);
    if (!proto) return false;
    if (proto->name) *name = proto->name;
    return onnx_tensor(&(struct onnx_source){arena, diag, place, NULL}, proto, tensor);
}
