#!/usr/bin/env python3
"""tenon quantize on whole models: near the float model, the same bytes twice, faster, and the bound kept or refused.

    tests/test_quantize.py [NAME...]      TENON=path/of/tenon (default build/release/tenon); exit 77: skipped, numpy is missing

Models of build/models that are missing are named and left out. Samples are smooth random pictures. What the quantized model
answers is compared with the float one's; its integers with the interpreter's answer on a small model of its own.
"""
import json, os, re, subprocess, sys, tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TENON = os.path.abspath(os.environ.get("TENON", os.path.join(ROOT, "build/release/tenon")))
MODELS = os.path.join(ROOT, "build/models")
try:
    import numpy as np
except ImportError:
    print("skip: numpy is not installed (./bootstrap test installs it where PyPI can be reached)")
    sys.exit(77)

VNNI = "--cpu=x86-64-v4-vnni"  # where all layers of the small models gain, on every machine

SMALL = """
model small(x: f32[2, 16, 9, 9], t: f32[2, 8]) -> (y: f32[2, 32, 8], z: f32[2, 16, 9, 9]) {
    w = reshape(cast(iota([2304]) * iota([2304]) * 7919 % 251 - 125, f32) / 200.0, [16, 16, 3, 3])
    d = reshape(cast(iota([144]) * iota([144]) * 6571 % 251 - 125, f32) / 200.0, [16, 1, 3, 3])
    a = relu(conv(x, w, stride: [1, 1], pad: [1, 1], pad_after: [1, 1], dilation: [1, 1], group: 1))
    b = conv(a, d, stride: [1, 1], pad: [1, 1], pad_after: [1, 1], dilation: [1, 1], group: 16)
    c = conv(a, w, stride: [1, 1], pad: [1, 1], pad_after: [1, 1], dilation: [1, 1], group: 1) + b
    z = min(max(conv(c, w, stride: [1, 1], pad: [1, 1], pad_after: [1, 1], dilation: [1, 1], group: 1), 0.0), 6.0) + c
    s = pool_max(z, kernel: [3, 3], stride: [2, 2], pad: [0, 0], pad_after: [0, 0], dilation: [1, 1])
    u = matmul(reshape(s, [2, 32, 8]), reshape(cast(iota([512]) * iota([512]) * 5003 % 251 - 125, f32) / 200.0, [8, 64]))
    y = matmul(u, reshape(cast(iota([512]) * iota([512]) * 4001 % 251 - 125, f32) / 200.0, [64, 8])) + reshape(t, [2, 1, 8])
}
"""


def tenon(*words, status=0):
    r = subprocess.run([TENON, *words], capture_output=True, text=True, timeout=1800)
    assert r.returncode == status, (words, r.returncode, r.stdout[-2000:], r.stderr[-2000:])
    return r.stdout + r.stderr


def smooth(rng, n):
    """n pictures 3x224x224 whose neighbours are alike."""
    coarse = rng.standard_normal((n, 3, 14, 14)).astype(np.float32)
    at = np.linspace(0, 13, 224)
    low = np.clip(at.astype(int), 0, 12)
    part = (at - low).astype(np.float32)
    rows = coarse[:, :, low] * (1 - part)[:, None] + coarse[:, :, low + 1] * part[:, None]
    return (rows[..., low] * (1 - part) + rows[..., low + 1] * part).astype(np.float32)


def answers(folder, model, inputs, *options):
    out = os.path.join(folder, "out")
    tenon("run", model, *(f"--input={k}={v}" for k, v in inputs.items()), "--output-dir", out, *options)
    names = open(os.path.join(out, "names.txt")).read().split()
    return [np.load(os.path.join(out, f"output_{i}.npy")).astype(np.float64) for i in range(len(names))]


def cosine(a, b):
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def read(path):
    with open(path, "rb") as f:
        return f.read()


def engine():
    return "llvm" if "with LLVM" in tenon("--version") else "c"


def latency(model):
    return json.loads(tenon("bench", model, "--json", "--quiet", f"--target={engine()}"))["min_ms"]


