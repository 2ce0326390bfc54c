#!/usr/bin/env python3
"""Real pictures of text and a real voice against ONNX Runtime: random input drives some models to outputs near zero.

    tests/real.py [--models DIR] [--target c,llvm] [NAME...]       exit 77: skipped, a package or the models are missing

Pictures: scikit-image's photograph of a printed page and of handwriting, which its wheel contains. ppocr_det finds text
in them, ppocr_rec reads lines cut out of the page, ppocr_cls says which are upside down. Voice: a reader of LibriVox
from Debian's pocketsphinx-testdata; silero_vad hears it in pieces of 32 ms, Tenon and ONNX Runtime each with its own
state. Beside the tolerance of tests/models.py this requires that the reference itself sees text and hears speech, else
the comparison would mean nothing, and that both read the same words. One line per model, target and input; the last
line counts. NAME is one of ppocr_det, ppocr_rec, ppocr_cls, silero_vad.
"""
import argparse, os, subprocess, sys, tempfile, wave

sys.dont_write_bytecode = True
from models import PINS, ROOT, TENON, compare, np, onnxruntime

VOICE = "/usr/share/pocketsphinx/test/data/librivox/sense_and_sensibility_01_austen_64kb-0870.wav"
NAMES = ["ppocr_det", "ppocr_rec", "ppocr_cls", "silero_vad"]
CHUNK, CONTEXT = 512, 64  # what silero_vad hears at once, and how much of what came before
CHUNKS = 60
# Lines of the page: top, bottom, left, right.
LINES = [(10, 34, 0, 300), (47, 64, 0, 384), (66, 83, 0, 384), (84, 101, 0, 340), (118, 136, 0, 180)]


class Skip(Exception):
    pass


def picture(name):
    try:
        import skimage.data
    except ImportError:
        raise Skip("the PyPI package scikit-image is not installed (./bootstrap test installs it where PyPI can be reached)")
    return getattr(skimage.data, name)().astype(np.float32)


def resize(image, height, width):
    import skimage.transform
    return skimage.transform.resize(image, (height, width), order=1, preserve_range=True).astype(np.float32)


def page_input(image, height, width):
    """The picture as PaddleOCR normalizes it for detection."""
    scaled = resize(image, height, width) / 255
    mean, deviation = np.array([.485, .456, .406], np.float32), np.array([.229, .224, .225], np.float32)
    return ((scaled[None, :, :] - mean[:, None, None]) / deviation[:, None, None])[None].astype(np.float32)


def line_input(crops, width):
    """Lines of text at height 48, padded with zeros or cut to one width."""
    batch = np.zeros((len(crops), 3, 48, width), np.float32)
    for i, crop in enumerate(crops):
        scaled = resize(crop, 48, round(crop.shape[1] * 48 / crop.shape[0]))[:, :width]
        batch[i, :, :, :scaled.shape[1]] = (scaled / 255 - .5) / .5
    return batch


def run_program(program, folder, feed):
    """The outputs of a compiled model, and None or the text of its failure."""
    for path in outputs_in(folder):
        os.remove(path)
    command = [program, "--output-dir", folder]
    for key, value in feed.items():
        np.save(os.path.join(folder, key + ".npy"), value)
        command += ["--input", f"{key}={folder}/{key}.npy"]
    r = subprocess.run(command, capture_output=True, text=True)
    if r.returncode:
        return None, f"stops: {r.stderr.strip()[-300:]}"
    return [np.load(path) for path in outputs_in(folder)], None


def outputs_in(folder):
    names = [n for n in os.listdir(folder) if n.startswith("output_") and n.endswith(".npy")]
    return [os.path.join(folder, n) for n in sorted(names, key=lambda n: int(n[7:-4]))]


def compare_all(got, want):
    """The largest difference, and None or what is wrong."""
    if len(got) != len(want):
        return 0, f"{len(got)} outputs, expected {len(want)}"
    for k, (g, w) in enumerate(zip(got, want)):
        wrong = compare(g, w)
        if wrong:
            return 0, f"output {k}: {wrong}"
    return max(float(np.abs(g - w).max()) for g, w in zip(got, want)), None


def letters(scores):
    """What is read: the best class of each step, repetitions once, without class 0, the gap."""
    best = scores.argmax(axis=2)
    return [[int(c) for i, c in enumerate(row) if c and (i == 0 or row[i - 1] != c)] for row in best]


def judge_det(got, want):
    if want[0].max() <= .3:
        return f"the reference finds no text: at most {want[0].max():.3g}"
    return None


def judge_rec(got, want):
    if letters(got[0]) != letters(want[0]):
        return "another text is read"
    if min(len(line) for line in letters(want[0])) < 8:
        return "the reference reads less than 8 letters in a line"
    return None


def judge_cls(got, want):
    seen = want[0].argmax(axis=1) == np.arange(len(want[0])) % 2
    return None if seen.mean() >= .75 else f"the reference sees the direction of {seen.sum()} of {len(seen)} lines"


