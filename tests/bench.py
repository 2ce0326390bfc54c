#!/usr/bin/env python3
"""Latency beside other engines, in one run: README's table.

    tests/bench.py [--models DIR] [--engines tenon-c,tenon-llvm,onnxruntime,openvino,emx] [--rounds N] [MODEL...]

`./bootstrap bench` installs the peers (PyPI packages, into build/venv) and runs this. Batch 1, one thread each, every
engine at its own best settings. Each engine runs in a process of its own; rounds are interleaved, so that whatever else
the machine does meets all of them alike; at least 30 runs each. Only ratios within one run mean anything: the last
column is the best peer's median over the better of our two. Also: seconds to compile and the artefact's size.
An engine that is not installed, or fails on a model, shows as `-`. Answers are compared with ONNX Runtime's.
"""
import argparse, ctypes, json, os, select, shutil, statistics, subprocess, sys, tempfile, time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TENON = os.environ.get("TENON", os.path.join(ROOT, "build/release/tenon"))
sys.path.insert(0, os.path.join(ROOT, "tests"))
ENGINES = ["tenon-c", "tenon-llvm", "onnxruntime", "openvino", "emx"]
SIZES = {"magika": {"bytes": (1, 2048)}, "silero_vad": {"input": (1, 576), "state": (2, 1, 128), "sr": ()},
         "ppocr_det": {"x": (1, 3, 480, 480)}, "ppocr_rec": {"x": (1, 3, 48, 320)}, "ppocr_cls": {"x": (1, 3, 48, 192)}}


def inputs_of(session, model):
    import numpy as np
    from models import make_input
    rng = np.random.default_rng(1)
    shapes = {i.name: SIZES.get(model, {}).get(i.name, tuple(d if isinstance(d, int) else 1 for d in i.shape)) for i in session.get_inputs()}
    return {i.name: np.ascontiguousarray(make_input(model, i.name, shapes[i.name], i.type, rng)) for i in session.get_inputs()}


def load_onnxruntime(path, model, folder, feed):
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, feed)


