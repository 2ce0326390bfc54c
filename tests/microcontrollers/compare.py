#!/usr/bin/env python3
"""README's table of flash and RAM on a Cortex-M4: our C beside emx-onnx-cgen's and onnx2c's, of the same nets, compiled alike.

    tests/python tests/microcontrollers/compare.py [NAME...]      TENON=path/of/tenon; exit 77: something is not installed

emx-onnx-cgen is a Python package. onnx2c (github.com/kraiskil/onnx2c) is a C++ program to be built by hand; where ONNX2C is its
path, or it is in PATH, it is measured too. Models: make_models.py's, as floats and quantized (with --numeric=integer here), the
others given QDQ and QLinear operators: the least flash and the least RAM of both count. All is compiled with the same flags, linked
with what it calls, and run under QEMU. Flash is all that is linked but for the test's own main program, the compiler's and C
library's functions included; RAM is static memory, the most that was allocated at a time, and the stack, which was painted.
"""
import os, re, shutil, subprocess, sys, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TENON = os.path.abspath(os.environ.get("TENON", os.path.join(ROOT, "build/release/tenon")))
EMX = shutil.which("emx-onnx-cgen") or os.path.join(os.path.dirname(sys.executable), "emx-onnx-cgen")
ONNX2C = os.environ.get("ONNX2C") or shutil.which("onnx2c")
sys.path.insert(0, HERE)
import machines

# malloc and free that know the most that was in use; the system calls that newlib's files mention.
MEMORY = """
#include <stddef.h>
unsigned heap_most;
static unsigned heap_used, at;
static _Alignas(8) unsigned char heap[1 << 20];
void *malloc(size_t n)
{
    n = (n + 15) / 8 * 8;
    if (at + n > sizeof heap) return NULL;
    unsigned char *p = heap + at;
    at += (unsigned)n;
    heap_used += (unsigned)n;
    *(unsigned *)p = (unsigned)n;
    if (heap_used > heap_most) heap_most = heap_used;
    return p + 8;
}
void free(void *p)
{
    if (p) heap_used -= ((unsigned *)p)[-2];
}
int *__errno(void)
{
    static int number;
    return &number;
}
"""


def sizes(elf, own):
    """Flash and static RAM of what is linked, but for these objects."""
    flash = ram = 0
    for section, size, path in re.findall(r"^ \.(\S+)\s+0x[0-9a-f]+\s+0x([0-9a-f]+)\s+(\S+\.o\)?)$", open(elf + ".map").read(), re.M):
        if os.path.basename(path) in own or section.startswith(("debug", "comment", "ARM")): continue
        if section.startswith(("text", "rodata")): flash += int(size, 16)
        elif section.startswith(("bss", "data", "COMMON")): ram += int(size, 16)
    return flash, ram


def ours(machine, folder, model, integer):
    name = re.sub(r"\W", "_", os.path.basename(model)[:-5])
    path = os.path.join(folder, "ours.c")
    flags = ["--numeric=integer"] if integer else []
    machines.command([TENON, "compile", model, *flags, f"--cpu={machine.cpu}", "--freestanding", "-o", path])
    header = open(path[:-2] + ".h").read()
    count = lambda field: int(re.search(rf"_{field}_BYTES (\d+)", header)[1])
    name = re.search(r"^int (\w+)_run", header, re.M)[1]
    elf = machines.build(machine, folder, name, path[:-2] + ".h", [bytes(count("X"))], [count("Y")], strict=False)
    flash, ram = sizes(elf, {"host.o"})
    return flash, ram + machines.run(machine, elf)[1]


def emx(folder, model, out):
    machines.command([EMX, "compile", "--model-name", "net", model, out], cwd=folder)


def onnx2c(folder, model, out):
    text = machines.command([ONNX2C, "-l0", "-f", "net", model], cwd=folder)
    open(out, "w").write(text)


def theirs(machine, folder, generate, model, shape, classes):
    name = os.path.join(folder, "theirs.c")
    generate(folder, model, name)
    elements = 1
    for n in shape: elements *= n
    sides = "".join(f"[{n}]" for n in shape)
    open(os.path.join(folder, "case.h"), "w").write(
        f"extern unsigned heap_most;\nvoid net(const float x{sides}, float y[1][{classes}]);\nstatic const float input{sides};\nstatic float output[1][{classes}];\n"
        "#define CASE_RUN() (net(input, output), 0)\n#define CASE_OUTPUTS {&heap_most, 4}\n")
    memory = os.path.join(folder, "memory.c")
    open(memory, "w").write(MEMORY)
    objects = {k: os.path.join(folder, k + ".o") for k in ("theirs", "host", "memory")}
    machines.compile_object(machine, name, objects["theirs"], "-w", "-fhosted")
    machines.compile_object(machine, os.path.join(HERE, "host.c"), objects["host"], "-I", folder)
    machines.compile_object(machine, memory, objects["memory"], "-fno-builtin")
    elf = machines.link(machine, os.path.join(folder, "theirs.elf"), [objects["host"], objects["theirs"], objects["memory"], "-lm", "-lc"])
    flash, ram = sizes(elf, {"host.o", "memory.o"})
    (heap,), stack = machines.run(machine, elf)
    return flash, ram + int.from_bytes(heap, "little") + stack


def least(machine, folder, generate, models, shape, classes):
    """The least flash and the least RAM of any form; one that the tool refuses is none."""
    found, said = [], ""
    for model in models:
        try: found.append(theirs(machine, folder, generate, model, shape, classes))
        except AssertionError as e: said = str(e)
    assert found, said
    return min(flash for flash, _ in found), min(ram for _, ram in found)


def main():
    try: import make_models
    except ImportError as e: sys.exit(print(f"skip: {e.name} is not installed") or 77)
    machine = machines.MACHINES["m4"]
    if machine.missing() or not os.path.exists(EMX): sys.exit(print("skip: not installed:", *machine.missing(), "emx-onnx-cgen") or 77)
    peers = {"emx-onnx-cgen": emx, **({"onnx2c": onnx2c} if ONNX2C else {})}
    if not ONNX2C: print("skip: onnx2c is not there (ONNX2C=its path)", file=sys.stderr)
    print("|".join(["", "model", *(f"{who} {what}" for what in ("flash", "RAM") for who in ("our", *peers)), ""]), "|---" * (3 + 2 * len(peers)) + "|", sep="\n")
    shapes = {"digits": ([1, 1, 8, 8], 10), "keyword": ([1, 1, 49, 10], 12)}
    for name in sys.argv[1:] or shapes:
        with tempfile.TemporaryDirectory() as folder:
            quantized = make_models.make(name, folder)
            forms, plain = [quantized, make_models.operators(name, folder)], quantized[:-5] + "_float.onnx"
            for title, models, integer in ((f"{name}, 8 bits", forms, True), (f"{name}, floats", [plain], False)):
                rows = [ours(machine, folder, models[0], integer), *(least(machine, folder, generate, models, *shapes[name]) for generate in peers.values())]
                print("|".join(["", title, *(str(row[k]) for k in (0, 1) for row in rows), ""]), flush=True)


if __name__ == "__main__":
    main()
