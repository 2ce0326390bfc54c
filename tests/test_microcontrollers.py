#!/usr/bin/env python3
"""Models as C without a library (--freestanding) on microcontrollers under QEMU: the same bytes as the interpreter's.

    tests/test_microcontrollers.py [MACHINE...]      TENON=path/of/tenon (default build/release/tenon); exit 77: skipped,
                                                     a cross compiler or QEMU is missing

Machines: tests/microcontrollers/machines.py. For each model and machine the C is compiled under the project's warnings,
linked with nothing but libgcc, and run; what it stores and what the interpreter answers must be equal byte by byte, no call of
the C library may be left in it, and the flash, RAM and stack that its header states must be those of the linked file and of a
stack that was painted before the run. Integer models are also compared with C and LLVM code here and hold no floats; those of
ONNX files with what ONNX Runtime says of the numbers, and one of all operators that ask for more with its own floats.
"""
import os, random, re, struct, subprocess, sys, tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TENON = os.path.abspath(os.environ.get("TENON", os.path.join(ROOT, "build/release/tenon")))
sys.path.insert(0, os.path.join(ROOT, "tests/microcontrollers"))
import machines

# name: (text, file or name of microcontrollers/make_models.py, options, machines that are too small for it)
INTEGER = ["--numeric=integer"]
MODELS = {
    "parts": ("tests/microcontrollers/parts.tn", INTEGER, []),
    "choices": ("tests/microcontrollers/choices.tn", INTEGER, []),
    "digits": ("digits", INTEGER, []),
    "keyword": ("keyword", INTEGER, ["m0"]),
    **{"tflite_" + name: (f"build/models/tflite/{name}_int8.tflite", INTEGER, ["m0", "m0-large", "m7"])
       for name in ("classifier", "arrangements", "rows", "sums", "lstm", "curves", "pools", "resizes", "hard")},
    "sums": ("""
        model sums(x: i32[6, 5], y: u8[4, 7]) -> (a: i32[6], b: i32[4, 3], c: i64[6, 5]) {
            a = sum(x * 3 - 7, [1])
            b = matmul(cast(y, i32), cast(reshape(iota([21]) * 5 % 11 - 4, [7, 3]), i32))
            c = cast(x, i64) * 1234567 / 1000
        }""", [], []),
    "mean": ("""
        model mean_of(x: f32[3, 8]) -> (y: f32[3]) {
            y = mean(max(x, 0.0), [1]) * 0.37 + 1.25
        }""", [], []),
}
COMPACT = ("digits", "tflite_classifier") # also with less flash than they take, behind the m4's own check
BYTES = {"u1": 1, "i1": 1, "i2": 2, "i4": 4, "i8": 8, "f4": 4, "b1": 1}
CODES = {"u8": "u1", "i8": "i1", "i16": "i2", "i32": "i4", "i64": "i8", "f32": "f4"}


def tenon(*words, status=0):
    r = subprocess.run([TENON, *words], capture_output=True, text=True, timeout=600)
    assert r.returncode == status, (words, r.returncode, r.stdout[-2000:], r.stderr[-2000:])
    return r.stdout + r.stderr


def npy_write(path, code, shape, data):
    head = f"{{'descr': '{'|' if BYTES[code] == 1 else '<'}{code}', 'fortran_order': False, 'shape': ({''.join(f'{n}, ' for n in shape)}), }}"
    head += " " * (-(len(head) + 11) % 64) + "\n"
    with open(path, "wb") as f:
        f.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + data)


def npy_data(path):
    raw = open(path, "rb").read()
    return raw[10 + struct.unpack("<H", raw[8:10])[0]:]


def random_input(rng, dtype, count):
    if dtype == "f32": return struct.pack(f"<{count}f", *(rng.uniform(-2, 2) for _ in range(count)))
    if dtype in ("i32", "i64"): return struct.pack(f"<{count}{'iq'[dtype == 'i64']}", *(rng.randint(-9999, 9999) for _ in range(count)))
    return bytes(rng.randrange(256) for _ in range(count * BYTES[CODES[dtype]]))


def values(folder, model, options):
    """The model's name, and (C field, name, dtype, shape) of its inputs and outputs, from its C interface's description."""
    import json
    abi = os.path.join(folder, "abi.json")
    tenon("compile", model, *options, "--portable", "-o", os.path.join(folder, "abi.c"), f"--abi-json={abi}")
    described = json.load(open(abi))
    name = described["symbol"].removesuffix("_plain")
    return name, *([(v["name"], v["dtype"], v["shape"]) for v in described[k]] for k in ("inputs", "outputs"))


def count_of(shape):
    n = 1
    for d in shape: n *= d
    return n


