#!/usr/bin/env python3
"""Everything that a GPU is needed for, in one command: `./bootstrap gpu`.

    tests/gpu.py [--device=gpu|cpu|NUMBER] [--quick] [--out=DIR] [--schedule=FILE|gpu] [STEP...]

On the first OpenCL GPU of `tenon devices`, or the device given: what it is; the models of build/models against ONNX
Runtime's answers on the CPU; the op table against the interpreter; ONNX's node cases; a product of two 4096 x 4096 matrices beside
cuBLAS and resnet50, 1 and 64 pictures, beside ONNX Runtime's GPU providers, where such are installed; and what tuning gains. STEPs:
device models ops cases gemm resnet50 tune; all without any. Each writes a line; all is left in DIR (default build/gpu) as gpu.json and
gpu.txt.

Kernels are scheduled for the record of the device that is found, or --schedule's: `gpu` is a GPU of which nothing is known.
--device=cpu does the same on an OpenCL CPU device with a plain GPU's schedule, on few models, operators and small sizes
(--quick): that tests the schedules and this command, and its times say nothing about GPUs. Exit status 1: something was wrong, or there is no
such device.
"""
import argparse, json, os, subprocess, sys, tempfile, time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TENON = os.environ.get("TENON", os.path.join(ROOT, "build/release/tenon"))
BUILD = os.path.dirname(os.path.abspath(TENON))
MODELS = os.path.join(ROOT, "build/models")
QUICK_MODELS = ["mlp", "silero_vad"]
QUICK_OPS = ["add", "softmax", "matmul", "sum"]
QUICK_CASES = ["test_matmul_2d", "test_softmax_axis_1", "test_reduce_mean_keepdims_random", "test_basic_conv_with_padding"]


class Wrong(Exception):
    pass


class Setting:
    """What the steps know: the device's record, the schedule's argument, the environment that picks the device."""
    def __init__(self, device, schedule, quick, out):
        self.device, self.schedule, self.quick, self.out = device, schedule, quick, out
        self.environment = {**os.environ, "TENON": TENON, "TENON_DEVICE": str(device["number"])}

    def run(self, command, limit=3600):
        r = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", env=self.environment, timeout=limit)
        return r.returncode, r.stdout, r.stderr

    def must(self, command, limit=3600):
        status, out, err = self.run(command, limit)
        if status: raise Wrong(f"{' '.join(command[:2])}: status {status}: {(out + err).strip()[-400:]}")
        return out

    def bench(self, path, *options):
        """tenon bench's totals, and the seconds that kernels took in a run."""
        with tempfile.TemporaryDirectory() as folder:
            report = os.path.join(folder, "report.json")
            command = [TENON, "bench", path, "--target=opencl", "--device=" + self.schedule, "--json", "--quiet", "--report=" + report, *options]
            said = json.loads(self.must(command + ["--runs=3"] * self.quick))
            calls = json.load(open(report))["calls"]
        said["kernels_ms"] = 1e3 * sum(c["least_s"] * c["times"] for c in calls)
        said["slowest"] = [{"layers": c["layers"], "kernel": c["kernel"], "strategy": c["strategy"], "ms": 1e3 * c["least_s"] * c["times"],
                            "gflops_per_s": c["flops"] / c["least_s"] / 1e9 if c["least_s"] else 0}
                           for c in sorted(calls, key=lambda c: -c["least_s"] * c["times"])[:10]]
        return said


# ---- steps: each returns what goes into gpu.json, with a line of text under "said" ----

def step_device(s):
    d = s.device
    words = f"{d['name']}: {d['kind']}, {d['compute_units']} units, {d['local_bytes']} bytes of local memory, groups of up to {d['work_group_most']}"
    return {"said": words, "record": d}


