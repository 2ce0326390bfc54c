#!/usr/bin/env python3
"""Golden tests: text in, text out.

    tests/golden.py [--rewrite] FILE...       TENON=path/of/tenon (default build/release/tenon)

A file is a `# run:` line, the input, and what must come of it:

    # run: tenon check %s --stop-after=fuse
    model m(x: f32[4]) -> (y: f32[4]) { y = relu(x) }
    # out
    ...standard output...
    # err
    ...standard error...
    # exit 1

%s is the input part alone, in a folder of its own under the file's own name; %d the golden file's folder. Missing
sections expect nothing, and exit status 0. --rewrite replaces the expectations by what happens: review it as code.
"""
import difflib, os, re, shlex, subprocess, sys, tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TENON = os.environ.get("TENON", os.path.join(ROOT, "build/release/tenon"))


def split(text):
    """The parts before, and under, the markers."""
    parts, key = {"in": [], "out": [], "err": []}, "in"
    status = 0
    for line in text.splitlines(keepends=True):
        marker = re.fullmatch(r"# (out|err|exit (\d+))\n?", line)
        if marker and marker[2]:
            status = int(marker[2])
        elif marker:
            key = marker[1]
        else:
            parts[key].append(line)
    return {k: "".join(v) for k, v in parts.items()}, status


def run(path, parts):
    commands = re.findall(r"^# run: (.*)$", parts["in"], re.M)
    if not commands:
        sys.exit(f"{path}: no `# run:` line")
    out, err, status = "", "", 0
    with tempfile.TemporaryDirectory() as folder:
        name = os.path.basename(path)
        with open(os.path.join(folder, name), "w") as f:
            f.write(parts["in"])
        for command in commands:
            words = shlex.split(command.replace("%s", name).replace("%d", os.path.dirname(os.path.abspath(path))))
            if words[0] == "tenon":
                words[0] = TENON
            r = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=300)
            place = os.path.dirname(os.path.abspath(path)) # may stand in messages
            out, err, status = out + r.stdout.replace(place, "%d"), err + r.stderr.replace(place, "%d"), max(status, r.returncode) if r.returncode >= 0 else r.returncode
    return {"out": out, "err": err}, status


def main():
    names = [a for a in sys.argv[1:] if a != "--rewrite"]
    bad = 0
    for path in names:
        text = open(path).read()
        expected, status = split(text)
        got, got_status = run(path, expected)
        if "--rewrite" in sys.argv:
            with open(path, "w") as f:
                f.write(expected["in"])
                for key in ("out", "err"):
                    f.write(f"# {key}\n{got[key]}" if got[key] else "")
                f.write(f"# exit {got_status}\n" if got_status else "")
            continue
        same = got_status == status and all(got[k] == expected[k] for k in ("out", "err"))
        print(("pass " if same else "fail ") + path)
        bad += not same
        if got_status != status:
            print(f"  exit status {got_status}, expected {status}")
        for key in ("out", "err"):
            sys.stdout.writelines(difflib.unified_diff(expected[key].splitlines(True), got[key].splitlines(True),
                                                       "expected " + key, "got " + key))
    return 1 if bad or not names else 0


if __name__ == "__main__":
    sys.exit(main())
