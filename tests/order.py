#!/usr/bin/env python3
"""Nodes of a graph are made in the order in which the source says so, whatever compiler built tenon.

    tests/order.py [FILE...]      default: all of frontend, passes and ir; lists calls, exit status 1 where there are any

C leaves open in which order a call's arguments are computed, and gcc and clang differ: where two of them make nodes, these are
numbered differently, and texts differ. Such a call wants its arguments made in statements before it. (A list in braces goes
from left to right with both.) What makes nodes is whatever calls graph_node or one of its kin, directly or not; static
functions count in their own file.
"""
import glob, os, re, sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MAKERS = {"graph_node", "graph_const", "graph_data", "graph_input"} # in ir/graph.c, all others end in these
FUNCTION = re.compile(r"^(static )?[\w *]*?\b(\w+)\(([^;{}]*?)\)\n\{\n(.*?)^\}", re.M | re.S)
KEYWORDS = {"if", "for", "while", "switch", "return", "sizeof"}
CALL = re.compile(r"\b([a-z_]\w*)\(")


def bare(text):
    """The source without comments and what is quoted; lines and columns stay."""
    blank = lambda m: re.sub(r"[^\n]", " ", m[0])
    return re.sub(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|^#(?:\\\n|[^\n])*", blank, text, flags=re.S | re.M)


def functions(text):
    """(name, static, place of the body, body)."""
    return [(m[2], bool(m[1]), m.start(4), m[4]) for m in FUNCTION.finditer(text)]


def makers_of(sources):
    """By file, the functions that make nodes and may be called there."""
    calls, public = {}, set(MAKERS)
    for path, text in sources.items():
        for name, static, _, body in functions(text):
            calls[path if static and path.endswith(".c") else None, name] = (path, set(CALL.findall(body)))
    local = {path: set() for path in sources}
    changed = True
    while changed:
        changed = False
        for (scope, name), (path, called) in calls.items():
            known = public if scope is None else local[scope]
            if name in known or not called & (public | local[path]): continue
            known.add(name)
            changed = True
    statics = {path: {name for scope, name in calls if scope == path} for path in sources}
    return {path: local[path] | (public - statics[path]) for path in sources}


def parts(text, at):
    """The parts between commas of the list that opens at text[at], as (start, end)."""
    depth, start, found = 0, at + 1, []
    for i in range(at, len(text)):
        if text[i] in "([{": depth += 1
        elif text[i] in ")]}":
            depth -= 1
            if depth == 0: return found + [(start, i)]
        elif text[i] == "," and depth == 1:
            found.append((start, i))
            start = i + 1
    return []


def makes(text, makers):
    """Whether text calls what makes nodes."""
    return any(name in makers for name in CALL.findall(text))


def nested(body, makers):
    """Places of calls with two arguments that make nodes."""
    for m in CALL.finditer(body):
        if m[1] in KEYWORDS: continue
        if sum(makes(body[a:b], makers) for a, b in parts(body, m.end() - 1)) >= 2: yield m.start()


def main():
    paths = sorted(p for folder in ("frontend", "passes", "ir") for p in glob.glob(os.path.join(ROOT, folder, "*.[ch]")))
    sources = {path: bare(open(path).read()) for path in paths}
    makers = makers_of(sources)
    failed = 0
    for path in [os.path.abspath(p) for p in sys.argv[1:]] or paths:
        lines = open(path).read().split("\n")
        text = sources[path]
        for _, _, at, body in functions(text):
            for line in sorted({text.count("\n", 0, at + k) for k in nested(body, makers[path])}):
                failed += 1
                print(f"{os.path.relpath(path, ROOT)}:{line + 1}: several arguments of one call make nodes: {lines[line].strip()}")
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
