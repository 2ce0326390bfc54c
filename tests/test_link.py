#!/usr/bin/env python3
"""Weights in linked files: the same answers whichever linker there is, and after strip.

    tests/test_link.py [LINKER...]      default: those of bfd, gold and lld that are installed

An executable, a library, an object and an archive of examples/digits.tn. With GNU ld the weights are behind the linked
code (codegen/weights_embed.c): their section has bytes and, in linked files, a segment of its own that is not writable.
"""
import os, shutil, subprocess, sys, tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TENON = os.environ.get("TENON", os.path.join(ROOT, "build/release/tenon"))
CC = os.environ.get("TENON_CC", "cc")
MODEL = os.path.join(ROOT, "examples/digits.tn")
HOST = r"""
#include "m.h"
#include <stdio.h>
int main(void)
{
    static unsigned char image[64];
    float probability[10] = {0};
    for (int i = 0; i < 64; i++) image[i] = (unsigned char)(i * 5 % 17);
    digits_plain(image, probability);
    for (int i = 0; i < 10; i++) printf(" %.5f", (double)probability[i]);
    printf("\n");
    return 0;
}
"""


def must(what, command, folder):
    r = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    if r.returncode: sys.exit(f"{what}: status {r.returncode}\n{r.stdout}{r.stderr}")
    return r.stdout


def is_behind(path, folder):
    """The weights' section holds bytes, and no writable segment has it."""
    section = [line for line in must("readelf", ["readelf", "-SW", path], folder).splitlines() if " tenon_weights " in line]
    if len(section) != 1 or " PROGBITS " not in section[0]: return False
    segments = [line.split() for line in must("readelf", ["readelf", "-lW", path], folder).splitlines()]
    loads = [line for line in segments if line and line[0] == "LOAD"]
    return path.endswith((".o", ".a")) or (loads[-1][4] == loads[-1][5] and loads[-1][6] == "R")


def main():
    linkers = sys.argv[1:] or [name for name in ("bfd", "gold", "lld") if shutil.which(f"ld.{name}")]
    folder = tempfile.mkdtemp(prefix="link-")
    with open(os.path.join(folder, "host.c"), "w") as f: f.write(HOST)
    must("compile C", [TENON, "compile", MODEL, "-o", "m.c", "--dim", "N=1"], folder)
    must("link C", [CC, "-w", "host.c", "m.c", "m_weights.S", "-Wa,-I.", "-o", "host", "-lm"], folder)
    expected = must("run C", ["./host"], folder)
    for linker in linkers:
        compiler = os.path.join(folder, "cc-" + linker)
        with open(compiler, "w") as f: f.write(f'#!/bin/sh\nexec {CC} -fuse-ld={linker} "$@"\n')
        os.chmod(compiler, 0o755)
        for out in ("k.o", "k.a", "k.so"):
            must(out, [TENON, "compile", MODEL, "-o", out, "--dim", "N=1", f"--cc={compiler}"], folder)
            if linker == "bfd" and not out.endswith(".a") and not is_behind(out, folder): sys.exit(f"{out}: the weights are not behind the code")
            if out.endswith(".so"): must("strip", ["strip", out], folder)
            must(f"link {out}", [CC, "-w", "host.c", out, "-Wl,-rpath,.", "-o", "host", "-lm"], folder)
            if must(f"run {out}", ["./host"], folder) != expected: sys.exit(f"{linker} {out}: other answers")
        must("program", [TENON, "compile", MODEL, "-o", "k", "--dim", "N=1", f"--cc={compiler}"], folder)
        if linker == "bfd" and not is_behind("k", folder): sys.exit("the executable's weights are not behind the code")
        before = must("run the program", ["./k", "--random", "1"], folder)
        must("strip", ["strip", "k"], folder)
        if must("run the stripped program", ["./k", "--random", "1"], folder) != before: sys.exit(f"{linker}: other answers after strip")
        print(f"pass {linker}")
    shutil.rmtree(folder)
    if not linkers: sys.exit("no linker that could be tried")


main()
