#!/usr/bin/env python3
"""Models through OpenCL: the interpreter's answers with either schedule, texts that a person can take away, and wrong
accesses seen by Oclgrind.

    tests/test_opencl.py examples [MODEL...]   every stage and the code of each example, --device=cpu and gpu, with every
                                               kernel dealt out that can be (--grain=1)
    tests/test_opencl.py text [MODEL...]       .cl, host C and header: the same bytes twice, no warnings, layers by name,
                                               linked by the C compiler alone, the answers of C's code; devices that have
                                               too little; no loader
    tests/test_opencl.py oclgrind [MODEL...]   the same programs in Oclgrind: accesses out of bounds, races, barriers

One line per model; the last line counts. 77: skipped, with the reason, where a tool is missing.
"""
import filecmp, glob, os, re, subprocess, sys, tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TENON = os.environ.get("TENON", os.path.join(ROOT, "build/release/tenon"))
CC = os.environ.get("TENON_CC", "cc")
RUNTIME = [os.path.join(ROOT, "runtime", name) for name in ("main.c", "npy.c", "pb.c", "zip.c")]
WARNINGS = ["-std=c11", "-pedantic", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror"]
OCLGRIND = ["/usr/lib/oclgrind/liboclgrind-rt.so", "/usr/lib/x86_64-linux-gnu/oclgrind/liboclgrind-rt.so"]
RECORDS = { # of devices, and what is said of them
    "work_group_most 32": None, "vector_bytes 4": None, "fma no": None, "kind gpu\nf64 no\nwork_group_most 1": None,
    "allocation_bytes 5000": "the arena: 8448 bytes needed, 5000 there", "memory_bytes 9000": "the model, arena and weights: ",
    "vector_bytes 3": "vector_bytes", "colour green": "colour", "f64": "f64"}

LAYERS = {"digits.tn": ["conv1", "conv2", "flatten", "head", "probability"], "transformer.tn": ["block0.attention.query", "block1", "logits"]}


class Wrong(Exception):
    pass


def ask(command, folder=None, **environment):
    r = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=1200, env={**os.environ, **environment}, errors="replace")
    return r.returncode, r.stdout, r.stderr


def must(what, command, folder=None, **environment):
    status, out, err = ask(command, folder, **environment)
    if status: raise Wrong(f"{what}: status {status}\n{(out + err)[-1500:]}")
    return out


def examples(names):
    return [os.path.join(ROOT, "examples", n + ".tn") for n in names] or sorted(glob.glob(os.path.join(ROOT, "examples/*.tn")))


def check_example(path, folder):
    for device in ("cpu", "gpu"):
        must(device, [TENON, "verify", path, "--zero-weights", "--target=opencl", "--device=" + device, "--grain=1"])


def build(path, folder, device):
    """The program of the texts that `compile -o model.cl` writes."""
    out = os.path.join(folder, "model.cl")
    must("compile", [TENON, "compile", path, "--zero-weights", "--target=opencl", "--device=" + device, "--grain=1", "-o", out, "--quiet"])
    parts = [n for n in ("model_weights.S", "model_kernels.S") if os.path.exists(os.path.join(folder, n))]
    program = os.path.join(folder, "program")
    must("cc", [CC, "-O1", "-w", "-DTENON_EXPORT_MODEL", "-I", os.path.join(ROOT, "runtime"), "model.c", *parts, *RUNTIME, "-o", program, "-lm",
                "-pthread"], folder)
    return program


def answers(program, folder, **environment):
    must("run", [program, "--random", "3", "--output-dir", folder], folder, **environment)
    return {n: open(os.path.join(folder, n), "rb").read() for n in sorted(os.listdir(folder)) if n.endswith(".npy")}


def check_text(path, folder):
    layers = LAYERS.get(os.path.basename(path), [])
    for device in ("cpu", "gpu"):
        places = [os.path.join(folder, device + k) for k in "ab"]
        for place in places: os.mkdir(place)
        program = [build(path, place, device) for place in places][0]
        for name in ("model.cl", "model.c", "model.h"):
            if not filecmp.cmp(*[os.path.join(place, name) for place in places], shallow=False): raise Wrong(f"{name} differs from run to run")
        must("warnings", [CC, *WARNINGS, "-c", "model.c", "-o", "model.o"], places[0])
        text = open(os.path.join(places[0], "model.cl")).read()
        if "__kernel" not in text or ROOT in text: raise Wrong("model.cl has no kernels, or a path")
        missing = [layer for layer in layers if not re.search(rf"\b{re.escape(layer)}\b", text)]
        if missing: raise Wrong(f"layers {missing} of {sorted(layers)} are not in model.cl")
        got = answers(program, places[0])
        plain = os.path.join(folder, device + "c")
        os.mkdir(plain)
        must("compile C", [TENON, "compile", path, "--zero-weights", "-o", os.path.join(plain, "program"), "--quiet"])
        compare(got, answers(os.path.join(plain, "program"), plain))