def check_pictures(name, folder):
    float_model, data = os.path.join(MODELS, name + ".onnx"), os.path.join(folder, "pictures")
    os.mkdir(data)
    pictures = smooth(np.random.default_rng(7), 9)
    for k in range(8):
        np.save(os.path.join(data, f"{k}.npy"), pictures[k][None])
    np.save(os.path.join(folder, "other.npy"), pictures[8][None])
    paths = [os.path.join(folder, f"{name}{i}.tn") for i in (1, 2)]
    for path in paths:
        tenon("quantize", float_model, "--data", data, "-o", path, "--max-loss=0.1", "--report", path[:-3] + ".json", "--report", path[:-3] + ".html")
    weights = [read(p[:-3] + ".safetensors") for p in paths]
    texts = [re.sub(rb'weights "[^"]*"', b"weights", read(p)) for p in paths]
    assert weights[0] == weights[1] and texts[0] == texts[1], "two runs differ"
    assert read(paths[0][:-3] + ".json") == read(paths[1][:-3] + ".json") and b"<script" not in read(paths[0][:-3] + ".html")
    report = json.loads(read(paths[0][:-3] + ".json"))
    assert report["loss"] <= report["max_loss"] and report["samples"] == 8 and report["held_back"] == 4
    assert report["constant_bytes"] < 0.5 * report["constant_bytes_float"]
    n_bytes = sum(layer["precision"] == "bytes" for layer in report["layers"])
    assert all((layer["why_float"] is None) == (layer["precision"] == "bytes") for layer in report["layers"])
    picture = {"x": os.path.join(folder, "other.npy")}
    [want], [got] = (answers(folder, m, picture, f"--target={engine()}") for m in (float_model, paths[0]))
    assert cosine(got, want) >= 0.99, cosine(got, want)
    times = latency(float_model), latency(paths[0])
    assert times[1] < times[0], times
    print(f"pass {name}: {n_bytes} of {len(report['layers'])} layers in bytes, loss {report['loss']:.3g}, cosine {cosine(got, want):.5f}, "
          f"{times[0]:.1f} -> {times[1]:.1f} ms")


def check_small(folder):
    """Every kind of layer; several inputs; every way to find ranges; integers as the interpreter has them."""
    model, data, out = (os.path.join(folder, n) for n in ("small.tn", "data", "small8.tn"))
    with open(model, "w") as f:
        f.write(SMALL)
    os.mkdir(data)
    rng = np.random.default_rng(3)
    samples = [(rng.standard_normal((2, 16, 9, 9)).astype(np.float32), rng.standard_normal((2, 8)).astype(np.float32)) for _ in range(4)]
    for k, (x, t) in enumerate(samples):
        np.save(os.path.join(data, f"x_{k}.npy"), x)
        np.save(os.path.join(data, f"t_{k}.npy"), t)
    stacked = os.path.join(folder, "stacked.npz")
    np.savez(stacked, x=np.stack([x for x, _ in samples]), t=np.stack([t for _, t in samples]))
    texts = []
    for method in ("best", "mse", "minmax", "percentile", "percentile:99", "entropy"):
        for source in (data, stacked):
            tenon("quantize", model, "--data", source, "-o", out, VNNI, "--range", method, "--max-loss=0.3", "--report", out[:-3] + ".json")
            texts.append(read(out) + read(out[:-3] + ".safetensors"))
        assert texts[-1] == texts[-2], "a folder and a stack of the same samples differ"
        report = json.loads(read(out[:-3] + ".json"))
        assert report["samples"] == 4 and any(layer["precision"] == "bytes" for layer in report["layers"])
        inputs = {"x": os.path.join(data, "x_1.npy"), "t": os.path.join(data, "t_1.npy")}
        want = answers(folder, out, inputs, "--target=interpreter")
        for target in {"c", engine()}:
            got = answers(folder, out, inputs, f"--target={target}")
            step = [np.abs(w).max() / 60 for w in want]  # a value beside the middle between two bytes may go either way
            assert all((np.abs(g - w) <= s).all() and cosine(g, w) > 0.9999 for g, w, s in zip(got, want, step)), (method, target)
        exact = answers(folder, model, inputs, "--target=c")
        near = [cosine(g, w) for g, w in zip(want, exact)]
        assert min(near) > (0.99 if method in ("best", "mse", "minmax", "percentile") else 0.9), (method, near)
    assert len(set(texts)) >= 4, "ways to find ranges that make no difference"
    few = tenon("quantize", model, "--data", data, "-o", out, VNNI, "--limit=2", "--max-loss=0.3")
    assert "on 1 of 2 samples" in few, few
    print("pass small: ranges by every way, integers as the interpreter has them")


def check_bound(folder):
    """Below what bytes can do the command refuses and writes nothing; in between some layers stay float."""
    model, data, out = (os.path.join(folder, n) for n in ("small.tn", "data", "never.tn"))
    message = tenon("quantize", model, "--data", data, "-o", out, VNNI, "--max-loss=1e-9", status=1)
    assert "above the bound 1e-09" in message and not os.path.exists(out), message
    whole = json.loads(read(report_of(model, data, folder, 10)))
    part = json.loads(read(report_of(model, data, folder, whole["loss"] * 0.8)))
    floats = [layer for layer in part["layers"] if layer["why_float"] and "bound" in layer["why_float"]]
    assert floats and part["loss"] <= part["max_loss"] and part["loss_all_bytes"] == whole["loss"], part
    least = min(layer["loss_alone"] for layer in floats)
    assert all(layer["loss_alone"] <= least for layer in part["layers"] if layer["precision"] == "bytes"), part
    os.remove(os.path.join(data, "t_2.npy"))
    message = tenon("quantize", model, "--data", data, "-o", out, status=1)
    assert "t_2.npy" in message, message
    np.save(os.path.join(data, "t_2.npy"), np.zeros((2, 8)))
    message = tenon("quantize", model, "--data", data, "-o", out, status=1)
    assert 'input "t" is f64[2, 8], the model takes f32[2, 8]' in message and "t_2.npy" in message, message
    print("pass bound: kept, or refused")


