#!/usr/bin/env python3
"""Real models against ONNX Runtime: the same inputs through compiled C and through LLVM.

    tests/models.py [--models DIR] [--target c,llvm,opencl:cpu,opencl:gpu] [NAME...]     exit 77: skipped, the models or packages are not there

DIR (default build/models) is filled by tests/get_models.sh. A model is compiled once per target to an executable and
run at two sizes of every dynamic dimension (its own where it is fixed). Required: |difference| <= 1e-4 + 1e-3
|reference|, NaN and infinities in the same places; twice that where convolutions go by Winograd's algorithm, whose errors are
about twice as large, and the plain bound for the same model with --exact-conv. The arena is at most 1.15
times the largest live set, at one size. One line per model, target and size; the last line counts.
"""
import argparse, json, os, subprocess, sys, tempfile, time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TENON = os.environ.get("TENON", os.path.join(ROOT, "build/release/tenon"))
try:
    import numpy as np
    import onnxruntime
except ImportError:
    print("skip: onnxruntime and numpy are not installed (./bootstrap test installs them where PyPI can be reached)")
    sys.exit(77)

# Sizes of dynamic axes, by input: two of each. Fixed models have one entry of nothing.
SIZES = {
    "magika": [{"bytes": (1, 2048)}, {"bytes": (5, 2048)}],
    "silero_vad": [{"input": (1, 576), "state": (2, 1, 128), "sr": ()}, {"input": (3, 576), "state": (2, 3, 128), "sr": ()}],
    "ppocr_det": [{"x": (1, 3, 96, 160)}, {"x": (2, 3, 64, 96)}],
    "ppocr_rec": [{"x": (1, 3, 48, 160)}, {"x": (2, 3, 48, 320)}],
    "ppocr_cls": [{"x": (1, 3, 48, 192)}, {"x": (3, 3, 48, 96)}],
}
# Dimensions that the model's own layers fix, though its file leaves them open.
PINS = {"ppocr_rec": ["x_d2=48"], "silero_vad": ["sequence=576"], "ppocr_cls": ["x_d2=48"]}
WINOGRAD = ["resnet50"]  # 3x3 convolutions at sizes known when compiling, with enough channels
NAMES = ["magika", "silero_vad", "ppocr_det", "ppocr_rec", "ppocr_cls", "minilm", "resnet50", "mobilenetv2", "bert_base_128",
         "gpt2_decode", "mlp", "lstm_2x128", "wavenet"]


def make_input(model, name, shape, kind, rng):
    if "int" in kind:
        t = np.int32 if "int32" in kind else np.int64
        if name == "sr":
            return np.array(16000, t)
        if "mask" in name:
            return np.ones(shape, t)
        if "type" in name:
            return np.zeros(shape, t)
        return rng.integers(0, 256 if name == "bytes" else 900, shape).astype(t)
    if name == "state":
        return np.zeros(shape, np.float32)
    return (rng.standard_normal(shape) * .1 if model == "silero_vad" else rng.random(shape)).astype(np.float32)


def compare(got, want, bound=1):
    """None where they agree within so many times the usual bound, else what is wrong."""
    if got.shape != want.shape or got.dtype != want.dtype:
        return f"{got.dtype}{got.shape}, expected {want.dtype}{want.shape}"
    if not np.issubdtype(want.dtype, np.floating):
        return None if np.array_equal(got, want) else f"{(got != want).sum()} elements differ"
    odd = ~np.isfinite(want)
    if not np.array_equal(np.isnan(got), np.isnan(want)) or not np.array_equal(got[np.isinf(want)], want[np.isinf(want)]):
        return "NaN or infinities in other places"
    d = np.abs(got[~odd].astype(np.float64) - want[~odd])
    over = d > bound * (1e-4 + 1e-3 * np.abs(want[~odd]))
    return f"{over.sum()} of {over.size} elements differ, by up to {d.max():.3g}" if over.any() else None


