#!/usr/bin/env python3
"""Operators on quantized tensors that ONNX Runtime's tools write, one at a time, against ONNX Runtime.

    tests/test_quantized_operators.py     exit 77: skipped, the packages are not there

Each case runs in the interpreter and through LLVM, with scales and weights as constants and as inputs. Integers are to be
equal; a case may allow a share of its elements one step, where ONNX Runtime orders float operations otherwise.
"""
import os, re, subprocess, sys, tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TENON = os.environ.get("TENON", os.path.join(ROOT, "build/release/tenon"))
try:
    import numpy as np
    import onnx
    import onnxruntime
    from onnx import helper, numpy_helper
except ImportError:
    print("skip: onnxruntime, onnx and numpy are not installed (./bootstrap test installs them where PyPI can be reached)")
    sys.exit(77)

rng = np.random.default_rng(1)


def u8(*shape):
    return rng.integers(0, 256, shape).astype(np.uint8)


def i8(*shape):
    return rng.integers(-128, 128, shape).astype(np.int8)


def i32(*shape):
    return rng.integers(-9999, 9999, shape).astype(np.int32)


def f32(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def q(data, scale, zero):
    """A quantized tensor as three inputs."""
    return [data, np.float32(scale), None if zero is None else np.array(zero, data.dtype)]


def to(scale, zero, dt=np.uint8):
    return [np.float32(scale), np.array(zero, dt)]


# rows, bits, K, N, block, zero points: few rows read the packed weights, many (the last) floats that compiling made
BITS = [((2, 5), 4, 128, 24, 32, False), ((2, 5), 4, 100, 24, 32, True), ((2, 5), 4, 96, 24, 32, True), ((2, 5), 4, 128, 24, 128, True),
        ((1,), 4, 256, 40, 64, False), ((1,), 4, 256, 130, 32, True), ((3,), 4, 72, 33, 16, False), ((1,), 8, 256, 40, 64, False),
        ((1, 2), 8, 100, 70, 32, True), ((4,), 8, 128, 48, 128, True), ((80,), 4, 128, 24, 32, True)]


def list_cases():
    """(name, operator, inputs, attributes, inputs that stay inputs): the others are constants."""
    image = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]}
    yield "add", "QLinearAdd", q(u8(2, 3, 8, 8), .021, 128) + q(u8(2, 3, 8, 8), .033, 100) + to(.057, 120), {}, (0, 3)
    yield "add_i8", "QLinearAdd", q(i8(4, 40), .021, -3) + q(i8(40), .033, 7) + to(.057, 0, np.int8), {}, (0, 3)
    yield "mul", "QLinearMul", q(u8(2, 3, 8, 8), .021, 128) + q(u8(3, 1, 1), .033, 100) + to(.057, 120), {}, (0, 3)
    yield "concat", "QLinearConcat", to(.021, 3) + q(u8(2, 3), .033, 5) + q(u8(2, 4), .021, 3), {"axis": 1}, (2, 5)
    yield "sigmoid", "QLinearSigmoid", q(u8(2, 3, 16), .051, 128) + to(1 / 200, 0), {}, (0,)
    yield "leaky_relu", "QLinearLeakyRelu", q(u8(2, 3, 16), .051, 128) + to(1 / 30, 90), {"alpha": .1}, (0,)
    yield "softmax", "QLinearSoftmax", q(u8(2, 3, 16), .051, 128) + to(1 / 256, 0), {"axis": -1, "opset": 13}, (0,)
    yield "softmax_11", "QLinearSoftmax", q(u8(2, 3, 16), .051, 128) + to(1 / 256, 0), {"axis": 1, "opset": 11}, (0,)
    yield "mean", "QLinearGlobalAveragePool", q(u8(2, 5, 7, 7), .051, 128) + to(.023, 100), {}, (0,)
    yield "pool", "QLinearAveragePool", q(u8(2, 5, 8, 8), .051, 128) + to(.043, 100), image, (0,)
    yield "where", "QLinearWhere", [rng.random((4, 5)) < .5] + q(u8(4, 5), .051, 128) + q(u8(4, 5), .03, 110) + to(.043, 100), {}, (0, 1, 4)
    channels = rng.random(40).astype(np.float32) * .01 + .01
    for kind, scale, zero in ("tensor", np.float32(.01), np.int8(0)), ("channel", channels, np.zeros(40, np.int8)):
        a, c, y = q(u8(7, 64), .02, 120), [i32(40)], to(.517, 128)
        yield f"gemm_{kind}", "QGemm", a + [i8(64, 40), scale, zero] + c + y, {}, (0,)
        yield f"gemm_{kind}_turned", "QGemm", a + [i8(40, 64), scale, zero] + c + y, {"transB": 1}, (0,)
        yield f"gemm_{kind}_float", "QGemm", a + [i8(40, 64), scale, zero] + c, {"transB": 1, "alpha": .5}, (0,)
        yield f"conv_{kind}", "ai.onnx.QLinearConv", q(u8(2, 10, 9, 9), .02, 120) + [i8(40, 10, 3, 3), scale, zero] + y + c, {"pads": [1, 1, 1, 1]}, (0,)
        yield f"matmul_{kind}", "ai.onnx.QLinearMatMul", a + [i8(64, 40), scale, zero] + y, {}, (0,)
    for kind, w, zero in ("i8", i8(64, 40), np.int8(0)), ("u8", u8(64, 40), np.uint8(113)), ("low", u8(64, 40), np.uint8(0)), ("channel", u8(64, 40), u8(40)):
        scale = channels if kind == "channel" else np.float32(.01)
        a = [u8(2, 7, 64), w, np.float32(.02), scale, np.uint8(120), zero, f32(40)]
        yield f"to_float_{kind}", "MatMulIntegerToFloat", a, {}, (0,)
        yield f"to_float_{kind}_moving", "MatMulIntegerToFloat", a, {}, (0, 2, 4)
        yield f"dynamic_{kind}", "DynamicQuantizeMatMul", [f32(2, 7, 64), w, scale, zero, f32(40)], {}, (0,)
        yield f"integer_{kind}", "ai.onnx.MatMulInteger", [u8(2, 7, 64), w, np.uint8(99), zero], {}, (0,)
        yield f"integer_{kind}_moving", "ai.onnx.MatMulInteger", [u8(2, 7, 64), w, np.uint8(99), zero], {}, (0, 2)
    for kind, inputs in ("", (0,)), ("_moving", (0, 2)):
        yield "conv3" + kind, "ai.onnx.ConvInteger", [u8(2, 10, 9, 9), u8(24, 10, 3, 3), np.uint8(77), np.uint8(113)], {"pads": [1, 1, 1, 1]}, inputs
        yield "conv1" + kind, "ai.onnx.ConvInteger", [u8(2, 16, 9, 9), u8(24, 16, 1, 1), np.uint8(77), np.uint8(113)], {"strides": [2, 2]}, inputs
        yield "depth" + kind, "ai.onnx.ConvInteger", [u8(2, 16, 9, 9), u8(16, 1, 3, 3), np.uint8(77), np.uint8(113)], {"pads": [1, 1, 1, 1], "group": 16}, inputs
    for rows, bits, k, n, block, has_zero in BITS:
        blocks = (k + block - 1) // block
        zero = u8(n * ((blocks * bits + 7) // 8)) if has_zero else None
        a = [f32(*rows, k), u8(n, blocks, block * bits // 8), f32(n * blocks) * np.float32(.1 if bits == 4 else .01), zero]
        name = f"bits{bits}_{'x'.join(map(str, rows))}_{k}_{n}_{block}{'_zero' if has_zero else ''}"
        yield name, "MatMulNBits", a, {"K": k, "N": n, "bits": bits, "block_size": block, "accuracy_level": 1}, (0,)
    yield "quantize_16", "QuantizeLinear", [f32(2, 40)] + to(.021, 3000, np.uint16), {}, (0,)
    yield "dequantize", "DequantizeLinear", q(u8(2, 40), .021, 30), {}, (0,)


TARGETS = [("interpreter", "llvm"), ("interpreter", "c", "llvm")]
ONE_STEP = {"pool": .01}  # sums of the window in another order


def make_model(op, inputs, attributes, open_inputs):
    domain, _, op = op.rpartition("ai.onnx.") if op.startswith("ai.onnx.") else ("com.microsoft", "", op)
    names = ["" if a is None else f"i{k}" for k, a in enumerate(inputs)]
    node = helper.make_node(op, names, ["y"], domain=domain, **attributes)
    given = [helper.make_tensor_value_info(names[k], helper.np_dtype_to_tensor_dtype(inputs[k].dtype), inputs[k].shape) for k in open_inputs]
    constants = [numpy_helper.from_array(a, names[k]) for k, a in enumerate(inputs) if a is not None and k not in open_inputs]
    graph = helper.make_graph([node], "g", given, [onnx.ValueInfoProto(name="y")], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)], ir_version=10)


def compare(name, got, want):
    if got.shape != want.shape or got.dtype != want.dtype:
        return f"{got.dtype}{got.shape}, expected {want.dtype}{want.shape}"
    d = np.abs(got.astype(np.float64) - want)
    if want.dtype == np.float32:
        return f"differs by up to {d.max():.3g}" if (d > 2e-5 * (1 + np.abs(want))).any() else None
    share = ONE_STEP.get(name, 0)
    return f"{(d > 0).mean():.2%} of elements differ, by up to {d.max():.0f}" if (d > 1).any() or (d > 0).mean() > share else None


def run_case(name, op, inputs, attributes, open_inputs, folder):
    """Messages of what is wrong."""
    inputs = [None if a is None else np.asarray(a) for a in inputs]
    path = os.path.join(folder, name + ".onnx")
    onnx.save(make_model(op, inputs, attributes, open_inputs), path)
    want = onnxruntime.InferenceSession(path).run(None, {f"i{k}": inputs[k] for k in open_inputs})[0]
    options = []
    for k in open_inputs:
        np.save(os.path.join(folder, f"i{k}.npy"), inputs[k])
        options.append(f"--input=i{k}={folder}/i{k}.npy")
    if op == "MatMulNBits" and np.prod(inputs[0].shape[:-1]) < 8:  # both vector widths, and read as it is
        for cpu in "x86-64-v3", "x86-64-v4":
            r = subprocess.run([TENON, "check", path, "--stop-after=narrow", "--cpu=" + cpu], capture_output=True, text=True)
            if not re.search(r"matmul_(nibbles|narrow|blocks)\(", r.stdout):
                yield f"{name} ({op}): the weights are not read as they are: {r.stderr}{r.stdout}"
    for target in TARGETS[op == "MatMulNBits"]:
        out = os.path.join(folder, target)
        os.makedirs(out, exist_ok=True)
        r = subprocess.run([TENON, "run", path, "--target=" + target, "--output-dir=" + out, *options], capture_output=True, text=True)
        wrong = r.stderr if r.returncode else compare(name, np.load(os.path.join(out, "output_0.npy")), want)
        if wrong:
            yield f"{name} ({op}), {target}: {wrong}"


def main():
    cases = list(list_cases())
    with tempfile.TemporaryDirectory() as folder:
        wrong = [message for case in cases for message in run_case(*case, folder)]
    for message in wrong:
        print(message)
    print(f"{len(cases)} operators, {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
