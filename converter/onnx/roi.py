"""Pooling of regions of interest."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from demitasse.converter.onnx import versions
from demitasse.converter.onnx.step import Step
from demitasse.converter.ops import PsRoiPool, RoiPool
from demitasse.errors import UnsupportedError


def roi_pool(step: Step, op: RoiPool) -> str:
    if step.opset > 21:
        raise UnsupportedError(
            f"onnxruntime has no MaxRoiPool of opset {step.opset}, only up to 21"
        )
    regions = step.reshape(step.inputs[1], (step.shapes[1][0], 5))
    pooled, scale = op.pooled, op.scale
    return step.add("MaxRoiPool", step.inputs[0], regions, pooled_shape=pooled, spatial_scale=scale)


def psroi_pool(step: Step, op: PsRoiPool) -> str:
    """ONNX has no such operator: sums of the pixels of each bin's columns, by a matrix of zeros and
    ones, then of its rows, over the number of both. R regions, g x g bins."""
    images, _, height, width = step.shape
    count, group = step.output_shape[0], op.group
    regions = step.reshape(step.inputs[1], (count, 5))
    image, left, top, right, bottom = versions.split(step, regions, (1,) * 5, 1)
    columns = _inside(step, op, left, right, width)  # (R, g, W)
    rows = _inside(step, op, top, bottom, height)  # (R, g, H)
    area = step.add(
        "Mul", _total(step, rows, (count, 1, group, 1)), _total(step, columns, (count, 1, 1, group))
    )

    planes = step.reshape(step.inputs[0], (images, op.channels, group, group, height, width))
    planes = step.add("Transpose", planes, perm=(3, 1, 2, 0, 4, 5))
    planes = step.reshape(planes, (group, op.channels * group * images * height, width))
    sums = step.add("MatMul", planes, step.add("Transpose", columns, perm=(1, 2, 0)))
    sums = step.reshape(sums, (group, op.channels, group, images, height, count))

    own = step.add("Equal", step.add("Floor", image), step.constant(np.arange(images), "images"))
    own = step.add("Transpose", step.add("Cast", own, to=TensorProto.FLOAT), perm=(1, 0))
    own = step.reshape(own, (1, images, 1, count))
    rows = step.reshape(step.add("Transpose", rows, perm=(1, 2, 0)), (group, 1, height, count))
    sums = step.add("Mul", sums, step.add("Mul", rows, own))
    sums = versions.reduce(step, "ReduceSum", sums, [3, 4], keep=False)  # (g, channels, g, R)
    sums = step.add("Transpose", sums, perm=(3, 1, 2, 0))
    return step.add("Div", sums, step.add("Max", area, step.constant(1, "least")))


def _inside(step: Step, op: PsRoiPool, near: str, far: str, size: int) -> str:
    """1 where a pixel is in a bin: (R, g, size) from edges (R, 1), as the operator's `spans`."""
    scale = step.constant(op.scale, "scale")
    start = step.add("Mul", _rounded(step, near), scale)
    end = step.add("Mul", step.scaled(_rounded(step, far), 1, 1), scale)
    side = step.add("Max", step.add("Sub", end, start), step.constant(0.1, "least"))
    each = step.add("Div", side, step.constant(op.group, "bins"))
    edges = []
    for rounding, first in (("Floor", 0), ("Ceil", 1)):
        bins = step.constant(np.arange(first, first + op.group), "bin")
        edge = step.add(rounding, step.add("Add", step.add("Mul", each, bins), start))
        edges.append(step.reshape(edge, (step.output_shape[0], op.group, 1)))
    pixel = step.constant(np.arange(size), "pixel")
    before = step.add("Less", pixel, edges[0])
    inside = step.add("And", step.add("Not", before), step.add("Less", pixel, edges[1]))
    return step.add("Cast", inside, to=TensorProto.FLOAT)


def _rounded(step: Step, x: str) -> str:
    """To the nearest, halves away from zero; in float64, where adding a half is exact."""
    exact = step.add("Cast", x, to=TensorProto.DOUBLE)
    half = step.add("Cast", step.constant(0.5, "half"), to=TensorProto.DOUBLE)
    size = step.add("Floor", step.add("Add", step.add("Abs", exact), half))
    return step.add("Cast", step.add("Mul", step.add("Sign", exact), size), to=TensorProto.FLOAT)


def _total(step: Step, mask: str, shape: tuple[int, ...]) -> str:
    return step.reshape(versions.reduce(step, "ReduceSum", mask, [2]), shape)
