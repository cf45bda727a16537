"""Normalizations."""

from __future__ import annotations

import numpy as np

from demitasse.converter.graph import Arrays
from demitasse.converter.ops import Lrn, Mvn, Normalize, Softmax
from demitasse.quantizer.float_reference.base import F, Inputs, exp, log
from demitasse.quantizer.integer.norm import window_sums


def lrn(op: Lrn, inputs: Inputs, weights: Arrays) -> np.ndarray:
    x = inputs[0]
    window = op.size if op.region == "across" else op.size * op.size
    k = F(op.k) if op.region == "across" else F(1)
    base = k + F(op.alpha) / F(window) * window_sums(op, x * x)
    return x * exp(-F(op.beta) * log(base))


def _sum(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Sums over axes of four, kept: of a pixel's channels, of a row, of all rows."""
    for axis in (1, 3, 2):
        if axis in axes:
            total = np.zeros_like(x.take([0], axis))
            for i in range(x.shape[axis]):
                total = total + x.take([i], axis)
            x = total
    return x


def mvn(op: Mvn, inputs: Inputs, weights: Arrays) -> np.ndarray:
    axes = op.axes()
    count = F(np.prod([inputs[0].shape[axis] for axis in axes]))
    d = inputs[0] - _sum(inputs[0], axes) / count
    return d / (np.sqrt(_sum(d * d, axes) / count) + F(op.eps)) if op.variance else d


def normalize(op: Normalize, inputs: Inputs, weights: Arrays) -> np.ndarray:
    x = inputs[0].reshape(*inputs[0].shape, *(1,) * (4 - inputs[0].ndim))
    norm = np.sqrt(F(op.eps) + _sum(x * x, op.axes(inputs[0].ndim)))
    scale = weights["scale"].astype(np.float32).reshape(-1, 1, 1)
    return (x / norm * scale).reshape(inputs[0].shape)


def softmax(op: Softmax, inputs: Inputs, weights: Arrays) -> np.ndarray:
    x = np.moveaxis(inputs[0], op.axis, 0)
    e = exp(x - x.max(0))
    total = np.zeros(e.shape[1:], np.float32)
    for row in e:
        total = total + row
    return np.moveaxis(e / total, 0, op.axis)
