"""Convolution, deconvolution and inner product in integers (FORMAT.md, opcodes 1 and 2)."""

from __future__ import annotations

import numpy as np

from demitasse.converter.graph import Arrays, Node, Tensor
from demitasse.converter.ops import Activation, Conv2d, Deconv2d, InnerProduct
from demitasse.errors import WeightsError
from demitasse.quantizer.integer.base import (
    Built,
    Call,
    Site,
    clamp_weights,
    quantization,
    requantize,
    requantize_weights,
    slope_of,
)
from demitasse.quantizer.integer.means import lost_means
from demitasse.quantizer.requantize import wrap32
from demitasse.quantizer.weights import (
    ACCUMULATOR_UNITS,
    BLOCK,
    BLOCK_SHIFT,
    IntegerWeights,
    quantize_weights,
)

Convolution = Conv2d | Deconv2d | InnerProduct
Segment = tuple[int, int, int, int]  # tap row, tap column, first and past-last input channel


def build_convolution(site: Site) -> Built:
    """Integer weights, bias and one requantization per output channel."""
    op = site.node.op
    assert isinstance(op, Convolution)
    return site.become(op, convolution_weights(site, op, site.node.weights))


def build_depthwise(
    site: Site, factor: np.ndarray, offset: np.ndarray, activation: Activation | None = None
) -> Built:
    """factor[c] * x + offset[c] along axis 1 as a depthwise 1x1 convolution."""
    channels = site.inputs[0].shape[1]
    factor, offset = (np.broadcast_to(np.ravel(v), channels) for v in (factor, offset))
    op = Conv2d(channels=channels, kernel=(1, 1), groups=channels, activation=activation)
    weights = {"weight": factor.reshape(-1, 1, 1, 1), "bias": offset}
    return site.become(op, convolution_weights(site, op, weights))


def convolution_weights(site: Site, op: Convolution, weights: Arrays) -> dict[str, np.ndarray]:
    """The integer constants of a convolution with these float weights."""
    x, y = quantization(site.inputs[0]), quantization(site.output)
    codes = convolution_rows(site, op, weights)
    real = codes.scale.astype(np.float64) * (x.scale * ACCUMULATOR_UNITS[site.precision] / y.scale)
    return {
        "weight": restore_rows(op, codes.codes, weights["weight"].shape),
        "bias": codes.bias,
        **({"weight_bits": np.int32(4)} if site.plan.bits == 4 else {}),
        **requantize_weights(real, slope_of(op.activation, weights)),
        **clamp_weights(site.output, op.activation),
    }


def convolution_rows(site: Site, op: Convolution, weights: Arrays) -> IntegerWeights:
    """The codes of these float weights, a row each output channel, and their scales."""
    bias = _bias(site, weights, op.channels)
    rows = float_rows(op, np.asarray(weights["weight"]))
    if not (np.isfinite(rows).all() and np.isfinite(bias).all()):
        raise WeightsError("weights are infinite or not a number", layer=site.node.name)
    rounding = _rounding(site, op, weights["weight"].shape)
    found = _quantized_rows(site, rows, bias, rounding)
    means = site.plan.means
    if means is None or site.plan.bias is not None or getattr(op, "axis", 1) != 1:
        return found
    shape = site.inputs[0].shape
    means = _sized(site, means, shape[1], f"means of '{site.node.inputs[0]}'")
    lost = rows - found.codes * found.scale.astype(np.float64)[:, None]
    shift = lost_means(op, lost, means, shape, site.output.shape)
    return _quantized_rows(site, rows, (bias + shift).astype(np.float32), rounding)


def _quantized_rows(
    site: Site, rows: np.ndarray, bias: np.ndarray, rounding: np.ndarray | None
) -> IntegerWeights:
    x = quantization(site.inputs[0])
    return quantize_weights(
        rows,
        bias,
        x.scale,
        x.zero_point,
        site.precision,
        _given_scale(site, len(rows)),
        method=site.plan.method,
        bits=site.plan.bits,
        rounding=rounding,
    )


