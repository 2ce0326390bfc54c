"""What tests/bench.py gives its engines, and what it expects: one ONNX file with fixed sizes, inputs, ONNX Runtime's answers."""
import math, os

import numpy as np
from bench_engines import TYPES, Model
from models import make_input
from real import page_input, picture

WRONG = 1e-2  # of the largest value: more than other orders of additions make
SIZES = {"magika": {"bytes": (1, 2048)}, "silero_vad": {"input": (1, 576), "state": (2, 1, 128), "sr": ()},
         "ppocr_det": {"x": (1, 3, 480, 480)}, "ppocr_rec": {"x": (1, 3, 48, 320)}, "ppocr_cls": {"x": (1, 3, 48, 192)}}


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
    onnx.save(onnx.shape_inference.infer_shapes(net), target)


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
    feed = {i.name: np.asarray(make_input(name, i.name, i.shape, i.type, rng), order="C") for i in session.get_inputs()}
    if name == "ppocr_det":  # which finds nothing in noise: outputs near zero would compare the rounding of a sigmoid
        feed = {"x": page_input(picture("page"), *SIZES[name]["x"][2:])}
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
