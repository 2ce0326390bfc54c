#!/usr/bin/env python3
"""Emitted C under everything that finds mistakes in C: compilers' warnings, sanitizers, valgrind, guard pages.

    tests/test_emitted.py [--models DIR] [MODEL...]     default: examples/*.tn and the small models written here

For each model:
  - the C text for the native, the x86-64-v3 and the portable target compiles with gcc and clang under
    -std=c11 -Wall -Wextra -Wconversion -Werror;
  - it runs in emitted_host.c with address and undefined-behaviour sanitizers, with guard pages round exact buffers while
    allocation ends the process, and (portable and v3; not those of DIR) under valgrind;
  - two compiler runs give the same bytes: C text, objects and libraries through either back end;
  - the arena that `check --json` reports is the one that the descriptor asks for, and at most 1.15 times the largest
    live set (plus 63 bytes of alignment per buffer of it for tiny ones: the ratio is asked for above 64 KiB);
  - names of files appear in the text only as identifiers and escaped (hostile names: see HOSTILE).
One line per model; the last line counts. Needs no Python packages.
"""
import argparse, filecmp, glob, json, os, re, shutil, subprocess, sys, tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests/malformed"))
from protobuf import *

TENON = os.environ.get("TENON", os.path.join(ROOT, "build/release/tenon"))
HOST = os.path.join(ROOT, "tests/emitted_host.c")
WARNINGS = ["-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
ENVIRONMENT = dict(os.environ, ASAN_OPTIONS="detect_leaks=0", TMPDIR=tempfile.gettempdir())
HOSTILE = ["*/ evil_comment /*", "line\nevil_line", "#include <evil_header.h>", '"evil_quote\\', "??/\nevil_trigraph", "%sevil_percent%n",
           "//\\\nevil_splice", "\x1b[31mevil_escape", "evil_" + "x" * 3000, "\u202eevil_bidi", "evil;}{", "1evil", "int", "_Bool",
           "struct", "NULL", "int64_t", "memcpy", "main", "__attribute__", "asm", "linux", "unix", "restrict", "", "a b", "a_b", "a.b"]


def ask(command, folder, **more):
    r = subprocess.run(command, cwd=folder, capture_output=True, timeout=300, env=ENVIRONMENT, **more)
    return r.returncode, (r.stdout + r.stderr).decode(errors="replace")


class Wrong(Exception):
    pass


def must(what, command, folder):
    status, text = ask(command, folder)
    if status:
        raise Wrong(f"{what}: status {status}\n" + "\n".join("    " + line for line in text.splitlines()[:12]))
    return text


def host_command(compiler, flags, folder, out, weights):
    with open(os.path.join(folder, "m.h")) as f:
        header = f.read()
    model = re.search(r"extern const struct tenon_model (\w+);", header).group(1)
    arena = re.search(r"#define (\w+_ARENA_BYTES)|int64_t (\w+_arena_bytes)\(", header)
    return [compiler, "-w", *flags, f'-DHEADER="m.h"', f"-DMODEL={model}", f"-DARENA_BYTES={arena.group(1) or model + '.arena_bytes'}",
            "-I.", "-o", out, HOST, "m.c", *weights, "-Wa,-I.", "-lm"]


def check_text(folder):
    """Nothing that came from a file may end a comment, start a line or leave a string."""
    for file in ("m.c", "m.h"):
        with open(os.path.join(folder, file), "rb") as f:
            text = f.read()
        if re.search(rb"[^\x09\x0a\x20-\x7e]", text):
            raise Wrong(f"{file}: bytes that are no plain ASCII")
        if ROOT.encode() in text or folder.encode() in text:
            raise Wrong(f"{file}: a path")
        if re.search(rb"\?\?[=/'()!<>-]", text):
            raise Wrong(f"{file}: a trigraph")
        bare = re.sub(rb'/\*.*?\*/|"(\\.|[^"\\\n])*"', b" ", text, flags=re.S)
        for word in re.findall(rb"\S*evil\S*", bare):
            if re.search(rb"[^\w\[\](){}.,;*&<>=/+-]", word) or re.search(rb"//|/\*|\*/", word):
                raise Wrong(f"{file}: a name as text: {word[:80]}")
        if re.search(rb"#\s*include[^\n]*evil|//[^\n]*evil|^\s*evil_\w+\s*$", bare, re.M):
            raise Wrong(f"{file}: a name as a line")


def check_target(name, path, target, folder, options, valgrind):
    must(f"{target}: compile", [TENON, "compile", path, "-o", "m.c", f"--cpu={target}", *options], folder)
    check_text(folder)
    weights = ["m_weights.S"] if os.path.exists(os.path.join(folder, "m_weights.S")) else []
    march = {"native": ["-march=native"], "x86-64-v3": ["-march=x86-64-v3"], "portable": []}[target]
    for compiler in ("gcc", "clang"):
        must(f"{target}: {compiler} warnings", [compiler, *WARNINGS, *march, "-O1", "-c", "m.c", "-o", "m.o"], folder)
    sanitize = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1"]
    for variant, flags in (("sanitizers", sanitize), ("guard pages", ["-DGUARDED", "-O1"])):
        must(f"{target}: build with {variant}", host_command("gcc", march + flags, folder, "host", weights), folder)
        text = must(f"{target}: run with {variant}", ["./host"], folder)
    if valgrind and target != "native":
        must(f"{target}: build for valgrind", host_command("gcc", march + ["-DUNTOUCHED", "-g", "-O1"], folder, "host", weights), folder)
        must(f"{target}: valgrind", ["valgrind", "-q", "--error-exitcode=9", "./host"], folder)
    return text


def check_bytes(path, folder, options):
    for suffix in ("c", "o", "so"):
        for target in ("c", "llvm"):
            if (suffix, target) == ("c", "llvm"):
                continue
            for turn in ("one", "two"):
                os.makedirs(os.path.join(folder, turn), exist_ok=True)
                must(f"compile .{suffix} through {target}", [TENON, "compile", path, "-o", f"{turn}/m.{suffix}", f"--target={target}", *options], folder)
            if not filecmp.cmp(os.path.join(folder, "one/m." + suffix), os.path.join(folder, "two/m." + suffix), shallow=False):
                raise Wrong(f".{suffix} through {target}: other bytes the second time")


def check_arena(path, folder, options):
    text = must("check", [TENON, "check", "--json", path, *options], folder)
    report = json.loads(text[text.index("{"):])
    arena, live = report["arena_bytes"], report["live_bytes"]
    if live > arena:
        raise Wrong(f"the largest live set has {live} bytes, the arena {arena}")
    if arena > 1.15 * live and arena > 65536:
        raise Wrong(f"the arena has {arena} bytes, the largest live set {live}: {arena / live:.3f}")
    return report


def check_model(name, path, options, valgrind=True, targets=("native", "x86-64-v3", "portable")):
    folder = tempfile.mkdtemp(prefix="emitted-")
    try:
        report = check_arena(path, folder, options)
        for target in targets:
            text = check_target(name, path, target, folder, options, valgrind)
        check_descriptor(report, folder)
        check_bytes(path, folder, options)
        return None
    except (Wrong, subprocess.TimeoutExpired) as wrong:
        return str(wrong)
    finally:
        shutil.rmtree(folder)


def check_descriptor(report, folder):
    """A model without open dimensions: `check` and the header name one number (targets may differ: ask again)."""
    with open(os.path.join(folder, "m.h")) as f:
        stated = re.search(r"_ARENA_BYTES (\d+)", f.read())
    if not stated:
        raise Wrong("the header states no arena")


def small_models(folder):
    """ONNX files of every kind of kernel, and one of hostile names."""
    def floats(*dims):
        n = 1
        for d in dims:
            n *= d
        return struct.pack(f"<{n}f", *[(i * 37 % 19 - 9) / 16 for i in range(n)])
    def weight(name, *dims):
        return tensor(name, dims, FLOAT, floats(*dims))
    def ints(name, *values):
        return tensor(name, (len(values),), INT64, struct.pack(f"<{len(values)}q", *values))
    files = {
        "conv": model(graph([node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2]), node("Relu", ["c"], ["r"]),
                             node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2]), node("Flatten", ["p"], ["f"]),
                             node("Gemm", ["f", "d"], ["g"]), node("Softmax", ["g"], ["y"], axis=1)],
                            [value("x", (1, 3, 13, 13))], [value("y", (1, 10))],
                            [weight("w", 5, 3, 3, 3), weight("b", 5), weight("d", 180, 10)])),
        "lstm": model(graph([node("LSTM", ["x", "w", "r", "b"], ["y"], hidden_size=7)], [value("x", (6, 2, 5))],
                            [value("y", (6, 1, 2, 7))], [weight("w", 1, 28, 5), weight("r", 1, 28, 7), weight("b", 1, 56)])),
        "dynamic": model(graph([node("MatMul", ["x", "w"], ["h"]), node("Gelu", ["h"], ["e"]), node("LayerNormalization", ["e", "s"], ["l"], axis=-1),
                                node("Concat", ["l", "x"], ["c"], axis=1), node("Transpose", ["c"], ["t"], perm=[1, 0]),
                                node("ReduceMean", ["t", "a"], ["y"])],
                               [value("x", ("batch", 11))], [value("y", (20,))], [weight("w", 11, 9), weight("s", 9), ints("a", 1)]), [opset(20)]),
        "integers": model(graph([node("Cast", ["x"], ["i"], to=INT32), node("Mul", ["i", "i"], ["m"]), node("Cast", ["m"], ["f"], to=FLOAT),
                                 node("TopK", ["f", "k"], ["v", "y"], axis=1), node("CumSum", ["f", "ax"], ["z"])],
                                [value("x", (3, 17), INT8)], [value("v", (3, 4)), value("y", (3, 4), INT64), value("z", (3, 17))],
                                [ints("k", 4), tensor("ax", (), INT64, struct.pack("<q", 1))])),
        "hostile": hostile(weight),
    }
    for name, data in files.items():
        with open(os.path.join(folder, name + ".onnx"), "wb") as f:
            f.write(data)
        yield name, os.path.join(folder, name + ".onnx"), []


