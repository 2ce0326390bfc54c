#!/usr/bin/env python3
"""Models half on an OpenCL device and half on its host: the answers of all on the host, every artefact, Oclgrind.

    tests/test_places.py [NAME...]     every example with every second layer on the host, for a GPU the others; a model
                                       with place blocks, as each artefact; mobilenetv2 where build/models has it

One line each; the last line counts. 77: skipped, with the reason, where there is no OpenCL device.
"""
import json, os, re, sys

from test_opencl import CC, OCLGRIND, ROOT, TENON, WARNINGS, Wrong, answers, ask, build, check_oclgrind, compare, examples, must, run_checks

HALF = """
model half(x: f32[32, 64], c: i32[32, 64], flag: bool[], n: i64[]) -> (y, z, w, s, k) {
    a = relu(x) * 2.0
    place cpu {
        b = exp(a - 4.0)
        q = c * c - 7
    }
    y = b / sum(b, axes: [1], keep: true)
    z = q + c
    w, at = op.top_k(y, k: 5, largest: 1, sorted: 1)
    place cpu { k = at * 2 + 1 }
    s, i = while (v: f32[32, 64] = y, i: i64[] = 0) i < 3 {
        place cpu { t = v * 0.5 }
        u = t + a
        if flag { u } else { place cpu { o = u - 1.0 }
            o }, i + 1
    }
}
"""


def program_of(path, folder, *options):
    os.makedirs(folder, exist_ok=True)
    out = os.path.join(folder, "program")
    must("compile", [TENON, "compile", path, "--zero-weights", *options, "-o", out, "--quiet"])
    return answers(out, folder)


def layers(path):
    """Names that --place can say, in the model's order."""
    found = json.loads(must("check", [TENON, "check", path, "--zero-weights", "--json", "--target=opencl"]))["layers"]
    names = [layer["name"] for layer in found if layer["operators"] != "transfer"]
    return [n for i, n in enumerate(names) if n not in names[:i] and re.fullmatch(r"[\w./:-]+", n) and not re.fullmatch(r"v\d+", n)]


def alternating(names, first):
    return "--place=" + ",".join(f"{n}={'cpu' if i % 2 == first else 'opencl'}" for i, n in enumerate(names))


def check_model(path, folder, devices=("cpu", "gpu")):
    names = layers(path)
    if not names: return "no layers with names"
    want = program_of(path, os.path.join(folder, "c"), "--target=c")
    for first, device in enumerate(devices):
        spec = alternating(names, first)
        text = must("place", [TENON, "check", path, "--zero-weights", spec, "--stop-after=place"])
        if "=cpu" in spec and "place cpu" not in text: raise Wrong("nothing is on the host")
        compare(program_of(path, os.path.join(folder, device), spec, "--device=" + device), want)


def half_file(folder):
    path = os.path.join(folder, "half.tn")
    with open(path, "w") as f: f.write(HALF)
    return path


def check_half(folder):
    path = half_file(folder)
    place = os.path.join(folder, "text")
    os.mkdir(place)
    want = program_of(path, os.path.join(folder, "c"), "--target=c")
    compare(program_of(path, os.path.join(folder, "opencl"), "--target=opencl"), want)
    compare(answers(build(path, place, "gpu"), place), want)
    must("warnings", [CC, *WARNINGS, "-c", "model.c", "-o", "model.o"], place)
    for suffix in (".so", ".o", ".a"):
        must(suffix, [TENON, "compile", path, "--target=opencl", "-o", os.path.join(folder, "half" + suffix), "--quiet"])
    must("interpreter", [TENON, "run", path, "--target=interpreter", "--random=3"])
    must("verify", [TENON, "verify", path, "--target=opencl", "--grain=1"])
    must("bench", [TENON, "bench", path, "--target=opencl", "--runs=2", "--layers"])


def check_overlap(folder):
    """What the host does while a transfer is under way stands in front of the wait for it."""
    path = os.path.join(folder, "overlap.tn")
    with open(path, "w") as f:
        f.write("model overlap(x: f32[64]) -> (y, c) {\n    a = exp(x)\n    place cpu {\n        y = a * 2.0\n        c = sin(x)\n    }\n}\n")
    must("compile", [TENON, "compile", path, "--target=opencl", "-O1", "-o", os.path.join(folder, "overlap.cl"), "--quiet"])
    text = open(os.path.join(folder, "overlap.c")).read()
    text = text[text.index("static int overlap_main("):]
    order = [text.index(word) for word in ("tenon_cl_call(", "tenon_cl_receive(", "out->c", "tenon_cl_wait(", "out->y")]
    if order != sorted(order): raise Wrong(f"the order of main: {order}")


def check_half_in_oclgrind(folder):
    if not any(os.path.exists(p) for p in OCLGRIND): return "no Oclgrind"
    return check_oclgrind(half_file(folder), folder)


def main():
    status, out, err = ask([TENON, "devices"])
    if status:
        print("skipped:", err.strip())
        return 77
    work = [(os.path.basename(p)[:-3], lambda folder, p=p: check_model(p, folder)) for p in examples([])]
    work += [("half", check_half), ("overlap", check_overlap), ("oclgrind", check_half_in_oclgrind)]
    model = os.path.join(ROOT, "build/models/mobilenetv2.onnx")
    if os.path.exists(model): work.append(("mobilenetv2", lambda folder: check_model(model, folder, devices=("cpu",))))
    work = [w for w in work if not sys.argv[1:] or w[0] in sys.argv[1:]]
    return run_checks(work)


if __name__ == "__main__":
    sys.exit(main())
