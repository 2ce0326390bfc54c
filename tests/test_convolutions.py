#!/usr/bin/env python3
"""Convolutions with constant weights, by every algorithm, at the sizes where algorithms go wrong.

    tests/test_convolutions.py [winograd|transposed]...

The ONNX cases give weights as inputs, so that what the compiler makes of constant ones (Winograd's transforms, phases of
transposed convolutions, blocks of channels filled up with zeros) needs models of its own: one output row, ragged tiles,
one channel more than a vector, uneven padding, strides that do not divide the kernel. Each model goes through
`tenon verify` (every stage and both back ends against the interpreter) and through ONNX Runtime. The bound: 1e-5 of the
largest value, 2e-5 with Winograd's algorithm.
Exit status 77 where the Python packages are missing.
"""
import os, subprocess, sys, tempfile

try:
    import numpy as np, onnx, onnxruntime as ort
    from onnx import TensorProto, helper
except ImportError as e:
    print(f"skipped: {e}")
    sys.exit(77)

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TENON = os.environ.get("TENON", os.path.join(ROOT, "build/release/tenon"))

# n, c, h, w, outputs, pads (top, left, bottom, right)
WINOGRAD = [(1, 16, 4, 4, 16, (1, 1, 1, 1)), (1, 1, 1, 1, 1, (1, 1, 1, 1)), (1, 3, 3, 3, 8, (0, 0, 0, 0)), (2, 17, 5, 7, 33, (1, 1, 1, 1)),
            (1, 16, 7, 14, 24, (0, 1, 2, 3)), (1, 8, 13, 2, 16, (1, 1, 1, 1)), (3, 5, 6, 9, 31, (2, 0, 1, 1)), (1, 32, 8, 8, 64, (1, 1, 1, 1))]
# c, h, w, outputs, kernel, stride, pads, output padding
TRANSPOSED = [(4, 5, 6, 8, (2, 2), (2, 2), (0, 0, 0, 0), (0, 0)), (3, 4, 3, 17, (3, 3), (2, 2), (1, 1, 1, 1), (1, 1)), (16, 7, 5, 1, (2, 2), (2, 2), (0, 0, 0, 0), (0, 0)),
              (2, 3, 3, 5, (5, 4), (3, 2), (1, 0, 2, 1), (0, 0)), (1, 1, 1, 1, (1, 1), (2, 3), (0, 0, 0, 0), (1, 2)), (6, 4, 4, 33, (4, 4), (2, 2), (1, 1, 1, 1), (0, 0)),
              (5, 6, 2, 3, (3, 2), (1, 2), (1, 0, 0, 0), (0, 0)), (3, 5, 5, 4, (2, 2), (3, 3), (0, 0, 0, 0), (1, 0))]


def model(path, op, x_shape, weight, bias, relu, **attributes):
    """op, bias, and where relu is set a residual and a relu on top, which fuse into it."""
    constants = [helper.make_tensor(name, TensorProto.FLOAT, v.shape, v.tobytes(), raw=True) for name, v in (("w", weight), ("b", bias))]
    nodes, last = [helper.make_node(op, ["x", "w", "b"], ["c"], **attributes)], "c"
    if relu:
        nodes += [helper.make_node("Sigmoid", ["c"], ["s"]), helper.make_node("Add", ["c", "s"], ["a"]), helper.make_node("Relu", ["a"], ["r"])]
        last = "r"
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, x_shape)],
                              [helper.make_tensor_value_info(last, TensorProto.FLOAT, None)], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def check(name, path, folder, rng, options, bound):
    text = subprocess.run([TENON, "check", path, "--print-after=layout", *options], capture_output=True, text=True).stdout
    if ("x[p, q, n, a, b, c]" if name.startswith("winograd") else "BLOCKS0") not in text:
        return f"fail {name}: the algorithm was not used"
    verify = subprocess.run([TENON, "verify", path, *options], capture_output=True, text=True)
    if verify.returncode:
        return f"fail {name}: {verify.stdout[-300:]}{verify.stderr[-300:]}"
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    x = rng.standard_normal([d for d in session.get_inputs()[0].shape]).astype(np.float32)
    np.save(f"{folder}/x.npy", x)
    want = session.run(None, {"x": x})[0]
    for target in ("c", "llvm"):
        run = subprocess.run([TENON, "run", path, f"--target={target}", f"--input=x={folder}/x.npy", f"--output-dir={folder}/out", *options], capture_output=True, text=True)
        if run.returncode:
            return f"fail {name} {target}: {run.stderr[-300:]}"
        got = np.load(f"{folder}/out/output_0.npy")
        off = float(np.abs(got - want).max() / max(1e-3, float(np.abs(want).max()))) if got.shape == want.shape else float("inf")
        if not off <= bound:
            return f"fail {name} {target}: off by {off:.2g} of the largest value"
    return None


def cases(which, folder, rng):
    """name, path, options, bound"""
    if which == "winograd":
        for i, (n, c, h, w, outputs, pads) in enumerate(WINOGRAD):
            weight = (rng.standard_normal((outputs, c, 3, 3)) / np.sqrt(9 * c)).astype(np.float32)
            path = f"{folder}/winograd{i}.onnx"
            model(path, "Conv", [n, c, h, w], weight, rng.standard_normal(outputs).astype(np.float32), i % 2 == 0, pads=pads)
            for tile in ("2", "4"):
                for cpu in ("x86-64", "native"):
                    yield f"winograd {tile} {cpu} {n}x{c}x{h}x{w} to {outputs}", path, [f"--winograd={tile}", f"--cpu={cpu}"], 2e-5
    else:
        for i, (c, h, w, outputs, kernel, stride, pads, more) in enumerate(TRANSPOSED):
            weight = (rng.standard_normal((c, outputs, *kernel)) / np.sqrt(c)).astype(np.float32)
            path = f"{folder}/transposed{i}.onnx"
            model(path, "ConvTranspose", [1, c, h, w], weight, rng.standard_normal(outputs).astype(np.float32), i % 2 == 0, pads=pads, strides=stride, output_padding=more)
            yield f"transposed {c}x{h}x{w} to {outputs}, kernel {kernel}, stride {stride}", path, [], 1e-5


def main():
    failed = passed = 0
    rng = np.random.default_rng(7)
    with tempfile.TemporaryDirectory() as folder:
        for which in sys.argv[1:] or ["winograd", "transposed"]:
            for name, path, options, bound in cases(which, folder, rng):
                wrong = check(name, path, folder, rng, options, bound)
                print(wrong or f"pass {name}", flush=True)
                failed, passed = failed + bool(wrong), passed + (not wrong)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
