#!/usr/bin/env python3
"""No hot loop keeps its sums on the stack: what the code generators made of our register tiles.

    tests/test_disassembly.py [--report | --update] [KERNEL...]

--report: one line per hot loop, and never a failure. --update: what spills is written to disassembly_known.txt.

Each kernel of KERNELS is compiled for x86-64-v3 and x86-64-v4 through LLVM, gcc and clang, those on bytes for
x86-64-v4-vnni as well, and disassembled (never run). A hot loop is a backward branch with multiply-adds (of floats or
bytes) between its ends and no other loop inside. Wrong in one:
  - a vector register moved from or to a fixed place in the stack frame, or an operand there: more sums than registers;
  - for x86-64-v4 and -vnni: no multiply-add on zmm registers in the function's busiest loop;
  - for x86-64-v4-vnni, in kernels on bytes: no dot product in one instruction.
A place with an index register is an array of the kernel's, not a spill. First, code that is known to be wrong in each
of these ways has to be reported, and code that is right not. The last line counts. 77: skipped, no objdump or not x86.
"""
import argparse, json, math, os, platform, re, shutil, struct, subprocess, sys, tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TENON = os.environ.get("TENON", os.path.join(ROOT, "build/release/tenon"))
CPUS = ["x86-64-v3", "x86-64-v4"]
VNNI = "x86-64-v4-vnni"
KERNELS = { # a model, and its parameters
    "matmul": ("(x: f32[128, 384]) -> (y: f32[128, 384]) { y = nn.dense(x, 384) @ p }", [384, 384]),
    "product": ("(a: f32[128, 384], b: f32[384, 384]) -> (y: f32[128, 384]) { y = matmul(a, b) }", None),
    "row": ("(x: f32[1, 768]) -> (y: f32[1, 768]) { y = nn.dense(x, 768) @ p }", [768, 768]),
    "conv3x3": ("(x: f32[1, 64, 56, 56]) -> (y: f32[1, 64, 56, 56]) { y = relu(nn.conv(x, 64, kernel: 3, pad: 1) @ p) }", [64, 64, 3, 3]),
    "conv3x3_stride2": ("(x: f32[1, 64, 56, 56]) -> (y: f32[1, 128, 28, 28]) { y = relu(nn.conv(x, 128, kernel: 3, pad: 1, stride: 2) @ p) }", [128, 64, 3, 3]),
    "pointwise": ("(x: f32[1, 64, 56, 56]) -> (y: f32[1, 256, 56, 56]) { y = relu(nn.conv(x, 256, kernel: 1) @ p) }", [256, 64, 1, 1]),
    "dot3x3": ("(x: u8[1, 58, 58, 64], w: i32[1, 3, 3, 16, 64]) -> (y: u8[1, 56, 56, 64]) { y = cast(max(cast(conv_dot(words(x), w, stride: [1, 1], dilation: [1, 1], block: 64), f32)*0.001, 0), u8) }", None),
    "dot_product": ("(x: u8[128, 384], w: i32[6, 96, 64]) -> (y: i32[128, 384]) { y = matmul_dot(words(x), w, block: 64) }", None),
    "halves3x3": ("(x: u16[1, 58, 58, 64], w: i32[4, 3, 3, 32, 16]) -> (y: u8[1, 56, 56, 64]) { y = cast(max(cast(conv_dot2(pairs(x), w, stride: [1, 1], dilation: [1, 1], block: 16), f32)*0.001, 0), u8) }", None),
    "saturating": ("(x: u8[128, 384], w: i32[24, 96, 16]) -> (y: i32[128, 384]) { y = matmul_dot_sat(words(x), w, block: 16) }", None),
    "depthwise": ("(x: f32[1, 96, 56, 56]) -> (y: f32[1, 96, 56, 56]) { y = relu(nn.conv(x, 96, kernel: 3, pad: 1, group: 96) @ p) }", [96, 1, 3, 3]),
}

# Lines "kernel CPU compiler" of what spills today, with Debian 12's compilers; --update rewrites it.
KNOWN = os.path.join(ROOT, "tests/disassembly_known.txt")

LINE = re.compile(r"^ *([0-9a-f]+):\s+(\S+)\s*([^#<]*)(?:<([^>]*)>)?")
VECTOR = re.compile(r"%[xyz]mm\d+")
FRAME = re.compile(r"(?<![\w,(])-?(?:0x[0-9a-f]+)?\((%rsp|%rbp)\)")


