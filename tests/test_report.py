#!/usr/bin/env python3
"""Reports of tenon bench and compile: that they parse, that every call is there once, that names from files cannot leave
their place, that a report costs an artefact nothing, and that what is not measured is the same every time.

    tests/test_report.py           TENON=path/of/tenon (default build/release/tenon)
"""
import filecmp, html.parser, json, os, re, shutil, subprocess, sys, tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TENON = os.path.abspath(os.environ.get("TENON", os.path.join(ROOT, "build/release/tenon")))
sys.path.insert(0, os.path.join(ROOT, "tests/malformed"))
import protobuf as pb

VOID = {"meta", "link", "img", "br", "hr", "input"}
# As a file may call its layers: markup, quotes, an entity, a control character, bytes that are no UTF-8.
HOSTILE = [b'"><script>alert(1)</script>', b"a'b\"c\\d", b"&lt;&#39;", b"</title></svg><b>", b"bell\x07 \xc2\x9b nul", b"\xff\xfe\xc0\xaf end"]


class Page(html.parser.HTMLParser):
    """The page's rows of calls; fails where tags do not nest or something is not the page's own."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.stack, self.rows, self.tags, self.words = [], [], set(), []
        self.feed(text)
        self.close()
        assert not self.stack, self.stack

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.add(tag)
        assert not set(attrs) & {"src", "srcset", "xlink:href", "onclick", "onload"}, attrs
        assert attrs.get("href", "#").startswith("#"), attrs
        if tag == "tr" and "data-kernel" in attrs:
            self.rows.append((int(attrs["id"].removeprefix("call-")), attrs["data-kernel"]))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.stack.pop()

    def handle_endtag(self, tag):
        assert self.stack and self.stack.pop() == tag, tag

    def handle_data(self, data):
        self.words.append(data)


def tenon(folder, *words, status=0):
    r = subprocess.run([TENON, *words], cwd=folder, capture_output=True, timeout=600)
    assert r.returncode == status, (words, r.returncode, r.stdout[-2000:], r.stderr[-2000:])
    return r.stdout.decode(errors="replace") # a program's text has names as they are


def calls_of(folder, model, *options):
    """Kernels called by main, in order, as the program's text has them."""
    program = tenon(folder, "check", model, "--stop-after=plan", *options)
    main = program[program.index("\nmain {"):]
    return re.findall(r"^ *(?:call|extern) (\w+)\(", main, re.M)


def no_constants(s):
    raise AssertionError("JSON has no " + s)


def read_json(path):
    with open(path, "rb") as f:
        return json.loads(f.read().decode("utf-8"), parse_constant=no_constants)


def read_page(path):
    with open(path, "rb") as f:
        text = f.read().decode("utf-8")
    assert "@import" not in text and "url(" not in text and "//" not in re.sub(r"/\*.*?\*/", "", text), path
    page = Page(text)
    assert "script" not in page.tags and {"html", "svg", "table", "style"} <= page.tags
    return page


def check_report(report, calls, measured):
    assert [c["kernel"] for c in report["calls"]] == calls and [c["call"] for c in report["calls"]] == list(range(len(calls)))
    for call in report["calls"]:
        assert call["predicted_s"] == max(call["compute_s"], call["memory_s"])
        assert call["bound"] in ("compute", "memory", "overhead") and call["direct_flops"] >= call["flops"] >= 0
        assert (call["median_s"] is not None) == measured and (call["least_s"] is not None) == measured
        assert not measured or 0 <= call["least_s"] <= call["median_s"]
        assert 0 <= call["weight_bytes"] <= call["bytes"]
    totals = report["totals"]
    assert totals["calls"] == len(calls) and totals["flops"] == sum(c["flops"] for c in report["calls"])
    assert (totals["median_s"] is not None) == measured
    assert report["machine"]["flops_per_s"] > 1e6 and all(m["bytes_per_s"] > 1e6 for m in report["machine"]["memory"])
    live = max(c["arena_bytes_live"] for c in report["calls"])
    assert report["calls"][report["peak_call"]]["arena_bytes_live"] == live <= totals["arena_bytes"]
    for b in report["buffers"]:
        assert 0 <= b["first_call"] <= b["last_call"] < len(calls) and b["offset_bytes"] + b["bytes"] <= totals["arena_bytes"]
        assert b["at_peak"] == (b["first_call"] <= report["peak_call"] <= b["last_call"])


def check_page(path, calls):
    page = read_page(path)
    assert sorted(page.rows) == list(enumerate(calls)), page.rows
    return page


def check_trace(path, made, workers):
    events = read_json(path)["traceEvents"]
    tracks = {e["tid"] for e in events if e.get("name") == "thread_name"}
    assert tracks == set(range(workers)), tracks
    spans = [e for e in events if e["ph"] == "X"]
    assert {e["args"]["call"] for e in spans if "args" in e} == made
    for w in tracks:
        mine = [e for e in spans if e["tid"] == w]
        assert all(a["ts"] + a["dur"] <= b["ts"] + 0.002 for a, b in zip(mine, mine[1:]))


def unmeasured(report):
    """What must not change from run to run."""
    calls = [{k: v for k, v in c.items() if not re.search(r"_s$|^bound$|^peak_fraction$", k)} for c in report["calls"]]
    totals = {k: v for k, v in report["totals"].items() if not k.endswith("_s")}
    return {**report, "calls": calls, "totals": totals, "machine": None}