def prepare(folder, model, options, seed=1):
    """The model's name, its inputs as (field, bytes), and what the interpreter answers on them as (field, bytes)."""
    rng = random.Random(seed)
    name, inputs, outputs = values(folder, model, options)
    given, words = [], []
    for field, dtype, shape in inputs:
        data = random_input(rng, dtype, count_of(shape))
        path = os.path.join(folder, f"input{len(given)}.npy")
        npy_write(path, CODES[dtype], shape, data)
        given.append((field, data))
        words.append(f"--input={field}={path}")
    out = os.path.join(folder, "out")
    tenon("run", model, *options, "--target=interpreter", *words, f"--output-dir={out}")
    return name, given, [(v[0], npy_data(os.path.join(out, f"output_{i}.npy"))) for i, v in enumerate(outputs)], words


def check_libc(machine, obj):
    wanted = [line.split()[-1] for line in machines.command([machine.cc.replace("gcc", "nm"), "-u", obj]).split("\n") if line]
    library = [w for w in wanted if not w.startswith("__")] # libgcc's begin so
    assert not library, f"calls of a library: {library}"


def header_number(text, what):
    found = re.search(rf"^#define \w+?_{what} (\d+)$", text, re.M)
    return int(found[1]) if found else None


def check_sizes(header, elf, stack, frame):
    text = open(header).read()
    flash, ram = machines.linked_sizes(elf)
    stated = [header_number(text, what) for what in ("FLASH_BYTES", "ARENA_BYTES", "STACK_BYTES", "RAM_BYTES")]
    library = "compiler's library" in text # its stack is not known beforehand
    assert stated[0] == flash and stated[1] == ram and stated[3] == ram + stated[2], (stated, flash, ram)
    # the lowest words of a frame may be there for alignment alone (8 bytes on ARM, 16 on RISC-V), and keep their paint
    good = stated[2] - frame < stack <= stated[2] + (128 if library else 0)
    assert good, f"stack {stack}, header {stated[2]}"
    return f"{flash} bytes of flash, {ram} + {stack} of RAM"


def check(key, model, options, folder, prepared):
    machine = machines.MACHINES[key]
    name, inputs, expected, _ = prepared
    header = os.path.join(folder, name + ".h")
    tenon("compile", model, *options, f"--cpu={machine.cpu}", "--freestanding", f"--cc={machine.cc}", "-o", header[:-2] + ".c")
    elf = machines.build(machine, folder, name, header, [data for _, data in inputs], [len(data) for _, data in expected])
    check_libc(machine, os.path.join(folder, "model.o"))
    got, stack = machines.run(machine, elf)
    for (field, data), mine in zip(expected, got, strict=True):
        assert data == mine, f"{key}: output {field} differs: {mine[:16].hex()}.. for {data[:16].hex()}.."
    return check_sizes(header, elf, stack, 8 if machine.cc == machines.ARM else 16)


def check_compact(model, options, folder, prepared):
    """--max-flash below what the code takes: shorter loops, the same bytes; below what even these take: refused."""
    flash = header_number(open(os.path.join(folder, prepared[0] + ".h")).read(), "FLASH_BYTES")
    said = check("m4", model, [*options, f"--max-flash={flash - 1}"], folder, prepared)
    less = header_number(open(os.path.join(folder, prepared[0] + ".h")).read(), "FLASH_BYTES")
    assert less < flash, f"{less} bytes of flash, {flash} without a limit"
    machine = machines.MACHINES["m4"]
    refused = tenon("compile", model, *options, f"--cpu={machine.cpu}", "--freestanding", f"--cc={machine.cc}", f"--max-flash={flash // 2}", "-o",
                    os.path.join(folder, "refused.c"), status=1)
    assert "of weights" in refused, refused
    return said


def check_here(model, options, folder, prepared):
    """Integer models on this machine: C and LLVM code give the interpreter's bytes, and C has no floats."""
    for target in ("--target=c", "--target=c --portable", "--target=llvm"):
        out = os.path.join(folder, "here")
        said = subprocess.run([TENON, "run", model, *options, *target.split(), *prepared[3], f"--output-dir={out}"], capture_output=True, text=True)
        if said.returncode and "without LLVM" in said.stderr:
            print("skip: this tenon was built without LLVM")
            continue
        assert said.returncode == 0, said.stderr
        for i, (field, data) in enumerate(prepared[2]):
            assert npy_data(os.path.join(out, f"output_{i}.npy")) == data, f"{target}: output {field} differs"
    path = os.path.join(folder, "words.c")
    tenon("compile", model, *options, "--cpu=cortex-m4", "--freestanding", "-o", path)
    found = re.findall(r"\b(?:float|double)\b", open(path).read())
    assert not found, f"{len(found)} floats in the integer model's C"


