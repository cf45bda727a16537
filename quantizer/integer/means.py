"""Biases that keep the means of a layer's channels.

A weight is rounded once, for all inputs: behind ReLU, where inputs have a mean, the errors of an
output channel's weights add up to a shift of the channel. The means of what a layer reads are
known from calibration, so its bias takes the shift away, without an image: Nagel et al.,
"Data-free quantization through weight equalization and bias correction" (2019).
"""

from __future__ import annotations

import numpy as np

from demitasse.converter.graph import Shape
from demitasse.converter.ops import Conv2d, Deconv2d, InnerProduct


def lost_means(
    op: Conv2d | Deconv2d | InnerProduct, lost: np.ndarray, means: np.ndarray, x: Shape, y: Shape
) -> np.ndarray:
    """What the mean of each output channel loses, (O,).

    lost: what each weight does, (O, K). means: of the channels of the input, (C,). x, y: shapes of
    input and output.
    """
    inputs = _mean_inputs(op, means, x, y)
    grouped = lost.reshape(len(inputs), -1, lost.shape[1])
    return np.asarray(np.einsum("gok,gk->go", grouped, inputs).ravel())


def _mean_inputs(
    op: Conv2d | Deconv2d | InnerProduct, means: np.ndarray, x: Shape, y: Shape
) -> np.ndarray:
    """(G, K): the means of what a row of weights is multiplied with, over all positions."""
    if isinstance(op, InnerProduct):
        return np.repeat(means, int(np.prod(x[2:])))[None]
    size, result = x[2:] or (1, 1), y[2:] or (1, 1)
    inner, outer = (size, result) if isinstance(op, Deconv2d) else (result, size)
    rows, columns = (_inside(op, axis, inner[axis], outer[axis]) / result[axis] for axis in (0, 1))
    grouped = means.reshape(op.groups, -1, 1, 1) * rows[:, None] * columns
    return np.asarray(grouped.reshape(op.groups, -1))


def _inside(op: Conv2d | Deconv2d, axis: int, steps: int, length: int) -> np.ndarray:
    """For each tap along an axis of the image, how many of its `steps` positions fall into
    0 .. length - 1, not into the padding."""
    taps = np.arange(op.kernel[axis])[:, None] * op.dilation[axis] - op.pads[axis]
    position = taps + np.arange(steps) * op.stride[axis]
    return np.asarray(((position >= 0) & (position < length)).sum(1))
