"""Spatial pooling with Caffe's size, border and divisor rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from demitasse.converter.graph import Arrays, Shape
from demitasse.converter.ops.base import Operator, require

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Pool2d(Operator):
    """Max or average pooling. Inputs: x (N, C, H, W).

    pads: (vertical, horizontal), the same on both sides. Sizes round up unless `ceil_mode` is
    false; with any padding, a last window that would start beyond the left-padded input is
    dropped. Max ignores padding; the average divides by the window's area clipped to the padded
    input (padding counts, what hangs over it does not). `global_pooling` takes the input's size
    as the kernel.
    """

    kind: str  # "max" or "average"
    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    pads: Pair = (0, 0)
    ceil_mode: bool = True
    global_pooling: bool = False

    def window(self, shape: Shape) -> tuple[Pair, Pair, Pair]:
        """Kernel, stride and pads in force for an input of this shape."""
        if self.global_pooling:
            return (shape[2], shape[3]), (1, 1), (0, 0)
        return self.kernel, self.stride, self.pads

    def infer_shapes(self, inputs: Sequence[Shape], weights: Arrays) -> tuple[Shape, ...]:
        require(len(inputs[0]) == 4, f"pooling needs a 4-D input, found shape {inputs[0]}")
        kernel, stride, pads = self.window(inputs[0])
        spatial = []
        for size, k, s, p in zip(inputs[0][2:], kernel, stride, pads, strict=True):
            require(p < k, f"pooling pad {p} must be smaller than the kernel {k}")
            free = size + 2 * p - k
            require(free >= 0, f"the pooling window ({k}) is larger than the padded input ({size})")
            out = (-(-free // s) if self.ceil_mode else free // s) + 1
            if any(pads) and (out - 1) * s >= size + p:
                out -= 1
            spatial.append(out)
        return ((*inputs[0][:2], *spatial),)

    def divisors(self, shape: Shape) -> list[int]:
        """Every divisor that averaging an input of this shape uses, ascending."""
        (_, _, *out), *_ = self.infer_shapes([shape], {})
        axes = zip(shape[2:], out, *self.window(shape), strict=True)
        rows, columns = ({length for *_, length in spans(*axis)} for axis in axes)
        return sorted({height * width for height in rows for width in columns})

    def reference(self, inputs: Sequence[np.ndarray], weights: Arrays) -> tuple[np.ndarray, ...]:
        x = inputs[0]
        (shape,) = self.infer_shapes([x.shape], weights)
        y = np.empty(shape, np.float32)
        rows = spans(x.shape[2], shape[2], *(v[0] for v in self.window(x.shape)))
        columns = spans(x.shape[3], shape[3], *(v[1] for v in self.window(x.shape)))
        for i, (top, bottom, height) in enumerate(rows):
            for j, (left, right, width) in enumerate(columns):
                y[:, :, i, j] = self._reduce(x[:, :, top:bottom, left:right], height * width)
        return (y,)

    def _reduce(self, window: np.ndarray, area: int) -> np.ndarray:
        if self.kind == "average":
            with np.errstate(invalid="ignore"):
                return window.sum((2, 3), dtype=np.float32) / np.float32(area)
        if window.shape[2] == 0 or window.shape[3] == 0:
            return np.full(window.shape[:2], np.finfo(np.float32).min, np.float32)
        return window.max((2, 3))


def spans(size: int, out: int, k: int, s: int, p: int) -> list[tuple[int, int, int]]:
    """(first, past-last, divisor length) of each of `out` windows along one axis.

    first and past-last are clipped to the real input; the divisor length is clipped to the
    padded input only (Caffe's AVE rule).
    """
    found = []
    for o in range(out):
        start = o * s - p
        end = min(start + k, size + p)
        found.append((min(max(start, 0), size), max(min(end, size), 0), end - start))
    return found
