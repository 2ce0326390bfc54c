#!/usr/bin/env python3
"""Writes well-known architectures as ONNX files with random weights of a fixed seed: what tests and benchmarks run.

    make_models.py DIR [NAME...]      without names: all but minilm, each only where its file is not there yet

Opset 17, fixed shapes, batch 1; batch norms are folded into the convolutions, as such models are deployed. minilm
takes its weights from DIR/minilm.safetensors (the all-MiniLM-L6-v2 sentence encoder).
"""
import json, os, sys
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Net:
    def __init__(self, name, seed):
        self.name, self.random = name, np.random.default_rng(seed)
        self.nodes, self.weights, self.inputs, self.outputs, self.count = [], [], [], [], 0

    def fresh(self):
        self.count += 1
        return f"v{self.count}"

    def input(self, name, shape, integer=False):
        kind = TensorProto.INT64 if integer else TensorProto.FLOAT
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, name, shape):
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def const(self, value):
        name = self.fresh()
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value).reshape(np.shape(value)), name))
        return name

    def number(self, v):
        return self.const(np.float32(v))

    def ints(self, *v):
        return self.const(np.array(v, np.int64))

    def weight(self, *shape, scale=None):
        scale = scale or np.sqrt(2 / max(1, np.prod(shape[1:] if len(shape) > 1 else shape)))
        return self.const((self.random.standard_normal(shape) * scale).astype(np.float32))

    def __call__(self, op, *inputs, results=1, result=None, **attributes):
        names = [result] if result else [self.fresh() for _ in range(results)]
        self.nodes.append(helper.make_node(op, inputs, names, **attributes))
        return names[0] if results == 1 else names

    def conv2d(self, x, i, o, k, stride=1, groups=1):
        return self("Conv", x, self.weight(o, i // groups, k, k), self.weight(o, scale=.01), kernel_shape=[k, k],
                    strides=[stride] * 2, pads=[k // 2] * 4, group=groups)

    def dense(self, x, i, o, scale=None):
        y = self("MatMul", x, self.weight(i, o, scale=scale or i ** -.5))
        return self("Add", y, self.weight(o, scale=.01))

    def head(self, x, i, o, to="y"):
        return self("Gemm", x, self.weight(o, i), self.weight(o, scale=.01), transB=1, result=to)

    def model(self):
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="tenon tests")
        model.ir_version = 8
        return model


def resnet50():
    n = Net("resnet50", 1)
    x = n("Relu", n.conv2d(n.input("x", [1, 3, 224, 224]), 3, 64, 7, 2))
    x = n("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    width = 64
    for stage, blocks in enumerate((3, 4, 6, 3)):
        mid = 64 << stage
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            y = n("Relu", n.conv2d(x, width, mid, 1))
            y = n("Relu", n.conv2d(y, mid, mid, 3, stride))
            y = n.conv2d(y, mid, 4 * mid, 1)
            if not block:
                x = n.conv2d(x, width, 4 * mid, 1, stride)
            x, width = n("Relu", n("Add", y, x)), 4 * mid
    n.head(n("Flatten", n("GlobalAveragePool", x)), 2048, 1000)
    n.output("y", [1, 1000])
    return n


def mobilenetv2():
    n = Net("mobilenetv2", 2)
    low, high = n.number(0), n.number(6)
    relu6 = lambda v: n("Clip", v, low, high)
    x, width = relu6(n.conv2d(n.input("x", [1, 3, 224, 224]), 3, 32, 3, 2)), 32
    for grow, out, repeat, first in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
                                     (6, 160, 3, 2), (6, 320, 1, 1)):
        for i in range(repeat):
            stride, mid = (1 if i else first), width * grow
            y = relu6(n.conv2d(x, width, mid, 1)) if grow > 1 else x
            y = n.conv2d(relu6(n.conv2d(y, mid, mid, 3, stride, mid)), mid, out, 1)
            x, width = (n("Add", x, y) if stride == 1 and width == out else y), out
    x = relu6(n.conv2d(x, width, 1280, 1))
    n.head(n("Flatten", n("GlobalAveragePool", x)), 1280, 1000)
    n.output("y", [1, 1000])
    return n


def bert(name="bert_base_128", layers=12, width=768, heads=12, inner=3072, words=30522, length=128, weights=None):
    n = Net(name, 3)
    each = width // heads

    def param(key, *shape, turned=False):
        if weights is not None:
            return n.const(weights[key].T if turned else weights[key])
        return n.const(np.ones(shape, np.float32)) if key.endswith("LayerNorm.weight") else n.weight(*shape, scale=.02)

    def linear(x, key, i, o):
        return n("Add", n("MatMul", x, param(key + ".weight", i, o, turned=True)), param(key + ".bias", o))

    def norm(x, key):
        return n("LayerNormalization", x, param(key + ".weight", width), param(key + ".bias", width), axis=-1, epsilon=1e-12)

    def split(x, order):
        return n("Transpose", n("Reshape", x, n.ints(1, length, heads, each)), perm=order)

    ids, types, mask = [n.input(k, [1, length], True) for k in ("input_ids", "token_type_ids", "attention_mask")]
    x = n("Add", n("Gather", param("embeddings.word_embeddings.weight", words, width), ids),
          n("Gather", param("embeddings.token_type_embeddings.weight", 2, width), types))
    positions = param("embeddings.position_embeddings.weight", 512, width)
    x = norm(n("Add", x, n("Slice", positions, n.ints(0), n.ints(length), n.ints(0))), "embeddings.LayerNorm")
    seen = n("Cast", mask, to=TensorProto.FLOAT)
    bias = n("Mul", n("Sub", n.number(1), n("Unsqueeze", seen, n.ints(1, 2))), n.number(-1e4))
    for i in range(layers):
        key = f"encoder.layer.{i}."
        q, k, v = [split(linear(x, f"{key}attention.self.{part}", width, width), order) for part, order in
                   (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3]))]
        scores = n("Softmax", n("Add", n("Mul", n("MatMul", q, k), n.number(each ** -.5)), bias), axis=-1)
        mixed = n("Reshape", n("Transpose", n("MatMul", scores, v), perm=[0, 2, 1, 3]), n.ints(1, length, width))
        x = norm(n("Add", linear(mixed, key + "attention.output.dense", width, width), x), key + "attention.output.LayerNorm")
        h = linear(x, key + "intermediate.dense", width, inner)
        h = n("Mul", n("Mul", h, n("Add", n("Erf", n("Mul", h, n.number(.5 ** .5))), n.number(1))), n.number(.5))
        x = norm(n("Add", linear(h, key + "output.dense", inner, width), x), key + "output.LayerNorm")
    if weights is None:
        n("Identity", x, result="y")
        n.output("y", [1, length, width])
        return n
    seen = n("Unsqueeze", seen, n.ints(2))  # the mean over words, then unit length
    mean = n("Div", n("ReduceSum", n("Mul", x, seen), n.ints(1), keepdims=0), n("ReduceSum", seen, n.ints(1), keepdims=0))
    n("Div", mean, n("Sqrt", n("ReduceSum", n("Mul", mean, mean), n.ints(1), keepdims=1)), result="y")
    n.output("y", [1, width])
    return n


