#!/usr/bin/env python3
"""Malformed models: every file made here must be refused with a message, quickly and in bounded memory.

    make.py DIR        writes the files into DIR and prints their names

A function per class; each yields (file name, bytes). ONNX files are put together field by field (protobuf.py), those of
TensorFlow Lite by tflite.py, files of weights byte by byte, each behind a model that asks for it. Deterministic. Read
next: ../test_malformed.py.
"""
import io, json, os, struct, sys, zipfile, zlib

import tflite
from protobuf import *


def floats(*values):
    return struct.pack(f"<{len(values)}f", *values)


def longs(*values):
    return struct.pack(f"<{len(values)}q", *values)


def shape_of(name, *values):
    return (name, tensor(name, (len(values),), INT64, longs(*values)))


CONV = one("Conv", [(1, 3, 8, 8), (4, 3, 3, 3)], (1, 4, 6, 6), kernel_shape=[3, 3])


def truncated():
    whole = CONV + block(14, block(1, "key") + block(2, "value"))
    for n in (1, 3, 7, 20, 60, len(CONV) // 2, len(CONV) - 1, len(whole) - 3):
        yield f"truncated_{n}.onnx", whole[:n]
    yield "empty.onnx", b""
    yield "endless_varint.onnx", number(1, 8) + b"\x08" + b"\xff" * 30
    yield "length_wraps.onnx", number(1, 8) + b"\x3a" + b"\xff" * 9 + b"\x01" + CONV
    yield "text.onnx", b"this is not a model\n" * 20
    yield "zeros.onnx", bytes(4096)


def wire_types():
    yield "wire_group.onnx", number(1, 8) + varint(7 << 3 | 3) + CONV
    yield "wire_seven.onnx", number(1, 8) + varint(7 << 3 | 7) + CONV
    yield "wire_graph_number.onnx", number(1, 8) + block(8, opset(17)) + number(7, 1)
    yield "wire_dims_fixed.onnx", model(graph([], [], [value("y", (1,))], [varint(1 << 3 | 5) + b"abcd" + tensor("y")]))
    yield "wire_two_graphs.onnx", CONV + CONV
    yield "field_zero.onnx", b"\x00\x00" + CONV
    yield "nested_types.onnx", nested_types(400)


def nested_types(depth):
    """sequence(sequence(...)) as the type of an input."""
    t = block(1, number(1, FLOAT))
    for _ in range(depth):
        t = block(4, block(1, t))
    return model(graph([node("Identity", ["x"], ["y"])], [block(1, "x") + block(2, t)], [value("y", (1,))]))


def constant(t):
    return model(graph([node("Relu", ["w"], ["y"])], [], [value("y", None)], [t]))


def tensors():
    yield "huge_dims_no_data.onnx", constant(tensor("w", (1 << 30, 1 << 20)))
    yield "huge_dim_no_data.onnx", constant(tensor("w", (1 << 40,)))
    yield "count_overflows.onnx", constant(tensor("w", (1 << 32, 1 << 32), raw=b""))
    yield "count_overflows_to_four.onnx", constant(tensor("w", ((1 << 62) + 1, 4), raw=floats(1, 2, 3, 4)))
    yield "bytes_overflow.onnx", constant(tensor("w", (1 << 61, 2), raw=b""))
    yield "negative_dim.onnx", constant(tensor("w", (-1, 4), raw=floats(1, 2, 3, 4)))
    yield "raw_short.onnx", constant(tensor("w", (2, 3), raw=floats(1, 2, 3)))
    yield "raw_long.onnx", constant(tensor("w", (2,), raw=floats(1, 2, 3)))
    yield "raw_odd.onnx", constant(tensor("w", (2,), raw=b"\0" * 7))
    yield "floats_missing.onnx", constant(tensor("w", (5,), more=block(4, floats(1, 2))))
    yield "raw_and_floats.onnx", constant(tensor("w", (2,), raw=b"", more=block(4, floats(1))))
    yield "unknown_dtype.onnx", constant(tensor("w", (2,), 77, b"\0" * 8))
    yield "string_tensor.onnx", constant(tensor("w", (1,), STRING, more=block(6, "a")))
    yield "rank_2000.onnx", constant(tensor("w", (1,) * 2000, raw=floats(1)))
    yield "int8_over_range.onnx", constant(tensor("w", (9,), INT8, more=block(5, varint(300))))
    yield "huge_input.onnx", one("Relu", [(1 << 40, 1 << 40)], None)
    yield "huge_result.onnx", one("MatMul", [(1 << 33, 1), (1, 1 << 33)], None)
    yield "negative_input.onnx", one("Relu", [(-3, 4)], None)
    yield "huge_constant_of_shape.onnx", one("ConstantOfShape", [], None, [shape_of("s", 1 << 31, 1 << 33)])
    yield "huge_and_empty.onnx", model(graph([node("ConstantOfShape", ["s"], ["e"]), node("Add", ["e", "nowhere"], ["y"])], [], [value("y", None)], [shape_of("s", 1 << 36, 1 << 20, 0)[1]]))
    yield "huge_expand.onnx", one("Expand", [(1,)], None, [shape_of("s", 1 << 40, 1 << 40)])
    yield "huge_tile.onnx", one("Tile", [(4, 4)], None, [shape_of("s", 1 << 40, 1 << 40)])
    yield "huge_pad.onnx", one("Pad", [(4,)], None, [shape_of("p", 1 << 62, 1 << 62)])
    yield "huge_range.onnx", one("Range", [], None, [(n, tensor(n, (), INT64, longs(v)))
                                                   for n, v in (("a", 0), ("b", 1 << 62), ("c", 1))])
    yield "range_step_zero.onnx", one("Range", [], None, [(n, tensor(n, (), INT64, longs(v)))
                                                        for n, v in (("a", 0), ("b", 9), ("c", 0))])


def quantized():
    """Scales that are no positive numbers, of whatever operator has them."""
    x = (1, 4)
    for name, scale in (("zero", 0.0), ("negative", -0.5), ("nan", float("nan")), ("infinite", float("inf"))):
        given = [("s", tensor("s", (), raw=floats(scale))), ("z", tensor("z", (), UINT8, b"\3"))]
        yield f"quantize_scale_{name}.onnx", one("QuantizeLinear", [x], None, given)
        yield f"dequantize_scale_{name}.onnx", model(graph([node("QuantizeLinear", ["x", "t", "z"], ["q"]), node("DequantizeLinear", ["q", "s", "z"], ["y"])],
                                                           [value("x", x)], [value("y", None)], [t for _, t in given] + [tensor("t", (), raw=floats(1))]))


def external_data():
    """Data outside of the file; make_links() lays traps beside them."""
    cases = {
        "offset_wraps": dict(location="data.bin", offset=(1 << 64) - 8, length=16),
        "offset_plus_length": dict(location="data.bin", offset=1 << 62, length=1 << 62),
        "offset_negative": dict(location="data.bin", offset=-8, length=16),
        "offset_words": dict(location="data.bin", offset="8x", length=16),
        "length_other": dict(location="data.bin", offset=0, length=8),
        "past_end": dict(location="data.bin", offset=60, length=16),
        "parent": dict(location="../secret.bin"),
        "parent_inside": dict(location="folder/../../secret.bin"),
        "absolute": dict(location="/etc/passwd"),
        "symlink": dict(location="link.bin"),
        "symlinked_folder": dict(location="linked/secret.bin"),
        "hard_link": dict(location="hard.bin"),
        "pipe": dict(location="pipe"),
        "device": dict(location="/dev/zero"),
        "folder": dict(location="folder"),
        "self_dot": dict(location="."),
        "missing": dict(location="absent.bin"),
        "no_location": dict(offset=0, length=16),
        "unknown_key": dict(location="data.bin", place="elsewhere"),
        "long_name": dict(location="a" * 3000),
        "location_nul": dict(location="data.bin\0/../x", length=16),
    }
    for name, entries in cases.items():
        yield f"external_{name}.onnx", constant(external("w", (2, 2), **entries))
    yield "external_twice.onnx", constant(external("w", (2, 2), location="data.bin") +
                                          block(13, block(1, "location") + block(2, "other.bin")))


def make_links(folder):
    def path(name):
        return os.path.join(folder, name)
    outside = os.path.join(os.path.dirname(os.path.abspath(folder)), "secret.bin")
    for p in (path("data.bin"), outside):
        with open(p, "wb") as f:
            f.write(bytes(64))
    os.makedirs(path("folder"), exist_ok=True)
    for name, how in (("link.bin", lambda p: os.symlink(outside, p)), ("hard.bin", lambda p: os.link(outside, p)),
                      ("linked", lambda p: os.symlink(os.path.dirname(outside), p)), ("pipe", os.mkfifo)):
        if os.path.lexists(path(name)):
            os.unlink(path(name))
        how(path(name))


def attributes():
    x, w = (1, 4, 8, 8), (4, 4, 3, 3)
    for name, v in dict(strides=[0, 1], dilations=[0, 0], group=0, pads=[-9, 0, 0, 0], kernel_shape=[0, 3]).items():
        yield f"conv_{name}.onnx", one("Conv", [x, w], None, **{name: v})
    yield "conv_strides_negative.onnx", one("Conv", [x, w], None, strides=[-1, 2])
    yield "conv_strides_huge_pads.onnx", one("Conv", [x, w], None, pads=[(1 << 63) - 1] * 4)
    yield "conv_dilations_huge.onnx", one("Conv", [x, w], None, dilations=[1 << 62, 1 << 62])
    yield "conv_group_three.onnx", one("Conv", [x, w], None, group=3)
    yield "conv_group_huge.onnx", one("Conv", [x, w], None, group=(1 << 63) - 1)
    yield "conv_kernel_larger.onnx", one("Conv", [(1, 4, 2, 2), w], None)
    yield "conv_channels.onnx", one("Conv", [(1, 3, 8, 8), w], None)
    yield "conv_rank.onnx", one("Conv", [(4,), w], None)
    yield "conv_no_weight.onnx", one("Conv", [x], None)
    yield "pool_kernel_larger.onnx", one("MaxPool", [x], None, kernel_shape=[9, 9])
    yield "pool_kernel_zero.onnx", one("AveragePool", [x], None, kernel_shape=[0, 0])
    yield "pool_strides_zero.onnx", one("MaxPool", [x], None, kernel_shape=[2, 2], strides=[0, 0])
    yield "pool_no_kernel.onnx", one("MaxPool", [x], None)
    yield "softmax_axis.onnx", one("Softmax", [(2, 3)], None, axis=2)
    yield "softmax_axis_least.onnx", one("Softmax", [(2, 3)], None, axis=-(1 << 63))
    yield "concat_axis.onnx", one("Concat", [(2, 3), (2, 3)], None, axis=-3)
    yield "concat_shapes.onnx", one("Concat", [(2, 3), (4, 5)], None, axis=0)
    yield "gather_axis.onnx", one("Gather", [(2, 3)], None, [shape_of("i", 0)], axis=5)
    yield "reduce_axes.onnx", one("ReduceSum", [(2, 3)], None, [shape_of("a", 9)])
    yield "squeeze_axes.onnx", one("Squeeze", [(2, 3)], None, [shape_of("a", 0)])
    yield "transpose_repeats.onnx", one("Transpose", [(2, 3, 4)], None, perm=[0, 1, 1])
    yield "transpose_short.onnx", one("Transpose", [(2, 3, 4)], None, perm=[1, 0])
    yield "transpose_range.onnx", one("Transpose", [(2, 3, 4)], None, perm=[0, 1, 1 << 40])
    yield "reshape_mismatch.onnx", one("Reshape", [(2, 3)], None, [shape_of("s", 4, 2)])
    yield "reshape_two_unknown.onnx", one("Reshape", [(2, 3)], None, [shape_of("s", -1, -1)])
    yield "reshape_overflow.onnx", one("Reshape", [(2, 3)], None, [shape_of("s", 1 << 62, 1 << 62)])
    yield "slice_step_zero.onnx", one("Slice", [(8,)], None, [shape_of("a", 0), shape_of("b", 4), shape_of("c", 0),
                                                             shape_of("d", 0)])
    yield "split_sizes.onnx", one("Split", [(8,)], None, [shape_of("s", 3, 3)])
    yield "einsum_equation.onnx", one("Einsum", [(2, 3), (3, 4)], None, equation="ij,jk->" + "i" * 500)
    yield "einsum_garbage.onnx", one("Einsum", [(2, 3)], None, equation="->->,,..")
    yield "matmul_sizes.onnx", one("MatMul", [(2, 3), (4, 5)], None)
    yield "broadcast.onnx", one("Add", [(2, 3), (4,)], None)
    yield "dtype_mismatch.onnx", one("Add", [(2,)], None, [("b", tensor("b", (2,), INT64, longs(1, 2)))])
    yield "cast_to_unknown.onnx", one("Cast", [(2,)], None, to=99)
    yield "leaky_nan.onnx", one("Resize", [(1, 1, 4, 4)], None, [("r", tensor("r", (0,), FLOAT, b"")),
                                ("s", tensor("s", (4,), FLOAT, floats(1, 1, float("nan"), float("inf"))))])
    yield "resize_scale_huge.onnx", one("Resize", [(1, 1, 4, 4)], None, [("r", tensor("r", (0,), FLOAT, b"")),
                                        ("s", tensor("s", (4,), FLOAT, floats(1, 1, 3e38, 3e38)))])
    yield "resize_scale_negative.onnx", one("Resize", [(1, 1, 4, 4)], None, [("r", tensor("r", (0,), FLOAT, b"")),
                                            ("s", tensor("s", (4,), FLOAT, floats(1, 1, -1, 0)))])
    yield "attribute_string_for_int.onnx", one("Softmax", [(2, 3)], None, axis="one")
    yield "attribute_float_for_ints.onnx", one("Transpose", [(2, 3)], None, perm=1.5)
    yield "attribute_graph_for_int.onnx", one("Softmax", [(2, 3)], None, axis=graph([]))
    yield "attribute_type_lies.onnx", one("Softmax", [(2, 3)], None, axis=(5, number(3, 1)))
    yield "attribute_twice.onnx", one("Softmax", [(2, 3)], None, raw=block(5, attribute("axis", 0)), axis=1)
    yield "lstm_hidden_zero.onnx", one("LSTM", [(3, 1, 4), (1, 0, 4), (1, 0, 0)], None, hidden_size=0)
    yield "lstm_hidden_wrong.onnx", one("LSTM", [(3, 1, 4), (1, 8, 4), (1, 8, 2)], None, hidden_size=7)
    yield "conv_transpose_pads.onnx", one("ConvTranspose", [(1, 4, 3, 3), (4, 1, 3, 3)], None, pads=[9, 9, 9, 9])
    yield "depth_to_space.onnx", one("DepthToSpace", [(1, 3, 2, 2)], None, blocksize=0)
    yield "group_norm.onnx", one("GroupNormalization", [(1, 4, 2, 2), (4,), (4,)], None, num_groups=0, opsets=[opset(21)])
    yield "split_outputs_none.onnx", model(graph([node("Split", ["x"], [], axis=0)], [value("x", (4,))], [value("x", (4,))]))


def structure():
    def net(nodes, **more):
        return model(graph(nodes, [value("x", (2,))], [value("y", (2,))]), **more)
    yield "cycle.onnx", net([node("Add", ["x", "b"], ["a"]), node("Relu", ["a"], ["b"]), node("Relu", ["b"], ["y"])])
    yield "cycle_of_one.onnx", net([node("Add", ["x", "y"], ["y"])])
    yield "undefined_input.onnx", net([node("Add", ["x", "nowhere"], ["y"])])
    yield "undefined_output.onnx", net([node("Relu", ["x"], ["z"])])
    yield "duplicated_value.onnx", net([node("Relu", ["x"], ["a"]), node("Neg", ["x"], ["a"]), node("Add", ["a", "a"], ["y"])])
    yield "duplicated_input.onnx", model(graph([node("Relu", ["x"], ["y"])], [value("x", (2,))] * 2, [value("y", (2,))]))
    yield "duplicated_initializer.onnx", model(graph([node("Relu", ["w"], ["y"])], [], [value("y", (2,))],
                                                     [tensor("w", (2,), raw=floats(1, 2))] * 2))
    yield "shadows_input.onnx", net([node("Relu", ["x"], ["x"]), node("Relu", ["x"], ["y"])])
    yield "no_graph.onnx", number(1, 8) + block(8, opset(17))
    yield "no_outputs.onnx", model(graph([node("Relu", ["x"], ["y"])], [value("x", (2,))], []))
    yield "no_opset.onnx", net([node("Relu", ["x"], ["y"])], opsets=[])
    yield "opset_unknown.onnx", net([node("Relu", ["x"], ["y"])], opsets=[opset(9999)])
    yield "opset_zero.onnx", net([node("Relu", ["x"], ["y"])], opsets=[opset(0)])
    yield "opset_negative.onnx", net([node("Relu", ["x"], ["y"])], opsets=[opset(-5)])
    yield "opset_other_domain.onnx", net([node("Relu", ["x"], ["y"])], opsets=[opset(3, "com.example")])
    yield "unsupported_operators.onnx", net([node("Frobnicate", ["x"], ["a"], "first"), node("Defenestrate", ["a"], ["b"], "second"),
                                             node("Relu", ["b"], ["c"]), node("Transmogrify", ["c"], ["y"], "third")])
    yield "unknown_domain.onnx", net([node("Gelu", ["x"], ["y"], domain="com.example")])
    yield "no_op_type.onnx", net([node("", ["x"], ["y"])])
    yield "too_many_inputs.onnx", net([node("Relu", ["x"] * 9, ["y"])])
    yield "too_many_outputs.onnx", net([node("Relu", ["x"], ["y", "z", "w"])])
    yield "input_no_type.onnx", model(graph([node("Relu", ["x"], ["y"])], [block(1, "x")], [value("y", (2,))]))
    yield "input_no_name.onnx", model(graph([node("Relu", ["x"], ["y"])], [value("", (2,)), value("x", (2,))], [value("y", (2,))]))
    yield "subgraphs_200_deep.onnx", net([nested_if(200)])
    yield "subgraphs_25_wide.onnx", net([nested_if(24, 2)])
    yield "subgraph_missing.onnx", net([node("If", ["x"], ["y"])])
    yield "loop_types.onnx", model(graph([node("Loop", ["n", "", "x"], ["y"], body=graph(
        [node("Concat", ["c", "c"], ["d"], axis=0)], [value("i", (), INT64), value("k", (), BOOL), value("c", (2,))],
        [value("k", (), BOOL), value("d", (4,))]))], [value("n", (), INT64), value("x", (2,))], [value("y", (2,))]))
    yield "scan_no_inputs.onnx", net([node("Scan", ["x"], ["y"], num_scan_inputs=-1, body=graph([]))])
    yield "functions_recurse.onnx", net([node("f", ["x"], ["y"], domain="local")], opsets=[opset(17), opset(1, "local")],
                                        functions=[function("f", [node("g", ["x"], ["y"], domain="local")]),
                                                   function("g", [node("f", ["x"], ["y"], domain="local")])])
    yield "functions_explode.onnx", net([node("f40", ["x"], ["y"], domain="local")], opsets=[opset(17), opset(1, "local")],
                                        functions=[function("f0", [node("Relu", ["x"], ["y"])])] + [
                                            function(f"f{i}", [node(f"f{i - 1}", ["x"], ["a"], domain="local"),
                                                               node(f"f{i - 1}", ["a"], ["y"], domain="local")])
                                            for i in range(1, 41)])
    yield "function_twice.onnx", net([node("f", ["x"], ["y"], domain="local")], opsets=[opset(17), opset(1, "local")],
                                     functions=[function("f", [node("Relu", ["x"], ["y"])])] * 2)


def function(name, nodes):
    return block(1, name) + each(4, ["x"]) + each(5, ["y"]) + each(7, nodes) + block(9, opset(17)) + \
        block(9, opset(1, "local")) + block(10, "local")


def nested_if(depth, width=1):
    """An If inside an If ...; the outer name x is in scope everywhere. The deepest is wrong, so that all are read."""
    inner = node("Add", ["x", "nowhere"], ["y"])
    condition = tensor("c", (), BOOL, b"\1")
    for _ in range(depth):
        branch = graph([inner], [], [value("y", (2,))])
        give = node("Constant", [], ["c"], raw=block(5, tensor_attribute("value", condition)))
        inner = node("If", ["x" if width > 1 else "x"], ["y"], then_branch=branch,
                     else_branch=branch if width > 1 and depth < 3 else graph([give, node("Relu", ["x"], ["y"])], [], [value("y", (2,))]))
    return inner


HOSTILE = ["line\nbreak: error: forged", "*/ int main(void) { return 0; } /*", 'quote"\\', "%s%n%s%p%x", "x" * 10000,
           "\x1b[31mred\x07\r\b", "??/\n#include </etc/passwd>", "../../../up", "\u202eright to left", "$(touch x)`id`"]


def hostile():
    for i, name in enumerate(HOSTILE):
        yield f"hostile_node_{i}.onnx", one("Conv", [(1, 3, 8, 8), (4, 4, 3, 3)], None, name=name)
        yield f"hostile_value_{i}.onnx", model(graph([node("Add", [name, "nowhere"], [name + "y"], name)],
                                                     [value(name, (name, 2))], [value(name + "y", (3,))], name=name))
    yield "hostile_operator.onnx", one("Add\n\x1b[2J*/", [(2,)], None)
    yield "hostile_utf8.onnx", one("Relu", [(2,)], None, raw=block(3, b"\xff\xfe\xc0\x80") + block(1, b"\xed\xa0\x80"))


def language():
    m = "model m(x: f32[4]) -> (y) {\n    %s\n}\n"
    cases = {
        "string_unterminated": 'model m(x: f32[4]) -> (y) { weights "abc\n y = x }\n',
        "string_end_of_file": 'import "abc',
        "comment_only": "# nothing\n",
        "nul_bytes": "model m(x: f32[4]) -> (y) { y = x \0 + 1 }\n",
        "not_utf8": b"model m(x: f32[4]) -> (y) { y = x \xff\xfe + 1 }\n",
        "binary": bytes(range(256)) * 16,
        "parentheses_deep": m % ("y = " + "(" * 100000 + "x" + ")" * 100000),
        "lists_deep": m % ("y = " + "[" * 50000),
        "blocks_deep": m % ("y = " + "if true { " * 20000),
        "unary_deep": m % ("y = " + "-" * 200000 + "x"),
        "operators_long": m % ("y = x" + " + q" * 50000),
        "types_deep": "model m(x: " + "f32[" * 50000 + "\n",
        "name_long": m % ("y = " + "a" * 200000),
        "number_long": m % ("y = x * " + "9" * 100000),
        "integer_over": m % "y = x[99999999999999999999]",
        "circle_a": 'import "circle_b.tn" as b\n' + m % "y = x",
        "circle_self": 'import "circle_self.tn" as b\n' + m % "y = x",
        "misspelt": m % "y = sofmax(relu(xx))",
        "index_unknown": m % "let y[i] += x[i] * q[k]",
        "index_garbage": m % "let y[i] += x[i,,] ** ]",
        "index_letters": m % ("let y[i] = " + " + ".join("x[i]" for _ in range(5000)) + " + q[i]"),
        "index_out": m % "let y[i] = x[i + 9223372036854775807]",
        "loop_huge": m % "n = 0\n    for i in 0..9000000000000000000 { n = n + i }\n    y = x",
        "loop_nested": m % ("n = 0\n    " + "".join(f"for i{k} in 0..100 {{ " for k in range(9)) + "n = n + 1" + " }" * 9 + "\n    y = x"),
        "loop_doubles": m % 'for i in 0..1000000 { x = x + relu(x * 2.0) }\n    y = x + nowhere',
        "recursion": "def f(x) { return f(x) }\n" + m % "y = f(x)",
        "recursion_of_two": "def f(x) { return g(g(x)) }\ndef g(x) { return f(f(x)) }\n" + m % "y = f(x)",
        "explosion": "def f0(x) { return relu(x) + 1 }\n" + "".join(
            f"def f{i}(x) {{ return f{i - 1}(f{i - 1}(x)) }}\n" for i in range(1, 41)) + m % "y = f40(x) + nowhere",
        "list_doubles": m % "a = [1]\n    for i in 0..60 { a = a + a }\n    y = x",
        "string_doubles": m % 's = "ab"\n    for i in 0..60 { s = s + s }\n    y = x',
        "dim_range": "dim N in 9223372036854775807..1\n" + m % "y = x",
        "dim_over": "dim N in 1..99999999999999999999\nmodel m(x: f32[N]) -> (y) { y = x }\n",
        "dim_negative": "model m(x: f32[-4]) -> (y) { y = x }\n",
        "dim_huge": "model m(x: f32[9223372036854775807, 9223372036854775807]) -> (y) { y = x }\n",
        "dim_division": "dim N in 1..9\nmodel m(x: f32[N / 0]) -> (y) { y = x }\n",
        "divide_zero": m % "n = 1 / 0\n    y = x * n",
        "modulo_least": m % "n = (0 - 9223372036854775807 - 1) % (0 - 1)\n    y = x[n] + nowhere",
        "shift_huge": m % "y = reshape(x, [2, 9223372036854775807])",
        "broadcast_huge": m % "y = broadcast(x, [1099511627776, 1099511627776, 4])",
        "iota_huge": m % "y = iota([9223372036854775807]) + nowhere",
        "pad_huge": m % "y = pad(x, [[9223372036854775807, 9223372036854775807]])",
        "weights_pipe": m % 'weights "pipe"\n    y = x',
        "weights_outside": m % 'weights "../secret.bin"\n    y = x',
        "weights_link": m % 'weights "link.bin"\n    y = x',
        "import_device": 'import "/dev/zero" as z\n' + m % "y = x",
        "errors_many": m % "\n    ".join(f"y = undefined{i}" for i in range(5000)),
    }
    for name, text in cases.items():
        yield f"{name}.tn", text if isinstance(text, bytes) else text.encode()
    yield "circle_b.tn", b'import "circle_a.tn" as a\ndef f(x) { return x }\nmodel m(x: f32[4]) -> (y) { y = x }\n'


def safetensors_file(header, data=b"", length=None):
    header = header if isinstance(header, bytes) else header.encode()
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def entry(dtype="F32", shape=(2, 2), at=(0, 16)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(at)}


def npy(header=None, data=bytes(16), version=b"\1\0", length=None):
    header = (header or "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }").encode() + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(header) if length is None else length) + header + data


