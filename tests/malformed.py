#!/usr/bin/env python3
"""Malformed files: each must end in a located message and exit status 1 within a second, whatever it holds.

    tests/malformed.py [--keep DIR] [NAME...]      TENON=path/of/tenon

The files are made here, byte by byte: ONNX protobuf with truncations, huge and negative dimensions, offsets that wrap
or escape, cycles, deep nesting, hostile names; model texts; safetensors, npz and npy files of weights. Nothing but the
standard library is used. Run it with the `dev` build to have the sanitizers' word as well.
"""
import io, json, os, shutil, struct, subprocess, sys, tempfile, time, zipfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TENON = os.environ.get("TENON", os.path.join(ROOT, "build/release/tenon"))




# ---- protobuf, by hand
def varint(v):
    v &= (1 << 64) - 1
    out = b""
    while v > 127:
        out, v = out + bytes([v & 127 | 128]), v >> 7
    return out + bytes([v])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def message(*fields):
    return b"".join(field(n, v) for n, v in fields)


def dim(v):
    return message((2, v)) if isinstance(v, str) else message((1, v))


def value(name, shape, dtype=1):
    kind = message((1, dtype), (2, b"".join(field(1, dim(d)) for d in shape)))
    return message((1, name), (2, message((1, kind))))


def attribute(name, kind, *fields):
    return message((1, name), (20, kind), *fields)


def node(op, inputs, outputs, *attributes, name="n", domain=""):
    return message(*[(1, i) for i in inputs], *[(2, o) for o in outputs], (3, name), (4, op), *[(5, a) for a in attributes],
                   *([(7, domain)] if domain else []))


def tensor(name, shape, dtype=1, raw=None, *more):
    return message(*[(1, d) for d in shape], (2, dtype), (8, name), *([(9, raw)] if raw is not None else []), *more)


def external(name, shape, location, offset=None, length=None):
    pairs = [("location", location)] + [(k, v) for k, v in (("offset", offset), ("length", length)) if v is not None]
    return tensor(name, shape, 1, None, *[(13, message((1, k), (2, str(v)))) for k, v in pairs], (14, 1))


def graph(nodes, inputs=(), outputs=(), weights=(), name="g"):
    return message(*[(1, n) for n in nodes], (2, name), *[(5, w) for w in weights], *[(11, i) for i in inputs], *[(12, o) for o in outputs])


def model(g, opset=17, *more):
    return message((1, 8), (7, g), (8, message((2, opset))), *more)


def simple(nodes=None, shape=(2, 3), weights=(), outputs=("y",)):
    nodes = nodes or [node("Relu", ["x"], ["y"])]
    return model(graph(nodes, [value("x", shape)], [value(o, shape) for o in outputs], weights))


def with_weight(w, shape=(2, 3)):
    return simple([node("Add", ["x", "w"], ["y"])], shape, [w])


