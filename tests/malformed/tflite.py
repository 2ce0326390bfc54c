"""Malformed TensorFlow Lite models for make.py, and small good ones for ../test_tflite.py. Field numbers are the schema's.

A model of one operator: op(number, inputs, ...) where an input is a shape, or (shape, data) for a constant. Deterministic.
"""
import struct

from flatbuffer import *

FLOAT32, INT32, UINT8, INT64, STRING, INT8 = 0, 2, 3, 4, 5, 9
ADD, CONCAT, CONV, DEPTHWISE, DEQUANTIZE, FULLY, MAX_POOL, RESHAPE = 0, 2, 3, 4, 6, 9, 17, 22
BILINEAR, SOFTMAX, SPACE, CUSTOM, PAD, GATHER, TRANSPOSE, MEAN, SQUEEZE = 23, 25, 26, 32, 34, 36, 39, 40, 43
STRIDED, SPLIT, TRANSPOSED, PACK, UNPACK, MIRROR, RELU, DENSIFY, LSTM = 45, 49, 67, 83, 88, 100, 19, 124, 44
SLICE, TILE, ARG_MAX = 65, 69, 56


def ints(*values):
    return struct.pack(f"<{len(values)}i", *values)


def floats(*values):
    return struct.pack(f"<{len(values)}f", *values)


def tensor(shape, type=FLOAT32, buffer=0, name="", quant=None, **more):
    fields = {0: List("i", shape), 1: Byte(type), 2: Int(buffer), 3: name}
    if quant:
        fields[4] = quant
    fields.update({int(k[1:]): v for k, v in more.items()})
    return fields


def quant(scales=(0.5,), zeros=(0,), axis=0):
    return {2: List("f", scales), 3: List("q", zeros), 6: Int(axis)}


def operator(code, inputs, outputs, options=None, **more):
    fields = {0: Int(code), 1: List("i", inputs), 2: List("i", outputs)}
    if options is not None:
        fields[3], fields[4] = Byte(1), options
    return fields


def model(tensors, operators, codes, inputs, outputs, buffers=(b"",), **more):
    subgraph = {0: List("table", tensors), 1: List("i", inputs), 2: List("i", outputs), 3: List("table", operators)}
    fields = {0: Int(3), 1: List("table", codes), 2: List("table", [subgraph]),
              4: List("table", [{0: b} if b else {} for b in buffers])}
    fields.update({int(k[1:]): v for k, v in more.items()})
    return file(fields)


def code(number, custom=None):
    fields = {0: Byte(min(number, 127)), 3: Int(number)}
    if custom:
        fields[1] = custom
    return fields


def op(number, inputs, options=None, out=(1,), type=FLOAT32, in_type=FLOAT32, n_out=1, custom=None):
    tensors, buffers, graph_inputs = [], [b""], []
    for i, each in enumerate(inputs):
        shape, data, kind = (each + (INT32,))[:3] if each and isinstance(each[0], tuple) else (each, None, in_type)
        if data is None:
            graph_inputs.append(i)
        else:
            buffers.append(data)
        tensors.append(tensor(shape, kind, len(buffers) - 1 if data is not None else 0, f"t{i}"))
    outputs = list(range(len(tensors), len(tensors) + n_out))
    tensors += [tensor(out, type, 0, f"y{i}") for i in range(n_out)]
    return model(tensors, [operator(0, range(len(inputs)), outputs, options)], [code(number, custom)], graph_inputs, outputs,
                 buffers)


WINDOW = {0: Byte(0), 1: Int(1), 2: Int(1)}
GOOD = op(CONV, [(1, 4, 4, 2), ((3, 2, 2, 2), floats(*range(24)), FLOAT32), ((3,), floats(1, 2, 3), FLOAT32)], WINDOW,
          (1, 4, 4, 3))


def truncated():
    for n in range(len(GOOD)):
        yield f"cut_{n:04}.tflite", GOOD[:n]


