"""Convolution, Deconvolution, InnerProduct."""

from __future__ import annotations

import numpy as np

from demitasse.converter.caffe.layers.activation import fused_relu
from demitasse.converter.caffe.layers.windows import Convolution, convolve, read_window
from demitasse.converter.caffe.lower import Blob, Context
from demitasse.converter.caffe.params import Params
from demitasse.converter.caffe.registry import caffe_layer
from demitasse.converter.ops import InnerProduct
from demitasse.converter.ops.base import canonical_axis, count
from demitasse.errors import ParseError, ShapeError, UnsupportedError

MANY = range(1, 1 << 20)
FUSIONS = {"NONE_FUSION": 0, "SUM_FUSION": 1}


@caffe_layer("Convolution", "ConvolutionRistretto", weighted=True)
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
    _convolution(context, params, None)


@caffe_layer("Deconvolution", "DeconvolutionRistretto", weighted=True)
def deconvolution(context: Context) -> None:
    params = context.params("convolution_param")
    _convolution(context, params, params.integer("group", 1), transposed=True)


def _convolution(
    context: Context, params: Params, groups: int | None, transposed: bool = False
) -> None:
    """The same for each pair of bottom and top; they share the weights. No groups given: one for
    each channel."""
    context.expect(bottoms=MANY, tops=MANY)
    if len(context.bottoms) != len(context.tops):
        raise ParseError(
            f"{len(context.bottoms)} bottoms need as many tops, found {len(context.tops)}"
        )
    if any(shape != context.shape for shape in context.shapes):
        raise ShapeError(f"all bottoms must have one shape, found {context.shapes}")
    axis = canonical_axis(params.integer("axis", 1), len(context.shape))
    inputs, channels = context.shape[axis], params.integer("num_output")
    groups = inputs if groups is None else groups
    window = read_window(params, len(context.shape) - axis - 1)
    _check_channels(inputs, channels, groups)
    params.ignore("engine", "force_nd_im2col", "conv_algorithm", "conv_algos_override")
    params.ignore("cudnn_convolution_algo_seeker")
    outer, inner = (inputs, channels) if transposed else (channels, inputs)
    shape = (outer, inner // groups, *window.kernel)
    expected = {"weight": Blob(shape, params.filler("weight_filler"))}
    bias_filler = params.filler("bias_filler")
    if params.boolean("bias_term", True):
        expected["bias"] = Blob((channels,), bias_filler)
    weights = context.weights(**expected)
    conv = Convolution(axis, channels, window, groups, transposed)
    if params.symbol("fusion_type", FUSIONS, "NONE_FUSION") != "NONE_FUSION":
        raise UnsupportedError("a convolution that adds another bottom is not supported")
    relu = fused_relu(params)
    for bottom, top in zip(context.bottoms, context.tops, strict=True):
        result = context.internal("fused") if relu else top
        convolve(context, conv, weights, bottom, result)
        if relu:
            context.emit(relu, inputs=[result], outputs=[top])


def _check_channels(inputs: int, channels: int, groups: int) -> None:
    if channels < 1 or groups < 1:
        raise ParseError(f"num_output {channels} and group {groups} must be positive")
    if inputs % groups or channels % groups:
        raise ShapeError(
            f"{inputs} input channels and num_output {channels} must be multiples of group {groups}"
        )


@caffe_layer("InnerProduct", "FcRistretto", weighted=True)
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
    relu = fused_relu(params)
    result = context.internal("fused") if relu else context.tops[0]
    context.emit(InnerProduct(channels, axis), weights, outputs=[result])
    if relu:
        context.emit(relu, inputs=[result])


MAX_PICKS = 1 << 24  # values of the convolution that stands for an Im2col


@caffe_layer("Im2col")
def im2col(context: Context) -> None:
    """Each window's values as channels: a convolution that picks one value each."""
    context.expect()
    params = context.params("convolution_param")
    axis = canonical_axis(params.integer("axis", 1), len(context.shape))
    window = read_window(params, len(context.shape) - axis - 1)
    if not window.kernel:
        raise ShapeError(f"no axis behind axis {axis} of shape {context.shape} to move a window on")
    params.ignore("force_nd_im2col", "engine", "num_output", "group", "bias_term")
    params.ignore("weight_filler", "bias_filler")
    channels, size = context.shape[axis], count(window.kernel)
    if channels * size**2 > MAX_PICKS:
        raise UnsupportedError(f"a window of {window.kernel} over {channels} channels is too large")
    picks = np.eye(size, dtype=np.float32).reshape(size, 1, *window.kernel)
    weights = {"weight": np.tile(picks, (channels, *(1,) * (picks.ndim - 1)))}
    conv = Convolution(axis, channels * size, window, groups=channels)
    convolve(context, conv, weights, context.bottoms[0], context.tops[0])
