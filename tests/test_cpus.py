#!/usr/bin/env python3
"""Models compiled for several CPUs, and for another machine, give the interpreter's answers.

    tests/test_cpus.py versions [MODEL...]   each version of --cpu=x86-64,..,x86-64-v4-vnni that this machine runs: executables,
                                             objects, assembler and LLVM text; weights stored once; C text without warnings
    tests/test_cpus.py emulated [MODEL...]   the same executables on CPUs that qemu-x86_64 knows and that have less than
                                             this machine: no illegal instruction, the right version; a CPU that is too
                                             narrow ends in a message and in a status
    tests/test_cpus.py aarch64 [MODEL...]    --cpu=neon through the cross compiler and through LLVM, under qemu-aarch64

One line per model; the last line counts. 77: skipped, with the reason, where a tool is missing.
"""
import ast, json, os, platform, shutil, struct, subprocess, sys, tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests"))
from test_emitted import small_models

TENON = os.environ.get("TENON", os.path.join(ROOT, "build/release/tenon"))
LEVELS = {"x86-64": 1, "x86-64-v3": 3, "x86-64-v4": 4, "x86-64-v4-vnni": 5} # as ir/targets.def has them
CPUS = list(LEVELS)
LIST = ",".join(CPUS)
WARNINGS = ["-std=c11", "-pedantic", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror"]
EXAMPLES = {"digits": ["--dim", "N=3"], "heat": ["--dim", "H=9", "--dim", "W=11"], "filter": []}
SIZES = {"T": 37} # of dimensions that stay open
SMALL = {"conv": [], "lstm": [], "integers": [], "dynamic": ["--dim", "batch=5"]}
# Dot products of bytes, up to 255 by any byte, stored as they are and through an epilogue; 45 columns are no whole vectors.
# Those that saturate do; halves go from -32768 to 32767.
DOTS = """model dots(x: u8[1, 9, 9, 32], w: i32[2, 3, 3, 8, 32], u: i32[2, 3, 3, 16, 16], z: u8[5, 64], v: i32[3, 16, 15]) ->
        (y: i32[1, 7, 7, 64], q: u8[5, 45], s: i32[1, 7, 7, 64], t: i32[5, 45], h: i32[1, 7, 7, 32], p: i32[5, 45]) {
    y = conv_dot(words(x*15 + 15), w*123456789, stride: [1, 1], dilation: [1, 1], block: 32)
    q = cast(min(max(cast(matmul_dot(words(z*15 + 15), v*987654321, block: 15), f32)*0.001 + 128, 0), 255), u8)
    ends = cast(cast(z % 2, i32)*255, u8)
    s = conv_dot_sat(words(x*15 + 15), w*123456789, stride: [1, 1], dilation: [1, 1], block: 32)
    t = matmul_dot_sat(words(ends), v*987654321, block: 15)
    h = conv_dot2(pairs(cast(x, u16)*4111 + 32767), u*123456789, stride: [1, 1], dilation: [1, 1], block: 16)
    p = matmul_dot2(pairs(cast(z[:, 0:32], u16)*4111), v*987654321, block: 15)
}
"""
# Products as models have them, of bytes that are 0 or 255, by weights that fit sums of 16 bits to the last unit and by others.
# Depthwise convolutions, too, at widths that fill no words, with each number of words.
FITS = """model fits(x: u8[5, 4], m: u8[1, 20, 7, 11]) -> (fit: i32[5, 18], beyond: i32[5, 18], a: i32[1, 20, 7, 11], b: i32[1, 20, 4, 6], c: i32[1, 20, 7, 13], d: i32[1, 20, 2, 3]) {
    ends = cast(cast(x % 2, i32)*255, u8)
    edge = cast(cast(cast(m % 2, i32)*255, u8), i32) - 7
    a = conv(edge, cast(THREE, i32), group: 20, pad: 1)
    b = conv(edge, cast(THREE, i32), group: 20, pad: 1, stride: 2)
    c = conv(edge, cast(SEVEN, i32), group: 20, pad: [0, 4], pad_after: [0, 4])
    d = conv(edge, cast(THREE, i32), group: 20, stride: 4)
    fit = matmul(cast(ends, i32) - 3, cast([FIT], i32))
    beyond = matmul(cast(ends, i32) - 3, cast([BEYOND], i32))
}
""".replace("FIT", ", ".join(str([a]*18) for a in (127, 1, -128, 0))).replace("BEYOND", ", ".join(str([a, b]*9) for a, b in ((127, -128), (2, -1), (-128, 127), (-128, 127))))
FITS = FITS.replace("THREE", str([[[[127, -127, 127], [-1, 2, 3], [127, 127, 126]]]] * 20)).replace("SEVEN", str([[[[127, -127, 127, 1, 2, 3, -127]]]] * 20))
FORMATS = {"f64": "d", "f32": "f", "i8": "b", "i16": "h", "i32": "i", "i64": "q", "u8": "B", "u16": "H", "u32": "I", "u64": "Q", "bool": "?"}
CROSS = ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"]


class Wrong(Exception):
    pass


def ask(command, folder):
    r = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, errors="replace")
    return r.returncode, r.stdout, r.stderr


