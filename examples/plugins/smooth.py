"""Read a made-up layer, `Smooth`, as an operator that exists: a blur of each channel.

    layer { name: "s" type: "Smooth" bottom: "x" top: "y" smooth_param { radius: 1 } }

The blur is a depthwise convolution with a binomial kernel, so that it runs wherever convolutions
run, in INT8 too, and needs nothing else. Use it with `--plugin examples/plugins/smooth.py`.
"""

from __future__ import annotations

import numpy as np

from demitasse.converter.caffe.lower import Context
from demitasse.converter.caffe.registry import caffe_layer
from demitasse.converter.ops import Conv2d
from demitasse.errors import ParseError, ShapeError


@caffe_layer("Smooth")
def smooth(context: Context) -> None:
    context.expect(bottoms=1, tops=1)
    radius = context.params("smooth_param").integer("radius", 1)
    if not 1 <= radius <= 4:
        raise ParseError(f"radius {radius} is outside 1 to 4")
    if len(context.shape) != 4:
        raise ShapeError(f"Smooth needs a 4-D bottom, found shape {context.shape}")
    channels, size = context.shape[1], 2 * radius + 1
    row = np.array([1.0])
    for _ in range(2 * radius):
        row = np.convolve(row, [0.5, 0.5])
    weight = np.broadcast_to(np.outer(row, row), (channels, 1, size, size)).astype(np.float32)
    conv = Conv2d(channels, (size, size), pads=(radius,) * 4, groups=channels)
    context.emit(conv, {"weight": weight})
