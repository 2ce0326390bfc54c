"""A small writer of flatbuffers and of TensorFlow Lite models that lets every field be wrong: no schema, no checks.

A table is a dict from field number to value: Byte(v), Int(v), Long(v), Float(v), a table, a string, bytes (a list of bytes),
or List(format, values) of numbers or of tables. What a table points to is written behind it, in the order of fields; the
buffers of a model come last, so that a file cut anywhere lacks something. Read next: tflite.py.
"""
import struct


class Number:
    def __init__(self, format, value):
        self.bytes = struct.pack("<" + format, value)


def Byte(v): return Number("b", v)
def Int(v): return Number("i", v)
def Long(v): return Number("q", v)
def Float(v): return Number("f", v)


class List:
    def __init__(self, format, values):
        self.format, self.values = format, values


class Raw:
    """An offset that is written as it stands, wherever it leads."""
    def __init__(self, offset):
        self.bytes = struct.pack("<I", offset & 0xffffffff)


def align(out, n, behind=0):
    while (len(out) + behind) % n:
        out.append(0)


def put_table(out, fields):
    """Writes the table and what hangs on it; its position."""
    inline, at = [], 4
    for field, value in sorted(fields.items()):
        size = len(value.bytes) if isinstance(value, (Number, Raw)) else 4
        at += -at % size
        inline.append((field, at, size, value))
        at += size
    at += -at % 4
    n = 1 + max(fields, default=-1)
    align(out, 8, 4 + 2 * n)
    vtable = len(out)
    entries = dict((field, offset) for field, offset, _, _ in inline)
    out += struct.pack(f"<{2 + n}H", 4 + 2 * n, at, *(entries.get(i, 0) for i in range(n)))
    start = len(out)
    out += bytes(at)
    struct.pack_into("<i", out, start, start - vtable)
    for _, offset, size, value in inline:
        if isinstance(value, (Number, Raw)):
            out[start + offset:start + offset + size] = value.bytes
    for _, offset, _, value in inline:
        if not isinstance(value, (Number, Raw)):
            point(out, start + offset, value)
    return start


def point(out, at, value):
    """Writes value behind, and at `at` the way to it."""
    struct.pack_into("<I", out, at, put(out, value, at) - at)


def put(out, value, _):
    if isinstance(value, dict):
        return put_table(out, value)
    if isinstance(value, str):
        value = value.encode() + b"\0"
        align(out, 4)
        start = len(out)
        out += struct.pack("<I", len(value) - 1) + value
        return start
    if isinstance(value, bytes):
        align(out, 16, 4)
        start = len(out)
        out += struct.pack("<I", len(value)) + value
        return start
    size = 4 if value.format == "table" else struct.calcsize(value.format)
    align(out, max(size, 4), 4)
    start = len(out)
    out += struct.pack("<I", len(value.values))
    if value.format != "table":
        out += struct.pack(f"<{len(value.values)}{value.format}", *value.values)
        return start
    first = len(out)
    out += bytes(4 * len(value.values))
    for i, element in enumerate(value.values):
        if isinstance(element, Raw):
            out[first + 4 * i:first + 4 * i + 4] = element.bytes
        else:
            point(out, first + 4 * i, element)
    return start


def file(root, identifier=b"TFL3"):
    out = bytearray(b"\0\0\0\0" + identifier)
    struct.pack_into("<I", out, 0, put_table(out, root))
    return bytes(out)
