"""Element-wise sum, product and maximum in integers (FORMAT.md, opcodes 5 to 7)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from demitasse.converter.graph import Node, Quantization, Tensor
from demitasse.converter.ops import Eltwise
from demitasse.quantizer.integer.base import (
    Built,
    Call,
    Site,
    clamp_weights,
    quantization,
    without_slope,
)
from demitasse.quantizer.requantize import common_multipliers, multiplier, rq, rshr, srdhm, wrap32
from demitasse.quantizer.scheme import RANGES, activation_scale
from demitasse.quantizer.weights import largest_input


def build_eltwise(site: Site) -> Built:
    """Constants of a sum or maximum; a product of many becomes a chain of pairs."""
    op = site.node.op
    assert isinstance(op, Eltwise)
    without_slope(site.node, op.activation)
    if op.kind == "prod":
        return _chain(site, op)
    scales = np.array([quantization(x).scale for x in site.inputs])
    real = scales / quantization(site.output).scale
    bounds = [_bound(x) for x in site.inputs]
    if op.kind == "sum":
        coefficients = op.coefficients or (1.0,) * len(bounds)
        real = real * np.array(coefficients, np.float32).astype(np.float64)
        arrays = common_multipliers(real, bounds).arrays()
    else:
        arrays = multiplier(real, max(bounds)).arrays()
    return site.become(op, {**arrays, **clamp_weights(site.output, op.activation)})


def _chain(site: Site, op: Eltwise) -> Built:
    """((x0 * x1) * x2) ...; a product between has the scale that its factors' ranges ask for."""
    nodes: list[Node] = []
    between: dict[str, Tensor] = {}
    first = site.inputs[0]
    for i, second in enumerate(site.inputs[1:], 1):
        last = i == len(site.inputs) - 1
        target = site.output if last else _product_tensor(site, first, second, i)
        if not last:
            between[target.name] = target
        node = replace(
            site.node,
            name=site.node.name if last else f"{site.node.name}.{i}",
            op=op if last else replace(op, activation=None),
            inputs=(first.name, second.name),
            outputs=(target.name,),
            weights=_product_weights(first, second, target, op if last else Eltwise("prod")),
        )
        nodes.append(node)
        first = target
    return Built(tuple(nodes), between)


def _product_tensor(site: Site, first: Tensor, second: Tensor, index: int) -> Tensor:
    ends = [a * b for a in _range(first) for b in _range(second)]
    symmetric = not any(quantization(x).zero_point for x in site.inputs)
    scale, zero_point = activation_scale(min(ends), max(ends), site.precision, symmetric)
    quant = Quantization(float(scale), zero_point)
    return replace(site.output, name=f"%{site.node.name}.{index}", quant=quant)


def _range(tensor: Tensor) -> tuple[float, float]:
    """The real values of the lowest and the highest code."""
    quant = quantization(tensor)
    low, high = (quant.scale * (code - quant.zero_point) for code in RANGES[tensor.dtype])
    return low, high


def _product_weights(
    first: Tensor, second: Tensor, output: Tensor, op: Eltwise
) -> dict[str, np.ndarray]:
    real = quantization(first).scale * quantization(second).scale / quantization(output).scale
    arrays = multiplier(np.array([real]), _bound(first) * _bound(second)).arrays()
    return {**arrays, **clamp_weights(output, op.activation)}


def _bound(tensor: Tensor) -> int:
    return largest_input(quantization(tensor).zero_point, tensor.dtype)


def run_eltwise(call: Call) -> np.ndarray:
    """The definition, on stored values."""
    m, left, right = (call.weight(key) for key in ("multiplier", "left", "right"))
    x = [call.centred(i) for i in range(len(call.values))]
    if call.op.kind == "sum":
        terms = [srdhm(value << left, factor) for value, factor in zip(x, m, strict=True)]
        return call.clamp(rshr(wrap32(np.sum(terms, axis=0)), right))
    if call.op.kind == "prod":
        return call.clamp(rq(x[0] * x[1], m, left, right))
    return call.clamp(np.max([rq(v, m[i], left[i], right[i]) for i, v in enumerate(x)], axis=0))
