#!/usr/bin/env python3
"""Small nets converted by TensorFlow, for tests/test_tflite.py: each as floats, with 8-bit and with 16-bit weights, as int8.

    make_tflite.py DIR [NET...]      writes DIR/NET_{float32,weights8,float16,int8}.tflite

Needs the PyPI packages tensorflow-cpu and tf_keras (whose recurrent layers convert into single operators). Weights and
calibration data come from fixed seeds; ranges are wide enough that every scale differs. A function per net.
"""
import os, sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
import numpy as np
import tensorflow as tf

layers = tf.keras.layers
FORMS = ("float32", "weights8", "float16", "int8")


def take(*shape):
    return tf.keras.Input(shape, batch_size=1)


def apply(function):
    return layers.Lambda(function)


def classifier():
    """Convolutions, depthwise ones with a multiplier, a residual addition, dense, softmax."""
    x = image = take(32, 32, 3)
    x = layers.ReLU(6.0)(layers.Conv2D(16, 3, 2, "same")(x))
    y = layers.ReLU()(layers.DepthwiseConv2D(3, 1, "same")(x))
    x = layers.Add()([x, layers.Conv2D(16, 1)(y)])
    x = layers.DepthwiseConv2D(5, 2, "same", depth_multiplier=2)(x)
    x = layers.Dense(10)(layers.GlobalAveragePooling2D()(x))
    return tf.keras.Model(image, [layers.Softmax()(x), x])


def pools():
    """Pools with and without padding, parts of different scales joined, logistic and tanh."""
    x = image = take(17, 19, 5)
    parts = [layers.MaxPooling2D(3, 2, "same")(x), layers.AveragePooling2D(3, 2, "same")(x),
             layers.Conv2D(7, 3, 2, "same", activation="relu")(x)]
    x = layers.AveragePooling2D(2)(layers.Concatenate()(parts))
    x = layers.Conv2D(4, 2, activation="tanh")(x)
    return tf.keras.Model(image, layers.Dense(6, activation="sigmoid")(layers.Flatten()(x)))


def resizes():
    """Both ways to resize, a product, a difference, dilation, a transposed convolution."""
    x = image = take(9, 12, 4)
    smooth = apply(lambda v: tf.image.resize(v, (18, 24)))(x)
    blocks = apply(lambda v: tf.image.resize(v, (18, 24), method="nearest"))(x)
    odd = apply(lambda v: tf.compat.v1.image.resize_bilinear(v, (7, 31), align_corners=True))(x)
    x = layers.Subtract()([layers.Multiply()([smooth, blocks]), smooth])
    x = layers.LeakyReLU(0.2)(layers.Conv2D(3, 3, padding="same", dilation_rate=2)(x))
    return tf.keras.Model(image, [layers.Conv2DTranspose(5, 3, 2, "same")(x), layers.Conv2DTranspose(2, 2, 3)(x), odd])


def hard():
    """Hard swish, a slope for each channel, padding by hand, a mean over channels."""
    x = image = take(14, 14, 6)
    x = apply(lambda v: v * tf.nn.relu6(v + 3) * (1 / 6))(layers.Conv2D(12, 3)(x))
    x = layers.PReLU(shared_axes=[1, 2], alpha_initializer=tf.keras.initializers.RandomUniform(0.1, 0.4, 5))(x)
    x = layers.Conv2D(8, 3, 2)(layers.ZeroPadding2D(2)(x))
    return tf.keras.Model(image, [apply(lambda v: tf.reduce_mean(v, axis=3))(x), apply(lambda v: tf.reduce_max(v, axis=[1, 2]))(x)])


def curves():
    """Operators of one operand, each over a row that the test fills with all 256 values."""
    x = row = take(256)
    results = [tf.sigmoid, tf.tanh, tf.nn.relu, tf.nn.relu6, lambda v: v * tf.nn.relu6(v + 3) * (1 / 6),
               lambda v: tf.nn.leaky_relu(v, 0.3)]
    return tf.keras.Model(row, [apply(f)(x) for f in results])


