"""Convolution, deconvolution and inner product."""

from __future__ import annotations

from demitasse.converter.onnx.activation import activated
from demitasse.converter.onnx.step import Step
from demitasse.converter.ops import Conv2d, Deconv2d, InnerProduct
from demitasse.converter.ops.base import canonical_axis


def conv2d(step: Step, op: Conv2d) -> str:
    return _windowed(step, op, "Conv")


def deconv2d(step: Step, op: Deconv2d) -> str:
    return _windowed(step, op, "ConvTranspose")


def _windowed(step: Step, op: Conv2d | Deconv2d, kind: str) -> str:
    """Weights, pads and groups stand in ONNX as they do here."""
    y = step.add(
        kind,
        step.inputs[0],
        *_parameters(step),
        kernel_shape=op.kernel,
        strides=op.stride,
        pads=op.pads,
        dilations=op.dilation,
        group=op.groups,
    )
    return activated(step, y, op.activation, 4)


def inner_product(step: Step, op: InnerProduct) -> str:
    axis = canonical_axis(op.axis, len(step.shape))
    rows = step.inputs[0]
    if (axis, len(step.shape)) != (1, 2):
        rows = step.add("Flatten", rows, axis=axis)
    y = step.add("Gemm", rows, *_parameters(step), transB=1)
    if axis != 1:
        y = step.reshape(y, step.output_shape)
    return activated(step, y, op.activation, len(step.output_shape))


def _parameters(step: Step) -> list[str]:
    return [step.weight(key) for key in ("weight", "bias") if key in step.weights]