def must(what, command, folder):
    status, out, err = ask(command, folder)
    if status: raise Wrong(f"{what}: status {status}\n{(out + err)[-2000:]}")
    return out


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(77)


def write_npy(path, dtype, shape):
    n = 1
    for size in shape: n *= size
    if dtype in ("f32", "f64"): values = [((i * 7919 + 13) % 1009) / 504.5 - 1 for i in range(n)]
    else: values = [(i * 37 + 5) % (2 if dtype == "bool" else 17) for i in range(n)]
    code = {"f": "f", "d": "f", "?": "b"}.get(FORMATS[dtype], "u" if FORMATS[dtype].isupper() else "i")
    header = repr({"descr": f"<{code}{struct.calcsize(FORMATS[dtype])}".replace("<b", "|b"), "fortran_order": False, "shape": tuple(shape)}).encode()
    header += b" " * (63 - (len(header) + 10) % 64) + b"\n"
    with open(path, "wb") as f: f.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + struct.pack(f"<{n}{FORMATS[dtype]}", *values))


def read_npy(path):
    with open(path, "rb") as f: data = f.read()
    end = 10 + struct.unpack("<H", data[8:10])[0]
    header = ast.literal_eval(data[10:end].decode())
    kind, size = header["descr"][1], int(header["descr"][2:])
    code = {"f4": "f", "f8": "d", "b1": "?"}.get(f"{kind}{size}") or {1: "b", 2: "h", 4: "i", 8: "q"}[size]
    if kind == "u": code = code.upper()
    return header["shape"], kind, struct.unpack(f"<{(len(data) - end) // size}{code}", data[end:])


class Model:
    def __init__(self, name, path, options, folder):
        self.name, self.path, self.options, self.folder = name, path, options, folder
        must("compile", [TENON, "compile", path, "-o", "first.c", "--abi-json=abi.json", "--quiet", *options], folder)
        with open(os.path.join(folder, "abi.json")) as f: abi = json.load(f)
        self.inputs, self.n_outputs, self.abi, self.is_open = [], len(abi["outputs"]), abi, False
        for i, tensor in enumerate(abi["inputs"]):
            self.is_open |= any(size in SIZES for size in tensor["shape"])
            write_npy(os.path.join(folder, f"in{i}.npy"), tensor["dtype"], [SIZES.get(size, size) for size in tensor["shape"]])
            self.inputs += ["--input", f"{tensor['name']}=in{i}.npy"]
        must("interpret", [TENON, "run", path, "--target=interpreter", "--output-dir", "expected", *self.inputs, *options], folder)

    def compile(self, out, *more):
        return must(f"compile {out} {' '.join(more)}", [TENON, "compile", self.path, "-o", out, *self.options, *more], self.folder)

    def compare(self, what, command):
        """Runs an executable, and its answers are the interpreter's."""
        shutil.rmtree(os.path.join(self.folder, "got"), ignore_errors=True)
        must(what, [*command, "--output-dir", "got", *self.inputs], self.folder)
        for i in range(self.n_outputs):
            shape, kind, got = read_npy(os.path.join(self.folder, f"got/output_{i}.npy"))
            right_shape, _, right = read_npy(os.path.join(self.folder, f"expected/output_{i}.npy"))
            if shape != right_shape: raise Wrong(f"{what}: output {i} has shape {shape}, not {right_shape}")
            for k, (a, b) in enumerate(zip(got, right)):
                if a != b and not (kind == "f" and (abs(a - b) <= 1e-5 + 1e-4 * abs(b) or (a != a and b != b))):
                    raise Wrong(f"{what}: output {i} element {k} is {a}, the interpreter says {b}")


