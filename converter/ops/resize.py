"""Bilinear resizing of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from demitasse.converter.graph import Arrays, Shape
from demitasse.converter.ops.base import Operator, require

Pair = tuple[int, int]
RULES = ("align_corners", "half_pixel")


@dataclass(frozen=True, slots=True)
class Resize(Operator):
    """Bilinear interpolation. Inputs: x (N, C, H, W), and perhaps one whose height and width the
    output takes (of which only the shape is read).

    Without it the output has `size`, else, where that is (0, 0), floor(n * scale), else
    n' + (n' - 1) * (zoom - 1) with n' = (n - 1) // shrink + 1, for n rows or columns of the input
    that are left when `crop` (begin, end) of both axes are cut off. Output o reads the input at
    o * (n - 1) / (out - 1) by the rule "align_corners" (0 for a single output), at
    (o + 0.5) * n / out - 0.5 clamped to 0 ... n - 1 by "half_pixel".
    """

    size: Pair = (0, 0)
    scale: tuple[float, float] = (0.0, 0.0)
    shrink: int = 1
    zoom: int = 1
    crop: Pair = (0, 0)
    rule: str = "align_corners"

    def infer_shapes(self, inputs: Sequence[Shape], weights: Arrays) -> tuple[Shape, ...]:
        for shape in inputs:
            require(len(shape) == 4, f"resizing needs 4-D inputs, found shape {shape}")
        left = [n - sum(self.crop) for n in inputs[0][2:]]
        require(min(left) > 0, f"cropping {self.crop} leaves nothing of shape {inputs[0]}")
        if len(inputs) > 1:
            size = list(inputs[1][2:])
        elif self.size != (0, 0):
            size = list(self.size)
        elif self.scale != (0.0, 0.0):
            size = [int(n * scale) for n, scale in zip(left, self.scale, strict=True)]
        else:
            shrunk = [(n - 1) // self.shrink + 1 for n in left]
            size = [n + (n - 1) * (self.zoom - 1) for n in shrunk]
        require(min(size) > 0, f"an image cannot be resized to {tuple(size)}")
        return ((*inputs[0][:2], *size),)

    def cropped(self, x: np.ndarray) -> np.ndarray:
        """The part of x that is resized."""
        begin, end = self.crop
        return x[:, :, begin : x.shape[2] - end, begin : x.shape[3] - end]

    def reference(self, inputs: Sequence[np.ndarray], weights: Arrays) -> tuple[np.ndarray, ...]:
        (shape,) = self.infer_shapes([x.shape for x in inputs], weights)
        y = self.cropped(inputs[0])
        for axis in (3, 2):
            first, rest, whole = positions(y.shape[axis], shape[axis], self.rule)
            second = np.minimum(first + 1, y.shape[axis] - 1)
            weight = (rest / np.float64(whole)).astype(np.float32).reshape(-1, *(1,) * (3 - axis))
            y = y.take(first, axis) * (1 - weight) + y.take(second, axis) * weight
        return (y.astype(np.float32),)


def positions(size: int, out: int, rule: str) -> tuple[np.ndarray, np.ndarray, int]:
    """Where each of `out` outputs stands between inputs 0 ... size - 1: at first + rest / whole.

    All integers; first is the last input only with rest 0.
    """
    o = np.arange(out, dtype=np.int64)
    if rule == "align_corners":
        at, whole = o * (size - 1), max(out - 1, 1)
    else:
        at, whole = np.clip((2 * o + 1) * size - out, 0, 2 * out * (size - 1)), 2 * out
    return at // whole, at % whole, whole
