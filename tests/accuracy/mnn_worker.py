"""MNN quantizes a network and runs it: for an interpreter that has MNN, with nothing of ours.

    python mnn_worker.py FOLDER

FOLDER has `net.onnx`, `config.json` as MNN's quantizer wants it, and `data.npz` with the `name` of
the input, `heads` and `blobs`; the answers go into `found.npz`. The compiled modules are called by
themselves, since the package's own scripts install and report things.
"""

import importlib
import sys
from pathlib import Path

import numpy as np

folder = Path(sys.argv[1])
tools = importlib.import_module("_tools")
data = np.load(folder / "data.npz")
name, heads = str(data["name"]), [str(head) for head in data["heads"]]
plain, quantized = str(folder / "net.mnn"), str(folder / "quantized.mnn")
convert = ["-f", "ONNX", "--modelFile", str(folder / "net.onnx"), "--MNNModel", plain]
tools.mnnconvert(["mnnconvert", *convert, "--keepInputFormat", "1"])
tools.mnnquant(["mnnquant", plain, quantized, str(folder / "config.json")])
nn, expr = (importlib.import_module(f"MNN.{part}") for part in ("nn", "expr"))
found = {}
for key, path in (("float", plain), ("int8", quantized)):
    runtime = nn.create_runtime_manager(({"backend": 0, "numThread": 1, "precision": "high"},))
    net = nn.load_module_from_file(path, [name], heads, runtime_manager=runtime)
    answers = []
    for blob in data["blobs"]:
        x = expr.const(blob[None], [1, *blob.shape], expr.NCHW)
        given = net.forward([x])
        given = given if isinstance(given, (list, tuple)) else [given]
        answers.append([np.array(expr.convert(y, expr.NCHW).read()).ravel() for y in given])
    for i in range(len(heads)):
        found[f"{key}{i}"] = np.stack([answer[i] for answer in answers])
np.savez(folder / "found.npz", **found)