class Loop:
    def __init__(self, name, body, has_frame_pointer):
        self.name, self.body = name, body
        self.products = [i for i in body if i[1].startswith(("vfmadd", "vfnmadd", "vfmsub", "vpmaddwd", "vpdpbusd", "{vex} vpdpbusd"))]
        self.dots = sum("vpdpbusd" in i[1] for i in self.products)
        self.wide = sum("%zmm" in i[2] for i in self.products)
        self.spills = []
        for at, operation, operands in body:
            place = FRAME.search(operands)
            if place and VECTOR.search(operands) and (place[1] == "%rsp" or has_frame_pointer):
                self.spills.append(f"{operation} {operands.strip()}")


def functions_of(objdump_text):
    """(name, [(address, operation, operands)]) of each function."""
    name, lines = None, []
    for line in objdump_text.splitlines():
        head = re.match(r"^[0-9a-f]+ <([^>]*)>:", line)
        if head:
            if name: yield name, lines
            name, lines = head[1], []
            continue
        m = LINE.match(line)
        if m and name: lines.append((int(m[1], 16), m[2], m[3]))
    if name: yield name, lines


def hot_loops(path):
    text = subprocess.run(["objdump", "-d", "--no-show-raw-insn", "-j.text", path], capture_output=True, text=True, check=True).stdout
    for name, lines in functions_of(text):
        first, last = (lines[0][0], lines[-1][0]) if lines else (0, -1)
        ranges = set()
        for at, operation, operands in lines:
            m = re.match(r"^([0-9a-f]+)\s*$", operands)
            if operation.startswith("j") and m and first <= int(m[1], 16) <= at <= last: ranges.add((int(m[1], 16), at))
        has_frame_pointer = any(o == "mov" and a.strip() == "%rsp,%rbp" for _, o, a in lines[:12])
        for lo, hi in sorted(ranges):
            if any((a, b) != (lo, hi) and lo <= a and b <= hi for a, b in ranges): continue
            loop = Loop(name, [i for i in lines if lo <= i[0] <= hi], has_frame_pointer)
            if loop.products: yield loop


def faults(path, cpu, report=None):
    """What is wrong in an object file, as texts."""
    loops, wrong = list(hot_loops(path)), []
    if not loops: wrong.append("no loop with multiply-adds")
    for loop in loops:
        if report: report(f"{loop.name}: {len(loop.body)} instructions, {len(loop.products)} multiply-adds, {loop.wide} on zmm, {len(loop.spills)} in the frame")
        if loop.spills: wrong.append(f"{loop.name}: {len(loop.spills)} vector operands in the frame of a loop of {len(loop.body)} instructions: {'; '.join(loop.spills[:3])}")
    for name in sorted({loop.name for loop in loops}):
        busiest = max((loop for loop in loops if loop.name == name), key=lambda loop: len(loop.products))
        if cpu != CPUS[0] and not busiest.wide: wrong.append(f"{name}: no zmm registers in the busiest loop")
        if cpu == VNNI and not busiest.dots: wrong.append(f"{name}: no dot product in one instruction in the busiest loop")
    return wrong


# A product of `rows` by `columns` vectors of `bytes`: rows * columns sums. 12 fit into 16 registers, 32 do not.
PLANTED = """
#include <immintrin.h>
typedef float vector __attribute__((vector_size(BYTES), aligned(4)));
void planted(const float *a, const float *b, float *y, long n)
{
    vector sum[ROWS][COLUMNS] = {0};
    for (long k = 0; k < n; k++) {
#pragma GCC unroll 32
        for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 32
            for (int j = 0; j < COLUMNS; j++)
                sum[i][j] += a[k * ROWS + i] * *(const vector *)(b + (k * COLUMNS + j) * (BYTES / 4));
    }
#pragma GCC unroll 32
    for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 32
        for (int j = 0; j < COLUMNS; j++) *(vector *)(y + (i * COLUMNS + j) * (BYTES / 4)) = sum[i][j];
}
"""