def structure():
    yield "identifier.tflite", GOOD[:4] + b"TFL9" + GOOD[8:]
    yield "zeros.tflite", bytes(4096)
    yield "root_outside.tflite", struct.pack("<I", 1 << 30) + GOOD[4:]
    yield "root_back.tflite", struct.pack("<I", 0xffffff00) + GOOD[4:]
    yield "no_subgraph.tflite", file({0: Int(3)})
    yield "subgraphs_outside.tflite", file({0: Int(3), 2: Raw(0x7fffffff)})
    yield "subgraph_outside.tflite", file({0: Int(3), 2: List("table", [Raw(0x7ffffff0)])})
    yield "no_tensors.tflite", model([], [operator(0, [0], [1])], [code(RELU)], [0], [1])
    yield "no_codes.tflite", model([tensor((1,)), tensor((1,))], [operator(0, [0], [1])], [], [0], [1])
    yield "no_outputs.tflite", model([tensor((1,)), tensor((1,))], [operator(0, [0], [1])], [code(RELU)], [0], [])
    yield "no_result.tflite", model([tensor((1,)), tensor((1,))], [operator(0, [0], [])], [code(RELU)], [0], [1])
    yield "tensor_negative.tflite", model([tensor((1,)), tensor((1,))], [operator(0, [-2], [1])], [code(RELU)], [0], [1])
    yield "tensor_none.tflite", model([tensor((1,)), tensor((1,))], [operator(0, [-1], [1])], [code(RELU)], [0], [1])
    yield "tensor_outside.tflite", model([tensor((1,)), tensor((1,))], [operator(0, [9], [1])], [code(RELU)], [0], [1])
    yield "input_twice.tflite", model([tensor((1,)), tensor((1,))], [operator(0, [0], [1])], [code(RELU)], [0, 0], [1])
    yield "given_twice.tflite", model([tensor((1,)), tensor((1,))], [operator(0, [0], [1])] * 2, [code(RELU)], [0], [1])
    yield "cycle.tflite", model([tensor((1,)), tensor((1,))], [operator(0, [1], [1])], [code(RELU)], [0], [1])
    yield "before_given.tflite", model([tensor((1,))] * 3, [operator(0, [1], [2]), operator(0, [0], [1])], [code(RELU)], [0], [2])
    yield "operator_unknown.tflite", op(900, [(1,)])
    yield "operators_unsupported.tflite", model(
        [tensor((1,))] * 4, [operator(0, [0], [1]), operator(1, [1], [2]), operator(2, [2], [3])],
        [code(27), code(CUSTOM, "Frobnicate"), code(146)], [0], [3])
    yield "name_long.tflite", model([tensor((1,), name="n" * 5000), tensor((1,))], [operator(0, [0], [1])], [code(RELU)], [0], [1])
    yield "name_hostile.tflite", op(CUSTOM, [(1,)], custom="*/\n#include </etc/passwd>\nbreak: error: forged\x07\xff%s%n")
    yield "operands_many.tflite", op(CONCAT, [(1,)] * 2000, {0: Int(0)})


