"""Real inputs by the hundred for models with trained weights: files, lines and pictures of text, recorded speech, sentences.

Every function returns a list of inputs of one sample each, in a mixed order that is the same every time, so that any stretch of
it has some of each kind. magika: the files of this repository. ppocr_rec, ppocr_cls: windows on the lines of scikit-image's
photographed page, and this repository's words as Pillow's own font shows them, of several sizes, colours and
sharpness. ppocr_det: windows on the page and on the photographed handwriting, and such words over photographs.
silero_vad: the prompts of Debian's asterisk-core-sounds-en-wav. minilm: sentences of this repository. Missing packages: Skip.
"""
import glob, os, re, subprocess, sys, unicodedata, wave

sys.dont_write_bytecode = True
from real import CHUNK, CONTEXT, LINES, Skip, np, page_input, picture, resize, line_input
from models import ROOT

sys.path.insert(0, os.path.join(ROOT, "examples"))
import json
from file_types import features

PROMPTS = "/usr/share/asterisk/sounds/en_US_f_Allison"
PHOTOGRAPHS = ["camera", "brick", "grass", "gravel", "coins", "moon"]


def mixed(values):
    return [values[i] for i in np.random.default_rng(5).permutation(len(values))]


def repository_files():
    listed = subprocess.run(["git", "-C", ROOT, "ls-files"], capture_output=True, text=True)
    if listed.returncode:
        raise Skip("this is no checkout that git can list")
    return [os.path.join(ROOT, name) for name in sorted(listed.stdout.split())]


def magika(models):
    config = json.load(open(os.path.join(models, "magika.json")))
    paths = [p for p in repository_files() if os.path.getsize(p) >= 64]
    return [{"bytes": np.array([features(p, config)], np.int32)} for p in mixed(paths)]


def sentences():
    """Of the repository's pages and of the comments that open its C files."""
    found = []
    for path in repository_files():
        if not path.endswith((".md", ".c", ".h")):
            continue
        words = open(path, encoding="utf-8").read()
        opening = re.match(r"/\*(.*?)\*/", words, re.S)
        words = words if path.endswith(".md") else opening.group(1) if opening else ""
        words = re.sub(r"\s+", " ", re.sub(r"[`*|#]", " ", words))
        found += [s.strip() for s in re.split(r"(?<=[.:;?]) ", words) if 20 <= len(s) <= 300 and s.count(" ") >= 3]
    return mixed(sorted(set(found)))


def word_pieces(sentence, vocabulary):
    """BERT's tokens: lower case, marks apart, the longest known piece first."""
    plain = "".join(c for c in unicodedata.normalize("NFD", sentence.lower()) if unicodedata.category(c) != "Mn")
    ids = []
    for word in re.findall(r"\w+|[^\w\s]", plain):
        at, pieces = 0, []
        while at < len(word):
            known = [end for end in range(len(word), at, -1) if ("##" * (at > 0) + word[at:end]) in vocabulary]
            if not known:
                pieces = [vocabulary["[UNK]"]]
                break
            pieces.append(vocabulary["##" * (at > 0) + word[at:known[0]]])
            at = known[0]
        ids += pieces
    return [vocabulary["[CLS]"], *ids[:126], vocabulary["[SEP]"]]


def minilm(models):
    path = os.path.join(models, "minilm_vocab.txt")
    if not os.path.exists(path):
        raise Skip(f"{path} is not there (./bootstrap models fetches it)")
    vocabulary = {word: i for i, word in enumerate(open(path, encoding="utf-8").read().split("\n"))}
    samples = []
    for sentence in sentences():
        ids = word_pieces(sentence, vocabulary)
        row = np.zeros((3, 1, 128), np.int64)
        row[0, 0, :len(ids)], row[2, 0, :len(ids)] = ids, 1
        samples.append({"input_ids": row[0], "token_type_ids": row[1], "attention_mask": row[2]})
    return samples


