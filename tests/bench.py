#!/usr/bin/env python3
"""Latency beside other engines, all in one run: README's tables.

    tests/bench.py [--threads 1,2] [--engines tenon-llvm,onnxruntime,openvino,mnn,ncnn] [--rounds N] [--json FILE] [MODEL...]
    tests/bench.py --figures [--json FILE] [MODEL...]       compile time, size, first answer, memory (tests/bench_figures.py)

`./bootstrap bench` installs the peers (PyPI packages, into build/venv) and runs this. Batch 1, every engine at its own
best settings (tests/bench_engines.py; also tenon-c and, slow, emx). Each runs in a process of its own; with one thread all are
pinned to the same CPU, with N to the same N. Turns are interleaved, at least 30 runs each in all, so that whatever else
the machine does meets all of them alike. A process is stopped (SIGSTOP) while it is not its turn, with all its threads. A turn
in which other processes took more than a twentieth of the CPUs is repeated while --patience lasts; the tables say how much
others took at most. Only ratios within one run mean anything: best peer over ours, less than a tenth either way is a
tie. Answers are compared with ONNX Runtime's after loading and after every turn: an engine that is off by more than a
hundredth of the largest value is out, and named. Exit status 1 where that is Tenon, or where Tenon fails.
"""
import argparse, ctypes, json, os, select, shutil, signal, statistics, subprocess, sys, tempfile, time

import bench_figures
from bench_engines import ENGINES, ROOT, TENON
from bench_feed import WRONG, error_of, make_feed
from models import NAMES

DEFAULT = ["tenon-llvm", "onnxruntime", "openvino", "mnn", "ncnn"]
TIE = 1.1
TURN_S, LEAST_RUNS, MOST_RUNS = 0.3, 30, 2000
CALM, PAUSE_S = 0.05, 0.5  # a turn in which others took more of the CPUs is repeated, after a pause


# ---- one engine's process ----

class Failed(Exception):
    pass


class Engine:
    """Stopped except while it loads or has its turn."""
    def __init__(self, name, threads, model, want, limit):
        self.name, self.threads, self.want, self.error, self.others = name, threads, want, 0.0, []
        self.out = tempfile.mkdtemp(dir=model.work)
        start = time.perf_counter()
        try:
            command = [self.out if word == "OUT" else word for word in ENGINES[name][1](model, threads)]
        except (RuntimeError, OSError, KeyError, subprocess.TimeoutExpired) as e:
            raise Failed(" ".join(str(e).split())) from e
        self.prepare_s = time.perf_counter() - start
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "KMP_", "MKL_", "GOMP_"))}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                        env=clean, preexec_fn=lambda: settle(cpus(threads)))
        try:
            self.loading = self.read(limit)
            self.check()
            self.runs = min(MOST_RUNS, int(TURN_S / max(min(self.go(3)[0]), 1e-7)))
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

    def go(self, n):
        """Seconds of n runs, and what part of the CPUs others took meanwhile."""
        start, busy, own = time.perf_counter(), busy_seconds(cpus(self.threads)), self.own_seconds()
        os.kill(self.process.pid, signal.SIGCONT)
        self.process.stdin.write(f"{n}\n")
        self.process.stdin.flush()
        times = self.read(600)
        others = busy_seconds(cpus(self.threads)) - busy - (self.own_seconds() - own)
        self.check()
        return times, max(0, others) / (time.perf_counter() - start) / self.threads

    def turn(self, least_runs, deadline):
        """Adds a turn, the calmest until then."""
        n = max(least_runs, self.runs)
        tries = [self.go(n)]
        while tries[-1][1] > CALM and time.monotonic() < deadline:
            time.sleep(PAUSE_S)
            tries.append(self.go(n))
        times, others = min(tries, key=lambda t: t[1])
        self.times += times
        self.others.append(others)

    def own_seconds(self):
        with open(f"/proc/{self.process.pid}/stat") as f:
            return sum(map(int, f.read().rsplit(")", 1)[1].split()[11:13])) / os.sysconf("SC_CLK_TCK")

    def close(self):
        self.process.kill()
        self.process.wait()


def settle(some):
    """In the child: on these CPUs, and no longer than its parent, which may end while the child is stopped."""
    os.sched_setaffinity(0, some)
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def cpus(n):
    """The CPUs of n threads: the last ones that may be used."""
    return set(sorted(os.sched_getaffinity(0))[-n:])


def busy_seconds(some):
    """What these CPUs have worked so far, for whomever, a hypervisor's other guests included."""
    with open("/proc/stat") as f:
        rows = [line.split() for line in f if line.startswith("cpu") and line[3].isdigit()]
    return sum(sum(map(int, r[1:4] + r[6:9])) for r in rows if int(r[0][3:]) in some) / os.sysconf("SC_CLK_TCK")


# ---- measuring ----

def peak_of(threads):
    """GFLOP/s of multiply-adds that these CPUs reach now, all at the same time."""
    command = [TENON, "bench", os.path.join(ROOT, "examples/digits.tn"), "--zero-weights", "--runs=1", "--json", "--quiet"]
    each = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=lambda c=c: os.sched_setaffinity(0, {c})) for c in cpus(threads)]
    return sum(json.loads(p.communicate()[0])["peak_gflops_per_s"] for p in each)


