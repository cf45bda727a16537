"""Scale-like layers as depthwise convolutions, LRN and Normalize (FORMAT.md, opcodes 12, 23)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from demitasse.converter.graph import Arrays, Node
from demitasse.converter.ops import BatchNorm, Bias, Lrn, Normalize, Scale
from demitasse.quantizer.integer.base import Built, Call, Site, clamp_weights, quantization
from demitasse.quantizer.integer.conv import build_depthwise
from demitasse.quantizer.lookup import FACTOR_ONE, factor_table, factors, root_table, roots
from demitasse.quantizer.requantize import multiplier, rq, rshr
from demitasse.quantizer.weights import largest_input

# An interpolated factor is off by 4**-bits / 6 at most: far below the step of the output.
FACTOR_BITS = {"int8": 5, "int16": 7}
ROOT_BITS = {"int8": 6, "int16": 9}  # off by 6 * 4**-bits at most, of the factor itself
UNIT_BITS = 14  # Normalize requantizes d / norm times FACTOR_ONE * 2**UNIT_BITS


def build_affine(site: Site) -> Built | None:
    """BatchNorm, Scale or Bias with constants along axis 1; None for the others."""
    node = batch_norm_as_scale(site.node)
    shape = site.output.shape
    if len(node.inputs) > 1 or len(shape) not in (2, 4):
        return None
    constants = [node.weights[key] for key in ("scale", "bias") if key in node.weights]
    assert isinstance(node.op, Scale | Bias)
    along_channels = node.op.axis % len(shape) == 1
    for array in constants:
        if array.shape not in ((), (shape[1],)) or (array.ndim and not along_channels):
            return None
    factor = node.weights.get("scale", np.float32(1))
    return build_depthwise(site, factor, node.weights.get("bias", np.float32(0)))


def batch_norm_as_scale(node: Node) -> Node:
    """A BatchNorm as the Scale that it is; other nodes unchanged."""
    if not isinstance(node.op, BatchNorm):
        return node
    mean, variance = (node.weights[key].astype(np.float64) for key in ("mean", "variance"))
    factor = 1 / np.sqrt(variance + node.op.eps)
    weights = {"scale": factor, "bias": -mean * factor}
    arrays: Arrays = {key: array.astype(np.float32) for key, array in weights.items()}
    return replace(node, op=Scale(axis=1), weights=arrays)


def build_lrn(site: Site) -> Built | None:
    """The table of factors; None for parameters with which the factor does not fall."""
    op = site.node.op
    assert isinstance(op, Lrn)
    window = op.size if op.region == "across" else op.size**2
    k = op.k if op.region == "across" else 1.0
    if op.alpha <= 0 or op.beta <= 0 or k < 0:
        return None
    x, y = quantization(site.inputs[0]), quantization(site.output)
    largest = largest_input(x.zero_point, site.precision)
    table = factor_table(
        lambda total: (k + op.alpha / window * total) ** -op.beta,
        window,
        largest,
        x.scale,
        FACTOR_BITS[site.precision],
    )
    real = x.scale * table.scale / y.scale
    return site.become(
        op,
        {
            "table": table.entries,
            "bits": np.int32(table.bits),
            "shift": np.int32(table.shift),
            **multiplier(real, largest * int(table.entries.max())).arrays(),
            **clamp_weights(site.output),
        },
    )


def run_lrn(call: Call) -> np.ndarray:
    """d * factor(sum of squares), requantized."""
    d = call.centred()
    sums = window_sums(call.op, rshr(d * d, call.weight("shift"))) % 2**32
    factor = factors(call.weight("table"), int(call.weight("bits")), sums)
    return call.clamp(rq(d * factor, *(call.weight(k) for k in ("multiplier", "left", "right"))))


def build_normalize(site: Site) -> Built | None:
    """The table of inverse roots; None where eps is not a sum of squares that fits its field."""
    op = site.node.op
    assert isinstance(op, Normalize)
    x, y = quantization(site.inputs[0]), quantization(site.output)
    eps = round(op.eps / x.scale**2)
    if not 0 <= eps < 2**32:
        return None
    bits = ROOT_BITS[site.precision]
    scale = site.node.weights["scale"].astype(np.float64)
    real = scale / (FACTOR_ONE * 2.0**UNIT_BITS * y.scale)
    return site.become(
        op,
        {
            "table": root_table(bits),
            "bits": np.int32(bits),
            "eps": np.uint32(eps),
            **multiplier(real, 2**30).arrays(),
            **clamp_weights(site.output),
        },
    )


def run_normalize(call: Call) -> np.ndarray:
    """d / sqrt(eps + sum of squares) of norms in FACTOR_ONE * 2**UNIT_BITS, requantized."""
    d = call.centred()
    squares = (d * d).sum(call.op.axes(d.ndim), keepdims=True) + call.weight("eps")
    factor, half = roots(call.weight("table"), int(call.weight("bits")), squares)
    up, down = np.maximum(UNIT_BITS - half, 0), np.maximum(half - UNIT_BITS, 0)
    unit = rshr((d * factor) << up, down)
    shape = (-1, *(1,) * (d.ndim - 2))
    constants = (call.weight(key).reshape(shape) for key in ("multiplier", "left", "right"))
    return call.clamp(rq(unit, *constants))


def window_sums(op: Lrn, squares: np.ndarray) -> np.ndarray:
    """Sums over each value's window, missing neighbours 0, added one by one in order.

    across: channels ascending. within: rows, then columns.
    """
    half = op.size // 2
    margin = (half, half)
    if op.region == "across":
        padded = np.pad(squares, ((0, 0), margin, (0, 0), (0, 0)))
        views = [padded[:, i : i + squares.shape[1]] for i in range(op.size)]
    else:
        padded = np.pad(squares, ((0, 0), (0, 0), margin, margin))
        h, w = squares.shape[2:]
        offsets = [(i, j) for i in range(op.size) for j in range(op.size)]
        views = [padded[:, :, i : i + h, j : j + w] for i, j in offsets]
    total = np.zeros_like(squares)
    for view in views:
        total = total + view
    return total
