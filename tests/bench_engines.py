#!/usr/bin/env python3
"""How tests/bench.py has each engine load a model at its best settings, and the process that a Python engine runs in.

An engine is a row of ENGINES: a heading, and a function that does what comes before loading (compiling, converting) and
returns the command of a process that loads, runs and times, as tests/bench_host.c says. Tenon, ONNX Runtime and OpenVINO
are called from that C program. MNN, ncnn and emx-onnx-cgen have no C interface in their packages: for them the command
is this file, and a function `load_NAME` returns what runs once and gives the outputs. All engines read the same ONNX file, its
sizes fixed (model.path), and the same inputs (model.feed). Not here: LiteRT, since no converter from ONNX to its format
comes without a large framework.

Adding one: a row, and the functions it needs.
"""
import ctypes, glob, importlib.util, json, os, re, shutil, subprocess, sys, time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TENON = os.environ.get("TENON", os.path.join(ROOT, "build/release/tenon"))
# ONNX's numbers of element types
TYPES = {1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "float64",
         12: "uint32", 13: "uint64"}


class Model:
    """One model under test: path (ONNX, fixed sizes), feed (inputs as bench_host.c reads them), work (a folder to use)."""
    def __init__(self, name, path, feed, work, limit=600):
        self.name, self.path, self.feed, self.work, self.limit = name, path, feed, work, limit

    def tensors(self):
        """Inputs and outputs: lists of (name, type, dims)."""
        with open(os.path.join(self.feed, "feed.txt")) as f:
            rows = [line.split() for line in f]
        all_of = [(r[0], TYPES[int(r[1])], [int(d) for d in r[4:]]) for r in rows[1:]]
        return all_of[:int(rows[0][0])], all_of[int(rows[0][0]):]

    def place(self, name):
        path = os.path.join(self.work, name)
        os.makedirs(path, exist_ok=True)
        return path


def must(command, limit, cwd=None):
    r = subprocess.run(command, cwd=cwd, capture_output=True, text=True, errors="replace", timeout=limit)
    if r.returncode:
        raise RuntimeError(f"{os.path.basename(command[0])}: status {r.returncode}: " + " ".join((r.stderr or r.stdout).split())[-160:])


