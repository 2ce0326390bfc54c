#!/usr/bin/env python3
"""Latency beside other engines, all in one run: README's tables.

    tests/bench.py [--threads 1,2] [--engines tenon-llvm,onnxruntime,openvino,mnn,ncnn] [--rounds N] [--json FILE] [MODEL...]

`./bootstrap bench` installs the peers (PyPI packages, into build/venv) and runs this. Batch 1, every engine at its own
best settings (tests/bench_engines.py; also tenon-c and, slow, emx). Each runs in a process of its own; with one thread all are
pinned to the same CPU, with N to the same N. Turns are interleaved, at least 30 runs each in all, so that whatever else the
machine does meets all of them alike, and a process is stopped (SIGSTOP) while it is not its turn, with all its threads.
Only ratios within one run mean anything: best peer over ours, where less than a tenth either way is a tie. Answers are
compared with ONNX Runtime's after loading and after every turn: an engine that is off by more than a hundredth of the
largest value is out, and named. Exit status 1 where that is Tenon, or where Tenon fails.
"""
import argparse, json, math, os, select, shutil, signal, statistics, subprocess, sys, tempfile, time

from bench_engines import ENGINES, ROOT, TENON, TYPES, Model
from models import NAMES, make_input
import numpy as np

SIZES = {"magika": {"bytes": (1, 2048)}, "silero_vad": {"input": (1, 576), "state": (2, 1, 128), "sr": ()},
         "ppocr_det": {"x": (1, 3, 480, 480)}, "ppocr_rec": {"x": (1, 3, 48, 320)}, "ppocr_cls": {"x": (1, 3, 48, 192)}}
DEFAULT = ["tenon-llvm", "onnxruntime", "openvino", "mnn", "ncnn"]
TIE, WRONG = 1.1, 1e-2
TURN_S, LEAST_RUNS, MOST_RUNS = 0.3, 30, 2000


# ---- a model with fixed sizes, inputs, and the answers to expect ----

def fix_sizes(path, sizes, target):
    """The same network in target, its inputs' sizes as given: one file for all engines."""
    import onnx
    net = onnx.load(path)
    del net.graph.value_info[:]
    for value in net.graph.input:
        if value.name in sizes:
            del value.type.tensor_type.shape.dim[:]
            for n in sizes[value.name]:
                value.type.tensor_type.shape.dim.add().dim_value = n
    for value in net.graph.output:
        value.type.tensor_type.ClearField("shape")
    onnx.save(net, target)


