"""The inputs of a convolution's products, at some of its outputs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from demitasse.converter.ops import Conv2d, InnerProduct


def sample_patches(
    op: Conv2d | InnerProduct, images: Sequence[np.ndarray], most: int
) -> np.ndarray:
    """float64 (G, K, M): about `most` columns at most, the same evenly spread ones of each image.

    K is in the order of a row of Caffe's weights; outside of an image is 0.
    """
    return np.concatenate([_patches(op, x, max(most // len(images), 1)) for x in images], axis=2)


def _patches(op: Conv2d | InnerProduct, x: np.ndarray, most: int) -> np.ndarray:
    x = x.astype(np.float64)
    if isinstance(op, InnerProduct):
        return x.reshape(len(x), -1).T[None, :, :most]
    top, left, bottom, right = op.pads
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    n, c, h, w = x.shape
    height, width = (
        (length - d * (k - 1) - 1) // s + 1
        for length, k, s, d in zip((h, w), op.kernel, op.stride, op.dilation, strict=True)
    )
    image, row, column = np.unravel_index(_spread(n * height * width, most), (n, height, width))
    rows = row[:, None] * op.stride[0] + np.arange(op.kernel[0]) * op.dilation[0]
    columns = column[:, None] * op.stride[1] + np.arange(op.kernel[1]) * op.dilation[1]
    # (M, kh, kw, C), since the advanced indices stand around a slice
    found = x[image[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    found = found.reshape(len(image), *op.kernel, op.groups, c // op.groups)
    return found.transpose(3, 4, 1, 2, 0).reshape(op.groups, -1, len(image))


def _spread(count: int, most: int) -> np.ndarray:
    """At most so many of 0 .. count - 1."""
    if count <= most:
        return np.arange(count)
    return ((np.arange(most) + 0.5) * count / most).astype(np.int64)