def planted(compiler, folder):
    """Whether the search finds what it must: (rows, columns, bytes, CPU, part of the report or None)."""
    source, made = os.path.join(folder, "planted.c"), os.path.join(folder, "planted.o")
    with open(source, "w") as f: f.write(PLANTED)
    bad = 0
    for rows, columns, n_bytes, cpu, expected in (
            (6, 2, 32, CPUS[0], None), (8, 4, 32, CPUS[0], "in the frame"), (6, 2, 64, CPUS[1], None),
            (12, 4, 64, CPUS[1], "in the frame"), (6, 2, 32, CPUS[1], "no zmm")):
        subprocess.run([compiler, "-O2", "-ffp-contract=fast", "-fno-tree-vectorize", "-mavx2", "-mfma", *(["-mavx512f"] if n_bytes == 64 else []), f"-DROWS={rows}",
                        f"-DCOLUMNS={columns}", f"-DBYTES={n_bytes}", "-c", source, "-o", made], check=True)
        wrong = faults(made, cpu)
        if bool(wrong) != bool(expected) or (expected and expected not in wrong[0]):
            print(f"fail planted {rows}x{columns} of {n_bytes} bytes through {compiler}: expected {expected}, found {wrong}")
            bad += 1
    return bad


def write_model(name, folder):
    """The kernel as a model, with weights beside it that are no two alike (constants would fold)."""
    text, shape = KERNELS[name]
    if shape: text = text.replace("{ y", f'{{\n    weights "{name}.safetensors"\n    y').replace(" }", "\n}")
    with open(os.path.join(folder, name + ".tn"), "w") as f: f.write(f"import nn\n\nmodel {name}{text}\n")
    if not shape: return
    bias = shape[:1]
    n, n_bias = 4 * math.prod(shape), 4 * math.prod(bias)
    header = json.dumps({"p.weight": {"dtype": "F32", "shape": shape, "data_offsets": [0, n]}, "p.bias": {"dtype": "F32", "shape": bias, "data_offsets": [n, n + n_bias]}}).encode()
    with open(os.path.join(folder, name + ".safetensors"), "wb") as f:
        f.write(struct.pack("<Q", len(header)) + header)
        f.write(struct.pack(f"<{(n + n_bias) // 4}f", *(((i * 7919) % 65521) / 65521 for i in range((n + n_bias) // 4))))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--update", action="store_true")
    parser.add_argument("names", nargs="*", default=list(KERNELS))
    args = parser.parse_args()
    if platform.machine() != "x86_64" or not shutil.which("objdump"):
        print("skipped: needs an x86-64 machine and objdump")
        sys.exit(77)
    compilers = [c for c in ("gcc", "clang") if shutil.which(c)]
    ways = {c: ["--target=c", f"--cc={c}"] for c in compilers}
    if "with LLVM" in subprocess.run([TENON, "--version"], capture_output=True, text=True).stdout: ways["llvm"] = ["--target=llvm"]
    folder, passed, failed, spilling, mended = tempfile.mkdtemp(prefix="disassembly-"), 0, 0, [], []
    with open(KNOWN) as f: known = f.read().splitlines()
    for compiler in compilers: failed += planted(compiler, folder)
    for name in args.names:
        model, made = os.path.join(folder, name + ".tn"), os.path.join(folder, name + ".o")
        write_model(name, folder)
        for cpu in CPUS + [VNNI]*name.startswith("dot"):
            for way, options in ways.items():
                r = subprocess.run([TENON, "compile", model, "-o", made, f"--cpu={cpu}", "--quiet", *options], capture_output=True, text=True)
                say = (lambda text: print(f"  {cpu} {way} {text}")) if args.report else None
                wrong = [r.stderr.strip()] if r.returncode else faults(made, cpu, say)
                line = f"{name} {cpu} {way}"
                if any("in the frame" in text for text in wrong): spilling.append(line)
                elif line in known: mended.append(line)
                wrong = [text for text in wrong if line not in known or "in the frame" not in text]
                for text in wrong: print(f"fail {line}: {text}", flush=True)
                passed, failed = passed + (not wrong), failed + bool(wrong)
    shutil.rmtree(folder)
    for text in mended: print(f"no longer spills: {text} (--update takes it out)")
    if args.update:
        with open(KNOWN, "w") as f: f.writelines(line + "\n" for line in sorted(spilling))
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0 and not args.report and not args.update)


main()