def drawn(words, size, ink, paper, blur):
    """Words as a picture in grey, some dots wider and higher than they are."""
    from PIL import Image, ImageDraw, ImageFilter, ImageFont
    font = ImageFont.load_default(size)
    left, top, right, bottom = (round(v) for v in font.getbbox(words))
    image = Image.new("L", (right - left + size, bottom - top + size // 2), paper)
    ImageDraw.Draw(image).text((size // 2 - left, size // 4 - top), words, fill=ink, font=font)
    return np.asarray(image.filter(ImageFilter.GaussianBlur(blur))).astype(np.float32)


def drawings(n, most):
    """n pictures of up to `most` letters in words of the repository."""
    rng, pictures = np.random.default_rng(9), []
    words = [w for s in sentences() for w in s.split() if w.isascii()]
    while len(pictures) < n:
        line = words.pop()
        while words and len(line) + len(words[-1]) < most:
            line += " " + words.pop()
        ink, paper = sorted(rng.integers(0, 110, 2) + (0, 140))[::rng.choice([1, -1])]
        image = drawn(line, int(rng.integers(14, 40)), int(ink), int(paper), rng.uniform(0, 1.2))
        pictures.append(np.clip(image + rng.normal(0, rng.uniform(0, 8), image.shape), 0, 255).astype(np.float32))
    return pictures


def line_windows(width):
    """Windows on the photographed lines, as wide as `width` at height 48."""
    page = picture("page")
    wide = lambda top, bottom: (bottom - top) * width // 48
    return [page[top:bottom, x:x + wide(top, bottom)] for top, bottom, left, right in LINES
            for x in range(left, max(left + 1, right - wide(top, bottom)), 11)]


def ppocr_rec(models):
    crops = line_windows(320) + drawings(200, 22)
    return [{"x": line_input([crop], 320)} for crop in mixed(crops)]


def ppocr_cls(models):
    crops = line_windows(192) + drawings(150, 14)
    return [{"x": line_input([each], 192)} for crop in mixed(crops) for each in (crop, crop[::-1, ::-1])]


def ppocr_det(models):
    page, text = picture("page"), picture("text")
    height, width = 160, 320
    pictures = [page[y:y + 96, x:x + 192] for y in range(0, page.shape[0] - 95, 12) for x in range(0, page.shape[1] - 191, 16)]
    pictures += [text[y:y + 96, x:x + 192] for y in range(0, text.shape[0] - 95, 19) for x in range(0, text.shape[1] - 191, 32)]
    rng, photographs = np.random.default_rng(11), [picture(name) for name in PHOTOGRAPHS]
    for crop in drawings(150, 24):
        photograph = photographs[rng.integers(len(photographs))]
        y, x = (int(rng.integers(0, n - m)) for n, m in zip(photograph.shape, (height, width)))
        scene = photograph[y:y + height, x:x + width].copy()
        crop = crop[:height, :width]
        y, x = (int(rng.integers(0, n - m + 1)) for n, m in zip(scene.shape, crop.shape))
        scene[y:y + crop.shape[0], x:x + crop.shape[1]] = crop
        pictures.append(scene)
    return [{"x": page_input(p, height, width)} for p in mixed(pictures)]


def prompts(seconds):
    """The prompts that are that long, at 16 kHz, [N, samples]: 8 kHz with every other sample put between its neighbours."""
    import scipy.signal
    found = []
    for path in mixed(sorted(glob.glob(os.path.join(PROMPTS, "**/*.wav"), recursive=True))):
        with wave.open(path) as f:
            assert (f.getframerate(), f.getnchannels(), f.getsampwidth()) == (8000, 1, 2), path
            if f.getnframes() < 8000 * seconds:
                continue
            samples = np.frombuffer(f.readframes(int(8000 * seconds)), np.int16) / np.float32(32768)
        found.append(scipy.signal.resample_poly(samples, 2, 1).astype(np.float32))
    if not found:
        raise Skip("the Debian package asterisk-core-sounds-en-wav is not installed (./bootstrap test installs it)")
    return np.stack(found)


def pieces(voices):
    """What silero_vad hears one after the other: [N, CONTEXT + CHUNK] each."""
    padded = np.concatenate([np.zeros((len(voices), CONTEXT), np.float32), voices], axis=1)
    return [padded[:, at:at + CONTEXT + CHUNK] for at in range(0, voices.shape[1] - CHUNK + 1, CHUNK)]
