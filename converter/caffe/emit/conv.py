"""Convolution, deconvolution and inner product."""

from __future__ import annotations

from demitasse.converter.caffe.emit.activation import activated
from demitasse.converter.caffe.emit.step import Step
from demitasse.converter.caffe.emit.text import Value
from demitasse.converter.ops import Conv2d, Deconv2d, InnerProduct
from demitasse.errors import UnsupportedError

Pair = tuple[int, int]


def conv2d(step: Step, op: Conv2d) -> None:
    _windowed(step, op, "Convolution")


def deconv2d(step: Step, op: Deconv2d) -> None:
    _windowed(step, op, "Deconvolution")


def _hangs_over(step: Step, op: Conv2d | Deconv2d) -> bool:
    """Whether more padding at the end is only what a window that is too large hangs over there:
    Caffe has one place for it all the same."""
    axes = zip(step.shape[2:], op.kernel, op.stride, op.dilation, strict=True)
    for axis, (size, kernel, stride, dilation) in enumerate(axes):
        before, after = op.pads[axis], op.pads[axis + 2]
        excess = dilation * (kernel - 1) + 1 - 2 * before - size
        if after != before and (after - before != excess or excess >= stride):
            return False
    return isinstance(op, Conv2d)


def _windowed(step: Step, op: Conv2d | Deconv2d, kind: str) -> None:
    if op.pads[:2] != op.pads[2:] and not _hangs_over(step, op):
        raise UnsupportedError(f"pads {op.pads} differ on two sides, which Caffe does not know")
    fields: dict[str, Value] = {"num_output": op.channels}
    if "bias" not in step.weights:
        fields["bias_term"] = False
    fields |= pair("pad", op.pads[:2], 0)
    fields |= pair("kernel_size", op.kernel, None, "kernel")
    fields |= pair("stride", op.stride, 1)
    if op.dilation != (1, 1):
        same = op.dilation[0] == op.dilation[1]
        fields["dilation"] = op.dilation[0] if same else op.dilation
    if op.groups != 1:
        fields["group"] = op.groups
    step.layer(kind, "convolution_param", fields, step.stored("weight", "bias"))
    activated(step, op.activation)


def inner_product(step: Step, op: InnerProduct) -> None:
    fields: dict[str, Value] = {"num_output": op.channels}
    if "bias" not in step.weights:
        fields["bias_term"] = False
    if op.axis != 1:
        fields["axis"] = op.axis
    step.layer("InnerProduct", "inner_product_param", fields, step.stored("weight", "bias"))
    activated(step, op.activation)


def pair(both: str, values: Pair, default: int | None, stem: str = "") -> dict[str, Value]:
    """One field where height and width agree, none for the default, else *_h and *_w."""
    if values == (default, default):
        return {}
    if values[0] == values[1]:
        return {both: values[0]}
    return {f"{stem or both}_h": values[0], f"{stem or both}_w": values[1]}