# ---- ONNX files
onnx = {
    "empty": lambda: b"",
    "garbage": lambda: bytes(range(256)) * 8,
    "truncated_half": lambda: simple()[:len(simple()) // 2],
    "truncated_last": lambda: simple()[:-1],
    "truncated_varint": lambda: b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    "length_past_end": lambda: b"\x3a\xff\xff\xff\xff\x0f" + simple(),
    "length_wraps": lambda: b"\x3a" + varint((1 << 64) - 1) + simple(),
    "no_graph": lambda: message((1, 8), (8, message((2, 17)))),
    "no_opset": lambda: message((1, 8), (7, graph([node("Relu", ["x"], ["y"])], [value("x", [2])], [value("y", [2])]))),
    "opset_zero": lambda: model(graph([node("Relu", ["x"], ["y"])], [value("x", [2])], [value("y", [2])]), 0),
    "opset_future": lambda: model(graph([node("Relu", ["x"], ["y"])], [value("x", [2])], [value("y", [2])]), 9999),
    "opset_negative": lambda: model(graph([node("Relu", ["x"], ["y"])], [value("x", [2])], [value("y", [2])]), -1),
    "unknown_op": lambda: simple([node("Frobnicate", ["x"], ["y"])]),
    "unknown_domain": lambda: simple([node("Relu", ["x"], ["y"], domain="com.example.nothing")]),
    "missing_input": lambda: simple([node("Add", ["x", "nowhere"], ["y"])]),
    "no_input": lambda: simple([node("Relu", [], ["y"])]),
    "too_many_inputs": lambda: simple([node("Relu", ["x"] * 200, ["y"])]),
    "output_missing": lambda: simple([node("Relu", ["x"], ["z"])]),
    "output_twice": lambda: simple([node("Relu", ["x"], ["y"]), node("Abs", ["x"], ["y"])]),
    "cycle": lambda: simple([node("Add", ["x", "b"], ["a"]), node("Relu", ["a"], ["b"]), node("Relu", ["b"], ["y"])]),
    "self_cycle": lambda: simple([node("Relu", ["y"], ["y"])]),
    "dim_huge": lambda: simple(shape=(1 << 62, 1 << 62)),
    "dim_negative": lambda: simple(shape=(-7, 3)),
    "dim_product_wraps": lambda: simple(shape=(1 << 32, 1 << 32)),
    "rank_huge": lambda: simple(shape=(1,) * 5000),
    "dtype_unknown": lambda: model(graph([node("Relu", ["x"], ["y"])], [value("x", [2], 99)], [value("y", [2], 99)])),
    "dtype_string": lambda: model(graph([node("Relu", ["x"], ["y"])], [value("x", [2], 8)], [value("y", [2], 8)])),
    "weight_short": lambda: with_weight(tensor("w", [2, 3], 1, b"\0" * 20)),
    "weight_long": lambda: with_weight(tensor("w", [2, 3], 1, b"\0" * 28)),
    "weight_dim_huge": lambda: with_weight(tensor("w", [1 << 40, 1 << 40], 1, b"\0" * 24)),
    "weight_dim_negative": lambda: with_weight(tensor("w", [-2, -3], 1, b"\0" * 24)),
    "weight_dtype": lambda: with_weight(tensor("w", [2, 3], 77, b"\0" * 24)),
    "weight_shape": lambda: with_weight(tensor("w", [7, 5], 1, b"\0" * 140)),
    "external_escape": lambda: with_weight(external("w", [2, 3], "../../../../etc/passwd")),
    "external_absolute": lambda: with_weight(external("w", [2, 3], "/etc/passwd")),
    "external_missing": lambda: with_weight(external("w", [2, 3], "nothing.bin")),
    "external_offset_wraps": lambda: with_weight(external("w", [2, 3], "data.bin", (1 << 63) - 8, 24)),
    "external_offset_negative": lambda: with_weight(external("w", [2, 3], "data.bin", -8, 24)),
    "external_length_wraps": lambda: with_weight(external("w", [2, 3], "data.bin", 8, (1 << 64) - 1)),
    "external_past_end": lambda: with_weight(external("w", [2, 3], "data.bin", 90, 24)),
    "external_link": lambda: with_weight(external("w", [2, 3], "link.bin")),
    "external_folder": lambda: with_weight(external("w", [2, 3], ".")),
    "conv_stride_zero": lambda: simple([node("Conv", ["x", "w"], ["y"], attribute("strides", 7, (8, 0), (8, 0)))], (1, 1, 4, 4),
                                       [tensor("w", [1, 1, 3, 3], 1, b"\0" * 36)]),
    "conv_dilation_huge": lambda: simple([node("Conv", ["x", "w"], ["y"], attribute("dilations", 7, (8, 1 << 62), (8, 1 << 62)))], (1, 1, 4, 4),
                                         [tensor("w", [1, 1, 3, 3], 1, b"\0" * 36)]),
    "conv_group_zero": lambda: simple([node("Conv", ["x", "w"], ["y"], attribute("group", 2, (3, 0)))], (1, 1, 4, 4),
                                      [tensor("w", [1, 1, 3, 3], 1, b"\0" * 36)]),
    "conv_channels": lambda: simple([node("Conv", ["x", "w"], ["y"])], (1, 3, 4, 4), [tensor("w", [1, 4, 1, 1], 1, b"\0" * 16)]),
    "pool_kernel_zero": lambda: simple([node("MaxPool", ["x"], ["y"], attribute("kernel_shape", 7, (8, 0), (8, 0)))], (1, 1, 4, 4)),
    "pool_pad_huge": lambda: simple([node("MaxPool", ["x"], ["y"], attribute("kernel_shape", 7, (8, 2), (8, 2)),
                                         attribute("pads", 7, *[(8, 1 << 60)] * 4))], (1, 1, 4, 4)),
    "transpose_perm": lambda: simple([node("Transpose", ["x"], ["y"], attribute("perm", 7, (8, 5), (8, -9)))]),
    "concat_axis": lambda: simple([node("Concat", ["x", "x"], ["y"], attribute("axis", 2, (3, 1 << 40)))]),
    "reshape_huge": lambda: simple([node("Reshape", ["x", "s"], ["y"])], weights=[tensor("s", [2], 7, struct.pack("<2q", 1 << 40, 1 << 40))]),
    "reshape_two_unknown": lambda: simple([node("Reshape", ["x", "s"], ["y"])], weights=[tensor("s", [2], 7, struct.pack("<2q", -1, -1))]),
    "expand_huge": lambda: simple([node("Expand", ["x", "s"], ["y"])], weights=[tensor("s", [3], 7, struct.pack("<3q", 1 << 30, 1 << 30, 3))]),
    "tile_wraps": lambda: simple([node("Tile", ["x", "s"], ["y"])], weights=[tensor("s", [2], 7, struct.pack("<2q", 1 << 62, 1 << 62))]),
    "pad_wraps": lambda: simple([node("Pad", ["x", "s"], ["y"])], weights=[tensor("s", [4], 7, struct.pack("<4q", *[(1 << 63) - 1] * 4))]),
    "range_endless": lambda: simple([node("Range", ["a", "b", "c"], ["y"])], weights=[
        tensor(n, [], 7, struct.pack("<q", v)) for n, v in (("a", 0), ("b", (1 << 62)), ("c", 1))]),
    "attribute_kind": lambda: simple([node("Concat", ["x", "x"], ["y"], attribute("axis", 3, (4, "zero")))]),
    "name_control": lambda: simple([node("Frob\x1b[2J\n\x07", ["x"], ["y"], name="\x1b]0;title\x07")]),
    "name_long": lambda: simple([node("Relu", ["x"], ["y" * 200000])]),
    "name_format": lambda: simple([node("%s%n%s%n", ["%n"], ["y"], name="%s%s%n")]),
    "name_quote": lambda: simple([node('"); system("x', ["x"], ["y"])]),
}


def nested(depth):
    g = graph([node("Identity", ["x"], ["y"])], outputs=[value("y", [2, 3])])
    for _ in range(depth):
        g = graph([node("If", ["c"], ["y"], attribute("then_branch", 5, (6, g)), attribute("else_branch", 5, (6, g if depth < 12 else graph([])))) ],
                  outputs=[value("y", [2, 3])])
    return model(graph([node("If", ["c"], ["y"], attribute("then_branch", 5, (6, g)), attribute("else_branch", 5, (6, graph([]))))],
                       [value("x", [2, 3]), value("c", [], 9)], [value("y", [2, 3])]))


def function_loop():
    f = message((1, "f"), (4, "x"), (5, "y"), (7, node("f", ["x"], ["y"], domain="d")), (9, message((1, "d"), (2, 1))), (10, "d"))
    return model(graph([node("f", ["x"], ["y"], domain="d")], [value("x", [2])], [value("y", [2])]), 17, (8, message((1, "d"), (2, 1))), (25, f))


onnx["nested_deep"] = lambda: nested(300)
onnx["function_calls_itself"] = function_loop
onnx["nested_bytes"] = lambda: b"".join(b"\x3a" + varint(3000 - i) for i in range(1000))

# ---- texts
text = {
    "tn_empty": "",
    "tn_binary": "\0\1\2\xff" * 100,
    "tn_brackets": "model m(x: f32[2]) -> (y: f32[2]) { y = " + "(" * 100000 + "x" + ")" * 100000 + " }",
    "tn_blocks": "model m(x: f32[2]) -> (y: f32[2]) { " + "if true { " * 20000 + "}" * 20000 + " }",
    "tn_recursion": "def f(x) { return f(x) }\nmodel m(x: f32[2]) -> (y: f32[2]) { y = f(x) }",
    "tn_endless_for": "model m(x: f32[2]) -> (y: f32[2]) { y = x\n for i in 0..1000000000000 { y = y + x } }",
    "tn_dim_huge": "model m(x: f32[99999999999, 99999999999]) -> (y: f32[1]) { y = sum(x) }",
    "tn_dim_wraps": "model m(x: f32[9223372036854775807 * 4]) -> (y: f32[1]) { y = x }",
    "tn_number_long": "model m(x: f32[2]) -> (y: f32[2]) { y = x * 1" + "0" * 100000 + " }",
    "tn_string_open": "import \"abc\nmodel m(x: f32[2]) -> (y: f32[2]) { y = x }",
    "tn_import_self": "import \"tn_import_self.tn\"\nmodel m(x: f32[2]) -> (y: f32[2]) { y = x }",
    "tn_import_escape": "import \"../../../../../../etc/passwd\"\nmodel m(x: f32[2]) -> (y: f32[2]) { y = x }",
    "tn_weights_missing": "model m(x: f32[2]) -> (y: f32[2]) { weights \"nothing.npz\"\n param w: f32[2]\n y = x + w }",
    "tn_slice_zero": "model m(x: f32[4]) -> (y: f32[4]) { y = x[0:4:0] }",
    "tn_name_control": "model m(x: f32[2]) -> (y: f32[2]) { y = \x1b[2Jx }",
    "tn_unary_chain": "model m(x: f32[2]) -> (y: f32[2]) { y = " + "-" * 200000 + "x }",
}
READS_W = 'model m(x: f32[2]) -> (y: f32[2]) {{ weights "{}"\n param w: f32[2]\n y = x + w }}'


# ---- files of weights, read by a small model
def safetensors(header, data=b"\0" * 8, size=None):
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(head) if size is None else size) + head + data


