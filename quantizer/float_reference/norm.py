"""Normalizations."""

from __future__ import annotations

import numpy as np

from demitasse.converter.graph import Arrays
from demitasse.converter.ops import Lrn, Softmax
from demitasse.quantizer.float_reference.base import F, Inputs, exp, log
from demitasse.quantizer.integer.norm import window_sums


def lrn(op: Lrn, inputs: Inputs, weights: Arrays) -> np.ndarray:
    x = inputs[0]
    window = op.size if op.region == "across" else op.size * op.size
    k = F(op.k) if op.region == "across" else F(1)
    base = k + F(op.alpha) / F(window) * window_sums(op, x * x)
    return x * exp(-F(op.beta) * log(base))


def softmax(op: Softmax, inputs: Inputs, weights: Arrays) -> np.ndarray:
    x = np.moveaxis(inputs[0], op.axis, 0)
    e = exp(x - x.max(0))
    total = np.zeros(e.shape[1:], np.float32)
    for row in e:
        total = total + row
    return np.moveaxis(e / total, 0, op.axis)
