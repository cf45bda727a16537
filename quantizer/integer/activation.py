"""Activations that stand alone: a Rescale where both signs are linear, else a table."""

from __future__ import annotations

import numpy as np

from demitasse.converter.ops import Clip, HardSigmoid, Lookup, Power, PRelu, Relu, Rescale, Unary
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
from demitasse.quantizer.integer.conv import build_depthwise
from demitasse.quantizer.lookup import interpolate, lookup_table
from demitasse.quantizer.weights import largest_input


def build_rectifier(site: Site) -> Built:
    """Relu, leaky Relu, PRelu and Clip as a Rescale."""
    op = site.node.op
    assert isinstance(op, Relu | PRelu | Clip)
    slope = slope_of(op, site.node.weights)
    return site.become(
        Rescale(), {**rescale_weights(site, slope=slope), **clamp_weights(site.output, op)}
    )


def rescale_weights(
    site: Site, factor: float = 1.0, slope: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """The requantization of x - zero_point, times `factor`, from the input to the output."""
    x, y = quantization(site.inputs[0]), quantization(site.output)
    bound = largest_input(x.zero_point, site.inputs[0].dtype)
    return requantize_weights(np.array([factor * x.scale / y.scale]), slope, bound)


def build_power(site: Site) -> Built | None:
    """A factor alone is a Rescale, an affine map in int16 a depthwise convolution."""
    op = site.node.op
    assert isinstance(op, Power)
    if op.power == 1.0 and op.shift == 0.0:
        factor = float(np.float32(op.scale))
        weights = {**rescale_weights(site, factor), **clamp_weights(site.output)}
        return site.become(Rescale(), weights)
    is_image = len(site.output.shape) in (2, 4)
    if op.power == 1.0 and site.precision == "int16" and is_image:
        return build_depthwise(site, np.float32(op.scale), np.float32(op.shift))
    return build_lookup(site)


def build_hard_sigmoid(site: Site) -> Built | None:
    """A table, or in int16, which would miss the bends, the line and its ends."""
    op = site.node.op
    assert isinstance(op, HardSigmoid)
    if site.precision == "int16" and len(site.output.shape) in (2, 4):
        line = np.float32(op.alpha), np.float32(op.beta)
        return build_depthwise(site, *line, Clip(0.0, 1.0))
    return build_lookup(site)


def build_lookup(site: Site) -> Built | None:
    """The function as a table; None where a table is too coarse for it."""
    op = site.node.op
    assert isinstance(op, Unary)
    x, y = quantization(site.inputs[0]), quantization(site.output)
    table = lookup_table(op.function, x, y, site.precision, site.reach)
    if table is None:
        return None
    name = type(op).__name__.lower()
    return site.become(Lookup(name), {"table": table.entries, "bits": np.int32(table.bits)})


def run_rescale(call: Call) -> np.ndarray:
    """rq(x - zero_point) per channel and sign."""
    return requantize(call, call.centred())


def run_lookup(call: Call) -> np.ndarray:
    """The table's value, interpolated in int16."""
    x, table = call.values[0], call.weight("table")
    if call.output.dtype == "int8":
        return table[x + 128]
    return interpolate(table, int(call.weight("bits")), x)
