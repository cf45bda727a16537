"""Element-wise functions of one variable.

Relu, Clip and PRelu may also be fused into the node before them (field `activation`); a fused
PRelu keeps its slope as the host node's weight "slope".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log

import numpy as np

from demitasse.converter.graph import Arrays, Shape
from demitasse.converter.ops.base import Operator, require


class Unary(Operator):
    """A function of one variable that needs no weights: subclasses define `function`."""

    __slots__ = ()

    def function(self, x: np.ndarray) -> np.ndarray:
        """The function, element-wise."""
        raise NotImplementedError

    def reference(self, inputs: Sequence[np.ndarray], weights: Arrays) -> tuple[np.ndarray, ...]:
        with np.errstate(all="ignore"):
            return (self.function(inputs[0]).astype(np.float32),)


@dataclass(frozen=True, slots=True)
class Relu(Unary):
    """max(x, 0) + negative_slope * min(x, 0)."""

    negative_slope: float = 0.0

    def function(self, x: np.ndarray) -> np.ndarray:
        if self.negative_slope == 0.0:
            return np.maximum(x, 0)
        return np.where(x > 0, x, x * np.float32(self.negative_slope))


@dataclass(frozen=True, slots=True)
class Clip(Unary):
    """min(max(x, low), high); ReLU6 is Clip(0, 6)."""

    low: float
    high: float

    def function(self, x: np.ndarray) -> np.ndarray:
        return np.clip(x, np.float32(self.low), np.float32(self.high))


@dataclass(frozen=True, slots=True)
class Elu(Unary):
    """x for x > 0, else alpha * (exp(x) - 1)."""

    alpha: float = 1.0

    def function(self, x: np.ndarray) -> np.ndarray:
        return np.where(x > 0, x, np.float32(self.alpha) * np.expm1(np.minimum(x, 0)))


@dataclass(frozen=True, slots=True)
class Sigmoid(Unary):
    """1 / (1 + exp(-x))."""

    def function(self, x: np.ndarray) -> np.ndarray:
        return 0.5 * np.tanh(0.5 * x) + np.float32(0.5)


@dataclass(frozen=True, slots=True)
class Tanh(Unary):
    """Hyperbolic tangent."""

    def function(self, x: np.ndarray) -> np.ndarray:
        return np.tanh(x)


@dataclass(frozen=True, slots=True)
class Abs(Unary):
    """Absolute value."""

    def function(self, x: np.ndarray) -> np.ndarray:
        return np.abs(x)


@dataclass(frozen=True, slots=True)
class Power(Unary):
    """(shift + scale * x) ** power."""

    power: float = 1.0
    scale: float = 1.0
    shift: float = 0.0

    def function(self, x: np.ndarray) -> np.ndarray:
        base = np.float32(self.shift) + np.float32(self.scale) * x
        return base if self.power == 1.0 else np.power(base, np.float32(self.power))


@dataclass(frozen=True, slots=True)
class Exp(Unary):
    """base ** (shift + scale * x); base -1 is e."""

    base: float = -1.0
    scale: float = 1.0
    shift: float = 0.0

    def terms(self) -> tuple[float, float]:
        """a and b of a * exp(b * x)."""
        ln = 1.0 if self.base == -1.0 else log(self.base)
        return exp(ln * self.shift), ln * self.scale

    def function(self, x: np.ndarray) -> np.ndarray:
        a, b = self.terms()
        return np.float32(a) * np.exp(np.float32(b) * x)


@dataclass(frozen=True, slots=True)
class Log(Unary):
    """The logarithm of shift + scale * x; base -1 is e."""

    base: float = -1.0
    scale: float = 1.0
    shift: float = 0.0

    def factor(self) -> float:
        """By which the natural logarithm is multiplied."""
        return 1.0 if self.base == -1.0 else 1.0 / log(self.base)

    def function(self, x: np.ndarray) -> np.ndarray:
        inside = np.float32(self.scale) * x + np.float32(self.shift)
        return np.float32(self.factor()) * np.log(inside)


@dataclass(frozen=True, slots=True)
class Bnll(Unary):
    """log(1 + exp(x))."""

    def function(self, x: np.ndarray) -> np.ndarray:
        return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


@dataclass(frozen=True, slots=True)
class Threshold(Unary):
    """1 where x > threshold, else 0."""

    threshold: float = 0.0

    def function(self, x: np.ndarray) -> np.ndarray:
        return x > np.float32(self.threshold)


@dataclass(frozen=True, slots=True)
class Swish(Unary):
    """x * sigmoid(beta * x)."""

    beta: float = 1.0

    def function(self, x: np.ndarray) -> np.ndarray:
        return x * (0.5 * np.tanh(np.float32(0.5 * self.beta) * x) + np.float32(0.5))


@dataclass(frozen=True, slots=True)
class Mish(Unary):
    """x * tanh(log(1 + exp(x)))."""

    def function(self, x: np.ndarray) -> np.ndarray:
        return x * np.tanh(np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))))


@dataclass(frozen=True, slots=True)
class HardSwish(Unary):
    """x * min(max(x + 3, 0), 6) / 6."""

    def function(self, x: np.ndarray) -> np.ndarray:
        return x * np.clip(x + np.float32(3), 0, 6) / np.float32(6)


@dataclass(frozen=True, slots=True)
class HardSigmoid(Unary):
    """min(max(alpha * x + beta, 0), 1)."""

    alpha: float = 0.2
    beta: float = 0.5

    def function(self, x: np.ndarray) -> np.ndarray:
        return np.clip(np.float32(self.alpha) * x + np.float32(self.beta), 0, 1)


@dataclass(frozen=True, slots=True)
class PRelu(Operator):
    """x for x > 0, else slope * x. Weights: slope (C,) along axis 1, or (1,) shared."""

    def required_weights(self, inputs: int) -> tuple[str, ...]:
        return ("slope",)

    def infer_shapes(self, inputs: Sequence[Shape], weights: Arrays) -> tuple[Shape, ...]:
        shape = inputs[0]
        require(len(shape) >= 2, f"PReLU needs at least 2 axes, found shape {shape}")
        if "slope" in weights:
            slopes = weights["slope"].size
            require(slopes in (1, shape[1]), f"expected {shape[1]} slopes (or 1), found {slopes}")
        return (shape,)

    def reference(self, inputs: Sequence[np.ndarray], weights: Arrays) -> tuple[np.ndarray, ...]:
        return (leaky(inputs[0], weights["slope"]),)


Activation = Relu | Clip | PRelu


def leaky(x: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """x for x > 0, else slope[c] * x, with c along axis 1."""
    shaped = slope.reshape((1, -1) + (1,) * (x.ndim - 2)).astype(np.float32)
    return np.where(x > 0, x, x * shaped)


def activate(activation: Activation | None, y: np.ndarray, weights: Arrays) -> np.ndarray:
    """Apply a fused activation to its host's result (channels along axis 1)."""
    if activation is None:
        return y
    if isinstance(activation, PRelu):
        return leaky(y, weights["slope"])
    return activation.function(y).astype(np.float32)
