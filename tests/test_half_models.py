#!/usr/bin/env python3
"""Models of 16-bit floats: all of f16 as converters make them, and of f32 with stored weights of 16 bits.

    tests/test_half_models.py [--models DIR] [NAME[:FORM]...]     exit 77: skipped, models or packages are not there

Forms: "all", every value f16, by ONNX Runtime's converter; "stored", constants of MatMul and Gemm as f16 with a Cast behind. Required:
the same bytes through C and LLVM, for AVX2 and this machine; as like what ONNX Runtime gives for the float model as LIKENESS says;
and so many products that read 16-bit weights as PACKED says.
"""
import os, re, subprocess, sys, tempfile

from test_quantized_models import TENON, cosine, make_inputs, run_chosen, run_tenon  # exits with 77 where packages are missing

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from onnxruntime.transformers.float16 import convert_float_to_float16

FORMS = ["all", "stored"]
CHOSEN = [("mobilenetv2", "all"), ("minilm", "all"), ("gpt2_decode", "all"), ("mobilenetv2", "stored")]
PACKED = {("mobilenetv2", "all"): 1, ("mobilenetv2", "stored"): 1, ("minilm", "all"): 0, ("gpt2_decode", "all"): 49, ("gpt2_decode", "stored"): 49}
LIKENESS = .9999  # of the first result: f16 rounds to 2^-11 of a number, errors of layers add up as random ones


def make_model(path, to, form):
    model = onnx.load(path)
    if form == "all":
        onnx.save(convert_float_to_float16(model, op_block_list=[]), to)
        return
    used = {n.input[1] for n in model.graph.node if n.op_type in ("MatMul", "Gemm")}
    for w in model.graph.initializer:
        if w.name in used and w.data_type == onnx.TensorProto.FLOAT:
            name, numbers = w.name, numpy_helper.to_array(w).astype(np.float16)
            w.CopyFrom(numpy_helper.from_array(numbers, name + "_half"))
            model.graph.node.insert(0, helper.make_node("Cast", [name + "_half"], [name], to=onnx.TensorProto.FLOAT))
    onnx.save(model, to)


def check_model(name, form, models, folder):
    """Messages of what is wrong."""
    plain, path = os.path.join(models, name + ".onnx"), os.path.join(folder, "half.onnx")
    make_model(plain, path, form)
    session = onnxruntime.InferenceSession(plain)
    feed = make_inputs(name, session, np.random.default_rng(5))
    want = session.run(None, feed)
    if form == "all":
        feed = {k: x.astype(np.float16) if x.dtype == np.float32 else x for k, x in feed.items()}
    wrong = []
    for cpu in ("x86-64-v3", "native"):
        r = subprocess.run([TENON, "check", path, "--stop-after=narrow", "--cpu=" + cpu], capture_output=True, text=True)
        packed = len(re.findall(r"= matmul_narrow\(", r.stdout))
        if packed != PACKED.get((name, form), packed):
            wrong.append(f"{cpu}: {packed} products read 16-bit weights, not {PACKED[name, form]} {r.stderr}")
        got, errors = run_tenon(path, feed, len(want), folder, "--cpu=" + cpu)
        printed, more = run_tenon(path, feed, len(want), folder, "--target=c", "--cpu=" + cpu)
        if errors or more:
            wrong.append(errors + more)
        elif any(a.tobytes() != b.tobytes() for a, b in zip(got, printed)):
            wrong.append(f"{cpu}: C and LLVM differ")
        else:
            like = cosine(got[0], want[0])
            print(f"{name}_{form} {cpu}: cosine {like:.6f}, {packed} products read 16-bit weights", flush=True)
            if not like >= LIKENESS:
                wrong.append(f"{cpu}: cosine {like:.6f}")
    return wrong


if __name__ == "__main__":
    sys.exit(run_chosen(CHOSEN, FORMS, check_model, "models of 16-bit floats"))
