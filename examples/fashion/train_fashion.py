#!/usr/bin/env python3
"""Trains the weights of examples/fashion/mlp.tn and cnn.tn and writes their .safetensors beside them.

    apt-get install dataset-fashion-mnist && pip install numpy torch && examples/fashion/train_fashion.py [mlp|cnn]

Data: Fashion-MNIST, 28x28 points, ten kinds of clothes. The 60,000 training pictures are trained on, moved by a pixel and
mirrored at random; accuracy on the 10,000 test pictures, never trained on, is printed. Some five minutes on two cores. Same
seed, same PyTorch, same number of threads: the same file.
"""
import gzip, json, os, struct, sys

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = "/usr/share/datasets/fashion-mnist"
EPOCHS = {"mlp": 30, "cnn": 14}


def read_idx(name):
    with gzip.open(os.path.join(DATA, name)) as f:
        data = f.read()
    n_dims = data[3]
    shape = struct.unpack(f">{n_dims}I", data[4:4 + 4 * n_dims])
    return np.frombuffer(data, np.uint8, offset=4 + 4 * n_dims).reshape(shape)


def read_part(part):
    """Pictures [N, 1, 28, 28] u8 and labels [N] of "train" or "t10k"."""
    return read_idx(f"{part}-images-idx3-ubyte.gz")[:, None], read_idx(f"{part}-labels-idx1-ubyte.gz")


def make_net(name):
    import torch
    from torch import nn

    class Mlp(nn.Module):
        def __init__(self):
            super().__init__()
            self.dense1, self.dense2, self.head = nn.Linear(784, 80), nn.Linear(80, 64), nn.Linear(64, 10)

        def forward(self, x):
            return self.head(torch.relu(self.dense2(torch.relu(self.dense1(x.flatten(1))))))

    class Cnn(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 32, 3, padding=1)
            self.depthwise = nn.Conv2d(32, 32, 3, padding=1, groups=32)
            self.pointwise, self.conv3 = nn.Conv2d(32, 64, 1), nn.Conv2d(64, 64, 3, padding=1, stride=2)
            self.head = nn.Linear(1024, 10)

        def forward(self, x):
            pool = nn.functional.max_pool2d
            x = torch.relu(self.conv2(pool(torch.relu(self.conv1(x)), 2)))
            x = torch.relu(self.depthwise(x) + x)
            x = torch.relu(self.conv3(pool(torch.relu(self.pointwise(x)), 2)))
            return self.head(nn.functional.dropout(x.flatten(1), .3, self.training))

    return Mlp() if name == "mlp" else Cnn()


def vary(x, dice):
    """Pictures mirrored and moved by up to a pixel, at random."""
    import torch
    mirrored = torch.rand(len(x), generator=dice) < .5
    x = torch.where(mirrored[:, None, None, None], x.flip(3), x)
    dy, dx = (int(v) for v in torch.randint(0, 3, (2,), generator=dice))
    return torch.nn.functional.pad(x, (1, 1, 1, 1))[:, :, dy:dy + 28, dx:dx + 28]


def accuracy(net, x, y):
    import torch
    net.eval()
    with torch.no_grad():
        return float((torch.cat([net(part) for part in x.split(1000)]).argmax(1) == y).float().mean())


def train(name):
    import torch
    torch.manual_seed(5)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(2)
    dice = torch.Generator().manual_seed(5)
    (x, y), (test_x, test_y) = ([torch.tensor(a) for a in read_part(part)] for part in ("train", "t10k"))
    x, test_x, y, test_y = x / 255, test_x / 255, y.long(), test_y.long()
    net, batch = make_net(name), 250
    epochs, steps = EPOCHS[name], len(x) // batch
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-3)
    rates = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * steps)
    for epoch in range(epochs):
        net.train()
        for at in torch.randperm(len(x), generator=dice).split(batch):
            loss = torch.nn.functional.cross_entropy(net(vary(x[at], dice)), y[at])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rates.step()
        print(f"{name}, epoch {epoch + 1} of {epochs}: {100 * accuracy(net, test_x, test_y):.2f} % of the test pictures right", flush=True)
    return {k: v.detach().numpy() for k, v in net.state_dict().items()}


def write(weights, path):
    header, data = {}, b""
    for k in sorted(weights):
        a = np.ascontiguousarray(weights[k], np.float32).tobytes()
        header[k] = {"dtype": "F32", "shape": list(weights[k].shape), "data_offsets": [len(data), len(data) + len(a)]}
        data += a
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(head)) + head + data)


def main():
    for name in sys.argv[1:] or ["mlp", "cnn"]:
        write(train(name), os.path.join(HERE, f"{name}.safetensors"))


if __name__ == "__main__":
    main()