def known_cpus(model, executable):
    """The CPUs whose code runs here: it is chosen without --cpu, and is the last of them."""
    ran = [cpu for cpu in CPUS if ask([executable, "--cpu", cpu, "--random", "1"], model.folder)[0] == 0]
    if not ran or ran != CPUS[:len(ran)]: raise Wrong(f"{executable} runs the code of {ran}")
    return ran


# A host for NAME_run as a header, an object and a descriptor give it: prints the status, and every output's bytes summed.
HOST = """
#include "m.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(void)
{
    static _Alignas(64) unsigned char arena[%(ARENA)s + 64], in[%(N)d][65536], out[%(N)d][65536];
    const void *inputs[%(N)d];
    void *outputs[%(N)d];
    for (int i = 0; i < %(N)d; i++) inputs[i] = memset(in[i], 0, sizeof in[i]), outputs[i] = out[i];
    printf("%%d", %(NAME)s_run((const void *)inputs, (const void *)outputs, arena));
    for (int i = 0; i < %(N)d; i++) {
        unsigned long sum = 0;
        for (int k = 0; k < 65536; k++) sum = sum * 31 + out[i][k];
        printf(" %%lu", sum);
    }
    printf("\\n");
    return 0;
}
"""


def check_texts(model, cpus=LIST, then=lambda what: None):
    """C, objects, assembler and LLVM text: NAME_run through each gives the same status and bytes."""
    folder, answers = model.folder, {}
    if model.is_open: return answers # the host below takes no sizes
    model.compile("m.c", f"--cpu={cpus}", "--quiet")
    for compiler in ("gcc", "clang"):
        for level in ("-O0", "-O2"): must(f"{compiler} {level}", [compiler, *WARNINGS, level, "-c", "m.c", "-o", f"m_{compiler}.o"], folder)
    with open(os.path.join(folder, "m.h")) as f: header = f.read()
    name = model.abi["symbol"][:-len("_plain")]
    with open(os.path.join(folder, "host.c"), "w") as f:
        f.write(HOST % {"NAME": name, "N": max(len(model.abi["inputs"]), model.n_outputs), "ARENA": name.upper() + "_ARENA_BYTES" if "_ARENA_BYTES" in header else "1"})
    weights = ["m_weights.S"] if os.path.exists(os.path.join(folder, "m_weights.S")) else []
    made = {"gcc's object": ["m_gcc.o", *weights], "clang's object": ["m_clang.o", *weights]}
    for target in ("c", "llvm"):
        for suffix in ("o", "a"):
            model.compile(f"m_{target}.{suffix}", f"--cpu={cpus}", f"--target={target}", "--quiet")
            made[f"{target} .{suffix}"] = [f"m_{target}.{suffix}"]
    model.compile("c.s", f"--cpu={cpus}", "--quiet")
    made["c .s"] = ["c.s", *weights]
    if weights: # kernels and NAME_run alone: small weights are part of the C text
        model.compile("l.s", f"--cpu={cpus}", "--target=llvm", "--quiet")
        made["llvm .s"] = ["l.s", *weights]
        llc = shutil.which("llc-19") or shutil.which("/usr/lib/llvm-19/bin/llc")
        if llc:
            model.compile("l.ll", f"--cpu={cpus}", "--quiet")
            must("llc", [llc, "-relocation-model=pic", "-filetype=obj", "l.ll", "-o", "l.o"], folder)
            made["llvm .ll"] = ["l.o", *weights]
    for what, files in made.items():
        must(f"link {what}", ["gcc", "-w", "host.c", *files, "-Wa,-I.", "-o", "host", "-lm"], folder)
        answers[what] = must(f"run {what}", ["./host"], folder).split()
        if answers[what][0] != "0": raise Wrong(f"{what}: status {answers[what][0]}")
        then(what)
    return answers


