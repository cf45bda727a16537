"""onnxruntime's static quantization of the ONNX model that our exporter writes.

In its recommended form for processors with VNNI: QDQ, uint8 activations, int8 weights by channel.
What our integer models leave in float32 (Softmax, detection) stays in float32 here as well.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx.utils import Extractor
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from accuracy.engines import Blobs
from accuracy.scores import Answers
from demitasse.converter.graph import Graph
from demitasse.converter.onnx.export import export_onnx
from demitasse.converter.passes import simplify, single_sample

METHODS = ("MinMax", "Entropy", "Percentile")


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Hands the calibrator one picture after the other."""

    def __init__(self, name: str, blobs: Blobs) -> None:
        self.feeds = iter([{name: blob} for blob in blobs])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.feeds, None)


def export(graph: Graph, heads: Sequence[str], folder: Path) -> tuple[Path, Path | None]:
    """Our ONNX model, folded as for other programs, of one sample: up to the blobs `heads`, and
    what follows them."""
    model = export_onnx(simplify(single_sample(graph)))
    parts = Extractor(model)
    trunk, tail = folder / "trunk.onnx", folder / "tail.onnx"
    onnx.save(parts.extract_model([i.name for i in model.graph.input], list(heads)), str(trunk))
    outputs = [output.name for output in model.graph.output if output.name not in heads]
    if not outputs:
        return trunk, None
    onnx.save(parts.extract_model(list(heads), outputs), str(tail))
    return trunk, tail


def quantize(path: Path, method: str, name: str, blobs: Blobs) -> Path:
    """The quantized model."""
    logging.getLogger().setLevel(logging.ERROR)  # recommends folding, which is done
    result = path.with_name(f"{path.stem}_{method}.onnx")
    with contextlib.redirect_stdout(io.StringIO()):
        quantize_static(
            str(path),
            str(result),
            _Reader(name, blobs),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod[method],
        )
    return result


def run(path: Path, tail: Path | None, name: str, blobs: Blobs) -> Answers:
    """The outputs of a model, and those of a tail behind it."""
    return with_tail(_run(path, [{name: blob} for blob in blobs]), tail)


def with_tail(answers: Answers, tail: Path | None) -> Answers:
    """The answers, and what the tail makes of them."""
    if tail is None:
        return answers
    return [{**a, **b} for a, b in zip(answers, _run(tail, answers), strict=True)]


def _run(path: Path, feeds: Answers) -> Answers:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = os.cpu_count() or 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    inputs = [given.name for given in session.get_inputs()]
    outputs = [output.name for output in session.get_outputs()]
    found = (session.run(outputs, {name: feed[name] for name in inputs}) for feed in feeds)
    return [dict(zip(outputs, values, strict=True)) for values in found]
