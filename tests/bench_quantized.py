#!/usr/bin/env python3
"""What `tenon quantize` gains or costs: every model in floats and in bytes, run in turns.

    tests/bench_quantized.py [--models DIR] [--keep DIR] [--cpu native,x86-64-v3] [--rounds 5] [--samples 8] [--max-loss X] [NAME...]

Each model of tests/models.py at fixed sizes (tests/bench_feed.py) is quantized for each CPU with SAMPLES samples: real ones for models with
trained weights where their packages are there (tests/real_inputs.py), else random ones of the kind the model takes. Then both are
timed by `tenon bench`, one after the other, ROUNDS times; the medians of least times are compared. A line per model and CPU;
exit status 1 where bytes are slower by more than NOISE. --keep: folder for the quantized models; what is there already is not made
again. --max-loss: default 1, since what is asked here is only what bytes cost; models too small for bytes are named.
"""
import argparse, json, os, statistics, subprocess, sys, tempfile

sys.dont_write_bytecode = True
import real_inputs
from bench_feed import SIZES, fix_sizes
from models import NAMES, PINS, ROOT, TENON, make_input, np, onnxruntime
from real import Skip

NOISE = 1.03


def tenon(*words):
    return subprocess.run([TENON, *words], capture_output=True, text=True, timeout=3600)


def random_samples(name, path, n):
    rng = np.random.default_rng(3)
    inputs = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).get_inputs()
    return [{v.name: make_input(name, v.name, v.shape, v.type, rng) for v in inputs} for _ in range(n)]


def samples_of(name, path, models, n):
    """Real samples where they fit the sizes of the model here."""
    try:
        found = getattr(real_inputs, name)(models)[:n] if hasattr(real_inputs, name) else []
    except Skip:
        found = []
    wanted = random_samples(name, path, n)
    alike = found and all(found[0][key].shape == value.shape for key, value in wanted[0].items())
    return found if alike else wanted


def quantize(name, path, folder, cpu, a):
    """The model of bytes for the CPU, and what the command said; None, and why, where it refused."""
    out, report = (os.path.join(folder, f"{name}-{cpu}{suffix}") for suffix in (".tn", ".json"))
    if not os.path.exists(report):
        data = os.path.join(folder, "data.npz")
        feeds = samples_of(name, path, a.models, a.samples)
        np.savez(data, **{key: np.stack([feed[key] for feed in feeds]) for key in feeds[0]})
        r = tenon("quantize", path, "--data", data, "-o", out, "--report", report, f"--cpu={cpu}", f"--max-loss={a.max_loss}", "--quiet")
        os.remove(data)
        if r.returncode:
            return None, r.stderr.strip().split("\n")[0]
    with open(report) as f:
        return out, json.load(f)


def measure(path, cpu):
    r = tenon("bench", path, "--json", "--quiet", "--target=llvm", f"--cpu={cpu}")
    assert r.returncode == 0, r.stderr
    return json.loads(r.stdout)["min_ms"]


def compare(name, path, model, report, cpu, rounds):
    """Prints a line; whether bytes are slower."""
    times = [[measure(p, cpu) for p in (path, model)] for _ in range(rounds)]
    exact, quantized = (statistics.median(t[i] for t in times) for i in (0, 1))
    n_bytes = sum(layer["precision"] == "bytes" for layer in report["layers"])
    slower = quantized > NOISE * exact
    print(f"{name:14} {cpu:12} {n_bytes:3} of {len(report['layers']):3} layers in bytes, loss {report['loss']:8.3g}: "
          f"{exact:9.4f} -> {quantized:9.4f} ms, {exact / quantized:5.2f} times as fast{'  SLOWER' if slower else ''}", flush=True)
    return slower


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", default=os.path.join(ROOT, "build/models"))
    parser.add_argument("--keep")
    parser.add_argument("--cpu", default="native,x86-64-v3")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--max-loss", type=float, default=1)
    parser.add_argument("names", nargs="*")
    a = parser.parse_args()
    slower = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = os.path.abspath(a.keep or temporary)
        os.makedirs(folder, exist_ok=True)
        for name in a.names or NAMES:
            path = fixed = os.path.join(os.path.abspath(a.models), name + ".onnx")
            if not os.path.exists(path):
                print(f"{name}: not there (./bootstrap models fetches it)")
                continue
            if name in SIZES:
                fixed = os.path.join(temporary, name + ".onnx")
                fix_sizes(path, SIZES[name], fixed)
            for cpu in a.cpu.split(","):
                model, report = quantize(name, fixed, folder, cpu, a)
                if model:
                    slower += compare(name, fixed, model, report, cpu, a.rounds)
                else:
                    print(f"{name:14} {cpu:12} stays in floats: {report}", flush=True)
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
