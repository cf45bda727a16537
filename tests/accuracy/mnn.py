"""MNN's quantizer on the same ONNX model, where ACCURACY_MNN names a Python that has MNN.

It calibrates on picture files, and knows means and scales of channels; a mean image is subtracted
by the model. Blobs that were no pictures it does not take.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from PIL import Image

from accuracy.engines import Blobs
from accuracy.scores import Answers
from demitasse.quantizer.preprocess import Preprocess

PYTHON = os.environ.get("ACCURACY_MNN", "")
METHODS = ("KL",)
MOST = 100  # pictures that calibrate
SECONDS = 100
WORKER = Path(__file__).with_name("mnn_worker.py")


def quantized(
    trunk: Path,
    heads: tuple[str, ...],
    shapes: dict[str, tuple[int, ...]],
    pictures: np.ndarray,
    preprocess: Preprocess,
    judging: np.ndarray,
    blobs: Blobs,
    method: str,
    folder: Path,
) -> tuple[Answers, Answers] | None:
    """The answers of its float and of its INT8 model on the judging pictures, whose blobs these
    are; None where it cannot.

    trunk: the model. shapes: of the heads.
    """
    if not PYTHON or pictures.dtype != np.uint8 or pictures.shape[1:3] != blobs[0].shape[2:]:
        return None
    work = folder / f"mnn_{method}"
    (work / "pictures").mkdir(parents=True)
    for i, picture in enumerate(_spread(pictures)):
        image = Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture)
        image.save(work / "pictures" / f"{i:04d}.png")
    model = onnx.load(str(trunk))
    (name,) = (given.name for given in model.graph.input)
    if preprocess.mean_image is not None:
        _subtract(model, preprocess.mean_image)
        plain = Preprocess(order=preprocess.order)
        blobs = [plain.to_blob(picture, blobs[0].shape) for picture in judging]
    onnx.save(model, str(work / "net.onnx"))
    (work / "config.json").write_text(json.dumps(_config(preprocess, blobs[0], work, method)))
    np.savez(work / "data.npz", name=name, heads=heads, blobs=np.concatenate(blobs))
    try:
        command = [PYTHON, str(WORKER), str(work)]
        subprocess.run(command, check=True, capture_output=True, timeout=SECONDS)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        print(f"MNN {method}: {type(error).__name__}", file=sys.stderr)
        return None
    data = np.load(work / "found.npz")
    floats, integers = (
        [
            {head: data[f"{key}{i}"][k].reshape(shapes[head]) for i, head in enumerate(heads)}
            for k in range(len(blobs))
        ]
        for key in ("float", "int8")
    )
    return floats, integers


def _spread(pictures: np.ndarray) -> np.ndarray:
    count = min(len(pictures), MOST)
    return pictures[np.arange(count) * len(pictures) // count]


def _subtract(model: onnx.ModelProto, mean: np.ndarray) -> None:
    """Let the model take its input's mean image away."""
    graph = model.graph
    (given,) = graph.input
    inner = f"{given.name}_centred"
    for node in graph.node:
        for i, name in enumerate(node.input):
            if name == given.name:
                node.input[i] = inner
    graph.initializer.append(numpy_helper.from_array(mean[None].astype(np.float32), "mean_image"))
    graph.node.insert(0, helper.make_node("Sub", [given.name, "mean_image"], [inner]))


def _config(preprocess: Preprocess, blob: np.ndarray, work: Path, method: str) -> dict[str, object]:
    """What its quantizer is told."""
    channels, height, width = blob.shape[1:]
    order = "gray" if channels == 1 else preprocess.order or "bgr"
    centred = preprocess.mean_image is not None
    mean = (0.0,) if centred else preprocess.mean
    return {
        "format": order.upper(),
        "mean": list(np.broadcast_to(mean, channels).astype(float)),
        "normal": list(np.broadcast_to(preprocess.scale, channels).astype(float)),
        "width": width,
        "height": height,
        "path": f"{work / 'pictures'}/",
        "used_image_num": len(list((work / "pictures").iterdir())),
        "feature_quantize_method": method,
        "weight_quantize_method": "MAX_ABS",
    }
