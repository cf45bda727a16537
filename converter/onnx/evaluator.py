"""What runs models where onnxruntime is missing: onnx's reference evaluator.

Some of its operators are wrong: BatchNormalization before opset 14 takes the batch's statistics,
LRN counts samples as channels, convolutions mix up groups and samples, MaxPool the places of
maxima. These are computed here, as this package defines them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from demitasse.converter import ops


def evaluate_onnx(
    model: onnx.ModelProto, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]
) -> list[np.ndarray]:
    """The named outputs of a model."""
    better = [BatchNormalization, Conv, ConvTranspose, LRN, MaxPool]
    evaluator = ReferenceEvaluator(model, new_ops=better)
    return [np.asarray(value) for value in evaluator.run(list(outputs), dict(inputs))]


class BatchNormalization(OpRun):
    """With the stored statistics."""

    def _run(self, x: Any, scale: Any, bias: Any, mean: Any, variance: Any, **how: Any) -> Any:
        (y,) = ops.BatchNorm(how["epsilon"]).reference([x], {"mean": mean, "variance": variance})
        return ops.Scale().reference([y], {"scale": scale, "bias": bias})


class Conv(OpRun):
    """In two dimensions."""

    def _run(self, x: Any, weight: Any, bias: Any = None, **how: Any) -> Any:
        return _windowed(ops.Conv2d, weight.shape[0], x, weight, bias, how)


class ConvTranspose(OpRun):
    """In two dimensions."""

    def _run(self, x: Any, weight: Any, bias: Any = None, **how: Any) -> Any:
        channels = weight.shape[1] * how["group"]
        return _windowed(ops.Deconv2d, channels, x, weight, bias, how)


class LRN(OpRun):
    """Across channels."""

    def _run(self, x: Any, **how: Any) -> Any:
        op = ops.Lrn("across", how["size"], how["alpha"], how["beta"], how["bias"])
        return op.reference([x], {})


class MaxPool(OpRun):
    """With the places of the maxima, counted through the whole input."""

    def _run(self, x: Any, **how: Any) -> Any:
        (height, width), (top, left, bottom, right) = how["kernel_shape"], how["pads"]
        border = ((0, 0), (0, 0), (top, bottom), (left, right))
        rows, columns = how["strides"]
        padded = np.pad(x, border, constant_values=-np.inf)
        windows = sliding_window_view(padded, (height, width), (2, 3))[:, :, ::rows, ::columns]
        windows = windows.reshape(*windows.shape[:4], height * width)
        at = windows.argmax(-1)
        sample, channel, row, column = np.indices(at.shape, sparse=True)
        row = row * rows + at // width - top
        column = column * columns + at % width - left
        plane = sample * x.shape[1] + channel
        return windows.max(-1), (plane * x.shape[2] + row) * x.shape[3] + column


def _windowed(kind: Any, channels: int, x: Any, weight: Any, bias: Any, how: Any) -> Any:
    op = kind(
        channels,
        tuple(how["kernel_shape"]),
        tuple(how["strides"]),
        tuple(how["pads"]),
        tuple(how["dilations"]),
        how["group"],
    )
    weights = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    return op.reference([x], weights)