def npz(member="p.npy", data=None, **fields):
    """A zip file of one member; fields overwrite what its headers say."""
    data = npy() if data is None else data
    f = dict(method=0, crc=zlib.crc32(data), size=len(data), packed=len(data), offset=0, count=1, start=None)
    f.update(fields)
    name = member.encode()
    local = struct.pack("<IHHHHHIIIHH", 0x04034b50, 20, 0, f["method"], 0, 0, f["crc"], f["packed"], f["size"], len(name), 0)
    body = local + name + f.get("bytes", data)
    central = struct.pack("<IHHHHHHIIIHHHHHII", 0x02014b50, 20, 20, 0, f["method"], 0, 0, f["crc"], f["packed"], f["size"],
                          len(name), 0, 0, 0, 0, 0, f["offset"]) + name
    start = len(body) if f["start"] is None else f["start"]
    return body + central + struct.pack("<IHHHHIIH", 0x06054b50, 0, 0, f["count"], f["count"], len(central), start, 0)


def bomb():
    """40 MB of zeros from 40 KB, said to be 4 floats."""
    z = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = npy(data=bytes(40 << 20))
    packed = z.compress(data) + z.flush()
    return packed, data


def weights():
    """Files of weights, each behind a model of the same name that reads the tensor p: f32[2, 2] out of it."""
    flat = json.dumps
    safetensors = {
        "header_huge": safetensors_file("{}", length=(1 << 64) - 1),
        "header_past_end": safetensors_file(flat({"p": entry()}), bytes(16), length=4000),
        "header_missing": b"\x10\0\0",
        "overlap": safetensors_file(flat({"p": entry(), "q": entry(at=(8, 24))}), bytes(24)),
        "past_end": safetensors_file(flat({"p": entry(at=(8, 24))}), bytes(16)),
        "backwards": safetensors_file(flat({"p": entry(at=(16, 0))}), bytes(16)),
        "negative": safetensors_file(flat({"p": entry(at=(-16, 0))}), bytes(16)),
        "offsets_wrap": safetensors_file(flat({"p": entry(at=((1 << 64) - 8, 8))}), bytes(16)),
        "shape_overflow": safetensors_file(flat({"p": entry(shape=(1 << 32, 1 << 32))}), bytes(16)),
        "shape_other": safetensors_file(flat({"p": entry(shape=(3, 3))}), bytes(16)),
        "shape_wrong_model": safetensors_file(flat({"p": entry(shape=(4,))}), bytes(16)),
        "dtype_unknown": safetensors_file(flat({"p": entry("F33")}), bytes(16)),
        "dtype_other": safetensors_file(flat({"p": entry("I64", (2,))}), bytes(16)),
        "json_bad": safetensors_file('{"p": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]', bytes(16)),
        "json_not_object": safetensors_file("[1, 2, 3]", bytes(16)),
        "json_twice": safetensors_file('{"p": %s, "p": %s}' % (flat(entry()), flat(entry(at=(16, 32)))), bytes(32)),
        "json_deep": safetensors_file('{"p": ' + "[" * 100000 + "]" * 100000 + "}", bytes(16)),
        "json_deep_objects": safetensors_file('{"a":' * 50000, bytes(16)),
        "json_numbers": safetensors_file('{"p": {"dtype": "F32", "shape": [1e999, 2.5], "data_offsets": [0, 16]}}', bytes(16)),
        "tensor_missing": safetensors_file(flat({"other": entry()}), bytes(16)),
    }
    npzs = {
        "no_end": npz()[:-22],
        "directory_past_end": npz(start=1 << 30),
        "count_many": npz(count=65535),
        "offset_past_end": npz(offset=1 << 30),
        "size_past_end": npz(size=1 << 30, packed=1 << 30),
        "method_unknown": npz(method=99),
        "crc_wrong": npz(crc=1),
        "deflate_garbage": npz(method=8, bytes=b"\xff" * 144),
        "member_outside": npz(member="../../p.npy"),
        "bomb": npz(method=8, bytes=bomb()[0], packed=len(bomb()[0]), size=144),
        "bomb_honest": npz(method=8, bytes=bomb()[0], packed=len(bomb()[0]), size=(1 << 32) - 2),
        "truncated": npz()[:60],
    }
    npys = {
        "magic": b"\x93NUMPX" + npy()[6:],
        "version": npy(version=b"\x09\0"),
        "header_past_end": npy(length=60000),
        "descr_object": npy("{'descr': '|O', 'fortran_order': False, 'shape': (2, 2), }"),
        "descr_big_endian": npy("{'descr': '>f4', 'fortran_order': False, 'shape': (2, 2), }"),
        "shape_overflow": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }"),
        "shape_negative": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-2, -2), }"),
        "data_short": npy(data=bytes(15)),
        "header_deep": npy("(" * 30000),
        "header_code": npy("__import__('os').system('id')"),
        "empty": b"",
    }
    for suffix, files in (("safetensors", safetensors), ("npz", npzs), ("npy", npys)):
        for name, data in files.items():
            yield f"{suffix}_{name}.{suffix}", data
            yield f"{suffix}_{name}.tn", (f'model m(x: f32[2, 2]) -> (y) {{\n    weights "{suffix}_{name}.{suffix}"\n'
                                          "    param p: f32[2, 2]\n    y = x + p\n}\n").encode()


CLASSES = [truncated, wire_types, tensors, quantized, external_data, attributes, structure, hostile, language, weights] + tflite.CLASSES


def make(folder):
    """Writes every file; returns the names of those that are models (the others are read by one of them)."""
    os.makedirs(folder, exist_ok=True)
    models = []
    for files in CLASSES:
        for name, data in files():
            with open(os.path.join(folder, name), "wb") as f:
                f.write(data)
            if name.endswith((".onnx", ".tn", ".tflite")):
                models.append(name)
    make_links(folder)
    return models


if __name__ == "__main__":
    print("\n".join(make(sys.argv[1])))