def rows():
    """Softmax over rows of different ranges, means, splits and transposes."""
    x = table = take(24, 10)
    wide = apply(lambda v: v * 6.0)(x)
    halves = apply(lambda v: tf.concat([tf.split(v, 2, axis=2)[1], tf.split(v, 2, axis=2)[0]], axis=1))(x)
    return tf.keras.Model(table, [layers.Softmax()(x), layers.Softmax()(wide),
                                  apply(lambda v: tf.reduce_mean(v, axis=[1, 2], keepdims=True))(x),
                                  apply(lambda v: tf.transpose(v, (0, 2, 1))[:, 1:8:2, ::-1])(halves)])


def directs():
    """Operators that sum or scale, each from input to output, over many elements: rare roundings show."""
    x = image = take(24, 24, 8)
    back = apply(lambda v: v[:, ::-1] * 0.37)(x)
    slopes = tf.keras.initializers.RandomUniform(0.1, 0.4, 5)
    return tf.keras.Model(image, [
        layers.Conv2D(8, 3, padding="same")(x), layers.Conv2D(8, 1)(x), layers.Conv2D(5, 3, dilation_rate=2, activation="relu")(x),
        layers.DepthwiseConv2D(3, padding="same")(x), layers.DepthwiseConv2D(3, depth_multiplier=2)(x), layers.Conv2DTranspose(6, 3, 2)(x),
        layers.Dense(40)(layers.Flatten()(x)), layers.Dense(9)(x), layers.Add()([x, back]), layers.Multiply()([x, back]),
        layers.Subtract()([back, x]), layers.AveragePooling2D(3, 2, "same")(x), layers.PReLU(slopes, shared_axes=[1, 2])(x),
        apply(lambda v: tf.reduce_mean(v, axis=3))(x), apply(lambda v: tf.matmul(v, v, transpose_b=True))(x),
        apply(lambda v: tf.image.resize(v, (37, 29)))(x), apply(lambda v: tf.concat([v * 2.3, v], axis=3))(x)])


def arrangements():
    """Operators that only move elements."""
    x = image = take(6, 8, 4)
    return tf.keras.Model(image, [apply(f)(x) for f in (
        lambda v: tf.stack([v, v * 2.0], axis=2), lambda v: tf.unstack(v, axis=2)[5],
        lambda v: tf.gather(v, [3, 0, 2, 2], axis=1), lambda v: tf.pad(v, [[0, 0], [2, 1], [3, 2], [0, 0]], "REFLECT"),
        lambda v: tf.pad(v, [[0, 0], [2, 1], [3, 2], [1, 0]], "SYMMETRIC"), lambda v: tf.pad(v, [[0, 0], [1, 2], [0, 3], [1, 1]]),
        lambda v: tf.pad(v, [[0, 0], [1, 0], [0, 1], [0, 0]], constant_values=0.75),
        lambda v: tf.nn.space_to_depth(v, 2), lambda v: tf.nn.depth_to_space(v, 2), lambda v: tf.tile(v, [1, 2, 1, 3]),
        lambda v: tf.reverse(v, [1, 2]), lambda v: tf.slice(v, [0, 1, 2, 0], [1, 3, -1, 2]), lambda v: v[..., 1:3],
        lambda v: v[:, ::-2, tf.newaxis, 1:-1:3], lambda v: v[:, 2], lambda v: tf.split(v, [1, 5, 2], axis=2)[1],
        lambda v: tf.squeeze(tf.expand_dims(v, 3)[:, :1], [1]), lambda v: tf.reshape(v, [1, -1, 16]),
        lambda v: tf.broadcast_to(v[:, :, :1], [1, 6, 3, 4]), lambda v: tf.transpose(v, [0, 3, 1, 2]))])


def positive(v):
    return tf.abs(v) + 0.25


def other(v):
    return v[:, :, ::-1]


