#!/usr/bin/env python3
"""Models with trained weights, made models of bytes by `tenon quantize`: on real inputs they decide as in floats.

    tests/test_quantized_accuracy.py [--models DIR] [NAME...]      exit 77: skipped, a package or the models are missing

The first N_CALIBRATION inputs of tests/real_inputs.py calibrate, at least N_LEAST others are compared with the float model, both
compiled by Tenon: the first of magika's types and ppocr_cls's directions, the letters that ppocr_rec reads, which points are text
to ppocr_det, whether silero_vad hears speech (each with its own state through whole prompts), as often as RATE; the embedding of
minilm by its cosine. The float models' answers must be of more than one kind. One line per model; NAME is one of them.
"""
import argparse, json, os, subprocess, sys, tempfile

sys.dont_write_bytecode = True
import real_inputs
from models import PINS, ROOT, TENON, np
from real import Skip, letters, run_program

N_CALIBRATION, N_LEAST, N_MOST, BATCH = 64, 200, 256, 32
RATE, COSINE = .99, .995
NAMES = ["magika", "silero_vad", "ppocr_det", "ppocr_rec", "ppocr_cls", "minilm"]
OPTIONS = {"magika": ["--max-loss=0.005"], "ppocr_rec": ["--max-loss=0.015"], "silero_vad": ["--max-loss=0.02"]}


def tenon(*words):
    r = subprocess.run([TENON, *words], capture_output=True, text=True, timeout=1800)
    assert r.returncode == 0, (words, r.returncode, r.stdout[-2000:], r.stderr[-2000:])
    return r.stdout


def stacked(feeds):
    return {key: np.stack([feed[key] for feed in feeds]) for key in feeds[0]}


def answer(program, folder, feed):
    got, wrong = run_program(program, folder, feed)
    assert not wrong, wrong
    return got


def answers(program, folder, feeds, batch):
    """The first output for all feeds, rows one below the other."""
    parts = []
    for at in range(0, len(feeds), batch):
        group = feeds[at:at + batch]
        feed = {key: np.concatenate([f[key] for f in group]) for key in group[0]}
        parts.append(answer(program, folder, feed)[0])
    return np.concatenate(parts)


def same_place(got, want):
    """How often the largest elements' places agree; how many different ones there are."""
    return float((got.argmax(1) == want.argmax(1)).mean()), len(set(want.argmax(1).tolist()))


def edits(a, b):
    """How many letters to change, add or leave out to make one text the other."""
    row = list(range(len(b) + 1))
    for i, letter in enumerate(a):
        last, row[0] = row[0], i + 1
        for j, other in enumerate(b):
            last, row[j + 1] = row[j + 1], min(row[j + 1] + 1, row[j] + 1, last + (letter != other))
    return row[-1]


def same_text(got, want):
    """The share of letters read alike; whole lines are counted, too."""
    ours, theirs = letters(got), letters(want)
    print(f"ppocr_rec: {sum(a == b for a, b in zip(ours, theirs))} of {len(theirs)} lines letter by letter", flush=True)
    wrong, most = sum(map(edits, ours, theirs)), sum(max(len(a), len(b)) for a, b in zip(ours, theirs))
    return 1 - wrong / most, len({tuple(line) for line in theirs if len(line) >= 3})


def same_points(got, want):
    ours, theirs = got > .3, want > .3
    return float((ours == theirs).mean()), len(set(theirs.ravel().tolist()))


def same_direction(got, want):
    cosines = (got * want).sum(1) / np.sqrt((got * got).sum(1) * (want * want).sum(1))
    return float(cosines.min()), 2


JUDGES = {"magika": same_place, "ppocr_cls": same_place, "ppocr_rec": same_text, "ppocr_det": same_points, "minilm": same_direction}


def speech(program, folder, voices):
    """Probabilities [pieces, N], and the feeds."""
    state, heard, feeds = np.zeros((2, len(voices), 128), np.float32), [], []
    for piece in real_inputs.pieces(voices):
        feeds.append({"input": piece, "state": state, "sr": np.array(16000, np.int64)})
        probability, state = answer(program, folder, feeds[-1])
        heard.append(probability[:, 0])
    return np.stack(heard), feeds


def voice_samples(program, folder, voices):
    """Pieces as the float model hears them amid a prompt, one prompt's each."""
    _, feeds = speech(program, folder, voices)
    picked = [(feeds[k % len(feeds)], k % len(voices)) for k in range(0, 7 * N_CALIBRATION, 7)]
    return [{"input": f["input"][i:i + 1], "state": f["state"][:, i:i + 1], "sr": f["sr"]} for f, i in picked]


def quantized(name, path, folder, samples, options):
    data, out, report = (os.path.join(folder, n) for n in ("data.npz", name + "8.tn", "report.json"))
    np.savez(data, **stacked(samples))
    said = tenon("quantize", path, "--data", data, "-o", out, "--report", report, *options)
    print(said if VERBOSE else "", end="")
    with open(report) as f:
        return out, json.load(f)


def check(name, path, folder, engine):
    pins = [f"--dim={p}" for p in PINS.get(name, [])]
    options = pins + OPTIONS.get(name, [])
    exact, program = (os.path.join(folder, n) for n in ("float", "bytes"))
    tenon("compile", path, "-o", exact, f"--target={engine}", *pins)
    if name == "silero_vad":
        voices = real_inputs.prompts(1.5)
        samples, n_rest = voice_samples(exact, folder, voices[:16]), len(voices) - 16
    else:
        feeds = getattr(real_inputs, name)(os.path.dirname(path))
        samples, rest = feeds[:N_CALIBRATION], feeds[N_CALIBRATION:][:N_MOST]
        n_rest = len(rest)
    assert n_rest >= N_LEAST, n_rest
    model, report = quantized(name, path, folder, samples, options)
    tenon("compile", model, "-o", program, f"--target={engine}")
    if name == "silero_vad":
        want, got = (speech(p, folder, voices[16:])[0] for p in (exact, program))
        rate, kinds = float(((got > .5) == (want > .5)).mean()), len(set((want > .5).ravel().tolist()))
    else:
        want, got = (answers(p, folder, rest, 1 if name == "minilm" else BATCH) for p in (exact, program))
        rate, kinds = JUDGES[name](got, want)
    n_bytes = sum(layer["precision"] == "bytes" for layer in report["layers"])
    print(f"{name}: {n_bytes} of {len(report['layers'])} layers in bytes, loss {report['loss']:.3g} by {report['metric']}, "
          f"{'least cosine' if name == 'minilm' else 'agreement'} {rate:.5f} on {n_rest} inputs, {want.size} numbers", flush=True)
    assert kinds >= 2, "the float model answers all alike"
    assert rate >= (COSINE if name == "minilm" else RATE), rate


def main():
    global VERBOSE
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", default=os.path.join(ROOT, "build/models"))
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("names", nargs="*")
    a = parser.parse_args()
    VERBOSE = a.verbose
    engine = "llvm" if "with LLVM" in tenon("--version") else "c"
    skipped = 0
    for name in a.names or NAMES:
        path = os.path.join(os.path.abspath(a.models), name + ".onnx")
        try:
            if not os.path.exists(path):
                raise Skip(f"{path} is not there (./bootstrap models fetches it)")
            with tempfile.TemporaryDirectory() as folder:
                check(name, path, folder, engine)
        except Skip as reason:
            print(f"{name}: skipped, because {reason}", flush=True)
            skipped += 1
    return 77 if skipped else 0


if __name__ == "__main__":
    sys.exit(main())
