"""Microcontrollers under QEMU: a model's freestanding C is compiled, linked and run there.

MACHINES has a row per machine: the --cpu of tenon, the cross compiler, its flags, QEMU's command, and where memory is.
build() makes an ELF file of a model's C and inputs, run() its outputs and the stack that the run used.
"""
import os, re, shutil, subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
ARM, RISCV = "arm-none-eabi-gcc", "riscv64-unknown-elf-gcc"
FLAGS = ["-std=c11", "-Os", "-ffreestanding", "-fno-strict-aliasing", "-ffp-contract=off", "-fno-asynchronous-unwind-tables"]
STRICT = ["-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Wundef", "-Wvla", "-Werror"]


class Machine:
    def __init__(self, cpu, cc, flags, qemu, flash, ram):
        self.cpu, self.cc, self.flags, self.qemu, self.flash, self.ram = cpu, cc, flags.split(), qemu.split(), flash, ram

    def missing(self):
        """The commands that are not here."""
        return [c for c in (self.cc, self.qemu[0]) if not shutil.which(c)]


MACHINES = {
    "m0": Machine("cortex-m0plus", ARM, "-mcpu=cortex-m0plus -mthumb", "qemu-system-arm -M microbit", (0, 256 << 10), (0x20000000, 16 << 10)),
    "m0-large": Machine("cortex-m0plus", ARM, "-mcpu=cortex-m0plus -mthumb", "qemu-system-arm -M mps2-an385", (0, 4 << 20), (0x20000000, 4 << 20)),
    "m4": Machine("cortex-m4", ARM, "-mcpu=cortex-m4 -mthumb", "qemu-system-arm -M mps2-an386", (0, 4 << 20), (0x20000000, 4 << 20)),
    "m7": Machine("cortex-m7", ARM, "-mcpu=cortex-m7 -mthumb", "qemu-system-arm -M mps2-an500", (0, 4 << 20), (0x20000000, 4 << 20)),
    "riscv": Machine("rv32imc", RISCV, "-march=rv32imc -mabi=ilp32", "qemu-system-riscv32 -M virt -bios none",
                     (0x80000000, 4 << 20), (0x80400000, 4 << 20)),
}


def command(words, **options):
    r = subprocess.run(words, capture_output=True, text=True, timeout=600, **options)
    assert r.returncode == 0, (words, r.returncode, r.stdout[-2000:], r.stderr[-3000:])
    return r.stdout + r.stderr


def compile_object(machine, source, out, *more):
    command([machine.cc, *machine.flags, *FLAGS, *more, "-c", source, "-o", out])


def link(machine, elf, parts):
    """The ELF file of objects and libraries, its map beside it."""
    where = [f"-Wl,--defsym={k}={v:#x}" for k, v in (("FLASH_START", machine.flash[0]), ("FLASH_LENGTH", machine.flash[1]),
                                                    ("RAM_START", machine.ram[0]), ("RAM_LENGTH", machine.ram[1]))]
    command([machine.cc, *machine.flags, "-nostdlib", "-static", *where, "-Wl,--no-warn-rwx-segments,--no-relax", f"-Wl,-Map={elf}.map", "-T",
             os.path.join(HERE, "machine.ld"), *parts, "-lgcc", "-o", elf])
    return elf


def bytes_array(name, data):
    return f"static const _Alignas(8) unsigned char {name}[] = {{{','.join(map(str, data))}}};\n"


def build(machine, folder, name, header, inputs, outputs, source=None, strict=True):
    """The ELF file of model `name`, whose C is source (header with .c), on inputs, as bytes, and with outputs of so many bytes."""
    source = source or header[:-2] + ".c"
    case = f'#include "{os.path.abspath(header)}"\n'
    case += "".join(bytes_array(f"input_{i}", data) for i, data in enumerate(inputs))
    case += "".join(f"static _Alignas(8) unsigned char output_{i}[{n}];\n" for i, n in enumerate(outputs))
    case += f"static const struct {name}_inputs case_in = {{{', '.join(f'(const void *)input_{i}' for i in range(len(inputs)))}}};\n"
    case += f"static const struct {name}_outputs case_out = {{{', '.join(f'(void *)output_{i}' for i in range(len(outputs)))}}};\n"
    case += f"#define CASE_RUN() {name}_run(&case_in, &case_out)\n#define CASE_OUTPUTS "
    case += ", ".join(f"{{output_{i}, {n}}}" for i, n in enumerate(outputs)) + "\n"
    open(os.path.join(folder, "case.h"), "w").write(case)
    model, host, elf = (os.path.join(folder, f) for f in ("model.o", "host.o", "model.elf"))
    compile_object(machine, source, model, *(STRICT if strict else ["-w"]))
    compile_object(machine, os.path.join(HERE, "host.c"), host, "-I", folder)
    return link(machine, elf, [host, model])


def run(machine, elf):
    """(outputs as bytes, bytes of stack) of a run, which must end with status 0."""
    out = command([*machine.qemu, "-display", "none", "-monitor", "none", "-serial", "none", "-semihosting-config",
                   "enable=on,target=native", "-kernel", elf])
    lines = out.split("\n")
    assert lines[0] == "status 0" and lines[1].startswith("stack "), out[:500]
    return [bytes.fromhex(line) for line in lines[2:] if line], int(lines[1].split()[1])


def linked_sizes(elf):
    """Bytes of flash and static RAM that the model's object takes in the linked file."""
    flash = ram = 0
    for section, size in re.findall(r"^ \.(\S+)\s+0x[0-9a-f]+\s+0x([0-9a-f]+)\s+\S*/model\.o$", open(elf + ".map").read(), re.M):
        if section.startswith(("text", "rodata", "srodata")): flash += int(size, 16)
        elif section.startswith(("bss", "sbss", "data", "sdata")): ram += int(size, 16)
    return flash, ram