NARROW = """
model narrow(x: f32[2, 200]) -> (y: f32[2, 300]) {
    weights "narrow.safetensors"
    const a: f32[200, 512] = weight("a")
    const b: f32[512, 300] = weight("b")
    y = matmul(relu(matmul(x, a)), b)
}
"""


def write_weights(path, arrays):
    header, at = {}, 0
    for name, a in arrays.items():
        header[name] = {"dtype": "F32", "shape": list(a.shape), "data_offsets": [at, at + a.nbytes]}
        at += a.nbytes
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text + b"".join(a.tobytes() for a in arrays.values()))


def check_weights(folder):
    """Weights alone: near the float model, the same bytes twice, in every target the answers of weights made floats; small."""
    model, out = os.path.join(folder, "narrow.tn"), os.path.join(folder, "narrow_out.tn")
    rng = np.random.default_rng(11)
    with open(model, "w") as f:
        f.write(NARROW)
    write_weights(os.path.join(folder, "narrow.safetensors"), {"a": rng.standard_normal((200, 512), np.float32), "b": rng.standard_normal((512, 300), np.float32)})
    sample = os.path.join(folder, "x.npy")
    np.save(sample, rng.standard_normal((2, 200)).astype(np.float32))
    np.savez(os.path.join(folder, "x.npz"), x=np.load(sample)[None])
    [exact] = answers(folder, model, {"x": sample}, "--target=c")
    float_bytes = weight_bytes(model, folder)
    for words, most_loss, most_bytes in ("int8", .02, .27), ("int8:64", .02, .32), ("int4", .25, .18), ("int4:32", .2, .18):
        data = ["--data", os.path.join(folder, "x.npz"), "--max-loss=0.3"]
        lines = tenon("quantize", model, "--weights=" + words, "-o", out, *data)
        measured = float(re.search(r"loss \(relative\) (\S+) on 1 of 1", lines).group(1))
        text = read(out) + read(out[:-3] + ".safetensors")
        tenon("quantize", model, "--weights=" + words, "-o", out)
        assert text == read(out) + read(out[:-3] + ".safetensors"), "samples decide what is written"
        [plain] = answers(folder, out, {"x": sample}, "--target=c", "-O0")
        loss = float(np.sqrt(((plain - exact) ** 2).sum() / (exact ** 2).sum()))
        assert 0 < loss < most_loss and abs(loss - measured) < 1e-3 * loss + 1e-6, (words, loss, measured)
        for options in ["--target=interpreter"], ["--target=c"], ["--target=c", "--portable"], [f"--target={engine()}", "--threads=2"]:
            [got] = answers(folder, out, {"x": sample}, *options)
            assert (np.abs(got - plain) <= 1e-4 * np.abs(plain).max()).all(), (words, options, np.abs(got - plain).max())
        assert weight_bytes(out, folder) < most_bytes * float_bytes, (words, weight_bytes(out, folder), float_bytes)
    message = tenon("quantize", model, "--weights=int4", "-o", os.path.join(folder, "never.tn"), "--data", os.path.join(folder, "x.npz"), "--max-loss=0.001", status=1)
    assert "above the bound 0.001" in message and not os.path.exists(os.path.join(folder, "never.tn")), message
    print("pass weights: of 8 and 4 bits, by outputs and by blocks")


def weight_bytes(model, folder):
    return json.loads(tenon("compile", model, "-o", os.path.join(folder, "narrow.o"), "--json"))["weight_bytes"]


def report_of(model, data, folder, bound):
    report = os.path.join(folder, "bound.json")
    tenon("quantize", model, "--data", data, "-o", os.path.join(folder, "bound.tn"), VNNI, f"--max-loss={bound}", "--report", report)
    return report


def main():
    names = sys.argv[1:] or ["mobilenetv2", "resnet50"]
    with tempfile.TemporaryDirectory() as folder:
        check_small(folder)
        check_bound(folder)
        check_weights(folder)
    for name in names:
        if not os.path.exists(os.path.join(MODELS, name + ".onnx")):
            print(f"skip {name}: build/models has none (./bootstrap models fetches it)")
            continue
        with tempfile.TemporaryDirectory() as folder:
            check_pictures(name, folder)


if __name__ == "__main__":
    main()
