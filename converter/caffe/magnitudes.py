"""How large the activations of a net with random weights are, roughly: the root mean square of
each tensor, when the inputs' is 1. A random BatchNorm takes its variance from it, as if it had seen
data, and random matrices their scale where it is large; without that, deep residual nets grow
beyond what is of use.
"""

from __future__ import annotations

from math import prod, sqrt

import numpy as np

from demitasse.converter.graph import Arrays, Node
from demitasse.converter.ops import (
    BatchNorm,
    Clip,
    Conv2d,
    Deconv2d,
    Eltwise,
    HardSwish,
    InnerProduct,
    Mvn,
    PRelu,
    Relu,
    Scale,
    Sigmoid,
    Softmax,
    Swish,
    Tanh,
)

LARGEST = 4.0  # where an input is beyond this, weights are drawn as if it were not


class Magnitudes:
    """Grows with the nodes; a tensor that no node made is an input."""

    def __init__(self) -> None:
        self._of: dict[str, float] = {}

    def __getitem__(self, tensor: str) -> float:
        return self._of.get(tensor, 1.0)

    def add(self, node: Node) -> None:
        """Note the outputs of a node."""
        size = _size(node, [self[name] for name in node.inputs])
        self._of.update(dict.fromkeys(node.outputs, size))


def _size(node: Node, inputs: list[float]) -> float:
    """For weights and values that are independent and symmetric about 0."""
    op, weights, x = node.op, node.weights, max(inputs, default=1.0)
    if isinstance(op, Conv2d | InnerProduct | Deconv2d):
        return x * _gain(op, weights)
    if isinstance(op, BatchNorm):
        return x / sqrt(float(np.mean(weights["variance"])) + op.eps) if weights else x
    if isinstance(op, Scale):
        return x * _rms(weights["scale"]) if "scale" in weights else prod(inputs)
    if isinstance(op, Relu):
        return x * sqrt((1 + op.negative_slope**2) / 2)
    if isinstance(op, PRelu):
        return x * sqrt((1 + _rms(weights["slope"]) ** 2) / 2) if weights else x
    if isinstance(op, Swish | HardSwish):
        return 0.6 * x  # where x is about 1; by a half where it is small, as ReLU where it is large
    if isinstance(op, Clip):
        return min(x / sqrt(2), max(abs(op.low), abs(op.high)))
    if isinstance(op, Eltwise) and op.kind != "max":
        return sqrt(sum(size**2 for size in inputs)) if op.kind == "sum" else prod(inputs)
    if isinstance(op, Sigmoid):
        return 0.5
    if isinstance(op, Tanh | Softmax | Mvn):
        return min(x, 1.0)
    return x


def _gain(op: Conv2d | Deconv2d | InnerProduct, weights: Arrays) -> float:
    """The root of the sum of the squared weights that an output has."""
    if "weight" not in weights:
        return 1.0
    weight = weights["weight"]
    if isinstance(op, Deconv2d):
        return _rms(weight) * sqrt(weight[:, 0].size / op.groups / prod(op.stride))
    return _rms(weight) * sqrt(weight.size / weight.shape[0])


def _rms(array: np.ndarray) -> float:
    return sqrt(float(np.vdot(array, array)) / array.size) if array.size else 0.0
