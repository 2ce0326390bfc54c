#!/usr/bin/env python3
"""tenon devices: the list, one device as JSON and as a record, and what is said where there is none."""
import json, os, subprocess, sys, tempfile

TENON = os.environ.get("TENON", "build/release/tenon")
KEYS = {"name": str, "platform": str, "version": str, "kind": str, "compute_units": int, "vector_bytes": int,
        "work_group_most": int, "sub_group": int, "local_bytes": int, "memory_bytes": int, "allocation_bytes": int,
        "f64": bool, "f16": bool, "fma": bool, "dot8": bool, "inline_ptx": bool, "stages": bool}
wrong = 0


def check(good, what):
    global wrong
    if not good:
        wrong += 1
        print("wrong:", what)


def run(*words, **environment):
    r = subprocess.run([TENON, "devices", *words], capture_output=True, text=True, env={**os.environ, **environment})
    return r.returncode, r.stdout, r.stderr


def record_value(kind, value):
    if kind is bool:
        return {"yes": True, "no": False}[value]
    return kind(value)


status, out, err = run()
if "built without OpenCL" in err:
    check(status == 1 and not out, "a build without OpenCL")
    print("skipped: this tenon was built without OpenCL")
    sys.exit(1 if wrong else 77)
missing = run(TENON_OPENCL="/nonexistent/libOpenCL.so.1")
check(missing == (1, "", "tenon: no OpenCL loader (/nonexistent/libOpenCL.so.1): install ocl-icd-libopencl1 and a driver "
                         "such as pocl-opencl-icd\n"), f"without a loader: {missing}")
with tempfile.TemporaryDirectory() as folder:
    empty = run(OCL_ICD_VENDORS=folder)
    check(empty[0] == 1 and "OpenCL has no platform: install a driver such as pocl-opencl-icd" in empty[2] or
          empty[0] == 0, f"without a driver: {empty}") # a driver that the loader finds in other ways may be there
check(run("x") == (2, "", "tenon: a device is given by its number, not 'x'\n"), "a name for a number")
if status:
    print("skipped:", err.strip())
    sys.exit(1 if wrong else 77)

check(run("99")[0] == 1 and "there is no OpenCL device 99" in run("99")[2], "a device that is not there")
all_devices = json.loads(run("--json")[1])
check(all_devices and [d["number"] for d in all_devices] == list(range(len(all_devices))), "devices are numbered")
for device in all_devices:
    check(f"{device['number']}  {device['name']}\n" in out, "the list names the device")
    if not device["works"]:
        check(device["notes"], "a device that does not work has a reason")
        continue
    check(all(type(device[key]) is kind for key, kind in KEYS.items()), f"facts of {device}")
    check(0 < device["allocation_bytes"] <= device["memory_bytes"] and device["compute_units"] > 0, "sizes")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "x.device")
        check(run(str(device["number"]), "-o", path) == (0, "", ""), "a record is written")
        lines = [line.rstrip("\n").partition(" ") for line in open(path) if not line.startswith("#")]
    record = {key: record_value(KEYS[key], value) for key, _, value in lines}
    same = {key: device[key] for key in KEYS}
    for facts in (record, same):
        facts.pop("fma") # by time: where a machine is disturbed it may differ
    check(record == same, f"record {record}, list {same}")
print(f"{len(all_devices)} devices, {wrong} wrong")
sys.exit(wrong != 0)
