#!/usr/bin/env python3
"""Models compiled for several threads: the same bytes for every number of them, and no two at one place.

    tests/test_threads.py [--models DIR] [MODEL...]      default: examples/*.tn, `strips` below, and the models of DIR
                                                         (build/models)

Each is compiled with --threads=4 and a --grain that divides whatever can be divided, by both back ends, and run by
threads_host.c: on own threads, on 2 to 4 of the caller's, by callers at the same time, after a fork, loaded and unloaded;
then the C text under clang's thread sanitizer, where there is one. Models of DIR: with LLVM, at the usual grain. Last,
with --threads=1 the text is what it is without. One line per model; the last line counts.
"""
import argparse, filecmp, glob, os, re, shutil, subprocess, sys, tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TENON = os.environ.get("TENON", os.path.join(ROOT, "build/release/tenon"))
HOST = os.path.join(ROOT, "tests/threads_host.c")
MODELS = ["mobilenetv2", "minilm", "lstm_2x128", "wavenet", "magika", "ppocr_det", "silero_vad"]
STRIPS = """model strips(x: f32[128, 32, 16], w: f32[16, 64], v: f32[64, 16]) -> (y: f32[128, 32, 16]) {
    y = relu(matmul(relu(matmul(x, w)), v))
}
"""  # for an L2 of 512 KiB: strips are dealt out (pass strips)
CPUS = {"strips": ["--cpu=x86-64-v3"]}
PINS = {"ppocr_det": ["--dim", "x_d0=1", "--dim", "x_d2=96", "--dim", "x_d3=160"], "minilm": []}


class Wrong(Exception):
    pass


def must(what, command, folder):
    r = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, errors="replace")
    if r.returncode:
        raise Wrong(f"{what}: status {r.returncode}\n" + (r.stdout + r.stderr)[-3000:])
    return r.stdout


def has_sanitizer(folder):
    with open(os.path.join(folder, "t.c"), "w") as f:
        f.write("int main(void) { return 0; }\n")
    try:
        return subprocess.run(["clang", "-fsanitize=thread", "t.c", "-o", "t"], cwd=folder, capture_output=True).returncode == 0 and \
               subprocess.run(["./t"], cwd=folder, capture_output=True).returncode == 0
    except OSError:
        return False


def check_example(path, folder, sanitizer):
    cpu = CPUS.get(os.path.splitext(os.path.basename(path))[0], [])
    options = ["--zero-weights", "--threads=4", "--grain=1", *cpu]
    for target in ("c", "llvm"):
        must(f"compile through {target}", [TENON, "compile", path, "-o", f"m_{target}.so", f"--target={target}", *options], folder)
        threads = must(f"run through {target}", ["./host", f"./m_{target}.so"], folder)
    must("compile to C", [TENON, "compile", path, "-o", "m.c", *options], folder)
    must("check", [TENON, "check", path, "--verify-each", "--eval-each=1", "--quiet", *options], folder)
    weights = ["m_weights.S"] if os.path.exists(os.path.join(folder, "m_weights.S")) else []
    must("compile an executable", [TENON, "compile", path, "-o", "program", *options], folder)
    for n in ("1", "2"):
        must(f"{n} of its threads", ["./program", "--random=1", f"--threads={n}"], folder)
    for compiler in ("gcc", "clang"):
        must(f"{compiler} warnings", [compiler, "-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-march=native", "-c", "m.c", "-o", "m.o"], folder)
    if sanitizer:
        must("build with the thread sanitizer", ["clang", "-w", "-g", "-O1", "-march=native", "-fsanitize=thread", "-DINSIDE", "-DTENON_EXPORT_MODEL",
             HOST, "m.c", *weights, "-Wa,-I.", "-o", "inside", "-lm", "-pthread"], folder)
        must("the thread sanitizer", ["./inside"], folder)
    for name, more in (("one", ["--threads=1"]), ("two", [])):
        os.makedirs(os.path.join(folder, name), exist_ok=True)
        must("compile for one thread", [TENON, "compile", path, "-o", f"{name}/m.c", "--zero-weights", *cpu, *more], folder)
    if not filecmp.cmp(os.path.join(folder, "one/m.c"), os.path.join(folder, "two/m.c"), shallow=False):
        raise Wrong("--threads=1 makes other text than no --threads")
    with open(os.path.join(folder, "one/m.c")) as f:
        if "pthread" in f.read():
            raise Wrong("threads in text for one")
    return threads


def check_real(name, path, folder):
    options = PINS.get(name, [])
    must("compile", [TENON, "compile", path, "-o", "m.so", "--target=llvm", "--threads=4", "--quiet", *options], folder)
    return must("run", ["./host", "./m.so"], folder)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", default=os.path.join(ROOT, "build/models"))
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    own = tempfile.mkdtemp(prefix="threads-own-")
    with open(os.path.join(own, "strips.tn"), "w") as f:
        f.write(STRIPS)
    paths = sorted(glob.glob(os.path.join(ROOT, "examples/*.tn"))) + [os.path.join(own, "strips.tn")]
    paths += [os.path.join(args.models, m + ".onnx") for m in MODELS]
    if args.names:
        paths = [p for p in paths if os.path.splitext(os.path.basename(p))[0] in args.names]
    passed = failed = 0
    for path in paths:
        name = os.path.splitext(os.path.basename(path))[0]
        if not os.path.exists(path):
            continue
        folder = tempfile.mkdtemp(prefix="threads-")
        try:
            must("build the host", ["cc", "-O1", "-Wall", HOST, "-o", "host", "-pthread", "-ldl"], folder)
            threads = check_real(name, path, folder) if path.endswith(".onnx") else check_example(path, folder, has_sanitizer(folder))
            print(f"pass {name}: up to {threads.strip()} threads", flush=True)
            passed += 1
        except Wrong as wrong:
            print(f"fail {name}: {wrong}", flush=True)
            failed += 1
        finally:
            shutil.rmtree(folder)
    shutil.rmtree(own)
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


main()