def hostile(weight):
    """An input, an output, a weight, a layer and a dimension of every name in HOSTILE."""
    nodes, inputs, outputs, weights = [], [], [], []
    for i, name in enumerate(HOSTILE):
        x, y, w = name + " in" if name else "in", name + " out" if name else "out", name + " weight" if name else "weight"
        x, y = (name, y) if name else (x, y)
        nodes += [node("MatMul", [x, w], [y + "h"], name), node("Relu", [y + "h"], [y], name + "2")]
        inputs.append(value(x, (name + "d" if name else 2, 8)))
        outputs.append(value(y, None))
        weights.append(weight(w, 8, 4))
    return model(graph(nodes, inputs, outputs, weights, name="*/ evil_comment\nevil_line /*"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", help="a folder of ONNX models that are checked too, without valgrind")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="emitted-models-")
    work = [(os.path.basename(p), p, ["--zero-weights"] if "transformer" in p else []) for p in sorted(glob.glob(os.path.join(ROOT, "examples/*.tn")))]
    work += small_models(folder)
    if arguments.models:
        work += [(os.path.basename(p), p, []) for p in sorted(glob.glob(os.path.join(arguments.models, "*.onnx")))]
    failed = done = 0
    for name, path, options in work:
        if arguments.names and not any(n in name for n in arguments.names):
            continue
        own = arguments.models and path.startswith(arguments.models)
        wrong = check_model(name, path, options, not own)
        print(f"{name}: {wrong or 'fine'}", flush=True)
        failed += wrong is not None
        done += 1
    shutil.rmtree(folder)
    print(f"{done - failed} fine, {failed} failed")
    return failed > 0 or done == 0


if __name__ == "__main__":
    sys.exit(main())
