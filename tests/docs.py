#!/usr/bin/env python3
"""README.md and HACKING.md keep to what is there: every path of this repository that they name exists, every option
of tenon is one that --help knows, and every command of tenon is a command."""
import os, re, subprocess, sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TENON = os.environ.get("TENON", os.path.join(ROOT, "build/release/tenon"))
COMMANDS = ["compile", "run", "check", "bench", "test", "verify", "tune", "quantize", "devices"]
FOLDERS = r"(?:ir|frontend|passes|codegen|runtime|tests|examples|\.ci)"


def main():
    known = "".join(subprocess.run([TENON, c, "--help"], capture_output=True, text=True).stdout for c in COMMANDS)
    bad = checked = 0
    for name in ("README.md", "HACKING.md"):
        words = open(os.path.join(ROOT, name)).read()
        for path in sorted(set(re.findall(rf"{FOLDERS}/[\w.\-/]*\w(?![\w*])", words))):
            checked += 1
            if not os.path.exists(os.path.join(ROOT, path)):
                print(f"{name}: {path} does not exist")
                bad += 1
        for line in re.findall(r"^ +(?:\./|build/release/)?tenon (.*)$|`tenon ([^`]*)`", words, re.M):
            line = line[0] or line[1]
            command = line.split()[0] if line.split() else ""
            checked += 1
            if command not in COMMANDS and not re.fullmatch(r"--[\w-]+|COMMAND|", command):
                print(f"{name}: tenon {line}: no such command")
                bad += 1
            for option in re.findall(r"(?<!\S)(--[a-z-]+|-o|-O)", line):
                if option not in known:
                    print(f"{name}: tenon {line}: no option {option}")
                    bad += 1
    print(f"{checked} paths and commands, {bad} wrong")
    return 1 if bad or not checked else 0


if __name__ == "__main__":
    sys.exit(main())
