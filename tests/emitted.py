#!/usr/bin/env python3
"""What the compiler writes, for every example: the same bytes twice, C without a warning, runs that are clean.

    tests/emitted.py [FILE.tn...]      TENON=path/of/tenon

For each model: two compilations give the same C, object code (LLVM) and text of every stage; the C compiles under gcc
and clang with -std=c11 -Wall -Wextra -Wconversion -Werror; it runs under the address and undefined-behaviour
sanitizers, and under valgrind, in an arena of exactly the size it reports; a run does not allocate (malloc is
intercepted); nothing of it names the folder it was made in. gcc's and clang's code give the same bits.
"""
import glob, os, shutil, subprocess, sys, tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TENON = os.environ.get("TENON", os.path.join(ROOT, "build/release/tenon"))
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
COMPILERS = [c for c in ("gcc", "clang") if shutil.which(c)]


def run(*command, **more):
    r = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=600, **more)
    if r.returncode:
        raise AssertionError(f"{' '.join(map(str, command))[:160]}: status {r.returncode}: {(r.stderr or r.stdout).strip()[:400]}")
    return r.stdout


def read(path):
    with open(path, "rb") as f:
        return f.read()


def flags_of(cpu):
    for line in open(os.path.join(ROOT, "ir/targets.def")):
        if line.startswith(f'TARGET("{cpu}"'):
            return line.split('"')[7].split()
    raise AssertionError("no such target: " + cpu)


def check(model, cpu, folder):
    name = os.path.splitext(os.path.basename(model))[0]
    options = ["--zero-weights", f"--cpu={cpu}"]
    for turn in "ab":
        os.makedirs(f"{folder}/{turn}")
        run(TENON, "compile", model, "-o", f"{folder}/{turn}/{name}.c", *options)
        if "LLVM" in run(TENON, "--version"):
            run(TENON, "compile", model, "-o", f"{folder}/{turn}/{name}.o", "--target=llvm", *options)
        text = run(TENON, "compile", model, "--print-after=all", "--stop-after=plan", *options)
        with open(f"{folder}/{turn}/{name}.stages", "w") as f:
            f.write(text)
    files = sorted(os.listdir(f"{folder}/a"))
    assert files == sorted(os.listdir(f"{folder}/b")), "different files the second time"
    for f in files:
        data = read(f"{folder}/a/{f}")
        assert data == read(f"{folder}/b/{f}"), f"{f} differs the second time"
        assert folder.encode() not in data, f"{f} names the folder it was made in"
    sources = glob.glob(f"{folder}/a/*.c") + glob.glob(f"{folder}/a/*.S")
    shutil.copy(os.path.join(ROOT, "runtime/tenon.h"), f"{folder}/a/tenon.h")
    host, answers = os.path.join(ROOT, "tests/host.c"), {}
    for compiler in COMPILERS:
        for source in sources:
            if source.endswith(".c"):
                run(compiler, *STRICT, *flags_of(cpu), "-O1", "-c", source, "-o", f"{folder}/strict.o")
        wrap = ["-DWRAP"] + [f"-Wl,--wrap={f}" for f in ("malloc", "calloc", "realloc")]
        for kind, extra in (("plain", wrap), ("sanitized", ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"])):
            program = f"{folder}/{compiler}_{kind}"
            run(compiler, "-std=c11", "-O1", *flags_of(cpu), "-DTENON_EXPORT_MODEL", "-I", f"{folder}/a", *extra, host, *sources, "-o", program, "-lm",
                cwd=f"{folder}/a")
            answers[compiler, kind] = [run(program), run(program, *["1"] * 8)]
    assert len(set(map(str, answers.values()))) == 1, f"compilers disagree: {answers}"
    if shutil.which("valgrind"):
        run("valgrind", "-q", "--error-exitcode=9", f"{folder}/{COMPILERS[0]}_plain")


def main():
    bad, models = 0, sys.argv[1:] or sorted(glob.glob(os.path.join(ROOT, "examples/*.tn")))
    for model in models:
        for cpu in ("portable", "x86-64-v3") if os.uname().machine == "x86_64" else ("portable",):
            folder = tempfile.mkdtemp()
            try:
                check(model, cpu, folder)
                print(f"pass {os.path.basename(model)} {cpu}", flush=True)
            except (AssertionError, subprocess.TimeoutExpired) as error:
                print(f"fail {os.path.basename(model)} {cpu}: {error}".replace(folder, ""), flush=True)
                bad += 1
            shutil.rmtree(folder)
    print(f"{2 * len(models)} checked, {bad} failed; compilers: {', '.join(COMPILERS)}; valgrind: {bool(shutil.which('valgrind'))}")
    return 1 if bad or not models else 0


if __name__ == "__main__":
    sys.exit(main())