def flops_of(model):
    r = subprocess.run([TENON, "check", model.path, "--json", "--quiet"], capture_output=True, text=True)
    return json.loads(r.stdout)["flops"] if r.returncode == 0 else 0


def measure(model, want, names, threads, options):
    """A row: what each engine took, or why it is out; with several threads also ours on one, in the same turns."""
    running, row = [], {"engines": {}, "failed": {}, "flops": flops_of(model)}
    for name, n in [(e, threads) for e in names] + [(e, 1) for e in names if e.startswith("tenon") and threads > 1]:
        try:
            running.append(Engine(name, n, model, want, options.limit))
        except Failed as e:
            row["failed"][name] = str(e)
    peaks, deadline = [], time.monotonic() + options.patience
    for i in range(options.rounds):
        peaks.append(peak_of(threads))
        turn = i % len(running) if running else 0
        for engine in running[turn:] + running[:turn]:
            try:
                engine.turn(-(-LEAST_RUNS // options.rounds), deadline)
            except Failed as e:
                row["failed"][engine.name] = str(e)
        for engine in [e for e in running if e.name in row["failed"]]:
            engine.close()
            running.remove(engine)
    row["peak_gflops_per_s"] = max(peaks)
    for engine in running:
        engine.close()
        low, median, high = statistics.quantiles(engine.times, n=4)
        key = engine.name if engine.threads == threads else engine.name + " on 1"
        row["engines"][key] = {"median_ms": median * 1e3, "min_ms": min(engine.times) * 1e3, "quartiles_ms": [low * 1e3, high * 1e3],
                               "runs": len(engine.times), "others": max(engine.others), "prepare_s": engine.prepare_s,
                               "error": engine.error, **engine.loading}
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
    ratios, out, others = [], [], 0
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
        others = max([others] + [e["others"] for e in row["engines"].values()])
        out += [f"- {model}, {ENGINES[n][0]}: {why}" for n, why in row["failed"].items()]
    if ratios:
        won, lost = sum(r >= TIE for r in ratios), sum(r <= 1 / TIE for r in ratios)
        lines += ["", f"Geometric mean of best peer / ours over {len(ratios)} models: {statistics.geometric_mean(ratios):.2f}; "
                  f"{won} won, {len(ratios) - won - lost} tied, {lost} lost. Others took at most {others:.0%} of the CPUs during a turn."]
    return "\n".join(lines + (["", "Left out:"] + out if out else []))


def of_each(names, folder_of_models, path_of_json, work):
    """work(name, model, answers) for each model, in a folder that is gone afterwards; rows so far are kept in the JSON file."""
    for name in names:
        path = os.path.join(folder_of_models, name + ".onnx")
        if not os.path.exists(path):
            sys.exit(f"no {path}: ./bootstrap models fetches it")
        folder = tempfile.mkdtemp(prefix="bench-")
        try:
            rows = work(name, *make_feed(name, path, folder))
        finally:
            shutil.rmtree(folder)
        if path_of_json:
            with open(path_of_json, "w") as f:
                json.dump(rows, f, indent=1)


def latencies(options, names, counts):
    rows = {n: {} for n in counts}

    def work(name, model, want):
        for n in counts:
            row = rows[n][name] = measure(model, want, names, n, options)
            print(f"{name}, {n} thread(s): " + ", ".join(f"{k} {v['median_ms']:.4g} ms" for k, v in row["engines"].items()), file=sys.stderr, flush=True)
        return rows

    of_each(options.model, options.models, options.json, work)
    print("\n\n".join(table(rows[n], names, n) for n in counts))
    return any(e.startswith("tenon") for n in counts for row in rows[n].values() for e in row["failed"])


def figures(options):
    rows = {}

    def work(name, model, want):
        rows[name] = bench_figures.figures_of(model, want, cpus(1))
        print(name, rows[name], file=sys.stderr, flush=True)
        return rows

    of_each(options.model, options.models, options.json, work)
    print(bench_figures.table(rows))
    return any("tenon" in row["failed"] for row in rows.values())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", default=os.path.join(ROOT, "build/models"))
    parser.add_argument("--engines", default=",".join(DEFAULT), help="of " + ",".join(ENGINES))
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--figures", action="store_true", help="compile time, size, first answer and memory instead of speed")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--patience", type=float, default=30, help="seconds to wait for a calm machine, per model and number of threads")
    parser.add_argument("--limit", type=float, default=300, help="seconds an engine may take to load a model")
    parser.add_argument("--json", help="write all figures there")
    parser.add_argument("model", nargs="*", default=NAMES)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the large files in /tmp go
    names, counts = options.engines.split(","), [int(n) for n in options.threads.split(",")]
    if any(n not in ENGINES for n in names) or any(n < 1 or n > len(os.sched_getaffinity(0)) for n in counts):
        parser.error("an engine that is not known, or more threads than CPUs")
    sys.exit(figures(options) if options.figures else latencies(options, names, counts))


if __name__ == "__main__":
    main()
