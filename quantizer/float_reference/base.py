"""What the families share: FORMAT.md's functions and the runtime's comparisons."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

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


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Function 3 of UNARY."""
    return F(1) / (F(1) + exp(-x))


def tanh(x: np.ndarray) -> np.ndarray:
    """Function 4 of UNARY."""
    y = F(1) - F(2) / (exp(F(2) * np.abs(x)) + F(1))
    return np.where(x < 0, -y, y)


def larger(a: np.ndarray | np.float32, b: np.ndarray) -> np.ndarray:
    """a > b ? a : b, which says what becomes of a negative zero."""
    return np.where(a > b, a, b)


def clamp(x: np.ndarray, low: float, high: float) -> np.ndarray:
    x = larger(F(low), x)
    return np.where(F(high) < x, F(high), x)
