#!/usr/bin/env python3
"""Every malformed model of malformed/make.py is refused: exit status 1, a located message, soon, in little memory.

    tests/test_malformed.py [NAME...]     TENON is the program (a build with sanitizers where there is one)

Required of `tenon check FILE`: status 1, at least one line `FILE...: error: ...`, messages without control characters
or bytes that are not UTF-8, nothing from a sanitizer, under a second (five under sanitizers), and no more than 1 GB of
address space (not bounded under sanitizers, which reserve terabytes). Names given run only those and print messages.
"""
import os, re, resource, subprocess, sys, time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests/malformed"))
import make

TENON = os.environ.get("TENON", os.path.join(ROOT, "build/release/tenon"))
FOLDER = os.path.join(os.environ.get("TENON_BUILD", os.path.join(ROOT, "build/release")), "malformed")
SANITIZED = bool(os.environ.get("TENON_SANITIZE"))
SECONDS = 5 if SANITIZED else 1

# What a message must say, where a located message alone could be about something else.
SAYS = {
    "unsupported_operators.onnx": ["Frobnicate", "Defenestrate", "Transmogrify", "first", "second", "third", "opset"],
    "cycle.onnx": ["cycle|later|before"], "no_opset.onnx": ["opset"], "opset_unknown.onnx": ["9999"],
    "external_parent.onnx": ["folder"], "external_symlink.onnx": ["link"], "external_hard_link.onnx": ["link"],
    "external_unknown_key.onnx": ["key"], "conv_strides.onnx": ["stride"], "conv_group.onnx": ["group"],
    "operators_unsupported.tflite": ["operator 0 SVDF", "Frobnicate", "RANDOM_UNIFORM|RANDOM"], "cycle.tflite": ["before"],
    "buffer_short.tflite": ["16 bytes.*12"], "conv_channels.tflite": ["operator 0 CONV_2D", "3 channels"],
    "misspelt.tn": ["did you mean 'x'"], "circle_a.tn": ["circle"],
}


def bound_memory():
    resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not SANITIZED:
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))


def check(name):
    """What is wrong with how name is refused, as a list; and its messages."""
    environment = dict(os.environ, ASAN_OPTIONS="detect_leaks=0:max_allocation_size_mb=2000:hard_rss_limit_mb=3000")
    start = time.monotonic()
    try:
        r = subprocess.run([TENON, "check", name], cwd=FOLDER, capture_output=True, timeout=30, preexec_fn=bound_memory,
                           env=environment, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return ["hangs (30 s)"], ""
    spent = time.monotonic() - start
    if spent > SECONDS:  # another process may have had the processor
        spent = min(spent, processor_seconds(name, environment))
    text = r.stderr.decode(errors="replace")
    wrong = []
    if r.returncode != 1:
        wrong.append(f"exit status {r.returncode}")
    if not re.search(r"(?m)^(" + re.escape(name) + r"|circle_[ab]\.tn)\b.*: error: .", text):
        wrong.append("no located message")
    if re.search(r"Sanitizer|runtime error:", text):
        wrong.append("sanitizer")
    if re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text) or (name.startswith("hostile") and "\ufffd" in text):
        wrong.append("control characters in a message")
    if any(line.startswith("break: error: forged") for line in text.splitlines()):
        wrong.append("a name forges a message")
    if len(text) > 200000:
        wrong.append(f"{len(text)} characters of messages")
    if spent > SECONDS:
        wrong.append(f"{spent:.1f} s")
    wrong += [f"does not say {words}" for words in SAYS.get(name, []) if not re.search(words, text)]
    return wrong, text


def processor_seconds(name, environment):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([TENON, "check", name], cwd=FOLDER, capture_output=True, preexec_fn=bound_memory, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main():
    models = make.make(FOLDER)
    names = sys.argv[1:] or models
    failed = 0
    for name in names:
        wrong, text = check(name)
        failed += bool(wrong)
        if wrong:
            print(f"{name}: {', '.join(wrong)}\n    " + "\n    ".join(text[-1500:].splitlines()[-6:]))
        elif sys.argv[1:]:
            print(text, end="")
    print(f"{len(names) - failed} refused, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