def tensors():
    def relu(t, buffers=(b"",)):
        return model([t, tensor((1,))], [operator(0, [0], [1])], [code(RELU)], [] if len(buffers) > 1 else [0], [1], buffers)
    yield "type_unknown.tflite", relu(tensor((1,), 99))
    yield "type_string.tflite", relu(tensor((1,), STRING))
    yield "rank_40.tflite", relu(tensor((1,) * 40))
    yield "dim_negative.tflite", relu(tensor((2, -3)))
    yield "elements_overflow.tflite", relu(tensor((1 << 30, 1 << 30, 1 << 30)))
    yield "buffer_short.tflite", relu(tensor((4,), buffer=1), (b"", floats(1, 2, 3)))
    yield "buffer_long.tflite", relu(tensor((4,), buffer=1), (b"", floats(1, 2, 3, 4, 5)))
    yield "buffer_outside.tflite", relu(tensor((4,), buffer=7), (b"", b"1234"))
    yield "buffer_negative.tflite", relu(tensor((4,), buffer=-1), (b"", b"1234"))
    yield "buffer_empty.tflite", relu(tensor((4,), buffer=0), (b"", b"1234"))
    yield "huge_no_data.tflite", relu(tensor((1 << 20, 1 << 19), buffer=1), (b"", b"1234"))
    for name, q in {"scale_zero": quant((0.0,)), "scale_negative": quant((-1.0,)), "scale_nan": quant((float("nan"),)),
                    "scale_infinite": quant((float("inf"),)), "zero_outside": quant(zeros=(1 << 40,)),
                    "scales_many": quant((1.0,) * 5), "scales_axis": quant((1.0,) * 4, (0,) * 4, 9),
                    "zeros_many": quant((1.0,) * 4, (0,) * 3), "custom": {**quant(), 4: Byte(1)}}.items():
        yield f"quant_{name}.tflite", relu(tensor((4,), INT8, quant=q))
    levels = {"levels": [0, [], [{1: Int(4)}] * 2], "order": [[0, 0], [], [{1: Int(2)}] * 2], "size_none": [[0, 1], [], [{}] * 2],
              "sizes_large": [[0, 1], [], [{1: Int(1 << 30)}] * 2],
              "positions_none": [[0, 1], [], [{1: Int(2)}, {0: Byte(1)}]],
              "segment": [[0, 1], [], [{1: Int(2)}, {0: Byte(1), 2: Byte(3), 3: {0: bytes([0, 9, 9])}, 4: Byte(3), 5: {0: bytes([1])}}]],
              "segments_short": [[0, 1], [], [{1: Int(2)}, {0: Byte(1), 2: Byte(3), 3: {0: bytes([0])}, 4: Byte(3), 5: {0: bytes([1])}}]],
              "position": [[0, 1], [], [{1: Int(2)}, {0: Byte(1), 2: Byte(3), 3: {0: bytes([0, 1, 1])}, 4: Byte(3), 5: {0: bytes([7])}}]],
              "block": [[0, 1, 2], [5], [{1: Int(2)}] * 3]}
    for name, (order, blocks, each) in levels.items():
        sparsity = {0: List("i", order or [0, 1, 2]), 1: List("i", blocks), 2: List("table", each)}
        yield f"sparse_{name}.tflite", relu(tensor((2, 2), buffer=1, _6=sparsity), (b"", floats(1)))
    sparsity = {0: List("i", [0, 1]), 1: List("i", []), 2: List("table", [{1: Int(1 << 19)}, {1: Int(1 << 19)}])}
    yield "sparse_bomb.tflite", relu(tensor((1 << 19, 1 << 19), buffer=1, _6=sparsity), (b"", floats(1)))


