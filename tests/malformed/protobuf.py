"""A small writer of ONNX files that lets every field be wrong: no schema, no checks, no packages needed.

A message is bytes; messages are put together with `+`. Field numbers are those of onnx.proto. Read next: make.py.
"""
import struct

FLOAT, UINT8, INT8, INT32, INT64, STRING, BOOL = 1, 2, 3, 6, 7, 8, 9


def varint(v):
    v &= (1 << 64) - 1
    out = bytearray()
    while v > 127:
        out.append(v & 127 | 128)
        v >>= 7
    out.append(v)
    return bytes(out)


def number(field, v):
    return varint(field << 3) + varint(v)


def single(field, v):
    return varint(field << 3 | 5) + struct.pack("<f", v)


def block(field, v):
    """A length-delimited field: a string, bytes or a message."""
    v = v.encode() if isinstance(v, str) else v
    return varint(field << 3 | 2) + varint(len(v)) + v


def each(field, values):
    return b"".join(block(field, v) for v in values)


def tensor(name="", dims=(), dt=FLOAT, raw=None, more=b""):
    return b"".join(number(1, d) for d in dims) + number(2, dt) + block(8, name) + \
        (b"" if raw is None else block(9, raw)) + more


def external(name, dims, **entries):
    """A tensor whose data lie in another file: keys and values as given."""
    more = b"".join(block(13, block(1, k) + block(2, str(v))) for k, v in entries.items())
    return tensor(name, dims, more=more + number(14, 1))


def value(name, dims=None, dt=FLOAT):
    """An input or output; a dim may be a number, a name, or bytes taken as they are. dims None: rank unknown."""
    def dim(d):
        return block(1, d if isinstance(d, bytes) else block(2, d) if isinstance(d, str) else number(1, d))
    shape = b"" if dims is None else block(2, b"".join(dim(d) for d in dims))
    return block(1, name) + block(2, block(1, number(1, dt) + shape))


def attribute(name, v):
    """An attribute of the type that v has; bytes stand for a graph, a pair for a raw (type, fields)."""
    if isinstance(v, tuple):
        return block(1, name) + v[1] + number(20, v[0])
    if isinstance(v, float):
        return block(1, name) + single(2, v) + number(20, 1)
    if isinstance(v, int):
        return block(1, name) + number(3, v) + number(20, 2)
    if isinstance(v, str):
        return block(1, name) + block(4, v) + number(20, 3)
    if isinstance(v, bytes):
        return block(1, name) + block(6, v) + number(20, 5)
    if any(isinstance(i, float) for i in v):
        return block(1, name) + b"".join(single(7, i) for i in v) + number(20, 6)
    return block(1, name) + b"".join(number(8, i) for i in v) + number(20, 7)


def tensor_attribute(name, t):
    return block(1, name) + block(5, t) + number(20, 4)


def node(op, inputs, outputs, name="", domain="", raw=b"", **attributes):
    return each(1, inputs) + each(2, outputs) + (block(3, name) if name else b"") + block(4, op) + \
        (block(7, domain) if domain else b"") + each(5, [attribute(k, v) for k, v in attributes.items()]) + raw


def graph(nodes, inputs=(), outputs=(), initializers=(), name="g"):
    return each(1, nodes) + block(2, name) + each(5, initializers) + each(11, inputs) + each(12, outputs)


def opset(version, domain=""):
    return block(1, domain) + number(2, version)


def model(g, opsets=None, functions=()):
    return number(1, 8) + each(8, [opset(17)] if opsets is None else opsets) + block(7, g) + each(25, functions)


def one(op, shapes, out=(1,), initializers=(), name="", raw=b"", opsets=None, dt=FLOAT, **attributes):
    """A model of one operator: inputs x0, x1 .. of the shapes, then the initializers (name, tensor), result y."""
    inputs = [value(f"x{i}", s, dt) for i, s in enumerate(shapes)]
    names = [f"x{i}" for i in range(len(shapes))] + [n for n, _ in initializers]
    return model(graph([node(op, names, ["y"], name, raw=raw, **attributes)], inputs, [value("y", out)],
                       [t for _, t in initializers]), opsets)
