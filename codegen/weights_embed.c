/* Weights put into an object, library or executable after it is linked, so that their bytes are written once.
 *
 * The assembler and the linker would each copy them: seconds, for a model of half a gigabyte. So they get a section of
 * the right size and no bytes (@nobits), in a linked file at an address of its own, which gives it a segment of its
 * own. Here the bytes go behind the end of the file, and headers say where they are:
 *
 *   section   tenon_weights  NOBITS, size n    ->  PROGBITS, offset: the old end of the file, size n
 *   segment   R  file size 0, memory size n    ->  offset the same, file size n
 *
 * The result is what a linker would have made. Where the file does not look as expected (another format, a linker with
 * other ideas), it is left as it is and the caller takes the long way. Follows the ELF specification (gABI), 64-bit
 * little-endian files only.
 */
#include "codegen.h"
#include "weights_embed.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

/* From so many bytes on, weights begin where a large page may, in the file and in memory: systems whose file cache has
 * large pages map them so (Linux from 5.10 on aligns as the segment says). The file gets a hole of less than 2 MB. */
enum { HUGE_PAGE = 2 << 20, HUGE_LEAST = 16 << 20 };

struct elf {
    FILE *file;
    const char *path;
    Elf64_Ehdr head;
    Elf64_Shdr section; /* the weights' */
    int64_t section_at; /* of its header in the file */
    Elf64_Phdr segment; /* with it alone; in linked files */
    int64_t segment_at; /* 0: none */
};

static bool read_at(struct elf *elf, int64_t at, void *to, size_t n)
{
    return fseek(elf->file, (long)at, SEEK_SET) == 0 && fread(to, 1, n, elf->file) == n;
}

static bool write_at(struct elf *elf, int64_t at, const void *from, size_t n)
{
    return fseek(elf->file, (long)at, SEEK_SET) == 0 && fwrite(from, 1, n, elf->file) == n;
}

static bool is_native_elf(const Elf64_Ehdr *head)
{
    return !memcmp(head->e_ident, ELFMAG, SELFMAG) && head->e_ident[EI_CLASS] == ELFCLASS64 &&
           head->e_ident[EI_DATA] == ELFDATA2LSB && head->e_shentsize == sizeof(Elf64_Shdr) && head->e_shoff != 0 &&
           head->e_shstrndx != SHN_UNDEF && head->e_shstrndx < head->e_shnum;
}

static bool find_section(struct elf *elf, int64_t n_bytes)
{
    Elf64_Shdr names, section;
    char name[sizeof WEIGHTS_SECTION];
    int64_t size = sizeof section, first = (int64_t)elf->head.e_shoff;
    if (!read_at(elf, first + elf->head.e_shstrndx * size, &names, sizeof names)) return false;
    for (int i = 1; i < elf->head.e_shnum; i++) {
        if (!read_at(elf, first + i * size, &section, sizeof section)) return false;
        if (section.sh_type != SHT_NOBITS || (int64_t)section.sh_size != n_bytes) continue;
        if (!read_at(elf, (int64_t)(names.sh_offset + section.sh_name), name, sizeof name)) continue;
        if (memcmp(name, WEIGHTS_SECTION, sizeof name) != 0) continue;
        elf->section = section;
        elf->section_at = first + i * size;
        return true;
    }
    return false;
}

static bool find_segment(struct elf *elf)
{
    Elf64_Phdr segment;
    if (elf->head.e_phentsize != sizeof segment) return false;
    for (int i = 0; i < elf->head.e_phnum; i++) {
        int64_t at = (int64_t)(elf->head.e_phoff + (uint64_t)i * sizeof segment);
        if (!read_at(elf, at, &segment, sizeof segment)) return false;
        if (segment.p_type != PT_LOAD || segment.p_vaddr != elf->section.sh_addr || segment.p_filesz != 0 ||
            segment.p_memsz != elf->section.sh_size || (segment.p_flags & PF_W) || segment.p_align == 0)
            continue;
        elf->segment = segment;
        elf->segment_at = at;
        return true;
    }
    return false;
}

/* The bytes behind the file's end, then the headers that say so. */
static bool put_bytes(struct elf *elf, const struct weights_layout *weights)
{
    uint64_t align = elf->segment_at ? elf->segment.p_align : elf->section.sh_addralign;
    if (fseek(elf->file, 0, SEEK_END) != 0) return false;
    long end = ftell(elf->file);
    if (end < 0) return false;
    bool huge = elf->segment_at && elf->segment.p_memsz >= HUGE_LEAST && elf->segment.p_vaddr % HUGE_PAGE == 0;
    if (huge) align = elf->segment.p_align = HUGE_PAGE;
    uint64_t offset = ((uint64_t)end + align - 1) / align * align;
    if (fseek(elf->file, (long)offset, SEEK_SET) != 0 || !weights_put(weights, elf->file)) return false;
    elf->section.sh_type = SHT_PROGBITS;
    elf->section.sh_offset = offset;
    elf->segment.p_offset = offset;
    elf->segment.p_filesz = elf->segment.p_memsz;
    return write_at(elf, elf->section_at, &elf->section, sizeof elf->section) &&
           (!elf->segment_at || write_at(elf, elf->segment_at, &elf->segment, sizeof elf->segment));
}

enum embedding weights_embed(const struct weights_layout *weights, const char *path, struct diag *diag)
{
    struct elf elf = {.file = fopen(path, "r+b"), .path = path};
    if (!elf.file) return EMBED_IMPOSSIBLE;
    bool fits = read_at(&elf, 0, &elf.head, sizeof elf.head) && is_native_elf(&elf.head) &&
                find_section(&elf, weights->n_bytes) && (elf.head.e_type == ET_REL || find_segment(&elf));
    errno = 0;
    bool good = !fits || put_bytes(&elf, weights);
    int error = errno;
    if (fclose(elf.file) != 0 && good) good = false, error = errno;
    if (good) return fits ? EMBED_DONE : EMBED_IMPOSSIBLE;
    diag_error(diag, (struct place){.path = path}, "cannot write: %s", strerror(error));
    return EMBED_FAILED;
}
