"""Convolution, deconvolution and inner product."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from demitasse.converter.graph import Arrays, Shape
from demitasse.converter.ops.activation import Activation, PRelu, activate
from demitasse.converter.ops.base import Operator, canonical_axis, count, require

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Windowed(Operator):
    """What convolution and deconvolution both have. pads: top, left, bottom, right, zeros."""

    channels: int
    kernel: Pair
    stride: Pair = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    activation: Activation | None = None

    def required_weights(self, inputs: int) -> tuple[str, ...]:
        return ("weight", "slope") if isinstance(self.activation, PRelu) else ("weight",)

    def _axes(self, h: int, w: int) -> Iterator[tuple[int, int, int, int, int, int]]:
        """Size, kernel, stride, dilation, pad before and pad after of each spatial axis."""
        before, after = self.pads[:2], self.pads[2:]
        return zip((h, w), self.kernel, self.stride, self.dilation, before, after, strict=True)


@dataclass(frozen=True, slots=True)
class Conv2d(_Windowed):
    """2-D convolution (cross-correlation). Inputs: x (N, C, H, W).

    Weights: weight (O, C/groups, kh, kw), bias (O,) optional, slope where PReLU is fused.
    The output size rounds down.
    """

    def infer_shapes(self, inputs: Sequence[Shape], weights: Arrays) -> tuple[Shape, ...]:
        require(len(inputs[0]) == 4, f"convolution needs a 4-D input, found shape {inputs[0]}")
        n, c, h, w = inputs[0]
        _check_weight(
            weights, (self.channels, c // max(self.groups, 1), *self.kernel), self.channels
        )
        _check_groups(c, self.channels, self.groups)
        spatial = []
        for size, k, s, d, before, after in self._axes(h, w):
            free = size + before + after - (d * (k - 1) + 1)
            require(
                free >= 0,
                f"the kernel ({k}, dilation {d}) is larger than the padded input ({size})",
            )
            spatial.append(free // s + 1)
        return ((n, self.channels, *spatial),)

    def macs(self, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
        return count(outputs[0]) * inputs[0][1] // self.groups * self.kernel[0] * self.kernel[1]

    def reference(self, inputs: Sequence[np.ndarray], weights: Arrays) -> tuple[np.ndarray, ...]:
        x, weight = inputs[0], weights["weight"]
        (n, _, oh, ow), *_ = self.infer_shapes([x.shape], weights)
        top, left, bottom, right = self.pads
        x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
        xg = x.reshape(n, self.groups, -1, *x.shape[2:])
        wg = weight.reshape(self.groups, -1, *weight.shape[1:])
        grouped = np.zeros((n, self.groups, wg.shape[1], oh, ow), np.float32)
        for i in range(self.kernel[0]):
            for j in range(self.kernel[1]):
                tap = _tap(xg, i, j, self.stride, self.dilation, (oh, ow))
                grouped += np.einsum("ngchw,goc->ngohw", tap, wg[..., i, j], optimize=True)
        y = grouped.reshape(n, self.channels, oh, ow)
        if "bias" in weights:
            y += weights["bias"].reshape(1, -1, 1, 1)
        return (activate(self.activation, y, weights),)


@dataclass(frozen=True, slots=True)
class Deconv2d(_Windowed):
    """Transposed convolution. Inputs: x (N, C, H, W).

    Weights: weight (C, O/groups, kh, kw), bias (O,) optional, slope where PReLU is fused.
    Output size: stride * (in - 1) + dilation * (k - 1) + 1 - pads.
    """

    def infer_shapes(self, inputs: Sequence[Shape], weights: Arrays) -> tuple[Shape, ...]:
        require(len(inputs[0]) == 4, f"deconvolution needs a 4-D input, found shape {inputs[0]}")
        n, c, h, w = inputs[0]
        _check_weight(
            weights, (c, self.channels // max(self.groups, 1), *self.kernel), self.channels
        )
        _check_groups(c, self.channels, self.groups)
        spatial = []
        for size, k, s, d, before, after in self._axes(h, w):
            out = s * (size - 1) + d * (k - 1) + 1 - before - after
            require(out > 0, f"deconvolution pads ({before}, {after}) leave no output")
            spatial.append(out)
        return ((n, self.channels, *spatial),)

    def macs(self, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
        return count(inputs[0]) * self.channels // self.groups * self.kernel[0] * self.kernel[1]

    def reference(self, inputs: Sequence[np.ndarray], weights: Arrays) -> tuple[np.ndarray, ...]:
        x, weight = inputs[0], weights["weight"]
        (n, _, oh, ow), *_ = self.infer_shapes([x.shape], weights)
        top, left, bottom, right = self.pads
        h, w = x.shape[2:]
        xg = x.reshape(n, self.groups, -1, h, w)
        wg = weight.reshape(self.groups, -1, *weight.shape[1:])
        full = np.zeros(
            (n, self.groups, wg.shape[2], oh + top + bottom, ow + left + right), np.float32
        )
        for i in range(self.kernel[0]):
            for j in range(self.kernel[1]):
                tap = _tap(full, i, j, self.stride, self.dilation, (h, w))
                tap += np.einsum("ngchw,gco->ngohw", xg, wg[..., i, j], optimize=True)
        y = full[..., top : top + oh, left : left + ow].reshape(n, self.channels, oh, ow)
        if "bias" in weights:
            y = y + weights["bias"].reshape(1, -1, 1, 1)
        return (activate(self.activation, y, weights),)


@dataclass(frozen=True, slots=True)
class InnerProduct(Operator):
    """Fully connected layer. Inputs: x, flattened from `axis` on to K values.

    Weights: weight (O, K) with K in Caffe's order, bias (O,) optional, slope where PReLU is
    fused (only with axis 1). Output: shape[:axis] + (O,).
    """

    channels: int
    axis: int = 1
    activation: Activation | None = None

    def required_weights(self, inputs: int) -> tuple[str, ...]:
        return ("weight", "slope") if isinstance(self.activation, PRelu) else ("weight",)

    def infer_shapes(self, inputs: Sequence[Shape], weights: Arrays) -> tuple[Shape, ...]:
        axis = canonical_axis(self.axis, len(inputs[0]))
        _check_weight(weights, (self.channels, count(inputs[0][axis:])), self.channels)
        return ((*inputs[0][:axis], self.channels),)

    def macs(self, inputs: Sequence[Shape], outputs: Sequence[Shape]) -> int:
        return count(inputs[0]) * self.channels

    def reference(self, inputs: Sequence[np.ndarray], weights: Arrays) -> tuple[np.ndarray, ...]:
        x = inputs[0]
        axis = canonical_axis(self.axis, x.ndim)
        y = x.reshape(count(x.shape[:axis]), -1) @ weights["weight"].T
        if "bias" in weights:
            y = y + weights["bias"].reshape(1, -1)
        y = y.reshape(*x.shape[:axis], self.channels).astype(np.float32)
        return (activate(self.activation, y, weights),)


def _tap(x: np.ndarray, i: int, j: int, stride: Pair, dilation: Pair, size: Pair) -> np.ndarray:
    """The view of x's last two axes that kernel tap (i, j) touches for `size` positions."""
    rows = slice(i * dilation[0], i * dilation[0] + (size[0] - 1) * stride[0] + 1, stride[0])
    columns = slice(j * dilation[1], j * dilation[1] + (size[1] - 1) * stride[1] + 1, stride[1])
    return x[..., rows, columns]


def _check_weight(weights: Arrays, expected: Shape, channels: int) -> None:
    if "weight" in weights:
        found = weights["weight"].shape
        require(found == expected, f"weights have shape {found}, expected {expected}")
    if "bias" in weights:
        found = weights["bias"].shape
        require(found == (channels,), f"bias has shape {found}, expected {(channels,)}")


def _check_groups(inputs: int, channels: int, groups: int) -> None:
    require(groups >= 1, f"group is {groups}, expected at least 1")
    require(
        inputs % groups == 0 and channels % groups == 0,
        f"{inputs} input and {channels} output channels are not multiples of group {groups}",
    )