def check_level(model, widest):
    """LLVM text finds the level that the executable goes by: several versions would give the same answers."""
    llc = shutil.which("llc-19") or shutil.which("/usr/lib/llvm-19/bin/llc")
    if not llc: return
    model.compile("v.ll", f"--cpu={LIST}", "--quiet")
    path = os.path.join(model.folder, "v.ll")
    with open(path) as f: text = f.read()
    if "define internal i32 @cpu_level(" not in text: raise Wrong("LLVM text has no cpu_level")
    with open(path, "w") as f: f.write(text.replace("define internal i32 @cpu_level(", "define i32 @cpu_level("))
    with open(os.path.join(model.folder, "level.c"), "w") as f:
        f.write('#include <stdio.h>\nint cpu_level(void);\nint main(void)\n{\n    printf("%d\\n", cpu_level());\n    return 0;\n}\n')
    must("llc", [llc, "-relocation-model=pic", "-filetype=obj", "v.ll", "-o", "v.o"], model.folder)
    must("link level", ["gcc", "level.c", "v.o", "-o", "level", "-lm"], model.folder)
    level = int(must("run level", ["./level"], model.folder))
    found = [cpu for cpu in CPUS if LEVELS[cpu] <= level]
    if not found or found[-1] != widest: raise Wrong(f"LLVM text finds level {level}, the executable runs {widest}")


def check_versions(model):
    for target in ("c", "llvm"):
        report = json.loads(model.compile(f"m_{target}", f"--cpu={LIST}", f"--target={target}", "--json", "--quiet"))
        own = [cpu["weight_bytes"] for cpu in report["cpus"]]
        if [cpu["name"] for cpu in report["cpus"]] != CPUS: raise Wrong(f"versions {report['cpus']}")
        if report["weight_bytes"] + report["shared_weight_bytes"] != sum(own): raise Wrong(f"weights {report}")
        if max(own) > 4096 and report["weight_bytes"] >= sum(own): raise Wrong(f"no weights are shared: {report}")
        ran = known_cpus(model, f"./m_{target}")
        for cpu in ran: model.compare(f"{target} {cpu}", [f"./m_{target}", "--cpu", cpu])
        model.compare(f"{target}, chosen", [f"./m_{target}"])
        model.compile(f"t_{target}", f"--cpu={LIST}", f"--target={target}", "--threads=3", "--grain=1", "--quiet")
        for cpu in ran: model.compare(f"{target} {cpu} on threads", [f"./t_{target}", "--cpu", cpu])
        model.compile(f"w_{target}", f"--cpu={LIST}", f"--target={target}", "--weights=file", "--quiet")
        if os.path.exists(os.path.join(model.folder, f"w_{target}.weights")):
            model.compare(f"{target} with a weights file", [f"./w_{target}", "--weights", f"w_{target}.weights"])
    if model.name == "dots":
        check_level(model, ran[-1]) # it has no weights that the text would ask for
        model.compile("plain", "--portable", "--quiet")
        model.compare("portable", ["./plain"])
        with open("/proc/cpuinfo") as f: here = " avx_vnni" in f.read()
        check_instruction(model, "{vex} vpdpbusd", "--cpu=x86-64-v3", ["gcc", "-mavxvnni"], [] if here else None)
    answers = check_texts(model)
    return f"{len(ran)} versions run here; {len(answers)} ways to link"


def emulate_host(model, what, status):
    """What was linked for here gives this status on a narrow machine."""
    out = must(f"{what} on Nehalem", ["qemu-x86_64", "-cpu", "Nehalem", "./host"], model.folder)
    if out.split()[0] != status: raise Wrong(f"{what} on Nehalem: {out}, not {status}")


def check_emulated(model):
    done = []
    for target in ("c", "llvm"):
        model.compile(f"m_{target}", f"--cpu={LIST}", f"--target={target}", "--quiet")
        model.compile(f"n_{target}", "--cpu=x86-64-v3,x86-64-v4", f"--target={target}", "--quiet")
        for cpu, widest in (("qemu64", 0), ("Nehalem", 0), ("Haswell", 1)):
            emulator = ["qemu-x86_64", "-cpu", cpu]
            ran = [c for c in CPUS if ask([*emulator, f"./m_{target}", "--cpu", c, "--random", "1"], model.folder)[0] == 0]
            if ran != CPUS[:widest + 1]: raise Wrong(f"on {cpu} {target} runs the code of {ran}")
            for c in ran: model.compare(f"{target} {c} on {cpu}", [*emulator, f"./m_{target}", "--cpu", c])
            model.compare(f"{target}, chosen, on {cpu}", [*emulator, f"./m_{target}"])
            done.append(cpu)
        status, _, err = ask(["qemu-x86_64", "-cpu", "Nehalem", f"./n_{target}", "--random", "1"], model.folder)
        if status != 1 or "lacks instructions of x86-64-v3" not in err: raise Wrong(f"too narrow a CPU: status {status}, {err}")
    for cpus, status in ((LIST, "0"), ("x86-64-v3,x86-64-v4", "-3")): # -3: TENON_NO_CPU
        if model.name == "conv": check_texts(model, cpus, lambda what: emulate_host(model, what, status))
    return "qemu64, Nehalem and Haswell"


