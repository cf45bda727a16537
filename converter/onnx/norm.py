"""Batch normalisation, per-axis scale and bias, local response normalisation, softmax."""

from __future__ import annotations

from math import prod

import numpy as np

from demitasse.converter.graph import Shape
from demitasse.converter.onnx import versions
from demitasse.converter.onnx.pool import pool2d
from demitasse.converter.onnx.step import Step
from demitasse.converter.ops import BatchNorm, Bias, Lrn, Mvn, Normalize, Pool2d, Scale, Softmax
from demitasse.converter.ops.base import canonical_axis


def batch_norm(step: Step, op: BatchNorm) -> str:
    mean, variance = step.weight("mean"), step.weight("variance")
    channels = step.weights["mean"].size
    x = step.inputs[0]
    if len(step.shape) < 2:  # ONNX wants a channel axis
        x = step.reshape(x, (1, 1, *step.shape))
    one = step.constant(np.ones(channels), "scale")
    zero = step.constant(np.zeros(channels), "bias")
    y = step.add("BatchNormalization", x, one, zero, mean, variance, epsilon=op.eps)
    return y if len(step.shape) > 1 else step.reshape(y, step.shape)


def scale(step: Step, op: Scale) -> str:
    y = step.add("Mul", step.inputs[0], _parameter(step, "scale", op.axis))
    if "bias" in step.weights:
        y = step.add("Add", y, _spread(step, "bias", op.axis))
    return y


def bias(step: Step, op: Bias) -> str:
    return step.add("Add", step.inputs[0], _parameter(step, "bias", op.axis))


def _parameter(step: Step, key: str, axis: int) -> str:
    """The second input or a weight, so that it broadcasts from `axis` on."""
    if len(step.inputs) == 1:
        return _spread(step, key, axis)
    shape = _spread_shape(step.shapes[1], len(step.shape), axis)
    same = shape == step.shapes[1]
    return step.inputs[1] if same else step.reshape(step.inputs[1], shape)


def _spread(step: Step, key: str, axis: int) -> str:
    value = step.weights[key]
    return step.constant(value.reshape(_spread_shape(value.shape, len(step.shape), axis)), key)


def _spread_shape(shape: Shape, rank: int, axis: int) -> Shape:
    return (*shape, *(1,) * (rank - axis % rank - len(shape))) if shape else shape


def lrn(step: Step, op: Lrn) -> str:
    """ONNX's LRN is across channels; onnxruntime's takes positive alpha and beta only."""
    x, half = step.inputs[0], op.size // 2
    if op.region == "across" and min(op.alpha, op.beta) > 0:
        return step.add("LRN", x, size=op.size, alpha=op.alpha, beta=op.beta, bias=op.k)
    square = step.add("Mul", x, x)
    if op.region == "across":
        samples, channels, *rest = step.shape
        square = step.reshape(square, (samples, 1, channels, prod(rest)))
        average = step.add(
            "AveragePool",
            square,
            kernel_shape=(op.size, 1),
            pads=(half, 0, half, 0),
            count_include_pad=1,
        )
        base = step.scaled(step.reshape(average, step.shape), op.alpha, op.k)
    else:
        window = Pool2d("average", (op.size, op.size), (1, 1), (half, half))
        base = step.scaled(pool2d(step, window, square), op.alpha, 1.0)
    return step.add("Div", x, step.add("Pow", base, step.constant(op.beta, "beta")))


def mvn(step: Step, op: Mvn) -> str:
    axes = op.axes()
    x = step.inputs[0]
    y = step.add("Sub", x, versions.reduce(step, "ReduceMean", x, axes))
    if not op.variance:
        return y
    variance = versions.reduce(step, "ReduceMean", step.add("Mul", y, y), axes)
    return step.add("Div", y, step.scaled(step.add("Sqrt", variance), 1, op.eps))


def normalize(step: Step, op: Normalize) -> str:
    x = step.inputs[0]
    total = versions.reduce(step, "ReduceSum", step.add("Mul", x, x), op.axes(len(step.shape)))
    y = step.add("Div", x, step.add("Sqrt", step.scaled(total, 1, op.eps)))
    scale = step.weights["scale"].reshape(-1, *(1,) * (len(step.shape) - 2))
    return step.add("Mul", y, step.constant(scale, "scale"))


def softmax(step: Step, op: Softmax) -> str:
    axis = canonical_axis(op.axis, len(step.shape))
    return versions.softmax(step, step.inputs[0], step.shape, axis)
