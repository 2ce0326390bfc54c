#!/usr/bin/env python3
"""Small quantized models for microcontrollers, as ONNX files with QuantizeLinear and DequantizeLinear around every operator.

    tests/python tests/microcontrollers/make_models.py FOLDER [NAME...]

digits: the network of examples/digits.tn with its weights, for pictures of 8x8 as floats 0..1. keyword: a net of the size of
keyword spotters (DS-CNN: a convolution of 10x4 over 49x10 features, four depthwise and pointwise pairs of 64 channels, the
mean, 12 words), with random weights, which neither sizes nor times depend on. ONNX Runtime's quantize_static makes both:
weights of 8 bits by channel, activations of 8 bits, ranges from samples. Same seed, same file.
"""
import json, os, struct, sys
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def safetensors(path):
    raw = open(path, "rb").read()
    n = struct.unpack("<Q", raw[:8])[0]
    head = json.loads(raw[8:8 + n])
    return {k: np.frombuffer(raw[8 + n:], np.float32, int(np.prod(v["shape"])), v["data_offsets"][0]).reshape(v["shape"])
            for k, v in head.items() if k != "__metadata__"}


class Net:
    """An ONNX graph in the making; x is its last value."""
    def __init__(self, name, shape):
        self.name, self.nodes, self.weights, self.shape, self.x = name, [], [], shape, "x"

    def constant(self, value):
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, op, *inputs, **attributes):
        out = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, [self.x, *inputs], [out], name=out, **attributes))
        self.x = out

    def conv(self, w, b, relu=True, **attributes):
        self.add("Conv", self.constant(w), self.constant(b), **attributes)
        if relu: self.add("Relu")

    def save(self, path, classes):
        self.nodes[-1].output[0] = "y"
        graph = helper.make_graph(self.nodes, self.name, [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)],
                                  [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, classes])], self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        onnx.save(model, path)


def digits(path, rng):
    w, net = safetensors(os.path.join(ROOT, "examples/digits.safetensors")), Net("digits", [1, 1, 8, 8])
    net.conv(w["conv1.weight"], w["conv1.bias"], pads=[1] * 4)
    net.conv(w["conv2.weight"], w["conv2.bias"], pads=[1] * 4, strides=[2, 2])
    net.add("Flatten")
    net.add("Gemm", net.constant(w["head.weight"]), net.constant(w["head.bias"]), transB=1)
    net.add("Softmax", axis=1)
    net.save(path, 10)
    samples = [rng.integers(0, 17, (1, 1, 8, 8)) / 16 for _ in range(32)]
    return [s.astype(np.float32) for s in samples]


def keyword(path, rng):
    net = Net("keyword", [1, 1, 49, 10])
    draw = lambda *shape: (rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))).astype(np.float32)
    shift = lambda n: (rng.standard_normal(n) * .1).astype(np.float32)
    net.conv(draw(64, 1, 10, 4), shift(64), pads=[4, 1, 5, 2], strides=[2, 2])
    for _ in range(4):
        net.conv(draw(64, 1, 3, 3), shift(64), pads=[1] * 4, group=64)
        net.conv(draw(64, 64, 1, 1), shift(64))
    net.add("GlobalAveragePool")
    net.add("Flatten")
    net.add("Gemm", net.constant(draw(12, 64)), net.constant(shift(12)), transB=1)
    net.add("Softmax", axis=1)
    net.save(path, 12)
    return [rng.standard_normal((1, 1, 49, 10)).astype(np.float32) for _ in range(8)]


class Samples(CalibrationDataReader):
    def __init__(self, samples):
        self.rest = iter(samples)

    def get_next(self):
        x = next(self.rest, None)
        return None if x is None else {"x": x}


MODELS = {"digits": digits, "keyword": keyword}


def make(name, folder):
    """The path of the quantized model; the float one lies beside it."""
    return quantize(name, folder, "", quant_format=QuantFormat.QDQ)


def operators(name, folder):
    """The same with QLinearConv for its convolutions, the rest in floats: ONNX's own quantized operators, no others."""
    return quantize(name, folder, "_operators", quant_format=QuantFormat.QOperator, op_types_to_quantize=["Conv"])


def quantize(name, folder, end, **options):
    plain, quantized = (os.path.join(folder, f"{name}{e}.onnx") for e in ("_float", end))
    samples = MODELS[name](plain, np.random.default_rng(1))
    quantize_static(plain, quantized, Samples(samples), per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
                    extra_options={"ActivationSymmetric": False}, **options)
    return quantized


if __name__ == "__main__":
    os.makedirs(sys.argv[1], exist_ok=True)
    for name in sys.argv[2:] or MODELS: print(make(name, sys.argv[1]))