def check_judge(model, options, folder, seed):
    """ONNX Runtime's answer of the quantized model, of the numbers that the integers stand for, within two steps."""
    import numpy as np, onnxruntime
    name, inputs, expected, _ = prepare(folder, model, options, seed)
    path = os.path.join(folder, "judge.c")
    tenon("compile", model, *options, "--cpu=cortex-m4", "--freestanding", "-o", path)
    header = open(path[:-2] + ".h").read()
    stands = lambda field: [float(re.search(rf"_{field.upper()}_{what} (\S+)", header)[1]) for what in ("SCALE", "ZERO")]
    (field, data), (scale, zero) = inputs[0], stands(inputs[0][0])
    session = onnxruntime.InferenceSession(model)
    x = ((np.frombuffer(data, np.uint8).astype(np.float32) - zero) * scale).reshape(session.get_inputs()[0].shape)
    y, (scale, zero) = session.run(None, {field: x.astype(np.float32)})[0].ravel(), stands(expected[0][0])
    far = abs((np.frombuffer(expected[0][1], np.uint8).astype(np.float32) - zero) - y / scale).max()
    assert far <= 2, f"seed {seed}: {far:.2f} steps from ONNX Runtime"
    return far


def check_floats(model, options, folder, prepared):
    """The model in floats, on the numbers that the integer inputs stand for: all quantized results within a step, and what is
    compared the same, but for one in fifty that lies on its bound."""
    try: import numpy as np
    except ImportError: return "skip: numpy is not installed"
    name, inputs, expected, _ = prepared
    path = os.path.join(folder, "scales.c")
    tenon("compile", model, *options, "--cpu=cortex-m4", "--freestanding", "-o", path)
    header, words = open(path[:-2] + ".h").read(), []
    stands = lambda field: [float(n) for n in re.findall(rf"_{field.upper()}_(?:SCALE|ZERO) (\S+)", header)]
    shapes = {field: shape for field, _, shape in values(folder, model, [])[1]}
    for field, data in inputs:
        scale, zero = stands(field)
        numbers = ((np.frombuffer(data, np.uint8).astype(np.float32) - np.float32(zero)) * np.float32(scale)).reshape(shapes[field])
        np.save(os.path.join(folder, f"float_{field}.npy"), numbers)
        words.append(f"--input={field}={folder}/float_{field}.npy")
    tenon("run", model, *words, f"--output-dir={folder}/floats")
    worst = 0
    for k, (field, data) in enumerate(expected):
        want = np.load(f"{folder}/floats/output_{k}.npy").ravel()
        got = np.load(f"{folder}/out/output_{k}.npy").ravel()
        if want.dtype == bool:
            assert (want != got).sum() <= len(want) // 50, f"{field}: {(want != got).sum()} differ"
            continue
        scale, zero = stands(field)
        worst = max(worst, abs((got.astype(np.float64) - zero) - want / scale).max())
    assert worst < 1.01, f"{worst:.2f} steps from floats"
    return f"{worst:.2f} steps from floats at most"


def model_path(folder, name, text):
    if text.endswith((".tn", ".tflite")):
        path = os.path.join(ROOT, text)
        if os.path.exists(path): return path
        print(f"skip: {text} is not there (tests/make_tflite.py makes it)")
        return None
    if "\n" in text:
        open(os.path.join(folder, name + ".tn"), "w").write(text)
        return os.path.join(folder, name + ".tn")
    try:
        import make_models
    except ImportError as e:
        print(f"skip: {name}: {e.name} is not installed (./bootstrap test installs it where PyPI can be reached)")
        return None
    return make_models.make(text, folder)


def check_model(name, text, options, wanted, folder):
    """The number of checks that failed."""
    failed = 0
    model = model_path(folder, name, text)
    if not model: return 0
    prepared = prepare(folder, model, options)
    checks = [("here", lambda: check_here(model, options, folder, prepared) or "equal")] if options else []
    if name == "choices": checks.append(("floats", lambda: check_floats(model, options, folder, prepared)))
    if model.endswith(".onnx"):
        checks.append(("judge", lambda: f"{max(check_judge(model, options, folder, seed) for seed in range(2, 8)):.2f} steps from ONNX Runtime at most"))
    checks += [(key, lambda key=key: check(key, model, options, folder, prepared)) for key in sorted(wanted, key=lambda key: key == "m4")]
    if "m4" in wanted and name in COMPACT: checks.append(("m4 small", lambda: check_compact(model, options, folder, prepared)))
    for key, run in checks:
        try: print(f"{name:19} {key:9} {run()}")
        except AssertionError as e:
            failed += 1
            print(f"{name:19} {key:9} FAILED: {e}")
    return failed


def main():
    wanted = sys.argv[1:] or list(machines.MACHINES)
    missing = sorted({c for k in wanted for c in machines.MACHINES[k].missing()})
    if missing:
        print("skip: not installed:", *missing, "(./bootstrap test installs them)")
        sys.exit(77)
    failed = 0
    for name, (text, options, without) in MODELS.items():
        with tempfile.TemporaryDirectory() as folder:
            failed += check_model(name, text, options, [k for k in wanted if k not in without], folder)
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
