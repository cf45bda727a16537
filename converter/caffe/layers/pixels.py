"""Forks' layers that rearrange images: channels become pixels, pixels channels, borders grow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from demitasse.converter.caffe.layers.shape import cut
from demitasse.converter.caffe.lower import Context
from demitasse.converter.caffe.registry import caffe_layer
from demitasse.converter.ops import (
    Concat,
    Conv2d,
    Expand,
    Flatten,
    Identity,
    Operator,
    Permute,
    Power,
    Reshape,
    Reverse,
)
from demitasse.errors import ParseError, ShapeError, UnsupportedError

PAD_TYPES = {"CONSTANT": 0, "REPLICATE": 1, "REFLECT": 2}


@caffe_layer("ShuffleChannel", "ChannelShuffle")
def shuffle_channel(context: Context) -> None:
    """The channels of all groups in turn."""
    context.expect()
    name = "shuffle_channel_param"
    if context.layer.param("channel_shuffle_param") is not None:
        name = "channel_shuffle_param"
    group, rank = context.params(name).integer("group", 1), len(context.shape)
    if rank < 2 or group < 1 or context.shape[1] % group:
        raise ShapeError(f"group {group} does not divide the channels of shape {context.shape}")
    order = Permute((0, 2, 1, *range(3, rank + 1)))
    context.chain(Reshape((group, -1), axis=1, num_axes=1), order, Flatten(1, 2))


@caffe_layer("Reorg")
def reorg(context: Context) -> None:
    """Darknet's, whose order of channels is that of no other layer.

    The bottom's values in their order in memory are taken for an image of stride^2 fewer channels,
    as many times as large; its pixels become channels, first those of one place in each square of
    pixels, then those of the next. `reverse` makes such squares of channels.
    """
    context.expect()
    context.refuse_in_place()
    params = context.params("reorg_param")
    if "stride" not in params:
        raise ParseError("has no stride")
    stride, reverse = params.integer("stride"), params.boolean("reverse", False)
    square = stride * stride
    _, channels, height, width = _image(context)
    if stride < 1 or channels % square or (not reverse and (height % stride or width % stride)):
        raise ShapeError(f"stride {stride} does not divide shape {context.shape}")
    if reverse:
        apart = Reshape((stride, stride, -1), axis=1, num_axes=1)
        context.chain(apart, Permute((0, 3, 4, 1, 5, 2)), Flatten(2, 3), Flatten(3, 4))
        return
    apart = Reshape((0, channels // square, 0, stride, -1, stride))
    lower, narrower = (0, channels * stride, -1, 0), (0, channels * square, 0, -1)
    order = Permute((0, 3, 5, 1, 2, 4))
    context.chain(apart, order, Flatten(1, 3), Reshape(lower), Reshape(narrower))


@caffe_layer("PixelShuffle")
def pixel_shuffle(context: Context) -> None:
    """Each square of pixels from as many adjacent channels."""
    context.expect()
    factor = context.params("pixelshuffle_param").integer("upscale_factor")
    if factor < 1 or _image(context)[1] % (factor * factor):
        raise ShapeError(f"upscale_factor {factor} does not fit shape {context.shape}")
    apart = Reshape((-1, factor, factor), axis=1, num_axes=1)
    context.chain(apart, Permute((0, 1, 4, 2, 5, 3)), Flatten(2, 3), Flatten(3, 4))


@caffe_layer("Focus")
def focus(context: Context) -> None:
    """YOLOv5's: the four pixels of a square, column by column, as channels."""
    context.expect()
    _, _, height, width = _image(context)
    if height % 2 or width % 2:
        raise ShapeError(f"Focus needs an even size, found shape {context.shape}")
    apart = Reshape((-1, 2), axis=2, num_axes=1), Reshape((-1, 2), axis=4, num_axes=1)
    context.chain(*apart, Permute((0, 5, 3, 1, 2, 4)), Flatten(1, 2), Flatten(1, 2))


@caffe_layer("Pad")
def pad(context: Context) -> None:
    """Rows and columns around the last two axes; fewer of them where the numbers are negative."""
    context.expect()
    context.refuse_in_place()
    params = context.params("pad_param")
    kind = params.symbol("pad_type", PAD_TYPES, "CONSTANT")
    up, down, left, right = (params.integer(f"pad_{side}") for side in "udlr")
    value = params.real("pad_value", 0.0)
    rank = len(context.shape)
    if not 2 <= rank <= 4:
        raise ShapeError(f"expected 2 to 4 axes, found shape {context.shape}")
    signs = [size < 0 for size in (up, down, left, right) if size]
    if any(signs) and not all(signs):
        raise UnsupportedError("padding on some sides and cropping on others is not supported")
    if kind != "CONSTANT" or any(signs):
        x = context.bottoms[0]
        for axis, first, last in ((rank - 1, left, right), (rank - 2, up, down)):
            x = _border(context, x, axis, (first, last), kind)
        context.emit(Identity(), inputs=[x])
        return
    missing = 4 - rank
    image = [Reshape((1,) * missing, axis=0, num_axes=0)] if missing else []
    back = [Reshape((), axis=0, num_axes=missing)] if missing else []
    x = context.bottoms[0]
    before: list[Operator] = [*image, *([Power(shift=-value)] if value else [])]
    after: list[Operator] = [*([Power(shift=value)] if value else []), *back]
    for op in before:
        x = context.between(op, x)
    channels = context.shape_of(x)[1]
    op = Conv2d(channels, (1, 1), pads=(up, left, down, right), groups=channels)
    ones = {"weight": np.ones((channels, 1, 1, 1), np.float32)}
    if after:
        context.chain(*after, source=context.between(op, x, **ones))
    else:
        context.emit(op, ones)


def _border(context: Context, x: str, axis: int, sizes: tuple[int, int], kind: str) -> str:
    """x with what its pad type puts before and behind along one axis."""
    first, last = sizes
    length = context.shape_of(x)[axis]
    if min(sizes) < 0:
        return cut(context, x, axis, -first, length + last)
    if not any(sizes):
        return x
    ends = {"first": (0, 1, first), "last": (length - 1, length, last)}
    if kind == "REFLECT":
        if max(sizes) >= length:
            raise ShapeError(f"{max(sizes)} pixels cannot be mirrored from an axis of {length}")
        ends = {"first": (1, 1 + first, first), "last": (length - 1 - last, length - 1, last)}
    made = {}
    for name, (begin, end, count) in ends.items():
        if count:
            part = cut(context, x, axis, begin, end)
            repeat = Expand((*(0,) * axis, count, *(0,) * (len(context.shape) - axis - 1)))
            made[name] = context.between(Reverse(axis) if kind == "REFLECT" else repeat, part)
    parts = [made.get("first"), x, made.get("last")]
    return context.between(Concat(axis), *(part for part in parts if part is not None))


def _image(context: Context) -> Sequence[int]:
    if len(context.shape) != 4:
        raise ShapeError(f"expected a 4-D bottom, found shape {context.shape}")
    return context.shape
