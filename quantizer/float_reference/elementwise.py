"""Functions of one variable, scales, sums, products and maxima."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from demitasse.converter.graph import Arrays
from demitasse.converter.ops import (
    Abs,
    Bias,
    Bnll,
    Clip,
    Eltwise,
    Elu,
    Exp,
    HardSigmoid,
    HardSwish,
    Log,
    Mish,
    Power,
    PRelu,
    Relu,
    Scale,
    Sigmoid,
    Swish,
    Tanh,
    Threshold,
)
from demitasse.converter.ops.norm import spread
from demitasse.quantizer.float_reference.base import (
    F,
    Inputs,
    clamp,
    exp,
    larger,
    log,
    sigmoid,
    tanh,
)


def _power(op: Power, x: np.ndarray) -> np.ndarray:
    base = F(op.shift) + F(op.scale) * x
    if op.power == 1.0:
        return base
    if op.power == 2.0:
        return base * base
    if op.power == 0.5:
        return np.sqrt(base)
    power = F(op.power)
    if abs(power) >= 2**20 or power != np.rint(power):
        return exp(power * log(base))
    y = exp(power * log(np.abs(base)))  # a whole power takes the base's size,
    return np.where(base < 0, -y, y) if power % 2 else y  # an odd one gives its sign back


def _exp(op: Exp, x: np.ndarray) -> np.ndarray:
    a, b = op.terms()
    return F(a) * exp(F(b) * x)


def _bnll(x: np.ndarray) -> np.ndarray:
    tail = log(F(1) + exp(-np.abs(x)))
    return np.where(x > 0, x + tail, tail)


def _mish(x: np.ndarray) -> np.ndarray:
    e = exp(x)
    n = e * (e + F(2))
    return np.where(x > F(20), x, x * (n / (n + F(2))))


def _leaky(x: np.ndarray, slope: np.ndarray | np.float32) -> np.ndarray:
    return np.where(x > 0, x, x * slope)


UNARY: dict[type, Callable[[Any, np.ndarray], np.ndarray]] = {
    Relu: lambda op, x: _leaky(x, F(op.negative_slope)),
    Clip: lambda op, x: clamp(x, op.low, op.high),
    Elu: lambda op, x: np.where(x > 0, x, F(op.alpha) * (exp(x) - F(1))),
    Sigmoid: lambda op, x: sigmoid(x),
    Tanh: lambda op, x: tanh(x),
    Abs: lambda op, x: np.abs(x),
    Power: _power,
    Exp: _exp,
    Log: lambda op, x: F(op.factor()) * log(F(op.scale) * x + F(op.shift)),
    Bnll: lambda op, x: _bnll(x),
    Threshold: lambda op, x: np.where(x > F(op.threshold), F(1), F(0)),
    Swish: lambda op, x: x * sigmoid(F(op.beta) * x),
    Mish: lambda op, x: _mish(x),
    HardSwish: lambda op, x: x * clamp(x + F(3), 0, 6) / F(6),
    HardSigmoid: lambda op, x: clamp(F(op.alpha) * x + F(op.beta), 0, 1),
}


def unary(op: Any, inputs: Inputs, weights: Arrays) -> np.ndarray:
    return UNARY[type(op)](op, inputs[0])


def prelu(op: PRelu, inputs: Inputs, weights: Arrays) -> np.ndarray:
    shape = (1, -1, *(1,) * (inputs[0].ndim - 2))
    return _leaky(inputs[0], weights["slope"].astype(np.float32).reshape(shape))


def scale(op: Scale | Bias, inputs: Inputs, weights: Arrays) -> np.ndarray:
    y = inputs[0]
    arrays = {key: array.astype(np.float32) for key, array in weights.items()}
    if len(inputs) > 1:
        arrays["scale" if isinstance(op, Scale) else "bias"] = inputs[1]
    if "scale" in arrays:
        y = y * spread(arrays["scale"], y.ndim, op.axis)
    if "bias" in arrays:
        y = y + spread(arrays["bias"], y.ndim, op.axis)
    return y


def eltwise(op: Eltwise, inputs: Inputs, weights: Arrays) -> np.ndarray:
    if op.kind == "sum":
        coefficients = op.coefficients or (1.0,) * len(inputs)
        y = reduce(np.add, (F(c) * x for c, x in zip(coefficients, inputs, strict=True)))
    else:
        y = reduce(np.multiply if op.kind == "prod" else lambda a, b: larger(b, a), inputs)
    if isinstance(op.activation, Clip):
        return clamp(y, op.activation.low, op.activation.high)
    return y if op.activation is None else clamp(y, 0.0, np.inf)