def load_openvino(path, model, folder, feed):
    import openvino as ov
    core = ov.Core()
    net = core.read_model(path)
    net.reshape({k: list(v.shape) for k, v in feed.items()})
    compiled = core.compile_model(net, "CPU", {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"})
    request = compiled.create_infer_request()
    for k, v in feed.items():
        request.set_tensor(k, ov.Tensor(v))

    def run():
        request.infer()
        return [request.get_output_tensor(i).data for i in range(len(compiled.outputs))]
    return run


def plain(library, symbol, feed, outputs):
    import numpy as np
    function = ctypes.CDLL(library)[symbol]
    function.restype = None
    results = [np.zeros(o.shape, o.dtype) for o in outputs]
    arguments = [ctypes.c_void_p(a.ctypes.data) for a in list(feed.values()) + results]

    def run():
        function(*arguments)
        return results
    return run


def load_tenon(path, model, folder, feed, outputs, target):
    pins = [f"--dim={k}_d{axis}={n}" for k, shape in SIZES.get(model, {}).items() for axis, n in enumerate(shape)]
    subprocess.run([TENON, "compile", path, f"--target={target}", *pins, "-o", f"{folder}/model.so", f"--abi-json={folder}/abi.json", "--quiet"], check=True)
    return plain(f"{folder}/model.so", json.load(open(f"{folder}/abi.json"))["symbol"], feed, outputs)


def load_emx(path, model, folder, feed, outputs):
    tool = shutil.which("emx-onnx-cgen", path=os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"])
    if not tool or model in SIZES:
        raise RuntimeError("not installed, or a model with dynamic dimensions")
    subprocess.run([tool, "compile", "--model-name", "net", path, "net.c"], cwd=folder, check=True, capture_output=True)
    subprocess.run(["gcc", "-O3", "-march=native", "-ffast-math", "-fPIC", "-shared", "-w", "net.c", "-lm", "-o", "net.so"], cwd=folder, check=True)
    run = plain(f"{folder}/net.so", "net", feed, outputs)
    weights = [f for f in os.listdir(folder) if f.endswith(".bin")]
    if weights:
        ctypes.CDLL(f"{folder}/net.so").net_load(f"{folder}/{weights[0]}".encode())
    return run


def worker(engine, path, model, folder):
    """Loads, says how that went, then answers each count on standard input with that many timings."""
    say = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        import numpy as np
        import onnxruntime as ort
        ort.set_default_logger_severity(3)
        session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
        feed = inputs_of(session, model)
        want = session.run(None, feed)
        del session
        start = time.time()
        if engine.startswith("tenon"):
            run = load_tenon(path, model, folder, feed, want, engine[6:])
        elif engine == "emx":
            run = load_emx(path, model, folder, feed, want)
        else:
            run = globals()["load_" + engine](path, model, folder, feed)
        loaded = time.time() - start
        got = run()
        error = max(float(np.abs(np.asarray(g, np.float64).reshape(w.shape) - w).max() / max(1e-6, float(np.abs(w).max()))) for g, w in zip(got, want))
        start = time.time()
        run()
        one = time.time() - start
        size = sum(os.path.getsize(os.path.join(folder, f)) for f in os.listdir(folder))
        say.write(json.dumps({"ok": True, "load_s": loaded, "one_s": one, "error": error, "bytes": size}) + "\n")
        say.flush()
        for line in sys.stdin:
            times = []
            for _ in range(int(line)):
                start = time.perf_counter()
                run()
                times.append(time.perf_counter() - start)
            say.write(json.dumps(times) + "\n")
            say.flush()
    except BaseException as e:
        say.write(json.dumps({"ok": False, "why": f"{type(e).__name__}: {e}"[:200]}) + "\n")
        say.flush()
    os._exit(0)


class Engine:
    def __init__(self, name, path, model, limit):
        self.name, self.times, self.folder = name, [], tempfile.mkdtemp()
        command = [sys.executable, os.path.abspath(__file__), "--worker", name, path, model, self.folder]
        if shutil.which("taskset"):
            command = ["taskset", "-c", str((os.cpu_count() or 1) - 1)] + command
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.state = self.read(limit)

    def read(self, limit):
        if not select.select([self.process.stdout], [], [], limit)[0]:
            self.process.kill()
            return {"ok": False, "why": "time-out"}
        line = self.process.stdout.readline()
        return json.loads(line) if line else {"ok": False, "why": "ended"}

    def go(self, n):
        self.process.stdin.write(f"{n}\n")
        self.process.stdin.flush()
        self.times += self.read(600)

    def close(self):
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def measure(path, model, engines, rounds, limit):
    running, row = [], {}
    for name in engines:
        engine = Engine(name, path, model, limit)
        if engine.state["ok"]:
            running.append(engine)
        else:
            print(f"  {model} {name}: {engine.state['why']}", file=sys.stderr)
            engine.close()
    for _ in range(rounds):
        for engine in running:
            engine.go(max(-(-30 // rounds), min(2000, int(0.3 / max(engine.state["one_s"], 1e-6)))))
    for engine in running:
        row[engine.name] = {"median_ms": statistics.median(engine.times) * 1e3, "min_ms": min(engine.times) * 1e3, **engine.state}
        engine.close()
    return row


def main():
    if len(sys.argv) > 1 and sys.argv[1] == "--worker":
        worker(*sys.argv[2:6])
    from models import NAMES
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", default=os.path.join(ROOT, "build/models"))
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=float, default=300, help="seconds an engine may take to load a model")
    parser.add_argument("--json")
    parser.add_argument("model", nargs="*", default=NAMES)
    options = parser.parse_args()
    engines, all_rows, product, count = options.engines.split(","), {}, 1.0, 0
    print("| model | " + " | ".join(f"{e} ms" for e in engines) + " | best peer / ours | compile C / LLVM s |")
    print("|---" * (len(engines) + 3) + "|")
    for model in options.model:
        path = os.path.join(options.models, model + ".onnx")
        if not os.path.exists(path):
            print(f"  {model}: no {path}", file=sys.stderr)
            continue
        row = all_rows[model] = measure(path, model, engines, options.rounds, options.limit)
        ours = [row[e]["median_ms"] for e in row if e.startswith("tenon")]
        peers = [row[e]["median_ms"] for e in row if not e.startswith("tenon")]
        ratio = min(peers) / min(ours) if ours and peers else None
        if ratio:
            product, count = product * ratio, count + 1
        cells = [f"{row[e]['median_ms']:.3g}" if e in row else "-" for e in engines]
        times = " / ".join(f"{row[e]['load_s']:.1f}" if e in row else "-" for e in ("tenon-c", "tenon-llvm"))
        print(f"| {model} | " + " | ".join(cells) + f" | {ratio:.2f} | {times} |" if ratio else f"| {model} | " + " | ".join(cells) + f" | - | {times} |", flush=True)
    if count:
        print(f"\ngeometric mean of best peer / ours over {count} models: {product ** (1 / count):.2f}")
    if options.json:
        json.dump(all_rows, open(options.json, "w"), indent=1)


if __name__ == "__main__":
    main()