def float_weights(node: Node, x: Tensor, y: Tensor) -> dict[str, np.ndarray]:
    """The float32 weight and bias that the constants of an integer convolution stand for.

    x, y: the tensors that it reads and writes. A channel's weight scale follows from its
    multiplier, which is exact enough to give the float32 scale back; of multiplier 0 it is 0.
    """
    op = node.op
    assert isinstance(op, Convolution)
    unit = quantization(x).scale * ACCUMULATOR_UNITS[x.dtype]
    multiplier, left, right = (node.weights[k] for k in ("multiplier", "left", "right"))
    real = np.ldexp(multiplier.astype(np.float64), left - right - 31)
    scale = (real * quantization(y).scale / unit).astype(np.float32)
    rows = float_rows(op, node.weights["weight"]) * scale[:, None]
    return {
        "weight": restore_rows(op, rows, node.weights["weight"].shape),
        "bias": (node.weights["bias"] * (unit * scale.astype(np.float64))).astype(np.float32),
    }


def _bias(site: Site, weights: Arrays, channels: int) -> np.ndarray:
    """The table's biases, or else the node's, or zeros."""
    if site.plan.bias is None:
        return np.asarray(weights.get("bias", np.zeros(channels, np.float32)))
    return _sized(site, site.plan.bias, channels, "biases")


def _given_scale(site: Site, channels: int) -> np.ndarray | None:
    """The table's weight scales, if it has any for this node."""
    if site.plan.scale is None or not np.size(site.plan.scale):
        return None
    scale = np.asarray(site.plan.scale, np.float32).ravel()
    if scale.size != 1:
        _sized(site, scale, channels, "weight scales")
    return np.broadcast_to(scale, channels)


def _rounding(site: Site, op: Convolution, shape: tuple[int, ...]) -> np.ndarray | None:
    """The table's differences to the nearest codes, as rows."""
    given = site.plan.rounding
    if given is None:
        return None
    return float_rows(op, _sized(site, given, int(np.prod(shape)), "roundings").reshape(shape))


def _sized(site: Site, values: np.ndarray, count: int, what: str) -> np.ndarray:
    if values.size != count:
        raise WeightsError(
            f"the table has {values.size} {what}, expected {count}", layer=site.node.name
        )
    return values


def float_rows(op: Convolution, weight: np.ndarray) -> np.ndarray:
    """Caffe's weights as one row per output channel."""
    if isinstance(op, Deconv2d):  # (C, O / groups, kh, kw)
        grouped = weight.reshape(op.groups, -1, *weight.shape[1:])
        weight = grouped.swapaxes(1, 2)
    return weight.reshape(op.channels, -1)


