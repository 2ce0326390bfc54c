"""Figures beside speed, for `tests/bench.py --figures`: compile time, code size, time to the first answer, memory.

An executable of Tenon's against a process that loads ONNX Runtime or OpenVINO from C (tests/bench_host.c): from the process's start
to its first answer, with the files in the page cache, weights and all; one thread, one CPU; medians of turns that
alternate. Peak memory is what the system counts for that process. Answers are compared with ONNX Runtime's.
"""
import glob, json, os, shutil, statistics, subprocess, sys, time

import numpy as np
from bench_engines import ENGINES, ROOT, TENON, library_of, must
from bench_feed import WRONG, error_of

PEERS = ["onnxruntime", "openvino"]
TURNS = 7


def compile_seconds(model, suffix):
    """The least of up to three times, and the file."""
    target, took = os.path.join(model.work, "net" + suffix), []
    while len(took) < 3 and sum(took) < 5:
        start = time.perf_counter()
        must([TENON, "compile", model.path, "--target=" + ("c" if suffix == ".c" else "llvm"), "-o", target, "--quiet"], model.limit)
        took.append(time.perf_counter() - start)
    return min(took), target


def executable(model):
    """The command of Tenon's executable, its inputs from .npy files."""
    compile_seconds(model, "")
    command = [os.path.join(model.work, "net"), "--output-dir", "OUT", "--print=1"]
    for k, (name, kind, dims) in enumerate(model.tensors()[0]):
        path = os.path.join(model.work, f"in_{k}.npy")
        np.save(path, np.fromfile(os.path.join(model.feed, f"in_{k}.bin"), kind).reshape(dims))
        command += ["--input", f"{name}={path}"]
    return command


def launch(command, launcher, out, cpus):
    command = [out if word == "OUT" else word for word in command]
    r = subprocess.run([launcher] + command, capture_output=True, text=True, preexec_fn=lambda: os.sched_setaffinity(0, cpus))
    said = json.loads(r.stdout)
    if said["status"]:
        raise RuntimeError(f"status {said['status']}")
    for path in glob.glob(out + "/output_*.npy"):
        np.load(path).tofile(path.replace("output_", "out_").replace(".npy", ".bin"))
    return said


def figures_of(model, want, cpus):
    row = {"failed": {}}
    row["llvm_s"], library = compile_seconds(model, ".so")
    row["c_s"] = compile_seconds(model, ".c")[0]
    weights = json.loads(subprocess.run([TENON, "check", model.path, "--json", "--quiet"], capture_output=True, text=True).stdout)["weight_bytes"]
    row["code_kb"] = (os.path.getsize(library) - weights) / 1e3
    launcher, out = os.path.join(model.work, "launch"), model.place("out")
    must(["cc", "-O2", os.path.join(ROOT, "tests/bench_launch.c"), "-o", launcher], 60)
    commands, said = {"tenon": executable(model)}, {}
    for name in PEERS:
        try:
            commands[name] = ENGINES[name][1](model, 1)
        except RuntimeError as e:
            row["failed"][name] = str(e)
    for turn in range(TURNS + 1):  # the first one fills the page cache
        for name in [n for n in commands if n not in row["failed"]]:
            shutil.rmtree(out)
            os.makedirs(out)
            try:
                said.setdefault(name, []).append(launch(commands[name], launcher, out, cpus))
                if error_of(out, want) > WRONG:
                    row["failed"][name] = "wrong"
            except (RuntimeError, OSError) as e:
                row["failed"][name] = str(e)
    for name in [n for n in said if n not in row["failed"]]:
        row[name] = {"first_ms": statistics.median(s["s"] for s in said[name][1:]) * 1e3, "peak_mb": max(s["peak_kb"] for s in said[name]) / 1e3}
    return row


def library_sizes():
    lines = []
    for name, package, patterns in (("ONNX Runtime", "onnxruntime", ["capi/libonnxruntime.so*"]),
                                    ("OpenVINO", "openvino", [f"libs/lib{x}.so*" for x in ("openvino", "openvino_intel_cpu_plugin", "openvino_onnx_frontend", "tbb")])):
        try:
            lines.append(f"{name}'s libraries: {sum(os.path.getsize(library_of(package, p)) for p in patterns) / 1e6:.0f} MB.")
        except RuntimeError as e:
            print(e, file=sys.stderr)
    return " ".join(lines)


def table(rows):
    names = ["tenon"] + PEERS
    heads = ["model", ".so through LLVM s", "C text s", "code kB"]
    heads += [f"first answer ms, {h}" for h in ("Tenon", "ONNX Runtime", "OpenVINO")] + [f"peak MB, {h}" for h in ("Tenon", "ONNX Runtime", "OpenVINO")]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for model, row in rows.items():
        cells = [model, f"{row['llvm_s']:.2f}", f"{row['c_s']:.2f}", f"{row['code_kb']:.0f}"]
        for key, form in (("first_ms", ".3g"), ("peak_mb", ".0f")):
            cells += [format(row[n][key], form) if n in row else "wrong" if row["failed"].get(n) == "wrong" else "-" for n in names]
        lines.append("| " + " | ".join(cells) + " |")
    out = [f"- {model}, {n}: {why}" for model, row in rows.items() for n, why in row["failed"].items()]
    return "\n".join(lines + ["", "Code is the library without its weights. " + library_sizes()] + (["", "Left out:"] + out if out else []))
