"""Run a model on inputs from files.

    demitasse run net.demi --input data=x.npy -o out.npz
    demitasse run net.demi --input photo.jpg

Float arrays are what Caffe's input blob would hold (N, C, H, W). Pictures and uint8 arrays are
preprocessed as the model was compiled. Outputs are keyed by Caffe's blob names, in real units.
"""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from demitasse.converter.flat.read import read_model
from demitasse.errors import DataError
from demitasse.quantizer.feed import read_input
from demitasse.quantizer.files import write_npz
from demitasse.quantizer.scoring import row_outputs
from demitasse.quantizer.stored import from_model
from demitasse.runtime.model import Model
from demitasse.tools import options as shared
from demitasse.tools.answer import Answer
from demitasse.tools.table import dims, table

BOXES = 20  # of detections, so many are shown


def declare(parser: ArgumentParser) -> None:
    parser.add_argument("model", type=Path, help="the .demi")
    parser.add_argument(
        "--input",
        dest="inputs",
        metavar="NAME=FILE",
        type=_named,
        action="append",
        required=True,
        help=".npy, .npz[:key] or a picture (NAME= may be left out where there is one input)",
    )
    parser.add_argument("--all", action="store_true", help="give every blob, not outputs alone")
    parser.add_argument("-o", "--out", metavar="FILE.npz", type=Path, help="write the values here")
    shared.engine(parser)
    shared.operators(parser)


def command(options: Namespace) -> Answer:
    file = read_model(options.model)
    model = Model.open(options.model, kernels=options.kernels, threads=options.threads)
    preprocess = from_model(file)
    shapes = {name: file.tensors[index].shape for name, index in file.inputs.items()}
    inputs = {
        name: read_input(path, shapes[name], preprocess)
        for name, path in _match(options.inputs, shapes).items()
    }
    blobs = model.run(inputs, all_blobs=options.all)
    if options.out:
        write_npz(options.out, blobs)
    rows = [[name, dims(x.shape), *_range(x), _largest(x)] for name, x in blobs.items()]
    text = table(["blob", "shape", "min", "max", "mean", "largest at"], rows, left=2)
    for name in sorted(row_outputs(file)):
        text += f"\n\n{_boxes(name, blobs[name])}"
    if options.out:
        text += f"\n\n  written: {options.out}"
    return Answer(text, {"blobs": blobs, "out": options.out})


def _named(text: str) -> tuple[str, str]:
    name, _, path = text.rpartition("=")
    if not path:
        raise ArgumentTypeError(f"'{text}' is not NAME=FILE")
    return name, path


def _match(given: list[tuple[str, str]], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, str]:
    """File of each input; the name may be missing where the model has one input."""
    only = next(iter(shapes)) if len(shapes) == 1 else ""
    files = {name or only: path for name, path in given}
    if set(files) != set(shapes):
        raise DataError(
            f"the model's inputs are {', '.join(shapes)}; given: {', '.join(files)}",
            remedy="write --input NAME=FILE once for each",
        )
    return files


def _boxes(name: str, blob: np.ndarray) -> str:
    """The rows of detections, as far as they fit a screen."""
    rows = blob.reshape(-1, blob.shape[-1])
    rows = rows[rows[:, 1] >= 0]  # one of label -1 says that there is none
    if not len(rows):
        return f"  {name}: nothing found"
    lines = [[f"{row[0]:g}", f"{row[1]:g}", *(f"{v:.4f}" for v in row[2:])] for row in rows[:BOXES]]
    more = f"\n  … {len(rows) - BOXES} more" if len(rows) > BOXES else ""
    headers = ["image", "label", "score", "left", "top", "right", "bottom"]
    return table(headers, lines, left=0) + more


def _range(x: np.ndarray) -> list[str]:
    return [f"{value:.5g}" for value in (x.min(), x.max(), x.mean())] if x.size else [""] * 3


def _largest(x: np.ndarray) -> str:
    """The largest of the values of each sample, for the first samples; maps have no such place."""
    if x.ndim < 2 or not x.size or x.size != len(x) * max(x.shape[1:]):
        return ""
    places = [str(row.argmax()) for row in x.reshape(len(x), -1)[:8]]
    return " ".join(places) + (" …" if len(x) > 8 else "")