def restore_rows(op: Convolution, rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The inverse of `float_rows`."""
    if isinstance(op, Deconv2d):
        inputs, outputs, kh, kw = shape
        grouped = rows.reshape(op.groups, outputs, inputs // op.groups, kh, kw)
        rows = grouped.swapaxes(1, 2)
    return np.ascontiguousarray(rows.reshape(shape))


def blocks(kernel: tuple[int, int], inputs: int, precision: str) -> list[list[Segment]]:
    """The products of one output, cut into the blocks that are summed before rounding.

    inputs: input channels of a group. int8 has one block per tap, where cuts do not matter.
    """
    taps = [(i, j) for i in range(kernel[0]) for j in range(kernel[1])]
    if precision == "int8":
        return [[(i, j, 0, inputs)] for i, j in taps]
    if inputs >= BLOCK:
        cuts = range(0, inputs, BLOCK)
        return [[(i, j, c, min(c + BLOCK, inputs))] for i, j in taps for c in cuts]
    return [
        _segments(start, min(start + BLOCK, len(taps) * inputs), inputs, kernel[1])
        for start in range(0, len(taps) * inputs, BLOCK)
    ]


def _segments(start: int, end: int, inputs: int, width: int) -> list[Segment]:
    """The taps that products start .. end of the order (row, column, channel) touch."""
    found = []
    while start < end:
        tap, channel = divmod(start, inputs)
        past = min(inputs, channel + end - start)
        found.append((*divmod(tap, width), channel, past))
        start += past - channel
    return found


def run_convolution(call: Call) -> np.ndarray:
    """Accumulate, requantize, clamp; (N, O, OH, OW)."""
    op, weight = call.op, call.node.weights["weight"]
    x = call.centred().astype(np.float64)  # every sum below stays under 2**53: exact
    if x.ndim == 2:
        x = x[:, :, None, None]
    if isinstance(op, InnerProduct):
        weight = weight.reshape(op.channels, *x.shape[1:])
        op = Conv2d(channels=op.channels, kernel=(x.shape[2], x.shape[3]))
    if isinstance(op, Deconv2d):
        acc = _deconvolve(op, x, weight, call.output.shape[2:], call.output.dtype)
    else:
        acc = _convolve(op, x, weight, call.output.dtype)
    acc = wrap32(acc.astype(np.int64) + call.weight("bias").reshape(1, -1, 1, 1))
    return requantize(call, acc).reshape(-1, *call.output.shape[1:])


def _convolve(op: Conv2d, x: np.ndarray, weight: np.ndarray, precision: str) -> np.ndarray:
    """Sums of rounded blocks of an image (N, C, H, W), zero outside; float64 (N, O, OH, OW)."""
    top, left, bottom, right = op.pads
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    n, c, h, w = x.shape
    size = tuple(
        (length - d * (k - 1) - 1) // s + 1
        for length, k, s, d in zip((h, w), op.kernel, op.stride, op.dilation, strict=True)
    )
    xg = x.reshape(n, op.groups, -1, h, w)
    wg = weight.reshape(op.groups, -1, *weight.shape[1:]).astype(np.float64)
    acc = np.zeros((n, op.groups, wg.shape[1], size[0] * size[1]))
    taps: dict[tuple[int, int], np.ndarray] = {}
    for block in blocks(op.kernel, c // op.groups, precision):
        total: np.ndarray | None = None
        for i, j, first, past in block:
            if (i, j) not in taps:
                rows, columns = _steps(op, i, j, size)
                taps = {(i, j): xg[..., rows, columns].reshape(*xg.shape[:3], -1)}
            product = _products(wg[..., first:past, i, j], taps[i, j][:, :, first:past])
            total = product if total is None else np.add(total, product, out=total)
        assert total is not None
        acc += _rounded(total, precision)
    return acc.reshape(n, op.channels, *size)


def _deconvolve(
    op: Deconv2d, x: np.ndarray, weight: np.ndarray, size: tuple[int, ...], precision: str
) -> np.ndarray:
    """The same sums for a deconvolution: each input pixel spreads over the output's taps."""
    top, left, bottom, right = op.pads
    n, c, h, w = x.shape
    xg = x.reshape(n, op.groups, -1, h * w)
    # (G, OG, IG, kh, kw)
    wg = weight.reshape(op.groups, -1, *weight.shape[1:]).swapaxes(1, 2).astype(np.float64)
    full = (n, op.groups, wg.shape[1], size[0] + top + bottom, size[1] + left + right)
    acc = np.zeros(full)
    for block in blocks(op.kernel, c // op.groups, precision):
        total = np.zeros(full)
        for i, j, first, past in block:
            rows, columns = _steps(op, i, j, (h, w))
            product = _products(wg[..., first:past, i, j], xg[:, :, first:past])
            total[..., rows, columns] += product.reshape(*full[:3], h, w)
        acc += _rounded(total, precision)
    acc = acc[..., top : top + size[0], left : left + size[1]]
    return acc.reshape(n, op.channels, *size)


def _steps(op: Conv2d | Deconv2d, i: int, j: int, size: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of the padded image that tap (i, j) touches for `size` positions."""
    first = (i * op.dilation[0], j * op.dilation[1])
    rows, columns = (
        slice(start, start + (length - 1) * stride + 1, stride)
        for start, length, stride in zip(first, size, op.stride, strict=True)
    )
    return rows, columns


def _products(weight: np.ndarray, x: np.ndarray) -> np.ndarray:
    """(G, OG, k) times (N, G, k, P), summed over k."""
    if weight.shape[1] == 1 and weight.shape[2] == 1:  # depthwise
        return weight * x
    return np.matmul(weight, x)


def _rounded(total: np.ndarray, precision: str) -> np.ndarray:
    """rshr(block, 9) of int16 blocks, in place; int8 sums as they are."""
    if precision == "int8":
        return total
    total *= 2.0**-BLOCK_SHIFT
    total += 0.5
    return np.floor(total, out=total)
