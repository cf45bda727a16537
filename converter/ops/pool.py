"""Spatial pooling with Caffe's size, border and divisor rules, and its way back."""

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
    as the kernel; `bins` cuts each axis into as many windows, as Caffe's SPP does.
    """

    kind: str  # "max" or "average"
    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    pads: Pair = (0, 0)
    ceil_mode: bool = True
    global_pooling: bool = False
    bins: int = 0

    def window(self, shape: Shape) -> tuple[Pair, Pair, Pair]:
        """Kernel, stride and pads in force for an input of this shape."""
        if self.global_pooling:
            return (shape[2], shape[3]), (1, 1), (0, 0)
        if self.bins:
            height, width = (-(-size // self.bins) for size in shape[2:])
            over = height * self.bins - shape[2], width * self.bins - shape[3]
            return (height, width), (height, width), ((over[0] + 1) // 2, (over[1] + 1) // 2)
        return self.kernel, self.stride, self.pads

    def infer_shapes(self, inputs: Sequence[Shape], weights: Arrays) -> tuple[Shape, ...]:
        require(len(inputs[0]) == 4, f"pooling needs a 4-D input, found shape {inputs[0]}")
        kernel, stride, pads = self.window(inputs[0])
        spatial = []
        for size, k, s, p in zip(inputs[0][2:], kernel, stride, pads, strict=True):
            require(p < k, f"pooling pad {p} must be smaller than the kernel {k}")
            free = size + 2 * p - k
            out = (-(-free // s) if self.ceil_mode else free // s) + 1
            require(out > 0, f"the pooling window ({k}) is larger than the padded input ({size})")
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


@dataclass(frozen=True, slots=True)
class PoolMask(Operator):
    """Where max pooling with the same fields finds its maxima: y * W + x of the first one in a
    window, row by row; -1 where nothing in it exceeds the lowest float."""

    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    pads: Pair = (0, 0)
    ceil_mode: bool = True
    global_pooling: bool = False

    def pool(self) -> Pool2d:
        """The max pooling that this belongs to."""
        fields = (self.kernel, self.stride, self.pads, self.ceil_mode, self.global_pooling)
        return Pool2d("max", *fields)

    def infer_shapes(self, inputs: Sequence[Shape], weights: Arrays) -> tuple[Shape, ...]:
        return self.pool().infer_shapes(inputs, weights)

    def reference(self, inputs: Sequence[np.ndarray], weights: Arrays) -> tuple[np.ndarray, ...]:
        lowest = np.finfo(np.float32).min
        x = np.where(np.isnan(inputs[0]), lowest, inputs[0])
        (shape,) = self.infer_shapes([x.shape], weights)
        y = np.full(shape, -1, np.float32)
        pool, width = self.pool(), x.shape[3]
        rows = spans(x.shape[2], shape[2], *(v[0] for v in pool.window(x.shape)))
        columns = spans(width, shape[3], *(v[1] for v in pool.window(x.shape)))
        for i, (top, bottom, _) in enumerate(rows):
            for j, (left, right, _) in enumerate(columns):
                window = x[:, :, top:bottom, left:right].reshape(*x.shape[:2], -1)
                if window.shape[2] == 0:
                    continue
                at = window.argmax(2)
                found = (top + at // (right - left)) * width + left + at % (right - left)
                y[:, :, i, j] = np.where(window.max(2) > lowest, found, -1)
        return (y,)


@dataclass(frozen=True, slots=True)
class Unpool(Operator):
    """Inputs: x (N, C, h, w) and the mask of a max pooling, of the same shape. Every value of x
    goes to the place y * W + x in its channel that the mask names; everything else is 0.

    The output has `size`, or where that is (0, 0) height h * scale - cut. Where places repeat the
    last value in row order stands; places outside the output are passed over.
    """

    size: Pair = (0, 0)
    scale: Pair = (2, 2)
    cut: Pair = (0, 0)

    def infer_shapes(self, inputs: Sequence[Shape], weights: Arrays) -> tuple[Shape, ...]:
        x, mask = inputs
        require(len(x) == 4, f"unpooling needs a 4-D input, found shape {x}")
        require(x == mask, f"the mask has shape {mask}, expected that of the input, {x}")
        size = self.size
        if size == (0, 0):
            height, width = (n * s - c for n, s, c in zip(x[2:], self.scale, self.cut, strict=True))
            size = height, width
        require(min(size) > 0, f"unpooling {x} to {size} leaves nothing")
        return ((*x[:2], *size),)

    def reference(self, inputs: Sequence[np.ndarray], weights: Arrays) -> tuple[np.ndarray, ...]:
        x, mask = inputs
        (shape,) = self.infer_shapes([x.shape, mask.shape], weights)
        return (scatter(x, mask, shape, 0),)


def scatter(x: np.ndarray, mask: np.ndarray, shape: Shape, fill: int) -> np.ndarray:
    """Unpool's output of this shape, `fill` where nothing is written."""
    planes, places = x.reshape(-1, x[0, 0].size), shape[2] * shape[3]
    y = np.full((len(planes), places + 1), fill, x.dtype)  # one more: what is passed over
    at = mask.reshape(planes.shape)
    with np.errstate(invalid="ignore"):
        inside = (at > -1) & (at < places)
        at = np.where(inside, at, places).astype(np.int64)
    np.put_along_axis(y, at, planes, 1)
    return y[:, :places].reshape(shape)


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