def make_feed(name, path, folder):
    """Writes inputs (feed.txt, in_K.bin) and returns the Model and ONNX Runtime's answers."""
    import onnxruntime
    onnxruntime.set_default_logger_severity(3)
    model = Model(name, os.path.join(folder, name + ".onnx"), os.path.join(folder, "feed"), os.path.join(folder, "work"))
    os.makedirs(model.feed)
    os.makedirs(model.work)
    if name in SIZES:
        fix_sizes(path, SIZES[name], model.path)
    else:
        os.symlink(os.path.abspath(path), model.path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.path, options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(1)
    feed = {i.name: np.ascontiguousarray(make_input(name, i.name, i.shape, i.type, rng)) for i in session.get_inputs()}
    want = session.run(None, feed)
    outputs = [o.name for o in session.get_outputs()]
    number = {np.dtype(kind): code for code, kind in TYPES.items()}
    with open(os.path.join(model.feed, "feed.txt"), "w") as f:
        print(len(feed), len(want), file=f)
        for key, value in list(feed.items()) + list(zip(outputs, want)):
            print(key, number[value.dtype], value.nbytes, value.ndim, *value.shape, file=f)
    for k, value in enumerate(feed.values()):
        value.tofile(os.path.join(model.feed, f"in_{k}.bin"))
    return model, want


def error_of(folder, want):
    """The largest difference over the largest value, of all outputs; infinite where sizes, NaN or infinities differ."""
    worst = 0.0
    for k, expected in enumerate(want):
        got = np.fromfile(os.path.join(folder, f"out_{k}.bin"), expected.dtype)
        if got.size != expected.size:
            return math.inf
        got, expected = got.astype(np.float64), expected.reshape(-1).astype(np.float64)
        odd = ~np.isfinite(expected)
        if not np.array_equal(got[odd], expected[odd], equal_nan=True) or not np.isfinite(got[~odd]).all():
            return math.inf
        largest = max(1e-6, np.abs(expected[~odd]).max(initial=0))
        worst = max(worst, float(np.abs(got[~odd] - expected[~odd]).max(initial=0) / largest))
    return worst


# ---- one engine's process ----

class Failed(Exception):
    pass


class Engine:
    """Stopped except while it loads or has its turn."""
    def __init__(self, name, threads, model, want, limit):
        self.name, self.threads, self.want, self.times, self.error = name, threads, want, [], 0.0
        self.out = tempfile.mkdtemp(dir=model.work)
        start = time.perf_counter()
        try:
            command = [self.out if word == "OUT" else word for word in ENGINES[name][1](model, threads)]
        except (RuntimeError, OSError, KeyError, subprocess.TimeoutExpired) as e:
            raise Failed(" ".join(str(e).split())) from e
        self.prepare_s = time.perf_counter() - start
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "KMP_", "MKL_", "GOMP_"))}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                        env=clean, preexec_fn=lambda: os.sched_setaffinity(0, cpus(threads)))
        try:
            self.loading = self.read(limit)
            self.check()
            self.times = self.turn(3)
            self.runs = max(3, min(MOST_RUNS, int(TURN_S / max(min(self.times), 1e-7))))
            self.times = []
        except Failed:
            self.close()
            raise

    def read(self, limit):
        if not select.select([self.process.stdout], [], [], limit)[0]:
            raise Failed(f"no answer in {limit:.0f} s")
        try:
            said = json.loads(self.process.stdout.readline())
        except ValueError:
            raise Failed(f"its process ended with {self.process.wait()}") from None
        os.kill(self.process.pid, signal.SIGSTOP)
        os.waitpid(self.process.pid, os.WUNTRACED)
        if "why" in said:
            raise Failed(said["why"])
        return said

    def check(self):
        self.error = max(self.error, error_of(self.out, self.want))
        if self.error > WRONG:
            raise Failed(f"wrong: off by {self.error:.2g} of the largest value")

    def turn(self, n):
        os.kill(self.process.pid, signal.SIGCONT)
        self.process.stdin.write(f"{n}\n")
        self.process.stdin.flush()
        times = self.read(600)
        self.check()
        return times

    def close(self):
        self.process.kill()
        self.process.wait()


def cpus(n):
    """The CPUs of n threads: the last ones that may be used."""
    return set(sorted(os.sched_getaffinity(0))[-n:])


# ---- measuring ----

def peak_of(threads):
    """GFLOP/s of multiply-adds that these CPUs reach now, all at the same time."""
    command = [TENON, "bench", os.path.join(ROOT, "examples/digits.tn"), "--zero-weights", "--runs=1", "--json", "--quiet"]
    each = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=lambda c=c: os.sched_setaffinity(0, {c})) for c in cpus(threads)]
    return sum(json.loads(p.communicate()[0])["peak_gflops_per_s"] for p in each)


def flops_of(model):
    r = subprocess.run([TENON, "check", model.path, "--json", "--quiet"], capture_output=True, text=True)
    return json.loads(r.stdout)["flops"] if r.returncode == 0 else 0


