#!/usr/bin/env python3
"""Names the types of files with magika's network, compiled to an executable by tenon.

    examples/file_types.py PROGRAM CONFIG FILE...

PROGRAM is what `tenon compile magika.onnx -o PROGRAM` made, CONFIG the JSON file that magika ships beside the network.
Python only prepares the bytes, as magika does (the first 1024 after leading space, the last 1024 before trailing
space, 256 where there are none), and prints the answers; it needs no package. All files go through in one run.
"""
import array, json, os, subprocess, sys, tempfile


def features(path, config):
    size, pad = config["block_size"], config["padding_token"]
    with open(path, "rb") as f:
        first = f.read(size).lstrip()[:config["beg_size"]]
        f.seek(max(0, os.path.getsize(path) - size))
        last = f.read(size).rstrip()[-config["end_size"]:]
    return [*first] + [pad] * (config["beg_size"] - len(first)) + [pad] * (config["end_size"] - len(last)) + [*last]


def main():
    program, config_path, files = os.path.abspath(sys.argv[1]), sys.argv[2], sys.argv[3:]
    config = json.load(open(config_path))
    labels = config["target_labels_space"]
    data = array.array("i", [v for path in files for v in features(path, config)])
    with tempfile.TemporaryDirectory() as folder:
        head = f"{{'descr': '<i4', 'fortran_order': False, 'shape': ({len(files)}, {len(data) // len(files)}), }}"
        head += " " * (-(len(head) + 11) % 64) + "\n"
        with open(f"{folder}/bytes.npy", "wb") as f:
            f.write(b"\x93NUMPY\1\0" + len(head).to_bytes(2, "little") + head.encode() + data.tobytes())
        subprocess.run([program, "--input", f"bytes={folder}/bytes.npy", "--output-dir", folder], check=True,
                       stdout=subprocess.DEVNULL)
        raw = open(f"{folder}/output_0.npy", "rb").read()
    scores = array.array("f", raw[10 + int.from_bytes(raw[8:10], "little"):])
    for i, path in enumerate(files):
        row = scores[i * len(labels):(i + 1) * len(labels)]
        best = max(range(len(labels)), key=row.__getitem__)
        print(f"  {path:28} {labels[best]:12} {100 * row[best]:5.1f} %")


if __name__ == "__main__":
    main()