def options():
    image, weight = (1, 4, 4, 2), ((3, 2, 2, 2), floats(*range(24)), FLOAT32)
    yield "conv_stride_zero.tflite", op(CONV, [image, weight], {0: Byte(0)})
    yield "conv_stride_negative.tflite", op(CONV, [image, weight], {**WINDOW, 1: Int(-1)})
    yield "conv_stride_huge.tflite", op(CONV, [image, weight], {**WINDOW, 2: Int(2 ** 31 - 1)})
    yield "conv_padding.tflite", op(CONV, [image, weight], {**WINDOW, 0: Byte(5)})
    yield "conv_dilation.tflite", op(CONV, [image, weight], {**WINDOW, 4: Int(0)})
    yield "conv_activation.tflite", op(CONV, [image, weight], {**WINDOW, 3: Byte(77)})
    yield "conv_channels.tflite", op(CONV, [(1, 4, 4, 3), weight], WINDOW)
    yield "conv_rank.tflite", op(CONV, [(4, 4, 2), weight], WINDOW)
    yield "conv_no_weight.tflite", op(CONV, [image], WINDOW)
    yield "conv_empty.tflite", op(CONV, [image, ((0, 2, 2, 2), b"", FLOAT32)], WINDOW)
    yield "conv_no_options.tflite", op(CONV, [image, weight])
    yield "conv_kernel_larger.tflite", op(CONV, [(1, 1, 1, 2), weight], {**WINDOW, 0: Byte(1)})
    yield "depthwise_multiplier.tflite", op(DEPTHWISE, [(1, 4, 4, 3), ((1, 2, 2, 2), floats(*range(8)), FLOAT32)], WINDOW)
    yield "transposed_shape.tflite", op(TRANSPOSED, [((4,), ints(1, 1 << 30, -5, 3)), weight, (1, 2, 2, 2)], WINDOW)
    yield "transposed_shape_short.tflite", op(TRANSPOSED, [((2,), ints(4, 4)), weight, (1, 2, 2, 2)], WINDOW)
    yield "pool_zero.tflite", op(MAX_POOL, [image], WINDOW)
    yield "pool_large.tflite", op(MAX_POOL, [image], {**WINDOW, 0: Byte(1), 3: Int(9), 4: Int(9)})
    yield "dense_rows.tflite", op(FULLY, [(2, 3), ((4, 5), floats(*range(20)), FLOAT32)], {})
    yield "dense_shuffled.tflite", op(FULLY, [(2, 5), ((4, 5), floats(*range(20)), FLOAT32)], {1: Byte(1)})
    yield "reshape_elements.tflite", op(RESHAPE, [(2, 3), ((2,), ints(4, 2))])
    yield "reshape_two_open.tflite", op(RESHAPE, [(2, 3), ((2,), ints(-1, -1))])
    yield "reshape_overflow.tflite", op(RESHAPE, [(2, 3), ((3,), ints(1 << 30, 1 << 30, 1 << 30))])
    yield "reshape_unknown.tflite", op(RESHAPE, [(2, 3), (2,)], in_type=INT32, type=INT32)
    yield "reshape_rank.tflite", op(RESHAPE, [(2, 3)], {0: List("i", [1] * 30)})
    yield "concat_axis.tflite", op(CONCAT, [(2, 3), (2, 3)], {0: Int(7)})
    yield "concat_shapes.tflite", op(CONCAT, [(2, 3), (4, 5)], {0: Int(0)})
    yield "add_shapes.tflite", op(ADD, [(2, 3), (4,)], {})
    yield "softmax_beta.tflite", op(SOFTMAX, [(2, 3)], {0: Float(float("nan"))})
    yield "space_block.tflite", op(SPACE, [image], {0: Int(0)})
    yield "space_block_odd.tflite", op(SPACE, [image], {0: Int(3)})
    yield "pad_negative.tflite", op(PAD, [(2, 3), ((2, 2), ints(0, 0, -1, 0))])
    yield "pad_huge.tflite", op(PAD, [(2, 3), ((2, 2), ints(2 ** 31 - 1, 2 ** 31 - 1, 2 ** 31 - 1, 0))])
    yield "pad_rank.tflite", op(PAD, [(2, 3), ((3, 2), ints(*[1] * 6))])
    yield "mirror_far.tflite", op(MIRROR, [(2, 3), ((2, 2), ints(2, 0, 0, 0))], {0: Byte(0)})
    yield "gather_axis.tflite", op(GATHER, [(2, 3), ((1,), ints(0))], {0: Int(-9)})
    yield "gather_batch.tflite", op(GATHER, [(2, 3), ((1,), ints(0))], {0: Int(0), 1: Int(1)})
    yield "transpose_twice.tflite", op(TRANSPOSE, [(2, 3), ((2,), ints(1, 1))])
    yield "mean_axis.tflite", op(MEAN, [(2, 3), ((1,), ints(5))], {})
    yield "squeeze_three.tflite", op(SQUEEZE, [(2, 3)], {0: List("i", [1])})
    yield "strided_zero.tflite", op(STRIDED, [(8,), ((1,), ints(0)), ((1,), ints(4)), ((1,), ints(0))], {})
    yield "strided_ellipses.tflite", op(STRIDED, [(8, 2), ((2,), ints(0, 0)), ((2,), ints(4, 1)), ((2,), ints(1, 1))], {2: Int(3)})
    yield "strided_element.tflite", op(STRIDED, [(8,), ((1,), ints(9)), ((1,), ints(10)), ((1,), ints(1))], {4: Int(1)})
    yield "slice_outside.tflite", op(SLICE, [(8,), ((1,), ints(6)), ((1,), ints(4))])
    yield "tile_huge.tflite", op(TILE, [(8, 8), ((2,), ints(2 ** 31 - 1, 2 ** 31 - 1))])
    yield "split_parts.tflite", op(SPLIT, [((), ints(0)), (8,)], {0: Int(3)}, n_out=3)
    yield "pack_shapes.tflite", op(PACK, [(2, 3), (3, 2)], {1: Int(0)})
    yield "unpack_parts.tflite", op(UNPACK, [(2, 3)], {1: Int(0)}, n_out=3)
    yield "arg_max_axis.tflite", op(ARG_MAX, [(2, 3), ((1,), ints(3))], {0: Byte(2)}, type=INT32)
    yield "bilinear_zero.tflite", op(BILINEAR, [image, ((2,), ints(0, 4))], {})
    yield "bilinear_both.tflite", op(BILINEAR, [image, ((2,), ints(8, 8))], {2: Byte(1), 3: Byte(1)})
    yield "result_type.tflite", op(RELU, [(2,)], type=INT32)
    yield "lstm_nothing.tflite", op(LSTM, [(1, 2, 3)] * 24, {})


CLASSES = [truncated, structure, tensors, options]
