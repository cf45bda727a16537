"""Pooling in integers (FORMAT.md, opcodes 3 and 4)."""

from __future__ import annotations

import numpy as np

from demitasse.converter.ops import Pool2d
from demitasse.converter.ops.pool import spans
from demitasse.quantizer.integer.base import Built, Call, Site, clamp_weights, quantization
from demitasse.quantizer.requantize import multiplier, rq
from demitasse.quantizer.scheme import RANGES
from demitasse.quantizer.weights import largest_input


def build_pool(site: Site) -> Built | None:
    """One requantization per divisor; None where a window's sum could leave int32."""
    op = site.node.op
    assert isinstance(op, Pool2d)
    if op.kind == "max":
        return site.become(op, {})
    x, y = quantization(site.inputs[0]), quantization(site.output)
    largest = largest_input(x.zero_point, site.precision)
    rows = []
    for area in op.divisors(site.inputs[0].shape):
        if area <= 0:  # an empty window, whose sum is 0
            continue
        if area * largest >= 2**31:
            return None
        m = multiplier(x.scale / (y.scale * area), area * largest)
        rows.append((area, m.multiplier, m.left, m.right))
    return site.become(op, {"divisors": np.array(rows, np.int32), **clamp_weights(site.output)})


def run_pool(call: Call) -> np.ndarray:
    """Maximum or rescaled sum over the real pixels of each window."""
    op = call.op
    if op.kind == "max":
        lowest = RANGES[call.output.dtype][0]
        return windows(op, call.values[0], call.output.shape, lowest).max((-2, -1))
    total = windows(op, call.centred(), call.output.shape, 0).sum((-2, -1))
    table = {int(row[0]): row[1:] for row in call.weight("divisors")}
    areas = window_areas(op, call.values[0].shape, call.output.shape)
    empty = np.zeros(3, np.int64)
    rows = [[table.get(int(area), empty) for area in row] for row in areas]
    m, left, right = np.array(rows).transpose(2, 0, 1)
    return call.clamp(rq(total, m, left, right))


def windows(op: Pool2d, x: np.ndarray, output: tuple[int, ...], fill: float) -> np.ndarray:
    """Views (N, C, OH, OW, kh, kw) of every window, `fill` outside the image."""
    kernel, stride, pads = op.window(x.shape)
    margins = []
    for size, out, k, s, p in zip(x.shape[2:], output[2:], kernel, stride, pads, strict=True):
        margins.append((p, max((out - 1) * s + k - p - size, 0)))
    padded = np.pad(x, ((0, 0), (0, 0), *margins), constant_values=fill)
    views = np.lib.stride_tricks.sliding_window_view(padded, kernel, (2, 3))
    return views[:, :, :: stride[0], :: stride[1]][:, :, : output[2], : output[3]]


def window_areas(op: Pool2d, shape: tuple[int, ...], output: tuple[int, ...]) -> np.ndarray:
    """Caffe's divisor of each window, (OH, OW)."""
    axes = zip(shape[2:], output[2:], *op.window(shape), strict=True)
    heights, widths = ([length for _, _, length in spans(*axis)] for axis in axes)
    return np.outer(heights, widths)
