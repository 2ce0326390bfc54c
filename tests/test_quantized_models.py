#!/usr/bin/env python3
"""Models that ONNX Runtime's own tools quantized, against ONNX Runtime.

    tests/test_quantized_models.py [--models DIR] [--quantized DIR] [NAME[:FORM]...]     exit 77: skipped, models or packages are not there

Models of DIR (default build/models) are quantized once into build/quantized, in each form of FORMS.
"""
import argparse, os, subprocess, sys, tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TENON = os.environ.get("TENON", os.path.join(ROOT, "build/release/tenon"))
try:
    import numpy as np
    import onnx
    import onnxruntime
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process
except ImportError:
    print("skip: onnxruntime, onnx and numpy are not installed (./bootstrap test installs them where PyPI can be reached)")
    sys.exit(77)

NAMES = ["mobilenetv2", "resnet50", "ppocr_det", "minilm"]
FORMS = ["qdq_channel", "qdq_tensor", "qop_channel", "dynamic"]
SHAPES = {"ppocr_det": (1, 3, 160, 160)}  # of inputs that are dynamic


def make_inputs(name, session, rng):
    feed = {}
    for i in session.get_inputs():
        shape = SHAPES.get(name) or [d if isinstance(d, int) else 1 for d in i.shape]
        if "mask" in i.name:
            feed[i.name] = np.ones(shape, np.int64)
        elif "token_type" in i.name:
            feed[i.name] = np.zeros(shape, np.int64)
        elif "int64" in i.type:
            feed[i.name] = rng.integers(0, 1000, shape).astype(np.int64)
        else:
            feed[i.name] = rng.standard_normal(shape).astype(np.float32)
    return feed


class Samples(CalibrationDataReader):
    def __init__(self, name, path, count=3):
        session, rng = onnxruntime.InferenceSession(path), np.random.default_rng(0)
        self.rest = iter([make_inputs(name, session, rng) for _ in range(count)])

    def get_next(self):
        return next(self.rest, None)


def make_model(name, form, models=os.path.join(ROOT, "build/models"), folder=os.path.join(ROOT, "build/quantized")):
    """The path of the quantized model, made where it is not there yet."""
    path, plain = os.path.join(folder, f"{name}_{form}.onnx"), os.path.join(folder, f"{name}.onnx")
    os.makedirs(folder, exist_ok=True)
    if not os.path.exists(plain):
        quant_pre_process(os.path.join(models, name + ".onnx"), plain + ".part", skip_symbolic_shape=True)
        os.rename(plain + ".part", plain)
    if os.path.exists(path):
        return path
    if form == "dynamic":  # ONNX Runtime has no ConvInteger of i8 weights
        quantize_dynamic(plain, path + ".part", weight_type=QuantType.QInt8 if name == "minilm" else QuantType.QUInt8)
    else:
        quantize_static(plain, path + ".part", Samples(name, plain), per_channel=form.endswith("channel"),
                        quant_format=QuantFormat.QDQ if form.startswith("qdq") else QuantFormat.QOperator,
                        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
    os.rename(path + ".part", path)
    return path
