#!/usr/bin/env python3
"""Tuned builds: the same bytes every time, the same answers by other records, the same bits on every number of threads.

    tests/test_tuning.py

examples/digits.tn (whose weights are packed) and a model of products, windows and rows are listed (`tenon tune --list`);
then built by the first record of every kernel, by the second, and so on. Last, `tenon tune` itself, to its end and ended
by Ctrl-C: the file is one that the compiler takes, and all of it is for this model.
"""
import os, re, shutil, signal, struct, subprocess, sys, tempfile, time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TENON = os.environ.get("TENON", os.path.join(ROOT, "build/release/tenon"))
MIXED = """model mixed(x: f32[2, 6, 13, 11], w: f32[20, 6, 3, 3], d: f32[20, 1, 3, 3], m: f32[20, 33]) -> (y: f32[2, 33]) {
    x = relu(conv(x, w, pad: 1))
    x = max_pool(conv(x, d, group: 20, pad: 1, stride: 2), kernel: 3, stride: 2)
    y = softmax(matmul(mean(x, axes: [2, 3]), m))
}
"""
RECORDS = 5


class Wrong(Exception):
    pass


def must(what, command, folder, **more):
    r = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, **more)
    if r.returncode:
        raise Wrong(f"{what}: status {r.returncode}\n" + (r.stdout + r.stderr)[-3000:])
    return r


def numbers(path):
    """The floats of a .npy file."""
    data = open(path, "rb").read()
    start = 10 + struct.unpack("<H", data[8:10])[0]
    assert b"<f4" in data[:start]
    return struct.unpack(f"<{(len(data) - start) // 4}f", data[start:])


def read_list(text):
    """Lists of lines by kernel: the chosen one first."""
    kernels = []
    for line in text.splitlines():
        if line.startswith("kernel "):
            kernels.append([line])
        elif line.startswith("#   kernel "):
            kernels[-1].append(line[4:])
    return kernels


def check_records(model, folder, target, options):
    shared = [f"--target={target}", "--threads=4", "--grain=1", "--quiet", *options]
    kernels = read_list(must("list", [TENON, "tune", model, "--list", f"--top={RECORDS}", *shared], folder).stdout)
    if not kernels or max(map(len, kernels)) < RECORDS:
        raise Wrong(f"only {kernels} listed")
    answers = []
    for i in range(RECORDS):
        with open(os.path.join(folder, "file.tune"), "w") as f:
            f.write("tenon tuning 1\n" + "".join(k[min(i, len(k) - 1)] + "\n" for k in kernels))
        for name in ("one", "two"):
            r = must(f"compile by records {i}", [TENON, "compile", model, "-o", f"{name}/m.so", "--tuning=file.tune", *shared], folder)
            if r.stderr:
                raise Wrong(f"records {i}: {r.stderr}")
        if open(f"{folder}/one/m.so", "rb").read() != open(f"{folder}/two/m.so", "rb").read():
            raise Wrong(f"records {i}: two builds differ")
        must("compile", [TENON, "compile", model, "-o", "program", "--tuning=file.tune", *shared], folder)
        bits = set()
        for n in "1234":
            must(f"records {i} on {n} threads", ["./program", "--random=1", f"--threads={n}", "--output-dir=out"], folder)
            bits.add(open(f"{folder}/out/output_0.npy", "rb").read())
        if len(bits) != 1:
            raise Wrong(f"records {i}: {len(bits)} answers on 1 to 4 threads")
        answers.append(numbers(f"{folder}/out/output_0.npy"))
    for i, answer in enumerate(answers):
        for got, expected in zip(answer, answers[0]):
            if not abs(got - expected) <= 1e-5 + 1e-4 * abs(expected):
                raise Wrong(f"by records {i} {got}, by the first {expected}")
    return len(kernels)


def check_tune(model, folder, options):
    tune = [TENON, "tune", model, "-o", "made.tune", "--quiet", *options]
    compile = [TENON, "compile", model, "-o", "m.c", "--tuning=made.tune", *options]
    must("tune", [*tune, "--budget=5", "--top=3"], folder)
    if (r := must("compile what tune wrote", compile, folder)).stderr:
        raise Wrong(r.stderr)
    os.remove(os.path.join(folder, "made.tune"))
    process = subprocess.Popen([*tune, "--budget=500", "--top=30"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               start_new_session=True)
    while not os.path.exists(os.path.join(folder, "made.tune")) and process.poll() is None:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate()[0].decode()
    if process.returncode != 0 or "not measured together" not in said:
        raise Wrong(f"Ctrl-C: status {process.returncode}: {said}")
    if (r := must("compile after Ctrl-C", compile, folder)).stderr:
        raise Wrong(r.stderr)


def main():
    folder = tempfile.mkdtemp(prefix="tuning-")
    failed = 0
    with open(os.path.join(folder, "mixed.tn"), "w") as f:
        f.write(MIXED)
    for name in ("one", "two"):
        os.makedirs(os.path.join(folder, name))
    checks = [("digits through C", check_records, (os.path.join(ROOT, "examples/digits.tn"), folder, "c", ["--dim", "N=3"]))]
    checks.append(("mixed through C", check_records, ("mixed.tn", folder, "c", [])))
    checks.append(("mixed through LLVM", check_records, ("mixed.tn", folder, "llvm", [])))
    checks.append(("tune", check_tune, ("mixed.tn", folder, [])))
    for name, check, arguments in checks:
        if "LLVM" in name and "(with LLVM)" not in must("version", [TENON, "--version"], folder).stdout:
            print(f"skip {name}: built without LLVM")
            continue
        try:
            check(*arguments)
            print(f"pass {name}", flush=True)
        except Wrong as wrong:
            print(f"fail {name}: {wrong}", flush=True)
            failed += 1
    shutil.rmtree(folder)
    sys.exit(failed > 0)


main()