def npy(header, data=b"\0" * 8):
    head = header.encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head + data


def npz(name, data, **change):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr(name, data)
    raw = bytearray(out.getvalue())
    for at, v in change.get("patch", []):
        raw[at] = v
    return bytes(raw)


W = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
weights = {
    "st_empty": ("safetensors", b""),
    "st_header_past_end": ("safetensors", safetensors({"w": W}, size=1 << 20)),
    "st_header_wraps": ("safetensors", safetensors({"w": W}, size=(1 << 64) - 1)),
    "st_not_json": ("safetensors", safetensors(b"{\"w\": ")),
    "st_offsets_past_end": ("safetensors", safetensors({"w": dict(W, data_offsets=[0, 1 << 40])})),
    "st_offsets_reversed": ("safetensors", safetensors({"w": dict(W, data_offsets=[8, 0])})),
    "st_offsets_wrap": ("safetensors", safetensors({"w": dict(W, data_offsets=[(1 << 64) - 8, (1 << 64)])})),
    "st_shape_huge": ("safetensors", safetensors({"w": dict(W, shape=[1 << 40, 1 << 40])})),
    "st_shape_negative": ("safetensors", safetensors({"w": dict(W, shape=[-2])})),
    "st_dtype": ("safetensors", safetensors({"w": dict(W, dtype="F33")})),
    "st_deep": ("safetensors", safetensors(b"[" * 100000)),
    "npy_truncated": ("npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }")[:40]),
    "npy_shape": ("npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999, 99999999999999), }")),
    "npy_object": ("npy", npy("{'descr': '|O', 'fortran_order': False, 'shape': (2,), }")),
    "npz_truncated": ("npz", npz("w.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }"))[:-30]),
    "npz_not_zip": ("npz", b"PK\3\4" + b"\xff" * 400),
    "npz_bomb": ("npz", npz("w.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999, 2500), }") + b"\0" * 5000000)),
}