def cases_det():
    page, text = picture("page"), picture("text")
    return [("page", page_input(page, 192, 384)), ("page", page_input(page, 384, 768)), ("text", page_input(text, 352, 896))], judge_det


def cases_rec():
    page = picture("page")
    crops = [page[top:bottom, left:right] for top, bottom, left, right in LINES]
    return [("lines", line_input(crops, 320)), ("lines", line_input(crops[:3], 1088))], judge_rec


def cases_cls():
    page = picture("page")
    crops = [page[top:bottom, left:right] for top, bottom, left, right in LINES]
    both = [each for crop in crops for each in (crop[:, :crop.shape[0] * 4], crop[::-1, ::-1][:, -crop.shape[0] * 4:])]
    return [("lines", line_input(both, 192))], judge_cls


CASES = {"ppocr_det": cases_det, "ppocr_rec": cases_rec, "ppocr_cls": cases_cls}


def check_pictures(name, session, program, folder):
    cases, judge = CASES[name]()
    for what, value in cases:
        feed = {session.get_inputs()[0].name: value}
        want = session.run(None, feed)
        got, wrong = run_program(program, folder, feed)
        worst = 0
        if not wrong:
            worst, wrong = compare_all(got, want)
        wrong = wrong or judge(got, want)
        yield f"{what} {'x'.join(map(str, value.shape))} (largest difference {worst:.2g})", wrong


def voice():
    if not os.path.exists(VOICE):
        raise Skip("the Debian package pocketsphinx-testdata is not installed (./bootstrap test installs it)")
    with wave.open(VOICE) as f:
        if (f.getframerate(), f.getnchannels(), f.getsampwidth()) != (16000, 1, 2):
            raise Skip(f"{VOICE} is not 16 kHz, mono, 16 bits")
        samples = np.frombuffer(f.readframes(f.getnframes()), np.int16) / np.float32(32768)
    samples = np.concatenate([np.zeros(CONTEXT, np.float32), samples.astype(np.float32)])
    return [samples[i * CHUNK:i * CHUNK + CHUNK + CONTEXT][None] for i in range(CHUNKS)]


def check_voice(name, session, program, folder):
    ours = theirs = np.zeros((2, 1, 128), np.float32)
    rate, worst, speech, silence = np.array(16000, np.int64), 0, 0, 1
    for i, chunk in enumerate(voice()):
        want = session.run(None, {"input": chunk, "state": theirs, "sr": rate})
        got, wrong = run_program(program, folder, {"input": chunk, "state": ours, "sr": rate})
        if not wrong:
            difference, wrong = compare_all(got, want)
            worst = max(worst, difference)
        if wrong:
            yield f"voice, piece {i}", wrong
            return
        ours, theirs = got[1], want[1]
        speech, silence = max(speech, float(want[0].max())), min(silence, float(want[0].min()))
    wrong = None if speech > .5 > silence else f"the reference says {silence:.3g} to {speech:.3g}: not both speech and silence"
    yield f"voice, {CHUNKS} pieces, speech {silence:.2g} to {speech:.2g} (largest difference {worst:.2g})", wrong


def check_model(name, path, targets, folder):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for target in targets:
        program = os.path.join(folder, "model")
        pins = [f"--dim={p}" for p in PINS.get(name, [])]
        r = subprocess.run([TENON, "compile", path, "-o", program, "--target=" + target, *pins], capture_output=True, text=True)
        if r.returncode:
            yield f"{name} {target}", "does not compile: " + r.stderr.strip()[-300:]
            continue
        check = check_voice if name == "silero_vad" else check_pictures
        for what, wrong in check(name, session, program, folder):
            yield f"{name} {target} {what}", wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", default=os.path.join(ROOT, "build/models"))
    parser.add_argument("--target", default="c,llvm")
    parser.add_argument("names", nargs="*")
    a = parser.parse_args()
    llvm = "LLVM" in subprocess.run([TENON, "--version"], capture_output=True, text=True).stdout
    targets = [t for t in a.target.split(",") if t != "llvm" or llvm]
    passed = failed = skipped = 0
    for name in a.names or NAMES:
        path = os.path.join(a.models, name + ".onnx")
        try:
            if not os.path.exists(path):
                raise Skip(f"{path} is not there (./bootstrap models fetches it)")
            picture("page") if name in CASES else voice()
            with tempfile.TemporaryDirectory() as folder:
                for what, wrong in check_model(name, path, targets, folder):
                    print(("fail " if wrong else "pass ") + what + (": " + wrong if wrong else ""), flush=True)
                    passed, failed = passed + (not wrong), failed + bool(wrong)
        except Skip as reason:
            print(f"{name}: skipped, because {reason}", flush=True)
            skipped += 1
    print(f"{passed} passed, {failed} failed, {skipped} models skipped")
    return 1 if failed else 77 if skipped or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
