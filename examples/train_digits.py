#!/usr/bin/env python3
"""Trains the weights of examples/digits.tn and writes examples/digits.safetensors.

    pip install numpy scikit-learn && examples/train_digits.py

Data: the 1797 handwritten digits of the scikit-learn package (8x8 pixels, 0..16). The last 360 are never trained
on; accuracy on them is printed. Plain NumPy: a forward pass, its derivative, Adam. The training pictures are moved by a pixel, turned and slanted a little, and thickened or
thinned at random, so that drawings made on a keyboard are read as well. Same seed, same file.
"""
import json, os, struct
import numpy as np
from sklearn.datasets import load_digits

HERE = os.path.dirname(os.path.abspath(__file__))
rng = np.random.default_rng(7)


def patches(x):  # [n, c, h, w] -> [n, h, w, c*9], zeros outside
    n, c, h, w = x.shape
    p = np.zeros((n, c, h + 2, w + 2), x.dtype)
    p[:, :, 1:-1, 1:-1] = x
    s = np.lib.stride_tricks.sliding_window_view(p, (3, 3), axis=(2, 3))  # n c h w 3 3
    return s.transpose(0, 2, 3, 1, 4, 5).reshape(n, h, w, c * 9)


def unpatches(g, c):  # the derivative of patches
    n, h, w, _ = g.shape
    g = g.reshape(n, h, w, c, 3, 3)
    p = np.zeros((n, c, h + 2, w + 2), g.dtype)
    for i in range(3):
        for j in range(3):
            p[:, :, i:i + h, j:j + w] += g[..., i, j].transpose(0, 3, 1, 2)
    return p[:, :, 1:-1, 1:-1]


def forward(w, x):
    a0 = patches(x / np.float32(16))
    z1 = a0 @ w["conv1.weight"].reshape(16, -1).T + w["conv1.bias"]
    h1 = np.maximum(z1, 0).transpose(0, 3, 1, 2)
    a1 = patches(h1)[:, ::2, ::2]
    z2 = a1 @ w["conv2.weight"].reshape(32, -1).T + w["conv2.bias"]
    h2 = np.maximum(z2, 0).transpose(0, 3, 1, 2)
    f = h2.reshape(len(x), -1)
    logits = f @ w["head.weight"].T + w["head.bias"]
    e = np.exp(logits - logits.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True), (a0, z1, a1, z2, f)


def gradient(w, x, y, drop):
    p, (a0, z1, a1, z2, f) = forward(w, x)
    keep = (rng.random(f.shape) > drop) / np.float32(1 - drop)
    logits = (f * keep) @ w["head.weight"].T + w["head.bias"]
    e = np.exp(logits - logits.max(1, keepdims=True))
    d = e / e.sum(1, keepdims=True)
    d[np.arange(len(y)), y] -= 1
    d /= len(y)
    g = {"head.weight": d.T @ (f * keep), "head.bias": d.sum(0)}
    d = (d @ w["head.weight"] * keep).reshape(len(x), 32, 4, 4).transpose(0, 2, 3, 1) * (z2 > 0)
    g["conv2.weight"] = (d.reshape(-1, 32).T @ a1.reshape(-1, 144)).reshape(32, 16, 3, 3)
    g["conv2.bias"] = d.sum((0, 1, 2))
    full = np.zeros((len(x), 8, 8, 144), np.float32)
    full[:, ::2, ::2] = d @ w["conv2.weight"].reshape(32, -1)
    d = unpatches(full, 16).transpose(0, 2, 3, 1) * (z1 > 0)
    g["conv1.weight"] = (d.reshape(-1, 16).T @ a0.reshape(-1, 9)).reshape(16, 1, 3, 3)
    g["conv1.bias"] = d.sum((0, 1, 2))
    return g


def vary(x):
    """Pictures turned, slanted, scaled and moved at random (bilinear), strokes made stronger or weaker."""
    n = len(x)
    turn, slant = rng.uniform(-.2, .2, n), rng.uniform(-.25, .25, n)
    grow = rng.uniform(.8, 1.2, (2, n))
    move = rng.uniform(-1, 1, (2, n))
    v, u = np.meshgrid(np.arange(8) - 3.5, np.arange(8) - 3.5, indexing="ij")
    e = lambda a: a[:, None, None]
    sy = (e(np.cos(turn)) * v - e(np.sin(turn)) * u) * e(grow[0]) + e(move[0]) + 3.5
    sx = (e(np.sin(turn)) * v + e(np.cos(turn)) * u + e(slant) * v) * e(grow[1]) + e(move[1]) + 3.5
    p = np.pad(x[:, 0], ((0, 0), (2, 2), (2, 2)))
    sy, sx = np.clip(sy + 2, 0, 10.999), np.clip(sx + 2, 0, 10.999)
    i, j = sy.astype(int), sx.astype(int)
    a, b, k = sy - i, sx - j, np.arange(n)[:, None, None]
    y = (1 - a) * ((1 - b) * p[k, i, j] + b * p[k, i, j + 1]) + a * ((1 - b) * p[k, i + 1, j] + b * p[k, i + 1, j + 1])
    y = y * e(rng.uniform(.8, 1.6, n))
    return np.clip(y, 0, 16)[:, None].astype(np.float32)


def main():
    digits = load_digits()
    x, y = digits.images[:, None].astype(np.float32), digits.target
    train_x, train_y, test_x, test_y = x[:-360], y[:-360], x[-360:], y[-360:]
    he = lambda *s: (rng.standard_normal(s) * np.sqrt(2 / np.prod(s[1:]))).astype(np.float32)
    w = {"conv1.weight": he(16, 1, 3, 3), "conv1.bias": np.zeros(16, np.float32), "conv2.weight": he(32, 16, 3, 3),
         "conv2.bias": np.zeros(32, np.float32), "head.weight": he(10, 512), "head.bias": np.zeros(10, np.float32)}
    m, s, t, epochs = {k: 0 * v for k, v in w.items()}, {k: 0 * v for k, v in w.items()}, 0, 120
    for epoch in range(epochs):
        rate = 3e-3 * (1 + np.cos(np.pi * epoch / epochs)) / 2
        order = rng.permutation(len(train_x))
        for b in np.array_split(order, 23):
            g, t = gradient(w, vary(train_x[b]), train_y[b], .3), t + 1
            for k in w:
                m[k] = .9 * m[k] + .1 * g[k]
                s[k] = .999 * s[k] + .001 * g[k] ** 2
                w[k] -= (rate * (m[k] / (1 - .9 ** t) / (np.sqrt(s[k] / (1 - .999 ** t)) + 1e-8) + 1e-4 * w[k])).astype(np.float32)
        if epoch % 20 == 19:
            right = (forward(w, test_x)[0].argmax(1) == test_y).sum()
            print(f"epoch {epoch + 1}: {right} of 360 held-out digits right", flush=True)
    right = (forward(w, test_x)[0].argmax(1) == test_y).sum()
    print(f"accuracy on held-out digits: {100 * right / 360:.1f} % ({right} of 360)")
    header, data = {}, b""
    for k in sorted(w):
        a = np.ascontiguousarray(w[k], np.float32).tobytes()
        header[k] = {"dtype": "F32", "shape": list(w[k].shape), "data_offsets": [len(data), len(data) + len(a)]}
        data += a
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    with open(os.path.join(HERE, "digits.safetensors"), "wb") as out:
        out.write(struct.pack("<Q", len(head)) + head + data)


if __name__ == "__main__":
    main()
