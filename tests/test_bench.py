#!/usr/bin/env python3
"""The benchmark finds wrong answers: tests/bench.py on one tiny network, with Tenon right, and with another network's code.

    tests/test_bench.py        exit 77: skipped, onnx, onnxruntime or numpy is not installed

The other network differs in one weight; Tenon is given that one through a script in its place, all others the right one.
Then it must be named as wrong, have no time in the table, and make the exit status 1. The comparison itself must also
see NaN, a result that is too short, and one large element.
"""
import os, stat, subprocess, sys, tempfile

sys.dont_write_bytecode = True
try:
    import numpy as np
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper
except ImportError as e:
    print(f"skip: {e} (./bootstrap test installs it where PyPI can be reached)")
    sys.exit(77)
from bench_engines import ROOT, TENON
from bench_feed import WRONG, error_of


def write_network(path, change):
    """softmax(x w), x of 4 rows; change is added to one weight."""
    weights = np.random.default_rng(5).standard_normal((64, 32)).astype(np.float32)
    weights[3, 4] += change
    tensor = lambda name, *dims: helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["z"]), helper.make_node("Softmax", ["z"], ["y"], axis=1)]
    graph = helper.make_graph(nodes, "net", [tensor("x", 4, 64)], [tensor("y", 4, 32)], [numpy_helper.from_array(weights, "w")])
    onnx.save(helper.make_model(graph, ir_version=9, opset_imports=[helper.make_opsetid("", 17)]), path)


def bench(folder, tenon):
    command = [sys.executable, os.path.join(ROOT, "tests/bench.py"), "--models", folder, "--engines", "tenon-c,onnxruntime",
               "--threads", "1", "--rounds", "1", "--patience", "0", "right"]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "TENON": tenon}, timeout=300)


def run_cases(folder):
    write_network(os.path.join(folder, "right.onnx"), 0)
    write_network(os.path.join(folder, "other.onnx"), 5)
    planted = os.path.join(folder, "tenon")
    with open(planted, "w") as f:
        f.write(f'#!/bin/bash\nexec "{TENON}" "${{@/%*right.onnx/{folder}/other.onnx}}"\n')
    os.chmod(planted, os.stat(planted).st_mode | stat.S_IXUSR)
    r = bench(folder, TENON)
    row = [line for line in r.stdout.splitlines() if line.startswith("| right |")]
    yield "a right answer has a time", r.returncode == 0 and len(row) == 1 and "wrong" not in r.stdout and "| - " not in row[0], r
    r = bench(folder, planted)
    row = [line for line in r.stdout.splitlines() if line.startswith("| right | wrong |")]
    yield "a wrong answer is named", r.returncode == 1 and len(row) == 1 and "- right, Tenon (C): wrong: off by" in r.stdout, r
    yield "and has no ratio", "Geometric mean" not in r.stdout, r


def comparison_cases(folder):
    want = [np.linspace(-1, 2, 12, dtype=np.float32).reshape(3, 4)]

    def error(values):
        np.asarray(values, np.float32).tofile(os.path.join(folder, "out_0.bin"))
        return error_of(folder, want)
    spoiled = want[0].copy()
    spoiled[1, 1] += 2 * 1.01 * WRONG
    yield "equal", error(want[0]) == 0, None
    yield "one element a little over the limit", WRONG < error(spoiled) < 1.02 * WRONG, None
    yield "NaN", error(np.where(want[0] > 1, np.nan, want[0])) > WRONG, None
    yield "too short", error(want[0][:2]) > WRONG, None


def main():
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for what, fine, r in list(comparison_cases(folder)) + list(run_cases(folder)):
            failed += not fine
            print(("pass " if fine else "fail ") + what + ("" if fine or r is None else f": status {r.returncode}\n{r.stdout}\n{r.stderr}"), flush=True)
    sys.exit(failed > 0)


main()
