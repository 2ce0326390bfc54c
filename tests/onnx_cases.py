#!/usr/bin/env python3
"""The ONNX backend's node cases against their recorded outcomes.

    tests/onnx_cases.py [--target interpreter|c|llvm|all] [--rewrite] [--table]      exit 77: skipped, no onnx package

The onnx package builds its cases; they are written once into build/onnx_cases. `tenon test` judges them, and every
line must be the one in tests/onnx/outcomes.txt: `pass NAME`, or `skip NAME` and the message by which the model is
refused. A case that fails is never recorded. --rewrite replaces the record; --table prints README's table of it.
"""
import argparse, collections, os, subprocess, sys, types

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TENON = os.environ.get("TENON", os.path.join(ROOT, "build/release/tenon"))
CASES = os.environ.get("TENON_ONNX_CASES", os.path.join(ROOT, "build/onnx_cases"))
RECORD = os.path.join(ROOT, "tests/onnx/outcomes.txt")


def write_cases():
    try:
        import onnx.backend.test.case.node as node
        import onnx.backend.test.cmd_tools as tools
    except ImportError:
        print("skip: the onnx package is not installed (./bootstrap test installs it where PyPI can be reached)")
        sys.exit(77)
    tools.model_test = types.SimpleNamespace(collect_testcases=lambda: node.collect_testcases(None))
    tools.generate_data(types.SimpleNamespace(output=CASES + ".part"))
    os.rename(CASES + ".part", CASES)


def table(lines):
    """Passed and refused cases by the first word of their names."""
    count = collections.Counter(line.split()[0] for line in lines)
    print(f"| cases | pass on interpreter, C and LLVM | refused with a message | wrong |\n|---|---|---|---|")
    print(f"| {len(lines)} | {count['pass']} | {count['skip']} | {count['fail']} |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--target", default="all")
    parser.add_argument("--rewrite", action="store_true")
    parser.add_argument("--table", action="store_true")
    a = parser.parse_args()
    recorded = open(RECORD).read().splitlines() if os.path.exists(RECORD) else []
    if a.table:
        return table(recorded)
    if not os.path.isdir(CASES):
        write_cases()
    r = subprocess.run([TENON, "test", "--target=" + a.target, os.path.join(CASES, "node")], capture_output=True, text=True)
    lines = sorted(r.stdout.splitlines()[:-1], key=lambda line: line.split(" ", 2)[1:])
    failed = [line for line in lines if line.startswith("fail ")]
    if a.rewrite and not failed:
        with open(RECORD, "w") as f:
            f.writelines(line + "\n" for line in lines)
        recorded = lines
    for line in failed:
        print(line)
    moved = sorted(set(lines) ^ set(recorded))
    for line in moved[:40]:
        print(("now:      " if line in set(lines) else "recorded: ") + line)
    print(r.stdout.splitlines()[-1] if r.stdout else r.stderr)
    return 1 if failed or moved or not lines else 0


if __name__ == "__main__":
    sys.exit(main())
