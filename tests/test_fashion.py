#!/usr/bin/env python3
"""Fashion-MNIST: what the nets of examples/fashion (train_fashion.py trained them) get right in floats, and in bytes.

    tests/test_fashion.py [mlp] [cnn]      TENON=path/of/tenon (default build/release/tenon); exit 77: skipped, numpy or the data are missing

500 training pictures calibrate `tenon quantize`, once by its usual loss and once by labelled accuracy; all 10,000 test pictures
count. Required: at most 0.3 points lost, and the loss that the command measured on what it held back is the one that the two
models' own answers on these pictures give.
"""
import json, os, subprocess, sys, tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TENON = os.path.abspath(os.environ.get("TENON", os.path.join(ROOT, "build/release/tenon")))
FLOOR = {"mlp": .875, "cnn": .9}  # of the test pictures right in floats: the data and the weights are what they should be
N_CALIBRATION, POINTS = 500, .003
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "examples/fashion"))
try:
    import numpy as np
    import train_fashion
except ImportError:
    print("skip: numpy is not installed (./bootstrap test installs it where PyPI can be reached)")
    sys.exit(77)


def tenon(*words, status=0):
    r = subprocess.run([TENON, *words], capture_output=True, text=True, timeout=1800)
    assert r.returncode == status, (words, r.returncode, r.stdout[-2000:], r.stderr[-2000:])
    return r.stdout + r.stderr


def compiled(model, folder, engine):
    program = os.path.join(folder, os.path.basename(model)[:-3])
    tenon("compile", model, "-o", program, f"--target={engine}")
    return program


def answers(program, folder, pictures):
    """Probabilities [N, 10], by batches as large as the model takes."""
    parts = []
    for at in range(0, len(pictures), 1000):
        np.save(os.path.join(folder, "image.npy"), pictures[at:at + 1000])
        r = subprocess.run([program, "--input", f"image={folder}/image.npy", "--output-dir", folder], capture_output=True, text=True)
        assert r.returncode == 0, r.stderr
        parts.append(np.load(os.path.join(folder, "output_0.npy")))
    return np.concatenate(parts)


def right(probability, labels):
    return float((probability.argmax(1) == labels).mean())


def check_held_back(report, pictures, labels, programs, folder):
    """The command's figures on every other sample, from the answers of both programs."""
    want, got = (answers(p, folder, pictures[1::2]).astype(np.float64) for p in programs)
    if report["metric"] == "accuracy":
        assert report["accuracy_float"] == round(right(want, labels[1::2]), 6) and report["accuracy"] == round(right(got, labels[1::2]), 6), report
        loss = max(0, report["accuracy_float"] - report["accuracy"])
    else:
        loss = np.sqrt(((got - want) ** 2).sum() / (want ** 2).sum())
    assert abs(loss - report["loss"]) <= 1e-3 * max(loss, .01), (loss, report["loss"])
    assert report["loss"] <= report["max_loss"] and report["held_back"] == N_CALIBRATION // 2, report


def check(name, folder, engine):
    model = os.path.join(ROOT, f"examples/fashion/{name}.tn")
    pictures, labels = (a[:N_CALIBRATION] for a in train_fashion.read_part("train"))
    test_pictures, test_labels = train_fashion.read_part("t10k")
    data, label_file = os.path.join(folder, "data.npz"), os.path.join(folder, "labels.npy")
    np.savez(data, image=pictures[:, None])
    np.save(label_file, labels)
    exact = compiled(model, folder, engine)
    whole = right(answers(exact, folder, test_pictures), test_labels)
    assert whole >= FLOOR[name], whole
    for what, options in (("relative", []), ("accuracy", ["--metric=accuracy", "--labels", label_file, "--max-loss=0.004"])):
        out, report = (os.path.join(folder, f"{name}_{what}.{kind}") for kind in ("tn", "json"))
        tenon("quantize", model, "--data", data, "-o", out, "--report", report, *options)
        with open(report) as f:
            said = json.load(f)
        program = compiled(out, folder, engine)
        bytes_right = right(answers(program, folder, test_pictures), test_labels)
        n_bytes = sum(layer["precision"] == "bytes" for layer in said["layers"])
        print(f"{name} by {what}: {n_bytes} of {len(said['layers'])} layers in bytes, {100 * bytes_right:.2f} % of {len(test_labels)} right, {100 * whole:.2f} % in floats", flush=True)
        assert bytes_right >= whole - POINTS, (bytes_right, whole)
        check_held_back(said, pictures, labels, (exact, program), folder)


def main():
    if not os.path.isdir(train_fashion.DATA):
        print("skip: the Debian package dataset-fashion-mnist is not installed (./bootstrap test installs it)")
        return 77
    engine = "llvm" if "with LLVM" in tenon("--version") else "c"
    for name in sys.argv[1:] or ["mlp", "cnn"]:
        with tempfile.TemporaryDirectory() as folder:
            check(name, folder, engine)
    return 0


if __name__ == "__main__":
    sys.exit(main())
