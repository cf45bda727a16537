"""onnxruntime's static quantization of the ONNX model that our exporter writes.

In its recommended form for processors with VNNI: QDQ, uint8 activations, int8 weights by channel.
What our integer models leave in float32 (Softmax, detection) stays in float32 here as well.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from accuracy.engines import Blobs, Run
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


def export(graph: Graph, path: Path) -> None:
    """Our ONNX model, folded as for other programs, of one sample."""
    onnx.save(export_onnx(simplify(single_sample(graph))), str(path))


def quantize(path: Path, method: str, name: str, blobs: Blobs, heads: Sequence[str]) -> Path:
    """The quantized model; what comes after the blobs `heads` stays in float32."""
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
            nodes_to_exclude=_after(onnx.load(str(path)).graph, heads),
        )
    return result


def run(path: Path, name: str) -> Run:
    """An ONNX model in onnxruntime."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = os.cpu_count() or 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    outputs = [output.name for output in session.get_outputs()]
    return lambda blobs: [
        dict(zip(outputs, session.run(outputs, {name: blob}), strict=True)) for blob in blobs
    ]


def _after(graph: onnx.GraphProto, heads: Iterable[str]) -> list[str]:
    """The nodes that read these blobs, or what is made from them."""
    reached, found = set(heads), []
    for node in graph.node:
        if not reached.isdisjoint(node.input):
            reached.update(node.output)
            found.append(node.name)
    return found