def minilm(folder):
    raw = open(os.path.join(folder, "minilm.safetensors"), "rb").read()
    size = int.from_bytes(raw[:8], "little")
    weights = {}
    for key, entry in json.loads(raw[8:8 + size]).items():
        if key != "__metadata__" and entry["dtype"] == "F32":
            a, b = entry["data_offsets"]
            weights[key.removeprefix("bert.")] = np.frombuffer(raw[8 + size + a:8 + size + b], np.float32).reshape(entry["shape"])
    layers = 1 + max(int(k.split(".")[2]) for k in weights if k.startswith("encoder.layer."))
    words, width = weights["embeddings.word_embeddings.weight"].shape
    return bert("minilm", layers, width, 12, 4 * width, words, 128, weights)


def gpt2_decode(layers=12, width=768, heads=12, words=50257, past=128):
    n = Net("gpt2_decode", 4)
    each = width // heads
    ids, position = n.input("input_ids", [1, 1], True), n.input("position_ids", [1, 1], True)
    table = n.weight(words, width, scale=.02)
    x = n("Add", n("Gather", table, ids), n("Gather", n.weight(1024, width, scale=.01), position))
    norm = lambda v: n("LayerNormalization", v, n.const(np.ones(width, np.float32)), n.const(np.zeros(width, np.float32)),
                       axis=-1, epsilon=1e-5)
    heads_first = lambda v: n("Transpose", n("Reshape", v, n.ints(1, 1, heads, each)), perm=[0, 2, 1, 3])
    for i in range(layers):
        old_k, old_v = n.input(f"past_k{i}", [1, heads, past, each]), n.input(f"past_v{i}", [1, heads, past, each])
        q, k, v = n("Split", n.dense(norm(x), width, 3 * width, .02), n.ints(width, width, width), results=3, axis=-1)
        k = n("Concat", old_k, heads_first(k), axis=2, result=f"new_k{i}")
        v = n("Concat", old_v, heads_first(v), axis=2, result=f"new_v{i}")
        scores = n("Mul", n("MatMul", heads_first(q), n("Transpose", k, perm=[0, 1, 3, 2])), n.number(each ** -.5))
        mixed = n("Transpose", n("MatMul", n("Softmax", scores, axis=-1), v), perm=[0, 2, 1, 3])
        x = n("Add", x, n.dense(n("Reshape", mixed, n.ints(1, 1, width)), width, width, .02))
        h = n.dense(norm(x), width, 4 * width, .02)
        cube = n("Mul", n("Mul", n("Mul", h, h), h), n.number(.044715))
        t = n("Tanh", n("Mul", n("Add", h, cube), n.number(np.sqrt(2 / np.pi))))
        h = n("Mul", n("Mul", h, n("Add", t, n.number(1))), n.number(.5))
        x = n("Add", x, n.dense(h, 4 * width, width, .02))
    n("Gemm", n("Reshape", norm(x), n.ints(1, width)), table, transB=1, result="logits")
    n.output("logits", [1, words])
    for i in range(layers):
        for kind in "kv":
            n.output(f"new_{kind}{i}", [1, heads, past + 1, each])
    return n


