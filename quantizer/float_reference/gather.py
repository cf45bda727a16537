"""Indices, sums over the last axes, the largest values."""

from __future__ import annotations

import numpy as np

from demitasse.converter.graph import Arrays
from demitasse.converter.ops import ArgMax, Embed, Gather, Reduce
from demitasse.quantizer.float_reference.base import F, Inputs


def pick(op: Gather | Embed | ArgMax, inputs: Inputs, weights: Arrays) -> np.ndarray:
    """Their definitions are exact."""
    return op.reference(inputs, weights)[0]


def reduce(op: Reduce, inputs: Inputs, weights: Arrays) -> np.ndarray:
    x = inputs[0]
    terms = {"asum": np.abs, "sumsq": np.square}.get(op.kind, np.asarray)(x)
    rows = terms.reshape(*x.shape[: op.axis % x.ndim], -1, x.shape[-1])
    return _sum(_sum(rows)) * op.factor(x.shape)


def _sum(x: np.ndarray) -> np.ndarray:
    """Along the last axis, from left to right."""
    total = np.zeros(x.shape[:-1], np.float32)
    for k in range(x.shape[-1]):
        total = F(total + x[..., k]) if x.ndim == 1 else total + x[..., k]
    return np.asarray(total)