def make(folder):
    """Every file as (name, path to give to tenon)."""
    cases = []
    with open(f"{folder}/data.bin", "wb") as f:
        f.write(bytes(100))
    os.symlink("/etc/passwd", f"{folder}/link.bin")
    for name, build in onnx.items():
        with open(f"{folder}/{name}.onnx", "wb") as f:
            f.write(build())
        cases.append((name, f"{name}.onnx"))
    for name, words in text.items():
        with open(f"{folder}/{name}.tn", "wb") as f:
            f.write(words.encode("latin-1"))
        cases.append((name, f"{name}.tn"))
    for name, (kind, raw) in weights.items():
        with open(f"{folder}/{name}.{kind}", "wb") as f:
            f.write(raw)
        with open(f"{folder}/{name}.tn", "w") as f:
            f.write(READS_W.format(f"{name}.{kind}"))
        cases.append((name, f"{name}.tn"))
    return cases


def check(folder, path):
    """None, or what is wrong with how it ended."""
    start = time.time()
    try:
        r = subprocess.run([TENON, "check", path], cwd=folder, capture_output=True, timeout=60)
    except subprocess.TimeoutExpired:
        return "took more than a minute"
    spent, err = time.time() - start, r.stderr.decode("utf-8", "replace")
    if r.returncode != 1:
        return f"exit status {r.returncode}: {err[-300:]}"
    first = err.splitlines()[0] if err else ""
    if "error: " not in err or not first.startswith(path.split(".")[0]):
        return f"no located message: {first[:200]}"
    if any(ord(c) < 32 and c != "\n" for c in err):
        return "control characters reach the terminal"
    return f"took {spent:.1f} s" if spent > float(os.environ.get("TENON_SECONDS", "1")) else None


def main():
    names = sys.argv[1:]
    folder = tempfile.mkdtemp()
    if names[:1] == ["--keep"]:
        folder, names = names[1], names[2:]
        os.makedirs(folder)
    passed = failed = 0
    for name, path in make(folder):
        if names and name not in names:
            continue
        wrong = check(folder, path)
        print(f"fail {name}: {wrong}" if wrong else f"pass {name}")
        passed, failed = passed + (not wrong), failed + bool(wrong)
    if sys.argv[1:2] != ["--keep"]:
        shutil.rmtree(folder)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or passed + failed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