def measure(model, want, names, threads, rounds, limit):
    """A row: what each engine took, or why it is out; with several threads also ours on one, in the same turns."""
    running, row = [], {"engines": {}, "failed": {}, "flops": flops_of(model)}
    for name, n in [(e, threads) for e in names] + [(e, 1) for e in names if e.startswith("tenon") and threads > 1]:
        try:
            running.append(Engine(name, n, model, want, limit))
        except Failed as e:
            row["failed"][name] = str(e)
    peaks = []
    for i in range(rounds):
        peaks.append(peak_of(threads))
        for engine in running[i % len(running):] + running[:i % len(running)] if running else []:
            try:
                engine.times += engine.turn(max(-(-LEAST_RUNS // rounds), engine.runs))
            except Failed as e:
                row["failed"][engine.name] = str(e)
                engine.times = []
                engine.turn = lambda n: []
    row["peak_gflops_per_s"] = statistics.median(peaks)
    for engine in running:
        engine.close()
        if engine.times:
            low, median, high = statistics.quantiles(engine.times, n=4)
            key = engine.name if engine.threads == threads else engine.name + " on 1"
            row["engines"][key] = {"median_ms": median * 1e3, "quartiles_ms": [low * 1e3, high * 1e3], "runs": len(engine.times),
                                   "prepare_s": engine.prepare_s, "error": engine.error, **engine.loading}
    return row


# ---- tables ----

def best(row, names):
    took = [row["engines"][n]["median_ms"] for n in names if n in row["engines"]]
    return min(took) if took else None


def ratio_of(row, names):
    ours, peer = (best(row, [n for n in names if n.startswith("tenon") == mine]) for mine in (True, False))
    return peer / ours if ours and peer else None


def cell(row, name):
    if name in row["engines"]:
        return f"{row['engines'][name]['median_ms']:.3g}"
    return "wrong" if row["failed"].get(name, "").startswith("wrong") else "-"


def table(rows, names, threads):
    """A markdown table, the geometric mean, and who is out."""
    ours = [n for n in names if n.startswith("tenon")]
    heads = ["model"] + [ENGINES[n][0] + " ms" for n in names] + ["best peer / ours", "of the peak"]
    heads += [f"{threads} threads / 1"] if threads > 1 else []
    lines = [f"{threads} thread{'s' if threads > 1 else ''}:", "", "| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    ratios, out = [], []
    for model, row in rows.items():
        ratio, mine = ratio_of(row, names), best(row, ours)
        ratios += [ratio] if ratio else []
        cells = [model] + [cell(row, n) for n in names]
        cells.append(f"{ratio:.2f}" + (" (tie)" if 1 / TIE < ratio < TIE else "") if ratio else "-")
        cells.append(f"{row['flops'] / mine / row['peak_gflops_per_s'] * 1e-4:.0f} %" if mine else "-")
        alone = best(row, [n + " on 1" for n in ours])
        if threads > 1:
            cells.append(f"{alone / mine:.2f}" if alone and mine else "-")
        lines.append("| " + " | ".join(cells) + " |")
        out += [f"- {model}, {ENGINES[n][0]}: {why}" for n, why in row["failed"].items()]
    if ratios:
        won, lost = sum(r >= TIE for r in ratios), sum(r <= 1 / TIE for r in ratios)
        lines += ["", f"Geometric mean of best peer / ours over {len(ratios)} models: {statistics.geometric_mean(ratios):.2f}; "
                  f"{won} won, {len(ratios) - won - lost} tied, {lost} lost."]
    return "\n".join(lines + (["", "Left out:"] + out if out else []))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", default=os.path.join(ROOT, "build/models"))
    parser.add_argument("--engines", default=",".join(DEFAULT), help="of " + ",".join(ENGINES))
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=float, default=300, help="seconds an engine may take to load a model")
    parser.add_argument("--json", help="write all figures there")
    parser.add_argument("model", nargs="*", default=NAMES)
    options = parser.parse_args()
    names, counts = options.engines.split(","), [int(n) for n in options.threads.split(",")]
    if any(n not in ENGINES for n in names) or any(n < 1 or n > len(os.sched_getaffinity(0)) for n in counts):
        parser.error("an engine that is not known, or more threads than CPUs")
    rows = {n: {} for n in counts}
    for name in options.model:
        path = os.path.join(options.models, name + ".onnx")
        if not os.path.exists(path):
            sys.exit(f"no {path}: ./bootstrap models fetches it")
        folder = tempfile.mkdtemp(prefix="bench-")
        try:
            model, want = make_feed(name, path, folder)
            for n in counts:
                row = rows[n][name] = measure(model, want, names, n, options.rounds, options.limit)
                print(f"{name}, {n} thread(s): " + ", ".join(f"{k} {v['median_ms']:.4g} ms" for k, v in row["engines"].items()), file=sys.stderr, flush=True)
        finally:
            shutil.rmtree(folder)
        if options.json:
            with open(options.json, "w") as f:
                json.dump(rows, f, indent=1)
    print("\n\n".join(table(rows[n], names, n) for n in counts))
    sys.exit(any(e.startswith("tenon") for n in counts for row in rows[n].values() for e in row["failed"]))


if __name__ == "__main__":
    main()