def run_model(name, path, targets, folder):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    results = []
    ways = [(target, [], 2 if name in WINOGRAD else 1) for target in targets]
    if name in WINOGRAD:
        ways.append((targets[-1], ["--exact-conv"], 1))
    for target, options, bound in ways:
        program = os.path.join(folder, "model")
        start = time.time()
        pins = [f"--dim={p}" for p in PINS.get(name, [])] + options
        engine, _, device = target.partition(":")
        r = subprocess.run([TENON, "compile", path, "-o", program, "--target=" + engine, *["--device=" + device] * bool(device), *pins], capture_output=True, text=True)
        spent = time.time() - start
        if r.returncode:
            results.append((f"{name} {target}", "does not compile: " + r.stderr.strip()[-300:]))
            continue
        for i, sizes in enumerate(SIZES.get(name, [{}])):
            rng = np.random.default_rng(11 + i)
            feed = {v.name: make_input(name, v.name, sizes.get(v.name, v.shape), v.type, rng) for v in session.get_inputs()}
            want = session.run(None, feed)
            command = [program, "--output-dir", folder]
            for key, value in feed.items():
                np.save(os.path.join(folder, key.replace("/", "_") + ".npy"), value)
                command += ["--input", f"{key}={folder}/{key.replace('/', '_')}.npy"]
            r = subprocess.run(command, capture_output=True, text=True)
            wrong = f"stops: {r.stderr.strip()[-300:]}" if r.returncode else None
            worst = 0
            for k, w in enumerate(want):
                if wrong:
                    break
                got = np.load(os.path.join(folder, f"output_{k}.npy"))
                wrong = compare(got, w, bound)
                wrong = wrong and f"output {k}: {wrong}"
                if w.size and np.issubdtype(w.dtype, np.floating) and got.shape == w.shape:
                    worst = max(worst, float(np.nanmax(np.abs(got - w))))
            shape = " ".join("x".join(map(str, s)) for s in sizes.values() if s) or "fixed"
            results.append((" ".join([name, target, *options, shape]) + f" (compiled in {spent:.1f} s, largest difference {worst:.2g})", wrong))
    return results


def arena_wrong(path, sizes):
    """The arena is at most 1.15 times the largest live set, at one size of every dimension."""
    pins = []
    for key, shape in sizes.items():
        pins += [f"--dim={key}_d{axis}={size}" for axis, size in enumerate(shape)]
    fixed = subprocess.run([TENON, "check", path, "--json", "--quiet", *pins], capture_output=True, text=True)
    if fixed.returncode:
        return "check: " + fixed.stderr.strip()[-300:]
    said = json.loads(fixed.stdout)
    return None if said["arena_bytes"] <= 1.15 * said["live_bytes"] else f"arena {said['arena_bytes']}, live {said['live_bytes']}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", default=os.path.join(ROOT, "build/models"))
    parser.add_argument("--target", default="c,llvm", help="opencl:cpu and opencl:gpu: with that schedule, on the device that is here")
    parser.add_argument("names", nargs="*")
    a = parser.parse_args()
    llvm = "LLVM" in subprocess.run([TENON, "--version"], capture_output=True, text=True).stdout
    targets = [t for t in a.target.split(",") if t != "llvm" or llvm]
    passed = failed = skipped = 0
    for name in a.names or NAMES:
        path = os.path.join(a.models, name + ".onnx")
        if not os.path.exists(path):
            print(f"skip {name}: {path} is not there (./bootstrap models fetches it)")
            skipped += 1
            continue
        with tempfile.TemporaryDirectory() as folder:
            wrong = arena_wrong(path, SIZES.get(name, [{}])[0])
            print(("fail " if wrong else "pass ") + f"{name} arena" + (": " + wrong if wrong else ""), flush=True)
            passed, failed = passed + (not wrong), failed + bool(wrong)
            for what, wrong in run_model(name, path, targets, folder):
                print(("fail " if wrong else "pass ") + what + (": " + wrong if wrong else ""), flush=True)
                passed, failed = passed + (not wrong), failed + bool(wrong)
    print(f"{passed} passed, {failed} failed, {skipped} models skipped")
    return 1 if failed else 77 if not passed else 0


if __name__ == "__main__":
    sys.exit(main())
