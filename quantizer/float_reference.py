"""float32 operators with the runtime's bits (FORMAT.md): one IEEE operation at a time, in order.

The operators' own references are for accuracy; these are for what runs in float32 inside an
integer graph, where every byte counts. NumPy rounds each array operation by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np

from demitasse.converter.graph import Arrays
from demitasse.converter.ops import (
    Abs,
    Bias,
    Clip,
    Eltwise,
    Elu,
    Lrn,
    Pool2d,
    Power,
    PRelu,
    Relu,
    Scale,
    Sigmoid,
    Softmax,
    Tanh,
)
from demitasse.converter.ops.norm import spread
from demitasse.quantizer.integer.norm import window_sums
from demitasse.quantizer.integer.pool import window_areas, windows

F = np.float32
Inputs = Sequence[np.ndarray]

# Cephes' logf, highest power first.
LOG_COEFFICIENTS = (
    *(7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1),
    *(-1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1),
)
EXP_COEFFICIENTS = (1 / 720, 1 / 120, 1 / 24, 1 / 6, 0.5, 1.0, 1.0)  # highest power first


def exp(x: np.ndarray) -> np.ndarray:
    """FORMAT.md's exp: argument reduction by ln 2 and a polynomial of degree 6."""
    x = np.minimum(np.where(x > F(-87), x, F(-87)), F(88))
    n = np.floor(x * F(1.44269504) + F(0.5))
    r = (x - n * F(0.693359375)) - n * F(-2.12194440e-4)
    p = np.full_like(r, F(EXP_COEFFICIENTS[0]))
    for c in EXP_COEFFICIENTS[1:]:
        p = F(c) + r * p
    return p * np.ldexp(F(1), n.astype(np.int32)).astype(np.float32)


def log(x: np.ndarray) -> np.ndarray:
    """FORMAT.md's log: Cephes' logf; -88 for what has no logarithm."""
    x = np.asarray(x, np.float32)
    f, exponent = np.frexp(x)  # f in [1/2, 1)
    small = f < F(np.sqrt(0.5))
    e = (exponent - small).astype(np.float32)
    f = np.where(small, f * F(2), f) - F(1)
    z = f * f
    p = np.full_like(f, F(LOG_COEFFICIENTS[0]))
    for c in LOG_COEFFICIENTS[1:]:
        p = p * f + F(c)
    y = f * z * p
    y = y + e * F(-2.12194440e-4)
    y = y - F(0.5) * z
    return np.where(x > 0, (f + y) + e * F(0.693359375), F(-88))


def _larger(a: np.ndarray | np.float32, b: np.ndarray) -> np.ndarray:
    """a > b ? a : b, which says what becomes of a negative zero."""
    return np.where(a > b, a, b)


def _clamp(x: np.ndarray, low: float, high: float) -> np.ndarray:
    x = _larger(F(low), x)
    return np.where(F(high) < x, F(high), x)


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


def _leaky(x: np.ndarray, slope: np.ndarray | np.float32) -> np.ndarray:
    return np.where(x > 0, x, x * slope)


def _tanh(x: np.ndarray) -> np.ndarray:
    y = F(1) - F(2) / (exp(F(2) * np.abs(x)) + F(1))
    return np.where(x < 0, -y, y)


def _prelu(x: np.ndarray, slope: np.ndarray) -> np.ndarray:
    shape = (1, -1, *(1,) * (x.ndim - 2))
    return _leaky(x, slope.astype(np.float32).reshape(shape))


UNARY: dict[type, Callable[[Any, np.ndarray], np.ndarray]] = {
    Relu: lambda op, x: _leaky(x, F(op.negative_slope)),
    Clip: lambda op, x: _clamp(x, op.low, op.high),
    Elu: lambda op, x: np.where(x > 0, x, F(op.alpha) * (exp(x) - F(1))),
    Sigmoid: lambda op, x: F(1) / (F(1) + exp(-x)),
    Tanh: lambda op, x: _tanh(x),
    Abs: lambda op, x: np.abs(x),
    Power: _power,
}


def _unary(op: Any, inputs: Inputs, weights: Arrays) -> np.ndarray:
    return UNARY[type(op)](op, inputs[0])


def _scale(op: Scale | Bias, inputs: Inputs, weights: Arrays) -> np.ndarray:
    y = inputs[0]
    arrays = {key: array.astype(np.float32) for key, array in weights.items()}
    if len(inputs) > 1:
        arrays["scale" if isinstance(op, Scale) else "bias"] = inputs[1]
    if "scale" in arrays:
        y = y * spread(arrays["scale"], y.ndim, op.axis)
    if "bias" in arrays:
        y = y + spread(arrays["bias"], y.ndim, op.axis)
    return y


def _eltwise(op: Eltwise, inputs: Inputs, weights: Arrays) -> np.ndarray:
    if op.kind == "sum":
        coefficients = op.coefficients or (1.0,) * len(inputs)
        y = reduce(np.add, (F(c) * x for c, x in zip(coefficients, inputs, strict=True)))
    else:
        y = reduce(np.multiply if op.kind == "prod" else lambda a, b: _larger(b, a), inputs)
    if isinstance(op.activation, Clip):
        return _clamp(y, op.activation.low, op.activation.high)
    return y if op.activation is None else _clamp(y, 0.0, np.inf)


def _pool(op: Pool2d, inputs: Inputs, weights: Arrays) -> np.ndarray:
    x = inputs[0]
    (shape,) = op.infer_shapes([x.shape], {})
    is_max = op.kind == "max"
    start = F(np.finfo(np.float32).min) if is_max else F(0)
    views = windows(op, x, shape, start)
    total = np.full(shape, start)
    for i in range(views.shape[-2]):
        for j in range(views.shape[-1]):
            tap = views[..., i, j]
            total = _larger(tap, total) if is_max else total + tap
    if is_max:
        return total
    return total / window_areas(op, x.shape, shape).astype(np.float32)


def _lrn(op: Lrn, inputs: Inputs, weights: Arrays) -> np.ndarray:
    x = inputs[0]
    window = op.size if op.region == "across" else op.size * op.size
    k = F(op.k) if op.region == "across" else F(1)
    base = k + F(op.alpha) / F(window) * window_sums(op, x * x)
    return x * exp(-F(op.beta) * log(base))


def _softmax(op: Softmax, inputs: Inputs, weights: Arrays) -> np.ndarray:
    x = np.moveaxis(inputs[0], op.axis, 0)
    e = exp(x - x.max(0))
    total = np.zeros(e.shape[1:], np.float32)
    for row in e:
        total = total + row
    return np.moveaxis(e / total, 0, op.axis)


# class of the operator -> its outputs' bits
RUNNERS: dict[type, Callable[[Any, Inputs, Arrays], np.ndarray]] = {
    **dict.fromkeys(UNARY, _unary),
    PRelu: lambda op, inputs, weights: _prelu(inputs[0], weights["slope"]),
    Scale: _scale,
    Bias: _scale,
    Eltwise: _eltwise,
    Pool2d: _pool,
    Lrn: _lrn,
    Softmax: _softmax,
}


def run_float(op: Any, inputs: Inputs, weights: Arrays) -> np.ndarray:
    """The output of one float32 operator. KeyError for a class that the runtime lacks."""
    with np.errstate(all="ignore"):
        y = RUNNERS[type(op)](op, inputs, weights)
    assert y.dtype == np.float32, type(op).__name__
    return y
