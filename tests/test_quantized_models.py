#!/usr/bin/env python3
"""Models that ONNX Runtime's own tools quantized, against ONNX Runtime.

    tests/test_quantized_models.py [--models DIR] [--quantized DIR] [NAME[:FORM]...]     exit 77: skipped, models or packages are not there

Models of DIR (default build/models) are quantized once into build/quantized, in each form of FORMS. Required: every product
of quantized operands with constant weights is a dot product of bytes or an exact depthwise convolution; of the first ten
quantized tensors at most one element in a thousand differs from ONNX Runtime's, by one step; the results have at least the
cosine of LIKENESS with ONNX Runtime's. The first form is compiled for AVX2 as well, where products take other ways (passes/bytes.c).
"""
import argparse, os, re, subprocess, sys, tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TENON = os.environ.get("TENON", os.path.join(ROOT, "build/release/tenon"))
try:
    import numpy as np
    import onnx
    import onnx.version_converter
    import onnxruntime
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process
except ImportError:
    print("skip: onnxruntime, onnx and numpy are not installed (./bootstrap test installs them where PyPI can be reached)")
    sys.exit(77)

NAMES = ["mobilenetv2", "resnet50", "ppocr_det", "minilm"]
FORMS = ["qdq_channel", "qdq_tensor", "qop_channel", "dynamic"]
# Steps add up along a model: a rounding that differs at the start is as far from ONNX Runtime at the end as ONNX Runtime is
# from itself without its optimizations: 0.9996 for mobilenetv2, 0.971 for ppocr_det (noise has no text: what it gives is the
# noise of quantization) and 0.977 for minilm, when all are calibrated by a few random inputs.
LIKENESS = {"mobilenetv2": .9995, "resnet50": .9995, "ppocr_det": .96, "minilm": .97}
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
        model = onnx.load(plain + ".part")
        if model.opset_import[0].version < 13:  # scales along an axis need it
            onnx.save(onnx.version_converter.convert_version(model, 13), plain + ".part")
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


# Operators whose weights are constants, and the inputs that are weights.
PRODUCTS = {"Conv": 1, "MatMul": 1, "Gemm": 1, "ConvInteger": 1, "MatMulInteger": 1, "QLinearConv": 3, "QLinearMatMul": 3, "QGemm": 3}


def count_products(path):
    """Convolutions and matrix products of quantized operands whose right side is constant."""
    graph = onnx.load(path).graph
    weights, made_by = {w.name for w in graph.initializer}, {o: n for n in graph.node for o in n.output}

    def is_dequantized(name):
        return name in made_by and made_by[name].op_type == "DequantizeLinear"

    count = 0
    for n in graph.node:
        right = n.input[PRODUCTS[n.op_type]] if n.op_type in PRODUCTS else None
        if right is None:
            continue
        if n.op_type in ("Conv", "MatMul", "Gemm"):
            count += is_dequantized(n.input[0]) and is_dequantized(right) and made_by[right].input[0] in weights
        else:
            count += right in weights
    return count


def count_kernels(path, cpu):
    """Dot products of integers, and depthwise convolutions (exact in f32); what is left over in f32."""
    r = subprocess.run([TENON, "check", path, "--print-after=layout", "--cpu=" + cpu], capture_output=True, text=True)
    return len(re.findall(r"= (?:(?:conv|matmul)_(?:dot|dot2|dot_sat)\(|conv_depth\(|index\(.*dot[24]\()", r.stdout)), r.stderr if r.returncode else ""


def add_probes(path, form, folder, count=10):
    """The model with its first quantized tensors as further outputs, and how many."""
    model = onnx.load(path)
    kinds = ("QuantizeLinear",) if form.startswith("qdq") else ("QLinearConv", "QLinearMatMul", "QGemm", "QLinearAdd") if form.startswith("qop") else ()
    names = [n.output[0] for n in model.graph.node if n.op_type in kinds][:count]
    model.graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.UINT8, None) for name in names)
    probed = os.path.join(folder, "probed.onnx")
    onnx.save(model, probed)
    return probed, len(names)


