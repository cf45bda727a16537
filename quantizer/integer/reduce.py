"""Sums over the last axes, and picked slices (FORMAT.md, opcodes 18 and 20)."""

from __future__ import annotations

import numpy as np

from demitasse.converter.ops import Reduce
from demitasse.quantizer.integer.base import Built, Call, Site, clamp_weights, quantization
from demitasse.quantizer.requantize import multiplier, rq, wrap32
from demitasse.quantizer.weights import largest_input


def build_reduce(site: Site) -> Built | None:
    """One requantization of the sum; None where that could leave int32."""
    op, shape = site.node.op, site.inputs[0].shape
    assert isinstance(op, Reduce)
    x, y = quantization(site.inputs[0]), quantization(site.output)
    squares = 2 if op.kind == "sumsq" else 1
    terms = int(np.prod(shape[op.axis % len(shape) :]))
    bound = terms * largest_input(x.zero_point, site.precision) ** squares
    if bound >= 2**31:
        return None
    real = float(op.factor(shape)) * x.scale**squares / y.scale
    arrays = multiplier(real, bound).arrays()
    return site.become(op, {**arrays, **clamp_weights(site.output)})


def run_reduce(call: Call) -> np.ndarray:
    """The rescaled sum of the values, their sizes or their squares."""
    x = call.centred()
    terms = {"asum": np.abs, "sumsq": np.square}.get(call.op.kind, np.asarray)(x)
    total = wrap32(terms.sum(tuple(range(call.op.axis % x.ndim, x.ndim))))
    m, left, right = (call.weight(key) for key in ("multiplier", "left", "right"))
    return call.clamp(rq(total, m, left, right))


def run_gather(call: Call) -> np.ndarray:
    return np.take(call.values[0], call.weight("indices"), call.op.axis)