def functions():
    """Operators of each element, of rows, and of axes."""
    x = image = take(5, 7, 4)
    return tf.keras.Model(image, [apply(f)(x) for f in (
        lambda v: tf.math.log(positive(v)), lambda v: tf.sqrt(positive(v)), lambda v: tf.math.rsqrt(positive(v)), tf.abs,
        lambda v: tf.maximum(v, other(v)), lambda v: tf.minimum(v, 0.1), lambda v: tf.math.squared_difference(v, other(v)),
        lambda v: tf.nn.gelu(v, approximate=True), tf.nn.log_softmax, lambda v: tf.nn.l2_normalize(v, axis=3),
        lambda v: tf.nn.relu(v + 0.5), lambda v: tf.clip_by_value(v, -1.0, 1.0), lambda v: tf.where(v > other(v), v, -v),
        lambda v: tf.cast(tf.logical_and(v < 0.5, tf.logical_not(v <= other(v))), tf.float32),
        lambda v: tf.cast(tf.logical_or(v >= 0.5, v > other(v)), tf.float32),
        lambda v: tf.cast(tf.equal(v, tf.abs(v)), tf.float32), lambda v: tf.cast(tf.not_equal(v, tf.abs(v)), tf.int32),
        lambda v: tf.reduce_mean(v, [2], keepdims=True), lambda v: tf.reduce_max(v, [1, 2]), lambda v: tf.reduce_min(v, [-1]),
        lambda v: tf.cast(tf.reduce_any(v > 0.5, [1]), tf.float32), lambda v: tf.cast(tf.reduce_all(v > -0.5, [2]), tf.float32),
        lambda v: tf.argmax(v, 3), lambda v: tf.argmin(v, 1), lambda v: tf.matmul(v, v, transpose_a=True),
        lambda v: tf.matmul(v, v[:, :, :, ::-1], transpose_b=True))])


def sums():
    """SUM, whose multiplier LiteRT's reference kernel never sets."""
    x = table = take(24, 10, 3)
    return tf.keras.Model(table, [apply(lambda v, a=a: tf.reduce_sum(v, a))(x) for a in ([1], [2, 3], [-1], [1, 3])])


def numbers():
    """What has no integer kernel, or (DIV) one that overflows: as floats only."""
    x = image = take(5, 7, 4)
    return tf.keras.Model(image, [apply(f)(x) for f in (
        tf.exp, tf.square, tf.negative, tf.floor, tf.math.ceil, lambda v: tf.round(v * 4), tf.sin, tf.cos, tf.sign, tf.nn.elu,
        lambda v: tf.pow(positive(v), other(v)), lambda v: tf.math.floordiv(v, positive(other(v))),
        lambda v: tf.math.floormod(v, positive(other(v))), lambda v: v / positive(other(v)), lambda v: tf.nn.softmax(v, axis=3),
        lambda v: tf.cast(v * 9, tf.int32), tf.zeros_like, lambda v: tf.add_n([v, v * 2, other(v)]), lambda v: tf.reduce_prod(v, [1]),
        lambda v: tf.cumsum(v, 2), lambda v: tf.cumsum(v, 1, exclusive=True, reverse=True))])


def lstm():
    x = steps = take(12, 8)
    x = layers.LSTM(16, return_sequences=True)(x)
    return tf.keras.Model(steps, layers.Dense(4)(layers.LSTM(10)(x)))


NETS = {f.__name__: f for f in (classifier, pools, resizes, hard, curves, rows, directs, arrangements, functions, sums, numbers,
                                lstm)}
FLOATS_ONLY = {"numbers"}


def calibration(shape, count, seed):
    random = np.random.default_rng(seed)
    return [random.normal(0, 2, shape).astype(np.float32) for _ in range(count)]


def convert(net, form):
    converter = tf.lite.TFLiteConverter.from_keras_model(net)
    if form != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if form == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if form == "int8":
        shape = tuple(net.inputs[0].shape)
        converter.representative_dataset = lambda: ([x] for x in calibration(shape, 20, 1))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8, tf.lite.OpsSet.TFLITE_BUILTINS]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    for name in sys.argv[2:] or NETS:
        tf.keras.utils.set_random_seed(7)
        net = NETS[name]()
        random = np.random.default_rng(3)
        for weight in net.weights:
            if "bias" in weight.name:
                weight.assign(random.normal(0, 0.3, weight.shape))
        for form in FORMS[:3] if name in FLOATS_ONLY else FORMS:
            data = convert(net, form)
            with open(os.path.join(folder, f"{name}_{form}.tflite"), "wb") as file:
                file.write(data)


main()
