"""Convolutions over any axes, made of those over images (N, C, H, W).

What stands before `axis` are samples, what stands behind it is space. One axis of space is an image
of one row; of three, each depth of the output is a convolution over the depths that its window
covers, joined as channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from demitasse.converter.caffe.lower import Context
from demitasse.converter.caffe.params import Params
from demitasse.converter.graph import Shape
from demitasse.converter.ops import Concat, Conv2d, Deconv2d, Flatten, Operator, Reshape, Slice
from demitasse.errors import ParseError, ShapeError, UnsupportedError

Sizes = tuple[int, ...]
Weights = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Window:
    """A value for each axis of space."""

    kernel: Sizes
    stride: Sizes
    pad: Sizes
    dilation: Sizes


@dataclass(frozen=True)
class Convolution:
    """A layer of any rank: `axis` is that of the channels."""

    axis: int
    channels: int
    window: Window
    groups: int = 1
    transposed: bool = False

    def image(self, window: Window, size: Sequence[int]) -> Conv2d | Deconv2d:
        """The operator on images of this height and width, the window having two axes.

        Caffe's division rounds towards 0: a window that is larger than the padded input by less
        than its stride still has one place there, and hangs over the end.
        """
        (kh, kw), (sh, sw), (ph, pw), (dh, dw) = (
            getattr(window, name) for name in ("kernel", "stride", "pad", "dilation")
        )
        if self.transposed:
            pads = (ph, pw, ph, pw)
            return Deconv2d(self.channels, (kh, kw), (sh, sw), pads, (dh, dw), self.groups)
        over = [
            excess if 0 < excess < stride else 0
            for stride, excess in (
                (sh, dh * (kh - 1) + 1 - 2 * ph - size[0]),
                (sw, dw * (kw - 1) + 1 - 2 * pw - size[1]),
            )
        ]
        pads = (ph, pw, ph + over[0], pw + over[1])
        return Conv2d(self.channels, (kh, kw), (sh, sw), pads, (dh, dw), self.groups)


def read_window(params: Params, axes: int) -> Window:
    """Kernel, stride, pad and dilation of a convolution over this many axes of space."""
    if axes > 3:
        raise UnsupportedError(f"windows over {axes} axes are not supported", remedy="at most 3")
    kernel = _sizes(params, "kernel_size", "kernel", axes)
    if kernel is None:
        raise ParseError("has no kernel_size", remedy="give kernel_size, or kernel_h and kernel_w")
    stride = _sizes(params, "stride", "stride", axes) or (1,) * axes
    pad = _sizes(params, "pad", "pad", axes) or (0,) * axes
    hole = "hole" if any(name in params for name in ("hole", "hole_h")) else "dilation"
    dilation = _sizes(params, hole, hole, axes) or (1,) * axes
    if axes and min(kernel) < 1:
        raise ParseError(f"kernel {kernel} must be positive")
    if axes and (min(*stride, *dilation) < 1 or min(pad) < 0):
        raise ParseError(
            f"stride {stride}, dilation {dilation} must be positive, pad {pad} not negative"
        )
    return Window(kernel, stride, pad, dilation)


def _sizes(params: Params, both: str, prefix: str, axes: int) -> Sizes | None:
    """One value for all axes or one for each, or *_h and *_w for two axes, never both."""
    vertical, horizontal = f"{prefix}_h", f"{prefix}_w"
    values = params.integers(both)
    if vertical in params or horizontal in params:
        if values:
            raise ParseError(f"has both {both} and {vertical}/{horizontal}", remedy="give only one")
        if axes != 2:
            raise ParseError(f"{vertical} and {horizontal} need 2 spatial axes, found {axes}")
        if prefix == "stride" and not (vertical in params and horizontal in params):
            raise ParseError(f"has only one of {vertical} and {horizontal}", remedy="give both")
        default = {"kernel": 0, "pad": 0}.get(prefix, 1)
        return params.integer(vertical, default), params.integer(horizontal, default)
    if len(values) not in (0, 1, axes):
        raise ParseError(f"{both} has {len(values)} values for {axes} spatial axes")
    if not values:
        return () if axes == 0 else None
    return values * axes if len(values) == 1 else values


def convolve(context: Context, conv: Convolution, weights: Weights, bottom: str, top: str) -> None:
    """Add the nodes from one bottom to one top."""
    before, after = _samples(context.shape_of(bottom)[: conv.axis])
    if len(conv.window.kernel) == 3:
        planes = _volume(context, conv, weights, _through(context, before, bottom))
        _finish(context, Concat(2), planes, {}, after, top)
        return
    missing = 2 - len(conv.window.kernel)
    if missing:
        before = [*before, Reshape((1,) * missing, axis=2, num_axes=0)]
        after = [Reshape((), axis=2, num_axes=missing), *after]
    one, none = (1,) * missing, (0,) * missing
    w = conv.window
    image = Window(one + w.kernel, one + w.stride, none + w.pad, one + w.dilation)
    arrays = dict(weights)
    if arrays:
        outer, inner = arrays["weight"].shape[:2]
        arrays["weight"] = arrays["weight"].reshape(outer, inner, *image.kernel)
    x = _through(context, before, bottom)
    op = conv.image(image, context.shape_of(x)[2:])
    _finish(context, op, [x], arrays, after, top)


def _samples(leading: Shape) -> tuple[list[Operator], list[Operator]]:
    """From these axes to one of samples, and back."""
    if len(leading) == 1:
        return [], []
    if not leading:
        return [Reshape((1,), axis=0, num_axes=0)], [Reshape((), axis=0, num_axes=1)]
    return [Flatten(0, len(leading) - 1)], [Reshape((-1, *leading[1:]), axis=0, num_axes=1)]


def _through(context: Context, ops: Sequence[Operator], x: str) -> str:
    for op in ops:
        x = context.between(op, x)
    return x


def _finish(
    context: Context,
    op: Operator,
    inputs: Sequence[str],
    weights: Weights,
    after: Sequence[Operator],
    top: str,
) -> None:
    """The operator, and behind it those that make the top of its result."""
    if after:
        context.chain(*after, source=context.between(op, *inputs, **weights), top=top)
    else:
        context.emit(op, weights, inputs=inputs, outputs=[top])


def _volume(context: Context, conv: Convolution, weights: Weights, x: str) -> list[str]:
    """The planes (N, C, 1, H, W) of the output, from x (N, C, D, H, W)."""
    depth, *size = context.shape_of(x)[2:]
    slices = [context.internal("depth") for _ in range(depth)]
    context.emit(Slice(depth, 2), inputs=[x], outputs=slices)
    w = conv.window
    image = conv.image(Window(w.kernel[1:], w.stride[1:], w.pad[1:], w.dilation[1:]), size)
    planes = []
    for taps in _taps(conv, depth):
        rows: list[int | None] = [k for k, _ in taps] or [None]  # without taps the bias is left
        parts = [slices[d] for _, d in taps] or slices[:1]
        joined = context.between(Concat(2), *parts) if len(parts) > 1 else parts[0]
        plane = context.between(Flatten(1, 2), joined)
        plane = context.between(image, plane, **_part(conv, weights, rows))
        planes.append(context.between(Reshape((1,), axis=2, num_axes=0), plane))
    return planes


def _taps(conv: Convolution, depth: int) -> list[list[tuple[int, int]]]:
    """For each depth of the output the rows of the kernel that meet the input, and where."""
    w = conv.window
    kernel, stride, pad, dilation = w.kernel[0], w.stride[0], w.pad[0], w.dilation[0]
    reach = dilation * (kernel - 1) + 1
    if conv.transposed:
        size = stride * (depth - 1) + reach - 2 * pad
        pairs = [(k, d) for d in range(depth) for k in range(kernel)]
        found = [
            [(k, d) for k, d in pairs if d * stride + k * dilation - pad == z] for z in range(size)
        ]
    else:
        size = int((depth + 2 * pad - reach) / stride) + 1  # rounded towards 0, as in `image`
        places = [
            [(k, z * stride - pad + k * dilation) for k in range(kernel)] for z in range(size)
        ]
        found = [[(k, d) for k, d in row if 0 <= d < depth] for row in places]
    if size < 1:
        raise ShapeError(f"a window over {reach} does not fit an axis of {depth}")
    return found


def _part(conv: Convolution, weights: Weights, rows: Sequence[int | None]) -> Weights:
    """The weights of these rows of the kernel, their input channels joined."""
    if not weights:
        return {}
    all_rows = weights["weight"]
    picked = [np.zeros_like(all_rows[:, :, 0]) if k is None else all_rows[:, :, k] for k in rows]
    outer, inner, height, width = picked[0].shape
    if conv.transposed:
        joined = np.stack(picked, 1).reshape(outer * len(rows), inner, height, width)
    else:
        joined = np.stack(picked, 2).reshape(outer, inner * len(rows), height, width)
    return {**weights, "weight": joined}