def run_tenon(path, feed, count, folder, *more):
    """(results, message)"""
    options = list(more)
    for name, x in feed.items():
        np.save(os.path.join(folder, name + ".npy"), x)
        options.append(f"--input={name}={folder}/{name}.npy")
    r = subprocess.run([TENON, "run", path, "--target=llvm", "--output-dir=" + folder, *options], capture_output=True, text=True)
    return ([], r.stderr) if r.returncode else ([np.load(os.path.join(folder, f"output_{k}.npy")) for k in range(count)], "")


def cosine(a, b):
    a, b = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
    return a @ b / (np.linalg.norm(a) * np.linalg.norm(b))


def compare_probe(k, got, want):
    d = np.abs(got.astype(int) - want)
    return f"quantized tensor {k}: {(d > 0).mean():.3%} of elements differ, by up to {d.max()}" if d.max() > 1 or (d > 0).mean() > 1e-3 else None


def check_model(name, form, path, folder, cpu):
    """Messages of what is wrong."""
    products, (kernels, errors) = count_products(path), count_kernels(path, cpu)
    if errors:
        return [errors]
    wrong = [] if kernels == products else [f"{products} products of quantized operands, {kernels} kernels of bytes"]
    probed, n_probes = add_probes(path, form, folder)
    session = onnxruntime.InferenceSession(probed)
    feed = make_inputs(name, session, np.random.default_rng(5))
    want = session.run(None, feed)
    got, errors = run_tenon(probed, feed, len(want), folder, "--cpu=" + cpu)
    if errors:
        return wrong + [errors]
    n = len(want) - n_probes
    wrong += filter(None, [compare_probe(k, got[n + k], want[n + k]) for k in range(n_probes)])
    likeness = min(cosine(g, w) for g, w in zip(got[:n], want[:n]))
    if not likeness >= LIKENESS[name]:
        wrong.append(f"cosine {likeness:.6f} with ONNX Runtime's results, at least {LIKENESS[name]} expected")
    print(f"{name}_{form} {cpu}: {kernels} of {products} products in bytes, cosine {likeness:.6f}, {n_probes} tensors compared", flush=True)
    return wrong


def has_avx2():
    try:
        return bool(re.search(r"^flags.* avx2 ", open("/proc/cpuinfo").read(), re.M))
    except OSError:
        return False


def choose(names, default, forms, models):
    """(name, form) of NAME or NAME:FORM, each name alone in all forms; exit 77 where a model is not there."""
    chosen = [tuple(n.split(":")) if ":" in n else (n, form) for n in names for form in ([""] if ":" in n else forms)] or default
    missing = {name for name, _ in chosen if not os.path.exists(os.path.join(models, name + ".onnx"))}
    if missing:
        print(f"skip: {', '.join(sorted(missing))} not in {models} (tests/get_models.sh)")
        sys.exit(77)
    return chosen


def run_chosen(default, forms, check, what):
    """Exit status of check(name, form, models, folder), a list of messages, for what the command line names."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", default=os.path.join(ROOT, "build/models"))
    parser.add_argument("names", nargs="*")
    a = parser.parse_args()
    chosen, n_wrong = choose(a.names, default, forms, a.models), 0
    for name, form in chosen:
        with tempfile.TemporaryDirectory() as folder:
            wrong = check(name, form, a.models, folder)
        for message in wrong:
            print(f"{name}_{form}: {message}")
        n_wrong += bool(wrong)
    print(f"{len(chosen)} {what}, {n_wrong} wrong")
    return 1 if n_wrong else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", default=os.path.join(ROOT, "build/models"))
    parser.add_argument("--quantized", default=os.path.join(ROOT, "build/quantized"))
    parser.add_argument("names", nargs="*")
    a = parser.parse_args()
    chosen = choose(a.names or NAMES, [], FORMS, a.models)
    n_wrong = 0
    for name, form in chosen:
        path = make_model(name, form, a.models, a.quantized)
        for cpu in ["native", "x86-64-v3"] if form == FORMS[0] and has_avx2() else ["native"]:
            with tempfile.TemporaryDirectory() as folder:
                wrong = check_model(name, form, path, folder, cpu)
            for message in wrong:
                print(f"{name}_{form} {cpu}: {message}")
            n_wrong += bool(wrong)
    print(f"{len(chosen)} quantized models, {n_wrong} wrong")
    return 1 if n_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
