"""Pooling by Caffe's rules, in attributes that every runtime reads alike.

ONNX's `ceil_mode` has changed its meaning between versions and knows neither Caffe's rule for the
last window nor its divisor. Pads for each side say the same: the last window ends where padding
ends, and every size comes out even.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from onnx import TensorProto

from demitasse.converter.onnx.step import Step
from demitasse.converter.ops import Pool2d, PoolMask, Unpool
from demitasse.converter.ops.pool import spans

LOWEST = float(np.finfo(np.float32).min)  # what Caffe's maximum of nothing is


@dataclass(frozen=True)
class Axis:
    """One axis of a pooling. `out` counts the windows that see any input, `empty` those behind
    (no padding, and a stride larger than the kernel); `over` is how far the last window reaches
    beyond the input."""

    size: int
    kernel: int
    stride: int
    pad: int
    out: int
    empty: int
    over: int


def pool2d(step: Step, op: Pool2d, x: str | None = None) -> str:
    x = step.inputs[0] if x is None else x
    if op.global_pooling:
        return step.add("GlobalAveragePool" if op.kind == "average" else "GlobalMaxPool", x)
    axes = _axes(step, op)
    if op.kind == "average":
        y = _average(step, x, axes)
    else:
        y = step.add("MaxPool", x, **_attributes(axes))
    return _with_empty(step, y, op, axes) if any(axis.empty for axis in axes) else y


def _axes(step: Step, op: Pool2d) -> list[Axis]:
    (shape,) = op.infer_shapes([step.shape], {})
    window = op.window(step.shape)
    return [_axis(*each) for each in zip(step.shape[2:], shape[2:], *window, strict=True)]


def _axis(size: int, out: int, kernel: int, stride: int, pad: int) -> Axis:
    empty = sum(o * stride - pad >= size for o in range(out))
    last = (out - empty - 1) * stride - pad + kernel
    return Axis(size, kernel, stride, pad, out - empty, empty, max(last - size, 0))


def _average(step: Step, x: str, axes: list[Axis]) -> str:
    """Padding counts in the divisor, what hangs over it does not."""
    if all(axis.over <= axis.pad for axis in axes):
        return step.add("AveragePool", x, **_attributes(axes), count_include_pad=1)
    if any(axis.pad for axis in axes):  # padding becomes input, so that the rest does not count
        before = [axis.pad for axis in axes]
        after = [min(axis.pad, axis.over) for axis in axes]
        x = padded(step, x, before, after, 0.0)
        axes = [
            Axis(a.size + b + e, a.kernel, a.stride, 0, a.out, 0, a.over - e)
            for a, b, e in zip(axes, before, after, strict=True)
        ]
    return step.add("AveragePool", x, **_attributes(axes), count_include_pad=0)


def _attributes(axes: list[Axis]) -> dict[str, list[int]]:
    """`over` is exact here: no rounding is left to do, except where windows miss the end."""
    return {
        "kernel_shape": [axis.kernel for axis in axes],
        "strides": [axis.stride for axis in axes],
        "pads": [*(axis.pad for axis in axes), *(axis.over for axis in axes)],
    }


def _with_empty(step: Step, y: str, op: Pool2d, axes: list[Axis]) -> str:
    """Windows behind the input: the lowest float; an average of 0, or NaN where the area is 0."""
    after = [axis.empty for axis in axes]
    if op.kind != "average":
        return padded(step, y, [0, 0], after, LOWEST)
    y = padded(step, y, [0, 0], after, 0.0)
    areas = np.outer(*(_lengths(axis) for axis in axes))
    if (areas != 0).all():
        return y
    lost = np.where(areas == 0, np.float32(np.nan), np.float32(0))
    return step.add("Add", y, step.constant(lost[None, None], "lost"))


def _lengths(axis: Axis) -> np.ndarray:
    """What each window counts in the divisor."""
    windows = spans(axis.size, axis.out + axis.empty, axis.kernel, axis.stride, axis.pad)
    return np.array([length for *_, length in windows])


def pool_mask(step: Step, op: PoolMask) -> str:
    """ONNX counts through all channels and samples."""
    pool = op.pool()
    axes = _axes(step, pool)
    _, places = step.add_many("MaxPool", (step.inputs[0],), 2, **_attributes(axes))
    size = step.integers([step.shape[2] * step.shape[3]], "size")
    mask = step.add("Cast", step.add("Mod", places, size), to=TensorProto.FLOAT)
    after = [axis.empty for axis in axes]
    return padded(step, mask, [0, 0], after, -1) if any(after) else mask


def unpool(step: Step, op: Unpool) -> str:
    """Values for places outside go into one more place, which is cut off."""
    planes, places = step.shape[0] * step.shape[1], prod(step.output_shape[2:])
    x, at = (step.reshape(name, (planes, -1)) for name in step.inputs)
    behind = step.add("Greater", at, step.constant(-1, "least"))
    outside = step.constant(places, "outside")
    inside = step.add("And", behind, step.add("Less", at, outside))
    at = step.add("Cast", step.add("Where", inside, at, outside), to=TensorProto.INT64)
    empty = step.add(
        "Expand", step.constant(0, "empty"), step.integers((planes, places + 1), "all")
    )
    y = step.add("ScatterElements", empty, at, x, axis=1)
    return step.reshape(step.cut(y, {1: slice(0, places)}), step.output_shape)


def padded(step: Step, x: str, before: list[int], after: list[int], value: float) -> str:
    """x (N, C, H, W) with constant borders."""
    pads = step.integers([0, 0, *before, 0, 0, *after], "pads")
    return step.add("Pad", x, pads, step.constant(value, "border"))
