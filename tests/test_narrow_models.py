#!/usr/bin/env python3
"""Models whose weights alone are of 4 or 8 bits (MatMulNBits), against ONNX Runtime.

    tests/test_narrow_models.py [--models DIR] [NAME[:FORM]...]     exit 77: skipped, models or packages are not there

Every MatMul of DIR's models (default build/models) whose right side is constant becomes a MatMulNBits, in each form of FORMS.
Required: as many products that read packed weights as there are MatMulNBits, results within 1e-4 + 1e-3 |reference| of ONNX
Runtime's, computed in floats as well (accuracy_level 1), the same bytes on one thread and two.
"""
import os, re, subprocess, sys, tempfile

from test_quantized_models import TENON, make_inputs, run_chosen, run_tenon  # exits with 77 where packages are missing

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

FORMS = {"bits4": (4, 32, False), "bits4_zero": (4, 128, True), "bits8": (8, 128, False)}  # bits, block, zero points
CHOSEN = [("gpt2_decode", "bits4")]


def narrow_weight(w, bits, block, has_zero):
    """Packed weights [N, blocks, block*bits/8], scales [N*blocks], zero points or None of w [K, N]."""
    k, n = w.shape
    blocks, most = (k + block - 1) // block, (1 << bits) - 1
    padded = np.zeros((n, blocks * block), np.float32)
    padded[:, :k] = w.T
    padded = padded.reshape(n, blocks, block)
    if has_zero:
        low, high = np.minimum(padded.min(2), 0), np.maximum(padded.max(2), 0)
        scale = np.maximum((high - low) / most, 1e-8).astype(np.float32)
        zero = np.clip(np.rint(-low / scale), 0, most)
    else:
        scale = np.maximum(np.abs(padded).max(2) / (most >> 1), 1e-8).astype(np.float32)
        zero = np.full((n, blocks), 1 << (bits - 1))
    q = np.clip(np.rint(padded / scale[:, :, None]) + zero[:, :, None], 0, most).astype(np.uint8)
    return pack(q, bits), scale.reshape(-1), pack(zero.astype(np.uint8), bits).reshape(-1) if has_zero else None


def pack(q, bits):
    """Two numbers a byte along the last axis, the first one low."""
    if bits == 8:
        return q
    if q.shape[-1] % 2:
        q = np.concatenate([q, np.zeros(q.shape[:-1] + (1,), np.uint8)], -1)
    return q[..., 0::2] | q[..., 1::2] << 4


def make_model(path, to, form):
    """Writes the model with MatMulNBits; how many there are."""
    bits, block, has_zero = FORMS[form]
    model = onnx.load(path)
    constants = {i.name: i for i in model.graph.initializer}
    count = 0
    for node in model.graph.node:
        if node.op_type != "MatMul" or node.input[1] not in constants or len(constants[node.input[1]].dims) != 2:
            continue
        w = numpy_helper.to_array(constants[node.input[1]])
        parts = narrow_weight(w, bits, block, has_zero)
        names = [f"{node.input[1]}_{kind}" for kind, part in zip(("packed", "scale", "zero"), parts) if part is not None]
        model.graph.initializer.extend(numpy_helper.from_array(part, name) for part, name in zip(parts, names))
        node.CopyFrom(helper.make_node("MatMulNBits", [node.input[0], *names], node.output, domain="com.microsoft", K=w.shape[0], N=w.shape[1],
                                       bits=bits, block_size=block, accuracy_level=1))
        count += 1
    used = {name for node in model.graph.node for name in node.input}
    kept = [i for i in model.graph.initializer if i.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    onnx.save(model, to)
    return count


def compare_cpu(path, feed, want, folder, cpu):
    """Messages of what is wrong with code for this CPU."""
    got, errors = run_tenon(path, feed, len(want), folder, "--cpu=" + cpu)
    if errors:
        return [errors]
    wrong = [f"{cpu}: result {k} differs by up to {np.abs(g - w).max():.3g}" for k, (g, w) in enumerate(zip(got, want)) if (np.abs(g - w) > 1e-4 + 1e-3 * np.abs(w)).any()]
    two, errors = run_tenon(path, feed, len(want), folder, "--cpu=" + cpu, "--threads=2")
    if errors or any(a.tobytes() != b.tobytes() for a, b in zip(got, two)):
        wrong.append(f"{cpu}: two threads differ from one {errors}")
    return wrong


def check_model(name, form, models, folder):
    """Messages of what is wrong."""
    path = os.path.join(folder, "narrow.onnx")
    count = make_model(os.path.join(models, name + ".onnx"), path, form)
    r = subprocess.run([TENON, "check", path, "--stop-after=narrow"], capture_output=True, text=True)
    kernels = len(re.findall(r"= matmul_(?:nibbles|narrow|blocks)\(", r.stdout))
    wrong = [] if kernels == count > 0 else [f"{count} products of packed weights, {kernels} that read them so {r.stderr}"]
    session = onnxruntime.InferenceSession(path)
    feed = make_inputs(name, session, np.random.default_rng(5))
    want = session.run(None, feed)
    cpus = ["x86-64-v3"] + (["x86-64-v4"] if "avx512f" in open("/proc/cpuinfo").read() else [])
    for cpu in cpus:
        wrong += compare_cpu(path, feed, want, folder, cpu)
    print(f"{name}_{form}: {kernels} of {count} products read packed weights", flush=True)
    return wrong


if __name__ == "__main__":
    sys.exit(run_chosen(CHOSEN, FORMS, check_model, "models with narrow weights"))