def tool(name):
    found = shutil.which(name, path=os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"])
    if not found:
        raise RuntimeError(f"{name} is not installed")
    return found


def library_of(package, pattern):
    """The one file of a Python package that a pattern names."""
    spec = importlib.util.find_spec(package)
    found = sorted(glob.glob(os.path.join(os.path.dirname(spec.origin), pattern))) if spec else []
    if not found:
        raise RuntimeError(f"{package} is not installed, or has no {pattern}")
    return found[0]


def host(model, engine, threads, library, path="-"):
    """The C program, built once per run of the benchmark."""
    program = os.path.join(os.path.dirname(model.work), "bench_host")
    if not os.path.exists(program):
        must(["cc", "-O2", os.path.join(ROOT, "tests/bench_host.c"), "-o", program, "-ldl"], 60)
    return [program, engine, str(threads), model.feed, "OUT", library, path]


def python(engine, model, threads):
    return [sys.executable, os.path.abspath(__file__), engine, str(threads), model.feed, "OUT", model.work, model.path]


# ---- Tenon, ONNX Runtime, OpenVINO: from C ----

def start_tenon(target):
    def start(model, threads):
        library = os.path.join(model.work, f"tenon_{target}_{threads}.so")
        must([TENON, "compile", model.path, f"--target={target}", f"--threads={threads}", "-o", library, "--quiet"], model.limit)
        return host(model, "tenon", threads, library)
    return start


def start_onnxruntime(model, threads):
    return host(model, "onnxruntime", threads, library_of("onnxruntime", "capi/libonnxruntime.so*"), model.path)


def start_openvino(model, threads):
    return host(model, "openvino", threads, library_of("openvino", "libs/libopenvino_c.so*"), model.path)


# ---- MNN: converted by its own converter; float arithmetic throughout ----

def start_mnn(model, threads):
    target = os.path.join(model.work, "model.mnn")
    if not os.path.exists(target):
        # The converter's own module: the command `mnnconvert` around it installs packages and reports its use.
        call = "import sys, _tools; _tools.mnnconvert(['mnnconvert'] + sys.argv[1:])"
        must([sys.executable, "-c", call, "-f", "ONNX", "--modelFile", model.path, "--MNNModel", target, "--optimizePrefer", "2", "--bizCode", "b"], model.limit)
        if not os.path.exists(target):
            raise RuntimeError("MNN's converter made nothing")
    return python("mnn", model, threads)


def load_mnn(threads, inputs, outputs, work, path):
    import MNN, numpy
    manager = MNN.nn.create_runtime_manager(({"backend": "CPU", "numThread": threads, "precision": "high"},))
    module = MNN.nn.load_module_from_file(os.path.join(work, "model.mnn"), [n for n, _ in inputs], [n for n, _ in outputs], runtime_manager=manager)
    variables = []
    for _, value in inputs:
        whole = numpy.issubdtype(value.dtype, numpy.integer)
        value = value.astype(numpy.int32) if whole else value
        variables.append(MNN.expr.const(value, list(value.shape), MNN.expr.NCHW, MNN.expr.int if whole else MNN.expr.float))

    def run():
        results = module.forward(variables)
        return [(MNN.expr.convert(r, MNN.expr.NCHW) if r.data_format == MNN.expr.NC4HW4 else r).read() for r in results]
    return run


# ---- ncnn: converted by pnnx; half precision off, as it is off for all ----

def start_ncnn(model, threads):
    place = model.place("ncnn")
    if not glob.glob(place + "/*.ncnn.bin"):
        shutil.rmtree(place)
        os.makedirs(place)
        os.symlink(os.path.abspath(model.path), place + "/m.onnx")
        short = {"float32": "f32", "int64": "i64", "int32": "i32"}
        shapes = ",".join("[" + ",".join(map(str, dims)) + "]" + short[kind] for _, kind, dims in model.tensors()[0])
        must([library_of("pnnx", "pnnx"), "m.onnx", "inputshape=" + shapes, "fp16=0"], model.limit, cwd=place)
        for name in os.listdir(place):
            if ".ncnn." not in name and name != "m_ncnn.py":
                os.remove(os.path.join(place, name))
    return python("ncnn", model, threads)


def batch_axis(work, name):
    """Which axis of an input or output is the batch in ncnn, as keywords: the example that pnnx writes says it."""
    with open(work + "/ncnn/m_ncnn.py") as f:
        found = re.search(rf"\b{name}\.numpy\(.*?batch_index=(\d+)", f.read())
    return {"batch_index": int(found[1])} if found else {}


def load_ncnn(threads, inputs, outputs, work, path):
    import ncnn, numpy
    net = ncnn.Net()
    net.opt.num_threads = threads
    net.opt.use_vulkan_compute = False
    net.opt.use_fp16_arithmetic = net.opt.use_fp16_storage = net.opt.use_fp16_packed = net.opt.use_bf16_storage = False
    if net.load_param(glob.glob(work + "/ncnn/*.ncnn.param")[0]) or net.load_model(glob.glob(work + "/ncnn/*.ncnn.bin")[0]):
        raise RuntimeError("pnnx left operators that ncnn does not have")
    values = [value if value.dtype == numpy.float32 else value.astype(numpy.int32) for _, value in inputs]
    values = [ncnn.Mat(value, **batch_axis(work, f"in{k}")).clone() for k, value in enumerate(values)]
    axes = [batch_axis(work, f"out{k}") for k in range(len(outputs))]

    def run():
        extractor, results = net.create_extractor(), []
        for k, value in enumerate(values):
            if extractor.input(f"in{k}", value):
                raise RuntimeError("ncnn has no such input")
        for k, axis in enumerate(axes):
            status, value = extractor.extract(f"out{k}")
            if status:
                raise RuntimeError(f"ncnn extract: status {status}")
            results.append(value.numpy(**axis))
        return results
    return run


# ---- emx-onnx-cgen: its C through gcc, on one thread ----

def start_emx(model, threads):
    if threads > 1:
        raise RuntimeError("its C has no threads")
    place = model.place("emx")
    if not os.path.exists(place + "/net.so"):
        must([tool("emx-onnx-cgen"), "compile", "--model-name", "net", os.path.abspath(model.path), "net.c"], model.limit, cwd=place)
        must(["gcc", "-O3", "-march=native", "-ffast-math", "-fPIC", "-shared", "-w", "net.c", "-lm", "-o", "net.so"], model.limit, cwd=place)
    return python("emx", model, threads)


def load_emx(threads, inputs, outputs, work, path):
    library = ctypes.CDLL(work + "/emx/net.so")
    for weights in glob.glob(work + "/emx/*.bin"):
        library.net_load.restype = ctypes.c_bool
        if not library.net_load(weights.encode()):
            raise RuntimeError("its weights do not load")
    function, results = library.net, [value for _, value in outputs]
    function.restype = None
    arguments = [ctypes.c_void_p(value.ctypes.data) for _, value in inputs + outputs]

    def run():
        function(*arguments)
        return results
    return run


ENGINES = {
    "tenon-llvm": ("Tenon (LLVM)", start_tenon("llvm")),
    "tenon-c": ("Tenon (C)", start_tenon("c")),
    "onnxruntime": ("ONNX Runtime", start_onnxruntime),
    "openvino": ("OpenVINO", start_openvino),
    "mnn": ("MNN", start_mnn),
    "ncnn": ("ncnn", start_ncnn),
    "emx": ("emx-onnx-cgen", start_emx),
}


# ---- the process of an engine that is called from Python: the same protocol as bench_host.c's ----

def write_answers(results, outputs, folder):
    for k, ((_, want), got) in enumerate(zip(outputs, results, strict=True)):
        got.astype(want.dtype).tofile(f"{folder}/out_{k}.bin")


def worker(engine, threads, feed, out, work, path):
    say = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # engines write to standard output
    try:
        import numpy
        ins, outs = Model("", path, feed, work).tensors()
        inputs = [(name, numpy.fromfile(f"{feed}/in_{k}.bin", kind).reshape(dims)) for k, (name, kind, dims) in enumerate(ins)]
        outputs = [(name, numpy.zeros(dims, kind)) for name, kind, dims in outs]
        start = time.perf_counter()
        run = globals()["load_" + engine](int(threads), inputs, outputs, work, path)
        loaded = time.perf_counter()
        results = run()
        first = time.perf_counter()
        write_answers(results, outputs, out)
        print(json.dumps({"load_s": loaded - start, "first_s": first - loaded}), file=say, flush=True)
        for line in sys.stdin:
            took, start = [], time.perf_counter()
            while time.perf_counter() - start < 0.01:
                run()
            for _ in range(int(line)):
                start = time.perf_counter()
                results = run()
                took.append(time.perf_counter() - start)
            write_answers(results, outputs, out)
            print(json.dumps(took), file=say, flush=True)
    except Exception as e:
        print(json.dumps({"why": f"{type(e).__name__}: {e}"[:300]}), file=say, flush=True)
    os._exit(0)


if __name__ == "__main__":
    worker(*sys.argv[1:])
