"""Pooling of regions of interest: of Fast R-CNN and of R-FCN.

Inputs: features (N, C, H, W) and regions (R, 5): number of the image, then left, top, right and
bottom in pixels of the network's input. One output, (R, channels, rows, columns). A region of an
image that there is not gives zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from demitasse.converter.graph import Arrays, Shape
from demitasse.converter.ops.base import Operator, require

F = np.float32
Span = tuple[int, int]
LIMIT = F(2**28)  # beyond it a coordinate says nothing more


@dataclass(frozen=True, slots=True)
class RoiPool(Operator):
    """The largest value of each of pooled (rows, columns) bins of a region; 0 of an empty bin.

    Edges are scaled and rounded, the far ones included; a region has at least one pixel.
    """

    pooled: tuple[int, int]
    scale: float = 1.0

    def per_sample(self, shapes: Sequence[Shape]) -> bool:
        return False

    def infer_shapes(self, inputs: Sequence[Shape], weights: Arrays) -> tuple[Shape, ...]:
        _check(inputs)
        return ((inputs[1][0], inputs[0][1], *self.pooled),)

    def reference(self, inputs: Sequence[np.ndarray], weights: Arrays) -> tuple[np.ndarray, ...]:
        x, regions = inputs[0].astype(F), inputs[1].astype(F)
        (shape,) = self.infer_shapes([x.shape, regions.shape], {})
        y = np.zeros(shape, F)
        for image, i, top, left, ph, pw in _bins(x, regions, self.pooled, self.spans):
            window = x[image, :, slice(*top), slice(*left)]
            if window.size:
                floor = np.full(window.shape[0], np.finfo(F).min, F)
                y[i, :, ph, pw] = np.fmax(floor, np.fmax.reduce(window, axis=(1, 2)))
        return (y,)

    def spans(self, near: np.float32, far: np.float32, bins: int, size: int) -> list[Span]:
        """First and past-last pixel of each bin along one axis."""
        start, end = (_round(edge * F(self.scale)) for edge in (near, far))
        step = F(max(end - start + 1, 1)) / F(bins)
        edges = [(F(i) * step, F(i + 1) * step) for i in range(bins)]
        return [_inside(start + _floor(a), start + _ceil(b), size) for a, b in edges]


@dataclass(frozen=True, slots=True)
class PsRoiPool(Operator):
    """The average of each of group x group bins of a region, each bin of channels of its own:
    channel (c * group + row) * group + column of the features gives bin (row, column) of channel c.

    Edges are rounded and the far ones included, then scaled; a side is at least 0.1.
    """

    channels: int
    group: int
    scale: float

    def per_sample(self, shapes: Sequence[Shape]) -> bool:
        return False

    def infer_shapes(self, inputs: Sequence[Shape], weights: Arrays) -> tuple[Shape, ...]:
        _check(inputs)
        wanted = self.channels * self.group * self.group
        require(inputs[0][1] == wanted, f"{inputs[0][1]} channels, expected {wanted}")
        return ((inputs[1][0], self.channels, self.group, self.group),)

    def reference(self, inputs: Sequence[np.ndarray], weights: Arrays) -> tuple[np.ndarray, ...]:
        x, regions = inputs[0].astype(F), inputs[1].astype(F)
        (shape,) = self.infer_shapes([x.shape, regions.shape], {})
        y = np.zeros(shape, F)
        planes = x.reshape(len(x), self.channels, self.group, self.group, *x.shape[2:])
        pooled = (self.group, self.group)
        for image, i, top, left, ph, pw in _bins(x, regions, pooled, self.spans):
            total = np.zeros(self.channels, F)
            for row in range(*top):
                for column in range(*left):
                    total = total + planes[image, :, ph, pw, row, column]
            area = max(top[1] - top[0], 0) * max(left[1] - left[0], 0)
            y[i, :, ph, pw] = total / F(area) if area else F(0)
        return (y,)

    def spans(self, near: np.float32, far: np.float32, bins: int, size: int) -> list[Span]:
        """First and past-last pixel of each bin along one axis."""
        start = F(_round(near)) * F(self.scale)
        end = F(_round(far) + 1) * F(self.scale)
        side = end - start if end - start > F(0.1) else F(0.1)
        step = side / F(bins)
        edges = [(F(i) * step + start, F(i + 1) * step + start) for i in range(bins)]
        return [_inside(_floor(a), _ceil(b), size) for a, b in edges]


def _check(inputs: Sequence[Shape]) -> None:
    require(len(inputs[0]) == 4, f"the features must be 4-D, found shape {inputs[0]}")
    require(
        len(inputs[1]) >= 2 and prod(inputs[1][1:]) == 5,
        f"regions have shape {inputs[1]}, expected (regions, 5)",
    )


def _bins(
    x: np.ndarray,
    regions: np.ndarray,
    pooled: tuple[int, int],
    spans: Callable[[np.float32, np.float32, int, int], list[Span]],
) -> list[tuple[int, int, Span, Span, int, int]]:
    """(image, region, rows, columns, bin's row and column) of every bin."""
    found = []
    for i, (image, left, top, right, bottom) in enumerate(regions.reshape(-1, 5)):
        if not 0 <= image < len(x):
            continue
        rows = spans(top, bottom, pooled[0], x.shape[2])
        columns = spans(left, right, pooled[1], x.shape[3])
        found += [
            (int(image), i, row, column, ph, pw)
            for ph, row in enumerate(rows)
            for pw, column in enumerate(columns)
        ]
    return found


def _bounded(x: np.float32) -> np.float32:
    """Inside +-LIMIT; NaN is the lower end."""
    return min(x, LIMIT) if x > -LIMIT else -LIMIT


def _floor(x: np.float32) -> int:
    return int(np.floor(_bounded(x)))


def _ceil(x: np.float32) -> int:
    return int(np.ceil(_bounded(x)))


def _round(x: np.float32) -> int:
    """To the nearest, halves away from zero."""
    x = _bounded(x)
    return int(np.copysign(np.floor(abs(float(x)) + 0.5), x))


def _inside(start: int, end: int, size: int) -> Span:
    return min(max(start, 0), size), min(max(end, 0), size)