def last_line(out):
    lines = [line for line in out.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def step_models(s):
    names = QUICK_MODELS if s.quick else []
    status, out, err = s.run([sys.executable, "tests/models.py", "--models", MODELS, "--target=opencl:" + s.schedule, *names], 7200)
    if status == 77: return {"said": "skipped: " + last_line(out)}
    if status: raise Wrong("; ".join(line for line in out.splitlines() if line.startswith("fail"))[:2000] or err[-400:])
    return {"said": last_line(out), "lines": out.splitlines()}


def step_ops(s):
    status, out, err = s.run([os.path.join(BUILD, "test_ops"), "--device=" + s.schedule, *(QUICK_OPS if s.quick else [])], 14400)
    if status == 77: raise Wrong(last_line(out))
    if status: raise Wrong((out + err).strip()[-2000:])
    return {"said": last_line(out)}


def step_cases(s):
    command = [sys.executable, "tests/onnx/cases.py", "--cases", os.path.join(ROOT, "build/onnx_cases"), "--target=opencl",
               "--device=" + s.schedule, *(QUICK_CASES if s.quick else [])]
    status, out, err = s.run(command, 14400)
    if status == 77: return {"said": "skipped: " + last_line(out)}
    if status: raise Wrong((out + err).strip()[-2000:])
    return {"said": last_line(out)}


def make_product(n, path):
    import onnx
    from onnx import TensorProto, helper
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [n, n])
    graph = helper.make_graph([helper.make_node("MatMul", ["a", "b"], ["y"])], "product", [value("a"), value("b")], [value("y")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def torch_product(n):
    """Milliseconds of cuBLAS through PyTorch, in float32 without TF32."""
    import torch
    if not torch.cuda.is_available(): raise ImportError("PyTorch sees no GPU")
    torch.backends.cuda.matmul.allow_tf32 = False
    a, b = torch.rand(n, n, device="cuda"), torch.rand(n, n, device="cuda")
    best = float("inf")
    for _ in range(20):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        torch.matmul(a, b)
        end.record()
        torch.cuda.synchronize()
        best = min(best, start.elapsed_time(end))
    return best


def cupy_product(n):
    import cupy
    a, b = cupy.random.rand(n, n, dtype=cupy.float32), cupy.random.rand(n, n, dtype=cupy.float32)
    best = float("inf")
    for _ in range(20):
        start, end = cupy.cuda.Event(), cupy.cuda.Event()
        start.record()
        cupy.matmul(a, b)
        end.record()
        end.synchronize()
        best = min(best, cupy.cuda.get_elapsed_time(start, end))
    return best


def step_gemm(s):
    n, peers = 256 if s.quick else 4096, {}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "product.onnx")
        make_product(n, path)
        said = s.bench(path)
    for name, product in (("PyTorch", torch_product), ("CuPy", cupy_product)):
        try:
            peers[name] = product(n)
        except Exception as e:  # not installed, no driver, no GPU: said, not hidden
            peers[name] = f"not timed: {' '.join(str(e).split())[:120]}"
    ours, times = said["kernels_ms"], [t for t in peers.values() if isinstance(t, float)]
    words = f"{n} x {n}: {ours:.3f} ms, {2 * n ** 3 / ours / 1e6:.0f} GFLOP/s ({said['slowest'][0]['strategy']})"
    words += f"; cuBLAS {min(times):.3f} ms, we take {ours / min(times):.2f} times that" if times else "; cuBLAS: neither PyTorch nor CuPy with a GPU is installed"
    return {"said": words, "n": n, "tenon": said, "peers_ms": peers}


def runtime_times(path, shape, runs):
    """Milliseconds by ONNX Runtime's GPU providers; a text where it has none."""
    import numpy as np
    import onnxruntime
    providers = [p for p in onnxruntime.get_available_providers() if p in ("TensorrtExecutionProvider", "CUDAExecutionProvider", "ROCMExecutionProvider")]
    if not providers: return "ONNX Runtime here has no GPU provider"
    times = {}
    for provider in providers:
        try:
            session = onnxruntime.InferenceSession(path, providers=[provider])
            if session.get_providers()[0] != provider: raise RuntimeError("is not used")
            feed = {session.get_inputs()[0].name: np.random.default_rng(1).random(shape, dtype=np.float32)}
            for _ in range(3): session.run(None, feed)
            spent = []
            for _ in range(runs):
                start = time.perf_counter()
                session.run(None, feed)
                spent.append(time.perf_counter() - start)
            times[provider] = 1e3 * min(spent)
        except Exception as e:
            times[provider] = "not timed: " + " ".join(str(e).split())[:120]
    return times


def step_resnet50(s):
    path, results, words = os.path.join(MODELS, "resnet50.onnx"), {}, []
    if not os.path.exists(path): return {"said": f"skipped: {path} is not there (./bootstrap models fetches it)"}
    import onnx
    from bench_feed import fix_sizes
    given = onnx.load(path, load_external_data=False).graph.input[0]
    for batch in [1] if s.quick else [1, 64]:
        with tempfile.TemporaryDirectory() as folder:
            own, shape = os.path.join(folder, "net.onnx"), (batch, 3, 224, 224)
            fix_sizes(path, {given.name: shape}, own)
            said, peers = s.bench(own), runtime_times(own, shape, 20)
        results[batch] = {"tenon": said, "peers_ms": peers}
        words.append(f"batch {batch}: {said['min_ms']:.2f} ms ({said['kernels_ms']:.2f} in kernels), others {peers}")
    return {"said": "; ".join(words), "batches": results}


def step_tune(s):
    name, budget = ("mlp", 10) if s.quick else ("resnet50", 300)
    path, file = os.path.join(MODELS, name + ".onnx"), os.path.join(s.out, name + ".tune")
    if not os.path.exists(path): return {"said": f"skipped: {path} is not there (./bootstrap models fetches it)"}
    s.must([TENON, "tune", path, "--target=opencl", "--device=" + s.schedule, f"--budget={budget}", "--quiet", "-o", file])
    plain, tuned = s.bench(path), s.bench(path, "--tuning=" + file)
    lines = sum(line.startswith("kernel") for line in open(file))
    return {"said": f"{name}: {lines} kernels by other records; {plain['min_ms']:.3f} ms, tuned {tuned['min_ms']:.3f}", "plain": plain, "tuned": tuned}


STEPS = {"device": step_device, "models": step_models, "ops": step_ops, "cases": step_cases, "gemm": step_gemm, "resnet50": step_resnet50,
         "tune": step_tune}


# ---- the device ----

def find_device(wanted):
    """Its row of `tenon devices --json`; None where there is none, with a word about it."""
    r = subprocess.run([TENON, "devices", "--json"], capture_output=True, text=True)
    rows = json.loads(r.stdout) if r.returncode == 0 and r.stdout.strip() else []
    fits = [d for d in rows if d["works"] and (d["kind"] == wanted or str(d["number"]) == wanted)]
    if fits: return fits[0]
    there = ", ".join(f"{d['number']} {d['name']} ({d.get('kind', d['notes'])})" for d in rows) or (r.stderr.strip() or "none")
    print(f"no OpenCL device '{wanted}' here; there are: {there}")
    if wanted == "gpu": print("--device=cpu does the same checks on a CPU device, with a GPU's schedules")
    return None


def schedule_of(device, given, out):
    if given: return given
    if device["kind"] == "cpu": return "gpu"
    file = os.path.join(out, "device.txt")
    subprocess.run([TENON, "devices", str(device["number"]), "-o", file], check=True, stdout=subprocess.DEVNULL)
    return file


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="gpu", help="gpu, cpu, or a number of `tenon devices`")
    parser.add_argument("--schedule", help="a device's record, or gpu; default: the device's own")
    parser.add_argument("--quick", action="store_true", help="few models and operators, small sizes")
    parser.add_argument("--out", default=os.path.join(ROOT, "build/gpu"))
    parser.add_argument("steps", nargs="*", metavar="STEP", help=" ".join(STEPS))
    a = parser.parse_args()
    for name in a.steps:
        if name not in STEPS: parser.error(f"there is no step '{name}': {' '.join(STEPS)}")
    device = find_device(a.device)
    if not device: return 1
    os.makedirs(a.out, exist_ok=True)
    setting = Setting(device, schedule_of(device, a.schedule, a.out), a.quick or device["kind"] == "cpu", a.out)
    results, table, bad = {}, [], 0
    for name in a.steps or STEPS:
        start = time.time()
        try:
            results[name] = {"passed": True, **STEPS[name](setting)}
        except (Wrong, OSError, ImportError, KeyError, ValueError, subprocess.SubprocessError) as e:
            results[name] = {"passed": False, "said": f"{type(e).__name__}: {e}" if not isinstance(e, Wrong) else str(e)}
            bad += 1
        results[name]["seconds"] = round(time.time() - start, 1)
        table.append(f"{'pass' if results[name]['passed'] else 'FAIL'} {name:9s} {results[name]['seconds']:7.1f} s  {results[name]['said']}")
        print(table[-1], flush=True)
        with open(os.path.join(a.out, "gpu.json"), "w") as f: json.dump(results, f, indent=1)
        with open(os.path.join(a.out, "gpu.txt"), "w") as f: f.write("\n".join(table) + "\n")
    print(f"{len(results) - bad} passed, {bad} failed; {os.path.relpath(a.out, ROOT)}/gpu.json and gpu.txt")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