def compare(got, want):
    import struct
    if got.keys() != want.keys() or not got: raise Wrong(f"outputs {sorted(got)}, expected {sorted(want)}")
    for name in got:
        if len(got[name]) != len(want[name]): raise Wrong(f"{name} has another size")
        if got[name] == want[name]: continue
        start = 10 + struct.unpack("<H", want[name][8:10])[0]
        if b"<f4" not in want[name][:start]: raise Wrong(f"{name} is not the same")
        for a, b in zip(struct.iter_unpack("<f", got[name][start:]), struct.iter_unpack("<f", want[name][start:])):
            if abs(a[0] - b[0]) > 1e-4 + 1e-4 * abs(b[0]): raise Wrong(f"{name}: {a[0]} for {b[0]}")


def check_devices(folder):
    digits = os.path.join(ROOT, "examples/digits.tn")
    for i, (record, said) in enumerate(RECORDS.items()):
        path = os.path.join(folder, f"{i}.device")
        with open(path, "w") as f: f.write(f"name test\n{record}\n")
        status, out, err = ask([TENON, "run", digits, "--random=1", "--target=opencl", "--device=" + path])
        if said is None and (status or "probability" not in out): raise Wrong(f"{record!r}: status {status}: {err}")
        if said is not None and (status != 1 or said not in err): raise Wrong(f"{record!r}: status {status}: {err}")
    half = os.path.join(folder, "double.tn")
    with open(half, "w") as f: f.write("dim N in 1..9\nmodel double(x: f64[N, 3]) -> (y: f64[N, 3]) { y = x * x }\n")
    with open(os.path.join(folder, "single.device"), "w") as f: f.write("name test\nf64 no\n")
    single = "--device=" + os.path.join(folder, "single.device")
    out = must("doubles", [TENON, "run", half, "--random=1", "--target=opencl", single])
    if out != must("doubles", [TENON, "run", half, "--random=1"]): raise Wrong(f"a model of doubles: {out}")
    without = "--passes=compose,lower,schedule,expand,plan,bind"
    status, out, err = ask([TENON, "run", half, "--random=1", "--target=opencl", single, without])
    if status != 1 or "no double precision" not in err: raise Wrong(f"doubles on the device: status {status}: {err}{out}")
    with open(half, "w") as f: f.write("model top(x: f32[4]) -> (y) { y, i = op.top_k(x, k: 2, largest: 1, sorted: 1) }\n")
    status, out, err = ask([TENON, "run", half, "--random=1", "--target=opencl", without])
    if status != 1 or "top_k is a function in C" not in err: raise Wrong(f"top_k on the device: status {status}: {err}{out}")


def check_no_loader(folder):
    digits, program = os.path.join(ROOT, "examples/digits.tn"), os.path.join(folder, "digits")
    must("compile", [TENON, "compile", digits, "--target=opencl", "-o", program, "--quiet"])
    said = "no OpenCL loader (/nonexistent.so): install ocl-icd-libopencl1 and a driver such as pocl-opencl-icd"
    for command in ([program, "--random", "1"], [TENON, "run", digits, "--random=1", "--target=opencl"]):
        status, out, err = ask(command, TENON_OPENCL="/nonexistent.so")
        if status != 1 or said not in err: raise Wrong(f"without a loader: status {status}: {err}{out}")


def check_oclgrind(path, folder):
    """A CPU's kernels one by one: that stages follow one another Oclgrind cannot see, and their functions are the same."""
    library = [p for p in OCLGRIND if os.path.exists(p)][0]
    alone = os.path.join(folder, "alone.device")
    with open(alone, "w") as f: f.write("name alone\nstages no\n")
    for device in (alone, "gpu"):
        place = os.path.join(folder, device + "_built")
        os.mkdir(place)
        program, log = build(path, place, device), os.path.join(place, "log")
        got = answers(program, place, TENON_OPENCL=library, OCLGRIND_DATA_RACES="1", OCLGRIND_LOG=log, TENON_CACHE="")
        found = open(log).read() if os.path.exists(log) else ""
        if found.strip(): raise Wrong(f"{device}: Oclgrind says\n{found[:1500]}")
        compare(got, answers(program, place))


def run_checks(work):
    """Each check, by name, in a folder of its own; what it returns says why it was skipped."""
    failed = 0
    for name, check in work:
        with tempfile.TemporaryDirectory() as folder:
            try:
                skipped = check(folder)
                print(f"skip {name}: {skipped}" if skipped else f"pass {name}", flush=True)
            except Wrong as wrong:
                failed += 1
                print(f"fail {name}: {wrong}", flush=True)
    print(f"{len(work) - failed} passed, {failed} failed")
    return 1 if failed else 0


def main():
    way, names = sys.argv[1] if len(sys.argv) > 1 else "", sys.argv[2:]
    checks = {"examples": check_example, "text": check_text, "oclgrind": check_oclgrind}
    if way not in checks:
        print(__doc__)
        return 2
    status, out, err = ask([TENON, "devices"])
    if status:
        print("skipped:", err.strip())
        return 77
    if way == "oclgrind" and not any(os.path.exists(p) for p in OCLGRIND):
        print("skipped: Oclgrind is not installed")
        return 77
    work = [(os.path.basename(path)[:-3], lambda folder, path=path: checks[way](path, folder)) for path in examples(names)]
    if way == "text" and not names: work += [("devices", check_devices), ("no loader", check_no_loader)]
    return run_checks(work)


if __name__ == "__main__":
    sys.exit(main())
