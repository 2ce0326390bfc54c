#!/usr/bin/env python3
"""The node cases of the onnx package, each judged as tests/onnx/outcomes.txt says.

    tests/onnx/cases.py [--cases DIR] [--target interpreter|c|llvm|all] [--device cpu|gpu] [--update] [NAME...]
                                                        exit 77: skipped, the onnx package is not there

The package carries its cases as Python; they are written to DIR (default build/onnx_cases) once. outcomes.txt has one
line per case: pass, or skip with the importer's message. Any difference fails, so that what is supported moves only on
purpose: --update writes the file anew, and the change is reviewed like code.
"""
import argparse, os, subprocess, sys, types

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TENON = os.environ.get("TENON", os.path.join(ROOT, "build/release/tenon"))
OUTCOMES = os.path.join(ROOT, "tests/onnx/outcomes.txt")
VERSION = "1.23.2"


def write_cases(folder):
    try:
        import onnx
        import onnx.backend.test.case.node as node
        import onnx.backend.test.cmd_tools as tools
    except ImportError:
        print("skip: the onnx package is not installed")
        sys.exit(77)
    if onnx.__version__ != VERSION:
        print(f"skip: outcomes are recorded for onnx {VERSION}, {onnx.__version__} is installed")
        sys.exit(77)
    tools.model_test = types.SimpleNamespace(collect_testcases=lambda: node.collect_testcases(None))
    tools.generate_data(types.SimpleNamespace(output=folder))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", default=os.path.join(os.environ.get("TENON_BUILD", os.path.join(ROOT, "build")), "onnx_cases"))
    parser.add_argument("--target", default="interpreter")
    parser.add_argument("--device", help="with --target opencl, whose kernels are dealt out however small they are")
    parser.add_argument("--update", action="store_true")
    parser.add_argument("names", nargs="*")
    a = parser.parse_args()
    if not os.path.isdir(os.path.join(a.cases, "node")):
        write_cases(a.cases)
    node = os.path.join(a.cases, "node")
    wanted = {}
    if os.path.exists(OUTCOMES):
        wanted = {line.split(" ")[1]: line for line in open(OUTCOMES).read().splitlines()}
    elif not a.update:
        print(f"{OUTCOMES} is not there: --update writes it")
        return 1
    folders = [os.path.join(node, n) for n in a.names] or [node]
    device = ["--device=" + a.device, "--grain=1"] if a.device else []
    r = subprocess.run([TENON, "test", "--quiet", "--target=" + a.target, *device, *folders], capture_output=True, text=True)
    lines = r.stdout.splitlines()
    if not lines or not lines[-1].endswith("skipped"):
        print(f"tenon test ended with status {r.returncode}: {r.stderr[-1000:]}")
        return 1
    got = {line.split(" ")[1]: line for line in lines[:-1]}
    if a.update:
        if any(line.startswith("fail") for line in got.values()):
            print("not updated: " + "\n".join(line for line in got.values() if line.startswith("fail")))
            return 1
        wanted.update(got)
        with open(OUTCOMES, "w") as f:
            f.writelines(wanted[name] + "\n" for name in sorted(wanted))
    different = [name for name in got if wanted.get(name) != got[name]]
    missing = [] if a.names else [name for name in wanted if name not in got]
    for name in different:
        print(f"expected: {wanted.get(name, '(no such case)')}\n     got: {got[name]}")
    for name in missing:
        print(f"expected: {wanted[name]}\n     got: no line")
    print(f"{a.target}: {lines[-1]}; {len(different) + len(missing)} differ from tests/onnx/outcomes.txt")
    return 1 if different or missing else 0


if __name__ == "__main__":
    sys.exit(main())