def check_instruction(model, instruction, cpu, compiler, runs):
    """C text with the instruction that these flags allow gives the interpreter's answers. runs: the command in front, None: not here."""
    model.compile("i.c", cpu, "--quiet")
    with open(os.path.join(model.folder, "cc"), "w") as f: f.write(f'#!/bin/sh\nexec {" ".join(compiler)} "$@"\n')
    os.chmod(os.path.join(model.folder, "cc"), 0o755)
    must(f"warnings with {instruction}", [*compiler, *WARNINGS, "-O2", "-S", "i.c", "-o", "i.s"], model.folder)
    with open(os.path.join(model.folder, "i.s")) as f:
        if instruction not in f.read(): raise Wrong(f"{' '.join(compiler)}: no {instruction}")
    if runs is None: return
    model.compile("i", cpu, "--target=c", f"--cc={model.folder}/cc", "--quiet")
    model.compare(instruction, [*runs, "./i"])


def check_aarch64(model):
    for target in ("c", "llvm"):
        model.compile(f"m_{target}", "--cpu=neon", f"--target={target}", "--cc=aarch64-linux-gnu-gcc", "--quiet")
        model.compare(f"{target} on aarch64", [*CROSS, f"./m_{target}"])
    model.compile("m.c", "--cpu=neon", "--quiet")
    must("warnings", ["aarch64-linux-gnu-gcc", *WARNINGS, "-O2", "-c", "m.c", "-o", "m.o"], model.folder)
    if model.name == "dots": check_instruction(model, "usdot", "--cpu=neon", ["aarch64-linux-gnu-gcc", "-march=armv8.2-a+i8mm"], ["qemu-aarch64", "-cpu", "max", *CROSS[1:]])
    return "C and LLVM"


def tools_for(way):
    if way == "aarch64":
        if not shutil.which("aarch64-linux-gnu-gcc") or not shutil.which("qemu-aarch64"): skip("needs aarch64-linux-gnu-gcc and qemu-aarch64")
        return
    if platform.machine() != "x86_64" or not shutil.which("clang"): skip("needs an x86-64 machine and clang")
    if way == "emulated" and not shutil.which("qemu-x86_64"): skip("needs qemu-x86_64")


def main():
    ways = {"versions": check_versions, "emulated": check_emulated, "aarch64": check_aarch64}
    if len(sys.argv) < 2 or sys.argv[1] not in ways:
        print(__doc__)
        return 2
    tools_for(sys.argv[1])
    if "with LLVM" not in subprocess.run([TENON, "--version"], capture_output=True, text=True).stdout: skip("needs a tenon with LLVM")
    models = tempfile.mkdtemp(prefix="cpus-models-")
    work = [(name, os.path.join(ROOT, f"examples/{name}.tn"), options) for name, options in EXAMPLES.items()]
    work += [(name, path, SMALL[name]) for name, path, _ in small_models(models) if name in SMALL]
    for name, text in ("dots", DOTS), ("fits", FITS):
        work.append((name, os.path.join(models, name + ".tn"), []))
        with open(work[-1][1], "w") as f: f.write(text)
    passed = failed = 0
    for name, path, options in work:
        if len(sys.argv) > 2 and name not in sys.argv[2:]: continue
        folder = tempfile.mkdtemp(prefix="cpus-")
        try:
            print(f"pass {name}: {ways[sys.argv[1]](Model(name, path, options, folder))}", flush=True)
            passed += 1
        except Wrong as wrong:
            print(f"fail {name}: {wrong}", flush=True)
            failed += 1
        finally:
            shutil.rmtree(folder)
    shutil.rmtree(models)
    print(f"{passed} passed, {failed} failed")
    return failed > 0 or passed == 0


if __name__ == "__main__":
    sys.exit(main())