def mlp():
    n = Net("mlp", 5)
    x = n("Relu", n.head(n.input("x", [1, 784]), 784, 512, None))
    x = n("Relu", n.head(x, 512, 512, None))
    n("Softmax", n.head(x, 512, 10, None), axis=1, result="y")
    n.output("y", [1, 10])
    return n


def lstm_2x128(steps=100, width=64, hidden=128):
    n = Net("lstm_2x128", 6)
    x = n.input("x", [steps, 1, width])
    for i in (width, hidden):
        y = n("LSTM", x, n.weight(1, 4 * hidden, i, scale=.1), n.weight(1, 4 * hidden, hidden, scale=.1),
              n.weight(1, 8 * hidden, scale=.1), hidden_size=hidden, results=3)[0]
        x = n("Squeeze", y, n.ints(1))
    n.head(n("Gather", x, n.const(np.int64(steps - 1)), axis=0), hidden, 10)
    n.output("y", [1, 10])
    return n


def wavenet(steps=4000, width=64):
    n = Net("wavenet", 7)

    def conv(x, i, o, k=1, dilation=1):
        return n("Conv", x, n.weight(o, i, k), n.weight(o, scale=.01), kernel_shape=[k], dilations=[dilation],
                 pads=[(k - 1) * dilation, 0])

    x, skip = conv(n.input("x", [1, 1, steps]), 1, width), None
    for i in range(20):
        gate = n("Sigmoid", conv(x, width, width, 2, 1 << i % 10))
        z = n("Mul", n("Tanh", conv(x, width, width, 2, 1 << i % 10)), gate)
        s = conv(z, width, width)
        skip = n("Add", skip, s) if skip else s
        x = n("Add", x, conv(z, width, width))
    x = conv(n("Relu", conv(n("Relu", skip), width, 128)), 128, 256)
    n("Softmax", x, axis=1, result="y")
    n.output("y", [1, 256, steps])
    return n


ALL = (resnet50, mobilenetv2, bert, gpt2_decode, mlp, lstm_2x128, wavenet)


def main():
    folder, names = sys.argv[1], sys.argv[2:]
    for make in ALL:
        name = "bert_base_128" if make is bert else make.__name__
        path = os.path.join(folder, name + ".onnx")
        if name in names or (not names and not os.path.exists(path)):
            onnx.save(make().model(), path)
    if "minilm" in names:
        onnx.save(minilm(folder).model(), os.path.join(folder, "minilm.onnx"))


if __name__ == "__main__":
    main()
