"""Convolution, Deconvolution, InnerProduct."""

from __future__ import annotations

from demitasse.converter.caffe.lower import Blob, Context
from demitasse.converter.caffe.params import Params
from demitasse.converter.caffe.registry import caffe_layer
from demitasse.converter.ops import Conv2d, Deconv2d, InnerProduct
from demitasse.converter.ops.base import canonical_axis, count
from demitasse.errors import ParseError, ShapeError, UnsupportedError

Pair = tuple[int, int]
MANY = range(1, 1 << 20)


@caffe_layer("Convolution", weighted=True)
def convolution(context: Context) -> None:
    params = context.params("convolution_param")
    _convolution(context, params, params.integer("group", 1))


@caffe_layer(
    "ConvolutionDepthwise", "DepthwiseConvolution", "DepthwiseConv", "ConvDW", weighted=True
)
def depthwise(context: Context) -> None:
    """Forks' depthwise layers: one group for each input channel, whatever `group` says."""
    params = context.params("convolution_param")
    params.ignore("group")
    _convolution(context, params, _channels(context))


@caffe_layer("Deconvolution", weighted=True)
def deconvolution(context: Context) -> None:
    params = context.params("convolution_param")
    _convolution(context, params, params.integer("group", 1), transposed=True)


def _convolution(context: Context, params: Params, groups: int, transposed: bool = False) -> None:
    """One node for each pair of bottom and top; they share the weights."""
    context.expect(bottoms=MANY, tops=MANY)
    if len(context.bottoms) != len(context.tops):
        raise ParseError(
            f"{len(context.bottoms)} bottoms need as many tops, found {len(context.tops)}"
        )
    if any(shape != context.shape for shape in context.shapes):
        raise ShapeError(f"all bottoms must have one shape, found {context.shapes}")
    channels = params.integer("num_output")
    inputs = _channels(context)
    kernel = _kernel(params)
    _check_channels(inputs, channels, groups)
    pad = _pair(params, "pad", "pad_h", "pad_w", 0)
    op = (Deconv2d if transposed else Conv2d)(
        channels=channels,
        kernel=kernel,
        stride=_pair(params, "stride", "stride_h", "stride_w", 1),
        pads=(*pad, *pad),
        dilation=_spatial("dilation", params.integers("dilation"), 1),
        groups=groups,
    )
    if min(*op.stride, *op.dilation) < 1 or min(pad) < 0:
        raise ParseError(
            f"stride {op.stride}, dilation {op.dilation} must be positive, pad {pad} not negative"
        )
    if params.integer("axis", 1) != 1:
        raise UnsupportedError("a convolution along an axis other than 1 is not supported")
    params.ignore("engine", "force_nd_im2col")
    outer, inner = (inputs, channels) if transposed else (channels, inputs)
    expected = {"weight": Blob((outer, inner // groups, *kernel), params.filler("weight_filler"))}
    bias_filler = params.filler("bias_filler")
    if params.boolean("bias_term", True):
        expected["bias"] = Blob((channels,), bias_filler)
    weights = context.weights(**expected)
    for bottom, top in zip(context.bottoms, context.tops, strict=True):
        context.emit(op, weights, inputs=[bottom], outputs=[top])


def _channels(context: Context) -> int:
    context.expect(bottoms=MANY, tops=MANY)
    if len(context.shape) != 4:
        raise ShapeError(f"expected a 4-D bottom, found shape {context.shape}")
    return context.shape[1]


def _check_channels(inputs: int, channels: int, groups: int) -> None:
    if channels < 1 or groups < 1:
        raise ParseError(f"num_output {channels} and group {groups} must be positive")
    if inputs % groups or channels % groups:
        raise ShapeError(
            f"{inputs} input channels and num_output {channels} must be multiples of group {groups}"
        )


def _kernel(params: Params) -> Pair:
    """kernel_size (one value, or height and width) or kernel_h and kernel_w, never both."""
    sizes = params.integers("kernel_size")
    height, width = params.integer("kernel_h"), params.integer("kernel_w")
    if sizes and (height or width):
        raise ParseError("has both kernel_size and kernel_h/kernel_w", remedy="give only one")
    if not sizes and not (height and width):
        raise ParseError("has no kernel_size", remedy="give kernel_size, or kernel_h and kernel_w")
    kernel = _spatial("kernel_size", sizes, 0) if sizes else (height, width)
    if min(kernel) < 1:
        raise ParseError(f"kernel {kernel} must be positive")
    return kernel


def _pair(params: Params, both: str, vertical: str, horizontal: str, default: int) -> Pair:
    """A size given for both axes at once or as *_h and *_w, never both."""
    values = params.integers(both)
    if vertical in params or horizontal in params:
        if values:
            raise ParseError(f"has both {both} and {vertical}/{horizontal}", remedy="give only one")
        if default and not (vertical in params and horizontal in params):
            raise ParseError(f"has only one of {vertical} and {horizontal}", remedy="give both")
        return params.integer(vertical, default), params.integer(horizontal, default)
    return _spatial(both, values, default)


def _spatial(name: str, values: tuple[int, ...], default: int) -> Pair:
    if not values:
        return default, default
    if len(values) > 2:
        raise ParseError(f"{name} has {len(values)} values for 2 spatial axes")
    return values[0], values[-1]


@caffe_layer("InnerProduct", weighted=True)
def inner_product(context: Context) -> None:
    context.expect()
    params = context.params("inner_product_param")
    channels = params.integer("num_output")
    if channels < 1:
        raise ParseError(f"num_output {channels} must be positive")
    axis = canonical_axis(params.integer("axis", 1), len(context.shape))
    size = count(context.shape[axis:])
    transpose = params.boolean("transpose", False)
    params.ignore("engine")
    shape = (size, channels) if transpose else (channels, size)
    expected = {"weight": Blob(shape, params.filler("weight_filler"))}
    bias_filler = params.filler("bias_filler")
    if params.boolean("bias_term", True):
        expected["bias"] = Blob((channels,), bias_filler)
    weights = context.weights(**expected)
    if weights and transpose:
        weights["weight"] = weights["weight"].T
    context.emit(InnerProduct(channels, axis), weights)