def check_model(folder, model, target, *options, workers=1):
    calls = calls_of(folder, model, *[o for o in options if not o.startswith(("--threads", "--grain"))])
    out = tenon(folder, "bench", model, f"--target={target}", "--runs=3", "--layers", "--report=b.html", "--report=b.json", "--trace=t.json", *options)
    assert sorted(map(int, re.findall(r"^ +(\d+) +[\d.]+ +[\d.]+ ", out, re.M))) == list(range(len(calls))), out
    report = read_json(os.path.join(folder, "b.json"))
    check_report(report, calls, True)
    check_page(os.path.join(folder, "b.html"), calls)
    check_trace(os.path.join(folder, "t.json"), {c["call"] for c in report["calls"] if c["times"]}, workers)
    return report


def check_compile(folder, model):
    """A report leaves the artefact alone, and has no times."""
    os.makedirs(os.path.join(folder, "with"), exist_ok=True)
    os.makedirs(os.path.join(folder, "without"), exist_ok=True)
    tenon(folder, "compile", model, "-o", "without/m.c")
    tenon(folder, "compile", model, "-o", "with/m.c", "--report=c.html", "--report=c.json")
    assert filecmp.cmp(f"{folder}/with/m.c", f"{folder}/without/m.c", shallow=False)
    assert "tenon_note" not in open(f"{folder}/with/m.c").read()
    first = read_json(os.path.join(folder, "c.json"))
    check_report(first, calls_of(folder, model), False)
    check_page(os.path.join(folder, "c.html"), calls_of(folder, model))
    tenon(folder, "compile", model, "-o", "with/m.c", "--report=c.json")
    assert unmeasured(first) == unmeasured(read_json(os.path.join(folder, "c.json")))


def hostile_model(path):
    nodes, last = [], b"x"
    for i, name in enumerate(HOSTILE):
        nodes.append(pb.node("Relu" if i % 2 else "Softmax", [last], [name], name=name))
        last = name
    graph = pb.graph(nodes, [pb.value(b"x", [4, 8])], [pb.value(last, [4, 8])], name=b"<i>")
    with open(path, "wb") as f:
        f.write(pb.model(graph))


def check_effective(folder):
    """A kernel that does fewer operations than its operator's definition has its rate by both."""
    with open(os.path.join(folder, "direct.tnp"), "w") as f:
        f.write('program "direct"\ninput x: f32[64]\noutput y: f32[64]\narena_bytes 0\n'
                'kernel k(out y: f32[64], in x: f32[64]) {\n  cost 64.0, 512.0, direct 640.0\n'
                '  for i in 0..64 {\n    store y[i] = load x[i]*0.5\n  }\n}\nmain {\n  call k(y + 0, x + 0)\n}\n')
    assert "cost 64.0, 512.0, direct 6.4e+02" in tenon(folder, "check", "direct.tnp", "--passes=profile", "--stop-after=profile")
    table = tenon(folder, "bench", "direct.tnp", "--passes=profile", "--runs=3", "--layers", "--report=d.json", "--report=d.html")
    call = read_json(os.path.join(folder, "d.json"))["calls"][0]
    assert call["flops"] == 64 and call["direct_flops"] == 640 and call["bytes"] == 512
    assert abs(call["effective_flops_per_s"] / call["flops_per_s"] - 10) < 1e-4
    assert "effective" in table and "effective" in "".join(read_page(os.path.join(folder, "d.html")).words)


def check_hostile(folder):
    hostile_model(os.path.join(folder, "<b> & co.onnx"))
    model = "<b> & co.onnx"
    report = check_model(folder, model, "c")
    seen = ", ".join(c["layers"] for c in report["calls"]).split(", ")
    assert seen == [n.decode("utf-8", errors="replace") for n in HOSTILE], seen
    words = "".join(read_page(os.path.join(folder, "b.html")).words)
    for name in (model.encode(), *HOSTILE[:4]):
        assert name.decode() in words, name
    assert "\x07" not in words and "\x9b" not in words
    read_json(os.path.join(folder, "t.json"))
    table = tenon(folder, "bench", model, "--runs=2", "--layers")
    assert "\x07" not in table and "\x9b" not in table and "<script>" in table


def main():
    with tempfile.TemporaryDirectory() as folder:
        for name in ("digits.tn", "digits.safetensors", "transformer.tn", "newton.tn", "cascade.tn"):
            shutil.copy(os.path.join(ROOT, "examples", name), folder)
        targets = ["c"] + (["llvm"] if "LLVM" in tenon(folder, "--version") else [])
        for target in targets:
            check_model(folder, "digits.tn", target, "--dim", "N=2")
            newton = check_model(folder, "newton.tn", target)
            assert any(c["times"] > 1 for c in newton["calls"]) # its loop
            check_model(folder, "cascade.tn", target)
        check_model(folder, "transformer.tn", targets[-1], "--zero-weights", "--threads=2", "--grain=1", workers=2)
        check_compile(folder, "digits.tn")
        check_hostile(folder)
        check_effective(folder)
        plain = json.loads(tenon(folder, "bench", "digits.tn", "--runs=2", "--json"))
        with_report = json.loads(tenon(folder, "bench", "digits.tn", "--runs=2", "--json", "--report=b.json"))
        assert list(plain) == list(with_report) and {"model", "median_ms", "flops", "peak_fraction"} <= set(plain), plain
        r = subprocess.run([TENON, "compile", "digits.tn", "-o", "m.c", "--report=none/r.html"], cwd=folder, capture_output=True, text=True)
        assert r.returncode == 1 and "none/r.html" in r.stderr, r.stderr
    print("reports of 7 models are right")


if __name__ == "__main__":
    main()
